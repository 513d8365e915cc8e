/* SPDX-License-Identifier: MIT */
/*
 * The UNet1d of audio-diffusion-pytorch 0.0.43 with its EDM preconditioning, as published by multi-source-diffusion-models
 * (Mariani et al. 2023): music, one stem a channel. Shapes tell most hyper-parameters; the rest comes from the Lightning
 * checkpoint's own, a config.json, or that library's published settings.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_unet1d;

#define WHO "audio-diffusion UNet1d"
#define NORM_EPS 1e-5

typedef struct unet1d_params {
    pjd_net_schedule unused; /* hyper.h expects it first; this network knows no betas */
    long in_channels, channels, patch_factor, patch_blocks, resnet_groups, kernel_multiplier_downsample;
    char *multipliers, *factors, *num_blocks, *attentions;
    long attention_heads, attention_features, attention_multiplier;
    bool use_nearest_upsample, use_skip_scale, use_attention_bottleneck, use_context_time;
    double diffusion_sigma_data, diffusion_dynamic_threshold, sample_rate;
    long window;
    double separate_sigma_min, separate_sigma_max;
    long separate_steps, separate_repeats;
    char *stems;
} unet1d_params;

typedef struct level {
    size_t in, out, factor, blocks;
    bool attention;
} level;

typedef struct unet1d {
    unet1d_params p; /* first: see unet1d_destroy */
    size_t channels, patch, width, levels;
    size_t kernel_multiplier, heads, features, multiplier;
    bool nearest, bottleneck_attention;
    level level[PJD_NET_MAX_LEVELS];
} unet1d;

#define P(field, type_, fallback_, min_, max_, help_)                                                                  \
    {                                                                                                                  \
        .name = #field, .type = (type_), .fallback = (fallback_), .min = (min_), .max = (max_), .unit = "",            \
        .help = (help_), .offset = offsetof(unet1d_params, field)                                                      \
    }
static const pjd_param params[] = {
    P(in_channels, PJD_PARAM_INT, "0", 0, PJD_NET_MAX_CHANNELS, "stems of the network; 0: as the weights say"),
    P(channels, PJD_PARAM_INT, "0", 0, PJD_NET_MAX_CHANNELS, "base width; 0: as the weights say"),
    P(patch_factor, PJD_PARAM_INT, "0", 0, 4096, "samples that become one position; 0: as the weights say"),
    P(patch_blocks, PJD_PARAM_INT, "1", 1, 1, "only 1 is supported"),
    P(resnet_groups, PJD_PARAM_INT, "8", 1, PJD_NET_MAX_CHANNELS, "groups of the group norms"),
    P(kernel_multiplier_downsample, PJD_PARAM_INT, "2", 2, 16,
      "kernel of a downsampling: this times its factor, plus 1"),
    P(multipliers, PJD_PARAM_TEXT, "", 0, 0, "widths of the levels in base widths; empty: as the weights say"),
    P(factors, PJD_PARAM_TEXT, "", 0, 0, "downsampling of the levels; empty: as the weights say"),
    P(num_blocks, PJD_PARAM_TEXT, "", 0, 0, "residual blocks of the levels; empty: as the weights say"),
    P(attentions, PJD_PARAM_TEXT, "", 0, 0, "attention in the levels; empty: as the weights say"),
    P(attention_heads, PJD_PARAM_INT, "8", 1, 1024, "heads of an attention"),
    P(attention_features, PJD_PARAM_INT, "0", 0, 65536, "width of a head; 0: as the weights say"),
    P(attention_multiplier, PJD_PARAM_INT, "0", 0, 64, "width of the feed-forward; 0: as the weights say"),
    P(use_nearest_upsample, PJD_PARAM_BOOL, "false", 0, 0, "nearest instead of transposed convolution"),
    P(use_skip_scale, PJD_PARAM_BOOL, "true", 0, 0, "skip connections are divided by sqrt 2"),
    P(use_attention_bottleneck, PJD_PARAM_BOOL, "true", 0, 0, "attention in the middle"),
    P(use_context_time, PJD_PARAM_BOOL, "true", 0, 0, "only true is supported"),
    P(diffusion_sigma_data, PJD_PARAM_FLOAT, "0.2", 1e-6, 1e6, "standard deviation of the data (EDM)"),
    P(diffusion_dynamic_threshold, PJD_PARAM_FLOAT, "0", 0, 0, "only 0 is supported: estimates are clamped to -1..1"),
    P(sample_rate, PJD_PARAM_FLOAT, "22050", 1, 1e6, "samples a second"),
    P(window, PJD_PARAM_INT, "0", 0, 1L << 30, "samples it was trained on at once; 0: unknown"),
    P(separate_sigma_min, PJD_PARAM_FLOAT, "0", 0, 1e6, "lowest noise level of a separation; 0: the method's"),
    P(separate_sigma_max, PJD_PARAM_FLOAT, "0", 0, 1e6, "highest noise level of a separation; 0: the method's"),
    P(separate_steps, PJD_PARAM_INT, "0", 0, 100000, "noise levels of a separation; 0: the method's"),
    P(separate_repeats, PJD_PARAM_INT, "0", 0, 1000, "network calls a level of a separation; 0: the method's"),
    P(stems, PJD_PARAM_TEXT, "", 0, 0, "names of the channels"),
};

/* The published libraries' names for what is in the file but not used here. */
static const char ignored_keys[] =
    "learning_rate beta1 beta2 kernel_sizes_init diffusion_sigma_distribution diffusion_type resnet_dropout "
    "attention_dropout "
    "out_channels context_channels context_features lr lr_beta1 lr_beta2 lr_eps lr_weight_decay";

static const pjd_blk_names names = {.norm1 = "norm1"}; /* the blocks here are this file's own */

/* ---- weights of the walk: as in blocks.c, with this library's shapes ---- */

static bool idle(const pjd_blk *k)
{
    return k->st != PJD_OK || !k->b;
}

static const float *take(pjd_blk *k, pjd_shape shape, const char *prefix, const char *name)
{
    char key[PJD_NET_NAME_MAX];

    if (k->st != PJD_OK)
        return NULL;
    if (k->b)
        return pjd_net_tensors_data(k->list, k->next++);
    snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", name);
    k->st = pjd_net_tensors_expect(k->list, &(pjd_net_weight){.names = {key}, .parts = 1, .shape = shape}, &k->err);
    return NULL;
}

static pjd_shape dims(size_t rank, size_t a, size_t b, size_t c)
{
    pjd_shape s = {.rank = rank, .dim = {a}};

    if (rank > 1)
        s.dim[1] = b;
    if (rank > 2)
        s.dim[2] = c;
    return s;
}

static const float *take_named(pjd_blk *k, pjd_shape shape, const char *prefix, const char *layer, const char *which)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", layer, which);
    return take(k, shape, prefix, name);
}

/* Convolution with zeros that keep the length (stride 1) or divide it (stride > 1). */
static pjd_blk_val conv(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, size_t kernel,
                        size_t stride, size_t pad, pjd_blk_val residual)
{
    pjd_nn_conv p = {
        .out = out, .kh = 1, .kw = kernel, .stride = stride, .pad_left = pad, .pad_right = pad, .residual = residual.v};

    p.weight = take_named(k, dims(3, out, x.c, kernel), prefix, name, "weight");
    p.bias = take_named(k, dims(1, out, 0, 0), prefix, name, "bias");
    return (pjd_blk_val){idle(k) ? PJD_NN_NONE : pjd_nn_conv2d(k->b, x.v, &p), out};
}

static pjd_blk_val linear(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, pjd_act post)
{
    const float *weight = take_named(k, dims(2, out, x.c, 0), prefix, name, "weight");
    const float *bias = take_named(k, dims(1, out, 0, 0), prefix, name, "bias");

    return (pjd_blk_val){idle(k) ? PJD_NN_NONE : pjd_nn_linear(k->b, x.v, weight, bias, out, PJD_ACT_NONE, post), out};
}

/* No bias; rank 3: a convolution of one tap. Adds residual. */
static pjd_blk_val matrix(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t out, size_t rank,
                          pjd_act post, pjd_blk_val residual)
{
    const float *weight = take(k, dims(rank, out, x.c, 1), prefix, name);
    pjd_nn_conv p = {.weight = weight, .out = out, .kh = 1, .kw = 1, .stride = 1, .residual = residual.v};

    if (idle(k))
        return (pjd_blk_val){PJD_NN_NONE, out};
    if (post != PJD_ACT_NONE)
        return (pjd_blk_val){pjd_nn_linear(k->b, x.v, weight, NULL, out, PJD_ACT_NONE, post), out};
    return (pjd_blk_val){pjd_nn_conv2d(k->b, x.v, &p), out};
}

static pjd_blk_val layer_norm(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t rank)
{
    const float *gain = take(k, rank == 1 ? dims(1, x.c, 0, 0) : dims(3, 1, x.c, 1), prefix, name);

    return idle(k) ? x : (pjd_blk_val){pjd_nn_layer_norm(k->b, x.v, NORM_EPS, gain), x.c};
}

static pjd_blk_val group_norm(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, size_t groups,
                              pjd_blk_val modulation)
{
    const float *gamma, *beta;

    if (groups == 0 || x.c % groups != 0)
        pjd_blk_fail(k, PJD_ERR_MODEL, "%s.%s: %zu groups do not divide %zu channels", prefix, name, groups, x.c);
    gamma = take_named(k, dims(1, x.c, 0, 0), prefix, name, "weight");
    beta = take_named(k, dims(1, x.c, 0, 0), prefix, name, "bias");
    if (idle(k))
        return x;
    return (pjd_blk_val){pjd_nn_group_norm(k->b, x.v, groups, NORM_EPS, gamma, beta, modulation.v, PJD_ACT_SILU), x.c};
}

/* ---- blocks ---- */

/* Linear layers on [t, sin 2 pi f t, cos 2 pi f t]; what the residual blocks take is its SiLU. */
static void embed(pjd_blk *k, const unet1d *d)
{
    size_t half = d->channels / 2, width = 4 * d->channels;
    const float *f = take(k, dims(1, half, 0, 0), "", "to_time.0.0.weights");
    pjd_blk_val e = {PJD_NN_NONE, 2 * half + 1};

    if (!idle(k))
        e.v = pjd_nn_fourier_embedding(k->b, f, half, true);
    e = linear(k, e, "", "to_time.0.1", width, PJD_ACT_GELU);
    e = linear(k, e, "", "to_mapping.0", width, PJD_ACT_GELU);
    e = linear(k, e, "", "to_mapping.2", width, PJD_ACT_GELU);
    if (!idle(k))
        e.v = pjd_nn_activation(k->b, e.v, PJD_ACT_SILU);
    k->emb = e;
}

static pjd_blk_val residual(pjd_blk *k, pjd_blk_val x, const char *prefix, size_t out, size_t groups)
{
    pjd_blk_val h = group_norm(k, x, prefix, "block1.groupnorm", groups, PJD_BLK_NONE), mod;

    h = conv(k, h, prefix, "block1.project", out, 3, 1, 1, PJD_BLK_NONE);
    mod = linear(k, k->emb, prefix, "to_scale_shift.to_scale_shift.1", 2 * out, PJD_ACT_NONE);
    h = group_norm(k, h, prefix, "block2.groupnorm", groups, mod);
    if (x.c != out)
        x = conv(k, x, prefix, "to_out", out, 1, 1, 0, PJD_BLK_NONE);
    return conv(k, h, prefix, "block2.project", out, 3, 1, 1, x);
}

static pjd_blk_val attention(pjd_blk *k, const unet1d *d, pjd_blk_val x, const char *prefix)
{
    size_t width = d->heads * d->features;
    pjd_blk_val h = layer_norm(k, x, prefix, "norm.g", 1);
    pjd_blk_val q = matrix(k, h, prefix, "to_q.weight", width, 2, PJD_ACT_NONE, PJD_BLK_NONE);
    pjd_blk_val kv = matrix(k, h, prefix, "to_kv.weight", 2 * width, 2, PJD_ACT_NONE, PJD_BLK_NONE);
    pjd_nn_attn p = {.q = q.v,
                     .k = kv.v,
                     .v = kv.v,
                     .v_offset = width,
                     .heads = d->heads,
                     .head_dim = d->features,
                     .scale = 1 / sqrt((double)d->features)};

    q.v = idle(k) ? PJD_NN_NONE : pjd_nn_attention(k->b, &p);
    h = matrix(k, q, prefix, "attention.to_out.0.weight", x.c, 2, PJD_ACT_NONE, PJD_BLK_NONE);
    return layer_norm(k, h, prefix, "attention.to_out.1.g", 1);
}

static pjd_blk_val add(pjd_blk *k, pjd_blk_val a, pjd_blk_val b)
{
    return idle(k) ? a : (pjd_blk_val){pjd_nn_add(k->b, a.v, b.v), a.c};
}

static pjd_blk_val transformer(pjd_blk *k, const unet1d *d, pjd_blk_val x, const char *prefix)
{
    char at[96];
    pjd_blk_val h;

    snprintf(at, sizeof at, "%s.attention.fn", prefix);
    x = add(k, attention(k, d, x, at), x);
    h = layer_norm(k, x, prefix, "feed_forward.0.g", 3);
    h = matrix(k, h, prefix, "feed_forward.1.weight", d->multiplier * x.c, 3, PJD_ACT_GELU, PJD_BLK_NONE);
    h = layer_norm(k, h, prefix, "feed_forward.3.g", 3);
    return matrix(k, h, prefix, "feed_forward.4.weight", x.c, 3, PJD_ACT_NONE, x);
}

/* ---- the network ---- */

static pjd_blk_val walk_down(pjd_blk *k, const unet1d *d, pjd_blk_val x)
{
    for (size_t i = 0; i < d->levels; i++) {
        const level *l = &d->level[i];
        pjd_blk_key key = pjd_blk_keyf("downsamples.%zu", i);

        x = conv(k, x, key.text, "downsample", l->out, l->factor * d->kernel_multiplier + 1, l->factor,
                 l->factor * (d->kernel_multiplier / 2), PJD_BLK_NONE);
        for (size_t j = 0; j < l->blocks; j++) {
            x = residual(k, x, pjd_blk_keyf("downsamples.%zu.blocks.%zu", i, j).text, l->out, k->groups);
            pjd_blk_push(k, x);
        }
        if (l->attention) {
            x = transformer(k, d, x, pjd_blk_keyf("downsamples.%zu.transformer", i).text);
            pjd_blk_push(k, x);
        }
    }
    return x;
}

static pjd_blk_val upsample(pjd_blk *k, const unet1d *d, const level *l, pjd_blk_val x, const char *prefix)
{
    const float *weight, *bias;

    if (l->factor == 1)
        return conv(k, x, prefix, "upsample", l->in, 3, 1, 1, PJD_BLK_NONE);
    if (d->nearest) {
        if (!idle(k))
            x.v = pjd_nn_repeat(k->b, x.v, l->factor);
        return conv(k, x, prefix, "upsample.1", l->in, 3, 1, 1, PJD_BLK_NONE);
    }
    weight = take(k, dims(3, x.c, l->in, 2 * l->factor), prefix, "upsample.weight");
    bias = take(k, dims(1, l->in, 0, 0), prefix, "upsample.bias");
    return (pjd_blk_val){idle(k) ? PJD_NN_NONE : pjd_nn_conv_transpose1d(k->b, x.v, weight, bias, l->in, l->factor),
                         l->in};
}

/* The stored value, scaled, behind x. */
static pjd_blk_val pop(pjd_blk *k, const unet1d *d, pjd_blk_val x)
{
    if (!idle(k) && k->depth && d->p.use_skip_scale)
        k->skips[k->depth - 1].v = pjd_nn_scale(k->b, k->skips[k->depth - 1].v, sqrt(0.5));
    return pjd_blk_pop(k, x);
}

static pjd_blk_val walk_up(pjd_blk *k, const unet1d *d, pjd_blk_val x)
{
    for (size_t n = 0; n < d->levels; n++) {
        const level *l = &d->level[d->levels - 1 - n];

        for (size_t j = 0; j < l->blocks + l->attention; j++) {
            x = pop(k, d, x);
            x = residual(k, x, pjd_blk_keyf("upsamples.%zu.blocks.%zu", n, j).text, l->out, k->groups);
        }
        if (l->attention)
            x = transformer(k, d, x, pjd_blk_keyf("upsamples.%zu.transformer", n).text);
        x = upsample(k, d, l, x, pjd_blk_keyf("upsamples.%zu", n).text);
    }
    return x;
}

static pjd_blk_val walk(pjd_blk *k, const unet1d *d, pjd_blk_val x)
{
    size_t stems = x.c, edge = stems < d->patch ? stems : d->patch; /* groups at full rate */
    pjd_blk_val skip;

    k->groups = (size_t)d->p.resnet_groups;
    embed(k, d);
    x = residual(k, x, "to_in.module_list.0.block", d->width / d->patch, edge);
    x.c = d->width;
    if (!idle(k))
        x.v = pjd_nn_fold(k->b, x.v, d->patch);
    skip = x;
    x = walk_down(k, d, x);
    x = residual(k, x, "bottleneck.pre_block", x.c, k->groups);
    if (d->bottleneck_attention)
        x = attention(k, d, x, "bottleneck.attention.fn"); /* nothing is added here, unlike in a level */
    x = residual(k, x, "bottleneck.post_block", x.c, k->groups);
    x = add(k, walk_up(k, d, x), skip);
    x.c = d->width / d->patch;
    if (!idle(k))
        x.v = pjd_nn_unfold(k->b, x.v, d->patch);
    return residual(k, x, "to_out.module_list.0.block", stems, edge);
}

/* ---- opening ---- */

static bool plausible(size_t n, size_t most)
{
    return n >= 1 && n <= most;
}

static pjd_status infer_level(const pjd_weights *w, unet1d *d, size_t i, pjd_error *err)
{
    level *l = &d->level[i];
    size_t kernel = pjd_net_dim(w, 2, "downsamples.%zu.downsample.weight", i), m = d->kernel_multiplier;

    l->out = pjd_net_dim(w, 0, "downsamples.%zu.downsample.weight", i);
    l->in = pjd_net_dim(w, 1, "downsamples.%zu.downsample.weight", i);
    l->factor = kernel ? (kernel - 1) / m : 0;
    while (l->blocks <= PJD_NET_MAX_BLOCKS &&
           pjd_net_find(w, "downsamples.%zu.blocks.%zu.block1.groupnorm.weight", i, l->blocks))
        l->blocks++;
    l->attention = pjd_net_find(w, "downsamples.%zu.transformer.attention.fn.norm.g", i) != NULL;
    if (!plausible(l->out, PJD_NET_MAX_CHANNELS) || !plausible(l->in, PJD_NET_MAX_CHANNELS) || l->factor > 31 ||
        !plausible(l->blocks, PJD_NET_MAX_BLOCKS) || l->factor == 0 || l->factor * m + 1 != kernel || kernel > 63)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": level %zu: %zu to %zu channels in %zu blocks, a kernel of %zu samples for "
                                 "kernel_multiplier_downsample=%zu",
                             i, l->in, l->out, l->blocks, kernel, m);
    return PJD_OK;
}

static pjd_status infer_attention(const pjd_weights *w, unet1d *d, const pjd_hyper *h, pjd_error *err)
{
    size_t width = 0, c = 0, wide = 0;

    d->bottleneck_attention = pjd_net_find(w, "bottleneck.attention.fn.norm.g") != NULL;
    if (d->bottleneck_attention)
        width = pjd_net_dim(w, 0, "bottleneck.attention.fn.to_q.weight");
    for (size_t i = 0; i < d->levels; i++)
        if (d->level[i].attention) {
            width = pjd_net_dim(w, 0, "downsamples.%zu.transformer.attention.fn.to_q.weight", i);
            wide = pjd_net_dim(w, 0, "downsamples.%zu.transformer.feed_forward.1.weight", i);
            c = d->level[i].out;
        }
    d->heads = (size_t)d->p.attention_heads;
    d->features = d->p.attention_features ? (size_t)d->p.attention_features : width / d->heads;
    d->multiplier = c ? wide / c : (size_t)d->p.attention_multiplier;
    if (width && (d->features == 0 || d->heads * d->features != width))
        return pjd_error_set(err, pjd_hyper_blame(h, "attention_heads"),
                             WHO ": %zu heads of %zu do not make the %zu channels of the attention "
                                 "(--model-config attention_heads=...)",
                             d->heads, d->features, width);
    return PJD_OK;
}

static pjd_status infer(const pjd_weights *w, unet1d *d, const pjd_hyper *h, pjd_network *net, pjd_error *err)
{
    size_t narrow = pjd_net_dim(w, 0, "to_in.module_list.0.block.block1.project.weight");
    pjd_status st = PJD_OK;

    d->channels = 2 * pjd_net_dim(w, 0, "to_time.0.0.weights");
    d->kernel_multiplier = (size_t)d->p.kernel_multiplier_downsample;
    net->in_channels = pjd_net_dim(w, 0, "to_in.module_list.0.block.block1.groupnorm.weight");
    net->out_channels = pjd_net_dim(w, 0, "to_out.module_list.0.block.block1.project.weight");
    while (d->levels <= PJD_NET_MAX_LEVELS && pjd_net_find(w, "downsamples.%zu.downsample.weight", d->levels))
        d->levels++;
    if (!plausible(d->channels, PJD_NET_MAX_CHANNELS) || !plausible(net->in_channels, PJD_NET_MAX_CHANNELS) ||
        net->out_channels != net->in_channels || !plausible(d->levels, PJD_NET_MAX_LEVELS) || narrow == 0)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": the shapes do not form a network (%zu levels, %zu channels, %zu stems in, %zu out)",
                             d->levels, d->channels, net->in_channels, net->out_channels);
    for (size_t i = 0; i < d->levels && st == PJD_OK; i++)
        st = infer_level(w, d, i, err);
    if (st != PJD_OK)
        return st;
    d->width = d->level[0].in;
    d->patch = d->width / narrow;
    if (d->patch == 0 || d->patch > 4096 || narrow * d->patch != d->width)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": %zu channels do not become %zu by patching in one block",
                             narrow, d->width);
    for (size_t i = 1; i < d->levels; i++)
        if (d->level[i].in != d->level[i - 1].out)
            return pjd_error_set(err, PJD_ERR_MODEL, WHO ": level %zu takes %zu channels, the one before gives %zu", i,
                                 d->level[i].in, d->level[i - 1].out);
    d->nearest = pjd_net_find(w, "upsamples.0.upsample.1.weight") != NULL;
    return infer_attention(w, d, h, err);
}

/* A hyper-parameter of the file against what the weights say: they must not differ, whoever is right. */
static pjd_status agree(const pjd_hyper *h, const char *key, long said, size_t found, pjd_error *err)
{
    if (said == 0 || (size_t)said == found)
        return PJD_OK;
    return pjd_error_set(err, pjd_hyper_blame(h, key), WHO ": %s=%ld, but the weights are for %zu", key, said, found);
}

static pjd_status check_hyper(const pjd_hyper *h, const unet1d *d, const pjd_network *net, pjd_error *err)
{
    const unet1d_params *p = &d->p;
    pjd_status st = agree(h, "in_channels", p->in_channels, net->in_channels, err);

    if (st == PJD_OK)
        st = agree(h, "channels", p->channels, d->channels, err);
    if (st == PJD_OK)
        st = agree(h, "patch_factor", p->patch_factor, d->patch, err);
    if (st == PJD_OK)
        st = agree(h, "attention_multiplier", p->attention_multiplier, d->multiplier, err);
    if (st == PJD_OK && !p->use_context_time)
        st = pjd_error_set(err, pjd_hyper_blame(h, "use_context_time"),
                           WHO ": use_context_time=false is not supported");
    return st;
}

static pjd_status read_stems(pjd_network *net, const pjd_hyper *h, const char *text, pjd_error *err)
{
    size_t count = 1;

    if (!text || !*text || !strcmp(text, "none"))
        return PJD_OK;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    if (count != net->in_channels)
        return pjd_error_set(err, pjd_hyper_blame(h, "stems"), WHO ": names of %zu stems expected, found \"%.100s\"",
                             net->in_channels, text);
    net->stems = pjd_alloc_zero(count, sizeof *net->stems);
    if (!net->stems)
        return pjd_error_nomem(err, WHO, count * sizeof *net->stems);
    for (size_t i = 0; i < count; i++) {
        size_t n;

        text += strspn(text, " ");
        n = strcspn(text, ",");
        if (n == 0)
            return pjd_error_set(err, pjd_hyper_blame(h, "stems"), WHO ": the name of stem %zu is empty", i + 1);
        net->stems[i] = pjd_strndup(text, n);
        if (!net->stems[i])
            return pjd_error_nomem(err, WHO, n);
        net->stem_count = i + 1;
        text += n + (text[n] == ',');
    }
    return PJD_OK;
}

/* What the shapes told, as lists. */
static pjd_status set_lists(pjd_hyper *h, const unet1d *d, const pjd_network *net, pjd_error *err)
{
    char mult[128] = "", fact[128] = "", blocks[128] = "", att[128] = "";
    size_t m, f = 0, b = 0, a = 0;
    pjd_status st;

    m = (size_t)snprintf(mult, sizeof mult, "%g", (double)d->width / (double)d->channels);
    for (size_t i = 0; i < d->levels; i++) {
        const level *l = &d->level[i];
        const char *comma = i ? "," : "";

        m += (size_t)snprintf(mult + m, sizeof mult - m, ",%g", (double)l->out / (double)d->channels);
        f += (size_t)snprintf(fact + f, sizeof fact - f, "%s%zu", comma, l->factor);
        b += (size_t)snprintf(blocks + b, sizeof blocks - b, "%s%zu", comma, l->blocks);
        a += (size_t)snprintf(att + a, sizeof att - a, "%s%s", comma, l->attention ? "true" : "false");
    }
    st = pjd_hyper_set(h, "inferred", "multipliers", err, "%s", mult);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "factors", err, "%s", fact);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "num_blocks", err, "%s", blocks);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "attentions", err, "%s", att);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "in_channels", err, "%zu", net->in_channels);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "channels", err, "%zu", d->channels);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "patch_factor", err, "%zu", d->patch);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "attention_features", err, "%zu", d->features);
    return st;
}

static pjd_status fill_network(pjd_network *net, const pjd_hyper *h, const unet1d *d, pjd_error *err)
{
    net->sequence = true;
    net->multiple = d->patch;
    for (size_t i = 0; i < d->levels; i++)
        if (!pjd_mul(net->multiple, d->level[i].factor, &net->multiple) || net->multiple > (size_t)1 << 24)
            return pjd_error_set(err, PJD_ERR_MODEL, WHO ": the levels divide the length by too much");
    net->sigma_data = d->p.diffusion_sigma_data;
    net->clip = true;
    net->sigma_scale = 1;
    net->sample_rate = d->p.sample_rate;
    net->window = (size_t)d->p.window;
    net->separate_sigma_min = d->p.separate_sigma_min;
    net->separate_sigma_max = d->p.separate_sigma_max;
    net->separate_steps = (size_t)d->p.separate_steps;
    net->separate_repeats = (size_t)d->p.separate_repeats;
    net->prediction = PJD_PREDICT_X0;
    snprintf(net->schedule, sizeof net->schedule, "by noise level (EDM, sigma_data %g)", net->sigma_data);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    return read_stems(net, h, pjd_hyper_text(h, "stems"), err);
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    unet1d *d = net->priv;
    pjd_blk k;
    pjd_status st = pjd_hyper_json(h, "hyper_parameters", pjd_weights_hyper(net->w), ignored_keys, log, err);

    if (st == PJD_OK)
        st = pjd_hyper_json(h, "config", pjd_weights_config(net->w), ignored_keys, log, err);
    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &d->p, sizeof d->p, err);
    if (st == PJD_OK)
        st = infer(net->w, d, h, net, err);
    /* The published joint network does not tell its stems; their order is the data set's. */
    if (st == PJD_OK && net->in_channels == 4 && !pjd_hyper_source(h, "stems"))
        st = pjd_hyper_set(h, "published", "stems", err, "bass,drums,guitar,piano");
    if (st == PJD_OK)
        st = check_hyper(h, d, net, err);
    if (st != PJD_OK)
        return st;
    pjd_blk_start(&k, WHO, &names, net->tensors, NULL);
    walk(&k, d, (pjd_blk_val){PJD_NN_NONE, net->in_channels});
    st = pjd_blk_check(&k, net->w, NULL, err);
    if (st == PJD_OK)
        st = fill_network(net, h, d, err);
    if (st == PJD_OK)
        st = set_lists(h, d, net, err);
    return st == PJD_OK ? pjd_hyper_details(h, "published", net, err) : st;
}

static int unet1d_match(const pjd_weights *w)
{
    return pjd_net_find(w, "to_time.0.0.weights") &&
                   pjd_net_find(w, "to_in.module_list.0.block.block1.groupnorm.weight")
               ? 100
               : 0;
}

static pjd_status unet1d_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                              pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_unet1d, WHO, w, config, log, sizeof(unet1d), set_up, out, err);
}

static pjd_nn_value unet1d_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, &names, net->tensors, b);
    return walk(&k, net->priv, (pjd_blk_val){x, net->in_channels}).v;
}

static void unet1d_destroy(pjd_network *net)
{
    unet1d *d = net->priv;

    if (d)
        pjd_params_clear(params, PJD_COUNTOF(params), &d->p);
}

const pjd_network_class pjd_net_unet1d = {
    .entry = {"unet1d", "UNet1d of audio-diffusion-pytorch 0.0.43: music, one stem a channel (.ckpt)", params,
              PJD_COUNTOF(params), false},
    .match = unet1d_match,
    .open = unet1d_open,
    .build = unet1d_build,
    .destroy = unet1d_destroy,
};
