/* SPDX-License-Identifier: MIT */
/* NumPy's .npy, read and written by our own code. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/npy.h"
#include "io/internal.h"

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

static float element(const unsigned char *p, const pjd_npy_header *h)
{
    uint64_t v = load_bits(p, h->item, h->big);
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

/* Elements in file order to C order. */
static void convert(const unsigned char *p, const pjd_npy_header *h, float *out)
{
    size_t index[PJD_MAX_RANK] = {0}, stride[PJD_MAX_RANK] = {0}, at = 0;

    if (!h->fortran || h->shape.rank < 2) {
        if (h->kind == 'f' && h->item == 4 && h->big == pjd_host_is_big())
            memcpy(out, p, h->bytes);
        else
            for (size_t i = 0; i < h->count * h->parts; i++)
                out[i] = element(p + i * h->item, h);
        return;
    }
    stride[h->shape.rank - 1] = 1;
    for (size_t k = h->shape.rank - 1; k > 0; k--)
        stride[k - 1] = stride[k] * h->shape.dim[k];
    for (size_t i = 0; i < h->count; i++) {
        for (size_t k = 0; k < h->parts; k++)
            out[at * h->parts + k] = element(p + (i * h->parts + k) * h->item, h);
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
    pjd_npy_header h;
    const char *why = pjd_npy_header_read(bytes, size, &h);
    char text[128];
    float *out;

    *data = NULL;
    *shape = (pjd_shape){0};
    if (!why && h.parts > 1 && !complex)
        why = "complex numbers, where real ones are wanted";
    if (why)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected a .npy array, found %s", who, why);
    if (h.bytes > size - h.start)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the shape %s needs more than the %zu bytes that follow", who,
                             pjd_shape_text(&h.shape, text, sizeof text), size - h.start);
    out = pjd_alloc(h.count, h.parts * sizeof *out);
    if (!out)
        return pjd_io_nomem(err, who, h.count * h.parts * sizeof *out);
    convert(bytes + h.start, &h, out);
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

    if (!pjd_host_is_big())
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
