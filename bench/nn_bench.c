/* SPDX-License-Identifier: MIT */
/*
 * Times the network engine on two networks with random weights: the layers of the FFHQ-256 guided-diffusion U-Net (128
 * channels, 1 block a level, mult 1,1,2,2,4,4, attention at 16 pixels) and of the photo prior (32, 64, 128 channels).
 *
 *   nn_bench ffhq|photo [-s HxW] [-t THREADS,...] [-r RUNS] [-b auto|c|onednn] [-k TABLE] [-w WAY] [-e] [-d] [-p] [-n BATCH]
 *
 * -k: this table of kernels (c, avx2, avx512) instead of the best; -w: this way of convolution (direct, wino2, wino4, wino5)
 * wherever it can; -e: exact precision; -d: compare with it; -p: smallest
 * time per layer, longest first. Prints the smallest and the median time of RUNS runs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nn/internal.h"

static uint64_t seed = 1;

/* A view of random numbers, scaled to keep activations near unit variance. Never freed: the program is short. */
static const float *weights(size_t n, size_t fan_in)
{
    float *x = malloc(n * sizeof *x), scale = fan_in ? 1.7f / sqrtf((float)fan_in) : 0.1f;

    if (!x)
        exit(5);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = scale * ((float)(seed >> 40) / 8388608.0f - 1.0f);
    }
    return x;
}

static size_t channels(pjd_nn_builder *b, pjd_nn_value v)
{
    size_t c;

    pjd_nn_shape(b, v, NULL, NULL, &c);
    return c;
}

static pjd_nn_value conv(pjd_nn_builder *b, pjd_nn_value x, size_t out, size_t k, size_t stride, bool up,
                         pjd_nn_value res)
{
    size_t c = channels(b, x), pad = stride == 1 ? k / 2 : 0;
    pjd_nn_conv p = {.weight = weights(out * c * k * k, c * k * k),
                     .bias = weights(out, 0),
                     .out = out,
                     .kh = k,
                     .kw = k,
                     .stride = stride,
                     .pad_top = pad,
                     .pad_left = pad,
                     .pad_bottom = stride == 1 ? pad : 1,
                     .pad_right = stride == 1 ? pad : 1,
                     .upsample2 = up,
                     .residual = res};

    return pjd_nn_conv2d(b, x, &p);
}

static pjd_nn_value linear(pjd_nn_builder *b, pjd_nn_value x, size_t out, pjd_act pre)
{
    size_t c = channels(b, x);

    return pjd_nn_linear(b, x, weights(out * c, c), weights(out, 0), out, pre, PJD_ACT_NONE);
}

static pjd_nn_value norm(pjd_nn_builder *b, pjd_nn_value x, size_t groups, pjd_nn_value mod, pjd_act act)
{
    size_t c = channels(b, x);
    float *one = malloc(c * sizeof *one);

    if (!one)
        exit(5);
    for (size_t i = 0; i < c; i++)
        one[i] = 1.0f;
    return pjd_nn_group_norm(b, x, groups, 1e-5, one, weights(c, 0), mod, act);
}

/* ---- guided diffusion, FFHQ-256 ---- */

static pjd_nn_value adm_res(pjd_nn_builder *b, pjd_nn_value x, pjd_nn_value emb, size_t out, int updown)
{
    pjd_nn_value h = norm(b, x, 32, PJD_NN_NONE, PJD_ACT_SILU);

    if (updown < 0) {
        h = pjd_nn_avgpool2(b, h);
        x = pjd_nn_avgpool2(b, x);
    } else if (updown > 0) {
        x = pjd_nn_upsample2(b, x);
    }
    h = conv(b, h, out, 3, 1, updown > 0, PJD_NN_NONE);
    h = norm(b, h, 32, linear(b, emb, 2 * out, PJD_ACT_SILU), PJD_ACT_SILU);
    if (channels(b, x) != out)
        x = conv(b, x, out, 1, 1, false, PJD_NN_NONE);
    return conv(b, h, out, 3, 1, false, x);
}

static pjd_nn_value adm_attention(pjd_nn_builder *b, pjd_nn_value x)
{
    size_t c = channels(b, x);
    pjd_nn_value qkv = linear(b, norm(b, x, 32, PJD_NN_NONE, PJD_ACT_NONE), 3 * c, PJD_ACT_NONE);
    pjd_nn_attn p = {qkv, qkv, qkv, 0, c, 2 * c, c / 64, 64, 0.125};

    return pjd_nn_add(b, x, linear(b, pjd_nn_attention(b, &p), c, PJD_ACT_NONE));
}

static pjd_nn_value ffhq(pjd_nn_builder *b, size_t height, size_t width)
{
    static const size_t mult[] = {1, 1, 2, 2, 4, 4};
    pjd_nn_value skips[32], h = pjd_nn_input(b, 3, height, width), emb = pjd_nn_time_embedding(b, 128, 0, true);
    size_t n = 0;

    emb = linear(b, linear(b, emb, 512, PJD_ACT_NONE), 512, PJD_ACT_SILU);
    skips[n++] = h = conv(b, h, 128, 3, 1, false, PJD_NN_NONE);
    for (size_t l = 0; l < 6; l++) {
        h = adm_res(b, h, emb, 128 * mult[l], 0);
        skips[n++] = h = l == 4 ? adm_attention(b, h) : h;
        if (l < 5)
            skips[n++] = h = adm_res(b, h, emb, 128 * mult[l], -1);
    }
    h = adm_res(b, adm_attention(b, adm_res(b, h, emb, 512, 0)), emb, 512, 0);
    for (size_t l = 6; l-- > 0;)
        for (size_t i = 0; i < 2; i++) {
            h = adm_res(b, pjd_nn_concat(b, h, skips[--n]), emb, 128 * mult[l], 0);
            h = l == 4 ? adm_attention(b, h) : h;
            if (l > 0 && i == 1)
                h = adm_res(b, h, emb, 128 * mult[l], 1);
        }
    return conv(b, norm(b, h, 32, PJD_NN_NONE, PJD_ACT_SILU), 6, 3, 1, false, PJD_NN_NONE);
}

/* ---- the photo prior: a diffusers UNet2DModel without attention ---- */

static pjd_nn_value photo_res(pjd_nn_builder *b, pjd_nn_value x, pjd_nn_value emb, size_t out)
{
    pjd_nn_value h = conv(b, norm(b, x, 8, PJD_NN_NONE, PJD_ACT_SILU), out, 3, 1, false, PJD_NN_NONE);

    h = pjd_nn_add(b, h, linear(b, emb, out, PJD_ACT_SILU));
    h = norm(b, h, 8, PJD_NN_NONE, PJD_ACT_SILU);
    if (channels(b, x) != out)
        x = conv(b, x, out, 1, 1, false, PJD_NN_NONE);
    return conv(b, h, out, 3, 1, false, x);
}

static pjd_nn_value photo(pjd_nn_builder *b, size_t height, size_t width)
{
    static const size_t c[] = {32, 64, 128};
    pjd_nn_value skips[16], h = pjd_nn_input(b, 3, height, width), emb = pjd_nn_time_embedding(b, 32, 1, false);
    size_t n = 0;

    emb = linear(b, linear(b, emb, 128, PJD_ACT_NONE), 128, PJD_ACT_SILU);
    skips[n++] = h = conv(b, h, 32, 3, 1, false, PJD_NN_NONE);
    for (size_t l = 0; l < 3; l++) {
        skips[n++] = h = photo_res(b, h, emb, c[l]);
        if (l < 2)
            skips[n++] = h = conv(b, h, c[l], 3, 2, false, PJD_NN_NONE);
    }
    h = photo_res(b, photo_res(b, h, emb, 128), emb, 128);
    for (size_t l = 3; l-- > 0;) {
        for (size_t i = 0; i < 2; i++)
            h = photo_res(b, pjd_nn_concat(b, h, skips[--n]), emb, c[l]);
        if (l > 0)
            h = conv(b, h, c[l], 3, 1, true, PJD_NN_NONE);
    }
    return conv(b, norm(b, h, 8, PJD_NN_NONE, PJD_ACT_SILU), 3, 3, 1, false, PJD_NN_NONE);
}

/* ---- timing ---- */

/* Processor time of all threads: less disturbed than the clock on a busy machine. */
static double cpu_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

typedef struct layer_time {
    const char *name;
    double seconds;
} layer_time;

static int longest_first(const void *a, const void *b)
{
    double x = ((const layer_time *)a)->seconds, y = ((const layer_time *)b)->seconds;

    return x > y ? -1 : x < y;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* After each run: the smallest time of each layer. */
static void note_layers(const pjd_nn_plan *p, layer_time *t, double *before, bool first)
{
    for (size_t i = 0; i < pjd_nn_plan_layers(p); i++) {
        double all, now;

        t[i].name = pjd_nn_plan_layer(p, i, &all);
        now = all - before[i];
        before[i] = all;
        t[i].seconds = first || now < t[i].seconds ? now : t[i].seconds;
    }
}

static void print_layers(layer_time *t, size_t n)
{
    qsort(t, n, sizeof *t, longest_first);
    for (size_t i = 0; i < n; i++)
        printf("  %8.3f ms  %s\n", 1e3 * t[i].seconds, t[i].name);
}

/* |y - exact| / |exact| with the exact plan of the same network and input; NAN when it cannot be made. */
static double against_exact(pjd_nn_builder *b, pjd_nn_value out, int threads, const float *in, const float *t,
                            const float *y, size_t n)
{
    pjd_nn_options opt = {.threads = threads, .precision = PJD_PRECISION_EXACT};
    pjd_nn_plan *p;
    float *z = malloc(n * sizeof *z);
    double d = 0, s = 0;

    if (!z || pjd_nn_plan_create(b, out, &opt, &p, NULL) != PJD_OK) {
        free(z);
        return NAN;
    }
    if (pjd_nn_plan_run(p, in, t, NULL, z, NULL) != PJD_OK)
        s = NAN;
    for (size_t i = 0; i < n; i++) {
        d += ((double)y[i] - z[i]) * ((double)y[i] - z[i]);
        s += (double)z[i] * z[i];
    }
    pjd_nn_plan_free(p);
    free(z);
    return sqrt(d / s);
}

typedef struct settings {
    const char *net;
    size_t h, w, batch, runs;
    int threads[8], thread_count;
    pjd_backend backend;
    pjd_precision precision;
    bool profile, compare;
    const char *table, *way;
} settings;

static int measure(const settings *s, int threads)
{
    pjd_nn_options opt = {.threads = threads, .backend = s->backend, .precision = s->precision};
    nn_how how = {.kernels = s->table ? pjd_kernels_named(s->table) : NULL, .way = s->way};
    pjd_nn_builder *b;
    pjd_nn_plan *p;
    pjd_error err;
    pjd_nn_value out;
    float t[64];
    size_t arena, packed, c;
    double cpu = 0, created;
    layer_time *layers;
    double *before;
    double *times = malloc((s->runs + 1) * sizeof *times);
    float *in = malloc(s->batch * 3 * s->h * s->w * sizeof *in), *y = malloc(s->batch * 6 * s->h * s->w * sizeof *y);

    seed = 1;
    if (!times || !in || !y || pjd_nn_builder_create(s->batch, &b, &err) != PJD_OK)
        return 5;
    out = strcmp(s->net, "ffhq") == 0 ? ffhq(b, s->h, s->w) : photo(b, s->h, s->w);
    created = cpu_now();
    if (pjd_nn_plan_make(b, out, &opt, &how, &p, &err) != PJD_OK) {
        fprintf(stderr, "nn_bench: %s\n", err.text);
        return 1;
    }
    created = cpu_now() - created;
    layers = calloc(pjd_nn_plan_layers(p), sizeof *layers);
    before = calloc(pjd_nn_plan_layers(p), sizeof *before);
    if (!layers || !before)
        return 5;
    memcpy(in, weights(s->batch * 3 * s->h * s->w, 3), s->batch * 3 * s->h * s->w * sizeof *in);
    for (size_t i = 0; i < s->batch && i < 64; i++)
        t[i] = 500;
    for (size_t i = 0; i <= s->runs; i++) { /* the first warms up */
        double t0 = pjd_now(), c0 = cpu_now();

        if (pjd_nn_plan_run(p, in, t, NULL, y, &err) != PJD_OK) {
            fprintf(stderr, "nn_bench: %s\n", err.text);
            return 1;
        }
        times[i] = pjd_now() - t0;
        note_layers(p, layers, before, i <= 1);
        cpu = i == 0 || cpu_now() - c0 < cpu ? cpu_now() - c0 : cpu;
    }
    qsort(times + 1, s->runs, sizeof *times, ascending);
    pjd_nn_plan_stats(p, &arena, &packed);
    c = channels(b, out);
    printf("%s %zux%zu batch %zu threads %d: min %.2f ms, median %.2f ms (%zu runs), processor %.2f ms, planned in "
           "%.1f ms, arena %.1f MB, weights %.1f MB, "
           "out[0] %.6g, out[last] %.6g\n",
           s->net, s->w, s->h, s->batch, threads, 1e3 * times[1], 1e3 * times[1 + s->runs / 2], s->runs, 1e3 * cpu,
           1e3 * created, (double)arena / 1e6, (double)packed / 1e6, (double)y[0],
           (double)y[s->batch * c * s->h * s->w - 1]);
    if (s->compare)
        printf("  relative difference to exact precision: %.3g\n",
               against_exact(b, out, threads, in, t, y, s->batch * c * s->h * s->w));
    if (s->profile)
        print_layers(layers, pjd_nn_plan_layers(p));
    free(layers);
    free(before);
    pjd_nn_plan_free(p);
    pjd_nn_builder_free(b);
    free(times);
    free(in);
    free(y);
    return 0;
}

int main(int argc, char **argv)
{
    settings s = {.h = 256, .w = 256, .batch = 1, .runs = 5, .threads = {1, 2}, .thread_count = 2};
    int st = 0;

    if (argc < 2 || (strcmp(argv[1], "ffhq") != 0 && strcmp(argv[1], "photo") != 0)) {
        fprintf(stderr, "usage: nn_bench ffhq|photo [-s HxW] [-t THREADS,...] [-r RUNS] "
                        "[-b auto|c|onednn] [-k TABLE] [-w WAY] [-e] [-d] [-p] [-n BATCH]\n");
        return 2;
    }
    s.net = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "-e") == 0) {
            s.precision = PJD_PRECISION_EXACT;
        } else if (strcmp(argv[i], "-d") == 0) {
            s.compare = true;
        } else if (strcmp(argv[i], "-p") == 0) {
            s.profile = true;
        } else if (strcmp(argv[i], "-s") == 0) {
            if (sscanf(value, "%zux%zu", &s.h, &s.w) != 2)
                return 2;
            i++;
        } else if (strcmp(argv[i], "-t") == 0) {
            s.thread_count = sscanf(value, "%d,%d,%d", &s.threads[0], &s.threads[1], &s.threads[2]);
            i++;
        } else if (strcmp(argv[i], "-r") == 0) {
            s.runs = (size_t)atoi(value) + !atoi(value);
            i++;
        } else if (strcmp(argv[i], "-n") == 0) {
            s.batch = (size_t)atoi(value);
            i++;
        } else if (strcmp(argv[i], "-k") == 0) {
            s.table = value;
            i++;
        } else if (strcmp(argv[i], "-w") == 0) {
            s.way = value;
            i++;
        } else if (strcmp(argv[i], "-b") == 0) {
            s.backend = *value == 'c' ? PJD_BACKEND_C : *value == 'o' ? PJD_BACKEND_ONEDNN : PJD_BACKEND_AUTO;
            i++;
        }
    }
    for (int i = 0; i < s.thread_count && st == 0; i++)
        st = measure(&s, s.threads[i]);
    return st;
}
