/* SPDX-License-Identifier: MIT */
/*
 * Structural similarity: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, IEEE Trans. Image Processing 13(4), 2004,
 * eq. 13 with the 11x11 Gaussian window of section III-C, over the windows that lie inside the picture. The same number as
 * scikit-image's structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False).
 */
#include <math.h>
#include <string.h>

#include "core/metric.h"

enum { WINDOW = 11, MOMENTS = 5 };

static void make_window(double *g)
{
    double sum = 0;

    for (int i = 0; i < WINDOW; i++) {
        double x = i - (WINDOW - 1) / 2.0;

        g[i] = exp(-x * x / (2 * 1.5 * 1.5));
        sum += g[i];
    }
    for (int i = 0; i < WINDOW; i++)
        g[i] /= sum;
}

/* Vertically filtered x, y, xx, yy, xy of the WINDOW rows that start at x and y: MOMENTS rows of w. */
static void filter_down(const double *g, const float *x, const float *y, size_t w, double *m)
{
    memset(m, 0, MOMENTS * w * sizeof *m);
    for (size_t r = 0; r < WINDOW; r++, x += w, y += w)
        for (size_t i = 0; i < w; i++) {
            double a = x[i], b = y[i];

            m[i] += g[r] * a;
            m[w + i] += g[r] * b;
            m[2 * w + i] += g[r] * a * a;
            m[3 * w + i] += g[r] * b * b;
            m[4 * w + i] += g[r] * a * b;
        }
}

/* Sum of the index over the windows of one row. */
static double row_sum(const double *g, const double *m, size_t w, double c1, double c2)
{
    double sum = 0;

    for (size_t i = 0; i + WINDOW <= w; i++) {
        double u[MOMENTS] = {0}, vx, vy, vxy;

        for (size_t k = 0; k < MOMENTS; k++)
            for (size_t t = 0; t < WINDOW; t++)
                u[k] += g[t] * m[k * w + i + t];
        vx = u[2] - u[0] * u[0];
        vy = u[3] - u[1] * u[1];
        vxy = u[4] - u[0] * u[1];
        sum += (2 * u[0] * u[1] + c1) * (2 * vxy + c2) / ((u[0] * u[0] + u[1] * u[1] + c1) * (vx + vy + c2));
    }
    return sum;
}

static pjd_status score(const pjd_shape *shape, const float *estimate, const float *reference, double range,
                        double *value, pjd_error *err)
{
    size_t c = shape->dim[0], h = shape->dim[1], w = shape->dim[2], rows;
    double c1 = 0.01 * range * (0.01 * range), c2 = 0.03 * range * (0.03 * range), g[WINDOW], sum = 0, *m;

    if (h < WINDOW || w < WINDOW)
        return pjd_error_set(err, PJD_ERR_SHAPE, "ssim: expected at least %dx%d pixels, found %zux%zu", WINDOW, WINDOW,
                             h, w);
    m = pjd_alloc(MOMENTS * w, sizeof *m);
    if (!m)
        return pjd_error_nomem(err, "ssim", MOMENTS * w * sizeof *m);
    make_window(g);
    rows = h - WINDOW + 1;
    for (size_t k = 0; k < c; k++)
        for (size_t r = 0; r < rows; r++) {
            size_t at = (k * h + r) * w;

            filter_down(g, estimate + at, reference + at, w, m);
            sum += row_sum(g, m, w, c1, c2);
        }
    pjd_free(m);
    *value = sum / ((double)c * (double)rows * (double)(w - WINDOW + 1));
    return PJD_OK;
}

extern const pjd_metric_class pjd_m_ssim;
const pjd_metric_class pjd_m_ssim = {
    .entry = {.name = "ssim",
              .summary = "structural similarity, 11x11 Gaussian window, valid windows, mean over channels"},
    .score = score,
};
