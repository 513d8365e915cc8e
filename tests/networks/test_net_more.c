/* SPDX-License-Identifier: MIT */
/* What EDM's and denoising-diffusion-pytorch's files tell about themselves, and what they are refused for. */
#include "net_support.h"

static pjd_status open_fixture(const char *folder, const char *config, net_log *log, pjd_model **m, pjd_error *err)
{
    char path[4096];

    snprintf(path, sizeof path, "tests/networks/fixtures/%s/model.pt", folder);
    assert_non_null(test_source(path));
    snprintf(path, sizeof path, "%s", test_source(path));
    return net_open(path, config, log, m, err);
}

/* The library's own schedules by name give the betas that it stored (in float32: 1e-5 of abar, which is a product). */
static void test_named_schedules(void **state)
{
    static const struct {
        const char *folder, *config, *objective;
        pjd_prediction prediction;
    } cases[] = {
        {"lucid_trainer", "beta_schedule=sigmoid,num_train_timesteps=100",
         "objective: pred_v (inferred from loss_weight)", PJD_PREDICT_V},
        {"lucid_x0", "beta_schedule=cosine,num_train_timesteps=100", "objective: pred_x0 (inferred from loss_weight)",
         PJD_PREDICT_X0},
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        pjd_model *stored = NULL, *named = NULL;
        pjd_error err;

        assert_ok(open_fixture(cases[i].folder, NULL, NULL, &stored, &err), &err);
        assert_ok(open_fixture(cases[i].folder, cases[i].config, NULL, &named, &err), &err);
        assert_int_equal(stored->info.timesteps, 100);
        assert_int_equal(named->info.timesteps, 100);
        assert_true(net_has_detail(stored, "schedule: its betas, 100 steps (checkpoint)"));
        assert_true(net_has_detail(stored, cases[i].objective));
        assert_int_equal(stored->info.prediction, cases[i].prediction);
        for (size_t t = 0; t < 99; t++) /* the last beta is capped: abar there is a thousandth of the one before */
            assert_at_most(fabs(stored->abar[t] / named->abar[t] - 1), 1e-4);
        pjd_model_unref(stored);
        pjd_model_unref(named);
    }
}

static void test_options_settle(void **state)
{
    pjd_model *m = NULL;
    pjd_error err;

    assert_ok(open_fixture("lucid_trainer", "objective=pred_noise", NULL, &m, &err), &err);
    assert_int_equal(m->info.prediction, PJD_PREDICT_EPS);
    assert_true(net_has_detail(m, "objective: pred_noise (option)"));
    pjd_model_unref(m);
    assert_ok(open_fixture("lucid_bare", "beta_schedule=linear,num_train_timesteps=500,prediction_type=sample", NULL,
                           &m, &err),
              &err);
    assert_int_equal(m->info.prediction, PJD_PREDICT_X0);
    assert_int_equal(m->info.timesteps, 500);
    assert_at_most(fabs(m->abar[0] - (1 - 2e-4)), 1e-12); /* scaled to the number of steps */
    pjd_model_unref(m);
    assert_ok(open_fixture("edm_song", NULL, NULL, &m, &err), &err);
    assert_true(net_has_detail(m, "preconditioning: edm (table)"));
    assert_int_equal(m->info.parameters, 48347); /* what the original counts: buffers are none */
    pjd_model_unref(m);
    assert_ok(open_fixture("edm_adm", "channels_per_head=8", NULL, &m, &err), &err);
    assert_true(net_has_detail(m, "preconditioning: iddpm (inferred)"));
    pjd_model_unref(m);
}

static void test_refused(void **state)
{
    static const struct {
        const char *folder, *config;
        pjd_status status;
        const char *text;
    } cases[] = {
        {"lucid_bare", NULL, PJD_ERR_MODEL, "--model-config beta_schedule=sigmoid, cosine or linear"},
        {"lucid_bare", "beta_schedule=sigmoid", PJD_ERR_MODEL, "--model-config objective="},
        {"lucid_trainer", "objective=noise", PJD_ERR_ARG, "objective expects pred_noise, pred_x0 or pred_v"},
        {"edm_song_class", NULL, PJD_ERR_MODEL, "--model-config preconditioning=edm, vp, ve or iddpm"},
        {"edm_song_class", "preconditioning=vpp", PJD_ERR_ARG, "preconditioning expects"},
        {"edm_adm", NULL, PJD_ERR_MODEL, "heads"}, /* 16 channels, 64 a head */
    };

    for (size_t i = 0; i < PJD_COUNTOF(cases); i++) {
        pjd_model *m = NULL;
        pjd_error err;

        assert_int_equal(open_fixture(cases[i].folder, cases[i].config, NULL, &m, &err), cases[i].status);
        assert_null(m);
        if (!strstr(err.text, cases[i].text))
            fail_msg("expected \"%s\" in \"%s\"", cases[i].text, err.text);
    }
}

/* The averaged weights are the network's; the raw ones beside them differ, and the log says which were taken. */
static void test_average_taken(void **state)
{
    pjd_model *m = NULL;
    pjd_error err;
    net_log log = {""};

    assert_ok(open_fixture("lucid_trainer", NULL, &log, &m, &err), &err);
    assert_non_null(strstr(log.text, "EMA weights taken"));
    pjd_model_unref(m);
}

/* Through the public runner: a class is asked for, sizes that are no multiple run, VP and VE agree. */
static void test_runner(void **state)
{
    pjd_model *m = NULL;
    pjd_runner *r = NULL;
    pjd_error err;
    int label = 3;
    pjd_shape item = pjd_shape_chw(1, 9, 7);
    pjd_runner_options opt = {.threads = 1};
    float x[63], vp[63], ve[63];
    double abar;

    assert_ok(open_fixture("edm_song_class", "preconditioning=edm", NULL, &m, &err), &err);
    assert_int_equal(pjd_runner_create(m, 1, &item, &opt, &r, &err), PJD_ERR_ARG);
    assert_non_null(strstr(err.text, "class"));
    opt.classes = &label;
    assert_ok(pjd_runner_create(m, 1, &item, &opt, &r, &err), &err);
    abar = pjd_model_abar(m, 400);
    for (size_t i = 0; i < 63; i++)
        x[i] = (float)sin((double)i);
    assert_ok(pjd_runner_denoise(r, x, 400, vp, &err), &err);
    for (size_t i = 0; i < 63; i++)
        x[i] = (float)((double)x[i] / sqrt(abar));
    assert_ok(pjd_runner_denoise_sigma(r, x, sqrt((1 - abar) / abar), ve, &err), &err);
    assert_at_most(test_relative_l2(vp, (float *)ve, 63), 1e-6);
    pjd_runner_free(r);
    pjd_model_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_schedules), cmocka_unit_test(test_options_settle), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_average_taken),   cmocka_unit_test(test_runner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
