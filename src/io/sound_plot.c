/* SPDX-License-Identifier: MIT */
/* Waveforms and spectrograms of several sounds, one below the other, as a picture or as SVG. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <vips/vips.h>

#include "io/internal.h"

enum { MOST_SOUNDS = 65 };

static const double RANGE_DB = 80;

/* Dark to light through violet and orange: equal steps in lightness, readable in gray and without red-green vision. */
static void colour(double t, float *rgb)
{
    static const double at[6][3] = {{0.02, 0.02, 0.08}, {0.25, 0.05, 0.40}, {0.55, 0.13, 0.43},
                                    {0.85, 0.30, 0.25}, {0.98, 0.62, 0.10}, {0.99, 0.99, 0.75}};
    int k;

    t = !(t > 0) ? 0 : t > 1 ? 5 : 5 * t;
    k = t >= 5 ? 4 : (int)t;
    for (int c = 0; c < 3; c++)
        rgb[c] = (float)(2 * (at[k][c] + (t - k) * (at[k + 1][c] - at[k][c])) - 1);
}

static void draw_spectrogram(const pjd_sound_plot *p, double top, float *out)
{
    size_t w = p->columns, h = p->rows;

    for (size_t r = 0; r < h; r++)
        for (size_t c = 0; c < w; c++) {
            float rgb[3];

            colour(1 + ((double)p->db[(h - 1 - r) * w + c] - top) / RANGE_DB, rgb);
            for (size_t k = 0; k < 3; k++)
                out[(k * h + r) * w + c] = rgb[k];
        }
}

static void draw_wave(const pjd_sound_plot *p, size_t h, double peak, float *out)
{
    static const float ink[3] = {-0.75f, -0.25f, 0.3f}, paper[3] = {0.93f, 0.93f, 0.96f}, line[3] = {0.3f, 0.3f, 0.4f};
    size_t w = p->columns;
    double half = 0.5 * (double)(h - 1);

    for (size_t c = 0; c < w; c++) {
        double from = half - half * p->high[c] / peak, to = half - half * p->low[c] / peak;

        for (size_t r = 0; r < h; r++) {
            bool on = (double)r >= floor(from) && (double)r <= ceil(to) && p->high[c] > p->low[c];
            const float *rgb = on ? ink : r == h / 2 ? line : paper;

            for (size_t k = 0; k < 3; k++)
                out[(k * h + r) * w + c] = rgb[k];
        }
    }
}

/* One scale for all, so that a stem that is not there looks like it. */
static void find_scale(size_t count, const pjd_sound_plot *p, double *peak, double *top)
{
    *peak = 1e-6;
    *top = -120;
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < p[i].columns; c++) {
            *peak = fmax(*peak, fmax((double)p[i].high[c], -(double)p[i].low[c]));
        }
        for (size_t k = 0; k < p[i].rows * p[i].columns; k++)
            *top = fmax(*top, (double)p[i].db[k]);
    }
}

static void make_titles(const pjd_sound_plot *p, char wave[64], char spectrum[80])
{
    if (p->seconds < 120)
        snprintf(wave, 64, "waveform, 0 to %.3g s", p->seconds);
    else
        snprintf(wave, 64, "waveform, 0 to %.1f min", p->seconds / 60);
    snprintf(spectrum, 80, "spectrogram, %g Hz to %.4g kHz (log), %g dB", p->lowest, p->highest / 1000, RANGE_DB);
}

/* ---- SVG: vectors for the waves, a PNG inside for each spectrogram ---- */

typedef struct text {
    char *data;
    size_t size, room;
    bool failed;
} text;

PJD_PRINTF(2, 3) static void add(text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (t->failed)
        return;
    if (t->room - t->size < 4096) {
        char *more = pjd_realloc(t->data, t->size, t->room * 2 + 8192, 1);

        if (!more) {
            t->failed = true;
            return;
        }
        t->data = more;
        t->room = t->room * 2 + 8192;
    }
    va_start(ap, fmt);
    n = vsnprintf(t->data + t->size, t->room - t->size, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->room - t->size)
        t->failed = true;
    else
        t->size += (size_t)n;
}

static void add_base64(text *t, const unsigned char *p, size_t n)
{
    gchar *code = g_base64_encode(p, n);

    for (const char *q = code; *q; q += strnlen(q, 2000))
        add(t, "%.*s", (int)strnlen(q, 2000), q);
    g_free(code);
}

static bool add_image(text *t, const float *rgb, size_t w, size_t h, double x, double y)
{
    unsigned char *bytes = pjd_alloc(w * h, 3);
    VipsImage *image;
    void *png = NULL;
    size_t size = 0;
    bool good;

    if (!bytes)
        return false;
    for (size_t i = 0; i < w * h; i++)
        for (size_t k = 0; k < 3; k++)
            bytes[3 * i + k] = (unsigned char)lrint(127.5 * ((double)rgb[k * w * h + i] + 1));
    image = vips_image_new_from_memory(bytes, w * h * 3, (int)w, (int)h, 3, VIPS_FORMAT_UCHAR);
    good = image && vips_pngsave_buffer(image, &png, &size, NULL) == 0;
    if (good) {
        add(t, "<image x=\"%g\" y=\"%g\" width=\"%zu\" height=\"%zu\" href=\"data:image/png;base64,", x, y, w, h);
        add_base64(t, png, size);
        add(t, "\"/>\n");
    }
    g_free(png);
    if (image)
        g_object_unref(image);
    vips_error_clear();
    pjd_free(bytes);
    return good;
}

static void add_wave(text *t, const pjd_sound_plot *p, double x, double y, double h, double peak)
{
    add(t,
        "<rect x=\"%g\" y=\"%g\" width=\"%zu\" height=\"%g\" fill=\"#f6f6fa\"/>\n<path fill=\"#2060a6\" "
        "stroke=\"#2060a6\" stroke-width=\"0.5\" d=\"M",
        x, y, p->columns, h);
    for (size_t c = 0; c < p->columns; c++)
        add(t, "%g,%.2f ", x + (double)c, y + h / 2 * (1 - p->high[c] / peak));
    for (size_t c = p->columns; c-- > 0;)
        add(t, "%g,%.2f ", x + (double)c, y + h / 2 * (1 - p->low[c] / peak));
    add(t, "Z\"/>\n");
}

static pjd_status write_text(const char *path, const text *t, bool overwrite, pjd_error *err)
{
    pjd_output *o = NULL;
    pjd_status st = pjd_output_begin(path, overwrite, &o, NULL, err);

    if (st == PJD_OK)
        st = pjd_file_write(pjd_output_fd(o), path, t->data, t->size, err);
    if (st != PJD_OK) {
        pjd_output_abort(o);
        return st;
    }
    return pjd_output_commit(o, err);
}

static pjd_status write_svg(const char *path, size_t count, const pjd_sound_plot *p, const float *cells, double peak,
                            bool overwrite, pjd_error *err)
{
    double left = 110, gap = 16, head = 36, row = (double)p->rows, w = (double)p->columns;
    char wave[64], spectrum[80];
    text t = {0};
    pjd_status st;

    make_titles(p, wave, spectrum);
    add(&t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" font-family=\"sans-serif\" "
        "font-size=\"15\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
        left + 2 * (w + gap), head + (double)count * (row + gap));
    add(&t, "<text x=\"%g\" y=\"24\">%s</text><text x=\"%g\" y=\"24\">%s</text>\n", left, wave, left + w + gap,
        spectrum);
    for (size_t i = 0; i < count; i++) {
        double y = head + (double)i * (row + gap);
        char *name = g_markup_escape_text(p[i].title, -1);

        add(&t, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%.300s</text>\n", left - 12, y + row / 2 + 5, name);
        g_free(name);
        add_wave(&t, &p[i], left, y, row, peak);
        if (!add_image(&t, cells + i * 3 * p->rows * p->columns, p->columns, p->rows, left + w + gap, y))
            t.failed = true;
    }
    add(&t, "</svg>\n");
    st = t.failed ? pjd_io_nomem(err, path, t.room) : write_text(path, &t, overwrite, err);
    pjd_free(t.data);
    return st;
}

/* ---- pictures ---- */

static pjd_status write_sheet(const char *path, size_t count, const pjd_sound_plot *p, const float *spectra,
                              const float *waves, bool overwrite, pjd_error *err)
{
    pjd_sheet_cell cells[2 * MOST_SOUNDS] = {0};
    const char *labels[MOST_SOUNDS], *titles[2];
    pjd_write_options opt = {.overwrite = overwrite};
    size_t n = 3 * p->rows * p->columns;
    char wave[64], spectrum[80];

    make_titles(p, wave, spectrum);
    titles[0] = wave;
    titles[1] = spectrum;
    for (size_t i = 0; i < count; i++) {
        labels[i] = p[i].title;
        cells[2 * i] = (pjd_sheet_cell){.samples = waves + i * n, .shape = pjd_shape_chw(3, p->rows, p->columns)};
        cells[2 * i + 1] = (pjd_sheet_cell){.samples = spectra + i * n, .shape = pjd_shape_chw(3, p->rows, p->columns)};
    }
    return pjd_sheet_write(path, count, 2, cells, labels, titles, 0, &opt, err);
}

pjd_status pjd_sound_plot_write(const char *path, size_t count, const pjd_sound_plot *plots, bool overwrite,
                                pjd_error *err)
{
    size_t n, all;
    double peak, top;
    float *cells;
    pjd_status st = pjd_io_init(err);

    if (st != PJD_OK)
        return st;
    if (count < 1 || count > MOST_SOUNDS)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: expected 1 to %d sounds, found %zu", path, MOST_SOUNDS, count);
    for (size_t i = 0; i < count; i++)
        if (plots[i].columns < 1 || plots[i].rows < 1 || plots[i].columns != plots->columns ||
            plots[i].rows != plots->rows)
            return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: sounds of different sizes", path);
    if (!pjd_mul(plots->columns, plots->rows, &n) || !pjd_mul(n, 6 * count, &all) ||
        !(cells = pjd_alloc(all, sizeof *cells)))
        return pjd_io_nomem(err, path, plots->columns);
    find_scale(count, plots, &peak, &top);
    for (size_t i = 0; i < count; i++) {
        draw_spectrogram(&plots[i], top, cells + i * 3 * n);
        draw_wave(&plots[i], plots->rows, peak, cells + (count + i) * 3 * n);
    }
    if (!strcasecmp(pjd_extension(path), "svg"))
        st = write_svg(path, count, plots, cells, peak, overwrite, err);
    else
        st = write_sheet(path, count, plots, cells, cells + count * 3 * n, overwrite, err);
    pjd_free(cells);
    return st;
}
