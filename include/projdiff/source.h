/* SPDX-License-Identifier: MIT */
/*
 * Sources: a mix into its instruments, and instruments beside given ones, with priors of single stems or of all stems
 * together (variance-exploding audio networks; any model works).
 *
 *     pjd_sources *s = NULL;
 *     pjd_source_options o;
 *     pjd_source_options_init(&o);
 *     if (pjd_sources_create(&model, 1, length, NULL, &s, &err) == PJD_OK)   // plan once, for this length
 *         st = pjd_separate(s, mixture, &o, stems, NULL, &err);              // as often as there are windows
 *     pjd_sources_free(s);
 *
 * Samples are peak-1 floats at the models' rate, mono: stems lie one after the other, [stems, length].
 */
#ifndef PROJDIFF_SOURCE_H
#define PROJDIFF_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "projdiff/model.h"
#include "projdiff/noise.h"
#include "projdiff/solver.h"
#include "projdiff/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pjd_sources pjd_sources;

/*
 * Plan the models for windows of `length` samples: one joint model whose channels are the stems, or several, whose channels
 * (one each, usually) are the stems in this order. runner: threads, backend, precision; or NULL. Keeps references to the
 * models. For one thread at a time. PJD_ERR_ARG, PJD_ERR_SHAPE: models that are no sequence models, or differ in rate.
 */
PJD_API pjd_status pjd_sources_create(pjd_model *const *models, size_t count, size_t length,
                                      const pjd_runner_options *runner, pjd_sources **out, pjd_error *err);
PJD_API void pjd_sources_free(pjd_sources *s); /* NULL is fine */
/* Stems of all models together, and their names (NULL where a model does not tell). */
PJD_API size_t pjd_sources_count(const pjd_sources *s);
PJD_API const char *pjd_sources_name(const pjd_sources *s, size_t i);

typedef struct pjd_source_options {
    const char
        *solver;      /* NULL: "projdiff"; "dirac", "gaussian": the samplers of Mariani et al. 2023 (separation only) */
    size_t steps;     /* noise levels; 0: 150, or 256 to complete */
    size_t repeats;   /* network evaluations a level; 0: projdiff 5, or 1 to complete; dirac, gaussian 2 */
    double step_size; /* projdiff; 0: 0.5 / repeats, or 0.05 to complete */
    double momentum;  /* projdiff, below 1; negative: 0.5, or 0.9 to complete */
    double sigma_min, sigma_max, rho; /* levels (Karras et al. 2022, eq. 5); 0: 1e-4, 1 (20 to complete), 7 */
    double churn;                     /* dirac, gaussian: s_churn; negative: as published, 20 or 40; 0: none */
    double gamma;                     /* gaussian: width of the likelihood in noise levels; 0: 0.75 */
    size_t constrained;               /* dirac: the stem that is the mixture minus the others */
    bool free_encoding; /* to complete: fresh noise at every level instead of Restricted Encoding, to compare */
    uint64_t seed;
    pjd_noise *noise; /* NULL: seeded from `seed`; else this source, in order */
    /* PJD_COMPAT_REFERENCE: the published program to the letter; the first evaluation takes initial_noise [stems, length]
       (NULL: drawn) times the first level. */
    pjd_compat compat;
    const float *initial_noise;
    /* projdiff: the first known_length samples of every stem are these, [stems, known_length]: what an overlapping earlier
       window found, so that stems do not change places between windows. NULL, 0: none. */
    const float *known;
    size_t known_length;
    pjd_progress_fn progress; /* after every level, with the stems so far; or NULL */
    void *progress_user;
    pjd_log log;
} pjd_source_options;

/* Fill with the defaults. */
PJD_API void pjd_source_options_init(pjd_source_options *o);

typedef struct pjd_source_report {
    size_t steps, repeats;
    double step_size;
    double residual; /* root mean square of mixture - sum of stems; 0 when completing */
    double seconds, network_seconds;
    uint64_t network_calls; /* evaluations of a network: of each model when there are several */
} pjd_source_report;

/*
 * What one pjd_separate (or, completing, pjd_complete) of this length would take, by pjd_model_estimate: steps, repeats,
 * step_size, network_calls, network_seconds and seconds, the rest 0. opt may be NULL. PJD_ERR_UNSUPPORTED: a model that is
 * no network.
 */
PJD_API pjd_status pjd_sources_estimate(pjd_sources *s, const pjd_source_options *opt, bool completing,
                                        pjd_source_report *out, pjd_error *err);

/*
 * Divide mixture [length] into stems [stems, length]; with "projdiff" and "dirac" the stems sum to the mixture to rounding.
 * report may be NULL, opt too. On failure stems' content is undefined. PJD_ERR_ARG, PJD_ERR_NONFINITE, PJD_ERR_CANCELLED.
 */
PJD_API pjd_status pjd_separate(pjd_sources *s, const float *mixture, const pjd_source_options *opt, float *stems,
                                pjd_source_report *report, pjd_error *err);

/*
 * Invent the stems that are not given, to go with those that are: given[i] is [length] samples or NULL. Given stems come back
 * as they are. No given stem at all draws a whole piece from the prior. A silent given stem tells the prior to leave that
 * instrument out.
 */
PJD_API pjd_status pjd_complete(pjd_sources *s, const float *const *given, const pjd_source_options *opt, float *stems,
                                pjd_source_report *report, pjd_error *err);

/* The levels, from the highest: sigma_0 = sigma_max .. sigma_(steps-1) = sigma_min, then 0: steps + 1 values; steps >= 2. */
PJD_API pjd_status pjd_karras_sigmas(size_t steps, double sigma_min, double sigma_max, double rho, double *sigmas,
                                     pjd_error *err);

#ifdef __cplusplus
}
#endif
#endif
