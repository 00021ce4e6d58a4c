/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Oversubscribed, a spin would burn the very core that the awaited thread needs. */
enum { SPINS_ALONE = 2500, SPINS_OVERSUBSCRIBED = 10, YIELDS_OVERSUBSCRIBED = 50 };

/* A wait longer than LONG_WAIT_NS while the process was preempted means a lost time slice (1.4 ms and more).
 * Sleeping threads preempt the neighbour when woken, spinning ones share evenly with it and lose whole
 * slices: so no spinning for a while, longer each time the neighbour is still there afterwards.
 * docs/experiments.md, "Thread teams". */
enum { LONG_WAIT_NS = 300 * 1000, CROWDED_NS = 20 * 1000 * 1000, CROWDED_MOST_NS = 32 * CROWDED_NS };

/* Oversubscribed, being preempted is normal; a single yield that takes so long gave a whole slice away. */
enum { LOST_SLICE_NS = 1000 * 1000 };

struct tw_wait_policy tw_wait_policy_for(int threads)
{
    if (threads <= tw_cores_available()) {
        return (struct tw_wait_policy){.spins = SPINS_ALONE, .yields = 0};
    }
    return (struct tw_wait_policy){.spins = SPINS_OVERSUBSCRIBED, .yields = YIELDS_OVERSUBSCRIBED};
}

static bool changed(_Atomic uint32_t *word, uint32_t seen)
{
    return atomic_load_explicit(word, memory_order_acquire) != seen;
}

/* True when the word changed within the policy's patience. Sets *lost_slice when a yield took too long. */
static bool changes_soon(_Atomic uint32_t *word, uint32_t seen, struct tw_wait_policy policy,
                         bool *lost_slice)
{
    if (changed(word, seen)) {
        return true;
    }
    for (int i = 0; i < policy.spins; i++) {
        tw_cpu_pause();
        if (changed(word, seen)) {
            return true;
        }
    }
    uint64_t before = policy.yields > 0 ? tw_clock_ns() : 0;
    for (int i = 0; i < policy.yields && !*lost_slice; i++) {
        (void)sched_yield();
        uint64_t now = tw_clock_ns();
        *lost_slice  = now - before > LOST_SLICE_NS;
        before       = now;
        if (changed(word, seen)) {
            return true;
        }
    }
    return false;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    int saved = errno; /* waking up by EINTR or EAGAIN is normal, and no caller's business */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    errno = saved;
}

void tw_wait_change(_Atomic uint32_t *word, uint32_t seen, struct tw_wait_policy policy)
{
    bool lost_slice = false;
    if (changes_soon(word, seen, policy, &lost_slice)) {
        return;
    }
    while (!changed(word, seen)) {
        futex_wait(word, seen);
    }
}

void tw_wake_all(_Atomic uint32_t *word)
{
    int saved = errno;
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

/* ---- gate ---- */

void tw_gate_init(struct tw_gate *gate, struct tw_crowd *crowd)
{
    atomic_init(&gate->word, 0);
    atomic_init(&gate->sleepers, 0);
    gate->crowd = crowd;
}

static bool is_crowded(struct tw_crowd *crowd)
{
    uint64_t until = atomic_load_explicit(&crowd->until, memory_order_relaxed);
    return until != 0 && tw_clock_ns() < until;
}

/* After a long wait. Waiters may race here; any of their answers will do. */
static void look_for_neighbours(struct tw_crowd *crowd)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0) {
        return;
    }
    uint64_t preemptions = (uint64_t)use.ru_nivcsw;
    if (atomic_exchange_explicit(&crowd->preemptions, preemptions, memory_order_relaxed) == preemptions) {
        return;
    }
    uint64_t now    = tw_clock_ns();
    uint64_t until  = atomic_load_explicit(&crowd->until, memory_order_relaxed);
    uint64_t length = atomic_load_explicit(&crowd->length, memory_order_relaxed);
    if (now < until) {
        return;
    }
    bool again = until != 0 && now - until < CROWDED_NS;
    length     = !again ? CROWDED_NS : length < CROWDED_MOST_NS ? 2 * length : CROWDED_MOST_NS;
    atomic_store_explicit(&crowd->length, length, memory_order_relaxed);
    atomic_store_explicit(&crowd->until, now + length, memory_order_relaxed);
}

/* The sleeper is counted before its last look at the word, and the waker changes the word before it looks
 * at the count; both in one total order, so one of them sees the other. */
uint32_t tw_gate_wait(struct tw_gate *gate, uint32_t seen, struct tw_wait_policy policy)
{
    bool patient    = policy.spins > SPINS_OVERSUBSCRIBED;
    bool lost_slice = false;
    if (!changed(&gate->word, seen) && is_crowded(gate->crowd)) {
        policy = (struct tw_wait_policy){0};
    }
    if (!changes_soon(&gate->word, seen, policy, &lost_slice)) {
        uint64_t begin = tw_clock_ns();
        (void)atomic_fetch_add(&gate->sleepers, 1);
        while (atomic_load(&gate->word) == seen) {
            futex_wait(&gate->word, seen);
        }
        (void)atomic_fetch_sub(&gate->sleepers, 1);
        if (patient && tw_clock_ns() - begin > LONG_WAIT_NS) {
            look_for_neighbours(gate->crowd);
        }
    }
    if (lost_slice) {
        atomic_store_explicit(&gate->crowd->until, tw_clock_ns() + CROWDED_NS, memory_order_relaxed);
    }
    return atomic_load_explicit(&gate->word, memory_order_acquire);
}

void tw_gate_set(struct tw_gate *gate, uint32_t value)
{
    atomic_store(&gate->word, value);
    if (atomic_load(&gate->sleepers) > 0) {
        tw_wake_all(&gate->word);
    }
}

/* ---- barrier ---- */

void tw_barrier_init(struct tw_barrier *b, int n, struct tw_wait_policy policy)
{
    atomic_init(&b->arrived, 0);
    b->crowd = (struct tw_crowd){0};
    tw_gate_init(&b->generation, &b->crowd);
    b->n      = (uint32_t)n;
    b->policy = policy;
}

void tw_barrier_wait(struct tw_barrier *b)
{
    /* Stable until this thread arrives: the generation cannot end without it. */
    uint32_t generation = atomic_load_explicit(&b->generation.word, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == b->n) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed); /* published by the next line */
        tw_gate_set(&b->generation, generation + 1);
    } else {
        (void)tw_gate_wait(&b->generation, generation, b->policy);
    }
}
