/* SPDX-License-Identifier: MIT */
/* Layers of one-dimensional networks: the norm over a position's channels, and positions to channels and back. */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

#define ROWS 64 /* a task's */

typedef struct line_job {
    const pjd_nn_plan *p;
    const nn_step *s;
    size_t rows;
    void (*row)(const nn_step *s, size_t r);
} line_job;

static void line_task(void *ctx, size_t i, int thread)
{
    const line_job *j = ctx;
    size_t to = (i + 1) * ROWS < j->rows ? (i + 1) * ROWS : j->rows;

    (void)thread;
    for (size_t r = i * ROWS; r < to; r++)
        j->row(j->s, r);
}

static void each_row(const pjd_nn_plan *p, const nn_step *s, size_t rows, size_t width,
                     void (*row)(const nn_step *, size_t))
{
    line_job j = {p, s, rows, row};

    pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)rows * (double)width), (rows + ROWS - 1) / ROWS, line_task, &j);
}

/* ---- layer norm: biased variance, a gain and no offset ---- */

static pjd_status prepare_layer(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t c = s->out.s.c;

    s->priv = pjd_nn_weights(p, c);
    if (!s->priv)
        return pjd_error_nomem(err, "layer norm", c * sizeof(float));
    memcpy(s->priv, s->rec.weight, c * sizeof(float));
    return PJD_OK;
}

static void layer_row(const nn_step *s, size_t r)
{
    size_t c = s->out.s.c;
    const float *x = s->in[NN_X].seg[0].p + r * s->in[NN_X].seg[0].ld, *gain = s->priv;
    float *out = s->out.seg[0].p + r * c, shift = x[0], mean, inv;
    double sum = 0, squares = 0, m;

    /* relative to the first value, so that a mean far from zero does not drown the variance */
    for (size_t k = 0; k < c; k++) {
        double d = (double)(x[k] - shift);

        sum += d;
        squares += d * d;
    }
    m = sum / (double)c;
    squares = squares / (double)c - m * m;
    if (squares < 0) /* rounding; a NaN stays */
        squares = 0;
    mean = (float)m;
    inv = (float)(1 / sqrt(squares + s->rec.real));
    for (size_t k = 0; k < c; k++)
        out[k] = ((x[k] - shift) - mean) * inv * gain[k];
}

static pjd_status run_layer(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * pjd_nn_positions(&s->out.s), 4 * s->out.s.c, layer_row);
    return PJD_OK;
}

const nn_class pjd_nn_class_layer = {.name = "layer norm", .prepare = prepare_layer, .run = run_layer};

/* ---- positions and channels ---- */

/* f positions become one: channel k of position f l + r is channel k f + r of position l. */
static void fold_row(const nn_step *s, size_t r)
{
    size_t f = s->rec.dim, c = s->in[NN_X].s.c;
    const float *x = s->in[NN_X].seg[0].p + r * f * c;
    float *out = s->out.seg[0].p + r * f * c;

    for (size_t i = 0; i < f; i++)
        for (size_t k = 0; k < c; k++)
            out[k * f + i] = x[i * c + k];
}

static void unfold_row(const nn_step *s, size_t r)
{
    size_t f = s->rec.dim, c = s->out.s.c;
    const float *x = s->in[NN_X].seg[0].p + r * f * c;
    float *out = s->out.seg[0].p + r * f * c;

    for (size_t i = 0; i < f; i++)
        for (size_t k = 0; k < c; k++)
            out[i * c + k] = x[k * f + i];
}

/* Channels (i, k) become position f l + i, channel k: where rows are contiguous, the same floats in the same order. */
static void spread_row(const nn_step *s, size_t r)
{
    float *out = s->out.seg[0].p + r * s->in[NN_X].s.c;

    for (size_t i = 0; i < s->in[NN_X].segs; i++) {
        const struct nn_seg *g = &s->in[NN_X].seg[i];

        memcpy(out, g->p + r * g->ld, g->c * sizeof *out);
        out += g->c;
    }
}

static void repeat_row(const nn_step *s, size_t r)
{
    size_t f = s->rec.dim, c = s->out.s.c;

    for (size_t i = 0; i < f; i++)
        memcpy(s->out.seg[0].p + (r * f + i) * c, s->in[NN_X].seg[0].p + r * c, c * sizeof(float));
}

static pjd_status run_line(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    static void (*const how[])(const nn_step *, size_t) = {fold_row, unfold_row, repeat_row};
    size_t rows = s->rec.groups == NN_LINE_FOLD ? s->out.s.w : s->in[NN_X].s.w;

    each_row(p, s, p->batch * rows, s->rec.dim * s->out.s.c, how[s->rec.groups]);
    return PJD_OK;
}

const nn_class pjd_nn_class_line = {.name = "line", .run = run_line};

static pjd_status run_spread(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * s->in[NN_X].s.w, s->in[NN_X].s.c, spread_row);
    return PJD_OK;
}

const nn_class pjd_nn_class_spread = {.name = "spread", .pieces = true, .run = run_spread};
