/* SPDX-License-Identifier: MIT */
/*
 * Winograd's minimal filtering F(m x m, 3 x 3), transforms of inputs and outputs, m = 4 and 2 (Lavin & Gray 2016), and F(5 x 5,
 * 2 x 2), m = 5, which has the points of m = 4 and so its transform of inputs. Included
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

/* Of two taps there are 5. */
W_INLINE void wino5_out1(const WV m0, const WV m1, const WV m2, const WV m3, const WV m4, const WV m5, WV *o,
                         size_t step)
{
    const WV a4 = W_SET(W_A * W_A * W_A * W_A), b4 = W_SET(W_B * W_B * W_B * W_B);

    wino4_out1(m0, m1, m2, m3, m4, W_SET(0.0f), o, step);
    o[4 * step] = W_ADD(W_FMA(b4, W_ADD(m3, m4), W_MUL(a4, W_ADD(m1, m2))), m5);
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

W_INLINE void wino_in1(const size_t m, const WV *d, WV *o, size_t step)
{
    if (m == 4)
        wino4_in1(d[0], d[1], d[2], d[3], d[4], d[5], o, step);
    else
        wino2_in1(d[0], d[1], d[2], d[3], o, step);
}

W_INLINE void wino_out1(const size_t m, const WV *d, WV *o, size_t step)
{
    if (m == 5)
        wino5_out1(d[0], d[1], d[2], d[3], d[4], d[5], o, step);
    else if (m == 4)
        wino4_out1(d[0], d[1], d[2], d[3], d[4], d[5], o, step);
    else
        wino2_out1(d[0], d[1], d[2], d[3], o, step);
}

/*
 * The (m + 2)^2 inputs of n <= WL channels at offset k, transformed to v[xi * stride + k]; of a line, one row of a picture,
 * m + 2. `whole`: n is WL.
 */
W_INLINE void wino_in_lanes(const size_t m, const bool line, const float *const *src, size_t k, const bool whole,
                            size_t n, float *v, size_t stride)
{
    const size_t t = m + 2, rows = line ? 1 : t;
    WV a[36], r[6];

    for (size_t j = 0; j < t; j++) {
        WV d[6];

        for (size_t i = 0; i < rows; i++)
            d[i] = whole ? W_LOAD(src[t * i + j] + k) : W_LOADN(src[t * i + j] + k, n);
        if (line)
            a[j] = d[0];
        else
            wino_in1(m, d, a + j, t);
    }
    for (size_t i = 0; i < rows; i++) {
        wino_in1(m, a + t * i, r, 1);
        for (size_t j = 0; j < t; j++) {
            float *o = v + (t * i + j) * stride + k;

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

W_INLINE void wino_out_lanes(const size_t m, const bool line, const float *p, size_t stride, size_t k, const bool whole,
                             size_t n, const pjd_wino_out *o)
{
    const size_t t = m == 2 ? 4 : 6, rows = line ? 1 : t, out = line ? 1 : m;
    WV a[30], y[25];

    for (size_t j = 0; j < t; j++) {
        WV d[6];

        for (size_t i = 0; i < rows; i++)
            d[i] = whole ? W_LOAD(p + (t * i + j) * stride + k) : W_LOADN(p + (t * i + j) * stride + k, n);
        if (line)
            a[j] = d[0];
        else
            wino_out1(m, d, a + j, t);
    }
    for (size_t i = 0; i < out; i++)
        wino_out1(m, a + t * i, y + m * i, 1);
    wino_store(out, m, y, o, k, whole, n);
}

/* All channels, those of the last vector alone. */
W_INLINE void wino_in(const size_t m, const bool line, size_t c, const float *const *src, float *v, size_t stride)
{
    size_t k = 0;

    for (; k + WL <= c; k += WL)
        wino_in_lanes(m, line, src, k, true, WL, v, stride);
    if (k < c)
        wino_in_lanes(m, line, src, k, false, c - k, v, stride);
}

W_INLINE void wino_out(const size_t m, const bool line, size_t n, const float *p, size_t stride, const pjd_wino_out *o)
{
    size_t k = 0;

    for (; k + WL <= n; k += WL)
        wino_out_lanes(m, line, p, stride, k, true, WL, o);
    if (k < n)
        wino_out_lanes(m, line, p, stride, k, false, n - k, o);
}

#define W_TABLE(name, m, line)                                                                                         \
    static void name##_input(size_t c, const float *const *src, float *v, size_t stride)                               \
    {                                                                                                                  \
        wino_in(m, line, c, src, v, stride);                                                                           \
    }                                                                                                                  \
    static void name##_output(size_t n, const float *p, size_t stride, const pjd_wino_out *o)                          \
    {                                                                                                                  \
        wino_out(m, line, n, p, stride, o);                                                                            \
    }
W_TABLE(wino4, 4, false)
W_TABLE(wino2, 2, false)
W_TABLE(line4, 4, true)
static void wino5_output(size_t n, const float *p, size_t stride, const pjd_wino_out *o)
{
    wino_out(5, false, n, p, stride, o);
}
