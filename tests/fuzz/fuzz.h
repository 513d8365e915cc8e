/* SPDX-License-Identifier: MIT */
/* A fuzz target is a function of bytes: libFuzzer calls it (-Dfuzz=true, clang), or replay.c on files (any compiler). */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "weights/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a user does with a checkpoint: convert every tensor, find it by its names. */
static inline void fuzz_use(pjd_weights *w)
{
    for (size_t i = 0; w && i < pjd_weights_count(w); i++) {
        const pjd_tensor *t = pjd_weights_at(w, i);
        size_t n;

        if (pjd_weights_find(w, pjd_weights_name(w, i)) != t || !pjd_shape_count(&t->shape, &n))
            abort();
        if (n <= 1u << 16) {
            float *x = malloc(n * sizeof *x + 1);

            if (x)
                pjd_tensor_to_f32(t, x);
            free(x);
        }
    }
    pjd_weights_free(w);
}

/* One reader on these bytes, whatever they begin with. */
static inline int fuzz_reader(const pjd_format_class *cls, const uint8_t *data, size_t size)
{
    pjd_weights *w;
    pjd_error err;
    pjd_status status = pjd_weights_open_as(cls, data, size, &w, &err);

    if ((status == PJD_OK) != (w != NULL))
        abort();
    fuzz_use(w);
    return 0;
}

#endif
