/* SPDX-License-Identifier: MIT */
/*
 * Samples from the posterior, where the restoring solver gives one good answer: for masks, averages and the identity, in
 * the variance-exploding form x_t = x0 + tau z. Data of variance v are a sample of what is seen at tau^2 = v, and given
 * a sample at one level, a fresh one at a lower level is exact for Gaussian priors when both moments are:
 *
 *   start at the top: x = D + tau z for what is not seen; e + sqrt(tau^2 - v) z for what is seen
 *   step tau -> s, s^2 >= v for what is seen:  e + sqrt(s^2 - v) z                 the data themselves, re-noised
 *   not seen, and seen below v:                ancestral step D + (s/tau)^2 (x - D) + s sqrt(1 - (s/tau)^2) z
 *
 * The ancestral step (Ho et al. 2020, eq. 7, here with tau) turns samples at tau into samples at s: what is seen starts at
 * tau^2 = v from the data, as a sample there, so its law below is the posterior's.
 */
#include <math.h>
#include <string.h>

#include "solvers/projdiff.h"

typedef struct posterior {
    pjd_solver_run *r;
    size_t n;
    float *x, *d, *z, *seen, *work; /* [n]; seen: e + what is not seen of x */
} posterior;

static double tau2_of(const posterior *w, double t)
{
    double abar = pjd_model_abar(w->r->model, t);

    return (1 - abar) / abar;
}

/* x <- x with what is seen replaced by the data in x's coordinates. */
static void put_data(posterior *w, float *x)
{
    for (size_t s = 0; s < w->r->samples; s++)
        pjd_operator_project(w->r->op, x + s * w->r->op->nx, w->r->y, 1, w->work);
}

static pjd_status draw(posterior *w)
{
    return pjd_noise_normal(w->r->noise, w->z, w->n, w->r->err);
}

/* One step from tau^2 to s2 (0: the end) with the clean estimate in w->d. With P the projection, P(u + z) - P(u) is what is
   not seen of z. */
static pjd_status step(posterior *w, double tau2, double s2, double v)
{
    double ratio = s2 / tau2, fresh = sqrt(s2 * (1 - ratio));
    float q = (float)ratio, f = (float)fresh;
    bool data = s2 >= v;
    pjd_status st = draw(w);

    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < w->n; i++)
        w->x[i] = w->d[i] + q * (w->x[i] - w->d[i]) + f * w->z[i];
    if (!data)
        return PJD_OK;
    put_data(w, w->x);
    if (s2 > v) {
        /* noise for what is seen alone: z - (P(x + z) - P(x)), and x is P(x) already */
        float g = (float)sqrt(s2 - v);

        st = draw(w);
        for (size_t i = 0; i < w->n; i++)
            w->seen[i] = w->x[i] + w->z[i];
        put_data(w, w->seen);
        for (size_t i = 0; i < w->n; i++)
            w->x[i] += g * (w->z[i] - (w->seen[i] - w->x[i]));
    }
    return st;
}

/* Levels evenly spaced in log tau, the data's own among them. */
static double level(const posterior *w, size_t k, size_t steps, double v)
{
    double top = tau2_of(w, (double)(w->r->model->info.timesteps - 1)), low = tau2_of(w, 0);
    double t2 = top * pow(low / top, (double)k / (double)(steps - 1)), next;

    if (k == 0 || !(v > low && v < top))
        return t2;
    next = top * pow(low / top, ((double)k + 1) / (double)(steps - 1));
    return t2 >= v && next < v ? v : t2;
}

/* Far from data a network's clean estimate may leave the range of data. */
static void clamp(posterior *w)
{
    float low = (float)w->r->model->info.range_low, high = (float)w->r->model->info.range_high;

    for (size_t i = 0; low < high && i < w->n; i++)
        w->d[i] = w->d[i] < low ? low : w->d[i] > high ? high : w->d[i];
}

static pjd_status iterate(posterior *w, size_t steps, double v)
{
    double tau2 = level(w, 0, steps, v), none = 0;
    pjd_status st = draw(w);

    /* At the top the noise is all there is. */
    for (size_t i = 0; i < w->n; i++) {
        w->d[i] = 0;
        w->x[i] = (float)sqrt(tau2) * w->z[i];
    }
    if (st == PJD_OK)
        st = step(w, tau2 * (1 + 1e-9), tau2, v);
    for (size_t k = 0; k < steps && st == PJD_OK; k++) {
        double abar = 1 / (1 + tau2), s2 = k + 1 < steps ? level(w, k + 1, steps, v) : none;

        for (size_t i = 0; i < w->n; i++)
            w->seen[i] = w->x[i] * (float)sqrt(abar);
        st = pjd_solver_denoise(w->r, k + 1, w->seen, pjd_model_t_of_abar(w->r->model, abar), w->d);
        clamp(w);
        if (st == PJD_OK)
            st = step(w, tau2, s2, v);
        memcpy(w->r->x0, s2 > 0 ? w->d : w->x, w->n * sizeof *w->x);
        if (st == PJD_OK)
            st = pjd_solver_progress(w->r, k + 1, steps);
        tau2 = s2;
    }
    return st;
}

static pjd_status run(pjd_solver_run *r)
{
    const pjd_operator *op = r->op;
    size_t work = pjd_operator_work(op), steps = r->opt->steps ? r->opt->steps : 100;
    posterior w = {.r = r, .n = r->samples * op->nx};
    pjd_status st;

    if (!op->linear || (op->kind != PJD_OP_SELECT && op->kind != PJD_OP_AVERAGE && op->kind != PJD_OP_IDENTITY))
        return pjd_error_set(r->err, PJD_ERR_UNSUPPORTED,
                             "posterior: expected a mask, an averaging or plain noise, found %s", op->name);
    if (steps < 2)
        return pjd_error_set(r->err, PJD_ERR_ARG, "posterior: expected at least 2 steps, found %zu", steps);
    w.x = pjd_alloc(4 * w.n + work, sizeof *w.x);
    if (!w.x)
        return pjd_error_nomem(r->err, "posterior", (4 * w.n + work) * sizeof *w.x);
    w.d = w.x + w.n;
    w.z = w.d + w.n;
    w.seen = w.z + w.n;
    w.work = w.seen + w.n;
    st = iterate(&w, steps, pjd_operator_noise_gain(op, r->sigma * r->sigma));
    r->report->steps = steps;
    r->report->step_size = 1;
    r->report->peak_bytes = (4 * w.n + work) * sizeof *w.x;
    pjd_free(w.x);
    return st;
}

static void forecast(const pjd_solver_run *r, pjd_solver_forecast *f)
{
    f->steps = r->opt->steps ? r->opt->steps : 100;
    f->evaluations = f->steps;
    f->floats = 4 * r->samples * r->op->nx + pjd_operator_work(r->op);
}

const pjd_solver_class pjd_sv_posterior = {
    .entry = {.name = "posterior", .summary = "samples whose spread is the posterior's (masks, averages, noise)"},
    .forecast = forecast,
    .run = run,
};
