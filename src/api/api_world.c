/* SPDX-License-Identifier: MIT */
#include "api/api_world.h"

#include "api/api_engine.h"
#include "base/alloc.h"

bool trawl_world_launched(void)
{
    return tw_world_launched();
}

trawl_status trawl_world_transport(char *text, size_t size, struct trawl_error *err)
{
    return tw_world_transport(text, size, err);
}

trawl_status trawl_world_open(trawl_world **out, struct trawl_error *err)
{
    trawl_world *w = NULL;
    *out           = NULL;
    TW_TRY(tw_alloc(1, sizeof *w, &w, err));
    trawl_status status = tw_world_open(&w->world, err);
    if (status != TRAWL_OK) {
        tw_free(w);
        return status;
    }
    *out = w;
    return TRAWL_OK;
}

int trawl_world_rank(const trawl_world *world)
{
    return world->world->all->rank;
}

int trawl_world_size(const trawl_world *world)
{
    return world->world->all->size;
}

trawl_status trawl_world_serve(trawl_world *world, const struct trawl_engine_config *config,
                               struct trawl_error *err)
{
    trawl_status first = TRAWL_OK;
    struct trawl_error why;
    for (;;) {
        struct tw_world_call call;
        TW_TRY(tw_world_listen(world->world, &call, err));
        if (call.command != TW_WORLD_OPEN) {
            return first;
        }
        trawl_engine *engine = NULL;
        trawl_status status  = trawl_engine_open(config, &engine, &why);
        if (status == TRAWL_OK) {
            status = tw_engine_serve(engine->engine, &why);
        }
        trawl_engine_close(&engine);
        if (first == TRAWL_OK && status != TRAWL_OK) {
            first = status;
            if (err != NULL) {
                *err = why;
            }
        }
        TW_TRY(tw_wire_check(world->world->wire, err));
    }
}

void trawl_world_fail(trawl_world *world, const struct trawl_error *cause)
{
    tw_comm_abort(world->world->all, cause);
}

bool trawl_world_learnt(const trawl_world *world)
{
    return world->world->wire->learnt;
}

void trawl_world_close(trawl_world **world)
{
    if (*world != NULL) {
        tw_world_close((*world)->world);
        tw_free(*world);
        *world = NULL;
    }
}
