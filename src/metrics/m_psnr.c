/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "core/metric.h"

static pjd_status score(const pjd_shape *shape, const float *estimate, const float *reference, double range,
                        double *value, pjd_error *err)
{
    size_t n = shape->dim[0] * shape->dim[1] * shape->dim[2];
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double d = (double)estimate[i] - (double)reference[i];

        sum += d * d;
    }
    *value = sum > 0 ? 10 * log10(range * range / (sum / (double)n)) : INFINITY;
    return PJD_OK;
}

extern const pjd_metric_class pjd_m_psnr;
const pjd_metric_class pjd_m_psnr = {
    .entry = {.name = "psnr",
              .summary = "peak signal-to-noise ratio in dB, 10 log10(range^2 / mean squared error) over all channels"},
    .score = score,
};
