/* SPDX-License-Identifier: MIT */
/* projdiff sample: pictures, or music, drawn from the prior alone. */
#include "complete.h"

#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

typedef struct A {
    cli_args common;
    const char *output, *model, *model_config, *classes, *size, *format;
    double eta, seconds, window, overlap;
    bool overwrite, skip_existing;
    long threads, tile, steps, samples, quality;
    int precision, backend, progress;
    uint64_t seed;
} A;

static const cli_option options[] = {
    CLI_OPT_OUTPUT(A, "the picture or array; with {n} in its name when there are several"),
    CLI_OPT_MODEL(A),
    CLI_OPT_MODEL_CONFIG(A),
    {"size", 0, CLI_TEXT, offsetof(A, size), "WxH", "width and height in pixels; default 64x64", 0, 0, NULL},
    {"samples", 0, CLI_COUNT, offsetof(A, samples), "N", "how many; default 1", 1, 10000, NULL},
    {"steps", 0, CLI_COUNT, offsetof(A, steps), "N", "steps; default 100 (music 256)", 1, 100000, NULL},
    {"eta", 0, CLI_NUMBER, offsetof(A, eta), "E", "0: deterministic steps (DDIM), 1: ancestral; default 0", 0, 1, NULL},
    {"seconds", 0, CLI_NUMBER, offsetof(A, seconds), "S",
     "with a prior of music: how long; -o is a folder then, for one <stem>.wav a stem", 0.05, 3600, NULL},
    {"window", 0, CLI_NUMBER, offsetof(A, window), "SECONDS",
     "music: longest part that is drawn at once; default: what the model was trained on, else 11.9", 0.1, 600, NULL},
    {"overlap", 0, CLI_NUMBER, offsetof(A, overlap), "SECONDS", "music: of windows; default 1.5, at most half a window",
     0, 300, NULL},
    CLI_OPT_SEED(A),
    CLI_OPT_CLASS(A),
    CLI_OPT_TILE(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    CLI_OPT_QUALITY(A),
    CLI_OPT_FORMAT(A),
    CLI_OPT_PROGRESS(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.samples = 1, .size = "64x64", .window = -1, .overlap = -1};

static void on_begin(void *user)
{
    cli_estimate_tell(user);
}

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    if (cli_interrupted())
        return false;
    cli_progress_step(step, steps);
    return true;
}

static cli_write write_options(const A *a)
{
    return (cli_write){.overwrite = a->overwrite, .quality = (int)a->quality, .format = a->format ? a->format : "png"};
}

static int write_all(const A *a, const cli_plan *plan, const cli_job *job, const float *x, const pjd_shape *item)
{
    size_t count = item->dim[0] * item->dim[1] * item->dim[2];
    cli_write o = write_options(a);
    char path[CLI_PATH_MAX];
    pjd_error err;

    for (size_t s = 0; s < (size_t)a->samples; s++) {
        pjd_status st = PJD_OK;

        if (!cli_plan_name(plan, 0, job, s + 1, path, sizeof path))
            return cli_error(CLI_USAGE, "the output's name is too long");
        st = cli_media_write(path, NULL, x + s * count, 1, item->dim[0], item->dim[1], item->dim[2], 3, &o, &err);
        if (st != PJD_OK && !(st == PJD_ERR_EXISTS && a->skip_existing))
            return cli_fail(&err, path, true);
        cli_say("written: %s", strcmp(path, "-") ? path : "standard output");
    }
    return CLI_DONE;
}

static int draw(const A *a, const cli_plan *plan, pjd_model *m, size_t w, size_t h)
{
    const pjd_model_info *info = pjd_model_get_info(m);
    pjd_shape item = pjd_shape_chw(info->in_channels, h, w);
    size_t samples = (size_t)a->samples, count, all;
    int label = 0, *labels = NULL, code = CLI_DONE;
    cli_write written = write_options(a);
    char path[CLI_PATH_MAX];
    pjd_solve_options o;
    cli_estimate e = {0};
    float *x = NULL;
    pjd_error err;

    if (info->sequence)
        return cli_error(CLI_USAGE, "this is a prior of music: give --seconds S, and a folder as -o");
    if (!a->classes != !info->num_classes)
        return info->num_classes ? cli_error(CLI_USAGE, "this model has %zu classes: give --class K", info->num_classes)
                                 : cli_error(CLI_USAGE, "--class: this model has no classes");
    if (a->classes && (cli_parse_list(a->classes, &label, 1) != 1 || (size_t)label >= info->num_classes))
        return cli_error(CLI_USAGE, "--class: expected a whole number from 0 to %zu", info->num_classes - 1);
    if (cli_plan_name(plan, 0, &plan->jobs[0], 1, path, sizeof path) &&
        cli_media_check(path, NULL, 1, item.dim[0], h, w, &written, &err) != PJD_OK)
        return cli_fail(&err, path, true); /* before anything is drawn */
    if (!pjd_shape_count(&item, &count) || __builtin_mul_overflow(count, samples, &all) || all > SIZE_MAX / sizeof *x ||
        !(x = malloc(all * sizeof *x)) || !(labels = malloc(samples * sizeof *labels)))
        code = cli_error(CLI_MEMORY, "out of memory for %zu sample(s) of %zux%zu", samples, w, h);
    for (size_t i = 0; labels && i < samples; i++)
        labels[i] = label;
    pjd_solve_options_init(&o);
    o.steps = (size_t)a->steps;
    o.seed = a->seed;
    o.samples = samples;
    o.runner = (pjd_runner_options){.threads = (int)a->threads,
                                    .backend = (pjd_backend)a->backend,
                                    .precision = (pjd_precision)a->precision,
                                    .tile = (size_t)a->tile,
                                    .classes = a->classes ? labels : NULL,
                                    .log = {cli_log, NULL}};
    o.progress = on_progress;
    o.log = (pjd_log){cli_log, NULL};
    cli_progress_start(a->output, 1, 1);
    if (code == CLI_DONE)
        e = cli_estimate_sample(m, &item, &o);
    o.begin = on_begin;
    o.progress_user = &e;
    if (code == CLI_DONE && pjd_sample(m, &item, &o, a->eta, x, &err) != PJD_OK)
        code = cli_fail(&err, NULL, false);
    if (code == CLI_DONE)
        code = write_all(a, plan, &plan->jobs[0], x, &item);
    free(labels);
    free(x);
    return code;
}

static int draw_music(const A *a)
{
    compose_args c = {.output = a->output,
                      .seconds = a->seconds,
                      .window = a->window,
                      .overlap = a->overlap,
                      .steps = a->steps,
                      .threads = a->threads,
                      .takes = a->samples,
                      .overwrite = a->overwrite,
                      .skip_existing = a->skip_existing,
                      .precision = a->precision,
                      .backend = a->backend,
                      .seed = a->seed};
    music m = {0};
    int code = music_open(a->model, a->model_config, NULL, 0, true, &m);

    if (code == CLI_DONE)
        code = compose(&c, &m);
    music_close(&m);
    return code;
}

static int run(const void *args)
{
    const A *a = args;
    cli_plan plan = {.input = "-",
                     .name = "sample",
                     .outputs = {a->output},
                     .task = "sample",
                     .format = a->format,
                     .seed = a->seed,
                     .samples = (size_t)a->samples,
                     .overwrite = a->overwrite,
                     .skip_existing = a->skip_existing};
    pjd_model *m = NULL;
    size_t w, h;
    int code;

    cli_progress_init(a->progress);
    if (!a->output)
        return cli_error(CLI_USAGE, "-o FILE is missing: where the picture goes");
    if (a->seconds > 0) {
        cli_set_threads(a->threads);
        code = draw_music(a);
        if (cli_interrupted()) {
            pjd_output_abort_all();
            code = CLI_INTERRUPTED;
        }
        return code;
    }
    if (!cli_parse_size(a->size, &w, &h))
        return cli_error(CLI_USAGE, "--size: expected WxH in pixels, found \"%.40s\"", a->size);
    if (a->samples > 1 && !cli_has_field(a->output, "{n}"))
        return cli_error(CLI_USAGE, "%ld samples need {n} in the output's name", a->samples);
    cli_set_threads(a->threads);
    code = cli_plan_make(&plan);
    if (code == CLI_DONE && plan.skipped)
        cli_say("skipped, the output exists");
    if (code == CLI_DONE && !plan.skipped) {
        code = cli_model_open(a->model, a->model_config, &m);
        if (code == CLI_DONE)
            code = draw(a, &plan, m, w, h);
    }
    if (cli_interrupted()) {
        pjd_output_abort_all();
        code = CLI_INTERRUPTED;
    }
    pjd_model_unref(m);
    cli_plan_free(&plan);
    return code;
}

const cli_command cli_cmd_sample = {
    .name = "sample",
    .summary = "draw pictures, or music, from a model's prior alone",
    .synopsis = "[-m MODEL] -o OUT [--size WxH] [--seed N] [--steps N] [--eta E]",
    .description =
        "Draws what the model finds likely, without any measurement (DDIM, Song et al. 2021), to see what a prior "
        "has learned.",
    .examples = "projdiff sample --size 128x128 --seed 3 -o sample.png\n"
                "projdiff sample --samples 4 -o 'sample-{n}.png'\n"
                "projdiff sample -m music.ckpt --seconds 10 -o piece",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .run = run,
};
