/* SPDX-License-Identifier: MIT */
/* The reader of the store's pickles, on any bytes. What is accepted lies inside the input; what is refused
 * says why. Seeds: corpus/acts_pickle, by tests/golden/make_pickles.py. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/store_pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_pickle_reader r = {.data = data, .n = size, .what = "fuzz"};
    struct tw_pickle_entry e;
    struct trawl_error err = {0};
    bool more              = true;
    while (more) {
        if (tw_pickle_next(&r, &e, &more, &err) != TRAWL_OK) {
            check(err.message[0] != '\0');
            return 0;
        }
        if (more) {
            size_t bytes = e.n_rows * e.width * sizeof(float);
            check(e.rows >= data && bytes <= size && e.rows + bytes <= data + size);
            check(e.task_id >= (const char *)data && e.task_id + e.task_id_size <= (const char *)data + size);
        }
    }
    return 0;
}
