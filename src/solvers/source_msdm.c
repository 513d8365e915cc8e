/* SPDX-License-Identifier: MIT */
/*
 * The two samplers of G. Mariani et al., "Multi-source diffusion models for simultaneous music generation and separation"
 * (2023), section 4: Euler steps of the probability flow with stochastic churn and resampling; the mixture enters as a
 * constraint that eliminates one stem (Dirac) or as a likelihood with a width that follows the noise (Gaussian). Baselines.
 */
#include <math.h>
#include <string.h>

#include "solvers/source.h"

/* dx/dsigma of the stems at x into d (which holds D(x)). */
typedef void (*flow)(const source_run *r, double sigma);

/* The constrained stem is what the others leave of the mixture. */
static void constrain(const source_run *r, float *x)
{
    size_t length = r->s->length, at = r->o.constrained;

    for (size_t i = 0; i < length; i++) {
        float rest = r->mixture[i];

        for (size_t k = 0; k < r->s->stems; k++)
            if (k != at)
                rest -= x[k * length + i];
        x[at * length + i] = rest;
    }
}

static void flow_dirac(const source_run *r, double sigma)
{
    size_t length = r->s->length, at = r->o.constrained;
    float over = (float)(1 / sigma), *d = r->s->d;
    const float *x = r->s->x;

    for (size_t j = 0; j < r->s->n; j++)
        d[j] = over * (x[j] - d[j]);
    for (size_t i = 0; i < length; i++) {
        float own = d[at * length + i];

        for (size_t k = 0; k < r->s->stems; k++)
            d[k * length + i] -= own;
    }
}

static void flow_gaussian(const source_run *r, double sigma)
{
    size_t length = r->s->length;
    double gamma = r->o.gamma * sigma;
    float over = (float)(1 / sigma), weight = (float)(sigma / (2 * gamma * gamma)), *d = r->s->d;
    const float *x = r->s->x;

    for (size_t i = 0; i < length; i++) {
        float miss = r->mixture[i];

        for (size_t k = 0; k < r->s->stems; k++)
            miss -= x[k * length + i];
        for (size_t k = 0; k < r->s->stems; k++) {
            size_t j = k * length + i;

            d[j] = over * (x[j] - d[j]) - weight * miss;
        }
    }
}

static pjd_status add_noise(source_run *r, double scale)
{
    pjd_status st;

    if (!(scale > 0))
        return PJD_OK;
    st = pjd_source_draw(r, r->s->z);
    for (size_t j = 0; j < r->s->n && st == PJD_OK; j++)
        r->s->x[j] += (float)scale * r->s->z[j];
    return st;
}

static pjd_status step(source_run *r, size_t i, bool last, flow f)
{
    double s = r->sigmas[i], next = r->sigmas[i + 1];
    double up = s * (1 + fmin(r->o.churn / (double)r->o.steps, sqrt(2) - 1)), width;
    float *x = r->s->x;
    pjd_status st = add_noise(r, sqrt(up * up - s * s));

    if (st != PJD_OK)
        return st;
    if (f == flow_dirac)
        constrain(r, x);
    st = pjd_source_denoise(r, x, up, r->s->d);
    if (st != PJD_OK)
        return st;
    f(r, up);
    width = next - up;
    for (size_t j = 0; j < r->s->n; j++)
        x[j] += (float)width * r->s->d[j];
    return last ? PJD_OK : add_noise(r, sqrt(s * s - next * next));
}

static pjd_status integrate(source_run *r, flow f)
{
    float scale = (float)r->sigmas[0];
    pjd_status st = pjd_source_draw(r, r->s->z);

    for (size_t j = 0; j < r->s->n && st == PJD_OK; j++)
        r->s->x[j] = scale * r->s->z[j];
    for (size_t i = 0; i < r->o.steps && st == PJD_OK; i++) {
        for (size_t k = 0; k < r->o.repeats && st == PJD_OK; k++)
            st = step(r, i, k + 1 == r->o.repeats, f);
        if (st == PJD_OK)
            st = pjd_source_progress(r, i, r->s->x);
    }
    if (st != PJD_OK)
        return st;
    if (f == flow_dirac)
        constrain(r, r->s->x);
    if (!pjd_all_finite(r->s->x, r->s->n))
        return pjd_error_set(r->err, PJD_ERR_NONFINITE, "%s: the stems are not finite", r->o.solver);
    memcpy(r->stems, r->s->x, r->s->n * sizeof *r->stems);
    return PJD_OK;
}

pjd_status pjd_source_dirac(source_run *r)
{
    return integrate(r, flow_dirac);
}

pjd_status pjd_source_gaussian(source_run *r)
{
    return integrate(r, flow_gaussian);
}
