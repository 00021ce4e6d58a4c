/* SPDX-License-Identifier: MIT */
/* How one matmul is cut into units and how threads claim them. A unit is a chunk of row blocks times a
 * group of panels. Units are numbered chunk by chunk, so that consecutive units read consecutive panels.
 *
 * Claims are guided: the i-th claim takes 1/(2 threads) of what the claims before it left, at least one
 * unit. Threads begin with long contiguous runs (what hardware prefetchers and DRAM like) and end with
 * single units (so that a slow core delays the others by one unit at most). What the i-th claim takes
 * follows from i alone, so one shared counter is all the state there is. */
#ifndef TW_KERNELS_WORK_H
#define TW_KERNELS_WORK_H

#include "kernels/kernels.h"

struct tw_work {
    size_t blocks, chunk; /* row blocks in all, and of one chunk */
    size_t panels, group; /* panels in all, and of one group */
    size_t groups;        /* groups of a chunk */
    size_t units;
    size_t claims, begin; /* this thread's replay: claims counted, and where the next of them begins */
};

static inline struct tw_work tw_work_init(size_t blocks, size_t chunk, size_t panels, size_t group)
{
    size_t groups = (panels + group - 1) / group;
    size_t chunks = (blocks + chunk - 1) / chunk;
    return (struct tw_work){.blocks = blocks,
                            .chunk  = chunk,
                            .panels = panels,
                            .group  = group,
                            .groups = groups,
                            .units  = chunks * groups};
}

/* Claim units [*begin, *end); false when none are left. */
static inline bool tw_work_claim(struct tw_work *w, _Atomic uint32_t *next, int n_threads, size_t *begin,
                                 size_t *end)
{
    size_t claim = atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
    for (;;) {
        if (w->begin >= w->units) {
            return false;
        }
        size_t left = w->units - w->begin;
        size_t take = n_threads == 1 ? left : left / (2 * (size_t)n_threads);
        take        = take == 0 ? 1 : take;
        *begin      = w->begin;
        *end        = w->begin + take;
        w->begin    = *end;
        if (w->claims++ == claim) {
            return true;
        }
    }
}

/* The row blocks and panels of a unit. */
struct tw_unit {
    size_t block_begin, block_end, panel_begin, panel_end;
};

static inline struct tw_unit tw_work_unit(const struct tw_work *w, size_t unit)
{
    size_t b = unit / w->groups * w->chunk, p = unit % w->groups * w->group;
    struct tw_unit u = {
        .block_begin = b, .block_end = b + w->chunk, .panel_begin = p, .panel_end = p + w->group};
    u.block_end = u.block_end < w->blocks ? u.block_end : w->blocks;
    u.panel_end = u.panel_end < w->panels ? u.panel_end : w->panels;
    return u;
}

#endif /* TW_KERNELS_WORK_H */
