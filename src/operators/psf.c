/* SPDX-License-Identifier: MIT */
#include "psf.h"

#include <math.h>
#include <string.h>

enum { MAX_SIDE = 8192 };

void pjd_psf_free(pjd_psf *p)
{
    pjd_free(p->k);
    pjd_free(p->column);
    pjd_free(p->row);
    *p = (pjd_psf){0};
}

static pjd_status psf_alloc(const char *who, size_t h, size_t w, pjd_psf *out, pjd_error *err)
{
    size_t n;

    *out = (pjd_psf){.h = h, .w = w, .cy = h / 2, .cx = w / 2};
    if (h == 0 || w == 0 || h > MAX_SIDE || w > MAX_SIDE || !pjd_mul(h, w, &n))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected a kernel of 1 to %d pixels a side, found %zux%zu", who,
                             MAX_SIDE, h, w);
    out->k = pjd_alloc_zero(n, sizeof *out->k);
    if (!out->k)
        return pjd_error_nomem(err, who, n * sizeof *out->k);
    return PJD_OK;
}

/* ---- what every kernel goes through ---- */

static bool row_is_empty(const pjd_psf *p, size_t i)
{
    for (size_t j = 0; j < p->w; j++)
        if (p->k[i * p->w + j] != 0.0)
            return false;
    return true;
}

static bool column_is_empty(const pjd_psf *p, size_t j)
{
    for (size_t i = 0; i < p->h; i++)
        if (p->k[i * p->w + j] != 0.0)
            return false;
    return true;
}

/* Empty borders would only enlarge the canvas. */
static void trim(pjd_psf *p)
{
    size_t top = 0, left = 0, bottom = p->h, right = p->w;

    while (top < p->cy && row_is_empty(p, top))
        top++;
    while (bottom > p->cy + 1 && row_is_empty(p, bottom - 1))
        bottom--;
    while (left < p->cx && column_is_empty(p, left))
        left++;
    while (right > p->cx + 1 && column_is_empty(p, right - 1))
        right--;
    for (size_t i = top; i < bottom; i++)
        memmove(p->k + (i - top) * (right - left), p->k + i * p->w + left, (right - left) * sizeof *p->k);
    p->h = bottom - top;
    p->w = right - left;
    p->cy -= top;
    p->cx -= left;
}

static void find_symmetry(pjd_psf *p, double largest)
{
    p->symmetric = p->h % 2 && p->w % 2 && p->cy == p->h / 2 && p->cx == p->w / 2;
    for (size_t i = 0; p->symmetric && i < p->h; i++)
        for (size_t j = 0; j < p->w; j++) {
            double v = p->k[i * p->w + j];

            if (!(fabs(v - p->k[(p->h - 1 - i) * p->w + j]) <= 1e-9 * largest) ||
                !(fabs(v - p->k[i * p->w + p->w - 1 - j]) <= 1e-9 * largest))
                p->symmetric = false;
        }
}

/* Through the largest entry: k = column * row, or not. */
static pjd_status find_factors(const char *who, pjd_psf *p, size_t peak, pjd_error *err)
{
    size_t pi = peak / p->w, pj = peak % p->w;
    double top = p->k[peak];

    for (size_t i = 0; i < p->h; i++)
        for (size_t j = 0; j < p->w; j++)
            if (!(fabs(p->k[i * p->w + j] - p->k[i * p->w + pj] * p->k[pi * p->w + j] / top) <= 1e-9 * fabs(top)))
                return PJD_OK;
    p->column = pjd_alloc(p->h, sizeof *p->column);
    p->row = pjd_alloc(p->w, sizeof *p->row);
    if (!p->column || !p->row)
        return pjd_error_nomem(err, who, (p->h + p->w) * sizeof *p->row);
    for (size_t i = 0; i < p->h; i++)
        p->column[i] = p->k[i * p->w + pj] / top;
    for (size_t j = 0; j < p->w; j++)
        p->row[j] = p->k[pi * p->w + j];
    return PJD_OK;
}

static pjd_status finish(const char *who, pjd_psf *p, pjd_error *err)
{
    double sum = 0.0, size = 0.0;
    size_t peak = 0;
    pjd_status st = PJD_OK;

    for (size_t i = 0; i < p->h * p->w; i++) {
        sum += p->k[i];
        size += fabs(p->k[i]);
    }
    if (!(sum > 1e-6 * size && isfinite(size)))
        st = pjd_error_set(err, PJD_ERR_ARG, "%s: the kernel must be finite with a positive sum, found %g", who, sum);
    if (st == PJD_OK) {
        trim(p);
        for (size_t i = 0; i < p->h * p->w; i++) {
            p->k[i] /= sum;
            p->squares += p->k[i] * p->k[i];
            peak = fabs(p->k[i]) > fabs(p->k[peak]) ? i : peak;
        }
        find_symmetry(p, fabs(p->k[peak]));
        st = find_factors(who, p, peak, err);
    }
    if (st != PJD_OK)
        pjd_psf_free(p);
    return st;
}

/* ---- kinds ---- */

pjd_status pjd_psf_gaussian(double sigma, pjd_psf *out, pjd_error *err)
{
    size_t r = (size_t)ceil(4.0 * sigma); /* what lies outside weighs 1e-4 */
    pjd_status st = psf_alloc("deblur", 2 * r + 1, 2 * r + 1, out, err);

    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < out->h; i++)
        for (size_t j = 0; j < out->w; j++) {
            double y = (double)i - (double)r, x = (double)j - (double)r;

            out->k[i * out->w + j] = exp(-y * y / (2.0 * sigma * sigma)) * exp(-x * x / (2.0 * sigma * sigma));
        }
    return finish("deblur", out, err);
}

/* Points along the line, each spread over the four pixels around it. */
pjd_status pjd_psf_motion(double length, double angle, pjd_psf *out, pjd_error *err)
{
    size_t r = (size_t)ceil(length / 2.0) + 1, points = 64 * (size_t)ceil(length) + 1;
    double dx = cos(angle * M_PI / 180.0), dy = -sin(angle * M_PI / 180.0);
    pjd_status st = psf_alloc("deblur", 2 * r + 1, 2 * r + 1, out, err);

    if (st != PJD_OK)
        return st;
    /* sin(180 degrees) is 1e-16, which must not open a row of its own. */
    dx = fabs(dx) < 1e-12 ? 0.0 : dx;
    dy = fabs(dy) < 1e-12 ? 0.0 : dy;
    for (size_t n = 0; n < points; n++) {
        double t = length * (((double)n + 0.5) / (double)points - 0.5);
        double x = (double)r + t * dx, y = (double)r + t * dy, fx = x - floor(x), fy = y - floor(y);
        double *at = out->k + (size_t)y * out->w + (size_t)x;

        at[0] += (1.0 - fy) * (1.0 - fx);
        at[1] += (1.0 - fy) * fx;
        at[out->w] += fy * (1.0 - fx);
        at[out->w + 1] += fy * fx;
    }
    return finish("deblur", out, err);
}

/* The share of each pixel that the disk covers, on a grid of 16 x 16 points. */
pjd_status pjd_psf_disk(double radius, pjd_psf *out, pjd_error *err)
{
    enum { FINE = 16 };
    size_t r = (size_t)ceil(radius + 0.5);
    pjd_status st = psf_alloc("deblur", 2 * r + 1, 2 * r + 1, out, err);

    if (st != PJD_OK)
        return st;
    for (size_t row = 0; row < out->h; row++)
        for (size_t col = 0; col < out->w; col++) {
            size_t inside = 0;

            for (size_t a = 0; a < FINE * FINE; a++) {
                size_t fy = a / FINE, fx = a % FINE;
                double y = (double)row - (double)r + ((double)fy + 0.5) / FINE - 0.5;
                double x = (double)col - (double)r + ((double)fx + 0.5) / FINE - 0.5;

                inside += x * x + y * y <= radius * radius;
            }
            out->k[row * out->w + col] = (double)inside;
        }
    return finish("deblur", out, err);
}

pjd_status pjd_psf_array(const char *who, const pjd_array *a, pjd_psf *out, pjd_error *err)
{
    size_t rank = a->shape.rank, channels = rank == 3 ? a->shape.dim[0] : 1;
    char text[128];
    pjd_status st;

    *out = (pjd_psf){0};
    if (!(rank == 2 || rank == 3) || channels == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: expected a kernel of height x width, found %s", who,
                             pjd_shape_text(&a->shape, text, sizeof text));
    st = psf_alloc(who, a->shape.dim[rank - 2], a->shape.dim[rank - 1], out, err);
    if (st != PJD_OK)
        return st;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < out->h * out->w; i++)
            out->k[i] += (double)a->data[c * out->h * out->w + i];
    return finish(who, out, err);
}
