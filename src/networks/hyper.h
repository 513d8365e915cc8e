/* SPDX-License-Identifier: MIT */
/*
 * Hyper-parameters of a network: merged from what the user says (--model-config), a config.json or the checkpoint itself,
 * a table of known networks, and what the shapes tell, in this order; each remembers its source.
 */
#ifndef PJD_NETWORKS_HYPER_H
#define PJD_NETWORKS_HYPER_H

#include "networks/network.h"

typedef struct pjd_hyper {
    const pjd_entry *entry;
    pjd_keyvalues kv;
    const char **source; /* static texts, one per kv */
    const char *who;
} pjd_hyper;

/* Start from the user's options. */
pjd_status pjd_hyper_create(const char *who, const pjd_entry *entry, const pjd_keyvalues *options, pjd_hyper *out,
                            pjd_error *err);
void pjd_hyper_free(pjd_hyper *h);

/*
 * Add the known keys of a JSON object (NULL text: nothing) that are not set yet. Lists become "a,b,c", null becomes 0 or
 * "none". ignored: names that are not worth a warning, separated by spaces; every other unknown key is logged.
 */
pjd_status pjd_hyper_json(pjd_hyper *h, const char *source, const char *text, const char *ignored, const pjd_log *log,
                          pjd_error *err);
/* Set a key unless it is set already. */
pjd_status pjd_hyper_set(pjd_hyper *h, const char *source, const char *key, pjd_error *err, const char *fmt, ...)
    PJD_PRINTF(5, 6);
/* Where a key was set, or NULL when it has its default. */
const char *pjd_hyper_source(const pjd_hyper *h, const char *key);
/* Its value as text; "" when it has its default. */
const char *pjd_hyper_text(const pjd_hyper *h, const char *key);
/* A text of a JSON object into buf; "" when there is none, or no object. */
pjd_status pjd_hyper_json_text(const char *json, const char *key, char *buf, size_t size, pjd_error *err);
/* The code for a bad value: the user's argument, or a file that is no usable model. */
pjd_status pjd_hyper_blame(const pjd_hyper *h, const char *key);

/* The whole set into a struct, checked against the table. The classes' structs begin with a pjd_net_schedule. */
pjd_status pjd_hyper_fill(const pjd_hyper *h, void *params, size_t size, pjd_error *err);
/* A detail line for every parameter that is set, or has a default. */
pjd_status pjd_hyper_details(const pjd_hyper *h, const char *default_source, pjd_network *net, pjd_error *err);

/* What every class's open does: an empty network with `size` zero bytes of priv, the options, the class's set_up. */
typedef pjd_status (*pjd_hyper_set_up)(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err);
pjd_status pjd_hyper_open(const pjd_network_class *cls, const char *family, const pjd_weights *w,
                          const pjd_keyvalues *config, const pjd_log *log, size_t size, pjd_hyper_set_up set_up,
                          pjd_network **out, pjd_error *err);

/* "1,2,4", "[1, 2, 4]", "1/2/4" into at most `room` sizes; false when it is no such list. */
bool pjd_hyper_sizes(const char *text, size_t *out, size_t room, size_t *count);

/* ---- the noise schedule, which every family takes ---- */

typedef struct pjd_net_schedule {
    char *beta_schedule; /* diffusers names */
    double beta_start, beta_end;
    long num_train_timesteps;
    char *trained_betas;
    char *prediction_type;
    bool rescale_betas_zero_snr;
    char *noise_schedule; /* guided-diffusion names */
    long diffusion_steps;
    bool predict_xstart, rescale_timesteps;
} pjd_net_schedule;

#define PJD_NET_MAX_STEPS 100000
#define PJD_NET_SCHEDULE_PARAM(field, type_, fallback_, min_, max_, choices_, help_)                                   \
    {                                                                                                                  \
        .name = #field, .type = (type_), .fallback = (fallback_), .min = (min_), .max = (max_), .choices = (choices_), \
        .unit = "", .help = (help_), .offset = offsetof(pjd_net_schedule, field)                                       \
    }
/* For a class whose struct begins with a pjd_net_schedule. */
#define PJD_NET_SCHEDULE_PARAMS                                                                                        \
    PJD_NET_SCHEDULE_PARAM(beta_schedule, PJD_PARAM_TEXT, "linear", 0, 0, NULL,                                        \
                           "linear, scaled_linear, squaredcos_cap_v2 or sigmoid"),                                     \
        PJD_NET_SCHEDULE_PARAM(beta_start, PJD_PARAM_FLOAT, "0.0001", 0, 1, NULL, "first beta"),                       \
        PJD_NET_SCHEDULE_PARAM(beta_end, PJD_PARAM_FLOAT, "0.02", 0, 1, NULL, "last beta"),                            \
        PJD_NET_SCHEDULE_PARAM(num_train_timesteps, PJD_PARAM_INT, "1000", 1, PJD_NET_MAX_STEPS, NULL,                 \
                               "steps of the schedule"),                                                               \
        PJD_NET_SCHEDULE_PARAM(trained_betas, PJD_PARAM_TEXT, "", 0, 0, NULL, "the betas themselves, a list"),         \
        PJD_NET_SCHEDULE_PARAM(prediction_type, PJD_PARAM_TEXT, "epsilon", 0, 0, NULL,                                 \
                               "epsilon, sample or v_prediction"),                                                     \
        PJD_NET_SCHEDULE_PARAM(rescale_betas_zero_snr, PJD_PARAM_BOOL, "false", 0, 0, NULL,                            \
                               "only false is supported"),                                                             \
        PJD_NET_SCHEDULE_PARAM(noise_schedule, PJD_PARAM_TEXT, "", 0, 0, NULL,                                         \
                               "guided-diffusion's name of the schedule: linear or cosine"),                           \
        PJD_NET_SCHEDULE_PARAM(diffusion_steps, PJD_PARAM_INT, "1000", 1, PJD_NET_MAX_STEPS, NULL,                     \
                               "guided-diffusion's name of the number of steps"),                                      \
        PJD_NET_SCHEDULE_PARAM(predict_xstart, PJD_PARAM_BOOL, "false", 0, 0, NULL, "the network predicts x0"),        \
        PJD_NET_SCHEDULE_PARAM(rescale_timesteps, PJD_PARAM_BOOL, "false", 0, 0, NULL,                                 \
                               "the network sees t * 1000 / steps")

/* Betas, prediction and time scale of net; says in the log what was assumed. */
pjd_status pjd_net_schedule_apply(const pjd_hyper *h, const pjd_net_schedule *s, const pjd_log *log, pjd_network *net,
                                  pjd_error *err);

#endif
