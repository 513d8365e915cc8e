/* SPDX-License-Identifier: MIT */
/*
 * The layers of EDM's and of denoising-diffusion-pytorch's networks against float64 loops that follow their definition.
 * Tolerance 2e-6 as in test_layers.c, times what a case says.
 */
#include "nn_ref.h"

#define TOLERANCE 2e-6

typedef struct bench {
    pjd_nn_builder *b;
    pjd_error err;
    float *in, *t;
    int *classes;
} bench;

static bench open_bench(size_t n, size_t c, size_t h, size_t w, pjd_nn_value *x)
{
    bench s = {0};

    assert_ok(pjd_nn_builder_create(n, &s.b, &s.err), &s.err);
    *x = pjd_nn_input(s.b, c, h, w);
    s.in = random_floats(n * c * h * w, 1, n + 7 * c + 31 * h + 101 * w);
    s.t = calloc(n, sizeof *s.t);
    s.classes = calloc(n, sizeof *s.classes);
    for (size_t i = 0; i < n; i++) {
        s.t[i] = 0.25f + 1.5f * (float)i;
        s.classes[i] = (int)(i + 1) % 3;
    }
    return s;
}

static void close_bench(bench *s)
{
    pjd_nn_builder_free(s->b);
    free(s->in);
    free(s->t);
    free(s->classes);
}

/* In every table, merged and apart, on one thread and three: the same values. */
static void check(bench *s, pjd_nn_value v, const ref *want, double factor, const char *what)
{
    static const char *const tables[] = {"c", "avx2", "avx512"};
    size_t count = want->n * want->c * want->h * want->w, h, w, c;
    float *out = malloc((count + 1) * sizeof *out);

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
        for (size_t i = 0; i <= count; i++)
            out[i] = NAN;
        assert_ok(pjd_nn_plan_run(p, s->in, s->t, s->classes, out, &s->err), &s->err);
        assert_true(isnan(out[count]));
        if (!(ref_error(out, want) <= TOLERANCE * factor))
            fail_msg("%s: %s, error %.3g above %.3g", what, tables[m / 2], ref_error(out, want), TOLERANCE * factor);
        pjd_nn_plan_free(p);
    }
    free(out);
}

static double *at(const ref *r, size_t n, size_t c, size_t y, size_t x)
{
    return r->v + ((n * r->c + c) * r->h + y) * r->w + x;
}

#define EACH(r)                                                                                                        \
    for (size_t n = 0; n < (r).n; n++)                                                                                 \
        for (size_t c = 0; c < (r).c; c++)                                                                             \
            for (size_t y = 0; y < (r).h; y++)                                                                         \
                for (size_t x = 0; x < (r).w; x++)

static void try_rms(size_t items, size_t channels, size_t h, size_t w, bool modulated, pjd_act act)
{
    pjd_nn_value input, m = PJD_NN_NONE;
    bench s = open_bench(items, channels, h, w, &input);
    float *gamma = random_floats(channels, 1, 3), *table = random_floats(3 * 2 * channels, 1, 4);
    ref in, want = ref_make(items, channels, h, w);

    for (size_t k = 0; k < channels; k++)
        s.in[k * h * w] = 0; /* a position of zeros stays zero */
    in = ref_from(s.in, items, channels, h, w);
    if (modulated)
        m = pjd_nn_class_embedding(s.b, table, 3, 2 * channels);
    EACH(want)
    {
        double sum = 0, v;

        for (size_t k = 0; k < in.c; k++)
            sum += *at(&in, n, k, y, x) * *at(&in, n, k, y, x);
        v = *at(&in, n, c, y, x) / fmax(sqrt(sum), 1e-12) * sqrt((double)in.c) * (double)gamma[c];
        if (modulated) {
            const float *row = table + (size_t)s.classes[n] * 2 * in.c;

            v = v * (1 + (double)row[c]) + (double)row[in.c + c];
        }
        *at(&want, n, c, y, x) = ref_act1(v, act);
    }
    check(&s, pjd_nn_rms_norm(s.b, input, gamma, m, act), &want, 1, "rms norm");
    ref_free(&in);
    ref_free(&want);
    free(gamma);
    free(table);
    close_bench(&s);
}

static void test_rms(void **state)
{
    try_rms(1, 1, 1, 1, false, PJD_ACT_NONE);
    try_rms(2, 17, 3, 2, true, PJD_ACT_SILU);
    try_rms(1, 64, 17, 17, false, PJD_ACT_GELU);
    try_rms(3, 3, 1, 17, true, PJD_ACT_NONE);
}

/* The definition: correlation at every second position, and its transpose. */
static void try_fir(size_t items, size_t channels, size_t h, size_t w, size_t taps, size_t pad, bool up)
{
    pjd_nn_value input;
    bench s = open_bench(items, channels, h, w, &input);
    float *f = random_floats(taps * taps, 1, 8);
    ref in = ref_from(s.in, items, channels, h, w), want;
    long p = (long)pad;

    want = up ? ref_make(items, channels, 2 * h, 2 * w)
              : ref_make(items, channels, (h + 2 * pad - taps) / 2 + 1, (w + 2 * pad - taps) / 2 + 1);
    if (up) {
        EACH(in)
        for (long i = 0; i < (long)taps; i++)
            for (long j = 0; j < (long)taps; j++) {
                long oy = 2 * (long)y + i - p, ox = 2 * (long)x + j - p;

                if (oy >= 0 && ox >= 0 && oy < (long)want.h && ox < (long)want.w)
                    *at(&want, n, c, (size_t)oy, (size_t)ox) += 4 * (double)f[i * (long)taps + j] *
                                                                *at(&in, n, c, y, x);
            }
    } else {
        EACH(want)
        for (long i = 0; i < (long)taps; i++)
            for (long j = 0; j < (long)taps; j++) {
                long iy = 2 * (long)y + i - p, ix = 2 * (long)x + j - p;

                if (iy >= 0 && ix >= 0 && iy < (long)in.h && ix < (long)in.w)
                    *at(&want, n, c, y, x) += (double)f[i * (long)taps + j] * *at(&in, n, c, (size_t)iy, (size_t)ix);
            }
    }
    check(&s, pjd_nn_fir(s.b, input, f, taps, pad, up), &want, 1, up ? "fir up" : "fir down");
    ref_free(&in);
    ref_free(&want);
    free(f);
    close_bench(&s);
}

static void test_fir(void **state)
{
    try_fir(1, 1, 2, 2, 4, 1, false);
    try_fir(2, 3, 6, 17, 4, 1, false);
    try_fir(1, 17, 8, 4, 4, 0, false);
    try_fir(1, 2, 7, 9, 2, 0, false);
    try_fir(1, 5, 12, 10, 6, 2, false);
    try_fir(1, 1, 1, 1, 4, 1, true);
    try_fir(2, 17, 3, 2, 4, 1, true);
    try_fir(1, 3, 17, 5, 2, 0, true);
    try_fir(1, 3, 4, 5, 6, 2, true);
}

/* [k | v] of `qkv` with the learned positions before it, as n x 2hd x 1 x positions. */
static ref with_memory(const ref *qkv, const float *memory, size_t count, size_t heads, size_t dim, bool last)
{
    size_t hd = heads * dim, positions = qkv->h * qkv->w;
    ref r = ref_make(qkv->n, 2 * hd, 1, count + positions);

    EACH(r)
    {
        size_t part = c / hd, head = c % hd / dim, d = c % dim;
        const float *m = memory + (part * heads + head) * count * dim;

        *at(&r, n, c, y, x) = x >= count ? qkv->v[(n * qkv->c + hd + c) * positions + x - count]
                              : last     ? (double)m[d * count + x]
                                         : (double)m[x * dim + d];
    }
    return r;
}

static ref linear_attention(const ref *q, const ref *kv, size_t heads, size_t dim, double scale)
{
    size_t hd = heads * dim, queries = q->h * q->w, keys = kv->w;
    ref r = ref_make(q->n, hd, q->h, q->w);

    for (size_t n = 0; n < q->n; n++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < queries; i++) {
                double total = 0;

                for (size_t d = 0; d < dim; d++)
                    total += exp(q->v[(n * q->c + h * dim + d) * queries + i]);
                for (size_t d = 0; d < dim; d++) {
                    const double *k = kv->v + (n * kv->c + h * dim + d) * keys;
                    double weight = exp(q->v[(n * q->c + h * dim + d) * queries + i]) / total * scale, norm = 0;

                    for (size_t j = 0; j < keys; j++)
                        norm += exp(k[j]);
                    for (size_t e = 0; e < dim; e++)
                        for (size_t j = 0; j < keys; j++)
                            r.v[(n * hd + h * dim + e) * queries + i] +=
                                weight * exp(k[j]) / norm * kv->v[(n * kv->c + hd + h * dim + e) * keys + j];
                }
            }
    return r;
}

static void try_memory(size_t n, size_t h, size_t w, size_t heads, size_t dim, size_t count)
{
    pjd_nn_value x, kv;
    size_t hd = heads * dim;
    bench s = open_bench(n, 3 * hd, h, w, &x);
    float *memory = random_floats(2 * hd * count, 1, 12);
    ref in = ref_from(s.in, n, 3 * hd, h, w), want;
    pjd_nn_attn p = {.q = x, .v_offset = hd, .heads = heads, .head_dim = dim, .scale = 0.3};

    for (int last = 0; last < 2; last++) {
        ref rkv = with_memory(&in, memory, count, heads, dim, last);

        kv = pjd_nn_memory(s.b, x, memory, count, heads, dim, last);
        check(&s, kv, &rkv, 1, "memory");
        p.k = p.v = kv;
        want = linear_attention(&in, &rkv, heads, dim, p.scale);
        check(&s, pjd_nn_linear_attention(s.b, &p), &want, 2, "linear attention");
        ref_free(&want);
        want = ref_attn(&in, &rkv, &rkv, &p);
        check(&s, pjd_nn_attention(s.b, &p), &want, 2, "attention with memory");
        ref_free(&want);
        ref_free(&rkv);
    }
    ref_free(&in);
    free(memory);
    close_bench(&s);
}

static void test_linear_attention(void **state)
{
    try_memory(1, 1, 1, 1, 1, 1);
    try_memory(2, 3, 2, 2, 3, 4);
    try_memory(1, 17, 5, 3, 16, 4);
    try_memory(1, 2, 17, 1, 17, 2);
}

static void test_embeddings(void **state)
{
    pjd_nn_value x;
    bench s = open_bench(3, 1, 1, 1, &x);
    float f[] = {0.5f, -3.25f, 11.5f}, weight[] = {1, 2, 3, -4, 5, 6}, bias[] = {0.5f, -0.25f};

    for (int with_t = 0; with_t < 2; with_t++) {
        ref want = ref_make(3, 6 + (size_t)with_t, 1, 1);

        for (size_t n = 0; n < 3; n++)
            for (size_t k = 0; k < 3; k++) {
                double a = 2 * 3.14159265358979323846 * (double)f[k] * (double)s.t[n];

                if (with_t)
                    want.v[n * want.c] = (double)s.t[n];
                want.v[n * want.c + (size_t)with_t + k] = sin(a);
                want.v[n * want.c + (size_t)with_t + 3 + k] = cos(a);
            }
        /* angles up to 240 are rounded at 2^-24 of themselves before the sine */
        check(&s, pjd_nn_fourier_embedding(s.b, f, 3, with_t), &want, 20, "fourier embedding");
        ref_free(&want);
    }
    ref want = ref_make(3, 2, 1, 1);

    for (size_t n = 0; n < 3; n++)
        for (size_t k = 0; k < 2; k++)
            want.v[n * 2 + k] = 1.5 * (double)weight[k * 3 + (size_t)s.classes[n]] + (double)bias[k];
    check(&s, pjd_nn_class_linear(s.b, weight, bias, 1.5, 3, 2), &want, 1, "class linear");
    ref_free(&want);
    close_bench(&s);
}

static void test_refused(void **state)
{
    pjd_nn_value x;
    float f[16] = {0};

    for (int i = 0; i < 6; i++) {
        bench s = open_bench(1, 6, 2, 2, &x);
        pjd_nn_value bad = i == 0   ? pjd_nn_fir(s.b, x, f, 3, 1, false)
                           : i == 1 ? pjd_nn_fir(s.b, x, f, 4, 0, false)
                           : i == 2 ? pjd_nn_rms_norm(s.b, x, f, x, PJD_ACT_NONE)
                           : i == 3 ? pjd_nn_memory(s.b, x, f, 1, 1, 3, false)
                           : i == 4 ? pjd_nn_fourier_embedding(s.b, f, 0, false)
                                    : pjd_nn_class_linear(s.b, f, NULL, NAN, 3, 2);

        assert_int_equal(bad, PJD_NN_NONE);
        close_bench(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms),        cmocka_unit_test(test_fir),     cmocka_unit_test(test_linear_attention),
        cmocka_unit_test(test_embeddings), cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
