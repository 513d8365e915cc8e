/* SPDX-License-Identifier: MIT */
/*
 * cs, compressed sensing: few random mixtures of all pixels of a channel, y = [c, 1, m], the same for every channel.
 *
 *   dct       signs of the pixels flipped at random, orthonormal DCT-II, m coefficients chosen at random: A A* = I
 *   hadamard  the same with the Walsh-Hadamard transform of the pixels followed by zeros up to a power of two
 *   gaussian  an m x pixels matrix of N(0, 1/pixels) entries; small pictures only
 *
 * Everything random follows from the seed.
 */
#include <math.h>
#include <string.h>

#include "fft.h"
#include "internal.h"
#include "projdiff/noise.h"

enum { HADAMARD, DCT, GAUSSIAN };
enum { MAX_ENTRIES = 1 << 26 };

typedef struct cs_params {
    int transform;
    double ratio;
    long seed, width, height;
} cs_params;

typedef struct cs {
    size_t c, h, w, n, m, p; /* n = h w pixels, m measurements, p >= n coefficients */
    int transform;
    float *sign;   /* [n], +-1 */
    size_t *pick;  /* [m], rising */
    float *matrix; /* [m, n] */
    pjd_dct2 d;
    double gain;
} cs;

/* Unscaled and its own transpose; p is a power of two. */
static void hadamard(float *v, size_t p)
{
    for (size_t half = 1; half < p; half *= 2)
        for (size_t i = 0; i < p; i += 2 * half)
            for (size_t j = i; j < i + half; j++) {
                float a = v[j], b = v[j + half];

                v[j] = a + b;
                v[j + half] = a - b;
            }
}

/* The square transform (orthonormal), forwards or its transpose. */
static void transform(const cs *s, float *v, bool inverse, float *work)
{
    if (s->transform == HADAMARD) {
        float unit = (float)(1.0 / sqrt((double)s->p));

        hadamard(v, s->p);
        for (size_t i = 0; i < s->p; i++)
            v[i] *= unit;
    } else if (inverse) {
        pjd_dct2_backward(&s->d, v, work);
    } else {
        pjd_dct2_forward(&s->d, v, work);
    }
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const cs *s = op->priv;

    for (size_t c = 0; c < s->c; c++) {
        const float *from = x + c * s->n;
        float *to = y + c * s->m;

        if (s->matrix) {
#pragma omp parallel for schedule(static) if (s->m * s->n > PJD_OP_PARALLEL)
            for (size_t i = 0; i < s->m; i++) {
                double sum = 0.0;

                for (size_t j = 0; j < s->n; j++)
                    sum += (double)s->matrix[i * s->n + j] * (double)from[j];
                to[i] = (float)sum;
            }
            continue;
        }
        for (size_t i = 0; i < s->n; i++)
            work[i] = s->sign[i] * from[i];
        memset(work + s->n, 0, (s->p - s->n) * sizeof *work);
        transform(s, work, false, work + pjd_op_pad(s->p));
        for (size_t i = 0; i < s->m; i++)
            to[i] = work[s->pick[i]];
    }
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const cs *s = op->priv;

    for (size_t c = 0; c < s->c; c++) {
        const float *from = y + c * s->m;
        float *to = x + c * s->n;

        if (s->matrix) {
            memset(to, 0, s->n * sizeof *to);
            for (size_t i = 0; i < s->m; i++)
                for (size_t j = 0; j < s->n; j++)
                    to[j] += s->matrix[i * s->n + j] * from[i];
            continue;
        }
        memset(work, 0, s->p * sizeof *work);
        for (size_t i = 0; i < s->m; i++)
            work[s->pick[i]] = from[i];
        transform(s, work, true, work + pjd_op_pad(s->p));
        for (size_t i = 0; i < s->n; i++)
            to[i] = s->sign[i] * work[i];
    }
}

/* A A* = I where nothing was padded. */
static void gram_solve(const pjd_operator *op, float *r, double lambda, float *work)
{
    float f = (float)(1.0 / (1.0 + lambda));

    for (size_t i = 0; i < op->ny; i++)
        r[i] *= f;
}

/* rank / |A|_F^2 */
static double noise_gain(const pjd_operator *op, double sigma2)
{
    return ((const cs *)op->priv)->gain * sigma2;
}

static void destroy(pjd_operator *op)
{
    cs *s = op->priv;

    if (s) {
        pjd_free(s->sign);
        pjd_free(s->pick);
        pjd_free(s->matrix);
        pjd_dct2_free(&s->d);
        pjd_free(s);
    }
}

/* ---- creation ---- */

/* m of p indices, rising, by selection sampling (Knuth, 3.4.2, algorithm S), which needs no sort. */
static void choose(size_t p, size_t m, const float *uniform, size_t *pick)
{
    size_t taken = 0;

    for (size_t i = 0; i < p && taken < m; i++)
        if ((double)uniform[i] * (double)(p - i) < (double)(m - taken))
            pick[taken++] = i;
}

/* Standard normals to uniforms in [0, 1). */
static float uniform_of(float normal)
{
    double u = 0.5 * erfc(-(double)normal * M_SQRT1_2);

    return u < 0.99999994 ? (float)u : 0.99999994f;
}

static pjd_status fill_sampled(cs *s, pjd_noise *noise, pjd_error *err)
{
    float *u = pjd_alloc(s->p, sizeof *u);
    pjd_status st;

    s->sign = pjd_alloc(s->n, sizeof *s->sign);
    s->pick = pjd_alloc_zero(s->m, sizeof *s->pick);
    if (!u || !s->sign || !s->pick) {
        pjd_free(u);
        return pjd_error_nomem(err, "cs", s->p * sizeof *u);
    }
    st = pjd_noise_normal(noise, s->sign, s->n, err);
    if (st == PJD_OK)
        st = pjd_noise_normal(noise, u, s->p, err);
    if (st == PJD_OK) {
        for (size_t i = 0; i < s->n; i++)
            s->sign[i] = s->sign[i] < 0.0f ? -1.0f : 1.0f;
        for (size_t i = 0; i < s->p; i++)
            u[i] = uniform_of(u[i]);
        choose(s->p, s->m, u, s->pick);
        s->gain = (double)s->p / (double)s->n;
        if (s->transform == DCT)
            st = pjd_dct2_create(s->h, s->w, &s->d, err);
    }
    pjd_free(u);
    return st;
}

static pjd_status fill_matrix(cs *s, pjd_noise *noise, pjd_error *err)
{
    size_t count;
    double sum = 0.0;
    pjd_status st;

    if (!pjd_mul(s->m, s->n, &count) || count > MAX_ENTRIES)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "cs: a Gaussian matrix of %zu x %zu is too large, at most %d entries "
                             "(transform=hadamard has no such limit)",
                             s->m, s->n, MAX_ENTRIES);
    s->matrix = pjd_alloc(count, sizeof *s->matrix);
    if (!s->matrix)
        return pjd_error_nomem(err, "cs", count * sizeof *s->matrix);
    st = pjd_noise_normal(noise, s->matrix, count, err);
    for (size_t i = 0; st == PJD_OK && i < count; i++) {
        s->matrix[i] /= (float)sqrt((double)s->n);
        sum += (double)s->matrix[i] * (double)s->matrix[i];
    }
    s->gain = (double)s->m / sum;
    return st;
}

static pjd_status fill(cs *s, uint64_t seed, pjd_error *err)
{
    pjd_noise *noise = NULL;
    pjd_status st = pjd_noise_seeded(seed, 0, &noise, err);

    if (st == PJD_OK)
        st = s->transform == GAUSSIAN ? fill_matrix(s, noise, err) : fill_sampled(s, noise, err);
    pjd_noise_free(noise);
    return st;
}

static pjd_status shapes(const cs_params *p, const pjd_shape *given_x, const pjd_shape *given_y, pjd_shape *x,
                         pjd_shape *y, pjd_error *err)
{
    pjd_status st = pjd_op_require_chw("cs", given_x ? given_x : given_y, err);
    size_t n, m;

    if (st != PJD_OK)
        return st;
    if (given_x &&
        ((p->width && (size_t)p->width != given_x->dim[2]) || (p->height && (size_t)p->height != given_x->dim[1])))
        return pjd_error_set(err, PJD_ERR_SHAPE, "cs: width=%ld, height=%ld (0: any) do not match a picture of %zux%zu",
                             p->width, p->height, given_x->dim[2], given_x->dim[1]);
    if (given_x)
        *x = *given_x;
    else if (p->width && p->height)
        *x = pjd_shape_chw(given_y->dim[0], (size_t)p->height, (size_t)p->width);
    else
        return pjd_error_set(err, PJD_ERR_ARG,
                             "cs: width and height of the picture are needed, %zu measurements do not tell",
                             given_y->dim[2]);
    if (!pjd_mul(x->dim[1], x->dim[2], &n))
        return pjd_error_set(err, PJD_ERR_SHAPE, "cs: a picture of %zux%zu is too large", x->dim[2], x->dim[1]);
    m = (size_t)ceil(p->ratio * (double)n);
    *y = pjd_shape_chw(x->dim[0], 1, m < 1 ? 1 : m > n ? n : m);
    return pjd_op_require_equal("cs", "measurement", y, given_y, err);
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *given_x,
                         const pjd_shape *given_y, pjd_operator **out, pjd_error *err)
{
#define COMMON .apply = apply, .adjoint = adjoint, .noise_gain = noise_gain, .destroy = destroy
    static const pjd_op_vtbl iterative = {COMMON}, closed = {COMMON, .gram_solve = gram_solve};
#undef COMMON
    const cs_params *p = params;
    pjd_operator *op = NULL;
    pjd_shape x, y;
    cs *s;
    pjd_status st = shapes(p, given_x, given_y, &x, &y, err);

    *out = NULL;
    if (st == PJD_OK)
        st = pjd_op_new("cs", &iterative, &x, &y, true, &op, err);
    if (st != PJD_OK)
        return st;
    op->priv = s = pjd_alloc_zero(1, sizeof *s);
    st = s ? PJD_OK : pjd_error_nomem(err, "cs", sizeof *s);
    if (st == PJD_OK) {
        *s = (cs){.c = x.dim[0],
                  .h = x.dim[1],
                  .w = x.dim[2],
                  .n = x.dim[1] * x.dim[2],
                  .m = y.dim[2],
                  .transform = p->transform};
        for (s->p = 1; s->transform == HADAMARD && s->p < s->n;)
            s->p *= 2;
        s->p = s->transform == HADAMARD ? s->p : s->n;
        st = fill(s, (uint64_t)p->seed, err);
    }
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->lacks = PJD_LACKS_PLACE;
    if (s->transform != GAUSSIAN && s->p == s->n) {
        op->v = &closed;
        op->kind = PJD_OP_AVERAGE;
    }
    op->work = s->matrix ? 0 : pjd_op_pad(s->p) + (s->transform == DCT ? pjd_dct2_work(&s->d) : 0);
    *out = op;
    return PJD_OK;
}

static const pjd_param table_of_params[] = {
    {.name = "transform",
     .type = PJD_PARAM_CHOICE,
     .fallback = "hadamard",
     .choices = "hadamard|dct|gaussian",
     .unit = "",
     .help = "how pixels are mixed",
     .offset = offsetof(cs_params, transform)},
    {.name = "ratio",
     .type = PJD_PARAM_FLOAT,
     .fallback = "0.25",
     .min = 1e-6,
     .max = 1,
     .unit = "",
     .help = "measurements per pixel",
     .offset = offsetof(cs_params, ratio)},
    {.name = "seed",
     .type = PJD_PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e15,
     .unit = "",
     .help = "which mixtures; to restore, the one that was measured with",
     .offset = offsetof(cs_params, seed)},
    {.name = "width",
     .type = PJD_PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .unit = "px",
     .help = "width of the picture, needed to restore",
     .offset = offsetof(cs_params, width)},
    {.name = "height",
     .type = PJD_PARAM_INT,
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .unit = "px",
     .help = "height of the picture, needed to restore",
     .offset = offsetof(cs_params, height)},
};

const pjd_op_class pjd_op_cs = {
    .entry = {"cs", "compressed sensing: a picture from few random mixtures of its pixels", table_of_params,
              PJD_COUNTOF(table_of_params), .numbers = true},
    .params_size = sizeof(cs_params),
    .create = create,
};
