/* SPDX-License-Identifier: MIT */
/* The world behind the public handle. */
#ifndef TW_API_WORLD_H
#define TW_API_WORLD_H

#include "engine/engine_world.h"
#include "trawl/world.h"

struct trawl_world {
    struct tw_world *world;
};

#endif /* TW_API_WORLD_H */
