/* SPDX-License-Identifier: MIT */
/* The solver interface: what an sv_<name>.c implements. */
#ifndef PJD_CORE_SOLVER_H
#define PJD_CORE_SOLVER_H

#include "core/core.h"
#include "core/operator.h"
#include "core/prior.h"
#include "projdiff/solver.h"

typedef struct pjd_solver_run {
    pjd_model *model;
    const pjd_operator *op;
    const float *y;               /* borrowed; one measurement shared by all samples */
    const pjd_solve_options *opt; /* steps etc. as the user gave them (0 = default) */
    size_t samples;
    double sigma; /* model units */
    pjd_noise *noise;
    pjd_runner *runner;       /* planned for samples x op->x */
    float *x0;                /* [samples, op->x], the result */
    pjd_solve_report *report; /* filled with steps, step_size */
    pjd_error *err;
} pjd_solver_run;

/* What a run will take: evaluations of the prior, and floats besides the result and the runner. */
typedef struct pjd_solver_forecast {
    size_t steps;
    uint64_t evaluations;
    size_t floats;
} pjd_solver_forecast;

typedef struct pjd_solver_class {
    pjd_entry entry;
    /* Of r, what is known before: model, op, opt, samples, sigma. */
    void (*forecast)(const pjd_solver_run *r, pjd_solver_forecast *f);
    pjd_status (*run)(pjd_solver_run *r);
} pjd_solver_class;

extern const pjd_solver_class *const pjd_solver_classes[];

#endif
