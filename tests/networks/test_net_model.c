/* SPDX-License-Identifier: MIT */
/* A network as a model: what pjd_model_open fills in, and how a prediction becomes a clean estimate. */
#include <pthread.h>

#include "net_support.h"

static const char new_order[] = "num_head_channels=16,use_new_attention_order=true";

static const char *fixture(const char *name)
{
    static char path[4096];
    char below[256];

    snprintf(below, sizeof below, "tests/networks/fixtures/%s", name);
    snprintf(path, sizeof path, "%s", test_source(below));
    return path;
}

static pjd_model *open_model(const char *name, const char *config)
{
    pjd_model_options opt = {.config = config};
    pjd_model *m = NULL;
    pjd_error err;

    assert_ok(pjd_model_open(fixture(name), &opt, &m, &err), &err);
    return m;
}

enum { SIDE = 32, PIXELS = SIDE * SIDE };

/* Raw output and clean estimate of two items at t. */
typedef struct result {
    float x[2 * 3 * PIXELS], raw[2 * 6 * PIXELS], x0[2 * 3 * PIXELS];
    double abar;
} result;

static void evaluate(pjd_model *m, double t, const int *classes, result *r)
{
    pjd_shape item = pjd_shape_chw(3, SIDE, SIDE);
    pjd_runner_options opt = {.threads = 2, .classes = classes};
    pjd_runner *run = NULL;
    pjd_error err;

    test_random(r->x, PJD_COUNTOF(r->x), 7);
    assert_ok(pjd_runner_create(m, 2, &item, &opt, &run, &err), &err);
    assert_ok(pjd_runner_raw(run, r->x, t, r->raw, &err), &err);
    memcpy(r->x0, r->x, sizeof r->x); /* the same buffer in and out */
    assert_ok(pjd_runner_denoise(run, r->x0, t, r->x0, &err), &err);
    r->abar = pjd_model_abar(m, t);
    pjd_runner_free(run);
}

/* x0 = cx x + cp prediction, of the first 3 channels of each item; 1e-6: float32 rounding of one multiply-add. */
static void check_x0(const result *r, size_t out_channels, double cx, double cp)
{
    for (size_t b = 0; b < 2; b++)
        for (size_t i = 0; i < 3 * PIXELS; i++) {
            double want = cx * r->x[b * 3 * PIXELS + i] + cp * r->raw[b * out_channels * PIXELS + i];

            assert_at_most(fabs(r->x0[b * 3 * PIXELS + i] - want), 1e-6 * (1 + fabs(cx * 5) + fabs(want)));
        }
}

static void test_predictions(void **state)
{
    static result r;
    pjd_model *m = open_model("unet2d_attn", NULL);
    double sa, sb;

    evaluate(m, 300, NULL, &r);
    sa = sqrt(r.abar);
    sb = sqrt(1 - r.abar);
    check_x0(&r, 3, 1 / sa, -sb / sa);
    pjd_model_unref(m);
    m = open_model("unet2d_attn", "prediction_type=v_prediction");
    evaluate(m, 300, NULL, &r);
    check_x0(&r, 3, sa, -sb);
    pjd_model_unref(m);
    m = open_model("unet2d_attn", "predict_xstart=true");
    assert_int_equal(pjd_model_get_info(m)->prediction, PJD_PREDICT_X0);
    evaluate(m, 300, NULL, &r);
    check_x0(&r, 3, 0, 1);
    pjd_model_unref(m);
}

/* The learned variance follows each item's prediction and is left out. */
static void test_learned_variance(void **state)
{
    static result r;
    const int classes[2] = {1, 4};
    pjd_model *m = open_model("guided_blocks/model.pt", new_order);

    assert_int_equal(pjd_model_get_info(m)->out_channels, 6);
    evaluate(m, 40.5, classes, &r);
    check_x0(&r, 6, 1 / sqrt(r.abar), -sqrt(1 - r.abar) / sqrt(r.abar));
    pjd_model_unref(m);
}

/* With 500 steps and rescaled timesteps step t is the network's 2 t. */
static void test_rescaled(void **state)
{
    static result a, b;
    pjd_model *plain = open_model("unet2d_attn", NULL);
    pjd_model *scaled = open_model("unet2d_attn", "diffusion_steps=500,noise_schedule=cosine,rescale_timesteps=true");

    assert_int_equal(pjd_model_get_info(scaled)->timesteps, 500);
    evaluate(plain, 246, NULL, &a);
    evaluate(scaled, 123, NULL, &b);
    assert_memory_equal(a.raw, b.raw, 2 * 3 * PIXELS * sizeof(float));
    pjd_model_unref(plain);
    pjd_model_unref(scaled);
}

static void test_info(void **state)
{
    pjd_model *m = open_model("guided_blocks/model.pt", new_order);
    const pjd_model_info *i = pjd_model_get_info(m);

    assert_string_equal(i->family, "guided-diffusion UNetModel");
    assert_string_equal(i->container, "torch zip");
    assert_string_equal(i->schedule, "linear 0.0001..0.02");
    assert_int_equal(i->in_channels, 3);
    assert_int_equal(i->multiple, 2);
    assert_int_equal(i->num_classes, 6);
    assert_int_equal(i->timesteps, 1000);
    assert_true(i->range_low == -1 && i->range_high == 1 && i->sigma_scale == 2 && !i->fixed_size);
    assert_true(net_has_detail(m, "num_head_channels: 16 (option)"));
    assert_true(net_has_detail(m, "schedule: linear 0.0001..0.02, 1000 steps (assumed)"));
    assert_true(net_has_detail(m, "num_classes: 6 (inferred)"));
    pjd_model_unref(m);
    m = open_model("unet2d_attn", NULL);
    i = pjd_model_get_info(m);
    assert_string_equal(i->family, "diffusers UNet2DModel");
    assert_string_equal(i->container, "safetensors");
    assert_true(net_has_detail(m, "block_out_channels: 16,32 (config)"));
    assert_true(net_has_detail(m, "norm_eps: 1e-05 (config, by default)"));
    pjd_model_unref(m);
}

static void test_assumption_is_logged(void **state)
{
    net_log log = {""};
    pjd_model_options opt = {.config = new_order, .log = {net_log_line, &log}};
    pjd_model *m = NULL;
    pjd_error err;

    assert_ok(pjd_model_open(fixture("guided_blocks/model.pt"), &opt, &m, &err), &err);
    assert_non_null(strstr(log.text, "does not tell its noise schedule: assuming linear 0.0001..0.02 with 1000 steps"));
    pjd_model_unref(m);
}

static void test_refused(void **state)
{
    pjd_model *m = NULL;
    pjd_error err;
    pjd_model_options bad = {.config = "=3"};
    const int classes[2] = {1, 6};
    pjd_runner_options opt = {.classes = classes};
    pjd_shape item = pjd_shape_chw(3, 32, 32), odd = pjd_shape_chw(3, 32, 31);
    void *plan = NULL;

    assert_int_equal(pjd_model_open("", NULL, &m, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_model_open("/nowhere/at/all.pt", NULL, &m, &err), PJD_ERR_IO);
    assert_int_equal(pjd_model_open(fixture("unet2d_attn"), &bad, &m, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_model_open(fixture("guided_blocks/model.pt"), NULL, &m, &err), PJD_ERR_MODEL);
    assert_null(m);
    m = open_model("guided_blocks/model.pt", new_order);
    assert_int_equal(m->v->plan(m, 2, &item, NULL, &plan, &err), PJD_ERR_ARG); /* no class */
    assert_int_equal(m->v->plan(m, 2, &item, &opt, &plan, &err), PJD_ERR_ARG); /* class 6 of 0..5 */
    assert_int_equal(m->v->plan(m, 1, &odd, &opt, &plan, &err), PJD_ERR_SHAPE);
    assert_null(plan);
    pjd_model_unref(m);
    m = open_model("unet2d_attn", NULL);
    assert_int_equal(m->v->plan(m, 2, &item, &opt, &plan, &err), PJD_ERR_ARG); /* takes no classes */
    assert_true(m->v->plan(m, SIZE_MAX / 8, &item, NULL, &plan, &err) != PJD_OK);
    assert_null(plan);
    pjd_model_unref(m);
}

static void test_bytes(void **state)
{
    pjd_model *m = open_model("unet2d_attn", NULL);
    pjd_shape small = pjd_shape_chw(3, 32, 32), large = pjd_shape_chw(3, 64, 64);
    size_t arena = 0, weights = 0;
    void *plan = NULL;
    pjd_error err;

    assert_ok(m->v->plan(m, 1, &small, NULL, &plan, &err), &err);
    m->v->state_stats(m, plan, &arena, &weights);
    assert_true(weights >= sizeof(float) * pjd_model_get_info(m)->parameters / 2);
    /* The forecast leaves out only the backend's scratch. */
    assert_true(m->v->plan_bytes(m, 1, &small) > 0 && m->v->plan_bytes(m, 1, &small) <= arena);
    assert_true(m->v->plan_bytes(m, 1, &large) > m->v->plan_bytes(m, 1, &small));
    m->v->state_free(m, plan);
    pjd_model_unref(m);
}

/* ---- threads and memory ---- */

static void *plan_once(void *model)
{
    static const int classes[1] = {2};
    pjd_model *m = model;
    pjd_runner_options opt = {.threads = 1, .classes = classes};
    pjd_shape item = pjd_shape_chw(3, 16, 16);
    void *plan = NULL;
    pjd_error err;

    if (m->v->plan(m, 1, &item, &opt, &plan, &err) != PJD_OK)
        return NULL;
    m->v->state_free(m, plan);
    return model;
}

/* Plans made at once share the weights that the first one converts. */
static void test_shared(void **state)
{
    pjd_model *m = open_model("guided_blocks/model.pt", new_order);
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, plan_once, m), 0);
    for (size_t i = 0; i < 4; i++) {
        void *done = NULL;

        pthread_join(threads[i], &done);
        assert_ptr_equal(done, m);
    }
    pjd_model_unref(m);
}

/* Whatever allocation fails, opening and planning say so and leave nothing behind (the sanitizer looks). */
static void test_out_of_memory(void **state)
{
    pjd_shape item = pjd_shape_chw(3, 16, 16);
    char path[4096];
    bool done = false;

    snprintf(path, sizeof path, "%s", fixture("unet2d_attn"));
    for (uint64_t k = 1; !done; k += k < 40 ? 1 : k / 20) {
        pjd_model *m = NULL;
        void *plan = NULL;
        pjd_error err;
        pjd_status st;

        pjd_mem_test_fail_at(k);
        st = pjd_model_open(path, NULL, &m, &err);
        if (st == PJD_OK)
            st = m->v->plan(m, 1, &item, NULL, &plan, &err);
        done = st == PJD_OK;
        pjd_mem_test_fail_at(0);
        if (!done && st != PJD_ERR_NOMEM)
            fail_msg("allocation %llu: %s: %s", (unsigned long long)k, pjd_status_name(st), err.text);
        if (plan)
            m->v->state_free(m, plan);
        pjd_model_unref(m);
    }
}

/*
 * What is said before is what is then held: activations to the buffers around the plan, packed weights to the small layers'
 * (norms, embeddings). Times are only compared with each other: a busy machine may take any time.
 */
static void check_estimate(pjd_model *m, const pjd_shape *item, const pjd_runner_options *opt, double *seconds)
{
    pjd_estimate e;
    pjd_runner_stats s;
    pjd_runner *r = NULL;
    pjd_error err;

    assert_ok(pjd_model_estimate(m, 1, item, opt, &e, &err), &err);
    assert_true(e.seconds > 0 && e.seconds < 1e6);
    assert_ok(pjd_runner_create(m, 1, item, opt, &r, &err), &err);
    pjd_runner_get_stats(r, &s);
    assert_int_equal(e.tiles, s.tiles);
    assert_true(e.activation_bytes >= s.arena_bytes);
    assert_at_most((double)e.activation_bytes, 1.5 * (double)s.arena_bytes + 65536);
    assert_at_most((double)s.weight_bytes, 1.1 * (double)e.weight_bytes + 65536);
    assert_true(e.bytes >= e.activation_bytes + e.weight_bytes);
    pjd_runner_free(r);
    *seconds = e.seconds;
}

static void test_estimate(void **state)
{
    static const struct {
        const char *name, *config;
        size_t h, w;
    } cases[] = {
        {"unet2d_attn", NULL, 64, 64},
        {"guided_blocks/model.pt", new_order, 64, 64},
        {"edm_ncsnpp/model.pt", "preconditioning=ve", 64, 64},
        {"lucid_trainer/model.pt", NULL, 64, 64},
        {"unet1d_joint", NULL, 1, 0},
    };
    static const pjd_precision precisions[] = {PJD_PRECISION_DEFAULT, PJD_PRECISION_EXACT, PJD_PRECISION_FAST};

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        pjd_model *m = open_model(cases[i].name, cases[i].config);
        const pjd_model_info *info = pjd_model_get_info(m);
        const int zero = 0;

        for (size_t k = 0; k < PJD_COUNTOF(precisions); k++) {
            pjd_runner_options opt = {
                .threads = 2, .precision = precisions[k], .classes = info->num_classes ? &zero : NULL};
            size_t w = cases[i].w ? cases[i].w : 16 * info->multiple;
            pjd_shape small = pjd_shape_chw(info->in_channels, cases[i].h, w);
            pjd_shape large = pjd_shape_chw(info->in_channels, cases[i].h > 1 ? 96 : 1, 3 * w - 2);
            double a, b, c;

            check_estimate(m, &small, &opt, &a);
            check_estimate(m, &large, &opt, &b);
            assert_true(b > a);
            opt.tile = w; /* several of the small size */
            check_estimate(m, &large, &opt, &c);
            assert_true(c > 2 * a);
        }
        pjd_model_unref(m);
    }
}

/* Priors without a plan, and items that are not the model's. */
static void test_estimate_refuses(void **state)
{
    pjd_model *m = open_model("unet2d_attn", NULL), *g = NULL;
    pjd_shape gray = pjd_shape_chw(1, 8, 8), item = pjd_shape_chw(3, 8, 8);
    float mean[192] = {0}, variance[192];
    pjd_estimate e;
    pjd_error err;

    assert_int_equal(pjd_model_estimate(m, 1, &gray, NULL, &e, &err), PJD_ERR_SHAPE);
    assert_int_equal(pjd_model_estimate(m, 0, &item, NULL, &e, &err), PJD_ERR_ARG);
    for (size_t i = 0; i < 192; i++)
        variance[i] = 1;
    assert_ok(pjd_model_gaussian(&item, mean, variance, NULL, &g, &err), &err);
    assert_int_equal(pjd_model_estimate(g, 1, &item, NULL, &e, &err), PJD_ERR_UNSUPPORTED);
    pjd_model_unref(g);
    pjd_model_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_learned_variance),
        cmocka_unit_test(test_rescaled),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_assumption_is_logged),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_estimate_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
