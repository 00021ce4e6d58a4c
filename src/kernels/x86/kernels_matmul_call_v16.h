/* SPDX-License-Identifier: MIT */
/* What a matmul around the innermost loop is made of: calls, pieces of their inputs (the tree over leaves), tasks.
 * Include after kernels_tile_codes.h. */
#ifndef TW_KERNELS_MATMUL_CALL_V16_H
#define TW_KERNELS_MATMUL_CALL_V16_H

#include "kernels/kernels_levels.h"
#include "kernels/x86/kernels_tile_codes.h"

/* What distinguishes the three matmuls of a level. */
struct matmul_kind {
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    tile_fn *const (*code_tiles)[TILE_ROWS + 1]; /* that decode compressed panels; NULL: there are none ... */
    tile_fn *const (*keep_tiles)[TILE_ROWS + 1]; /* ... and keep what they decoded */
    size_t weight_bytes;
    bool words; /* packed rows are words of two bf16 */
    bool round; /* rows are rounded to bf16: a leaf is one chain, and SwiGLU's result is rounded */
};

enum {
    LEVELS = TILE_LEFTS + 1, /* subtrees that wait for their right sibling, and a leaf that is not finished */
    NEAR_BYTES   = 4096,     /* prefetch distance inside a panel */
    NEXT_BYTES   = 256 << 10, /* a group of panels that one block of rows prefetches whole, at most ... */
    SHARE_BYTES  = 512 << 10, /* ... and one that several blocks prefetch together */
    ROWS_BYTES   = 512 << 10, /* packed rows that stay in L2 while panels pass by */
    FEW_CHUNK    = 40,        /* row blocks */
    LEAST_CHUNK  = 8,
    LONG_INPUTS  = 1280,      /* more inputs than that are taken piece by piece where rows are many */
    PIECE_BYTES  = 256 << 10, /* rows of a piece that stay in L2 while the panels of a unit pass by */
    PIECE_GROUPS = 2,         /* groups of panels of such a unit */
    PIECE_BLOCKS = 6,         /* row blocks of one, when fewer balance the threads better */
    NEXT_PANELS  = 8,         /* what is beside compressed panels is asked for so many panels ahead */
    SUMS_FLOATS  = TILE_VECTORS * 16,
    MOST_PIECES  = 2 * TW_MAX_LEAVES
};

/* A leaf that has inputs, or a part of one. */
struct matmul_piece {
    size_t begin, end; /* inputs */
    size_t chain;      /* inputs of a chain; 0: the leaf is one */
    bool resume;       /* goes on from the sums of the piece before */
    bool finish;       /* the last of its leaf: */
    size_t n_left;     /* it completes so many waiting subtrees, from the topmost downwards */
    size_t level;      /* where the result then waits */
};

/* One call, as a thread sees it. */
struct matmul_call {
    struct tw_matmul *mm;
    const struct matmul_kind *kind;
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    struct matmul_piece pieces[MOST_PIECES];
    size_t n_pieces; /* at least 1; the only one may be empty */
    size_t width;    /* output panels of a task */
    size_t blocks;   /* of rows */
    size_t panels;
    size_t pair_bytes; /* of a pair of inputs of a panel in memory */
    bool coded;        /* panels are compressed, and decoded by the tiles; or ... */
    bool keeps;        /* ... by those of the first block, which keep them for the others; or ... */
    char *expanded;    /* ... before them, to here; NULL: panels are plain */
};

/* One block of rows against one group of panels. */
struct matmul_task {
    const struct matmul_call *call;
    struct tw_row_block block;
    const char *rows;
    const char *memory[TILE_PANELS]; /* panels, SwiGLU: of the gate, then up; from the call's first pair */
    const char *w[TILE_PANELS]; /* the same, or where they were expanded to, from pair w_from of the call */
    size_t w_from;
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    bool coded; /* which decode ... */
    bool keeps; /* ... and keep what they decoded, from pair w_from on: */
    char *keep[TILE_PANELS];
    size_t streams;       /* panels in w */
    size_t panel, panels; /* output panels of the group */
    float *waiting;       /* the stack of subtrees, level_floats apart */
    size_t level_floats;
};

/* What to prefetch while a piece is computed: bytes from the pair at hand, first and then more with every
 * pair. */
struct matmul_ahead {
    size_t first, step;
};

/* ---- the tree over leaves ---- */

/* Leaf [begin, end) as pieces of about `most` inputs at most, each of whole chains. */
static void matmul_cut_leaf(struct matmul_call *call, size_t begin, size_t end, size_t most)
{
    const size_t n      = end - begin;
    const size_t chain  = call->kind->round ? 0 : tw_chain_inputs(n);
    const size_t grain  = chain == 0 ? TW_GROUP_INPUTS : chain;
    const size_t pieces = most == 0 ? 1 : (n + most - 1) / most;
    const size_t step   = ((n + pieces - 1) / pieces + grain - 1) / grain * grain;
    for (size_t k = begin; k < end; k += step) {
        const size_t stop              = end - k > step ? k + step : end;
        call->pieces[call->n_pieces++] = (struct matmul_piece){
            .begin = k, .end = stop, .chain = chain, .resume = k > begin, .finish = stop == end};
    }
}

/* Do subtrees whose latest leaf is `left` and one with leaf `i` merge before leaf `next` is reached? The
 * right one must be complete: `next` lies outside of it. */
static bool matmul_merges(size_t left, size_t i, size_t next)
{
    const int level = 63 - __builtin_clzll((unsigned long long)(left ^ i));
    return next >> level != i >> level;
}

/* The balanced binary tree over leaves as a stack of subtrees that wait for their right siblings. An empty
 * leaf adds nothing: its sibling passes unchanged. `most`: inputs of a piece, 0: leaves are not cut. */
static void matmul_plan(struct matmul_call *call, size_t most)
{
    const struct tw_matmul *mm = call->mm;
    const size_t n_leaves      = (size_t)mm->n_leaves;
    size_t owner[LEVELS], depth = 0, begin = 0, leaf = 0;
    while (leaf < n_leaves && mm->leaf_end[leaf] == begin) {
        leaf++;
    }
    while (leaf < n_leaves) {
        size_t next = leaf + 1, first = call->n_pieces, n_left = 0;
        matmul_cut_leaf(call, begin, mm->leaf_end[leaf], most);
        begin = mm->leaf_end[leaf];
        while (next < n_leaves && mm->leaf_end[next] == begin) {
            next++;
        }
        while (depth > n_left &&
               matmul_merges(owner[depth - n_left - 1], leaf, next < n_leaves ? next : SIZE_MAX)) {
            n_left++;
        }
        for (size_t i = first; i < call->n_pieces; i++) {
            call->pieces[i].n_left = n_left;
            call->pieces[i].level  = depth - n_left;
        }
        depth -= n_left;
        if (next < n_leaves) {
            owner[depth++] = leaf;
        }
        leaf = next;
    }
    if (call->n_pieces == 0) {
        call->pieces[call->n_pieces++] = (struct matmul_piece){.finish = true};
    }
}

#endif /* TW_KERNELS_MATMUL_CALL_V16_H */
