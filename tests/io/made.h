/* SPDX-License-Identifier: MIT */
/* Small PNG, TIFF and JPEG files made by hand, so that the reader is not only compared with our own writer. */
#ifndef TESTS_IO_MADE_H
#define TESTS_IO_MADE_H

#include "folder.h"

typedef struct made {
    unsigned char *p;
    size_t n, room;
} made;

static inline void add(made *m, const void *bytes, size_t n)
{
    if (m->n + n > m->room) {
        m->room = 2 * (m->n + n) + 256;
        m->p = realloc(m->p, m->room);
        assert_non_null(m->p);
    }
    if (n)
        memcpy(m->p + m->n, bytes, n);
    m->n += n;
}

/* v in `size` bytes, the most significant first (PNG, JPEG) or last (TIFF). */
static inline void add_big(made *m, uint64_t v, int size)
{
    for (int i = size - 1; i >= 0; i--)
        add(m, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static inline void add_little(made *m, uint64_t v, int size)
{
    for (int i = 0; i < size; i++)
        add(m, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static inline void save_made(made *m, const char *path)
{
    put_file(path, m->p, m->n);
    free(m->p);
    *m = (made){0};
}

/* ---- PNG ---- */

static inline uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t c = 0xffffffffu;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static inline void add_chunk(made *m, const char *type, const void *data, size_t n)
{
    size_t at;

    add_big(m, n, 4);
    at = m->n;
    add(m, type, 4);
    add(m, data, n);
    add_big(m, crc32_of(m->p + at, m->n - at), 4);
}

/* A zlib stream of one stored block: n < 65536. */
static inline made stored(const unsigned char *data, size_t n)
{
    made z = {0};
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < n; i++) {
        a = (a + data[i]) % 65521;
        b = (b + a) % 65521;
    }
    add_big(&z, 0x7801, 2);
    add_little(&z, 1, 1);
    add_little(&z, n, 2);
    add_little(&z, ~n & 0xffff, 2);
    add(&z, data, n);
    add_big(&z, (uint64_t)b << 16 | a, 4);
    return z;
}

typedef struct png_extra {
    const void *palette; /* PLTE */
    size_t palette_size;
    const void *transparency; /* tRNS */
    size_t transparency_size;
    const void *exif; /* eXIf */
    size_t exif_size;
} png_extra;

/* Rows of packed big-endian samples; row_bytes each. */
static inline void make_png(const char *path, size_t w, size_t h, int depth, int colour_type, const unsigned char *rows,
                            size_t row_bytes, const png_extra *x)
{
    made m = {0}, header = {0}, raw = {0}, z;

    add(&m, "\x89PNG\r\n\x1a\n", 8);
    add_big(&header, w, 4);
    add_big(&header, h, 4);
    add_big(&header, (uint64_t)depth, 1);
    add_big(&header, (uint64_t)colour_type, 1);
    add_big(&header, 0, 3);
    add_chunk(&m, "IHDR", header.p, header.n);
    if (x && x->exif)
        add_chunk(&m, "eXIf", x->exif, x->exif_size);
    if (x && x->palette)
        add_chunk(&m, "PLTE", x->palette, x->palette_size);
    if (x && x->transparency)
        add_chunk(&m, "tRNS", x->transparency, x->transparency_size);
    for (size_t y = 0; y < h; y++) {
        add(&raw, "", 1); /* filter 0 */
        add(&raw, rows + y * row_bytes, row_bytes);
    }
    z = stored(raw.p, raw.n);
    add_chunk(&m, "IDAT", z.p, z.n);
    add_chunk(&m, "IEND", "", 0);
    save_made(&m, path);
    free(header.p);
    free(raw.p);
    free(z.p);
}

/* ---- EXIF ---- */

/* A TIFF block with Make (a text of 11 letters) and Orientation. */
static inline made make_exif(int orientation)
{
    made m = {0};

    add(&m, "II*\0", 4);
    add_little(&m, 8, 4);
    add_little(&m, 2, 2);
    add_little(&m, 0x10f, 2);
    add_little(&m, 2, 2);
    add_little(&m, 12, 4);
    add_little(&m, 8 + 2 + 2 * 12 + 4, 4);
    add_little(&m, 0x112, 2);
    add_little(&m, 3, 2);
    add_little(&m, 1, 4);
    add_little(&m, (uint64_t)orientation, 4);
    add_little(&m, 0, 4);
    add(&m, "Testkamera1", 12);
    return m;
}

enum { ICC_SIZE = 200 };

/* A profile that libpng finds credible: the header, one tag (a copyright) and D50 as illuminant. */
static inline void make_icc(unsigned char icc[ICC_SIZE], const char *space)
{
    memset(icc, 0, ICC_SIZE);
    icc[3] = ICC_SIZE;
    icc[8] = 2;
    memcpy(icc + 12, "mntr", 4);
    memcpy(icc + 16, space, 4);
    memcpy(icc + 20, "XYZ ", 4);
    memcpy(icc + 36, "acsp", 4);
    memcpy(icc + 68, "\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d", 12);
    memcpy(icc + 128, "\0\0\0\1cprt\0\0\0\x90\0\0\0\x38", 16);
    memcpy(icc + 144, "text\0\0\0\0no copyright: a profile made for a test", 47);
}

/* Put a segment behind the first marker of a JPEG file. */
static inline void add_jpeg_segment(const char *path, int marker, const char *head, size_t head_size, const void *data,
                                    size_t n)
{
    size_t size;
    unsigned char *bytes = test_file(path, &size);
    made m = {0};

    assert_non_null(bytes);
    add(&m, bytes, 2);
    add_big(&m, 0xff00u | (unsigned)marker, 2);
    add_big(&m, 2 + head_size + n, 2);
    add(&m, head, head_size);
    add(&m, data, n);
    add(&m, bytes + 2, size - 2);
    free(bytes);
    save_made(&m, path);
}

/* ---- TIFF ---- */

enum { TIFF_UINT = 1, TIFF_INT = 2, TIFF_FLOAT = 3 };

/* One uncompressed strip of interleaved little-endian samples. */
static inline void make_tiff(const char *path, size_t w, size_t h, size_t bands, int bits, int kind, int photometric,
                             const void *pixels)
{
    size_t size = w * h * bands * (size_t)bits / 8;
    const struct {
        unsigned tag, type;
        uint64_t count, value;
    } tags[] = {
        {256, 4, 1, w},
        {257, 4, 1, h},
        {258, 3, bands,
         bands == 1   ? (uint64_t)bits
         : bands == 2 ? (uint64_t)bits | (uint64_t)bits << 16
                      : 8},
        {259, 3, 1, 1},
        {262, 3, 1, (uint64_t)photometric},
        {273, 4, 1, 24},
        {277, 3, 1, bands},
        {278, 4, 1, h},
        {279, 4, 1, size},
        {339, 3, bands,
         bands == 1   ? (uint64_t)kind
         : bands == 2 ? (uint64_t)kind | (uint64_t)kind << 16
                      : 16},
    };
    made m = {0};

    add(&m, "II*\0", 4);
    add_little(&m, 24 + size, 4);
    for (int i = 0; i < 4; i++) /* bits of up to four samples, at 8 */
        add_little(&m, (uint64_t)bits, 2);
    for (int i = 0; i < 4; i++) /* and their formats, at 16 */
        add_little(&m, (uint64_t)kind, 2);
    add(&m, pixels, size);
    add_little(&m, sizeof tags / sizeof tags[0], 2);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        add_little(&m, tags[i].tag, 2);
        add_little(&m, tags[i].type, 2);
        add_little(&m, tags[i].count, 4);
        add_little(&m, tags[i].value, 4);
    }
    add_little(&m, 0, 4);
    save_made(&m, path);
}

#endif
