/* SPDX-License-Identifier: MIT */
/* Straightforward float64 loops in NCHW: what every layer is compared with. */
#ifndef TESTS_NN_REF_H
#define TESTS_NN_REF_H

#include "nn/internal.h"
#include "support/support.h"

typedef struct ref {
    size_t n, c, h, w;
    double *v; /* [n, c, h, w]; free() it */
} ref;

ref ref_make(size_t n, size_t c, size_t h, size_t w);
ref ref_from(const float *x, size_t n, size_t c, size_t h, size_t w);
ref ref_up(const ref *x);
ref ref_conv(const ref *x, const pjd_nn_conv *p, const ref *residual);
ref ref_linear(const ref *x, const float *weight, const float *bias, size_t out, pjd_act pre, pjd_act post);
ref ref_norm(const ref *x, size_t groups, double eps, const float *gamma, const float *beta, const ref *modulation,
             pjd_act act);
ref ref_concat(const ref *a, const ref *b);
ref ref_add(const ref *a, const ref *b);
ref ref_scale(const ref *a, double factor);
ref ref_pool(const ref *x);
ref ref_act(const ref *x, pjd_act act);
ref ref_attn(const ref *q, const ref *k, const ref *v, const pjd_nn_attn *p);
void ref_free(ref *x);
double ref_act1(double x, pjd_act act);

/* |x - want| / |want|, Euclidean. NaN stays NaN. */
double ref_error(const float *x, const ref *want);

/* n random floats times scale; free() it. */
float *random_floats(size_t n, double scale, uint64_t seed);

#endif
