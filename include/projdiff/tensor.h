/* SPDX-License-Identifier: MIT */
/*
 * Shapes. Bulk data is always float32, C order (last dimension fastest), owned by the caller.
 * A picture is [channels, height, width] with values in the model's range (pictures: -1..1);
 * a batch is [n, channels, height, width]; audio is [channels, length].
 */
#ifndef PROJDIFF_TENSOR_H
#define PROJDIFF_TENSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "projdiff/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PJD_MAX_RANK 8

typedef struct pjd_shape {
    size_t rank;              /* 0 .. PJD_MAX_RANK; rank 0 is a scalar */
    size_t dim[PJD_MAX_RANK]; /* entries beyond rank are 0 */
} pjd_shape;

/* [c, h, w] */
PJD_API pjd_shape pjd_shape_chw(size_t c, size_t h, size_t w);
/* rank dimensions copied from dim; a rank above PJD_MAX_RANK gives an empty shape (count 0). */
PJD_API pjd_shape pjd_shape_make(size_t rank, const size_t *dim);
PJD_API bool pjd_shape_equal(const pjd_shape *a, const pjd_shape *b);
/* Number of elements. Returns false on overflow of size_t / sizeof(double), leaving *count 0. */
PJD_API bool pjd_shape_count(const pjd_shape *s, size_t *count);
/* "3x256x256" into buf (always terminated); returns buf. */
PJD_API char *pjd_shape_text(const pjd_shape *s, char *buf, size_t size);

/* A borrowed, read-only named array: how masks, kernels, coil maps reach an operator. */
typedef struct pjd_array {
    const char *name; /* parameter it stands for: "mask", "kernel" */
    pjd_shape shape;
    const float *data;
} pjd_array;

#ifdef __cplusplus
}
#endif
#endif
