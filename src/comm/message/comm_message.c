/* SPDX-License-Identifier: MIT */
#include "comm/message/comm_message.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "comm/pattern/comm_pattern.h"
#include "comm/pattern/comm_tree.h"

enum { STEPS_MAX = 10, DEPTH_SHARE = 16 };
_Static_assert(TW_COMM_RANKS_MAX <= 1 << STEPS_MAX, "recursive doubling over all ranks");

/* Tags: which call a message belongs to. */
enum kind { KIND_SUM = 1, KIND_BCAST, KIND_GATHER, KIND_BARRIER, KIND_AGREE };

struct pending {
    struct tw_wire_request request;
    bool active, receives;
    int peer; /* in the group */
    size_t bytes;
};

struct message {
    struct tw_comm comm;
    struct tw_wire *wire;
    struct tw_wire_group group;
    int steps;
    enum kind kind; /* of the call under way */
    bool no_deadline;
    struct pending *pending; /* [size + STEPS_MAX]: the requests of a call; receives of a sum first */
    size_t n_pending;
    /* The sum under way, and the last one until the next is published. */
    const float *partial;
    bool contributes;
    size_t n;
    float *received[STEPS_MAX], *sum[STEPS_MAX]; /* [capacity] each: sibling's and own sum of a step */
    size_t capacity;
    const float *parts[2]; /* of the last add */
};

static struct message *self(struct tw_comm *comm)
{
    return (struct message *)comm;
}

static const char *kind_name(int kind)
{
    switch (kind) {
    case KIND_SUM: return "all-reduce";
    case KIND_BCAST: return "broadcast";
    case KIND_GATHER: return "gather";
    case KIND_BARRIER: return "barrier";
    case KIND_AGREE: return "agreement";
    default: return "unknown call";
    }
}

/* ---- requests ---- */

/* A new call. One that failed has left nothing behind: its wire is broken. */
static void begin(struct message *m, enum kind kind)
{
    m->kind      = kind;
    m->n_pending = 0;
}

static trawl_status post_send(struct message *m, const void *data, size_t bytes, int to,
                              struct trawl_error *err)
{
    struct pending *p = &m->pending[m->n_pending];
    *p                = (struct pending){.active = true, .peer = to, .bytes = bytes};
    TW_TRY(tw_wire_send(m->wire, &m->group, data, bytes, to, (int)m->kind, &p->request, err));
    m->n_pending++;
    return TRAWL_OK;
}

/* Any tag: a message of another call is to be seen, not waited past. */
static trawl_status post_receive(struct message *m, void *data, size_t bytes, int from,
                                 struct trawl_error *err)
{
    struct pending *p = &m->pending[m->n_pending];
    *p                = (struct pending){.active = true, .receives = true, .peer = from, .bytes = bytes};
    TW_TRY(tw_wire_receive(m->wire, &m->group, data, bytes, from, TW_WIRE_ANY, &p->request, err));
    m->n_pending++;
    return TRAWL_OK;
}

/* After a failure no buffer may be written to any more. */
static void give_up(struct message *m)
{
    for (size_t i = 0; i < m->n_pending; i++) {
        if (m->pending[i].active && m->pending[i].receives) {
            tw_wire_cancel(m->wire, &m->pending[i].request);
        }
    }
    m->n_pending = 0;
}

static trawl_status check_received(struct message *m, const struct pending *p, const struct tw_wire_event *e,
                                   struct trawl_error *err)
{
    int own = tw_comm_world_rank(&m->comm, m->comm.rank), other = tw_comm_world_rank(&m->comm, p->peer);
    if (e->tag != (int)m->kind) {
        tw_wire_break(m->wire, other, "rank %d is in %s while rank %d is in %s", own, kind_name(m->kind),
                      other, kind_name(e->tag));
        return tw_wire_check(m->wire, err);
    }
    if (e->bytes != p->bytes && (m->kind != KIND_SUM || e->bytes != 0)) {
        tw_wire_break(m->wire, other, "rank %d brings %zu bytes to %s, rank %d expects %zu", other, e->bytes,
                      kind_name(m->kind), own, p->bytes);
        return tw_wire_check(m->wire, err);
    }
    return TRAWL_OK;
}

/* Look once at request i. *bytes: what a receive got. */
static trawl_status look(struct message *m, size_t i, size_t *bytes, struct trawl_error *err)
{
    struct pending *p          = &m->pending[i];
    struct tw_wire_event event = {0};
    bool done                  = false;
    TW_TRY(tw_wire_test(m->wire, &p->request, &done, &event, err));
    if (done) {
        p->active = false;
        if (p->receives) {
            TW_TRY(check_received(m, p, &event, err));
            *bytes = event.bytes;
        }
    }
    return TRAWL_OK;
}

/* Until request i is done. The wait has a deadline, which breaks the wire. `depth`: of how many others in turn
 * the awaited rank may have to wait in this call. Each gives a little more time, so that the one who waits for
 * the silent rank itself is the first to lose patience, and names it. */
static trawl_status wait_for(struct message *m, size_t i, int depth, size_t *bytes, struct trawl_error *err)
{
    struct tw_wire_patience patience = {0};
    int64_t deadline_ms              = m->wire->deadline_ms;
    trawl_status status              = look(m, i, bytes, err);
    deadline_ms += depth * (deadline_ms / DEPTH_SHARE);
    while (status == TRAWL_OK && m->pending[i].active) {
        tw_wire_pause(m->wire, &patience);
        if (!m->no_deadline && tw_wire_waited_ms(&patience) >= deadline_ms) {
            int other = tw_comm_world_rank(&m->comm, m->pending[i].peer);
            tw_wire_break(m->wire, other, "rank %d waited %lld ms for rank %d in %s",
                          tw_comm_world_rank(&m->comm, m->comm.rank), (long long)deadline_ms, other,
                          kind_name(m->kind));
        }
        status = look(m, i, bytes, err);
    }
    if (status != TRAWL_OK) {
        give_up(m);
    }
    return status;
}

static trawl_status wait_all(struct message *m, int depth, struct trawl_error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_pending; i++) {
        if (m->pending[i].active) {
            TW_TRY(wait_for(m, i, depth, &bytes, err));
        }
    }
    return TRAWL_OK;
}

/* ---- sums ---- */

static trawl_status reserve(struct message *m, size_t n, struct trawl_error *err)
{
    if (n <= m->capacity) {
        return TRAWL_OK;
    }
    for (int s = 0; s < m->steps; s++) {
        tw_free(m->received[s]);
        tw_free(m->sum[s]);
        m->received[s] = m->sum[s] = NULL;
    }
    m->capacity = 0;
    for (int s = 0; s < m->steps; s++) {
        TW_TRY(tw_alloc(n, sizeof(float), &m->received[s], err));
        TW_TRY(
            tw_alloc(s == 0 ? 0 : n, sizeof(float), &m->sum[s], err)); /* step 0 sends the partial itself */
    }
    m->capacity = n;
    return TRAWL_OK;
}

static trawl_status send_sum(struct message *m, int step, const float *sum, struct trawl_error *err)
{
    struct tw_comm_step at = tw_comm_step_at(m->comm.size, m->comm.rank, step);
    for (int i = 0; i < at.n_sends; i++) {
        TW_TRY(
            post_send(m, sum, sum == NULL ? 0 : m->n * sizeof *sum, at.send_first + i * at.send_stride, err));
    }
    return TRAWL_OK;
}

/* All receives are posted at once, each into a buffer of its own: nothing arrives unexpected. */
static trawl_status message_publish(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                                    struct trawl_error *err)
{
    struct message *m = self(comm);
    begin(m, KIND_SUM);
    TW_TRY(tw_wire_check(m->wire, err));
    trawl_status status = reserve(m, n, err);
    if (status != TRAWL_OK) {
        tw_comm_abort(comm, err);
        return status;
    }
    m->partial     = partial;
    m->contributes = contributes;
    m->n           = n;
    for (int s = 0; s < m->steps; s++) {
        struct tw_comm_step at = tw_comm_step_at(comm->size, comm->rank, s);
        if (at.receive_from >= 0) {
            TW_TRY(post_receive(m, m->received[s], n * sizeof(float), at.receive_from, err));
        }
    }
    return m->steps == 0 ? TRAWL_OK : send_sum(m, 0, contributes ? partial : NULL, err);
}

/* The sum of a step: of what is there, without a copy where one side is empty. */
static const float *join(const float *const parts[2], float *out, size_t n)
{
    if (parts[0] == NULL || parts[1] == NULL) {
        return parts[0] == NULL ? parts[1] : parts[0];
    }
    tw_comm_tree_sum(parts, 2, out, 0, n, false);
    return out;
}

static trawl_status message_wait(struct tw_comm *comm, struct trawl_error *err)
{
    struct message *m = self(comm);
    const float *own  = m->contributes ? m->partial : NULL;
    size_t receive    = 0;
    TW_TRY(tw_wire_check(m->wire, err));
    m->parts[0] = own;
    m->parts[1] = NULL;
    for (int s = 0; s < m->steps; s++) {
        struct tw_comm_step at = tw_comm_step_at(comm->size, comm->rank, s);
        size_t bytes           = 0;
        m->parts[0]            = own;
        m->parts[1]            = NULL;
        if (at.receive_from >= 0) {
            TW_TRY(wait_for(m, receive++, s, &bytes, err));
            const float *other          = bytes == 0 ? NULL : m->received[s];
            m->parts[at.from_right]     = other;
            m->parts[at.from_right ^ 1] = own;
        }
        if (s + 1 < m->steps) {
            own = join(m->parts, m->sum[s + 1], m->n);
            TW_TRY(send_sum(m, s + 1, own, err));
        }
    }
    return wait_all(m, 0,
                    err); /* what is sent waits for nobody but its receiver, who has posted all receives */
}

static void message_reduce(const struct tw_comm *comm, float *out, size_t begin_at, size_t end, bool add)
{
    const struct message *m = (const struct message *)comm;
    tw_comm_tree_sum(m->parts, 2, out, begin_at, end, add);
}

/* Nobody reads another process's memory. */
static trawl_status message_done(struct tw_comm *comm, struct trawl_error *err)
{
    return tw_wire_check(self(comm)->wire, err);
}

/* ---- copies ---- */

/* Ranks between the root and `rank` (counted from the root). */
static int hops(int rank)
{
    int n = 0;
    for (rank &= rank - 1; rank != 0; rank &= rank - 1) {
        n++;
    }
    return n;
}

/* A binomial tree: rank r (counted from the root) gets the data from r without its lowest bit. The root may
 * have to wait for `depth` others before it begins. */
static trawl_status bcast_piece(struct message *m, int root, void *data, size_t bytes, int depth,
                                struct trawl_error *err)
{
    int size = m->comm.size, rank = (m->comm.rank - root + size) % size, bit = 1;
    begin(m, KIND_BCAST);
    for (; bit < size && (rank & bit) == 0; bit <<= 1) {
    }
    if (rank != 0) {
        size_t got = 0;
        TW_TRY(post_receive(m, data, bytes, (rank - bit + root) % size, err));
        TW_TRY(wait_for(m, 0, depth + hops(rank), &got, err));
    }
    for (bit >>= 1; bit > 0; bit >>= 1) {
        if (rank + bit < size) {
            TW_TRY(post_send(m, data, bytes, (rank + bit + root) % size, err));
        }
    }
    return wait_all(m, depth, err);
}

static trawl_status bcast_all(struct message *m, int root, void *data, size_t bytes, int depth,
                              struct trawl_error *err)
{
    size_t at = 0;
    do {
        size_t n = tw_min_size(bytes - at, TW_WIRE_PIECE_BYTES);
        TW_TRY(bcast_piece(m, root, (unsigned char *)data + at, n, depth, err));
        at += n;
    } while (at < bytes);
    return TRAWL_OK;
}

static trawl_status message_bcast(struct tw_comm *comm, int root, void *data, size_t bytes,
                                  struct trawl_error *err)
{
    TW_TRY(tw_wire_check(self(comm)->wire, err));
    return bcast_all(self(comm), root, data, bytes, 0, err);
}

trawl_status tw_comm_message_bcast_idle(struct tw_comm *comm, int root, void *data, size_t bytes,
                                        struct trawl_error *err)
{
    struct message *m   = self(comm);
    m->no_deadline      = comm->rank != root;
    trawl_status status = message_bcast(comm, root, data, bytes, err);
    m->no_deadline      = false;
    return status;
}

/* Bytes [at, at + one piece) of every block. *more: some block has more. */
static trawl_status gather_piece(struct message *m, int root, const void *block, size_t bytes,
                                 const size_t *sizes, unsigned char *out, size_t at, bool *more,
                                 struct trawl_error *err)
{
    begin(m, KIND_GATHER);
    *more = false;
    for (int i = 0; i < m->comm.size; i++) {
        size_t size = sizes == NULL ? bytes : sizes[i];
        size_t n    = at < size ? tw_min_size(size - at, TW_WIRE_PIECE_BYTES) : 0;
        *more       = *more || at + n < size;
        if (m->comm.rank != root) {
            if (i == m->comm.rank && (n > 0 || at == 0)) {
                TW_TRY(post_send(m, (const unsigned char *)block + at, n, root, err));
            }
        } else if (i != root && (n > 0 || at == 0)) {
            TW_TRY(post_receive(m, out + at, n, i, err));
        } else if (n > 0) {
            memcpy(out + at, (const unsigned char *)block + at, n);
        }
        if (m->comm.rank == root) {
            out += size;
        }
    }
    return wait_all(m, 0, err);
}

static trawl_status message_gather(struct tw_comm *comm, int root, const void *block, size_t bytes,
                                   const size_t *sizes, void *out, struct trawl_error *err)
{
    struct message *m = self(comm);
    int to            = root == TW_COMM_ALL ? 0 : root;
    bool more         = true;
    TW_TRY(tw_wire_check(m->wire, err));
    for (size_t at = 0; more; at += TW_WIRE_PIECE_BYTES) {
        TW_TRY(gather_piece(m, to, block, bytes, sizes, out, at, &more, err));
    }
    if (root != TW_COMM_ALL) {
        return TRAWL_OK;
    }
    size_t all = 0;
    for (int i = 0; i < comm->size; i++) {
        all += sizes == NULL ? bytes : sizes[i];
    }
    return all == 0 ? TRAWL_OK : bcast_all(m, 0, out, all, 1, err);
}

/* ---- phases ---- */

/* One step of recursive doubling with fixed messages. False in *met: no sibling, nothing received. */
static trawl_status swap(struct message *m, enum kind kind, int step, const void *own, void *other,
                         size_t bytes, bool *met, struct trawl_error *err)
{
    struct tw_comm_step at = tw_comm_step_at(m->comm.size, m->comm.rank, step);
    begin(m, kind);
    *met = at.receive_from >= 0;
    if (*met) {
        TW_TRY(post_receive(m, other, bytes, at.receive_from, err));
    }
    for (int i = 0; i < at.n_sends; i++) {
        TW_TRY(post_send(m, own, bytes, at.send_first + i * at.send_stride, err));
    }
    return wait_all(m, step, err);
}

static trawl_status message_barrier(struct tw_comm *comm, struct trawl_error *err)
{
    struct message *m = self(comm);
    bool met;
    TW_TRY(tw_wire_check(m->wire, err));
    for (int s = 0; s < m->steps; s++) {
        TW_TRY(swap(m, KIND_BARRIER, s, NULL, NULL, 0, &met, err));
    }
    return TRAWL_OK;
}

static trawl_status message_agree(struct tw_comm *comm, trawl_status status, struct trawl_error *err)
{
    struct message *m      = self(comm);
    struct trawl_error own = {.status = TRAWL_OK}, other, kept;
    TW_TRY(tw_wire_check(m->wire, err));
    if (status != TRAWL_OK) {
        (void)tw_fail(&own, status, "%s", err == NULL ? "a rank failed and gave no reason" : err->message);
        own.rank     = err != NULL && err->rank >= 0 ? err->rank : tw_comm_world_rank(comm, comm->rank);
        own.os_error = err == NULL ? 0 : err->os_error;
    }
    for (int s = 0; s < m->steps; s++) {
        bool met;
        kept = own; /* what is sent stays as it is until the step is over */
        TW_TRY(swap(m, KIND_AGREE, s, &kept, &other, sizeof other, &met, err));
        bool from_right = tw_comm_step_at(comm->size, comm->rank, s).from_right;
        if (met && other.status != TRAWL_OK && (own.status == TRAWL_OK || !from_right)) {
            own = other;
        }
    }
    if (own.status != TRAWL_OK && err != NULL) {
        *err = own;
    }
    return own.status;
}

static void message_abort(struct tw_comm *comm, const struct trawl_error *cause)
{
    int rank = cause != NULL && cause->rank >= 0 ? cause->rank : tw_comm_world_rank(comm, comm->rank);
    tw_wire_break(self(comm)->wire, rank, "rank %d failed: %s", rank,
                  cause == NULL ? "it gave no reason" : cause->message);
}

/* ---- life ---- */

static void message_free(struct tw_comm *comm)
{
    struct message *m = self(comm);
    give_up(m); /* a sum that was published and never waited for */
    tw_wire_group_free(m->wire, &m->group);
    for (int s = 0; s < STEPS_MAX; s++) {
        tw_free(m->received[s]);
        tw_free(m->sum[s]);
    }
    tw_free(m->pending);
    tw_free(m);
}

static const struct tw_comm_ops message_ops = {
    .name    = "message",
    .publish = message_publish,
    .wait    = message_wait,
    .reduce  = message_reduce,
    .done    = message_done,
    .bcast   = message_bcast,
    .gather  = message_gather,
    .barrier = message_barrier,
    .agree   = message_agree,
    .abort   = message_abort,
    .free    = message_free,
};

trawl_status tw_comm_message_new(struct tw_wire *wire, int first, int stride, int size, struct tw_comm **out,
                                 struct trawl_error *err)
{
    struct message *m = NULL;
    *out              = NULL;
    TW_BUG_ON(size < 1 || stride < 1 || (wire->rank - first) % stride != 0);
    if (size > TW_COMM_RANKS_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%d processes, at most %d can work together", size,
                       TW_COMM_RANKS_MAX);
    }
    TW_TRY(tw_alloc(1, sizeof *m, &m, err));
    m->comm  = (struct tw_comm){.ops          = &message_ops,
                                .rank         = (wire->rank - first) / stride,
                                .size         = size,
                                .world_base   = first,
                                .world_stride = stride};
    m->wire  = wire;
    m->steps = tw_comm_steps(size);
    /* A call sends to each rank at most once a step, and receives once a step or once from each rank. */
    trawl_status status =
        tw_alloc((size_t)size + 2 * (size_t)STEPS_MAX, sizeof *m->pending, &m->pending, err);
    if (status == TRAWL_OK) {
        status = tw_wire_group_new(wire, first, stride, size, &m->group, err);
    }
    if (status != TRAWL_OK) {
        tw_free(m->pending);
        tw_free(m);
        return status;
    }
    *out = &m->comm;
    return TRAWL_OK;
}
