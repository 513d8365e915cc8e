/* SPDX-License-Identifier: MIT */
/* Files are hostile: every length is compared with what is there before it is used. */
#include "core/npy.h"

#include <string.h>

/* What NumPy itself accepts (its max_header_size). */
#define MAX_HEADER 10000u

bool pjd_host_is_big(void)
{
    const uint16_t probe = 1;
    unsigned char first;

    memcpy(&first, &probe, 1);
    return first == 0;
}

/* ---- the dict literal; nothing else of Python is understood ---- */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

/* Take one character after white space. */
static bool take(cursor *c, char what)
{
    skip_space(c);
    if (c->at == c->end || *c->at != what)
        return false;
    c->at++;
    return true;
}

/* A quoted text without escapes of at most size - 1 characters. */
static bool take_text(cursor *c, char *buf, size_t size)
{
    size_t n = 0;
    char quote;

    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    for (quote = *c->at++; c->at < c->end && *c->at != quote; c->at++) {
        if (n + 1 >= size || *c->at == '\\')
            return false;
        buf[n++] = *c->at;
    }
    buf[n] = '\0';
    return c->at++ < c->end;
}

static bool take_word(cursor *c, const char *word)
{
    size_t n = strlen(word);

    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static bool take_size(cursor *c, size_t *value)
{
    size_t v = 0;
    bool any = false;

    skip_space(c);
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (!pjd_mul(v, 10, &v) || !pjd_add(v, (size_t)(*c->at - '0'), &v))
            return false;
        any = true;
    }
    if (any && c->at < c->end && *c->at == 'L') /* a Python 2 long */
        c->at++;
    *value = v;
    return any;
}

/* "()", "(3,)", "(3, 4)"; a comma may follow the last. */
static bool take_shape(cursor *c, pjd_shape *shape)
{
    *shape = (pjd_shape){0};
    if (!take(c, '('))
        return false;
    while (!take(c, ')')) {
        if (shape->rank == PJD_MAX_RANK || !take_size(c, &shape->dim[shape->rank]))
            return false;
        shape->rank++;
        if (take(c, ','))
            continue;
        return shape->rank > 1 && take(c, ')'); /* "(3)" is no tuple */
    }
    return true;
}

static bool take_descr(cursor *c, pjd_npy_header *h)
{
    static const struct {
        const char text[4];
        unsigned char item, parts;
    } known[] = {
        {"f2", 2, 1}, {"f4", 4, 1}, {"f8", 8, 1}, {"i1", 1, 1}, {"i2", 2, 1}, {"i4", 4, 1}, {"i8", 8, 1},
        {"u1", 1, 1}, {"u2", 2, 1}, {"u4", 4, 1}, {"u8", 8, 1}, {"b1", 1, 1}, {"c8", 4, 2}, {"c16", 8, 2},
    };
    char text[8];

    if (!take_text(c, text, sizeof text) || text[0] == '\0' || !strchr("<>|=", text[0]))
        return false;
    h->big = text[0] == '>' || (text[0] != '<' && pjd_host_is_big());
    for (size_t i = 0; i < PJD_COUNTOF(known); i++)
        if (!strcmp(known[i].text, text + 1)) {
            h->kind = text[1] == 'c' ? 'f' : text[1];
            h->item = known[i].item;
            h->parts = known[i].parts;
            return text[0] != '|' || h->item == 1;
        }
    return false;
}

/* The value that belongs to a key; *bit: the key's in the set of those seen. */
static const char *take_value(cursor *c, const char *key, pjd_npy_header *h, unsigned *bit)
{
    if (!strcmp(key, "descr")) {
        *bit = 1;
        return take_descr(c, h) ? NULL
                                : "elements that are no plain numbers of a supported kind (objects are pickles and "
                                  "refused)";
    }
    if (!strcmp(key, "fortran_order")) {
        *bit = 2;
        h->fortran = take_word(c, "True");
        return h->fortran || take_word(c, "False") ? NULL : "a malformed header";
    }
    *bit = 4;
    if (!strcmp(key, "shape"))
        return take_shape(c, &h->shape) ? NULL : "a malformed shape, or one of more than 8 dimensions";
    return "a header with an unknown key, or one twice";
}

static const char *take_dict(cursor *c, pjd_npy_header *h)
{
    unsigned seen = 0, bit;
    char key[16];

    if (!take(c, '{'))
        return "a header that is no dict";
    while (!take(c, '}')) {
        const char *why;

        if (!take_text(c, key, sizeof key) || !take(c, ':'))
            return "a malformed header";
        why = take_value(c, key, h, &bit);
        if (why)
            return why;
        if (seen & bit)
            return "a header with an unknown key, or one twice";
        seen |= bit;
        if (take(c, ','))
            continue;
        if (!take(c, '}'))
            return "a malformed header";
        break;
    }
    skip_space(c);
    if (c->at != c->end)
        return "something behind the header's dict";
    return seen == 7 ? NULL : "a header without descr, fortran_order or shape";
}

const char *pjd_npy_header_read(const unsigned char *data, size_t size, pjd_npy_header *h)
{
    size_t length = 0;
    const char *why;
    cursor c;

    _Static_assert(PJD_MAX_RANK == 8, "a message says so");
    *h = (pjd_npy_header){0};
    if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0)
        return "no NumPy array";
    if (data[6] < 1 || data[6] > 3)
        return "an unknown version of the array format";
    h->start = data[6] == 1 ? 10 : 12;
    for (size_t i = h->start; i > 8; i--)
        length = length << 8 | data[i - 1];
    if (length > MAX_HEADER || length > size - h->start)
        return "a header longer than the file, or than 10000 bytes";
    c = (cursor){(const char *)data + h->start, (const char *)data + h->start + length};
    h->start += length;
    why = take_dict(&c, h);
    if (why)
        return why;
    if (!pjd_shape_count(&h->shape, &h->count) || !pjd_mul(h->count, h->item * h->parts, &h->bytes))
        return "a shape that overflows";
    return NULL;
}
