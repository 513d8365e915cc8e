/* SPDX-License-Identifier: MIT */
/* Coils in Cartesian k-space; see coils.h. Threads share rows of all coils, then columns of all coils. */
#include "coils.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "internal.h"

/* Fewer samples than this are not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 14 };
enum { L = PJD_LANES, E = PJD_LANES_ELEMENT };

static int team(const pjd_coils *s)
{
    int n = omp_get_max_threads();

    if (s->c * s->h * s->w < WORTH_A_TEAM)
        return 1;
    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

/* Floats of one block's picture. */
static size_t block_size(const pjd_coils *s)
{
    return s->h * s->stride * E;
}

/* Of one thread: two lines, and what a transform wants. */
static size_t slot_size(const pjd_coils *s)
{
    size_t line = (s->h > s->w ? s->h : s->w) * E, row = pjd_lanes_work(s->row), column = pjd_lanes_work(s->column);

    return 2 * line + (row > column ? row : column);
}

/* ---- creation ---- */

static pjd_status copy_mask(pjd_coils *s, const float *mask, pjd_error *err)
{
    float unit = (float)(1.0 / sqrt((double)s->h * (double)s->w));

    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            size_t column = pjd_uncentre(j, s->w), to = column * s->h + pjd_uncentre(i, s->h);
            float v = mask ? mask[i * s->w + j] : 1.0f;

            if (!isfinite(v))
                return pjd_error_set(err, PJD_ERR_ARG, "mri: entry (%zu, %zu) of the mask is not a finite number", i,
                                     j);
            s->mask[to] = v != 0.0f ? unit : 0.0f;
            if (v != 0.0f) {
                s->measured++;
                s->active[column] = 1;
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
                float *to = s->maps + c / L * block_size(s) +
                            (pjd_uncentre(i, s->h) * s->stride + pjd_uncentre(j, s->w)) * E + c % L;
                size_t from = 2 * c * n + i * s->w + j;

                to[0] = maps ? maps[from] : 1.0f;
                to[L] = maps ? maps[from + n] : 0.0f;
                if (!isfinite(to[0]) || !isfinite(to[L]))
                    return pjd_error_set(err, PJD_ERR_ARG, "mri: a map of coil %zu holds values that are not finite",
                                         c);
                s->energy += (double)to[0] * to[0] + (double)to[L] * to[L];
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

    *out = (pjd_coils){.c = c, .h = h, .w = w, .blocks = (c + L - 1) / L, .stride = w | 1};
    if (!pjd_mul(h, out->stride, &n) || !pjd_mul(n, out->blocks, &all) || all > SIZE_MAX / (64 * E))
        return pjd_error_set(err, PJD_ERR_SHAPE, "mri: %zu coils of %zux%zu are too large", c, w, h);
    out->maps = pjd_alloc_zero(all, E * sizeof *out->maps);
    out->mask = pjd_alloc(h * w, sizeof *out->mask);
    out->active = pjd_alloc_zero(w, 1);
    st = out->maps && out->mask && out->active ? PJD_OK : pjd_error_nomem(err, "mri", all * E * sizeof(float));
    if (st == PJD_OK)
        st = pjd_lanes_create(w, &out->row, err);
    if (st == PJD_OK)
        st = pjd_lanes_create(h, &out->column, err);
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
    pjd_lanes_free(s->row);
    pjd_lanes_free(s->column);
    pjd_free(s->maps);
    pjd_free(s->mask);
    pjd_free(s->active);
    *s = (pjd_coils){0};
}

size_t pjd_coils_work(const pjd_coils *s)
{
    /* a block's picture, x in and x summed, a slot for each thread */
    return PJD_ALIGN / sizeof(float) + block_size(s) + 2 * pjd_op_pad(2 * s->h * s->w) + PJD_FFT_THREADS * slot_size(s);
}

/* ---- the steps ---- */

/* Where the parts of scratch are. */
typedef struct room {
    float *block, *in, *sum, *slots;
} room;

static room make_room(const pjd_coils *s, float *work)
{
    uintptr_t ahead = (uintptr_t)work % PJD_ALIGN / sizeof *work; /* a caller's scratch may begin anywhere */
    room r = {.block = work + (ahead ? PJD_ALIGN / sizeof *work - ahead : 0)};

    r.in = r.block + block_size(s);
    r.sum = r.in + pjd_op_pad(2 * s->h * s->w);
    r.slots = r.sum + pjd_op_pad(2 * s->h * s->w);
    return r;
}

static float *slot(const pjd_coils *s, const room *r)
{
    return r->slots + (size_t)omp_get_thread_num() * slot_size(s);
}

static size_t longest(const pjd_coils *s)
{
    return (s->h > s->w ? s->h : s->w) * E;
}

/* x's planes as pairs in the order of the transform, and back. */
static void load(const pjd_coils *s, const float *x, float *z)
{
    size_t n = s->h * s->w;

    for (size_t i = 0; i < s->h; i++) {
        float *to = z + 2 * pjd_uncentre(i, s->h) * s->w;

        for (size_t j = 0; j < s->w; j++) {
            size_t k = pjd_uncentre(j, s->w);

            to[2 * k] = x[i * s->w + j];
            to[2 * k + 1] = x[n + i * s->w + j];
        }
    }
}

static void store(const pjd_coils *s, const float *z, float *x)
{
    size_t n = s->h * s->w;

    for (size_t i = 0; i < s->h; i++) {
        const float *from = z + 2 * pjd_uncentre(i, s->h) * s->w;

        for (size_t j = 0; j < s->w; j++) {
            size_t k = pjd_uncentre(j, s->w);

            x[i * s->w + j] = from[2 * k];
            x[n + i * s->w + j] = from[2 * k + 1];
        }
    }
}

/* What each coil of a block sees of a row of the picture. */
static void spread(const float *restrict map, const float *restrict x, float *restrict to, size_t n)
{
    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < L; l++) {
            float a = map[j * E + l], b = map[j * E + L + l];

            to[j * E + l] = a * x[2 * j] - b * x[2 * j + 1];
            to[j * E + L + l] = a * x[2 * j + 1] + b * x[2 * j];
        }
}

/* sum += the coils' pictures times their conjugate maps */
static void gather(const float *restrict map, const float *restrict v, float *restrict sum, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        float re[L], im[L];

        for (size_t l = 0; l < L; l++) {
            float a = map[j * E + l], b = map[j * E + L + l];

            re[l] = a * v[j * E + l] + b * v[j * E + L + l];
            im[l] = a * v[j * E + L + l] - b * v[j * E + l];
        }
        sum[2 * j] += ((re[0] + re[4]) + (re[1] + re[5])) + ((re[2] + re[6]) + (re[3] + re[7]));
        sum[2 * j + 1] += ((im[0] + im[4]) + (im[1] + im[5])) + ((im[2] + im[6]) + (im[3] + im[7]));
    }
}

static void rows_forward(const pjd_coils *s, size_t b, const room *r)
{
    const float *maps = s->maps + b * block_size(s);

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++) {
        float *v = slot(s, r), *spare = v + longest(s), *done;

        spread(maps + i * s->stride * E, r->in + 2 * i * s->w, v, s->w);
        done = pjd_lanes_run(s->row, false, v, spare, spare + longest(s));
        memcpy(r->block + i * s->stride * E, done, s->w * E * sizeof *done);
    }
}

static void rows_backward(const pjd_coils *s, size_t b, const room *r)
{
    const float *maps = s->maps + b * block_size(s);

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++) {
        float *v = slot(s, r), *spare = v + longest(s), *sum = r->sum + 2 * i * s->w;

        memcpy(v, r->block + i * s->stride * E, s->w * E * sizeof *v);
        v = pjd_lanes_run(s->row, true, v, spare, spare + longest(s));
        if (b == 0)
            memset(sum, 0, 2 * s->w * sizeof *sum);
        gather(maps + i * s->stride * E, v, sum, s->w);
    }
}

static void take_column(const pjd_coils *s, const float *block, size_t j, float *v)
{
    for (size_t i = 0; i < s->h; i++)
        memcpy(v + i * E, block + (i * s->stride + j) * E, E * sizeof *v);
}

static void put_column(const pjd_coils *s, const float *v, size_t j, float *block)
{
    for (size_t i = 0; i < s->h; i++)
        memcpy(block + (i * s->stride + j) * E, v + i * E, E * sizeof *v);
}

static void clear_column(const pjd_coils *s, size_t j, float *block)
{
    for (size_t i = 0; i < s->h; i++)
        memset(block + (i * s->stride + j) * E, 0, E * sizeof *block);
}

/* v <- m or m^2 times v where m is not 0, else 0 */
static void sample(const pjd_coils *s, size_t j, bool twice, float *v)
{
    const float *mask = s->mask + j * s->h;

    for (size_t i = 0; i < s->h; i++) {
        float m = twice ? mask[i] * mask[i] : mask[i];

        for (size_t l = 0; l < E; l++)
            v[i * E + l] = m != 0.0f ? m * v[i * E + l] : 0.0f;
    }
}

/* Columns forward and sampled, or sampled columns backward, or both. */
static void columns(const pjd_coils *s, bool forward, bool backward, const room *r)
{
#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t j = 0; j < s->w; j++) {
        float *v = slot(s, r), *spare = v + longest(s), *work = spare + longest(s), *t;

        if (!s->active[j]) {
            clear_column(s, j, r->block);
            continue;
        }
        take_column(s, r->block, j, v);
        if (forward) {
            t = pjd_lanes_run(s->column, false, v, spare, work);
            spare = t == v ? spare : v;
            v = t;
        }
        sample(s, j, forward && backward, v);
        if (backward)
            v = pjd_lanes_run(s->column, true, v, spare, work);
        put_column(s, v, j, r->block);
    }
}

/* A block's k-space and its planes of y, which are centred. */
static void store_planes(const pjd_coils *s, size_t b, const float *block, float *y)
{
    size_t n = s->h * s->w, coils = s->c - b * L < L ? s->c - b * L : L;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            const float *from = block + (pjd_uncentre(i, s->h) * s->stride + pjd_uncentre(j, s->w)) * E;
            float *to = y + 2 * b * L * n + i * s->w + j;

            for (size_t l = 0; l < coils; l++) {
                to[2 * l * n] = from[l];
                to[(2 * l + 1) * n] = from[L + l];
            }
        }
}

static void load_planes(const pjd_coils *s, size_t b, const float *y, float *block)
{
    size_t n = s->h * s->w, coils = s->c - b * L < L ? s->c - b * L : L;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            const float *from = y + 2 * b * L * n + i * s->w + j;
            float *to = block + (pjd_uncentre(i, s->h) * s->stride + pjd_uncentre(j, s->w)) * E;

            memset(to, 0, E * sizeof *to);
            for (size_t l = 0; l < coils; l++) {
                to[l] = from[2 * l * n];
                to[L + l] = from[(2 * l + 1) * n];
            }
        }
}

/* ---- the operator ---- */

void pjd_coils_apply(const pjd_coils *s, const float *x, float *y, float *work)
{
    room r = make_room(s, work);

    load(s, x, r.in);
    for (size_t b = 0; b < s->blocks; b++) {
        rows_forward(s, b, &r);
        columns(s, true, false, &r);
        store_planes(s, b, r.block, y);
    }
}

void pjd_coils_adjoint(const pjd_coils *s, const float *y, float *x, float *work)
{
    room r = make_room(s, work);

    for (size_t b = 0; b < s->blocks; b++) {
        load_planes(s, b, y, r.block);
        columns(s, false, true, &r);
        rows_backward(s, b, &r);
    }
    store(s, r.sum, x);
}

void pjd_coils_normal(const pjd_coils *s, const float *p, float *q, float *work)
{
    room r = make_room(s, work);

    load(s, p, r.in);
    for (size_t b = 0; b < s->blocks; b++) {
        rows_forward(s, b, &r);
        columns(s, true, true, &r);
        rows_backward(s, b, &r);
    }
    store(s, r.sum, q);
}
