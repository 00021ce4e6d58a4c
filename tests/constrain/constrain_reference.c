/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_reference.h"

#include "support/test.h"

#include "constrain/constrain_regex.h"
#include "constrain/constrain_schema.h"

static trawl_status parse(struct tw_tree *tree, enum tw_constraint_kind kind, const char *text, size_t n,
                          bool search, uint32_t *root, struct trawl_error *err)
{
    struct tw_regex_options options = {.search = search};
    return kind == TW_CONSTRAINT_REGEX         ? tw_regex_parse(tree, text, n, &options, root, err)
           : kind == TW_CONSTRAINT_JSON_SCHEMA ? tw_schema_parse(tree, text, n, root, err)
                                               : tw_schema_parse_choice(tree, text, n, root, err);
}

/* Bellman and Ford: until nothing changes. */
static void find_distances(struct reference *r)
{
    const struct tw_nfa_node *nodes = r->nfa.nodes;
    r->distance                     = malloc(r->nfa.n_nodes * sizeof *r->distance);
    assert_non_null(r->distance);
    for (size_t i = 0; i < r->nfa.n_nodes; i++) {
        r->distance[i] = nodes[i].kind == TW_NFA_ACCEPT ? 0 : SIZE_MAX;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < r->nfa.n_nodes; i++) {
            size_t next = r->distance[nodes[i].next], best = next;
            if (nodes[i].kind == TW_NFA_BYTE && next != SIZE_MAX) {
                best = next + 1;
            }
            if (nodes[i].kind == TW_NFA_SPLIT && r->distance[nodes[i].other] < best) {
                best = r->distance[nodes[i].other];
            }
            if (nodes[i].kind != TW_NFA_ACCEPT && best < r->distance[i]) {
                r->distance[i] = best;
                changed        = true;
            }
        }
    }
}

trawl_status reference_init(struct reference *r, enum tw_constraint_kind kind, const char *text, size_t n,
                            bool search, struct trawl_error *err)
{
    struct tw_tree tree;
    uint32_t root = 0;
    tw_tree_init(&tree);
    *r                  = (struct reference){.distance = NULL};
    trawl_status status = parse(&tree, kind, text, n, search, &root, err);
    if (status == TRAWL_OK) {
        status = tw_nfa_build(&r->nfa, &tree, root, err);
    }
    tw_tree_release(&tree);
    if (status == TRAWL_OK) {
        find_distances(r);
    }
    return status;
}

void reference_release(struct reference *r)
{
    tw_nfa_release(&r->nfa);
    free(r->distance);
}

static void enter(const struct tw_nfa *nfa, bool *in, uint32_t node)
{
    if (!in[node]) {
        in[node] = true;
        if (nfa->nodes[node].kind == TW_NFA_SPLIT) {
            enter(nfa, in, nfa->nodes[node].next);
            enter(nfa, in, nfa->nodes[node].other);
        }
    }
}

size_t reference_left(const struct reference *r, const void *text, size_t n)
{
    const uint8_t *bytes = text;
    size_t n_nodes = r->nfa.n_nodes, left = SIZE_MAX;
    bool *in = calloc(n_nodes, 1), *out = calloc(n_nodes, 1);
    assert_non_null(in);
    assert_non_null(out);
    enter(&r->nfa, in, r->nfa.start);
    for (size_t i = 0; i < n; i++) {
        memset(out, 0, n_nodes);
        for (size_t k = 0; k < n_nodes; k++) {
            const struct tw_nfa_node *x = &r->nfa.nodes[k];
            if (in[k] && tw_nfa_reads(&r->nfa, x, bytes[i])) {
                enter(&r->nfa, out, x->next);
            }
        }
        bool *was = in;
        in        = out;
        out       = was;
    }
    for (size_t k = 0; k < n_nodes; k++) {
        left = in[k] && r->distance[k] < left ? r->distance[k] : left;
    }
    free(in);
    free(out);
    return left;
}

const char *words_piece(void *user, int32_t id, size_t *n)
{
    const struct words *w = user;
    *n                    = w->size[id];
    return *n == 0 ? NULL : w->text[id];
}
