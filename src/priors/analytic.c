/* SPDX-License-Identifier: MIT */
/* Priors whose clean estimate E[x0 | x_t] is known in closed form: what solvers are tested with, exactly. */
#include <math.h>
#include <string.h>

#include "core/prior.h"

/* A shape that holds something; *n elements. */
static pjd_status check_shape(const char *who, const pjd_shape *item, size_t *n, pjd_error *err)
{
    char text[64];

    if (!pjd_shape_count(item, n) || *n == 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: an item of %s is empty or too large", who,
                             pjd_shape_text(item, text, sizeof text));
    return PJD_OK;
}

static void set_fixed(pjd_model *m, const char *family, const pjd_shape *item)
{
    m->info.family = family;
    m->info.fixed_size = true;
    m->info.item = *item;
}

/* Copies of the caller's arrays, freed with the model. */
static void destroy_priv(pjd_model *m)
{
    pjd_free(m->priv);
}

/* ---- independent Gaussian ---- */

typedef struct gaussian {
    size_t n;
    float *mean, *variance; /* behind the struct */
} gaussian;

static pjd_status gaussian_plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                                void **state, pjd_error *err)
{
    size_t *s = pjd_alloc(1, sizeof *s);

    if (!s)
        return pjd_error_nomem(err, "gaussian", sizeof *s);
    *s = batch;
    *state = s;
    return PJD_OK;
}

static void free_state(pjd_model *m, void *state)
{
    pjd_free(state);
}

static pjd_status gaussian_denoise(pjd_model *m, void *state, const float *x, double t, double abar, float *x0,
                                   pjd_error *err)
{
    const gaussian *g = m->priv;
    size_t batch = *(size_t *)state;
    double sa = sqrt(abar);

    for (size_t b = 0; b < batch; b++)
        for (size_t i = 0; i < g->n; i++) {
            double gain = g->variance[i] * sa / (abar * g->variance[i] + 1 - abar);

            x0[b * g->n + i] = (float)(g->mean[i] + gain * (x[b * g->n + i] - sa * g->mean[i]));
        }
    return PJD_OK;
}

static const pjd_prior_vtbl gaussian_vtbl = {
    .plan = gaussian_plan, .denoise = gaussian_denoise, .state_free = free_state, .destroy = destroy_priv};

pjd_status pjd_model_gaussian(const pjd_shape *item, const float *mean, const float *variance,
                              const pjd_schedule *schedule, pjd_model **out, pjd_error *err)
{
    size_t n;
    gaussian *g;
    pjd_status st;

    *out = NULL;
    st = check_shape("gaussian", item, &n, err);
    if (st != PJD_OK)
        return st;
    for (size_t i = 0; i < n; i++)
        if (!(variance[i] >= 0) || !isfinite(variance[i]) || !isfinite(mean[i]))
            return pjd_error_set(err, PJD_ERR_ARG,
                                 "gaussian: element %zu: finite mean and variance >= 0 expected, found %g, %g", i,
                                 mean[i], variance[i]);
    st = pjd_model_new(&gaussian_vtbl, schedule ? schedule->betas : NULL, schedule ? schedule->count : 0, NULL, out,
                       err);
    if (st != PJD_OK)
        return st;
    g = pjd_alloc(1, sizeof *g + 2 * n * sizeof(float));
    if (!g) {
        pjd_model_unref(*out);
        *out = NULL;
        return pjd_error_nomem(err, "gaussian", 2 * n * sizeof(float));
    }
    *g = (gaussian){.n = n, .mean = (float *)(g + 1), .variance = (float *)(g + 1) + n};
    memcpy(g->mean, mean, n * sizeof *mean);
    memcpy(g->variance, variance, n * sizeof *variance);
    (*out)->priv = g;
    set_fixed(*out, "gaussian", item);
    return PJD_OK;
}

/* ---- mixture of isotropic Gaussians ---- */

typedef struct mixture {
    size_t n, k;
    double *log_weight, *variance; /* behind the struct */
    float *mean;
} mixture;

typedef struct mixture_state {
    size_t batch;
    double *logp; /* [k], behind */
} mixture_state;

static pjd_status mixture_plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                               void **state, pjd_error *err)
{
    const mixture *g = m->priv;
    mixture_state *s = pjd_alloc(1, sizeof *s + g->k * sizeof(double));

    if (!s)
        return pjd_error_nomem(err, "mixture", sizeof *s + g->k * sizeof(double));
    *s = (mixture_state){.batch = batch, .logp = (double *)(s + 1)};
    *state = s;
    return PJD_OK;
}

/* x_t given component j is N(sqrt(abar) mean_j, abar variance_j + 1 - abar). */
static void mixture_item(const mixture *g, double *logp, const float *x, double abar, float *x0)
{
    double sa = sqrt(abar), top = -INFINITY, total = 0;

    for (size_t j = 0; j < g->k; j++) {
        double v = abar * g->variance[j] + 1 - abar, d2 = 0;

        for (size_t i = 0; i < g->n; i++) {
            double d = x[i] - sa * g->mean[j * g->n + i];

            d2 += d * d;
        }
        logp[j] = g->log_weight[j] - 0.5 * d2 / v - 0.5 * (double)g->n * log(v);
        top = fmax(top, logp[j]);
    }
    for (size_t j = 0; j < g->k; j++)
        total += logp[j] = exp(logp[j] - top);
    for (size_t i = 0; i < g->n; i++) {
        double mean = 0;

        for (size_t j = 0; j < g->k; j++) {
            double v = abar * g->variance[j] + 1 - abar, mu = g->mean[j * g->n + i];

            mean += logp[j] / total * (mu + g->variance[j] * sa / v * (x[i] - sa * mu));
        }
        x0[i] = (float)mean;
    }
}

static pjd_status mixture_denoise(pjd_model *m, void *state, const float *x, double t, double abar, float *x0,
                                  pjd_error *err)
{
    const mixture *g = m->priv;
    mixture_state *s = state;

    for (size_t b = 0; b < s->batch; b++)
        mixture_item(g, s->logp, x + b * g->n, abar, x0 + b * g->n);
    return PJD_OK;
}

static const pjd_prior_vtbl mixture_vtbl = {
    .plan = mixture_plan, .denoise = mixture_denoise, .state_free = free_state, .destroy = destroy_priv};

pjd_status pjd_model_mixture(const pjd_shape *item, size_t k, const double *weights, const float *means,
                             const double *variances, const pjd_schedule *schedule, pjd_model **out, pjd_error *err)
{
    size_t n, means_count, bytes;
    double total = 0;
    mixture *g;
    pjd_status st;

    *out = NULL;
    st = check_shape("mixture", item, &n, err);
    if (st != PJD_OK)
        return st;
    if (k == 0 || !pjd_mul(n, k, &means_count) || !pjd_mul(means_count, sizeof(float), &bytes) || bytes > SIZE_MAX / 4)
        return pjd_error_set(err, PJD_ERR_ARG, "mixture: %zu components of %zu elements are none or too many", k, n);
    for (size_t j = 0; j < k; j++) {
        if (!(weights[j] > 0 && variances[j] > 0) || !isfinite(weights[j]) || !isfinite(variances[j]))
            return pjd_error_set(err, PJD_ERR_ARG,
                                 "mixture: component %zu: weight and variance > 0 expected, found %g, %g", j,
                                 weights[j], variances[j]);
        total += weights[j];
    }
    st = pjd_model_new(&mixture_vtbl, schedule ? schedule->betas : NULL, schedule ? schedule->count : 0, NULL, out,
                       err);
    if (st != PJD_OK)
        return st;
    g = pjd_alloc(1, sizeof *g + 2 * k * sizeof(double) + bytes);
    if (!g) {
        pjd_model_unref(*out);
        *out = NULL;
        return pjd_error_nomem(err, "mixture", bytes);
    }
    *g = (mixture){.n = n, .k = k, .log_weight = (double *)(g + 1), .variance = (double *)(g + 1) + k};
    g->mean = (float *)(g->variance + k);
    for (size_t j = 0; j < k; j++) {
        g->log_weight[j] = log(weights[j] / total);
        g->variance[j] = variances[j];
    }
    memcpy(g->mean, means, bytes);
    (*out)->priv = g;
    set_fixed(*out, "gaussian mixture", item);
    return PJD_OK;
}

/* ---- the caller's callback ---- */

typedef struct callback_state {
    size_t batch;
    pjd_shape item;
} callback_state;

static pjd_status callback_plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                                void **state, pjd_error *err)
{
    callback_state *s = pjd_alloc(1, sizeof *s);

    if (!s)
        return pjd_error_nomem(err, "callback", sizeof *s);
    *s = (callback_state){batch, *item};
    *state = s;
    return PJD_OK;
}

static pjd_status callback_denoise(pjd_model *m, void *state, const float *x, double t, double abar, float *x0,
                                   pjd_error *err)
{
    const pjd_denoiser *cb = m->priv;
    callback_state *s = state;

    return cb->denoise(cb->user, s->batch, &s->item, x, t, abar, x0, err);
}

static void callback_destroy(pjd_model *m)
{
    pjd_denoiser *cb = m->priv;

    if (cb && cb->destroy)
        cb->destroy(cb->user);
    pjd_free(cb);
}

static const pjd_prior_vtbl callback_vtbl = {
    .plan = callback_plan, .denoise = callback_denoise, .state_free = free_state, .destroy = callback_destroy};

pjd_status pjd_model_callback(const pjd_denoiser *cb, const pjd_schedule *schedule, pjd_model **out, pjd_error *err)
{
    pjd_denoiser *copy;
    pjd_status st;

    *out = NULL;
    if (!cb || !cb->denoise || !(cb->sigma_scale >= 0))
        return pjd_error_set(err, PJD_ERR_ARG, "callback: a denoise function and a sigma_scale >= 0 expected");
    copy = pjd_alloc(1, sizeof *copy);
    if (!copy)
        return pjd_error_nomem(err, "callback", sizeof *copy);
    st = pjd_model_new(&callback_vtbl, schedule ? schedule->betas : NULL, schedule ? schedule->count : 0, NULL, out,
                       err);
    if (st != PJD_OK) {
        pjd_free(copy);
        return st;
    }
    *copy = *cb;
    (*out)->priv = copy;
    (*out)->info.family = "callback";
    (*out)->info.in_channels = (*out)->info.out_channels = cb->channels;
    if (cb->sigma_scale > 0)
        (*out)->info.sigma_scale = cb->sigma_scale;
    return PJD_OK;
}
