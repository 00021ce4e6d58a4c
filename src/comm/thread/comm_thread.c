/* SPDX-License-Identifier: MIT */
#include "comm/thread/comm_thread.h"

#include <string.h>

#include "base/alloc.h"
#include "comm/pattern/comm_tree.h"
#include "comm/thread/comm_thread_group.h"

static struct tw_comm_thread *self(struct tw_comm *comm)
{
    return (struct tw_comm_thread *)comm;
}

static trawl_status offer_and_meet(struct tw_comm_thread *c, struct tw_comm_offer offer,
                                   struct trawl_error *err)
{
    TW_TRY(tw_comm_offer(c, offer, err));
    return tw_comm_meet(c, err);
}

static trawl_status thread_done(struct tw_comm *comm, struct trawl_error *err)
{
    return offer_and_meet(self(comm), (struct tw_comm_offer){.kind = TW_COMM_KIND_DONE}, err);
}

/* ---- sums ---- */

static trawl_status thread_publish(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                                   struct trawl_error *err)
{
    return tw_comm_offer(
        self(comm),
        (struct tw_comm_offer){.kind = TW_COMM_KIND_SUM, .data = contributes ? partial : NULL, .count = n},
        err);
}

static trawl_status thread_wait(struct tw_comm *comm, struct trawl_error *err)
{
    struct tw_comm_thread *c = self(comm);
    TW_TRY(tw_comm_meet(c, err));
    for (int i = 0; i < comm->size; i++) {
        c->parts[i] = tw_comm_offered(c, i)->data;
    }
    return TRAWL_OK;
}

static void thread_reduce(const struct tw_comm *comm, float *out, size_t begin, size_t end, bool add)
{
    const struct tw_comm_thread *c = (const struct tw_comm_thread *)comm;
    tw_comm_tree_sum(c->parts, comm->size, out, begin, end, add);
}

/* ---- copies ---- */

static trawl_status thread_bcast(struct tw_comm *comm, int root, void *data, size_t bytes,
                                 struct trawl_error *err)
{
    struct tw_comm_thread *c   = self(comm);
    struct tw_comm_offer offer = {
        .kind = TW_COMM_KIND_BCAST, .data = data, .count = bytes, .detail = (int16_t)root};
    TW_TRY(offer_and_meet(c, offer, err));
    if (comm->rank != root && bytes > 0) {
        memcpy(data, tw_comm_offered(c, root)->data, bytes);
    }
    return thread_done(comm, err);
}

static trawl_status thread_gather(struct tw_comm *comm, int root, const void *block, size_t bytes,
                                  const size_t *sizes, void *out, struct trawl_error *err)
{
    struct tw_comm_thread *c   = self(comm);
    struct tw_comm_offer offer = {
        .kind = TW_COMM_KIND_GATHER, .data = block, .count = bytes, .detail = (int16_t)root};
    TW_TRY(offer_and_meet(c, offer, err));
    unsigned char *to = out;
    for (int i = 0; i < comm->size; i++) {
        const struct tw_comm_offer *from = tw_comm_offered(c, i);
        size_t expected                  = sizes == NULL ? bytes : sizes[i];
        if (from->count != expected) {
            tw_comm_group_break(
                c, tw_comm_world_rank(comm, i), "rank %d brings %zu bytes to a gather, rank %d expects %zu",
                tw_comm_world_rank(comm, i), from->count, tw_comm_world_rank(comm, comm->rank), expected);
            break; /* the meeting below reports it */
        }
        if ((root == TW_COMM_ALL || root == comm->rank) && expected > 0) {
            memcpy(to, from->data, expected);
            to += expected;
        }
    }
    return thread_done(comm, err);
}

/* ---- phases ---- */

static trawl_status thread_barrier(struct tw_comm *comm, struct trawl_error *err)
{
    return offer_and_meet(self(comm), (struct tw_comm_offer){.kind = TW_COMM_KIND_BARRIER}, err);
}

/* This rank's report: its error as the others will see it. */
static void write_report(const struct tw_comm *comm, trawl_status status, const struct trawl_error *err,
                         struct trawl_error *report)
{
    if (status == TRAWL_OK || err == NULL) {
        (void)tw_fail(report, status, "a rank failed and gave no reason (%s)", trawl_status_name(status));
    } else {
        *report        = *err;
        report->status = status;
    }
    if (report->rank < 0) {
        report->rank = tw_comm_world_rank(comm, comm->rank);
    }
}

static trawl_status thread_agree(struct tw_comm *comm, trawl_status status, struct trawl_error *err)
{
    struct tw_comm_thread *c   = self(comm);
    struct trawl_error *report = &c->group->reports[comm->rank];
    if (!tw_comm_group_is_broken(c)) { /* else others may be reading the last one, and the offer fails */
        write_report(comm, status, err, report);
    }
    TW_TRY(offer_and_meet(c, (struct tw_comm_offer){.kind = TW_COMM_KIND_AGREE, .data = report}, err));
    struct trawl_error lowest = {.status = TRAWL_OK};
    for (int i = 0; i < comm->size && lowest.status == TRAWL_OK; i++) {
        const struct trawl_error *brought = tw_comm_offered(c, i)->data;
        if (brought->status != TRAWL_OK) {
            lowest = *brought;
        }
    }
    TW_TRY(thread_done(comm, err));
    if (lowest.status != TRAWL_OK && err != NULL) {
        *err = lowest;
    }
    return lowest.status;
}

static void thread_abort(struct tw_comm *comm, const struct trawl_error *cause)
{
    int rank = tw_comm_world_rank(comm, comm->rank);
    if (cause != NULL && cause->rank >= 0) {
        rank = cause->rank; /* learnt from another group */
    }
    tw_comm_group_break(self(comm), rank, "rank %d failed: %s", rank,
                        cause == NULL ? "it gave no reason" : cause->message);
}

/* ---- life ---- */

static void thread_free(struct tw_comm *comm)
{
    tw_comm_group_release(self(comm)->group);
    tw_free(comm);
}

static const struct tw_comm_ops thread_ops = {
    .name    = "thread",
    .publish = thread_publish,
    .wait    = thread_wait,
    .reduce  = thread_reduce,
    .done    = thread_done,
    .bcast   = thread_bcast,
    .gather  = thread_gather,
    .barrier = thread_barrier,
    .agree   = thread_agree,
    .abort   = thread_abort,
    .free    = thread_free,
};

static trawl_status make_handles(struct tw_comm_group *group, const struct tw_comm_thread_config *config,
                                 struct tw_comm **comms, struct trawl_error *err)
{
    for (int i = 0; i < group->size; i++) {
        struct tw_comm_thread *c = NULL;
        size_t bytes             = sizeof *c + (size_t)group->size * sizeof c->parts[0];
        TW_TRY(tw_alloc(1, bytes, &c, err));
        c->comm  = (struct tw_comm){.ops          = &thread_ops,
                                    .rank         = i,
                                    .size         = group->size,
                                    .world_base   = config->world_base,
                                    .world_stride = config->world_stride == 0 ? 1 : config->world_stride};
        c->group = group;
        comms[i] = &c->comm;
    }
    return TRAWL_OK;
}

trawl_status tw_comm_thread_new(int size, const struct tw_comm_thread_config *config, struct tw_comm **comms,
                                struct trawl_error *err)
{
    TW_BUG_ON(size < 1 || size > TW_COMM_RANKS_MAX || config->deadline_ms < 0);
    for (int i = 0; i < size; i++) {
        comms[i] = NULL;
    }
    struct tw_comm_group *group = NULL;
    int deadline_ms             = config->deadline_ms == 0 ? TW_COMM_DEADLINE_MS : config->deadline_ms;
    TW_TRY(tw_comm_group_new(size, config->policy, deadline_ms, &group, err));
    trawl_status status = make_handles(group, config, comms, err);
    if (status != TRAWL_OK) {
        for (int i = 0; i < size; i++) {
            tw_free(comms[i]);
            comms[i] = NULL;
        }
        tw_free(group);
    }
    return status;
}
