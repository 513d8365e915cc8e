/* SPDX-License-Identifier: MIT */
/* --help, from the option tables and the registry. */
#include "cli.h"

#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 28 };

void cli_wrap(FILE *f, const char *text, size_t indent, size_t at)
{
    size_t column = at > indent ? at : indent;
    bool first = true;

    if (at < indent)
        fprintf(f, "%*s", (int)(indent - at), "");
    while (*text) {
        size_t n = strcspn(text, " \n");

        if (!first && column + 1 + n > WIDTH) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', f);
            column++;
        }
        fwrite(text, 1, n, f);
        column += n;
        text += n;
        first = !strncmp(text, "\n\n", 2);
        if (first) {
            fprintf(f, "\n\n%*s", (int)indent, "");
            column = indent;
            text++;
        }
        if (*text)
            text++;
    }
    fputc('\n', f);
}

static void print_option(const cli_option *o)
{
    char left[96];
    int n;

    if (o->letter)
        n = snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name);
    else
        n = snprintf(left, sizeof left, "      --%s", o->name);
    if (o->argument && n > 0 && (size_t)n < sizeof left)
        snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
    fputs(left, stdout);
    if (strlen(left) >= HELP_COLUMN) {
        putchar('\n');
        cli_wrap(stdout, o->help, HELP_COLUMN, 0);
    } else {
        cli_wrap(stdout, o->help, HELP_COLUMN, strlen(left));
    }
}

/* "factor=N" with its range, default and unit */
static void print_param(const pjd_param *p)
{
    char text[512], range[128] = "", fallback[96] = "";
    char left[64];

    if (p->type == PJD_PARAM_INT || p->type == PJD_PARAM_FLOAT)
        snprintf(range, sizeof range, " (%.10g to %.10g%s%s", p->min, p->max, p->unit && *p->unit ? " " : "",
                 p->unit ? p->unit : "");
    else if (p->type == PJD_PARAM_CHOICE)
        snprintf(range, sizeof range, " (%s", p->choices);
    else if (p->type == PJD_PARAM_ARRAY)
        snprintf(range, sizeof range, " (%s%sa file", p->choices ? p->choices : "", p->choices ? " or " : "");
    if (!p->fallback)
        snprintf(fallback, sizeof fallback, "%srequired", *range ? ", " : " (");
    else if (*p->fallback)
        snprintf(fallback, sizeof fallback, "%sdefault %s", *range ? ", " : " (", p->fallback);
    snprintf(text, sizeof text, "%s%s%s%s", p->help, range, fallback, *range || *fallback ? ")" : "");
    snprintf(left, sizeof left, "      %s=%s", p->name, p->type == PJD_PARAM_ARRAY ? "FILE" : "...");
    fputs(left, stdout);
    cli_wrap(stdout, text, HELP_COLUMN, strlen(left));
}

static void print_tasks(void)
{
    const pjd_entry *e;

    puts("\nTasks (joined with + they are applied left to right; \\ escapes , : = + in a value):");
    for (size_t i = 0; (e = pjd_registry_entry(PJD_REGISTRY_OPERATORS, i)); i++) {
        printf("  %s", e->name);
        cli_wrap(stdout, e->summary, HELP_COLUMN, 2 + strlen(e->name));
        for (size_t k = 0; k < e->param_count; k++)
            print_param(&e->params[k]);
    }
}

static void print_examples(const char *lines)
{
    puts("\nExamples:");
    while (*lines) {
        size_t n = strcspn(lines, "\n");

        printf("  %.*s\n", (int)n, lines);
        lines += n;
        if (*lines)
            lines++;
    }
}

static void program_help(void)
{
    puts("projdiff: restore photographs with a pretrained diffusion model as the prior\n");
    puts("Usage: projdiff COMMAND ...\n\nCommands:");
    for (size_t i = 0; cli_commands[i]; i++)
        printf("  %-10s  %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    puts("\nprojdiff COMMAND --help tells more about each; projdiff --version tells the version.\n\nFor example:");
    puts("  projdiff restore superres:factor=4 -i small.png -o large.png");
    puts("  projdiff restore inpaint:mask=scratches.png -i old.jpg -o new.jpg");
}

void cli_help(const cli_command *cmd)
{
    if (!cmd) {
        program_help();
        return;
    }
    printf("Usage: projdiff %s ", cmd->name);
    cli_wrap(stdout, cmd->synopsis, 16, strlen("Usage: projdiff  ") + strlen(cmd->name));
    putchar('\n');
    cli_wrap(stdout, cmd->description, 0, 0);
    puts("\nOptions:");
    for (size_t i = 0; i < cmd->option_count; i++)
        print_option(&cmd->options[i]);
    for (size_t i = 0; i < cli_common_option_count; i++)
        print_option(&cli_common_options[i]);
    if (cmd->tasks)
        print_tasks();
    if (cmd->examples)
        print_examples(cmd->examples);
}
