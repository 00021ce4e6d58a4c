/* SPDX-License-Identifier: MIT */
#include "comm/hybrid/comm_hybrid.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "comm/thread/comm_thread.h"

/* What the ranks of this process share. Written by the first rank between two meetings. */
struct shared {
    struct tw_comm *outer;
    int inside;
    _Atomic int handles;
    _Atomic bool contributes; /* does any rank here bring something to this sum? */
    float *sum;               /* [capacity] of the ranks here */
    size_t capacity;
    trawl_status agreed; /* of an agreement */
    struct trawl_error report;
};

struct hybrid {
    struct tw_comm comm;
    struct tw_comm *inner; /* of the ranks in this process */
    struct shared *shared;
    bool contributes;
    size_t n;
};

static struct hybrid *self(struct tw_comm *comm)
{
    return (struct hybrid *)comm;
}

static bool leads(const struct hybrid *h)
{
    return h->inner->rank == 0;
}

/* A failure outside, met by the first rank alone: the others here hear of it at their next meeting. */
static trawl_status told(struct hybrid *h, trawl_status status, const struct trawl_error *why,
                         struct trawl_error *err)
{
    if (status != TRAWL_OK) {
        tw_comm_abort(h->inner, why);
        if (err != NULL) {
            *err = *why;
        }
    }
    return status;
}

/* ---- sums ---- */

static trawl_status hybrid_publish(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                                   struct trawl_error *err)
{
    struct hybrid *h = self(comm);
    h->contributes   = contributes;
    h->n             = n;
    if (contributes) {
        atomic_store(&h->shared->contributes, true);
    }
    return tw_comm_publish(h->inner, partial, contributes, n, err);
}

static trawl_status sum_outside(struct hybrid *h, struct trawl_error *err)
{
    struct shared *s = h->shared;
    bool any         = atomic_exchange(&s->contributes, false);
    TW_TRY(tw_grow(&s->sum, &s->capacity, h->n, sizeof *s->sum, err));
    if (any) {
        tw_comm_reduce(h->inner, s->sum, 0, h->n);
    }
    TW_TRY(tw_comm_publish(s->outer, s->sum, any, h->n, err));
    return tw_comm_wait(s->outer, err);
}

/* Two meetings: all partials are there; the sum over all processes is. */
static trawl_status hybrid_wait(struct tw_comm *comm, struct trawl_error *err)
{
    struct hybrid *h = self(comm);
    struct trawl_error why;
    TW_TRY(tw_comm_wait(h->inner, err));
    if (leads(h)) {
        trawl_status status = sum_outside(h, &why);
        if (status == TRAWL_ERR_NOMEM) {
            tw_comm_abort(h->shared->outer, &why);
        }
        TW_TRY(told(h, status, &why, err));
    }
    return tw_comm_barrier(h->inner, err);
}

static void hybrid_reduce(const struct tw_comm *comm, float *out, size_t begin, size_t end, bool add)
{
    const struct hybrid *h = (const struct hybrid *)comm;
    h->shared->outer->ops->reduce(h->shared->outer, out, begin, end, add);
}

static trawl_status hybrid_done(struct tw_comm *comm, struct trawl_error *err)
{
    return tw_comm_done(self(comm)->inner, err);
}

/* ---- copies ---- */

static trawl_status hybrid_bcast(struct tw_comm *comm, int root, void *data, size_t bytes,
                                 struct trawl_error *err)
{
    struct hybrid *h = self(comm);
    int from         = root / h->shared->inside;
    bool here        = from == h->shared->outer->rank;
    struct trawl_error why;
    if (here) { /* to the first rank here, which passes it on */
        TW_TRY(tw_comm_bcast(h->inner, root % h->shared->inside, data, bytes, err));
    }
    if (leads(h)) {
        trawl_status status = tw_comm_bcast(h->shared->outer, from, data, bytes, &why);
        TW_TRY(told(h, status, &why, err));
    }
    return here ? TRAWL_OK : tw_comm_bcast(h->inner, 0, data, bytes, err);
}

static size_t block_size(const size_t *sizes, size_t bytes, int rank)
{
    return sizes == NULL ? bytes : sizes[rank];
}

/* The first ranks' part of a gather: `blocks` are this process's; the whole goes to `all` of the first rank
 * of process `to`. */
static trawl_status gather_outside(struct hybrid *h, int to, const void *blocks, size_t bytes,
                                   const size_t *sizes, void *all, struct trawl_error *err)
{
    struct tw_comm *outer = h->shared->outer;
    size_t *sums          = NULL;
    TW_TRY(tw_alloc((size_t)outer->size, sizeof *sums, &sums, err));
    for (int i = 0; i < h->comm.size; i++) {
        sums[i / h->shared->inside] += block_size(sizes, bytes, i);
    }
    trawl_status status = tw_comm_gather(outer, to, blocks, sums[outer->rank], sums, all, err);
    tw_free(sums);
    return status;
}

static trawl_status gather_with(struct hybrid *h, int root, const void *block, size_t bytes,
                                const size_t *sizes, void *blocks, void *all, size_t all_bytes, void *out,
                                struct trawl_error *err)
{
    int first = h->shared->outer->rank * h->shared->inside,
        to    = root == TW_COMM_ALL ? TW_COMM_ALL : root / h->shared->inside;
    TW_TRY(tw_comm_gather(h->inner, 0, block, bytes, sizes == NULL ? NULL : sizes + first, blocks, err));
    if (leads(h)) {
        struct trawl_error why;
        trawl_status status = gather_outside(h, to, blocks, bytes, sizes, all, &why);
        if (status == TRAWL_ERR_NOMEM) {
            tw_comm_abort(h->shared->outer, &why);
        }
        TW_TRY(told(h, status, &why, err));
    }
    if (to != TW_COMM_ALL && to != h->shared->outer->rank) {
        return TRAWL_OK;
    }
    /* From the first rank here to who wants it. */
    void *mine = root == TW_COMM_ALL || root == h->comm.rank ? out : all;
    if (leads(h) && mine != all) {
        memcpy(mine, all, all_bytes);
    }
    return tw_comm_bcast(h->inner, 0, leads(h) ? all : mine, all_bytes, err);
}

static trawl_status hybrid_gather(struct tw_comm *comm, int root, const void *block, size_t bytes,
                                  const size_t *sizes, void *out, struct trawl_error *err)
{
    struct hybrid *h = self(comm);
    size_t sum = 0, here = 0;
    void *blocks = NULL, *all = NULL;
    for (int i = 0; i < comm->size; i++) {
        sum += block_size(sizes, bytes, i);
        here += i / h->shared->inside == h->shared->outer->rank ? block_size(sizes, bytes, i) : 0;
    }
    trawl_status status = tw_alloc(leads(h) ? here : 0, 1, &blocks, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(sum, 1, &all, err);
    }
    if (status == TRAWL_OK) {
        status = gather_with(h, root, block, bytes, sizes, blocks, all, sum, out, err);
    } else {
        tw_comm_abort(comm, err);
    }
    tw_free(blocks);
    tw_free(all);
    return status;
}

/* ---- phases ---- */

static trawl_status hybrid_barrier(struct tw_comm *comm, struct trawl_error *err)
{
    struct hybrid *h = self(comm);
    struct trawl_error why;
    TW_TRY(tw_comm_barrier(h->inner, err));
    if (leads(h)) {
        trawl_status status = tw_comm_barrier(h->shared->outer, &why);
        TW_TRY(told(h, status, &why, err));
    }
    return tw_comm_barrier(h->inner, err);
}

static trawl_status hybrid_agree(struct tw_comm *comm, trawl_status status, struct trawl_error *err)
{
    struct hybrid *h       = self(comm);
    struct shared *s       = h->shared;
    struct trawl_error own = {.status = TRAWL_OK, .rank = -1};
    if (status != TRAWL_OK && err != NULL) {
        own = *err;
    }
    status = tw_comm_agree(h->inner, status, &own);
    if (leads(h)) {
        s->agreed = tw_comm_agree(s->outer, status, &own);
        s->report = own;
        if (s->agreed == TRAWL_ERR_COMM) {
            tw_comm_abort(h->inner, &own);
        }
    }
    TW_TRY(tw_comm_barrier(h->inner, err));
    if (s->agreed != TRAWL_OK && err != NULL) {
        *err = s->report;
    }
    status = s->agreed;
    TW_TRY(tw_comm_barrier(h->inner, err)); /* all have read it */
    return status;
}

static void hybrid_abort(struct tw_comm *comm, const struct trawl_error *cause)
{
    struct trawl_error why = {.rank = -1};
    if (cause != NULL) {
        why = *cause;
    }
    if (why.rank < 0) {
        why.rank = tw_comm_world_rank(comm, comm->rank);
    }
    tw_comm_abort(self(comm)->shared->outer, cause == NULL ? NULL : &why);
    tw_comm_abort(self(comm)->inner, cause == NULL ? NULL : &why);
}

/* ---- life ---- */

static void release(struct shared *s)
{
    if (atomic_fetch_sub(&s->handles, 1) == 1) {
        tw_comm_free(s->outer);
        tw_free(s->sum);
        tw_free(s);
    }
}

static void hybrid_free(struct tw_comm *comm)
{
    struct hybrid *h = self(comm);
    tw_comm_free(h->inner);
    release(h->shared);
    tw_free(h);
}

static const struct tw_comm_ops hybrid_ops = {
    .name    = "hybrid",
    .publish = hybrid_publish,
    .wait    = hybrid_wait,
    .reduce  = hybrid_reduce,
    .done    = hybrid_done,
    .bcast   = hybrid_bcast,
    .gather  = hybrid_gather,
    .barrier = hybrid_barrier,
    .agree   = hybrid_agree,
    .abort   = hybrid_abort,
    .free    = hybrid_free,
};

static trawl_status make_handles(struct shared *s, const struct tw_comm_hybrid_config *config,
                                 struct tw_comm **comms, struct trawl_error *err)
{
    struct tw_comm *inner[TW_COMM_RANKS_MAX] = {NULL};
    int first                                = s->outer->rank * s->inside;
    int deadline_ms                 = config->deadline_ms == 0 ? TW_COMM_DEADLINE_MS : config->deadline_ms;
    struct tw_comm_thread_config tc = {.policy      = config->policy,
                                       .deadline_ms = deadline_ms > INT_MAX / 2 ? INT_MAX : 2 * deadline_ms,
                                       .world_base  = config->world_base + first};
    trawl_status status             = tw_comm_thread_new(s->inside, &tc, inner, err);
    for (int i = 0; i < s->inside; i++) {
        struct hybrid *h = NULL;
        if (status == TRAWL_OK) {
            status = tw_alloc(1, sizeof *h, &h, err);
        }
        if (status != TRAWL_OK) {
            tw_comm_free(inner[i]);
            continue;
        }
        h->comm   = (struct tw_comm){.ops          = &hybrid_ops,
                                     .rank         = first + i,
                                     .size         = s->outer->size * s->inside,
                                     .world_base   = config->world_base,
                                     .world_stride = 1};
        h->inner  = inner[i];
        h->shared = s;
        atomic_fetch_add(&s->handles, 1);
        comms[i] = &h->comm;
    }
    return status;
}

trawl_status tw_comm_hybrid_new(struct tw_comm *outer, int inside, const struct tw_comm_hybrid_config *config,
                                struct tw_comm **comms, struct trawl_error *err)
{
    struct shared *s = NULL;
    TW_BUG_ON(inside < 1 || inside > TW_COMM_RANKS_MAX || (inside & (inside - 1)) != 0);
    for (int i = 0; i < inside; i++) {
        comms[i] = NULL;
    }
    trawl_status status = tw_alloc(1, sizeof *s, &s, err);
    if (status != TRAWL_OK) {
        tw_comm_free(outer);
        return status;
    }
    s->outer  = outer;
    s->inside = inside;
    atomic_init(&s->handles, 1); /* this function's own */
    status = make_handles(s, config, comms, err);
    for (int i = 0; status != TRAWL_OK && i < inside; i++) {
        tw_comm_free(comms[i]);
        comms[i] = NULL;
    }
    release(s);
    return status;
}
