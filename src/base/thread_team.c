/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#if defined(__SSE2__)
#    include <xmmintrin.h>
#endif

#include "base/alloc.h"
#include "base/thread.h"

struct member {
    struct tw_team *team;
    pthread_t thread;
    int index;
};

/* One run is one step of `start`; the last thread to return makes the same step on `finished`. Words that
 * different threads write lie on different cache lines. */
struct tw_team {
    _Alignas(64) struct tw_gate start;
    tw_team_fn *fn; /* of this run; NULL: the members leave */
    void *arg;
    _Alignas(64) _Atomic uint32_t running; /* members that have not returned yet */
    _Alignas(64) struct tw_gate finished;
    struct tw_barrier barrier;
    struct tw_wait_policy policy;
    int n_threads;
    int n_started;          /* members with a thread: 1 .. n_started */
    struct member *members; /* [n_threads], 0 unused */
    cpu_set_t *caller_mask; /* what tw_team_free restores; NULL: not bound */
    size_t mask_bytes;
};

void tw_float_mode_compute(void)
{
#if defined(__SSE2__)
    enum { ROUND_MASK = 0x6000, FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
    _mm_setcsr((_mm_getcsr() & ~(unsigned)ROUND_MASK) | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
#elif defined(__aarch64__)
    enum { ROUND_MASK = 3 << 22, FLUSH_TO_ZERO = 1 << 24 }; /* FZ covers inputs and outputs */
    uint64_t fpcr;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~(uint64_t)ROUND_MASK) | FLUSH_TO_ZERO;
    __asm__ __volatile__("msr fpcr, %0" : : "r"(fpcr));
#endif
}

static void member_returned(struct tw_team *team, uint32_t run)
{
    if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) == 1) {
        tw_gate_set(&team->finished, run);
    }
}

static void *member_main(void *arg)
{
    const struct member *self = arg;
    struct tw_team *team      = self->team;
    tw_float_mode_compute();
    for (uint32_t run = 1;; run++) {
        (void)tw_gate_wait(&team->start, run - 1, team->policy);
        if (team->fn == NULL) {
            return NULL;
        }
        team->fn(team->arg, self->index, team->n_threads);
        member_returned(team, run);
    }
}

static void start_run(struct tw_team *team, tw_team_fn *fn, void *arg)
{
    team->fn     = fn; /* published by `start` */
    team->arg    = arg;
    uint32_t run = atomic_load_explicit(&team->start.word, memory_order_relaxed) + 1;
    atomic_store_explicit(&team->running, (uint32_t)team->n_started, memory_order_relaxed);
    tw_gate_set(&team->start, run);
}

void tw_team_run(struct tw_team *team, tw_team_fn *fn, void *arg)
{
    if (team->n_threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    start_run(team, fn, arg);
    fn(arg, 0, team->n_threads);
    uint32_t run = atomic_load_explicit(&team->start.word, memory_order_relaxed);
    (void)tw_gate_wait(&team->finished, run - 1, team->policy);
}

void tw_team_barrier(struct tw_team *team)
{
    if (team->n_threads > 1) {
        tw_barrier_wait(&team->barrier);
    }
}

int tw_team_size(const struct tw_team *team)
{
    return team->n_threads;
}

/* ---- making and ending ---- */

static trawl_status bind_thread(pthread_t thread, int core, struct trawl_error *err)
{
    if (core < 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "core %d: core numbers start at 0", core);
    }
    cpu_set_t *mask = CPU_ALLOC((size_t)core + 1);
    if (mask == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory: affinity mask of %d cores", core + 1);
    }
    size_t bytes = CPU_ALLOC_SIZE((size_t)core + 1);
    CPU_ZERO_S(bytes, mask);
    CPU_SET_S((size_t)core, bytes, mask);
    int failed = pthread_setaffinity_np(thread, bytes, mask);
    CPU_FREE(mask);
    if (failed != 0) {
        return tw_fail_os(err, failed, "cannot bind a thread to core %d", core);
    }
    return TRAWL_OK;
}

static trawl_status bind_caller(struct tw_team *team, int core, struct trawl_error *err)
{
    int failed = EINVAL; /* "the mask is too small for this kernel" */
    for (size_t n = CPU_SETSIZE; failed == EINVAL && n <= (1u << 20); n *= 2) {
        CPU_FREE(team->caller_mask);
        team->caller_mask = CPU_ALLOC(n);
        team->mask_bytes  = CPU_ALLOC_SIZE(n);
        failed            = team->caller_mask == NULL
                                ? ENOMEM
                                : pthread_getaffinity_np(pthread_self(), team->mask_bytes, team->caller_mask);
    }
    if (failed != 0) {
        CPU_FREE(team->caller_mask);
        team->caller_mask = NULL;
        return tw_fail_os(err, failed, "cannot read the affinity of the calling thread");
    }
    return bind_thread(pthread_self(), core, err);
}

static trawl_status start_member(struct tw_team *team, int index, const int *cores, struct trawl_error *err)
{
    struct member *m = &team->members[index];
    *m               = (struct member){.team = team, .index = index};
    int failed       = pthread_create(&m->thread, NULL, member_main, m);
    if (failed != 0) {
        return tw_fail_os(err, failed, "cannot start thread %d of a team of %d", index + 1, team->n_threads);
    }
    team->n_started++;
    char name[24];
    (void)snprintf(name, sizeof name, "trawl-%d", index);
    (void)pthread_setname_np(m->thread, name);
    return cores == NULL ? TRAWL_OK : bind_thread(m->thread, cores[index], err);
}

/* Members take no signals: they belong to the program's own threads, whose handlers expect them. */
static trawl_status start_members(struct tw_team *team, const int *cores, struct trawl_error *err)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    trawl_status status = TRAWL_OK;
    for (int i = 1; status == TRAWL_OK && i < team->n_threads; i++) {
        status = start_member(team, i, cores, err);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return status;
}

trawl_status tw_team_new(struct tw_team **out, int n_threads, struct tw_wait_policy policy, const int *cores,
                         struct trawl_error *err)
{
    *out = NULL;
    if (n_threads < 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "a team of %d threads: at least 1 is needed", n_threads);
    }
    struct tw_team *team;
    TW_TRY(tw_alloc(1, sizeof *team, &team, err));
    team->n_threads = n_threads;
    team->policy    = policy;
    tw_barrier_init(&team->barrier, n_threads, policy);
    tw_gate_init(&team->start, &team->barrier.crowd);
    tw_gate_init(&team->finished, &team->barrier.crowd);
    trawl_status status = tw_alloc((size_t)n_threads, sizeof *team->members, &team->members, err);
    if (status == TRAWL_OK && cores != NULL) {
        status = bind_caller(team, cores[0], err);
    }
    if (status == TRAWL_OK) {
        status = start_members(team, cores, err);
    }
    if (status != TRAWL_OK) {
        tw_team_free(team);
        return status;
    }
    *out = team;
    return TRAWL_OK;
}

void tw_team_free(struct tw_team *team)
{
    if (team == NULL) {
        return;
    }
    start_run(team, NULL, NULL);
    for (int i = 1; i <= team->n_started; i++) {
        (void)pthread_join(team->members[i].thread, NULL);
    }
    if (team->caller_mask != NULL) {
        (void)pthread_setaffinity_np(pthread_self(), team->mask_bytes, team->caller_mask);
        CPU_FREE(team->caller_mask);
    }
    tw_free(team->members);
    tw_free(team);
}
