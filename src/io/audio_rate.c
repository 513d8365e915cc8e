/* SPDX-License-Identifier: MIT */
/* Sample rates through libsoxr, a block at a time. */
#include <soxr.h>

#include "io/internal.h"

struct pjd_rate {
    soxr_t soxr; /* NULL: the rates are the same */
    size_t channels;
};

pjd_status pjd_rate_create(unsigned from, unsigned to, size_t channels, pjd_rate **out, pjd_error *err)
{
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1); /* bytes that do not depend on the number of threads */
    soxr_error_t why = NULL;
    pjd_rate *r;

    *out = NULL;
    if (from < PJD_SOUND_MIN_RATE || from > PJD_SOUND_MAX_RATE || to < PJD_SOUND_MIN_RATE || to > PJD_SOUND_MAX_RATE ||
        channels < 1 || channels > PJD_SOUND_MAX_CHANNELS)
        return pjd_error_set(err, PJD_ERR_ARG, "rate: %u to %u Hz with %zu channels is out of range", from, to,
                             channels);
    r = pjd_alloc_zero(1, sizeof *r);
    if (!r)
        return pjd_io_nomem(err, "rate", sizeof *r);
    r->channels = channels;
    if (from != to) {
        r->soxr = soxr_create(from, to, (unsigned)channels, &why, &io, &quality, &runtime);
        if (!r->soxr) {
            pjd_free(r);
            return pjd_error_set(err, PJD_ERR_NOMEM, "rate: %u to %u Hz: %.200s", from, to, why ? why : "failed");
        }
    }
    *out = r;
    return PJD_OK;
}

pjd_status pjd_rate_run(pjd_rate *r, const float *in, size_t count, size_t *used, float *out, size_t room, size_t *made,
                        pjd_error *err)
{
    soxr_error_t why;

    *used = *made = 0;
    if (!r->soxr) {
        size_t n = !in ? 0 : count < room ? count : room;

        for (size_t i = 0; i < n * r->channels; i++)
            out[i] = in[i];
        *used = *made = n;
        return PJD_OK;
    }
    why = soxr_process(r->soxr, in, in ? count : 0, in ? used : NULL, out, room, made);
    return why ? pjd_error_set(err, PJD_ERR_BACKEND, "rate: %.200s", why) : PJD_OK;
}

void pjd_rate_free(pjd_rate *r)
{
    if (!r)
        return;
    if (r->soxr)
        soxr_delete(r->soxr);
    pjd_free(r);
}
