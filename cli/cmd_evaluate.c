/* SPDX-License-Identifier: MIT */
/* projdiff evaluate: a folder of estimates against a folder of references. */
#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_METRICS = 8 };

typedef struct A {
    cli_args common;
    const char *metrics;
    double range;
    bool align, json;
} A;

static const cli_option options[] = {
    {"metrics", 0, CLI_TEXT, offsetof(A, metrics), "NAME[,NAME...]",
     "what is computed (see projdiff list metrics); default psnr,ssim", 0, 0, NULL},
    CLI_OPT_RANGE(A),
    CLI_OPT_ALIGN(A),
    {"json", 0, CLI_FLAG, offsetof(A, json), NULL,
     "one JSON object on standard output; null stands for what is infinite and for what could not be computed", 0, 0,
     NULL},
};

static const A defaults = {.metrics = "psnr,ssim"};

typedef struct row {
    const cli_job *estimate, *reference; /* borrowed from the plans */
    double value[MAX_METRICS];           /* NaN: not computed */
    bool good;
} row;

typedef struct evaluation {
    char names[MAX_METRICS][24];
    size_t metrics;
    cli_plan estimates, references;
    row *rows; /* one for each estimate */
    size_t done, failed;
} evaluation;

/* ---- what to compute ---- */

static bool is_metric(const char *name)
{
    const pjd_entry *e;

    for (size_t i = 0; (e = pjd_registry_entry(PJD_REGISTRY_METRICS, i)); i++)
        if (!strcmp(e->name, name))
            return true;
    return false;
}

static int parse_metrics(const char *text, evaluation *v)
{
    while (true) {
        size_t n = strcspn(text, ",");
        char *name = v->names[v->metrics];

        if (v->metrics == MAX_METRICS)
            return cli_error(CLI_USAGE, "--metrics: at most %d", MAX_METRICS);
        snprintf(name, sizeof v->names[0], "%.*s", n < 64 ? (int)n : 64, text);
        if (n >= sizeof v->names[0] || !is_metric(name))
            return cli_error(CLI_USAGE, "--metrics: none is called \"%.*s\" (see projdiff list metrics)",
                             n < 64 ? (int)n : 64, text);
        for (size_t i = 0; i < v->metrics; i++)
            if (!strcmp(v->names[i], name))
                return cli_error(CLI_USAGE, "--metrics: %s is there twice", name);
        v->metrics++;
        if (!text[n])
            return CLI_DONE;
        text += n + 1;
    }
}

/* ---- what belongs together ---- */

static const char *base_name(const cli_job *job)
{
    const char *slash = strrchr(job->input, '/');

    return slash ? slash + 1 : job->input;
}

/* The reference with the estimate's file name, else the one that has it but for the extension. An exit code. */
static int find_reference(const evaluation *v, const cli_job *estimate, const cli_job **out)
{
    const cli_job *alike = NULL;
    size_t count = 0;

    *out = NULL;
    for (size_t i = 0; i < v->references.count; i++) {
        const cli_job *r = &v->references.jobs[i];

        if (!v->references.batch || !strcmp(base_name(r), base_name(estimate))) {
            *out = r;
            return CLI_DONE;
        }
        if (!strcmp(r->name, estimate->name)) {
            alike = r;
            count++;
        }
    }
    if (count > 1)
        return cli_error(CLI_INPUT, "%s: %zu references in %s have its name", estimate->input, count,
                         v->references.input);
    if (count == 0)
        return cli_error(CLI_INPUT, "%s: no reference in %s has its name", estimate->input, v->references.input);
    *out = alike;
    return CLI_DONE;
}

static int pair_up(evaluation *v)
{
    size_t found = 0, used = 0;

    v->rows = calloc(v->estimates.count, sizeof *v->rows);
    if (!v->rows)
        return cli_error(CLI_MEMORY, "out of memory");
    for (size_t i = 0; i < v->estimates.count; i++) {
        row *r = &v->rows[i];

        r->estimate = &v->estimates.jobs[i];
        for (size_t k = 0; k < MAX_METRICS; k++)
            r->value[k] = NAN;
        if (find_reference(v, r->estimate, &r->reference) == CLI_DONE)
            found++;
    }
    for (size_t k = 0; k < v->references.count; k++)
        for (size_t i = 0; i < v->estimates.count; i++)
            if (v->rows[i].reference == &v->references.jobs[k]) {
                used++;
                break;
            }
    if (!found)
        return cli_error(CLI_INPUT, "%s: nothing in it belongs to a reference in %s", v->estimates.input,
                         v->references.input);
    /* A mean over fewer pictures than were meant must not pass for the whole. */
    if (used < v->references.count)
        cli_warn("%s: %zu of %zu references have no estimate", v->references.input, v->references.count - used,
                 v->references.count);
    return CLI_DONE;
}

static int list(const A *a, evaluation *v)
{
    int code;

    v->estimates = (cli_plan){.input = a->common.at[0], .samples = 1};
    v->references = (cli_plan){.input = a->common.at[1], .samples = 1};
    code = cli_plan_make(&v->estimates);
    if (code == CLI_DONE)
        code = cli_plan_make(&v->references);
    if (code == CLI_DONE && v->estimates.batch != v->references.batch)
        code = cli_error(CLI_USAGE, "%s is a folder and %s is not",
                         v->estimates.batch ? v->estimates.input : v->references.input,
                         v->estimates.batch ? v->references.input : v->estimates.input);
    return code == CLI_DONE ? pair_up(v) : code;
}

/* ---- scores ---- */

static int score_row(const A *a, const evaluation *v, row *r)
{
    cli_pair p;
    int code = cli_pair_read(r->estimate->input, r->reference->input, a->range, a->align, &p);

    for (size_t k = 0; code == CLI_DONE && k < v->metrics; k++) {
        code = cli_pair_score(&p, v->names[k], &r->value[k]);
        if (code != CLI_DONE)
            r->value[k] = NAN;
    }
    r->good = code == CLI_DONE;
    cli_pair_free(&p);
    return code;
}

/* Of the pictures that were scored by every metric. */
static double mean(const evaluation *v, size_t metric)
{
    double sum = 0;

    for (size_t i = 0; i < v->estimates.count; i++)
        sum += v->rows[i].good ? v->rows[i].value[metric] : 0;
    return sum / (double)v->done;
}

static void print_line(const evaluation *v, const char *name, int width, const double *value)
{
    printf("%-*s", width, name);
    for (size_t k = 0; k < v->metrics; k++)
        printf("  %12.6f", value[k]);
    putchar('\n');
}

static void print_head(const evaluation *v, int width)
{
    printf("%-*s", width, "");
    for (size_t k = 0; k < v->metrics; k++)
        printf("  %12s", v->names[k]);
    putchar('\n');
}

static void json_values(const evaluation *v, const double *value)
{
    for (size_t k = 0; k < v->metrics; k++) {
        if (isfinite(value[k]))
            printf("%s\"%s\":%.9g", k ? "," : "", v->names[k], value[k]);
        else
            printf("%s\"%s\":null", k ? "," : "", v->names[k]);
    }
}

static void print_json(const evaluation *v, const double *means)
{
    fputs("{\"pictures\":[", stdout);
    for (size_t i = 0; i < v->estimates.count; i++) {
        const row *r = &v->rows[i];

        fputs(i ? ",{\"estimate\":" : "{\"estimate\":", stdout);
        cli_json_string(stdout, r->estimate->input);
        fputs(",\"reference\":", stdout);
        if (r->reference)
            cli_json_string(stdout, r->reference->input);
        else
            fputs("null", stdout);
        putchar(',');
        json_values(v, r->value);
        putchar('}');
    }
    fputs("],\"mean\":{", stdout);
    json_values(v, means);
    printf("},\"done\":%zu,\"failed\":%zu}\n", v->done, v->failed);
}

static int evaluate(const A *a, evaluation *v)
{
    double means[MAX_METRICS];
    size_t longest = strlen("mean");
    int code = CLI_DONE, width;

    for (size_t i = 0; i < v->estimates.count; i++)
        if (strlen(base_name(&v->estimates.jobs[i])) > longest)
            longest = strlen(base_name(&v->estimates.jobs[i]));
    width = longest < 60 ? (int)longest : 60;
    if (!a->json)
        print_head(v, width);
    for (size_t i = 0; i < v->estimates.count; i++) {
        row *r = &v->rows[i];

        if (cli_interrupted())
            return cli_error(CLI_INTERRUPTED, "interrupted");
        if (r->reference)
            code = score_row(a, v, r);
        if (r->good)
            v->done++;
        else
            v->failed++;
        if (r->good && !a->json)
            print_line(v, base_name(r->estimate), width, r->value);
    }
    for (size_t k = 0; k < v->metrics; k++)
        means[k] = v->done ? mean(v, k) : NAN;
    if (a->json)
        print_json(v, means);
    else if (v->done)
        print_line(v, "mean", width, means);
    if (!v->estimates.batch)
        return code;
    if (v->failed)
        cli_warn("%zu done, %zu failed", v->done, v->failed);
    else
        cli_say("%zu done, %zu failed", v->done, v->failed);
    return v->failed ? CLI_PARTIAL : CLI_DONE;
}

static int run(const void *args)
{
    const A *a = args;
    evaluation v = {0};
    int code = parse_metrics(a->metrics, &v);

    if (code == CLI_DONE)
        code = list(a, &v);
    if (code == CLI_DONE)
        code = evaluate(a, &v);
    free(v.rows);
    cli_plan_free(&v.estimates);
    cli_plan_free(&v.references);
    return code;
}

const cli_command cli_cmd_evaluate = {
    .name = "evaluate",
    .summary = "score a folder of restorations against a folder of originals",
    .synopsis = "ESTIMATES REFERENCES [--metrics psnr,ssim] [--json]",
    .description = "Compares every picture or array of one folder with the one of the same name in another (the "
                   "extension may differ) and "
                   "prints a line for each and the mean, on standard output. What the metrics are is said by projdiff "
                   "metric --help; two "
                   "files instead of two folders are one line.\n\n"
                   "An estimate that cannot be read, has another size than its reference or has none does not stop the "
                   "others, stays out of "
                   "the mean, and makes the exit code 6; a reference without an estimate is a warning. The mean of a "
                   "metric that is infinite "
                   "for one picture (the psnr of equal ones) is infinite.\n\n"
                   "simulate, restore and evaluate, one after the other with the same task and folders, say how good a "
                   "prior is on pictures of "
                   "one's own.",
    .examples = "projdiff simulate superres:factor=2 -i originals -o small --sigma 0.02\n"
                "projdiff restore superres:factor=2 -i small -o restored --sigma 0.02\n"
                "projdiff evaluate restored originals\n"
                "projdiff evaluate restored originals --metrics ssim --json",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .defaults = &defaults,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
