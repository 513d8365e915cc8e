/* SPDX-License-Identifier: MIT */
#include "support/support.h"

#include "core/core.h"
#include "core/noise.h"
#include "core/param.h"
#include "projdiff/noise.h"

static void shapes(void **state)
{
    pjd_shape a = pjd_shape_chw(3, 4, 5), big = {.rank = 2, .dim = {SIZE_MAX / 2, 3}};
    char text[32];
    size_t n;

    assert_true(pjd_shape_count(&a, &n));
    assert_int_equal(n, 60);
    assert_string_equal(pjd_shape_text(&a, text, sizeof text), "3x4x5");
    assert_false(pjd_shape_count(&big, &n));
    assert_int_equal(n, 0);
}

static void finiteness(void **state)
{
    float x[19] = {0};

    assert_true(pjd_all_finite(x, 19));
    for (size_t i = 0; i < 19; i++) {
        x[i] = NAN;
        assert_false(pjd_all_finite(x, 19));
        x[i] = -INFINITY;
        assert_false(pjd_all_finite(x, 19));
        x[i] = 1e38f;
    }
    assert_true(pjd_all_finite(x, 19));
}

static void error_is_one_line(void **state)
{
    pjd_error e;

    assert_int_equal(pjd_error_set(&e, PJD_ERR_ARG, "a\nb%c", 7), PJD_ERR_ARG);
    assert_string_equal(e.text, "a?b?");
}

/* Draw i depends on seed, stream and i only, however the draws are grouped. */
static void noise_is_counter_based(void **state)
{
    pjd_error err;
    pjd_noise *a, *b;
    float x[1000], y[1000];
    double m = 0, v = 0;

    assert_ok(pjd_noise_seeded(7, 0, &a, &err), &err);
    assert_ok(pjd_noise_seeded(7, 0, &b, &err), &err);
    assert_ok(pjd_noise_normal(a, x, 1000, &err), &err);
    for (size_t i = 0, n = 1; i < 1000; i += n, n = 1 + i % 13 < 1000 - i ? 1 + i % 13 : 1000 - i)
        assert_ok(pjd_noise_normal(b, y + i, n, &err), &err);
    assert_memory_equal(x, y, sizeof x);
    for (int i = 0; i < 1000; i++) {
        m += x[i] / 1000;
        v += (double)x[i] * x[i] / 1000;
    }
    assert_at_most(fabs(m), 0.15);
    assert_at_most(fabs(v - 1), 0.2);
    pjd_noise_free(a);
    pjd_noise_free(b);
}

/* What is taken and made where it is used is what comes in one piece, of a seed and of a recording. */
static void noise_is_made_in_place(void **state)
{
    pjd_error err;
    float x[1500], y[1500];
    uint64_t first;

    for (int recorded = 0; recorded < 2; recorded++) {
        pjd_noise *a, *b;

        if (recorded) {
            test_random(y, 1500, 3);
            assert_ok(pjd_noise_recorded(y, 1500, &a, &err), &err);
            memcpy(x, y, sizeof x);
        } else {
            assert_ok(pjd_noise_seeded(7, 1, &b, &err), &err);
            assert_ok(pjd_noise_normal(b, x, 1500, &err), &err);
            pjd_noise_free(b);
            assert_ok(pjd_noise_seeded(7, 1, &a, &err), &err);
        }
        assert_ok(pjd_noise_take(a, 100, &first, &err), &err);
        assert_ok(pjd_noise_take(a, 1400, &first, &err), &err);
        assert_int_equal(first, 100);
        assert_int_equal(pjd_noise_position(a), 1500);
        for (size_t i = 100, n = 7; i < 1500; i += n, n = 1500 - i < 300 ? 1500 - i : 300) {
            float part[300];

            pjd_noise_at(a, i, part, n);
            assert_memory_equal(part, x + i, n * sizeof *part);
        }
        assert_int_equal(pjd_noise_take(a, 1, &first, &err), recorded ? PJD_ERR_ARG : PJD_OK);
        pjd_noise_free(a);
    }
}

/* Moments of a million draws, and neighbours that do not know of each other: five standard errors each. */
static void noise_is_normal(void **state)
{
    enum { N = 1 << 20 };
    float *x = malloc(N * sizeof *x);
    double m[5] = {0}, lag[4] = {0}, n = N, tail = 0;
    pjd_noise *src;
    pjd_error err;

    assert_ok(pjd_noise_seeded(123456789012345u, 3, &src, &err), &err);
    assert_ok(pjd_noise_normal(src, x, N, &err), &err);
    for (int i = 0; i < N; i++) {
        double p = 1;

        for (int k = 1; k < 5; k++)
            m[k] += (p *= x[i]) / n;
        for (int k = 1; k < 4; k++)
            lag[k] += i >= k ? (double)x[i] * x[i - k] / n : 0;
        tail += fabs(x[i]) > 3;
    }
    assert_at_most(fabs(m[1]), 5 / sqrt(n));
    assert_at_most(fabs(m[2] - 1), 5 * sqrt(2 / n));
    assert_at_most(fabs(m[3]), 5 * sqrt(15 / n));
    assert_at_most(fabs(m[4] - 3), 5 * sqrt(96 / n));
    for (int k = 1; k < 4; k++)
        assert_at_most(fabs(lag[k]), 5 / sqrt(n));
    assert_at_most(fabs(tail / n - 0.0026998), 5 * sqrt(0.0027 / n));
    pjd_noise_free(src);
    free(x);
}

static void recorded_noise_ends(void **state)
{
    pjd_error err;
    pjd_noise *n;
    const float data[3] = {1, 2, 3};
    float x[2];

    assert_ok(pjd_noise_recorded(data, 3, &n, &err), &err);
    assert_ok(pjd_noise_normal(n, x, 2, &err), &err);
    assert_int_equal(pjd_noise_normal(n, x, 2, &err), PJD_ERR_ARG);
    pjd_noise_free(n);
}

struct values {
    long factor;
    double sigma;
    bool flag;
    int mode;
    char *text;
    const pjd_array *mask;
};

static const pjd_param table[] = {
    {"factor", PJD_PARAM_INT, NULL, 2, 64, NULL, "", "enlargement", offsetof(struct values, factor)},
    {"sigma", PJD_PARAM_FLOAT, "0.5", 0, 10, NULL, "px", "width", offsetof(struct values, sigma)},
    {"flag", PJD_PARAM_BOOL, "false", 0, 0, NULL, "", "a switch", offsetof(struct values, flag)},
    {"mode", PJD_PARAM_CHOICE, "zero", 0, 0, "reflect|zero", "", "border", offsetof(struct values, mode)},
    {"text", PJD_PARAM_TEXT, "", 0, 0, NULL, "", "words", offsetof(struct values, text)},
    {"mask", PJD_PARAM_ARRAY, "", 0, 0, NULL, "", "mask", offsetof(struct values, mask)},
};

static pjd_status fill(const char *task, struct values *v, pjd_error *err)
{
    pjd_task_part *parts;
    size_t count;
    pjd_status st = pjd_task_parse(task, &parts, &count, err);

    if (st != PJD_OK)
        return st;
    st = pjd_params_fill(parts[0].name, table, 6, &parts[0].kv, NULL, 0, NULL, v, sizeof *v, NULL, err);
    pjd_task_free(parts, count);
    return st;
}

static void parameters(void **state)
{
    static const char *const bad[] = {"sr",
                                      "sr:factor=1",
                                      "sr:factor=x",
                                      "sr:factor=3,factor=3",
                                      "sr:nope=1",
                                      "sr:factor=3,",
                                      "sr:factor=3,=2",
                                      ":factor=3",
                                      "sr:factor=3+",
                                      "",
                                      "sr:factor=99",
                                      "sr:factor=3,sigma=nan",
                                      "sr:factor=3,sigma=-1",
                                      "sr:factor=3,mode=x",
                                      "sr:factor=3,flag=maybe",
                                      "sr:factor=3,mask=f"};
    struct values v;
    pjd_error err;
    pjd_task_part *parts;
    size_t count;

    assert_ok(fill("sr:factor=4,flag,text=a\\,b\\+c\\\\,mode=reflect", &v, &err), &err);
    assert_int_equal(v.factor, 4);
    assert_true(v.flag);
    assert_int_equal(v.mode, 0);
    assert_at_most(fabs(v.sigma - 0.5), 0);
    assert_string_equal(v.text, "a,b+c\\");
    pjd_params_clear(table, 6, &v);
    for (size_t i = 0; i < PJD_COUNTOF(bad); i++) {
        err.text[0] = 0;
        assert_int_equal(fill(bad[i], &v, &err), PJD_ERR_ARG);
        assert_true(err.text[0]);
    }
    assert_ok(pjd_task_parse("deblur:gaussian=2+superres:factor=2", &parts, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_string_equal(parts[1].name, "superres");
    assert_string_equal(parts[0].kv.items[0].value, "2");
    pjd_task_free(parts, count);
}

/* An item that begins like a number continues the value before it; a + begins a part all the same. */
static void values_with_commas(void **state)
{
    static const char *const bad[] = {"a:m=9,", "a:m=9,+b", "a:m=9,,3"};
    pjd_task_part *parts;
    pjd_keyvalues kv;
    size_t count;
    pjd_error err;

    assert_ok(pjd_task_parse("a:m=9,30,-1,.5,k=x,n=4\\,5+b:c=2,3\\+1", &parts, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(parts[0].kv.count, 3);
    assert_string_equal(parts[0].kv.items[0].value, "9,30,-1,.5");
    assert_string_equal(parts[0].kv.items[1].value, "x");
    assert_string_equal(parts[0].kv.items[2].value, "4,5");
    assert_string_equal(parts[1].kv.items[0].value, "2,3+1");
    pjd_task_free(parts, count);
    for (size_t i = 0; i < PJD_COUNTOF(bad); i++)
        assert_int_equal(pjd_task_parse(bad[i], &parts, &count, &err), PJD_ERR_ARG);
    /* After a name without a value there is nothing to continue. */
    assert_ok(pjd_task_parse("a:flag,9", &parts, &count, &err), &err);
    assert_string_equal(parts[0].kv.items[1].key, "9");
    pjd_task_free(parts, count);
    assert_ok(pjd_keyvalues_parse("m=9,+30,k=1", &kv, &err), &err);
    assert_int_equal(kv.count, 2);
    assert_string_equal(kv.items[0].value, "9,+30");
    pjd_keyvalues_free(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(finiteness),
        cmocka_unit_test(error_is_one_line),
        cmocka_unit_test(noise_is_counter_based),
        cmocka_unit_test(noise_is_made_in_place),
        cmocka_unit_test(noise_is_normal),
        cmocka_unit_test(recorded_noise_ends),
        cmocka_unit_test(parameters),
        cmocka_unit_test(values_with_commas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
