/* SPDX-License-Identifier: MIT */
/*
 * What a measurement's numbers mean. Pictures are -1..1 for the library; "gray" here is 0 (black) to 1 (white), v = (x + 1) / 2,
 * so that a linear task measures A v = (A x + A 1) / 2 of it.
 */
#ifndef PJD_CLI_MEASURED_H
#define PJD_CLI_MEASURED_H

#include "cli.h"

/* "gaussian" or NULL: *peak is 0; "poisson:peak=P": P. An exit code. */
int cli_noise_model(const char *text, double *peak);

/* A 1, [output of op], to be freed. */
pjd_status cli_white(const pjd_operator *op, float **out, pjd_error *err);
/* PJD_ERR_ARG, with a line that says so, unless a picture of gray values is measured as values that are not negative. */
pjd_status cli_require_counts(const pjd_operator *op, pjd_error *err);

/* Measurements of gray values to those of -1..1 and back, in place; white is A 1. */
void cli_from_gray(float *y, const float *white, size_t n);
void cli_to_gray(float *y, const float *white, size_t n);

/* Gray measurements y >= 0 to y' = counts / peak, counts ~ Poisson(peak y), in place. */
pjd_status cli_draw_counts(double peak, pjd_noise *noise, float *y, size_t n, pjd_error *err);

/*
 * Pixels in -1..1 that are counts / peak in gray, to Anscombe roots, scaled so that 0 and `peak` counts are -1 and 1; returns
 * the deviation of their noise on the 0..1 scale. And back, by the exact unbiased inverse.
 */
double cli_stabilise(double peak, float *y, size_t n);
void cli_unstabilise(double peak, float *x, size_t n);

/*
 * Weights w that make the noise of counts even, in any measurement y of -1..1: the variance is estimated by the counts
 * themselves, at least one. Returns the deviation of w y on the 0..1 scale.
 */
double cli_count_weights(double peak, const float *y, const float *white, size_t n, float *w);

#endif
