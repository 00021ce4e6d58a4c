/* SPDX-License-Identifier: MIT */
/* A conversation as the text a model was trained on: the chat template of a tokenizer's folder. */
#ifndef TW_TEXT_CHAT_H
#define TW_TEXT_CHAT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "text/text_template.h"
#include "text/text_tokenizer.h"

bool tw_tokenizer_has_chat_template(const struct tw_tokenizer *tokenizer);

/* All JSON values are borrowed and only read. */
struct tw_chat_request {
    const json_t *messages;                  /* array of {"role", "content", ...} */
    const json_t *tools;                     /* array of tools, NULL or null: none */
    bool add_generation_prompt;              /* end with the opening of the assistant's turn */
    const json_t *extra;                     /* object of further variables of the template, or NULL; may
                                          * not name messages, tools or add_generation_prompt */
    const struct tw_render_options *options; /* NULL: defaults */
};

/* Append the rendered conversation, of at least one message, to `out`, as apply_chat_template(tokenize=False) of
 * transformers 5: members of messages that are null are left out, and reasoning_content, thinking and reasoning stand
 * for each other. The template also sees bos_token, eos_token, pad_token and unk_token where the folder names them.
 * Message content is inserted as it is: "<|im_end|>" inside it becomes a token when the text is encoded.
 * No template in the folder: TRAWL_ERR_UNSUPPORTED. */
trawl_status tw_chat_render(const struct tw_tokenizer *tokenizer, const struct tw_chat_request *request,
                            struct tw_str *out, struct trawl_error *err);

#endif /* TW_TEXT_CHAT_H */
