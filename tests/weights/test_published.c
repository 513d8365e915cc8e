/* SPDX-License-Identifier: MIT */
/* Files from outside: recorded runs, the prior that ships, checkpoints that others trained. Skipped where absent. */
#include "weights/forge.h"

typedef struct sums {
    size_t tensors, elements;
    double sum;
} sums;

static sums add_up(const pjd_weights *w)
{
    sums s = {.tensors = pjd_weights_count(w)};

    for (size_t i = 0; i < s.tensors; i++) {
        const pjd_tensor *t = pjd_weights_at(w, i);
        float *x;
        size_t n;

        assert_true(pjd_shape_count(&t->shape, &n));
        x = malloc(n * sizeof *x + 1);
        assert_non_null(x);
        pjd_tensor_to_f32(t, x);
        for (size_t k = 0; k < n; k++)
            s.sum += x[k];
        s.elements += n;
        free(x);
    }
    return s;
}

/* Sums by PyTorch in float64; ours differ by nothing but the order of addition. */
static void check_file(const char *path, const char *name, const char *container, size_t tensors, size_t elements,
                       double sum)
{
    pjd_weights *w;
    pjd_error err = {0};
    sums s;

    if (!path) {
        print_message("skipped: %s is not here\n", name);
        return;
    }
    assert_ok(pjd_weights_open(path, NULL, &w, &err), &err);
    assert_string_equal(pjd_weights_container(w), container);
    s = add_up(w);
    assert_int_equal(s.tensors, tensors);
    assert_int_equal(s.elements, elements);
    assert_at_most(fabs(s.sum - sum), 1e-6);
    pjd_weights_free(w);
}

static void test_golden_files(void **state)
{
    static const struct {
        const char *name;
        size_t tensors, elements;
        double sum;
    } files[] = {
        {"adm_32/model.pt", 306, 2007462, 2834.690922910927},
        {"adm_32/model_half.pt", 306, 2007462, 2834.727441728115},
        {"adm_plain/model.pt", 184, 1002883, 1933.6382115635658},
        {"adm_class_neworder/model.pt", 145, 829638, 1501.4129407423836},
        {"ddpm_32/model.ckpt", 268, 1624323, 2686.554172200851},
        {"unet1d_msdm/model.ckpt", 186, 767628, 2137.2395325389525},
    };

    for (size_t i = 0; i < PJD_COUNTOF(files); i++)
        check_file(test_golden(files[i].name), files[i].name, "torch zip", files[i].tensors, files[i].elements,
                   files[i].sum);
}

static void test_others(void **state)
{
    static const struct {
        const char *name, *container;
        size_t tensors, elements;
        double sum;
    } files[] = {
        {"checkpoints/brianpulfer-ddpm_mnist.pt", "torch zip", 173, 606852, 131950.9056069304},
        {"checkpoints/yichizz-ddpm_mnist_starter.pth", "torch zip", 29, 293235, 79138.3218350522},
        {"checkpoints/invisible23man-lightning.ckpt", "torch zip", 8, 25281, 21.462489051644297},
        {"checkpoints/js3611-crnn_mri.pth", "torch legacy", 20, 297794, -220.1409146280216},
        {"checkpoints/kair-dncnn_25.pth", "torch legacy", 34, 555137, -464.571679071822},
        {"checkpoints/lpips/alex.pth", "torch legacy", 5, 1152, 105.2753545809201},
        {"checkpoints/lpips/vgg.pth", "torch legacy", 5, 1472, 131.85550854727626},
        {"checkpoints/lpips/alex_v0.0.pth", "torch legacy", 5, 1152, 65.50602128446769},
    };
    static const struct {
        const char *name, *words;
    } refused[] = {
        {"checkpoints/bart-torchscript.pt", "TorchScript"},
        {"checkpoints/lfs-pointer.pt", "Git LFS pointer"},
    };

    for (size_t i = 0; i < PJD_COUNTOF(files); i++)
        check_file(test_data(files[i].name), files[i].name, files[i].container, files[i].tensors, files[i].elements,
                   files[i].sum);
    for (size_t i = 0; i < PJD_COUNTOF(refused); i++) {
        const char *path = test_data(refused[i].name);
        pjd_weights *w;
        pjd_error err;

        if (!path) {
            print_message("skipped: %s is not here\n", refused[i].name);
            continue;
        }
        assert_int_equal(pjd_weights_open(path, NULL, &w, &err), PJD_ERR_MODEL);
        assert_non_null(strstr(err.text, refused[i].words));
    }
}

static void test_shipped(void **state)
{
    pjd_weights *w;
    pjd_error err = {0};

    assert_ok(pjd_weights_open(test_source("models/photo"), NULL, &w, &err), &err);
    assert_string_equal(pjd_weights_container(w), "safetensors");
    assert_non_null(pjd_weights_config(w));
    assert_non_null(pjd_weights_scheduler_config(w));
    assert_non_null(pjd_weights_find(w, "conv_in.weight"));
    pjd_weights_free(w);
}

/* The published layout of MSDM: every tensor twice, found by its bare, its stored and its other name. */
static void test_msdm(void **state)
{
    const char *path = test_golden("unet1d_msdm/model.ckpt");
    pjd_weights *w;
    pjd_error err = {0};

    skip_without(path, "unet1d_msdm/model.ckpt");
    assert_ok(pjd_weights_open(path, NULL, &w, &err), &err);
    assert_int_equal(pjd_weights_count(w), 186);
    assert_non_null(pjd_weights_find(w, "to_time.0.0.weights"));
    assert_ptr_equal(pjd_weights_find(w, "to_time.0.0.weights"), pjd_weights_find(w, "model.unet.to_time.0.0.weights"));
    assert_ptr_equal(pjd_weights_find(w, "to_time.0.0.weights"),
                     pjd_weights_find(w, "model.diffusion.net.to_time.0.0.weights"));
    assert_non_null(strstr(pjd_weights_hyper(w), "\"multipliers\":[1,2,2,2]"));
    pjd_weights_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_files),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_msdm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
