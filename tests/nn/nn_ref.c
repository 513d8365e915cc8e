/* SPDX-License-Identifier: MIT */
#include "nn_ref.h"

ref ref_make(size_t n, size_t c, size_t h, size_t w)
{
    ref r = {n, c, h, w, calloc(n * c * h * w + 1, sizeof(double))};

    assert_non_null(r.v);
    return r;
}

ref ref_from(const float *x, size_t n, size_t c, size_t h, size_t w)
{
    ref r = ref_make(n, c, h, w);

    for (size_t i = 0; i < n * c * h * w; i++)
        r.v[i] = (double)x[i];
    return r;
}

void ref_free(ref *x)
{
    free(x->v);
    *x = (ref){0};
}

static double *at(const ref *r, size_t n, size_t c, size_t y, size_t x)
{
    return r->v + ((n * r->c + c) * r->h + y) * r->w + x;
}

#define EACH(r)                                                                                                        \
    for (size_t n = 0; n < (r).n; n++)                                                                                 \
        for (size_t c = 0; c < (r).c; c++)                                                                             \
            for (size_t y = 0; y < (r).h; y++)                                                                         \
                for (size_t x = 0; x < (r).w; x++)

ref ref_up(const ref *a)
{
    ref r = ref_make(a->n, a->c, 2 * a->h, 2 * a->w);

    EACH(r)
    *at(&r, n, c, y, x) = *at(a, n, c, y / 2, x / 2);
    return r;
}

ref ref_conv(const ref *in, const pjd_nn_conv *p, const ref *residual)
{
    ref a = p->upsample2 ? ref_up(in) : *in;
    long sh = a.h == 1 ? 1 : (long)p->stride, sw = (long)p->stride, h = (long)a.h, w = (long)a.w;
    ref r = ref_make(a.n, p->out, (size_t)((h + (long)(p->pad_top + p->pad_bottom) - (long)p->kh) / sh + 1),
                     (size_t)((w + (long)(p->pad_left + p->pad_right) - (long)p->kw) / sw + 1));

    EACH(r)
    {
        double s = p->bias ? (double)p->bias[c] : 0;

        for (size_t k = 0; k < a.c; k++)
            for (long i = 0; i < (long)p->kh; i++)
                for (long j = 0; j < (long)p->kw; j++) {
                    long iy = (long)y * sh + i - (long)p->pad_top, ix = (long)x * sw + j - (long)p->pad_left;

                    if (iy >= 0 && iy < h && ix >= 0 && ix < w)
                        s += (double)p->weight[((c * a.c + k) * p->kh + (size_t)i) * p->kw + (size_t)j] *
                             *at(&a, n, k, (size_t)iy, (size_t)ix);
                }
        *at(&r, n, c, y, x) = s + (residual ? *at(residual, n, c, y, x) : 0);
    }
    if (p->upsample2)
        ref_free(&a);
    return r;
}

double ref_act1(double x, pjd_act act)
{
    return act == PJD_ACT_SILU ? x / (1 + exp(-x)) : act == PJD_ACT_GELU ? 0.5 * x * (1 + erf(x / sqrt(2))) : x;
}

ref ref_act(const ref *a, pjd_act act)
{
    ref r = ref_make(a->n, a->c, a->h, a->w);

    EACH(r)
    *at(&r, n, c, y, x) = ref_act1(*at(a, n, c, y, x), act);
    return r;
}

ref ref_linear(const ref *x, const float *weight, const float *bias, size_t out, pjd_act pre, pjd_act post)
{
    pjd_nn_conv p = {.weight = weight, .bias = bias, .out = out, .kh = 1, .kw = 1, .stride = 1};
    ref a = ref_act(x, pre), b = ref_conv(&a, &p, NULL), c = ref_act(&b, post);

    ref_free(&a);
    ref_free(&b);
    return c;
}

ref ref_norm(const ref *a, size_t groups, double eps, const float *gamma, const float *beta, const ref *modulation,
             pjd_act act)
{
    ref r = ref_make(a->n, a->c, a->h, a->w);
    size_t per = a->c / groups, count = per * a->h * a->w;

    EACH(r)
    {
        const double *group = at(a, n, c / per * per, 0, 0);
        double mean = 0, var = 0, v;

        if (y == 0 && x == 0) {
            for (size_t i = 0; i < count; i++)
                mean += group[i] / (double)count;
            for (size_t i = 0; i < count; i++)
                var += (group[i] - mean) * (group[i] - mean) / (double)count;
            for (size_t i = 0; i < a->h * a->w; i++) {
                v = (at(a, n, c, 0, 0)[i] - mean) / sqrt(var + eps) * (double)gamma[c] + (double)beta[c];
                if (modulation)
                    v = v * (1 + modulation->v[n * 2 * a->c + c]) + modulation->v[n * 2 * a->c + a->c + c];
                at(&r, n, c, 0, 0)[i] = ref_act1(v, act);
            }
        }
    }
    return r;
}

ref ref_concat(const ref *a, const ref *b)
{
    ref r = ref_make(a->n, a->c + b->c, a->h, a->w);

    EACH(r)
    *at(&r, n, c, y, x) = c < a->c ? *at(a, n, c, y, x) : *at(b, n, c - a->c, y, x);
    return r;
}

ref ref_add(const ref *a, const ref *b)
{
    ref r = ref_make(a->n, a->c, a->h, a->w);
    bool broadcast = b->h * b->w != a->h * a->w;

    EACH(r)
    *at(&r, n, c, y, x) = *at(a, n, c, y, x) + *at(b, n, c, broadcast ? 0 : y, broadcast ? 0 : x);
    return r;
}

ref ref_scale(const ref *a, double factor)
{
    ref r = ref_make(a->n, a->c, a->h, a->w);

    EACH(r)
    *at(&r, n, c, y, x) = *at(a, n, c, y, x) * (double)(float)factor;
    return r;
}

ref ref_pool(const ref *a)
{
    ref r = ref_make(a->n, a->c, a->h / 2, a->w / 2);

    EACH(r)
    *at(&r, n, c, y, x) = (*at(a, n, c, 2 * y, 2 * x) + *at(a, n, c, 2 * y, 2 * x + 1) +
                           *at(a, n, c, 2 * y + 1, 2 * x) + *at(a, n, c, 2 * y + 1, 2 * x + 1)) /
                          4;
    return r;
}

ref ref_attn(const ref *q, const ref *k, const ref *v, const pjd_nn_attn *p)
{
    ref r = ref_make(q->n, p->heads * p->head_dim, q->h, q->w);
    size_t nq = q->h * q->w, nk = k->h * k->w;
    double *score = malloc(nk * sizeof *score);

    for (size_t n = 0; n < q->n; n++)
        for (size_t head = 0; head < p->heads; head++)
            for (size_t i = 0; i < nq; i++) {
                double max = -INFINITY, sum = 0;

                for (size_t j = 0; j < nk; j++) {
                    score[j] = 0;
                    for (size_t d = head * p->head_dim; d < (head + 1) * p->head_dim; d++)
                        score[j] += at(q, n, p->q_offset + d, 0, 0)[i] * at(k, n, p->k_offset + d, 0, 0)[j] * p->scale;
                    max = fmax(max, score[j]);
                }
                for (size_t j = 0; j < nk; j++)
                    sum += score[j] = exp(score[j] - max);
                for (size_t d = head * p->head_dim; d < (head + 1) * p->head_dim; d++)
                    for (size_t j = 0; j < nk; j++)
                        at(&r, n, d, 0, 0)[i] += score[j] / sum * at(v, n, p->v_offset + d, 0, 0)[j];
            }
    free(score);
    return r;
}

double ref_error(const float *x, const ref *want)
{
    double d = 0, s = 0;

    for (size_t i = 0; i < want->n * want->c * want->h * want->w; i++) {
        d += ((double)x[i] - want->v[i]) * ((double)x[i] - want->v[i]);
        s += want->v[i] * want->v[i];
    }
    return sqrt(s > 0 ? d / s : d);
}

float *random_floats(size_t n, double scale, uint64_t seed)
{
    float *x = malloc((n + 1) * sizeof *x);

    assert_non_null(x);
    test_random(x, n, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] * scale);
    return x;
}
