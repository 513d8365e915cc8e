/* SPDX-License-Identifier: MIT */
/*
 * The pickle machine and the search for the state dict, without the archive around them: its checksum would stop every
 * change. Storages get zeros.
 */
#include "fuzz/fuzz.h"

#include "weights/pickle.h"

#define ZEROS 65536u

static const unsigned char zeros[ZEROS];

static bool bind(pjd_pickle *p)
{
    for (size_t i = 0; i < p->storage_count; i++) {
        pjd_pk_storage *s = &p->storages[i];

        if (s->elements > ZEROS / 8)
            return false;
        s->data = zeros;
        s->bytes = s->elements * (s->known ? pjd_dtype_size(s->dtype) : 1);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pjd_log silent = {0};
    pjd_weights *w = pjd_alloc_zero(1, sizeof *w);
    pjd_reader r = {.data = data, .size = size, .who = "fuzz", .log = &silent, .w = w};
    pjd_pickle p = {.r = &r};
    pjd_pk_ref root;
    size_t used;
    bool good;

    if (!w)
        return 0;
    good = pjd_pickle_run(&p, data, size, &used, &root, NULL) == PJD_OK && bind(&p) &&
           pjd_torch_extract(&p, root, NULL) == PJD_OK && w->count > 0;
    pjd_pickle_free(&p);
    if (good && pjd_weights_strip(w, r.who, r.log, NULL) == PJD_OK)
        fuzz_use(w);
    else
        pjd_weights_free(w);
    return 0;
}
