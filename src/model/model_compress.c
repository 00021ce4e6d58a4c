/* SPDX-License-Identifier: MIT */
#include "model/model_compress.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "kernels/kernels.h"

enum { WORDS = TW_PLAIN_BYTES / 2 };

static bool is_compressed(const struct tw_weight *w)
{
    return tw_weight_is_matrix(w) && tw_compressible(w->columns);
}

trawl_status tw_compressor_make(struct tw_compressor *c, const struct tw_weight_list *list,
                                struct trawl_error *err)
{
    *c = (struct tw_compressor){.list = list};
    TW_TRY(tw_alloc(list->n, sizeof *c->panel, &c->panel, err));
    TW_TRY(tw_alloc(list->n, sizeof *c->offset, &c->offset, err));
    for (size_t i = 0; i < list->n; i++) {
        const struct tw_weight *w = &list->weights[i];
        c->panel[i]               = c->made.panels;
        c->offset[i]              = c->bytes;
        if (tw_weight_is_matrix(w)) {
            const size_t panels = tw_linear_panels(w->linear);
            c->bytes += tw_round_up(is_compressed(w) ? panels * tw_compressed_bytes(w->columns)
                                                     : w->elements * tw_dtype_bytes(TW_DTYPE_BF16),
                                    64);
            c->made.panels += panels;
            c->groups += is_compressed(w) ? panels * (w->columns / TW_GROUP_INPUTS) : 0;
        }
    }
    if (c->groups > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%zu groups of weights are more than can be compressed",
                       c->groups);
    }
    TW_TRY(tw_alloc(c->made.panels, TW_UPPER_BYTES, &c->made.upper, err));
    return tw_alloc(c->made.panels + 1, sizeof *c->made.first, &c->made.first, err);
}

void tw_compressor_release(struct tw_compressor *c)
{
    tw_free(c->panel);
    tw_free(c->offset);
    tw_compression_release(&c->made);
    *c = (struct tw_compressor){0};
}

static void keep_plain(struct tw_plain_groups *found, size_t panel, uint32_t group, const uint16_t *lines)
{
    if (found->status == TRAWL_OK) {
        found->status = tw_grow(&found->groups, &found->capacity, found->n + 1, sizeof *found->groups, NULL);
    }
    if (found->status == TRAWL_OK) {
        struct tw_plain_group *g = &found->groups[found->n++];
        g->panel                 = (uint32_t)panel;
        g->group                 = group;
        memcpy(g->lines, lines, sizeof g->lines);
    }
}

/* Bytes from a panel to the next. */
static size_t panel_bytes(const struct tw_weight *w)
{
    return is_compressed(w) ? tw_compressed_bytes(w->columns)
                            : tw_panel_elements(w->columns) * tw_dtype_bytes(TW_DTYPE_BF16);
}

size_t tw_compressor_place(const struct tw_compressor *c, size_t index, size_t panel)
{
    return c->offset[index] + panel * panel_bytes(&c->list->weights[index]);
}

void tw_compressor_add(struct tw_compressor *c, size_t index, size_t begin, size_t end, const uint16_t *from,
                       void *to, struct tw_plain_groups *found)
{
    const struct tw_weight *w = &c->list->weights[index];
    const size_t elements = tw_panel_elements(w->columns), bytes = panel_bytes(w);
    uint8_t *at = to;
    if (!is_compressed(w)) {
        memcpy(at, from, (end - begin) * bytes);
        return;
    }
    uint32_t *plain = NULL;
    if (found->status == TRAWL_OK) {
        found->status = tw_alloc(w->columns / TW_GROUP_INPUTS, sizeof *plain, &plain, NULL);
    }
    for (size_t p = begin; p < end && found->status == TRAWL_OK; p++, from += elements, at += bytes) {
        const size_t panel = c->panel[index] + p;
        const size_t n =
            tw_compress_panel(at, from, w->columns, c->made.upper + panel * TW_UPPER_BYTES, plain);
        c->made.first[panel + 1] = (uint32_t)n; /* a count until all are known */
        for (size_t i = 0; i < n; i++) {
            keep_plain(found, panel, plain[i], from + (size_t)plain[i] * WORDS);
        }
    }
    tw_free(plain);
}

trawl_status tw_compressor_count(const struct tw_plain_groups *found, size_t n, size_t *n_plain,
                                 struct trawl_error *err)
{
    *n_plain = 0;
    for (size_t i = 0; i < n; i++) {
        if (found[i].status != TRAWL_OK) {
            return tw_fail(err, found[i].status, "out of memory for weights that are kept plain");
        }
        *n_plain += found[i].n;
    }
    return TRAWL_OK;
}

bool tw_compressor_pays(const struct tw_compressor *c, size_t n_plain)
{
    const struct tw_compression *m = &c->made;
    return n_plain * (TW_PLAIN_BYTES + sizeof *m->group) + m->panels * (sizeof *m->first + TW_UPPER_BYTES) <
           c->groups * (TW_PLAIN_BYTES - TW_GROUP_BYTES);
}

trawl_status tw_compressor_finish(struct tw_compressor *c, const struct tw_plain_groups *found, size_t n,
                                  struct trawl_error *err)
{
    struct tw_compression *m = &c->made;
    for (size_t i = 0; i < n; i++) {
        m->n_plain += found[i].n;
    }
    TW_TRY(tw_alloc(m->n_plain, sizeof *m->group, &m->group, err));
    TW_TRY(tw_big_alloc(m->n_plain * TW_PLAIN_BYTES, &m->plain, err));
    for (size_t p = 0; p < m->panels; p++) {
        m->first[p + 1] += m->first[p];
    }
    for (size_t i = 0; i < n; i++) { /* a thread found the groups of a panel together, in their order */
        uint32_t at = 0;
        for (size_t j = 0; j < found[i].n; j++) {
            const struct tw_plain_group *g = &found[i].groups[j];
            at                             = j > 0 && g[-1].panel == g->panel ? at + 1 : m->first[g->panel];
            m->group[at]                   = g->group;
            memcpy(m->plain + (size_t)at * TW_PLAIN_BYTES, g->lines, TW_PLAIN_BYTES);
        }
    }
    return TRAWL_OK;
}

struct tw_codes tw_compressor_codes(const struct tw_compressor *c, size_t index)
{
    if (!is_compressed(&c->list->weights[index])) {
        return (struct tw_codes){0};
    }
    return (struct tw_codes){.upper = c->made.upper + c->panel[index] * TW_UPPER_BYTES,
                             .first = c->made.first + c->panel[index],
                             .group = c->made.group,
                             .plain = c->made.plain};
}

size_t tw_compression_bytes(const struct tw_compression *c)
{
    return c->upper == NULL ? 0
                            : c->panels * TW_UPPER_BYTES + (c->panels + 1) * sizeof *c->first +
                                  c->n_plain * (sizeof *c->group + TW_PLAIN_BYTES);
}

void tw_compression_release(struct tw_compression *c)
{
    tw_free(c->upper);
    tw_free(c->first);
    tw_free(c->group);
    tw_big_free(c->plain, c->plain == NULL ? 0 : c->n_plain * TW_PLAIN_BYTES);
    *c = (struct tw_compression){0};
}
