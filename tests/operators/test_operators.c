/* SPDX-License-Identifier: MIT */
/* Creation, shapes, errors, composition, callbacks, and what each small operator does to known pictures. */
#include "battery.h"

static pjd_operator *must(const char *task, const pjd_array *arrays, size_t count, const pjd_shape *x,
                          const pjd_shape *y)
{
    pjd_operator *op = NULL;
    pjd_error err = {0};

    if (pjd_operator_create(task, arrays, count, x, y, &op, &err) != PJD_OK)
        fail_msg("%s: %s", task, err.text);
    return op;
}

static void refused(const char *task, const pjd_array *arrays, size_t count, const pjd_shape *x, const pjd_shape *y,
                    pjd_status code, const char *words)
{
    pjd_operator *op = (pjd_operator *)&code;
    pjd_error err = {0};
    pjd_status st = pjd_operator_create(task, arrays, count, x, y, &op, &err);

    assert_null(op);
    if (st != code)
        fail_msg("%s: expected status %d, found %d (%s)", task, code, st, err.text);
    if (!strstr(err.text, words))
        fail_msg("%s: expected an error about \"%s\", found \"%s\"", task, words, err.text);
}

static void test_task_errors(void **state)
{
    pjd_shape s = pjd_shape_chw(3, 8, 8), flat = {.rank = 2, .dim = {8, 8}}, empty = pjd_shape_chw(3, 0, 8);
    float ones[64];
    pjd_array mask = {"mask", {.rank = 2, .dim = {8, 8}}, ones}, odd = {"masque", {.rank = 2, .dim = {8, 8}}, ones};

    for (size_t i = 0; i < 64; i++)
        ones[i] = 1.0f;
    refused("", NULL, 0, &s, NULL, PJD_ERR_ARG, "task");
    refused("sharpen", NULL, 0, &s, NULL, PJD_ERR_ARG, "there are: ");
    refused("superres", NULL, 0, &s, NULL, PJD_ERR_ARG, "factor is missing");
    refused("superres:factor=1", NULL, 0, &s, NULL, PJD_ERR_ARG, "from 1.1");
    refused("superres:factor=nan", NULL, 0, &s, NULL, PJD_ERR_ARG, "from 1.1");
    refused("superres:factor=2,kernel=lanczos", NULL, 0, &s, NULL, PJD_ERR_ARG, "average|bicubic|gaussian");
    refused("superres:factor=2,kernel=bicubic,gaussian=1", NULL, 0, &s, NULL, PJD_ERR_ARG, "kernel=gaussian");
    refused("superres:factor=2,colour=3", NULL, 0, &s, NULL, PJD_ERR_ARG, "colour");
    refused("superres:factor=2,", NULL, 0, &s, NULL, PJD_ERR_ARG, "last comma");
    refused("superres:factor=2+", NULL, 0, &s, NULL, PJD_ERR_ARG, "task");
    refused("superres:factor=2", NULL, 0, &flat, NULL, PJD_ERR_SHAPE, "channels x height x width");
    refused("superres:factor=2", NULL, 0, &empty, NULL, PJD_ERR_SHAPE, "above zero");
    refused("superres:factor=2", NULL, 0, &s, &s, PJD_ERR_SHAPE, "measurement of 3x4x4, found 3x8x8");
    refused("superres:factor=2,width=18", NULL, 0, NULL, &s, PJD_ERR_SHAPE, "width=18");
    refused("denoise", NULL, 0, NULL, NULL, PJD_ERR_ARG, "shape");
    refused("denoise", &mask, 1, &s, NULL, PJD_ERR_ARG, "\"mask\"");
    refused("inpaint", NULL, 0, &s, NULL, PJD_ERR_ARG, "mask is missing");
    refused("inpaint", &odd, 1, &s, NULL, PJD_ERR_ARG, "mask is missing");
}

static void test_mask_errors(void **state)
{
    pjd_shape s = pjd_shape_chw(3, 4, 4);
    float m[48] = {0};
    pjd_array a = {"mask", {.rank = 2, .dim = {4, 5}}, m};

    refused("inpaint", &a, 1, &s, NULL, PJD_ERR_SHAPE, "4x5");
    refused("inpaint", &a, 1, &s, NULL, PJD_ERR_SHAPE, "3x4x4");
    a.shape = pjd_shape_chw(2, 4, 4);
    refused("inpaint", &a, 1, NULL, &s, PJD_ERR_SHAPE, "2x4x4");
    a.shape = pjd_shape_chw(3, 4, 4);
    refused("inpaint", &a, 1, &s, NULL, PJD_ERR_ARG, "no pixel known");
    m[7] = NAN;
    refused("inpaint", &a, 1, &s, NULL, PJD_ERR_ARG, "entry 7");
}

/* A mask per channel, thresholded at half; unknown entries of y are ignored even when they are NaN. */
static void test_mask_channels(void **state)
{
    pjd_shape s = pjd_shape_chw(2, 1, 2);
    const float m[4] = {1.0f, 0.4f, 0.6f, 0.0f}, y[4] = {5.0f, NAN, 6.0f, NAN};
    pjd_array a = {"mask", pjd_shape_chw(2, 1, 2), m};
    pjd_operator *op = must("inpaint", &a, 1, NULL, &s);
    float x[4] = {1.0f, 2.0f, 3.0f, 4.0f}, *work = floats(pjd_operator_work(op));

    pjd_operator_project(op, x, y, 1.0, work);
    assert_true(x[0] == 5.0f && x[1] == 2.0f && x[2] == 6.0f && x[3] == 4.0f);
    pjd_operator_prox(op, x, y, 1.0, work);
    assert_true(x[0] == 5.0f && x[1] == 2.0f && x[2] == 6.0f && x[3] == 4.0f);
    pjd_operator_guess(op, y, x, work);
    assert_true(x[0] == 5.0f && x[1] == 5.0f && x[2] == 6.0f && x[3] == 6.0f);
    free(work);
    pjd_operator_unref(op);
}

/* The fill is exact at known pixels, constant for constants, and close for a ramp with scattered holes. */
static void test_inpaint_guess(void **state)
{
    pjd_shape s = pjd_shape_chw(1, 40, 53);
    size_t n = 40 * 53;
    float *m = floats(n), *y = floats(n), *x = floats(n), *work;
    pjd_array a = {"mask", {.rank = 2, .dim = {40, 53}}, m};
    pjd_operator *op;

    test_random(m, n, 3);
    for (size_t i = 0; i < n; i++) {
        m[i] = m[i] > 0.0f ? 1.0f : 0.0f;
        y[i] = (float)(i / 53) / 40.0f + (float)(i % 53) / 53.0f;
    }
    op = must("inpaint", &a, 1, &s, NULL);
    work = floats(pjd_operator_work(op));
    pjd_operator_guess(op, y, x, work);
    for (size_t i = 0; i < n; i++)
        assert_at_most(fabs(x[i] - y[i]), m[i] > 0.5f ? 0.0 : 0.12);
    free(m);
    free(y);
    free(x);
    free(work);
    pjd_operator_unref(op);
}

static void test_superres_shapes(void **state)
{
    pjd_shape s = pjd_shape_chw(1, 5, 4), y = pjd_shape_chw(1, 2, 2);
    pjd_shape exact = pjd_shape_chw(1, 3, 4);
    pjd_operator *op = must("superres:factor=3", NULL, 0, &s, NULL);
    float x[20], out[4], work[256];

    /* Partial cells average what exists. */
    assert_true(pjd_shape_equal(pjd_operator_output(op), &y));
    for (size_t i = 0; i < 20; i++)
        x[i] = (float)i;
    pjd_operator_apply(op, x, out, work);
    assert_true(out[0] == 5.0f && out[1] == 7.0f && out[2] == 15.0f && out[3] == 17.0f);
    pjd_operator_unref(op);
    op = must("superres:factor=2,height=3,width=4", NULL, 0, NULL, &y);
    assert_true(pjd_shape_equal(pjd_operator_input(op), &exact));
    pjd_operator_unref(op);
}

/* Cubic enlargement keeps constants exactly and a ramp away from the border. */
static void test_superres_guess(void **state)
{
    pjd_shape y = pjd_shape_chw(1, 8, 9);
    pjd_operator *op = must("superres:factor=4", NULL, 0, NULL, &y);
    float *low = floats(op->ny), *x = floats(op->nx), *work = floats(pjd_operator_work(op));

    for (size_t i = 0; i < op->ny; i++)
        low[i] = (float)(i % 9);
    pjd_operator_guess(op, low, x, work);
    for (size_t i = 0; i < 32; i++)
        for (size_t j = 8; j < 28; j++)
            assert_at_most(fabs(x[i * 36 + j] - (((double)j + 0.5) / 4.0 - 0.5)), 1e-5);
    free(low);
    free(x);
    free(work);
    pjd_operator_unref(op);
}

/* ---- composition ---- */

static void test_composition(void **state)
{
    pjd_shape s = pjd_shape_chw(2, 24, 18), y = pjd_shape_chw(2, 6, 5);
    float m[30];
    pjd_array mask = {"mask", {.rank = 2, .dim = {6, 5}}, m};
    const char *task = "superres:factor=2+superres:factor=2+inpaint";
    pjd_operator *op, *one;
    float *x, *a, *b, *work;

    for (size_t i = 0; i < 30; i++)
        m[i] = i % 3 ? 1.0f : 0.0f;
    op = must(task, &mask, 1, &s, NULL);
    assert_true(pjd_shape_equal(pjd_operator_output(op), &y));
    assert_string_equal(pjd_operator_name(op), "superres+superres+inpaint");
    check_adjoint(op);
    check_projection(op, 0.0);
    check_prox(op);
    check_guess(op);
    check_no_allocation(op);
    pjd_operator_unref(op);

    /* Backwards, every cell is whole: the same as one factor of 4 under the mask, whose gain is 16. */
    op = must(task, &mask, 1, NULL, &y);
    assert_at_most(fabs(pjd_operator_noise_gain(op, 1.0) - 16.0), 1e-4);
    check_noise_gain(op, true);
    one = must("superres:factor=4+inpaint", &mask, 1, NULL, &y);
    assert_true(pjd_shape_equal(pjd_operator_input(op), pjd_operator_input(one)));
    x = floats(op->nx);
    a = floats(op->ny);
    b = floats(op->ny);
    work = floats(pjd_operator_work(op));
    test_random(x, op->nx, 1);
    pjd_operator_apply(op, x, a, work);
    pjd_operator_apply(one, x, b, work);
    assert_at_most(test_relative_l2(a, b, op->ny), 1e-6);
    free(x);
    free(a);
    free(b);
    free(work);
    pjd_operator_unref(op);
    pjd_operator_unref(one);
    refused("superres:factor=2+inpaint+inpaint", &mask, 1, NULL, &y, PJD_ERR_ARG, "mask is missing");
}

/* Blur, then subsample, then mask, on odd and small pictures: adjoint, projection, and the gain by trials. */
static void compose_case(const char *before, const char *task, size_t channels, size_t h, size_t w)
{
    pjd_shape s = pjd_shape_chw(channels, h, w);
    pjd_operator *op = must(before, NULL, 0, &s, NULL);
    size_t mh = op->y.dim[1], mw = op->y.dim[2];
    float *m = floats(mh * mw);
    pjd_array mask = {"mask", {.rank = 2, .dim = {mh, mw}}, m};

    print_message("%s on %zux%zux%zu\n", task, channels, h, w);
    pjd_operator_unref(op);
    for (size_t i = 0; i < mh * mw; i++)
        m[i] = i % 4 != 1 ? 1.0f : 0.0f;
    op = must(task, &mask, 1, &s, NULL);
    check_result(op);
    check_adjoint(op);
    check_projection(op, 1e-4);
    check_prox(op);
    check_guess(op);
    check_no_allocation(op);
    check_noise_gain(op, false);
    free(m);
    pjd_operator_unref(op);
}

static void test_composed_blurs(void **state)
{
    static const char *const parts[] = {"deblur:gaussian=0.8,boundary=reflect+superres:factor=2",
                                        "deblur:gaussian=0.7+superres:factor=2,kernel=bicubic",
                                        "deblur:motion=4\\,30,boundary=zero+superres:factor=3",
                                        "superres:factor=1.5+deblur:disk=1,boundary=periodic"};
    static const size_t sizes[][2] = {{24, 18}, {17, 23}, {11, 9}};
    char task[120];

    for (size_t k = 0; k < PJD_COUNTOF(parts); k++)
        for (size_t i = 0; i < PJD_COUNTOF(sizes); i++) {
            snprintf(task, sizeof task, "%s+inpaint", parts[k]);
            compose_case(parts[k], task, 1 + i % 2, sizes[i][0], sizes[i][1]);
        }
    compose_case("colorize+superres:factor=2", "colorize+superres:factor=2+inpaint", 3, 13, 10);
}

/* ---- the caller's own operator ---- */

typedef struct weights {
    size_t n, destroyed;
    float w[12];
} weights;

static void weigh(void *user, const float *x, float *y, float *work)
{
    const weights *u = user;

    for (size_t i = 0; i < u->n; i++)
        y[i] = u->w[i] * x[i];
}

static void keep(void *user, const float *x, float *c, float *work)
{
    memcpy(c, x, ((weights *)user)->n * sizeof *c);
}

static void count_destroy(void *user)
{
    ((weights *)user)->destroyed++;
}

static void not_the_adjoint(void *user, const float *y, float *x, float *work)
{
    const weights *u = user;

    for (size_t i = 0; i < u->n; i++)
        x[i] = -y[i];
}

static void test_custom(void **state)
{
    weights u = {.n = 12};
    pjd_shape s = pjd_shape_chw(3, 2, 2);
    pjd_operator_callbacks cb = {
        .apply = weigh, .adjoint = weigh, .destroy = count_destroy, .user = &u, .linear = true};
    pjd_operator *op = NULL;
    pjd_error err = {0};
    double worst;

    for (size_t i = 0; i < 12; i++)
        u.w[i] = 0.5f + 0.1f * (float)i;
    assert_ok(pjd_operator_custom("weights", &s, &s, &cb, &op, &err), &err);
    check_adjoint(op);
    check_projection(op, 0.0);
    check_prox(op);
    check_guess(op);
    check_no_allocation(op);
    assert_string_equal(pjd_operator_name(pjd_operator_ref(op)), "weights");
    pjd_operator_unref(op);
    assert_int_equal(u.destroyed, 0);
    pjd_operator_unref(op);
    assert_int_equal(u.destroyed, 1);

    /* With a spectral form (V = I). */
    cb.to_spectral = cb.from_spectral = cb.data = keep;
    cb.count = 12;
    cb.singular = u.w;
    assert_ok(pjd_operator_custom("weights", &s, &s, &cb, &op, &err), &err);
    check_spectral(op);
    pjd_operator_unref(op);

    /* A wrong adjoint is told from a right one. */
    cb = (pjd_operator_callbacks){.apply = weigh, .adjoint = not_the_adjoint, .user = &u, .linear = true};
    assert_ok(pjd_operator_custom("wrong", &s, &s, &cb, &op, &err), &err);
    assert_ok(pjd_operator_test_adjoint(op, 2, 1, &worst, &err), &err);
    assert_true(worst > 0.01);
    pjd_operator_unref(op);
}

static void custom_refused(const pjd_operator_callbacks *cb, const char *words)
{
    pjd_shape s = pjd_shape_chw(3, 2, 2);
    pjd_operator *op = (pjd_operator *)&s;
    pjd_error err = {0};

    assert_int_not_equal(pjd_operator_custom("mine", &s, &s, cb, &op, &err), PJD_OK);
    assert_null(op);
    if (!strstr(err.text, words))
        fail_msg("expected an error about \"%s\", found \"%s\"", words, err.text);
}

static void test_custom_errors(void **state)
{
    weights u = {.n = 12};
    pjd_operator_callbacks cb = {.adjoint = weigh, .destroy = count_destroy, .user = &u, .linear = true};

    custom_refused(&cb, "apply");
    cb.apply = weigh;
    cb.adjoint = NULL;
    custom_refused(&cb, "adjoint");
    cb.linear = false;
    custom_refused(&cb, "projection");
    cb.linear = true;
    cb.adjoint = weigh;
    cb.to_spectral = keep;
    custom_refused(&cb, "1 of 4");
    cb.from_spectral = cb.data = keep;
    cb.singular = u.w;
    cb.count = 11;
    custom_refused(&cb, "found 11");
    cb.count = 12;
    u.w[3] = -1.0f;
    custom_refused(&cb, "value 3");
    assert_int_equal(u.destroyed, 0);
}

/* Two rows measure the same thing and disagree: the answer is the compromise, not an explosion. */
static void sum_twice(void *user, const float *x, float *y, float *work)
{
    y[0] = y[1] = x[0] + x[1];
}

static void sum_twice_adjoint(void *user, const float *y, float *x, float *work)
{
    x[0] = x[1] = y[0] + y[1];
}

static void test_contradiction(void **state)
{
    pjd_shape s = {.rank = 1, .dim = {2}};
    pjd_operator_callbacks cb = {.apply = sum_twice, .adjoint = sum_twice_adjoint, .linear = true};
    pjd_operator *op = NULL;
    pjd_error err = {0};
    float x[2] = {1.0f, 0.0f}, y[2] = {2.0f, 4.0f}, work[256];

    assert_ok(pjd_operator_custom("twice", &s, &s, &cb, &op, &err), &err);
    assert_true(pjd_operator_work(op) <= 256);
    pjd_operator_project(op, x, y, 1.0, work);
    assert_at_most(fabs(x[0] - 2.0) + fabs(x[1] - 1.0), 1e-5);
    pjd_operator_unref(op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_errors),     cmocka_unit_test(test_mask_errors),
        cmocka_unit_test(test_mask_channels),   cmocka_unit_test(test_inpaint_guess),
        cmocka_unit_test(test_superres_shapes), cmocka_unit_test(test_superres_guess),
        cmocka_unit_test(test_composition),     cmocka_unit_test(test_custom),
        cmocka_unit_test(test_custom_errors),   cmocka_unit_test(test_contradiction),
        cmocka_unit_test(test_composed_blurs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
