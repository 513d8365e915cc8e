/* SPDX-License-Identifier: MIT */
/* Contact sheets: every picture is there, unchanged; empty places, odd texts and small pictures are fine. */
#include "folder.h"
#include "io/internal.h"

/* fontconfig keeps its tables until the process ends; only the leak checker reads this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

static const pjd_write_options replace = {.overwrite = true};

/* Pixels of this colour on the sheet. */
static size_t count_colour(const float *x, const pjd_shape *s, const float colour[3])
{
    size_t plane = s->dim[1] * s->dim[2], n = 0;

    for (size_t i = 0; i < plane; i++)
        n += fabsf(x[i] - colour[0]) < 0.01f && fabsf(x[plane + i] - colour[1]) < 0.01f &&
             fabsf(x[2 * plane + i] - colour[2]) < 0.01f;
    return n;
}

static void shows_every_picture(void **state)
{
    static float red[3 * 40 * 30], gray[1 * 50 * 60];
    static const char *const labels[] = {"first row with a long name", NULL}, *const titles[] = {"a", "b <&>", NULL};
    pjd_sheet_cell cells[6] = {{red, pjd_shape_chw(3, 40, 30), "24.3 dB"},
                               {gray, pjd_shape_chw(1, 50, 60), NULL},
                               {NULL, {0}, "missing"},
                               {NULL, {0}, NULL},
                               {red, pjd_shape_chw(3, 40, 30), "\xff not UTF-8"},
                               {gray, pjd_shape_chw(1, 50, 60), ""}};
    const float want_red[3] = {1, -1, 0}, want_gray[3] = {0.5f, 0.5f, 0.5f};
    pjd_shape s;
    float *x;
    pjd_error err;

    for (size_t i = 0; i < 1200; i++) {
        red[i] = 1;
        red[1200 + i] = -1;
    }
    for (size_t i = 0; i < 3000; i++)
        gray[i] = 0.5f;
    assert_ok(pjd_sheet_write(in_folder("s.png"), 2, 3, cells, labels, titles, 0, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("s.png"), NULL, &x, &s, &err), &err);
    assert_int_equal(s.dim[0], 3);
    assert_int_equal(count_colour(x, &s, want_red), 2 * 1200);
    assert_true(count_colour(x, &s, want_gray) >= 2 * 3000); /* the edges of letters are gray too */
    pjd_io_free(x);
    /* An existing sheet is an existing file. */
    assert_int_equal(pjd_sheet_write(in_folder("s.png"), 2, 3, cells, labels, titles, 0, NULL, &err), PJD_ERR_EXISTS);
    assert_ok(pjd_sheet_write(in_folder("s.png"), 2, 3, cells, NULL, NULL, 0, &replace, &err), &err);
    /* Small pictures are enlarged by a whole factor: 40 x 4. */
    assert_ok(pjd_sheet_write(in_folder("s.png"), 1, 1, cells, NULL, NULL, 128, &replace, &err), &err);
    assert_ok(pjd_picture_read(in_folder("s.png"), NULL, &x, &s, &err), &err);
    assert_int_equal(count_colour(x, &s, want_red), 16 * 1200);
    pjd_io_free(x);
    assert_int_equal(folder_count(true), 1);
}

static void refuses_odd_requests(void **state)
{
    static float x[4];
    pjd_sheet_cell cell = {x, pjd_shape_chw(2, 1, 1), NULL};
    pjd_error err;

    assert_int_equal(pjd_sheet_write(in_folder("s.png"), 1, 1, &cell, NULL, NULL, 0, NULL, &err), PJD_ERR_SHAPE);
    cell.shape = pjd_shape_chw(1, 1, 0);
    assert_int_equal(pjd_sheet_write(in_folder("s.png"), 1, 1, &cell, NULL, NULL, 0, NULL, &err), PJD_ERR_SHAPE);
    cell.shape = pjd_shape_chw(1, 2, 2);
    assert_int_equal(pjd_sheet_write(in_folder("s.png"), 0, 1, &cell, NULL, NULL, 0, NULL, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_sheet_write(in_folder("s.png"), 1, 5000, &cell, NULL, NULL, 0, NULL, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_sheet_write(in_folder("s.nothing"), 1, 1, &cell, NULL, NULL, 0, NULL, &err), PJD_ERR_ARG);
    for (uint64_t k = 1;; k++) {
        pjd_status st;

        pjd_mem_test_fail_at(k);
        st = pjd_sheet_write(in_folder("s.png"), 1, 1, &cell, NULL, NULL, 0, NULL, &err);
        pjd_mem_test_fail_at(0);
        if (st == PJD_OK)
            break;
        assert_int_equal(st, PJD_ERR_NOMEM);
        assert_true(k < 20);
    }
    folder_count(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_every_picture),
        cmocka_unit_test(refuses_odd_requests),
    };
    int failed = cmocka_run_group_tests(tests, folder_setup, folder_teardown);

    pjd_io_shutdown();
    return failed;
}
