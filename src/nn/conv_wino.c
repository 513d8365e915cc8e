/* SPDX-License-Identifier: MIT */
/*
 * 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3) or F(2x2, 3x3): 4 or 2.25 times fewer products than the direct sum.
 * 1x3, of one-dimensional networks, by F(4, 3): 2 times fewer; its tiles are one row high. 3x3 over a picture doubled by
 * repetition by four convolutions of 2x2 taps over the picture itself, one for each phase of the output (row and column even
 * or odd), by F(5x5, 2x2): 6.25 times fewer.
 *
 * Two schedules give the same bytes. "Fused": a task transforms a block of tiles, multiplies and transforms back while the
 * block is in its core's cache; the weights pass once a block. "Staged": for layers whose weights are too large for that,
 * all inputs of a round of tiles are transformed first, then each task takes a panel of outputs, so that the weights pass
 * once a round.
 */
#include <string.h>

#include "nn/conv.h"

#define CORE_BYTES (320 << 10)            /* of inputs and products a task keeps in its core's cache */
#define SHARED_WEIGHTS ((size_t)12 << 20) /* weights up to this stay in the shared cache between blocks */
#define ROUND_BYTES ((size_t)10 << 20)    /* of transformed inputs of one staged round */
#define STAGED_RUN 4                      /* tiles of a staged task's inputs */
#define STAGED_TILES 72                   /* tiles of products a staged task holds */

/* What sets the four ways apart. */
typedef struct wino_form {
    size_t m, rows;    /* outputs of a tile: a side, its height */
    size_t side, high; /* inputs of a tile: a side, its height */
    size_t kw, kh;     /* taps of a phase */
    size_t phases;
    double slower;       /* measured: its unit of cost in multiply-adds of the packed product */
    double passage;      /* of a weight from memory, where memory counts too; see cost() */
    double passage_fast; /* where only time does */
} wino_form;

static const wino_form form4 = {4, 4, 6, 6, 3, 3, 1, 1.2, 30, 4}, form2 = {2, 2, 4, 4, 3, 3, 1, 1.1, 30, 4},
                       form5 = {5, 5, 6, 6, 2, 2, 4, 1.2, 30, 4}, form_line = {4, 1, 6, 1, 3, 1, 1, 1.2, 10, 10};

typedef struct wino_priv {
    nn_conv_head head;
    const wino_form *f;
    size_t points;    /* inputs of a tile */
    unsigned up;      /* its reading halves positions */
    size_t per_phase; /* floats of a phase's weights */
    float *weight, *bias, *zeros;
    size_t tiles_x, tiles; /* of an item and phase */
    size_t all;            /* of a phase */
    bool staged;
    size_t block; /* tiles of a task's products */
    size_t round; /* tiles of a staged round (of all items) */
    size_t panels;
    size_t v_stride, p_stride; /* floats from one point to the next */
    size_t v_room, p_room;     /* floats of a task's (staged: the round's) inputs, of a task's products */
    size_t run;                /* tiles in a row whose inputs are normalised together */
    size_t n_room;             /* floats of their normalised inputs; 0 without NN_AFFINE */
} wino_priv;

static const wino_form *form_of(const nn_conv_case *c)
{
    return c->way->form;
}

static bool fits_any(const nn_conv_case *c)
{
    return c->r->kw == 3 && c->r->stride_h == 1 && c->r->stride_w == 1 && c->opt.precision != PJD_PRECISION_EXACT &&
           c->opt.backend != PJD_BACKEND_C && c->out.w >= 2;
}

static bool fits(const nn_conv_case *c)
{
    return c->r->kh == 3 && c->out.h >= 2 && fits_any(c);
}

static bool fits_line(const nn_conv_case *c)
{
    return c->r->kh == 1 && c->r->pad_top == 0 && c->out.h == c->in.h && !c->r->up && fits_any(c);
}

/* Outputs of one phase. */
static const nn_shape *phase_of(const nn_conv_case *c)
{
    return form_of(c)->phases > 1 ? &c->in : &c->out;
}

static size_t tiles_of(const nn_conv_case *c)
{
    const wino_form *f = form_of(c);
    const nn_shape *s = phase_of(c);

    return ((s->h + f->rows - 1) / f->rows) * ((s->w + f->m - 1) / f->m);
}

static bool fits_up(const nn_conv_case *c)
{
    return c->r->up && c->r->pad_top == 1 && c->r->pad_left == 1 && c->out.h == 2 * c->in.h &&
           c->out.w == 2 * c->in.w && fits(c) && 36 * c->in.c * c->out.c * sizeof(float) <= SHARED_WEIGHTS;
}

/*
 * In units of one multiply-add of the packed product. Transforms and the passage of weights from memory are measured
 * factors. The batch does not count: an item's bytes must not depend on its company. The last term is several times what
 * the passage takes, which keeps small pictures, where weights dominate, from holding large transformed weights; those of
 * a line are only twice the plain ones, and who asks for speed alone gets the factor that suits time.
 */
static double cost(const nn_conv_case *c)
{
    const wino_form *f = form_of(c);
    double t = (double)tiles_of(c), points = (double)(f->high * f->side * f->phases);
    double n = (double)((c->out.c + 15) / 16 * 16), k = (double)c->in.c;
    double passage = c->opt.precision == PJD_PRECISION_FAST ? f->passage_fast : f->passage;

    return f->slower * (t * points * (k * n + 8.0 * k + 7.0 * n) + passage * points * k * n);
}

/* n in the fewest equal parts of at most `most`, whole rows of mr tiles: a short one would want all weights for little. */
static size_t part(size_t n, size_t most, size_t mr)
{
    size_t parts = (n + most - 1) / most, each = ((n + parts - 1) / parts + mr - 1) / mr * mr;

    return each < n ? each : n;
}

/* Everything but the weights. */
static bool layout(const nn_conv_case *c, wino_priv *w)
{
    const wino_form *f = form_of(c);
    size_t mr = c->kernels->mr, nr = c->kernels->nr, width = c->out.c < nr ? pjd_panel_width(nr, c->out.c) : nr, per,
           all;

    w->f = f;
    w->points = f->high * f->side;
    w->up = f->phases > 1 ? 0 : (unsigned)c->r->up;
    w->tiles_x = (phase_of(c)->w + f->m - 1) / f->m;
    w->tiles = tiles_of(c);
    w->panels = (c->out.c + nr - 1) / nr;
    if (!pjd_mul(w->points * (c->in.c + width), sizeof(float), &per) || !pjd_mul(c->batch, w->tiles, &all) ||
        !pjd_pack_size(c->out.c, c->in.c * w->points, &w->per_phase))
        return false;
    w->all = all;
    w->block = CORE_BYTES / per / mr * mr;
    w->block = w->block < 2 * mr ? 2 * mr : w->block > 16 * mr ? 16 * mr : w->block;
    w->staged = f->phases == 1 && (w->points * c->in.c * c->out.c * sizeof(float) > SHARED_WEIGHTS ||
                                   (all + w->block - 1) / w->block < 2 * (size_t)c->opt.threads);
    if (w->staged) {
        size_t most = ROUND_BYTES / (w->points * c->in.c * sizeof(float));

        w->round = part(all, most < STAGED_TILES ? STAGED_TILES : most, mr);
        w->block = part(w->round, STAGED_TILES, mr);
    }
    /* one line more, so that the points of a channel do not fall on one set of the cache */
    w->v_stride = (w->staged ? w->round : w->block) * c->in.c;
    w->v_stride = (w->v_stride + 15) / 16 * 16 + 16;
    w->p_stride = w->block * width + 16;
    w->p_room = w->points * w->p_stride;
    w->run = w->staged ? STAGED_RUN : w->block;
    w->n_room = c->r->in[NN_AFFINE] == PJD_NN_NONE ? 0 : f->high * (f->m * w->run + 2) * c->in.c / 16 * 16 + 16;
    return pjd_mul(w->points, w->v_stride, &w->v_room);
}

static size_t scratch(const nn_conv_case *c)
{
    wino_priv w = {0};
    size_t floats, threads = (size_t)c->opt.threads;

    if (!layout(c, &w) || !pjd_mul(threads, w.p_room + w.n_room, &floats) ||
        !pjd_add(floats, (w.staged ? 1 : threads) * w.v_room, &floats) || !pjd_mul(floats, sizeof(float), &floats))
        return SIZE_MAX;
    return floats;
}

static size_t weights(const nn_conv_case *c)
{
    const wino_form *f = form_of(c);
    size_t n;

    return pjd_pack_size(c->out.c, c->in.c * f->high * f->side * f->phases, &n) ? (n + c->out.c) * sizeof(float) : 0;
}

typedef struct pack_job {
    const nn_conv_case *c;
    const wino_priv *w;
} pack_job;

/* Task: one panel of one phase. */
static void pack_task(void *ctx, size_t task, int thread)
{
    const pack_job *j = ctx;
    size_t nr = j->c->kernels->nr, n0 = task % j->w->panels * nr, phase = task / j->w->panels, ic = j->c->in.c;
    size_t n = j->c->out.c - n0 < nr ? j->c->out.c - n0 : nr;
    const float *from = j->c->r->weight + n0 * ic * (j->w->f == &form_line ? 3 : 9);
    float *to = j->w->weight + phase * j->w->per_phase + n0 * ic * j->w->points;

    (void)thread;
    if (j->w->f == &form_line)
        j->c->kernels->line_weight(nr, n, ic, from, to);
    else if (j->w->f == &form5)
        pjd_wino_up_weight((unsigned)phase, nr, n, ic, from, to);
    else
        j->c->kernels->wino_weight(j->w->f->m, nr, n, ic, from, to);
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err)
{
    wino_priv *w = pjd_alloc_zero(1, sizeof *w);
    size_t floats;

    s->priv = w;
    if (!w)
        return pjd_error_nomem(err, "conv", sizeof *w);
    w->head.way = c->way;
    if (!layout(c, w) || !pjd_mul(w->per_phase, w->f->phases, &floats))
        return pjd_error_set(err, PJD_ERR_SHAPE, "conv: weights are too large");
    w->zeros = pjd_alloc_zero(c->in.c, sizeof *w->zeros);
    w->weight = pjd_nn_weights(p, floats);
    if (c->r->bias)
        w->bias = pjd_nn_weights(p, c->out.c);
    if (!w->zeros || !w->weight || (c->r->bias && !w->bias))
        return pjd_error_nomem(err, "conv", floats * sizeof(float));
    pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)floats), w->panels * w->f->phases, pack_task, &(pack_job){c, w});
    if (c->r->bias)
        memcpy(w->bias, c->r->bias, c->out.c * sizeof *w->bias);
    return PJD_OK;
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
    float *normal;       /* of thread 0 */
    size_t first, count; /* tiles of the staged round */
    size_t blocks;       /* of the staged round */
} wino_job;

/* Position of a tile (counted over all phases and items) among the outputs of its phase. */
typedef struct tile_at {
    size_t phase, item, y, x;
} tile_at;

static tile_at place(const wino_priv *w, size_t tile)
{
    size_t phase = tile / w->all, item, row, q;

    tile -= phase * w->all;
    item = tile / w->tiles;
    q = tile - item * w->tiles;
    row = q / w->tiles_x;
    return (tile_at){phase, item, row * w->f->rows, (q - row * w->tiles_x) * w->f->m};
}

/* How far before an output's own position its first tap is. */
static size_t before_y(const wino_job *j, const tile_at *t)
{
    return j->w->f->phases > 1 ? 1 - t->phase / 2 : j->s->rec.pad_top;
}

static size_t before_x(const wino_job *j, const tile_at *t)
{
    return j->w->f->phases > 1 ? 1 - t->phase % 2 : j->s->rec.pad_left;
}

/* Of an output of a phase in all of them, in positions. */
static size_t output_at(const wino_job *j, const tile_at *t, size_t y, size_t x)
{
    const nn_shape *s = &j->s->out.s;

    if (j->w->f->phases > 1) {
        y = 2 * y + t->phase / 2;
        x = 2 * x + t->phase % 2;
    }
    return (t->item * s->h + y) * s->w + x;
}

static void next_tile(const wino_priv *w, tile_at *t)
{
    t->x += w->f->m;
    if (t->x < w->tiles_x * w->f->m)
        return;
    t->x = 0;
    t->y += w->f->rows;
    if (t->y < w->tiles / w->tiles_x * w->f->rows)
        return;
    t->y = 0;
    t->item++;
}

/* Part of the input in memory: rows from y, columns from x on, distances in floats; channels of one piece. */
typedef struct window {
    const float *p;
    size_t y, x, ld_x, ld_y, c;
} window;

/* Where the inputs of tile t lie in a window; outside of the picture: zeros. */
static void point(const wino_job *j, const tile_at *t, const window *g, const float **src)
{
    const nn_tensor *x = &j->s->in[NN_X];
    unsigned up = j->w->up;
    size_t side = j->w->f->side, high = j->w->f->high, y0 = t->y - before_y(j, t),
           x0 = t->x - before_x(j, t); /* may wrap below 0 */
    size_t h = x->s.h << up, w = x->s.w << up, column[6];

    if (!up && y0 < h && x0 < w && h - y0 >= high && w - x0 >= side) {
        const float *row = g->p + (y0 - g->y) * g->ld_y + (x0 - g->x) * g->ld_x;

        for (size_t a = 0; a < high; a++, row += g->ld_y)
            for (size_t b = 0; b < side; b++)
                *src++ = row + b * g->ld_x;
        return;
    }
    for (size_t b = 0; b < side; b++)
        column[b] = x0 + b < w ? (((x0 + b) >> up) - g->x) * g->ld_x : SIZE_MAX;
    for (size_t a = 0; a < high; a++) {
        bool inside = y0 + a < h;
        const float *row = g->p + (inside ? (((y0 + a) >> up) - g->y) * g->ld_y : 0);

        for (size_t b = 0; b < side; b++)
            *src++ = inside && column[b] != SIZE_MAX ? row + column[b] : j->w->zeros;
    }
}

/* First and one past the last source position of n outputs of `taps` from `at` on, along an axis of `size`. */
static void reach(size_t at, size_t n, size_t taps, size_t pad, size_t up, size_t size, size_t *from, size_t *to)
{
    size_t last = at + n + taps - 2;

    *from = at < pad ? 0 : (at - pad) >> up;
    *to = last < pad ? 0 : ((last - pad) >> up) + 1;
    *to = *to < size ? *to : size;
    *from = *from < *to ? *from : *to;
}

/* The inputs of n tiles from t on, in one row of tiles, normalised into `normal` (all channels of a position together). */
static window normalise(const wino_job *j, const tile_at *t, size_t n, float *normal)
{
    const nn_tensor *x = &j->s->in[NN_X];
    const nn_rec *r = &j->s->rec;
    size_t c = x->s.c, ldc = pjd_nn_padded(c), y0, y1, x0, x1, at = 0;
    const float *mean = j->s->in[NN_AFFINE].seg[0].p + t->item * 3 * ldc;

    reach(t->y, j->w->f->rows, j->w->f->kh, before_y(j, t), j->w->up, x->s.h, &y0, &y1);
    reach(t->x, n * j->w->f->m, j->w->f->kw, before_x(j, t), j->w->up, x->s.w, &x0, &x1);
    for (size_t i = 0; i < x->segs; i++) {
        const struct nn_seg *g = &x->seg[i];

        for (size_t y = y0; y < y1; y++)
            j->p->kernels->norm(x1 - x0, g->c, g->p + ((t->item * x->s.h + y) * x->s.w + x0) * g->ld, g->ld, mean + at,
                                mean + ldc + at, mean + 2 * ldc + at, (pjd_kact)r->pre,
                                normal + (y - y0) * (x1 - x0) * c + at, c);
        at += g->c;
    }
    return (window){normal, y0, x0, c, (x1 - x0) * c, c};
}

static void transform(const wino_job *j, tile_at t, size_t n, const window *g, float *v)
{
    const pjd_kernels *k = j->p->kernels;
    const wino_form *f = j->w->f;
    void (*input)(size_t, const float *const *, float *, size_t) = f == &form_line ? k->line4_input
                                                                   : f == &form2   ? k->wino2_input
                                                                                   : k->wino4_input;
    const float *src[36];

    for (size_t i = 0; i < n; i++, t.x += j->w->f->m) {
        point(j, &t, g, src);
        input(g->c, src, v + i * j->s->in[NN_X].s.c, j->w->v_stride);
    }
}

/* Transformed inputs of n tiles from t on to v[point * v_stride + ...]; leaves t behind them. */
static void tiles_in(const wino_job *j, tile_at *t, size_t n, float *v, int thread)
{
    const nn_tensor *x = &j->s->in[NN_X];

    for (size_t some; n > 0; n -= some) {
        size_t left = j->w->tiles_x - t->x / j->w->f->m, at = 0;
        window g;

        some = left < n ? left : n;
        if (j->w->n_room) {
            some = some < j->w->run ? some : j->w->run;
            g = normalise(j, t, some, j->normal + (size_t)thread * j->w->n_room);
            transform(j, *t, some, &g, v);
        }
        for (size_t i = 0; i < x->segs && !j->w->n_room; at += x->seg[i++].c) {
            const struct nn_seg *q = &x->seg[i];

            g = (window){q->p + t->item * x->s.h * x->s.w * q->ld, 0, 0, q->ld, x->s.w * q->ld, q->c};
            transform(j, *t, some, &g, v + at);
        }
        v += some * x->s.c;
        t->x += (some - 1) * j->w->f->m;
        next_tile(j->w, t);
    }
}

static void tile_out(const wino_job *j, const tile_at *t, size_t n0, size_t cols, const float *products)
{
    const pjd_kernels *k = j->p->kernels;
    const wino_form *f = j->w->f;
    const nn_step *s = j->s;
    const nn_tensor *res = &s->in[NN_RESIDUAL], *b2 = &s->in[NN_BIAS2];
    size_t oc = s->out.s.c, at = output_at(j, t, t->y, t->x) * oc + n0, step = j->w->f->phases > 1 ? 2 : 1;
    pjd_wino_out o = {.y = s->out.seg[0].p + at,
                      .ld_x = step * oc,
                      .ld_y = step * s->out.s.w * oc,
                      .h = s->out.s.h / step - t->y,
                      .w = s->out.s.w / step - t->x,
                      .bias = j->w->bias ? j->w->bias + n0 : NULL,
                      .bias2 = b2->segs ? b2->seg[0].p + t->item * oc + n0 : NULL,
                      .add = res->segs ? res->seg[0].p + at : NULL,
                      .act = (pjd_kact)s->rec.act};

    (f == &form_line ? k->line4_output
     : f == &form5   ? k->wino5_output
     : f == &form4   ? k->wino4_output
                     : k->wino2_output)(cols, products, j->w->p_stride, &o);
}

/* Ask for the lines of n floats at p. */
static inline void fetch(const float *p, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        __builtin_prefetch(p + i, 0, 2);
}

/*
 * While the products of one block run in the core's cache, memory is idle: ask for what comes next, a tile at a time.
 * `ahead`: the tile whose inputs will be wanted, if there is one. Columns that the tile before it has are left out.
 */
static void fetch_inputs(const wino_job *j, size_t ahead)
{
    const nn_tensor *x = &j->s->in[NN_X];
    size_t m = j->w->f->m, had = j->w->f->kw - 1, y0, y1, x0, x1;
    tile_at t;

    if (ahead >= j->w->all * j->w->f->phases)
        return;
    t = place(j->w, ahead);
    reach(t.y, j->w->f->rows, j->w->f->kh, before_y(j, &t), j->w->up, x->s.h, &y0, &y1);
    reach(t.x + had, m - had, j->w->f->kw, before_x(j, &t), j->w->up, x->s.w, &x0, &x1);
    for (size_t i = 0; i < x->segs; i++)
        for (size_t a = y0; a < y1 && x0 < x1; a++)
            fetch(x->seg[i].p + ((t.item * x->s.h + a) * x->s.w + x0) * x->seg[i].ld, (x1 - x0) * x->seg[i].ld);
}

static void fetch_outputs(const wino_job *j, size_t tile, size_t n0, size_t cols)
{
    const nn_step *s = j->s;
    const struct nn_seg *g = s->in[NN_RESIDUAL].segs ? &s->in[NN_RESIDUAL].seg[0] : &s->out.seg[0];
    size_t step = j->w->f->phases > 1 ? 2 : 1;
    tile_at t = place(j->w, tile);

    for (size_t a = t.y; a < t.y + j->w->f->rows && a < s->out.s.h / step; a++)
        for (size_t b = t.x; b < t.x + j->w->f->m && b < s->out.s.w / step; b++)
            fetch(g->p + output_at(j, &t, a, b) * g->ld + n0, cols);
}

/* Products of n tiles of transformed inputs with one panel, and their way to the output. */
static void tiles_out(const wino_job *j, size_t tile, size_t n, const float *v, size_t panel, float *products,
                      size_t ahead)
{
    const pjd_kernels *k = j->p->kernels;
    const wino_priv *w = j->w;
    size_t c = j->s->in[NN_X].s.c, oc = j->s->out.s.c, n0 = panel * k->nr, cols = oc - n0 < k->nr ? oc - n0 : k->nr;
    size_t width = pjd_panel_width(k->nr, cols), asked = 0, half = w->points / 2;
    const pjd_epilogue none = {0};
    const float *a[PJD_MR_MAX];
    tile_at t = place(w, tile);

    for (size_t x = 0; x < w->points; x++) {
        const float *b = w->weight + t.phase * w->per_phase + (n0 * w->points + x * width) * c;

        /* in the second half: weights passing through the cache would throw out what came earlier */
        for (; x >= half && asked * (w->points - half) < (x + 1 - half) * n && asked < n; asked++) {
            fetch_outputs(j, tile + asked, n0, cols);
            if (ahead != SIZE_MAX)
                fetch_inputs(j, ahead + asked);
        }
        for (size_t i = 0; i < n; i += k->mr) {
            size_t rows = n - i < k->mr ? n - i : k->mr;

            for (size_t r = 0; r < k->mr; r++)
                a[r] = v + x * w->v_stride + (i + (r < rows ? r : 0)) * c;
            k->gemm(rows, 1, &c, a, b, width, products + x * w->p_stride + i * width, width, &none);
        }
    }
    for (size_t i = 0; i < n; i++, next_tile(w, &t))
        tile_out(j, &t, n0, cols, products + i * width);
}

static void fused_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;
    const wino_priv *w = j->w;
    size_t blocks = (w->all + w->block - 1) / w->block, at = task % blocks * w->block,
           first = task / blocks * w->all + at;
    size_t n = w->all - at < w->block ? w->all - at : w->block;
    float *v = j->v + (size_t)thread * w->v_room, *products = j->products + (size_t)thread * w->p_room;

    tile_at t = place(w, first);

    tiles_in(j, &t, n, v, thread);
    for (size_t panel = 0; panel < w->panels; panel++)
        tiles_out(j, first, n, v, panel, products,
                  panel + 1 == w->panels ? first + (size_t)j->p->threads * w->block : SIZE_MAX);
}

static void staged_in_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;
    size_t at = task * STAGED_RUN;
    tile_at t = place(j->w, j->first + at);

    tiles_in(j, &t, j->count - at < STAGED_RUN ? j->count - at : STAGED_RUN, j->v + at * j->s->in[NN_X].s.c, thread);
}

static void staged_out_task(void *ctx, size_t task, int thread)
{
    const wino_job *j = ctx;
    size_t panel = task / j->blocks, at = task % j->blocks * j->w->block;

    tiles_out(j, j->first + at, j->count - at < j->w->block ? j->count - at : j->w->block,
              j->v + at * j->s->in[NN_X].s.c, panel, j->products + (size_t)thread * j->w->p_room, SIZE_MAX);
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    const wino_priv *w = s->priv;
    wino_job j = {.p = p, .s = s, .w = w, .products = s->scratch};

    j.normal = j.products + (size_t)p->threads * w->p_room;
    j.v = j.normal + (size_t)p->threads * w->n_room;
    if (!w->staged) {
        pjd_nn_parallel(p, p->threads, w->f->phases * ((w->all + w->block - 1) / w->block), fused_task, &j);
        return PJD_OK;
    }
    for (j.first = 0; j.first < w->all; j.first += w->round) {
        j.count = w->all - j.first < w->round ? w->all - j.first : w->round;
        j.blocks = (j.count + w->block - 1) / w->block;
        pjd_nn_parallel(p, p->threads, (j.count + STAGED_RUN - 1) / STAGED_RUN, staged_in_task, &j);
        pjd_nn_parallel(p, p->threads, j.blocks * w->panels, staged_out_task, &j);
    }
    return PJD_OK;
}

#define WAY(title, its_form, takes_affine, fits_it)                                                                    \
    {                                                                                                                  \
        .name = (title), .form = &(its_form), .affine = (takes_affine), .rate = NN_RATE_WINO, .can = (fits_it),        \
        .cost = cost, .scratch = scratch, .weights = weights, .prepare = prepare, .run = run, .clear = clear           \
    }

const nn_conv_way pjd_nn_conv_wino4 = WAY("wino4", form4, true, fits);
const nn_conv_way pjd_nn_conv_wino2 = WAY("wino2", form2, false, fits);
const nn_conv_way pjd_nn_conv_wino5 = WAY("wino5", form5, true, fits_up);
const nn_conv_way pjd_nn_conv_line4 = WAY("line4", form_line, true, fits_line);
