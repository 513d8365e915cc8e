/* SPDX-License-Identifier: MIT */
/*
 * Packing weights, included after wino_tmpl.h by a table whose vectors have several lanes. Besides its macros: W_STREAM(p,
 * v) (a store past the caches to aligned memory: packed weights are many times what they hold), W_FENCE(), W_ZERO(),
 * W_TRANSPOSE(r) (of WL vectors), and for float64 in halves of a WV: DV (type), D_LOW(v), D_HIGH(v), D_JOIN(low, high),
 * D_SET, D_ADD, D_SUB, D_MUL, D_FMA.
 *
 * A kernel's weights lie [output][channel, tap]; panels want one vector of outputs for each (channel, tap): a transpose of
 * WL x WL blocks, in runs long enough for the processor to see that each output's row is read in order.
 */
#define PACK_RUN 256 /* floats of one output read in one go */

/* Vectors of outputs [first, first + WL) below n for `some` <= WL numbers from `at` of their rows (of `row` floats). */
W_INLINE void pack_block(const float *w, size_t row, size_t first, size_t n, size_t at, size_t some, WV *r)
{
    PJD_UNROLL(16)
    for (size_t l = 0; l < WL; l++) {
        const float *p = w + (first + l) * row + at;

        if (first + l >= n)
            r[l] = W_ZERO();
        else
            r[l] = some == WL ? W_LOAD(p) : W_LOADN(p, some);
    }
    W_TRANSPOSE(r);
}

/* Numbers from..to of the rows of one panel. */
W_INLINE void pack_run(const float *w, size_t row, size_t n, size_t c, size_t taps, size_t from, size_t to,
                       size_t width, float *panel)
{
    for (size_t j = 0; j < width; j += WL) {
        size_t k = from / taps, t = from % taps;

        for (size_t at = from; at < to; at += WL) {
            size_t some = to - at < WL ? to - at : WL;
            WV r[WL];

            pack_block(w, row, j, n, at, some, r);
            for (size_t i = 0; i < some; i++) {
                W_STREAM(panel + (t * c + k) * width + j, r[i]);
                if (++t == taps) {
                    t = 0;
                    k++;
                }
            }
        }
    }
}

static void pack_weight(size_t nr, size_t n, size_t c, size_t taps, const float *w, float *packed)
{
    size_t row = c * taps;

    for (size_t n0 = 0; n0 < n; n0 += nr) {
        size_t cols = n - n0 < nr ? n - n0 : nr, width = pjd_panel_width(nr, cols);

        for (size_t from = 0; from < row; from += PACK_RUN)
            pack_run(w + n0 * row, row, cols, c, taps, from, row - from < PACK_RUN ? row : from + PACK_RUN, width,
                     packed + n0 * row);
    }
    W_FENCE();
}

/* ---- Winograd: the same numbers as pjd_wino_weight's, in float64, WL outputs at once ---- */

/*
 * One dimension. Finite points but 0 come in pairs p, -p, whose rows differ in the sign of the middle: g holds for each
 * pair the factors of the first, the second and the third weight.
 */
typedef struct pack_points {
    size_t side, pairs;
    double first, pair[2][3];
} pack_points;

W_INLINE void pack_line(const pack_points *g, const size_t pairs, const DV w0, const DV w1, const DV w2, DV *o,
                        size_t step)
{
    o[0] = D_MUL(D_SET(g->first), w0);
    for (size_t p = 0; p < pairs; p++) {
        DV even = D_FMA(D_SET(g->pair[p][2]), w2, D_MUL(D_SET(g->pair[p][0]), w0));
        DV odd = D_MUL(D_SET(g->pair[p][1]), w1);

        o[(1 + 2 * p) * step] = D_ADD(even, odd);
        o[(2 + 2 * p) * step] = D_SUB(even, odd);
    }
    o[(1 + 2 * pairs) * step] = w2;
}

/* One channel: vectors of its 9 weights to the rows of all points, `next` floats apart. */
W_INLINE void pack_points_of(const pack_points *g, const size_t pairs, const WV *w, float *to, size_t next)
{
    const size_t side = 2 + 2 * pairs;
    DV low[18], high[18], a[6], b[6];

    for (size_t j = 0; j < 3; j++) {
        pack_line(g, pairs, D_LOW(w[j]), D_LOW(w[3 + j]), D_LOW(w[6 + j]), low + j, 3);
        pack_line(g, pairs, D_HIGH(w[j]), D_HIGH(w[3 + j]), D_HIGH(w[6 + j]), high + j, 3);
    }
    for (size_t i = 0; i < side; i++) {
        pack_line(g, pairs, low[3 * i], low[3 * i + 1], low[3 * i + 2], a, 1);
        pack_line(g, pairs, high[3 * i], high[3 * i + 1], high[3 * i + 2], b, 1);
        for (size_t j = 0; j < side; j++)
            W_STREAM(to + (i * side + j) * next, D_JOIN(a[j], b[j]));
    }
}

/* WL channels, or `count` of them, from k on; WL outputs from j on. */
W_INLINE void pack_channels(const pack_points *g, const size_t pairs, size_t c, size_t k, size_t count, size_t j,
                            size_t cols, size_t width, const float *w, float *panel)
{
    WV in[9 * WL];
    size_t all = 9 * count;

    for (size_t at = 0; at < all; at += WL)
        pack_block(w, c * 9, j, cols, 9 * k + at, all - at < WL ? all - at : WL, in + at);
    for (size_t i = 0; i < count; i++)
        pack_points_of(g, pairs, in + 9 * i, panel + (k + i) * width + j, c * width);
}

W_INLINE void pack_panel(const pack_points *g, const size_t pairs, size_t c, size_t cols, size_t width, const float *w,
                         float *panel)
{
    for (size_t k = 0; k < c; k += WL)
        for (size_t j = 0; j < width; j += WL)
            pack_channels(g, pairs, c, k, c - k < WL ? c - k : WL, j, cols, width, w, panel);
}

static void pack_points_fill(size_t m, pack_points *g)
{
    double rows[6][3];

    *g = (pack_points){.side = m + 2, .pairs = m / 2};
    pjd_wino_rows(m, rows);
    g->first = rows[0][0];
    for (size_t p = 0; p < g->pairs; p++)
        for (size_t i = 0; i < 3; i++)
            g->pair[p][i] = rows[1 + 2 * p][i];
}

static void wino_weight(size_t m, size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    pack_points g;

    pack_points_fill(m, &g);
    for (size_t n0 = 0; n0 < n; n0 += nr) {
        size_t cols = n - n0 < nr ? n - n0 : nr, width = pjd_panel_width(nr, cols);

        if (m == 4)
            pack_panel(&g, 2, c, cols, width, w + n0 * c * 9, packed + n0 * c * g.side * g.side);
        else
            pack_panel(&g, 1, c, cols, width, w + n0 * c * 9, packed + n0 * c * g.side * g.side);
    }
    W_FENCE();
}

/* One dimension: WL channels, or `count` of them, from k on; WL outputs from j on. */
W_INLINE void line_channels(const pack_points *g, size_t c, size_t k, size_t count, size_t j, size_t cols, size_t width,
                            const float *w, float *panel)
{
    WV in[3 * WL];
    size_t all = 3 * count;
    DV low[6], high[6];

    for (size_t at = 0; at < all; at += WL)
        pack_block(w, c * 3, j, cols, 3 * k + at, all - at < WL ? all - at : WL, in + at);
    for (size_t i = 0; i < count; i++) {
        const WV *t = in + 3 * i;

        pack_line(g, 2, D_LOW(t[0]), D_LOW(t[1]), D_LOW(t[2]), low, 1);
        pack_line(g, 2, D_HIGH(t[0]), D_HIGH(t[1]), D_HIGH(t[2]), high, 1);
        for (size_t x = 0; x < 6; x++)
            W_STREAM(panel + (x * c + k + i) * width + j, D_JOIN(low[x], high[x]));
    }
}

static void line_weight(size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    pack_points g;

    pack_points_fill(4, &g);
    for (size_t n0 = 0; n0 < n; n0 += nr) {
        size_t cols = n - n0 < nr ? n - n0 : nr, width = pjd_panel_width(nr, cols);

        for (size_t k = 0; k < c; k += WL)
            for (size_t j = 0; j < width; j += WL)
                line_channels(&g, c, k, c - k < WL ? c - k : WL, j, cols, width, w + n0 * c * 3, packed + n0 * c * 6);
    }
    W_FENCE();
}
