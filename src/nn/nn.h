/* SPDX-License-Identifier: MIT */
/*
 * Networks as plans. A builder records layers on values (activations of a known shape); pjd_nn_plan_create turns the
 * record into a plan: shapes checked, weights packed, one arena with buffers reused by liveness. Running allocates nothing.
 *
 * Activations are float32 NHWC ([batch, h, w, c]); audio is h = 1. Conditioning vectors are [batch, c] (h = w = 1).
 * Weights are passed as float32 in PyTorch's layout and are copied (packed) at plan creation: they need to live only until
 * pjd_nn_plan_create returns. Several plans of one network each hold their packed copy.
 *
 * Errors while recording stick to the builder: later calls return PJD_NN_NONE and pjd_nn_plan_create reports the first.
 */
#ifndef PJD_NN_NN_H
#define PJD_NN_NN_H

#include "core/core.h"
#include "projdiff/model.h"

typedef struct pjd_nn_builder pjd_nn_builder;
typedef struct pjd_nn_plan pjd_nn_plan;
typedef int pjd_nn_value;
#define PJD_NN_NONE (-1)

typedef enum pjd_act { PJD_ACT_NONE = 0, PJD_ACT_SILU, PJD_ACT_GELU } pjd_act;

pjd_status pjd_nn_builder_create(size_t batch, pjd_nn_builder **out, pjd_error *err);
/* Weights are not read while recording: any pointers will do. For pjd_nn_plan_bytes and pjd_nn_plan_estimate only. */
void pjd_nn_builder_sketch(pjd_nn_builder *b);
void pjd_nn_builder_free(pjd_nn_builder *b);

/* Shape of a value: [h, w, c]. */
void pjd_nn_shape(const pjd_nn_builder *b, pjd_nn_value v, size_t *h, size_t *w, size_t *c);

/* The network's input picture [batch, c, h, w] (NCHW at the border of the plan). Exactly one. */
pjd_nn_value pjd_nn_input(pjd_nn_builder *b, size_t c, size_t h, size_t w);

/* Sinusoidal embedding of the run's t (per batch item), width c: f_k = exp(-ln(10000) k / (c/2 - shift)),
   float32 arguments; sin then cos, or cos then sin when flip; a trailing 0 when c is odd. */
pjd_nn_value pjd_nn_time_embedding(pjd_nn_builder *b, size_t c, double shift, bool flip);
/* Row of table [classes, c] picked by the run's class labels. */
pjd_nn_value pjd_nn_class_embedding(pjd_nn_builder *b, const float *table, size_t classes, size_t c);

/* The same from a linear layer's weight [c, classes] and bias (or NULL): factor W[:, label] + bias. */
pjd_nn_value pjd_nn_class_linear(pjd_nn_builder *b, const float *weight, const float *bias, double factor,
                                 size_t classes, size_t c);
/* sin then cos of 2 pi f_k t for `half` frequencies (copied at plan creation), t itself before them when with_t. */
pjd_nn_value pjd_nn_fourier_embedding(pjd_nn_builder *b, const float *frequencies, size_t half, bool with_t);

typedef struct pjd_nn_conv {
    const float *weight; /* [out, in, kh, kw] */
    const float *bias;   /* [out] or NULL */
    size_t out, kh, kw;
    size_t stride;                                   /* 1 .. 64: both directions (with h = 1: along w only) */
    size_t pad_top, pad_bottom, pad_left, pad_right; /* zeros */
    bool upsample2;                                  /* nearest x2 of the input first (folded into the convolution) */
    pjd_nn_value residual;                           /* added to the result (same shape), or PJD_NN_NONE */
} pjd_nn_conv;
pjd_nn_value pjd_nn_conv2d(pjd_nn_builder *b, pjd_nn_value x, const pjd_nn_conv *p);

/* y = act(W x + bias) on the channels of every position; weight [out, in]. pre is applied to x first. */
pjd_nn_value pjd_nn_linear(pjd_nn_builder *b, pjd_nn_value x, const float *weight, const float *bias, size_t out,
                           pjd_act pre, pjd_act post);

/*
 * Group norm (biased variance, statistics over the group's channels and all positions), then per channel gamma, beta,
 * then optionally h (1 + scale) + shift with [scale, shift] = the halves of `modulation` ([batch, 2c]), then act.
 */
pjd_nn_value pjd_nn_group_norm(pjd_nn_builder *b, pjd_nn_value x, size_t groups, double eps, const float *gamma,
                               const float *beta, pjd_nn_value modulation, pjd_act act);

/*
 * Each position's channels divided by their root mean square (Zhang & Sennrich 2019), times gamma [c]; modulation and act
 * as above. A length below 1e-12 counts as that.
 */
pjd_nn_value pjd_nn_rms_norm(pjd_nn_builder *b, pjd_nn_value x, const float *gamma, pjd_nn_value modulation,
                             pjd_act act);

/* Channels of a then of b2 (same h, w). No copy where the producers can write in place. */
pjd_nn_value pjd_nn_concat(pjd_nn_builder *b, pjd_nn_value a, pjd_nn_value b2);
/* a + b2; b2 may be [batch, c] broadcast over positions. */
pjd_nn_value pjd_nn_add(pjd_nn_builder *b, pjd_nn_value a, pjd_nn_value b2);
pjd_nn_value pjd_nn_scale(pjd_nn_builder *b, pjd_nn_value a, double factor);
pjd_nn_value pjd_nn_avgpool2(pjd_nn_builder *b, pjd_nn_value x);  /* 2x2 mean, stride 2; an odd last row is left out */
pjd_nn_value pjd_nn_upsample2(pjd_nn_builder *b, pjd_nn_value x); /* nearest */
/*
 * Each channel through a filter [n, n], n even, with zeros around: every second position of the correlation with `pad`
 * zeros on each side, or (up) its transpose times 4, cut to twice the size (pad is n/2 - 1 then).
 */
pjd_nn_value pjd_nn_fir(pjd_nn_builder *b, pjd_nn_value x, const float *filter, size_t n, size_t pad, bool up);

/* Over the channels of every position: (x - mean) / sqrt(biased variance + eps) gain[c]. */
pjd_nn_value pjd_nn_layer_norm(pjd_nn_builder *b, pjd_nn_value x, double eps, const float *gain);
/*
 * Sequences (h = 1). fold: channel k of position factor l + r becomes channel k factor + r of position l; unfold is its
 * inverse; repeat: nearest x factor. conv_transpose1d: PyTorch's ConvTranspose1d, weight [in, out, 2 factor], stride factor,
 * padding factor/2 + factor%2, output padding factor%2: factor times the length; factor >= 2.
 */
pjd_nn_value pjd_nn_fold(pjd_nn_builder *b, pjd_nn_value x, size_t factor);
pjd_nn_value pjd_nn_unfold(pjd_nn_builder *b, pjd_nn_value x, size_t factor);
pjd_nn_value pjd_nn_repeat(pjd_nn_builder *b, pjd_nn_value x, size_t factor);
pjd_nn_value pjd_nn_conv_transpose1d(pjd_nn_builder *b, pjd_nn_value x, const float *weight, const float *bias,
                                     size_t out, size_t factor);
pjd_nn_value pjd_nn_activation(pjd_nn_builder *b, pjd_nn_value x, pjd_act act);

/*
 * Multi-head attention over positions: q, k, v are [h w, heads * d], head-major channels; softmax(q k' scale) v.
 * Positions of k, v may differ from q's. Never holds more than a block of the score matrix. qkv packed in one value
 * (channels q | k | v, the canonical order) is the usual case: pass the same value three times with channel offsets.
 */
typedef struct pjd_nn_attn {
    pjd_nn_value q, k, v;
    size_t q_offset, k_offset, v_offset; /* first channel in each value */
    size_t heads, head_dim;
    double scale;
} pjd_nn_attn;
pjd_nn_value pjd_nn_attention(pjd_nn_builder *b, const pjd_nn_attn *p);

/*
 * Keys and values of n learned positions before those of x, whose channels are q | k | v of heads * dim each: a value
 * of h w + n positions (h = 1) and the channels k | v. memory: [2, heads, n, dim], or [2, heads, dim, n] when last.
 */
pjd_nn_value pjd_nn_memory(pjd_nn_builder *b, pjd_nn_value x, const float *memory, size_t n, size_t heads, size_t dim,
                           bool last);
/*
 * Linear attention (Shen et al. 2018): q softmax over the channels of a head, k softmax over positions, then
 * scale q (k' v). Operands as for attention.
 */
pjd_nn_value pjd_nn_linear_attention(pjd_nn_builder *b, const pjd_nn_attn *p);

typedef struct pjd_nn_options {
    int threads; /* resolved, >= 1 */
    pjd_backend backend;
    pjd_precision precision;
    /* Called after a layer has packed `bytes` at `weights`, which the plan reads no more; or NULL. */
    void (*packed)(void *user, const void *weights, size_t bytes);
    void *packed_user;
} pjd_nn_options;

/* output: the value returned by runs, [batch, c, h, w] (NCHW). The builder can be freed afterwards. */
pjd_status pjd_nn_plan_create(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, pjd_nn_plan **out,
                              pjd_error *err);
/* Arena bytes the recorded network would need, without packing weights. */
size_t pjd_nn_plan_bytes(pjd_nn_builder *b, pjd_nn_value output);

/* What a plan would hold and how long a run would take on this machine when nothing else runs on it. */
typedef struct pjd_nn_estimate {
    double seconds;
    size_t arena_bytes, weight_bytes;
} pjd_nn_estimate;
/* The first call for these threads, backend and precision measures the machine for about a tenth of a second. */
pjd_status pjd_nn_plan_estimate(pjd_nn_builder *b, pjd_nn_value output, const pjd_nn_options *opt, pjd_nn_estimate *out,
                                pjd_error *err);

/* in [batch, c, h, w]; t: `batch` values; classes: `batch` labels or NULL; out as above. */
pjd_status pjd_nn_plan_run(pjd_nn_plan *p, const float *in, const float *t, const int *classes, float *out,
                           pjd_error *err);
void pjd_nn_plan_stats(const pjd_nn_plan *p, size_t *arena_bytes, size_t *weight_bytes);
void pjd_nn_plan_free(pjd_nn_plan *p);

/* Number of layers and, for profiles, the name and accumulated seconds of layer i. */
size_t pjd_nn_plan_layers(const pjd_nn_plan *p);
const char *pjd_nn_plan_layer(const pjd_nn_plan *p, size_t i, double *seconds);

#endif
