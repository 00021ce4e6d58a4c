/* SPDX-License-Identifier: MIT */
/* Byte-pair merging of one word: the pair with the lowest rank first, the leftmost of equals. */
#ifndef TW_TEXT_BPE_H
#define TW_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/text_tokenizer.h"
#include "text/text_vocab.h"

struct tw_bpe_model {
    struct tw_vocab vocab;
    struct tw_merges merges;
    bool ignore_merges; /* a word that is a token is that token, merges or not */
    bool fuse_unk;      /* one unknown token for a run of unknown bytes */
    int32_t unk_id;     /* token of bytes the vocabulary lacks; -1: they vanish */
    /* Merging begins with characters, and with the bytes of those the vocabulary lacks; else with bytes. */
    bool by_character;
    int32_t fallback_id[256]; /* by_character: tokens of bytes */
};

/* Scratch memory of one thread; zero-initialise. */
struct tw_bpe_scratch {
    struct tw_bpe_symbol *symbols;
    size_t symbols_capacity;
    struct tw_bpe_pair *heap;
    size_t heap_capacity;
    struct tw_bpe_cached *cache; /* direct mapped, made on first use */
};

void tw_bpe_release(struct tw_bpe_scratch *s);

/* Append the ids of a word of n bytes. O(n log n); words seen recently come from the cache. */
trawl_status tw_bpe_encode(const struct tw_bpe_model *model, struct tw_bpe_scratch *s, const char *word,
                           size_t n, struct tw_ids *ids, struct trawl_error *err);

#endif /* TW_TEXT_BPE_H */
