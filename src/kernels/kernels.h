/* SPDX-License-Identifier: MIT */
/*
 * Pure loops on float32 rows. Each table is a complete set; the plain C one is the definition, the others are compared
 * with it over all shapes. A result depends on its arguments only, never on a thread or on how rows are split into calls
 * (so a caller may split work as it likes and get the same bytes).
 */
#ifndef PJD_KERNELS_KERNELS_H
#define PJD_KERNELS_KERNELS_H

#include "core/core.h"

typedef enum pjd_kact { PJD_KACT_NONE = 0, PJD_KACT_SILU, PJD_KACT_GELU } pjd_kact;

/* What happens to a finished sum before it is stored: act(sum + bias + bias2 + add). */
typedef struct pjd_epilogue {
    const float *bias;  /* [n] or NULL */
    const float *bias2; /* [n] or NULL */
    const float *add;   /* rows of n, distance ld_add, or NULL; may be the output itself */
    size_t ld_add;
    pjd_kact act;
} pjd_epilogue;

/*
 * Indirect matrix product, one tile: c[i][j] = epilogue(sum over g, k < kc[g] of a[g * mr + i][k] * b[row(g, k)][j]) for
 * i < m <= mr, j < n <= nr. Row pointers let one routine serve matrices, convolutions of any stride and padding, inputs in
 * several pieces and upsampled inputs. b is one packed panel (pjd_pack_*): the rows (g, k) one after the other, each
 * pjd_panel_width(nr, n) floats. The sum of one output is one chain in the order of (g, k).
 */
typedef void (*pjd_gemm_fn)(size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n,
                            float *c, size_t ldc, const pjd_epilogue *e);

/* Where an m x m block of outputs goes: h x w of it exist; positions are ld_x, rows ld_y floats apart, in `add` too. */
typedef struct pjd_wino_out {
    float *y;
    size_t ld_x, ld_y, h, w;
    const float *bias, *bias2, *add; /* as in pjd_epilogue */
    pjd_kact act;
} pjd_wino_out;

#define PJD_MR_MAX 16
#define PJD_NR_MAX 64

typedef struct pjd_kernels {
    const char *name;
    size_t mr, nr; /* tile of gemm; nr is a multiple of 16 */
    pjd_gemm_fn gemm;
    /* sum[j] += x - shift, squares[j] += (x - shift)^2 over rows of c channels; a few hundred rows at most per call. */
    void (*stats)(size_t rows, size_t c, const float *x, size_t ldx, const float *shift, float *sum, float *squares);
    /* y = act((x - mean) scale + offset) per channel; y may be x. */
    void (*norm)(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                 const float *offset, pjd_kact act, float *y, size_t ldy);
    /* y = act(x); y may be x. */
    void (*act)(pjd_kact act, size_t n, const float *x, float *y);
    float (*row_max)(size_t n, const float *x);
    /* x = exp(scale x - max), returns the sum. */
    float (*row_exp)(size_t n, float *x, float scale, float max);
    /*
     * Winograd F(m x m, 3 x 3), m = 4 and 2: c channels of the (m + 2)^2 input positions src[] of one tile to
     * v[xi * stride + channel], and n channels of the products p[xi * stride + channel] to the tile's outputs.
     */
    void (*wino4_input)(size_t c, const float *const *src, float *v, size_t stride);
    void (*wino4_output)(size_t n, const float *p, size_t stride, const pjd_wino_out *o);
    void (*wino2_input)(size_t c, const float *const *src, float *v, size_t stride);
    void (*wino2_output)(size_t n, const float *p, size_t stride, const pjd_wino_out *o);
    /* F(5 x 5, 2 x 2), whose inputs are those of m = 4. */
    void (*wino5_output)(size_t n, const float *p, size_t stride, const pjd_wino_out *o);
    /* The same in one dimension, F(4, 3): 6 inputs src[], a row of 4 outputs. */
    void (*line4_input)(size_t c, const float *const *src, float *v, size_t stride);
    void (*line4_output)(size_t n, const float *p, size_t stride, const pjd_wino_out *o);
    /* pjd_pack_weight, pjd_wino_weight and pjd_wino_line_weight, below; packed is aligned to PJD_ALIGN. */
    void (*pack_weight)(size_t nr, size_t n, size_t c, size_t taps, const float *w, float *packed);
    void (*wino_weight)(size_t m, size_t nr, size_t n, size_t c, const float *w, float *packed);
    void (*line_weight)(size_t nr, size_t n, size_t c, const float *w, float *packed);
} pjd_kernels;

extern const pjd_kernels pjd_kernels_c;

/* The fastest table this CPU can run; with a name, that table or NULL when the build or the CPU lacks it. */
const pjd_kernels *pjd_kernels_best(void);
const pjd_kernels *pjd_kernels_named(const char *name);

/* Columns a panel of n <= nr columns is padded to (zeros): the next multiple of 16. */
static inline size_t pjd_panel_width(size_t nr, size_t n)
{
    size_t w = (n + 15) / 16 * 16;

    return w < nr ? w : nr;
}
/* Floats of a packed [k, n] matrix; panel p (columns p nr ...) starts at p * nr * k. False on overflow. */
bool pjd_pack_size(size_t n, size_t k, size_t *floats);
/* w [n, c, taps] (PyTorch's convolution weight; taps = 1: a linear layer's) into panels; row order (tap, channel). */
void pjd_pack_weight(size_t nr, size_t n, size_t c, size_t taps, const float *w, float *packed);
/* w [n, c, 3, 3] transformed for F(m x m, 3 x 3): panels of nr columns one after the other (panel p starts at
   p nr c (m + 2)^2), each with the rows (xi, channel). */
void pjd_wino_weight(size_t m, size_t nr, size_t n, size_t c, const float *w, float *packed);
/*
 * w [n, c, 3, 3] over a picture whose pixels are doubled in both directions, as four convolutions of 2 x 2 taps over the
 * picture itself: for the outputs in rows and columns that are odd as bits 1 and 0 of phase say, transformed for F(5 x 5,
 * 2 x 2), as pjd_wino_weight(4, ...) packs them. Even: the taps (w0, w1 + w2) from one pixel before; odd: (w0 + w1, w2).
 */
void pjd_wino_up_weight(unsigned phase, size_t nr, size_t n, size_t c, const float *w, float *packed);
/* w [n, c, 3] transformed for F(4, 3): likewise, 6 points. */
void pjd_wino_line_weight(size_t nr, size_t n, size_t c, const float *w, float *packed);
/* The m + 2 rows of the transform of weights: the points 0, p, -p, q, -q, infinity of m = 4, 0, 1, -1, infinity of m = 2. */
void pjd_wino_rows(size_t m, double rows[6][3]);
/* Panels of the transpose of rows: b[k][j] = x[j * ldx + k], j < n, k < kc (keys of an attention). */
void pjd_pack_transposed(size_t nr, size_t n, size_t kc, const float *x, size_t ldx, float *packed);
/* Panels of rows as they are: b[k][j] = x[k * ldx + j], j < n, k < kc (values of an attention). */
void pjd_pack_rows(size_t nr, size_t n, size_t kc, const float *x, size_t ldx, float *packed);

#endif
