/* SPDX-License-Identifier: MIT */
/* Matrices whose rows are zero but for a short stretch: what one axis of a resampling is. */
#ifndef PJD_OP_BAND_H
#define PJD_OP_BAND_H

#include "core/core.h"

/* Row i holds w[i * taps .. ] from column first[i] on, first[i] + taps <= cols. */
typedef struct pjd_band {
    size_t rows, cols, taps;
    size_t *first;
    float *w;
} pjd_band;

/* Row i into w [cols], which is zero. */
typedef void pjd_band_row(const void *how, size_t i, double *w);

pjd_status pjd_band_create(const char *who, size_t rows, size_t cols, pjd_band_row *row, const void *how, pjd_band *out,
                           pjd_error *err);
pjd_status pjd_band_transpose(const char *who, const pjd_band *b, pjd_band *out, pjd_error *err);
void pjd_band_free(pjd_band *b);

/* out [count, rows] = in [count, cols] B': each line of a picture. */
void pjd_band_lines(const pjd_band *b, const float *in, size_t count, float *out);
/* out [rows, width] = B in [cols, width]: each column. */
void pjd_band_columns(const pjd_band *b, const float *in, size_t width, float *out);

#endif
