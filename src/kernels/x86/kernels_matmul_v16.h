/* SPDX-License-Identifier: MIT */
/* Matmul around the innermost loop: tasks and units of work. Include after
 * kernels_vec_<isa>.h, kernels_v16_math.h and kernels_tile.h. */
#ifndef TW_KERNELS_MATMUL_V16_H
#define TW_KERNELS_MATMUL_V16_H

#include "kernels/kernels_work.h"
#include "kernels/x86/kernels_matmul_codes_v16.h"
#include "kernels/x86/kernels_matmul_end_v16.h"

/* ---- tasks ---- */

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

/* The first block of a unit keeps inputs [begin, end) of the panels that it decodes, the others find them. */
static void matmul_task_keep(struct matmul_task *task, bool first, size_t begin, size_t end)
{
    const struct matmul_call *call = task->call;
    const size_t panel_bytes       = tw_packed_k(end - begin) / 2 * 64;
    task->coded = task->keeps = first;
    task->tiles               = first ? call->kind->keep_tiles : call->kind->tiles;
    task->w_from              = begin / 2;
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
            matmul_task_keep(&task, b == 0, 0, call->mm->k);
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
            if (call->expanded != NULL && !call->keeps) {
                matmul_expand(&task, call->pieces[i].begin, call->pieces[i].end);
            }
            for (size_t b = 0; b < n_blocks; b++) {
                const struct matmul_ahead ahead = {.first = next + b * bytes / n_blocks,
                                                   .step  = (pair_bytes + n_blocks - 1) / n_blocks};
                matmul_task_block(&task, unit->block_begin + b);
                if (call->keeps && b < 2) {
                    matmul_task_keep(&task, b == 0, call->pieces[i].begin, call->pieces[i].end);
                }
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
    *chunk = (call->blocks + chunks - 1) / chunks;
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
    if (mm->codes.upper == NULL || call->kind->code_tiles == NULL) {
        return;
    }
    call->pair_bytes = TW_GROUP_BYTES / TW_GROUP_PAIRS;
    matmul_plan(call, 0);
    const bool whole = matmul_whole_groups(call);
    call->n_pieces   = 0;
    call->coded      = whole && call->blocks <= TILE_CODE_BLOCKS;
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
