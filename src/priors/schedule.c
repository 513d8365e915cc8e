/* SPDX-License-Identifier: MIT */
/* Noise schedules of variance-preserving models, and the conversions between what networks predict. */
#include <math.h>
#include <string.h>

#include "core/prior.h"

static double cosine_abar(double u)
{
    double c = cos((u + 0.008) / 1.008 * 1.5707963267948966);

    return c * c;
}

static double sigmoid_abar(double u)
{
    double end = 1 / (1 + exp(-3.0));

    return (end - 1 / (1 + exp(3 - 6 * u))) / (2 * end - 1);
}

pjd_status pjd_schedule_betas(const char *name, double b0, double b1, size_t count, double *betas, pjd_error *err)
{
    bool cosine = !strcmp(name, "squaredcos_cap_v2") || !strcmp(name, "cosine");
    bool jabri = !strcmp(name, "sigmoid_abar");
    bool linear = !strcmp(name, "linear"), scaled = !strcmp(name, "scaled_linear"), sigmoid = !strcmp(name, "sigmoid");

    if (count == 0)
        return pjd_error_set(err, PJD_ERR_ARG, "schedule: at least one step expected, found 0");
    if (!cosine && !jabri && !linear && !scaled && !sigmoid)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "schedule: linear, scaled_linear, squaredcos_cap_v2 or sigmoid expected, found \"%.60s\"",
                             name);
    if (!cosine && !jabri && !(b0 > 0 && b0 <= b1 && b1 < 1))
        return pjd_error_set(err, PJD_ERR_ARG, "schedule: 0 < beta_start <= beta_end < 1 expected, found %g and %g", b0,
                             b1);
    for (size_t i = 0; i < count; i++) {
        double u = count > 1 ? (double)i / (double)(count - 1) : 0;

        if (linear) {
            betas[i] = b0 + u * (b1 - b0);
        } else if (scaled) {
            double r = sqrt(b0) + u * (sqrt(b1) - sqrt(b0));

            betas[i] = r * r;
        } else if (sigmoid) {
            betas[i] = b0 + (b1 - b0) / (1 + exp(6 - 12 * u));
        } else {
            double n = (double)count, from = (double)i / n, to = ((double)i + 1) / n;

            betas[i] = fmin(1 - (jabri ? sigmoid_abar(to) / sigmoid_abar(from) : cosine_abar(to) / cosine_abar(from)),
                            0.999);
        }
    }
    return PJD_OK;
}

pjd_edm pjd_edm_coefficients(double sigma, double sigma_data)
{
    double d2 = sigma_data * sigma_data, v = sigma * sigma + d2;

    return (pjd_edm){
        .c_skip = d2 / v, .c_out = sigma * sigma_data / sqrt(v), .c_in = 1 / sqrt(v), .c_noise = log(sigma) / 4};
}

void pjd_edm_to_x0(const pjd_edm *e, size_t n, const float *x, const float *f, bool clip, float *x0)
{
    float skip = (float)e->c_skip, out = (float)e->c_out;

#pragma omp parallel for schedule(static) if (n > 65536)
    for (size_t i = 0; i < n; i++) {
        float v = skip * x[i] + out * f[i];

        /* Written so that NaN passes through and is found. */
        x0[i] = clip && v > 1 ? 1 : clip && v < -1 ? -1 : v;
    }
}

void pjd_prediction_to_x0(pjd_prediction kind, size_t batch, size_t n, size_t stride, const float *x, const float *pred,
                          double abar, float *x0)
{
    double sa = sqrt(abar), sb = sqrt(1 - abar);
    float cx = 0, cp = 1; /* x0 = cx x + cp pred */

    if (kind == PJD_PREDICT_EPS) {
        cx = (float)(1 / sa);
        cp = (float)(-sb / sa);
    } else if (kind == PJD_PREDICT_V) {
        cx = (float)sa;
        cp = (float)-sb;
    }
    for (size_t b = 0; b < batch; b++)
#pragma omp parallel for schedule(static) if (n > 65536)
        for (size_t i = 0; i < n; i++)
            x0[b * n + i] = cx * x[b * n + i] + cp * pred[b * stride + i];
}
