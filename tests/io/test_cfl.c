/* SPDX-License-Identifier: MIT */
/* Complex arrays: .npy and BART's .cfl there and back, and broken files. */
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "io/internal.h"

static const char good[] = "# Dimensions\n2 3 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n# Command\nphantom\n";

static pjd_status parse(const char *header, const unsigned char *bytes, size_t size, float **data, pjd_shape *s,
                        pjd_error *err)
{
    size_t n = strlen(header);
    unsigned char *exact = malloc(n ? n : 1);
    pjd_status st;

    memcpy(exact, header, n);
    st = pjd_cfl_parse("t", exact, n, bytes, size, data, s, err);
    free(exact);
    return st;
}

static void first_dimension_is_fastest(void **state)
{
    float file[12], *x;
    unsigned char bytes[48];
    pjd_shape s;
    pjd_error err;

    for (int i = 0; i < 12; i++)
        file[i] = (float)i;
    memcpy(bytes, file, sizeof bytes); /* the tests run on little-endian machines */
    assert_ok(parse(good, bytes, sizeof bytes, &x, &s, &err), &err);
    assert_int_equal(s.rank, 2);
    assert_int_equal(s.dim[0], 2);
    assert_int_equal(s.dim[1], 3);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            assert_true(x[2 * (3 * i + j)] == file[2 * (2 * j + i)]);
            assert_true(x[2 * (3 * i + j) + 1] == file[2 * (2 * j + i) + 1]);
        }
    pjd_io_free(x);
}

static void refuses(void **state)
{
    static const struct {
        const char *header;
        pjd_status status;
    } cases[] = {
        {"", PJD_ERR_FORMAT},
        {"# Dimensions", PJD_ERR_FORMAT},
        {"# Dimensions\n", PJD_ERR_FORMAT},
        {"# Dimensions\n\n2 3\n", PJD_ERR_FORMAT},
        {"# Command\n2 3\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 x\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 -3\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 3.5\n", PJD_ERR_FORMAT},
        {"# Dimensions\n0 3\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 4\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 2\n", PJD_ERR_FORMAT},
        {"# Dimensions\n4294967296 4294967296\n", PJD_ERR_FORMAT},
        {"# Dimensions\n99999999999999999999 3\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2305843009213693952 2\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 3 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", PJD_ERR_FORMAT},
        {"# Dimensions\n2 1 1 1 1 1 1 1 1 3\n", PJD_ERR_UNSUPPORTED},
    };
    unsigned char bytes[48] = {0};

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        float *x = (float *)bytes;
        pjd_shape s;
        pjd_error err = {0};
        pjd_status st = parse(cases[i].header, bytes, sizeof bytes, &x, &s, &err);

        if (st != cases[i].status)
            fail_msg("\"%s\": %s expected, found %s", cases[i].header, pjd_status_name(cases[i].status),
                     pjd_status_name(st));
        assert_null(x);
        assert_true(strlen(err.text) > 10);
    }
}

static void truncated_anywhere(void **state)
{
    unsigned char bytes[48] = {0};

    for (size_t n = 0; n < sizeof bytes; n++) {
        float *x = (float *)bytes;
        pjd_shape s;
        pjd_error err;

        assert_int_equal(parse(good, bytes, n, &x, &s, &err), PJD_ERR_FORMAT);
        assert_null(x);
    }
    for (size_t n = 0; n < strlen(good); n++) { /* a header that ends early is refused, or says the same */
        char header[sizeof good];
        float *x = NULL;
        pjd_shape s;
        pjd_error err;

        memcpy(header, good, n);
        header[n] = 0;
        if (parse(header, bytes, sizeof bytes, &x, &s, &err) == PJD_OK) {
            assert_int_equal(s.dim[0] * s.dim[1], 6);
            pjd_io_free(x);
        }
    }
}

static void there_and_back(void **state)
{
    static const char *const names[] = {"a.npy", "a.cfl", "B.CFL"};
    const size_t dims[3] = {3, 2, 5};
    pjd_shape shape = pjd_shape_make(3, dims);
    float data[60];

    test_random(data, 60, 1);
    for (size_t i = 0; i < PJD_COUNTOF(names); i++) {
        const char *path = in_folder(names[i]);
        float *x;
        pjd_shape s;
        pjd_error err;

        assert_ok(pjd_complex_write(path, data, &shape, false, &err), &err);
        assert_int_equal(pjd_complex_write(path, data, &shape, false, &err), PJD_ERR_EXISTS);
        assert_ok(pjd_complex_write(path, data, &shape, true, &err), &err);
        assert_ok(pjd_complex_read(path, &x, &s, &err), &err);
        assert_true(pjd_shape_equal(&s, &shape));
        assert_memory_equal(x, data, sizeof data);
        pjd_io_free(x);
    }
}

/* Real arrays have an imaginary part of 0; plain reading still refuses complex numbers. */
static void real_and_complex(void **state)
{
    const size_t dims[2] = {2, 2};
    pjd_shape shape = pjd_shape_make(2, dims), s;
    float data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *x = data;
    const char *path = in_folder("real.npy");
    pjd_error err;

    assert_ok(pjd_npy_write(path, data, &shape, false, &err), &err);
    assert_ok(pjd_complex_read(path, &x, &s, &err), &err);
    for (int i = 0; i < 4; i++)
        assert_true(x[2 * i] == data[i] && x[2 * i + 1] == 0);
    pjd_io_free(x);
    path = in_folder("complex.npy");
    assert_ok(pjd_complex_write(path, data, &shape, false, &err), &err);
    x = data;
    assert_int_equal(pjd_npy_read(path, &x, &s, &err), PJD_ERR_FORMAT);
    assert_null(x);
}

static void missing_header(void **state)
{
    float local, *x = &local;
    pjd_shape s;
    pjd_error err;

    assert_int_equal(pjd_complex_read(in_folder("none.cfl"), &x, &s, &err), PJD_ERR_IO);
    assert_null(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_dimension_is_fastest), cmocka_unit_test(refuses),
        cmocka_unit_test(truncated_anywhere),         cmocka_unit_test(there_and_back),
        cmocka_unit_test(real_and_complex),           cmocka_unit_test(missing_header),
    };

    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
