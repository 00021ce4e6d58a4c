/* SPDX-License-Identifier: MIT */
/* Run requests through an engine and keep everything that comes out, for comparison. */
#ifndef TRAWL_TESTS_ENGINE_HARNESS_H
#define TRAWL_TESTS_ENGINE_HARNESS_H

#include <pthread.h>

#include "engine/engine.h"

enum { HARNESS_REQUESTS = 16, HARNESS_TOKENS = 320, HARNESS_SITES = 64, HARNESS_TOP = 4 };

struct harness_output {
    size_t n_tokens;
    int32_t tokens[HARNESS_TOKENS];
    float logprobs[HARNESS_TOKENS], entropies[HARNESS_TOKENS], varentropies[HARNESS_TOKENS];
    float attn_entropies[HARNESS_TOKENS], attn_varentropies[HARNESS_TOKENS]; /* zeros when not measured */
    struct tw_top_logprob top[HARNESS_TOKENS][HARNESS_TOP];                  /* zeros when not wanted */
    double score;
    enum tw_finish finish;
};

struct harness_answer {
    int finished; /* how often a result was delivered */
    enum tw_finish finish;
    size_t n_tokens;
    int32_t tokens[HARNESS_TOKENS];
    float logprobs[HARNESS_TOKENS], entropies[HARNESS_TOKENS];
    char error[TRAWL_ERROR_MESSAGE_BYTES];
    float *rows[HARNESS_SITES]; /* [n_rows, width] from capture_from on */
    size_t n_rows[HARNESS_SITES];
    float *logits; /* [n_prompt - logits_from, vocab] */
    float *prompt_logprobs;
    struct harness_output *outputs; /* [n_outputs] all of them; the first is above as well */
    size_t n_outputs, n_nodes;
    bool truncated;
};

struct harness {
    struct tw_request requests[HARNESS_REQUESTS];
    struct harness_answer answers[HARNESS_REQUESTS];
    size_t n_requests, next;
    bool backwards;      /* hand out the last request first */
    size_t fail_rows_at; /* fail the n-th rows callback; 0: never */
    size_t n_rows_calls;
    size_t fail_finished_at; /* fail the n-th finished callback; 0: never */
    size_t n_finished;
    bool (*on_token)(void *user, uint64_t id,
                     size_t n); /* called with the lock held after the n-th token of a
                                                            request; false ends its answer. May be NULL */
    void *on_token_user;
    bool no_token; /* the work asks for no tokens as they come */
    /* The work's callback of that name; NULL: none. `user` is the harness. */
    trawl_status (*allowed)(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                            struct trawl_error *err);
    size_t n_tokens[HARNESS_REQUESTS]; /* seen by on_token */
    pthread_mutex_t lock;
};

/* How an engine is laid out, and `backwards` as in struct harness. */
struct harness_way {
    struct tw_mesh mesh;
    size_t chunk, batch, kv_pages; /* pages 0: left to the engine */
    int threads;
    const char *isa;
    bool backwards;
};

/* An engine of the model in `dir` for sequences of up to 2048 tokens; fails the running test when it cannot. */
struct tw_engine *harness_open(const char *dir, bool bf16, const struct harness_way *way);

void harness_init(struct harness *h);
void harness_free(struct harness *h);
/* The prompt is borrowed. */
struct tw_request *harness_add(struct harness *h, const int32_t *prompt, size_t n, size_t max_tokens);
trawl_status harness_run(struct harness *h, struct tw_engine *engine, const struct tw_site *sites,
                         size_t n_sites, struct trawl_error *err);
/* Fail the running test unless both hold the same bytes. */
void harness_assert_equal(const struct harness *a, const struct harness *b, const struct tw_engine *engine,
                          const struct tw_site *sites, size_t n_sites);

#endif /* TRAWL_TESTS_ENGINE_HARNESS_H */
