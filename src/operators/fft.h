/* SPDX-License-Identifier: MIT */
/*
 * Fourier and cosine transforms of any size, sixteen lines at a time. Nothing is allocated after a plan is made, a plan may
 * be shared by threads, and the bytes of a result depend neither on the number of threads nor on the processor.
 */
#ifndef PJD_OP_FFT_H
#define PJD_OP_FFT_H

#include "core/core.h"

enum { PJD_FFT_LANES = 16, PJD_FFT_ELEMENT = 2 * PJD_FFT_LANES };

/*
 * ---- one dimension: z[n][2][LANES], real and imaginary parts of element i of every line, so that what is done to a
 * spectrum is a vector loop ----
 */

typedef struct pjd_fft pjd_fft;

pjd_status pjd_fft_create(size_t n, pjd_fft **out, pjd_error *err);
void pjd_fft_free(pjd_fft *f);         /* NULL is fine */
size_t pjd_fft_work(const pjd_fft *f); /* floats */
/* X_k = sum_j x_j exp(-+ 2 pi i j k / n), not scaled. */
void pjd_fft_forward(const pjd_fft *f, float *z, float *work);
void pjd_fft_backward(const pjd_fft *f, float *z, float *work);
/* The same without a copy at the end: where the result is, z or the start of work. What was in the other is lost. */
float *pjd_fft_run(const pjd_fft *f, bool backward, float *z, float *work);
/* The same to another place; what was in from is lost. */
void pjd_fft_move(const pjd_fft *f, bool backward, float *from, float *to, float *work);

/* One line of n complex numbers, from another place than it goes to; n must be a pjd_fft_good_size(). Sixteen lines on lanes
   take less time than three of these. */
void pjd_fft_line(const pjd_fft *f, bool backward, const float *from, float *to);

/* The smallest size >= n that has no factor above 5. 0 when there is none. */
size_t pjd_fft_good_size(size_t n);

/* ---- two dimensions, real: [h, w] <-> columns 0 .. w/2 in groups of LANES, s[group][h][2][LANES] ---- */

typedef struct pjd_fft2 {
    size_t h, w, columns, groups; /* columns = w/2 + 1 */
    pjd_fft *row, *column;
} pjd_fft2;

pjd_status pjd_fft2_create(size_t h, size_t w, pjd_fft2 *out, pjd_error *err);
void pjd_fft2_free(pjd_fft2 *f);
size_t pjd_fft2_spectrum(const pjd_fft2 *f); /* floats */
size_t pjd_fft2_work(const pjd_fft2 *f);     /* floats */
/* Index of the real part of coefficient (i, k), k < columns; the imaginary part is LANES further. */
static inline size_t pjd_fft2_at(const pjd_fft2 *f, size_t i, size_t k)
{
    return ((k / PJD_FFT_LANES) * f->h + i) * PJD_FFT_ELEMENT + k % PJD_FFT_LANES;
}
/* Unscaled. x has `stride` floats a row and only its first rows x cols are read; the rest of [h, w] counts as 0. */
void pjd_fft2_forward(const pjd_fft2 *f, const float *x, size_t stride, size_t rows, size_t cols, float *s,
                      float *work);
/*
 * x = scale * inverse, destroys s; the window of rows x cols that starts at (top, left) is written to x (or added to
 * it).
 */
typedef struct pjd_window {
    size_t top, left, rows, cols, stride;
    bool add;
} pjd_window;
void pjd_fft2_backward(const pjd_fft2 *f, float *s, double scale, float *x, const pjd_window *window, float *work);

/*
 * Forward, `change` on each group of columns (blocks first .. first + h - 1 of the spectrum, at s), and back: what the calls
 * above would do, with fewer passes over the spectrum. `to` may be x.
 */
typedef void (*pjd_fft2_change)(const void *ctx, size_t first, size_t blocks, float *s);
typedef struct pjd_fft2_input {
    const float *x;
    size_t stride, rows, cols;
} pjd_fft2_input;
void pjd_fft2_filter(const pjd_fft2 *f, const pjd_fft2_input *in, pjd_fft2_change change, const void *ctx, double scale,
                     float *to, const pjd_window *window, float *s, float *work);
/*
 * The same from bands of the plane, each of which has its rows to itself, together the first ones (what they leave is 0), to
 * bands of the result. What is only read is not changed.
 */
typedef struct pjd_band {
    float *x;
    pjd_window at;
} pjd_band;
void pjd_fft2_bands(const pjd_fft2 *f, const pjd_band *in, size_t ins, pjd_fft2_change change, const void *ctx,
                    double scale, const pjd_band *out, size_t outs, float *s, float *work);

/* ---- orthonormal DCT-II in two dimensions, [h, w] -> [h, w] in place ---- */

typedef struct pjd_dct2 {
    size_t h, w;
    pjd_fft *row, *column;
    float *row_twist, *column_twist; /* [n][2]: exp(-i pi k / 2n) times the orthonormal scale */
} pjd_dct2;

pjd_status pjd_dct2_create(size_t h, size_t w, pjd_dct2 *out, pjd_error *err);
void pjd_dct2_free(pjd_dct2 *d);
size_t pjd_dct2_work(const pjd_dct2 *d);
void pjd_dct2_forward(const pjd_dct2 *d, float *x, float *work);
void pjd_dct2_backward(const pjd_dct2 *d, float *x, float *work);

/* Threads that share a transform, at most; scratch is there for so many. */
enum { PJD_FFT_THREADS = 8 };

#endif
