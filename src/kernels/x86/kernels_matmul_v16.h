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
    LEVELS      = TILE_LEFTS, /* subtrees that can wait for their right sibling at the same time */
    NEAR_BYTES  = 4096,       /* prefetch distance inside a panel */
    NEXT_BYTES  = 128 << 10,  /* a group of panels that one block of rows prefetches whole, at most ... */
    SHARE_BYTES = 512 << 10,  /* ... and one that several blocks prefetch together */
    ROWS_BYTES  = 512 << 10,  /* packed rows that stay in L2 while panels pass by */
    FEW_CHUNK   = 40,         /* row blocks */
    LEAST_CHUNK = 8,
    SUMS_FLOATS = TILE_VECTORS * 16
};

/* A leaf that has inputs. */
struct matmul_leaf {
    size_t begin, end; /* inputs */
    size_t n_left;     /* waiting subtrees that it completes: the topmost, from there downwards */
    size_t level; /* of the stack of waiting subtrees, where the result goes; 0 and last: it is the root */
};

/* One call, as a thread sees it. */
struct matmul_call {
    struct tw_matmul *mm;
    const struct matmul_kind *kind;
    struct matmul_leaf leaves[TW_MAX_LEAVES];
    size_t n_leaves; /* at least 1; the only one may be empty */
};

/* One block of rows against one group of panels. */
struct matmul_task {
    const struct matmul_call *call;
    struct tw_row_block block;
    const char *rows;
    const char *w[TILE_PANELS]; /* SwiGLU: gate panels, then up panels */
    size_t streams;             /* panels in w */
    size_t panel, panels;       /* output panels of the group */
    size_t ahead, share; /* prefetch offset at pair 0; panel bytes prefetched per panel byte: 1/share */
};

/* ---- packing rows ---- */

/* 16 values of a row from input k on, zeros beyond n, rounded if wanted */
static inline v16 pack_load(const float *x, size_t k, size_t n, bool round)
{
    v16 v = k + 16 <= n ? v16_load(x + k) : k < n ? v16_load_n(x + k, n - k) : v16_zero();
    return round ? v16_round_bf16(v) : v;
}

/* Column c of the n that are written in ascending order. Its store reaches into the places of the columns after it,
 * which are written next; not beyond the n-th, where another thread may write. */
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
                t[r] = v16_pairs_bf16(pack_load(row, 2 * c, k, true), pack_load(row, 2 * c + 16, k, true));
                continue;
            }
#endif
            t[r] = pack_load(row, c, k, round);
        }
        pack_store((float *)block + c * rows, t, columns - c < 16 ? columns - c : 16, rows);
    }
}

/* ---- the tree over leaves ---- */

/* Do subtrees whose latest leaf is `left` and one with leaf `i` merge before leaf `next` is reached? The right one must be
 * complete: `next` lies outside of it. */
static bool matmul_merges(size_t left, size_t i, size_t next)
{
    const int level = 63 - __builtin_clzll((unsigned long long)(left ^ i));
    return next >> level != i >> level;
}

/* The balanced binary tree over leaves as a stack of subtrees that wait for their right siblings. An empty leaf adds
 * nothing: its sibling passes unchanged. */
static void matmul_plan(struct matmul_call *call)
{
    const struct tw_matmul *mm = call->mm;
    size_t owner[LEVELS], depth = 0, begin = 0, leaf = 0;
    while (leaf < (size_t)mm->n_leaves && mm->leaf_end[leaf] == begin) {
        leaf++;
    }
    call->n_leaves = 0;
    while (leaf < (size_t)mm->n_leaves) {
        struct matmul_leaf *l = &call->leaves[call->n_leaves++];
        size_t next           = leaf + 1;
        *l                    = (struct matmul_leaf){.begin = begin, .end = mm->leaf_end[leaf]};
        begin                 = l->end;
        while (next < (size_t)mm->n_leaves && mm->leaf_end[next] == begin) {
            next++;
        }
        const size_t until = next < (size_t)mm->n_leaves ? next : SIZE_MAX;
        while (depth > 0 && matmul_merges(owner[depth - 1], leaf, until)) {
            depth--;
            l->n_left++;
        }
        l->level = depth;
        if (until != SIZE_MAX) {
            owner[depth++] = leaf;
        }
        leaf = next;
    }
    if (call->n_leaves == 0) {
        call->leaves[call->n_leaves++] = (struct matmul_leaf){0};
    }
}

/* Where the sums of a task's leaf go, and what is done to them first. */
struct matmul_end {
    float *sums;
    size_t ld;
    const float *bias; /* of the task's first column, or NULL */
    bool add;
};

/* One leaf of a task. `waiting`: the stack of subtrees. */
static void matmul_leaf_run(const struct matmul_task *task, const struct matmul_leaf *leaf,
                            float (*waiting)[SUMS_FLOATS], const struct matmul_end *end)
{
    const struct matmul_kind *kind = task->call->kind;
    const size_t w_pair            = 2 * TW_PANEL * kind->weight_bytes;
    const size_t rows = task->block.rows, skip = leaf->begin / 2 * w_pair;
    struct tile t = {.a          = task->rows + leaf->begin * rows * (kind->words ? 2 : 4),
                     .w_pair     = w_pair,
                     .pairs      = (leaf->end - leaf->begin + 1) / 2,
                     .chunk      = kind->round ? 0 : tw_chain_inputs(leaf->end - leaf->begin) / 2,
                     .ahead      = task->ahead - skip + skip / task->share,
                     .ahead_step = (w_pair + task->share - 1) / task->share,
                     .ld         = end->ld,
                     .n_left     = leaf->n_left,
                     .left_ld    = 16 * task->streams,
                     .add        = end->add};
    for (size_t s = 0; s < task->streams;) {
        const int width = tile_width(kind->tiles, rows, task->streams - s);
        for (int p = 0; p < width; p++) {
            t.w[p] = task->w[s + (size_t)p] + skip;
        }
        for (size_t i = 0; i < leaf->n_left; i++) {
            t.left[i] = waiting[leaf->level + leaf->n_left - 1 - i] + 16 * s;
        }
        t.sums = end->sums + 16 * s;
        t.bias = end->bias == NULL ? NULL : end->bias + 16 * s;
        kind->tiles[width][rows](&t);
        s += (size_t)width;
    }
}

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
/* Sixteen products as eight words of two bf16. A product is never denormal (the mode flushes it), so the instruction
 * that rounds, which would flush it, may be used. */
static inline __m256 swiglu_words(const float *gate, const float *up)
{
    const v16 z = v16_mul(v16_silu(v16_load(gate)), v16_load(up));
    return _mm256_castsi256_ps((__m256i)_mm512_cvtneps_pbh(z));
}

/* Rows [r, r + 2) and [r + 4, r + 6) of words as [column 0 .. 7][row]: four rows of columns c and c + 4, twice. */
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

/* The root's sums go straight to y where whole panels are stored; else through `sums`. */
static struct matmul_end matmul_end(const struct matmul_task *task, float *sums)
{
    const struct tw_matmul *mm = task->call->mm;
    const size_t column        = task->panel * TW_PANEL;
    if (mm->epilogue == TW_EPILOGUE_SWIGLU || column + task->panels * TW_PANEL > mm->n) {
        return (struct matmul_end){.sums = sums, .ld = 16 * task->streams};
    }
    return (struct matmul_end){.sums = mm->y + task->block.begin * mm->ldy + column,
                               .ld   = mm->ldy,
                               .bias = mm->bias == NULL ? NULL : mm->bias + column,
                               .add  = mm->epilogue == TW_EPILOGUE_ADD};
}

/* The lines of y that the root is stored to have left the caches since they were last used; ask for them before
 * the last chain, which takes longer than they do. */
static inline void matmul_expect(const struct matmul_task *task, const struct matmul_end *root)
{
    for (size_t r = 0; r < task->block.rows; r++) {
        for (size_t p = 0; p < task->panels; p++) {
            __builtin_prefetch(root->sums + r * root->ld + p * TW_PANEL, 1, 3);
        }
    }
}

static void matmul_task_run(const struct matmul_task *task)
{
    _Alignas(64) float waiting[LEVELS][SUMS_FLOATS];
    _Alignas(64) float sums[SUMS_FLOATS];
    const struct matmul_call *call = task->call;
    const struct matmul_end root   = matmul_end(task, sums);
    for (size_t i = 0; i < call->n_leaves; i++) {
        const struct matmul_leaf *leaf = &call->leaves[i];
        const struct matmul_end wait   = {.sums = waiting[leaf->level], .ld = 16 * task->streams};
        const bool last                = i + 1 == call->n_leaves;
        if (last && root.sums != sums) {
            matmul_expect(task, &root);
        }
        matmul_leaf_run(task, leaf, waiting, last ? &root : &wait);
    }
    if (root.sums == sums) {
        if (call->mm->epilogue == TW_EPILOGUE_SWIGLU) {
            matmul_swiglu(task, sums);
        } else {
            matmul_store(task, sums);
        }
    }
}

/* All row blocks of a unit against its panels. Each block prefetches its share of the panels `next` bytes
 * further on, which the thread reads after these; if they are too large to wait in L2, or nothing comes
 * next (0), a little ahead in the panels that it reads. */
static void matmul_unit(const struct matmul_call *call, const struct tw_unit *unit, size_t next)
{
    const struct tw_matmul *mm     = call->mm;
    const struct matmul_kind *kind = call->kind;
    const size_t panel_bytes       = mm->panel_stride * kind->weight_bytes;
    const size_t used_bytes        = tw_panel_elements(mm->k) * kind->weight_bytes;
    const bool swiglu              = mm->epilogue == TW_EPILOGUE_SWIGLU;
    const size_t n_blocks          = unit->block_end - unit->block_begin;

    struct matmul_task task = {.call = call, .panel = unit->panel_begin, .share = 1, .ahead = NEAR_BYTES};
    task.panels             = unit->panel_end - unit->panel_begin;
    task.streams            = swiglu ? 2 * task.panels : task.panels;
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

    struct matmul_call call = {.mm = mm, .kind = kind};
    matmul_plan(&call);
    struct tw_work work = tw_work_init(blocks, chunk, panels, group);
    for (size_t begin, end; tw_work_claim(&work, &mm->next, n_threads, &begin, &end);) {
        for (size_t u = begin; u < end; u++) {
            struct tw_unit unit = tw_work_unit(&work, u);
            bool more           = u + 1 < end && (u + 1) % work.groups != 0;
            matmul_unit(&call, &unit, more ? group * mm->panel_stride * kind->weight_bytes : 0);
        }
    }
}

#endif /* TW_KERNELS_MATMUL_V16_H */
