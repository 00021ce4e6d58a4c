/* SPDX-License-Identifier: MIT */
/* Text to token ids and back, from the tokenizer.json of a Hugging Face folder (BPE, byte-level or, as
 * in Llama 2 and Mistral, over characters with a fallback to bytes).
 *
 *     struct tw_tokenizer *tokenizer;
 *     struct tw_encoder   *encoder;
 *     struct tw_ids        ids = {0};
 *     TW_TRY(tw_tokenizer_open("models/qwen2.5-0.5b", &tokenizer, err));
 *     TW_TRY(tw_encoder_new(tokenizer, &encoder, err));
 *     TW_TRY(tw_encode(encoder, text, n, NULL, &ids, err));       // appends to ids
 *     ...
 *     tw_ids_release(&ids);
 *     tw_encoder_free(encoder);
 *     tw_tokenizer_close(tokenizer);
 *
 * Threads: a tokenizer never changes after it was opened; any number of threads may use it at once.
 * An encoder holds the scratch memory and word cache of one thread; each thread makes its own.
 *
 * Text is UTF-8 with a length; it may contain NUL. Bytes that are not UTF-8 are an error that names
 * their offset: replacing them would encode another text than the one that was given. */
#ifndef TW_TEXT_TOKENIZER_H
#define TW_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct tw_tokenizer;
struct tw_encoder;

/* ---- opening ---- */

/* Read tokenizer.json and, where present, tokenizer_config.json, special_tokens_map.json and
 * chat_template.jinja of `folder`. A tokenizer that needs anything this module does not do is refused
 * by the name of that thing (TRAWL_ERR_UNSUPPORTED), a damaged one is TRAWL_ERR_FORMAT. A chat template
 * that cannot be compiled does not fail here but in tw_chat_render (text_chat.h).
 * The padding and truncation members of tokenizer.json are ignored, as transformers does. */
trawl_status tw_tokenizer_open(const char *folder, struct tw_tokenizer **out, struct trawl_error *err);
void tw_tokenizer_close(struct tw_tokenizer *tokenizer); /* NULL is fine */

/* ---- tokens ---- */

/* Highest id + 1. A model's head may have more rows than that; those ids have no text. */
size_t tw_tokenizer_vocab_size(const struct tw_tokenizer *tokenizer);

/* The bytes of a token (for an added token its content), borrowed; not NUL terminated, possibly half a
 * UTF-8 character. NULL and *n = 0 for an id that has no token. */
const char *tw_tokenizer_piece(const struct tw_tokenizer *tokenizer, int32_t id, size_t *n);

/* The id whose bytes are exactly `piece`: an added token first, then the vocabulary; -1 if there is
 * none. "token 'A' of this model" for samplers and stop lists; it does not say how text is encoded. */
int32_t tw_tokenizer_find(const struct tw_tokenizer *tokenizer, const char *piece, size_t n);

bool tw_tokenizer_is_added(const struct tw_tokenizer *tokenizer, int32_t id);
/* Added and marked special: left out by decoding with skip_special. */
bool tw_tokenizer_is_special(const struct tw_tokenizer *tokenizer, int32_t id);

/* The tokens tokenizer_config.json (or special_tokens_map.json) names. */
enum tw_named_token { TW_TOKEN_BOS, TW_TOKEN_EOS, TW_TOKEN_PAD, TW_TOKEN_UNK, TW_NAMED_TOKENS };

/* Id and text of a named token; -1 and NULL where the folder names none. `text` may be NULL. A BOS or EOS
 * that tokenizer.json lacks fails tw_tokenizer_open; such a PAD or UNK has its text and the id -1. */
int32_t tw_tokenizer_named(const struct tw_tokenizer *tokenizer, enum tw_named_token which,
                           const char **text);

/* Ids that end an answer, for models whose generation_config.json does not say: the EOS token and those
 * of the usual end-of-turn and end-of-text tokens (<|im_end|>, <|endoftext|>, <|eot_id|>, <|eom_id|>,
 * <|end_of_text|>, <|end|>, <|END_OF_TURN_TOKEN|>, </s>) that this tokenizer has as added tokens.
 * Writes at most `capacity` ids, EOS first, no duplicates; returns how many (at most 9). */
size_t tw_tokenizer_end_tokens(const struct tw_tokenizer *tokenizer, int32_t *out, size_t capacity);

/* ---- encoding ---- */

/* A growable array of token ids. Zero-initialise; release frees the memory and empties it. */
struct tw_ids {
    int32_t *data;
    size_t size;
    size_t capacity;
};

void tw_ids_release(struct tw_ids *ids);

/* Zeroes are the default: added tokens in the text are parsed, nothing is added to it. */
struct tw_encode_options {
    bool no_special;         /* tokens marked special are ordinary text, other added tokens are still parsed:
                      * Hugging Face's split_special_tokens=True */
    bool no_added;           /* no added token is parsed at all; implies no_special */
    bool add_special_tokens; /* the post-processor's template around the ids, as Llama 3's BOS; text from
                              * a chat template has it already */
};

trawl_status tw_encoder_new(const struct tw_tokenizer *tokenizer, struct tw_encoder **out,
                            struct trawl_error *err);
void tw_encoder_free(struct tw_encoder *encoder); /* NULL is fine */

/* Append the ids of text[0..n) to `ids`. `options` may be NULL. On failure ids->size is as it was.
 * Bytes for which the vocabulary has no token vanish, as in Hugging Face, unless the tokenizer has an
 * unk_token. Time is near linear in n, whatever the text. */
trawl_status tw_encode(struct tw_encoder *encoder, const char *text, size_t n,
                       const struct tw_encode_options *options, struct tw_ids *ids, struct trawl_error *err);

/* ---- decoding ---- */

/* Append the text of the ids: the bytes of all tokens joined, then every maximal subpart of bytes that
 * is not UTF-8 replaced by U+FFFD. Ids without a token give nothing. An added token gives its content;
 * clean_up_tokenization_spaces is not applied: decoding an encoded text gives that text (normalised). */
trawl_status tw_decode(const struct tw_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                       struct tw_str *out, struct trawl_error *err);

/* The same token by token, for showing an answer as it comes. A chunk never ends within a character:
 * bytes that more tokens may still complete are held back. All chunks joined are what tw_decode gives. */
struct tw_detokenizer {
    const struct tw_tokenizer *tokenizer; /* borrowed */
    bool skip_special;
    bool
        begun; /* some text was pushed: a space at the beginning has been left out, if the tokenizer does that */
    char held[4]; /* start of an incomplete character */
    size_t n_held;
};

void tw_detokenizer_init(struct tw_detokenizer *d, const struct tw_tokenizer *tokenizer, bool skip_special);
/* Append what token `id` completes to `out` (possibly nothing). */
trawl_status tw_detokenizer_push(struct tw_detokenizer *d, int32_t id, struct tw_str *out,
                                 struct trawl_error *err);
/* At the end: append U+FFFD for what is still held back. The detokenizer is as new afterwards. */
trawl_status tw_detokenizer_flush(struct tw_detokenizer *d, struct tw_str *out, struct trawl_error *err);

#endif /* TW_TEXT_TOKENIZER_H */
