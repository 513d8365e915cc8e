/* SPDX-License-Identifier: MIT */
/*
 * Raw network outputs against recordings of the original libraries (fixtures made by make_*_fixtures.py; the larger ones,
 * where they are at hand, recorded with the reference code). Tolerance: relative L2 1e-4, what float32 sums in another
 * order need after some dozens of layers; a wrong head split, row order, eps or padding is off by 1e-2 or more.
 */
#include "net_support.h"

typedef struct parity {
    const char *folder, *file; /* file: "" for a diffusers folder */
    const char *recorded;      /* below the folder: x.npy and out_t*.npy */
    const char *config;
    int classes[2];
    bool conditional;
    double bound;
} parity;

static const double times[] = {0, 37, 999, 500.25};

static const parity fixtures[] = {
    {.folder = "unet2d_attn", .bound = 1e-4},
    {.folder = "unet2d_old_names", .bound = 1e-4},
    {.folder = "unet2d_plain", .bound = 1e-4},
    {.folder = "unet2d_class", .classes = {2, 5}, .conditional = true, .bound = 1e-4},
    {.folder = "ddpm_tiny", .file = "/model.ckpt", .bound = 1e-4},
    {.folder = "guided_blocks",
     .file = "/model.pt",
     .config = "num_head_channels=16,use_new_attention_order=true",
     .classes = {2, 5},
     .conditional = true,
     .bound = 1e-4},
    {.folder = "guided_convs",
     .file = "/model.pt",
     .config = "num_heads=2,use_new_attention_order=false",
     .bound = 1e-4},
    {.folder = "edm_song", .file = "/model.pt", .bound = 1e-4},
    {.folder = "edm_song_class",
     .file = "/model.pt",
     .config = "preconditioning=vp",
     .classes = {2, 4},
     .conditional = true,
     .bound = 1e-4},
    {.folder = "edm_ncsnpp", .file = "/model.pt", .config = "preconditioning=ve", .bound = 1e-4},
    {.folder = "edm_skip", .file = "/model.pkl", .bound = 1e-4},
    {.folder = "edm_adm",
     .file = "/model.pt",
     .config = "channels_per_head=8",
     .classes = {2, 4},
     .conditional = true,
     .bound = 1e-4},
    {.folder = "lucid_trainer", .file = "/model.pt", .bound = 1e-4},
    {.folder = "lucid_x0", .file = "/model.pt", .bound = 1e-4},
    {.folder = "lucid_bare", .file = "/model.pt", .config = "beta_schedule=sigmoid,objective=pred_v", .bound = 1e-4},
    {.folder = "unet1d_joint", .bound = 1e-4},
    {.folder = "unet1d_single", .bound = 1e-4},
};

static const double sigmas[] = {0.02, 0.7, 31};

static const parity golden[] = {
    {.folder = "adm_32",
     .file = "/model.pt",
     .config = "num_head_channels=16,use_new_attention_order=false",
     .bound = 1e-4},
    /* The recording ran the float32 weights: rounding each to 11 bits is seen in the output. */
    {.folder = "adm_32",
     .file = "/model_half.pt",
     .config = "num_head_channels=16,use_new_attention_order=false",
     .bound = 1e-3},
    {.folder = "adm_plain", .file = "/model.pt", .config = "num_heads=2,use_new_attention_order=false", .bound = 1e-4},
    {.folder = "adm_class_neworder",
     .file = "/model.pt",
     .config = "num_head_channels=16,use_new_attention_order=true",
     .classes = {3, 7},
     .conditional = true,
     .bound = 1e-4},
    {.folder = "ddpm_32", .file = "/model.ckpt", .bound = 1e-4},
    {.folder = "../priors/photo64", .recorded = "/check", .bound = 1e-4},
};

/* One recorded time; false when there is none. The prior itself is asked: a runner would pad these small pictures. */
static bool check_time(pjd_model *m, void *plan, const char *base, const float *x, double t, double bound,
                       const char *what)
{
    char path[4300];
    pjd_shape shape;
    pjd_error err;
    size_t n;
    float *expected, *out;

    snprintf(path, sizeof path, "%s/out_t%g.npy", base, t);
    expected = test_npy(path, &shape);
    if (!expected)
        return false;
    assert_true(pjd_shape_count(&shape, &n));
    out = malloc(n * sizeof *out);
    assert_ok(m->v->raw(m, plan, x, t, out, &err), &err);
    print_message("%-40s t %-6g relative L2 %.2e\n", what, t, test_relative_l2(out, expected, n));
    assert_at_most(test_relative_l2(out, expected, n), bound);
    free(expected);
    free(out);
    return true;
}

/* One recorded noise level of a preconditioned network, whose input is x times that. */
static bool check_sigma(pjd_model *m, void *plan, const char *base, const float *x, double sigma, double bound,
                        const char *what)
{
    char path[4300];
    pjd_shape shape;
    pjd_error err;
    size_t n;
    float *expected, *out;

    snprintf(path, sizeof path, "%s/denoised_%g.npy", base, sigma);
    expected = test_npy(path, &shape);
    if (!expected)
        return false;
    assert_true(pjd_shape_count(&shape, &n));
    out = malloc(n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * (float)sigma;
    assert_ok(m->v->denoise_ve(m, plan, out, sigma, out, &err), &err);
    print_message("%-40s sigma %-6g relative L2 %.2e\n", what, sigma, test_relative_l2(out, expected, n));
    assert_at_most(test_relative_l2(out, expected, n), bound);
    free(expected);
    free(out);
    return true;
}

static void check(const char *base, const parity *p, pjd_backend backend)
{
    char path[4200], what[128];
    pjd_shape shape, item;
    pjd_error err;
    pjd_model *m = NULL;
    void *plan = NULL;
    pjd_runner_options opt = {.threads = 2, .backend = backend, .classes = p->conditional ? p->classes : NULL};
    size_t seen = 0;
    float *x;

    snprintf(path, sizeof path, "%s%s", base, p->file ? p->file : "");
    snprintf(what, sizeof what, "%s%s", p->folder, p->file ? p->file : "");
    assert_ok(net_open(path, p->config, NULL, &m, &err), &err);
    snprintf(path, sizeof path, "%s%s/x.npy", base, p->recorded ? p->recorded : "");
    x = test_npy(path, &shape);
    assert_non_null(x);
    assert_int_equal(shape.rank, 4);
    item = pjd_shape_chw(shape.dim[1], shape.dim[2], shape.dim[3]);
    assert_ok(m->v->plan(m, shape.dim[0], &item, &opt, &plan, &err), &err);
    snprintf(path, sizeof path, "%s%s", base, p->recorded ? p->recorded : "");
    for (size_t i = 0; i < PJD_COUNTOF(times); i++)
        seen += check_time(m, plan, path, x, times[i], p->bound, what);
    assert_true(seen >= 3);
    for (size_t i = 0; m->v->denoise_ve && i < PJD_COUNTOF(sigmas); i++)
        assert_true(check_sigma(m, plan, path, x, sigmas[i], p->bound, what));
    m->v->state_free(m, plan);
    pjd_model_unref(m);
    free(x);
}

static void test_fixtures(void **state)
{
    char base[4096];

    for (size_t i = 0; i < PJD_COUNTOF(fixtures); i++) {
        snprintf(base, sizeof base, "tests/networks/fixtures/%s", fixtures[i].folder);
        assert_non_null(test_source(base));
        snprintf(base, sizeof base, "%s", test_source(base));
        check(base, &fixtures[i], PJD_BACKEND_AUTO);
        check(base, &fixtures[i], PJD_BACKEND_C);
    }
}

static void test_recordings(void **state)
{
    char base[4096];

    for (size_t i = 0; i < PJD_COUNTOF(golden); i++) {
        const char *at = test_golden(golden[i].folder);

        if (!at) {
            print_message("skipped: %s is not here\n", golden[i].folder);
            continue;
        }
        snprintf(base, sizeof base, "%s", at);
        check(base, &golden[i], PJD_BACKEND_AUTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_recordings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
