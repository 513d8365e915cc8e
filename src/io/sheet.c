/* SPDX-License-Identifier: MIT */
/* Labelled contact sheets: pictures in a grid on white, for people who compare. */
#include <string.h>
#include <vips/vips.h>

#include "io/internal.h"

/* A rendered text: 0 nothing .. 255 ink; NULL pixels when there is none. */
typedef struct text {
    unsigned char *ink;
    size_t w, h;
} text;

typedef struct sheet {
    size_t rows, columns, font, gap, min_side;
    const pjd_sheet_cell *cells;
    text *labels, *titles, *captions;
    size_t *column_width, *row_height; /* of the pictures (and captions), without gaps */
    size_t label_width, title_height, caption_height;
    size_t width, height;
    float *canvas; /* [3, height, width] */
} sheet;

enum { MOST_CELLS = 1000, MOST_SIDE = 1000000 };

/* ---- texts ---- */

static void silent(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user)
{
}

/* Text size in pixels; words wrap at `wrap` pixels (0: never). A text that cannot be rendered is left out. */
static void render(const char *utf8, size_t font, size_t wrap, text *out)
{
    char name[32], *escaped;
    guint handler;
    VipsImage *image = NULL;
    size_t size;
    void *pixels;
    int rc;

    if (!utf8 || !*utf8 || !g_utf8_validate(utf8, -1, NULL) || !vips_type_find("VipsOperation", "text"))
        return;
    escaped = g_markup_escape_text(utf8, -1);
    snprintf(name, sizeof name, "sans %zu", font);
    /* Pango complains on stderr when a machine has no fonts. */
    handler = g_log_set_handler("Pango", G_LOG_LEVEL_MASK, silent, NULL);
    if (wrap)
        rc = vips_text(&image, escaped, "font", name, "dpi", 72, "width", (int)wrap, NULL);
    else
        rc = vips_text(&image, escaped, "font", name, "dpi", 72, NULL);
    g_log_remove_handler("Pango", handler);
    g_free(escaped);
    if (rc == 0 && image->Bands == 1 && image->BandFmt == VIPS_FORMAT_UCHAR &&
        (pixels = vips_image_write_to_memory(image, &size))) {
        out->ink = pjd_alloc(size, 1);
        if (out->ink) {
            memcpy(out->ink, pixels, size);
            out->w = (size_t)image->Xsize;
            out->h = (size_t)image->Ysize;
        }
        g_free(pixels);
    }
    if (image)
        g_object_unref(image);
    vips_error_clear();
}

static size_t widest(const text *t, size_t n)
{
    size_t w = 0;

    for (size_t i = 0; i < n; i++)
        w = t[i].w > w ? t[i].w : w;
    return w;
}

static size_t tallest(const text *t, size_t n)
{
    size_t h = 0;

    for (size_t i = 0; i < n; i++)
        h = t[i].h > h ? t[i].h : h;
    return h;
}

static void render_all(sheet *s, const char *const *labels, const char *const *titles)
{
    for (size_t i = 0; labels && i < s->rows; i++)
        render(labels[i], s->font, 9 * s->font, &s->labels[i]);
    for (size_t j = 0; titles && j < s->columns; j++)
        render(titles[j], s->font, 0, &s->titles[j]);
    for (size_t k = 0; k < s->rows * s->columns; k++)
        render(s->cells[k].caption, s->font, 0, &s->captions[k]);
}

/* ---- layout ---- */

static size_t enlargement(const sheet *s, const pjd_sheet_cell *c)
{
    size_t side = c->shape.dim[1] > c->shape.dim[2] ? c->shape.dim[1] : c->shape.dim[2];

    return s->min_side > side ? (s->min_side + side - 1) / side : 1;
}

static pjd_status check_cells(const char *path, const sheet *s, size_t *largest, pjd_error *err)
{
    char buf[128];

    *largest = 0;
    if (s->rows == 0 || s->columns == 0 || s->rows > MOST_CELLS || s->columns > MOST_CELLS)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected 1 to %d rows and columns, found %zu and %zu", path,
                             MOST_CELLS, s->rows, s->columns);
    for (size_t k = 0; k < s->rows * s->columns; k++) {
        const pjd_shape *shape = &s->cells[k].shape;

        if (!s->cells[k].samples)
            continue;
        if (shape->rank != 3 || (shape->dim[0] != 1 && shape->dim[0] != 3) || shape->dim[1] == 0 ||
            shape->dim[2] == 0 || shape->dim[1] > MOST_SIDE || shape->dim[2] > MOST_SIDE)
            return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected cells of [1 or 3, height, width], found %s",
                                 path, pjd_shape_text(shape, buf, sizeof buf));
        if (shape->dim[2] * enlargement(s, &s->cells[k]) > *largest)
            *largest = shape->dim[2] * enlargement(s, &s->cells[k]);
    }
    return PJD_OK;
}

static void lay_out(sheet *s)
{
    s->label_width = widest(s->labels, s->rows);
    s->title_height = tallest(s->titles, s->columns);
    s->caption_height = tallest(s->captions, s->rows * s->columns);
    s->width = s->gap + (s->label_width ? s->label_width + s->gap : 0);
    s->height = s->gap + (s->title_height ? s->title_height + s->gap : 0);
    for (size_t k = 0; k < s->rows * s->columns; k++) {
        size_t i = k / s->columns, j = k % s->columns, f = s->cells[k].samples ? enlargement(s, &s->cells[k]) : 0;
        size_t w = f * s->cells[k].shape.dim[2], h = f * s->cells[k].shape.dim[1];

        w = s->captions[k].w > w ? s->captions[k].w : w;
        s->column_width[j] = w > s->column_width[j] ? w : s->column_width[j];
        s->row_height[i] = h > s->row_height[i] ? h : s->row_height[i];
    }
    for (size_t j = 0; j < s->columns; j++) {
        if (s->titles[j].w > s->column_width[j])
            s->column_width[j] = s->titles[j].w;
        s->width += s->column_width[j] + s->gap;
    }
    for (size_t i = 0; i < s->rows; i++) {
        if (s->labels[i].h > s->row_height[i])
            s->row_height[i] = s->labels[i].h;
        s->height += s->row_height[i] + s->gap + (s->caption_height ? s->caption_height + s->gap / 2 : 0);
    }
}

/* ---- drawing ---- */

static void draw_text(sheet *s, const text *t, size_t x, size_t y)
{
    for (size_t r = 0; r < t->h; r++)
        for (size_t i = 0; i < t->w; i++)
            for (size_t c = 0; c < 3; c++)
                s->canvas[(c * s->height + y + r) * s->width + x + i] = 1 - 2 * (float)t->ink[r * t->w + i] / 255;
}

static void draw_cell(sheet *s, const pjd_sheet_cell *cell, size_t x, size_t y)
{
    size_t f = enlargement(s, cell), h = cell->shape.dim[1], w = cell->shape.dim[2];

    for (size_t c = 0; c < 3; c++) {
        const float *from = cell->samples + (cell->shape.dim[0] == 3 ? c * h * w : 0);

        for (size_t r = 0; r < h * f; r++)
            for (size_t i = 0; i < w * f; i++)
                s->canvas[(c * s->height + y + r) * s->width + x + i] = from[r / f * w + i / f];
    }
}

static void draw(sheet *s)
{
    size_t left = s->gap + (s->label_width ? s->label_width + s->gap : 0), x = left, y = s->gap;

    for (size_t j = 0; j < s->columns; j++) {
        draw_text(s, &s->titles[j], x + (s->column_width[j] - s->titles[j].w) / 2, y);
        x += s->column_width[j] + s->gap;
    }
    y += s->title_height ? s->title_height + s->gap : 0;
    for (size_t i = 0; i < s->rows; i++) {
        x = left;
        draw_text(s, &s->labels[i], s->gap, y + (s->row_height[i] - s->labels[i].h) / 2);
        for (size_t j = 0; j < s->columns; j++) {
            const pjd_sheet_cell *cell = &s->cells[i * s->columns + j];
            const text *caption = &s->captions[i * s->columns + j];

            if (cell->samples) {
                size_t f = enlargement(s, cell);

                draw_cell(s, cell, x + (s->column_width[j] - cell->shape.dim[2] * f) / 2,
                          y + (s->row_height[i] - cell->shape.dim[1] * f) / 2);
            }
            draw_text(s, caption, x + (s->column_width[j] - caption->w) / 2, y + s->row_height[i] + s->gap / 2);
            x += s->column_width[j] + s->gap;
        }
        y += s->row_height[i] + s->gap + (s->caption_height ? s->caption_height + s->gap / 2 : 0);
    }
}

static void sheet_clear(sheet *s)
{
    for (size_t i = 0; s->labels && i < s->rows; i++)
        pjd_free(s->labels[i].ink);
    for (size_t j = 0; s->titles && j < s->columns; j++)
        pjd_free(s->titles[j].ink);
    for (size_t k = 0; s->captions && k < s->rows * s->columns; k++)
        pjd_free(s->captions[k].ink);
    pjd_free(s->labels);
    pjd_free(s->titles);
    pjd_free(s->captions);
    pjd_free(s->column_width);
    pjd_free(s->row_height);
    pjd_free(s->canvas);
}

static pjd_status make_canvas(const char *path, sheet *s, pjd_error *err)
{
    pjd_shape shape = pjd_shape_chw(3, s->height, s->width);
    size_t n;

    if (!pjd_shape_count(&shape, &n) || !(s->canvas = pjd_alloc(n, sizeof *s->canvas)))
        return pjd_io_nomem(err, path, s->width);
    for (size_t i = 0; i < n; i++)
        s->canvas[i] = 1;
    return PJD_OK;
}

pjd_status pjd_sheet_write(const char *path, size_t rows, size_t columns, const pjd_sheet_cell *cells,
                           const char *const *labels, const char *const *titles, size_t min_side,
                           const pjd_write_options *opt, pjd_error *err)
{
    sheet s = {.rows = rows, .columns = columns, .cells = cells, .min_side = min_side < 4096 ? min_side : 4096};
    size_t largest;
    pjd_shape shape;
    pjd_status st = check_cells(path, &s, &largest, err);

    if (st == PJD_OK)
        st = pjd_io_init(err);
    if (st != PJD_OK)
        return st;
    s.font = largest / 18 < 13 ? 13 : largest / 18 > 28 ? 28 : largest / 18;
    s.gap = s.font;
    s.labels = pjd_alloc_zero(rows, sizeof *s.labels);
    s.titles = pjd_alloc_zero(columns, sizeof *s.titles);
    s.captions = pjd_alloc_zero(rows * columns, sizeof *s.captions);
    s.column_width = pjd_alloc_zero(columns, sizeof *s.column_width);
    s.row_height = pjd_alloc_zero(rows, sizeof *s.row_height);
    if (!s.labels || !s.titles || !s.captions || !s.column_width || !s.row_height) {
        st = pjd_io_nomem(err, path, rows * columns * sizeof *s.captions);
    } else {
        render_all(&s, labels, titles);
        lay_out(&s);
        st = make_canvas(path, &s, err);
    }
    if (st == PJD_OK) {
        draw(&s);
        shape = pjd_shape_chw(3, s.height, s.width);
        st = pjd_picture_write(path, NULL, s.canvas, &shape, opt, err);
    }
    sheet_clear(&s);
    return st;
}
