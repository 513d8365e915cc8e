/* SPDX-License-Identifier: MIT */
/*
 * Half-sample reflection of a kernel that is symmetric in both axes: the orthonormal DCT-II diagonalises it, with
 * eigenvalues sum k[i,j] cos(pi a (i - cy) / h) cos(pi b (j - cx) / w) (Strang, "The discrete cosine transform",
 * 1999). V is the DCT's basis, U the same with the eigenvalue's sign.
 */
#include <math.h>
#include <string.h>

#include "blur.h"

typedef struct cosine {
    size_t c, h, w;
    pjd_dct2 d;
    float *eigen, *singular; /* [h, w], [c, h, w] */
    double floor, gain;
} cosine;

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    const cosine *p = op->priv;
    size_t plane = p->h * p->w;

    memcpy(y, x, op->nx * sizeof *y);
    for (size_t c = 0; c < p->c; c++) {
        float *t = y + c * plane;

        pjd_dct2_forward(&p->d, t, work);
        for (size_t i = 0; i < plane; i++)
            t[i] *= p->eigen[i];
        pjd_dct2_backward(&p->d, t, work);
    }
}

static void correct(const pjd_operator *op, float *x, const float *y, double scale, double lambda, float *work)
{
    const cosine *p = op->priv;
    size_t plane = p->h * p->w;
    float *t = work, *rest = work + pjd_op_pad(plane);

    for (size_t c = 0; c < p->c; c++) {
        float *u = x + c * plane;

        memcpy(t, y + c * plane, plane * sizeof *t);
        pjd_dct2_forward(&p->d, t, rest);
        pjd_dct2_forward(&p->d, u, rest);
        for (size_t i = 0; i < plane; i++) {
            double e = p->eigen[i], g = pjd_blur_filter(fabs(e), lambda, p->floor);

            u[i] += (float)(copysign(g, e) * (scale * (double)t[i] - e * (double)u[i]));
        }
        pjd_dct2_backward(&p->d, u, rest);
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    correct(op, x, y, sqrt(alpha), 0.0, work);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    correct(op, x, y, 1.0, lambda, work);
}

static double noise_gain(const pjd_operator *op, double sigma2)
{
    return ((const cosine *)op->priv)->gain * sigma2;
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    memcpy(x, y, op->nx * sizeof *x);
}

static void to_spectral(const pjd_operator *op, const float *x, float *c, float *work)
{
    const cosine *p = op->priv;

    memcpy(c, x, op->nx * sizeof *c);
    for (size_t k = 0; k < p->c; k++)
        pjd_dct2_forward(&p->d, c + k * p->h * p->w, work);
}

static void from_spectral(const pjd_operator *op, const float *c, float *x, float *work)
{
    const cosine *p = op->priv;

    memcpy(x, c, op->nx * sizeof *x);
    for (size_t k = 0; k < p->c; k++)
        pjd_dct2_backward(&p->d, x + k * p->h * p->w, work);
}

static void data(const pjd_operator *op, const float *y, float *d, float *work)
{
    const cosine *p = op->priv;
    size_t plane = p->h * p->w;

    to_spectral(op, y, d, work);
    for (size_t i = 0; i < op->nx; i++)
        d[i] = p->singular[i] > 0.0f ? (p->eigen[i % plane] < 0.0f ? -d[i] : d[i]) : 0.0f;
}

/* ---- creation ---- */

static void destroy(pjd_operator *op)
{
    cosine *p = op->priv;

    if (p) {
        pjd_dct2_free(&p->d);
        pjd_free(p->eigen);
        pjd_free(p->singular);
        pjd_free(p);
    }
}

/* cos(pi m / n), m < 2n */
static double *cosines(size_t n)
{
    double *t = pjd_alloc(2 * n, sizeof *t);

    for (size_t m = 0; t && m < 2 * n; m++)
        t[m] = cos(M_PI * (double)m / (double)n);
    return t;
}

static size_t distance(size_t i, size_t centre)
{
    return i > centre ? i - centre : centre - i;
}

static pjd_status make_eigen(cosine *p, const pjd_psf *psf, pjd_error *err)
{
    size_t plane = p->h * p->w;
    double *row_cos = cosines(p->h), *col_cos = cosines(p->w), *half = pjd_alloc(psf->w, sizeof *half), top = 0.0;
    pjd_status st = PJD_OK;

    p->eigen = pjd_alloc(plane, sizeof *p->eigen);
    p->singular = pjd_alloc(p->c * plane, sizeof *p->singular);
    if (!row_cos || !col_cos || !half || !p->eigen || !p->singular) {
        st = pjd_error_nomem(err, "deblur", p->c * plane * sizeof *p->singular);
        goto done;
    }
    for (size_t a = 0; a < p->h; a++) {
        for (size_t j = 0; j < psf->w; j++) {
            half[j] = 0.0;
            for (size_t i = 0; i < psf->h; i++)
                half[j] += psf->k[i * psf->w + j] * row_cos[a * distance(i, psf->cy) % (2 * p->h)];
        }
        for (size_t b = 0; b < p->w; b++) {
            double e = 0.0;

            for (size_t j = 0; j < psf->w; j++)
                e += half[j] * col_cos[b * distance(j, psf->cx) % (2 * p->w)];
            p->eigen[a * p->w + b] = (float)e;
            top = fabs(e) > top ? fabs(e) : top;
        }
    }
    p->floor = PJD_BLUR_FLOOR * top;
    for (size_t i = 0; i < p->c * plane; i++) {
        float s = fabsf(p->eigen[i % plane]);

        p->singular[i] = (double)s >= p->floor ? s : 0.0f;
    }
done:
    pjd_free(row_cos);
    pjd_free(col_cos);
    pjd_free(half);
    return st;
}

pjd_status pjd_blur_cosine(const pjd_psf *psf, const pjd_shape *x, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = apply,
                                      .adjoint = apply, /* symmetric */
                                      .project = project,
                                      .prox = prox,
                                      .noise_gain = noise_gain,
                                      .guess = guess,
                                      .to_spectral = to_spectral,
                                      .from_spectral = from_spectral,
                                      .data = data,
                                      .destroy = destroy};
    pjd_operator *op = NULL;
    cosine *p;
    pjd_status st = pjd_op_new("deblur", &table, x, x, true, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    op->priv = p = pjd_alloc_zero(1, sizeof *p);
    st = p ? PJD_OK : pjd_error_nomem(err, "deblur", sizeof *p);
    if (st == PJD_OK) {
        p->c = x->dim[0];
        p->h = x->dim[1];
        p->w = x->dim[2];
        p->gain = pjd_blur_gain(psf);
        st = pjd_dct2_create(p->h, p->w, &p->d, err);
    }
    if (st == PJD_OK)
        st = make_eigen(p, psf, err);
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->singular = p->singular;
    op->spectral_count = op->nx;
    op->work = pjd_op_pad(p->h * p->w) + pjd_dct2_work(&p->d);
    *out = op;
    return PJD_OK;
}
