/* SPDX-License-Identifier: MIT */
/*
 * Where a network call's time goes and what bounds it, as JSON for bench/roofline.
 *
 *     roofline MODEL CONFIG HEIGHT WIDTH THREADS RUNS           time, products and bytes by kind of layer; the machine's peaks
 *     roofline MODEL CONFIG HEIGHT WIDTH THREADS RUNS trial     every convolution by every way it can take
 *
 * Each layer's time is the smallest of RUNS runs. What goes on inside Winograd's layers is told apart by a table of kernels
 * that takes the time of each call, in a run of its own; only the shares are used from it.
 */
#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "networks/network.h"
#include "networks/tensors.h"
#include "nn/conv.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- the machine ---- */

#if defined(__x86_64__)
enum { SUMS = 12 };

/* Twelve sums by name: in an array they might not live in registers. */
#define EACH(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define SUM512(i) __m512 a##i = _mm512_set1_ps((float)i);
#define STEP512(i) a##i = _mm512_fmadd_ps(a##i, x, y);
#define ADD512(i) x = _mm512_add_ps(x, a##i);
#define SUM256(i) __m256 a##i = _mm256_set1_ps((float)i);
#define STEP256(i) a##i = _mm256_fmadd_ps(a##i, x, y);
#define ADD256(i) x = _mm256_add_ps(x, a##i);

__attribute__((target("avx512f"))) static float multiply512(size_t n)
{
    __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);

    EACH(SUM512)
    while (n--) {
        EACH(STEP512)
    }
    EACH(ADD512)
    return _mm512_reduce_add_ps(x);
}

#define SUM8(i) __m512i a##i = _mm512_set1_epi32(i);
#define STEP8(i) a##i = _mm512_dpbusd_epi32(a##i, x, y);
#define ADD8(i) x = _mm512_add_epi32(x, a##i);

/* Products of 8-bit integers, for docs/performance.md's word on them. */
__attribute__((target("avx512f,avx512vnni"))) static float multiply8(size_t n)
{
    __m512i x = _mm512_set1_epi32(0x01020304), y = _mm512_set1_epi32(0x01010101);

    EACH(SUM8)
    while (n--) {
        EACH(STEP8)
        __asm__ volatile("" : "+v"(y)); /* or the loop could be a multiplication */
    }
    EACH(ADD8)
    return (float)_mm512_reduce_add_epi32(x);
}

__attribute__((target("avx2,fma"))) static float multiply256(size_t n)
{
    __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    float out[8];

    EACH(SUM256)
    while (n--) {
        EACH(STEP256)
    }
    EACH(ADD256)
    _mm256_storeu_ps(out, x);
    return out[0] + out[3];
}

__attribute__((target("avx512f"))) static void triad512(float *a, const float *b, const float *c, size_t n)
{
    __m512 f = _mm512_set1_ps(0.5f);

    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(a + i, _mm512_fmadd_ps(_mm512_loadu_ps(c + i), f, _mm512_loadu_ps(b + i)));
}
#endif

static void triad_any(float *restrict a, const float *b, const float *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] + 0.5f * c[i];
}

static float multiply_any(size_t n)
{
    float a[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, sum = 0;

    while (n--)
        for (int i = 0; i < 16; i++)
            a[i] = a[i] * 0.999f + 0.001f;
    for (int i = 0; i < 16; i++)
        sum += a[i];
    return sum;
}

/* Multiplications and additions a second on `threads` threads, the best of several rounds; bytes: 0 where there are none. */
static double peak_flops(int threads, bool bytes)
{
    enum { TURNS = 4000000 };
    double best = 0, per_turn = 2.0 * 16;
    volatile float keep = 0;
    float (*loop)(size_t) = bytes ? NULL : multiply_any;

#if defined(__x86_64__)
    if (bytes) {
        loop = __builtin_cpu_supports("avx512vnni") ? multiply8 : NULL;
        per_turn = 2.0 * SUMS * 64;
    } else if (__builtin_cpu_supports("avx512f")) {
        loop = multiply512;
        per_turn = 2.0 * SUMS * 16;
    } else if (__builtin_cpu_supports("fma")) {
        loop = multiply256;
        per_turn = 2.0 * SUMS * 8;
    }
#endif
    for (int round = 0; loop && round < 5; round++) {
        double start = pjd_now(), rate;

#pragma omp parallel num_threads(threads)
        keep = loop(TURNS);
        rate = threads * per_turn * TURNS / (pjd_now() - start);
        best = rate > best ? rate : best;
    }
    (void)keep;
    return best;
}

/* Bytes read and written a second by a = b + f c in three arrays of n floats a thread. */
static double bandwidth(int threads, size_t n)
{
    size_t turns = ((size_t)1 << 27) / n + 1, all = 3 * n * (size_t)threads;
    float *m = malloc(all * sizeof *m);
    void (*loop)(float *, const float *, const float *, size_t) = triad_any;
    double best = 0;

    if (!m)
        return 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        loop = triad512;
#endif
#pragma omp parallel num_threads(threads)
    memset(m + (size_t)omp_get_thread_num() * 3 * n, 0, 3 * n * sizeof *m);
    for (int round = 0; round < 5; round++) {
        double start = pjd_now(), rate;

#pragma omp parallel num_threads(threads)
        {
            float *a = m + (size_t)omp_get_thread_num() * 3 * n;

            for (size_t t = 0; t < turns; t++)
                loop(a, a + n, a + 2 * n, n);
        }
        rate = (double)threads * 12.0 * (double)n * (double)turns / (pjd_now() - start);
        best = rate > best ? rate : best;
    }
    free(m);
    return best;
}

/* ---- kernels that take their time ---- */

enum { INPUT = 0, PRODUCT, OUTPUT, NORM, SLOTS };
static const char *const slot_names[SLOTS] = {"input", "product", "output", "norm"};

typedef struct counters {
    _Alignas(64) double ticks[SLOTS];
} counters;

enum { MOST_THREADS = 256 };
static counters spent[MOST_THREADS];
static atomic_int used;
static _Thread_local counters *mine;
static const pjd_kernels *real;

static double now_ticks(void)
{
#if defined(__x86_64__)
    return (double)__rdtsc();
#else
    return pjd_now();
#endif
}

static void spend(int slot, double start)
{
    double t = now_ticks() - start;

    if (!mine)
        mine = &spent[atomic_fetch_add(&used, 1) % MOST_THREADS];
    mine->ticks[slot] += t;
}

static void timed_gemm(size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n,
                       float *c, size_t ldc, const pjd_epilogue *e)
{
    double start = now_ticks();

    real->gemm(m, groups, kc, a, b, n, c, ldc, e);
    spend(PRODUCT, start);
}

static void timed_norm(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                       const float *offset, pjd_kact act, float *y, size_t ldy)
{
    double start = now_ticks();

    real->norm(rows, c, x, ldx, mean, scale, offset, act, y, ldy);
    spend(NORM, start);
}

#define TIMED_INPUT(f)                                                                                                 \
    static void timed_##f(size_t c, const float *const *src, float *v, size_t stride)                                  \
    {                                                                                                                  \
        double start = now_ticks();                                                                                    \
                                                                                                                       \
        real->f(c, src, v, stride);                                                                                    \
        spend(INPUT, start);                                                                                           \
    }
#define TIMED_OUTPUT(f)                                                                                                \
    static void timed_##f(size_t n, const float *p, size_t stride, const pjd_wino_out *o)                              \
    {                                                                                                                  \
        double start = now_ticks();                                                                                    \
                                                                                                                       \
        real->f(n, p, stride, o);                                                                                      \
        spend(OUTPUT, start);                                                                                          \
    }
/* clang-format off: it takes these for the start of the next declaration */
TIMED_INPUT(wino4_input)
TIMED_INPUT(wino2_input)
TIMED_INPUT(line4_input)
TIMED_OUTPUT(wino4_output)
TIMED_OUTPUT(wino2_output)
TIMED_OUTPUT(wino5_output)
TIMED_OUTPUT(line4_output)
/* clang-format on */

static pjd_kernels timed_table(const pjd_kernels *k)
{
    pjd_kernels t = *k;

    real = k;
    t.gemm = timed_gemm;
    t.norm = timed_norm;
    t.wino4_input = timed_wino4_input;
    t.wino2_input = timed_wino2_input;
    t.wino4_output = timed_wino4_output;
    t.wino2_output = timed_wino2_output;
    t.wino5_output = timed_wino5_output;
    t.line4_input = timed_line4_input;
    t.line4_output = timed_line4_output;
    return t;
}

/* ---- runs ---- */

typedef struct layer {
    double seconds, inside, ticks[SLOTS]; /* smallest; of the run with timed kernels, and their ticks */
} layer;

typedef struct session {
    pjd_nn_plan *p;
    layer *layers;
    bool first, inside;
    pjd_status status;
    pjd_error err;
} session;

static void each_step(void *ctx)
{
    session *s = ctx;

    for (size_t i = 0; i < s->p->step_count && s->status == PJD_OK; i++) {
        nn_step *step = &s->p->steps[i];
        layer *l = &s->layers[i];
        double start, t;

        memset(spent, 0, sizeof spent);
        start = pjd_now();
        s->status = step->cls->run(s->p, step, &s->err);
        t = pjd_now() - start;
        if (!s->inside) {
            l->seconds = s->first || t < l->seconds ? t : l->seconds;
        } else if (s->first || t < l->inside) {
            l->inside = t;
            for (int k = 0; k < SLOTS; k++) {
                l->ticks[k] = 0;
                for (int j = 0; j < MOST_THREADS; j++)
                    l->ticks[k] += spent[j].ticks[k];
            }
        }
    }
}

static void go(session *s, int runs)
{
    for (int i = -1; i < runs && s->status == PJD_OK; i++) { /* the first warms up */
        s->first = i <= 0;
        pjd_nn_with_team(s->p, each_step, s);
    }
}

typedef struct network {
    pjd_weights *w;
    pjd_network *net;
    size_t h, width;
    int threads;
} network;

static pjd_nn_plan *plan(const network *n, const char *way, pjd_error *err)
{
    pjd_nn_options opt = {.threads = n->threads};
    nn_how how = {.way = way};
    pjd_nn_builder *b = NULL;
    pjd_nn_plan *p = NULL;

    if (pjd_net_tensors_load(n->net->tensors, n->net->family, n->threads, err) == PJD_OK &&
        pjd_nn_builder_create(1, &b, err) == PJD_OK) {
        pjd_nn_value y = n->net->cls->build(n->net, b, pjd_nn_input(b, n->net->in_channels, n->h, n->width));

        pjd_nn_plan_make(b, y, &opt, &how, &p, err);
    }
    pjd_nn_builder_free(b);
    return p;
}

static layer *measure(pjd_nn_plan *p, const network *n, int runs, bool inside, pjd_error *err)
{
    size_t count = n->net->in_channels * n->h * n->width;
    float *x = calloc(count, sizeof *x), t = 500;
    pjd_kernels table = timed_table(p->kernels);
    session s = {.p = p, .layers = calloc(p->step_count, sizeof *s.layers)};
    uint64_t seed = 1;

    if (!x || !s.layers)
        exit(5);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(seed >> 40) / 8388608.0f - 1.0f;
    }
    p->in = x;
    p->t = &t;
    go(&s, runs);
    if (inside) {
        s.inside = true;
        p->kernels = &table;
        go(&s, runs);
        p->kernels = real;
    }
    free(x);
    if (s.status != PJD_OK)
        *err = s.err;
    return s.layers;
}

/* ---- what layers do ---- */

static const char *way_of(const nn_step *s)
{
    return s->rec.op == NN_CONV ? ((const nn_conv_head *)s->priv)->way->name : "";
}

static bool is_winograd(const nn_step *s)
{
    return strncmp(way_of(s), "wino", 4) == 0 || strcmp(way_of(s), "line4") == 0;
}

static const char *kind_of(const nn_step *s)
{
    switch (s->rec.op) {
    case NN_CONV:
        if (is_winograd(s))
            return "winograd";
        return s->rec.kh * s->rec.kw > 1 ? "direct" : "matrix";
    case NN_NORM:
    case NN_MOMENTS:
    case NN_RMS:
    case NN_LAYER:
        return "norm";
    case NN_ATTN:
    case NN_LINATTN:
        return "attention";
    default:
        return "rest";
    }
}

typedef struct cost {
    double done, direct, memory, input, output; /* flops made; as a direct sum; bytes; bytes through the transforms */
} cost;

static double floats(const nn_tensor *t)
{
    return t->segs ? (double)pjd_nn_positions(&t->s) * (double)t->s.c : 0.0;
}

static cost cost_of(const nn_step *s)
{
    const nn_rec *r = &s->rec;
    double in = (double)s->in[NN_X].s.c, out = (double)s->out.s.c, places = (double)pjd_nn_positions(&s->out.s);
    double taps = (double)(r->kh * r->kw), points, tiles, side, high;
    cost c = {.memory = 4.0 * (floats(&s->in[0]) + floats(&s->in[1]) + floats(&s->in[2]) + floats(&s->out))};

    if (r->op == NN_ATTN) {
        c.done = c.direct = 4.0 * places * (double)pjd_nn_positions(&s->in[NN_K].s) * (double)(r->groups * r->dim);
    } else if (r->op == NN_CONV) {
        c.done = c.direct = 2.0 * places * taps * in * out;
        c.memory += 4.0 * taps * in * out;
        if (is_winograd(s)) {
            bool doubled = way_of(s)[4] == '5'; /* four phases of half the size, 6 inputs for 5 outputs */

            side = doubled ? 5 : way_of(s)[4] == '2' ? 2 : 4;
            high = r->kh == 1 ? 1 : side;
            points = doubled ? 36 : (side + 2) * (r->kh == 1 ? 1 : side + 2);
            tiles = doubled ? 4 * ceil((double)s->in[NN_X].s.h / 5) * ceil((double)s->in[NN_X].s.w / 5)
                            : ceil((double)s->out.s.h / high) * ceil((double)s->out.s.w / side);
            c.done = 2.0 * tiles * points * in * out;
            c.memory += 4.0 * ((doubled ? 4 : 1) * points - taps) * in * out;
            c.input = 8.0 * tiles * points * in;
            c.output = 4.0 * tiles * (points + side * high) * out +
                       (s->in[NN_RESIDUAL].segs ? 4.0 * places * out : 0.0);
        }
    }
    return c;
}

static void profile(const network *n, int runs, pjd_error *err)
{
    static const char *const kinds[] = {"winograd", "direct", "matrix", "norm", "attention", "rest"};
    pjd_nn_plan *p = plan(n, NULL, err);
    layer *l = p ? measure(p, n, runs, true, err) : NULL;
    double ticks = now_ticks(), start = pjd_now();

    if (!l)
        return;
    while (pjd_now() - start < 0.2)
        ;
    ticks = (now_ticks() - ticks) / (pjd_now() - start);
    printf("{\"flops1\": %.6g, \"flops\": %.6g, \"bytes1\": %.6g, ", peak_flops(1, false),
           peak_flops(n->threads, false), peak_flops(1, true));
    printf("\"cache\": %.6g, \"memory\": %.6g, \"kinds\": {", bandwidth(n->threads, (size_t)1 << 15),
           bandwidth(n->threads, (size_t)1 << 24));
    for (size_t k = 0; k < PJD_COUNTOF(kinds); k++) {
        double seconds = 0, slots[SLOTS] = {0};
        size_t layers = 0;
        cost sum = {0};

        for (size_t i = 0; i < p->step_count; i++) {
            cost c = cost_of(&p->steps[i]);

            if (strcmp(kind_of(&p->steps[i]), kinds[k]) != 0)
                continue;
            layers++;
            seconds += l[i].seconds;
            sum.done += c.done;
            sum.direct += c.direct;
            sum.memory += c.memory;
            sum.input += c.input;
            sum.output += c.output;
            for (int q = 0; q < SLOTS; q++)
                slots[q] += l[i].ticks[q] / ticks / n->threads * l[i].seconds / l[i].inside;
        }
        printf("%s\"%s\": {\"layers\": %zu, \"seconds\": %.6g, \"done\": %.6g, \"direct\": %.6g, \"bytes\": %.6g, "
               "\"input bytes\": %.6g, \"output bytes\": %.6g",
               k ? ", " : "", kinds[k], layers, seconds, sum.done, sum.direct, sum.memory, sum.input, sum.output);
        for (int q = 0; q < SLOTS; q++)
            printf(", \"%s\": %.6g", slot_names[q], slots[q]);
        printf("}");
    }
    printf("}}\n");
    free(l);
    pjd_nn_plan_free(p);
}

/* ---- every way ---- */

enum { WAYS = 6 };
static const char *const ways[WAYS] = {NULL, "direct", "wino2", "wino4", "wino5", "line4"};

typedef struct tried {
    char name[80], way[WAYS][16];
    double seconds[WAYS]; /* with the norm before it, which only some ways take in */
} tried;

static size_t collect(const pjd_nn_plan *p, const layer *l, int way, tried *t)
{
    double before = 0;
    size_t n = 0;

    for (size_t i = 0; i < p->step_count; i++) {
        const nn_step *s = &p->steps[i];

        if (s->rec.op == NN_NORM || s->rec.op == NN_MOMENTS)
            before += l[i].seconds;
        if (s->rec.op != NN_CONV || pjd_nn_positions(&s->out.s) == 1)
            continue;
        if (t) {
            snprintf(t[n].name, sizeof t[n].name, "%s", s->name);
            snprintf(t[n].way[way], sizeof t[n].way[way], "%s", way_of(s));
            t[n].seconds[way] = before + l[i].seconds;
        }
        before = 0;
        n++;
    }
    return n;
}

static void trial(const network *n, int runs, pjd_error *err)
{
    tried *t = NULL;
    size_t count = 0;
    double chosen = 0, best = 0;

    for (int way = 0; way < WAYS; way++) {
        pjd_nn_plan *p = plan(n, ways[way], err);
        layer *l = p ? measure(p, n, runs, false, err) : NULL;

        if (!l)
            return;
        if (!t) {
            count = collect(p, l, way, NULL);
            t = calloc(count, sizeof *t);
            if (!t)
                exit(5);
        }
        collect(p, l, way, t);
        free(l);
        pjd_nn_plan_free(p);
    }
    printf("{\"layers\": [");
    for (size_t i = 0; i < count; i++) {
        int least = 0;
        double taken = t[i].seconds[0];

        for (int way = 1; way < WAYS; way++) {
            least = t[i].seconds[way] < t[i].seconds[least] ? way : least;
            if (strcmp(t[i].way[way], t[i].way[0]) == 0 && t[i].seconds[way] < taken)
                taken = t[i].seconds[way];
        }
        chosen += taken;
        best += t[i].seconds[least];
        printf("%s[\"%s\", \"%s\", %.6g, \"%s\", %.6g]", i ? ", " : "", t[i].name, t[i].way[0], taken, t[i].way[least],
               t[i].seconds[least]);
    }
    printf("], \"chosen\": %.6g, \"best\": %.6g}\n", chosen, best);
    free(t);
}

int main(int argc, char **argv)
{
    const pjd_log silent = {0};
    pjd_error err = {PJD_OK, ""};
    network n = {0};
    int runs;

    if (argc < 7 || argc > 8) {
        fprintf(stderr, "usage: roofline MODEL CONFIG HEIGHT WIDTH THREADS RUNS [trial]\n");
        return 2;
    }
    n.h = strtoul(argv[3], NULL, 10);
    n.width = strtoul(argv[4], NULL, 10);
    n.threads = atoi(argv[5]);
    runs = atoi(argv[6]);
    if (pjd_weights_open(argv[1], &silent, &n.w, &err) == PJD_OK &&
        pjd_network_open(n.w, argv[2], &silent, &n.net, &err) == PJD_OK)
        (argc == 8 ? trial : profile)(&n, runs, &err);
    pjd_network_free(n.net);
    pjd_weights_free(n.w);
    if (err.code != PJD_OK)
        fprintf(stderr, "roofline: %s\n", err.text);
    return err.code != PJD_OK;
}
