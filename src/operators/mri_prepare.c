/* SPDX-License-Identifier: MIT */
/* From k-space to what the operator mri and a prior of photographs take; see projdiff/mri.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coils.h"
#include "espirit.h"
#include "internal.h"
#include "projdiff/mri.h"

enum { CALIBRATION = 24, FEWEST_SAMPLES = 64 };
/* The magnitude below which 99 % of what the coils see lies becomes 0.9 of white. */
static const double PERCENTILE = 0.99, LEVEL = 0.9;
/* The share of the samples, the outermost, that tells the noise. */
static const double OUTER = 0.1;

struct pjd_mri {
    pjd_mri_info info;
    pjd_shape kspace, plane;
    pjd_block centre;
    float *mask;  /* [h, w] */
    float *maps;  /* [2 c, h, w], turned by the phase */
    float *phase; /* [2, h, w], cosine and sine */
    float *y;     /* [2 c, h, w] */
    bool *seen;   /* [h, w] */
};

void pjd_mri_free(pjd_mri *m)
{
    if (!m)
        return;
    pjd_free(m->mask);
    pjd_free(m->maps);
    pjd_free(m->phase);
    pjd_free(m->y);
    pjd_free(m->seen);
    pjd_free(m);
}

static size_t pixels(const pjd_mri *m)
{
    return m->info.height * m->info.width;
}

/* ---- what was measured ---- */

static pjd_status check(const pjd_shape *s, const float *kspace, pjd_error *err)
{
    size_t n;
    pjd_status st = pjd_op_require_chw("mri", s, err);

    if (st != PJD_OK)
        return st;
    if (s->dim[0] % 2)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "mri: k-space has 2 planes a coil, real and imaginary part, found %zu planes", s->dim[0]);
    pjd_shape_count(s, &n);
    if (!pjd_all_finite(kspace, n))
        return pjd_error_set(err, PJD_ERR_NONFINITE, "mri: the k-space holds values that are not finite");
    return PJD_OK;
}

static void find_mask(pjd_mri *m, const float *kspace, const pjd_mri_options *o)
{
    size_t n = pixels(m), silent = 0;

    for (size_t i = 0; i < n; i++) {
        bool signal = false;

        for (size_t p = 0; p < m->kspace.dim[0]; p++)
            signal = signal || kspace[p * n + i] != 0.0f;
        m->mask[i] = (o->mask ? o->mask[i] != 0.0f : signal) ? 1.0f : 0.0f;
        silent += m->mask[i] != 0.0f && !signal;
        m->info.measured += m->mask[i] != 0.0f;
    }
    if (silent)
        pjd_logf(&o->log, PJD_LOG_WARN, "mri: %zu of %zu places that the mask calls measured are 0 in every coil",
                 silent, m->info.measured);
}

static pjd_status find_centre(pjd_mri *m, const pjd_mri_options *o, pjd_error *err)
{
    if (m->info.measured == 0)
        return pjd_error_set(err, PJD_ERR_ARG, "mri: nothing was measured: %s",
                             o->mask ? "the mask is 0 everywhere (not 0 is measured)" : "the k-space is 0 everywhere");
    m->centre = pjd_measured_centre(m->info.height, m->info.width, m->mask,
                                    o->calibration ? o->calibration : (size_t)CALIBRATION);
    m->info.calibration_height = m->centre.h;
    m->info.calibration_width = m->centre.w;
    return PJD_OK;
}

/* ---- noise ---- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static float radius(const pjd_mri *m, size_t at)
{
    float i = ((float)(at / m->info.width) - (float)(m->info.height / 2)) / (float)m->info.height,
          j = ((float)(at % m->info.width) - (float)(m->info.width / 2)) / (float)m->info.width;

    return i * i + j * j;
}

/* 1.4826 times the median magnitude of a part, over the outermost samples: the little signal there makes it larger. */
static pjd_status estimate_noise(pjd_mri *m, const float *kspace, pjd_error *err)
{
    size_t n = pixels(m), parts = m->kspace.dim[0], count = 0, wanted, used = 0;
    float *r = pjd_alloc(m->info.measured, sizeof *r), *v = NULL, limit;

    if (!r)
        return pjd_error_nomem(err, "mri", m->info.measured * sizeof *r);
    for (size_t i = 0; i < n; i++)
        if (m->mask[i] != 0.0f)
            r[count++] = radius(m, i);
    qsort(r, count, sizeof *r, compare_floats);
    wanted = (size_t)ceil(OUTER * (double)count);
    wanted = wanted < FEWEST_SAMPLES ? (count < FEWEST_SAMPLES ? count : FEWEST_SAMPLES) : wanted;
    limit = r[count - wanted];
    pjd_free(r);
    v = pjd_alloc(count * parts, sizeof *v);
    if (!v)
        return pjd_error_nomem(err, "mri", count * parts * sizeof *v);
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < parts && m->mask[i] != 0.0f && radius(m, i) >= limit; p++)
            v[used++] = fabsf(kspace[p * n + i]);
    qsort(v, used, sizeof *v, compare_floats);
    m->info.sigma = 1.4826 * (double)v[used / 2];
    pjd_free(v);
    return PJD_OK;
}

/* ---- maps and phase ---- */

static pjd_status find_maps(pjd_mri *m, const float *kspace, const float *given, pjd_error *err)
{
    size_t n = pixels(m), c = m->info.coils;

    if (given) {
        memcpy(m->maps, given, 2 * c * n * sizeof *given);
        if (!pjd_all_finite(given, 2 * c * n))
            return pjd_error_set(err, PJD_ERR_NONFINITE, "mri: the maps hold values that are not finite");
        return PJD_OK;
    }
    if (c == 1) {
        for (size_t i = 0; i < 2 * n; i++)
            m->maps[i] = i < n ? 1.0f : 0.0f;
        return PJD_OK;
    }
    m->info.estimated = true;
    return pjd_espirit(c, m->info.height, m->info.width, kspace, &m->centre, m->maps, err);
}

static double hann(size_t i, size_t first, size_t size)
{
    double u = ((double)(i - first) + 0.5) / (double)size;

    return 0.5 - 0.5 * cos(2 * M_PI * u);
}

/* Without a fully sampled centre, whatever was measured in a small block serves for the phase. */
static pjd_block phase_block(const pjd_mri *m)
{
    size_t h = m->info.height, w = m->info.width;
    pjd_block b = m->centre;

    if (b.h >= 4 && b.w >= 4)
        return b;
    b.h = h < CALIBRATION ? h : (size_t)CALIBRATION;
    b.w = w < CALIBRATION ? w : (size_t)CALIBRATION;
    b.top = h / 2 - b.h / 2;
    b.left = w / 2 - b.w / 2;
    return b;
}

/* The windowed centre of k-space as a measurement. */
static void low_resolution(const pjd_mri *m, const float *kspace, float *y)
{
    size_t n = pixels(m), w = m->info.width;
    pjd_block b = phase_block(m);

    memset(y, 0, m->kspace.dim[0] * n * sizeof *y);
    for (size_t p = 0; p < m->kspace.dim[0]; p++)
        for (size_t i = b.top; i < b.top + b.h; i++)
            for (size_t j = b.left; j < b.left + b.w; j++)
                y[p * n + i * w + j] = (float)(hann(i, b.top, b.h) * hann(j, b.left, b.w)) * kspace[p * n + i * w + j];
}

/* The phase of x, that measurement's picture, goes into the maps. */
static void turn(pjd_mri *m, const float *x)
{
    size_t n = pixels(m), seen = 0;

    for (size_t i = 0; i < n; i++) {
        double size = hypot(x[i], x[n + i]), energy = 0;
        float re = size > 0 ? (float)(x[i] / size) : 1.0f, im = size > 0 ? (float)(x[n + i] / size) : 0.0f;

        m->phase[i] = re;
        m->phase[n + i] = im;
        for (size_t c = 0; c < m->info.coils; c++) {
            float *s = m->maps + 2 * c * n + i, a = s[0], b = s[n];

            s[0] = a * re - b * im;
            s[n] = a * im + b * re;
            energy += (double)a * a + (double)b * b;
        }
        m->seen[i] = energy > 0;
        seen += m->seen[i];
    }
    m->info.support = (double)seen / (double)n;
}

static pjd_status find_phase(pjd_mri *m, const float *kspace, pjd_error *err)
{
    size_t n = pixels(m), work;
    pjd_coils coils;
    pjd_status st = pjd_coils_create(m->info.coils, m->info.height, m->info.width, m->maps, m->mask, &coils, err);
    float *x;

    if (st != PJD_OK)
        return st;
    work = pjd_coils_work(&coils);
    x = pjd_alloc(2 * n + work, sizeof *x);
    if (x) {
        low_resolution(m, kspace, m->y);
        pjd_coils_adjoint(&coils, m->y, x, x + 2 * n);
        turn(m, x);
    } else {
        st = pjd_error_nomem(err, "mri", (2 * n + work) * sizeof *x);
    }
    pjd_free(x);
    pjd_coils_free(&coils);
    return st;
}

/* ---- scale ---- */

/* The percentile of |x| over what is seen. */
static pjd_status magnitude(const pjd_mri *m, const float *x, double *out, pjd_error *err)
{
    size_t n = pixels(m), used = 0;
    float *v = pjd_alloc(n, sizeof *v);

    if (!v)
        return pjd_error_nomem(err, "mri", n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        if (m->seen[i])
            v[used++] = hypotf(x[i], x[n + i]);
    qsort(v, used, sizeof *v, compare_floats);
    *out = used ? (double)v[(size_t)(PERCENTILE * (double)(used - 1))] : 0.0;
    pjd_free(v);
    if (!(*out > 0.0) || !isfinite(*out))
        return pjd_error_set(err, PJD_ERR_ARG, "mri: the coils see no signal where it was measured");
    return PJD_OK;
}

/* y <- 2 y / scale - A (1, 0), so that black is -1; scale from a picture by sensitivity encoding. */
static pjd_status normalise(pjd_mri *m, pjd_error *err)
{
    pjd_array arrays[2];
    pjd_operator *op = NULL;
    size_t n = pixels(m), count = 2 * m->info.coils * n, work;
    double peak = 0.0;
    float *x = NULL;
    pjd_status st;

    pjd_mri_arrays(m, arrays);
    st = pjd_operator_create("mri", arrays, 2, NULL, &m->kspace, &op, err);
    if (st != PJD_OK)
        return st;
    work = pjd_operator_work(op);
    x = pjd_alloc_zero(2 * n + count + work, sizeof *x);
    if (!x)
        st = pjd_error_nomem(err, "mri", (2 * n + count + work) * sizeof *x);
    if (st == PJD_OK) {
        pjd_operator_prox(op, x, m->y, 0.01 / pjd_operator_noise_gain(op, 1.0), x + 2 * n + count);
        st = magnitude(m, x, &peak, err);
    }
    if (st == PJD_OK) {
        float *black = x + 2 * n, f;

        m->info.scale = peak / LEVEL;
        f = (float)(2.0 / m->info.scale);
        for (size_t i = 0; i < 2 * n; i++)
            x[i] = i < n ? 1.0f : 0.0f;
        pjd_operator_apply(op, x, black, x + 2 * n + count);
        for (size_t i = 0; i < count; i++)
            m->y[i] = f * m->y[i] - black[i];
    }
    pjd_free(x);
    pjd_operator_unref(op);
    return st;
}

/* ---- entry points ---- */

static pjd_status allocate(const pjd_shape *s, pjd_mri **out, pjd_error *err)
{
    size_t n = s->dim[1] * s->dim[2];
    pjd_mri *m = pjd_alloc_zero(1, sizeof *m);

    *out = m;
    if (!m)
        return pjd_error_nomem(err, "mri", sizeof *m);
    m->info = (pjd_mri_info){.coils = s->dim[0] / 2, .height = s->dim[1], .width = s->dim[2]};
    m->kspace = *s;
    m->plane = pjd_shape_chw(1, s->dim[1], s->dim[2]);
    m->mask = pjd_alloc(n, sizeof *m->mask);
    m->phase = pjd_alloc(2 * n, sizeof *m->phase);
    m->seen = pjd_alloc(n, sizeof *m->seen);
    m->maps = pjd_alloc(s->dim[0] * n, sizeof *m->maps);
    m->y = pjd_alloc(s->dim[0] * n, sizeof *m->y);
    if (!m->mask || !m->phase || !m->seen || !m->maps || !m->y)
        return pjd_error_nomem(err, "mri", 2 * s->dim[0] * n * sizeof(float));
    return PJD_OK;
}

static void copy_measured(pjd_mri *m, const float *kspace)
{
    size_t n = pixels(m);

    for (size_t p = 0; p < m->kspace.dim[0]; p++)
        for (size_t i = 0; i < n; i++)
            m->y[p * n + i] = m->mask[i] != 0.0f ? kspace[p * n + i] : 0.0f;
}

/* What every preparation starts with: where was measured, and the fully measured centre. */
static pjd_status begin(const pjd_shape *shape, const float *kspace, const pjd_mri_options *o, pjd_mri **m,
                        pjd_error *err)
{
    pjd_status st = check(shape, kspace, err);

    if (st == PJD_OK)
        st = allocate(shape, m, err);
    if (st == PJD_OK) {
        find_mask(*m, kspace, o);
        st = find_centre(*m, o, err);
    }
    return st;
}

pjd_status pjd_mri_prepare(const pjd_shape *kspace_shape, const float *kspace, const pjd_mri_options *opt,
                           pjd_mri **out, pjd_error *err)
{
    pjd_mri_options o = opt ? *opt : (pjd_mri_options){0};
    pjd_mri *m = NULL;
    pjd_status st = begin(kspace_shape, kspace, &o, &m, err);

    *out = NULL;
    if (st == PJD_OK)
        st = estimate_noise(m, kspace, err);
    if (st == PJD_OK)
        st = find_maps(m, kspace, o.maps, err);
    if (st == PJD_OK)
        st = find_phase(m, kspace, err);
    if (st == PJD_OK) {
        copy_measured(m, kspace);
        st = normalise(m, err);
    }
    if (st == PJD_OK)
        *out = m;
    else
        pjd_mri_free(m);
    return st;
}

const pjd_mri_info *pjd_mri_get_info(const pjd_mri *m)
{
    return &m->info;
}

size_t pjd_mri_arrays(const pjd_mri *m, pjd_array *out)
{
    out[0] = (pjd_array){"mask", m->plane, m->mask};
    out[1] = (pjd_array){"maps", m->kspace, m->maps};
    return 2;
}

const float *pjd_mri_measurement(const pjd_mri *m)
{
    return m->y;
}

void pjd_mri_finish(const pjd_mri *m, const float *x, float *picture)
{
    size_t n = pixels(m);
    double half = 0.5 * m->info.scale;

    for (size_t i = 0; i < n; i++) {
        double re = m->seen[i] ? half * ((double)x[i] + 1.0) : 0.0, im = m->seen[i] ? half * (double)x[n + i] : 0.0;
        double c = m->phase[i], s = m->phase[n + i];

        picture[i] = (float)(re * c - im * s);
        picture[n + i] = (float)(re * s + im * c);
    }
}

pjd_status pjd_mri_estimate_maps(const pjd_shape *kspace_shape, const float *kspace, const pjd_mri_options *opt,
                                 float *maps, pjd_error *err)
{
    pjd_mri_options o = opt ? *opt : (pjd_mri_options){0};
    pjd_mri *m = NULL;
    pjd_status st = begin(kspace_shape, kspace, &o, &m, err);

    if (st == PJD_OK)
        st = pjd_espirit(m->info.coils, m->info.height, m->info.width, kspace, &m->centre, maps, err);
    pjd_mri_free(m);
    return st;
}
