/* SPDX-License-Identifier: MIT */
/* projdiff simulate: the forward model, y = A(x) + sigma n. */
#include "measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

typedef struct A {
    cli_args common;
    const char *input, *output, *mask, *kernel, *mask_out, *clean_out, *format, *noise_model;
    bool mask_invert, overwrite, skip_existing, gray_values;
    double sigma, mask_random;
    long quality;
    uint64_t seed;
} A;

static const cli_option options[] = {
    CLI_OPT_INPUT(A, "the clean picture, a .npy array in -1..1, a folder of them, or - for standard input"),
    CLI_OPT_OUTPUT(A, "the measurement; a picture is clipped to its range, a .npy is not"),
    {"sigma", 0, CLI_NUMBER, offsetof(A, sigma), "S",
     "standard deviation of the noise on the scale where black is 0 and white is 1, for arrays too; default 0", 0,
     CLI_NO_LIMIT, NULL},
    CLI_OPT_NOISE_MODEL(A),
    CLI_OPT_GRAY_VALUES(A),
    CLI_OPT_SEED(A),
    CLI_OPT_MASK(A),
    CLI_OPT_MASK_INVERT(A),
    {"mask-random", 0, CLI_NUMBER, offsetof(A, mask_random), "P",
     "for inpaint: this share of the pixels, drawn at random, is missing", 0, CLI_BELOW_ONE, NULL},
    {"mask-out", 0, CLI_TEXT, offsetof(A, mask_out), "FILE", "write the mask that was used (white is missing)", 0, 0,
     NULL},
    CLI_OPT_KERNEL(A),
    {"clean-out", 0, CLI_TEXT, offsetof(A, clean_out), "FILE",
     "write the part of the clean picture that a restoration of this measurement shows (a blur whose border is unknown "
     "crops it), to compare with",
     0, 0, NULL},
    CLI_OPT_QUALITY(A),
    CLI_OPT_FORMAT(A),
    CLI_OPT_SKIP(A),
    CLI_OPT_OVERWRITE(A),
};

static const A defaults = {.mask_random = -1};

/* Streams of the seed that nothing else uses, so that the noise of a simulation is not that of a restoration. */
#define NOISE_STREAM 0x73696d0000000000u
#define MASK_STREAM 0x6d61736b00000000u

typedef struct draw {
    float value;
    size_t index;
} draw;

static int compare_draws(const void *a, const void *b)
{
    const draw *x = a, *y = b;

    return x->value < y->value ? -1 : x->value > y->value ? 1 : x->index < y->index ? -1 : 1;
}

/* known [h, w]: round(share h w) pixels are 0, at least one stays 1; the pixels with the smallest draws. */
static pjd_status random_mask(size_t count, double share, uint64_t seed, float *known, pjd_error *err)
{
    size_t missing = (size_t)(share * (double)count + 0.5);
    draw *draws = malloc(count * sizeof *draws);
    pjd_noise *noise = NULL;
    pjd_status st = PJD_OK;

    if (!draws)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    st = pjd_noise_seeded(seed, MASK_STREAM, &noise, err);
    if (st == PJD_OK)
        st = pjd_noise_normal(noise, known, count, err);
    pjd_noise_free(noise);
    for (size_t i = 0; st == PJD_OK && i < count; i++)
        draws[i] = (draw){known[i], i};
    if (st == PJD_OK) {
        qsort(draws, count, sizeof *draws, compare_draws);
        for (size_t i = 0; i < count; i++)
            known[draws[i].index] = i < missing && i + 1 < count ? 0.0f : 1.0f;
    }
    free(draws);
    return st;
}

/* A random mask becomes the task's mask, as if it had been read. */
static pjd_status add_random_mask(const A *a, const cli_media *x, cli_task *t, pjd_error *err)
{
    struct cli_task_array *m = &t->arrays[0];

    if (!(a->mask_random >= 0))
        return PJD_OK;
    free(m->data); /* of the previous file of a folder */
    m->data = malloc(x->h * x->w * sizeof *m->data);
    if (!m->data)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    snprintf(m->name, sizeof m->name, "mask");
    m->mask = true;
    m->shape = pjd_shape_chw(1, x->h, x->w);
    t->array_count = 1;
    return random_mask(x->h * x->w, a->mask_random, a->seed, m->data, err);
}

static pjd_status write_mask(const A *a, const cli_task *t, const char *path, pjd_error *err)
{
    const struct cli_task_array *m = cli_task_mask(t);
    size_t count, c, h, w;
    cli_write o = {.overwrite = a->overwrite};
    bool array = cli_is_array_name(path);
    float *white;
    pjd_status st;

    if (!m || !pjd_shape_count(&m->shape, &count))
        return pjd_error_set(err, PJD_ERR_ARG, "--mask-out: this task has no mask");
    white = malloc(count * sizeof *white);
    if (!white)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        bool on = (m->data[i] > 0) == a->mask_invert;

        white[i] = on ? 1.0f : array ? 0.0f : -1.0f;
    }
    c = m->shape.rank == 3 ? m->shape.dim[0] : 1;
    h = m->shape.dim[m->shape.rank - 2];
    w = m->shape.dim[m->shape.rank - 1];
    st = cli_media_write(path, NULL, white, 1, c, h, w, c > 1 ? 3 : 2, &o, err);
    free(white);
    return st;
}

/* The part of x that the restored measurement will show. */
static pjd_status write_clean(const A *a, const pjd_operator *op, const cli_media *x, const char *path, pjd_error *err)
{
    size_t oy, ox;
    const pjd_shape *r = pjd_operator_result(op, &oy, &ox);
    cli_write o = {.overwrite = a->overwrite, .quality = (int)a->quality};
    float *part, *to;
    pjd_status st;

    if (r->rank != 3 || r->dim[0] != x->c)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "--clean-out: the result of this task is no picture");
    part = to = malloc(x->n * r->dim[0] * r->dim[1] * r->dim[2] * sizeof *part);
    if (!part)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t p = 0; p < x->n * x->c; p++)
        for (size_t i = 0; i < r->dim[1]; i++, to += r->dim[2])
            memcpy(to, x->data + (p * x->h + oy + i) * x->w + ox, r->dim[2] * sizeof *to);
    st = cli_media_write(path, x, part, x->n, x->c, r->dim[1], r->dim[2], x->rank, &o, err);
    free(part);
    return st;
}

/* What a mask hides stays hidden: no noise there, 0 in an array, gray in a picture. */
static pjd_status hide_again(const cli_task *t, const pjd_shape *shape, float *y, pjd_error *err)
{
    pjd_array arrays[8];
    size_t n = cli_task_arrays(t, arrays), count;
    pjd_operator *op = NULL;
    float *masked, *work;
    pjd_status st;

    if (cli_mri_task(t))
        cli_mri_hide(t, shape, y);
    if (strcmp(t->last, "inpaint") != 0)
        return PJD_OK;
    for (size_t i = 0; i < n; i++) /* only the mask, which is inpaint's whole parameter */
        if (!strcmp(arrays[i].name, "mask")) {
            arrays[0] = arrays[i];
            break;
        }
    st = pjd_operator_create("inpaint", arrays, 1, shape, NULL, &op, err);
    if (st != PJD_OK)
        return st;
    pjd_shape_count(shape, &count);
    masked = malloc(count * sizeof *masked);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    if (masked && work) {
        pjd_operator_apply(op, y, masked, work);
        memcpy(y, masked, count * sizeof *y);
    } else {
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    }
    free(masked);
    free(work);
    pjd_operator_unref(op);
    return st;
}

/* Noise for one measurement y [ny]; white: A 1 where gray values are needed. */
static pjd_status disturb(const A *a, const cli_task *t, double peak, const float *white, pjd_noise *source,
                          float *noise, float *y, size_t ny, pjd_error *err)
{
    double scale = cli_mri_task(t) ? 1 : 2; /* the range -1..1 is 2 wide */
    pjd_status st = PJD_OK;

    if (peak > 0) {
        cli_to_gray(y, white, ny);
        st = cli_draw_counts(peak, source, y, ny, err);
        cli_from_gray(y, white, ny);
    } else if (a->sigma > 0) {
        st = pjd_noise_normal(source, noise, ny, err);
        for (size_t i = 0; st == PJD_OK && i < ny; i++)
            y[i] = (float)(y[i] + scale * a->sigma * noise[i]);
    }
    return st;
}

/* y [n, output of op] from x [n, c, h, w]; y is allocated. */
static pjd_status measure(const A *a, double peak, const cli_task *t, const pjd_operator *op, const cli_media *x,
                          float **y, pjd_error *err)
{
    const pjd_shape *out = pjd_operator_output(op);
    size_t ny = 0, nx = x->c * x->h * x->w;
    float *work = malloc((pjd_operator_work(op) + 1) * sizeof *work), *noise = NULL, *white = NULL;
    pjd_noise *source = NULL;
    pjd_status st = PJD_OK;

    if (pjd_shape_count(out, &ny) && ny <= SIZE_MAX / sizeof **y / x->n) {
        *y = malloc(x->n * ny * sizeof **y);
        noise = malloc(ny * sizeof *noise);
    }
    if (!*y || !noise || !work)
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    if (st == PJD_OK && a->gray_values && (cli_mri_task(t) || !pjd_operator_is_linear(op)))
        st = pjd_error_set(err, PJD_ERR_ARG, "%s: --gray-values needs a linear task of gray pictures",
                           pjd_operator_name(op));
    if (st == PJD_OK && peak > 0)
        st = cli_require_counts(op, err);
    if (st == PJD_OK && (peak > 0 || a->gray_values))
        st = cli_white(op, &white, err);
    if (st == PJD_OK)
        st = pjd_noise_seeded(a->seed, NOISE_STREAM, &source, err);
    for (size_t n = 0; st == PJD_OK && n < x->n; n++) {
        float *item = *y + n * ny;

        pjd_operator_apply(op, x->data + n * nx, item, work);
        st = disturb(a, t, peak, white, source, noise, item, ny, err);
        if (st == PJD_OK && (peak > 0 || a->sigma > 0))
            st = hide_again(t, out, item, err);
        if (st == PJD_OK && a->gray_values)
            cli_to_gray(item, white, ny);
    }
    pjd_noise_free(source);
    free(noise);
    free(white);
    free(work);
    return st;
}

/* Numbers in a picture file: floating point, as they are. A picture's 0 and 1 are black and white, so that is undone here. */
static pjd_status write_numbers(const cli_task *t, const pjd_shape *s, const float *y, const char *path, cli_write *o,
                                pjd_error *err)
{
    size_t count = s->dim[0] * s->dim[1] * s->dim[2];
    char ext[16];
    float *twice;
    pjd_status st;

    cli_extension(path, ext);
    if (!strcmp(path, "-"))
        snprintf(ext, sizeof ext, "%s", o->format);
    if (strcmp(ext, "tif") != 0 && strcmp(ext, "tiff") != 0)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: what %s measures is no picture: write a .npy array or a .tif",
                             path, t->last);
    twice = malloc(count * sizeof *twice);
    if (!twice)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        twice[i] = 2 * y[i] - 1;
    o->bits = 32;
    st = cli_media_write(path, NULL, twice, 1, s->dim[0], s->dim[1], s->dim[2], 3, o, err);
    free(twice);
    return st;
}

/* A picture cannot hold what lies beyond its range. */
static void warn_about_clipping(const char *path, const pjd_shape *s, size_t items, double sigma, const float *y)
{
    size_t count = s->dim[0] * s->dim[1] * s->dim[2] * items, outside = 0;

    for (size_t i = 0; i < count; i++)
        outside += !(fabsf(y[i]) <= 1 + 8 * sigma); /* noise is meant to be clipped */
    if (outside * 100 > count)
        cli_warn("%s: %.0f %% of the measurement lies outside a picture's range; a .npy file keeps it", path,
                 100.0 * (double)outside / (double)count);
}

static pjd_status write_measurement(const A *a, const cli_task *t, const pjd_operator *op, const cli_media *x,
                                    const float *y, const char *path, pjd_error *err)
{
    const pjd_shape *s = pjd_operator_output(op);
    const char *format = a->format ? a->format : x->array || t->numbers ? "npy" : "png";
    bool array = strcmp(path, "-") ? cli_is_array_name(path) : !strcmp(format, "npy");
    cli_write o = {.overwrite = a->overwrite, .quality = (int)a->quality, .format = format};

    if (s->rank != 3)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%s: the measurement is not a picture", pjd_operator_name(op));
    if (cli_mri_task(t))
        return cli_mri_write_kspace(path, y, s->dim[0] / 2, s->dim[1], s->dim[2], a->overwrite, err);
    if (t->numbers && !array && x->n == 1)
        return write_numbers(t, s, y, path, &o, err);
    if (!array)
        warn_about_clipping(path, s, x->n, a->sigma, y);
    return cli_media_write(path, x, y, x->n, s->dim[0], s->dim[1], s->dim[2], x->rank, &o, err);
}

/* The measurement, and what else is asked for. */
static pjd_status write_outputs(const A *a, const cli_plan *plan, const cli_task *t, const cli_job *job,
                                const pjd_operator *op, const cli_media *x, const float *y, char *where, pjd_error *err)
{
    pjd_status st = PJD_OK;

    for (size_t which = CLI_MAX_OUTPUTS; st == PJD_OK && which-- > 0;) { /* the measurement last: then all is there */
        if (!plan->outputs[which])
            continue;
        if (!cli_plan_name(plan, which, job, 1, where, CLI_PATH_MAX))
            return pjd_error_set(err, PJD_ERR_ARG, "the output's name is too long");
        if (which == 2)
            st = write_clean(a, op, x, where, err);
        else if (which == 1)
            st = write_mask(a, t, where, err);
        else
            st = write_measurement(a, t, op, x, y, where, err);
        if (st == PJD_ERR_EXISTS && a->skip_existing)
            st = PJD_OK;
    }
    return st;
}

static int simulate_file(const A *a, double peak, const cli_plan *plan, cli_task *t, const cli_job *job)
{
    char where[CLI_PATH_MAX];
    cli_media x;
    pjd_operator *op = NULL;
    float *y = NULL;
    bool writing = false;
    pjd_error err;
    bool mri = cli_mri_task(t);
    pjd_status st = mri ? cli_mri_read_clean(job->input, &x, &err) : cli_media_read(job->input, &x, &err);
    int code = CLI_DONE;

    if (st == PJD_OK)
        st = add_random_mask(a, &x, t, &err);
    if (st == PJD_OK) {
        pjd_array arrays[8];
        size_t count = cli_task_arrays(t, arrays);
        pjd_shape shape = pjd_shape_chw(x.c, x.h, x.w);

        st = pjd_operator_create(t->text, arrays, count, &shape, NULL, &op, &err);
    }
    if (st == PJD_OK)
        st = measure(a, peak, t, op, &x, &y, &err);
    if (st == PJD_OK) {
        writing = true;
        st = write_outputs(a, plan, t, job, op, &x, y, where, &err);
    }
    if (st == PJD_OK)
        cli_say("%s: %s, %s %g, seed %llu; written: %s", job->input, t->text, peak > 0 ? "counts, peak" : "sigma",
                peak > 0 ? peak : a->sigma, (unsigned long long)a->seed,
                strcmp(where, "-") ? where : "standard output");
    else
        code = cli_fail(&err, job->input, writing);
    free(y);
    pjd_operator_unref(op);
    cli_media_free(&x);
    return code;
}

static int run_jobs(const A *a, double peak, const cli_plan *plan, cli_task *t)
{
    size_t done = 0, failed = 0;
    int code = CLI_DONE;

    for (size_t i = 0; i < plan->count; i++) {
        if (cli_interrupted())
            return cli_error(CLI_INTERRUPTED, "interrupted");
        if (plan->jobs[i].skip)
            continue;
        code = simulate_file(a, peak, plan, t, &plan->jobs[i]);
        if (code == CLI_DONE)
            done++;
        else
            failed++;
    }
    if (!plan->batch) {
        if (plan->skipped)
            cli_say("%s: skipped, its output exists", plan->jobs[0].input);
        return code;
    }
    if (plan->skipped)
        cli_say("%zu done, %zu failed, %zu skipped", done, failed, plan->skipped);
    else
        cli_say("%zu done, %zu failed", done, failed);
    return failed ? CLI_PARTIAL : CLI_DONE;
}

static int check(const A *a, const cli_task *t)
{
    if (cli_mri_check(t) != CLI_DONE)
        return CLI_USAGE;
    if (cli_mri_task(t) && (a->clean_out || a->mask_out || a->mask_invert))
        return cli_error(CLI_USAGE, "mri: --clean-out, --mask-out and --mask-invert are for pictures");
    if (!(a->mask_random >= 0))
        return CLI_DONE;
    if (t->array_count)
        return cli_error(CLI_USAGE, "--mask-random: the task has a mask already");
    if (!strstr(t->name, "inpaint"))
        return cli_error(CLI_USAGE, "--mask-random: the task has no mask");
    return CLI_DONE;
}

static int run(const void *args)
{
    const A *a = args;
    cli_task task;
    cli_plan plan;
    double peak;
    int code;

    if (!a->input || !a->output)
        return cli_error(CLI_USAGE, "%s FILE is missing", a->input ? "-o" : "-i");
    if (a->mask_out && !strcmp(a->mask_out, "-"))
        return cli_error(CLI_USAGE, "--mask-out cannot go to standard output");
    if (a->clean_out && !strcmp(a->clean_out, "-"))
        return cli_error(CLI_USAGE, "--clean-out cannot go to standard output");
    code = cli_noise_model(a->noise_model, &peak);
    if (code != CLI_DONE)
        return code;
    if (peak > 0 && a->sigma > 0)
        return cli_error(CLI_USAGE, "--noise-model poisson and --sigma exclude each other");
    code = cli_task_parse(a->common.at[0], a->mask, a->kernel, &task);
    if (code != CLI_DONE)
        return code;
    plan = (cli_plan){.input = a->input,
                      .outputs = {a->output, a->mask_out, a->clean_out},
                      .task = task.name,
                      .format = a->format      ? a->format
                                : task.numbers ? "npy"
                                               : NULL,
                      .seed = a->seed,
                      .samples = 1,
                      .complex = cli_mri_task(&task),
                      .overwrite = a->overwrite,
                      .skip_existing = a->skip_existing};
    code = check(a, &task);
    if (code == CLI_DONE)
        code = cli_plan_make(&plan);
    if (code == CLI_DONE)
        code = cli_task_load(&task, a->mask_invert);
    if (code == CLI_DONE && !(a->mask_random >= 0)) /* that mask is drawn for each picture */
        code = cli_task_check(&task);
    if (code == CLI_DONE)
        code = run_jobs(a, peak, &plan, &task);
    cli_plan_free(&plan);
    cli_task_free(&task);
    return code;
}

const cli_command cli_cmd_simulate = {
    .name = "simulate",
    .summary = "make a measurement from a clean picture: the forward model",
    .synopsis = "TASK[:key=value,...] -i CLEAN -o MEASUREMENT [--sigma S] [--seed N]",
    .description =
        "Applies a task's observation to a clean picture and adds noise, to try restorations out and to "
        "score them.\n\nA measurement written as a picture is clipped and rounded to the picture's range; an array "
        "keeps its values, and so does a .tif (floating point) of ct, cs and phase, whose measurements are no "
        "pictures. "
        "Where inpaint's mask hides a pixel, a picture is gray and an array is 0. mri takes a "
        "picture (black 0, white 1) or a complex array and "
        "writes complex k-space, .npy or .cfl.",
    .examples = "projdiff simulate superres:factor=4 -i clean.png -o small.png --sigma 0.01 --seed 1\n"
                "projdiff simulate inpaint --mask-random 0.5 --mask-out mask.png -i clean.png -o holes.png\n"
                "projdiff simulate mri:maps=coils.cfl,mask=sampling.npy --sigma 0.01 -i clean.png -o kspace.cfl",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .min_args = 1,
    .max_args = 1,
    .tasks = true,
    .run = run,
};
