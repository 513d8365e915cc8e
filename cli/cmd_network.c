/* SPDX-License-Identifier: MIT */
/* projdiff network: one evaluation of a network, for debugging and for parity with other programs. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

#include "projdiff/io.h"

typedef struct A {
    cli_args common;
    const char *input, *output, *model, *model_config, *classes;
    double t, sigma;
    bool denoise, overwrite, skip_existing;
    long threads, tile;
    int precision, backend;
} A;

static const cli_option options[] = {
    CLI_OPT_INPUT(A, "the network's input x_t: a .npy array, NCHW or CHW"),
    CLI_OPT_OUTPUT(A, "the output, a .npy array of the input's rank"),
    CLI_OPT_MODEL(A),
    CLI_OPT_MODEL_CONFIG(A),
    {"t", 0, CLI_NUMBER, offsetof(A, t), "T", "timestep, from 0; may be fractional", -CLI_NO_LIMIT, CLI_NO_LIMIT, NULL},
    {"sigma", 0, CLI_NUMBER, offsetof(A, sigma), "S",
     "with --denoise, in place of --t: the noise of an input x0 + S z, in the model's units", 0, CLI_NO_LIMIT, NULL},
    CLI_OPT_CLASS(A),
    {"denoise", 0, CLI_FLAG, offsetof(A, denoise), NULL, "the clean estimate instead of the raw output", 0, 0, NULL},
    CLI_OPT_TILE(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.t = NAN, .sigma = NAN};

/* One label for each of n items; labels is NULL when the model has no classes and none were given. */
static int read_labels(const A *a, const pjd_model_info *info, size_t n, int **labels)
{
    size_t count;

    *labels = NULL;
    if (!a->classes)
        return info->num_classes ? cli_error(CLI_USAGE, "this model has %zu classes: give --class K", info->num_classes)
                                 : CLI_DONE;
    if (!info->num_classes)
        return cli_error(CLI_USAGE, "--class: this model has no classes");
    *labels = malloc(n * sizeof **labels);
    if (!*labels)
        return cli_error(CLI_MEMORY, "out of memory");
    count = cli_parse_list(a->classes, *labels, n);
    if (count != n && count != 1)
        return cli_error(CLI_USAGE, "--class: expected one whole number or %zu of them, found \"%.80s\"", n,
                         a->classes);
    for (size_t i = count; i < n; i++)
        (*labels)[i] = (*labels)[0];
    for (size_t i = 0; i < n; i++)
        if ((size_t)(*labels)[i] >= info->num_classes)
            return cli_error(CLI_USAGE, "--class: expected numbers from 0 to %zu, found %d", info->num_classes - 1,
                             (*labels)[i]);
    return CLI_DONE;
}

static int evaluate(const A *a, pjd_model *m, const cli_media *x, const int *labels)
{
    pjd_runner_options o = {.threads = (int)a->threads,
                            .backend = (pjd_backend)a->backend,
                            .precision = (pjd_precision)a->precision,
                            .tile = (size_t)a->tile,
                            .classes = labels,
                            .exact_size = true, /* what other programs evaluate */
                            .log = {cli_log, NULL}};
    const pjd_model_info *info = pjd_model_get_info(m);
    size_t channels = a->denoise ? x->c : info->out_channels, count;
    pjd_shape item = pjd_shape_chw(x->c, x->h, x->w);
    cli_write w = {.overwrite = a->overwrite, .format = "npy"};
    pjd_runner *r = NULL;
    float *out = NULL;
    pjd_error err;
    bool writing = false;
    pjd_status st;
    int code = CLI_DONE;

    st = pjd_runner_create(m, x->n, &item, &o, &r, &err);
    if (st == PJD_OK) {
        if (__builtin_mul_overflow(x->n * channels, x->h * x->w, &count) || count > SIZE_MAX / sizeof *out ||
            !(out = malloc(count * sizeof *out)))
            st = pjd_error_set(&err, PJD_ERR_NOMEM, "out of memory");
        else
            st = !a->denoise    ? pjd_runner_raw(r, x->data, a->t, out, &err)
                 : a->sigma > 0 ? pjd_runner_denoise_sigma(r, x->data, a->sigma, out, &err)
                                : pjd_runner_denoise(r, x->data, a->t, out, &err);
    }
    if (st == PJD_OK) {
        writing = true;
        if (info->sequence && x->rank < 4) /* NCL */
            st = cli_media_write(a->output, NULL, out, 1, x->n, channels, x->w, x->rank, &w, &err);
        else
            st = cli_media_write(a->output, NULL, out, x->n, channels, x->h, x->w, x->rank, &w, &err);
    }
    if (st != PJD_OK)
        code = cli_fail(&err, writing ? a->output : NULL, writing);
    free(out);
    pjd_runner_free(r);
    return code;
}

static int run_model(const A *a, pjd_model *m)
{
    const pjd_model_info *info = pjd_model_get_info(m);
    cli_media x;
    int *labels = NULL, code;
    pjd_error err;

    /* A preconditioned network's own t is any number. */
    if (!(a->sigma > 0) && (a->denoise || !info->preconditioned) &&
        !(a->t >= 0 && a->t <= (double)(info->timesteps - 1)))
        return cli_error(CLI_USAGE, "--t: expected a number from 0 to %zu, found %g", info->timesteps - 1, a->t);
    if (cli_media_read(a->input, &x, &err) != PJD_OK)
        return cli_fail(&err, a->input, false);
    if (info->sequence && x.rank < 4) { /* NCL or CL, read as a picture */
        x.n = x.c;
        x.c = x.h;
        x.h = 1;
    }
    if (info->in_channels && x.c != info->in_channels)
        code = cli_error(CLI_USAGE, "%s: the network takes %zu channels, the array has %zu", a->input,
                         info->in_channels, x.c);
    else
        code = read_labels(a, info, x.n, &labels);
    if (code == CLI_DONE)
        code = evaluate(a, m, &x, labels);
    free(labels);
    cli_media_free(&x);
    return code;
}

static int run(const void *args)
{
    const A *a = args;
    cli_plan plan = {.input = a->input,
                     .outputs = {a->output},
                     .task = "network",
                     .samples = 1,
                     .overwrite = a->overwrite,
                     .skip_existing = a->skip_existing};
    pjd_model *m = NULL;
    int code;

    if (!a->input || !a->output)
        return cli_error(CLI_USAGE, "%s FILE is missing", a->input ? "-o" : "-i");
    if (!isnan(a->sigma) && (!a->denoise || !isnan(a->t) || !(a->sigma > 0)))
        return cli_error(CLI_USAGE, "--sigma: expected a number above 0, with --denoise, in place of --t");
    if (isnan(a->t) && isnan(a->sigma))
        return cli_error(CLI_USAGE, "--t T is missing: the timestep");
    cli_set_threads(a->threads);
    code = cli_plan_make(&plan);
    if (code == CLI_DONE && plan.batch)
        code = cli_error(CLI_USAGE, "%s: expected one array, found a folder", a->input);
    if (code == CLI_DONE && !plan.skipped) {
        code = cli_model_open(a->model, a->model_config, &m);
        if (code == CLI_DONE)
            code = run_model(a, m);
    }
    pjd_model_unref(m);
    cli_plan_free(&plan);
    return code;
}

const cli_command cli_cmd_network = {
    .name = "network",
    .summary = "one evaluation of a model's network, for debugging and parity",
    .synopsis = "[-m MODEL] -i X.npy {--t T|--sigma S} [--class K[,K...]] [--denoise] -o OUT.npy",
    .description =
        "Writes the network's raw output for a batch: all its channels, learned variance included. With --denoise: "
        "the clean estimate E[x0 | x_t], or with --sigma S that of x0 + S z. An audio network's "
        "--t is what it is told of the noise, ln(S)/4 for the published ones.",
    .examples = "projdiff network -m model.pt -i x.npy --t 37 -o out.npy",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .run = run,
};
