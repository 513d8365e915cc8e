/* SPDX-License-Identifier: MIT */
/* Man pages and the shell completion, from the same tables as --help: nothing is copied by hand. */
#include "cli.h"

#include <ctype.h>
#include <string.h>

/* Text as roff: hyphens that are typed, backslashes, lines that begin with a control character. */
static void roff(const char *text)
{
    bool start = true;

    for (const char *p = text; *p; p++) {
        if (start && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        start = *p == '\n';
        if (p[0] == '\n' && p[1] == '\n') {
            fputs("\n.PP\n", stdout);
            p++;
        } else if (*p == '-') {
            fputs("\\-", stdout);
        } else if (*p == '\\') {
            fputs("\\e", stdout);
        } else {
            putchar(*p);
        }
    }
}

static void roff_option(const cli_option *o)
{
    fputs(".TP\n", stdout);
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", stdout);
    roff(o->name);
    fputs("\\fR", stdout);
    if (o->argument) {
        fputs(" \\fI", stdout);
        roff(o->argument);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    roff(o->help);
    puts(".");
}

static void roff_param(const pjd_param *p)
{
    printf(".TP\n\\fB");
    roff(p->name);
    printf("\\fR=\\fI%s\\fR\n", p->type == PJD_PARAM_ARRAY ? "FILE" : p->type == PJD_PARAM_CHOICE ? "CHOICE" : "VALUE");
    roff(p->help);
    if (p->type == PJD_PARAM_INT || p->type == PJD_PARAM_FLOAT)
        printf("; %.10g to %.10g%s%s", p->min, p->max, p->unit && *p->unit ? " " : "", p->unit ? p->unit : "");
    if (p->choices) {
        fputs(p->type == PJD_PARAM_ARRAY ? "; a file or one of " : "; one of ", stdout);
        roff(p->choices);
    }
    if (!p->fallback) {
        fputs("; required", stdout);
    } else if (*p->fallback) {
        fputs("; default ", stdout);
        roff(p->fallback);
    }
    puts(".");
}

static void roff_tasks(void)
{
    const pjd_entry *e;

    puts(".SH TASKS\nA task is \\fINAME\\fR[:\\fIkey\\fR=\\fIvalue\\fR,...]. Tasks joined with + are applied left to "
         "right. A");
    puts("backslash escapes , : = + in a value.");
    for (size_t i = 0; (e = pjd_registry_entry(PJD_REGISTRY_OPERATORS, i)); i++) {
        printf(".SS %s\n", e->name);
        roff(e->summary);
        puts(".");
        for (size_t k = 0; k < e->param_count; k++)
            roff_param(&e->params[k]);
    }
}

static void roff_tail(void)
{
    puts(".SH EXIT STATUS");
    puts(".TP\n0\nDone.\n.TP\n1\nThe run failed (also: a full disk).\n.TP\n2\nWrong usage, or an output that exists.");
    puts(".TP\n3\nAn input is missing or unreadable.\n.TP\n4\nNot a usable model.\n.TP\n5\nOut of memory.");
    puts(".TP\n6\nPart of a batch failed.\n.TP\n130\nInterrupted. No truncated file stays.");
    puts(".SH ENVIRONMENT\n.TP\nPROJDIFF_MODELS\nFolders, separated by colons, that hold the priors that ship (the "
         "folder");
    puts("\\fIphoto\\fR below one of them is used without \\fB\\-m\\fR), searched before those beside the program.");
}

static void roff_head(const char *page, const char *summary)
{
    printf(".\\\" Generated from the program's own tables.\n.TH \"");
    for (const char *p = page; *p; p++)
        putchar(toupper((unsigned char)*p));
    printf("\" 1 \"\" \"projdiff %s\" \"projdiff\"\n.SH NAME\n", pjd_version());
    roff(page);
    fputs(" \\- ", stdout);
    roff(summary);
    putchar('\n');
}

static void man_program(void)
{
    roff_head("projdiff", "restore photographs with a pretrained diffusion model as the prior");
    puts(".SH SYNOPSIS\n\\fBprojdiff\\fR \\fICOMMAND\\fR ...\n.SH DESCRIPTION");
    roff(
        "A damaged, small or blurred picture is the measurement of a good one. projdiff finds a picture that fits the "
        "measurement and that a diffusion model, trained on photographs, finds likely. Results go to standard output, "
        "everything else to standard error. An output file appears whole or not at all, and one that exists is refused "
        "unless --overwrite or --skip-existing is given.");
    puts("\n.SH COMMANDS");
    for (size_t i = 0; cli_commands[i]; i++) {
        printf(".TP\n\\fBprojdiff\\-%s\\fR(1)\n", cli_commands[i]->name);
        roff(cli_commands[i]->summary);
        puts(".");
    }
    puts(".SH OPTIONS");
    puts(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nthis program's commands.");
    puts(".TP\n\\fB\\-\\-version\\fR\nthe program's version.");
    roff_tail();
}

static void man_command(const cli_command *cmd)
{
    char page[64];

    snprintf(page, sizeof page, "projdiff-%s", cmd->name);
    roff_head(page, cmd->summary);
    printf(".SH SYNOPSIS\n\\fBprojdiff %s\\fR ", cmd->name);
    roff(cmd->synopsis);
    puts("\n.SH DESCRIPTION");
    roff(cmd->description);
    puts("\n.SH OPTIONS");
    for (size_t i = 0; i < cmd->option_count; i++)
        roff_option(&cmd->options[i]);
    for (size_t i = 0; i < cli_common_option_count; i++)
        roff_option(&cli_common_options[i]);
    if (cmd->tasks)
        roff_tasks();
    if (cmd->examples) {
        puts(".SH EXAMPLES\n.nf");
        roff(cmd->examples);
        puts("\n.fi");
    }
    roff_tail();
    puts(".SH SEE ALSO\n\\fBprojdiff\\fR(1)");
}

void cli_man(const cli_command *cmd)
{
    if (cmd)
        man_command(cmd);
    else
        man_program();
}

/* ---- completion ---- */

static void words_of(const cli_option *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].letter)
            printf("-%c ", table[i].letter);
        printf("--%s ", table[i].name);
    }
}

/* "|"-separated choices as words */
static void choice_words(const char *choices)
{
    for (; *choices; choices++)
        putchar(*choices == '|' ? ' ' : *choices);
}

static void completion_choices(void)
{
    const char *done[32];
    size_t count = 0;

    for (size_t i = 0; cli_commands[i]; i++)
        for (size_t k = 0; k < cli_commands[i]->option_count; k++) {
            const cli_option *o = &cli_commands[i]->options[k];
            bool seen = o->type != CLI_CHOICE;

            for (size_t d = 0; d < count && !seen; d++)
                seen = !strcmp(done[d], o->name);
            if (seen || count == CLI_COUNTOF(done))
                continue;
            done[count++] = o->name;
            printf("    --%s) COMPREPLY=($(compgen -W \"", o->name);
            choice_words(o->choices);
            puts("\" -- \"$cur\")); return ;;");
        }
}

void cli_completion(void)
{
    const pjd_entry *e;

    puts("# bash completion for projdiff, generated from the program's own tables\n_projdiff()\n{");
    puts("    local cur prev words\n    cur=${COMP_WORDS[COMP_CWORD]}\n    prev=${COMP_WORDS[COMP_CWORD-1]}\n    "
         "words=");
    puts("    case $prev in");
    completion_choices();
    puts("    esac");
    fputs("    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"", stdout);
    for (size_t i = 0; cli_commands[i]; i++)
        printf("%s ", cli_commands[i]->name);
    puts("--help --version\"\n    else\n        case ${COMP_WORDS[1]} in");
    for (size_t i = 0; cli_commands[i]; i++) {
        const cli_command *c = cli_commands[i];

        printf("        %s) case $cur in -*) words=\"", c->name);
        words_of(c->options, c->option_count);
        words_of(cli_common_options, cli_common_option_count);
        fputs("\" ;;", stdout);
        if (c->tasks) {
            fputs(" *) [ \"$COMP_CWORD\" = 2 ] && words=\"", stdout);
            for (size_t k = 0; (e = pjd_registry_entry(PJD_REGISTRY_OPERATORS, k)); k++)
                printf("%s ", e->name);
            fputs("\" ;;", stdout);
        }
        puts(" esac ;;");
    }
    puts("        esac\n    fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))");
    puts("}\ncomplete -o default -F _projdiff projdiff");
}
