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
    *value = sqrt(sum / (double)n) / range;
    return PJD_OK;
}

extern const pjd_metric_class pjd_m_rmse;
const pjd_metric_class pjd_m_rmse = {
    .entry = {.name = "rmse", .summary = "root mean squared error as a fraction of the range (the scale of --sigma)"},
    .score = score,
};
