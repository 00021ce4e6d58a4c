/* SPDX-License-Identifier: MIT */
/* Custom attention masks: which positions of its own sequence a token attends to. Positions keep their rotary
 * embedding, whatever is masked; only documents of a block-diagonal mask begin at position 0 again. */
#ifndef TRAWL_MASK_H
#define TRAWL_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum trawl_mask_kind {
    TRAWL_MASK_CAUSAL = 0, /* every token sees itself and all before it */
    /* The first `prefix` tokens of the prompt see each other, whichever comes first; the rest is causal.
     * They are computed in one step: prefix <= prefill_chunk. */
    TRAWL_MASK_PREFIX_BIDIRECTIONAL = 1,
    /* A token sees the last `window` tokens, itself included, and the first `sinks` ones; none that come
     * later. */
    TRAWL_MASK_SLIDING_WINDOW = 2,
    /* The prompt is `n_lengths` documents one after another. Each has positions from 0 and sees itself
     * only, causally: its numbers are those of a request of its own. What is generated belongs to the last
     * document. */
    TRAWL_MASK_BLOCK_DIAGONAL = 3,
    /* What each token of the prompt sees of the prompt, bit by bit; later positions only where those lie
     * within one step of prefill_chunk tokens. A generated token sees the prompt, or what the row after
     * the last prompt token's says of it, and all generated tokens up to itself. */
    TRAWL_MASK_MATRIX = 4
};

/* Zeros: causal. */
struct trawl_attention_mask {
    enum trawl_mask_kind kind;
    size_t prefix;
    size_t sinks, window;
    const uint32_t *lengths; /* [n_lengths], each at least 1, together the prompt's length; copied */
    size_t n_lengths;
    /* Matrix: n_prompt rows, or n_prompt + 1 when generated tokens have one, by bits (bit k % 64 of word k
     * / 64 of a row of ceil(n_prompt / 64) words: sees token k; copied) or by a function that
     * trawl_job_submit calls once for every row and token, on its own thread. A prompt token that sees
     * nothing is refused. */
    size_t n_rows;
    const uint64_t *rows;
    bool (*sees)(void *user, size_t row, size_t token);
    void *user;
};

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_MASK_H */
