/* SPDX-License-Identifier: MIT */
/*
 * Coils in Cartesian k-space; see coils.h. Threads share rows of all coils, then columns of all coils. A transform's lanes are
 * the coils of a block in LINES rows or columns.
 */
#include "coils.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "internal.h"

/* Fewer samples than this are not worth waking threads for. */
enum { WORTH_A_TEAM = 1 << 14 };
enum { L = PJD_COILS_BLOCK, E = 2 * L, LINES = PJD_FFT_LANES / L, Z = PJD_FFT_ELEMENT };

static int team(const pjd_coils *s)
{
    int n = omp_get_max_threads();

    if (s->c * s->h * s->w < WORTH_A_TEAM)
        return 1;
    return n < PJD_FFT_THREADS ? n : PJD_FFT_THREADS;
}

/* Floats of one block's maps. */
static size_t maps_size(const pjd_coils *s)
{
    return s->h * s->stride * E;
}

/* Floats of one block's picture, [h / LINES][stride][2][LINES][L]: rows as a transform has them in its lanes. */
static size_t block_size(const pjd_coils *s)
{
    return (s->h + LINES - 1) / LINES * s->stride * Z;
}

/* Where element (i, j) of a block lies: the real parts of its coils, the imaginary ones PJD_FFT_LANES further. */
static size_t element(const pjd_coils *s, size_t i, size_t j)
{
    return (i / LINES * s->stride + j) * Z + i % LINES * L;
}

/* Of a line; and half a page, so that what is read and what is written do not share sets of the cache. */
static size_t longest(const pjd_coils *s)
{
    return (s->h > s->w ? s->h : s->w) * Z + 528;
}

/* Of one thread: lines before and after a transform, and what that wants. */
static size_t slot_size(const pjd_coils *s)
{
    size_t row = pjd_fft_work(s->row), column = pjd_fft_work(s->column);

    return 2 * longest(s) + (row > column ? row : column);
}

/* ---- creation ---- */

static pjd_status copy_mask(pjd_coils *s, const float *mask, pjd_error *err)
{
    float unit = (float)(1.0 / sqrt((double)s->h * (double)s->w));

    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            size_t to = pjd_uncentre(j, s->w) * s->h + pjd_uncentre(i, s->h);
            float v = mask ? mask[i * s->w + j] : 1.0f;

            if (!isfinite(v))
                return pjd_error_set(err, PJD_ERR_ARG, "mri: entry (%zu, %zu) of the mask is not a finite number", i,
                                     j);
            s->mask[to] = v != 0.0f ? unit : 0.0f;
            s->measured += v != 0.0f;
        }
    if (!s->measured)
        return pjd_error_set(err, PJD_ERR_ARG, "mri: the mask says that nothing was measured (not 0 is measured)");
    return PJD_OK;
}

static bool holds_samples(const pjd_coils *s, size_t column)
{
    for (size_t i = 0; i < s->h; i++)
        if (s->mask[column * s->h + i] != 0.0f)
            return true;
    return false;
}

static void order_columns(pjd_coils *s)
{
    size_t rest = s->w;

    for (size_t j = 0; j < s->w; j++)
        if (holds_samples(s, j))
            s->order[s->sampled++] = j;
        else
            s->order[--rest] = j;
}

static pjd_status copy_maps(pjd_coils *s, const float *maps, pjd_error *err)
{
    size_t n = s->h * s->w;

    for (size_t c = 0; c < s->c; c++)
        for (size_t i = 0; i < s->h; i++)
            for (size_t j = 0; j < s->w; j++) {
                float *to = s->maps + c / L * maps_size(s) +
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
    out->order = pjd_alloc(w, sizeof *out->order);
    st = out->maps && out->mask && out->order ? PJD_OK : pjd_error_nomem(err, "mri", all * E * sizeof(float));
    if (st == PJD_OK)
        st = pjd_fft_create(w, &out->row, err);
    if (st == PJD_OK)
        st = pjd_fft_create(h, &out->column, err);
    if (st == PJD_OK)
        st = copy_mask(out, mask, err);
    if (st == PJD_OK)
        order_columns(out);
    if (st == PJD_OK)
        st = copy_maps(out, maps, err);
    if (st != PJD_OK)
        pjd_coils_free(out);
    return st;
}

void pjd_coils_free(pjd_coils *s)
{
    pjd_fft_free(s->row);
    pjd_fft_free(s->column);
    pjd_free(s->maps);
    pjd_free(s->mask);
    pjd_free(s->order);
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

/* Loops that all kinds of processors compile, with the same bytes. */
#define INLINE static inline __attribute__((always_inline))

/*
 * Rows of the picture and of the maps as one side, lanes as the other: `some` of LINES rows, the next of which lies `next`
 * floats further in the maps; the lanes of those that are missing become 0.
 */
typedef struct some_rows {
    const float *map;
    size_t some, next, n;
} some_rows;

/* What each coil of a block sees. */
INLINE void spread_body(const some_rows *r, const float *restrict x, float *restrict to)
{
    for (size_t j = 0; j < r->n; j++)
        for (size_t k = 0; k < LINES; k++, to += L) {
            const float *map = r->map + (k < r->some ? k : 0) * r->next + j * E;
            const float *p = x + 2 * ((k < r->some ? k : 0) * r->n + j);
            float re = k < r->some ? p[0] : 0.0f, im = k < r->some ? p[1] : 0.0f;

            for (size_t l = 0; l < L; l++) {
                to[l] = map[l] * re - map[L + l] * im;
                to[PJD_FFT_LANES + l] = map[l] * im + map[L + l] * re;
            }
            to += k + 1 == LINES ? PJD_FFT_LANES : 0;
        }
}

/* sum = [sum +] the coils' pictures times their conjugate maps */
INLINE void gather_body(const some_rows *r, const float *restrict v, bool add, float *restrict sum)
{
    for (size_t j = 0; j < r->n; j++, v += Z)
        for (size_t k = 0; k < r->some; k++) {
            const float *map = r->map + k * r->next + j * E, *c = v + k * L, *d = c + PJD_FFT_LANES;
            float re[L], im[L], *to = sum + 2 * (k * r->n + j);

            for (size_t l = 0; l < L; l++) {
                re[l] = map[l] * c[l] + map[L + l] * d[l];
                im[l] = map[l] * d[l] - map[L + l] * c[l];
            }
            for (size_t half = L / 2; half > 0; half /= 2)
                for (size_t l = 0; l < half; l++) {
                    re[l] += re[l + half];
                    im[l] += im[l + half];
                }
            to[0] = add ? to[0] + re[0] : re[0];
            to[1] = add ? to[1] + im[0] : im[0];
        }
}

typedef struct row_loops {
    void (*spread)(const some_rows *r, const float *x, float *to);
    void (*gather)(const some_rows *r, const float *v, bool add, float *sum);
} row_loops;

#define FOR_any
#define FOR_avx2 __attribute__((target("avx2")))
#define ROW_LOOPS(isa)                                                                                                 \
    FOR_##isa static void spread_##isa(const some_rows *r, const float *x, float *to)                                  \
    {                                                                                                                  \
        spread_body(r, x, to);                                                                                         \
    }                                                                                                                  \
    FOR_##isa static void gather_##isa(const some_rows *r, const float *v, bool add, float *sum)                       \
    {                                                                                                                  \
        gather_body(r, v, add, sum);                                                                                   \
    }
ROW_LOOPS(any)
#if defined(__x86_64__)
ROW_LOOPS(avx2)
#endif

static row_loops row_loops_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return (row_loops){spread_avx2, gather_avx2};
#endif
    return (row_loops){spread_any, gather_any};
}

/* Column j of a block to one line of the lanes, and back. */
static void take(const pjd_coils *s, const float *block, size_t j, float *z)
{
    for (size_t i = 0; i < s->h; i++, z += Z) {
        const float *from = block + element(s, i, j);

        memcpy(z, from, L * sizeof *z);
        memcpy(z + PJD_FFT_LANES, from + PJD_FFT_LANES, L * sizeof *z);
    }
}

static void put(const pjd_coils *s, const float *z, size_t j, float *block)
{
    for (size_t i = 0; i < s->h; i++, z += Z) {
        float *to = block + element(s, i, j);

        memcpy(to, z, L * sizeof *z);
        memcpy(to + PJD_FFT_LANES, z + PJD_FFT_LANES, L * sizeof *z);
    }
}

static void clear(const pjd_coils *s, size_t j, float *block)
{
    for (size_t i = 0; i < s->h; i += LINES)
        memset(block + element(s, i, j), 0, Z * sizeof *block);
}

/* Where there are fewer than LINES left: the lanes of the others, of n elements. */
static void clear_lines(size_t some, size_t n, float *z)
{
    for (size_t i = 0; some < LINES && i < 2 * n; i++)
        memset(z + i * PJD_FFT_LANES + some * L, 0, (LINES - some) * L * sizeof *z);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* LINES rows at a time: what the coils see of r->in, transformed to the block, or the block back to r->sum; then it is lost. */
static void rows(const pjd_coils *s, size_t b, bool backward, const room *r)
{
    const float *maps = s->maps + b * maps_size(s);
    row_loops loops = row_loops_best();

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i += LINES) {
        some_rows some = {maps + i * s->stride * E, least(s->h - i, LINES), s->stride * E, s->w};
        float *z = slot(s, r), *block = r->block + element(s, i, 0), *work = z + longest(s);

        if (backward) {
            pjd_fft_move(s->row, true, block, z, work);
            loops.gather(&some, z, b > 0, r->sum + 2 * i * s->w);
        } else {
            loops.spread(&some, r->in + 2 * i * s->w, z);
            pjd_fft_move(s->row, false, z, block, work);
        }
    }
}

/* v <- m or m^2 times v where m is not 0, else 0; one line of the lanes */
static void sample(const pjd_coils *s, size_t j, bool twice, float *v)
{
    const float *mask = s->mask + j * s->h;

    for (size_t i = 0; i < s->h; i++, v += Z) {
        float m = twice ? mask[i] * mask[i] : mask[i];

        for (size_t l = 0; l < L; l++) {
            v[l] = m != 0.0f ? m * v[l] : 0.0f;
            v[PJD_FFT_LANES + l] = m != 0.0f ? m * v[PJD_FFT_LANES + l] : 0.0f;
        }
    }
}

/* LINES columns that hold samples, forward and sampled, or sampled and backward, or both. */
static void some_columns(const pjd_coils *s, const size_t *column, size_t some, bool forward, bool backward,
                         const room *r)
{
    float *z = slot(s, r), *to = z + longest(s), *work = to + longest(s), *t;

    for (size_t k = 0; k < some; k++)
        take(s, r->block, column[k], z + k * L);
    clear_lines(some, s->h, z);
    if (forward) {
        pjd_fft_move(s->column, false, z, to, work);
        t = z;
        z = to;
        to = t;
    }
    for (size_t k = 0; k < some; k++)
        sample(s, column[k], forward && backward, z + k * L);
    if (backward) {
        pjd_fft_move(s->column, true, z, to, work);
        z = to;
    }
    for (size_t k = 0; k < some; k++)
        put(s, z + k * L, column[k], r->block);
}

static void columns(const pjd_coils *s, bool forward, bool backward, const room *r)
{
#pragma omp parallel num_threads(team(s))
    {
#pragma omp for schedule(static) nowait
        for (size_t j = 0; j < s->sampled; j += LINES)
            some_columns(s, s->order + j, least(s->sampled - j, LINES), forward, backward, r);
#pragma omp for schedule(static)
        for (size_t j = s->sampled; j < s->w; j++)
            clear(s, s->order[j], r->block);
    }
}

/* A block's k-space and its planes of y, which are centred. */
static void store_planes(const pjd_coils *s, size_t b, const float *block, float *y)
{
    size_t n = s->h * s->w, coils = s->c - b * L < L ? s->c - b * L : L;

#pragma omp parallel for schedule(static) num_threads(team(s))
    for (size_t i = 0; i < s->h; i++)
        for (size_t j = 0; j < s->w; j++) {
            const float *from = block + element(s, pjd_uncentre(i, s->h), pjd_uncentre(j, s->w));
            float *to = y + 2 * b * L * n + i * s->w + j;

            for (size_t l = 0; l < coils; l++) {
                to[2 * l * n] = from[l];
                to[(2 * l + 1) * n] = from[PJD_FFT_LANES + l];
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
            float *to = block + element(s, pjd_uncentre(i, s->h), pjd_uncentre(j, s->w));

            for (size_t l = 0; l < L; l++) {
                to[l] = l < coils ? from[2 * l * n] : 0.0f;
                to[PJD_FFT_LANES + l] = l < coils ? from[(2 * l + 1) * n] : 0.0f;
            }
        }
    if (s->h % LINES)
        clear_lines(s->h % LINES, s->w, block + element(s, s->h / LINES * LINES, 0));
}

/* ---- the operator ---- */

void pjd_coils_apply(const pjd_coils *s, const float *x, float *y, float *work)
{
    room r = make_room(s, work);

    load(s, x, r.in);
    for (size_t b = 0; b < s->blocks; b++) {
        rows(s, b, false, &r);
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
        rows(s, b, true, &r);
    }
    store(s, r.sum, x);
}

void pjd_coils_normal(const pjd_coils *s, const float *p, float *q, float *work)
{
    room r = make_room(s, work);

    load(s, p, r.in);
    for (size_t b = 0; b < s->blocks; b++) {
        rows(s, b, false, &r);
        columns(s, true, true, &r);
        rows(s, b, true, &r);
    }
    store(s, r.sum, q);
}
