/* SPDX-License-Identifier: MIT */
/* Packing of weights: each table against the plain definition, over odd shapes. */
#include "nn_ref.h"

static const char *const tables[] = {"c", "avx2", "avx512"};
static const size_t outs[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 130};
static const size_t ins[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 40};

/* Room for packed weights, filled with NaN so that what is left out shows, and the size. */
static float *room(size_t n, size_t k, size_t *floats)
{
    float *p;

    assert_true(pjd_pack_size(n, k, floats));
    p = pjd_alloc(*floats + 16, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < *floats + 16; i++)
        p[i] = NAN;
    return p;
}

static void assert_untouched(const float *p, size_t floats)
{
    for (size_t i = 0; i < 16; i++)
        assert_true(isnan(p[floats + i]));
}

/* Nothing is computed: the same bytes. */
static void test_plain(void **state)
{
    static const size_t taps[] = {1, 2, 3, 9, 25};

    for (size_t t = 0; t < PJD_COUNTOF(tables); t++)
        for (size_t a = 0; a < PJD_COUNTOF(outs); a++)
            for (size_t b = 0; b < PJD_COUNTOF(ins); b++)
                for (size_t k = 0; k < PJD_COUNTOF(taps); k++) {
                    const pjd_kernels *table = pjd_kernels_named(tables[t]);
                    size_t n = outs[a], c = ins[b], floats;
                    float *w, *want, *got;

                    if (!table)
                        continue;
                    w = random_floats(n * c * taps[k], 1, n + 7 * c + taps[k]);
                    want = room(n, c * taps[k], &floats);
                    got = room(n, c * taps[k], &floats);
                    pjd_pack_weight(table->nr, n, c, taps[k], w, want);
                    table->pack_weight(table->nr, n, c, taps[k], w, got);
                    if (memcmp(want, got, floats * sizeof *got) != 0)
                        fail_msg("%s: %zu outputs, %zu inputs, %zu taps", tables[t], n, c, taps[k]);
                    assert_untouched(got, floats);
                    free(w);
                    pjd_free(want);
                    pjd_free(got);
                }
}

/*
 * Sums of three products in float64, in another order and with fused steps: before rounding to float32 they differ by a
 * few 2^-53 of the largest product (below 16 here), and rounding may then go the other way once.
 */
static void test_winograd(void **state)
{
    for (size_t t = 0; t < PJD_COUNTOF(tables); t++)
        for (size_t a = 0; a < PJD_COUNTOF(outs); a++)
            for (size_t b = 0; b < PJD_COUNTOF(ins); b++)
                for (size_t m = 0; m <= 4; m += 2) { /* 0: F(4, 3) in one dimension */
                    const pjd_kernels *table = pjd_kernels_named(tables[t]);
                    size_t n = outs[a], c = ins[b], floats;
                    float *w, *want, *got;

                    if (!table)
                        continue;
                    w = random_floats(n * c * 9, 1, n + 7 * c + m);
                    want = room(n, c * (m ? (m + 2) * (m + 2) : 6), &floats);
                    got = room(n, c * (m ? (m + 2) * (m + 2) : 6), &floats);
                    if (m) {
                        pjd_wino_weight(m, table->nr, n, c, w, want);
                        table->wino_weight(m, table->nr, n, c, w, got);
                    } else {
                        pjd_wino_line_weight(table->nr, n, c, w, want);
                        table->line_weight(table->nr, n, c, w, got);
                    }
                    for (size_t i = 0; i < floats; i++)
                        if (!(fabs((double)got[i] - want[i]) <= 0x1p-23 * fabs((double)want[i]) + 1e-14))
                            fail_msg("%s, m = %zu: %zu outputs, %zu inputs: %g for %g at %zu", tables[t], m, n, c,
                                     (double)got[i], (double)want[i], i);
                    assert_untouched(got, floats);
                    free(w);
                    pjd_free(want);
                    pjd_free(got);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain), cmocka_unit_test(test_winograd)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
