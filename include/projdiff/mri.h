/* SPDX-License-Identifier: MIT */
/*
 * Magnetic resonance: from Cartesian k-space of several coils to what the operator `mri` and a prior of photographs take,
 * and back.
 *
 *     pjd_mri *m;       // sampling, maps, phase, scale
 *     pjd_mri_prepare(&kspace_shape, kspace, NULL, &m, &err);
 *     n = pjd_mri_arrays(m, arrays);                                  // mask and maps, borrowed
 *     pjd_operator_create("mri", arrays, n, NULL, &kspace_shape, &op, &err);
 *     pjd_model_planes(photo_prior, 2, &prior, &err);                 // two gray planes
 *     o.sigma = pjd_mri_get_info(m)->sigma / pjd_mri_get_info(m)->scale;
 *     pjd_solve(prior, op, pjd_mri_measurement(m), &o, x, NULL, &err);
 *     pjd_mri_finish(m, x, picture);                                  // real and imaginary part in the data's units
 *
 * A photograph has black at -1 and no phase, so x is 2 p exp(-i phase) / scale - 1 where p is the scan's picture: the
 * phase, slowly varying, of a low-resolution picture from the calibration region is put into the maps, and scale makes a
 * high percentile of the magnitude nearly white. What is left of the phase is the imaginary part, around 0.
 *
 * k-space arrays are planes [2 coils, h, w], real before imaginary part of each coil, zero frequency at (h / 2, w / 2), as
 * is the middle of the picture; the transform is orthonormal.
 */
#ifndef PROJDIFF_MRI_H
#define PROJDIFF_MRI_H

#include <stdbool.h>

#include "projdiff/status.h"
#include "projdiff/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pjd_mri pjd_mri;

typedef struct pjd_mri_options {
    const float *mask;  /* [h, w], measured where not 0; NULL: where a coil is not 0 */
    const float *maps;  /* [2 coils, h, w]; NULL: estimated (ESPIRiT, Uecker et al. 2014), or 1 for a single coil */
    size_t calibration; /* longest side of the calibration region; 0: 24 */
    pjd_log log;
} pjd_mri_options;

typedef struct pjd_mri_info {
    size_t coils, height, width;
    size_t measured;                              /* places of k-space */
    size_t calibration_height, calibration_width; /* the fully sampled centre that was used */
    bool estimated;                               /* the maps */
    double support;                               /* share of the picture that a coil sees */
    double scale;                                 /* what magnitude is white, in the units of the data */
    double sigma; /* noise of a real or imaginary part, from the outermost samples: an upper bound */
} pjd_mri_info;

/* kspace is borrowed during the call. opt may be NULL. PJD_ERR_SHAPE, PJD_ERR_ARG (nothing measured; maps cannot be
   estimated because the centre is not fully sampled), PJD_ERR_NONFINITE. */
PJD_API pjd_status pjd_mri_prepare(const pjd_shape *kspace_shape, const float *kspace, const pjd_mri_options *opt,
                                   pjd_mri **out, pjd_error *err);
PJD_API void pjd_mri_free(pjd_mri *m); /* NULL is fine */

/* All below is valid as long as m. */
PJD_API const pjd_mri_info *pjd_mri_get_info(const pjd_mri *m);
/* "mask" and "maps" (the phase in them) for pjd_operator_create; out has room for 2. Returns 2. */
PJD_API size_t pjd_mri_arrays(const pjd_mri *m, pjd_array *out);
/* What the operator sees of x: [2 coils, h, w]. */
PJD_API const float *pjd_mri_measurement(const pjd_mri *m);
/* A solution x [2, h, w] as the scan's picture [2, h, w] in the units of the data, relative to the given or estimated maps;
   0 where no coil sees anything. x and picture may be the same. */
PJD_API void pjd_mri_finish(const pjd_mri *m, const float *x, float *picture);

/* Maps alone: ESPIRiT's first set, [2 coils, h, w], of length 1 over the coils, 0 where the eigenvalue is below 0.8; the
   phase is that of the strongest combination of coils. Errors as above. */
PJD_API pjd_status pjd_mri_estimate_maps(const pjd_shape *kspace_shape, const float *kspace, const pjd_mri_options *opt,
                                         float *maps, pjd_error *err);

#ifdef __cplusplus
}
#endif
#endif
