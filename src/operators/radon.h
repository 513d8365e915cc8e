/* SPDX-License-Identifier: MIT */
/*
 * Line integrals of a picture along parallel rays (the Radon transform of tomography), their adjoint with the same weights,
 * and filtered back-projection.
 *
 * A view at angle theta has detectors at s = k - (detectors - 1) / 2 - axis (pixels), where s = X cos theta + Y sin theta, X to
 * the right and Y upwards from the picture's centre. Rays within 45 degrees of the vertical are followed row by row,
 * the others column by column (Joseph 1982): a row enters with linear interpolation at the point where the ray crosses it.
 * Rays of one view are parallel, so the same shift of a row serves them all: shifted rows add up to a line with the
 * pixels' spacing, in long vector loops, and that line is resampled once at the detectors (cubic convolution, Keys 1981).
 */
#ifndef PJD_OP_RADON_H
#define PJD_OP_RADON_H

#include "core/core.h"

typedef struct pjd_radon pjd_radon;

typedef struct pjd_radon_options {
    size_t h, w, detectors;
    const double *degrees; /* [views], borrowed */
    size_t views;
    double axis;  /* where the axis of rotation falls, in pixels right of the detectors' middle */
    double scale; /* measurements are scale times line integrals in pixels */
} pjd_radon_options;

pjd_status pjd_radon_create(const pjd_radon_options *o, pjd_radon **out, pjd_error *err);
void pjd_radon_free(pjd_radon *r); /* NULL is fine */
/* Floats of scratch for `channels` pictures at once; false when too many. */
bool pjd_radon_work(const pjd_radon *r, size_t channels, size_t *floats);
/* x [channels, h, w] -> y [channels, views, detectors] */
void pjd_radon_apply(const pjd_radon *r, size_t channels, const float *x, float *y, float *work);
void pjd_radon_adjoint(const pjd_radon *r, size_t channels, const float *y, float *x, float *work);
/* Filtered back-projection: the ramp with a Hann window, and a Wiener filter by what the views' spectra say of the noise. */
void pjd_radon_filtered(const pjd_radon *r, size_t channels, const float *y, float *x, float *work);

/*
 * to ~ (A A* + lambda)^-1 from, symmetric and positive: a filter along the detectors. A A* keeps the frequencies along s apart
 * up to the picture's border; where the spokes of neighbouring views overlap, its eigenvalue on consistent data is the
 * number of those that do (1 / (range width frequency)), elsewhere a view's own. filter: of that size, for a lambda.
 */
size_t pjd_radon_filter_size(const pjd_radon *r);
void pjd_radon_filter(const pjd_radon *r, double lambda, float *filter);
void pjd_radon_precondition(const pjd_radon *r, size_t channels, const float *filter, const float *from, float *to,
                            float *work);

#endif
