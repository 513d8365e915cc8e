/* SPDX-License-Identifier: MIT */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "core/core.h"

int pjd_threads_available(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        n = CPU_COUNT(&set);
#endif
    return pjd_threads_resolve(n > 0 ? (int)n : 1);
}

int pjd_threads_resolve(int wanted)
{
    if (wanted == 0)
        return pjd_threads_available();
    return wanted < 1 ? 1 : wanted > 1024 ? 1024 : wanted;
}

double pjd_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}
