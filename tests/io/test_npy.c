/* SPDX-License-Identifier: MIT */
/* .npy files: what NumPy writes is read, what we write NumPy reads, and no file makes the reader crash. */
#include "folder.h"
#include "io/internal.h"

/* A version 1 file with this dict and these elements; returns its size. */
static size_t build(unsigned char *buf, const char *dict, const void *elements, size_t size)
{
    size_t length = strlen(dict);

    memcpy(buf, "\x93NUMPY\1\0", 8);
    buf[8] = (unsigned char)(length & 255);
    buf[9] = (unsigned char)(length >> 8);
    memcpy(buf + 10, dict, length);
    if (size)
        memcpy(buf + 10 + length, elements, size);
    return 10 + length + size;
}

static void reads_every_dtype(void **state)
{
    static const struct {
        const char *descr;
        unsigned char bytes[16];
        size_t size;
        float a, b;
    } cases[] = {
        {"<f2", {0x00, 0x3c, 0x01, 0x80}, 4, 1.0f, -0x1p-24f}, /* one, the smallest subnormal */
        {">f2", {0xc0, 0x00, 0x7b, 0xff}, 4, -2.0f, 65504.0f},
        {"<f4", {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, 8, 1.0f, -2.0f},
        {">f4", {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}, 8, 1.0f, -2.0f},
        {"=f4", {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, 8, 1.0f, -2.0f},
        {"<f8", {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, 16, 1.0f, -2.0f},
        {">f8", {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0}, 16, 1.0f, -2.0f},
        {"|i1", {5, 0xff}, 2, 5.0f, -1.0f},
        {"|u1", {5, 0xff}, 2, 5.0f, 255.0f},
        {"|b1", {0, 1}, 2, 0.0f, 1.0f},
        {"<i2", {0x34, 0x12, 0xfe, 0xff}, 4, 4660.0f, -2.0f},
        {">i2", {0x12, 0x34, 0xff, 0xfe}, 4, 4660.0f, -2.0f},
        {"<u2", {0x34, 0x12, 0xfe, 0xff}, 4, 4660.0f, 65534.0f},
        {"<i4", {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 8, 1.0f, -1.0f},
        {">u4", {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, 8, 1.0f, 4294967296.0f},
        {"<i8", {1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 16, 1.0f, -1.0f},
        {">u8", {0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0}, 16, 1.0f, 0x1p63f},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char buf[256];
        char dict[128];
        float *x;
        pjd_shape s;
        pjd_error err;
        size_t n;

        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }\n", cases[i].descr);
        n = build(buf, dict, cases[i].bytes, cases[i].size);
        assert_ok(pjd_npy_parse("t", buf, n, &x, &s, &err), &err);
        assert_int_equal(s.rank, 1);
        assert_int_equal(s.dim[0], 2);
        assert_true(x[0] == cases[i].a && x[1] == cases[i].b);
        pjd_io_free(x);
    }
}

static void reads_odd_headers(void **state)
{
    static const char *const good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}",
        "{'shape':(1,2,),'fortran_order':False,'descr':\"<f4\"}   \n",
        "{\"descr\": '<f4', \"shape\": (1L, 2L), 'fortran_order': True, }",
        " { 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 1 , 2 ) , } ",
    };
    const float v[2] = {3, 4};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        unsigned char buf[256];
        size_t n = build(buf, good[i], v, sizeof v);
        float *x;
        pjd_shape s;
        pjd_error err;

        assert_ok(pjd_npy_parse("t", buf, n, &x, &s, &err), &err);
        assert_true(s.rank == 2 && s.dim[0] == 1 && s.dim[1] == 2 && x[0] == 3 && x[1] == 4);
        pjd_io_free(x);
    }
}

static void reads_format_2_and_empty(void **state)
{
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0, 17), }";
    unsigned char buf[128] = "\x93NUMPY\2\0";
    float *x;
    pjd_shape s;
    pjd_error err;

    buf[8] = sizeof dict - 1;
    memcpy(buf + 12, dict, sizeof dict - 1);
    assert_ok(pjd_npy_parse("t", buf, 12 + sizeof dict - 1, &x, &s, &err), &err);
    assert_true(s.rank == 3 && s.dim[1] == 0 && s.dim[2] == 17);
    assert_non_null(x);
    pjd_io_free(x);
}

static void transposes_fortran_order(void **state)
{
    /* numpy.arange(6).reshape(1, 2, 3) stored with order='F' */
    const float stored[6] = {0, 3, 1, 4, 2, 5};
    unsigned char buf[256];
    size_t n = build(buf, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 3), }", stored, sizeof stored);
    float *x;
    pjd_shape s;
    pjd_error err;

    assert_ok(pjd_npy_parse("t", buf, n, &x, &s, &err), &err);
    for (int i = 0; i < 6; i++)
        assert_true(x[i] == (float)i);
    pjd_io_free(x);
}

static void refuses_hostile_headers(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,,1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 16)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': 'O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|S4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '|V4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<M8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f1', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<b2', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4\\'', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4",
    };
    const float v[4] = {0};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned char buf[512];
        size_t n = build(buf, bad[i], v, sizeof v);
        float *x = (float *)buf;
        pjd_shape s;
        pjd_error err = {0};

        if (pjd_npy_parse("t", buf, n, &x, &s, &err) != PJD_ERR_FORMAT)
            fail_msg("accepted: %s", bad[i]);
        assert_null(x);
        assert_int_equal(s.rank, 0);
        assert_true(strncmp(err.text, "t: ", 3) == 0);
    }
}

static void bounds_the_header_length(void **state)
{
    unsigned char buf[64] = "\x93NUMPY\2\0\xff\xff\xff\xff{}";
    float *x;
    pjd_shape s;
    pjd_error err;

    assert_int_equal(pjd_npy_parse("t", buf, sizeof buf, &x, &s, &err), PJD_ERR_FORMAT);
    assert_non_null(strstr(err.text, "10000 bytes"));
    memcpy(buf, "\x93NUMPY\4\0", 8);
    assert_int_equal(pjd_npy_parse("t", buf, sizeof buf, &x, &s, &err), PJD_ERR_FORMAT);
    memcpy(buf, "\x93NUMPX\1\0", 8);
    assert_int_equal(pjd_npy_parse("t", buf, sizeof buf, &x, &s, &err), PJD_ERR_FORMAT);
}

static void survives_truncation_at_every_byte(void **state)
{
    float v[17], *x;
    size_t size;
    unsigned char *whole;
    pjd_shape shape = {.rank = 1, .dim = {17}}, s;
    pjd_error err;

    test_random(v, 17, 1);
    assert_ok(pjd_npy_write(in_folder("whole.npy"), v, &shape, false, &err), &err);
    whole = test_file(in_folder("whole.npy"), &size);
    assert_non_null(whole);
    for (size_t n = 0; n < size; n++) {
        unsigned char *part = malloc(n + !n); /* exactly n, so that the sanitizer sees a step too far */

        memcpy(part, whole, n);
        assert_int_equal(pjd_npy_parse("t", part, n, &x, &s, &err), PJD_ERR_FORMAT);
        assert_null(x);
        free(part);
    }
    assert_ok(pjd_npy_parse("t", whole, size, &x, &s, &err), &err);
    assert_memory_equal(x, v, sizeof v);
    pjd_io_free(x);
    free(whole);
    unlink(in_folder("whole.npy"));
}

static void round_trips_every_rank(void **state)
{
    static const pjd_shape shapes[] = {{0},
                                       {1, {1}},
                                       {1, {3}},
                                       {2, {1, 17}},
                                       {3, {3, 2, 17}},
                                       {4, {2, 1, 3, 2}},
                                       {8, {1, 2, 1, 2, 1, 2, 1, 2}},
                                       {3, {3, 0, 2}}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        float v[128], *x;
        size_t n, size;
        unsigned char *bytes;
        pjd_shape s;
        pjd_error err;

        assert_true(pjd_shape_count(&shapes[i], &n));
        test_random(v, n, i);
        if (n > 1)
            v[1] = NAN;
        assert_ok(pjd_npy_write(in_folder("a.npy"), v, &shapes[i], i > 0, &err), &err);
        assert_ok(pjd_npy_read(in_folder("a.npy"), &x, &s, &err), &err);
        assert_true(pjd_shape_equal(&s, &shapes[i]));
        assert_memory_equal(x, v, n * sizeof *v);
        pjd_io_free(x);
        bytes = test_file(in_folder("a.npy"), &size);
        assert_int_equal((size - n * sizeof *v) % 64, 0); /* the alignment that the format asks for */
        free(bytes);
    }
    unlink(in_folder("a.npy"));
}

static void matches_what_numpy_writes(void **state)
{
    /* numpy.save("x.npy", numpy.array([[1, 2, 3]], dtype="<f4")), NumPy 1.24 */
    static const char numpy[] = "\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }"
                                "                                                         "
                                " \n\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40";
    const float v[3] = {1, 2, 3};
    const pjd_shape shape = {.rank = 2, .dim = {1, 3}};
    size_t size;
    unsigned char *bytes;
    pjd_error err;

    assert_ok(pjd_npy_write(in_folder("n.npy"), v, &shape, false, &err), &err);
    bytes = test_file(in_folder("n.npy"), &size);
    assert_int_equal(size, 140);
    assert_int_equal(sizeof numpy - 1, 140);
    assert_memory_equal(bytes, numpy, size);
    free(bytes);
    unlink(in_folder("n.npy"));
}

static void tells_missing_from_broken(void **state)
{
    float *x;
    pjd_shape s;
    pjd_error err;

    assert_int_equal(pjd_npy_read(in_folder("none.npy"), &x, &s, &err), PJD_ERR_IO);
    assert_int_equal(pjd_npy_read(test_folder, &x, &s, &err), PJD_ERR_IO);
    put_file(in_folder("text.npy"), "hello", 5);
    assert_int_equal(pjd_npy_read(in_folder("text.npy"), &x, &s, &err), PJD_ERR_FORMAT);
    put_file(in_folder("text.npy"), "", 0);
    assert_int_equal(pjd_npy_read(in_folder("text.npy"), &x, &s, &err), PJD_ERR_FORMAT);
    assert_null(x);
    unlink(in_folder("text.npy"));
}

static void survives_failing_allocations(void **state)
{
    const float v[2] = {1, 2};
    const pjd_shape shape = {.rank = 1, .dim = {2}};
    float *x;
    pjd_shape s;
    pjd_error err;
    pjd_status st;

    for (uint64_t k = 1;; k++) {
        pjd_mem_test_fail_at(k);
        st = pjd_npy_write(in_folder("m.npy"), v, &shape, true, &err);
        if (st == PJD_OK)
            st = pjd_npy_read(in_folder("m.npy"), &x, &s, &err);
        pjd_mem_test_fail_at(0);
        if (st == PJD_OK)
            break;
        assert_int_equal(st, PJD_ERR_NOMEM);
        assert_true(k < 20);
    }
    pjd_io_free(x);
    unlink(in_folder("m.npy"));
    assert_int_equal(folder_count(false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_dtype),
        cmocka_unit_test(reads_odd_headers),
        cmocka_unit_test(reads_format_2_and_empty),
        cmocka_unit_test(transposes_fortran_order),
        cmocka_unit_test(refuses_hostile_headers),
        cmocka_unit_test(bounds_the_header_length),
        cmocka_unit_test(survives_truncation_at_every_byte),
        cmocka_unit_test(round_trips_every_rank),
        cmocka_unit_test(matches_what_numpy_writes),
        cmocka_unit_test(tells_missing_from_broken),
        cmocka_unit_test(survives_failing_allocations),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
