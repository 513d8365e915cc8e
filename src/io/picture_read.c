/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/picture.h"

/* A file while it is decoded. */
typedef struct source {
    const char *name;     /* for messages */
    unsigned char *bytes; /* when it came through a pipe; must outlive image */
    VipsImage *image;
    double white; /* of a .ppm or .pgm, which states it and which libvips does not scale by; 0: by the type */
} source;

static void source_close(source *s)
{
    if (s->image)
        g_object_unref(s->image);
    pjd_free(s->bytes);
    *s = (source){0};
}

static pjd_status not_a_picture(const char *name, pjd_error *err)
{
    vips_error_clear();
    return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: not a picture, or of a kind that cannot be read", name);
}

static pjd_status broken(const char *name, pjd_error *err)
{
    char why[200];

    return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: broken or truncated picture (%s)", name,
                         pjd_vips_why(why, sizeof why));
}

/*
 * libvips also reads tables of text, documents and whatever ImageMagick knows, text files included. A restoration
 * program takes pictures: these loaders, and through ImageMagick only files that begin like one of a few old formats.
 */
static bool loader_is_welcome(const char *loader, const unsigned char *head, size_t size, const char *path)
{
    static const char *const known[] = {"Jpeg", "Png", "Tiff", "Webp",    "Gif",  "Nsgif", "Heif", "Jp2k",
                                        "Jxl",  "Ppm", "Rad",  "Openexr", "Fits", "Mat",   "Svg",  "Vips"};
    static const struct {
        const char *bytes;
        size_t size;
    } magick[] = {{"BM", 2}, {"8BPS", 4}, {"gimp xcf", 8}, {"DDS ", 4}, {"\0\0\1\0", 4}, {"\12\5\1", 3}};
    const char *prefix = "VipsForeignLoad";

    if (!strncmp(loader, prefix, strlen(prefix)))
        loader += strlen(prefix);
    if (!strncmp(loader, "Matrix", 6))
        return false;
    for (size_t i = 0; i < PJD_COUNTOF(known); i++)
        if (strncasecmp(loader, known[i], strlen(known[i])) == 0)
            return true;
    if (strncasecmp(loader, "Magick", 6) != 0)
        return false;
    for (size_t i = 0; i < PJD_COUNTOF(magick); i++)
        if (size >= magick[i].size && !memcmp(head, magick[i].bytes, magick[i].size))
            return true;
    return !strcasecmp(pjd_extension(path), "tga");
}

/* ERROR includes TRUNCATED: half a picture is not a measurement. */
#define LOAD_OPTIONS "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_ERROR, NULL

/* The largest value of a PNM file: the third number after the magic, between white space and comments. 0: none. */
static double pnm_white(const unsigned char *head, size_t size)
{
    size_t at = 2;
    double v = 0;

    if (size < 2 || head[0] != 'P' || !strchr("2356", head[1]))
        return 0;
    for (int number = 0; number < 3; number++) {
        while (at < size && (head[at] == '#' || head[at] <= ' ')) {
            if (head[at] == '#')
                while (at < size && head[at] != '\n')
                    at++;
            else
                at++;
        }
        for (v = 0; at < size && head[at] >= '0' && head[at] <= '9' && v < 1e6; at++)
            v = v * 10 + (head[at] - '0');
    }
    return at < size && v >= 1 && v <= 65535 ? v : 0;
}

static pjd_status open_bytes(source *s, const char *path, pjd_error *err)
{
    VipsSource *stream;
    const char *loader;
    size_t size;
    pjd_status st = pjd_file_read(path, &s->bytes, &size, err);

    if (st != PJD_OK)
        return st;
    if (size == 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: empty file", s->name);
    s->white = pnm_white(s->bytes, size);
    /* Most loaders take a stream; a few old ones only a block of memory. */
    stream = vips_source_new_from_memory(s->bytes, size);
    loader = stream ? vips_foreign_find_load_source(stream) : NULL;
    if (loader && loader_is_welcome(loader, s->bytes, size, path)) {
        s->image = vips_image_new_from_source(stream, "", LOAD_OPTIONS);
    } else {
        loader = vips_foreign_find_load_buffer(s->bytes, size);
        if (loader && loader_is_welcome(loader, s->bytes, size, path))
            s->image = vips_image_new_from_buffer(s->bytes, size, "", LOAD_OPTIONS);
        else
            loader = NULL;
    }
    if (stream)
        g_object_unref(stream);
    if (!loader)
        return not_a_picture(s->name, err);
    return s->image ? PJD_OK : broken(s->name, err);
}

static pjd_status open_file(source *s, const char *path, pjd_error *err)
{
    unsigned char head[1024];
    VipsSource *stream;
    const char *loader;
    struct stat info;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        close(fd);
        return open_bytes(s, path, err); /* a pipe can be read only once */
    }
    n = read(fd, head, sizeof head);
    if (n < 0) {
        int why = errno;

        close(fd);
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be read: %s", path, strerror(why));
    }
    close(fd);
    if (n == 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: empty file", path);
    s->white = pnm_white(head, (size_t)n);
    if (path[strlen(path) - 1] == ']') { /* libvips would take "a[x]" for a name with options */
        stream = vips_source_new_from_file(path);
        if (!stream)
            return broken(path, err);
        loader = vips_foreign_find_load_source(stream);
        if (loader && loader_is_welcome(loader, head, (size_t)n, path))
            s->image = vips_image_new_from_source(stream, "", LOAD_OPTIONS);
        else
            loader = NULL;
        g_object_unref(stream);
    } else {
        loader = vips_foreign_find_load(path);
        if (loader && loader_is_welcome(loader, head, (size_t)n, path))
            s->image = vips_image_new_from_file(path, LOAD_OPTIONS);
        else
            loader = NULL;
    }
    if (!loader)
        return not_a_picture(path, err);
    return s->image ? PJD_OK : broken(path, err);
}

/* ---- colour ---- */

/* Replace s->image, dropping the old one. */
static pjd_status replace(source *s, VipsImage *next, int rc, pjd_error *err)
{
    if (rc != 0)
        return broken(s->name, err);
    g_object_unref(s->image);
    s->image = next;
    return PJD_OK;
}

/* Gray and RGB stay in their own space, whatever profile goes with them; everything else becomes sRGB. */
static pjd_status to_gray_or_rgb(source *s, pjd_error *err)
{
    VipsImage *next = NULL;
    bool deep;
    int rc;

    if (s->image->Coding == VIPS_CODING_RAD) {
        rc = vips_rad2float(s->image, &next, NULL);
        return replace(s, next, rc, err);
    }
    deep = s->image->BandFmt != VIPS_FORMAT_UCHAR;
    switch (s->image->Type) {
    case VIPS_INTERPRETATION_CMYK:
        rc = vips_icc_transform(s->image, &next, "srgb", "embedded", TRUE, "input_profile", "cmyk", "depth",
                                deep ? 16 : 8, NULL);
        return replace(s, next, rc, err);
    case VIPS_INTERPRETATION_LAB:
    case VIPS_INTERPRETATION_LABQ:
    case VIPS_INTERPRETATION_LABS:
    case VIPS_INTERPRETATION_XYZ:
    case VIPS_INTERPRETATION_LCH:
    case VIPS_INTERPRETATION_CMC:
    case VIPS_INTERPRETATION_YXY:
    case VIPS_INTERPRETATION_HSV:
        if (s->image->Coding == VIPS_CODING_LABQ) { /* libvips' direct way to sRGB goes through a coarse table */
            rc = vips_LabQ2Lab(s->image, &next, NULL);
            if (replace(s, next, rc, err) != PJD_OK)
                return PJD_ERR_FORMAT;
            next = NULL;
            deep = false;
        }
        rc = vips_colourspace(s->image, &next, deep ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB, NULL);
        if (rc == 0)
            vips_image_remove(next, VIPS_META_ICC_NAME); /* it described the old space */
        return replace(s, next, rc, err);
    default:
        return PJD_OK;
    }
}

/* The value that is white, and the depth a result should have; 0 for kinds of numbers that are no picture. */
static double white_of(VipsImage *image, unsigned *bits)
{
    *bits = 8;
    switch (image->BandFmt) {
    case VIPS_FORMAT_UCHAR:
        return 255;
    case VIPS_FORMAT_USHORT:
        *bits = 16;
        return 65535;
    case VIPS_FORMAT_UINT:
        *bits = 16;
        return 4294967295.0;
    case VIPS_FORMAT_FLOAT:
    case VIPS_FORMAT_DOUBLE:
        *bits = 32;
        return 1;
    default:
        return 0;
    }
}

/* ---- pixels ---- */

/* Where a pixel of the file goes: base + x * sx + y * sy in a plane of the upright picture. */
typedef struct placement {
    size_t width, height; /* upright */
    size_t base;
    ptrdiff_t sx, sy;
    bool turned; /* the file's rows are columns */
} placement;

/* EXIF 2.3, table 6 (Orientation). */
static placement place(int orientation, size_t w, size_t h)
{
    bool turned = orientation >= 5;
    bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    placement p = {.width = turned ? h : w, .height = turned ? w : h, .turned = turned};

    p.sx = turned ? (ptrdiff_t)p.width : 1;
    p.sy = turned ? 1 : (ptrdiff_t)p.width;
    p.base = (flip_x ? (w - 1) * (size_t)p.sx : 0) + (flip_y ? (h - 1) * (size_t)p.sy : 0);
    if (flip_x)
        p.sx = -p.sx;
    if (flip_y)
        p.sy = -p.sy;
    return p;
}

/* One row of one band: value * scale + offset. */
static void scatter(const void *row, VipsBandFormat format, size_t width, size_t bands, size_t band, double scale,
                    double offset, float *out, ptrdiff_t step)
{
#define SCATTER(type)                                                                                                  \
    for (size_t x = 0; x < width; x++, out += step)                                                                    \
        *out = (float)((double)((const type *)row)[x * bands + band] * scale + offset);                                \
    break
    switch (format) {
    case VIPS_FORMAT_UCHAR:
        SCATTER(uint8_t);
    case VIPS_FORMAT_USHORT:
        SCATTER(uint16_t);
    case VIPS_FORMAT_UINT:
        SCATTER(uint32_t);
    case VIPS_FORMAT_FLOAT:
        SCATTER(float);
    default:
        SCATTER(double);
    }
#undef SCATTER
}

typedef struct decoded {
    float *samples, *alpha;
    size_t channels;
    placement where;
} decoded;

/* Decode top to bottom in strips, so that the encoded file never stands in memory beside the samples. */
static pjd_status decode(source *s, double white, decoded *d, pjd_error *err)
{
    enum { STRIP = 64 };
    VipsImage *image = s->image;
    size_t bands = (size_t)image->Bands, plane = d->where.width * d->where.height;
    VipsRegion *region = vips_region_new(image);
    pjd_status st = PJD_OK;

    if (!region)
        return broken(s->name, err);
    for (int top = 0; top < image->Ysize && st == PJD_OK; top += STRIP) {
        VipsRect r = {0, top, image->Xsize, VIPS_MIN(STRIP, image->Ysize - top)};

        if (vips_region_prepare(region, &r) != 0) {
            st = broken(s->name, err);
            break;
        }
        for (int y = top; y < top + r.height; y++)
            for (size_t k = 0; k < bands; k++) {
                bool is_alpha = k == d->channels;
                float *to = is_alpha ? d->alpha : d->samples + k * plane;

                scatter(VIPS_REGION_ADDR(region, 0, y), image->BandFmt, (size_t)image->Xsize, bands, k,
                        (is_alpha ? 1 : 2) / white, is_alpha ? 0 : -1, to + d->where.base + (ptrdiff_t)y * d->where.sy,
                        d->where.sx);
            }
    }
    g_object_unref(region);
    return st;
}

static pjd_status check_finite(const char *name, const float *x, size_t n, pjd_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: a pixel is not a finite number", name);
    return PJD_OK;
}

/* A palette picture whose colours are all gray is a gray picture. */
static void merge_gray(VipsImage *image, decoded *d)
{
    size_t bytes = d->where.width * d->where.height * sizeof *d->samples, n = bytes / sizeof *d->samples;

    if (d->channels == 3 && vips_image_get_typeof(image, "palette-bit-depth") &&
        !memcmp(d->samples, d->samples + n, bytes) && !memcmp(d->samples, d->samples + 2 * n, bytes))
        d->channels = 1;
}

static pjd_status check_layout(source *s, decoded *d, double *white, unsigned *bits, pjd_error *err)
{
    VipsImage *image = s->image;
    size_t bands = (size_t)image->Bands, w = (size_t)image->Xsize, h = (size_t)image->Ysize, plane;
    int orientation = vips_image_get_orientation(image); /* 1 when there is none */

    if (!pjd_mul(w, h, &plane) || plane > PJD_PICTURE_MAX_PIXELS)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%.200s: %zux%zu pixels are more than the limit of %zu", s->name,
                             w, h, (size_t)PJD_PICTURE_MAX_PIXELS);
    *white = white_of(image, bits);
    if (s->white > 0 && *bits <= 16)
        *white = s->white;
    if (bands < 1 || bands > 4 || !(*white > 0) || image->Coding != VIPS_CODING_NONE)
        return pjd_error_set(
            err, PJD_ERR_UNSUPPORTED,
            "%.200s: expected gray or RGB, with or without alpha, in unsigned or floating-point samples; "
            "found %zu bands of type %s",
            s->name, bands, vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt));
    d->channels = bands < 3 ? 1 : 3;
    d->where = place(orientation, w, h);
    d->samples = pjd_alloc(d->channels * plane, sizeof *d->samples);
    if (bands != d->channels)
        d->alpha = pjd_alloc(plane, sizeof *d->alpha);
    if (!d->samples || (bands != d->channels && !d->alpha))
        return pjd_io_nomem(err, s->name, bands * plane * sizeof(float));
    return PJD_OK;
}

/* ---- the rest ---- */

static void name_format(VipsImage *image, char *buf, size_t size)
{
    const char *loader = "";
    size_t n;

    if (vips_image_get_typeof(image, VIPS_META_LOADER))
        vips_image_get_string(image, VIPS_META_LOADER, &loader); /* "pngload", "jpegload_source" */
    n = strlen(loader);
    for (const char *p = loader; *p; p++)
        if (!strncmp(p, "load", 4)) {
            n = (size_t)(p - loader);
            break;
        }
    n = n < size - 1 ? n : size - 1;
    memcpy(buf, loader, n);
    buf[n] = '\0';
}

static pjd_status keep(source *s, decoded *d, unsigned bits, pjd_picture **out, pjd_error *err)
{
    pjd_picture *p = pjd_alloc_zero(1, sizeof *p);

    if (!p || vips_black(&p->meta, 1, 1, NULL) != 0) {
        vips_error_clear();
        pjd_free(p);
        return pjd_io_nomem(err, s->name, sizeof *p);
    }
    pjd_picture_copy_meta(s->image, p->meta);
    if (d->where.turned) {
        double x = p->meta->Xres;

        p->meta->Xres = p->meta->Yres;
        p->meta->Yres = x;
    }
    name_format(s->image, p->format, sizeof p->format);
    p->alpha = d->alpha;
    d->alpha = NULL;
    p->info = (pjd_picture_info){.channels = d->channels,
                                 .width = d->where.width,
                                 .height = d->where.height,
                                 .bits = bits,
                                 .has_alpha = p->alpha != NULL,
                                 .has_icc = vips_image_get_typeof(p->meta, VIPS_META_ICC_NAME) != 0,
                                 .format = p->format};
    *out = p;
    return PJD_OK;
}

pjd_status pjd_picture_read(const char *path, pjd_picture **out, float **samples, pjd_shape *shape, pjd_error *err)
{
    source s = {.name = pjd_is_std(path) ? "standard input" : path};
    decoded d = {0};
    unsigned bits = 8;
    double white = 0;
    pjd_status st;

    if (out)
        *out = NULL;
    *samples = NULL;
    *shape = (pjd_shape){0};
    st = pjd_io_init(err);
    if (st == PJD_OK)
        st = pjd_is_std(path) ? open_bytes(&s, path, err) : open_file(&s, path, err);
    if (st == PJD_OK)
        st = to_gray_or_rgb(&s, err);
    if (st == PJD_OK)
        st = check_layout(&s, &d, &white, &bits, err);
    if (st == PJD_OK)
        st = decode(&s, white, &d, err);
    if (st == PJD_OK && bits == 32)
        st = check_finite(s.name, d.samples, d.channels * d.where.width * d.where.height, err);
    if (st == PJD_OK && bits == 32 && d.alpha)
        st = check_finite(s.name, d.alpha, d.where.width * d.where.height, err);
    if (st == PJD_OK) {
        merge_gray(s.image, &d);
        if (out)
            st = keep(&s, &d, bits, out, err);
    }
    if (st == PJD_OK) {
        *samples = d.samples;
        *shape = pjd_shape_chw(d.channels, d.where.height, d.where.width);
        d.samples = NULL;
    }
    pjd_free(d.samples);
    pjd_free(d.alpha);
    source_close(&s);
    return st;
}
