/* SPDX-License-Identifier: MIT */
/* What complete and sample share: music from the prior, beside given stems or alone. */
#ifndef PJD_CLI_COMPLETE_H
#define PJD_CLI_COMPLETE_H

#include "separate.h"

typedef struct compose_args {
    cli_args common;
    const char *output; /* folder */
    const char *model, *model_config, *stems;
    double rate;
    int progress;
    cli_list given;               /* "bass=FILE" */
    double seconds;               /* with no given stem */
    double window, overlap;       /* seconds */
    long steps, repeats, threads; /* 0: default */
    double step_size;             /* 0: default */
    double sigma_max, sigma_min;  /* 0: default */
    long takes;
    bool free_encoding, overwrite, skip_existing;
    int precision, backend;
    uint64_t seed;
} compose_args;

/* Writes <stem>.wav (with takes: <stem>-<take>.wav) for each stem that is not given, mono at the model's rate. An exit code,
   with its message printed. */
int compose(const compose_args *a, const music *m);

#endif
