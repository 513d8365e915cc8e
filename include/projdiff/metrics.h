/* SPDX-License-Identifier: MIT */
/*
 * Metrics between an estimate and a reference, both [c,h,w] with the same stated range.
 */
#ifndef PROJDIFF_METRICS_H
#define PROJDIFF_METRICS_H

#include "projdiff/status.h"
#include "projdiff/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * name: "psnr", "ssim", "mae", "rmse" or "si-sdr" (pjd_registry_entry with PJD_REGISTRY_METRICS names all).
 * psnr: 10 log10(range^2 / mse), mse over all channels and pixels; +infinity for equal inputs.
 * ssim: Wang et al. 2004, 11x11 Gaussian window sigma 1.5, K1 = 0.01, K2 = 0.03, valid windows only,
 *   population moments, mean over channels and positions; range is the one given, never the data's own.
 *   Pictures smaller than the window: PJD_ERR_SHAPE.
 * mae, rmse: mean absolute and root mean squared error over all channels and pixels, divided by range.
 * si-sdr: Le Roux et al. 2019, eq. 3, in dB, the mean over channels; no mean is removed and range does not count;
 *   -infinity where the estimate has nothing of the reference. A silent channel of the reference: PJD_ERR_ARG.
 * A value that is not finite: PJD_ERR_NONFINITE. *value is NaN unless the call succeeded.
 */
PJD_API pjd_status pjd_metric(const char *name, const pjd_shape *shape, const float *estimate, const float *reference,
                              double range, double *value, pjd_error *err);

#ifdef __cplusplus
}
#endif
#endif
