/* SPDX-License-Identifier: MIT */
/*
 * ProjDiff for sources (arXiv 2406.06959, sections 4.3 and D): the variance-exploding form, with momentum, a few repeats per
 * level, and a projection that spreads what the stems miss of the mixture evenly.
 */
#include <math.h>
#include <string.h>

#include "solvers/source.h"

/* x0 becomes consistent with what is known: the mixture or given stems, and the samples of an earlier window. */
static void project(const source_run *r)
{
    size_t length = r->s->length, stems = r->s->stems, known = r->o.known_length;
    float *x0 = r->stems, share = 1 / (float)stems;

    for (size_t k = 0; k < stems; k++) {
        if (r->given && r->given[k])
            memcpy(x0 + k * length, r->given[k], length * sizeof *x0);
        else if (known)
            memcpy(x0 + k * length, r->o.known + k * known, known * sizeof *x0);
    }
    if (!r->mixture)
        return;
    for (size_t i = known; i < length; i++) {
        float miss = r->mixture[i];

        for (size_t k = 0; k < stems; k++)
            miss -= x0[k * length + i];
        miss *= share;
        for (size_t k = 0; k < stems; k++)
            x0[k * length + i] += miss;
    }
}

/* x0 = D(sigma_0 z, sigma_0). The published program takes unit noise, whatever sigma_0 is. */
static pjd_status start(source_run *r)
{
    float scale = r->o.compat == PJD_COMPAT_REFERENCE ? 1 : (float)r->sigmas[0];
    pjd_status st = pjd_source_draw(r, r->s->z);

    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < r->s->n; i++)
        r->s->x[i] = scale * r->s->z[i];
    st = pjd_source_denoise(r, r->s->x, r->sigmas[0], r->stems);
    if (st == PJD_OK && r->o.compat != PJD_COMPAT_REFERENCE)
        project(r);
    return st;
}

/* x at level i: x0 + sigma_i z, or with Restricted Encoding x0 + sigma_(i+1) n + sqrt(sigma_i^2 - sigma_(i+1)^2) z, where n
   stays the same for the whole run. */
static pjd_status renoise(source_run *r, size_t i, bool restricted)
{
    double s = r->sigmas[i], next = r->sigmas[i + 1];
    float keep = restricted ? (float)next : 0, fresh = (float)(restricted ? sqrt(s * s - next * next) : s);
    pjd_status st = pjd_source_draw(r, r->s->z);

    if (st != PJD_OK)
        return st;
    for (size_t j = 0; j < r->s->n; j++)
        r->s->x[j] = r->stems[j] + keep * r->s->encoding[j] + fresh * r->s->z[j];
    return PJD_OK;
}

/* What the published program evaluates first: noise alone. */
static pjd_status first_of_reference(source_run *r)
{
    const float *z = r->o.initial_noise;
    float scale = (float)r->sigmas[0];

    if (!z) {
        pjd_status st = pjd_source_draw(r, r->s->z);

        if (st != PJD_OK)
            return st;
        z = r->s->z;
    }
    for (size_t j = 0; j < r->s->n; j++)
        r->s->x[j] = scale * z[j];
    return PJD_OK;
}

static pjd_status evaluate(source_run *r, size_t i, size_t repeat, bool restricted)
{
    bool first = i == 0 && repeat == 0;
    float lr = (float)r->o.step_size, beta = (float)r->o.momentum, *m = r->s->m, *x0 = r->stems;
    pjd_status st = first && r->o.compat == PJD_COMPAT_REFERENCE ? first_of_reference(r) : renoise(r, i, restricted);

    if (st == PJD_OK)
        st = pjd_source_denoise(r, r->s->x, r->sigmas[i], r->s->d);
    if (st != PJD_OK)
        return st;
    for (size_t j = 0; j < r->s->n; j++) {
        float g = r->s->d[j] - x0[j];

        m[j] = first ? g : beta * m[j] + (1 - beta) * g;
        x0[j] += lr * m[j];
    }
    project(r);
    return PJD_OK;
}

pjd_status pjd_source_projdiff(source_run *r)
{
    bool restricted = !r->mixture && !r->o.free_encoding;
    pjd_status st = start(r);

    if (st == PJD_OK && restricted)
        st = pjd_source_draw(r, r->s->encoding);
    else
        memset(r->s->encoding, 0, r->s->n * sizeof *r->s->encoding); /* times 0: must be finite */
    for (size_t i = 0; i < r->o.steps && st == PJD_OK; i++) {
        for (size_t k = 0; k < r->o.repeats && st == PJD_OK; k++)
            st = evaluate(r, i, k, restricted);
        if (st == PJD_OK)
            st = pjd_source_progress(r, i, r->stems);
    }
    return st;
}
