/* SPDX-License-Identifier: MIT */
/*
 * The forms of a blur. All of them compute y[i] = sum_j k[j] X[i + centre - j] for some extension X of x beyond its
 * border.
 *
 *   periodic            Fourier basis: everything in closed form, spectral form
 *   reflect, symmetric  cosine basis: everything in closed form, spectral form
 *   zero and auto, rank-one kernel, sides up to PJD_BLUR_DENSE: two small singular value decompositions, spectral form
 *   auto                conjugate gradients on the border's few unknowns
 *   everything else     preconditioned conjugate gradients
 *
 * auto: X = x, which is larger than y by the kernel less one pixel; y is the part of the convolution that x
 * determines.
 *
 * Singular values below PJD_BLUR_FLOOR of the largest count as zero: what they carry is below float32's rounding of
 * the rest, and dividing by them would bring that rounding into the picture.
 */
#ifndef PJD_OP_BLUR_H
#define PJD_OP_BLUR_H

#include "fft.h"
#include "internal.h"
#include "psf.h"

#define PJD_BLUR_FLOOR 1e-4
enum { PJD_BLUR_DENSE = 1024 };

typedef enum pjd_boundary {
    PJD_BOUNDARY_AUTO = 0,
    PJD_BOUNDARY_REFLECT,
    PJD_BOUNDARY_ZERO,
    PJD_BOUNDARY_PERIODIC
} pjd_boundary;

typedef struct pjd_blur_options {
    pjd_boundary boundary;
    size_t iterations; /* of conjugate gradients */
    double tolerance;
    bool part; /* of a composition: no decompositions, which only projections and the spectral form use */
} pjd_blur_options;

/* s / (s^2 + lambda), or 0 where that would divide by (nearly) nothing. */
static inline double pjd_blur_filter(double s, double lambda, double floor)
{
    return s >= floor || lambda >= floor * floor ? s / (s * s + lambda) : 0.0;
}

/* ---- blur_closed.c: what blur_periodic.c and blur_cosine.c share ---- */

typedef struct pjd_blur_closed {
    size_t c, h, w;
    float *singular; /* [c, h, w] */
    double floor, gain;
    /* x += V s / (s^2 + lambda) U' (scale y - A x) */
    void (*correct)(const pjd_operator *op, float *x, const float *y, double scale, double lambda, float *work);
    pjd_fft2 f; /* periodic */
    float *transfer;
    pjd_dct2 d;   /* cosine */
    float *eigen; /* [h, w] */
} pjd_blur_closed;

/* An operator with one of these as op->priv; correct, floor, what is in singular and the basis are yet to come. */
pjd_status pjd_blur_closed_create(const pjd_psf *psf, const pjd_shape *x, const pjd_op_vtbl *table, pjd_operator **out,
                                  pjd_error *err);
void pjd_blur_closed_destroy(pjd_operator *op);
/* From the first channel's singular values: the floor, below which they become 0, and the other channels'. */
void pjd_blur_closed_floor(pjd_blur_closed *b);
void pjd_blur_closed_project(const pjd_operator *op, float *x, const float *y, double alpha, float *work);
void pjd_blur_closed_prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work);
double pjd_blur_closed_noise_gain(const pjd_operator *op, double sigma2);
void pjd_blur_closed_guess(const pjd_operator *op, const float *y, float *x, float *work);
#define PJD_BLUR_CLOSED                                                                                                \
    .project = pjd_blur_closed_project, .prox = pjd_blur_closed_prox, .noise_gain = pjd_blur_closed_noise_gain,        \
    .guess = pjd_blur_closed_guess, .destroy = pjd_blur_closed_destroy

pjd_status pjd_blur_periodic(const pjd_psf *psf, const pjd_shape *x, pjd_operator **out, pjd_error *err);
pjd_status pjd_blur_cosine(const pjd_psf *psf, const pjd_shape *x, pjd_operator **out, pjd_error *err);
pjd_status pjd_blur_general(const pjd_psf *psf, const pjd_blur_options *opt, const pjd_shape *x, const pjd_shape *y,
                            pjd_operator **out, pjd_error *err);

/* 1 / (mean squared singular value of the periodic blur) = 1 / sum k^2: one number for all of the spectrum. */
static inline double pjd_blur_gain(const pjd_psf *psf)
{
    return 1.0 / psf->squares;
}

/* s *= t, or conj(t), over `blocks` blocks of LANES complex numbers. */
void pjd_spectrum_multiply(float *s, const float *t, bool conjugate, size_t blocks);
/* The kernel's transform on a grid; entry (i, j) of the kernel lies at (i - top, j - left) modulo the grid. */
pjd_status pjd_blur_transfer(const pjd_psf *psf, const pjd_fft2 *f, size_t top, size_t left, float **out,
                             pjd_error *err);

/* ---- blur_general.c, shared with blur_border.c and blur_svd.c ---- */

typedef struct pjd_svd pjd_svd;

typedef struct pjd_blur {
    size_t c, h, w, xh, xw;  /* y is [c, h, w], x is [c, xh, xw] */
    size_t ch, cw;           /* X: h + kernel - 1 */
    size_t *rows, *cols;     /* rows of X -> rows of x, SIZE_MAX outside; NULL: X is x */
    size_t left;             /* columns of X before x's own */
    pjd_fft2 f;              /* on a grid that holds X */
    float *transfer, *power; /* H as a spectrum, |H|^2 as [blocks][LANES] */
    double top;              /* largest |H|^2 */
    double gain;
    pjd_blur_options opt;
    bool border; /* solved for on the border alone */
    pjd_svd *svd;
    float *singular;
} pjd_blur;

size_t pjd_blur_plane_work(const pjd_blur *b);
void pjd_blur_apply(const pjd_blur *b, const float *x, float *y, float *work);   /* one channel */
void pjd_blur_adjoint(const pjd_blur *b, const float *y, float *x, float *work); /* one channel */

/* ---- blur_border.c: where X is x, and its border not too wide ---- */

bool pjd_border_fits(const pjd_blur *b);
size_t pjd_border_work(const pjd_blur *b);
/* x += A* u, (A A* + lambda) u = scale y - A x, all channels; lambda > 0, error and tolerance as pjd_op_vtbl.prox_about's */
void pjd_border_correct(const pjd_blur *b, float *x, const float *y, double scale, double lambda, double tolerance,
                        double error, float *work);

/* ---- blur_svd.c ---- */

/* Decompositions for a kernel of rank one; leaves b->svd NULL when they did not fit. */
pjd_status pjd_svd_create(pjd_blur *b, const pjd_psf *psf, pjd_error *err);
void pjd_svd_free(pjd_svd *s);
size_t pjd_svd_work(const pjd_blur *b);
/* x += V s / (s^2 + lambda) U' (scale y - A x), one channel */
void pjd_svd_correct(const pjd_blur *b, float *x, const float *y, double scale, double lambda, float *work);
void pjd_svd_to_spectral(const pjd_blur *b, const float *x, float *c, float *work);
void pjd_svd_from_spectral(const pjd_blur *b, const float *c, float *x, float *work);
void pjd_svd_data(const pjd_blur *b, const float *y, float *d, float *work);
/* pjd_op_vtbl.adjust of one channel, whose coordinates start with number `first` */
void pjd_svd_adjust(const pjd_blur *b, float *x, double least, pjd_spectral_change change, void *ctx, size_t first,
                    float *work);

#endif
