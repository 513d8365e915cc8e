/* SPDX-License-Identifier: MIT */
/*
 * Transforms of LANES lines at a time, and of single lines by KISS FFT. Sizes with a prime factor above 5 are Bluestein's convolution on a longer line (Van
 * Loan, "Computational Frameworks for the Fast Fourier Transform", 4.2).
 */
#include "fft.h"

#include <kiss_fft.h>
#include <math.h>
#include <string.h>

#include "fft_loops.h"

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, LARGEST = 1 << 28 };

struct pjd_fft {
    size_t n;
    pjd_fft_radices r; /* of n or, for Bluestein, of at least 2n - 1 */
    const pjd_fft_loops *loops;
    float *chirp;  /* Bluestein: [n][2], exp(-i pi k^2 / n); else NULL */
    float *filter; /* [r.n][2], transform of the conjugate chirp, divided by r.n */
    kiss_fft_cfg forward,
        backward; /* of r.n, for single lines; NULL for n = 1; only read, so that threads share them */
};

size_t pjd_fft_work(const pjd_fft *f)
{
    return (f->chirp ? 2 : 1) * f->r.n * E;
}

/* jk = (j^2 + k^2 - (k - j)^2) / 2 turns the sum into a convolution, conjugated for the way back. */
static void chirped(const pjd_fft *f, bool backward, float *z, float *work)
{
    float *a = work, *b = work + f->r.n * E;

    f->loops->multiply(z, f->chirp, f->n, backward, a);
    memset(a + f->n * E, 0, (f->r.n - f->n) * E * sizeof *a);
    for (int way = 0; way < 2; way++) {
        /* an even number of stages goes to and fro in a, an odd one ends in b */
        float *to = f->r.count % 2 ? b : a, *spare = f->r.count % 2 ? a : b;

        f->loops->stages(&f->r, way == 1, a, to, spare);
        if (way == 0)
            f->loops->multiply(to, f->filter, f->r.n, backward, a);
        else
            f->loops->multiply(to, f->chirp, f->n, backward, z);
    }
}

static void transform(const pjd_fft *f, bool backward, float *z, float *work)
{
    if (f->chirp) {
        chirped(f, backward, z, work);
    } else if (f->r.count % 2) {
        memcpy(work, z, f->n * E * sizeof *z);
        f->loops->stages(&f->r, backward, work, z, work);
    } else if (f->r.count) {
        f->loops->stages(&f->r, backward, z, z, work);
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

/* ---- single lines. KISS FFT allocates for a line in place and for a single element, so it is given neither. ---- */

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

static void chirp_line(const pjd_fft *f, bool backward, const float *from, float *to, float *work)
{
    float *a = work, *b = work + 2 * f->r.n, sign = backward ? -1.0f : 1.0f;

    multiply(a, from, f->chirp, f->n, sign);
    memset(a + 2 * f->n, 0, 2 * (f->r.n - f->n) * sizeof *a);
    kiss(f->forward, a, b);
    multiply(b, b, f->filter, f->r.n, sign);
    kiss(f->backward, b, a);
    multiply(to, a, f->chirp, f->n, sign);
}

size_t pjd_fft_line_work(const pjd_fft *f)
{
    return f->chirp ? 4 * f->r.n : 0;
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

/* ---- plans ---- */

size_t pjd_fft_good_size(size_t n)
{
    static const unsigned primes[] = {2, 3, 5};

    if (n > LARGEST)
        return 0;
    for (n = n ? n : 1;; n++) {
        size_t left = n;

        for (size_t i = 0; i < PJD_COUNTOF(primes); i++)
            while (left % primes[i] == 0)
                left /= primes[i];
        if (left == 1)
            return n;
    }
}

void pjd_fft_free(pjd_fft *f)
{
    if (!f)
        return;
    pjd_free(f->forward);
    pjd_free(f->backward);
    pjd_free(f->r.twiddle);
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

static pjd_status make_stages(size_t n, pjd_fft_radices *r, pjd_error *err)
{
    static const unsigned char known[] = {4, 2, 3, 5};
    size_t left = n, floats = 0;
    float *w;

    r->n = n;
    for (size_t i = 0; i < PJD_COUNTOF(known); i++)
        while (left % known[i] == 0) {
            left /= known[i];
            r->radix[r->count++] = known[i];
            floats += 2 * (known[i] - 1u) * left;
        }
    r->twiddle = w = pjd_alloc(floats, sizeof *w);
    if (!w)
        return pjd_error_nomem(err, "fft", floats * sizeof *w);
    left = n;
    for (size_t i = 0; i < r->count; i++) {
        size_t whole = left, radix = r->radix[i];

        left /= radix;
        for (size_t p = 0; p < left; p++)
            for (size_t k = 1; k < radix; k++, w += 2) {
                double a = -2.0 * M_PI * (double)(p * k) / (double)whole;

                w[0] = (float)cos(a);
                w[1] = (float)sin(a);
            }
    }
    return PJD_OK;
}

/* The chirp's transform by the stages themselves: one line is enough, in lane 0. */
static pjd_status make_chirp(pjd_fft *f, pjd_error *err)
{
    size_t m = f->r.n;
    float *z = pjd_alloc_zero(2 * m, E * sizeof *z), *spare = z + m * E, *to = f->r.count % 2 ? spare : z;

    f->chirp = pjd_alloc(f->n, 2 * sizeof *f->chirp);
    f->filter = pjd_alloc(m, 2 * sizeof *f->filter);
    if (!f->chirp || !f->filter || !z) {
        pjd_free(z);
        return pjd_error_nomem(err, "fft", 2 * m * E * sizeof *z);
    }
    for (size_t k = 0; k < f->n; k++) {
        /* k^2 mod 2n keeps the angle small. */
        double a = -M_PI * (double)(k * k % (2 * f->n)) / (double)f->n;
        float *first = z + k * E, *mirror = z + (k ? m - k : 0) * E;

        f->chirp[2 * k] = first[0] = mirror[0] = (float)cos(a);
        f->chirp[2 * k + 1] = (float)sin(a);
        first[L] = mirror[L] = -f->chirp[2 * k + 1];
    }
    f->loops->stages(&f->r, false, z, to, to == z ? spare : z);
    for (size_t i = 0; i < m; i++) {
        f->filter[2 * i] = to[i * E] / (float)m;
        f->filter[2 * i + 1] = to[i * E + L] / (float)m;
    }
    pjd_free(z);
    return PJD_OK;
}

pjd_status pjd_fft_create(size_t n, pjd_fft **out, pjd_error *err)
{
    pjd_fft *f;
    pjd_status st;
    bool good;

    *out = NULL;
    if (n == 0 || n > LARGEST)
        return pjd_error_set(err, PJD_ERR_SHAPE, "fft: expected a size from 1 to 2^28, found %zu", n);
    f = pjd_alloc_zero(1, sizeof *f);
    if (!f)
        return pjd_error_nomem(err, "fft", sizeof *f);
    f->n = n;
    f->loops = pjd_fft_loops_best();
    good = pjd_fft_good_size(n) == n;
    /* twice the largest has no factor above 5 */
    st = make_stages(good ? n : n > LARGEST / 2 ? (size_t)2 * LARGEST : pjd_fft_good_size(2 * n - 1), &f->r, err);
    if (st == PJD_OK && n > 1)
        st = make_kiss(f->r.n, false, &f->forward, err);
    if (st == PJD_OK && n > 1)
        st = make_kiss(f->r.n, true, &f->backward, err);
    if (st == PJD_OK && !good)
        st = make_chirp(f, err);
    if (st == PJD_OK)
        *out = f;
    else
        pjd_fft_free(f);
    return st;
}
