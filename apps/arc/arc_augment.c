/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_augment.h"

#include <string.h>

#include "base/hash.h"
#include "base/philox.h"

static const double ALL_COLORS_PROBABILITY = 0.1;

void tw_arc_augment_identity(struct tw_arc_augment *a, int n_train)
{
    *a = (struct tw_arc_augment){.n_train = n_train};
    for (int i = 0; i < TW_ARC_COLORS; i++) {
        a->color_map[i] = (uint8_t)i;
    }
    for (int i = 0; i < n_train; i++) {
        a->train_order[i] = (uint8_t)i;
    }
}

/* Fisher-Yates, from the end. */
static void shuffle(uint8_t *items, int n, struct tw_philox_stream *random)
{
    for (int i = n - 1; i > 0; i--) {
        uint32_t j  = tw_philox_below(random, (uint32_t)i + 1);
        uint8_t tmp = items[i];
        items[i]    = items[j];
        items[j]    = tmp;
    }
}

void tw_arc_augment_draw(struct tw_arc_augment *a, const struct tw_arc_task *task, uint64_t seed, int64_t k)
{
    uint64_t parts[2] = {tw_hash64(task->id, strlen(task->id)), (uint64_t)k};
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, seed, tw_hash64(parts, sizeof parts));
    tw_arc_augment_identity(a, task->n_train);
    a->hflip   = k % 8 >= 4;
    a->n_rot90 = (int)(k % 4);
    if (tw_philox_double(&random) < ALL_COLORS_PROBABILITY) {
        shuffle(a->color_map, TW_ARC_COLORS, &random);
    } else {
        shuffle(a->color_map + 1, TW_ARC_COLORS - 1, &random);
    }
    shuffle(a->train_order, a->n_train, &random);
}

static bool is_permutation(const uint8_t *items, int n)
{
    bool seen[TW_ARC_TRAIN_MAX] = {false};
    for (int i = 0; i < n; i++) {
        if (items[i] >= n || seen[items[i]]) {
            return false;
        }
        seen[items[i]] = true;
    }
    return true;
}

trawl_status tw_arc_augment_check(const struct tw_arc_augment *a, struct trawl_error *err)
{
    if (a->n_rot90 < 0 || a->n_rot90 > 3) {
        return tw_fail(err, TRAWL_ERR_INVALID, "n_rot90 is %d, expected 0..3", a->n_rot90);
    }
    if (!is_permutation(a->color_map, TW_ARC_COLORS)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "color_map is not a permutation of 0..9");
    }
    if (a->n_train < 0 || a->n_train > TW_ARC_TRAIN_MAX || !is_permutation(a->train_order, a->n_train)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "train_order is not a permutation of %d training pairs",
                       a->n_train);
    }
    return TRAWL_OK;
}

/* Where cell (r, c) of an R x C grid goes: mirrored, then turned counter-clockwise n times. The result is
 * R x C or C x R by the parity of n. */
static int target(const struct tw_arc_augment *a, int rows, int cols, int r, int c)
{
    c = a->hflip ? cols - 1 - c : c;
    switch (a->n_rot90) {
    case 1: return (cols - 1 - c) * rows + r;
    case 2: return (rows - 1 - r) * cols + (cols - 1 - c);
    case 3: return c * rows + (rows - 1 - r);
    default: return r * cols + c;
    }
}

trawl_status tw_arc_augment_apply(const struct tw_arc_augment *a, const struct tw_arc_grid *from,
                                  struct tw_arc_grid *to, struct trawl_error *err)
{
    bool turned = a->n_rot90 % 2 == 1;
    TW_TRY(tw_arc_grid_new(to, turned ? from->cols : from->rows, turned ? from->rows : from->cols, err));
    for (int r = 0; r < from->rows; r++) {
        for (int c = 0; c < from->cols; c++) {
            to->cells[target(a, from->rows, from->cols, r, c)] =
                a->color_map[from->cells[r * from->cols + c]];
        }
    }
    return TRAWL_OK;
}

trawl_status tw_arc_augment_invert(const struct tw_arc_augment *a, const struct tw_arc_grid *from,
                                   struct tw_arc_grid *to, struct trawl_error *err)
{
    bool turned = a->n_rot90 % 2 == 1;
    uint8_t back[TW_ARC_COLORS];
    for (int i = 0; i < TW_ARC_COLORS; i++) {
        back[a->color_map[i]] = (uint8_t)i;
    }
    TW_TRY(tw_arc_grid_new(to, turned ? from->cols : from->rows, turned ? from->rows : from->cols, err));
    for (int r = 0; r < to->rows; r++) {
        for (int c = 0; c < to->cols; c++) {
            to->cells[r * to->cols + c] = back[from->cells[target(a, to->rows, to->cols, r, c)]];
        }
    }
    return TRAWL_OK;
}
