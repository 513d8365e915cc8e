/* SPDX-License-Identifier: MIT */
/* Stockham's transforms on lanes, and the moves between lines and lanes. */
#include "fft_loops.h"

#include <string.h>

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, HALF = PJD_FFT_RADIX / 2 };

#define INLINE static inline __attribute__((always_inline))
#define PRAGMA(x) _Pragma(#x)
#ifdef __clang__
#define UNROLL PRAGMA(clang loop unroll(full))
#else
#define UNROLL PRAGMA(GCC unroll 16)
#endif

typedef float lanes __attribute__((vector_size(4 * L), aligned(4), may_alias));
typedef float half_lanes __attribute__((vector_size(2 * L), aligned(4), may_alias));

INLINE const lanes *at(const float *p)
{
    return (const lanes *)(const void *)p;
}

INLINE lanes *to_at(float *p)
{
    return (lanes *)(void *)p;
}

/* ---- butterflies: r elements in place, forward ---- */

INLINE void butterfly2(lanes *a, lanes *b)
{
    lanes x = a[0], y = b[0];

    a[0] = x + a[1];
    b[0] = y + b[1];
    a[1] = x - a[1];
    b[1] = y - b[1];
}

INLINE void butterfly3(lanes *a, lanes *b)
{
    const float s = 0.86602540378443864676f;
    lanes sr = a[1] + a[2], si = b[1] + b[2], dr = s * (a[1] - a[2]), di = s * (b[1] - b[2]);
    lanes mr = a[0] - 0.5f * sr, mi = b[0] - 0.5f * si;

    a[0] += sr;
    b[0] += si;
    a[1] = mr + di;
    b[1] = mi - dr;
    a[2] = mr - di;
    b[2] = mi + dr;
}

INLINE void butterfly4(lanes *a, lanes *b)
{
    lanes pr = a[0] + a[2], pi = b[0] + b[2], mr = a[0] - a[2], mi = b[0] - b[2];
    lanes qr = a[1] + a[3], qi = b[1] + b[3], nr = a[1] - a[3], ni = b[1] - b[3];

    a[0] = pr + qr;
    b[0] = pi + qi;
    a[1] = mr + ni;
    b[1] = mi - nr;
    a[2] = pr - qr;
    b[2] = pi - qi;
    a[3] = mr - ni;
    b[3] = mi + nr;
}

INLINE void butterfly5(lanes *a, lanes *b)
{
    const float c1 = 0.30901699437494742410f, s1 = 0.95105651629515357212f;
    const float c2 = -0.80901699437494742410f, s2 = 0.58778525229247312917f;
    lanes pr = a[1] + a[4], pi = b[1] + b[4], mr = a[1] - a[4], mi = b[1] - b[4];
    lanes qr = a[2] + a[3], qi = b[2] + b[3], nr = a[2] - a[3], ni = b[2] - b[3];
    lanes ur = a[0] + c1 * pr + c2 * qr, ui = b[0] + c1 * pi + c2 * qi;
    lanes vr = a[0] + c2 * pr + c1 * qr, vi = b[0] + c2 * pi + c1 * qi;
    lanes xr = s1 * mr + s2 * nr, xi = s1 * mi + s2 * ni, yr = s2 * mr - s1 * nr, yi = s2 * mi - s1 * ni;

    a[0] += pr + qr;
    b[0] += pi + qi;
    a[1] = ur + xi;
    b[1] = ui - xr;
    a[4] = ur - xi;
    b[4] = ui + xr;
    a[2] = vr + yi;
    b[2] = vi - yr;
    a[3] = vr - yi;
    b[3] = vi + yr;
}

/*
 * One stage (Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1.7): m is what is left of n, s the
 * product of the radices so far. im: where imaginary parts lie; the backward transform is the forward one of exchanged parts.
 */
typedef struct place {
    size_t m, s, re, im;
} place;

/* to = (a + i b) w */
INLINE void put(float *to, const place *l, const lanes *a, const lanes *b, const float *w)
{
    *to_at(to + l->re) = *a * w[0] - *b * w[1];
    *to_at(to + l->im) = *a * w[1] + *b * w[0];
}

INLINE void stage(const size_t r, const place *l, const float *w, const float *x, float *y)
{
    for (size_t p = 0; p < l->m; p++, w += 2 * (r - 1))
        for (size_t q = 0; q < l->s; q++) {
            const float *from = x + E * (q + l->s * p);
            float *to = y + E * (q + l->s * r * p);
            lanes a[5], b[5];

            UNROLL
            for (size_t j = 0; j < r; j++) {
                a[j] = *at(from + j * E * l->s * l->m + l->re);
                b[j] = *at(from + j * E * l->s * l->m + l->im);
            }
            if (r == 2)
                butterfly2(a, b);
            else if (r == 3)
                butterfly3(a, b);
            else if (r == 4)
                butterfly4(a, b);
            else
                butterfly5(a, b);
            *to_at(to + l->re) = a[0];
            *to_at(to + l->im) = b[0];
            UNROLL
            for (size_t k = 1; k < r; k++)
                put(to + k * E * l->s, l, a + k, b + k, w + 2 * k - 2);
        }
}

/*
 * An odd radix by the sum itself. Elements j and r - j share their products:
 * z_j u + z_{r-j} conj(u) = cos (z_j + z_{r-j}) - i sin (z_j - z_{r-j}). root: cosines and sines, [r/2][r/2][2].
 */
INLINE void stage_odd(size_t r, const place *l, const float *w, const float *root, const float *x, float *y)
{
    lanes pr[HALF], pi[HALF], mr[HALF], mi[HALF];
    size_t half = r / 2, far = E * l->s * l->m;

    for (size_t p = 0; p < l->m; p++, w += 2 * (r - 1))
        for (size_t q = 0; q < l->s; q++) {
            const float *from = x + E * (q + l->s * p), *g = root;
            float *to = y + E * (q + l->s * r * p);
            lanes a = *at(from + l->re), b = *at(from + l->im), sr = a, si = b;

            for (size_t j = 0; j < half; j++) {
                const float *u = from + (j + 1) * far, *v = from + (r - 1 - j) * far;

                pr[j] = *at(u + l->re) + *at(v + l->re);
                pi[j] = *at(u + l->im) + *at(v + l->im);
                mr[j] = *at(u + l->re) - *at(v + l->re);
                mi[j] = *at(u + l->im) - *at(v + l->im);
                sr += pr[j];
                si += pi[j];
            }
            *to_at(to + l->re) = sr;
            *to_at(to + l->im) = si;
            for (size_t k = 1; k <= half; k++, g += 2 * half) {
                lanes cr = a, ci = b, dr = g[1] * mr[0], di = g[1] * mi[0], er, ei;

                cr += g[0] * pr[0];
                ci += g[0] * pi[0];
                for (size_t j = 1; j < half; j++) {
                    cr += g[2 * j] * pr[j];
                    ci += g[2 * j] * pi[j];
                    dr += g[2 * j + 1] * mr[j];
                    di += g[2 * j + 1] * mi[j];
                }
                er = cr + di;
                ei = ci - dr;
                put(to + k * E * l->s, l, &er, &ei, w + 2 * k - 2);
                er = cr - di;
                ei = ci + dr;
                put(to + (r - k) * E * l->s, l, &er, &ei, w + 2 * (r - k) - 2);
            }
        }
}

INLINE void stages(const pjd_fft_radices *f, bool backward, const float *from, float *to, float *spare)
{
    place l = {.m = f->n, .s = 1, .re = backward ? L : 0, .im = backward ? 0 : L};
    const float *w = f->twiddle, *root = f->root, *x = from;

    if (f->count == 0) /* n = 1 */
        memcpy(to, from, E * sizeof *to);
    for (size_t i = 0; i < f->count; i++) {
        size_t r = f->radix[i];
        float *y = (f->count - i) % 2 ? to : spare;

        l.m /= r;
        if (r == 2) {
            stage(2, &l, w, x, y);
        } else if (r == 3) {
            stage(3, &l, w, x, y);
        } else if (r == 4) {
            stage(4, &l, w, x, y);
        } else if (r == 5) {
            stage(5, &l, w, x, y);
        } else {
            stage_odd(r, &l, w, root, x, y);
            root += r / 2 * (r / 2) * 2;
        }
        w += 2 * (r - 1) * l.m;
        l.s *= r;
        x = y;
    }
}

INLINE void multiply(const float *from, const float *c, size_t n, bool conjugate, float *to)
{
    float sign = conjugate ? -1.0f : 1.0f;

    for (size_t i = 0; i < n; i++) {
        lanes a = *at(from + i * E), b = *at(from + i * E + L);
        float u = c[2 * i], v = sign * c[2 * i + 1];

        *to_at(to + i * E) = a * u - b * v;
        *to_at(to + i * E + L) = a * v + b * u;
    }
}

/* ---- lines and lanes ---- */

#if defined(__clang__) || __GNUC__ >= 12
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* 8 x 8 by three rounds of pairs: single elements, pairs, fours. */
INLINE void transpose8(const float *from, size_t ldf, float *to, size_t ldt)
{
    half_lanes r[8], t[8];

    UNROLL
    for (size_t i = 0; i < 8; i++)
        r[i] = *(const half_lanes *)(const void *)(from + i * ldf);
    UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = MIX(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = MIX(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        r[i] = MIX(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        r[i + 1] = MIX(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        r[i + 2] = MIX(t[i + 1], t[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        r[i + 3] = MIX(t[i + 1], t[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        *(half_lanes *)(void *)(to + i * ldt) = MIX(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        *(half_lanes *)(void *)(to + (i + 4) * ldt) = MIX(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}
#else
INLINE void transpose8(const float *from, size_t ldf, float *to, size_t ldt)
{
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++)
            to[j * ldt + i] = from[i * ldf + j];
}
#endif

INLINE void transpose16(const float *from, size_t ldf, float *to, size_t ldt)
{
    for (size_t i = 0; i < L; i += 8)
        for (size_t j = 0; j < L; j += 8)
            transpose8(from + i * ldf + j, ldf, to + j * ldt + i, ldt);
}

/* rows x cols of it there, at most 16 x 16; the rest counts as 0. */
INLINE void transpose_in(const float *from, size_t ldf, size_t rows, size_t cols, float *to, size_t ldt)
{
    float part[L * L];

    if (rows == L && cols == L) {
        transpose16(from, ldf, to, ldt);
        return;
    }
    memset(part, 0, sizeof part);
    for (size_t i = 0; i < rows; i++)
        memcpy(part + i * L, from + i * ldf, cols * sizeof *part);
    transpose16(part, L, to, ldt);
}

/* Only rows x cols of the result are wanted. */
INLINE void transpose_out(const float *from, size_t ldf, size_t rows, size_t cols, bool add, float *to, size_t ldt)
{
    float part[L * L] = {0};

    if (rows == L && cols == L && !add) {
        transpose16(from, ldf, to, ldt);
        return;
    }
    transpose16(from, ldf, part, L);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[i * ldt + j] = add ? to[i * ldt + j] + part[i * L + j] : part[i * L + j];
}

INLINE size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

INLINE void load(const float *x, size_t stride, size_t rows, size_t cols, float *z)
{
    size_t up = least(rows, L), down = rows - up;

    for (size_t i = 0; i < cols; i += L) {
        float part[L * E];
        size_t some = least(cols - i, L);
        float *to = some == L ? z + i * E : part;

        transpose_in(x + i, stride, up, some, to, E);
        transpose_in(x + i + (down ? L * stride : 0), stride, down, some, to + L, E);
        if (some < L)
            memcpy(z + i * E, part, some * E * sizeof *z);
    }
}

INLINE void store(const float *z, size_t rows, size_t cols, bool add, float *x, size_t stride)
{
    size_t up = least(rows, L), down = rows - up;

    for (size_t i = 0; i < cols; i += L) {
        float part[L * E];
        size_t some = least(cols - i, L);
        const float *from = z + i * E;

        if (some < L) {
            memset(part, 0, sizeof part);
            memcpy(part, from, some * E * sizeof *part);
            from = part;
        }
        transpose_out(from, E, up, some, add, x + i, stride);
        if (down)
            transpose_out(from + L, E, down, some, add, x + L * stride + i, stride);
    }
}

INLINE void separate(const float *z, size_t n, size_t rows, float *s, size_t group)
{
    size_t columns = n / 2 + 1, up = least(rows, L), down = rows - up;

    for (size_t k0 = 0; k0 < columns; k0 += L, s += group) {
        float part[4][L * L];

        for (size_t l = 0; l < L; l++) {
            size_t k = k0 + l < columns ? k0 + l : 0, mirror = k ? n - k : 0;
            float keep = k0 + l < columns ? 0.5f : 0.0f;
            lanes ar = *at(z + k * E), ai = *at(z + k * E + L), br = *at(z + mirror * E), bi = *at(z + mirror * E + L);

            *to_at(part[0] + l * L) = keep * (ar + br);
            *to_at(part[1] + l * L) = keep * (ai - bi);
            *to_at(part[2] + l * L) = keep * (ai + bi);
            *to_at(part[3] + l * L) = keep * (br - ar);
        }
        transpose_out(part[0], L, up, L, false, s, E);
        transpose_out(part[1], L, up, L, false, s + L, E);
        if (down) {
            transpose_out(part[2], L, down, L, false, s + L * E, E);
            transpose_out(part[3], L, down, L, false, s + L * E + L, E);
        }
    }
}

INLINE void combine(const float *s, size_t n, size_t rows, size_t group, float scale, float *z)
{
    size_t columns = n / 2 + 1, up = least(rows, L), down = rows - up;

    for (size_t k0 = 0; k0 < columns; k0 += L, s += group) {
        const float *lower = s + (down ? L * E : 0);
        float part[4][L * L];

        transpose_in(s, E, up, L, part[0], L);
        transpose_in(s + L, E, up, L, part[1], L);
        transpose_in(lower, E, down, L, part[2], L);
        transpose_in(lower + L, E, down, L, part[3], L);
        for (size_t l = 0; l < L && k0 + l < columns; l++) {
            size_t k = k0 + l, mirror = k ? n - k : 0;
            float on = k == 0 || 2 * k == n ? 0.0f : scale; /* its own mirror: real */
            lanes er = scale * *at(part[0] + l * L), ei = on * *at(part[1] + l * L);
            lanes dr = scale * *at(part[2] + l * L), di = on * *at(part[3] + l * L);

            *to_at(z + k * E) = er - di;
            *to_at(z + k * E + L) = ei + dr;
            *to_at(z + mirror * E) = er + di;
            *to_at(z + mirror * E + L) = dr - ei;
        }
    }
}

/* ---- cosine coefficients ---- */

INLINE void cosine(const float *z, const float *twist, size_t n, float *c)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = z + k * E, *b = z + (k ? n - k : 0) * E;
        float wr = 0.5f * twist[2 * k], wi = 0.5f * twist[2 * k + 1];

        *to_at(c + k * E) = wr * (*at(a) + *at(b)) - wi * (*at(a + L) - *at(b + L));
        *to_at(c + k * E + L) = wr * (*at(a + L) + *at(b + L)) - wi * (*at(b) - *at(a));
    }
}

INLINE void uncosine(const float *c, const float *twist, size_t n, float *z)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = c + k * E, *b = c + (k ? n - k : 0) * E;
        float half = k ? 0.5f : 1.0f, on = k ? -1.0f : 0.0f, wr = half * twist[2 * k], wi = -half * twist[2 * k + 1];
        lanes p = *at(a), q = on * *at(b), r = *at(a + L), t = on * *at(b + L);

        *to_at(z + k * E) = (wr * p - wi * q) - (wr * t + wi * r);
        *to_at(z + k * E + L) = (wr * q + wi * p) + (wr * r - wi * t);
    }
}

/* ---- tables ---- */

#define TABLE(isa)                                                                                                     \
    FOR_##isa static void stages_##isa(const pjd_fft_radices *r, bool backward, const float *from, float *to,          \
                                       float *spare)                                                                   \
    {                                                                                                                  \
        stages(r, backward, from, to, spare);                                                                          \
    }                                                                                                                  \
    FOR_##isa static void multiply_##isa(const float *from, const float *c, size_t n, bool conjugate, float *to)       \
    {                                                                                                                  \
        multiply(from, c, n, conjugate, to);                                                                           \
    }                                                                                                                  \
    FOR_##isa static void load_##isa(const float *x, size_t stride, size_t rows, size_t cols, float *z)                \
    {                                                                                                                  \
        load(x, stride, rows, cols, z);                                                                                \
    }                                                                                                                  \
    FOR_##isa static void store_##isa(const float *z, size_t rows, size_t cols, bool add, float *x, size_t stride)     \
    {                                                                                                                  \
        store(z, rows, cols, add, x, stride);                                                                          \
    }                                                                                                                  \
    FOR_##isa static void separate_##isa(const float *z, size_t n, size_t rows, float *s, size_t group)                \
    {                                                                                                                  \
        separate(z, n, rows, s, group);                                                                                \
    }                                                                                                                  \
    FOR_##isa static void combine_##isa(const float *s, size_t n, size_t rows, size_t group, float scale, float *z)    \
    {                                                                                                                  \
        combine(s, n, rows, group, scale, z);                                                                          \
    }                                                                                                                  \
    FOR_##isa static void cosine_##isa(const float *z, const float *twist, size_t n, float *c)                         \
    {                                                                                                                  \
        cosine(z, twist, n, c);                                                                                        \
    }                                                                                                                  \
    FOR_##isa static void uncosine_##isa(const float *c, const float *twist, size_t n, float *z)                       \
    {                                                                                                                  \
        uncosine(c, twist, n, z);                                                                                      \
    }                                                                                                                  \
    static const pjd_fft_loops loops_##isa = {                                                                         \
        .stages = stages_##isa,                                                                                        \
        .multiply = multiply_##isa,                                                                                    \
        .load = load_##isa,                                                                                            \
        .store = store_##isa,                                                                                          \
        .separate = separate_##isa,                                                                                    \
        .combine = combine_##isa,                                                                                      \
        .cosine = cosine_##isa,                                                                                        \
        .uncosine = uncosine_##isa,                                                                                    \
    };

#define FOR_any
TABLE(any)
#if defined(__x86_64__)
#define FOR_avx2 __attribute__((target("avx2")))
TABLE(avx2)
/* gcc 12 puts 64-byte locals on the frames of detect_stack_use_after_return, which are aligned to 32 (its PR 110027): with
   its address sanitizer the same source is checked in the other two tables. */
#ifndef __SANITIZE_ADDRESS__
#define FOR_avx512 __attribute__((target("avx512f,avx512dq,avx512vl")))
TABLE(avx512)
#endif
#endif

const pjd_fft_loops *pjd_fft_loops_at(size_t i)
{
    const pjd_fft_loops *found[3];
    size_t n = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
#ifndef __SANITIZE_ADDRESS__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found[n++] = &loops_avx512;
#endif
    if (__builtin_cpu_supports("avx2"))
        found[n++] = &loops_avx2;
#endif
    found[n++] = &loops_any;
    return i < n ? found[i] : NULL;
}
