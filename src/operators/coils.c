/* SPDX-License-Identifier: MIT */
/* Coils in Cartesian k-space; see coils.h. Threads share rows of all coils, then columns of all coils. */
#include "coils.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "internal.h"

/* Fewer samples than this are not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 14 };

static int team(const pjd_coils *s)
{
    int n = omp_get_max_threads();

    if (s->c * s->h * s->w < WORTH_A_TEAM)
        return 1;
    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

static size_t plane(const pjd_coils *s)
{
    return pjd_op_pad(2 * s->h * s->w);
}

static size_t groups(const pjd_coils *s)
{
    return (s->w + PJD_COLUMNS - 1) / PJD_COLUMNS;
}

static size_t columns_in(const pjd_coils *s, size_t g)
{
    size_t first = g * PJD_COLUMNS;

    return s->w - first < PJD_COLUMNS ? s->w - first : PJD_COLUMNS;
}

/* ---- creation ---- */

static pjd_status copy_mask(pjd_coils *s, const float *mask, pjd_error *err)
{
    float unit = (float)(1.0 / sqrt((double)s->h * (double)s->w));

    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            size_t to = pjd_uncentre(i, s->h) * s->w + pjd_uncentre(j, s->w);
            float v = mask ? mask[i * s->w + j] : 1.0f;

            if (!isfinite(v))
                return pjd_error_set(err, PJD_ERR_ARG, "mri: entry (%zu, %zu) of the mask is not a finite number", i,
                                     j);
            s->mask[to] = v != 0.0f ? unit : 0.0f;
            if (v != 0.0f) {
                s->measured++;
                s->active[pjd_uncentre(j, s->w) / PJD_COLUMNS] = 1;
            }
        }
    if (!s->measured)
        return pjd_error_set(err, PJD_ERR_ARG, "mri: the mask says that nothing was measured (not 0 is measured)");
    return PJD_OK;
}

static pjd_status copy_maps(pjd_coils *s, const float *maps, pjd_error *err)
{
    size_t n = s->h * s->w;

    for (size_t c = 0; c < s->c; c++)
        for (size_t i = 0; i < s->h; i++)
            for (size_t j = 0; j < s->w; j++) {
                float *to = s->maps + 2 * (c * n + pjd_uncentre(i, s->h) * s->w + pjd_uncentre(j, s->w));
                size_t from = 2 * c * n + i * s->w + j;

                to[0] = maps ? maps[from] : 1.0f;
                to[1] = maps ? maps[from + n] : 0.0f;
                if (!isfinite(to[0]) || !isfinite(to[1]))
                    return pjd_error_set(err, PJD_ERR_ARG, "mri: a map of coil %zu holds values that are not finite",
                                         c);
                s->energy += (double)to[0] * to[0] + (double)to[1] * to[1];
            }
    if (!(s->energy > 0.0) || !isfinite(s->energy))
        return pjd_error_set(err, PJD_ERR_ARG, "mri: the coils' maps are zero everywhere, or too large");
    return PJD_OK;
}

pjd_status pjd_coils_create(size_t c, size_t h, size_t w, const float *maps, const float *mask, pjd_coils *out,
                            pjd_error *err)
{
    size_t n, all;
    pjd_status st;

    *out = (pjd_coils){.c = c, .h = h, .w = w};
    if (!pjd_mul(h, w, &n) || !pjd_mul(n, c, &all) || all > SIZE_MAX / 64)
        return pjd_error_set(err, PJD_ERR_SHAPE, "mri: %zu coils of %zux%zu are too large", c, w, h);
    out->maps = pjd_alloc(all, 2 * sizeof *out->maps);
    out->mask = pjd_alloc(n, sizeof *out->mask);
    out->active = pjd_alloc_zero(groups(out), 1);
    st = out->maps && out->mask && out->active ? PJD_OK : pjd_error_nomem(err, "mri", all * 2 * sizeof(float));
    if (st == PJD_OK)
        st = pjd_cfft2_create(h, w, &out->f, err);
    if (st == PJD_OK)
        st = copy_mask(out, mask, err);
    if (st == PJD_OK)
        st = copy_maps(out, maps, err);
    if (st != PJD_OK)
        pjd_coils_free(out);
    return st;
}

void pjd_coils_free(pjd_coils *s)
{
    pjd_cfft2_free(&s->f);
    pjd_free(s->maps);
    pjd_free(s->mask);
    pjd_free(s->active);
    *s = (pjd_coils){0};
}

size_t pjd_coils_work(const pjd_coils *s)
{
    return (s->c + 1) * plane(s) + PJD_FFT_THREADS * pjd_cfft2_slot(&s->f);
}

/* ---- the steps ---- */

/* x's planes as pairs in the order of the transform. */
static void load(const pjd_coils *s, const float *x, float *z)
{
    size_t n = s->h * s->w;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++) {
        float *to = z + 2 * pjd_uncentre(i, s->h) * s->w;

        for (size_t j = 0; j < s->w; j++) {
            size_t k = pjd_uncentre(j, s->w);

            to[2 * k] = x[i * s->w + j];
            to[2 * k + 1] = x[n + i * s->w + j];
        }
    }
}

/* to = a b, or to += conj(a) b; n complex numbers */
static void multiply(const float *restrict a, const float *restrict b, float *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = a[2 * i] * b[2 * i] - a[2 * i + 1] * b[2 * i + 1];
        to[2 * i + 1] = a[2 * i] * b[2 * i + 1] + a[2 * i + 1] * b[2 * i];
    }
}

static void accumulate(const float *restrict a, const float *restrict b, float *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] += a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
        to[2 * i + 1] += a[2 * i] * b[2 * i + 1] - a[2 * i + 1] * b[2 * i];
    }
}

/* Rows of every coil's picture to its plane. */
static void rows_forward(const pjd_coils *s, const float *z, float *planes, float *scratch)
{
    size_t slot = pjd_cfft2_slot(&s->f), row = 2 * s->w;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t k = 0; k < s->c * s->h; k++) {
        size_t c = k / s->h, i = k % s->h;
        float *t = scratch + (size_t)omp_get_thread_num() * slot;

        multiply(s->maps + (c * s->h + i) * row, z + i * row, t, s->w);
        pjd_fft_line(s->f.row, false, t, planes + c * plane(s) + i * row, t + pjd_op_pad(row));
    }
}

/* Rows of every coil's plane back, joined to one picture. */
static void rows_backward(const pjd_coils *s, const float *planes, float *x, float *scratch)
{
    size_t slot = pjd_cfft2_slot(&s->f), row = 2 * s->w, n = s->h * s->w;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++) {
        float *sum = scratch + (size_t)omp_get_thread_num() * slot, *t = sum + pjd_op_pad(row),
              *to = x + pjd_centre(i, s->h) * s->w;

        memset(sum, 0, row * sizeof *sum);
        for (size_t c = 0; c < s->c; c++) {
            pjd_fft_line(s->f.row, true, planes + c * plane(s) + i * row, t, t + pjd_op_pad(row));
            accumulate(s->maps + (c * s->h + i) * row, t, sum, s->w);
        }
        for (size_t j = 0; j < s->w; j++) {
            size_t k = pjd_uncentre(j, s->w);

            to[j] = sum[2 * k];
            to[n + j] = sum[2 * k + 1];
        }
    }
}

/* Group g of a coil's transformed columns to its planes of y, or (v NULL) zeros there. */
static void store_group(const pjd_coils *s, size_t g, float *v, float *re, float *im)
{
    for (size_t i = 0; i < s->h; i++) {
        size_t to = pjd_centre(i, s->h) * s->w;

        for (size_t k = 0; k < columns_in(s, g); k++) {
            size_t j = g * PJD_COLUMNS + k, at = to + pjd_centre(j, s->w);
            float m = s->mask[i * s->w + j];
            const float *from = v ? pjd_cfft2_out(&s->f, v, k) + 2 * i : NULL;

            re[at] = v && m != 0.0f ? m * from[0] : 0.0f;
            im[at] = v && m != 0.0f ? m * from[1] : 0.0f;
        }
    }
}

static void load_group(const pjd_coils *s, size_t g, const float *re, const float *im, float *v)
{
    for (size_t i = 0; i < s->h; i++) {
        size_t from = pjd_centre(i, s->h) * s->w;

        for (size_t k = 0; k < columns_in(s, g); k++) {
            size_t j = g * PJD_COLUMNS + k, at = from + pjd_centre(j, s->w);
            float m = s->mask[i * s->w + j], *to = pjd_cfft2_in(&s->f, v, k) + 2 * i;

            /* What was not measured may hold anything. */
            to[0] = m != 0.0f ? m * re[at] : 0.0f;
            to[1] = m != 0.0f ? m * im[at] : 0.0f;
        }
    }
}

static void clear_group(const pjd_coils *s, size_t g, float *z)
{
    for (size_t i = 0; i < s->h; i++)
        memset(z + 2 * (i * s->w + g * PJD_COLUMNS), 0, 2 * columns_in(s, g) * sizeof *z);
}

/* Group g of z: the sampled part of its transform, and back. */
static void filter_group(const pjd_coils *s, size_t g, float *z, float *v)
{
    pjd_cfft2_gather(&s->f, z, g * PJD_COLUMNS, v);
    pjd_cfft2_columns(&s->f, false, columns_in(s, g), v);
    for (size_t k = columns_in(s, g); k-- > 0;) { /* from slot k to slot k + 1: the last one first */
        const float *from = pjd_cfft2_out(&s->f, v, k), *m = s->mask + g * PJD_COLUMNS + k;
        float *to = pjd_cfft2_in(&s->f, v, k);

        for (size_t i = 0; i < s->h; i++) {
            float f = m[i * s->w] * m[i * s->w];

            to[2 * i] = f * from[2 * i];
            to[2 * i + 1] = f * from[2 * i + 1];
        }
    }
    pjd_cfft2_columns(&s->f, true, columns_in(s, g), v);
    pjd_cfft2_scatter(&s->f, v, g * PJD_COLUMNS, z);
}

/* ---- the operator ---- */

void pjd_coils_apply(const pjd_coils *s, const float *x, float *y, float *work)
{
    float *z = work, *planes = z + plane(s), *scratch = planes + s->c * plane(s);
    size_t n = s->h * s->w, slot = pjd_cfft2_slot(&s->f);

    load(s, x, z);
    rows_forward(s, z, planes, scratch);
#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t k = 0; k < s->c * groups(s); k++) {
        size_t c = k / groups(s), g = k % groups(s);
        float *v = scratch + (size_t)omp_get_thread_num() * slot, *re = y + 2 * c * n;

        if (s->active[g]) {
            pjd_cfft2_gather(&s->f, planes + c * plane(s), g * PJD_COLUMNS, v);
            pjd_cfft2_columns(&s->f, false, columns_in(s, g), v);
        }
        store_group(s, g, s->active[g] ? v : NULL, re, re + n);
    }
}

void pjd_coils_adjoint(const pjd_coils *s, const float *y, float *x, float *work)
{
    float *planes = work + plane(s), *scratch = planes + s->c * plane(s);
    size_t n = s->h * s->w, slot = pjd_cfft2_slot(&s->f);

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t k = 0; k < s->c * groups(s); k++) {
        size_t c = k / groups(s), g = k % groups(s);
        float *v = scratch + (size_t)omp_get_thread_num() * slot, *z = planes + c * plane(s);
        const float *re = y + 2 * c * n;

        if (s->active[g]) {
            load_group(s, g, re, re + n, v);
            pjd_cfft2_columns(&s->f, true, columns_in(s, g), v);
            pjd_cfft2_scatter(&s->f, v, g * PJD_COLUMNS, z);
        } else {
            clear_group(s, g, z);
        }
    }
    rows_backward(s, planes, x, scratch);
}

void pjd_coils_normal(const pjd_coils *s, const float *p, float *q, float *work)
{
    float *z = work, *planes = z + plane(s), *scratch = planes + s->c * plane(s);
    size_t slot = pjd_cfft2_slot(&s->f);

    load(s, p, z);
    rows_forward(s, z, planes, scratch);
#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t k = 0; k < s->c * groups(s); k++) {
        size_t c = k / groups(s), g = k % groups(s);
        float *v = scratch + (size_t)omp_get_thread_num() * slot, *to = planes + c * plane(s);

        if (s->active[g])
            filter_group(s, g, to, v);
        else
            clear_group(s, g, to);
    }
    rows_backward(s, planes, q, scratch);
}
