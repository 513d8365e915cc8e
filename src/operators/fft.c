/* SPDX-License-Identifier: MIT */
/*
 * KISS FFT's complex transform, one line at a time. It allocates in the transform for prime factors above 5, for a line
 * in place and for a single element, so it is given none of these: other sizes are Bluestein's convolution on a longer
 * line (Van Loan, "Computational Frameworks for the Fast Fourier Transform", 4.2).
 */
#include "fft.h"

#include <kiss_fft.h>
#include <math.h>
#include <string.h>

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, TILE = 8, LARGEST = 1 << 28 };

struct pjd_fft {
    size_t n, m;                    /* m: of KISS FFT's lines, n or, for Bluestein, at least 2n - 1 */
    kiss_fft_cfg forward, backward; /* NULL for n = 1; only read by transforms, so that threads share them */
    float *chirp;                   /* Bluestein: [n][2], exp(-i pi k^2 / n); else NULL */
    float *filter;                  /* [m][2], transform of the conjugate chirp, divided by m */
};

static void kiss(kiss_fft_cfg c, const float *from, float *to)
{
    kiss_fft(c, (const kiss_fft_cpx *)(const void *)from, (kiss_fft_cpx *)(void *)to);
}

/* to = from * c, or * conj(c) where sign is -1; n complex numbers */
static void multiply(float *to, const float *from, const float *c, size_t n, float sign)
{
    for (size_t i = 0; i < n; i++) {
        float a = from[2 * i], b = from[2 * i + 1], u = c[2 * i], v = sign * c[2 * i + 1];

        to[2 * i] = a * u - b * v;
        to[2 * i + 1] = a * v + b * u;
    }
}

/* jk = (j^2 + k^2 - (k - j)^2) / 2 turns the sum into a convolution, conjugated for the way back. */
static void chirp_line(const pjd_fft *f, bool backward, const float *from, float *to, float *work)
{
    float *a = work, *b = work + 2 * f->m, sign = backward ? -1.0f : 1.0f;

    multiply(a, from, f->chirp, f->n, sign);
    memset(a + 2 * f->n, 0, 2 * (f->m - f->n) * sizeof *a);
    kiss(f->forward, a, b);
    multiply(b, b, f->filter, f->m, sign);
    kiss(f->backward, b, a);
    multiply(to, a, f->chirp, f->n, sign);
}

size_t pjd_fft_line_work(const pjd_fft *f)
{
    return f->chirp ? 4 * f->m : 0;
}

void pjd_fft_line(const pjd_fft *f, bool backward, const float *from, float *to, float *work)
{
    if (f->chirp)
        chirp_line(f, backward, from, to, work);
    else if (f->n == 1)
        memcpy(to, from, 2 * sizeof *to);
    else
        kiss(backward ? f->backward : f->forward, from, to);
}

/* ---- lanes: lines are copied out, transformed from slot to slot and copied back ---- */

/* A cache line more than a line, for slots a power of two apart would share few sets of a cache. */
static size_t slot_size(const pjd_fft *f)
{
    return (2 * f->n + 15) / 16 * 16 + 16;
}

size_t pjd_fft_work(const pjd_fft *f)
{
    return (L + 1) * slot_size(f) + pjd_fft_line_work(f);
}

static void transform(const pjd_fft *f, bool backward, float *z, float *work)
{
    size_t slot = slot_size(f);
    float *from = work + slot, *rest = work + (L + 1) * slot; /* line l moves from slot l + 1 to the free slot l */

    for (size_t i0 = 0; i0 < f->n; i0 += TILE)
        for (size_t l = 0; l < L; l++)
            for (size_t i = i0; i < f->n && i < i0 + TILE; i++) {
                from[l * slot + 2 * i] = z[i * E + l];
                from[l * slot + 2 * i + 1] = z[i * E + L + l];
            }
    for (size_t l = 0; l < L; l++)
        pjd_fft_line(f, backward, from + l * slot, work + l * slot, rest);
    for (size_t i0 = 0; i0 < f->n; i0 += TILE)
        for (size_t l = 0; l < L; l++)
            for (size_t i = i0; i < f->n && i < i0 + TILE; i++) {
                z[i * E + l] = work[l * slot + 2 * i];
                z[i * E + L + l] = work[l * slot + 2 * i + 1];
            }
}

void pjd_fft_forward(const pjd_fft *f, float *z, float *work)
{
    transform(f, false, z, work);
}

void pjd_fft_backward(const pjd_fft *f, float *z, float *work)
{
    transform(f, true, z, work);
}

/* ---- plans ---- */

size_t pjd_fft_good_size(size_t n)
{
    return n > LARGEST ? 0 : (size_t)kiss_fft_next_fast_size(n ? (int)n : 1);
}

void pjd_fft_free(pjd_fft *f)
{
    if (!f)
        return;
    pjd_free(f->forward);
    pjd_free(f->backward);
    pjd_free(f->chirp);
    pjd_free(f->filter);
    pjd_free(f);
}

static pjd_status make_kiss(size_t n, bool backward, kiss_fft_cfg *out, pjd_error *err)
{
    size_t bytes = 0;
    void *block;

    kiss_fft_alloc((int)n, backward, NULL, &bytes);
    block = pjd_alloc(1, bytes);
    if (!block)
        return pjd_error_nomem(err, "fft", bytes);
    *out = kiss_fft_alloc((int)n, backward, block, &bytes);
    return PJD_OK;
}

static pjd_status make_chirp(pjd_fft *f, pjd_error *err)
{
    float *z = pjd_alloc_zero(f->m, 2 * sizeof *z);

    f->chirp = pjd_alloc(f->n, 2 * sizeof *f->chirp);
    f->filter = pjd_alloc(f->m, 2 * sizeof *f->filter);
    if (!f->chirp || !f->filter || !z) {
        pjd_free(z);
        return pjd_error_nomem(err, "fft", 2 * f->m * sizeof *z);
    }
    for (size_t k = 0; k < f->n; k++) {
        /* k^2 mod 2n keeps the angle small. */
        double a = -M_PI * (double)(k * k % (2 * f->n)) / (double)f->n;
        float *mirror = z + 2 * (k ? f->m - k : 0);

        f->chirp[2 * k] = z[2 * k] = mirror[0] = (float)cos(a);
        f->chirp[2 * k + 1] = (float)sin(a);
        z[2 * k + 1] = mirror[1] = -f->chirp[2 * k + 1];
    }
    kiss(f->forward, z, f->filter);
    for (size_t i = 0; i < 2 * f->m; i++)
        f->filter[i] /= (float)f->m;
    pjd_free(z);
    return PJD_OK;
}

pjd_status pjd_fft_create(size_t n, pjd_fft **out, pjd_error *err)
{
    pjd_fft *f;
    pjd_status st = PJD_OK;

    *out = NULL;
    if (n == 0 || n > LARGEST)
        return pjd_error_set(err, PJD_ERR_SHAPE, "fft: expected a size from 1 to 2^28, found %zu", n);
    f = pjd_alloc_zero(1, sizeof *f);
    if (!f)
        return pjd_error_nomem(err, "fft", sizeof *f);
    f->n = n;
    f->m = pjd_fft_good_size(n) == n ? n : (size_t)kiss_fft_next_fast_size((int)(2 * n - 1));
    if (n > 1)
        st = make_kiss(f->m, false, &f->forward, err);
    if (st == PJD_OK && n > 1)
        st = make_kiss(f->m, true, &f->backward, err);
    if (st == PJD_OK && f->m != n)
        st = make_chirp(f, err);
    if (st == PJD_OK)
        *out = f;
    else
        pjd_fft_free(f);
    return st;
}
