/* SPDX-License-Identifier: MIT */
/* AVX2 and FMA: tiles of 6 rows by 2 vectors, 12 sums in registers. */
#include "kernels/x86/x86.h"

#ifdef PJD_X86
#include <immintrin.h>
#include <math.h>

#define MR 6
#define NR 16
#define INLINE static inline __attribute__((always_inline))

/* As exp16 of avx512.c; 2^n in two factors, so that it underflows gradually and overflows to infinity. */
INLINE __m256 exp8(__m256 x)
{
    __m256 n, r, p;
    __m256i i, h;

    /* min and max return their second operand for NaN */
    x = _mm256_max_ps(_mm256_set1_ps(-110.0f), _mm256_min_ps(_mm256_set1_ps(90.0f), x));
    n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
    i = _mm256_cvtps_epi32(n);
    h = _mm256_srai_epi32(i, 1);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, _mm256_set1_epi32(127)), 23)));
    h = _mm256_sub_epi32(i, h);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, _mm256_set1_epi32(127)), 23)));
}

INLINE __m256 silu8(__m256 x)
{
    __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), x));

    return _mm256_div_ps(x, _mm256_add_ps(e, _mm256_set1_ps(1.0f)));
}

static float gelu1(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
}

static __m256 gelu8(__m256 x)
{
    float v[8];

    _mm256_storeu_ps(v, x);
    for (int i = 0; i < 8; i++)
        v[i] = gelu1(v[i]);
    return _mm256_loadu_ps(v);
}

INLINE __m256 act8(pjd_kact act, __m256 x)
{
    return act == PJD_KACT_SILU ? silu8(x) : act == PJD_KACT_GELU ? gelu8(x) : x;
}

/* Lanes below n. */
INLINE __m256i tail(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > 8 ? 8 : (int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE size_t left(size_t n, size_t j)
{
    return n > j ? n - j : 0;
}

/* The first n lanes; masked stores are slow on some processors, so whole vectors take the plain instructions. */
INLINE __m256 load_some(const float *p, size_t n)
{
    return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, tail(n));
}

INLINE void store_some(float *p, size_t n, __m256 v)
{
    if (n >= 8)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, tail(n), v);
}

static void act_row(pjd_kact act, size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i += 8)
        store_some(y + i, n - i, act8(act, load_some(x + i, n - i)));
}

INLINE void tile(const size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n,
                 float *c, size_t ldc, const pjd_epilogue *e)
{
    __m256 sum[MR][2];

    PJD_UNROLL(6)
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (size_t g = 0; g < groups; g++, a += MR) {
        const float *const row[MR] = {a[0], a[1], a[2], a[3], a[4], a[5]};

        for (size_t k = 0; k < kc[g]; k++, b += NR) {
            __m256 w0 = _mm256_load_ps(b), w1 = _mm256_load_ps(b + 8);

            PJD_UNROLL(6)
            for (size_t i = 0; i < m; i++) {
                __m256 y = _mm256_broadcast_ss(row[i] + k);

                sum[i][0] = _mm256_fmadd_ps(y, w0, sum[i][0]);
                sum[i][1] = _mm256_fmadd_ps(y, w1, sum[i][1]);
            }
        }
    }
    PJD_UNROLL(2)
    for (size_t j = 0; j < 2; j++) {
        size_t here = left(n, 8 * j);
        __m256 bias = e->bias ? load_some(e->bias + 8 * j, here) : _mm256_setzero_ps();
        __m256 bias2 = e->bias2 ? load_some(e->bias2 + 8 * j, here) : _mm256_setzero_ps();

        PJD_UNROLL(6)
        for (size_t i = 0; i < m; i++) {
            __m256 s = _mm256_add_ps(_mm256_add_ps(sum[i][j], bias), bias2);

            if (e->add)
                s = _mm256_add_ps(s, load_some(e->add + i * e->ld_add + 8 * j, here));
            store_some(c + i * ldc + 8 * j, here, s);
        }
    }
    if (e->act != PJD_KACT_NONE)
        for (size_t i = 0; i < m; i++)
            act_row(e->act, n, c + i * ldc, c + i * ldc);
}

static void gemm(size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n, float *c,
                 size_t ldc, const pjd_epilogue *e)
{
    switch (m) {
    case 6:
        tile(6, groups, kc, a, b, n, c, ldc, e);
        break;
    case 5:
        tile(5, groups, kc, a, b, n, c, ldc, e);
        break;
    case 4:
        tile(4, groups, kc, a, b, n, c, ldc, e);
        break;
    case 3:
        tile(3, groups, kc, a, b, n, c, ldc, e);
        break;
    case 2:
        tile(2, groups, kc, a, b, n, c, ldc, e);
        break;
    default:
        tile(1, groups, kc, a, b, n, c, ldc, e);
        break;
    }
}

static void stats(size_t rows, size_t c, const float *x, size_t ldx, const float *shift, float *sum, float *squares)
{
    for (size_t j = 0; j < c; j += 8) {
        __m256i k = tail(c - j);
        __m256 s = _mm256_maskload_ps(shift + j, k), a = _mm256_maskload_ps(sum + j, k);
        __m256 q = _mm256_maskload_ps(squares + j, k);
        const float *p = x + j;

        for (size_t i = 0; i < rows; i++, p += ldx) {
            __m256 d = _mm256_sub_ps(_mm256_maskload_ps(p, k), s);

            a = _mm256_add_ps(a, d);
            q = _mm256_fmadd_ps(d, d, q);
        }
        _mm256_maskstore_ps(sum + j, k, a);
        _mm256_maskstore_ps(squares + j, k, q);
    }
}

static void norm(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                 const float *offset, pjd_kact act, float *y, size_t ldy)
{
    for (size_t i = 0; i < rows; i++, x += ldx, y += ldy)
        for (size_t j = 0; j < c; j += 8) {
            __m256 d = _mm256_sub_ps(load_some(x + j, c - j), load_some(mean + j, c - j));

            d = _mm256_fmadd_ps(d, load_some(scale + j, c - j), load_some(offset + j, c - j));
            store_some(y + j, c - j, act8(act, d));
        }
}

static float row_max(size_t n, const float *x)
{
    float m = -INFINITY;

    for (size_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static float row_exp(size_t n, float *x, float scale, float max)
{
    __m256 s = _mm256_setzero_ps(), a = _mm256_set1_ps(scale), m = _mm256_set1_ps(max);
    float v[8], sum = 0;

    for (size_t i = 0; i < n; i += 8) {
        __m256 e = exp8(_mm256_fmsub_ps(load_some(x + i, n - i), a, m));

        store_some(x + i, n - i, e);
        s = _mm256_add_ps(s, _mm256_and_ps(e, _mm256_castsi256_ps(tail(n - i))));
    }
    _mm256_storeu_ps(v, s);
    for (size_t i = 0; i < 8; i++)
        sum += v[i];
    return sum;
}

#define WV __m256
#define WL 8
#define W_LOAD(p) _mm256_loadu_ps(p)
#define W_STORE(p, v) _mm256_storeu_ps(p, v)
#define W_LOADN(p, n) _mm256_maskload_ps(p, tail(n))
#define W_STOREN(p, n, v) _mm256_maskstore_ps(p, tail(n), v)
#define W_SET(x) _mm256_set1_ps(x)
#define W_ADD(a, b) _mm256_add_ps(a, b)
#define W_SUB(a, b) _mm256_sub_ps(a, b)
#define W_MUL(a, b) _mm256_mul_ps(a, b)
#define W_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define W_ACT(act, v) act8(act, v)
#include "kernels/wino_tmpl.h"

/* 8 x 8: within lanes of four first, then the lanes themselves. */
INLINE void transpose8(__m256 *r)
{
    __m256 t[8];

    PJD_UNROLL(4)
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    PJD_UNROLL(2)
    for (size_t i = 0; i < 8; i += 4) {
        __m256d a = _mm256_castps_pd(t[i]), b = _mm256_castps_pd(t[i + 1]);
        __m256d c = _mm256_castps_pd(t[i + 2]), d = _mm256_castps_pd(t[i + 3]);

        r[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        r[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        r[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        r[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
    PJD_UNROLL(4)
    for (size_t j = 0; j < 4; j++) {
        t[j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x20);
        t[4 + j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x31);
    }
    PJD_UNROLL(8)
    for (size_t j = 0; j < 8; j++)
        r[j] = t[j];
}

#define W_STREAM(p, v) _mm256_stream_ps(p, v)
#define W_FENCE() _mm_sfence()
#define W_ZERO() _mm256_setzero_ps()
#define W_TRANSPOSE(r) transpose8(r)
#define DV __m256d
#define D_LOW(v) _mm256_cvtps_pd(_mm256_castps256_ps128(v))
#define D_HIGH(v) _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))
#define D_JOIN(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1)
#define D_SET(x) _mm256_set1_pd(x)
#define D_ADD(a, b) _mm256_add_pd(a, b)
#define D_SUB(a, b) _mm256_sub_pd(a, b)
#define D_MUL(a, b) _mm256_mul_pd(a, b)
#define D_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#include "kernels/pack_tmpl.h"

const pjd_kernels pjd_kernels_avx2 = {
    .name = "avx2",
    .mr = MR,
    .nr = NR,
    .gemm = gemm,
    .stats = stats,
    .norm = norm,
    .act = act_row,
    .row_max = row_max,
    .row_exp = row_exp,
    .wino4_input = wino4_input,
    .wino4_output = wino4_output,
    .wino2_input = wino2_input,
    .wino2_output = wino2_output,
    .wino5_output = wino5_output,
    .line4_input = line4_input,
    .line4_output = line4_output,
    .pack_weight = pack_weight,
    .wino_weight = wino_weight,
    .line_weight = line_weight,
};
#endif
