/* SPDX-License-Identifier: MIT */
/*
 * The networks of EDM (Karras et al. 2022): SongUNet (DDPM++, NCSN++ of Song et al. 2021) and DhariwalUNet (ADM of
 * Dhariwal & Nichol 2021), and the four preconditionings they are trained with. Widths, levels, blocks, attention,
 * encoder, decoder, filter and embedding follow from names and shapes; which preconditioning does not always.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "networks/blocks.h"
#include "networks/hyper.h"

extern const pjd_network_class pjd_net_edm;

#define WHO "EDM network"
#define MAX_TAPS 16
#define MAX_STEPS 10000 /* of iDDPM's table of noise levels */

typedef struct edm {
    pjd_net_schedule opt;
    char *preconditioning;
    double sigma_data, beta_d, beta_min;
    long m, channels_per_head;
    bool dhariwal, fourier, aux_skip, aux_residual, decoder_skip;
    size_t resolution, levels, blocks, noise, width, in, out, classes, augment, taps;
    size_t channels[PJD_NET_MAX_LEVELS];
    float *u; /* iDDPM: noise levels, [m + 1], falling */
} edm;

#define EDM_PARAM(field, name_, type_, fallback_, min_, max_, help_)                                                   \
    {                                                                                                                  \
        .name = (name_), .type = (type_), .fallback = (fallback_), .min = (min_), .max = (max_), .unit = "",           \
        .help = (help_), .offset = offsetof(edm, field)                                                                \
    }
static const pjd_param params[] = {
    PJD_NET_SCHEDULE_PARAMS,
    EDM_PARAM(preconditioning, "preconditioning", PJD_PARAM_TEXT, "", 0, 0,
              "what the network was trained as: edm, vp, ve or iddpm"),
    EDM_PARAM(sigma_data, "sigma_data", PJD_PARAM_FLOAT, "0.5", 1e-6, 1e6, "edm: standard deviation of the data"),
    EDM_PARAM(beta_d, "beta_d", PJD_PARAM_FLOAT, "19.9", 1e-6, 1e6, "vp: extent of the noise schedule"),
    EDM_PARAM(beta_min, "beta_min", PJD_PARAM_FLOAT, "0.1", 0, 1e6, "vp: first slope of the noise schedule"),
    EDM_PARAM(m, "M", PJD_PARAM_INT, "1000", 2, MAX_STEPS, "vp, iddpm: time steps the network was trained with"),
    EDM_PARAM(channels_per_head, "channels_per_head", PJD_PARAM_INT, "64", 1, PJD_NET_MAX_CHANNELS,
              "DhariwalUNet: channels of an attention head"),
};

static const pjd_blk_names names = {.norm1 = "norm0",
                                    .conv1 = "conv0",
                                    .emb = "affine",
                                    .norm2 = "norm1",
                                    .conv2 = "conv1",
                                    .shortcut = "skip",
                                    .norm = "norm2",
                                    .qkv = "qkv",
                                    .proj = "proj",
                                    .attention_rank = 4};

/* ---- the layers ---- */

/* A class is the linear layer of its one-hot label; SongUNet scales that by sqrt(classes). */
static pjd_blk_val add_class(pjd_blk *k, const edm *d, pjd_blk_val e)
{
    pjd_shape shape = {.rank = 2, .dim = {e.c, d->classes}};
    const float *weight = pjd_blk_take(k, "", "map_label", "weight", shape, false), *bias = NULL;

    if (!d->dhariwal)
        bias = pjd_blk_take(k, "", "map_label", "bias", (pjd_shape){.rank = 1, .dim = {e.c}}, false);
    if (!pjd_blk_idle(k))
        e.v = pjd_nn_add(
            k->b, e.v,
            pjd_nn_class_linear(k->b, weight, bias, d->dhariwal ? 1 : sqrt((double)d->classes), d->classes, e.c));
    return e;
}

static void embed(pjd_blk *k, const edm *d)
{
    pjd_blk_val e = {PJD_NN_NONE, d->noise};
    bool late = d->dhariwal && d->classes; /* the class joins after the two linear layers */

    if (d->fourier) {
        const float *f = pjd_blk_take(k, "", "map_noise", "freqs", (pjd_shape){.rank = 1, .dim = {d->noise / 2}}, true);

        if (!pjd_blk_idle(k))
            e.v = pjd_nn_fourier_embedding(k->b, f, d->noise / 2, false);
    } else if (!pjd_blk_idle(k)) {
        e.v = pjd_nn_time_embedding(k->b, d->noise, d->dhariwal ? 0 : 1, d->dhariwal);
    }
    if (d->classes && !d->dhariwal)
        e = add_class(k, d, e);
    if (d->augment) /* labels of augmentation are zero outside training */
        pjd_blk_take(k, "", "map_augment", "weight", (pjd_shape){.rank = 2, .dim = {d->noise, d->augment}}, false);
    e = pjd_blk_linear(k, e, "", "map_layer0", d->width, PJD_ACT_SILU);
    e = pjd_blk_linear(k, e, "", "map_layer1", d->width, late ? PJD_ACT_NONE : PJD_ACT_SILU);
    if (late) {
        e = add_class(k, d, e);
        if (!pjd_blk_idle(k))
            e.v = pjd_nn_activation(k->b, e.v, PJD_ACT_SILU);
    }
    k->emb = e;
}

/* A residual block, with its attention where the checkpoint has one. */
static pjd_blk_val block(pjd_blk *k, const edm *d, const pjd_weights *w, pjd_blk_val x, const char *key, size_t out,
                         pjd_blk_resample how)
{
    size_t heads = d->dhariwal ? out / (size_t)d->channels_per_head : 1;

    x = pjd_blk_residual(k, x, key, out, how);
    return pjd_net_find(w, "%s.qkv.weight", key) ? pjd_blk_attention(k, x, key, heads, PJD_BLK_PARTS_LAST, true) : x;
}

static pjd_blk_val sum(pjd_blk *k, pjd_blk_val x, pjd_blk_val y)
{
    return pjd_blk_idle(k) ? x : (pjd_blk_val){pjd_nn_add(k->b, x.v, y.v), x.c};
}

static void replace_top(pjd_blk *k, pjd_blk_val x)
{
    if (k->depth > 0)
        k->skips[k->depth - 1] = x;
}

/*
 * NCSN++'s residual way down: a convolution, then the filter at every second position. Zeros around the picture are
 * wide enough for both, so the filter itself adds none.
 */
static pjd_blk_val aux_residual(pjd_blk *k, const edm *d, pjd_blk_val aux, const char *key, size_t out)
{
    size_t pad = d->taps / 2;
    pjd_nn_conv p = {.out = out,
                     .kh = 3,
                     .kw = 3,
                     .stride = 1,
                     .pad_top = pad,
                     .pad_bottom = pad,
                     .pad_left = pad,
                     .pad_right = pad,
                     .residual = PJD_NN_NONE};
    const float *filter;

    p.weight = pjd_blk_take(k, "", key, "weight", (pjd_shape){.rank = 4, .dim = {out, aux.c, 3, 3}}, false);
    p.bias = pjd_blk_take(k, "", key, "bias", (pjd_shape){.rank = 1, .dim = {out}}, false);
    filter = pjd_blk_take(k, "", key, "resample_filter", (pjd_shape){.rank = 4, .dim = {1, 1, d->taps, d->taps}}, true);
    if (pjd_blk_idle(k))
        return (pjd_blk_val){PJD_NN_NONE, out};
    return (pjd_blk_val){pjd_nn_fir(k->b, pjd_nn_conv2d(k->b, aux.v, &p), filter, d->taps, 0, false), out};
}

static pjd_blk_val walk_down(pjd_blk *k, const edm *d, const pjd_weights *w, pjd_blk_val x)
{
    pjd_blk_val aux = x;

    for (size_t l = 0; l < d->levels; l++) {
        size_t r = d->resolution >> l;
        pjd_blk_key at = pjd_blk_keyf("enc.%zux%zu", r, r), key;

        if (l == 0) {
            x = pjd_blk_conv(k, x, "", pjd_blk_keyf("%.60s_conv", at.text).text,
                             pjd_net_dim(w, 0, "%s_conv.weight", at.text), 3, PJD_BLK_SAME, PJD_BLK_NONE);
        } else {
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_down", at.text).text, x.c, PJD_BLK_HALVE);
        }
        pjd_blk_push(k, x);
        if (l > 0 && d->aux_skip) {
            key = pjd_blk_keyf("%.60s_aux_skip", at.text);
            aux = pjd_blk_resampled(k, aux, "", pjd_blk_keyf("%.60s_aux_down", at.text).text, PJD_BLK_HALVE);
            x = pjd_blk_conv(k, aux, "", key.text, x.c, 1, PJD_BLK_SAME, x);
            replace_top(k, x);
        }
        if (l > 0 && d->aux_residual) {
            x = sum(k, x, aux_residual(k, d, aux, pjd_blk_keyf("%.60s_aux_residual", at.text).text, x.c));
            if (!pjd_blk_idle(k))
                x.v = pjd_nn_scale(k->b, x.v, sqrt(0.5));
            aux = x;
            replace_top(k, x);
        }
        for (size_t i = 0; i < d->blocks; i++) {
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_block%zu", at.text, i).text, d->channels[l], PJD_BLK_KEEP);
            pjd_blk_push(k, x);
        }
    }
    return x;
}

static pjd_blk_val walk_up(pjd_blk *k, const edm *d, const pjd_weights *w, pjd_blk_val x)
{
    pjd_blk_val aux = PJD_BLK_NONE;
    bool begun = false;

    for (size_t l = d->levels; l-- > 0;) {
        size_t r = d->resolution >> l;
        pjd_blk_key at = pjd_blk_keyf("dec.%zux%zu", r, r);

        if (l == d->levels - 1) {
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_in0", at.text).text, x.c, PJD_BLK_KEEP);
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_in1", at.text).text, x.c, PJD_BLK_KEEP);
        } else {
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_up", at.text).text, x.c, PJD_BLK_DOUBLE);
        }
        for (size_t i = 0; i <= d->blocks; i++) {
            x = pjd_blk_pop(k, x);
            x = block(k, d, w, x, pjd_blk_keyf("%.60s_block%zu", at.text, i).text, d->channels[l], PJD_BLK_KEEP);
        }
        if (d->dhariwal || (l > 0 && !d->decoder_skip))
            continue;
        if (begun)
            aux = pjd_blk_resampled(k, aux, "", pjd_blk_keyf("%.60s_aux_up", at.text).text, PJD_BLK_DOUBLE);
        aux = pjd_blk_conv(
            k, pjd_blk_norm(k, x, "", pjd_blk_keyf("%.60s_aux_norm", at.text).text, PJD_BLK_NONE, PJD_ACT_SILU), "",
            pjd_blk_keyf("%.60s_aux_conv", at.text).text, d->out, 3, PJD_BLK_SAME, aux);
        begun = true;
    }
    if (!d->dhariwal)
        return aux;
    x = pjd_blk_norm(k, x, "", "out_norm", PJD_BLK_NONE, PJD_ACT_SILU);
    return pjd_blk_conv(k, x, "", "out_conv", d->out, 3, PJD_BLK_SAME, PJD_BLK_NONE);
}

static pjd_blk_val walk(pjd_blk *k, const edm *d, const pjd_weights *w, pjd_blk_val x)
{
    k->groups = 32;
    k->per_group = 4;
    k->eps = d->dhariwal ? 1e-5 : 1e-6;
    k->shrink = d->dhariwal ? 1 : sqrt(0.5);
    k->scale_shift = d->dhariwal;
    k->project_resampled = !d->dhariwal;
    k->taps = d->taps;
    embed(k, d);
    return walk_up(k, d, w, walk_down(k, d, w, x));
}

/* ---- preconditioning ---- */

static pjd_edm as_vp(const pjd_network *net, double sigma)
{
    const edm *d = net->priv;
    double t = (sqrt(d->beta_min * d->beta_min + 2 * d->beta_d * log(1 + sigma * sigma)) - d->beta_min) / d->beta_d;

    return (pjd_edm){
        .c_skip = 1, .c_out = -sigma, .c_in = 1 / sqrt(1 + sigma * sigma), .c_noise = (double)(d->m - 1) * t};
}

static pjd_edm as_ve(const pjd_network *net, double sigma)
{
    return (pjd_edm){.c_skip = 1, .c_out = sigma, .c_in = 1, .c_noise = log(sigma / 2)};
}

/* The network knows the levels of its table: it is told the nearest. */
static pjd_edm as_iddpm(const pjd_network *net, double sigma)
{
    const edm *d = net->priv;
    size_t best = 0, m = (size_t)d->m;

    for (size_t j = 1; j <= m; j++)
        if (fabs(sigma - (double)d->u[j]) < fabs(sigma - (double)d->u[best]))
            best = j;
    return (pjd_edm){
        .c_skip = 1, .c_out = -sigma, .c_in = 1 / sqrt(1 + sigma * sigma), .c_noise = (double)m - 1 - (double)best};
}

/* iDDPM's noise levels: from the checkpoint's buffer, or its formula (Nichol & Dhariwal's cosine, ratios >= 0.001). */
static pjd_status iddpm_levels(pjd_network *net, edm *d, pjd_error *err)
{
    const pjd_tensor *t = pjd_net_find(net->w, "u");
    size_t n = (size_t)d->m + 1;

    if (t && (t->shape.rank != 1 || t->shape.dim[0] < 3 || t->shape.dim[0] > MAX_STEPS + 1))
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": u: a list of noise levels expected");
    if (t)
        n = t->shape.dim[0];
    d->m = (long)n - 1;
    d->u = pjd_alloc_zero(n, sizeof *d->u);
    if (!d->u)
        return pjd_error_nomem(err, WHO, n * sizeof *d->u);
    if (t) {
        pjd_tensor_to_f32(t, d->u);
        return PJD_OK;
    }
    for (size_t j = n - 1; j > 0; j--) {
        double scale = 1.5707963267948966 / (double)(n - 1) / 1.008;
        double a = sin(scale * (double)(j - 1)), b = sin(scale * (double)j), u = (double)d->u[j];

        d->u[j - 1] = (float)sqrt((u * u + 1) / fmax(a * a / (b * b), 0.001) - 1);
    }
    return PJD_OK;
}

static pjd_status set_preconditioning(pjd_network *net, edm *d, pjd_error *err)
{
    const char *p = d->preconditioning;

    net->sigma_data = d->sigma_data;
    if (!strcmp(p, "edm"))
        return PJD_OK;
    net->precondition = !strcmp(p, "vp") ? as_vp : !strcmp(p, "ve") ? as_ve : as_iddpm;
    if (!strcmp(p, "iddpm"))
        return iddpm_levels(net, d, err);
    if (net->precondition == as_iddpm)
        return pjd_error_set(err, PJD_ERR_ARG, WHO ": preconditioning expects edm, vp, ve or iddpm, found \"%.60s\"",
                             p);
    return PJD_OK;
}

/* What settles how the network was trained, when the user does not say. */
static pjd_status choose_preconditioning(const pjd_network *net, const edm *d, pjd_hyper *h, pjd_error *err)
{
    if (pjd_hyper_source(h, "preconditioning"))
        return PJD_OK;
    if (pjd_net_find(net->w, "u"))
        return pjd_hyper_set(h, "inferred", "preconditioning", err, "iddpm");
    if (d->augment || d->dhariwal) /* of the published networks only EDM's own are so */
        return pjd_hyper_set(h, "table", "preconditioning", err, "edm");
    return pjd_error_set(err, PJD_ERR_MODEL,
                         WHO ": the checkpoint does not tell its preconditioning: give --model-config "
                             "preconditioning=edm, vp, ve or iddpm");
}

/* ---- opening ---- */

static bool plausible(size_t channels)
{
    return channels >= 1 && channels <= PJD_NET_MAX_CHANNELS;
}

/* The first level is called by the size of the training pictures. */
static size_t find_resolution(const pjd_weights *w)
{
    for (size_t i = 0; i < pjd_weights_count(w); i++) {
        const char *name = pjd_weights_name(w, i);
        size_t r = 0;

        if (strncmp(name, "enc.", 4) != 0)
            continue;
        for (const char *c = name + 4; *c >= '0' && *c <= '9' && r < 1000000; c++)
            r = 10 * r + (size_t)(*c - '0');
        if (r > 0 && r < 1000000 && pjd_net_find(w, "enc.%zux%zu_conv.weight", r, r))
            return r;
    }
    return 0;
}

/* The filter's width; a filter of two taps must be the mean, which runs without one. */
static pjd_status infer_filter(const pjd_weights *w, edm *d, pjd_error *err)
{
    size_t r = d->resolution >> 1;
    const pjd_tensor *t = pjd_net_find(w, "enc.%zux%zu_down.conv0.resample_filter", r, r);
    float f[4];

    if (d->levels < 2)
        return PJD_OK;
    if (!t || t->shape.rank != 4 || t->shape.dim[3] < 2 || t->shape.dim[3] > MAX_TAPS || t->shape.dim[3] % 2 != 0)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": enc.%zux%zu_down.conv0.resample_filter: a filter of 2, 4 .. %d taps expected", r, r,
                             MAX_TAPS);
    d->taps = t->shape.dim[3];
    if (d->taps > 2)
        return PJD_OK;
    if (t->shape.dim[0] != 1 || t->shape.dim[1] != 1 || t->shape.dim[2] != 2)
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": resample_filter: 1 x 1 x 2 x 2 expected");
    pjd_tensor_to_f32(t, f);
    for (size_t i = 0; i < 4; i++)
        if (!(fabsf(f[i] - 0.25f) < 1e-5f))
            return pjd_error_set(err, PJD_ERR_UNSUPPORTED,
                                 WHO ": resample_filter: of two taps only the mean is supported, found %g",
                                 (double)f[i]);
    return PJD_OK;
}

static pjd_status infer(const pjd_weights *w, edm *d, pjd_error *err)
{
    size_t r = d->resolution = find_resolution(w);

    d->dhariwal = pjd_net_find(w, "out_norm.weight") != NULL;
    d->fourier = pjd_net_find(w, "map_noise.freqs") != NULL;
    d->noise = pjd_net_dim(w, 1, "map_layer0.weight");
    d->width = pjd_net_dim(w, 0, "map_layer0.weight");
    d->classes = pjd_net_dim(w, 1, "map_label.weight");
    d->augment = pjd_net_dim(w, 1, "map_augment.weight");
    d->in = pjd_net_dim(w, 1, "enc.%zux%zu_conv.weight", r, r);
    d->out = d->dhariwal ? pjd_net_dim(w, 0, "out_conv.weight")
                         : pjd_net_dim(w, 0, "dec.%zux%zu_aux_conv.weight", r, r);
    while (d->levels < PJD_NET_MAX_LEVELS && r >> d->levels &&
           pjd_net_find(w, "enc.%zux%zu_block0.norm0.weight", r >> d->levels, r >> d->levels))
        d->levels++;
    while (d->blocks <= PJD_NET_MAX_BLOCKS && pjd_net_find(w, "enc.%zux%zu_block%zu.norm0.weight", r, r, d->blocks))
        d->blocks++;
    if (!plausible(d->noise) || !plausible(d->width) || !plausible(d->in) || !plausible(d->out) || d->levels < 1 ||
        d->blocks < 1 || d->blocks > PJD_NET_MAX_BLOCKS || d->classes > PJD_NET_MAX_CLASSES ||
        d->augment > PJD_NET_MAX_CHANNELS || (d->fourier && d->noise < 2) || (!d->fourier && d->noise < 4))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             WHO ": the shapes do not form a U-Net (%zu levels of %zu blocks from %zu x %zu)",
                             d->levels, d->blocks, r, r);
    if (!plausible(pjd_net_dim(w, 0, "enc.%zux%zu_conv.weight", r, r)))
        return pjd_error_set(err, PJD_ERR_MODEL, WHO ": enc.%zux%zu_conv has no plausible shape", r, r);
    for (size_t l = 0; l < d->levels; l++) {
        d->channels[l] = pjd_net_dim(w, 0, "enc.%zux%zu_block0.conv0.weight", r >> l, r >> l);
        if (!plausible(d->channels[l]))
            return pjd_error_set(err, PJD_ERR_MODEL, WHO ": level %zu has %zu channels", l, d->channels[l]);
    }
    d->aux_skip = pjd_net_find(w, "enc.%zux%zu_aux_skip.weight", r >> 1, r >> 1) != NULL;
    d->aux_residual = pjd_net_find(w, "enc.%zux%zu_aux_residual.weight", r >> 1, r >> 1) != NULL;
    d->decoder_skip = d->levels > 1 && pjd_net_find(w, "dec.%zux%zu_aux_norm.weight", r >> 1, r >> 1) != NULL;
    return infer_filter(w, d, err);
}

static pjd_status details(pjd_network *net, const edm *d, const pjd_hyper *h, pjd_error *err)
{
    char widths[128] = "", at[160] = "";
    size_t a = 0, b = 0;
    const char *from = "inferred", *p = d->preconditioning, *source = pjd_hyper_source(h, "sigma_data");
    pjd_status st;

    for (size_t l = 0; l < d->levels; l++) {
        size_t r = d->resolution >> l;

        a += (size_t)snprintf(widths + a, sizeof widths - a, "%s%zu", l ? "," : "", d->channels[l]);
        if (pjd_net_find(net->w, "enc.%zux%zu_block0.qkv.weight", r, r))
            b += (size_t)snprintf(at + b, sizeof at - b, "%s%zu", b ? "," : "", r);
    }
    st = pjd_network_detail(net, err, from, "network", "%s", d->dhariwal ? "DhariwalUNet" : "SongUNet");
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "img_resolution", "%zu (other sizes run too)", d->resolution);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "channels", "%s", widths);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "num_blocks", "%zu", d->blocks);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, from, "attn_resolutions", "%s", b ? at : "middle only");
    if (st == PJD_OK && !d->dhariwal)
        st = pjd_network_detail(net, err, from, "encoder, decoder, embedding, filter", "%s, %s, %s, %zu taps",
                                d->aux_residual ? "residual"
                                : d->aux_skip   ? "skip"
                                                : "standard",
                                d->decoder_skip ? "skip" : "standard", d->fourier ? "fourier" : "positional", d->taps);
    if (st == PJD_OK && d->dhariwal)
        st = pjd_network_detail(net, err,
                                pjd_hyper_source(h, "channels_per_head") ? pjd_hyper_source(h, "channels_per_head")
                                                                         : "the library's fixed value",
                                "channels_per_head", "%ld", d->channels_per_head);
    if (st == PJD_OK)
        st = pjd_network_detail(net, err, pjd_hyper_source(h, "preconditioning"), "preconditioning", "%s", p);
    if (st == PJD_OK && !strcmp(p, "edm"))
        st = pjd_network_detail(net, err, source ? source : "the library's default", "sigma_data", "%g", d->sigma_data);
    return st;
}

static pjd_status options(pjd_network *net, edm *d, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    pjd_status st = pjd_hyper_json(h, "checkpoint", pjd_weights_hyper(net->w), "", log, err);

    if (st == PJD_OK)
        st = choose_preconditioning(net, d, h, err);
    /* The network is asked by its noise level; the schedule is only the way a solver walks through these. */
    if (st == PJD_OK && !pjd_hyper_source(h, "noise_schedule") && !pjd_hyper_source(h, "diffusion_steps"))
        st = pjd_hyper_set(h, "any will do: the network takes noise levels", "beta_schedule", err, "linear");
    if (st == PJD_OK)
        st = pjd_hyper_set(h, "preconditioning", "prediction_type", err, "sample");
    if (st == PJD_OK)
        st = pjd_hyper_fill(h, &d->opt, sizeof d->opt, err);
    return st;
}

static pjd_status set_up(pjd_network *net, pjd_hyper *h, const pjd_log *log, pjd_error *err)
{
    static const char *const ignored[] = {"u", NULL};
    edm *d = net->priv;
    pjd_blk k;
    pjd_status st = infer(net->w, d, err);

    if (st == PJD_OK)
        st = options(net, d, h, log, err);
    if (st != PJD_OK)
        return st;
    pjd_blk_start(&k, WHO, &names, net->tensors, NULL);
    walk(&k, d, net->w, (pjd_blk_val){PJD_NN_NONE, d->in});
    st = pjd_blk_check(&k, net->w, ignored, err);
    if (st == PJD_OK)
        st = set_preconditioning(net, d, err);
    if (st == PJD_OK)
        st = pjd_net_schedule_apply(h, &d->opt, log, net, err);
    if (st == PJD_OK)
        st = details(net, d, h, err);
    net->parameters = pjd_net_tensors_parameters(net->tensors);
    net->in_channels = d->in;
    net->out_channels = d->out;
    net->num_classes = d->classes;
    net->multiple = (size_t)1 << (d->levels - 1);
    net->conditional = d->out != d->in && d->out != 2 * d->in;
    return st;
}

static int edm_match(const pjd_weights *w)
{
    return pjd_net_find(w, "map_layer0.weight") && find_resolution(w) ? 100 : 0;
}

static pjd_status edm_open(const pjd_weights *w, const pjd_keyvalues *config, const pjd_log *log, pjd_network **out,
                           pjd_error *err)
{
    return pjd_hyper_open(&pjd_net_edm, WHO, w, config, log, sizeof(edm), set_up, out, err);
}

static pjd_nn_value edm_build(const pjd_network *net, pjd_nn_builder *b, pjd_nn_value x)
{
    pjd_blk k;

    pjd_blk_start(&k, WHO, &names, net->tensors, b);
    return walk(&k, net->priv, net->w, (pjd_blk_val){x, net->in_channels}).v;
}

static void edm_destroy(pjd_network *net)
{
    edm *d = net->priv;

    if (d) {
        pjd_params_clear(params, PJD_COUNTOF(params), &d->opt);
        pjd_free(d->u);
    }
}

const pjd_network_class pjd_net_edm = {
    .entry = {"edm", "SongUNet and DhariwalUNet of EDM, with their preconditionings", params, PJD_COUNTOF(params),
              false},
    .match = edm_match,
    .open = edm_open,
    .build = edm_build,
    .destroy = edm_destroy,
};
