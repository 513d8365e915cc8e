/* SPDX-License-Identifier: MIT */
/* Tables for x86-64, compiled for their instruction set with target attributes and chosen at run time. */
#ifndef PJD_KERNELS_X86_X86_H
#define PJD_KERNELS_X86_X86_H

#include "kernels/kernels.h"

#if defined(__x86_64__) && defined(PJD_X86_KERNELS)
#define PJD_X86 1
extern const pjd_kernels pjd_kernels_avx512;
extern const pjd_kernels pjd_kernels_avx2;
#endif

#endif
