/* SPDX-License-Identifier: MIT */
/*
 * Runners: a model planned for one item shape. Sizes that the model does not take are padded by reflection; pictures
 * whose plan would not fit the memory bound are evaluated in overlapping tiles, whose clean estimates are blended with
 * linear ramps. Tiling each evaluation (not each restoration) keeps one global picture through all the steps, so that
 * tiles cannot disagree about what they invent (Bar-Tal et al. 2023, "MultiDiffusion").
 */
#include <math.h>
#include <string.h>

#include "core/prior.h"

enum { DEFAULT_MEMORY = 1 << 30, SMALLEST_SIDE = 32 };

typedef struct axis {
    size_t size;    /* of the item */
    size_t tile;    /* what the model is given */
    size_t count;   /* tiles along this axis */
    size_t overlap; /* ramp length */
} axis;

struct pjd_runner {
    pjd_model *m;
    void *state;
    size_t batch, channels, n; /* n: elements of an item */
    axis y, x;
    float *in, *out;        /* [batch, channels, y.tile, x.tile]; NULL when the item is passed through */
    float *ramp_y, *ramp_x; /* blending weights along a tile that has neighbours on both sides */
    float *sum, *weight;    /* [batch, item], [h w]; only with several tiles */
    int *classes;
    pjd_runner_stats stats;
};

static size_t round_up(size_t v, size_t m)
{
    return (v + m - 1) / m * m;
}

/* The padded side for an untiled axis. Networks are not trained on slivers: unless exact, SMALLEST_SIDE at least. */
static size_t padded(size_t size, size_t multiple, bool exact)
{
    size_t least = !exact && multiple > 1 && size < SMALLEST_SIDE ? SMALLEST_SIDE : size;

    return round_up(least, multiple);
}

static axis make_axis(size_t size, size_t tile, size_t multiple, bool exact)
{
    axis a = {.size = size, .tile = padded(size, multiple, exact), .count = 1};

    if (tile && round_up(tile, multiple) < a.tile) {
        a.tile = round_up(tile, multiple);
        a.overlap = a.tile / 4 ? a.tile / 4 : 1;
        a.count = 1 + (size - a.tile + (a.tile - a.overlap) - 1) / (a.tile - a.overlap);
        /* Tiles are spread evenly, so the true overlap is at least this. */
    }
    return a;
}

static size_t tile_start(const axis *a, size_t i)
{
    if (a->count == 1)
        return 0;
    return (a->size - a->tile) * i / (a->count - 1);
}

/* The largest tile whose plan stays within the bound; 0: no tiling needed. */
static size_t choose_tile(pjd_model *m, size_t batch, const pjd_shape *item, bool exact, size_t limit)
{
    static const size_t sides[] = {2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64};
    size_t mult = m->info.multiple, h = padded(item->dim[1], mult, exact), w = padded(item->dim[2], mult, exact);
    pjd_shape s = pjd_shape_chw(item->dim[0], h, w);

    if (!m->v->plan_bytes || m->v->plan_bytes(m, batch, &s) <= limit)
        return 0;
    for (size_t i = 0; i < PJD_COUNTOF(sides); i++) {
        size_t side = round_up(sides[i], mult);

        s = pjd_shape_chw(item->dim[0], side < h ? side : h, side < w ? side : w);
        if (m->v->plan_bytes(m, batch, &s) <= limit)
            return side;
    }
    return round_up(64, mult);
}

static void fill_ramp(float *ramp, const axis *a)
{
    for (size_t i = 0; i < a->tile; i++) {
        size_t edge = i < a->tile - 1 - i ? i : a->tile - 1 - i;
        float w = (float)(edge + 1) / (float)(a->overlap + 1);

        ramp[i] = w < 1 ? w : 1;
    }
}

static pjd_status make_buffers(pjd_runner *r, pjd_error *err)
{
    size_t tile = r->channels * r->y.tile * r->x.tile, area = r->y.size * r->x.size;
    bool tiled = r->y.count * r->x.count > 1;

    if (tiled || r->y.tile != r->y.size || r->x.tile != r->x.size) {
        r->in = pjd_alloc(r->batch * tile, sizeof *r->in);
        r->out = pjd_alloc(r->batch * tile, sizeof *r->out);
        if (!r->in || !r->out)
            return pjd_error_nomem(err, "runner", r->batch * tile * sizeof *r->in);
    }
    if (tiled) {
        r->ramp_y = pjd_alloc(r->y.tile, sizeof *r->ramp_y);
        r->ramp_x = pjd_alloc(r->x.tile, sizeof *r->ramp_x);
        r->sum = pjd_alloc(r->batch * r->n, sizeof *r->sum);
        r->weight = pjd_alloc(area, sizeof *r->weight);
        if (!r->ramp_y || !r->ramp_x || !r->sum || !r->weight)
            return pjd_error_nomem(err, "runner", r->batch * r->n * sizeof *r->sum);
        fill_ramp(r->ramp_y, &r->y);
        fill_ramp(r->ramp_x, &r->x);
    }
    return PJD_OK;
}

static pjd_status check_item(const pjd_model *m, size_t batch, const pjd_shape *item, pjd_error *err)
{
    char found[64], want[64];
    size_t n, all;

    if (batch == 0)
        return pjd_error_set(err, PJD_ERR_ARG, "runner: a batch of at least 1 expected, found 0");
    if (!pjd_shape_count(item, &n) || n == 0 || !pjd_mul(n, batch, &all) || all > SIZE_MAX / 64)
        return pjd_error_set(err, PJD_ERR_SHAPE, "runner: %zu items of %s are empty or too large", batch,
                             pjd_shape_text(item, found, sizeof found));
    if (m->info.fixed_size && !pjd_shape_equal(item, &m->info.item))
        return pjd_error_set(err, PJD_ERR_SHAPE, "runner: the model is for items of %s, found %s",
                             pjd_shape_text(&m->info.item, want, sizeof want),
                             pjd_shape_text(item, found, sizeof found));
    if (m->info.in_channels && (item->rank != 3 || item->dim[0] != m->info.in_channels))
        return pjd_error_set(err, PJD_ERR_SHAPE, "runner: the model takes items of %zu channels, found %s",
                             m->info.in_channels, pjd_shape_text(item, found, sizeof found));
    if (m->info.sequence && item->dim[1] != 1)
        return pjd_error_set(err, PJD_ERR_SHAPE, "runner: the model takes sequences, [channels, 1, length], found %s",
                             pjd_shape_text(item, found, sizeof found));
    return PJD_OK;
}

static pjd_status copy_classes(pjd_runner *r, const int *classes, pjd_error *err)
{
    size_t known = r->m->info.num_classes;

    if (known == 0)
        return PJD_OK;
    if (!classes)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "runner: the model is class-conditional: a class from 0 to %zu is needed", known - 1);
    r->classes = pjd_alloc(r->batch, sizeof *r->classes);
    if (!r->classes)
        return pjd_error_nomem(err, "runner", r->batch * sizeof *r->classes);
    for (size_t i = 0; i < r->batch; i++) {
        if (classes[i] < 0 || (size_t)classes[i] >= known)
            return pjd_error_set(err, PJD_ERR_ARG, "runner: a class from 0 to %zu expected, found %d", known - 1,
                                 classes[i]);
        r->classes[i] = classes[i];
    }
    return PJD_OK;
}

/* Decide on padding and tiles; returns the shape that the model is planned for. */
static pjd_shape cut(pjd_runner *r, const pjd_shape *item, const pjd_runner_options *o)
{
    const pjd_model_info *i = &r->m->info;
    size_t tile = o->tile;

    if (i->fixed_size || item->rank != 3) {
        r->channels = 1;
        r->y = (axis){.size = 1, .tile = 1, .count = 1};
        r->x = (axis){.size = r->n, .tile = r->n, .count = 1};
        return *item;
    }
    if (i->sequence) {
        if (tile && tile < i->multiple)
            tile = i->multiple;
    } else if (tile == 0)
        tile = choose_tile(r->m, r->batch, item, o->exact_size, o->memory_limit ? o->memory_limit : DEFAULT_MEMORY);
    else if (tile < SMALLEST_SIDE)
        tile = SMALLEST_SIDE;
    r->channels = item->dim[0];
    r->y = make_axis(item->dim[1], i->sequence ? 0 : tile, i->sequence ? 1 : i->multiple, o->exact_size);
    r->x = make_axis(item->dim[2], tile, i->multiple, o->exact_size);
    return pjd_shape_chw(item->dim[0], r->y.tile, r->x.tile);
}

/* Sequences may be given as [channels, length]. */
static pjd_shape with_height(const pjd_model *m, const pjd_shape *item)
{
    return m->info.sequence && item->rank == 2 ? pjd_shape_chw(item->dim[0], 1, item->dim[1]) : *item;
}

pjd_status pjd_model_estimate(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                              pjd_estimate *out, pjd_error *err)
{
    pjd_runner_options o = opt ? *opt : (pjd_runner_options){0};
    pjd_shape whole = with_height(m, item), planned;
    pjd_runner r = {.m = m, .batch = batch};
    size_t tile, own = 0;
    pjd_status st = check_item(m, batch, &whole, err);

    *out = (pjd_estimate){0};
    if (st != PJD_OK)
        return st;
    if (!m->v->estimate)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "estimate: this model is not a network");
    pjd_shape_count(&whole, &r.n);
    o.threads = pjd_threads_resolve(o.threads);
    planned = cut(&r, &whole, &o);
    st = m->v->estimate(m, batch, &planned, &o, out, err);
    if (st != PJD_OK)
        return st;
    out->tiles = r.y.count * r.x.count;
    out->seconds *= (double)out->tiles;
    tile = batch * r.channels * r.y.tile * r.x.tile;
    if (out->tiles > 1 || r.y.tile != r.y.size || r.x.tile != r.x.size)
        own = 2 * tile * sizeof(float);
    if (out->tiles > 1)
        own += (batch * r.n + r.y.size * r.x.size) * sizeof(float);
    if (!pjd_add(out->activation_bytes, out->weight_bytes, &out->bytes) || !pjd_add(out->bytes, own, &out->bytes))
        return pjd_error_set(err, PJD_ERR_SHAPE, "estimate: %zu items are beyond this machine", batch);
    return PJD_OK;
}

pjd_status pjd_runner_create(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                             pjd_runner **out, pjd_error *err)
{
    pjd_runner_options o = opt ? *opt : (pjd_runner_options){0};
    pjd_runner *r;
    pjd_shape whole = with_height(m, item), planned;
    pjd_status st;

    *out = NULL;
    item = &whole;
    st = check_item(m, batch, item, err);
    if (st != PJD_OK)
        return st;
    r = pjd_alloc_zero(1, sizeof *r);
    if (!r)
        return pjd_error_nomem(err, "runner", sizeof *r);
    r->m = pjd_model_ref(m);
    r->batch = batch;
    pjd_shape_count(item, &r->n);
    o.threads = pjd_threads_resolve(o.threads);
    st = copy_classes(r, o.classes, err);
    if (st != PJD_OK)
        goto fail;
    o.classes = r->classes;
    planned = cut(r, item, &o);
    if (r->y.count * r->x.count > 1)
        pjd_logf(&o.log, PJD_LOG_INFO, "the picture is evaluated in %zu overlapping tiles of %zux%zu",
                 r->y.count * r->x.count, r->x.tile, r->y.tile);
    r->stats.tiles = r->y.count * r->x.count;
    st = make_buffers(r, err);
    if (st != PJD_OK)
        goto fail;
    st = m->v->plan(m, batch, &planned, &o, &r->state, err);
    if (st != PJD_OK)
        goto fail;
    *out = r;
    return PJD_OK;
fail:
    pjd_runner_free(r);
    return st;
}

void pjd_runner_free(pjd_runner *r)
{
    if (!r)
        return;
    if (r->state && r->m->v->state_free)
        r->m->v->state_free(r->m, r->state);
    pjd_free(r->in);
    pjd_free(r->out);
    pjd_free(r->ramp_y);
    pjd_free(r->ramp_x);
    pjd_free(r->sum);
    pjd_free(r->weight);
    pjd_free(r->classes);
    pjd_model_unref(r->m);
    pjd_free(r);
}

/* Index of a sample beyond the end, mirrored without repeating the edge; a single sample is repeated. */
static size_t reflect(size_t i, size_t size)
{
    size_t period = size > 1 ? 2 * (size - 1) : 1;

    i %= period;
    return i < size ? i : period - i;
}

/* Tile (ty, tx) of every item and channel into r->in. */
static void gather(pjd_runner *r, const float *x, size_t ty, size_t tx)
{
    size_t y0 = tile_start(&r->y, ty), x0 = tile_start(&r->x, tx);
    size_t inside = r->x.size - x0 < r->x.tile ? r->x.size - x0 : r->x.tile;

    for (size_t plane = 0; plane < r->batch * r->channels; plane++) {
        const float *src = x + plane * r->y.size * r->x.size;
        float *dst = r->in + plane * r->y.tile * r->x.tile;

        for (size_t i = 0; i < r->y.tile; i++, dst += r->x.tile) {
            const float *row = src + reflect(y0 + i, r->y.size) * r->x.size;

            memcpy(dst, row + x0, inside * sizeof *dst);
            for (size_t k = inside; k < r->x.tile; k++)
                dst[k] = row[reflect(x0 + k, r->x.size)];
        }
    }
}

/* Weight of row or column i of tile t: no ramp towards a border of the picture. */
static float blend(const axis *a, const float *ramp, size_t t, size_t i)
{
    bool near = i < a->tile / 2;

    if (a->count == 1 || (near && t == 0) || (!near && t == a->count - 1))
        return 1;
    return ramp[i];
}

static void scatter(pjd_runner *r, const float *tile, size_t ty, size_t tx)
{
    size_t y0 = tile_start(&r->y, ty), x0 = tile_start(&r->x, tx);
    size_t rows = r->y.size - y0 < r->y.tile ? r->y.size - y0 : r->y.tile;
    size_t cols = r->x.size - x0 < r->x.tile ? r->x.size - x0 : r->x.tile;

    for (size_t plane = 0; plane < r->batch * r->channels; plane++)
        for (size_t i = 0; i < rows; i++) {
            float wy = blend(&r->y, r->ramp_y, ty, i);
            const float *src = tile + (plane * r->y.tile + i) * r->x.tile;
            float *dst = r->sum + (plane * r->y.size + y0 + i) * r->x.size + x0;

            for (size_t k = 0; k < cols; k++)
                dst[k] += wy * blend(&r->x, r->ramp_x, tx, k) * src[k];
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < cols; k++)
            r->weight[(y0 + i) * r->x.size + x0 + k] += blend(&r->y, r->ramp_y, ty, i) * blend(&r->x, r->ramp_x, tx, k);
}

static void crop(const pjd_runner *r, const float *tile, float *x0)
{
    for (size_t plane = 0; plane < r->batch * r->channels; plane++)
        for (size_t i = 0; i < r->y.size; i++)
            memcpy(x0 + (plane * r->y.size + i) * r->x.size, tile + (plane * r->y.tile + i) * r->x.tile,
                   r->x.size * sizeof *x0);
}

/* What the level of an evaluation is: t and abar for a prior's `denoise`, sigma for its `denoise_ve`. */
typedef struct level {
    double t, abar, sigma;
    bool ve;
} level;

static pjd_status call(pjd_runner *r, const float *x, const level *l, float *x0, pjd_error *err)
{
    double start = pjd_now();
    pjd_status st = l->ve ? r->m->v->denoise_ve(r->m, r->state, x, l->sigma, x0, err)
                          : r->m->v->denoise(r->m, r->state, x, l->t, l->abar, x0, err);

    r->stats.calls++;
    r->stats.seconds += pjd_now() - start;
    return st;
}

static pjd_status run_tiles(pjd_runner *r, const float *x, const level *l, float *x0, pjd_error *err)
{
    size_t area = r->y.size * r->x.size;

    memset(r->sum, 0, r->batch * r->n * sizeof *r->sum);
    memset(r->weight, 0, area * sizeof *r->weight);
    for (size_t ty = 0; ty < r->y.count; ty++)
        for (size_t tx = 0; tx < r->x.count; tx++) {
            pjd_status st;

            gather(r, x, ty, tx);
            st = call(r, r->in, l, r->out, err);
            if (st != PJD_OK)
                return st;
            scatter(r, r->out, ty, tx);
        }
    for (size_t plane = 0; plane < r->batch * r->channels; plane++)
        for (size_t i = 0; i < area; i++)
            x0[plane * area + i] = r->sum[plane * area + i] / r->weight[i];
    return PJD_OK;
}

static pjd_status evaluate(pjd_runner *r, const float *x, const level *l, float *x0, pjd_error *err)
{
    pjd_status st;

    if (r->sum)
        return run_tiles(r, x, l, x0, err);
    if (!r->in)
        return call(r, x, l, x0, err);
    gather(r, x, 0, 0);
    st = call(r, r->in, l, r->out, err);
    if (st == PJD_OK)
        crop(r, r->out, x0);
    return st;
}

/* x0 serves as the rescaled input: an evaluation may work in place. */
static const float *rescaled(const pjd_runner *r, const float *x, double factor, float *x0)
{
    size_t n = r->batch * r->n;

    for (size_t i = 0; i < n; i++)
        x0[i] = (float)(factor * x[i]);
    return x0;
}

pjd_status pjd_runner_denoise(pjd_runner *r, const float *x, double t, float *x0, pjd_error *err)
{
    level l = {.t = t, .abar = pjd_model_abar(r->m, t)};
    pjd_status st;

    if (!r->m->v->denoise) {
        l.sigma = sqrt((1 - l.abar) / l.abar);
        l.ve = true;
        x = rescaled(r, x, 1 / sqrt(l.abar), x0);
    }
    st = evaluate(r, x, &l, x0, err);
    if (st == PJD_OK && !pjd_all_finite(x0, r->batch * r->n))
        st = pjd_error_set(err, PJD_ERR_NONFINITE, "model: the clean estimate at t = %g is not finite", t);
    return st;
}

pjd_status pjd_runner_denoise_sigma(pjd_runner *r, const float *x, double sigma, float *x0, pjd_error *err)
{
    level l = {.sigma = sigma, .ve = true};
    pjd_status st;

    if (!(sigma > 0) || !isfinite(sigma))
        return pjd_error_set(err, PJD_ERR_ARG, "runner: a noise level above 0 expected, found %g", sigma);
    if (!r->m->v->denoise_ve) {
        l.ve = false;
        l.abar = 1 / (1 + sigma * sigma);
        l.t = pjd_model_t_of_abar(r->m, l.abar);
        x = rescaled(r, x, 1 / sqrt(1 + sigma * sigma), x0);
    }
    st = evaluate(r, x, &l, x0, err);
    if (st == PJD_OK && !pjd_all_finite(x0, r->batch * r->n))
        st = pjd_error_set(err, PJD_ERR_NONFINITE, "model: the clean estimate at sigma = %g is not finite", sigma);
    return st;
}

pjd_status pjd_runner_raw(pjd_runner *r, const float *x, double t, float *out, pjd_error *err)
{
    size_t saved = r->channels;
    float *wide;
    pjd_status st;

    if (!r->m->v->raw)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "runner: this model is not a network");
    if (r->sum)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "runner: raw outputs of a tiled picture are not supported");
    if (!r->in)
        return r->m->v->raw(r->m, r->state, x, t, out, err);
    wide = pjd_alloc(r->batch * r->m->info.out_channels * r->y.tile * r->x.tile, sizeof *wide);
    if (!wide)
        return pjd_error_nomem(err, "runner",
                               r->batch * r->m->info.out_channels * r->y.tile * r->x.tile * sizeof *wide);
    gather(r, x, 0, 0);
    st = r->m->v->raw(r->m, r->state, r->in, t, wide, err);
    if (st == PJD_OK) {
        r->channels = r->m->info.out_channels;
        crop(r, wide, out);
        r->channels = saved;
    }
    pjd_free(wide);
    return st;
}

void pjd_runner_get_stats(const pjd_runner *r, pjd_runner_stats *out)
{
    *out = r->stats;
    if (r->m->v->state_stats)
        r->m->v->state_stats(r->m, r->state, &out->arena_bytes, &out->weight_bytes);
}
