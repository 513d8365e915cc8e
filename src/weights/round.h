/* SPDX-License-Identifier: MIT */
/*
 * Narrower floating-point numbers: to nearest, ties to even; infinities and NaN stay. Each returns the index of the
 * first finite value that would become infinite, or n.
 */
#ifndef PJD_WEIGHTS_ROUND_H
#define PJD_WEIGHTS_ROUND_H

#include <stdbool.h>
#include <stddef.h>

size_t pjd_round_f16(const float *src, size_t n, unsigned char *dst);
size_t pjd_round_bf16(const float *src, size_t n, unsigned char *dst);
/* src: unaligned float64. odd: round to odd instead, so that a second rounding to fewer bits is right. */
size_t pjd_round_f64(const unsigned char *src, size_t n, bool odd, float *dst);

#endif
