/* SPDX-License-Identifier: MIT */
/* Recording layers: shapes are checked here, so that a plan's layers never have to. */
#include <math.h>
#include <string.h>

#include "nn/internal.h"

/* Bounds that keep every product of sizes far below SIZE_MAX. */
#define DIM_MAX ((size_t)1 << 24)
#define ELEMENTS_MAX ((size_t)1 << 40)
#define RECORDS_MAX 10000

pjd_status pjd_nn_builder_create(size_t batch, pjd_nn_builder **out, pjd_error *err)
{
    pjd_nn_builder *b;

    *out = NULL;
    if (batch == 0 || batch > DIM_MAX)
        return pjd_error_set(err, PJD_ERR_ARG, "network: expected a batch of 1 .. %zu, found %zu", DIM_MAX, batch);
    b = pjd_alloc_zero(1, sizeof *b);
    if (!b)
        return pjd_error_nomem(err, "network", sizeof *b);
    b->batch = batch;
    *out = b;
    return PJD_OK;
}

void pjd_nn_builder_sketch(pjd_nn_builder *b)
{
    b->sketch = true;
}

void pjd_nn_builder_free(pjd_nn_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->made_count; i++)
        pjd_free(b->made[i]);
    pjd_free(b->made);
    pjd_free(b->values);
    pjd_free(b->recs);
    pjd_free(b);
}

/* Keep the first error. */
#define FAIL(b, status, ...)                                                                                           \
    ((b)->error.code == PJD_OK ? (void)pjd_error_set(&(b)->error, (status), __VA_ARGS__) : (void)0, PJD_NN_NONE)

static bool grow(pjd_nn_builder *b, void **items, size_t *room, size_t count, size_t size)
{
    size_t want = *room ? *room * 2 : 64;
    void *p;

    if (count < *room)
        return true;
    p = pjd_realloc(*items, *room * size, want, size);
    if (!p) {
        if (b->error.code == PJD_OK)
            pjd_error_nomem(&b->error, "network", want * size);
        return false;
    }
    *items = p;
    *room = want;
    return true;
}

/* Append a layer and the value it makes. */
static pjd_nn_value append(pjd_nn_builder *b, const nn_rec *r, size_t h, size_t w, size_t c)
{
    size_t n;

    if (h == 0 || w == 0 || c == 0 || h > DIM_MAX || w > DIM_MAX || c > DIM_MAX || !pjd_mul(h, w, &n) ||
        !pjd_mul(n, c, &n) || !pjd_mul(n, b->batch, &n) || n > ELEMENTS_MAX)
        return FAIL(b, PJD_ERR_SHAPE, "network: layer %zu (%s) would make %zu x %zu x %zu x %zu values", b->rec_count,
                    pjd_nn_classes[r->op]->name, b->batch, h, w, c);
    if (b->rec_count >= RECORDS_MAX)
        return FAIL(b, PJD_ERR_ARG, "network: more than %d layers", RECORDS_MAX);
    if (!grow(b, (void **)&b->values, &b->value_room, b->value_count, sizeof *b->values) ||
        !grow(b, (void **)&b->recs, &b->rec_room, b->rec_count, sizeof *b->recs))
        return PJD_NN_NONE;
    b->values[b->value_count] = (nn_shape){h, w, c};
    b->recs[b->rec_count] = *r;
    b->recs[b->rec_count++].out = (pjd_nn_value)b->value_count;
    return (pjd_nn_value)b->value_count++;
}

static nn_rec record(nn_op op, pjd_nn_value x)
{
    return (nn_rec){.op = op, .in = {x, PJD_NN_NONE, PJD_NN_NONE, PJD_NN_NONE}, .out = PJD_NN_NONE};
}

/* The shape of operand v, or NULL with a sticky error. */
static const nn_shape *operand(pjd_nn_builder *b, nn_op op, pjd_nn_value v)
{
    if (b->error.code != PJD_OK)
        return NULL;
    if (v < 0 || (size_t)v >= b->value_count) {
        (void)FAIL(b, PJD_ERR_ARG, "network: layer %zu (%s) names no value (%d of %zu)", b->rec_count,
                   pjd_nn_classes[op]->name, v, b->value_count);
        return NULL;
    }
    return &b->values[v];
}

static bool act_known(pjd_act a)
{
    return a == PJD_ACT_NONE || a == PJD_ACT_SILU || a == PJD_ACT_GELU;
}

void pjd_nn_shape(const pjd_nn_builder *b, pjd_nn_value v, size_t *h, size_t *w, size_t *c)
{
    nn_shape s = {0, 0, 0};

    if (v >= 0 && (size_t)v < b->value_count)
        s = b->values[v];
    if (h)
        *h = s.h;
    if (w)
        *w = s.w;
    if (c)
        *c = s.c;
}

pjd_nn_value pjd_nn_input(pjd_nn_builder *b, size_t c, size_t h, size_t w)
{
    nn_rec r = record(NN_INPUT, PJD_NN_NONE);

    if (b->error.code != PJD_OK)
        return PJD_NN_NONE;
    if (b->has_input)
        return FAIL(b, PJD_ERR_ARG, "network: expected one input, found a second");
    b->has_input = true;
    return append(b, &r, h, w, c);
}

pjd_nn_value pjd_nn_time_embedding(pjd_nn_builder *b, size_t c, double shift, bool flip)
{
    nn_rec r = record(NN_TIME, PJD_NN_NONE);

    if (b->error.code != PJD_OK)
        return PJD_NN_NONE;
    if (!((double)(c / 2) - shift > 0))
        return FAIL(b, PJD_ERR_ARG, "time embedding: expected a width above %g, found %zu", 2 * shift, c);
    r.real = shift;
    r.flip = flip;
    return append(b, &r, 1, 1, c);
}

pjd_nn_value pjd_nn_class_embedding(pjd_nn_builder *b, const float *table, size_t classes, size_t c)
{
    nn_rec r = record(NN_CLASS, PJD_NN_NONE);

    if (b->error.code != PJD_OK)
        return PJD_NN_NONE;
    if (classes == 0 || classes > DIM_MAX || !table)
        return FAIL(b, PJD_ERR_ARG, "class embedding: expected a table of 1 .. %zu classes, found %zu", DIM_MAX,
                    classes);
    r.weight = table;
    r.groups = classes;
    return append(b, &r, 1, 1, c);
}

pjd_nn_value pjd_nn_class_linear(pjd_nn_builder *b, const float *weight, const float *bias, double factor,
                                 size_t classes, size_t c)
{
    pjd_nn_value v;

    if (!isfinite(factor) && b->error.code == PJD_OK)
        return FAIL(b, PJD_ERR_ARG, "class embedding: expected a finite factor, found %g", factor);
    v = pjd_nn_class_embedding(b, weight, classes, c);
    if (v != PJD_NN_NONE) {
        b->recs[b->rec_count - 1].bias = bias;
        b->recs[b->rec_count - 1].real = factor;
        b->recs[b->rec_count - 1].flip = true;
    }
    return v;
}

pjd_nn_value pjd_nn_fourier_embedding(pjd_nn_builder *b, const float *frequencies, size_t half, bool with_t)
{
    nn_rec r = record(NN_FOURIER, PJD_NN_NONE);

    if (b->error.code != PJD_OK)
        return PJD_NN_NONE;
    if (!frequencies || half == 0 || half > DIM_MAX / 4)
        return FAIL(b, PJD_ERR_ARG, "fourier embedding: expected 1 .. %zu frequencies, found %zu", DIM_MAX / 4, half);
    r.weight = frequencies;
    r.dim = half;
    r.flip = with_t;
    return append(b, &r, 1, 1, 2 * half + with_t);
}

/* Positions of a convolution along one axis; 0 when the kernel does not fit. */
static size_t conv_extent(size_t n, size_t before, size_t after, size_t k, size_t stride)
{
    size_t padded = n + before + after;

    return padded < k ? 0 : (padded - k) / stride + 1;
}

pjd_nn_value pjd_nn_conv2d(pjd_nn_builder *b, pjd_nn_value x, const pjd_nn_conv *p)
{
    const nn_shape *s = operand(b, NN_CONV, x), *rs;
    nn_rec r = record(NN_CONV, x);
    size_t up, h, w;

    if (!s)
        return PJD_NN_NONE;
    if (!p->weight || p->out == 0 || p->out > DIM_MAX || p->kh == 0 || p->kw == 0 || p->kh > 64 || p->kw > 64)
        return FAIL(b, PJD_ERR_ARG, "conv: expected weights for a kernel of 1 .. 64 and outputs, found %zu x %zu, %zu",
                    p->kh, p->kw, p->out);
    if (p->stride == 0 || p->stride > 64)
        return FAIL(b, PJD_ERR_ARG, "conv: expected a stride of 1 .. 64, found %zu", p->stride);
    if (p->pad_top > 64 || p->pad_bottom > 64 || p->pad_left > 64 || p->pad_right > 64)
        return FAIL(b, PJD_ERR_ARG, "conv: expected padding up to 64, found %zu %zu %zu %zu", p->pad_top, p->pad_bottom,
                    p->pad_left, p->pad_right);
    up = p->upsample2 ? 2 : 1;
    r.weight = p->weight;
    r.bias = p->bias;
    r.kh = p->kh;
    r.kw = p->kw;
    r.stride_w = p->stride;
    r.stride_h = s->h * up == 1 ? 1 : p->stride;
    r.pad_top = p->pad_top;
    r.pad_left = p->pad_left;
    r.up = p->upsample2;
    h = conv_extent(s->h * up, p->pad_top, p->pad_bottom, p->kh, r.stride_h);
    w = conv_extent(s->w * up, p->pad_left, p->pad_right, p->kw, r.stride_w);
    if (h == 0 || w == 0)
        return FAIL(b, PJD_ERR_SHAPE, "conv: kernel %zu x %zu does not fit into %zu x %zu with its padding", p->kh,
                    p->kw, s->h * up, s->w * up);
    if (p->residual != PJD_NN_NONE) {
        rs = operand(b, NN_CONV, p->residual);
        if (!rs)
            return PJD_NN_NONE;
        if (rs->h != h || rs->w != w || rs->c != p->out)
            return FAIL(b, PJD_ERR_SHAPE, "conv: expected a residual of %zu x %zu x %zu, found %zu x %zu x %zu", h, w,
                        p->out, rs->h, rs->w, rs->c);
        r.in[NN_RESIDUAL] = p->residual;
    }
    return append(b, &r, h, w, p->out);
}

pjd_nn_value pjd_nn_linear(pjd_nn_builder *b, pjd_nn_value x, const float *weight, const float *bias, size_t out,
                           pjd_act pre, pjd_act post)
{
    const nn_shape *s = operand(b, NN_CONV, x);
    nn_rec r = record(NN_CONV, x);
    nn_shape shape;

    if (!s)
        return PJD_NN_NONE;
    if (!weight || out == 0 || out > DIM_MAX || !act_known(pre) || !act_known(post))
        return FAIL(b, PJD_ERR_ARG, "linear: expected weights, outputs and known activations, found %zu outputs", out);
    shape = *s; /* the list moves when it grows */
    r.in[NN_X] = pre == PJD_ACT_NONE ? x : pjd_nn_activation(b, x, pre);
    r.weight = weight;
    r.bias = bias;
    r.kh = r.kw = r.stride_h = r.stride_w = 1;
    r.act = post;
    return r.in[NN_X] == PJD_NN_NONE ? PJD_NN_NONE : append(b, &r, shape.h, shape.w, out);
}

pjd_nn_value pjd_nn_group_norm(pjd_nn_builder *b, pjd_nn_value x, size_t groups, double eps, const float *gamma,
                               const float *beta, pjd_nn_value modulation, pjd_act act)
{
    const nn_shape *s = operand(b, NN_NORM, x), *m;
    nn_rec r = record(NN_NORM, x);

    if (!s)
        return PJD_NN_NONE;
    if (groups == 0 || s->c % groups != 0)
        return FAIL(b, PJD_ERR_SHAPE, "group norm: %zu groups do not divide %zu channels", groups, s->c);
    if (!(eps >= 0 && isfinite(eps)) || !act_known(act))
        return FAIL(b, PJD_ERR_ARG, "group norm: expected eps >= 0 and a known activation, found %g, %d", eps,
                    (int)act);
    if (modulation != PJD_NN_NONE) {
        m = operand(b, NN_NORM, modulation);
        if (!m)
            return PJD_NN_NONE;
        if (m->h != 1 || m->w != 1 || m->c != 2 * s->c)
            return FAIL(b, PJD_ERR_SHAPE, "group norm: expected a modulation of 1 x 1 x %zu, found %zu x %zu x %zu",
                        2 * s->c, m->h, m->w, m->c);
        r.in[NN_MODULATION] = modulation;
    }
    r.groups = groups;
    r.real = eps;
    r.weight = gamma;
    r.bias = beta;
    r.act = act;
    return append(b, &r, s->h, s->w, s->c);
}

pjd_nn_value pjd_nn_rms_norm(pjd_nn_builder *b, pjd_nn_value x, const float *gamma, pjd_nn_value modulation,
                             pjd_act act)
{
    const nn_shape *s = operand(b, NN_RMS, x), *m;
    nn_rec r = record(NN_RMS, x);

    if (!s)
        return PJD_NN_NONE;
    if (!gamma || !act_known(act))
        return FAIL(b, PJD_ERR_ARG, "rms norm: expected weights and a known activation, found %d", (int)act);
    if (modulation != PJD_NN_NONE) {
        m = operand(b, NN_RMS, modulation);
        if (!m)
            return PJD_NN_NONE;
        if (m->h != 1 || m->w != 1 || m->c != 2 * s->c)
            return FAIL(b, PJD_ERR_SHAPE, "rms norm: expected a modulation of 1 x 1 x %zu, found %zu x %zu x %zu",
                        2 * s->c, m->h, m->w, m->c);
        r.in[NN_MODULATION] = modulation;
    }
    r.weight = gamma;
    r.act = act;
    return append(b, &r, s->h, s->w, s->c);
}

pjd_nn_value pjd_nn_fir(pjd_nn_builder *b, pjd_nn_value x, const float *filter, size_t n, size_t pad, bool up)
{
    const nn_shape *s = operand(b, NN_FIR, x);
    nn_rec r = record(NN_FIR, x);
    size_t h, w;

    if (!s)
        return PJD_NN_NONE;
    if (!filter || n < 2 || n > 16 || n % 2 != 0 || pad >= n || (up && pad != n / 2 - 1))
        return FAIL(b, PJD_ERR_ARG, "fir: expected a filter of 2, 4 .. 16 taps, found %zu with padding %zu", n, pad);
    h = up ? 2 * s->h : conv_extent(s->h, pad, pad, n, 2);
    w = up ? 2 * s->w : conv_extent(s->w, pad, pad, n, 2);
    if (h == 0 || w == 0)
        return FAIL(b, PJD_ERR_SHAPE, "fir: a filter of %zu does not fit into %zu x %zu with its padding", n, s->h,
                    s->w);
    r.weight = filter;
    r.dim = n;
    r.pad_top = r.pad_left = pad;
    r.up = up;
    return append(b, &r, h, w, s->c);
}

pjd_nn_value pjd_nn_concat(pjd_nn_builder *b, pjd_nn_value a, pjd_nn_value b2)
{
    const nn_shape *s = operand(b, NN_CONCAT, a), *s2 = operand(b, NN_CONCAT, b2);
    nn_rec r = record(NN_CONCAT, a);

    if (!s || !s2)
        return PJD_NN_NONE;
    if (s->h != s2->h || s->w != s2->w)
        return FAIL(b, PJD_ERR_SHAPE, "concat: expected the same size, found %zu x %zu and %zu x %zu", s->h, s->w,
                    s2->h, s2->w);
    r.in[NN_B] = b2;
    return append(b, &r, s->h, s->w, s->c + s2->c);
}

pjd_nn_value pjd_nn_add(pjd_nn_builder *b, pjd_nn_value a, pjd_nn_value b2)
{
    const nn_shape *s = operand(b, NN_ADD, a), *s2 = operand(b, NN_ADD, b2);
    nn_rec r = record(NN_ADD, a);

    if (!s || !s2)
        return PJD_NN_NONE;
    if (s->c != s2->c || !((s->h == s2->h && s->w == s2->w) || (s2->h == 1 && s2->w == 1)))
        return FAIL(b, PJD_ERR_SHAPE, "add: expected %zu x %zu x %zu or 1 x 1 x %zu, found %zu x %zu x %zu", s->h, s->w,
                    s->c, s->c, s2->h, s2->w, s2->c);
    r.in[NN_B] = b2;
    return append(b, &r, s->h, s->w, s->c);
}

pjd_nn_value pjd_nn_scale(pjd_nn_builder *b, pjd_nn_value a, double factor)
{
    const nn_shape *s = operand(b, NN_SCALE, a);
    nn_rec r = record(NN_SCALE, a);

    if (!s)
        return PJD_NN_NONE;
    if (!isfinite(factor))
        return FAIL(b, PJD_ERR_ARG, "scale: expected a finite factor, found %g", factor);
    r.real = factor;
    return append(b, &r, s->h, s->w, s->c);
}

pjd_nn_value pjd_nn_avgpool2(pjd_nn_builder *b, pjd_nn_value x)
{
    const nn_shape *s = operand(b, NN_POOL, x);
    nn_rec r = record(NN_POOL, x);

    if (!s)
        return PJD_NN_NONE;
    if (s->h < 2 || s->w < 2)
        return FAIL(b, PJD_ERR_SHAPE, "avgpool2: expected at least 2 x 2, found %zu x %zu", s->h, s->w);
    return append(b, &r, s->h / 2, s->w / 2, s->c);
}

pjd_nn_value pjd_nn_upsample2(pjd_nn_builder *b, pjd_nn_value x)
{
    const nn_shape *s = operand(b, NN_UP, x);
    nn_rec r = record(NN_UP, x);

    return s ? append(b, &r, s->h * 2, s->w * 2, s->c) : PJD_NN_NONE;
}

pjd_nn_value pjd_nn_activation(pjd_nn_builder *b, pjd_nn_value x, pjd_act act)
{
    const nn_shape *s = operand(b, NN_ACT, x);
    nn_rec r = record(NN_ACT, x);

    if (!s)
        return PJD_NN_NONE;
    if (!act_known(act))
        return FAIL(b, PJD_ERR_ARG, "activation: unknown kind %d", (int)act);
    if (act == PJD_ACT_NONE)
        return x;
    /* The same activation of one embedding feeds every residual block: compute it once. */
    for (size_t i = 0; i < b->rec_count; i++)
        if (b->recs[i].op == NN_ACT && b->recs[i].in[NN_X] == x && b->recs[i].act == act)
            return b->recs[i].out;
    r.act = act;
    return append(b, &r, s->h, s->w, s->c);
}

pjd_nn_value pjd_nn_memory(pjd_nn_builder *b, pjd_nn_value x, const float *memory, size_t n, size_t heads, size_t dim,
                           bool last)
{
    const nn_shape *s = operand(b, NN_MEMORY, x);
    nn_rec r = record(NN_MEMORY, x);

    if (!s)
        return PJD_NN_NONE;
    if (!memory || n == 0 || n > DIM_MAX || heads == 0 || dim == 0 || heads > DIM_MAX || dim > DIM_MAX)
        return FAIL(b, PJD_ERR_ARG, "memory: expected positions, heads and a head width, found %zu, %zu, %zu", n, heads,
                    dim);
    if (s->c != 3 * heads * dim)
        return FAIL(b, PJD_ERR_SHAPE, "memory: expected 3 x %zu channels, found %zu", heads * dim, s->c);
    r.weight = memory;
    r.groups = n;
    r.dim = dim;
    r.flip = last;
    return append(b, &r, 1, n + s->h * s->w, 2 * heads * dim);
}

static pjd_nn_value attention(pjd_nn_builder *b, nn_op op, const pjd_nn_attn *p)
{
    const nn_shape *q = operand(b, op, p->q), *k = operand(b, op, p->k), *v = operand(b, op, p->v);
    nn_rec r = record(op, p->q);
    size_t c;

    if (!q || !k || !v)
        return PJD_NN_NONE;
    if (p->heads == 0 || p->head_dim == 0 || p->heads > DIM_MAX || p->head_dim > DIM_MAX || !isfinite(p->scale))
        return FAIL(b, PJD_ERR_ARG, "attention: expected heads, a head width and a finite scale, found %zu, %zu, %g",
                    p->heads, p->head_dim, p->scale);
    c = p->heads * p->head_dim;
    if (p->q_offset > q->c || c > q->c - p->q_offset || p->k_offset > k->c || c > k->c - p->k_offset ||
        p->v_offset > v->c || c > v->c - p->v_offset)
        return FAIL(b, PJD_ERR_SHAPE, "attention: %zu channels from %zu, %zu, %zu do not fit into %zu, %zu, %zu", c,
                    p->q_offset, p->k_offset, p->v_offset, q->c, k->c, v->c);
    if (pjd_nn_positions(k) != pjd_nn_positions(v))
        return FAIL(b, PJD_ERR_SHAPE, "attention: expected as many keys as values, found %zu and %zu",
                    pjd_nn_positions(k), pjd_nn_positions(v));
    r.in[NN_K] = p->k;
    r.in[NN_V] = p->v;
    r.offset[NN_Q] = p->q_offset;
    r.offset[NN_K] = p->k_offset;
    r.offset[NN_V] = p->v_offset;
    r.groups = p->heads;
    r.dim = p->head_dim;
    r.real = p->scale;
    return append(b, &r, q->h, q->w, c);
}

pjd_nn_value pjd_nn_attention(pjd_nn_builder *b, const pjd_nn_attn *p)
{
    return attention(b, NN_ATTN, p);
}

pjd_nn_value pjd_nn_linear_attention(pjd_nn_builder *b, const pjd_nn_attn *p)
{
    return attention(b, NN_LINATTN, p);
}

/* ---- one-dimensional networks ---- */

pjd_nn_value pjd_nn_layer_norm(pjd_nn_builder *b, pjd_nn_value x, double eps, const float *gain)
{
    const nn_shape *s = operand(b, NN_LAYER, x);
    nn_rec r = record(NN_LAYER, x);

    if (!s)
        return PJD_NN_NONE;
    if (!gain || !(eps >= 0 && isfinite(eps)))
        return FAIL(b, PJD_ERR_ARG, "layer norm: expected a gain and eps >= 0, found %g", eps);
    r.weight = gain;
    r.real = eps;
    return append(b, &r, s->h, s->w, s->c);
}

static pjd_nn_value line(pjd_nn_builder *b, nn_op op, pjd_nn_value x, size_t factor, size_t way)
{
    const nn_shape *s = operand(b, op, x);
    nn_rec r = record(op, x);
    bool fold = way == NN_LINE_FOLD, repeat = way == NN_LINE_REPEAT;

    if (!s)
        return PJD_NN_NONE;
    if (s->h != 1 || factor == 0 || factor > 4096 || (fold && s->w % factor) || (!fold && !repeat && s->c % factor))
        return FAIL(b, PJD_ERR_SHAPE, "line: a factor of %zu does not go into %zu x %zu positions of %zu channels",
                    factor, s->h, s->w, s->c);
    r.groups = way;
    r.dim = factor;
    if (fold)
        return append(b, &r, 1, s->w / factor, s->c * factor);
    return append(b, &r, 1, s->w * factor, repeat ? s->c : s->c / factor);
}

pjd_nn_value pjd_nn_fold(pjd_nn_builder *b, pjd_nn_value x, size_t factor)
{
    return line(b, NN_LINE, x, factor, NN_LINE_FOLD);
}

pjd_nn_value pjd_nn_unfold(pjd_nn_builder *b, pjd_nn_value x, size_t factor)
{
    return line(b, NN_LINE, x, factor, NN_LINE_UNFOLD);
}

pjd_nn_value pjd_nn_repeat(pjd_nn_builder *b, pjd_nn_value x, size_t factor)
{
    return line(b, NN_LINE, x, factor, NN_LINE_REPEAT);
}

/* Room for rearranged weights; NULL with a sticky error. */
static float *make_weights(pjd_nn_builder *b, size_t n)
{
    float **made = pjd_realloc(b->made, b->made_count * sizeof *made, b->made_count + 1, sizeof *made);

    if (made) {
        b->made = made;
        made[b->made_count] = pjd_alloc(n, sizeof **made);
        if (made[b->made_count])
            return made[b->made_count++];
    }
    if (b->error.code == PJD_OK)
        pjd_error_nomem(&b->error, "network", n * sizeof(float));
    return NULL;
}

/*
 * Output position f j + r is x[j + q] W[.., s] + x[j + q - 1] W[.., s + f] with q, s = quotient and remainder of (r + pad) by
 * f: the phases r of one q are the channels of one convolution with two taps, and no zero is ever multiplied.
 */
static pjd_nn_value phases(pjd_nn_builder *b, pjd_nn_value x, const float *weight, const float *bias, size_t in,
                           size_t out, size_t f, size_t q, size_t first, size_t count)
{
    float *w = b->sketch ? NULL : make_weights(b, count * out * (2 * in + 1)),
          *bv = w ? w + 2 * count * out * in : NULL;
    size_t pad = f / 2 + f % 2;
    pjd_nn_conv p = {.weight = b->sketch ? weight : w,
                     .bias = bv,
                     .out = count * out,
                     .kh = 1,
                     .kw = 2,
                     .stride = 1,
                     .pad_left = 1 - q,
                     .pad_right = q,
                     .residual = PJD_NN_NONE};

    if (b->sketch)
        return pjd_nn_conv2d(b, x, &p);
    if (!w)
        return PJD_NN_NONE;
    for (size_t i = 0; i < count; i++) {
        size_t s = (first + i + pad) % f;

        for (size_t o = 0; o < out; o++) {
            bv[i * out + o] = bias ? bias[o] : 0;
            for (size_t k = 0; k < in; k++) {
                const float *from = weight + (k * out + o) * 2 * f;
                float *to = w + ((i * out + o) * in + k) * 2;

                to[0] = from[s + f];
                to[1] = from[s];
            }
        }
    }
    return pjd_nn_conv2d(b, x, &p);
}

pjd_nn_value pjd_nn_conv_transpose1d(pjd_nn_builder *b, pjd_nn_value x, const float *weight, const float *bias,
                                     size_t out, size_t factor)
{
    const nn_shape *s = operand(b, NN_CONV, x);
    size_t early, in, total;
    pjd_nn_value a, late;

    if (!s)
        return PJD_NN_NONE;
    if (!weight || s->h != 1 || factor < 2 || factor > 64 || out == 0 || out > DIM_MAX || !pjd_mul(out, s->c, &total) ||
        total > ELEMENTS_MAX / (2 * factor))
        return FAIL(b, PJD_ERR_ARG,
                    "transposed conv: expected one line and a factor of 2 .. 64, found %zu lines, factor %zu", s->h,
                    factor);
    in = s->c;
    early = factor - (factor / 2 + factor % 2); /* phases with q = 0 */
    a = phases(b, x, weight, bias, in, out, factor, 0, 0, early);
    late = phases(b, x, weight, bias, in, out, factor, 1, early, factor - early);
    if (a == PJD_NN_NONE || late == PJD_NN_NONE)
        return PJD_NN_NONE;
    return line(b, NN_SPREAD, pjd_nn_concat(b, a, late), factor, NN_LINE_UNFOLD);
}
