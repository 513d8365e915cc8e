/* SPDX-License-Identifier: MIT */
/* The convolution layer: which way to take. */
#include <string.h>

#include "nn/conv.h"

static const nn_conv_way *const ways[] = {
    &pjd_nn_conv_direct, &pjd_nn_conv_wino2, &pjd_nn_conv_wino4, &pjd_nn_conv_wino5, &pjd_nn_conv_line4,
#ifdef PJD_HAVE_ONEDNN
    &pjd_nn_conv_dnnl,
#endif
};

static double cost_by(nn_conv_case *c, const nn_conv_way *way)
{
    c->way = way;
    return way->cost(c);
}

/* Leaves c->way. */
static void choose(nn_conv_case *c)
{
    const nn_conv_way *best = &pjd_nn_conv_direct;
    double least = cost_by(c, best);

    for (size_t i = 0; i < PJD_COUNTOF(ways); i++) {
        double cost;

        c->way = ways[i];
        if (!c->way->can(c))
            continue;
        if (c->how.way && strcmp(c->how.way, c->way->name) == 0)
            return;
        cost = cost_by(c, ways[i]);
        if (cost < least) {
            least = cost;
            best = ways[i];
        }
    }
    c->way = best;
}

static nn_conv_case case_of(const nn_graph *g, const nn_rec *r, const nn_shape *x, size_t segs)
{
    nn_conv_case c = {NULL, r, *x, g->values[r->out], g->batch, segs, g->kernels, g->opt, g->how};

    choose(&c);
    return c;
}

static nn_conv_case case_in(const nn_graph *g, const nn_rec *r)
{
    return case_of(g, r, &g->values[r->in[NN_X]], g->places[r->in[NN_X]].segs);
}

bool pjd_nn_conv_takes_affine(const nn_graph *g, const nn_rec *r, const nn_shape *x, size_t segs)
{
    return case_of(g, r, x, segs).way->affine;
}

static size_t scratch(const nn_graph *g, const nn_rec *r)
{
    nn_conv_case c = case_in(g, r);

    return c.way->scratch(&c);
}

static void cost(const nn_graph *g, const nn_rec *r, nn_cost *out)
{
    nn_conv_case c = case_in(g, r);
    const nn_conv_way *way = c.way;

    out->weights = way->weights(&c);
    out->rate = way->rate;
    /* a backend that counts nothing is measured in the units of the direct sum */
    out->units = (double)g->batch * cost_by(&c, way->rate == NN_RATE_ONEDNN ? &pjd_nn_conv_direct : way);
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    nn_conv_case c = {NULL, &s->rec, s->in[NN_X].s, s->out.s, p->batch, s->in[NN_X].segs, p->kernels, p->opt, p->how};

    choose(&c);
    return c.way->prepare(p, s, &c, err);
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    return ((const nn_conv_head *)s->priv)->way->run(p, s, err);
}

static void clear(nn_step *s)
{
    const nn_conv_head *h = s->priv;

    if (h && h->way->clear)
        h->way->clear(s);
}

const nn_class pjd_nn_class_conv = {
    .name = "conv", .pieces = true, .scratch = scratch, .cost = cost, .prepare = prepare, .run = run, .clear = clear};
