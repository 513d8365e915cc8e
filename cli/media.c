/* SPDX-License-Identifier: MIT */
/* Pictures and arrays as the commands see them: [n, c, h, w]. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "projdiff/io.h"

/* Kinds of files that are worth looking into when a folder is given; those that can be written come first. */
static const char *const extensions[] = {"png",  "jpg",  "jpeg", "jpe", "tif",  "tiff", "webp", "ppm",
                                         "pgm",  "pnm",  "bmp",  "gif", "jp2",  "jxl",  "heic", "avif",
                                         "npy",  "jfif", "pbm",  "pfm", "hdr",  "exr",  "heif", "j2k",
                                         "fits", "fit",  "fts",  "v",   "vips", "mat",  "svg"};

enum { WRITABLE = 18 };

void cli_extension(const char *path, char out[16])
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    size_t n = 0;

    if (dot && dot != base)
        for (const char *p = dot + 1; *p && n < 15; p++)
            out[n++] = (char)tolower((unsigned char)*p);
    out[n] = '\0';
}

static bool in_list(const char *ext, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcasecmp(ext, extensions[i]))
            return true;
    return false;
}

bool cli_readable_extension(const char *ext)
{
    return in_list(ext, CLI_COUNTOF(extensions));
}

bool cli_writable_extension(const char *ext)
{
    return in_list(ext, WRITABLE);
}

bool cli_is_array_name(const char *path)
{
    char ext[16];

    cli_extension(path, ext);
    return !strcmp(ext, "npy");
}

/* ---- reading ---- */

/*
 * Copy standard input to an unnamed file and put that in its place, so that its first bytes can be looked at and it can
 * still be read from the start. *array: it is a .npy file.
 */
static pjd_status spool_input(bool *array, pjd_error *err)
{
    static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    unsigned char *buffer = malloc(1 << 16), head[6];
    FILE *f = tmpfile();
    pjd_status st = PJD_OK;
    ssize_t n = 0;

    if (!f || !buffer) {
        st = pjd_error_set(err, PJD_ERR_IO, "standard input: no temporary file: %s", strerror(errno));
        goto done;
    }
    while ((n = read(STDIN_FILENO, buffer, 1 << 16)) > 0 || (n < 0 && errno == EINTR && !cli_interrupted()))
        if (n > 0 && fwrite(buffer, 1, (size_t)n, f) != (size_t)n)
            break;
    if (n != 0 || fflush(f) != 0) {
        st = pjd_error_set(err, PJD_ERR_IO, "standard input: %s", strerror(errno));
        goto done;
    }
    if (dup2(fileno(f), STDIN_FILENO) < 0 || lseek(STDIN_FILENO, 0, SEEK_SET) != 0) {
        st = pjd_error_set(err, PJD_ERR_IO, "standard input: %s", strerror(errno));
        goto done;
    }
    *array = pread(STDIN_FILENO, head, sizeof head, 0) == (ssize_t)sizeof head && !memcmp(head, magic, sizeof magic);
done:
    if (f)
        fclose(f);
    free(buffer);
    return st;
}

static pjd_status array_shape(const char *path, const pjd_shape *s, cli_media *m, pjd_error *err)
{
    char text[96];

    if (s->rank < 2 || s->rank > 4)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected an array of rank 2 to 4 (HW, CHW or NCHW), found %s",
                             path, s->rank ? pjd_shape_text(s, text, sizeof text) : "a scalar");
    m->rank = s->rank;
    m->n = s->rank == 4 ? s->dim[0] : 1;
    m->c = s->rank >= 3 ? s->dim[s->rank - 3] : 1;
    m->h = s->dim[s->rank - 2];
    m->w = s->dim[s->rank - 1];
    if (!m->n || !m->c || !m->h || !m->w)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: the array is empty (%s)", path,
                             pjd_shape_text(s, text, sizeof text));
    return PJD_OK;
}

pjd_status cli_media_read(const char *path, cli_media *out, pjd_error *err)
{
    cli_media m = {.path = path, .array = cli_is_array_name(path)};
    pjd_shape shape;
    pjd_status st = PJD_OK;

    *out = (cli_media){0};
    if (!strcmp(path, "-"))
        st = spool_input(&m.array, err);
    if (st == PJD_OK && m.array) {
        st = pjd_npy_read(path, &m.data, &shape, err);
        if (st == PJD_OK)
            st = array_shape(path, &shape, &m, err);
    } else if (st == PJD_OK) {
        st = pjd_picture_read(path, &m.picture, &m.data, &shape, err);
        if (st == PJD_OK) {
            pjd_picture_get_info(m.picture, &m.info);
            m.n = 1;
            m.rank = 3;
            m.c = shape.dim[0];
            m.h = shape.dim[1];
            m.w = shape.dim[2];
        }
    }
    if (st == PJD_OK)
        for (size_t i = 0, n = m.n * m.c * m.h * m.w; i < n; i++)
            if (!isfinite(m.data[i])) {
                st = pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: holds values that are not finite", path);
                break;
            }
    if (st == PJD_OK)
        *out = m;
    else
        cli_media_free(&m);
    return st;
}

pjd_status cli_media_as_numbers(cli_media *m, const char *task, pjd_error *err)
{
    if (m->array || (m->info.bits == 16 && m->c == 1))
        return PJD_OK;
    if (m->info.bits < 32)
        return pjd_error_set(
            err, PJD_ERR_ARG,
            "%.200s: what %s measures is no picture: expected a .npy array or a floating-point TIFF (or "
            "16-bit gray, -1 to 1), found %u-bit %s of %zux%zu",
            m->path, task, m->info.bits, m->c == 3 ? "colour" : "gray", m->w, m->h);
    for (size_t i = 0; i < m->c * m->h * m->w; i++)
        m->data[i] = 0.5f * m->data[i] + 0.5f;
    return PJD_OK;
}

void cli_media_free(cli_media *m)
{
    pjd_io_free(m->data);
    pjd_picture_free(m->picture);
    *m = (cli_media){0};
}

/* ---- writing ---- */

bool cli_writes_array(const char *path, const cli_write *o)
{
    return strcmp(path, "-") ? cli_is_array_name(path) : o->format && !strcasecmp(o->format, "npy");
}

static pjd_write_options picture_options(const cli_write *o)
{
    return (pjd_write_options){.quality = o->quality, .overwrite = o->overwrite, .format = o->format, .bits = o->bits};
}

pjd_status cli_media_check(const char *path, const cli_media *like, size_t n, size_t c, size_t h, size_t w,
                           const cli_write *o, pjd_error *err)
{
    pjd_shape shape = pjd_shape_chw(c, h, w);
    pjd_write_options opt = picture_options(o);

    if (cli_writes_array(path, o))
        return PJD_OK;
    if (n != 1 || (c != 1 && c != 3))
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "%.200s: a picture has 1 or 3 channels, found %zu item(s) of %zu; "
                             "write a .npy file",
                             path, n, c);
    return pjd_picture_check(path, like ? like->picture : NULL, &shape, &opt, err);
}

pjd_status cli_media_write(const char *path, const cli_media *like, const float *data, size_t n, size_t c, size_t h,
                           size_t w, size_t rank, const cli_write *o, pjd_error *err)
{
    const size_t dims[4] = {n, c, h, w};
    pjd_write_options opt = picture_options(o);
    pjd_shape shape;
    pjd_status st;

    if (rank < 4 && (n > 1 || (rank == 2 && c > 1)))
        rank = n > 1 ? 4 : 3;
    if (cli_writes_array(path, o)) {
        shape = pjd_shape_make(rank, dims + 4 - rank);
        return pjd_npy_write(path, data, &shape, o->overwrite, err);
    }
    st = cli_media_check(path, like, n, c, h, w, o, err);
    if (st != PJD_OK)
        return st;
    shape = pjd_shape_chw(c, h, w);
    return pjd_picture_write(path, like ? like->picture : NULL, data, &shape, &opt, err);
}
