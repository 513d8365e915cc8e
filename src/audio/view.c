/* SPDX-License-Identifier: MIT */
/* What a person wants to see of a sound: its envelope, and its spectrogram with the frequencies on a logarithmic axis. */
#include <kiss_fftr.h>
#include <math.h>
#include <string.h>

#include "core/core.h"
#include "projdiff/stems.h"

enum { FRAME = 4096, HOP = FRAME / 4, BINS = FRAME / 2 + 1, MOST = 1 << 16 };

struct pjd_view {
    size_t columns, rows, length, position;
    double rate;
    float *low, *high;   /* [columns] */
    double *power;       /* [rows, columns] */
    unsigned *count;     /* [columns]: frames that were added */
    float *ring, *frame; /* the last FRAME samples */
    kiss_fft_cpx *spectrum;
    kiss_fftr_cfg plan;
};

pjd_status pjd_view_create(size_t columns, size_t rows, double rate, size_t length, pjd_view **out, pjd_error *err)
{
    size_t bytes = 0;
    void *memory;
    pjd_view *v;

    *out = NULL;
    if (columns < 1 || columns > MOST || rows < 1 || rows > MOST || !(rate > 2 * PJD_VIEW_LOWEST) || !(rate <= 1e6) ||
        length < 1)
        return pjd_error_set(err, PJD_ERR_ARG, "view: %zu columns, %zu rows, %g Hz, %zu samples are out of range",
                             columns, rows, rate, length);
    v = pjd_alloc_zero(1, sizeof *v);
    if (!v)
        return pjd_error_nomem(err, "view", sizeof *v);
    v->columns = columns;
    v->rows = rows;
    v->length = length;
    v->rate = rate;
    v->low = pjd_alloc_zero(columns, sizeof *v->low);
    v->high = pjd_alloc_zero(columns, sizeof *v->high);
    v->power = pjd_alloc_zero(rows * columns, sizeof *v->power);
    v->count = pjd_alloc_zero(columns, sizeof *v->count);
    v->ring = pjd_alloc_zero(FRAME, sizeof *v->ring);
    v->frame = pjd_alloc_zero(FRAME, sizeof *v->frame);
    v->spectrum = pjd_alloc_zero(BINS, sizeof *v->spectrum);
    kiss_fftr_alloc(FRAME, 0, NULL, &bytes);
    memory = bytes ? pjd_alloc(1, bytes) : NULL;
    v->plan = memory ? kiss_fftr_alloc(FRAME, 0, memory, &bytes) : NULL;
    if (!v->plan)
        pjd_free(memory);
    if (!v->low || !v->high || !v->power || !v->count || !v->ring || !v->frame || !v->spectrum || !v->plan) {
        pjd_view_free(v);
        return pjd_error_nomem(err, "view", rows * columns * sizeof *v->power);
    }
    *out = v;
    return PJD_OK;
}

/* Power at a fractional bin, or the mean over the bins of a row that is wider than one. */
static double row_power(const pjd_view *v, size_t row)
{
    double top = v->rate / 2, step = FRAME / v->rate;
    double a = PJD_VIEW_LOWEST * pow(top / PJD_VIEW_LOWEST, (double)row / (double)v->rows) * step;
    double b = PJD_VIEW_LOWEST * pow(top / PJD_VIEW_LOWEST, (double)(row + 1) / (double)v->rows) * step, sum = 0;
    size_t from = (size_t)ceil(a), to = (size_t)ceil(b);

    to = to < BINS ? to : BINS;
    if (to <= from) {
        size_t k = (size_t)a < BINS - 2 ? (size_t)a : BINS - 2;
        double w = a - (double)k;
        const kiss_fft_cpx *x = v->spectrum + k;

        return (1 - w) * ((double)x[0].r * x[0].r + (double)x[0].i * x[0].i) +
               w * ((double)x[1].r * x[1].r + (double)x[1].i * x[1].i);
    }
    for (size_t k = from; k < to; k++)
        sum += (double)v->spectrum[k].r * v->spectrum[k].r + (double)v->spectrum[k].i * v->spectrum[k].i;
    return sum / (double)(to - from);
}

static size_t column_of(const pjd_view *v, size_t sample)
{
    size_t c = (size_t)((double)sample / (double)v->length * (double)v->columns);

    return c < v->columns ? c : v->columns - 1;
}

/* The frame that ends at the current position belongs to the column of its middle. */
static void add_frame(pjd_view *v)
{
    size_t middle = v->position > FRAME / 2 ? v->position - FRAME / 2 : 0, c = column_of(v, middle);

    for (size_t i = 0; i < FRAME; i++)
        v->frame[i] = v->ring[(v->position + i) % FRAME] * (float)(0.5 - 0.5 * cos(2 * M_PI * (double)i / FRAME));
    kiss_fftr(v->plan, v->frame, v->spectrum);
    for (size_t r = 0; r < v->rows; r++)
        v->power[r * v->columns + c] += row_power(v, r);
    v->count[c]++;
}

void pjd_view_push(pjd_view *v, const float *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t c = column_of(v, v->position);

        if (v->position < v->length) {
            v->low[c] = samples[i] < v->low[c] ? samples[i] : v->low[c];
            v->high[c] = samples[i] > v->high[c] ? samples[i] : v->high[c];
        }
        v->ring[v->position++ % FRAME] = samples[i];
        if (v->position % HOP == 0)
            add_frame(v);
    }
}

void pjd_view_get(pjd_view *v, float *low, float *high, float *db)
{
    static const float silence[HOP];
    double scale = 4.0 / ((double)FRAME * FRAME); /* a full-scale sine is -6 dB: the window halves its peak */
    size_t nearest = 0;

    for (size_t i = 0; i < FRAME / HOP / 2 || (i < FRAME / HOP && !v->count[0]); i++)
        pjd_view_push(v, silence, HOP - v->position % HOP);
    memcpy(low, v->low, v->columns * sizeof *low);
    memcpy(high, v->high, v->columns * sizeof *high);
    for (size_t c = 0; c < v->columns; c++) {
        size_t from;

        nearest = v->count[c] ? c : nearest; /* a short sound has fewer frames than columns */
        for (from = c; from < v->columns && !v->count[nearest]; from++)
            nearest = from;
        for (size_t r = 0; r < v->rows; r++) {
            double p = v->count[nearest] ? v->power[r * v->columns + nearest] / v->count[nearest] : 0;

            db[r * v->columns + c] = (float)(10 * log10(p * scale + 1e-20));
        }
    }
}

void pjd_view_free(pjd_view *v)
{
    if (!v)
        return;
    pjd_free(v->low);
    pjd_free(v->high);
    pjd_free(v->power);
    pjd_free(v->count);
    pjd_free(v->ring);
    pjd_free(v->frame);
    pjd_free(v->spectrum);
    pjd_free(v->plan);
    pjd_free(v);
}
