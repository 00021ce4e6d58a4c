/* SPDX-License-Identifier: MIT */
/* What happens to the sums of a task: stored, added, or through SwiGLU into the rows of the next matmul. */
#ifndef TW_KERNELS_MATMUL_END_V16_H
#define TW_KERNELS_MATMUL_END_V16_H

#include "kernels/x86/kernels_matmul_call_v16.h"
#include "kernels/x86/kernels_pack_v16.h"

/* Where the sums of a task's piece go, and what is done to them first. */
struct matmul_end {
    float *sums;
    size_t ld;
    const float *bias; /* of the task's first column, or NULL */
    bool add;
};

/* Of a group whose last panel is partial. */
static void matmul_store(const struct matmul_task *task, const float *sums)
{
    const struct tw_matmul *mm = task->call->mm;
    for (size_t p = 0; p < task->panels; p++) {
        const size_t column = (task->panel + p) * TW_PANEL;
        const size_t n      = mm->n - column < TW_PANEL ? mm->n - column : TW_PANEL;
        const v16 bias      = mm->bias != NULL ? v16_load_n(mm->bias + column, n) : v16_zero();
        for (size_t r = 0; r < task->block.rows; r++) {
            float *y = mm->y + (task->block.begin + r) * mm->ldy + column;
            v16 s    = v16_load(sums + (r * task->streams + p) * 16);
            if (mm->bias != NULL) {
                s = v16_add(s, bias);
            }
            if (mm->epilogue == TW_EPILOGUE_ADD) {
                s = v16_add(n == TW_PANEL ? v16_load(y) : v16_load_n(y, n), s);
            }
            if (n == TW_PANEL) {
                v16_store(y, s);
            } else {
                v16_store_n(y, s, n);
            }
        }
    }
}

#ifdef __AVX512BF16__
/* Sixteen products as eight words of two bf16. A product is never denormal (the mode flushes it), so the
 * instruction that rounds, which would flush it, may be used. */
static inline __m256 swiglu_words(const float *gate, const float *up)
{
    const v16 z = v16_mul(v16_silu(v16_load(gate)), v16_load(up));
    return _mm256_castsi256_ps((__m256i)_mm512_cvtneps_pbh(z));
}

/* Rows [r, r + 2) and [r + 4, r + 6) of words as [column 0 .. 7][row]: four rows of columns c and c + 4,
 * twice. */
static inline void swiglu_turn(v16 out[4], const __m256 *z)
{
    v16 x[4], t[4];
    V16_UNROLL
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_insertf32x8(_mm512_castps256_ps512(z[i]), z[i + 4], 1);
    }
    t[0]   = _mm512_unpacklo_ps(x[0], x[1]);
    t[1]   = _mm512_unpackhi_ps(x[0], x[1]);
    t[2]   = _mm512_unpacklo_ps(x[2], x[3]);
    t[3]   = _mm512_unpackhi_ps(x[2], x[3]);
    out[0] = _mm512_shuffle_ps(t[0], t[2], 0x44);
    out[1] = _mm512_shuffle_ps(t[0], t[2], 0xEE);
    out[2] = _mm512_shuffle_ps(t[1], t[3], 0x44);
    out[3] = _mm512_shuffle_ps(t[1], t[3], 0xEE);
}

/* A whole panel of silu(gate) * up in words: what matmul_swiglu does at length. */
static void matmul_swiglu_panel(float *out, const float *gate, const float *up, size_t ld, size_t rows)
{
    __m256 z[16];
    v16 low[4], high[4];
    for (size_t r = 0; r < rows; r++) {
        z[r] = swiglu_words(gate + r * ld, up + r * ld);
    }
    for (size_t r = rows; r < 16; r++) {
        z[r] = _mm256_setzero_ps();
    }
    swiglu_turn(low, z);
    swiglu_turn(high, z + 8);
    for (size_t c = 0; c < 8; c++) {
        const v16 a = low[c % 4], b = high[c % 4];
        const v16 column = c < 4 ? _mm512_shuffle_f32x4(a, b, 0x88) : _mm512_shuffle_f32x4(a, b, 0xDD);
        pack_store_column(out, column, c, 8, rows);
    }
}
#endif

/* silu(gate) * up into the packed rows of the next matmul, whose K is this n. */
static void matmul_swiglu(const struct matmul_task *task, const float *sums)
{
    const struct tw_matmul *mm = task->call->mm;
    const bool words           = task->call->kind->words;
    const size_t rows = task->block.rows, ld = 16 * task->streams;
    float *out = (float *)mm->packed_out + task->block.begin * tw_packed_k(mm->n);
    for (size_t p = 0; p < task->panels; p++) {
        const size_t column = (task->panel + p) * TW_PANEL;
        const size_t n      = mm->n - column < TW_PANEL ? mm->n - column : TW_PANEL;
        const float *gate = sums + p * 16, *up = gate + task->panels * 16;
        v16 t[16];
#ifdef __AVX512BF16__
        if (words && n == TW_PANEL && rows > 1) {
            matmul_swiglu_panel(out + column * rows / 2, gate, up, ld, rows);
            continue;
        }
#endif
        for (size_t r = 0; r < rows; r++) {
            v16 z = v16_mul(v16_silu(v16_load(gate + r * ld)), v16_load(up + r * ld));
            z     = n == TW_PANEL ? z : v16_fill_from(z, n, 0.0f);
            z     = task->call->kind->round ? v16_round_bf16(z) : z;
#ifdef __AVX512BF16__
            z = words ? v16_pairs_bf16(z, v16_zero()) : z;
#endif
            t[r] = z;
        }
        pack_store(out + column * rows / (words ? 2 : 1), t, tw_packed_k(n) / (words ? 2 : 1), rows);
    }
}

#endif /* TW_KERNELS_MATMUL_END_V16_H */
