/* SPDX-License-Identifier: MIT */
#include <omp.h>

#include "nn/internal.h"

void pjd_nn_parallel(int threads, size_t tasks, pjd_nn_task fn, void *ctx)
{
    if (threads <= 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++)
            fn(ctx, i, 0);
        return;
    }
    if ((size_t)threads > tasks)
        threads = (int)tasks;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < tasks; i++)
        fn(ctx, i, omp_get_thread_num());
}

int pjd_nn_threads_for(const pjd_nn_plan *p, double work)
{
    /* Waking threads costs some microseconds: as much as these operations on one. */
    return work < 5e4 ? 1 : p->threads;
}
