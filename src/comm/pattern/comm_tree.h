/* SPDX-License-Identifier: MIT */
/* The binary tree sum over ranks of buffers that are all at hand. No state; any thread. */
#ifndef TW_COMM_TREE_H
#define TW_COMM_TREE_H

#include <stdbool.h>
#include <stddef.h>

/* parts[r]: the floats of rank r, or NULL where that rank contributes nothing. For i in [begin, end):
 *     add == false:  out[i] = ((p0[i] + p1[i]) + (p2[i] + p3[i])) + ...   (+0 where no rank contributes)
 *     add == true:   out[i] = out[i] + (that sum)                         (unchanged then)
 * An absent part, and one beyond n_parts, adds nothing. out overlaps no part. 1 <= n_parts <=
 * TW_COMM_RANKS_MAX. */
void tw_comm_tree_sum(const float *const *parts, int n_parts, float *out, size_t begin, size_t end, bool add);

#endif /* TW_COMM_TREE_H */
