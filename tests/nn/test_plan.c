/* SPDX-License-Identifier: MIT */
/*
 * Plans: buffers reused without harm, the same bytes for any number of threads and from run to run, nothing allocated while
 * running, errors and failed allocations.
 */
#include <omp.h>

#include "nn_ref.h"

static uint64_t state;

static size_t pick(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

/* A random network on a 3-channel picture; returns its output. All weights come from one block. */
typedef struct maker {
    pjd_nn_builder *b;
    float *w;
    size_t at;
    pjd_nn_value values[200];
    size_t count;
} maker;

#define WEIGHTS ((size_t)1 << 21)

static const float *some_weights(maker *m, size_t n)
{
    m->at = m->at + n > WEIGHTS ? 0 : m->at;
    m->at += n;
    return m->w + m->at - n;
}

static pjd_nn_value any(maker *m)
{
    return m->values[m->count - 1 - pick(m->count < 6 ? m->count : 6)];
}

static pjd_nn_value make_conv(maker *m, pjd_nn_value x)
{
    size_t h, w, c, k = pick(2) ? 3 : 1, out = 1 + pick(40);
    pjd_nn_conv p = {.kh = k,
                     .kw = k,
                     .stride = 1,
                     .pad_top = k / 2,
                     .pad_bottom = k / 2,
                     .pad_left = k / 2,
                     .pad_right = k / 2,
                     .residual = PJD_NN_NONE};

    pjd_nn_shape(m->b, x, &h, &w, &c);
    p.stride = h > 3 && pick(5) == 0 ? 2 : 1;
    p.upsample2 = h < 9 && pick(3) == 0;
    for (size_t i = 0; i < m->count && p.residual == PJD_NN_NONE && p.stride == 1 && !p.upsample2; i++) {
        size_t rh, rw, rc;

        pjd_nn_shape(m->b, m->values[i], &rh, &rw, &rc);
        if (rh == h && rw == w && pick(3) == 0) {
            p.residual = m->values[i];
            out = rc;
        }
    }
    p.out = out;
    p.weight = some_weights(m, out * c * k * k);
    p.bias = pick(2) ? some_weights(m, out) : NULL;
    return pjd_nn_conv2d(m->b, x, &p);
}

static pjd_nn_value make_pair(maker *m, pjd_nn_value x, bool add)
{
    size_t h, w, c, rh, rw, rc;

    pjd_nn_shape(m->b, x, &h, &w, &c);
    for (size_t i = m->count; i-- > 0;) {
        pjd_nn_shape(m->b, m->values[i], &rh, &rw, &rc);
        if (rh == h && rw == w && (add ? rc == c : rc + c < 100) && pick(2))
            return add ? pjd_nn_add(m->b, x, m->values[i]) : pjd_nn_concat(m->b, x, m->values[i]);
    }
    return add ? pjd_nn_add(m->b, x, pjd_nn_time_embedding(m->b, c < 4 ? 4 : c, 0, false)) : pjd_nn_scale(m->b, x, 0.5);
}

static pjd_nn_value make_norm(maker *m, pjd_nn_value x)
{
    size_t h, w, c;
    pjd_nn_value mod = PJD_NN_NONE;

    pjd_nn_shape(m->b, x, &h, &w, &c);
    if (pick(2))
        mod = pjd_nn_linear(m->b, pjd_nn_time_embedding(m->b, 8, 0, true), some_weights(m, 16 * c), NULL, 2 * c,
                            PJD_ACT_SILU, PJD_ACT_NONE);
    return pjd_nn_group_norm(m->b, x, c % 4 == 0 ? 4 : 1, 1e-5, some_weights(m, c), some_weights(m, c), mod,
                             PJD_ACT_SILU);
}

static pjd_nn_value make_attention(maker *m, pjd_nn_value x)
{
    size_t h, w, c;
    pjd_nn_attn p = {.q = x, .k = x, .v = x, .heads = 1, .scale = 0.5};

    pjd_nn_shape(m->b, x, &h, &w, &c);
    if (c < 3)
        return pjd_nn_activation(m->b, x, PJD_ACT_SILU);
    p.head_dim = c / 3;
    p.k_offset = c / 3;
    p.v_offset = 2 * (c / 3);
    return pjd_nn_attention(m->b, &p);
}

static pjd_nn_value make_network(maker *m, size_t batch, size_t layers, uint64_t seed)
{
    pjd_error err;

    state = seed;
    m->count = m->at = 0;
    assert_ok(pjd_nn_builder_create(batch, &m->b, &err), &err);
    m->values[m->count++] = pjd_nn_input(m->b, 3, 8, 6);
    while (m->count < layers) {
        pjd_nn_value x = any(m), y;
        size_t h, w;

        pjd_nn_shape(m->b, x, &h, &w, NULL);
        switch (pick(9)) {
        case 0:
            y = make_pair(m, x, true);
            break;
        case 1:
        case 2:
            y = make_pair(m, x, false);
            break;
        case 3:
        case 4:
            y = make_norm(m, x);
            break;
        case 5:
            y = make_attention(m, x);
            break;
        case 6:
            y = h > 1 && w > 1 && pick(2) ? pjd_nn_avgpool2(m->b, x) : h < 9 ? pjd_nn_upsample2(m->b, x) : x;
            break;
        default:
            y = make_conv(m, x);
            break;
        }
        if (y != PJD_NN_NONE) /* a pair that does not fit is a sticky error: see below */
            m->values[m->count++] = y;
        else
            break;
    }
    return m->values[m->count - 1];
}

static void test_random_graphs(void **unused)
{
    maker m = {.w = random_floats(WEIGHTS, 0.2, 77)};
    float *in = random_floats(2 * 3 * 8 * 6, 1, 78), t[2] = {10, 900};
    pjd_error err;
    size_t made = 0, saved = 0;

    for (uint64_t seed = 1; seed <= 150; seed++) {
        pjd_nn_value v = make_network(&m, 2, 5 + seed % 40, seed * 7919);
        pjd_nn_options opt = {.threads = 2};
        nn_how how = {.apart = true, .kernels = seed % 2 ? &pjd_kernels_c : NULL};
        pjd_nn_plan *plain = NULL, *shared = NULL;
        size_t h, w, c, n, a, b;
        float *x, *y, *z;

        if (m.b->error.code == PJD_OK) {
            pjd_nn_shape(m.b, v, &h, &w, &c);
            n = 2 * c * h * w;
            x = random_floats(n, 0, 1);
            y = random_floats(n, 0, 1);
            z = random_floats(n, 0, 1);
            assert_ok(pjd_nn_plan_make(m.b, v, &opt, &how, &plain, &err), &err);
            how.apart = false;
            assert_ok(pjd_nn_plan_make(m.b, v, &opt, &how, &shared, &err), &err);
            assert_ok(pjd_nn_plan_run(plain, in, t, NULL, x, &err), &err);
            assert_ok(pjd_nn_plan_run(shared, in, t, NULL, y, &err), &err);
            assert_ok(pjd_nn_plan_run(shared, in, t, NULL, z, &err), &err);
            if (memcmp(x, y, n * sizeof *x) != 0)
                fail_msg("seed %d: shared buffers change the result by %g of %g", (int)seed, test_max_abs(y, x, n),
                         test_max_abs(x, z, 0));
            assert_memory_equal(y, z, n * sizeof *y);
            pjd_nn_plan_stats(plain, &a, NULL);
            pjd_nn_plan_stats(shared, &b, NULL);
            assert_true(b <= a);
            saved += b < a;
            made++;
            free(x), free(y), free(z);
            pjd_nn_plan_free(plain);
            pjd_nn_plan_free(shared);
        }
        pjd_nn_builder_free(m.b);
    }
    assert_true(made > 60); /* the others ran into a pair of shapes that do not fit */
    assert_true(saved > made / 2);
    free(m.w);
    free(in);
}

/* Two buffers alive at one step never overlap, and the arena is not larger than their sum. */
static void test_arena(void **unused)
{
    for (size_t round = 0; round < 200; round++) {
        nn_buffer b[40];
        size_t n = 1 + pick(40), total, sum = 0;

        for (size_t i = 0; i < n; i++) {
            b[i] = (nn_buffer){.bytes = 64 * pick(50), .first = pick(30)};
            b[i].last = b[i].first + pick(10);
            sum += b[i].bytes;
        }
        assert_true(pjd_nn_arena_place(b, n, &total));
        assert_true(total <= sum);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++)
                assert_true(b[i].last < b[k].first || b[k].last < b[i].first ||
                            b[i].offset + b[i].bytes <= b[k].offset || b[k].offset + b[k].bytes <= b[i].offset);
    }
}

/* ---- a network with everything, at a size where all threads get work ---- */

static pjd_nn_value everything(pjd_nn_builder *b, const float *w, size_t hw)
{
    pjd_nn_conv k = {.weight = w,
                     .bias = w,
                     .out = 70,
                     .kh = 3,
                     .kw = 3,
                     .stride = 1,
                     .pad_top = 1,
                     .pad_bottom = 1,
                     .pad_left = 1,
                     .pad_right = 1,
                     .residual = PJD_NN_NONE};
    pjd_nn_value x = pjd_nn_input(b, 3, hw, hw), emb = pjd_nn_time_embedding(b, 32, 1, false), h, low, skip;
    pjd_nn_attn a = {.heads = 2, .head_dim = 35, .scale = 0.17, .k_offset = 70, .v_offset = 140};

    emb = pjd_nn_add(b, emb, pjd_nn_class_embedding(b, w, 5, 32));
    skip = h = pjd_nn_conv2d(b, x, &k);
    h = pjd_nn_group_norm(b, h, 7, 1e-5, w, w, pjd_nn_linear(b, emb, w, w, 140, PJD_ACT_SILU, PJD_ACT_NONE),
                          PJD_ACT_SILU);
    h = pjd_nn_conv2d(b, h, &k);
    k.stride = 2;
    low = pjd_nn_conv2d(b, h, &k);
    k.stride = 1;
    k.upsample2 = false;
    k.residual = low;
    low = pjd_nn_conv2d(b, pjd_nn_group_norm(b, low, 10, 1e-6, w, w, PJD_NN_NONE, PJD_ACT_SILU), &k);
    a.q = a.k = a.v = pjd_nn_linear(b, low, w, w, 210, PJD_ACT_NONE, PJD_ACT_NONE);
    low = pjd_nn_add(b, low, pjd_nn_linear(b, pjd_nn_attention(b, &a), w, w, 70, PJD_ACT_NONE, PJD_ACT_NONE));
    k.residual = PJD_NN_NONE;
    k.upsample2 = true;
    h = pjd_nn_concat(b, pjd_nn_conv2d(b, low, &k), skip);
    k.upsample2 = false;
    k.residual = pjd_nn_linear(b, h, w, w, 70, PJD_ACT_NONE, PJD_ACT_NONE);
    h = pjd_nn_conv2d(b, pjd_nn_group_norm(b, h, 4, 1e-5, w, w, PJD_NN_NONE, PJD_ACT_SILU), &k);
    k.out = 6;
    k.residual = PJD_NN_NONE;
    return pjd_nn_conv2d(b, h, &k);
}

static const pjd_backend backends[] = {PJD_BACKEND_AUTO, PJD_BACKEND_C, PJD_BACKEND_ONEDNN};

static void test_threads(void **unused)
{
    float *w = random_floats(200 * 200 * 9, 0.05, 5), *in = random_floats(2 * 3 * 36 * 36, 1, 6), t[2] = {3, 700};
    size_t n = 2 * 6 * 36 * 36;
    int classes[2] = {4, 0}, before;
    float *y[4];
    pjd_error err;

    for (size_t i = 0; i < 4; i++)
        y[i] = random_floats(n, 0, 1);
    for (size_t k = 0; k < PJD_COUNTOF(backends); k++) {
        for (int threads = 1; threads <= 3; threads++) {
            pjd_nn_options opt = {.threads = threads, .backend = backends[k]};
            pjd_nn_builder *b;
            pjd_nn_plan *p;
            uint64_t allocations;
            pjd_nn_value v;
            pjd_status st;

            assert_ok(pjd_nn_builder_create(2, &b, &err), &err);
            v = everything(b, w, 36);
            st = pjd_nn_plan_create(b, v, &opt, &p, &err);
            pjd_nn_builder_free(b);
            if (st == PJD_ERR_UNSUPPORTED && backends[k] == PJD_BACKEND_ONEDNN) {
                print_message("skipped: %s\n", err.text);
                break;
            }
            assert_ok(st, &err);
            before = omp_get_max_threads();
            allocations = pjd_mem_test_count();
            for (int runs = 0; runs < 3; runs++)
                assert_ok(pjd_nn_plan_run(p, in, t, classes, y[threads], &err), &err);
            assert_int_equal(pjd_mem_test_count(), allocations);
            assert_int_equal(omp_get_max_threads(), before);
            if (threads > 1)
                assert_memory_equal(y[threads], y[1], n * sizeof(float));
            else if (k == 0)
                memcpy(y[0], y[1], n * sizeof(float));
            else /* another order of sums, through eight layers: some units of 2^-24 */
                assert_at_most(test_relative_l2(y[1], y[0], n), 1e-5);
            pjd_nn_plan_free(p);
        }
    }
    for (size_t i = 0; i < 4; i++)
        free(y[i]);
    free(w);
    free(in);
}

/* An item's result does not depend on what else is in the batch. */
static void test_batch(void **unused)
{
    float *w = random_floats(200 * 200 * 9, 0.05, 5), *in = random_floats(3 * 3 * 144, 1, 6), t[3] = {3, 700, 55};
    float *all = random_floats(3 * 6 * 144, 0, 1), *one = random_floats(6 * 144, 0, 1);
    int classes[3] = {4, 0, 2};
    pjd_nn_options opt = {.threads = 2};
    pjd_error err;

    for (size_t i = 0; i < 4; i++) {
        size_t n = i == 0 ? 3 : 1, k = i == 0 ? 0 : i - 1;
        pjd_nn_builder *b;
        pjd_nn_plan *p;
        pjd_nn_value v;

        assert_ok(pjd_nn_builder_create(n, &b, &err), &err);
        v = everything(b, w, 12);
        assert_ok(pjd_nn_plan_create(b, v, &opt, &p, &err), &err);
        pjd_nn_builder_free(b);
        assert_ok(pjd_nn_plan_run(p, in + k * 3 * 144, t + k, classes + k, n == 3 ? all : one, &err), &err);
        if (n == 1)
            assert_memory_equal(one, all + k * 6 * 144, 6 * 144 * sizeof(float));
        pjd_nn_plan_free(p);
    }
    free(w), free(in), free(all), free(one);
}

/* ---- errors ---- */

static void expect_error(pjd_nn_builder *b, pjd_nn_value v, pjd_status code, const char *part)
{
    pjd_nn_plan *p = (pjd_nn_plan *)1;
    pjd_nn_options opt = {.threads = 1};
    pjd_error err;

    assert_int_equal(pjd_nn_plan_create(b, v, &opt, &p, &err), code);
    assert_null(p);
    if (!strstr(err.text, part))
        fail_msg("expected '%s' in '%s'", part, err.text);
    assert_int_equal(pjd_nn_plan_bytes(b, v), 0);
    pjd_nn_builder_free(b);
}

static pjd_nn_builder *fresh(pjd_nn_value *x)
{
    pjd_nn_builder *b;
    pjd_error err;

    assert_ok(pjd_nn_builder_create(1, &b, &err), &err);
    *x = pjd_nn_input(b, 6, 4, 4);
    return b;
}

static void test_errors(void **unused)
{
    static const float w[64];
    pjd_nn_conv k = {.weight = w, .out = 1, .kh = 1, .kw = 1, .stride = 1, .residual = PJD_NN_NONE};
    pjd_nn_attn a = {.heads = 2, .head_dim = 4, .scale = 1};
    pjd_nn_builder *b;
    pjd_nn_value x;
    pjd_error err;

    assert_int_equal(pjd_nn_builder_create(0, &b, &err), PJD_ERR_ARG);
    assert_null(b);
    b = fresh(&x);
    expect_error(b, pjd_nn_input(b, 1, 1, 1), PJD_ERR_ARG, "second");
    b = fresh(&x);
    expect_error(b, 7, PJD_ERR_ARG, "output");
    b = fresh(&x);
    k.kh = 5;
    expect_error(b, pjd_nn_conv2d(b, x, &k), PJD_ERR_SHAPE, "does not fit");
    b = fresh(&x);
    k.kh = 1;
    k.stride = 65;
    expect_error(b, pjd_nn_conv2d(b, x, &k), PJD_ERR_ARG, "stride");
    b = fresh(&x);
    k.stride = 1;
    k.residual = x;
    expect_error(b, pjd_nn_conv2d(b, x, &k), PJD_ERR_SHAPE, "residual");
    b = fresh(&x);
    expect_error(b, pjd_nn_conv2d(b, 99, &k), PJD_ERR_ARG, "names no value");
    b = fresh(&x);
    expect_error(b, pjd_nn_group_norm(b, x, 4, 1e-5, w, w, PJD_NN_NONE, PJD_ACT_NONE), PJD_ERR_SHAPE, "divide");
    b = fresh(&x);
    expect_error(b, pjd_nn_group_norm(b, x, 3, NAN, w, w, PJD_NN_NONE, PJD_ACT_NONE), PJD_ERR_ARG, "eps");
    b = fresh(&x);
    expect_error(b, pjd_nn_group_norm(b, x, 3, 0, w, w, x, PJD_ACT_NONE), PJD_ERR_SHAPE, "modulation");
    b = fresh(&x);
    expect_error(b, pjd_nn_concat(b, x, pjd_nn_avgpool2(b, x)), PJD_ERR_SHAPE, "same size");
    b = fresh(&x);
    expect_error(b, pjd_nn_add(b, pjd_nn_avgpool2(b, x), x), PJD_ERR_SHAPE, "add");
    b = fresh(&x);
    expect_error(b, pjd_nn_scale(b, x, NAN), PJD_ERR_ARG, "finite");
    b = fresh(&x);
    expect_error(b, pjd_nn_activation(b, x, (pjd_act)9), PJD_ERR_ARG, "unknown");
    b = fresh(&x);
    expect_error(b, pjd_nn_linear(b, x, NULL, NULL, 2, PJD_ACT_NONE, PJD_ACT_NONE), PJD_ERR_ARG, "weights");
    b = fresh(&x);
    a.q = a.k = a.v = x;
    expect_error(b, pjd_nn_attention(b, &a), PJD_ERR_SHAPE, "do not fit");
    b = fresh(&x);
    expect_error(b, pjd_nn_time_embedding(b, 2, 1, false), PJD_ERR_ARG, "width");
    b = fresh(&x);
    expect_error(b, pjd_nn_class_embedding(b, NULL, 2, 2), PJD_ERR_ARG, "table");
    b = fresh(&x);
    for (int i = 0; i < 40; i++)
        x = pjd_nn_upsample2(b, x);
    assert_int_equal(x, PJD_NN_NONE);
    /* the first error stays, later calls do nothing */
    assert_int_equal(pjd_nn_scale(b, 0, 1), PJD_NN_NONE);
    expect_error(b, x, PJD_ERR_SHAPE, "would make");
}

static void test_classes(void **unused)
{
    static const float table[] = {1, 2, 3, 4, 5, 6};
    pjd_nn_options opt = {.threads = 1};
    pjd_nn_plan *p;
    pjd_nn_value x;
    pjd_nn_builder *b = fresh(&x);
    float y[2], t = 0;
    int c = 2;
    pjd_error err;

    assert_ok(pjd_nn_plan_create(b, pjd_nn_class_embedding(b, table, 3, 2), &opt, &p, &err), &err);
    pjd_nn_builder_free(b);
    assert_ok(pjd_nn_plan_run(p, NULL, &t, &c, y, &err), &err);
    assert_true(y[0] == 5 && y[1] == 6);
    c = 3;
    assert_int_equal(pjd_nn_plan_run(p, NULL, &t, &c, y, &err), PJD_ERR_ARG);
    c = -1;
    assert_int_equal(pjd_nn_plan_run(p, NULL, &t, &c, y, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_nn_plan_run(p, NULL, &t, NULL, y, &err), PJD_ERR_ARG);
    pjd_nn_plan_free(p);
    pjd_nn_plan_free(NULL);
    pjd_nn_builder_free(NULL);
}

/* Every allocation fails once: an error, no plan, and (under the sanitizer) no leak. */
static void test_no_memory(void **unused)
{
    float *w = random_floats(200 * 200 * 9, 0.05, 5);

    for (size_t k = 0; k < PJD_COUNTOF(backends); k++)
        for (uint64_t at = 1;; at++) {
            pjd_nn_options opt = {.threads = 1, .backend = backends[k]};
            pjd_nn_builder *b = NULL;
            pjd_nn_plan *p = NULL;
            pjd_error err;
            pjd_status st;

            pjd_mem_test_fail_at(at);
            st = pjd_nn_builder_create(1, &b, &err);
            if (st == PJD_OK)
                st = pjd_nn_plan_create(b, everything(b, w, 12), &opt, &p, &err);
            pjd_mem_test_fail_at(0);
            pjd_nn_builder_free(b);
            if (st == PJD_OK || st == PJD_ERR_UNSUPPORTED) {
                pjd_nn_plan_free(p);
                assert_true(at > 20 || st == PJD_ERR_UNSUPPORTED);
                break;
            }
            assert_int_equal(st, PJD_ERR_NOMEM);
            assert_null(p);
        }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs), cmocka_unit_test(test_arena),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_batch),         cmocka_unit_test(test_errors), cmocka_unit_test(test_classes),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
