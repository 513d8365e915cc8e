/* SPDX-License-Identifier: MIT */
/*
 * libprojdiff-io: pictures and arrays in and out. A separate library, so that an embedder of the solver links
 * none of libvips.
 *
 * Pictures are decoded to planar float32 [c,h,w] in -1..1 (c = 1 gray, 3 sRGB-like colour), upright (EXIF orientation
 * applied), alpha split off; what is needed to write a result like its source (bit depth, ICC profile, EXIF, XMP, alpha,
 * grayness) is kept in the pjd_picture. 8 bit: v / 127.5 - 1, 16 bit: v / 32767.5 - 1, floating point: 2 v - 1 (0..1 is
 * black to white; values beyond are kept both ways). Gray and RGB stay in their own colour space and keep its profile;
 * CMYK and Lab become sRGB; a palette becomes RGB, or gray when all its colours are. Of a file with pages, the first. Thread rule: one picture per thread; pjd_io_init once per process.
 */
#ifndef PROJDIFF_IO_H
#define PROJDIFF_IO_H

#include <stdbool.h>

#include "projdiff/status.h"
#include "projdiff/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start libvips. Called by the functions below when needed; calling it first from main() is good style. */
PJD_API pjd_status pjd_io_init(pjd_error *err);
PJD_API void pjd_io_shutdown(void);

/* ---- pictures ---- */

typedef struct pjd_picture pjd_picture; /* what was read besides the samples */

/* Larger pictures are refused before anything is allocated (16384x16384; 12000x9000 is well inside): a file of a few
   kilobytes can claim any size. */
#define PJD_PICTURE_MAX_PIXELS ((size_t)1 << 28)

typedef struct pjd_picture_info {
    size_t channels; /* colour channels in the samples: 1 or 3 */
    size_t width, height;
    unsigned bits; /* of the source: 8, 16 or 32 (float) */
    bool has_alpha;
    bool has_icc;
    const char *format; /* "png", "jpeg", ... as read */
} pjd_picture_info;

/* Read a picture file ("-": stdin). *samples [c,h,w] in -1..1 is allocated; free it with pjd_io_free. *out (may be NULL
   if only the samples are wanted) keeps the rest. PJD_ERR_IO when missing, PJD_ERR_FORMAT when broken, truncated or no
   picture, PJD_ERR_UNSUPPORTED for more than PJD_PICTURE_MAX_PIXELS or samples of another kind (signed, complex). */
PJD_API pjd_status pjd_picture_read(const char *path, pjd_picture **out, float **samples, pjd_shape *shape,
                                    pjd_error *err);
PJD_API void pjd_picture_get_info(const pjd_picture *p, pjd_picture_info *info);
PJD_API void pjd_picture_free(pjd_picture *p);

typedef struct pjd_write_options {
    int quality;        /* 1..100 for lossy formats; 0: the format's good default (JPEG 92) */
    bool overwrite;     /* replace an existing file; otherwise PJD_ERR_EXISTS */
    const char *format; /* extension to use when path is "-" or has none ("png"); NULL: from the path */
    unsigned bits;      /* 0: like the source (8 without one); 8 or 16, 32 for float TIFF */
} pjd_write_options;

/* Write samples [c,h,w] (-1..1, clipped, rounded to nearest; not clipped in a floating-point TIFF) as a picture; the format
   follows the extension: png jpg jpeg tif tiff webp ppm pgm pnm bmp gif jp2 jxl heic avif. "-" is standard output (png
   unless opt->format says otherwise). like (may be NULL) gives bit depth (the best the format has), ICC profile, EXIF, XMP
   and alpha, the alpha resized when the sizes differ, and laid on white in formats without. opt may be NULL. The file
   appears whole or not at all (written beside, then renamed). PJD_ERR_ARG for an unknown extension or a depth the format
   lacks, PJD_ERR_SHAPE for more pixels than it holds, PJD_ERR_EXISTS, PJD_ERR_IO (disk full), PJD_ERR_NONFINITE. */
PJD_API pjd_status pjd_picture_write(const char *path, const pjd_picture *like, const float *samples,
                                     const pjd_shape *shape, const pjd_write_options *opt, pjd_error *err);

/* Resize a [c,h,w] array: "nearest", "bilinear", "bicubic" (a = -0.5), "lanczos3", on half-pixel centres; when shrinking
   the kernel is stretched by the factor (no aliasing). The numbers are Pillow's. out is [c,h2,w2], the caller's. */
PJD_API pjd_status pjd_resize(const char *kernel, const pjd_shape *shape, const float *in, size_t h2, size_t w2,
                              float *out, pjd_error *err);

/* ---- contact sheets ---- */

/* One picture of a sheet: samples [1 or 3, h, w] in -1..1, or NULL for an empty place. */
typedef struct pjd_sheet_cell {
    const float *samples;
    pjd_shape shape;
    const char *caption; /* one line below the picture ("24.3 dB"), or NULL */
} pjd_sheet_cell;

/*
 * Write rows x columns pictures (cells in row order) on white as one labelled picture: titles above the columns, labels
 * left of the rows, captions below the pictures. Sizes may differ: a column is as wide as its widest picture. titles
 * [columns] and labels [rows] may be NULL, and so may their entries. A picture whose sides are below min_side is enlarged
 * by a whole factor (nearest) so that small ones can be seen; 0: never. Texts are UTF-8; where libvips has no text
 * renderer the sheet is written without them. Path, opt and errors: pjd_picture_write.
 */
PJD_API pjd_status pjd_sheet_write(const char *path, size_t rows, size_t columns, const pjd_sheet_cell *cells,
                                   const char *const *labels, const char *const *titles, size_t min_side,
                                   const pjd_write_options *opt, pjd_error *err);

/* ---- arrays (.npy; float16/32/64 and integers in, float32 out) ---- */

/* "-": standard input or output. *data is allocated in C order; free it with pjd_io_free. Rank 0 to 8, C or Fortran order,
   any byte order. Objects, texts, complex numbers: PJD_ERR_FORMAT. Written as '<f4', C order, whole or not at all. */
PJD_API pjd_status pjd_npy_read(const char *path, float **data, pjd_shape *shape, pjd_error *err);
PJD_API pjd_status pjd_npy_write(const char *path, const float *data, const pjd_shape *shape, bool overwrite,
                                 pjd_error *err);

PJD_API void pjd_io_free(void *data);

/* ---- files ---- */

/*
 * Output that appears whole or not at all: pjd_output_begin gives a temporary path in the folder of `path` (same
 * extension, so that writers choose the right format), pjd_output_commit renames it over `path`, pjd_output_abort
 * removes it. pjd_output_abort_all is async-signal-safe and removes every unfinished one: for interrupt handlers.
 */
typedef struct pjd_output pjd_output;
PJD_API pjd_status pjd_output_begin(const char *path, bool overwrite, pjd_output **out, const char **temporary,
                                    pjd_error *err);
PJD_API pjd_status pjd_output_commit(pjd_output *o, pjd_error *err); /* frees o */
PJD_API void pjd_output_abort(pjd_output *o);                        /* frees o; NULL is fine */
PJD_API void pjd_output_abort_all(void);

#ifdef __cplusplus
}
#endif
#endif
