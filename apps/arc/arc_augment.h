/* SPDX-License-Identifier: MIT */
/* Views of a task: geometry, colours and the order of the training pairs, and the way back. */
#ifndef TW_ARC_AUGMENT_H
#define TW_ARC_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_grid.h"
#include "base/error.h"

/* A plain value; set the members by hand or draw them. */
struct tw_arc_augment {
    bool hflip;                            /* mirror left-right, before the rotation */
    int n_rot90;                           /* quarter turns, counter-clockwise, 0..3 */
    uint8_t color_map[TW_ARC_COLORS];      /* new colour of each colour: a permutation */
    int n_train;                           /* valid entries of train_order */
    uint8_t train_order[TW_ARC_TRAIN_MAX]; /* place i of the prompt shows training pair train_order[i] */
};

/* Leaves everything as it is. */
void tw_arc_augment_identity(struct tw_arc_augment *a, int n_train);

/* The augmentation of prediction k = 0, 1, ... of a task. Geometry k mod 8 (hflip no: 0..3 turns, then hflip
 * yes: 0..3 turns), so the first K predictions are the same whatever K is, and K = 8m has each geometry m
 * times. Colours: with probability 0.1 a permutation of all ten, else 0 stays and 1..9 are permuted. The
 * training order is always permuted. Colours and order are Philox draws keyed by (seed; task id, k): they do
 * not depend on other tasks, on their order or on how a run is split. */
void tw_arc_augment_draw(struct tw_arc_augment *a, const struct tw_arc_task *task, uint64_t seed, int64_t k);

/* TRAWL_ERR_INVALID unless the maps are permutations and n_rot90 is 0..3. */
trawl_status tw_arc_augment_check(const struct tw_arc_augment *a, struct trawl_error *err);

/* New grids, owned by the caller; `from` must be a grid. invert(apply(g)) == g. */
trawl_status tw_arc_augment_apply(const struct tw_arc_augment *a, const struct tw_arc_grid *from,
                                  struct tw_arc_grid *to, struct trawl_error *err);
trawl_status tw_arc_augment_invert(const struct tw_arc_augment *a, const struct tw_arc_grid *from,
                                   struct tw_arc_grid *to, struct trawl_error *err);

#endif /* TW_ARC_AUGMENT_H */
