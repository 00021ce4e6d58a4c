/* SPDX-License-Identifier: MIT */
/* A job: a stream of requests in, their results in order out (or as they come: `unordered`), with activations and a
 * journal on disk if wanted. Submit any number of requests, end the input, take results until there are no more:
 *
 *     trawl_job_open(engine, &config, &job, &err);
 *     for (...) trawl_job_submit(job, &request, &err);
 *     trawl_job_end_input(job);
 *     while (trawl_job_next(job, &result, &more, &err) == TRAWL_OK && more) { ... }
 *     trawl_job_close(&job);
 *
 * A request's number is its place in the order of submission (or, in a job that is a part of a run, its place
 * in the run); numbers, not arrival, decide seeds, files and the order of results.
 *
 * With a journal the job survives its process: opened again with `resume` and given the same requests, it
 * returns the results that were committed without computing them again, and ends with the same files, byte
 * for byte, as if nothing had happened. */
#ifndef TRAWL_JOB_H
#define TRAWL_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trawl/engine.h"
#include "trawl/mask.h"
#include "trawl/policy.h"
#include "trawl/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trawl_job trawl_job;

struct trawl_setting {
    const char *key, *value;
};

struct trawl_top_logprob {
    int32_t token; /* -1: the distribution has no more numbers */
    float logprob;
};

enum trawl_activations_format { TRAWL_FORMAT_SAFETENSORS = 0, TRAWL_FORMAT_PKL = 1 };

/* What to keep of the forward passes. */
struct trawl_capture_config {
    const char *const *sites; /* names or patterns: "blocks.10.hook_resid_post", "layer_10", ... */
    size_t n_sites;
    const char *dir; /* the store's folder; NULL: rows go to on_rows only */
    enum trawl_activations_format format;
    enum trawl_dtype dtype;     /* on disk; pickles are always float32 */
    const int32_t *skip_tokens; /* [n_skip_tokens] ids; rows of these tokens are not stored; copied */
    size_t n_skip_tokens;
    /* Also store, with each row, log p of the token that follows it and the entropy of what could, in nats; without a next
     * token the former is NaN. Logits are then computed for every stored position, through all layers. */
    bool logprobs;
    /* Store the rows of a commit group (commit_every requests) in an order that is drawn from shuffle_seed and the group's
     * place, the same for all sites. They wait in memory, as float32, until the group is complete. */
    bool shuffle_rows;
    uint64_t shuffle_seed;
};

struct trawl_job_config {
    uint32_t size;            /* sizeof, set by _init */
    const char *journal_path; /* NULL: none, the job cannot be resumed */
    bool resume; /* continue a journal that is there, begin one that is not; else one that is there
                                 is refused */
    const struct trawl_setting
        *settings; /* what the results depend on beyond the engine's own settings; a job
                                             continues only a journal of equal settings */
    size_t n_settings;
    size_t commit_every;  /* requests of a commit group; 0: 80 */
    uint64_t random_seed; /* requests without a seed get one from this and their number */
    struct trawl_capture_config capture;
    double timeout; /* seconds, of requests that have no timeout of their own; 0: none */
    /* Callbacks; `user` is passed through. All may be NULL. All but on_tick run on the engine's threads. */
    void *user;
    /* At least ten times a second on the thread that waits in trawl_job_next: to show progress, to look for
     * signals. False cancels the job. */
    bool (*on_tick)(void *user, trawl_job *job);
    /* Every token as it is chosen; false ends the answer with it (TRAWL_FINISH_STOP). */
    bool (*on_token)(void *user, uint64_t request, int32_t token, float logprob);
    /* Captured rows [n, width] of site `site` (in the order of the expanded site list) at positions
     * [position, position + n), ascending per request and site. A failure ends the job. */
    trawl_status (*on_rows)(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err);
    /* Logits [n, vocab_size] of prompt positions, and log p of the prompt's next token at each. */
    trawl_status (*on_logits)(void *user, uint64_t request, size_t position, const float *logits,
                              const float *logprobs, size_t n, size_t vocab_size, struct trawl_error *err);
    /* Which tokens may follow an answer's tokens [n]: of the bits set, those that its constraint allows, clear
     * the others (bit id % 32 of word id / 32). A failure, or no bit left, ends the request with
     * TRAWL_FINISH_ERROR. Asked of sampled answers, before each token. A world of several processes has no such
     * callback: it could not be asked where the request runs. */
    trawl_status (*allowed_tokens)(void *user, uint64_t request, const int32_t *tokens, size_t n,
                                   uint32_t *bits, struct trawl_error *err);
    /* Results come as requests end, not in their order: a request never waits for one before it. For jobs that go on for as
     * long as there is somebody who asks (a server): memory goes with the requests that are under way, not with how many
     * there were. Numbers, seeds and answers are the same. Not with a journal, nor a store. */
    bool unordered;
    /* The most probable tokens [n] beside the one that on_token is told next, of requests with top_logprobs and without
     * best_of. */
    void (*on_top_logprobs)(void *user, uint64_t request, const struct trawl_top_logprob *top, size_t n);
};

TRAWL_API void trawl_job_config_init(struct trawl_job_config *config);

enum trawl_constraint_kind {
    TRAWL_CONSTRAINT_NONE        = 0,
    TRAWL_CONSTRAINT_REGEX       = 1, /* a regular expression that matches the whole text */
    TRAWL_CONSTRAINT_JSON_SCHEMA = 2, /* the text is JSON that satisfies a JSON schema */
    TRAWL_CONSTRAINT_CHOICE      = 3  /* the text is one of a JSON list of strings */
};

enum trawl_early_stopping {
    TRAWL_EARLY_STOPPING_FALSE = 0, /* stop when no beam looks able to beat the worst finished one */
    TRAWL_EARLY_STOPPING_TRUE  = 1, /* stop as soon as num_beams answers are finished */
    TRAWL_EARLY_STOPPING_NEVER = 2  /* stop when no beam can beat the worst finished one any more */
};

struct trawl_request {
    uint32_t size;         /* sizeof, set by _init */
    const int32_t *prompt; /* [n_prompt], copied */
    size_t n_prompt;
    size_t max_tokens;         /* most to generate; 0: compute the prompt only */
    double temperature;        /* 0: greedy */
    int64_t top_k;             /* 0: off */
    double top_p;              /* 1: off */
    double min_p;              /* 0: off */
    double repetition_penalty; /* 1: off */
    /* More ways to choose; docs/sampling.md has their formulas and their order. */
    double typical_p;                 /* 1: off */
    double top_n_sigma;               /* 0: off */
    double xtc_probability;           /* 0: off */
    double xtc_threshold;             /* 0 to 0.5 */
    double presence_penalty;          /* -2 to 2, of the answer's tokens */
    double frequency_penalty;         /* -2 to 2, of the answer's tokens */
    int64_t no_repeat_ngram_size;     /* 0: off */
    size_t min_tokens;                /* no end token before the answer has that many; 0: off */
    const int32_t *logit_bias_tokens; /* [n_logit_bias], at most 1024 different ids, copied */
    const float *logit_bias;          /* [n_logit_bias], -100 to 100, copied */
    size_t n_logit_bias;
    const int32_t *suppress_tokens; /* [n_suppress_tokens] ids that are never chosen, copied */
    size_t n_suppress_tokens;
    bool
        attn_entropy; /* measure the attention beside every token of the answer: attn_entropies of the output */
    size_t top_logprobs; /* most probable tokens to report beside each of the answer: 0 to 1024 */
    const struct trawl_entropy_policy *entropy_policy; /* copied; NULL: off */
    uint64_t seed;
    bool has_seed;
    bool ignore_eos;
    /* What the answer's text has to satisfy (docs/constraints.md): only tokens with which it still can are
     * chosen, and it ends complete within max_tokens where that is possible. Read where the request runs: one
     * that is wrong ends the request with TRAWL_FINISH_ERROR. Not for beams, n-best search and scoring. */
    enum trawl_constraint_kind constraint_kind;
    const char *constraint_text; /* copied; NULL without a constraint */
    struct trawl_attention_mask attention_mask;
    /* Pruning of a causal sequence: a token sees the first attention_sinks tokens and the last
     * attention_window ones, itself included, and the memory of what no token will see any more is given
     * back, so that a long answer runs in bounded memory. 0, 0: off. With attention_heavy_hitters it goes by pages of
     * 64 tokens: a token sees the pages of the sinks, those of the window, and of those between them the
     * attention_heavy_hitters / 64, rounded up, that most attention went to (docs/masks.md). */
    size_t attention_sinks, attention_window, attention_heavy_hitters;
    /* At most one of the following three; without any, one answer is generated token by token.
     * Beam search as in Hugging Face: the best num_return_sequences of num_beams answers. */
    size_t num_beams;            /* 0: off */
    size_t num_return_sequences; /* 1 to num_beams, or to best_of */
    double length_penalty;       /* scores are divided by the answer's length to this power */
    enum trawl_early_stopping early_stopping;
    /* Continuations of the prompt to score instead of generating: ids one after another, copied. */
    const int32_t *completions;
    const size_t *completion_lengths; /* [n_completions], each at least 1 */
    size_t n_completions;             /* 0: off */
    /* All answers whose probability is at least this, found depth first. */
    double nbest_min_prob;         /* (0, 1]; 0: off */
    size_t nbest_max_nodes;        /* tokens that may be tried before the search is given up */
    size_t nbest_max_outputs;      /* most answers to return, the most probable ones */
    const int32_t *stop_token_ids; /* [n_stop_token_ids], copied */
    size_t n_stop_token_ids;
    /* Sample so many answers, and return the num_return_sequences best by cumulative_logprob, the one drawn first where
     * two tie; 0, 1: off. Answer i is the one that a request with the seed + i has. Needs a temperature; each is computed
     * like a request of its own (docs/sampling.md). on_token is not called for them; rows that are stored are those of
     * the best; a job with on_rows refuses it. */
    size_t best_of;
    bool want_logits;   /* on_logits for prompt positions ... */
    size_t logits_from; /* ... from this one on, less than n_prompt */
    /* The first position whose captured rows are wanted: 0: of all; n_prompt - 1: of the prompt's last token and of the
     * answer; n_prompt: of the answer only. What comes before may be found in the prefix cache, not computed. */
    size_t capture_from;
    /* Seconds from trawl_job_submit on, waiting included, after which the request ends with what it has
     * (TRAWL_FINISH_TIMEOUT), between two steps. 0: the job's timeout; INFINITY: none. Nothing else makes a result
     * depend on time (docs/scheduling.md). */
    double timeout;
    const char *task_id; /* copied; names the rows in pickles; NULL: "" */
    int64_t sample_idx;
    uint64_t number; /* of a part of a larger run: its number there, which goes into the files */
    bool has_number; /* else its place in this job; numbers ascend from request to request */
};

TRAWL_API void trawl_request_init(struct trawl_request *request);

enum trawl_finish_reason {
    TRAWL_FINISH_STOP   = 0, /* an end token, which is the last of `tokens`, or nothing more is allowed */
    TRAWL_FINISH_LENGTH = 1, /* max_tokens, or the context is full */
    TRAWL_FINISH_ERROR  = 2, /* could not be run: `error` says why; other requests are not affected */
    /* Ended before its time, with what it had then: a sampled answer with the tokens so far, none if it had not begun;
     * the best beams so far; the scores and n-best answers that had been found, completions that were not scored with no
     * tokens and a score of -INFINITY. Rows that were captured are kept. */
    TRAWL_FINISH_TIMEOUT   = 3,
    TRAWL_FINISH_CANCELLED = 4 /* trawl_job_cancel_request */
};

/* "stop", "length", "error", "timeout", "cancelled"; NULL for other numbers. */
TRAWL_API const char *trawl_finish_reason_name(enum trawl_finish_reason reason);

/* One continuation of a prompt. */
struct trawl_output {
    enum trawl_finish_reason finish_reason;
    const int32_t *tokens;                            /* [n_tokens] */
    const float *logprobs, *entropies, *varentropies; /* [n_tokens]; natural logs, nats, nats^2 */
    /* [n_tokens] with attn_entropy, else NULL: of the row that the token was chosen from, the mean over layers and heads
     * of the entropy of attention in nats, and the variance of the entropy over the heads of a layer, mean over
     * layers, in nats^2. */
    const float *attn_entropies, *attn_varentropies;
    size_t n_tokens;
    double cumulative_logprob; /* sum of logprobs, in order, in double */
    double score; /* what the outputs of a request are ordered by; 0 for a sampled answer without best_of */
    const struct trawl_top_logprob *top_logprobs; /* [n_tokens, n_top_logprobs] most probable first */
    size_t n_top_logprobs;
    uint32_t entropy_states[5]; /* by the policy: tokens chosen in each enum trawl_entropy_state */
    uint32_t n_inserted;        /* by the policy */
};

/* Pointers are valid until the next trawl_job_next or trawl_job_close. finish_reason is that of the first output, but for
 * a request that failed, timed out or was cancelled; the fields from tokens to cumulative_logprob are those of the first
 * output, and a request without any has none of them. */
struct trawl_result {
    uint64_t request;
    enum trawl_finish_reason finish_reason;
    const int32_t *tokens;                            /* [n_tokens] */
    const float *logprobs, *entropies, *varentropies; /* [n_tokens]; natural logs, nats, nats^2 */
    const float *attn_entropies, *attn_varentropies;  /* [n_tokens], or NULL: see struct trawl_output */
    size_t n_tokens, n_prompt;
    double cumulative_logprob;          /* sum of logprobs, in order, in double */
    const char *error;                  /* NULL unless TRAWL_FINISH_ERROR */
    bool from_journal;                  /* not computed now */
    bool pruned;                        /* attention_window was set: tokens outside it were forgotten */
    const struct trawl_output *outputs; /* [n_outputs] best first; scored completions in their own order */
    size_t n_outputs;
    uint64_t n_nodes; /* n-best: tokens tried */
    bool truncated;   /* n-best: a budget ended the search or left answers out */
};

/* `config` and what it points to is borrowed during the call, the callbacks' `user` for the job's life.
 * errors: EXISTS: the journal or the store is there and resume is false, is another run's (the first setting
 *         that differs is named), or is in use; INVALID: a site; IO, FORMAT. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_job_open(trawl_engine *engine,
                                                       const struct trawl_job_config *config, trawl_job **out,
                                                       struct trawl_error *err);

/* Add a request. A request that is invalid in itself is still numbered and ends with TRAWL_FINISH_ERROR.
 * errors: INVALID: a structure that was not initialised, a list that is NULL but has a number, the input has ended;
 *         EXISTS: the journal has another request in this place.
 * threads: one submits and ends the input, another may take results meanwhile. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_job_submit(trawl_job *job, const struct trawl_request *request,
                                                         struct trawl_error *err);
/* No more requests will come. */
TRAWL_API void trawl_job_end_input(trawl_job *job);

/* Wait for the next result, in request order unless the job is unordered. *more is false when all have been returned and everything is
 * committed. TRAWL_ERR_CANCELLED after trawl_job_cancel: what was committed stays. Any other failure (a full
 * disk, a broken device) ends the job; the journal can be resumed. One thread calls it. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_job_next(trawl_job *job, struct trawl_result *result,
                                                       bool *more, struct trawl_error *err);

/* Stop after the current step; async-signal-safe, any thread. */
TRAWL_API void trawl_job_cancel(trawl_job *job);

/* End one request, `request` in the order of submission, after the current step: its result comes in its turn, with
 * what it had (TRAWL_FINISH_CANCELLED), and is journalled like any other. One that has ended stays as it ended; asking
 * twice changes nothing. threads: any, callbacks too; not from a signal handler.
 * errors: INVALID: no such request has been submitted. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_job_cancel_request(trawl_job *job, uint64_t request,
                                                                 struct trawl_error *err);

/* Counters so far; any thread. */
struct trawl_job_stats {
    uint64_t submitted, finished; /* requests; finished ones include those from the journal */
    uint64_t committed;           /* requests safe on disk */
    /* Of this run, not of what was in the journal. Counters of other processes are up to 0.2 s old. */
    uint64_t prompt_tokens, generated_tokens; /* prompt tokens computed or found in the prefix cache */
    uint64_t cached_tokens;                   /* those found */
    uint64_t steps;                           /* of all replicas */
    uint64_t computed_tokens; /* through the model: prompts and answers, after a preemption once more */
    uint64_t draft_tokens, accepted_tokens; /* of these, guessed ahead; of those, right ones */
    uint64_t queued, running;               /* requests now: waiting, in the batch */
    uint64_t timed_out, cancelled;          /* requests that ended so */
    uint64_t preemptions;                   /* times a running request gave up its memory to an older one */
    uint64_t kv_pages, kv_pages_held, kv_pages_idle; /* now, of 64 tokens; idle: kept for their content */
    uint64_t kv_pages_peak;                          /* most held at once */
    uint64_t kv_pages_evicted;                       /* idle ones that made room */
    double kv_pages_filled; /* share of held pages that held something, over all steps; 1 before the first */
};
TRAWL_API void trawl_job_stats(trawl_job *job, struct trawl_job_stats *stats);

/* Expanded sites, in the order of on_rows. */
TRAWL_API size_t trawl_job_n_sites(const trawl_job *job);
TRAWL_API const char *trawl_job_site_name(const trawl_job *job, size_t site, size_t *width);

/* Stops what is running. Sets *job to NULL. */
TRAWL_API void trawl_job_close(trawl_job **job);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_JOB_H */
