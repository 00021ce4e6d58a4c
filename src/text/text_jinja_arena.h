/* SPDX-License-Identifier: MIT */
/* Memory that is freed all at once: the tree of a template, the values of one rendering. */
#ifndef TW_TEXT_JINJA_ARENA_H
#define TW_TEXT_JINJA_ARENA_H

#include <stddef.h>

#include "base/error.h"

struct tw_arena {
    struct tw_arena_block *last;
    size_t left; /* free bytes of the last block */
    size_t used; /* bytes asked of the heap */
    size_t limit;
};

void tw_arena_init(struct tw_arena *a, size_t limit);
void tw_arena_release(struct tw_arena *a);
/* n elements of `size` bytes, zeroed, aligned to 16; n == 0 gives a valid pointer. */
trawl_status tw_arena_alloc(struct tw_arena *a, size_t n, size_t size, void *out_pointer,
                            struct trawl_error *err);
/* Grow an array of the arena to hold at least `need` elements (the old memory stays with the arena). */
trawl_status tw_arena_grow(struct tw_arena *a, void *array_pointer, size_t n, size_t *capacity, size_t need,
                           size_t size, struct trawl_error *err);

#endif /* TW_TEXT_JINJA_ARENA_H */
