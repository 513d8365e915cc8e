/* SPDX-License-Identifier: MIT */
/* What the tests share. Checks are written so that NaN fails them. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "projdiff/tensor.h"

/* Fail unless value <= bound; prints both. */
#define assert_at_most(value, bound)                                                                                   \
    do {                                                                                                               \
        double v_ = (value), b_ = (bound);                                                                             \
        if (!(v_ <= b_))                                                                                               \
            fail_msg("%s = %.9g, at most %.9g expected", #value, v_, b_);                                              \
    } while (0)

#define assert_ok(expr, err)                                                                                           \
    do {                                                                                                               \
        pjd_status s_ = (expr);                                                                                        \
        if (s_ != PJD_OK)                                                                                              \
            fail_msg("%s: %s", pjd_status_name(s_), (err)->text);                                                      \
    } while (0)

/* |a - b| / |b| in the Euclidean norm; |a| when b is 0. */
double test_relative_l2(const float *a, const float *b, size_t n);
double test_max_abs(const float *a, const float *b, size_t n);

/* Deterministic N(0,1)-like numbers. */
void test_random(float *x, size_t n, uint64_t seed);

/* Path of a recorded run's file, "adm_32/model.pt": PJD_GOLDEN, else ../shared/golden beside the source. NULL when absent
   (callers skip() with a message). The result lives until the next call. */
const char *test_golden(const char *name);
/* Likewise below PJD_DATA, else ../shared/data; and below the source tree. */
const char *test_data(const char *name);
const char *test_source(const char *name);

/* Little-endian C-order <f4 / <f8 / <i8 .npy into float32; NULL on failure. free() it. */
float *test_npy(const char *path, pjd_shape *shape);

/* Whole file; free() it. */
unsigned char *test_file(const char *path, size_t *size);

#define skip_without(path, name)                                                                                       \
    do {                                                                                                               \
        if (!(path)) {                                                                                                 \
            print_message("skipped: %s is not here\n", name);                                                          \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

#endif
