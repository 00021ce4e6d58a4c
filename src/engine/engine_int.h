/* SPDX-License-Identifier: MIT */
/* Shared by the engine's own files. */
#ifndef TW_ENGINE_ENGINE_INT_H
#define TW_ENGINE_ENGINE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "engine/engine.h"
#include "engine/engine_attention.h"
#include "engine/engine_group.h"
#include "engine/engine_limits.h"
#include "engine/engine_peers.h"
#include "engine/engine_place.h"
#include "engine/engine_world.h"
#include "kv/kv_prefix.h"
#include "model/model_device.h"

/* Most rows of guesses in a step, on any machine: processes with other kernels have room for the head's. Even. */
enum { TW_DRAFT_ROWS = 32 };

struct tw_replica {
    struct tw_engine *engine;
    int index;
    struct tw_device *devices;   /* [place.n_devices] of this process */
    struct tw_sampler *samplers; /* [n_devices * threads] */
    struct tw_team *team;        /* n_devices * threads threads */
    struct tw_peers peers;       /* processes with its other devices */
    struct tw_kv_pages pages;
    struct tw_kv_prefix prefix; /* what is in them */
    struct tw_group **groups;   /* [batch_size] requests under way, oldest first */
    size_t n_groups;
    size_t n_running;       /* the first of them; the others are preempted */
    size_t n_slots;         /* of the batch, taken by them */
    struct tw_request held; /* pulled, but there was no room yet */
    bool has_held;
    float *logits; /* [max_logit_rows, vocab] */
    size_t max_logit_rows, logits_bytes;

    /* The step, built anew each time in the same memory. */
    struct tw_step step;
    int32_t *tokens;             /* [max_rows] */
    uint32_t *row_segment;       /* [max_rows] */
    struct tw_segment *segments; /* [max_rows] */
    struct tw_step_masks masks;  /* what these point to */
    struct tw_attention attention;
    struct tw_page_copies copies;
    uint32_t *logit_rows;             /* [max_logit_rows] */
    struct tw_sequence **logit_owner; /* [max_logit_rows] */
    struct tw_sampled *sampled;       /* [max_logit_rows] */
    float *next_logprob;              /* [max_logit_rows] */
    size_t max_rows;
    struct tw_constraint_cache constraints;
    _Atomic uint32_t next_sample;
    struct tw_engine_stats stats, told; /* of the run so far; as far as the engine knows */
    trawl_status collected;             /* of the step's columns from other processes */
    struct tw_capture *captures;        /* [n_sites] of the run */
    size_t n_sites, depth;              /* layers that the sites need */
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
    _Atomic uint64_t stats[TW_ENGINE_STATS]; /* of the run, all replicas; the two above are not in it */
    bool kv_automatic;                       /* the size of the KV cache was left to us */
    pthread_mutex_t vocabulary_lock;
    struct tw_vocabulary vocabulary; /* with the lock until it is there; then it never changes */
};

trawl_status tw_replica_init(struct tw_replica *r, struct tw_engine *engine, int index,
                             struct trawl_error *err);
/* Its devices, and their handles on each other. All processes of the replica call this, when they have agreed
 * that all are initialised: who fails before has nobody waiting for it. */
trawl_status tw_replica_connect(struct tw_replica *r, struct trawl_error *err);
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

/* engine_admit.c: take requests while there is room. False at the end of the work with nothing left to do, or
 * when r->status says that it failed. */
bool tw_replica_admit(struct tw_replica *r);
/* A group that has reported its result: everything it had is given back. */
void tw_replica_dismiss(struct tw_replica *r, size_t group);

/* The youngest running group gives up its pages. */
void tw_replica_preempt(struct tw_replica *r);

/* Somebody has cancelled it: nothing more is taken of it, and it ends before the next step. */
static inline bool tw_request_cancelled(const struct tw_request *q)
{
    return q->cancelled != NULL && atomic_load_explicit(q->cancelled, memory_order_relaxed);
}

/* engine_due.c: end the requests that were cancelled or are past their timeout, with what they have. */
void tw_replica_end_due(struct tw_replica *r);
/* The same for r->held alone: true when it has been ended, and r->status says how that went. */
bool tw_replica_end_held(struct tw_replica *r);
trawl_status tw_replica_check_timeout(const struct tw_request *q, struct trawl_error *err);

/* engine_plan.c: set n_rows of every branch, and reserve the pages for it. */
trawl_status tw_replica_plan(struct tw_replica *r);
/* Is all that is wanted of such a request the rows of the run's sites? Steps of nothing else leave out the
 * layers above the deepest site, so its pages are not whole, and of use to their like only. */
bool tw_replica_is_shallow(const struct tw_replica *r, const struct tw_request *q);
/* Do requests like this use the prefix cache? */
bool tw_replica_shares(const struct tw_replica *r, const struct tw_request *q);
/* ... and which space of it (kv_prefix.h)? */
uint64_t tw_replica_space(const struct tw_replica *r, const struct tw_request *q);
/* Positions at the beginning of a request's prompt of whose rows nothing is wanted. */
size_t tw_replica_unwanted(const struct tw_replica *r, const struct tw_request *q);
/* The first pages of a branch that need not be computed if the cache has them: nothing is wanted of their
 * rows. */
size_t tw_replica_reusable(const struct tw_replica *r, const struct tw_sequence *s);
/* After rows of a branch were computed: its whole pages go into the cache, its prompt is counted. */
void tw_replica_remember(struct tw_replica *r, struct tw_sequence *s);

/* engine_stats.c: r->step has been computed. */
void tw_replica_count_step(struct tw_replica *r);
/* What a replica counted since the last time goes into the engine's counters. */
void tw_replica_tell(struct tw_replica *r);
void tw_engine_add_stats(struct tw_engine *e, const struct tw_engine_stats *before,
                         const struct tw_engine_stats *now);

/* engine_step.c: build a step of what the groups want next, run it, let the groups go on. */
trawl_status tw_replica_step(struct tw_replica *r);
/* r->step as it is, on this process's devices. */
trawl_status tw_replica_prepare(struct tw_replica *r);
trawl_status tw_replica_compute(struct tw_replica *r);

#endif /* TW_ENGINE_ENGINE_INT_H */
