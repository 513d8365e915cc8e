/* SPDX-License-Identifier: MIT */
/* Every good file cut at every byte is refused; with any byte changed it is refused or loads; and memory may end anywhere. */
#include <cJSON.h>
#include <malloc.h>

#include "weights/forge.h"

static const char *const files[] = {
    "layouts.pt",          "layouts_legacy.pt", "layouts_protocol4.pt", "legacy_protocol4.pt",
    "layouts.safetensors", "arrays.npz",        "arrays_deflated.npz",  "lightning.ckpt",
    "ema_class.pt",        "ddim_list.pth",     "edm_object.pkl",
};

static void test_cut(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(files); i++) {
        size_t size;
        unsigned char *data = fixture(files[i], &size);
        pjd_error err;

        assert_ok(forge_open(data, size, &err), &err);
        for (size_t n = 0; n < size; n++) {
            pjd_status status = forge_open(data, n, &err);

            if (status != PJD_ERR_MODEL)
                fail_msg("%s cut to %zu of %zu bytes: %s", files[i], n, size, pjd_status_name(status));
        }
        free(data);
    }
}

/* One bit after the other in each byte would take minutes: the bit changes with the place, and all bits at once. */
static void test_flip(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(files); i++) {
        size_t size;
        unsigned char *data = fixture(files[i], &size);
        size_t loaded = 0;
        pjd_error err;

        for (size_t n = 0; n < 2 * size; n++) {
            unsigned char mask = n % 2 ? 0xff : (unsigned char)(1u << (n / 2 % 8));
            pjd_status status;

            data[n / 2] ^= mask;
            status = forge_open(data, size, &err);
            loaded += status == PJD_OK;
            if (status != PJD_OK && status != PJD_ERR_MODEL)
                fail_msg("%s, byte %zu changed: %s", files[i], n / 2, pjd_status_name(status));
            data[n / 2] ^= mask;
        }
        print_message("%s: %zu of %zu changed files load\n", files[i], loaded, 2 * size);
        free(data);
    }
}

/* cJSON's memory is not ours: its hooks fail separately. */
static size_t json_until_failure;

static void *json_malloc(size_t n)
{
    if (json_until_failure > 0 && --json_until_failure == 0)
        return NULL;
    return malloc(n);
}

/* Bytes in use, where the allocator keeps no freed blocks back (the build sets this); the sanitizer looks at exit. */
static size_t in_use(void)
{
    const char *tunables = getenv("GLIBC_TUNABLES");

    return tunables && strstr(tunables, "tcache_count=0") ? mallinfo2().uordblks : 0;
}

static void test_memory(void **state)
{
    for (size_t i = 0; i < PJD_COUNTOF(files); i++) {
        size_t size;
        unsigned char *data = fixture(files[i], &size);
        pjd_status status = PJD_ERR_NOMEM;
        pjd_weights *w;
        pjd_error err;
        size_t k, before = in_use();

        for (k = 1; status != PJD_OK; k++) {
            assert_true(k < 1000);
            pjd_mem_test_fail_at(k);
            status = pjd_weights_open_memory(data, size, NULL, &w, &err);
            pjd_mem_test_fail_at(0);
            if (status != PJD_OK && status != PJD_ERR_NOMEM)
                fail_msg("%s, allocation %zu: %s (%s)", files[i], k, pjd_status_name(status), err.text);
            pjd_weights_free(w);
            assert_int_equal(in_use(), before);
        }
        assert_true(k > 5);
        free(data);
    }
}

static void test_memory_of_paths(void **state)
{
    static const char *const paths[] = {"pipeline", "folder_bin", "layouts.pt"};
    cJSON_Hooks hooks = {json_malloc, free};

    cJSON_InitHooks(&hooks);
    for (size_t json = 0; json < 2; json++) {
        for (size_t i = 0; i < PJD_COUNTOF(paths); i++) {
            char path[1024];
            pjd_status status = PJD_ERR_NOMEM;
            pjd_weights *w;
            pjd_error err;
            size_t before = in_use();

            snprintf(path, sizeof path, "%s", fixture_path(paths[i]));
            for (size_t k = 1; status != PJD_OK; k++) {
                assert_true(k < 1000);
                if (json)
                    json_until_failure = k;
                else
                    pjd_mem_test_fail_at(k);
                status = pjd_weights_open(path, NULL, &w, &err);
                json_until_failure = 0;
                pjd_mem_test_fail_at(0);
                if (status != PJD_OK && status != PJD_ERR_NOMEM)
                    fail_msg("%s, allocation %zu: %s (%s)", paths[i], k, pjd_status_name(status), err.text);
                pjd_weights_free(w);
                assert_int_equal(in_use(), before);
            }
        }
    }
    cJSON_InitHooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
