/* SPDX-License-Identifier: MIT */
/* The network interface: what a net_<name>.c implements. Tensor names and hyper-parameters in, an nn plan out. */
#ifndef PJD_NETWORKS_NETWORK_H
#define PJD_NETWORKS_NETWORK_H

#include "core/param.h"
#include "core/prior.h"
#include "nn/nn.h"
#include "weights/weights.h"

typedef struct pjd_network pjd_network;
typedef struct pjd_network_class pjd_network_class;

struct pjd_network_class {
    pjd_entry entry; /* name, summary, hyper-parameters that --model-config takes, in the original library's names */
    /* Score of the key names: 0 not this family. Prefixes are already stripped. */
    int (*match)(const pjd_weights *w);
    /*
     * Check the full list of keys and shapes (missing, unexpected, mis-shaped: a count and the first names), infer
     * hyper-parameters and fill net (in/out channels, multiple, classes, ..., details with their source).
     * The weights outlive the network.
     */
    pjd_status (*open)(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                       pjd_error *err);
    /* Record the forward pass for x (the input value) and return the output value. */
    pjd_nn_value (*build)(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x);
    void (*destroy)(pjd_network *net);
};

struct pjd_network {
    const pjd_network_class *cls;
    const pjd_weights *w;
    size_t in_channels, out_channels, multiple, num_classes;
    uint64_t parameters;
    pjd_prediction prediction;
    size_t timesteps;
    double *betas;        /* [timesteps], owned */
    char schedule[96];
    char **details;       /* owned lines */
    size_t detail_count;
    void *priv;
};

extern const pjd_network_class *const pjd_network_classes[];

#endif
