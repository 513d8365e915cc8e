/* SPDX-License-Identifier: MIT */
#include "core/param.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ---- */

bool pjd_parse_double(const char *text, double *out)
{
    char *end;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double v;

    if (!c)
        return false;
    v = strtod_l(text, &end, c);
    freelocale(c);
    if (end == text || *end != '\0' || !isfinite(v))
        return false;
    *out = v;
    return true;
}

bool pjd_parse_long(const char *text, long *out)
{
    char *end;
    long v;

    errno = 0;
    v = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno == ERANGE)
        return false;
    *out = v;
    return true;
}

/* ---- key=value texts ---- */

static pjd_status kv_append(pjd_keyvalues *kv, char *key, char *value, pjd_error *err)
{
    pjd_keyvalue *items = pjd_realloc(kv->items, kv->count * sizeof *items, kv->count + 1, sizeof *items);

    if (!items)
        return pjd_error_nomem(err, "parameters", sizeof *items);
    items[kv->count++] = (pjd_keyvalue){key, value};
    kv->items = items;
    return PJD_OK;
}

void pjd_keyvalues_free(pjd_keyvalues *kv)
{
    for (size_t i = 0; i < kv->count; i++) {
        pjd_free(kv->items[i].key);
        pjd_free(kv->items[i].value);
    }
    pjd_free(kv->items);
    *kv = (pjd_keyvalues){0};
}

/* A comma that belongs to the value: what follows begins as no parameter's name does. */
static bool continues(const char *p, const char *stop)
{
    return p[0] == ',' && p[1] && strchr("0123456789+-.", p[1]) && !(p[1] == '+' && strchr(stop, '+'));
}

/*
 * Copy up to the first unescaped character of `stop`, dropping backslashes; *p is left on that character or the end.
 * Commas that continue a value are kept.
 */
static char *take(const char **p, const char *stop, bool value)
{
    size_t n = strlen(*p), used = 0;
    char *s = pjd_alloc(n + 1, 1);

    if (!s)
        return NULL;
    while (**p && (!strchr(stop, **p) || (value && continues(*p, stop)))) {
        if (**p == '\\' && (*p)[1])
            ++*p;
        s[used++] = *(*p)++;
    }
    s[used] = '\0';
    return s;
}

/* Items up to an unescaped + (when plus) or the end. */
static pjd_status parse_items(const char **p, bool plus, pjd_keyvalues *kv, pjd_error *err)
{
    const char *key_stop = plus ? "=,+" : "=,", *value_stop = plus ? ",+" : ",";

    while (**p && !(plus && **p == '+')) {
        char *key = take(p, key_stop, false), *value = NULL;
        pjd_status st;

        if (!key)
            return pjd_error_nomem(err, "parameters", strlen(*p));
        if (**p == '=') {
            ++*p;
            value = take(p, value_stop, true);
        } else {
            value = pjd_strdup("true");
        }
        if (!value) {
            pjd_free(key);
            return pjd_error_nomem(err, "parameters", strlen(*p));
        }
        if (!*key) {
            st = pjd_error_set(err, PJD_ERR_ARG, "parameters: expected key=value, found an empty key");
        } else {
            st = kv_append(kv, key, value, err);
            if (st == PJD_OK) {
                if (**p == ',') {
                    ++*p;
                    if (!**p || (plus && **p == '+'))
                        return pjd_error_set(err, PJD_ERR_ARG, "parameters: nothing follows the last comma");
                }
                continue;
            }
        }
        pjd_free(key);
        pjd_free(value);
        return st;
    }
    return PJD_OK;
}

pjd_status pjd_keyvalues_parse(const char *text, pjd_keyvalues *out, pjd_error *err)
{
    pjd_status st;

    *out = (pjd_keyvalues){0};
    if (!text)
        return PJD_OK;
    st = parse_items(&text, false, out, err);
    if (st != PJD_OK)
        pjd_keyvalues_free(out);
    return st;
}

void pjd_task_free(pjd_task_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pjd_free(parts[i].name);
        pjd_keyvalues_free(&parts[i].kv);
    }
    pjd_free(parts);
}

pjd_status pjd_task_parse(const char *text, pjd_task_part **parts, size_t *count, pjd_error *err)
{
    const char *p = text;
    pjd_status st = PJD_OK;

    *parts = NULL;
    *count = 0;
    do {
        pjd_task_part *grown = pjd_realloc(*parts, *count * sizeof **parts, *count + 1, sizeof **parts);

        if (!grown) {
            st = pjd_error_nomem(err, "task", sizeof **parts);
            break;
        }
        *parts = grown;
        (*parts)[*count] = (pjd_task_part){.name = take(&p, ":+", false)};
        if (!(*parts)[(*count)++].name) {
            st = pjd_error_nomem(err, "task", strlen(p));
            break;
        }
        if (!*(*parts)[*count - 1].name) {
            st = pjd_error_set(err, PJD_ERR_ARG, "task: expected NAME[:key=value,...], found \"%.100s\"", text);
            break;
        }
        if (*p == ':') {
            p++;
            st = parse_items(&p, true, &(*parts)[*count - 1].kv, err);
            if (st != PJD_OK)
                break;
        }
    } while (*p == '+' && p++);
    if (st != PJD_OK) {
        pjd_task_free(*parts, *count);
        *parts = NULL;
        *count = 0;
    }
    return st;
}

/* ---- filling a struct from a table ---- */

static pjd_status set_choice(const char *who, const pjd_param *d, const char *text, int *out, pjd_error *err)
{
    size_t n = strlen(text);
    int index = 0;

    for (const char *c = d->choices; c; index++) {
        const char *bar = strchr(c, '|');
        size_t len = bar ? (size_t)(bar - c) : strlen(c);

        if (len == n && memcmp(c, text, n) == 0) {
            *out = index;
            return PJD_OK;
        }
        c = bar ? bar + 1 : NULL;
    }
    return pjd_error_set(err, PJD_ERR_ARG, "%s: %s expects one of %s, found \"%.60s\"", who, d->name, d->choices, text);
}

static pjd_status set_one(const char *who, const pjd_param *d, const char *text, void *params, pjd_error *err)
{
    char *at = (char *)params + d->offset;

    switch (d->type) {
    case PJD_PARAM_INT: {
        long v;

        if (!pjd_parse_long(text, &v) || !((double)v >= d->min && (double)v <= d->max))
            return pjd_error_set(err, PJD_ERR_ARG, "%s: %s expects a whole number from %.0f to %.0f, found \"%.60s\"",
                                 who, d->name, d->min, d->max, text);
        memcpy(at, &v, sizeof v);
        return PJD_OK;
    }
    case PJD_PARAM_FLOAT: {
        double v;

        if (!pjd_parse_double(text, &v) || !(v >= d->min && v <= d->max))
            return pjd_error_set(err, PJD_ERR_ARG, "%s: %s expects a number from %g to %g, found \"%.60s\"", who,
                                 d->name, d->min, d->max, text);
        memcpy(at, &v, sizeof v);
        return PJD_OK;
    }
    case PJD_PARAM_BOOL: {
        bool v;

        if (!strcmp(text, "true") || !strcmp(text, "True") || !strcmp(text, "1") || !strcmp(text, "yes"))
            v = true;
        else if (!strcmp(text, "false") || !strcmp(text, "False") || !strcmp(text, "0") || !strcmp(text, "no"))
            v = false;
        else
            return pjd_error_set(err, PJD_ERR_ARG, "%s: %s expects true or false, found \"%.60s\"", who, d->name, text);
        memcpy(at, &v, sizeof v);
        return PJD_OK;
    }
    case PJD_PARAM_CHOICE:
        return set_choice(who, d, text, (int *)(void *)at, err);
    case PJD_PARAM_TEXT: {
        char *v = pjd_strdup(text), *old;

        if (!v)
            return pjd_error_nomem(err, who, strlen(text));
        memcpy(&old, at, sizeof old);
        pjd_free(old);
        memcpy(at, &v, sizeof v);
        return PJD_OK;
    }
    case PJD_PARAM_ARRAY:
        if (d->choices)
            return set_choice(who, d, text, &((pjd_array_choice *)(void *)at)->choice, err);
        break;
    }
    return pjd_error_set(err, PJD_ERR_ARG, "%s: %s is an array, not a text", who, d->name);
}

static const pjd_param *find_param(const pjd_param *table, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i].name, key))
            return &table[i];
    return NULL;
}

pjd_status pjd_params_fill(const char *who, const pjd_param *table, size_t count, const pjd_keyvalues *kv,
                           const pjd_array *arrays, size_t array_count, bool *used, void *params, size_t size,
                           bool *present, pjd_error *err)
{
    enum { MAX_PARAMS = 64 };
    bool given[MAX_PARAMS] = {false};
    pjd_status st = PJD_OK;

    memset(params, 0, size);
    if (count > MAX_PARAMS)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: too many parameters", who);
    for (size_t i = 0; i < count && st == PJD_OK; i++)
        if ((table[i].type != PJD_PARAM_ARRAY || table[i].choices) && table[i].fallback && *table[i].fallback)
            st = set_one(who, &table[i], table[i].fallback, params, err);
    for (size_t i = 0; kv && i < kv->count && st == PJD_OK; i++) {
        const pjd_param *d = find_param(table, count, kv->items[i].key);

        if (!d) {
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: no parameter is called \"%.60s\"", who, kv->items[i].key);
        } else if (given[d - table]) {
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: %s is given twice", who, d->name);
        } else if (d->type == PJD_PARAM_ARRAY && !d->choices) {
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: %s is an array and must be given as one", who, d->name);
        } else {
            given[d - table] = true;
            st = set_one(who, d, kv->items[i].value, params, err);
        }
    }
    for (size_t i = 0; i < count && st == PJD_OK; i++)
        for (size_t k = 0; table[i].type == PJD_PARAM_ARRAY && k < array_count && !given[i]; k++)
            if (!(used && used[k]) && !strcmp(arrays[k].name, table[i].name)) {
                const pjd_array *a = &arrays[k];

                memcpy((char *)params + table[i].offset, &a, sizeof a);
                given[i] = true;
                if (used)
                    used[k] = true;
            }
    for (size_t i = 0; i < count && st == PJD_OK; i++)
        if (!given[i] && !table[i].fallback)
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: %s is missing: %s", who, table[i].name, table[i].help);
    if (present)
        memcpy(present, given, count * sizeof *present);
    if (st != PJD_OK)
        pjd_params_clear(table, count, params);
    return st;
}

void pjd_params_clear(const pjd_param *table, size_t count, void *params)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].type == PJD_PARAM_TEXT) {
            char *v;

            memcpy(&v, (char *)params + table[i].offset, sizeof v);
            pjd_free(v);
            v = NULL;
            memcpy((char *)params + table[i].offset, &v, sizeof v);
        }
}
