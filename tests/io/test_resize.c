/* SPDX-License-Identifier: MIT */
/* Resizing: Pillow's numbers, and what must hold for any size. */
#include "io/internal.h"
#include "support/support.h"

static const char *const kernels[] = {"nearest", "bilinear", "bicubic", "lanczos3"};
static const size_t sizes[] = {1, 2, 3, 17};

/*
 * Pillow 9.4:
 *   a = ((np.arange(35) * 2654435761 % 2**32) / 2**32 * 2 - 1).astype("f4").reshape(5, 7)
 *   f = np.asarray(Image.fromarray(a).resize((w, h), kernel)).astype("f8").ravel()
 *   print(f[0], f[f.size // 2], f[-1], (f * np.cos(np.arange(f.size))).sum())
 */
static const struct {
    const char *kernel;
    size_t h, w;
    double first, middle, last, sum;
} recorded[] = {
    {"bilinear", 3, 2, -0.021469, -0.098986, -0.191422, -0.209189},
    {"bicubic", 3, 2, -0.040247, -0.120516, -0.200656, -0.220736},
    {"lanczos3", 3, 2, -0.040922, -0.129414, -0.208671, -0.222308},
    {"nearest", 3, 2, 0.236068, 0.485292, -0.209757, -1.108692},
    {"bilinear", 4, 9, -0.836881, 0.685563, -0.636808, -1.269008},
    {"bicubic", 4, 9, -0.974245, 0.830824, -0.699028, -1.516806},
    {"lanczos3", 4, 9, -1.024403, 0.911524, -0.670456, -1.676397},
    {"nearest", 4, 9, -1.000000, 0.957427, -0.973689, -3.465593},
    {"bilinear", 10, 14, -1.000000, 0.468071, -0.973689, -2.812042},
    {"bicubic", 10, 14, -1.166636, 0.598895, -1.175565, -3.802991},
    {"lanczos3", 10, 14, -1.238115, 0.763054, -1.292313, -4.721375},
    {"nearest", 10, 14, -1.000000, 0.304952, -0.973689, -3.790588},
    {"bilinear", 1, 1, -0.020984, -0.020984, -0.020984, -0.020984},
    {"bicubic", 1, 1, -0.023803, -0.023803, -0.023803, -0.023803},
    {"lanczos3", 1, 1, -0.026195, -0.026195, -0.026195, -0.026195},
    {"nearest", 1, 1, 0.013156, 0.013156, 0.013156, 0.013156},
};

static void agrees_with_pillow(void **state)
{
    const pjd_shape s = pjd_shape_chw(1, 5, 7);
    float a[35], out[140];
    pjd_error err;

    for (uint64_t i = 0; i < 35; i++)
        a[i] = (float)((double)(uint32_t)(i * 2654435761u) / 4294967296.0 * 2 - 1);
    for (size_t k = 0; k < sizeof recorded / sizeof recorded[0]; k++) {
        size_t n = recorded[k].h * recorded[k].w;
        double sum = 0;

        assert_ok(pjd_resize(recorded[k].kernel, &s, a, recorded[k].h, recorded[k].w, out, &err), &err);
        for (size_t i = 0; i < n; i++)
            sum += out[i] * cos((double)i);
        assert_at_most(fabs(out[0] - recorded[k].first), 2e-6); /* six decimals are recorded */
        assert_at_most(fabs(out[n / 2] - recorded[k].middle), 2e-6);
        assert_at_most(fabs(out[n - 1] - recorded[k].last), 2e-6);
        assert_at_most(fabs(sum - recorded[k].sum), 2e-5);
    }
}

static void a_constant_stays_constant(void **state)
{
    float a[2 * 17 * 17], out[2 * 17 * 17];
    pjd_error err;

    for (size_t i = 0; i < 2 * 17 * 17; i++)
        a[i] = 0.3f;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 256; i++) {
            size_t h = sizes[i & 3], w = sizes[i >> 2 & 3], h2 = sizes[i >> 4 & 3], w2 = sizes[i >> 6];
            pjd_shape s = pjd_shape_chw(2, h, w);

            assert_ok(pjd_resize(kernels[k], &s, a, h2, w2, out, &err), &err);
            for (size_t n = 0; n < 2 * h2 * w2; n++)
                assert_at_most(fabs(out[n] - 0.3), 1e-6); /* the weights add up to 1 */
        }
}

static void same_size_is_the_same(void **state)
{
    float a[3 * 17 * 3], out[3 * 17 * 3];
    const pjd_shape s = pjd_shape_chw(3, 17, 3);
    pjd_error err;

    test_random(a, 3 * 17 * 3, 1);
    for (size_t k = 0; k < 4; k++) {
        assert_ok(pjd_resize(kernels[k], &s, a, 17, 3, out, &err), &err);
        assert_memory_equal(a, out, sizeof a);
    }
}

static void turning_and_resizing_commute(void **state)
{
    float a[3 * 17], b[17 * 3], out[5 * 7], turned[7 * 5];
    const pjd_shape s = pjd_shape_chw(1, 3, 17), t = pjd_shape_chw(1, 17, 3);
    pjd_error err;

    test_random(a, 3 * 17, 2);
    for (size_t y = 0; y < 3; y++)
        for (size_t x = 0; x < 17; x++)
            b[x * 3 + y] = a[y * 17 + x];
    for (size_t k = 0; k < 4; k++) {
        assert_ok(pjd_resize(kernels[k], &s, a, 5, 7, out, &err), &err);
        assert_ok(pjd_resize(kernels[k], &t, b, 7, 5, turned, &err), &err);
        for (size_t y = 0; y < 5; y++)
            for (size_t x = 0; x < 7; x++)
                assert_at_most(fabs(out[y * 7 + x] - turned[x * 5 + y]), 2e-6);
    }
}

static void refuses_what_it_cannot_do(void **state)
{
    float a[4] = {0}, out[4];
    const pjd_shape s = pjd_shape_chw(1, 2, 2), none = pjd_shape_chw(1, 0, 2), flat = {.rank = 2, .dim = {2, 2}};
    pjd_error err;

    assert_int_equal(pjd_resize("spline", &s, a, 1, 1, out, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_resize("nearest", &none, a, 1, 1, out, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_resize("nearest", &flat, a, 1, 1, out, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_resize("nearest", &s, a, 0, 1, out, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_resize("nearest", &s, a, 1, SIZE_MAX, out, &err), PJD_ERR_SHAPE);
    for (uint64_t k = 1; k <= 5; k++) {
        pjd_mem_test_fail_at(k);
        assert_int_equal(pjd_resize("bicubic", &s, a, 1, 1, out, &err), PJD_ERR_NOMEM);
    }
    pjd_mem_test_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_pillow),        cmocka_unit_test(a_constant_stays_constant),
        cmocka_unit_test(same_size_is_the_same),     cmocka_unit_test(turning_and_resizing_commute),
        cmocka_unit_test(refuses_what_it_cannot_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
