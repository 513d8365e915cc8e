/* SPDX-License-Identifier: MIT */
/*
 * Attention over blocks of queries: keys pass in blocks, the softmax is kept relative to the largest score so far and the
 * sums are rescaled when it grows (Milakov & Gimelshein 2018), so that at most QUERIES x KEYS scores exist a thread.
 */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

#define QUERIES 96 /* a multiple of every table's mr */
#define KEYS 256   /* a multiple of every table's nr */

/* Per thread, in floats. */
typedef struct attn_room {
    size_t keys, values, scores, sums, rows, pointers, total;
} attn_room;

static bool measure(size_t dim, attn_room *r)
{
    size_t wide;

    if (!pjd_add(dim, 15, &wide) || !pjd_mul(wide / 16 * 16, KEYS, &r->values))
        return false;
    r->keys = dim * KEYS;
    r->scores = QUERIES * KEYS;
    r->sums = QUERIES * (wide / 16 * 16);
    r->rows = 2 * QUERIES;
    r->pointers = PJD_MR_MAX * sizeof(float *) / sizeof(float);
    r->total = r->keys + r->values + r->scores + r->sums + r->rows + r->pointers;
    r->total = (r->total + 15) / 16 * 16;
    return true;
}

static size_t scratch(const nn_graph *g, const nn_rec *r)
{
    attn_room room;
    size_t n;

    if (!measure(r->dim, &room) || !pjd_mul(room.total * sizeof(float), (size_t)g->opt.threads, &n))
        return SIZE_MAX;
    return n;
}

typedef struct attn_job {
    pjd_nn_plan *p;
    nn_step *s;
    attn_room room;
    size_t queries, keys, blocks;
} attn_job;

/* One block of queries of one head of one item. */
typedef struct attn_block {
    const pjd_kernels *k;
    size_t n, dim, ldo;
    const float *q, *key, *value;
    size_t ldq, ldk, ldv;
    float scale;
    float *packed_keys, *packed_values, *scores, *sums, *max, *total;
    const float **rows;
} attn_block;

/* c = a b (+ c) for n rows of kc against packed panels of m columns. */
static void product(const attn_block *b, size_t n, size_t kc, const float *a, size_t lda, size_t m, const float *packed,
                    float *c, size_t ldc, bool accumulate)
{
    for (size_t j = 0; j < m; j += b->k->nr)
        for (size_t i = 0; i < n; i += b->k->mr) {
            pjd_epilogue e = {.add = accumulate ? c + i * ldc + j : NULL, .ld_add = ldc};
            size_t rows = n - i < b->k->mr ? n - i : b->k->mr;

            for (size_t r = 0; r < b->k->mr; r++)
                b->rows[r] = a + (i + (r < rows ? r : 0)) * lda;
            b->k->gemm(rows, 1, &kc, b->rows, packed + j * kc, m - j < b->k->nr ? m - j : b->k->nr, c + i * ldc + j,
                       ldc, &e);
        }
}

static void some_keys(const attn_block *b, size_t k0, size_t count, bool first)
{
    pjd_pack_transposed(b->k->nr, count, b->dim, b->key + k0 * b->ldk, b->ldk, b->packed_keys);
    pjd_pack_rows(b->k->nr, b->dim, count, b->value + k0 * b->ldv, b->ldv, b->packed_values);
    product(b, b->n, b->dim, b->q, b->ldq, count, b->packed_keys, b->scores, KEYS, false);
    for (size_t i = 0; i < b->n; i++) {
        float *row = b->scores + i * KEYS, m, old = b->max[i];

        if (b->scale < 0) {
            for (size_t j = 0; j < count; j++)
                row[j] = -row[j];
        }
        m = b->k->row_max(count, row) * fabsf(b->scale);
        if (first) {
            b->max[i] = m;
            b->total[i] = 0.0f;
        } else if (m > old) {
            float shrink = expf(old - m);

            b->max[i] = m;
            b->total[i] *= shrink;
            for (size_t j = 0; j < b->dim; j++)
                b->sums[i * b->ldo + j] *= shrink;
        }
        b->total[i] += b->k->row_exp(count, row, fabsf(b->scale), b->max[i]);
    }
    product(b, b->n, count, b->scores, KEYS, b->dim, b->packed_values, b->sums, b->ldo, !first);
}

static const float *operand(const nn_step *s, size_t role, size_t item, size_t head, size_t *ld)
{
    const struct nn_seg *g = &s->in[role].seg[0];

    *ld = g->ld;
    return g->p + item * pjd_nn_positions(&s->in[role].s) * g->ld + s->rec.offset[role] + head * s->rec.dim;
}

static void task(void *ctx, size_t i, int thread)
{
    const attn_job *j = ctx;
    nn_step *s = j->s;
    size_t block = i % j->blocks, head = i / j->blocks % s->rec.groups, item = i / j->blocks / s->rec.groups;
    size_t q0 = block * QUERIES, c = s->out.s.c;
    float *at = (float *)s->scratch + (size_t)thread * j->room.total;
    attn_block b = {.k = j->p->kernels, .dim = s->rec.dim, .scale = (float)s->rec.real};
    float *out = s->out.seg[0].p + (item * j->queries + q0) * c + head * b.dim;

    b.n = j->queries - q0 < QUERIES ? j->queries - q0 : QUERIES;
    b.q = operand(s, NN_Q, item, head, &b.ldq) + q0 * s->in[NN_Q].seg[0].ld;
    b.key = operand(s, NN_K, item, head, &b.ldk);
    b.value = operand(s, NN_V, item, head, &b.ldv);
    b.packed_keys = at;
    b.packed_values = b.packed_keys + j->room.keys;
    b.scores = b.packed_values + j->room.values;
    b.sums = b.scores + j->room.scores;
    b.ldo = j->room.sums / QUERIES;
    b.max = b.sums + j->room.sums;
    b.total = b.max + QUERIES;
    b.rows = (const float **)(b.total + QUERIES);
    for (size_t k = 0; k < j->keys; k += KEYS)
        some_keys(&b, k, j->keys - k < KEYS ? j->keys - k : KEYS, k == 0);
    for (size_t r = 0; r < b.n; r++)
        for (size_t k = 0; k < b.dim; k++)
            out[r * c + k] = b.sums[r * b.ldo + k] / b.total[r];
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    attn_job j = {.p = p, .s = s, .queries = pjd_nn_positions(&s->out.s), .keys = pjd_nn_positions(&s->in[NN_K].s)};
    double work;

    (void)measure(s->rec.dim, &j.room); /* checked when the plan was made */
    j.blocks = (j.queries + QUERIES - 1) / QUERIES;
    work = (double)p->batch * (double)j.queries * (double)j.keys * (double)s->out.s.c;
    pjd_nn_parallel(p, pjd_nn_threads_for(p, work / 8), p->batch * s->rec.groups * j.blocks, task, &j);
    return PJD_OK;
}

/* Two products, and an exponential a score that costs about as much as 16 multiply-adds. */
static void cost(const nn_graph *g, const nn_rec *r, nn_cost *c)
{
    double queries = (double)pjd_nn_positions(&g->values[r->out]);
    double keys = (double)pjd_nn_positions(&g->values[r->in[NN_K]]);

    c->rate = NN_RATE_ATTN;
    c->units = (double)g->batch * (double)r->groups * queries * keys * (2 * (double)r->dim + 16);
}

const nn_class pjd_nn_class_attn = {.name = "attention", .scratch = scratch, .cost = cost, .run = run};
