/* SPDX-License-Identifier: MIT */
/* What only tomography has: known sinograms, turned pictures, its norm, filtered back-projection, angles of one's own. */
#include "battery.h"
#include "operators/radon_loops.h"

static pjd_operator *make(const char *task, const pjd_array *arrays, size_t count, size_t c, size_t h, size_t w)
{
    pjd_shape x = pjd_shape_chw(c, h, w);
    pjd_operator *op = NULL;
    pjd_error err;

    assert_ok(pjd_operator_create(task, arrays, count, &x, NULL, &op, &err), &err);
    return op;
}

static double scale_of(size_t views, size_t longer)
{
    return 1.0 / sqrt((double)views * (double)longer);
}

/* Every function gives the bytes of the first, which are sums of rows; nothing but n elements is written. */
static void test_loops(void **state)
{
    enum { N = 5 * PJD_RADON_LANES, FAR = N + 3 };
    float *rows = floats(PJD_RADON_ROWS * (FAR + 1)), *sums[2] = {floats(2 * FAR), floats(2 * FAR)};
    pjd_radon_rows k;

    test_random(rows, PJD_RADON_ROWS * (FAR + 1), 1);
    test_random(k.part, PJD_RADON_ROWS, 2);
    for (size_t i = 0; i < PJD_RADON_ROWS; i++)
        k.p[i] = rows + i * (FAR + 1);
    for (size_t i = 0; pjd_radon_add_at(i); i++) {
        float *s = sums[i > 0];

        test_random(s, 2 * FAR, 3);
        pjd_radon_add_at(i)(&k, N, s, s + FAR);
        if (i > 0)
            assert_memory_equal(sums[0], s, 2 * FAR * sizeof *s);
    }
    test_random(sums[1], 2 * FAR, 3);
    for (size_t e = 0; e < FAR; e++) {
        double sum = sums[1][e], parts = sums[1][FAR + e];

        for (size_t i = 0; i < PJD_RADON_ROWS && e < N; i++) {
            sum += k.p[i][e];
            parts += (double)k.part[i] * k.p[i][e];
        }
        assert_at_most(fabs(sums[0][e] - sum), e < N ? 1e-5 : 0);
        assert_at_most(fabs(sums[0][FAR + e] - parts), e < N ? 1e-5 : 0);
    }
    free(rows);
    free(sums[0]);
    free(sums[1]);
}

/* A disc of radius r at (px, py), y upwards from the centre, each pixel the share of it that is covered (8 x 8 samples). */
static void draw_disc(float *x, size_t h, size_t w, double r, double px, double py)
{
    enum { FINE = 8 };

    for (size_t i = 0; i < h; i++)
        for (size_t j = 0; j < w; j++) {
            int inside = 0;

            for (int k = 0; k < FINE * FINE; k++) {
                double u = (double)j + (k % FINE + 0.5) / FINE - 0.5 - 0.5 * ((double)w - 1) - px;
                double v = 0.5 * ((double)h - 1) - (double)i - (k / FINE + 0.5) / FINE + 0.5 - py;

                inside += u * u + v * v <= r * r;
            }
            x[i * w + j] = (float)inside / (FINE * FINE);
        }
}

static void test_disc(void **state)
{
    enum { H = 96, W = 127, VIEWS = 37 };
    const double r = 27.3, px = 11.2, py = -9.4;
    pjd_operator *op = make("ct:angles=37,first=-30,last=170,axis=1.5", NULL, 0, 1, H, W);
    size_t detectors = op->y.dim[2];
    float *x = floats(op->nx), *y = floats(op->ny), *known = floats(op->ny), *work = floats(pjd_operator_work(op));

    draw_disc(x, H, W, r, px, py);
    pjd_operator_apply(op, x, y, work);
    for (size_t a = 0; a < VIEWS; a++)
        for (size_t k = 0; k < detectors; k++) {
            double t = M_PI / 180 * (-30 + 200.0 * (double)a / VIEWS);
            double s = (double)k - 0.5 * ((double)detectors - 1) - 1.5 - px * cos(t) - py * sin(t);

            known[a * detectors + k] = (float)(fabs(s) < r ? scale_of(VIEWS, W) * 2 * sqrt(r * r - s * s) : 0);
        }
    /* The steep edges of the chord are what a grid of pixels cannot hold: 0.9% here. */
    assert_at_most(test_relative_l2(y, known, op->ny), 0.012);
    free(x);
    free(y);
    free(known);
    free(work);
    pjd_operator_unref(op);
}

/* A Gaussian is smooth: its integrals are Gaussians, and interpolation is all that is wrong. */
static void test_gaussian(void **state)
{
    enum { N = 65, VIEWS = 24 };
    const double width = 4, px = -7.5, py = 5.25;
    pjd_operator *op = make("ct:angles=24", NULL, 0, 1, N, N);
    size_t detectors = op->y.dim[2];
    float *x = floats(op->nx), *y = floats(op->ny), *known = floats(op->ny), *work = floats(pjd_operator_work(op));

    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double u = (double)j - 32 - px, v = 32 - (double)i - py;

            x[i * N + j] = (float)exp(-0.5 * (u * u + v * v) / (width * width));
        }
    pjd_operator_apply(op, x, y, work);
    for (size_t a = 0; a < VIEWS; a++)
        for (size_t k = 0; k < detectors; k++) {
            double t = M_PI * (double)a / VIEWS,
                   s = (double)k - 0.5 * ((double)detectors - 1) - px * cos(t) - py * sin(t);

            known[a * detectors + k] = (float)(scale_of(VIEWS, N) * sqrt(2 * M_PI) * width *
                                               exp(-0.5 * s * s / (width * width)));
        }
    /* linear interpolation between pixels widens the Gaussian: by 1 / (12 width^2), half a percent, at most */
    assert_at_most(test_relative_l2(y, known, op->ny), 6e-3);
    free(x);
    free(y);
    free(known);
    free(work);
    pjd_operator_unref(op);
}

static void test_upright_view_is_the_column_sums(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 3}, {3, 2}, {17, 16}, {5, 30}};

    for (size_t n = 0; n < PJD_COUNTOF(sizes); n++) {
        size_t h = sizes[n][0], w = sizes[n][1], longer = h > w ? h : w;
        pjd_operator *op = make("ct:angles=1", NULL, 0, 2, h, w);
        size_t detectors = op->y.dim[2], first = (detectors - w) / 2;
        float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));

        assert_int_equal((detectors - w) % 2, 0);
        test_random(x, op->nx, 1);
        pjd_operator_apply(op, x, y, work);
        for (size_t c = 0; c < 2; c++)
            for (size_t k = 0; k < detectors; k++) {
                double sum = 0;

                for (size_t i = 0; i < h && k >= first && k < first + w; i++)
                    sum += x[(c * h + i) * w + k - first];
                assert_at_most(fabs(y[c * detectors + k] - scale_of(1, longer) * sum), 2e-6 * (1 + fabs(sum)));
            }
        free(x);
        free(y);
        free(work);
        pjd_operator_unref(op);
    }
}

/* Turning the picture by a right angle turns the views; half a turn mirrors them. */
static void test_rotation(void **state)
{
    enum { N = 19, VIEWS = 12 };
    pjd_operator *op = make("ct:angles=12,last=360", NULL, 0, 1, N, N);
    size_t detectors = op->y.dim[2];
    float *x = floats(op->nx), *turned = floats(op->nx), *y = floats(op->ny), *z = floats(op->ny),
          *work = floats(pjd_operator_work(op));

    test_random(x, op->nx, 2);
    for (size_t i = 0; i < N; i++) /* counterclockwise */
        for (size_t j = 0; j < N; j++)
            turned[(N - 1 - j) * N + i] = x[i * N + j];
    pjd_operator_apply(op, x, y, work);
    pjd_operator_apply(op, turned, z, work);
    for (size_t a = 0; a < VIEWS; a++)
        assert_at_most(test_max_abs(z + (a + 3) % VIEWS * detectors, y + a * detectors, detectors), 2e-6);
    for (size_t a = 0; a < VIEWS / 2; a++)
        for (size_t k = 0; k < detectors; k++)
            assert_at_most(fabs(y[a * detectors + k] - y[(a + VIEWS / 2) * detectors + detectors - 1 - k]), 2e-6);
    free(x);
    free(turned);
    free(y);
    free(z);
    free(work);
    pjd_operator_unref(op);
}

static void test_norm_is_about_one(void **state)
{
    static const char *const tasks[] = {"ct:angles=1", "ct:angles=7", "ct:angles=60", "ct:angles=60,last=120"};
    static const size_t sizes[][2] = {{64, 64}, {33, 70}};

    for (size_t k = 0; k < PJD_COUNTOF(tasks); k++)
        for (size_t n = 0; n < PJD_COUNTOF(sizes); n++) {
            pjd_operator *op = make(tasks[k], NULL, 0, 1, sizes[n][0], sizes[n][1]);
            float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));
            double size = 0;

            for (size_t i = 0; i < op->nx; i++)
                x[i] = 1;
            for (int it = 0; it < 40; it++) {
                pjd_operator_apply(op, x, y, work);
                pjd_operator_adjoint(op, y, x, work);
                size = norm(x, op->nx);
                for (size_t i = 0; i < op->nx; i++)
                    x[i] /= (float)size;
            }
            assert_at_most(sqrt(size), 1.02);
            assert_at_most(0.65, sqrt(size)); /* 33 of 70 rows of an upright view: sqrt(33 / 70) */
            free(x);
            free(y);
            free(work);
            pjd_operator_unref(op);
        }
}

/* noise_gain = rank / |A|_F^2, the norm from the columns of A themselves. */
static void test_gain(void **state)
{
    pjd_operator *op = make("ct:angles=9", NULL, 0, 1, 11, 8);
    float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));
    double sum = 0;

    memset(x, 0, op->nx * sizeof *x);
    for (size_t i = 0; i < op->nx; i++) {
        x[i] = 1;
        pjd_operator_apply(op, x, y, work);
        sum += norm(y, op->ny) * norm(y, op->ny);
        x[i] = 0;
    }
    /* four random probes of about a hundred numbers */
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1) * sum / (double)op->nx - 1), 0.15);
    free(x);
    free(y);
    free(work);
    pjd_operator_unref(op);
}

static void test_filtered_back_projection(void **state)
{
    enum { N = 80 };
    pjd_operator *op = make("ct:angles=180,axis=-2", NULL, 0, 2, N, N);
    float *x = floats(op->nx), *y = floats(op->ny), *back = floats(op->nx), *work = floats(pjd_operator_work(op));
    double worst = 0;

    draw_disc(x, N, N, 20, 6, 10);
    draw_disc(x + N * N, N, N, 12, -16, 3);
    pjd_operator_apply(op, x, y, work);
    pjd_operator_guess(op, y, back, work);
    /* the window blurs edges by two pixels; inside and outside the discs are flat */
    for (size_t i = 3; i + 3 < N; i++)
        for (size_t j = 3; j + 3 < N; j++) {
            bool flat = true;

            for (int k = 0; k < 49; k++)
                flat = flat && x[(i + (size_t)(k / 7) - 3) * N + j + (size_t)(k % 7) - 3] == x[i * N + j];
            if (flat && !(fabs(back[i * N + j] - x[i * N + j]) <= worst))
                worst = fabs(back[i * N + j] - x[i * N + j]);
        }
    assert_at_most(worst, 0.05);
    free(x);
    free(y);
    free(back);
    free(work);
    pjd_operator_unref(op);
}

static void test_own_angles(void **state)
{
    const float degrees[4] = {0, 45, 90, 135};
    pjd_array a = {"degrees", {.rank = 1, .dim = {4}}, degrees};
    pjd_operator *one = make("ct:angles=4", NULL, 0, 1, 12, 10), *two = make("ct", &a, 1, 1, 12, 10);
    float *x = floats(one->nx), *y = floats(one->ny), *z = floats(one->ny), *work = floats(pjd_operator_work(one));

    assert_true(pjd_shape_equal(pjd_operator_output(one), pjd_operator_output(two)));
    test_random(x, one->nx, 3);
    pjd_operator_apply(one, x, y, work);
    pjd_operator_apply(two, x, z, work);
    assert_memory_equal(y, z, one->ny * sizeof *y);
    free(x);
    free(y);
    free(z);
    free(work);
    pjd_operator_unref(one);
    pjd_operator_unref(two);
}

/* From a measurement alone: every square has detectors of its own. */
static void test_size_from_measurement(void **state)
{
    for (size_t n = 1; n < 70; n++) {
        pjd_operator *op = make("ct:angles=3", NULL, 0, 1, n, n), *back = NULL;
        pjd_error err;

        assert_ok(pjd_operator_create("ct", NULL, 0, NULL, pjd_operator_output(op), &back, &err), &err);
        assert_true(pjd_shape_equal(pjd_operator_input(op), pjd_operator_input(back)));
        pjd_operator_unref(op);
        pjd_operator_unref(back);
    }
}

/* Few views of a smooth picture: the projection meets them, projecting again changes little, and what no ray sees stays. */
static void test_projection(void **state)
{
    pjd_operator *op = make("ct:angles=6,last=120,iterations=100,tolerance=1e-3", NULL, 0, 1, 31, 26);
    float *truth = floats(op->nx), *x = floats(op->nx), *again = floats(op->nx), *y = floats(op->ny),
          *ax = floats(op->ny);
    float *work = floats(pjd_operator_work(op));

    draw_disc(truth, 31, 26, 8, 2, -3);
    test_random(x, op->nx, 4);
    for (double alpha = 1; alpha > 0.4; alpha -= 0.5) {
        pjd_operator_apply(op, truth, y, work);
        pjd_operator_project(op, x, y, alpha, work);
        pjd_operator_apply(op, x, ax, work);
        for (size_t i = 0; i < op->ny; i++)
            y[i] *= (float)sqrt(alpha);
        assert_at_most(test_relative_l2(ax, y, op->ny), 5e-3); /* 1e-3 of where it began */
    }
    memcpy(again, x, op->nx * sizeof *x);
    for (size_t i = 0; i < op->ny; i++)
        y[i] /= (float)sqrt(0.5);
    pjd_operator_project(op, again, y, 0.5, work);
    assert_at_most(test_relative_l2(again, x, op->nx), 5e-2); /* the same, over singular values of a tenth */
    free(truth);
    free(x);
    free(again);
    free(y);
    free(ax);
    free(work);
    pjd_operator_unref(op);
}

/*
 * The sinogram of discs with noise, from a picture of noise: the steps end where what they would still change is less than the
 * given error, and an error of 0 changes nothing. The ten steps of the default leave less than a tenth of the
 * way.
 */
static void test_good_enough(void **state)
{
    static const char *const views[] = {"angles=60", "angles=180", "angles=40,last=110,axis=2"};

    for (size_t k = 0; k < PJD_COUNTOF(views); k++) {
        enum { H = 96, W = 80 };
        char tasks[2][96];
        pjd_operator *op, *few;
        float *x0, *best, *x, *y, *z, *work;
        double unit, rms, start;

        snprintf(tasks[0], sizeof tasks[0], "ct:%s,iterations=300,tolerance=1e-6", views[k]);
        snprintf(tasks[1], sizeof tasks[1], "ct:%s,tolerance=1e-6", views[k]);
        op = make(tasks[0], NULL, 0, 2, H, W);
        few = make(tasks[1], NULL, 0, 2, H, W);
        x0 = floats(op->nx), best = floats(op->nx), x = floats(op->nx), y = floats(op->ny), z = floats(op->ny);
        work = floats(pjd_operator_work(op));
        draw_disc(x0, H, W, 20, 6, 10);
        draw_disc(x0 + H * W, H, W, 12, -16, 3);
        pjd_operator_apply(op, x0, y, work);
        test_random(z, op->ny, 6);
        unit = 1 / pjd_operator_noise_gain(op, 1.0);
        for (size_t i = 0; i < op->ny; i++)
            y[i] += 0.1f * (float)sqrt(unit) * z[i];
        test_random(x0, op->nx, 5);
        memcpy(best, x0, op->nx * sizeof *x0);
        pjd_operator_prox(op, best, y, 0.1 * unit, work);
        start = test_relative_l2(x0, best, op->nx) * norm(best, op->nx) / sqrt((double)op->nx);
        assert_non_null(op->v->prox_about);
        for (double error = 0.3; error > 1e-2; error /= 3) {
            memcpy(x, x0, op->nx * sizeof *x0);
            op->v->prox_about(op, x, y, 0.1 * unit, error, work);
            rms = test_relative_l2(x, best, op->nx) * norm(best, op->nx) / sqrt((double)op->nx);
            print_message("%s: error %.3f where %.3f was asked for\n", views[k], rms, error);
            assert_at_most(rms, error);
        }
        memcpy(x, x0, op->nx * sizeof *x0);
        op->v->prox_about(op, x, y, 0.1 * unit, 0.0, work);
        assert_memory_equal(x, best, op->nx * sizeof *x0);
        memcpy(x, x0, op->nx * sizeof *x0);
        pjd_operator_prox(few, x, y, 0.1 * unit, work);
        rms = test_relative_l2(x, best, op->nx) * norm(best, op->nx) / sqrt((double)op->nx);
        print_message("%s: error %.3f after ten steps, %.3f before\n", views[k], rms, start);
        assert_at_most(rms, 0.1 * start);
        free(x0);
        free(best);
        free(x);
        free(y);
        free(z);
        free(work);
        pjd_operator_unref(op);
        pjd_operator_unref(few);
    }
}

static void refused(const char *task, const pjd_array *a, const pjd_shape *x, const pjd_shape *y, const char *says)
{
    pjd_operator *op = (pjd_operator *)&says;
    pjd_error err = {0};

    assert_int_not_equal(pjd_operator_create(task, a, a ? 1 : 0, x, y, &op, &err), PJD_OK);
    assert_null(op);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void test_refused(void **state)
{
    const float bad[2] = {0, NAN};
    pjd_array a = {"degrees", {.rank = 1, .dim = {2}}, bad};
    pjd_shape x = pjd_shape_chw(1, 16, 16), y = pjd_shape_chw(1, 5, 23), flat = pjd_shape_make(2, x.dim + 1);

    refused("ct", &a, &x, NULL, "angle 2");
    refused("ct:angles=3", &a, &x, NULL, "has 2 angles");
    refused("ct:angles=6", NULL, NULL, &y, "1x6x23");
    refused("ct:detectors=24", NULL, NULL, &y, "1x5x24");
    refused("ct:width=17", NULL, &x, NULL, "width=17");
    refused("ct:axis=1000", NULL, &x, NULL, "no ray");
    refused("ct", NULL, &flat, NULL, "channels x height x width");
    refused("ct:first=nan", NULL, &x, NULL, "first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),       cmocka_unit_test(test_disc),
        cmocka_unit_test(test_gaussian),    cmocka_unit_test(test_upright_view_is_the_column_sums),
        cmocka_unit_test(test_rotation),    cmocka_unit_test(test_norm_is_about_one),
        cmocka_unit_test(test_gain),        cmocka_unit_test(test_filtered_back_projection),
        cmocka_unit_test(test_own_angles),  cmocka_unit_test(test_projection),
        cmocka_unit_test(test_good_enough), cmocka_unit_test(test_size_from_measurement),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
