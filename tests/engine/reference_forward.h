/* SPDX-License-Identifier: MIT */
/* The forward pass as docs/numerics.md defines it, written for reading: no batch, no cache, no mesh, no
 * packing, one sequence, one element at a time. The engine must equal it bit by bit. */
#ifndef TRAWL_TESTS_ENGINE_REFERENCE_FORWARD_H
#define TRAWL_TESTS_ENGINE_REFERENCE_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reference {
    size_t n, hidden, vocab, n_layers, n_heads; /* n: tokens */
    float *resid;                               /* [n_layers][n][hidden]: output of every block */
    float *logits;                              /* [n][vocab] */
    /* Attention probabilities, by the definition and in double: */
    double *entropies; /* [n][n_layers][n_heads] */
    double *masses; /* [n][ceil(n / 64)] of a row, given to a block of keys; summed over layers and heads */
};

/* Weights come from the checkpoint in `folder`; bf16: --dtype and --kv_dtype bfloat16, else float32. Fails the
 * running test on any error. */
void reference_forward(struct reference *out, const char *folder, bool bf16, int tree_leaves,
                       const int32_t *tokens, size_t n);
/* The same where row i attends to the positions j with sees[i * n + j]; at least one. */
void reference_forward_masked(struct reference *out, const char *folder, bool bf16, int tree_leaves,
                              const int32_t *tokens, size_t n, const bool *sees);
void reference_free(struct reference *r);

#endif /* TRAWL_TESTS_ENGINE_REFERENCE_FORWARD_H */
