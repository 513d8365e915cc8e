/* SPDX-License-Identifier: MIT */
/* What cmd_restore.c and restore.c share. */
#ifndef PJD_CLI_RESTORE_H
#define PJD_CLI_RESTORE_H

#include "cli.h"

typedef struct restore_args {
    cli_args common;
    const char *input, *output, *model, *model_config, *classes, *mask, *kernel, *solver, *noise, *mean, *std, *format,
        *noise_model;
    bool mask_invert, skip_existing, overwrite, gray_values;
    double sigma, step_size, momentum; /* sigma below 0: not given, or CLI_AUTO */
    long steps, repeats, restarts, samples, tile, threads, save_every, quality;
    int compat, precision, backend, progress, consistency;
    uint64_t seed;
} restore_args;

/* What all inputs of one call share. */
typedef struct restore_run {
    const restore_args *a;
    cli_task task;
    cli_plan plan;
    double peak; /* of counts; 0: Gaussian noise */
    pjd_model *model;
    float *noise; /* recorded draws */
    size_t noise_count;
    int class_label;
    size_t expected_w, expected_h; /* size whose time was told last */
} restore_run;

/* One input. */
typedef struct file_run {
    restore_run *r;
    const cli_job *job;
    cli_media y;
    size_t unit;         /* channels solved together: the media's c, or 1 with a one-channel model */
    bool lift;           /* gray measurement, three-channel model */
    pjd_mri *mri;        /* of the task mri */
    pjd_operator *op;    /* for one unit */
    pjd_operator *plain; /* the same before the measurement is lifted */
    float *white;        /* what `plain` makes of a white picture; NULL where nobody asks */
    enum { GAUSSIAN, STABILISED, WEIGHTED } counts; /* counts become roots, or even by weights */
    pjd_shape result;                               /* of one unit, before lifted channels are averaged */
    size_t rc, rh, rw;                              /* of one item of the result */
    size_t samples;
    float *x; /* [samples, n, rc, rh, rw] */
    bool estimated;
    bool picture_like; /* the measurement looks like a picture: its noise can be estimated */
    size_t unseen; /* elements of the measurement that estimated sigma where it is no picture: nothing reaches them */
    double reach;  /* largest magnitude that the operator makes of values in -1..1, roughly */
    double sigma_low, sigma_high, sigma_model; /* user's scale, smallest and largest of the items; model's units */
    pjd_solve_report report;                   /* sums over the units; residual: the worst */
    size_t unit_index, units;
    double first_step;     /* when the first step ended */
    bool told;             /* how long the run will take */
    cli_estimate expected; /* before it runs; told at its start */
    pjd_error saved;       /* of --save-every, from inside the progress callback */
} file_run;

/* Nothing known: an error; nothing missing: a warning. */
int restore_check_mask(const restore_run *r);
/* Restore one input and write what was asked for; an exit code, with its message printed. */
int restore_file(restore_run *r, const cli_job *job);

/* ---- restore_measure.c: what the measurement's numbers and noise are ---- */

/* Is it picture-like, how far do its values reach. */
pjd_status restore_probe(file_run *f, pjd_error *err);
/* What gray values and counts need. */
pjd_status restore_prepare_measured(file_run *f, pjd_error *err);
/*
 * The measurement y of one unit, in place, as Gaussian noise of one deviation: *sigma on the user's scale (scale: from there to
 * the model's units). *plain and *op are replaced by weighted ones where that takes it.
 */
pjd_status restore_even_noise(file_run *f, float *y, double scale, pjd_operator **plain, pjd_operator **op,
                              double *sigma, pjd_error *err);
/* The measurement of one unit, three times, with noise that makes the three independent; sigma in y's units. */
pjd_status restore_lift_gray(const file_run *f, const float *y, double sigma, float *out, pjd_error *err);

#endif
