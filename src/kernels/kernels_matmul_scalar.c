/* SPDX-License-Identifier: MIT */
/* Matmul one row and panel at a time: the definition that the vector levels are compared with. A packed block
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

/* Everything below works on one row and the 16 columns of a panel: the columns are independent of each other,
 * so a compiler may keep them in flight together. The whole is compiled twice: as it stands, with fmaf from the C
 * library, and for CPUs that have the instruction (a quarter of a nanosecond instead of 5). */
#define COLUMNS static inline __attribute__((always_inline)) void

struct panel {
    const void *w; /* at the first of the matmul's inputs */
    enum tw_dtype type;
};

static inline __attribute__((always_inline)) float weight_at(const struct panel *p, size_t column, size_t k)
{
    size_t at = k / 2 * (2 * TW_PANEL) + column * 2 + k % 2;
    return p->type == TW_DTYPE_F32 ? ((const float *)p->w)[at] : tw_bf16_to_f32(((const uint16_t *)p->w)[at]);
}

/* A chain: pairs ascending, the odd input of a pair first. */
COLUMNS chain_sum(float sum[TW_PANEL], const float *x, const struct panel *p, size_t begin, size_t end)
{
    for (size_t c = 0; c < TW_PANEL; c++) {
        sum[c] = 0.0f;
    }
    for (size_t k = begin; k < end; k += 2) {
        for (size_t c = 0; c < TW_PANEL; c++) {
            sum[c] = __builtin_fmaf(x[k + 1], weight_at(p, c, k + 1), sum[c]);
            sum[c] = __builtin_fmaf(x[k], weight_at(p, c, k), sum[c]);
        }
    }
}

COLUMNS add_columns(float sum[TW_PANEL], const float *more)
{
    for (size_t c = 0; c < TW_PANEL; c++) {
        sum[c] = sum[c] + more[c];
    }
}

/* One leaf: a single chain, or (`chunks`) several added in order. */
COLUMNS leaf_sum(float sum[TW_PANEL], const float *x, const struct panel *p, size_t begin, size_t end,
                 bool chunks)
{
    size_t step = chunks ? tw_chain_inputs(end - begin) : end - begin;
    chain_sum(sum, x, p, begin, begin + step < end ? begin + step : end);
    for (size_t k = begin + step; k < end; k += step) {
        float more[TW_PANEL];
        chain_sum(more, x, p, k, k + step < end ? k + step : end);
        add_columns(sum, more);
    }
}

/* The balanced binary tree over leaves, as a binary counter: node[l] is a finished subtree of 2^l leaves that
 * waits for its right sibling. An empty subtree adds nothing. */
COLUMNS tree_sum(float sum[TW_PANEL], const struct tw_matmul *mm, const float *x, const struct panel *p,
                 bool chunks)
{
    float node[6][TW_PANEL];
    bool full[6] = {false};
    size_t begin = 0, level = 0;
    bool has = false;
    for (size_t leaf = 0; leaf < (size_t)mm->n_leaves; leaf++) {
        size_t end = mm->leaf_end[leaf];
        has        = end > begin;
        if (has) {
            leaf_sum(sum, x, p, begin, end, chunks);
        }
        begin = end;
        for (level = 0; (leaf >> level & 1) != 0; level++) {
            if (has && full[level]) {
                add_columns(node[level], sum);
                memcpy(sum, node[level], sizeof node[level]);
            } else if (full[level]) {
                memcpy(sum, node[level], sizeof node[level]);
                has = true;
            }
        }
        full[level] = has;
        if (has) {
            memcpy(node[level], sum, sizeof node[level]);
        }
    }
    for (size_t c = 0; c < TW_PANEL; c++) {
        sum[c] = full[level] ? node[level][c] : 0.0f;
    }
}

COLUMNS store_swiglu(const struct tw_matmul *mm, const float *gate, const float *up, bool round, size_t row,
                     size_t n, size_t columns)
{
    size_t ld = tw_packed_k(mm->n);
    float *z  = (float *)mm->packed_out + row * ld + n;
    for (size_t c = 0; c < columns; c++) {
        float v = tw_silu_one(gate[c]) * up[c];
        z[c]    = round ? tw_bf16_to_f32(tw_bf16_from_f32(v)) : v;
    }
    if (n + columns == mm->n && ld > mm->n) {
        z[columns] = 0.0f;
    }
}

COLUMNS store_plain(const struct tw_matmul *mm, const float *sum, size_t row, size_t n, size_t columns)
{
    float *y = mm->y + row * mm->ldy + n;
    for (size_t c = 0; c < columns; c++) {
        float s = mm->bias != NULL ? sum[c] + mm->bias[n + c] : sum[c];
        y[c]    = mm->epilogue == TW_EPILOGUE_ADD ? y[c] + s : s;
    }
}

COLUMNS matmul(struct tw_matmul *mm, int n_threads, enum tw_dtype type, bool round)
{
    struct tw_work w = tw_work_init(1, 1, (mm->n + TW_PANEL - 1) / TW_PANEL, 1);
    for (size_t begin, end; tw_work_claim(&w, &mm->next, n_threads, &begin, &end);) {
        for (size_t panel = begin; panel < end; panel++) {
            size_t n = panel * TW_PANEL, columns = mm->n - n < TW_PANEL ? mm->n - n : TW_PANEL;
            size_t at      = panel * mm->panel_stride * tw_dtype_bytes(type);
            struct panel p = {(const char *)mm->w + at, type}, p2 = {NULL, type};
            if (mm->epilogue == TW_EPILOGUE_SWIGLU) {
                p2.w = (const char *)mm->w2 + at;
            }
            for (size_t row = 0; row < mm->m; row++) {
                const float *x = (const float *)mm->rows + row * tw_packed_k(mm->k);
                float sum[TW_PANEL], up[TW_PANEL];
                tree_sum(sum, mm, x, &p, !round);
                if (mm->epilogue == TW_EPILOGUE_SWIGLU) {
                    tree_sum(up, mm, x, &p2, !round);
                    store_swiglu(mm, sum, up, round, row, n, columns);
                } else {
                    store_plain(mm, sum, row, n, columns);
                }
            }
        }
    }
}

/* The three matmuls of the table, in one compilation. NOLINTBEGIN(bugprone-macro-parentheses): an attribute takes
 * no parentheses around it. */
#define MATMULS(suffix, attribute)                                                                  \
    attribute static void matmul_f32_f32_##suffix(struct tw_matmul *mm, int thread, int n_threads)  \
    {                                                                                               \
        (void)thread;                                                                               \
        matmul(mm, n_threads, TW_DTYPE_F32, false);                                                 \
    }                                                                                               \
    attribute static void matmul_f32_bf16_##suffix(struct tw_matmul *mm, int thread, int n_threads) \
    {                                                                                               \
        (void)thread;                                                                               \
        matmul(mm, n_threads, TW_DTYPE_BF16, false);                                                \
    }                                                                                               \
    attribute static void matmul_bf16_##suffix(struct tw_matmul *mm, int thread, int n_threads)     \
    {                                                                                               \
        (void)thread;                                                                               \
        matmul(mm, n_threads, TW_DTYPE_BF16, true);                                                 \
    }

MATMULS(scalar, )
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
/* 128-bit registers at most: the level stays free of wide vectors. */
MATMULS(scalar_fma, __attribute__((target("fma,prefer-vector-width=128"))))
#elif defined(__x86_64__)
MATMULS(scalar_fma, __attribute__((target("fma"), min_vector_width(128))))
#endif

/* NOLINTEND(bugprone-macro-parentheses) */

void tw_kernels_matmul_scalar(struct tw_kernels *k)
{
    k->tile_rows       = SCALAR_ROWS;
    k->pack_f32        = pack_f32_scalar;
    k->pack_bf16       = pack_bf16_scalar;
    k->matmul_f32_f32  = matmul_f32_f32_scalar;
    k->matmul_f32_bf16 = matmul_f32_bf16_scalar;
    k->matmul_bf16     = matmul_bf16_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) {
        k->matmul_f32_f32  = matmul_f32_f32_scalar_fma;
        k->matmul_f32_bf16 = matmul_f32_bf16_scalar_fma;
        k->matmul_bf16     = matmul_bf16_scalar_fma;
    }
#endif
}
