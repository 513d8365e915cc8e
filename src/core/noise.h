/* SPDX-License-Identifier: MIT */
/* Draws made where they are used: what pjd_noise_normal gives, without a pass over memory of its own. */
#ifndef PJD_CORE_NOISE_H
#define PJD_CORE_NOISE_H

#include "core/core.h"
#include "projdiff/noise.h"

/* Draws are best asked for in so many: they stay in the first cache. */
enum { PJD_NOISE_PIECE = 4096 };

/* The source goes on by n draws, of which the first is *first. PJD_ERR_ARG: a recording has fewer left. */
pjd_status pjd_noise_take(pjd_noise *src, size_t n, uint64_t *first, pjd_error *err);
/* n draws from `first` on, which have been taken. The source does not change: threads may share it. */
void pjd_noise_at(const pjd_noise *src, uint64_t first, float *out, size_t n);

#endif
