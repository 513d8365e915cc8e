/* SPDX-License-Identifier: MIT */
/* projdiff info: what a model is, and how that was found out. */
#include "cli.h"

#include <string.h>

typedef struct A {
    cli_args common;
    const char *model_config;
    long threads;
    int precision, backend;
    bool json;
} A;

static const cli_option options[] = {
    {"json", 0, CLI_FLAG, offsetof(A, json), NULL, "one JSON object instead of lines", 0, 0, NULL},
    CLI_OPT_MODEL_CONFIG(A),
    CLI_OPT_PRECISION(A),
    CLI_OPT_BACKEND(A),
    CLI_OPT_THREADS(A),
};

static const char *prediction_name(pjd_prediction p)
{
    switch (p) {
    case PJD_PREDICT_EPS:
        return "eps";
    case PJD_PREDICT_X0:
        return "x0";
    case PJD_PREDICT_V:
        return "v";
    }
    return "?";
}

/* ---- what one call takes here, by size ---- */

enum { SIZES = 6 };

typedef struct row {
    size_t width, height; /* of a sequence: samples, 1 */
    pjd_estimate e;
} row;

/* Sizes people have; of music, seconds. */
static size_t item_sizes(const pjd_model_info *i, row *rows)
{
    static const size_t pictures[SIZES][2] = {{64, 64}, {128, 128}, {256, 256}, {512, 512}, {768, 512}, {1024, 1024}};
    static const double seconds[] = {1, 3, 6, 12};
    double rate = i->sample_rate > 0 ? i->sample_rate : 22050;
    size_t n = 0;

    for (; !i->sequence && n < SIZES; n++)
        rows[n] = (row){.width = pictures[n][0], .height = pictures[n][1]};
    for (; i->sequence && n < CLI_COUNTOF(seconds); n++)
        rows[n] = (row){.width = ((size_t)(seconds[n] * rate) + i->multiple - 1) / i->multiple * i->multiple,
                        .height = 1};
    return n;
}

/* Those that can be told, at the front of rows. */
static size_t estimate(const A *a, pjd_model *m, row *rows)
{
    const pjd_model_info *i = pjd_model_get_info(m);
    pjd_runner_options o = {
        .threads = (int)a->threads, .backend = (pjd_backend)a->backend, .precision = (pjd_precision)a->precision};
    size_t n = item_sizes(i, rows), known = 0;

    for (size_t k = 0; k < n; k++) {
        pjd_shape item = pjd_shape_chw(i->in_channels, rows[k].height, rows[k].width);

        if (pjd_model_estimate(m, 1, &item, &o, &rows[k].e, NULL) == PJD_OK)
            rows[known++] = rows[k];
    }
    return known;
}

static void print_estimates(const pjd_model_info *i, const row *rows, size_t n)
{
    char size[32], time[32];

    if (n > 0)
        printf("one call of the network here, estimated:\n");
    for (size_t k = 0; k < n; k++) {
        if (i->sequence)
            snprintf(size, sizeof size, "%zu samples", rows[k].width);
        else
            snprintf(size, sizeof size, "%zux%zu", rows[k].width, rows[k].height);
        cli_seconds_text(rows[k].e.seconds, time, sizeof time);
        printf("  %-15s %10s %8.0f MiB", size, time, (double)rows[k].e.bytes / 1048576);
        if (rows[k].e.tiles > 1)
            printf(" in %zu tiles", rows[k].e.tiles);
        putchar('\n');
    }
}

static void print_lines(const pjd_model *m, const pjd_model_info *i)
{
    const char *line;

    printf("family: %s\n", i->family);
    printf("container: %s\n", i->container);
    printf("parameters: %llu\n", (unsigned long long)i->parameters);
    printf("channels: %zu in, %zu out\n", i->in_channels, i->out_channels);
    printf("sizes: multiples of %zu (padded inside)\n", i->multiple);
    if (i->num_classes)
        printf("classes: %zu\n", i->num_classes);
    printf("prediction: %s\n", prediction_name(i->prediction));
    printf("timesteps: %zu\n", i->timesteps);
    printf("schedule: %s\n", i->schedule);
    printf("range: %g to %g\n", i->range_low, i->range_high);
    for (size_t k = 0; (line = pjd_model_detail(m, k)); k++)
        printf("  %s\n", line);
}

static void print_json(const pjd_model *m, const pjd_model_info *i, const row *rows, size_t n)
{
    const char *line;

    fputs("{\"family\":", stdout);
    cli_json_string(stdout, i->family);
    fputs(",\"container\":", stdout);
    cli_json_string(stdout, i->container);
    printf(",\"parameters\":%llu,\"in_channels\":%zu,\"out_channels\":%zu,\"multiple\":%zu,\"num_classes\":%zu,"
           "\"prediction\":\"%s\",\"timesteps\":%zu,\"schedule\":",
           (unsigned long long)i->parameters, i->in_channels, i->out_channels, i->multiple, i->num_classes,
           prediction_name(i->prediction), i->timesteps);
    cli_json_string(stdout, i->schedule);
    printf(",\"range\":[%.9g,%.9g],\"details\":[", i->range_low, i->range_high);
    for (size_t k = 0; (line = pjd_model_detail(m, k)); k++) {
        if (k)
            putchar(',');
        cli_json_string(stdout, line);
    }
    fputs("],\"estimates\":[", stdout);
    for (size_t k = 0; k < n; k++)
        printf("%s{\"width\":%zu,\"height\":%zu,\"seconds\":%.6g,\"bytes\":%zu,\"activation_bytes\":%zu,"
               "\"weight_bytes\":%zu,\"tiles\":%zu}",
               k ? "," : "", rows[k].width, rows[k].height, rows[k].e.seconds, rows[k].e.bytes,
               rows[k].e.activation_bytes, rows[k].e.weight_bytes, rows[k].e.tiles);
    puts("]}");
}

static int run(const void *args)
{
    const A *a = args;
    pjd_model *m;
    row rows[SIZES];
    size_t n;
    int code = cli_model_open(a->common.count ? a->common.at[0] : NULL, a->model_config, &m);

    if (code != CLI_DONE)
        return code;
    cli_set_threads(a->threads);
    n = estimate(a, m, rows);
    if (a->json) {
        print_json(m, pjd_model_get_info(m), rows, n);
    } else {
        print_lines(m, pjd_model_get_info(m));
        print_estimates(pjd_model_get_info(m), rows, n);
    }
    pjd_model_unref(m);
    return CLI_DONE;
}

const cli_command cli_cmd_info = {
    .name = "info",
    .summary = "what a model is, and how that was found out",
    .synopsis = "[MODEL] [--json]",
    .description =
        "Prints the architecture, hyper-parameters and noise schedule of a checkpoint, each with its source: the "
        "config beside it, the shapes of its tensors, a table of known files, or an option. Without MODEL: of the "
        "prior that ships. Nothing in the file is executed.\n\n"
        "Then the time and the memory that one call of its network takes on this machine, for some sizes: counted from "
        "the layers, with a measurement of a tenth of a second, without reading the weights. A restoration makes about "
        "one call for each step.",
    .examples = "projdiff info model.safetensors",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .max_args = 1,
    .run = run,
};
