/* SPDX-License-Identifier: MIT */
/*
 * Half-sample reflection of a kernel that is symmetric in both axes: the orthonormal DCT-II diagonalises it, with
 * eigenvalues sum k[i,j] cos(pi a (i - cy) / h) cos(pi b (j - cx) / w) (Strang, "The discrete cosine transform",
 * 1999). V is the DCT's basis, U the same with the eigenvalue's sign.
 */
#include <math.h>
#include <string.h>

#include "blur.h"

typedef pjd_blur_closed cosine;

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
    double *row_cos = cosines(p->h), *col_cos = cosines(p->w), *half = pjd_alloc(psf->w, sizeof *half);
    pjd_status st = PJD_OK;

    p->eigen = pjd_alloc(plane, sizeof *p->eigen);
    if (!row_cos || !col_cos || !half || !p->eigen) {
        st = pjd_error_nomem(err, "deblur", plane * sizeof *p->eigen);
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
            p->singular[a * p->w + b] = fabsf((float)e);
        }
    }
    pjd_blur_closed_floor(p);
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
                                      PJD_BLUR_CLOSED,
                                      .to_spectral = to_spectral,
                                      .from_spectral = from_spectral,
                                      .data = data};
    pjd_operator *op;
    cosine *p;
    pjd_status st = pjd_blur_closed_create(psf, x, &table, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    p = op->priv;
    p->correct = correct;
    st = pjd_dct2_create(p->h, p->w, &p->d, err);
    if (st == PJD_OK)
        st = make_eigen(p, psf, err);
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    op->work = pjd_op_pad(p->h * p->w) + pjd_dct2_work(&p->d);
    *out = op;
    return PJD_OK;
}
