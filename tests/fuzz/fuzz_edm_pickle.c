/* SPDX-License-Identifier: MIT */
#include "fuzz/fuzz.h"

extern const pjd_format_class pjd_fmt_edm_pickle;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_reader(&pjd_fmt_edm_pickle, data, size);
}
