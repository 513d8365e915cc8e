/* SPDX-License-Identifier: MIT */
/* The header of a .npy array: type, order and shape of the bytes behind it. */
#ifndef PJD_WEIGHTS_NPY_H
#define PJD_WEIGHTS_NPY_H

#include "weights/format.h"

/*
 * data[0 .. size-1] is the whole array file. Fills dtype, shape, stride and data of *t; *swapped says that the elements
 * are big-endian and were not touched. NULL, or why the bytes are refused. Objects and structures are refused.
 */
const char *pjd_weights_npy_parse(const unsigned char *data, size_t size, pjd_tensor *t, bool *swapped);

#endif
