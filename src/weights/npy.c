/* SPDX-License-Identifier: MIT */
#include "weights/npy.h"

#include "core/npy.h"

static bool type(const pjd_npy_header *h, pjd_dtype *dtype)
{
    static const struct {
        char kind;
        unsigned char item;
        pjd_dtype dtype;
    } types[] = {
        {'f', 2, PJD_F16}, {'f', 4, PJD_F32}, {'f', 8, PJD_F64}, {'i', 1, PJD_I8},   {'i', 2, PJD_I16},
        {'i', 4, PJD_I32}, {'i', 8, PJD_I64}, {'u', 1, PJD_U8},  {'b', 1, PJD_BOOL},
    };

    for (size_t i = 0; i < PJD_COUNTOF(types) && h->parts == 1; i++)
        if (types[i].kind == h->kind && types[i].item == h->item) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

const char *pjd_weights_npy_parse(const unsigned char *data, size_t size, pjd_tensor *t, bool *swapped)
{
    pjd_npy_header h;
    const char *why = pjd_npy_header_read(data, size, &h);

    *t = (pjd_tensor){.shape = h.shape};
    *swapped = h.big;
    if (why)
        return why;
    if (!type(&h, &t->dtype))
        return "elements that are no plain numbers of a supported kind";
    if (h.bytes != size - h.start)
        return "another number of bytes than its shape says";
    t->data = data + h.start;
    pjd_tensor_contiguous(t);
    if (h.fortran) {
        size_t step = 1;

        for (size_t i = 0; i < t->shape.rank; i++) {
            t->stride[i] = step;
            step *= t->shape.dim[i] ? t->shape.dim[i] : 1;
        }
    }
    return NULL;
}
