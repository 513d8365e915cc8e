/* SPDX-License-Identifier: MIT */
/* What the files of this room share. Nothing here is seen outside src/operators. */
#ifndef PJD_OP_INTERNAL_H
#define PJD_OP_INTERNAL_H

#include "core/core.h"
#include "core/operator.h"

/* Loops over more elements than this are worth a team of threads. */
#define PJD_OP_PARALLEL 65536

/* Scratch segments start on cache lines. */
static inline size_t pjd_op_pad(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* "who: expected channels x height x width, found 3x5" unless the shape has rank 3 and no zero. */
pjd_status pjd_op_require_chw(const char *who, const pjd_shape *s, pjd_error *err);
/* Both given: they must be equal ("who: x is 3x4x4, so y must be ..., found ..."). given may be NULL. */
pjd_status pjd_op_require_equal(const char *who, const char *what, const pjd_shape *expected, const pjd_shape *given,
                                pjd_error *err);

/*
 * Sums in float64 over 64 fixed stretches, so that neither the number of threads nor their order shows in the result.
 */
double pjd_vec_dot(const float *a, const float *b, size_t n);
/* y += a * x */
void pjd_vec_axpy(double a, const float *x, float *y, size_t n);
/* y = x + a * y */
void pjd_vec_xpay(const float *x, double a, float *y, size_t n);
/* y = a * x - y */
void pjd_vec_scale_minus(double a, const float *x, float *y, size_t n);

/*
 * x += A* (A A* + lambda)^-1 (scale * y - A x) by conjugate gradients, op->cg_iterations and op->cg_tolerance, or
 * where these are 0 with an eye to the time, or `exact`; needs pjd_op_cg_work() floats of scratch, the operator's own included.
 */
void pjd_op_cg(const pjd_operator *op, float *x, const float *y, double scale, double lambda, bool exact, float *work);
size_t pjd_op_cg_work(const pjd_operator *op);

/*
 * The parameters of an operator that has no closed form, for the end of its table: S has `long iterations` and `double
 * tolerance`, which go to op->cg_iterations and op->cg_tolerance. STEPS and TOLERANCE are the defaults, as texts.
 */
#define PJD_OP_CG_PARAMS(S, STEPS, TOLERANCE)                                                                          \
    {.name = "iterations",                                                                                             \
     .type = PJD_PARAM_INT,                                                                                            \
     .fallback = (STEPS),                                                                                              \
     .min = 1,                                                                                                         \
     .max = 10000,                                                                                                     \
     .unit = "",                                                                                                       \
     .help = "conjugate gradient steps of a projection, at most",                                                      \
     .offset = offsetof(S, iterations)},                                                                               \
    {                                                                                                                  \
        .name = "tolerance", .type = PJD_PARAM_FLOAT, .fallback = (TOLERANCE), .min = 1e-9, .max = 0.5, .unit = "",    \
        .help = "relative residual at which they stop", .offset = offsetof(S, tolerance)                               \
    }

/* The parts, applied left to right, as one operator. References are taken; count >= 2. */
pjd_status pjd_op_compose(pjd_operator *const *parts, size_t count, pjd_operator **out, pjd_error *err);

/* Cubic (Keys, a = -1/2) enlargement of one [h, w] plane by ry, rx, aligned at pixel centres, cropped to [oh, ow]. */
void pjd_op_enlarge(const float *src, size_t h, size_t w, float *dst, size_t oh, size_t ow, double ry, double rx);

#endif
