/* A pool of threads that run one function together, with a barrier between its phases.
 *
 * Threads spin for a moment before they sleep or give up their core, so that phases of a microsecond cost little and
 * a machine whose cores do other work is not blocked. */
#pragma once

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 256
#define EPOCH 1024 /* one job; below it in the same word stands the number of its threads */
#define SPINS_AT_BARRIER 4000
#define SPINS_BEFORE_SLEEP 2000

typedef void (*Job)(void *argument, int thread, int num_threads);

static struct {
    pid_t owner;
    pthread_mutex_t in_use;
    Job job;
    void *argument;
    _Alignas(64) atomic_int epoch;
    _Alignas(64) atomic_int sleeping;
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int phase;
    _Alignas(64) atomic_int next_unit;
    _Alignas(64) atomic_int finished;
    _Alignas(64) atomic_int num_stalls;
} pool = {.in_use = PTHREAD_MUTEX_INITIALIZER};

static void pool_sleep(atomic_int *word, int seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void pool_wake(atomic_int *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0); }

static void *pool_thread(void *argument) {
    int thread = (int)(intptr_t)argument, seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool.epoch, memory_order_acquire) == seen) {
            if (++spins < SPINS_BEFORE_SLEEP) {
                _mm_pause();
                continue;
            }
            atomic_fetch_add(&pool.sleeping, 1);
            pool_sleep(&pool.epoch, seen);
            atomic_fetch_sub(&pool.sleeping, 1);
        }
        seen = atomic_load_explicit(&pool.epoch, memory_order_acquire);
        int num_threads = seen & (EPOCH - 1);
        if (thread < num_threads) { /* a thread that has no part in a job must not touch the next one's */
            pool.job(pool.argument, thread, num_threads);
            atomic_fetch_add_explicit(&pool.finished, 1, memory_order_release);
        }
    }
    return NULL;
}

/* Makes the pool as large as asked for; threads once made are kept. In a process forked from one with a pool the
 * threads are gone, and are made again. Returns the number of threads there are. */
static int pool_resize(int num_threads) {
    static int made = 1;
    if (num_threads > MAX_THREADS) num_threads = MAX_THREADS;
    if (pool.owner != getpid()) {
        pool.owner = getpid();
        made = 1;
        atomic_store(&pool.epoch, 0);
        atomic_store(&pool.sleeping, 0);
    }
    for (; made < num_threads; made++) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, pool_thread, (void *)(intptr_t)made);
        pthread_attr_destroy(&attributes);
        if (failed) break;
    }
    return num_threads < made ? num_threads : made;
}

/* Waits for a word to be something else (`until` 0) or to be `value` (`until` 1). A wait so long that the core is given
 * up counts as a stall: most likely the thread that is waited for does not run, as its core does other work. */
static inline void spin(atomic_int *word, int value, int until) {
    for (int spins = 0; (atomic_load_explicit(word, memory_order_acquire) == value) != until; spins++) {
        if (spins < SPINS_AT_BARRIER) {
            _mm_pause();
            continue;
        }
        if (spins == SPINS_AT_BARRIER) atomic_fetch_add(&pool.num_stalls, 1);
        sched_yield();
    }
}

/* Runs a job on `num_threads` threads, the caller's among them, and returns when all have done it: the number of
 * stalls. */
static int pool_run(Job job, void *argument, int num_threads) {
    pthread_mutex_lock(&pool.in_use);
    num_threads = pool_resize(num_threads);
    pool.job = job;
    pool.argument = argument;
    atomic_store(&pool.arrived, 0);
    atomic_store(&pool.next_unit, 0);
    atomic_store(&pool.finished, 0);
    atomic_store(&pool.num_stalls, 0);
    if (num_threads > 1) {
        atomic_store(&pool.epoch, (atomic_load(&pool.epoch) & -EPOCH) + EPOCH + num_threads);
        if (atomic_load(&pool.sleeping)) pool_wake(&pool.epoch);
    }
    job(argument, 0, num_threads);
    spin(&pool.finished, num_threads - 1, 1);
    int num_stalls = atomic_load(&pool.num_stalls);
    pthread_mutex_unlock(&pool.in_use);
    return num_stalls;
}

/* Waits until all threads of the job have come here, and lets them take units of work from 0 again. */
static inline void barrier(int num_threads) {
    if (num_threads == 1) {
        atomic_store_explicit(&pool.next_unit, 0, memory_order_relaxed);
        return;
    }
    int phase = atomic_load_explicit(&pool.phase, memory_order_acquire);
    if (atomic_fetch_add_explicit(&pool.arrived, 1, memory_order_acq_rel) == num_threads - 1) {
        atomic_store_explicit(&pool.arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool.next_unit, 0, memory_order_relaxed);
        atomic_store_explicit(&pool.phase, phase + 1, memory_order_release);
        return;
    }
    spin(&pool.phase, phase, 0);
}

/* The next `count` units of this phase that no thread has taken yet: the first of them. */
static inline int take_units(int count) {
    return atomic_fetch_add_explicit(&pool.next_unit, count, memory_order_relaxed);
}
