/* A pool of threads that run one function together, with a barrier between its phases.
 *
 * Threads that wait spin for a moment, so that phases of a microsecond cost little, and then sleep: on a machine whose
 * cores do other work, the thread that is waited for can then have the core of the one that waits. */
#pragma once

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
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
    _Alignas(64) atomic_llong stalled_ns;
} pool = {.in_use = PTHREAD_MUTEX_INITIALIZER};

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Sleeps until a word is no longer `value`. */
static void sleep_while(atomic_int *word, int value) {
    atomic_fetch_add(&pool.sleeping, 1);
    while (atomic_load(word) == value) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    atomic_fetch_sub(&pool.sleeping, 1);
}

/* To be called after a word was changed: wakes those that sleep over it. */
static void wake(atomic_int *word) {
    if (atomic_load(&pool.sleeping)) syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, MAX_THREADS, NULL, NULL, 0);
}

/* Whether a word changed within so many looks at it. */
static int spin_while(atomic_int *word, int value, int spins) {
    for (; spins > 0; spins--) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) return 1;
        _mm_pause();
    }
    return 0;
}

/* Waits, within a job, until a word is no longer `value`. What is slept counts as stalled: most likely the thread that
 * is waited for does not run, as its core does other work. */
static void wait_while(atomic_int *word, int value) {
    if (spin_while(word, value, SPINS_AT_BARRIER)) return;
    long long since = now_ns();
    sleep_while(word, value);
    atomic_fetch_add(&pool.stalled_ns, now_ns() - since);
}

static void *pool_thread(void *argument) {
    int thread = (int)(intptr_t)argument, seen = 0;
    for (;;) {
        if (!spin_while(&pool.epoch, seen, SPINS_BEFORE_SLEEP)) sleep_while(&pool.epoch, seen);
        seen = atomic_load_explicit(&pool.epoch, memory_order_acquire);
        int num_threads = seen & (EPOCH - 1);
        if (thread < num_threads) { /* a thread that has no part in a job must not touch the next one's */
            pool.job(pool.argument, thread, num_threads);
            atomic_fetch_add(&pool.finished, 1);
            wake(&pool.finished);
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

/* Runs a job on `num_threads` threads, the caller's among them, and returns when all have done it: the seconds that
 * threads slept waiting for each other, together. */
static double pool_run(Job job, void *argument, int num_threads) {
    pthread_mutex_lock(&pool.in_use);
    num_threads = pool_resize(num_threads);
    pool.job = job;
    pool.argument = argument;
    atomic_store(&pool.arrived, 0);
    atomic_store(&pool.next_unit, 0);
    atomic_store(&pool.finished, 0);
    atomic_store(&pool.stalled_ns, 0);
    if (num_threads > 1) {
        atomic_store(&pool.epoch, (atomic_load(&pool.epoch) & -EPOCH) + EPOCH + num_threads);
        wake(&pool.epoch);
    }
    job(argument, 0, num_threads);
    for (int finished; (finished = atomic_load(&pool.finished)) < num_threads - 1;)
        wait_while(&pool.finished, finished);
    double stalled_s = 1e-9 * (double)atomic_load(&pool.stalled_ns);
    pthread_mutex_unlock(&pool.in_use);
    return stalled_s;
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
        atomic_store(&pool.phase, phase + 1);
        wake(&pool.phase);
        return;
    }
    wait_while(&pool.phase, phase);
}

/* The next `count` units of this phase that no thread has taken yet: the first of them. */
static inline int take_units(int count) {
    return atomic_fetch_add_explicit(&pool.next_unit, count, memory_order_relaxed);
}
