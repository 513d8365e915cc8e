/* SPDX-License-Identifier: MIT */
/*
 * hdr and phase against their definitions and the recorded measurements; colorize and cs where the battery does not
 * reach.
 */
#include "battery.h"

static pjd_operator *must(const char *task, const pjd_shape *x, const pjd_shape *y)
{
    pjd_operator *op = NULL;
    pjd_error err = {0};

    if (pjd_operator_create(task, NULL, 0, x, y, &op, &err) != PJD_OK)
        fail_msg("%s: %s", task, err.text);
    return op;
}

static void refused(const char *task, const pjd_shape *x, const pjd_shape *y, const char *words)
{
    pjd_operator *op = (pjd_operator *)&words;
    pjd_error err = {0};

    assert_int_not_equal(pjd_operator_create(task, NULL, 0, x, y, &op, &err), PJD_OK);
    assert_null(op);
    if (!strstr(err.text, words))
        fail_msg("%s: expected an error about \"%s\", found \"%s\"", task, words, err.text);
}

static void test_hdr(void **state)
{
    pjd_shape s = pjd_shape_chw(1, 1, 7);
    pjd_operator *op = must("hdr", &s, NULL);
    const float x[7] = {-0.9f, -0.5f, -0.2f, 0.0f, 0.3f, 0.5f, 2.0f};
    const float y[7] = {1.0f, 1.2f, 0.8f, 0.3f, -0.6f, -1.0f, 1.0f};
    const float exact[7] = {-0.9f, -0.5f, 0.4f, 0.15f, -0.3f, 0.5f, 2.0f};
    const float noisy[7] = {-0.9f, -0.5f, -0.2f, 0.15f, 0.3f, 0.5f, 2.0f};
    float out[7];

    assert_false(pjd_operator_is_linear(op));
    pjd_operator_apply(op, x, out, NULL);
    assert_true(out[0] == -1.0f && out[1] == -1.0f && out[2] == -0.4f && out[3] == 0.0f && out[6] == 1.0f);
    memcpy(out, x, sizeof x);
    pjd_operator_project(op, out, y, 1.0, NULL);
    assert_memory_equal(out, exact, sizeof exact);
    memcpy(out, x, sizeof x);
    pjd_operator_project(op, out, y, 0.9, NULL);
    assert_memory_equal(out, noisy, sizeof noisy);
    /* Inside the limits of a clipped value x goes to the limit. */
    out[0] = 0.1f;
    pjd_operator_project(op, out, y, 1.0, NULL);
    assert_true(out[0] == 0.5f);
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1.0) - 0.25), 1e-9);
    /* Noise of 0.05 in x is 0.1 in y: from 0.7 on it may have been clipped, and is 0.35 or more in x. */
    memcpy(out, x, sizeof x);
    pjd_operator_prox(op, out, y, 0.05 * 0.05, NULL);
    for (size_t i = 0; i < 7; i++) {
        const float want[7] = {0.35f, 0.35f, 0.35f, 0.15f, -0.3f, -0.35f, 2.0f};

        assert_at_most(fabs(out[i] - want[i]), 1e-6);
    }
    /* Without noise it is the projection, but for clipped values of the other sign. */
    memcpy(out, x, sizeof x);
    pjd_operator_prox(op, out, y, 0.0, NULL);
    assert_true(out[0] == 0.5f && out[2] == 0.4f && out[5] == -0.5f && out[6] == 2.0f);
    pjd_operator_unref(op);
}

/* What y shows of x, and what it hides: where noise leaves a doubt, by the estimate. */
static void test_hdr_hidden(void **state)
{
    enum { COUNT = 8 };
    pjd_shape s = pjd_shape_chw(1, 1, COUNT);
    pjd_operator *op = must("hdr", &s, NULL);
    const float x[COUNT] = {-0.9f, -0.5f, -0.2f, 0.0f, 0.3f, 0.5f, 2.0f, 0.6f};
    const float y[COUNT] = {1.0f, 1.2f, 0.8f, 0.3f, -0.6f, -1.0f, 1.0f, 0.8f};
    const float shown[COUNT] = {0.5f, 0.5f, 0.4f, 0.15f, -0.3f, -0.5f, 2.0f, 0.6f};
    const float middle[COUNT] = {0.75f, 0.75f, 0, 0, 0, -0.75f, 0.75f, 0.75f}; /* 0: shown */
    float out[COUNT], found[COUNT];

    /* Noise of 0.05 in x is 0.1 in y: 0.8 may have been clipped. */
    memcpy(out, x, sizeof x);
    assert_at_most(fabs(op->v->hidden(op, out, y, 0.05 * 0.05, found) - 0.25 / 12), 1e-9);
    for (size_t i = 0; i < COUNT; i++) {
        assert_at_most(fabs(out[i] - shown[i]), 1e-6);
        assert_true(middle[i] == 0 ? isnan(found[i]) : fabsf(found[i] - middle[i]) <= 1e-6f);
    }
    /* Without noise only what is at the limits was. */
    memcpy(out, x, sizeof x);
    op->v->hidden(op, out, y, 0, found);
    assert_true(isnan(found[7]) && out[7] == 0.4f && isnan(found[2]) && found[1] == 0.75f && found[5] == -0.75f);
    pjd_operator_unref(op);
}

/* Against a direct transform in float64, sizes odd and even. */
static void test_phase_definition(void **state)
{
    enum { H = 5, W = 6, P = 2, GH = H + 2 * P, GW = W + 2 * P };
    pjd_shape s = pjd_shape_chw(1, H, W);
    pjd_operator *op = must("phase:pad=2", &s, NULL);
    float x[H * W], y[GH * GW], *work = floats(pjd_operator_work(op));

    test_random(x, H * W, 1);
    pjd_operator_apply(op, x, y, work);
    for (size_t i = 0; i < GH; i++)
        for (size_t j = 0; j < GW; j++) {
            double re = 0.0, im = 0.0;

            for (size_t a = 0; a < H; a++)
                for (size_t b = 0; b < W; b++) {
                    double t = -2.0 * M_PI *
                               (((double)i - GH / 2) * (double)(a + P) / GH +
                                ((double)j - GW / 2) * (double)(b + P) / GW);

                    re += x[a * W + b] * cos(t);
                    im += x[a * W + b] * sin(t);
                }
            assert_at_most(fabs(y[i * GW + j] - hypot(re, im) / sqrt(GH * GW)), 2e-6);
        }
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1.0) - (double)(GH * GW) / (H * W)), 1e-9);
    free(work);
    pjd_operator_unref(op);
}

/* The true picture is a fixed point; from near it the residual falls. */
static void test_phase_projection(void **state)
{
    pjd_shape s = pjd_shape_chw(2, 17, 20);
    pjd_operator *op = must("phase", &s, NULL);
    float *truth = floats(op->nx), *x = floats(op->nx), *y = floats(op->ny), *ax = floats(op->ny),
          *work = floats(pjd_operator_work(op));
    double before, after;

    test_random(truth, op->nx, 1);
    test_random(x, op->nx, 2);
    pjd_operator_apply(op, truth, y, work);
    for (size_t i = 0; i < op->nx; i++)
        x[i] = truth[i] + 0.1f * x[i];
    pjd_operator_apply(op, x, ax, work);
    before = test_relative_l2(ax, y, op->ny);
    pjd_operator_project(op, x, y, 1.0, work);
    pjd_operator_apply(op, x, ax, work);
    after = test_relative_l2(ax, y, op->ny);
    assert_at_most(after, 0.8 * before);
    memcpy(x, truth, op->nx * sizeof *x);
    pjd_operator_project(op, x, y, 1.0, work);
    assert_at_most(test_relative_l2(x, truth, op->nx), 2e-6);
    free(truth);
    free(x);
    free(y);
    free(ax);
    free(work);
    pjd_operator_unref(op);
}

static void test_phase_shapes(void **state)
{
    pjd_shape y = pjd_shape_chw(3, 48, 36), x = pjd_shape_chw(3, 32, 24), none = pjd_shape_chw(1, 5, 6);
    pjd_operator *op = must("phase", NULL, &y);

    assert_true(pjd_shape_equal(pjd_operator_input(op), &x));
    pjd_operator_unref(op);
    refused("phase", NULL, &none, "pad=");
    refused("phase:pad=3", NULL, &none, "5");
    refused("phase+superres:factor=2", &x, NULL, "not linear");
}

static void recorded(const char *folder, const char *task, double bound)
{
    char name[128];
    pjd_shape s, m;
    const char *path;
    float *x, *y;
    pjd_operator *op;

    snprintf(name, sizeof name, "%s/x_true.npy", folder);
    path = test_golden(name);
    skip_without(path, name);
    x = test_npy(path, &s);
    snprintf(name, sizeof name, "%s/y.npy", folder);
    y = test_npy(test_golden(name), &m);
    assert_non_null(x);
    assert_non_null(y);
    s = pjd_shape_make(3, s.dim + 1);
    m = pjd_shape_make(3, m.dim + 1);
    op = must(task, &s, NULL);
    assert_true(pjd_shape_equal(pjd_operator_output(op), &m));
    {
        float *ax = floats(op->ny), *work = floats(pjd_operator_work(op));

        pjd_operator_apply(op, x, ax, work);
        assert_at_most(test_relative_l2(ax, y, op->ny), bound);
        free(ax);
        free(work);
    }
    free(x);
    free(y);
    pjd_operator_unref(op);
}

static void test_recorded_hdr(void **state)
{
    recorded("solver_hdr_noisefree", "hdr", 1e-6);
}

static void test_recorded_phase(void **state)
{
    recorded("solver_phase_noisefree", "phase", 2e-6);
}

static void test_colorize(void **state)
{
    pjd_shape three = pjd_shape_chw(3, 1, 1), one = pjd_shape_chw(1, 1, 1);
    pjd_operator *op = must("colorize:red=1,green=2,blue=1", NULL, &one);
    float x[3] = {0.4f, 0.8f, -0.4f}, y;

    assert_true(pjd_shape_equal(pjd_operator_input(op), &three));
    pjd_operator_apply(op, x, &y, NULL);
    assert_at_most(fabs(y - 0.4), 1e-6);
    pjd_operator_unref(op);
    refused("colorize", &one, NULL, "3 channels");
    refused("colorize", NULL, &three, "1 channels");
    refused("colorize:red=0,green=0,blue=0", &three, NULL, "positive sum");
}

static void test_cs(void **state)
{
    pjd_shape x = pjd_shape_chw(3, 8, 8), y = pjd_shape_chw(3, 1, 16), large = pjd_shape_chw(1, 200, 200);
    pjd_operator *a = must("cs:seed=5", &x, NULL), *b = must("cs:seed=5,width=8,height=8", NULL, &y),
                 *other = must("cs:seed=6", &x, NULL);
    float *v = floats(a->nx), *work = floats(pjd_operator_work(a)), ya[48], yb[48];

    test_random(v, a->nx, 1);
    assert_true(pjd_shape_equal(pjd_operator_output(a), &y));
    pjd_operator_apply(a, v, ya, work);
    pjd_operator_apply(b, v, yb, work);
    assert_memory_equal(ya, yb, sizeof ya);
    pjd_operator_apply(other, v, yb, work);
    assert_true(test_relative_l2(yb, ya, 48) > 0.5);
    free(v);
    free(work);
    pjd_operator_unref(a);
    pjd_operator_unref(b);
    pjd_operator_unref(other);
    refused("cs", NULL, &y, "width and height");
    refused("cs:width=9,height=8", NULL, &y, "3x1x18");
    refused("cs:width=9", &x, NULL, "do not match");
    refused("cs:ratio=1.5", &x, NULL, "ratio");
    refused("cs:transform=gaussian", &large, NULL, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hdr),
        cmocka_unit_test(test_hdr_hidden),
        cmocka_unit_test(test_phase_definition),
        cmocka_unit_test(test_phase_projection),
        cmocka_unit_test(test_phase_shapes),
        cmocka_unit_test(test_recorded_hdr),
        cmocka_unit_test(test_recorded_phase),
        cmocka_unit_test(test_colorize),
        cmocka_unit_test(test_cs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
