/* SPDX-License-Identifier: MIT */
/* Transforms against their definitions in float64, for smooth sizes, primes and everything between. */
#include "operators/fft_loops.h"
#include "battery.h"

/* Relative to the largest coefficient; float32 with a few roundings a stage, twice that for Bluestein. */
static const double tolerance = 2e-6;

/* The transform of size n against the sum, and back; in place and moved. */
static void one_size(size_t n)
{
    size_t count = n * PJD_FFT_ELEMENT;
    float *z = floats(count), *x = floats(count), *to = floats(count), *work;
    double worst = 0.0, largest = 0.0;
    pjd_fft *f = NULL;
    pjd_error err = {0};
    uint64_t before;

    assert_ok(pjd_fft_create(n, &f, &err), &err);
    work = floats(pjd_fft_work(f));
    test_random(x, count, n);
    memcpy(z, x, count * sizeof *x);
    before = pjd_mem_test_count();
    pjd_fft_forward(f, z, work);
    for (size_t lane = 0; lane < PJD_FFT_LANES; lane += 5)
        for (size_t k = 0; k < n; k++) {
            double re = 0.0, im = 0.0;

            for (size_t j = 0; j < n; j++) {
                double a = -2.0 * M_PI * (double)(j * k % n) / (double)n;
                double xr = x[j * PJD_FFT_ELEMENT + lane], xi = x[j * PJD_FFT_ELEMENT + PJD_FFT_LANES + lane];

                re += xr * cos(a) - xi * sin(a);
                im += xr * sin(a) + xi * cos(a);
            }
            worst = fmax(worst,
                         hypot(re - z[k * PJD_FFT_ELEMENT + lane], im - z[k * PJD_FFT_ELEMENT + PJD_FFT_LANES + lane]));
            largest = fmax(largest, hypot(re, im));
        }
    assert_at_most(worst, tolerance * largest);
    memcpy(to, z, count * sizeof *x);
    pjd_fft_backward(f, z, work);
    pjd_fft_move(f, true, to, x, work);
    assert_memory_equal(x, z, count * sizeof *x);
    assert_true(pjd_mem_test_count() == before);
    test_random(x, count, n);
    for (size_t i = 0; i < count; i++)
        z[i] /= (float)n;
    assert_at_most(test_relative_l2(z, x, count), tolerance);
    free(z);
    free(x);
    free(to);
    free(work);
    pjd_fft_free(f);
}

/* Every size up to 70; odd radices with others and with each other; primes and products too large for radices. */
static void test_one_dimension(void **state)
{
    static const size_t sizes[] = {8 * 17, 16 * 23, 4 * 61, 8 * 61, 7 * 7 * 5, 3 * 13 * 16, 17 * 19, 17 * 61, 4 * 67};

    for (size_t n = 1; n <= 70; n++)
        one_size(n);
    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++)
        one_size(sizes[i]);
}

static void test_large_sizes(void **state)
{
    static const size_t sizes[] = {509, 1024, 1001, 2187, 4099};

    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++) {
        size_t n = sizes[i], count = n * PJD_FFT_ELEMENT;
        float *z = floats(count), *x = floats(count), *work;
        pjd_fft *f = NULL;
        pjd_error err = {0};

        assert_ok(pjd_fft_create(n, &f, &err), &err);
        work = floats(pjd_fft_work(f));
        test_random(x, count, n);
        memcpy(z, x, count * sizeof *x);
        pjd_fft_forward(f, z, work);
        /* Parseval, and back. */
        assert_at_most(fabs(norm(z, count) / sqrt((double)n) / norm(x, count) - 1.0), 1e-6);
        pjd_fft_backward(f, z, work);
        for (size_t k = 0; k < count; k++)
            z[k] /= (float)n;
        assert_at_most(test_relative_l2(z, x, count), tolerance);
        free(z);
        free(x);
        free(work);
        pjd_fft_free(f);
    }
}

static void two_dimensions(size_t h, size_t w)
{
    float *x = floats(h * w), *back = floats(h * w), *s, *work;
    pjd_fft2 f;
    pjd_error err = {0};
    double worst = 0.0, largest = 0.0;
    pjd_window all = {0, 0, h, w, w, false};

    assert_ok(pjd_fft2_create(h, w, &f, &err), &err);
    s = floats(pjd_fft2_spectrum(&f));
    work = floats(pjd_fft2_work(&f));
    test_random(x, h * w, h + 100 * w);
    pjd_fft2_forward(&f, x, w, h, w, s, work);
    for (size_t a = 0; a < h; a += h / 3 + 1)
        for (size_t b = 0; b < f.columns; b++) {
            double re = 0.0, im = 0.0;

            for (size_t i = 0; i < h; i++)
                for (size_t j = 0; j < w; j++) {
                    double t = -2.0 * M_PI * ((double)(a * i % h) / (double)h + (double)(b * j % w) / (double)w);

                    re += x[i * w + j] * cos(t);
                    im += x[i * w + j] * sin(t);
                }
            worst = fmax(worst, hypot(re - s[pjd_fft2_at(&f, a, b)], im - s[pjd_fft2_at(&f, a, b) + PJD_FFT_LANES]));
            largest = fmax(largest, hypot(re, im));
        }
    assert_at_most(worst, tolerance * largest);
    pjd_fft2_backward(&f, s, 1.0, back, &all, work);
    assert_at_most(test_relative_l2(back, x, h * w), tolerance);
    free(x);
    free(back);
    free(s);
    free(work);
    pjd_fft2_free(&f);
}

static void test_two_dimensions(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 2}, {3, 3}, {1, 17}, {17, 1}, {17, 17}, {33, 34}, {40, 31}, {37, 64}};

    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++)
        two_dimensions(sizes[i][0], sizes[i][1]);
}

static void unchanged(const void *ctx, size_t first, size_t blocks, float *s)
{
    (void)ctx;
    (void)first;
    (void)blocks;
    (void)s;
}

/* The plane's last columns and last rows alone, back to their places and to others. */
static void test_bands(void **state)
{
    enum { H = 45, W = 38, TOP = 36, LEFT = 33 };
    float x[H * W] = {0}, side[TOP * (W - LEFT)], foot[(H - TOP) * W], all[H * W], corner[TOP * (W - LEFT)], *s, *work;
    pjd_band in[2] = {{side, {0, LEFT, TOP, W - LEFT, W - LEFT, false}}, {foot, {TOP, 0, H - TOP, W, W, false}}};
    pjd_band whole = {all, {0, 0, H, W, W, false}}, out[2] = {in[1], {corner, in[0].at}};
    pjd_fft2 f;
    pjd_error err = {0};

    assert_ok(pjd_fft2_create(H, W, &f, &err), &err);
    s = floats(pjd_fft2_spectrum(&f));
    work = floats(pjd_fft2_work(&f));
    test_random(side, PJD_COUNTOF(side), 1);
    test_random(foot, PJD_COUNTOF(foot), 2);
    for (size_t i = 0; i < TOP; i++)
        memcpy(x + i * W + LEFT, side + i * (W - LEFT), (W - LEFT) * sizeof *x);
    memcpy(x + TOP * W, foot, sizeof foot);
    pjd_fft2_bands(&f, in, 2, unchanged, NULL, 2.0, &whole, 1, s, work);
    for (size_t i = 0; i < H * W; i++)
        assert_at_most(fabs(all[i] - 2.0 * x[i]), 1e-5);
    whole.x = x;
    pjd_fft2_bands(&f, &whole, 1, unchanged, NULL, 1.0, out, 2, s, work);
    assert_at_most(test_relative_l2(corner, side, PJD_COUNTOF(side)), tolerance);
    assert_at_most(test_relative_l2(foot, x + TOP * W, PJD_COUNTOF(foot)), tolerance);
    free(s);
    free(work);
    pjd_fft2_free(&f);
}

/* A smaller picture in a larger grid, and a window of the result, written or added. */
static void test_windows(void **state)
{
    enum { H = 45, W = 38, ROWS = 35, COLS = 33 };
    float x[ROWS * COLS], full[H * W] = {0}, a[10 * 9], *s, *t, *work;
    pjd_window window = {20, 15, 10, 9, 9, false};
    pjd_fft2 f;
    pjd_error err = {0};

    test_random(x, ROWS * COLS, 4);
    for (size_t i = 0; i < ROWS; i++)
        memcpy(full + i * W, x + i * COLS, COLS * sizeof *x);
    assert_ok(pjd_fft2_create(H, W, &f, &err), &err);
    s = floats(pjd_fft2_spectrum(&f));
    t = floats(pjd_fft2_spectrum(&f));
    work = floats(pjd_fft2_work(&f));
    pjd_fft2_forward(&f, x, COLS, ROWS, COLS, s, work);
    pjd_fft2_forward(&f, full, W, H, W, t, work);
    assert_at_most(test_relative_l2(s, t, pjd_fft2_spectrum(&f)), tolerance);
    pjd_fft2_backward(&f, s, 2.0, a, &window, work);
    window.add = true;
    pjd_fft2_backward(&f, t, 1.0, a, &window, work);
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 9; j++)
            assert_at_most(fabs(a[i * 9 + j] - 3.0 * full[(20 + i) * W + 15 + j]), 1e-5);
    free(s);
    free(t);
    free(work);
    pjd_fft2_free(&f);
}

static void test_cosine(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 3}, {17, 1}, {1, 16}, {17, 40}, {35, 34}};

    for (size_t i = 0; i < PJD_COUNTOF(sizes); i++) {
        size_t h = sizes[i][0], w = sizes[i][1];
        float *x = floats(h * w), *c = floats(h * w), *work;
        pjd_dct2 d;
        pjd_error err = {0};

        assert_ok(pjd_dct2_create(h, w, &d, &err), &err);
        work = floats(pjd_dct2_work(&d));
        test_random(x, h * w, 9);
        memcpy(c, x, h * w * sizeof *x);
        pjd_dct2_forward(&d, c, work);
        for (size_t a = 0; a < h; a += 2)
            for (size_t b = 0; b < w; b += 3) {
                double sum = 0.0, scale = sqrt((a ? 2.0 : 1.0) / (double)h) * sqrt((b ? 2.0 : 1.0) / (double)w);

                for (size_t p = 0; p < h; p++)
                    for (size_t q = 0; q < w; q++)
                        sum += x[p * w + q] * cos(M_PI * (double)a * ((double)p + 0.5) / (double)h) *
                               cos(M_PI * (double)b * ((double)q + 0.5) / (double)w);
                assert_at_most(fabs(scale * sum - c[a * w + b]), 5e-6);
            }
        pjd_dct2_backward(&d, c, work);
        assert_at_most(test_relative_l2(c, x, h * w), tolerance);
        free(x);
        free(c);
        free(work);
        pjd_dct2_free(&d);
    }
}

/* Every table gives the bytes of the first, over whole and partial blocks; the twiddles may be any numbers. */
static void test_tables(void **state)
{
    enum { N = 2 * 3 * 4 * 5 * 7, E = PJD_FFT_ELEMENT, ROWS = 29, GROUPS = N / 2 / PJD_FFT_LANES + 1, COUNT = 7 };
    pjd_fft_radices r = {N, 5, {4, 2, 3, 5, 7}, floats(2 * N), floats(2 * 3 * 3)};
    float *z = floats(N * E), *t = floats(2 * N), *out[2];
    size_t s = GROUPS * ROWS * E;

    test_random(r.twiddle, 2 * N, 1);
    test_random(r.root, 2 * 3 * 3, 5);
    test_random(z, N * E, 2);
    test_random(t, 2 * N, 3);
    for (size_t i = 0; pjd_fft_loops_at(i); i++) {
        const pjd_fft_loops *l = pjd_fft_loops_at(i);
        float *o = calloc(COUNT * N * E + s, sizeof *o), *x = o + 6 * N * E;

        out[i > 0] = o;
        l->stages(&r, true, z, o, o + N * E);
        l->multiply(z, t, N, true, o + N * E);
        l->cosine(z, t, N, o + 2 * N * E);
        l->uncosine(z, t, N, o + 3 * N * E);
        l->store(z, ROWS, N - 5, false, x, N);
        l->store(z + E, ROWS - 13, 20, true, x, N);
        l->load(x, N, ROWS, N - 5, o + 4 * N * E);
        l->separate(z, N, ROWS, o + COUNT * N * E, ROWS * E);
        l->combine(o + COUNT * N * E, N, ROWS, ROWS * E, 0.3f, o + 5 * N * E);
        if (i > 0) {
            assert_memory_equal(out[0], out[1], (COUNT * N * E + s) * sizeof *o);
            free(o);
        }
    }
    free(out[0]);
    free(z);
    free(t);
    free(r.twiddle);
    free(r.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dimension), cmocka_unit_test(test_large_sizes), cmocka_unit_test(test_two_dimensions),
        cmocka_unit_test(test_bands),         cmocka_unit_test(test_windows),     cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
