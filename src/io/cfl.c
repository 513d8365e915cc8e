/* SPDX-License-Identifier: MIT */
/*
 * BART's arrays: NAME.hdr is text, "# Dimensions" and below it up to 16 sizes on one line (other sections, each under its own
 * "# Title", are not looked at); NAME.cfl is little-endian pairs of float32, the first dimension fastest. Files are
 * hostile: sizes are multiplied with checks and compared with what is there before anything is allocated.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "io/internal.h"

enum { CFL_DIMS = 16, MAX_HEADER = 1 << 16 };

/* ---- the header ---- */

/* The line after "# Dimensions", or NULL. */
static const char *dimensions_line(const char *at, const char *end)
{
    static const char title[] = "# Dimensions";

    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));

        next = next ? next + 1 : end;
        if ((size_t)(next - at) >= sizeof title && !memcmp(at, title, sizeof title - 1) &&
            (at[sizeof title - 1] == '\n' || at[sizeof title - 1] == '\r'))
            return next;
        at = next;
    }
    return NULL;
}

/* One size after blanks; false at the line's end or at what is no number. */
static bool take_size(const char **at, const char *end, size_t *value)
{
    const char *p = *at;
    size_t v = 0;

    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    *at = p;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (!pjd_mul(v, 10, &v) || !pjd_add(v, (size_t)(*p - '0'), &v))
            return false;
    if (p == *at)
        return false;
    *at = p;
    *value = v;
    return true;
}

static pjd_status parse_header(const char *who, const unsigned char *header, size_t size, pjd_shape *shape,
                               pjd_error *err)
{
    const char *end = (const char *)header + size, *at;
    size_t dims[CFL_DIMS], count = 0, used = 0, v;

    if (size > MAX_HEADER)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected a header of at most %d bytes, found %zu", who,
                             MAX_HEADER, size);
    at = dimensions_line((const char *)header, end);
    if (!at)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the header has no \"# Dimensions\"", who);
    while (take_size(&at, end, &v)) {
        if (count == CFL_DIMS || v == 0)
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: expected at most %d dimensions above zero", who,
                                 CFL_DIMS);
        dims[count++] = v;
        if (v > 1)
            used = count;
    }
    if (count == 0 || (at < end && *at != '\n' && *at != '\r'))
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: the header's dimensions are not a line of whole numbers",
                             who);
    if (used > PJD_MAX_RANK)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%.200s: dimension %zu is above 1; at most %d can be read", who,
                             used, PJD_MAX_RANK);
    *shape = pjd_shape_make(used ? used : 1, dims);
    return PJD_OK;
}

/* ---- elements ---- */

static float little(const unsigned char *p)
{
    uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float f;

    memcpy(&f, &v, sizeof f);
    return f;
}

/* Walks a shape with the first dimension fastest; at: where the element lies in C order. */
typedef struct walk {
    const pjd_shape *s;
    size_t index[PJD_MAX_RANK], stride[PJD_MAX_RANK], at;
} walk;

static walk walk_start(const pjd_shape *s)
{
    walk w = {.s = s};

    w.stride[s->rank - 1] = 1;
    for (size_t k = s->rank - 1; k > 0; k--)
        w.stride[k - 1] = w.stride[k] * s->dim[k];
    return w;
}

static void walk_next(walk *w)
{
    for (size_t k = 0; k < w->s->rank; k++) {
        w->at += w->stride[k];
        if (++w->index[k] < w->s->dim[k])
            return;
        w->at -= w->stride[k] * w->s->dim[k];
        w->index[k] = 0;
    }
}

pjd_status pjd_cfl_parse(const char *who, const unsigned char *header, size_t header_size, const unsigned char *bytes,
                         size_t size, float **data, pjd_shape *shape, pjd_error *err)
{
    pjd_shape s = {0};
    size_t count, need;
    char text[128];
    pjd_status st = parse_header(who, header, header_size, &s, err);
    float *out;

    *data = NULL;
    *shape = (pjd_shape){0};
    if (st != PJD_OK)
        return st;
    if (!pjd_shape_count(&s, &count) || !pjd_mul(count, 8, &need) || need != size)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: %s complex numbers need other than the %zu bytes found", who,
                             pjd_shape_text(&s, text, sizeof text), size);
    out = pjd_alloc(count, 2 * sizeof *out);
    if (!out)
        return pjd_io_nomem(err, who, count * 2 * sizeof *out);
    walk w = walk_start(&s);

    for (size_t i = 0; i < count; i++, walk_next(&w)) {
        out[2 * w.at] = little(bytes + 8 * i);
        out[2 * w.at + 1] = little(bytes + 8 * i + 4);
    }
    *data = out;
    *shape = s;
    return PJD_OK;
}

/* ---- files ---- */

static bool is_cfl(const char *path)
{
    return !strcasecmp(pjd_extension(path), "cfl");
}

/* NAME.hdr for NAME.cfl, in the same case. */
static char *header_path(const char *path, const char *who, pjd_error *err)
{
    size_t n = strlen(path);
    const char *end;
    char *p = pjd_alloc(n + 1, 1);

    if (!p) {
        pjd_io_nomem(err, who, n + 1);
        return NULL;
    }
    memcpy(p, path, n + 1);
    end = p[n - 1] == 'L' ? "HDR" : "hdr";
    for (size_t i = 0; i < 3; i++)
        p[n - 3 + i] = end[i];
    return p;
}

static pjd_status read_cfl(const char *path, float **data, pjd_shape *shape, pjd_error *err)
{
    char *name = header_path(path, path, err);
    unsigned char *header = NULL, *bytes = NULL;
    size_t header_size, size;
    pjd_status st = name ? pjd_file_read(name, &header, &header_size, err) : PJD_ERR_NOMEM;

    if (st == PJD_OK)
        st = pjd_file_read(path, &bytes, &size, err);
    if (st == PJD_OK)
        st = pjd_cfl_parse(path, header, header_size, bytes, size, data, shape, err);
    pjd_free(name);
    pjd_free(header);
    pjd_free(bytes);
    return st;
}

pjd_status pjd_complex_read(const char *path, float **data, pjd_shape *shape, pjd_error *err)
{
    unsigned char *bytes = NULL;
    size_t size;
    pjd_status st;

    *data = NULL;
    *shape = (pjd_shape){0};
    if (is_cfl(path))
        return read_cfl(path, data, shape, err);
    st = pjd_file_read(path, &bytes, &size, err);
    if (st == PJD_OK)
        st = pjd_npy_parse_complex(pjd_is_std(path) ? "standard input" : path, bytes, size, data, shape, err);
    pjd_free(bytes);
    return st;
}

static pjd_status write_header(pjd_output *o, const char *path, const pjd_shape *shape, pjd_error *err)
{
    char text[512] = "# Dimensions\n";
    size_t used = strlen(text);

    for (size_t i = 0; i < CFL_DIMS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%zu ", i < shape->rank ? shape->dim[i] : 1);
    text[used - 1] = '\n';
    return pjd_file_write(pjd_output_fd(o), path, text, used, err);
}

static pjd_status write_pairs(pjd_output *o, const char *path, const float *data, const pjd_shape *shape,
                              pjd_error *err)
{
    enum { CHUNK = 2048 };
    float chunk[2 * CHUNK];
    walk w = walk_start(shape);
    size_t count;
    pjd_status st = PJD_OK;

    pjd_shape_count(shape, &count);
    for (size_t i = 0; st == PJD_OK && i < count; i += CHUNK) {
        size_t n = count - i < CHUNK ? count - i : CHUNK;

        for (size_t k = 0; k < n; k++, walk_next(&w))
            memcpy(chunk + 2 * k, data + 2 * w.at, 2 * sizeof *chunk);
        st = pjd_write_floats(pjd_output_fd(o), path, chunk, 2 * n, err);
    }
    return st;
}

static pjd_status write_cfl(const char *path, const float *data, const pjd_shape *shape, bool overwrite, pjd_error *err)
{
    char *name = header_path(path, path, err);
    pjd_output *header = NULL, *body = NULL;
    pjd_status st = name ? pjd_output_begin(name, overwrite, &header, NULL, err) : PJD_ERR_NOMEM;

    if (st == PJD_OK)
        st = pjd_output_begin(path, overwrite, &body, NULL, err);
    if (st == PJD_OK)
        st = write_header(header, name, shape, err);
    if (st == PJD_OK)
        st = write_pairs(body, path, data, shape, err);
    /* The data last: who sees them finds the header. */
    if (st == PJD_OK) {
        st = pjd_output_commit(header, err);
        header = NULL;
    }
    if (st == PJD_OK) {
        st = pjd_output_commit(body, err);
        body = NULL;
    }
    pjd_output_abort(header);
    pjd_output_abort(body);
    pjd_free(name);
    return st;
}

pjd_status pjd_complex_write(const char *path, const float *data, const pjd_shape *shape, bool overwrite,
                             pjd_error *err)
{
    char text[128];
    size_t count;

    if (shape->rank == 0 || !pjd_shape_count(shape, &count) || count == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected a shape that holds something, found %s", path,
                             pjd_shape_text(shape, text, sizeof text));
    return is_cfl(path) ? write_cfl(path, data, shape, overwrite, err)
                        : pjd_npy_write_complex(path, data, shape, overwrite, err);
}
