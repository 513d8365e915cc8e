/* SPDX-License-Identifier: MIT */
/* Checkpoints that must be refused, each with one line that says why. */
#include <sys/stat.h>
#include <unistd.h>

#include "net_support.h"

/* A DDPM U-Net of one level, or the same with something wrong. */
static void tiny_list(net_zeros *z)
{
    static const char *const blocks[] = {"down.0.block.0", "mid.block_1", "mid.block_2", "up.0.block.0",
                                         "up.0.block.1"};
    static const char *const attn[] = {"norm", "q", "k", "v", "proj_out"};
    char key[96];

    for (size_t i = 0; i < 10; i++) {
        const char *part = i % 2 ? "bias" : "weight";
        bool up = i / 2 >= 3;
        size_t in = up ? 64 : 32;

#define ADD(name_, rank_, ...)                                                                                         \
    (snprintf(key, sizeof key, "%s.%s.%s", blocks[i / 2], name_, part),                                                \
     net_zeros_add(z, key, i % 2 ? 1 : rank_, (const size_t[]){__VA_ARGS__}))
        ADD("norm1", 1, in);
        ADD("conv1", 4, 32, in, 3, 3);
        ADD("temb_proj", 2, 32, 128);
        ADD("norm2", 1, 32);
        ADD("conv2", 4, 32, 32, 3, 3);
        if (up)
            ADD("nin_shortcut", 4, 32, in, 1, 1);
#undef ADD
        snprintf(key, sizeof key, "mid.attn_1.%s.%s", attn[i / 2], part);
        net_zeros_add(z, key, i % 2 || i / 2 == 0 ? 1 : 4, (const size_t[]){32, 32, 1, 1});
    }
    net_zeros_add(z, "temb.dense.0.weight", 2, (const size_t[]){128, 32});
    net_zeros_add(z, "temb.dense.0.bias", 1, (const size_t[]){128});
    net_zeros_add(z, "temb.dense.1.weight", 2, (const size_t[]){128, 128});
    net_zeros_add(z, "temb.dense.1.bias", 1, (const size_t[]){128});
    net_zeros_add(z, "conv_in.weight", 4, (const size_t[]){32, 3, 3, 3});
    net_zeros_add(z, "conv_in.bias", 1, (const size_t[]){32});
    net_zeros_add(z, "norm_out.weight", 1, (const size_t[]){32});
    net_zeros_add(z, "norm_out.bias", 1, (const size_t[]){32});
    net_zeros_add(z, "conv_out.weight", 4, (const size_t[]){3, 32, 3, 3});
    net_zeros_add(z, "conv_out.bias", 1, (const size_t[]){3});
}

/* Open the (changed) list and compare the error; NULL: it opens. */
static void expect(net_zeros *z, const char *extra, const char *error)
{
    pjd_model *m = NULL;
    pjd_error err;
    pjd_status st;

    tiny_list(z);
    if (extra)
        net_zeros_add(z, extra, 1, (const size_t[]){32});
    net_zeros_end(z);
    st = net_open_memory(z->data, z->size, NULL, NULL, &m, &err);
    if (!error) {
        assert_ok(st, &err);
        pjd_model_unref(m);
    } else {
        assert_int_equal(st, PJD_ERR_MODEL);
        assert_null(m);
        assert_string_equal(err.text, error);
    }
    net_zeros_free(z);
}

static void test_keys(void **state)
{
    net_zeros z;

    net_zeros_begin(&z);
    expect(&z, NULL, NULL);
    net_zeros_begin(&z);
    z.drop = "mid.block_2.conv1.weight";
    expect(&z, NULL, "DDPM U-Net: of 74 tensors 1 missing (mid.block_2.conv1.weight)");
    net_zeros_begin(&z);
    z.reshape = "mid.attn_1.k.weight";
    expect(&z, NULL,
           "DDPM U-Net: of 74 tensors 1 of another shape or type (mid.attn_1.k.weight: 33x32x1x1, not 32x32x1x1)");
    net_zeros_begin(&z);
    z.retype = "norm_out.bias";
    expect(&z, NULL,
           "DDPM U-Net: of 74 tensors 1 of another shape or type (norm_out.bias: int16, not a floating-point type)");
    net_zeros_begin(&z);
    expect(&z, "up.0.block.2.norm1.bias", "DDPM U-Net: of 74 tensors 1 unexpected (up.0.block.2.norm1.bias)");
    net_zeros_begin(&z);
    z.drop = "conv_out.bias";
    z.reshape = "conv_in.bias";
    expect(&z, "other.weight",
           "DDPM U-Net: of 74 tensors 1 missing (conv_out.bias); "
           "1 of another shape or type (conv_in.bias: 33, not 32); 1 unexpected (other.weight)");
    /* What the architecture is read from. */
    net_zeros_begin(&z);
    z.reshape = "temb.dense.0.weight";
    expect(&z, NULL, "DDPM U-Net: of 74 tensors 1 of another shape or type (temb.dense.0.weight: 129x32, not 128x32)");
    net_zeros_begin(&z);
    z.drop = "conv_out.weight";
    expect(&z, NULL, "DDPM U-Net: the shapes do not form a U-Net (1 levels of 1 blocks, 32 channels)");
}

/* Many complaints stay one line with a count and the first names. */
static void test_many(void **state)
{
    net_zeros z;
    pjd_model *m = NULL;
    pjd_error err;
    char key[64];

    net_zeros_begin(&z);
    tiny_list(&z);
    for (size_t i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "optimizer.state.%zu", i);
        net_zeros_add(&z, key, 1, (const size_t[]){1});
    }
    net_zeros_end(&z);
    assert_int_equal(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), PJD_ERR_MODEL);
    assert_string_equal(err.text, "DDPM U-Net: of 74 tensors 1000 unexpected (optimizer.state.0, optimizer.state.1, "
                                  "optimizer.state.2, ...)");
    net_zeros_free(&z);
}

static void test_unknown(void **state)
{
    static const struct {
        const char *key, *part;
    } cases[] = {
        {"fc.weight", "not a known network: 1 tensors, the first are fc.weight"},
        {"cond_stage_model.a.weight", "a latent diffusion checkpoint"},
        {"input_blocks.1.1.transformer_blocks.0.norm1.weight", "text-conditional"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        net_zeros z;
        pjd_model *m = NULL;
        pjd_error err;

        net_zeros_begin(&z);
        net_zeros_add(&z, cases[i].key, 1, (const size_t[]){4});
        net_zeros_end(&z);
        assert_int_equal(net_open_memory(z.data, z.size, NULL, NULL, &m, &err), PJD_ERR_MODEL);
        if (!strstr(err.text, cases[i].part))
            fail_msg("%s", err.text);
        net_zeros_free(&z);
    }
}

/* Shapes that lie about a U-Net, or would need absurd memory: refused before anything of that size is made. */
static void test_hostile(void **state)
{
    static const size_t widths[] = {0, 16385, 1000000};
    pjd_model *m = NULL;
    pjd_error err;
    char path[512];

    for (size_t i = 0; i < PJD_COUNTOF(widths); i++) {
        net_zeros z;
        uint64_t before;

        net_zeros_begin(&z);
        net_zeros_add(&z, "time_embed.0.weight", 2, (const size_t[]){1, widths[i]});
        net_zeros_add(&z, "input_blocks.0.0.weight", 2, (const size_t[]){32, 3});
        net_zeros_add(&z, "out.2.weight", 2, (const size_t[]){3, 32});
        net_zeros_end(&z);
        before = pjd_mem_test_count();
        assert_int_equal(net_open_memory(z.data, z.size, "num_heads=1", NULL, &m, &err), PJD_ERR_MODEL);
        assert_true(pjd_mem_test_count() - before < 1000);
        net_zeros_free(&z);
    }
    snprintf(path, sizeof path, "%s", test_source("tests/networks/fixtures/broadcast.pt"));
    assert_int_equal(net_open(path, "num_heads=2,use_new_attention_order=true", NULL, &m, &err), PJD_ERR_MODEL);
    assert_non_null(strstr(err.text, "broadcast view"));
}

/* ---- diffusers folders ---- */

typedef struct folder {
    char path[64];
} folder;

/* A folder with a fixture's weights and this config.json (NULL: the fixture's own) and scheduler_config.json. */
static folder make_folder(const char *config, const char *scheduler)
{
    folder d = {"/tmp/pjd_net_XXXXXX"};
    char from[4096], to[128];
    size_t n;
    unsigned char *own;

    assert_non_null(mkdtemp(d.path));
    snprintf(from, sizeof from, "%s",
             test_source("tests/networks/fixtures/unet2d_attn/diffusion_pytorch_model.safetensors"));
    snprintf(to, sizeof to, "%s/diffusion_pytorch_model.safetensors", d.path);
    own = test_file(from, &n);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"diffusion_pytorch_model.safetensors", "config.json",
                                            "scheduler_config.json"};
        const char *text = i == 1 ? config : scheduler;
        FILE *f;

        if (i == 2 && !scheduler)
            continue;
        snprintf(to, sizeof to, "%s/%s", d.path, names[i]);
        f = fopen(to, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(i == 0 ? (const void *)own : text, 1, i == 0 ? n : strlen(text), f),
                         i == 0 ? n : strlen(text));
        fclose(f);
    }
    free(own);
    return d;
}

static void remove_folder(const folder *d)
{
    static const char *const names[] = {"diffusion_pytorch_model.safetensors", "config.json", "scheduler_config.json"};
    char path[128];

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", d->path, names[i]);
        unlink(path);
    }
    rmdir(d->path);
}

#define CONFIG(more)                                                                                                   \
    "{\"_class_name\": \"UNet2DModel\", \"block_out_channels\": [16, 32], \"layers_per_block\": 1, "                   \
    "\"norm_num_groups\": 8, \"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"]" more "}"
#define DOWN ", \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"]"

static void test_config(void **state)
{
    static const struct {
        const char *config, *part; /* part NULL: opens */
    } cases[] = {
        {CONFIG(DOWN), NULL},
        {CONFIG(DOWN ", \"sample_size\": [32, 32], \"an_unknown_field\": {\"a\": 1}"), NULL},
        {CONFIG(", \"down_block_types\": [\"DownBlock2D\", \"AttnSkipDownBlock2D\"]"),
         "blocks of type AttnSkipDownBlock2D are not supported"},
        {CONFIG(", \"down_block_types\": [\"UNetResDownBlock2D\", \"UNetResAttnDownBlock2D\"]"), NULL},
        {CONFIG(", \"down_block_types\": [\"DownBlock2D\"]"), "2 down_block_types expected, found 1"},
        {CONFIG(", \"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\", \"DownBlock2D\"]"), "more block types"},
        {CONFIG(DOWN ", \"time_embedding_type\": \"fourier\""), "time_embedding_type: only positional"},
        {CONFIG(DOWN ", \"act_fn\": \"mish\""), "act_fn: only silu or swish is supported, found \"mish\""},
        {CONFIG(DOWN ", \"class_embed_type\": \"timestep\""), "class_embed_type"},
        {CONFIG(DOWN ", \"downsample_padding\": 2"), "downsample_padding"},
        {CONFIG(DOWN ", \"attention_head_dim\": 5"), "32 channels do not split into 0 heads"},
        {CONFIG(DOWN ", \"freq_shift\": 100000"), "freq_shift"},
        {CONFIG(DOWN ", \"norm_eps\": \"a lot\""), "norm_eps"},
        {CONFIG(DOWN ", \"in_channels\": [3, 4]"), "in_channels"},
        {CONFIG(DOWN ", \"in_channels\": {}"), "in_channels"},
        {CONFIG(DOWN ", \"in_channels\": 4"), "conv_in.weight: 16x3x3x3, not 16x4x3x3"},
        {CONFIG(DOWN ", \"num_class_embeds\": 10"), "1 missing (class_embedding.weight)"},
        {"{\"_class_name\": \"UNet2DConditionModel\"}", "config.json describes a UNet2DConditionModel"},
        {"{\"_class_name\": \"UNet2DModel\"", "JSON"},
        {"[1, 2]", "config"},
        {"", "config"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        folder d = make_folder(cases[i].config, NULL);
        pjd_model *m = NULL;
        pjd_error err = {0};
        pjd_status st = net_open(d.path, NULL, NULL, &m, &err);

        remove_folder(&d);
        if (!cases[i].part) {
            assert_ok(st, &err);
        } else if (st != PJD_ERR_MODEL || !strstr(err.text, cases[i].part)) {
            fail_msg("%s: %s: \"%s\" expected, found \"%s\"", cases[i].config, pjd_status_name(st), cases[i].part,
                     err.text);
        }
        pjd_model_unref(m);
    }
}

static void test_scheduler(void **state)
{
    static const struct {
        const char *scheduler, *part; /* part: of the error; or NULL */
        const char *schedule;
        size_t steps;
        pjd_prediction prediction;
        double last; /* abar of the last step */
    } cases[] = {
        {"{}", NULL, "linear 0.0001..0.02", 1000, PJD_PREDICT_EPS, 4.0358297654e-05},
        {"{\"_class_name\": \"DDPMScheduler\", \"num_train_timesteps\": 1000, \"beta_schedule\": "
         "\"squaredcos_cap_v2\", "
         "\"prediction_type\": \"v_prediction\", \"trained_betas\": null}",
         NULL, "cosine", 1000, PJD_PREDICT_V, 2.42877e-09},
        {"{\"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085, \"beta_end\": 0.012, "
         "\"prediction_type\": \"sample\"}",
         NULL, "scaled_linear 0.00085..0.012", 1000, PJD_PREDICT_X0, 0.0046600985},
        {"{\"trained_betas\": [0.1, 0.25, 5e-1], \"beta_schedule\": \"linear\"}", NULL, "trained betas", 3,
         PJD_PREDICT_EPS, 0.9 * 0.75 * 0.5},
        {"{\"trained_betas\": [0.1, 1.5]}", "beta 1", NULL, 0, 0, 0},
        {"{\"trained_betas\": [0.1, \"x\"]}", "trained_betas", NULL, 0, 0, 0},
        {"{\"beta_schedule\": \"laplace\"}", "laplace", NULL, 0, 0, 0},
        {"{\"beta_start\": -1}", "beta_start", NULL, 0, 0, 0},
        {"{\"num_train_timesteps\": 1e9}", "num_train_timesteps", NULL, 0, 0, 0},
        {"{\"prediction_type\": \"flow\"}", "prediction_type", NULL, 0, 0, 0},
        {"{\"rescale_betas_zero_snr\": true}", "rescale_betas_zero_snr", NULL, 0, 0, 0},
        {"{\"_class_name\": \"ScoreSdeVeScheduler\"}", "ScoreSdeVeScheduler", NULL, 0, 0, 0},
        {"{", "JSON", NULL, 0, 0, 0},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        folder d = make_folder(CONFIG(DOWN), cases[i].scheduler);
        pjd_model *m = NULL;
        pjd_error err = {0};
        pjd_status st = net_open(d.path, NULL, NULL, &m, &err);

        remove_folder(&d);
        if (cases[i].part) {
            if (st != PJD_ERR_MODEL || !strstr(err.text, cases[i].part))
                fail_msg("%s: %s: found \"%s\"", cases[i].scheduler, pjd_status_name(st), err.text);
            continue;
        }
        assert_ok(st, &err);
        assert_string_equal(pjd_model_get_info(m)->schedule, cases[i].schedule);
        assert_int_equal(pjd_model_get_info(m)->timesteps, cases[i].steps);
        assert_int_equal(pjd_model_get_info(m)->prediction, cases[i].prediction);
        /* 1e-5: the digits given above. */
        assert_at_most(fabs(pjd_model_abar(m, (double)cases[i].steps - 1) / cases[i].last - 1), 1e-5);
        pjd_model_unref(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_many),   cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_config), cmocka_unit_test(test_scheduler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
