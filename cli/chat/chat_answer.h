/* SPDX-License-Identifier: MIT */
/* One answer after another on a session: what of a conversation is in it already is not computed again. */
#ifndef CLI_CHAT_ANSWER_H
#define CLI_CHAT_ANSWER_H

#include "cli/chat/chat_settings.h"
#include "text/text_answer.h"

/* `n` bytes of text that token `i` of the answer completes. */
typedef trawl_status cli_chat_piece_fn(void *user, const char *text, size_t n, size_t i,
                                       struct trawl_error *err);

struct cli_chat_answer {
    trawl_session *session; /* the conversation, but for the last token of the answer */
    size_t context;         /* tokens that it can hold */
    size_t
        prefill_chunk; /* a long prompt is computed in pieces of that many tokens, to be stopped between them */
    /* The last answer. */
    size_t n_prompt, n_kept; /* tokens of the prompt; those that were in the session before */
    size_t n_tokens, capacity;
    int32_t *tokens;
    float *logprobs, *entropies, *varentropies;
    struct trawl_top_logprob *top; /* [n_tokens, n_top] */
    size_t n_top, top_capacity;
    double cumulative_logprob;
    enum trawl_finish_reason finish_reason;
    struct tw_answer_text text;
    uint64_t started_ns, first_ns, last_ns; /* times of the prompt, the first token, the last one */
    uint64_t seed;
    bool context_full; /* the answer ended for want of room */
};

/* Released in any case, before its engine. */
trawl_status cli_chat_answer_open(struct cli_chat_answer *a, trawl_engine *engine, size_t prefill_chunk,
                                  struct trawl_error *err);
void cli_chat_answer_release(struct cli_chat_answer *a);

struct cli_chat_ask {
    const int32_t *prompt; /* [n_prompt] the whole conversation */
    size_t n_prompt;
    const struct cli_chat_settings *settings;
    uint64_t seed;
    const struct tw_tokenizer *tokenizer;
    const char *const *stop; /* [n_stop] borrowed until the next answer */
    size_t n_stop;
    cli_chat_piece_fn *on_piece;
    void *user;
};

/* Answer; cli_interrupted() stops it (TRAWL_FINISH_CANCELLED).
 * errors: LIMIT: the prompt does not fit into the context; what the sampling of a token can fail with. */
trawl_status cli_chat_answer(struct cli_chat_answer *a, const struct cli_chat_ask *ask,
                             struct trawl_error *err);

/* The answer as a job would have given it; `output` is what result->outputs points to. */
void cli_chat_answer_result(const struct cli_chat_answer *a, struct trawl_result *result,
                            struct trawl_output *output);

#endif /* CLI_CHAT_ANSWER_H */
