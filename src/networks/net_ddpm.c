/* SPDX-License-Identifier: MIT */
/*
 * The U-Net of DDPM (Ho et al. 2020) in PyTorch, as used by DDIM, SDEdit, DDRM. Every hyper-parameter follows from the
 * shapes: one head, 32 groups, eps 1e-6, sines first.
 */
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_ddpm;

#define WHO "DDPM U-Net"

typedef struct ddpm {
    pjd_net_schedule opt;
    size_t ch, in, out, levels, blocks;
    size_t channels[PJD_NET_MAX_LEVELS];
    bool attention[PJD_NET_MAX_LEVELS];
    bool convolutions; /* resamp_with_conv */
} ddpm;

static const pjd_param params[] = {PJD_NET_SCHEDULE_PARAMS};

static const pjd_blk_names names = {.norm1 = "norm1",
                                    .conv1 = "conv1",
                                    .emb = "temb_proj",
                                    .norm2 = "norm2",
                                    .conv2 = "conv2",
                                    .shortcut = "nin_shortcut",
                                    .norm = "norm",
                                    .q = "q",
                                    .k = "k",
                                    .v = "v",
                                    .proj = "proj_out",
                                    .attention_rank = 4};

/* ---- the layers ---- */

static pjd_blk_val attention(pjd_blk *k, pjd_blk_val x, const char *key)
{
    return pjd_blk_attention(k, x, key, 1, PJD_BLK_PARTS_FIRST, true);
}

static pjd_blk_val walk_down(pjd_blk *k, const ddpm *d, pjd_blk_val x)
{
    x = pjd_blk_conv(k, x, "", "conv_in", d->ch, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    pjd_blk_push(k, x);
    for (size_t l = 0; l < d->levels; l++) {
        for (size_t r = 0; r < d->blocks; r++) {
            x = pjd_blk_residual(k, x, pjd_blk_keyf("down.%zu.block.%zu", l, r).text, d->channels[l], PJD_BLK_KEEP);
            if (d->attention[l])
                x = attention(k, x, pjd_blk_keyf("down.%zu.attn.%zu", l, r).text);
            pjd_blk_push(k, x);
        }
        if (l + 1 < d->levels) {
            if (d->convolutions)
                x = pjd_blk_conv(k, x, pjd_blk_keyf("down.%zu", l).text, "downsample.conv", x.c, 3, PJD_BLK_DOWN_RB,
                                 PJD_BLK_NONE);
            else
                x = pjd_blk_halve(k, x);
            pjd_blk_push(k, x);
        }
    }
    return x;
}

static pjd_blk_val walk_up(pjd_blk *k, const ddpm *d, pjd_blk_val x)
{
    for (size_t l = d->levels; l-- > 0;) {
        for (size_t r = 0; r <= d->blocks; r++) {
            x = pjd_blk_pop(k, x);
            x = pjd_blk_residual(k, x, pjd_blk_keyf("up.%zu.block.%zu", l, r).text, d->channels[l], PJD_BLK_KEEP);
            if (d->attention[l])
                x = attention(k, x, pjd_blk_keyf("up.%zu.attn.%zu", l, r).text);
        }
        if (l == 0)
            break;
        if (d->convolutions)
            x = pjd_blk_conv(k, x, pjd_blk_keyf("up.%zu", l).text, "upsample.conv", x.c, 3, PJD_BLK_UP, PJD_BLK_NONE);
        else
            x = pjd_blk_double(k, x);
    }
    return x;
}

static pjd_blk_val walk(pjd_blk *k, const ddpm *d, pjd_blk_val x)
{
    k->groups = 32;
    k->eps = 1e-6;
    pjd_blk_embed(k, &(pjd_blk_time){.linear1 = "temb.dense.0",
                                     .linear2 = "temb.dense.1",
                                     .c = d->ch,
                                     .width = 4 * d->ch,
                                     .shift = 1,
                                     .flip = false});
    x = walk_down(k, d, x);
    x = pjd_blk_residual(k, x, "mid.block_1", x.c, PJD_BLK_KEEP);
    x = attention(k, x, "mid.attn_1");
    x = pjd_blk_residual(k, x, "mid.block_2", x.c, PJD_BLK_KEEP);
    x = walk_up(k, d, x);
    x = pjd_blk_norm(k, x, "", "norm_out", PJD_BLK_NONE, PJD_ACT_SILU);
    return pjd_blk_conv(k, x, "", "conv_out", d->out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
}

/* ---- opening ---- */

static bool plausible(size_t channels)
{
    return channels >= 1 && channels <= PJD_NET_MAX_CHANNELS;
}

static pjd_status infer(const pjd_weights *w, ddpm *d, pjd_error *err)
{
    d->ch = pjd_net_dim(w, 1, "temb.dense.0.weight");
    d->in = pjd_net_dim(w, 1, "conv_in.weight");
    d->out = pjd_net_dim(w, 0, "conv_out.weight");
    while (d->levels <= PJD_NET_MAX_LEVELS && pjd_net_find(w, "down.%zu.block.0.norm1.weight", d->levels))
        d->levels++;
    while (d->blocks <= PJD_NET_MAX_BLOCKS && pjd_net_find(w, "down.0.block.%zu.norm1.weight", d->blocks))
        d->blocks++;
    if (!plausible(d->ch) || !plausible(d->in) || !plausible(d->out) || d->levels < 1 ||
        d->levels > PJD_NET_MAX_LEVELS || d->blocks < 1 || d->blocks > PJD_NET_MAX_BLOCKS)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": the shapes do not form a U-Net (%zu levels of %zu blocks, %zu channels)", d->levels,
                             d->blocks, d->ch);
    for (size_t l = 0; l < d->levels; l++) {
        d->channels[l] = pjd_net_dim(w, 0, "down.%zu.block.0.conv1.weight", l);
        d->attention[l] = pjd_net_find(w, "down.%zu.attn.0.q.weight", l) != NULL;
        if (!plausible(d->channels[l]))
            return pjd_error_set(err, PJD_ERR_MODEL, WHO ": level %zu has %zu channels", l, d->channels[l]);
    }
    d->convolutions = pjd_net_find(w, "down.0.downsample.conv.weight") != NULL;
    return PJD_OK;
}

/* The published networks, all trained with the linear schedule of 1000 steps. */
static const char *published(const ddpm *d)
{
    static const struct {
        const char *file;
        size_t levels;
        unsigned char mult[6];
        size_t attention; /* level */
    } table[] = {{"cifar10", 4, {1, 2, 2, 2}, 1},
                 {"celeba 64x64", 5, {1, 2, 2, 2, 4}, 2},
                 {"lsun or celeba_hq 256x256", 6, {1, 1, 2, 2, 4, 4}, 4}};

    for (size_t i = 0; i < PJD_COUNTOF(table); i++) {
        bool same = d->ch == 128 && d->in == 3 && d->out == 3 && d->blocks == 2 && d->levels == table[i].levels;

        for (size_t l = 0; same && l < d->levels; l++)
            same = d->channels[l] == table[i].mult[l] * d->ch && d->attention[l] == (l == table[i].attention);
        if (same)
            return table[i].file;
    }
    return NULL;
}

static pjd_status details(pjd_network *net, const ddpm *d, const char *row, pjd_error *err)
{
    char mult[128] = "", at[128] = "";
    size_t a = 0, b = 0;
    const char *from = "inferred";
    pjd_status st = PJD_OK;

    for (size_t l = 0; l < d->levels; l++) {
        a += (size_t)snprintf(mult + a, sizeof mult - a, "%s%g", l ? "," : "", (double)d->channels[l] / (double)d->ch);
        if (d->attention[l])
            b += (size_t)snprintf(at + b, sizeof at - b, "%s%zu", b ? "," : "", l);
    }
    if (row)
        st = pjd_network_detail(net, err, "table", "shapes of", "%s", row);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "ch", "%zu", d->ch);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "ch_mult", "%s", mult);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "num_res_blocks", "%zu", d->blocks);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "attention on levels", "%s", b ? at : "middle only");
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "resamp_with_conv", "%s", d->convolutions ? "true" : "false");
    return st;
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    static const char *const ignored[] = {"logvar", NULL}; /* of DDIM's "bayesian" variant; not used in sampling */
    ddpm *d = net->priv;
    const char *row = NULL;
    pjd_blk k;
    pjd_status st = infer(net->w, d, err);

    if (st == PJD_OK)
        row = published(d);
    if (st == PJD_OK)
        st = pjd_hyper_json(h, "scheduler config", pjd_weights_scheduler_config(net->w), "clip_sample variance_type",
                            log, err);
    if (st == PJD_OK && row && !pjd_hyper_source(h, "noise_schedule") && !pjd_hyper_source(h, "diffusion_steps"))
        st = pjd_hyper_set(h, "table", "beta_schedule", err, "linear");
    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &d->opt, sizeof d->opt, err);
    if (st != PJD_OK)
        return st;
    pjd_blk_start(&k, WHO, &names, net->tensors, NULL);
    walk(&k, d, (pjd_blk_val){PJD_NN_NONE, d->in});
    st = pjd_blk_check(&k, net->w, ignored, err);
    if (st == PJD_OK)
        st = pjd_net_schedule_apply(h, &d->opt, log, net, err);
    if (st == PJD_OK)
        st = details(net, d, row, err);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    net->in_channels = d->in;
    net->out_channels = d->out;
    net->multiple = (size_t)1 << (d->levels - 1);
    net->conditional = d->out != d->in && d->out != 2 * d->in;
    return st;
}

static int ddpm_match(const pjd_weights *w)
{
    return pjd_net_find(w, "temb.dense.0.weight") && pjd_net_find(w, "down.0.block.0.norm1.weight") ? 100 : 0;
}

static pjd_status ddpm_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                            pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_ddpm, WHO, w, config, log, sizeof(ddpm), set_up, out, err);
}

static pjd_nn_value ddpm_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, &names, net->tensors, b);
    return walk(&k, net->priv, (pjd_blk_val){x, net->in_channels}).v;
}

static void ddpm_destroy(pjd_network *net)
{
    ddpm *d = net->priv;

    if (d)
        pjd_params_clear(params, PJD_COUNTOF(params), &d->opt);
}

const pjd_network_class pjd_net_ddpm = {
    .entry = {"ddpm", "DDPM U-Net as used by DDIM, SDEdit and DDRM (.ckpt)", params, PJD_COUNTOF(params), false},
    .match = ddpm_match,
    .open = ddpm_open,
    .build = ddpm_build,
    .destroy = ddpm_destroy,
};
