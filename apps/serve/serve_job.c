/* SPDX-License-Identifier: MIT */
/* The job, and the inbox through which the engine's threads and the results' thread tell the event loop. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apps/serve/serve_int.h"
#include "base/alloc.h"
#include "base/clock.h"

enum { HEARD_AT_ONCE = 256 };

/* ---- answers under way ---- */

static struct tw_serve_answer **bucket_of(struct tw_serve_inbox *in, uint64_t place)
{
    return &in->buckets[place & (in->n_buckets - 1)];
}

static void add(struct tw_serve_inbox *in, struct tw_serve_answer *a)
{
    struct tw_serve_answer **bucket = bucket_of(in, a->place);
    a->next_in_bucket               = *bucket;
    *bucket                         = a;
}

static struct tw_serve_answer *find(struct tw_serve_inbox *in, uint64_t place)
{
    struct tw_serve_answer *a = *bucket_of(in, place);
    while (a->place != place) { /* it is there until its result has come */
        a = a->next_in_bucket;
    }
    return a;
}

static void take_out(struct tw_serve_inbox *in, struct tw_serve_answer *a)
{
    struct tw_serve_answer **at = bucket_of(in, a->place);
    while (*at != a) {
        at = &(*at)->next_in_bucket;
    }
    *at = a->next_in_bucket;
}

static void wake(struct tw_serve_inbox *in)
{
    uint64_t one = 1;
    ssize_t n    = write(in->fd, &one, sizeof one);
    (void)n; /* fails when the counter is full, and then it is awake */
}

/* With the lock held. */
static void set_ready(struct tw_serve_inbox *in, struct tw_serve_answer *a)
{
    if (a->ready) {
        return;
    }
    bool first    = in->first == NULL;
    a->ready      = true;
    a->next_ready = NULL;
    *in->last     = a;
    in->last      = &a->next_ready;
    if (first) {
        wake(in);
    }
}

static struct tw_serve_answer *pop(struct tw_serve_inbox *in)
{
    (void)pthread_mutex_lock(&in->lock);
    struct tw_serve_answer *a = in->first;
    if (a != NULL) {
        a->ready  = false;
        in->first = a->next_ready;
        in->last  = in->first == NULL ? &in->first : in->last;
    }
    (void)pthread_mutex_unlock(&in->lock);
    return a;
}

bool tw_serve_inbox_hear(struct tw_server *s, void (*heard)(struct tw_serve_answer *answer))
{
    struct tw_serve_inbox *in = &s->inbox;
    struct tw_serve_answer *a = NULL;
    uint64_t counter          = 0;
    ssize_t n                 = read(in->fd, &counter, sizeof counter);
    (void)n; /* whether it was this or a time before that woke us makes no difference */
    for (size_t i = 0; i < HEARD_AT_ONCE && (a = pop(in)) != NULL; i++) {
        heard(a);
    }
    if (a != NULL) {
        wake(in); /* the rest after other events have had their turn */
    }
    (void)pthread_mutex_lock(&in->lock);
    bool ended = in->job_ended;
    (void)pthread_mutex_unlock(&in->lock);
    return !ended;
}

/* ---- the engine's threads ---- */

static trawl_status note(struct tw_serve_output *o, int32_t token, float logprob)
{
    if (o->top_capacity < (o->n + 1) * o->n_top) {
        return TRAWL_ERR_NOMEM;
    }
    TW_TRY(tw_grow(&o->tokens, &o->tokens_capacity, o->n + 1, sizeof *o->tokens, NULL));
    TW_TRY(tw_grow(&o->logprobs, &o->logprobs_capacity, o->n + 1, sizeof *o->logprobs, NULL));
    o->tokens[o->n]     = token;
    o->logprobs[o->n++] = logprob;
    return TRAWL_OK;
}

/* Before the token that they are of. */
static void on_top_logprobs(void *user, uint64_t place, const struct trawl_top_logprob *top, size_t n)
{
    struct tw_server *s       = user;
    struct tw_serve_inbox *in = &s->inbox;
    (void)pthread_mutex_lock(&in->lock);
    struct tw_serve_output *o = &find(in, place)->outputs[0];
    size_t end                = (o->n + 1) * o->n_top;
    if (n == o->n_top && tw_grow(&o->top, &o->top_capacity, end, sizeof *o->top, NULL) == TRAWL_OK) {
        memcpy(o->top + end - n, top, n * sizeof *top);
    }
    (void)pthread_mutex_unlock(&in->lock);
}

/* An answer of which something could not be kept fails at its end. */
static bool on_token(void *user, uint64_t place, int32_t token, float logprob)
{
    struct tw_server *s       = user;
    struct tw_serve_inbox *in = &s->inbox;
    (void)pthread_mutex_lock(&in->lock);
    struct tw_serve_answer *a     = find(in, place);
    const struct tw_serve_body *b = &a->call->body;
    if (a->first_token_ns == 0) {
        a->first_token_ns = tw_clock_ns();
    }
    if (b->stream && !a->no_memory) {
        a->no_memory = note(&a->outputs[0], token, logprob) != TRAWL_OK;
        set_ready(in, a);
    }
    if (b->n_stop > 0 && !a->no_memory) {
        a->no_memory = tw_answer_text_push(&a->heard, token, NULL) != TRAWL_OK;
    }
    bool more = !a->no_memory && !a->heard.stopped;
    (void)pthread_mutex_unlock(&in->lock);
    return more;
}

/* The n most probable tokens of a row of logits, whose log-sum-exp is known. */
static void find_top(const float *logits, size_t n_vocab, double sum, struct trawl_top_logprob *top, size_t n)
{
    size_t size = 0;
    for (size_t t = 0; t < n_vocab; t++) {
        if (size == n && !(logits[t] > top[n - 1].logprob)) {
            continue;
        }
        size_t at = size < n ? size++ : n - 1;
        for (; at > 0 && logits[t] > top[at - 1].logprob; at--) {
            top[at] = top[at - 1];
        }
        top[at] = (struct trawl_top_logprob){.token = (int32_t)t, .logprob = logits[t]};
    }
    for (size_t i = 0; i < n; i++) {
        top[i].token   = i < size ? top[i].token : -1;
        top[i].logprob = (float)((double)top[i].logprob - sum);
    }
}

/* The token's own is known without that sum's rounding. */
static void set_exactly(struct trawl_top_logprob *top, size_t n, int32_t token, float logprob)
{
    for (size_t i = 0; i < n; i++) {
        top[i].logprob = top[i].token == token ? logprob : top[i].logprob;
    }
}

/* The row at a position says how probable the prompt's next token was. */
static trawl_status on_logits(void *user, uint64_t place, size_t position, const float *logits,
                              const float *logprobs, size_t n, size_t n_vocab, struct trawl_error *err)
{
    struct tw_server *s = user;
    (void)err;
    (void)pthread_mutex_lock(&s->inbox.lock);
    struct tw_serve_output *echo = &find(&s->inbox, place)->echo;
    (void)pthread_mutex_unlock(&s->inbox.lock);
    for (size_t i = 0; i < n && position + i + 1 < echo->n; i++) {
        size_t next          = position + i + 1;
        const float *row     = logits + i * n_vocab;
        echo->logprobs[next] = logprobs[i];
        if (echo->n_top > 0) {
            double sum = (double)row[echo->tokens[next]] - (double)logprobs[i];
            find_top(row, n_vocab, sum, echo->top + next * echo->n_top, echo->n_top);
            set_exactly(echo->top + next * echo->n_top, echo->n_top, echo->tokens[next], logprobs[i]);
        }
    }
    return TRAWL_OK;
}

/* ---- the results' thread ---- */

void tw_serve_output_release(struct tw_serve_output *o)
{
    tw_free(o->tokens);
    tw_free(o->logprobs);
    tw_free(o->top);
    *o = (struct tw_serve_output){0};
}

static trawl_status copy_output(struct tw_serve_output *to, const struct trawl_output *from,
                                struct trawl_error *err)
{
    TW_TRY(tw_grow(&to->tokens, &to->tokens_capacity, from->n_tokens, sizeof *to->tokens, err));
    TW_TRY(tw_grow(&to->logprobs, &to->logprobs_capacity, from->n_tokens, sizeof *to->logprobs, err));
    to->n_top = from->n_top_logprobs;
    TW_TRY(tw_grow(&to->top, &to->top_capacity, from->n_tokens * to->n_top, sizeof *to->top, err));
    for (size_t i = 0; i < from->n_tokens; i++) {
        to->tokens[i]   = from->tokens[i];
        to->logprobs[i] = from->logprobs[i];
    }
    if (from->n_tokens * to->n_top > 0) {
        memcpy(to->top, from->top_logprobs, from->n_tokens * to->n_top * sizeof *to->top);
    }
    to->n      = from->n_tokens;
    to->finish = from->finish_reason;
    return TRAWL_OK;
}

/* An output that is not there has no tokens, and ended as its request. */
static trawl_status copy_result(struct tw_serve_answer *a, const struct trawl_result *r,
                                struct trawl_error *err)
{
    if (r->error != NULL) {
        return tw_strdup(r->error, &a->error, err);
    }
    for (size_t i = 0; i < a->n_outputs; i++) {
        a->outputs[i].finish = r->finish_reason;
        if (i < r->n_outputs) {
            TW_TRY(copy_output(&a->outputs[i], &r->outputs[i], err));
        }
    }
    return TRAWL_OK;
}

static void take_result(struct tw_server *s, const struct trawl_result *r)
{
    struct trawl_error err    = {0};
    struct tw_serve_inbox *in = &s->inbox;
    (void)pthread_mutex_lock(&in->lock);
    struct tw_serve_answer *a = find(in, r->request);
    if (copy_result(a, r, &err) != TRAWL_OK) {
        a->no_memory = true;
    }
    a->done = true;
    take_out(in, a);
    set_ready(in, a);
    (void)pthread_mutex_unlock(&in->lock);
}

static void *take_results(void *user)
{
    struct tw_server *s    = user;
    struct trawl_error err = {0};
    struct trawl_result r  = {0};
    bool more              = true;
    trawl_status status    = TRAWL_OK;
    while (status == TRAWL_OK && more) {
        status = trawl_job_next(s->job, &r, &more, &err);
        if (status == TRAWL_OK && more) {
            take_result(s, &r);
        }
    }
    (void)pthread_mutex_lock(&s->inbox.lock);
    s->inbox.job_ended = true;
    s->inbox.status    = status;
    s->inbox.error     = err;
    wake(&s->inbox);
    (void)pthread_mutex_unlock(&s->inbox.lock);
    return NULL;
}

/* ---- the event loop's thread ---- */

bool tw_serve_is_done(struct tw_server *s, struct tw_serve_answer *a)
{
    (void)pthread_mutex_lock(&s->inbox.lock);
    bool done = a->done && !a->ready;
    (void)pthread_mutex_unlock(&s->inbox.lock);
    return done;
}

static trawl_status append(struct tw_serve_output *to, const struct tw_serve_output *from, size_t first,
                           struct trawl_error *err)
{
    size_t n = from->n - first, end = to->n + n;
    TW_TRY(tw_grow(&to->tokens, &to->tokens_capacity, end, sizeof *to->tokens, err));
    TW_TRY(tw_grow(&to->logprobs, &to->logprobs_capacity, end, sizeof *to->logprobs, err));
    TW_TRY(tw_grow(&to->top, &to->top_capacity, end * from->n_top, sizeof *to->top, err));
    for (size_t i = 0; i < n; i++) {
        to->tokens[to->n + i]   = from->tokens[first + i];
        to->logprobs[to->n + i] = from->logprobs[first + i];
    }
    if (n * from->n_top > 0) {
        memcpy(to->top + to->n * from->n_top, from->top + first * from->n_top,
               n * from->n_top * sizeof *to->top);
    }
    to->n      = end;
    to->n_top  = from->n_top;
    to->finish = from->finish;
    return TRAWL_OK;
}

trawl_status tw_serve_view(struct tw_server *s, struct tw_serve_answer *a, size_t i, size_t from,
                           size_t *n_echo, struct trawl_error *err)
{
    trawl_status status = TRAWL_OK;
    s->view.n           = 0;
    (void)pthread_mutex_lock(&s->inbox.lock);
    if (from == 0 && (a->outputs[i].n > 0 || a->done)) { /* before, it is not whole */
        status = append(&s->view, &a->echo, 0, err);
    }
    *n_echo = s->view.n;
    if (status == TRAWL_OK) {
        status = append(&s->view, &a->outputs[i], from, err);
    }
    (void)pthread_mutex_unlock(&s->inbox.lock);
    return status;
}

trawl_status tw_serve_job_submit(struct tw_server *s, struct tw_serve_answer *a,
                                 const struct trawl_request *request, struct trawl_error *err)
{
    struct tw_serve_inbox *in = &s->inbox;
    (void)pthread_mutex_lock(&in->lock);
    a->place = s->n_places;
    add(in, a); /* its first token may come before the submission returns */
    (void)pthread_mutex_unlock(&in->lock);
    trawl_status status = trawl_job_submit(s->job, request, err);
    if (status == TRAWL_OK) {
        s->n_places++;
        s->n_live++;
        return TRAWL_OK;
    }
    (void)pthread_mutex_lock(&in->lock);
    take_out(in, a);
    (void)pthread_mutex_unlock(&in->lock);
    return status;
}

trawl_status tw_serve_inbox_open(struct tw_server *s, struct trawl_error *err)
{
    struct tw_serve_inbox *in = &s->inbox;
    (void)pthread_mutex_init(&in->lock, NULL);
    in->last      = &in->first;
    in->n_buckets = 1;
    while (in->n_buckets < s->config->max_requests) {
        in->n_buckets *= 2;
    }
    in->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (in->fd < 0) {
        return tw_fail_os(err, errno, "eventfd");
    }
    return tw_alloc(in->n_buckets, sizeof *in->buckets, &in->buckets, err);
}

trawl_status tw_serve_job_open(struct tw_server *s, struct trawl_error *err)
{
    struct trawl_job_config c;
    trawl_job_config_init(&c);
    c.user            = s;
    c.on_token        = on_token;
    c.on_logits       = on_logits;
    c.on_top_logprobs = on_top_logprobs;
    c.timeout         = s->config->timeout;
    c.unordered       = true;
    TW_TRY(trawl_job_open(s->engine, &c, &s->job, err));
    int code = pthread_create(&s->results, NULL, take_results, s);
    if (code != 0) {
        return tw_fail_os(err, code, "thread of the results");
    }
    s->results_started = true;
    return TRAWL_OK;
}

void tw_serve_job_close(struct tw_server *s)
{
    if (s->results_started) {
        trawl_job_cancel(s->job);
        (void)pthread_join(s->results, NULL);
    }
    trawl_job_close(&s->job);
    if (s->inbox.fd >= 0) {
        (void)close(s->inbox.fd);
    }
    tw_free((void *)s->inbox.buckets);
    (void)pthread_mutex_destroy(&s->inbox.lock);
}
