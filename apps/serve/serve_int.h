/* SPDX-License-Identifier: MIT */
/* What the parts of the server share.
 *
 * A call is an HTTP request for answers; its answers are requests of the job. Three kinds of thread: the event loop
 * owns everything but what is said otherwise; the engine's threads tell tokens, the results' thread results, through the
 * inbox, whose lock guards what they share. */
#ifndef TW_SERVE_INT_H
#define TW_SERVE_INT_H

#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <stdatomic.h>

#include "apps/serve/serve.h"
#include "apps/serve/serve_body.h"
#include "apps/serve/serve_metrics.h"
#include "text/text_answer.h"
#include "trawl/trawl.h"

/* ---- answers ---- */

struct tw_serve_output {
    int32_t *tokens; /* [n] */
    float *logprobs; /* [n] */
    size_t n, tokens_capacity, logprobs_capacity;
    struct trawl_top_logprob *top; /* [n, n_top] most probable first */
    size_t n_top, top_capacity;
    enum trawl_finish_reason finish;
};

struct tw_serve_answer {
    struct tw_serve_call *call;
    uint64_t place; /* in the job */
    size_t index;   /* of its (first) choice */
    size_t prompt;  /* which of the call's */
    struct tw_serve_answer *next_in_bucket;

    /* The inbox's lock. */
    struct tw_serve_answer *next_ready;
    bool ready;                      /* in the inbox's list */
    bool done;                       /* the result is there: nothing changes any more */
    struct tw_serve_output *outputs; /* [n_outputs]; the first grows as tokens come */
    size_t n_outputs;
    char *error;    /* why there is no answer */
    bool no_memory; /* for the answer */
    uint64_t first_token_ns;

    struct tw_answer_text heard; /* by the engine's threads, for stop texts */

    struct tw_serve_output
        echo; /* the prompt, where its log-probabilities are wanted: whole when there is a token */

    struct tw_answer_text told; /* by the event loop, to the client */
    size_t n_told, n_chars;     /* tokens; characters of their text */
    bool begun, ended;          /* told the first time, the last time */
    bool counted;               /* among those that are done */
};

struct tw_serve_call {
    struct tw_server *server;
    struct tw_serve_call *previous, *next; /* all that are under way */
    struct evhttp_request *http;           /* NULL: the client has gone */
    struct tw_serve_body body;
    struct tw_ids *prompts; /* [n_prompts] */
    size_t n_prompts;
    struct tw_serve_answer *answers; /* [n_answers] */
    size_t n_answers, n_submitted, n_done;
    size_t prompt_tokens, completion_tokens;
    char id[40];
    int64_t created; /* seconds since 1970 */
    uint64_t since_ns, seed;
    bool streaming; /* its head has been sent */
    bool sending;   /* a piece of it is on its way */
    bool failed;    /* cut short by an error that was told */
};

/* ---- inbox: from the engine's and the results' threads to the event loop ---- */

struct tw_serve_inbox {
    pthread_mutex_t lock;
    int fd; /* eventfd: something is ready, or the job has ended */
    struct tw_serve_answer *first, **last;
    struct tw_serve_answer **buckets; /* [n_buckets] under way, by place; a power of two */
    size_t n_buckets;
    bool job_ended;
    trawl_status status;
    struct trawl_error error; /* how the job ended */
};

struct tw_server {
    const struct tw_serve_config *config;
    trawl_engine *engine;
    struct trawl_model_info info;
    struct tw_tokenizer *tokenizer;
    struct tw_encoder *encoder;
    trawl_job *job;
    uint64_t n_places; /* requests submitted */
    pthread_t results;
    bool results_started;
    struct tw_serve_inbox inbox;
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener; /* the http's */
    struct event *wake, *tick;
    struct tw_serve_call *calls;
    size_t n_live; /* answers submitted and not done */
    size_t n_open; /* HTTP requests for answers whose reply has not been sent whole */
    struct tw_serve_metrics metrics;
    struct tw_serve_output view; /* scratch: a copy of what an answer has, */
    size_t *offsets;             /* the places of its tokens in the text, */
    size_t offsets_capacity;
    struct tw_str text; /* and a text */
    char fingerprint[80];
    int64_t started;       /* seconds since 1970 */
    bool stopping, broken; /* broken: the job has ended */
    uint64_t stop_ns;      /* when what still runs is cancelled */
};

/* serve_job.c; the inbox is opened first, and closed with the job. */
trawl_status tw_serve_inbox_open(struct tw_server *s, struct trawl_error *err);
trawl_status tw_serve_job_open(struct tw_server *s, struct trawl_error *err);
void tw_serve_job_close(struct tw_server *s);
/* Hand `answer` to the job; its place is known from then on. */
trawl_status tw_serve_job_submit(struct tw_server *s, struct tw_serve_answer *answer,
                                 const struct trawl_request *request, struct trawl_error *err);
/* Tell of answers that something happened to. False: the job has ended, by itself. */
bool tw_serve_inbox_hear(struct tw_server *s, void (*heard)(struct tw_serve_answer *answer));
/* Nobody tells this answer anything any more: it is done, and not in the inbox. */
bool tw_serve_is_done(struct tw_server *s, struct tw_serve_answer *answer);
/* Copy the tokens of output i, from `from` on, to s->view; those of the echo, *n_echo, go before the first. */
trawl_status tw_serve_view(struct tw_server *s, struct tw_serve_answer *answer, size_t i, size_t from,
                           size_t *n_echo, struct trawl_error *err);
void tw_serve_output_release(struct tw_serve_output *o);

/* serve_call.c: from the body to the reply, which it sends. */
void tw_serve_call_begin(struct tw_server *s, struct evhttp_request *http, enum tw_serve_kind kind);
/* Look at what happened to an answer. */
void tw_serve_call_heard(struct tw_serve_answer *answer);
/* Its last word was sent, or its client has gone: what is not done is cancelled, and the call freed when all is. */
void tw_serve_call_leave(struct tw_serve_call *call);
/* Ends all answers of all calls with what they have. */
void tw_serve_calls_cancel(struct tw_server *s);
/* The job has been closed: what is left of calls is freed. */
void tw_serve_calls_free(struct tw_server *s);
/* The job has ended by itself: nothing will come any more. */
void tw_serve_calls_abandon(struct tw_server *s, const struct trawl_error *why);

/* serve_stream.c: send what is new of a call that streams, as long as the client takes it. */
void tw_serve_stream(struct tw_serve_call *call);
/* End it with an error. */
void tw_serve_stream_fail(struct tw_serve_call *call, int code, const char *message);

/* serve_routes.c: evhttp's callback; `user` is the server. */
void tw_serve_route(struct evhttp_request *http, void *user);

#endif /* TW_SERVE_INT_H */
