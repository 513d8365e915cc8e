/* SPDX-License-Identifier: MIT */
/* The caller's own operator: callbacks behind the same table of functions. */
#include <math.h>
#include <string.h>

#include "internal.h"

typedef struct custom {
    pjd_op_vtbl v; /* which entries are set depends on the callbacks */
    pjd_operator_callbacks cb;
    float *singular;
} custom;

static const custom *self(const pjd_operator *op)
{
    return op->priv;
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    self(op)->cb.apply(self(op)->cb.user, x, y, work);
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    self(op)->cb.adjoint(self(op)->cb.user, y, x, work);
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    self(op)->cb.project(self(op)->cb.user, x, y, alpha, work);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    self(op)->cb.prox(self(op)->cb.user, x, y, lambda, work);
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return self(op)->cb.noise_gain(self(op)->cb.user, sigma2);
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    self(op)->cb.guess(self(op)->cb.user, y, x, work);
}

static void to_spectral(const pjd_operator *op, const float *x, float *c, float *work)
{
    self(op)->cb.to_spectral(self(op)->cb.user, x, c, work);
}

static void from_spectral(const pjd_operator *op, const float *c, float *x, float *work)
{
    self(op)->cb.from_spectral(self(op)->cb.user, c, x, work);
}

static void data(const pjd_operator *op, const float *y, float *d, float *work)
{
    self(op)->cb.data(self(op)->cb.user, y, d, work);
}

static void destroy(pjd_operator *op)
{
    custom *c = op->priv;

    if (c) {
        if (c->cb.destroy)
            c->cb.destroy(c->cb.user);
        pjd_free(c->singular);
        pjd_free(c);
    }
}

static pjd_status check(const char *name, const pjd_operator_callbacks *cb, bool *spectral, pjd_error *err)
{
    int given = !!cb->to_spectral + !!cb->from_spectral + !!cb->data + !!cb->singular;

    *spectral = given == 4;
    if (!cb->apply)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: an operator needs apply", name);
    if (cb->linear && !cb->adjoint)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: a linear operator needs an adjoint", name);
    if (!cb->linear && !cb->project)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: a nonlinear operator needs a projection", name);
    if (given != 0 && given != 4)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "%s: the spectral form needs to_spectral, from_spectral, data and singular, found %d of 4",
                             name, given);
    if (given && !cb->linear)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: only a linear operator has a spectral form", name);
    return PJD_OK;
}

static pjd_status copy_singular(pjd_operator *op, custom *c, pjd_error *err)
{
    if (c->cb.count != op->nx)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "%s: expected as many spectral coordinates as x has elements, %zu, found %zu", op->name,
                             op->nx, c->cb.count);
    for (size_t i = 0; i < op->nx; i++)
        if (!(c->cb.singular[i] >= 0.0f && isfinite(c->cb.singular[i])))
            return pjd_error_set(err, PJD_ERR_ARG, "%s: singular value %zu is negative or not finite", op->name, i);
    c->singular = pjd_alloc(op->nx, sizeof *c->singular);
    if (!c->singular)
        return pjd_error_nomem(err, op->name, op->nx * sizeof *c->singular);
    memcpy(c->singular, c->cb.singular, op->nx * sizeof *c->singular);
    c->cb.singular = c->singular;
    op->singular = c->singular;
    op->spectral_count = op->nx;
    return PJD_OK;
}

pjd_status pjd_operator_custom(const char *name, const pjd_shape *x_shape, const pjd_shape *y_shape,
                               const pjd_operator_callbacks *cb, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl empty = {.destroy = destroy};
    pjd_operator *op = NULL;
    custom *c;
    bool spectral;
    pjd_status st;

    *out = NULL;
    if (!name || !x_shape || !y_shape || !cb)
        return pjd_error_set(err, PJD_ERR_ARG, "operator: expected a name, two shapes and callbacks, found none");
    st = check(name, cb, &spectral, err);
    if (st != PJD_OK)
        return st;
    st = pjd_op_new(name, &empty, x_shape, y_shape, cb->linear, &op, err);
    if (st != PJD_OK)
        return st;
    c = pjd_alloc_zero(1, sizeof *c);
    if (!c) {
        st = pjd_error_nomem(err, name, sizeof *c);
        goto fail;
    }
    c->cb = *cb;
    c->cb.destroy = NULL; /* until nothing can fail any more */
    op->priv = c;
    op->work = cb->work;
    if (spectral && (st = copy_singular(op, c, err)) != PJD_OK)
        goto fail;
    c->v = (pjd_op_vtbl){.apply = apply,
                         .adjoint = cb->adjoint ? adjoint : NULL,
                         .project = cb->project ? project : NULL,
                         .prox = cb->prox ? prox : NULL,
                         .noise_gain = cb->noise_gain ? noise_gain : NULL,
                         .guess = cb->guess ? guess : NULL,
                         .to_spectral = spectral ? to_spectral : NULL,
                         .from_spectral = spectral ? from_spectral : NULL,
                         .data = spectral ? data : NULL,
                         .destroy = destroy};
    op->v = &c->v;
    c->cb.destroy = cb->destroy;
    *out = op;
    return PJD_OK;
fail:
    pjd_operator_unref(op);
    return st;
}
