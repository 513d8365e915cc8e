/* SPDX-License-Identifier: MIT */
/*
 * Inside of the weights room: what a fmt_<name>.c implements, and what the readers share. A reader gets bytes and how
 * many there are; whatever it hands to pjd_weights_add must lie inside them (or in memory of the weights' arena).
 * Nothing here trusts a count, product or offset of a file before it was compared with the bytes that are there.
 */
#ifndef PJD_WEIGHTS_FORMAT_H
#define PJD_WEIGHTS_FORMAT_H

#include <stdatomic.h>

#include "projdiff/registry.h"
#include "weights/weights.h"

#define PJD_WEIGHTS_MAX_TENSORS 1000000u
#define PJD_WEIGHTS_MAX_NAME 4096u
/* Longest piece of a path or of a hostile file's text that goes into a message. */
#define PJD_WHO "%.200s"
#define PJD_KEY "%.*s"
#define PJD_KEY_ARG(text, len) ((len) < 100 ? (int)(len) : 100), (const char *)(text)

/* ---- memory that goes all at once ---- */

typedef struct pjd_arena {
    struct pjd_arena_block *head;
} pjd_arena;

/* Aligned to 16; NULL on failure. */
void *pjd_arena_alloc(pjd_arena *a, size_t count, size_t size);
char *pjd_arena_strndup(pjd_arena *a, const char *s, size_t n);
void pjd_arena_free(pjd_arena *a);

/* ---- names to numbers; keys are borrowed ---- */

typedef struct pjd_strmap {
    struct pjd_strslot *slots;
    size_t capacity, count;
} pjd_strmap;

typedef enum pjd_strmap_result { PJD_STRMAP_NEW = 0, PJD_STRMAP_FOUND, PJD_STRMAP_NOMEM } pjd_strmap_result;

/* The value of the key, or of nothing: *value is set only for FOUND; NEW stores it. */
pjd_strmap_result pjd_strmap_add(pjd_strmap *m, const char *key, size_t len, size_t *value);
bool pjd_strmap_find(const pjd_strmap *m, const char *key, size_t len, size_t *value);
void pjd_strmap_free(pjd_strmap *m);

/* ---- files ---- */

typedef struct pjd_source {
    const unsigned char *data;
    size_t size;
    void *owned; /* NULL when mapped */
    struct pjd_source *next;
} pjd_source;

/* Map (or read) a regular file. PJD_ERR_IO when that fails; an empty file is fine here. */
pjd_status pjd_source_open(const char *path, pjd_source *out, pjd_error *err);
void pjd_source_close(pjd_source *s);
/* Let the pages that lie wholly in these bytes of a mapped source leave memory. */
void pjd_source_unused(const pjd_source *s, size_t offset, size_t bytes);

/* ---- checksums, looked at when a tensor is wanted ---- */

typedef struct pjd_checksum {
    const unsigned char *data; /* what tensors have as their storage */
    size_t bytes;
    uint32_t crc;     /* 0: the writer left it out */
    const char *name; /* of the record */
    size_t name_len;
    atomic_int state; /* 0 unknown, 1 right, -1 wrong */
} pjd_checksum;

/* Of one file, in the order of `data`. */
typedef struct pjd_checksums {
    struct pjd_checksums *next;
    const char *who;
    pjd_checksum *items;
    size_t count;
} pjd_checksums;

/* ---- the object ---- */

struct pjd_weights {
    pjd_arena arena;
    pjd_source *sources;
    pjd_tensor *tensors;
    const char **names; /* stripped, tails of tensors[i].name */
    size_t count, capacity;
    pjd_strmap stored; /* every stored name, of dropped duplicates too */
    pjd_strmap stripped;
    const char *container;
    const char *config, *scheduler, *hyper;
    pjd_checksums *checksums;
};

/* What a reader reads. */
typedef struct pjd_reader {
    const unsigned char *data;
    size_t size;
    const char *who; /* for messages: the path */
    const pjd_log *log;
    pjd_weights *w;
} pjd_reader;

typedef struct pjd_format_class {
    pjd_entry entry; /* the name is what pjd_weights_container tells */
    /* By the first bytes only; the first class that says yes reads. */
    bool (*match)(const unsigned char *data, size_t size);
    /* Add every tensor (pjd_weights_add) and r->w->hyper. PJD_ERR_MODEL unless all of the file makes sense. */
    pjd_status (*read)(const pjd_reader *r, pjd_error *err);
} pjd_format_class;

extern const pjd_format_class *const pjd_format_classes[]; /* ends with NULL */

/* Room for the checksums of count records, all 0; the reader fills them, and calls pjd_checksums_done. NULL without memory. */
pjd_checksums *pjd_checksums_add(const pjd_reader *r, size_t count);
void pjd_checksums_done(pjd_checksums *c);

/* Copies *t and the name. Refuses a second tensor of the name, and a name that is no plain text. */
pjd_status pjd_weights_add(const pjd_reader *r, const char *name, size_t len, const pjd_tensor *t, pjd_error *err);
/* Strides of a contiguous C-order tensor. */
void pjd_tensor_contiguous(pjd_tensor *t);

/* Read one file's bytes into r->w by the class that matches, or say which kind of file it is. */
pjd_status pjd_weights_read(const pjd_reader *r, pjd_error *err);
/* Likewise for a path; the mapping is kept by w. */
pjd_status pjd_weights_read_path(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err);
/* By one class, whatever the first bytes: for the fuzz targets. */
pjd_status pjd_weights_open_as(const pjd_format_class *cls, const void *data, size_t size, pjd_weights **out,
                               pjd_error *err);

/* folder.c: a diffusers folder, or an index of shards. */
pjd_status pjd_folder_read(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err);
pjd_status pjd_index_read(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err);
/* config.json of the diffusers layout beside a single file, when it is one of a network. */
pjd_status pjd_folder_beside(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err);

/* refuse.c: why these bytes, which no class knows, are not a checkpoint. Always returns PJD_ERR_MODEL. */
pjd_status pjd_refuse_kind(const pjd_reader *r, pjd_error *err);

/* strip.c: EMA before its raw twin, duplicates once, wrapper prefixes off; fills names and the maps. */
pjd_status pjd_weights_strip(pjd_weights *w, const char *who, const pjd_log *log, pjd_error *err);

/* ---- little-endian loads ---- */

static inline uint32_t pjd_le16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static inline uint32_t pjd_le32(const unsigned char *p)
{
    return pjd_le16(p) | pjd_le16(p + 2) << 16;
}
static inline uint64_t pjd_le64(const unsigned char *p)
{
    return pjd_le32(p) | (uint64_t)pjd_le32(p + 4) << 32;
}

#endif
