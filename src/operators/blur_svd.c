/* SPDX-License-Identifier: MIT */
/*
 * A kernel of rank one blurs columns by B and rows by C, Y = B X C', so two small decompositions B = U S V' are those
 * of the picture. B is h x xh: square for a zero border, wider where x reaches beyond y (then V has vectors that
 * nothing sees). V and S^2 come from B'B: squaring costs nothing here, for float64 resolves S down to 1e-8 of the
 * largest and values below 1e-4 count as zero anyway.
 */
#include <math.h>
#include <string.h>

#include "blur.h"
#include "dense.h"

typedef struct axis {
    size_t n, m, rank;      /* columns and rows of B, singular values above the floor */
    float *v, *vt, *u, *ut; /* V [n, n], V', U [m, rank], U' */
    double *s;              /* [n], largest first, 0 from rank on */
} axis;

struct pjd_svd {
    axis row, column; /* column: along a column of the picture (its rows are mixed) */
    double floor;
};

static void axis_free(axis *a)
{
    pjd_free(a->v);
    pjd_free(a->vt);
    pjd_free(a->u);
    pjd_free(a->ut);
    pjd_free(a->s);
}

void pjd_svd_free(pjd_svd *s)
{
    if (!s)
        return;
    axis_free(&s->row);
    axis_free(&s->column);
    pjd_free(s);
}

/* B[i][t]: weight of x's element t in y's element i; X's element e is x's e - before. */
static double entry(const double *k, size_t taps, size_t before, size_t i, size_t t)
{
    size_t e = t + before;

    return e >= i && e - i < taps ? k[taps - 1 - (e - i)] : 0.0;
}

/* g = B'B */
static void normal_matrix(const axis *a, const double *k, size_t taps, size_t before, double *g)
{
    memset(g, 0, a->n * a->n * sizeof *g);
    for (size_t i = 0; i < a->m; i++) {
        /* Row i of B is not 0 from t = i - before on, taps long. */
        size_t first = i > before ? i - before : 0, last = i + taps > before ? i + taps - before : 0;

        last = last < a->n ? last : a->n;
        for (size_t p = first; p < last; p++)
            for (size_t q = first; q < last; q++)
                g[p * a->n + q] += entry(k, taps, before, i, p) * entry(k, taps, before, i, q);
    }
}

/* U = B V / s for the values above the floor; both orientations of both matrices, in float32. */
static void fill_axis(axis *a, const double *k, size_t taps, size_t before, const double *vectors)
{
    for (size_t r = 0; r < a->n; r++)
        for (size_t t = 0; t < a->n; t++)
            a->vt[r * a->n + t] = a->v[t * a->n + r] = (float)vectors[r * a->n + t];
    for (size_t r = 0; r < a->rank; r++)
        for (size_t i = 0; i < a->m; i++) {
            size_t first = i > before ? i - before : 0, last = i + taps > before ? i + taps - before : 0;
            double sum = 0.0;

            last = last < a->n ? last : a->n;
            for (size_t t = first; t < last; t++)
                sum += entry(k, taps, before, i, t) * vectors[r * a->n + t];
            a->ut[r * a->m + i] = a->u[i * a->rank + r] = (float)(sum / a->s[r]);
        }
}

static pjd_status axis_create(axis *a, size_t m, size_t n, const double *k, size_t taps, size_t before, pjd_error *err)
{
    double *g = pjd_alloc(n * n, sizeof *g), *vectors = pjd_alloc(n * n, sizeof *vectors);
    pjd_status st = PJD_OK;

    a->m = m;
    a->n = n;
    a->v = pjd_alloc(n * n, sizeof *a->v);
    a->vt = pjd_alloc(n * n, sizeof *a->vt);
    a->u = pjd_alloc(m * n, sizeof *a->u);
    a->ut = pjd_alloc(m * n, sizeof *a->ut);
    a->s = pjd_alloc(n, sizeof *a->s);
    if (!g || !vectors || !a->v || !a->vt || !a->u || !a->ut || !a->s) {
        st = pjd_error_nomem(err, "deblur", n * n * sizeof *g);
        goto done;
    }
    normal_matrix(a, k, taps, before, g);
    st = pjd_symmetric_eigen("deblur", n, g, a->s, vectors, err);
    if (st != PJD_OK)
        goto done;
    for (size_t i = 0; i < n; i++) {
        a->s[i] = a->s[i] > 0.0 ? sqrt(a->s[i]) : 0.0;
        if (i < m && a->s[i] >= PJD_BLUR_FLOOR * a->s[0] && a->s[0] > 0.0)
            a->rank = i + 1;
        else
            a->s[i] = 0.0;
    }
    fill_axis(a, k, taps, before, vectors);
done:
    pjd_free(g);
    pjd_free(vectors);
    return st;
}

static pjd_status make_singular(pjd_blur *b, pjd_error *err)
{
    const pjd_svd *s = b->svd;
    size_t plane = b->xh * b->xw;

    b->singular = pjd_alloc(b->c * plane, sizeof *b->singular);
    if (!b->singular)
        return pjd_error_nomem(err, "deblur", b->c * plane * sizeof *b->singular);
    for (size_t i = 0; i < b->c * plane; i++) {
        double v = s->column.s[i % plane / b->xw] * s->row.s[i % b->xw];

        b->singular[i] = v >= s->floor ? (float)v : 0.0f;
    }
    return PJD_OK;
}

pjd_status pjd_svd_create(pjd_blur *b, const pjd_psf *psf, pjd_error *err)
{
    bool extend = b->rows != NULL;
    pjd_svd *s = b->svd = pjd_alloc_zero(1, sizeof *s);
    pjd_status st;

    if (!s)
        return pjd_error_nomem(err, "deblur", sizeof *s);
    st = axis_create(&s->column, b->h, b->xh, psf->column, psf->h, extend ? psf->h - 1 - psf->cy : 0, err);
    if (st == PJD_OK)
        st = axis_create(&s->row, b->w, b->xw, psf->row, psf->w, extend ? psf->w - 1 - psf->cx : 0, err);
    if (st != PJD_OK)
        return st;
    s->floor = PJD_BLUR_FLOOR * s->column.s[0] * s->row.s[0];
    return make_singular(b, err);
}

/* ---- products ---- */

static size_t gemm_work(const pjd_blur *b)
{
    return pjd_gemm_work(b->xh > b->xw ? b->xh : b->xw);
}

size_t pjd_svd_work(const pjd_blur *b)
{
    size_t plane = pjd_op_pad(b->xh * b->xw), blur = pjd_blur_plane_work(b), gemm = gemm_work(b);

    return 3 * plane + (blur > gemm ? blur : gemm);
}

/* [rank, rank] coordinates of one channel of y. t: a plane of scratch */
static void to_data(const pjd_blur *b, const float *y, float *d, float *t, float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;

    pjd_gemm(c->rank, b->w, b->h, c->ut, b->h, y, b->w, t, b->w, work);
    pjd_gemm(c->rank, r->rank, b->w, t, b->w, r->u, r->rank, d, r->rank, work);
}

void pjd_svd_correct(const pjd_blur *b, float *x, const float *y, double scale, double lambda, float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *a = work, *d = a + plane, *t = d + plane, *rest = t + plane;

    pjd_blur_apply(b, x, a, rest);
    pjd_vec_scale_minus(scale, y, a, b->h * b->w);
    to_data(b, a, d, t, rest);
    for (size_t i = 0; i < c->rank; i++)
        for (size_t j = 0; j < r->rank; j++)
            d[i * r->rank + j] *= (float)pjd_blur_filter(c->s[i] * r->s[j], lambda, b->svd->floor);
    pjd_gemm(c->rank, b->xw, r->rank, d, r->rank, r->vt, b->xw, t, b->xw, rest);
    pjd_gemm(b->xh, b->xw, c->rank, c->v, b->xh, t, b->xw, a, b->xw, rest);
    pjd_vec_axpy(1.0, a, x, b->xh * b->xw);
}

void pjd_svd_to_spectral(const pjd_blur *b, const float *x, float *c, float *work)
{
    float *rest = work + pjd_op_pad(b->xh * b->xw);

    pjd_gemm(b->xh, b->xw, b->xh, b->svd->column.vt, b->xh, x, b->xw, work, b->xw, rest);
    pjd_gemm(b->xh, b->xw, b->xw, work, b->xw, b->svd->row.v, b->xw, c, b->xw, rest);
}

void pjd_svd_from_spectral(const pjd_blur *b, const float *c, float *x, float *work)
{
    float *rest = work + pjd_op_pad(b->xh * b->xw);

    pjd_gemm(b->xh, b->xw, b->xh, b->svd->column.v, b->xh, c, b->xw, work, b->xw, rest);
    pjd_gemm(b->xh, b->xw, b->xw, work, b->xw, b->svd->row.vt, b->xw, x, b->xw, rest);
}

void pjd_svd_data(const pjd_blur *b, const float *y, float *d, float *work)
{
    const axis *r = &b->svd->row, *c = &b->svd->column;
    size_t plane = pjd_op_pad(b->xh * b->xw);
    float *t = work, *small = t + plane, *rest = small + plane;

    to_data(b, y, small, t, rest);
    memset(d, 0, b->xh * b->xw * sizeof *d);
    for (size_t i = 0; i < c->rank; i++)
        for (size_t j = 0; j < r->rank; j++)
            if (b->singular[i * b->xw + j] > 0.0f)
                d[i * b->xw + j] = small[i * r->rank + j];
}
