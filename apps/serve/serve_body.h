/* SPDX-License-Identifier: MIT */
/* The body of a request for answers, as OpenAI's API has it: what it asks for, checked, but for the prompt's tokens. */
#ifndef TW_SERVE_BODY_H
#define TW_SERVE_BODY_H

#include <stdbool.h>

#include "apps/ask/ask_sampling.h"
#include "trawl/job.h"
#include "json/json.h"

enum tw_serve_kind { TW_SERVE_CHAT, TW_SERVE_COMPLETION };

enum { TW_SERVE_N_MAX = 4096 };

struct tw_serve_body {
    enum tw_serve_kind kind;
    json_t *json;      /* owned: the body; what follows may point into it */
    const char *model; /* NULL: not named */
    json_t *messages;  /* chat: borrowed; contents are strings, null, or absent */
    json_t *prompts;   /* completion: an array of strings and of arrays of token ids, at least one; owned */
    struct trawl_request request; /* without prompt; max_tokens 0 when has_max_tokens is not set */
    struct tw_ask_lists lists;
    char *constraint;
    char **stop; /* [n_stop] texts that end an answer */
    size_t n_stop;
    int32_t *stop_ids;
    size_t n; /* answers for each prompt */
    bool has_max_tokens, stream, include_usage, echo, logprobs;
    bool add_special_tokens, add_generation_prompt, skip_special_tokens;
};

/* *body is released by the caller in any case. Members that are not known are ignored, as vLLM does; those that are
 * known and would change the answer, but are not done here, are refused by name.
 * errors: FORMAT, INVALID, UNSUPPORTED: a sentence for the client; NOMEM. */
trawl_status tw_serve_body_parse(struct tw_serve_body *body, enum tw_serve_kind kind, const char *text,
                                 size_t n, struct trawl_error *err);
void tw_serve_body_release(struct tw_serve_body *body);

/* Members that a body of messages and one of /tokenize have in common: checked, and contents that are lists of texts
 * made one. */
trawl_status tw_serve_messages(json_t *messages, struct trawl_error *err);

#endif /* TW_SERVE_BODY_H */
