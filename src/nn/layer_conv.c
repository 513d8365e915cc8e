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

static const nn_conv_way *choose(const nn_conv_case *c)
{
    const nn_conv_way *best = &pjd_nn_conv_direct;

    for (size_t i = 0; i < PJD_COUNTOF(ways); i++) {
        if (!ways[i]->can(c))
            continue;
        if (c->how.way && strcmp(c->how.way, ways[i]->name) == 0)
            return ways[i];
        if (ways[i]->cost(c) < best->cost(c))
            best = ways[i];
    }
    return best;
}

bool pjd_nn_conv_takes_affine(const nn_graph *g, const nn_rec *r, const nn_shape *x, size_t segs)
{
    nn_conv_case c = {r, *x, g->values[r->out], g->batch, segs, g->kernels, g->opt, g->how};

    return choose(&c)->affine;
}

static size_t scratch(const nn_graph *g, const nn_rec *r)
{
    nn_conv_case c = {
        r,     g->values[r->in[NN_X]], g->values[r->out], g->batch, g->places[r->in[NN_X]].segs, g->kernels, g->opt,
        g->how};

    return choose(&c)->scratch(&c);
}

static void cost(const nn_graph *g, const nn_rec *r, nn_cost *out)
{
    nn_conv_case c = {
        r,     g->values[r->in[NN_X]], g->values[r->out], g->batch, g->places[r->in[NN_X]].segs, g->kernels, g->opt,
        g->how};
    const nn_conv_way *way = choose(&c);

    out->rate = way->rate;
    /* a backend that counts nothing is measured in the units of the direct sum */
    out->units = (double)g->batch * (way->rate == NN_RATE_ONEDNN ? &pjd_nn_conv_direct : way)->cost(&c);
    out->weights = way->weights(&c);
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    nn_conv_case c = {&s->rec, s->in[NN_X].s, s->out.s, p->batch, s->in[NN_X].segs, p->kernels, p->opt, p->how};

    return choose(&c)->prepare(p, s, &c, err);
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
