/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

static atomic_uint_fast64_t alloc_count;
static atomic_uint_fast64_t fail_at; /* absolute count; 0: never */

uint64_t pjd_mem_test_count(void)
{
    return atomic_load_explicit(&alloc_count, memory_order_relaxed);
}

void pjd_mem_test_fail_at(uint64_t k)
{
    atomic_store(&fail_at, k ? atomic_load(&alloc_count) + k : 0);
}

void *pjd_alloc(size_t count, size_t size)
{
    size_t bytes;
    uint64_t n = atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed) + 1;

    if (n == atomic_load_explicit(&fail_at, memory_order_relaxed))
        return NULL;
    if (!pjd_mul(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = bytes ? (bytes + PJD_ALIGN - 1) / PJD_ALIGN * PJD_ALIGN : PJD_ALIGN;
    return aligned_alloc(PJD_ALIGN, bytes);
}

void *pjd_alloc_zero(size_t count, size_t size)
{
    void *p = pjd_alloc(count, size);

    if (p)
        memset(p, 0, count * size);
    return p;
}

void *pjd_realloc(void *p, size_t old_bytes, size_t count, size_t size)
{
    void *q = pjd_alloc(count, size);

    if (!q)
        return NULL;
    if (p) {
        size_t bytes = count * size;

        memcpy(q, p, old_bytes < bytes ? old_bytes : bytes);
        pjd_free(p);
    }
    return q;
}

char *pjd_strndup(const char *s, size_t n)
{
    char *p = pjd_alloc(n + 1, 1);

    if (p) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

char *pjd_strdup(const char *s)
{
    return pjd_strndup(s, strlen(s));
}

void pjd_free(void *p)
{
    free(p);
}
