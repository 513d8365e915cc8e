/* SPDX-License-Identifier: MIT */
/*
 * diag(w) A: what makes noise of a known, uneven deviation even, y_i / s_i = (A x)_i / s_i + noise of deviation 1. Only the
 * base's apply, adjoint and guess are used; everything else follows by conjugate gradients.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

typedef struct weighted {
    pjd_operator *base;
    float *w; /* [ny] */
    double gain;
} weighted;

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const weighted *s = op->priv;

    pjd_operator_apply(s->base, x, y, work);
    for (size_t i = 0; i < op->ny; i++)
        y[i] *= s->w[i];
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const weighted *s = op->priv;

    for (size_t i = 0; i < op->ny; i++)
        work[i] = s->w[i] * y[i];
    pjd_operator_adjoint(s->base, work, x, work + pjd_op_pad(op->ny));
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    const weighted *s = op->priv;

    for (size_t i = 0; i < op->ny; i++)
        work[i] = y[i] / s->w[i];
    pjd_operator_guess(s->base, work, x, work + pjd_op_pad(op->ny));
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    const weighted *s = op->priv;

    return s->gain * pjd_operator_noise_gain(s->base, sigma2);
}

static void destroy(pjd_operator *op)
{
    weighted *s = op->priv;

    if (s) {
        pjd_operator_unref(s->base);
        pjd_free(s->w);
        pjd_free(s);
    }
}

static pjd_status fill(pjd_operator *op, weighted *s, const float *w, pjd_error *err)
{
    double sum = 0.0;

    s->w = pjd_alloc(op->ny, sizeof *s->w);
    if (!s->w)
        return pjd_error_nomem(err, op->name, op->ny * sizeof *s->w);
    for (size_t i = 0; i < op->ny; i++) {
        if (!(w[i] > 0.0f && isfinite(w[i])))
            return pjd_error_set(err, PJD_ERR_ARG, "%s: weights above 0 expected, found %g", op->name, (double)w[i]);
        s->w[i] = w[i];
        sum += (double)w[i] * (double)w[i];
    }
    s->gain = (double)op->ny / sum;
    return PJD_OK;
}

pjd_status pjd_operator_weighted(pjd_operator *base, const float *w, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {
        .apply = apply, .adjoint = adjoint, .noise_gain = noise_gain, .guess = guess, .destroy = destroy};
    pjd_operator *op = NULL;
    weighted *s;
    pjd_status st;

    *out = NULL;
    if (!base->linear)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%s: only a linear operator can be weighted", base->name);
    st = pjd_op_new(base->name, &table, &base->x, &base->y, true, &op, err);
    if (st != PJD_OK)
        return st;
    op->priv = s = pjd_alloc_zero(1, sizeof *s);
    if (!s) {
        pjd_operator_unref(op);
        return pjd_error_nomem(err, base->name, sizeof *s);
    }
    s->base = pjd_operator_ref(base);
    op->result = base->result;
    op->offset_y = base->offset_y;
    op->offset_x = base->offset_x;
    op->work = pjd_op_pad(op->ny) + pjd_operator_work(base);
    /* what the base does with a closed form or a preconditioner takes longer without */
    op->cg_iterations = 2 * base->cg_iterations;
    op->cg_tolerance = base->cg_tolerance;
    op->lacks = base->lacks;
    op->origin = base->origin;
    st = fill(op, s, w, err);
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    *out = op;
    return PJD_OK;
}
