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
/* Where the operator says nothing: of a proximal step, one of many, and of a projection, which is meant to meet y. */
enum { USUAL_STEPS = 50, EXACT_STEPS = 1000 };

/* One stretch, eight sums side by side: the same bytes from every kind of processor. */
static inline __attribute__((always_inline)) double dot_body(const float *a, const float *b, size_t n)
{
    double acc[8] = {0};
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            acc[j] += (double)a[i + j] * (double)b[i + j];
    for (; i < n; i++)
        acc[0] += (double)a[i] * (double)b[i];
    return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
}

static double dot_any(const float *a, const float *b, size_t n)
{
    return dot_body(a, b, n);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static double dot_avx2(const float *a, const float *b, size_t n)
{
    return dot_body(a, b, n);
}
#endif

double pjd_vec_dot(const float *a, const float *b, size_t n)
{
    double (*dot)(const float *, const float *, size_t) = dot_any;
    double part[STRETCHES], sum = 0.0;
    size_t len = (n + STRETCHES - 1) / STRETCHES;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        dot = dot_avx2;
#endif
#pragma omp parallel for schedule(static) if (n > PJD_OP_PARALLEL)
    for (size_t k = 0; k < STRETCHES; k++) {
        size_t first = k * len < n ? k * len : n, last = first + len < n ? first + len : n;

        part[k] = dot(a + first, b + first, last - first);
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
    return pjd_op_pad(op->ny) + pjd_op_pad(op->nx > op->ny ? op->nx : op->ny) + 3 * pjd_op_pad(op->nx) + op->work;
}

/* Of y: a residual below this is met. Rounding is not far, and dividing it out moves x along what A hardly sees. */
static const double met = 1e-5;

/* Directions that A shrinks below this share of the largest seen are not divided by. */
static const double floor_ratio = 1e-4;

/* s <- the gradient A* r - lambda d after the step of length `by` along p, where A p is q; A* A p where `normal` gives it,
   and r is not kept then. False: with lambda = 0 the residual says that is enough. */
static bool descend(const pjd_operator *op, double by, const float *p, const float *q, const float *d, double lambda,
                    double enough, float *r, float *s, float *rest)
{
    if (op->v->normal) {
        pjd_vec_axpy(-by, q, s, op->nx);
        pjd_vec_axpy(-by * lambda, p, s, op->nx);
        return true;
    }
    pjd_vec_axpy(-by, q, r, op->ny);
    /* With lambda = 0 the residual itself is the measure; else (and for a y out of range) the gradient is. */
    if (!(lambda > 0.0) && !(pjd_vec_dot(r, r, op->ny) > enough))
        return false;
    op->v->adjoint(op, r, s, rest);
    if (lambda > 0.0)
        pjd_vec_axpy(-lambda, d, s, op->nx);
    return true;
}

void pjd_op_cg(const pjd_operator *op, float *x, const float *y, double scale, double lambda, bool exact, float *work)
{
    size_t nx = op->nx, ny = op->ny, limit = op->cg_iterations ? op->cg_iterations : exact ? EXACT_STEPS : USUAL_STEPS;
    float *r = work, *q = r + pjd_op_pad(ny), *s = q + pjd_op_pad(nx > ny ? nx : ny), *p = s + pjd_op_pad(nx);
    float *d = p + pjd_op_pad(nx), *rest = d + pjd_op_pad(nx);
    double usual = exact ? 1e-6 : 1e-5, tol = op->cg_tolerance > 0.0 ? op->cg_tolerance : usual;
    double largest = 0.0, residual, enough_of_y, gamma, gamma0, enough, least;

    op->v->apply(op, x, r, rest);
    pjd_vec_scale_minus(scale, y, r, ny);
    op->v->adjoint(op, r, s, rest);
    for (size_t i = 0; i < nx; i++) {
        p[i] = s[i];
        d[i] = 0.0f;
    }
    residual = pjd_vec_dot(r, r, ny);
    enough_of_y = op->cg_tolerance > 0.0 ? 0.0 : met * met * scale * scale * pjd_vec_dot(y, y, ny);
    if (!(lambda > 0.0) && residual <= enough_of_y)
        return;
    enough = tol * tol * residual > enough_of_y ? tol * tol * residual : enough_of_y;
    gamma0 = gamma = least = pjd_vec_dot(s, s, nx);
    for (size_t k = 0; k < limit && gamma > 0.0; k++) {
        double pp = pjd_vec_dot(p, p, nx), qq, delta, next;

        if (op->v->normal) {
            op->v->normal(op, p, q, rest);
            qq = pjd_vec_dot(p, q, nx);
        } else {
            op->v->apply(op, p, q, rest);
            qq = pjd_vec_dot(q, q, ny);
        }
        largest = qq / pp > largest ? qq / pp : largest;
        delta = qq + lambda * pp;
        if (!(delta > floor_ratio * floor_ratio * largest * pp))
            break;
        pjd_vec_axpy(gamma / delta, p, d, nx);
        if (!descend(op, gamma / delta, p, q, d, lambda, enough, r, s, rest))
            break;
        next = pjd_vec_dot(s, s, nx);
        if (!(next > (lambda > 0.0 ? 1.0 : 0.01) * tol * tol * gamma0))
            break;
        /* Below what float32 resolves the directions lose their way, and the gradient grows without end; a projection, whose
           directions may be a thousandfold apart, gives up later. */
        if (least < (exact ? 1e-12 : 1e-8) * gamma0 && !(next < (exact ? 1e4 : 100.0) * least))
            break;
        least = next < least ? next : least;
        pjd_vec_xpay(s, next / gamma, p, nx);
        gamma = next;
    }
    pjd_vec_axpy(1.0, d, x, nx);
}
