/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints written as safetensors and read back. The bounds are none: a value is the nearest one of its type, found by
 * going through all values of that type, or it is a failure.
 */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "weights/forge.h"
#include "weights/round.h"

/* ---- rounding ---- */

static float widen(pjd_dtype d, uint16_t bits)
{
    pjd_tensor t = {.dtype = d, .shape = pjd_shape_make(0, NULL), .data = (const unsigned char *)&bits};
    float v;

    pjd_tensor_to_f32(&t, &v);
    return v;
}

static uint16_t narrow(pjd_dtype d, float v, bool fits)
{
    uint16_t r;
    size_t bad = d == PJD_F16 ? pjd_round_f16(&v, 1, (unsigned char *)&r) : pjd_round_bf16(&v, 1, (unsigned char *)&r);

    assert_int_equal(bad, fits ? 1 : 0);
    return r;
}

static uint16_t narrow_f64(pjd_dtype d, double v)
{
    float f;

    assert_int_equal(pjd_round_f64((const unsigned char *)&v, 1, true, &f), 1);
    return narrow(d, f, true);
}

/* Every value, every middle between two, and what lies just beside the middle; as float32 and as float64. */
static void check_type(pjd_dtype d, uint16_t infinite)
{
    for (unsigned h = 0; h < infinite; h++) {
        float a = widen(d, (uint16_t)h), b = widen(d, (uint16_t)(h + 1));
        bool top = h + 1 == infinite;
        double step = top ? (double)a - (double)widen(d, (uint16_t)(h - 1)) : (double)b - (double)a;
        double middle = (double)a + step / 2;
        uint16_t even = (uint16_t)(h + (h & 1)), sign = 0x8000;

        assert_int_equal(narrow(d, a, true), h);
        assert_int_equal(narrow(d, -a, true), h | sign);
        assert_int_equal(narrow_f64(d, nextafter(middle, 0)), h);
        if (top) {
            assert_int_equal(narrow(d, (float)middle, false), infinite);
            assert_int_equal(narrow(d, nextafterf((float)middle, 0), true), h);
            continue;
        }
        assert_int_equal(narrow_f64(d, middle), even);
        assert_int_equal(narrow_f64(d, -middle), even | sign);
        assert_int_equal(narrow_f64(d, nextafter(middle, HUGE_VAL)), h + 1); /* twice to nearest would give even */
        if ((double)(float)middle == middle) {
            assert_int_equal(narrow(d, (float)middle, true), even);
            assert_int_equal(narrow(d, nextafterf((float)middle, 0), true), h);
            assert_int_equal(narrow(d, nextafterf((float)middle, HUGE_VALF), true), h + 1);
        }
    }
    assert_int_equal(narrow(d, INFINITY, true), infinite);
    assert_int_equal(narrow(d, -INFINITY, true), infinite | 0x8000);
    assert_true(isnan(widen(d, narrow(d, NAN, true))));
}

static void test_rounding(void **state)
{
    check_type(PJD_F16, 0x7c00);
    check_type(PJD_BF16, 0x7f80);
}

static void test_float64(void **state)
{
    static const double v[] = {1 + 0x1p-24, 1 + 0x1p-24 + 0x1p-50, 1e300, -INFINITY, -1e39, 0x1p-149};
    float f[6];

    assert_int_equal(pjd_round_f64((const unsigned char *)v, 6, false, f), 2);
    assert_true(f[0] == 1 && f[1] == 1 + 0x1p-23f && f[3] == -INFINITY && f[5] == 0x1p-149f);
}

/* ---- files ---- */

static const char *out_path(void)
{
    static char path[64];

    snprintf(path, sizeof path, "/tmp/projdiff-write-%ld.safetensors", (long)getpid());
    unlink(path);
    return path;
}

static bool is_float(pjd_dtype d)
{
    return d == PJD_F32 || d == PJD_F64 || d == PJD_F16 || d == PJD_BF16;
}

static void compare(const pjd_tensor *a, const pjd_tensor *b, pjd_store_type store)
{
    static const pjd_dtype dtypes[] = {PJD_F32, PJD_F16, PJD_BF16};
    pjd_dtype to = is_float(a->dtype) ? dtypes[store] : a->dtype;
    size_t n;
    float *x, *y;

    assert_non_null(b);
    assert_int_equal(b->dtype, to);
    assert_true(pjd_shape_equal(&a->shape, &b->shape));
    assert_true(pjd_shape_count(&a->shape, &n));
    x = malloc((n + 1) * sizeof *x);
    y = malloc((n + 1) * sizeof *y);
    pjd_tensor_to_f32(a, x);
    pjd_tensor_to_f32(b, y);
    for (size_t i = 0; i < n; i++) {
        float want = is_float(a->dtype) && to != PJD_F32 ? widen(to, narrow(to, x[i], true)) : x[i];

        if (!(y[i] == want))
            fail_msg("%s[%zu] = %g, expected %g", b->name, i, (double)y[i], (double)want);
    }
    free(x);
    free(y);
}

static void round_trip(const char *path)
{
    for (int store = PJD_STORE_F32; store <= PJD_STORE_BF16; store++) {
        const char *out = out_path();
        pjd_weights *w = NULL, *back = NULL;
        pjd_error err = {0};
        size_t size;
        unsigned char *bytes;

        assert_ok(pjd_weights_open(path, NULL, &w, &err), &err);
        assert_ok(pjd_weights_write_safetensors(w, path, out, (pjd_store_type)store, NULL, &err), &err);
        assert_ok(pjd_weights_open(out, NULL, &back, &err), &err);
        assert_int_equal(pjd_weights_count(back), pjd_weights_count(w));
        for (size_t i = 0; i < pjd_weights_count(w); i++) {
            const char *name = pjd_weights_name(w, i);

            compare(pjd_weights_at(w, i), pjd_weights_find(back, name), (pjd_store_type)store);
            assert_string_equal(pjd_weights_find(back, name)->name, name); /* nothing left to strip */
        }
        bytes = test_file(out, &size);
        for (size_t i = 0; i < pjd_weights_count(back); i++) /* aligned in the file: the mapping begins at a page */
            assert_int_equal((uintptr_t)pjd_weights_at(back, i)->data % pjd_dtype_size(pjd_weights_at(back, i)->dtype),
                             0);
        assert_int_equal((bytes[0] | bytes[1] << 8) % 8, 0);
        free(bytes);
        pjd_weights_free(back);
        pjd_weights_free(w);
        unlink(out);
    }
}

static void test_round_trip(void **state)
{
    static const char *const names[] = {"layouts.pt", "layouts_legacy.pt", "layouts.safetensors",
                                        "arrays.npz", "lightning.ckpt",    "ddim_list.pth",
                                        "ema.pt",     "folder_bin"};
    char path[4096];

    for (size_t i = 0; i < PJD_COUNTOF(names); i++) {
        snprintf(path, sizeof path, "%s", fixture_path(names[i]));
        round_trip(path);
    }
}

static void test_recorded(void **state)
{
    char path[4096];
    const char *at = test_golden("adm_32");

    if (!at) {
        print_message("skipped: adm_32 is not here\n");
        return;
    }
    snprintf(path, sizeof path, "%s/model_half.pt", at);
    round_trip(path);
}

/* ---- refused ---- */

static pjd_status write_forged(const char *header, const void *data, size_t n, pjd_store_type store, const char *out,
                               pjd_error *err)
{
    forge f = {0};
    pjd_weights *w = NULL;
    pjd_status st;

    forge_safetensors(&f, header, n);
    memcpy(f.data + f.size - n, data, n);
    assert_ok(pjd_weights_open_memory(f.data, f.size, NULL, &w, err), err);
    st = pjd_weights_write_safetensors(w, "forged", out, store, NULL, err);
    pjd_weights_free(w);
    forge_free(&f);
    return st;
}

static void test_beyond(void **state)
{
    static const char header[] = "{\"a.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    static const float large[] = {1, -65520}, fits[] = {65519.99f, INFINITY}, huge[] = {1, 3.4e38f};
    const char *out = out_path();
    pjd_error err = {0};

    assert_int_equal(write_forged(header, large, 8, PJD_STORE_F16, out, &err), PJD_ERR_ARG);
    assert_non_null(strstr(err.text, "a.b"));
    assert_non_null(strstr(err.text, "-65520"));
    assert_non_null(strstr(err.text, "float16"));
    assert_int_equal(access(out, F_OK), -1);
    assert_ok(write_forged(header, fits, 8, PJD_STORE_F16, out, &err), &err);
    unlink(out);
    assert_int_equal(write_forged(header, huge, 8, PJD_STORE_BF16, out, &err), PJD_ERR_ARG);
    assert_ok(write_forged(header, huge, 8, PJD_STORE_F32, out, &err), &err);
    unlink(out);
}

/* A file that is there stays as it is; an empty one may be filled; a folder that is missing is an error. */
static void test_existing(void **state)
{
    static const char header[] = "{\"a\\\"\\\\\\n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}";
    static const int64_t value = (int64_t)1 << 53 | 1; /* an integer that float32 does not hold */
    const char *out = out_path();
    pjd_weights *w = NULL;
    pjd_error err = {0};
    int64_t back;

    close(open(out, O_CREAT | O_WRONLY, 0600));
    assert_ok(write_forged(header, &value, 8, PJD_STORE_F16, out, &err), &err);
    assert_int_equal(write_forged(header, &value, 8, PJD_STORE_F16, out, &err), PJD_ERR_EXISTS);
    assert_ok(pjd_weights_open(out, NULL, &w, &err), &err);
    assert_string_equal(pjd_weights_name(w, 0), "a\"\\\n");
    memcpy(&back, pjd_weights_at(w, 0)->data, 8);
    assert_true(back == value);
    pjd_weights_free(w);
    unlink(out);
    assert_int_equal(write_forged(header, &value, 8, PJD_STORE_F16, "/nowhere/at/all", &err), PJD_ERR_IO);
    assert_int_equal(write_forged(header, &value, 8, PJD_STORE_F16, "/tmp", &err), PJD_ERR_IO);
    assert_int_equal(write_forged(header, &value, 8, (pjd_store_type)3, out, &err), PJD_ERR_ARG);
}

/* The k-th allocation fails: no file, and no leak (the sanitizer looks). */
static void test_memory(void **state)
{
    const char *out = out_path();
    pjd_weights *w = NULL;
    pjd_error err = {0};
    pjd_status st = PJD_ERR_NOMEM;

    assert_ok(pjd_weights_open(fixture_path("layouts.pt"), NULL, &w, &err), &err);
    for (uint64_t k = 1; st != PJD_OK; k++) {
        pjd_mem_test_fail_at(k);
        st = pjd_weights_write_safetensors(w, "w", out, PJD_STORE_F16, NULL, &err);
        pjd_mem_test_fail_at(0);
        if (st != PJD_OK) {
            assert_int_equal(st, PJD_ERR_NOMEM);
            assert_int_equal(access(out, F_OK), -1);
        }
        assert_true(k < 1000);
    }
    unlink(out);
    pjd_weights_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_float64), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_recorded), cmocka_unit_test(test_beyond),  cmocka_unit_test(test_existing),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
