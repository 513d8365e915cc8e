/* SPDX-License-Identifier: MIT */
/* projdiff list: what this build contains. */
#include "cli.h"

#include <string.h>

static const struct {
    const char *name;
    pjd_registry registry;
} kinds[] = {
    {"operators", PJD_REGISTRY_OPERATORS}, {"solvers", PJD_REGISTRY_SOLVERS}, {"networks", PJD_REGISTRY_NETWORKS},
    {"formats", PJD_REGISTRY_FORMATS},     {"metrics", PJD_REGISTRY_METRICS},
};

static void print_kind(pjd_registry registry, const char *indent)
{
    const pjd_entry *e;

    for (size_t i = 0; (e = pjd_registry_entry(registry, i)); i++) {
        printf("%s%-12s  %s\n", indent, e->name, e->summary ? e->summary : "");
        for (size_t k = 0; cli_verbose() && k < e->param_count; k++)
            printf("%s  %-12s  %s\n", indent, e->params[k].name, e->params[k].help);
    }
}

static int run(const void *args)
{
    const cli_args *a = args;

    for (size_t i = 0; i < CLI_COUNTOF(kinds); i++) {
        if (a->count && strcmp(a->at[0], kinds[i].name) != 0)
            continue;
        if (!a->count)
            printf("%s:\n", kinds[i].name);
        print_kind(kinds[i].registry, a->count ? "" : "  ");
        if (a->count)
            return CLI_DONE;
    }
    if (a->count)
        return cli_error(CLI_USAGE, "expected operators, solvers, networks, formats or metrics, found \"%.40s\"",
                         a->at[0]);
    return CLI_DONE;
}

const cli_command cli_cmd_list = {
    .name = "list",
    .summary = "what this build contains",
    .synopsis = "[operators|solvers|networks|formats|metrics]",
    .description =
        "Lists the tasks' operators, the solvers, the networks and checkpoint formats that can be read, and the "
        "metrics, one a line; with -v also their parameters.",
    .examples = "projdiff list operators -v",
    .size = sizeof(cli_args),
    .max_args = 1,
    .run = run,
};
