/* SPDX-License-Identifier: MIT */
/* What a measurement's numbers mean: of gray values from 0 to 1 instead of -1 to 1, and counts instead of Gaussian noise. */
#include "measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int cli_noise_model(const char *text, double *peak)
{
    static const char poisson[] = "poisson:peak=";

    *peak = 0;
    if (!text || !strcmp(text, "gaussian"))
        return CLI_DONE;
    if (!strncmp(text, poisson, sizeof poisson - 1) && cli_parse_number(text + sizeof poisson - 1, peak) &&
        *peak >= 0.01 && *peak <= 1e9)
        return CLI_DONE;
    return cli_error(
        CLI_USAGE, "--noise-model: expected gaussian or poisson:peak=P with P from 0.01 to 1e9, found \"%.60s\"", text);
}

/* ---- A 1, and whether A keeps signs ---- */

static pjd_status sizes(const pjd_operator *op, size_t *nx, size_t *ny, pjd_error *err)
{
    if (pjd_shape_count(pjd_operator_input(op), nx) && pjd_shape_count(pjd_operator_output(op), ny))
        return PJD_OK;
    return pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
}

pjd_status cli_white(const pjd_operator *op, float **out, pjd_error *err)
{
    size_t nx, ny;
    float *x, *y, *work;
    pjd_status st = sizes(op, &nx, &ny, err);

    *out = NULL;
    if (st != PJD_OK)
        return st;
    x = malloc(nx * sizeof *x);
    y = malloc(ny * sizeof *y);
    work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
    if (x && y && work) {
        for (size_t i = 0; i < nx; i++)
            x[i] = 1;
        pjd_operator_apply(op, x, y, work);
        *out = y;
        y = NULL;
    } else {
        st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    }
    free(x);
    free(y);
    free(work);
    return st;
}

pjd_status cli_require_counts(const pjd_operator *op, pjd_error *err)
{
    enum { TRIALS = 3 };
    size_t nx, ny;
    float *x = NULL, *y = NULL, *work = NULL, low = 0, high = 0;
    uint64_t state = 1;
    pjd_status st = sizes(op, &nx, &ny, err);

    if (st == PJD_OK && pjd_operator_is_linear(op)) {
        x = malloc(nx * sizeof *x);
        y = malloc(ny * sizeof *y);
        work = malloc((pjd_operator_work(op) + 1) * sizeof *work);
        if (!x || !y || !work)
            st = pjd_error_set(err, PJD_ERR_NOMEM, "out of memory");
    }
    for (int k = 0; st == PJD_OK && work && k < TRIALS; k++) {
        for (size_t i = 0; i < nx; i++) { /* black and white at random (a linear congruence, Knuth's MMIX) */
            state = state * 6364136223846793005u + 1442695040888963407u;
            x[i] = (float)(state >> 63);
        }
        pjd_operator_apply(op, x, y, work);
        for (size_t i = 0; i < ny; i++) {
            low = y[i] < low ? y[i] : low;
            high = y[i] > high ? y[i] : high;
        }
    }
    if (st == PJD_OK && !(work && low >= -0.01f * high && high > 0))
        st = pjd_error_set(
            err, PJD_ERR_ARG,
            "%s: counts (--noise-model poisson) need a linear task that keeps values from turning negative",
            pjd_operator_name(op));
    free(x);
    free(y);
    free(work);
    return st;
}

/* ---- between gray values and -1..1 ---- */

void cli_from_gray(float *y, const float *white, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 2 * y[i] - white[i];
}

void cli_to_gray(float *y, const float *white, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * (y[i] + white[i]);
}

/* ---- counts ---- */

pjd_status cli_draw_counts(double peak, pjd_noise *noise, float *y, size_t n, pjd_error *err)
{
    pjd_status st;

    for (size_t i = 0; i < n; i++)
        y[i] = (float)(peak * (y[i] > 0 ? y[i] : 0));
    st = pjd_noise_poisson(noise, y, y, n, err);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(y[i] / peak);
    return st;
}

/* Roots of 0 and of `peak` counts become -1 and 1. */
static void root_scale(double peak, double *black, double *per_unit)
{
    *black = 2 * sqrt(0.375);
    *per_unit = 2 / (2 * sqrt(peak + 0.375) - *black);
}

double cli_stabilise(double peak, float *y, size_t n)
{
    double black, per_unit;

    root_scale(peak, &black, &per_unit);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(0.5 * peak * (y[i] + 1));
    pjd_anscombe(y, y, n);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((y[i] - black) * per_unit - 1);
    return 0.5 * per_unit;
}

void cli_unstabilise(double peak, float *x, size_t n)
{
    double black, per_unit;

    root_scale(peak, &black, &per_unit);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((x[i] + 1) / per_unit + black);
    pjd_anscombe_inverse(x, x, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(2 * x[i] / peak - 1);
}

double cli_count_weights(double peak, const float *y, const float *white, size_t n, float *w)
{
    double sum = 0, reference;

    /* variance of y in -1..1 is 4 gray / peak; a detector that counted nothing may have had one */
    for (size_t i = 0; i < n; i++) {
        double counts = 0.5 * peak * ((double)y[i] + white[i]);

        w[i] = (float)(2 * sqrt(counts > 1 ? counts : 1) / peak);
        sum += (double)w[i] * w[i];
    }
    reference = sqrt(sum / (double)n);
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(reference / w[i]);
    return 0.5 * reference;
}
