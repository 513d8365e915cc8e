/* SPDX-License-Identifier: MIT */
/* What the solvers for sources share: the planned models, one run's buffers. */
#ifndef PJD_SOLVERS_SOURCE_H
#define PJD_SOLVERS_SOURCE_H

#include "core/core.h"
#include "projdiff/source.h"

struct pjd_sources {
    size_t count; /* models */
    pjd_model **models;
    pjd_runner **runners;
    pjd_runner_options how; /* they were made with */
    size_t *first;          /* [count] first stem of each */
    size_t stems, length, n;
    float *x, *d, *z, *m; /* [stems, length] */
    float *encoding;      /* the noise that Restricted Encoding keeps; [stems, length] */
};

typedef struct source_run {
    pjd_sources *s;
    pjd_source_options o; /* defaults resolved */
    double *sigmas;       /* [steps + 1] */
    const float *mixture; /* NULL when completing */
    const float *const *given;
    float *stems; /* the caller's */
    uint64_t calls;
    pjd_error *err;
} source_run;

/* d = D(x, sigma), every model on its stems; counts. */
pjd_status pjd_source_denoise(source_run *r, const float *x, double sigma, float *d);
pjd_status pjd_source_draw(source_run *r, float *z);
/* After level `step`: x is what the caller is shown. PJD_ERR_CANCELLED when it wants to stop. */
pjd_status pjd_source_progress(source_run *r, size_t step, const float *x);

pjd_status pjd_source_projdiff(source_run *r);
pjd_status pjd_source_dirac(source_run *r);
pjd_status pjd_source_gaussian(source_run *r);

#endif
