/* SPDX-License-Identifier: MIT */
#include "formats/formats_flatbuffer.h"

#include <string.h>

#include "base/size.h"

static void put(struct tw_flatbuffer *b, const void *data, size_t n)
{
    if (b->status == TRAWL_OK) {
        b->status = tw_str_append(&b->bytes, data, n, &b->error);
    }
}

static void zeros(struct tw_flatbuffer *b, size_t n)
{
    while (b->status == TRAWL_OK && n-- > 0) {
        b->status = tw_str_putc(&b->bytes, '\0', &b->error);
    }
}

/* Zeros until the position is `after` behind a multiple of `unit`. */
static void align(struct tw_flatbuffer *b, size_t unit, size_t after)
{
    zeros(b, (unit + after - b->bytes.size % unit) % unit);
}

void tw_flatbuffer_init(struct tw_flatbuffer *b)
{
    *b = (struct tw_flatbuffer){.status = TRAWL_OK};
    tw_str_init(&b->bytes, 0);
    zeros(b, 4);
}

void tw_flatbuffer_release(struct tw_flatbuffer *b)
{
    tw_str_release(&b->bytes);
}

void tw_flatbuffer_set(struct tw_flatbuffer *b, size_t at, uint64_t value, size_t bytes)
{
    if (b->status == TRAWL_OK) {
        memcpy(b->bytes.data + at, &value, bytes); /* little endian, like the machine */
    }
}

void tw_flatbuffer_refer(struct tw_flatbuffer *b, size_t at, size_t target)
{
    tw_flatbuffer_set(b, at, target - at, 4);
}

/* The vtable comes before its table: its size, the table's size, where each field is; then the table, which begins
 * with the distance back to the vtable. */
size_t tw_flatbuffer_table(struct tw_flatbuffer *b, const uint8_t *sizes, size_t n,
                           size_t fields[TW_FLATBUFFER_FIELDS])
{
    size_t at[TW_FLATBUFFER_FIELDS] = {0}, end = 4, head = 4 + 2 * n;
    TW_BUG_ON(n > TW_FLATBUFFER_FIELDS);
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] > 0) {
            at[i] = tw_round_up(end, sizes[i]);
            end   = at[i] + sizes[i];
        }
    }
    align(b, 8, (8 - head % 8) % 8); /* the table begins at a multiple of 8, so its fields are aligned */
    size_t vtable = b->bytes.size, table = vtable + head;
    zeros(b, head + end);
    tw_flatbuffer_set(b, vtable, head, 2);
    tw_flatbuffer_set(b, vtable + 2, end, 2);
    for (size_t i = 0; i < n; i++) {
        tw_flatbuffer_set(b, vtable + 4 + 2 * i, at[i], 2);
        fields[i] = table + at[i];
    }
    tw_flatbuffer_set(b, table, head, 4);
    return table;
}

size_t tw_flatbuffer_vector(struct tw_flatbuffer *b, size_t n, size_t size)
{
    align(b, 8, 4); /* elements of up to 8 bytes */
    size_t vector = b->bytes.size;
    zeros(b, 4 + n * size);
    tw_flatbuffer_set(b, vector, n, 4);
    return vector;
}

size_t tw_flatbuffer_string(struct tw_flatbuffer *b, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    align(b, 4, 0);
    size_t string = b->bytes.size;
    put(b, &n, sizeof n);
    put(b, text, (size_t)n + 1);
    return string;
}

trawl_status tw_flatbuffer_finish(struct tw_flatbuffer *b, struct trawl_error *err)
{
    align(b, 8, 0);
    if (b->status != TRAWL_OK && err != NULL) {
        *err = b->error;
    }
    return b->status;
}
