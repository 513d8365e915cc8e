/* SPDX-License-Identifier: MIT */
/* oneDNN 2.x and 3.x behind four calls: float32 convolution, NHWC, weights prepacked. Nothing else includes dnnl.h. */
#ifndef PJD_NN_DNNL_SHIM_H
#define PJD_NN_DNNL_SHIM_H

#include "core/core.h"

typedef struct pjd_dnnl pjd_dnnl;           /* an engine and a stream */
typedef struct pjd_dnnl_conv pjd_dnnl_conv; /* a planned convolution */

typedef struct pjd_dnnl_conv_desc {
    size_t batch, ic, ih, iw, oc, oh, ow, kh, kw, stride_h, stride_w;
    size_t pad_top, pad_left;
    size_t src_ld, dst_ld; /* floats from one position to the next */
    const float *weight;   /* [oc, ic_total, kh, kw], channels ic_first .. ic_first + ic - 1 are used; packed here */
    size_t ic_total, ic_first;
    const float *bias; /* [oc] or NULL; copied */
    bool accumulate;   /* dst += instead of dst = */
    const float *src;  /* fixed for the life of the object */
    float *dst;
    int threads;
} pjd_dnnl_conv_desc;

pjd_status pjd_dnnl_create(pjd_dnnl **out, pjd_error *err);
void pjd_dnnl_free(pjd_dnnl *d);
/* *bytes: what packed weights and scratch take. */
pjd_status pjd_dnnl_conv_create(pjd_dnnl *d, const pjd_dnnl_conv_desc *desc, pjd_dnnl_conv **out, size_t *bytes,
                                pjd_error *err);
pjd_status pjd_dnnl_conv_run(pjd_dnnl *d, pjd_dnnl_conv *c, pjd_error *err);
void pjd_dnnl_conv_free(pjd_dnnl_conv *c);

#endif
