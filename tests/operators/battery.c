/* SPDX-License-Identifier: MIT */
#include "battery.h"

#include <omp.h>

float *floats(size_t n)
{
    float *p = malloc((n ? n : 1) * sizeof *p);

    assert_non_null(p);
    /* What is not written must not matter. */
    for (size_t i = 0; i < n; i++)
        p[i] = NAN;
    return p;
}

double norm(const float *a, size_t n)
{
    double s = 0.0;

    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * a[i];
    return sqrt(s);
}

/* ---- making operators ---- */

const op_case op_cases[] = {
    {.task = "denoise", .exact_gain = true},
    {.task = "colorize", .exact_gain = true, .x_channels = 3, .y_channels = 1},
    {.task = "hdr", .meets = -1.0},
    {.task = "hdr:scale=3.5", .meets = -1.0},
    {.task = "phase:pad=0", .meets = 1e-4},
    {.task = "phase:pad=3", .meets = -1.0, .min_size = 7},
    {.task = "phase", .meets = -1.0, .min_size = 1000}, /* sizes of y without a solution */
    {.task = "cs:ratio=0.4", .from_x_only = true, .converge = ",seed=3"},
    {.task = "cs:transform=dct,ratio=0.4", .exact_gain = true, .from_x_only = true},
    {.task = "cs:transform=gaussian,ratio=0.3", .from_x_only = true, .meets = 1e-4, .gain_side = 16},
    {.task = "mri", .converge = ":iterations=50,tolerance=1e-6", .array = "mask", .x_channels = 2, .y_channels = 2},
    /* A has singular values down to nothing: what a projection does is in test_ct.c. */
    {.task = "ct", .converge = ":iterations=400,tolerance=1e-7", .meets = -1.0},
    {.task = "ct:angles=20", .converge = ",iterations=400,tolerance=1e-7", .meets = -1.0, .from_x_only = true},
    {.task = "ct:angles=5,first=-20,last=100,detectors=9,axis=0.7",
     .converge = ",iterations=400,tolerance=1e-7",
     .meets = -1.0,
     .from_x_only = true},
    {.task = "inpaint", .array = "mask", .exact_gain = true},
    {.task = "superres:factor=2", .exact_gain = true},
    {.task = "superres:factor=3", .exact_gain = true},
    {.task = "superres:factor=5"},
    {.task = "superres:factor=2.5"},
    {.task = "superres:factor=3,kernel=bicubic"},
    {.task = "superres:factor=1.7,kernel=bicubic"},
    {.task = "superres:factor=2,kernel=gaussian,gaussian=0.9"},
    {.task = "superres:factor=3", .array = "kernel", .kernel_h = 4, .kernel_w = 3, .meets = 1e-4},
    {.task = "superres:factor=2", .array = "kernel", .kernel_h = 1, .kernel_w = 3},
    {.task = "deblur:gaussian=1.2,boundary=periodic", .meets = 1e-3},
    {.task = "deblur:boundary=periodic", .array = "kernel", .kernel_h = 4, .kernel_w = 3, .meets = 1e-3},
    {.task = "deblur:gaussian=1.2,boundary=reflect", .meets = 1e-3},
    {.task = "deblur:disk=1.6,boundary=reflect", .meets = 1e-3},
    {.task = "deblur:motion=5,angle=30,boundary=reflect", .converge = ",iterations=150,tolerance=1e-6", .meets = 2e-2},
    {.task = "deblur:gaussian=0.8,boundary=zero", .meets = 1e-3},
    {.task = "deblur:motion=4\\,-70,boundary=zero", .converge = ",iterations=150,tolerance=1e-6", .meets = 2e-2},
    {.task = "deblur:gaussian=0.8", .meets = 1e-3, .min_size = 9},
    {.task = "deblur:disk=2", .converge = ",iterations=150,tolerance=1e-6", .meets = 2e-2, .min_size = 5},
    {.task = "deblur",
     .converge = ":iterations=150,tolerance=1e-6",
     .array = "kernel",
     .kernel_h = 3,
     .kernel_w = 4,
     .meets = 2e-2,
     .min_size = 4},
};
const size_t op_case_count = PJD_COUNTOF(op_cases);

static pjd_operator *make(const op_case *c, bool converge, const pjd_shape *x, const pjd_shape *y, uint64_t seed)
{
    char task[160];
    const pjd_shape *s = x ? x : y;
    size_t channels = x ? c->x_channels : c->y_channels;
    size_t h = c->kernel_h ? c->kernel_h : s->dim[1], w = c->kernel_h ? c->kernel_w : s->dim[2], smaller;
    float *data = floats(h * w);
    pjd_array a = {.name = c->array, .shape = {.rank = 2, .dim = {h, w}}, .data = data};
    pjd_operator *op = (pjd_operator *)&a;
    pjd_error err = {0};
    pjd_status st;

    snprintf(task, sizeof task, "%s%s", c->task, converge && c->converge ? c->converge : "");
    test_random(data, h * w, seed);
    for (size_t i = 0; i < h * w; i++)
        data[i] = c->kernel_h ? fabsf(data[i]) : data[i] > -0.3f ? 1.0f : 0.0f;
    data[h * w / 2] += 1.0f; /* something known; a kernel with a peak */
    st = pjd_operator_create(task, &a, c->array ? 1 : 0, x, y, &op, &err);
    free(data);
    smaller = s->dim[1] < s->dim[2] ? s->dim[1] : s->dim[2];
    if (st != PJD_OK) {
        assert_null(op);
        assert_true(st == PJD_ERR_SHAPE || st == PJD_ERR_ARG);
        assert_int_equal(err.code, st);
        assert_true(strlen(err.text) > 10);
        if (smaller >= c->min_size && !(!x && c->from_x_only) && (channels == 0 || channels == s->dim[0]))
            fail_msg("%s on %zux%zu: %s", c->task, s->dim[1], s->dim[2], err.text);
        return NULL;
    }
    assert_non_null(op);
    return op;
}

pjd_operator *case_create(const op_case *c, bool converge, const pjd_shape *x, uint64_t seed)
{
    pjd_operator *op = make(c, converge, x, NULL, seed);

    if (op)
        assert_true(pjd_shape_equal(pjd_operator_input(op), x));
    return op;
}

pjd_operator *case_create_y(const op_case *c, bool converge, const pjd_shape *y, uint64_t seed)
{
    pjd_operator *op = make(c, converge, NULL, y, seed);

    if (op)
        assert_true(pjd_shape_equal(pjd_operator_output(op), y));
    return op;
}

/* ---- properties ---- */

void check_adjoint(const pjd_operator *op)
{
    double worst = NAN;
    pjd_error err;

    assert_ok(pjd_operator_test_adjoint(op, 3, 7, &worst, &err), &err);
    /* float32 sums of a few hundred terms. */
    assert_at_most(worst, 1e-5);
}

void check_projection(const pjd_operator *op, double meets)
{
    float *truth = floats(op->nx), *x = floats(op->nx), *again = floats(op->nx), *y = floats(op->ny),
          *ax = floats(op->ny);
    float *work = floats(pjd_operator_work(op));
    const double alpha = 0.7;

    meets = meets > 0.0 ? meets : 2e-5;
    test_random(truth, op->nx, 1);
    test_random(x, op->nx, 2);
    pjd_operator_apply(op, truth, y, work);
    pjd_operator_project(op, x, y, 1.0, work);
    pjd_operator_apply(op, x, ax, work);
    assert_at_most(test_max_abs(ax, y, op->ny), meets * (1.0 + norm(y, op->ny)));
    memcpy(again, x, op->nx * sizeof *x);
    pjd_operator_project(op, again, y, 1.0, work);
    assert_at_most(test_relative_l2(again, x, op->nx), 5.0 * meets);
    /* At another level the target is sqrt(alpha) y. */
    pjd_operator_project(op, x, y, alpha, work);
    pjd_operator_apply(op, x, ax, work);
    for (size_t i = 0; i < op->ny; i++)
        y[i] *= (float)sqrt(alpha);
    assert_at_most(test_max_abs(ax, y, op->ny), meets * (1.0 + norm(y, op->ny)));
    free(truth);
    free(x);
    free(again);
    free(y);
    free(ax);
    free(work);
}

/* The gradient of |u - x|^2 + |A u - y|^2 / lambda at the answer, for any y: lambda (u - x) + A*(A u - y) = 0. */
static void check_prox_at(const pjd_operator *op, double lambda)
{
    float *x = floats(op->nx), *u = floats(op->nx), *g = floats(op->nx), *y = floats(op->ny), *r = floats(op->ny);
    float *work = floats(pjd_operator_work(op));
    double scale;

    test_random(x, op->nx, 3);
    test_random(y, op->ny, 4);
    memcpy(u, x, op->nx * sizeof *u);
    pjd_operator_apply(op, x, r, work);
    for (size_t i = 0; i < op->ny; i++)
        r[i] -= y[i];
    pjd_operator_adjoint(op, r, g, work);
    scale = norm(g, op->nx);
    pjd_operator_prox(op, u, y, lambda, work);
    pjd_operator_apply(op, u, r, work);
    for (size_t i = 0; i < op->ny; i++)
        r[i] -= y[i];
    pjd_operator_adjoint(op, r, g, work);
    for (size_t i = 0; i < op->nx; i++)
        g[i] += (float)lambda * (u[i] - x[i]);
    /* Against the gradient at the start; 1e-5 is what the iterative forms promise. */
    assert_at_most(norm(g, op->nx), 3e-5 * scale + 1e-6);
    free(x);
    free(u);
    free(g);
    free(y);
    free(r);
    free(work);
}

void check_prox(const pjd_operator *op)
{
    check_prox_at(op, 1.0);
    check_prox_at(op, 0.01);
}

/* Coordinates with singular values above a level, to 0. */
typedef struct eraser {
    const pjd_operator *op;
    double level;
} eraser;

static void erase(void *ctx, size_t first, size_t n, float *c)
{
    const eraser *e = ctx;

    for (size_t i = 0; i < n; i++)
        c[i] = e->op->singular[first + i] > e->level ? -c[i] : 0.0f;
}

static void check_adjust(const pjd_operator *op)
{
    float *x = floats(op->nx), *a = floats(op->nx), *c = floats(op->nx), *work = floats(pjd_operator_work(op));
    float top = 0.0f;

    for (size_t i = 0; i < op->nx; i++)
        top = fmaxf(top, op->singular[i]);
    for (double level = 0.0; level <= 2.0; level += 0.25) {
        eraser e = {op, level * top};
        double whole;

        test_random(x, op->nx, 6);
        whole = norm(x, op->nx);
        op->v->to_spectral(op, x, c, work);
        for (size_t i = 0; i < op->nx; i++)
            c[i] = op->singular[i] > e.level ? 0.0f : c[i];
        op->v->from_spectral(op, c, a, work);
        op->v->adjust(op, x, e.level, erase, &e, work);
        for (size_t i = 0; i < op->nx; i++)
            a[i] -= x[i];
        /* of what was there before: little is left at low levels */
        assert_at_most(norm(a, op->nx) / whole, 3e-6);
    }
    free(x);
    free(a);
    free(c);
    free(work);
}

void check_spectral(const pjd_operator *op)
{
    const pjd_op_vtbl *v = op->v;
    size_t n = op->nx;
    float *x, *c, *back, *y, *d, *work;

    if (v->adjust)
        check_adjust(op);
    assert_int_equal(!!v->to_spectral, !!v->from_spectral);
    assert_int_equal(!!v->to_spectral, !!v->data);
    assert_int_equal(!!v->to_spectral, op->spectral_count != 0);
    if (!v->to_spectral)
        return;
    assert_int_equal(op->spectral_count, n);
    x = floats(n);
    c = floats(n);
    back = floats(n);
    d = floats(n);
    y = floats(op->ny);
    work = floats(pjd_operator_work(op));
    /* V V' = I on a random x and V' V = I on random coordinates, and lengths are kept. */
    test_random(x, n, 5);
    v->to_spectral(op, x, c, work);
    v->from_spectral(op, c, back, work);
    assert_at_most(test_relative_l2(back, x, n), 1e-5);
    assert_at_most(fabs(norm(c, n) / norm(x, n) - 1.0), 1e-5);
    test_random(c, n, 6);
    v->from_spectral(op, c, x, work);
    v->to_spectral(op, x, back, work);
    assert_at_most(test_relative_l2(back, c, n), 1e-5);
    /* A = U S V': U' A x = S V' x; and what U' does not see of A x is nothing. */
    for (size_t i = 0; i < n; i++)
        assert_true(op->singular[i] >= 0.0f && op->singular[i] < 1e6f);
    pjd_operator_apply(op, x, y, work);
    v->data(op, y, d, work);
    for (size_t i = 0; i < n; i++) {
        c[i] *= op->singular[i];
        if (op->singular[i] == 0.0f)
            assert_true(d[i] == 0.0f);
    }
    /* Values below the floor (1e-4 of the largest) count as zero. */
    assert_at_most(test_relative_l2(d, c, n), 2e-4);
    assert_at_most(fabs(norm(d, n) / norm(y, op->ny) - 1.0), 2e-4);
    free(x);
    free(c);
    free(back);
    free(d);
    free(y);
    free(work);
}

/* A mean over trials and its standard error. */
typedef struct tally {
    double sum, squares;
    size_t n;
} tally;

static void count_in(tally *t, double v)
{
    t->sum += v;
    t->squares += v * v;
    t->n++;
}

static double mean_of(const tally *t)
{
    return t->sum / (double)t->n;
}

static double error_of(const tally *t)
{
    double m = mean_of(t);

    return sqrt(fmax(0.0, t->squares / (double)t->n - m * m) / (double)(t->n - 1));
}

/*
 * Noise of variance 1 in y, by trials. Brought to x by the pseudo-inverse it has the mean square (per dimension that A
 * reaches) of 1 / s^2 over the singular values, brought there by the adjoint that of s^2. A gain lies between
 * 1 / mean s^2 and mean 1 / s^2; where all s are equal, both are it. Allowed are five standard errors as found in the
 * trials; and below, a tenth for blurs that lose part of the kernel at the border.
 */
void check_noise_gain(const pjd_operator *op, bool exact)
{
    enum { TRIALS = 40 };
    float *x = floats(op->nx), *y = floats(op->ny), *seen = floats(op->ny), *work = floats(pjd_operator_work(op));
    double gain = pjd_operator_noise_gain(op, 1.0), low, high;
    tally rank = {0}, inverse = {0}, adjoint = {0};

    for (int k = 0; k < TRIALS; k++) {
        double dot = 0.0;

        test_random(y, op->ny, 100 + (uint64_t)k);
        pjd_operator_adjoint(op, y, x, work);
        count_in(&adjoint, norm(x, op->nx) * norm(x, op->nx));
        memset(x, 0, op->nx * sizeof *x);
        pjd_operator_project(op, x, y, 1.0, work);
        count_in(&inverse, norm(x, op->nx) * norm(x, op->nx));
        pjd_operator_apply(op, x, seen, work);
        for (size_t i = 0; i < op->ny; i++)
            dot += (double)seen[i] * y[i];
        count_in(&rank, dot);
    }
    low = mean_of(&rank) / mean_of(&adjoint);
    high = mean_of(&inverse) / mean_of(&rank);
    print_message("  gain %.4g, trials: %.4g to %.4g\n", gain, low, high);
    /* Rank and square come from the same noise: their errors do not add up, but may. */
    assert_at_most(low * (1.0 - 5.0 * (error_of(&adjoint) / mean_of(&adjoint) + error_of(&rank) / mean_of(&rank))),
                   (exact ? 1.0 : 1.1) * gain);
    assert_at_most(gain,
                   high * (1.0 + 5.0 * (error_of(&inverse) / mean_of(&inverse) + error_of(&rank) / mean_of(&rank))));
    if (exact) {
        assert_at_most(fabs(low / gain - 1.0), 5.0 * sqrt(2.0 / (mean_of(&rank) * TRIALS)));
        assert_at_most(fabs(high / gain - 1.0), 5.0 * sqrt(2.0 / (mean_of(&rank) * TRIALS)));
    }
    assert_at_most(fabs(pjd_operator_noise_gain(op, 0.25) - 0.25 * gain), 1e-9 * gain);
    free(x);
    free(y);
    free(seen);
    free(work);
}

void check_guess(const pjd_operator *op)
{
    float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));

    test_random(x, op->nx, 8);
    pjd_operator_apply(op, x, y, work);
    pjd_operator_guess(op, y, x, work);
    assert_true(pjd_all_finite(x, op->nx));
    /* A constant picture is guessed as itself (where an operator keeps constants). */
    for (size_t i = 0; i < op->nx; i++)
        x[i] = 0.5f;
    pjd_operator_apply(op, x, y, work);
    pjd_operator_guess(op, y, x, work);
    assert_true(pjd_all_finite(x, op->nx));
    free(x);
    free(y);
    free(work);
}

void check_result(const pjd_operator *op)
{
    size_t oy, ox;
    const pjd_shape *r = pjd_operator_result(op, &oy, &ox), *x = pjd_operator_input(op);

    assert_int_equal(r->rank, x->rank);
    assert_true(r->dim[0] >= 1 && r->dim[0] == x->dim[0]);
    assert_true(r->dim[1] >= 1 && oy + r->dim[1] <= x->dim[1]);
    assert_true(r->dim[2] >= 1 && ox + r->dim[2] <= x->dim[2]);
    assert_true(strlen(pjd_operator_name(op)) > 0);
    assert_true(isfinite(pjd_operator_noise_gain(op, 1.0)) && pjd_operator_noise_gain(op, 1.0) > 0.0);
}

/* Every call once; results one after the other in out (NULL: not kept), of call_floats(op). */
static size_t call_floats(const pjd_operator *op)
{
    return 6 * op->nx + op->ny;
}

static void call_all(const pjd_operator *op, const float *x, const float *y, float *out, float *work)
{
    float *o = out;

    pjd_operator_apply(op, x, o, work);
    o += op->ny;
    if (op->linear)
        pjd_operator_adjoint(op, y, o, work);
    else
        memset(o, 0, op->nx * sizeof *o);
    o += op->nx;
    memcpy(o, x, op->nx * sizeof *o);
    pjd_operator_project(op, o, y, 0.8, work);
    o += op->nx;
    memcpy(o, x, op->nx * sizeof *o);
    pjd_operator_prox(op, o, y, 0.1, work);
    o += op->nx;
    pjd_operator_guess(op, y, o, work);
    o += op->nx;
    if (op->v->to_spectral) {
        op->v->to_spectral(op, x, o, work);
        op->v->from_spectral(op, x, o + op->nx, work);
        op->v->data(op, y, o + op->nx, work);
    } else {
        memset(o, 0, 2 * op->nx * sizeof *o);
    }
}

void check_no_allocation(const pjd_operator *op)
{
    float *x = floats(op->nx), *y = floats(op->ny), *out = floats(call_floats(op)),
          *work = floats(pjd_operator_work(op));
    uint64_t before;

    test_random(x, op->nx, 9);
    test_random(y, op->ny, 10);
    before = pjd_mem_test_count();
    call_all(op, x, y, out, work);
    assert_true(pjd_mem_test_count() == before);
    free(x);
    free(y);
    free(out);
    free(work);
}

void check_threads(const pjd_operator *op)
{
    float *x = floats(op->nx), *y = floats(op->ny), *work = floats(pjd_operator_work(op));
    size_t n = call_floats(op);
    float *one = floats(n), *more = floats(n);
    int threads = omp_get_max_threads();

    test_random(x, op->nx, 11);
    test_random(y, op->ny, 12);
    omp_set_num_threads(1);
    call_all(op, x, y, one, work);
    for (int k = 2; k <= 3; k++) {
        omp_set_num_threads(k);
        call_all(op, x, y, more, work);
        assert_memory_equal(one, more, n * sizeof *one);
    }
    omp_set_num_threads(threads);
    free(x);
    free(y);
    free(work);
    free(one);
    free(more);
}
