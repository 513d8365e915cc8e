/* SPDX-License-Identifier: MIT */
/*
 * The U-Net of guided-diffusion (Dhariwal & Nichol 2021) and improved-diffusion (Nichol & Dhariwal 2021). Everything but
 * the attention's head split, its row order and the noise schedule follows from the shapes; a table of the published
 * networks tells those.
 */
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_guided;

#define WHO "guided-diffusion UNetModel"

typedef struct options {
    pjd_net_schedule schedule; /* first: PJD_NET_SCHEDULE_PARAMS */
    long num_heads, num_head_channels, num_heads_upsample;
    bool use_new_attention_order;
} options;

static const pjd_param params[] = {
    PJD_NET_SCHEDULE_PARAMS,
    {.name = "num_heads",
     .type = PJD_PARAM_INT,
     .fallback = "",
     .min = 0,
     .max = 1024,
     .unit = "",
     .help = "attention heads, where num_head_channels is -1",
     .offset = offsetof(options, num_heads)},
    {.name = "num_head_channels",
     .type = PJD_PARAM_INT,
     .fallback = "-1",
     .min = -1,
     .max = PJD_NET_MAX_CHANNELS,
     .unit = "",
     .help = "channels of one attention head",
     .offset = offsetof(options, num_head_channels)},
    {.name = "num_heads_upsample",
     .type = PJD_PARAM_INT,
     .fallback = "-1",
     .min = -1,
     .max = 1024,
     .unit = "",
     .help = "attention heads on the way up; -1: num_heads",
     .offset = offsetof(options, num_heads_upsample)},
    {.name = "use_new_attention_order",
     .type = PJD_PARAM_BOOL,
     .fallback = "",
     .unit = "",
     .help = "rows of qkv: q of all heads first (true), or head by head (false)",
     .offset = offsetof(options, use_new_attention_order)},
};

typedef enum resampling { BY_BLOCKS, BY_CONVOLUTION, BY_POOLING } resampling;

typedef struct guided {
    options opt;
    size_t model_channels, in, out, classes, levels, blocks; /* blocks: num_res_blocks */
    size_t first, channels[PJD_NET_MAX_LEVELS];              /* of the first convolution, of each level */
    bool attention[PJD_NET_MAX_LEVELS];
    bool scale_shift;
    resampling how;
} guided;

static const pjd_blk_names names = {.norm1 = "in_layers.0",
                                    .conv1 = "in_layers.2",
                                    .emb = "emb_layers.1",
                                    .norm2 = "out_layers.0",
                                    .conv2 = "out_layers.3",
                                    .shortcut = "skip_connection",
                                    .norm = "norm",
                                    .qkv = "qkv",
                                    .proj = "proj_out",
                                    .attention_rank = 3};

/* ---- the layers ---- */

static size_t heads_of(const guided *g, size_t c, bool up)
{
    if (g->opt.num_head_channels > 0)
        return c % (size_t)g->opt.num_head_channels == 0 ? c / (size_t)g->opt.num_head_channels : 0;
    return (size_t)(up && g->opt.num_heads_upsample > 0 ? g->opt.num_heads_upsample : g->opt.num_heads);
}

static pjd_blk_val attention(pjd_blk *k, const guided *g, pjd_blk_val x, const char *key, bool up)
{
    return pjd_blk_attention(k, x, key, heads_of(g, x.c, up),
                             g->opt.use_new_attention_order ? PJD_BLK_PARTS_FIRST : PJD_BLK_HEADS_FIRST, true);
}

static pjd_blk_val resample(pjd_blk *k, const guided *g, pjd_blk_val x, const char *key, bool up)
{
    if (g->how == BY_BLOCKS)
        return pjd_blk_residual(k, x, key, x.c, up ? PJD_BLK_DOUBLE : PJD_BLK_HALVE);
    if (g->how == BY_CONVOLUTION)
        return pjd_blk_conv(k, x, key, up ? "conv" : "op", x.c, 3, up ? PJD_BLK_UP : PJD_BLK_DOWN, PJD_BLK_NONE);
    return up ? pjd_blk_double(k, x) : pjd_blk_halve(k, x);
}

static pjd_blk_val walk_down(pjd_blk *k, const guided *g, pjd_blk_val x)
{
    size_t i = 1;

    x = pjd_blk_conv(k, x, "", "input_blocks.0.0", g->first, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    pjd_blk_push(k, x);
    for (size_t l = 0; l < g->levels; l++) {
        for (size_t r = 0; r < g->blocks; r++, i++) {
            x = pjd_blk_residual(k, x, pjd_blk_keyf("input_blocks.%zu.0", i).text, g->channels[l], PJD_BLK_KEEP);
            if (g->attention[l])
                x = attention(k, g, x, pjd_blk_keyf("input_blocks.%zu.1", i).text, false);
            pjd_blk_push(k, x);
        }
        if (l + 1 < g->levels) {
            x = resample(k, g, x, pjd_blk_keyf("input_blocks.%zu.0", i++).text, false);
            pjd_blk_push(k, x);
        }
    }
    return x;
}

static pjd_blk_val walk_up(pjd_blk *k, const guided *g, pjd_blk_val x)
{
    size_t j = 0;

    for (size_t l = g->levels; l-- > 0;)
        for (size_t r = 0; r <= g->blocks; r++, j++) {
            size_t part = 1;

            x = pjd_blk_pop(k, x);
            x = pjd_blk_residual(k, x, pjd_blk_keyf("output_blocks.%zu.0", j).text, g->channels[l], PJD_BLK_KEEP);
            if (g->attention[l])
                x = attention(k, g, x, pjd_blk_keyf("output_blocks.%zu.%zu", j, part++).text, true);
            if (l > 0 && r == g->blocks)
                x = resample(k, g, x, pjd_blk_keyf("output_blocks.%zu.%zu", j, part).text, true);
        }
    return x;
}

static pjd_blk_val walk(pjd_blk *k, const guided *g, pjd_blk_val x)
{
    k->groups = 32;
    k->eps = 1e-5;
    k->scale_shift = g->scale_shift;
    pjd_blk_embed(k, &(pjd_blk_time){.linear1 = "time_embed.0",
                                     .linear2 = "time_embed.2",
                                     .class_table = "label_emb",
                                     .c = g->model_channels,
                                     .width = 4 * g->model_channels,
                                     .classes = g->classes,
                                     .shift = 0,
                                     .flip = true});
    x = walk_down(k, g, x);
    x = pjd_blk_residual(k, x, "middle_block.0", x.c, PJD_BLK_KEEP);
    x = attention(k, g, x, "middle_block.1", false);
    x = pjd_blk_residual(k, x, "middle_block.2", x.c, PJD_BLK_KEEP);
    x = walk_up(k, g, x);
    x = pjd_blk_norm(k, x, "", "out.0", PJD_BLK_NONE, PJD_ACT_SILU);
    return pjd_blk_conv(k, x, "", "out.2", g->out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
}

/* ---- what the shapes tell ---- */

static bool is_residual(const pjd_weights *w, size_t i)
{
    return pjd_net_find(w, "input_blocks.%zu.0.in_layers.0.weight", i) != NULL;
}

static bool is_strided(const pjd_weights *w, size_t i)
{
    return pjd_net_find(w, "input_blocks.%zu.0.op.weight", i) != NULL;
}

static pjd_status refuse(pjd_error *err, const char *what)
{
    return pjd_error_set(err, PJD_ERR_MODEL, WHO ": the blocks do not form a U-Net: %s", what);
}

/* With convolutions or pools (which leave a gap in the numbering) the first of them ends the first level. */
static pjd_status levels_by_gaps(const pjd_weights *w, guided *g, size_t inputs, pjd_error *err)
{
    for (size_t i = 1; i < inputs; i++) {
        if (is_residual(w, i))
            continue;
        if (g->blocks == 0)
            g->blocks = i - 1;
        if (g->blocks == 0 || i % (g->blocks + 1) != 0)
            return refuse(err, "levels of different depth");
        if (is_strided(w, i))
            g->how = BY_CONVOLUTION;
    }
    g->levels = inputs / (g->blocks + 1);
    return PJD_OK;
}

/* With residual blocks as resamplers, every output block that ends a level holds a second one. */
static pjd_status levels_by_outputs(const pjd_weights *w, guided *g, pjd_error *err)
{
    size_t outputs = 0;

    g->levels = 1;
    for (; outputs <= PJD_NET_MAX_LEVELS * (PJD_NET_MAX_BLOCKS + 1) &&
           pjd_net_find(w, "output_blocks.%zu.0.in_layers.0.weight", outputs);
         outputs++)
        if (pjd_net_find(w, "output_blocks.%zu.1.in_layers.0.weight", outputs) ||
            pjd_net_find(w, "output_blocks.%zu.2.in_layers.0.weight", outputs))
            g->levels++;
    if (outputs % g->levels != 0 || outputs / g->levels < 2)
        return refuse(err, "the output blocks do not split into levels");
    g->blocks = outputs / g->levels - 1;
    g->how = BY_BLOCKS;
    return PJD_OK;
}

static pjd_status infer_levels(const pjd_weights *w, guided *g, pjd_error *err)
{
    size_t inputs = 1; /* one past the last input block; a single one may be missing (a pool has no tensors) */
    bool gaps = false;
    pjd_status st;

    for (; inputs <= PJD_NET_MAX_LEVELS * (PJD_NET_MAX_BLOCKS + 1); inputs++) {
        if (!is_residual(w, inputs)) {
            if (!is_strided(w, inputs) && !is_residual(w, inputs + 1))
                break;
            gaps = true;
        }
    }
    g->how = BY_POOLING;
    st = gaps ? levels_by_gaps(w, g, inputs, err) : levels_by_outputs(w, g, err);
    if (st != PJD_OK)
        return st;
    if (g->levels < 1 || g->levels > PJD_NET_MAX_LEVELS || g->blocks < 1 || g->blocks > PJD_NET_MAX_BLOCKS)
        return refuse(err, "more levels or blocks than any network has");
    if (inputs != g->levels * (g->blocks + 1))
        return refuse(err, "input and output blocks do not match");
    return PJD_OK;
}

static bool plausible(size_t channels)
{
    return channels >= 1 && channels <= PJD_NET_MAX_CHANNELS;
}

static pjd_status infer(const pjd_weights *w, guided *g, pjd_error *err)
{
    pjd_status st;

    g->model_channels = pjd_net_dim(w, 1, "time_embed.0.weight");
    g->first = pjd_net_dim(w, 0, "input_blocks.0.0.weight");
    g->in = pjd_net_dim(w, 1, "input_blocks.0.0.weight");
    g->out = pjd_net_dim(w, 0, "out.2.weight");
    g->classes = pjd_net_dim(w, 0, "label_emb.weight");
    if (!plausible(g->model_channels) || !plausible(g->first) || !plausible(g->in) || !plausible(g->out) ||
        g->classes > PJD_NET_MAX_CLASSES)
        return refuse(err, "time_embed, input_blocks.0 or out of an impossible shape");
    st = infer_levels(w, g, err);
    if (st != PJD_OK)
        return st;
    for (size_t l = 0; l < g->levels; l++) {
        size_t i = 1 + l * (g->blocks + 1);

        g->channels[l] = pjd_net_dim(w, 0, "input_blocks.%zu.0.in_layers.2.weight", i);
        g->attention[l] = pjd_net_find(w, "input_blocks.%zu.1.qkv.weight", i) != NULL;
        if (!plausible(g->channels[l]))
            return refuse(err, "a level of an impossible width");
    }
    g->scale_shift = pjd_net_dim(w, 0, "input_blocks.1.0.emb_layers.1.weight") == 2 * g->channels[0];
    return PJD_OK;
}

/* ---- what a table tells ---- */

typedef struct known {
    const char *file;
    size_t model_channels, blocks, levels;
    unsigned char twice_mult[PJD_NET_MAX_LEVELS]; /* 2 x channel_mult */
    unsigned attention;                           /* bit l: attention on level l, downsampled by 2^l */
    size_t classes, in;
    bool scale_shift;
    resampling how;
    int head_channels, heads; /* one of them */
    bool new_order;
    const char *schedule;
    int steps;
    bool rescale;
} known;

/* Flags in the two repositories' READMEs and in DPS's configurations; all have six output channels. */
/* clang-format off */
static const known table[] = {
    {"64x64_diffusion.pt", 192, 3, 4, {2, 4, 6, 8}, 0xe, 1000, 3, true, BY_BLOCKS, 64, 0, true, "cosine", 1000,
     false},
    {"128x128_diffusion.pt", 256, 2, 5, {2, 2, 4, 6, 8}, 0x1c, 1000, 3, true, BY_BLOCKS, 0, 4, false, "linear",
     1000, false},
    {"256x256_diffusion.pt", 256, 2, 6, {2, 2, 4, 4, 8, 8}, 0x38, 1000, 3, true, BY_BLOCKS, 64, 0, false,
     "linear", 1000, false},
    {"256x256_diffusion_uncond.pt", 256, 2, 6, {2, 2, 4, 4, 8, 8}, 0x38, 0, 3, true, BY_BLOCKS, 64, 0, false,
     "linear", 1000, false},
    {"512x512_diffusion.pt", 256, 2, 7, {1, 2, 2, 4, 4, 8, 8}, 0x70, 1000, 3, true, BY_BLOCKS, 64, 0, false,
     "linear", 1000, false},
    {"64_256_upsampler.pt", 192, 2, 6, {2, 2, 4, 4, 8, 8}, 0x38, 1000, 6, true, BY_BLOCKS, 0, 4, false,
     "linear", 1000, false},
    {"128_512_upsampler.pt", 192, 2, 6, {2, 2, 4, 4, 8, 8}, 0x30, 1000, 6, true, BY_BLOCKS, 64, 0, false,
     "linear", 1000, false},
    {"ffhq_10m.pt", 128, 1, 6, {2, 2, 4, 4, 8, 8}, 0x10, 0, 3, true, BY_BLOCKS, 64, 0, false, "linear", 1000,
     false},
    {"imagenet64_uncond_100M_1500K.pt", 128, 3, 4, {2, 4, 6, 8}, 0xc, 0, 3, true, BY_CONVOLUTION, 0, 4, false,
     "cosine", 4000, true},
    {"cifar10_uncond_50M_500K.pt", 128, 3, 4, {2, 4, 4, 4}, 0x6, 0, 3, true, BY_CONVOLUTION, 0, 4, false,
     "cosine", 4000, true},
    {"imagenet64_cond_270M_250K.pt", 192, 3, 4, {2, 4, 6, 8}, 0xc, 1000, 3, true, BY_CONVOLUTION, 0, 4, false,
     "cosine", 4000, false},
    {"upsample_cond_500K.pt", 192, 2, 6, {2, 2, 4, 4, 8, 8}, 0x30, 1000, 6, true, BY_CONVOLUTION, 0, 4, false,
     "linear", 4000, false},
    {"lsun_uncond_100M_1200K_bs128.pt", 128, 2, 6, {2, 2, 4, 4, 8, 8}, 0x10, 0, 3, false, BY_CONVOLUTION, 0, 1,
     false, "linear", 1000, false},
};
/* clang-format on */

static bool same(const guided *g, const known *r)
{
    if (g->model_channels != r->model_channels || g->blocks != r->blocks || g->levels != r->levels ||
        g->classes != r->classes || g->in != r->in || g->out != 6 || g->scale_shift != r->scale_shift ||
        g->how != r->how)
        return false;
    for (size_t l = 0; l < g->levels; l++)
        if (2 * g->channels[l] != r->twice_mult[l] * g->model_channels || g->attention[l] != (r->attention >> l & 1))
            return false;
    return true;
}

static pjd_status from_table(pjd_hyper *h, const guided *g, const pjd_log *log, const char **row, pjd_error *err)
{
    const known *r = NULL;
    pjd_status st = PJD_OK;

    *row = NULL;
    for (size_t i = 0; i < PJD_COUNTOF(table); i++)
        if (same(g, &table[i]))
            r = &table[i];
    if (!r)
        return PJD_OK;
    *row = r->file;
    pjd_logf(log, PJD_LOG_INFO, WHO ": the shapes are those of %s: taking its head split and noise schedule", r->file);
    if (!pjd_hyper_source(h, "num_heads") && !pjd_hyper_source(h, "num_head_channels"))
        st = r->heads ? pjd_hyper_set(h, "table", "num_heads", err, "%d", r->heads)
                      : pjd_hyper_set(h, "table", "num_head_channels", err, "%d", r->head_channels);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "table", "use_new_attention_order", err, "%s", r->new_order ? "true" : "false");
    if (st == PJD_OK && !pjd_hyper_source(h, "beta_schedule") && !pjd_hyper_source(h, "trained_betas"))
        st = pjd_hyper_set(h, "table", "noise_schedule", err, "%s", r->schedule);
    if (st == PJD_OK && !pjd_hyper_source(h, "num_train_timesteps"))
        st = pjd_hyper_set(h, "table", "diffusion_steps", err, "%d", r->steps);
    if (st == PJD_OK && r->rescale)
        st = pjd_hyper_set(h, "table", "rescale_timesteps", err, "true");
    return st;
}

/* ---- opening ---- */

static int guided_match(const pjd_weights *w)
{
    if (!pjd_net_find(w, "time_embed.0.weight") || !pjd_net_find(w, "input_blocks.0.0.weight") ||
        !pjd_net_find(w, "out.2.weight"))
        return 0;
    for (size_t i = 0; i < pjd_weights_count(w); i++)
        if (strstr(pjd_weights_at(w, i)->name, "transformer_blocks."))
            return 0;
    return 100;
}

/* Neither the head split nor (with several heads) the row order may be guessed: a wrong one runs, and is wrong. */
static pjd_status check_settled(const pjd_hyper *h, const guided *g, pjd_error *err)
{
    bool several = false;

    if (!(g->opt.num_head_channels > 0) && !(g->opt.num_heads > 0))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO
                             ": the weights do not tell how attention is split and no known network has these shapes: "
                             "give --model-config num_head_channels=..,use_new_attention_order=.. (or num_heads=..)");
    for (size_t l = 0; l < g->levels; l++)
        if (g->attention[l] || l + 1 == g->levels)
            several = several || heads_of(g, g->channels[l], false) != 1 || heads_of(g, g->channels[l], true) != 1;
    if (several && !pjd_hyper_source(h, "use_new_attention_order"))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": the weights do not tell the order of the rows of qkv: give --model-config "
                                 "use_new_attention_order=false (head by head, guided-diffusion's default) or =true");
    return PJD_OK;
}

static pjd_status details(pjd_network *net, const guided *g, const pjd_hyper *h, const char *row, pjd_error *err)
{
    char mult[128] = "", ds[128] = "";
    size_t a = 0, b = 0;
    const char *from = "inferred";
    static const char *const how[] = {"residual blocks", "convolutions", "pooling"};
    pjd_status st = PJD_OK;

    for (size_t l = 0; l < g->levels; l++) {
        a += (size_t)snprintf(mult + a, sizeof mult - a, "%s%g", l ? "," : "",
                              (double)g->channels[l] / (double)g->model_channels);
        if (g->attention[l])
            b += (size_t)snprintf(ds + b, sizeof ds - b, "%s%d", b ? "," : "", 1 << l);
    }
    if (row)
        st = pjd_network_detail(net, err, "table", "shapes of", "%s", row);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "model_channels", "%zu", g->model_channels);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "channel_mult", "%s", mult);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "num_res_blocks", "%zu", g->blocks);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "attention_resolutions", "%s", b ? ds : "middle only");
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "use_scale_shift_norm", "%s", g->scale_shift ? "true" : "false");
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "resampling", "%s", how[g->how]);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "num_classes", "%zu", g->classes);
    return st == PJD_OK ? pjd_hyper_details(h, "default", net, err) : st;
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    guided *g = net->priv;
    const char *row;
    pjd_blk k;
    pjd_status st = infer(net->w, g, err);

    if (st == PJD_OK)
        st = pjd_hyper_json(h, "config", pjd_weights_config(net->w), NULL, log, err);
    if (st == PJD_OK)
        st = pjd_hyper_json(h, "checkpoint", pjd_weights_hyper(net->w), NULL, log, err);
    if (st == PJD_OK)
        st = from_table(h, g, log, &row, err);
    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &g->opt, sizeof g->opt, err);
    if (st == PJD_OK)
        st = check_settled(h, g, err);
    if (st != PJD_OK)
        return st;
    pjd_blk_start(&k, WHO, &names, net->tensors, NULL);
    walk(&k, g, (pjd_blk_val){PJD_NN_NONE, g->in});
    st = pjd_blk_check(&k, net->w, NULL, err);
    if (st == PJD_OK)
        st = pjd_net_schedule_apply(h, &g->opt.schedule, log, net, err);
    if (st == PJD_OK)
        st = details(net, g, h, row, err);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    net->in_channels = g->in;
    net->out_channels = g->out;
    net->num_classes = g->classes;
    net->multiple = (size_t)1 << (g->levels - 1);
    net->conditional = (row && g->in == 6) || (g->out != g->in && g->out != 2 * g->in);
    return st;
}

static void guided_destroy(pjd_network *net)
{
    guided *g = net->priv;

    if (g)
        pjd_params_clear(params, PJD_COUNTOF(params), &g->opt);
}

static pjd_nn_value guided_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, &names, net->tensors, b);
    return walk(&k, net->priv, (pjd_blk_val){x, net->in_channels}).v;
}

static pjd_status guided_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                              pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_guided, WHO, w, config, log, sizeof(guided), set_up, out, err);
}

const pjd_network_class pjd_net_guided = {
    .entry = {"guided", "guided-diffusion and improved-diffusion UNetModel (.pt)", params, PJD_COUNTOF(params), false},
    .match = guided_match,
    .open = guided_open,
    .build = guided_build,
    .destroy = guided_destroy,
};
