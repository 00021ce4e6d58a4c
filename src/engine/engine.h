/* SPDX-License-Identifier: MIT */
/* A model opened on a mesh, and the loop that runs requests over it: one scheduler (replica) per data
 * index, continuous admission, ragged batches without padding, chunked prefill.
 *
 * Requests are pulled from a tw_work and their results pushed to it, from the replicas' threads. What a
 * request yields depends on the request alone (docs/numerics.md). */
#ifndef TW_ENGINE_ENGINE_H
#define TW_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
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
    const char *isa;    /* as tw_kernels_init */
    struct tw_log log;
    struct tw_world *world; /* the processes that share the mesh; NULL: this one has all of it. Kept */
    int devices_per_rank;   /* of each process, with a world */
};

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

struct tw_request {
    uint64_t id;
    const int32_t *prompt; /* [n_prompt], borrowed until the request is finished; every id is in [0, vocab) */
    size_t n_prompt;
    size_t max_tokens; /* 0: compute the prompt only */
    struct tw_sample_params sampling;
    const int32_t *stop; /* [n_stop] further end tokens, borrowed like prompt */
    size_t n_stop;
    bool ignore_eos; /* the model's own end tokens do not end it (stop still does) */
    bool capture;    /* deliver the rows of the run's sites */
    bool logits;     /* deliver the logits of every prompt position */
};

enum tw_finish { TW_FINISH_STOP, TW_FINISH_LENGTH, TW_FINISH_ERROR, TW_FINISH_CANCELLED };

struct tw_result {
    uint64_t id;
    enum tw_finish finish;
    const int32_t *tokens; /* [n_tokens] generated, an end token included; borrowed during the call */
    const float *logprobs, *entropies, *varentropies; /* [n_tokens] */
    size_t n_tokens, n_prompt;
    const struct trawl_error *error; /* TW_FINISH_ERROR: why */
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
    /* One generated token, as it comes; false ends the answer with it (TW_FINISH_STOP). */
    bool (*token)(void *user, uint64_t id, int32_t token, float logprob);
    trawl_status (*finished)(void *user, const struct tw_result *result, struct trawl_error *err);
    /* The run ends early (a replica failed): a `pull` that waits, and every later one, returns END. */
    void (*stop)(void *user);
};

/* Run until `work` is at its end, on the caller's thread and those of the other replicas. `sites` are
 * captured for requests that ask. TRAWL_ERR_CANCELLED after tw_engine_cancel: requests that were under way
 * are reported as cancelled. A request that can never run (longer than max_model_len or than the KV cache)
 * is finished with TW_FINISH_ERROR and the numbers; others go on. */
trawl_status tw_engine_run(struct tw_engine *engine, const struct tw_work *work, const struct tw_site *sites,
                           size_t n_sites, struct trawl_error *err);

/* Tokens computed by the run under way (or the last one), readable from any thread while it runs. */
void tw_engine_progress(const struct tw_engine *engine, uint64_t *prompt_tokens, uint64_t *generated_tokens);

/* Stop a run after its current step, and every later one until tw_engine_resume; async-signal-safe. */
void tw_engine_cancel(struct tw_engine *engine);
void tw_engine_resume(struct tw_engine *engine);

#endif /* TW_ENGINE_ENGINE_H */
