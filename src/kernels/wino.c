/* SPDX-License-Identifier: MIT */
/* Winograd: transforming weights, once, in float64. Points as in wino_tmpl.h. */
#include "kernels/kernels.h"

#define A 0.625
#define B 1.5

/* Rows point^j / prod (point - other finite points), and (0, 0, 1) for infinity. */
static void rows4(double g[6][3])
{
    static const double points[5] = {0, A, -A, B, -B};

    for (size_t i = 0; i < 5; i++) {
        double n = 1;

        for (size_t k = 0; k < 5; k++)
            n *= k == i ? 1 : points[i] - points[k];
        g[i][0] = 1 / n;
        g[i][1] = points[i] / n;
        g[i][2] = points[i] * points[i] / n;
    }
    g[5][0] = g[5][1] = 0;
    g[5][2] = 1;
}

/* The transform of m = 2 in wino_tmpl.h has the signs of Lavin & Gray. */
static void rows2(double g[6][3])
{
    static const double r[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            g[i][j] = r[i][j];
}

static void transform(size_t n, double g[6][3], const float *w, double *u)
{
    double t[6][3];

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 3; j++)
            t[i][j] = g[i][0] * (double)w[j] + g[i][1] * (double)w[3 + j] + g[i][2] * (double)w[6 + j];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            u[i * n + j] = t[i][0] * g[j][0] + t[i][1] * g[j][1] + t[i][2] * g[j][2];
}

void pjd_wino_weight(size_t m, size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    size_t side = m + 2, count = side * side;
    double g[6][3], u[36];

    if (m == 4)
        rows4(g);
    else
        rows2(g);
    for (size_t j0 = 0; j0 < n; j0 += nr) {
        size_t cols = n - j0 < nr ? n - j0 : nr, width = pjd_panel_width(nr, cols);
        float *panel = packed + j0 * c * count;

        for (size_t k = 0; k < c; k++)
            for (size_t j = 0; j < width; j++) {
                if (j < cols)
                    transform(side, g, w + ((j0 + j) * c + k) * 9, u);
                for (size_t x = 0; x < count; x++)
                    panel[(x * c + k) * width + j] = j < cols ? (float)u[x] : 0.0f;
            }
    }
}
