/* SPDX-License-Identifier: MIT */
#include "kernels/x86/kernels_vec_avx2.h"

#include "kernels/x86/kernels_tile.h"
#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_attend_v16.h"

#define TILE_TABLE  tiles_f32
#define TILE_KIND   TILE_F32
#define TILE_LAYOUT TILE_LINES
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE  tiles_bf16
#define TILE_KIND   TILE_BF16
#define TILE_LAYOUT TILE_LINES
#include "kernels/x86/kernels_tile_table.h"

static const struct attend_kind kind_f32  = {.tiles = tiles_f32, .bytes = 4};
static const struct attend_kind kind_bf16 = {.tiles = tiles_bf16, .bytes = 2, .round = true};

static void attend_f32_avx2(const struct tw_attend *a)
{
    attend_v16(a, &kind_f32);
}

static void attend_bf16_avx2(const struct tw_attend *a)
{
    attend_v16(a, &kind_bf16);
}

static void attend_span_f32_avx2(const struct tw_attend *a, size_t span, float *partials)
{
    attend_span_v16(a, &kind_f32, span, partials);
}

static void attend_span_bf16_avx2(const struct tw_attend *a, size_t span, float *partials)
{
    attend_span_v16(a, &kind_bf16, span, partials);
}

static bool attend_scores_f32_avx2(const struct tw_attend *a, size_t row, size_t j, float *scores)
{
    return attend_scores_v16(a, &kind_f32, row, j, scores);
}

static bool attend_scores_bf16_avx2(const struct tw_attend *a, size_t row, size_t j, float *scores)
{
    return attend_scores_v16(a, &kind_bf16, row, j, scores);
}

void tw_kernels_attend_avx2(struct tw_kernels *k)
{
    k->attend_f32           = attend_f32_avx2;
    k->attend_bf16          = attend_bf16_avx2;
    k->attend_span_f32      = attend_span_f32_avx2;
    k->attend_span_bf16     = attend_span_bf16_avx2;
    k->attend_merge         = attend_merge_v16;
    k->attend_scores_f32    = attend_scores_f32_avx2;
    k->attend_scores_bf16   = attend_scores_bf16_avx2;
    k->attend_scratch_bytes = attend_scratch_v16;
}
