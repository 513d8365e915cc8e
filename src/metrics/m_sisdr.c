/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "core/metric.h"

/* Le Roux et al. 2019, "SDR - half-baked or well done?", eq. 3, of one channel: the reference scaled to what the estimate has of it. */
static double channel(size_t n, const float *e, const float *s)
{
    double es = 0, ss = 0, target, error = 0, scale;

    for (size_t i = 0; i < n; i++) {
        es += (double)e[i] * (double)s[i];
        ss += (double)s[i] * (double)s[i];
    }
    scale = es / ss;
    for (size_t i = 0; i < n; i++) {
        double d = (double)e[i] - scale * (double)s[i];

        error += d * d;
    }
    target = scale * scale * ss;
    return error > 0 ? 10 * log10(target / error) : INFINITY;
}

static pjd_status score(const pjd_shape *shape, const float *estimate, const float *reference, double range,
                        double *value, pjd_error *err)
{
    size_t n = shape->dim[1] * shape->dim[2];
    double sum = 0;

    (void)range;
    for (size_t c = 0; c < shape->dim[0]; c++) {
        double energy = 0;

        for (size_t i = 0; i < n; i++)
            energy += (double)reference[c * n + i] * (double)reference[c * n + i];
        if (!(energy > 0))
            return pjd_error_set(err, PJD_ERR_ARG, "si-sdr: channel %zu of the reference is silent", c);
        sum += channel(n, estimate + c * n, reference + c * n);
    }
    *value = sum / (double)shape->dim[0];
    return PJD_OK;
}

extern const pjd_metric_class pjd_m_sisdr;
const pjd_metric_class pjd_m_sisdr = {
    .entry = {.name = "si-sdr",
              .summary = "scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), mean over channels"},
    .score = score,
};
