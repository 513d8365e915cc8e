/* SPDX-License-Identifier: MIT */
#include "resample.h"

#include <math.h>
#include <string.h>

#include "band.h"
#include "dense.h"

/* Sides of y up to which A A* is decomposed, sides of x up to which the spectral form is made. */
enum { DENSE = 1024 };
/* Singular values below this share of the largest are not divided by. */
static const double FLOOR = 1e-4;

typedef struct axis {
    size_t m, n, rank; /* of y, of x, singular values above the floor */
    pjd_band down, up; /* R, R' */
    double *s;         /* [m], largest first */
    float *u, *ut;     /* U [m, rank], U' */
    float *v, *vt;     /* V [n, n], its first rank columns belonging to s; V' */
} axis;

typedef struct resample {
    size_t c;
    axis row, column; /* column: along a column of the picture */
    double floor, gain;
    float *singular;
    /* A given kernel of higher rank: its values, and which row and column of x each of them takes for each of y. */
    float *kernel;
    size_t kh, kw, *rows, *cols; /* [h, kh], [w, kw] */
} resample;

static void axis_free(axis *a)
{
    pjd_band_free(&a->down);
    pjd_band_free(&a->up);
    pjd_free(a->s);
    pjd_free(a->u);
    pjd_free(a->ut);
    pjd_free(a->v);
    pjd_free(a->vt);
}

static void destroy(pjd_operator *op)
{
    resample *s = op->priv;

    if (s) {
        axis_free(&s->row);
        axis_free(&s->column);
        pjd_free(s->singular);
        pjd_free(s->kernel);
        pjd_free(s->rows);
        pjd_free(s->cols);
        pjd_free(s);
    }
}

/* ---- one row of R ---- */

typedef struct row_maker {
    const pjd_resample *how;
    const double *taps; /* given */
    size_t count, centre, m, n;
} row_maker;

static double cubic(double t)
{
    t = fabs(t);
    if (t < 1.0)
        return (1.5 * t - 2.5) * t * t + 1.0;
    return t < 2.0 ? ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0 : 0.0;
}

static double overlap(double a, double b, double c, double d)
{
    double low = a > c ? a : c, high = b < d ? b : d;

    return high > low ? high - low : 0.0;
}

/* Index p of a picture of n pixels mirrored at its borders (half a pixel outside the last ones). */
static size_t mirror(long p, size_t n)
{
    long period = 2 * (long)n, q = (p % period + period) % period;

    return q < (long)n ? (size_t)q : (size_t)(period - 1 - q);
}

/* The pixel of x that y's pixel i is taken at with a given kernel: the middle of the cell, or half a pixel before. */
static long sampled_at(size_t i, size_t factor)
{
    return (long)(i * factor + (factor - 1) / 2);
}

static void given_row(const row_maker *k, size_t i, double *w)
{
    long p = sampled_at(i, k->how->factor) + (long)k->centre;

    for (size_t j = 0; j < k->count; j++)
        w[mirror(p - (long)j, k->n)] += k->taps[j];
}

static double weight_at(const row_maker *k, double step, double centre, double j)
{
    double d = j - centre;

    switch (k->how->kind) {
    case PJD_RESAMPLE_BICUBIC:
        return cubic(d / step);
    case PJD_RESAMPLE_GAUSSIAN:
        d /= k->how->gaussian;
        return fabs(j - centre) <= fmax(4.0 * k->how->gaussian, 1.0) ? exp(-0.5 * d * d) : 0.0;
    default:
        return overlap(j - 0.5, j + 0.5, centre - step / 2.0, centre + step / 2.0);
    }
}

static void fill_row(const void *how, size_t i, double *w)
{
    const row_maker *k = how;
    double step = (double)k->n / (double)k->m, centre = ((double)i + 0.5) * step - 0.5, sum = 0.0;
    double reach = k->how->kind == PJD_RESAMPLE_GAUSSIAN ? fmax(4.0 * k->how->gaussian, 1.0) : 2.0 * step;
    size_t first, last;

    if (k->how->kind == PJD_RESAMPLE_GIVEN) {
        given_row(k, i, w);
        return;
    }
    first = centre > reach ? (size_t)(centre - reach) : 0;
    last = centre + reach + 1.0 < (double)(k->n - 1) ? (size_t)(centre + reach + 1.0) : k->n - 1;
    for (size_t j = first; j <= last; j++)
        sum += w[j] = weight_at(k, step, centre, (double)j);
    for (size_t j = first; j <= last; j++)
        w[j] = fabs(w[j]) > 1e-12 * sum ? w[j] / sum : 0.0; /* an overlap of rounding is none */
}

/* ---- decomposition of one axis ---- */

static double band_entry(const pjd_band *b, size_t i, size_t j)
{
    return j >= b->first[i] && j - b->first[i] < b->taps ? (double)b->w[i * b->taps + j - b->first[i]] : 0.0;
}

static void gram_matrix(const pjd_band *b, double *g)
{
    for (size_t i = 0; i < b->rows; i++)
        for (size_t l = 0; l < b->rows; l++) {
            double sum = 0.0;

            if (b->first[i] < b->first[l] + b->taps && b->first[l] < b->first[i] + b->taps)
                for (size_t k = 0; k < b->taps; k++)
                    sum += (double)b->w[i * b->taps + k] * band_entry(b, l, b->first[i] + k);
            g[i * b->rows + l] = sum;
        }
}

/* Rows of V' above the floor: v_r = R' u_r / s_r. */
static void right_vectors(const axis *a, const double *u, double *v)
{
    memset(v, 0, a->n * a->n * sizeof *v);
    for (size_t r = 0; r < a->rank; r++)
        for (size_t i = 0; i < a->m; i++)
            for (size_t k = 0; k < a->down.taps; k++)
                v[r * a->n + a->down.first[i] + k] += (double)a->down.w[i * a->down.taps + k] * u[r * a->m + i] /
                                                      a->s[r];
}

static pjd_status make_right(axis *a, const double *u, pjd_error *err)
{
    double *v = pjd_alloc(a->n * a->n, sizeof *v), *spare = pjd_alloc((a->rank + 1) * a->n, sizeof *spare);
    pjd_status st = PJD_OK;

    a->v = pjd_alloc(a->n * a->n, sizeof *a->v);
    a->vt = pjd_alloc(a->n * a->n, sizeof *a->vt);
    if (!v || !spare || !a->v || !a->vt) {
        st = pjd_error_nomem(err, "superres", a->n * a->n * sizeof *v);
    } else {
        right_vectors(a, u, v);
        pjd_orthonormal_complete(a->n, a->rank, v, spare);
        for (size_t r = 0; r < a->n; r++)
            for (size_t t = 0; t < a->n; t++)
                a->vt[r * a->n + t] = a->v[t * a->n + r] = (float)v[r * a->n + t];
    }
    pjd_free(v);
    pjd_free(spare);
    return st;
}

static pjd_status decompose(axis *a, bool spectral, pjd_error *err)
{
    double *g = pjd_alloc(a->m * a->m, sizeof *g), *u = pjd_alloc(a->m * a->m, sizeof *u);
    pjd_status st = PJD_OK;

    a->s = pjd_alloc(a->m, sizeof *a->s);
    a->u = pjd_alloc(a->m * a->m, sizeof *a->u);
    a->ut = pjd_alloc(a->m * a->m, sizeof *a->ut);
    if (!g || !u || !a->s || !a->u || !a->ut) {
        st = pjd_error_nomem(err, "superres", a->m * a->m * sizeof *g);
        goto done;
    }
    gram_matrix(&a->down, g);
    st = pjd_symmetric_eigen("superres", a->m, g, a->s, u, err);
    if (st != PJD_OK)
        goto done;
    for (size_t i = 0; i < a->m; i++) {
        a->s[i] = a->s[i] > 0.0 ? sqrt(a->s[i]) : 0.0;
        if (a->s[i] > 0.0 && a->s[i] >= FLOOR * a->s[0])
            a->rank = i + 1;
    }
    for (size_t r = 0; r < a->rank; r++)
        for (size_t i = 0; i < a->m; i++)
            a->ut[r * a->m + i] = a->u[i * a->rank + r] = (float)u[r * a->m + i];
    if (spectral)
        st = make_right(a, u, err);
done:
    pjd_free(g);
    pjd_free(u);
    return st;
}

static pjd_status axis_create(axis *a, const row_maker *how, pjd_error *err)
{
    pjd_status st = pjd_band_create("superres", how->m, how->n, fill_row, how, &a->down, err);

    a->m = how->m;
    a->n = how->n;
    if (st == PJD_OK)
        st = pjd_band_transpose("superres", &a->down, &a->up, err);
    return st;
}

/* ---- calls, separable ---- */

static size_t plane_x(const resample *s)
{
    return s->column.n * s->row.n;
}

static size_t plane_y(const resample *s)
{
    return s->column.m * s->row.m;
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const resample *s = op->priv;

    for (size_t c = 0; c < s->c; c++) {
        pjd_band_lines(&s->row.down, x + c * plane_x(s), s->column.n, work);
        pjd_band_columns(&s->column.down, work, s->row.m, y + c * plane_y(s));
    }
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    const resample *s = op->priv;

    for (size_t c = 0; c < s->c; c++) {
        pjd_band_columns(&s->column.up, y + c * plane_y(s), s->row.m, work);
        pjd_band_lines(&s->row.up, work, s->column.n, x + c * plane_x(s));
    }
}

/* [rank, rank] coordinates U' y of one channel; t: a plane of y. */
static void to_data(const resample *s, const float *y, float *d, float *t, float *work)
{
    const axis *r = &s->row, *c = &s->column;

    pjd_gemm(c->rank, r->m, c->m, c->ut, c->m, y, r->m, t, r->m, work);
    pjd_gemm(c->rank, r->rank, r->m, t, r->m, r->u, r->rank, d, r->rank, work);
}

static void gram_solve(const pjd_operator *op, float *r, double lambda, float *work)
{
    const resample *s = op->priv;
    const axis *row = &s->row, *col = &s->column;
    float *d = work, *t = d + pjd_op_pad(plane_y(s)), *rest = t + pjd_op_pad(plane_y(s));

    for (size_t c = 0; c < s->c; c++) {
        float *y = r + c * plane_y(s);

        to_data(s, y, d, t, rest);
        for (size_t i = 0; i < col->rank; i++)
            for (size_t j = 0; j < row->rank; j++) {
                double v = col->s[i] * row->s[j];
                bool kept = v >= s->floor || lambda >= s->floor * s->floor;

                d[i * row->rank + j] *= kept ? (float)(1.0 / (v * v + lambda)) : 0.0f;
            }
        pjd_gemm(col->rank, row->m, row->rank, d, row->rank, row->ut, row->m, t, row->m, rest);
        pjd_gemm(col->m, row->m, col->rank, col->u, col->rank, t, row->m, y, row->m, rest);
    }
}

static void spectral_product(const resample *s, const float *left, const float *right, const float *in, float *out,
                             float *work)
{
    size_t h = s->column.n, w = s->row.n;
    float *rest = work + pjd_op_pad(h * w);

    for (size_t c = 0; c < s->c; c++) {
        pjd_gemm(h, w, h, left, h, in + c * h * w, w, work, w, rest);
        pjd_gemm(h, w, w, work, w, right, w, out + c * h * w, w, rest);
    }
}

static void to_spectral(const pjd_operator *op, const float *x, float *c, float *work)
{
    const resample *s = op->priv;

    spectral_product(s, s->column.vt, s->row.v, x, c, work);
}

static void from_spectral(const pjd_operator *op, const float *c, float *x, float *work)
{
    const resample *s = op->priv;

    spectral_product(s, s->column.v, s->row.vt, c, x, work);
}

static void data(const pjd_operator *op, const float *y, float *d, float *work)
{
    const resample *s = op->priv;
    float *small = work, *t = small + pjd_op_pad(plane_y(s)), *rest = t + pjd_op_pad(plane_y(s));

    memset(d, 0, op->nx * sizeof *d);
    for (size_t c = 0; c < s->c; c++) {
        to_data(s, y + c * plane_y(s), small, t, rest);
        for (size_t i = 0; i < s->column.rank; i++)
            for (size_t j = 0; j < s->row.rank; j++) {
                size_t at = i * s->row.n + j;

                if (s->singular[at] > 0.0f)
                    d[c * plane_x(s) + at] = small[i * s->row.rank + j];
            }
    }
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return ((const resample *)op->priv)->gain * sigma2;
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    const resample *s = op->priv;

    for (size_t c = 0; c < s->c; c++)
        pjd_op_enlarge(y + c * plane_y(s), s->column.m, s->row.m, x + c * plane_x(s), s->column.n, s->row.n,
                       (double)s->column.n / (double)s->column.m, (double)s->row.n / (double)s->row.m);
}

/* ---- calls, a given kernel of higher rank ---- */

static void apply_kernel(const pjd_operator *op, const float *x, float *y, float *work)
{
    const resample *s = op->priv;
    size_t h = s->column.m, w = s->row.m, xw = s->row.n;

#pragma omp parallel for schedule(static) if (op->ny * s->kh * s->kw > PJD_OP_PARALLEL)
    for (size_t r = 0; r < s->c * h; r++) {
        const float *from = x + r / h * plane_x(s);
        const size_t *rows = s->rows + r % h * s->kh;

        for (size_t j = 0; j < w; j++) {
            const size_t *cols = s->cols + j * s->kw;
            float sum = 0.0f;

            for (size_t a = 0; a < s->kh; a++)
                for (size_t b = 0; b < s->kw; b++)
                    sum += s->kernel[a * s->kw + b] * from[rows[a] * xw + cols[b]];
            y[r * w + j] = sum;
        }
    }
}

static void adjoint_kernel(const pjd_operator *op, const float *y, float *x, float *work)
{
    const resample *s = op->priv;
    size_t h = s->column.m, w = s->row.m, xw = s->row.n;

    memset(x, 0, op->nx * sizeof *x);
#pragma omp parallel for schedule(static) if (op->ny * s->kh * s->kw > PJD_OP_PARALLEL)
    for (size_t c = 0; c < s->c; c++)
        for (size_t i = 0; i < h; i++)
            for (size_t j = 0; j < w; j++) {
                float v = y[(c * h + i) * w + j], *to = x + c * plane_x(s);

                for (size_t a = 0; a < s->kh; a++)
                    for (size_t b = 0; b < s->kw; b++)
                        to[s->rows[i * s->kh + a] * xw + s->cols[j * s->kw + b]] += v * s->kernel[a * s->kw + b];
            }
}

/* ---- creation ---- */

static pjd_status index_map(size_t m, size_t n, size_t taps, size_t centre, size_t factor, size_t **out, pjd_error *err)
{
    size_t count;

    if (!pjd_mul(m, taps, &count))
        return pjd_error_set(err, PJD_ERR_SHAPE, "superres: a kernel of %zu pixels for %zu is too large", taps, m);
    *out = pjd_alloc(count, sizeof **out);
    if (!*out)
        return pjd_error_nomem(err, "superres", count * sizeof **out);
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < taps; k++)
            (*out)[i * taps + k] = mirror(sampled_at(i, factor) + (long)centre - (long)k, n);
    return PJD_OK;
}

static pjd_status fill_kernel(resample *s, const pjd_resample *how, pjd_error *err)
{
    const pjd_psf *p = how->psf;
    pjd_status st;

    s->kh = p->h;
    s->kw = p->w;
    s->gain = 1.0 / p->squares;
    s->kernel = pjd_alloc(p->h * p->w, sizeof *s->kernel);
    if (!s->kernel)
        return pjd_error_nomem(err, "superres", p->h * p->w * sizeof *s->kernel);
    for (size_t i = 0; i < p->h * p->w; i++)
        s->kernel[i] = (float)p->k[i];
    st = index_map(s->column.m, s->column.n, p->h, p->cy, how->factor, &s->rows, err);
    return st == PJD_OK ? index_map(s->row.m, s->row.n, p->w, p->cx, how->factor, &s->cols, err) : st;
}

/* The mean of 1 / s^2 over what is not cut off: the mean square of A+ n where n has variance 1. */
static double exact_gain(const resample *s)
{
    double sum = 0.0, count = 0.0;

    for (size_t i = 0; i < s->column.rank; i++)
        for (size_t j = 0; j < s->row.rank; j++) {
            double v = s->column.s[i] * s->row.s[j];

            if (v >= s->floor) {
                sum += 1.0 / (v * v);
                count += 1.0;
            }
        }
    return sum / count;
}

/* rank / |A|^2, one over the mean squared singular value, where they are not known one by one. */
static double mean_gain(const resample *s)
{
    double squares[2] = {0.0, 0.0};
    const axis *a[2] = {&s->row, &s->column};

    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < a[k]->m * a[k]->down.taps; i++)
            squares[k] += (double)a[k]->down.w[i] * (double)a[k]->down.w[i];
    return (double)plane_y(s) / (squares[0] * squares[1]);
}

static pjd_status fill_separable(resample *s, const pjd_resample *how, pjd_error *err)
{
    const pjd_psf *p = how->psf;
    row_maker col = {how, p ? p->column : NULL, p ? p->h : 0, p ? p->cy : 0, s->column.m, s->column.n};
    row_maker row = {how, p ? p->row : NULL, p ? p->w : 0, p ? p->cx : 0, s->row.m, s->row.n};
    bool small = !how->part && s->column.m <= DENSE && s->row.m <= DENSE;
    bool spectral = small && s->column.n <= DENSE && s->row.n <= DENSE;
    pjd_status st = axis_create(&s->column, &col, err);

    if (st == PJD_OK)
        st = axis_create(&s->row, &row, err);
    if (st == PJD_OK)
        s->gain = mean_gain(s);
    if (st != PJD_OK || !small)
        return st;
    st = decompose(&s->column, spectral, err);
    if (st == PJD_OK)
        st = decompose(&s->row, spectral, err);
    if (st != PJD_OK)
        return st;
    s->floor = FLOOR * s->column.s[0] * s->row.s[0];
    s->gain = exact_gain(s);
    if (!spectral)
        return PJD_OK;
    s->singular = pjd_alloc_zero(s->c * plane_x(s), sizeof *s->singular);
    if (!s->singular)
        return pjd_error_nomem(err, "superres", s->c * plane_x(s) * sizeof *s->singular);
    for (size_t c = 0; c < s->c; c++)
        for (size_t i = 0; i < s->column.rank; i++)
            for (size_t j = 0; j < s->row.rank; j++) {
                double v = s->column.s[i] * s->row.s[j];

                s->singular[c * plane_x(s) + i * s->row.n + j] = v >= s->floor ? (float)v : 0.0f;
            }
    return PJD_OK;
}

static size_t scratch(const resample *s)
{
    size_t lines = pjd_op_pad(s->column.n * s->row.m), side, gram, spectral;

    if (!s->column.u)
        return s->kernel ? 0 : lines;
    side = s->column.m > s->row.m ? s->column.m : s->row.m;
    gram = 2 * pjd_op_pad(plane_y(s)) + pjd_gemm_work(side);
    side = s->column.n > s->row.n ? s->column.n : s->row.n;
    spectral = s->singular ? pjd_op_pad(plane_x(s)) + pjd_gemm_work(side) : 0;
    gram = gram > spectral ? gram : spectral;
    return gram > lines ? gram : lines;
}

pjd_status pjd_resample_create(const pjd_resample *how, const pjd_shape *x, const pjd_shape *y, pjd_operator **out,
                               pjd_error *err)
{
#define COMMON .noise_gain = noise_gain, .guess = guess, .destroy = destroy
#define SEPARABLE COMMON, .apply = apply, .adjoint = adjoint
    static const pjd_op_vtbl given = {COMMON, .apply = apply_kernel, .adjoint = adjoint_kernel};
    static const pjd_op_vtbl iterative = {SEPARABLE}, closed = {SEPARABLE, .gram_solve = gram_solve};
    static const pjd_op_vtbl full = {SEPARABLE, .gram_solve = gram_solve, .to_spectral = to_spectral,
                                     .from_spectral = from_spectral, .data = data};
#undef SEPARABLE
#undef COMMON
    pjd_operator *op = NULL;
    resample *s;
    pjd_status st = pjd_op_new("superres", &iterative, x, y, true, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    op->priv = s = pjd_alloc_zero(1, sizeof *s);
    st = s ? PJD_OK : pjd_error_nomem(err, "superres", sizeof *s);
    if (st == PJD_OK) {
        s->c = x->dim[0];
        s->column.m = y->dim[1];
        s->column.n = x->dim[1];
        s->row.m = y->dim[2];
        s->row.n = x->dim[2];
        st = how->psf && !how->psf->column ? fill_kernel(s, how, err) : fill_separable(s, how, err);
    }
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->v = s->kernel ? &given : !s->column.u ? &iterative : !s->singular ? &closed : &full;
    op->kind = PJD_OP_FILTER;
    op->work = scratch(s);
    if (s->singular) {
        op->singular = s->singular;
        op->spectral_count = op->nx;
    }
    *out = op;
    return PJD_OK;
}
