/* SPDX-License-Identifier: MIT */
/* Text to token ids and back, by the tokenizer.json of a model's folder (byte-level BPE), and conversations
 * to text by its chat template. It needs no engine.
 *
 *     trawl_tokenizer_open("Qwen2.5-0.5B", &tokenizer, &err);
 *     trawl_tokenizer_encode(tokenizer, "The sea is", 10, TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &ids, &n, &err);
 *     ...
 *     trawl_tokenizer_decode(tokenizer, ids, n, true, &text, &n_text, &err);
 *     trawl_free(ids);
 *     trawl_free(text);
 *     trawl_tokenizer_close(&tokenizer);
 *
 * Text is UTF-8 with a length in bytes and may hold NUL; bytes that are not UTF-8 are refused with their
 * offset.
 * threads: any number use one tokenizer at once; closing it is the last thing that is done to it. */
#ifndef TRAWL_TOKENIZER_H
#define TRAWL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trawl/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trawl_tokenizer trawl_tokenizer;

/* Read tokenizer.json and, where they are there, tokenizer_config.json, special_tokens_map.json and
 * chat_template.jinja of a folder.
 * errors: IO, FORMAT; UNSUPPORTED names what of the tokenizer cannot be done the way `tokenizers` does it. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_tokenizer_open(const char *model_path, trawl_tokenizer **out,
                                                             struct trawl_error *err);
/* Sets *tokenizer to NULL; NULL inside is allowed. */
TRAWL_API void trawl_tokenizer_close(trawl_tokenizer **tokenizer);

/* Highest id + 1. The vocab_size of a model may be larger: its last ids have no text. */
TRAWL_API size_t trawl_tokenizer_vocab_size(const trawl_tokenizer *tokenizer);

/* Added together. 0: special tokens in the text are parsed, none are put around it. */
enum trawl_encode_flags {
    TRAWL_ENCODE_ADD_SPECIAL_TOKENS   = 1, /* what the folder wants around a text, as Llama's BOS */
    TRAWL_ENCODE_SPLIT_SPECIAL_TOKENS = 2, /* "<|im_end|>" in the text is ordinary text */
    TRAWL_ENCODE_NO_ADDED_TOKENS      = 4  /* so is every other added token; for text that is not trusted */
};

/* Token ids of text[0..n_text): *ids is freed with trawl_free, also when *n_ids is 0. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_tokenizer_encode(trawl_tokenizer *tokenizer, const char *text,
                                                               size_t n_text, unsigned flags, int32_t **ids,
                                                               size_t *n_ids, struct trawl_error *err);

/* Text of n ids: bytes that are no UTF-8 become U+FFFD, ids without a token give nothing. *text is NUL
 * terminated behind its n_text bytes (n_text may be NULL) and freed with trawl_free. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_tokenizer_decode(const trawl_tokenizer *tokenizer,
                                                               const int32_t *ids, size_t n,
                                                               bool skip_special_tokens, char **text,
                                                               size_t *n_text, struct trawl_error *err);

/* The bytes of one token, borrowed from the tokenizer, *n of them: not NUL terminated, perhaps half a
 * character. NULL and 0 for an id without a token. */
TRAWL_API const char *trawl_tokenizer_token(const trawl_tokenizer *tokenizer, int32_t id, size_t *n);

TRAWL_API bool trawl_tokenizer_has_chat_template(const trawl_tokenizer *tokenizer);

/* A conversation as the model was trained on it, as apply_chat_template(tokenize=False) gives it. `messages`
 * is JSON: an array of {"role": ..., "content": ...}. With add_generation_prompt the text ends with the
 * opening of the assistant's turn. *text as in trawl_tokenizer_decode; encode it with flags 0.
 * errors: UNSUPPORTED: the folder has no template, or one that needs what trawl has not; FORMAT: the JSON, or
 *         what the template objects to. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_tokenizer_apply_chat_template(const trawl_tokenizer *tokenizer,
                                                                            const char *messages,
                                                                            bool add_generation_prompt,
                                                                            char **text, size_t *n_text,
                                                                            struct trawl_error *err);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_TOKENIZER_H */
