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
typedef struct pjd_net_tensors pjd_net_tensors; /* tensors.h */

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
    void (*destroy)(pjd_network *net); /* what priv holds; the rest is freed by pjd_network_free. May be NULL */
};

struct pjd_network {
    const pjd_network_class *cls;
    const char *family; /* static: "guided-diffusion UNetModel" */
    const pjd_weights *w;
    size_t in_channels, out_channels, multiple, num_classes;
    uint64_t parameters;
    pjd_prediction prediction;
    size_t timesteps;
    double *betas; /* [timesteps], owned */
    char schedule[96];
    double time_scale; /* the network sees t times this (1000/T where the original rescales) */
    bool center_input; /* the network sees 2 x - 1 */
    bool sequence;     /* 1-D: items are [c, 1, length], `multiple` is the length's */
    /* Above 0: the network is the F of Karras et al.'s preconditioning and is told c_noise = ln(sigma)/4 times time_scale;
       betas are then only how VP solvers ask it. */
    double sigma_data;
    /* Another preconditioning than that one; sigma_data is above 0 then too. NULL: that one. */
    pjd_edm (*precondition)(const pjd_network *net, double sigma);
    bool clip;                                     /* EDM: the clean estimate is clamped to [-1, 1] */
    double sigma_scale;                            /* see pjd_model_info; 0: 2, of pictures */
    double range;                                  /* clean data lie in -range .. range; 0: 1 */
    double sample_rate;                            /* Hz; 0: unknown */
    size_t window;                                 /* samples it was trained on; 0: unknown */
    double separate_sigma_min, separate_sigma_max; /* see pjd_model_info */
    size_t separate_steps, separate_repeats;       /* see pjd_model_info */
    char **stems;                                  /* owned names */
    size_t stem_count;
    bool conditional; /* needs more than x_t (an upsampler's low-resolution picture): only raw runs */
    char **details;   /* owned lines */
    size_t detail_count;
    pjd_net_tensors *tensors; /* owned: every tensor of the network and where it lies */
    void *priv;               /* owned by the class; freed with pjd_free after destroy */
};

extern const pjd_network_class *const pjd_network_classes[];

/* Choose the class by the key names and open it. config: the text of --model-config, or NULL. */
pjd_status pjd_network_open(const pjd_weights *w, const char *config, const pjd_log *log, pjd_network **out,
                            pjd_error *err);
void pjd_network_free(pjd_network *net);

/* For the classes: an empty network, and "name: value (source)" lines. */
pjd_status pjd_network_new(const pjd_network_class *cls, const char *family, const pjd_weights *w, pjd_network **out,
                           pjd_error *err);
pjd_status pjd_network_detail(pjd_network *net, pjd_error *err, const char *source, const char *name, const char *fmt,
                              ...) PJD_PRINTF(5, 6);

/* A model from a network. Takes both over, also on failure. */
pjd_status pjd_network_model(pjd_network *net, pjd_weights *w, pjd_model **out, pjd_error *err);

#endif
