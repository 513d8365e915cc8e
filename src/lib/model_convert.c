/* SPDX-License-Identifier: MIT */
/* Any checkpoint that can be read, as one safetensors file. */
#include "projdiff/model.h"
#include "weights/weights.h"

pjd_status pjd_checkpoint_convert(const char *path, const char *out, pjd_store_type store, const pjd_log *log,
                                  pjd_error *err)
{
    pjd_weights *w = NULL;
    pjd_status st;

    if (!path || !*path || !out || !*out)
        return pjd_error_set(err, PJD_ERR_ARG, "convert: two file names expected, found nothing for one");
    st = pjd_weights_open(path, log, &w, err);
    if (st == PJD_OK)
        st = pjd_weights_write_safetensors(w, path, out, store, log, err);
    if (st == PJD_OK && pjd_weights_config(w))
        pjd_logf(log, PJD_LOG_INFO, "the result holds tensors alone: keep config.json%s beside it",
                 pjd_weights_scheduler_config(w) ? " and scheduler_config.json" : "");
    else if (st == PJD_OK && pjd_weights_hyper(w))
        pjd_logf(log, PJD_LOG_INFO,
                 "the result holds tensors alone: the hyper-parameters stored in %.200s are not in it", path);
    pjd_weights_free(w);
    return st;
}
