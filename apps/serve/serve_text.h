/* SPDX-License-Identifier: MIT */
/* /tokenize and /detokenize, as vLLM has them. */
#ifndef TW_SERVE_TEXT_H
#define TW_SERVE_TEXT_H

#include "apps/serve/serve_int.h"

/* {"prompt"} or {"messages"} -> {"count", "max_model_len", "tokens", "token_strs"} */
void tw_serve_tokenize(struct tw_server *s, struct evhttp_request *http);
/* {"tokens"} -> {"prompt"} */
void tw_serve_detokenize(struct tw_server *s, struct evhttp_request *http);

/* Append the tokens of a conversation; `extra`: further variables of the template, an object or NULL. */
trawl_status tw_serve_encode_messages(struct tw_server *s, const json_t *messages, bool add_generation_prompt,
                                      bool add_special_tokens, const json_t *extra, struct tw_ids *ids,
                                      struct trawl_error *err);
/* The body as JSON, an object; freed with json_decref. */
trawl_status tw_serve_read_json(struct evhttp_request *http, json_t **out, struct trawl_error *err);

#endif /* TW_SERVE_TEXT_H */
