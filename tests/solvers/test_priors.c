/* SPDX-License-Identifier: MIT */
/* Schedules against published values, analytic priors against their formulas, the runner's padding and tiles. */
#include "support/support.h"

#include "core/prior.h"

static pjd_status nan_denoiser(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                               float *x0, pjd_error *err)
{
    x0[0] = NAN;
    return PJD_OK;
}

static void schedules(void **state)
{
    double b[4000];
    pjd_error err;
    pjd_model *m;

    assert_ok(pjd_schedule_betas("linear", 1e-4, 0.02, 1000, b, &err), &err);
    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = nan_denoiser}, &(pjd_schedule){b, 1000}, &m, &err), &err);
    /* Check values of the published programs' float64 tables. */
    assert_at_most(fabs(pjd_model_abar(m, 0) - 0.9999), 1e-12);
    assert_at_most(fabs(pjd_model_abar(m, 249) - 0.5240853738), 1e-9);
    assert_at_most(fabs(pjd_model_abar(m, 499) - 0.0785872429), 1e-9);
    assert_at_most(fabs(pjd_model_abar(m, 999) / 4.0358297654e-05 - 1), 1e-9);
    for (double t = 0; t <= 999; t += 0.37)
        assert_at_most(fabs(pjd_model_t_of_abar(m, pjd_model_abar(m, t)) - t), 1e-6);
    assert_at_most(fabs(pjd_model_t_of_abar(m, 2.0)), 0);
    assert_at_most(fabs(pjd_model_t_of_abar(m, 0.0) - 999), 0);
    pjd_model_unref(m);

    assert_ok(pjd_schedule_betas("squaredcos_cap_v2", 0, 0, 1000, b, &err), &err);
    assert_at_most(fabs(b[0] / 4.1284224822e-05 - 1), 1e-8);
    assert_at_most(fabs(b[999] - 0.999), 0);
    assert_ok(pjd_schedule_betas("cosine", 0, 0, 4000, b, &err), &err);
    assert_at_most(fabs(b[0] / 9.8658188e-06 - 1), 1e-6);
    assert_int_equal(pjd_schedule_betas("nope", 1e-4, 0.02, 10, b, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_schedule_betas("linear", NAN, 0.02, 10, b, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_schedule_betas("linear", 1e-4, 0.02, 0, b, &err), PJD_ERR_ARG);
}

static void predictions(void **state)
{
    float x[6], pred[8], x0[6], eps[6], v[6], xt[6];
    const double abar = 0.37;

    test_random(x, 6, 1);
    test_random(eps, 6, 2);
    for (int i = 0; i < 6; i++) {
        xt[i] = (float)(sqrt(abar) * x[i] + sqrt(1 - abar) * eps[i]);
        v[i] = (float)(sqrt(abar) * eps[i] - sqrt(1 - abar) * x[i]);
    }
    /* Two items of 3, the raw output of which has 4 values each: the fourth is cut off. */
    for (int i = 0; i < 8; i++)
        pred[i] = i % 4 == 3 ? NAN : eps[i / 4 * 3 + i % 4];
    pjd_prediction_to_x0(PJD_PREDICT_EPS, 2, 3, 4, xt, pred, abar, x0);
    assert_at_most(test_max_abs(x0, x, 6), 2e-6);
    pjd_prediction_to_x0(PJD_PREDICT_V, 2, 3, 3, xt, v, abar, x0);
    assert_at_most(test_max_abs(x0, x, 6), 2e-6);
    pjd_prediction_to_x0(PJD_PREDICT_X0, 2, 3, 3, xt, x, abar, x0);
    assert_at_most(test_max_abs(x0, x, 6), 0);
}

/* Asked by sigma: the Gaussian's closed form mean + v/(v + sigma^2) (x - mean), from a prior that knows abar only; and a
   prior that knows sigma only, asked by t. */
static pjd_status ve_plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt, void **s,
                          pjd_error *err)
{
    return PJD_OK;
}

static pjd_status ve_denoise(pjd_model *m, void *state, const float *x, double sigma, float *x0, pjd_error *err)
{
    for (int i = 0; i < 6; i++) /* N(0.2, 0.3) per element */
        x0[i] = (float)(0.2 + 0.3 / (0.3 + sigma * sigma) * (x[i] - 0.2));
    return PJD_OK;
}

static void exploding(void **state)
{
    static const pjd_prior_vtbl ve = {.plan = ve_plan, .denoise_ve = ve_denoise};
    const pjd_shape item = pjd_shape_chw(1, 2, 3);
    float mean[6], var[6], x[6], a[6], b[6];
    pjd_model *g, *m;
    pjd_runner *rg, *rm;
    pjd_error err;

    test_random(x, 6, 9);
    for (int i = 0; i < 6; i++) {
        mean[i] = 0.2f;
        var[i] = 0.3f;
    }
    assert_ok(pjd_model_gaussian(&item, mean, var, NULL, &g, &err), &err);
    assert_ok(pjd_model_new(&ve, NULL, 0, NULL, &m, &err), &err);
    assert_ok(pjd_runner_create(g, 1, &item, NULL, &rg, &err), &err);
    assert_ok(pjd_runner_create(m, 1, &item, NULL, &rm, &err), &err);
    for (double sigma = 1e-4; sigma < 100; sigma *= 3) {
        assert_ok(pjd_runner_denoise_sigma(rg, x, sigma, a, &err), &err);
        assert_ok(pjd_runner_denoise_sigma(rm, x, sigma, b, &err), &err);
        assert_at_most(test_max_abs(a, b, 6), 2e-6); /* rounding of x / sqrt(1 + sigma^2) */
    }
    for (double t = 0; t < 1000; t += 111) {
        assert_ok(pjd_runner_denoise(rg, x, t, a, &err), &err);
        assert_ok(pjd_runner_denoise(rm, x, t, b, &err), &err);
        assert_at_most(test_max_abs(a, b, 6), 2e-6);
        memcpy(b, x, sizeof b); /* in place */
        assert_ok(pjd_runner_denoise(rm, b, t, b, &err), &err);
        assert_at_most(test_max_abs(a, b, 6), 2e-6);
    }
    assert_int_equal(pjd_runner_denoise_sigma(rg, x, 0, a, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_runner_denoise_sigma(rg, x, NAN, a, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_runner_denoise_sigma(rg, x, INFINITY, a, &err), PJD_ERR_ARG);
    pjd_runner_free(rg);
    pjd_runner_free(rm);
    pjd_model_unref(g);
    pjd_model_unref(m);
}

/* Values of the document of the published program, sigma_data 0.2. */
static void preconditioning(void **state)
{
    static const double want[3][5] = {{1, 0.0384615385, 0.1961161351, 0.9805806757, 0},
                                      {0.1, 0.8, 0.0894427191, 4.4721359550, -0.5756462733},
                                      {1e-4, 0.99999975, 9.99999875e-05, 4.999999375, -2.302585093}};
    float x[3] = {0.5f, 30, -30}, f[3] = {1, 1, 1};

    for (int i = 0; i < 3; i++) {
        pjd_edm e = pjd_edm_coefficients(want[i][0], 0.2);

        assert_at_most(fabs(e.c_skip - want[i][1]), 1e-9);
        assert_at_most(fabs(e.c_out - want[i][2]), 1e-9);
        assert_at_most(fabs(e.c_in - want[i][3]), 1e-9);
        assert_at_most(fabs(e.c_noise - want[i][4]), 1e-9);
    }
    pjd_edm e = pjd_edm_coefficients(1, 0.2);
    pjd_edm_to_x0(&e, 3, x, f, true, f);
    assert_at_most(fabs(f[0] - 0.2153469), 1e-6);
    assert_at_most(fabs(f[1] - 1), 0);
    assert_at_most(fabs(f[2] + 0.95773), 1e-4);
}

/* A mixture of one component is a Gaussian; two far apart components pick the near one. */
static void analytic(void **state)
{
    const pjd_shape item = pjd_shape_chw(1, 2, 3);
    float mean[12], var[6], x[12], a[12], b[12];
    pjd_model *g, *m;
    pjd_runner *rg, *rm;
    pjd_error err;
    const double one = 1, variance = 0.3, pair[2] = {1, 3}, narrow[2] = {1e-3, 1e-3};

    test_random(mean, 6, 3);
    test_random(x, 12, 4);
    for (int i = 0; i < 6; i++)
        var[i] = 0.3f;
    assert_ok(pjd_model_gaussian(&item, mean, var, NULL, &g, &err), &err);
    assert_ok(pjd_model_mixture(&item, 1, &one, mean, &variance, NULL, &m, &err), &err);
    assert_ok(pjd_runner_create(g, 2, &item, NULL, &rg, &err), &err);
    assert_ok(pjd_runner_create(m, 2, &item, NULL, &rm, &err), &err);
    for (double t = 0; t < 1000; t += 333) {
        assert_ok(pjd_runner_denoise(rg, x, t, a, &err), &err);
        assert_ok(pjd_runner_denoise(rm, x, t, b, &err), &err);
        assert_at_most(test_max_abs(a, b, 12), 1e-6);
    }
    pjd_runner_free(rm);
    pjd_model_unref(m);
    for (int i = 0; i < 6; i++) {
        mean[i] = -5;
        mean[6 + i] = 5;
        x[i] = -4;
        x[6 + i] = 4;
    }
    assert_ok(pjd_model_mixture(&item, 2, pair, mean, narrow, NULL, &m, &err), &err);
    assert_ok(pjd_runner_create(m, 2, &item, NULL, &rm, &err), &err);
    assert_ok(pjd_runner_denoise(rm, x, 300, a, &err), &err);
    assert_at_most(test_max_abs(a, mean, 12), 0.1);
    pjd_runner_free(rm);
    pjd_model_unref(m);
    pjd_runner_free(rg);
    pjd_model_unref(g);

    var[2] = -1;
    assert_int_equal(pjd_model_gaussian(&item, mean, var, NULL, &g, &err), PJD_ERR_ARG);
    var[2] = NAN;
    assert_int_equal(pjd_model_gaussian(&item, mean, var, NULL, &g, &err), PJD_ERR_ARG);
    assert_null(g);
}

typedef struct seen {
    size_t h, w, calls;
} seen;

/* Twice the input, so that any blending must give twice the picture. */
static pjd_status twice(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                        float *x0, pjd_error *err)
{
    seen *s = user;

    s->h = item->dim[1];
    s->w = item->dim[2];
    s->calls++;
    for (size_t i = 0; i < batch * item->dim[0] * s->h * s->w; i++)
        x0[i] = 2 * x[i];
    return PJD_OK;
}

static void runner_any_size(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 17, 64, 191, 257};
    static float x[2 * 257 * 257], y[2 * 257 * 257];
    seen s = {0};
    pjd_model *m;
    pjd_error err;

    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = twice, .user = &s}, NULL, &m, &err), &err);
    m->info.multiple = 8;
    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++)
        for (size_t k = 0; k < PJD_COUNTOF(sizes); k++)
            for (size_t tile = 0; tile <= 64; tile += 64) {
                const pjd_shape item = pjd_shape_chw(1, sizes[i], sizes[k]);
                size_t n = 2 * sizes[i] * sizes[k];
                pjd_runner *r;
                pjd_runner_stats stats;

                test_random(x, n, i * 10 + k);
                assert_ok(pjd_runner_create(m, 2, &item, &(pjd_runner_options){.tile = tile}, &r, &err), &err);
                uint64_t before = pjd_mem_test_count();
                assert_ok(pjd_runner_denoise(r, x, 10, y, &err), &err);
                assert_int_equal(pjd_mem_test_count(), before);
                for (size_t j = 0; j < n; j++)
                    x[j] *= 2;
                assert_at_most(test_max_abs(y, x, n), 1e-5);
                assert_int_equal(s.h % 8, 0);
                assert_int_equal(s.w % 8, 0);
                pjd_runner_get_stats(r, &stats);
                assert_int_equal(stats.calls, stats.tiles);
                if (tile) {
                    assert_true(s.h <= 64 && s.w <= 64);
                }
                pjd_runner_free(r);
            }
    pjd_model_unref(m);
}

/* Sides below 32: padded to 32, or with exact_size to the multiple alone, so not at all where they are one. */
static void runner_exact_size(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 8, 16, 17, 24, 31, 40};
    static float x[40 * 40], y[40 * 40];
    seen s = {0};
    pjd_model *m;
    pjd_error err;

    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = twice, .user = &s}, NULL, &m, &err), &err);
    m->info.multiple = 8;
    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++)
        for (size_t exact = 0; exact < 2; exact++) {
            size_t other = sizes[PJD_COUNTOF(sizes) - 1 - i], h = (sizes[i] + 7) / 8 * 8, w = (other + 7) / 8 * 8;
            const pjd_shape item = pjd_shape_chw(1, sizes[i], other);
            pjd_runner *r;

            test_random(x, sizes[i] * other, i);
            assert_ok(pjd_runner_create(m, 1, &item, &(pjd_runner_options){.exact_size = exact}, &r, &err), &err);
            assert_ok(pjd_runner_denoise(r, x, 10, y, &err), &err);
            for (size_t j = 0; j < sizes[i] * other; j++)
                assert_at_most(fabs(y[j] - 2.0 * x[j]), 0);
            assert_int_equal(s.h, exact || h > 32 ? h : 32);
            assert_int_equal(s.w, exact || w > 32 ? w : 32);
            pjd_runner_free(r);
        }
    pjd_model_unref(m);
}

static void nonfinite_is_an_error(void **state)
{
    const pjd_shape item = pjd_shape_chw(1, 4, 4);
    float x[16] = {0};
    pjd_model *m;
    pjd_runner *r;
    pjd_error err;

    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = nan_denoiser}, NULL, &m, &err), &err);
    assert_ok(pjd_runner_create(m, 1, &item, NULL, &r, &err), &err);
    assert_int_equal(pjd_runner_denoise(r, x, 0, x, &err), PJD_ERR_NONFINITE);
    assert_int_equal(pjd_runner_raw(r, x, 0, x, &err), PJD_ERR_UNSUPPORTED);
    pjd_runner_free(r);
    assert_int_equal(pjd_runner_create(m, 0, &item, NULL, &r, &err), PJD_ERR_ARG);
    pjd_model_unref(m);
}

/* x0 = 3 x, and the mean square of what differs between the channels, which should be 1 - abar. */
static pjd_status chroma_denoiser(void *user, size_t batch, const pjd_shape *item, const float *x, double t,
                                  double abar, float *x0, pjd_error *err)
{
    size_t area = item->dim[1] * item->dim[2];
    double sum = 0;

    for (size_t b = 0; b < batch && item->dim[0] == 3; b++)
        for (size_t i = 0; i < area; i++) {
            const float *v = x + b * 3 * area + i;
            double mean = (v[0] + v[area] + v[2 * area]) / 3;

            for (size_t c = 0; c < 3; c++)
                sum += (v[c * area] - mean) * (v[c * area] - mean) / (2.0 * (double)(area * batch));
        }
    for (size_t i = 0; i < batch * item->dim[0] * area; i++)
        x0[i] = 3 * x[i];
    *(double *)user = sum / (1 - abar);
    return PJD_OK;
}

/* Gray planes of an array through a prior of colour pictures: the mean over the channels is the plane, rescaled. */
static void planes(void **state)
{
    const pjd_shape item = pjd_shape_chw(2, 40, 31);
    float x[2 * 2 * 40 * 31], y[2 * 2 * 40 * 31], again[2 * 2 * 40 * 31];
    double chroma = NAN;
    pjd_model *inner, *m;
    pjd_runner *r;
    pjd_error err;

    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = chroma_denoiser, .user = &chroma, .channels = 3}, NULL,
                                 &inner, &err),
              &err);
    assert_ok(pjd_model_planes(inner, 2, &m, &err), &err);
    pjd_model_unref(inner);
    assert_int_equal(pjd_model_get_info(m)->in_channels, 2);
    assert_at_most(fabs(pjd_model_abar(m, 123) - pjd_model_abar(inner, 123)), 0);
    test_random(x, PJD_COUNTOF(x), 1);
    assert_ok(pjd_runner_create(m, 2, &item, NULL, &r, &err), &err);
    assert_ok(pjd_runner_denoise(r, x, 200, y, &err), &err);
    double abar = pjd_model_abar(m, 200), abar3 = abar / (3 - 2 * abar);

    for (size_t i = 0; i < PJD_COUNTOF(x); i++)
        assert_at_most(fabs(y[i] - 3 * sqrt(abar3 / abar) * x[i]), 1e-5);
    /* 4960 pixels with two degrees of freedom each: five deviations. */
    assert_at_most(fabs(chroma - 1), 5 * sqrt(1.0 / 4960));
    pjd_runner_free(r);
    /* The same numbers each time. */
    assert_ok(pjd_runner_create(m, 2, &item, NULL, &r, &err), &err);
    assert_ok(pjd_runner_denoise(r, x, 200, again, &err), &err);
    assert_memory_equal(again, y, sizeof y);
    pjd_runner_free(r);
    pjd_model_unref(m);
    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = chroma_denoiser, .user = &chroma, .channels = 1}, NULL,
                                 &inner, &err),
              &err);
    assert_ok(pjd_model_planes(inner, 2, &m, &err), &err);
    pjd_model_unref(inner);
    assert_ok(pjd_runner_create(m, 2, &item, NULL, &r, &err), &err);
    assert_ok(pjd_runner_denoise(r, x, 200, y, &err), &err);
    for (size_t i = 0; i < PJD_COUNTOF(x); i++)
        assert_at_most(fabs(y[i] - 3 * x[i]), 1e-6);
    pjd_runner_free(r);
    pjd_model_unref(m);
    assert_ok(pjd_model_callback(&(pjd_denoiser){.denoise = chroma_denoiser, .user = &chroma, .channels = 4}, NULL,
                                 &inner, &err),
              &err);
    assert_int_equal(pjd_model_planes(inner, 2, &m, &err), PJD_ERR_UNSUPPORTED);
    assert_null(m);
    pjd_model_unref(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes),          cmocka_unit_test(schedules),         cmocka_unit_test(predictions),
        cmocka_unit_test(exploding),       cmocka_unit_test(preconditioning),   cmocka_unit_test(analytic),
        cmocka_unit_test(runner_any_size), cmocka_unit_test(runner_exact_size), cmocka_unit_test(nonfinite_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
