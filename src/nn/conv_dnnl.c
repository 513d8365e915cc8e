/* SPDX-License-Identifier: MIT */
/* Convolution by oneDNN: one primitive a piece of the input, the second and further ones add to the first. */
#include "nn/conv.h"
#include "nn/dnnl_shim.h"

#ifdef PJD_HAVE_ONEDNN
#include <omp.h>
#include <string.h>

typedef struct dnnl_priv {
    nn_conv_head head;
    size_t count;
    pjd_dnnl_conv *conv[NN_SEGS];
} dnnl_priv;

static bool can(const nn_conv_case *c)
{
    /* A few rows are a product with a vector, which our own loops do as well without a primitive. */
    return c->batch * pjd_nn_positions(&c->out) >= 16;
}

static double cost(const nn_conv_case *c)
{
    return c->opt.backend == PJD_BACKEND_ONEDNN ? 0.0 : 1e300;
}

static size_t scratch(const nn_conv_case *c)
{
    size_t n;

    if (!c->r->up)
        return 0;
    return pjd_mul(c->batch * pjd_nn_positions(&c->in), 4 * c->in.c * sizeof(float), &n) ? n : SIZE_MAX;
}

static size_t weights(const nn_conv_case *c)
{
    return (c->out.c * c->in.c * c->r->kh * c->r->kw + c->out.c) * sizeof(float);
}

static pjd_status prepare_piece(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, size_t piece, const float *src,
                                size_t ic_first, pjd_error *err)
{
    dnnl_priv *d = s->priv;
    const nn_rec *r = c->r;
    pjd_dnnl_conv_desc desc = {.batch = c->batch,
                               .ic = s->in[NN_X].seg[piece].c,
                               .ih = c->in.h << r->up,
                               .iw = c->in.w << r->up,
                               .oc = c->out.c,
                               .oh = c->out.h,
                               .ow = c->out.w,
                               .kh = r->kh,
                               .kw = r->kw,
                               .stride_h = r->stride_h,
                               .stride_w = r->stride_w,
                               .pad_top = r->pad_top,
                               .pad_left = r->pad_left,
                               .src_ld = s->in[NN_X].seg[piece].ld,
                               .dst_ld = s->out.seg[0].ld,
                               .weight = r->weight,
                               .ic_total = c->in.c,
                               .ic_first = ic_first,
                               .bias = piece == 0 ? r->bias : NULL,
                               .accumulate = piece > 0 || s->in[NN_RESIDUAL].segs > 0,
                               .src = src,
                               .dst = s->out.seg[0].p,
                               .threads = p->threads};
    size_t bytes = 0;
    pjd_status st = pjd_dnnl_conv_create(p->dnnl, &desc, &d->conv[piece], &bytes, err);

    p->weight_bytes += bytes;
    d->count += st == PJD_OK;
    return st;
}

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err)
{
    dnnl_priv *d = pjd_alloc_zero(1, sizeof *d);
    const float *up = s->scratch;
    pjd_status st = PJD_OK;
    size_t ic = 0;

    s->priv = d;
    if (!d)
        return pjd_error_nomem(err, "conv", sizeof *d);
    d->head.way = &pjd_nn_conv_dnnl;
    if (!p->dnnl)
        st = pjd_dnnl_create(&p->dnnl, err);
    for (size_t i = 0; i < s->in[NN_X].segs && st == PJD_OK; i++) {
        const struct nn_seg *g = &s->in[NN_X].seg[i];

        st = prepare_piece(p, s, c, i, c->r->up ? up : g->p, ic, err);
        ic += g->c;
        up += 4 * c->batch * pjd_nn_positions(&c->in) * g->c;
    }
    return st;
}

static void clear(nn_step *s)
{
    dnnl_priv *d = s->priv;

    for (size_t i = 0; i < d->count; i++)
        pjd_dnnl_conv_free(d->conv[i]);
}

typedef struct rows_job {
    pjd_nn_plan *p;
    nn_step *s;
} rows_job;

/* One row of one item, doubled into the scratch, piece after piece. */
static void up_row(void *ctx, size_t row, int thread)
{
    const rows_job *j = ctx;
    const nn_tensor *x = &j->s->in[NN_X];
    float *out = j->s->scratch;

    (void)thread;
    for (size_t i = 0; i < x->segs; i++) {
        const struct nn_seg *g = &x->seg[i];
        size_t line = 2 * x->s.w * g->c;
        float *o = out + 2 * row * line;

        for (size_t q = 0; q < x->s.w; q++)
            for (size_t k = 0; k < 2; k++)
                memcpy(o + (2 * q + k) * g->c, g->p + (row * x->s.w + q) * g->ld, g->c * sizeof(float));
        memcpy(o + line, o, line * sizeof(float));
        out += 4 * j->p->batch * pjd_nn_positions(&x->s) * g->c;
    }
}

/* What the primitive does not do: the vector an item, the activation. One row of the output. */
static void finish_row(void *ctx, size_t row, int thread)
{
    const rows_job *j = ctx;
    nn_step *s = j->s;
    size_t c = s->out.s.c, item = row / s->out.s.h;
    float *out = s->out.seg[0].p + row * s->out.s.w * c;
    const float *b = s->in[NN_BIAS2].segs ? s->in[NN_BIAS2].seg[0].p + item * c : NULL;

    (void)thread;
    for (size_t q = 0; b && q < s->out.s.w; q++)
        for (size_t k = 0; k < c; k++)
            out[q * c + k] += b[k];
    if (s->rec.act != PJD_ACT_NONE)
        j->p->kernels->act((pjd_kact)s->rec.act, s->out.s.w * c, out, out);
}

static void copy_row(void *ctx, size_t row, int thread)
{
    const rows_job *j = ctx;
    size_t n = j->s->out.s.w * j->s->out.s.c;

    (void)thread;
    memcpy(j->s->out.seg[0].p + row * n, j->s->in[NN_RESIDUAL].seg[0].p + row * n, n * sizeof(float));
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    const dnnl_priv *d = s->priv;
    rows_job j = {p, s};
    const nn_tensor *res = &s->in[NN_RESIDUAL];
    int before = omp_get_max_threads();
    pjd_status st = PJD_OK;

    if (s->rec.up)
        pjd_nn_parallel(p, p->threads, p->batch * s->in[NN_X].s.h, up_row, &j);
    if (res->segs && res->seg[0].p != s->out.seg[0].p)
        pjd_nn_parallel(p, p->threads, p->batch * s->out.s.h, copy_row, &j);
    omp_set_num_threads(p->threads);
    for (size_t i = 0; i < d->count && st == PJD_OK; i++)
        st = pjd_dnnl_conv_run(p->dnnl, d->conv[i], err);
    omp_set_num_threads(before);
    if (st == PJD_OK && (s->in[NN_BIAS2].segs || s->rec.act != PJD_ACT_NONE))
        pjd_nn_parallel(p, p->threads, p->batch * s->out.s.h, finish_row, &j);
    return st;
}

const nn_conv_way pjd_nn_conv_dnnl = {.name = "onednn",
                                      .rate = NN_RATE_ONEDNN,
                                      .can = can,
                                      .cost = cost,
                                      .scratch = scratch,
                                      .weights = weights,
                                      .prepare = prepare,
                                      .run = run,
                                      .clear = clear};
#endif
