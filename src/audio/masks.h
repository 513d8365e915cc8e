/* SPDX-License-Identifier: MIT */
#ifndef PJD_AUDIO_MASKS_H
#define PJD_AUDIO_MASKS_H

#include "core/core.h"

enum { PJD_MASKS_STEMS = 64 }; /* at most */

/*
 * power [stems, bins] -> masks [stems, bins] in place, which are at least 0 and sum to one in each bin. From bin `cut` on
 * the shares of the bins just below. Where nothing is heard: the shares of the whole frame, or equal ones.
 */
void pjd_masks_from_power(size_t stems, size_t bins, size_t cut, float *power);

#endif
