/* SPDX-License-Identifier: MIT */
/*
 * ProjDiff as its published program runs it, draw for draw: the grid 0, skip, 2 skip, ... with skip = T / steps, whatever
 * that makes of the number of steps; a fixed step size; nothing of our own at the end. Kept for comparison only.
 */
#include <math.h>
#include <string.h>

#include "solvers/projdiff.h"

typedef struct reference {
    pjd_solver_run *r;
    size_t n;           /* elements of all samples */
    float *xt, *d, *z;  /* [n] */
    float *m;           /* [n] momentum, or NULL */
    float *xta, *c, *a; /* noisy forms: the auxiliary variable, coordinates, levels */
    float *data;        /* spectral: (U' y)_i / s_i, 0 where s_i = 0 */
    float *work;
    double lr;
    bool first;
} reference;

static pjd_status draw(reference *w, float *z, size_t n)
{
    return pjd_noise_normal(w->r->noise, z, n, w->r->err);
}

/* x0 += lr (d - x0), with momentum when asked for. */
static void gradient_step(reference *w)
{
    float *x0 = w->r->x0;
    float lr = (float)w->lr, beta = (float)w->r->opt->momentum;

    if (!w->m) {
        for (size_t i = 0; i < w->n; i++)
            x0[i] += lr * (w->d[i] - x0[i]);
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        float g = w->d[i] - x0[i];

        w->m[i] = w->first ? g : beta * w->m[i] + (1 - beta) * g;
        x0[i] += lr * w->m[i];
    }
    w->first = false;
}

static void project(reference *w, float *x, double alpha)
{
    const pjd_operator *op = w->r->op;

    for (size_t s = 0; s < w->r->samples; s++)
        pjd_operator_project(op, x + s * op->nx, w->r->y, alpha, w->work);
}

/* x0 = D(sqrt(1 - abar) z, t) at the largest level. */
static pjd_status start(reference *w, double t)
{
    float scale = (float)sqrt(1 - pjd_model_abar(w->r->model, t));
    pjd_status st = draw(w, w->z, w->n);

    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < w->n; i++)
        w->xt[i] = scale * w->z[i];
    return pjd_solver_denoise(w->r, 0, w->xt, t, w->r->x0);
}

/* Keep what a spectral operator saw: c_i = sqrt(a_i) (U'y)_i / s_i where s_i > 0. */
static void reset_seen(const reference *w, float *c)
{
    const pjd_operator *op = w->r->op;

    for (size_t s = 0; s < w->r->samples; s++)
        for (size_t i = 0; i < op->nx; i++)
            if (op->singular[i] > 0)
                c[s * op->nx + i] = sqrtf(w->a[i]) * w->data[i];
}

static void spectral(const reference *w, const float *in, float *out, bool inverse)
{
    const pjd_operator *op = w->r->op;

    for (size_t s = 0; s < w->r->samples; s++) {
        if (inverse)
            op->v->from_spectral(op, in + s * op->nx, out + s * op->nx, w->work);
        else
            op->v->to_spectral(op, in + s * op->nx, out + s * op->nx, w->work);
    }
}

static pjd_status step_noise_free(reference *w, size_t step, double t, double abar)
{
    float *x0 = w->r->x0, sa = (float)sqrt(abar), sb = (float)sqrt(1 - abar);
    bool first = w->r->op->project_first;
    pjd_status st = draw(w, w->z, w->n);

    if (st == PJD_OK && first)
        st = draw(w, w->z, w->n); /* the one before went into a level without noise */
    if (st != PJD_OK)
        return st;
    memcpy(w->d, x0, w->n * sizeof *x0);
    if (first)
        project(w, w->d, 1);
    for (size_t i = 0; i < w->n; i++)
        w->xt[i] = sa * w->d[i] + sb * w->z[i];
    st = pjd_solver_denoise(w->r, step, w->xt, t, w->d);
    if (st != PJD_OK)
        return st;
    gradient_step(w);
    if (w->data) {
        spectral(w, x0, w->c, false);
        reset_seen(w, w->c);
        spectral(w, w->c, x0, true);
    } else {
        project(w, x0, 1);
    }
    return PJD_OK;
}

static pjd_status step_one_level(reference *w, size_t step, double t, double abar, double a)
{
    float *x0 = w->r->x0;
    bool noisy = abar <= a;
    pjd_status st = noisy ? draw(w, w->z, w->n) : PJD_OK;

    if (st != PJD_OK)
        return st;
    if (noisy) {
        float p = (float)sqrt(abar / a), q = (float)sqrt(1 - abar / a);

        for (size_t i = 0; i < w->n; i++)
            w->xt[i] = p * w->xta[i] + q * w->z[i];
    } else {
        float p = (float)sqrt(abar), q = (float)sqrt((1 - abar) / (1 - a)), sa = (float)sqrt(a);

        for (size_t i = 0; i < w->n; i++)
            w->xt[i] = p * x0[i] + q * (w->xta[i] - sa * x0[i]);
    }
    st = pjd_solver_denoise(w->r, step, w->xt, t, w->d);
    if (st != PJD_OK)
        return st;
    if (!noisy) {
        gradient_step(w);
        return PJD_OK;
    }
    memcpy(x0, w->d, w->n * sizeof *x0);
    st = draw(w, w->z, w->n);
    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < w->n; i++)
        w->xta[i] = (float)sqrt(a) * x0[i] + (float)sqrt(1 - a) * w->z[i];
    project(w, w->xta, a);
    return PJD_OK;
}

/* One level per singular value; everything but the network in the coordinates V' x. */
static pjd_status step_spectral(reference *w, size_t step, double t, double abar)
{
    const pjd_operator *op = w->r->op;
    float *x0 = w->r->x0, p = (float)sqrt(abar), q = (float)sqrt(1 - abar), lr = (float)w->lr;
    size_t count = 0, k = 0;
    pjd_status st;

    for (size_t i = 0; i < w->n; i++)
        count += w->a[i % op->nx] >= abar;
    st = draw(w, w->z, count);
    if (st != PJD_OK)
        return st;
    spectral(w, x0, w->c, false);
    for (size_t i = 0; i < w->n; i++) {
        float a = w->a[i % op->nx];

        if (a >= abar)
            w->d[i] = sqrtf((float)abar / a) * w->xta[i] + sqrtf(1 - (float)abar / a) * w->z[k++];
        else
            w->d[i] = p * w->c[i] + q * (w->xta[i] - sqrtf(a) * w->c[i]) / sqrtf(1 - a);
    }
    spectral(w, w->d, w->xt, true);
    st = pjd_solver_denoise(w->r, step, w->xt, t, w->d);
    if (st == PJD_OK)
        st = draw(w, w->z, w->n);
    if (st != PJD_OK)
        return st;
    spectral(w, w->d, w->xt, false);
    for (size_t i = 0; i < w->n; i++) {
        float a = w->a[i % op->nx];

        if (a >= abar) {
            w->c[i] = w->xt[i];
            w->xta[i] = sqrtf(a) * w->c[i] + sqrtf(1 - a) * w->z[i];
        } else {
            w->c[i] += lr * (w->xt[i] - w->c[i]);
        }
    }
    reset_seen(w, w->xta);
    spectral(w, w->c, x0, true);
    return PJD_OK;
}

static pjd_status prepare_spectral(reference *w)
{
    const pjd_operator *op = w->r->op;
    float *scratch = w->z;

    op->v->data(op, w->r->y, scratch, w->work);
    for (size_t i = 0; i < op->nx; i++) {
        double s = op->singular[i], v = s > 0 ? w->r->sigma / s : 0;

        w->data[i] = s > 0 ? (float)(scratch[i] / s) : 0;
        w->a[i] = (float)(1 / (1 + v * v));
    }
    return PJD_OK;
}

static pjd_status start_auxiliary(reference *w, double a)
{
    float *x0 = w->r->x0, sa = (float)sqrt(a), sb = (float)sqrt(1 - a);
    pjd_status st = draw(w, w->z, w->n);

    if (st != PJD_OK)
        return st;
    if (!w->data) {
        for (size_t i = 0; i < w->n; i++)
            w->xta[i] = sa * x0[i] + sb * w->z[i];
        return PJD_OK;
    }
    spectral(w, x0, w->c, false);
    for (size_t i = 0; i < w->n; i++) {
        float ai = w->a[i % w->r->op->nx];

        w->xta[i] = sqrtf(ai) * w->c[i] + sqrtf(1 - ai) * w->z[i];
    }
    return draw(w, w->z, w->n); /* drawn by the program and never used */
}

static pjd_status run_levels(reference *w)
{
    pjd_solver_run *r = w->r;
    size_t T = r->model->info.timesteps, steps = r->opt->steps ? r->opt->steps : 100, repeats = r->opt->repeats;
    size_t skip = T / steps > 0 ? T / steps : 1, levels = (T + skip - 1) / skip;
    double v = pjd_operator_noise_gain(r->op, r->sigma * r->sigma), a = 1 / (1 + v);
    pjd_status st = start(w, (double)((levels - 1) * skip));

    if (st == PJD_OK && r->sigma > 0)
        st = start_auxiliary(w, a);
    else if (st == PJD_OK && r->op->project_first)
        st = draw(w, w->z, w->n); /* drawn by the program and never used */
    for (size_t k = 0; k < levels && st == PJD_OK; k++) {
        double t = (double)((levels - 1 - k) * skip), abar = pjd_model_abar(r->model, t);

        for (size_t j = 0; j < (repeats ? repeats : 1) && st == PJD_OK; j++) {
            if (!(r->sigma > 0))
                st = step_noise_free(w, k + 1, t, abar);
            else if (w->data)
                st = step_spectral(w, k + 1, t, abar);
            else
                st = step_one_level(w, k + 1, t, abar, a);
        }
        if (st == PJD_OK)
            st = pjd_solver_progress(r, k + 1, levels);
    }
    r->report->steps = levels;
    r->report->step_size = w->lr;
    return st;
}

pjd_status pjd_projdiff_reference(pjd_solver_run *r)
{
    const pjd_operator *op = r->op;
    bool noisy = r->sigma > 0, spectral_form = op->spectral_count == op->nx;
    bool momentum = r->opt->momentum > 0;
    size_t n = r->samples * op->nx, floats;
    reference w = {.r = r, .n = n, .lr = r->opt->step_size > 0 ? r->opt->step_size : 1, .first = true};
    float *buf;
    pjd_status st;

    if (r->model->info.timesteps < 2)
        return pjd_error_set(r->err, PJD_ERR_ARG, "solver: a model of at least 2 timesteps expected");
    floats = 3 * n + (momentum ? n : 0) + (noisy ? n : 0) + (spectral_form ? n + 2 * op->nx : 0) +
             pjd_operator_work(op);
    buf = pjd_alloc(floats, sizeof *buf);
    if (!buf)
        return pjd_error_nomem(r->err, "solver", floats * sizeof *buf);
    w.xt = buf;
    w.d = w.xt + n;
    w.z = w.d + n;
    buf = w.z + n;
    if (momentum) {
        w.m = buf;
        buf += n;
    }
    if (noisy) {
        w.xta = buf;
        buf += n;
    }
    if (spectral_form) {
        w.c = buf;
        w.a = w.c + n;
        w.data = w.a + op->nx;
        buf = w.data + op->nx;
    }
    w.work = buf;
    st = spectral_form ? prepare_spectral(&w) : PJD_OK;
    if (st == PJD_OK)
        st = run_levels(&w);
    r->report->peak_bytes = floats * sizeof *buf;
    pjd_free(w.xt);
    return st;
}
