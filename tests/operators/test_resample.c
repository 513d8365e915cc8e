/* SPDX-License-Identifier: MIT */
/* superres with kernels: against Pillow, against dense matrices, against the definition. */
#include "battery.h"
#include "bicubic_fixture.h"

static pjd_operator *must(const char *task, const pjd_array *a, const pjd_shape *x, const pjd_shape *y)
{
    pjd_operator *op = NULL;
    pjd_error err = {0};

    if (pjd_operator_create(task, a, a ? 1 : 0, x, y, &op, &err) != PJD_OK)
        fail_msg("%s: %s", task, err.text);
    return op;
}

static void against_pillow(const char *task, size_t h, size_t w, const float *want, size_t count)
{
    pjd_shape s = pjd_shape_chw(1, h, w);
    pjd_operator *op = must(task, NULL, &s, NULL);
    float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));

    assert_int_equal(op->ny, count);
    for (size_t i = 0; i < h; i++)
        for (size_t j = 0; j < w; j++)
            x[i * w + j] = (float)(sin(0.7 * (double)i) * cos(0.3 * (double)j) +
                                   (double)((7 * i + 13 * j) % 11) / 11.0);
    pjd_operator_apply(op, x, y, work);
    /* Both sum a dozen float products. */
    assert_at_most(test_max_abs(y, want, count), 1e-6);
    free(x);
    free(y);
    free(work);
    pjd_operator_unref(op);
}

static void test_pillow(void **state)
{
    against_pillow("superres:factor=3,kernel=bicubic", 20, 31, bicubic_whole, PJD_COUNTOF(bicubic_whole));
    against_pillow("superres:factor=1.7,kernel=bicubic", 17, 9, bicubic_broken, PJD_COUNTOF(bicubic_broken));
}

/* A [ny, nx], row by row by the adjoint. */
static double *dense(const pjd_operator *op)
{
    double *a = malloc(op->nx * op->ny * sizeof *a);
    float *y = floats(op->ny), *x = floats(op->nx), *work = floats(pjd_operator_work(op));

    assert_non_null(a);
    memset(y, 0, op->ny * sizeof *y);
    for (size_t i = 0; i < op->ny; i++) {
        y[i] = 1.0f;
        pjd_operator_adjoint(op, y, x, work);
        y[i] = 0.0f;
        for (size_t j = 0; j < op->nx; j++)
            a[i * op->nx + j] = x[j];
    }
    free(y);
    free(x);
    free(work);
    return a;
}

/* r <- (A A' + lambda)^-1 r by Gauss-Jordan elimination; positive definite, so no pivoting. */
static void dense_solve(size_t m, size_t n, const double *a, double lambda, double *r)
{
    double *g = calloc(m * m, sizeof *g);

    assert_non_null(g);
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < m; k++) {
            for (size_t j = 0; j < n; j++)
                g[i * m + k] += a[i * n + j] * a[k * n + j];
            g[i * m + k] += i == k ? lambda : 0.0;
        }
    for (size_t p = 0; p < m; p++)
        for (size_t i = 0; i < m; i++) {
            double f = g[i * m + p] / g[p * m + p];

            if (i == p)
                continue;
            for (size_t k = p; k < m; k++)
                g[i * m + k] -= f * g[p * m + k];
            r[i] -= f * r[p];
        }
    for (size_t p = 0; p < m; p++)
        r[p] /= g[p * m + p];
    free(g);
}

static void closed_form(const char *task, const pjd_array *kernel, double lambda)
{
    pjd_shape s = pjd_shape_chw(1, 11, 14);
    pjd_operator *op = must(task, kernel, &s, NULL);
    float *y = floats(op->ny), *work = floats(pjd_operator_work(op));
    double *a = dense(op), *want = malloc(op->ny * sizeof *want), squares = 0.0, expected = 0.0;

    assert_non_null(op->v->gram_solve);
    test_random(y, op->ny, 3);
    for (size_t i = 0; i < op->ny; i++)
        want[i] = y[i];
    dense_solve(op->ny, op->nx, a, lambda, want);
    op->v->gram_solve(op, y, lambda, work);
    for (size_t i = 0; i < op->ny; i++) {
        squares += want[i] * want[i];
        expected += (y[i] - want[i]) * (y[i] - want[i]);
    }
    /* float32 products, amplified by the condition of A A', a few hundred at most. */
    assert_at_most(sqrt(expected / squares), 1e-4);
    /* Singular values: their squares add up to |A|^2. */
    squares = expected = 0.0;
    for (size_t i = 0; i < op->nx * op->ny; i++)
        expected += a[i] * a[i];
    for (size_t i = 0; i < op->spectral_count; i++)
        squares += (double)op->singular[i] * op->singular[i];
    assert_at_most(fabs(squares / expected - 1.0), 1e-5);
    free(y);
    free(work);
    free(a);
    free(want);
    pjd_operator_unref(op);
}

static void test_closed_form(void **state)
{
    static const char *const tasks[] = {"superres:factor=2.5", "superres:factor=3,kernel=bicubic",
                                        "superres:factor=1.7,kernel=bicubic", "superres:factor=2,kernel=gaussian"};
    const float row[3] = {1.0f, 2.0f, 0.5f};
    const pjd_array a = {"kernel", {.rank = 2, .dim = {1, 3}}, row};

    for (size_t k = 0; k < PJD_COUNTOF(tasks); k++) {
        closed_form(tasks[k], NULL, 0.0);
        closed_form(tasks[k], NULL, 0.3);
    }
    closed_form("superres:factor=3", &a, 0.0);
}

/* Every y of n cells comes from an x that makes it again, and weights are means: constants stay. */
static void test_shapes(void **state)
{
    static const double factors[] = {1.1, 1.25, 1.7, 2, 2.3, 2.5, 3, 3.999, 4, 7.1};
    static const char *const kernels[] = {"average", "bicubic", "gaussian"};

    for (size_t f = 0; f < PJD_COUNTOF(factors); f++)
        for (size_t n = 1; n < 40; n += n < 5 ? 1 : 7)
            for (size_t k = 0; k < 3; k++) {
                pjd_shape y = pjd_shape_chw(1, n, 3);
                char task[80];
                pjd_operator *op, *back;
                float *x, *out, *work;

                snprintf(task, sizeof task, "superres:factor=%g,kernel=%s", factors[f], kernels[k]);
                op = must(task, NULL, NULL, &y);
                back = must(task, NULL, &op->x, NULL);
                assert_true(pjd_shape_equal(&back->y, &y));
                x = floats(op->nx);
                out = floats(op->ny);
                work = floats(pjd_operator_work(op));
                for (size_t i = 0; i < op->nx; i++)
                    x[i] = 0.75f;
                pjd_operator_apply(op, x, out, work);
                for (size_t i = 0; i < op->ny; i++)
                    assert_at_most(fabs(out[i] - 0.75), 1e-6);
                free(x);
                free(out);
                free(work);
                pjd_operator_unref(op);
                pjd_operator_unref(back);
            }
}

static size_t folded(long p, long n)
{
    while (p < 0 || p >= n)
        p = p < 0 ? -1 - p : 2 * n - 1 - p;
    return (size_t)p;
}

/* The definition: a point becomes the kernel, mirrored at the border, and of every cell its middle is kept. */
static void check_given(size_t kh, size_t kw, size_t factor, bool rank_one)
{
    enum { H = 13, W = 10 };
    pjd_shape s = pjd_shape_chw(1, H, W);
    float k[16], x[H * W], *y, *work;
    pjd_array a = {"kernel", {.rank = 2, .dim = {kh, kw}}, k};
    char task[40];
    double sum = 0.0;
    pjd_operator *op;

    for (size_t i = 0; i < kh * kw; i++) {
        k[i] = rank_one ? (float)((1 + i / kw) * (2 + i % kw % 2)) : (float)(1 + i * i % 7);
        sum += k[i];
    }
    snprintf(task, sizeof task, "superres:factor=%zu", factor);
    op = must(task, &a, &s, NULL);
    y = floats(op->ny);
    work = floats(pjd_operator_work(op));
    test_random(x, H * W, 5);
    pjd_operator_apply(op, x, y, work);
    for (size_t i = 0; i < op->y.dim[1]; i++)
        for (size_t j = 0; j < op->y.dim[2]; j++) {
            long pi = (long)(i * factor + (factor - 1) / 2 + kh / 2),
                 pj = (long)(j * factor + (factor - 1) / 2 + kw / 2);
            double want = 0.0;

            for (size_t q = 0; q < kh; q++)
                for (size_t r = 0; r < kw; r++)
                    want += k[q * kw + r] / sum * x[folded(pi - (long)q, H) * W + folded(pj - (long)r, W)];
            assert_at_most(fabs(y[i * op->y.dim[2] + j] - want), 1e-5);
        }
    free(y);
    free(work);
    pjd_operator_unref(op);
}

static void test_given(void **state)
{
    pjd_shape s = pjd_shape_chw(2, 12, 8), bad = pjd_shape_chw(1, 9, 9);
    float box[16], *x, *y, *z, *work;
    pjd_array a = {"kernel", {.rank = 2, .dim = {4, 4}}, box};
    pjd_operator *op, *average, *none = NULL;
    pjd_error err;

    for (size_t factor = 2; factor <= 4; factor++)
        for (size_t side = 2; side <= 4; side++) {
            check_given(side, 3, factor, false);
            check_given(side, 4, factor, true);
        }
    /* A box of the factor's side is averaging. */
    for (size_t i = 0; i < 16; i++)
        box[i] = 3.0f;
    op = must("superres:factor=4", &a, &s, NULL);
    average = must("superres:factor=4,kernel=average", NULL, &s, NULL);
    x = floats(op->nx);
    y = floats(op->ny);
    z = floats(op->ny);
    work = floats(pjd_operator_work(op) + pjd_operator_work(average));
    test_random(x, op->nx, 6);
    pjd_operator_apply(op, x, y, work);
    pjd_operator_apply(average, x, z, work);
    assert_at_most(test_max_abs(y, z, op->ny), 1e-6);
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1.0) - 16.0), 1e-4);
    free(x);
    free(y);
    free(z);
    free(work);
    pjd_operator_unref(op);
    pjd_operator_unref(average);
    assert_int_equal(pjd_operator_create("superres:factor=2.5", &a, 1, &bad, NULL, &none, &err), PJD_ERR_ARG);
    assert_non_null(strstr(err.text, "whole factor"));
    assert_null(none);
    box[3] = NAN;
    assert_int_equal(pjd_operator_create("superres:factor=2", &a, 1, &bad, NULL, &none, &err), PJD_ERR_ARG);
    assert_non_null(strstr(err.text, "superres: the kernel"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pillow),
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
