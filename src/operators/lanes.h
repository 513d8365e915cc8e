/* SPDX-License-Identifier: MIT */
/*
 * Fourier transforms of eight lines at a time: z[n][2][8], real parts then imaginary parts of element i of every line.
 * Coils come in eights, and the sizes of scans have any factors: primes up to 61 are transformed as they are, where fft.h
 * takes a longer way.
 */
#ifndef PJD_OP_LANES_H
#define PJD_OP_LANES_H

#include "core/core.h"

enum { PJD_LANES = 8, PJD_LANES_ELEMENT = 2 * PJD_LANES };

typedef struct pjd_lanes pjd_lanes;

pjd_status pjd_lanes_create(size_t n, pjd_lanes **out, pjd_error *err);
void pjd_lanes_free(pjd_lanes *f);         /* NULL is fine */
size_t pjd_lanes_work(const pjd_lanes *f); /* floats */
/* X_k = sum_j x_j exp(-+ 2 pi i j k / n), unscaled, from a by way of b; returns where the result is, a or b. Both have
   n elements, aligned to PJD_ALIGN. The bytes are the same for any kind of processor. */
float *pjd_lanes_run(const pjd_lanes *f, bool backward, float *a, float *b, float *work);

#endif
