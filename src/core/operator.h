/* SPDX-License-Identifier: MIT */
/* The operator interface: what an op_<name>.c implements. Shapes and meanings: projdiff/operator.h. */
#ifndef PJD_CORE_OPERATOR_H
#define PJD_CORE_OPERATOR_H

#include <stdatomic.h>

#include "core/core.h"
#include "core/param.h"
#include "projdiff/operator.h"

/* c: coordinates number first .. first + n - 1 of a vector in the spectral form; they become what is to be added to them. */
typedef void (*pjd_spectral_change)(void *ctx, size_t first, size_t n, float *c);

typedef struct pjd_op_vtbl {
    void (*apply)(const pjd_operator *op, const float *x, float *y, float *work);
    void (*adjoint)(const pjd_operator *op, const float *y, float *x, float *work);
    /* q = A* A p, where that is cheaper than one after the other: conjugate gradients then stay in x's space. May be
       NULL. */
    void (*normal)(const pjd_operator *op, const float *p, float *q, float *work);
    /* r <- (A A* + lambda)^-1 r in closed form; lambda = 0 means the pseudo-inverse with tiny singular values damped
       (never divided by). NULL: conjugate gradients. */
    void (*gram_solve)(const pjd_operator *op, float *r, double lambda, float *work);
    /* Overrides for operators that know better, and for nonlinear ones. NULL: from the above. */
    void (*project)(const pjd_operator *op, float *x, const float *y, double alpha, float *work);
    void (*prox)(const pjd_operator *op, float *x, const float *y, double lambda, float *work);
    /* prox by iterations, where an error in x of this root mean square will go under in noise. NULL: prox. */
    void (*prox_about)(const pjd_operator *op, float *x, const float *y, double lambda, double error, float *work);
    /* Nonlinear operators whose projection alone gets stuck: from x, look for a point that meets y and what else is known
       of x. A solver then tries several starts. NULL: project. */
    void (*search)(const pjd_operator *op, float *x, const float *y, float *work);
    double (*noise_gain)(const pjd_operator *op, double sigma2);                  /* NULL: sigma2 */
    void (*guess)(const pjd_operator *op, const float *y, float *x, float *work); /* NULL: a damped prox from 0 */
    /* PJD_OP_CLIP alone. What y shows of x becomes y's, lambda as in prox; middle [nx] <- NaN there, and the middle of what an
       element can be that y hides; returns the variance over that range. */
    double (*hidden)(const pjd_operator *op, float *x, const float *y, double lambda, float *middle);
    /* Spectral form, all or none: see projdiff/operator.h, pjd_operator_callbacks. */
    void (*to_spectral)(const pjd_operator *op, const float *x, float *c, float *work);
    void (*from_spectral)(const pjd_operator *op, const float *c, float *x, float *work);
    void (*data)(const pjd_operator *op, const float *y, float *d, float *work);
    /* x += V change(V' x), at least on the coordinates whose singular values are above `least`; the others stay what they
       are. Threads may call change side by side. NULL where leaving some out saves nothing. */
    void (*adjust)(const pjd_operator *op, float *x, double least, pjd_spectral_change change, void *ctx, float *work);
    void (*destroy)(pjd_operator *op); /* frees op->priv; NULL: pjd_free(op->priv) */
} pjd_op_vtbl;

typedef struct pjd_op_class pjd_op_class;

struct pjd_operator {
    atomic_size_t refs;
    const pjd_op_vtbl *v;
    char name[48];
    pjd_shape x, y, result;
    size_t nx, ny;             /* element counts */
    size_t measured;           /* elements of y that can be other than 0; 0: all */
    size_t offset_y, offset_x; /* of result in x */
    bool linear;
    bool project_first; /* nonlinear: the published program projects before re-noising too (phase retrieval) */
    /*
     * What the operator does per pixel and channel and sees of x directly. A solver uses it to choose rules:
     * PJD_OP_SELECT copies some elements of x (masks), PJD_OP_AVERAGE has singular values that are equal or 0 (averages,
     * orthonormal mixtures), PJD_OP_FILTER convolves, PJD_OP_CLIP (not linear) copies some elements and bounds the others:
     * its prox puts them there, lambda being the variance in x of the measurement's noise.
     */
    enum { PJD_OP_GENERAL = 0, PJD_OP_SELECT, PJD_OP_AVERAGE, PJD_OP_FILTER, PJD_OP_IDENTITY, PJD_OP_CLIP } kind;
    /*
     * What the guess lacks, by which a solver chooses how far from it to look: detail (the rest is right), the place of
     * everything (mixtures: the guess is the picture under noise that is not white), colour, or the brightest and darkest.
     */
    enum { PJD_LACKS_DETAIL = 0, PJD_LACKS_PLACE, PJD_LACKS_COLOUR, PJD_LACKS_RANGE } lacks;
    size_t work;                /* floats the vtbl's functions want (CG scratch is added by pjd_op_new) */
    size_t spectral_count;      /* 0: no spectral form; else nx */
    const float *singular;      /* [spectral_count], owned by priv */
    size_t cg_iterations;       /* for the fallback; 0: 50 for a proximal step, 1000 for a projection */
    double cg_tolerance;        /* relative residual; 0: 1e-5 and 1e-6 */
    const pjd_op_class *origin; /* class it came from; NULL for custom and composed */
    void *priv;
};

/* What an op_<name>.c exports, as `const pjd_op_class pjd_op_<name>`. */
struct pjd_op_class {
    pjd_entry entry;    /* name, summary, parameters */
    size_t params_size; /* of the struct that entry.params fill */
    /*
     * One of x_shape, y_shape may be NULL (both given: they must agree). `present` tells which parameters were given.
     * `part`: of a composition, so only apply, adjoint and guess will be called; what the other calls need may be left out.
     */
    pjd_status (*create)(const void *params, const bool *present, bool part, const pjd_shape *x_shape,
                         const pjd_shape *y_shape, pjd_operator **out, pjd_error *err);
    bool nonlinear;
};

/*
 * Allocate an operator with refs 1, name, shapes, counts, result = x and offsets 0. The caller then sets kind, work,
 * spectral fields and priv. v->destroy(op) is called when the last reference goes; priv may be NULL then (creation
 * failed half-way and pjd_operator_unref cleans up).
 */
pjd_status pjd_op_new(const char *name, const pjd_op_vtbl *v, const pjd_shape *x, const pjd_shape *y, bool linear,
                      pjd_operator **out, pjd_error *err);

/* All classes of this build, NULL-terminated (generated from the folder's build list). */
extern const pjd_op_class *const pjd_op_classes[];

#endif
