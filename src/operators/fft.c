/* SPDX-License-Identifier: MIT */
/*
 * Transforms of LANES lines at a time, and of single lines by KISS FFT. Sizes with large primes are Bluestein's convolution
 * on a longer line (Van Loan, "Computational Frameworks for the Fast Fourier Transform", 4.2).
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
    /* for single lines of a good size; NULL for n = 1; only read, so that threads share them */
    kiss_fft_cfg forward, backward;
};

size_t pjd_fft_work(const pjd_fft *f)
{
    return (f->chirp ? 2 : 1) * f->r.n * E;
}

/* jk = (j^2 + k^2 - (k - j)^2) / 2 turns the sum into a convolution, conjugated for the way back. */
static void chirped(const pjd_fft *f, bool backward, const float *z, float *result, float *work)
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
            f->loops->multiply(to, f->chirp, f->n, backward, result);
    }
}

static void transform(const pjd_fft *f, bool backward, float *z, float *work)
{
    if (f->chirp) {
        chirped(f, backward, z, z, work);
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

float *pjd_fft_run(const pjd_fft *f, bool backward, float *z, float *work)
{
    if (f->chirp || f->r.count % 2 == 0) {
        transform(f, backward, z, work);
        return z;
    }
    f->loops->stages(&f->r, backward, z, work, z);
    return work;
}

void pjd_fft_move(const pjd_fft *f, bool backward, float *from, float *to, float *work)
{
    if (f->chirp)
        chirped(f, backward, from, to, work);
    else
        f->loops->stages(&f->r, backward, from, to, f->r.count % 2 ? from : work);
}

/* KISS FFT allocates for a line in place, for a single element and for a radix above 5, so it is given none of these. */
void pjd_fft_line(const pjd_fft *f, bool backward, const float *from, float *to)
{
    if (f->n == 1)
        memcpy(to, from, 2 * sizeof *to);
    else
        kiss_fft(backward ? f->backward : f->forward, (const kiss_fft_cpx *)(const void *)from,
                 (kiss_fft_cpx *)(void *)to);
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
    pjd_free(f->r.root);
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

/*
 * Radices of n. False where the chirp takes less time: an odd radix r costs some 4r operations an element, the chirp's two
 * transforms of more than twice the size some 200.
 */
static bool factorise(size_t n, pjd_fft_radices *r)
{
    size_t left = n, odd = 0;

    *r = (pjd_fft_radices){.n = n};
    for (size_t k = 4; left > 1 && k <= PJD_FFT_RADIX; k = k == 4 ? 2 : k == 2 ? 3 : k + 2)
        for (; left % k == 0; left /= k) {
            r->radix[r->count++] = (unsigned char)k;
            odd += k > 5 ? k : 0;
        }
    return left == 1 && odd <= PJD_FFT_RADIX;
}

static void make_twiddle(const pjd_fft_radices *r)
{
    float *w = r->twiddle;
    size_t left = r->n;

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
}

static void make_root(const pjd_fft_radices *r)
{
    float *g = r->root;

    for (size_t i = 0; i < r->count; i++)
        for (size_t radix = r->radix[i], k = 1; radix > 5 && k <= radix / 2; k++)
            for (size_t j = 1; j <= radix / 2; j++, g += 2) {
                double a = 2.0 * M_PI * (double)(j * k % radix) / (double)radix;

                g[0] = (float)cos(a);
                g[1] = (float)sin(a);
            }
}

static pjd_status make_tables(pjd_fft_radices *r, pjd_error *err)
{
    size_t left = r->n, floats = 0, roots = 0;

    for (size_t i = 0; i < r->count; i++) {
        size_t radix = r->radix[i];

        left /= radix;
        floats += 2 * (radix - 1) * left;
        roots += radix > 5 ? 2 * (radix / 2) * (radix / 2) : 0;
    }
    r->twiddle = pjd_alloc(floats, sizeof *r->twiddle);
    r->root = pjd_alloc(roots, sizeof *r->root);
    if (!r->twiddle || !r->root)
        return pjd_error_nomem(err, "fft", (floats + roots) * sizeof(float));
    make_twiddle(r);
    make_root(r);
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
    bool direct;

    *out = NULL;
    if (n == 0 || n > LARGEST)
        return pjd_error_set(err, PJD_ERR_SHAPE, "fft: expected a size from 1 to 2^28, found %zu", n);
    f = pjd_alloc_zero(1, sizeof *f);
    if (!f)
        return pjd_error_nomem(err, "fft", sizeof *f);
    f->n = n;
    f->loops = pjd_fft_loops_best();
    direct = factorise(n, &f->r);
    if (!direct) /* twice the largest has no factor above 5 */
        factorise(n > LARGEST / 2 ? (size_t)2 * LARGEST : pjd_fft_good_size(2 * n - 1), &f->r);
    st = make_tables(&f->r, err);
    if (st == PJD_OK && n > 1 && pjd_fft_good_size(n) == n) {
        st = make_kiss(n, false, &f->forward, err);
        if (st == PJD_OK)
            st = make_kiss(n, true, &f->backward, err);
    }
    if (st == PJD_OK && !direct)
        st = make_chirp(f, err);
    if (st == PJD_OK)
        *out = f;
    else
        pjd_fft_free(f);
    return st;
}
