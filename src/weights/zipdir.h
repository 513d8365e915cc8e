/* SPDX-License-Identifier: MIT */
/*
 * The directory of a zip archive in memory. libzip does not tell where an entry's bytes are, and two readers that see
 * different archives are an old trick; so the directory is read here, strictly: nothing behind the end record, central
 * and local headers agree, entries neither overlap each other nor the directory, names are unique and lead nowhere.
 */
#ifndef PJD_WEIGHTS_ZIPDIR_H
#define PJD_WEIGHTS_ZIPDIR_H

#include "weights/format.h"

#define PJD_ZIP_STORED 0
#define PJD_ZIP_DEFLATED 8

typedef struct pjd_zip_entry {
    const char *name; /* not terminated */
    size_t name_len;
    unsigned method;
    uint32_t crc;
    size_t local;  /* offset of the local header */
    size_t offset; /* of the payload */
    size_t packed, size;
} pjd_zip_entry;

typedef struct pjd_zip {
    pjd_zip_entry *entries; /* in the directory's order */
    size_t count;
    pjd_strmap names;
} pjd_zip;

/* PJD_ERR_MODEL unless the archive is sound. Free with pjd_zip_close on success. */
pjd_status pjd_zip_open(const pjd_reader *r, pjd_zip *out, pjd_error *err);
void pjd_zip_close(pjd_zip *z);
const pjd_zip_entry *pjd_zip_find(const pjd_zip *z, const char *name, size_t len);

/* Name of the first local header, NULL when there is none: tells kinds of archives apart. */
const char *pjd_zip_first_name(const unsigned char *data, size_t size, size_t *len);

uint32_t pjd_crc32(const unsigned char *data, size_t size);
uint32_t pjd_crc32_tables(const unsigned char *data, size_t size); /* the same, without the processor's help */

#endif
