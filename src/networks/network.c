/* SPDX-License-Identifier: MIT */
/* Choosing a network by its key names, and what every network has. */
#include "networks/network.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "networks/tensors.h"

/* Networks that exist, are recognised, and cannot be run: a better answer than "unknown". */
static const struct {
    const char *part; /* of a key name */
    const char *what;
} known_others[] = {
    {"transformer_blocks.", "a latent or text-conditional diffusion network"},
    {"cond_stage_model.", "a latent diffusion checkpoint"},
    {"first_stage_model.", "a latent diffusion checkpoint"},
    {"out.2.positional_embedding", "a guided-diffusion classifier"},
    {"Conv2d_1a_3x3.conv.weight", "an Inception-v3 feature network"},
    {"time_mlp.1.weight", "a denoising-diffusion-pytorch network for sequences, or of an older form"},
    {"quant_conv.weight", "an autoencoder"},
    {"b1.0.ln.weight", "a small diffusion network of a tutorial (MNIST)"},
    {"gt.blocks.0.net.0.weight", "a small diffusion network of a tutorial (MNIST)"},
    {"lin0.model.1.weight", "the linear heads of LPIPS, a metric"},
    {"weight_ih_l0", "a recurrent network"},
    {"i2h.weight", "a recurrent network"},
};

/* "0.weight", "2.bias": layers one after the other, without names. */
static bool is_stack(const pjd_weights *w)
{
    for (size_t i = 0; i < pjd_weights_count(w); i++) {
        const char *name = pjd_weights_name(w, i);
        size_t digits = strspn(name, "0123456789");

        if (digits == 0 || name[digits] != '.' || strchr(name + digits + 1, '.'))
            return false;
    }
    return pjd_weights_count(w) > 0;
}

static pjd_status unknown(const pjd_weights *w, pjd_error *err)
{
    size_t n = pjd_weights_count(w);
    char names[200] = "";
    size_t used = 0;

    for (size_t k = 0; k < PJD_COUNTOF(known_others); k++)
        for (size_t i = 0; i < n; i++)
            if (strstr(pjd_weights_at(w, i)->name, known_others[k].part))
                return pjd_error_set(err, PJD_ERR_MODEL,
                                     "model: this looks like %s (it has %.100s), which is not supported",
                                     known_others[k].what, pjd_weights_at(w, i)->name);
    if (is_stack(w))
        return pjd_error_set(err, PJD_ERR_MODEL,
                             "model: this looks like a plain stack of layers (%zu tensors, the first is %.60s), a "
                             "denoiser such as DnCNN and no diffusion model: it does not know noise levels",
                             n, pjd_weights_at(w, 0)->name);
    for (size_t i = 0; i < n && i < 3 && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s", i ? ", " : "",
                                 pjd_weights_at(w, i)->name);
    if (n == 0)
        return pjd_error_set(err, PJD_ERR_MODEL, "model: there is no tensor in this checkpoint");
    return pjd_error_set(err, PJD_ERR_MODEL, "model: not a known network: %zu tensors, the first are %s%s", n, names,
                         n > 3 ? ", ..." : "");
}

pjd_status pjd_network_open(const pjd_weights *w, const char *config, const pjd_log *log, pjd_network **out,
                            pjd_error *err)
{
    const pjd_network_class *best = NULL;
    pjd_keyvalues kv = {0};
    int score = 0;
    pjd_status st;

    *out = NULL;
    st = pjd_keyvalues_parse(config, &kv, err);
    if (st != PJD_OK)
        return st;
    for (size_t i = 0; pjd_network_classes[i]; i++) {
        int s = pjd_network_classes[i]->match(w);

        if (s > score) {
            score = s;
            best = pjd_network_classes[i];
        }
    }
    st = best ? best->open(w, &kv, log, out, err) : unknown(w, err);
    pjd_keyvalues_free(&kv);
    return st;
}

pjd_status pjd_network_new(const pjd_network_class *cls, const char *family, const pjd_weights *w, pjd_network **out,
                           pjd_error *err)
{
    pjd_network *net = pjd_alloc_zero(1, sizeof *net);
    pjd_status st;

    *out = NULL;
    if (!net)
        return pjd_error_nomem(err, family, sizeof *net);
    net->cls = cls;
    net->family = family;
    net->w = w;
    net->multiple = 1;
    net->time_scale = 1;
    st = pjd_net_tensors_create(&net->tensors, err);
    if (st != PJD_OK) {
        pjd_free(net);
        return st;
    }
    *out = net;
    return PJD_OK;
}

void pjd_network_free(pjd_network *net)
{
    if (!net)
        return;
    if (net->cls->destroy)
        net->cls->destroy(net);
    for (size_t i = 0; i < net->detail_count; i++)
        pjd_free(net->details[i]);
    pjd_free(net->details);
    for (size_t i = 0; i < net->stem_count; i++)
        pjd_free(net->stems[i]);
    pjd_free(net->stems);
    pjd_free(net->betas);
    pjd_net_tensors_free(net->tensors);
    pjd_free(net->priv);
    pjd_free(net);
}

pjd_status pjd_network_detail(pjd_network *net, pjd_error *err, const char *source, const char *name, const char *fmt,
                              ...)
{
    char value[256], line[384];
    char **details, *copy;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%s: %s (%s)", name, value, source);
    copy = pjd_strdup(line);
    details = copy ? pjd_realloc(net->details, net->detail_count * sizeof *details, net->detail_count + 1,
                                 sizeof *details)
                   : NULL;
    if (!details) {
        pjd_free(copy);
        return pjd_error_nomem(err, net->family, sizeof line);
    }
    details[net->detail_count++] = copy;
    net->details = details;
    return PJD_OK;
}
