/* SPDX-License-Identifier: MIT */
/*
 * Stockham's self-sorting transform by decimation in frequency (Van Loan, "Computational Frameworks for the Fast Fourier
 * Transform", 1.7), factors 4, 2 and odd primes. With lines in the lanes of a register there is nothing to shuffle. A size
 * with a prime factor above LARGEST_PRIME goes line by line.
 */
#include "lanes.h"

#include <math.h>
#include <string.h>

#include "fft.h"

enum { L = PJD_LANES, E = PJD_LANES_ELEMENT, MAX_FACTORS = 48, LARGEST_PRIME = 61, HALF = LARGEST_PRIME / 2 };

typedef float vec __attribute__((vector_size(L * sizeof(float))));

struct pjd_lanes {
    size_t n, count;
    size_t factor[MAX_FACTORS];
    float *twiddle[MAX_FACTORS]; /* [n / factor left][factor - 1][2], exp(-2 pi i p j / n left) */
    float *root[MAX_FACTORS];    /* odd factors: [half][half][2], cosine and sine of 2 pi i j / factor */
    pjd_fft *line;               /* for large primes */
    float *(*run)(const pjd_lanes *f, float sign, float *a, float *b);
};

/* What all kinds of processors compile: s is the stride, p the group, sign 1 forwards. */
#define INLINE static inline __attribute__((always_inline))

/* to = (re, im) w */
INLINE void put(float *to, const vec *re, const vec *im, float wr, float wi)
{
    vec *t = (vec *)(void *)to;

    t[0] = *re * wr - *im * wi;
    t[1] = *re * wi + *im * wr;
}

INLINE void radix4(const float *x, float *y, size_t m, size_t s, const float *twiddle, float sign)
{
    for (size_t p = 0; p < m; p++) {
        const float *w = twiddle + 6 * p;
        float w1 = sign * w[1], w3 = sign * w[3], w5 = sign * w[5];

        for (size_t q = 0; q < s; q++) {
            const vec *a = (const vec *)(const void *)(x + (q + s * p) * E),
                      *b = (const vec *)(const void *)(x + (q + s * (p + m)) * E),
                      *c = (const vec *)(const void *)(x + (q + s * (p + 2 * m)) * E),
                      *d = (const vec *)(const void *)(x + (q + s * (p + 3 * m)) * E);
            vec acr = a[0] + c[0], aci = a[1] + c[1], bdr = b[0] + d[0], bdi = b[1] + d[1];
            vec er = a[0] - c[0], ei = a[1] - c[1], fr = sign * (b[0] - d[0]), fi = sign * (b[1] - d[1]);
            float *to = y + (q + s * 4 * p) * E;
            vec *first = (vec *)(void *)to, r, i;

            first[0] = acr + bdr;
            first[1] = aci + bdi;
            r = er + fi;
            i = ei - fr;
            put(to + s * E, &r, &i, w[0], w1);
            r = acr - bdr;
            i = aci - bdi;
            put(to + 2 * s * E, &r, &i, w[2], w3);
            r = er - fi;
            i = ei + fr;
            put(to + 3 * s * E, &r, &i, w[4], w5);
        }
    }
}

INLINE void radix2(const float *x, float *y, size_t m, size_t s, const float *twiddle, float sign)
{
    for (size_t p = 0; p < m; p++)
        for (size_t q = 0; q < s; q++) {
            const vec *a = (const vec *)(const void *)(x + (q + s * p) * E),
                      *b = (const vec *)(const void *)(x + (q + s * (p + m)) * E);
            float *to = y + (q + s * 2 * p) * E;
            vec *first = (vec *)(void *)to, r = a[0] - b[0], i = a[1] - b[1];

            first[0] = a[0] + b[0];
            first[1] = a[1] + b[1];
            put(to + s * E, &r, &i, twiddle[2 * p], sign * twiddle[2 * p + 1]);
        }
}

/* Elements i and r - i share their products: a_i w + a_{r-i} conj(w) = cos (sum) - i sin (difference). */
INLINE void odd(size_t r, const float *x, float *y, size_t m, size_t s, const float *twiddle, const float *root,
                float sign)
{
    vec plus[2][HALF], minus[2][HALF];
    size_t half = r / 2;

    for (size_t p = 0; p < m; p++)
        for (size_t q = 0; q < s; q++) {
            const vec *a = (const vec *)(const void *)(x + (q + s * p) * E);
            float *to = y + (q + s * r * p) * E;
            const float *w = twiddle + 2 * (r - 1) * p;
            vec *first = (vec *)(void *)to, re = a[0], im = a[1];

            for (size_t i = 1; i <= half; i++) {
                const vec *u = a + 2 * s * m * i, *v = a + 2 * s * m * (r - i);

                plus[0][i - 1] = u[0] + v[0];
                plus[1][i - 1] = u[1] + v[1];
                minus[0][i - 1] = sign * (u[0] - v[0]);
                minus[1][i - 1] = sign * (u[1] - v[1]);
                re += plus[0][i - 1];
                im += plus[1][i - 1];
            }
            first[0] = re;
            first[1] = im;
            for (size_t j = 1; j <= half; j++) {
                const float *g = root + 2 * half * (j - 1);
                vec cr = a[0], ci = a[1], sr = {0}, si = {0};

                for (size_t i = 0; i < half; i++) {
                    cr += g[2 * i] * plus[0][i];
                    ci += g[2 * i] * plus[1][i];
                    sr += g[2 * i + 1] * minus[0][i];
                    si += g[2 * i + 1] * minus[1][i];
                }
                re = cr + si;
                im = ci - sr;
                put(to + j * s * E, &re, &im, w[2 * (j - 1)], sign * w[2 * (j - 1) + 1]);
                re = cr - si;
                im = ci + sr;
                put(to + (r - j) * s * E, &re, &im, w[2 * (r - j - 1)], sign * w[2 * (r - j - 1) + 1]);
            }
        }
}

INLINE float *stages(const pjd_lanes *f, float sign, float *a, float *b)
{
    size_t left = f->n, s = 1;

    for (size_t k = 0; k < f->count; k++) {
        size_t r = f->factor[k], m = left / r;
        float *t;

        if (r == 4)
            radix4(a, b, m, s, f->twiddle[k], sign);
        else if (r == 2)
            radix2(a, b, m, s, f->twiddle[k], sign);
        else if (r == 3)
            odd(3, a, b, m, s, f->twiddle[k], f->root[k], sign);
        else if (r == 5)
            odd(5, a, b, m, s, f->twiddle[k], f->root[k], sign);
        else
            odd(r, a, b, m, s, f->twiddle[k], f->root[k], sign);
        t = a;
        a = b;
        b = t;
        left = m;
        s *= r;
    }
    return a;
}

static float *run_plain(const pjd_lanes *f, float sign, float *a, float *b)
{
    return stages(f, sign, a, b);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static float *run_avx2(const pjd_lanes *f, float sign, float *a, float *b)
{
    return stages(f, sign, a, b);
}
#endif

static float *line_by_line(const pjd_lanes *f, bool backward, float *a, float *work)
{
    float *from = work, *to = work + 2 * f->n, *rest = to + 2 * f->n;

    for (size_t l = 0; l < L; l++) {
        for (size_t i = 0; i < f->n; i++) {
            from[2 * i] = a[i * E + l];
            from[2 * i + 1] = a[i * E + L + l];
        }
        pjd_fft_line(f->line, backward, from, to, rest);
        for (size_t i = 0; i < f->n; i++) {
            a[i * E + l] = to[2 * i];
            a[i * E + L + l] = to[2 * i + 1];
        }
    }
    return a;
}

float *pjd_lanes_run(const pjd_lanes *f, bool backward, float *a, float *b, float *work)
{
    return f->line ? line_by_line(f, backward, a, work) : f->run(f, backward ? -1.0f : 1.0f, a, b);
}

size_t pjd_lanes_work(const pjd_lanes *f)
{
    return f->line ? (4 * f->n + pjd_fft_line_work(f->line) + 15) / 16 * 16 : 0;
}

/* ---- plans ---- */

void pjd_lanes_free(pjd_lanes *f)
{
    if (!f)
        return;
    for (size_t k = 0; k < f->count; k++) {
        pjd_free(f->twiddle[k]);
        pjd_free(f->root[k]);
    }
    pjd_fft_free(f->line);
    pjd_free(f);
}

/* Fours, a two, then odd primes; false when one is too large. */
static bool factorise(pjd_lanes *f)
{
    size_t left = f->n;

    for (size_t r = 4; left > 1; r = r == 4 ? 2 : r == 2 ? 3 : r + 2) {
        if (r > LARGEST_PRIME)
            return false;
        for (; left % r == 0; left /= r)
            f->factor[f->count++] = r;
    }
    return true;
}

static pjd_status make_tables(pjd_lanes *f, pjd_error *err)
{
    size_t left = f->n;

    for (size_t k = 0; k < f->count; left /= f->factor[k++]) {
        size_t r = f->factor[k], m = left / r, half = r / 2;

        f->twiddle[k] = pjd_alloc(m * (r - 1), 2 * sizeof(float));
        f->root[k] = pjd_alloc(half * half, 2 * sizeof(float));
        if (!f->twiddle[k] || !f->root[k])
            return pjd_error_nomem(err, "fft", m * (r - 1) * 2 * sizeof(float));
        for (size_t p = 0; p < m; p++)
            for (size_t j = 1; j < r; j++) {
                double a = -2 * M_PI * (double)(p * j % left) / (double)left;

                f->twiddle[k][2 * ((r - 1) * p + j - 1)] = (float)cos(a);
                f->twiddle[k][2 * ((r - 1) * p + j - 1) + 1] = (float)sin(a);
            }
        for (size_t j = 1; j <= half; j++)
            for (size_t i = 1; i <= half; i++) {
                double a = 2 * M_PI * (double)(i * j % r) / (double)r;

                f->root[k][2 * (half * (j - 1) + i - 1)] = (float)cos(a);
                f->root[k][2 * (half * (j - 1) + i - 1) + 1] = (float)sin(a);
            }
    }
    return PJD_OK;
}

pjd_status pjd_lanes_create(size_t n, pjd_lanes **out, pjd_error *err)
{
    pjd_lanes *f;
    pjd_status st;

    *out = NULL;
    if (n == 0 || n > 1 << 24)
        return pjd_error_set(err, PJD_ERR_SHAPE, "fft: expected a size from 1 to 2^24, found %zu", n);
    f = pjd_alloc_zero(1, sizeof *f);
    if (!f)
        return pjd_error_nomem(err, "fft", sizeof *f);
    f->n = n;
    f->run = run_plain;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        f->run = run_avx2;
#endif
    if (factorise(f)) {
        st = make_tables(f, err);
    } else {
        f->count = 0;
        st = pjd_fft_create(n, &f->line, err);
    }
    if (st == PJD_OK)
        *out = f;
    else
        pjd_lanes_free(f);
    return st;
}
