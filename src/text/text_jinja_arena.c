/* SPDX-License-Identifier: MIT */
#include "text/text_jinja_arena.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

enum { BLOCK_BYTES = 16 * 1024, ARENA_ALIGNMENT = 16 };

struct tw_arena_block {
    struct tw_arena_block *previous;
    size_t size; /* bytes after the header */
};

void tw_arena_init(struct tw_arena *a, size_t limit)
{
    *a = (struct tw_arena){.limit = limit};
}

void tw_arena_release(struct tw_arena *a)
{
    for (struct tw_arena_block *b = a->last; b != NULL;) {
        struct tw_arena_block *previous = b->previous;
        tw_free(b);
        b = previous;
    }
    *a = (struct tw_arena){.limit = a->limit};
}

static trawl_status new_block(struct tw_arena *a, size_t bytes, struct trawl_error *err)
{
    size_t size = tw_max_size(bytes, BLOCK_BYTES - sizeof(struct tw_arena_block));
    if (size > a->limit - tw_min_size(a->used, a->limit)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "more than %zu bytes of memory needed", a->limit);
    }
    struct tw_arena_block *b = NULL;
    TW_TRY(tw_alloc(sizeof *b + size, 1, &b, err));
    *b      = (struct tw_arena_block){a->last, size};
    a->last = b;
    a->left = size;
    a->used += sizeof *b + size;
    return TRAWL_OK;
}

trawl_status tw_arena_alloc(struct tw_arena *a, size_t n, size_t size, void *out_pointer,
                            struct trawl_error *err)
{
    size_t bytes = 0;
    if (!tw_size_mul(n, size, &bytes) || bytes > a->limit) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "more than %zu bytes of memory needed", a->limit);
    }
    bytes = tw_round_up(bytes == 0 ? 1 : bytes, ARENA_ALIGNMENT);
    if (bytes > a->left) {
        TW_TRY(new_block(a, bytes, err));
    }
    void *p = (char *)(a->last + 1) + (a->last->size - a->left);
    a->left -= bytes;
    memcpy(out_pointer, &p, sizeof p);
    return TRAWL_OK;
}

trawl_status tw_arena_grow(struct tw_arena *a, void *array_pointer, size_t n, size_t *capacity, size_t need,
                           size_t size, struct trawl_error *err)
{
    if (need <= *capacity) {
        return TRAWL_OK;
    }
    size_t want = tw_max_size(need, *capacity < 8 ? 8 : 2 * *capacity);
    void *fresh = NULL;
    void *old   = NULL;
    TW_TRY(tw_arena_alloc(a, want, size, &fresh, err));
    memcpy(&old, array_pointer, sizeof old);
    if (n > 0) {
        memcpy(fresh, old, n * size);
    }
    memcpy(array_pointer, &fresh, sizeof fresh);
    *capacity = want;
    return TRAWL_OK;
}
