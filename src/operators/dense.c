/* SPDX-License-Identifier: MIT */
#include "dense.h"

#include <lapacke.h>
#include <math.h>
#include <omp.h>
#include <string.h>

/* ---- products ---- */

enum { PANEL = 16, ROWS = 4, HALF = 8, SLOTS = 8 };

typedef float vec __attribute__((vector_size(HALF * sizeof(float))));
typedef float loose __attribute__((vector_size(HALF * sizeof(float)), aligned(sizeof(float)), may_alias));

size_t pjd_gemm_work(size_t k)
{
    return SLOTS * k * PANEL;
}

/* ROWS x PANEL of c; every element is one sum in the order of k, whatever the width of a register. */
static inline __attribute__((always_inline)) void block(size_t k, const float *a, size_t lda, const float *panel,
                                                        float *c)
{
    vec s[ROWS][2] = {{{0}}};

    for (size_t p = 0; p < k; p++) {
        vec b0 = *(const loose *)(const void *)(panel + p * PANEL),
            b1 = *(const loose *)(const void *)(panel + p * PANEL + HALF);

        for (size_t i = 0; i < ROWS; i++) {
            s[i][0] += a[i * lda + p] * b0;
            s[i][1] += a[i * lda + p] * b1;
        }
    }
    for (size_t i = 0; i < ROWS; i++) {
        *(loose *)(void *)(c + i * PANEL) = s[i][0];
        *(loose *)(void *)(c + i * PANEL + HALF) = s[i][1];
    }
}

static void block_plain(size_t k, const float *a, size_t lda, const float *panel, float *c)
{
    block(k, a, lda, panel, c);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void block_avx2(size_t k, const float *a, size_t lda, const float *panel,
                                                       float *c)
{
    block(k, a, lda, panel, c);
}
#endif

typedef void block_fn(size_t k, const float *a, size_t lda, const float *panel, float *c);

static block_fn *pick_block(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return block_avx2;
#endif
    return block_plain;
}

typedef struct product {
    size_t m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float *c;
    block_fn *fn;
} product;

/* Columns first .. of c, at most PANEL. */
static void column_panel(const product *t, size_t first, float *panel)
{
    size_t cols = t->n - first < PANEL ? t->n - first : PANEL;
    float tile[ROWS * PANEL];

    for (size_t p = 0; p < t->k; p++) {
        memcpy(panel + p * PANEL, t->b + p * t->ldb + first, cols * sizeof *panel);
        for (size_t j = cols; j < PANEL; j++)
            panel[p * PANEL + j] = 0.0f;
    }
    for (size_t i = 0; i < t->m;) {
        /* The last rows are done one at a time: a block of four equal rows. */
        size_t rows = t->m - i < ROWS ? 1 : ROWS;

        t->fn(t->k, t->a + i * t->lda, rows == 1 ? 0 : t->lda, panel, tile);
        for (size_t r = 0; r < rows; r++)
            memcpy(t->c + (i + r) * t->ldc + first, tile + r * PANEL, cols * sizeof *tile);
        i += rows;
    }
}

void pjd_gemm(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
              size_t ldc, float *work)
{
    int threads = omp_get_max_threads() < SLOTS ? omp_get_max_threads() : SLOTS;
    product t = {m, n, k, lda, ldb, ldc, a, b, c, pick_block()};

#pragma omp parallel for schedule(static) num_threads(threads) if (m * n > 32768)
    for (size_t first = 0; first < n; first += PANEL)
        column_panel(&t, first, work + (size_t)omp_get_thread_num() * k * PANEL);
}

/* ---- eigenvalues ---- */

/* The lower band of a, column by column. */
static double *take_band(size_t n, const double *a, size_t band)
{
    double *ab = pjd_alloc_zero(n * (band + 1), sizeof *ab);

    for (size_t j = 0; ab && j < n; j++)
        for (size_t i = j; i < n && i <= j + band; i++)
            ab[j * (band + 1) + i - j] = a[i * n + j];
    return ab;
}

static size_t bandwidth(size_t n, const double *a)
{
    size_t band = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j + band < i; j++)
            if (a[i * n + j] != 0.0)
                band = i - j;
    return band;
}

/* LAPACK's order is smallest first. */
static void reverse(size_t n, double *values, double *vectors, double *spare)
{
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        double v = values[i];

        values[i] = values[j];
        values[j] = v;
        memcpy(spare, vectors + i * n, n * sizeof *spare);
        memcpy(vectors + i * n, vectors + j * n, n * sizeof *spare);
        memcpy(vectors + j * n, spare, n * sizeof *spare);
    }
}

/*
 * Of LAPACK's solvers the one for bands: its rotations come one after another, so that the bytes of the vectors are the
 * same for any number of BLAS threads, and no threads are woken that the caller did not ask for.
 */
pjd_status pjd_symmetric_eigen(const char *who, size_t n, const double *a, double *values, double *vectors,
                               pjd_error *err)
{
    size_t band = bandwidth(n, a);
    double *ab = NULL, *work = NULL;
    pjd_status st = PJD_OK;
    lapack_int info, ln = (lapack_int)n, kd = (lapack_int)band;

    if (n == 0 || n > 1 << 15) /* n squared fits lapack_int */
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected a matrix of side 1 to 32768, found %zu", who, n);
    ab = take_band(n, a, band);
    work = pjd_alloc(3 * n, sizeof *work);
    if (!ab || !work) {
        st = pjd_error_nomem(err, who, n * (band + 1) * sizeof *ab);
        goto done;
    }
    info = LAPACKE_dsbev_work(LAPACK_COL_MAJOR, 'V', 'L', ln, kd, ab, kd + 1, values, vectors, ln, work);
    if (info != 0)
        st = pjd_error_set(err, PJD_ERR_BACKEND, "%s: LAPACK expected to decompose a %zux%zu matrix, found dsbev %d",
                           who, n, n, (int)info);
    else
        reverse(n, values, vectors, work);
done:
    pjd_free(ab);
    pjd_free(work);
    return st;
}

/* ---- completing a basis ---- */

/* v -= 2 u (u'v) on elements first .. n - 1 */
static void reflect(size_t first, size_t n, const double *u, double *v)
{
    double part[HALF] = {0}, dot = 0.0;
    size_t i = first;

    for (; i + HALF <= n; i += HALF)
        for (size_t k = 0; k < HALF; k++)
            part[k] += u[i + k] * v[i + k];
    for (; i < n; i++)
        part[0] += u[i] * v[i];
    for (size_t k = 0; k < HALF; k++)
        dot += part[k];
    for (i = first; i < n; i++)
        v[i] -= 2.0 * dot * u[i];
}

/*
 * Householder: reflections H_0 .. H_rank-1 that turn the given rows into (signed) unit vectors e_0 .. e_rank-1, applied
 * backwards to the other unit vectors.
 */
void pjd_orthonormal_complete(size_t n, size_t rank, double *v, double *spare)
{
    double *row = spare + rank * n;

    for (size_t k = 0; k < rank; k++) {
        double *u = spare + k * n, size = 0.0;

        memcpy(row, v + k * n, n * sizeof *row);
        for (size_t l = 0; l < k; l++)
            reflect(l, n, spare + l * n, row);
        memset(u, 0, n * sizeof *u);
        for (size_t i = k; i < n; i++)
            size += row[i] * row[i];
        row[k] += row[k] < 0.0 ? -sqrt(size) : sqrt(size);
        size = 0.0;
        for (size_t i = k; i < n; i++)
            size += row[i] * row[i];
        for (size_t i = k; i < n && size > 0.0; i++)
            u[i] = row[i] / sqrt(size);
    }
    for (size_t k = rank; k < n; k++) {
        double *to = v + k * n;

        memset(to, 0, n * sizeof *to);
        to[k] = 1.0;
        for (size_t l = rank; l-- > 0;)
            reflect(l, n, spare + l * n, to);
    }
}
