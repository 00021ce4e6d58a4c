/* SPDX-License-Identifier: MIT */
/* Which positions a row of a request sees, as settings of the request and, once a step, as bits.
 * Arithmetic on positions only; the scheduler's thread. docs/masks.md says what users see of it. */
#ifndef TW_ENGINE_MASK_H
#define TW_ENGINE_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model_step.h"

enum tw_mask_kind {
    TW_MASK_CAUSAL,
    TW_MASK_PREFIX, /* positions below `prefix` see each other, whichever comes first; the rest is causal */
    TW_MASK_WINDOW, /* the first `sinks` positions and the last `window`, a row's own included; none later */
    TW_MASK_BLOCK_DIAGONAL, /* the prompt is documents one after another: each has positions from 0 and sees
                               itself only, causally; what is generated belongs to the last one */
    TW_MASK_MATRIX, /* prompt rows see what `rows` says; a generated one the prompt, or what a row n_prompt
                      says of it, and what was generated before it */
    TW_MASK_HEAVY /* causal over the pages that are left: those of the first `sinks` positions, those of the last
                     `window`, and of those between them the `heavy` ones that most attention went to. Nothing that
                     a caller gives as a mask: what pruning does */
};

struct tw_mask {
    enum tw_mask_kind kind;
    bool prune; /* WINDOW, and always HEAVY: pages that no row will see again are given back */
    size_t prefix, sinks, window;
    size_t heavy;            /* HEAVY: pages, at least 1 */
    const uint32_t *lengths; /* BLOCK_DIAGONAL: [n_lengths] tokens of each document, together n_prompt */
    size_t n_lengths;
    const uint64_t
        *rows;     /* MATRIX: [n_rows][ceil(n_prompt / 64)], bit k % 64 of word k / 64: sees position k; bits
                             from n_prompt on are 0 */
    size_t n_rows; /* n_prompt or n_prompt + 1 */
};

/* Bytes of lengths and rows, for copies. */
size_t tw_mask_lengths_bytes(const struct tw_mask *m);
size_t tw_mask_rows_bytes(const struct tw_mask *m, size_t n_prompt);

/* Why a request of n_prompt tokens cannot have this mask, if so; `together`: rows of a prompt that one
 * step can be sure to hold. Rows that look ahead need the positions that they see in their own step. */
trawl_status tw_mask_check(const struct tw_mask *m, size_t n_prompt, size_t together,
                           struct trawl_error *err);

/* The last step end in (from, from + n], such that no row before it sees a position from it on; `from`
 * when there is none. */
size_t tw_mask_cut(const struct tw_mask *m, size_t n_prompt, size_t from, size_t n);

/* ---- where positions are kept: a document of its own begins a page ---- */

/* Place of a position among those of the sequence's pages: 64 * index of the page + slot in it. */
size_t tw_mask_place(const struct tw_mask *m, size_t position);
/* Pages that hold positions [0, n), and most of them that are held at a time when steps add up to `chunk`. */
size_t tw_mask_pages(const struct tw_mask *m, size_t n);
size_t tw_mask_pages_held(const struct tw_mask *m, size_t n, size_t chunk);
/* Pages [*begin, *end) hold nothing that rows from `position` on see; *begin does not depend on it. */
void tw_mask_passed(const struct tw_mask *m, size_t position, size_t *begin, size_t *end);
/* HEAVY: before the row at `position`, a multiple of 64, no more than `heavy` of the pages [*begin, *end) are kept.
 * Of other kinds, and elsewhere, there are none. tw_mask_cut ends a step where a page may have to go. */
void tw_mask_contested(const struct tw_mask *m, size_t position, size_t *begin, size_t *end);

/* ---- a step's masks ---- */

/* What the segments of a step point to; kept from step to step. */
struct tw_step_masks {
    uint64_t *visible;
    size_t n_visible, visible_capacity;
    uint32_t *blocks; /* n_blocks of each segment with a mask, one after another */
    uint32_t *pages;  /* of these blocks */
    size_t n_blocks, blocks_capacity, pages_capacity;
};

void tw_step_masks_release(struct tw_step_masks *s);
void tw_step_masks_clear(struct tw_step_masks *s);

/* Segments for positions [from, from + n) of a sequence with these pages, into segments[*n_segments ...]:
 * one, or one for each document. A page that was given back is TW_KV_NO_PAGE. `row`: the first one's in the step. Where bits are needed n_blocks is set
 * and the pointers are still to come. */
trawl_status tw_step_masks_add(struct tw_step_masks *s, const struct tw_mask *m, size_t n_prompt,
                               const uint32_t *pages, size_t from, size_t n, size_t row,
                               struct tw_segment *segments, size_t *n_segments, struct trawl_error *err);
/* After the last one: the pointers of all segments that have n_blocks; `pages` where it is NULL. */
void tw_step_masks_point(const struct tw_step_masks *s, struct tw_segment *segments, size_t n_segments);

#endif /* TW_ENGINE_MASK_H */
