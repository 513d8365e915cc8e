/* SPDX-License-Identifier: MIT */
/* A network as a prior: plans, the network's prediction as a clean estimate. */
#include <string.h>

#include "networks/network.h"
#include "networks/tensors.h"

typedef struct prior {
    pjd_network *net;
    pjd_weights *w;
} prior;

/* One plan with what its runs need. */
typedef struct state {
    pjd_nn_plan *plan;
    size_t batch, in, out; /* elements of one item, of one output */
    float *t;              /* [batch] */
    int *classes;          /* [batch] or NULL */
    float *raw;            /* [batch, out] */
    float *centred;        /* [batch, in], for networks that want 2 x - 1 */
    float *scaled;         /* [batch, in], c_in x of a preconditioned network */
} state;

static void state_destroy(state *s)
{
    if (!s)
        return;
    pjd_nn_plan_free(s->plan);
    pjd_free(s->t);
    pjd_free(s->classes);
    pjd_free(s->raw);
    pjd_free(s->centred);
    pjd_free(s->scaled);
    pjd_free(s);
}

static void prior_state_free(pjd_model *m, void *v)
{
    state_destroy(v);
}

static pjd_status check_item(const pjd_network *net, const pjd_shape *item, pjd_error *err)
{
    char text[64];

    if (item->rank != 3 || item->dim[0] != net->in_channels)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: items of %zu channels, height and width expected, found %s",
                             net->family, net->in_channels, pjd_shape_text(item, text, sizeof text));
    if (net->sequence) {
        if (item->dim[1] != 1 || item->dim[2] == 0 || item->dim[2] % net->multiple != 0)
            return pjd_error_set(err, PJD_ERR_SHAPE, "%s: a length that is a multiple of %zu expected, found %s",
                                 net->family, net->multiple, pjd_shape_text(item, text, sizeof text));
        return PJD_OK;
    }
    if (item->dim[1] == 0 || item->dim[2] == 0 || item->dim[1] % net->multiple != 0 ||
        item->dim[2] % net->multiple != 0)
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: height and width expected to be multiples of %zu, found %s",
                             net->family, net->multiple, pjd_shape_text(item, text, sizeof text));
    return PJD_OK;
}

static pjd_status check_classes(const pjd_network *net, const int *classes, size_t batch, pjd_error *err)
{
    if (net->num_classes == 0 && classes)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: the network takes no classes", net->family);
    if (net->num_classes > 0 && !classes)
        return pjd_error_set(err, PJD_ERR_ARG, "%s: a class from 0 to %zu is expected for each item (--class)",
                             net->family, net->num_classes - 1);
    for (size_t i = 0; classes && i < batch; i++)
        if (classes[i] < 0 || (size_t)classes[i] >= net->num_classes)
            return pjd_error_set(err, PJD_ERR_ARG, "%s: a class from 0 to %zu expected, found %d", net->family,
                                 net->num_classes - 1, classes[i]);
    return PJD_OK;
}

/* Record the network for a size; threads 0: its shapes only, no weights are read. */
static pjd_status record(const pjd_network *net, size_t batch, const pjd_shape *item, int threads, pjd_nn_builder **b,
                         pjd_nn_value *out, pjd_error *err)
{
    pjd_status st = threads ? pjd_net_tensors_load(net->tensors, net->family, threads, err) : PJD_OK;

    *b = NULL;
    if (st == PJD_OK)
        st = pjd_nn_builder_create(batch, b, err);
    if (st == PJD_OK && !threads)
        pjd_nn_builder_sketch(*b);
    if (st == PJD_OK)
        *out = net->cls->build(net, *b, pjd_nn_input(*b, item->dim[0], item->dim[1], item->dim[2]));
    return st;
}

static pjd_status make_buffers(const pjd_network *net, state *s, size_t batch, const pjd_shape *item,
                               const int *classes, pjd_error *err)
{
    pjd_shape o = *item;
    size_t in_all, out_all;

    o.dim[0] = net->out_channels;
    s->batch = batch;
    if (!pjd_shape_count(item, &s->in) || !pjd_shape_count(&o, &s->out) || !pjd_mul(batch, s->in, &in_all) ||
        !pjd_mul(batch, s->out, &out_all))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%s: a batch of %zu is beyond this machine", net->family, batch);
    s->t = pjd_alloc(batch, sizeof *s->t);
    s->raw = pjd_alloc(out_all, sizeof *s->raw);
    s->classes = classes ? pjd_alloc(batch, sizeof *s->classes) : NULL;
    s->centred = net->center_input ? pjd_alloc(in_all, sizeof *s->centred) : NULL;
    s->scaled = net->sigma_data > 0 ? pjd_alloc(in_all, sizeof *s->scaled) : NULL;
    if (!s->t || !s->raw || (classes && !s->classes) || (net->center_input && !s->centred) ||
        (net->sigma_data > 0 && !s->scaled))
        return pjd_error_nomem(err, net->family, (in_all + out_all) * sizeof(float));
    if (classes)
        memcpy(s->classes, classes, batch * sizeof *classes);
    return PJD_OK;
}

/* Or the file's pages would stay in memory beside the packed copy. */
static void packed(void *user, const void *weights, size_t bytes)
{
    pjd_weights_unused(user, weights, bytes);
}

static pjd_status prior_plan(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                             void **out, pjd_error *err)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    pjd_nn_options o = {.threads = pjd_threads_resolve(opt ? opt->threads : 0),
                        .backend = opt ? opt->backend : PJD_BACKEND_AUTO,
                        .precision = opt ? opt->precision : PJD_PRECISION_DEFAULT,
                        .packed = packed,
                        .packed_user = ((prior *)m->priv)->w};
    const int *classes = opt ? opt->classes : NULL;
    pjd_nn_builder *b = NULL;
    pjd_nn_value y = PJD_NN_NONE;
    state *s = NULL;
    pjd_status st = check_item(net, item, err);

    *out = NULL;
    if (st == PJD_OK)
        st = check_classes(net, classes, batch, err);
    if (st != PJD_OK)
        return st;
    s = pjd_alloc_zero(1, sizeof *s);
    if (!s)
        return pjd_error_nomem(err, net->family, sizeof *s);
    st = make_buffers(net, s, batch, item, classes, err);
    if (st == PJD_OK)
        st = record(net, batch, item, o.threads, &b, &y, err);
    if (st == PJD_OK)
        st = pjd_nn_plan_create(b, y, &o, &s->plan, err);
    pjd_nn_builder_free(b);
    if (st != PJD_OK) {
        state_destroy(s);
        return st;
    }
    *out = s;
    return PJD_OK;
}

static pjd_status prior_raw(pjd_model *m, void *v, const float *x, double t, float *out, pjd_error *err)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    state *s = v;

    for (size_t i = 0; i < s->batch; i++)
        s->t[i] = (float)(t * net->time_scale);
    if (s->centred) {
        for (size_t i = 0; i < s->batch * s->in; i++)
            s->centred[i] = 2 * x[i] - 1;
        x = s->centred;
    }
    return pjd_nn_plan_run(s->plan, x, s->t, s->classes, out, err);
}

static pjd_status prior_denoise(pjd_model *m, void *v, const float *x, double t, double abar, float *x0, pjd_error *err)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    state *s = v;
    pjd_status st;

    if (net->conditional)
        return pjd_error_set(
            err, PJD_ERR_UNSUPPORTED,
            "%s: %zu channels in and %zu out: the network needs more than x_t (an upsampler), only its raw "
            "output is available",
            net->family, net->in_channels, net->out_channels);
    st = prior_raw(m, v, x, t, s->raw, err);
    /* A learned variance follows the prediction in each item and is left out. */
    if (st == PJD_OK)
        pjd_prediction_to_x0(net->prediction, s->batch, s->in, s->out, x, s->raw, abar, x0);
    return st;
}

static pjd_status prior_denoise_ve(pjd_model *m, void *v, const float *x, double sigma, float *x0, pjd_error *err)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    pjd_edm e = net->precondition ? net->precondition(net, sigma) : pjd_edm_coefficients(sigma, net->sigma_data);
    state *s = v;
    pjd_status st;

    for (size_t i = 0; i < s->batch * s->in; i++)
        s->scaled[i] = (float)e.c_in * x[i];
    st = prior_raw(m, v, s->scaled, e.c_noise, s->raw, err);
    if (st == PJD_OK)
        for (size_t b = 0; b < s->batch; b++)
            pjd_edm_to_x0(&e, s->in, x + b * s->in, s->raw + b * s->out, net->clip, x0 + b * s->in);
    return st;
}

static size_t prior_plan_bytes(pjd_model *m, size_t batch, const pjd_shape *item)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    pjd_nn_builder *b = NULL;
    pjd_nn_value y = PJD_NN_NONE;
    size_t bytes = SIZE_MAX; /* what cannot be recorded cannot be afforded either */

    if (check_item(net, item, NULL) == PJD_OK && record(net, batch, item, 0, &b, &y, NULL) == PJD_OK &&
        y != PJD_NN_NONE)
        bytes = pjd_nn_plan_bytes(b, y);
    pjd_nn_builder_free(b);
    return bytes;
}

static pjd_status prior_estimate(pjd_model *m, size_t batch, const pjd_shape *item, const pjd_runner_options *opt,
                                 pjd_estimate *out, pjd_error *err)
{
    const pjd_network *net = ((prior *)m->priv)->net;
    pjd_nn_options o = {.threads = pjd_threads_resolve(opt ? opt->threads : 0),
                        .backend = opt ? opt->backend : PJD_BACKEND_AUTO,
                        .precision = opt ? opt->precision : PJD_PRECISION_DEFAULT};
    size_t in = net->in_channels * (1 + net->center_input + (net->sigma_data > 0)), pixels;
    pjd_nn_builder *b = NULL;
    pjd_nn_value y = PJD_NN_NONE;
    pjd_nn_estimate e = {0};
    pjd_status st = check_item(net, item, err);

    if (st == PJD_OK)
        st = record(net, batch, item, 0, &b, &y, err);
    if (st == PJD_OK)
        st = pjd_nn_plan_estimate(b, y, &o, &e, err);
    pjd_nn_builder_free(b);
    if (st != PJD_OK)
        return st;
    pixels = batch * item->dim[1] * item->dim[2]; /* the plan's shapes were checked */
    out->seconds = e.seconds;
    out->activation_bytes = e.arena_bytes + pixels * (in + net->out_channels) * sizeof(float);
    out->weight_bytes = e.weight_bytes + pjd_net_tensors_copies(net->tensors);
    return PJD_OK;
}

static void prior_state_stats(pjd_model *m, void *v, size_t *arena_bytes, size_t *weight_bytes)
{
    pjd_nn_plan_stats(((state *)v)->plan, arena_bytes, weight_bytes);
}

static void prior_destroy(pjd_model *m)
{
    prior *p = m->priv;

    if (!p)
        return;
    pjd_network_free(p->net);
    pjd_weights_free(p->w);
    pjd_free(p);
}

static const pjd_prior_vtbl network_prior = {
    .plan = prior_plan,
    .denoise = prior_denoise,
    .raw = prior_raw,
    .plan_bytes = prior_plan_bytes,
    .estimate = prior_estimate,
    .state_stats = prior_state_stats,
    .state_free = prior_state_free,
    .destroy = prior_destroy,
};

/* Of a preconditioned network: the same, asked by sigma. */
static const pjd_prior_vtbl edm_prior = {
    .plan = prior_plan,
    .denoise_ve = prior_denoise_ve,
    .raw = prior_raw,
    .plan_bytes = prior_plan_bytes,
    .estimate = prior_estimate,
    .state_stats = prior_state_stats,
    .state_free = prior_state_free,
    .destroy = prior_destroy,
};

static void fill_info(pjd_model_info *i, const pjd_network *net, const pjd_weights *w)
{
    i->family = net->family;
    i->container = pjd_weights_container(w);
    i->parameters = net->parameters;
    i->in_channels = net->in_channels;
    i->out_channels = net->out_channels;
    i->multiple = net->multiple;
    i->num_classes = net->num_classes;
    i->prediction = net->prediction;
    i->range_high = net->range > 0 ? net->range : 1;
    i->range_low = -i->range_high;
    /* pictures: 0..1 to the user, -1..1 to the network */
    i->sigma_scale = net->sigma_scale > 0 ? net->sigma_scale : 2;
    i->preconditioned = net->sigma_data > 0;
    i->sequence = net->sequence;
    i->sample_rate = net->sample_rate;
    i->window = net->window;
    i->separate_sigma_min = net->separate_sigma_min;
    i->separate_sigma_max = net->separate_sigma_max;
    i->separate_steps = net->separate_steps;
    i->separate_repeats = net->separate_repeats;
    i->stem_count = net->stem_count;
    i->stems = (const char *const *)net->stems;
}

pjd_status pjd_network_model(pjd_network *net, pjd_weights *w, pjd_model **out, pjd_error *err)
{
    prior *p = pjd_alloc(1, sizeof *p);
    pjd_model *m = NULL;
    pjd_status st;

    *out = NULL;
    if (!p) {
        pjd_network_free(net);
        pjd_weights_free(w);
        return pjd_error_nomem(err, "model", sizeof *p);
    }
    *p = (prior){net, w};
    st = pjd_model_new(net->sigma_data > 0 ? &edm_prior : &network_prior, net->betas, net->timesteps, net->schedule, &m,
                       err);
    if (st != PJD_OK) {
        pjd_network_free(net);
        pjd_weights_free(w);
        pjd_free(p);
        if (st == PJD_ERR_ARG && err) /* betas of a file: not the caller's argument */
            err->code = PJD_ERR_MODEL;
        return st == PJD_ERR_ARG ? PJD_ERR_MODEL : st;
    }
    m->priv = p;
    fill_info(&m->info, net, w);
    for (size_t i = 0; i < net->detail_count && st == PJD_OK; i++)
        st = pjd_model_add_detail(m, err, "%s", net->details[i]);
    if (st != PJD_OK) {
        pjd_model_unref(m);
        return st;
    }
    *out = m;
    return PJD_OK;
}
