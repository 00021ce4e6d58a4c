/* SPDX-License-Identifier: MIT */
/* The header reader on any bytes; of what it accepts, every tensor byte must be readable. More seeds: what
 * `tests/golden/check_formats.py make` writes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "formats/formats_safetensors_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_safetensors_header header;
    struct trawl_error err;
    if (tw_safetensors_header_read(&header, data, size, "fuzz", &err) != TRAWL_OK) {
        if (memchr(err.message, '\0', sizeof err.message) == NULL || err.message[0] == '\0') {
            __builtin_trap();
        }
        return 0;
    }
    size_t total = 0;
    for (size_t i = 0; i < header.n_tensors; i++) {
        const struct tw_safetensors_tensor *t = &header.tensors[i];
        volatile uint8_t sink;
        for (size_t k = 0; k < t->bytes; k++) {
            sink = t->data[k];
        }
        (void)sink;
        total += t->bytes;
    }
    if (total > size) {
        __builtin_trap();
    }
    tw_safetensors_header_release(&header);
    return 0;
}
