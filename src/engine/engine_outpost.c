/* SPDX-License-Identifier: MIT */
/* A head's side of remote work: requests come as letters, what they yield goes back as letters. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/size.h"
#include "engine/engine_int.h"
#include "engine/engine_remote.h"

/* Letters wait in memory up to this many bytes; then the replicas wait. */
#define WAITING_BYTES_MAX ((size_t)64 << 20)

enum { PROGRESS_NS = 200 * 1000 * 1000, LOOK_BUSY_NS = 200 * 1000, LOOK_IDLE_NS = 1000 * 1000 };

/* A request from rank 0, for as long as it is with the engine. */
struct held {
    struct tw_engine_letter *letter; /* prompt and stop tokens are in it */
    bool dropped;
    atomic_bool cancelled;
    struct held *next;
};

struct tw_outpost {
    struct tw_engine *engine;
    struct tw_work work;
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t changed;
    struct tw_mail mail;
    struct held *waiting, *last_waiting; /* to be pulled, in order */
    struct held *running;
    bool no_more, finished, farewell, broken;
    uint64_t told_prompt, told_generated, told_at;
    struct tw_engine_stats told;
    trawl_status status; /* of the run here */
    struct trawl_error error;
};

static void lock(struct tw_outpost *o)
{
    (void)pthread_mutex_lock(&o->lock);
}

static void unlock(struct tw_outpost *o)
{
    (void)pthread_mutex_unlock(&o->lock);
}

/* ---- the replicas' side ---- */

static enum tw_pull pull(void *user, bool wait, struct tw_request *out)
{
    struct tw_outpost *o = user;
    enum tw_pull answer  = TW_PULL_NONE_NOW;
    lock(o);
    for (;;) {
        struct held *h = o->waiting;
        if (h != NULL && !o->broken) {
            o->waiting      = h->next;
            o->last_waiting = o->waiting == NULL ? NULL : o->last_waiting;
            h->next         = o->running;
            o->running      = h;
            answer          = TW_PULL_REQUEST;
            tw_letter_request(h->letter, out);
            out->cancelled = &h->cancelled;
            break;
        }
        if (o->no_more || o->broken) {
            answer = TW_PULL_END;
            break;
        }
        if (!wait) {
            break;
        }
        (void)pthread_cond_wait(&o->changed, &o->lock);
    }
    unlock(o);
    return answer;
}

/* Queue a letter with `n` payload parts; waits while too much is waiting already. */
static trawl_status post(struct tw_outpost *o, const struct tw_engine_letter *head, const void *const *parts,
                         const size_t *sizes, size_t n, struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    size_t bytes                    = sizeof *letter;
    for (size_t i = 0; i < n; i++) {
        if (!tw_size_add(bytes, sizes[i], &bytes)) {
            return tw_fail(err, TRAWL_ERR_NOMEM, "rows of one step do not fit in memory");
        }
    }
    TW_TRY(tw_alloc(bytes, 1, &letter, err));
    *letter     = *head;
    uint8_t *to = (uint8_t *)letter->data;
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] > 0) {
            memcpy(to, parts[i], sizes[i]);
        }
        to += sizes[i];
    }
    lock(o);
    while (o->mail.waiting > WAITING_BYTES_MAX && !o->broken) {
        (void)pthread_cond_wait(&o->changed, &o->lock);
    }
    trawl_status status = tw_mail_send(&o->mail, &letter->letter, bytes, err);
    if (o->broken) {
        if (err != NULL) {
            *err = o->error;
        }
        status = TRAWL_ERR_COMM;
    }
    (void)pthread_cond_broadcast(&o->changed);
    unlock(o);
    return status;
}

static trawl_status on_rows(void *user, uint64_t id, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err)
{
    struct tw_engine_letter head = {.kind     = TW_LETTER_ROWS,
                                    .id       = id,
                                    .site     = (uint32_t)site,
                                    .position = position,
                                    .n        = n,
                                    .width    = width};
    return post(user, &head, (const void *const[]){rows}, (const size_t[]){n * width * sizeof *rows}, 1, err);
}

static trawl_status on_logits(void *user, uint64_t id, size_t position, const float *rows,
                              const float *logprobs, size_t n, size_t n_vocab, struct trawl_error *err)
{
    struct tw_engine_letter head = {
        .kind = TW_LETTER_LOGITS, .id = id, .position = position, .n = n, .width = n_vocab};
    return post(user, &head, (const void *const[]){rows, logprobs},
                (const size_t[]){n * n_vocab * sizeof *rows, n * sizeof *logprobs}, 2, err);
}

/* In one of the two lists; it ends with NULL. */
static struct held **find(struct held **list, uint64_t id)
{
    struct held **at = list;
    while (*at != NULL && (*at)->letter->request.id != id) {
        at = &(*at)->next;
    }
    return at;
}

/* Rank 0 may answer "no more" a little later than a replica there: it drops what came in between. */
static bool on_token(void *user, uint64_t id, const struct tw_told_token *told)
{
    struct tw_outpost *o         = user;
    struct tw_engine_letter head = {
        .kind = TW_LETTER_TOKEN, .id = id, .token = told->token, .logprob = told->logprob, .n = told->n_top};
    if (post(o, &head, (const void *const[]){told->top}, (const size_t[]){told->n_top * sizeof *told->top}, 1,
             NULL) != TRAWL_OK) {
        return false;
    }
    lock(o);
    struct held *h = *find(&o->running, id);
    bool dropped   = h == NULL || h->dropped;
    unlock(o);
    return !dropped;
}

static trawl_status post_result(struct tw_outpost *o, const struct tw_result *r, struct trawl_error *err)
{
    struct tw_engine_letter head = {.kind     = TW_LETTER_FINISHED,
                                    .id       = r->id,
                                    .finish   = (int32_t)r->finish,
                                    .n        = r->n_outputs,
                                    .width    = r->n_prompt,
                                    .position = r->n_nodes,
                                    .site     = r->truncated};
    float *data                  = NULL;
    size_t bytes                 = 0;
    TW_TRY(tw_letter_pack_outputs(r, &data, &bytes, err));
    trawl_status status = post(o, &head, (const void *const[]){data, r->error},
                               (const size_t[]){bytes, r->error == NULL ? 0 : sizeof *r->error}, 2, err);
    tw_free(data);
    return status;
}

static trawl_status on_finished(void *user, const struct tw_result *r, struct trawl_error *err)
{
    struct tw_outpost *o = user;
    trawl_status status  = TRAWL_OK;
    lock(o);
    struct held **at = find(&o->running, r->id), *h = *at;
    if (h != NULL) {
        *at = h->next;
    }
    unlock(o);
    if (r->finish != TW_FINISH_DROPPED) { /* of those rank 0 knows: it stopped the run */
        status = post_result(o, r, err);
    }
    if (h != NULL) {
        tw_free(h->letter); /* not before: scored tokens are in it */
        tw_free(h);
    }
    return status;
}

/* A replica failed: the others end with what they have. */
static void stop(void *user)
{
    struct tw_outpost *o = user;
    lock(o);
    o->no_more = true;
    (void)pthread_cond_broadcast(&o->changed);
    unlock(o);
}

/* ---- the letters' side ---- */

static trawl_status hold(struct tw_outpost *o, struct tw_engine_letter *letter, struct trawl_error *err)
{
    struct held *h = NULL;
    TW_TRY(tw_alloc(1, sizeof *h, &h, err));
    h->letter                = letter;
    letter->request.since_ns = tw_clock_ns() - letter->request.since_ns;
    if (o->last_waiting == NULL) {
        o->waiting = h;
    } else {
        o->last_waiting->next = h;
    }
    o->last_waiting = h;
    return TRAWL_OK;
}

/* With the lock. */
static trawl_status take(struct tw_outpost *o, struct tw_engine_letter *letter, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    bool keep           = false;
    switch ((enum tw_letter_kind)letter->kind) {
    case TW_LETTER_REQUEST:
        status = hold(o, letter, err);
        keep   = status == TRAWL_OK;
        break;
    case TW_LETTER_DROP: {
        struct held *h = *find(&o->running, letter->id);
        if (h != NULL) {
            h->dropped = true;
        }
        break;
    }
    case TW_LETTER_CANCEL: {
        struct held *h = *find(&o->running, letter->id);
        h              = h == NULL ? *find(&o->waiting, letter->id) : h;
        if (h != NULL) { /* else its result is on the way */
            atomic_store_explicit(&h->cancelled, true, memory_order_relaxed);
        }
        break;
    }
    case TW_LETTER_STOP:
        tw_engine_cancel(o->engine);
        o->no_more = true;
        break;
    case TW_LETTER_NO_MORE: o->no_more = true; break;
    case TW_LETTER_FAREWELL: o->farewell = true; break;
    case TW_LETTER_ROWS:
    case TW_LETTER_LOGITS:
    case TW_LETTER_TOKEN:
    case TW_LETTER_FINISHED:
    case TW_LETTER_PROGRESS:
    case TW_LETTER_DONE: break;
    }
    if (!keep) {
        tw_free(letter);
    }
    return status;
}

static trawl_status tell_progress(struct tw_outpost *o, struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    struct tw_engine_stats stats;
    uint64_t prompt, generated, now = tw_clock_ns();
    tw_engine_progress(o->engine, &prompt, &generated);
    tw_engine_stats(o->engine, &stats);
    if (now - o->told_at < PROGRESS_NS || (prompt == o->told_prompt && generated == o->told_generated &&
                                           memcmp(&stats, &o->told, sizeof stats) == 0)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_alloc(1, sizeof *letter + sizeof stats, &letter, err));
    letter->kind     = TW_LETTER_PROGRESS;
    letter->position = o->told_prompt = prompt;
    letter->n = o->told_generated = generated;
    o->told                       = stats;
    o->told_at                    = now;
    memcpy(letter->data, &stats, sizeof stats);
    return tw_mail_send(&o->mail, &letter->letter, sizeof *letter + sizeof stats, err);
}

static trawl_status send_done(struct tw_outpost *o, struct trawl_error *err)
{
    struct tw_engine_letter *letter = NULL;
    TW_TRY(tw_alloc(1, sizeof *letter + sizeof o->error, &letter, err));
    letter->kind   = TW_LETTER_DONE;
    letter->finish = (int32_t)o->status;
    memcpy(letter->data, &o->error, sizeof o->error);
    o->told_at = 0;
    TW_TRY(tell_progress(o, err));
    return tw_mail_send(&o->mail, &letter->letter, sizeof *letter + sizeof o->error, err);
}

/* Until there is something to do, or it is time to look whether a letter has come. With the lock. */
static void rest(struct tw_outpost *o)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += o->running != NULL ? LOOK_BUSY_NS : LOOK_IDLE_NS;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    (void)pthread_cond_timedwait(&o->changed, &o->lock, &t);
}

static trawl_status converse(struct tw_outpost *o, struct trawl_error *err)
{
    bool done_sent = false;
    for (;;) {
        struct tw_letter *letter = NULL;
        bool moved               = false;
        TW_TRY(tw_mail_poll(&o->mail, &letter, &moved, err));
        if (letter != NULL) {
            TW_TRY(take(o, (struct tw_engine_letter *)letter, err));
        }
        if (o->finished && !done_sent) {
            TW_TRY(send_done(o, err));
            done_sent = true;
        }
        if (o->farewell) {
            return TRAWL_OK;
        }
        TW_TRY(tell_progress(o, err));
        if (moved) {
            (void)pthread_cond_broadcast(&o->changed); /* room for letters, requests to pull */
        } else {
            rest(o);
        }
    }
}

void *tw_outpost_main(void *arg)
{
    struct tw_outpost *o = arg;
    struct trawl_error why;
    lock(o);
    if (converse(o, &why) != TRAWL_OK) {
        o->broken = true;
        o->status = why.status;
        o->error  = why;
        (void)pthread_cond_broadcast(&o->changed);
        tw_comm_abort(o->engine->config.world->all, &why);
        tw_engine_cancel(o->engine);
    }
    unlock(o);
    return NULL;
}

void tw_outpost_finish(struct tw_outpost *o, trawl_status status, const struct trawl_error *error)
{
    lock(o);
    o->finished = true;
    if (!o->broken) {
        o->status = status;
        o->error  = *error;
    }
    (void)pthread_cond_broadcast(&o->changed);
    unlock(o);
}

trawl_status tw_outpost_status(const struct tw_outpost *o, struct trawl_error *err)
{
    if (o->status != TRAWL_OK && err != NULL) {
        *err = o->error;
    }
    return o->status;
}

/* ---- life ---- */

trawl_status tw_outpost_new(struct tw_outpost **out, struct tw_engine *engine, uint32_t flags,
                            struct trawl_error *err)
{
    struct tw_outpost *o = NULL;
    *out                 = NULL;
    TW_TRY(tw_alloc(1, sizeof *o, &o, err));
    o->engine = engine;
    o->work   = (struct tw_work){
          .user     = o,
          .pull     = pull,
          .rows     = flags & TW_WANT_ROWS ? on_rows : NULL,
          .logits   = flags & TW_WANT_LOGITS ? on_logits : NULL,
          .token    = flags & TW_WANT_TOKENS ? on_token : NULL,
          .finished = on_finished,
          .stop     = stop,
    };
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)pthread_cond_init(&o->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    trawl_status status = tw_mail_init(&o->mail, engine->config.world->wire, 0, TW_LETTERS_TAG, err);
    if (status != TRAWL_OK) {
        tw_outpost_free(o);
        return status;
    }
    *out = o;
    return TRAWL_OK;
}

static void free_held(struct held *h)
{
    while (h != NULL) {
        struct held *next = h->next;
        tw_free(h->letter);
        tw_free(h);
        h = next;
    }
}

void tw_outpost_free(struct tw_outpost *o)
{
    if (o == NULL) {
        return;
    }
    tw_mail_release(&o->mail);
    free_held(o->waiting);
    free_held(o->running);
    (void)pthread_mutex_destroy(&o->lock);
    (void)pthread_cond_destroy(&o->changed);
    tw_free(o);
}

const struct tw_work *tw_outpost_work(struct tw_outpost *o)
{
    return &o->work;
}
