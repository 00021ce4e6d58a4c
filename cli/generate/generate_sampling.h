/* SPDX-License-Identifier: MIT */
/* How the tokens of an answer are chosen: options of generate, and members of a row of --prompts_file by the same
 * names. */
#ifndef CLI_GENERATE_SAMPLING_H
#define CLI_GENERATE_SAMPLING_H

#include "apps/ask/ask_sampling.h"
#include "cli/options/args.h"
#include "trawl/trawl.h"
#include "json/json.h"

enum { CLI_MAX_TOP_LOGPROBS = 1024 };

/* What a request's lists and its policy point to; all owned. */
struct cli_sampling {
    struct tw_ask_lists lists;
    struct trawl_entropy_policy *policy;
};

/* Where policies that insert text find its token; opened when the first one does. */
struct cli_policy_text {
    char *model_path; /* owned */
    trawl_tokenizer *tokenizer;
};

void cli_policy_text_close(struct cli_policy_text *t);

/* The options of cli_sampling_group that the command has into a request; `given`: those on the command line only. */
void cli_sampling_numbers(struct trawl_request *request, const struct cli_args *args, bool given);
/* --logit_bias and --suppress_tokens, into a *s that has none. */
trawl_status cli_sampling_bias(struct cli_sampling *s, struct trawl_request *request,
                               const struct cli_args *args, struct trawl_error *err);
trawl_status cli_sampling_suppressed(struct cli_sampling *s, struct trawl_request *request,
                                     const struct cli_args *args, struct trawl_error *err);
/* These and those of cli_answer_group into request and *s, which is released by the caller in any case. */
trawl_status cli_sampling_defaults(struct cli_sampling *s, struct trawl_request *request,
                                   const struct cli_args *args, struct cli_policy_text *t,
                                   struct trawl_error *err);
/* What a row says instead, into its request; lists and a policy it does not name stay those of the options. */
trawl_status cli_row_sampling_read(struct cli_sampling *s, struct trawl_request *request, const json_t *row,
                                   struct cli_policy_text *t, struct trawl_error *err);
void cli_sampling_release(struct cli_sampling *s);

/* Is `key` a member that cli_row_sampling_read reads? */
bool cli_sampling_key(const char *key);

/* Members of an answer: "top_logprobs" and "entropy_policy", if they were asked for. */
void cli_write_sampling(struct tw_json_writer *w, const struct trawl_request *request,
                        const struct trawl_output *output);

#endif /* CLI_GENERATE_SAMPLING_H */
