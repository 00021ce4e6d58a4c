/* SPDX-License-Identifier: MIT */
/* Jobs of a dozen requests over a tiny model, and their results and files for comparison. */
#ifndef TRAWL_TESTS_API_HARNESS_H
#define TRAWL_TESTS_API_HARNESS_H

#include <stdbool.h>

#include "trawl/trawl.h"

enum { API_REQUESTS = 11, API_ERROR = 4, API_TOKENS = 32 };

struct api_result {
    enum trawl_finish_reason finish;
    size_t n_tokens, n_prompt;
    int32_t tokens[API_TOKENS];
    float logprobs[API_TOKENS], entropies[API_TOKENS], varentropies[API_TOKENS];
    double cumulative_logprob;
    char error[256];
    bool from_journal;
};

/* The model is written to `dir`/model when it is not there. */
trawl_engine *api_engine(const char *dir, int data, int model);

/* Request `i` of API_REQUESTS: lengths of prompts and answers go up and down, so that they do not finish in order; some
 * draw, some with a seed of their own; API_ERROR is empty and fails. */
void api_request(struct trawl_request *r, size_t i);

/* Submit all and end the input. */
void api_submit(trawl_job *job);
/* The next result as result `i`; fails the running test when there is none. */
void api_take(trawl_job *job, size_t i, struct api_result *result);
/* All requests through a job from submission to end. */
void api_run(trawl_engine *engine, const struct trawl_job_config *config, struct api_result *results);

void api_assert_same(const struct api_result *a, const struct api_result *b, size_t n);

/* Both folders hold the same files with the same bytes. */
void api_assert_same_files(const char *a, const char *b);
/* Remove everything below `dir`. */
void api_clear(const char *dir);

struct api_files {
    char journal[600], store[600];
};

/* A job with journal and store below `dir`, which is emptied unless `resume`; committed every `group` requests. */
struct trawl_job_config api_config_in(const char *dir, struct api_files *files, const char *const *sites,
                                      size_t n_sites, size_t group, bool resume);

#endif /* TRAWL_TESTS_API_HARNESS_H */
