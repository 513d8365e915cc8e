/* SPDX-License-Identifier: MIT */
/* Weights, the network they belong to, and the prior it makes. */
#include "networks/network.h"

pjd_status pjd_model_open(const char *path, const pjd_model_options *opt, pjd_model **out, pjd_error *err)
{
    pjd_log silent = {0};
    const pjd_log *log = opt ? &opt->log : &silent;
    pjd_weights *w = NULL;
    pjd_network *net = NULL;
    pjd_status st;

    *out = NULL;
    if (!path || !*path)
        return pjd_error_set(err, PJD_ERR_ARG, "model: a file or folder name expected, found nothing");
    st = pjd_weights_open(path, log, &w, err);
    if (st == PJD_OK)
        st = pjd_network_open(w, opt ? opt->config : NULL, log, &net, err);
    if (st != PJD_OK) {
        pjd_weights_free(w);
        return st;
    }
    return pjd_network_model(net, w, out, err);
}
