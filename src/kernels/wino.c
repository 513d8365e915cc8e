/* SPDX-License-Identifier: MIT */
/* Winograd: transforming weights, once, in float64: the definition. Points as in wino_tmpl.h. */
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

void pjd_wino_rows(size_t m, double rows[6][3])
{
    if (m == 4)
        rows4(rows);
    else
        rows2(rows);
}

/* Two taps, from three as the outputs at even or odd places see them: the rows point^j of two, times that matrix. */
static void rows5(bool odd, double g[6][3])
{
    double three[6][3];

    rows4(three);
    for (size_t i = 0; i < 6; i++) {
        double first = i < 5 ? three[i][0] : 0, second = i < 5 ? three[i][1] : 1;

        g[i][0] = first;
        g[i][1] = odd ? first : second;
        g[i][2] = second;
    }
}

#define LANES 16

/* LANES kernels at once: w[tap][lane] to u[point][lane]; g along columns, h along rows. */
static void transform(size_t side, double g[6][3], double h[6][3], double w[9][LANES], double u[36][LANES])
{
    double t[6][3][LANES];

    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t l = 0; l < LANES; l++)
                t[i][j][l] = g[i][0] * w[j][l] + g[i][1] * w[3 + j][l] + g[i][2] * w[6 + j][l];
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++)
            for (size_t l = 0; l < LANES; l++)
                u[i * side + j][l] = t[i][0][l] * h[j][0] + t[i][1][l] * h[j][1] + t[i][2][l] * h[j][2];
}

/* Columns j0 .. j0 + LANES - 1 of a panel (of `cols` real ones), channel k. */
static void some_columns(size_t side, double g[6][3], double h[6][3], size_t c, size_t k, size_t j0, size_t cols,
                         size_t width, const float *w, float *panel)
{
    double in[9][LANES] = {{0}}, u[36][LANES];

    for (size_t l = 0; l < LANES && j0 + l < cols; l++)
        for (size_t i = 0; i < 9; i++)
            in[i][l] = (double)w[((j0 + l) * c + k) * 9 + i];
    transform(side, g, h, in, u);
    for (size_t x = 0; x < side * side; x++)
        for (size_t l = 0; l < LANES; l++)
            panel[(x * c + k) * width + j0 + l] = (float)u[x][l];
}

static void pack(size_t side, double g[6][3], double h[6][3], size_t nr, size_t n, size_t c, const float *w,
                 float *packed)
{
    for (size_t n0 = 0; n0 < n; n0 += nr) {
        size_t cols = n - n0 < nr ? n - n0 : nr, width = pjd_panel_width(nr, cols);

        for (size_t k = 0; k < c; k++)
            for (size_t j = 0; j < width; j += LANES)
                some_columns(side, g, h, c, k, j, cols, width, w + n0 * c * 9, packed + n0 * c * side * side);
    }
}

void pjd_wino_weight(size_t m, size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    double g[6][3];

    pjd_wino_rows(m, g);
    pack(m + 2, g, g, nr, n, c, w, packed);
}

void pjd_wino_up_weight(unsigned phase, size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    double g[6][3], h[6][3];

    rows5(phase & 2, g);
    rows5(phase & 1, h);
    pack(6, g, h, nr, n, c, w, packed);
}

void pjd_wino_line_weight(size_t nr, size_t n, size_t c, const float *w, float *packed)
{
    double g[6][3];

    rows4(g);
    for (size_t n0 = 0; n0 < n; n0 += nr) {
        size_t cols = n - n0 < nr ? n - n0 : nr, width = pjd_panel_width(nr, cols);

        for (size_t k = 0; k < c; k++)
            for (size_t j = 0; j < width; j++) {
                const float *t = w + ((n0 + j) * c + k) * 3;

                for (size_t x = 0; x < 6; x++)
                    packed[n0 * c * 6 + (x * c + k) * width + j] = j < cols ? (float)(g[x][0] * (double)t[0] +
                                                                                      g[x][1] * (double)t[1] +
                                                                                      g[x][2] * (double)t[2])
                                                                            : 0.0f;
            }
    }
}
