/* SPDX-License-Identifier: MIT */
/*
 * Threads of a run. OpenMP provides them once a run; between layers they wait here, because a runtime's barriers either
 * spin for long, which starves a busy machine, or sleep at once, which is slow on an idle one. A job is over when its tasks
 * are done, whether or not every thread came: a thread that the system keeps waiting delays nobody.
 */
#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "nn/internal.h"

/* Some 150 microseconds before going to sleep: most layers end within that of their first idle thread, and a sleeping virtual
   processor takes nearly as long to wake. */
#define SPINS 6000

struct nn_team {
    /* job number << 32 | next task; the task number of a closed job is UINT32_MAX */
    _Alignas(PJD_ALIGN) atomic_ullong ticket;
    _Alignas(PJD_ALIGN) atomic_uint job; /* workers sleep on it */
    atomic_int asleep;
    atomic_bool over;
    _Alignas(PJD_ALIGN) atomic_uint left; /* unfinished tasks; the first thread sleeps on it */
    atomic_int waiting;
    _Alignas(PJD_ALIGN) _Atomic(pjd_nn_task) fn;
    _Atomic(void *) ctx;
    atomic_uint tasks;
    int threads;
};

static void sleep_while(atomic_uint *word, unsigned value)
{
#ifdef __linux__
    syscall(SYS_futex, (unsigned *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    (void)word;
    (void)value;
    sched_yield();
#endif
}

static void wake_all(atomic_uint *word)
{
#ifdef __linux__
    syscall(SYS_futex, (unsigned *)word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

static inline void pause_a_little(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/*
 * Take tasks of the open job until none is left. What a ticket belongs to is read between loading and taking it; the owner
 * closes the old ticket before it writes a new job, so a ticket that can still be taken means what was read is its job.
 */
static void take_tasks(nn_team *t, int thread)
{
    for (;;) {
        unsigned long long ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);
        pjd_nn_task fn = atomic_load_explicit(&t->fn, memory_order_acquire);
        void *ctx = atomic_load_explicit(&t->ctx, memory_order_acquire);
        unsigned tasks = atomic_load_explicit(&t->tasks, memory_order_acquire), task = (unsigned)ticket;

        if (task >= tasks)
            return;
        if (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket + 1))
            continue;
        fn(ctx, task, thread);
        if (atomic_fetch_sub(&t->left, 1) == 1 && atomic_load(&t->waiting))
            wake_all(&t->left);
    }
}

static void work(nn_team *t, int thread)
{
    for (;;) {
        unsigned job = atomic_load(&t->job);

        if (atomic_load(&t->over))
            return;
        take_tasks(t, thread);
        for (size_t i = 0; i < SPINS && atomic_load_explicit(&t->job, memory_order_relaxed) == job; i++)
            pause_a_little();
        if (atomic_load(&t->job) == job) {
            atomic_fetch_add(&t->asleep, 1);
            sleep_while(&t->job, job);
            atomic_fetch_sub(&t->asleep, 1);
        }
    }
}

static void wait_done(nn_team *t)
{
    unsigned left;

    for (size_t i = 0; i < SPINS && atomic_load_explicit(&t->left, memory_order_relaxed) != 0; i++)
        pause_a_little();
    if (atomic_load(&t->left) == 0)
        return;
    atomic_store(&t->waiting, 1);
    while ((left = atomic_load(&t->left)) != 0)
        sleep_while(&t->left, left);
    atomic_store(&t->waiting, 0);
}

static void new_job(nn_team *t)
{
    atomic_fetch_add(&t->job, 1);
    if (atomic_load(&t->asleep) > 0)
        wake_all(&t->job);
}

static void team_parallel(nn_team *t, unsigned tasks, pjd_nn_task fn, void *ctx)
{
    unsigned long long job = (unsigned long long)(atomic_load(&t->job) + 1u) << 32;

    atomic_store_explicit(&t->fn, fn, memory_order_release);
    atomic_store_explicit(&t->ctx, ctx, memory_order_release);
    atomic_store_explicit(&t->tasks, tasks, memory_order_release);
    atomic_store(&t->left, tasks);
    atomic_store(&t->ticket, job);
    new_job(t);
    take_tasks(t, 0);
    wait_done(t);
    atomic_store(&t->ticket, job | UINT_MAX); /* closed: what follows may change fn, ctx and tasks */
}

void pjd_nn_parallel(const pjd_nn_plan *p, int threads, size_t tasks, pjd_nn_task fn, void *ctx)
{
    if (threads <= 1 || tasks <= 1 || (p->team && (p->team->threads <= 1 || tasks >= UINT_MAX))) {
        for (size_t i = 0; i < tasks; i++)
            fn(ctx, i, 0);
        return;
    }
    if (p->team) {
        team_parallel(p->team, (unsigned)tasks, fn, ctx);
        return;
    }
    if ((size_t)threads > tasks)
        threads = (int)tasks;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < tasks; i++)
        fn(ctx, i, omp_get_thread_num());
}

void pjd_nn_with_team(pjd_nn_plan *p, void (*body)(void *), void *ctx)
{
    nn_team t = {.threads = 1};

    /* a backend with OpenMP regions of its own wants to be called from outside of one */
    if (p->threads <= 1 || p->dnnl) {
        body(ctx);
        return;
    }
    atomic_store(&t.ticket, UINT_MAX);
#pragma omp parallel num_threads(p->threads)
    {
        if (omp_get_thread_num() == 0) {
            t.threads = omp_get_num_threads();
            p->team = &t;
            body(ctx);
            p->team = NULL;
            atomic_store(&t.over, true);
            new_job(&t);
        } else {
            work(&t, omp_get_thread_num());
        }
    }
}

int pjd_nn_threads_for(const pjd_nn_plan *p, double work_done)
{
    /* Waking threads costs some microseconds: as much as these operations on one. */
    return work_done < 5e4 ? 1 : p->threads;
}
