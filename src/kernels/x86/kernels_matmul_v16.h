/* SPDX-License-Identifier: MIT */
/* Matmul around the innermost loop: units of work, the tree over leaves, epilogues. Include after
 * kernels_vec_<isa>.h, kernels_v16_math.h and kernels_tile.h. */
#ifndef TW_KERNELS_MATMUL_V16_H
#define TW_KERNELS_MATMUL_V16_H

#include "kernels/kernels_levels.h"
#include "kernels/kernels_work.h"
#include "kernels/x86/kernels_pack_v16.h"

typedef void matmul_expand_fn(char *to, const char *from, size_t begin, size_t end, const uint8_t *upper);

/* What distinguishes the three matmuls of a level. */
struct matmul_kind {
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    tile_fn *const (*code_tiles)[TILE_ROWS + 1]; /* that decode compressed panels ... */
    tile_fn *const (*keep_tiles)[TILE_ROWS + 1]; /* ... and keep what they decoded */
    matmul_expand_fn *expand;                    /* tw_expand_groups; NULL: no compressed panels */
    size_t weight_bytes;
    bool words; /* packed rows are words of two bf16 */
    bool round; /* rows are rounded to bf16: a leaf is one chain, and SwiGLU's result is rounded */
};

enum {
    LEVELS = TILE_LEFTS + 1, /* subtrees that wait for their right sibling, and a leaf that is not finished */
    NEAR_BYTES   = 4096,     /* prefetch distance inside a panel */
    NEXT_BYTES   = 256 << 10, /* a group of panels that one block of rows prefetches whole, at most ... */
    SHARE_BYTES  = 512 << 10, /* ... and one that several blocks prefetch together */
    ROWS_BYTES   = 512 << 10, /* packed rows that stay in L2 while panels pass by */
    FEW_CHUNK    = 40,        /* row blocks */
    LEAST_CHUNK  = 8,
    LONG_INPUTS  = 1280,      /* more inputs than that are taken piece by piece where rows are many */
    PIECE_BYTES  = 256 << 10, /* rows of a piece that stay in L2 while the panels of a unit pass by */
    PIECE_GROUPS = 2,         /* groups of panels of such a unit */
    PIECE_BLOCKS = 6,         /* row blocks of one, when fewer balance the threads better */
    CODE_BLOCKS  = 2,         /* most blocks of rows for each of which compressed panels are decoded */
    SUMS_FLOATS  = TILE_VECTORS * 16,
    MOST_PIECES  = 2 * TW_MAX_LEAVES
};

/* A leaf that has inputs, or a part of one. */
struct matmul_piece {
    size_t begin, end; /* inputs */
    size_t chain;      /* inputs of a chain; 0: the leaf is one */
    bool resume;       /* goes on from the sums of the piece before */
    bool finish;       /* the last of its leaf: */
    size_t n_left;     /* it completes so many waiting subtrees, from the topmost downwards */
    size_t level;      /* where the result then waits */
};

/* One call, as a thread sees it. */
struct matmul_call {
    struct tw_matmul *mm;
    const struct matmul_kind *kind;
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    struct matmul_piece pieces[MOST_PIECES];
    size_t n_pieces; /* at least 1; the only one may be empty */
    size_t width;    /* output panels of a task */
    size_t blocks;   /* of rows */
    size_t panels;
    size_t pair_bytes; /* of a pair of inputs of a panel in memory */
    bool coded;        /* panels are compressed, and decoded by the tiles; or ... */
    bool keeps;        /* ... by those of the first block, which keep them for the others; or ... */
    char *expanded;    /* ... before them, to here; NULL: panels are plain */
};

/* One block of rows against one group of panels. */
struct matmul_task {
    const struct matmul_call *call;
    struct tw_row_block block;
    const char *rows;
    const char *memory[TILE_PANELS]; /* panels, SwiGLU: of the gate, then up; from the call's first pair */
    const char *w[TILE_PANELS]; /* the same, or where they were expanded to, from pair w_from of the call */
    size_t w_from;
    tile_fn *const (*tiles)[TILE_ROWS + 1];
    bool coded;              /* which decode */
    char *keep[TILE_PANELS]; /* keep_tiles: where the panels are expanded to */
    size_t streams;          /* panels in w */
    size_t panel, panels;    /* output panels of the group */
    float *waiting;          /* the stack of subtrees, level_floats apart */
    size_t level_floats;
};

/* What to prefetch while a piece is computed: bytes from the pair at hand, first and then more with every
 * pair. */
struct matmul_ahead {
    size_t first, step;
};

/* ---- the tree over leaves ---- */

/* Leaf [begin, end) as pieces of about `most` inputs at most, each of whole chains. */
static void matmul_cut_leaf(struct matmul_call *call, size_t begin, size_t end, size_t most)
{
    const size_t n      = end - begin;
    const size_t chain  = call->kind->round ? 0 : tw_chain_inputs(n);
    const size_t grain  = chain == 0 ? 2 : chain;
    const size_t pieces = most == 0 ? 1 : (n + most - 1) / most;
    const size_t step   = ((n + pieces - 1) / pieces + grain - 1) / grain * grain;
    for (size_t k = begin; k < end; k += step) {
        const size_t stop              = end - k > step ? k + step : end;
        call->pieces[call->n_pieces++] = (struct matmul_piece){
            .begin = k, .end = stop, .chain = chain, .resume = k > begin, .finish = stop == end};
    }
}

/* Do subtrees whose latest leaf is `left` and one with leaf `i` merge before leaf `next` is reached? The
 * right one must be complete: `next` lies outside of it. */
static bool matmul_merges(size_t left, size_t i, size_t next)
{
    const int level = 63 - __builtin_clzll((unsigned long long)(left ^ i));
    return next >> level != i >> level;
}

/* The balanced binary tree over leaves as a stack of subtrees that wait for their right siblings. An empty
 * leaf adds nothing: its sibling passes unchanged. `most`: inputs of a piece, 0: leaves are not cut. */
static void matmul_plan(struct matmul_call *call, size_t most)
{
    const struct tw_matmul *mm = call->mm;
    const size_t n_leaves      = (size_t)mm->n_leaves;
    size_t owner[LEVELS], depth = 0, begin = 0, leaf = 0;
    while (leaf < n_leaves && mm->leaf_end[leaf] == begin) {
        leaf++;
    }
    while (leaf < n_leaves) {
        size_t next = leaf + 1, first = call->n_pieces, n_left = 0;
        matmul_cut_leaf(call, begin, mm->leaf_end[leaf], most);
        begin = mm->leaf_end[leaf];
        while (next < n_leaves && mm->leaf_end[next] == begin) {
            next++;
        }
        while (depth > n_left &&
               matmul_merges(owner[depth - n_left - 1], leaf, next < n_leaves ? next : SIZE_MAX)) {
            n_left++;
        }
        for (size_t i = first; i < call->n_pieces; i++) {
            call->pieces[i].n_left = n_left;
            call->pieces[i].level  = depth - n_left;
        }
        depth -= n_left;
        if (next < n_leaves) {
            owner[depth++] = leaf;
        }
        leaf = next;
    }
    if (call->n_pieces == 0) {
        call->pieces[call->n_pieces++] = (struct matmul_piece){.finish = true};
    }
}

/* Where the sums of a task's piece go, and what is done to them first. */
struct matmul_end {
    float *sums;
    size_t ld;
    const float *bias; /* of the task's first column, or NULL */
    bool add;
};

/* ---- compressed panels ---- */

/* The codes of stream s of a task, and the panel's number under them. */
static const struct tw_codes *matmul_codes(const struct matmul_task *task, size_t s, size_t *panel)
{
    const struct tw_matmul *mm = task->call->mm;
    *panel                     = task->panel + s % task->panels;
    return s < task->panels ? &mm->codes : &mm->codes2;
}

static const char *matmul_panel(const struct matmul_task *task, size_t s)
{
    const struct tw_matmul *mm = task->call->mm;
    const size_t panel_bytes   = mm->panel_stride / (2 * TW_PANEL) * task->call->pair_bytes;
    const char *w              = s < task->panels ? mm->w : mm->w2;
    return w + (task->panel + s % task->panels) * panel_bytes;
}

/* The first plain group of a panel that is not before group `begin`. */
static uint32_t matmul_plain_from(const struct tw_codes *codes, size_t panel, size_t begin)
{
    uint32_t i = codes->first[panel];
    while (i < codes->first[panel + 1] && codes->group[i] < begin) {
        i++;
    }
    return i;
}

/* Expand the panels of the task, inputs [begin, end) of the call. */
static void matmul_expand(struct matmul_task *task, size_t begin, size_t end)
{
    const struct matmul_call *call = task->call;
    const size_t first = call->mm->first_pair + begin / 2, last = call->mm->first_pair + (end + 1) / 2;
    const size_t from = first / TW_GROUP_PAIRS, to = (last + TW_GROUP_PAIRS - 1) / TW_GROUP_PAIRS;
    char *out    = call->expanded;
    task->w_from = begin / 2;
    for (size_t s = 0; s < task->streams; s++, out += (to - from) * TW_PLAIN_BYTES) {
        size_t panel;
        const struct tw_codes *codes = matmul_codes(task, s, &panel);
        call->kind->expand(out, matmul_panel(task, s), from, to, codes->upper + panel * TW_UPPER_BYTES);
        for (uint32_t i = matmul_plain_from(codes, panel, from);
             i < codes->first[panel + 1] && codes->group[i] < to; i++) {
            memcpy(out + (codes->group[i] - from) * TW_PLAIN_BYTES, codes->plain + (size_t)i * TW_PLAIN_BYTES,
                   TW_PLAIN_BYTES);
        }
        task->w[s] = out + first % TW_GROUP_PAIRS * 64;
    }
}

/* For tiles that decode: panels [s, s + width) of the task at a piece. */
static void matmul_tile_codes(const struct matmul_task *task, const struct matmul_piece *piece, size_t s,
                              size_t width, struct tile_codes *out, struct tile *t)
{
    const size_t begin = (task->call->mm->first_pair + piece->begin / 2) / TW_GROUP_PAIRS;
    out->begin         = (uint32_t)begin;
    for (size_t p = 0; p < width; p++) {
        size_t panel;
        const struct tw_codes *codes = matmul_codes(task, s + p, &panel);
        const uint32_t plain         = matmul_plain_from(codes, panel, begin);
        out->upper[p]                = codes->upper + panel * TW_UPPER_BYTES;
        out->plain_group[p]          = codes->group + plain;
        out->plain_end[p]            = codes->group + codes->first[panel + 1];
        out->plain[p]                = codes->plain + (size_t)plain * TW_PLAIN_BYTES;
        t->w[p]                      = matmul_panel(task, s + p) + begin * TW_GROUP_BYTES;
        out->keep[p]                 = task->call->keeps ? task->keep[s + p] + piece->begin / 2 * 64 : NULL;
    }
    t->codes = out;
}

/* Do all pieces begin and end with groups? */
static bool matmul_whole_groups(const struct matmul_call *call)
{
    bool whole = call->mm->first_pair % TW_GROUP_PAIRS == 0;
    for (size_t i = 0; i < call->n_pieces; i++) {
        whole = whole && call->pieces[i].begin % TW_GROUP_INPUTS == 0 &&
                call->pieces[i].end % TW_GROUP_INPUTS == 0;
    }
    return whole;
}

static void matmul_piece_run(const struct matmul_task *task, const struct matmul_piece *piece,
                             const struct matmul_ahead *ahead, const struct matmul_end *end)
{
    const struct matmul_kind *kind = task->call->kind;
    const size_t w_pair = 2 * TW_PANEL * kind->weight_bytes, rows = task->block.rows;
    float *unfinished = task->waiting + (piece->level + piece->n_left) * task->level_floats;
    struct tile t     = {.a          = task->rows + piece->begin * rows * (kind->words ? 2 : 4),
                         .w_pair     = w_pair,
                         .pairs      = (piece->end - piece->begin + 1) / 2,
                         .chain      = piece->chain / 2,
                         .ahead      = ahead->first,
                         .ahead_step = ahead->step,
                         .ld         = end->ld,
                         .n_left     = piece->finish ? piece->n_left : 0,
                         .left_ld    = 16 * task->streams,
                         .add        = end->add};
    struct tile_codes codes;
    for (size_t s = 0; s < task->streams;) {
        const int width = tile_width(task->tiles, rows, task->streams - s);
        for (int p = 0; p < width; p++) {
            t.w[p]    = task->w[s + (size_t)p] + (piece->begin / 2 - task->w_from) * w_pair;
            t.next[p] = task->memory[s + (size_t)p] + piece->begin / 2 * task->call->pair_bytes;
        }
        if (task->coded) {
            matmul_tile_codes(task, piece, s, (size_t)width, &codes, &t);
        }
        for (size_t i = 0; i < t.n_left; i++) {
            t.left[i] = task->waiting + (piece->level + piece->n_left - 1 - i) * task->level_floats + 16 * s;
        }
        t.resume = piece->resume ? unfinished + 16 * s : NULL;
        t.sums   = end->sums + 16 * s;
        t.bias   = end->bias == NULL ? NULL : end->bias + 16 * s;
        task->tiles[width][rows](&t);
        s += (size_t)width;
    }
}

/* ---- epilogues ---- */

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

/* The root's sums go straight to y where whole panels are stored; else through `sums`. */
static struct matmul_end matmul_root_end(const struct matmul_task *task, float *sums)
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

/* The lines of y that the root is stored to have left the caches since they were last used; ask for them
 * before the last chain, which takes longer than they do. */
static inline void matmul_expect(const struct matmul_task *task, const struct matmul_end *root)
{
    for (size_t r = 0; r < task->block.rows; r++) {
        for (size_t p = 0; p < task->panels; p++) {
            __builtin_prefetch(root->sums + r * root->ld + p * TW_PANEL, 1, 3);
        }
    }
}

/* Piece i of a task. */
static void matmul_task_run(const struct matmul_task *task, size_t i, const struct matmul_ahead *ahead)
{
    _Alignas(64) float sums[SUMS_FLOATS];
    const struct matmul_call *call   = task->call;
    const struct matmul_piece *piece = &call->pieces[i];
    if (i + 1 < call->n_pieces) {
        const size_t level = piece->finish ? piece->level : piece->level + piece->n_left;
        matmul_piece_run(task, piece, ahead,
                         &(struct matmul_end){.sums = task->waiting + level * task->level_floats,
                                              .ld   = 16 * task->streams});
        return;
    }
    const struct matmul_end root = matmul_root_end(task, sums);
    if (root.sums != sums) {
        matmul_expect(task, &root);
    }
    matmul_piece_run(task, piece, ahead, &root);
    if (call->mm->epilogue == TW_EPILOGUE_SWIGLU) {
        matmul_swiglu(task, sums);
    } else if (root.sums == sums) {
        matmul_store(task, sums);
    }
}

/* ---- units ---- */

/* The panels [panel, panel + panels) become the task's. */
static void matmul_task_panels(struct matmul_task *task, size_t panel, size_t panels)
{
    const struct tw_matmul *mm = task->call->mm;
    task->panel                = panel;
    task->panels               = panels;
    task->streams              = mm->epilogue == TW_EPILOGUE_SWIGLU ? 2 * panels : panels;
    task->tiles                = task->call->tiles;
    task->coded                = task->call->coded;
    for (size_t s = 0; s < task->streams; s++) {
        task->memory[s] = matmul_panel(task, s) + mm->first_pair * task->call->pair_bytes;
        task->w[s]      = task->memory[s];
    }
}

static void matmul_task_block(struct matmul_task *task, size_t block)
{
    const struct tw_matmul *mm = task->call->mm;
    task->block                = tw_row_block(mm->m, TILE_ROWS, block);
    task->rows                 = (const char *)mm->rows + 4 * task->block.begin * tw_packed_k(mm->k);
}

/* The first block of a unit expands the panels on its way, the others find them. */
static void matmul_task_keep(struct matmul_task *task, bool first)
{
    const struct matmul_call *call = task->call;
    const size_t panel_bytes       = tw_packed_k(call->mm->k) / 2 * 64;
    task->coded                    = first;
    task->tiles                    = first ? call->kind->keep_tiles : call->kind->tiles;
    for (size_t s = 0; s < task->streams; s++) {
        task->keep[s] = call->expanded + s * panel_bytes;
        task->w[s]    = task->keep[s];
    }
}

/* All row blocks of a unit against its panels. Each block prefetches its share of the panels `next` bytes
 * further on, which the thread reads after these; if they are too large to wait in L2, or nothing comes
 * next (0), a little ahead in the panels that it reads. */
static void matmul_unit(const struct matmul_call *call, const struct tw_unit *unit, size_t next)
{
    _Alignas(64) float waiting[LEVELS * SUMS_FLOATS];
    const size_t pair_bytes = call->pair_bytes;
    const size_t used_bytes = tw_packed_k(call->mm->k) / 2 * pair_bytes;
    const size_t n_blocks   = unit->block_end - unit->block_begin;
    struct matmul_task task = {.call = call, .waiting = waiting, .level_floats = SUMS_FLOATS};
    matmul_task_panels(&task, unit->panel_begin, unit->panel_end - unit->panel_begin);
    if (call->expanded != NULL && !call->keeps) {
        matmul_expand(&task, 0, call->mm->k);
    }
    const bool whole = next != 0 && task.streams * used_bytes <= (n_blocks > 1 ? SHARE_BYTES : NEXT_BYTES);
    for (size_t b = 0; b < n_blocks; b++) {
        matmul_task_block(&task, unit->block_begin + b);
        if (call->keeps && b < 2) {
            matmul_task_keep(&task, b == 0);
        }
        for (size_t i = 0; i < call->n_pieces; i++) {
            struct matmul_ahead ahead = {.first = NEAR_BYTES, .step = pair_bytes};
            if (whole) {
                const size_t done = call->pieces[i].begin / 2 * pair_bytes;
                ahead.first       = next + b * used_bytes / n_blocks + done / n_blocks - done;
                ahead.step        = (pair_bytes + n_blocks - 1) / n_blocks;
            }
            matmul_task_run(&task, i, &ahead);
        }
    }
}

/* The same piece by piece: a piece of all rows stays in L2 while the panels of the unit pass by, and a piece
 * of a group of panels while all rows do. Every block prefetches its share of the next group's piece. */
static void matmul_unit_pieces(const struct matmul_call *call, const struct tw_unit *unit, float *scratch)
{
    const size_t width = call->width, panels = unit->panel_end - unit->panel_begin;
    const size_t n_blocks = unit->block_end - unit->block_begin, groups = (panels + width - 1) / width;
    const size_t pair_bytes  = call->pair_bytes;
    const size_t group_bytes = width * call->mm->panel_stride / (2 * TW_PANEL) * pair_bytes;
    struct matmul_task task  = {.call = call, .level_floats = groups * n_blocks * SUMS_FLOATS};
    for (size_t i = 0; i < call->n_pieces; i++) {
        const size_t bytes = (call->pieces[i].end - call->pieces[i].begin + 1) / 2 * pair_bytes;
        for (size_t g = 0; g < groups; g++) {
            const size_t left = panels - g * width, last = g + 1 == groups;
            const size_t next = !last ? group_bytes : i + 1 < call->n_pieces ? bytes - g * group_bytes : 0;
            matmul_task_panels(&task, unit->panel_begin + g * width, left < width ? left : width);
            if (call->expanded != NULL) {
                matmul_expand(&task, call->pieces[i].begin, call->pieces[i].end);
            }
            for (size_t b = 0; b < n_blocks; b++) {
                const struct matmul_ahead ahead = {.first = next + b * bytes / n_blocks,
                                                   .step  = (pair_bytes + n_blocks - 1) / n_blocks};
                matmul_task_block(&task, unit->block_begin + b);
                task.waiting = scratch + (g * n_blocks + b) * SUMS_FLOATS;
                matmul_task_run(&task, i, &ahead);
            }
        }
    }
}

/* Panels of a unit: as many as the tile is wide for the rows at hand; two when rows are few and wide
 * units would be too few for the threads to balance, or panels are expanded. */
static size_t matmul_group(const struct matmul_call *call, int n_threads)
{
    const size_t rows = (call->mm->m + call->blocks - 1) / call->blocks;
    size_t width      = (size_t)tile_width(call->tiles, rows, TILE_PANELS);
    if (width > 2 && (call->expanded != NULL || call->panels / width < 8 * (size_t)n_threads)) {
        width = 2;
    }
    return call->mm->epilogue == TW_EPILOGUE_SWIGLU ? (width + 1) / 2 : width;
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

/* Is the call taken piece by piece, and in which units? When its inputs are many, and its rows so many that
 * they do not stay in L2. */
static bool matmul_in_pieces(struct matmul_call *call, size_t row_bytes, int n_threads, size_t *chunk,
                             size_t *group)
{
    const struct tw_matmul *mm = call->mm;
    const size_t scratch       = mm->scratch_bytes - (call->expanded == NULL ? 0 : TW_MATMUL_PIECE_SCRATCH);
    if (mm->scratch_bytes == 0 || call->coded || mm->k <= LONG_INPUTS ||
        call->blocks * TILE_ROWS * row_bytes <= ROWS_BYTES) {
        return false;
    }
    const size_t least = mm->k / TW_MAX_LEAVES + 1;
    if (call->expanded != NULL && least > LONG_INPUTS) {
        return false; /* two panels of a piece would not fit the scratch */
    }
    matmul_plan(call, least > LONG_INPUTS ? least : LONG_INPUTS);
    size_t deepest = 0, longest = 0;
    for (size_t i = 0; i < call->n_pieces; i++) {
        const struct matmul_piece *p = &call->pieces[i];
        deepest                      = deepest < p->level + p->n_left ? p->level + p->n_left : deepest;
        longest                      = longest < p->end - p->begin ? p->end - p->begin : longest;
    }
    const size_t group_bytes = (deepest + 1) * PIECE_GROUPS * SUMS_FLOATS * sizeof(float);
    size_t most              = PIECE_BYTES / (TILE_ROWS * longest * (call->kind->words ? 2 : 4));
    most                     = most < scratch / group_bytes ? most : scratch / group_bytes;
    if (most < 2) {
        call->n_pieces = 0;
        return false;
    }
    *group        = PIECE_GROUPS * call->width;
    size_t groups = (call->panels + *group - 1) / *group, chunks = (call->blocks + most - 1) / most;
    while (chunks * groups < 32 * (size_t)n_threads && call->blocks / (chunks + 1) >= PIECE_BLOCKS) {
        chunks++;
    }
    if (chunks * groups < 16 * (size_t)n_threads) {
        *group = call->width;
    }
    *chunk      = (call->blocks + chunks - 1) / chunks;
    call->keeps = false;
    return true;
}

/* Compressed panels are decoded by the tiles, once a unit: those of its first block of rows keep them for the
 * others. Where pieces are no whole groups they are expanded beforehand. */
static void matmul_prepare(struct matmul_call *call, int thread)
{
    const struct tw_matmul *mm = call->mm;
    call->tiles                = call->kind->tiles;
    call->pair_bytes           = 2 * TW_PANEL * call->kind->weight_bytes;
    call->coded                = false;
    call->keeps                = false;
    call->expanded             = NULL;
    if (mm->codes.upper == NULL) {
        return;
    }
    call->pair_bytes = TW_GROUP_BYTES / TW_GROUP_PAIRS;
    matmul_plan(call, 0);
    const bool whole = matmul_whole_groups(call);
    call->n_pieces   = 0;
    call->coded      = whole && call->blocks <= CODE_BLOCKS;
    call->keeps      = whole && !call->coded;
    if (call->coded) {
        call->tiles = call->kind->code_tiles;
    } else {
        call->expanded = (char *)mm->scratch + (size_t)thread * mm->scratch_bytes;
    }
}

static void matmul_v16(struct tw_matmul *mm, int thread, int n_threads, const struct matmul_kind *kind)
{
    struct matmul_call call; /* its pieces are written when they are counted */
    call.mm       = mm;
    call.kind     = kind;
    call.n_pieces = 0;
    call.blocks   = tw_row_blocks(mm->m, TILE_ROWS);
    call.panels   = (mm->n + TW_PANEL - 1) / TW_PANEL;
    matmul_prepare(&call, thread);
    call.width = matmul_group(&call, n_threads);

    const size_t row = tw_packed_k(mm->k) * (kind->words ? 2 : 4);
    size_t group     = call.width;
    size_t chunk     = matmul_chunk(call.blocks, (call.panels + group - 1) / group, row, n_threads);
    const bool cut   = matmul_in_pieces(&call, row, n_threads, &chunk, &group);
    if (!cut) {
        matmul_plan(&call, 0);
    }
    float *scratch = NULL;
    if (cut) {
        char *own = (char *)mm->scratch + (size_t)thread * mm->scratch_bytes;
        scratch   = (float *)(void *)(own + (call.expanded == NULL ? 0 : TW_MATMUL_PIECE_SCRATCH));
    }
    struct tw_work work = tw_work_init(call.blocks, chunk, call.panels, group);
    for (size_t begin, end; tw_work_claim(&work, &mm->next, n_threads, &begin, &end);) {
        for (size_t u = begin; u < end; u++) {
            const struct tw_unit unit = tw_work_unit(&work, u);
            const bool more           = u + 1 < end && (u + 1) % work.groups != 0;
            if (cut) {
                matmul_unit_pieces(&call, &unit, scratch);
            } else {
                matmul_unit(&call, &unit,
                            more ? group * mm->panel_stride / (2 * TW_PANEL) * call.pair_bytes : 0);
            }
        }
    }
}

#endif /* TW_KERNELS_MATMUL_V16_H */
