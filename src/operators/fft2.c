/* SPDX-License-Identifier: MIT */
/* Two dimensions: blocks of lines are gathered into the layout of fft.c, two real lines to a complex one. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "fft.h"

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, LINES = 2 * PJD_FFT_LANES };

/* A transform of 256 x 256 takes 0.1 ms: less is not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 16 };

/* Lines of a plane: element i of line l is at base[l * line + i * step]. */
typedef struct lines {
    size_t count, n; /* lines wanted, elements of each; at most LINES lines are taken at a time */
    size_t line, step;
} lines;

/*
 * z[place(i)][lane] = element i of line first + 2 lane (real part) or first + 2 lane + 1 (imaginary part); missing
 * lines and elements from m->n to n are 0. place is the identity, or puts even elements first and odd ones last,
 * backwards.
 */
static size_t place(size_t i, size_t n, bool folded)
{
    return !folded ? i : i % 2 ? n - 1 - i / 2 : i / 2;
}

static size_t lane_of(size_t l)
{
    return l / 2 + (l % 2 ? L : 0);
}

static void gather(const float *base, const lines *m, size_t first, size_t n, bool folded, float *z)
{
    size_t have = m->count - first < LINES ? m->count - first : LINES;

    for (size_t i0 = 0; i0 < n; i0 += 16) {
        size_t i1 = i0 + 16 < n ? i0 + 16 : n, full = i1 < m->n ? i1 : m->n;

        for (size_t l = 0; l < LINES; l++) {
            const float *from = base + (first + l) * m->line;
            size_t lane = lane_of(l), i = i0;

            for (; l < have && i < full; i++)
                z[place(i, n, folded) * E + lane] = from[i * m->step];
            for (; i < i1; i++)
                z[place(i, n, folded) * E + lane] = 0.0f;
        }
    }
}

static void scatter(const float *z, const lines *m, size_t first, bool folded, float *base)
{
    size_t have = m->count - first < LINES ? m->count - first : LINES;

    for (size_t i0 = 0; i0 < m->n; i0 += 16) {
        size_t i1 = i0 + 16 < m->n ? i0 + 16 : m->n;

        for (size_t l = 0; l < have; l++) {
            float *to = base + (first + l) * m->line;
            size_t lane = lane_of(l);

            for (size_t i = i0; i < i1; i++)
                to[i * m->step] = z[place(i, m->n, folded) * E + lane];
        }
    }
}

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

static size_t fft2_slot(const pjd_fft2 *f)
{
    size_t row = f->w * E + pjd_fft_work(f->row), column = pjd_fft_work(f->column);

    return row > column ? row : column;
}

size_t pjd_fft2_work(const pjd_fft2 *f)
{
    return PJD_FFT_THREADS * fft2_slot(f);
}

/* Coefficients k0 .. k0 + L - 1 of a block of transformed lines into rows first .. of one group. */
static void unpack(const pjd_fft2 *f, const float *z, size_t k0, size_t first, size_t have, float *group)
{
    float even[2][L][L], odd[2][L][L]; /* [part][k][lane] */

    for (size_t j = 0; j < L; j++) {
        size_t k = k0 + j;
        const float *a = z + (k < f->columns ? k : 0) * E, *b = z + (k && k < f->columns ? f->w - k : 0) * E;
        float keep = k < f->columns ? 0.5f : 0.0f;

        for (size_t l = 0; l < L; l++) {
            even[0][j][l] = keep * (a[l] + b[l]);
            even[1][j][l] = keep * (a[L + l] - b[L + l]);
            odd[0][j][l] = keep * (a[L + l] + b[L + l]);
            odd[1][j][l] = keep * (b[l] - a[l]);
        }
    }
    for (size_t r = 0; r < have; r++) {
        float(*from)[L][L] = r % 2 ? odd : even;
        float *to = group + (first + r) * E;

        for (size_t j = 0; j < L; j++) {
            to[j] = from[0][j][r / 2];
            to[L + j] = from[1][j][r / 2];
        }
    }
}

void pjd_fft2_forward(const pjd_fft2 *f, const float *x, size_t stride, size_t rows, size_t cols, float *s, float *work)
{
    size_t slot = fft2_slot(f), blocks = (rows + LINES - 1) / LINES;
    lines m = {.count = rows, .n = cols, .line = stride, .step = 1};

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * slot, *rest = z + f->w * E;

#pragma omp for schedule(static)
        for (size_t b = 0; b < blocks; b++) {
            size_t first = b * LINES, have = rows - first < LINES ? rows - first : LINES;

            gather(x, &m, first, f->w, false, z);
            pjd_fft_forward(f->row, z, rest);
            for (size_t g = 0; g < f->groups; g++)
                unpack(f, z, g * L, first, have, s + g * f->h * E);
        }
#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++) {
            float *group = s + g * f->h * E;

            memset(group + rows * E, 0, (f->h - rows) * E * sizeof *group);
            pjd_fft_forward(f->column, group, z);
        }
    }
}

/* The reverse of unpack, times scale. */
static void pack(const pjd_fft2 *f, const float *group, size_t k0, size_t first, size_t have, float scale, float *z)
{
    float even[2][L][L], odd[2][L][L];

    memset(even, 0, sizeof even);
    memset(odd, 0, sizeof odd);
    for (size_t r = 0; r < have; r++) {
        float(*to)[L][L] = r % 2 ? odd : even;
        const float *from = group + (first + r) * E;

        for (size_t j = 0; j < L; j++) {
            to[0][j][r / 2] = scale * from[j];
            to[1][j][r / 2] = scale * from[L + j];
        }
    }
    for (size_t j = 0; j < L && k0 + j < f->columns; j++) {
        size_t k = k0 + j;
        bool alone = k == 0 || 2 * k == f->w; /* its own mirror: real */
        float *a = z + k * E, *b = z + (k ? f->w - k : 0) * E;

        for (size_t l = 0; l < L; l++) {
            float er = even[0][j][l], ei = alone ? 0.0f : even[1][j][l];
            float or = odd[0][j][l], oi = alone ? 0.0f : odd[1][j][l];

            a[l] = er - oi;
            a[L + l] = ei + or ;
            b[l] = er + oi;
            b[L + l] = or -ei;
        }
    }
}

static void add_rows(const float *z, const pjd_window *v, size_t first, size_t have, float *x)
{
    for (size_t r = 0; r < have; r++)
        for (size_t j = 0; j < v->cols; j++)
            x[(first + r) * v->stride + j] += z[(v->left + j) * E + lane_of(r)];
}

void pjd_fft2_backward(const pjd_fft2 *f, float *s, double scale, float *x, const pjd_window *v, float *work)
{
    size_t slot = fft2_slot(f), blocks = (v->rows + LINES - 1) / LINES;
    float factor = (float)(scale / ((double)f->h * (double)f->w));
    lines m = {.count = v->rows, .n = v->cols, .line = v->stride, .step = 1};

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * slot, *rest = z + f->w * E;

#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++)
            pjd_fft_backward(f->column, s + g * f->h * E, z);
#pragma omp for schedule(static)
        for (size_t b = 0; b < blocks; b++) {
            size_t first = b * LINES, have = v->rows - first < LINES ? v->rows - first : LINES;

            for (size_t g = 0; g < f->groups; g++)
                pack(f, s + g * f->h * E, g * L, v->top + first, have, factor, z);
            pjd_fft_backward(f->row, z, rest);
            if (v->add)
                add_rows(z, v, first, have, x);
            else
                scatter(z + v->left * E, &m, first, false, x);
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

static size_t dct2_slot(const pjd_dct2 *d)
{
    size_t row = 2 * d->w * E + pjd_fft_work(d->row), column = 2 * d->h * E + pjd_fft_work(d->column);

    return row > column ? row : column;
}

size_t pjd_dct2_work(const pjd_dct2 *d)
{
    return PJD_FFT_THREADS * dct2_slot(d);
}

/* Transformed lines z -> coefficients in c, both [n][2][L], lines still paired as real and imaginary parts. */
static void dct_finish(const float *z, const float *twist, size_t n, float *c)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = z + k * E, *b = z + (k ? n - k : 0) * E;
        float wr = 0.5f * twist[2 * k], wi = 0.5f * twist[2 * k + 1];

        for (size_t l = 0; l < L; l++) {
            c[k * E + l] = wr * (a[l] + b[l]) - wi * (a[L + l] - b[L + l]);
            c[k * E + L + l] = wr * (a[L + l] + b[L + l]) - wi * (b[l] - a[l]);
        }
    }
}

/* The reverse: V_k = conj(w_k) (X_k - i X_{n-k}), X_n = 0. */
static void dct_start(const float *c, const float *twist, size_t n, float *z)
{
    for (size_t k = 0; k < n; k++) {
        const float *a = c + k * E, *b = c + (k ? n - k : 0) * E;
        float half = k ? 0.5f : 1.0f, wr = half * twist[2 * k], wi = -half * twist[2 * k + 1], on = k ? 1.0f : 0.0f;

        for (size_t l = 0; l < L; l++) {
            float p = a[l], q = -on * b[l], r = a[L + l], t = -on * b[L + l];

            z[k * E + l] = (wr * p - wi * q) - (wr * t + wi * r);
            z[k * E + L + l] = (wr * q + wi * p) + (wr * r - wi * t);
        }
    }
}

static void dct_lines(const lines *m, const pjd_fft *f, const float *twist, bool inverse, float *x, float *work,
                      size_t slot)
{
    size_t blocks = (m->count + LINES - 1) / LINES;

#pragma omp parallel num_threads(team()) if (m->count * m->n > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * slot, *c = z + m->n * E, *rest = c + m->n * E;

#pragma omp for schedule(static)
        for (size_t b = 0; b < blocks; b++) {
            gather(x, m, b * LINES, m->n, !inverse, inverse ? c : z);
            if (inverse) {
                dct_start(c, twist, m->n, z);
                pjd_fft_backward(f, z, rest);
            } else {
                pjd_fft_forward(f, z, rest);
                dct_finish(z, twist, m->n, c);
            }
            scatter(inverse ? z : c, m, b * LINES, inverse, x);
        }
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
