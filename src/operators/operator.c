/* SPDX-License-Identifier: MIT */
/* Operators: lifetime, accessors, and the calls that dispatch to the classes or fall back on generic forms. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "projdiff/noise.h"

pjd_status pjd_op_require_chw(const char *who, const pjd_shape *s, pjd_error *err)
{
    char text[128];
    size_t n;

    if (s->rank != 3)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected channels x height x width, found %s", who,
                             pjd_shape_text(s, text, sizeof text));
    if (!pjd_shape_count(s, &n) || n == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected sizes above zero that fit in memory, found %s", who,
                             pjd_shape_text(s, text, sizeof text));
    return PJD_OK;
}

pjd_status pjd_op_require_equal(const char *who, const char *what, const pjd_shape *expected, const pjd_shape *given,
                                pjd_error *err)
{
    char a[128], b[128];

    if (!given || pjd_shape_equal(expected, given))
        return PJD_OK;
    return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected a %s of %s, found %s", who, what,
                         pjd_shape_text(expected, a, sizeof a), pjd_shape_text(given, b, sizeof b));
}

/* ---- lifetime ---- */

pjd_status pjd_op_new(const char *name, const pjd_op_vtbl *v, const pjd_shape *x, const pjd_shape *y, bool linear,
                      pjd_operator **out, pjd_error *err)
{
    pjd_operator *op;
    char text[128];
    size_t nx, ny;

    *out = NULL;
    if (!pjd_shape_count(x, &nx) || nx == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: x must have sizes above zero that fit in memory, found %s", name,
                             pjd_shape_text(x, text, sizeof text));
    if (!pjd_shape_count(y, &ny) || ny == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: y must have sizes above zero that fit in memory, found %s", name,
                             pjd_shape_text(y, text, sizeof text));
    op = pjd_alloc_zero(1, sizeof *op);
    if (!op)
        return pjd_error_nomem(err, name, sizeof *op);
    atomic_init(&op->refs, 1);
    op->v = v;
    snprintf(op->name, sizeof op->name, "%s", name);
    op->x = *x;
    op->y = *y;
    op->result = *x;
    op->nx = nx;
    op->ny = ny;
    op->linear = linear;
    *out = op;
    return PJD_OK;
}

pjd_operator *pjd_operator_ref(pjd_operator *op)
{
    atomic_fetch_add_explicit(&op->refs, 1, memory_order_relaxed);
    return op;
}

void pjd_operator_unref(pjd_operator *op)
{
    if (!op || atomic_fetch_sub_explicit(&op->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (op->v->destroy)
        op->v->destroy(op);
    else
        pjd_free(op->priv);
    pjd_free(op);
}

/* ---- accessors ---- */

const char *pjd_operator_name(const pjd_operator *op)
{
    return op->name;
}

bool pjd_operator_is_linear(const pjd_operator *op)
{
    return op->linear;
}

const pjd_shape *pjd_operator_input(const pjd_operator *op)
{
    return &op->x;
}

const pjd_shape *pjd_operator_output(const pjd_operator *op)
{
    return &op->y;
}

const pjd_shape *pjd_operator_result(const pjd_operator *op, size_t *offset_y, size_t *offset_x)
{
    if (offset_y)
        *offset_y = op->offset_y;
    if (offset_x)
        *offset_x = op->offset_x;
    return &op->result;
}

size_t pjd_operator_work(const pjd_operator *op)
{
    /* The generic forms below need a scaled copy of y and a residual, A* of it, and what the operator wants. */
    size_t closed = 2 * pjd_op_pad(op->ny) + pjd_op_pad(op->nx) + op->work;

    if (op->linear && !op->v->gram_solve && !(op->v->project && op->v->prox)) {
        size_t cg = pjd_op_cg_work(op);

        return cg > closed ? cg : closed;
    }
    return closed;
}

/* ---- calls ---- */

void pjd_operator_apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    op->v->apply(op, x, y, work);
}

void pjd_operator_adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    if (op->linear)
        op->v->adjoint(op, y, x, work);
}

/* x += A* (A A* + lambda)^-1 (scale y - A x) */
static void solve(const pjd_operator *op, float *x, const float *y, double scale, double lambda, bool exact,
                  float *work)
{
    float *r = work, *d = r + pjd_op_pad(op->ny), *rest = d + pjd_op_pad(op->nx);

    if (!op->v->gram_solve) {
        pjd_op_cg(op, x, y, scale, lambda, exact, work);
        return;
    }
    op->v->apply(op, x, r, rest);
    pjd_vec_scale_minus(scale, y, r, op->ny);
    op->v->gram_solve(op, r, lambda, rest);
    op->v->adjoint(op, r, d, rest);
    pjd_vec_axpy(1.0, d, x, op->nx);
}

void pjd_operator_project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    double scale = sqrt(alpha);

    if (op->v->project) {
        op->v->project(op, x, y, alpha, work);
    } else if (op->linear && op->v->prox) {
        float *scaled = work;

        for (size_t i = 0; i < op->ny; i++)
            scaled[i] = (float)(scale * (double)y[i]);
        op->v->prox(op, x, scaled, 0.0, work + pjd_op_pad(op->ny));
    } else if (op->linear) {
        solve(op, x, y, scale, 0.0, true, work);
    }
}

void pjd_operator_prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    if (!(lambda >= 0.0))
        lambda = 0.0;
    if (op->v->prox)
        op->v->prox(op, x, y, lambda, work);
    else if (op->linear)
        solve(op, x, y, 1.0, lambda, false, work);
    else
        pjd_operator_project(op, x, y, 1.0, work);
}

double pjd_operator_noise_gain(const pjd_operator *op, double sigma2)
{
    return op->v->noise_gain ? op->v->noise_gain(op, sigma2) : sigma2;
}

void pjd_operator_guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    if (op->v->guess) {
        op->v->guess(op, y, x, work);
        return;
    }
    memset(x, 0, op->nx * sizeof *x);
    /* A weight of 1% of the mean squared singular value keeps the weak directions quiet. */
    if (op->linear)
        pjd_operator_prox(op, x, y, 0.01 / pjd_operator_noise_gain(op, 1.0), work);
    else
        pjd_operator_project(op, x, y, 1.0, work);
}

/* ---- self-test ---- */

static pjd_status adjoint_trials(const pjd_operator *op, unsigned trials, pjd_noise *noise, float *m, double *worst,
                                 pjd_error *err)
{
    float *x = m, *xt = x + pjd_op_pad(op->nx), *y = xt + pjd_op_pad(op->nx), *yt = y + pjd_op_pad(op->ny);
    float *work = yt + pjd_op_pad(op->ny);

    for (unsigned k = 0; k < trials; k++) {
        pjd_status st = pjd_noise_normal(noise, x, op->nx, err);
        double defect, size;

        if (st == PJD_OK)
            st = pjd_noise_normal(noise, y, op->ny, err);
        if (st != PJD_OK)
            return st;
        op->v->apply(op, x, yt, work);
        op->v->adjoint(op, y, xt, work);
        defect = fabs(pjd_vec_dot(yt, y, op->ny) - pjd_vec_dot(x, xt, op->nx));
        size = sqrt(pjd_vec_dot(yt, yt, op->ny)) * sqrt(pjd_vec_dot(y, y, op->ny));
        defect /= size + 1e-30;
        if (!(defect <= *worst)) /* NaN must win */
            *worst = defect;
        if (!isfinite(*worst))
            return pjd_error_set(err, PJD_ERR_NONFINITE, "%s: apply or adjoint gave a non-finite value", op->name);
    }
    return PJD_OK;
}

pjd_status pjd_operator_test_adjoint(const pjd_operator *op, unsigned trials, uint64_t seed, double *worst,
                                     pjd_error *err)
{
    size_t total = 2 * pjd_op_pad(op->nx) + 2 * pjd_op_pad(op->ny) + pjd_operator_work(op);
    pjd_noise *noise = NULL;
    float *m = NULL;
    pjd_status st;

    *worst = 0.0;
    if (!op->linear)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%s: only a linear operator has an adjoint", op->name);
    m = pjd_alloc(total, sizeof *m);
    if (!m)
        return pjd_error_nomem(err, op->name, total * sizeof *m);
    st = pjd_noise_seeded(seed, 0, &noise, err);
    if (st == PJD_OK)
        st = adjoint_trials(op, trials ? trials : 1, noise, m, worst, err);
    pjd_noise_free(noise);
    pjd_free(m);
    return st;
}
