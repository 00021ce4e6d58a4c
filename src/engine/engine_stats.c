/* SPDX-License-Identifier: MIT */
/* Counters of a run: a replica counts for itself, the engine adds up what they and other processes tell it. */
#include <string.h>

#include "engine/engine_int.h"

void tw_engine_add_stats(struct tw_engine *e, const struct tw_engine_stats *before,
                         const struct tw_engine_stats *now)
{
    uint64_t a[TW_ENGINE_STATS], b[TW_ENGINE_STATS];
    memcpy(a, before, sizeof a);
    memcpy(b, now, sizeof b);
    for (size_t i = 0; i < TW_ENGINE_STATS; i++) {
        atomic_fetch_add_explicit(&e->stats[i], b[i] - a[i], memory_order_relaxed); /* wraps when it sinks */
    }
}

/* Positions of held pages that hold nothing after this step: behind the end of what a branch has computed. */
static uint64_t empty_positions(const struct tw_replica *r)
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->n_running; i++) {
        const struct tw_group *g = r->groups[i];
        for (size_t j = 0; j < g->width; j++) {
            n += g->branches[j].n_pages * TW_KV_BLOCK - g->branches[j].n_computed - g->branches[j].n_rows;
        }
    }
    return n;
}

void tw_replica_count_step(struct tw_replica *r)
{
    r->stats.steps++;
    r->stats.computed_tokens += r->step.n_rows;
    r->stats.held_positions += tw_kv_pages_held(&r->pages) * TW_KV_BLOCK;
    r->stats.empty_positions += empty_positions(r);
}

void tw_replica_tell(struct tw_replica *r)
{
    struct tw_engine_stats *s = &r->stats;
    s->running                = r->n_running;
    s->preempted              = r->n_groups - r->n_running;
    s->queued                 = r->has_held ? 1 : 0;
    s->evicted_pages          = r->prefix.evicted;
    s->pages                  = r->pages.n_pages;
    s->held_pages             = tw_kv_pages_held(&r->pages);
    s->idle_pages             = r->pages.n_idle;
    s->peak_pages             = r->pages.peak;
    tw_engine_add_stats(r->engine, &r->told, s);
    r->told = *s;
}

void tw_engine_stats(const struct tw_engine *e, struct tw_engine_stats *stats)
{
    uint64_t all[TW_ENGINE_STATS];
    for (size_t i = 0; i < TW_ENGINE_STATS; i++) {
        all[i] = atomic_load_explicit(&e->stats[i], memory_order_relaxed);
    }
    memcpy(stats, all, sizeof all);
}
