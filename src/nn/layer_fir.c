/* SPDX-License-Identifier: MIT */
/* Resampling by two with a small filter that every channel shares. */
#include <string.h>

#include "nn/internal.h"

static pjd_status prepare(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    size_t n = s->rec.dim * s->rec.dim;
    float *f = pjd_nn_weights(p, n);

    s->priv = f;
    if (!f)
        return pjd_error_nomem(err, "fir", n * sizeof *f);
    for (size_t i = 0; i < n; i++)
        f[i] = s->rec.weight[i] * (s->rec.up ? 4.0f : 1.0f);
    return PJD_OK;
}

typedef struct fir_job {
    const nn_step *s;
} fir_job;

/* Input position below tap i of output position at, along an axis of n positions; false where there is none. */
static bool below(const nn_rec *r, size_t at, size_t i, size_t n, size_t *in)
{
    size_t pad = r->pad_top, sum;

    if (r->up) {
        sum = at + pad;
        if (sum < i || (sum - i) % 2 != 0)
            return false;
        *in = (sum - i) / 2;
    } else {
        sum = 2 * at + i;
        if (sum < pad)
            return false;
        *in = sum - pad;
    }
    return *in < n;
}

/* One row of one item. */
static void task(void *ctx, size_t row, int thread)
{
    const nn_step *s = ((fir_job *)ctx)->s;
    const nn_shape *o = &s->out.s, *x = &s->in[NN_X].s;
    size_t taps = s->rec.dim, item = row / o->h, y = row % o->h, c = o->c, iy, ix;
    const float *filter = s->priv, *in = s->in[NN_X].seg[0].p + item * x->h * x->w * c;
    float *out = s->out.seg[0].p + row * o->w * c;

    (void)thread;
    for (size_t at = 0; at < o->w; at++, out += c) {
        memset(out, 0, c * sizeof *out);
        for (size_t i = 0; i < taps; i++)
            for (size_t j = 0; j < taps && below(&s->rec, y, i, x->h, &iy); j++) {
                const float *px;
                float f = filter[i * taps + j];

                if (!below(&s->rec, at, j, x->w, &ix))
                    continue;
                px = in + (iy * x->w + ix) * c;
                for (size_t k = 0; k < c; k++)
                    out[k] += f * px[k];
            }
    }
}

static pjd_status run(pjd_nn_plan *p, nn_step *s, pjd_error *err)
{
    fir_job j = {s};
    size_t rows = p->batch * s->out.s.h;
    double work = (double)rows * (double)s->out.s.w * (double)s->out.s.c * (double)(s->rec.dim * s->rec.dim);

    pjd_nn_parallel(p, pjd_nn_threads_for(p, work / (s->rec.up ? 4 : 1)), rows, task, &j);
    return PJD_OK;
}

const nn_class pjd_nn_class_fir = {.name = "fir", .prepare = prepare, .run = run};
