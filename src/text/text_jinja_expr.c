/* SPDX-License-Identifier: MIT */
/* Expressions of templates to trees. */
#include <string.h>

#include "text/text_jinja_ast.h"
#include "text/text_jinja_builtin.h"

/* ---- building ---- */

static trawl_status binary(struct tw_parser *p, enum tw_node_kind kind, enum tw_operator op,
                           struct tw_node *a, struct tw_node *b, struct tw_node **out)
{
    struct tw_node *node = NULL;
    TW_TRY(tw_jinja_new_node(p, kind, &node));
    node->op = op;
    node->a  = a;
    node->b  = b;
    *out     = node;
    return TRAWL_OK;
}

static trawl_status constant(struct tw_parser *p, struct tw_value value, struct tw_node **out)
{
    TW_TRY(tw_jinja_new_node(p, TW_N_CONST, out));
    (*out)->value = value;
    return TRAWL_OK;
}

/* ---- literals ---- */

static trawl_status parse_string(struct tw_parser *p, struct tw_node **out)
{
    /* Strings that stand beside each other are one. */
    size_t n     = 0;
    size_t first = p->at;
    for (; tw_jinja_token(p)->kind == TW_T_STRING; p->at++) {
        n += tw_jinja_token(p)->text.n;
    }
    char *text = NULL;
    TW_TRY(tw_arena_alloc(&p->t->arena, n, 1, &text, p->err));
    n = 0;
    for (size_t i = first; i < p->at; i++) {
        memcpy(text + n, p->tokens[i].text.s, p->tokens[i].text.n);
        n += p->tokens[i].text.n;
    }
    return constant(p, tw_value_text(text, n), out);
}

/* Items up to the closing bracket, a comma between them and perhaps one at the end. */
static trawl_status parse_items(struct tw_parser *p, struct tw_node *node, const char *close)
{
    while (!tw_jinja_is_operator(p, close)) {
        struct tw_node *item = NULL;
        TW_TRY(tw_jinja_parse_expression(p, &item));
        TW_TRY(tw_jinja_push_item(p, node, item));
        if (node->kind == TW_N_DICT) {
            TW_TRY(tw_jinja_expect_operator(p, ":"));
            TW_TRY(tw_jinja_parse_expression(p, &item));
            TW_TRY(tw_jinja_push_item(p, node, item));
        }
        if (!tw_jinja_skip_operator(p, ",")) {
            break;
        }
    }
    return tw_jinja_expect_operator(p, close);
}

static trawl_status parse_parentheses(struct tw_parser *p, struct tw_node **out)
{
    p->at++;
    if (tw_jinja_skip_operator(p, ")")) {
        return tw_jinja_new_node(p, TW_N_TUPLE, out);
    }
    TW_TRY(tw_jinja_parse_tuple(p, out));
    return tw_jinja_expect_operator(p, ")");
}

static trawl_status parse_name(struct tw_parser *p, struct tw_node **out)
{
    struct tw_text name = p->tokens[p->at++].text;
    if (tw_text_is(name, "true") || tw_text_is(name, "True")) {
        return constant(p, tw_value_bool(true), out);
    }
    if (tw_text_is(name, "false") || tw_text_is(name, "False")) {
        return constant(p, tw_value_bool(false), out);
    }
    if (tw_text_is(name, "none") || tw_text_is(name, "None")) {
        return constant(p, tw_value_of(TW_V_NONE), out);
    }
    if (p->macros > 0 &&
        (tw_text_is(name, "varargs") || tw_text_is(name, "kwargs") || tw_text_is(name, "caller"))) {
        return tw_jinja_fail(p, TRAWL_ERR_UNSUPPORTED, tw_jinja_token(p)->line,
                             "\"%.*s\" of a macro is not supported", (int)name.n, name.s);
    }
    TW_TRY(tw_jinja_new_node(p, TW_N_NAME, out));
    (*out)->name = name;
    return TRAWL_OK;
}

static trawl_status parse_primary(struct tw_parser *p, struct tw_node **out)
{
    const struct tw_token *t = tw_jinja_token(p);
    switch (t->kind) {
    case TW_T_NAME: return parse_name(p, out);
    case TW_T_STRING: return parse_string(p, out);
    case TW_T_INT: p->at++; return constant(p, tw_value_int(t->i), out);
    case TW_T_FLOAT: p->at++; return constant(p, tw_value_float(t->f), out);
    case TW_T_OPERATOR:
        if (tw_text_is(t->text, "(")) {
            return parse_parentheses(p, out);
        }
        if (tw_text_is(t->text, "[") || tw_text_is(t->text, "{")) {
            bool list = tw_text_is(t->text, "[");
            TW_TRY(tw_jinja_new_node(p, list ? TW_N_LIST : TW_N_DICT, out));
            p->at++;
            return parse_items(p, *out, list ? "]" : "}");
        }
        break;
    case TW_T_END:
    case TW_T_DATA:
    case TW_T_BLOCK_BEGIN:
    case TW_T_BLOCK_END:
    case TW_T_OUTPUT_BEGIN:
    case TW_T_OUTPUT_END: break;
    }
    return tw_jinja_unexpected(p, "an expression");
}

/* ---- behind a value: .name, [index], (arguments), | filter, is test ---- */

static trawl_status parse_arguments(struct tw_parser *p, struct tw_node *call)
{
    bool keywords = false;
    TW_TRY(tw_jinja_expect_operator(p, "("));
    while (!tw_jinja_is_operator(p, ")")) {
        const struct tw_token *t = tw_jinja_token(p);
        struct tw_node *item     = NULL;
        if (tw_jinja_is_operator(p, "*") || tw_jinja_is_operator(p, "**")) {
            return tw_jinja_fail(p, TRAWL_ERR_UNSUPPORTED, t->line,
                                 "%.*sarguments in a call are not supported", (int)t->text.n, t->text.s);
        }
        const struct tw_token *next =
            t->kind == TW_T_NAME ? t + 1 : t; /* after a name comes at least the end */
        if (t->kind == TW_T_NAME && next->kind == TW_T_OPERATOR && tw_text_is(next->text, "=")) {
            TW_TRY(tw_jinja_new_node(p, TW_N_KEYWORD, &item));
            item->name = t->text;
            p->at += 2;
            keywords = true;
            TW_TRY(tw_jinja_parse_expression(p, &item->a));
        } else if (keywords) {
            return tw_jinja_unexpected(p, "a keyword argument");
        } else {
            TW_TRY(tw_jinja_parse_expression(p, &item));
        }
        TW_TRY(tw_jinja_push_item(p, call, item));
        if (!tw_jinja_skip_operator(p, ",")) {
            break;
        }
    }
    return tw_jinja_expect_operator(p, ")");
}

/* One part of [begin:end:step]. */
static trawl_status parse_slice_part(struct tw_parser *p, struct tw_node **out)
{
    if (tw_jinja_is_operator(p, ":") || tw_jinja_is_operator(p, "]")) {
        return TRAWL_OK;
    }
    return tw_jinja_parse_expression(p, out);
}

static trawl_status parse_subscript(struct tw_parser *p, struct tw_node **node)
{
    struct tw_node *item = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_ITEM, &item));
    p->at++;
    item->a = *node;
    TW_TRY(parse_slice_part(p, &item->b));
    if (tw_jinja_skip_operator(p, ":")) {
        item->kind = TW_N_SLICE;
        TW_TRY(parse_slice_part(p, &item->c));
        if (tw_jinja_skip_operator(p, ":")) {
            TW_TRY(parse_slice_part(p, &item->d));
        }
    } else if (item->b == NULL) {
        return tw_jinja_unexpected(p, "an index");
    }
    *node = item;
    return tw_jinja_expect_operator(p, "]");
}

static trawl_status parse_attribute(struct tw_parser *p, struct tw_node **node)
{
    struct tw_node *item     = NULL;
    const struct tw_token *t = &p->tokens[++p->at];
    if (t->kind == TW_T_INT) { /* a.0 is a[0] */
        TW_TRY(tw_jinja_new_node(p, TW_N_ITEM, &item));
        TW_TRY(constant(p, tw_value_int(t->i), &item->b));
        p->at++;
    } else {
        TW_TRY(tw_jinja_new_node(p, TW_N_ATTR, &item));
        TW_TRY(tw_jinja_expect_name(p, &item->name));
    }
    item->a = *node;
    *node   = item;
    return TRAWL_OK;
}

static trawl_status parse_call(struct tw_parser *p, struct tw_node **node)
{
    struct tw_node *call = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_CALL, &call));
    call->a = *node;
    *node   = call;
    return parse_arguments(p, call);
}

static trawl_status parse_postfix(struct tw_parser *p, struct tw_node **node)
{
    for (;;) {
        if (tw_jinja_is_operator(p, ".")) {
            TW_TRY(parse_attribute(p, node));
        } else if (tw_jinja_is_operator(p, "[")) {
            TW_TRY(parse_subscript(p, node));
        } else if (tw_jinja_is_operator(p, "(")) {
            TW_TRY(parse_call(p, node));
        } else {
            return TRAWL_OK;
        }
    }
}

/* The filter or test named by the current token. */
static trawl_status find_builtin(struct tw_parser *p, struct tw_node *node)
{
    uint32_t line = tw_jinja_token(p)->line;
    bool test     = node->kind == TW_N_TEST;
    TW_TRY(tw_jinja_expect_name(p, &node->name));
    node->builtin = test ? tw_jinja_find_test(node->name) : tw_jinja_find_filter(node->name);
    if (node->builtin != NULL && node->builtin->fn != NULL) {
        return TRAWL_OK;
    }
    return tw_jinja_fail(p, TRAWL_ERR_UNSUPPORTED, line, "%s \"%.*s\" %s", test ? "test" : "filter",
                         (int)(node->name.n > 60 ? 60 : node->name.n), node->name.s,
                         node->builtin != NULL ? "is not supported" : "is not known");
}

trawl_status tw_jinja_parse_filters(struct tw_parser *p, struct tw_node **node)
{
    while (tw_jinja_is_operator(p, "|")) {
        struct tw_node *filter = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_FILTER, &filter));
        p->at++;
        filter->a = *node;
        *node     = filter;
        TW_TRY(find_builtin(p, filter));
        if (tw_jinja_is_operator(p, "(")) {
            TW_TRY(parse_arguments(p, filter));
        }
    }
    return TRAWL_OK;
}

/* Can the argument of a test without parentheses begin here? "is divisibleby 3", but "is defined and". */
static bool argument_follows(const struct tw_parser *p)
{
    const struct tw_token *t = tw_jinja_token(p);
    if (t->kind == TW_T_OPERATOR) {
        return tw_text_is(t->text, "[") || tw_text_is(t->text, "{");
    }
    return t->kind == TW_T_STRING || t->kind == TW_T_INT || t->kind == TW_T_FLOAT ||
           (t->kind == TW_T_NAME && !tw_text_is(t->text, "else") && !tw_text_is(t->text, "or") &&
            !tw_text_is(t->text, "and") && !tw_text_is(t->text, "is") && !tw_text_is(t->text, "if") &&
            !tw_text_is(t->text, "in") && !tw_text_is(t->text, "not"));
}

static trawl_status parse_test(struct tw_parser *p, struct tw_node **node)
{
    struct tw_node *test = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_TEST, &test));
    p->at++;
    bool negated = tw_jinja_skip_name(p, "not");
    test->a      = *node;
    *node        = test;
    TW_TRY(find_builtin(p, test));
    if (tw_jinja_is_operator(p, "(")) {
        TW_TRY(parse_arguments(p, test));
    } else if (tw_jinja_is_name(p, "is")) {
        return tw_jinja_unexpected(p, "no second test of the same value");
    } else if (argument_follows(p)) {
        struct tw_node *item = NULL;
        TW_TRY(parse_primary(p, &item));
        TW_TRY(parse_postfix(p, &item));
        TW_TRY(tw_jinja_push_item(p, test, item));
    }
    return negated ? binary(p, TW_N_NOT, TW_OP_EQ, test, NULL, node) : TRAWL_OK;
}

static trawl_status parse_filters_and_tests(struct tw_parser *p, struct tw_node **node)
{
    for (;;) {
        if (tw_jinja_is_operator(p, "|")) {
            TW_TRY(tw_jinja_parse_filters(p, node));
        } else if (tw_jinja_is_name(p, "is")) {
            TW_TRY(parse_test(p, node));
        } else if (tw_jinja_is_operator(p, "(")) {
            TW_TRY(parse_call(p, node));
        } else {
            return TRAWL_OK;
        }
    }
}

/* ---- operators, tightest first ---- */

static trawl_status parse_unary(struct tw_parser *p, bool with_filters, struct tw_node **out)
{
    TW_TRY(tw_jinja_enter(p));
    bool negative = tw_jinja_is_operator(p, "-");
    if (negative || tw_jinja_is_operator(p, "+")) {
        struct tw_node *node = NULL;
        TW_TRY(tw_jinja_new_node(p, negative ? TW_N_NEG : TW_N_POS, &node));
        p->at++;
        TW_TRY(parse_unary(p, false, &node->a));
        *out = node;
    } else {
        TW_TRY(parse_primary(p, out));
    }
    TW_TRY(parse_postfix(p, out));
    if (with_filters) {
        TW_TRY(parse_filters_and_tests(p, out));
    }
    p->depth--;
    return TRAWL_OK;
}

static trawl_status parse_pow(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_unary(p, true, out));
    while (tw_jinja_skip_operator(p, "**")) {
        struct tw_node *right = NULL;
        TW_TRY(parse_unary(p, true, &right));
        TW_TRY(binary(p, TW_N_BINARY, TW_OP_POW, *out, right, out));
    }
    return TRAWL_OK;
}

static trawl_status parse_product(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_pow(p, out));
    for (;;) {
        enum tw_operator op = TW_OP_MUL;
        if (tw_jinja_skip_operator(p, "//")) {
            op = TW_OP_FLOORDIV;
        } else if (tw_jinja_skip_operator(p, "/")) {
            op = TW_OP_DIV;
        } else if (tw_jinja_skip_operator(p, "%")) {
            op = TW_OP_MOD;
        } else if (!tw_jinja_skip_operator(p, "*")) {
            return TRAWL_OK;
        }
        struct tw_node *right = NULL;
        TW_TRY(parse_pow(p, &right));
        TW_TRY(binary(p, TW_N_BINARY, op, *out, right, out));
    }
}

static trawl_status parse_concat(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_product(p, out));
    if (!tw_jinja_is_operator(p, "~")) {
        return TRAWL_OK;
    }
    struct tw_node *node = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_CONCAT, &node));
    TW_TRY(tw_jinja_push_item(p, node, *out));
    while (tw_jinja_skip_operator(p, "~")) {
        struct tw_node *item = NULL;
        TW_TRY(parse_product(p, &item));
        TW_TRY(tw_jinja_push_item(p, node, item));
    }
    *out = node;
    return TRAWL_OK;
}

static trawl_status parse_sum(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_concat(p, out));
    for (;;) {
        bool add = tw_jinja_skip_operator(p, "+");
        if (!add && !tw_jinja_skip_operator(p, "-")) {
            return TRAWL_OK;
        }
        struct tw_node *right = NULL;
        TW_TRY(parse_concat(p, &right));
        TW_TRY(binary(p, TW_N_BINARY, add ? TW_OP_ADD : TW_OP_SUB, *out, right, out));
    }
}

/* Step over a comparison operator. */
static bool skip_comparison(struct tw_parser *p, enum tw_operator *op)
{
    static const struct {
        const char *text;
        enum tw_operator op;
    } known[] = {{"==", TW_OP_EQ}, {"!=", TW_OP_NE}, {"<=", TW_OP_LE},
                 {"<", TW_OP_LT},  {">=", TW_OP_GE}, {">", TW_OP_GT}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (tw_jinja_skip_operator(p, known[i].text)) {
            *op = known[i].op;
            return true;
        }
    }
    if (tw_jinja_skip_name(p, "in")) {
        *op = TW_OP_IN;
        return true;
    }
    if (tw_jinja_is_name(p, "not") && p->tokens[p->at + 1].kind == TW_T_NAME &&
        tw_text_is(p->tokens[p->at + 1].text, "in")) {
        p->at += 2;
        *op = TW_OP_NOT_IN;
        return true;
    }
    return false;
}

static trawl_status parse_compare(struct tw_parser *p, struct tw_node **out)
{
    enum tw_operator op  = TW_OP_EQ;
    struct tw_node *node = NULL;
    TW_TRY(parse_sum(p, out));
    while (skip_comparison(p, &op)) {
        if (node == NULL) {
            TW_TRY(tw_jinja_new_node(p, TW_N_COMPARE, &node));
            node->a = *out;
            *out    = node;
        }
        struct tw_node *operand = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_OPERAND, &operand));
        operand->op = op;
        TW_TRY(parse_sum(p, &operand->a));
        TW_TRY(tw_jinja_push_item(p, node, operand));
    }
    return TRAWL_OK;
}

static trawl_status parse_not(struct tw_parser *p, struct tw_node **out)
{
    if (!tw_jinja_is_name(p, "not")) {
        return parse_compare(p, out);
    }
    TW_TRY(tw_jinja_enter(p));
    struct tw_node *node = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_NOT, &node));
    p->at++;
    TW_TRY(parse_not(p, &node->a));
    *out = node;
    p->depth--;
    return TRAWL_OK;
}

static trawl_status parse_and(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_not(p, out));
    while (tw_jinja_skip_name(p, "and")) {
        struct tw_node *right = NULL;
        TW_TRY(parse_not(p, &right));
        TW_TRY(binary(p, TW_N_AND, TW_OP_EQ, *out, right, out));
    }
    return TRAWL_OK;
}

trawl_status tw_jinja_parse_or(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(parse_and(p, out));
    while (tw_jinja_skip_name(p, "or")) {
        struct tw_node *right = NULL;
        TW_TRY(parse_and(p, &right));
        TW_TRY(binary(p, TW_N_OR, TW_OP_EQ, *out, right, out));
    }
    return TRAWL_OK;
}

trawl_status tw_jinja_parse_expression(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(tw_jinja_enter(p));
    TW_TRY(tw_jinja_parse_or(p, out));
    while (tw_jinja_skip_name(p, "if")) {
        struct tw_node *node = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_CONDITIONAL, &node));
        node->a = *out;
        TW_TRY(tw_jinja_parse_or(p, &node->b));
        if (tw_jinja_skip_name(p, "else")) {
            TW_TRY(tw_jinja_parse_expression(p, &node->c));
        }
        *out = node;
    }
    p->depth--;
    return TRAWL_OK;
}

/* Does the list of a tuple without parentheses end here? */
static bool tuple_ends(const struct tw_parser *p)
{
    const struct tw_token *t = tw_jinja_token(p);
    return t->kind == TW_T_BLOCK_END || t->kind == TW_T_OUTPUT_END || tw_jinja_is_operator(p, ")") ||
           tw_jinja_is_name(p, "in");
}

trawl_status tw_jinja_parse_tuple(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(tw_jinja_parse_expression(p, out));
    if (!tw_jinja_is_operator(p, ",")) {
        return TRAWL_OK;
    }
    struct tw_node *node = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_TUPLE, &node));
    TW_TRY(tw_jinja_push_item(p, node, *out));
    while (tw_jinja_skip_operator(p, ",") && !tuple_ends(p)) {
        struct tw_node *item = NULL;
        TW_TRY(tw_jinja_parse_expression(p, &item));
        TW_TRY(tw_jinja_push_item(p, node, item));
    }
    *out = node;
    return TRAWL_OK;
}
