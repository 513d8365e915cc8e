/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "io/picture.h"

/* ---- formats ---- */

enum { DEPTH_8 = 1, DEPTH_16 = 2, DEPTH_32 = 4 };

typedef struct picture_format {
    const char *name;
    const char *extensions; /* separated by spaces, lower case */
    const char *operation;  /* of libvips; not every build has all */
    unsigned depths;
    bool alpha;
    int quality;     /* default of a lossy format; 0: lossless */
    size_t max_side; /* 0: no limit worth naming */
    int (*save)(VipsImage *image, VipsTarget *target, int quality);
} picture_format;

static int save_png(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_pngsave_target(image, target, "compression", 6, "filter", VIPS_FOREIGN_PNG_FILTER_ALL, NULL);
}

static int save_jpeg(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_jpegsave_target(image, target, "Q", quality, "optimize_coding", TRUE, "subsample_mode",
                                quality >= 90 ? VIPS_FOREIGN_SUBSAMPLE_OFF : VIPS_FOREIGN_SUBSAMPLE_ON, NULL);
}

static int save_tiff(VipsImage *image, VipsTarget *target, int quality)
{
    bool real = image->BandFmt == VIPS_FORMAT_FLOAT;
    bool big = (double)VIPS_IMAGE_SIZEOF_IMAGE(image) > 2e9;

    return vips_tiffsave_target(image, target, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE, "predictor",
                                real ? VIPS_FOREIGN_TIFF_PREDICTOR_FLOAT : VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL,
                                "bigtiff", big ? TRUE : FALSE, NULL);
}

static int save_webp(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_webpsave_target(image, target, "Q", quality, "smart_subsample", TRUE, NULL);
}

static int save_ppm(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_ppmsave_target(image, target, "format",
                               image->Bands == 1 ? VIPS_FOREIGN_PPM_FORMAT_PGM : VIPS_FOREIGN_PPM_FORMAT_PPM, NULL);
}

static int save_gif(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_gifsave_target(image, target, "dither", 0.0, NULL);
}

static int save_jp2k(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_jp2ksave_target(image, target, "Q", quality, "subsample_mode", VIPS_FOREIGN_SUBSAMPLE_OFF, NULL);
}

static int save_jxl(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_jxlsave_target(image, target, "Q", quality, NULL);
}

static int save_heic(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_heifsave_target(image, target, "Q", quality, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_HEVC, NULL);
}

static int save_avif(VipsImage *image, VipsTarget *target, int quality)
{
    return vips_heifsave_target(image, target, "Q", quality, "compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1, NULL);
}

static int save_bmp(VipsImage *image, VipsTarget *target, int quality)
{
    void *bytes = NULL;
    size_t size = 0;
    int rc = vips_magicksave_buffer(image, &bytes, &size, "format", "bmp", NULL);

    if (rc == 0)
        rc = vips_target_write(target, bytes, size);
    if (rc == 0)
        rc = vips_target_end(target);
    g_free(bytes);
    return rc;
}

static const picture_format formats[] = {
    {"PNG", "png", "pngsave_target", DEPTH_8 | DEPTH_16, true, 0, 0, save_png},
    {"JPEG", "jpg jpeg jpe jfif", "jpegsave_target", DEPTH_8, false, 92, 65500, save_jpeg},
    {"TIFF", "tif tiff", "tiffsave_target", DEPTH_8 | DEPTH_16 | DEPTH_32, true, 0, 0, save_tiff},
    {"WebP", "webp", "webpsave_target", DEPTH_8, true, 92, 16383, save_webp},
    {"PNM", "ppm pgm pnm", "ppmsave_target", DEPTH_8 | DEPTH_16, false, 0, 0, save_ppm},
    {"BMP", "bmp", "magicksave_bmp_buffer", DEPTH_8, false, 0, 65535, save_bmp},
    {"GIF", "gif", "gifsave_target", DEPTH_8, true, 0, 65535, save_gif},
    {"JPEG 2000", "jp2", "jp2ksave_target", DEPTH_8 | DEPTH_16, true, 92, 0, save_jp2k},
    {"JPEG XL", "jxl", "jxlsave_target", DEPTH_8 | DEPTH_16, true, 92, 0, save_jxl},
    {"HEIC", "heic", "heifsave_target", DEPTH_8, true, 92, 16384, save_heic},
    {"AVIF", "avif", "avifsave_target", DEPTH_8, true, 92, 16384, save_avif},
};

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; *p;) {
        size_t len = strcspn(p, " ");

        if (len == n && !strncasecmp(p, word, n))
            return true;
        p += len;
        p += strspn(p, " ");
    }
    return false;
}

/* The extension decides; opt->format where there is none ("-" without one: png). */
static pjd_status choose_format(const char *path, const pjd_write_options *opt, size_t channels,
                                const picture_format **out, pjd_error *err)
{
    const char *ext = pjd_is_std(path) ? "" : pjd_extension(path);
    char known[160] = "";

    if (!*ext && opt->format)
        ext = opt->format + (opt->format[0] == '.');
    if (!*ext && pjd_is_std(path))
        ext = "png";
    for (size_t i = 0; i < PJD_COUNTOF(formats); i++) {
        size_t used = strlen(known);

        snprintf(known + used, sizeof known - used, "%s%s", i ? " " : "", formats[i].extensions);
        if (!*ext || !in_list(formats[i].extensions, ext))
            continue;
        if (!vips_type_find("VipsOperation", formats[i].operation))
            return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%.200s: the libvips of this machine cannot write %s", path,
                                 formats[i].name);
        if (!strcasecmp(ext, "pgm") && channels != 1)
            return pjd_error_set(err, PJD_ERR_ARG, "%.200s: a .pgm file holds gray, found %zu channels", path,
                                 channels);
        *out = &formats[i];
        return PJD_OK;
    }
    return pjd_error_set(err, PJD_ERR_ARG, "%.150s: %s \"%.20s\"; known: %s", path,
                         *ext ? "unknown picture extension" : "expected a picture extension, found", ext, known);
}

static pjd_status choose_bits(const char *path, const picture_format *f, const pjd_picture *like,
                              const pjd_write_options *opt, unsigned *bits, pjd_error *err)
{
    unsigned wanted = opt->bits ? opt->bits : like ? like->info.bits : 8;
    unsigned flag = wanted == 8 ? DEPTH_8 : wanted == 16 ? DEPTH_16 : wanted == 32 ? DEPTH_32 : 0;

    if (!flag)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: expected 8, 16 or 32 bits, found %u", path, wanted);
    if (opt->bits && !(f->depths & flag))
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: %s does not hold %u bits", path, f->name, wanted);
    while (!(f->depths & flag)) { /* asked for by the source only: the best the format has */
        flag >>= 1;
        wanted >>= 1;
    }
    *bits = wanted;
    return PJD_OK;
}

/* ---- pixels ---- */

/* An interleaved picture, ready for a saver. */
typedef struct packed {
    void *pixels;
    size_t width, height, bands, bytes;
    unsigned bits;
} packed;

static size_t packed_size(unsigned bits)
{
    return bits / 8;
}

/* unit is 0..1 for black..white. Rounded to the nearest, halves up; no dithering. */
static void put(packed *p, size_t at, double unit)
{
    if (p->bits == 32) {
        ((float *)p->pixels)[at] = (float)unit;
    } else {
        double white = p->bits == 8 ? 255 : 65535, v = floor(unit * white + 0.5);

        v = v < 0 ? 0 : v > white ? white : v;
        if (p->bits == 8)
            ((uint8_t *)p->pixels)[at] = (uint8_t)v;
        else
            ((uint16_t *)p->pixels)[at] = (uint16_t)v;
    }
}

static pjd_status alpha_for(const pjd_picture *like, size_t h, size_t w, float **out, pjd_error *err)
{
    pjd_shape shape = pjd_shape_chw(1, like->info.height, like->info.width);
    size_t n;
    float *a;
    pjd_status st;

    *out = NULL;
    if (!pjd_mul(h, w, &n) || !(a = pjd_alloc(n, sizeof *a)))
        return pjd_io_nomem(err, "alpha", sizeof *a);
    /* Bilinear: does not overshoot where opaque meets transparent. */
    st = pjd_resize("bilinear", &shape, like->alpha, h, w, a, err);
    if (st != PJD_OK)
        pjd_free(a);
    else
        *out = a;
    return st;
}

static pjd_status pack(const char *path, const float *samples, const pjd_shape *shape, const float *alpha, bool flatten,
                       packed *p, pjd_error *err)
{
    size_t c = shape->dim[0], plane = shape->dim[1] * shape->dim[2], count;

    p->height = shape->dim[1];
    p->width = shape->dim[2];
    p->bands = c + (alpha && !flatten);
    if (!pjd_mul(plane, p->bands, &count) || !pjd_mul(count, packed_size(p->bits), &p->bytes) ||
        !(p->pixels = pjd_alloc(count, packed_size(p->bits))))
        return pjd_io_nomem(err, path, plane);
    for (size_t i = 0; i < plane; i++) {
        for (size_t k = 0; k < c; k++) {
            double unit = ((double)samples[k * plane + i] + 1) * 0.5;

            if (!isfinite(unit))
                return pjd_error_set(err, PJD_ERR_NONFINITE, "%.200s: sample %zu of channel %zu is not a finite number",
                                     path, i, k);
            if (flatten) { /* what a viewer shows on white paper */
                double a = alpha[i];

                a = a < 0 ? 0 : a > 1 ? 1 : a;
                unit = unit * a + 1 - a;
            }
            put(p, i * p->bands + k, unit);
        }
        if (p->bands > c)
            put(p, i * p->bands + c, alpha[i]);
    }
    return PJD_OK;
}

static VipsImage *make_image(packed *p, const pjd_picture *like)
{
    VipsBandFormat format = p->bits == 8 ? VIPS_FORMAT_UCHAR : p->bits == 16 ? VIPS_FORMAT_USHORT : VIPS_FORMAT_FLOAT;
    bool deep = p->bits == 16, gray = p->bands < 3;
    VipsInterpretation space = gray   ? (deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W)
                               : deep ? VIPS_INTERPRETATION_RGB16
                                      : VIPS_INTERPRETATION_sRGB;
    VipsImage *memory = vips_image_new_from_memory(p->pixels, p->bytes, (int)p->width, (int)p->height, (int)p->bands,
                                                   format);
    VipsImage *image = NULL;
    const void *profile;
    size_t size;

    if (!memory)
        return NULL;
    if (vips_copy(memory, &image, "interpretation", space, NULL) != 0)
        image = NULL;
    g_object_unref(memory);
    if (image && like) {
        pjd_picture_copy_meta(like->meta, image);
        /* Gray profiles belong to gray pictures: a palette or colorized one has changed sides. */
        if (vips_image_get_typeof(image, VIPS_META_ICC_NAME) &&
            vips_image_get_blob(image, VIPS_META_ICC_NAME, &profile, &size) == 0 &&
            pjd_icc_channels(profile, size) != (gray ? 1u : 3u))
            vips_image_remove(image, VIPS_META_ICC_NAME);
    }
    return image;
}

/* ---- files ---- */

static pjd_status save_failed(const char *path, pjd_error *err)
{
    char why[200];

    return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %s", path, pjd_vips_why(why, sizeof why));
}

static pjd_status save_stdout(VipsImage *image, const picture_format *f, int quality, pjd_error *err)
{
    VipsTarget *target = vips_target_new_to_memory(); /* TIFF goes back to its beginning: not possible in a pipe */
    pjd_status st;
    VipsBlob *blob = NULL;

    if (!target || f->save(image, target, quality) != 0) {
        st = save_failed("standard output", err);
    } else {
        size_t size;
        const void *bytes;

        g_object_get(target, "blob", &blob, NULL);
        bytes = vips_blob_get(blob, &size);
        st = pjd_file_write(STDOUT_FILENO, "standard output", bytes, size, err);
        vips_area_unref(VIPS_AREA(blob));
    }
    if (target)
        g_object_unref(target);
    return st;
}

static pjd_status save_file(VipsImage *image, const picture_format *f, int quality, const char *path, bool overwrite,
                            pjd_error *err)
{
    pjd_output *o = NULL;
    VipsTarget *target;
    pjd_status st = pjd_output_begin(path, overwrite, &o, NULL, err);

    if (st != PJD_OK)
        return st;
    target = vips_target_new_to_descriptor(pjd_output_fd(o));
    if (!target || f->save(image, target, quality) != 0)
        st = save_failed(path, err);
    if (target)
        g_object_unref(target);
    if (st == PJD_OK)
        return pjd_output_commit(o, err);
    pjd_output_abort(o);
    return st;
}

static pjd_status check_write(const char *path, const picture_format *f, const pjd_shape *shape,
                              const pjd_write_options *opt, pjd_error *err)
{
    size_t most = f->max_side ? f->max_side : VIPS_MAX_COORD;
    char text[128];

    if (shape->dim[1] == 0 || shape->dim[2] == 0 || shape->dim[1] > most || shape->dim[2] > most)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: %s holds 1 to %zu pixels a side, found %s", path, f->name,
                             most, pjd_shape_text(shape, text, sizeof text));
    if (opt->quality < 0 || opt->quality > 100)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: expected a quality from 1 to 100, found %d", path,
                             opt->quality);
    return PJD_OK;
}

/* All that can be refused without the samples. */
static pjd_status plan_write(const char *path, const pjd_picture *like, const pjd_shape *shape,
                             const pjd_write_options *opt, const picture_format **f, unsigned *bits, pjd_error *err)
{
    char text[128];
    pjd_status st;

    if (shape->rank != 3 || (shape->dim[0] != 1 && shape->dim[0] != 3))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: expected [1 or 3, height, width], found %s", path,
                             pjd_shape_text(shape, text, sizeof text));
    st = pjd_io_init(err);
    if (st == PJD_OK)
        st = choose_format(path, opt, shape->dim[0], f, err);
    if (st == PJD_OK)
        st = check_write(path, *f, shape, opt, err);
    return st == PJD_OK ? choose_bits(path, *f, like, opt, bits, err) : st;
}

static const pjd_write_options default_options;

pjd_status pjd_picture_check(const char *path, const pjd_picture *like, const pjd_shape *shape,
                             const pjd_write_options *opt, pjd_error *err)
{
    const picture_format *f;
    unsigned bits;

    return plan_write(path, like, shape, opt ? opt : &default_options, &f, &bits, err);
}

pjd_status pjd_picture_write(const char *path, const pjd_picture *like, const float *samples, const pjd_shape *shape,
                             const pjd_write_options *opt, pjd_error *err)
{
    const picture_format *f = NULL;
    packed p = {0};
    float *alpha = NULL;
    VipsImage *image = NULL;
    pjd_status st;

    if (!opt)
        opt = &default_options;
    st = plan_write(path, like, shape, opt, &f, &p.bits, err);
    if (st == PJD_OK && like && like->alpha)
        st = alpha_for(like, shape->dim[1], shape->dim[2], &alpha, err);
    if (st == PJD_OK)
        st = pack(path, samples, shape, alpha, alpha && !f->alpha, &p, err);
    if (st == PJD_OK && !(image = make_image(&p, like)))
        st = save_failed(path, err);
    if (st == PJD_OK) {
        int quality = opt->quality ? opt->quality : f->quality;

        st = pjd_is_std(path) ? save_stdout(image, f, quality, err)
                              : save_file(image, f, quality, path, opt->overwrite, err);
    }
    if (image)
        g_object_unref(image);
    pjd_free(p.pixels);
    pjd_free(alpha);
    return st;
}
