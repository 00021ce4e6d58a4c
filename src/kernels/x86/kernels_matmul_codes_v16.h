/* SPDX-License-Identifier: MIT */
/* Compressed panels under a matmul: where they are, what tiles need to decode them, expanding them beforehand. */
#ifndef TW_KERNELS_MATMUL_CODES_V16_H
#define TW_KERNELS_MATMUL_CODES_V16_H

#include "kernels/x86/kernels_matmul_call_v16.h"

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

/* tw_expand_groups */
static void matmul_expand_groups(char *to, const char *from, size_t begin, size_t end, const uint8_t *upper)
{
    const v16 table = v16_table(upper);
    for (size_t g = begin; g < end; g++, to += TW_PLAIN_BYTES) {
        v16 lines[TW_GROUP_PAIRS];
        v16_decode(from + g * TW_GROUP_BYTES, 0, table, lines);
        v16_decode(from + g * TW_GROUP_BYTES, 1, table, lines + 2);
        memcpy(to, lines, sizeof lines);
    }
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
        matmul_expand_groups(out, matmul_panel(task, s), from, to, codes->upper + panel * TW_UPPER_BYTES);
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
        __builtin_prefetch(out->upper[p] + NEXT_PANELS * TW_UPPER_BYTES);
        __builtin_prefetch(codes->first + panel + NEXT_PANELS);
        __builtin_prefetch(out->plain_end[p] + NEXT_PANELS);
        out->keep[p] = task->keeps ? task->keep[s + p] + (piece->begin / 2 - task->w_from) * 64 : NULL;
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

#endif /* TW_KERNELS_MATMUL_CODES_V16_H */
