/* SPDX-License-Identifier: MIT */
/*
 * A task text: its parts are checked against the registry and its file parameters (mask=FILE, kernel=FILE) are taken
 * out, read, and handed to the library as arrays.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

/* Length up to the first character of `stop` that no backslash escapes. */
static size_t span(const char *text, const char *stop)
{
    size_t n = 0;

    while (text[n] && !strchr(stop, text[n]))
        n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return n;
}

static char *unescape(const char *text, size_t n)
{
    char *s = malloc(n + 1);
    size_t used = 0;

    for (size_t i = 0; s && i < n; i++) {
        if (text[i] == '\\' && i + 1 < n)
            i++;
        s[used++] = text[i];
    }
    if (s)
        s[used] = '\0';
    return s;
}

static const pjd_entry *find_task(const char *name, size_t n)
{
    const pjd_entry *e;

    for (size_t i = 0; (e = pjd_registry_entry(PJD_REGISTRY_OPERATORS, i)); i++)
        if (strlen(e->name) == n && !memcmp(e->name, name, n))
            return e;
    return NULL;
}

static const pjd_param *find_param(const pjd_entry *e, const char *key, size_t n)
{
    for (size_t i = 0; i < e->param_count; i++)
        if (strlen(e->params[i].name) == n && !memcmp(e->params[i].name, key, n))
            return &e->params[i];
    return NULL;
}

static int unknown_task(const char *name, size_t n)
{
    char known[512] = "";
    const pjd_entry *e;

    for (size_t i = 0; (e = pjd_registry_entry(PJD_REGISTRY_OPERATORS, i)); i++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", e->name);
    }
    return cli_error(CLI_USAGE, "no task is called \"%.*s\"; there are %s", n < 60 ? (int)n : 60, name, known);
}

static int add_array(cli_task *t, const char *name, const char *words, char *path)
{
    if (!path)
        return cli_error(CLI_MEMORY, "out of memory");
    if (t->array_count == CLI_COUNTOF(t->arrays)) {
        free(path);
        return cli_error(CLI_USAGE, "the task has too many file parameters");
    }
    struct cli_task_array *a = &t->arrays[t->array_count++];

    snprintf(a->name, sizeof a->name, "%s", name);
    a->path = path;
    a->words = words;
    a->mask = !strcmp(name, "mask");
    return *path ? CLI_DONE : cli_error(CLI_USAGE, "%s= needs the name of a file", name);
}

/* One of an array parameter's words, which the library takes as they are. */
static bool is_word(const pjd_param *p, const char *value, size_t n)
{
    for (const char *c = p->choices; c;) {
        size_t len = strcspn(c, "|");

        if (len == n && !memcmp(c, value, n))
            return true;
        c = c[len] ? c + len + 1 : NULL;
    }
    return false;
}

/* One "key=value" of part e: a file parameter goes to the arrays, anything else is kept in t->text. */
static int take_item(cli_task *t, const pjd_entry *e, const char *item, size_t n, bool *first)
{
    size_t key = span(item, "=,+");
    const pjd_param *p = key <= n ? find_param(e, item, key) : NULL;

    if (p && p->type == PJD_PARAM_ARRAY && !(key < n && is_word(p, item + key + 1, n - key - 1))) {
        if (key >= n || item[key] != '=')
            return cli_error(CLI_USAGE, "%s: %s needs the name of a file", e->name, p->name);
        return add_array(t, p->name, p->choices, unescape(item + key + 1, n - key - 1));
    }
    strcat(t->text, *first ? ":" : ",");
    strncat(t->text, item, n);
    *first = false;
    return CLI_DONE;
}

static int take_part(cli_task *t, const char *part, size_t n)
{
    size_t name = span(part, ":+"), used = strlen(t->name);
    const pjd_entry *e = name <= n ? find_task(part, name) : NULL;
    bool first = true;

    if (!e)
        return unknown_task(part, name < n ? name : n);
    if (t->parts++)
        strcat(t->text, "+");
    strcat(t->text, e->name);
    snprintf(t->name + used, sizeof t->name - used, "%s%s", used ? "+" : "", e->name);
    snprintf(t->last, sizeof t->last, "%s", e->name);
    t->numbers = e->numbers;
    if (t->parts == 1)
        snprintf(t->first, sizeof t->first, "%s", e->name);
    for (const char *p = part + name; p < part + n;) {
        size_t len = span(++p, ",+");
        int code;

        if (p + len > part + n)
            len = (size_t)(part + n - p);
        if (len == 0)
            return cli_error(CLI_USAGE, "%s: expected key=value after \"%c\"", e->name, p[-1]);
        code = take_item(t, e, p, len, &first);
        if (code != CLI_DONE)
            return code;
        p += len;
    }
    return CLI_DONE;
}

int cli_task_parse(const char *text, const char *mask, const char *kernel, cli_task *out)
{
    int code = CLI_DONE;

    *out = (cli_task){.text = calloc(strlen(text) + 1, 1)};
    if (!out->text)
        return cli_error(CLI_MEMORY, "out of memory");
    for (const char *p = text; code == CLI_DONE;) {
        size_t n = span(p, "+");

        if (n == 0)
            code = cli_error(CLI_USAGE, "expected a task, found \"%.100s\"", text);
        else
            code = take_part(out, p, n);
        p += n;
        if (!*p)
            break;
        p++;
    }
    if (code == CLI_DONE && mask)
        code = add_array(out, "mask", NULL, strdup(mask));
    if (code == CLI_DONE && kernel)
        code = add_array(out, "kernel", NULL, strdup(kernel));
    if (code != CLI_DONE)
        cli_task_free(out);
    return code;
}

void cli_task_free(cli_task *t)
{
    for (size_t i = 0; i < t->array_count; i++) {
        free(t->arrays[i].path);
        free(t->arrays[i].data);
    }
    free(t->text);
    *t = (cli_task){0};
}

/* ---- the files ---- */

/* Known = 1. White is above half in any channel of a picture, above 0.5 in an array. */
static void make_mask(struct cli_task_array *a, const cli_media *m, bool invert)
{
    size_t plane = m->h * m->w, count = m->array ? m->c * plane : plane;
    float half = m->array ? 0.5f : 0.0f;

    a->shape = m->array && m->c > 1 ? pjd_shape_chw(m->c, m->h, m->w) : pjd_shape_chw(1, m->h, m->w);
    for (size_t i = 0; i < count; i++) {
        bool white = m->data[i] > half;

        for (size_t c = 1; !m->array && c < m->c; c++)
            white = white || m->data[c * plane + i] > half;
        a->data[i] = white == invert ? 1.0f : 0.0f;
        a->selected += white == invert;
    }
}

/* Pictures: gray values from black = 0 to white = 1. */
static void make_values(struct cli_task_array *a, const cli_media *m)
{
    size_t plane = m->h * m->w, dims[2] = {m->h, m->w};

    if (m->array) {
        memcpy(a->data, m->data, m->c * plane * sizeof *a->data);
        a->shape = m->c > 1 ? pjd_shape_chw(m->c, m->h, m->w) : pjd_shape_make(2, dims);
        return;
    }
    a->shape = pjd_shape_make(2, dims);
    for (size_t i = 0; i < plane; i++) {
        double sum = 0;

        for (size_t c = 0; c < m->c; c++)
            sum += m->data[c * plane + i] * 0.5 + 0.5;
        a->data[i] = (float)(sum / (double)m->c);
    }
}

/* A list of numbers (angles) is an array of rank 1, which no picture is; anything else is a picture or an array of one. */
static pjd_status read_values(struct cli_task_array *a, cli_media *m, bool *list, pjd_error *err)
{
    pjd_shape shape;
    float *data;
    pjd_status st;

    *list = false;
    if (a->mask || !cli_is_array_name(a->path))
        return cli_media_read(a->path, m, err);
    st = pjd_npy_read(a->path, &data, &shape, err);
    if (st != PJD_OK || shape.rank != 1) {
        if (st == PJD_OK)
            pjd_io_free(data);
        return st == PJD_OK ? cli_media_read(a->path, m, err) : st;
    }
    *list = true;
    a->shape = shape;
    a->data = malloc((shape.dim[0] + 1) * sizeof *a->data);
    if (a->data)
        memcpy(a->data, data, shape.dim[0] * sizeof *a->data);
    pjd_io_free(data);
    return a->data ? PJD_OK : pjd_error_set(err, PJD_ERR_NOMEM, "%s: out of memory", a->path);
}

/* What cannot be read may be a word with a slip of the pen. */
static int unreadable(const struct cli_task_array *a, const pjd_error *err)
{
    if (!a->words)
        return cli_fail(err, a->path, false);
    return cli_error(cli_exit_code(err->code, false), "%.300s (%s= takes a file or one of %s)", err->text, a->name,
                     a->words);
}

int cli_task_load(cli_task *t, bool mask_invert)
{
    if (cli_mri_task(t))
        return cli_mri_load(t);
    for (size_t i = 0; i < t->array_count; i++) {
        struct cli_task_array *a = &t->arrays[i];
        cli_media m;
        pjd_error err;
        bool list;

        if (a->data)
            continue;
        if (read_values(a, &m, &list, &err) != PJD_OK)
            return unreadable(a, &err);
        if (list)
            continue;
        if (m.n != 1) {
            cli_media_free(&m);
            return cli_error(CLI_USAGE, "%s: a %s has one item", a->path, a->name);
        }
        a->data = malloc(m.c * m.h * m.w * sizeof *a->data);
        if (a->data && a->mask)
            make_mask(a, &m, mask_invert);
        else if (a->data)
            make_values(a, &m);
        cli_media_free(&m);
        if (!a->data)
            return cli_error(CLI_MEMORY, "%s: out of memory", a->path);
    }
    return CLI_DONE;
}

size_t cli_task_arrays(const cli_task *t, pjd_array *out)
{
    for (size_t i = 0; i < t->array_count; i++)
        out[i] = (pjd_array){t->arrays[i].name, t->arrays[i].shape, t->arrays[i].data};
    return t->array_count;
}

int cli_task_check(const cli_task *t)
{
    pjd_array arrays[8];
    pjd_error err;

    if (pjd_operator_check(t->text, arrays, cli_task_arrays(t, arrays), &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    return CLI_DONE;
}

const struct cli_task_array *cli_task_mask(const cli_task *t)
{
    for (size_t i = 0; i < t->array_count; i++)
        if (t->arrays[i].mask)
            return &t->arrays[i];
    return NULL;
}
