/* SPDX-License-Identifier: MIT */
/* Blur kernels: the picture of a point. */
#ifndef PJD_OP_PSF_H
#define PJD_OP_PSF_H

#include "core/core.h"

/* y[i] = sum_j k[j] x[i + centre - j]: an impulse is replaced by the kernel, its centre on the impulse. */
typedef struct pjd_psf {
    size_t h, w, cy, cx; /* the centre lies inside */
    double *k;           /* [h, w], sum 1, no empty border rows or columns beyond the centre */
    double squares;      /* sum of squares */
    /* k = column * row where it has rank one; else NULL */
    double *column, *row;
    bool symmetric; /* odd sizes, centred, equal to its mirror images in both axes */
} pjd_psf;

pjd_status pjd_psf_gaussian(double sigma, pjd_psf *out, pjd_error *err);
/* A straight line of the given length (pixels, end to end), degrees counter-clockwise from the x axis. */
pjd_status pjd_psf_motion(double length, double angle, pjd_psf *out, pjd_error *err);
pjd_status pjd_psf_disk(double radius, pjd_psf *out, pjd_error *err);
/* Any values with a positive sum, divided by it; several channels are averaged; centre at floor(n / 2). */
pjd_status pjd_psf_array(const char *who, const pjd_array *a, pjd_psf *out, pjd_error *err);
void pjd_psf_free(pjd_psf *p);

#endif
