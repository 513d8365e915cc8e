/* SPDX-License-Identifier: MIT */
/* projdiff bench: how long one call of a network takes here, and the memory it needs. */
#include "cli.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#include <stdlib.h>

typedef struct A {
    cli_args common;
    const char *model, *model_config, *size;
    long batch, rounds, threads, tile;
    int precision, backend;
    bool json;
} A;

static const cli_option options[] = {
    CLI_OPT_MODEL(A),
    CLI_OPT_MODEL_CONFIG(A),
    {"size", 0, CLI_TEXT, offsetof(A, size), "WxH", "width and height in pixels; default 256x256", 0, 0, NULL},
    {"batch", 0, CLI_COUNT, offsetof(A, batch), "N", "pictures in one call; default 1", 1, 1024, NULL},
    {"rounds", 0, CLI_COUNT, offsetof(A, rounds), "N", "calls that are timed, after one that is not; default 5", 1,
     10000, NULL},
    CLI_OPT_TILE(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
    {"json", 0, CLI_FLAG, offsetof(A, json), NULL, "one JSON object instead of lines", 0, 0, NULL},
};

static const A defaults = {.size = "256x256", .batch = 1, .rounds = 5};

/* What is measured, and its buffers. */
typedef struct bench {
    pjd_runner *runner;
    float *x, *x0;
    int *labels;
    double *ms; /* of each round, sorted in the end */
    double plan_ms;
    pjd_estimate expected; /* before anything was planned; 0 seconds: unknown */
    pjd_runner_stats stats;
} bench;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *sorted, size_t n)
{
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* Noise as the network's input: the time does not depend on what it sees. */
static pjd_status make_buffers(const A *a, const pjd_shape *item, bench *b, pjd_error *err)
{
    size_t batch = (size_t)a->batch, count;
    pjd_noise *noise = NULL;
    pjd_status st = PJD_OK;

    if (pjd_shape_count(item, &count) && !__builtin_mul_overflow(count, batch, &count) &&
        count <= SIZE_MAX / sizeof *b->x) {
        b->x = malloc(count * sizeof *b->x);
        b->x0 = malloc(count * sizeof *b->x0);
    }
    b->labels = calloc(batch, sizeof *b->labels);
    b->ms = malloc((size_t)a->rounds * sizeof *b->ms);
    if (!b->x || !b->x0 || !b->labels || !b->ms)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory for %ld picture(s) of %s", a->batch, a->size);
    st = pjd_noise_seeded(0, 0, &noise, err);
    if (st == PJD_OK)
        st = pjd_noise_normal(noise, b->x, count, err);
    pjd_noise_free(noise);
    return st;
}

static pjd_status plan(const A *a, pjd_model *m, const pjd_shape *item, bench *b, pjd_error *err)
{
    pjd_runner_options o = {.threads = (int)a->threads,
                            .backend = (pjd_backend)a->backend,
                            .precision = (pjd_precision)a->precision,
                            .tile = (size_t)a->tile,
                            .classes = pjd_model_get_info(m)->num_classes ? b->labels : NULL, /* class 0 is any */
                            .log = {cli_log, NULL}};
    double start;
    pjd_status st;

    if (pjd_model_estimate(m, (size_t)a->batch, item, &o, &b->expected, NULL) != PJD_OK)
        b->expected = (pjd_estimate){0};
    start = cli_now();
    st = pjd_runner_create(m, (size_t)a->batch, item, &o, &b->runner, err);
    b->plan_ms = 1e3 * (cli_now() - start);
    return st;
}

/* One call to bring everything into memory, then those that count. */
static pjd_status measure(const A *a, pjd_model *m, bench *b, pjd_error *err)
{
    double t = (double)(pjd_model_get_info(m)->timesteps / 2);
    pjd_status st = pjd_runner_denoise(b->runner, b->x, t, b->x0, err);

    for (long i = 0; st == PJD_OK && i < a->rounds; i++) {
        double start = cli_now();

        if (cli_interrupted())
            return pjd_error_set(err, PJD_ERR_CANCELLED, "interrupted");
        st = pjd_runner_denoise(b->runner, b->x, t, b->x0, err);
        b->ms[i] = 1e3 * (cli_now() - start);
    }
    if (st == PJD_OK && cli_interrupted())
        st = pjd_error_set(err, PJD_ERR_CANCELLED, "interrupted");
    if (st == PJD_OK) {
        qsort(b->ms, (size_t)a->rounds, sizeof *b->ms, by_value);
        pjd_runner_get_stats(b->runner, &b->stats);
    }
    return st;
}

static long threads_used(const A *a)
{
    if (a->threads)
        return a->threads;
#ifdef _OPENMP
    return omp_get_num_procs();
#else
    return 1;
#endif
}

static const char *precision_name(const A *a)
{
    static const char *const names[] = {"default", "exact", "fast"};

    return names[a->precision];
}

static void print_lines(const A *a, const pjd_model *m, const pjd_shape *item, const bench *b)
{
    size_t n = (size_t)a->rounds;
    const pjd_model_info *i = pjd_model_get_info(m);

    printf("network: %s, %.1f million parameters\n", i->family, 1e-6 * (double)i->parameters);
    printf("input: %ld of %zux%zu, %zu channel(s)\n", a->batch, item->dim[2], item->dim[1], item->dim[0]);
    printf("precision: %s\n", precision_name(a));
    printf("threads: %ld\n", threads_used(a));
    printf("planning: %.1f ms\n", b->plan_ms);
    printf("one call: %.2f ms (median of %ld; least %.2f, most %.2f)\n", median(b->ms, n), a->rounds, b->ms[0],
           b->ms[n - 1]);
    printf("estimated before: %.2f ms, %.1f MiB\n", 1e3 * b->expected.seconds, (double)b->expected.bytes / 1048576);
    printf("activations: %.1f MiB\n", (double)b->stats.arena_bytes / 1048576);
    printf("packed weights: %.1f MiB\n", (double)b->stats.weight_bytes / 1048576);
    printf("tiles: %zu\n", b->stats.tiles);
}

static void print_json(const A *a, const pjd_model *m, const pjd_shape *item, const bench *b)
{
    size_t n = (size_t)a->rounds;
    const pjd_model_info *i = pjd_model_get_info(m);

    fputs("{\"family\":", stdout);
    cli_json_string(stdout, i->family);
    printf(",\"parameters\":%llu,\"batch\":%ld,\"channels\":%zu,\"width\":%zu,\"height\":%zu,\"precision\":\"%s\","
           "\"threads\":%ld,\"rounds\":%ld,\"plan_ms\":%.3f,\"median_ms\":%.3f,\"least_ms\":%.3f,\"most_ms\":%.3f,"
           "\"estimated_ms\":%.3f,\"estimated_bytes\":%zu,"
           "\"activation_bytes\":%zu,\"weight_bytes\":%zu,\"tiles\":%zu}\n",
           (unsigned long long)i->parameters, a->batch, item->dim[0], item->dim[2], item->dim[1], precision_name(a),
           threads_used(a), a->rounds, b->plan_ms, median(b->ms, n), b->ms[0], b->ms[n - 1], 1e3 * b->expected.seconds,
           b->expected.bytes, b->stats.arena_bytes, b->stats.weight_bytes, b->stats.tiles);
}

static int run_model(const A *a, pjd_model *m, size_t w, size_t h)
{
    pjd_shape item = pjd_shape_chw(pjd_model_get_info(m)->in_channels, h, w);
    bench b = {0};
    pjd_error err;
    pjd_status st = make_buffers(a, &item, &b, &err);
    int code = CLI_DONE;

    if (st == PJD_OK)
        st = plan(a, m, &item, &b, &err);
    if (st == PJD_OK)
        st = measure(a, m, &b, &err);
    if (st != PJD_OK)
        code = cli_fail(&err, NULL, false);
    else if (a->json)
        print_json(a, m, &item, &b);
    else
        print_lines(a, m, &item, &b);
    pjd_runner_free(b.runner);
    free(b.x);
    free(b.x0);
    free(b.labels);
    free(b.ms);
    return code;
}

static int run(const void *args)
{
    const A *a = args;
    pjd_model *m = NULL;
    size_t w, h;
    int code;

    if (!cli_parse_size(a->size, &w, &h))
        return cli_error(CLI_USAGE, "--size: expected WxH in pixels, found \"%.40s\"", a->size);
    cli_set_threads(a->threads);
    code = cli_model_open(a->model, a->model_config, &m);
    if (code == CLI_DONE)
        code = run_model(a, m, w, h);
    pjd_model_unref(m);
    return code;
}

const cli_command cli_cmd_bench = {
    .name = "bench",
    .summary = "time and memory of one call of a model's network here",
    .synopsis = "[-m MODEL] [--size WxH] [-t N] [--json]",
    .description =
        "Plans the network for pictures of a size, runs it a few times on noise and prints the time of one call, the "
        "memory of its activations and packed weights, and into how many tiles a picture is cut. A restoration makes "
        "about one call for each step. Other work on the machine shows as a median far above the least time.",
    .examples = "projdiff bench --size 768x512\n"
                "projdiff bench -m model.safetensors --size 256x256 --batch 4 -t 1 --json",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .run = run,
};
