/* SPDX-License-Identifier: MIT */
/*
 * Linear attention, and the learned keys and values that come before those of the picture. The sums over positions are
 * taken in float32 over a few positions and in float64 from there.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

/* ---- learned positions ---- */

static pjd_status prepare_memory(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t n = s->rec.groups, dim = s->rec.dim, c = s->out.s.c, heads = c / 2 / dim;
    float *m = pjd_nn_weights(p, n * c);

    s->priv = m;
    if (!m)
        return pjd_error_nomem(err, "memory", n * c * sizeof *m);
    for (size_t part = 0; part < 2; part++) /* to rows of k | v */
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < n; i++)
                for (size_t d = 0; d < dim; d++) {
                    const float *from = s->rec.weight + (part * heads + h) * n * dim;

                    m[i * c + (part * heads + h) * dim + d] = s->rec.flip ? from[d * n + i] : from[i * dim + d];
                }
    return PJD_OK;
}

static pjd_status run_memory(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t n = s->rec.groups, c = s->out.s.c, positions = pjd_nn_positions(&s->in[NN_X].s), ld = s->in[NN_X].seg[0].ld;

    for (size_t b = 0; b < p->batch; b++) {
        const float *in = s->in[NN_X].seg[0].p + b * positions * ld + c / 2;
        float *out = s->out.seg[0].p + b * (n + positions) * c;

        memcpy(out, s->priv, n * c * sizeof *out);
        for (size_t i = 0; i < positions; i++)
            memcpy(out + (n + i) * c, in + i * ld, c * sizeof *out);
    }
    return PJD_OK;
}

const nn_class pjd_nn_class_memory = {.name = "memory", .prepare = prepare_memory, .run = run_memory};

/* ---- linear attention ---- */

#define SUBROWS 64 /* positions summed in float32 */
#define ROWS 64    /* a task's positions of the output */

/*
 * In the scratch: for each item and head doubles total [dim], context [dim, dim]; for each of them floats max [dim],
 * context of a few positions [dim, dim], their exponentials [dim]; then the result [dim, dim] in float, scaled.
 */
static size_t floats_of_head(size_t dim)
{
    return 2 * dim * dim + 2 * dim;
}

static size_t doubles_of_head(size_t dim)
{
    return dim * dim + dim;
}

static size_t scratch(const nn_graph *g, const nn_rec *r)
{
    size_t square, bytes;

    if (!pjd_mul(r->dim, r->dim, &square) || square > SIZE_MAX / 64)
        return SIZE_MAX;
    bytes = doubles_of_head(r->dim) * sizeof(double) + floats_of_head(r->dim) * sizeof(float);
    if (!pjd_mul(bytes, g->batch, &bytes) || !pjd_mul(bytes, r->groups, &bytes))
        return SIZE_MAX;
    return bytes;
}

typedef struct lin_job {
    pjd_nn_plan *p;
    nn_step *s;
    size_t dim, heads, queries, keys;
    double *doubles;
    float *floats;
} lin_job;

static const float *operand(const nn_step *s, size_t role, size_t item, size_t head, size_t *ld)
{
    const struct nn_seg *g = &s->in[role].seg[0];

    *ld = g->ld;
    return g->p + item * pjd_nn_positions(&s->in[role].s) * g->ld + s->rec.offset[role] + head * s->rec.dim;
}

static void some_positions(size_t n, size_t dim, const float *k, size_t ldk, const float *v, size_t ldv,
                           const float *max, float *e, float *part, double *total, double *context)
{
    memset(part, 0, dim * dim * sizeof *part);
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++) {
            e[d] = expf(k[i * ldk + d] - max[d]);
            total[d] += (double)e[d];
            for (size_t c = 0; c < dim; c++)
                part[d * dim + c] += e[d] * v[i * ldv + c];
        }
    for (size_t i = 0; i < dim * dim; i++)
        context[i] += (double)part[i];
}

/* k' v of one head of one item. */
static void context_task(void *ctx, size_t task, int thread)
{
    const lin_job *j = ctx;
    size_t dim = j->dim, ldk, ldv;
    const float *k = operand(j->s, NN_K, task / j->heads, task % j->heads, &ldk);
    const float *v = operand(j->s, NN_V, task / j->heads, task % j->heads, &ldv);
    double *total = j->doubles + task * doubles_of_head(dim), *context = total + dim;
    float *result = j->floats + task * floats_of_head(dim), *part = result + dim * dim, *max = part + dim * dim;
    float *e = max + dim;

    (void)thread;
    memset(total, 0, doubles_of_head(dim) * sizeof *total);
    memcpy(max, k, dim * sizeof *max);
    for (size_t i = 1; i < j->keys; i++)
        for (size_t d = 0; d < dim; d++)
            max[d] = k[i * ldk + d] > max[d] ? k[i * ldk + d] : max[d];
    for (size_t i = 0; i < j->keys; i += SUBROWS)
        some_positions(j->keys - i < SUBROWS ? j->keys - i : SUBROWS, dim, k + i * ldk, ldk, v + i * ldv, ldv, max, e,
                       part, total, context);
    for (size_t d = 0; d < dim; d++)
        for (size_t c = 0; c < dim; c++)
            result[d * dim + c] = (float)(j->s->rec.real * context[d * dim + c] / total[d]);
}

/* One position of one head: softmax(q) times the context. */
static void one_query(size_t dim, const float *q, const float *context, float *out)
{
    float max = q[0], total = 0;

    for (size_t d = 1; d < dim; d++)
        max = q[d] > max ? q[d] : max;
    memset(out, 0, dim * sizeof *out);
    for (size_t d = 0; d < dim; d++) {
        float e = expf(q[d] - max);

        total += e;
        for (size_t c = 0; c < dim; c++)
            out[c] += e * context[d * dim + c];
    }
    for (size_t c = 0; c < dim; c++)
        out[c] /= total;
}

static void query_task(void *ctx, size_t task, int thread)
{
    const lin_job *j = ctx;
    size_t blocks = (j->queries + ROWS - 1) / ROWS, item = task / blocks, from = task % blocks * ROWS, ld;
    size_t to = from + ROWS < j->queries ? from + ROWS : j->queries;

    (void)thread;
    for (size_t h = 0; h < j->heads; h++) {
        const float *q = operand(j->s, NN_Q, item, h, &ld);
        const float *context = j->floats + (item * j->heads + h) * floats_of_head(j->dim);
        float *out = j->s->out.seg[0].p + item * j->queries * j->s->out.s.c + h * j->dim;

        for (size_t i = from; i < to; i++)
            one_query(j->dim, q + i * ld, context, out + i * j->s->out.s.c);
    }
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    lin_job j = {.p = p,
                 .s = s,
                 .dim = s->rec.dim,
                 .heads = s->rec.groups,
                 .queries = pjd_nn_positions(&s->out.s),
                 .keys = pjd_nn_positions(&s->in[NN_K].s)};
    double work = (double)p->batch * (double)j.keys * (double)s->out.s.c * (double)j.dim;

    j.doubles = s->scratch;
    j.floats = (float *)(j.doubles + p->batch * j.heads * doubles_of_head(j.dim));
    pjd_nn_parallel(p, pjd_nn_threads_for(p, work), p->batch * j.heads, context_task, &j);
    pjd_nn_parallel(p, pjd_nn_threads_for(p, work), p->batch * ((j.queries + ROWS - 1) / ROWS), query_task, &j);
    return PJD_OK;
}

static void cost(const nn_graph *g, const nn_rec *r, nn_cost *c)
{
    double both = (double)(pjd_nn_positions(&g->values[r->out]) + pjd_nn_positions(&g->values[r->in[NN_K]]));

    c->rate = NN_RATE_ATTN;
    /* plain loops in float64: about 8 times what the packed product takes */
    c->units = 8 * (double)g->batch * (double)r->groups * both * (double)r->dim * ((double)r->dim + 8);
}

const nn_class pjd_nn_class_linattn = {.name = "linear attention", .scratch = scratch, .cost = cost, .run = run};
