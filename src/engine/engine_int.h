/* SPDX-License-Identifier: MIT */
/* Shared by the engine's own files. */
#ifndef TW_ENGINE_ENGINE_INT_H
#define TW_ENGINE_ENGINE_INT_H

#include <stdatomic.h>

#include "base/thread.h"
#include "engine/engine.h"
#include "engine/engine_peers.h"
#include "engine/engine_place.h"
#include "engine/engine_world.h"
#include "kv/kv_pages.h"
#include "model/model_device.h"

/* A request under way. */
struct tw_sequence {
    struct tw_request request;
    bool active;
    int32_t *tokens;                            /* prompt, then what was generated; [n_prompt + max_tokens] */
    size_t n_tokens;                            /* known */
    size_t n_computed;                          /* positions whose keys and values are cached */
    float *logprobs, *entropies, *varentropies; /* of generated tokens */
    uint32_t *pages;
    size_t n_pages;
    /* Its rows in the current step. */
    size_t row, n_rows, n_logit_rows, logit_row;
};

struct tw_replica {
    struct tw_engine *engine;
    int index;
    struct tw_device *devices;   /* [place.n_devices] of this process */
    struct tw_sampler *samplers; /* [n_devices * threads] */
    struct tw_team *team;        /* n_devices * threads threads */
    struct tw_peers peers;       /* processes with its other devices */
    struct tw_kv_pages pages;
    struct tw_sequence *sequences; /* [batch_size] */
    size_t *order;                 /* [batch_size] active slots, oldest first */
    size_t n_active;
    float *logits; /* [max_logit_rows, vocab] */
    size_t max_logit_rows, logits_bytes;

    /* The step, built anew each time in the same memory. */
    struct tw_step step;
    int32_t *tokens;                  /* [max_rows] */
    uint32_t *row_segment;            /* [max_rows] */
    struct tw_segment *segments;      /* [batch_size] */
    uint32_t *logit_rows;             /* [max_logit_rows] */
    struct tw_sequence **logit_owner; /* [max_logit_rows] */
    struct tw_sampled *sampled;       /* [max_logit_rows] */
    float *next_logprob;              /* [max_logit_rows] */
    size_t max_rows;
    _Atomic uint32_t next_sample;
    trawl_status collected;      /* of the step's columns from other processes */
    struct tw_capture *captures; /* [n_sites] of the run */
    size_t n_sites;
    void *capture_rows;
    size_t capture_bytes;

    const struct tw_work *work;
    struct trawl_error error;
    trawl_status status;
};

struct tw_engine {
    struct tw_engine_config config;
    struct tw_kernels kernels;
    struct tw_model *model;
    struct tw_place place;
    struct tw_replica *replicas; /* [place.n_replicas] */
    atomic_bool cancelled;
    atomic_bool failed;                               /* a replica failed: the others stop */
    _Atomic uint64_t prompt_tokens, generated_tokens; /* of the run */
};

trawl_status tw_replica_init(struct tw_replica *r, struct tw_engine *engine, int index,
                             struct trawl_error *err);
void tw_replica_release(struct tw_replica *r);
/* Memory for the run's sites. */
trawl_status tw_replica_begin(struct tw_replica *r, const struct tw_work *work, const struct tw_site *sites,
                              size_t n_sites, struct trawl_error *err);
void tw_replica_end(struct tw_replica *r);
/* The loop: until the work ends. r->status and r->error tell how it went. */
void tw_replica_loop(struct tw_replica *r);
/* The same where the replica's head is another process: until the head says that it has ended. */
void tw_replica_follow(struct tw_replica *r);

/* Everything that differs between processes and must not, as lines for tw_world_compare; in engine_facts.c.
 * */
trawl_status tw_engine_compare_settings(const struct tw_engine *e, struct trawl_error *err);
trawl_status tw_engine_compare_model(const struct tw_engine *e, struct trawl_error *err);

/* Fill r->step from the active sequences: decoding ones first, then prompt chunks, oldest first. */
void tw_replica_build_step(struct tw_replica *r);

trawl_status tw_sequence_begin(struct tw_sequence *s, const struct tw_request *request,
                               struct tw_kv_pages *pages, struct trawl_error *err);
void tw_sequence_end(struct tw_sequence *s, struct tw_kv_pages *pages);

#endif /* TW_ENGINE_ENGINE_INT_H */
