/* SPDX-License-Identifier: MIT */
/* Windows and masks: they partition, they join without a seam, and known fractions come back as these fractions. */
#include "audio/masks.h"
#include "projdiff/stems.h"
#include "support/support.h"

static void windows_cover_everything(void **state)
{
    static const size_t lengths[] = {1, 2, 3, 17, 99, 100, 101, 1000, 12345, 1000000};
    pjd_windows w;
    pjd_error err;

    for (size_t k = 0; k < PJD_COUNTOF(lengths); k++)
        for (size_t overlap = 0; overlap < 60; overlap += 13)
            for (size_t multiple = 1; multiple < 20; multiple += 6) {
                size_t n = lengths[k];

                assert_ok(pjd_windows_plan(n, 100, 30, overlap, multiple, &w, &err), &err);
                assert_int_equal(w.length % multiple, 0);
                assert_true(w.length < 100 + multiple && w.count >= 1);
                assert_true((w.count - 1) * w.hop + w.length >= n); /* the last one reaches the end */
                assert_true((w.count - 1) * w.hop < n);             /* and is not beyond it */
                if (w.count == 1) {
                    assert_true(w.length >= 30 && w.overlap == 0);
                } else {
                    assert_true(w.overlap >= (overlap < w.hop ? overlap : w.hop) && w.overlap <= w.hop);
                    assert_true(w.hop + w.overlap <= w.length);
                }
            }
    assert_int_equal(pjd_windows_plan(0, 100, 30, 10, 1, &w, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_windows_plan(5, 100, 30, 100, 1, &w, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_windows_plan(5, 100, 30, 10, 0, &w, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_windows_plan(SIZE_MAX, SIZE_MAX, 30, 10, 16, &w, &err), PJD_ERR_ARG);
}

static void crossfades_are_complementary(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 17, 1000};
    float a[1000], b[1000], c[1000];

    for (size_t k = 0; k < PJD_COUNTOF(sizes); k++)
        for (size_t keep = 0; keep < sizes[k]; keep += 5) {
            size_t n = sizes[k];

            for (size_t i = 0; i < n; i++) {
                a[i] = 1; /* weight of the earlier, then of the later window */
                b[i] = 0;
                c[i] = 1;
            }
            pjd_crossfade(a, b, n, keep);
            memset(a, 0, sizeof a);
            pjd_crossfade(a, c, n, keep);
            for (size_t i = 0; i < n; i++) {
                assert_at_most(fabs(b[i] + c[i] - 1), 1e-7);
                if (i < keep)
                    assert_true(b[i] == 1 && c[i] == 0);
                if (i > 0)
                    assert_true(c[i] >= c[i - 1]);
            }
        }
}

static void masks_partition(void **state)
{
    static float p[5 * 33];

    for (size_t stems = 1; stems <= 5; stems++)
        for (size_t cut = 0; cut <= 33; cut += 11)
            for (int kind = 0; kind < 4; kind++) {
                test_random(p, stems * 33, 3);
                for (size_t i = 0; i < stems * 33; i++) /* noise, silence, one stem alone, wide range */
                    p[i] = kind == 0 ? p[i] * p[i] : kind == 1 || (kind == 2 && i >= 33) ? 0 : expf(10 * p[i] - 20);
                pjd_masks_from_power(stems, 33, cut, p);
                for (size_t k = 0; k < 33; k++) {
                    double sum = 0;

                    for (size_t s = 0; s < stems; s++) {
                        assert_true(p[s * 33 + k] >= 0 && p[s * 33 + k] <= 1);
                        sum += p[s * 33 + k];
                        if (kind == 1)
                            assert_at_most(fabs(p[s * 33 + k] - 1 / (double)stems), 1e-6);
                    }
                    assert_at_most(fabs(sum - 1), 1e-6); /* float rounding of up to five numbers */
                }
            }
}

/* Mix [n, channels] by guides [n, stems] -> parts [stems, n, channels], any n. */
static void unmix(size_t n, size_t stems, size_t channels, double rate, double band, const float *mix,
                  const float *guides, float *parts)
{
    pjd_unmix *u = NULL;
    pjd_error err;
    size_t hop, delay;
    float *m, *g, *p;

    assert_ok(pjd_unmix_create(stems, channels, rate, band, &u, &err), &err);
    hop = pjd_unmix_hop(u);
    delay = pjd_unmix_delay(u);
    m = calloc(hop * channels, sizeof *m);
    g = calloc(hop * stems, sizeof *g);
    p = calloc(hop * channels * stems, sizeof *p);
    for (size_t at = 0; at < n + delay; at += hop) {
        for (size_t i = 0; i < hop; i++) {
            for (size_t c = 0; c < channels; c++)
                m[i * channels + c] = at + i < n ? mix[(at + i) * channels + c] : 0;
            for (size_t s = 0; s < stems; s++)
                g[i * stems + s] = at + i < n ? guides[(at + i) * stems + s] : 0;
        }
        pjd_unmix_run(u, m, g, p);
        for (size_t s = 0; s < stems; s++)
            for (size_t i = 0; i < hop; i++)
                if (at + i >= delay && at + i - delay < n)
                    memcpy(parts + (s * n + at + i - delay) * channels, p + (s * hop + i) * channels,
                           channels * sizeof *p);
    }
    free(m);
    free(g);
    free(p);
    pjd_unmix_free(u);
}

static float mix[2 * 20000], guides[3 * 20000], parts[3 * 2 * 20000];

static void parts_sum_to_the_mix(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 17, 20000};

    for (size_t k = 0; k < PJD_COUNTOF(sizes); k++)
        for (size_t channels = 1; channels <= 2; channels++) {
            size_t n = sizes[k];

            test_random(mix, n * channels, 1);
            test_random(guides, n * 3, 2);
            unmix(n, 3, channels, 44100, 10000, mix, guides, parts);
            for (size_t i = 0; i < n * channels; i++) {
                double sum = (double)parts[i] + parts[n * channels + i] + parts[2 * n * channels + i];

                /* three roundings to float of numbers of size 4 */
                assert_at_most(fabs(sum - mix[i]), 1e-6);
            }
        }
}

/* Guides that are fixed amplitude fractions of the mix: Wiener masks give back the fractions of power. */
static void known_fractions_come_back(void **state)
{
    static const double fraction[] = {0.6, 0.3, 0.1};
    double total = 0.6 * 0.6 + 0.3 * 0.3 + 0.1 * 0.1;

    test_random(mix, 20000, 7);
    for (size_t i = 0; i < 20000; i++)
        for (size_t s = 0; s < 3; s++)
            guides[i * 3 + s] = (float)(fraction[s] * mix[i]);
    unmix(20000, 3, 1, 22050, 0, mix, guides, parts);
    for (size_t s = 0; s < 3; s++)
        for (size_t i = 0; i < 20000; i++)
            assert_at_most(fabs(parts[s * 20000 + i] - fraction[s] * fraction[s] / total * mix[i]), 1e-5);
}

static void silence_stays_silence(void **state)
{
    memset(mix, 0, sizeof mix);
    test_random(guides, 30000, 7);
    unmix(10000, 3, 2, 44100, 10000, mix, guides, parts);
    for (size_t i = 0; i < 60000; i++)
        assert_true(parts[i] == 0);
}

static double energy(const float *x, size_t from, size_t to)
{
    double sum = 0;

    for (size_t i = from; i < to; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

/* A low and a high tone in separate guides, and a tone above the band: it goes with the high one. */
static void top_band_follows_the_top_of_the_band(void **state)
{
    size_t n = 20000;

    for (size_t i = 0; i < n; i++) {
        double t = 2 * M_PI * (double)i / 44100;

        guides[2 * i] = (float)(0.3 * sin(t * 500));
        guides[2 * i + 1] = (float)(0.2 * sin(t * 9000));
        mix[i] = guides[2 * i] + guides[2 * i + 1] + (float)(0.1 * sin(t * 15000));
    }
    unmix(n, 2, 1, 44100, 10000, mix, guides, parts);
    for (size_t i = 0; i < n; i++)
        parts[i] -= guides[2 * i]; /* what is left of the first part */
    assert_at_most(energy(parts, 4000, 16000), 1e-6 * energy(mix, 4000, 16000));
}

/* A sine's envelope and its place in the spectrogram, pushed in blocks of odd sizes; a sound shorter than a frame, too. */
static void views_show_a_sine(void **state)
{
    static float low[100], high[100], db[80 * 100];
    static const size_t sizes[] = {1, 17, 3000, 20000};
    pjd_error err;

    for (size_t k = 0; k < PJD_COUNTOF(sizes); k++) {
        pjd_view *v = NULL;
        size_t n = sizes[k], best = 0, expected = (size_t)(80 * log(1000 / 40.0) / log(22050 / 40.0));

        for (size_t i = 0; i < n; i++)
            mix[i] = (float)(0.5 * sin(2 * M_PI * 1000 * (double)i / 44100 + 1));
        assert_ok(pjd_view_create(100, 80, 44100, n, &v, &err), &err);
        for (size_t i = 0; i < n; i += 777)
            pjd_view_push(v, mix + i, n - i < 777 ? n - i : 777);
        pjd_view_get(v, low, high, db);
        pjd_view_free(v);
        for (size_t i = 0; i < 80 * 100; i++)
            assert_true(isfinite(db[i]));
        for (size_t c = 0; c < 100; c++)
            assert_true(low[c] >= -0.5001f && high[c] <= 0.5001f);
        if (n < 20000)
            continue;
        for (size_t r = 0; r < 80; r++)
            best = db[r * 100 + 50] > db[best * 100 + 50] ? r : best;
        assert_true(best + 1 >= expected && best <= expected + 1);
        /* half of full scale, halved by the window: -12 dB, of which the mean over a row of 7 bins leaves 1.5 / 7 */
        assert_at_most(fabs(db[best * 100 + 50] + 18.7), 1);
        assert_at_most(fabs(high[50] - 0.5), 0.01);
    }
}

static void bad_sizes_are_refused(void **state)
{
    pjd_unmix *u = NULL;
    pjd_error err;

    assert_int_equal(pjd_unmix_create(0, 1, 44100, 0, &u, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_unmix_create(65, 1, 44100, 0, &u, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_unmix_create(1, 0, 44100, 0, &u, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_unmix_create(1, 1, NAN, 0, &u, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_unmix_create(1, 1, 44100, NAN, &u, &err), PJD_ERR_ARG);
    for (uint64_t k = 1; k < 9; k++) {
        pjd_mem_test_fail_at(k);
        assert_int_equal(pjd_unmix_create(2, 2, 44100, 0, &u, &err), PJD_ERR_NOMEM);
        assert_null(u);
    }
    pjd_mem_test_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_cover_everything),
        cmocka_unit_test(crossfades_are_complementary),
        cmocka_unit_test(masks_partition),
        cmocka_unit_test(parts_sum_to_the_mix),
        cmocka_unit_test(known_fractions_come_back),
        cmocka_unit_test(silence_stays_silence),
        cmocka_unit_test(top_band_follows_the_top_of_the_band),
        cmocka_unit_test(views_show_a_sine),
        cmocka_unit_test(bad_sizes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
