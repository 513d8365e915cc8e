/* SPDX-License-Identifier: MIT */
/*
 * Self-sorting (Stockham) transforms with radices 4, 2, 3, 5, 7, 11, 13, and Bluestein's chirp for other primes. See
 * Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1.7 and 4.2.
 */
#include "fft.h"

#include <math.h>
#include <string.h>

enum { MAX_STAGES = 40, HALF = 8, LARGEST_RADIX = 13 };

/* Half of the lanes: one AVX register. In memory they lie on any float, because scratch is the caller's. */
typedef float vec __attribute__((vector_size(HALF * sizeof(float))));
typedef float loose __attribute__((vector_size(HALF * sizeof(float)), aligned(sizeof(float)), may_alias));

typedef struct stage {
    size_t radix, m, s;   /* the current length is radix * m; s sub-transforms interleave */
    const float *twiddle; /* [m][radix - 1][2] */
} stage;

struct pjd_fft {
    size_t n, stages;
    stage stage[MAX_STAGES];
    float *twiddles;
    bool avx2;
    /* Bluestein: */
    pjd_fft *inner; /* length >= 2n - 1 */
    float *chirp;   /* [n][2], exp(-i pi k^2 / n) */
    float *filter;  /* [inner n][2], transform of the conjugate chirp, divided by the inner length */
};

/* ---- butterflies: y[q + s (r p + k)] = w^(p k) sum_j x[q + s (p + m j)] exp(-2 pi i j k / r) ---- */

#define INLINE static inline __attribute__((always_inline))

/* Element e of z, half g; im selects the plane that plays the imaginary part (swapped for the inverse). */
INLINE const loose *at(const float *z, size_t e, size_t im, size_t g)
{
    return (const loose *)(const void *)(z + e * PJD_FFT_ELEMENT + im * PJD_FFT_LANES + g * HALF);
}

INLINE void store_twisted(float *y, size_t e, size_t re, size_t g, const vec *a, const vec *b, const float *w)
{
    loose *yr = (loose *)(void *)(y + e * PJD_FFT_ELEMENT + re * PJD_FFT_LANES + g * HALF);
    loose *yi = (loose *)(void *)(y + e * PJD_FFT_ELEMENT + (1 - re) * PJD_FFT_LANES + g * HALF);

    *yr = *a * w[0] - *b * w[1];
    *yi = *a * w[1] + *b * w[0];
}

static const float one[2] = {1.0f, 0.0f};

INLINE void radix2(const stage *t, const float *x, float *y, size_t re)
{
    for (size_t p = 0; p < t->m; p++)
        for (size_t q = 0; q < t->s; q++)
            for (size_t g = 0; g < 2; g++) {
                size_t e0 = q + t->s * p, e1 = e0 + t->s * t->m, o = q + t->s * 2 * p;
                vec ar = *at(x, e0, re, g), ai = *at(x, e0, 1 - re, g), br = *at(x, e1, re, g),
                    bi = *at(x, e1, 1 - re, g);
                vec sr = ar + br, si = ai + bi, dr = ar - br, di = ai - bi;

                store_twisted(y, o, re, g, &sr, &si, one);
                store_twisted(y, o + t->s, re, g, &dr, &di, t->twiddle + 2 * p);
            }
}

INLINE void radix4(const stage *t, const float *x, float *y, size_t re)
{
    size_t im = 1 - re, step = t->s * t->m;

    for (size_t p = 0; p < t->m; p++) {
        const float *w = t->twiddle + 6 * p;

        for (size_t q = 0; q < t->s; q++)
            for (size_t g = 0; g < 2; g++) {
                size_t e = q + t->s * p, o = q + t->s * 4 * p;
                vec ar = *at(x, e, re, g), ai = *at(x, e, im, g);
                vec br = *at(x, e + step, re, g), bi = *at(x, e + step, im, g);
                vec cr = *at(x, e + 2 * step, re, g), ci = *at(x, e + 2 * step, im, g);
                vec dr = *at(x, e + 3 * step, re, g), di = *at(x, e + 3 * step, im, g);
                vec sr = ar + cr, si = ai + ci, tr = ar - cr, ti = ai - ci;
                vec ur = br + dr, ui = bi + di, vr = br - dr, vi = bi - di;
                vec y0r = sr + ur, y0i = si + ui, y2r = sr - ur, y2i = si - ui;
                vec y1r = tr + vi, y1i = ti - vr, y3r = tr - vi, y3i = ti + vr;

                store_twisted(y, o, re, g, &y0r, &y0i, one);
                store_twisted(y, o + t->s, re, g, &y1r, &y1i, w);
                store_twisted(y, o + 2 * t->s, re, g, &y2r, &y2i, w + 2);
                store_twisted(y, o + 3 * t->s, re, g, &y3r, &y3i, w + 4);
            }
    }
}

/* cos and sin of 2 pi j / r; for every odd radix the sum runs over pairs j, r - j. */
typedef struct roots {
    float c[LARGEST_RADIX], s[LARGEST_RADIX];
} roots;

INLINE void odd_at(const stage *t, const float *x, float *y, size_t re, size_t r, const roots *k, size_t p, size_t q,
                   size_t g)
{
    size_t im = 1 - re, step = t->s * t->m, e = q + t->s * p, o = q + t->s * r * p, half = (r - 1) / 2;
    vec ar[LARGEST_RADIX / 2], ai[LARGEST_RADIX / 2], br[LARGEST_RADIX / 2], bi[LARGEST_RADIX / 2];
    vec x0r = *at(x, e, re, g), x0i = *at(x, e, im, g), sr = x0r, si = x0i;

    for (size_t j = 0; j < half; j++) {
        size_t f = e + (j + 1) * step, b = e + (r - 1 - j) * step;

        ar[j] = *at(x, f, re, g) + *at(x, b, re, g);
        ai[j] = *at(x, f, im, g) + *at(x, b, im, g);
        br[j] = *at(x, f, re, g) - *at(x, b, re, g);
        bi[j] = *at(x, f, im, g) - *at(x, b, im, g);
        sr += ar[j];
        si += ai[j];
    }
    store_twisted(y, o, re, g, &sr, &si, one);
    for (size_t l = 1; l <= half; l++) {
        vec cr = x0r, ci = x0i, dr = {0}, di = {0}, ur, ui, vr, vi;

        for (size_t j = 0; j < half; j++) {
            size_t w = (j + 1) * l % r;

            cr += ar[j] * k->c[w];
            ci += ai[j] * k->c[w];
            dr += bi[j] * k->s[w];
            di += br[j] * k->s[w];
        }
        ur = cr + dr;
        ui = ci - di;
        vr = cr - dr;
        vi = ci + di;
        store_twisted(y, o + l * t->s, re, g, &ur, &ui, t->twiddle + 2 * ((r - 1) * p + l - 1));
        store_twisted(y, o + (r - l) * t->s, re, g, &vr, &vi, t->twiddle + 2 * ((r - 1) * p + r - l - 1));
    }
}

INLINE void radix_odd(const stage *t, const float *x, float *y, size_t re, size_t r)
{
    roots k;

    for (size_t j = 0; j < r; j++) {
        k.c[j] = (float)cos(2.0 * M_PI * (double)j / (double)r);
        k.s[j] = (float)sin(2.0 * M_PI * (double)j / (double)r);
    }
    for (size_t p = 0; p < t->m; p++)
        for (size_t q = 0; q < t->s; q++)
            for (size_t g = 0; g < 2; g++)
                odd_at(t, x, y, re, r, &k, p, q, g);
}

INLINE void run_stage(const stage *t, const float *x, float *y, size_t re)
{
    switch (t->radix) {
    case 2:
        radix2(t, x, y, re);
        break;
    case 4:
        radix4(t, x, y, re);
        break;
    case 3:
        radix_odd(t, x, y, re, 3);
        break;
    case 5:
        radix_odd(t, x, y, re, 5);
        break;
    case 7:
        radix_odd(t, x, y, re, 7);
        break;
    default:
        radix_odd(t, x, y, re, t->radix);
        break;
    }
}

static void stage_plain(const stage *t, const float *x, float *y, size_t re)
{
    run_stage(t, x, y, re);
}

#if defined(__x86_64__)
/* The same operations in the same order on wider registers: the same bytes. */
__attribute__((target("avx2"))) static void stage_avx2(const stage *t, const float *x, float *y, size_t re)
{
    run_stage(t, x, y, re);
}
#else
#define stage_avx2 stage_plain
#endif

static void transform(const pjd_fft *f, float *z, float *work, size_t re)
{
    float *from = z, *to = work;

    if (f->stages % 2) {
        memcpy(work, z, f->n * PJD_FFT_ELEMENT * sizeof *z);
        from = work;
        to = z;
    }
    for (size_t i = 0; i < f->stages; i++) {
        float *swap = from;

        (f->avx2 ? stage_avx2 : stage_plain)(&f->stage[i], from, to, re);
        from = to;
        to = swap;
    }
}

/* ---- Bluestein: jk = (j^2 + k^2 - (k - j)^2) / 2 turns the sum into a convolution ---- */

/* z[e] *= (or conj) c[e] for e < n, `re` telling which plane is the real one */
static void twist(float *to, const float *from, const float *c, size_t n, size_t re)
{
    for (size_t e = 0; e < n; e++) {
        const float *a = from + e * PJD_FFT_ELEMENT + re * PJD_FFT_LANES;
        const float *b = from + e * PJD_FFT_ELEMENT + (1 - re) * PJD_FFT_LANES;
        float *p = to + e * PJD_FFT_ELEMENT + re * PJD_FFT_LANES,
              *q = to + e * PJD_FFT_ELEMENT + (1 - re) * PJD_FFT_LANES;

        for (size_t l = 0; l < PJD_FFT_LANES; l++) {
            float x = a[l], y = b[l];

            p[l] = x * c[2 * e] - y * c[2 * e + 1];
            q[l] = x * c[2 * e + 1] + y * c[2 * e];
        }
    }
}

static void chirp_transform(const pjd_fft *f, float *z, float *work, size_t re)
{
    size_t m = f->inner->n;
    float *big = work, *rest = work + m * PJD_FFT_ELEMENT;

    twist(big, z, f->chirp, f->n, re);
    memset(big + f->n * PJD_FFT_ELEMENT, 0, (m - f->n) * PJD_FFT_ELEMENT * sizeof *big);
    transform(f->inner, big, rest, re);
    twist(big, big, f->filter, m, re);
    transform(f->inner, big, rest, 1 - re);
    twist(z, big, f->chirp, f->n, re);
}

void pjd_fft_forward(const pjd_fft *f, float *z, float *work)
{
    if (f->inner)
        chirp_transform(f, z, work, 0);
    else
        transform(f, z, work, 0);
}

void pjd_fft_backward(const pjd_fft *f, float *z, float *work)
{
    /* Swapping the parts before and after conjugates the kernel. */
    if (f->inner)
        chirp_transform(f, z, work, 1);
    else
        transform(f, z, work, 1);
}

/* ---- plans ---- */

static bool smooth(size_t n, size_t largest)
{
    static const size_t primes[] = {2, 3, 5, 7, 11, 13};

    for (size_t i = 0; i < PJD_COUNTOF(primes) && primes[i] <= largest; i++)
        while (n % primes[i] == 0)
            n /= primes[i];
    return n == 1;
}

size_t pjd_fft_good_size(size_t n)
{
    for (n = n ? n : 1; n && n <= SIZE_MAX / 4; n++)
        if (smooth(n, 7))
            return n;
    return 0;
}

size_t pjd_fft_work(const pjd_fft *f)
{
    return f->inner ? f->inner->n * PJD_FFT_ELEMENT + pjd_fft_work(f->inner) : f->n * PJD_FFT_ELEMENT;
}

void pjd_fft_free(pjd_fft *f)
{
    if (!f)
        return;
    pjd_fft_free(f->inner);
    pjd_free(f->chirp);
    pjd_free(f->filter);
    pjd_free(f->twiddles);
    pjd_free(f);
}

/* Split n into stages; the number of twiddle factors is returned. */
static size_t split(pjd_fft *f)
{
    static const size_t radices[] = {4, 2, 3, 5, 7, 11, 13};
    size_t left = f->n, s = 1, total = 0;

    for (size_t i = 0; i < PJD_COUNTOF(radices); i++)
        while (left % radices[i] == 0) {
            stage *t = &f->stage[f->stages++];

            left /= radices[i];
            *t = (stage){.radix = radices[i], .m = left, .s = s};
            s *= radices[i];
            total += t->m * (t->radix - 1);
        }
    return total;
}

static pjd_status make_twiddles(pjd_fft *f, pjd_error *err)
{
    size_t total = split(f), used = 0;

    f->twiddles = pjd_alloc(2 * total, sizeof *f->twiddles);
    if (!f->twiddles)
        return pjd_error_nomem(err, "fft", 2 * total * sizeof *f->twiddles);
    for (size_t i = 0; i < f->stages; i++) {
        stage *t = &f->stage[i];

        t->twiddle = f->twiddles + used;
        for (size_t p = 0; p < t->m; p++)
            for (size_t k = 1; k < t->radix; k++) {
                double a = -2.0 * M_PI * (double)(p * k) / (double)(t->m * t->radix);

                f->twiddles[used++] = (float)cos(a);
                f->twiddles[used++] = (float)sin(a);
            }
    }
    return PJD_OK;
}

static pjd_status make_chirp(pjd_fft *f, pjd_error *err)
{
    size_t m = pjd_fft_good_size(2 * f->n - 1);
    float *z = NULL;
    pjd_status st = pjd_fft_create(m, &f->inner, err);

    if (st != PJD_OK)
        return st;
    f->chirp = pjd_alloc(2 * f->n, sizeof *f->chirp);
    f->filter = pjd_alloc(2 * m, sizeof *f->filter);
    z = pjd_alloc_zero(m * PJD_FFT_ELEMENT + pjd_fft_work(f->inner), sizeof *z);
    if (!f->chirp || !f->filter || !z) {
        pjd_free(z);
        return pjd_error_nomem(err, "fft", m * PJD_FFT_ELEMENT * sizeof *z);
    }
    for (size_t k = 0; k < f->n; k++) {
        /* k^2 mod 2n keeps the angle small; k < 2^31 or so by the memory that the picture takes. */
        double a = -M_PI * (double)(k * k % (2 * f->n)) / (double)f->n;

        f->chirp[2 * k] = (float)cos(a);
        f->chirp[2 * k + 1] = (float)sin(a);
        for (int mirrored = 0; mirrored < (k ? 2 : 1); mirrored++) {
            float *e = z + (mirrored ? m - k : k) * PJD_FFT_ELEMENT;

            e[0] = f->chirp[2 * k];
            e[PJD_FFT_LANES] = -f->chirp[2 * k + 1];
        }
    }
    pjd_fft_forward(f->inner, z, z + m * PJD_FFT_ELEMENT);
    for (size_t e = 0; e < m; e++) {
        f->filter[2 * e] = z[e * PJD_FFT_ELEMENT] / (float)m;
        f->filter[2 * e + 1] = z[e * PJD_FFT_ELEMENT + PJD_FFT_LANES] / (float)m;
    }
    pjd_free(z);
    return PJD_OK;
}

pjd_status pjd_fft_create(size_t n, pjd_fft **out, pjd_error *err)
{
    pjd_fft *f = pjd_alloc_zero(1, sizeof *f);
    pjd_status st;

    *out = NULL;
    if (!f)
        return pjd_error_nomem(err, "fft", sizeof *f);
    f->n = n;
#if defined(__x86_64__)
    f->avx2 = __builtin_cpu_supports("avx2");
#endif
    if (n == 0 || n > (size_t)1 << 28)
        st = pjd_error_set(err, PJD_ERR_SHAPE, "fft: expected a size from 1 to 2^28, found %zu", n);
    else
        st = smooth(n, LARGEST_RADIX) ? make_twiddles(f, err) : make_chirp(f, err);
    if (st == PJD_OK)
        *out = f;
    else
        pjd_fft_free(f);
    return st;
}
