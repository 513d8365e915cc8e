/* SPDX-License-Identifier: MIT */
/*
 * The inner loop of projections. Rows that a line shifts by whole places and a part of one are added up twice, as they stand
 * and times that part: with s and t the sums, s[e] - t[e] + t[e - 1] is what linear interpolation gives, and each row
 * is read once. A function for each instruction set of one source, without contraction: all give the same bytes.
 */
#ifndef PJD_OP_RADON_LOOPS_H
#define PJD_OP_RADON_LOOPS_H

#include <stddef.h>

enum { PJD_RADON_ROWS = 8, PJD_RADON_LANES = 16 };

typedef struct pjd_radon_rows {
    const float *p[PJD_RADON_ROWS];
    float part[PJD_RADON_ROWS];
} pjd_radon_rows;

/* sum[e] += sum of p_i[e], parts[e] += sum of part_i p_i[e]; n is a multiple of PJD_RADON_LANES, nothing need be aligned. */
typedef void pjd_radon_add(const pjd_radon_rows *k, size_t n, float *sum, float *parts);

/* Function i of those this processor can run, the fastest first; NULL past the last. */
pjd_radon_add *pjd_radon_add_at(size_t i);

#endif
