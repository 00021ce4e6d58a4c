/* SPDX-License-Identifier: MIT */
/* The engine behind the public handle. */
#ifndef TW_API_ENGINE_H
#define TW_API_ENGINE_H

#include "engine/engine.h"
#include "trawl/engine.h"

struct trawl_engine {
    struct tw_engine *engine;
    bool has_job; /* one job at a time: it owns the replicas */
};

enum tw_dtype tw_api_dtype(enum trawl_dtype dtype);

#endif /* TW_API_ENGINE_H */
