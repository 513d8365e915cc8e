/* SPDX-License-Identifier: MIT */
/*
 * hdr: y = clip(scale x, -1, 1), an overexposed (and underexposed) picture around mid-gray. The projection is the
 * published program's: where y is at its limits and |x| < 1/scale, x becomes y / scale; where |y| < 1 (measured
 * without noise, alpha = 1) or |y| < 1/2 (with noise) likewise; elsewhere x stays. y is not scaled by sqrt(alpha).
 *
 * The default reading knows the noise and asks for what is hidden, and at the end for prox, lambda its variance in x: what lies
 * three deviations inside the limits was not clipped and becomes y / scale; the rest is at least as far from mid-gray as that.
 */
#include <math.h>

#include "internal.h"

typedef struct hdr_params {
    double scale;
} hdr_params;

static float scale_of(const pjd_operator *op)
{
    return (float)((const hdr_params *)op->priv)->scale;
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    float s = scale_of(op);

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t i = 0; i < op->nx; i++) {
        float v = s * x[i];

        /* NaN stays NaN. */
        y[i] = v > 1.0f ? 1.0f : v < -1.0f ? -1.0f : v;
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    float s = scale_of(op), trusted = alpha == 1.0 ? 1.0f : 0.5f;

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t i = 0; i < op->nx; i++) {
        float a = fabsf(y[i]);

        if (a < trusted || (a >= 1.0f && fabsf(x[i]) < 1.0f / s))
            x[i] = y[i] / s;
    }
}

/* Of |y|, where noise of variance lambda in x leaves no doubt that it was not clipped. */
static float surely_inside(const pjd_operator *op, double lambda)
{
    return fmaxf(0.0f, 1.0f - 3.0f * scale_of(op) * (float)sqrt(lambda));
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    float s = scale_of(op), inside = surely_inside(op, lambda);

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t i = 0; i < op->nx; i++) {
        if (fabsf(y[i]) < inside)
            x[i] = y[i] / s;
        else if (y[i] > 0.0f)
            x[i] = fmaxf(x[i], inside / s);
        else
            x[i] = fminf(x[i], -inside / s);
    }
}

/*
 * Of a value that noise brought near the limit the estimate decides: below the limit y shows it like any other, beyond it y says
 * no more than that. What is hidden is anywhere from the limit to white or black: a uniform distribution's middle and variance.
 */
static double hidden(const pjd_operator *op, float *x, const float *y, double lambda, float *middle)
{
    float s = scale_of(op), inside = surely_inside(op, lambda), limit = 1.0f / s;

    for (size_t i = 0; i < op->nx; i++) {
        float side = copysignf(1.0f, y[i]), a = fabsf(y[i]);

        if (a < inside || (a < 1.0f && side * x[i] < limit)) {
            x[i] = y[i] / s;
            middle[i] = NAN;
        } else {
            x[i] = side * fmaxf(side * x[i], limit);
            middle[i] = side * 0.5f * (limit + 1.0f);
        }
    }
    return (1.0 - (double)limit) * (1.0 - (double)limit) / 12.0;
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return sigma2 / ((double)scale_of(op) * (double)scale_of(op));
}

/* What was clipped lies anywhere from the limit to white or black: in the middle. */
static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    float s = scale_of(op), middle = 0.5f + 0.5f / s;

    for (size_t i = 0; i < op->nx; i++)
        x[i] = y[i] >= 1.0f ? middle : y[i] <= -1.0f ? -middle : y[i] / s;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *x, const pjd_shape *y,
                         pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {
        .apply = apply, .project = project, .prox = prox, .noise_gain = noise_gain, .guess = guess, .hidden = hidden};
    pjd_operator *op = NULL;
    hdr_params *s;
    pjd_status st = x ? pjd_op_require_equal("hdr", "measurement", x, y, err) : PJD_OK;

    *out = NULL;
    if (st == PJD_OK)
        st = pjd_op_new("hdr", &table, x ? x : y, x ? x : y, false, &op, err);
    if (st != PJD_OK)
        return st;
    s = pjd_alloc(1, sizeof *s);
    op->priv = s;
    if (!s) {
        pjd_operator_unref(op);
        return pjd_error_nomem(err, "hdr", sizeof *s);
    }
    *s = *(const hdr_params *)params;
    op->kind = PJD_OP_CLIP;
    op->lacks = PJD_LACKS_RANGE;
    *out = op;
    return PJD_OK;
}

static const pjd_param table_of_params[] = {
    {.name = "scale",
     .type = PJD_PARAM_FLOAT,
     .fallback = "2",
     .min = 1,
     .max = 1000,
     .unit = "",
     .help = "the picture was multiplied by this around mid-gray before it was clipped",
     .offset = offsetof(hdr_params, scale)},
};

const pjd_op_class pjd_op_hdr = {
    .entry = {"hdr", "restore what over- and underexposure clipped", table_of_params, PJD_COUNTOF(table_of_params),
              false},
    .params_size = sizeof(hdr_params),
    .create = create,
    .nonlinear = true,
};
