/* SPDX-License-Identifier: MIT */
/* Tokenizers made from SentencePiece models (Llama 2, Mistral) write a space as U+2581, in their vocabulary and in
 * the text. Here both are kept with real spaces: the text has no other ones then, so nothing is confused. */
#ifndef TW_TEXT_METASPACE_H
#define TW_TEXT_METASPACE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

#define TW_METASPACE "\xE2\x96\x81"

/* Which parts of a text, between two added tokens, get a space in front. */
enum tw_metaspace_prefix {
    TW_METASPACE_NONE,
    TW_METASPACE_EVERY, /* all of them (the Prepend normalizer) */
    TW_METASPACE_WORD,  /* those that do not begin with one */
    TW_METASPACE_FIRST  /* of those only the one at the beginning of the text */
};

struct tw_metaspace {
    bool used;       /* false: a byte-level tokenizer, all else means nothing */
    bool normalizes; /* before added tokens that are looked for in normalized text, else after them */
    enum tw_metaspace_prefix prefix;
    bool strips; /* a space at the beginning of a decoded text is left out */
};

/* Append text[0..n), n > 0, with its prefix and with U+2581 as spaces. `first`: nothing comes before it. */
trawl_status tw_metaspace_append(const struct tw_metaspace *m, const char *text, size_t n, bool first,
                                 struct tw_str *out, struct trawl_error *err);
/* Append a token of the vocabulary as spelt above. False, and nothing appended, when it has a real space: no text
 * spells it. */
trawl_status tw_metaspace_spell(const char *token, size_t n, struct tw_str *out, bool *spelt,
                                struct trawl_error *err);

#endif /* TW_TEXT_METASPACE_H */
