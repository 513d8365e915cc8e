/* SPDX-License-Identifier: MIT */
/*
 * Solvers: restore x from a measurement y = A(x) + sigma n with a model as prior.
 *
 * The solver "projdiff" is the method of J. Zhang et al., "Unleashing the Denoising Capability of Diffusion
 * Prior for Solving Inverse Problems", NeurIPS 2024 (arXiv 2406.06959).
 */
#ifndef PROJDIFF_SOLVER_H
#define PROJDIFF_SOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "projdiff/model.h"
#include "projdiff/noise.h"
#include "projdiff/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called after every step; return false to stop (PJD_ERR_CANCELLED). x0 is the current estimate
   [samples, input of the operator] ([samples * restarts, ...] for operators that are started several times), valid during
   the call only. */
typedef bool (*pjd_progress_fn)(void *user, size_t step, size_t steps, const float *x0);

typedef enum pjd_compat {
    PJD_COMPAT_NONE = 0,
    PJD_COMPAT_REFERENCE /* the published program, to the letter: see docs/differences-from-the-paper.md */
} pjd_compat;

/* What is done with a result that contradicts the measurement: see pjd_operator_project_ball. */
typedef enum pjd_consistency {
    PJD_CONSISTENCY_OFF = 0, /* the solver's own last step stands: with sigma 0 the projection */
    PJD_CONSISTENCY_BALL,    /* to the nearest x with |A x - y| <= sigma sqrt(m), m elements measured */
    PJD_CONSISTENCY_EXACT    /* to the nearest x with A x = y */
} pjd_consistency;

typedef struct pjd_solve_options {
    const char *solver; /* NULL: "projdiff" */
    double sigma;       /* noise of the measurement on the user's scale (pictures: 0..1); >= 0. With
                             PJD_COMPAT_REFERENCE in the units of y itself */
    size_t steps;       /* 0: the task's default */
    double step_size;   /* 0: by the documented rule */
    size_t repeats;     /* 0: 1 */
    double momentum;    /* 0 .. <1 */
    uint64_t seed;
    size_t restarts;  /* phase retrieval: starts of each sample, of which the one with the least residual is kept; 0: 4,
                         or 1 with PJD_COMPAT_REFERENCE. 1 for other operators */
    size_t samples;   /* independent restorations in one batch; 0: 1 */
    pjd_noise *noise; /* NULL: seeded from `seed`; else this source, in order */
    pjd_compat compat;
    pjd_consistency consistency; /* linear operators only */
    pjd_runner_options runner;
    /* Called with progress_user when everything is checked and planned, before the prior is asked for the first time; or
       NULL. */
    void (*begin)(void *user);
    pjd_progress_fn progress; /* or NULL */
    void *progress_user;
    pjd_log log;
} pjd_solve_options;

/* Fill with the defaults above (all zero). */
PJD_API void pjd_solve_options_init(pjd_solve_options *o);

typedef struct pjd_solve_report {
    size_t steps;             /* steps run */
    double step_size;         /* nominal step size used */
    double sigma_model;       /* sigma in the model's units */
    double residual;          /* sqrt(mean |A x - y|^2) over measurement elements, model units, worst sample */
    size_t restarts;          /* starts of each sample */
    size_t converged;         /* of all of them, those whose residual is what sigma explains: 1.1 sigma and 0.5% of y's
                                 root mean square */
    double residual_expected; /* what it should be: sigma in model units (0 when noise-free) */
    double seconds;           /* wall time of the whole call */
    double network_seconds;   /* of it inside the network */
    uint64_t network_calls;
    size_t peak_bytes; /* buffers, activations and packed weights held at once */
} pjd_solve_report;

/*
 * Restore. y: [output of op], x: [samples, result of op] (see pjd_operator_result), the caller's.
 * opt NULL: defaults. report may be NULL. On failure x's content is undefined.
 * PJD_ERR_SHAPE when model and operator do not fit, PJD_ERR_NONFINITE names the step, PJD_ERR_CANCELLED.
 */
PJD_API pjd_status pjd_solve(pjd_model *model, pjd_operator *op, const float *y, const pjd_solve_options *opt, float *x,
                             pjd_solve_report *report, pjd_error *err);

/*
 * What pjd_solve with these arguments would take, before it runs: steps, network_calls, peak_bytes, and by
 * pjd_model_estimate network_seconds, to which `seconds` adds nothing (all else is below a few per cent). The rest is 0.
 * Errors as pjd_model_estimate.
 */
PJD_API pjd_status pjd_solve_estimate(pjd_model *model, pjd_operator *op, const pjd_solve_options *opt,
                                      pjd_solve_report *out, pjd_error *err);

/*
 * Draw samples from the prior (DDIM, Song et al. 2021, eta = 0..1; steps 0: 100).
 * x: [samples, item].
 */
PJD_API pjd_status pjd_sample(pjd_model *model, const pjd_shape *item, const pjd_solve_options *opt, double eta,
                              float *x, pjd_error *err);
/* As pjd_solve_estimate, of pjd_sample. */
PJD_API pjd_status pjd_sample_estimate(pjd_model *model, const pjd_shape *item, const pjd_solve_options *opt,
                                       pjd_solve_report *out, pjd_error *err);

/* Estimate of the noise level of a picture [c,h,w] in -1..1 from its quietest regions (the fifth of the 16x16 blocks with the
   smallest diagonal second differences), in the units of y. Blocks with more than a few pixels at black or white are left out:
   their noise is cut off. 0 for pictures smaller than 16x16, and where no block is left. */
PJD_API double pjd_estimate_sigma(const pjd_shape *shape, const float *y);

#ifdef __cplusplus
}
#endif
#endif
