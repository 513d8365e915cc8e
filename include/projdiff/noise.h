/* SPDX-License-Identifier: MIT */
/*
 * Sources of Gaussian noise. Noise is an argument of everything random: a counter-based generator
 * (same seed, same bytes, whatever the number of threads) or a recorded stream that is replayed.
 * A source belongs to one thread at a time.
 */
#ifndef PROJDIFF_NOISE_H
#define PROJDIFF_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "projdiff/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pjd_noise pjd_noise;

/* Philox 4x32-10 (Salmon et al., SC 2011) with Box-Muller; `stream` separates independent uses of a seed. */
PJD_API pjd_status pjd_noise_seeded(uint64_t seed, uint64_t stream, pjd_noise **out, pjd_error *err);

/* Replays data[0 .. count-1] in order; the data is borrowed and must outlive the source.
   Asking for more than is left fails with PJD_ERR_ARG. */
PJD_API pjd_status pjd_noise_recorded(const float *data, size_t count, pjd_noise **out, pjd_error *err);

/* n independent draws of N(0,1). */
PJD_API pjd_status pjd_noise_normal(pjd_noise *src, float *out, size_t n, pjd_error *err);

/* counts[i] ~ Poisson(mean[i]), 0 <= mean <= 1e9, whole numbers; how many draws it takes depends on the means. counts and
   mean may be the same. */
PJD_API pjd_status pjd_noise_poisson(pjd_noise *src, const float *mean, float *counts, size_t n, pjd_error *err);

/* z = 2 sqrt(count + 3/8): close to deviation 1 for Poisson counts (Anscombe 1948); counts below 0 are taken as 0. */
PJD_API void pjd_anscombe(const float *counts, float *z, size_t n);
/* The mean whose counts have transforms with the expectation z, 0 where there is none: the exact unbiased inverse. In
   both, the arrays may be the same. */
PJD_API void pjd_anscombe_inverse(const float *z, float *mean, size_t n);

/* Draws taken so far. */
PJD_API uint64_t pjd_noise_position(const pjd_noise *src);

PJD_API void pjd_noise_free(pjd_noise *src); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
