/* SPDX-License-Identifier: MIT */
/* Matmul one element at a time: the definition that the vector levels are compared with. A packed block
 * is row-major f32, each row padded to an even number of inputs. */
#include <math.h>
#include <string.h>

#include "kernels/kernels_exp.h"
#include "kernels/kernels_levels.h"
#include "kernels/kernels_work.h"

enum { SCALAR_ROWS = 4 };

static void pack_rows(float *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    size_t ld = tw_packed_k(k);
    for (size_t r = 0; r < rows; r++) {
        memcpy(block + r * ld, x + r * ldx, k * sizeof *x);
        if (ld > k) {
            block[r * ld + k] = 0.0f;
        }
    }
}

static void pack_f32_scalar(void *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    pack_rows(block, x, ldx, rows, k);
}

static void pack_bf16_scalar(void *block, const float *x, size_t ldx, size_t rows, size_t k)
{
    float *b = block;
    pack_rows(b, x, ldx, rows, k);
    for (size_t i = 0; i < rows * tw_packed_k(k); i++) {
        b[i] = tw_bf16_to_f32(tw_bf16_from_f32(b[i]));
    }
}

/* w[n, k] of packed weights */
static float weight_at(const void *w, enum tw_dtype type, size_t panel_stride, size_t n, size_t k)
{
    size_t at = n / TW_PANEL * panel_stride + k / 2 * (2 * TW_PANEL) + n % TW_PANEL * 2 + k % 2;
    return type == TW_DTYPE_F32 ? ((const float *)w)[at] : tw_bf16_to_f32(((const uint16_t *)w)[at]);
}

/* A chain: pairs ascending, the odd input of a pair first. */
static float chain_sum(const struct tw_matmul *mm, const float *x, const void *w, enum tw_dtype type,
                       size_t n, size_t begin, size_t end)
{
    float sum = 0.0f;
    for (size_t k = begin; k < end; k += 2) {
        sum = fmaf(x[k + 1], weight_at(w, type, mm->panel_stride, n, k + 1), sum);
        sum = fmaf(x[k], weight_at(w, type, mm->panel_stride, n, k), sum);
    }
    return sum;
}

/* One leaf: a single chain, or (`chunks`) several added in order. */
static float leaf_sum(const struct tw_matmul *mm, const float *x, const void *w, enum tw_dtype type, size_t n,
                      size_t begin, size_t end, bool chunks)
{
    size_t step = chunks ? tw_chain_inputs(end - begin) : end - begin;
    float sum   = 0.0f;
    for (size_t k = begin; k < end; k += step) {
        float c = chain_sum(mm, x, w, type, n, k, k + step < end ? k + step : end);
        sum     = k == begin ? c : sum + c;
    }
    return sum;
}

/* The tree over leaves [first, first + count); false when all of them are empty. */
static bool tree_sum(const struct tw_matmul *mm, const float *x, const void *w, enum tw_dtype type, size_t n,
                     size_t first, size_t count, bool chunks, float *sum)
{
    if (count == 1) {
        size_t begin = first == 0 ? 0 : mm->leaf_end[first - 1];
        *sum         = leaf_sum(mm, x, w, type, n, begin, mm->leaf_end[first], chunks);
        return mm->leaf_end[first] > begin;
    }
    float right    = 0.0f;
    bool has_left  = tree_sum(mm, x, w, type, n, first, count / 2, chunks, sum);
    bool has_right = tree_sum(mm, x, w, type, n, first + count / 2, count / 2, chunks, &right);
    if (has_right) {
        *sum = has_left ? *sum + right : right;
    }
    return has_left || has_right;
}

static float element(const struct tw_matmul *mm, const float *x, const void *w, enum tw_dtype type,
                     bool round, size_t n)
{
    float sum = 0.0f;
    return tree_sum(mm, x, w, type, n, 0, (size_t)mm->n_leaves, !round, &sum) ? sum : 0.0f;
}

static void swiglu_element(struct tw_matmul *mm, const float *x, enum tw_dtype type, bool round, size_t row,
                           size_t n)
{
    size_t ld = tw_packed_k(mm->n);
    float *z  = (float *)mm->packed_out + row * ld + n;
    float v   = tw_silu_one(element(mm, x, mm->w, type, round, n)) * element(mm, x, mm->w2, type, round, n);
    *z        = round ? tw_bf16_to_f32(tw_bf16_from_f32(v)) : v;
    if (n + 1 == mm->n && ld > mm->n) {
        z[1] = 0.0f;
    }
}

static void plain_element(struct tw_matmul *mm, const float *x, enum tw_dtype type, bool round, size_t row,
                          size_t n)
{
    float *y  = mm->y + row * mm->ldy + n;
    float sum = element(mm, x, mm->w, type, round, n);
    if (mm->bias != NULL) {
        sum = sum + mm->bias[n];
    }
    *y = mm->epilogue == TW_EPILOGUE_ADD ? *y + sum : sum;
}

static void matmul(struct tw_matmul *mm, int n_threads, enum tw_dtype type, bool round)
{
    struct tw_work w = tw_work_init(1, 1, (mm->n + TW_PANEL - 1) / TW_PANEL, 1);
    for (size_t begin, end; tw_work_claim(&w, &mm->next, n_threads, &begin, &end);) {
        size_t n_end = end * TW_PANEL < mm->n ? end * TW_PANEL : mm->n;
        for (size_t row = 0; row < mm->m; row++) {
            const float *x = (const float *)mm->rows + row * tw_packed_k(mm->k);
            for (size_t n = begin * TW_PANEL; n < n_end; n++) {
                if (mm->epilogue == TW_EPILOGUE_SWIGLU) {
                    swiglu_element(mm, x, type, round, row, n);
                } else {
                    plain_element(mm, x, type, round, row, n);
                }
            }
        }
    }
}

static void matmul_f32_f32_scalar(struct tw_matmul *mm, int thread, int n_threads)
{
    (void)thread;
    matmul(mm, n_threads, TW_DTYPE_F32, false);
}

static void matmul_f32_bf16_scalar(struct tw_matmul *mm, int thread, int n_threads)
{
    (void)thread;
    matmul(mm, n_threads, TW_DTYPE_BF16, false);
}

static void matmul_bf16_scalar(struct tw_matmul *mm, int thread, int n_threads)
{
    (void)thread;
    matmul(mm, n_threads, TW_DTYPE_BF16, true);
}

void tw_kernels_matmul_scalar(struct tw_kernels *k)
{
    k->tile_rows       = SCALAR_ROWS;
    k->pack_f32        = pack_f32_scalar;
    k->pack_bf16       = pack_bf16_scalar;
    k->matmul_f32_f32  = matmul_f32_f32_scalar;
    k->matmul_f32_bf16 = matmul_f32_bf16_scalar;
    k->matmul_bf16     = matmul_bf16_scalar;
}
