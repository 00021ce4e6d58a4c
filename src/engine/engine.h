/* SPDX-License-Identifier: MIT */
/* A model opened on a mesh, and the loop that runs requests over it: one scheduler (replica) per data
 * index, continuous admission, ragged batches without padding, chunked prefill.
 *
 * Requests are pulled from a tw_work and their results pushed to it, from the replicas' threads. What a
 * request yields depends on the request alone (docs/numerics.md). */
#ifndef TW_ENGINE_ENGINE_H
#define TW_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "constrain/constrain.h"
#include "engine/engine_mask.h"
#include "kernels/kernels.h"
#include "mesh/mesh.h"
#include "model/model_site.h"
#include "model/model_weights.h"
#include "sample/sample.h"

struct tw_world;

struct tw_engine_config {
    const char *model_path; /* Hugging Face folder; borrowed during open */
    struct tw_mesh mesh;
    enum tw_dtype compute;  /* BF16 or F32 */
    enum tw_dtype kv_dtype; /* BF16 or F32 */
    int threads;            /* per device; 0: the cores of this process divided by the devices, at least 1 */
    size_t batch_size;      /* sequences in flight per replica, >= 1 */
    size_t prefill_chunk;   /* prompt tokens per step and replica, >= 1 */
    int tree_leaves;        /* 8, 16 or 32: part of the numbers' identity */
    size_t max_model_len;   /* longest sequence; 0: the model's context */
    size_t
        kv_cache_bytes; /* per replica; 0: what batch_size sequences need, within half of the free memory */
    bool compress_weights; /* bf16 panels are held in three quarters of their bytes; on */
    bool prefix_cache;     /* pages of a prefix that was computed before are used again; on */
    /* Most tokens that a sequence guesses ahead in a step, where rows are left over; 0: none. */
    size_t prompt_lookup_num_tokens;
    const char *isa; /* as tw_kernels_init */
    /* Gives the texts of a model's tokens when the first constraint comes; NULL: there are none. */
    trawl_status (*vocabulary)(const char *model_path, size_t n_vocab, struct tw_vocabulary *out,
                               struct trawl_error *err);
    struct tw_log log;
    struct tw_world *world; /* the processes that share the mesh; NULL: this one has all of it. Kept */
    int devices_per_rank;   /* of each process, with a world */
};

enum { TW_PROMPT_LOOKUP_MOST = 64 };

void tw_engine_config_init(struct tw_engine_config *c);

struct tw_engine;

trawl_status tw_engine_open(struct tw_engine **out, const struct tw_engine_config *config,
                            struct trawl_error *err);
void tw_engine_close(struct tw_engine *engine); /* no run may be under way; NULL allowed */

/* With a world all its processes open the engine: rank 0 by tw_engine_open alone, which calls the others
 * (engine_world.h); settings, version and weights that differ are refused by name. Rank 0 runs and closes it.
 * The others do their part in here until it is closed; a failed run is returned, but does not end this. */
trawl_status tw_engine_serve(struct tw_engine *engine, struct trawl_error *err);

const struct tw_model *tw_engine_model(const struct tw_engine *engine);
const struct tw_kernels *tw_engine_kernels(const struct tw_engine *engine);
const struct tw_engine_config *tw_engine_settings(const struct tw_engine *engine); /* zeros resolved */

/* Bytes by purpose, of all replicas in this process together. */
struct tw_engine_memory {
    size_t weights, kv, buffers, logits;
};
struct tw_engine_memory tw_engine_memory(const struct tw_engine *engine);

/* ---- requests and results ---- */

/* What is made of the prompt. */
enum tw_request_kind {
    TW_REQUEST_SAMPLE, /* one answer, token by token */
    TW_REQUEST_BEAM,   /* the best answers that beam search finds */
    TW_REQUEST_SCORE,  /* the log-probabilities of given continuations */
    TW_REQUEST_NBEST   /* all answers above a probability */
};

enum tw_early_stopping { TW_EARLY_STOPPING_FALSE, TW_EARLY_STOPPING_TRUE, TW_EARLY_STOPPING_NEVER };

/* Hugging Face's parameters of the same names; engine_beam.c has the rules. */
struct tw_beam_params {
    size_t num_beams, num_return_sequences;
    double length_penalty;
    enum tw_early_stopping early_stopping;
};

/* Continuations to score, one after another in `tokens`; number i ends before ends[i]. Borrowed like prompt. */
struct tw_score_params {
    const int32_t *tokens;
    const uint32_t *ends; /* [n] ascending; none is empty */
    size_t n;
};

struct tw_nbest_params {
    double min_prob;    /* (0, 1]: of a whole answer */
    size_t max_nodes;   /* tokens that may be tried before the search is given up */
    size_t max_outputs; /* the most probable ones are kept */
};

/* What the text of an answer has to satisfy (constrain/constrain.h). */
struct tw_request_constraint {
    enum tw_constraint_kind kind;
    const char *text; /* [n] borrowed like prompt */
    size_t n;
};

struct tw_request {
    uint64_t id;
    enum tw_request_kind kind;
    const int32_t *prompt; /* [n_prompt], borrowed until the request is finished; every id is in [0, vocab) */
    size_t n_prompt;
    size_t max_tokens;   /* 0: compute the prompt only */
    struct tw_mask mask; /* its lists are borrowed like prompt */
    struct tw_sample_params sampling;
    struct tw_request_constraint constraint;
    const int32_t *stop; /* [n_stop] further end tokens, borrowed like prompt */
    size_t n_stop;
    struct tw_beam_params beam;   /* TW_REQUEST_BEAM */
    struct tw_score_params score; /* TW_REQUEST_SCORE */
    struct tw_nbest_params nbest; /* TW_REQUEST_NBEST */
    bool ignore_eos;              /* the model's own end tokens do not end it (stop still does) */
    bool attn_entropy;   /* measure the entropy of the attention of every row that a token is chosen from */
    bool capture;        /* deliver the rows of the run's sites */
    size_t capture_from; /* from this position on: 0 to n_prompt */
    bool logits;         /* deliver the logits of prompt positions */
    size_t logits_from;  /* from this one on: less than n_prompt */
    double timeout;      /* seconds that the request may take; 0: any */
    uint64_t since_ns;   /* from this time on, by tw_clock_ns */
    /* Set by anyone at any time: the request ends. Borrowed like prompt; NULL: nobody will. */
    const atomic_bool *cancelled;
};

/* Before it has ended by itself a request ends after a step, with what it has: past its timeout or cancelled. DROPPED:
 * the run ended first, and there is nothing to be had of the request. */
enum tw_finish {
    TW_FINISH_STOP,
    TW_FINISH_LENGTH,
    TW_FINISH_ERROR,
    TW_FINISH_TIMEOUT,
    TW_FINISH_CANCELLED,
    TW_FINISH_DROPPED
};

/* One continuation of the prompt. Everything is borrowed during the call. */
struct tw_output {
    const int32_t *tokens;                            /* [n_tokens] generated, an end token included */
    const float *logprobs, *entropies, *varentropies; /* [n_tokens] */
    const float *attn_entropies, *attn_varentropies;  /* [n_tokens], or NULL: not measured */
    size_t n_tokens;
    const struct tw_top_logprob *top; /* [n_tokens, n_top] */
    size_t n_top;
    struct tw_policy_track policy;
    double score; /* what the outputs of a request are ordered by */
    enum tw_finish finish;
};

struct tw_result {
    uint64_t id;
    enum tw_finish finish; /* of the request: that of its first output, or why there is none or no more */
    const struct tw_output *outputs; /* [n_outputs] */
    size_t n_outputs;
    size_t n_prompt;
    uint64_t n_nodes;                /* TW_REQUEST_NBEST: tokens tried */
    bool truncated;                  /* TW_REQUEST_NBEST: a budget left something out */
    const struct trawl_error *error; /* TW_FINISH_ERROR: why */
};

/* A token as it is told. Borrowed during the call. */
struct tw_told_token {
    int32_t token;
    float logprob;
    const struct tw_top_logprob *top; /* [n_top] the most probable ones, if they are wanted */
    size_t n_top;
};

enum tw_pull { TW_PULL_REQUEST, TW_PULL_NONE_NOW, TW_PULL_END };

/* Where requests come from and results go. All functions may be called from several replica threads at
 * once. A callback that fails ends the run. `rows`, `logits` and `token` may be NULL. */
struct tw_work {
    void *user;
    /* Give the next request. With `wait`, block until there is one or the end has come: NONE_NOW is then
     * no answer. */
    enum tw_pull (*pull)(void *user, bool wait, struct tw_request *out);
    /* Captured rows of site `site` (index into the run's sites) at positions [position, position + n). */
    trawl_status (*rows)(void *user, uint64_t id, size_t site, size_t position, const float *rows, size_t n,
                         size_t width, struct trawl_error *err);
    /* Logits of prompt positions [position, position + n), and the log-probability of the prompt's next
     * token at each (0 after its last). */
    trawl_status (*logits)(void *user, uint64_t id, size_t position, const float *rows, const float *logprobs,
                           size_t n, size_t n_vocab, struct trawl_error *err);
    /* One token of an answer that is sampled, as it comes; false ends the answer with it (TW_FINISH_STOP). */
    bool (*token)(void *user, uint64_t id, const struct tw_told_token *told);
    /* Which tokens may follow the answer's tokens [n] of a sampled request: clear bits of those that may not, of
     * the ones its constraint allows. A failure, or no bit left, ends the request with an error. NULL: nobody
     * asks. Not asked in other processes: a world of several has to have none. */
    trawl_status (*allowed)(void *user, uint64_t id, const int32_t *tokens, size_t n, uint32_t *bits,
                            struct trawl_error *err);
    trawl_status (*finished)(void *user, const struct tw_result *result, struct trawl_error *err);
    /* The run ends early (a replica failed): a `pull` that waits, and every later one, returns END. */
    void (*stop)(void *user);
};

/* Run until `work` is at its end, on the caller's thread and those of the other replicas. `sites` are
 * captured for requests that ask. TRAWL_ERR_CANCELLED after tw_engine_cancel: requests that were under way
 * are reported as dropped. A request that can never run (longer than max_model_len or than the KV cache)
 * is finished with TW_FINISH_ERROR and the numbers; others go on. */
trawl_status tw_engine_run(struct tw_engine *engine, const struct tw_work *work, const struct tw_site *sites,
                           size_t n_sites, struct trawl_error *err);

/* Tokens computed by the run under way (or the last one), readable from any thread while it runs. */
void tw_engine_progress(const struct tw_engine *engine, uint64_t *prompt_tokens, uint64_t *generated_tokens);

/* Counters of the same run, all replicas of all processes together; 64-bit numbers only. Those of other
 * processes are up to 0.2 s old while it runs. */
struct tw_engine_stats {
    uint64_t running, preempted, queued; /* requests now: in the batch; waiting to go on; without room yet */
    uint64_t steps;
    uint64_t computed_tokens; /* rows that went through the model, in those steps */
    uint64_t cached_tokens;   /* of prompts, found in the prefix cache instead */
    uint64_t draft_tokens;    /* guessed ahead, among computed_tokens */
    uint64_t accepted_tokens; /* those that were right */
    uint64_t preemptions;
    uint64_t evicted_pages;
    uint64_t pages, held_pages, idle_pages; /* now: of the KV cache; in use; kept for their content */
    uint64_t peak_pages;                    /* most that were in use */
    /* Sums over steps: positions of pages in use, and those of them that hold nothing. */
    uint64_t held_positions, empty_positions;
};

enum { TW_ENGINE_STATS = sizeof(struct tw_engine_stats) / sizeof(uint64_t) };

void tw_engine_stats(const struct tw_engine *engine, struct tw_engine_stats *stats);

/* Stop a run after its current step, and every later one until tw_engine_resume; async-signal-safe. */
void tw_engine_cancel(struct tw_engine *engine);
void tw_engine_resume(struct tw_engine *engine);

#endif /* TW_ENGINE_ENGINE_H */
