/* SPDX-License-Identifier: MIT */
#include "model/model_packed_codes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/thread.h"
#include "kernels/kernels.h"

/* ---- parts ---- */

/* `n` times `size` bytes behind what there is, at the next multiple of a line. */
static bool add_part(size_t *bytes, size_t n, size_t size, size_t *at)
{
    size_t padded = 0, part = 0;
    if (!tw_size_add(*bytes, TW_PACKED_LINE - 1, &padded) || !tw_size_mul(n, size, &part)) {
        return false;
    }
    *at = padded / TW_PACKED_LINE * TW_PACKED_LINE;
    return tw_size_add(*at, part, bytes);
}

bool tw_packed_parts_of(size_t panels, size_t k, size_t plain_groups, struct tw_packed_parts *out)
{
    size_t unused = 0;
    *out          = (struct tw_packed_parts){0};
    return panels < UINT32_MAX && plain_groups <= UINT32_MAX &&
           k <= UINT32_MAX && /* sums of `first` are u32 */
           add_part(&out->bytes, panels, tw_compressed_bytes(k), &unused) &&
           add_part(&out->bytes, plain_groups, TW_PLAIN_BYTES, &out->plain) &&
           add_part(&out->bytes, panels, TW_UPPER_BYTES, &out->upper) &&
           add_part(&out->bytes, panels + 1, sizeof(uint32_t), &out->first) &&
           add_part(&out->bytes, plain_groups, sizeof(uint32_t), &out->group);
}

struct tw_codes tw_packed_codes(const uint8_t *data, const struct tw_packed_entry *e)
{
    const uint8_t *matrix = data + e->offset;
    struct tw_packed_parts parts;
    TW_BUG_ON(!tw_packed_parts_of(e->panels, e->columns, e->plain_groups, &parts));
    return (struct tw_codes){.upper = matrix + parts.upper,
                             .first = (const uint32_t *)(const void *)(matrix + parts.first),
                             .group = (const uint32_t *)(const void *)(matrix + parts.group),
                             .plain = matrix + parts.plain};
}

/* Plain groups of every panel: ascending, among the panel's groups, and all of them some panel's. */
static bool are_codes_possible(const struct tw_codes *c, size_t panels, size_t groups, size_t plain_groups)
{
    if (c->first[0] != 0 || c->first[panels] != plain_groups) {
        return false;
    }
    for (size_t p = 0; p < panels; p++) {
        if (c->first[p + 1] < c->first[p] || c->first[p + 1] > plain_groups) {
            return false;
        }
        for (uint32_t i = c->first[p]; i < c->first[p + 1]; i++) {
            if (c->group[i] >= groups || (i > c->first[p] && c->group[i] <= c->group[i - 1])) {
                return false;
            }
        }
    }
    return true;
}

trawl_status tw_packed_check_codes(const uint8_t *data, const struct tw_packed_entry *e, const char *what,
                                   struct trawl_error *err)
{
    struct tw_packed_parts parts;
    if (e->dtype != TW_DTYPE_BF16 || !tw_compressible(e->columns) ||
        !tw_packed_parts_of(e->panels, e->columns, e->plain_groups, &parts) || e->bytes != parts.bytes) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: weight \"%s\" of type %u has %llu bytes for %llu compressed panels of %llu inputs and "
            "%llu plain groups: damaged",
            what, e->name, e->dtype, (unsigned long long)e->bytes, (unsigned long long)e->panels,
            (unsigned long long)e->columns, (unsigned long long)e->plain_groups);
    }
    const struct tw_codes codes = tw_packed_codes(data, e);
    if (!are_codes_possible(&codes, e->panels, e->columns / TW_GROUP_INPUTS, e->plain_groups)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: weight \"%s\" names plain groups that its panels do not have: damaged", what,
                       e->name);
    }
    return TRAWL_OK;
}

/* ---- plain panels ---- */

struct expansion {
    const struct tw_weight_list *list;
    uint8_t *panels;
};

static void expand_panel(const struct tw_linear *l, size_t panel, uint16_t *to)
{
    const size_t words       = TW_PLAIN_BYTES / sizeof *to;
    const struct tw_codes *c = &l->codes;
    const uint8_t *from      = (const uint8_t *)l->panels + panel * tw_compressed_bytes(l->k);
    tw_expand_groups(to, from, 0, l->k / TW_GROUP_INPUTS, c->upper + panel * TW_UPPER_BYTES);
    for (uint32_t i = c->first[panel]; i < c->first[panel + 1]; i++) {
        memcpy(to + c->group[i] * words, c->plain + (size_t)i * TW_PLAIN_BYTES, TW_PLAIN_BYTES);
    }
}

/* A thread's share of every matrix. */
static void expand_main(void *arg, int thread, int n_threads)
{
    const struct expansion *x = arg;
    for (size_t i = 0; i < x->list->n; i++) {
        const struct tw_weight *w = &x->list->weights[i];
        if (!tw_weight_is_matrix(w)) {
            continue;
        }
        const size_t panels = tw_linear_panels(w->linear), elements = tw_panel_elements(w->columns);
        const size_t begin = panels * (size_t)thread / (size_t)n_threads;
        const size_t end   = panels * ((size_t)thread + 1) / (size_t)n_threads;
        uint16_t *to       = (uint16_t *)(void *)x->panels + w->first + begin * elements;
        if (w->linear->codes.upper == NULL) {
            memcpy(to, (const uint16_t *)w->linear->panels + begin * elements,
                   (end - begin) * elements * sizeof *to);
            continue;
        }
        for (size_t p = begin; p < end; p++, to += elements) {
            expand_panel(w->linear, p, to);
        }
    }
}

trawl_status tw_packed_expand(struct tw_model *m, const struct tw_weight_list *list, int n_threads,
                              struct trawl_error *err)
{
    struct tw_team *team = NULL;
    m->codes_bytes       = 0;
    if (!tw_size_mul(list->matrix_elements, tw_dtype_bytes(TW_DTYPE_BF16), &m->panels_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: the weights do not fit in the address space", m->folder);
    }
    TW_TRY(tw_big_alloc(m->panels_bytes, &m->panels, err));
    TW_TRY(tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err));
    struct expansion x = {.list = list, .panels = m->panels};
    tw_team_run(team, expand_main, &x);
    tw_team_free(team);
    for (size_t i = 0; i < list->n; i++) {
        const struct tw_weight *w = &list->weights[i];
        if (tw_weight_is_matrix(w)) {
            w->linear->panels = x.panels + w->first * tw_dtype_bytes(TW_DTYPE_BF16);
            w->linear->codes  = (struct tw_codes){0};
        }
    }
    return TRAWL_OK;
}
