/* SPDX-License-Identifier: MIT */
/*
 * Pickles as data. The machine below knows the opcodes that torch.save writes (protocols 2 to 5) and a dozen names of
 * PyTorch; no name is ever resolved to code. Every other object becomes an opaque value that keeps its class name and
 * its state. Values live in one table and refer to each other by index; memo references make cycles and shared parts
 * possible, so whoever walks them bounds depth and work.
 */
#ifndef PJD_WEIGHTS_PICKLE_H
#define PJD_WEIGHTS_PICKLE_H

#include "weights/format.h"

typedef enum pjd_pk_kind {
    PJD_PK_NONE = 0,
    PJD_PK_BOOL,
    PJD_PK_INT,
    PJD_PK_BIG, /* an integer beyond 64 bits: text, length are its little-endian bytes */
    PJD_PK_FLOAT,
    PJD_PK_STR,   /* text, length; UTF-8 as far as the writer was honest */
    PJD_PK_BYTES, /* text, length */
    PJD_PK_TUPLE, /* items */
    PJD_PK_LIST,
    PJD_PK_SET,
    PJD_PK_DICT,    /* items: key, value, key, value; a later key overrides an equal earlier one */
    PJD_PK_GLOBAL,  /* text: "module.name"; global tells the known ones */
    PJD_PK_STORAGE, /* index into storages */
    PJD_PK_TENSOR,  /* index into tensors */
    PJD_PK_OPAQUE   /* text: class; state: what BUILD gave, 0 for nothing */
} pjd_pk_kind;

typedef uint32_t pjd_pk_ref; /* index of a value; 0 is a None */

typedef struct pjd_pk_value {
    uint8_t kind;
    uint8_t global;
    uint32_t length;   /* of text or items */
    uint32_t capacity; /* of items */
    pjd_pk_ref state;
    union {
        int64_t integer;
        double number;
        const char *text;
        pjd_pk_ref *items;
        size_t index;
    } u;
} pjd_pk_value;

typedef struct pjd_pk_storage {
    const char *type; /* "FloatStorage" */
    bool known;       /* dtype is one of ours */
    bool untyped;     /* elements are bytes */
    pjd_dtype dtype;
    const char *key;
    size_t key_len;
    size_t elements;
    const unsigned char *data; /* set by the container */
    size_t bytes;
} pjd_pk_storage;

typedef struct pjd_pk_tensor {
    size_t storage;
    size_t offset; /* in elements */
    bool known;
    pjd_dtype dtype;
    pjd_shape shape;
    size_t stride[PJD_MAX_RANK];
    const char *type; /* "torch.float8_e4m3fn" of one that is not known; NULL: the storage tells */
    size_t type_len;
} pjd_pk_tensor;

typedef struct pjd_pickle {
    const pjd_reader *r;
    bool legacy;  /* persistent ids have a sixth member */
    bool objects; /* EDM's: objects with program text become dicts, storages lie in the pickle, which may be long */
    pjd_arena arena;
    pjd_pk_value *values;
    size_t count, capacity;
    pjd_pk_storage *storages;
    size_t storage_count, storage_capacity;
    pjd_strmap storage_keys;
    pjd_pk_tensor *tensors;
    size_t tensor_count, tensor_capacity;
} pjd_pickle;

/* Several pickles may be run one after the other; their values stay. *used: bytes up to and with STOP. */
pjd_status pjd_pickle_run(pjd_pickle *p, const unsigned char *data, size_t size, size_t *used, pjd_pk_ref *root,
                          pjd_error *err);
void pjd_pickle_free(pjd_pickle *p);

/* Value of a text key of a dict; NULL when absent or v is no dict. */
const pjd_pk_value *pjd_pickle_get(const pjd_pickle *p, const pjd_pk_value *v, const char *key);
/* The value as JSON text (bounded in depth and length) in the arena; NULL when out of memory. Tensors are null. */
char *pjd_pickle_json(const pjd_pickle *p, const pjd_pk_value *v, pjd_arena *arena);

/* fmt_torch_legacy.c: a single storage that torch.save wrote in the old format; data in place, type a static text. */
pjd_status pjd_torch_legacy_storage(const pjd_reader *r, pjd_pk_storage *out, pjd_error *err);

/* torch.c: find the state dict below root and add its tensors; storages are bound. */
pjd_status pjd_torch_extract(const pjd_pickle *p, pjd_pk_ref root, pjd_error *err);

#endif
