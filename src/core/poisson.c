/* SPDX-License-Identifier: MIT */
/* Counts: Poisson draws, and Anscombe's transform with its exact unbiased inverse. */
#include <math.h>

#include "core/core.h"
#include "projdiff/noise.h"

/* ---- draws ---- */

/* A uniform number in (0, 1), from the normal that a source gives. */
static pjd_status uniform(pjd_noise *src, double *u, pjd_error *err)
{
    float z = 0.0f;
    pjd_status st = pjd_noise_normal(src, &z, 1, err);

    *u = 0.5 * erfc(-(double)z * M_SQRT1_2);
    *u = *u < 1e-300 ? 1e-300 : *u > 1.0 - 0x1p-53 ? 1.0 - 0x1p-53 : *u;
    return st;
}

/* Inversion: count up through the distribution. */
static pjd_status small_count(pjd_noise *src, double mean, double *k, pjd_error *err)
{
    double u, p = exp(-mean);
    pjd_status st = uniform(src, &u, err);

    for (*k = 0.0; st == PJD_OK && u > p && *k < 1000.0;) {
        u -= p;
        *k += 1.0;
        p *= mean / *k;
    }
    return st;
}

/* Transformed rejection (Hormann 1993, "The transformed rejection method for generating Poisson random variables", PTRS). */
static pjd_status large_count(pjd_noise *src, double mean, double *k, pjd_error *err)
{
    double b = 0.931 + 2.53 * sqrt(mean), a = -0.059 + 0.02483 * b, inverse = 1.1239 + 1.1328 / (b - 3.4);
    double quick = 0.9277 - 3.6224 / (b - 2.0);

    for (;;) {
        double u, v, us;
        pjd_status st = uniform(src, &u, err);

        if (st == PJD_OK)
            st = uniform(src, &v, err);
        if (st != PJD_OK)
            return st;
        u -= 0.5;
        us = 0.5 - fabs(u);
        *k = floor((2.0 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= quick)
            return PJD_OK;
        if (*k < 0.0 || (us < 0.013 && v > us))
            continue;
        if (log(v * inverse / (a / (us * us) + b)) <= -mean + *k * log(mean) - lgamma(*k + 1.0))
            return PJD_OK;
    }
}

pjd_status pjd_noise_poisson(pjd_noise *src, const float *mean, float *counts, size_t n, pjd_error *err)
{
    for (size_t i = 0; i < n; i++) {
        double k = 0.0, m = mean[i];
        pjd_status st;

        if (!(m >= 0.0 && m <= 1e9))
            return pjd_error_set(err, PJD_ERR_ARG, "noise: a Poisson mean from 0 to 1e9 expected, found %g", m);
        st = m < 12.0 ? small_count(src, m, &k, err) : large_count(src, m, &k, err);
        if (st != PJD_OK)
            return st;
        counts[i] = (float)k;
    }
    return PJD_OK;
}

/* ---- the transform ---- */

void pjd_anscombe(const float *counts, float *z, size_t n)
{
    for (size_t i = 0; i < n; i++)
        z[i] = 2.0f * sqrtf((counts[i] > 0.0f ? counts[i] : 0.0f) + 0.375f);
}

/* E 2 sqrt(k + 3/8) for counts of this mean, summed where the distribution is not negligible. */
static double expectation(double mean)
{
    double low = floor(mean - 10.0 * sqrt(mean) - 12.0), high = ceil(mean + 10.0 * sqrt(mean) + 30.0), sum = 0.0, p;

    if (!(mean > 0.0))
        return 2.0 * sqrt(0.375);
    low = low > 0.0 ? low : 0.0;
    p = exp(-mean + low * log(mean) - lgamma(low + 1.0));
    for (double k = low; k <= high; k += 1.0) {
        sum += p * 2.0 * sqrt(k + 0.375);
        p *= mean / (k + 1.0);
    }
    return sum;
}

enum { NODES = 1025 };
static const double node_step = 1.0 / 64.0; /* of the root of the mean: up to 256 counts */

/* The mean whose expectation is z; beyond the table z^2 / 4 - 1 / 8, which is then right to 3e-7 counts. */
static double invert(const double *table, double z)
{
    size_t low = 0, high = NODES - 1;
    double root;

    if (!(z > table[0]))
        return 0.0;
    if (z >= table[NODES - 1])
        return 0.25 * z * z - 0.125;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (table[middle] <= z)
            low = middle;
        else
            high = middle;
    }
    root = node_step * ((double)low + (z - table[low]) / (table[low + 1] - table[low]));
    return root * root;
}

void pjd_anscombe_inverse(const float *z, float *mean, size_t n)
{
    double table[NODES];

    for (size_t k = 0; k < NODES; k++)
        table[k] = expectation(node_step * (double)k * node_step * (double)k);
    for (size_t i = 0; i < n; i++)
        mean[i] = (float)invert(table, z[i]);
}
