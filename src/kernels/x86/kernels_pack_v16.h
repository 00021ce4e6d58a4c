/* SPDX-License-Identifier: MIT */
/* Packing of rows for the innermost loop: a block is [K][rows] f32, or [K/2][rows] words of two bf16 (even
 * input in the lower half) for vdpbf16ps: what the loop broadcasts comes from consecutive addresses. Include
 * after kernels_vec_<isa>.h. */
#ifndef TW_KERNELS_PACK_V16_H
#define TW_KERNELS_PACK_V16_H

#include "kernels/kernels_levels.h"

/* 16 values of a row from input k on, zeros beyond n, rounded if wanted */
static inline v16 pack_load(const float *x, size_t k, size_t n, bool round)
{
    v16 v = k + 16 <= n ? v16_load(x + k) : k < n ? v16_load_n(x + k, n - k) : v16_zero();
    return round ? v16_round_bf16(v) : v;
}

/* Column c of the n that are written in ascending order. Its store reaches into the places of the columns
 * after it, which are written next; not beyond the n-th, where another thread may write. */
static inline void pack_store_column(float *out, v16 column, size_t c, size_t n, size_t rows)
{
    if (c * rows + 16 <= n * rows) {
        v16_store(out + c * rows, column);
    } else {
        v16_store_n(out + c * rows, column, rows);
    }
}

/* n <= 16 columns of a block from t[rows], `rows` elements each. */
static void pack_store(float *out, v16 t[16], size_t n, size_t rows)
{
    if (rows == 1) {
        v16_store_n(out, t[0], n);
        return;
    }
    v16_transpose(t);
    for (size_t c = 0; c < n; c++) {
        pack_store_column(out, t[c], c, n, rows);
    }
}

static void pack_v16(void *block, const float *x, size_t ldx, size_t rows, size_t k, bool round, bool words)
{
    const size_t columns = words ? tw_packed_k(k) / 2 : tw_packed_k(k);
    for (size_t c = 0; c < columns; c += 16) {
        v16 t[16];
        for (size_t r = 0; r < rows; r++) {
            const float *row = x + r * ldx;
#ifdef __AVX512BF16__
            if (words) {
                t[r] = v16_round_pairs_bf16(pack_load(row, 2 * c, k, false),
                                            pack_load(row, 2 * c + 16, k, false));
                continue;
            }
#endif
            t[r] = pack_load(row, c, k, round);
        }
        pack_store((float *)block + c * rows, t, columns - c < 16 ? columns - c : 16, rows);
    }
}

#endif /* TW_KERNELS_PACK_V16_H */
