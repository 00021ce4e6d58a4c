/* SPDX-License-Identifier: MIT */
/* The only door to the heap. Everything that allocates returns a status, so that running out of
 * memory is an error like any other. Memory from these is freed with tw_free (big: tw_big_free). */
#ifndef TW_BASE_ALLOC_H
#define TW_BASE_ALLOC_H

#include <stddef.h>

#include "base/error.h"

/* `n` elements of `size` bytes, zeroed, 64-byte aligned. n == 0 gives a valid pointer. Sets *out to
 * NULL on failure. */
trawl_status tw_alloc(size_t n, size_t size, void *out_pointer, struct trawl_error *err);

/* Grow an array so that it holds at least `need` elements; doubles, keeps the content, new bytes are
 * not initialised. `*array` and `*capacity` (elements) are updated together or not at all. */
trawl_status tw_grow(void *array_pointer, size_t *capacity, size_t need, size_t size,
                     struct trawl_error *err);

void tw_free(void *p);

/* Copies of strings, NUL terminated. */
trawl_status tw_strdup(const char *s, char **out, struct trawl_error *err);
trawl_status tw_strndup(const char *s, size_t n, char **out, struct trawl_error *err);

/* Page-aligned zeroed memory for weights, KV pages and step buffers, asked of the system with huge
 * pages where it offers them; pages become resident on first touch. */
trawl_status tw_big_alloc(size_t bytes, void *out_pointer, struct trawl_error *err);
void tw_big_free(void *p, size_t bytes);

/* Heap allocations made by tw_alloc and tw_grow since the process began: a test compares two readings
 * to prove that a steady step allocates nothing. */
size_t tw_alloc_count(void);

#endif /* TW_BASE_ALLOC_H */
