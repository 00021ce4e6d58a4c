/* SPDX-License-Identifier: MIT */
/* The texts of a vocabulary as a tree, so that one walk finds every token that an automaton can read. Never
 * changes once built: any number of threads and constraints share it. */
#ifndef TW_CONSTRAIN_VOCAB_H
#define TW_CONSTRAIN_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/text_tokenizer.h"

/* Longest text of a token that is ever allowed, bytes. */
enum { TW_VOCABULARY_DEPTH_MAX = 1024 };

/* Gives the bytes of token `id`, valid until the vocabulary is built; NULL or none for a token that stands
 * for no text: a special token, an id without a token. */
typedef const char *tw_vocabulary_piece_fn(void *user, int32_t id, size_t *n);

/* A byte of the tree; in preorder. */
struct tw_vocabulary_node {
    uint32_t end;   /* index after the last node below this one */
    uint32_t first; /* of `ids`: the tokens that end here are first .. the next node's first */
    uint16_t depth; /* bytes before this one */
    uint8_t byte;
};

struct tw_vocabulary {
    struct tw_vocabulary_node *nodes; /* [n_nodes + 1], the last one a sentinel */
    size_t n_nodes, capacity;
    int32_t *ids; /* [n_ids] tokens with a text, by its bytes */
    size_t n_ids;
    size_t n_vocab; /* of the model's logits */
    size_t depth;   /* bytes of the longest text */
    /* Texts, for following an answer: of token id the bytes offsets[id] .. offsets[id + 1]. */
    uint8_t *bytes;
    size_t *offsets; /* [n_vocab + 1] */
};

/* Tokens 0 .. n_vocab - 1. */
trawl_status tw_vocabulary_build(struct tw_vocabulary *v, size_t n_vocab, tw_vocabulary_piece_fn *piece,
                                 void *user, struct trawl_error *err);
/* The tokens of a tokenizer that are not special, of a model with n_vocab logits. An added token that is
 * not marked special stands for its own text. */
trawl_status tw_vocabulary_of(struct tw_vocabulary *v, const struct tw_tokenizer *tokenizer, size_t n_vocab,
                              struct trawl_error *err);
void tw_vocabulary_release(struct tw_vocabulary *v);

/* The text of a token; none for one without. */
static inline const uint8_t *tw_vocabulary_text(const struct tw_vocabulary *v, int32_t id, size_t *n)
{
    *n = 0;
    if (id < 0 || (size_t)id >= v->n_vocab) {
        return v->bytes;
    }
    *n = v->offsets[id + 1] - v->offsets[id];
    return v->bytes + v->offsets[id];
}

#endif /* TW_CONSTRAIN_VOCAB_H */
