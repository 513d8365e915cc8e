/* SPDX-License-Identifier: MIT */
#include "weights/npy.h"

#include <string.h>

#define HEADER_LIMIT 65536u

/* The header is a Python dict literal with three keys; nothing else of Python is understood. */
typedef struct literal {
    const char *p, *end;
} literal;

static void blanks(literal *l)
{
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\n'))
        l->p++;
}

static bool accept(literal *l, char c)
{
    blanks(l);
    if (l->p >= l->end || *l->p != c)
        return false;
    l->p++;
    return true;
}

static bool string(literal *l, const char **s, size_t *n)
{
    const char *close;
    char quote;

    blanks(l);
    if (l->p >= l->end || (*l->p != '\'' && *l->p != '"'))
        return false;
    quote = *l->p++;
    close = memchr(l->p, quote, (size_t)(l->end - l->p));
    if (!close)
        return false;
    *s = l->p;
    *n = (size_t)(close - l->p);
    l->p = close + 1;
    return memchr(*s, '\\', *n) == NULL;
}

static bool word(literal *l, const char *w)
{
    size_t n = strlen(w);

    blanks(l);
    if ((size_t)(l->end - l->p) < n || memcmp(l->p, w, n) != 0)
        return false;
    l->p += n;
    return true;
}

static bool number(literal *l, size_t *out)
{
    const char *first;
    size_t v = 0;

    blanks(l);
    for (first = l->p; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++)
        if (!pjd_mul(v, 10, &v) || !pjd_add(v, (size_t)(*l->p - '0'), &v))
            return false;
    if (l->p < l->end && *l->p == 'L') /* Python 2 */
        l->p++;
    *out = v;
    return l->p > first;
}

static bool shape(literal *l, pjd_shape *s)
{
    if (!accept(l, '('))
        return false;
    *s = (pjd_shape){0};
    while (!accept(l, ')')) {
        if (s->rank == PJD_MAX_RANK || !number(l, &s->dim[s->rank]))
            return false;
        s->rank++;
        if (!accept(l, ',') && (l->p >= l->end || *l->p != ')'))
            return false;
    }
    return true;
}

static bool descr(const char *s, size_t n, pjd_dtype *dtype, bool *swapped)
{
    static const struct {
        const char text[3];
        pjd_dtype dtype;
    } types[] = {
        {"f2", PJD_F16}, {"f4", PJD_F32}, {"f8", PJD_F64}, {"i1", PJD_I8},   {"i2", PJD_I16},
        {"i4", PJD_I32}, {"i8", PJD_I64}, {"u1", PJD_U8},  {"b1", PJD_BOOL},
    };

    if (n != 3 || s[0] == '\0' || !strchr("<>|=", s[0]))
        return false;
    *swapped = s[0] == '>';
    for (size_t i = 0; i < PJD_COUNTOF(types); i++) {
        if (memcmp(types[i].text, s + 1, 2) == 0) {
            *dtype = types[i].dtype;
            return s[0] != '|' || pjd_dtype_size(*dtype) == 1;
        }
    }
    return false;
}

static const char *parse_header(literal *l, pjd_tensor *t, bool *swapped, bool *fortran)
{
    bool have_descr = false, have_order = false, have_shape = false;

    if (!accept(l, '{'))
        return "a header that is no dict";
    while (!accept(l, '}')) {
        const char *key, *s;
        size_t n, m;

        if (!string(l, &key, &n) || !accept(l, ':'))
            return "a malformed header";
        if (n == 5 && memcmp(key, "descr", 5) == 0 && !have_descr) {
            if (!string(l, &s, &m) || !descr(s, m, &t->dtype, swapped))
                return "elements that are no plain numbers of a supported kind (objects are pickles and refused)";
            have_descr = true;
        } else if (n == 13 && memcmp(key, "fortran_order", 13) == 0 && !have_order) {
            *fortran = word(l, "True");
            if (!*fortran && !word(l, "False"))
                return "a malformed header";
            have_order = true;
        } else if (n == 5 && memcmp(key, "shape", 5) == 0 && !have_shape) {
            if (!shape(l, &t->shape))
                return "a malformed shape, or one of more than 8 dimensions";
            have_shape = true;
        } else {
            return "a header with an unknown key, or one twice";
        }
        if (!accept(l, ',') && (l->p >= l->end || *l->p != '}'))
            return "a malformed header";
    }
    blanks(l);
    if (l->p != l->end)
        return "something behind the header's dict";
    return have_descr && have_order && have_shape ? NULL : "a header without descr, fortran_order or shape";
}

const char *pjd_weights_npy_parse(const unsigned char *data, size_t size, pjd_tensor *t, bool *swapped)
{
    size_t start, length, count, bytes;
    bool fortran = false;
    literal l;
    const char *why;

    *t = (pjd_tensor){0};
    *swapped = false;
    if (size < 12 || memcmp(data, "\x93NUMPY", 6) != 0)
        return "no NumPy array";
    if (data[6] < 1 || data[6] > 3)
        return "an unknown version of the array format";
    start = data[6] == 1 ? 10 : 12;
    length = data[6] == 1 ? pjd_le16(data + 8) : pjd_le32(data + 8);
    if (length > HEADER_LIMIT || length > size - start)
        return "a header longer than the file, or than 64 KiB";
    l = (literal){(const char *)data + start, (const char *)data + start + length};
    why = parse_header(&l, t, swapped, &fortran);
    if (why)
        return why;
    if (!pjd_shape_count(&t->shape, &count) || !pjd_mul(count, pjd_dtype_size(t->dtype), &bytes))
        return "a shape that overflows";
    if (bytes != size - start - length)
        return "another number of bytes than its shape says";
    t->data = data + start + length;
    pjd_tensor_contiguous(t);
    if (fortran) {
        size_t step = 1;

        for (size_t i = 0; i < t->shape.rank; i++) {
            t->stride[i] = step;
            step *= t->shape.dim[i] ? t->shape.dim[i] : 1;
        }
    }
    return NULL;
}
