/* SPDX-License-Identifier: MIT */
/* What the two readings of the method share: the default one and the published program's. */
#ifndef PJD_SOLVERS_PROJDIFF_H
#define PJD_SOLVERS_PROJDIFF_H

#include "core/solver.h"

/* Choices of the default reading, by kind of operator; see docs/differences-from-the-paper.md. Public options override. */
typedef struct pjd_projdiff_settings {
    size_t steps;
    double t_start; /* first level as a fraction of T - 1 */
    double t_end;   /* last level, likewise: the clean estimate made there is the result */
    double
        grid_power;   /* levels t_end + (t_start - t_end) u^power for u from 1 to 0: above 1 crowds them at low noise */
    double step_high; /* step size where abar = 0 ... */
    double step_low;  /* ... and where abar = 1; between them linear in sqrt(1 - abar) */
    double prior_gain; /* proximal form: g, trust in the data against the estimate so far */
    double tail;       /* noisy: share of the steps spent below the measurement's own noise level */
    bool proximal;     /* the proximal form even where levels are known */
    bool warm;         /* start from the operator's guess instead of a clean estimate of pure noise */
} pjd_projdiff_settings;

/* The settings that a run with this operator and sigma (model units) uses. */
void pjd_projdiff_choose(const pjd_operator *op, double sigma, pjd_projdiff_settings *s);
/* Run with given settings (the public options step_size, steps are not looked at). */
pjd_status pjd_projdiff_run(pjd_solver_run *r, const pjd_projdiff_settings *s);
/* The published program, to the letter (algorithm as in arXiv 2406.06959's program; options as given). */
pjd_status pjd_projdiff_reference(pjd_solver_run *r);

/* After step `step` of `steps`: the caller's progress function; PJD_ERR_CANCELLED when it says so. */
pjd_status pjd_solver_progress(pjd_solver_run *r, size_t step, size_t steps);
/* One network call with the step in the error's text. */
pjd_status pjd_solver_denoise(pjd_solver_run *r, size_t step, const float *x, double t, float *x0);

#endif
