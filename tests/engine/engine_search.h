/* SPDX-License-Identifier: MIT */
/* What tests of beams, scores and n-best search share: random engines, and a plain one that computes the row of
 * logits after any tokens from nothing, to search by brute force with. */
#ifndef TRAWL_TESTS_ENGINE_SEARCH_H
#define TRAWL_TESTS_ENGINE_SEARCH_H

#include "base/philox.h"
#include "engine_harness.h"
#include "support/tiny_model.h"

enum { SEARCH_VOCAB = 80, SEARCH_PROMPT = 124, SEARCH_TOKENS = 16, SEARCH_REQUESTS = 3 };

struct search_plain {
    struct tw_engine *engine;
    float *logits; /* [SEARCH_VOCAB] of the last call */
};

/* A random number in [lo, hi]. */
uint32_t search_pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi);

/* Write a random model to `dir`; say what it is. Some have pairs of tokens that nothing tells apart. */
void search_write_model(const char *dir, struct tw_philox_stream *s, int draw);

/* One device, one thread, one request at a time, no cache. */
void search_plain_open(struct search_plain *p, const char *dir);
void search_plain_close(struct search_plain *p);
/* log p of every token after these, in logprobs [SEARCH_VOCAB]. */
void search_plain_row(struct search_plain *p, const int32_t *tokens, size_t n, float *logprobs);

/* A random mesh, batch of at least `width`, chunk, number of KV pages (at least `pages`), cache on or off. */
struct tw_engine *search_open(const char *dir, struct tw_philox_stream *s, size_t width, size_t pages);

/* A random model, the plain engine over it, and requests of random prompts for a random one. */
struct search_case {
    const char *dir;
    struct tw_philox_stream *random;
    struct search_plain plain;
    struct harness *h;
    int32_t prompts[SEARCH_REQUESTS][SEARCH_PROMPT];
    struct tw_engine *engine; /* once it has run */
};

void search_case_open(struct search_case *c, const char *dir, struct tw_philox_stream *s, int draw);
/* Draw prompt i; its length. */
size_t search_case_prompt(struct search_case *c, size_t i);
/* Run the requests in c->h on an engine that search_open makes. */
void search_case_run(struct search_case *c, size_t width, size_t pages);
void search_case_close(struct search_case *c);

/* So many of them, from the given stream of random numbers, in the scratch folder that is a test's state. */
void search_case_each(void **state, uint64_t stream, int n,
                      void (*check)(const char *dir, struct tw_philox_stream *s, int draw));

/* The request ended with an error that says this. */
void search_assert_says(const struct harness_answer *a, const char *words);

/* Of its last run. */
uint64_t search_preemptions(const struct tw_engine *e);

#endif /* TRAWL_TESTS_ENGINE_SEARCH_H */
