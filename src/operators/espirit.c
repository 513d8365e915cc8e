/* SPDX-License-Identifier: MIT */
/*
 * ESPIRiT (Uecker et al., "ESPIRiT - an eigenvalue approach to autocalibrating parallel MRI", Magnetic Resonance in
 * Medicine 71, 2014), the first set of maps. All windows of k x k places and all coils of the calibration region lie near a
 * subspace; P is the projection on it. Projecting every window of a k-space on it and averaging is, in the picture's
 * domain, one small Hermitian matrix a pixel,
 *
 *     W(q)_cd = sum_delta K_cd(delta) exp(-2 pi i delta q / N),   K_cd(delta) = 1/k^2 sum_{off' - off = delta} P_(c,off),(d,off')
 *
 * which maps leave unchanged: W S = S. S is the eigenvector to the largest eigenvalue, 1 where there is signal. The sum over
 * delta is short, so W is summed row by row instead of by transforms of whole pictures.
 */
#include "espirit.h"

#include <lapacke.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum { KERNEL = 6, SMALLEST = 2, MAX_COILS = 64, POWER_STEPS = 100 };
/* Uecker et al.: singular values below 0.02 of the largest are noise; pixels whose eigenvalue is small have no signal. */
static const double NULL_SPACE = 0.02, CROP = 0.8;

typedef struct cplx {
    double re, im;
} cplx;

static cplx mul(cplx a, cplx b)
{
    return (cplx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* a conj(b) */
static cplx mul_conj(cplx a, cplx b)
{
    return (cplx){a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}

static void add(cplx *to, cplx v)
{
    to->re += v.re;
    to->im += v.im;
}

/* ---- the calibration region ---- */

static bool all_measured(const float *mask, size_t w, const pjd_block *b)
{
    for (size_t i = b->top; i < b->top + b->h; i++)
        for (size_t j = b->left; j < b->left + b->w; j++)
            if (!(mask[i * w + j] != 0.0f))
                return false;
    return true;
}

/* One side longer, alternately after and before the middle, as long as that is measured. */
static bool grow(size_t n, size_t longest, size_t *first, size_t *size)
{
    bool before = *size % 2 == 1; /* the middle n / 2 belongs to the upper half: 1 grows down to n / 2 - 1 first */

    if (*size >= longest || *size >= n)
        return false;
    if (before && *first > 0)
        --*first;
    ++*size;
    return *first + *size <= n;
}

pjd_block pjd_measured_centre(size_t h, size_t w, const float *mask, size_t longest)
{
    pjd_block b = {h / 2, w / 2, 1, 1};
    bool rows = true, columns = true;

    if (!all_measured(mask, w, &b))
        return (pjd_block){h / 2, w / 2, 0, 0};
    while (rows || columns) {
        pjd_block next = b;

        if (rows) {
            rows = grow(h, longest, &next.top, &next.h) && all_measured(mask, w, &next);
            b = rows ? next : b;
        }
        next = b;
        if (columns) {
            columns = grow(w, longest, &next.left, &next.w) && all_measured(mask, w, &next);
            b = columns ? next : b;
        }
    }
    return b;
}

/* ---- the subspace ---- */

typedef struct espirit {
    size_t c, h, w, kh, kw; /* kernel */
    size_t n;               /* c kh kw: elements of a window */
    size_t dh, dw;          /* 2 k - 1: differences */
    cplx *gram;             /* [n, n] column-major; then eigenvectors, rising */
    double *values;         /* [n] */
    cplx *kernel;           /* [pairs][dh][dw], pairs of coils c <= d */
} espirit;

static void window(const espirit *e, const float *kspace, size_t top, size_t left, cplx *v)
{
    size_t area = e->h * e->w;

    for (size_t c = 0; c < e->c; c++)
        for (size_t i = 0; i < e->kh; i++)
            for (size_t j = 0; j < e->kw; j++) {
                const float *p = kspace + 2 * c * area + (top + i) * e->w + left + j;

                *v++ = (cplx){p[0], p[area]};
            }
}

/* Sum of v v^H over all windows, the lower triangle. */
static void sum_windows(espirit *e, const float *kspace, const pjd_block *b, cplx *v)
{
    for (size_t i = b->top; i + e->kh <= b->top + b->h; i++)
        for (size_t j = b->left; j + e->kw <= b->left + b->w; j++) {
            window(e, kspace, i, j, v);
#pragma omp parallel for schedule(static, 16) if (e->n > 64)
            for (size_t q = 0; q < e->n; q++)
                for (size_t p = q; p < e->n; p++)
                    add(&e->gram[q * e->n + p], mul_conj(v[p], v[q]));
        }
}

/* Entry (p, q) of the projection on the eigenvectors from `first` on. */
static cplx projection(const espirit *e, size_t first, size_t p, size_t q)
{
    cplx sum = {0, 0};

    for (size_t k = first; k < e->n; k++)
        add(&sum, mul_conj(e->gram[k * e->n + p], e->gram[k * e->n + q]));
    return sum;
}

/* K of one pair of coils. */
static void fill_kernel(const espirit *e, size_t first, size_t c, size_t d, cplx *to)
{
    size_t area = e->kh * e->kw;
    double unit = 1.0 / (double)area;

    memset(to, 0, e->dh * e->dw * sizeof *to);
    for (size_t a = 0; a < area; a++)
        for (size_t b = 0; b < area; b++) {
            size_t di = b / e->kw + e->kh - 1 - a / e->kw, dj = b % e->kw + e->kw - 1 - a % e->kw;
            cplx v = projection(e, first, c * area + a, d * area + b);

            add(&to[di * e->dw + dj], (cplx){unit * v.re, unit * v.im});
        }
}

static size_t pair_index(const espirit *e, size_t c, size_t d)
{
    return c * e->c - c * (c + 1) / 2 + d; /* c <= d */
}

static pjd_status find_subspace(espirit *e, pjd_error *err)
{
    lapack_int info = LAPACKE_zheevd(LAPACK_COL_MAJOR, 'V', 'L', (lapack_int)e->n,
                                     (lapack_complex_double *)(void *)e->gram, (lapack_int)e->n, e->values);
    double top = e->values[e->n - 1];
    size_t first = 0;

    if (info != 0)
        return pjd_error_set(err, PJD_ERR_BACKEND,
                             "mri: LAPACK expected to decompose a %zux%zu matrix, found zheevd %d", e->n, e->n,
                             (int)info);
    if (!(top > 0.0) || !isfinite(top))
        return pjd_error_set(err, PJD_ERR_ARG, "mri: the calibration region holds no signal");
    while (e->values[first] <= NULL_SPACE * NULL_SPACE * top)
        first++;
#pragma omp parallel for schedule(dynamic)
    for (size_t c = 0; c < e->c; c++)
        for (size_t d = c; d < e->c; d++)
            fill_kernel(e, first, c, d, e->kernel + pair_index(e, c, d) * e->dh * e->dw);
    return PJD_OK;
}

/* ---- maps ---- */

/* exp(-2 pi i (q - n / 2)(delta - (k - 1)) / n), delta < 2 k - 1 */
static void phases(size_t n, size_t q, size_t k, cplx *out)
{
    for (size_t d = 0; d < 2 * k - 1; d++) {
        double a = -2 * M_PI * ((double)q - (double)(n / 2)) * ((double)d - (double)(k - 1)) / (double)n;

        out[d] = (cplx){cos(a), sin(a)};
    }
}

/* The row's sum over the differences of rows: [pairs][dw]. */
static void row_kernel(const espirit *e, const cplx *phase, cplx *out)
{
    size_t pairs = e->c * (e->c + 1) / 2;

    for (size_t k = 0; k < pairs; k++)
        for (size_t j = 0; j < e->dw; j++) {
            cplx sum = {0, 0};

            for (size_t i = 0; i < e->dh; i++)
                add(&sum, mul(e->kernel[(k * e->dh + i) * e->dw + j], phase[i]));
            out[k * e->dw + j] = sum;
        }
}

static void pixel_matrix(const espirit *e, const cplx *row, const cplx *phase, cplx *m)
{
    for (size_t c = 0; c < e->c; c++)
        for (size_t d = c; d < e->c; d++) {
            const cplx *k = row + pair_index(e, c, d) * e->dw;
            cplx sum = {0, 0};

            for (size_t j = 0; j < e->dw; j++)
                add(&sum, mul(k[j], phase[j]));
            m[c * e->c + d] = sum;
            m[d * e->c + c] = (cplx){sum.re, -sum.im};
        }
}

/* v <- M v / |M v|; returns |M v|. */
static double power_step(size_t n, const cplx *m, cplx *v, cplx *spare)
{
    double norm = 0.0;

    for (size_t c = 0; c < n; c++) {
        cplx sum = {0, 0};

        for (size_t d = 0; d < n; d++)
            add(&sum, mul(m[c * n + d], v[d]));
        spare[c] = sum;
        norm += sum.re * sum.re + sum.im * sum.im;
    }
    norm = sqrt(norm);
    for (size_t c = 0; c < n; c++)
        v[c] = norm > 0.0 ? (cplx){spare[c].re / norm, spare[c].im / norm} : (cplx){0, 0};
    return norm;
}

/* The largest eigenvalue of a Hermitian matrix without negative ones, from the column with the largest diagonal. */
static double largest(size_t n, const cplx *m, cplx *v, cplx *spare)
{
    size_t best = 0;
    double value = 0.0;

    for (size_t c = 1; c < n; c++)
        if (m[c * n + c].re > m[best * n + best].re)
            best = c;
    for (size_t c = 0; c < n; c++)
        v[c] = (cplx){c == best, 0.0};
    for (size_t k = 0; k < POWER_STEPS; k++) {
        double next = power_step(n, m, v, spare);
        bool still = fabs(next - value) <= 1e-9 * next;

        value = next;
        if (still && k > 8)
            break;
    }
    return value;
}

/* Turned so that reference^H v is real and positive, of length 1; 0 where there is no signal. */
static void store_pixel(const espirit *e, double value, const cplx *v, const cplx *reference, float *maps, size_t at)
{
    cplx turn = {0, 0};
    double size;

    for (size_t c = 0; c < e->c; c++)
        add(&turn, mul_conj(reference[c], v[c]));
    size = sqrt(turn.re * turn.re + turn.im * turn.im);
    turn = size > 0.0 ? (cplx){turn.re / size, turn.im / size} : (cplx){1, 0};
    for (size_t c = 0; c < e->c; c++) {
        cplx s = mul(v[c], turn);
        bool seen = value > CROP;

        maps[2 * c * e->h * e->w + at] = seen ? (float)s.re : 0.0f;
        maps[(2 * c + 1) * e->h * e->w + at] = seen ? (float)s.im : 0.0f;
    }
}

/* The strongest combination of coils: a virtual coil against which phases are told. */
static void find_reference(const espirit *e, const float *kspace, const pjd_block *b, cplx *m, cplx *v, cplx *spare)
{
    size_t area = e->h * e->w;

    memset(m, 0, e->c * e->c * sizeof *m);
    for (size_t c = 0; c < e->c; c++)
        for (size_t d = 0; d < e->c; d++)
            for (size_t i = b->top; i < b->top + b->h; i++)
                for (size_t j = b->left; j < b->left + b->w; j++) {
                    const float *p = kspace + 2 * c * area + i * e->w + j, *q = kspace + 2 * d * area + i * e->w + j;

                    add(&m[c * e->c + d], mul_conj((cplx){p[0], p[area]}, (cplx){q[0], q[area]}));
                }
    largest(e->c, m, v, spare);
}

/* Doubles of scratch for one row. */
static size_t row_scratch(const espirit *e)
{
    size_t pairs = e->c * (e->c + 1) / 2;

    return pairs * e->dw + e->dh + e->dw + e->c * e->c + 2 * e->c;
}

static void map_row(const espirit *e, size_t i, const cplx *reference, float *maps, cplx *scratch)
{
    cplx *row = scratch, *rows = row + e->c * (e->c + 1) / 2 * e->dw, *columns = rows + e->dh, *m = columns + e->dw,
         *v = m + e->c * e->c, *spare = v + e->c;

    phases(e->h, i, e->kh, rows);
    row_kernel(e, rows, row);
    for (size_t j = 0; j < e->w; j++) {
        double value;

        phases(e->w, j, e->kw, columns);
        pixel_matrix(e, row, columns, m);
        value = largest(e->c, m, v, spare);
        store_pixel(e, value, v, reference, maps, i * e->w + j);
    }
}

static pjd_status make_maps(espirit *e, const float *kspace, const pjd_block *b, float *maps, pjd_error *err)
{
    size_t one = row_scratch(e), teams = (size_t)omp_get_max_threads();
    cplx *scratch = pjd_alloc(teams * one + e->c * e->c + 2 * e->c, sizeof *scratch);
    cplx *reference = scratch ? scratch + teams * one : NULL;

    if (!scratch)
        return pjd_error_nomem(err, "mri", teams * one * sizeof *scratch);
    find_reference(e, kspace, b, reference + e->c, reference, reference + e->c + e->c * e->c);
#pragma omp parallel for schedule(static) num_threads((int)teams)
    for (size_t i = 0; i < e->h; i++)
        map_row(e, i, reference, maps, scratch + (size_t)omp_get_thread_num() * one);
    pjd_free(scratch);
    return PJD_OK;
}

pjd_status pjd_espirit(size_t c, size_t h, size_t w, const float *kspace, const pjd_block *b, float *maps,
                       pjd_error *err)
{
    size_t kh = b->h / 2 < KERNEL ? b->h / 2 : KERNEL, kw = b->w / 2 < KERNEL ? b->w / 2 : KERNEL;
    espirit e = {.c = c, .h = h, .w = w, .kh = kh, .kw = kw, .n = c * kh * kw, .dh = 2 * kh - 1, .dw = 2 * kw - 1};
    size_t pairs = c * (c + 1) / 2;
    cplx *v = NULL;
    pjd_status st;

    if (c > MAX_COILS)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED,
                             "mri: maps of at most %d coils are estimated, found %zu (give maps=)", MAX_COILS, c);
    if (kh < SMALLEST || kw < SMALLEST)
        return pjd_error_set(
            err, PJD_ERR_ARG,
            "mri: maps are estimated from the fully sampled centre of k-space, and that is %zux%zu: at "
            "least %dx%d are needed (give maps=)",
            b->w, b->h, 2 * SMALLEST, 2 * SMALLEST);
    e.gram = pjd_alloc_zero(e.n * e.n, sizeof *e.gram);
    e.values = pjd_alloc(e.n, sizeof *e.values);
    e.kernel = pjd_alloc(pairs * e.dh * e.dw, sizeof *e.kernel);
    v = pjd_alloc(e.n, sizeof *v);
    st = e.gram && e.values && e.kernel && v ? PJD_OK : pjd_error_nomem(err, "mri", e.n * e.n * sizeof *e.gram);
    if (st == PJD_OK) {
        sum_windows(&e, kspace, b, v);
        st = find_subspace(&e, err);
    }
    if (st == PJD_OK)
        st = make_maps(&e, kspace, b, maps, err);
    pjd_free(e.gram);
    pjd_free(e.values);
    pjd_free(e.kernel);
    pjd_free(v);
    return st;
}
