/* SPDX-License-Identifier: MIT */
/*
 * Winograd's minimal filtering F(m x m, 3 x 3), transforms of inputs and outputs, m = 4 and 2 (Lavin & Gray 2016). Included
 * by each table's file after it defines a vector: WV (type), WL (lanes), W_LOAD(p), W_STORE(p, v), W_LOADN(p, n),
 * W_STOREN(p, n, v) (first n lanes), W_SET(x), W_ADD, W_SUB, W_MUL(a, b), W_FMA(a, b, c) = a b + c, W_ACT(act, v).
 *
 * Points of m = 4: 0, +-A, +-B, infinity with A = 5/8, B = 3/2, which keep the rounding error near that of the direct sum
 * (the textbook's 1 and 2 double it). Rows of the input transform are the coefficients of prod (x - other points); the
 * division by prod (point - other points) is in the weights (pjd_wino_weight). Points of m = 2: 0, 1, -1, infinity.
 */
#define W_INLINE static inline __attribute__((always_inline))
#define W_A 0.625f
#define W_B 1.5f

/* One dimension: 6 inputs to 6. */
W_INLINE void wino4_in1(const WV d0, const WV d1, const WV d2, const WV d3, const WV d4, const WV d5, WV *o,
                        size_t step)
{
    const WV na2 = W_SET(-W_A * W_A), nb2 = W_SET(-W_B * W_B), s = W_SET(-W_A * W_A - W_B * W_B);
    const WV p = W_SET(W_A * W_A * W_B * W_B), a = W_SET(W_A), b = W_SET(W_B);
    WV t1 = W_FMA(nb2, d2, d4), t2 = W_MUL(a, W_FMA(nb2, d1, d3)), u1 = W_FMA(na2, d2, d4);
    WV u2 = W_MUL(b, W_FMA(na2, d1, d3));

    o[0] = W_FMA(p, d0, W_FMA(s, d2, d4));
    o[step] = W_ADD(t1, t2);
    o[2 * step] = W_SUB(t1, t2);
    o[3 * step] = W_ADD(u1, u2);
    o[4 * step] = W_SUB(u1, u2);
    o[5 * step] = W_FMA(p, d1, W_FMA(s, d3, d5));
}

/* One dimension: 6 products to 4 outputs. */
W_INLINE void wino4_out1(const WV m0, const WV m1, const WV m2, const WV m3, const WV m4, const WV m5, WV *o,
                         size_t step)
{
    const WV a = W_SET(W_A), b = W_SET(W_B), a2 = W_SET(W_A * W_A), b2 = W_SET(W_B * W_B);
    const WV a3 = W_SET(W_A * W_A * W_A), b3 = W_SET(W_B * W_B * W_B);
    WV p = W_ADD(m1, m2), q = W_SUB(m1, m2), r = W_ADD(m3, m4), s = W_SUB(m3, m4);

    o[0] = W_ADD(W_ADD(m0, p), r);
    o[step] = W_FMA(b, s, W_MUL(a, q));
    o[2 * step] = W_FMA(b2, r, W_MUL(a2, p));
    o[3 * step] = W_ADD(W_FMA(b3, s, W_MUL(a3, q)), m5);
}

W_INLINE void wino2_in1(const WV d0, const WV d1, const WV d2, const WV d3, WV *o, size_t step)
{
    o[0] = W_SUB(d0, d2);
    o[step] = W_ADD(d1, d2);
    o[2 * step] = W_SUB(d2, d1);
    o[3 * step] = W_SUB(d3, d1);
}

W_INLINE void wino2_out1(const WV m0, const WV m1, const WV m2, const WV m3, WV *o, size_t step)
{
    o[0] = W_ADD(W_ADD(m0, m1), m2);
    o[step] = W_ADD(W_SUB(m1, m2), m3);
}

/* The 36 (16) inputs of n <= WL channels at offset k, transformed to v[xi * stride + k]. */
W_INLINE void wino4_in_lanes(const float *const *src, size_t k, const bool whole, size_t n, float *v, size_t stride)
{
    WV t[36], r[6];

    for (size_t j = 0; j < 6; j++) {
        WV d[6];

        for (size_t i = 0; i < 6; i++)
            d[i] = whole ? W_LOAD(src[6 * i + j] + k) : W_LOADN(src[6 * i + j] + k, n);
        wino4_in1(d[0], d[1], d[2], d[3], d[4], d[5], t + j, 6);
    }
    for (size_t i = 0; i < 6; i++) {
        const WV *d = t + 6 * i;

        wino4_in1(d[0], d[1], d[2], d[3], d[4], d[5], r, 1);
        for (size_t j = 0; j < 6; j++) {
            float *o = v + (6 * i + j) * stride + k;

            if (whole)
                W_STORE(o, r[j]);
            else
                W_STOREN(o, n, r[j]);
        }
    }
}

W_INLINE void wino2_in_lanes(const float *const *src, size_t k, const bool whole, size_t n, float *v, size_t stride)
{
    WV t[16], r[4];

    for (size_t j = 0; j < 4; j++) {
        WV d[4];

        for (size_t i = 0; i < 4; i++)
            d[i] = whole ? W_LOAD(src[4 * i + j] + k) : W_LOADN(src[4 * i + j] + k, n);
        wino2_in1(d[0], d[1], d[2], d[3], t + j, 4);
    }
    for (size_t i = 0; i < 4; i++) {
        const WV *d = t + 4 * i;

        wino2_in1(d[0], d[1], d[2], d[3], r, 1);
        for (size_t j = 0; j < 4; j++) {
            float *o = v + (4 * i + j) * stride + k;

            if (whole)
                W_STORE(o, r[j]);
            else
                W_STOREN(o, n, r[j]);
        }
    }
}

/* Bias, residual, activation and store of a rows x m block of outputs y[i * m + j]. */
W_INLINE void wino_store(const size_t rows, const size_t m, const WV *y, const pjd_wino_out *o, size_t k,
                         const bool whole, size_t n)
{
    WV bias = W_SET(0.0f);

    if (o->bias)
        bias = whole ? W_LOAD(o->bias + k) : W_LOADN(o->bias + k, n);
    if (o->bias2)
        bias = W_ADD(bias, whole ? W_LOAD(o->bias2 + k) : W_LOADN(o->bias2 + k, n));
    for (size_t i = 0; i < rows && i < o->h; i++)
        for (size_t j = 0; j < m && j < o->w; j++) {
            size_t at = i * o->ld_y + j * o->ld_x + k;
            WV s = W_ADD(y[i * m + j], bias);

            if (o->add)
                s = W_ADD(s, whole ? W_LOAD(o->add + at) : W_LOADN(o->add + at, n));
            if (o->act != PJD_KACT_NONE)
                s = W_ACT(o->act, s);
            if (whole)
                W_STORE(o->y + at, s);
            else
                W_STOREN(o->y + at, n, s);
        }
}

W_INLINE void wino4_out_lanes(const float *p, size_t stride, size_t k, const bool whole, size_t n,
                              const pjd_wino_out *o)
{
    WV t[24], y[16];

    for (size_t j = 0; j < 6; j++) {
        WV d[6];

        for (size_t i = 0; i < 6; i++)
            d[i] = whole ? W_LOAD(p + (6 * i + j) * stride + k) : W_LOADN(p + (6 * i + j) * stride + k, n);
        wino4_out1(d[0], d[1], d[2], d[3], d[4], d[5], t + j, 6);
    }
    for (size_t i = 0; i < 4; i++) {
        const WV *d = t + 6 * i;

        wino4_out1(d[0], d[1], d[2], d[3], d[4], d[5], y + 4 * i, 1);
    }
    wino_store(4, 4, y, o, k, whole, n);
}

W_INLINE void wino2_out_lanes(const float *p, size_t stride, size_t k, const bool whole, size_t n,
                              const pjd_wino_out *o)
{
    WV t[8], y[4];

    for (size_t j = 0; j < 4; j++) {
        WV d[4];

        for (size_t i = 0; i < 4; i++)
            d[i] = whole ? W_LOAD(p + (4 * i + j) * stride + k) : W_LOADN(p + (4 * i + j) * stride + k, n);
        wino2_out1(d[0], d[1], d[2], d[3], t + j, 4);
    }
    for (size_t i = 0; i < 2; i++)
        wino2_out1(t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3], y + 2 * i, 1);
    wino_store(2, 2, y, o, k, whole, n);
}

/* One row of tiles: F(4, 3). */
W_INLINE void line4_in_lanes(const float *const *src, size_t k, const bool whole, size_t n, float *v, size_t stride)
{
    WV d[6], r[6];

    for (size_t j = 0; j < 6; j++)
        d[j] = whole ? W_LOAD(src[j] + k) : W_LOADN(src[j] + k, n);
    wino4_in1(d[0], d[1], d[2], d[3], d[4], d[5], r, 1);
    for (size_t j = 0; j < 6; j++) {
        if (whole)
            W_STORE(v + j * stride + k, r[j]);
        else
            W_STOREN(v + j * stride + k, n, r[j]);
    }
}

W_INLINE void line4_out_lanes(const float *p, size_t stride, size_t k, const bool whole, size_t n,
                              const pjd_wino_out *o)
{
    WV d[6], y[4];

    for (size_t j = 0; j < 6; j++)
        d[j] = whole ? W_LOAD(p + j * stride + k) : W_LOADN(p + j * stride + k, n);
    wino4_out1(d[0], d[1], d[2], d[3], d[4], d[5], y, 1);
    wino_store(1, 4, y, o, k, whole, n);
}

static void line4_input(size_t c, const float *const *src, float *v, size_t stride)
{
    size_t k = 0;

    for (; k + WL <= c; k += WL)
        line4_in_lanes(src, k, true, WL, v, stride);
    if (k < c)
        line4_in_lanes(src, k, false, c - k, v, stride);
}

static void line4_output(size_t n, const float *p, size_t stride, const pjd_wino_out *o)
{
    size_t k = 0;

    for (; k + WL <= n; k += WL)
        line4_out_lanes(p, stride, k, true, WL, o);
    if (k < n)
        line4_out_lanes(p, stride, k, false, n - k, o);
}

static void wino4_input(size_t c, const float *const *src, float *v, size_t stride)
{
    size_t k = 0;

    for (; k + WL <= c; k += WL)
        wino4_in_lanes(src, k, true, WL, v, stride);
    if (k < c)
        wino4_in_lanes(src, k, false, c - k, v, stride);
}

static void wino2_input(size_t c, const float *const *src, float *v, size_t stride)
{
    size_t k = 0;

    for (; k + WL <= c; k += WL)
        wino2_in_lanes(src, k, true, WL, v, stride);
    if (k < c)
        wino2_in_lanes(src, k, false, c - k, v, stride);
}

static void wino4_output(size_t n, const float *p, size_t stride, const pjd_wino_out *o)
{
    size_t k = 0;

    for (; k + WL <= n; k += WL)
        wino4_out_lanes(p, stride, k, true, WL, o);
    if (k < n)
        wino4_out_lanes(p, stride, k, false, n - k, o);
}

static void wino2_output(size_t n, const float *p, size_t stride, const pjd_wino_out *o)
{
    size_t k = 0;

    for (; k + WL <= n; k += WL)
        wino2_out_lanes(p, stride, k, true, WL, o);
    if (k < n)
        wino2_out_lanes(p, stride, k, false, n - k, o);
}
