/* SPDX-License-Identifier: MIT */
/* What the blurs with a closed form share: set-up, and the calls that are one correction in their basis. */
#include <math.h>
#include <string.h>

#include "blur.h"

void pjd_blur_closed_project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    ((const pjd_blur_closed *)op->priv)->correct(op, x, y, sqrt(alpha), 0.0, work);
}

void pjd_blur_closed_prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    ((const pjd_blur_closed *)op->priv)->correct(op, x, y, 1.0, lambda, work);
}

double pjd_blur_closed_noise_gain(const pjd_operator *op, double sigma2)
{
    return ((const pjd_blur_closed *)op->priv)->gain * sigma2;
}

void pjd_blur_closed_guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    (void)work;
    memcpy(x, y, op->nx * sizeof *x);
}

void pjd_blur_closed_floor(pjd_blur_closed *b)
{
    size_t plane = b->h * b->w;
    double top = 0.0;

    for (size_t i = 0; i < plane; i++)
        top = fmax(top, (double)b->singular[i]);
    b->floor = PJD_BLUR_FLOOR * top;
    for (size_t i = 0; i < b->c * plane; i++) {
        float s = b->singular[i % plane];

        b->singular[i] = (double)s >= b->floor ? s : 0.0f;
    }
}

void pjd_blur_closed_destroy(pjd_operator *op)
{
    pjd_blur_closed *b = op->priv;

    if (!b)
        return;
    pjd_fft2_free(&b->f);
    pjd_dct2_free(&b->d);
    pjd_free(b->transfer);
    pjd_free(b->eigen);
    pjd_free(b->singular);
    pjd_free(b);
}

pjd_status pjd_blur_closed_create(const pjd_psf *psf, const pjd_shape *x, const pjd_op_vtbl *table, pjd_operator **out,
                                  pjd_error *err)
{
    pjd_operator *op = NULL;
    pjd_blur_closed *b;
    pjd_status st = pjd_op_new("deblur", table, x, x, true, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    op->priv = b = pjd_alloc_zero(1, sizeof *b);
    if (b)
        *b = (pjd_blur_closed){.c = x->dim[0],
                               .h = x->dim[1],
                               .w = x->dim[2],
                               .gain = pjd_blur_gain(psf),
                               .singular = pjd_alloc(op->nx, sizeof *b->singular)};
    if (!b || !b->singular) {
        st = pjd_error_nomem(err, "deblur", op->nx * sizeof *b->singular);
        pjd_operator_unref(op);
        return st;
    }
    op->singular = b->singular;
    op->spectral_count = op->nx;
    *out = op;
    return PJD_OK;
}
