/* SPDX-License-Identifier: MIT */
/* What a picture file holds comes back: samples, depth, grayness, alpha, orientation, profile. */
#include <fcntl.h>

#include "io/picture.h"
#include "made.h"

static const size_t sizes[][2] = {{1, 1}, {2, 3}, {17, 1}, {3, 17}, {1, 2}};

/* The bytes of a file of this many samples, never all equal. */
static void noise_bytes(unsigned char *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (unsigned char)(seed >> 24);
    }
}

static float expected(const unsigned char *bytes, size_t i, int depth)
{
    return depth == 8 ? (float)(bytes[i] / 127.5 - 1) : (float)((bytes[2 * i] << 8 | bytes[2 * i + 1]) / 32767.5 - 1);
}

/* Compare samples and alpha with the interleaved bytes of the file. */
static void check_samples(const unsigned char *bytes, int depth, size_t bands, const pjd_picture *p, const float *x,
                          const pjd_shape *s)
{
    size_t plane = s->dim[1] * s->dim[2], c = s->dim[0];

    assert_int_equal(c, bands < 3 ? 1 : 3);
    assert_int_equal(p->info.bits, depth);
    assert_int_equal(p->info.has_alpha, bands == 2 || bands == 4);
    for (size_t i = 0; i < plane; i++) {
        for (size_t k = 0; k < c; k++)
            assert_at_most(fabs(x[k * plane + i] - expected(bytes, i * bands + k, depth)), 1e-7);
        if (p->alpha)
            assert_at_most(fabs(2 * p->alpha[i] - 1 - expected(bytes, i * bands + c, depth)), 1e-6);
    }
}

static void round_trip(const char *made_name, const char *out_name, size_t w, size_t h, int depth, int colour_type)
{
    static const size_t bands_of[] = {1, 0, 3, 0, 2, 0, 4};
    size_t bands = bands_of[colour_type], row = w * bands * (size_t)depth / 8;
    unsigned char bytes[17 * 17 * 8];
    const pjd_write_options opt = {.overwrite = true};
    pjd_picture *p, *q;
    float *x, *y;
    pjd_shape s, t;
    pjd_error err;

    noise_bytes(bytes, row * h, (uint32_t)(w * 100 + h));
    make_png(in_folder(made_name), w, h, depth, colour_type, bytes, row, NULL);
    assert_ok(pjd_picture_read(in_folder(made_name), &p, &x, &s, &err), &err);
    assert_true(s.rank == 3 && s.dim[1] == h && s.dim[2] == w);
    assert_true(p->info.width == w && p->info.height == h && !p->info.has_icc);
    assert_string_equal(p->info.format, "png");
    check_samples(bytes, depth, bands, p, x, &s);
    assert_ok(pjd_picture_write(in_folder(out_name), p, x, &s, &opt, &err), &err);
    assert_ok(pjd_picture_read(in_folder(out_name), &q, &y, &t, &err), &err);
    assert_true(pjd_shape_equal(&s, &t));
    check_samples(bytes, depth, bands, q, y, &t); /* exact: the tolerance is far below one step of 16 bit */
    pjd_picture_free(p);
    pjd_picture_free(q);
    pjd_io_free(x);
    pjd_io_free(y);
}

static void lossless_formats_round_trip(void **state)
{
    static const int colour_types[] = {0, 2, 4, 6}, depths[] = {8, 16};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int d = 0; d < 2; d++)
            for (int c = 0; c < 4; c++) {
                round_trip("a.png", "b.png", sizes[i][0], sizes[i][1], depths[d], colour_types[c]);
                round_trip("a.png", "b.tif", sizes[i][0], sizes[i][1], depths[d], colour_types[c]);
                if (c < 2)
                    round_trip("a.png", "b.ppm", sizes[i][0], sizes[i][1], depths[d], colour_types[c]);
            }
    folder_count(true);
}

static void every_value_of_8_and_16_bit_survives(void **state)
{
    static float x[65536], *y;
    const pjd_shape s = pjd_shape_chw(1, 256, 256);
    pjd_shape t;
    pjd_error err;

    for (unsigned bits = 8; bits <= 16; bits += 8) {
        pjd_write_options opt = {.overwrite = true, .bits = bits};
        unsigned top = (1u << bits) - 1;

        for (unsigned i = 0; i < 65536; i++)
            x[i] = (float)((double)(i & top) / (top / 2.0) - 1);
        assert_ok(pjd_picture_write(in_folder("v.png"), NULL, x, &s, &opt, &err), &err);
        assert_ok(pjd_picture_read(in_folder("v.png"), NULL, &y, &t, &err), &err);
        assert_memory_equal(x, y, sizeof x);
        pjd_io_free(y);
    }
    folder_count(true);
}

/* Nearest, halves up, clipped, not dithered. */
static void rounds_and_clips(void **state)
{
    const float x[6] = {-7, -1.001f, (float)(100.49 / 127.5 - 1), (float)(100.51 / 127.5 - 1), 1.001f, 7},
                want[6] = {0, 0, 100, 101, 255, 255};
    const pjd_shape s = pjd_shape_chw(1, 2, 3);
    pjd_shape t;
    float *y;
    pjd_error err;

    assert_ok(pjd_picture_write(in_folder("r.png"), NULL, x, &s, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("r.png"), NULL, &y, &t, &err), &err);
    for (int i = 0; i < 6; i++)
        assert_at_most(fabs((y[i] + 1) * 127.5 - want[i]), 1e-4);
    pjd_io_free(y);
    folder_count(true);
}

static void palettes_become_colour_or_gray(void **state)
{
    const unsigned char rows[6] = {0, 1, 2, 2, 1, 0}, colours[9] = {255, 0, 0, 0, 255, 0, 0, 0, 255},
                        grays[9] = {0, 0, 0, 128, 128, 128, 255, 255, 255}, clear[2] = {255, 0};
    pjd_picture *p;
    float *x;
    pjd_shape s;
    pjd_error err;

    make_png(in_folder("c.png"), 3, 2, 8, 3, rows, 3, &(png_extra){.palette = colours, .palette_size = 9});
    assert_ok(pjd_picture_read(in_folder("c.png"), NULL, &x, &s, &err), &err);
    assert_int_equal(s.dim[0], 3);
    assert_true(x[0] == 1 && x[6] == -1 && x[12] == -1 && x[6 + 1] == 1 && x[12 + 2] == 1);
    pjd_io_free(x);
    make_png(in_folder("g.png"), 3, 2, 8, 3, rows, 3,
             &(png_extra){.palette = grays, .palette_size = 9, .transparency = clear, .transparency_size = 2});
    assert_ok(pjd_picture_read(in_folder("g.png"), &p, &x, &s, &err), &err);
    assert_int_equal(s.dim[0], 1);
    assert_true(x[0] == -1 && x[2] == 1 && x[3] == 1);
    assert_non_null(p->alpha);
    assert_true(p->alpha[0] == 1 && p->alpha[1] == 0 && p->alpha[2] == 1 && p->alpha[4] == 0);
    pjd_io_free(x);
    pjd_picture_free(p);
    folder_count(true);
}

static void one_bit_is_black_and_white(void **state)
{
    const unsigned char rows[2] = {0xa0, 0x40};
    const float want[6] = {1, -1, 1, -1, 1, -1};
    float *x;
    pjd_shape s;
    pjd_error err;

    make_png(in_folder("b.png"), 3, 2, 1, 0, rows, 1, NULL);
    assert_ok(pjd_picture_read(in_folder("b.png"), NULL, &x, &s, &err), &err);
    assert_int_equal(s.dim[0], 1);
    assert_memory_equal(x, want, sizeof want);
    pjd_io_free(x);
    folder_count(true);
}

static void a_pgm_is_scaled_by_its_maximum(void **state)
{
    static const char text[] = "P5\n# a comment 7\n3 1 # and one more\n100\n\0\x32\x64",
                      deep[] = "P5 2 1 4095\n\0\0\x0f\xff", ascii[] = "P2 3 1 10\n0 5 10\n";
    float *x;
    pjd_shape s;
    pjd_error err;

    put_file(in_folder("a.pgm"), text, sizeof text - 1);
    assert_ok(pjd_picture_read(in_folder("a.pgm"), NULL, &x, &s, &err), &err);
    assert_true(x[0] == -1 && fabsf(x[1]) < 1e-6f && x[2] == 1);
    pjd_io_free(x);
    put_file(in_folder("a.pgm"), deep, sizeof deep - 1);
    assert_ok(pjd_picture_read(in_folder("a.pgm"), NULL, &x, &s, &err), &err);
    assert_true(x[0] == -1 && x[1] == 1);
    pjd_io_free(x);
    put_file(in_folder("a.pgm"), ascii, sizeof ascii - 1);
    assert_ok(pjd_picture_read(in_folder("a.pgm"), NULL, &x, &s, &err), &err);
    assert_true(x[0] == -1 && fabsf(x[1]) < 1e-6f && x[2] == 1);
    pjd_io_free(x);
    folder_count(true);
}

static void orientation_is_applied_and_cleared(void **state)
{
    /* gray and alpha alternate; the gray of 1 2 3 / 4 5 6 upright in each of the eight orientations */
    static const unsigned char rows[12] = {1, 101, 2, 102, 3, 103, 4, 104, 5, 105, 6, 106};
    static const struct {
        size_t w, h;
        unsigned char want[6];
    } cases[9] = {{0, 0, {0}},
                  {3, 2, {1, 2, 3, 4, 5, 6}},
                  {3, 2, {3, 2, 1, 6, 5, 4}},
                  {3, 2, {6, 5, 4, 3, 2, 1}},
                  {3, 2, {4, 5, 6, 1, 2, 3}},
                  {2, 3, {1, 4, 2, 5, 3, 6}},
                  {2, 3, {4, 1, 5, 2, 6, 3}},
                  {2, 3, {6, 3, 5, 2, 4, 1}},
                  {2, 3, {3, 6, 2, 5, 1, 4}}};
    static const char *const outputs[] = {"o.png", "o.tif", "o.webp", "o.jpg"};

    for (int o = 1; o <= 8; o++) {
        made exif = make_exif(o);
        pjd_picture *p, *q;
        float *x, *y;
        pjd_shape s, t;
        pjd_error err;

        make_png(in_folder("e.png"), 3, 2, 8, 4, rows, 6, &(png_extra){.exif = exif.p, .exif_size = exif.n});
        free(exif.p);
        assert_ok(pjd_picture_read(in_folder("e.png"), &p, &x, &s, &err), &err);
        assert_true(s.dim[1] == cases[o].h && s.dim[2] == cases[o].w);
        assert_true(p->info.height == cases[o].h && p->info.width == cases[o].w);
        for (int i = 0; i < 6; i++) {
            assert_at_most(fabs((x[i] + 1) * 127.5 - cases[o].want[i]), 1e-4);
            assert_at_most(fabs(p->alpha[i] * 255 - cases[o].want[i] - 100), 1e-4);
        }
        for (int k = 0; k < 4; k++) { /* not turned a second time */
            assert_ok(pjd_picture_write(in_folder(outputs[k]), p, x, &s, &(pjd_write_options){.overwrite = true}, &err),
                      &err);
            assert_ok(pjd_picture_read(in_folder(outputs[k]), &q, &y, &t, &err), &err);
            assert_true(t.dim[1] == s.dim[1] && t.dim[2] == s.dim[2]);
            if (k < 2)
                assert_memory_equal(x, y, sizeof(float) * 6);
            pjd_picture_free(q);
            pjd_io_free(y);
        }
        pjd_picture_free(p);
        pjd_io_free(x);
    }
    folder_count(true);
}

static bool file_holds(const char *path, const void *what, size_t size)
{
    size_t n;
    unsigned char *bytes = test_file(path, &n);
    bool found = bytes && memmem(bytes, n, what, size);

    free(bytes);
    return found;
}

static void profile_and_camera_are_kept(void **state)
{
    static const char xmp[] =
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description tiff:Orientation=\"6\" n='Testnote'/>"
        "</x:xmpmeta>",
                      upright[] = "tiff:Orientation=\"1\" n='Testnote'";
    static const char *const outputs[] = {"o.png", "o.tif", "o.webp", "o.jpg"};
    const pjd_write_options opt = {.overwrite = true};
    static float gradient[3 * 16 * 8];
    pjd_shape s = pjd_shape_chw(3, 16, 8), t;
    made exif = make_exif(6);
    unsigned char icc[ICC_SIZE];
    pjd_picture *p, *q;
    float *x, *y;
    pjd_error err;

    for (int i = 0; i < 3 * 16 * 8; i++)
        gradient[i] = (float)i / 192 - 1;
    make_icc(icc, "RGB ");
    assert_ok(pjd_picture_write(in_folder("c.jpg"), NULL, gradient, &s, &opt, &err), &err);
    add_jpeg_segment(in_folder("c.jpg"), 0xe2, "ICC_PROFILE\0\1\1", 14, icc, sizeof icc);
    add_jpeg_segment(in_folder("c.jpg"), 0xe1, "http://ns.adobe.com/xap/1.0/", 29, xmp, sizeof xmp - 1);
    add_jpeg_segment(in_folder("c.jpg"), 0xe1, "Exif\0", 6, exif.p, exif.n);
    free(exif.p);
    assert_ok(pjd_picture_read(in_folder("c.jpg"), &p, &x, &s, &err), &err);
    assert_true(s.dim[1] == 8 && s.dim[2] == 16 && p->info.has_icc);
    for (int k = 0; k < 4; k++) {
        const void *got;
        size_t size;

        assert_ok(pjd_picture_write(in_folder(outputs[k]), p, x, &s, &opt, &err), &err);
        assert_ok(pjd_picture_read(in_folder(outputs[k]), &q, &y, &t, &err), &err);
        assert_true(pjd_shape_equal(&s, &t));
        assert_true(q->info.has_icc);
        assert_int_equal(vips_image_get_blob(q->meta, VIPS_META_ICC_NAME, &got, &size), 0);
        assert_int_equal(size, sizeof icc);
        assert_memory_equal(got, icc, sizeof icc);
        assert_int_equal(vips_image_get_blob(q->meta, VIPS_META_XMP_NAME, &got, &size), 0);
        assert_non_null(memmem(got, size, upright, sizeof upright - 1));
        if (k != 1) /* libvips writes no EXIF into TIFF */
            assert_true(file_holds(in_folder(outputs[k]), "Testkamera1", 11));
        pjd_picture_free(q);
        pjd_io_free(y);
    }
    /* A colour profile does not fit a gray result. */
    t = pjd_shape_chw(1, 8, 16);
    assert_ok(pjd_picture_write(in_folder("g.png"), p, x, &t, &opt, &err), &err);
    assert_ok(pjd_picture_read(in_folder("g.png"), &q, &y, &t, &err), &err);
    assert_true(t.dim[0] == 1 && !q->info.has_icc);
    pjd_picture_free(q);
    pjd_io_free(y);
    pjd_picture_free(p);
    pjd_io_free(x);
    folder_count(true);
}

static void float_tiff_keeps_its_values(void **state)
{
    const float rows[6] = {0, 0.25f, 1, 2.5f, -0.125f, 0.7f};
    const float colour[6] = {0, 0.25, 1, 2.5, -0.125, 0.5};
    pjd_picture *p;
    float *x, *y;
    pjd_shape s;
    pjd_error err;

    make_tiff(in_folder("f.tif"), 3, 2, 1, 32, TIFF_FLOAT, 1, rows);
    assert_ok(pjd_picture_read(in_folder("f.tif"), &p, &x, &s, &err), &err);
    assert_int_equal(p->info.bits, 32);
    for (int i = 0; i < 6; i++)
        assert_at_most(fabs(x[i] - (2.0 * rows[i] - 1)), 1e-6);
    assert_ok(pjd_picture_write(in_folder("o.tif"), p, x, &s, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("o.tif"), NULL, &y, &s, &err), &err);
    assert_at_most(test_max_abs(x, y, 6), 1e-6);
    pjd_io_free(y);
    /* png has no float: the best it has */
    assert_ok(pjd_picture_write(in_folder("o.png"), p, x, &s, NULL, &err), &err);
    pjd_picture_free(p);
    pjd_io_free(x);
    assert_ok(pjd_picture_read(in_folder("o.png"), &p, &x, &s, &err), &err);
    assert_int_equal(p->info.bits, 16);
    pjd_picture_free(p);
    pjd_io_free(x);
    make_tiff(in_folder("d.tif"), 2, 1, 3, 32, TIFF_FLOAT, 2, colour);
    assert_ok(pjd_picture_read(in_folder("d.tif"), NULL, &x, &s, &err), &err);
    assert_true(s.dim[0] == 3 && x[0] == -1 && x[1] == 4 && x[2] == -0.5f);
    pjd_io_free(x);
    folder_count(true);
}

static void other_colour_spaces_become_srgb(void **state)
{
    const unsigned char cmyk[8] = {0, 0, 0, 0, 0, 0, 0, 255}, lab[6] = {255, 0, 0, 137, 0, 0};
    pjd_picture *p;
    float *x;
    pjd_shape s;
    pjd_error err;

    make_tiff(in_folder("c.tif"), 2, 1, 4, 8, TIFF_UINT, 5, cmyk);
    assert_ok(pjd_picture_read(in_folder("c.tif"), &p, &x, &s, &err), &err);
    assert_int_equal(s.dim[0], 3);
    assert_false(p->info.has_alpha);
    for (int k = 0; k < 3; k++) {
        assert_true(x[2 * k] > 0.95f);      /* no ink: paper */
        assert_true(x[2 * k + 1] < -0.55f); /* full black ink alone is no deep black on a press */
    }
    pjd_picture_free(p);
    pjd_io_free(x);
    make_tiff(in_folder("l.tif"), 2, 1, 3, 8, TIFF_UINT, 8, lab);
    assert_ok(pjd_picture_read(in_folder("l.tif"), NULL, &x, &s, &err), &err);
    for (int k = 0; k < 3; k++) {
        assert_true(x[2 * k] > 0.98f);
        assert_at_most(fabs((x[2 * k + 1] + 1) * 127.5 - 128), 3); /* L* = 53.7 is the middle of sRGB */
    }
    pjd_io_free(x);
    folder_count(true);
}

static void refuses_numbers_that_are_no_picture(void **state)
{
    const int16_t rows[2] = {-5, 5};
    const float nan[2] = {0, NAN};
    float *x;
    pjd_shape s;
    pjd_error err;

    make_tiff(in_folder("i.tif"), 2, 1, 1, 16, TIFF_INT, 1, rows);
    assert_int_equal(pjd_picture_read(in_folder("i.tif"), NULL, &x, &s, &err), PJD_ERR_UNSUPPORTED);
    make_tiff(in_folder("n.tif"), 2, 1, 1, 32, TIFF_FLOAT, 1, nan);
    assert_int_equal(pjd_picture_read(in_folder("n.tif"), NULL, &x, &s, &err), PJD_ERR_FORMAT);
    assert_null(x);
    folder_count(true);
}

static void alpha_follows_the_size(void **state)
{
    unsigned char rows[16];
    static float big[3 * 8 * 8];
    pjd_picture *p, *q;
    float *x, *y;
    pjd_shape s, t, gray = pjd_shape_chw(1, 8, 8);
    pjd_error err;

    for (int i = 0; i < 8; i++) { /* gray and alpha: the left half transparent, the right opaque */
        rows[2 * i] = 77;
        rows[2 * i + 1] = i % 4 < 2 ? 0 : 255;
    }
    make_png(in_folder("a.png"), 4, 2, 8, 4, rows, 8, NULL);
    assert_ok(pjd_picture_read(in_folder("a.png"), &p, &x, &s, &err), &err);
    t = pjd_shape_chw(3, 8, 8);
    assert_ok(pjd_picture_write(in_folder("b.png"), p, big, &t, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("b.png"), &q, &y, &t, &err), &err);
    assert_true(t.dim[0] == 3 && q->info.has_alpha);
    for (int i = 0; i < 8; i++) {
        assert_true(q->alpha[8 * i] == 0 && q->alpha[8 * i + 7] == 1);
        assert_true(q->alpha[8 * i + 3] < 0.5f && q->alpha[8 * i + 4] > 0.5f);
    }
    pjd_picture_free(q);
    pjd_io_free(y);
    /* JPEG has none: as on white paper */
    assert_ok(pjd_picture_write(in_folder("b.jpg"), p, big, &gray, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("b.jpg"), &q, &y, &t, &err), &err);
    assert_false(q->info.has_alpha);
    assert_true(y[0] > 0.95f && fabsf(y[7]) < 0.05f);
    pjd_picture_free(q);
    pjd_io_free(y);
    pjd_picture_free(p);
    pjd_io_free(x);
    folder_count(true);
}

static double size_of(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (double)info.st_size : -1;
}

static void lossy_formats_are_close_and_obey_quality(void **state)
{
    static const char *const names[] = {"a.jpg", "a.jpeg", "a.webp", "a.JPG"};
    static float x[3 * 48 * 64];
    pjd_shape s = pjd_shape_chw(3, 48, 64), t;
    pjd_picture *p;
    float *y;
    pjd_error err;

    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 48 * 64; i++)
            x[k * 48 * 64 + i] = 0.8f * sinf((float)(i % 64) * 0.11f + (float)k) * cosf((float)(i / 64) * 0.13f);
    for (int i = 0; i < 4; i++) {
        double good, bad;

        assert_ok(pjd_picture_write(in_folder(names[i]), NULL, x, &s, NULL, &err), &err);
        assert_ok(pjd_picture_read(in_folder(names[i]), &p, &y, &t, &err), &err);
        assert_true(pjd_shape_equal(&s, &t));
        assert_at_most(test_relative_l2(y, x, 3 * 48 * 64), 0.06); /* three steps of 255, WebP's 4:2:0 in 16..235 */
        pjd_picture_free(p);
        pjd_io_free(y);
        good = size_of(in_folder(names[i]));
        assert_ok(pjd_picture_write(in_folder(names[i]), NULL, x, &s,
                                    &(pjd_write_options){.quality = 20, .overwrite = true}, &err),
                  &err);
        bad = size_of(in_folder(names[i]));
        assert_true(bad < good);
    }
    t = pjd_shape_chw(1, 48, 64);
    assert_ok(pjd_picture_write(in_folder("g.jpg"), NULL, x, &t, NULL, &err), &err);
    assert_ok(pjd_picture_read(in_folder("g.jpg"), NULL, &y, &t, &err), &err);
    assert_int_equal(t.dim[0], 1); /* gray stays gray */
    pjd_io_free(y);
    folder_count(true);
}

/* Colour at full resolution from quality 90: the sampling factors in the frame header are 1x1. */
static void jpeg_keeps_fine_colour_at_high_quality(void **state)
{
    static float x[3 * 16 * 16];
    const pjd_shape s = pjd_shape_chw(3, 16, 16);
    pjd_error err;

    for (int quality = 80; quality <= 90; quality += 10) {
        const unsigned char frame[] = {1, (unsigned char)(quality >= 90 ? 0x11 : 0x22)};
        size_t size;
        unsigned char *bytes, *at;

        assert_ok(pjd_picture_write(in_folder("q.jpg"), NULL, x, &s,
                                    &(pjd_write_options){.quality = quality, .overwrite = true}, &err),
                  &err);
        bytes = test_file(in_folder("q.jpg"), &size);
        at = memmem(bytes, size, "\xff\xc0", 2);
        assert_non_null(at);
        assert_memory_equal(at + 10, frame, 2);
        free(bytes);
    }
    folder_count(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossless_formats_round_trip),
        cmocka_unit_test(every_value_of_8_and_16_bit_survives),
        cmocka_unit_test(rounds_and_clips),
        cmocka_unit_test(palettes_become_colour_or_gray),
        cmocka_unit_test(one_bit_is_black_and_white),
        cmocka_unit_test(a_pgm_is_scaled_by_its_maximum),
        cmocka_unit_test(orientation_is_applied_and_cleared),
        cmocka_unit_test(profile_and_camera_are_kept),
        cmocka_unit_test(float_tiff_keeps_its_values),
        cmocka_unit_test(other_colour_spaces_become_srgb),
        cmocka_unit_test(refuses_numbers_that_are_no_picture),
        cmocka_unit_test(alpha_follows_the_size),
        cmocka_unit_test(lossy_formats_are_close_and_obey_quality),
        cmocka_unit_test(jpeg_keeps_fine_colour_at_high_quality),
    };
    int failed = cmocka_run_group_tests(tests, folder_setup, folder_teardown);

    pjd_io_shutdown();
    return failed;
}
