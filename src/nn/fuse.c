/* SPDX-License-Identifier: MIT */
/*
 * Merging neighbours in the record. Each rewrite leaves every sum in the same order, so a merged network gives the same
 * bytes as the plain one (a test holds us to that).
 */
#include "nn/internal.h"

static nn_rec *producer(nn_rec *recs, size_t count, pjd_nn_value v)
{
    for (size_t i = count; i-- > 0;)
        if (recs[i].out == v && recs[i].op != NN_OPS)
            return &recs[i];
    return NULL;
}

/* A convolution whose only reader is this record and that has nothing after its sum but a bias. */
static nn_rec *open_conv(nn_rec *recs, size_t i, pjd_nn_value v, const size_t *uses, pjd_nn_value output)
{
    nn_rec *c = v != PJD_NN_NONE && v != output && uses[v] == 1 ? producer(recs, i, v) : NULL;

    return c && c->op == NN_CONV && c->act == PJD_ACT_NONE && c->in[NN_RESIDUAL] == PJD_NN_NONE ? c : NULL;
}

/*
 * add(conv(x), y): the convolution adds y itself, at the place of the addition (where y exists). y is a value of the same
 * shape, or one vector an item (a time embedding), which must come before a residual as it does in the record.
 */
static void fuse_add(nn_rec *recs, size_t i, const nn_shape *values, const size_t *uses, pjd_nn_value output)
{
    nn_rec *add = &recs[i], *c = open_conv(recs, i, add->in[NN_X], uses, output);
    const nn_shape *s = &values[add->in[NN_X]], *s2 = &values[add->in[NN_B]];
    pjd_nn_value other = add->in[NN_B];
    bool same = s->h == s2->h && s->w == s2->w;
    nn_rec merged;

    if (same) {
        nn_rec *c2 = open_conv(recs, i, add->in[NN_B], uses, output);

        if (c2 && (!c || c2 > c)) {
            c = c2;
            other = add->in[NN_X];
        }
    } else if (c && c->in[NN_BIAS2] != PJD_NN_NONE) {
        return;
    }
    if (!c || other == c->out)
        return;
    merged = *c;
    merged.in[same ? NN_RESIDUAL : NN_BIAS2] = other;
    merged.out = add->out;
    c->op = NN_OPS;
    *add = merged;
}

/* conv(upsample2(x)): the convolution reads x at half the position. */
static void fuse_up(nn_rec *recs, size_t i, const size_t *uses, pjd_nn_value output)
{
    nn_rec *c = &recs[i], *u;

    if (c->up || c->in[NN_X] == output || uses[c->in[NN_X]] != 1)
        return;
    u = producer(recs, i, c->in[NN_X]);
    if (!u || u->op != NN_UP)
        return;
    c->in[NN_X] = u->in[NN_X];
    c->up = true;
    u->op = NN_OPS;
}

/*
 * conv(norm(x)): the norm only takes the statistics, the convolution normalises what it reads. Saves a passage of the
 * normalised value through memory and back.
 */
static void fuse_norm(nn_graph *g, size_t i, const size_t *uses)
{
    nn_rec *c = &g->recs[i], *n;
    pjd_nn_value v = c->in[NN_X];

    if (v == g->output || uses[v] != 1)
        return;
    n = producer(g->recs, i, v);
    if (!n || n->op != NN_NORM || !pjd_nn_conv_takes_affine(g, c, &g->values[n->in[NN_X]], NN_SEGS))
        return;
    c->in[NN_X] = n->in[NN_X];
    c->in[NN_AFFINE] = v;
    c->pre = n->act;
    n->op = NN_MOMENTS;
    g->values[v] = (nn_shape){1, 1, 3 * pjd_nn_padded(g->values[n->in[NN_X]].c)};
}

void pjd_nn_fuse(nn_graph *g, const size_t *uses)
{
    size_t n = 0;

    for (size_t i = 0; i < g->rec_count; i++) {
        if (g->recs[i].op == NN_ADD)
            fuse_add(g->recs, i, g->values, uses, g->output);
        if (g->recs[i].op == NN_CONV)
            fuse_up(g->recs, i, uses, g->output);
    }
    /* last: which way a convolution takes, and so whether it can, depends on the above */
    for (size_t i = 0; i < g->rec_count; i++)
        if (g->recs[i].op == NN_CONV)
            fuse_norm(g, i, uses);
    for (size_t i = 0; i < g->rec_count; i++)
        if (g->recs[i].op != NN_OPS)
            g->recs[n++] = g->recs[i];
    g->rec_count = n;
}
