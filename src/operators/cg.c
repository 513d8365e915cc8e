/* SPDX-License-Identifier: MIT */
/*
 * The projection where there is no closed form: CGLS (Hestenes and Stiefel 1952; Bjorck, "Numerical Methods for Least
 * Squares Problems", 7.4) on min |d|^2 lambda + |A d - r|^2, started from d = 0, so that d stays in the range of A* and
 * converges to A* (A A* + lambda)^-1 r. Unlike conjugate gradients on A A* itself it also converges when r has a part
 * outside the range of A (entries of y that a mask hides, a measurement that contradicts itself).
 */
#include <math.h>

#include "internal.h"

enum { STRETCHES = 64 };

double pjd_vec_dot(const float *a, const float *b, size_t n)
{
    double part[STRETCHES], sum = 0.0;
    size_t len = (n + STRETCHES - 1) / STRETCHES;

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t k = 0; k < STRETCHES; k++) {
        size_t first = k * len < n ? k * len : n, last = first + len < n ? first + len : n;
        double acc[8] = {0};
        size_t i = first;

        for (; i + 8 <= last; i += 8)
            for (size_t j = 0; j < 8; j++)
                acc[j] += (double)a[i + j] * (double)b[i + j];
        for (; i < last; i++)
            acc[0] += (double)a[i] * (double)b[i];
        part[k] = ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
    }
    for (size_t k = 0; k < STRETCHES; k++)
        sum += part[k];
    return sum;
}

void pjd_vec_axpy(double a, const float *x, float *y, size_t n)
{
    float f = (float)a;

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t i = 0; i < n; i++)
        y[i] += f * x[i];
}

void pjd_vec_xpay(const float *x, double a, float *y, size_t n)
{
    float f = (float)a;

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] + f * y[i];
}

void pjd_vec_scale_minus(double a, const float *x, float *y, size_t n)
{
    float f = (float)a;

#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t i = 0; i < n; i++)
        y[i] = f * x[i] - y[i];
}

size_t pjd_op_cg_work(const pjd_operator *op)
{
    return 2 * pjd_op_pad(op->ny) + 4 * pjd_op_pad(op->nx) + op->work;
}

/* Directions that A shrinks below this share of the largest seen are not divided by. */
static const double floor_ratio = 1e-4;

/* The same iteration where A* A comes in one piece: on (A* A + lambda) d = s, with s as its residual. */
static void on_normal(const pjd_operator *op, float *x, const float *y, double scale, double lambda, float *work)
{
    size_t nx = op->nx, ny = op->ny, limit = op->cg_iterations ? op->cg_iterations : 50;
    float *r = work, *s = r + pjd_op_pad(ny), *p = s + pjd_op_pad(nx);
    float *d = p + pjd_op_pad(nx), *n = d + pjd_op_pad(nx), *rest = n + pjd_op_pad(nx);
    double tol = op->cg_tolerance > 0.0 ? op->cg_tolerance : 1e-5, largest = 0.0, gamma, gamma0, least;

    op->v->apply(op, x, r, rest);
    pjd_vec_scale_minus(scale, y, r, ny);
    op->v->adjoint(op, r, s, rest);
    for (size_t i = 0; i < nx; i++) {
        p[i] = s[i];
        d[i] = 0.0f;
    }
    gamma0 = gamma = least = pjd_vec_dot(s, s, nx);
    for (size_t k = 0; k < limit && gamma > 0.0; k++) {
        double pp = pjd_vec_dot(p, p, nx), qq, delta, next;

        op->v->normal(op, p, n, rest);
        qq = pjd_vec_dot(p, n, nx);
        largest = qq / pp > largest ? qq / pp : largest;
        delta = qq + lambda * pp;
        if (!(delta > floor_ratio * floor_ratio * largest * pp))
            break;
        pjd_vec_axpy(gamma / delta, p, d, nx);
        pjd_vec_axpy(-gamma / delta, n, s, nx);
        pjd_vec_axpy(-gamma * lambda / delta, p, s, nx);
        next = pjd_vec_dot(s, s, nx);
        if (!(next > (lambda > 0.0 ? 1.0 : 0.01) * tol * tol * gamma0))
            break;
        if (least < 1e-8 * gamma0 && !(next < 100.0 * least))
            break;
        least = next < least ? next : least;
        pjd_vec_xpay(s, next / gamma, p, nx);
        gamma = next;
    }
    pjd_vec_axpy(1.0, d, x, nx);
}

void pjd_op_cg(const pjd_operator *op, float *x, const float *y, double scale, double lambda, float *work)
{
    size_t nx = op->nx, ny = op->ny, limit = op->cg_iterations ? op->cg_iterations : 50;
    float *r = work, *q = r + pjd_op_pad(ny), *s = q + pjd_op_pad(ny), *p = s + pjd_op_pad(nx);
    float *d = p + pjd_op_pad(nx), *rest = d + pjd_op_pad(nx);
    double tol = op->cg_tolerance > 0.0 ? op->cg_tolerance : 1e-5, largest = 0.0, gamma, gamma0, rr0, least;
    bool exact = !(lambda > 0.0);

    if (op->v->normal) {
        on_normal(op, x, y, scale, lambda, work);
        return;
    }
    op->v->apply(op, x, r, rest);
    pjd_vec_scale_minus(scale, y, r, ny);
    op->v->adjoint(op, r, s, rest);
    for (size_t i = 0; i < nx; i++) {
        p[i] = s[i];
        d[i] = 0.0f;
    }
    rr0 = pjd_vec_dot(r, r, ny);
    gamma0 = gamma = least = pjd_vec_dot(s, s, nx);
    for (size_t k = 0; k < limit && gamma > 0.0; k++) {
        double pp = pjd_vec_dot(p, p, nx), qq, delta, next;

        op->v->apply(op, p, q, rest);
        qq = pjd_vec_dot(q, q, ny);
        largest = qq / pp > largest ? qq / pp : largest;
        delta = qq + lambda * pp;
        if (!(delta > floor_ratio * floor_ratio * largest * pp))
            break;
        pjd_vec_axpy(gamma / delta, p, d, nx);
        pjd_vec_axpy(-gamma / delta, q, r, ny);
        /* With lambda = 0 the residual itself is the measure; else (and for a y out of range) the gradient is. */
        if (exact && !(pjd_vec_dot(r, r, ny) > tol * tol * rr0))
            break;
        op->v->adjoint(op, r, s, rest);
        if (!exact)
            pjd_vec_axpy(-lambda, d, s, nx);
        next = pjd_vec_dot(s, s, nx);
        if (!(next > (exact ? 0.01 : 1.0) * tol * tol * gamma0))
            break;
        /* Below what float32 resolves the directions lose their way, and the gradient grows without end. */
        if (least < 1e-8 * gamma0 && !(next < 100.0 * least))
            break;
        least = next < least ? next : least;
        pjd_vec_xpay(s, next / gamma, p, nx);
        gamma = next;
    }
    pjd_vec_axpy(1.0, d, x, nx);
}
