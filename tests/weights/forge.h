/* SPDX-License-Identifier: MIT */
/* Files that no honest program writes: archives, pickles and headers put together byte by byte. */
#ifndef TESTS_WEIGHTS_FORGE_H
#define TESTS_WEIGHTS_FORGE_H

#include "support/support.h"
#include "weights/format.h"

typedef struct forge {
    unsigned char *data;
    size_t size, capacity;
} forge;

void forge_bytes(forge *f, const void *data, size_t n);
void forge_text(forge *f, const char *text);
void forge_number(forge *f, uint64_t v, size_t width); /* little-endian */
void forge_free(forge *f);

/* A record of a zip archive, and the lies about it. */
typedef struct forge_entry {
    const char *name;
    const void *data;
    size_t size;
    const char *local_name; /* NULL: name */
    unsigned flags, method;
    uint64_t claimed;    /* uncompressed size; 0: size */
    int64_t local_shift; /* added to the local header's offset in the directory */
    uint32_t crc_error;  /* xor */
    bool no_crc;         /* 0 instead */
} forge_entry;

/* Stored entries, directory, end record. */
void forge_zip(forge *f, const forge_entry *entries, size_t count);
/* archive/data.pkl with this pickle, archive/data/0 with `floats` zeros, archive/version. */
void forge_torch(forge *f, const void *pickle, size_t size, size_t floats);
/* A header text, then n zero bytes. */
void forge_safetensors(forge *f, const char *header, size_t n);

/* Open a copy of exactly size bytes, so that a sanitizer sees what is read beyond; if that works, verify and convert everything. */
pjd_status forge_open(const void *data, size_t size, pjd_error *err);

/* File below tests/weights/fixtures. */
unsigned char *fixture(const char *name, size_t *size);
const char *fixture_path(const char *name);

#endif
