/* SPDX-License-Identifier: MIT */
/* Parsing of a command's words by its option table. Long names are never abbreviated. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_common_options[] = {
    {"verbose", 'v', CLI_FLAG, offsetof(cli_args, verbose), NULL, "say more", 0, 0, NULL},
    {"quiet", 'q', CLI_FLAG, offsetof(cli_args, quiet), NULL, "errors and warnings only", 0, 0, NULL},
    {"help", 'h', CLI_FLAG, offsetof(cli_args, help), NULL, "this text", 0, 0, NULL},
    {"version", 0, CLI_FLAG, offsetof(cli_args, version), NULL, "the program's version", 0, 0, NULL},
};
const size_t cli_common_option_count = CLI_COUNTOF(cli_common_options);

bool cli_parse_number(const char *text, double *out)
{
    char *end;
    double v;

    /* LC_NUMERIC is never set, so this is the C locale's strtod */
    if (!*text || strchr(" \t\n", *text))
        return false;
    v = strtod(text, &end);
    if (end == text || *end || !isfinite(v))
        return false;
    *out = v;
    return true;
}

static bool parse_whole(const char *text, long *out)
{
    char *end;
    long v;

    if (!*text || strchr(" \t\n+", *text))
        return false;
    errno = 0;
    v = strtol(text, &end, 10);
    if (end == text || *end || errno == ERANGE)
        return false;
    *out = v;
    return true;
}

static bool parse_seed(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long v;

    if (!(*text >= '0' && *text <= '9'))
        return false;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (*end || errno == ERANGE)
        return false;
    *out = v;
    return true;
}

size_t cli_parse_list(const char *text, int *out, size_t max)
{
    size_t n = 0;
    char word[16];

    while (*text) {
        size_t len = strcspn(text, ",");
        long v;

        if (n == max || len == 0 || len >= sizeof word)
            return 0;
        memcpy(word, text, len);
        word[len] = '\0';
        if (!parse_whole(word, &v) || v < 0 || v > INT_MAX)
            return 0;
        out[n++] = (int)v;
        text += len;
        if (*text == ',' && !*++text)
            return 0;
    }
    return n;
}

bool cli_parse_size(const char *text, size_t *w, size_t *h)
{
    char number[16];
    size_t n = strcspn(text, "x");
    int a, b;

    if (!text[n] || n == 0 || n >= sizeof number)
        return false;
    memcpy(number, text, n);
    number[n] = '\0';
    if (cli_parse_list(number, &a, 1) != 1 || cli_parse_list(text + n + 1, &b, 1) != 1 || a < 1 || b < 1 || a > 65536 ||
        b > 65536)
        return false;
    *w = (size_t)a;
    *h = (size_t)b;
    return true;
}

static int bad_value(const cli_option *o, const char *expected, const char *found)
{
    return cli_error(CLI_USAGE, "--%s: expected %s, found \"%.80s\"", o->name, expected, found);
}

static const char *range_text(const cli_option *o, const char *what, char *buf, size_t size)
{
    if (o->min == -CLI_NO_LIMIT && o->max == CLI_NO_LIMIT)
        snprintf(buf, size, "%s", what);
    else if (o->min == CLI_POSITIVE)
        snprintf(buf, size, "%s above 0", what);
    else if (o->max == CLI_NO_LIMIT)
        snprintf(buf, size, "%s of at least %g", what, o->min);
    else if (o->max == CLI_BELOW_ONE)
        snprintf(buf, size, "%s from %g to below 1", what, o->min);
    else
        snprintf(buf, size, "%s from %g to %.10g", what, o->min, o->max);
    return buf;
}

static int set_choice(const cli_option *o, const char *text, int *out)
{
    size_t n = strlen(text);
    int index = 0;

    for (const char *c = o->choices; c; index++) {
        const char *bar = strchr(c, '|');
        size_t len = bar ? (size_t)(bar - c) : strlen(c);

        if (len == n && !memcmp(c, text, n)) {
            *out = index;
            return CLI_DONE;
        }
        c = bar ? bar + 1 : NULL;
    }
    return cli_error(CLI_USAGE, "--%s: expected one of %s, found \"%.80s\"", o->name, o->choices, text);
}

static int set_option(const cli_option *o, const char *text, void *args)
{
    char *at = (char *)args + o->offset;
    char range[80];

    switch (o->type) {
    case CLI_FLAG:
        *(bool *)(void *)at = true;
        return CLI_DONE;
    case CLI_TEXT:
        if (!*text)
            return cli_error(CLI_USAGE, "--%s: expected %s, found nothing", o->name, o->argument);
        memcpy(at, &text, sizeof text);
        return CLI_DONE;
    case CLI_COUNT: {
        long v;

        if (!parse_whole(text, &v) || !((double)v >= o->min && (double)v <= o->max))
            return bad_value(o, range_text(o, "a whole number", range, sizeof range), text);
        memcpy(at, &v, sizeof v);
        return CLI_DONE;
    }
    case CLI_SEED: {
        uint64_t v;

        if (!parse_seed(text, &v))
            return bad_value(o, "a whole number from 0 to 18446744073709551615", text);
        memcpy(at, &v, sizeof v);
        return CLI_DONE;
    }
    case CLI_NUMBER: {
        double v = CLI_AUTO;

        if (!(o->choices && !strcmp(text, o->choices)) &&
            (!cli_parse_number(text, &v) || !(v >= o->min && v <= o->max)))
            return bad_value(o, range_text(o, "a number", range, sizeof range), text);
        memcpy(at, &v, sizeof v);
        return CLI_DONE;
    }
    case CLI_LIST: {
        cli_list *list = (cli_list *)(void *)at;

        if (!*text || list->count == CLI_MAX_LIST)
            return cli_error(CLI_USAGE, "--%s: expected %s, at most %d times", o->name, o->argument, CLI_MAX_LIST);
        list->at[list->count++] = text;
        return CLI_DONE;
    }
    case CLI_CHOICE:
        return set_choice(o, text, (int *)(void *)at);
    }
    return CLI_USAGE;
}

/* By long name (of n characters), or by letter when name is NULL. */
static const cli_option *find_option(const cli_command *cmd, const char *name, size_t n, char letter)
{
    const cli_option *tables[2] = {cmd->options, cli_common_options};
    const size_t counts[2] = {cmd->option_count, cli_common_option_count};

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < counts[k]; i++) {
            const cli_option *o = &tables[k][i];

            if (name ? strlen(o->name) == n && !memcmp(o->name, name, n) : letter && o->letter == letter)
                return o;
        }
    return NULL;
}

typedef struct words {
    int argc, next;
    char **argv;
} words;

static int parse_long(const cli_command *cmd, const char *word, words *w, void *args)
{
    const char *equals = strchr(word, '='), *value = NULL;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const cli_option *o = find_option(cmd, word, n, 0);

    if (!o)
        return cli_error(CLI_USAGE, "no option is called --%.*s (see projdiff %s --help)", n < 60 ? (int)n : 60, word,
                         cmd->name);
    if (o->type == CLI_FLAG) {
        if (equals)
            return cli_error(CLI_USAGE, "--%s takes no value", o->name);
    } else if (equals) {
        value = equals + 1;
    } else if (w->next < w->argc) {
        value = w->argv[w->next++];
    } else {
        return cli_error(CLI_USAGE, "--%s: %s is missing", o->name, o->argument);
    }
    return set_option(o, value, args);
}

/* "-vq", "-t4", "-t 4" */
static int parse_letters(const cli_command *cmd, const char *word, words *w, void *args)
{
    for (const char *p = word; *p; p++) {
        const cli_option *o = find_option(cmd, NULL, 0, *p);
        const char *value = NULL;
        int code;

        if (!o)
            return cli_error(CLI_USAGE, "no option is called -%c (see projdiff %s --help)", *p, cmd->name);
        if (o->type != CLI_FLAG) {
            if (p[1])
                value = p + 1;
            else if (w->next < w->argc)
                value = w->argv[w->next++];
            else
                return cli_error(CLI_USAGE, "-%c: %s is missing", *p, o->argument);
        }
        code = set_option(o, value, args);
        if (code != CLI_DONE || value)
            return code;
    }
    return CLI_DONE;
}

static int add_positional(const cli_command *cmd, const char *word, cli_args *args)
{
    if (args->count >= cmd->max_args || args->count >= CLI_MAX_POSITIONAL)
        return cli_error(CLI_USAGE, "\"%.80s\" is one argument too many: expected %s", word, cmd->synopsis);
    args->at[args->count++] = word;
    return CLI_DONE;
}

int cli_parse(const cli_command *cmd, int argc, char **argv, void *out)
{
    cli_args *args = out;
    words w = {argc, 0, argv};
    bool options = true;
    int code = CLI_DONE;

    if (cmd->defaults)
        memcpy(out, cmd->defaults, cmd->size);
    while (code == CLI_DONE && w.next < w.argc) {
        const char *word = w.argv[w.next++];

        if (!options || word[0] != '-' || !word[1])
            code = add_positional(cmd, word, args);
        else if (!strcmp(word, "--"))
            options = false;
        else if (word[1] == '-')
            code = parse_long(cmd, word + 2, &w, out);
        else
            code = parse_letters(cmd, word + 1, &w, out);
        if (code == CLI_DONE && (args->help || args->version))
            return CLI_DONE;
    }
    if (code == CLI_DONE && args->count < cmd->min_args)
        code = cli_error(CLI_USAGE, "expected projdiff %s %s", cmd->name, cmd->synopsis);
    return code;
}
