/* SPDX-License-Identifier: MIT */
/* The projection on a ball around the measurement, and operators with weights. */
#include "battery.h"

static pjd_operator *make(const char *task, const pjd_array *a, size_t c, size_t h, size_t w)
{
    pjd_shape x = pjd_shape_chw(c, h, w);
    pjd_operator *op = NULL;
    pjd_error err;

    assert_ok(pjd_operator_create(task, a, a ? 1 : 0, &x, NULL, &op, &err), &err);
    return op;
}

static double distance(const pjd_operator *op, const float *x, const float *y)
{
    float *ax = floats(op->ny), *work = floats(pjd_operator_work(op));
    double sum = 0;

    pjd_operator_apply(op, x, ax, work);
    for (size_t i = 0; i < op->ny; i++)
        sum += ((double)ax[i] - y[i]) * ((double)ax[i] - y[i]);
    free(ax);
    free(work);
    return sqrt(sum);
}

/* Where A selects elements, the answer is on the line from x to y: y + (x - y) radius / |x - y|. */
static void test_closed_form(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        float mask[35], *x, *y, *u;
        pjd_array a = {"mask", {.rank = 2, .dim = {5, 7}}, mask};
        pjd_operator *op;
        pjd_error err;
        double start, lambda = NAN;
        const double radius = 0.7;

        for (size_t i = 0; i < 35; i++)
            mask[i] = i % 3 ? 1 : 0;
        op = kind ? make("inpaint", &a, 3, 5, 7) : make("denoise", NULL, 3, 5, 7);
        x = floats(op->nx);
        y = floats(op->ny);
        u = floats(op->nx);
        test_random(x, op->nx, 1);
        test_random(y, op->ny, 2);
        for (size_t i = 0; kind && i < op->ny; i++)
            y[i] *= mask[i % 35];
        start = distance(op, x, y);
        memcpy(u, x, op->nx * sizeof *u);
        assert_ok(pjd_operator_project_ball(op, u, y, radius, &lambda, &err), &err);
        for (size_t i = 0; i < op->nx; i++) {
            bool seen = !kind || mask[i % 35] > 0;
            double expected = seen ? y[i] + (x[i] - y[i]) * radius / start : x[i];

            assert_at_most(fabs(u[i] - expected), 2e-4 * radius + 1e-6);
        }
        /* and so lambda is that of r = lambda / (1 + lambda) start */
        assert_at_most(fabs(lambda / (radius / (start - radius)) - 1), 1e-3);
        pjd_operator_unref(op);
        free(x);
        free(y);
        free(u);
    }
}

/* Any operator: on the radius; inside, every byte stays; the nearest point, x - u = A*(A u - y) / lambda. */
static void test_radius(void **state)
{
    static const char *const tasks[] = {
        "cs:transform=gaussian,ratio=0.5", "superres:factor=2", "deblur:gaussian=1,boundary=reflect",
        "ct:angles=9,iterations=400,tolerance=1e-7", "deblur:gaussian=0.7+superres:factor=2"};

    for (size_t k = 0; k < PJD_COUNTOF(tasks); k++) {
        pjd_operator *op = make(tasks[k], NULL, 1, 16, 16);
        float *x = floats(op->nx), *y = floats(op->ny), *u = floats(op->nx), *g = floats(op->nx), *r = floats(op->ny);
        float *work = floats(pjd_operator_work(op)), *truth = floats(op->nx);
        double start, lambda = NAN;
        pjd_error err;

        test_random(truth, op->nx, 3);
        test_random(x, op->nx, 4);
        pjd_operator_apply(op, truth, y, work);
        start = distance(op, x, y);
        for (double share = 0.05; share < 1; share *= 3) {
            memcpy(u, x, op->nx * sizeof *u);
            assert_ok(pjd_operator_project_ball(op, u, y, share * start, &lambda, &err), &err);
            assert_at_most(fabs(distance(op, u, y) / (share * start) - 1), 2e-4);
            assert_true(lambda > 0 && isfinite(lambda));
            pjd_operator_apply(op, u, r, work);
            for (size_t i = 0; i < op->ny; i++)
                r[i] -= y[i];
            pjd_operator_adjoint(op, r, g, work);
            for (size_t i = 0; i < op->nx; i++)
                g[i] = x[i] - g[i] / (float)lambda;
            assert_at_most(test_relative_l2(g, u, op->nx), 2e-3);
        }
        memcpy(u, x, op->nx * sizeof *u);
        assert_ok(pjd_operator_project_ball(op, u, y, 1.0001 * start, &lambda, &err), &err);
        assert_memory_equal(u, x, op->nx * sizeof *u);
        assert_true(isinf(lambda));
        free(x);
        free(y);
        free(u);
        free(g);
        free(r);
        free(work);
        free(truth);
        pjd_operator_unref(op);
    }
}

/* y has a part that no picture makes: the nearest that there is, and lambda says so. Not a number: refused. */
static void test_out_of_reach(void **state)
{
    pjd_operator *op = make("ct:angles=9,iterations=400,tolerance=1e-7", NULL, 1, 6, 6);
    float *x = floats(op->nx), *y = floats(op->ny), *again = floats(op->nx), *work = floats(pjd_operator_work(op));
    double lambda = NAN;
    pjd_error err;

    test_random(x, op->nx, 5);
    test_random(y, op->ny, 6);
    memcpy(again, x, op->nx * sizeof *x);
    assert_ok(pjd_operator_project_ball(op, x, y, 1e-3, &lambda, &err), &err);
    assert_true(lambda == 0);
    pjd_operator_project(op, again, y, 1, work);
    assert_memory_equal(x, again, op->nx * sizeof *x);
    assert_int_equal(pjd_operator_project_ball(op, x, y, NAN, NULL, &err), PJD_ERR_ARG);
    free(x);
    free(y);
    free(again);
    free(work);
    pjd_operator_unref(op);
    op = make("hdr", NULL, 1, 4, 4);
    x = floats(op->nx);
    assert_int_equal(pjd_operator_project_ball(op, x, x, 1, NULL, &err), PJD_ERR_UNSUPPORTED);
    free(x);
    pjd_operator_unref(op);
}

static void test_weighted(void **state)
{
    pjd_operator *base = make("superres:factor=2", NULL, 2, 8, 6), *op = NULL;
    float *w = floats(base->ny), *x = floats(base->nx), *y = floats(base->ny), *z = floats(base->ny), *work;
    pjd_error err;

    test_random(w, base->ny, 7);
    for (size_t i = 0; i < base->ny; i++)
        w[i] = 0.2f + fabsf(w[i]);
    assert_ok(pjd_operator_weighted(base, w, &op, &err), &err);
    work = floats(pjd_operator_work(op));
    check_adjoint(op);
    check_prox(op);
    check_projection(op, 1e-4);
    check_no_allocation(op);
    check_threads(op);
    test_random(x, base->nx, 8);
    pjd_operator_apply(base, x, y, work);
    pjd_operator_apply(op, x, z, work);
    for (size_t i = 0; i < base->ny; i++)
        assert_true(z[i] == w[i] * y[i]);
    w[3] = 0;
    pjd_operator_unref(op);
    assert_int_equal(pjd_operator_weighted(base, w, &op, &err), PJD_ERR_ARG);
    assert_null(op);
    free(w);
    free(x);
    free(y);
    free(z);
    free(work);
    pjd_operator_unref(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_radius),
        cmocka_unit_test(test_out_of_reach),
        cmocka_unit_test(test_weighted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
