/* SPDX-License-Identifier: MIT */
/* Rows of --prompts_file that ask for something else than sampled answers: "num_beams", "completions", "dfs". */
#ifndef CLI_GENERATE_SEARCH_H
#define CLI_GENERATE_SEARCH_H

#include "cli/options/args.h"
#include "text/text_tokenizer.h"
#include "trawl/trawl.h"
#include "json/json.h"

struct cli_row;
struct cli_row_text;

/* What the request's completions point to. */
struct cli_row_search {
    int32_t *tokens;
    size_t *lengths;
};

void cli_row_search_defaults(struct trawl_request *request, const struct cli_args *args);
/* Read the members into row->request, which has its prompt. `n_text` bytes of `text` are the prompt as text; NULL:
 * it was given as tokens. */
trawl_status cli_row_search_read(struct cli_row *row, const json_t *j, struct cli_row_text *t,
                                 const char *text, size_t n_text, struct trawl_error *err);
/* The last of it, for rows and --prompt alike: what "n" stands for, and what cannot be had together. */
trawl_status cli_row_search_settle(struct cli_row *row, struct trawl_error *err);
void cli_row_search_release(struct cli_row_search *search);

/* Does the row ask for one of these? Then its result is one request with `outputs`. */
bool cli_row_searches(const struct cli_row *row);
/* The members of its result: those of the best answer and "beams", or "scores", or "nbest". */
trawl_status cli_row_write_search(struct tw_json_writer *w, const struct cli_row *row,
                                  const struct trawl_result *result, struct cli_row_text *t,
                                  struct trawl_error *err);

#endif /* CLI_GENERATE_SEARCH_H */
