/* SPDX-License-Identifier: MIT */
/* Rows of --prompts_file: what a row asks for, and what is written for it. */
#ifndef CLI_GENERATE_ROWS_H
#define CLI_GENERATE_ROWS_H

#include "cli/generate/generate_constraint.h"
#include "cli/generate/generate_mask.h"
#include "cli/generate/generate_sampling.h"
#include "cli/generate/generate_search.h"
#include "cli/options/args.h"
#include "text/text_tokenizer.h"
#include "trawl/trawl.h"
#include "json/json.h"

/* A request that belongs to nobody else: all arrays are owned. */
struct cli_row {
    json_t *id;                   /* the row's "id", NULL when it has none; a reference */
    uint64_t line;                /* of its file; 0: --prompt */
    struct trawl_request request; /* n samples of it are submitted */
    int32_t *prompt, *stop_ids;
    char *constraint; /* owned: what the request's constraint_text points to; NULL: the default's, or none */
    struct cli_row_mask mask;
    struct cli_row_search search;
    struct cli_sampling sampling;
    char **stop; /* [n_stop] texts that end the answer */
    size_t n_stop;
    size_t n_samples;
    bool logprobs;
    struct trawl_error error; /* status other than TRAWL_OK: the row could not be read */
};

/* Requests as the command line describes them; a row may override each field. */
struct cli_row_defaults {
    struct trawl_request request;
    struct cli_sampling sampling;
    int64_t n;
    bool logprobs;
    const char *const *stop;
    size_t n_stop;
    int32_t *stop_ids; /* owned */
    size_t n_stop_ids;
    char *constraint; /* owned */
};

/* A tokenizer and scratch memory to use it with; tokenizer and encoder are NULL where the model folder has
 * none (rows of "tokens" need none). */
struct cli_row_text {
    struct tw_tokenizer *tokenizer;
    struct tw_encoder *encoder;
    struct trawl_error why_none; /* why there is no tokenizer */
    struct cli_policy_text policies;
    struct tw_ids ids;
    struct tw_encode_options options; /* that a text was last encoded with */
    struct tw_str text;
};

trawl_status cli_row_text_open(struct cli_row_text *t, const char *model_path, struct trawl_error *err);
void cli_row_text_close(struct cli_row_text *t);

trawl_status cli_row_defaults_read(struct cli_row_defaults *d, const struct cli_args *args,
                                   struct cli_row_text *t, struct trawl_error *err);
void cli_row_defaults_release(struct cli_row_defaults *d);

/* Parse a line. What is wrong with the row goes to row->error; the call fails only for lack of memory. */
trawl_status cli_row_parse(struct cli_row *row, const char *line, size_t n,
                           const struct cli_row_defaults *defaults, struct cli_row_text *text,
                           struct trawl_error *err);
void cli_row_release(struct cli_row *row);

/* Ids of a prompt: `raw` text with the special tokens that the tokenizer puts around a text (Llama's BOS), else through the chat template when the tokenizer has one. Appended to
 * text->ids, emptied first. */
trawl_status cli_row_encode(struct cli_row_text *text, const char *prompt, size_t n, bool raw,
                            struct trawl_error *err);

/* Ids of a text, with what the tokenizer puts around one if `special`, and of what the chat template makes of
 * messages; t->tokenizer is there. Appended to t->ids, emptied first. */
trawl_status cli_encode_text(struct cli_row_text *t, const char *text, size_t n, bool special,
                             struct trawl_error *err);
trawl_status cli_encode_messages(struct cli_row_text *t, const json_t *messages, struct trawl_error *err);

/* Members of any answer; a NULL tokenizer gives null for the text. */
trawl_status cli_write_text(struct tw_json_writer *w, const int32_t *tokens, size_t n, struct cli_row_text *t,
                            struct trawl_error *err);
void cli_write_tokens(struct tw_json_writer *w, const int32_t *tokens, size_t n);
void cli_write_measures(struct tw_json_writer *w, const float *logprobs, const float *entropies,
                        const float *varentropies, size_t n);

/* The members of an answer: text (NULL tokenizer: null), tokens, finish_reason, cumulative_logprob, ... */
trawl_status cli_row_write_answer(struct tw_json_writer *w, const struct cli_row *row,
                                  const struct trawl_result *result, struct cli_row_text *text,
                                  struct trawl_error *err);
/* Where the first stop text begins in `text` (n bytes); n when there is none. */
size_t cli_row_find_stop(const struct cli_row *row, const char *text, size_t n);

#endif /* CLI_GENERATE_ROWS_H */
