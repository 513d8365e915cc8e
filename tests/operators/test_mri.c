/* SPDX-License-Identifier: MIT */
/* Coils in k-space, maps from the calibration region, and the way from raw data to a picture and back. */
#include "battery.h"
#include "operators/coils.h"
#include "projdiff/mri.h"
#include "projdiff/noise.h"

typedef struct scan {
    size_t c, h, w;
    float *maps, *mask, *picture, *kspace; /* [2 c, h, w], [h, w], [2, h, w], [2 c, h, w] */
} scan;

static float *zeros(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);

    assert_non_null(p);
    return p;
}

/* Smooth maps of coils around the picture, of length 1 over the coils. */
static void smooth_maps(scan *s)
{
    size_t n = s->h * s->w;

    for (size_t i = 0; i < n; i++) {
        double y = (double)(i / s->w) / (double)s->h - 0.5, x = (double)(i % s->w) / (double)s->w - 0.5, sum = 0;

        for (size_t c = 0; c < s->c; c++) {
            double a = 2 * M_PI * (double)c / (double)s->c, cy = 0.7 * sin(a), cx = 0.7 * cos(a);
            double m = exp(-1.5 * ((y - cy) * (y - cy) + (x - cx) * (x - cx))), p = 2 * (y * cx - x * cy) + a;

            s->maps[2 * c * n + i] = (float)(m * cos(p));
            s->maps[(2 * c + 1) * n + i] = (float)(m * sin(p));
            sum += m * m;
        }
        for (size_t c = 0; c < 2 * s->c; c++)
            s->maps[c * n + i] /= (float)sqrt(sum);
    }
}

/* An ellipse with stripes and a slowly varying phase. */
static void picture(scan *s)
{
    size_t n = s->h * s->w;

    for (size_t i = 0; i < n; i++) {
        double y = 2 * (double)(i / s->w) / (double)s->h - 1, x = 2 * (double)(i % s->w) / (double)s->w - 1;
        double m = x * x / 0.6 + y * y / 0.7 < 1 ? 30 * (1 + 0.4 * sin(9 * x) * cos(7 * y)) : 0, p = 0.8 * x + 0.5 * y;

        s->picture[i] = (float)(m * cos(p));
        s->picture[n + i] = (float)(m * sin(p));
    }
}

static void measure(scan *s)
{
    pjd_coils k;
    pjd_error err;
    float *work;

    assert_ok(pjd_coils_create(s->c, s->h, s->w, s->maps, s->mask, &k, &err), &err);
    work = floats(pjd_coils_work(&k));
    pjd_coils_apply(&k, s->picture, s->kspace, work);
    pjd_coils_free(&k);
    free(work);
}

static scan scan_make(size_t c, size_t h, size_t w, double missing)
{
    scan s = {c, h, w, zeros(2 * c * h * w), zeros(h * w), zeros(2 * h * w), zeros(2 * c * h * w)};
    float *r = floats(h * w);

    test_random(r, h * w, 3);
    for (size_t i = 0; i < h * w; i++) {
        bool centre = labs((long)(i / w) - (long)(h / 2)) < 10 && labs((long)(i % w) - (long)(w / 2)) < 10;

        s.mask[i] = centre || fabs(r[i]) >= missing;
    }
    free(r);
    smooth_maps(&s);
    picture(&s);
    measure(&s);
    return s;
}

static void scan_free(scan *s)
{
    free(s->maps);
    free(s->mask);
    free(s->picture);
    free(s->kspace);
}

static pjd_operator *scan_operator(const scan *s, const char *task)
{
    pjd_array arrays[2] = {{"mask", pjd_shape_chw(1, s->h, s->w), s->mask},
                           {"maps", pjd_shape_chw(2 * s->c, s->h, s->w), s->maps}};
    pjd_shape y = pjd_shape_chw(2 * s->c, s->h, s->w);
    pjd_operator *op = NULL;
    pjd_error err;

    assert_ok(pjd_operator_create(task, arrays, 2, NULL, &y, &op, &err), &err);
    return op;
}

/* ---- the operator ---- */

/* With several coils some directions are hardly seen: the measurement is met, but P need not give the same point twice. */
static void check_meets(const pjd_operator *op)
{
    float *x = floats(op->nx), *y = floats(op->ny), *ax = floats(op->ny), *work = floats(pjd_operator_work(op));

    test_random(x, op->nx, 1);
    pjd_operator_apply(op, x, y, work);
    test_random(x, op->nx, 2);
    pjd_operator_project(op, x, y, 1.0, work);
    pjd_operator_apply(op, x, ax, work);
    assert_at_most(test_max_abs(ax, y, op->ny), 1e-3 * norm(y, op->ny));
    free(x);
    free(y);
    free(ax);
    free(work);
}

static void test_properties(void **state)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 2}, {3, 3}, {17, 17}, {1, 17}, {17, 2}, {16, 10}, {34, 33}};

    for (size_t c = 1; c <= 5; c += 2)
        for (size_t i = 0; i < PJD_COUNTOF(sizes); i++) {
            scan s = scan_make(c, sizes[i][0], sizes[i][1], 0.8);
            pjd_operator *op = scan_operator(&s, "mri:iterations=60,tolerance=1e-6");

            print_message("%zu coils, %zux%zu\n", c, sizes[i][0], sizes[i][1]);
            check_result(op);
            check_adjoint(op);
            check_prox(op);
            if (c == 1)
                check_projection(op, 1e-4);
            else
                check_meets(op);
            check_guess(op);
            check_no_allocation(op);
            pjd_operator_unref(op);
            scan_free(&s);
        }
}

static void test_threads(void **state)
{
    scan s = scan_make(3, 91, 70, 0.8);
    pjd_operator *op = scan_operator(&s, "mri");

    check_threads(op);
    pjd_operator_unref(op);
    scan_free(&s);
}

/* An even picture is zero frequency, which lies at (h / 2, w / 2); a shift of the picture is a ramp of phases around it. */
static void test_centred_and_orthonormal(void **state)
{
    static const size_t sizes[][2] = {{4, 6}, {5, 7}, {8, 3}};

    for (size_t k = 0; k < PJD_COUNTOF(sizes); k++) {
        size_t h = sizes[k][0], w = sizes[k][1], n = h * w;
        pjd_coils s;
        float *x = zeros(2 * n), *y = floats(2 * n), *work;
        pjd_error err;

        assert_ok(pjd_coils_create(1, h, w, NULL, NULL, &s, &err), &err);
        work = floats(pjd_coils_work(&s));
        for (size_t i = 0; i < n; i++)
            x[i] = 1;
        pjd_coils_apply(&s, x, y, work);
        for (size_t i = 0; i < 2 * n; i++)
            assert_at_most(fabs(y[i] - (i == h / 2 * w + w / 2 ? sqrt((double)n) : 0)), 1e-5);
        /* One point at the middle: 1 / sqrt(n) everywhere, no phase. */
        memset(x, 0, 2 * n * sizeof *x);
        x[h / 2 * w + w / 2] = 1;
        pjd_coils_apply(&s, x, y, work);
        for (size_t i = 0; i < 2 * n; i++)
            assert_at_most(fabs(y[i] - (i < n ? 1 / sqrt((double)n) : 0)), 1e-6);
        /* One to the right of it: exp(-2 pi i (k - w / 2) / w). */
        x[h / 2 * w + w / 2] = 0;
        x[h / 2 * w + (w / 2 + 1) % w] = 1;
        pjd_coils_apply(&s, x, y, work);
        for (size_t i = 0; i < n; i++) {
            double a = -2 * M_PI * ((double)(i % w) - (double)(w / 2)) / (double)w;

            assert_at_most(fabs(y[i] - cos(a) / sqrt((double)n)), 1e-6);
            assert_at_most(fabs(y[n + i] - sin(a) / sqrt((double)n)), 1e-6);
        }
        pjd_coils_free(&s);
        free(x);
        free(y);
        free(work);
    }
}

static void test_normal(void **state)
{
    scan s = scan_make(4, 17, 36, 0.9);
    size_t n = s.h * s.w;
    pjd_coils k;
    float *x = floats(2 * n), *y = floats(8 * n), *a = floats(2 * n), *b = floats(2 * n), *work;
    pjd_error err;

    assert_ok(pjd_coils_create(s.c, s.h, s.w, s.maps, s.mask, &k, &err), &err);
    work = floats(pjd_coils_work(&k));
    test_random(x, 2 * n, 5);
    pjd_coils_apply(&k, x, y, work);
    pjd_coils_adjoint(&k, y, a, work);
    pjd_coils_normal(&k, x, b, work);
    assert_at_most(test_relative_l2(b, a, 2 * n), 1e-6);
    pjd_coils_free(&k);
    free(x);
    free(y);
    free(a);
    free(b);
    free(work);
    scan_free(&s);
}

/* Gaussian elimination with pivots; a [n, n] and b [n] are destroyed, b becomes the solution. */
static void eliminate(size_t n, double *a, double *b)
{
    for (size_t k = 0; k < n; k++) {
        size_t best = k;

        for (size_t i = k + 1; i < n; i++)
            best = fabs(a[i * n + k]) > fabs(a[best * n + k]) ? i : best;
        for (size_t j = 0; j < n; j++) {
            double t = a[k * n + j];

            a[k * n + j] = a[best * n + j];
            a[best * n + j] = t;
        }
        double t = b[k];

        b[k] = b[best];
        b[best] = t;
        for (size_t i = k + 1; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];

            for (size_t j = k; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
            b[i] -= f * b[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t j = k + 1; j < n; j++)
            b[k] -= a[k * n + j] * b[j];
        b[k] /= a[k * n + k];
    }
}

/* argmin |u - x|^2 lambda + |A u - y|^2 from the matrix itself. */
static void test_against_dense(void **state)
{
    const double lambda = 0.05;
    scan s = scan_make(3, 3, 5, 0.5);
    pjd_operator *op = scan_operator(&s, "mri:iterations=200,tolerance=1e-8");
    size_t nx = op->nx, ny = op->ny;
    float *x = floats(nx), *y = floats(ny), *e = zeros(nx), *work = floats(pjd_operator_work(op));
    float *column = floats(ny);
    double *a = malloc(nx * ny * sizeof *a), *m = calloc(nx * nx, sizeof *m), *b = calloc(nx, sizeof *b);

    for (size_t j = 0; j < nx; j++) {
        e[j] = 1;
        pjd_operator_apply(op, e, column, work);
        e[j] = 0;
        for (size_t i = 0; i < ny; i++)
            a[i * nx + j] = column[i];
    }
    test_random(x, nx, 1);
    test_random(y, ny, 2);
    for (size_t j = 0; j < nx; j++) {
        for (size_t i = 0; i < ny; i++)
            b[j] += a[i * nx + j] * y[i];
        b[j] += lambda * x[j];
        for (size_t k = 0; k < nx; k++) {
            for (size_t i = 0; i < ny; i++)
                m[j * nx + k] += a[i * nx + j] * a[i * nx + k];
            m[j * nx + k] += j == k ? lambda : 0;
        }
    }
    eliminate(nx, m, b);
    pjd_operator_prox(op, x, y, lambda, work);
    for (size_t j = 0; j < nx; j++)
        assert_at_most(fabs(x[j] - b[j]), 2e-5);
    pjd_operator_unref(op);
    free(x);
    free(y);
    free(e);
    free(work);
    free(column);
    free(a);
    free(m);
    free(b);
    scan_free(&s);
}

/* One coil: every singular value is 0 or 1, so noise in y is brought to the measured dimensions of x unchanged. */
static void test_noise_gain(void **state)
{
    enum { TRIALS = 40 };
    scan s = scan_make(1, 24, 30, 0.7);
    pjd_operator *op = scan_operator(&s, "mri:iterations=50,tolerance=1e-6");
    float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));
    double sum = 0, rank = (double)op->measured;

    for (int k = 0; k < TRIALS; k++) {
        test_random(y, op->ny, 100 + (uint64_t)k);
        memset(x, 0, op->nx * sizeof *x);
        pjd_operator_project(op, x, y, 1.0, work);
        sum += norm(x, op->nx) * norm(x, op->nx) / (rank * TRIALS);
    }
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1.0) - 1), 1e-6);
    /* A chi-square mean of rank * TRIALS draws spreads by sqrt(2 / n); five of that. */
    assert_at_most(fabs(sum - 1), 5 * sqrt(2 / (rank * TRIALS)));
    pjd_operator_unref(op);
    scan_free(&s);
    /* All measured, maps of length 1 over the coils: A* A = I. */
    s = scan_make(4, 16, 16, 0);
    op = scan_operator(&s, "mri");
    assert_at_most(fabs(pjd_operator_noise_gain(op, 0.5) - 0.5), 1e-5);
    pjd_operator_unref(op);
    scan_free(&s);
    free(x);
    free(y);
    free(work);
}

static void expect_refused(const char *task, const pjd_array *arrays, size_t count, pjd_shape x, pjd_shape y,
                           const char *words)
{
    pjd_operator *op = (pjd_operator *)&x;
    pjd_error err = {0};
    pjd_status st = pjd_operator_create(task, arrays, count, x.rank ? &x : NULL, y.rank ? &y : NULL, &op, &err);

    assert_null(op);
    assert_true(st == PJD_ERR_ARG || st == PJD_ERR_SHAPE);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" expected in \"%s\"", words, err.text);
}

static void test_refusals(void **state)
{
    float data[4 * 12] = {0}, one[12] = {1}, bad[12] = {NAN};
    pjd_shape none = {0}, plane = pjd_shape_chw(1, 3, 4);
    pjd_array zero = {"mask", plane, data}, mask = {"mask", plane, one}, nan = {"mask", plane, bad},
              odd = {"maps", pjd_shape_chw(3, 3, 4), one}, dark = {"maps", pjd_shape_chw(4, 3, 4), data},
              large = {"mask", pjd_shape_chw(1, 4, 4), one};

    expect_refused("mri", NULL, 0, pjd_shape_chw(3, 3, 4), none, "2 planes");
    expect_refused("mri", NULL, 0, none, pjd_shape_chw(3, 3, 4), "2 planes a coil");
    expect_refused("mri", NULL, 0, none, pjd_shape_chw(4, 3, 4), "maps");
    expect_refused("mri", &zero, 1, pjd_shape_chw(2, 3, 4), none, "nothing was measured");
    expect_refused("mri", &nan, 1, pjd_shape_chw(2, 3, 4), none, "not a finite");
    expect_refused("mri", &odd, 1, pjd_shape_chw(2, 3, 4), none, "maps");
    expect_refused("mri", &dark, 1, pjd_shape_chw(2, 3, 4), none, "zero everywhere");
    expect_refused("mri", &large, 1, pjd_shape_chw(2, 3, 4), none, "mask");
    expect_refused("mri", &mask, 1, pjd_shape_chw(2, 3, 4), pjd_shape_chw(4, 3, 4), "expected");
    expect_refused("mri:iterations=0", &mask, 1, pjd_shape_chw(2, 3, 4), none, "iterations");
}

/* ---- maps ---- */

/* |<S, T>|^2 / |T|^2 over the coils: 1 when S is T up to a phase. */
static double likeness(const scan *s, const float *maps, size_t at)
{
    size_t n = s->h * s->w;
    double re = 0, im = 0, size = 0;

    for (size_t c = 0; c < s->c; c++) {
        double a = maps[2 * c * n + at], b = maps[(2 * c + 1) * n + at], u = s->maps[2 * c * n + at],
               v = s->maps[(2 * c + 1) * n + at];

        re += a * u + b * v;
        im += a * v - b * u;
        size += u * u + v * v;
    }
    return (re * re + im * im) / size;
}

static void check_maps(double noise, double least)
{
    scan s = scan_make(6, 48, 40, 0.9);
    size_t n = s.h * s.w, seen = 0;
    pjd_shape shape = pjd_shape_chw(2 * s.c, s.h, s.w);
    float *maps = floats(2 * s.c * n), *z = floats(2 * s.c * n);
    double worst = 1, mean = 0;
    pjd_error err;

    test_random(z, 2 * s.c * n, 9);
    for (size_t i = 0; i < 2 * s.c * n; i++)
        s.kspace[i] += s.mask[i % n] != 0 ? (float)noise * z[i] : 0;
    assert_ok(pjd_mri_estimate_maps(&shape, s.kspace, NULL, maps, &err), &err);
    for (size_t i = 0; i < n; i++)
        if (hypot(s.picture[i], s.picture[n + i]) > 0) {
            double l = likeness(&s, maps, i);

            mean += l;
            seen++;
            worst = l < worst ? l : worst;
        }
    mean /= (double)seen;
    print_message("noise %g: likeness %.5f at least, %.5f on average\n", noise, worst, mean);
    assert_at_most(least - mean, 0);
    free(maps);
    free(z);
    scan_free(&s);
}

/* 19 x 19 or more calibration places of an object with sharp edges: maps are as smooth as the kernel allows. */
static void test_maps_are_found(void **state)
{
    check_maps(0, 0.998);
    check_maps(1, 0.99); /* signal in the picture: 30 */
}

static void test_no_calibration(void **state)
{
    scan s = scan_make(4, 16, 16, 0);
    pjd_shape shape = pjd_shape_chw(8, 16, 16);
    pjd_mri *m = (pjd_mri *)&s;
    pjd_error err = {0};

    s.mask[8 * 16 + 9] = 0;
    assert_int_equal(pjd_mri_prepare(&shape, s.kspace, &(pjd_mri_options){.mask = s.mask}, &m, &err), PJD_ERR_ARG);
    assert_null(m);
    assert_non_null(strstr(err.text, "fully sampled"));
    /* With maps the same data will do. */
    assert_ok(pjd_mri_prepare(&shape, s.kspace, &(pjd_mri_options){.mask = s.mask, .maps = s.maps}, &m, &err), &err);
    pjd_mri_free(m);
    memset(s.kspace, 0, 8 * 256 * sizeof(float));
    assert_int_equal(pjd_mri_prepare(&shape, s.kspace, NULL, &m, &err), PJD_ERR_ARG);
    assert_null(m);
    s.kspace[7] = NAN;
    assert_int_equal(pjd_mri_prepare(&shape, s.kspace, NULL, &m, &err), PJD_ERR_NONFINITE);
    scan_free(&s);
}

/* ---- there and back ---- */

/* With the true maps, the true picture in the prior's units explains the prepared measurement, and finish gives it back. */
static void test_there_and_back(void **state)
{
    scan s = scan_make(4, 40, 44, 0.8);
    size_t n = s.h * s.w;
    pjd_shape shape = pjd_shape_chw(8, s.h, s.w);
    pjd_mri *m;
    const pjd_mri_info *info;
    pjd_array arrays[2];
    pjd_operator *op;
    float *x = floats(2 * n), *y = floats(8 * n), *back = floats(2 * n), *work;
    double high = 0, imaginary = 0;
    pjd_error err;

    assert_ok(pjd_mri_prepare(&shape, s.kspace, &(pjd_mri_options){.maps = s.maps}, &m, &err), &err);
    info = pjd_mri_get_info(m);
    assert_int_equal(info->coils, 4);
    assert_int_equal(pjd_mri_arrays(m, arrays), 2);
    assert_ok(pjd_operator_create("mri", arrays, 2, NULL, &shape, &op, &err), &err);
    /* finish is affine: x from three calls of it. Its inverse here: turn by -phase, 2 / scale, minus black. */
    memset(x, 0, 2 * n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = 1; /* finish(1, 0) = scale exp(i phase) */
    pjd_mri_finish(m, x, back);
    for (size_t i = 0; i < n; i++) {
        double c = back[i] / info->scale, d = back[n + i] / info->scale;

        x[i] = (float)(2 * (s.picture[i] * c + s.picture[n + i] * d) / info->scale - 1);
        x[n + i] = (float)(2 * (s.picture[n + i] * c - s.picture[i] * d) / info->scale);
        high = fmax(high, x[i]);
        imaginary += x[n + i] * x[n + i] / (double)n;
    }
    work = floats(pjd_operator_work(op));
    pjd_operator_apply(op, x, y, work);
    assert_at_most(test_relative_l2(y, pjd_mri_measurement(m), 8 * n), 1e-5);
    pjd_mri_finish(m, x, back);
    assert_at_most(test_relative_l2(back, s.picture, 2 * n), 1e-5);
    /* A picture for a prior: white is about white, and little imaginary part is left of 0.3 on average of the magnitude. */
    assert_true(high > 0.6 && high < 1.4);
    assert_at_most(sqrt(imaginary), 0.1);
    pjd_operator_unref(op);
    pjd_mri_free(m);
    free(x);
    free(y);
    free(back);
    free(work);
    scan_free(&s);
}

/* White noise alone in the outermost samples: sigma is found within a tenth. */
static void test_noise_is_estimated(void **state)
{
    scan s = scan_make(4, 64, 64, 0.3);
    size_t n = s.h * s.w;
    pjd_shape shape = pjd_shape_chw(8, s.h, s.w);
    float *z = floats(8 * n);
    pjd_mri *m;
    pjd_error err;

    test_random(z, 8 * n, 4);
    for (size_t i = 0; i < 8 * n; i++)
        s.kspace[i] += s.mask[i % n] != 0 ? 2 * z[i] : 0;
    assert_ok(pjd_mri_prepare(&shape, s.kspace, NULL, &m, &err), &err);
    assert_at_most(fabs(pjd_mri_get_info(m)->sigma - 2), 0.2);
    pjd_mri_free(m);
    free(z);
    scan_free(&s);
}

static void test_allocation_failures(void **state)
{
    scan s = scan_make(2, 12, 12, 0);
    pjd_shape shape = pjd_shape_chw(4, 12, 12);

    for (uint64_t at = 1;; at++) {
        pjd_mri *m = (pjd_mri *)&s;
        pjd_error err = {0};
        pjd_status st;

        pjd_mem_test_fail_at(at);
        st = pjd_mri_prepare(&shape, s.kspace, NULL, &m, &err);
        pjd_mem_test_fail_at(0);
        if (st == PJD_OK) {
            pjd_mri_free(m);
            break;
        }
        assert_null(m);
        assert_int_equal(st, PJD_ERR_NOMEM);
        assert_true(at < 1000);
    }
    scan_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_centred_and_orthonormal),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_against_dense),
        cmocka_unit_test(test_noise_gain),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_maps_are_found),
        cmocka_unit_test(test_no_calibration),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_noise_is_estimated),
        cmocka_unit_test(test_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
