/* SPDX-License-Identifier: MIT */
/* Reading values: keys of dicts, and hyper-parameters as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "weights/pickle.h"

#define MAX_TEXT (1u << 20)
#define MAX_DEPTH 32u
#define MAX_VISITS (1u << 20) /* memo references can make a small pickle a huge tree */

const pjd_pk_value *pjd_pickle_get(const pjd_pickle *p, const pjd_pk_value *v, const char *key)
{
    size_t n = strlen(key);

    if (!v || v->kind != PJD_PK_DICT)
        return NULL;
    for (size_t i = v->length / 2; i-- > 0;) {
        const pjd_pk_value *k = &p->values[v->u.items[2 * i]];

        if (k->kind == PJD_PK_STR && k->length == n && memcmp(k->u.text, key, n) == 0)
            return &p->values[v->u.items[2 * i + 1]];
    }
    return NULL;
}

typedef struct writer {
    const pjd_pickle *p;
    char *text;
    size_t used, capacity;
    size_t visits;
    bool failed; /* out of memory */
} writer;

static void put(writer *w, const char *s, size_t n)
{
    if (w->capacity - w->used < n + 1) {
        size_t capacity = (w->used + n + 1) * 2;
        char *grown = w->failed ? NULL : pjd_realloc(w->text, w->used, capacity, 1);

        if (!grown) {
            w->failed = true;
            return;
        }
        w->text = grown;
        w->capacity = capacity;
    }
    memcpy(w->text + w->used, s, n);
    w->used += n;
}

static void put_text(writer *w, const char *s)
{
    put(w, s, strlen(s));
}

static void put_string(writer *w, const char *s, size_t n)
{
    put(w, "\"", 1);
    for (size_t i = 0; i < n && i < MAX_TEXT; i++) {
        unsigned char c = (unsigned char)s[i];
        char escape[8];

        if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            put(w, escape, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            put(w, "?", 1); /* hyper-parameters are ASCII; anything else might not be UTF-8 */
        } else {
            put(w, s + i, 1);
        }
    }
    put(w, "\"", 1);
}

static void put_number(writer *w, double v)
{
    char text[64];

    if (!isfinite(v)) {
        put_text(w, "null");
        return;
    }
    snprintf(text, sizeof text, "%.17g", v);
    for (char *c = text; *c; c++)
        if (!strchr("0123456789+-e.", *c))
            *c = '.'; /* the locale's decimal point */
    put_text(w, text);
}

static bool enough(const writer *w)
{
    return w->failed || w->used > MAX_TEXT || w->visits > MAX_VISITS;
}

static void put_value(writer *w, const pjd_pk_value *v, unsigned depth);

static void put_items(writer *w, const pjd_pk_value *v, unsigned depth)
{
    put(w, "[", 1);
    for (size_t i = 0; i < v->length && !enough(w); i++) {
        if (i > 0)
            put(w, ",", 1);
        put_value(w, &w->p->values[v->u.items[i]], depth + 1);
    }
    put(w, "]", 1);
}

/* The members of a dict behind the opening brace. */
static void put_members(writer *w, const pjd_pk_value *v, bool first, unsigned depth)
{
    for (size_t i = 0; i < v->length / 2 && !enough(w); i++) {
        const pjd_pk_value *key = &w->p->values[v->u.items[2 * i]];
        char number[32];

        w->visits++;
        if (key->kind != PJD_PK_STR && key->kind != PJD_PK_INT)
            continue;
        if (!first)
            put(w, ",", 1);
        first = false;
        if (key->kind == PJD_PK_STR) {
            put_string(w, key->u.text, key->length);
        } else {
            snprintf(number, sizeof number, "\"%lld\"", (long long)key->u.integer);
            put_text(w, number);
        }
        put(w, ":", 1);
        put_value(w, &w->p->values[v->u.items[2 * i + 1]], depth + 1);
    }
    put(w, "}", 1);
}

/* An object of a class we do not know: its fields, under its name; OmegaConf's containers and nodes as what they hold. */
static void put_opaque(writer *w, const pjd_pk_value *v, unsigned depth)
{
    const pjd_pk_value *state = &w->p->values[v->state], *inner;

    if (state->kind == PJD_PK_TUPLE && state->length == 2)
        state = &w->p->values[state->u.items[0]];
    inner = pjd_pickle_get(w->p, state, "_content");
    inner = inner ? inner : pjd_pickle_get(w->p, state, "_val");
    if (inner) {
        put_value(w, inner, depth + 1);
        return;
    }
    put_text(w, "{\"_class\":");
    put_string(w, v->u.text, v->length);
    if (state->kind == PJD_PK_DICT)
        put_members(w, state, false, depth);
    else
        put(w, "}", 1);
}

static void put_value(writer *w, const pjd_pk_value *v, unsigned depth)
{
    char number[32];

    w->visits++;
    if (depth > MAX_DEPTH) {
        put_text(w, "null");
        return;
    }
    switch ((pjd_pk_kind)v->kind) {
    case PJD_PK_BOOL:
        put_text(w, v->u.integer ? "true" : "false");
        break;
    case PJD_PK_INT:
        snprintf(number, sizeof number, "%lld", (long long)v->u.integer);
        put_text(w, number);
        break;
    case PJD_PK_FLOAT:
        put_number(w, v->u.number);
        break;
    case PJD_PK_STR:
    case PJD_PK_GLOBAL:
        put_string(w, v->u.text, v->length);
        break;
    case PJD_PK_TUPLE:
    case PJD_PK_LIST:
    case PJD_PK_SET:
        put_items(w, v, depth);
        break;
    case PJD_PK_DICT:
        put(w, "{", 1);
        put_members(w, v, true, depth);
        break;
    case PJD_PK_OPAQUE:
        put_opaque(w, v, depth);
        break;
    default:
        put_text(w, "null");
        break;
    }
}

char *pjd_pickle_json(const pjd_pickle *p, const pjd_pk_value *v, pjd_arena *arena)
{
    writer w = {.p = p};
    char *out;

    put_value(&w, v, 0);
    out = w.failed ? NULL : pjd_arena_strndup(arena, w.text, w.used);
    pjd_free(w.text);
    return out;
}
