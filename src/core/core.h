/* SPDX-License-Identifier: MIT */
/* Memory, logging, threads: what every room of the house uses. */
#ifndef PJD_CORE_CORE_H
#define PJD_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "projdiff/status.h"
#include "projdiff/tensor.h"

#define PJD_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define PJD_ALIGN 64 /* one cache line, one AVX-512 register */

/* a * b and a + b into *out; false on overflow. */
static inline bool pjd_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool pjd_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/*
 * All memory of the library comes from here. count * size is checked; the block is aligned to PJD_ALIGN;
 * a request for 0 bytes gives a valid block. NULL on failure. pjd_free(NULL) is fine.
 * Tests can make the k-th allocation fail and count allocations (pjd_mem_test_*).
 */
void *pjd_alloc(size_t count, size_t size);
void *pjd_alloc_zero(size_t count, size_t size);
void *pjd_realloc(void *p, size_t old_bytes, size_t count, size_t size);
char *pjd_strdup(const char *s);
char *pjd_strndup(const char *s, size_t n);
void pjd_free(void *p);

/* For tests: total allocations so far in this process; fail the k-th from now (0: never). */
uint64_t pjd_mem_test_count(void);
void pjd_mem_test_fail_at(uint64_t k);

/* "who: out of memory for %zu bytes" */
pjd_status pjd_error_nomem(pjd_error *err, const char *who, size_t bytes);

/* Send a formatted line to a log; a log without a function is silent. */
void pjd_logf(const pjd_log *log, pjd_log_level level, const char *fmt, ...) PJD_PRINTF(3, 4);

/* Threads this process may use (affinity-aware), at least 1. */
int pjd_threads_available(void);
/* 0 -> pjd_threads_available(), else clamped to 1 .. 1024. */
int pjd_threads_resolve(int wanted);

/* Seconds from a monotonic clock. */
double pjd_now(void);

/* True when all n values are finite. Vectorises; NaN-proof. */
bool pjd_all_finite(const float *x, size_t n);

#endif
