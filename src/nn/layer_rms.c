/* SPDX-License-Identifier: MIT */
/* RMS norm over the channels of each position, with modulation and activation. */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t c = s->out.s.c;
    float *gamma = pjd_nn_weights(p, c);

    s->priv = gamma;
    if (!gamma)
        return pjd_error_nomem(err, "rms norm", c * sizeof *gamma);
    for (size_t k = 0; k < c; k++)
        gamma[k] = s->rec.weight[k] * sqrtf((float)c);
    return PJD_OK;
}

#define ROWS 64 /* a task's */

typedef struct rms_job {
    pjd_nn_plan *p;
    nn_step *s;
    size_t rows;
} rms_job;

static void task(void *ctx, size_t i, int thread)
{
    const rms_job *j = ctx;
    const nn_step *s = j->s;
    size_t c = s->out.s.c, n = pjd_nn_positions(&s->out.s), to = (i + 1) * ROWS < j->rows ? (i + 1) * ROWS : j->rows;
    const float *gamma = s->priv;

    (void)thread;
    for (size_t r = i * ROWS; r < to; r++) {
        const float *x = s->in[NN_X].seg[0].p + r * s->in[NN_X].seg[0].ld;
        const float *mod = s->in[NN_MODULATION].segs ? s->in[NN_MODULATION].seg[0].p + r / n * 2 * c : NULL;
        float *out = s->out.seg[0].p + r * c, sum = 0, inv;

        for (size_t k = 0; k < c; k++)
            sum += x[k] * x[k];
        sum = sqrtf(sum);
        inv = 1.0f / (sum < 1e-12f ? 1e-12f : sum);
        for (size_t k = 0; k < c; k++)
            out[k] = x[k] * inv * gamma[k];
        for (size_t k = 0; mod && k < c; k++)
            out[k] = out[k] * (1.0f + mod[k]) + mod[c + k];
        if (s->rec.act != PJD_ACT_NONE)
            j->p->kernels->act((pjd_kact)s->rec.act, c, out, out);
    }
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    rms_job j = {p, s, p->batch * pjd_nn_positions(&s->out.s)};

    pjd_nn_parallel(p, pjd_nn_threads_for(p, (double)j.rows * (double)s->out.s.c), (j.rows + ROWS - 1) / ROWS, task,
                    &j);
    return PJD_OK;
}

const nn_class pjd_nn_class_rms = {.name = "rms norm", .prepare = prepare, .run = run};
