/* SPDX-License-Identifier: MIT */
/* Broken, hostile and missing pictures, names and requests: one clear line, nothing on stderr, no file left behind. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/picture.h"
#include "made.h"

static const pjd_write_options replace = {.overwrite = true};

/* One line, begins with the name, no function names of libvips. */
static void check_text(const pjd_error *err, const char *path)
{
    assert_true(strncmp(err->text, path, strlen(path)) == 0);
    assert_null(strchr(err->text, '\n'));
    assert_null(strstr(err->text, "vips"));
    assert_null(strstr(err->text, "VipsForeign"));
}

static void must_refuse(const char *path, pjd_status code)
{
    pjd_picture *p = (pjd_picture *)1;
    float *x = (float *)1;
    pjd_shape s;
    pjd_error err;
    pjd_status st = pjd_picture_read(path, &p, &x, &s, &err);

    if (st != code)
        fail_msg("%s: %s (%s)", path, pjd_status_name(st), st == PJD_OK ? "" : err.text);
    assert_null(p);
    assert_null(x);
    assert_int_equal(s.rank, 0);
    check_text(&err, path);
}

static void tells_missing_from_broken(void **state)
{
    static const char huge[] = "P5 100000 100000 255\n1234567890";
    unsigned char rows[12] = {0};

    must_refuse(in_folder("none.png"), PJD_ERR_IO);
    must_refuse(test_folder, PJD_ERR_IO);
    put_file(in_folder("empty.png"), "", 0);
    must_refuse(in_folder("empty.png"), PJD_ERR_FORMAT);
    put_file(in_folder("text.png"), "hello, this is a text\n", 22);
    must_refuse(in_folder("text.png"), PJD_ERR_FORMAT);
    put_file(in_folder("table.csv"), "1,2,3\n4,5,6\n", 12);
    must_refuse(in_folder("table.csv"), PJD_ERR_FORMAT);
    put_file(in_folder("page.txt"), "hello\n", 6);
    must_refuse(in_folder("page.txt"), PJD_ERR_FORMAT);
    put_file(in_folder("huge.pgm"), huge, sizeof huge - 1);
    must_refuse(in_folder("huge.pgm"), PJD_ERR_UNSUPPORTED);
    make_png(in_folder("zero.png"), 0, 2, 8, 0, rows, 0, NULL);
    must_refuse(in_folder("zero.png"), PJD_ERR_FORMAT);
    assert_true(PJD_PICTURE_MAX_PIXELS > (size_t)12000 * 9000);
    folder_count(true);
}

/* Cut a good file at every step bytes: refused, or (behind the last pixel) the same samples. */
static void cut_everywhere(const char *name, size_t step)
{
    size_t size;
    unsigned char *bytes = test_file(in_folder(name), &size);
    char cut[64];
    float *whole, *x;
    pjd_shape s, t;
    pjd_error err;

    assert_non_null(bytes);
    assert_ok(pjd_picture_read(in_folder(name), NULL, &whole, &s, &err), &err);
    snprintf(cut, sizeof cut, "cut-%s", name);
    for (size_t n = 0; n < size; n += step) {
        pjd_status st;

        put_file(in_folder(cut), bytes, n);
        st = pjd_picture_read(in_folder(cut), NULL, &x, &t, &err);
        if (st == PJD_OK) {
            size_t count = 0;

            assert_true(pjd_shape_equal(&s, &t) && pjd_shape_count(&s, &count));
            assert_memory_equal(x, whole, count * sizeof *x);
            pjd_io_free(x);
        } else {
            assert_int_equal(st, PJD_ERR_FORMAT);
            check_text(&err, in_folder(cut));
        }
    }
    pjd_io_free(whole);
    free(bytes);
}

static void make_small_files(void)
{
    static float x[3 * 4 * 5];
    const pjd_shape s = pjd_shape_chw(3, 4, 5);
    static const char *const names[] = {"a.png", "a.jpg", "a.tif", "a.webp"};
    pjd_error err;

    test_random(x, 3 * 4 * 5, 1);
    for (int i = 0; i < 4; i++)
        assert_ok(pjd_picture_write(in_folder(names[i]), NULL, x, &s, &replace, &err), &err);
}

static void survives_truncation(void **state)
{
    make_small_files();
    cut_everywhere("a.png", 1);
    cut_everywhere("a.tif", 3);
    cut_everywhere("a.webp", 3);
    folder_count(true);
}

/* A cut JPEG may lose only its end marker, or be refused. */
static void survives_a_truncated_jpeg(void **state)
{
    make_small_files();
    cut_everywhere("a.jpg", 3);
    folder_count(true);
}

static void damage(void)
{
    static const char *const names[] = {"a.png", "a.jpg", "a.tif", "a.webp"};
    uint32_t seed = 1;

    make_small_files();
    for (int i = 0; i < 4; i++) {
        size_t size;
        unsigned char *bytes = test_file(in_folder(names[i]), &size);

        assert_non_null(bytes);
        for (int k = 0; k < 50; k++) { /* one byte changed: any answer, but no crash and a clean result */
            unsigned char old;
            size_t at;
            float *x;
            pjd_shape s;
            pjd_error err;

            seed = seed * 1664525u + 1013904223u;
            at = (seed >> 8) % size;
            old = bytes[at];
            bytes[at] ^= (unsigned char)(1u << (seed & 7));
            put_file(in_folder("bad"), bytes, size);
            bytes[at] = old;
            if (pjd_picture_read(in_folder("bad"), NULL, &x, &s, &err) == PJD_OK)
                pjd_io_free(x);
            else
                assert_null(x);
        }
        free(bytes);
    }
    folder_count(true);
}

static void survives_damage_and_prints_nothing(void **state)
{
    int saved = dup(STDERR_FILENO), file;
    struct stat info;

    fflush(stderr);
    file = open(in_folder("stderr"), O_RDWR | O_CREAT, 0600);
    assert_true(saved >= 0 && file >= 0);
    dup2(file, STDERR_FILENO);
    tells_missing_from_broken(NULL); /* removes the file's name, not the file */
    damage();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(fstat(file, &info), 0);
    close(file);
    assert_int_equal(info.st_size, 0);
}

static void refuses_odd_requests(void **state)
{
    static float x[3 * 4 * 4];
    const pjd_shape rgb = pjd_shape_chw(3, 4, 4), two = pjd_shape_chw(2, 4, 4), flat = {.rank = 2, .dim = {4, 4}},
                    none = pjd_shape_chw(1, 0, 4), wide = pjd_shape_chw(1, 1, 16384);
    static const struct {
        const char *name;
        pjd_write_options opt;
        pjd_status code;
        const char *text;
    } cases[] = {
        {"a.xyz", {0}, PJD_ERR_ARG, "png jpg jpeg"},
        {"a", {0}, PJD_ERR_ARG, "extension"},
        {".png", {0}, PJD_ERR_ARG, "extension"},
        {"a.jpg", {.bits = 16}, PJD_ERR_ARG, "JPEG does not hold 16 bits"},
        {"a.png", {.bits = 32}, PJD_ERR_ARG, "PNG does not hold 32 bits"},
        {"a.png", {.bits = 12}, PJD_ERR_ARG, "found 12"},
        {"a.jpg", {.quality = 101}, PJD_ERR_ARG, "found 101"},
        {"a.jpg", {.quality = -1}, PJD_ERR_ARG, "found -1"},
        {"a.pgm", {0}, PJD_ERR_ARG, "holds gray"},
        {"none/a.png", {0}, PJD_ERR_IO, "cannot be created"},
    };
    pjd_error err;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pjd_picture_write(in_folder(cases[i].name), NULL, x, &rgb, &cases[i].opt, &err),
                         cases[i].code);
        if (!strstr(err.text, cases[i].text))
            fail_msg("%s", err.text);
    }
    assert_int_equal(pjd_picture_write(in_folder("a.png"), NULL, x, &two, NULL, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_picture_write(in_folder("a.png"), NULL, x, &flat, NULL, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_picture_write(in_folder("a.png"), NULL, x, &none, NULL, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_picture_write(in_folder("a.webp"), NULL, x, &wide, NULL, &err), PJD_ERR_SHAPE);
    x[40] = NAN;
    assert_int_equal(pjd_picture_write(in_folder("a.png"), NULL, x, &rgb, NULL, &err), PJD_ERR_NONFINITE);
    x[40] = 0;
    assert_int_equal(folder_count(false), 0);
}

static void refuses_an_existing_file(void **state)
{
    static float x[16];
    const pjd_shape s = pjd_shape_chw(1, 4, 4);
    pjd_error err;

    put_file(in_folder("a.png"), "mine", 4);
    assert_int_equal(pjd_picture_write(in_folder("a.png"), NULL, x, &s, NULL, &err), PJD_ERR_EXISTS);
    assert_int_equal(folder_count(false), 1);
    assert_ok(pjd_picture_write(in_folder("a.png"), NULL, x, &s, &replace, &err), &err);
    assert_int_equal(folder_count(true), 1);
}

static void a_full_disk_leaves_no_file(void **state)
{
    static const char *const names[] = {"a.png", "a.jpg", "a.tif", "a.webp", "a.ppm"};
    static float x[3 * 100 * 100];
    const pjd_shape s = pjd_shape_chw(3, 100, 100);
    struct rlimit old, small;
    pjd_error err;

    test_random(x, 3 * 100 * 100, 1);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 3000;
    for (int i = 0; i < 5; i++) {
        pjd_status st;

        setrlimit(RLIMIT_FSIZE, &small);
        st = pjd_picture_write(in_folder(names[i]), NULL, x, &s, NULL, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        if (st != PJD_ERR_IO)
            fail_msg("%s: %s", names[i], pjd_status_name(st));
        assert_int_equal(folder_count(false), 0);
    }
}

static void takes_odd_names(void **state)
{
    static const char *const names[] = {
        "\xc3\xbc\xe6\x97\xa5.png", "a b.png", "%s%n.png", "a[1].png", "-.png", "a,b=c.png"};
    static float x[16];
    const pjd_shape s = pjd_shape_chw(1, 4, 4);
    pjd_shape t;
    float *y;
    pjd_error err;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_ok(pjd_picture_write(in_folder(names[i]), NULL, x, &s, NULL, &err), &err);
        assert_ok(pjd_picture_read(in_folder(names[i]), NULL, &y, &t, &err), &err);
        pjd_io_free(y);
    }
    /* libvips would look for options in the brackets */
    assert_int_equal(rename(in_folder("a b.png"), in_folder("a[page=3]")), 0);
    assert_ok(pjd_picture_read(in_folder("a[page=3]"), NULL, &y, &t, &err), &err);
    pjd_io_free(y);
    assert_int_equal(folder_count(true), sizeof names / sizeof names[0]);
}

static void reads_a_changed_file_anew(void **state)
{
    float x[16] = {0}, *y;
    const pjd_shape s = pjd_shape_chw(1, 4, 4);
    pjd_shape t;
    pjd_error err;

    for (int i = -1; i <= 1; i += 2) {
        x[5] = (float)i;
        assert_ok(pjd_picture_write(in_folder("a.png"), NULL, x, &s, &replace, &err), &err);
        assert_ok(pjd_picture_read(in_folder("a.png"), NULL, &y, &t, &err), &err);
        assert_true(y[5] == (float)i);
        pjd_io_free(y);
    }
    folder_count(true);
}

/* Point a standard descriptor at a file; returns the old one. */
static int redirect(int fd, const char *path, int flags)
{
    int saved = dup(fd), file = open(path, flags, 0600);

    assert_true(saved >= 0 && file >= 0);
    dup2(file, fd);
    close(file);
    return saved;
}

static void restore(int fd, int saved)
{
    dup2(saved, fd);
    close(saved);
}

static void pipes_through_the_standard_streams(void **state)
{
    static const char *const formats[] = {NULL, "png", ".tif", "jpg", "webp", "ppm", "bmp"};
    float x[3 * 4 * 4] = {0}, *y;
    const pjd_shape s = pjd_shape_chw(3, 4, 4);
    pjd_shape t;
    pjd_error err;

    x[5] = 1;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const pjd_write_options opt = {.format = formats[i]};
        pjd_status st;
        int saved;

        fflush(stdout);
        saved = redirect(STDOUT_FILENO, in_folder("pipe"), O_WRONLY | O_CREAT | O_TRUNC);
        st = pjd_picture_write("-", NULL, x, &s, &opt, &err);
        restore(STDOUT_FILENO, saved);
        if (st == PJD_ERR_UNSUPPORTED)
            continue;
        assert_ok(st, &err);
        saved = redirect(STDIN_FILENO, in_folder("pipe"), O_RDONLY);
        st = pjd_picture_read("-", NULL, &y, &t, &err);
        restore(STDIN_FILENO, saved);
        assert_ok(st, &err);
        assert_true(pjd_shape_equal(&s, &t));
        if (i < 3)
            assert_at_most(test_max_abs(x, y, 48), 0.004); /* 8 bit */
        pjd_io_free(y);
    }
    folder_count(true);
}

static void survives_failing_allocations(void **state)
{
    const unsigned char rows[4 * 4] = {1, 2, 3, 4};
    pjd_picture *p = NULL;
    float *x = NULL;
    pjd_shape s;
    pjd_error err;

    make_png(in_folder("a.png"), 2, 2, 8, 6, rows, 8, NULL);
    for (uint64_t k = 1;; k++) {
        pjd_status st;

        pjd_mem_test_fail_at(k);
        st = pjd_picture_read(in_folder("a.png"), &p, &x, &s, &err);
        if (st == PJD_OK)
            st = pjd_picture_write(in_folder("b.png"), p, x, &s, NULL, &err);
        pjd_mem_test_fail_at(0);
        pjd_picture_free(p);
        pjd_io_free(x);
        if (st == PJD_OK)
            break;
        assert_int_equal(st, PJD_ERR_NOMEM);
        assert_int_equal(folder_count(false), 1);
        assert_true(k < 40);
    }
    folder_count(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_missing_from_broken),    cmocka_unit_test(survives_truncation),
        cmocka_unit_test(survives_a_truncated_jpeg),    cmocka_unit_test(survives_damage_and_prints_nothing),
        cmocka_unit_test(refuses_odd_requests),         cmocka_unit_test(refuses_an_existing_file),
        cmocka_unit_test(a_full_disk_leaves_no_file),   cmocka_unit_test(takes_odd_names),
        cmocka_unit_test(reads_a_changed_file_anew),    cmocka_unit_test(pipes_through_the_standard_streams),
        cmocka_unit_test(survives_failing_allocations),
    };
    int failed = cmocka_run_group_tests(tests, folder_setup, folder_teardown);

    pjd_io_shutdown();
    return failed;
}
