/* SPDX-License-Identifier: MIT */
/* projdiff info: what a model is, and how that was found out. */
#include "cli.h"

#include <string.h>

typedef struct A {
    cli_args common;
    const char *model_config;
    bool json;
} A;

static const cli_option options[] = {
    {"json", 0, CLI_FLAG, offsetof(A, json), NULL, "one JSON object instead of lines", 0, 0, NULL},
    CLI_OPT_MODEL_CONFIG(A),
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

static void print_json(const pjd_model *m, const pjd_model_info *i)
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
    puts("]}");
}

static int run(const void *args)
{
    const A *a = args;
    pjd_model *m;
    int code = cli_model_open(a->common.count ? a->common.at[0] : NULL, a->model_config, &m);

    if (code != CLI_DONE)
        return code;
    if (a->json)
        print_json(m, pjd_model_get_info(m));
    else
        print_lines(m, pjd_model_get_info(m));
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
        "prior that ships. Nothing in the file is executed.",
    .examples = "projdiff info model.safetensors",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .max_args = 1,
    .run = run,
};
