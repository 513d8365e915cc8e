/* SPDX-License-Identifier: MIT */
/*
 * Shrinking with a kernel: pixel i of y lies at (i + 1/2) h_x / h_y - 1/2 in x and is a weighted mean around there.
 *
 *   average    pixels by the share of them that the cell covers
 *   bicubic    Keys' cubic, a = -1/2, stretched by h_x / h_y (which removes what the small picture cannot show), over the pixels
 *              that exist: Pillow's BICUBIC, and MATLAB's imresize away from the border
 *   gaussian   a Gaussian, over the pixels that exist
 *   given      a kernel of the caller's; the picture is mirrored at its border; whole factors only
 *
 * All but a given kernel of higher rank act on rows and columns one after the other, A = R_h x R_w (Kronecker product), so that
 * two small eigenvalue problems, R R' = U S^2 U', give (A A* + lambda)^-1 and the spectral form. The rest: conjugate gradients.
 */
#ifndef PJD_OP_RESAMPLE_H
#define PJD_OP_RESAMPLE_H

#include "internal.h"
#include "psf.h"

typedef enum pjd_resample_kind {
    PJD_RESAMPLE_AVERAGE = 0,
    PJD_RESAMPLE_BICUBIC,
    PJD_RESAMPLE_GAUSSIAN,
    PJD_RESAMPLE_GIVEN
} pjd_resample_kind;

typedef struct pjd_resample {
    pjd_resample_kind kind;
    double gaussian;    /* standard deviation in pixels of x */
    const pjd_psf *psf; /* given */
    size_t factor;      /* given */
    bool part;          /* of a composition: no decompositions */
} pjd_resample;

/* x, y: [c, h, w] with as many channels; y no larger than x. */
pjd_status pjd_resample_create(const pjd_resample *how, const pjd_shape *x, const pjd_shape *y, pjd_operator **out,
                               pjd_error *err);

#endif
