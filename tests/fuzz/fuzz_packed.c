/* SPDX-License-Identifier: MIT */
/* Header, table and codes of packed weights on any bytes; of what is accepted, every weight's bytes must lie in the
 * file, and every plain group must be a group of its panel. Inputs of a full header get the right checksum, or
 * nothing would get past it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/model_packed_codes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *data, size_t size)
{
    struct tw_packed_header h;
    if (size < sizeof h) {
        return;
    }
    memcpy(&h, data, sizeof h);
    h.file_bytes = h.file_bytes % 2 == 0 ? size : h.file_bytes;
    if (h.n_entries <= TW_PACKED_WEIGHTS_MAX) {
        uint64_t table = TW_PACKED_HEADER_BYTES + (uint64_t)TW_PACKED_ENTRY_BYTES * h.n_entries;
        h.head_bytes   = (table + TW_PACKED_PAGE - 1) / TW_PACKED_PAGE * TW_PACKED_PAGE;
    }
    memcpy(data, &h, sizeof h);
    if (h.head_bytes >= sizeof h && h.head_bytes <= size) {
        h.head_hash = tw_packed_head_hash(data, (size_t)h.head_bytes);
        memcpy(data, &h, sizeof h);
    }
}

/* What a matmul reads of compressed panels. */
static void walk(const uint8_t *data, const struct tw_packed_entry *e)
{
    const struct tw_codes c    = tw_packed_codes(data, e);
    const uint8_t *begin       = data + e->offset;
    volatile uint8_t sink      = 0;
    const uint64_t panel_bytes = tw_compressed_bytes(e->columns);
    for (uint64_t p = 0; p < e->panels; p++) {
        sink = c.upper[p * TW_UPPER_BYTES + TW_UPPER_BYTES - 1];
        for (uint32_t i = c.first[p]; i < c.first[p + 1]; i++) {
            const bool in_order = i == c.first[p] || c.group[i] > c.group[i - 1];
            if (!in_order || ((uint64_t)c.group[i] + 1) * TW_GROUP_BYTES > panel_bytes) {
                __builtin_trap();
            }
            sink = c.plain[(size_t)i * TW_PLAIN_BYTES + TW_PLAIN_BYTES - 1];
        }
    }
    (void)sink;
    if (c.first[e->panels] != e->plain_groups || panel_bytes * e->panels > e->bytes ||
        c.plain < begin + panel_bytes * e->panels) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct tw_packed_header h;
    struct trawl_error err;
    uint8_t *data = malloc(size + 1);
    if (data == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(data, input, size);
    }
    mend(data, size);
    if (tw_packed_check(data, size, "fuzz", &h, &err) != TRAWL_OK) {
        if (memchr(err.message, '\0', sizeof err.message) == NULL || err.message[0] == '\0') {
            __builtin_trap();
        }
        free(data);
        return 0;
    }
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < h.n_entries; i++) {
        struct tw_packed_entry e = tw_packed_entry_at(data, i);
        for (uint64_t k = 0; k < e.bytes; k += 64) {
            sink = data[e.offset + k];
        }
        if (e.bytes > 0) {
            sink = data[e.offset + e.bytes - 1];
        }
        if (tw_packed_is_compressed(&e)) {
            walk(data, &e);
        }
    }
    (void)sink;
    free(data);
    return 0;
}
