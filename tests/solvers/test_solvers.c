/* SPDX-License-Identifier: MIT */
/* The solver with priors known in closed form: no trained weights are needed to know what must come out. */
#include "support/support.h"

#include "core/core.h"
#include "projdiff/projdiff.h"

enum { SIDE = 24, N = SIDE * SIDE };

static pjd_model *gaussian(float mean, float variance)
{
    const pjd_shape item = pjd_shape_chw(1, SIDE, SIDE);
    float mu[N], var[N];
    pjd_model *m;
    pjd_error err;

    for (int i = 0; i < N; i++) {
        mu[i] = mean;
        var[i] = variance;
    }
    assert_ok(pjd_model_gaussian(&item, mu, var, NULL, &m, &err), &err);
    return m;
}

static pjd_operator *make(const char *task)
{
    const pjd_shape item = pjd_shape_chw(1, SIDE, SIDE);
    static float mask[N];
    const pjd_array a = {"mask", {.rank = 2, .dim = {SIDE, SIDE}}, mask};
    pjd_operator *op;
    pjd_error err;

    for (int i = 0; i < N; i++)
        mask[i] = i % 3 != 0;
    assert_ok(pjd_operator_create(task, &a, strstr(task, "inpaint") != NULL, &item, NULL, &op, &err), &err);
    return op;
}

static const char *const tasks[] = {"inpaint",
                                    "superres:factor=2",
                                    "superres:factor=5",
                                    "denoise",
                                    "deblur:gaussian=0.6,boundary=periodic",
                                    "deblur:gaussian=0.6,boundary=reflect",
                                    "deblur:disk=0.8,boundary=zero"};

typedef struct watch {
    size_t stop_at, steps;
    uint64_t first, last;
} watch;

static bool watching(void *user, size_t step, size_t steps, const float *x0)
{
    watch *w = user;

    w->steps = steps;
    if (step == 1)
        w->first = pjd_mem_test_count();
    w->last = pjd_mem_test_count();
    return step != w->stop_at;
}

/* Noise-free data hold exactly after the last projection, whatever the number of steps; nothing is allocated between steps. */
static void noise_free_data_hold(void **state)
{
    static const size_t steps[] = {1, 2, 7, 33};
    pjd_model *m = gaussian(0.2f, 0.3f);
    float truth[N], y[N], x[N];
    pjd_error err;

    test_random(truth, N, 5);
    for (size_t k = 0; k < PJD_COUNTOF(tasks); k++)
        for (size_t s = 0; s < PJD_COUNTOF(steps); s++) {
            pjd_operator *op = make(tasks[k]);
            float *work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
            watch w = {0};
            pjd_solve_options o = {.steps = steps[s], .seed = 3, .progress = watching, .progress_user = &w};
            pjd_solve_report r;

            pjd_operator_apply(op, truth, y, work);
            assert_ok(pjd_solve(m, op, y, &o, x, &r, &err), &err);
            assert_int_equal(r.steps, w.steps);
            assert_int_equal(w.first, w.last);
            assert_true(pjd_all_finite(x, N));
            /* Blurs are inverted down to a thousandth of their largest singular value only. */
            if (r.residual > (strstr(tasks[k], "deblur") ? 2e-3 : 1e-5))
                fail_msg("%s, %zu steps: residual %g", tasks[k], steps[s], r.residual);
            free(work);
            pjd_operator_unref(op);
        }
    pjd_model_unref(m);
}

/* The same seed gives the same bytes for any number of threads; another seed does not; samples differ from each other. */
static void seeds_and_threads(void **state)
{
    pjd_model *m = gaussian(0, 0.5f);
    float y[N], a[3 * N], b[3 * N];
    pjd_error err;

    test_random(y, N, 6);
    for (size_t k = 0; k < PJD_COUNTOF(tasks); k++) {
        pjd_operator *op = make(tasks[k]);
        pjd_solve_options o = {.steps = 5, .seed = 1, .samples = 3, .sigma = 0.1, .runner = {.threads = 1}};

        assert_ok(pjd_solve(m, op, y, &o, a, NULL, &err), &err);
        o.runner.threads = 3;
        assert_ok(pjd_solve(m, op, y, &o, b, NULL, &err), &err);
        assert_memory_equal(a, b, sizeof a);
        if (strcmp(tasks[k], "denoise") != 0) {
            o.seed = 2;
            assert_ok(pjd_solve(m, op, y, &o, b, NULL, &err), &err);
            assert_memory_not_equal(a, b, sizeof a);
            assert_memory_not_equal(a, a + N, N * sizeof *a);
        }
        pjd_operator_unref(op);
    }
    pjd_model_unref(m);
}

/* Denoising with an independent Gaussian: the posterior mean is mu + C/(C + sigma^2) (y - mu), exactly. */
static void denoising_is_the_posterior_mean(void **state)
{
    pjd_model *m = gaussian(0.3f, 0.4f);
    pjd_operator *op = make("denoise");
    float y[N], x[N], want[N];
    pjd_error err;

    test_random(y, N, 8);
    for (double sigma = 0.05; sigma < 1; sigma *= 3) {
        pjd_solve_options o = {.sigma = sigma};

        for (int i = 0; i < N; i++)
            want[i] = (float)(0.3 + 0.4 / (0.4 + sigma * sigma) * (y[i] - 0.3));
        assert_ok(pjd_solve(m, op, y, &o, x, NULL, &err), &err);
        /* The level of sigma is found by interpolating the schedule: a few 1e-6. */
        assert_at_most(test_max_abs(x, want, N), 2e-5);
    }
    pjd_operator_unref(op);
    pjd_model_unref(m);
}

/* What a mask hides is known from the prior alone: the mean over many hidden pixels is the prior's, within five standard
   errors, and their spread does not exceed the prior's. */
static void hidden_pixels_follow_the_prior(void **state)
{
    pjd_model *m = gaussian(-0.4f, 0.25f);
    pjd_operator *op = make("inpaint");
    float y[N], *x = malloc(40 * N * sizeof *x);
    double mean = 0, square = 0, count = 0;
    pjd_error err;

    test_random(y, N, 9);
    for (int sigma = 0; sigma < 2; sigma++) {
        pjd_solve_options o = {.samples = 40, .sigma = 0.1 * sigma, .steps = 60};

        assert_ok(pjd_solve(m, op, y, &o, x, NULL, &err), &err);
        for (int i = 0; i < 40 * N; i++)
            if (i % N % 3 == 0) {
                mean += x[i];
                square += (double)x[i] * x[i];
                count++;
            }
    }
    mean /= count;
    square = square / count - mean * mean;
    print_message("hidden pixels: mean %.4f (prior -0.4), variance %.4f (prior 0.25)\n", mean, square);
    assert_at_most(fabs(mean + 0.4), 5 * sqrt(0.25 / count));
    assert_at_most(square, 0.26);
    free(x);
    pjd_operator_unref(op);
    pjd_model_unref(m);
}

/* With a prior around the truth phase retrieval ends there; moduli that no picture has are said not to converge. Of several
   starts one is kept, and nothing depends on the number of threads. */
static void phase_restarts(void **state)
{
    const pjd_shape item = pjd_shape_chw(1, SIDE, SIDE);
    float truth[N], var[N], x[N], again[N], y[(SIDE + SIDE / 2) * (SIDE + SIDE / 2)];
    pjd_operator *op = make("phase");
    float *work = malloc(pjd_operator_work(op) * sizeof *work);
    pjd_solve_options o = {.seed = 4, .restarts = 6, .runner = {.threads = 1}};
    pjd_solve_report r;
    pjd_model *m;
    pjd_error err;

    test_random(truth, N, 21);
    for (int i = 0; i < N; i++) {
        truth[i] = 0.5f * (float)sin(truth[i] * 3); /* inside the range */
        var[i] = 0.01f;
    }
    pjd_operator_apply(op, truth, y, work);
    assert_ok(pjd_model_gaussian(&item, truth, var, NULL, &m, &err), &err);
    assert_ok(pjd_solve(m, op, y, &o, x, &r, &err), &err);
    print_message("phase: %zu of %zu starts converged, residual %.2e\n", r.converged, r.restarts, r.residual);
    assert_int_equal(r.restarts, 6);
    assert_true(r.converged >= 1);
    /* Converged: within 0.5% of the root mean square of y, about 0.3 times two thirds. */
    assert_at_most(r.residual, 2e-3);
    assert_at_most(test_relative_l2(x, truth, N), 0.1);
    o.runner.threads = 2;
    assert_ok(pjd_solve(m, op, y, &o, again, NULL, &err), &err);
    assert_memory_equal(x, again, sizeof x);
    test_random(y, sizeof y / sizeof *y, 22);
    for (size_t i = 0; i < sizeof y / sizeof *y; i++)
        y[i] = fabsf(y[i]);
    assert_ok(pjd_solve(m, op, y, &o, x, &r, &err), &err);
    assert_int_equal(r.converged, 0);
    o.compat = PJD_COMPAT_REFERENCE;
    o.restarts = 0;
    assert_ok(pjd_solve(m, op, y, &o, x, &r, &err), &err);
    assert_int_equal(r.restarts, 1);
    free(work);
    pjd_operator_unref(op);
    pjd_model_unref(m);
}

/*
 * The posterior solver on a Gaussian prior of variance C: where data of variance v are seen, mean C / (C + v) y and variance
 * C v / (C + v); elsewhere the prior's. Over 200 samples, averaged over pixels: the standard error of a variance is
 * below 1% of it, and 200 steps of a finite grid cost a few percent.
 */
static void posterior_spread(void **state)
{
    enum { MANY = 200 };
    const double C = 0.25, sigma = 0.1;
    pjd_model *m = gaussian(0, (float)C);
    const char *const some[] = {"denoise", "inpaint"};
    float y[N], *x = malloc(MANY * N * sizeof *x);
    pjd_error err;

    test_random(y, N, 31);
    for (size_t k = 0; k < PJD_COUNTOF(some); k++) {
        pjd_operator *op = make(some[k]);
        pjd_solve_options o = {.solver = "posterior", .samples = MANY, .sigma = sigma, .steps = 200};
        double var[2] = {0}, bias[2] = {0}, count[2] = {0}, scale = pjd_model_get_info(m)->sigma_scale;
        double vv = scale * scale * sigma * sigma, want[2] = {C, C * vv / (C + vv)};

        assert_ok(pjd_solve(m, op, y, &o, x, NULL, &err), &err);
        for (int i = 0; i < N; i++) {
            int seen = k == 0 || i % 3 != 0;
            double mean = 0, sq = 0;

            for (int s = 0; s < MANY; s++)
                mean += x[s * N + i] / (double)MANY;
            for (int s = 0; s < MANY; s++)
                sq += (x[s * N + i] - mean) * (x[s * N + i] - mean) / (MANY - 1);
            var[seen] += sq;
            bias[seen] += fabs(mean - (seen ? C / (C + vv) * y[i] : 0)) / sqrt(want[seen]);
            count[seen]++;
        }
        for (int seen = 0; seen < 2; seen++)
            if (count[seen] > 0) {
                print_message("%s, %s: deviation %.4f, closed form %.4f; mean off by %.3f deviations\n", some[k],
                              seen ? "seen" : "hidden", sqrt(var[seen] / count[seen]), sqrt(want[seen]),
                              bias[seen] / count[seen]);
                assert_at_most(fabs(sqrt(var[seen] / count[seen] / want[seen]) - 1), 0.06);
                /* |mean of 200| is 0.056 deviations on average */
                assert_at_most(bias[seen] / count[seen], 0.1);
            }
        pjd_operator_unref(op);
    }
    free(x);
    pjd_model_unref(m);
}

/*
 * The same for averages of r x r pixels: noise of variance v on a mean is noise of r^2 v on the cell's unit vector, whose
 * posterior variance is C r^2 v / (C + r^2 v); seen through A it is 1 / r^2 of that. The other r^2 - 1 directions of a
 * cell keep the prior's variance C.
 */
static void posterior_spread_superres(void **state)
{
    enum { MANY = 200, R = 2, CELLS = N / (R * R) };
    const double C = 0.25, sigma = 0.1, u = R * R * sigma * sigma;
    const double want_seen = C * u / (C + u), want_all = (want_seen + (R * R - 1) * C) / (R * R);
    pjd_model *m = gaussian(0, (float)C);
    pjd_operator *op = make("superres:factor=2");
    float y[CELLS], *x = malloc(MANY * N * sizeof *x), *seen = malloc(MANY * CELLS * sizeof *seen), *work;
    pjd_solve_options o = {.solver = "posterior", .samples = MANY, .sigma = sigma, .steps = 200};
    double all = 0, means = 0, bias = 0;
    pjd_error err;

    assert_at_most(fabs(pjd_model_get_info(m)->sigma_scale - 1), 0);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    test_random(y, CELLS, 33);
    assert_ok(pjd_solve(m, op, y, &o, x, NULL, &err), &err);
    for (int s = 0; s < MANY; s++)
        pjd_operator_apply(op, x + s * N, seen + s * CELLS, work);
    for (int i = 0; i < N; i++) {
        double mean = 0, sq = 0;

        for (int s = 0; s < MANY; s++)
            mean += x[s * N + i] / (double)MANY;
        for (int s = 0; s < MANY; s++)
            sq += (x[s * N + i] - mean) * (x[s * N + i] - mean) / (MANY - 1);
        all += sq / N;
    }
    for (int i = 0; i < CELLS; i++) {
        double mean = 0, sq = 0;

        for (int s = 0; s < MANY; s++)
            mean += seen[s * CELLS + i] / (double)MANY;
        for (int s = 0; s < MANY; s++)
            sq += (seen[s * CELLS + i] - mean) * (seen[s * CELLS + i] - mean) / (MANY - 1);
        means += sq / CELLS;
        bias += fabs(mean - C / (C + u) * y[i]) / sqrt(want_seen / (R * R)) / CELLS;
    }
    print_message(
        "superres: deviation of pixels %.4f, closed form %.4f; of cells %.4f, %.4f; mean off by %.3f deviations\n",
        sqrt(all), sqrt(want_all), sqrt(means), sqrt(want_seen / (R * R)), bias);
    assert_at_most(fabs(sqrt(all / want_all) - 1), 0.06);
    assert_at_most(fabs(sqrt(means * R * R / want_seen) - 1), 0.06);
    assert_at_most(bias, 0.1);
    free(work);
    free(seen);
    free(x);
    pjd_operator_unref(op);
    pjd_model_unref(m);
}

static pjd_status fails_at_third(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                                 float *x0, pjd_error *err)
{
    int *calls = user;

    memcpy(x0, x, N * sizeof *x0);
    if (++*calls == 3)
        x0[5] = NAN;
    return PJD_OK;
}

static void stops(void **state)
{
    pjd_operator *op = make("superres:factor=3");
    pjd_model *m = gaussian(0, 1), *bad;
    float y[N] = {0}, x[N], few[10] = {0};
    int calls = 0;
    watch w = {.stop_at = 4};
    pjd_solve_options o = {.steps = 9, .progress = watching, .progress_user = &w};
    pjd_noise *src;
    pjd_error err;

    assert_int_equal(pjd_solve(m, op, y, &o, x, NULL, &err), PJD_ERR_CANCELLED);
    assert_non_null(strstr(err.text, "step 4 of 9"));
    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = fails_at_third, .user = &calls}, NULL, &bad, &err), &err);
    assert_int_equal(pjd_solve(bad, op, y, &(pjd_solve_options){.steps = 9}, x, NULL, &err), PJD_ERR_NONFINITE);
    assert_non_null(strstr(err.text, "step "));
    y[3] = INFINITY;
    assert_int_equal(pjd_solve(m, op, y, NULL, x, NULL, &err), PJD_ERR_NONFINITE);
    y[3] = 0;
    assert_ok(pjd_noise_recorded(few, 10, &src, &err), &err);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.noise = src}, x, NULL, &err), PJD_ERR_ARG);
    pjd_noise_free(src);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.sigma = NAN}, x, NULL, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.sigma = -1}, x, NULL, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.step_size = NAN}, x, NULL, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.momentum = 1}, x, NULL, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_solve(m, op, y, &(pjd_solve_options){.solver = "nope"}, x, NULL, &err), PJD_ERR_ARG);
    pjd_model_unref(bad);
    pjd_model_unref(m);
    pjd_operator_unref(op);
}

/* Every allocation may fail: an error comes back and nothing leaks (the sanitizer build looks). */
static void out_of_memory(void **state)
{
    pjd_operator *op = make("inpaint");
    pjd_model *m = gaussian(0, 1);
    float y[N] = {0}, x[N];
    pjd_error err;
    pjd_status st = PJD_ERR_NOMEM;

    for (uint64_t k = 1; st != PJD_OK && k < 1000; k++) {
        pjd_mem_test_fail_at(k);
        st = pjd_solve(m, op, y, &(pjd_solve_options){.steps = 2}, x, NULL, &err);
        assert_true(st == PJD_OK || st == PJD_ERR_NOMEM);
    }
    pjd_mem_test_fail_at(0);
    assert_int_equal(st, PJD_OK);
    pjd_model_unref(m);
    pjd_operator_unref(op);
}

/* A prior of pictures that are even in blocks of 8x8 pixels, the blocks' values N(0.3, 0.02): E[x0 | x_t] in closed form. */
enum { BLOCK = 8, BLOCKS = SIDE / BLOCK };

static double block_mean(const float *x, int block)
{
    double sum = 0;

    for (int i = 0; i < BLOCK * BLOCK; i++)
        sum += x[(block / BLOCKS * BLOCK + i / BLOCK) * SIDE + block % BLOCKS * BLOCK + i % BLOCK];
    return sum / (BLOCK * BLOCK);
}

static pjd_status denoise_blocks(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                                 float *x0, pjd_error *err)
{
    double values[BLOCKS * BLOCKS], tau2 = (1 - abar) / abar / (BLOCK * BLOCK);

    for (int b = 0; b < BLOCKS * BLOCKS; b++)
        values[b] = (block_mean(x, b) / sqrt(abar) * 0.02 + 0.3 * tau2) / (0.02 + tau2);
    for (int i = 0; i < N; i++)
        x0[i] = (float)values[i / SIDE / BLOCK * BLOCKS + i % SIDE / BLOCK];
    return PJD_OK;
}

/*
 * Of blocks that are clipped throughout (from 0.5 on) the posterior's mean is 0.564; the likeliest value is the limit, where an
 * estimate that asks the prior alone ends, and 0.75 is what the measurement alone says. Blocks just below the limit are shown, if
 * noise cuts some of their pixels off.
 */
static void clipped_areas(void **state)
{
    const pjd_denoiser cb = {.denoise = denoise_blocks, .channels = 1, .sigma_scale = 1};
    const double sigmas[] = {0, 0.002, 0.02, 0.1};
    pjd_operator *op = make("hdr:scale=2");
    pjd_model *m;
    float y[N], x[N], z[N];
    pjd_error err;

    assert_ok(pjd_model_callback(&cb, NULL, &m, &err), &err);
    test_random(z, N, 5);
    for (size_t k = 0; k < PJD_COUNTOF(sigmas); k++) {
        double clipped = 0, shown = 0;

        for (int i = 0; i < N; i++)
            y[i] = (float)((i / SIDE < 2 * BLOCK ? 1 : 0.88) + sigmas[k] * z[i]);
        assert_ok(pjd_solve(m, op, y, &(pjd_solve_options){.sigma = sigmas[k], .seed = k}, x, NULL, &err), &err);
        for (int b = 0; b < BLOCKS * BLOCKS; b++)
            *(b < 2 * BLOCKS ? &clipped : &shown) += block_mean(x, b);
        print_message("sigma %g: clipped %.4f, shown %.4f\n", sigmas[k], clipped / 6, shown / 3);
        assert_true(clipped / 6 >= 0.532 && clipped / 6 <= 0.65);
        assert_at_most(fabs(shown / 3 - 0.44), 0.02);
    }
    pjd_model_unref(m);
    pjd_operator_unref(op);
}

/* White noise is measured to a few per cent; a smooth ramp adds nothing. */
static void sigma_estimate(void **state)
{
    const pjd_shape s = pjd_shape_chw(1, 128, 128);
    float *x = malloc(128 * 128 * sizeof *x);

    for (double sigma = 0.01; sigma < 0.5; sigma *= 4) {
        test_random(x, 128 * 128, 11);
        for (int i = 0; i < 128 * 128; i++)
            x[i] = (float)(sigma * x[i] + i % 128 / 128.0 + i / 128 / 256.0);
        assert_at_most(fabs(pjd_estimate_sigma(&s, x) / sigma - 1), 0.08);
    }
    free(x);
}

/* A third of the picture is as white as white can be: half of its noise is cut off, and it must not pass for quiet. */
static void sigma_estimate_of_a_clipped_picture(void **state)
{
    const pjd_shape s = pjd_shape_chw(1, 128, 128);
    float *x = malloc(128 * 128 * sizeof *x);

    for (double sigma = 0.01; sigma < 0.1; sigma *= 4) {
        test_random(x, 128 * 128, 11);
        for (int i = 0; i < 128 * 128; i++) {
            x[i] = (float)(sigma * x[i] + (i % 128 < 80 ? i % 128 / 128.0 : 1.0));
            x[i] = fminf(x[i], 1);
        }
        assert_at_most(fabs(pjd_estimate_sigma(&s, x) / sigma - 1), 0.08);
    }
    /* Nothing but black and white tells nothing. */
    for (int i = 0; i < 128 * 128; i++)
        x[i] = i * 7 % 5 < 2 ? 1 : -1;
    assert_true(pjd_estimate_sigma(&s, x) == 0);
    free(x);
}

static void samples_follow_the_prior(void **state)
{
    const pjd_shape item = pjd_shape_chw(1, SIDE, SIDE);
    pjd_model *m = gaussian(0.5f, 0.2f);
    double mean = 0, square = 0;
    float x[N];
    pjd_error err;

    assert_ok(pjd_sample(m, &item, &(pjd_solve_options){.steps = 200, .seed = 4}, 0, x, &err), &err);
    for (int i = 0; i < N; i++) {
        mean += x[i] / (double)N;
        square += (double)x[i] * x[i] / N;
    }
    assert_at_most(fabs(mean - 0.5), 5 * sqrt(0.2 / N));
    assert_at_most(fabs(square - mean * mean - 0.2), 5 * 0.2 * sqrt(2.0 / N));
    assert_int_equal(pjd_sample(m, &item, NULL, 2, x, &err), PJD_ERR_ARG);
    pjd_model_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_free_data_hold),
        cmocka_unit_test(seeds_and_threads),
        cmocka_unit_test(denoising_is_the_posterior_mean),
        cmocka_unit_test(hidden_pixels_follow_the_prior),
        cmocka_unit_test(phase_restarts),
        cmocka_unit_test(posterior_spread),
        cmocka_unit_test(posterior_spread_superres),
        cmocka_unit_test(stops),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(clipped_areas),
        cmocka_unit_test(sigma_estimate),
        cmocka_unit_test(sigma_estimate_of_a_clipped_picture),
        cmocka_unit_test(samples_follow_the_prior),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
