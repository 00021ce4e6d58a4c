/* SPDX-License-Identifier: MIT */
/* Attention over bf16 keys and values with vdpbf16ps. */
#include "kernels/x86/kernels_vec_avx512.h"

#include "kernels/x86/kernels_tile.h"
#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_attend_v16.h"

#define TILE_TABLE  tiles_dot
#define TILE_KIND   TILE_DOT
#define TILE_LAYOUT TILE_LINES
#include "kernels/x86/kernels_tile_table.h"

static const struct attend_kind kind_bf16 = {.tiles = tiles_dot, .bytes = 2};

static void attend_bf16_avx512bf16(const struct tw_attend *a)
{
    attend_v16(a, &kind_bf16);
}

static void attend_span_bf16_avx512bf16(const struct tw_attend *a, size_t span, float *partials)
{
    attend_span_v16(a, &kind_bf16, span, partials);
}

static bool attend_scores_bf16_avx512bf16(const struct tw_attend *a, size_t row, size_t j, float *scores)
{
    return attend_scores_v16(a, &kind_bf16, row, j, scores);
}

void tw_kernels_attend_avx512bf16(struct tw_kernels *k)
{
    k->attend_bf16          = attend_bf16_avx512bf16;
    k->attend_span_bf16     = attend_span_bf16_avx512bf16;
    k->attend_merge         = attend_merge_v16;
    k->attend_scores_bf16   = attend_scores_bf16_avx512bf16;
    k->attend_scratch_bytes = attend_scratch_v16;
}
