/* SPDX-License-Identifier: MIT */
/* What both halves of the parser do with tokens and nodes. */
#include <stdio.h>

#include "text/text_jinja_ast.h"

enum { MAX_DEPTH = 200 };

trawl_status tw_jinja_enter(struct tw_parser *p)
{
    if (++p->depth > MAX_DEPTH) {
        return tw_jinja_fail(p, TRAWL_ERR_LIMIT, tw_jinja_token(p)->line, "more than %d levels of nesting",
                             MAX_DEPTH);
    }
    return TRAWL_OK;
}

trawl_status tw_jinja_new_node(struct tw_parser *p, enum tw_node_kind kind, struct tw_node **out)
{
    TW_TRY(tw_arena_alloc(&p->t->arena, 1, sizeof **out, out, p->err));
    (*out)->kind = kind;
    (*out)->line = tw_jinja_token(p)->line;
    return TRAWL_OK;
}

trawl_status tw_jinja_push_item(struct tw_parser *p, struct tw_node *node, struct tw_node *item)
{
    TW_TRY(tw_arena_grow(&p->t->arena, &node->items, node->n_items, &node->items_capacity, node->n_items + 1,
                         sizeof(struct tw_node *), p->err));
    node->items[node->n_items++] = item;
    return TRAWL_OK;
}

/* ---- tokens ---- */

bool tw_jinja_skip_operator(struct tw_parser *p, const char *op)
{
    bool is = tw_jinja_is_operator(p, op);
    p->at += is;
    return is;
}

bool tw_jinja_skip_name(struct tw_parser *p, const char *name)
{
    bool is = tw_jinja_is_name(p, name);
    p->at += is;
    return is;
}

trawl_status tw_jinja_unexpected(struct tw_parser *p, const char *expected)
{
    const struct tw_token *t = tw_jinja_token(p);
    switch (t->kind) {
    case TW_T_NAME:
    case TW_T_STRING:
    case TW_T_INT:
    case TW_T_FLOAT:
    case TW_T_OPERATOR:
        return tw_jinja_fail(p, TRAWL_ERR_FORMAT, t->line, "found \"%.*s\", expected %s",
                             (int)(t->text.n > 40 ? 40 : t->text.n), t->text.s, expected);
    case TW_T_END:
        return tw_jinja_fail(p, TRAWL_ERR_FORMAT, t->line, "the template ends, expected %s", expected);
    case TW_T_DATA:
    case TW_T_BLOCK_BEGIN:
    case TW_T_BLOCK_END:
    case TW_T_OUTPUT_BEGIN:
    case TW_T_OUTPUT_END: break;
    }
    return tw_jinja_fail(p, TRAWL_ERR_FORMAT, t->line, "the tag ends, expected %s", expected);
}

trawl_status tw_jinja_expect_operator(struct tw_parser *p, const char *op)
{
    char expected[8];
    if (tw_jinja_skip_operator(p, op)) {
        return TRAWL_OK;
    }
    (void)snprintf(expected, sizeof expected, "\"%s\"", op);
    return tw_jinja_unexpected(p, expected);
}

trawl_status tw_jinja_expect_name(struct tw_parser *p, struct tw_text *out)
{
    if (tw_jinja_token(p)->kind != TW_T_NAME) {
        return tw_jinja_unexpected(p, "a name");
    }
    *out = p->tokens[p->at++].text;
    return TRAWL_OK;
}
