/* SPDX-License-Identifier: MIT */
/* Files of the task mri: complex k-space, maps, masks and pictures. Arrays are planes, real before imaginary part. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

bool cli_mri_task(const cli_task *t)
{
    return t->parts == 1 && !strcmp(t->first, "mri");
}

int cli_mri_check(const cli_task *t)
{
    if (t->parts > 1 && strstr(t->name, "mri"))
        return cli_error(CLI_USAGE, "mri cannot be composed with +");
    return CLI_DONE;
}

/* ---- complex arrays as coils of planes ---- */

static bool is_cfl(const char *path)
{
    char ext[16];

    cli_extension(path, ext);
    return !strcmp(ext, "cfl");
}

/* BART: three places, then coils, then what must be 1 here. Of the places one must be 1. */
static bool bart_shape(const pjd_shape *s, size_t *c, size_t *h, size_t *w)
{
    size_t d[4] = {1, 1, 1, 1};

    for (size_t i = 0; i < s->rank; i++) {
        if (i >= 4 && s->dim[i] != 1)
            return false;
        if (i < 4)
            d[i] = s->dim[i];
    }
    *c = d[3];
    *h = d[0];
    *w = d[1];
    if (d[2] != 1) {
        if (d[0] != 1 && d[1] != 1)
            return false;
        *h = d[0] != 1 ? d[0] : d[1];
        *w = d[2];
    }
    return true;
}

static pjd_status coil_shape(const char *path, const pjd_shape *s, size_t *c, size_t *h, size_t *w, pjd_error *err)
{
    char text[96];

    if (is_cfl(path)) {
        if (bart_shape(s, c, h, w))
            return PJD_OK;
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "%.200s: expected one slice and at most one set of coils (dimensions 0 to 3), found %s",
                             path, pjd_shape_text(s, text, sizeof text));
    }
    if (s->rank < 2 || s->rank > 3)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected height x width or coils x height x width, found %s",
                             path, s->rank ? pjd_shape_text(s, text, sizeof text) : "a scalar");
    *c = s->rank == 3 ? s->dim[0] : 1;
    *h = s->dim[s->rank - 2];
    *w = s->dim[s->rank - 1];
    return PJD_OK;
}

pjd_status cli_mri_read(const char *path, cli_media *out, pjd_error *err)
{
    cli_media m = {.path = path, .array = true, .n = 1, .rank = 3};
    size_t coils = 0, n;
    pjd_shape shape;
    float *pairs = NULL;
    pjd_status st = pjd_complex_read(path, &m.data, &shape, err);

    *out = (cli_media){0};
    if (st == PJD_OK)
        st = coil_shape(path, &shape, &coils, &m.h, &m.w, err);
    n = m.h * m.w;
    m.c = 2 * coils;
    if (st == PJD_OK && (!n || !coils))
        st = pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: the array is empty", path);
    if (st == PJD_OK && !(pairs = malloc(m.c * n * sizeof *pairs)))
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    if (st == PJD_OK)
        memcpy(pairs, m.data, m.c * n * sizeof *pairs);
    for (size_t c = 0; st == PJD_OK && c < coils; c++)
        for (size_t i = 0; st == PJD_OK && i < n; i++) {
            const float *from = pairs + 2 * (is_cfl(path) ? i * coils + c : c * n + i);

            m.data[2 * c * n + i] = from[0];
            m.data[(2 * c + 1) * n + i] = from[1];
            if (!isfinite(from[0]) || !isfinite(from[1]))
                st = pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: holds values that are not finite", path);
        }
    free(pairs);
    if (st == PJD_OK)
        *out = m;
    else
        cli_media_free(&m);
    return st;
}

/* ---- the task's own files ---- */

static bool is_complex_name(const char *path)
{
    return is_cfl(path) || cli_is_array_name(path);
}

/* 1 where a picture is not black, an array not 0. */
static pjd_status read_mask(struct cli_task_array *a, pjd_error *err)
{
    bool complex = is_complex_name(a->path);
    cli_media m;
    pjd_status st = complex ? cli_mri_read(a->path, &m, err) : cli_media_read(a->path, &m, err);
    size_t n;

    if (st != PJD_OK)
        return st;
    n = m.h * m.w;
    if (complex && m.c != 2)
        st = pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: a mask is one plane, found %zu", a->path, m.c / 2);
    else if (!(a->data = malloc(n * sizeof *a->data)))
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t i = 0; st == PJD_OK && i < n; i++) {
        bool on = false;

        for (size_t c = 0; c < m.c; c++)
            on = on || m.data[c * n + i] != (complex ? 0.0f : -1.0f);
        a->data[i] = on ? 1.0f : 0.0f;
    }
    a->shape = pjd_shape_chw(1, m.h, m.w);
    cli_media_free(&m);
    return st;
}

static pjd_status read_maps(struct cli_task_array *a, pjd_error *err)
{
    cli_media m;
    pjd_status st = cli_mri_read(a->path, &m, err);

    if (st != PJD_OK)
        return st;
    a->shape = pjd_shape_chw(m.c, m.h, m.w);
    a->data = malloc(m.c * m.h * m.w * sizeof *a->data);
    if (a->data)
        memcpy(a->data, m.data, m.c * m.h * m.w * sizeof *a->data);
    else
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    cli_media_free(&m);
    return st;
}

int cli_mri_load(cli_task *t)
{
    for (size_t i = 0; i < t->array_count; i++) {
        struct cli_task_array *a = &t->arrays[i];
        bool mask = !strcmp(a->name, "mask");
        pjd_error err;

        a->mask = false; /* not one of missing pixels */
        if (!a->data && (mask ? read_mask(a, &err) : read_maps(a, &err)) != PJD_OK)
            return cli_fail(&err, a->path, false);
    }
    return CLI_DONE;
}

/* ---- from k-space to a measurement of the solver's ---- */

static const struct cli_task_array *find_array(const cli_task *t, const char *name)
{
    for (size_t i = 0; i < t->array_count; i++)
        if (!strcmp(t->arrays[i].name, name))
            return &t->arrays[i];
    return NULL;
}

static pjd_status check_size(const struct cli_task_array *a, size_t planes, const cli_media *y, pjd_error *err)
{
    char text[96];

    if (!a || (a->shape.dim[0] == planes && a->shape.dim[1] == y->h && a->shape.dim[2] == y->w))
        return PJD_OK;
    return pjd_error_set(err, PJD_ERR_SHAPE,
                         "%.200s: k-space of %zu coil(s) and %zux%zu needs %s of its size, found %s", a->path, y->c / 2,
                         y->w, y->h, planes == 1 ? "a mask" : "maps", pjd_shape_text(&a->shape, text, sizeof text));
}

pjd_status cli_mri_prepare(const cli_task *t, cli_media *y, pjd_mri **out, pjd_error *err)
{
    const struct cli_task_array *mask = find_array(t, "mask"), *maps = find_array(t, "maps");
    pjd_mri_options o = {.mask = mask ? mask->data : NULL, .maps = maps ? maps->data : NULL, .log = {cli_log, NULL}};
    pjd_shape shape = pjd_shape_chw(y->c, y->h, y->w);
    pjd_status st = check_size(mask, 1, y, err);

    *out = NULL;
    if (st == PJD_OK)
        st = check_size(maps, y->c, y, err);
    if (st == PJD_OK)
        st = pjd_mri_prepare(&shape, y->data, &o, out, err);
    if (st == PJD_OK)
        memcpy(y->data, pjd_mri_measurement(*out), y->c * y->h * y->w * sizeof *y->data);
    return st;
}

void cli_mri_say(const pjd_mri *m)
{
    const pjd_mri_info *i = pjd_mri_get_info(m);

    cli_say("%zu coil(s), %zu of %zu places of k-space measured (%.1f %%); maps %s; %.0f %% of the picture seen",
            i->coils, i->measured, i->height * i->width,
            100.0 * (double)i->measured / ((double)i->height * (double)i->width),
            i->estimated    ? "estimated"
            : i->coils == 1 ? "not needed"
                            : "given",
            100.0 * i->support);
    if (i->estimated)
        cli_say("calibration region %zux%zu", i->calibration_width, i->calibration_height);
    cli_say("white is %.4g in the units of the data; noise %.4g there, from the outermost samples", i->scale, i->sigma);
}

/* ---- results ---- */

/* Planes [2 c, h, w] as a complex array [c, h, w], or [h, w] for one; BART's order by name. */
static pjd_status write_complex(const char *path, const float *planes, size_t c, size_t h, size_t w, bool overwrite,
                                pjd_error *err)
{
    size_t n = h * w, numpy[3] = {c, h, w}, bart[4] = {h, w, 1, c};
    bool cfl = is_cfl(path);
    pjd_shape shape = cfl      ? pjd_shape_make(c > 1 ? 4 : 2, bart)
                      : c == 1 ? pjd_shape_make(2, numpy + 1)
                               : pjd_shape_make(3, numpy);
    float *pairs = malloc(2 * c * n * sizeof *pairs);
    pjd_status st;

    if (!pairs)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < n; i++) {
            float *to = pairs + 2 * (cfl ? i * c + k : k * n + i);

            to[0] = planes[2 * k * n + i];
            to[1] = planes[(2 * k + 1) * n + i];
        }
    st = pjd_complex_write(path, pairs, &shape, overwrite, err);
    free(pairs);
    return st;
}

pjd_status cli_mri_write_kspace(const char *path, const float *planes, size_t c, size_t h, size_t w, bool overwrite,
                                pjd_error *err)
{
    if (strcmp(path, "-") != 0 && !is_complex_name(path))
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: k-space is written as .npy or .cfl", path);
    return write_complex(path, planes, c, h, w, overwrite, err);
}

/* 16 bits where the kind has them. */
static pjd_write_options magnitude_options(const char *path, const cli_write *o)
{
    static const char *const deep[] = {"png", "tif", "tiff"};
    pjd_write_options w = {.quality = o->quality, .overwrite = o->overwrite, .format = o->format};
    char ext[16];

    if (strcmp(path, "-") != 0)
        cli_extension(path, ext);
    else
        snprintf(ext, sizeof ext, "%s", o->format ? o->format : "png");
    for (size_t k = 0; k < CLI_COUNTOF(deep); k++)
        if (!strcmp(ext, deep[k]))
            w.bits = 16;
    return w;
}

static bool writes_complex(const char *path, const cli_write *o)
{
    return strcmp(path, "-") ? is_complex_name(path) : o->format && !strcmp(o->format, "npy");
}

pjd_status cli_mri_check_output(const char *path, const pjd_mri *m, const cli_write *o, pjd_error *err)
{
    const pjd_mri_info *i = pjd_mri_get_info(m);
    pjd_shape shape = pjd_shape_chw(1, i->height, i->width);
    pjd_write_options w = magnitude_options(path, o);

    return writes_complex(path, o) ? PJD_OK : pjd_picture_check(path, NULL, &shape, &w, err);
}

static pjd_status write_magnitude(const char *path, const pjd_mri *m, const float *picture, const cli_write *o,
                                  pjd_error *err)
{
    const pjd_mri_info *i = pjd_mri_get_info(m);
    pjd_shape shape = pjd_shape_chw(1, i->height, i->width);
    pjd_write_options w = magnitude_options(path, o);
    size_t n = i->height * i->width;
    float *gray = malloc(n * sizeof *gray);
    pjd_status st;

    if (!gray)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    for (size_t k = 0; k < n; k++)
        gray[k] = (float)(2.0 * hypot(picture[k], picture[n + k]) / i->scale - 1.0);
    st = pjd_picture_write(path, NULL, gray, &shape, &w, err);
    free(gray);
    return st;
}

pjd_status cli_mri_write(const char *path, const pjd_mri *m, const float *x, const cli_write *o, pjd_error *err)
{
    const pjd_mri_info *i = pjd_mri_get_info(m);
    float *picture = malloc(2 * i->height * i->width * sizeof *picture);
    pjd_status st;

    if (!picture)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    pjd_mri_finish(m, x, picture);
    st = writes_complex(path, o) ? write_complex(path, picture, 1, i->height, i->width, o->overwrite, err)
                                 : write_magnitude(path, m, picture, o, err);
    free(picture);
    return st;
}

/* ---- simulation ---- */

pjd_status cli_mri_read_clean(const char *path, cli_media *out, pjd_error *err)
{
    cli_media m = {0}, planes = {.path = path, .array = true, .n = 1, .c = 2, .rank = 3};
    size_t n;
    pjd_status st;

    *out = (cli_media){0};
    if (is_complex_name(path)) {
        st = cli_mri_read(path, out, err);
        if (st == PJD_OK && out->c != 2) {
            st = pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: a clean picture is one complex plane, found %zu", path,
                               out->c / 2);
            cli_media_free(out);
        }
        return st;
    }
    st = cli_media_read(path, &m, err);
    if (st != PJD_OK)
        return st;
    n = m.h * m.w;
    planes.h = m.h;
    planes.w = m.w;
    planes.data = calloc(2 * n, sizeof *planes.data);
    for (size_t i = 0; planes.data && i < n; i++) {
        double sum = 0;

        for (size_t c = 0; c < m.c; c++)
            sum += 0.5 * (double)m.data[c * n + i] + 0.5;
        planes.data[i] = (float)(sum / (double)m.c);
    }
    cli_media_free(&m);
    if (!planes.data)
        return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    *out = planes;
    return PJD_OK;
}

void cli_mri_hide(const cli_task *t, const pjd_shape *shape, float *y)
{
    const struct cli_task_array *mask = find_array(t, "mask");
    size_t n = shape->dim[1] * shape->dim[2];

    for (size_t i = 0; mask && i < shape->dim[0] * n; i++)
        y[i] = mask->data[i % n] != 0.0f ? y[i] : 0.0f;
}
