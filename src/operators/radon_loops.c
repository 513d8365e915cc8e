/* SPDX-License-Identifier: MIT */
#include "radon_loops.h"

typedef float wide __attribute__((vector_size(64), aligned(4), may_alias));
typedef float narrow __attribute__((vector_size(32), aligned(4), may_alias));

/* One vector type V of the processor at a time. */
#define ADD(isa, V)                                                                                                    \
    FOR_##isa static void add_##isa(const pjd_radon_rows *k, size_t n, float *sum, float *parts)                       \
    {                                                                                                                  \
        const float *p0 = k->p[0], *p1 = k->p[1], *p2 = k->p[2], *p3 = k->p[3];                                        \
        const float *p4 = k->p[4], *p5 = k->p[5], *p6 = k->p[6], *p7 = k->p[7];                                        \
        float b0 = k->part[0], b1 = k->part[1], b2 = k->part[2], b3 = k->part[3];                                      \
        float b4 = k->part[4], b5 = k->part[5], b6 = k->part[6], b7 = k->part[7];                                      \
                                                                                                                       \
        for (size_t e = 0; e < n; e += sizeof(V) / sizeof(float)) {                                                    \
            V r0 = AT(V, p0), r1 = AT(V, p1), r2 = AT(V, p2), r3 = AT(V, p3);                                          \
            V r4 = AT(V, p4), r5 = AT(V, p5), r6 = AT(V, p6), r7 = AT(V, p7);                                          \
                                                                                                                       \
            *(V *)(void *)(sum + e) += ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7));                              \
            *(V *)(void *)(parts + e) += ((b0 * r0 + b1 * r1) + (b2 * r2 + b3 * r3)) +                                 \
                                         ((b4 * r4 + b5 * r5) + (b6 * r6 + b7 * r7));                                  \
        }                                                                                                              \
    }
#define AT(V, p) (*(const V *)(const void *)((p) + e))

#define FOR_any
ADD(any, narrow)
#if defined(__x86_64__)
#define FOR_avx2 __attribute__((target("avx2")))
ADD(avx2, narrow)
/* Not with gcc's address sanitizer: see fft_loops.c. */
#ifndef __SANITIZE_ADDRESS__
#define FOR_avx512 __attribute__((target("avx512f,avx512dq,avx512vl")))
ADD(avx512, wide)
#endif
#endif

pjd_radon_add *pjd_radon_add_at(size_t i)
{
    pjd_radon_add *found[3];
    size_t n = 0;

#if defined(__x86_64__)
    __builtin_cpu_init();
#ifndef __SANITIZE_ADDRESS__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found[n++] = add_avx512;
#endif
    if (__builtin_cpu_supports("avx2"))
        found[n++] = add_avx2;
#endif
    found[n++] = add_any;
    return i < n ? found[i] : NULL;
}
