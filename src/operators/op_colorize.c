/* SPDX-License-Identifier: MIT */
/*
 * colorize: y, one channel, is a weighted mean of x's three. A A* = sum w^2, a number, so everything is in closed form.
 */
#include <math.h>

#include "internal.h"

typedef struct colorize_params {
    double w[3];
} colorize_params;

typedef struct colorize {
    float w[3];
    double squares;
} colorize;

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const colorize *s = op->priv;
    size_t n = op->ny;

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t i = 0; i < n; i++)
        y[i] = s->w[0] * x[i] + s->w[1] * x[n + i] + s->w[2] * x[2 * n + i];
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const colorize *s = op->priv;

    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < op->ny; i++)
            x[c * op->ny + i] = s->w[c] * y[i];
}

static void correct(const pjd_operator *op, float *x, const float *y, double scale, double lambda)
{
    const colorize *s = op->priv;
    size_t n = op->ny;
    float f = (float)scale, g = (float)(1.0 / (s->squares + lambda));

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t i = 0; i < n; i++) {
        float r = g * (f * y[i] - (s->w[0] * x[i] + s->w[1] * x[n + i] + s->w[2] * x[2 * n + i]));

        for (size_t c = 0; c < 3; c++)
            x[c * n + i] += s->w[c] * r;
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    correct(op, x, y, sqrt(alpha), 0.0);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    correct(op, x, y, 1.0, lambda);
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return sigma2 / ((const colorize *)op->priv)->squares;
}

/* Gray in all channels: the weights add up to 1. */
static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < op->ny; i++)
            x[c * op->ny + i] = y[i];
}

static pjd_status shapes(const pjd_shape *given_x, const pjd_shape *given_y, pjd_shape *x, pjd_shape *y, pjd_error *err)
{
    const pjd_shape *given = given_x ? given_x : given_y;
    size_t channels = given_x ? 3 : 1;
    pjd_status st = pjd_op_require_chw("colorize", given, err);

    if (st != PJD_OK)
        return st;
    if (given->dim[0] != channels)
        return pjd_error_set(err, PJD_ERR_SHAPE, "colorize: expected %zu channels in the %s, found %zu", channels,
                             given_x ? "picture" : "measurement", given->dim[0]);
    *x = pjd_shape_chw(3, given->dim[1], given->dim[2]);
    *y = pjd_shape_chw(1, given->dim[1], given->dim[2]);
    return given_x ? pjd_op_require_equal("colorize", "measurement", y, given_y, err) : PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {
        .apply = apply, .adjoint = adjoint, .project = project, .prox = prox, .noise_gain = noise_gain, .guess = guess};
    const colorize_params *p = params;
    double sum = p->w[0] + p->w[1] + p->w[2];
    pjd_operator *op = NULL;
    pjd_shape x, y;
    colorize *s;
    pjd_status st = shapes(given_x, given_y, &x, &y, err);

    *out = NULL;
    if (st == PJD_OK && !(sum > 0.0))
        st = pjd_error_set(err, PJD_ERR_ARG, "colorize: expected weights with a positive sum, found %g", sum);
    if (st == PJD_OK)
        st = pjd_op_new("colorize", &table, &x, &y, true, &op, err);
    if (st != PJD_OK)
        return st;
    s = pjd_alloc_zero(1, sizeof *s);
    op->priv = s;
    if (!s) {
        pjd_operator_unref(op);
        return pjd_error_nomem(err, "colorize", sizeof *s);
    }
    for (size_t c = 0; c < 3; c++) {
        s->w[c] = (float)(p->w[c] / sum);
        s->squares += (double)s->w[c] * (double)s->w[c];
    }
    op->kind = PJD_OP_AVERAGE;
    op->lacks = PJD_LACKS_COLOUR;
    *out = op;
    return PJD_OK;
}

/* Rec. ITU-R BT.601 luma */
static const pjd_param table_of_params[] = {
    {.name = "red",
     .type = PJD_PARAM_FLOAT,
     .fallback = "0.299",
     .min = 0,
     .max = 1e6,
     .unit = "",
     .help = "weight of red in the gray picture; the weights are divided by their sum",
     .offset = offsetof(colorize_params, w)},
    {.name = "green",
     .type = PJD_PARAM_FLOAT,
     .fallback = "0.587",
     .min = 0,
     .max = 1e6,
     .unit = "",
     .help = "weight of green",
     .offset = offsetof(colorize_params, w) + sizeof(double)},
    {.name = "blue",
     .type = PJD_PARAM_FLOAT,
     .fallback = "0.114",
     .min = 0,
     .max = 1e6,
     .unit = "",
     .help = "weight of blue",
     .offset = offsetof(colorize_params, w) + 2 * sizeof(double)},
};

const pjd_op_class pjd_op_colorize = {
    .entry = {"colorize", "give a gray picture its colours", table_of_params, PJD_COUNTOF(table_of_params), false},
    .params_size = sizeof(colorize_params),
    .create = create,
};
