/* SPDX-License-Identifier: MIT */
/*
 * Separable resampling on half-pixel centres. When shrinking, the kernel is stretched by the factor, so that it averages
 * (no aliasing); weights are normalised; at the border the kernel is cut off. These are the conventions of Pillow's
 * resize(), with which the tests compare. Kernels: Keys 1981 with a = -0.5 (bicubic), windowed sinc of three lobes.
 */
#include <math.h>
#include <string.h>

#include "io/internal.h"

static double kernel_nearest(double x)
{
    return x >= -0.5 && x < 0.5 ? 1 : 0;
}

static double kernel_bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double kernel_bicubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static double sinc(double x)
{
    static const double pi = 3.14159265358979323846;

    return x == 0 ? 1 : sin(pi * x) / (pi * x);
}

static double kernel_lanczos3(double x)
{
    return x > -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel {
    const char *name;
    double (*at)(double x);
    double support;
} kernels[] = {
    {"nearest", kernel_nearest, 0.5},
    {"bilinear", kernel_bilinear, 1},
    {"bicubic", kernel_bicubic, 2},
    {"lanczos3", kernel_lanczos3, 3},
};

/* One direction: output i is the sum of weight[i * taps + k] * input[first[i] + k] over k < taps; unused weights are 0. */
typedef struct resampler {
    size_t taps;
    size_t *first;
    float *weight;
} resampler;

static void resampler_free(resampler *r)
{
    pjd_free(r->first);
    pjd_free(r->weight);
    *r = (resampler){0};
}

static void fill_nearest(resampler *r, size_t n, size_t m)
{
    for (size_t i = 0; i < m; i++) {
        size_t j = (size_t)(((double)i + 0.5) * (double)n / (double)m);

        r->first[i] = j < n ? j : n - 1;
        r->weight[i] = 1;
    }
}

static void fill(resampler *r, const struct kernel *k, size_t n, size_t m)
{
    double scale = (double)n / (double)m, stretch = scale > 1 ? scale : 1, support = k->support * stretch;

    for (size_t i = 0; i < m; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0;
        double low = floor(centre - support + 0.5), high = floor(centre + support + 0.5);
        size_t from = low > 0 ? (size_t)low : 0, to = high < (double)n ? (size_t)high : n;
        float *w = r->weight + i * r->taps;

        /* The window must lie inside the input even where it has more taps than are needed. */
        from = from + r->taps > n ? n - r->taps : from;
        r->first[i] = from;
        for (size_t j = from; j < to; j++)
            sum += k->at(((double)j + 0.5 - centre) / stretch);
        for (size_t t = 0; t < r->taps; t++)
            w[t] = from + t < to ? (float)(k->at(((double)(from + t) + 0.5 - centre) / stretch) / sum) : 0;
    }
}

static pjd_status resampler_create(resampler *r, const struct kernel *k, size_t n, size_t m, pjd_error *err)
{
    double stretch = n > m ? (double)n / (double)m : 1,
           taps = k == &kernels[0] ? 1 : ceil(2 * k->support * stretch) + 1;
    size_t count;

    r->taps = taps < (double)n ? (size_t)taps : n;
    if (!pjd_mul(r->taps, m, &count))
        return pjd_io_nomem(err, "resize", m);
    r->first = pjd_alloc(m, sizeof *r->first);
    r->weight = pjd_alloc(count, sizeof *r->weight);
    if (!r->first || !r->weight)
        return pjd_io_nomem(err, "resize", count * sizeof *r->weight);
    if (k == &kernels[0])
        fill_nearest(r, n, m);
    else
        fill(r, k, n, m);
    return PJD_OK;
}

/* [h, w] -> [h, m] */
static void resize_rows(const resampler *r, const float *in, size_t h, size_t w, size_t m, float *out)
{
    for (size_t y = 0; y < h; y++, in += w, out += m)
        for (size_t i = 0; i < m; i++) {
            const float *p = in + r->first[i], *weight = r->weight + i * r->taps;
            double sum = 0;

            for (size_t t = 0; t < r->taps; t++)
                sum += (double)weight[t] * p[t];
            out[i] = (float)sum;
        }
}

/* [h, w] -> [m, w] */
static void resize_columns(const resampler *r, const float *in, size_t w, size_t m, float *out)
{
    for (size_t i = 0; i < m; i++, out += w) {
        memset(out, 0, w * sizeof *out);
        for (size_t t = 0; t < r->taps; t++) {
            const float *p = in + (r->first[i] + t) * w;
            float weight = r->weight[i * r->taps + t];

            if (weight == 0)
                continue;
            for (size_t x = 0; x < w; x++)
                out[x] += weight * p[x];
        }
    }
}

pjd_status pjd_resize(const char *kernel, const pjd_shape *shape, const float *in, size_t h2, size_t w2, float *out,
                      pjd_error *err)
{
    const struct kernel *k = NULL;
    resampler across = {0}, down = {0};
    size_t c, h, w, count, plane, most;
    float *middle = NULL;
    char text[128];
    pjd_status st;

    for (size_t i = 0; i < PJD_COUNTOF(kernels); i++)
        if (!strcmp(kernels[i].name, kernel))
            k = &kernels[i];
    if (!k)
        return pjd_error_set(err, PJD_ERR_ARG,
                             "resize: expected nearest, bilinear, bicubic or lanczos3, found \"%.40s\"", kernel);
    /* Sizes below 2^31: their products with a number of taps stay exact in double. */
    most = (size_t)1 << 31;
    if (shape->rank != 3 || !pjd_shape_count(shape, &count) || count == 0 || h2 == 0 || w2 == 0 || h2 > most ||
        w2 > most || shape->dim[1] > most || shape->dim[2] > most)
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "resize: expected [channels, height, width] without a 0, found %s to %zux%zu",
                             pjd_shape_text(shape, text, sizeof text), h2, w2);
    c = shape->dim[0];
    h = shape->dim[1];
    w = shape->dim[2];
    if (h == h2 && w == w2) {
        memcpy(out, in, count * sizeof *out);
        return PJD_OK;
    }
    if (!pjd_mul(h, w2, &plane) || !(middle = pjd_alloc(plane, sizeof *middle)))
        return pjd_io_nomem(err, "resize", plane);
    st = resampler_create(&across, k, w, w2, err);
    if (st == PJD_OK)
        st = resampler_create(&down, k, h, h2, err);
    for (size_t i = 0; i < c && st == PJD_OK; i++) {
        resize_rows(&across, in + i * h * w, h, w, w2, middle);
        resize_columns(&down, middle, w2, h2, out + i * h2 * w2);
    }
    resampler_free(&across);
    resampler_free(&down);
    pjd_free(middle);
    return st;
}
