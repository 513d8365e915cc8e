/* SPDX-License-Identifier: MIT */
/* AVX-512: tiles of 6 rows by up to 4 vectors, 24 sums in registers. */
#include "kernels/x86/x86.h"

#ifdef PJD_X86
#include <immintrin.h>
#include <math.h>

#define MR 6
#define NR 64
#define INLINE static inline __attribute__((always_inline))

/*
 * exp(x) in float32: x = n ln 2 + r with |r| <= ln 2 / 2, a degree 6 polynomial (error below 1.2 units in the last place),
 * scaled by 2^n in a way that underflows gradually and overflows to infinity; NaN passes through.
 */
INLINE __m512 exp16(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    __m512 p;

    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Far outside the range of exp, n would lose r: clamp first. min and max return their second operand for NaN. */
INLINE __m512 exp16_any(__m512 x)
{
    x = _mm512_min_ps(_mm512_set1_ps(90.0f), x);
    return exp16(_mm512_max_ps(_mm512_set1_ps(-110.0f), x));
}

INLINE __m512 silu16(__m512 x)
{
    __m512 e = exp16_any(_mm512_sub_ps(_mm512_setzero_ps(), x));

    return _mm512_div_ps(x, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

/* Gelu is rare (audio): through the C library, lane by lane. */
static __m512 gelu16(__m512 x)
{
    float v[16];

    _mm512_storeu_ps(v, x);
    for (int i = 0; i < 16; i++)
        v[i] = 0.5f * v[i] * (1.0f + erff(v[i] * 0.70710678f));
    return _mm512_loadu_ps(v);
}

INLINE __m512 act16(pjd_kact act, __m512 x)
{
    return act == PJD_KACT_SILU ? silu16(x) : act == PJD_KACT_GELU ? gelu16(x) : x;
}

INLINE __mmask16 tail(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

static void act_row(pjd_kact act, size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = tail(n - i);

        _mm512_mask_storeu_ps(y + i, k, act16(act, _mm512_maskz_loadu_ps(k, x + i)));
    }
}

/* m rows by v vectors; both are constants where this is inlined. */
INLINE void tile(const size_t m, const size_t v, size_t groups, const size_t *kc, const float *const *a, const float *b,
                 size_t n, float *c, size_t ldc, const pjd_epilogue *e)
{
    __m512 sum[MR][4], w[4];

    PJD_UNROLL(6)
    for (size_t i = 0; i < m; i++) {
        PJD_UNROLL(4)
        for (size_t j = 0; j < v; j++)
            sum[i][j] = _mm512_setzero_ps();
    }
    for (size_t g = 0; g < groups; g++, a += MR) {
        const float *const row[MR] = {a[0], a[1], a[2], a[3], a[4], a[5]};

        for (size_t k = 0; k < kc[g]; k++, b += 16 * v) {
            PJD_UNROLL(4)
            for (size_t j = 0; j < v; j++)
                w[j] = _mm512_load_ps(b + 16 * j);
            PJD_UNROLL(6)
            for (size_t i = 0; i < m; i++) {
                __m512 y = _mm512_set1_ps(row[i][k]);

                PJD_UNROLL(4)
                for (size_t j = 0; j < v; j++)
                    sum[i][j] = _mm512_fmadd_ps(y, w[j], sum[i][j]);
            }
        }
    }
    PJD_UNROLL(4)
    for (size_t j = 0; j < v; j++) {
        __mmask16 k = tail(n > 16 * j ? n - 16 * j : 0);
        __m512 bias = e->bias ? _mm512_maskz_loadu_ps(k, e->bias + 16 * j) : _mm512_setzero_ps();
        __m512 bias2 = e->bias2 ? _mm512_maskz_loadu_ps(k, e->bias2 + 16 * j) : _mm512_setzero_ps();

        PJD_UNROLL(6)
        for (size_t i = 0; i < m; i++) {
            __m512 s = _mm512_add_ps(_mm512_add_ps(sum[i][j], bias), bias2);

            if (e->add)
                s = _mm512_add_ps(s, _mm512_maskz_loadu_ps(k, e->add + i * e->ld_add + 16 * j));
            _mm512_mask_storeu_ps(c + i * ldc + 16 * j, k, s);
        }
    }
    if (e->act != PJD_KACT_NONE)
        for (size_t i = 0; i < m; i++)
            act_row(e->act, n, c + i * ldc, c + i * ldc);
}

#define TILE(m, v)                                                                                                     \
    static void tile_##m##_##v(size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n,       \
                               float *c, size_t ldc, const pjd_epilogue *e)                                            \
    {                                                                                                                  \
        tile(m, v, groups, kc, a, b, n, c, ldc, e);                                                                    \
    }
#define TILES(m) TILE(m, 1) TILE(m, 2) TILE(m, 3) TILE(m, 4)
/* clang-format off: it takes these for the start of the next declaration */
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
/* clang-format on */

typedef void (*tile_fn)(size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n, float *c,
                        size_t ldc, const pjd_epilogue *e);
#define ROW(m)                                                                                                         \
    {                                                                                                                  \
        tile_##m##_1, tile_##m##_2, tile_##m##_3, tile_##m##_4                                                         \
    }
static const tile_fn tiles[MR][4] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6)};

static void gemm(size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n, float *c,
                 size_t ldc, const pjd_epilogue *e)
{
    tiles[m - 1][(n - 1) / 16](groups, kc, a, b, n, c, ldc, e);
}

static void stats(size_t rows, size_t c, const float *x, size_t ldx, const float *shift, float *sum, float *squares)
{
    for (size_t j = 0; j < c; j += 32) {
        __mmask16 k0 = tail(c - j), k1 = tail(c - j > 16 ? c - j - 16 : 0);
        __m512 s0 = _mm512_maskz_loadu_ps(k0, shift + j), s1 = _mm512_maskz_loadu_ps(k1, shift + j + 16);
        __m512 a0 = _mm512_maskz_loadu_ps(k0, sum + j), a1 = _mm512_maskz_loadu_ps(k1, sum + j + 16);
        __m512 q0 = _mm512_maskz_loadu_ps(k0, squares + j), q1 = _mm512_maskz_loadu_ps(k1, squares + j + 16);
        const float *p = x + j;

        for (size_t i = 0; i < rows; i++, p += ldx) {
            __m512 d0 = _mm512_sub_ps(_mm512_maskz_loadu_ps(k0, p), s0);
            __m512 d1 = _mm512_sub_ps(_mm512_maskz_loadu_ps(k1, p + 16), s1);

            a0 = _mm512_add_ps(a0, d0);
            a1 = _mm512_add_ps(a1, d1);
            q0 = _mm512_fmadd_ps(d0, d0, q0);
            q1 = _mm512_fmadd_ps(d1, d1, q1);
        }
        _mm512_mask_storeu_ps(sum + j, k0, a0);
        _mm512_mask_storeu_ps(sum + j + 16, k1, a1);
        _mm512_mask_storeu_ps(squares + j, k0, q0);
        _mm512_mask_storeu_ps(squares + j + 16, k1, q1);
    }
}

/* Columns outside, so that a channel's numbers stay in registers; two vectors, to overlap their latencies. */
INLINE void norm_block(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                       const float *offset, const pjd_kact act, float *y, size_t ldy)
{
    size_t j = 0;

    for (; j + 32 <= c; j += 32) {
        __m512 m0 = _mm512_loadu_ps(mean + j), s0 = _mm512_loadu_ps(scale + j), o0 = _mm512_loadu_ps(offset + j);
        __m512 m1 = _mm512_loadu_ps(mean + j + 16), s1 = _mm512_loadu_ps(scale + j + 16);
        __m512 o1 = _mm512_loadu_ps(offset + j + 16);

        for (size_t i = 0; i < rows; i++) {
            __m512 a = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i * ldx + j), m0), s0, o0);
            __m512 b = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i * ldx + j + 16), m1), s1, o1);

            _mm512_storeu_ps(y + i * ldy + j, act16(act, a));
            _mm512_storeu_ps(y + i * ldy + j + 16, act16(act, b));
        }
    }
    for (; j < c; j += 16) {
        __mmask16 k = tail(c - j);
        __m512 m = _mm512_maskz_loadu_ps(k, mean + j), s = _mm512_maskz_loadu_ps(k, scale + j);
        __m512 o = _mm512_maskz_loadu_ps(k, offset + j);

        for (size_t i = 0; i < rows; i++) {
            __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(k, x + i * ldx + j), m);

            _mm512_mask_storeu_ps(y + i * ldy + j, k, act16(act, _mm512_fmadd_ps(d, s, o)));
        }
    }
}

/* A few rows at a time: they stay in the first cache while the columns pass. */
INLINE void norm_rows(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                      const float *offset, const pjd_kact act, float *y, size_t ldy)
{
    for (size_t i = 0; i < rows; i += 16)
        norm_block(rows - i < 16 ? rows - i : 16, c, x + i * ldx, ldx, mean, scale, offset, act, y + i * ldy, ldy);
}

static void norm(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                 const float *offset, pjd_kact act, float *y, size_t ldy)
{
    if (act == PJD_KACT_SILU)
        norm_rows(rows, c, x, ldx, mean, scale, offset, PJD_KACT_SILU, y, ldy);
    else if (act == PJD_KACT_GELU)
        norm_rows(rows, c, x, ldx, mean, scale, offset, PJD_KACT_GELU, y, ldy);
    else
        norm_rows(rows, c, x, ldx, mean, scale, offset, PJD_KACT_NONE, y, ldy);
}

static float row_max(size_t n, const float *x)
{
    __m512 m = _mm512_set1_ps(-INFINITY);

    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = tail(n - i);

        m = _mm512_mask_max_ps(m, k, _mm512_maskz_loadu_ps(k, x + i), m);
    }
    return _mm512_reduce_max_ps(m);
}

static float row_exp(size_t n, float *x, float scale, float max)
{
    __m512 s = _mm512_setzero_ps(), a = _mm512_set1_ps(scale), m = _mm512_set1_ps(max);

    for (size_t i = 0; i < n; i += 16) {
        __mmask16 k = tail(n - i);
        __m512 e = exp16_any(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(k, x + i), a, m));

        _mm512_mask_storeu_ps(x + i, k, e);
        s = _mm512_mask_add_ps(s, k, s, e);
    }
    return _mm512_reduce_add_ps(s);
}

#define WV __m512
#define WL 16
#define W_LOAD(p) _mm512_loadu_ps(p)
#define W_STORE(p, v) _mm512_storeu_ps(p, v)
#define W_LOADN(p, n) _mm512_maskz_loadu_ps(tail(n), p)
#define W_STOREN(p, n, v) _mm512_mask_storeu_ps(p, tail(n), v)
#define W_SET(x) _mm512_set1_ps(x)
#define W_ADD(a, b) _mm512_add_ps(a, b)
#define W_SUB(a, b) _mm512_sub_ps(a, b)
#define W_MUL(a, b) _mm512_mul_ps(a, b)
#define W_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define W_ACT(act, v) act16(act, v)
#include "kernels/wino_tmpl.h"

/* 16 x 16: within lanes of four first, then the lanes themselves. */
INLINE void transpose16(__m512 *r)
{
    __m512 t[16];

    PJD_UNROLL(8)
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    PJD_UNROLL(4)
    for (size_t i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);

        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    PJD_UNROLL(4)
    for (size_t j = 0; j < 4; j++) {
        __m512 a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88), b = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
        __m512 c = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd), d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);

        r[j] = _mm512_shuffle_f32x4(a, b, 0x88);
        r[4 + j] = _mm512_shuffle_f32x4(c, d, 0x88);
        r[8 + j] = _mm512_shuffle_f32x4(a, b, 0xdd);
        r[12 + j] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

#define W_STREAM(p, v) _mm512_stream_ps(p, v)
#define W_FENCE() _mm_sfence()
#define W_ZERO() _mm512_setzero_ps()
#define W_TRANSPOSE(r) transpose16(r)
#define DV __m512d
#define D_LOW(v) _mm512_cvtps_pd(_mm512_castps512_ps256(v))
#define D_HIGH(v) _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))
#define D_JOIN(low, high) _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1)
#define D_SET(x) _mm512_set1_pd(x)
#define D_ADD(a, b) _mm512_add_pd(a, b)
#define D_SUB(a, b) _mm512_sub_pd(a, b)
#define D_MUL(a, b) _mm512_mul_pd(a, b)
#define D_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#include "kernels/pack_tmpl.h"

const pjd_kernels pjd_kernels_avx512 = {
    .name = "avx512",
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
