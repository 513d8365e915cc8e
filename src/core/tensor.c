/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"

pjd_shape pjd_shape_chw(size_t c, size_t h, size_t w)
{
    return (pjd_shape){.rank = 3, .dim = {c, h, w}};
}

pjd_shape pjd_shape_make(size_t rank, const size_t *dim)
{
    pjd_shape s = {.rank = 1};

    if (rank > PJD_MAX_RANK)
        return s;
    s.rank = rank;
    for (size_t i = 0; i < rank; i++)
        s.dim[i] = dim[i];
    return s;
}

bool pjd_shape_equal(const pjd_shape *a, const pjd_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (size_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

bool pjd_shape_count(const pjd_shape *s, size_t *count)
{
    size_t n = 1, bytes;
    bool empty = false;

    *count = 0;
    if (s->rank > PJD_MAX_RANK)
        return false;
    for (size_t i = 0; i < s->rank; i++) {
        if (s->dim[i] == 0)
            empty = true;
        else if (!pjd_mul(n, s->dim[i], &n))
            return false;
    }
    if (!pjd_mul(n, sizeof(double), &bytes))
        return false;
    *count = empty ? 0 : n;
    return true;
}

char *pjd_shape_text(const pjd_shape *s, char *buf, size_t size)
{
    size_t used = 0;

    if (size == 0)
        return buf;
    snprintf(buf, size, "%s", s->rank ? "" : "scalar");
    for (size_t i = 0; i < s->rank && i < PJD_MAX_RANK; i++) {
        int n = snprintf(buf + used, size - used, i ? "x%zu" : "%zu", s->dim[i]);

        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
    return buf;
}

bool pjd_all_finite(const float *x, size_t n)
{
    /* x * 0 is 0 for finite x and NaN otherwise; the sum keeps the NaN. */
    float acc[8] = {0};
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            acc[k] += x[i + k] * 0.0f;
    for (; i < n; i++)
        acc[0] += x[i] * 0.0f;
    for (size_t k = 1; k < 8; k++)
        acc[0] += acc[k];
    return acc[0] == 0.0f;
}
