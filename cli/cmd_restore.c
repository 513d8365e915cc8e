/* SPDX-License-Identifier: MIT */
/* projdiff restore: options, the order of work, and the summary. One file's work is in restore.c. */
#include "measured.h"
#include "restore.h"

#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

typedef restore_args A;

static const cli_option options[] = {
    CLI_OPT_INPUT(A, "the measurement: a picture, a .npy array in -1..1 (HW, CHW or NCHW), a folder of them, or - for "
                     "standard input; for ct, cs and phase numbers, .npy or a floating-point TIFF; for mri complex "
                     "k-space, .npy (HW or CHW, C coils) or BART's .cfl"),
    CLI_OPT_OUTPUT(
        A, "the result; its extension says the kind. A folder, - for standard output, or a template with {name} "
           "{task} {seed} {n} {ext}"),
    CLI_OPT_MODEL(A),
    CLI_OPT_MODEL_CONFIG(A),
    CLI_OPT_CLASS(A),
    CLI_OPT_MASK(A),
    CLI_OPT_MASK_INVERT(A),
    CLI_OPT_KERNEL(A),
    {"sigma", 0, CLI_NUMBER, offsetof(A, sigma), "S",
     "standard deviation of the measurement's noise on the scale where black is 0 and white is 1, for arrays too (in "
     "the "
     "units of the array with --compat reference, and for mri). Default: 0 for inpaint, else estimated and printed. "
     "auto: "
     "estimated, or "
     "refused where it cannot be",
     0, CLI_NO_LIMIT, "auto"},
    CLI_OPT_NOISE_MODEL(A),
    CLI_OPT_GRAY_VALUES(A),
    {"data-consistency", 0, CLI_CHOICE, offsetof(A, consistency), "off|ball|exact",
     "last step, linear tasks: move the result, where it lies outside, to the nearest one that differs from the "
     "measurement by what "
     "sigma explains (ball), or by nothing (exact); default off",
     0, 0, "off|ball|exact"},
    {"steps", 0, CLI_COUNT, offsetof(A, steps), "N", "steps of the solver; default: the task's", 1, 100000, NULL},
    {"step-size", 0, CLI_NUMBER, offsetof(A, step_size), "R", "step size; default: by the documented rule",
     CLI_POSITIVE, CLI_NO_LIMIT, NULL},
    {"repeats", 0, CLI_COUNT, offsetof(A, repeats), "N", "updates at each step; default 1", 1, 1000, NULL},
    {"momentum", 0, CLI_NUMBER, offsetof(A, momentum), "B", "momentum of the updates; default 0", 0, CLI_BELOW_ONE,
     NULL},
    {"solver", 0, CLI_TEXT, offsetof(A, solver), "NAME", "method (see projdiff list solvers); default projdiff", 0, 0,
     NULL},
    {"compat", 0, CLI_CHOICE, offsetof(A, compat), "none|reference",
     "reference: the published program to the letter, for comparisons", 0, 0, "none|reference"},
    {"restarts", 0, CLI_COUNT, offsetof(A, restarts), "N",
     "phase: starts, of which the one with the least residual is kept; default 4, with --compat reference 1", 1, 1000,
     NULL},
    CLI_OPT_SEED(A),
    {"noise", 0, CLI_TEXT, offsetof(A, noise), "FILE.npy", "recorded Gaussian draws, used in order instead of a seed",
     0, 0, NULL},
    {"samples", 0, CLI_COUNT, offsetof(A, samples), "N",
     "independent restorations: N files when the output's name has {n}, else for --mean and --std", 1, 10000, NULL},
    {"mean", 0, CLI_TEXT, offsetof(A, mean), "FILE", "write the mean of the samples", 0, 0, NULL},
    {"std", 0, CLI_TEXT, offsetof(A, std), "FILE",
     "write the standard deviation of the samples: an array in the units of the array; as a picture, white is 0.25 or "
     "more. With it inpaint, superres and denoise run the solver posterior unless --solver says otherwise",
     0, 0, NULL},
    CLI_OPT_TILE(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    {"save-every", 0, CLI_COUNT, offsetof(A, save_every), "N",
     "also write the estimate after every N steps (NAME-step10.png)", 1, 100000, NULL},
    CLI_OPT_QUALITY(A),
    CLI_OPT_FORMAT(A),
    CLI_OPT_PROGRESS(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.sigma = -1, .samples = 1, .repeats = 1};

static int check(const A *a)
{
    if (!a->input)
        return cli_error(CLI_USAGE, "-i FILE is missing: the measurement to restore");
    if (!a->output && !a->mean && !a->std)
        return cli_error(CLI_USAGE, "-o FILE is missing: where the result goes");
    if (a->samples > 1 && a->output && !strcmp(a->output, "-"))
        return cli_error(CLI_USAGE, "%ld samples cannot go to standard output", a->samples);
    if (a->samples > 1 && a->output && !cli_has_field(a->output, "{n}") && !a->mean && !a->std)
        return cli_error(CLI_USAGE, "%ld samples need {n} in the output's name, or --mean or --std", a->samples);
    if (a->std && a->samples < 2)
        return cli_error(CLI_USAGE, "--std needs --samples of at least 2");
    if ((a->mean && !strcmp(a->mean, "-")) || (a->std && !strcmp(a->std, "-")))
        return cli_error(CLI_USAGE, "--mean and --std cannot go to standard output");
    if (a->save_every && (!a->output || !strcmp(a->output, "-")))
        return cli_error(CLI_USAGE, "--save-every needs -o with a file name");
    return CLI_DONE;
}

static int check_mri(const A *a, const cli_task *t)
{
    if (!cli_mri_task(t))
        return cli_mri_check(t);
    if (a->std || a->mask_invert)
        return cli_error(CLI_USAGE, "mri: %s is not for complex pictures", a->std ? "--std" : "--mask-invert");
    return CLI_DONE;
}

/* Real and imaginary part are two gray pictures for the prior. */
static int open_model(restore_run *r)
{
    pjd_model *inner = NULL;
    pjd_error err;
    int code;

    if (!cli_mri_task(&r->task))
        return cli_model_open(r->a->model, r->a->model_config, &r->model);
    code = cli_model_open(r->a->model, r->a->model_config, &inner);
    if (code == CLI_DONE && pjd_model_planes(inner, 2, &r->model, &err) != PJD_OK)
        code = cli_fail(&err, r->a->model, false);
    pjd_model_unref(inner);
    return code;
}

static int load_noise(restore_run *r)
{
    pjd_shape shape;
    pjd_error err;

    if (!r->a->noise)
        return CLI_DONE;
    if (pjd_npy_read(r->a->noise, &r->noise, &shape, &err) != PJD_OK)
        return cli_fail(&err, r->a->noise, false);
    pjd_shape_count(&shape, &r->noise_count);
    return CLI_DONE;
}

static int check_class(restore_run *r)
{
    size_t classes = pjd_model_get_info(r->model)->num_classes;

    if (!r->a->classes)
        return classes ? cli_error(CLI_USAGE, "this model has %zu classes: give --class K", classes) : CLI_DONE;
    if (!classes)
        return cli_error(CLI_USAGE, "--class: this model has no classes");
    if (cli_parse_list(r->a->classes, &r->class_label, 1) != 1 || (size_t)r->class_label >= classes)
        return cli_error(CLI_USAGE, "--class: expected a whole number from 0 to %zu, found \"%.40s\"", classes - 1,
                         r->a->classes);
    return CLI_DONE;
}

/* Every job in turn; a bad file of a folder does not stop the others. */
static int run_jobs(restore_run *r)
{
    size_t done = 0, failed = 0, number = 0;
    int code = CLI_DONE;

    for (size_t i = 0; i < r->plan.count; i++) {
        const cli_job *job = &r->plan.jobs[i];

        if (job->skip)
            continue;
        cli_progress_start(job->input, ++number, r->plan.count - r->plan.skipped);
        code = restore_file(r, job);
        if (code == CLI_INTERRUPTED)
            break;
        if (code == CLI_DONE)
            done++;
        else
            failed++;
    }
    if (!r->plan.batch) {
        if (r->plan.skipped)
            cli_say("%s: skipped, its output exists", r->plan.jobs[0].input);
        return code;
    }
    if (failed && cli_quiet())
        cli_warn("%zu done, %zu failed", done, failed);
    else if (r->plan.skipped)
        cli_say("%zu done, %zu failed, %zu skipped", done, failed, r->plan.skipped);
    else
        cli_say("%zu done, %zu failed", done, failed);
    if (code == CLI_INTERRUPTED)
        return code;
    return failed ? CLI_PARTIAL : CLI_DONE;
}

/* The files all inputs share, then the inputs. */
static int run_loaded(restore_run *r)
{
    int code = cli_task_load(&r->task, r->a->mask_invert);

    if (code == CLI_DONE && !cli_mri_task(&r->task)) /* its maps may come from the measurement */
        code = cli_task_check(&r->task);
    if (code == CLI_DONE)
        code = restore_check_mask(r);
    if (code == CLI_DONE)
        code = load_noise(r);
    if (code == CLI_DONE)
        code = open_model(r);
    if (code == CLI_DONE)
        code = check_class(r);
    return code == CLI_DONE ? run_jobs(r) : code;
}

static int run(const void *args)
{
    const A *a = args;
    restore_run r = {.a = a};
    int code;

    cli_progress_init(a->progress); /* from here on errors are lines of JSON where that is asked for */
    code = check(a);
    if (code != CLI_DONE)
        return code;
    code = cli_noise_model(a->noise_model, &r.peak);
    if (code != CLI_DONE)
        return code;
    if (r.peak > 0 && (a->sigma >= 0 || a->sigma == CLI_AUTO || a->compat))
        return cli_error(CLI_USAGE, "--noise-model poisson: neither --sigma nor --compat reference goes with it");
    cli_set_threads(a->threads);
    code = cli_task_parse(a->common.at[0], a->mask, a->kernel, &r.task);
    if (code == CLI_DONE)
        code = check_mri(a, &r.task);
    if (code != CLI_DONE) {
        cli_task_free(&r.task);
        return code;
    }
    r.plan = (cli_plan){.input = a->input,
                        .outputs = {a->output, a->mean, a->std},
                        .task = r.task.name,
                        .format = a->format,
                        .seed = a->seed,
                        .samples = (size_t)a->samples,
                        .complex = cli_mri_task(&r.task),
                        .overwrite = a->overwrite,
                        .skip_existing = a->skip_existing};
    code = cli_plan_make(&r.plan);
    if (code == CLI_DONE)
        code = r.plan.skipped == r.plan.count ? run_jobs(&r) : run_loaded(&r);
    if (code == CLI_INTERRUPTED || cli_interrupted()) {
        pjd_output_abort_all();
        code = CLI_INTERRUPTED;
    }
    pjd_model_unref(r.model);
    pjd_io_free(r.noise);
    cli_plan_free(&r.plan);
    cli_task_free(&r.task);
    return code;
}

const cli_command cli_cmd_restore = {
    .name = "restore",
    .summary = "restore what was measured: enlarge, fill in, sharpen, denoise",
    .synopsis = "TASK[:key=value,...] [-m MODEL] -i MEASUREMENT -o OUT",
    .description =
        "Finds the picture behind a measurement. The input is what was measured: it is never degraded further.\n\n"
        "Pictures of any size and kind: gray stays gray, alpha is kept, 16 bit in gives 16 bit out, EXIF orientation "
        "is "
        "applied, the ICC profile kept. With a folder as input the output is a folder, and a bad file does not stop "
        "the "
        "others.\n\n"
        "Noise levels are on the scale where black is 0 and white is 1. Masks are drawn on the upright picture: white "
        "is "
        "missing and gets filled.",
    .examples = "projdiff restore superres:factor=4 -i small.png -o large.png\n"
                "projdiff restore inpaint:mask=scratches.png -i old.jpg -o new.jpg\n"
                "projdiff restore deblur:gaussian=2 --sigma 0.01 -i blurred.png -o sharp.png\n"
                "projdiff restore denoise -i photos/ -o clean/ --skip-existing\n"
                "projdiff restore mri -i kspace.cfl -o magnitude.png",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .min_args = 1,
    .max_args = 1,
    .tasks = true,
    .run = run,
};
