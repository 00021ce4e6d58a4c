/* SPDX-License-Identifier: MIT */
/* Statements of templates to trees. */
#include <string.h>

#include "text/text_jinja_ast.h"

static trawl_status parse_body(struct tw_parser *p, const char *const *ends, struct tw_node **out);

/* ---- what can be assigned to ---- */

/* A name, or in a set statement namespace.attribute. */
static trawl_status parse_one_target(struct tw_parser *p, bool attributes, struct tw_node **out)
{
    TW_TRY(tw_jinja_new_node(p, TW_N_NAME, out));
    TW_TRY(tw_jinja_expect_name(p, &(*out)->name));
    if (attributes && tw_jinja_skip_operator(p, ".")) {
        struct tw_node *attribute = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_ATTR, &attribute));
        TW_TRY(tw_jinja_expect_name(p, &attribute->name));
        attribute->a = *out;
        *out         = attribute;
    }
    return TRAWL_OK;
}

/* One target or several with commas between them, perhaps in parentheses. */
static trawl_status parse_target(struct tw_parser *p, bool attributes, struct tw_node **out)
{
    bool parentheses = tw_jinja_skip_operator(p, "(");
    TW_TRY(parse_one_target(p, attributes, out));
    if (tw_jinja_is_operator(p, ",")) {
        struct tw_node *tuple = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_TUPLE, &tuple));
        TW_TRY(tw_jinja_push_item(p, tuple, *out));
        while (tw_jinja_skip_operator(p, ",") && tw_jinja_token(p)->kind == TW_T_NAME) {
            struct tw_node *item = NULL;
            TW_TRY(parse_one_target(p, attributes, &item));
            TW_TRY(tw_jinja_push_item(p, tuple, item));
        }
        *out = tuple;
    }
    return parentheses ? tw_jinja_expect_operator(p, ")") : TRAWL_OK;
}

/* ---- tags ---- */

static trawl_status expect_block_end(struct tw_parser *p)
{
    if (tw_jinja_token(p)->kind != TW_T_BLOCK_END) {
        return tw_jinja_unexpected(p, "the end of the tag");
    }
    p->at++;
    return TRAWL_OK;
}

/* {% name %}, where the parser stands on name. */
static trawl_status expect_end_tag(struct tw_parser *p, const char *name)
{
    if (!tw_jinja_skip_name(p, name)) {
        return tw_jinja_unexpected(p, name);
    }
    return expect_block_end(p);
}

/* Body of a statement with one end tag; the rest of its opening tag ends first. */
static trawl_status parse_whole_body(struct tw_parser *p, const char *end, struct tw_node **out)
{
    const char *const ends[] = {end, NULL};
    TW_TRY(expect_block_end(p));
    TW_TRY(parse_body(p, ends, out));
    return expect_end_tag(p, end);
}

/* ---- statements: the parser stands behind their name ---- */

static trawl_status parse_if(struct tw_parser *p, struct tw_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    node->kind                      = TW_N_IF;
    for (;;) {
        TW_TRY(tw_jinja_parse_tuple(p, &node->a));
        TW_TRY(expect_block_end(p));
        TW_TRY(parse_body(p, ends, &node->b));
        if (!tw_jinja_skip_name(p, "elif")) {
            break;
        }
        TW_TRY(tw_jinja_new_node(p, TW_N_IF, &node->c));
        node = node->c;
    }
    return tw_jinja_skip_name(p, "else") ? parse_whole_body(p, "endif", &node->c)
                                         : expect_end_tag(p, "endif");
}

static trawl_status parse_iterable(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(tw_jinja_parse_or(p, out));
    if (!tw_jinja_is_operator(p, ",")) {
        return TRAWL_OK;
    }
    struct tw_node *tuple = NULL;
    TW_TRY(tw_jinja_new_node(p, TW_N_TUPLE, &tuple));
    TW_TRY(tw_jinja_push_item(p, tuple, *out));
    while (tw_jinja_skip_operator(p, ",") && tw_jinja_token(p)->kind != TW_T_BLOCK_END) {
        struct tw_node *item = NULL;
        TW_TRY(tw_jinja_parse_or(p, &item));
        TW_TRY(tw_jinja_push_item(p, tuple, item));
    }
    *out = tuple;
    return TRAWL_OK;
}

static trawl_status parse_for(struct tw_parser *p, struct tw_node *node)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    node->kind                      = TW_N_FOR;
    TW_TRY(parse_target(p, false, &node->a));
    if (!tw_jinja_skip_name(p, "in")) {
        return tw_jinja_unexpected(p, "\"in\"");
    }
    TW_TRY(parse_iterable(p, &node->b));
    if (tw_jinja_skip_name(p, "if")) {
        TW_TRY(tw_jinja_parse_expression(p, &node->c));
    }
    if (tw_jinja_is_name(p, "recursive")) {
        return tw_jinja_fail(p, TRAWL_ERR_UNSUPPORTED, node->line, "recursive loops are not supported");
    }
    TW_TRY(expect_block_end(p));
    p->loops++;
    TW_TRY(parse_body(p, ends, &node->d));
    p->loops--;
    return tw_jinja_skip_name(p, "else") ? parse_whole_body(p, "endfor", &node->e)
                                         : expect_end_tag(p, "endfor");
}

/* Filters of a set or filter block, applied to what it renders. */
static trawl_status parse_block_filters(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(tw_jinja_new_node(p, TW_N_CAPTURED, out));
    return tw_jinja_parse_filters(p, out);
}

static trawl_status parse_set(struct tw_parser *p, struct tw_node *node)
{
    TW_TRY(parse_target(p, true, &node->a));
    if (tw_jinja_skip_operator(p, "=")) {
        node->kind = TW_N_SET;
        TW_TRY(tw_jinja_parse_tuple(p, &node->b));
        return expect_block_end(p);
    }
    node->kind = TW_N_SET_BLOCK;
    TW_TRY(parse_block_filters(p, &node->b));
    return parse_whole_body(p, "endset", &node->d);
}

static trawl_status parse_macro(struct tw_parser *p, struct tw_node *node)
{
    bool defaults = false;
    node->kind    = TW_N_MACRO;
    TW_TRY(tw_jinja_expect_name(p, &node->name));
    TW_TRY(tw_jinja_expect_operator(p, "("));
    while (!tw_jinja_is_operator(p, ")")) {
        struct tw_node *parameter = NULL;
        TW_TRY(tw_jinja_new_node(p, TW_N_PARAMETER, &parameter));
        TW_TRY(tw_jinja_expect_name(p, &parameter->name));
        if (tw_jinja_skip_operator(p, "=")) {
            defaults = true;
            TW_TRY(tw_jinja_parse_expression(p, &parameter->a));
        } else if (defaults) {
            return tw_jinja_unexpected(p, "\"=\": parameters without a default go first");
        }
        TW_TRY(tw_jinja_push_item(p, node, parameter));
        if (!tw_jinja_skip_operator(p, ",")) {
            break;
        }
    }
    TW_TRY(tw_jinja_expect_operator(p, ")"));
    int loops = p->loops;
    p->loops  = 0;
    p->macros++;
    TW_TRY(parse_whole_body(p, "endmacro", &node->d));
    p->macros--;
    p->loops = loops;
    return TRAWL_OK;
}

static trawl_status parse_with(struct tw_parser *p, struct tw_node *node)
{
    node->kind = TW_N_WITH;
    while (tw_jinja_token(p)->kind != TW_T_BLOCK_END) {
        struct tw_node *set = NULL;
        if (node->n_items > 0) {
            TW_TRY(tw_jinja_expect_operator(p, ","));
        }
        TW_TRY(tw_jinja_new_node(p, TW_N_SET, &set));
        TW_TRY(parse_target(p, false, &set->a));
        TW_TRY(tw_jinja_expect_operator(p, "="));
        TW_TRY(tw_jinja_parse_expression(p, &set->b));
        TW_TRY(tw_jinja_push_item(p, node, set));
    }
    return parse_whole_body(p, "endwith", &node->d);
}

static trawl_status parse_filter_block(struct tw_parser *p, struct tw_node *node)
{
    node->kind = TW_N_FILTER_BLOCK;
    TW_TRY(tw_jinja_new_node(p, TW_N_CAPTURED, &node->b));
    /* "filter upper | trim" reads as "| upper | trim": step back onto the statement's name and let it
     * stand for the bar. */
    struct tw_token *name = &p->tokens[--p->at];
    name->kind            = TW_T_OPERATOR;
    name->text            = (struct tw_text){"|", 1};
    TW_TRY(tw_jinja_parse_filters(p, &node->b));
    return parse_whole_body(p, "endfilter", &node->d);
}

/* Marks what the assistant said, for training masks; here only its content matters. */
static trawl_status parse_generation(struct tw_parser *p, struct tw_node *node)
{
    node->kind = TW_N_WITH;
    return parse_whole_body(p, "endgeneration", &node->d);
}

static trawl_status parse_jump(struct tw_parser *p, struct tw_node *node, enum tw_node_kind kind)
{
    node->kind = kind;
    if (p->loops == 0) {
        return tw_jinja_fail(p, TRAWL_ERR_FORMAT, node->line, "break or continue outside of a loop");
    }
    return expect_block_end(p);
}

static trawl_status parse_statement(struct tw_parser *p, struct tw_node **out)
{
    struct tw_node *node = NULL;
    struct tw_text name  = {NULL, 0};
    bool chat            = p->t->dialect == TW_TEMPLATE_CHAT;
    TW_TRY(tw_jinja_new_node(p, TW_N_BLOCK, &node));
    *out = node;
    TW_TRY(tw_jinja_expect_name(p, &name));
    if (tw_text_is(name, "if")) {
        return parse_if(p, node);
    }
    if (tw_text_is(name, "for")) {
        return parse_for(p, node);
    }
    if (tw_text_is(name, "set")) {
        return parse_set(p, node);
    }
    if (tw_text_is(name, "macro")) {
        return parse_macro(p, node);
    }
    if (tw_text_is(name, "with")) {
        return parse_with(p, node);
    }
    if (tw_text_is(name, "filter")) {
        return parse_filter_block(p, node);
    }
    if (chat && tw_text_is(name, "generation")) {
        return parse_generation(p, node);
    }
    if (chat && (tw_text_is(name, "break") || tw_text_is(name, "continue"))) {
        return parse_jump(p, node, tw_text_is(name, "break") ? TW_N_BREAK : TW_N_CONTINUE);
    }
    if ((name.n > 3 && memcmp(name.s, "end", 3) == 0) || tw_text_is(name, "else") ||
        tw_text_is(name, "elif")) {
        return tw_jinja_fail(p, TRAWL_ERR_FORMAT, node->line,
                             "\"%.*s\" without a statement that it belongs to",
                             (int)(name.n > 60 ? 60 : name.n), name.s);
    }
    return tw_jinja_fail(p, TRAWL_ERR_UNSUPPORTED, node->line, "statement \"%.*s\" is not supported here",
                         (int)(name.n > 60 ? 60 : name.n), name.s);
}

/* ---- bodies ---- */

static bool is_any_of(const struct tw_parser *p, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (tw_jinja_is_name(p, names[i])) {
            return true;
        }
    }
    return false;
}

static trawl_status parse_output(struct tw_parser *p, struct tw_node **out)
{
    TW_TRY(tw_jinja_new_node(p, TW_N_OUTPUT, out));
    TW_TRY(tw_jinja_parse_tuple(p, &(*out)->a));
    if (tw_jinja_token(p)->kind != TW_T_OUTPUT_END) {
        return tw_jinja_unexpected(p, "\"}}\"");
    }
    p->at++;
    return TRAWL_OK;
}

/* Everything up to a tag whose name is among `ends` (NULL: to the end of the template); the parser then
 * stands on that name. */
static trawl_status parse_body(struct tw_parser *p, const char *const *ends, struct tw_node **out)
{
    TW_TRY(tw_jinja_enter(p));
    TW_TRY(tw_jinja_new_node(p, TW_N_BLOCK, out));
    for (;;) {
        const struct tw_token *t = tw_jinja_token(p);
        struct tw_node *node     = NULL;
        if (t->kind == TW_T_END) {
            if (ends[0] != NULL) {
                return tw_jinja_unexpected(p, ends[0]);
            }
            break;
        }
        p->at++;
        if (t->kind == TW_T_DATA) {
            TW_TRY(tw_jinja_new_node(p, TW_N_DATA, &node));
            node->name = t->text;
        } else if (t->kind == TW_T_OUTPUT_BEGIN) {
            TW_TRY(parse_output(p, &node));
        } else {
            if (is_any_of(p, ends)) {
                break;
            }
            TW_TRY(parse_statement(p, &node));
        }
        TW_TRY(tw_jinja_push_item(p, *out, node));
    }
    p->depth--;
    return TRAWL_OK;
}

trawl_status tw_jinja_parse(struct tw_parser *p)
{
    static const char *const none[] = {NULL};
    return parse_body(p, none, &p->t->root);
}
