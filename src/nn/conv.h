/* SPDX-License-Identifier: MIT */
/* Ways to compute a convolution. Each is complete in itself; layer_conv.c picks one a layer. */
#ifndef PJD_NN_CONV_H
#define PJD_NN_CONV_H

#include "nn/internal.h"

typedef struct nn_conv_way nn_conv_way;

/* What the choice may depend on: known before the plan exists. */
typedef struct nn_conv_case {
    const nn_conv_way *way; /* the one that is asked: several share their functions and differ by `form` */
    const nn_rec *r;
    nn_shape in, out;
    size_t batch, segs;
    const pjd_kernels *kernels;
    pjd_nn_options opt;
    nn_how how;
} nn_conv_case;

struct nn_conv_way {
    const char *name;
    const void *form; /* for its own functions */
    bool affine;      /* takes NN_AFFINE */
    nn_rate rate;     /* of its units, in estimates of time */
    bool (*can)(const nn_conv_case *c);
    /* Estimate in units of one multiply-add of the packed product; the cheapest that can is taken. */
    double (*cost)(const nn_conv_case *c);
    size_t (*scratch)(const nn_conv_case *c);
    size_t (*weights)(const nn_conv_case *c); /* bytes that prepare packs */
    /* Allocates s->priv, whose first member is the nn_conv_way pointer (nn_conv_head). */
    pjd_status (*prepare)(pjd_nn_plan *p, nn_step *s, const nn_conv_case *c, pjd_error *err);
    pjd_status (*run)(pjd_nn_plan *p, nn_step *s, pjd_error *err);
    void (*clear)(nn_step *s);
};

typedef struct nn_conv_head {
    const nn_conv_way *way;
} nn_conv_head;

extern const nn_conv_way pjd_nn_conv_direct, pjd_nn_conv_wino2, pjd_nn_conv_wino4, pjd_nn_conv_wino5, pjd_nn_conv_line4;
#ifdef PJD_HAVE_ONEDNN
extern const nn_conv_way pjd_nn_conv_dnnl;
#endif

#endif
