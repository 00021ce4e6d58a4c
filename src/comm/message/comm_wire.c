/* SPDX-License-Identifier: MIT */
#include "comm/message/comm_wire.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "comm/comm.h"

enum { TAG_NOTICE = 1 };
enum { SPINS = 100, YIELD_NS = 200 * 1000, NAP_FIRST_NS = 20 * 1000, NAP_MOST_NS = 500 * 1000 };
/* The clock is read once in so many looks while spinning. */
enum { LOOKS_PER_READING = 64 };
/* More between two readings is time in which this process did not run. */
static const uint64_t gap_most_ns = 1000000000u;

static trawl_status transport_error(struct tw_wire *w, int code, int peer, const char *what,
                                    struct trawl_error *err)
{
    char text[256] = "", whom[32] = "any rank";
    w->ops->text(code, text, sizeof text);
    if (peer != TW_WIRE_ANY) {
        (void)snprintf(whom, sizeof whom, "rank %d", peer);
    }
    tw_wire_break(w, peer == TW_WIRE_ANY ? w->rank : peer, "rank %d could not %s %s: %s", w->rank, what, whom,
                  text);
    return tw_wire_check(w, err);
}

trawl_status tw_wire_open(struct tw_wire **out, const struct tw_wire_ops *ops, struct trawl_error *err)
{
    struct tw_wire *w = NULL;
    *out              = NULL;
    TW_TRY(tw_alloc(1, sizeof *w, &w, err));
    w->ops         = ops;
    w->deadline_ms = TW_COMM_DEADLINE_MS;
    w->spins       = SPINS;
    (void)pthread_mutex_init(&w->lock, NULL);
    atomic_init(&w->broken, 0);
    w->world.stride = 1;
    int code        = ops->init(&w->world, &w->rank, &w->size);
    if (code != 0) {
        char text[256] = "";
        ops->text(code, text, sizeof text);
        tw_free(w);
        return tw_fail(err, TRAWL_ERR_COMM, "this process could not join the run: %s", text);
    }
    trawl_status status = tw_alloc((size_t)w->size, sizeof *w->telling, &w->telling, err);
    if (status == TRAWL_OK) {
        code   = ops->receive(&w->world, &w->heard, sizeof w->heard, TW_WIRE_ANY, TAG_NOTICE, &w->listening);
        status = code == 0 ? TRAWL_OK : transport_error(w, code, TW_WIRE_ANY, "receive from", err);
    }
    if (status != TRAWL_OK) {
        tw_wire_break(w, w->rank, "rank %d could not begin", w->rank);
        tw_wire_close(w, 0);
        return status;
    }
    *out = w;
    return TRAWL_OK;
}

void tw_wire_close(struct tw_wire *w, int grace_ms)
{
    if (w == NULL) {
        return;
    }
    if (atomic_load(&w->broken) == 0) {
        w->ops->cancel(&w->listening);
        (void)w->ops->finalize(&w->world);
    } else {
        struct timespec grace = {.tv_sec = grace_ms / 1000, .tv_nsec = grace_ms % 1000 * 1000000L};
        (void)nanosleep(&grace, NULL);
        w->ops->abort(&w->world);
        w->ops->cancel(&w->listening); /* where that did not end this process: the notice's place goes away */
    }
    (void)pthread_mutex_destroy(&w->lock);
    for (size_t i = 0; i < w->n_left; i++) {
        tw_free(w->left[i]);
    }
    tw_free(w->left);
    tw_free(w->telling);
    tw_free(w);
}

/* ---- failure ---- */

/* False when it was broken already. */
static bool set_cause(struct tw_wire *w, int world_rank, const char *text, bool learnt)
{
    int whole = 0;
    if (!atomic_compare_exchange_strong(&w->broken, &whole, 1)) {
        return false;
    }
    (void)tw_fail(&w->cause, TRAWL_ERR_COMM, "%s", text);
    w->cause.rank = world_rank;
    w->learnt     = learnt;
    atomic_store(&w->broken, 2);
    return true;
}

void tw_wire_break(struct tw_wire *w, int world_rank, const char *format, ...)
{
    char text[TRAWL_ERROR_MESSAGE_BYTES + 64];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!set_cause(w, world_rank, text, false)) {
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    w->said.rank = world_rank;
    (void)snprintf(w->said.message, sizeof w->said.message, "%s", w->cause.message);
    for (int i = 0; w->telling != NULL && i < w->size; i++) {
        if (i != w->rank) { /* small enough to be on its way at once; nobody waits for it */
            (void)w->ops->send(&w->world, &w->said, sizeof w->said, i, TAG_NOTICE, &w->telling[i]);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
}

static trawl_status broken_error(struct tw_wire *w, struct trawl_error *err)
{
    while (atomic_load(&w->broken) != 2) {
        (void)sched_yield();
    }
    if (err != NULL) {
        *err = w->cause;
    }
    return TRAWL_ERR_COMM;
}

/* Has another process given up? With the lock. */
static void hear(struct tw_wire *w)
{
    bool done = false;
    struct tw_wire_event event;
    if (w->ops->test(&w->listening, &done, &event) == 0 && done) {
        w->heard.message[sizeof w->heard.message - 1] = '\0';
        (void)set_cause(w, w->heard.rank, w->heard.message, true);
    }
}

trawl_status tw_wire_check(struct tw_wire *w, struct trawl_error *err)
{
    if (atomic_load(&w->broken) == 0) {
        (void)pthread_mutex_lock(&w->lock);
        hear(w);
        (void)pthread_mutex_unlock(&w->lock);
    }
    return atomic_load(&w->broken) == 0 ? TRAWL_OK : broken_error(w, err);
}

/* ---- messages ---- */

trawl_status tw_wire_group_new(struct tw_wire *w, int first, int stride, int n, struct tw_wire_group *out,
                               struct trawl_error *err)
{
    TW_TRY(tw_wire_check(w, err));
    out->first  = first;
    out->stride = stride;
    (void)pthread_mutex_lock(&w->lock);
    int code = w->ops->group(&w->world, first, stride, n, out);
    (void)pthread_mutex_unlock(&w->lock);
    return code == 0 ? TRAWL_OK : transport_error(w, code, first, "make a group with", err);
}

void tw_wire_group_free(struct tw_wire *w, struct tw_wire_group *group)
{
    if (atomic_load(&w->broken) == 0) { /* else others may not come to this any more */
        (void)pthread_mutex_lock(&w->lock);
        w->ops->group_free(group);
        (void)pthread_mutex_unlock(&w->lock);
    }
}

trawl_status tw_wire_send(struct tw_wire *w, const struct tw_wire_group *group, const void *data,
                          size_t bytes, int to, int tag, struct tw_wire_request *out, struct trawl_error *err)
{
    TW_BUG_ON(bytes > TW_WIRE_PIECE_BYTES);
    if (atomic_load(&w->broken) != 0) {
        return broken_error(w, err);
    }
    out->peer     = group->first + group->stride * to;
    out->receives = false;
    (void)pthread_mutex_lock(&w->lock);
    int code = w->ops->send(group, data, bytes, to, tag, out);
    (void)pthread_mutex_unlock(&w->lock);
    return code == 0 ? TRAWL_OK : transport_error(w, code, out->peer, "send to", err);
}

trawl_status tw_wire_receive(struct tw_wire *w, const struct tw_wire_group *group, void *data, size_t bytes,
                             int from, int tag, struct tw_wire_request *out, struct trawl_error *err)
{
    TW_BUG_ON(bytes > TW_WIRE_PIECE_BYTES);
    if (atomic_load(&w->broken) != 0) {
        return broken_error(w, err);
    }
    out->peer     = from == TW_WIRE_ANY ? TW_WIRE_ANY : group->first + group->stride * from;
    out->receives = true;
    (void)pthread_mutex_lock(&w->lock);
    int code = w->ops->receive(group, data, bytes, from, tag, out);
    (void)pthread_mutex_unlock(&w->lock);
    return code == 0 ? TRAWL_OK : transport_error(w, code, out->peer, "receive from", err);
}

trawl_status tw_wire_test(struct tw_wire *w, struct tw_wire_request *request, bool *done,
                          struct tw_wire_event *event, struct trawl_error *err)
{
    *done = false;
    if (atomic_load(&w->broken) != 0) {
        return broken_error(w, err);
    }
    (void)pthread_mutex_lock(&w->lock);
    int code = w->ops->test(request, done, event);
    if (code == 0) { /* also when it is done: who has given up sends nothing that may be used */
        hear(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (code != 0) {
        return transport_error(w, code, request->peer, request->receives ? "receive from" : "send to", err);
    }
    return atomic_load(&w->broken) == 0 ? TRAWL_OK : broken_error(w, err);
}

void tw_wire_cancel(struct tw_wire *w, struct tw_wire_request *receive)
{
    (void)pthread_mutex_lock(&w->lock);
    w->ops->cancel(receive);
    (void)pthread_mutex_unlock(&w->lock);
}

void tw_wire_leave(struct tw_wire *w, void *data)
{
    (void)pthread_mutex_lock(&w->lock);
    if (tw_grow(&w->left, &w->left_capacity, w->n_left + 1, sizeof *w->left, NULL) == TRAWL_OK) {
        w->left[w->n_left++] = data;
    } /* else it is never freed, which is better than freed too early */
    (void)pthread_mutex_unlock(&w->lock);
}

/* ---- patience ---- */

static void read_clock(struct tw_wire_patience *p)
{
    uint64_t now = tw_clock_ns(), gap = p->latest == 0 ? 0 : now - p->latest;
    p->waited += gap < gap_most_ns ? gap : gap_most_ns;
    p->latest = now;
}

void tw_wire_pause(const struct tw_wire *w, struct tw_wire_patience *p)
{
    p->looks++;
    if ((int)p->looks < w->spins) {
        tw_cpu_pause();
        if (p->latest == 0 || p->looks % LOOKS_PER_READING == 0) {
            read_clock(p);
        }
        return;
    }
    read_clock(p);
    if (p->waited < YIELD_NS) {
        (void)sched_yield();
        return;
    }
    uint64_t nap      = p->waited / 16 < NAP_FIRST_NS  ? NAP_FIRST_NS
                        : p->waited / 16 > NAP_MOST_NS ? NAP_MOST_NS
                                                       : p->waited / 16;
    struct timespec t = {.tv_nsec = (long)nap};
    (void)nanosleep(&t, NULL);
}

int tw_wire_waited_ms(const struct tw_wire_patience *p)
{
    uint64_t ms = p->waited / 1000000u;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}
