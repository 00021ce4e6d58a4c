/* SPDX-License-Identifier: MIT */
/* Matmul around the innermost loop: units of work, the tree over leaves, epilogues, packing of rows.
 * Include after kernels_vec_<isa>.h, kernels_v16_math.h and kernels_tile.h.
 *
 * A packed block is [K][rows] f32, or [K/2][rows] words of two bf16 (even input in the lower half) for
 * vdpbf16ps: what the innermost loop broadcasts from consecutive addresses. */
#ifndef TW_KERNELS_MATMUL_V16_H
#define TW_KERNELS_MATMUL_V16_H

#include "kernels/kernels_levels.h"
#include "kernels/kernels_work.h"

/* What distinguishes the three matmuls of a level. */
struct matmul_kind {
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    size_t weight_bytes;
    bool words; /* packed rows are words of two bf16 */
    bool round; /* SwiGLU's result is rounded to bf16 */
};

enum {
    LEVELS      = 6,         /* log2(TW_MAX_LEAVES) + 1 */
    NEAR_BYTES  = 4096,      /* prefetch distance inside a panel */
    NEXT_BYTES  = 128 << 10, /* a group of panels that one block of rows prefetches whole, at most ... */
    SHARE_BYTES = 512 << 10, /* ... and one that several blocks prefetch together */
    ROWS_BYTES  = 512 << 10, /* packed rows that stay in L2 while panels pass by */
    FEW_CHUNK   = 40,        /* row blocks */
    LEAST_CHUNK = 8,
    SUMS_FLOATS = TILE_VECTORS * 16
};

/* One block of rows against one group of panels. */
struct matmul_task {
    const struct matmul_kind *kind;
    struct tw_matmul *mm;
    struct tw_row_block block;
    const char *rows;
    const char *w[TILE_PANELS]; /* SwiGLU: gate panels, then up panels */
    size_t streams;             /* panels in w */
    size_t panel, panels;       /* output panels of the group */
    size_t ahead, share; /* prefetch offset at pair 0; panel bytes prefetched per panel byte: 1/share */
};

/* The chain [begin, end) into sums[rows][16 * streams], or added to it. */
static void matmul_chain(const struct matmul_task *task, size_t begin, size_t end, bool add, float *sums)
{
    const struct matmul_kind *kind = task->kind;
    const size_t w_pair            = 2 * TW_PANEL * kind->weight_bytes;
    const size_t rows              = task->block.rows;
    struct tile t                  = {.a          = task->rows + begin * rows * (kind->words ? 2 : 4),
                                      .w_pair     = w_pair,
                                      .pairs      = (end - begin + 1) / 2,
                                      .ahead      = task->ahead - begin / 2 * w_pair + begin / 2 * w_pair / task->share,
                                      .ahead_step = w_pair / task->share,
                                      .ld         = 16 * task->streams,
                                      .add        = add};
    for (size_t s = 0; s < task->streams;) {
        int width = tile_width(kind->tiles, rows, task->streams - s);
        for (int p = 0; p < width; p++) {
            t.w[p] = task->w[s + (size_t)p] + begin / 2 * w_pair;
        }
        t.sums = sums + 16 * s;
        kind->tiles[width][rows](&t);
        s += (size_t)width;
    }
}

/* ---- packing rows ---- */

/* 16 values of a row from input k on, zeros beyond n, rounded if wanted */
static inline v16 pack_load(const float *x, size_t k, size_t n, bool round)
{
    v16 v = k + 16 <= n ? v16_load(x + k) : k < n ? v16_load_n(x + k, n - k) : v16_zero();
    return round ? v16_round_bf16(v) : v;
}

/* n <= 16 columns of a block from t[rows], `rows` elements each. A column's store reaches into the places
 * of the columns after it, which are written next; not beyond the n-th, where another thread may write. */
static void pack_store(float *out, v16 t[16], size_t n, size_t rows)
{
    if (rows == 1) {
        v16_store_n(out, t[0], n);
        return;
    }
    v16_transpose(t);
    for (size_t c = 0; c < n; c++) {
        if (c * rows + 16 <= n * rows) {
            v16_store(out + c * rows, t[c]);
        } else {
            v16_store_n(out + c * rows, t[c], rows);
        }
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
                t[r] = v16_pairs_bf16(pack_load(row, 2 * c, k, true), pack_load(row, 2 * c + 16, k, true));
                continue;
            }
#endif
            t[r] = pack_load(row, c, k, round);
        }
        pack_store((float *)block + c * rows, t, columns - c < 16 ? columns - c : 16, rows);
    }
}

/* Sums of the leaf [begin, end): one chain where rows are rounded to bf16, else chunk by chunk. */
static void matmul_leaf(const struct matmul_task *task, size_t begin, size_t end, float *sums)
{
    const size_t step = task->kind->round ? end - begin : tw_chain_inputs(end - begin);
    for (size_t k = begin; k < end; k += step) {
        matmul_chain(task, k, k + step < end ? k + step : end, k > begin, sums);
    }
}

/* into = left + right */
static void matmul_add_sums(float *into, const float *left, const float *right, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        v16_store(into + i, v16_add(v16_load(left + i), v16_load(right + i)));
    }
}

/* The tree over leaves as a binary counter: sums[l] waits for its right sibling of 2^l leaves. Returns the
 * sums of the root. */
static const float *matmul_tree(const struct matmul_task *task, float (*sums)[SUMS_FLOATS], float *work)
{
    const struct tw_matmul *mm = task->mm;
    const size_t n             = task->block.rows * task->streams * 16;
    bool full[LEVELS]          = {false};
    size_t begin = 0, level = 0;
    if (mm->n_leaves == 1 && mm->k > 0) {
        matmul_leaf(task, 0, mm->leaf_end[0], sums[0]);
        return sums[0];
    }
    for (size_t leaf = 0; leaf < (size_t)mm->n_leaves; leaf++) {
        const size_t end  = mm->leaf_end[leaf];
        bool has          = end > begin;
        const float *node = work;
        if (has) {
            matmul_leaf(task, begin, end, work);
        }
        begin = end;
        for (level = 0; (leaf >> level & 1) != 0; level++) {
            if (has && full[level]) {
                matmul_add_sums(work, sums[level], node, n);
                node = work;
            } else if (full[level]) {
                node = sums[level];
                has  = true;
            }
        }
        full[level] = has;
        if (has) {
            memcpy(sums[level], node, n * sizeof *node);
        }
    }
    if (!full[level]) {
        memset(sums[level], 0, n * sizeof(float));
    }
    return sums[level];
}

static void matmul_store(const struct matmul_task *task, const float *sums)
{
    const struct tw_matmul *mm = task->mm;
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

/* silu(gate) * up into the packed rows of the next matmul, whose K is this n. */
static void matmul_swiglu(const struct matmul_task *task, const float *sums)
{
    const struct tw_matmul *mm = task->mm;
    const bool words           = task->kind->words;
    const size_t rows          = task->block.rows;
    float *out                 = (float *)mm->packed_out + task->block.begin * tw_packed_k(mm->n);
    for (size_t p = 0; p < task->panels; p++) {
        const size_t column = (task->panel + p) * TW_PANEL;
        const size_t n      = mm->n - column < TW_PANEL ? mm->n - column : TW_PANEL;
        v16 t[16];
        for (size_t r = 0; r < rows; r++) {
            const float *gate = sums + (r * task->streams + p) * 16;
            v16 z             = v16_mul(v16_silu(v16_load(gate)), v16_load(gate + task->panels * 16));
            z                 = n == TW_PANEL ? z : v16_fill_from(z, n, 0.0f);
            z                 = task->kind->round ? v16_round_bf16(z) : z;
#ifdef __AVX512BF16__
            z = words ? v16_pairs_bf16(z, v16_zero()) : z;
#endif
            t[r] = z;
        }
        pack_store(out + column * rows / (words ? 2 : 1), t, tw_packed_k(n) / (words ? 2 : 1), rows);
    }
}

static void matmul_task_run(const struct matmul_task *task)
{
    _Alignas(64) float sums[LEVELS][SUMS_FLOATS];
    _Alignas(64) float work[SUMS_FLOATS];
    const float *root = matmul_tree(task, sums, work);
    if (task->mm->epilogue == TW_EPILOGUE_SWIGLU) {
        matmul_swiglu(task, root);
    } else {
        matmul_store(task, root);
    }
}

/* All row blocks of a unit against its panels. Each block prefetches its share of the panels `next` bytes
 * further on, which the thread reads after these; if they are too large to wait in L2, or nothing comes
 * next (0), a little ahead in the panels that it reads. */
static void matmul_unit(struct tw_matmul *mm, const struct matmul_kind *kind, const struct tw_unit *unit,
                        size_t next)
{
    const size_t panel_bytes = mm->panel_stride * kind->weight_bytes;
    const size_t used_bytes  = tw_panel_elements(mm->k) * kind->weight_bytes;
    const bool swiglu        = mm->epilogue == TW_EPILOGUE_SWIGLU;
    const size_t n_blocks    = unit->block_end - unit->block_begin;

    struct matmul_task task = {
        .kind = kind, .mm = mm, .panel = unit->panel_begin, .share = 1, .ahead = NEAR_BYTES};
    task.panels  = unit->panel_end - unit->panel_begin;
    task.streams = swiglu ? 2 * task.panels : task.panels;
    for (size_t s = 0; s < task.streams; s++) {
        const char *w = s < task.panels ? mm->w : mm->w2;
        task.w[s]     = w + (unit->panel_begin + s % task.panels) * panel_bytes;
    }
    const bool whole = next != 0 && task.streams * used_bytes <= (n_blocks > 1 ? SHARE_BYTES : NEXT_BYTES);
    for (size_t b = 0; b < n_blocks; b++) {
        task.block = tw_row_block(mm->m, TILE_ROWS, unit->block_begin + b);
        task.rows  = (const char *)mm->rows + 4 * task.block.begin * tw_packed_k(mm->k);
        if (whole) {
            task.share = n_blocks;
            task.ahead = next + b * used_bytes / n_blocks;
        }
        matmul_task_run(&task);
    }
}

/* Panels of a unit: as many as the tile is wide for the rows at hand; two when rows are few and wide
 * units would be too few for the threads to balance. */
static size_t matmul_group(const struct tw_matmul *mm, const struct matmul_kind *kind, size_t blocks,
                           int n_threads)
{
    const size_t rows   = (mm->m + blocks - 1) / blocks;
    const size_t panels = (mm->n + TW_PANEL - 1) / TW_PANEL;
    size_t width        = (size_t)tile_width(kind->tiles, rows, TILE_PANELS);
    if (width > 2 && panels / width < 8 * (size_t)n_threads) {
        width = 2;
    }
    return mm->epilogue == TW_EPILOGUE_SWIGLU ? (width + 1) / 2 : width;
}

/* Row blocks of a unit: as many as keep their rows in L2, but no fewer than FEW_CHUNK, because panels that
 * are read again for every chunk cost more than rows from L3; fewer where that leaves too few units for the
 * threads to balance. */
static size_t matmul_chunk(size_t blocks, size_t groups, size_t row_bytes, int n_threads)
{
    size_t most   = row_bytes == 0 ? blocks : ROWS_BYTES / (TILE_ROWS * row_bytes);
    size_t chunk  = most < FEW_CHUNK ? FEW_CHUNK : most;
    size_t chunks = (blocks + chunk - 1) / chunk;
    while (chunks * groups < 16 * (size_t)n_threads && blocks / (2 * chunks) >= LEAST_CHUNK) {
        chunks *= 2;
    }
    return (blocks + chunks - 1) / chunks;
}

static void matmul_v16(struct tw_matmul *mm, int n_threads, const struct matmul_kind *kind)
{
    const size_t blocks = tw_row_blocks(mm->m, TILE_ROWS);
    const size_t panels = (mm->n + TW_PANEL - 1) / TW_PANEL;
    const size_t group  = matmul_group(mm, kind, blocks, n_threads);
    const size_t row    = tw_packed_k(mm->k) * (kind->words ? 2 : 4);
    const size_t chunk  = matmul_chunk(blocks, (panels + group - 1) / group, row, n_threads);

    struct tw_work work = tw_work_init(blocks, chunk, panels, group);
    for (size_t begin, end; tw_work_claim(&work, &mm->next, n_threads, &begin, &end);) {
        for (size_t u = begin; u < end; u++) {
            struct tw_unit unit = tw_work_unit(&work, u);
            bool more           = u + 1 < end && (u + 1) % work.groups != 0;
            matmul_unit(mm, kind, &unit, more ? group * mm->panel_stride * kind->weight_bytes : 0);
        }
    }
}

#endif /* TW_KERNELS_MATMUL_V16_H */
