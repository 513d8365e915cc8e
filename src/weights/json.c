/* SPDX-License-Identifier: MIT */
#include "weights/json.h"

#include <string.h>

#include "weights/format.h"

typedef struct scanner {
    const unsigned char *p, *end;
    const pjd_json_rules *rules;
    size_t values;
    const char *why; /* the first complaint */
} scanner;

static bool complain(scanner *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return false;
}

static void skip_space(scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool is_digit(const scanner *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static bool scan_integer(scanner *s)
{
    uint64_t v = 0;
    const unsigned char *first = s->p;

    while (is_digit(s)) {
        v = v * 10 + (uint64_t)(*s->p - '0');
        if (v > (uint64_t)1 << 53)
            return complain(s, "a number above 2^53");
        s->p++;
    }
    if (s->p == first || (*first == '0' && s->p - first > 1))
        return complain(s, "a number that is not a plain non-negative integer");
    if (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E'))
        return complain(s, "a number that is not a plain non-negative integer");
    return true;
}

static bool scan_digits(scanner *s)
{
    if (!is_digit(s))
        return complain(s, "a malformed number");
    while (is_digit(s))
        s->p++;
    return true;
}

static bool scan_number(scanner *s)
{
    if (s->rules->integers)
        return scan_integer(s);
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!scan_digits(s))
            return false;
    }
    return true;
}

/* One UTF-8 sequence of more than one byte (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
static bool scan_utf8(scanner *s)
{
    unsigned c = *s->p, low = 0x80, high = 0xbf;
    size_t n;

    if (c >= 0xc2 && c <= 0xdf) {
        n = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        n = 2;
        low = c == 0xe0 ? 0xa0 : 0x80;
        high = c == 0xed ? 0x9f : 0xbf;
    } else if (c >= 0xf0 && c <= 0xf4) {
        n = 3;
        low = c == 0xf0 ? 0x90 : 0x80;
        high = c == 0xf4 ? 0x8f : 0xbf;
    } else {
        return complain(s, "bytes that are not UTF-8");
    }
    if ((size_t)(s->end - s->p) <= n || s->p[1] < low || s->p[1] > high)
        return complain(s, "bytes that are not UTF-8");
    for (size_t i = 2; i <= n; i++)
        if (s->p[i] < 0x80 || s->p[i] > 0xbf)
            return complain(s, "bytes that are not UTF-8");
    s->p += n + 1;
    return true;
}

static bool scan_escape(scanner *s)
{
    unsigned v = 0;

    if (s->end - s->p < 2)
        return complain(s, "an unterminated string");
    if (s->p[1] != 'u') {
        if (!s->p[1] || !strchr("\"\\/bfnrt", s->p[1]))
            return complain(s, "an unknown escape");
        s->p += 2;
        return true;
    }
    if (s->end - s->p < 6)
        return complain(s, "an unterminated string");
    for (int i = 2; i < 6; i++) {
        unsigned c = s->p[i], d = c - '0';

        if (d > 9) {
            d = (c | 0x20) - 'a';
            if (d > 5)
                return complain(s, "a malformed \\u escape");
            d += 10;
        }
        v = v * 16 + d;
    }
    if (v == 0)
        return complain(s, "a NUL character in a string");
    s->p += 6;
    return true;
}

static bool scan_string(scanner *s)
{
    if (s->p >= s->end || *s->p != '"')
        return complain(s, "something else where a string belongs");
    s->p++;
    while (s->p < s->end && *s->p != '"') {
        if (*s->p < 0x20)
            return complain(s, "a control character in a string");
        if (*s->p == '\\') {
            if (!scan_escape(s))
                return false;
        } else if (*s->p < 0x80) {
            s->p++;
        } else if (!scan_utf8(s)) {
            return false;
        }
    }
    if (s->p >= s->end)
        return complain(s, "an unterminated string");
    s->p++;
    return true;
}

static bool scan_value(scanner *s, unsigned depth);

static bool scan_word(scanner *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return complain(s, "an unknown word");
    s->p += n;
    return true;
}

/* An array or an object, at its opening bracket. */
static bool scan_nested(scanner *s, unsigned depth)
{
    bool object = *s->p == '{';
    unsigned char close = object ? '}' : ']';

    if (depth >= s->rules->depth)
        return complain(s, "arrays or objects nested too deeply");
    s->p++;
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        s->p++;
        return true;
    }
    for (;;) {
        skip_space(s);
        if (object) {
            if (!scan_string(s))
                return false;
            skip_space(s);
            if (s->p >= s->end || *s->p != ':')
                return complain(s, "a key without a colon");
            s->p++;
        }
        if (!scan_value(s, depth + 1))
            return false;
        skip_space(s);
        if (s->p >= s->end)
            return complain(s, "an end in the middle");
        if (*s->p == close) {
            s->p++;
            return true;
        }
        if (*s->p != ',')
            return complain(s, "values without a comma");
        s->p++;
    }
}

static bool scan_value(scanner *s, unsigned depth)
{
    skip_space(s);
    if (s->p >= s->end)
        return complain(s, "an end in the middle");
    if (++s->values > s->rules->values)
        return complain(s, "too many values");
    switch (*s->p) {
    case '{':
    case '[':
        return scan_nested(s, depth);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

pjd_status pjd_json_parse(const char *who, const char *what, const unsigned char *text, size_t size,
                          const pjd_json_rules *rules, cJSON **out, pjd_error *err)
{
    scanner s = {.rules = rules};

    *out = NULL;
    text = size ? text : (const unsigned char *)""; /* an empty file has no bytes to point to */
    s.p = text;
    s.end = text + size;
    skip_space(&s);
    if (s.p >= s.end || *s.p != '{') {
        complain(&s, "no object");
    } else if (scan_value(&s, 0)) {
        skip_space(&s);
        if (s.p != s.end)
            complain(&s, "something behind the object");
    }
    if (s.why)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": %s: expected a JSON object, found %s at byte %zu", who,
                             what, s.why, (size_t)(s.p - text));
    *out = cJSON_ParseWithLength((const char *)text, size);
    if (!*out)
        return pjd_error_nomem(err, who, size); /* the text was well-formed */
    return PJD_OK;
}
