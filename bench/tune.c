/* SPDX-License-Identifier: MIT */
/*
 * Finds the solver's defaults: runs tasks over pictures (never Kodak) with settings from the command line and prints mean
 * PSNR and SSIM before and after. Internal names are used, so this links the rooms, not the library.
 *
 *   tune -m MODEL TASK SIGMA [key=value ...] -- PICTURE...
 *
 * keys: steps t_start t_end power high low gain tail proximal warm samples seed crop repeats momentum threads
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"
#include "projdiff/projdiff.h"
#include "solvers/projdiff.h"

typedef struct tune {
    pjd_model *m;
    const char *task;
    double sigma, random;
    pjd_projdiff_settings over; /* NaN or 0: not given */
    bool warm_given;
    size_t samples, crop, repeats;
    uint64_t seed;
    double momentum;
    int threads;
    double before, after, ssim, seconds;
    size_t done;
} tune;

static void die(const pjd_error *e)
{
    fprintf(stderr, "tune: %s\n", e->text);
    exit(1);
}

static float *load(const tune *t, const char *path, pjd_shape *s)
{
    pjd_error err;
    pjd_shape full;
    float *p, *c;
    size_t h, w, y0, x0;

    if (pjd_picture_read(path, NULL, &p, &full, &err) != PJD_OK)
        die(&err);
    h = full.dim[1] < t->crop ? full.dim[1] : t->crop;
    w = full.dim[2] < t->crop ? full.dim[2] : t->crop;
    y0 = (full.dim[1] - h) / 2;
    x0 = (full.dim[2] - w) / 2;
    c = malloc(full.dim[0] * h * w * sizeof *c);
    for (size_t k = 0; k < full.dim[0]; k++)
        for (size_t i = 0; i < h; i++)
            memcpy(c + (k * h + i) * w, p + (k * full.dim[1] + y0 + i) * full.dim[2] + x0, w * sizeof *c);
    pjd_io_free(p);
    *s = pjd_shape_chw(full.dim[0], h, w);
    return c;
}

static void override(double *dst, double v)
{
    if (isfinite(v))
        *dst = v;
}

static void one(tune *t, const char *path)
{
    pjd_error err;
    pjd_shape xs, frame;
    float *x = load(t, path, &xs), *mask = NULL, *y, *work, *z;
    pjd_array a = {"mask", {0}, NULL};
    pjd_operator *op, *back;
    pjd_noise *noise;
    pjd_projdiff_settings s;
    pjd_solve_options o;
    pjd_solve_report rep = {0};
    size_t n, oy, ox, count;
    double v, start = pjd_now();

    if (xs.dim[0] != 3) {
        free(x);
        return;
    }
    if (!strncmp(t->task, "inpaint", 7)) {
        size_t area = xs.dim[1] * xs.dim[2];

        mask = malloc(area * sizeof *mask);
        srand(7);
        for (size_t i = 0; i < area; i++)
            mask[i] = rand() / (RAND_MAX + 1.0) >= t->random;
        a = (pjd_array){"mask", {.rank = 2, .dim = {xs.dim[1], xs.dim[2]}}, mask};
    }
    if (pjd_operator_create(t->task, &a, mask != NULL, &xs, NULL, &op, &err) != PJD_OK)
        die(&err);
    y = malloc(op->ny * sizeof *y);
    z = malloc(op->ny * sizeof *z);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    pjd_operator_apply(op, x, y, work);
    pjd_noise_seeded(99, 0, &noise, &err);
    pjd_noise_normal(noise, z, op->ny, &err);
    for (size_t i = 0; i < op->ny; i++)
        y[i] += (float)(2 * t->sigma) * z[i];
    pjd_noise_free(noise);
    free(work);
    if (pjd_operator_create(t->task, &a, mask != NULL, NULL, &op->y, &back, &err) != PJD_OK)
        die(&err);
    frame = *pjd_operator_result(back, &oy, &ox);
    pjd_solve_options_init(&o);
    o.sigma = t->sigma;
    o.samples = t->samples;
    o.seed = t->seed;
    o.repeats = t->repeats;
    o.momentum = t->momentum;
    o.runner.threads = t->threads;
    /* The solver's inside, with the settings given. */
    pjd_solver_run r = {.model = t->m,
                        .op = back,
                        .y = y,
                        .opt = &o,
                        .samples = t->samples,
                        .sigma = 2 * t->sigma,
                        .report = &rep,
                        .err = &err};
    pjd_projdiff_choose(back, r.sigma, &s);
    if (t->over.steps)
        s.steps = t->over.steps;
    override(&s.t_start, t->over.t_start);
    override(&s.t_end, t->over.t_end);
    override(&s.grid_power, t->over.grid_power);
    override(&s.step_high, t->over.step_high);
    override(&s.step_low, t->over.step_low);
    override(&s.prior_gain, t->over.prior_gain);
    override(&s.tail, t->over.tail);
    s.proximal = s.proximal || t->over.proximal;
    if (t->warm_given)
        s.warm = t->over.warm;
    r.x0 = malloc(t->samples * back->nx * sizeof *r.x0);
    if (pjd_noise_seeded(t->seed, 0, &r.noise, &err) != PJD_OK ||
        pjd_runner_create(t->m, t->samples, &back->x, &o.runner, &r.runner, &err) != PJD_OK)
        die(&err);
    work = malloc((pjd_operator_work(back) + 1) * sizeof *work);
    /* Mean of the samples, on the frame that both operators share: the centre. */
    n = frame.dim[0] * frame.dim[1] * frame.dim[2];
    float *guess = malloc(back->nx * sizeof *guess), *e = malloc(n * sizeof *e), *ref = malloc(n * sizeof *ref);
    pjd_operator_guess(back, y, guess, work);
    if (pjd_projdiff_run(&r, &s) != PJD_OK)
        die(&err);
    size_t fy = (xs.dim[1] - frame.dim[1]) / 2, fx = (xs.dim[2] - frame.dim[2]) / 2;
    count = t->samples;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < frame.dim[1]; i++)
                for (size_t j = 0; j < frame.dim[2]; j++) {
                    size_t q = (k * back->x.dim[1] + oy + i) * back->x.dim[2] + ox + j;
                    double sum = 0;

                    for (size_t m = 0; pass && m < count; m++)
                        sum += r.x0[m * back->nx + q] / (double)count;
                    if (!pass)
                        sum = guess[q];
                    e[(k * frame.dim[1] + i) * frame.dim[2] + j] = (float)fmax(-1, fmin(1, sum));
                    ref[(k * frame.dim[1] + i) * frame.dim[2] + j] = x[(k * xs.dim[1] + fy + i) * xs.dim[2] + fx + j];
                }
        if (pjd_metric("psnr", &frame, e, ref, 2, &v, &err) != PJD_OK)
            die(&err);
        *(pass ? &t->after : &t->before) += v;
    }
    if (pjd_metric("ssim", &frame, e, ref, 2, &v, &err) == PJD_OK)
        t->ssim += v;
    t->done++;
    t->seconds += pjd_now() - start;
    pjd_runner_free(r.runner);
    pjd_noise_free(r.noise);
    pjd_operator_unref(op);
    pjd_operator_unref(back);
    free(r.x0);
    free(work);
    free(guess);
    free(e);
    free(ref);
    free(x);
    free(y);
    free(z);
    free(mask);
}

static void set(tune *t, const char *key, double v)
{
    if (!strcmp(key, "steps"))
        t->over.steps = (size_t)v;
    else if (!strcmp(key, "t_start"))
        t->over.t_start = v;
    else if (!strcmp(key, "t_end"))
        t->over.t_end = v;
    else if (!strcmp(key, "power"))
        t->over.grid_power = v;
    else if (!strcmp(key, "high"))
        t->over.step_high = v;
    else if (!strcmp(key, "low"))
        t->over.step_low = v;
    else if (!strcmp(key, "gain"))
        t->over.prior_gain = v;
    else if (!strcmp(key, "tail"))
        t->over.tail = v;
    else if (!strcmp(key, "warm"))
        t->over.warm = v != 0, t->warm_given = true;
    else if (!strcmp(key, "proximal"))
        t->over.proximal = v != 0;
    else if (!strcmp(key, "samples"))
        t->samples = (size_t)v;
    else if (!strcmp(key, "seed"))
        t->seed = (uint64_t)v;
    else if (!strcmp(key, "crop"))
        t->crop = (size_t)v;
    else if (!strcmp(key, "repeats"))
        t->repeats = (size_t)v;
    else if (!strcmp(key, "momentum"))
        t->momentum = v;
    else if (!strcmp(key, "random"))
        t->random = v;
    else if (!strcmp(key, "threads"))
        t->threads = (int)v;
    else {
        fprintf(stderr, "tune: no key is called %s\n", key);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    tune t = {.samples = 1, .crop = 128, .random = 0.5};
    pjd_error err;
    int i = 5;

    if (argc < 7 || strcmp(argv[1], "-m") != 0) {
        fprintf(stderr, "usage: tune -m MODEL TASK SIGMA [key=value ...] -- PICTURE...\n");
        return 2;
    }
    if (pjd_model_open(argv[2], NULL, &t.m, &err) != PJD_OK)
        die(&err);
    t.task = argv[3];
    t.sigma = atof(argv[4]);
    t.over.t_start = t.over.t_end = t.over.grid_power = t.over.step_high = t.over.step_low = NAN;
    t.over.prior_gain = t.over.tail = NAN;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *eq = strchr(argv[i], '=');

        if (!eq)
            return 2;
        *eq = '\0';
        set(&t, argv[i], atof(eq + 1));
        *eq = '=';
    }
    for (int k = i + 1; k < argc; k++)
        one(&t, argv[k]);
    printf("%-28s sigma %.3f", t.task, t.sigma);
    for (int k = 5; k < i; k++)
        printf(" %s", argv[k]);
    printf(" : guess %.2f  after %.2f  ssim %.4f  (%zu pictures, %.2f s each)\n", t.before / (double)t.done,
           t.after / (double)t.done, t.ssim / (double)t.done, t.done, t.seconds / (double)t.done);
    pjd_model_unref(t.m);
    pjd_io_shutdown();
    return 0;
}
