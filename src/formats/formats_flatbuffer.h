/* SPDX-License-Identifier: MIT */
/* FlatBuffers written from front to back: what refers to something is laid out first and told later where that is.
 * Positions are offsets from the beginning of the buffer. */
#ifndef TW_FORMATS_FLATBUFFER_H
#define TW_FORMATS_FLATBUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { TW_FLATBUFFER_FIELDS = 8 };

/* The first failure is kept; what is made after it means nothing. */
struct tw_flatbuffer {
    struct tw_str bytes;
    trawl_status status;
    struct trawl_error error;
};

/* Begins with the reference to the root table, at position 0. */
void tw_flatbuffer_init(struct tw_flatbuffer *b);
void tw_flatbuffer_release(struct tw_flatbuffer *b);

/* A table of n fields of so many bytes each (1, 2, 4 or 8; 0: absent), all zero. fields[i] is where field i lies. */
size_t tw_flatbuffer_table(struct tw_flatbuffer *b, const uint8_t *sizes, size_t n,
                           size_t fields[TW_FLATBUFFER_FIELDS]);
/* A vector of n elements of so many bytes, all zero; element 0 lies 4 bytes behind what is returned. */
size_t tw_flatbuffer_vector(struct tw_flatbuffer *b, size_t n, size_t size);
size_t tw_flatbuffer_string(struct tw_flatbuffer *b, const char *text);

/* A number of so many bytes. */
void tw_flatbuffer_set(struct tw_flatbuffer *b, size_t at, uint64_t value, size_t bytes);
/* Let the reference at `at` lead to a table, vector or string that lies behind it. */
void tw_flatbuffer_refer(struct tw_flatbuffer *b, size_t at, size_t target);

/* Zeros up to a multiple of 8; the first failure of all calls. */
trawl_status tw_flatbuffer_finish(struct tw_flatbuffer *b, struct trawl_error *err);

#endif /* TW_FORMATS_FLATBUFFER_H */
