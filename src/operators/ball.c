/* SPDX-License-Identifier: MIT */
/*
 * The projection on { u : |A u - y| <= radius }: where x lies outside, the answer is the proximal point whose residual is
 * the radius (the discrepancy principle of Morozov 1966). The residual grows with lambda, from what y has outside the
 * range of A up to |A x - y|, so that one root is searched for on the scale of log lambda.
 */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "projdiff/noise.h"

typedef struct search {
    const pjd_operator *op;
    const float *x, *y;
    float *u; /* the proximal point of the last trial */
    float *r, *work;
} search;

static double residual(const search *s, const float *u)
{
    pjd_operator_apply(s->op, u, s->r, s->work);
    pjd_vec_scale_minus(1.0, s->y, s->r, s->op->ny);
    return sqrt(pjd_vec_dot(s->r, s->r, s->op->ny));
}

static double try_lambda(search *s, double lambda)
{
    memcpy(s->u, s->x, s->op->nx * sizeof *s->u);
    pjd_operator_prox(s->op, s->u, s->y, lambda, s->work);
    return residual(s, s->u);
}

/*
 * lambda with | |A u - y| - radius | <= tolerance radius, u left in s->u; 0 when no lambda gets down to the radius. Regula
 * falsi with the weight of a bound that stays put halved (the Illinois rule).
 */
static double find_lambda(search *s, double radius)
{
    enum { TRIALS = 60 };
    const double tolerance = 1e-4, factor = 8.0;
    double unit = 1.0 / pjd_operator_noise_gain(s->op, 1.0), lambda = unit, low = 0, high = 0, at_low = 0, at_high = 0;
    int kept = 0;

    for (int k = 0; k < TRIALS; k++) {
        double over = try_lambda(s, lambda) - radius;

        if (fabs(over) <= tolerance * radius)
            return lambda;
        if (over > 0) {
            high = lambda;
            at_high = over;
            at_low = kept > 0 ? 0.5 * at_low : at_low;
            kept = 1;
        } else {
            low = lambda;
            at_low = over;
            at_high = kept < 0 ? 0.5 * at_high : at_high;
            kept = -1;
        }
        if (!(low > 0)) {
            lambda = high / factor;
            if (!(lambda > 1e-9 * unit))
                break;
        } else if (!(high > 0)) {
            lambda = low * factor;
        } else {
            double a = log(low), b = log(high), t = at_high - at_low > 0 ? -at_low / (at_high - at_low) : 0.5;

            if (!(b - a > 1e-7))
                return lambda; /* an inexact proximal step jumps here: as near as it gets */
            t = t < 0.05 ? 0.05 : t > 0.95 ? 0.95 : t;
            lambda = exp(a + t * (b - a));
        }
    }
    if (low > 0)
        return lambda;
    try_lambda(s, 0.0);
    return 0.0;
}

pjd_status pjd_operator_project_ball(const pjd_operator *op, float *x, const float *y, double radius, double *lambda,
                                     pjd_error *err)
{
    size_t work = pjd_operator_work(op), total = pjd_op_pad(op->nx) + pjd_op_pad(op->ny) + work;
    search s = {.op = op, .x = x, .y = y};
    double start, found;

    if (lambda)
        *lambda = INFINITY;
    if (!op->linear)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%s: only a linear operator has the projection on a ball",
                             op->name);
    if (!(radius >= 0))
        return pjd_error_set(err, PJD_ERR_ARG, "%s: a radius of at least 0 expected, found %g", op->name, radius);
    s.u = pjd_alloc(total, sizeof *s.u);
    if (!s.u)
        return pjd_error_nomem(err, op->name, total * sizeof *s.u);
    s.r = s.u + pjd_op_pad(op->nx);
    s.work = s.r + pjd_op_pad(op->ny);
    start = residual(&s, x);
    if (start > radius) {
        if (radius > 0) {
            found = find_lambda(&s, radius);
        } else {
            found = 0.0;
            memcpy(s.u, x, op->nx * sizeof *x);
            pjd_operator_project(op, s.u, y, 1.0, s.work);
        }
        if (lambda)
            *lambda = found;
        memcpy(x, s.u, op->nx * sizeof *x);
    }
    pjd_free(s.u);
    return isfinite(start) ? PJD_OK : pjd_error_set(err, PJD_ERR_NONFINITE, "%s: the residual is not finite", op->name);
}

pjd_status pjd_operator_measured(const pjd_operator *op, const float *y, size_t *count, pjd_error *err)
{
    size_t total = pjd_op_pad(op->nx) + pjd_op_pad(op->ny) + pjd_operator_work(op);
    pjd_noise *noise = NULL;
    float *x, *seen;
    pjd_status st;

    *count = 0;
    x = pjd_alloc(total, sizeof *x);
    if (!x)
        return pjd_error_nomem(err, op->name, total * sizeof *x);
    seen = x + pjd_op_pad(op->nx);
    st = pjd_noise_seeded(1, 0, &noise, err);
    if (st == PJD_OK)
        st = pjd_noise_normal(noise, x, op->nx, err);
    if (st == PJD_OK) {
        /* What a random picture leaves at exactly 0 sees nothing. */
        pjd_operator_apply(op, x, seen, seen + pjd_op_pad(op->ny));
        for (size_t i = 0; i < op->ny; i++)
            *count += seen[i] != 0.0f || y[i] != 0.0f;
    }
    pjd_noise_free(noise);
    pjd_free(x);
    return st;
}
