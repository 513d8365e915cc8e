/* SPDX-License-Identifier: MIT */
/*
 * 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3) or F(2x2, 3x3): 4 or 2.25 times fewer products than the direct sum.
 *
 * Two schedules give the same bytes. "Fused": a task transforms a block of tiles, multiplies and transforms back while the
 * block is in its core's cache; the weights pass once a block. "Staged": for layers whose weights are too large for that,
 * all inputs of a round of tiles are transformed first, then each task takes a panel of outputs, so that the weights pass
 * once a round.
 */
#include <string.h>

#include "nn/conv.h"

#define CORE_BYTES (640 << 10)         /* of inputs and products a task keeps in its core's cache */
#define SHARED_WEIGHTS ((size_t)12 << 20) /* weights up to this stay in the shared cache between blocks */
#define ROUND_BYTES ((size_t)10 << 20) /* of transformed inputs of one staged round */
#define STAGED_TILES 60                /* tiles of products a staged task holds */

typedef struct wino_priv {
    nn_conv_head head;
    size_t m;      /* outputs a side of a tile */
    size_t points; /* (m + 2)^2 */
    float *weight, *bias, *zeros;
    size_t tiles_x, tiles; /* of an item */
    bool staged;
    size_t block;  /* tiles of a task's products */
    size_t round;  /* tiles of a staged round (of all items) */
    size_t panels;
    size_t v_stride, p_stride; /* floats from one point to the next */
    size_t v_room, p_room;     /* floats of a task's (staged: the round's) inputs, of a task's products */
} wino_priv;

static bool fits(const nn_conv_case *c)
{
    return c->r->kh == 3 && c->r->kw == 3 && c->r->stride_h == 1 && c->r->stride_w == 1 &&
           c->opt.precision != PJD_PRECISION_EXACT && c->opt.backend != PJD_BACKEND_C && c->out.h >= 2 && c->out.w >= 2;
}

static size_t tiles_of(const nn_conv_case *c, size_t m)
{
    return ((c->out.h + m - 1) / m) * ((c->out.w + m - 1) / m);
}

/*
 * In units of one multiply-add of the packed product. Transforms and the passage of weights from memory are measured
 * factors. The batch does not count: an item's bytes must not depend on its company. The last term also keeps small pictures, where weights dominate, from holding large transformed weights.
 */
static double wino_cost(const nn_conv_case *c, size_t m)
{
    double t = (double)tiles_of(c, m), points = (double)((m + 2) * (m + 2));
    double n = (double)((c->out.c + 15) / 16 * 16), k = (double)c->in.c;

    return t * points * (k * n + 8.0 * k + 7.0 * n) + 13.0 * points * k * n;
}

static double cost4(const nn_conv_case *c)
{
    return 1.2 * wino_cost(c, 4);
}

static double cost2(const nn_conv_case *c)
{
    return 1.1 * wino_cost(c, 2);
}

/* Everything but the weights. */
static bool layout(const nn_conv_case *c, size_t m, wino_priv *w)
{
    size_t mr = c->kernels->mr, nr = c->kernels->nr, width = c->out.c < nr ? pjd_panel_width(nr, c->out.c) : nr, per, all;

    w->m = m;
    w->points = (m + 2) * (m + 2);
    w->tiles_x = (c->out.w + m - 1) / m;
    w->tiles = tiles_of(c, m);
    w->panels = (c->out.c + nr - 1) / nr;
    if (!pjd_mul(w->points * (c->in.c + width), sizeof(float), &per) || !pjd_mul(c->batch, w->tiles, &all))
        return false;
    w->block = CORE_BYTES / per / mr * mr;
    w->block = w->block < 2 * mr ? 2 * mr : w->block > 16 * mr ? 16 * mr : w->block;
    w->staged = w->points * c->in.c * c->out.c * sizeof(float) > SHARED_WEIGHTS ||
                (all + w->block - 1) / w->block < 2 * (size_t)c->opt.threads;
    if (w->staged) {
        w->round = ROUND_BYTES / (w->points * c->in.c * sizeof(float));
        w->round = w->round < STAGED_TILES ? STAGED_TILES : w->round / STAGED_TILES * STAGED_TILES;
        w->round = w->round > all ? all : w->round;
        w->block = w->round < STAGED_TILES ? w->round : STAGED_TILES;
    }
    /* one line more, so that the points of a channel do not fall on one set of the cache */
    w->v_stride = (w->staged ? w->round : w->block) * c->in.c;
    w->v_stride = (w->v_stride + 15) / 16 * 16 + 16;
    w->p_stride = w->block * width + 16;
    w->p_room = w->points * w->p_stride;
    return pjd_mul(w->points, w->v_stride, &w->v_room);
}

static size_t scratch(const nn_conv_case *c, size_t m)
{
    wino_priv w = {0};
    size_t floats, threads = (size_t)c->opt.threads;

    if (!layout(c, m, &w) || !pjd_mul(threads, w.p_room, &floats) ||
        !pjd_add(floats, (w.staged ? 1 : threads) * w.v_room, &floats) || !pjd_mul(floats, sizeof(float), &floats))
        return SIZE_MAX;
    return floats;
}

static size_t scratch4(const nn_conv_case *c)
{
    return scratch(c, 4);
}

static size_t scratch2(const nn_conv_case *c)
{
    return scratch(c, 2);
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, const nn_conv_way *way, size_t m,
                          pjd_error *err)
{
    wino_priv *w = pjd_alloc_zero(1, sizeof *w);
    size_t floats, most = 0;

    s->priv = w;
    if (!w)
        return pjd_error_nomem(err, "conv", sizeof *w);
    w->head.way = way;
    if (!layout(c, m, w) || !pjd_pack_size(c->out.c, c->in.c * w->points, &floats))
        return pjd_error_set(err, PJD_ERR_SHAPE, "conv: weights are too large");
    for (size_t i = 0; i < s->in[NN_X].segs; i++)
        most = s->in[NN_X].seg[i].c > most ? s->in[NN_X].seg[i].c : most;
    w->zeros = pjd_alloc_zero(most, sizeof *w->zeros);
    w->weight = pjd_nn_weights(p, floats);
    if (c->r->bias)
        w->bias = pjd_nn_weights(p, c->out.c);
    if (!w->zeros || !w->weight || (c->r->bias && !w->bias))
        return pjd_error_nomem(err, "conv", floats * sizeof(float));
    pjd_wino_weight(m, p->kernels->nr, c->out.c, c->in.c, c->r->weight, w->weight);
    if (c->r->bias)
        memcpy(w->bias, c->r->bias, c->out.c * sizeof *w->bias);
    return PJD_OK;
}

static pjd_status prepare4(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err)
{
    return prepare(p, s, c, &pjd_nn_conv_wino4, 4, err);
}

static pjd_status prepare2(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err)
{
    return prepare(p, s, c, &pjd_nn_conv_wino2, 2, err);
}

static void clear(nn_step *s)
{
    wino_priv *w = s->priv;

    pjd_free(w->weight);
    pjd_free(w->bias);
    pjd_free(w->zeros);
}

typedef struct wino_job {
    pjd_nn_plan *p;
    nn_step *s;
    const wino_priv *w;
    float *v, *products; /* of thread 0; staged: v is everyone's */
    size_t first, count; /* tiles of the staged round */
    size_t blocks;       /* of the staged round */
} wino_job;

/* Input of tile `tile` (counted over all items) to v[point * v_stride + ...]. */
static void tile_in(const wino_job *j, size_t tile, float *v)
{
    const nn_tensor *x = &j->s->in[NN_X];
    const nn_rec *r = &j->s->rec;
    size_t m = j->w->m, side = m + 2, item = tile / j->w->tiles, q = tile % j->w->tiles;
    size_t y0 = q / j->w->tiles_x * m - r->pad_top, x0 = q % j->w->tiles_x * m - r->pad_left; /* may wrap below 0 */
    size_t h = x->s.h << r->up, w = x->s.w << r->up;
    const float *src[36];

    for (size_t i = 0; i < x->segs; i++) {
        const struct nn_seg *g = &x->seg[i];

        for (size_t a = 0; a < side; a++)
            for (size_t b = 0; b < side; b++) {
                size_t iy = y0 + a, ix = x0 + b;

                src[a * side + b] = iy < h && ix < w
                                        ? g->p + ((item * x->s.h + (iy >> r->up)) * x->s.w + (ix >> r->up)) * g->ld
                                        : j->w->zeros;
            }
        (m == 4 ? j->p->kernels->wino4_input : j->p->kernels->wino2_input)(g->c, src, v, j->w->v_stride);
        v += g->c;
    }
}

/* Products of n tiles of transformed inputs with one panel, and their way to the output. */
static void tiles_out(const wino_job *j, size_t tile, size_t n, const float *v, size_t panel, float *products)
{
    const pjd_kernels *k = j->p->kernels;
    const wino_priv *w = j->w;
    const nn_step *s = j->s;
    size_t c = s->in[NN_X].s.c, oc = s->out.s.c, n0 = panel * k->nr, cols = oc - n0 < k->nr ? oc - n0 : k->nr;
    size_t width = pjd_panel_width(k->nr, cols);
    const pjd_epilogue none = {0};
    const float *a[PJD_MR_MAX];

    for (size_t x = 0; x < w->points; x++) {
        const float *b = w->weight + (n0 * w->points + x * width) * c;

        for (size_t i = 0; i < n; i += k->mr) {
            size_t rows = n - i < k->mr ? n - i : k->mr;

            for (size_t r = 0; r < k->mr; r++)
                a[r] = v + x * w->v_stride + (i + (r < rows ? r : 0)) * c;
            k->gemm(rows, 1, &c, a, b, width, products + x * w->p_stride + i * width, width, &none);
        }
    }
    for (size_t i = 0; i < n; i++) {
        size_t item = (tile + i) / w->tiles, q = (tile + i) % w->tiles, y = q / w->tiles_x * w->m;
        size_t z = q % w->tiles_x * w->m, at = ((item * s->out.s.h + y) * s->out.s.w + z) * oc + n0;
        const nn_tensor *res = &s->in[NN_RESIDUAL], *b2 = &s->in[NN_BIAS2];
        pjd_wino_out o = {.y = s->out.seg[0].p + at, .ld_x = oc, .ld_y = s->out.s.w * oc, .h = s->out.s.h - y,
                          .w = s->out.s.w - z, .bias = w->bias ? w->bias + n0 : NULL,
                          .bias2 = b2->segs ? b2->seg[0].p + item * oc + n0 : NULL,
                          .add = res->segs ? res->seg[0].p + at : NULL, .act = (pjd_kact)s->rec.act};

        (w->m == 4 ? k->wino4_output : k->wino2_output)(cols, products + i * width, w->p_stride, &o);
    }
}

static void fused_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;
    const wino_priv *w = j->w;
    size_t first = task * w->block, all = j->p->batch * w->tiles, n = all - first < w->block ? all - first : w->block;
    float *v = j->v + (size_t)thread * w->v_room, *products = j->products + (size_t)thread * w->p_room;

    for (size_t i = 0; i < n; i++)
        tile_in(j, first + i, v + i * j->s->in[NN_X].s.c);
    for (size_t panel = 0; panel < w->panels; panel++)
        tiles_out(j, first, n, v, panel, products);
}

static void staged_in_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;

    (void)thread;
    tile_in(j, j->first + task, j->v + task * j->s->in[NN_X].s.c);
}

static void staged_out_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;
    size_t panel = task / j->blocks, at = task % j->blocks * j->w->block;

    tiles_out(j, j->first + at, j->count - at < j->w->block ? j->count - at : j->w->block,
              j->v + at * j->s->in[NN_X].s.c, panel, j->products + (size_t)thread * j->w->p_room);
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    const wino_priv *w = s->priv;
    size_t all = p->batch * w->tiles;
    wino_job j = {.p = p, .s = s, .w = w, .products = s->scratch};

    j.v = j.products + (size_t)p->threads * w->p_room;
    if (!w->staged) {
        pjd_nn_parallel(p->threads, (all + w->block - 1) / w->block, fused_task, &j);
        return PJD_OK;
    }
    for (j.first = 0; j.first < all; j.first += w->round) {
        j.count = all - j.first < w->round ? all - j.first : w->round;
        j.blocks = (j.count + w->block - 1) / w->block;
        pjd_nn_parallel(p->threads, j.count, staged_in_task, &j);
        pjd_nn_parallel(p->threads, j.blocks * w->panels, staged_out_task, &j);
    }
    return PJD_OK;
}

const nn_conv_way pjd_nn_conv_wino4 = {.name = "wino4", .can = fits, .cost = cost4, .scratch = scratch4,
                                       .prepare = prepare4, .run = run, .clear = clear};
const nn_conv_way pjd_nn_conv_wino2 = {.name = "wino2", .can = fits, .cost = cost2, .scratch = scratch2,
                                       .prepare = prepare2, .run = run, .clear = clear};
