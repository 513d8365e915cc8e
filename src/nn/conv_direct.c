/* SPDX-License-Identifier: MIT */
/*
 * Direct convolution as an indirect matrix product: for each tile of output positions a table says where the input row
 * of each kernel tap (and piece of a virtual concatenation) lies. Padding is a row of zeros; an upsampled input is read at
 * half its position. Takes every shape, linear layers included.
 */
#include <string.h>

#include "nn/conv.h"

#define TILES 16                /* tiles of mr positions that share one pointer table and one pass over a panel */
#define PANEL_BYTES (384 << 10) /* of packed weights used before going on to the next tile: half a typical L2 */

typedef struct direct_priv {
    nn_conv_head head;
    float *weight;
    float *bias; /* or NULL */
    float *zeros;
    size_t groups;       /* taps x pieces */
    size_t *kc;          /* [groups] */
    size_t taps_at_once; /* taps whose weights stay in the cache together */
    size_t tiles;        /* a block */
    size_t blocks;       /* an item */
    size_t panels, panels_per_task, panel_tasks;
} direct_priv;

static bool can(const nn_conv_case *c)
{
    return true;
}

static double cost(const nn_conv_case *c)
{
    double k = (double)(c->in.c * c->r->kh * c->r->kw), n = (double)((c->out.c + 15) / 16 * 16);

    return (double)pjd_nn_positions(&c->out) * k * n + 13.0 * k * n;
}

static size_t scratch(const nn_conv_case *c)
{
    size_t n;

    if (!pjd_mul((size_t)c->opt.threads * TILES * c->kernels->mr * sizeof(float *), c->r->kh * c->r->kw * c->segs, &n))
        return SIZE_MAX;
    return n;
}

static size_t weights(const nn_conv_case *c)
{
    size_t n;

    return pjd_pack_size(c->out.c, c->in.c * c->r->kh * c->r->kw, &n) ? (n + c->out.c) * sizeof(float) : 0;
}

/* Cut the work so that each thread gets several pieces. Results do not depend on the cut. */
static void cut_work(direct_priv *d, const nn_conv_case *c)
{
    size_t mr = c->kernels->mr, tiles = (pjd_nn_positions(&c->out) + mr - 1) / mr, want = 4 * (size_t)c->opt.threads;

    d->panels = (c->out.c + c->kernels->nr - 1) / c->kernels->nr;
    d->tiles = TILES;
    while (d->tiles > 4 && c->batch * ((tiles + d->tiles - 1) / d->tiles) < want)
        d->tiles /= 2;
    d->blocks = (tiles + d->tiles - 1) / d->tiles;
    d->panels_per_task = d->panels;
    if (c->batch * d->blocks < want)
        d->panels_per_task = (d->panels * c->batch * d->blocks + want - 1) / want;
    d->panel_tasks = (d->panels + d->panels_per_task - 1) / d->panels_per_task;
}

typedef struct pack_job {
    const nn_conv_case *c;
    float *weight;
} pack_job;

static void pack_task(void *ctx, size_t panel, int thread)
{
    const pack_job *j = ctx;
    const nn_conv_case *c = j->c;
    size_t nr = c->kernels->nr, n0 = panel * nr, n = c->out.c - n0 < nr ? c->out.c - n0 : nr;
    size_t taps = c->r->kh * c->r->kw, row = c->in.c * taps;

    (void)thread;
    c->kernels->pack_weight(nr, n, c->in.c, taps, c->r->weight + n0 * row, j->weight + n0 * row);
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err)
{
    direct_priv *d = pjd_alloc_zero(1, sizeof *d);
    size_t taps = c->r->kh * c->r->kw, floats, most = 0;

    s->priv = d;
    if (!d)
        return pjd_error_nomem(err, "conv", sizeof *d);
    d->head.way = &pjd_nn_conv_direct;
    d->groups = taps * s->in[NN_X].segs;
    d->kc = pjd_alloc(d->groups, sizeof *d->kc);
    if (!pjd_pack_size(c->out.c, c->in.c * taps, &floats))
        return pjd_error_set(err, PJD_ERR_SHAPE, "conv: weights are too large");
    d->weight = pjd_nn_weights(p, floats);
    for (size_t i = 0; i < s->in[NN_X].segs; i++)
        most = s->in[NN_X].seg[i].c > most ? s->in[NN_X].seg[i].c : most;
    d->zeros = pjd_alloc_zero(most, sizeof *d->zeros);
    if (c->r->bias)
        d->bias = pjd_nn_weights(p, c->out.c);
    if (!d->kc || !d->weight || !d->zeros || (c->r->bias && !d->bias))
        return pjd_error_nomem(err, "conv", floats * sizeof(float));
    for (size_t g = 0; g < d->groups; g++)
        d->kc[g] = s->in[NN_X].seg[g % s->in[NN_X].segs].c;
    pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)floats), (c->out.c + p->kernels->nr - 1) / p->kernels->nr,
                    pack_task, &(pack_job){c, d->weight});
    if (c->r->bias)
        memcpy(d->bias, c->r->bias, c->out.c * sizeof *d->bias);
    d->taps_at_once = PANEL_BYTES / (pjd_panel_width(p->kernels->nr, c->out.c) * c->in.c * sizeof(float));
    d->taps_at_once = d->taps_at_once < 1 ? 1 : d->taps_at_once > taps ? taps : d->taps_at_once;
    cut_work(d, c);
    return PJD_OK;
}

static void clear(nn_step *s)
{
    direct_priv *d = s->priv;

    pjd_free(d->kc);
    pjd_free(d->weight);
    pjd_free(d->bias);
    pjd_free(d->zeros);
}

/* Input rows of all taps at output position oy, ox (of one item) into a[group * mr]. */
static void point(const nn_step *s, const direct_priv *d, size_t item, size_t oy, size_t ox, size_t mr, const float **a)
{
    const nn_rec *r = &s->rec;
    const nn_tensor *x = &s->in[NN_X];
    size_t h = x->s.h << r->up, w = x->s.w << r->up;
    size_t y0 = oy * r->stride_h - r->pad_top, x0 = ox * r->stride_w - r->pad_left; /* may wrap below 0 */

    if (!r->up && y0 < h && x0 < w && h - y0 >= r->kh && w - x0 >= r->kw) {
        for (size_t i = 0; i < x->segs; i++) {
            const float *row = x->seg[i].p + ((item * h + y0) * w + x0) * x->seg[i].ld, **o = a + i * mr;

            for (size_t ky = 0; ky < r->kh; ky++, row += w * x->seg[i].ld)
                for (size_t kx = 0; kx < r->kw; kx++, o += x->segs * mr)
                    *o = row + kx * x->seg[i].ld;
        }
        return;
    }
    for (size_t ky = 0; ky < r->kh; ky++)
        for (size_t kx = 0; kx < r->kw; kx++) {
            size_t y = y0 + ky, z = x0 + kx;
            bool inside = y < h && z < w;
            size_t row = inside ? (item * x->s.h + (y >> r->up)) * x->s.w + (z >> r->up) : 0;

            for (size_t i = 0; i < x->segs; i++, a += mr)
                *a = inside ? x->seg[i].p + row * x->seg[i].ld : d->zeros;
        }
}

typedef struct direct_job {
    pjd_nn_plan *p;
    nn_step *s;
    direct_priv *d;
    const float **table; /* [threads][TILES * groups * mr] */
} direct_job;

/*
 * A matrix product's rows come from memory once and are short, so that the processor does not see them coming: ask for those of
 * the tile `ahead` (counted over all items) while this one is computed.
 */
static void fetch_rows(const direct_job *j, size_t ahead, size_t rows)
{
    const nn_tensor *x = &j->s->in[NN_X];
    size_t all = j->p->batch * pjd_nn_positions(&x->s);

    if (ahead >= all)
        return;
    rows = all - ahead < rows ? all - ahead : rows;
    for (size_t i = 0; i < x->segs; i++)
        for (size_t r = ahead; r < ahead + rows; r++)
            for (size_t k = 0; k < x->seg[i].c; k += 16)
                __builtin_prefetch(x->seg[i].p + r * x->seg[i].ld + k, 0, 2);
}

/* Panel j over all tiles of a block; `ahead`: positions to those whose inputs are wanted next, or 0. */
static void one_panel(const direct_job *j, const float *const *table, size_t item, size_t q0, size_t q1, size_t panel,
                      size_t ahead)
{
    const direct_priv *d = j->d;
    const nn_step *s = j->s;
    const pjd_kernels *k = j->p->kernels;
    size_t oc = s->out.s.c, n0 = panel * k->nr, n = oc - n0 < k->nr ? oc - n0 : k->nr,
           width = pjd_panel_width(k->nr, n);
    size_t taps = s->rec.kh * s->rec.kw, segs = s->in[NN_X].segs, first = item * pjd_nn_positions(&s->out.s);
    const nn_tensor *res = &s->in[NN_RESIDUAL], *b2 = &s->in[NN_BIAS2];

    for (size_t t = 0; t < taps; t += d->taps_at_once) {
        size_t some = taps - t < d->taps_at_once ? taps - t : d->taps_at_once;
        const float *b = d->weight + n0 * taps * s->in[NN_X].s.c + t * s->in[NN_X].s.c * width;
        const float *const *a = table + t * segs * k->mr;

        for (size_t q = q0; q < q1; q += k->mr, a += d->groups * k->mr) {
            float *c = s->out.seg[0].p + (first + q) * oc + n0;
            pjd_epilogue e = {.act = PJD_KACT_NONE, .ld_add = oc};

            if (t == 0) {
                e.bias = d->bias ? d->bias + n0 : NULL;
                e.bias2 = b2->segs ? b2->seg[0].p + item * oc + n0 : NULL;
                e.add = res->segs ? res->seg[0].p + (first + q) * oc + n0 : NULL;
            } else {
                e.add = c;
            }
            if (t + some == taps)
                e.act = (pjd_kact)s->rec.act;
            if (ahead)
                fetch_rows(j, first + q + ahead, k->mr);
            k->gemm(q1 - q < k->mr ? q1 - q : k->mr, some * segs, d->kc, a, b, n, c, oc, &e);
        }
    }
}

static void task(void *ctx, size_t i, int thread)
{
    const direct_job *j = ctx;
    const direct_priv *d = j->d;
    size_t panel_task = i % d->panel_tasks, block = i / d->panel_tasks % d->blocks,
           item = i / d->panel_tasks / d->blocks;
    size_t mr = j->p->kernels->mr, q0 = block * d->tiles * mr, q1 = q0 + d->tiles * mr;
    size_t end = pjd_nn_positions(&j->s->out.s), p1 = (panel_task + 1) * d->panels_per_task;
    const float **table = j->table + (size_t)thread * TILES * d->groups * mr;
    bool rows = j->s->rec.kh * j->s->rec.kw == 1 && pjd_nn_positions(&j->s->in[NN_X].s) == end;
    size_t ahead = rows ? (size_t)j->p->threads * d->tiles * mr : 0;

    q1 = q1 < end ? q1 : end;
    p1 = p1 < d->panels ? p1 : d->panels;
    for (size_t q = q0, oy = q0 / j->s->out.s.w, ox = q0 % j->s->out.s.w; q < q1; q++) {
        const float **a = table + (q - q0) / mr * d->groups * mr + (q - q0) % mr;

        point(j->s, d, item, oy, ox, mr, a);
        if (++ox == j->s->out.s.w) {
            ox = 0;
            oy++;
        }
    }
    for (size_t panel = panel_task * d->panels_per_task; panel < p1; panel++)
        one_panel(j, table, item, q0, q1, panel, panel + 1 == p1 ? ahead : 0);
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    direct_priv *d = s->priv;
    direct_job j = {p, s, d, s->scratch};
    double work = (double)p->batch * (double)pjd_nn_positions(&s->out.s) * (double)s->out.s.c *
                  (double)s->in[NN_X].s.c * (double)(s->rec.kh * s->rec.kw);

    pjd_nn_parallel(p, pjd_nn_threads_for(p, work / 8), p->batch * d->blocks * d->panel_tasks, task, &j);
    return PJD_OK;
}

const nn_conv_way pjd_nn_conv_direct = {.name = "direct",
                                        .rate = NN_RATE_DIRECT,
                                        .can = can,
                                        .cost = cost,
                                        .scratch = scratch,
                                        .weights = weights,
                                        .prepare = prepare,
                                        .run = run,
                                        .clear = clear};
