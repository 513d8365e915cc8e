/* SPDX-License-Identifier: MIT */
/* Checkpoints that must load: element types, layouts, wrappers, folders. The fixtures follow one rule (make_fixtures.py). */
#include "weights/forge.h"
#include "weights/zipdir.h"

typedef struct log_text {
    char text[4096];
} log_text;

static void collect(void *user, pjd_log_level level, const char *line)
{
    log_text *l = user;
    size_t n = strlen(l->text);

    snprintf(l->text + n, sizeof l->text - n, "%s\n", line);
}

static pjd_weights *open_fixture(const char *name, log_text *log)
{
    pjd_log l = {.fn = log ? collect : NULL, .user = log};
    pjd_weights *w = NULL;
    pjd_error err = {0};

    if (log)
        log->text[0] = '\0';
    assert_ok(pjd_weights_open(fixture_path(name), &l, &w, &err), &err);
    return w;
}

/* Every value of a tensor is what rule(k) says, k counting in C order. */
static void check(const pjd_weights *w, const char *name, pjd_dtype dtype, pjd_shape shape, double (*rule)(size_t k))
{
    const pjd_tensor *t = pjd_weights_find(w, name);
    size_t n;
    float *x;

    if (!t)
        fail_msg("%s: not there", name);
    assert_int_equal(t->dtype, dtype);
    assert_true(pjd_shape_equal(&t->shape, &shape));
    assert_true(pjd_shape_count(&shape, &n));
    x = malloc((n + 1) * sizeof *x);
    x[n] = 1234.5f;
    pjd_tensor_to_f32(t, x);
    for (size_t k = 0; k < n; k++)
        if (!(x[k] == (float)rule(k)))
            fail_msg("%s[%zu] = %g, expected %g", name, k, (double)x[k], rule(k));
    assert_true(x[n] == 1234.5f);
    free(x);
}

#define SHAPE(...) pjd_shape_make(sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (size_t[]){__VA_ARGS__})

static double ramp(size_t k)
{
    return (double)k - 3;
}
static double averaged(size_t k)
{
    return (double)k + 97;
}
static double count_up(size_t k)
{
    return (double)k;
}
static double alternate(size_t k)
{
    return (double)(k % 2);
}
static double transposed(size_t k) /* of 3x4 */
{
    return (double)(k % 3 * 4 + k / 3) - 3;
}
static double second_row(size_t k)
{
    return (double)k + 1;
}
static double third_column(size_t k)
{
    return (double)(4 * k + 2) - 3;
}
static double expanded(size_t k)
{
    return (double)(k % 3) + 5;
}
static double seven(size_t k)
{
    return 7;
}

static void check_types(const pjd_weights *w)
{
    static const struct {
        const char *name;
        pjd_dtype dtype;
    } types[] = {
        {"type.float64", PJD_F64}, {"type.float16", PJD_F16}, {"type.bfloat16", PJD_BF16}, {"type.int64", PJD_I64},
        {"type.int32", PJD_I32},   {"type.int16", PJD_I16},   {"type.int8", PJD_I8},
    };

    for (size_t i = 0; i < PJD_COUNTOF(types); i++)
        check(w, types[i].name, types[i].dtype, SHAPE(2, 3), ramp);
    check(w, "type.uint8", PJD_U8, SHAPE(2, 3), count_up);
    check(w, "type.bool", PJD_BOOL, SHAPE(2, 3), alternate);
    check(w, "base", PJD_F32, SHAPE(3, 4), ramp);
    check(w, "channels_last", PJD_F32, SHAPE(2, 3, 4, 5), ramp);
    check(w, "scalar", PJD_I64, pjd_shape_make(0, NULL), ramp);
    check(w, "empty", PJD_F32, SHAPE(0, 3), ramp);
}

static void check_layouts(const char *name, const char *container)
{
    pjd_weights *w = open_fixture(name, NULL);

    assert_string_equal(pjd_weights_container(w), container);
    assert_int_equal(pjd_weights_count(w), 18);
    check_types(w);
    check(w, "view.transposed", PJD_F32, SHAPE(4, 3), transposed);
    check(w, "view.slice", PJD_F32, SHAPE(2, 4), second_row);
    check(w, "view.column", PJD_F32, SHAPE(3), third_column);
    check(w, "view.expanded", PJD_F32, SHAPE(2, 3), expanded);
    check(w, "parameter", PJD_F32, SHAPE(5), ramp);
    assert_ptr_equal(pjd_weights_find(w, "base")->storage, pjd_weights_find(w, "view.slice")->storage);
    assert_ptr_not_equal(pjd_weights_find(w, "base")->storage, pjd_weights_find(w, "parameter")->storage);
    assert_null(pjd_weights_find(w, "absent"));
    assert_string_equal(pjd_weights_at(w, 0)->name, "base"); /* file order */
    assert_null(pjd_weights_at(w, 18));
    assert_null(pjd_weights_config(w));
    pjd_weights_free(w);
}

static void test_layouts(void **state)
{
    pjd_weights *w;

    check_layouts("layouts.pt", "torch zip");
    check_layouts("layouts_protocol4.pt", "torch zip");
    check_layouts("layouts_legacy.pt", "torch legacy");
    w = open_fixture("layouts.safetensors", NULL);
    assert_string_equal(pjd_weights_container(w), "safetensors");
    assert_int_equal(pjd_weights_count(w), 13);
    check_types(w);
    pjd_weights_free(w);
}

static double from_second(size_t i)
{
    return ramp(i + 1);
}

/* A network object of EDM's library: the tensors of its attributes, its kind and numbers, and nothing run. */
static void test_object(void **state)
{
    pjd_weights *w = open_fixture("edm_object.pkl", NULL);

    assert_string_equal(pjd_weights_container(w), "EDM pickle");
    assert_int_equal(pjd_weights_count(w), 2);
    check(w, "8x8_conv.weight", PJD_F16, SHAPE(2, 3), ramp);
    check(w, "8x8_conv.filter", PJD_F32, SHAPE(2), from_second);
    assert_string_equal(pjd_weights_at(w, 0)->name, "model.8x8_conv.weight");
    assert_string_equal(pjd_weights_hyper(w), "{\"preconditioning\":\"edm\",\"sigma_data\":0.25}");
    pjd_weights_free(w);
}

static void test_npz(void **state)
{
    static const char *const files[] = {"arrays.npz", "arrays_deflated.npz"};

    for (size_t i = 0; i < PJD_COUNTOF(files); i++) {
        pjd_weights *w = open_fixture(files[i], NULL);

        assert_string_equal(pjd_weights_container(w), "npz");
        assert_int_equal(pjd_weights_count(w), 7);
        check(w, "base", PJD_F32, SHAPE(3, 4), ramp);
        check(w, "fortran", PJD_F32, SHAPE(2, 3), ramp);
        check(w, "big", PJD_F32, SHAPE(2, 3), ramp);
        check(w, "type.float16", PJD_F16, SHAPE(2, 3), ramp);
        check(w, "scalar", PJD_I64, pjd_shape_make(0, NULL), ramp);
        check(w, "empty", PJD_F32, SHAPE(0, 3), ramp);
        check(w, "type.bool", PJD_BOOL, SHAPE(2, 3), alternate);
        pjd_weights_free(w);
    }
}

/* The four tensors of named() in make_fixtures.py. */
static void check_named(const pjd_weights *w, double (*rule)(size_t k))
{
    check(w, "conv.weight", PJD_F32, SHAPE(2, 3), rule);
    check(w, "conv.bias", PJD_F32, SHAPE(2), rule);
    check(w, "norm.weight", PJD_F32, SHAPE(4), rule);
    check(w, "norm.count", PJD_I64, pjd_shape_make(0, NULL), seven);
}

static void test_wrappers(void **state)
{
    static const struct {
        const char *file, *said, *stored;
        size_t count;
        double (*rule)(size_t k);
    } cases[] = {
        {"bare.pt", "", "conv.bias", 4, ramp},
        {"legacy_protocol4.pt", "", "conv.bias", 4, ramp},
        {"module_optimizer.pt", "prefix module. stripped", "module.conv.bias", 4, ramp},
        {"ema.pt", "EMA weights taken (ema)", "conv.bias", 4, averaged},
        {"ddim_list.pth", "EMA weights taken (last element", "conv.bias", 4, averaged},
        {"ema_list.pt", "EMA weights taken (shadow_params", "module.conv.bias", 4, averaged},
        {"ema_class.pt", "EMA weights taken (ema_model.*)", "ema_model.model.conv.bias", 6, averaged},
        {"lightning.ckpt", "prefix model.unet. stripped", "model.unet.conv.bias", 4, ramp},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        log_text log;
        pjd_weights *w = open_fixture(cases[i].file, &log);

        print_message("%s\n", cases[i].file);
        assert_non_null(strstr(log.text, cases[i].said));
        assert_int_equal(pjd_weights_count(w), cases[i].count);
        check_named(w, cases[i].rule);
        /* Stored names stay usable. */
        assert_ptr_equal(pjd_weights_find(w, cases[i].stored), pjd_weights_find(w, "conv.bias"));
        assert_string_equal(pjd_weights_find(w, "conv.bias")->name, cases[i].stored);
        pjd_weights_free(w);
    }
}

static void test_lightning(void **state)
{
    pjd_weights *w = open_fixture("lightning.ckpt", NULL);

    /* Listed twice, kept once; the other name finds it too. */
    assert_ptr_equal(pjd_weights_find(w, "model.diffusion.net.conv.bias"), pjd_weights_find(w, "conv.bias"));
    assert_string_equal(pjd_weights_hyper(w),
                        "{\"learning_rate\":0.0001,\"channels\":8,\"multipliers\":[1,2],"
                        "\"sigma\":{\"_class\":\"elsewhere.module.LogNormalDistribution\",\"mean\":-3,\"std\":1},"
                        "\"name\":\"a \\\"b\\\"\",\"nothing\":null,\"flag\":true}");
    pjd_weights_free(w);
    w = open_fixture("two_networks.pt", NULL);
    check(w, "G.conv.weight", PJD_F32, SHAPE(2, 3), ramp);
    check(w, "D.conv.weight", PJD_F32, SHAPE(2, 2), ramp);
    assert_null(pjd_weights_hyper(w));
    pjd_weights_free(w);
}

static void test_folders(void **state)
{
    static const char *const paths[] = {"pipeline",
                                        "pipeline/",
                                        "pipeline/unet",
                                        "folder_bin",
                                        "pipeline/unet/diffusion_pytorch_model.safetensors.index.json",
                                        "folder_bin/diffusion_pytorch_model.bin"};

    for (size_t i = 0; i < PJD_COUNTOF(paths); i++) {
        pjd_weights *w = open_fixture(paths[i], NULL);

        print_message("%s\n", paths[i]);
        assert_int_equal(pjd_weights_count(w), 4);
        check_named(w, ramp);
        assert_non_null(strstr(pjd_weights_config(w), "UNet2DModel"));
        assert_non_null(strstr(pjd_weights_scheduler_config(w), "DDPMScheduler"));
        pjd_weights_free(w);
    }
}

/* Lightning with LitEma: shadows without dots take the weights' names, counters and the loss' networks go. */
static void test_shadows(void **state)
{
    static const char *const names[] = {
        "betas",           "loss.net.weight",  "model.net.a.b.w", "model.net.c",
        "model_ema.decay", "model_ema.netabw", "model_ema.netc",
    };
    enum { COUNT = PJD_COUNTOF(names) };

    for (int broken = 0; broken < 2; broken++) {
        forge f = {0};
        char header[1024] = "{";
        log_text log = {{0}};
        pjd_log l = {collect, &log};
        pjd_error err = {0};
        pjd_weights *w;
        size_t used = 1;

        for (size_t i = 0; i < COUNT; i++)
            used += (size_t)snprintf(header + used, sizeof header - used,
                                     "\"%s%s\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[%zu,%zu]}%s", names[i],
                                     broken && i == COUNT - 1 ? "x" : "", 2 * i, 2 * i + 2, i + 1 < COUNT ? "," : "}");
        forge_safetensors(&f, header, 2 * COUNT);
        assert_ok(pjd_weights_open_memory(f.data, f.size, &l, &w, &err), &err);
        assert_non_null(strstr(log.text, "1 tensors of loss.* left aside"));
        assert_null(pjd_weights_find(w, "loss.net.weight"));
        if (broken) { /* a shadow of nothing: not what it seems */
            assert_int_equal(pjd_weights_count(w), COUNT - 1);
            assert_non_null(pjd_weights_find(w, "model_ema.netabw"));
        } else {
            const unsigned char *data = f.data + f.size - (size_t)2 * COUNT;

            assert_non_null(strstr(log.text, "EMA weights taken (model_ema.*), 2 tensors of model.* replaced"));
            assert_int_equal(pjd_weights_count(w), 3);
            assert_ptr_equal(pjd_weights_find(w, "net.a.b.w")->data, data + 10);
            assert_ptr_equal(pjd_weights_find(w, "net.c")->data, data + 12);
            assert_ptr_equal(pjd_weights_find(w, "betas")->data, data);
            assert_null(pjd_weights_find(w, "model_ema.decay"));
        }
        pjd_weights_free(w);
        forge_free(&f);
    }
}

/* One tensor under names with and without prefixes, in memory. */
static void test_prefixes(void **state)
{
    static const struct {
        const char *first, *second; /* stored names */
        const char *want1, *want2;
    } cases[] = {
        {"a", "b", "a", "b"},
        {"module.a.x", "module.b", "a.x", "b"},
        {"module.model.a", "module.model.b", "a", "b"},
        {"model.a.x", "betas", "a.x", "betas"},         /* a wrapper's buffer */
        {"model.a.x", "net.b", "model.a.x", "net.b"},   /* two modules: which is the network is not ours to say */
        {"model.a", "a", "model.a", "a"},               /* would collide */
        {"module.", "module.b", "module.", "module.b"}, /* nothing left */
        {"model.diffusion_model.a.b", "model.diffusion_model.c", "a.b", "c"},
        {"ema.model.a.b", "ema.c", "a.b", "c"},
        {"model.diffusion_model.a.b", "first_stage_model.c", "model.diffusion_model.a.b", "first_stage_model.c"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        forge f = {0};
        char header[512];
        pjd_error err = {0};
        pjd_weights *w;

        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                 "\"%s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[8,9]}}",
                 cases[i].first, cases[i].second);
        forge_safetensors(&f, header, 9);
        assert_ok(pjd_weights_open_memory(f.data, f.size, NULL, &w, &err), &err);
        assert_string_equal(pjd_weights_name(w, 0), cases[i].want1);
        assert_string_equal(pjd_weights_name(w, 1), cases[i].want2);
        assert_ptr_equal(pjd_weights_find(w, cases[i].want2), pjd_weights_at(w, 1));
        assert_ptr_equal(pjd_weights_find(w, cases[i].second), pjd_weights_at(w, 1));
        assert_null(pjd_weights_name(w, 2));
        pjd_weights_free(w);
        forge_free(&f);
    }
}

/* Every half and bfloat16 there is, by its definition, at each alignment and through a stride. */
static void test_halves(void **state)
{
    unsigned char *bytes = malloc(2 * 65536 + 1);
    float *x = malloc(65536 * sizeof *x);

    for (size_t shift = 0; shift < 2; shift++) {
        pjd_tensor t = {.dtype = PJD_F16, .shape = SHAPE(65536), .stride = {1}, .data = bytes + shift};

        for (size_t h = 0; h < 65536; h++) {
            bytes[shift + 2 * h] = (unsigned char)h;
            bytes[shift + 2 * h + 1] = (unsigned char)(h >> 8);
        }
        for (size_t reverse = 0; reverse < 2; reverse++) {
            if (reverse) { /* a transposed view: [2, 32768] with strides 1, 2 */
                t.shape = SHAPE(2, 32768);
                t.stride[0] = 1;
                t.stride[1] = 2;
            }
            pjd_tensor_to_f32(&t, x);
            for (size_t i = 0; i < 65536; i++) {
                size_t h = reverse ? i % 32768 * 2 + i / 32768 : i;
                int exponent = (int)(h >> 10 & 31);
                double mantissa = (double)(h & 1023), want;

                if (exponent == 31)
                    want = mantissa > 0 ? NAN : INFINITY;
                else
                    want = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
                want = h & 0x8000 ? -want : want;
                if (isnan(want) ? !isnan(x[i]) : !(x[i] == (float)want && !signbit(x[i]) == !signbit(want)))
                    fail_msg("half 0x%04zx: %g, expected %g", h, (double)x[i], want);
            }
        }
        t = (pjd_tensor){.dtype = PJD_BF16, .shape = SHAPE(65536), .stride = {1}, .data = bytes + shift};
        pjd_tensor_to_f32(&t, x);
        for (size_t h = 0; h < 65536; h++) {
            uint32_t bits;

            memcpy(&bits, &x[h], 4);
            assert_int_equal(bits, h << 16);
        }
    }
    free(bytes);
    free(x);
}

/* Gathering through any strides equals the definition, for ranks 0 to 5 with sizes 1, 2, 3. */
static void test_strides(void **state)
{
    float base[4096], x[243];
    uint64_t s = 7;

    for (size_t i = 0; i < 4096; i++)
        base[i] = (float)i;
    for (int round = 0; round < 2000; round++) {
        pjd_tensor t = {.dtype = PJD_F32, .data = (const unsigned char *)base};
        size_t n = 1, at[PJD_MAX_RANK] = {0};

        s = s * 6364136223846793005u + 1442695040888963407u;
        t.shape.rank = (s >> 40) % 6;
        for (size_t d = 0; d < t.shape.rank; d++) {
            t.shape.dim[d] = 1 + (s >> (8 + 4 * d)) % 3;
            t.stride[d] = (s >> (32 + 5 * d)) % 32 * (1 + d % 2);
            if (round % 3 == 0)
                t.stride[d] = 0;
            n *= t.shape.dim[d];
        }
        if (round % 2)
            pjd_tensor_contiguous(&t);
        pjd_tensor_to_f32(&t, x);
        for (size_t k = 0; k < n; k++) {
            size_t offset = 0;

            for (size_t d = 0; d < t.shape.rank; d++)
                offset += at[d] * t.stride[d];
            assert_true(x[k] == base[offset]);
            for (size_t d = t.shape.rank; d-- > 0 && ++at[d] == t.shape.dim[d];)
                at[d] = 0;
        }
    }
}

/* The published check value, and the fast way against the plain one: every length around its steps, every alignment. */
static void test_checksum(void **state)
{
    enum { LARGEST = 70000 };
    unsigned char *p = malloc(LARGEST + 16);

    assert_int_equal(pjd_crc32((const unsigned char *)"123456789", 9), 0xcbf43926);
    assert_int_equal(pjd_crc32_tables((const unsigned char *)"123456789", 9), 0xcbf43926);
    assert_int_equal(pjd_crc32(NULL, 0), 0);
    for (size_t i = 0; i < LARGEST + 16; i++)
        p[i] = (unsigned char)(i * i >> 3 ^ i * 29);
    for (size_t n = 0; n < 400; n++)
        for (size_t at = 0; at < 16; at += 3)
            assert_int_equal(pjd_crc32(p + at, n), pjd_crc32_tables(p + at, n));
    for (size_t n = LARGEST - 70; n < LARGEST; n++)
        assert_int_equal(pjd_crc32(p + 1, n), pjd_crc32_tables(p + 1, n));
    free(p);
}

/* A bit that changed in a stored array of numbers is found when the array is wanted, and not before. */
static void test_damage(void **state)
{
    static const char *const files[] = {"layouts.pt", "lightning.ckpt", "arrays.npz"};

    for (size_t f = 0; f < PJD_COUNTOF(files); f++) {
        size_t size, wrong = 0, count;
        unsigned char *data = fixture(files[f], &size);
        const pjd_tensor *last;
        pjd_weights *w = NULL;
        pjd_error err;

        assert_ok(pjd_weights_open_memory(data, size, NULL, &w, &err), &err);
        count = pjd_weights_count(w);
        last = pjd_weights_at(w, count - 1);
        *(unsigned char *)(uintptr_t)last->data ^= 1;
        for (size_t i = 0; i < count; i++)
            if (pjd_weights_verify(w, pjd_weights_at(w, i), &err) != PJD_OK) {
                assert_int_equal(err.code, PJD_ERR_MODEL);
                assert_non_null(strstr(err.text, "damaged: the checksum of "));
                wrong++;
            }
        assert_int_equal(pjd_weights_verify(w, last, &err), PJD_ERR_MODEL);
        assert_true(wrong >= 1 && wrong < count);
        pjd_weights_free(w);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum), cmocka_unit_test(test_damage),    cmocka_unit_test(test_shadows),
        cmocka_unit_test(test_layouts),  cmocka_unit_test(test_npz),       cmocka_unit_test(test_object),
        cmocka_unit_test(test_wrappers), cmocka_unit_test(test_lightning), cmocka_unit_test(test_folders),
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_halves),    cmocka_unit_test(test_strides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
