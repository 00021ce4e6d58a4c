/* SPDX-License-Identifier: MIT */
/* An encoder expression, a newline, then a model's answer. What can be read must survive being written. */
#include <stdlib.h>
#include <string.h>

#include "apps/arc/arc_encoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct tw_arc_encoder *e, const struct tw_arc_grid *grid)
{
    struct tw_str text;
    struct tw_arc_grid back;
    tw_str_init(&text, 0);
    if (tw_arc_encoder_to_text(e, grid, &text, NULL) != TRAWL_OK ||
        tw_arc_encoder_to_grid(e, tw_str_text(&text), text.size, &back, NULL) != TRAWL_OK ||
        !tw_arc_grid_equal(grid, &back)) {
        abort();
    }
    tw_arc_grid_release(&back);
    tw_str_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    char expression[512];
    struct tw_arc_encoder e;
    struct tw_arc_grid grid;
    struct trawl_error err;
    if (end == NULL || (size_t)(end - data) >= sizeof expression) {
        return 0;
    }
    size_t n = (size_t)(end - data);
    memcpy(expression, data, n);
    expression[n] = '\0';
    if (tw_arc_encoder_parse(&e, expression, &err) != TRAWL_OK) {
        return 0;
    }
    if (tw_arc_encoder_to_grid(&e, (const char *)end + 1, size - n - 1, &grid, &err) == TRAWL_OK) {
        check_round_trip(&e, &grid);
        tw_arc_grid_release(&grid);
    }
    return 0;
}
