/* SPDX-License-Identifier: MIT */
/* Recursive halving: the one rule that cuts query heads, MLP columns, the vocabulary and the leaves of
 * a row-parallel sum. A range of n units gives ceil(n/2) to its left half and the rest to its right
 * half, and each half is cut the same way. So the cut into P parts is the cut into 2P parts with
 * neighbours joined, and the binary tree over leaves has a node for every rank of every degree: that is
 * why a model degree cannot change a bit. */
#ifndef TW_MESH_HALVING_H
#define TW_MESH_HALVING_H

#include <stddef.h>

struct tw_range {
    size_t begin, end; /* [begin, end); begin == end: nothing */
};

static inline size_t tw_range_size(struct tw_range r)
{
    return r.end - r.begin;
}

/* The units of part `part` of `parts` (a power of two, 0 <= part < parts) out of [0, n_units). A range
 * of one unit is not cut: its right half is empty. Parts are in ascending order and cover every unit
 * once; an empty part sits where its units would be. */
struct tw_range tw_mesh_halving(size_t n_units, int parts, int part);

/* The same for `n` elements cut in units of `unit` elements; the last unit may be short. */
struct tw_range tw_mesh_halving_clipped(size_t n, size_t unit, int parts, int part);

/* The leaves that rank `rank` of `degree` owns out of `leaves`: leaves/degree consecutive ones. Both are
 * powers of two, degree <= leaves. */
static inline struct tw_range tw_mesh_leaves(int leaves, int degree, int rank)
{
    size_t per_rank = (size_t)(leaves / degree);
    return (struct tw_range){(size_t)rank * per_rank, ((size_t)rank + 1) * per_rank};
}

#endif /* TW_MESH_HALVING_H */
