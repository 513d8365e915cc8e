/* SPDX-License-Identifier: MIT */
/* The UNet2DModel of Hugging Face diffusers, described by a config.json beside the weights. */
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_unet2d;

#define WHO "diffusers UNet2DModel"

typedef struct options {
    pjd_net_schedule schedule; /* first: PJD_NET_SCHEDULE_PARAMS */
    long in_channels, out_channels, layers_per_block, downsample_padding, freq_shift, time_embedding_dim;
    long attention_head_dim, norm_num_groups, attn_norm_num_groups, num_class_embeds;
    double norm_eps, mid_block_scale_factor;
    bool center_input_sample, flip_sin_to_cos, add_attention;
    char *time_embedding_type, *down_block_types, *up_block_types, *mid_block_type, *block_out_channels;
    char *downsample_type, *upsample_type, *act_fn, *resnet_time_scale_shift, *class_embed_type;
} options;

#define PARAM(field, type_, fallback_, min_, max_, help_)                                                              \
    {                                                                                                                  \
        .name = #field, .type = (type_), .fallback = (fallback_), .min = (min_), .max = (max_), .unit = "",            \
        .help = (help_), .offset = offsetof(options, field)                                                            \
    }
#define INT(field, fallback_, min_, max_, help_) PARAM(field, PJD_PARAM_INT, fallback_, min_, max_, help_)
#define TEXT(field, fallback_, help_) PARAM(field, PJD_PARAM_TEXT, fallback_, 0, 0, help_)
#define FLAG(field, fallback_, help_) PARAM(field, PJD_PARAM_BOOL, fallback_, 0, 0, help_)

/* The defaults are the original constructor's: what a field means when config.json leaves it out. */
static const pjd_param params[] = {
    PJD_NET_SCHEDULE_PARAMS,
    INT(in_channels, "3", 1, PJD_NET_MAX_CHANNELS, "channels of the input"),
    INT(out_channels, "3", 1, PJD_NET_MAX_CHANNELS, "channels of the output"),
    FLAG(center_input_sample, "false", "the network sees 2 x - 1"),
    TEXT(time_embedding_type, "positional", "only positional is supported"),
    INT(time_embedding_dim, "0", 0, 4 * PJD_NET_MAX_CHANNELS, "width of the embedding; 0: four times the first block"),
    INT(freq_shift, "0", 0, 1, "the frequencies' divisor is half the width less this"),
    FLAG(flip_sin_to_cos, "true", "cosines come first"),
    TEXT(down_block_types, "DownBlock2D,AttnDownBlock2D,AttnDownBlock2D,AttnDownBlock2D", "list, one for each level"),
    TEXT(up_block_types, "AttnUpBlock2D,AttnUpBlock2D,AttnUpBlock2D,UpBlock2D", "list, deepest level first"),
    TEXT(mid_block_type, "UNetMidBlock2D", "UNetMidBlock2D or none"),
    TEXT(block_out_channels, "224,448,672,896", "list, one for each level"),
    INT(layers_per_block, "2", 1, PJD_NET_MAX_BLOCKS, "residual blocks on each level"),
    PARAM(mid_block_scale_factor, PJD_PARAM_FLOAT, "1", 1e-6, 1e6, "sums in the middle block are divided by this"),
    INT(downsample_padding, "1", 0, 1, "1: a zero on every side; 0: right and bottom only"),
    TEXT(downsample_type, "conv", "of AttnDownBlock2D: conv or resnet"),
    TEXT(upsample_type, "conv", "of AttnUpBlock2D: conv or resnet"),
    TEXT(act_fn, "silu", "only silu (swish) is supported"),
    INT(attention_head_dim, "8", 0, PJD_NET_MAX_CHANNELS, "channels of one attention head; 0: one head"),
    INT(norm_num_groups, "32", 1, PJD_NET_MAX_CHANNELS, "groups of the group norms"),
    INT(attn_norm_num_groups, "0", 0, PJD_NET_MAX_CHANNELS,
        "groups in the middle block's attention; 0: norm_num_groups"),
    PARAM(norm_eps, PJD_PARAM_FLOAT, "1e-05", 0, 1, "added to the variance in group norms"),
    TEXT(resnet_time_scale_shift, "default", "default or scale_shift"),
    FLAG(add_attention, "true", "attention in the middle block"),
    TEXT(class_embed_type, "none", "only none is supported"),
    INT(num_class_embeds, "0", 0, PJD_NET_MAX_CLASSES, "classes; 0: unconditional"),
};

/* One level on the way down or up. */
typedef struct level {
    size_t channels;
    bool attention, by_block; /* resamples in a residual block */
} level;

typedef struct unet2d {
    options opt;
    size_t levels;
    level down[PJD_NET_MAX_LEVELS], up[PJD_NET_MAX_LEVELS]; /* up: deepest first */
} unet2d;

/* Attention's names changed once; a pair of samplers' did too. */
static const pjd_blk_names names = {.norm1 = "norm1",
                                    .conv1 = "conv1",
                                    .emb = "time_emb_proj",
                                    .norm2 = "norm2",
                                    .conv2 = "conv2",
                                    .shortcut = "conv_shortcut",
                                    .norm = "group_norm",
                                    .q = "to_q|query",
                                    .k = "to_k|key",
                                    .v = "to_v|value",
                                    .proj = "to_out.0|proj_attn",
                                    .attention_rank = 2};

/* ---- the layers ---- */

static pjd_blk_val attention(pjd_blk *k, const unet2d *u, pjd_blk_val x, const char *key, bool normed)
{
    size_t dim = (size_t)u->opt.attention_head_dim, heads = dim == 0 ? 1 : x.c % dim == 0 ? x.c / dim : 0;

    return pjd_blk_attention(k, x, key, heads, PJD_BLK_PARTS_FIRST, normed);
}

static pjd_blk_val walk_down(pjd_blk *k, const unet2d *u, pjd_blk_val x)
{
    pjd_blk_how how = u->opt.downsample_padding ? PJD_BLK_DOWN : PJD_BLK_DOWN_RB;

    x = pjd_blk_conv(k, x, "", "conv_in", u->down[0].channels, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    pjd_blk_push(k, x);
    for (size_t l = 0; l < u->levels; l++) {
        const level *v = &u->down[l];

        for (size_t r = 0; r < (size_t)u->opt.layers_per_block; r++) {
            x = pjd_blk_residual(k, x, pjd_blk_keyf("down_blocks.%zu.resnets.%zu", l, r).text, v->channels,
                                 PJD_BLK_KEEP);
            if (v->attention)
                x = attention(k, u, x, pjd_blk_keyf("down_blocks.%zu.attentions.%zu", l, r).text, true);
            pjd_blk_push(k, x);
        }
        if (l + 1 < u->levels) {
            pjd_blk_key key = pjd_blk_keyf("down_blocks.%zu.downsamplers.0", l);

            x = v->by_block ? pjd_blk_residual(k, x, key.text, x.c, PJD_BLK_HALVE)
                            : pjd_blk_conv(k, x, key.text, "conv|Conv2d_0", x.c, 3, how, PJD_BLK_NONE);
            pjd_blk_push(k, x);
        }
    }
    return x;
}

static pjd_blk_val walk_middle(pjd_blk *k, const unet2d *u, pjd_blk_val x)
{
    size_t groups = k->groups;
    bool normed = u->opt.attn_norm_num_groups > 0 || !k->scale_shift;

    if (!strcmp(u->opt.mid_block_type, "none"))
        return x;
    k->shrink = 1 / u->opt.mid_block_scale_factor;
    x = pjd_blk_residual(k, x, "mid_block.resnets.0", x.c, PJD_BLK_KEEP);
    if (u->opt.add_attention) {
        if (u->opt.attn_norm_num_groups > 0)
            k->groups = (size_t)u->opt.attn_norm_num_groups;
        x = attention(k, u, x, "mid_block.attentions.0", normed);
        k->groups = groups;
    }
    x = pjd_blk_residual(k, x, "mid_block.resnets.1", x.c, PJD_BLK_KEEP);
    k->shrink = 1;
    return x;
}

static pjd_blk_val walk_up(pjd_blk *k, const unet2d *u, pjd_blk_val x)
{
    for (size_t l = 0; l < u->levels; l++) {
        const level *v = &u->up[l];

        for (size_t r = 0; r <= (size_t)u->opt.layers_per_block; r++) {
            x = pjd_blk_pop(k, x);
            x = pjd_blk_residual(k, x, pjd_blk_keyf("up_blocks.%zu.resnets.%zu", l, r).text, v->channels, PJD_BLK_KEEP);
            if (v->attention)
                x = attention(k, u, x, pjd_blk_keyf("up_blocks.%zu.attentions.%zu", l, r).text, true);
        }
        if (l + 1 < u->levels) {
            pjd_blk_key key = pjd_blk_keyf("up_blocks.%zu.upsamplers.0", l);

            x = v->by_block ? pjd_blk_residual(k, x, key.text, x.c, PJD_BLK_DOUBLE)
                            : pjd_blk_conv(k, x, key.text, "conv|Conv2d_0", x.c, 3, PJD_BLK_UP, PJD_BLK_NONE);
        }
    }
    return x;
}

static pjd_blk_val walk(pjd_blk *k, const unet2d *u, pjd_blk_val x)
{
    const options *o = &u->opt;
    size_t width = o->time_embedding_dim ? (size_t)o->time_embedding_dim : 4 * u->down[0].channels;

    k->groups = (size_t)o->norm_num_groups;
    k->eps = o->norm_eps;
    k->scale_shift = !strcmp(o->resnet_time_scale_shift, "scale_shift");
    pjd_blk_embed(k, &(pjd_blk_time){.linear1 = "time_embedding.linear_1",
                                     .linear2 = "time_embedding.linear_2",
                                     .class_table = "class_embedding",
                                     .c = u->down[0].channels,
                                     .width = width,
                                     .classes = (size_t)o->num_class_embeds,
                                     .shift = (double)o->freq_shift,
                                     .flip = o->flip_sin_to_cos});
    x = walk_down(k, u, x);
    x = walk_middle(k, u, x);
    x = walk_up(k, u, x);
    x = pjd_blk_norm(k, x, "", "conv_norm_out", PJD_BLK_NONE, PJD_ACT_SILU);
    return pjd_blk_conv(k, x, "", "conv_out", (size_t)o->out_channels, 3, PJD_BLK_SAME, PJD_BLK_NONE);
}

/* ---- from the options to the levels ---- */

/* Item i of "a,b,c" (a leading UNetRes is an older spelling); false past the end. */
static bool list_item(const char *list, size_t i, char *buf, size_t size)
{
    static const char between[] = " ,;/[]()'\"";

    for (list += strspn(list, between); *list; list += strspn(list, between)) {
        size_t n = strcspn(list, between);

        if (i-- == 0) {
            if (n > 7 && !strncmp(list, "UNetRes", 7)) {
                list += 7;
                n -= 7;
            }
            snprintf(buf, size, "%.*s", (int)(n < size ? n : size - 1), list);
            return true;
        }
        list += n;
    }
    return false;
}

static pjd_status block_type(const char *type, bool up, const options *o, level *out, pjd_error *err)
{
    bool plain = !strcmp(type, up ? "UpBlock2D" : "DownBlock2D"),
         attn = !strcmp(type, up ? "AttnUpBlock2D" : "AttnDownBlock2D");
    bool block = !strcmp(type, up ? "ResnetUpsampleBlock2D" : "ResnetDownsampleBlock2D");

    if (!plain && !attn && !block)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": blocks of type %.60s are not supported", type);
    out->attention = attn;
    out->by_block = block || (attn && !strcmp(up ? o->upsample_type : o->downsample_type, "resnet"));
    return PJD_OK;
}

static pjd_status only(const pjd_hyper *h, const char *key, const char *value, const char *a, const char *b,
                       pjd_error *err)
{
    if (!strcmp(value, a) || (b && !strcmp(value, b)))
        return PJD_OK;
    return pjd_error_set(err, pjd_hyper_blame(h, key), WHO ": %s: only %s%s%s is supported, found \"%.60s\"", key, a,
                         b ? " or " : "", b ? b : "", value);
}

static pjd_status check_options(const pjd_hyper *h, const options *o, pjd_error *err)
{
    pjd_status st = only(h, "time_embedding_type", o->time_embedding_type, "positional", NULL, err);

    if (st == PJD_OK)
        st = only(h, "act_fn", o->act_fn, "silu", "swish", err);
    if (st == PJD_OK)
        st = only(h, "mid_block_type", o->mid_block_type, "UNetMidBlock2D", "none", err);
    if (st == PJD_OK)
        st = only(h, "resnet_time_scale_shift", o->resnet_time_scale_shift, "default", "scale_shift", err);
    if (st == PJD_OK)
        st = only(h, "class_embed_type", o->class_embed_type, "none", NULL, err);
    if (st == PJD_OK)
        st = only(h, "downsample_type", o->downsample_type, "conv", "resnet", err);
    if (st == PJD_OK)
        st = only(h, "upsample_type", o->upsample_type, "conv", "resnet", err);
    return st;
}

static pjd_status make_levels(const pjd_hyper *h, unet2d *u, pjd_error *err)
{
    size_t channels[PJD_NET_MAX_LEVELS];
    char type[64];

    if (!pjd_hyper_sizes(u->opt.block_out_channels, channels, PJD_NET_MAX_LEVELS, &u->levels))
        return pjd_error_set(err, pjd_hyper_blame(h, "block_out_channels"),
                             WHO ": block_out_channels: a list of 1 to %d numbers expected, found \"%.60s\"",
                             PJD_NET_MAX_LEVELS, u->opt.block_out_channels);
    if (list_item(u->opt.down_block_types, u->levels, type, sizeof type) ||
        list_item(u->opt.up_block_types, u->levels, type, sizeof type))
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": more block types than the %zu block_out_channels", u->levels);
    for (size_t l = 0; l < u->levels; l++) {
        pjd_status st = PJD_ERR_MODEL;

        if (channels[l] < 1 || channels[l] > PJD_NET_MAX_CHANNELS)
            return pjd_error_set(err, st, WHO ": block_out_channels: from 1 to %d expected, found %zu",
                                 PJD_NET_MAX_CHANNELS, channels[l]);
        u->down[l].channels = channels[l];
        u->up[u->levels - 1 - l].channels = channels[l];
        if (list_item(u->opt.down_block_types, l, type, sizeof type))
            st = block_type(type, false, &u->opt, &u->down[l], err);
        else
            pjd_error_set(err, st, WHO ": %zu down_block_types expected, found %zu", u->levels, l);
        if (st != PJD_OK)
            return st;
        st = PJD_ERR_MODEL;
        if (list_item(u->opt.up_block_types, l, type, sizeof type))
            st = block_type(type, true, &u->opt, &u->up[l], err);
        else
            pjd_error_set(err, st, WHO ": %zu up_block_types expected, found %zu", u->levels, l);
        if (st != PJD_OK)
            return st;
    }
    return PJD_OK;
}

/* ---- without a config.json ---- */

static bool has_attention(const pjd_weights *w, const char *block)
{
    return pjd_net_find(w, "%s.attentions.0.to_q.weight", block) ||
           pjd_net_find(w, "%s.attentions.0.query.weight", block);
}

static size_t count_layers(const pjd_weights *w)
{
    size_t n = 0;

    while (n <= PJD_NET_MAX_BLOCKS && pjd_net_find(w, "down_blocks.0.resnets.%zu.norm1.weight", n))
        n++;
    return n;
}

static void type_of(const pjd_weights *w, size_t l, bool up, char *buf, size_t size)
{
    const char *side = up ? "up" : "down";
    bool attn = has_attention(w, pjd_blk_keyf("%s_blocks.%zu", side, l).text);
    bool block = pjd_net_find(w, "%s_blocks.%zu.%ssamplers.0.norm1.weight", side, l, side) != NULL;

    if (attn)
        snprintf(buf, size, "Attn%sBlock2D", up ? "Up" : "Down");
    else if (block)
        snprintf(buf, size, "Resnet%ssampleBlock2D", up ? "Up" : "Down");
    else
        snprintf(buf, size, "%sBlock2D", up ? "Up" : "Down");
}

/* The block types and widths, level by level. */
static pjd_status infer_levels(pjd_hyper *h, const pjd_weights *w, pjd_error *err)
{
    char channels[PJD_NET_MAX_LEVELS * 24] = "", down[PJD_NET_MAX_LEVELS * 32] = "", up[PJD_NET_MAX_LEVELS * 32] = "";
    size_t a = 0, b = 0, c = 0;
    pjd_status st;

    for (size_t l = 0; l < PJD_NET_MAX_LEVELS && pjd_net_find(w, "down_blocks.%zu.resnets.0.norm1.weight", l); l++) {
        const char *comma = l ? "," : "";
        char type[32];

        a += (size_t)snprintf(channels + a, sizeof channels - a, "%s%zu", comma,
                              pjd_net_dim(w, 0, "down_blocks.%zu.resnets.0.conv1.weight", l));
        type_of(w, l, false, type, sizeof type);
        b += (size_t)snprintf(down + b, sizeof down - b, "%s%s", comma, type);
        type_of(w, l, true, type, sizeof type);
        c += (size_t)snprintf(up + c, sizeof up - c, "%s%s", comma, type);
    }
    st = pjd_hyper_set(h, "inferred", "block_out_channels", err, "%s", channels);
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "inferred", "down_block_types", err, "%s", down);
    return st == PJD_OK ? pjd_hyper_set(h, "inferred", "up_block_types", err, "%s", up) : st;
}

/* What the key names and shapes tell. */
static pjd_status infer(pjd_hyper *h, const pjd_weights *w, pjd_error *err)
{
    bool down = pjd_net_find(w, "down_blocks.0.downsamplers.0.norm1.weight") != NULL;
    bool up = pjd_net_find(w, "up_blocks.0.upsamplers.0.norm1.weight") != NULL;
    bool shift = pjd_net_dim(w, 0, "down_blocks.0.resnets.0.time_emb_proj.weight") ==
                 2 * pjd_net_dim(w, 0, "down_blocks.0.resnets.0.conv1.weight");
    const struct {
        const char *key;
        size_t value;
    } numbers[] = {{"in_channels", pjd_net_dim(w, 1, "conv_in.weight")},
                   {"out_channels", pjd_net_dim(w, 0, "conv_out.weight")},
                   {"layers_per_block", count_layers(w)},
                   {"num_class_embeds", pjd_net_dim(w, 0, "class_embedding.weight")},
                   {"time_embedding_dim", pjd_net_dim(w, 0, "time_embedding.linear_1.weight")}};
    const struct {
        const char *key, *value;
    } texts[] = {{"downsample_type", down ? "resnet" : "conv"},
                 {"upsample_type", up ? "resnet" : "conv"},
                 {"resnet_time_scale_shift", shift ? "scale_shift" : "default"},
                 {"add_attention", has_attention(w, "mid_block") ? "true" : "false"},
                 {"mid_block_type", pjd_net_find(w, "mid_block.resnets.0.norm1.weight") ? "UNetMidBlock2D" : "none"}};
    pjd_status st = infer_levels(h, w, err);

    for (size_t i = 0; i < PJD_COUNTOF(numbers) && st == PJD_OK; i++)
        st = pjd_hyper_set(h, "inferred", numbers[i].key, err, "%zu", numbers[i].value);
    for (size_t i = 0; i < PJD_COUNTOF(texts) && st == PJD_OK; i++)
        st = pjd_hyper_set(h, "inferred", texts[i].key, err, "%s", texts[i].value);
    return st;
}

/* The published DDPM conversions (google/ddpm-*): their config.json, recognised by the shapes it belongs to. */
static bool published(const pjd_hyper *h)
{
    static const struct {
        const char *channels, *down, *up;
    } table[] = {
        {"128,128,256,256,512,512", "DownBlock2D,DownBlock2D,DownBlock2D,DownBlock2D,AttnDownBlock2D,DownBlock2D",
         "UpBlock2D,AttnUpBlock2D,UpBlock2D,UpBlock2D,UpBlock2D,UpBlock2D"},
        {"128,256,256,256", "DownBlock2D,AttnDownBlock2D,DownBlock2D,DownBlock2D",
         "UpBlock2D,UpBlock2D,AttnUpBlock2D,UpBlock2D"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(table); i++)
        if (!strcmp(pjd_hyper_text(h, "block_out_channels"), table[i].channels) &&
            !strcmp(pjd_hyper_text(h, "down_block_types"), table[i].down) &&
            !strcmp(pjd_hyper_text(h, "up_block_types"), table[i].up) &&
            !strcmp(pjd_hyper_text(h, "layers_per_block"), "2") && !strcmp(pjd_hyper_text(h, "in_channels"), "3") &&
            !strcmp(pjd_hyper_text(h, "out_channels"), "3") && !strcmp(pjd_hyper_text(h, "num_class_embeds"), "0") &&
            !strcmp(pjd_hyper_text(h, "resnet_time_scale_shift"), "default"))
            return true;
    return false;
}

/* What no shape tells, with the published networks' values. */
static const struct {
    const char *key, *value;
} untold[] = {{"norm_num_groups", "32"}, {"norm_eps", "1e-06"},        {"downsample_padding", "0"},
              {"freq_shift", "1"},       {"flip_sin_to_cos", "false"}, {"attention_head_dim", "0"}};

static pjd_status without_config(pjd_hyper *h, const pjd_weights *w, const pjd_log *log, pjd_error *err)
{
    char missing[200] = "";
    size_t used = 0;
    bool attention;
    pjd_status st = infer(h, w, err);

    if (st != PJD_OK)
        return st;
    if (published(h)) {
        pjd_logf(log, PJD_LOG_INFO,
                 WHO ": no config.json; the shapes are those of the published DDPM networks: taking theirs");
        for (size_t i = 0; i < PJD_COUNTOF(untold) && st == PJD_OK; i++)
            st = pjd_hyper_set(h, "table", untold[i].key, err, "%s", untold[i].value);
        if (st == PJD_OK && !pjd_hyper_source(h, "noise_schedule"))
            st = pjd_hyper_set(h, "table", "beta_schedule", err, "linear");
        return st;
    }
    attention = has_attention(w, "mid_block") || strstr(pjd_hyper_text(h, "down_block_types"), "Attn") ||
                strstr(pjd_hyper_text(h, "up_block_types"), "Attn");
    for (size_t i = 0; i < PJD_COUNTOF(untold); i++)
        if (!pjd_hyper_source(h, untold[i].key) && (attention || strcmp(untold[i].key, "attention_head_dim") != 0))
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s=..", used ? "," : "", untold[i].key);
    if (!used)
        return PJD_OK;
    return pjd_error_set(
        err, PJD_ERR_MODEL,
        WHO ": there is no config.json and no published network has these shapes: give --model-config %s", missing);
}

/* ---- opening ---- */

static pjd_status check_json(const pjd_weights *w, pjd_error *err)
{
    static const char *const foreign[] = {"Ve", "FlowMatch", "EDM", "CMStochastic", "Karras"};
    const char *scheduler = pjd_weights_scheduler_config(w), *config = pjd_weights_config(w);
    char name[96] = "";
    pjd_status st = pjd_hyper_json_text(config, "_class_name", name, sizeof name, err);

    if (st != PJD_OK)
        return st;
    if (*name && strcmp(name, "UNet2DModel") != 0)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": config.json describes a %.80s, which is not supported", name);
    st = pjd_hyper_json_text(scheduler, "_class_name", name, sizeof name, err);
    for (size_t i = 0; i < PJD_COUNTOF(foreign) && st == PJD_OK; i++)
        if (strstr(name, foreign[i]))
            return pjd_error_set(err, PJD_ERR_MODEL,
                                 WHO ": a network for %.80s, which is not variance preserving, is not supported", name);
    return st;
}

static pjd_status read_options(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    unet2d *u = net->priv;
    const char *config = pjd_weights_config(net->w);
    pjd_status st = check_json(net->w, err);

    if (st == PJD_OK)
        st = pjd_hyper_json(h, "config", config, "sample_size dropout", log, err);
    if (st == PJD_OK)
        st = pjd_hyper_json(h, "scheduler config", pjd_weights_scheduler_config(net->w),
                            "clip_sample variance_type clip_sample_range thresholding timestep_spacing steps_offset "
                            "dynamic_thresholding_ratio sample_max_value set_alpha_to_one skip_prk_steps",
                            log, err);
    if (st == PJD_OK && !config)
        st = without_config(h, net->w, log, err);
    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &u->opt, sizeof u->opt, err);
    if (st == PJD_OK)
        st = check_options(h, &u->opt, err);
    return st == PJD_OK ? make_levels(h, u, err) : st;
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    unet2d *u = net->priv;
    pjd_blk k;
    pjd_status st = read_options(net, h, log, err);

    if (st != PJD_OK)
        return st;
    net->in_channels = (size_t)u->opt.in_channels;
    net->out_channels = (size_t)u->opt.out_channels;
    pjd_blk_start(&k, WHO, &names, net->tensors, NULL);
    walk(&k, u, (pjd_blk_val){PJD_NN_NONE, net->in_channels});
    st = pjd_blk_check(&k, net->w, NULL, err);
    if (st == PJD_OK)
        st = pjd_net_schedule_apply(h, &u->opt.schedule, log, net, err);
    if (st == PJD_OK)
        st = pjd_hyper_details(h, pjd_weights_config(net->w) ? "config, by default" : "default", net, err);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    net->num_classes = (size_t)u->opt.num_class_embeds;
    net->multiple = (size_t)1 << (u->levels - 1);
    net->center_input = u->opt.center_input_sample;
    net->conditional = net->out_channels != net->in_channels && net->out_channels != 2 * net->in_channels;
    return st;
}

static int unet2d_match(const pjd_weights *w)
{
    if (!pjd_net_find(w, "time_embedding.linear_1.weight") || !pjd_net_find(w, "down_blocks.0.resnets.0.norm1.weight"))
        return 0;
    for (size_t i = 0; i < pjd_weights_count(w); i++)
        if (strstr(pjd_weights_at(w, i)->name, "transformer_blocks."))
            return 0;
    return 100;
}

static pjd_status unet2d_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                              pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_unet2d, WHO, w, config, log, sizeof(unet2d), set_up, out, err);
}

static pjd_nn_value unet2d_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, &names, net->tensors, b);
    return walk(&k, net->priv, (pjd_blk_val){x, net->in_channels}).v;
}

static void unet2d_destroy(pjd_network *net)
{
    unet2d *u = net->priv;

    if (u)
        pjd_params_clear(params, PJD_COUNTOF(params), &u->opt);
}

const pjd_network_class pjd_net_unet2d = {
    .entry = {"unet2d", "diffusers UNet2DModel (config.json and .safetensors or .bin)", params, PJD_COUNTOF(params),
              false},
    .match = unet2d_match,
    .open = unet2d_open,
    .build = unet2d_build,
    .destroy = unet2d_destroy,
};
