/* SPDX-License-Identifier: MIT */
/* Rank 0's side of remote work: one thread that hands out requests and brings results back, for all heads. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/engine_int.h"
#include "engine/engine_remote.h"

enum { ROUND_MOST_NS = 1000 * 1000 * 1000 };

/* A request that is with a head. */
struct lent {
    uint64_t id;
    const atomic_bool *cancelled; /* as of the request */
    bool told;                    /* the head knows */
    bool stopped;                 /* the work wants no more tokens: what comes after these ... */
    size_t n_tokens;              /* ... so many is dropped */
    bool used;
};

struct head {
    int rank;
    struct tw_mail mail;
    struct lent *lent; /* [room] */
    size_t room, n_lent;
    uint64_t silent; /* ns since it was last known to get on, in which this process ran */
    uint64_t prompt_tokens, generated_tokens;
    struct tw_engine_stats stats;
    bool done;
};

struct tw_dispatcher {
    struct tw_engine *engine;
    const struct tw_work *work;
    struct head *heads; /* [n_heads]: of processes other than this one */
    int n_heads;
    uint64_t latest; /* tw_clock_ns of the last round */
    bool ended;      /* the work has no more requests */
    bool stopping;   /* the heads were told to stop */
    trawl_status status;
    struct trawl_error error;
};

uint32_t tw_remote_flags(const struct tw_work *work)
{
    return (work->rows != NULL ? TW_WANT_ROWS : 0u) | (work->logits != NULL ? TW_WANT_LOGITS : 0u) |
           (work->token != NULL ? TW_WANT_TOKENS : 0u);
}

/* ---- to the heads ---- */

static trawl_status send_short(struct head *h, enum tw_letter_kind kind, uint64_t id, struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    TW_TRY(tw_alloc(1, sizeof *letter, &letter, err));
    letter->kind = (uint32_t)kind;
    letter->id   = id;
    return tw_mail_send(&h->mail, &letter->letter, sizeof *letter, err);
}

static trawl_status send_to_all(struct tw_dispatcher *d, enum tw_letter_kind kind, struct trawl_error *err)
{
    for (int i = 0; i < d->n_heads; i++) {
        if (!d->heads[i].done) {
            d->heads[i].silent = 0; /* it has an answer to give from now on */
            TW_TRY(send_short(&d->heads[i], kind, 0, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status lend(struct head *h, const struct tw_request *q, struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    size_t bytes = 0, i = 0;
    TW_TRY(tw_letter_pack_request(q, &letter, &bytes, err));
    while (h->lent[i].used) {
        i++;
    }
    if (h->n_lent++ == 0) {
        h->silent = 0;
    }
    h->lent[i] = (struct lent){.id = q->id, .cancelled = q->cancelled, .used = true};
    return tw_mail_send(&h->mail, &letter->letter, bytes, err);
}

/* The head with the most room. */
static struct head *roomiest(struct tw_dispatcher *d, size_t *n_lent)
{
    struct head *best = NULL;
    *n_lent           = 0;
    for (int i = 0; i < d->n_heads; i++) {
        struct head *h = &d->heads[i];
        *n_lent += h->n_lent;
        if (!h->done && h->n_lent < h->room && (best == NULL || h->n_lent < best->n_lent)) {
            best = h;
        }
    }
    return best;
}

static trawl_status hand_out(struct tw_dispatcher *d, bool *moved, struct trawl_error *err)
{
    while (!d->ended && !d->stopping) {
        struct tw_request q;
        size_t n_lent  = 0;
        struct head *h = roomiest(d, &n_lent);
        if (h == NULL) {
            return TRAWL_OK;
        }
        switch (d->work->pull(d->work->user, n_lent == 0, &q)) {
        case TW_PULL_REQUEST:
            *moved = true;
            TW_TRY(lend(h, &q, err));
            break;
        case TW_PULL_NONE_NOW: return TRAWL_OK;
        case TW_PULL_END:
            d->ended = true;
            TW_TRY(send_to_all(d, TW_LETTER_NO_MORE, err));
            break;
        }
    }
    return TRAWL_OK;
}

/* Requests that were cancelled since the last round. */
static trawl_status tell_cancelled(struct head *h, struct trawl_error *err)
{
    for (size_t i = 0; i < h->room; i++) {
        struct lent *l = &h->lent[i];
        if (l->used && !l->told && l->cancelled != NULL &&
            atomic_load_explicit(l->cancelled, memory_order_relaxed)) {
            l->told = true;
            TW_TRY(send_short(h, TW_LETTER_CANCEL, l->id, err));
        }
    }
    return TRAWL_OK;
}

/* ---- from the heads ---- */

static trawl_status take_finished(struct tw_dispatcher *d, struct head *h, struct lent *lent,
                                  const struct tw_engine_letter *l, struct trawl_error *err)
{
    struct trawl_error why;
    struct tw_output *outputs = NULL;
    struct tw_result result   = {.id        = l->id,
                                 .finish    = (enum tw_finish)l->finish,
                                 .n_prompt  = l->width,
                                 .n_outputs = l->n,
                                 .n_nodes   = l->position,
                                 .truncated = l->site != 0};
    TW_TRY(tw_alloc(l->n, sizeof *outputs, &outputs, err));
    const float *rest = tw_letter_outputs(l, outputs);
    result.outputs    = outputs;
    if (result.finish == TW_FINISH_ERROR) {
        memcpy(&why, rest, sizeof why);
        result.error = &why;
    }
    if (lent->stopped && l->n > 0) {
        outputs[0].n_tokens = lent->n_tokens;
        outputs[0].finish = result.finish = TW_FINISH_STOP;
    }
    lent->used = false;
    h->n_lent--;
    trawl_status status = d->work->finished(d->work->user, &result, err);
    tw_free(outputs);
    return status;
}

static void take_progress(struct tw_dispatcher *d, struct head *h, const struct tw_engine_letter *l)
{
    atomic_fetch_add(&d->engine->prompt_tokens, l->position - h->prompt_tokens);
    atomic_fetch_add(&d->engine->generated_tokens, l->n - h->generated_tokens);
    struct tw_engine_stats now;
    memcpy(&now, l->data, sizeof now);
    tw_engine_add_stats(d->engine, &h->stats, &now);
    h->stats            = now;
    h->prompt_tokens    = l->position;
    h->generated_tokens = l->n;
}

static trawl_status take_done(struct tw_dispatcher *d, struct head *h, const struct tw_engine_letter *l,
                              struct trawl_error *err)
{
    struct trawl_error why;
    h->done = true;
    TW_TRY(send_short(h, TW_LETTER_FAREWELL, 0, err));
    for (size_t i = 0; i < h->room; i++) { /* only a run that was stopped leaves any */
        struct tw_result result = {.id = h->lent[i].id, .finish = TW_FINISH_DROPPED};
        if (h->lent[i].used) {
            h->lent[i].used = false;
            h->n_lent--;
            TW_TRY(d->work->finished(d->work->user, &result, err));
        }
    }
    if (l->finish == TRAWL_OK || l->finish == TRAWL_ERR_CANCELLED) {
        return TRAWL_OK;
    }
    memcpy(&why, l->data, sizeof why);
    (void)tw_fail(err, (trawl_status)l->finish, "rank %d: %s", h->rank, why.message);
    if (err != NULL) {
        err->rank = h->rank;
    }
    return (trawl_status)l->finish;
}

static trawl_status take_token(struct tw_dispatcher *d, struct head *h, struct lent *lent,
                               const struct tw_engine_letter *l, struct trawl_error *err)
{
    lent->n_tokens++;
    const struct tw_told_token told = {.token   = l->token,
                                       .logprob = l->logprob,
                                       .top     = (const struct tw_top_logprob *)(const void *)l->data,
                                       .n_top   = l->n};
    if (d->work->token(d->work->user, l->id, &told)) {
        return TRAWL_OK;
    }
    lent->stopped = true;
    return send_short(h, TW_LETTER_DROP, l->id, err);
}

static trawl_status take(struct tw_dispatcher *d, struct head *h, const struct tw_engine_letter *l,
                         struct trawl_error *err)
{
    const struct tw_work *w = d->work;
    struct lent *lent       = NULL;
    h->silent               = 0;
    for (size_t i = 0; i < h->room; i++) {
        if (h->lent[i].used && h->lent[i].id == l->id) {
            lent = &h->lent[i];
        }
    }
    if (l->kind == TW_LETTER_PROGRESS) {
        take_progress(d, h, l);
        return TRAWL_OK;
    }
    if (l->kind == TW_LETTER_DONE) {
        return take_done(d, h, l, err);
    }
    TW_BUG_ON(lent == NULL);
    bool dropped = lent->stopped || d->stopping;
    if (l->kind == TW_LETTER_FINISHED) {
        return d->stopping ? TRAWL_OK : take_finished(d, h, lent, l, err);
    }
    if (dropped) {
        return TRAWL_OK;
    }
    if (l->kind == TW_LETTER_ROWS) {
        return w->rows(w->user, l->id, l->site, l->position, l->data, l->n, l->width, err);
    }
    if (l->kind == TW_LETTER_LOGITS) {
        return w->logits(w->user, l->id, l->position, l->data, l->data + l->n * l->width, l->n, l->width,
                         err);
    }
    return take_token(d, h, lent, l, err);
}

static trawl_status poll_head(struct tw_dispatcher *d, struct head *h, bool *moved, struct trawl_error *err)
{
    struct tw_wire *wire = d->engine->config.world->wire;
    for (;;) {
        struct tw_letter *letter = NULL;
        if (h->done) { /* the farewell may still be on its way */
            return h->mail.first == NULL ? TRAWL_OK : tw_mail_push(&h->mail, moved, err);
        }
        TW_TRY(tw_mail_poll(&h->mail, &letter, moved, err));
        if (letter == NULL) {
            break;
        }
        trawl_status status = take(d, h, (const struct tw_engine_letter *)letter, err);
        tw_free(letter);
        TW_TRY(status);
    }
    /* A head that has peers may be waiting for one of them: it is the first to say so. */
    uint64_t deadline_ms = (uint64_t)wire->deadline_ms * (d->engine->place.peers == 1 ? 1 : 2);
    TW_TRY(tell_cancelled(h, err));
    bool owes = h->n_lent > 0 || d->stopping || d->ended; /* results, or its last word */
    if (owes && h->silent / 1000000u > deadline_ms) {
        tw_wire_break(wire, h->rank, "rank %d waited %llu ms for rank %d to get on with its requests",
                      wire->rank, (unsigned long long)deadline_ms, h->rank);
        return tw_wire_check(wire, err);
    }
    return TRAWL_OK;
}

/* Time passes for all heads, but no more of it between two rounds than a round can take: a process that was
 * stopped and goes on has not waited. */
static void pass_time(struct tw_dispatcher *d)
{
    uint64_t now = tw_clock_ns(), gap = d->latest == 0 ? 0 : now - d->latest;
    d->latest = now;
    for (int i = 0; i < d->n_heads; i++) {
        d->heads[i].silent += gap < ROUND_MOST_NS ? gap : ROUND_MOST_NS;
    }
}

/* ---- the thread ---- */

static bool all_done(const struct tw_dispatcher *d)
{
    for (int i = 0; i < d->n_heads; i++) {
        if (!d->heads[i].done || d->heads[i].mail.first != NULL) {
            return false;
        }
    }
    return true;
}

static trawl_status stop_heads(struct tw_dispatcher *d, struct trawl_error *err)
{
    if (d->stopping) {
        return TRAWL_OK;
    }
    d->stopping = true;
    return send_to_all(d, TW_LETTER_STOP, err);
}

static void fail(struct tw_dispatcher *d, trawl_status status, const struct trawl_error *why)
{
    if (d->status == TRAWL_OK) {
        d->status = status;
        d->error  = *why;
    }
    atomic_store(&d->engine->failed, true);
    d->work->stop(d->work->user);
}

/* One round. Failures of the work or of a head stop all of them and the rounds go on until they have; only a
 * broken wire is returned. */
static trawl_status round_of(struct tw_dispatcher *d, bool *moved, struct trawl_error *err)
{
    struct tw_wire *wire = d->engine->config.world->wire;
    struct trawl_error why;
    pass_time(d);
    if (atomic_load(&d->engine->cancelled) || atomic_load(&d->engine->failed)) {
        TW_TRY(stop_heads(d, err));
    }
    for (int i = 0; i < d->n_heads; i++) {
        trawl_status status = poll_head(d, &d->heads[i], moved, &why);
        if (status != TRAWL_OK) {
            TW_TRY(tw_wire_check(wire, err));
            fail(d, status, &why);
        }
    }
    trawl_status status = hand_out(d, moved, &why);
    if (status != TRAWL_OK) {
        TW_TRY(tw_wire_check(wire, err));
        fail(d, status, &why);
    }
    return TRAWL_OK;
}

void *tw_dispatcher_main(void *arg)
{
    struct tw_dispatcher *d          = arg;
    struct tw_wire_patience patience = {0};
    trawl_status status              = TRAWL_OK;
    struct trawl_error why;
    while (status == TRAWL_OK && !all_done(d)) {
        bool moved = false;
        status     = round_of(d, &moved, &why);
        if (moved) {
            patience = (struct tw_wire_patience){0};
        } else {
            patience.looks =
                (unsigned)d->engine->config.world->wire->spins; /* this thread is not worth a core */
            tw_wire_pause(d->engine->config.world->wire, &patience);
        }
    }
    if (status != TRAWL_OK) {
        fail(d, status, &why);
    }
    return NULL;
}

trawl_status tw_dispatcher_status(const struct tw_dispatcher *d, struct trawl_error *err)
{
    if (d->status != TRAWL_OK && err != NULL) {
        *err = d->error;
    }
    return d->status;
}

/* ---- life ---- */

static trawl_status init_head(struct head *h, struct tw_engine *e, int rank, struct trawl_error *err)
{
    size_t running = e->config.batch_size * (size_t)e->place.n_replicas;
    h->rank        = rank;
    h->room        = running + running / 4 + 1;
    TW_TRY(tw_alloc(h->room, sizeof *h->lent, &h->lent, err));
    return tw_mail_init(&h->mail, e->config.world->wire, rank, TW_LETTERS_TAG, err);
}

trawl_status tw_dispatcher_new(struct tw_dispatcher **out, struct tw_engine *engine,
                               const struct tw_work *work, struct trawl_error *err)
{
    struct tw_dispatcher *d = NULL;
    *out                    = NULL;
    TW_TRY(tw_alloc(1, sizeof *d, &d, err));
    d->engine           = engine;
    d->work             = work;
    trawl_status status = tw_alloc((size_t)tw_place_heads(&engine->place), sizeof *d->heads, &d->heads, err);
    for (int i = 1; status == TRAWL_OK && i < tw_place_heads(&engine->place); i++) {
        status = init_head(&d->heads[d->n_heads++], engine, tw_place_head_rank(&engine->place, i), err);
    }
    if (status != TRAWL_OK) {
        tw_dispatcher_free(d);
        return status;
    }
    *out = d;
    return TRAWL_OK;
}

void tw_dispatcher_free(struct tw_dispatcher *d)
{
    if (d == NULL) {
        return;
    }
    for (int i = 0; i < d->n_heads; i++) {
        tw_mail_release(&d->heads[i].mail);
        tw_free(d->heads[i].lent);
    }
    tw_free(d->heads);
    tw_free(d);
}
