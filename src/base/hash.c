/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <stdio.h>

#define XXH_STATIC_LINKING_ONLY /* the state's size, so that it comes from our allocator */
#include <xxhash.h>

#include "base/alloc.h"

struct tw_hash {
    XXH3_state_t state;
};

uint64_t tw_hash64(const void *data, size_t n)
{
    return XXH3_64bits(n == 0 ? "" : data, n);
}

trawl_status tw_hash_new(struct tw_hash **out, struct trawl_error *err)
{
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    (void)XXH3_64bits_reset(&(*out)->state); /* fails on NULL only */
    return TRAWL_OK;
}

void tw_hash_update(struct tw_hash *h, const void *data, size_t n)
{
    if (n > 0) {
        (void)XXH3_64bits_update(&h->state, data, n);
    }
}

uint64_t tw_hash_value(const struct tw_hash *h)
{
    return XXH3_64bits_digest(&h->state);
}

void tw_hash_free(struct tw_hash *h)
{
    tw_free(h);
}

void tw_hash_hex(uint64_t value, char out[17])
{
    (void)snprintf(out, 17, "%016llx", (unsigned long long)value);
}
