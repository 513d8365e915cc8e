/* SPDX-License-Identifier: MIT */
/*
 * libprojdiff-io: pictures, sound and arrays in and out. A separate library, so that an embedder of the solver links
 * none of libvips, libsndfile and libsoxr.
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

/* Before work whose result will be written: what pjd_picture_write with these arguments would refuse whatever the samples are and
   whatever is on the disk (the extension, a kind this machine's libvips cannot write, a depth, channels, sizes). */
PJD_API pjd_status pjd_picture_check(const char *path, const pjd_picture *like, const pjd_shape *shape,
                                     const pjd_write_options *opt, pjd_error *err);

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

/* ---- complex arrays (.npy: complex64/128, or real numbers; BART's .cfl with the .hdr beside it) ---- */

/*
 * *data is pairs of real and imaginary part in C order of *shape; free it with pjd_io_free. "-" is a .npy. Of a .cfl the
 * shape is BART's dimensions as they are listed (the first one is the slowest here, as in BART's own Python reader)
 * without ones at the end; PJD_ERR_UNSUPPORTED for more than 8. Refused (PJD_ERR_FORMAT): a header without dimensions,
 * with a zero or more than 16, and data of another size. Written as '<c8', or as a .cfl and a .hdr.
 */
PJD_API pjd_status pjd_complex_read(const char *path, float **data, pjd_shape *shape, pjd_error *err);
PJD_API pjd_status pjd_complex_write(const char *path, const float *data, const pjd_shape *shape, bool overwrite,
                                     pjd_error *err);

/* ---- sound (libsndfile: WAV, FLAC, OGG, MP3, AIFF, AU, W64 in; WAV and FLAC out) ---- */

#define PJD_SOUND_MIN_RATE 1000
#define PJD_SOUND_MAX_RATE 768000
#define PJD_SOUND_MAX_CHANNELS 32

typedef enum pjd_sound_format {
    PJD_SOUND_PCM16 = 0, /* n / 32768, and so on: reading and writing again keeps every sample */
    PJD_SOUND_PCM24,
    PJD_SOUND_PCM32,
    PJD_SOUND_FLOAT /* 32 bit; may exceed full scale, 1 */
} pjd_sound_format;

typedef struct pjd_sound_info {
    size_t frames;           /* samples of a channel; in a writer only a hint (0: unknown) for files beyond 4 GiB */
    size_t channels;         /* interleaved */
    unsigned rate;           /* Hz */
    pjd_sound_format format; /* of the source: 16 bit for 8, float for double, 24 bit for OGG and MP3 */
    const char *container;   /* "wav", "flac", ... as read; not used by a writer */
} pjd_sound_info;

/* A sound read from its start, a block at a time, in constant memory. "-": standard input, kept in an unnamed file.
   PJD_ERR_IO when missing, PJD_ERR_FORMAT when broken, truncated or no sound, PJD_ERR_UNSUPPORTED for other kinds. */
typedef struct pjd_sound pjd_sound;
PJD_API pjd_status pjd_sound_open(const char *path, pjd_sound **out, pjd_error *err);
PJD_API void pjd_sound_get_info(const pjd_sound *s, pjd_sound_info *info);
/* Up to count frames, interleaved; *got is 0 at the end. A file that ends before info.frames or holds values that are
   not finite is PJD_ERR_FORMAT. */
PJD_API pjd_status pjd_sound_read(pjd_sound *s, float *frames, size_t count, size_t *got, pjd_error *err);
PJD_API pjd_status pjd_sound_rewind(pjd_sound *s, pjd_error *err);
PJD_API void pjd_sound_close(pjd_sound *s); /* NULL is fine */

/* A sound written a block at a time, .wav or .flac by its name; it appears at commit, whole. Integers are rounded to
   nearest without dither; what does not fit is clipped and counted. */
typedef struct pjd_sound_writer pjd_sound_writer;
PJD_API pjd_status pjd_sound_create(const char *path, const pjd_sound_info *info, bool overwrite,
                                    pjd_sound_writer **out, pjd_error *err);
PJD_API pjd_status pjd_sound_write(pjd_sound_writer *w, const float *frames, size_t count, pjd_error *err);
PJD_API size_t pjd_sound_clipped(const pjd_sound_writer *w);              /* samples so far that did not fit */
PJD_API pjd_status pjd_sound_commit(pjd_sound_writer *w, pjd_error *err); /* frees w */
PJD_API void pjd_sound_abort(pjd_sound_writer *w);                        /* frees w; NULL is fine */

/* Sample rates (libsoxr, 20 bit), interleaved, a block at a time, delay compensated. in NULL: the end of the input, call
   until *made is 0. *used of count frames were taken, *made of at most room were put out. */
typedef struct pjd_rate pjd_rate;
PJD_API pjd_status pjd_rate_create(unsigned from, unsigned to, size_t channels, pjd_rate **out, pjd_error *err);
PJD_API pjd_status pjd_rate_run(pjd_rate *r, const float *in, size_t count, size_t *used, float *out, size_t room,
                                size_t *made, pjd_error *err);
PJD_API void pjd_rate_free(pjd_rate *r); /* NULL is fine */

/* One sound of a plot, as pjd_view_get (stems.h) gives it. */
typedef struct pjd_sound_plot {
    const char *title;               /* UTF-8 */
    const float *low, *high;         /* [columns] */
    const float *db;                 /* [rows, columns], the lowest frequency first */
    size_t columns, rows;            /* the same for all sounds of a plot */
    double seconds, lowest, highest; /* Hz */
} pjd_sound_plot;
/* Waveforms and spectrograms, one sound below the other, on one scale of loudness: .svg, or a picture as pjd_picture_write
   knows it. */
PJD_API pjd_status pjd_sound_plot_write(const char *path, size_t count, const pjd_sound_plot *plots, bool overwrite,
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
