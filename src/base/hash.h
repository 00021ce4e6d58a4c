/* SPDX-License-Identifier: MIT */
/* XXH3, 64 bits: checksums of chunks and fingerprints of runs. Not for anything an enemy may forge. */
#ifndef TW_BASE_HASH_H
#define TW_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

uint64_t tw_hash64(const void *data, size_t n);

/* Streaming form; the same value as tw_hash64 over the joined bytes. */
struct tw_hash;
trawl_status tw_hash_new(struct tw_hash **out, struct trawl_error *err);
void tw_hash_update(struct tw_hash *h, const void *data, size_t n);
uint64_t tw_hash_value(const struct tw_hash *h);
void tw_hash_free(struct tw_hash *h);

/* 16 lower-case hexadecimal digits and a NUL. */
void tw_hash_hex(uint64_t value, char out[17]);

#endif /* TW_BASE_HASH_H */
