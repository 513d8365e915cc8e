/* SPDX-License-Identifier: MIT */
/*
 * NumPy's .npy, format versions 1 to 3, read and written by our own code: "\x93NUMPY", two version bytes, a header length
 * (2 or 4 bytes, little-endian), a Python dict literal with exactly descr, fortran_order and shape, then the elements.
 * Files are hostile: every length is compared with what is there before it is used.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

/* What NumPy itself accepts (its max_header_size). */
enum { MAX_HEADER = 10000 };

typedef struct npy_header {
    char order;   /* '<', '>', '|' or '=' */
    char kind;    /* 'f', 'i', 'u' or 'b' */
    size_t item;  /* bytes of one number */
    size_t parts; /* numbers of an element: 2 when complex */
    bool fortran;
    pjd_shape shape;
} npy_header;

/* ---- the header's dict literal ---- */

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

static bool take_descr(cursor *c, npy_header *h)
{
    static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"};
    char text[8];

    if (!take_text(c, text, sizeof text) || strlen(text) < 3 || !strchr("<>|=", text[0]))
        return false;
    h->parts = 1;
    if (!strcmp(text + 1, "c8") || !strcmp(text + 1, "c16")) {
        h->order = text[0];
        h->kind = 'f';
        h->item = text[2] == '8' ? 4 : 8;
        h->parts = 2;
        return true;
    }
    for (size_t i = 0; i < PJD_COUNTOF(known); i++)
        if (!strcmp(known[i], text + 1)) {
            h->order = text[0];
            h->kind = text[1];
            h->item = (size_t)(text[2] - '0');
            return true;
        }
    return false;
}

static pjd_status parse_dict(const char *who, const char *text, size_t size, bool complex, npy_header *h,
                             pjd_error *err)
{
    cursor c = {text, text + size};
    unsigned seen = 0;
    char key[16];

    if (!take(&c, '{'))
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the .npy header is not a dict", who);
    while (!take(&c, '}')) {
        unsigned bit;
        bool good;

        if (!take_text(&c, key, sizeof key) || !take(&c, ':'))
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the .npy header is broken", who);
        if (!strcmp(key, "descr")) {
            bit = 1;
            good = take_descr(&c, h) && (complex || h->parts == 1);
        } else if (!strcmp(key, "fortran_order")) {
            bit = 2;
            h->fortran = take_word(&c, "True");
            good = h->fortran || take_word(&c, "False");
        } else if (!strcmp(key, "shape")) {
            bit = 4;
            good = take_shape(&c, &h->shape);
        } else {
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: unknown key \"%s\" in the .npy header", who, key);
        }
        if (!good && bit == 1)
            return pjd_error_set(err, PJD_ERR_FORMAT,
                                 "%.200s: expected an array of plain numbers (float, int or bool), found another dtype",
                                 who);
        if (!good || (seen & bit))
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected one valid \"%s\" of at most %d dimensions", who,
                                 key, PJD_MAX_RANK);
        seen |= bit;
        if (!take(&c, ',')) {
            if (!take(&c, '}'))
                return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the .npy header is broken", who);
            break;
        }
    }
    skip_space(&c);
    if (seen != 7 || c.at != c.end)
        return pjd_error_set(err, PJD_ERR_FORMAT,
                             "%.200s: expected exactly descr, fortran_order and shape in the .npy header", who);
    return PJD_OK;
}

/* ---- elements ---- */

static uint64_t load_bits(const unsigned char *p, size_t item, bool big)
{
    uint64_t v = 0;

    for (size_t i = 0; i < item; i++)
        v = v << 8 | p[big ? i : item - 1 - i];
    return v;
}

static float half_to_float(unsigned h)
{
    unsigned sign = h >> 15, exponent = h >> 10 & 31, fraction = h & 1023;
    uint32_t bits;
    float f;

    if (exponent == 0) {
        f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign << 31 | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float element(const unsigned char *p, const npy_header *h, bool big)
{
    uint64_t v = load_bits(p, h->item, big);
    uint32_t v32 = (uint32_t)v;
    double d;
    float f;

    switch (h->kind) {
    case 'f':
        if (h->item == 2)
            return half_to_float((unsigned)v);
        if (h->item == 4) {
            memcpy(&f, &v32, sizeof f);
            return f;
        }
        memcpy(&d, &v, sizeof d);
        return (float)d;
    case 'i':
        if (h->item < 8 && (v >> (8 * h->item - 1) & 1))
            v |= ~(uint64_t)0 << 8 * h->item;
        return (float)(int64_t)v;
    case 'u':
        return (float)v;
    default:
        return v ? 1.0f : 0.0f;
    }
}

static bool host_is_big(void)
{
    const uint16_t probe = 1;
    unsigned char first;

    memcpy(&first, &probe, 1);
    return first == 0;
}

/* Elements in file order to C order. */
static void convert(const unsigned char *p, const npy_header *h, size_t count, float *out)
{
    bool big = h->order == '>' || (h->order != '<' && host_is_big());
    size_t index[PJD_MAX_RANK] = {0}, stride[PJD_MAX_RANK] = {0}, at = 0;

    if (!h->fortran || h->shape.rank < 2) {
        if (h->kind == 'f' && h->item == 4 && big == host_is_big())
            memcpy(out, p, count * h->parts * sizeof *out);
        else
            for (size_t i = 0; i < count * h->parts; i++)
                out[i] = element(p + i * h->item, h, big);
        return;
    }
    stride[h->shape.rank - 1] = 1;
    for (size_t k = h->shape.rank - 1; k > 0; k--)
        stride[k - 1] = stride[k] * h->shape.dim[k];
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < h->parts; k++)
            out[at * h->parts + k] = element(p + (i * h->parts + k) * h->item, h, big);
        for (size_t k = 0; k < h->shape.rank; k++) {
            at += stride[k];
            if (++index[k] < h->shape.dim[k])
                break;
            at -= stride[k] * h->shape.dim[k];
            index[k] = 0;
        }
    }
}

/* ---- whole files ---- */

/* *parts: numbers of an element, 1 unless `complex` allows 2. */
static pjd_status parse(const char *who, const unsigned char *bytes, size_t size, bool complex, float **data,
                        pjd_shape *shape, size_t *parts, pjd_error *err)
{
    npy_header h = {0};
    size_t start, length, count, need;
    char text[128];
    pjd_status st;
    float *out;

    *data = NULL;
    *shape = (pjd_shape){0};
    if (size < 6 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: not a .npy file", who);
    if (size < 12)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: truncated .npy file", who);
    if (bytes[6] < 1 || bytes[6] > 3)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected .npy format 1 to 3, found %u", who, bytes[6]);
    start = bytes[6] == 1 ? 10 : 12;
    length = (size_t)load_bits(bytes + 8, start - 8, false);
    if (length > MAX_HEADER)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected a .npy header of at most %d bytes, found %zu", who,
                             MAX_HEADER, length);
    if (length > size - start)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: truncated .npy file", who);
    st = parse_dict(who, (const char *)bytes + start, length, complex, &h, err);
    if (st != PJD_OK)
        return st;
    start += length;
    if (!pjd_shape_count(&h.shape, &count) || !pjd_mul(count, h.item * h.parts, &need) || need > size - start)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the shape %s needs more than the %zu bytes that follow", who,
                             pjd_shape_text(&h.shape, text, sizeof text), size - start);
    out = pjd_alloc(count, h.parts * sizeof *out);
    if (!out)
        return pjd_io_nomem(err, who, count * h.parts * sizeof *out);
    convert(bytes + start, &h, count, out);
    *data = out;
    *shape = h.shape;
    *parts = h.parts;
    return PJD_OK;
}

pjd_status pjd_npy_parse(const char *who, const unsigned char *bytes, size_t size, float **data, pjd_shape *shape,
                         pjd_error *err)
{
    size_t parts;

    return parse(who, bytes, size, false, data, shape, &parts, err);
}

pjd_status pjd_npy_parse_complex(const char *who, const unsigned char *bytes, size_t size, float **data,
                                 pjd_shape *shape, pjd_error *err)
{
    size_t parts, count;
    float *wide;
    pjd_status st = parse(who, bytes, size, true, data, shape, &parts, err);

    if (st != PJD_OK || parts == 2)
        return st;
    pjd_shape_count(shape, &count);
    wide = pjd_alloc_zero(count, 2 * sizeof *wide);
    for (size_t i = 0; wide && i < count; i++)
        wide[2 * i] = (*data)[i];
    pjd_free(*data);
    *data = wide;
    return wide ? PJD_OK : pjd_io_nomem(err, who, count * 2 * sizeof *wide);
}

pjd_status pjd_npy_read(const char *path, float **data, pjd_shape *shape, pjd_error *err)
{
    unsigned char *bytes = NULL;
    size_t size;
    pjd_status st;

    *data = NULL;
    *shape = (pjd_shape){0};
    st = pjd_file_read(path, &bytes, &size, err);
    if (st == PJD_OK)
        st = pjd_npy_parse(pjd_is_std(path) ? "standard input" : path, bytes, size, data, shape, err);
    pjd_free(bytes);
    return st;
}

/* Format 1.0, as NumPy writes it: padded with spaces so that the elements start at a multiple of 64. */
static size_t make_header(const char *descr, const pjd_shape *shape, char *buf, size_t size)
{
    size_t used = 10, total;

    used += (size_t)snprintf(buf + used, size - used, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (size_t i = 0; i < shape->rank; i++)
        used += (size_t)snprintf(buf + used, size - used,
                                 i == 0 && shape->rank == 1 ? "%zu,"
                                 : i                        ? ", %zu"
                                                            : "%zu",
                                 shape->dim[i]);
    used += (size_t)snprintf(buf + used, size - used, "), }");
    total = (used + 1 + 63) / 64 * 64;
    memset(buf + used, ' ', total - used);
    buf[total - 1] = '\n';
    memcpy(buf, "\x93NUMPY\x01", 8); /* the terminating 0 is the minor version */
    buf[8] = (char)((total - 10) & 255);
    buf[9] = (char)((total - 10) >> 8);
    return total;
}

pjd_status pjd_write_floats(int fd, const char *path, const float *data, size_t count, pjd_error *err)
{
    enum { CHUNK = 4096 };
    uint32_t chunk[CHUNK];
    pjd_status st = PJD_OK;

    if (!host_is_big())
        return pjd_file_write(fd, path, data, count * sizeof *data, err);
    for (size_t i = 0; i < count && st == PJD_OK; i += CHUNK) {
        size_t n = count - i < CHUNK ? count - i : CHUNK;

        memcpy(chunk, data + i, n * sizeof *chunk);
        for (size_t k = 0; k < n; k++)
            chunk[k] = __builtin_bswap32(chunk[k]);
        st = pjd_file_write(fd, path, chunk, n * sizeof *chunk, err);
    }
    return st;
}

/* parts: numbers of an element */
static pjd_status write_array(const char *path, const float *data, const pjd_shape *shape, size_t parts, bool overwrite,
                              pjd_error *err)
{
    char header[512];
    pjd_output *o = NULL;
    size_t count, length;
    pjd_status st = PJD_OK;
    int fd = STDOUT_FILENO;

    if (!pjd_shape_count(shape, &count))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected a valid shape of at most %d dimensions", path,
                             PJD_MAX_RANK);
    if (!pjd_is_std(path)) {
        st = pjd_output_begin(path, overwrite, &o, NULL, err);
        if (st != PJD_OK)
            return st;
        fd = pjd_output_fd(o);
    }
    length = make_header(parts == 2 ? "<c8" : "<f4", shape, header, sizeof header);
    st = pjd_file_write(fd, path, header, length, err);
    if (st == PJD_OK)
        st = pjd_write_floats(fd, path, data, count * parts, err);
    if (st == PJD_OK && o)
        return pjd_output_commit(o, err);
    pjd_output_abort(o);
    return st;
}

pjd_status pjd_npy_write(const char *path, const float *data, const pjd_shape *shape, bool overwrite, pjd_error *err)
{
    return write_array(path, data, shape, 1, overwrite, err);
}

pjd_status pjd_npy_write_complex(const char *path, const float *data, const pjd_shape *shape, bool overwrite,
                                 pjd_error *err)
{
    return write_array(path, data, shape, 2, overwrite, err);
}
