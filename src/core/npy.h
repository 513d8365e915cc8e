/* SPDX-License-Identifier: MIT */
/*
 * The header of NumPy's .npy, format versions 1 to 3: "\x93NUMPY", two version bytes, a length (2 or 4 bytes, little-endian),
 * a Python dict literal with exactly descr, fortran_order and shape; then the elements. Objects and structures are refused.
 */
#ifndef PJD_CORE_NPY_H
#define PJD_CORE_NPY_H

#include "core/core.h"

typedef struct pjd_npy_header {
    char kind;    /* 'f', 'i', 'u' or 'b' */
    bool big;     /* bytes of a number: the highest first */
    bool fortran; /* the first index runs fastest */
    size_t item;  /* bytes of a number */
    size_t parts; /* numbers of an element: 2 when complex */
    pjd_shape shape;
    size_t count; /* elements */
    size_t start; /* where they begin */
    size_t bytes; /* of all of them; not compared with what is there */
} pjd_npy_header;

/* Of the array file data[0 .. size-1]. NULL, or why it is refused: what was found. */
const char *pjd_npy_header_read(const unsigned char *data, size_t size, pjd_npy_header *h);

/* Whether this machine puts the highest byte first. */
bool pjd_host_is_big(void);

#endif
