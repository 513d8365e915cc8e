/* SPDX-License-Identifier: MIT */
/* Two dimensions: two real lines are the parts of a complex one. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "fft.h"

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT };

/* A transform of 256 x 256 takes 0.2 ms: less is not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 16 };

static int team(void)
{
    int n = omp_get_max_threads();

    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

/* ---- real, half spectrum ---- */

pjd_status pjd_fft2_create(size_t h, size_t w, pjd_fft2 *out, pjd_error *err)
{
    pjd_status st;

    *out = (pjd_fft2){.h = h, .w = w, .columns = w / 2 + 1, .groups = w / 2 / L + 1};
    st = pjd_fft_create(w, &out->row, err);
    if (st == PJD_OK)
        st = pjd_fft_create(h, &out->column, err);
    if (st != PJD_OK)
        pjd_fft2_free(out);
    return st;
}

void pjd_fft2_free(pjd_fft2 *f)
{
    pjd_fft_free(f->row);
    pjd_fft_free(f->column);
    f->row = f->column = NULL;
}

size_t pjd_fft2_spectrum(const pjd_fft2 *f)
{
    return f->groups * f->h * E;
}

static size_t pad(size_t n)
{
    return (n + 15) / 16 * 16;
}

static size_t fft2_slot(const pjd_fft2 *f)
{
    size_t row = 2 * pad(2 * f->w) + pjd_fft_line_work(f->row), column = pjd_fft_work(f->column);

    return pad(row > column ? row : column);
}

size_t pjd_fft2_work(const pjd_fft2 *f)
{
    return PJD_FFT_THREADS * fft2_slot(f);
}

/* Two rows, the second perhaps missing (NULL), as one of complex numbers; elements from cols to n are 0. */
static void join(const float *a, const float *b, size_t cols, size_t n, float *z)
{
    for (size_t i = 0; i < cols; i++) {
        z[2 * i] = a[i];
        z[2 * i + 1] = b ? b[i] : 0.0f;
    }
    memset(z + 2 * cols, 0, 2 * (n - cols) * sizeof *z);
}

/* The spectrum z of a joined pair into the pair's rows of every group: even and odd part under conjugation. */
static void separate(const pjd_fft2 *f, const float *z, bool both, float *s)
{
    for (size_t k = 0; k < f->groups * L; k++) {
        const float *a = z + 2 * (k < f->columns ? k : 0), *b = z + 2 * (k && k < f->columns ? f->w - k : 0);
        float keep = k < f->columns ? 0.5f : 0.0f, *to = s + k / L * f->h * E + k % L;

        to[0] = keep * (a[0] + b[0]);
        to[L] = keep * (a[1] - b[1]);
        if (both) {
            to[E] = keep * (a[1] + b[1]);
            to[E + L] = keep * (b[0] - a[0]);
        }
    }
}

void pjd_fft2_forward(const pjd_fft2 *f, const float *x, size_t stride, size_t rows, size_t cols, float *s, float *work)
{
    size_t slot = fft2_slot(f);

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * slot, *t = z + pad(2 * f->w), *rest = t + pad(2 * f->w);

#pragma omp for schedule(static)
        for (size_t r = 0; r < rows; r += 2) {
            bool both = r + 1 < rows;

            join(x + r * stride, both ? x + (r + 1) * stride : NULL, cols, f->w, z);
            pjd_fft_line(f->row, false, z, t, rest);
            separate(f, t, both, s + r * E);
        }
#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++) {
            float *group = s + g * f->h * E;

            memset(group + rows * E, 0, (f->h - rows) * E * sizeof *group);
            pjd_fft_forward(f->column, group, z);
        }
    }
}

/* The reverse of separate, times scale. */
static void combine(const pjd_fft2 *f, const float *s, bool both, float scale, float *z)
{
    for (size_t k = 0; k < f->columns; k++) {
        const float *from = s + k / L * f->h * E + k % L;
        float on = k == 0 || 2 * k == f->w ? 0.0f : scale; /* its own mirror: real */
        float er = scale * from[0], ei = on * from[L], dr = both ? scale * from[E] : 0.0f,
              di = both ? on * from[E + L] : 0.0f;
        float *a = z + 2 * k, *b = z + 2 * (k ? f->w - k : 0);

        a[0] = er - di;
        a[1] = ei + dr;
        b[0] = er + di;
        b[1] = dr - ei;
    }
}

static void put_row(const float *z, size_t cols, bool add, float *x)
{
    for (size_t j = 0; j < cols; j++)
        x[j] = add ? x[j] + z[2 * j] : z[2 * j];
}

void pjd_fft2_backward(const pjd_fft2 *f, float *s, double scale, float *x, const pjd_window *v, float *work)
{
    size_t slot = fft2_slot(f);
    float factor = (float)(scale / ((double)f->h * (double)f->w));

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * slot, *t = z + pad(2 * f->w), *rest = t + pad(2 * f->w);

#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++)
            pjd_fft_backward(f->column, s + g * f->h * E, z);
#pragma omp for schedule(static)
        for (size_t r = 0; r < v->rows; r += 2) {
            bool both = r + 1 < v->rows;

            combine(f, s + (v->top + r) * E, both, factor, z);
            pjd_fft_line(f->row, true, z, t, rest);
            put_row(t + 2 * v->left, v->cols, v->add, x + r * v->stride);
            if (both)
                put_row(t + 2 * v->left + 1, v->cols, v->add, x + (r + 1) * v->stride);
        }
    }
}

/* ---- DCT-II (Makhoul, "A fast cosine transform in one and two dimensions", 1980) ---- */

static pjd_status make_twist(size_t n, float **out, pjd_error *err)
{
    float *t = pjd_alloc(2 * n, sizeof *t);

    *out = t;
    if (!t)
        return pjd_error_nomem(err, "dct", 2 * n * sizeof *t);
    for (size_t k = 0; k < n; k++) {
        double a = M_PI * (double)k / (2.0 * (double)n), s = sqrt((k ? 2.0 : 1.0) / (double)n);

        t[2 * k] = (float)(s * cos(a));
        t[2 * k + 1] = (float)(-s * sin(a));
    }
    return PJD_OK;
}

pjd_status pjd_dct2_create(size_t h, size_t w, pjd_dct2 *out, pjd_error *err)
{
    pjd_status st;

    *out = (pjd_dct2){.h = h, .w = w};
    st = pjd_fft_create(w, &out->row, err);
    if (st == PJD_OK)
        st = pjd_fft_create(h, &out->column, err);
    if (st == PJD_OK)
        st = make_twist(w, &out->row_twist, err);
    if (st == PJD_OK)
        st = make_twist(h, &out->column_twist, err);
    if (st != PJD_OK)
        pjd_dct2_free(out);
    return st;
}

void pjd_dct2_free(pjd_dct2 *d)
{
    pjd_fft_free(d->row);
    pjd_fft_free(d->column);
    pjd_free(d->row_twist);
    pjd_free(d->column_twist);
    *d = (pjd_dct2){0};
}

/* Blocks of LINES lines, so that a column's cache lines serve all the columns that share them. */
enum { LINES = 32, TILE = 16 };

/* Lines of a plane: element i of line l is at base[l * line + i * step]. */
typedef struct lines {
    size_t count, n;
    size_t line, step;
} lines;

/* A cache line more than a line: see slot_size in fft.c. */
static size_t pair_size(size_t n)
{
    return pad(2 * n) + 16;
}

static size_t dct2_slot(const pjd_dct2 *d)
{
    size_t row = (LINES / 2 + 1) * pair_size(d->w) + pjd_fft_line_work(d->row);
    size_t column = (LINES / 2 + 1) * pair_size(d->h) + pjd_fft_line_work(d->column);

    return pad(row > column ? row : column);
}

size_t pjd_dct2_work(const pjd_dct2 *d)
{
    return PJD_FFT_THREADS * dct2_slot(d);
}

/* Where element i lies before the transform: even ones first, odd ones last and backwards. */
static size_t place(size_t i, size_t n, bool folded)
{
    return !folded ? i : i % 2 ? n - 1 - i / 2 : i / 2;
}

/* Lines first .. of a plane, joined in pairs: pair p is at z + p * pair_size(n). */
static void gather(const float *base, const lines *m, size_t first, bool folded, float *z)
{
    size_t have = m->count - first < LINES ? m->count - first : LINES;

    for (size_t i0 = 0; i0 < m->n; i0 += TILE)
        for (size_t l = 0; l < (have + 1) / 2 * 2; l++)
            for (size_t i = i0; i < m->n && i < i0 + TILE; i++)
                z[l / 2 * pair_size(m->n) + 2 * place(i, m->n, folded) + l % 2] =
                    l < have ? base[(first + l) * m->line + i * m->step] : 0.0f;
}

static void scatter(const float *z, const lines *m, size_t first, bool folded, float *base)
{
    size_t have = m->count - first < LINES ? m->count - first : LINES;

    for (size_t i0 = 0; i0 < m->n; i0 += TILE)
        for (size_t l = 0; l < have; l++)
            for (size_t i = i0; i < m->n && i < i0 + TILE; i++)
                base[(first + l) * m->line + i * m->step] =
                    z[l / 2 * pair_size(m->n) + 2 * place(i, m->n, folded) + l % 2];
}

/* A transformed pair z -> its coefficients in c. */
static void dct_finish(const float *z, const float *twist, size_t n, float *c)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = z + 2 * k, *b = z + 2 * (k ? n - k : 0);
        float wr = 0.5f * twist[2 * k], wi = 0.5f * twist[2 * k + 1];

        c[2 * k] = wr * (a[0] + b[0]) - wi * (a[1] - b[1]);
        c[2 * k + 1] = wr * (a[1] + b[1]) - wi * (b[0] - a[0]);
    }
}

/* The reverse: V_k = conj(w_k) (X_k - i X_{n-k}), X_n = 0. */
static void dct_start(const float *c, const float *twist, size_t n, float *z)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = c + 2 * k, *b = c + 2 * (k ? n - k : 0);
        float half = k ? 0.5f : 1.0f, on = k ? 1.0f : 0.0f, wr = half * twist[2 * k], wi = -half * twist[2 * k + 1];
        float p = a[0], q = -on * b[0], r = a[1], t = -on * b[1];

        z[2 * k] = (wr * p - wi * q) - (wr * t + wi * r);
        z[2 * k + 1] = (wr * q + wi * p) + (wr * r - wi * t);
    }
}

static void dct_pair(const pjd_fft *f, const float *twist, size_t n, bool inverse, float *z, float *spare, float *work)
{
    if (inverse) {
        dct_start(z, twist, n, spare);
        pjd_fft_line(f, true, spare, z, work);
    } else {
        pjd_fft_line(f, false, z, spare, work);
        dct_finish(spare, twist, n, z);
    }
}

static void dct_lines(const lines *m, const pjd_fft *f, const float *twist, bool inverse, float *x, float *work,
                      size_t slot)
{
    size_t pair = pair_size(m->n);

#pragma omp parallel for schedule(static) num_threads(team()) if (m->count * m->n > WORTH_A_TEAM)
    for (size_t first = 0; first < m->count; first += LINES) {
        float *z = work + (size_t)omp_get_thread_num() * slot, *spare = z + LINES / 2 * pair, *rest = spare + pair;

        gather(x, m, first, !inverse, z);
        for (size_t p = 0; p < LINES / 2 && first + 2 * p < m->count; p++)
            dct_pair(f, twist, m->n, inverse, z + p * pair, spare, rest);
        scatter(z, m, first, inverse, x);
    }
}

static void dct2(const pjd_dct2 *d, bool inverse, float *x, float *work)
{
    lines rows = {.count = d->h, .n = d->w, .line = d->w, .step = 1},
          columns = {.count = d->w, .n = d->h, .line = 1, .step = d->w};

    dct_lines(&rows, d->row, d->row_twist, inverse, x, work, dct2_slot(d));
    dct_lines(&columns, d->column, d->column_twist, inverse, x, work, dct2_slot(d));
}

void pjd_dct2_forward(const pjd_dct2 *d, float *x, float *work)
{
    dct2(d, false, x, work);
}

void pjd_dct2_backward(const pjd_dct2 *d, float *x, float *work)
{
    dct2(d, true, x, work);
}
