/* SPDX-License-Identifier: MIT */
#include "comm/pattern/comm_tree.h"

#include <string.h>

#include "base/size.h"
#include "comm/comm.h"

/* Floats summed at a time, so that inner sums stay in the first-level cache; and the levels of a tree of
 * TW_COMM_RANKS_MAX parts. */
enum { BLOCK = 512, LEVELS = 11 };
_Static_assert(TW_COMM_RANKS_MAX <= 1 << (LEVELS - 1), "a tree of all ranks must fit the scratch");

struct tree {
    const float *const *parts;
    int n_parts;
    size_t at, n; /* floats [at, at + n) of every part, n <= BLOCK */
};

/* Sum of parts [first, first + width): a part itself, scratch[0] (never a later one, which the caller uses
 * for the sibling), or NULL where no rank contributes. */
static const float *subtree(const struct tree *t, int first, int width, float (*scratch)[BLOCK])
{
    if (first >= t->n_parts) {
        return NULL;
    }
    if (width == 1) {
        return t->parts[first] == NULL ? NULL : t->parts[first] + t->at;
    }
    const float *left  = subtree(t, first, width / 2, scratch);
    const float *right = subtree(t, first + width / 2, width / 2, left == NULL ? scratch : scratch + 1);
    if (left == NULL || right == NULL) {
        return left == NULL ? right : left;
    }
    float *sum = scratch[0];
    for (size_t i = 0; i < t->n; i++) {
        sum[i] = left[i] + right[i];
    }
    return sum;
}

static void write_pair(float *restrict out, const float *left, const float *right, size_t n, bool add)
{
    if (add) {
        for (size_t i = 0; i < n; i++) {
            out[i] = out[i] + (left[i] + right[i]);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            out[i] = left[i] + right[i];
        }
    }
}

static void write_one(float *restrict out, const float *only, size_t n, bool add)
{
    if (add) {
        for (size_t i = 0; i < n; i++) {
            out[i] = out[i] + only[i];
        }
    } else {
        memcpy(out, only, n * sizeof *out);
    }
}

static void write_block(const struct tree *t, int half, float *out, bool add)
{
    float scratch[LEVELS][BLOCK];
    const float *left  = subtree(t, 0, half, scratch);
    const float *right = subtree(t, half, half, scratch + 1);
    if (left != NULL && right != NULL) {
        write_pair(out, left, right, t->n, add);
    } else if (left != NULL || right != NULL) {
        write_one(out, left != NULL ? left : right, t->n, add);
    } else if (!add) {
        memset(out, 0, t->n * sizeof *out);
    }
}

void tw_comm_tree_sum(const float *const *parts, int n_parts, float *out, size_t begin, size_t end, bool add)
{
    int half = 1; /* half the leaves of the tree; one part is a tree whose right half is empty */
    while (half * 2 < n_parts) {
        half *= 2;
    }
    for (size_t at = begin; at < end; at += BLOCK) {
        struct tree t = {.parts = parts, .n_parts = n_parts, .at = at, .n = tw_min_size(end - at, BLOCK)};
        write_block(&t, half, out + at, add);
    }
}
