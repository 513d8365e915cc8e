/* SPDX-License-Identifier: MIT */
/*
 * The expected numbers come from scikit-image 0.19.3 in float64:
 *
 *   import numpy as np
 *   from skimage.metrics import structural_similarity, peak_signal_noise_ratio
 *   def pair(c, h, w):
 *       y, x = np.mgrid[0:h, 0:w]
 *       a = np.stack([np.sin(.3 * x + .1 * y + j) * np.cos(.17 * y - j) for j in range(c)]).astype("f4")
 *       n = np.arange(c * h * w, dtype="u8") * 2654435761 % 2**32
 *       return a, a + np.float32(.4) * (n / 2**32 - .5).astype("f4").reshape(c, h, w) + np.float32(.1)
 *   for s in (1, 11, 11), (1, 17, 23), (3, 17, 23), (3, 40, 31):
 *       a, b = (v.astype("f8") for v in pair(*s))
 *       print(structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2,
 *                                   channel_axis=0), peak_signal_noise_ratio(a, b, data_range=2))
 */
#include "core/metric.h"
#include "support/support.h"

static const struct {
    size_t c, h, w;
    double ssim, psnr;
} cases[] = {
    {1, 11, 11, 0.874387802, 22.390863441},
    {1, 17, 23, 0.459584732, 22.348327366},
    {3, 17, 23, 0.671364922, 22.346953092},
    {3, 40, 31, 0.649366629, 22.339637827},
};

static void pair(size_t c, size_t h, size_t w, float *a, float *b)
{
    for (size_t j = 0, n = 0; j < c; j++)
        for (size_t y = 0; y < h; y++)
            for (size_t x = 0; x < w; x++, n++) {
                uint32_t r = (uint32_t)(n * 2654435761u);

                a[n] = (float)(sin(0.3 * (double)x + 0.1 * (double)y + (double)j) * cos(0.17 * (double)y - (double)j));
                b[n] = a[n] + 0.4f * (float)((double)r / 4294967296.0 - 0.5) + 0.1f;
            }
}

static void agrees_with_scikit_image(void **state)
{
    static float a[3 * 40 * 31], b[3 * 40 * 31];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pjd_shape s = pjd_shape_chw(cases[i].c, cases[i].h, cases[i].w);
        double v;
        pjd_error err;

        pair(cases[i].c, cases[i].h, cases[i].w, a, b);
        assert_ok(pjd_metric("ssim", &s, a, b, 2, &v, &err), &err);
        assert_at_most(fabs(v - cases[i].ssim), 1e-6); /* the last bits of sin and of the float sums differ */
        assert_ok(pjd_metric("psnr", &s, a, b, 2, &v, &err), &err);
        assert_at_most(fabs(v - cases[i].psnr), 1e-5);
    }
}

/* e = 0.5 s + n with n orthogonal to s: 10 log10(0.25 |s|^2 / |n|^2), whatever the estimate is multiplied by. */
static void si_sdr_ignores_the_scale(void **state)
{
    const float s[4] = {1, -1, 1, -1}, n[4] = {0.5f, 0.5f, -0.5f, -0.5f};
    const pjd_shape shape = pjd_shape_chw(1, 1, 4), two = pjd_shape_chw(2, 1, 2);
    const double want = 10 * log10(0.25 * 4 / 1);
    float e[4], silent[4] = {1, 1, 0, 0};
    pjd_error err;
    double v;

    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < 4; i++)
            e[i] = (0.5f * s[i] + n[i]) * (float[]){1, -3, 0.01f}[k];
        assert_ok(pjd_metric("si-sdr", &shape, e, s, 1, &v, &err), &err);
        assert_at_most(fabs(v - want), 1e-5); /* float32 inputs */
    }
    assert_ok(pjd_metric("si-sdr", &shape, s, s, 1, &v, &err), &err);
    assert_true(v > 0 && isinf(v));
    assert_int_equal(pjd_metric("si-sdr", &two, s, silent, 1, &v, &err), PJD_ERR_ARG);
    assert_true(isnan(v));
}

static void equal_pictures_are_perfect(void **state)
{
    float a[17 * 23];
    pjd_shape s = pjd_shape_chw(1, 17, 23);
    double v;
    pjd_error err;

    test_random(a, 17 * 23, 1);
    assert_ok(pjd_metric("psnr", &s, a, a, 2, &v, &err), &err);
    assert_true(isinf(v) && v > 0);
    assert_ok(pjd_metric("ssim", &s, a, a, 2, &v, &err), &err);
    assert_at_most(fabs(v - 1), 1e-12);
    assert_ok(pjd_metric("mae", &s, a, a, 2, &v, &err), &err);
    assert_true(v == 0);
    assert_ok(pjd_metric("rmse", &s, a, a, 2, &v, &err), &err);
    assert_true(v == 0);
}

static void closed_forms(void **state)
{
    const float a[4] = {0, 0, 0, 0}, b[4] = {0.2f, -0.2f, 0.2f, 0.2f};
    pjd_shape s = pjd_shape_chw(1, 2, 2);
    double v;
    pjd_error err;

    assert_ok(pjd_metric("mae", &s, a, b, 2, &v, &err), &err);
    assert_at_most(fabs(v - 0.1), 1e-8);
    assert_ok(pjd_metric("rmse", &s, a, b, 2, &v, &err), &err);
    assert_at_most(fabs(v - 0.1), 1e-8);
    assert_ok(pjd_metric("psnr", &s, a, b, 2, &v, &err), &err);
    assert_at_most(fabs(v - 20), 1e-6);
    assert_ok(pjd_metric("psnr", &s, a, b, 1, &v, &err), &err); /* the range is the one given: 20 log10(1 / 0.2) */
    assert_at_most(fabs(v - 13.97940009), 1e-6);
}

/* Scaling the values and the range together changes nothing; exchanging the pictures neither. */
static void symmetric_and_scale_free(void **state)
{
    static const char *const names[] = {"psnr", "ssim", "mae", "rmse"};
    float a[3 * 12 * 13], b[3 * 12 * 13], a2[3 * 12 * 13], b2[3 * 12 * 13];
    pjd_shape s = pjd_shape_chw(3, 12, 13);
    pjd_error err;

    pair(3, 12, 13, a, b);
    for (size_t i = 0; i < 3 * 12 * 13; i++) {
        a2[i] = a[i] * 4;
        b2[i] = b[i] * 4;
    }
    for (size_t i = 0; i < 4; i++) {
        double v, turned, scaled;

        assert_ok(pjd_metric(names[i], &s, a, b, 2, &v, &err), &err);
        assert_ok(pjd_metric(names[i], &s, b, a, 2, &turned, &err), &err);
        assert_ok(pjd_metric(names[i], &s, a2, b2, 8, &scaled, &err), &err);
        assert_at_most(fabs(v - turned), 1e-12);
        assert_at_most(fabs(v - scaled), 1e-9);
    }
}

static void refuses_what_cannot_be_scored(void **state)
{
    float a[12 * 12] = {0}, b[12 * 12] = {0};
    pjd_shape s = pjd_shape_chw(1, 12, 12), narrow = pjd_shape_chw(1, 12, 10), flat = {.rank = 2, .dim = {12, 12}},
              none = pjd_shape_chw(1, 0, 12);
    double v = 0;
    pjd_error err;

    assert_int_equal(pjd_metric("lpips", &s, a, b, 2, &v, &err), PJD_ERR_ARG);
    assert_true(isnan(v));
    assert_int_equal(pjd_metric("ssim", &narrow, a, b, 2, &v, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_metric("psnr", &flat, a, b, 2, &v, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_metric("psnr", &none, a, b, 2, &v, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_metric("psnr", &s, a, b, 0, &v, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_metric("psnr", &s, a, b, NAN, &v, &err), PJD_ERR_ARG);
    b[143] = NAN;
    assert_int_equal(pjd_metric("psnr", &s, a, b, 2, &v, &err), PJD_ERR_NONFINITE);
    assert_int_equal(pjd_metric("ssim", &s, b, a, 2, &v, &err), PJD_ERR_NONFINITE);
    assert_true(isnan(v));
    b[143] = 0;
    pjd_mem_test_fail_at(1);
    assert_int_equal(pjd_metric("ssim", &s, a, b, 2, &v, &err), PJD_ERR_NOMEM);
    pjd_mem_test_fail_at(0);
}

static void every_class_is_described(void **state)
{
    size_t n = 0;

    for (; pjd_metric_classes[n]; n++) {
        assert_non_null(pjd_metric_classes[n]->entry.name);
        assert_non_null(pjd_metric_classes[n]->entry.summary);
        assert_non_null(pjd_metric_classes[n]->score);
    }
    assert_true(n >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_scikit_image),   cmocka_unit_test(si_sdr_ignores_the_scale),
        cmocka_unit_test(equal_pictures_are_perfect), cmocka_unit_test(closed_forms),
        cmocka_unit_test(symmetric_and_scale_free),   cmocka_unit_test(refuses_what_cannot_be_scored),
        cmocka_unit_test(every_class_is_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
