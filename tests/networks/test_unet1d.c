/* SPDX-License-Identifier: MIT */
/* The published UNet1d by its key list, data of zeros that is never touched; what is refused. */
#include "net_support.h"

typedef struct shape_of {
    size_t stems, channels, patch, levels;
    size_t mult[8], factor[7], blocks;
    unsigned attention; /* bit i */
    size_t width;       /* heads * features */
} shape_of;

static const shape_of published = {.stems = 4,
                                   .channels = 256,
                                   .patch = 16,
                                   .levels = 6,
                                   .mult = {1, 2, 4, 4, 4, 4, 4},
                                   .factor = {4, 4, 4, 2, 2, 2},
                                   .blocks = 2,
                                   .attention = 0x38,
                                   .width = 1024};
static const shape_of small = {.stems = 1,
                               .channels = 16,
                               .patch = 4,
                               .levels = 2,
                               .mult = {1, 1, 2},
                               .factor = {2, 2},
                               .blocks = 1,
                               .attention = 2,
                               .width = 32};

static void add(net_zeros *z, const char *prefix, const char *name, size_t rank, size_t a, size_t b, size_t c)
{
    char key[200];

    snprintf(key, sizeof key, "%s%s", prefix, name);
    net_zeros_add(z, key, rank, (const size_t[]){a, b, c});
}

static void res(net_zeros *z, const shape_of *s, const char *p, size_t in, size_t out)
{
    add(z, p, ".block1.groupnorm.weight", 1, in, 0, 0);
    add(z, p, ".block1.groupnorm.bias", 1, in, 0, 0);
    add(z, p, ".block1.project.weight", 3, out, in, 3);
    add(z, p, ".block1.project.bias", 1, out, 0, 0);
    add(z, p, ".to_scale_shift.to_scale_shift.1.weight", 2, 2 * out, 4 * s->channels, 0);
    add(z, p, ".to_scale_shift.to_scale_shift.1.bias", 1, 2 * out, 0, 0);
    add(z, p, ".block2.groupnorm.weight", 1, out, 0, 0);
    add(z, p, ".block2.groupnorm.bias", 1, out, 0, 0);
    add(z, p, ".block2.project.weight", 3, out, out, 3);
    add(z, p, ".block2.project.bias", 1, out, 0, 0);
    if (in != out) {
        add(z, p, ".to_out.weight", 3, out, in, 1);
        add(z, p, ".to_out.bias", 1, out, 0, 0);
    }
}

static void attn(net_zeros *z, const shape_of *s, const char *p, size_t c)
{
    add(z, p, ".attention.fn.norm.g", 1, c, 0, 0);
    add(z, p, ".attention.fn.to_q.weight", 2, s->width, c, 0);
    add(z, p, ".attention.fn.to_kv.weight", 2, 2 * s->width, c, 0);
    add(z, p, ".attention.fn.attention.to_out.0.weight", 2, c, s->width, 0);
    add(z, p, ".attention.fn.attention.to_out.1.g", 1, c, 0, 0);
}

static void transformer(net_zeros *z, const shape_of *s, const char *p, size_t c)
{
    attn(z, s, p, c);
    add(z, p, ".feed_forward.0.g", 3, 1, c, 1);
    add(z, p, ".feed_forward.1.weight", 3, 2 * c, c, 1);
    add(z, p, ".feed_forward.3.g", 3, 1, 2 * c, 1);
    add(z, p, ".feed_forward.4.weight", 3, c, 2 * c, 1);
}

static void levels(net_zeros *z, const shape_of *s)
{
    char p[64];

    for (size_t i = 0; i < s->levels; i++) {
        size_t in = s->mult[i] * s->channels, out = s->mult[i + 1] * s->channels, k = s->levels - 1 - i;
        bool attention = s->attention >> i & 1;

        snprintf(p, sizeof p, "downsamples.%zu", i);
        add(z, p, ".downsample.weight", 3, out, in, 2 * s->factor[i] + 1);
        add(z, p, ".downsample.bias", 1, out, 0, 0);
        snprintf(p, sizeof p, "upsamples.%zu", k);
        add(z, p, ".upsample.weight", 3, out, in, 2 * s->factor[i]);
        add(z, p, ".upsample.bias", 1, in, 0, 0);
        for (size_t j = 0; j < s->blocks + attention; j++) {
            snprintf(p, sizeof p, "downsamples.%zu.blocks.%zu", i, j);
            if (j < s->blocks)
                res(z, s, p, out, out);
            snprintf(p, sizeof p, "upsamples.%zu.blocks.%zu", k, j);
            res(z, s, p, 2 * out, out);
        }
        for (int up = 0; up < 2 && attention; up++) {
            snprintf(p, sizeof p, "%ssamples.%zu.transformer", up ? "up" : "down", up ? k : i);
            transformer(z, s, p, out);
        }
    }
}

static void list(net_zeros *z, const shape_of *s)
{
    size_t e = 4 * s->channels, c = s->mult[s->levels] * s->channels;

    add(z, "to_time.0.0.", "weights", 1, s->channels / 2, 0, 0);
    add(z, "to_time.0.1.", "weight", 2, e, s->channels + 1, 0);
    add(z, "to_time.0.1.", "bias", 1, e, 0, 0);
    add(z, "to_mapping.", "0.weight", 2, e, e, 0);
    add(z, "to_mapping.", "0.bias", 1, e, 0, 0);
    add(z, "to_mapping.", "2.weight", 2, e, e, 0);
    add(z, "to_mapping.", "2.bias", 1, e, 0, 0);
    res(z, s, "to_in.module_list.0.block", s->stems, s->channels / s->patch);
    levels(z, s);
    res(z, s, "bottleneck.pre_block", c, c);
    attn(z, s, "bottleneck", c);
    res(z, s, "bottleneck.post_block", c, c);
    res(z, s, "to_out.module_list.0.block", s->channels / s->patch, s->stems);
}

/* Counts of the published networks, joint and of one stem. */
static void published_networks(void **state)
{
    static const uint64_t parameters[] = {405497700, 405491100};

    for (int single = 0; single < 2; single++) {
        shape_of s = published;
        const pjd_model_info *i;
        net_zeros z;
        pjd_model *m;
        pjd_error err;

        s.stems = single ? 1 : 4;
        net_zeros_begin(&z);
        list(&z, &s);
        net_zeros_end(&z);
        assert_int_equal(z.tensors, 434);
        assert_ok(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), &err);
        i = pjd_model_get_info(m);
        assert_true(i->parameters == parameters[single]);
        assert_int_equal(i->multiple, 8192);
        assert_int_equal(i->stem_count, single ? 0 : 4);
        assert_true(i->sequence && i->preconditioned);
        assert_at_most(fabs(i->sigma_scale - 1), 0);
        assert_true(net_has_detail(m, "factors: 4,4,4,2,2,2 (inferred)"));
        assert_true(net_has_detail(m, "multipliers: 1,2,4,4,4,4,4 (inferred)"));
        assert_true(net_has_detail(m, "attention_features: 128 (inferred)"));
        assert_true(net_has_detail(m, "attention_heads: 8 (published)"));
        pjd_model_unref(m);
        net_zeros_free(&z);
    }
}

static void expect(const char *config, const char *drop, const char *reshape, pjd_status status, const char *part)
{
    net_zeros z;
    pjd_model *m;
    pjd_error err;
    pjd_status st;

    net_zeros_begin(&z);
    z.drop = drop;
    z.reshape = reshape;
    list(&z, &small);
    net_zeros_end(&z);
    st = net_open_memory(z.data, z.size, config, NULL, &m, &err);
    if (st != status || (st != PJD_OK && !strstr(err.text, part)))
        fail_msg("%s: status %d, %s", config ? config : part, (int)st, st == PJD_OK ? "" : err.text);
    assert_true((m != NULL) == (status == PJD_OK));
    pjd_model_unref(m);
    net_zeros_free(&z);
}

static void refused(void **state)
{
    expect("attention_heads=4", NULL, NULL, PJD_OK, "");
    expect("stems=bass", NULL, NULL, PJD_OK, "");
    expect("stems=bass;drums", NULL, NULL, PJD_OK, ""); /* one name, an odd one */
    expect("attention_heads=5", NULL, NULL, PJD_ERR_ARG, "attention_heads");
    expect("attention_features=3", NULL, NULL, PJD_ERR_MODEL, "heads");
    expect("in_channels=2", NULL, NULL, PJD_ERR_ARG, "in_channels=2");
    expect("channels=32", NULL, NULL, PJD_ERR_ARG, "channels=32");
    expect("patch_factor=16", NULL, NULL, PJD_ERR_ARG, "patch_factor=16");
    expect("patch_blocks=2", NULL, NULL, PJD_ERR_ARG, "patch_blocks");
    expect("resnet_groups=3", NULL, NULL, PJD_ERR_MODEL, "3 groups");
    expect("kernel_multiplier_downsample=3", NULL, NULL, PJD_ERR_MODEL, "kernel_multiplier_downsample");
    expect("use_context_time=false", NULL, NULL, PJD_ERR_ARG, "use_context_time");
    expect("diffusion_dynamic_threshold=0.95", NULL, NULL, PJD_ERR_ARG, "diffusion_dynamic_threshold");
    expect("diffusion_sigma_data=0", NULL, NULL, PJD_ERR_ARG, "diffusion_sigma_data");
    expect("beta_start=0.1", NULL, NULL, PJD_ERR_ARG, "beta_start");
    expect(NULL, "downsamples.0.downsample.weight", NULL, PJD_ERR_MODEL, "levels");
    expect(NULL, "to_mapping.2.bias", NULL, PJD_ERR_MODEL, "to_mapping.2.bias");
    expect(NULL, "upsamples.1.upsample.weight", NULL, PJD_ERR_MODEL, "upsamples.1.upsample.weight");
    expect(NULL, NULL, "downsamples.1.downsample.weight", PJD_ERR_MODEL, "33 channels");
    expect(NULL, NULL, "bottleneck.attention.fn.norm.g", PJD_ERR_MODEL, "bottleneck.attention.fn.norm.g");
}

/* All zeros, but it runs: the skip connection of the preconditioning alone is left, clamped. */
static void runs(void **state)
{
    const pjd_shape item = pjd_shape_chw(1, 1, 16);
    float x[16], y[16];
    net_zeros z;
    pjd_model *m;
    pjd_runner_options o = {.threads = 1, .exact_size = true};
    pjd_runner *r;
    pjd_error err;

    net_zeros_begin(&z);
    list(&z, &small);
    net_zeros_end(&z);
    assert_ok(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), &err);
    assert_ok(pjd_runner_create(m, 1, &item, &o, &r, &err), &err);
    for (int i = 0; i < 16; i++)
        x[i] = (float)(i - 8);
    assert_ok(pjd_runner_denoise_sigma(r, x, 0.2, y, &err), &err);
    for (int i = 0; i < 16; i++)
        assert_at_most(fabs(y[i] - fmax(-1, fmin(1, 0.5 * x[i]))), 1e-6);
    pjd_runner_free(r);
    pjd_model_unref(m);
    net_zeros_free(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_networks),
        cmocka_unit_test(refused),
        cmocka_unit_test(runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
