/* SPDX-License-Identifier: MIT */
/* The layers of one-dimensional networks against their definitions in float64. Tolerance 2e-6 as in test_layers.c. */
#include "nn_ref.h"

#define TOLERANCE 2e-6

typedef struct bench {
    pjd_nn_builder *b;
    pjd_error err;
    float *in;
    pjd_nn_value x;
} bench;

static bench open_bench(size_t n, size_t c, size_t w)
{
    bench s = {0};

    assert_ok(pjd_nn_builder_create(n, &s.b, &s.err), &s.err);
    s.x = pjd_nn_input(s.b, c, 1, w);
    s.in = random_floats(n * c * w, 1, n + 7 * c + 101 * w);
    return s;
}

/* In every table, merged and apart, on one thread and three; frees all. */
static void check(bench *s, pjd_nn_value v, ref *want, const char *what)
{
    static const char *const tables[] = {"c", "avx2", "avx512"};
    size_t count = want->n * want->c * want->h * want->w, h, w, c;
    float *out = malloc(count * sizeof *out), t[8] = {0};

    pjd_nn_shape(s->b, v, &h, &w, &c);
    assert_int_equal(c, want->c);
    assert_int_equal(h, want->h);
    assert_int_equal(w, want->w);
    for (size_t m = 0; m < 6; m++) {
        nn_how how = {.apart = m % 2, .kernels = pjd_kernels_named(tables[m / 2])};
        pjd_nn_options opt = {.threads = m % 2 ? 3 : 1};
        pjd_nn_plan *p = NULL;

        if (!how.kernels)
            continue;
        assert_ok(pjd_nn_plan_make(s->b, v, &opt, &how, &p, &s->err), &s->err);
        for (size_t i = 0; i < count; i++)
            out[i] = NAN;
        assert_ok(pjd_nn_plan_run(p, s->in, t, NULL, out, &s->err), &s->err);
        if (!(ref_error(out, want) <= TOLERANCE))
            fail_msg("%s (%zu x %zu x %zu): %s, error %.3g", what, want->n, want->c, want->w, tables[m / 2],
                     ref_error(out, want));
        pjd_nn_plan_free(p);
    }
    free(out);
    ref_free(want);
    pjd_nn_builder_free(s->b);
    free(s->in);
}

static const size_t lengths[] = {1, 2, 3, 17}, channels[] = {1, 3, 17};

static void layer_norm(void **state)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++) {
            size_t c = channels[k], w = lengths[i];
            bench s = open_bench(2, c, w);
            float *gain = random_floats(c, 1, 5);
            ref want = ref_make(2, c, 1, w);

            for (size_t j = 0; j < 2 * c * w; j++)
                s.in[j] += 30; /* far from zero */
            for (size_t n = 0; n < 2; n++)
                for (size_t x = 0; x < w; x++) {
                    const float *in = s.in + n * c * w + x;
                    double mean = 0, var = 0;

                    for (size_t q = 0; q < c; q++)
                        mean += (double)in[q * w] / (double)c;
                    for (size_t q = 0; q < c; q++)
                        var += (in[q * w] - mean) * (in[q * w] - mean) / (double)c;
                    for (size_t q = 0; q < c; q++)
                        want.v[(n * c + q) * w + x] = (in[q * w] - mean) / sqrt(var + 1e-5) * gain[q];
                }
            check(&s, pjd_nn_layer_norm(s.b, s.x, 1e-5, gain), &want, "layer norm");
            free(gain);
        }
}

static void folds(void **state)
{
    for (size_t f = 1; f <= 5; f++)
        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < 3; k++) {
                size_t c = channels[k], w = lengths[i];
                bench s = open_bench(2, c, w * f), u = open_bench(2, c * f, w), r = open_bench(2, c, w);
                ref folded = ref_make(2, c * f, 1, w), flat = ref_make(2, c, 1, w * f), rep = ref_make(2, c, 1, w * f);

                for (size_t n = 0; n < 2; n++)
                    for (size_t q = 0; q < c; q++)
                        for (size_t x = 0; x < w * f; x++) {
                            size_t at = (n * c * f + q * f + x % f) * w + x / f, line = (n * c + q) * w * f + x;

                            folded.v[at] = s.in[line];
                            flat.v[line] = u.in[at];
                            rep.v[line] = r.in[(n * c + q) * w + x / f];
                        }
                check(&s, pjd_nn_fold(s.b, s.x, f), &folded, "fold");
                check(&u, pjd_nn_unfold(u.b, u.x, f), &flat, "unfold");
                check(&r, pjd_nn_repeat(r.b, r.x, f), &rep, "repeat");
            }
}

/* PyTorch's definition: every input position adds its kernel to the output. */
static ref transposed(const bench *s, size_t c, size_t w, const float *weight, const float *bias, size_t out, size_t f)
{
    ref want = ref_make(2, out, 1, w * f);
    size_t pad = f / 2 + f % 2;

    for (size_t n = 0; n < 2; n++)
        for (size_t o = 0; o < out; o++) {
            double *y = want.v + (n * out + o) * w * f;

            for (size_t x = 0; x < w * f; x++)
                y[x] = bias ? bias[o] : 0;
            for (size_t q = 0; q < c; q++)
                for (size_t x = 0; x < w; x++)
                    for (size_t k = 0; k < 2 * f; k++)
                        if (x * f + k >= pad && x * f + k - pad < w * f)
                            y[x * f + k - pad] += (double)s->in[(n * c + q) * w + x] *
                                                  (double)weight[(q * out + o) * 2 * f + k];
        }
    return want;
}

static void transposed_conv(void **state)
{
    for (size_t f = 2; f <= 5; f++)
        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < 3; k++) {
                size_t c = channels[k], w = lengths[i], out = channels[2 - k];
                bench s = open_bench(2, c, w);
                float *weight = random_floats(c * out * 2 * f, 1, 6), *bias = random_floats(out, 1, 7);
                const float *bv = i % 2 ? bias : NULL;
                ref want = transposed(&s, c, w, weight, bv, out, f);

                check(&s, pjd_nn_conv_transpose1d(s.b, s.x, weight, bv, out, f), &want, "transposed conv");
                free(weight);
                free(bias);
            }
}

/* Strides and kernels of the published downsampling, and a stride that pictures never have. */
static void strided(void **state)
{
    for (size_t f = 2; f <= 5; f++) {
        size_t c = 5, w = 4 * f, out = 9, kw = 2 * f + 1;
        bench s = open_bench(2, c, w);
        float *weight = random_floats(out * c * kw, 1, 8);
        pjd_nn_conv p = {.weight = weight,
                         .out = out,
                         .kh = 1,
                         .kw = kw,
                         .stride = f,
                         .pad_left = f,
                         .pad_right = f,
                         .residual = PJD_NN_NONE};
        ref in = ref_from(s.in, 2, c, 1, w), want = ref_conv(&in, &p, NULL);

        assert_int_equal(want.w, 4);
        check(&s, pjd_nn_conv2d(s.b, s.x, &p), &want, "strided conv");
        ref_free(&in);
        free(weight);
    }
}

static void refused(void **state)
{
    float w[64] = {0};

    for (size_t i = 0; i < 5; i++) {
        bench s = open_bench(1, 3, 4);
        pjd_nn_options opt = {.threads = 1};
        pjd_nn_plan *p;
        pjd_nn_value bad = i == 0   ? pjd_nn_fold(s.b, s.x, 3)
                           : i == 1 ? pjd_nn_unfold(s.b, s.x, 2)
                           : i == 2 ? pjd_nn_repeat(s.b, s.x, 0)
                           : i == 3 ? pjd_nn_conv_transpose1d(s.b, s.x, w, NULL, 2, 1)
                                    : pjd_nn_layer_norm(s.b, s.x, NAN, w);

        assert_int_equal(bad, PJD_NN_NONE);
        assert_int_not_equal(pjd_nn_plan_create(s.b, bad, &opt, &p, &s.err), PJD_OK);
        assert_null(p);
        pjd_nn_builder_free(s.b);
        free(s.in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm),      cmocka_unit_test(folds),   cmocka_unit_test(strided),
        cmocka_unit_test(transposed_conv), cmocka_unit_test(refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
