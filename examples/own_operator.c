/* SPDX-License-Identifier: MIT */
/*
 * An observation model of one's own, from callbacks: a blur that grows from the left edge of the picture, where it is
 * none, to the right. The library needs A and its adjoint A*, and does the rest with conjugate gradients.
 *
 *     cc own_operator.c $(pkg-config --cflags --libs projdiff projdiff-io) -o own_operator
 *     ./own_operator MODEL clean.png blurred.png restored.png
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <projdiff/io.h>
#include <projdiff/projdiff.h>

enum { RADIUS = 6 }; /* at the right edge, in pixels */

typedef struct blur {
    size_t rows, width; /* rows of all channels: every row is blurred alike */
} blur;

/* The box around column j: its radius, and its k-th column mirrored at the edges. */
static size_t radius_at(const blur *b, size_t j)
{
    return b->width > 1 ? RADIUS * j / (b->width - 1) : 0;
}

static size_t column(const blur *b, size_t j, size_t k, size_t radius)
{
    size_t at = j + k, last = b->width - 1;

    if (at < radius)
        return radius - at <= last ? radius - at : last;
    at -= radius;
    if (at <= last)
        return at;
    return at <= 2 * last ? 2 * last - at : 0;
}

/* y_j = mean of x over the box around j. */
static void apply(void *user, const float *x, float *y, float *work)
{
    const blur *b = user;

    (void)work;
    for (size_t i = 0; i < b->rows; i++, x += b->width, y += b->width)
        for (size_t j = 0; j < b->width; j++) {
            size_t r = radius_at(b, j);
            float sum = 0;

            for (size_t k = 0; k <= 2 * r; k++)
                sum += x[column(b, j, k, r)];
            y[j] = sum / (float)(2 * r + 1);
        }
}

/* The adjoint gives back what apply took, with the same weight: gather becomes scatter. */
static void adjoint(void *user, const float *y, float *x, float *work)
{
    const blur *b = user;

    (void)work;
    memset(x, 0, b->rows * b->width * sizeof *x);
    for (size_t i = 0; i < b->rows; i++, x += b->width, y += b->width)
        for (size_t j = 0; j < b->width; j++) {
            size_t r = radius_at(b, j);

            for (size_t k = 0; k <= 2 * r; k++)
                x[column(b, j, k, r)] += y[j] / (float)(2 * r + 1);
        }
}

int main(int argc, char **argv)
{
    pjd_error err = {PJD_OK, "out of memory"};
    pjd_model *model = NULL;
    pjd_operator *op = NULL;
    pjd_picture *like = NULL;
    float *clean = NULL, *y = NULL, *x = NULL, *work = NULL;
    pjd_shape s;
    double worst, before, after;
    int rc = 1;

    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL CLEAN BLURRED RESTORED\n", argv[0]);
        return 2;
    }
    if (pjd_model_open(argv[1], NULL, &model, &err) != PJD_OK ||
        pjd_picture_read(argv[2], &like, &clean, &s, &err) != PJD_OK)
        goto out;

    blur b = {s.dim[0] * s.dim[1], s.dim[2]};
    pjd_operator_callbacks cb = {.apply = apply, .adjoint = adjoint, .user = &b, .linear = true};
    if (pjd_operator_custom("growing blur", &s, &s, &cb, &op, &err) != PJD_OK)
        goto out;
    /* The first thing to ask of an operator of one's own: is the adjoint the adjoint? */
    if (pjd_operator_test_adjoint(op, 5, 1, &worst, &err) != PJD_OK)
        goto out;
    printf("adjoint: off by %.1e\n", worst);

    y = malloc(b.rows * b.width * sizeof *y);
    x = malloc(b.rows * b.width * sizeof *x);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    if (!y || !x || !work)
        goto out;
    pjd_operator_apply(op, clean, y, work);

    pjd_write_options w = {.overwrite = true};
    pjd_solve_options o;
    pjd_solve_options_init(&o);
    o.sigma = 0.002; /* what rounding to 8 bits would add, and a little */
    if (pjd_solve(model, op, y, &o, x, NULL, &err) != PJD_OK ||
        pjd_metric("psnr", &s, y, clean, 2, &before, &err) != PJD_OK ||
        pjd_metric("psnr", &s, x, clean, 2, &after, &err) != PJD_OK ||
        pjd_picture_write(argv[3], like, y, &s, &w, &err) != PJD_OK ||
        pjd_picture_write(argv[4], like, x, &s, &w, &err) != PJD_OK)
        goto out;
    printf("blurred: %.2f dB, restored: %.2f dB\n", before, after);
    rc = 0;
out:
    if (rc)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    free(work);
    free(x);
    free(y);
    pjd_operator_unref(op);
    pjd_io_free(clean);
    pjd_picture_free(like);
    pjd_model_unref(model);
    pjd_io_shutdown();
    return rc;
}
