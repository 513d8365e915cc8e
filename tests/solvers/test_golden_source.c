/* SPDX-License-Identifier: MIT */
/*
 * Recorded runs of the published audio programs (shared/golden): the UNet1d and its denoiser to 1e-4, a separation of 12
 * levels to 1e-3 relative L2: float32 sums in another order, 60 times over. Skipped where the recordings are absent.
 */
#include <stdlib.h>

#include "support/support.h"

#include "projdiff/projdiff.h"

enum { STEMS = 4, LENGTH = 4096, N = STEMS * LENGTH };

static float *load(const char *folder, const char *name, size_t want)
{
    const char *base = test_golden(folder);
    char path[4300];
    pjd_shape shape;
    size_t n;
    float *x;

    skip_without(base, "shared/golden");
    snprintf(path, sizeof path, "%s/%s", base, name);
    x = test_npy(path, &shape);
    assert_non_null(x);
    assert_true(pjd_shape_count(&shape, &n));
    if (want)
        assert_int_equal(n, want);
    return x;
}

static pjd_model *open_model(void)
{
    const char *base = test_golden("unet1d_msdm");
    char path[4300];
    pjd_model *m;
    pjd_error err;

    skip_without(base, "shared/golden");
    snprintf(path, sizeof path, "%s/model.ckpt", base);
    assert_ok(pjd_model_open(path, NULL, &m, &err), &err);
    return m;
}

static void network(void **state)
{
    static const double sigma[] = {0.0005, 0.02, 0.3, 1.0};
    static const pjd_backend backends[] = {PJD_BACKEND_AUTO, PJD_BACKEND_C};
    const pjd_shape item = pjd_shape_make(2, (const size_t[]){STEMS, LENGTH});
    pjd_model *m = open_model();
    const pjd_model_info *info = pjd_model_get_info(m);
    float *x = load("unet1d_msdm", "x.npy", N), *y = malloc(N * sizeof *y), *scaled = malloc(N * sizeof *scaled);
    pjd_error err;

    assert_true(info->sequence && info->preconditioned);
    assert_int_equal(info->in_channels, STEMS);
    assert_int_equal(info->multiple, 4 * 4 * 2 * 2);
    assert_at_most(fabs(info->sample_rate - 22050), 0);
    assert_int_equal(info->stem_count, STEMS);
    assert_string_equal(info->stems[3], "piano");
    for (int b = 0; b < 2; b++) {
        pjd_runner_options o = {.threads = 2, .backend = backends[b]};
        pjd_runner *r;

        assert_ok(pjd_runner_create(m, 1, &item, &o, &r, &err), &err);
        for (int i = 0; i < 4; i++) {
            char name[32];
            float *want;
            float c_in = (float)(1 / sqrt(sigma[i] * sigma[i] + 0.04));

            for (int j = 0; j < N; j++)
                scaled[j] = c_in * x[j];
            snprintf(name, sizeof name, "net_%d.npy", i);
            want = load("unet1d_msdm", name, N);
            assert_ok(pjd_runner_raw(r, scaled, log(sigma[i]) / 4, y, &err), &err);
            assert_at_most(test_relative_l2(y, want, N), 1e-5);
            free(want);
            snprintf(name, sizeof name, "denoised_%d.npy", i);
            want = load("unet1d_msdm", name, N);
            assert_ok(pjd_runner_denoise_sigma(r, x, sigma[i], y, &err), &err);
            assert_at_most(test_relative_l2(y, want, N), 1e-5);
            free(want);
        }
        pjd_runner_free(r);
    }
    free(x);
    free(y);
    free(scaled);
    pjd_model_unref(m);
}

/* A length that the network does not take is padded by reflection and cut again. */
static void any_length(void **state)
{
    static const size_t lengths[] = {1, 2, 3, 17, 63, 65, 1000};
    pjd_model *m = open_model();
    pjd_error err;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        pjd_shape item = pjd_shape_chw(STEMS, 1, lengths[i]);
        float x[STEMS * 1000], y[STEMS * 1000 + 1];
        pjd_runner *r;

        test_random(x, STEMS * lengths[i], i);
        y[STEMS * lengths[i]] = 7;
        for (size_t tile = 0; tile <= 128; tile += 64) { /* whole, or in overlapping pieces along the length */
            pjd_runner_options o = {.tile = tile};
            pjd_runner_stats stats;

            assert_ok(pjd_runner_create(m, 1, &item, &o, &r, &err), &err);
            assert_ok(pjd_runner_denoise_sigma(r, x, 0.1, y, &err), &err);
            assert_at_most(fabs(y[STEMS * lengths[i]] - 7), 0);
            pjd_runner_get_stats(r, &stats);
            assert_true((stats.tiles > 1) == (tile > 0 && lengths[i] > tile));
            pjd_runner_free(r);
        }
    }
    {
        pjd_shape picture = pjd_shape_chw(STEMS, 64, 64);
        pjd_runner *r;

        assert_int_equal(pjd_runner_create(m, 1, &picture, NULL, &r, &err), PJD_ERR_SHAPE);
        assert_null(r);
    }
    pjd_model_unref(m);
}

static void separation(void **state)
{
    pjd_model *m = open_model();
    float *mixture = load("separate_msdm", "mixture.npy", LENGTH), *z = load("separate_msdm", "noise.npy", 60 * N);
    float *z0 = load("separate_msdm", "initial_noise.npy", N), *want = load("separate_msdm", "sources_out.npy", N);
    float *x = malloc(N * sizeof *x);
    pjd_source_options o;
    pjd_source_report rep;
    pjd_sources *s;
    pjd_error err;

    pjd_source_options_init(&o);
    o.steps = 12;
    o.compat = PJD_COMPAT_REFERENCE;
    o.initial_noise = z0;
    assert_ok(pjd_noise_recorded(z, 60 * N, &o.noise, &err), &err);
    assert_ok(pjd_sources_create(&m, 1, LENGTH, NULL, &s, &err), &err);
    assert_ok(pjd_separate(s, mixture, &o, x, &rep, &err), &err);
    assert_int_equal(pjd_noise_position(o.noise), 60 * N);
    assert_int_equal(rep.network_calls, 61);
    print_message("separate_msdm: relative L2 %.2e\n", test_relative_l2(x, want, N));
    assert_at_most(test_relative_l2(x, want, N), 1e-3);
    assert_at_most(rep.residual, 1e-6);
    pjd_noise_free(o.noise);
    pjd_sources_free(s);
    pjd_model_unref(m);
    free(mixture);
    free(z);
    free(z0);
    free(want);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network),
        cmocka_unit_test(any_length),
        cmocka_unit_test(separation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
