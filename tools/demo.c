/* SPDX-License-Identifier: MIT */
/*
 * What ./quickstart does besides calling projdiff: prepare a photograph, draw a mask of scratches and text, paint it,
 * score, and lay out the contact sheet. Not installed. Each subcommand takes files; see usage().
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <projdiff/io.h>
#include <projdiff/metrics.h>

#include "demo.h"

enum { AREA = 512 * 384, MULTIPLE = 4 }; /* pixels of a prepared photograph at most; its sides are multiples */

static pjd_error err = {PJD_OK, "out of memory"};

bool demo_read(const char *path, demo_image *out)
{
    *out = (demo_image){0};
    return pjd_picture_read(path, &out->like, &out->data, &out->shape, &err) == PJD_OK;
}

void demo_free(demo_image *im)
{
    pjd_io_free(im->data);
    pjd_picture_free(im->like);
    *im = (demo_image){0};
}

static bool save(const char *path, const float *data, const pjd_shape *shape)
{
    pjd_write_options w = {.overwrite = true};

    return pjd_picture_write(path, NULL, data, shape, &w, &err) == PJD_OK;
}

/* ---- prepare IN OUT [X Y WIDTH HEIGHT]: cut out, shrink to the area, sides multiples of 4 ---- */

/* Copy the rectangle at x, y out of a [c,h,w] array. */
static float *cut(const demo_image *im, size_t x, size_t y, size_t width, size_t height)
{
    size_t h = im->shape.dim[1], w = im->shape.dim[2];
    float *out = malloc(im->shape.dim[0] * width * height * sizeof *out);

    for (size_t c = 0; out && c < im->shape.dim[0]; c++)
        for (size_t i = 0; i < height; i++)
            memcpy(out + (c * height + i) * width, im->data + (c * h + y + i) * w + x, width * sizeof *out);
    return out;
}

/* The rectangle at x, y shrunk to w2 x h2, in a file. */
static bool save_part(const demo_image *im, size_t x, size_t y, size_t width, size_t height, size_t w2, size_t h2,
                      const char *name)
{
    pjd_shape from = pjd_shape_chw(im->shape.dim[0], height, width), to = pjd_shape_chw(im->shape.dim[0], h2, w2);
    float *part = cut(im, x, y, width, height), *small = malloc((im->shape.dim[0] * w2 * h2 + 1) * sizeof *small);
    bool ok = part && small && pjd_resize("lanczos3", &from, part, h2, w2, small, &err) == PJD_OK &&
              save(name, small, &to);

    free(small);
    free(part);
    return ok;
}

static size_t rounded_down(double x)
{
    size_t n = (size_t)(x + 1e-6) / MULTIPLE * MULTIPLE;

    return n < MULTIPLE ? MULTIPLE : n;
}

static bool prepare(int argc, char **argv)
{
    demo_image im;
    bool ok = false;

    if (!demo_read(argv[0], &im))
        goto out;
    size_t x = 0, y = 0, w = im.shape.dim[2], h = im.shape.dim[1];
    if (argc == 6) {
        x = strtoul(argv[2], NULL, 10), y = strtoul(argv[3], NULL, 10);
        w = strtoul(argv[4], NULL, 10), h = strtoul(argv[5], NULL, 10);
    }
    if (w < 16 || h < 16 || x + w > im.shape.dim[2] || y + h > im.shape.dim[1]) {
        pjd_error_set(&err, PJD_ERR_SHAPE, "prepare: expected at least 16x16 pixels inside the picture of %zux%zu",
                      im.shape.dim[2], im.shape.dim[1]);
        goto out;
    }
    double scale = sqrt((double)AREA / ((double)w * (double)h));
    scale = scale < 1 ? scale : 1;
    size_t w2 = rounded_down((double)w * scale), h2 = rounded_down((double)h * scale);
    /* cut away what rounding the sides would stretch */
    size_t wc = (size_t)lround((double)w2 / scale), hc = (size_t)lround((double)h2 / scale);
    wc = wc < w ? wc : w, hc = hc < h ? hc : h;
    ok = save_part(&im, x + (w - wc) / 2, y + (h - hc) / 2, wc, hc, w2, h2, argv[1]);
out:
    demo_free(&im);
    return ok;
}

/* ---- square IN OUT SIDE: the square in the middle, made that large at most ---- */

static bool square(int argc, char **argv)
{
    demo_image im;
    size_t side = strtoul(argv[2], NULL, 10);
    bool ok = false;

    (void)argc;
    if (demo_read(argv[0], &im)) {
        size_t h = im.shape.dim[1], w = im.shape.dim[2], least = h < w ? h : w, to = side < least ? side : least;

        ok = save_part(&im, (w - least) / 2, (h - least) / 2, least, least, to, to, argv[1]);
    }
    demo_free(&im);
    return ok;
}

/* ---- size PICTURE: WIDTHxHEIGHT ---- */

static bool size(int argc, char **argv)
{
    demo_image im;
    bool ok = demo_read(argv[0], &im);

    (void)argc;
    if (ok)
        printf("%zux%zu\n", im.shape.dim[2], im.shape.dim[1]);
    demo_free(&im);
    return ok;
}

/* ---- mask LIKE OUT: white is missing ---- */

static bool mask(int argc, char **argv)
{
    demo_image im;
    float *m = NULL;
    bool ok = false;

    (void)argc;
    if (demo_read(argv[0], &im) && (m = malloc(im.shape.dim[1] * im.shape.dim[2] * sizeof *m))) {
        pjd_shape s = pjd_shape_chw(1, im.shape.dim[1], im.shape.dim[2]);

        demo_draw_mask(m, im.shape.dim[1], im.shape.dim[2]);
        ok = save(argv[1], m, &s);
    }
    free(m);
    demo_free(&im);
    return ok;
}

/* ---- paint IN MASK OUT: the masked pixels white, as a scratch or a stamp would leave them ---- */

static bool paint(int argc, char **argv)
{
    demo_image im, m = {0};
    bool ok = false;

    (void)argc;
    if (demo_read(argv[0], &im) && demo_read(argv[1], &m)) {
        size_t n = im.shape.dim[1] * im.shape.dim[2];

        if (n != m.shape.dim[1] * m.shape.dim[2]) {
            pjd_error_set(&err, PJD_ERR_SHAPE, "paint: the mask has another size than the picture");
        } else {
            for (size_t k = 0; k < im.shape.dim[0] * n; k++)
                if (m.data[k % n] > 0)
                    im.data[k] = 1;
            ok = save(argv[2], im.data, &im.shape);
        }
    }
    demo_free(&m);
    demo_free(&im);
    return ok;
}

/* ---- box LIKE OUT SIDE: a mask with a white square of that side in the middle ---- */

static bool box(int argc, char **argv)
{
    demo_image im;
    float *m = NULL;
    bool ok = false;

    (void)argc;
    if (demo_read(argv[0], &im) && (m = malloc(im.shape.dim[1] * im.shape.dim[2] * sizeof *m))) {
        pjd_shape s = pjd_shape_chw(1, im.shape.dim[1], im.shape.dim[2]);
        size_t h = s.dim[1], w = s.dim[2], side = strtoul(argv[2], NULL, 10), least = h < w ? h : w;

        side = side < least ? side : least;
        for (size_t i = 0; i < h * w; i++) {
            size_t y = i / w - (h - side) / 2, x = i % w - (w - side) / 2; /* beyond the size where negative */

            m[i] = y < side && x < side ? 1.0f : -1.0f;
        }
        ok = save(argv[1], m, &s);
    }
    free(m);
    demo_free(&im);
    return ok;
}

/* ---- show ARRAY OUT: a measurement as a picture, from its smallest value (or of moduli their logarithm's) to its largest;
   one line of numbers becomes a rectangle ---- */

static void to_range(float *v, size_t n, bool moduli)
{
    float low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < n; i++) {
        if (moduli)
            v[i] = logf(v[i] + 1e-3f);
        low = fminf(low, v[i]);
        high = fmaxf(high, v[i]);
    }
    for (size_t i = 0; i < n; i++)
        v[i] = high > low ? 2.0f * (v[i] - low) / (high - low) - 1.0f : 0.0f;
}

static bool show(int argc, char **argv)
{
    float *v = NULL, *picture = NULL;
    pjd_shape s, to;
    bool ok = pjd_npy_read(argv[0], &v, &s, &err) == PJD_OK, moduli = argc == 3 && !strcmp(argv[2], "moduli");

    if (ok && (s.rank != 3 || s.dim[0] * s.dim[1] * s.dim[2] == 0)) {
        pjd_error_set(&err, PJD_ERR_SHAPE, "show: expected an array of channels x height x width");
        ok = false;
    }
    if (ok) {
        size_t plane = s.dim[1] * s.dim[2], w = s.dim[1] == 1 ? (size_t)ceil(sqrt((double)plane)) : s.dim[2];

        to = pjd_shape_chw(s.dim[0], (plane + w - 1) / w, w);
        picture = calloc(to.dim[0] * to.dim[1] * w, sizeof *picture);
        ok = picture != NULL;
        for (size_t c = 0; ok && c < s.dim[0]; c++) {
            memcpy(picture + c * to.dim[1] * w, v + c * plane, plane * sizeof *v);
            to_range(picture + c * to.dim[1] * w, plane, moduli);
        }
        ok = ok && save(argv[1], picture, &to);
    }
    pjd_io_free(v);
    free(picture);
    return ok;
}

/* ---- psnr ESTIMATE REFERENCE: a smaller estimate is enlarged (bicubic) first ---- */

static bool score(const demo_image *a, const demo_image *b, double *value)
{
    float *large = malloc(b->shape.dim[0] * b->shape.dim[1] * b->shape.dim[2] * sizeof *large);
    const float *estimate = a->data;
    pjd_status st = PJD_OK;

    if (!large)
        return false;
    if (a->shape.dim[0] != b->shape.dim[0]) {
        st = pjd_error_set(&err, PJD_ERR_SHAPE, "one picture is gray and the other has colours");
    } else if (!pjd_shape_equal(&a->shape, &b->shape)) {
        st = pjd_resize("bicubic", &a->shape, a->data, b->shape.dim[1], b->shape.dim[2], large, &err);
        estimate = large;
    }
    if (st == PJD_OK)
        st = pjd_metric("psnr", &b->shape, estimate, b->data, 2, value, &err);
    free(large);
    return st == PJD_OK;
}

static bool psnr(int argc, char **argv)
{
    demo_image a, b = {0};
    double value;
    bool ok;

    (void)argc;
    ok = demo_read(argv[0], &a) && demo_read(argv[1], &b) && score(&a, &b, &value);
    if (ok)
        printf("%.2f\n", value);
    demo_free(&b);
    demo_free(&a);
    return ok;
}

/* ---- sheet|details|unscored|bare OUT [LABEL MEASURED RESTORED ORIGINAL]...: one row each ---- */

enum { ROWS = 8 };

typedef struct window {
    size_t y, x, h, w;
} window;

/* The window of 3/8 of the sides in which neighbouring pixels differ most: where there is something to see. */
static window busiest(const demo_image *im)
{
    size_t h = im->shape.dim[1], w = im->shape.dim[2];
    window best = {0, 0, h * 3 / 8 ? h * 3 / 8 : 1, w * 3 / 8 ? w * 3 / 8 : 1}, at = best;
    double most = -1;

    for (at.y = 0; at.y + at.h <= h; at.y += at.h / 6 + 1)
        for (at.x = 0; at.x + at.w <= w; at.x += at.w / 6 + 1) {
            double sum = 0;

            for (size_t i = at.y; i < at.y + at.h; i++)
                for (size_t j = at.x + 1; j < at.x + at.w; j++)
                    sum += fabs((double)im->data[i * w + j] - (double)im->data[i * w + j - 1]);
            if (sum > most) {
                most = sum;
                best = at;
            }
        }
    return best;
}

/* im enlarged to the original's size, pixels as blocks, and cut to the window. False without memory. */
static bool fit(const demo_image *im, const pjd_shape *to, const window *cutout, demo_image *out)
{
    demo_image large = {.shape = pjd_shape_chw(im->shape.dim[0], to->dim[1], to->dim[2])};
    bool ok = false;

    large.data = malloc(large.shape.dim[0] * to->dim[1] * to->dim[2] * sizeof *large.data);
    if (large.data && pjd_resize("nearest", &im->shape, im->data, to->dim[1], to->dim[2], large.data, &err) == PJD_OK) {
        out->data = cut(&large, cutout->x, cutout->y, cutout->w, cutout->h);
        out->shape = pjd_shape_chw(im->shape.dim[0], cutout->h, cutout->w);
        ok = out->data != NULL;
    }
    free(large.data);
    return ok;
}

/* One row: what was measured, restored, and the original, the window of each. */
static bool row(char **paths, bool whole, demo_image shown[3], char captions[2][40])
{
    demo_image original, im;
    bool ok = demo_read(paths[2], &original);

    if (ok) {
        window part = {0, 0, original.shape.dim[1], original.shape.dim[2]};

        if (!whole)
            part = busiest(&original);
        for (size_t k = 0; k < 2 && ok; k++) {
            double value = 0;

            ok = demo_read(paths[k], &im) && score(&im, &original, &value) &&
                 fit(&im, &original.shape, &part, &shown[k]);
            snprintf(captions[k], 40, "%.1f dB", value);
            demo_free(&im);
        }
        ok = ok && fit(&original, &original.shape, &part, &shown[2]);
    }
    demo_free(&original);
    return ok;
}

/* first: column of the first score; what was measured has one (0) where it is a picture like the others. */
static bool rows_sheet(int argc, char **argv, bool whole, size_t first)
{
    static const char *const titles[] = {"measured", "restored", "original"};
    const char *labels[ROWS];
    demo_image shown[ROWS][3] = {0};
    pjd_sheet_cell cells[3 * ROWS] = {0};
    char captions[ROWS][2][40];
    pjd_write_options w = {.overwrite = true};
    size_t rows = (size_t)(argc - 1) / 4, side = 0;
    bool ok = true;

    for (size_t r = 0; r < rows && ok; r++) {
        labels[r] = argv[1 + 4 * r];
        ok = row(argv + 2 + 4 * r, whole, shown[r], captions[r]);
        for (size_t k = 0; k < 3; k++)
            cells[3 * r + k] = (pjd_sheet_cell){shown[r][k].data, shown[r][k].shape,
                                                k < 2 && k >= first ? captions[r][k] : NULL};
        if (r == 0)
            side = shown[0][2].shape.dim[1] < shown[0][2].shape.dim[2] ? shown[0][2].shape.dim[1]
                                                                       : shown[0][2].shape.dim[2];
    }
    /* details are drawn at least twice as large */
    ok = ok &&
         pjd_sheet_write(argv[0], rows, 3, cells, labels, titles, whole ? 0 : side + side / 2, &w, &err) == PJD_OK;
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < 3; k++)
            free(shown[r][k].data);
    return ok;
}

static bool sheet(int argc, char **argv)
{
    return rows_sheet(argc, argv, true, 0);
}

static bool details(int argc, char **argv)
{
    return rows_sheet(argc, argv, false, 0);
}

static bool unscored(int argc, char **argv)
{
    return rows_sheet(argc, argv, true, 1);
}

/* Without scores: of pictures that have to be turned before they are compared. */
static bool bare(int argc, char **argv)
{
    return rows_sheet(argc, argv, true, 2);
}

/* ---- dispatch ---- */

static int usage(void)
{
    fputs("usage: demo prepare IN OUT [X Y WIDTH HEIGHT]\n"
          "       demo square IN OUT SIDE\n"
          "       demo size PICTURE\n"
          "       demo mask LIKE OUT\n"
          "       demo paint IN MASK OUT\n"
          "       demo box LIKE OUT SIDE\n"
          "       demo show ARRAY OUT [moduli]\n"
          "       demo psnr ESTIMATE REFERENCE\n"
          "       demo sheet|details|unscored|bare OUT [LABEL MEASURED RESTORED ORIGINAL]...\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        bool (*run)(int argc, char **argv);
        int least, most;
    } commands[] = {{"prepare", prepare, 2, 6},
                    {"square", square, 3, 3},
                    {"size", size, 1, 1},
                    {"mask", mask, 2, 2},
                    {"paint", paint, 3, 3},
                    {"box", box, 3, 3},
                    {"show", show, 2, 3},
                    {"psnr", psnr, 2, 2},
                    {"sheet", sheet, 5, 1 + 4 * ROWS},
                    {"details", details, 5, 1 + 4 * ROWS},
                    {"unscored", unscored, 5, 1 + 4 * ROWS},
                    {"bare", bare, 5, 1 + 4 * ROWS}};

    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) {
            if (argc - 2 < commands[i].least || argc - 2 > commands[i].most ||
                (commands[i].least == 5 && (argc - 3) % 4 != 0))
                return usage();
            bool ok = commands[i].run(argc - 2, argv + 2);

            if (!ok)
                fprintf(stderr, "demo %s: %s\n", argv[1], err.text);
            pjd_io_shutdown();
            return ok ? 0 : 1;
        }
    return usage();
}
