/* SPDX-License-Identifier: MIT */
#include "dense.h"

#include <float.h>
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

/* ---- eigenvalues: Householder, then implicit QL (Golub and Van Loan, "Matrix Computations", 8.3) ---- */

static double dot(const double *a, const double *b, size_t n)
{
    double s[4] = {0};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            s[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/*
 * A <- H A H with H = I - beta v v', v on entries k+1 .. n-1 (kept in row k of `reflectors`, whose entry k is beta),
 * so that row k of A has one entry beside the diagonal: off[k].
 */
static void reduce_step(size_t n, double *a, size_t k, double *reflectors, double *p, double *off)
{
    double *v = reflectors + k * n, sigma, norm, beta = 0.0, half;
    size_t m = n - k - 1;

    memcpy(v + k + 1, a + k * n + k + 1, m * sizeof *v);
    sigma = dot(v + k + 2, v + k + 2, m - 1);
    norm = sqrt(v[k + 1] * v[k + 1] + sigma);
    off[k] = v[k + 1];
    if (sigma > 0.0) {
        off[k] = v[k + 1] > 0.0 ? -norm : norm;
        v[k + 1] -= off[k];
        beta = 2.0 / (v[k + 1] * v[k + 1] + sigma);
    }
    v[k] = beta;
    if (beta == 0.0)
        return;
    for (size_t i = k + 1; i < n; i++)
        p[i] = beta * dot(a + i * n + k + 1, v + k + 1, m);
    half = 0.5 * beta * dot(p + k + 1, v + k + 1, m);
    for (size_t i = k + 1; i < n; i++)
        p[i] -= half * v[i];
    for (size_t i = k + 1; i < n; i++) {
        double vi = v[i], pi = p[i], *row = a + i * n;

        for (size_t j = k + 1; j < n; j++)
            row[j] -= vi * p[j] + pi * v[j];
    }
}

/* q = H_0 H_1 ... from the last reflector to the first. */
static void accumulate(size_t n, const double *reflectors, double *p, double *q)
{
    memset(q, 0, n * n * sizeof *q);
    for (size_t i = 0; i < n; i++)
        q[i * n + i] = 1.0;
    for (size_t k = n > 2 ? n - 2 : 0; k-- > 0;) {
        const double *v = reflectors + k * n;

        memset(p, 0, n * sizeof *p);
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++)
                p[j] += v[i] * q[i * n + j];
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++)
                q[i * n + j] -= v[k] * v[i] * p[j];
    }
}

static void rotate(double *a, double *b, double c, double s, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double f = b[k];

        b[k] = s * a[k] + c * f;
        a[k] = c * a[k] - s * f;
    }
}

/* One implicit QL sweep over rows l .. m; false when it had to be cut short. */
static bool sweep(size_t n, size_t l, size_t m, double *d, double *e, double *vectors)
{
    double g = (d[l + 1] - d[l]) / (2.0 * e[l]), r = hypot(g, 1.0), s = 1.0, c = 1.0, p = 0.0;

    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    for (size_t i = m; i-- > l;) {
        double f = s * e[i], b = c * e[i];

        r = hypot(f, g);
        e[i + 1] = r;
        if (r == 0.0) {
            d[i + 1] -= p;
            e[m] = 0.0;
            return false;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(vectors + i * n, vectors + (i + 1) * n, c, s, n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
    return true;
}

static pjd_status ql(size_t n, double *d, double *e, double *vectors, pjd_error *err)
{
    double norm = 0.0;

    for (size_t i = 0; i < n; i++)
        norm = fmax(norm, fabs(d[i]) + (i + 1 < n ? fabs(e[i]) : 0.0));
    for (size_t l = 0; l < n; l++)
        for (int k = 0;; k++) {
            size_t m = l;

            while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * norm)
                m++;
            if (m == l)
                break;
            if (k == 100)
                return pjd_error_set(err, PJD_ERR_BACKEND,
                                     "deblur: the eigenvalues of a %zux%zu matrix did not converge", n, n);
            sweep(n, l, m, d, e, vectors);
        }
    return PJD_OK;
}

static void sort_descending(size_t n, double *values, double *vectors, double *spare)
{
    for (size_t i = 0; i + 1 < n; i++) {
        size_t best = i;
        double v;

        for (size_t j = i + 1; j < n; j++)
            best = values[j] > values[best] ? j : best;
        if (best == i)
            continue;
        v = values[i];
        values[i] = values[best];
        values[best] = v;
        memcpy(spare, vectors + i * n, n * sizeof *spare);
        memcpy(vectors + i * n, vectors + best * n, n * sizeof *spare);
        memcpy(vectors + best * n, spare, n * sizeof *spare);
    }
}

pjd_status pjd_symmetric_eigen(size_t n, double *a, double *values, double *vectors, pjd_error *err)
{
    double *reflectors = pjd_alloc_zero(n * n, sizeof *reflectors), *p = pjd_alloc(n, sizeof *p),
           *off = pjd_alloc_zero(n, sizeof *off);
    pjd_status st;

    if (!reflectors || !p || !off) {
        st = pjd_error_nomem(err, "deblur", n * n * sizeof *a);
        goto done;
    }
    for (size_t k = 0; k + 2 < n; k++)
        reduce_step(n, a, k, reflectors, p, off);
    for (size_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
    if (n > 1)
        off[n - 2] = a[(n - 2) * n + n - 1];
    /* The sweeps turn pairs of rows, so they start from the transpose. */
    accumulate(n, reflectors, p, a);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            vectors[i * n + j] = a[j * n + i];
    st = ql(n, values, off, vectors, err);
    if (st == PJD_OK)
        sort_descending(n, values, vectors, p);
done:
    pjd_free(reflectors);
    pjd_free(p);
    pjd_free(off);
    return st;
}
