/* SPDX-License-Identifier: MIT */
/* From the names the original libraries give a noise schedule to betas. */
#include <stdio.h>
#include <string.h>

#include "networks/hyper.h"

/* "0.1,0.2,..." into betas; count only when betas is NULL. */
static bool parse_betas(const char *text, double *betas, size_t *count)
{
    size_t n = 0;

    text += strspn(text, "[ ");
    while (*text && *text != ']') {
        size_t len = strcspn(text, ",;/ ]");
        char item[64];

        if (len == 0 || len >= sizeof item || n >= PJD_NET_MAX_STEPS)
            return false;
        memcpy(item, text, len);
        item[len] = '\0';
        if (betas && !pjd_parse_double(item, &betas[n]))
            return false;
        n++;
        text += len;
        text += strspn(text, ",;/ ");
    }
    *count = n;
    return n > 0;
}

static bool is_set(const char *text)
{
    return text && *text && strcmp(text, "none") != 0;
}

/* What the network's own names say, in diffusers' terms: guided-diffusion scales "linear" to the number of steps. */
typedef struct plan {
    const char *name;
    double start, end;
    size_t steps;
} plan;

static pjd_status choose(const pjd_hyper *h, const pjd_net_schedule *s, plan *p, pjd_error *err)
{
    bool guided = is_set(s->noise_schedule);
    bool guided_steps = guided || pjd_hyper_source(h, "diffusion_steps");

    *p = (plan){s->beta_schedule, s->beta_start, s->beta_end, (size_t)s->num_train_timesteps};
    if (guided_steps)
        p->steps = (size_t)s->diffusion_steps;
    if (guided && strcmp(s->noise_schedule, "linear") != 0 && strcmp(s->noise_schedule, "cosine") != 0)
        return pjd_error_set(err, pjd_hyper_blame(h, "noise_schedule"),
                             "%s: noise_schedule expects linear or cosine, found \"%.60s\"", h->who, s->noise_schedule);
    if (guided) {
        p->name = s->noise_schedule;
        p->start = 1e-4 * 1000.0 / (double)p->steps;
        p->end = 0.02 * 1000.0 / (double)p->steps;
    }
    return PJD_OK;
}

static pjd_status make_betas(const pjd_hyper *h, const pjd_net_schedule *s, pjd_network *net, pjd_error *err)
{
    plan p;
    pjd_status st = choose(h, s, &p, err);
    bool given = is_set(s->trained_betas);

    if (st != PJD_OK)
        return st;
    if (given && !parse_betas(s->trained_betas, NULL, &p.steps))
        return pjd_error_set(err, pjd_hyper_blame(h, "trained_betas"), "%s: trained_betas: a list of numbers expected",
                             h->who);
    net->betas = pjd_alloc(p.steps, sizeof *net->betas);
    if (!net->betas)
        return pjd_error_nomem(err, h->who, p.steps * sizeof *net->betas);
    net->timesteps = p.steps;
    if (given) {
        if (!parse_betas(s->trained_betas, net->betas, &p.steps))
            return pjd_error_set(err, pjd_hyper_blame(h, "trained_betas"),
                                 "%s: trained_betas: a list of numbers expected", h->who);
        snprintf(net->schedule, sizeof net->schedule, "trained betas");
        return PJD_OK;
    }
    st = pjd_schedule_betas(p.name, p.start, p.end, p.steps, net->betas, err);
    if (st == PJD_ERR_ARG) { /* a bad number or name in a file is not the user's */
        st = pjd_hyper_blame(h, "beta_schedule");
        if (err)
            err->code = st;
        return st;
    }
    if (!strcmp(p.name, "cosine") || !strcmp(p.name, "squaredcos_cap_v2"))
        snprintf(net->schedule, sizeof net->schedule, "cosine");
    else
        snprintf(net->schedule, sizeof net->schedule, "%.40s %g..%g", p.name, p.start, p.end);
    return st;
}

static pjd_status set_prediction(const pjd_hyper *h, const pjd_net_schedule *s, pjd_network *net, pjd_error *err)
{
    if (s->predict_xstart || !strcmp(s->prediction_type, "sample"))
        net->prediction = PJD_PREDICT_X0;
    else if (!strcmp(s->prediction_type, "epsilon"))
        net->prediction = PJD_PREDICT_EPS;
    else if (!strcmp(s->prediction_type, "v_prediction"))
        net->prediction = PJD_PREDICT_V;
    else
        return pjd_error_set(err, pjd_hyper_blame(h, "prediction_type"),
                             "%s: prediction_type expects epsilon, sample or v_prediction, found \"%.60s\"", h->who,
                             s->prediction_type);
    return PJD_OK;
}

/* Where some of these keys came from; what the user said counts first. */
static const char *source_of(const pjd_hyper *h, const char *const *keys, size_t n)
{
    const char *found = NULL;

    for (size_t i = 0; i < n; i++) {
        const char *s = pjd_hyper_source(h, keys[i]);

        if (s && (!found || !strcmp(s, "option")))
            found = s;
    }
    return found;
}

pjd_status pjd_net_schedule_apply(const pjd_hyper *h, const pjd_net_schedule *s, const pjd_log *log, pjd_network *net,
                                  pjd_error *err)
{
    static const char *const shape[] = {"trained_betas", "noise_schedule", "diffusion_steps",    "beta_schedule",
                                        "beta_start",    "beta_end",       "num_train_timesteps"};
    static const char *const what[] = {"prediction_type", "predict_xstart"};
    const char *from = source_of(h, shape, PJD_COUNTOF(shape)), *kind = source_of(h, what, PJD_COUNTOF(what));
    static const char *const names[] = {"epsilon", "sample", "v_prediction"};
    pjd_status st;

    if (s->rescale_betas_zero_snr)
        return pjd_error_set(err, PJD_ERR_MODEL, "%s: rescale_betas_zero_snr is not supported", h->who);
    st = make_betas(h, s, net, err);
    if (st == PJD_OK)
        st = set_prediction(h, s, net, err);
    if (st != PJD_OK)
        return st;
    net->time_scale = s->rescale_timesteps ? 1000.0 / (double)net->timesteps : 1;
    if (!from) {
        from = "assumed";
        pjd_logf(log, PJD_LOG_INFO,
                 "%s: the checkpoint does not tell its noise schedule: assuming %s with %zu steps "
                 "(--model-config beta_schedule=..,num_train_timesteps=.. to change)",
                 h->who, net->schedule, net->timesteps);
    }
    st = pjd_network_detail(net, err, from, "schedule", "%s, %zu steps", net->schedule, net->timesteps);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, kind ? kind : "assumed", "prediction", "%s", names[net->prediction]);
    if (st == PJD_OK && s->rescale_timesteps)
        st = pjd_network_detail(net, err, pjd_hyper_source(h, "rescale_timesteps"), "rescale_timesteps", "true");
    return st;
}
