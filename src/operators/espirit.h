/* SPDX-License-Identifier: MIT */
/* Sensitivity maps from the fully sampled centre of k-space. */
#ifndef PJD_OP_ESPIRIT_H
#define PJD_OP_ESPIRIT_H

#include "core/core.h"

/* A block of k-space around zero frequency. */
typedef struct pjd_block {
    size_t top, left, h, w;
} pjd_block;

/* The largest block, at most `longest` on a side, grown around (h / 2, w / 2) while all of it is measured. */
pjd_block pjd_measured_centre(size_t h, size_t w, const float *mask, size_t longest);

/* maps [2 c, h, w] from kspace [2 c, h, w] on the block b. */
pjd_status pjd_espirit(size_t c, size_t h, size_t w, const float *kspace, const pjd_block *b, float *maps,
                       pjd_error *err);

#endif
