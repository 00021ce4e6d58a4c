/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF, CODE_LAST = 0x10FFFF };

void tw_tree_init(struct tw_tree *t)
{
    *t = (struct tw_tree){.n_nodes = 0};
    tw_str_init(&t->bytes, 0);
}

void tw_tree_release(struct tw_tree *t)
{
    tw_free(t->nodes);
    tw_free(t->ranges);
    tw_str_release(&t->bytes);
    *t = (struct tw_tree){.n_nodes = 0};
}

trawl_status tw_tree_add(struct tw_tree *t, enum tw_tree_kind kind, uint32_t *out, struct trawl_error *err)
{
    size_t at = t->n_nodes == 0 ? 1 : t->n_nodes; /* 0 names no node */
    if (at >= TW_CONSTRAIN_NODES_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "the constraint has more than %d parts", TW_CONSTRAIN_NODES_MAX);
    }
    TW_TRY(tw_grow(&t->nodes, &t->nodes_capacity, at + 1, sizeof *t->nodes, err));
    t->nodes[at] = (struct tw_tree_node){.kind = kind};
    t->n_nodes   = at + 1;
    *out         = (uint32_t)at;
    return TRAWL_OK;
}

trawl_status tw_tree_text(struct tw_tree *t, const char *bytes, size_t n, uint32_t *out,
                          struct trawl_error *err)
{
    TW_TRY(tw_tree_add(t, TW_TREE_TEXT, out, err));
    t->nodes[*out].at = (uint32_t)t->bytes.size;
    t->nodes[*out].n  = (uint32_t)n;
    if (n > UINT32_MAX - t->bytes.size) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "the constraint has more than 4 GiB of text");
    }
    return tw_str_append(&t->bytes, bytes, n, err);
}

trawl_status tw_tree_repeat(struct tw_tree *t, uint32_t child, uint32_t min, uint32_t max, uint32_t separator,
                            uint32_t *out, struct trawl_error *err)
{
    TW_TRY(tw_tree_add(t, separator == 0 ? TW_TREE_REPEAT : TW_TREE_ITEMS, out, err));
    t->nodes[*out].min       = min;
    t->nodes[*out].max       = max;
    t->nodes[*out].separator = separator;
    tw_tree_append(t, *out, child);
    return TRAWL_OK;
}

void tw_tree_append(struct tw_tree *t, uint32_t parent, uint32_t child)
{
    t->nodes[child].prev  = t->nodes[parent].last;
    t->nodes[parent].last = child;
}

/* ---- sets of characters ---- */

trawl_status tw_tree_set_add(struct tw_tree *t, uint32_t set, uint32_t lo, uint32_t hi,
                             struct trawl_error *err)
{
    struct tw_tree_node *node = &t->nodes[set];
    if (node->n == 0) {
        node->at = (uint32_t)t->n_ranges;
    }
    TW_TRY(tw_grow(&t->ranges, &t->ranges_capacity, t->n_ranges + 1, sizeof *t->ranges, err));
    t->ranges[t->n_ranges++] = (struct tw_code_range){lo, hi};
    node->n++;
    return TRAWL_OK;
}

static int by_first(const void *a, const void *b)
{
    const struct tw_code_range *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

/* What is missing between sorted, joined ranges; at most one range more than there were. */
static size_t complement(const struct tw_code_range *in, size_t n, struct tw_code_range *out)
{
    uint32_t from = 0;
    size_t kept   = 0;
    for (size_t i = 0; i < n; i++) {
        if (in[i].lo > from) {
            out[kept++] = (struct tw_code_range){from, in[i].lo - 1};
        }
        from = in[i].hi + 1;
    }
    if (from <= CODE_LAST) {
        out[kept++] = (struct tw_code_range){from, CODE_LAST};
    }
    return kept;
}

static size_t join(struct tw_code_range *r, size_t n)
{
    size_t kept = 0;
    qsort(r, n, sizeof *r, by_first);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && r[i].lo <= r[kept - 1].hi + 1) {
            r[kept - 1].hi = r[i].hi > r[kept - 1].hi ? r[i].hi : r[kept - 1].hi;
        } else {
            r[kept++] = r[i];
        }
    }
    return kept;
}

static size_t without_surrogates(const struct tw_code_range *in, size_t n, struct tw_code_range *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct tw_code_range r = in[i];
        if (r.lo < SURROGATE_FIRST) {
            out[kept++] = (struct tw_code_range){r.lo, r.hi < SURROGATE_FIRST ? r.hi : SURROGATE_FIRST - 1};
        }
        if (r.hi > SURROGATE_LAST) {
            out[kept++] = (struct tw_code_range){r.lo > SURROGATE_LAST ? r.lo : SURROGATE_LAST + 1, r.hi};
        }
    }
    return kept;
}

trawl_status tw_tree_set_close(struct tw_tree *t, uint32_t set, bool negate, struct trawl_error *err)
{
    struct tw_tree_node *node = &t->nodes[set];
    if (node->n == 0) {
        node->at = (uint32_t)t->n_ranges;
    }
    /* Room for both passes behind the set itself; it ends up at its own place. */
    size_t room = (size_t)node->at + 3 * ((size_t)node->n + 1);
    TW_TRY(tw_grow(&t->ranges, &t->ranges_capacity, room, sizeof *t->ranges, err));
    struct tw_code_range *set_ranges = t->ranges + node->at, *from = set_ranges;
    size_t n = join(set_ranges, node->n);
    if (negate) {
        from = set_ranges + n;
        n    = complement(set_ranges, n, from);
    }
    struct tw_code_range *out = from + n;
    n                         = without_surrogates(from, n, out);
    memmove(set_ranges, out, n * sizeof *out);
    node->n     = (uint32_t)n;
    t->n_ranges = node->at + n;
    return TRAWL_OK;
}
