/* SPDX-License-Identifier: MIT */
/* Two dimensions: two real lines are the parts of a complex one, sixteen of which are the lanes of a transform. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "fft.h"
#include "fft_loops.h"

enum { L = PJD_FFT_LANES, E = PJD_FFT_ELEMENT, LINES = 2 * L };

/* Less is not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 17 };

static int team(void)
{
    int n = omp_get_max_threads();

    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

static size_t pad(size_t n)
{
    return (n + 15) / 16 * 16;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
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

    return pad(row > column ? row : column);
}

size_t pjd_fft2_work(const pjd_fft2 *f)
{
    return PJD_FFT_THREADS * fft2_slot(f);
}

/* Parts of a transform, each by a whole team inside its parallel region; z: the thread's slot. */

static void rows_forward(const pjd_fft2 *f, const pjd_band *in, float *s, float *z)
{
    const pjd_fft_loops *loops = pjd_fft_loops_best();
    const pjd_window *v = &in->at;
    size_t right = v->left + v->cols;

#pragma omp for schedule(static)
    for (size_t r = 0; r < v->rows; r += LINES) {
        size_t some = least(v->rows - r, LINES);

        memset(z, 0, v->left * E * sizeof *z);
        loops->load(in->x + r * v->stride, v->stride, some, v->cols, z + v->left * E);
        memset(z + right * E, 0, (f->w - right) * E * sizeof *z);
        loops->separate(pjd_fft_run(f->row, false, z, z + f->w * E), f->w, some, s + (v->top + r) * E, f->h * E);
    }
}

static void columns_forward(const pjd_fft2 *f, size_t g, size_t rows, float *s, float *z)
{
    float *group = s + g * f->h * E;

    memset(group + rows * E, 0, (f->h - rows) * E * sizeof *group);
    pjd_fft_forward(f->column, group, z);
}

static void rows_backward(const pjd_fft2 *f, const float *s, double scale, const pjd_band *out, float *z)
{
    const pjd_fft_loops *loops = pjd_fft_loops_best();
    const pjd_window *v = &out->at;
    float factor = (float)(scale / ((double)f->h * (double)f->w));

#pragma omp for schedule(static)
    for (size_t r = 0; r < v->rows; r += LINES) {
        size_t some = least(v->rows - r, LINES);

        loops->combine(s + (v->top + r) * E, f->w, some, f->h * E, factor, z);
        loops->store(pjd_fft_run(f->row, true, z, z + f->w * E) + v->left * E, some, v->cols, v->add,
                     out->x + r * v->stride, v->stride);
    }
}

void pjd_fft2_forward(const pjd_fft2 *f, const float *x, size_t stride, size_t rows, size_t cols, float *s, float *work)
{
    const pjd_band in = {(float *)x, {0, 0, rows, cols, stride, false}};

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * fft2_slot(f);

        rows_forward(f, &in, s, z);
#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++)
            columns_forward(f, g, rows, s, z);
    }
}

void pjd_fft2_backward(const pjd_fft2 *f, float *s, double scale, float *x, const pjd_window *v, float *work)
{
    const pjd_band out = {x, *v};

#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * fft2_slot(f);

#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++)
            pjd_fft_backward(f->column, s + g * f->h * E, z);
        rows_backward(f, s, scale, &out, z);
    }
}

void pjd_fft2_bands(const pjd_fft2 *f, const pjd_band *in, size_t ins, pjd_fft2_change change, const void *ctx,
                    double scale, const pjd_band *out, size_t outs, float *s, float *work)
{
    size_t rows = 0;

    for (size_t i = 0; i < ins; i++)
        rows += in[i].at.rows;
#pragma omp parallel num_threads(team()) if (f->h * f->w > WORTH_A_TEAM)
    {
        float *z = work + (size_t)omp_get_thread_num() * fft2_slot(f);

        for (size_t i = 0; i < ins; i++)
            rows_forward(f, in + i, s, z);
#pragma omp for schedule(static)
        for (size_t g = 0; g < f->groups; g++) {
            float *group = s + g * f->h * E, *t;

            memset(group + rows * E, 0, (f->h - rows) * E * sizeof *group);
            t = pjd_fft_run(f->column, false, group, z);
            change(ctx, g * f->h, f->h, t);
            /* back to the group: what goes elsewhere comes back the same way */
            pjd_fft_run(f->column, true, t, t == group ? z : group);
        }
        for (size_t i = 0; i < outs; i++)
            rows_backward(f, s, scale, out + i, z);
    }
}

void pjd_fft2_filter(const pjd_fft2 *f, const pjd_fft2_input *in, pjd_fft2_change change, const void *ctx, double scale,
                     float *to, const pjd_window *v, float *s, float *work)
{
    const pjd_band from = {(float *)in->x, {0, 0, in->rows, in->cols, in->stride, false}}, out = {to, *v};

    pjd_fft2_bands(f, &from, 1, change, ctx, scale, &out, 1, s, work);
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

/* Lines of a plane: element i of line l is at base[l * line + i * step]; one of the two is 1. */
typedef struct lines {
    size_t count, n;
    size_t line, step;
} lines;

static size_t dct2_slot(const pjd_dct2 *d)
{
    size_t row = 2 * d->w * E + pjd_fft_work(d->row), column = 2 * d->h * E + pjd_fft_work(d->column);

    return pad(row > column ? row : column);
}

size_t pjd_dct2_work(const pjd_dct2 *d)
{
    return PJD_FFT_THREADS * dct2_slot(d);
}

/* Where element i lies before the transform: even ones first, odd ones last and backwards. */
static size_t place(size_t i, size_t n)
{
    return i % 2 ? n - 1 - i / 2 : i / 2;
}

static void copy(float *to, const float *from)
{
    memcpy(to, from, E * sizeof *to);
}

/* `some` lines of a plane to lanes, folded or not; spare: n elements. */
static void gather(const pjd_fft_loops *loops, const float *base, const lines *m, size_t some, bool folded, float *z,
                   float *spare)
{
    if (m->step == 1) {
        loops->load(base, m->line, some, m->n, folded ? spare : z);
        for (size_t i = 0; folded && i < m->n; i++)
            copy(z + place(i, m->n) * E, spare + i * E);
        return;
    }
    for (size_t i = 0; i < m->n; i++) {
        float *to = z + (folded ? place(i, m->n) : i) * E;

        memcpy(to, base + i * m->step, some * sizeof *to);
        memset(to + some, 0, (E - some) * sizeof *to);
    }
}

static void scatter(const pjd_fft_loops *loops, const float *z, const lines *m, size_t some, bool folded, float *base,
                    float *spare)
{
    if (m->step == 1) {
        for (size_t i = 0; folded && i < m->n; i++)
            copy(spare + i * E, z + place(i, m->n) * E);
        loops->store(folded ? spare : z, some, m->n, false, base, m->line);
        return;
    }
    for (size_t i = 0; i < m->n; i++)
        memcpy(base + i * m->step, z + (folded ? place(i, m->n) : i) * E, some * sizeof *base);
}

static void dct_lines(const lines *m, const pjd_fft *f, const float *twist, bool inverse, float *x, float *work,
                      size_t slot)
{
    const pjd_fft_loops *loops = pjd_fft_loops_best();

#pragma omp parallel for schedule(static) num_threads(team()) if (m->count * m->n > WORTH_A_TEAM)
    for (size_t first = 0; first < m->count; first += LINES) {
        float *z = work + (size_t)omp_get_thread_num() * slot, *c = z + m->n * E, *rest = c + m->n * E;
        float *base = x + first * m->line;
        size_t some = least(m->count - first, LINES);

        gather(loops, base, m, some, !inverse, z, c);
        if (inverse) {
            loops->uncosine(z, twist, m->n, c);
            pjd_fft_backward(f, c, rest);
        } else {
            pjd_fft_forward(f, z, rest);
            loops->cosine(z, twist, m->n, c);
        }
        scatter(loops, c, m, some, inverse, base, z);
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
