/* SPDX-License-Identifier: MIT */
/* Counts: moments of the draws, and Anscombe's transform against sums over the distribution. */
#include "core/core.h"
#include "projdiff/noise.h"
#include "support/support.h"

enum { DRAWS = 40000 };

/* Mean, variance and third central moment of a Poisson distribution are all its mean. */
static void test_moments(void **state)
{
    static const double means[] = {0, 0.03, 1, 7.5, 11.99, 12, 40, 3000};
    float *mean = malloc(DRAWS * sizeof *mean), *k = malloc(DRAWS * sizeof *k);
    pjd_error err;

    for (size_t i = 0; i < PJD_COUNTOF(means); i++) {
        double m = means[i], sum = 0, second = 0, third = 0, n = DRAWS;
        pjd_noise *noise = NULL;

        for (size_t d = 0; d < DRAWS; d++)
            mean[d] = (float)m;
        assert_ok(pjd_noise_seeded(3, i, &noise, &err), &err);
        assert_ok(pjd_noise_poisson(noise, mean, k, DRAWS, &err), &err);
        pjd_noise_free(noise);
        for (size_t d = 0; d < DRAWS; d++) {
            assert_true(k[d] >= 0 && k[d] == floorf(k[d]));
            sum += k[d] / n;
        }
        for (size_t d = 0; d < DRAWS; d++) {
            second += (k[d] - m) * (k[d] - m) / n;
            third += (k[d] - m) * (k[d] - m) * (k[d] - m) / n;
        }
        /* five deviations of each: m, m + 2 m^2, and 15 m^3 with terms for small means */
        assert_at_most(fabs(sum - m), 5 * sqrt(m / n) + 1e-12);
        assert_at_most(fabs(second - m), 5 * sqrt((m + 2 * m * m) / n) + 1e-12);
        assert_at_most(fabs(third - m), 5 * sqrt((m + 30 * m * m + 15 * m * m * m) / n) + 1e-12);
    }
    free(mean);
    free(k);
}

/* The share of each count, against the distribution itself: chi-square over 0 .. 9 for mean 3, 0 .. 40 for mean 20. */
static void test_distribution(void **state)
{
    float *mean = malloc(DRAWS * sizeof *mean), *k = malloc(DRAWS * sizeof *k);
    pjd_error err;

    for (int i = 0; i < 2; i++) {
        double m = i ? 20 : 3, chi = 0;
        size_t cells = i ? 41 : 10;
        pjd_noise *noise = NULL;

        for (size_t d = 0; d < DRAWS; d++)
            mean[d] = (float)m;
        assert_ok(pjd_noise_seeded(4, 0, &noise, &err), &err);
        assert_ok(pjd_noise_poisson(noise, mean, k, DRAWS, &err), &err);
        pjd_noise_free(noise);
        for (size_t c = 0; c < cells; c++) {
            double expected = DRAWS * exp(-m + (double)c * log(m) - lgamma((double)c + 1)), found = 0;

            for (size_t d = 0; d < DRAWS; d++)
                found += k[d] == (float)c;
            chi += (found - expected) * (found - expected) / (expected + 1); /* + 1: the tails hold less than one */
        }
        assert_at_most(chi, (double)cells + 5 * sqrt(2 * (double)cells));
    }
    free(mean);
    free(k);
}

static void test_seed_and_refusals(void **state)
{
    float mean[3] = {5, 50, 500}, a[3], b[3], bad[2] = {1, NAN};
    pjd_noise *noise = NULL;
    pjd_error err;

    for (int i = 0; i < 2; i++) {
        assert_ok(pjd_noise_seeded(9, 1, &noise, &err), &err);
        assert_ok(pjd_noise_poisson(noise, mean, i ? b : a, 3, &err), &err);
        pjd_noise_free(noise);
    }
    assert_memory_equal(a, b, sizeof a);
    assert_ok(pjd_noise_seeded(9, 1, &noise, &err), &err);
    assert_int_equal(pjd_noise_poisson(noise, bad, a, 2, &err), PJD_ERR_ARG);
    bad[0] = -1;
    assert_int_equal(pjd_noise_poisson(noise, bad, a, 1, &err), PJD_ERR_ARG);
    pjd_noise_free(noise);
}

/* E 2 sqrt(k + 3/8), summed from 0 here. */
static double expectation(double m)
{
    double sum = 0, p = exp(-m);

    for (int k = 0; k < 3000; k++) {
        sum += p * 2 * sqrt(k + 0.375);
        p *= m / (k + 1);
    }
    return sum;
}

/* "Exact unbiased": the inverse of the expectation is the mean, through the table and beyond it. */
static void test_inverse(void **state)
{
    static const double means[] = {0, 1e-3, 0.02, 0.1, 0.5, 1, 2, 5, 17, 80, 200, 255, 257, 300, 600};

    for (size_t i = 0; i < PJD_COUNTOF(means); i++) {
        double m = means[i];
        float z = (float)expectation(m);

        pjd_anscombe_inverse(&z, &z, 1);
        /* rounding of z to float32, and linear interpolation at small means */
        assert_at_most(fabs(z - m), 2e-4 + 1e-6 * m);
    }
    for (int k = 0; k < 50; k++) {
        float z = (float)k;

        pjd_anscombe(&z, &z, 1);
        assert_at_most(fabs(z - 2 * sqrt(k + 0.375)), 1e-6 * z);
    }
    float low[2] = {0, -3};
    pjd_anscombe_inverse(low, low, 2);
    assert_true(low[0] == 0 && low[1] == 0);
    pjd_anscombe(low, low, 1);
    assert_at_most(fabs(low[0] - 2 * sqrt(0.375)), 1e-6);
}

/* Monte Carlo: the transform's deviation is close to 1, and its mean comes back unbiased. */
static void test_stabilised(void **state)
{
    float *mean = malloc(DRAWS * sizeof *mean), *k = malloc(DRAWS * sizeof *k);
    pjd_error err;

    for (double m = 4; m < 200; m *= 3) {
        pjd_noise *noise = NULL;
        double sum = 0, sq = 0;
        float z;

        for (size_t d = 0; d < DRAWS; d++)
            mean[d] = (float)m;
        assert_ok(pjd_noise_seeded(5, 0, &noise, &err), &err);
        assert_ok(pjd_noise_poisson(noise, mean, k, DRAWS, &err), &err);
        pjd_noise_free(noise);
        pjd_anscombe(k, k, DRAWS);
        for (size_t d = 0; d < DRAWS; d++)
            sum += k[d] / DRAWS;
        for (size_t d = 0; d < DRAWS; d++)
            sq += (k[d] - sum) * (k[d] - sum) / DRAWS;
        assert_at_most(fabs(sqrt(sq) - 1), 0.03); /* Anscombe's own: within 2% from 4 counts on; 0.4% of these draws */
        z = (float)sum;
        pjd_anscombe_inverse(&z, &z, 1);
        assert_at_most(fabs(z - m), 5 * sqrt(m / DRAWS));
    }
    free(mean);
    free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments), cmocka_unit_test(test_distribution), cmocka_unit_test(test_seed_and_refusals),
        cmocka_unit_test(test_inverse), cmocka_unit_test(test_stabilised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
