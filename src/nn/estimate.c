/* SPDX-License-Identifier: MIT */
/*
 * How long a plan would take here, without making it. A layer takes the time of its arithmetic or that of its passage
 * through memory, whichever is longer (Williams et al. 2009). Units of arithmetic are those of the planner's cost model;
 * how long one takes is measured once a process, on a small network of the same kinds of layers.
 */
#include <pthread.h>
#include <string.h>

#include "nn/internal.h"

#define LAYER_SECONDS 4e-6     /* waking threads, and what is done once a layer */
#define ENOUGH_SECONDS 0.05    /* of measuring */
#define ENOUGH_UNITS 5e6       /* smaller layers tell more about waking threads than about arithmetic */
#define PASS_FLOATS (4u << 20) /* of each of two buffers: more than a core's caches */
#define PASS_PIECE 65536u

typedef struct rates {
    double unit[NN_RATES]; /* seconds a unit */
    double pass;           /* seconds a float read or written */
} rates;

/* ---- what layers cost ---- */

static double floats_of(const nn_graph *g, pjd_nn_value v)
{
    const nn_shape *s = &g->values[v];

    return (double)g->batch * (double)pjd_nn_positions(s) * (double)s->c;
}

/* Floats that record r reads and writes. */
static double moved(const nn_graph *g, const nn_rec *r)
{
    double n = floats_of(g, r->out);

    for (size_t k = 0; k < NN_INS; k++)
        if (r->in[k] != PJD_NN_NONE)
            n += floats_of(g, r->in[k]);
    return n;
}

static nn_cost cost_of(const nn_graph *g, const nn_rec *r)
{
    nn_cost c = {0};

    if (pjd_nn_classes[r->op]->cost)
        pjd_nn_classes[r->op]->cost(g, r, &c);
    return c;
}

static double seconds_of(const nn_graph *g, const nn_rec *r, const nn_cost *c, const rates *m)
{
    double compute = c->units * m->unit[c->rate];
    double memory = (moved(g, r) + (double)(c->weights / sizeof(float))) * m->pass;

    return LAYER_SECONDS + (compute > memory ? compute : memory);
}

/* ---- measuring ---- */

typedef struct pass_job {
    const pjd_kernels *k;
    const float *x, *row;
    float *y;
} pass_job;

static void pass_task(void *ctx, size_t task, int thread)
{
    const pass_job *j = ctx;
    size_t at = task * PASS_PIECE;

    (void)thread;
    j->k->norm(PASS_PIECE / 64, 64, j->x + at, 64, j->row, j->row + 64, j->row + 128, PJD_KACT_NONE, j->y + at, 64);
}

/* Seconds a float of a layer that only touches memory. */
static pjd_status measure_pass(const pjd_nn_plan *p, double *seconds, pjd_error *err)
{
    float *x = pjd_alloc_zero(2 * (size_t)PASS_FLOATS + 192, sizeof *x);
    pass_job j = {p->kernels, x, x ? x + 2 * (size_t)PASS_FLOATS : NULL, x ? x + PASS_FLOATS : NULL};

    if (!x)
        return pjd_error_nomem(err, "estimate", 2 * (size_t)PASS_FLOATS * sizeof *x);
    *seconds = 1;
    for (int i = 0; i < 3; i++) { /* the first brings the pages */
        double start = pjd_now(), took;

        pjd_nn_parallel(p, p->threads, PASS_FLOATS / PASS_PIECE, pass_task, &j);
        took = pjd_now() - start;
        *seconds = took < *seconds ? took : *seconds;
    }
    *seconds /= 2.0 * PASS_FLOATS;
    pjd_free(x);
    return PJD_OK;
}

static pjd_nn_value conv(pjd_nn_builder *b, pjd_nn_value x, const float *w, size_t out, size_t k, size_t stride,
                         pjd_nn_value residual)
{
    pjd_nn_conv p = {.weight = w, .bias = w, .out = out, .kh = k, .kw = k, .stride = stride, .residual = residual};

    p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = k / 2;
    return pjd_nn_conv2d(b, x, &p);
}

static pjd_nn_value block(pjd_nn_builder *b, pjd_nn_value x, const float *w, size_t c, pjd_nn_value residual)
{
    x = pjd_nn_group_norm(b, x, 32, 1e-5, w, w, PJD_NN_NONE, PJD_ACT_SILU);
    return conv(b, x, w, c, 3, 1, residual);
}

enum { SAMPLE_WEIGHTS = 9 * 128 * 128 };

/* A diffusion network in small: `side` pixels of 64 channels, half of them of 128 with attention, and back. */
static pjd_nn_value sample_network(pjd_nn_builder *b, const float *w, size_t side)
{
    pjd_nn_value x = conv(b, pjd_nn_input(b, 8, side, side), w, 64, 3, 1, PJD_NN_NONE), h = x, qkv;
    pjd_nn_conv up = {.weight = w, .out = 64, .kh = 3, .kw = 3, .stride = 1, .upsample2 = true};

    h = block(b, h, w, 64, PJD_NN_NONE);
    x = block(b, h, w, 64, x);
    x = conv(b, x, w, 128, 3, 2, PJD_NN_NONE);
    h = block(b, x, w, 128, PJD_NN_NONE);
    x = block(b, h, w, 128, x);
    qkv = conv(b, x, w, 3 * 128, 1, 1, PJD_NN_NONE);
    h = pjd_nn_attention(b, &(pjd_nn_attn){.q = qkv,
                                           .k = qkv,
                                           .v = qkv,
                                           .k_offset = 128,
                                           .v_offset = 256,
                                           .heads = 2,
                                           .head_dim = 64,
                                           .scale = 0.125});
    x = conv(b, h, w, 128, 1, 1, x);
    up.pad_top = up.pad_bottom = up.pad_left = up.pad_right = 1;
    up.residual = PJD_NN_NONE;
    x = pjd_nn_conv2d(b, x, &up);
    return conv(b, x, w, 8, 3, 1, PJD_NN_NONE);
}

/* Each step's least time over some runs. */
static pjd_status time_steps(pjd_nn_plan *p, size_t floats, double *least, pjd_error *err)
{
    float *in = pjd_alloc_zero(2 * floats, sizeof *in);
    double start = pjd_now(), before[64];
    pjd_status st = PJD_OK;
    int rounds = p->opt.backend == PJD_BACKEND_C ? 1 : 2;

    if (!in || p->step_count > PJD_COUNTOF(before)) {
        pjd_free(in);
        return pjd_error_nomem(err, "estimate", 2 * floats * sizeof *in);
    }
    for (size_t i = 0; i < floats; i++)
        in[i] = (float)(i * 7 % 31) * 0.06f - 1;
    for (int k = 0; st == PJD_OK && (k < rounds || (k < 4 && pjd_now() - start < ENOUGH_SECONDS)); k++) {
        for (size_t i = 0; i < p->step_count; i++)
            before[i] = p->steps[i].seconds;
        st = pjd_nn_plan_run(p, in, (const float[1]){0}, NULL, in + floats, err);
        for (size_t i = 0; i < p->step_count; i++) {
            double t = p->steps[i].seconds - before[i];

            least[i] = k == 0 || t < least[i] ? t : least[i];
        }
    }
    pjd_free(in);
    return st;
}

/* Seconds a unit of each kind, from the steps that are mostly arithmetic. A kind that was not met costs what the dearest does. */
static void divide(const nn_graph *g, const double *least, rates *m)
{
    double units[NN_RATES] = {0}, seconds[NN_RATES] = {0}, dearest = 0;
    size_t step = 0;

    for (size_t i = 0; i < g->rec_count; i++) {
        nn_cost c = cost_of(g, &g->recs[i]);

        if (g->places[g->recs[i].out].is_virtual)
            continue;
        if (c.units >= ENOUGH_UNITS) {
            units[c.rate] += c.units;
            seconds[c.rate] += least[step];
        }
        step++;
    }
    for (size_t k = 0; k < NN_RATES; k++) {
        m->unit[k] = units[k] > 0 ? seconds[k] / units[k] : 0;
        dearest = m->unit[k] > dearest ? m->unit[k] : dearest;
    }
    for (size_t k = 0; k < NN_RATES; k++)
        m->unit[k] = m->unit[k] > 0 ? m->unit[k] : dearest;
}

static pjd_status measure(const pjd_nn_options *opt, rates *m, pjd_error *err)
{
    pjd_nn_options o = {.threads = opt->threads, .backend = opt->backend, .precision = opt->precision};
    size_t side = o.backend == PJD_BACKEND_C ? 24 : 64;
    float *w = pjd_alloc(SAMPLE_WEIGHTS, sizeof *w);
    pjd_nn_builder *b = NULL;
    pjd_nn_plan *p = NULL;
    nn_graph g = {0};
    double least[64] = {0};
    nn_how how = {0};
    pjd_nn_value y;
    pjd_status st = w ? pjd_nn_builder_create(1, &b, err) : pjd_error_nomem(err, "estimate", SAMPLE_WEIGHTS);

    if (st != PJD_OK) {
        pjd_free(w);
        return st;
    }
    for (size_t i = 0; i < SAMPLE_WEIGHTS; i++)
        w[i] = ((float)(i * 5 % 13) - 6) * 0.01f;
    y = sample_network(b, w, side);
    st = pjd_nn_graph_make(b, y, &o, &how, &g, err);
    if (st == PJD_OK)
        st = pjd_nn_plan_create(b, y, &o, &p, err);
    if (st == PJD_OK)
        st = time_steps(p, 8 * side * side, least, err);
    if (st == PJD_OK)
        st = measure_pass(p, &m->pass, err);
    if (st == PJD_OK)
        divide(&g, least, m);
    pjd_nn_plan_free(p);
    pjd_nn_graph_clear(&g);
    pjd_nn_builder_free(b);
    pjd_free(w);
    return st;
}

/* ---- once a process ---- */

static struct {
    pthread_mutex_t lock;
    size_t count;
    struct {
        int threads;
        pjd_backend backend;
        pjd_precision precision;
        rates m;
    } known[16];
} measured = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pjd_status rates_for(const pjd_nn_options *opt, rates *m, pjd_error *err)
{
    pjd_status st = PJD_OK;
    size_t i;

    pthread_mutex_lock(&measured.lock);
    for (i = 0; i < measured.count; i++)
        if (measured.known[i].threads == opt->threads && measured.known[i].backend == opt->backend &&
            measured.known[i].precision == opt->precision)
            break;
    if (i == measured.count) {
        st = measure(opt, m, err);
        i = i < PJD_COUNTOF(measured.known) ? i : i - 1;
        if (st == PJD_OK) {
            measured.known[i].threads = opt->threads;
            measured.known[i].backend = opt->backend;
            measured.known[i].precision = opt->precision;
            measured.known[i].m = *m;
            measured.count = i + 1;
        }
    } else {
        *m = measured.known[i].m;
    }
    pthread_mutex_unlock(&measured.lock);
    return st;
}

pjd_status pjd_nn_plan_estimate(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, pjd_nn_estimate *out,
                                pjd_error *err)
{
    nn_how how = {0};
    nn_graph g;
    rates m;
    pjd_status st = pjd_nn_graph_make(b, output, opt, &how, &g, err);

    *out = (pjd_nn_estimate){0};
    if (st != PJD_OK)
        return st;
    st = rates_for(opt, &m, err);
    for (size_t i = 0; i < g.rec_count && st == PJD_OK; i++) {
        nn_cost c = cost_of(&g, &g.recs[i]);

        if (g.places[g.recs[i].out].is_virtual)
            continue;
        out->seconds += seconds_of(&g, &g.recs[i], &c, &m);
        if (!pjd_add(out->weight_bytes, c.weights, &out->weight_bytes))
            st = pjd_error_set(err, PJD_ERR_SHAPE, "estimate: the weights are beyond this machine");
    }
    out->arena_bytes = g.arena_bytes;
    pjd_nn_graph_clear(&g);
    return st;
}
