/* SPDX-License-Identifier: MIT */
/*
 * Each layer against float64 loops, for every kernel table this machine can run. Tolerance: sums of K float32 products of
 * unit-variance numbers have a relative error of about sqrt(K) 2^-24 at worst in one chain; K stays below 10^4 here, so
 * 2e-6 leaves a factor of a few. Where the bound is another one, it is said.
 */
#include "nn_ref.h"

#define TOLERANCE 2e-6

/* Ways of running: table x way of convolution. */
typedef struct mode {
    const char *table, *way;
    double tolerance;
} mode;
static const mode modes[] = {
    {"c", "direct", TOLERANCE},
    {"avx2", "direct", TOLERANCE},
    {"avx512", "direct", TOLERANCE},
    /* F(4x4) has about twice the rounding error of the direct sum, F(2x2) 1.5 times */
    {"c", "wino4", 2 * TOLERANCE},
    {"avx2", "wino4", 2 * TOLERANCE},
    {"avx512", "wino4", 2 * TOLERANCE},
    /* F(5x5, 2x2) goes one power of the points further */
    {"c", "wino5", 3 * TOLERANCE},
    {"avx2", "wino5", 3 * TOLERANCE},
    {"avx512", "wino5", 3 * TOLERANCE},
    {"c", "wino2", TOLERANCE},
    {"avx2", "wino2", TOLERANCE},
    {"avx512", "wino2", TOLERANCE},
    {"c", "line4", 2 * TOLERANCE},
    {"avx2", "line4", 2 * TOLERANCE},
    {"avx512", "line4", 2 * TOLERANCE},
    {"avx512", "onednn", TOLERANCE},
    {"c", "onednn", TOLERANCE},
};

typedef struct bench {
    pjd_nn_builder *b;
    pjd_error err;
    float *in, *t, *out;
    int *classes;
    size_t n, c, h, w;
} bench;

static bench open_bench(size_t n, size_t c, size_t h, size_t w, pjd_nn_value *x)
{
    bench s = {.n = n, .c = c, .h = h, .w = w};

    assert_ok(pjd_nn_builder_create(n, &s.b, &s.err), &s.err);
    *x = pjd_nn_input(s.b, c, h, w);
    s.in = random_floats(n * c * h * w, 1, n + 7 * c + 31 * h + 101 * w);
    s.t = calloc(n, sizeof *s.t);
    for (size_t i = 0; i < n; i++)
        s.t[i] = 3.5f + 700.0f * (float)i;
    return s;
}

/* Run `v` in all modes and compare. */
static void check_within(bench *s, pjd_nn_value v, const ref *want, double factor, const char *what)
{
    size_t count = want->n * want->c * want->h * want->w, h, w, c;

    pjd_nn_shape(s->b, v, &h, &w, &c);
    assert_int_equal(c, want->c);
    assert_int_equal(h, want->h);
    assert_int_equal(w, want->w);
    s->out = malloc((count + 1) * sizeof *s->out);
    for (size_t m = 0; m < PJD_COUNTOF(modes); m++)
        for (int apart = 0; apart < 2; apart++) {
            nn_how how = {.apart = apart, .kernels = pjd_kernels_named(modes[m].table), .way = modes[m].way};
            pjd_nn_options opt = {.threads = 2};
            pjd_nn_plan *p = NULL;

            if (!how.kernels)
                continue;
            assert_ok(pjd_nn_plan_make(s->b, v, &opt, &how, &p, &s->err), &s->err);
            for (size_t i = 0; i <= count; i++)
                s->out[i] = NAN;
            assert_ok(pjd_nn_plan_run(p, s->in, s->t, s->classes, s->out, &s->err), &s->err);
            assert_true(isnan(s->out[count]));
            if (!(ref_error(s->out, want) <= modes[m].tolerance * factor))
                fail_msg("%s: %s, %s, error %.3g above %.3g", what, modes[m].table, modes[m].way,
                         ref_error(s->out, want), modes[m].tolerance * factor);
            pjd_nn_plan_free(p);
        }
    free(s->out);
    s->out = NULL;
}

static void check(bench *s, pjd_nn_value v, const ref *want, const char *what)
{
    check_within(s, v, want, 1, what);
}

static void close_bench(bench *s)
{
    pjd_nn_builder_free(s->b);
    free(s->in);
    free(s->t);
    free(s->classes);
}

/* ---- convolution ---- */

static void try_conv(size_t n, size_t c, size_t h, size_t w, pjd_nn_conv p, bool bias, bool residual)
{
    pjd_nn_value x, r = PJD_NN_NONE;
    bench s = open_bench(n, c, h, w, &x);
    float *weight = random_floats(p.out * c * p.kh * p.kw, 1, 5), *bv = random_floats(p.out, 1, 6);
    ref in = ref_from(s.in, n, c, h, w), res = {0}, want;
    pjd_nn_conv rp = {.weight = weight, .out = p.out, .kh = p.kh, .kw = p.kw, .stride = p.stride};
    char what[120];

    p.weight = weight;
    p.bias = bias ? bv : NULL;
    p.residual = PJD_NN_NONE;
    if (residual) {
        rp = p;
        rp.bias = NULL;
        r = pjd_nn_conv2d(s.b, x, &rp); /* any value of the right shape */
        res = ref_conv(&in, &rp, NULL);
        p.residual = r;
    }
    want = ref_conv(&in, &p, residual ? &res : NULL);
    snprintf(what, sizeof what, "conv %zux%zu %zu->%zu @%zux%zu batch %zu stride %zu up %d", p.kh, p.kw, c, p.out, h, w,
             n, p.stride, p.upsample2);
    check(&s, pjd_nn_conv2d(s.b, x, &p), &want, what);
    ref_free(&in);
    ref_free(&res);
    ref_free(&want);
    free(weight);
    free(bv);
    close_bench(&s);
}

static void test_conv_shapes(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 17};
    static const size_t channels[] = {1, 3, 16, 17, 70};

    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 5; k++) {
            pjd_nn_conv p = {.out = channels[4 - k],
                             .kh = 3,
                             .kw = 3,
                             .stride = 1,
                             .pad_top = 1,
                             .pad_bottom = 1,
                             .pad_left = 1,
                             .pad_right = 1};

            try_conv(1 + i % 2, channels[k], sizes[i], sizes[3 - i], p, k % 2, i % 2);
            p.kh = p.kw = 1;
            p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = 0;
            try_conv(1 + k % 2, channels[k], sizes[3 - i], sizes[i], p, true, k % 2);
        }
}

/* Small pictures: transformed weights, four times the direct ones, are held only where time alone is asked for. */
static void test_conv_precisions(void **state)
{
    static const pjd_precision precisions[] = {PJD_PRECISION_EXACT, PJD_PRECISION_DEFAULT, PJD_PRECISION_FAST};
    enum { C = 128, H = 8, COUNT = C * H * H };
    pjd_nn_value x;
    bench s = open_bench(1, C, H, H, &x);
    float *weight = random_floats(C * C * 9, 1, 5), *out = random_floats(COUNT, 0, 1);
    ref in = ref_from(s.in, 1, C, H, H), want;
    pjd_nn_conv p = {.weight = weight, .out = C, .kh = 3, .kw = 3, .stride = 1};
    size_t bytes[3];

    p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = 1;
    p.residual = PJD_NN_NONE;
    want = ref_conv(&in, &p, NULL);
    x = pjd_nn_conv2d(s.b, x, &p);
    for (size_t i = 0; i < 3; i++) {
        pjd_nn_options opt = {.threads = 2, .precision = precisions[i]};
        nn_how how = {0};
        pjd_nn_plan *plan = NULL;
        size_t arena;

        assert_ok(pjd_nn_plan_make(s.b, x, &opt, &how, &plan, &s.err), &s.err);
        assert_ok(pjd_nn_plan_run(plan, s.in, s.t, s.classes, out, &s.err), &s.err);
        assert_true(ref_error(out, &want) <= 2 * TOLERANCE);
        pjd_nn_plan_stats(plan, &arena, &bytes[i]);
        pjd_nn_plan_free(plan);
    }
    if (pjd_kernels_named("avx2")) /* plain C and other backends know one way */
        assert_true(bytes[0] == bytes[1] && bytes[2] > 3 * bytes[1]);
    ref_free(&in);
    ref_free(&want);
    free(weight);
    free(out);
    close_bench(&s);
}

static void test_conv_kinds(void **state)
{
    pjd_nn_conv strided = {.out = 33, .kh = 3, .kw = 3, .stride = 2, .pad_bottom = 1, .pad_right = 1};
    pjd_nn_conv odd = {.out = 5, .kh = 2, .kw = 5, .stride = 1, .pad_top = 1, .pad_left = 3, .pad_right = 2};
    pjd_nn_conv up = {.out = 32,
                      .kh = 3,
                      .kw = 3,
                      .stride = 1,
                      .pad_top = 1,
                      .pad_bottom = 1,
                      .pad_left = 1,
                      .pad_right = 1,
                      .upsample2 = true};
    pjd_nn_conv line = {.out = 18, .kh = 1, .kw = 9, .stride = 4, .pad_left = 4, .pad_right = 4};
    pjd_nn_conv wide = {
        .out = 130, .kh = 3, .kw = 3, .stride = 1, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};

    try_conv(2, 20, 8, 6, strided, true, false);
    try_conv(1, 3, 17, 3, strided, true, true);
    try_conv(2, 4, 7, 9, odd, true, true);
    try_conv(1, 32, 5, 7, up, true, true);
    try_conv(2, 3, 1, 1, up, false, false);
    try_conv(2, 17, 11, 6, up, true, true);
    try_conv(1, 70, 17, 16, up, true, false);
    try_conv(2, 6, 1, 64, line, true, false);
    for (size_t w = 2; w < 40; w += w < 8 ? 1 : 9) {
        pjd_nn_conv three = {.out = 70, .kh = 1, .kw = 3, .stride = 1, .pad_left = 1, .pad_right = 1};

        try_conv(1 + w % 2, 33, 1, w, three, true, w % 3 == 0);
        three.out = 3;
        three.pad_right = 0;
        try_conv(1, 4, 3, w, three, false, w % 3 == 1);
    }
    try_conv(1, 400, 5, 6, wide, true, true); /* weights of more than one pass */
    try_conv(1, 130, 33, 21, wide, false, false);
    /* enough tiles for both schedules of Winograd */
    up.out = wide.out = 18;
    try_conv(1, 17, 30, 41, up, true, true);
    try_conv(1, 20, 61, 70, wide, true, false);
}

static void test_linear(void **state)
{
    static const size_t outs[] = {1, 17, 64, 200};

    for (size_t i = 0; i < 4; i++) {
        pjd_nn_value x;
        size_t h = i % 2 ? 5 : 1, w = i % 2 ? 3 : 1, c = 10 + 50 * i;
        bench s = open_bench(3, c, h, w, &x);
        float *weight = random_floats(outs[i] * c, 1, 9), *bias = random_floats(outs[i], 1, 10);
        ref in = ref_from(s.in, 3, c, h, w);
        ref want = ref_linear(&in, weight, i == 3 ? NULL : bias, outs[i], PJD_ACT_SILU,
                              i == 1 ? PJD_ACT_GELU : PJD_ACT_NONE);

        check(&s,
              pjd_nn_linear(s.b, x, weight, i == 3 ? NULL : bias, outs[i], PJD_ACT_SILU,
                            i == 1 ? PJD_ACT_GELU : PJD_ACT_NONE),
              &want, "linear");
        ref_free(&in);
        ref_free(&want);
        free(weight);
        free(bias);
        close_bench(&s);
    }
}

/* ---- group norm ---- */

static void try_norm(size_t n, size_t c, size_t h, size_t w, size_t groups, double mean, pjd_act act, bool modulated,
                     double factor)
{
    pjd_nn_value x, m = PJD_NN_NONE;
    bench s = open_bench(n, c, h, w, &x);
    float *gamma = random_floats(c, 1, 11), *beta = random_floats(c, 1, 12), *table = random_floats(4 * c, 1, 13);
    ref in, want, mod = ref_make(n, 2 * c, 1, 1);

    for (size_t i = 0; i < n * c * h * w; i++)
        s.in[i] += (float)mean;
    in = ref_from(s.in, n, c, h, w);
    if (modulated) {
        s.classes = calloc(n, sizeof *s.classes);
        m = pjd_nn_class_embedding(s.b, table, 2, 2 * c);
        for (size_t i = 0; i < n; i++) {
            s.classes[i] = (int)(i + 1) % 2;
            for (size_t k = 0; k < 2 * c; k++)
                mod.v[i * 2 * c + k] = (double)table[(size_t)s.classes[i] * 2 * c + k];
        }
    }
    want = ref_norm(&in, groups, 1e-5, gamma, beta, modulated ? &mod : NULL, act);
    check_within(&s, pjd_nn_group_norm(s.b, x, groups, 1e-5, gamma, beta, m, act), &want, factor, "group norm");
    ref_free(&in);
    ref_free(&want);
    ref_free(&mod);
    free(gamma);
    free(beta);
    free(table);
    close_bench(&s);
}

static void test_norm(void **state)
{
    try_norm(1, 32, 17, 3, 8, 0, PJD_ACT_SILU, false, 1);
    try_norm(2, 48, 2, 3, 4, 1, PJD_ACT_NONE, true, 1);
    try_norm(2, 17, 1, 1, 17, 0, PJD_ACT_GELU, false, 1); /* one value a group: everything is the mean */
    try_norm(3, 30, 40, 41, 3, 0.5, PJD_ACT_SILU, true, 1);
    try_norm(1, 96, 1, 2, 1, 0, PJD_ACT_SILU, true, 1);
}

/* A mean of 3000 standard deviations: inputs have 2^-24 * 3000 of a deviation as spacing, exactly representable here
   since the reference sees the same rounded inputs; what may be lost is the variance and the difference x - mean. */
static void test_norm_far_mean(void **state)
{
    try_norm(1, 32, 40, 40, 8, 3000, PJD_ACT_NONE, false, 50);
    try_norm(1, 32, 3, 3, 8, -1e5, PJD_ACT_NONE, false, 2000);
}

/* ---- attention ---- */

static void try_attention(size_t n, size_t h, size_t w, size_t heads, size_t dim, double scale, double spread)
{
    pjd_nn_value x;
    size_t c = heads * dim;
    bench s = open_bench(n, 3 * c, h, w, &x);
    pjd_nn_attn p = {.q = x,
                     .k = x,
                     .v = x,
                     .q_offset = 0,
                     .k_offset = c,
                     .v_offset = 2 * c,
                     .heads = heads,
                     .head_dim = dim,
                     .scale = scale};
    ref in, want;

    for (size_t i = 0; i < n * 3 * c * h * w; i++)
        s.in[i] *= (float)spread;
    in = ref_from(s.in, n, 3 * c, h, w);
    want = ref_attn(&in, &in, &in, &p);
    /* scores of size |q||k| scale are rounded at 2^-24 of themselves, which is what exp turns into a relative error */
    check_within(&s, pjd_nn_attention(s.b, &p), &want, 1 + fabs(scale) * spread * spread * (double)dim, "attention");
    ref_free(&in);
    ref_free(&want);
    close_bench(&s);
}

static void test_attention(void **state)
{
    try_attention(1, 1, 1, 1, 1, 1, 1);
    try_attention(2, 3, 17, 2, 17, 0.25, 1);
    try_attention(1, 16, 16, 2, 64, 0.125, 1);
    try_attention(1, 20, 17, 1, 70, 0.12, 2); /* more keys than one block */
    try_attention(1, 17, 31, 1, 8, 1, 6);     /* the largest score grows between blocks */
    try_attention(1, 5, 5, 3, 3, -0.5, 1);
}

static void test_attention_other_keys(void **state)
{
    pjd_nn_value x, k;
    bench s = open_bench(2, 24, 6, 4, &x);
    pjd_nn_attn p = {.q = x, .heads = 2, .head_dim = 10, .scale = 0.3, .q_offset = 4, .k_offset = 3, .v_offset = 1};
    ref in = ref_from(s.in, 2, 24, 6, 4), pooled = ref_pool(&in), want;

    k = pjd_nn_avgpool2(s.b, x);
    p.k = k;
    p.v = k;
    want = ref_attn(&in, &pooled, &pooled, &p);
    check(&s, pjd_nn_attention(s.b, &p), &want, "attention over other positions");
    ref_free(&in);
    ref_free(&pooled);
    ref_free(&want);
    close_bench(&s);
}

/* ---- the rest ---- */

static void test_elementwise(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {3, 2, 2}, {17, 3, 17}, {33, 20, 19}};

    for (size_t i = 0; i < 4; i++) {
        pjd_nn_value x, y;
        size_t c = sizes[i][0], h = sizes[i][1], w = sizes[i][2];
        bench s = open_bench(2, c, h, w, &x);
        ref in = ref_from(s.in, 2, c, h, w), a = ref_scale(&in, 0.7), b = ref_act(&a, PJD_ACT_SILU);
        ref sum = ref_add(&b, &in), g = ref_act(&sum, PJD_ACT_GELU), up = ref_up(&g), again = ref_add(&up, &up);

        y = pjd_nn_activation(s.b, pjd_nn_scale(s.b, x, 0.7), PJD_ACT_SILU);
        check(&s, x, &in, "identity");
        check(&s, y, &b, "scale, silu");
        y = pjd_nn_activation(s.b, pjd_nn_add(s.b, y, x), PJD_ACT_GELU);
        check(&s, y, &g, "add, gelu");
        y = pjd_nn_upsample2(s.b, y);
        check(&s, pjd_nn_add(s.b, y, y), &again, "upsample, add to itself");
        if (h > 1) {
            ref pool = ref_pool(&g);

            check(&s,
                  pjd_nn_avgpool2(
                      s.b, pjd_nn_activation(
                               s.b, pjd_nn_add(s.b, pjd_nn_activation(s.b, pjd_nn_scale(s.b, x, 0.7), PJD_ACT_SILU), x),
                               PJD_ACT_GELU)),
                  &pool, "avgpool");
            ref_free(&pool);
        }
        ref_free(&in), ref_free(&a), ref_free(&b), ref_free(&sum), ref_free(&g), ref_free(&up), ref_free(&again);
        close_bench(&s);
    }
}

static void test_large_activations(void **state)
{
    static const float values[] = {0.0f,    -0.0f, 1e-30f, -1e-30f, 88.0f,  -88.0f,  104.0f,
                                   -104.0f, 1e4f,  -1e4f,  3e38f,   -3e38f, INFINITY};

    for (size_t m = 0; m < PJD_COUNTOF(modes); m++) {
        const pjd_kernels *k = pjd_kernels_named(modes[m].table);
        float y[PJD_COUNTOF(values)], nan = NAN;

        if (!k)
            continue;
        k->act(PJD_KACT_SILU, PJD_COUNTOF(values), values, y);
        for (size_t i = 0; i < PJD_COUNTOF(values); i++) {
            double want = ref_act1((double)values[i], PJD_ACT_SILU);

            if (isinf(values[i]))
                assert_true(isinf(y[i]));
            else
                assert_at_most(fabs((double)y[i] - want), 1e-6 * fabs(want) + 1e-35);
        }
        k->act(PJD_KACT_SILU, 1, &nan, y);
        assert_true(isnan(y[0]));
    }
}

static void test_concat(void **state)
{
    /* concat of concats, read by a norm, a convolution, a linear layer, a pool (which wants one piece) and as output */
    pjd_nn_value x, p1, c1, c2, c3;
    bench s = open_bench(2, 5, 4, 6, &x);
    float *w = random_floats(40 * 40 * 9, 1, 21), *gamma = random_floats(40, 1, 22), *beta = random_floats(40, 1, 23);
    pjd_nn_conv k = {.weight = w,
                     .bias = beta,
                     .out = 12,
                     .kh = 3,
                     .kw = 3,
                     .stride = 1,
                     .pad_top = 1,
                     .pad_bottom = 1,
                     .pad_left = 1,
                     .pad_right = 1,
                     .residual = PJD_NN_NONE};
    ref in = ref_from(s.in, 2, 5, 4, 6), rp = ref_scale(&in, 2), r1 = ref_concat(&in, &rp), r2 = ref_concat(&r1, &in);
    ref r3 = ref_concat(&r2, &rp), r4, r5, r6;

    p1 = pjd_nn_scale(s.b, x, 2);
    c1 = pjd_nn_concat(s.b, x, p1);
    c2 = pjd_nn_concat(s.b, c1, x);
    c3 = pjd_nn_concat(s.b, c2, p1);
    check(&s, c3, &r3, "concat as output");
    r4 = ref_norm(&r3, 2, 1e-6, gamma, beta, NULL, PJD_ACT_SILU);
    check(&s, pjd_nn_group_norm(s.b, c3, 2, 1e-6, gamma, beta, PJD_NN_NONE, PJD_ACT_SILU), &r4, "norm of concat");
    r5 = ref_conv(&r3, &k, NULL);
    check(&s, pjd_nn_conv2d(s.b, c3, &k), &r5, "conv of concat");
    r6 = ref_linear(&r2, w, beta, 7, PJD_ACT_NONE, PJD_ACT_NONE);
    check(&s, pjd_nn_linear(s.b, c2, w, beta, 7, PJD_ACT_NONE, PJD_ACT_NONE), &r6, "linear of concat");
    ref_free(&r6);
    r6 = ref_pool(&r2);
    check(&s, pjd_nn_avgpool2(s.b, c2), &r6, "pool of concat");
    ref_free(&r6);
    r6 = ref_concat(&r3, &r2); /* more pieces than a virtual one may have */
    check(&s, pjd_nn_concat(s.b, c3, c2), &r6, "concat of many");
    ref_free(&in), ref_free(&rp), ref_free(&r1), ref_free(&r2), ref_free(&r3), ref_free(&r4), ref_free(&r5),
        ref_free(&r6);
    free(w);
    free(gamma);
    free(beta);
    close_bench(&s);
}

static void test_conv_adds(void **state)
{
    /* conv + embedding + skip, written as separate additions: merged in the plan */
    pjd_nn_value x, e, c1, y;
    bench s = open_bench(2, 18, 5, 5, &x);
    float *w = random_floats(18 * 18 * 9, 1, 31), *table = random_floats(3 * 18, 1, 32);
    pjd_nn_conv k = {.weight = w,
                     .bias = table,
                     .out = 18,
                     .kh = 3,
                     .kw = 3,
                     .stride = 1,
                     .pad_top = 1,
                     .pad_bottom = 1,
                     .pad_left = 1,
                     .pad_right = 1,
                     .residual = PJD_NN_NONE};
    ref in = ref_from(s.in, 2, 18, 5, 5), emb = ref_make(2, 18, 1, 1), r1 = ref_conv(&in, &k, NULL), r2, r3, r4, r5;

    s.classes = calloc(2, sizeof *s.classes);
    s.classes[1] = 2;
    for (size_t i = 0; i < 36; i++)
        emb.v[i] = (double)table[(size_t)s.classes[i / 18] * 18 + i % 18];
    c1 = pjd_nn_conv2d(s.b, x, &k);
    e = pjd_nn_class_embedding(s.b, table, 3, 18);
    y = pjd_nn_add(s.b, c1, e);
    r2 = ref_add(&r1, &emb);
    check(&s, y, &r2, "conv + embedding");
    y = pjd_nn_add(s.b, x, y);
    r3 = ref_add(&in, &r2);
    check(&s, y, &r3, "skip + (conv + embedding)");
    r4 = ref_add(&r3, &r1); /* the convolution now has two readers */
    check(&s, pjd_nn_add(s.b, y, c1), &r4, "a convolution read twice");
    y = pjd_nn_add(s.b, pjd_nn_conv2d(s.b, x, &k), pjd_nn_conv2d(s.b, pjd_nn_activation(s.b, x, PJD_ACT_SILU), &k));
    ref_free(&r4);
    r4 = ref_act(&in, PJD_ACT_SILU);
    r5 = ref_conv(&r4, &k, &r1);
    check(&s, y, &r5, "sum of two convolutions");
    ref_free(&in), ref_free(&emb), ref_free(&r1), ref_free(&r2), ref_free(&r3), ref_free(&r4), ref_free(&r5);
    free(w);
    free(table);
    close_bench(&s);
}

/* A norm whose only reader is a convolution: merged where the way of convolution can normalise what it reads. */
static void try_norm_conv(size_t n, size_t c, size_t h, size_t w, size_t out, bool up, bool halves)
{
    pjd_nn_value x, y, m;
    bench s = open_bench(n, c, h, w, &x);
    float *weight = random_floats(out * 2 * c * 9, 1, 41), *gamma = random_floats(4 * c, 1, 42);
    float *beta = random_floats(2 * c, 1, 43);
    pjd_nn_conv k = {.weight = weight,
                     .bias = NULL,
                     .out = out,
                     .kh = 3,
                     .kw = 3,
                     .stride = 1,
                     .pad_top = 1,
                     .pad_bottom = 1,
                     .pad_left = 1,
                     .pad_right = 1,
                     .upsample2 = up,
                     .residual = PJD_NN_NONE};
    ref in = ref_from(s.in, n, c, h, w), twice = ref_scale(&in, 0.5), both = ref_concat(&in, &twice), a, b;
    ref mod = ref_make(n, 4 * c, 1, 1);

    y = halves ? pjd_nn_concat(s.b, x, pjd_nn_scale(s.b, x, 0.5)) : x;
    s.classes = calloc(n, sizeof *s.classes);
    m = pjd_nn_class_embedding(s.b, gamma, 1, halves ? 4 * c : 2 * c);
    for (size_t i = 0; i < n * 4 * c; i++)
        mod.v[i] = (double)gamma[i % (halves ? 4 * c : 2 * c)];
    y = pjd_nn_group_norm(s.b, y, 2, 1e-5, gamma, beta, m, PJD_ACT_SILU);
    a = ref_norm(halves ? &both : &in, 2, 1e-5, gamma, beta, &mod, PJD_ACT_SILU);
    b = ref_conv(&a, &k, NULL);
    check_within(&s, pjd_nn_conv2d(s.b, y, &k), &b, 2, "norm, convolution");
    ref_free(&in), ref_free(&twice), ref_free(&both), ref_free(&a), ref_free(&b), ref_free(&mod);
    free(weight);
    free(gamma);
    free(beta);
    close_bench(&s);
}

static void test_norm_conv(void **state)
{
    try_norm_conv(1, 6, 9, 11, 20, false, false);
    try_norm_conv(2, 34, 17, 33, 66, false, false);
    try_norm_conv(1, 18, 21, 13, 5, true, false);
    try_norm_conv(2, 10, 14, 30, 17, false, true);
    try_norm_conv(1, 2, 5, 3, 3, true, true);
    try_norm_conv(1, 16, 40, 41, 16, false, true);
    try_norm_conv(1, 20, 64, 70, 18, false, false); /* enough tiles for both schedules of Winograd */
    try_norm_conv(1, 10, 33, 30, 18, true, true);
}

static void test_time_embedding(void **state)
{
    for (size_t c = 4; c < 35; c += 15)
        for (int flip = 0; flip < 2; flip++) {
            pjd_nn_value x;
            bench s = open_bench(2, 1, 1, 1, &x);
            ref want = ref_make(2, c, 1, 1);
            double shift = flip ? 0 : 1;

            for (size_t b = 0; b < 2; b++)
                for (size_t k = 0; k < c / 2; k++) {
                    double f = exp(-log(10000) * (double)k / ((double)(c / 2) - shift)) * (double)s.t[b];

                    want.v[b * c + k] = flip ? cos(f) : sin(f);
                    want.v[b * c + c / 2 + k] = flip ? sin(f) : cos(f);
                }
            /* float32 angles up to 703: rounding 2^-24 * 703 relative to values of size 1 */
            check_within(&s, pjd_nn_time_embedding(s.b, c, shift, flip), &want, 50, "time embedding");
            ref_free(&want);
            close_bench(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_shapes),
        cmocka_unit_test(test_conv_kinds),
        cmocka_unit_test(test_conv_precisions),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_far_mean),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_other_keys),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_large_activations),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_conv_adds),
        cmocka_unit_test(test_time_embedding),
        cmocka_unit_test(test_norm_conv),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
