/* SPDX-License-Identifier: MIT */
/*
 * The Unet of denoising-diffusion-pytorch in its present form: norms over channels, linear attention except on the
 * deepest level, learned keys and values. Everything about the network follows from the shapes. The buffers of a
 * GaussianDiffusion around it give the schedule, and its loss weights tell what was predicted.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_lucidrains;

#define WHO "denoising-diffusion-pytorch Unet"

typedef struct lucid {
    pjd_net_schedule opt;
    char *objective;
    size_t dim, fourier, levels, in, out; /* fourier: learned frequencies of the time embedding, 0: sinusoids */
    size_t dims[PJD_NET_MAX_LEVELS + 1];  /* into level l, out of it */
    bool self_condition;
} lucid;

static const pjd_param params[] = {
    PJD_NET_SCHEDULE_PARAMS,
    {.name = "objective",
     .type = PJD_PARAM_TEXT,
     .fallback = "",
     .unit = "",
     .help = "what the network predicts: pred_noise, pred_x0 or pred_v",
     .offset = offsetof(lucid, objective)},
};

/* ---- the layers ---- */

static pjd_blk_val rms(pjd_blk *k, pjd_blk_val x, const char *prefix, const char *name, pjd_blk_val modulation,
                       pjd_act act)
{
    const float *g = pjd_blk_take(k, prefix, name, "g", (pjd_shape){.rank = 4, .dim = {1, x.c, 1, 1}}, false);

    return pjd_blk_idle(k) ? x : (pjd_blk_val){pjd_nn_rms_norm(k->b, x.v, g, modulation.v, act), x.c};
}

static pjd_blk_val sum(pjd_blk *k, pjd_blk_val x, pjd_blk_val y)
{
    return pjd_blk_idle(k) ? x : (pjd_blk_val){pjd_nn_add(k->b, x.v, y.v), x.c};
}

static pjd_blk_val residual(pjd_blk *k, pjd_blk_val x, const char *key, size_t out)
{
    pjd_blk_val e = pjd_blk_linear(k, k->emb, key, "mlp.1", 2 * out, PJD_ACT_NONE), h;

    h = pjd_blk_conv(k, x, key, "block1.proj", out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    h = rms(k, h, key, "block1.norm", e, PJD_ACT_SILU);
    h = pjd_blk_conv(k, h, key, "block2.proj", out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
    h = rms(k, h, key, "block2.norm", PJD_BLK_NONE, PJD_ACT_SILU);
    if (x.c != out)
        return pjd_blk_conv(k, x, key, "res_conv", out, 1, PJD_BLK_SAME, h);
    return sum(k, h, x);
}

/* A 1x1 convolution without a bias. */
static pjd_blk_val plain(pjd_blk *k, pjd_blk_val x, const char *key, const char *name, size_t out)
{
    pjd_shape shape = {.rank = 4, .dim = {out, x.c, 1, 1}};
    const float *weight = pjd_blk_take(k, key, name, "weight", shape, false);

    if (pjd_blk_idle(k))
        return (pjd_blk_val){PJD_NN_NONE, out};
    return (pjd_blk_val){pjd_nn_linear(k->b, x.v, weight, NULL, out, PJD_ACT_NONE, PJD_ACT_NONE), out};
}

/* Linear or full attention, whichever the checkpoint has here; its heads are those of the learned keys. */
static pjd_blk_val attention(pjd_blk *k, const pjd_weights *w, pjd_blk_val x, const char *key)
{
    bool linear = pjd_net_find(w, "%s.to_out.0.weight", key) != NULL;
    size_t heads = pjd_net_dim(w, 1, "%s.mem_kv", key), dim = pjd_net_dim(w, linear ? 2 : 3, "%s.mem_kv", key);
    size_t n = pjd_net_dim(w, linear ? 3 : 2, "%s.mem_kv", key), c = heads * dim;
    pjd_shape shape = {.rank = 4, .dim = {2, heads, linear ? dim : n, linear ? n : dim}};
    pjd_nn_attn p = {.v_offset = c, .heads = heads, .head_dim = dim};
    pjd_blk_val h;
    const float *memory;

    if (heads < 1 || heads > PJD_NET_MAX_CHANNELS || dim < 1 || dim > 1024 || c > PJD_NET_MAX_CHANNELS || n < 1 ||
        n > 4096) {
        pjd_blk_fail(k, PJD_ERR_MODEL, "%s.mem_kv: no plausible shape (older forms of this library are not supported)",
                     key);
        return x;
    }
    h = plain(k, rms(k, x, key, "norm", PJD_BLK_NONE, PJD_ACT_NONE), key, "to_qkv", 3 * c);
    memory = pjd_blk_take(k, "", key, "mem_kv", shape, false);
    if (!pjd_blk_idle(k)) {
        p.q = h.v;
        p.k = p.v = pjd_nn_memory(k->b, h.v, memory, n, heads, dim, linear);
        p.scale = 1 / sqrt((double)dim);
        h.v = linear ? pjd_nn_linear_attention(k->b, &p) : pjd_nn_attention(k->b, &p);
    }
    h.c = c;
    if (!linear)
        return pjd_blk_conv(k, h, key, "to_out", x.c, 1, PJD_BLK_SAME, x);
    h = pjd_blk_conv(k, h, key, "to_out.0", x.c, 1, PJD_BLK_SAME, PJD_BLK_NONE);
    return sum(k, rms(k, h, key, "to_out.1", PJD_BLK_NONE, PJD_ACT_NONE), x);
}

/* Four pixels become channels, then a 1x1 convolution: together a 2x2 convolution at every second pixel. */
static pjd_blk_val halve(pjd_blk *k, pjd_blk_val x, const char *key, size_t out)
{
    pjd_nn_conv p = {.out = out, .kh = 2, .kw = 2, .stride = 2, .residual = PJD_NN_NONE};

    p.weight = pjd_blk_take(k, key, "3.1", "weight", (pjd_shape){.rank = 4, .dim = {out, 4 * x.c, 1, 1}}, false);
    p.bias = pjd_blk_take(k, key, "3.1", "bias", (pjd_shape){.rank = 1, .dim = {out}}, false);
    return (pjd_blk_val){pjd_blk_idle(k) ? PJD_NN_NONE : pjd_nn_conv2d(k->b, x.v, &p), out};
}

static void embed(pjd_blk *k, const lucid *d)
{
    pjd_blk_val e = {PJD_NN_NONE, d->fourier ? 2 * d->fourier + 1 : d->dim};

    if (d->fourier) {
        const float *f = pjd_blk_take(k, "", "time_mlp.0", "weights", (pjd_shape){.rank = 1, .dim = {d->fourier}},
                                      false);

        if (!pjd_blk_idle(k))
            e.v = pjd_nn_fourier_embedding(k->b, f, d->fourier, true);
    } else if (!pjd_blk_idle(k)) {
        e.v = pjd_nn_time_embedding(k->b, d->dim, 1, false);
    }
    e = pjd_blk_linear(k, e, "", "time_mlp.1", 4 * d->dim, PJD_ACT_GELU);
    k->emb = pjd_blk_linear(k, e, "", "time_mlp.3", 4 * d->dim, PJD_ACT_SILU); /* every block begins with SiLU */
}

/* Self-conditioning, of which every second training step saw zeros, gets zeros. */
static pjd_blk_val input(pjd_blk *k, const lucid *d, pjd_blk_val x)
{
    if (!d->self_condition)
        return x;
    if (pjd_blk_idle(k))
        return (pjd_blk_val){PJD_NN_NONE, 2 * x.c};
    return (pjd_blk_val){pjd_nn_concat(k->b, pjd_nn_scale(k->b, x.v, 0), x.v), 2 * x.c};
}

static pjd_blk_val walk(pjd_blk *k, const lucid *d, const pjd_weights *w, pjd_blk_val x)
{
    pjd_blk_val first;

    embed(k, d);
    x = first = pjd_blk_conv(k, input(k, d, x), "", "init_conv", d->dims[0], 7, PJD_BLK_SAME, PJD_BLK_NONE);
    for (size_t l = 0; l < d->levels; l++) {
        pjd_blk_key key = pjd_blk_keyf("downs.%zu", l);

        x = residual(k, x, pjd_blk_keyf("downs.%zu.0", l).text, x.c);
        pjd_blk_push(k, x);
        x = residual(k, x, pjd_blk_keyf("downs.%zu.1", l).text, x.c);
        x = attention(k, w, x, pjd_blk_keyf("downs.%zu.2", l).text);
        pjd_blk_push(k, x);
        if (l + 1 < d->levels)
            x = halve(k, x, key.text, d->dims[l + 1]);
        else
            x = pjd_blk_conv(k, x, key.text, "3", d->dims[l + 1], 3, PJD_BLK_SAME, PJD_BLK_NONE);
    }
    x = residual(k, x, "mid_block1", x.c);
    x = attention(k, w, x, "mid_attn");
    x = residual(k, x, "mid_block2", x.c);
    for (size_t i = 0; i < d->levels; i++) {
        size_t l = d->levels - 1 - i;

        x = residual(k, pjd_blk_pop(k, x), pjd_blk_keyf("ups.%zu.0", i).text, d->dims[l + 1]);
        x = residual(k, pjd_blk_pop(k, x), pjd_blk_keyf("ups.%zu.1", i).text, d->dims[l + 1]);
        x = attention(k, w, x, pjd_blk_keyf("ups.%zu.2", i).text);
        x = pjd_blk_conv(k, x, pjd_blk_keyf("ups.%zu", i).text, l > 0 ? "3.1" : "3", d->dims[l], 3,
                         l > 0 ? PJD_BLK_UP : PJD_BLK_SAME, PJD_BLK_NONE);
    }
    pjd_blk_push(k, first);
    x = residual(k, pjd_blk_pop(k, x), "final_res_block", d->dims[0]);
    return pjd_blk_conv(k, x, "", "final_conv", d->out, 1, PJD_BLK_SAME, PJD_BLK_NONE);
}

/* ---- opening ---- */

static bool plausible(size_t channels)
{
    return channels >= 1 && channels <= PJD_NET_MAX_CHANNELS;
}

static pjd_status infer(const pjd_weights *w, lucid *d, pjd_error *err)
{
    if (!pjd_net_find(w, "mid_attn.mem_kv"))
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED,
                             WHO ": an older form (no mid_attn.mem_kv), before version 1.9 of the library: its "
                                 "networks are not supported");
    d->dim = pjd_net_dim(w, 0, "time_mlp.1.weight") / 4;
    d->fourier = pjd_net_dim(w, 0, "time_mlp.0.weights");
    d->in = pjd_net_dim(w, 1, "init_conv.weight");
    d->out = pjd_net_dim(w, 0, "final_conv.weight");
    while (d->levels <= PJD_NET_MAX_LEVELS && pjd_net_find(w, "downs.%zu.0.block1.proj.weight", d->levels))
        d->levels++;
    if (!plausible(d->dim) || d->dim < 4 || !plausible(d->in) || !plausible(d->out) || d->levels < 1 ||
        d->levels > PJD_NET_MAX_LEVELS || d->fourier > PJD_NET_MAX_CHANNELS)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": the shapes do not form a U-Net (%zu levels, dim %zu)",
                             d->levels, d->dim);
    d->dims[0] = pjd_net_dim(w, 0, "init_conv.weight");
    for (size_t l = 0; l < d->levels; l++)
        d->dims[l + 1] = l + 1 < d->levels ? pjd_net_dim(w, 0, "downs.%zu.3.1.weight", l)
                                           : pjd_net_dim(w, 0, "downs.%zu.3.weight", l);
    for (size_t l = 0; l <= d->levels; l++)
        if (!plausible(d->dims[l]))
            return pjd_error_set(err, PJD_ERR_MODEL, WHO ": level %zu has %zu channels", l, d->dims[l]);
    d->self_condition = d->in == 2 * d->out;
    if (d->self_condition)
        d->in = d->out;
    return PJD_OK;
}

/* A float buffer of T values of the GaussianDiffusion; *out stays NULL when there is none. */
static pjd_status buffer(const pjd_weights *w, const char *name, size_t *count, float **out, pjd_error *err)
{
    const pjd_tensor *t = pjd_net_find(w, "%s", name);

    *out = NULL;
    if (!t)
        return PJD_OK;
    if (t->shape.rank != 1 || t->shape.dim[0] < 1 || t->shape.dim[0] > PJD_NET_MAX_STEPS)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": %s: a list of 1 .. %d numbers expected", name,
                             PJD_NET_MAX_STEPS);
    *count = t->shape.dim[0];
    *out = pjd_alloc(*count, sizeof **out);
    if (!*out)
        return pjd_error_nomem(err, WHO, *count * sizeof **out);
    pjd_tensor_to_f32(t, *out);
    return PJD_OK;
}

/*
 * The weight of the loss at step t is, up to a cap at high signal-to-noise ratios r, 1 when noise is predicted, r when x0
 * is, r / (1 + r) when v is. NULL when it is none of these.
 */
static const char *objective_of(const pjd_network *net, const float *weight)
{
    static const char *const kinds[] = {"pred_noise", "pred_x0", "pred_v"};
    double miss[3] = {0}, abar = 1;
    size_t used = 0, best = 0;

    for (size_t t = 0; t < net->timesteps; t++) {
        double r;

        abar *= 1 - net->betas[t];
        r = abar / (1 - abar);
        if (!(r > 0.02 && r < 0.9))
            continue;
        used++;
        miss[0] += fabs((double)weight[t] - 1);
        miss[1] += fabs((double)weight[t] - r) / r;
        miss[2] += fabs((double)weight[t] - r / (1 + r)) * (1 + r) / r;
    }
    for (size_t i = 1; i < 3; i++)
        if (miss[i] < miss[best])
            best = i;
    return used > 0 && miss[best] / (double)used < 0.01 ? kinds[best] : NULL;
}

/* The checkpoint's own betas. */
static pjd_status stored_schedule(pjd_network *net, pjd_error *err)
{
    float *betas = NULL;
    size_t n = 0;
    pjd_status st = buffer(net->w, "betas", &n, &betas, err);

    if (st != PJD_OK || !betas)
        return st;
    net->betas = pjd_alloc(n, sizeof *net->betas);
    if (!net->betas) {
        pjd_free(betas);
        return pjd_error_nomem(err, WHO, n * sizeof *net->betas);
    }
    for (size_t i = 0; i < n; i++)
        net->betas[i] = (double)betas[i];
    net->timesteps = n;
    snprintf(net->schedule, sizeof net->schedule, "betas of the checkpoint");
    pjd_free(betas);
    return pjd_network_detail(net, err, "checkpoint", "schedule", "its betas, %zu steps", n);
}

/* This library's schedules: linear is scaled to the number of steps, sigmoid is one of abar. */
static pjd_status named_schedule(pjd_network *net, const lucid *d, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    pjd_net_schedule s = d->opt;
    size_t n = (size_t)s.num_train_timesteps;
    char noise[] = "linear", cosine[] = "cosine";
    pjd_status st;

    if (!pjd_hyper_source(h, "beta_schedule") && !pjd_hyper_source(h, "trained_betas") &&
        !pjd_hyper_source(h, "noise_schedule"))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": a bare network does not tell its schedule: give --model-config "
                                 "beta_schedule=sigmoid, cosine or linear, and num_train_timesteps unless it is 1000");
    if (pjd_hyper_source(h, "beta_schedule") && !strcmp(s.beta_schedule, "sigmoid")) {
        net->betas = pjd_alloc(n, sizeof *net->betas);
        if (!net->betas)
            return pjd_error_nomem(err, WHO, n * sizeof *net->betas);
        net->timesteps = n;
        snprintf(net->schedule, sizeof net->schedule, "sigmoid");
        st = pjd_schedule_betas("sigmoid_abar", 0, 0, n, net->betas, err);
        if (st != PJD_OK)
            return st;
        return pjd_network_detail(net, err, pjd_hyper_source(h, "beta_schedule"), "schedule", "sigmoid, %zu steps", n);
    }
    if (pjd_hyper_source(h, "beta_schedule") &&
        (!strcmp(s.beta_schedule, "linear") || !strcmp(s.beta_schedule, "cosine"))) {
        s.noise_schedule = s.beta_schedule[0] == 'l' ? noise : cosine;
        s.diffusion_steps = s.num_train_timesteps;
    }
    return pjd_net_schedule_apply(h, &s, log, net, err);
}

static pjd_status set_prediction(pjd_network *net, const lucid *d, const pjd_hyper *h, pjd_error *err)
{
    const char *o = d->objective, *from = pjd_hyper_source(h, "objective");
    float *weight = NULL;
    size_t n = 0;
    pjd_status st = PJD_OK;

    if (!from && pjd_hyper_source(h, "prediction_type")) {
        from = pjd_hyper_source(h, "prediction_type");
        o = !strcmp(d->opt.prediction_type, "epsilon")        ? "pred_noise"
            : !strcmp(d->opt.prediction_type, "sample")       ? "pred_x0"
            : !strcmp(d->opt.prediction_type, "v_prediction") ? "pred_v"
                                                              : d->opt.prediction_type;
    }
    if (!from) {
        st = buffer(net->w, "loss_weight", &n, &weight, err);
        if (st != PJD_OK)
            return st;
        o = weight && n == net->timesteps ? objective_of(net, weight) : NULL;
        from = "inferred from loss_weight";
        pjd_free(weight);
    }
    if (!o)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": the checkpoint does not tell what the network predicts: give --model-config "
                                 "objective=pred_v, pred_noise or pred_x0");
    if (!strcmp(o, "pred_noise"))
        net->prediction = PJD_PREDICT_EPS;
    else if (!strcmp(o, "pred_x0"))
        net->prediction = PJD_PREDICT_X0;
    else if (!strcmp(o, "pred_v"))
        net->prediction = PJD_PREDICT_V;
    else
        return pjd_error_set(err, PJD_ERR_ARG, WHO ": objective expects pred_noise, pred_x0 or pred_v, found \"%.60s\"",
                             o);
    return pjd_network_detail(net, err, from, "objective", "%s", o);
}

static pjd_status set_schedule(pjd_network *net, const lucid *d, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    static const char *const keys[] = {"beta_schedule", "trained_betas", "noise_schedule", "diffusion_steps",
                                       "num_train_timesteps"};
    bool told = false;

    for (size_t i = 0; i < PJD_COUNTOF(keys); i++)
        told |= pjd_hyper_source(h, keys[i]) != NULL;
    if (!told && pjd_net_find(net->w, "betas"))
        return stored_schedule(net, err);
    return named_schedule(net, d, h, log, err);
}

static pjd_status details(pjd_network *net, const lucid *d, pjd_error *err)
{
    char dims[160] = "";
    size_t a = 0;
    const char *from = "inferred";
    pjd_status st;

    for (size_t l = 0; l <= d->levels; l++)
        a += (size_t)snprintf(dims + a, sizeof dims - a, "%s%zu", l ? "," : "", d->dims[l]);
    st = pjd_network_detail(net, err, from, "dim", "%zu", d->dim);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "channels of the levels", "%s", dims);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "time embedding", "%s",
                                d->fourier ? "learned or random frequencies" : "sinusoids");
    if (st == PJD_OK && d->self_condition)
        st = pjd_network_detail(net, err, from, "self_condition", "true (zeros are given)");
    return st;
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    /* of the GaussianDiffusion around the network, and of the averaging around that */
    static const char *const ignored[] = {"betas",
                                          "alphas_cumprod",
                                          "alphas_cumprod_prev",
                                          "sqrt_alphas_cumprod",
                                          "sqrt_one_minus_alphas_cumprod",
                                          "log_one_minus_alphas_cumprod",
                                          "sqrt_recip_alphas_cumprod",
                                          "sqrt_recipm1_alphas_cumprod",
                                          "posterior_variance",
                                          "posterior_log_variance_clipped",
                                          "posterior_mean_coef1",
                                          "posterior_mean_coef2",
                                          "loss_weight",
                                          "p2_loss_weight",
                                          "initted",
                                          "step",
                                          NULL};
    lucid *d = net->priv;
    pjd_blk k;
    pjd_status st = infer(net->w, d, err);

    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &d->opt, sizeof d->opt, err);
    if (st != PJD_OK)
        return st;
    pjd_blk_start(&k, WHO, NULL, net->tensors, NULL);
    walk(&k, d, net->w, (pjd_blk_val){PJD_NN_NONE, d->in});
    st = pjd_blk_check(&k, net->w, ignored, err);
    if (st == PJD_OK)
        st = set_schedule(net, d, h, log, err);
    if (st == PJD_OK)
        st = set_prediction(net, d, h, err);
    if (st == PJD_OK)
        st = details(net, d, err);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    net->in_channels = d->in;
    net->out_channels = d->out;
    net->multiple = (size_t)1 << (d->levels - 1);
    net->conditional = d->out != d->in && d->out != 2 * d->in;
    return st;
}

static int lucidrains_match(const pjd_weights *w)
{
    const pjd_tensor *t = pjd_net_find(w, "init_conv.weight");

    return t && t->shape.rank == 4 && pjd_net_find(w, "time_mlp.1.weight") &&
                   pjd_net_find(w, "downs.0.0.block1.proj.weight")
               ? 90
               : 0;
}

static pjd_status lucidrains_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log,
                                  pjd_network **out, pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_lucidrains, WHO, w, config, log, sizeof(lucid), set_up, out, err);
}

static pjd_nn_value lucidrains_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, NULL, net->tensors, b);
    return walk(&k, net->priv, net->w, (pjd_blk_val){x, net->in_channels}).v;
}

static void lucidrains_destroy(pjd_network *net)
{
    lucid *d = net->priv;

    if (d)
        pjd_params_clear(params, PJD_COUNTOF(params), &d->opt);
}

const pjd_network_class pjd_net_lucidrains = {
    .entry = {"lucidrains", "denoising-diffusion-pytorch's Unet, alone or in its GaussianDiffusion", params,
              PJD_COUNTOF(params), false},
    .match = lucidrains_match,
    .open = lucidrains_open,
    .build = lucidrains_build,
    .destroy = lucidrains_destroy,
};
