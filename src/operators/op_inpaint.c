/* SPDX-License-Identifier: MIT */
/*
 * inpaint: some pixels are known, the others are to be filled. y has the full size; its unknown entries are ignored
 * (apply writes 0 there). A A* is the mask.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

enum { MAX_LEVELS = 64 };

typedef struct inpaint_params {
    const pjd_array *mask;
} inpaint_params;

typedef struct inpaint {
    size_t c, h, w, mask_channels; /* 1 or c */
    unsigned char *known;          /* [mask_channels, h, w] */
} inpaint;

static const unsigned char *mask_of(const inpaint *s, size_t channel)
{
    return s->known + (s->mask_channels == 1 ? 0 : channel) * s->h * s->w;
}

static void select_known(const pjd_operator *op, const float *from, float *to, float *work)
{
    const inpaint *s = op->priv;
    size_t plane = s->h * s->w;

    for (size_t c = 0; c < s->c; c++) {
        const unsigned char *m = mask_of(s, c);
        const float *a = from + c * plane;
        float *b = to + c * plane;

#pragma omp parallel for schedule(static) if (plane > PJD_OP_PARALLEL)
        for (size_t i = 0; i < plane; i++)
            b[i] = m[i] ? a[i] : 0.0f;
    }
}

/* Known pixels become x + weight (scale y - x); without a branch, which would be mispredicted wherever a mask is random. */
static void blend(const pjd_operator *op, float *x, const float *y, float scale, float weight)
{
    const inpaint *s = op->priv;
    size_t plane = s->h * s->w;

    for (size_t c = 0; c < s->c; c++) {
        const unsigned char *m = mask_of(s, c);
        const float *b = y + c * plane;
        float *a = x + c * plane;

#pragma omp parallel for schedule(static) if (plane > PJD_OP_PARALLEL)
        for (size_t i = 0; i < plane; i++) {
            float v = scale * b[i];

            v = weight == 1.0f ? v : a[i] + weight * (v - a[i]);
            a[i] = m[i] ? v : a[i];
        }
    }
}

static void project(const pjd_operator *op, float *x, const float *y, double alpha, float *work)
{
    blend(op, x, y, (float)sqrt(alpha), 1.0f);
}

static void prox(const pjd_operator *op, float *x, const float *y, double lambda, float *work)
{
    blend(op, x, y, 1.0f, (float)(1.0 / (1.0 + lambda)));
}

static void gram_solve(const pjd_operator *op, float *r, double lambda, float *work)
{
    const inpaint *s = op->priv;
    float weight = (float)(1.0 / (1.0 + lambda));
    size_t plane = s->h * s->w;

    for (size_t c = 0; c < s->c; c++) {
        const unsigned char *m = mask_of(s, c);

        for (size_t i = 0; i < plane; i++)
            r[c * plane + i] = m[i] ? weight * r[c * plane + i] : 0.0f;
    }
}

/* ---- the guess: push-pull (Gortler et al., "The Lumigraph", 1996), one pyramid a channel ---- */

typedef struct level {
    size_t h, w;
    float *value, *weight;
} level;

/* Means of 2 x 2 known values; a weight of 1 says that enough was known. */
static void pull(const level *fine, const level *coarse)
{
#pragma omp parallel for schedule(static) if (fine->h * fine->w > PJD_OP_PARALLEL)
    for (size_t i = 0; i < coarse->h; i++)
        for (size_t j = 0; j < coarse->w; j++) {
            float sum = 0.0f, weight = 0.0f;

            for (size_t a = 2 * i; a < 2 * i + 2 && a < fine->h; a++)
                for (size_t b = 2 * j; b < 2 * j + 2 && b < fine->w; b++) {
                    float k = fine->weight[a * fine->w + b];

                    /* A value without weight may be anything, even NaN. */
                    sum += k > 0.0f ? k * fine->value[a * fine->w + b] : 0.0f;
                    weight += k;
                }
            coarse->value[i * coarse->w + j] = weight > 0.0f ? sum / weight : 0.0f;
            coarse->weight[i * coarse->w + j] = weight < 1.0f ? weight : 1.0f;
        }
}

/* Fill what the fine level does not know by bilinear interpolation from the coarse one. */
static void push(const level *coarse, const level *fine)
{
#pragma omp parallel for schedule(static) if (fine->h * fine->w > PJD_OP_PARALLEL)
    for (size_t i = 0; i < fine->h; i++) {
        size_t i0 = i / 2, i1 = i % 2 ? (i0 + 1 < coarse->h ? i0 + 1 : i0) : (i0 ? i0 - 1 : i0);
        const float *near = coarse->value + i0 * coarse->w, *far = coarse->value + i1 * coarse->w;

        for (size_t j = 0; j < fine->w; j++) {
            size_t j0 = j / 2, j1 = j % 2 ? (j0 + 1 < coarse->w ? j0 + 1 : j0) : (j0 ? j0 - 1 : j0);
            float k = fine->weight[i * fine->w + j], *v = fine->value + i * fine->w + j;
            float s = 0.75f * (0.75f * near[j0] + 0.25f * near[j1]) + 0.25f * (0.75f * far[j0] + 0.25f * far[j1]);

            *v = k >= 1.0f ? *v : k > 0.0f ? k * *v + (1.0f - k) * s : s;
        }
    }
}

/* Floats of all levels' values and weights but the finest values, which live in x. */
static size_t pyramid_floats(size_t h, size_t w)
{
    size_t n = pjd_op_pad(h * w);

    while (h > 1 || w > 1) {
        h = (h + 1) / 2;
        w = (w + 1) / 2;
        n += 2 * pjd_op_pad(h * w);
    }
    return n;
}

static void fill(size_t h, size_t w, float *value, const unsigned char *known, float *work)
{
    level levels[MAX_LEVELS];
    size_t n = 1;

    levels[0] = (level){h, w, value, work};
    work += pjd_op_pad(h * w);
    for (size_t i = 0; i < h * w; i++)
        levels[0].weight[i] = known[i] ? 1.0f : 0.0f;
    for (; levels[n - 1].h > 1 || levels[n - 1].w > 1; n++) {
        size_t nh = (levels[n - 1].h + 1) / 2, nw = (levels[n - 1].w + 1) / 2;

        levels[n] = (level){nh, nw, work, work + pjd_op_pad(nh * nw)};
        work += 2 * pjd_op_pad(nh * nw);
        pull(&levels[n - 1], &levels[n]);
    }
    while (--n > 0)
        push(&levels[n], &levels[n - 1]);
}

static void guess(const pjd_operator *op, const float *y, float *x, float *work)
{
    const inpaint *s = op->priv;
    size_t plane = s->h * s->w;

    select_known(op, y, x, work);
    for (size_t c = 0; c < s->c; c++)
        fill(s->h, s->w, x + c * plane, mask_of(s, c), work);
}

/* ---- creation ---- */

static void destroy(pjd_operator *op)
{
    inpaint *s = op->priv;

    if (s)
        pjd_free(s->known);
    pjd_free(s);
}

static pjd_status check_mask(const pjd_array *mask, const pjd_shape *x, size_t *channels, pjd_error *err)
{
    const pjd_shape *m = &mask->shape;
    char a[128], b[128];
    size_t lead = m->rank == 3 ? m->dim[0] : 1;

    if (!(m->rank == 2 || m->rank == 3) || !(lead == 1 || lead == x->dim[0]) || m->dim[m->rank - 2] != x->dim[1] ||
        m->dim[m->rank - 1] != x->dim[2])
        return pjd_error_set(err, PJD_ERR_SHAPE,
                             "inpaint: a picture of %s (channels x height x width) needs a mask of its size, "
                             "found %s",
                             pjd_shape_text(x, a, sizeof a), pjd_shape_text(m, b, sizeof b));
    *channels = lead;
    return PJD_OK;
}

static pjd_status copy_mask(inpaint *s, const float *mask, pjd_error *err)
{
    size_t n = s->mask_channels * s->h * s->w, known = 0;

    s->known = pjd_alloc(n, 1);
    if (!s->known)
        return pjd_error_nomem(err, "inpaint", n);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(mask[i]))
            return pjd_error_set(err, PJD_ERR_ARG, "inpaint: entry %zu of the mask is not a finite number", i);
        s->known[i] = mask[i] > 0.5f;
        known += s->known[i];
    }
    if (known == 0)
        return pjd_error_set(err, PJD_ERR_ARG, "inpaint: the mask leaves no pixel known (is it inverted?)");
    return PJD_OK;
}

static pjd_status create(const void *params, const bool *present, bool part, const pjd_shape *x, const pjd_shape *y,
                         pjd_operator **out, pjd_error *err)
{
    static const pjd_op_vtbl table = {.apply = select_known,
                                      .adjoint = select_known,
                                      .gram_solve = gram_solve,
                                      .project = project,
                                      .prox = prox,
                                      .guess = guess,
                                      .destroy = destroy};
    const inpaint_params *p = params;
    const pjd_shape *shape = x ? x : y;
    pjd_operator *op = NULL;
    size_t channels = 0;
    inpaint *s;
    pjd_status st = pjd_op_require_chw("inpaint", shape, err);

    *out = NULL;
    if (st == PJD_OK && x)
        st = pjd_op_require_equal("inpaint", "measurement", x, y, err);
    if (st == PJD_OK)
        st = check_mask(p->mask, shape, &channels, err);
    if (st == PJD_OK)
        st = pjd_op_new("inpaint", &table, shape, shape, true, &op, err);
    if (st != PJD_OK)
        return st;
    s = pjd_alloc(1, sizeof *s);
    op->priv = s;
    if (!s) {
        st = pjd_error_nomem(err, "inpaint", sizeof *s);
        goto fail;
    }
    *s = (inpaint){shape->dim[0], shape->dim[1], shape->dim[2], channels, NULL};
    st = copy_mask(s, p->mask->data, err);
    if (st != PJD_OK)
        goto fail;
    op->kind = PJD_OP_SELECT;
    op->work = pyramid_floats(s->h, s->w);
    *out = op;
    return PJD_OK;
fail:
    pjd_operator_unref(op);
    return st;
}

static const pjd_param table_of_params[] = {
    {.name = "mask",
     .type = PJD_PARAM_ARRAY,
     .unit = "",
     .help = "what is missing: a picture, white (above half) is missing (the library's array: above half is known)",
     .offset = offsetof(inpaint_params, mask)},
};

const pjd_op_class pjd_op_inpaint = {
    .entry = {"inpaint", "fill missing pixels", table_of_params, PJD_COUNTOF(table_of_params), false},
    .params_size = sizeof(inpaint_params),
    .create = create,
};
