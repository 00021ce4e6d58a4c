/* SPDX-License-Identifier: MIT */
/* The two tables of a byte-level BPE model: tokens (id <-> bytes) and merges (pair -> rank, result).
 * Read-only once filled. */
#ifndef TW_TEXT_VOCAB_H
#define TW_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* Ids above this are refused: a single wild id must not make a table of gigabytes. */
enum { TW_VOCAB_MAX_ID = (1 << 24) - 1 };

enum tw_piece_flags {
    TW_PIECE_PRESENT = 1, /* the id has a token */
    TW_PIECE_ADDED   = 2,
    TW_PIECE_SPECIAL = 4,
    TW_PIECE_LITERAL = 8 /* not in the byte alphabet: merges never make it, find never returns it */
};

struct tw_piece {
    uint32_t offset; /* into the byte store */
    uint32_t n;
    uint32_t flags;
};

struct tw_vocab {
    struct tw_str store;     /* bytes of all tokens */
    struct tw_piece *pieces; /* [n_ids] */
    size_t n_ids;            /* highest id + 1 */
    size_t capacity;
    int32_t *slots;       /* open addressing over the bytes of pieces; -1: free */
    size_t n_slots;       /* a power of two */
    int32_t byte_id[256]; /* the token of a single byte, -1: none */
};

void tw_vocab_init(struct tw_vocab *v);
void tw_vocab_release(struct tw_vocab *v);
/* Give `id` the bytes. The caller has checked the range of the id and that it is free. */
trawl_status tw_vocab_add(struct tw_vocab *v, int32_t id, const char *bytes, size_t n, uint32_t flags,
                          struct trawl_error *err);
/* After the last tw_vocab_add of the model's own vocabulary: make tw_vocab_find and byte_id work. */
trawl_status tw_vocab_index(struct tw_vocab *v, struct trawl_error *err);
/* Id of the model token with these bytes, -1: none. */
int32_t tw_vocab_find(const struct tw_vocab *v, const char *bytes, size_t n);
/* NULL for an id without a token. */
const char *tw_vocab_piece(const struct tw_vocab *v, int32_t id, size_t *n);

/* The printable alphabet of byte-level BPE (GPT-2's): every byte is one character. */
struct tw_byte_alphabet {
    int16_t byte_of[0x144]; /* code point -> byte, -1: not in the alphabet */
};

void tw_byte_alphabet_init(struct tw_byte_alphabet *a);
/* Append the bytes that `text` spells to `out`; *spelt tells whether every character was in the alphabet,
 * otherwise nothing was appended. */
trawl_status tw_byte_alphabet_decode(const struct tw_byte_alphabet *a, const char *text, size_t n,
                                     struct tw_str *out, bool *spelt, struct trawl_error *err);

/* ---- merges ---- */

struct tw_merge {
    int32_t left; /* -1: free slot */
    int32_t right;
    uint32_t rank; /* place in the list: lower goes first */
    int32_t result;
};

struct tw_merges {
    struct tw_merge *slots;
    int shift; /* 64 - log2(number of slots) */
    size_t mask;
};

/* Room for `n` merges. */
trawl_status tw_merges_init(struct tw_merges *m, size_t n, struct trawl_error *err);
void tw_merges_release(struct tw_merges *m);
/* A pair that is there already keeps the later rank, as in Hugging Face. */
void tw_merges_add(struct tw_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t result);

static inline size_t tw_merge_hash(const struct tw_merges *m, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)((key ^ key >> 29) * 0x9E3779B97F4A7C15u >> m->shift);
}

/* NULL when the pair does not merge. */
static inline const struct tw_merge *tw_merges_find(const struct tw_merges *m, int32_t left, int32_t right)
{
    for (size_t i = tw_merge_hash(m, left, right);; i = (i + 1) & m->mask) {
        const struct tw_merge *s = &m->slots[i];
        if (s->left == left && s->right == right) {
            return s;
        }
        if (s->left < 0) {
            return NULL;
        }
    }
}

#endif /* TW_TEXT_VOCAB_H */
