/* SPDX-License-Identifier: MIT */
/* The plain C table: the definition. */
#include <math.h>

#include "kernels/kernels.h"

#define MR 4
#define NR 16

static float act1(pjd_kact act, float x)
{
    switch (act) {
    case PJD_KACT_SILU:
        return x / (1.0f + expf(-x));
    case PJD_KACT_GELU:
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case PJD_KACT_NONE:
        break;
    }
    return x;
}

static void gemm(size_t m, size_t groups, const size_t *kc, const float *const *a, const float *b, size_t n, float *c,
                 size_t ldc, const pjd_epilogue *e)
{
    float sum[MR][NR] = {{0}};

    for (size_t g = 0; g < groups; g++, a += MR)
        for (size_t k = 0; k < kc[g]; k++, b += NR)
            for (size_t i = 0; i < m; i++) {
                float x = a[i][k];

                for (size_t j = 0; j < NR; j++)
                    sum[i][j] += x * b[j];
            }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float s = sum[i][j];

            if (e->bias)
                s += e->bias[j];
            if (e->bias2)
                s += e->bias2[j];
            if (e->add)
                s += e->add[i * e->ld_add + j];
            c[i * ldc + j] = act1(e->act, s);
        }
}

static void stats(size_t rows, size_t c, const float *x, size_t ldx, const float *shift, float *sum, float *squares)
{
    for (size_t i = 0; i < rows; i++, x += ldx)
        for (size_t j = 0; j < c; j++) {
            float d = x[j] - shift[j];

            sum[j] += d;
            squares[j] += d * d;
        }
}

static void norm(size_t rows, size_t c, const float *x, size_t ldx, const float *mean, const float *scale,
                 const float *offset, pjd_kact act, float *y, size_t ldy)
{
    for (size_t i = 0; i < rows; i++, x += ldx, y += ldy)
        for (size_t j = 0; j < c; j++)
            y[j] = act1(act, (x[j] - mean[j]) * scale[j] + offset[j]);
}

static void act_row(pjd_kact act, size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = act1(act, x[i]);
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
    float s = 0;

    for (size_t i = 0; i < n; i++) {
        x[i] = expf(scale * x[i] - max);
        s += x[i];
    }
    return s;
}

/* One channel at a time: the definition; a portable vector version can come when a machine wants it. */
#define WV float
#define WL 1
#define W_LOAD(p) (*(p))
#define W_STORE(p, v) (*(p) = (v))
#define W_LOADN(p, n) (*(p))
#define W_STOREN(p, n, v) (*(p) = (v))
#define W_SET(x) (x)
#define W_ADD(a, b) ((a) + (b))
#define W_SUB(a, b) ((a) - (b))
#define W_MUL(a, b) ((a) * (b))
#define W_FMA(a, b, c) ((a) * (b) + (c))
#define W_ACT(act, v) act1(act, v)
#include "kernels/wino_tmpl.h"

const pjd_kernels pjd_kernels_c = {
    .name = "c",
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
    .pack_weight = pjd_pack_weight,
    .wino_weight = pjd_wino_weight,
    .line_weight = pjd_wino_line_weight,
};
