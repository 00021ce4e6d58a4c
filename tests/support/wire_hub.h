/* SPDX-License-Identifier: MIT */
/* Processes played by threads: a transport (comm_wire.h) inside one process, so that what runs under mpirun
 * runs in a unit test, under ThreadSanitizer, and with faults that no real network would produce on demand.
 *
 * As in MPI, messages between two ranks of a group keep their order and receives match in the order in which
 * they were posted. Messages may be held back for some looks, and those larger than `eager_most` are not sent
 * before a receive is there. */
#ifndef TW_TESTS_WIRE_HUB_H
#define TW_TESTS_WIRE_HUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "comm/message/comm_wire.h"

enum { HUB_RANKS_MAX = 16, HUB_GONE = 7, HUB_TOO_LONG = 8, HUB_ENDED = 9 };

struct hub;

struct hub_rank {
    struct hub *hub;
    int rank;
    size_t sent;
    uint8_t groups[HUB_RANKS_MAX][HUB_RANKS_MAX][HUB_RANKS_MAX + 1]; /* made so far, by first, stride, n */
};

struct hub_message {
    struct hub_message *next, *next_owned;
    const void *data; /* the sender's, or `copy` */
    unsigned char *copy;
    size_t bytes;
    uint64_t group;
    int from, to, tag; /* world ranks */
    unsigned looks;    /* before it can be seen */
    bool taken;
};

struct hub_request {
    struct hub_request *next, *next_owned;
    struct hub_rank *owner;
    struct hub_message *sent; /* a send */
    void *data;               /* a receive */
    size_t bytes;
    uint64_t group;
    int from, tag; /* or TW_WIRE_ANY */
    bool done;
    int code;
    struct tw_wire_event event;
};

struct hub_group {
    struct hub_rank *me;
    uint32_t id;          /* 0: the world */
    uint16_t first, step; /* member i is world rank first + step * i */
};
_Static_assert(sizeof(struct hub_group) <= 16, "a group fits its place");

struct hub {
    pthread_mutex_t lock;
    int size;
    struct hub_rank ranks[HUB_RANKS_MAX];
    struct hub_message *messages, *all_messages; /* under way, in order of sending; all there ever were */
    struct hub_request *receives, *all_requests; /* posted, in order */
    struct tw_philox_stream random;
    unsigned looks_most; /* for which a message may be held back */
    size_t eager_most;
    /* Faults. */
    int gone;           /* sends to this rank fail; -1: none */
    int mute;           /* nothing of this rank arrives any more ... */
    size_t mute_after;  /* ... after so many messages */
    int cut_from;       /* messages of this rank lose their end; -1: none */
    size_t cut_bytes;   /* what is left of them */
    int cut_tag;        /* only these; TW_WIRE_ANY: all */
    _Atomic int aborts; /* ends of the run by force: from the first on nothing works any more */
};

static _Thread_local struct hub_rank *hub_joining;

static inline void hub_init(struct hub *hub, int size, uint64_t seed)
{
    *hub = (struct hub){
        .size = size, .eager_most = 4096, .gone = -1, .mute = -1, .cut_from = -1, .cut_tag = TW_WIRE_ANY};
    (void)pthread_mutex_init(&hub->lock, NULL);
    tw_philox_stream_init(&hub->random, seed, 0);
    for (int i = 0; i < size; i++) {
        hub->ranks[i] = (struct hub_rank){.hub = hub, .rank = i};
    }
}

static inline void hub_release(struct hub *hub)
{
    for (struct hub_message *m = hub->all_messages, *next; m != NULL; m = next) {
        next = m->next_owned;
        free(m->copy);
        free(m);
    }
    for (struct hub_request *r = hub->all_requests, *next; r != NULL; r = next) {
        next = r->next_owned;
        free(r);
    }
    (void)pthread_mutex_destroy(&hub->lock);
}

/* ---- matching ---- */

static inline struct hub_group *hub_group_of(const struct tw_wire_group *g)
{
    return (struct hub_group *)(void *)g->bytes;
}

static inline void hub_deliver(struct hub_request *r, struct hub_message *m)
{
    const struct hub *hub = r->owner->hub;
    size_t n              = m->bytes;
    if (m->from == hub->cut_from && (hub->cut_tag == TW_WIRE_ANY || hub->cut_tag == m->tag)) {
        n = n < hub->cut_bytes ? n : hub->cut_bytes;
    }
    r->code = n > r->bytes ? HUB_TOO_LONG : 0;
    if (r->code == 0 && n > 0) {
        memcpy(r->data, m->data, n);
    }
    int first = (int)(m->group >> 16 & 0xFFFF), step = (int)(m->group & 0xFFFF);
    r->event = (struct tw_wire_event){.bytes = n, .source = (m->from - first) / step, .tag = m->tag};
    r->done  = true;
    m->taken = true;
}

/* The first message for a receive, unless one before it from the same rank is still held back. */
static inline struct hub_message **hub_match(struct hub *hub, const struct hub_request *r)
{
    bool blocked[HUB_RANKS_MAX] = {false};
    for (struct hub_message **at = &hub->messages; *at != NULL; at = &(*at)->next) {
        struct hub_message *m = *at;
        if (m->to == r->owner->rank && m->group == r->group && (r->tag == TW_WIRE_ANY || r->tag == m->tag) &&
            (r->from == TW_WIRE_ANY || r->from == m->from) && !blocked[m->from]) {
            if (m->looks == 0) {
                return at;
            }
            blocked[m->from] = true;
        }
    }
    return NULL;
}

static inline void hub_progress(struct hub *hub)
{
    if (hub->aborts > 0) {
        return;
    }
    for (struct hub_message *m = hub->messages; m != NULL; m = m->next) {
        m->looks -= m->looks > 0;
    }
    for (struct hub_request **at = &hub->receives; *at != NULL;) {
        struct hub_message **found = hub_match(hub, *at);
        if (found == NULL) {
            at = &(*at)->next;
            continue;
        }
        struct hub_message *m = *found;
        *found                = m->next;
        hub_deliver(*at, m);
        *at = (*at)->next;
    }
}

/* ---- the transport's table ---- */

static inline struct hub_request **hub_request_of(struct tw_wire_request *r)
{
    return (struct hub_request **)(void *)r->bytes;
}

static inline int hub_op_init(struct tw_wire_group *world, int *rank, int *size)
{
    *hub_group_of(world) = (struct hub_group){.me = hub_joining, .step = 1};
    *rank                = hub_joining->rank;
    *size                = hub_joining->hub->size;
    return 0;
}

/* Members make the same groups in the same order, so their count names them. */
static inline int hub_op_group(const struct tw_wire_group *world, int first, int stride, int n,
                               struct tw_wire_group *out)
{
    struct hub_rank *me = hub_group_of(world)->me;
    *hub_group_of(out)  = (struct hub_group){.me    = me,
                                             .id    = (uint32_t)n << 8 | ++me->groups[first][stride][n],
                                             .first = (uint16_t)first,
                                             .step  = (uint16_t)stride};
    return 0;
}

static inline void hub_op_group_free(struct tw_wire_group *group)
{
    *hub_group_of(group) = (struct hub_group){0};
}

static inline uint64_t hub_name(const struct hub_group *g)
{
    return (uint64_t)g->id << 32 | (uint64_t)g->first << 16 | g->step;
}

static inline struct hub_request *hub_request_new(struct hub_rank *owner)
{
    struct hub_request *r    = calloc(1, sizeof *r);
    r->owner                 = owner;
    r->next_owned            = owner->hub->all_requests;
    owner->hub->all_requests = r;
    return r;
}

static inline int hub_op_send(const struct tw_wire_group *group, const void *data, size_t bytes, int to,
                              int tag, struct tw_wire_request *out)
{
    const struct hub_group *g = hub_group_of(group);
    struct hub *hub           = g->me->hub;
    int peer                  = g->first + g->step * to;
    if (peer == hub->gone || hub->aborts > 0) {
        return hub->aborts > 0 ? HUB_ENDED : HUB_GONE;
    }
    struct hub_message *m = calloc(1, sizeof *m);
    (void)pthread_mutex_lock(&hub->lock);
    *m = (struct hub_message){.data       = data,
                              .bytes      = bytes,
                              .group      = hub_name(g),
                              .from       = g->me->rank,
                              .to         = peer,
                              .tag        = tag,
                              .looks      = tw_philox_below(&hub->random, hub->looks_most + 1),
                              .next_owned = hub->all_messages};
    if (bytes <= hub->eager_most) {
        m->copy = malloc(bytes + 1);
        m->data = m->copy;
        if (bytes > 0) {
            memcpy(m->copy, data, bytes);
        }
    }
    hub->all_messages = m;
    if (g->me->sent++ < hub->mute_after || g->me->rank != hub->mute) {
        struct hub_message **last = &hub->messages;
        while (*last != NULL) {
            last = &(*last)->next;
        }
        *last = m;
    }
    struct hub_request *r = hub_request_new(g->me);
    r->sent               = m;
    *hub_request_of(out)  = r;
    (void)pthread_mutex_unlock(&hub->lock);
    return 0;
}

static inline int hub_op_receive(const struct tw_wire_group *group, void *data, size_t bytes, int from,
                                 int tag, struct tw_wire_request *out)
{
    const struct hub_group *g = hub_group_of(group);
    struct hub *hub           = g->me->hub;
    (void)pthread_mutex_lock(&hub->lock);
    struct hub_request *r = hub_request_new(g->me), **last = &hub->receives;
    r->data  = data;
    r->bytes = bytes;
    r->group = hub_name(g);
    r->from  = from == TW_WIRE_ANY ? TW_WIRE_ANY : g->first + g->step * from;
    r->tag   = tag;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last                = r;
    *hub_request_of(out) = r;
    (void)pthread_mutex_unlock(&hub->lock);
    return 0;
}

static inline int hub_op_test(struct tw_wire_request *request, bool *done, struct tw_wire_event *event)
{
    struct hub_request *r = *hub_request_of(request);
    struct hub *hub       = r->owner->hub;
    (void)pthread_mutex_lock(&hub->lock);
    hub_progress(hub);
    int code = r->done ? r->code : hub->aborts > 0 ? HUB_ENDED : 0;
    *done    = code == 0 && (r->sent == NULL ? r->done : r->sent->copy != NULL || r->sent->taken);
    if (*done) {
        *event = r->event;
    }
    if (*done || r->done) { /* else it can still be cancelled */
        *hub_request_of(request) = NULL;
    }
    (void)pthread_mutex_unlock(&hub->lock);
    return code;
}

static inline void hub_op_cancel(struct tw_wire_request *receive)
{
    struct hub_request *r = *hub_request_of(receive);
    if (r == NULL) {
        return;
    }
    struct hub *hub = r->owner->hub;
    (void)pthread_mutex_lock(&hub->lock);
    for (struct hub_request **at = &hub->receives; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    *hub_request_of(receive) = NULL;
    (void)pthread_mutex_unlock(&hub->lock);
}

static inline int hub_op_finalize(struct tw_wire_group *world)
{
    *hub_group_of(world) = (struct hub_group){0};
    return 0;
}

/* What is still on its way is not read any more: the sender's memory goes next. */
static inline void hub_op_abort(const struct tw_wire_group *world)
{
    struct hub *hub = hub_group_of(world)->me->hub;
    (void)pthread_mutex_lock(&hub->lock);
    hub->aborts++;
    (void)pthread_mutex_unlock(&hub->lock);
}

static inline void hub_op_text(int code, char *out, size_t n)
{
    (void)snprintf(out, n, "%s",
                   code == HUB_GONE       ? "it is gone"
                   : code == HUB_TOO_LONG ? "a message is too long"
                                          : "the run was ended by force");
}

static inline void hub_op_version(char *out, size_t n)
{
    (void)snprintf(out, n, "threads of this test");
}

static const struct tw_wire_ops hub_ops = {
    .abi        = TW_WIRE_ABI,
    .init       = hub_op_init,
    .group      = hub_op_group,
    .group_free = hub_op_group_free,
    .send       = hub_op_send,
    .receive    = hub_op_receive,
    .test       = hub_op_test,
    .cancel     = hub_op_cancel,
    .finalize   = hub_op_finalize,
    .abort      = hub_op_abort,
    .text       = hub_op_text,
    .version    = hub_op_version,
};

/* The wire of rank `rank`; any thread may use it afterwards. */
static inline trawl_status hub_open(struct hub *hub, int rank, struct tw_wire **out, struct trawl_error *err)
{
    hub_joining = &hub->ranks[rank];
    return tw_wire_open(out, &hub_ops, err);
}

#endif /* TW_TESTS_WIRE_HUB_H */
