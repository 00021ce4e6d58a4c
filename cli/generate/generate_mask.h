/* SPDX-License-Identifier: MIT */
/* "attention_mask", "attention_sinks", "attention_window" and "attention_heavy_hitters" of a row of --prompts_file. */
#ifndef CLI_GENERATE_MASK_H
#define CLI_GENERATE_MASK_H

#include "trawl/trawl.h"
#include "json/json.h"

/* What the request's attention mask points to. */
struct cli_row_mask {
    uint32_t *lengths;
    uint64_t *rows;
};

/* Read the three members into *q; n_prompt is set. Those that are missing leave it as it was. */
trawl_status cli_row_mask_read(struct cli_row_mask *mask, struct trawl_request *q, const json_t *row,
                               struct trawl_error *err);
void cli_row_mask_release(struct cli_row_mask *mask);

#endif /* CLI_GENERATE_MASK_H */
