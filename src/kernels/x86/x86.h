/* SPDX-License-Identifier: MIT */
/* Tables for x86-64, compiled for their instruction set with target attributes and chosen at run time. */
#ifndef PJD_KERNELS_X86_X86_H
#define PJD_KERNELS_X86_X86_H

#include "kernels/kernels.h"

/* Unroll the loop that follows completely (at most n times): sums live in registers only when every index is a constant. */
#define PJD_PRAGMA(x) _Pragma(#x)
#ifdef __clang__
#define PJD_UNROLL(n) PJD_PRAGMA(clang loop unroll(full))
#else
#define PJD_UNROLL(n) PJD_PRAGMA(GCC unroll n)
#endif

#if defined(__x86_64__) && defined(PJD_X86_KERNELS)
#define PJD_X86 1
extern const pjd_kernels pjd_kernels_avx512;
extern const pjd_kernels pjd_kernels_avx2;
#endif

#endif
