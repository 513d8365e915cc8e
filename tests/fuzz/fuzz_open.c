/* SPDX-License-Identifier: MIT */
/* Recognition of the container, and whatever reader it leads to. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pjd_weights *w;
    pjd_error err;

    pjd_weights_open_memory(data, size, NULL, &w, &err);
    fuzz_use(w);
    return 0;
}
