/* SPDX-License-Identifier: MIT */
#include "band.h"

#include <string.h>

#include "internal.h"

void pjd_band_free(pjd_band *b)
{
    pjd_free(b->first);
    pjd_free(b->w);
    *b = (pjd_band){0};
}

static pjd_status band_alloc(const char *who, pjd_band *b, pjd_error *err)
{
    size_t n;

    b->taps = b->taps ? b->taps : 1;
    if (!pjd_mul(b->rows, b->taps, &n))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: a kernel of %zu pixels for %zu is too large", who, b->taps,
                             b->rows);
    b->first = pjd_alloc_zero(b->rows, sizeof *b->first);
    b->w = pjd_alloc_zero(n, sizeof *b->w);
    return b->first && b->w ? PJD_OK : pjd_error_nomem(err, who, n * sizeof *b->w);
}

/* Where a row is not zero: first .. last, or 0 .. 0. */
static void extent(const double *row, size_t cols, size_t *first, size_t *last)
{
    *first = *last = 0;
    for (size_t j = cols; j-- > 0;)
        if (row[j] != 0.0)
            *first = j;
    for (size_t j = 0; j < cols; j++)
        if (row[j] != 0.0)
            *last = j;
}

pjd_status pjd_band_create(const char *who, size_t rows, size_t cols, pjd_band_row *row, const void *how, pjd_band *out,
                           pjd_error *err)
{
    double *line = pjd_alloc(cols, sizeof *line);
    size_t first, last;
    pjd_status st = line ? PJD_OK : pjd_error_nomem(err, who, cols * sizeof *line);

    *out = (pjd_band){.rows = rows, .cols = cols};
    for (size_t i = 0; st == PJD_OK && i < rows; i++) {
        memset(line, 0, cols * sizeof *line);
        row(how, i, line);
        extent(line, cols, &first, &last);
        out->taps = last - first + 1 > out->taps ? last - first + 1 : out->taps;
    }
    if (st == PJD_OK)
        st = band_alloc(who, out, err);
    for (size_t i = 0; st == PJD_OK && i < rows; i++) {
        memset(line, 0, cols * sizeof *line);
        row(how, i, line);
        extent(line, cols, &first, &last);
        out->first[i] = first + out->taps <= cols ? first : cols - out->taps;
        for (size_t k = 0; k < out->taps; k++)
            out->w[i * out->taps + k] = (float)line[out->first[i] + k];
    }
    pjd_free(line);
    return st;
}

/* Columns of b: the first row and the last that touch each. */
static void spans(const pjd_band *b, size_t *low, size_t *high)
{
    for (size_t j = 0; j < b->cols; j++) {
        low[j] = b->rows;
        high[j] = 0;
    }
    for (size_t i = 0; i < b->rows; i++)
        for (size_t k = 0; k < b->taps; k++) {
            size_t j = b->first[i] + k;

            if (b->w[i * b->taps + k] == 0.0f)
                continue;
            low[j] = i < low[j] ? i : low[j];
            high[j] = i;
        }
}

pjd_status pjd_band_transpose(const char *who, const pjd_band *b, pjd_band *out, pjd_error *err)
{
    size_t *low = pjd_alloc(b->cols, sizeof *low), *high = pjd_alloc(b->cols, sizeof *high);
    pjd_status st = low && high ? PJD_OK : pjd_error_nomem(err, who, 2 * b->cols * sizeof *low);

    *out = (pjd_band){.rows = b->cols, .cols = b->rows};
    if (st == PJD_OK) {
        spans(b, low, high);
        for (size_t j = 0; j < b->cols; j++)
            if (low[j] <= high[j] && high[j] - low[j] + 1 > out->taps)
                out->taps = high[j] - low[j] + 1;
        st = band_alloc(who, out, err);
    }
    if (st == PJD_OK) {
        for (size_t j = 0; j < b->cols; j++)
            out->first[j] = low[j] + out->taps <= b->rows ? low[j] : b->rows - out->taps;
        for (size_t i = 0; i < b->rows; i++)
            for (size_t k = 0; k < b->taps; k++) {
                size_t j = b->first[i] + k;
                float w = b->w[i * b->taps + k];

                if (w != 0.0f)
                    out->w[j * out->taps + i - out->first[j]] = w;
            }
    }
    pjd_free(low);
    pjd_free(high);
    return st;
}

void pjd_band_lines(const pjd_band *b, const float *in, size_t count, float *out)
{
#pragma omp parallel for schedule(static) if (count * b->cols > PJD_OP_PARALLEL)
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < b->rows; i++) {
            const float *from = in + r * b->cols + b->first[i], *w = b->w + i * b->taps;
            float sum = 0.0f;

            for (size_t k = 0; k < b->taps; k++)
                sum += w[k] * from[k];
            out[r * b->rows + i] = sum;
        }
}

void pjd_band_columns(const pjd_band *b, const float *in, size_t width, float *out)
{
#pragma omp parallel for schedule(static) if (b->cols * width > PJD_OP_PARALLEL)
    for (size_t i = 0; i < b->rows; i++) {
        float *to = out + i * width;

        memset(to, 0, width * sizeof *to);
        for (size_t k = 0; k < b->taps; k++) {
            const float *from = in + (b->first[i] + k) * width;
            float w = b->w[i * b->taps + k];

            for (size_t j = 0; j < width; j++)
                to[j] += w * from[j];
        }
    }
}
