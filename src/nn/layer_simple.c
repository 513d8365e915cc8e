/* SPDX-License-Identifier: MIT */
/* Layers that only move or touch each element: borders, embeddings, copies, sums, resampling, activations. */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

/* Work is cut into runs of about this many floats. */
#define CHUNK 16384

typedef struct rows_job {
    pjd_nn_plan *p;
    nn_step *s;
    size_t rows, rows_per_task;
    void (*row)(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to);
} rows_job;

static void rows_task(void *ctx, size_t task, int thread)
{
    const rows_job *j = ctx;
    size_t from = task * j->rows_per_task, to = from + j->rows_per_task;

    (void)thread;
    j->row(j->p, j->s, from, to < j->rows ? to : j->rows);
}

/* Call row(p, s, from, to) over `rows` rows of `width` floats each. */
static void each_row(pjd_nn_plan *p, nn_step *s, size_t rows, size_t width,
                     void (*row)(const pjd_nn_plan *, const nn_step *, size_t, size_t))
{
    rows_job j = {p, s, rows, width < CHUNK ? CHUNK / width : 1, row};

    pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)rows * (double)width),
                    (rows + j.rows_per_task - 1) / j.rows_per_task, rows_task, &j);
}

/* ---- borders ---- */

static void input_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    size_t w = s->out.s.w, c = s->out.s.c, h = s->out.s.h;

    for (size_t r = from; r < to; r++) {
        size_t item = r / h, y = r % h;
        float *out = s->out.seg[0].p + r * w * c;

        for (size_t k = 0; k < c; k++) {
            const float *in = p->in + ((item * c + k) * h + y) * w;

            for (size_t x = 0; x < w; x++)
                out[x * c + k] = in[x];
        }
    }
}

static pjd_status run_input(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * s->out.s.h, s->out.s.w * s->out.s.c, input_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_input = {.name = "input", .run = run_input};

/* ---- embeddings ---- */

static pjd_status run_time(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t c = s->out.s.c, half = c / 2;
    float over = (float)half - (float)s->rec.real;

    for (size_t b = 0; b < p->batch; b++) {
        float *out = s->out.seg[0].p + b * c;
        float *sines = s->rec.flip ? out + half : out, *cosines = s->rec.flip ? out : out + half;

        for (size_t k = 0; k < half; k++) {
            /* float32 throughout, as the original libraries compute it: the angle's rounding shows in the result */
            float f = expf((float)-9.210340371976184 * (float)k / over), angle = p->t[b] * f;

            sines[k] = sinf(angle);
            cosines[k] = cosf(angle);
        }
        if (c % 2)
            out[c - 1] = 0.0f;
    }
    return PJD_OK;
}

const nn_class pjd_nn_class_time = {.name = "time embedding", .run = run_time};

static pjd_status prepare_fourier(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    s->priv = pjd_nn_weights(p, s->rec.dim);
    if (!s->priv)
        return pjd_error_nomem(err, "fourier embedding", s->rec.dim * sizeof(float));
    memcpy(s->priv, s->rec.weight, s->rec.dim * sizeof(float));
    return PJD_OK;
}

static pjd_status run_fourier(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    const float *f = s->priv, pi = 3.14159265358979f;
    size_t half = s->rec.dim;

    for (size_t b = 0; b < p->batch; b++) {
        float *out = s->out.seg[0].p + b * s->out.s.c;

        if (s->rec.flip)
            *out++ = p->t[b];
        for (size_t k = 0; k < half; k++) {
            /* in float32 and the original libraries' order: with a large angle its rounding shows in the result */
            float angle = s->rec.flip ? p->t[b] * f[k] * 2.0f * pi : p->t[b] * (2.0f * pi * f[k]);

            out[k] = sinf(angle);
            out[half + k] = cosf(angle);
        }
    }
    return PJD_OK;
}

const nn_class pjd_nn_class_fourier = {.name = "fourier embedding", .prepare = prepare_fourier, .run = run_fourier};

static pjd_status prepare_label(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t n = s->rec.groups * s->out.s.c;

    s->priv = pjd_nn_weights(p, n);
    if (!s->priv)
        return pjd_error_nomem(err, "class embedding", n * sizeof(float));
    if (!s->rec.flip) {
        memcpy(s->priv, s->rec.weight, n * sizeof(float));
        return PJD_OK;
    }
    for (size_t i = 0; i < s->rec.groups; i++) /* a linear layer of the one-hot label */
        for (size_t k = 0; k < s->out.s.c; k++)
            ((float *)s->priv)[i * s->out.s.c + k] = s->rec.weight[k * s->rec.groups + i] * (float)s->rec.real +
                                                     (s->rec.bias ? s->rec.bias[k] : 0.0f);
    return PJD_OK;
}

static pjd_status run_label(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t c = s->out.s.c;

    for (size_t b = 0; b < p->batch; b++) {
        if (!p->classes)
            return pjd_error_set(err, PJD_ERR_ARG, "network: expected class labels, found none");
        if (p->classes[b] < 0 || (size_t)p->classes[b] >= s->rec.groups)
            return pjd_error_set(err, PJD_ERR_ARG, "network: expected a class of 0 .. %zu, found %d", s->rec.groups - 1,
                                 p->classes[b]);
        memcpy(s->out.seg[0].p + b * c, (const float *)s->priv + (size_t)p->classes[b] * c, c * sizeof(float));
    }
    return PJD_OK;
}

const nn_class pjd_nn_class_label = {.name = "class embedding", .prepare = prepare_label, .run = run_label};

/* ---- concatenation that some reader wants in one piece ---- */

static void concat_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    for (size_t r = from; r < to; r++) {
        float *out = s->out.seg[0].p + r * s->out.seg[0].ld;

        for (size_t k = NN_X; k <= NN_B; k++)
            for (size_t i = 0; i < s->in[k].segs; i++) {
                const struct nn_seg *g = &s->in[k].seg[i];

                memcpy(out, g->p + r * g->ld, g->c * sizeof(float));
                out += g->c;
            }
    }
}

static pjd_status run_concat(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * pjd_nn_positions(&s->out.s), s->out.s.c, concat_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_concat = {.name = "concat", .pieces = true, .run = run_concat};

/* ---- elementwise ---- */

static void add_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    size_t c = s->out.s.c, n = pjd_nn_positions(&s->out.s);
    bool broadcast = pjd_nn_positions(&s->in[NN_B].s) != n;

    for (size_t r = from; r < to; r++) {
        const float *a = s->in[NN_X].seg[0].p + r * c, *b = s->in[NN_B].seg[0].p + (broadcast ? r / n : r) * c;
        float *out = s->out.seg[0].p + r * c;

        for (size_t i = 0; i < c; i++)
            out[i] = a[i] + b[i];
    }
}

static pjd_status run_add(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * pjd_nn_positions(&s->out.s), s->out.s.c, add_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_add = {.name = "add", .run = run_add};

static void scale_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    const float *in = s->in[NN_X].seg[0].p;
    float *out = s->out.seg[0].p, factor = (float)s->rec.real;

    for (size_t i = from * s->out.s.c; i < to * s->out.s.c; i++)
        out[i] = in[i] * factor;
}

static pjd_status run_scale(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * pjd_nn_positions(&s->out.s), s->out.s.c, scale_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_scale = {.name = "scale", .run = run_scale};

static void act_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    size_t c = s->out.s.c;

    p->kernels->act((pjd_kact)s->rec.act, (to - from) * c, s->in[NN_X].seg[0].p + from * c, s->out.seg[0].p + from * c);
}

static pjd_status run_act(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * pjd_nn_positions(&s->out.s), s->out.s.c, act_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_act = {.name = "activation", .run = run_act};

/* ---- resampling; rows are rows of the picture ---- */

static void pool_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    size_t c = s->out.s.c, w = s->out.s.w, h = s->out.s.h, iw = s->in[NN_X].s.w, ih = s->in[NN_X].s.h;

    for (size_t r = from; r < to; r++) {
        const float *in = s->in[NN_X].seg[0].p + (r / h * ih + 2 * (r % h)) * iw * c;
        float *out = s->out.seg[0].p + r * w * c;

        for (size_t x = 0; x < w; x++, in += 2 * c, out += c)
            for (size_t k = 0; k < c; k++)
                out[k] = 0.25f * (in[k] + in[c + k] + in[iw * c + k] + in[iw * c + c + k]);
    }
}

static pjd_status run_pool(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * s->out.s.h, 4 * s->out.s.w * s->out.s.c, pool_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_pool = {.name = "avgpool2", .run = run_pool};

static void up_rows(const pjd_nn_plan *p, const nn_step *s, size_t from, size_t to)
{
    size_t c = s->out.s.c, iw = s->in[NN_X].s.w;

    for (size_t r = from; r < to; r++) {
        const float *in = s->in[NN_X].seg[0].p + r / 2 * iw * c;
        float *out = s->out.seg[0].p + r * 2 * iw * c;

        for (size_t x = 0; x < iw; x++, in += c, out += 2 * c) {
            memcpy(out, in, c * sizeof(float));
            memcpy(out + c, in, c * sizeof(float));
        }
    }
}

static pjd_status run_up(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    each_row(p, s, p->batch * s->out.s.h, s->out.s.w * s->out.s.c, up_rows);
    return PJD_OK;
}

const nn_class pjd_nn_class_up = {.name = "upsample2", .run = run_up};
