/* SPDX-License-Identifier: MIT */
/* One input of `restore`: from the measurement to the files. */
#include "restore.h"
#include "measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "projdiff/io.h"

/* Seconds below which nobody needs to be told how long a run will take. */
#define ESTIMATE_FROM 10

int restore_check_mask(const restore_run *r)
{
    const struct cli_task_array *m = cli_task_mask(&r->task);
    size_t count;

    if (!m || !pjd_shape_count(&m->shape, &count))
        return CLI_DONE;
    if (m->selected == 0)
        return cli_error(CLI_USAGE,
                         "%s: the mask leaves nothing known (white is missing; --mask-invert is the other habit)",
                         m->path);
    if (m->selected == count)
        cli_warn("%s: nothing is missing in this mask (white is missing; --mask-invert is the other habit)", m->path);
    return CLI_DONE;
}

/* An inpainting with nothing to fill and no noise: the input is the answer. */
static bool nothing_to_do(const file_run *f, double sigma)
{
    const struct cli_task_array *m = cli_task_mask(&f->r->task);
    size_t count;

    return sigma == 0 && m && f->r->task.parts == 1 && !strcmp(f->r->task.first, "inpaint") &&
           pjd_shape_count(&m->shape, &count) && m->selected == count;
}

/* ---- results ---- */

/* Channel means of a lifted result; other results are copied. from: [result] -> to: [rc or 1, rh, rw]. */
static void settle_unit(const file_run *f, const float *from, float *to)
{
    size_t plane = f->rh * f->rw;

    if (!f->lift) {
        memcpy(to, from, f->result.dim[0] * plane * sizeof *to);
        return;
    }
    for (size_t i = 0; i < plane; i++)
        to[i] = (float)(((double)from[i] + from[plane + i] + from[2 * plane + i]) / 3);
}

static cli_write write_options(const file_run *f)
{
    const restore_args *a = f->r->a;

    /* what exists was refused, or is meant to be skipped, before work began */
    return (cli_write){.overwrite = a->overwrite,
                       .quality = (int)a->quality,
                       .format = a->format    ? a->format
                                 : f->y.array ? "npy"
                                              : "png"};
}

/* Write one file; with --skip-existing one that is there already is as good. */
static pjd_status write_file(const file_run *f, const char *path, const float *data, size_t n, pjd_error *err)
{
    cli_write o = write_options(f);
    pjd_status st = f->mri ? cli_mri_write(path, f->mri, data, &o, err)
                           : cli_media_write(path, &f->y, data, n, f->rc, f->rh, f->rw, f->y.rank, &o, err);

    return st == PJD_ERR_EXISTS && f->r->a->skip_existing ? PJD_OK : st;
}

static pjd_status output_name(const file_run *f, size_t which, size_t n, char *path, pjd_error *err)
{
    if (!cli_plan_name(&f->r->plan, which, f->job, n, path, CLI_PATH_MAX))
        return pjd_error_set(err, PJD_ERR_ARG, "the output's name is too long");
    return PJD_OK;
}

/* Nothing is solved that cannot be written. */
static pjd_status check_outputs(const file_run *f, char *last, pjd_error *err)
{
    cli_write o = write_options(f);
    pjd_status st = PJD_OK;

    for (size_t which = 0; st == PJD_OK && which < CLI_MAX_OUTPUTS; which++) {
        const char *name = f->r->plan.outputs[which];
        size_t items = which ? f->y.n : 1;

        if (!name)
            continue;
        st = output_name(f, which, 1, last, err);
        if (st == PJD_OK && f->mri)
            st = cli_mri_check_output(last, f->mri, &o, err);
        else if (st == PJD_OK)
            st = cli_media_check(last, &f->y, items, f->rc, f->rh, f->rw, &o, err);
        if (st == PJD_OK && !which && f->y.n > 1 && !cli_writes_array(last, &o) && !cli_has_field(name, "{n}"))
            st = pjd_error_set(err, PJD_ERR_ARG, "%zu items as pictures need {n} in the output's name", f->y.n);
    }
    return st;
}

/* The samples: arrays hold every item of a sample; pictures are one file for each item. */
static pjd_status write_samples(const file_run *f, char *last, pjd_error *err)
{
    size_t item = f->rc * f->rh * f->rw, all = f->y.n * item, files = 0;
    cli_write o = write_options(f);
    pjd_status st = PJD_OK;

    if (!f->r->plan.outputs[0])
        return PJD_OK;
    for (size_t s = 0; st == PJD_OK && s < f->samples; s++) {
        st = output_name(f, 0, s + 1, last, err);
        if (st != PJD_OK)
            return st;
        bool array = cli_writes_array(last, &o);

        if (array || f->y.n == 1)
            st = write_file(f, last, f->x + s * all, f->y.n, err);
        for (size_t k = 0; st == PJD_OK && !array && f->y.n > 1 && k < f->y.n; k++) {
            st = output_name(f, 0, ++files, last, err);
            if (st == PJD_OK)
                st = write_file(f, last, f->x + s * all + k * item, 1, err);
        }
        if (!cli_has_field(f->r->plan.outputs[0], "{n}"))
            break; /* refused earlier unless only the mean and deviation of the samples are wanted as well */
    }
    return st;
}

/* Mean and standard deviation over the samples (n - 1), in place of buf. */
static void statistics(const file_run *f, bool deviation, bool picture, float *buf)
{
    size_t all = f->y.n * f->rc * f->rh * f->rw;

    for (size_t i = 0; i < all; i++) {
        double sum = 0, sq = 0, mean;

        for (size_t s = 0; s < f->samples; s++)
            sum += f->x[s * all + i];
        mean = sum / (double)f->samples;
        for (size_t s = 0; deviation && s < f->samples; s++)
            sq += (f->x[s * all + i] - mean) * (f->x[s * all + i] - mean);
        buf[i] = (float)mean;
        if (deviation) {
            double std = sqrt(sq / (double)(f->samples - 1));

            /* a picture of it: half of this on the user's scale; 0 is black, 0.25 is white */
            buf[i] = (float)(picture ? std * 4 - 1 : std);
        }
    }
}

static pjd_status write_statistics(const file_run *f, char *last, pjd_error *err)
{
    size_t all = f->y.n * f->rc * f->rh * f->rw;
    float *buf;
    pjd_status st = PJD_OK;

    if (!f->r->plan.outputs[1] && !f->r->plan.outputs[2])
        return PJD_OK;
    buf = malloc(all * sizeof *buf);
    if (!buf)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t which = 1; which <= 2 && st == PJD_OK; which++) {
        if (!f->r->plan.outputs[which])
            continue;
        st = output_name(f, which, 1, last, err);
        if (st != PJD_OK)
            break;
        statistics(f, which == 2, !cli_is_array_name(last), buf);
        st = write_file(f, last, buf, f->y.n, err);
    }
    free(buf);
    return st;
}

/* ---- while it runs ---- */

/* out.png -> out-step10.png */
static bool step_name(const char *path, size_t step, char *out, size_t size)
{
    const char *dot = strrchr(path, '.');

    return dot && (size_t)snprintf(out, size, "%.*s-step%zu%s", (int)(dot - path), path, step, dot) < size;
}

/* The current estimate of every sample of a single item; several items or channels apart are saved at their end only. */
static bool save_estimate(file_run *f, size_t step, const float *x0)
{
    const pjd_shape *in = pjd_operator_input(f->op);
    size_t oy, ox, plane, item;
    float *crop, *settled;
    char path[CLI_PATH_MAX], named[CLI_PATH_MAX];
    pjd_status st = PJD_OK;

    pjd_operator_result(f->op, &oy, &ox);
    plane = f->rh * f->rw;
    item = in->dim[0] * in->dim[1] * in->dim[2];
    crop = malloc(f->result.dim[0] * plane * sizeof *crop);
    settled = malloc(f->result.dim[0] * plane * sizeof *settled);
    for (size_t s = 0; crop && settled && st == PJD_OK && s < f->samples; s++) {
        float *dst = crop;

        if (s > 0 && !cli_has_field(f->r->plan.outputs[0], "{n}"))
            break;
        for (size_t c = 0; c < f->result.dim[0]; c++)
            for (size_t i = 0; i < f->rh; i++, dst += f->rw)
                memcpy(dst, x0 + s * item + (c * in->dim[1] + oy + i) * in->dim[2] + ox, f->rw * sizeof *dst);
        settle_unit(f, crop, settled);
        if (f->counts == STABILISED)
            cli_unstabilise(f->r->peak, settled, (f->lift ? 1 : f->result.dim[0]) * plane);
        st = output_name(f, 0, s + 1, path, &f->saved);
        if (st == PJD_OK && !step_name(path, step, named, sizeof named))
            st = pjd_error_set(&f->saved, PJD_ERR_ARG, "the output's name is too long");
        if (st == PJD_OK)
            st = write_file(f, named, settled, 1, &f->saved);
    }
    if (!crop || !settled)
        st = pjd_error_set(&f->saved, PJD_ERR_NOMEM, "out of memory");
    free(crop);
    free(settled);
    return st == PJD_OK;
}

/* The most memory this program has held. */
static double peak_resident(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return 1024.0 * (double)u.ru_maxrss;
}

/*
 * What is left, once, from the time of the second step: the first one also plans the network and may run it twice. By
 * then all the memory a run needs is in use.
 */
static void tell_estimate(file_run *f, size_t step, size_t steps)
{
    size_t done = f->unit_index * steps + step, all = f->units * steps;
    double now = cli_now(), left, mib;

    if (f->told)
        return;
    if (step < 2) {
        f->first_step = now;
        return;
    }
    f->told = true;
    left = (now - f->first_step) * (double)(all - done);
    mib = peak_resident() / 1048576;
    if (done < all && cli_progress_json())
        fprintf(stderr, "{\"event\":\"estimate\",\"left\":%.3f,\"resident_bytes\":%.0f}\n", left, mib * 1048576);
    else if (left >= 7200)
        cli_say("about %.1f h left (step %zu of %zu), about %.0f MiB", left / 3600, done, all, mib);
    else if (left >= 120)
        cli_say("about %.0f min left (step %zu of %zu), about %.0f MiB", left / 60, done, all, mib);
    else if (left >= ESTIMATE_FROM)
        cli_say("about %.0f s left (step %zu of %zu), about %.0f MiB", left, done, all, mib);
}

static void on_begin(void *user)
{
    cli_estimate_tell(&((const file_run *)user)->expected);
}

static bool on_progress(void *user, size_t step, size_t steps, const float *x0)
{
    file_run *f = user;
    long every = f->r->a->save_every;

    if (cli_interrupted())
        return false;
    cli_progress_step(f->unit_index * steps + step, f->units * steps);
    tell_estimate(f, step, steps);
    if (every && f->units == 1 && step < steps && step % (size_t)every == 0)
        return save_estimate(f, step, x0);
    return true;
}

/* ---- solving ---- */

static pjd_status create_operator(file_run *f, size_t channels, pjd_error *err)
{
    pjd_array arrays[8];
    size_t count = f->mri ? pjd_mri_arrays(f->mri, arrays) : cli_task_arrays(&f->r->task, arrays);
    pjd_shape shape = pjd_shape_chw(channels, f->y.h, f->y.w);

    pjd_operator_unref(f->op);
    f->op = NULL;
    return pjd_operator_create(f->r->task.text, arrays, count, NULL, &shape, &f->op, err);
}

/* Decide how the measurement's channels meet the model's, and make the operator and the room for the result. */
static pjd_status prepare(file_run *f, pjd_error *err)
{
    size_t channels = pjd_model_get_info(f->r->model)->in_channels, item, all;
    pjd_status st;

    f->unit = f->y.c;
    st = create_operator(f, f->unit, err);
    if (st == PJD_OK && channels == 3 && pjd_operator_input(f->op)->dim[0] == 1) {
        f->lift = true;
        f->plain = pjd_operator_ref(f->op);
        st = create_operator(f, 3, err);
    } else if (st == PJD_OK && channels == 1 && f->y.c == 3 && pjd_operator_input(f->op)->dim[0] == 3) {
        f->unit = 1;
        st = create_operator(f, 1, err);
    }
    if (st != PJD_OK)
        return st;
    if (!f->plain)
        f->plain = pjd_operator_ref(f->op);
    st = restore_probe(f, err);
    if (st == PJD_OK)
        st = restore_prepare_measured(f, err);
    if (st != PJD_OK)
        return st;
    f->estimated = f->mri || (f->picture_like && !(f->r->task.parts == 1 && !strcmp(f->r->task.first, "inpaint")));
    f->result = *pjd_operator_result(f->op, NULL, NULL);
    if (f->result.rank != 3)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%s: its result is not a picture", f->r->task.name);
    f->units = f->y.n * (f->y.c / f->unit);
    f->rc = f->lift ? 1 : f->result.dim[0] * (f->y.c / f->unit);
    f->rh = f->result.dim[1];
    f->rw = f->result.dim[2];
    item = f->rc * f->rh * f->rw;
    if (__builtin_mul_overflow(item, f->y.n, &all) || __builtin_mul_overflow(all, f->samples, &all) ||
        all > SIZE_MAX / sizeof *f->x || !(f->x = malloc(all * sizeof *f->x)))
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory for %zu sample(s) of %zux%zux%zux%zu", f->samples,
                             f->y.n, f->rc, f->rh, f->rw);
    return PJD_OK;
}

/* A map of deviations wants samples of the posterior, which one solver gives for some tasks; the default one gives good answers
   that differ too little. */
static const char *choose_solver(const file_run *f)
{
    const restore_args *a = f->r->a;
    const char *task = f->r->task.first;

    if (a->solver || !a->std || a->compat || f->r->task.parts != 1)
        return a->solver;
    return !strcmp(task, "inpaint") || !strcmp(task, "superres") || !strcmp(task, "denoise") ? "posterior" : NULL;
}

/* The last step is for the gray result, and so follows the solver. */
static bool consistent_after(const file_run *f)
{
    return f->lift && f->r->a->consistency && pjd_shape_equal(pjd_operator_input(f->op), &f->result);
}

static void fill_options(file_run *f, double sigma, pjd_noise *noise, int *labels, pjd_solve_options *o)
{
    const restore_args *a = f->r->a;

    pjd_solve_options_init(o);
    o->solver = choose_solver(f);
    o->sigma = f->lift ? sigma * sqrt(3.0) : sigma;
    o->steps = (size_t)a->steps;
    o->step_size = a->step_size;
    o->repeats = (size_t)a->repeats;
    o->momentum = a->momentum;
    o->restarts = (size_t)a->restarts;
    o->seed = a->seed;
    o->samples = f->samples;
    o->noise = noise;
    o->compat = a->compat ? PJD_COMPAT_REFERENCE : PJD_COMPAT_NONE;
    o->runner.threads = (int)a->threads;
    o->runner.backend = (pjd_backend)a->backend;
    o->runner.precision = (pjd_precision)a->precision;
    o->runner.tile = (size_t)a->tile;
    o->runner.classes = a->classes ? labels : NULL;
    o->runner.log = (pjd_log){cli_log, NULL};
    o->consistency = consistent_after(f) ? PJD_CONSISTENCY_OFF : (pjd_consistency)a->consistency;
    o->begin = on_begin;
    o->progress = on_progress;
    o->progress_user = f;
    o->log = (pjd_log){cli_log, NULL};
}

/* Of a folder's pictures, when one has another size than the one before. */
static void expect(file_run *f, pjd_operator *op, const pjd_solve_options *o)
{
    restore_run *r = f->r;

    f->expected = (cli_estimate){0};
    if (f->unit_index > 0 || (r->expected_w == f->rw && r->expected_h == f->rh))
        return;
    r->expected_w = f->rw;
    r->expected_h = f->rh;
    f->expected = cli_estimate_solve(r->model, op, o, f->units);
}

/* A lifted measurement has sqrt(3) times the noise of the gray one: residuals are told for the gray one. */
static void add_report(file_run *f, const pjd_solve_report *one, double sigma)
{
    pjd_solve_report *sum = &f->report;
    double unlift = f->lift ? sqrt(3.0) : 1;

    sum->steps = one->steps;
    sum->step_size = one->step_size;
    if (!(one->residual / unlift <= sum->residual))
        sum->residual = one->residual / unlift;
    if (one->residual_expected / unlift > sum->residual_expected)
        sum->residual_expected = one->residual_expected / unlift;
    sum->restarts += one->restarts * f->samples;
    sum->converged += one->converged;
    sum->seconds += one->seconds;
    sum->network_seconds += one->network_seconds;
    sum->network_calls += one->network_calls;
    if (one->peak_bytes > sum->peak_bytes)
        sum->peak_bytes = one->peak_bytes;
    if (f->unit_index == 0 || sigma < f->sigma_low)
        f->sigma_low = sigma;
    if (f->unit_index == 0 || sigma > f->sigma_high)
        f->sigma_high = sigma;
}

/* |A x - y| of the gray result over its m elements, in place of that of its three channels. */
static pjd_status gray_residual(file_run *f, const pjd_operator *op, const float *y, const float *x, size_t m,
                                pjd_error *err)
{
    size_t ny;
    float *ax, *work;
    double sum = 0;

    if (!pjd_shape_count(pjd_operator_output(op), &ny))
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    ax = malloc(ny * sizeof *ax);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    if (ax && work) {
        pjd_operator_apply(op, x, ax, work);
        for (size_t i = 0; i < ny; i++)
            sum += ((double)ax[i] - y[i]) * ((double)ax[i] - y[i]);
        sum = sqrt(sum / (double)(m ? m : 1));
        if (!(sum <= f->report.residual))
            f->report.residual = sum;
    }
    free(ax);
    free(work);
    return ax && work ? PJD_OK : pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
}

/* A gray result is the mean of three channels, which fit measurements of their own: it has to fit the one there is. */
static pjd_status make_gray_consistent(file_run *f, const pjd_operator *op, const float *y, float *x, pjd_error *err)
{
    size_t m = 0;
    pjd_status st = pjd_operator_measured(op, y, &m, err);
    double radius = f->r->a->consistency == PJD_CONSISTENCY_EXACT ? 0 : f->sigma_model * sqrt((double)m);

    if (st == PJD_OK)
        st = pjd_operator_project_ball(op, x, y, radius, NULL, err);
    return st == PJD_OK ? gray_residual(f, op, y, x, m, err) : st;
}

/* Copy solved samples of unit k ([samples, result]) to their places in f->x; op and y as they were solved, not lifted. */
static pjd_status place_unit(file_run *f, const pjd_operator *op, const float *y, const float *solved, pjd_error *err)
{
    size_t parts = f->units / f->y.n, plane = f->rh * f->rw, item = f->rc * plane;
    size_t n = f->unit_index / parts, part = f->unit_index % parts;
    pjd_status st = PJD_OK;

    for (size_t s = 0; st == PJD_OK && s < f->samples; s++) {
        float *to = f->x + (s * f->y.n + n) * item + part * (f->rc / parts) * plane;

        settle_unit(f, solved + s * f->result.dim[0] * plane, to);
        if (consistent_after(f))
            st = make_gray_consistent(f, op, y, to, err);
        if (f->counts == STABILISED)
            cli_unstabilise(f->r->peak, to, (f->rc / parts) * plane);
    }
    return st;
}

/* A source that every unit draws from in turn (recorded), or one stream for each unit. */
static pjd_status unit_noise(const file_run *f, pjd_noise **noise, pjd_error *err)
{
    if (f->r->noise)
        return *noise ? PJD_OK : pjd_noise_recorded(f->r->noise, f->r->noise_count, noise, err);
    pjd_noise_free(*noise);
    return pjd_noise_seeded(f->r->a->seed, f->unit_index, noise, err);
}

static pjd_status run_solver(file_run *f, pjd_operator *op, const float *y, float *lifted, float *solved, int *labels,
                             pjd_noise *noise, double sigma, pjd_error *err)
{
    pjd_solve_options o;
    pjd_solve_report report = {0};
    pjd_status st = PJD_OK;

    if (f->lift) {
        st = restore_lift_gray(f, y, f->sigma_model, lifted, err);
        y = lifted;
    }
    fill_options(f, sigma, noise, labels, &o);
    if (st == PJD_OK)
        expect(f, op, &o);
    if (st == PJD_OK)
        st = pjd_solve(f->r->model, op, y, &o, solved, &report, err);
    if (consistent_after(f))
        report.residual = 0; /* it is found once the gray result is there */
    if (st == PJD_OK)
        add_report(f, &report, sigma);
    return st;
}

static pjd_status solve_unit(file_run *f, float *y, float *lifted, float *solved, int *labels, pjd_noise *noise,
                             pjd_error *err)
{
    double scale = pjd_model_get_info(f->r->model)->sigma_scale, sigma = 0;
    size_t plane = f->y.h * f->y.w;
    pjd_operator *plain = pjd_operator_ref(f->plain), *op = pjd_operator_ref(f->op);
    pjd_solve_report none = {0};
    pjd_status st;

    if (f->r->a->compat || !(scale > 0))
        scale = 1;
    st = restore_even_noise(f, y, scale, &plain, &op, &sigma, err);
    f->sigma_model = sigma * scale;
    if (st == PJD_OK && nothing_to_do(f, sigma)) {
        for (size_t s = 0; s < f->samples; s++)
            for (size_t c = 0; c < f->result.dim[0]; c++)
                memcpy(solved + (s * f->result.dim[0] + c) * plane, y + (f->lift ? 0 : c * plane), plane * sizeof *y);
        add_report(f, &none, sigma);
    } else if (st == PJD_OK) {
        st = run_solver(f, op, y, lifted, solved, labels, noise, sigma, err);
    }
    if (st == PJD_OK)
        st = place_unit(f, plain, y, solved, err);
    pjd_operator_unref(plain);
    pjd_operator_unref(op);
    return st;
}

static pjd_status solve_all(file_run *f, pjd_error *err)
{
    size_t plane = f->rh * f->rw, per_unit = f->unit * f->y.h * f->y.w;
    float *solved = calloc(f->samples * f->result.dim[0] * plane, sizeof *solved);
    float *lifted = f->lift ? malloc(3 * per_unit * sizeof *lifted) : NULL;
    int *labels = malloc(f->samples * sizeof *labels);
    pjd_noise *noise = NULL;
    pjd_status st = PJD_OK;

    if (!solved || !labels || (f->lift && !lifted))
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t s = 0; labels && s < f->samples; s++)
        labels[s] = f->r->class_label;
    for (f->unit_index = 0; st == PJD_OK && f->unit_index < f->units; f->unit_index++) {
        st = unit_noise(f, &noise, err);
        if (st == PJD_OK)
            st = solve_unit(f, f->y.data + f->unit_index * per_unit, lifted, solved, labels, noise, err);
    }
    pjd_noise_free(noise);
    free(solved);
    free(lifted);
    free(labels);
    return st;
}

/* ---- the report ---- */

static void print_json(const file_run *f, const char *where)
{
    const pjd_solve_report *r = &f->report;

    fputs("{\"event\":\"done\",\"input\":", stderr);
    cli_json_string(stderr, f->job->input);
    fputs(",\"output\":", stderr);
    cli_json_string(stderr, where);
    fputs(",\"task\":", stderr);
    cli_json_string(stderr, f->r->task.text);
    fprintf(stderr,
            ",\"sigma\":%.9g,\"sigma_model\":%.9g,\"steps\":%zu,\"step_size\":%.9g,\"residual\":%.9g,"
            "\"residual_expected\":%.9g,\"seconds\":%.3f,\"network_seconds\":%.3f,\"network_calls\":%llu,\"peak_"
            "bytes\":%zu,\"restarts\":%zu,\"converged\":%zu}\n",
            f->sigma_high, f->sigma_model, r->steps, r->step_size, r->residual, r->residual_expected, r->seconds,
            r->network_seconds, (unsigned long long)r->network_calls, r->peak_bytes, r->restarts, r->converged);
}

static void print_sigma(const file_run *f)
{
    const restore_args *a = f->r->a;
    const char *source = a->sigma >= 0 ? "given" : f->estimated ? "estimated" : "default";
    char text[80];

    if (f->counts)
        snprintf(text, sizeof text, "counts, peak %g, %s", f->r->peak,
                 f->counts == STABILISED ? "as roots" : "weighted");
    else if (f->unseen)
        snprintf(text, sizeof text, "estimated where nothing of the picture arrives: %zu values", f->unseen);
    if (f->counts || f->unseen)
        source = text;
    if (f->sigma_low < f->sigma_high)
        cli_say("sigma %.4g to %.4g (%s)", f->sigma_low, f->sigma_high, source);
    else if (a->compat)
        cli_say("sigma %.4g in the units of the measurement (%s)", f->sigma_high, source);
    else
        cli_say("sigma %.4g (%s), %.4g in the model's units", f->sigma_high, source, f->sigma_model);
}

static void print_report(const file_run *f, const char *where)
{
    const pjd_solve_report *r = &f->report;
    double outside = r->seconds > 0 ? 100 * (r->seconds - r->network_seconds) / r->seconds : 0;

    if (cli_progress_json()) {
        print_json(f, where);
        return;
    }
    /* not for a lack of digits: a hundredth of the range is visible */
    if (!f->r->a->compat && !(r->residual <= 2 * r->residual_expected + 0.02))
        cli_warn("%s: the result differs from the measurement by %.3g, and sigma explains %.3g (model's units)",
                 f->job->input, r->residual, r->residual_expected);
    if (r->restarts > f->samples * f->units && !r->converged)
        cli_warn("%s: none of the %zu starts converged: this is not the picture (more --restarts, another --seed)",
                 f->job->input, r->restarts);
    cli_say("%s: %s, %zux%zu to %zux%zu", f->job->input, f->r->task.text, f->y.w, f->y.h, f->rw, f->rh);
    if (f->mri)
        cli_mri_say(f->mri);
    print_sigma(f);
    if (f->r->a->std && !choose_solver(f))
        cli_warn("%s: the default solver's samples differ less than the posterior's: --std is a lower bound",
                 f->job->input);
    if (r->network_calls) {
        cli_say("%zu steps of size %.4g; residual %.4g, expected %.4g (model's units)", r->steps, r->step_size,
                r->residual, r->residual_expected);
        if (r->restarts > f->samples * f->units)
            cli_say("%zu of %zu starts converged; the least residual is kept", r->converged, r->restarts);
        cli_say("%.2f s, %.1f %% of it outside the network (%llu calls)", r->seconds, outside,
                (unsigned long long)r->network_calls);
    }
    if (cli_verbose())
        cli_say("memory: %.1f MiB for the run, %.1f MiB at most for the program", (double)r->peak_bytes / 1048576.0,
                peak_resident() / 1048576.0);
    cli_say("written: %s", !strcmp(where, "-") ? "standard output" : where);
}

/* ---- one file ---- */

static void warn_about_range(const file_run *f)
{
    float high = 0;

    if (f->mri)
        return;
    for (size_t i = 0, n = f->y.n * f->y.c * f->y.h * f->y.w; f->y.array && i < n; i++)
        if (fabsf(f->y.data[i]) > high)
            high = fabsf(f->y.data[i]);
    if (!(high <= 8 * (f->reach > 1 ? f->reach : 1)))
        cli_warn("%s: values up to %g; arrays are expected in -1..1", f->job->input, (double)high);
}

static pjd_status read_input(file_run *f, pjd_error *err)
{
    pjd_status st;

    if (!cli_mri_task(&f->r->task)) {
        st = cli_media_read(f->job->input, &f->y, err);
        return st == PJD_OK && f->r->task.numbers ? cli_media_as_numbers(&f->y, f->r->task.last, err) : st;
    }
    st = cli_mri_read(f->job->input, &f->y, err);
    return st == PJD_OK ? cli_mri_prepare(&f->r->task, &f->y, &f->mri, err) : st;
}

int restore_file(restore_run *r, const cli_job *job)
{
    pjd_error err = {PJD_OK, ""};
    file_run f = {.r = r, .job = job, .samples = (size_t)r->a->samples};
    char where[CLI_PATH_MAX] = "";
    bool writing = false;
    pjd_status st = read_input(&f, &err);
    int code = CLI_DONE;

    if (st == PJD_OK)
        st = prepare(&f, &err);
    if (st == PJD_OK)
        st = check_outputs(&f, where, &err);
    if (st == PJD_OK) {
        warn_about_range(&f);
        st = solve_all(&f, &err);
    }
    if (st == PJD_OK && cli_interrupted())
        st = pjd_error_set(&err, PJD_ERR_CANCELLED, "interrupted");
    if (st == PJD_OK) {
        writing = true;
        st = write_samples(&f, where, &err);
    }
    if (st == PJD_OK)
        st = write_statistics(&f, where, &err);
    if (st == PJD_OK)
        print_report(&f, where);
    else if (f.saved.code != PJD_OK && !cli_interrupted())
        code = cli_fail(&f.saved, job->input, true);
    else
        code = cli_fail(&err, job->input, writing);
    pjd_operator_unref(f.op);
    pjd_mri_free(f.mri);
    pjd_operator_unref(f.plain);
    free(f.white);
    cli_media_free(&f.y);
    free(f.x);
    return code;
}
