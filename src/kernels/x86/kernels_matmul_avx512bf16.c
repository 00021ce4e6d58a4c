/* SPDX-License-Identifier: MIT */
/* Matmul of bf16 by bf16 with vdpbf16ps, whose lanes add a pair's products to the sum one after the other,
 * the odd one first, each rounded: the canonical order at twice the rate of fma. */
#include "kernels/x86/kernels_vec_avx512.h"

#include "kernels/x86/kernels_tile.h"
#include "kernels/x86/kernels_v16_math.h"

#include "kernels/x86/kernels_matmul_v16.h"

#define TILE_TABLE  tiles_dot
#define TILE_KIND   TILE_DOT
#define TILE_LAYOUT TILE_BLOCK
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE tiles_codes
#define TILE_LIST  TILE_CODE_SHAPES
#define TILE_KIND  TILE_DOT
#define TILE_KEEPS false
#include "kernels/x86/kernels_tile_table.h"

#define TILE_TABLE tiles_keep
#define TILE_LIST  TILE_KEEP_SHAPES
#define TILE_KIND  TILE_DOT
#define TILE_KEEPS true
#include "kernels/x86/kernels_tile_table.h"

static void matmul_bf16_avx512bf16(struct tw_matmul *mm, int thread, int n_threads)
{
    const struct matmul_kind kind = {.tiles        = tiles_dot,
                                     .code_tiles   = tiles_codes,
                                     .keep_tiles   = tiles_keep,
                                     .weight_bytes = 2,
                                     .words        = true,
                                     .round        = true};
    matmul_v16(mm, thread, n_threads, &kind);
}

static void pack_bf16_avx512bf16(void *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_v16(block, x, ldx, rows, k, true, true);
}

void tw_kernels_matmul_avx512bf16(struct tw_kernels *k)
{
    k->bf16_dot    = true;
    k->pack_bf16   = pack_bf16_avx512bf16;
    k->matmul_bf16 = matmul_bf16_avx512bf16;
}
