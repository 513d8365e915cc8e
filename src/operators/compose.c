/* SPDX-License-Identifier: MIT */
/* A+B+...: linear parts applied left to right. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "projdiff/noise.h"

typedef struct composed {
    size_t count;
    pjd_operator **parts;
    size_t middle; /* floats of the largest intermediate, padded; there are two */
    double gain;
} composed;

static const composed *self(const pjd_operator *op)
{
    return op->priv;
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const composed *c = self(op);
    float *rest = work + 2 * c->middle;

    for (size_t i = 0; i < c->count; i++) {
        const float *from = i ? work + (i % 2 ? 0 : c->middle) : x;
        float *to = i + 1 == c->count ? y : work + (i % 2 ? c->middle : 0);

        pjd_operator_apply(c->parts[i], from, to, rest);
    }
}

/* The adjoint and the guess both walk the parts from the last to the first. */
static void backward(const pjd_operator *op, const float *y, float *x, float *work,
                     void (*step)(const pjd_operator *, const float *, float *, float *))
{
    const composed *c = self(op);
    float *rest = work + 2 * c->middle;

    for (size_t k = 0; k < c->count; k++) {
        size_t i = c->count - 1 - k;
        const float *from = k ? work + (k % 2 ? 0 : c->middle) : y;
        float *to = i == 0 ? x : work + (k % 2 ? c->middle : 0);

        step(c->parts[i], from, to, rest);
    }
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    backward(op, y, x, work, pjd_operator_adjoint);
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    backward(op, y, x, work, pjd_operator_guess);
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return self(op)->gain * sigma2;
}

static void destroy(pjd_operator *op)
{
    composed *c = op->priv;

    if (c) {
        for (size_t i = 0; c->parts && i < c->count; i++)
            pjd_operator_unref(c->parts[i]);
        pjd_free(c->parts);
        pjd_free(c);
    }
}

/*
 * One number for how noise in y shows in x: rank(A) / |A|_F^2, one over the mean squared singular value of those that
 * are not zero. It is exact when they are all equal (average pooling of a mask, say) and a lower bound otherwise
 * (the mean of 1/s^2 is larger: what a pseudo-inverse makes of noise, dominated by the directions that are hardly seen,
 * to which no solver here gives that weight: a composition is solved in the proximal form, which needs no such number). |A|_F^2 = E |A* w|^2 for random signs w; a row of A that is zero (a masked
 * entry of y) shows as an exact zero of A A* w and does not count in the rank.
 */
static pjd_status estimate_gain(pjd_operator *op, composed *c, pjd_error *err)
{
    enum { PROBES = 8 };
    size_t total = 2 * pjd_op_pad(op->ny) + pjd_op_pad(op->nx) + pjd_op_pad(op->ny) + pjd_operator_work(op);
    float *w = pjd_alloc_zero(total, sizeof *w), *q, *seen, *s, *work;
    pjd_noise *noise = NULL;
    double frobenius = 0.0;
    size_t rank = 0;
    pjd_status st;

    if (!w)
        return pjd_error_nomem(err, op->name, total * sizeof *w);
    q = w + pjd_op_pad(op->ny);
    seen = q + pjd_op_pad(op->ny);
    s = seen + pjd_op_pad(op->ny);
    work = s + pjd_op_pad(op->nx);
    st = pjd_noise_seeded(1, 0, &noise, err);
    for (int k = 0; k < PROBES && st == PJD_OK; k++) {
        st = pjd_noise_normal(noise, w, op->ny, err);
        for (size_t i = 0; i < op->ny; i++)
            w[i] = w[i] < 0.0f ? -1.0f : 1.0f;
        adjoint(op, w, s, work);
        apply(op, s, q, work);
        frobenius += pjd_vec_dot(s, s, op->nx) / PROBES;
        for (size_t i = 0; i < op->ny; i++)
            seen[i] = q[i] != 0.0f ? 1.0f : seen[i];
    }
    for (size_t i = 0; i < op->ny; i++)
        rank += seen[i] != 0.0f;
    pjd_noise_free(noise);
    pjd_free(w);
    if (st == PJD_OK && !(rank > 0 && frobenius > 0.0 && isfinite(frobenius)))
        st = pjd_error_set(err, PJD_ERR_ARG, "%s: nothing of the picture reaches the measurement", op->name);
    if (st == PJD_OK)
        c->gain = (double)rank / frobenius;
    return st;
}

/* One axis of the part of x that the user wants, seen through a further operator. */
static void narrow(size_t canvas, size_t *size, size_t *offset, size_t pixels, size_t next_size, size_t next_offset)
{
    size_t ratio = (*size + pixels - 1) / pixels, end = *offset + *size, first, last;

    if ((*size + ratio - 1) / ratio != pixels)
        return; /* no plain enlargement between the two: keep all of it */
    first = *offset + ratio * next_offset;
    last = first + ratio * next_size;
    last = last < end ? last : end;
    last = last < canvas ? last : canvas;
    if (first < last) {
        *offset = first;
        *size = last - first;
    }
}

static void set_result(pjd_operator *op, pjd_operator *const *parts, size_t count)
{
    /* From the last part to the first: what of its y the next part's user wants, and where that lies in its x. */
    pjd_shape want = parts[count - 1]->result;
    size_t oy = parts[count - 1]->offset_y, ox = parts[count - 1]->offset_x;

    for (size_t k = count - 1; k-- > 0;) {
        const pjd_operator *p = parts[k];
        pjd_shape r = p->result;
        size_t ny = p->offset_y, nx = p->offset_x;

        if (r.rank == 3 && want.rank == 3 && p->y.rank == 3 && p->x.rank == 3) {
            narrow(p->x.dim[1], &r.dim[1], &ny, p->y.dim[1], want.dim[1], oy);
            narrow(p->x.dim[2], &r.dim[2], &nx, p->y.dim[2], want.dim[2], ox);
        }
        want = r;
        oy = ny;
        ox = nx;
    }
    op->result = want;
    op->offset_y = oy;
    op->offset_x = ox;
}

static pjd_status take_parts(pjd_operator *op, composed *c, pjd_operator *const *parts, size_t count, pjd_error *err)
{
    size_t rest = 0;

    c->parts = pjd_alloc_zero(count, sizeof *c->parts);
    if (!c->parts)
        return pjd_error_nomem(err, op->name, count * sizeof *c->parts);
    c->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t work = pjd_operator_work(parts[i]);

        c->parts[i] = pjd_operator_ref(parts[i]);
        rest = work > rest ? work : rest;
        if (parts[i]->lacks)
            op->lacks = parts[i]->lacks;
        if (i + 1 < count && pjd_op_pad(parts[i]->ny) > c->middle)
            c->middle = pjd_op_pad(parts[i]->ny);
        /* The whole is as exact as its most exact part asks for. */
        if (parts[i]->cg_iterations > op->cg_iterations)
            op->cg_iterations = parts[i]->cg_iterations;
        if (parts[i]->cg_tolerance > 0.0 && !(op->cg_tolerance > 0.0 && op->cg_tolerance <= parts[i]->cg_tolerance))
            op->cg_tolerance = parts[i]->cg_tolerance;
    }
    op->work = 2 * c->middle + rest;
    return PJD_OK;
}

pjd_status pjd_op_compose(pjd_operator *const *parts, size_t count, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {
        .apply = apply, .adjoint = adjoint, .noise_gain = noise_gain, .guess = guess, .destroy = destroy};
    pjd_operator *op = NULL;
    composed *c;
    char name[48] = "";
    size_t used = 0;
    pjd_status st;

    *out = NULL;
    for (size_t i = 0; i < count && used < sizeof name; i++)
        used += (size_t)snprintf(name + used, sizeof name - used, "%s%s", i ? "+" : "", parts[i]->name);
    st = pjd_op_new(name, &table, &parts[0]->x, &parts[count - 1]->y, true, &op, err);
    if (st != PJD_OK)
        return st;
    c = pjd_alloc_zero(1, sizeof *c);
    op->priv = c;
    if (!c) {
        st = pjd_error_nomem(err, name, sizeof *c);
        goto fail;
    }
    st = take_parts(op, c, parts, count, err);
    if (st == PJD_OK)
        st = estimate_gain(op, c, err);
    if (st != PJD_OK)
        goto fail;
    set_result(op, parts, count);
    *out = op;
    return PJD_OK;
fail:
    pjd_operator_unref(op);
    return st;
}
