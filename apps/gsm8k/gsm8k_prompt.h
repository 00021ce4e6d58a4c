/* SPDX-License-Identifier: MIT */
/* How a question is put to a model: as a conversation, or as text that the model goes on with. */
#ifndef TW_GSM8K_PROMPT_H
#define TW_GSM8K_PROMPT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "text/text_tokenizer.h"

/* The instruction that Qwen's instruct models are evaluated with. */
#define TW_GSM8K_INSTRUCTION "Please reason step by step, and put your final answer within \\boxed{}."

struct tw_gsm8k_example {
    const char *question, *answer; /* the worked answer; notes of a calculator, <<6*7=42>>, are left out */
};

struct tw_gsm8k_prompt {
    bool chat;               /* by the tokenizer's chat template */
    const char *instruction; /* the system message, or the text's first paragraph; NULL: none */
    const struct tw_gsm8k_example
        *examples; /* [n_examples] borrowed; turns of the conversation, or of the text */
    size_t n_examples;
};

/* Worked examples of trawl's own, as many as *n says. */
const struct tw_gsm8k_example *tw_gsm8k_examples(size_t *n);

/* Append the prompt to `out`. Text is "Question: ...\nAnswer:", the examples before it in the same form. */
trawl_status tw_gsm8k_prompt_write(const struct tw_gsm8k_prompt *p, const struct tw_tokenizer *tokenizer,
                                   const char *question, struct tw_str *out, struct trawl_error *err);

/* The text at which an answer ends although the model goes on, with a question of its own; NULL in a conversation. */
const char *tw_gsm8k_prompt_stop(const struct tw_gsm8k_prompt *p);

#endif /* TW_GSM8K_PROMPT_H */
