/* SPDX-License-Identifier: MIT */
/* The battery over every operator of the registry, with tiny and odd sizes. */
#include "battery.h"

static const size_t sizes[][2] = {{1, 1}, {2, 2}, {3, 3}, {17, 17}, {1, 17}, {17, 2}, {3, 5}, {16, 10}};

static void properties(const op_case *c, const pjd_operator *op)
{
    check_result(op);
    if (op->linear) {
        check_adjoint(op);
        check_prox(op);
        check_spectral(op);
    }
    if (c->meets >= 0.0)
        check_projection(op, c->meets);
    check_guess(op);
    check_no_allocation(op);
}

static void test_properties(void **state)
{
    for (size_t k = 0; k < op_case_count; k++)
        for (size_t channels = 1; channels <= 3; channels++)
            for (size_t i = 0; (channels != 2 || op_cases[k].x_channels == 2) && i < PJD_COUNTOF(sizes); i++) {
                pjd_shape s = pjd_shape_chw(channels, sizes[i][0], sizes[i][1]);
                pjd_operator *op = case_create(&op_cases[k], true, &s, 31 + i);

                if (op) {
                    print_message("%s from x %zux%zux%zu\n", op_cases[k].task, channels, sizes[i][0], sizes[i][1]);
                    properties(&op_cases[k], op);
                }
                pjd_operator_unref(op);
                op = case_create_y(&op_cases[k], true, &s, 31 + i);
                if (op) {
                    print_message("%s from y %zux%zux%zu\n", op_cases[k].task, channels, sizes[i][0], sizes[i][1]);
                    properties(&op_cases[k], op);
                }
                pjd_operator_unref(op);
            }
}

static void test_every_class_has_a_case(void **state)
{
    for (const pjd_op_class *const *c = pjd_op_classes; *c; c++) {
        size_t found = 0, n = strlen((*c)->entry.name);

        for (size_t k = 0; k < op_case_count; k++)
            found += !strncmp(op_cases[k].task, (*c)->entry.name, n) && strchr(":", op_cases[k].task[n]);
        if (!found)
            fail_msg("battery.c has no case for %s", (*c)->entry.name);
        assert_true(strlen((*c)->entry.summary) > 5);
        for (size_t i = 0; i < (*c)->entry.param_count; i++)
            assert_true(strlen((*c)->entry.params[i].help) > 5);
    }
}

static void test_noise_gain(void **state)
{
    for (size_t k = 0; k < op_case_count; k++) {
        const op_case *c = &op_cases[k];
        size_t side = c->gain_side ? c->gain_side : 30;
        pjd_shape s = pjd_shape_chw(c->x_channels ? c->x_channels : 1, side, side);
        pjd_operator *op = case_create(c, true, &s, 5);

        if (op && pjd_operator_is_linear(op)) {
            print_message("%s\n", c->task);
            check_noise_gain(op, c->exact_gain);
        }
        pjd_operator_unref(op);
    }
}

static void test_thread_independence(void **state)
{
    for (size_t k = 0; k < op_case_count; k++)
        for (size_t channels = 1; channels <= 2; channels++) {
            /* Above the size from which loops are shared out; a dense matrix is large enough sooner. */
            const op_case *c = &op_cases[k];
            bool dense = strstr(c->task, "gaussian,ratio") != NULL;
            pjd_shape s = pjd_shape_chw(c->x_channels ? c->x_channels : channels, dense ? 40 : 261, dense ? 50 : 270);
            pjd_operator *op = case_create(c, false, &s, 5);

            assert_non_null(op);
            print_message("%s, threads\n", c->task);
            check_threads(op);
            pjd_operator_unref(op);
        }
}

static void test_allocation_failures(void **state)
{
    for (size_t k = 0; k < op_case_count; k++)
        for (uint64_t at = 1;; at++) {
            float data[9 * 11];
            const op_case *c = &op_cases[k];
            pjd_shape s = pjd_shape_chw(c->x_channels ? c->x_channels : 1, 9, 11);
            pjd_array a = {c->array, {.rank = 2, .dim = {9, 11}}, data};
            pjd_operator *op = (pjd_operator *)&a;
            pjd_error err = {0};
            pjd_status st;

            if (c->array && !strcmp(c->array, "kernel"))
                a.shape = pjd_shape_chw(1, 3, 4);
            for (size_t i = 0; i < 99; i++)
                data[i] = (float)(1 + i % 3);
            pjd_mem_test_fail_at(at);
            st = pjd_operator_create(c->task, &a, c->array ? 1 : 0, &s, NULL, &op, &err);
            pjd_mem_test_fail_at(0);
            if (st == PJD_OK) {
                pjd_operator_unref(op);
                break;
            }
            assert_null(op);
            assert_int_equal(st, PJD_ERR_NOMEM);
            assert_true(at < 1000);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_class_has_a_case),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_noise_gain),
        cmocka_unit_test(test_thread_independence),
        cmocka_unit_test(test_allocation_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
