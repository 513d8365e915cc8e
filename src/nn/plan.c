/* SPDX-License-Identifier: MIT */
/* Plans: one arena, packed weights, steps in the order of the record. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "nn/dnnl_shim.h"
#include "nn/internal.h"

_Static_assert((int)PJD_ACT_NONE == (int)PJD_KACT_NONE && (int)PJD_ACT_SILU == (int)PJD_KACT_SILU &&
                   (int)PJD_ACT_GELU == (int)PJD_KACT_GELU,
               "activations are passed on as they are");

const nn_class *const pjd_nn_classes[NN_OPS] = {
    [NN_INPUT] = &pjd_nn_class_input,     [NN_TIME] = &pjd_nn_class_time,       [NN_CLASS] = &pjd_nn_class_label,
    [NN_CONV] = &pjd_nn_class_conv,       [NN_NORM] = &pjd_nn_class_norm,       [NN_CONCAT] = &pjd_nn_class_concat,
    [NN_ADD] = &pjd_nn_class_add,         [NN_SCALE] = &pjd_nn_class_scale,     [NN_POOL] = &pjd_nn_class_pool,
    [NN_UP] = &pjd_nn_class_up,           [NN_ACT] = &pjd_nn_class_act,         [NN_ATTN] = &pjd_nn_class_attn,
    [NN_MOMENTS] = &pjd_nn_class_moments, [NN_FOURIER] = &pjd_nn_class_fourier, [NN_RMS] = &pjd_nn_class_rms,
    [NN_LAYER] = &pjd_nn_class_layer,     [NN_LINE] = &pjd_nn_class_line,       [NN_SPREAD] = &pjd_nn_class_spread,
    [NN_FIR] = &pjd_nn_class_fir,         [NN_MEMORY] = &pjd_nn_class_memory,   [NN_LINATTN] = &pjd_nn_class_linattn,
};

/* Large blocks are walked in long strides: pages of 2 MB save most of the address translation. Only a hint. */
static void want_large_pages(void *p, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    const size_t page = (size_t)2 << 20;
    uintptr_t from = ((uintptr_t)p + page - 1) / page * page, to = ((uintptr_t)p + bytes) / page * page;

    if (p && to > from)
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#endif
}

/*
 * Weights beyond this come on ordinary pages: clearing 4 GB of large ones took a virtual machine twice as long as small
 * ones, which was most of the time until a large network was ready, and a run was not faster for them.
 */
#define LARGE_PAGES ((size_t)1 << 30)

float *pjd_nn_weights(pjd_nn_plan *p, size_t floats)
{
    float *w = pjd_alloc(floats, sizeof *w);

    if (p->weight_bytes < LARGE_PAGES)
        want_large_pages(w, floats * sizeof *w);
    if (w)
        p->weight_bytes += floats * sizeof *w;
    return w;
}

static void add_pieces(const nn_graph *g, char *arena, pjd_nn_value v, nn_tensor *t)
{
    const nn_place *pl = &g->places[v];

    if (pl->is_virtual) {
        add_pieces(g, arena, pl->part[0], t);
        add_pieces(g, arena, pl->part[1], t);
        return;
    }
    t->seg[t->segs++] = (struct nn_seg){(float *)(arena + g->buffers[pl->buffer].offset), g->values[v].c,
                                        g->values[v].c};
}

static nn_tensor tensor(const nn_graph *g, char *arena, pjd_nn_value v)
{
    nn_tensor t = {0};

    if (v != PJD_NN_NONE) {
        t.s = g->values[v];
        add_pieces(g, arena, v, &t);
    }
    return t;
}

static void name_step(nn_step *s)
{
    const nn_shape *i = &s->in[NN_X].s, *o = &s->out.s;

    if (s->rec.op == NN_CONV)
        snprintf(s->name, sizeof s->name, "conv %zux%zu%s%s %zu->%zu @%zux%zu", s->rec.kh, s->rec.kw,
                 s->rec.stride_w > 1 ? " strided" : "", s->rec.up ? " up" : "", i->c, o->c, o->h, o->w);
    else
        snprintf(s->name, sizeof s->name, "%s %zu @%zux%zu", s->cls->name, o->c, o->h, o->w);
}

static pjd_status make_step(pjd_nn_plan *p, const nn_graph *g, size_t i, pjd_error *err)
{
    nn_step *s = &p->steps[p->step_count++];
    pjd_status st;

    s->rec = g->recs[i];
    s->cls = pjd_nn_classes[s->rec.op];
    for (size_t k = 0; k < NN_INS; k++)
        s->in[k] = tensor(g, p->arena, s->rec.in[k]);
    s->out = tensor(g, p->arena, s->rec.out);
    if (g->scratch[i] != SIZE_MAX) {
        s->scratch = p->arena + g->buffers[g->scratch[i]].offset;
        s->scratch_bytes = g->buffers[g->scratch[i]].bytes;
    }
    name_step(s);
    st = s->cls->prepare ? s->cls->prepare(p, s, err) : PJD_OK;
    if (st == PJD_OK && p->opt.packed && s->rec.op == NN_CONV)
        p->opt.packed(p->opt.packed_user, s->rec.weight,
                      s->out.s.c * s->in[NN_X].s.c * s->rec.kh * s->rec.kw * sizeof(float));
    s->rec.weight = s->rec.bias = NULL; /* borrowed only until here */
    return st;
}

pjd_status pjd_nn_plan_make(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, const nn_how *how,
                            pjd_nn_plan **out, pjd_error *err)
{
    pjd_nn_plan *p = NULL;
    nn_graph g;
    pjd_status st;

    *out = NULL;
    if (opt->threads < 1)
        return pjd_error_set(err, PJD_ERR_ARG, "network: expected at least 1 thread, found %d", opt->threads);
#ifndef PJD_HAVE_ONEDNN
    if (opt->backend == PJD_BACKEND_ONEDNN)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "network: this build has no oneDNN");
#endif
    st = pjd_nn_graph_make(b, output, opt, how, &g, err);
    if (st != PJD_OK)
        return st;
    p = pjd_alloc_zero(1, sizeof *p);
    if (!p) {
        st = pjd_error_nomem(err, "network", sizeof *p);
        goto done;
    }
    p->batch = g.batch;
    p->opt = *opt;
    p->how = *how;
    p->threads = opt->threads;
    p->kernels = g.kernels;
    p->arena_bytes = g.arena_bytes;
    p->arena = pjd_alloc(g.arena_bytes, 1);
    want_large_pages(p->arena, g.arena_bytes);
    p->steps = pjd_alloc_zero(g.rec_count, sizeof *p->steps);
    if (!p->arena || !p->steps) {
        st = pjd_error_nomem(err, "network", g.arena_bytes);
        goto done;
    }
    for (size_t i = 0; i < g.rec_count && st == PJD_OK; i++)
        if (!g.places[g.recs[i].out].is_virtual)
            st = make_step(p, &g, i, err);
    p->output = tensor(&g, p->arena, output);
done:
    pjd_nn_graph_clear(&g);
    if (st != PJD_OK) {
        pjd_nn_plan_free(p);
        return st;
    }
    *out = p;
    return PJD_OK;
}

pjd_status pjd_nn_plan_create(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, pjd_nn_plan **out,
                              pjd_error *err)
{
    nn_how how = {0};

    return pjd_nn_plan_make(b, output, opt, &how, out, err);
}

size_t pjd_nn_plan_bytes(pjd_nn_builder *b, pjd_nn_value output)
{
    pjd_nn_options opt = {.threads = pjd_threads_available()};
    size_t bytes = 0;
    nn_how how = {0};
    nn_graph g;

    if (pjd_nn_graph_make(b, output, &opt, &how, &g, NULL) == PJD_OK) {
        bytes = g.arena_bytes;
        pjd_nn_graph_clear(&g);
    }
    return bytes;
}

void pjd_nn_plan_free(pjd_nn_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->step_count; i++) {
        if (p->steps[i].cls->clear)
            p->steps[i].cls->clear(&p->steps[i]);
        pjd_free(p->steps[i].priv);
    }
#ifdef PJD_HAVE_ONEDNN
    pjd_dnnl_free(p->dnnl);
#endif
    pjd_free(p->steps);
    pjd_free(p->arena);
    pjd_free(p);
}

/* ---- running ---- */

typedef struct output_job {
    const pjd_nn_plan *p;
    float *out;
} output_job;

/* Task: one row of the picture of one item. */
static void output_row(void *ctx, size_t task, int thread)
{
    const output_job *j = ctx;
    const nn_tensor *t = &j->p->output;
    size_t item = task / t->s.h, y = task % t->s.h, k0 = 0;

    (void)thread;
    for (size_t i = 0; i < t->segs; k0 += t->seg[i++].c) {
        const struct nn_seg *g = &t->seg[i];
        const float *x = g->p + task * t->s.w * g->ld;

        for (size_t k = 0; k < g->c; k++) {
            float *o = j->out + ((item * t->s.c + k0 + k) * t->s.h + y) * t->s.w;

            for (size_t q = 0; q < t->s.w; q++)
                o[q] = x[q * g->ld + k];
        }
    }
}

typedef struct run_job {
    pjd_nn_plan *p;
    float *out;
    pjd_error *err;
    pjd_status status;
} run_job;

static void run_steps(void *ctx)
{
    run_job *r = ctx;
    pjd_nn_plan *p = r->p;
    output_job j = {p, r->out};
    const nn_shape *s = &p->output.s;
    double before = pjd_now(), now;

    for (size_t i = 0; i < p->step_count && r->status == PJD_OK; i++) {
        r->status = p->steps[i].cls->run(p, &p->steps[i], r->err);
        now = pjd_now();
        p->steps[i].seconds += now - before;
        before = now;
    }
    if (r->status == PJD_OK)
        pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)p->batch * (double)pjd_nn_positions(s) * (double)s->c),
                        p->batch * s->h, output_row, &j);
}

pjd_status pjd_nn_plan_run(pjd_nn_plan *p, const float *in, const float *t, const int *classes, float *out,
                           pjd_error *err)
{
    run_job r = {p, out, err, PJD_OK};

    p->in = in;
    p->t = t;
    p->classes = classes;
    pjd_nn_with_team(p, run_steps, &r);
    return r.status;
}

void pjd_nn_plan_stats(const pjd_nn_plan *p, size_t *arena_bytes, size_t *weight_bytes)
{
    if (arena_bytes)
        *arena_bytes = p->arena_bytes;
    if (weight_bytes)
        *weight_bytes = p->weight_bytes;
}

size_t pjd_nn_plan_layers(const pjd_nn_plan *p)
{
    return p->step_count;
}

const char *pjd_nn_plan_layer(const pjd_nn_plan *p, size_t i, double *seconds)
{
    if (i >= p->step_count)
        return NULL;
    if (seconds)
        *seconds = p->steps[i].seconds;
    return p->steps[i].name;
}
