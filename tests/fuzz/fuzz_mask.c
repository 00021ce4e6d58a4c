/* SPDX-License-Identifier: MIT */
/* A row's attention mask from its JSON to the bits of every step: whatever it says is refused by a sentence, or every
 * row sees something and no step ends before what its rows see. The first byte is the prompt's length. */
#include <stdlib.h>

#include "api/api_mask.h"
#include "base/alloc.h"
#include "cli/generate/generate_mask.h"
#include "engine/engine_mask.h"
#include "kv/kv_pages.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHUNK = 70, N_NEW = 80, PAGES = 300 };

/* Heavy hitters: of the pages that may go, older ones do. */
static void drop(const struct tw_mask *m, size_t position, uint32_t *pages)
{
    size_t begin, end, held = 0;
    tw_mask_contested(m, position, &begin, &end);
    for (size_t i = end; i-- > begin;) {
        held += pages[i] != TW_KV_NO_PAGE;
        pages[i] = held > m->heavy ? TW_KV_NO_PAGE : pages[i];
    }
}

static void walk(const struct tw_mask *m, size_t n_prompt)
{
    uint32_t pages[PAGES] = {0};
    struct tw_segment segments[CHUNK];
    struct tw_step_masks masks = {0};
    struct trawl_error err;
    for (size_t from = 0; from < n_prompt + N_NEW;) {
        size_t left = n_prompt + N_NEW - from, n = from < n_prompt ? (left < CHUNK ? left : CHUNK) : 1;
        size_t end = tw_mask_cut(m, n_prompt, from, n), n_segments = 0;
        tw_step_masks_clear(&masks);
        drop(m, from, pages);
        if (end == from || tw_mask_pages(m, end) > PAGES ||
            tw_step_masks_add(&masks, m, n_prompt, pages, from, end - from, 0, segments, &n_segments, &err) !=
                TRAWL_OK) {
            abort();
        }
        tw_step_masks_point(&masks, segments, n_segments);
        for (size_t i = 0; i < n_segments; i++) {
            const struct tw_segment *g = &segments[i];
            for (size_t row = 0; g->visible != NULL && row < g->n_rows; row++) {
                uint64_t any = 0;
                for (size_t j = 0; j < g->n_blocks; j++) {
                    any |= g->visible[row * g->n_blocks + j];
                }
                if (any == 0) {
                    abort();
                }
            }
        }
        from = end;
    }
    tw_step_masks_release(&masks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trawl_error err;
    struct trawl_request request;
    struct cli_row_mask row = {0};
    struct tw_job_mask mask;
    json_t *j = NULL;
    if (size < 1 || tw_json_parse((const char *)data + 1, size - 1, "row", &j, &err) != TRAWL_OK) {
        return 0;
    }
    trawl_request_init(&request);
    request.n_prompt = 1 + data[0];
    if (json_is_object(j) && cli_row_mask_read(&row, &request, j, &err) == TRAWL_OK &&
        tw_job_mask_copy(&mask, &request, &err) == TRAWL_OK) {
        if (tw_mask_check(&mask.mask, request.n_prompt, CHUNK, &err) == TRAWL_OK) {
            walk(&mask.mask, request.n_prompt);
        }
        tw_job_mask_release(&mask);
    }
    cli_row_mask_release(&row);
    json_decref(j);
    return 0;
}
