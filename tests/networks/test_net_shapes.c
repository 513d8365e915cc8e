/* SPDX-License-Identifier: MIT */
/*
 * The published networks by their key lists alone: names and shapes written here from the networks' description, data of
 * zeros that is never touched. Tensor and parameter counts are the published networks'.
 */
#include "net_support.h"

/* ---- the key lists ---- */

static void add(net_zeros *z, const char *prefix, const char *name, size_t rank, size_t a, size_t b, size_t c, size_t d)
{
    char key[320];

    snprintf(key, sizeof key, "%s.%s", prefix, name);
    net_zeros_add(z, key, rank, (const size_t[]){a, b, c, d});
}

static void pair(net_zeros *z, const char *prefix, const char *name, size_t rank, size_t out, size_t in, size_t k)
{
    char key[192];

    snprintf(key, sizeof key, "%s.weight", name);
    add(z, prefix, key, rank, out, in, k, k);
    snprintf(key, sizeof key, "%s.bias", name);
    add(z, prefix, key, 1, out, 0, 0, 0);
}

enum { CONVS, BLOCKS, POOLS };

typedef struct row {
    const char *file;
    size_t mc, nrb, levels;
    double mult[7];
    unsigned attention; /* bit l */
    size_t classes, in, out;
    bool scale_shift;
    int updown; /* resampling by convolutions, residual blocks, or without tensors: gaps in the numbering */
    size_t tensors;
    uint64_t parameters;
    const char *details[4];
} row;

static void guided_res(net_zeros *z, const row *r, const char *p, size_t in, size_t out)
{
    pair(z, p, "in_layers.0", 1, in, 0, 0);
    pair(z, p, "in_layers.2", 4, out, in, 3);
    pair(z, p, "emb_layers.1", 2, r->scale_shift ? 2 * out : out, 4 * r->mc, 0);
    pair(z, p, "out_layers.0", 1, out, 0, 0);
    pair(z, p, "out_layers.3", 4, out, out, 3);
    if (in != out)
        pair(z, p, "skip_connection", 4, out, in, 1);
}

static void guided_attn(net_zeros *z, const char *p, size_t c)
{
    pair(z, p, "norm", 1, c, 0, 0);
    pair(z, p, "qkv", 3, 3 * c, c, 1);
    pair(z, p, "proj_out", 3, c, c, 1);
}

static size_t width(const row *r, size_t l)
{
    return (size_t)(r->mult[l] * (double)r->mc);
}

static void guided_up(net_zeros *z, const row *r, const size_t *skips, size_t n, size_t c)
{
    size_t j = 0;
    char p[96];

    for (size_t l = r->levels; l-- > 0;)
        for (size_t b = 0; b <= r->nrb; b++, j++) {
            size_t o = width(r, l), part = 1;

            snprintf(p, sizeof p, "output_blocks.%zu.0", j);
            guided_res(z, r, p, c + skips[--n], o);
            c = o;
            if (r->attention >> l & 1) {
                snprintf(p, sizeof p, "output_blocks.%zu.%zu", j, part++);
                guided_attn(z, p, c);
            }
            if (l > 0 && b == r->nrb) {
                snprintf(p, sizeof p, "output_blocks.%zu.%zu", j, part);
                if (r->updown == BLOCKS)
                    guided_res(z, r, p, c, c);
                else if (r->updown != POOLS)
                    pair(z, p, "conv", 4, c, c, 3);
            }
        }
    pair(z, "out", "0", 1, c, 0, 0);
    pair(z, "out", "2", 4, r->out, c, 3);
}

static void guided_list(net_zeros *z, const row *r)
{
    size_t skips[128], n = 0, i = 1, c = width(r, 0);
    char p[96];

    pair(z, "time_embed", "0", 2, 4 * r->mc, r->mc, 0);
    pair(z, "time_embed", "2", 2, 4 * r->mc, 4 * r->mc, 0);
    if (r->classes)
        add(z, "label_emb", "weight", 2, r->classes, 4 * r->mc, 0, 0);
    pair(z, "input_blocks.0", "0", 4, c, r->in, 3);
    skips[n++] = c;
    for (size_t l = 0; l < r->levels; l++) {
        for (size_t b = 0; b < r->nrb; b++, i++) {
            snprintf(p, sizeof p, "input_blocks.%zu.0", i);
            guided_res(z, r, p, c, width(r, l));
            c = skips[n++] = width(r, l);
            snprintf(p, sizeof p, "input_blocks.%zu.1", i);
            if (r->attention >> l & 1)
                guided_attn(z, p, c);
        }
        if (l + 1 < r->levels) {
            snprintf(p, sizeof p, "input_blocks.%zu.0", i++);
            if (r->updown == BLOCKS)
                guided_res(z, r, p, c, c);
            else if (r->updown != POOLS)
                pair(z, p, "op", 4, c, c, 3);
            skips[n++] = c;
        }
    }
    guided_res(z, r, "middle_block.0", c, c);
    guided_attn(z, "middle_block.1", c);
    guided_res(z, r, "middle_block.2", c, c);
    guided_up(z, r, skips, n, c);
}

/* clang-format off */
static const row guided[] = {
    {"64x64_diffusion", 192, 3, 4, {1, 2, 3, 4}, 0xe, 1000, 3, 6, true, BLOCKS, 541, 295904454,
     {"num_head_channels: 64 (table)", "use_new_attention_order: true (table)",
     "schedule: cosine, 1000 steps (table)"}},
    {"128x128_diffusion", 256, 2, 5, {1, 1, 2, 3, 4}, 0x1c, 1000, 3, 6, true, BLOCKS, 493, 421529606,
     {"num_heads: 4 (table)", "use_new_attention_order: false (table)",
     "schedule: linear 0.0001..0.02, 1000 steps (table)"}},
    {"256x256_diffusion", 256, 2, 6, {1, 1, 2, 2, 4, 4}, 0x38, 1000, 3, 6, true, BLOCKS, 567, 553838086,
     {"num_head_channels: 64 (table)", "use_new_attention_order: false (table)"}},
    {"256x256_diffusion_uncond", 256, 2, 6, {1, 1, 2, 2, 4, 4}, 0x38, 0, 3, 6, true, BLOCKS, 566, 552814086,
     {"num_head_channels: 64 (table)", "use_new_attention_order: false (table)",
     "channel_mult: 1,1,2,2,4,4 (inferred)", "attention_resolutions: 8,16,32 (inferred)"}},
    {"512x512_diffusion", 256, 2, 7, {0.5, 1, 1, 2, 2, 4, 4}, 0x70, 1000, 3, 6, true, BLOCKS, 645, 558997638,
     {"num_head_channels: 64 (table)", "channel_mult: 0.5,1,1,2,2,4,4 (inferred)"}},
    {"64_256_upsampler", 192, 2, 6, {1, 1, 2, 2, 4, 4}, 0x38, 1000, 6, 6, true, BLOCKS, 567, 311795910,
     {"num_heads: 4 (table)"}},
    {"128_512_upsampler", 192, 2, 6, {1, 1, 2, 2, 4, 4}, 0x30, 1000, 6, 6, true, BLOCKS, 537, 308835270,
     {"num_head_channels: 64 (table)"}},
    {"ffhq_10m", 128, 1, 6, {1, 1, 2, 2, 4, 4}, 0x10, 0, 3, 6, true, BLOCKS, 362, 93563910,
     {"num_head_channels: 64 (table)", "num_res_blocks: 1 (inferred)", "attention_resolutions: 16 (inferred)"}},
    {"imagenet64_uncond_100M_1500K", 128, 3, 4, {1, 2, 3, 4}, 0xc, 0, 3, 6, true, CONVS, 450, 121063942,
     {"num_heads: 4 (table)", "schedule: cosine, 4000 steps (table)", "rescale_timesteps: true (table)"}},
    {"cifar10_uncond_50M_500K", 128, 3, 4, {1, 2, 2, 2}, 0x6, 0, 3, 6, true, CONVS, 446, 52546438,
     {"num_heads: 4 (table)", "schedule: cosine, 4000 steps (table)"}},
    {"imagenet64_cond_270M_250K", 192, 3, 4, {1, 2, 3, 4}, 0xc, 1000, 3, 6, true, CONVS, 451, 273049350,
     {"num_heads: 4 (table)", "schedule: cosine, 4000 steps (table)"}},
    {"upsample_cond_500K", 192, 2, 6, {1, 1, 2, 2, 4, 4}, 0x30, 1000, 6, 6, true, CONVS, 457, 279792390,
     {"num_heads: 4 (table)", "schedule: linear 2.5e-05..0.005, 4000 steps (table)"}},
    {"lsun_uncond_100M_1200K_bs128", 128, 2, 6, {1, 1, 2, 2, 4, 4}, 0x10, 0, 3, 6, false, CONVS, 426, 113676678,
     {"num_heads: 1 (table)", "use_scale_shift_norm: false (inferred)"}},
};
/* clang-format on */

static void check_row(const row *r)
{
    net_zeros z;
    pjd_model *m = NULL;
    pjd_error err;
    const pjd_model_info *i;
    char line[128];

    net_zeros_begin(&z);
    guided_list(&z, r);
    net_zeros_end(&z);
    assert_int_equal(z.tensors, r->tensors);
    if (net_open_memory(z.data, z.size, NULL, NULL, &m, &err) != PJD_OK)
        fail_msg("%s: %s", r->file, err.text);
    i = pjd_model_get_info(m);
    assert_true(i->parameters == r->parameters);
    assert_int_equal(i->in_channels, r->in);
    assert_int_equal(i->out_channels, r->out);
    assert_int_equal(i->num_classes, r->classes);
    assert_int_equal(i->multiple, (size_t)1 << (r->levels - 1));
    snprintf(line, sizeof line, "shapes of: %s.pt (table)", r->file);
    if (!net_has_detail(m, line))
        fail_msg("no line \"%s\"", line);
    for (size_t k = 0; k < 4 && r->details[k]; k++)
        if (!net_has_detail(m, r->details[k]))
            fail_msg("%s: no line \"%s\"", r->file, r->details[k]);
    pjd_model_unref(m);
    net_zeros_free(&z);
}

static void test_guided(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(guided); i++)
        check_row(&guided[i]);
}

/* An option beats the table; what no table knows needs options. */
static void test_guided_options(void **state)
{
    row r = guided[7];
    net_zeros z;
    pjd_model *m = NULL;
    pjd_error err;

    net_zeros_begin(&z);
    guided_list(&z, &r);
    net_zeros_end(&z);
    assert_ok(net_open_memory(z.data, z.size, "num_heads=8,beta_schedule=scaled_linear", NULL, &m, &err), &err);
    assert_true(net_has_detail(m, "num_heads: 8 (option)"));
    assert_true(net_has_detail(m, "num_head_channels: -1 (default)"));
    assert_true(net_has_detail(m, "use_new_attention_order: false (table)"));
    assert_true(net_has_detail(m, "schedule: scaled_linear 0.0001..0.02, 1000 steps (option)"));
    pjd_model_unref(m);
    assert_int_equal(net_open_memory(z.data, z.size, "num_head_channels=63", NULL, &m, &err), PJD_ERR_MODEL);
    assert_int_equal(net_open_memory(z.data, z.size, "num_heads=many", NULL, &m, &err), PJD_ERR_ARG);
    assert_int_equal(net_open_memory(z.data, z.size, "heads=4", NULL, &m, &err), PJD_ERR_ARG);
    assert_int_equal(net_open_memory(z.data, z.size, "num_heads=4,num_heads=4", NULL, &m, &err), PJD_ERR_ARG);
    assert_int_equal(net_open_memory(z.data, z.size, "noise_schedule=none at all", NULL, &m, &err), PJD_ERR_ARG);
    net_zeros_free(&z);

    r.mc = 96;
    net_zeros_begin(&z);
    guided_list(&z, &r);
    net_zeros_end(&z);
    assert_int_equal(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), PJD_ERR_MODEL);
    assert_non_null(strstr(err.text, "--model-config num_head_channels=..,use_new_attention_order=.."));
    assert_int_equal(net_open_memory(z.data, z.size, "num_heads=2", NULL, &m, &err), PJD_ERR_MODEL);
    assert_non_null(strstr(err.text, "use_new_attention_order"));
    assert_ok(net_open_memory(z.data, z.size, "num_heads=1", NULL, &m, &err), &err); /* one head: any order */
    pjd_model_unref(m);
    net_zeros_free(&z);
}

/* ---- DDPM ---- */

static void ddpm_res(net_zeros *z, const char *p, size_t in, size_t out, size_t e)
{
    pair(z, p, "norm1", 1, in, 0, 0);
    pair(z, p, "conv1", 4, out, in, 3);
    pair(z, p, "temb_proj", 2, out, e, 0);
    pair(z, p, "norm2", 1, out, 0, 0);
    pair(z, p, "conv2", 4, out, out, 3);
    if (in != out)
        pair(z, p, "nin_shortcut", 4, out, in, 1);
}

static void ddpm_attn(net_zeros *z, const char *p, size_t c)
{
    static const char *const names[] = {"q", "k", "v", "proj_out"};

    pair(z, p, "norm", 1, c, 0, 0);
    for (size_t i = 0; i < 4; i++)
        pair(z, p, names[i], 4, c, c, 1);
}

static void ddpm_list(net_zeros *z, const row *r)
{
    size_t skips[128], n = 0, c = r->mc, e = 4 * r->mc;
    char p[96];

    pair(z, "temb", "dense.0", 2, e, r->mc, 0);
    pair(z, "temb", "dense.1", 2, e, e, 0);
    net_zeros_add(z, "conv_in.weight", 4, (const size_t[]){r->mc, r->in, 3, 3});
    net_zeros_add(z, "conv_in.bias", 1, &r->mc);
    skips[n++] = c;
    for (size_t l = 0; l < r->levels; l++) {
        for (size_t b = 0; b < r->nrb; b++) {
            snprintf(p, sizeof p, "down.%zu.block.%zu", l, b);
            ddpm_res(z, p, c, width(r, l), e);
            c = skips[n++] = width(r, l);
            snprintf(p, sizeof p, "down.%zu.attn.%zu", l, b);
            if (r->attention >> l & 1)
                ddpm_attn(z, p, c);
        }
        snprintf(p, sizeof p, "down.%zu.downsample", l);
        if (l + 1 < r->levels) {
            if (r->updown != POOLS)
                pair(z, p, "conv", 4, c, c, 3);
            skips[n++] = c;
        }
    }
    ddpm_res(z, "mid.block_1", c, c, e);
    ddpm_attn(z, "mid.attn_1", c);
    ddpm_res(z, "mid.block_2", c, c, e);
    for (size_t l = r->levels; l-- > 0;) {
        for (size_t b = 0; b <= r->nrb; b++) {
            snprintf(p, sizeof p, "up.%zu.block.%zu", l, b);
            ddpm_res(z, p, c + skips[--n], width(r, l), e);
            c = width(r, l);
            snprintf(p, sizeof p, "up.%zu.attn.%zu", l, b);
            if (r->attention >> l & 1)
                ddpm_attn(z, p, c);
        }
        snprintf(p, sizeof p, "up.%zu.upsample", l);
        if (l > 0 && r->updown != POOLS)
            pair(z, p, "conv", 4, c, c, 3);
    }
    net_zeros_add(z, "norm_out.weight", 1, &c);
    net_zeros_add(z, "norm_out.bias", 1, &c);
    net_zeros_add(z, "conv_out.weight", 4, (const size_t[]){r->out, c, 3, 3});
    net_zeros_add(z, "conv_out.bias", 1, &r->out);
}

static const row ddpm[] = {
    {"cifar10", 128, 2, 4, {1, 2, 2, 2}, 0x2, 0, 3, 3, false, CONVS, 328, 35746307, {NULL}},
    {"lsun or celeba_hq 256x256", 128, 2, 6, {1, 1, 2, 2, 4, 4}, 0x10, 0, 3, 3, false, CONVS, 450, 113673219, {NULL}},
    {"celeba 64x64", 128, 2, 5, {1, 2, 2, 2, 4}, 0x4, 0, 3, 3, false, CONVS, 390, 78700803, {NULL}},
};

static void test_ddpm(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(ddpm); i++) {
        const row *r = &ddpm[i];
        net_zeros z;
        net_log log = {""};
        pjd_model *m = NULL;
        pjd_error err;
        char line[128];

        net_zeros_begin(&z);
        ddpm_list(&z, r);
        assert_int_equal(z.tensors, r->tensors);
        net_zeros_add(&z, "logvar", 1, (const size_t[]){1000}); /* there in one variant, and not used */
        net_zeros_end(&z);
        if (net_open_memory(z.data, z.size, NULL, &log, &m, &err) != PJD_OK)
            fail_msg("%s: %s", r->file, err.text);
        assert_true(pjd_model_get_info(m)->parameters == r->parameters);
        assert_int_equal(pjd_model_get_info(m)->out_channels, 3);
        snprintf(line, sizeof line, "shapes of: %s (table)", r->file);
        assert_true(net_has_detail(m, line));
        assert_true(net_has_detail(m, "schedule: linear 0.0001..0.02, 1000 steps (table)"));
        assert_null(strstr(log.text, "assuming"));
        pjd_model_unref(m);
        net_zeros_free(&z);
    }
}

/* Without convolutions in the resamplers there is a network all the same, and it runs. */
static void test_pooled(void **state)
{
    static const row rows[] = {
        {.mc = 32,
         .nrb = 2,
         .levels = 3,
         .mult = {1, 2, 1},
         .attention = 2,
         .in = 3,
         .out = 6,
         .updown = POOLS,
         .details = {NULL}},
        {.mc = 32,
         .nrb = 1,
         .levels = 3,
         .mult = {1, 1, 2},
         .attention = 4,
         .in = 3,
         .out = 3,
         .updown = POOLS,
         .details = {NULL}},
    };

    for (size_t i = 0; i < 4; i++) {
        bool is_ddpm = i >= 2;
        pjd_shape item = pjd_shape_chw(3, 8, 12);
        float in[3 * 8 * 12] = {1}, out[6 * 8 * 12];
        net_zeros z;
        pjd_model *m = NULL;
        pjd_error err;
        void *plan = NULL;

        net_zeros_begin(&z);
        if (is_ddpm)
            ddpm_list(&z, &rows[i % 2]);
        else
            guided_list(&z, &rows[i % 2]);
        net_zeros_end(&z);
        assert_ok(net_open_memory(z.data, z.size, is_ddpm ? NULL : "num_heads=1", NULL, &m, &err), &err);
        assert_true(
            net_has_detail(m, is_ddpm ? "resamp_with_conv: false (inferred)" : "resampling: pooling (inferred)"));
        assert_int_equal(pjd_model_get_info(m)->multiple, 4);
        assert_ok(m->v->plan(m, 1, &item, NULL, &plan, &err), &err);
        assert_ok(m->v->raw(m, plan, in, 5, out, &err), &err);
        assert_true(out[0] == 0); /* all weights are */
        m->v->state_free(m, plan);
        pjd_model_unref(m);
        net_zeros_free(&z);
    }
}

/* ---- diffusers without a config.json ---- */

static void diffusers_res(net_zeros *z, const char *p, size_t in, size_t out, size_t e)
{
    pair(z, p, "norm1", 1, in, 0, 0);
    pair(z, p, "conv1", 4, out, in, 3);
    pair(z, p, "time_emb_proj", 2, out, e, 0);
    pair(z, p, "norm2", 1, out, 0, 0);
    pair(z, p, "conv2", 4, out, out, 3);
    if (in != out)
        pair(z, p, "conv_shortcut", 4, out, in, 1);
}

static void diffusers_attn(net_zeros *z, const char *p, size_t c, bool old)
{
    static const char *const names[2][4] = {{"to_q", "to_k", "to_v", "to_out.0"},
                                            {"query", "key", "value", "proj_attn"}};

    pair(z, p, "group_norm", 1, c, 0, 0);
    for (size_t i = 0; i < 4; i++)
        pair(z, p, names[old][i], 2, c, c, 0);
}

static void diffusers_list(net_zeros *z, const row *r, bool old)
{
    size_t skips[128], n = 0, c = r->mc, e = 4 * r->mc;
    char p[96];

    pair(z, "time_embedding", "linear_1", 2, e, r->mc, 0);
    pair(z, "time_embedding", "linear_2", 2, e, e, 0);
    net_zeros_add(z, "conv_in.weight", 4, (const size_t[]){r->mc, r->in, 3, 3});
    net_zeros_add(z, "conv_in.bias", 1, &r->mc);
    skips[n++] = c;
    for (size_t l = 0; l < r->levels; l++) {
        for (size_t b = 0; b < r->nrb; b++) {
            snprintf(p, sizeof p, "down_blocks.%zu.resnets.%zu", l, b);
            diffusers_res(z, p, c, width(r, l), e);
            c = skips[n++] = width(r, l);
            snprintf(p, sizeof p, "down_blocks.%zu.attentions.%zu", l, b);
            if (r->attention >> l & 1)
                diffusers_attn(z, p, c, old);
        }
        snprintf(p, sizeof p, "down_blocks.%zu.downsamplers.0", l);
        if (l + 1 < r->levels) {
            pair(z, p, "conv", 4, c, c, 3);
            skips[n++] = c;
        }
    }
    diffusers_res(z, "mid_block.resnets.0", c, c, e);
    diffusers_attn(z, "mid_block.attentions.0", c, old);
    diffusers_res(z, "mid_block.resnets.1", c, c, e);
    for (size_t i = 0; i < r->levels; i++) {
        size_t l = r->levels - 1 - i;

        for (size_t b = 0; b <= r->nrb; b++) {
            snprintf(p, sizeof p, "up_blocks.%zu.resnets.%zu", i, b);
            diffusers_res(z, p, c + skips[--n], width(r, l), e);
            c = width(r, l);
            snprintf(p, sizeof p, "up_blocks.%zu.attentions.%zu", i, b);
            if (r->attention >> l & 1)
                diffusers_attn(z, p, c, old);
        }
        snprintf(p, sizeof p, "up_blocks.%zu.upsamplers.0", i);
        if (l > 0)
            pair(z, p, "conv", 4, c, c, 3);
    }
    net_zeros_add(z, "conv_norm_out.weight", 1, &c);
    net_zeros_add(z, "conv_norm_out.bias", 1, &c);
    net_zeros_add(z, "conv_out.weight", 4, (const size_t[]){r->out, c, 3, 3});
    net_zeros_add(z, "conv_out.bias", 1, &r->out);
}

static void test_diffusers(void **state)
{
    for (size_t i = 0; i < 4; i++) {
        const row *r = &ddpm[i / 2];
        net_zeros z;
        net_log log = {""};
        pjd_model *m = NULL;
        pjd_error err;

        net_zeros_begin(&z);
        diffusers_list(&z, r, i % 2);
        net_zeros_end(&z);
        assert_int_equal(z.tensors, r->tensors);
        assert_ok(net_open_memory(z.data, z.size, NULL, &log, &m, &err), &err);
        assert_true(pjd_model_get_info(m)->parameters == r->parameters);
        assert_true(net_has_detail(m, "attention_head_dim: 0 (table)"));
        assert_true(net_has_detail(m, "flip_sin_to_cos: false (table)"));
        assert_true(net_has_detail(m, "layers_per_block: 2 (inferred)"));
        assert_non_null(strstr(log.text, "no config.json"));
        pjd_model_unref(m);
        net_zeros_free(&z);
    }
}

/* Other shapes need to be told what the shapes do not tell; all of it, by name. */
static void test_diffusers_untold(void **state)
{
    static const char *const full =
        "norm_num_groups=8,norm_eps=1e-6,downsample_padding=0,freq_shift=1,flip_sin_to_cos=false";
    row r = ddpm[2];
    net_zeros z;
    pjd_model *m = NULL;
    pjd_error err;
    char text[256];

    net_zeros_begin(&z);
    diffusers_list(&z, &r, false);
    net_zeros_end(&z);
    assert_int_equal(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), PJD_ERR_MODEL);
    assert_non_null(strstr(err.text,
                           "--model-config norm_num_groups=..,norm_eps=..,downsample_padding=..,freq_shift=..,"
                           "flip_sin_to_cos=..,attention_head_dim=.."));
    assert_int_equal(net_open_memory(z.data, z.size, full, NULL, &m, &err), PJD_ERR_MODEL);
    assert_non_null(strstr(err.text, "--model-config attention_head_dim=.."));
    snprintf(text, sizeof text, "%s,attention_head_dim=8", full);
    assert_ok(net_open_memory(z.data, z.size, text, NULL, &m, &err), &err);
    assert_true(net_has_detail(m, "norm_num_groups: 8 (option)"));
    assert_true(net_has_detail(m, "block_out_channels: 128,256,256,256,512 (inferred)"));
    assert_true(net_has_detail(
        m, "down_block_types: DownBlock2D,DownBlock2D,AttnDownBlock2D,DownBlock2D,DownBlock2D (inferred)"));
    pjd_model_unref(m);
    snprintf(text, sizeof text, "%s,attention_head_dim=7", full);
    assert_int_equal(net_open_memory(z.data, z.size, text, NULL, &m, &err), PJD_ERR_MODEL);
    net_zeros_free(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guided), cmocka_unit_test(test_guided_options), cmocka_unit_test(test_ddpm),
        cmocka_unit_test(test_pooled), cmocka_unit_test(test_diffusers),      cmocka_unit_test(test_diffusers_untold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
