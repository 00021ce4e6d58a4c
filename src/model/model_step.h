/* SPDX-License-Identifier: MIT */
/* One step of work for a replica: rows (tokens) of any number of sequences, without padding. The scheduler
 * fills it, every device of the replica reads it. */
#ifndef TW_MODEL_STEP_H
#define TW_MODEL_STEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "model/model_site.h"

/* Consecutive tokens of one sequence. Without a mask a row sees the positions up to its own. With one, only
 * pages of the listed blocks are named: those that a row sees something of, and, last, those of the segment's
 * own positions. A row may see later positions, of this segment. */
struct tw_segment {
    size_t row;            /* first row in the step */
    size_t n_rows;         /* >= 1 */
    size_t position;       /* of the first row in its sequence */
    const uint32_t *pages; /* KV pages of positions 0 .. position + n_rows - 1, or [n_blocks] */
    /* The mask, as in kernels/kernels.h: */
    const uint64_t *visible; /* [n_rows][n_blocks], or NULL: causal */
    const uint32_t *blocks;  /* [n_blocks] ascending */
    size_t n_blocks;
    /* What is wanted of its attention besides its outputs (struct tw_step_attention): */
    bool entropies, masses;
    size_t first_mass; /* with masses: its first block's */
};

/* Page of one of the segment's own positions. */
static inline uint32_t tw_segment_page(const struct tw_segment *s, size_t position)
{
    size_t block = position / TW_KV_BLOCK;
    if (s->visible == NULL) {
        return s->pages[block];
    }
    return s->pages[s->n_blocks - 1 - (s->blocks[s->n_blocks - 1] - block)];
}

/* Row i of a segment as a segment of its own whose row in the step is `row`. */
static inline struct tw_segment tw_segment_row(const struct tw_segment *s, size_t i, size_t row)
{
    struct tw_segment one = *s;
    one.row               = row;
    one.n_rows            = 1;
    one.position          = s->position + i;
    one.visible           = s->visible == NULL ? NULL : s->visible + i * s->n_blocks;
    return one;
}

/* Entries of a segment's page list: of its blocks. */
static inline size_t tw_segment_pages(const struct tw_segment *s)
{
    return s->n_blocks > 0 ? s->n_blocks : (s->position + s->n_rows - 1) / TW_KV_BLOCK + 1;
}

/* Where segments that ask for it looked, by statistics of the attention probabilities of every layer and query
 * head. All devices write into the same memory: entropies of their own heads, and sums of integers, which are
 * the same in any order. */
enum { TW_MASS_BITS = 24 };
struct tw_step_attention {
    bool wanted; /* by any segment */
    /* [n_logit_rows, n_layers, n_heads] entropy in nats, of the logit rows of segments that ask. */
    float *entropies;
    /* [n_masses] added to: the probability that the segment's rows gave to the keys of a block, summed over its
     * rows, layers and heads; each addend is a multiple of 2^-TW_MASS_BITS. */
    _Atomic uint64_t *masses;
    size_t n_masses;
};

/* A site to capture; all devices write their columns into `rows`. */
struct tw_capture {
    struct tw_site site;
    size_t width;
    float *rows; /* [step rows, width] */
};

/* A KV page whose content is wanted in another one, before anything is stored. */
struct tw_page_copy {
    uint32_t from, to;
};

struct tw_step {
    size_t n_copies;
    const struct tw_page_copy *copies; /* made in this order */
    size_t n_rows;
    const int32_t *tokens;       /* [n_rows] */
    const uint32_t *row_segment; /* [n_rows] index into segments */
    size_t n_segments;
    struct tw_segment *segments; /* in row order, covering all rows */
    size_t n_logit_rows;
    const uint32_t *logit_rows; /* ascending rows whose logits are wanted */
    float *logits;              /* [n_logit_rows, vocab] */
    size_t n_captures;
    struct tw_capture *captures;
    struct tw_step_attention attention;
    /* Only captures are wanted: layers above the deepest site are left out, their keys and values too. */
    bool shallow;
};

#endif /* TW_MODEL_STEP_H */
