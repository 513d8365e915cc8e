/* SPDX-License-Identifier: MIT */
/*
 * Periodic blur. The columns of V are the real Fourier vectors of length 1: per channel, coordinate [i][2k-1] is
 * sqrt(2) times the real part of coefficient (i, k) of the orthonormal transform and [i][2k] of its imaginary part;
 * column 0 and, for even w, column w-1 hold the coefficients with k = 0 and k = w/2, of which (i, k) and (h-i, k) are
 * conjugates: the real part lies at i, the imaginary part at h-i.
 */
#include <math.h>

#include "blur.h"

typedef pjd_blur_closed periodic;

void pjd_spectrum_multiply(float *s, const float *t, bool conjugate, size_t blocks)
{
    float sign = conjugate ? -1.0f : 1.0f;

#pragma omp parallel for schedule(static) if (blocks * PJD_FFT_ELEMENT > PJD_OP_PARALLEL)
    for (size_t e = 0; e < blocks; e++) {
        float *re = s + e * PJD_FFT_ELEMENT, *im = re + PJD_FFT_LANES;
        const float *tr = t + e * PJD_FFT_ELEMENT, *ti = tr + PJD_FFT_LANES;

        for (size_t l = 0; l < PJD_FFT_LANES; l++) {
            float a = re[l], b = im[l], c = tr[l], d = sign * ti[l];

            re[l] = a * c - b * d;
            im[l] = a * d + b * c;
        }
    }
}

pjd_status pjd_blur_transfer(const pjd_psf *psf, const pjd_fft2 *f, size_t top, size_t left, float **out,
                             pjd_error *err)
{
    size_t n = f->h * f->w, total = n + pjd_fft2_work(f);
    float *grid = pjd_alloc_zero(total, sizeof *grid);

    *out = pjd_alloc(pjd_fft2_spectrum(f), sizeof **out);
    if (!grid || !*out) {
        pjd_free(grid);
        return pjd_error_nomem(err, "deblur", total * sizeof *grid);
    }
    for (size_t i = 0; i < psf->h; i++)
        for (size_t j = 0; j < psf->w; j++) {
            /* A kernel larger than the picture goes round. */
            size_t y = (i + f->h * (top / f->h + 1) - top) % f->h, x = (j + f->w * (left / f->w + 1) - left) % f->w;

            grid[y * f->w + x] += (float)psf->k[i * psf->w + j];
        }
    pjd_fft2_forward(f, grid, f->w, f->h, f->w, *out, grid + n);
    pjd_free(grid);
    return PJD_OK;
}

static size_t blocks(const periodic *p)
{
    return p->f.groups * p->h;
}

static void filter(const pjd_operator *op, const float *from, float *to, float *work, bool conjugate)
{
    const periodic *p = op->priv;
    size_t plane = p->h * p->w;
    pjd_window all = {0, 0, p->h, p->w, p->w, false};
    float *rest = work + pjd_fft2_spectrum(&p->f);

    for (size_t c = 0; c < p->c; c++) {
        pjd_fft2_forward(&p->f, from + c * plane, p->w, p->h, p->w, work, rest);
        pjd_spectrum_multiply(work, p->transfer, conjugate, blocks(p));
        pjd_fft2_backward(&p->f, work, 1.0, to + c * plane, &all, rest);
    }
}

static void apply(const pjd_operator *op, const float *x, float *y, float *work)
{
    filter(op, x, y, work, false);
}

static void adjoint(const pjd_operator *op, const float *y, float *x, float *work)
{
    filter(op, y, x, work, true);
}

/* sx <- conj(H) (scale sy - H sx) / (|H|^2 + lambda), what is to be added to x */
static void correction(const periodic *p, float *sx, const float *sy, double scale, double lambda)
{
#pragma omp parallel for schedule(static) if (blocks(p) * PJD_FFT_ELEMENT > PJD_OP_PARALLEL)
    for (size_t e = 0; e < blocks(p); e++) {
        float *xr = sx + e * PJD_FFT_ELEMENT, *xi = xr + PJD_FFT_LANES;
        const float *yr = sy + e * PJD_FFT_ELEMENT, *yi = yr + PJD_FFT_LANES;
        const float *hr = p->transfer + e * PJD_FFT_ELEMENT, *hi = hr + PJD_FFT_LANES;

        for (size_t l = 0; l < PJD_FFT_LANES; l++) {
            double a = hr[l], b = hi[l], s2 = a * a + b * b, floor2 = p->floor * p->floor;
            double g = s2 >= floor2 || lambda >= floor2 ? 1.0 / (s2 + lambda + 1e-30) : 0.0;
            double r = scale * (double)yr[l] - (a * (double)xr[l] - b * (double)xi[l]);
            double i = scale * (double)yi[l] - (a * (double)xi[l] + b * (double)xr[l]);

            xr[l] = (float)(g * (a * r + b * i));
            xi[l] = (float)(g * (a * i - b * r));
        }
    }
}

static void correct(const pjd_operator *op, float *x, const float *y, double scale, double lambda, float *work)
{
    const periodic *p = op->priv;
    size_t plane = p->h * p->w, size = pjd_fft2_spectrum(&p->f);
    pjd_window all = {0, 0, p->h, p->w, p->w, true};
    float *sx = work, *sy = sx + size, *rest = sy + size;

    for (size_t c = 0; c < p->c; c++) {
        pjd_fft2_forward(&p->f, x + c * plane, p->w, p->h, p->w, sx, rest);
        pjd_fft2_forward(&p->f, y + c * plane, p->w, p->h, p->w, sy, rest);
        correction(p, sx, sy, scale, lambda);
        pjd_fft2_backward(&p->f, sx, 1.0, x + c * plane, &all, rest);
    }
}

/* ---- the real basis ---- */

/* Where coordinate (i, j) comes from. */
typedef struct place {
    size_t at; /* of the coefficient's real or imaginary part in a spectrum */
    bool imaginary, alone;
} place;

static place find(const pjd_fft2 *f, size_t i, size_t j)
{
    bool edge = j == 0 || (f->w % 2 == 0 && j == f->w - 1);
    size_t k = j == 0 ? 0 : (j + 1) / 2, row = i;
    place p = {.imaginary = !edge && j % 2 == 0};

    if (edge) {
        p.alone = i == 0 || 2 * i == f->h;
        p.imaginary = 2 * i > f->h;
        row = p.imaginary ? f->h - i : i;
    }
    p.at = pjd_fft2_at(f, row, k) + (p.imaginary ? PJD_FFT_LANES : 0);
    return p;
}

static void coordinates(const periodic *p, const float *s, float *c)
{
    double unit = 1.0 / sqrt((double)p->h * (double)p->w);
    float pair = (float)(unit * M_SQRT2), alone = (float)unit;

    for (size_t i = 0; i < p->h; i++)
        for (size_t j = 0; j < p->w; j++) {
            place q = find(&p->f, i, j);

            c[i * p->w + j] = (q.alone ? alone : pair) * s[q.at];
        }
}

static void to_spectral(const pjd_operator *op, const float *x, float *c, float *work)
{
    const periodic *p = op->priv;
    size_t plane = p->h * p->w;

    for (size_t k = 0; k < p->c; k++) {
        pjd_fft2_forward(&p->f, x + k * plane, p->w, p->h, p->w, work, work + pjd_fft2_spectrum(&p->f));
        coordinates(p, work, c + k * plane);
    }
}

static void from_spectral(const pjd_operator *op, const float *c, float *x, float *work)
{
    const periodic *p = op->priv;
    size_t plane = p->h * p->w, size = pjd_fft2_spectrum(&p->f);
    pjd_window all = {0, 0, p->h, p->w, p->w, false};
    double unit = sqrt((double)p->h * (double)p->w);
    float pair = (float)(unit * M_SQRT1_2), alone = (float)unit;

    for (size_t k = 0; k < p->c; k++) {
        for (size_t i = 0; i < size; i++)
            work[i] = 0.0f;
        for (size_t i = 0; i < p->h; i++)
            for (size_t j = 0; j < p->w; j++) {
                place q = find(&p->f, i, j);
                float v = (q.alone ? alone : pair) * c[k * plane + i * p->w + j];
                bool edge = j == 0 || (p->w % 2 == 0 && j == p->w - 1);

                work[q.at] = v;
                if (edge && !q.alone) {
                    size_t row = q.imaginary ? p->h - i : i, mirror = p->h - row, col = j == 0 ? 0 : p->w / 2;

                    work[pjd_fft2_at(&p->f, mirror, col) + (q.imaginary ? PJD_FFT_LANES : 0)] = q.imaginary ? -v : v;
                }
            }
        pjd_fft2_backward(&p->f, work, 1.0, x + k * plane, &all, work + size);
    }
}

/* U = V times the phase of H, so U'y are the coordinates of conj(H)/|H| Y. */
static void data(const pjd_operator *op, const float *y, float *d, float *work)
{
    const periodic *p = op->priv;
    size_t plane = p->h * p->w;

    for (size_t k = 0; k < p->c; k++) {
        pjd_fft2_forward(&p->f, y + k * plane, p->w, p->h, p->w, work, work + pjd_fft2_spectrum(&p->f));
        for (size_t e = 0; e < blocks(p); e++)
            for (size_t l = 0; l < PJD_FFT_LANES; l++) {
                float *re = work + e * PJD_FFT_ELEMENT + l, *im = re + PJD_FFT_LANES;
                const float *h = p->transfer + e * PJD_FFT_ELEMENT + l;
                double a = h[0], b = h[PJD_FFT_LANES], s = sqrt(a * a + b * b), r = *re, i = *im;

                *re = s >= p->floor ? (float)((a * r + b * i) / s) : 0.0f;
                *im = s >= p->floor ? (float)((a * i - b * r) / s) : 0.0f;
            }
        coordinates(p, work, d + k * plane);
    }
}

/* ---- creation ---- */

static void make_singular(periodic *p)
{
    for (size_t i = 0; i < p->h; i++)
        for (size_t j = 0; j < p->w; j++) {
            place q = find(&p->f, i, j);
            size_t at = q.imaginary ? q.at - PJD_FFT_LANES : q.at;

            p->singular[i * p->w + j] = (float)hypot((double)p->transfer[at], (double)p->transfer[at + PJD_FFT_LANES]);
        }
    pjd_blur_closed_floor(p);
}

pjd_status pjd_blur_periodic(const pjd_psf *psf, const pjd_shape *x, pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = apply,
                                      .adjoint = adjoint,
                                      PJD_BLUR_CLOSED,
                                      .to_spectral = to_spectral,
                                      .from_spectral = from_spectral,
                                      .data = data};
    pjd_operator *op;
    periodic *p;
    pjd_status st = pjd_blur_closed_create(psf, x, &table, &op, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    p = op->priv;
    p->correct = correct;
    st = pjd_fft2_create(p->h, p->w, &p->f, err);
    if (st == PJD_OK)
        st = pjd_blur_transfer(psf, &p->f, psf->cy, psf->cx, &p->transfer, err);
    if (st != PJD_OK) {
        pjd_operator_unref(op);
        return st;
    }
    make_singular(p);
    op->work = 2 * pjd_fft2_spectrum(&p->f) + pjd_fft2_work(&p->f);
    *out = op;
    return PJD_OK;
}
