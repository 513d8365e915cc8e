/* SPDX-License-Identifier: MIT */
/*
 * Long recordings: windows that overlap, and the division of a recording in its own rate and channels by what was found in a
 * mono version of it at the model's rate. Everything here works on blocks, in constant memory.
 */
#ifndef PROJDIFF_STEMS_H
#define PROJDIFF_STEMS_H

#include <stddef.h>

#include "projdiff/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- windows ---- */

/* Window i covers samples [i * hop, i * hop + length); what lies beyond the end counts as silence. */
typedef struct pjd_windows {
    size_t count;   /* of windows, all of the same length */
    size_t length;  /* a multiple of what was asked for */
    size_t overlap; /* length - hop; 0 when there is one window */
    size_t hop;
} pjd_windows;

/* As few windows as possible of at most `longest` samples (rounded up to `multiple`), as equal as possible, each overlapping
   the next by `overlap` samples or a little more. A single window is at least `shortest` long. PJD_ERR_ARG unless
   0 < length, 0 < multiple, overlap < longest. */
PJD_API pjd_status pjd_windows_plan(size_t length, size_t longest, size_t shortest, size_t overlap, size_t multiple,
                                    pjd_windows *out, pjd_error *err);
/* Join two windows: later[i] = (1 - w_i) earlier[i] + w_i later[i] for n samples, where w rises from 0 to 1 (raised cosine)
   over the samples from `keep` on; before, it is 0. */
PJD_API void pjd_crossfade(const float *earlier, float *later, size_t n, size_t keep);

/* ---- ratio masks ---- */

/*
 * Divides each channel of a mix by time-frequency masks: the share of each guide (a stem as it was found, mono, at the mix's
 * rate) in the power of all guides. The masks sum to one, and so do the parts to the mix, to rounding. Above `band` Hz,
 * where the guides hold nothing, the shares of the highest part of the band are carried on.
 *
 *     hop = pjd_unmix_hop(u): blocks of so many samples go in and come out, `delay` samples late.
 */
typedef struct pjd_unmix pjd_unmix;
/* band 0: the guides hold all of the rate's band. For one thread at a time. */
PJD_API pjd_status pjd_unmix_create(size_t stems, size_t channels, double rate, double band, pjd_unmix **out,
                                    pjd_error *err);
PJD_API size_t pjd_unmix_hop(const pjd_unmix *u);
PJD_API size_t pjd_unmix_delay(const pjd_unmix *u);
/* mix [hop, channels] and guides [hop, stems] in, parts [stems, hop, channels] out. Cannot fail. */
PJD_API void pjd_unmix_run(pjd_unmix *u, const float *mix, const float *guides, float *parts);
PJD_API void pjd_unmix_free(pjd_unmix *u); /* NULL is fine */

/* ---- to look at ---- */

#define PJD_VIEW_LOWEST 40.0 /* Hz: the spectrogram's lowest row */

/* Envelope and spectrogram of a mono sound of `length` samples, pushed block by block. Rows from 40 Hz to half the rate on a
   logarithmic axis, the lowest first. */
typedef struct pjd_view pjd_view;
PJD_API pjd_status pjd_view_create(size_t columns, size_t rows, double rate, size_t length, pjd_view **out,
                                   pjd_error *err);
PJD_API void pjd_view_push(pjd_view *v, const float *samples, size_t n);
/* At the end, once: low and high [columns] of the samples, mean power in decibels of full scale [rows, columns]. */
PJD_API void pjd_view_get(pjd_view *v, float *low, float *high, float *db);
PJD_API void pjd_view_free(pjd_view *v); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
