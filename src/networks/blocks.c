/* SPDX-License-Identifier: MIT */
#include "networks/blocks.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pjd_blk_start(pjd_blk *k, const char *who, const pjd_blk_names *names, pjd_net_tensors *list, pjd_nn_builder *b)
{
    memset(k, 0, sizeof *k);
    k->who = who;
    k->names = names;
    k->list = list;
    k->b = b;
    k->shrink = 1;
    k->emb = PJD_BLK_NONE;
}

void pjd_blk_fail(pjd_blk *k, pjd_status st, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    if (k->st != PJD_OK)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->st = pjd_error_set(&k->err, st, "%s: %s", k->who, text);
}

pjd_status pjd_blk_check(pjd_blk *k, const pjd_weights *w, const char *const *ignored, pjd_error *err)
{
    if (k->st != PJD_OK)
        return pjd_error_set(err, k->st, "%s", k->err.text);
    return pjd_net_tensors_check(k->list, k->who, w, ignored, err);
}

pjd_blk_key pjd_blk_keyf(const char *fmt, ...)
{
    pjd_blk_key key;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(key.text, sizeof key.text, fmt, ap);
    va_end(ap);
    return key;
}

/* ---- weights ---- */

/* "prefix.name.suffix", for both spellings of the name. */
static void full_name(char *buf, size_t size, const char *prefix, const char *name, const char *suffix)
{
    const char *bar = strchr(name, '|'), *dot = *prefix ? "." : "";

    if (bar)
        snprintf(buf, size, "%s%s%.*s.%s|%s%s%s.%s", prefix, dot, (int)(bar - name), name, suffix, prefix, dot, bar + 1,
                 suffix);
    else
        snprintf(buf, size, "%s%s%s.%s", prefix, dot, name, suffix);
}

/* The next weight: listed when there is no builder, else handed out. */
static const float *take(pjd_blk *k, const pjd_net_weight *w)
{
    if (k->st != PJD_OK)
        return NULL;
    if (!k->b) {
        k->st = pjd_net_tensors_expect(k->list, w, &k->err);
        return NULL;
    }
    return pjd_net_tensors_data(k->list, k->next++);
}

static const float *take_one(pjd_blk *k, const char *prefix, const char *name, const char *suffix, pjd_shape shape,
                             bool loose)
{
    char key[PJD_NET_NAME_MAX];

    full_name(key, sizeof key, prefix, name, suffix);
    return take(k, &(pjd_net_weight){.names = {key}, .parts = 1, .shape = shape, .loose = loose});
}

static pjd_shape shape1(size_t a)
{
    return (pjd_shape){.rank = 1, .dim = {a}};
}

static pjd_shape shape2(size_t a, size_t b)
{
    return (pjd_shape){.rank = 2, .dim = {a, b}};
}

/* Nothing to record: listing, or after an error. */
static bool idle(const pjd_blk *k)
{
    return k->st != PJD_OK || !k->b;
}

bool pjd_blk_idle(const pjd_blk *k)
{
    return idle(k);
}

const float *pjd_blk_take(pjd_blk *k, const char *prefix, const char *name, const char *suffix, pjd_shape shape,
                          bool buffer)
{
    char key[PJD_NET_NAME_MAX];

    full_name(key, sizeof key, prefix, name, suffix);
    return take(k, &(pjd_net_weight){.names = {key}, .parts = 1, .shape = shape, .buffer = buffer});
}

/* ---- layers ---- */

pjd_blk_val pjd_blk_conv(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, size_t kernel,
                         pjd_blk_how how, pjd_blk_val residual)
{
    size_t before = how == PJD_BLK_DOWN_RB ? 0 : kernel / 2;
    pjd_nn_conv p = {.out = out,
                     .kh = kernel,
                     .kw = kernel,
                     .stride = how == PJD_BLK_DOWN || how == PJD_BLK_DOWN_RB ? 2 : 1,
                     .pad_top = before,
                     .pad_left = before,
                     .pad_bottom = kernel / 2,
                     .pad_right = kernel / 2,
                     .upsample2 = how == PJD_BLK_UP,
                     .residual = residual.v};

    p.weight = take_one(k, prefix, name, "weight", (pjd_shape){.rank = 4, .dim = {out, x.c, kernel, kernel}}, false);
    p.bias = take_one(k, prefix, name, "bias", shape1(out), false);
    if (idle(k))
        return (pjd_blk_val){PJD_NN_NONE, out};
    return (pjd_blk_val){pjd_nn_conv2d(k->b, x.v, &p), out};
}

pjd_blk_val pjd_blk_norm(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, pjd_blk_val modulation,
                         pjd_act act)
{
    const float *gamma, *beta;
    size_t groups = k->per_group && x.c / k->per_group < k->groups ? x.c / k->per_group : k->groups;

    if (groups == 0 || x.c % groups != 0)
        pjd_blk_fail(k, PJD_ERR_MODEL, "%s%s%s: %zu groups do not divide %zu channels", prefix, *prefix ? "." : "",
                     name, groups, x.c);
    gamma = take_one(k, prefix, name, "weight", shape1(x.c), false);
    beta = take_one(k, prefix, name, "bias", shape1(x.c), false);
    if (idle(k))
        return x;
    return (pjd_blk_val){pjd_nn_group_norm(k->b, x.v, groups, k->eps, gamma, beta, modulation.v, act), x.c};
}

static pjd_blk_val linear(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, pjd_act post)
{
    const float *weight = take_one(k, prefix, name, "weight", shape2(out, x.c), true);
    const float *bias = take_one(k, prefix, name, "bias", shape1(out), false);

    if (idle(k))
        return (pjd_blk_val){PJD_NN_NONE, out};
    return (pjd_blk_val){pjd_nn_linear(k->b, x.v, weight, bias, out, PJD_ACT_NONE, post), out};
}

pjd_blk_val pjd_blk_linear(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, pjd_act post)
{
    return linear(k, x, prefix, name, out, post);
}

void pjd_blk_embed(pjd_blk *k, const pjd_blk_time *t)
{
    pjd_blk_val e = {PJD_NN_NONE, t->c};

    if (!idle(k))
        e.v = pjd_nn_time_embedding(k->b, t->c, t->shift, t->flip);
    e = linear(k, e, "", t->linear1, t->width, PJD_ACT_SILU);
    e = linear(k, e, "", t->linear2, t->width, t->classes ? PJD_ACT_NONE : PJD_ACT_SILU);
    if (t->classes) {
        const float *table = take_one(k, "", t->class_table, "weight", shape2(t->classes, t->width), false);

        if (!idle(k)) {
            e.v = pjd_nn_add(k->b, e.v, pjd_nn_class_embedding(k->b, table, t->classes, t->width));
            e.v = pjd_nn_activation(k->b, e.v, PJD_ACT_SILU);
        }
    }
    k->emb = e;
}

pjd_blk_val pjd_blk_halve(pjd_blk *k, pjd_blk_val x)
{
    return idle(k) ? x : (pjd_blk_val){pjd_nn_avgpool2(k->b, x.v), x.c};
}

pjd_blk_val pjd_blk_double(pjd_blk *k, pjd_blk_val x)
{
    return idle(k) ? x : (pjd_blk_val){pjd_nn_upsample2(k->b, x.v), x.c};
}

pjd_blk_val pjd_blk_resampled(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, pjd_blk_resample how)
{
    const float *filter = NULL;

    if (how == PJD_BLK_KEEP)
        return x;
    if (k->taps)
        filter = pjd_blk_take(k, prefix, name, "resample_filter",
                              (pjd_shape){.rank = 4, .dim = {1, 1, k->taps, k->taps}}, true);
    if (k->taps <= 2) /* the mean, or each value repeated: whoever sets taps has seen that it is */
        return how == PJD_BLK_HALVE ? pjd_blk_halve(k, x) : pjd_blk_double(k, x);
    if (idle(k))
        return x;
    return (pjd_blk_val){pjd_nn_fir(k->b, x.v, filter, k->taps, k->taps / 2 - 1, how == PJD_BLK_DOUBLE), x.c};
}

static pjd_blk_val shrink(pjd_blk *k, pjd_blk_val x)
{
    return idle(k) || k->shrink == 1 ? x : (pjd_blk_val){pjd_nn_scale(k->b, x.v, k->shrink), x.c};
}

/* ---- blocks ---- */

pjd_blk_val pjd_blk_residual(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t out, pjd_blk_resample how)
{
    const pjd_blk_names *n = k->names;
    pjd_blk_val h = pjd_blk_norm(k, x, prefix, n->norm1, PJD_BLK_NONE, PJD_ACT_SILU), e;

    h = pjd_blk_resampled(k, h, prefix, n->conv1, how); /* doubling without a filter is merged into the convolution */
    x = pjd_blk_resampled(k, x, prefix, n->shortcut, how);
    h = pjd_blk_conv(k, h, prefix, n->conv1, out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    e = linear(k, k->emb, prefix, n->emb, k->scale_shift ? 2 * out : out, PJD_ACT_NONE);
    if (!k->scale_shift) {
        if (!idle(k))
            h.v = pjd_nn_add(k->b, h.v, e.v);
        e = PJD_BLK_NONE;
    }
    h = pjd_blk_norm(k, h, prefix, n->norm2, e, PJD_ACT_SILU);
    if (x.c != out || (how != PJD_BLK_KEEP && k->project_resampled))
        x = pjd_blk_conv(k, x, prefix, n->shortcut, out, 1, PJD_BLK_SAME, PJD_BLK_NONE);
    h = pjd_blk_conv(k, h, prefix, n->conv2, out, 3, PJD_BLK_SAME, x);
    return shrink(k, h);
}

/* q, k, v as one matrix of 3c rows in the order q | k | v, each part head after head. */
static pjd_blk_val fused_qkv(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t heads, pjd_blk_order order)
{
    const pjd_blk_names *n = k->names;
    char a[PJD_NET_NAME_MAX], b[PJD_NET_NAME_MAX], c[PJD_NET_NAME_MAX];
    const char *names[3] = {n->qkv ? n->qkv : n->q, n->k, n->v};
    pjd_net_weight w = {.names = {a, b, c}, .parts = n->qkv ? 1 : 3, .loose = true, .heads = 1};
    const float *data[2];

    if (n->qkv && order == PJD_BLK_HEADS_FIRST)
        w.heads = heads;
    if (n->qkv && order == PJD_BLK_PARTS_LAST) {
        w.heads = heads;
        w.interleaved = true;
    }
    for (int bias = 0; bias < 2; bias++) {
        size_t rows = n->qkv ? 3 * x.c : x.c;

        full_name(a, sizeof a, prefix, names[0], bias ? "bias" : "weight");
        if (!n->qkv) {
            full_name(b, sizeof b, prefix, names[1], bias ? "bias" : "weight");
            full_name(c, sizeof c, prefix, names[2], bias ? "bias" : "weight");
        }
        w.shape = bias ? shape1(rows) : (pjd_shape){.rank = n->attention_rank, .dim = {rows, x.c, 1, 1}};
        for (size_t i = w.shape.rank; i < PJD_MAX_RANK; i++)
            w.shape.dim[i] = 0;
        data[bias] = take(k, &w);
    }
    if (idle(k))
        return (pjd_blk_val){PJD_NN_NONE, 3 * x.c};
    return (pjd_blk_val){pjd_nn_linear(k->b, x.v, data[0], data[1], 3 * x.c, PJD_ACT_NONE, PJD_ACT_NONE), 3 * x.c};
}

static pjd_blk_val attend(pjd_blk *k, pjd_blk_val qkv, size_t c, size_t heads)
{
    size_t dim = c / heads;
    pjd_nn_attn p = {.q = qkv.v,
                     .k = qkv.v,
                     .v = qkv.v,
                     .k_offset = c,
                     .v_offset = 2 * c,
                     .heads = heads,
                     .head_dim = dim,
                     .scale = 1 / sqrt((double)dim)};

    return idle(k) ? (pjd_blk_val){PJD_NN_NONE, c} : (pjd_blk_val){pjd_nn_attention(k->b, &p), c};
}

/* The projection back, a 1x1 convolution whatever the rank of its weight, which adds the block's input. */
static pjd_blk_val project(pjd_blk *k, pjd_blk_val a, const char *prefix, pjd_blk_val residual)
{
    pjd_shape shape = {.rank = k->names->attention_rank, .dim = {a.c, a.c}};
    pjd_nn_conv p = {.out = a.c, .kh = 1, .kw = 1, .stride = 1, .residual = residual.v};

    for (size_t i = 2; i < shape.rank; i++)
        shape.dim[i] = 1;
    p.weight = take_one(k, prefix, k->names->proj, "weight", shape, true);
    p.bias = take_one(k, prefix, k->names->proj, "bias", shape1(a.c), false);
    return idle(k) ? a : (pjd_blk_val){pjd_nn_conv2d(k->b, a.v, &p), a.c};
}

pjd_blk_val pjd_blk_attention(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t heads, pjd_blk_order order,
                              bool normed)
{
    pjd_blk_val h = x;

    if (heads == 0 || x.c % heads != 0) {
        pjd_blk_fail(k, PJD_ERR_MODEL, "%s: %zu channels do not split into %zu heads", prefix, x.c, heads);
        return x;
    }
    if (normed)
        h = pjd_blk_norm(k, h, prefix, k->names->norm, PJD_BLK_NONE, PJD_ACT_NONE);
    h = attend(k, fused_qkv(k, h, prefix, heads, order), x.c, heads);
    return shrink(k, project(k, h, prefix, x));
}

/* ---- skips ---- */

void pjd_blk_push(pjd_blk *k, pjd_blk_val x)
{
    if (k->depth == PJD_BLK_MAX_SKIPS)
        pjd_blk_fail(k, PJD_ERR_MODEL, "more than %d skip connections", PJD_BLK_MAX_SKIPS);
    else
        k->skips[k->depth++] = x;
}

pjd_blk_val pjd_blk_pop(pjd_blk *k, pjd_blk_val x)
{
    pjd_blk_val s;

    if (k->depth == 0) {
        pjd_blk_fail(k, PJD_ERR_MODEL, "more blocks above than below");
        return x;
    }
    s = k->skips[--k->depth];
    return idle(k) ? (pjd_blk_val){PJD_NN_NONE, x.c + s.c} : (pjd_blk_val){pjd_nn_concat(k->b, x.v, s.v), x.c + s.c};
}
