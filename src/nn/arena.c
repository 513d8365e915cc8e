/* SPDX-License-Identifier: MIT */
/* Where each buffer lies: the largest first, each at the lowest offset that no buffer alive at the same time covers. */
#include <stdlib.h>

#include "nn/internal.h"

static int larger_first(const void *a, const void *b)
{
    const nn_buffer *x = *(nn_buffer *const *)a, *y = *(nn_buffer *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static bool alive_together(const nn_buffer *x, const nn_buffer *y)
{
    return x->first <= y->last && y->first <= x->last;
}

/* The lowest offset for x among placed[0 .. count), which are sorted by offset. */
static size_t lowest(const nn_buffer *x, nn_buffer *const *placed, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const nn_buffer *y = placed[i];

        if (!alive_together(x, y))
            continue;
        if (y->offset >= at && y->offset - at >= x->bytes)
            return at;
        if (y->offset + y->bytes > at)
            at = y->offset + y->bytes;
    }
    return at;
}

bool pjd_nn_arena_place(nn_buffer *buffers, size_t count, size_t *total)
{
    nn_buffer **order = pjd_alloc(2 * count + 1, sizeof *order), **placed = order + count;
    size_t end, j;

    *total = 0;
    if (!order)
        return false;
    for (size_t i = 0; i < count; i++)
        order[i] = &buffers[i];
    qsort(order, count, sizeof(nn_buffer *), larger_first);
    for (size_t i = 0; i < count; i++) {
        nn_buffer *b = order[i];

        b->offset = lowest(b, placed, i);
        if (!pjd_add(b->offset, b->bytes, &end) || end > SIZE_MAX / 4) {
            pjd_free(order);
            return false;
        }
        *total = end > *total ? end : *total;
        for (j = i; j > 0 && placed[j - 1]->offset > b->offset; j--)
            placed[j] = placed[j - 1];
        placed[j] = b;
    }
    pjd_free(order);
    return true;
}
