/* SPDX-License-Identifier: MIT */
/* What cmd_restore.c and restore.c share. */
#ifndef PJD_CLI_RESTORE_H
#define PJD_CLI_RESTORE_H

#include "cli.h"

typedef struct restore_args {
    cli_args common;
    const char *input, *output, *model, *model_config, *classes, *mask, *kernel, *solver, *noise, *mean, *std, *format;
    bool mask_invert, skip_existing, overwrite;
    double sigma, step_size, momentum; /* sigma below 0: not given */
    long steps, repeats, restarts, samples, tile, threads, save_every, quality;
    int compat, precision, backend, progress;
    uint64_t seed;
} restore_args;

/* What all inputs of one call share. */
typedef struct restore_run {
    const restore_args *a;
    cli_task task;
    cli_plan plan;
    pjd_model *model;
    float *noise; /* recorded draws */
    size_t noise_count;
    int class_label;
} restore_run;

/* Nothing known: an error; nothing missing: a warning. */
int restore_check_mask(const restore_run *r);
/* Restore one input and write what was asked for; an exit code, with its message printed. */
int restore_file(restore_run *r, const cli_job *job);

#endif
