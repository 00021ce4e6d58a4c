/* SPDX-License-Identifier: MIT */
/* The table of compute kernels. Every entry computes the canonical order of docs/numerics.md, so any two
 * levels of the table give the same bits; tests/kernels compares each with its scalar twin by memcmp.
 *
 * A kernel allocates nothing, locks nothing, logs nothing and cannot fail. It runs in the compute
 * floating-point mode (base/thread.h: tw_float_mode_compute). Threads share work as each entry says.
 *
 * Letters: M rows (tokens), K inputs, N outputs of a weight; D head width.
 */
#ifndef TW_KERNELS_KERNELS_H
#define TW_KERNELS_KERNELS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kernels/kernels_compress.h"
#include "tensor/dtype.h"

enum {
    TW_PANEL        = 16,   /* output columns of a packed weight panel */
    TW_KV_BLOCK     = 64,   /* positions of an attention block, and of a KV page */
    TW_KV_SPAN      = 1024, /* positions whose blocks are merged before spans are */
    TW_MAX_LEAVES   = 32,
    TW_MAX_HEAD_DIM = 256,
    TW_SUM_BLOCK    = 1024 /* elements of a row whose sums are finished before the next block's begin */
};

/* ---- packed weights ----
 * w[N,K] becomes [ceil(N/16)][ceil(K/2)][16][2]: panel, pair of inputs, column, even/odd input. Missing
 * columns and a missing odd input are zeros. Element type bf16, or f32 for weights that bf16 cannot hold. */

static inline size_t tw_packed_k(size_t k)
{
    return (k + 1) & ~(size_t)1;
}

/* Elements of a packed panel: the distance between panels. */
static inline size_t tw_panel_elements(size_t k)
{
    return tw_packed_k(k) * TW_PANEL;
}

/* Pack rows [0, n) of w (row-major, `ld` elements between rows, element type `from` in {BF16, F16, F32})
 * into ceil(n/16) panels of element type `to` in {BF16, F32}; to BF16 rounds to nearest even. Runs on one
 * thread; split by panels. */
void tw_pack_weight(void *panels, enum tw_dtype to, const void *w, enum tw_dtype from, size_t ld, size_t n,
                    size_t k);

/* ---- packed activations ----
 * M rows fall into ceil(M/tile_rows) blocks of nearly equal size (tw_row_block); what a block looks like
 * inside is the table's own affair. Block b starts at byte offset 4 * row_begin * tw_packed_k(K). */

struct tw_row_block {
    size_t begin; /* first row */
    size_t rows;  /* 1 .. tile_rows */
};

static inline size_t tw_row_blocks(size_t m, size_t tile_rows)
{
    return (m + tile_rows - 1) / tile_rows;
}

static inline struct tw_row_block tw_row_block(size_t m, size_t tile_rows, size_t b)
{
    size_t n = tw_row_blocks(m, tile_rows);
    size_t q = m / n, r = m % n;
    size_t begin = b * q + (b < r ? b : r);
    return (struct tw_row_block){.begin = begin, .rows = q + (b < r ? 1 : 0)};
}

/* Bytes of a packed [M,K] operand in any table. */
static inline size_t tw_packed_rows_bytes(size_t m, size_t k)
{
    return m * tw_packed_k(k) * sizeof(float);
}

/* Pack one block: `rows` rows of x (f32, ldx apart), K inputs each, K odd padded with zero. The BF16
 * version rounds every value to bf16 (nearest even). `block`: 64-byte aligned is not required. */
typedef void tw_pack_rows_fn(void *block, const float *x, size_t ldx, size_t rows, size_t k);

/* ---- matmul: y[m,n] = tree over leaves of (sum over k of x[m,k] w[n,k]) ----
 * Inside a leaf, pairs ascend and the odd input comes first: acc = fma(x[2p+1], w[2p+1], acc); acc =
 * fma(x[2p], w[2p], acc), acc starts at +0. Leaves are added as a balanced binary tree; an empty leaf
 * (leaf_end equal to the one before) contributes nothing, its sibling's sum passes unchanged; if all
 * leaves are empty the result is +0.
 *
 * Rows in f32 (matmul_f32_*) are for accuracy, and one long chain of f32 additions is not accurate: there a
 * leaf of n inputs is cut into chunks of tw_chain_inputs(n) inputs, each a chain as above from +0, and the
 * chunks are added one after another: ((c0 + c1) + c2) + ... Rows rounded to bf16 (matmul_bf16) have one chain
 * per leaf, because rounding the inputs has already cost more than the chain does. */

/* Inputs of a chunk: the least power of two that is at least sqrt(n), and at least 16; where chunks are as
 * long as there are chunks the error of both sums together is least. */
static inline size_t tw_chain_inputs(size_t n)
{
    size_t c = 16;
    while (c * c < n) {
        c *= 2;
    }
    return c;
}

/* Bytes for each thread of a matmul: sums of pieces; and before them, of compressed panels only, two panels of a
 * piece, or two whole ones. */
enum { TW_MATMUL_SCRATCH = 320 << 10, TW_MATMUL_PIECE_SCRATCH = 96 << 10 };

static inline size_t tw_matmul_scratch_bytes(size_t longest_k, bool compressed)
{
    const size_t pieces = TW_MATMUL_SCRATCH + (compressed ? (size_t)TW_MATMUL_PIECE_SCRATCH : 0);
    const size_t panels = compressed ? 2 * (tw_panel_elements(longest_k) * 2 + TW_PLAIN_BYTES) : 0;
    return pieces > panels ? pieces : (panels + 63) & ~(size_t)63;
}

enum tw_epilogue {
    TW_EPILOGUE_STORE, /* y = sum (+ bias)         */
    TW_EPILOGUE_ADD,   /* y = y + sum (+ bias after sum: y + (sum + bias)) : the residual stream */
    TW_EPILOGUE_SWIGLU /* z = silu(sum over w) * (sum over w2): packed as the next matmul's rows  */
};

struct tw_matmul {
    const void *rows;    /* packed activations [m, k] */
    size_t m, k;         /* k: inputs of this call, all leaves together */
    const void *w;       /* panel 0, at the first of the k inputs */
    const void *w2;      /* SWIGLU: the up projection, same shape and stride; else NULL */
    size_t panel_stride; /* elements between panels of w and w2 (may exceed k's: a slice of the inputs) */
    /* Compressed panels, for entries that take them: w and w2 are the beginnings of panel 0, the call's inputs
     * begin with pair first_pair, and scratch is needed (tw_matmul_scratch_bytes). */
    struct tw_codes codes, codes2;
    size_t first_pair;
    size_t n;                 /* output columns; the last panel may be partial: only n columns are stored */
    int n_leaves;             /* power of two, 1 .. TW_MAX_LEAVES */
    const uint32_t *leaf_end; /* [n_leaves] ascending, even (the last: k), in inputs from 0 */
    const float *bias;        /* [n] or NULL; after the tree. Not with SWIGLU */
    enum tw_epilogue epilogue;
    float *y;         /* STORE, ADD: [m, n] */
    size_t ldy;       /* elements between rows of y */
    void *packed_out; /* SWIGLU: packed [m, n] in the format of `pack` (bf16-rounded for the bf16 entry) */
    /* n_threads times scratch_bytes for half-finished sums, 64-byte aligned. Without it (NULL, 0) many rows by
     * many inputs are slower. */
    void *scratch;
    size_t scratch_bytes;  /* a multiple of 64, best TW_MATMUL_SCRATCH */
    _Atomic uint32_t next; /* work counter, 0 before the call; shared by the threads of one call */
};

/* Called by all n_threads threads of a team on the same struct; returns when this thread finds no more
 * work (the caller's barrier ends the matmul). Which thread computes an element never changes it. */
typedef void tw_matmul_fn(struct tw_matmul *mm, int thread, int n_threads);

/* ---- attention over paged keys and values ----
 * A block holds TW_KV_BLOCK positions of one (layer, KV head): keys [D/2][64][2] and values [32][D][2]
 * (pairs of inputs / pairs of positions), bf16 or f32. With bf16 blocks, queries and probabilities are
 * rounded to bf16 before their products; the sum of probabilities takes them unrounded. */

static inline size_t tw_kv_block_elements(size_t head_dim)
{
    return head_dim * TW_KV_BLOCK;
}

/* Store one position: k and v are f32 [D]; slot = position mod 64. Storing the even slot of a pair writes
 * zero into the odd one of v, so that a reused page never shows its old content. */
typedef void tw_kv_store_fn(void *k_block, void *v_block, size_t slot, const float *k, const float *v,
                            size_t head_dim);

struct tw_attend {
    const float *q; /* row r, head h: q + r*ldq + h*head_dim; after RoPE */
    size_t ldq;
    size_t n_rows;               /* consecutive positions of one sequence, >= 1 */
    size_t position;             /* of row 0; without a mask row r sees keys 0 .. position + r */
    size_t n_heads;              /* consecutive query heads that share the KV head */
    size_t head_dim;             /* even */
    float scale;                 /* positive; multiplies each score, after the chain */
    const void *const *k_blocks; /* without a mask [ceil((position + n_rows) / 64)], else [n_blocks] */
    const void *const *v_blocks;
    /* A mask: bit i of visible[r * n_blocks + j] says whether row r sees key i of the block k_blocks[j],
     * which holds positions from 64 * blocks[j] on; blocks ascend, and what is in none of them is not seen. A
     * block of which a row sees nothing is not read for it, and its pointers may be NULL where no row does.
     * Every row sees something. Of a block that a row sees some of, all keys before the last visible one have
     * been stored. */
    const uint64_t *visible; /* [n_rows][n_blocks], or NULL: causal */
    const uint32_t *blocks;  /* [n_blocks], or NULL: block j is the j-th */
    size_t n_blocks;
    float *z; /* like q, with ldz */
    size_t ldz;
    void *scratch; /* attend_scratch_bytes(n_rows * n_heads, head_dim), this thread's own, 64-byte aligned */
};

typedef void tw_attend_fn(const struct tw_attend *a);
typedef size_t tw_attend_scratch_fn(size_t n_queries, size_t head_dim);

/* The same split by spans, for few rows over long contexts: a partial per query and span ... */
struct tw_attend_partial; /* opaque floats: per query max, sum, o[D]; tw_attend_partial_floats(D) each */
static inline size_t tw_attend_partial_floats(size_t head_dim)
{
    return tw_packed_k(head_dim) + 16;
}
/* ... span s of every query of `a` into partials[query * tw_attend_partial_floats(D)], query = r*n_heads + h
 * ... */
typedef void tw_attend_span_fn(const struct tw_attend *a, size_t span, float *partials);
/* ... and spans 0 .. n_spans-1 (each an array as above, `span_stride` floats apart) merged into a->z. Spans
 * that a query does not see were left marked empty by the span kernel. */
typedef void tw_attend_merge_fn(const struct tw_attend *a, const float *partials, size_t span_stride,
                                size_t n_spans);

/* Scores of one row's queries and the keys of block entry j, [n_heads][64], 64-byte aligned: the very ones that
 * attention takes, and -inf for keys that the row does not see. false, and nothing written, when it sees none of
 * them. For those who want to know where a row looks; attention itself never stores them. */
typedef bool tw_attend_scores_fn(const struct tw_attend *a, size_t row, size_t j, float *scores);

/* ---- rows ---- */

/* y[i] = (x[i] * r) * w[i], r = f32(1 / sqrt(mean(x^2) + eps)) in f64: squares summed by 8 lanes (lane j:
 * elements j, j+8, ...), lanes by binary tree. y may be x. */
typedef void tw_rmsnorm_fn(float *y, const float *x, const float *w, size_t n, double eps);
/* In place on one head vector: (x1, x2) = halves; x1' = x1*cos - x2*sin, x2' = x2*cos + x1*sin, each
 * product and sum rounded on its own (no fma). cos, sin: [D/2]. */
typedef void tw_rope_fn(float *x, const float *cos, const float *sin, size_t head_dim);
typedef void tw_add_fn(float *y, const float *x, size_t n); /* y += x */
/* y[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i]: what the SWIGLU epilogue computes. y may be gate or up. */
typedef void tw_swiglu_fn(float *y, const float *gate, const float *up, size_t n);
typedef void tw_widen_fn(float *y, const uint16_t *x, size_t n);  /* bf16 -> f32, exact */
typedef void tw_narrow_fn(uint16_t *y, const float *x, size_t n); /* f32 -> bf16, nearest even, no flush */
/* Largest element and its lowest index; NaN is never the largest; n >= 1. All NaN: index 0. */
typedef void tw_argmax_fn(const float *x, size_t n, float *max, size_t *index);
/* For softmax over a row: with d = x - max (f32) and e = exp(d) (f32): out = {sum e, sum e*d, sum e*d*d} in
 * f64 over fixed blocks of 1024 elements (8 lanes, tree), blocks in ascending order. */
typedef void tw_softmax_sums_fn(const float *x, size_t n, float max, double out[3]);
/* The weights of a draw: y[i] = exp((x[i] - max) * scale), 0 where x[i] is NaN; sums[b]: the sum of the b-th
 * TW_SUM_BLOCK elements of y in f64 (8 lanes, tree). max: finite, none is larger; scale: finite, positive. */
typedef void tw_softmax_weights_fn(float *y, double *sums, const float *x, size_t n, float max, float scale);
/* y = exp(x), our own polynomial: the same bits everywhere; relative error below 2 ulp; exp(-inf) = 0,
 * overflow to inf, NaN stays. */
typedef void tw_exp_fn(float *y, const float *x, size_t n);

/* cos and sin of position * inverse_frequency[i] in f64 by our own reduction and polynomials (libm's differ
 * between builds), rounded once to f32. Scalar code, the same on every level. */
void tw_rope_angles(const double *inverse_frequency, size_t n, size_t position, float *cos, float *sin);

struct tw_kernels {
    const char *isa;  /* "scalar", "avx2", "avx512", "avx512bf16" */
    bool bf16_dot;    /* matmul_bf16 runs on vdpbf16ps */
    bool compressed;  /* matmul_bf16 and matmul_f32_bf16 take compressed panels */
    size_t tile_rows; /* rows of a block of packed activations, >= 1 */

    tw_pack_rows_fn *pack_f32;     /* for matmul_f32_bf16 and matmul_f32_f32 */
    tw_pack_rows_fn *pack_bf16;    /* for matmul_bf16: values rounded to bf16 */
    tw_matmul_fn *matmul_f32_f32;  /* f32 rows, f32 weights */
    tw_matmul_fn *matmul_f32_bf16; /* f32 rows, bf16 weights */
    tw_matmul_fn *matmul_bf16;     /* bf16 rows, bf16 weights */

    tw_kv_store_fn *kv_store_f32, *kv_store_bf16;
    tw_attend_fn *attend_f32, *attend_bf16;
    tw_attend_span_fn *attend_span_f32, *attend_span_bf16;
    tw_attend_merge_fn *attend_merge;
    tw_attend_scores_fn *attend_scores_f32, *attend_scores_bf16;
    tw_attend_scratch_fn *attend_scratch_bytes;

    tw_rmsnorm_fn *rmsnorm;
    tw_rope_fn *rope;
    tw_add_fn *add;
    tw_swiglu_fn *swiglu;
    tw_widen_fn *widen;
    tw_narrow_fn *narrow;
    tw_argmax_fn *argmax;
    tw_softmax_sums_fn *softmax_sums;
    tw_softmax_weights_fn *softmax_weights;
    tw_exp_fn *exp;
};

/* Fill the table with the best this machine has. `isa`: NULL or "auto", or a level to stop at ("scalar",
 * "avx2", "avx512", "avx512bf16"); a level the machine lacks or an unknown name is refused with those it
 * has. With auto, whether vdpbf16ps is used is decided by a timing of a few milliseconds. */
trawl_status tw_kernels_init(struct tw_kernels *k, const char *isa, struct trawl_error *err);

#endif /* TW_KERNELS_KERNELS_H */
