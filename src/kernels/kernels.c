/* SPDX-License-Identifier: MIT */
#include "kernels/kernels.h"

#include <string.h>

#include "kernels/x86/x86.h"

/* Fastest first, plain C last. */
static const pjd_kernels *const tables[] = {
#ifdef PJD_X86
    &pjd_kernels_avx512,
    &pjd_kernels_avx2,
#endif
    &pjd_kernels_c,
};

static bool runs_here(const pjd_kernels *k)
{
#ifdef PJD_X86
    if (k == &pjd_kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (k == &pjd_kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return k == &pjd_kernels_c;
}

const pjd_kernels *pjd_kernels_best(void)
{
    for (size_t i = 0; i < PJD_COUNTOF(tables); i++)
        if (runs_here(tables[i]))
            return tables[i];
    return &pjd_kernels_c;
}

const pjd_kernels *pjd_kernels_named(const char *name)
{
    for (size_t i = 0; i < PJD_COUNTOF(tables); i++)
        if (strcmp(tables[i]->name, name) == 0)
            return runs_here(tables[i]) ? tables[i] : NULL;
    return NULL;
}

bool pjd_pack_size(size_t n, size_t k, size_t *floats)
{
    size_t w;

    return pjd_add(n, 15, &w) && pjd_mul(w / 16 * 16, k, floats);
}

void pjd_pack_weight(size_t nr, size_t n, size_t c, size_t taps, const float *w, float *packed)
{
    for (size_t j0 = 0; j0 < n; j0 += nr) {
        size_t m = n - j0 < nr ? n - j0 : nr, width = pjd_panel_width(nr, m);
        float *panel = packed + j0 * c * taps;

        for (size_t t = 0; t < taps; t++)
            for (size_t k = 0; k < c; k++) {
                float *row = panel + (t * c + k) * width;

                for (size_t j = 0; j < width; j++)
                    row[j] = j < m ? w[((j0 + j) * c + k) * taps + t] : 0.0f;
            }
    }
}

void pjd_pack_transposed(size_t nr, size_t n, size_t kc, const float *x, size_t ldx, float *packed)
{
    for (size_t j0 = 0; j0 < n; j0 += nr) {
        size_t m = n - j0 < nr ? n - j0 : nr, width = pjd_panel_width(nr, m);
        float *panel = packed + j0 * kc;

        for (size_t k = 0; k < kc; k++)
            for (size_t j = 0; j < width; j++)
                panel[k * width + j] = j < m ? x[(j0 + j) * ldx + k] : 0.0f;
    }
}

void pjd_pack_rows(size_t nr, size_t n, size_t kc, const float *x, size_t ldx, float *packed)
{
    for (size_t j0 = 0; j0 < n; j0 += nr) {
        size_t m = n - j0 < nr ? n - j0 : nr, width = pjd_panel_width(nr, m);
        float *panel = packed + j0 * kc;

        for (size_t k = 0; k < kc; k++)
            for (size_t j = 0; j < width; j++)
                panel[k * width + j] = j < m ? x[k * ldx + j0 + j] : 0.0f;
    }
}
