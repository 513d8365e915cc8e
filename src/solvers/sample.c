/* SPDX-License-Identifier: MIT */
/* Samples from the prior itself (DDIM: Song, Meng & Ermon 2021, eqs. 12 and 16), and a noise estimate for pictures. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/prior.h"
#include "projdiff/solver.h"

typedef struct sampler {
    pjd_model *m;
    pjd_runner *runner;
    pjd_noise *noise;
    float *x, *d, *z; /* [n] */
    size_t n;
} sampler;

static pjd_status ddim_step(sampler *s, double t, double next, double eta, pjd_error *err)
{
    double abar = pjd_model_abar(s->m, t), to = next >= 0 ? pjd_model_abar(s->m, next) : 1;
    double sd = eta * sqrt((1 - to) / (1 - abar)) * sqrt(fmax(0, 1 - abar / to));
    double keep = sqrt(fmax(0, 1 - to - sd * sd));
    pjd_status st = pjd_runner_denoise(s->runner, s->x, t, s->d, err);

    if (st == PJD_OK && sd > 0)
        st = pjd_noise_normal(s->noise, s->z, s->n, err);
    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < s->n; i++) {
        double eps = (s->x[i] - sqrt(abar) * s->d[i]) / sqrt(1 - abar);

        s->x[i] = (float)(sqrt(to) * s->d[i] + keep * eps + (sd > 0 ? sd * s->z[i] : 0));
    }
    return PJD_OK;
}

pjd_status pjd_sample(pjd_model *model, const pjd_shape *item, const pjd_solve_options *opt, double eta, float *x,
                      pjd_error *err)
{
    pjd_solve_options o = opt ? *opt : (pjd_solve_options){0};
    size_t samples = o.samples ? o.samples : 1, steps = o.steps ? o.steps : 100, n;
    double top = (double)(model->info.timesteps - 1);
    sampler s = {.m = model, .noise = o.noise, .x = x};
    pjd_noise *own = NULL;
    pjd_status st;

    if (!(eta >= 0 && eta <= 1))
        return pjd_error_set(err, PJD_ERR_ARG, "sample: eta expected from 0 to 1, found %g", eta);
    st = pjd_runner_create(model, samples, item, &o.runner, &s.runner, err);
    if (st != PJD_OK)
        return st;
    pjd_shape_count(item, &n);
    s.n = n * samples;
    s.d = pjd_alloc(s.n, sizeof *s.d);
    s.z = pjd_alloc(s.n, sizeof *s.z);
    if (!s.d || !s.z)
        st = pjd_error_nomem(err, "sample", 2 * s.n * sizeof *s.d);
    if (st == PJD_OK && !s.noise) {
        st = pjd_noise_seeded(o.seed, 1, &own, err);
        s.noise = own;
    }
    if (st == PJD_OK)
        st = pjd_noise_normal(s.noise, x, s.n, err);
    if (st == PJD_OK && o.begin)
        o.begin(o.progress_user);
    for (size_t k = 0; k < steps && st == PJD_OK; k++) {
        double t = steps > 1 ? top * (double)(steps - 1 - k) / (double)(steps - 1) : top;
        double next = k + 1 < steps ? top * (double)(steps - 2 - k) / (double)(steps - 1) : -1;

        st = ddim_step(&s, t, next, eta, err);
        if (st == PJD_OK && o.progress && !o.progress(o.progress_user, k + 1, steps, x))
            st = pjd_error_set(err, PJD_ERR_CANCELLED, "sample: cancelled after step %zu of %zu", k + 1, steps);
    }
    pjd_runner_free(s.runner);
    pjd_noise_free(own);
    pjd_free(s.d);
    pjd_free(s.z);
    return st;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Root mean square of the mixed second differences x[i][j] - x[i][j+1] - x[i+1][j] + x[i+1][j+1] in a block of CELLS x CELLS
   disjoint 2x2 cells, halved: sigma for white noise. Negative for a block with more than an eighth of its cells at black or white:
   half of the noise about a limit is cut off, and such a block would pass for a quiet one. */
enum { CELLS = 8 };

static bool at_limit(float v)
{
    return fabsf(v) > 0.999f;
}

static float block_sigma(const float *y, size_t width)
{
    double sum = 0;
    int clipped = 0;

    for (size_t i = 0; i < CELLS; i++)
        for (size_t j = 0; j < CELLS; j++) {
            const float *q = y + 2 * i * width + 2 * j;
            double d = (double)q[0] - q[1] - q[width] + q[width + 1];

            sum += d * d;
            clipped += at_limit(q[0]) || at_limit(q[1]) || at_limit(q[width]) || at_limit(q[width + 1]);
        }
    return clipped * 8 > CELLS * CELLS ? -1 : (float)(sqrt(sum / (CELLS * CELLS)) / 2);
}

/*
 * White noise is everywhere, texture is not: the quietest fifth of the blocks tells the noise. The fifth's upper end lies 0.84
 * standard deviations below the mean of a block's estimate, which has a relative deviation of 1 / sqrt(2 * 64).
 */
double pjd_estimate_sigma(const pjd_shape *shape, const float *y)
{
    const double below = 1 - 0.8416 / sqrt(2.0 * CELLS * CELLS);
    size_t rows, cols, count = 0;
    float *v;
    double sigma = 0;

    if (shape->rank != 3)
        return 0;
    rows = shape->dim[1] / (2 * CELLS);
    cols = shape->dim[2] / (2 * CELLS);
    v = rows && cols && shape->dim[0] ? pjd_alloc(shape->dim[0] * rows * cols, sizeof *v) : NULL;
    if (!v)
        return 0;
    for (size_t p = 0; p < shape->dim[0]; p++)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) {
                size_t at = (p * shape->dim[1] + 2 * CELLS * i) * shape->dim[2] + 2 * CELLS * j;
                float s = block_sigma(y + at, shape->dim[2]);

                if (s >= 0)
                    v[count++] = s;
            }
    if (count) {
        qsort(v, count, sizeof *v, compare_floats);
        sigma = v[count / 5] / below;
    }
    pjd_free(v);
    return isfinite(sigma) ? sigma : 0;
}
