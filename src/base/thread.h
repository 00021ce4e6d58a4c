/* SPDX-License-Identifier: MIT */
/* Thread teams: a fixed set of threads that run one function together, fork and join in well under a
 * microsecond when every thread has a core, and yield at once when there are more threads than cores
 * (a mesh of eight devices on two cores must run, and run correctly).
 *
 * Waiting is: spin a little, yield a little, then sleep on a futex. Teams that are oversubscribed skip
 * the spinning; so do, for a while, teams that see their threads lose cores to another process. Measured
 * waits are in docs/experiments.md. */
#ifndef TW_BASE_THREAD_H
#define TW_BASE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Cores this process may use: affinity mask of the calling thread and cgroup CPU quota (rounded up), at
 * least 1. Ask before binding threads. */
int tw_cores_available(void);
/* The quota part: cores that the cgroups of this process (v1 and v2, all levels) allow, rounded up; 0 when
 * they set no limit. `root` stands before /proc and /sys: "" for this system, a copied tree in tests. */
int tw_cores_quota(const char *root);

/* How long a waiter burns its core before it sleeps. */
struct tw_wait_policy {
    int spins;  /* pause instructions */
    int yields; /* sched_yield calls after that, then futex */
};

/* `threads`: all threads of the process that may wait at the same time. */
struct tw_wait_policy tw_wait_policy_for(int threads);

/* Wait until *word differs from `seen` (acquire). Whoever changes the word calls tw_wake_all after it. */
void tw_wait_change(_Atomic uint32_t *word, uint32_t seen, struct tw_wait_policy policy);
void tw_wake_all(_Atomic uint32_t *word); /* a system call each time, ~0.1 us without sleepers */

/* What waiters know about other processes that want their cores: long waits together with lost time slices.
 * Then nobody spins or yields for a while: either only delays the thread that is waited for. One for all
 * gates on which the same threads wait. */
struct tw_crowd {
    _Atomic uint64_t until;       /* tw_clock_ns; 0: never crowded */
    _Atomic uint64_t length;      /* ns, of the latest such time */
    _Atomic uint64_t preemptions; /* of this process, when last looked at */
};

/* A word to wait on, with a count of sleepers: a change that nobody sleeps on costs no system call. */
struct tw_gate {
    _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
    struct tw_crowd *crowd; /* kept */
};

void tw_gate_init(struct tw_gate *gate, struct tw_crowd *crowd); /* `crowd`: zeroed before */
/* Wait until the word differs from `seen`; returns what it is then (acquire). */
uint32_t tw_gate_wait(struct tw_gate *gate, uint32_t seen, struct tw_wait_policy policy);
/* Set the word (sequentially consistent) and wake who sleeps. */
void tw_gate_set(struct tw_gate *gate, uint32_t value);

/* One processor hint inside a spin loop. */
static inline void tw_cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* `yield` is a no-op on most cores */
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* A reusable barrier for `n` threads: what any of them wrote before it, all of them see after it. Stays
 * where it was initialised. */
struct tw_barrier {
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) struct tw_gate generation; /* waiters read it: a cache line of its own */
    struct tw_crowd crowd;
    uint32_t n;
    struct tw_wait_policy policy;
};

void tw_barrier_init(struct tw_barrier *b, int n, struct tw_wait_policy policy);
void tw_barrier_wait(struct tw_barrier *b);

/* ---- teams ---- */

/* Called on every thread of the team, thread 0 being the caller of tw_team_run. */
typedef void tw_team_fn(void *arg, int thread, int n_threads);

struct tw_team;

/* A team of `n_threads`, the caller included: n_threads - 1 threads are started, with all signals
 * blocked. With `cores` (length n_threads, may be NULL) thread i is bound to that core number, the caller
 * too, until tw_team_free gives it its mask back. Threads run in flush-to-zero mode (docs/numerics.md); the
 * caller's own mode is set by tw_float_mode_compute. One thread makes, runs and frees a team. */
trawl_status tw_team_new(struct tw_team **out, int n_threads, struct tw_wait_policy policy, const int *cores,
                         struct trawl_error *err);
void tw_team_free(struct tw_team *team);
int tw_team_size(const struct tw_team *team);
/* Run fn on all threads; returns when all have returned, and their writes are visible then. Not from
 * inside fn. Allocates nothing. */
void tw_team_run(struct tw_team *team, tw_team_fn *fn, void *arg);
/* Inside fn: all threads of the team meet. */
void tw_team_barrier(struct tw_team *team);

/* Even contiguous split of n items: thread i of k gets [*begin, *end). */
static inline void tw_split(size_t n, int i, int k, size_t *begin, size_t *end)
{
    *begin = n * (size_t)i / (size_t)k;
    *end   = n * ((size_t)i + 1) / (size_t)k;
}

/* Set this thread's floating-point mode for compute: round to nearest, denormals flushed to zero on
 * input and output. Every thread that runs kernels calls it once. */
void tw_float_mode_compute(void);

#endif /* TW_BASE_THREAD_H */
