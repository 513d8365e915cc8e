/* SPDX-License-Identifier: MIT */
/*
 * What several receiver coils see of a complex picture in Cartesian k-space: y_c = M F (S_c x), F the centred orthonormal
 * Fourier transform (zero frequency and the middle of the picture at floor(n / 2)), M the sampled places.
 *
 * Complex arrays of the outside are planes: x [2, h, w], y and maps [2 coils, h, w], real before imaginary. Inside they
 * are pairs in the order of the transform (its zero first), [h][w][2].
 */
#ifndef PJD_OP_COILS_H
#define PJD_OP_COILS_H

#include "core/core.h"
#include "fft.h"

/* ---- a complex transform in two dimensions ---- */

typedef struct pjd_cfft2 {
    size_t h, w;
    pjd_fft *row, *column;
} pjd_cfft2;

pjd_status pjd_cfft2_create(size_t h, size_t w, pjd_cfft2 *out, pjd_error *err);
void pjd_cfft2_free(pjd_cfft2 *f);
size_t pjd_cfft2_slot(const pjd_cfft2 *f); /* floats of scratch that one thread wants */

enum { PJD_COLUMNS = 16 }; /* that are transformed together */

/* Columns first .. of z [h][w][2] to slots of work; back from there. */
void pjd_cfft2_gather(const pjd_cfft2 *f, const float *z, size_t first, float *work);
void pjd_cfft2_scatter(const pjd_cfft2 *f, const float *work, size_t first, float *z);
/* Element i of column k, a pair, in the slots: before the transform, and after it. */
float *pjd_cfft2_in(const pjd_cfft2 *f, float *work, size_t k);
float *pjd_cfft2_out(const pjd_cfft2 *f, float *work, size_t k);
/* The gathered columns, from in to out; unscaled. */
void pjd_cfft2_columns(const pjd_cfft2 *f, bool backward, size_t count, float *work);
/* In place, in the order of the transform, unscaled; one thread, work: pjd_cfft2_slot() floats. */
void pjd_cfft2_run(const pjd_cfft2 *f, bool backward, float *z, float *work);

/* Where index i of a centred axis of n lies in the order of the transform, and back. */
static inline size_t pjd_uncentre(size_t i, size_t n)
{
    return (i + n - n / 2) % n;
}
static inline size_t pjd_centre(size_t i, size_t n)
{
    return (i + n / 2) % n;
}

/* ---- coils ---- */

typedef struct pjd_coils {
    size_t c, h, w;
    size_t measured; /* sampled places */
    double energy;   /* sum of |S_c|^2 over coils and pixels */
    pjd_cfft2 f;
    float *maps;           /* [c][h][w][2] */
    float *mask;           /* [h][w]: 0, or what makes the transform orthonormal */
    unsigned char *active; /* for each group of columns: something in it is sampled */
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
