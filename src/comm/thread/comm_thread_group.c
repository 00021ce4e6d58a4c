/* SPDX-License-Identifier: MIT */
#include "comm/thread/comm_thread_group.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define BROKEN 1u /* bit 0 of a slot's word */
#define STEP   2u
#define NAP_NS 1000000000u

trawl_status tw_comm_group_new(int size, struct tw_wait_policy policy, int deadline_ms,
                               struct tw_comm_group **out, struct trawl_error *err)
{
    struct tw_comm_group *group = NULL;

    size_t per_rank = sizeof group->slots[0] + sizeof *group->reports;
    size_t bytes    = sizeof *group + (size_t)size * per_rank;
    TW_TRY(tw_alloc(1, bytes, &group, err));
    group->reports     = (struct trawl_error *)(void *)&group->slots[size];
    group->policy      = policy;
    group->deadline_ms = deadline_ms;
    group->size        = size;
    atomic_init(&group->handles, size);
    atomic_init(&group->broken, 0);
    for (int i = 0; i < size; i++) {
        atomic_init(&group->slots[i].word, 0);
        atomic_init(&group->slots[i].sleepers, 0);
    }
    *out = group;
    return TRAWL_OK;
}

void tw_comm_group_release(struct tw_comm_group *group)
{
    if (atomic_fetch_sub(&group->handles, 1) == 1) {
        tw_free(group);
    }
}

/* ---- broken groups ---- */

void tw_comm_group_break(struct tw_comm_thread *c, int world_rank, const char *format, ...)
{
    struct tw_comm_group *group = c->group;
    int whole                   = 0;
    if (!atomic_compare_exchange_strong(&group->broken, &whole, 1)) {
        return;
    }
    char text[TRAWL_ERROR_MESSAGE_BYTES + 64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)tw_fail(&group->cause, TRAWL_ERR_COMM, "%s", text);
    group->cause.rank = world_rank;
    atomic_store(&group->broken, 2);
    for (int i = 0; i < group->size; i++) {
        (void)atomic_fetch_or(&group->slots[i].word, BROKEN);
        tw_wake_all(&group->slots[i].word);
    }
}

bool tw_comm_group_is_broken(const struct tw_comm_thread *c)
{
    return atomic_load(&c->group->broken) != 0;
}

static trawl_status broken_error(const struct tw_comm_group *group, struct trawl_error *err)
{
    while (atomic_load(&group->broken) != 2) { /* the breaker is writing its sentence */
        (void)sched_yield();
    }
    if (err != NULL) {
        *err = group->cause;
    }
    return TRAWL_ERR_COMM;
}

/* ---- meetings ---- */

trawl_status tw_comm_offer(struct tw_comm_thread *c, struct tw_comm_offer offer, struct trawl_error *err)
{
    if (tw_comm_group_is_broken(c)) { /* others may still be reading the offer before the last one */
        return broken_error(c->group, err);
    }
    struct tw_comm_slot *slot = &c->group->slots[c->comm.rank];
    c->target += STEP;
    slot->offers[c->target / STEP % 2] = offer;
    /* Change the word, then look for sleepers; a sleeper is counted before its last look at the word. Both
     * in one total order, so one of them sees the other. */
    if (atomic_fetch_add(&slot->word, STEP) & BROKEN) {
        return broken_error(c->group, err);
    }
    if (atomic_load(&slot->sleepers) > 0) {
        tw_wake_all(&slot->word);
    }
    return TRAWL_OK;
}

const struct tw_comm_offer *tw_comm_offered(const struct tw_comm_thread *c, int rank)
{
    return &c->group->slots[rank].offers[c->target / STEP % 2];
}

/* The count wraps; the distance between two ranks is at most one meeting. */
static bool settled(uint32_t word, uint32_t target)
{
    return (word & BROKEN) != 0 || (int32_t)(word - target) >= 0;
}

static void futex_wait_for(_Atomic uint32_t *word, uint32_t seen, uint64_t nanoseconds)
{
    struct timespec t = {.tv_sec  = (time_t)(nanoseconds / 1000000000u),
                         .tv_nsec = (long)(nanoseconds % 1000000000u)};
    int saved         = errno; /* EAGAIN, EINTR and ETIMEDOUT all mean: look again */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &t, NULL, 0);
    errno = saved;
}

/* Sleep until the slot is settled, at most *left nanoseconds; false when they have passed. In naps, the time of
 * each counting at most once: a process that was stopped and goes on (Ctrl-Z) has not waited. */
static bool sleep_on(struct tw_comm_slot *slot, uint32_t target, uint64_t *left)
{
    (void)atomic_fetch_add(&slot->sleepers, 1);
    uint32_t word = atomic_load(&slot->word);
    while (!settled(word, target) && *left > 0) {
        uint64_t nap = *left < NAP_NS ? *left : NAP_NS, start = tw_clock_ns();
        futex_wait_for(&slot->word, word, nap);
        uint64_t slept = tw_clock_ns() - start;
        *left -= slept < nap ? slept : nap;
        word = atomic_load(&slot->word);
    }
    (void)atomic_fetch_sub(&slot->sleepers, 1);
    return settled(word, target);
}

static bool settles_soon(struct tw_comm_slot *slot, uint32_t target, struct tw_wait_policy policy)
{
    for (int i = 0; i <= policy.spins; i++) {
        if (settled(atomic_load_explicit(&slot->word, memory_order_acquire), target)) {
            return true;
        }
        tw_cpu_pause();
    }
    for (int i = 0; i < policy.yields; i++) {
        (void)sched_yield();
        if (settled(atomic_load_explicit(&slot->word, memory_order_acquire), target)) {
            return true;
        }
    }
    return false;
}

static const char *kind_name(int kind)
{
    switch ((enum tw_comm_kind)kind) {
    case TW_COMM_KIND_SUM: return "all-reduce";
    case TW_COMM_KIND_DONE: return "end of a collective";
    case TW_COMM_KIND_BCAST: return "broadcast";
    case TW_COMM_KIND_GATHER: return "gather";
    case TW_COMM_KIND_BARRIER: return "barrier";
    case TW_COMM_KIND_AGREE: return "agreement";
    }
    return "unknown call";
}

static bool same_call(const struct tw_comm_offer *a, const struct tw_comm_offer *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch ((enum tw_comm_kind)a->kind) {
    case TW_COMM_KIND_SUM: return a->count == b->count;
    case TW_COMM_KIND_BCAST: return a->count == b->count && a->detail == b->detail;
    case TW_COMM_KIND_GATHER: /* counts may differ; the gather compares them with the announced sizes */
        return a->detail == b->detail;
    case TW_COMM_KIND_DONE:
    case TW_COMM_KIND_BARRIER:
    case TW_COMM_KIND_AGREE: return true;
    }
    return false;
}

/* Breaks the group when rank i's offer is of another call than ours. */
static bool matches(struct tw_comm_thread *c, int i)
{
    const struct tw_comm_offer *own   = tw_comm_offered(c, c->comm.rank);
    const struct tw_comm_offer *other = tw_comm_offered(c, i);
    if (same_call(own, other)) {
        return true;
    }
    tw_comm_group_break(
        c, tw_comm_world_rank(&c->comm, i),
        "rank %d is in %s (count %zu, detail %d) while rank %d is in %s (count %zu, detail %d)",
        tw_comm_world_rank(&c->comm, c->comm.rank), kind_name(own->kind), own->count, own->detail,
        tw_comm_world_rank(&c->comm, i), kind_name(other->kind), other->count, other->detail);
    return false;
}

trawl_status tw_comm_meet(struct tw_comm_thread *c, struct trawl_error *err)
{
    struct tw_comm_group *group = c->group;
    uint64_t left               = (uint64_t)group->deadline_ms * 1000000u;
    for (int i = 0; i < group->size; i++) {
        struct tw_comm_slot *slot = &group->slots[i];
        if (!settles_soon(slot, c->target, group->policy)) {
            if (!sleep_on(slot, c->target, &left)) {
                tw_comm_group_break(
                    c, tw_comm_world_rank(&c->comm, i), "rank %d waited %d ms for rank %d in %s",
                    tw_comm_world_rank(&c->comm, c->comm.rank), group->deadline_ms,
                    tw_comm_world_rank(&c->comm, i), kind_name(tw_comm_offered(c, c->comm.rank)->kind));
                return broken_error(group, err);
            }
        }
        if (atomic_load_explicit(&slot->word, memory_order_acquire) & BROKEN || !matches(c, i)) {
            return broken_error(group, err);
        }
    }
    return TRAWL_OK;
}
