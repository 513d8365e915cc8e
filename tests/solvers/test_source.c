/* SPDX-License-Identifier: MIT */
/* Sources with Gaussian priors, where what must come out is known; levels; what is refused. */
#include "support/support.h"

#include "core/core.h"
#include "projdiff/source.h"

enum { STEMS = 3, LENGTH = 17, N = STEMS * LENGTH };

static const float level[STEMS] = {-0.1f, 0.05f, 0.2f};

/* One prior of all stems, or one of each: N(level of the stem, variance). */
static pjd_sources *gaussian_stems(bool joint, float variance)
{
    float mean[N], var[N];
    pjd_model *m[STEMS] = {NULL};
    pjd_sources *s;
    pjd_error err;

    for (int i = 0; i < N; i++) {
        mean[i] = level[i / LENGTH];
        var[i] = variance;
    }
    if (joint) {
        pjd_shape item = pjd_shape_chw(STEMS, 1, LENGTH);

        assert_ok(pjd_model_gaussian(&item, mean, var, NULL, &m[0], &err), &err);
    } else {
        pjd_shape item = pjd_shape_chw(1, 1, LENGTH);

        for (int k = 0; k < STEMS; k++)
            assert_ok(pjd_model_gaussian(&item, mean + k * LENGTH, var, NULL, &m[k], &err), &err);
    }
    assert_ok(pjd_sources_create(m, joint ? 1 : STEMS, LENGTH, NULL, &s, &err), &err);
    for (int k = 0; k < STEMS; k++)
        pjd_model_unref(m[k]);
    return s;
}

static void levels(void **state)
{
    double s[151];
    pjd_error err;

    assert_ok(pjd_karras_sigmas(150, 1e-4, 1, 7, s, &err), &err);
    assert_at_most(fabs(s[0] - 1), 1e-12);
    assert_at_most(fabs(s[1] - 0.966125742), 1e-8); /* the published program's float32 */
    assert_at_most(fabs(s[74] - 0.0423662409), 1e-8);
    assert_at_most(fabs(s[148] - 1.13539797e-04), 1e-10);
    assert_at_most(fabs(s[149] - 1e-4), 1e-15);
    assert_at_most(fabs(s[150]), 0);
    assert_ok(pjd_karras_sigmas(100, 1e-4, 3, 9, s, &err), &err);
    assert_at_most(fabs(s[1] - 2.81906552), 1e-6);
    assert_int_equal(pjd_karras_sigmas(1, 1e-4, 1, 7, s, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_karras_sigmas(9, 1, 1, 7, s, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_karras_sigmas(9, NAN, 1, 7, s, &err), PJD_ERR_ARG);
    assert_int_equal(pjd_karras_sigmas(9, 1e-4, 1, NAN, s, &err), PJD_ERR_ARG);
}

/*
 * Stems of equal variance v: given the mixture, the most likely stem is level_k + (mixture - sum of levels) / STEMS. ProjDiff
 * goes to it where the prior is sharper than the noise (v = 1e-4: the whole way down to sigma = 0.01); the samplers draw
 * from around it, within a few sqrt(v).
 */
static void separates(void **state)
{
    static const char *const solvers[] = {"projdiff", "dirac", "gaussian"};
    float mixture[LENGTH], x[N], again[N];
    pjd_source_options o;
    pjd_source_report rep;
    pjd_error err;

    test_random(mixture, LENGTH, 1);
    for (int i = 0; i < LENGTH; i++)
        mixture[i] = 0.15f + 0.01f * mixture[i];
    for (int joint = 0; joint < 2; joint++)
        for (int k = 0; k < 3; k++) {
            pjd_sources *s = gaussian_stems(joint, 1e-4f);
            double worst = 0;

            assert_int_equal(pjd_sources_count(s), STEMS);
            pjd_source_options_init(&o);
            o.solver = solvers[k];
            assert_ok(pjd_separate(s, mixture, &o, x, &rep, &err), &err);
            assert_int_equal(rep.network_calls, 150 * rep.repeats + (k == 0));
            for (int i = 0; i < N; i++)
                worst = fmax(worst, fabs(x[i] - (level[i / LENGTH] + (mixture[i % LENGTH] - 0.15) / STEMS)));
            assert_at_most(worst, k == 0 ? 0.01 : 0.08);
            assert_at_most(rep.residual, k == 2 ? 0.05 : 1e-6);
            assert_ok(pjd_separate(s, mixture, &o, again, NULL, &err), &err);
            assert_memory_equal(x, again, sizeof x);
            o.seed = 1;
            assert_ok(pjd_separate(s, mixture, &o, again, NULL, &err), &err);
            assert_memory_not_equal(x, again, sizeof x);
            pjd_sources_free(s);
        }
}

/* What an earlier window found stays, and the rest still sums to the mixture. */
static void known_samples(void **state)
{
    float mixture[LENGTH], known[STEMS * 5], x[N];
    pjd_sources *s = gaussian_stems(true, 0.1f);
    pjd_source_options o;
    pjd_error err;

    test_random(mixture, LENGTH, 2);
    test_random(known, STEMS * 5, 3);
    pjd_source_options_init(&o);
    o.steps = 5;
    o.known = known;
    o.known_length = 5;
    assert_ok(pjd_separate(s, mixture, &o, x, NULL, &err), &err);
    for (int k = 0; k < STEMS; k++)
        assert_memory_equal(x + k * LENGTH, known + k * 5, 5 * sizeof *x);
    for (int i = 5; i < LENGTH; i++)
        assert_at_most(fabs(mixture[i] - x[i] - x[LENGTH + i] - x[2 * LENGTH + i]), 2e-6);
    pjd_sources_free(s);
}

/* Given stems come back bit for bit; the others are drawn from their prior. */
static void completes(void **state)
{
    float stem[LENGTH], x[N];
    const float *given[STEMS] = {NULL, stem, NULL};
    pjd_sources *s = gaussian_stems(false, 1e-4f);
    pjd_source_options o;
    pjd_source_report rep;
    pjd_error err;

    test_random(stem, LENGTH, 4);
    for (int restricted = 0; restricted < 2; restricted++) {
        pjd_source_options_init(&o);
        o.free_encoding = !restricted;
        assert_ok(pjd_complete(s, given, &o, x, &rep, &err), &err);
        assert_int_equal(rep.network_calls, 257);
        assert_memory_equal(x + LENGTH, stem, sizeof stem);
        for (int i = 0; i < LENGTH; i++) {
            assert_at_most(fabs(x[i] - level[0]), 0.05);
            assert_at_most(fabs(x[2 * LENGTH + i] - level[2]), 0.05);
        }
    }
    o.solver = "dirac";
    assert_int_equal(pjd_complete(s, given, &o, x, NULL, &err), PJD_ERR_ARG);
    stem[3] = NAN;
    assert_int_equal(pjd_complete(s, given, NULL, x, NULL, &err), PJD_ERR_NONFINITE);
    pjd_sources_free(s);
}

/* The loop allocates nothing. */
static bool count_allocations(void *user, size_t step, size_t steps, const float *x0)
{
    uint64_t *seen = user, now = pjd_mem_test_count();

    if (step > 1)
        assert_int_equal(now, *seen);
    *seen = now;
    return true;
}

static void allocates_nothing(void **state)
{
    static const char *const solvers[] = {"projdiff", "dirac", "gaussian"};
    float mixture[LENGTH] = {0}, x[N];
    pjd_sources *s = gaussian_stems(false, 0.1f);
    pjd_source_options o;
    pjd_error err;
    uint64_t seen;

    for (int k = 0; k < 3; k++) {
        pjd_source_options_init(&o);
        o.solver = solvers[k];
        o.steps = 5;
        o.progress = count_allocations;
        o.progress_user = &seen;
        assert_ok(pjd_separate(s, mixture, &o, x, NULL, &err), &err);
    }
    pjd_sources_free(s);
}

static bool stop_at_two(void *user, size_t step, size_t steps, const float *x0)
{
    return step < 2;
}

static void refused(void **state)
{
    float mixture[LENGTH] = {0}, x[N];
    pjd_sources *s = gaussian_stems(true, 0.1f), *none;
    pjd_source_options o;
    pjd_error err;

    pjd_source_options_init(&o);
    o.solver = "demucs";
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_ARG);
    pjd_source_options_init(&o);
    o.step_size = NAN;
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_ARG);
    pjd_source_options_init(&o);
    o.momentum = 1;
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_ARG);
    pjd_source_options_init(&o);
    o.constrained = STEMS;
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_ARG);
    pjd_source_options_init(&o);
    o.known_length = 1;
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_ARG);
    pjd_source_options_init(&o);
    o.progress = stop_at_two;
    assert_int_equal(pjd_separate(s, mixture, &o, x, NULL, &err), PJD_ERR_CANCELLED);
    mixture[2] = INFINITY;
    assert_int_equal(pjd_separate(s, mixture, NULL, x, NULL, &err), PJD_ERR_NONFINITE);
    pjd_sources_free(s);
    assert_int_equal(pjd_sources_create(NULL, 0, LENGTH, NULL, &none, &err), PJD_ERR_ARG);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),    cmocka_unit_test(separates), cmocka_unit_test(known_samples),
        cmocka_unit_test(completes), cmocka_unit_test(refused),   cmocka_unit_test(allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
