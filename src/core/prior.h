/* SPDX-License-Identifier: MIT */
/* The prior interface: what a network prior, an analytic prior and a caller's callback implement. */
#ifndef PJD_CORE_PRIOR_H
#define PJD_CORE_PRIOR_H

#include <stdatomic.h>

#include "core/core.h"
#include "projdiff/model.h"

typedef struct pjd_prior_vtbl {
    /*
     * State for batch items of exactly `item` (sizes already multiples of info.multiple; the runner pads and tiles).
     * classes: batch labels or NULL.
     */
    pjd_status (*plan)(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt, void **state,
                       pjd_error *err);
    /* Clean estimate; x and x0 may be the same buffer, in denoise_ve too. */
    pjd_status (*denoise)(pjd_model *m, void *state, const float *x, double t, double abar, float *x0, pjd_error *err);
    /*
     * Clean estimate of x = x0 + sigma z (variance exploding). A prior has this, `denoise`, or both; the runner serves the
     * missing one by rescaling, since x / sqrt(1 + sigma^2) is the VP sample of abar = 1 / (1 + sigma^2). sigma > 0.
     */
    pjd_status (*denoise_ve)(pjd_model *m, void *state, const float *x, double sigma, float *x0, pjd_error *err);
    /* Raw network output; NULL when not a network. */
    pjd_status (*raw)(pjd_model *m, void *state, const float *x, double t, float *out, pjd_error *err);
    /* Bytes of activations a plan of this size would need, without making it; NULL: 0. */
    size_t (*plan_bytes)(pjd_model *m, size_t batch, const pjd_shape *item);
    /* seconds, activation_bytes and weight_bytes of one call of a plan, without making it; NULL: unknown. */
    pjd_status (*estimate)(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                           pjd_estimate *out, pjd_error *err);
    void (*state_stats)(pjd_model *m, void *state, size_t *arena_bytes, size_t *weight_bytes); /* NULL: 0 */
    void (*state_free)(pjd_model *m, void *state);
    void (*destroy)(pjd_model *m); /* frees priv */
} pjd_prior_vtbl;

struct pjd_model {
    atomic_size_t refs;
    const pjd_prior_vtbl *v;
    pjd_model_info info; /* strings point into owned_text or are static */
    char *schedule_text; /* owned */
    char **details;      /* owned, detail_count lines */
    size_t detail_count;
    double *abar; /* [info.timesteps], owned */
    void *priv;
};

/* Allocate with refs 1 and abar from betas (NULL: linear 1e-4..0.02, count steps, count 0: 1000); fills info.timesteps,
   info.schedule (text, copied), sigma_scale 1, multiple 1. */
pjd_status pjd_model_new(const pjd_prior_vtbl *v, const double *betas, size_t count, const char *schedule_text,
                         pjd_model **out, pjd_error *err);
/* Append a detail line (printf). */
pjd_status pjd_model_add_detail(pjd_model *m, pjd_error *err, const char *fmt, ...) PJD_PRINTF(3, 4);

/*
 * Betas [count] of a named schedule (guided-diffusion, DDPM, diffusers names): "linear" b0..b1 inclusive,
 * "scaled_linear" (squares of a linspace of roots), "squaredcos_cap_v2" / "cosine" (Nichol & Dhariwal 2021, eq. 17, capped at 0.999),
 * "sigmoid" (diffusers), "sigmoid_abar" (Jabri et al. 2022: abar itself falls as a sigmoid from -3 to 3, betas capped at
 * 0.999; b0 and b1 are not used). PJD_ERR_ARG for unknown names.
 */
pjd_status pjd_schedule_betas(const char *name, double b0, double b1, size_t count, double *betas, pjd_error *err);

/* Convert a network's prediction to the clean estimate in place of x0: eps: (x - sqrt(1-abar) eps)/sqrt(abar), v:
   sqrt(abar) x - sqrt(1-abar) v. pred has `stride` elements per item (learned variance: the first n are used), x n. */
void pjd_prediction_to_x0(pjd_prediction kind, size_t batch, size_t n, size_t stride, const float *x, const float *pred,
                          double abar, float *x0);

/* The preconditioning of Karras et al. 2022 (table 1, "EDM"): D(x; sigma) = c_skip x + c_out F(c_in x; c_noise). */
typedef struct pjd_edm {
    double c_skip, c_out, c_in, c_noise;
} pjd_edm;
pjd_edm pjd_edm_coefficients(double sigma, double sigma_data);
/* x0 = c_skip x + c_out f for n elements; x0 may be x or f. clip: to [-1, 1] afterwards. */
void pjd_edm_to_x0(const pjd_edm *e, size_t n, const float *x, const float *f, bool clip, float *x0);

#endif
