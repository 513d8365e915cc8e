/* SPDX-License-Identifier: MIT */
/*
 * Group norm with modulation and activation: one pass for statistics, one that applies them. Statistics are sums of
 * x - shift and its square per channel (shift: the channel's first value of the item), in float32 over a few rows, in
 * float64 from there; so a mean far from zero does not drown the variance. Channels are combined to groups in float64.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

#define SUBROWS 64    /* rows summed in float32 */
#define CHUNKS_MAX 64 /* partial sums an item; depends on the shape only, so the bytes do not depend on threads */

typedef struct norm_priv {
    float *gamma, *beta; /* [c] each, one block */
    size_t chunk, chunks;
} norm_priv;

/* In the scratch: double partial sums [items][chunks][2][c], then float sums [threads][2][c], then float mean, scale,
   offset [items][3][c] (a record of NN_MOMENTS has these in its output). */
static size_t chunk_rows(const nn_shape *s)
{
    size_t n = pjd_nn_positions(s), rows = (n + CHUNKS_MAX - 1) / CHUNKS_MAX;

    rows = rows < 2 * SUBROWS ? 2 * SUBROWS : rows;
    return (rows + SUBROWS - 1) / SUBROWS * SUBROWS;
}

static size_t scratch(const nn_graph *g, const nn_rec *r)
{
    const nn_shape *s = &g->values[r->in[NN_X]];
    size_t chunks = (pjd_nn_positions(s) + chunk_rows(s) - 1) / chunk_rows(s), c = pjd_nn_padded(s->c), a, b, t;

    if (!pjd_mul(g->batch, 3 * c * sizeof(float), &a) || !pjd_mul(g->batch * chunks, 2 * c * sizeof(double), &b) ||
        !pjd_mul((size_t)g->opt.threads, 2 * c * sizeof(float), &t) || !pjd_add(a, b, &a) || !pjd_add(a, t, &a))
        return SIZE_MAX;
    return a;
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t c = s->in[NN_X].s.c;
    norm_priv *n = pjd_alloc_zero(1, sizeof *n);

    s->priv = n;
    if (!n)
        return pjd_error_nomem(err, "group norm", sizeof *n);
    n->gamma = pjd_nn_weights(p, 2 * c);
    if (!n->gamma)
        return pjd_error_nomem(err, "group norm", 2 * c * sizeof(float));
    n->beta = n->gamma + c;
    for (size_t k = 0; k < c; k++) {
        n->gamma[k] = s->rec.weight ? s->rec.weight[k] : 1.0f;
        n->beta[k] = s->rec.bias ? s->rec.bias[k] : 0.0f;
    }
    n->chunk = chunk_rows(&s->in[NN_X].s);
    n->chunks = (pjd_nn_positions(&s->in[NN_X].s) + n->chunk - 1) / n->chunk;
    return PJD_OK;
}

static void clear(nn_step *s)
{
    norm_priv *n = s->priv;

    if (n)
        pjd_free(n->gamma);
}

typedef struct norm_job {
    pjd_nn_plan *p;
    nn_step *s;
    norm_priv *n;
    size_t c, ldc, rows; /* rows an item */
    float *mean;         /* item's [3][ldc]: mean, scale, offset */
    double *partial;     /* [batch][chunks][2][ldc] */
    float *sums;         /* [threads][2][ldc] */
} norm_job;

/* From the end: what the layer before wrote last is still in the shared cache, and the next layer begins at the beginning. */
static void stats_task(void *ctx, size_t count, int thread)
{
    const norm_job *j = ctx;
    size_t task = j->p->batch * j->n->chunks - 1 - count;
    size_t item = task / j->n->chunks, from = task % j->n->chunks * j->n->chunk, to = from + j->n->chunk, at = 0;
    double *partial = j->partial + task * 2 * j->ldc;
    float *sum = j->sums + (size_t)thread * 2 * j->ldc, *squares = sum + j->ldc;

    to = to < j->rows ? to : j->rows;
    for (size_t i = 0; i < j->s->in[NN_X].segs; i++) {
        const struct nn_seg *g = &j->s->in[NN_X].seg[i];
        const float *x = g->p + item * j->rows * g->ld;

        memset(partial + at, 0, g->c * sizeof *partial);
        memset(partial + j->ldc + at, 0, g->c * sizeof *partial);
        for (size_t r = from; r < to; r += SUBROWS) {
            memset(sum, 0, g->c * sizeof *sum);
            memset(squares, 0, g->c * sizeof *squares);
            j->p->kernels->stats(to - r < SUBROWS ? to - r : SUBROWS, g->c, x + r * g->ld, g->ld, x, sum, squares);
            for (size_t k = 0; k < g->c; k++) {
                partial[at + k] += (double)sum[k];
                partial[j->ldc + at + k] += (double)squares[k];
            }
        }
        at += g->c;
    }
}

/* Chunks of one item, added in order into the first. */
static double *item_sums(const norm_job *j, size_t item)
{
    double *sums = j->partial + item * j->n->chunks * 2 * j->ldc;

    for (size_t i = 1; i < j->n->chunks; i++) {
        const double *more = sums + i * 2 * j->ldc;

        for (size_t k = 0; k < 2 * j->ldc; k++)
            sums[k] += more[k];
    }
    return sums;
}

/* Mean and sum of squared deviations of n values from their sums. */
static void channel_moments(double n, double sum, double squares, double shift, double *mean, double *m2)
{
    *mean = shift + sum / n;
    *m2 = squares - sum * sum / n;
    if (*m2 < 0) /* rounding; a NaN stays */
        *m2 = 0;
}

/* First value of channel k of an item. */
static double first_value(const norm_job *j, size_t item, size_t k)
{
    const struct nn_seg *g = j->s->in[NN_X].seg;

    while (k >= g->c)
        k -= g++->c;
    return (double)g->p[item * j->rows * g->ld + k];
}

static void finish_item(const norm_job *j, size_t item)
{
    const nn_tensor *m = &j->s->in[NN_MODULATION];
    const float *mod = m->segs ? m->seg[0].p + item * 2 * j->c : NULL;
    float *mean = j->mean + item * 3 * j->ldc, *scale = mean + j->ldc, *offset = scale + j->ldc;
    size_t per = j->c / j->s->rec.groups;
    double n = (double)j->rows, cm[2], *sums = item_sums(j, item);

    for (size_t g = 0; g < j->s->rec.groups; g++) {
        double gm = 0, m2 = 0, between = 0, rstd;

        for (size_t k = g * per; k < (g + 1) * per; k++) {
            channel_moments(n, sums[k], sums[j->ldc + k], first_value(j, item, k), &cm[0], &cm[1]);
            /* running mean and squared deviation over channels (Chan et al. 1983, equal weights) */
            double seen = (double)(k - g * per), d = cm[0] - gm;

            gm += d / (seen + 1.0);
            between += d * d * seen / (seen + 1.0);
            m2 += cm[1];
        }
        rstd = 1.0 / sqrt((m2 + n * between) / (n * (double)per) + j->s->rec.real);
        for (size_t k = g * per; k < (g + 1) * per; k++) {
            double a = rstd * (double)j->n->gamma[k], b = (double)j->n->beta[k];

            if (mod) {
                a *= 1.0 + (double)mod[k];
                b = b * (1.0 + (double)mod[k]) + (double)mod[j->c + k];
            }
            mean[k] = (float)gm;
            scale[k] = (float)a;
            offset[k] = (float)(b - (gm - (double)mean[k]) * a); /* what rounding the mean lost */
        }
    }
}

static void apply_task(void *ctx, size_t task, int thread)
{
    const norm_job *j = ctx;
    size_t item = task / j->n->chunks, from = task % j->n->chunks * j->n->chunk, to = from + j->n->chunk, at = 0;
    const float *mean = j->mean + item * 3 * j->ldc, *scale = mean + j->ldc, *offset = scale + j->ldc;
    const struct nn_seg *o = &j->s->out.seg[0];

    (void)thread;
    to = to < j->rows ? to : j->rows;
    from += item * j->rows;
    to += item * j->rows;
    for (size_t i = 0; i < j->s->in[NN_X].segs; i++) {
        const struct nn_seg *g = &j->s->in[NN_X].seg[i];

        j->p->kernels->norm(to - from, g->c, g->p + from * g->ld, g->ld, mean + at, scale + at, offset + at,
                            (pjd_kact)j->s->rec.act, o->p + from * o->ld + at, o->ld);
        at += g->c;
    }
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    norm_priv *n = s->priv;
    size_t c = s->in[NN_X].s.c, ldc = pjd_nn_padded(c), tasks = p->batch * n->chunks;
    norm_job j = {.p = p, .s = s, .n = n, .c = c, .ldc = ldc, .rows = pjd_nn_positions(&s->in[NN_X].s)};
    int threads = pjd_nn_threads_for(p, (double)j.rows * (double)c);

    j.partial = s->scratch;
    j.sums = (float *)(j.partial + tasks * 2 * ldc);
    j.mean = s->rec.op == NN_MOMENTS ? s->out.seg[0].p : j.sums + (size_t)p->threads * 2 * ldc;
    pjd_nn_parallel(p, threads, tasks, stats_task, &j);
    for (size_t i = 0; i < p->batch; i++)
        finish_item(&j, i);
    if (s->rec.op == NN_NORM)
        pjd_nn_parallel(p, threads, tasks, apply_task, &j);
    return PJD_OK;
}

const nn_class pjd_nn_class_norm = {
    .name = "group norm", .pieces = true, .scratch = scratch, .prepare = prepare, .run = run, .clear = clear};

const nn_class pjd_nn_class_moments = {
    .name = "moments", .pieces = true, .scratch = scratch, .prepare = prepare, .run = run, .clear = clear};
