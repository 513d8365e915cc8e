/* SPDX-License-Identifier: MIT */
/*
 * Operators: how the measurement came about, y = A(x) + sigma n.
 *
 * A pjd_operator maps one item of shape `input` to one measurement of shape `output`. It is immutable
 * after creation, reference-counted, and may be shared by threads; every call that needs scratch takes
 * `work`, pjd_operator_work() floats owned by the caller (one per thread), and allocates nothing.
 */
#ifndef PROJDIFF_OPERATOR_H
#define PROJDIFF_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "projdiff/status.h"
#include "projdiff/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pjd_operator pjd_operator;

/*
 * Create an operator from a task text: NAME[:key=value,...][+NAME...], for example
 * "superres:factor=4", "deblur:gaussian=2+superres:factor=2" (applied left to right).
 * `\` escapes , : = + in a value.
 *
 * arrays: parameters that are arrays (mask, kernel), by name; with several parts an array goes to the
 *   first part that has a parameter of its name and no value yet. Borrowed during the call, copied.
 * Exactly one of x_shape (the clean item, to simulate) and y_shape (the measurement, to restore) may be
 * NULL; the other is derived from it.
 */
PJD_API pjd_status pjd_operator_create(const char *task, const pjd_array *arrays, size_t array_count,
                                       const pjd_shape *x_shape, const pjd_shape *y_shape, pjd_operator **out,
                                       pjd_error *err);

/* What pjd_operator_create would refuse whatever the shapes are: names, parameters, their ranges, arrays that are missing or that
   nothing takes, parts that cannot be composed. For many measurements of one task, before any of them is read. */
PJD_API pjd_status pjd_operator_check(const char *task, const pjd_array *arrays, size_t array_count, pjd_error *err);

PJD_API pjd_operator *pjd_operator_ref(pjd_operator *op);
PJD_API void pjd_operator_unref(pjd_operator *op); /* NULL is fine */

PJD_API const char *pjd_operator_name(const pjd_operator *op);
PJD_API bool pjd_operator_is_linear(const pjd_operator *op);
/* Shape of x, of y, and of the part of x that the user wants: the result is x cropped to
   `result` starting at `offset` (a blurred photograph is solved on an enlarged canvas). */
PJD_API const pjd_shape *pjd_operator_input(const pjd_operator *op);
PJD_API const pjd_shape *pjd_operator_output(const pjd_operator *op);
PJD_API const pjd_shape *pjd_operator_result(const pjd_operator *op, size_t *offset_y, size_t *offset_x);
PJD_API size_t pjd_operator_work(const pjd_operator *op); /* floats */

/* y = A(x). x, y do not overlap. */
PJD_API void pjd_operator_apply(const pjd_operator *op, const float *x, float *y, float *work);
/* x = A* y; linear operators only. */
PJD_API void pjd_operator_adjoint(const pjd_operator *op, const float *y, float *x, float *work);
/* Replace x by its projection P(x; y, alpha) onto { x : A x = sqrt(alpha) y } (in closed form, or by conjugate
   gradients where there is none: to |A x - y| of 1e-5 |y| in at most 1000 steps, or what the operator's parameters say; a y
   with more outside the range of A is met as well as it can be). Singular values below 1e-4 of the largest are not divided by. Nonlinear operators: the projection documented with each. */
PJD_API void pjd_operator_project(const pjd_operator *op, float *x, const float *y, double alpha, float *work);
/* Replace x by argmin_u |u - x|^2 + |A u - y|^2 / lambda = x + A*(A A* + lambda)^-1 (y - A x); lambda >= 0,
   0 is the projection, without a closed form in at most 50 steps: as near as one step of many needs. Linear operators only. */
PJD_API void pjd_operator_prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work);
/* Elements of y that were measured: those that see x, and others that are not 0 (what a mask hides is). Allocates its scratch. */
PJD_API pjd_status pjd_operator_measured(const pjd_operator *op, const float *y, size_t *count, pjd_error *err);
/*
 * Replace x by the nearest point of { u : |A u - y| <= radius }; where x is inside it keeps its bytes. Linear operators only.
 * For noise of deviation sigma in m elements of y the radius is sigma sqrt(m) (the discrepancy principle, Morozov 1966).
 * *lambda (or NULL): of the proximal point that this is, infinite when x was inside, 0 when no point gets down to the
 * radius (y has more outside the range of A) or radius is 0: x is then the projection onto { A x = y }. Otherwise |A x - y| is the radius to 1e-4
 * of it. Allocates its scratch.
 */
PJD_API pjd_status pjd_operator_project_ball(const pjd_operator *op, float *x, const float *y, double radius,
                                             double *lambda, pjd_error *err);
/* Variance in x equivalent to measurement noise of variance sigma2 (algorithm: a = 1/(1+v)). */
PJD_API double pjd_operator_noise_gain(const pjd_operator *op, double sigma2);

/* A starting guess in x's space from a measurement (bicubic enlargement, the blurred picture, ...). */
PJD_API void pjd_operator_guess(const pjd_operator *op, const float *y, float *x, float *work);

/* |<A x, y> - <x, A* y>| / (|A x| |y| + tiny) over `trials` random pairs; the largest is returned in *worst. */
PJD_API pjd_status pjd_operator_test_adjoint(const pjd_operator *op, unsigned trials, uint64_t seed, double *worst,
                                             pjd_error *err);

/*
 * diag(w) A, for noise whose deviation s_i is known and uneven: with w_i = s / s_i, w_i y_i = (diag(w) A x)_i + noise of
 * deviation s. w: [output of base], above 0, copied. Linear operators only; base is referenced. Projections go by
 * conjugate gradients.
 */
PJD_API pjd_status pjd_operator_weighted(pjd_operator *base, const float *w, pjd_operator **out, pjd_error *err);

/* ---- the caller's own operator ---- */

typedef struct pjd_operator_callbacks {
    /* required */
    void (*apply)(void *user, const float *x, float *y, float *work);
    /* required for linear operators */
    void (*adjoint)(void *user, const float *y, float *x, float *work);
    /* optional closed forms; see the functions above */
    void (*project)(void *user, float *x, const float *y, double alpha, float *work);
    void (*prox)(void *user, float *x, const float *y, double lambda, float *work);
    double (*noise_gain)(void *user, double sigma2);
    void (*guess)(void *user, const float *y, float *x, float *work);
    void (*destroy)(void *user); /* when the last reference goes */
    /*
     * Optional spectral form A = U S V' (all or none), with `count` coordinates, count = elements of x:
     * to_spectral c = V' x, from_spectral x = V c, data d = pseudo-coordinates of y: d_i = (U' y)_i (0 where s_i = 0).
     * V is orthonormal. singular is [count], not negative; used only when spectral noise levels are asked for.
     */
    size_t count;
    const float *singular;
    void (*to_spectral)(void *user, const float *x, float *c, float *work);
    void (*from_spectral)(void *user, const float *c, float *x, float *work);
    void (*data)(void *user, const float *y, float *d, float *work);
    void *user;
    size_t work; /* floats of scratch the callbacks want */
    bool linear;
} pjd_operator_callbacks;

/* cb is copied, cb->singular too. On failure destroy is not called. */
PJD_API pjd_status pjd_operator_custom(const char *name, const pjd_shape *x_shape, const pjd_shape *y_shape,
                                       const pjd_operator_callbacks *cb, pjd_operator **out, pjd_error *err);

#ifdef __cplusplus
}
#endif
#endif
