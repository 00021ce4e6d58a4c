/* SPDX-License-Identifier: MIT */
/* Matmul by fma, of a level that has no other: bf16 panels are widened in registers. A template; include after the
 * header that says what 16 lanes are. */
#ifndef TW_KERNELS_MATMUL_FMA_V16_H
#define TW_KERNELS_MATMUL_FMA_V16_H

#include "kernels/x86/kernels_tile.h"
#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_matmul_v16.h"

#define TILE_TABLE  tiles_f32
#define TILE_KIND   TILE_F32
#define TILE_LAYOUT TILE_BLOCK
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE  tiles_bf16
#define TILE_KIND   TILE_BF16
#define TILE_LAYOUT TILE_BLOCK
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE tiles_codes
#define TILE_LIST  TILE_CODE_SHAPES
#define TILE_KIND  TILE_BF16
#define TILE_KEEPS false
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE tiles_keep
#define TILE_LIST  TILE_KEEP_SHAPES
#define TILE_KIND  TILE_BF16
#define TILE_KEEPS true
#include "kernels/x86/kernels_tile_table.h"

static void matmul_f32_f32_fma(struct tw_matmul *mm, int thread, int n_threads)
{
    const struct matmul_kind kind = {.tiles = tiles_f32, .weight_bytes = 4};
    matmul_v16(mm, thread, n_threads, &kind);
}

static void matmul_f32_bf16_fma(struct tw_matmul *mm, int thread, int n_threads)
{
    const struct matmul_kind kind = {
        .tiles = tiles_bf16, .code_tiles = tiles_codes, .keep_tiles = tiles_keep, .weight_bytes = 2};
    matmul_v16(mm, thread, n_threads, &kind);
}

static void matmul_bf16_fma(struct tw_matmul *mm, int thread, int n_threads)
{
    const struct matmul_kind kind = {.tiles        = tiles_bf16,
                                     .code_tiles   = tiles_codes,
                                     .keep_tiles   = tiles_keep,
                                     .weight_bytes = 2,
                                     .round        = true};
    matmul_v16(mm, thread, n_threads, &kind);
}

static void pack_f32_fma(void *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_v16(block, x, ldx, rows, k, false, false);
}

static void pack_bf16_fma(void *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_v16(block, x, ldx, rows, k, true, false);
}

static void matmul_fma_publish(struct tw_kernels *k)
{
    k->compressed      = true;
    k->tile_rows       = TILE_ROWS;
    k->pack_f32        = pack_f32_fma;
    k->pack_bf16       = pack_bf16_fma;
    k->matmul_f32_f32  = matmul_f32_f32_fma;
    k->matmul_f32_bf16 = matmul_f32_bf16_fma;
    k->matmul_bf16     = matmul_bf16_fma;
}

#endif /* TW_KERNELS_MATMUL_FMA_V16_H */
