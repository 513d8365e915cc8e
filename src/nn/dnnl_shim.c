/* SPDX-License-Identifier: MIT */
#include "nn/dnnl_shim.h"

#ifdef PJD_HAVE_ONEDNN
#include <dnnl.h>
#include <omp.h>
#include <string.h>

struct pjd_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

struct pjd_dnnl_conv {
    dnnl_primitive_t prim;
    dnnl_memory_t src, weight, bias, dst, scratch;
    float *weight_data, *bias_data, *scratch_data;
};

static pjd_status failed(pjd_error *err, const char *what, dnnl_status_t st)
{
    return pjd_error_set(err, st == dnnl_out_of_memory ? PJD_ERR_NOMEM : PJD_ERR_BACKEND, "oneDNN: %s failed with %d",
                         what, (int)st);
}

pjd_status pjd_dnnl_create(pjd_dnnl **out, pjd_error *err)
{
    pjd_dnnl *d = pjd_alloc_zero(1, sizeof *d);
    dnnl_status_t st;

    *out = NULL;
    if (!d)
        return pjd_error_nomem(err, "oneDNN", sizeof *d);
    st = dnnl_engine_create(&d->engine, dnnl_cpu, 0);
    if (st == dnnl_success)
        st = dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags);
    if (st != dnnl_success) {
        pjd_dnnl_free(d);
        return failed(err, "creating an engine", st);
    }
    *out = d;
    return PJD_OK;
}

void pjd_dnnl_free(pjd_dnnl *d)
{
    if (!d)
        return;
    if (d->stream)
        dnnl_stream_destroy(d->stream);
    if (d->engine)
        dnnl_engine_destroy(d->engine);
    pjd_free(d);
}

/* ---- the two versions: memory descriptors by value in 2.x, handles in 3.x ---- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_t;
static const_dnnl_memory_desc_t query_md(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}
#define MD_IN(x) (x)
static size_t md_size(const_dnnl_memory_desc_t md)
{
    return dnnl_memory_desc_get_size(md);
}
typedef const_dnnl_memory_desc_t md_ref;

static dnnl_status_t md_strided(md_t *md, int n, const dnnl_dims_t dims, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(md, n, dims, dnnl_f32, strides);
}

static dnnl_status_t md_any(md_t *md, int n, const dnnl_dims_t dims)
{
    return dnnl_memory_desc_create_with_tag(md, n, dims, dnnl_f32, dnnl_format_tag_any);
}

static void md_drop(md_t *md)
{
    if (*md)
        dnnl_memory_desc_destroy(*md);
}
#else
typedef dnnl_memory_desc_t md_t;
typedef const dnnl_memory_desc_t *md_ref;
#define MD_IN(x) (&(x))
static md_ref query_md(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}
static size_t md_size(md_ref md)
{
    return dnnl_memory_desc_get_size(md);
}

static dnnl_status_t md_strided(md_t *md, int n, const dnnl_dims_t dims, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(md, n, dims, dnnl_f32, strides);
}

static dnnl_status_t md_any(md_t *md, int n, const dnnl_dims_t dims)
{
    return dnnl_memory_desc_init_by_tag(md, n, dims, dnnl_f32, dnnl_format_tag_any);
}

static void md_drop(md_t *md)
{
    (void)md;
}
#endif

typedef struct conv_mds {
    md_t src, weight, weight_plain, bias, dst;
} conv_mds;

static dnnl_status_t describe(const pjd_dnnl_conv_desc *d, conv_mds *m)
{
    dnnl_dim_t ic = (dnnl_dim_t)d->ic, oc = (dnnl_dim_t)d->oc, kh = (dnnl_dim_t)d->kh, kw = (dnnl_dim_t)d->kw;
    dnnl_dim_t sl = (dnnl_dim_t)d->src_ld, dl = (dnnl_dim_t)d->dst_ld, ih = (dnnl_dim_t)d->ih, iw = (dnnl_dim_t)d->iw;
    dnnl_dim_t oh = (dnnl_dim_t)d->oh, ow = (dnnl_dim_t)d->ow, all = (dnnl_dim_t)d->ic_total;
    dnnl_dims_t src = {(dnnl_dim_t)d->batch, ic, ih, iw}, src_strides = {ih * iw * sl, 1, iw * sl, sl};
    dnnl_dims_t dst = {(dnnl_dim_t)d->batch, oc, oh, ow}, dst_strides = {oh * ow * dl, 1, ow * dl, dl};
    dnnl_dims_t w = {oc, ic, kh, kw}, w_strides = {all * kh * kw, kh * kw, kw, 1}, b = {oc}, b_strides = {1};
    dnnl_status_t st = md_strided(&m->src, 4, src, src_strides);

    st = st == dnnl_success ? md_strided(&m->dst, 4, dst, dst_strides) : st;
    st = st == dnnl_success ? md_any(&m->weight, 4, w) : st;
    st = st == dnnl_success ? md_strided(&m->weight_plain, 4, w, w_strides) : st;
    return st == dnnl_success ? md_strided(&m->bias, 1, b, b_strides) : st;
}

static dnnl_status_t make_pd(pjd_dnnl *e, const pjd_dnnl_conv_desc *d, const conv_mds *m, dnnl_primitive_desc_t *pd)
{
    dnnl_dims_t strides = {(dnnl_dim_t)d->stride_h, (dnnl_dim_t)d->stride_w};
    dnnl_dims_t before = {(dnnl_dim_t)d->pad_top, (dnnl_dim_t)d->pad_left}, after;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st;

    /* oneDNN checks that input, padding and output agree: what the output does not use counts as negative padding */
    after[0] = (dnnl_dim_t)((d->oh - 1) * d->stride_h + d->kh) - (dnnl_dim_t)d->ih - before[0];
    after[1] = (dnnl_dim_t)((d->ow - 1) * d->stride_w + d->kw) - (dnnl_dim_t)d->iw - before[1];
    st = dnnl_primitive_attr_create(&attr);
    st = st == dnnl_success ? dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) : st;
    st = st == dnnl_success ? dnnl_post_ops_create(&ops) : st;
#if DNNL_VERSION_MAJOR >= 3
    if (st == dnnl_success && d->accumulate)
        st = dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32);
    st = st == dnnl_success ? dnnl_primitive_attr_set_post_ops(attr, ops) : st;
    if (st == dnnl_success) {
        dnnl_dims_t dilates = {0, 0};

        st = dnnl_convolution_forward_primitive_desc_create(
            pd, e->engine, dnnl_forward_inference, dnnl_convolution_direct, m->src, m->weight, d->bias ? m->bias : NULL,
            m->dst, strides, dilates, before, after, attr);
    }
#else
    if (st == dnnl_success && d->accumulate)
        st = dnnl_post_ops_append_sum(ops, 1.0f);
    st = st == dnnl_success ? dnnl_primitive_attr_set_post_ops(attr, ops) : st;
    if (st == dnnl_success) {
        dnnl_convolution_desc_t cd;

        st = dnnl_convolution_forward_desc_init(&cd, dnnl_forward_inference, dnnl_convolution_direct, &m->src,
                                                &m->weight, d->bias ? &m->bias : NULL, &m->dst, strides, before, after);
        st = st == dnnl_success ? dnnl_primitive_desc_create(pd, &cd, attr, e->engine, NULL) : st;
    }
#endif
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return st;
}

/* Weights into the format the primitive wants. */
static dnnl_status_t pack(pjd_dnnl *e, const pjd_dnnl_conv_desc *d, conv_mds *m, md_ref want, pjd_dnnl_conv *c)
{
    float *plain = (float *)(d->weight + d->ic_first * d->kh * d->kw); /* only read */
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t prim = NULL;
    dnnl_exec_arg_t args[2];
    dnnl_status_t st = dnnl_memory_create(&from, MD_IN(m->weight_plain), e->engine, plain);

    st = st == dnnl_success ? dnnl_memory_create(&c->weight, want, e->engine, c->weight_data) : st;
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&pd, MD_IN(m->weight_plain), e->engine, want, e->engine, NULL);
    st = st == dnnl_success ? dnnl_primitive_create(&prim, pd) : st;
    if (st == dnnl_success) {
        args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, from};
        args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, c->weight};
        st = dnnl_primitive_execute(prim, e->stream, 2, args);
        st = st == dnnl_success ? dnnl_stream_wait(e->stream) : st;
    }
    if (prim)
        dnnl_primitive_destroy(prim);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (from)
        dnnl_memory_destroy(from);
    return st;
}

static pjd_status build(pjd_dnnl *e, const pjd_dnnl_conv_desc *d, conv_mds *m, dnnl_primitive_desc_t *pd,
                        pjd_dnnl_conv *c, size_t *bytes, pjd_error *err)
{
    size_t scratch, packed;
    dnnl_status_t st = describe(d, m);

    st = st == dnnl_success ? make_pd(e, d, m, pd) : st;
    if (st != dnnl_success)
        return failed(err, "planning a convolution", st);
    packed = md_size(query_md(*pd, dnnl_query_weights_md));
    scratch = md_size(query_md(*pd, dnnl_query_scratchpad_md));
    c->weight_data = pjd_alloc(packed, 1);
    c->scratch_data = pjd_alloc(scratch, 1);
    c->bias_data = d->bias ? pjd_alloc(d->oc, sizeof(float)) : NULL;
    if (!c->weight_data || !c->scratch_data || (d->bias && !c->bias_data))
        return pjd_error_nomem(err, "oneDNN", packed + scratch);
    if (d->bias)
        memcpy(c->bias_data, d->bias, d->oc * sizeof(float));
    *bytes = packed + scratch;
    st = pack(e, d, m, query_md(*pd, dnnl_query_weights_md), c);
    st = st == dnnl_success ? dnnl_primitive_create(&c->prim, *pd) : st;
    st = st == dnnl_success ? dnnl_memory_create(&c->src, MD_IN(m->src), e->engine, (float *)d->src) : st;
    st = st == dnnl_success ? dnnl_memory_create(&c->dst, MD_IN(m->dst), e->engine, d->dst) : st;
    if (st == dnnl_success && d->bias)
        st = dnnl_memory_create(&c->bias, MD_IN(m->bias), e->engine, c->bias_data);
    if (st == dnnl_success && scratch > 0)
        st = dnnl_memory_create(&c->scratch, query_md(*pd, dnnl_query_scratchpad_md), e->engine, c->scratch_data);
    return st == dnnl_success ? PJD_OK : failed(err, "making a convolution", st);
}

pjd_status pjd_dnnl_conv_create(pjd_dnnl *e, const pjd_dnnl_conv_desc *d, pjd_dnnl_conv **out, size_t *bytes,
                                pjd_error *err)
{
    int before = omp_get_max_threads();
    pjd_dnnl_conv *c = pjd_alloc_zero(1, sizeof *c);
    dnnl_primitive_desc_t pd = NULL;
    conv_mds m;
    pjd_status st;

    *out = NULL;
    if (!c)
        return pjd_error_nomem(err, "oneDNN", sizeof *c);
    memset(&m, 0, sizeof m);
    omp_set_num_threads(d->threads); /* blocking is chosen for that many */
    st = build(e, d, &m, &pd, c, bytes, err);
    omp_set_num_threads(before);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    md_drop(&m.src);
    md_drop(&m.weight);
    md_drop(&m.weight_plain);
    md_drop(&m.bias);
    md_drop(&m.dst);
    if (st != PJD_OK) {
        pjd_dnnl_conv_free(c);
        return st;
    }
    *out = c;
    return PJD_OK;
}

pjd_status pjd_dnnl_conv_run(pjd_dnnl *e, pjd_dnnl_conv *c, pjd_error *err)
{
    dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, c->src}, {DNNL_ARG_WEIGHTS, c->weight}, {DNNL_ARG_DST, c->dst}};
    int n = 3;
    dnnl_status_t st;

    if (c->bias)
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, c->bias};
    if (c->scratch)
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, c->scratch};
    st = dnnl_primitive_execute(c->prim, e->stream, n, args);
    st = st == dnnl_success ? dnnl_stream_wait(e->stream) : st;
    return st == dnnl_success ? PJD_OK : failed(err, "a convolution", st);
}

void pjd_dnnl_conv_free(pjd_dnnl_conv *c)
{
    dnnl_memory_t memories[] = {c ? c->src : NULL, c ? c->weight : NULL, c ? c->bias : NULL, c ? c->dst : NULL,
                                c ? c->scratch : NULL};

    if (!c)
        return;
    for (size_t i = 0; i < PJD_COUNTOF(memories); i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (c->prim)
        dnnl_primitive_destroy(c->prim);
    pjd_free(c->weight_data);
    pjd_free(c->bias_data);
    pjd_free(c->scratch_data);
    pjd_free(c);
}
#endif
