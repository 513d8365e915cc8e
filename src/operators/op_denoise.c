/* SPDX-License-Identifier: MIT */
/* denoise: the picture itself was measured, with noise. A is the identity. */
#include <math.h>
#include <string.h>

#include "internal.h"

static void copy(const pjd_operator *op, const float *from, float *to, float *work)
{
    memcpy(to, from, op->nx * sizeof *to);
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    float scale = (float)sqrt(alpha);

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t i = 0; i < op->nx; i++)
        x[i] = scale * y[i];
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    float w = (float)(1.0 / (1.0 + lambda));

#pragma omp parallel for schedule(static) if (op->nx > PJD_OP_PARALLEL)
    for (size_t i = 0; i < op->nx; i++)
        x[i] += w * (y[i] - x[i]);
}

static void gram_solve(const pjd_operator *op, float *r, double lambda, float *work)
{
    float w = (float)(1.0 / (1.0 + lambda));

    for (size_t i = 0; i < op->ny; i++)
        r[i] *= w;
}

typedef struct denoise_params {
    char unused;
} denoise_params;

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *x, const pjd_shape *y,
                         pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {
        .apply = copy, .adjoint = copy, .gram_solve = gram_solve, .project = project, .prox = prox, .guess = copy};
    pjd_status st = x ? pjd_op_require_equal("denoise", "measurement", x, y, err) : PJD_OK;

    *out = NULL;
    if (st == PJD_OK)
        st = pjd_op_new("denoise", &table, x ? x : y, x ? x : y, true, out, err);
    if (st == PJD_OK)
        (*out)->kind = PJD_OP_IDENTITY;
    return st;
}

const pjd_op_class pjd_op_denoise = {
    .entry = {.name = "denoise", .summary = "remove noise"},
    .params_size = sizeof(denoise_params),
    .create = create,
};
