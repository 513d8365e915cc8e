/* SPDX-License-Identifier: MIT */
/*
 * What several receiver coils see of a complex picture in Cartesian k-space: y_c = M F (S_c x), F the centred orthonormal
 * Fourier transform (zero frequency and the middle of the picture at floor(n / 2)), M the sampled places.
 *
 * Complex arrays of the outside are planes: x [2, h, w], y and maps [2 coils, h, w], real before imaginary. Inside they
 * are in the order of the transform (its zero first).
 */
#ifndef PJD_OP_COILS_H
#define PJD_OP_COILS_H

#include "core/core.h"
#include "fft.h"

/* Where index i of a centred axis of n lies in the order of the transform, and back. */
static inline size_t pjd_uncentre(size_t i, size_t n)
{
    return (i + n - n / 2) % n;
}
static inline size_t pjd_centre(size_t i, size_t n)
{
    return (i + n / 2) % n;
}

enum { PJD_COILS_BLOCK = 8 };

typedef struct pjd_coils {
    size_t c, h, w;
    size_t measured; /* sampled places */
    double energy;   /* sum of |S_c|^2 over coils and pixels */
    size_t blocks;   /* of PJD_COILS_BLOCK coils */
    size_t stride;   /* elements of a row of a block: odd, so that a column's are spread over a cache */
    pjd_fft *row, *column;
    float *maps;    /* [blocks][h][stride][2][PJD_COILS_BLOCK] in the order of the transform; 0 beyond the last coil */
    float *mask;    /* [w][h], columns together: 0, or what makes the transform orthonormal */
    size_t *order;  /* [w]: columns with something sampled, then the others */
    size_t sampled; /* of the former */
} pjd_coils;

/* maps NULL: one coil that sees all alike; mask [h, w] NULL: all is sampled, else what is not 0. */
pjd_status pjd_coils_create(size_t c, size_t h, size_t w, const float *maps, const float *mask, pjd_coils *out,
                            pjd_error *err);
void pjd_coils_free(pjd_coils *s);
size_t pjd_coils_work(const pjd_coils *s); /* floats */
void pjd_coils_apply(const pjd_coils *s, const float *x, float *y, float *work);
void pjd_coils_adjoint(const pjd_coils *s, const float *y, float *x, float *work);
/* q = A* A p without y. */
void pjd_coils_normal(const pjd_coils *s, const float *p, float *q, float *work);

#endif
