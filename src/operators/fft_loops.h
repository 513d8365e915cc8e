/* SPDX-License-Identifier: MIT */
/*
 * The inner loops of the transforms on lanes, z[i][2][LANES]: real and imaginary parts of element i of LANES lines. A table
 * for each instruction set of one source, without contraction: all give the same bytes.
 */
#ifndef PJD_OP_FFT_LOOPS_H
#define PJD_OP_FFT_LOOPS_H

#include "fft.h"

enum { PJD_FFT_STAGES = 32, PJD_FFT_RADIX = 61 };

/* Sizes as a product of radices 2 to 5 and odd primes up to PJD_FFT_RADIX. */
typedef struct pjd_fft_radices {
    size_t n, count;
    unsigned char radix[PJD_FFT_STAGES];
    float *twiddle; /* stage after stage: [what is left of n][radix - 1][2] */
    float *root;    /* stage after stage with a radix above 5: [radix/2][radix/2][2], cos and sin of 2 pi j k / radix */
} pjd_fft_radices;

typedef struct pjd_fft_loops {
    /* to = transform of from by way of spare, which may be from where the number of stages is odd, as `to` may where it is
       even. Else from is kept. */
    void (*stages)(const pjd_fft_radices *r, bool backward, const float *from, float *to, float *spare);
    /* to[i] = from[i] c[i], or conj(c[i]) */
    void (*multiply)(const float *from, const float *c, size_t n, bool conjugate, float *to);
    /* Rows 0 .. 15 of x to the real parts, 16 .. 31 to the imaginary; missing ones are 0. */
    void (*load)(const float *x, size_t stride, size_t rows, size_t cols, float *z);
    /* The reverse, written or added. */
    void (*store)(const float *z, size_t rows, size_t cols, bool add, float *x, size_t stride);
    /*
     * The spectrum z of n loaded elements to the half spectra of its rows, in groups of LANES columns `group` floats apart,
     * rows of PJD_FFT_ELEMENT floats: even and odd parts under conjugation. And the reverse, times scale.
     */
    void (*separate)(const float *z, size_t n, size_t rows, float *s, size_t group);
    void (*combine)(const float *s, size_t n, size_t rows, size_t group, float scale, float *z);
    /* Transformed lines to cosine coefficients, and the reverse: V_k = conj(w_k) (X_k - i X_{n-k}), X_n = 0. */
    void (*cosine)(const float *z, const float *twist, size_t n, float *c);
    void (*uncosine)(const float *c, const float *twist, size_t n, float *z);
} pjd_fft_loops;

/* Table i of those this processor can run, the fastest first; NULL past the last. */
const pjd_fft_loops *pjd_fft_loops_at(size_t i);
static inline const pjd_fft_loops *pjd_fft_loops_best(void)
{
    return pjd_fft_loops_at(0);
}

#endif
