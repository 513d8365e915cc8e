/* SPDX-License-Identifier: MIT */
/* From the record to buffers: dead layers dropped, neighbours merged, concatenations made virtual, lives measured. */
#include <string.h>

#include "nn/internal.h"

static void count_uses(const nn_graph *g, size_t *uses)
{
    memset(uses, 0, g->value_count * sizeof *uses);
    for (size_t i = 0; i < g->rec_count; i++)
        for (size_t k = 0; k < NN_INS; k++)
            if (g->recs[i].in[k] != PJD_NN_NONE)
                uses[g->recs[i].in[k]]++;
    uses[g->output]++;
}

/* Keep what the output depends on. */
static void drop_dead(nn_graph *g, size_t *alive)
{
    size_t n = 0;

    memset(alive, 0, g->value_count * sizeof *alive);
    alive[g->output] = 1;
    for (size_t i = g->rec_count; i-- > 0;)
        for (size_t k = 0; k < NN_INS && alive[g->recs[i].out]; k++)
            if (g->recs[i].in[k] != PJD_NN_NONE)
                alive[g->recs[i].in[k]] = 1;
    for (size_t i = 0; i < g->rec_count; i++)
        if (alive[g->recs[i].out])
            g->recs[n++] = g->recs[i];
    g->rec_count = n;
}

/* Whether each reader of concatenation v can take it in pieces. */
static bool readers_take_pieces(const nn_graph *g, size_t from, pjd_nn_value v)
{
    for (size_t i = from; i < g->rec_count; i++)
        for (size_t k = 0; k < NN_INS; k++)
            if (g->recs[i].in[k] == v && g->recs[i].op != NN_CONCAT &&
                !(k == NN_X && pjd_nn_classes[g->recs[i].op]->pieces))
                return false;
    return true;
}

static void mark_virtual(nn_graph *g)
{
    for (size_t v = 0; v < g->value_count; v++)
        g->places[v].segs = 1;
    for (size_t i = 0; i < g->rec_count; i++) {
        const nn_rec *r = &g->recs[i];
        size_t segs;

        if (r->op != NN_CONCAT)
            continue;
        segs = g->places[r->in[NN_X]].segs + g->places[r->in[NN_B]].segs;
        if (segs > NN_SEGS || g->how.apart || !readers_take_pieces(g, i + 1, r->out))
            continue;
        g->places[r->out].is_virtual = true;
        g->places[r->out].part[0] = r->in[NN_X];
        g->places[r->out].part[1] = r->in[NN_B];
        g->places[r->out].segs = segs;
    }
}

/* Value v (through concatenations) is read at step i. Recursion is at most NN_SEGS deep. */
static void touch(nn_graph *g, pjd_nn_value v, size_t i)
{
    nn_place *p = &g->places[v];

    if (p->is_virtual) {
        touch(g, p->part[0], i);
        touch(g, p->part[1], i);
    } else if (p->last < i) {
        p->last = i;
    }
}

static void measure_lives(nn_graph *g)
{
    for (size_t i = 0; i < g->rec_count; i++) {
        if (g->places[g->recs[i].out].is_virtual)
            continue;
        g->places[g->recs[i].out].last = i;
        for (size_t k = 0; k < NN_INS; k++)
            if (g->recs[i].in[k] != PJD_NN_NONE)
                touch(g, g->recs[i].in[k], i);
    }
    touch(g, g->output, g->rec_count);
}

static bool lies_in(const nn_graph *g, pjd_nn_value v, size_t buffer)
{
    const nn_place *p = &g->places[v];

    return p->is_virtual ? lies_in(g, p->part[0], buffer) || lies_in(g, p->part[1], buffer) : p->buffer == buffer;
}

/* The operand whose buffer record i may overwrite with its result, or PJD_NN_NONE. */
static pjd_nn_value overwritten(const nn_graph *g, size_t i)
{
    const nn_rec *r = &g->recs[i];
    const nn_shape *s = &g->values[r->out], *t;
    size_t from = 0, to = 0; /* candidate operands */

    if (r->op == NN_CONV)
        from = to = NN_RESIDUAL;
    else if (r->op == NN_ADD)
        to = NN_B;
    else if (r->op != NN_SCALE && r->op != NN_ACT && r->op != NN_NORM && r->op != NN_RMS && r->op != NN_LAYER)
        return PJD_NN_NONE;
    for (size_t k = from; k <= to; k++) {
        pjd_nn_value v = r->in[k];
        bool shared = false;

        if (v == PJD_NN_NONE || g->places[v].is_virtual || g->places[v].last != i)
            continue;
        t = &g->values[v];
        if (t->h != s->h || t->w != s->w || t->c != s->c)
            continue;
        for (size_t q = 0; q < NN_INS; q++)
            shared |= q != k && r->in[q] != PJD_NN_NONE && lies_in(g, r->in[q], g->places[v].buffer);
        if (!shared)
            return v;
    }
    return PJD_NN_NONE;
}

static bool value_bytes(const nn_graph *g, const nn_shape *s, size_t *bytes)
{
    return pjd_mul(s->h, s->w, bytes) && pjd_mul(*bytes, s->c, bytes) && pjd_mul(*bytes, g->batch, bytes) &&
           pjd_mul(*bytes, sizeof(float), bytes) && pjd_add(*bytes, PJD_ALIGN - 1, bytes) &&
           (*bytes = *bytes / PJD_ALIGN * PJD_ALIGN, true);
}

static void add_buffer(nn_graph *g, size_t bytes, size_t first, size_t last, size_t *index)
{
    bytes = (bytes + PJD_ALIGN - 1) / PJD_ALIGN * PJD_ALIGN;
    *index = g->buffer_count;
    g->buffers[g->buffer_count++] = (nn_buffer){
        .bytes = bytes, .first = g->how.apart ? 0 : first, .last = g->how.apart ? g->rec_count : last};
}

static pjd_status assign_buffers(nn_graph *g, pjd_error *err)
{
    for (size_t i = 0; i < g->rec_count; i++) {
        const nn_rec *r = &g->recs[i];
        nn_place *p = &g->places[r->out];
        const nn_class *cls = pjd_nn_classes[r->op];
        pjd_nn_value v;
        size_t bytes;

        g->scratch[i] = SIZE_MAX;
        if (p->is_virtual)
            continue;
        v = g->how.apart ? PJD_NN_NONE : overwritten(g, i);
        if (v != PJD_NN_NONE) {
            p->buffer = g->places[v].buffer;
            g->buffers[p->buffer].last = p->last;
        } else {
            if (!value_bytes(g, &g->values[r->out], &bytes))
                return pjd_error_set(err, PJD_ERR_SHAPE, "network: layer %zu is too large", i);
            add_buffer(g, bytes, i, p->last, &p->buffer);
        }
        bytes = cls->scratch ? cls->scratch(g, r) : 0;
        if (bytes > SIZE_MAX / 4)
            return pjd_error_set(err, PJD_ERR_SHAPE, "network: layer %zu (%s) is too large", i, cls->name);
        if (bytes > 0)
            add_buffer(g, bytes, i, i, &g->scratch[i]);
    }
    return PJD_OK;
}

static pjd_status graph_alloc(const pjd_nn_builder *b, nn_graph *g, size_t **uses, pjd_error *err)
{
    g->recs = pjd_alloc(b->rec_count, sizeof *g->recs);
    g->places = pjd_alloc_zero(b->value_count, sizeof *g->places);
    g->scratch = pjd_alloc(b->rec_count, sizeof *g->scratch);
    g->buffers = pjd_alloc(2 * b->rec_count, sizeof *g->buffers);
    g->values = pjd_alloc(b->value_count, sizeof *g->values);
    *uses = pjd_alloc(b->value_count, sizeof **uses);
    if (!g->values || !g->recs || !g->places || !g->scratch || !g->buffers || !*uses)
        return pjd_error_nomem(err, "network", b->rec_count * sizeof *g->recs);
    memcpy(g->values, b->values, b->value_count * sizeof *g->values);
    memcpy(g->recs, b->recs, b->rec_count * sizeof *g->recs);
    return PJD_OK;
}

pjd_status pjd_nn_graph_make(const pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, const nn_how *how,
                             nn_graph *g, pjd_error *err)
{
    pjd_status st;
    size_t *uses = NULL;

    *g = (nn_graph){.batch = b->batch,
                    .value_count = b->value_count,
                    .rec_count = b->rec_count,
                    .output = output,
                    .opt = *opt,
                    .how = *how};
    g->kernels = how->kernels ? how->kernels : opt->backend == PJD_BACKEND_C ? &pjd_kernels_c : pjd_kernels_best();
    if (b->error.code != PJD_OK)
        return pjd_error_set(err, b->error.code, "%s", b->error.text);
    if (output < 0 || (size_t)output >= b->value_count)
        return pjd_error_set(err, PJD_ERR_ARG, "network: expected an output value, found %d of %zu", output,
                             b->value_count);
    st = graph_alloc(b, g, &uses, err);
    if (st != PJD_OK)
        goto done;
    drop_dead(g, uses);
    if (!how->apart) {
        count_uses(g, uses);
        pjd_nn_fuse(g, uses);
    }
    mark_virtual(g);
    measure_lives(g);
    st = assign_buffers(g, err);
    if (st == PJD_OK && !pjd_nn_arena_place(g->buffers, g->buffer_count, &g->arena_bytes))
        st = pjd_error_nomem(err, "network", g->buffer_count * sizeof(nn_buffer *));
done:
    pjd_free(uses);
    if (st != PJD_OK)
        pjd_nn_graph_clear(g);
    return st;
}

void pjd_nn_graph_clear(nn_graph *g)
{
    pjd_free(g->recs);
    pjd_free(g->values);
    pjd_free(g->places);
    pjd_free(g->buffers);
    pjd_free(g->scratch);
    *g = (nn_graph){0};
}
