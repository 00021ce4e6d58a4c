/* SPDX-License-Identifier: MIT */
/* The engine behind the public handle. */
#ifndef TW_API_ENGINE_H
#define TW_API_ENGINE_H

#include <pthread.h>

#include "engine/engine.h"
#include "trawl/engine.h"

struct trawl_engine {
    struct tw_engine *engine;
    pthread_mutex_t lock; /* of what follows; a session that computes holds it */
    bool has_job;         /* one job at a time: it owns the replicas */
    size_t n_sessions;    /* open ones */
};

/* A job has the engine to itself: TRAWL_ERR_INVALID while another job or a session is open. */
trawl_status tw_api_claim_job(trawl_engine *engine, struct trawl_error *err);
void tw_api_release_job(trawl_engine *engine);

enum tw_dtype tw_api_dtype(enum trawl_dtype dtype);

#endif /* TW_API_ENGINE_H */
