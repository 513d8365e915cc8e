/* SPDX-License-Identifier: MIT */
/*
 * A prior of one's own, from a callback, in place of a network: pictures are sparse in the cosine transform of small
 * blocks. The library asks for the clean picture in x_t = sqrt(abar) x0 + sqrt(1 - abar) z; here every 8x8 block (all
 * channels together) is transformed, what is below the noise is set to zero, and overlapping blocks are averaged. Then
 * half of a picture's pixels are hidden and restored with it.
 *
 *     cc own_prior.c $(pkg-config --cflags --libs projdiff projdiff-io) -lm -o own_prior
 *     ./own_prior clean.png holes.png restored.png
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <projdiff/io.h>
#include <projdiff/projdiff.h>

enum { SIDE = 8, AREA = SIDE * SIDE, CHANNELS = 3, STEP = 2 };

static float cosines[SIDE][SIDE]; /* orthonormal DCT-II, frequency x position */

static void fill_cosines(void)
{
    for (int k = 0; k < SIDE; k++)
        for (int i = 0; i < SIDE; i++)
            cosines[k][i] = (float)(sqrt((k ? 2.0 : 1.0) / SIDE) * cos(M_PI * (i + 0.5) * k / SIDE));
}

/* b <- C b C' (forwards) or C' b C: rows, then columns. */
static void transform(float *b, int forwards)
{
    float t[AREA];

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < SIDE; i++)
            for (int k = 0; k < SIDE; k++) {
                float sum = 0;

                for (int j = 0; j < SIDE; j++)
                    sum += b[i * SIDE + j] * (forwards ? cosines[k][j] : cosines[j][k]);
                t[k * SIDE + i] = sum; /* transposed, so that the second pass does the columns */
            }
        memcpy(b, t, sizeof t);
    }
}

/* Gray and two differences of colour, orthonormal; its own inverse up to the order of the factors. */
static void mix_colours(float *block, int forwards)
{
    static const float m[CHANNELS][CHANNELS] = {{0.57735027f, 0.57735027f, 0.57735027f},
                                                {0.70710678f, 0, -0.70710678f},
                                                {0.40824829f, -0.81649658f, 0.40824829f}};

    for (int i = 0; i < AREA; i++) {
        float in[CHANNELS] = {block[i], block[AREA + i], block[2 * AREA + i]};

        for (int c = 0; c < CHANNELS; c++)
            block[c * AREA + i] = forwards ? m[c][0] * in[0] + m[c][1] * in[1] + m[c][2] * in[2]
                                           : m[0][c] * in[0] + m[1][c] * in[1] + m[2][c] * in[2];
    }
}

/* The block at (y, x) of a picture with noise sigma, denoised and added to sum; weight counts. */
static void one_block(const float *in, size_t channels, size_t h, size_t w, size_t y, size_t x, float sigma, float *sum,
                      float *weight)
{
    float block[CHANNELS * AREA];
    size_t kept = 0;

    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < SIDE; i++)
            memcpy(block + c * AREA + i * SIDE, in + (c * h + y + i) * w + x, SIDE * sizeof *block);
    if (channels == CHANNELS)
        mix_colours(block, 1);
    for (size_t c = 0; c < channels; c++) {
        transform(block + c * AREA, 1);
        for (size_t k = 0; k < AREA; k++) {
            float *v = &block[c * AREA + k];

            if (k > 0 && fabsf(*v) < 2.7f * sigma)
                *v = 0;
            kept += *v != 0;
        }
        transform(block + c * AREA, 0);
    }
    if (channels == CHANNELS)
        mix_colours(block, 0);
    /* Blocks that needed few coefficients were denoised best. */
    float trust = 1.0f / (float)(1 + kept);
    for (size_t i = 0; i < SIDE; i++)
        for (size_t j = 0; j < SIDE; j++) {
            for (size_t c = 0; c < channels; c++)
                sum[(c * h + y + i) * w + x + j] += trust * block[c * AREA + i * SIDE + j];
            weight[(y + i) * w + x + j] += trust;
        }
}

static pjd_status denoise(void *user, size_t batch, const pjd_shape *item, const float *x, double t, double abar,
                          float *x0, pjd_error *err)
{
    size_t channels = item->dim[0], h = item->dim[1], w = item->dim[2], n = channels * h * w;
    float sigma = (float)sqrt((1 - abar) / abar), scale = (float)(1 / sqrt(abar));
    float *in, *weight;

    (void)user;
    (void)t;
    if (h < SIDE || w < SIDE || channels > CHANNELS)
        return pjd_error_set(err, PJD_ERR_SHAPE, "own prior: expected 1 to 3 channels of at least 8x8 pixels");
    in = malloc(n * sizeof *in);
    weight = malloc(h * w * sizeof *weight);
    for (size_t k = 0; in && weight && k < batch; k++, x += n, x0 += n) {
        for (size_t i = 0; i < n; i++)
            in[i] = scale * x[i]; /* x0 + sigma z; x and x0 may be the same buffer */
        memset(x0, 0, n * sizeof *x0);
        memset(weight, 0, h * w * sizeof *weight);
        for (size_t i = 0; i < h - SIDE + STEP; i += STEP)
            for (size_t j = 0; j < w - SIDE + STEP; j += STEP)
                one_block(in, channels, h, w, i < h - SIDE ? i : h - SIDE, j < w - SIDE ? j : w - SIDE, sigma, x0,
                          weight);
        for (size_t i = 0; i < n; i++)
            x0[i] /= weight[i % (h * w)];
    }
    free(in);
    free(weight);
    return in && weight ? PJD_OK : pjd_error_set(err, PJD_ERR_NOMEM, "own prior: out of memory");
}

/* Hide half of the pixels and fill them in: by the library's smooth guess, and with the prior. */
static pjd_status experiment(pjd_model *model, const char *const *paths, const pjd_picture *like, const pjd_shape *s,
                             float *clean, float *x, float *mask, pjd_error *err)
{
    size_t plane = s->dim[1] * s->dim[2], n = s->dim[0] * plane;
    pjd_array known = {"mask", pjd_shape_chw(1, s->dim[1], s->dim[2]), mask};
    pjd_write_options w = {.overwrite = true};
    pjd_operator *op = NULL;
    pjd_solve_options o;
    float *work = NULL;
    double before, after;
    unsigned state = 1;
    pjd_status st;

    for (size_t i = 0; i < plane; i++) {
        state = state * 1664525u + 1013904223u;
        mask[i] = state >> 31 ? 1.0f : 0.0f;
    }
    st = pjd_operator_create("inpaint", &known, 1, s, NULL, &op, err);
    if (st != PJD_OK)
        return st;
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    if (!work) {
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
        goto out;
    }
    pjd_operator_guess(op, clean, x, work);
    if ((st = pjd_metric("psnr", s, x, clean, 2, &before, err)) != PJD_OK)
        goto out;
    pjd_solve_options_init(&o);
    if ((st = pjd_solve(model, op, clean, &o, x, NULL, err)) != PJD_OK ||
        (st = pjd_metric("psnr", s, x, clean, 2, &after, err)) != PJD_OK ||
        (st = pjd_picture_write(paths[1], like, x, s, &w, err)) != PJD_OK)
        goto out;
    for (size_t i = 0; i < n; i++)
        clean[i] = mask[i % plane] > 0 ? clean[i] : 1;
    st = pjd_picture_write(paths[0], like, clean, s, &w, err);
    printf("filled smoothly: %.2f dB, with the prior: %.2f dB\n", before, after);
out:
    free(work);
    pjd_operator_unref(op);
    return st;
}

int main(int argc, char **argv)
{
    pjd_error err = {PJD_OK, "out of memory"};
    pjd_denoiser prior = {.denoise = denoise, .sigma_scale = 2}; /* pictures are -1..1, sigma is given for 0..1 */
    pjd_model *model = NULL;
    pjd_picture *like = NULL;
    float *clean = NULL, *x = NULL, *mask = NULL;
    pjd_shape s;
    int rc = 1;

    if (argc != 4) {
        fprintf(stderr, "usage: %s CLEAN HOLES RESTORED\n", argv[0]);
        return 2;
    }
    fill_cosines();
    if (pjd_model_callback(&prior, NULL, &model, &err) == PJD_OK &&
        pjd_picture_read(argv[1], &like, &clean, &s, &err) == PJD_OK) {
        x = malloc(s.dim[0] * s.dim[1] * s.dim[2] * sizeof *x);
        mask = malloc(s.dim[1] * s.dim[2] * sizeof *mask);
        rc = !x || !mask || experiment(model, (const char *const *)argv + 2, like, &s, clean, x, mask, &err) != PJD_OK;
    }
    if (rc)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    free(x);
    free(mask);
    pjd_io_free(clean);
    pjd_picture_free(like);
    pjd_model_unref(model);
    pjd_io_shutdown();
    return rc;
}
