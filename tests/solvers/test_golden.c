/* SPDX-License-Identifier: MIT */
/*
 * Recorded runs of the published program, replayed draw for draw with --compat reference: 1e-3 relative L2, what a float32
 * implementation with another summation order should meet over ten steps. The two deblurring runs use the program's own
 * faulty operator, registered here through the public interface.
 */
#include "support/support.h"

#include "projdiff/projdiff.h"

static float *array(const char *run, const char *file, pjd_shape *shape)
{
    char name[128];
    const char *path;
    float *x;

    snprintf(name, sizeof name, "solver_%s/%s", run, file);
    path = test_golden(name);
    x = path ? test_npy(path, shape) : NULL;
    if (!x)
        fail_msg("%s is not readable", name);
    return x;
}

static pjd_model *open_model(void)
{
    const pjd_model_options o = {.config = "num_head_channels=16,use_new_attention_order=false"};
    const char *path = test_golden("adm_32/model.pt");
    pjd_model *m;
    pjd_error err;

    skip_without(path, "shared/golden");
    assert_ok(pjd_model_open(path, &o, &m, &err), &err);
    return m;
}

static void replay(pjd_model *m, const char *run, pjd_operator *op, double sigma, double step_size)
{
    pjd_shape ys, ns, xs;
    float *y = array(run, "y.npy", &ys), *noise = array(run, "noise.npy", &ns), *want = array(run, "x0_final.npy", &xs);
    float *x = malloc(3072 * sizeof *x);
    pjd_solve_options o;
    pjd_solve_report report;
    pjd_noise *src;
    pjd_error err;
    size_t draws;

    pjd_shape_count(&ns, &draws);
    assert_ok(pjd_noise_recorded(noise, draws, &src, &err), &err);
    pjd_solve_options_init(&o);
    o.sigma = sigma;
    o.steps = 10;
    o.step_size = step_size;
    o.compat = PJD_COMPAT_REFERENCE;
    o.noise = src;
    assert_ok(pjd_solve(m, op, y, &o, x, &report, &err), &err);
    print_message("%s: relative L2 %.2e, residual %.3g\n", run, test_relative_l2(x, want, 3072), report.residual);
    assert_at_most(test_relative_l2(x, want, 3072), 1e-3);
    assert_int_equal(pjd_noise_position(src), draws); /* every recorded draw was used */
    pjd_noise_free(src);
    free(y);
    free(noise);
    free(want);
    free(x);
    pjd_operator_unref(op);
    pjd_model_unref(m);
}

static pjd_operator *make(const char *task, const pjd_array *mask)
{
    const pjd_shape x = pjd_shape_chw(3, 32, 32);
    pjd_operator *op;
    pjd_error err;

    assert_ok(pjd_operator_create(task, mask, mask != NULL, &x, NULL, &op, &err), &err);
    return op;
}

static pjd_operator *mask(const char *run)
{
    pjd_shape s;
    float *missing = array(run, "missing_index.npy", &s), known[1024];
    const pjd_array a = {"mask", {.rank = 2, .dim = {32, 32}}, known};
    pjd_operator *op;
    size_t n;

    pjd_shape_count(&s, &n);
    for (int i = 0; i < 1024; i++)
        known[i] = 1;
    for (size_t i = 0; i < n; i++)
        known[(size_t)missing[i]] = 0;
    free(missing);
    op = make("inpaint", &a);
    return op;
}

static void sr4_noisefree(void **state)
{
    pjd_model *m = open_model();

    replay(m, "sr4_noisefree", make("superres:factor=4", NULL), 0, 1.7);
}

static void sr4_noisy(void **state)
{
    pjd_model *m = open_model();

    replay(m, "sr4_noisy", make("superres:factor=4", NULL), 0.1, 0.5);
}

static void inp_noisefree(void **state)
{
    pjd_model *m = open_model();

    replay(m, "inp_noisefree", mask("inp_noisefree"), 0, 1.1);
}

static void inp_noisy(void **state)
{
    pjd_model *m = open_model();

    replay(m, "inp_noisy", mask("inp_noisy"), 0.1, 1.0);
}

static void hdr_noisefree(void **state)
{
    pjd_model *m = open_model();

    replay(m, "hdr_noisefree", make("hdr:scale=2", NULL), 0, 2.0);
}

static void hdr_noisy(void **state)
{
    pjd_model *m = open_model();

    replay(m, "hdr_noisy", make("hdr:scale=2", NULL), 0.1, 1.0);
}

static void phase_noisefree(void **state)
{
    pjd_model *m = open_model();

    replay(m, "phase_noisefree", make("phase:pad=8", NULL), 0, 1.5);
}

static void phase_noisy(void **state)
{
    pjd_model *m = open_model();

    replay(m, "phase_noisy", make("phase:pad=8", NULL), 0.1, 1.9);
}

/* ---- the program's deblurring operator, with its two faults (recordings' README) ---- */

enum { SIDE = 32, AREA = SIDE * SIDE, ELEMENTS = 3 * AREA };

typedef struct faulty_blur {
    float u[AREA], v[AREA]; /* U_small, V_small, row-major */
    size_t perm[AREA];
    float singular[ELEMENTS];
} faulty_blur;

/* out = a^T x b (transposed) or a x b^T, all SIDE x SIDE. */
static void sandwich(const float *a, const float *x, bool transposed, float *out)
{
    float half[AREA];

    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            double sum = 0;

            for (int k = 0; k < SIDE; k++)
                sum += (double)(transposed ? a[k * SIDE + i] : a[i * SIDE + k]) * x[k * SIDE + j];
            half[i * SIDE + j] = (float)sum;
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            double sum = 0;

            for (int k = 0; k < SIDE; k++)
                sum += (double)half[i * SIDE + k] * (transposed ? a[k * SIDE + j] : a[j * SIDE + k]);
            out[i * SIDE + j] = (float)sum;
        }
}

/* Coordinates: entries of the transformed plane in `perm` order, channels fastest. */
static void to_coordinates(const faulty_blur *b, const float *basis, const float *x, float *c)
{
    float plane[AREA];

    for (int ch = 0; ch < 3; ch++) {
        sandwich(basis, x + ch * AREA, true, plane);
        for (int k = 0; k < AREA; k++)
            c[k * 3 + ch] = plane[b->perm[k]];
    }
}

static void from_coordinates(const faulty_blur *b, const float *basis, const float *c, float *x)
{
    float plane[AREA];

    for (int ch = 0; ch < 3; ch++) {
        for (int k = 0; k < AREA; k++)
            plane[b->perm[k]] = c[k * 3 + ch];
        sandwich(basis, plane, false, x + ch * AREA);
    }
}

static void blur_to(void *user, const float *x, float *c, float *work)
{
    const faulty_blur *b = user;

    to_coordinates(b, b->v, x, c);
}

static void blur_from(void *user, const float *c, float *x, float *work)
{
    const faulty_blur *b = user;

    from_coordinates(b, b->v, c, x);
}

static void blur_data(void *user, const float *y, float *d, float *work)
{
    const faulty_blur *b = user;

    to_coordinates(b, b->u, y, d);
    for (size_t i = 0; i < ELEMENTS; i++)
        if (!(b->singular[i] > 0))
            d[i] = 0;
}

static void blur_apply(void *user, const float *x, float *y, float *work)
{
    const faulty_blur *b = user;

    to_coordinates(b, b->v, x, work);
    for (size_t i = 0; i < ELEMENTS; i++)
        work[i] *= b->singular[i];
    from_coordinates(b, b->u, work, y);
}

static void blur_adjoint(void *user, const float *y, float *x, float *work)
{
    const faulty_blur *b = user;

    to_coordinates(b, b->u, y, work);
    for (size_t i = 0; i < ELEMENTS; i++)
        work[i] *= b->singular[i];
    from_coordinates(b, b->v, work, x);
}

static pjd_operator *blur(const char *run)
{
    static faulty_blur b;
    const pjd_shape shape = pjd_shape_chw(3, SIDE, SIDE);
    pjd_shape s;
    float *u = array(run, "U_small.npy", &s), *v = array(run, "V_small.npy", &s), *p = array(run, "perm.npy", &s);
    float *small = array(run, "singulars_small.npy", &s);
    const pjd_operator_callbacks cb = {.apply = blur_apply,
                                       .adjoint = blur_adjoint,
                                       .count = ELEMENTS,
                                       .singular = b.singular,
                                       .to_spectral = blur_to,
                                       .from_spectral = blur_from,
                                       .data = blur_data,
                                       .user = &b,
                                       .work = ELEMENTS,
                                       .linear = true};
    pjd_operator *op;
    pjd_error err;
    double worst;

    memcpy(b.u, u, sizeof b.u);
    memcpy(b.v, v, sizeof b.v);
    for (size_t i = 0; i < AREA; i++)
        b.perm[i] = (size_t)p[i];
    /* Sorted products, repeated three times end to end: the channel-major fault. */
    for (size_t i = 0; i < ELEMENTS; i++)
        b.singular[i] = small[b.perm[i % AREA] / SIDE] * small[b.perm[i % AREA] % SIDE];
    free(u);
    free(v);
    free(p);
    free(small);
    assert_ok(pjd_operator_custom("reference blur", &shape, &shape, &cb, &op, &err), &err);
    assert_ok(pjd_operator_test_adjoint(op, 3, 1, &worst, &err), &err);
    assert_at_most(worst, 1e-5);
    return op;
}

static void deblur_noisefree(void **state)
{
    pjd_model *m = open_model();

    replay(m, "deblur_noisefree", blur("deblur_noisefree"), 0, 0.9);
}

static void deblur_noisy(void **state)
{
    pjd_model *m = open_model();

    replay(m, "deblur_noisy", blur("deblur_noisy"), 0.1, 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sr4_noisefree), cmocka_unit_test(sr4_noisy),        cmocka_unit_test(inp_noisefree),
        cmocka_unit_test(inp_noisy),     cmocka_unit_test(deblur_noisefree), cmocka_unit_test(deblur_noisy),
        cmocka_unit_test(hdr_noisefree), cmocka_unit_test(hdr_noisy),        cmocka_unit_test(phase_noisefree),
        cmocka_unit_test(phase_noisy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
