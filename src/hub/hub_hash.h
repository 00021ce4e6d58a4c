/* SPDX-License-Identifier: MIT */
/* The two hashes that name blobs: SHA-256 of the content, and SHA-1 as git computes it, of "blob <size>", a NUL and the
 * content. SHA-1 finds what went wrong on the way; it is no defence against a hub that means harm. */
#ifndef TW_HUB_HASH_H
#define TW_HUB_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "hub/hub_listing.h"

struct tw_hub_hash; /* of bytes in order */

/* Of a content of `size` bytes that is to have the hash `expected` (its length says which). */
trawl_status tw_hub_hash_new(const char *expected, uint64_t size, struct tw_hub_hash **out,
                             struct trawl_error *err);
/* Back to the beginning. */
trawl_status tw_hub_hash_reset(struct tw_hub_hash *h, struct trawl_error *err);
trawl_status tw_hub_hash_add(struct tw_hub_hash *h, const void *data, size_t n, struct trawl_error *err);
/* Bytes so far. */
uint64_t tw_hub_hash_bytes(const struct tw_hub_hash *h);
/* Ends it: hexadecimal digits. Reset begins another. */
trawl_status tw_hub_hash_end(struct tw_hub_hash *h, char out[TW_HUB_HASH_BYTES], struct trawl_error *err);
void tw_hub_hash_free(struct tw_hub_hash *h); /* NULL is allowed */

#endif /* TW_HUB_HASH_H */
