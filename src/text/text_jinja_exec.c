/* SPDX-License-Identifier: MIT */
/* Statements. */
#include <string.h>

#include "base/size.h"
#include "text/text_jinja_eval.h"

/* Run `node` and catch what it prints. */
static trawl_status capture(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_str text;
    struct tw_str *outer = r->out;
    tw_str_init(&text, r->max_output);
    r->out              = &text;
    trawl_status status = tw_exec(r, node);
    r->out              = outer;
    return tw_value_finish_text(r, &text, status, out);
}

/* capture() in a scope of its own. */
static trawl_status capture_scoped(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_frame *outer = r->frame;
    TW_TRY(tw_frame_push(r, outer));
    trawl_status status = capture(r, node, out);
    r->frame            = outer;
    return status;
}

/* ---- assignment ---- */

static trawl_status assign_one(struct tw_render *r, const struct tw_node *target, struct tw_value value)
{
    if (target->kind == TW_N_NAME) {
        return tw_frame_set(r, target->name, value);
    }
    struct tw_value space;
    TW_TRY(tw_eval(r, target->a, &space));
    if (space.kind != TW_V_NAMESPACE) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "cannot set attribute '%.*s' of what is no namespace",
                              (int)tw_min_size(target->name.n, 60), target->name.s);
    }
    return tw_map_set(r, space.as.map, tw_value_text(target->name.s, target->name.n), value);
}

static trawl_status assign(struct tw_render *r, const struct tw_node *target, struct tw_value value)
{
    if (target->kind != TW_N_TUPLE) {
        return assign_one(r, target, value);
    }
    const struct tw_list *items = NULL;
    TW_TRY(tw_value_iterate(r, value, &items));
    if (items->n != target->n_items) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "%zu values for %zu names", items->n, target->n_items);
    }
    for (size_t i = 0; i < items->n; i++) {
        TW_TRY(assign_one(r, target->items[i], items->items[i]));
    }
    return TRAWL_OK;
}

static trawl_status exec_set(struct tw_render *r, const struct tw_node *node)
{
    struct tw_value value;
    TW_TRY(tw_eval(r, node->b, &value));
    return assign(r, node->a, value);
}

/* What a block renders, through its filters. */
static trawl_status filtered(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value outer = r->captured;
    struct tw_value text;
    TW_TRY(capture_scoped(r, node->d, &text));
    r->captured = text;
    TW_TRY(tw_eval(r, node->b, out));
    r->captured = outer;
    return TRAWL_OK;
}

/* ---- output ---- */

static trawl_status check_output(struct tw_render *r)
{
    if (r->out->size > r->max_output) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "more than %zu bytes of output", r->max_output);
    }
    return TRAWL_OK;
}

static trawl_status print(struct tw_render *r, struct tw_value value)
{
    TW_TRY(tw_value_print(r, value, r->out));
    TW_TRY(check_output(r));
    return value.kind == TW_V_STRING ? tw_render_charge(r, value.as.text.n / 64) : TRAWL_OK;
}

/* ---- loops ---- */

/* The items a loop goes over: all, or those that its "if" takes. */
static trawl_status loop_items(struct tw_render *r, const struct tw_node *node, const struct tw_list **out)
{
    struct tw_value iterable;
    TW_TRY(tw_eval(r, node->b, &iterable));
    TW_TRY(tw_value_iterate(r, iterable, out));
    if (node->c == NULL) {
        return TRAWL_OK;
    }
    const struct tw_list *all = *out;
    struct tw_value taken;
    struct tw_frame *outer = r->frame;
    TW_TRY(tw_value_new_list(r, TW_V_LIST, &taken));
    TW_TRY(tw_frame_push(r, outer));
    for (size_t i = 0; i < all->n; i++) {
        struct tw_value keep;
        TW_TRY(assign(r, node->a, all->items[i]));
        TW_TRY(tw_eval(r, node->c, &keep));
        if (tw_value_truth(keep)) {
            TW_TRY(tw_list_push(r, taken.as.list, all->items[i]));
        }
    }
    r->frame = outer;
    *out     = taken.as.list;
    return TRAWL_OK;
}

/* The scope of one turn of a loop: the one of the turn before, emptied, unless a macro has kept it. */
static trawl_status loop_frame(struct tw_render *r, struct tw_frame *outer, struct tw_frame **frame,
                               size_t *macros)
{
    if (*frame == NULL || *macros != r->n_macros) {
        TW_TRY(tw_frame_push(r, outer));
        *frame  = r->frame;
        *macros = r->n_macros;
    }
    (*frame)->names.n = 0;
    r->frame          = *frame;
    return TRAWL_OK;
}

static trawl_status exec_for(struct tw_render *r, const struct tw_node *node)
{
    static const struct tw_text loop_name = {"loop", 4};
    const struct tw_list *items           = NULL;
    struct tw_frame *outer                = r->frame;
    struct tw_frame *frame                = NULL;
    size_t macros                         = 0;
    struct tw_value loop                  = tw_value_of(TW_V_LOOP);
    TW_TRY(loop_items(r, node, &items));
    TW_TRY(tw_arena_alloc(&r->arena, 1, sizeof *loop.as.loop, &loop.as.loop, r->err));
    for (size_t i = 0; i < items->n && r->flow == TW_FLOW_ON; i++) {
        *loop.as.loop = (struct tw_loop){items, i};
        TW_TRY(loop_frame(r, outer, &frame, &macros));
        TW_TRY(tw_frame_set(r, loop_name, loop));
        TW_TRY(assign(r, node->a, items->items[i]));
        TW_TRY(tw_exec(r, node->d));
        r->frame = outer;
        if (r->flow == TW_FLOW_CONTINUE) {
            r->flow = TW_FLOW_ON;
        }
    }
    if (r->flow == TW_FLOW_BREAK) {
        r->flow = TW_FLOW_ON;
    }
    return items->n == 0 && node->e != NULL ? tw_exec(r, node->e) : TRAWL_OK;
}

static trawl_status exec_if(struct tw_render *r, const struct tw_node *node)
{
    while (node != NULL && node->kind == TW_N_IF) {
        struct tw_value condition;
        TW_TRY(tw_eval(r, node->a, &condition));
        if (tw_value_truth(condition)) {
            return tw_exec(r, node->b);
        }
        node = node->c;
    }
    return node == NULL ? TRAWL_OK : tw_exec(r, node);
}

/* ---- scopes ---- */

static trawl_status exec_with(struct tw_render *r, const struct tw_node *node)
{
    struct tw_frame *outer = r->frame;
    struct tw_frame *inner = NULL;
    TW_TRY(tw_frame_push(r, outer));
    inner = r->frame;
    for (size_t i = 0; i < node->n_items; i++) {
        struct tw_value value;
        r->frame = outer; /* values do not see each other's names */
        TW_TRY(tw_eval(r, node->items[i]->b, &value));
        r->frame = inner;
        TW_TRY(assign(r, node->items[i]->a, value));
    }
    TW_TRY(tw_exec(r, node->d));
    r->frame = outer;
    return TRAWL_OK;
}

static trawl_status define_macro(struct tw_render *r, const struct tw_node *node)
{
    struct tw_value macro = tw_value_of(TW_V_MACRO);
    TW_TRY(tw_arena_alloc(&r->arena, 1, sizeof *macro.as.macro, &macro.as.macro, r->err));
    *macro.as.macro = (struct tw_macro){node, r->frame};
    r->n_macros++;
    return tw_frame_set(r, node->name, macro);
}

static trawl_status no_such_parameter(struct tw_render *r, const struct tw_node *macro, struct tw_text name)
{
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "macro '%.*s' has no parameter '%.*s'",
                          (int)tw_min_size(macro->name.n, 60), macro->name.s, (int)tw_min_size(name.n, 60),
                          name.s);
}

/* Every argument must have a parameter to go to. */
static trawl_status check_macro_arguments(struct tw_render *r, const struct tw_node *macro,
                                          const struct tw_arguments *a)
{
    if (a->n_positional > macro->n_items) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "macro '%.*s' takes %zu arguments, not %zu",
                              (int)tw_min_size(macro->name.n, 60), macro->name.s, macro->n_items,
                              a->n_positional);
    }
    for (size_t k = a->n_positional; k < a->n; k++) {
        size_t i = a->n_positional;
        while (i < macro->n_items && !tw_text_equal(macro->items[i]->name, a->names[k])) {
            i++;
        }
        if (i == macro->n_items) {
            return no_such_parameter(r, macro, a->names[k]);
        }
    }
    return TRAWL_OK;
}

static trawl_status bind_parameters(struct tw_render *r, const struct tw_node *macro,
                                    const struct tw_arguments *a)
{
    for (size_t i = 0; i < macro->n_items; i++) {
        const struct tw_node *parameter = macro->items[i];
        struct tw_value value           = tw_value_undefined(parameter->name);
        bool given                      = i < a->n_positional;
        if (given) {
            value = a->values[i];
        }
        for (size_t k = a->n_positional; k < a->n && !given; k++) {
            if (tw_text_equal(a->names[k], parameter->name)) {
                value = a->values[k];
                given = true;
            }
        }
        if (!given && parameter->a != NULL) {
            TW_TRY(tw_eval(r, parameter->a, &value));
        }
        TW_TRY(tw_frame_set(r, parameter->name, value));
    }
    return TRAWL_OK;
}

trawl_status tw_exec_macro(struct tw_render *r, const struct tw_macro *macro,
                           const struct tw_arguments *arguments, struct tw_value *out)
{
    struct tw_frame *outer = r->frame;
    TW_TRY(check_macro_arguments(r, macro->node, arguments));
    TW_TRY(tw_frame_push(r, macro->frame));
    TW_TRY(bind_parameters(r, macro->node, arguments));
    TW_TRY(capture(r, macro->node->d, out));
    r->frame = outer;
    return TRAWL_OK;
}

/* ---- all statements ---- */

static trawl_status exec_block(struct tw_render *r, const struct tw_node *node)
{
    for (size_t i = 0; i < node->n_items && r->flow == TW_FLOW_ON; i++) {
        TW_TRY(tw_exec(r, node->items[i]));
    }
    return TRAWL_OK;
}

static trawl_status exec_any(struct tw_render *r, const struct tw_node *node)
{
    struct tw_value v;
    switch (node->kind) {
    case TW_N_BLOCK: return exec_block(r, node);
    case TW_N_DATA: return print(r, tw_value_text(node->name.s, node->name.n));
    case TW_N_OUTPUT: TW_TRY(tw_eval(r, node->a, &v)); return print(r, v);
    case TW_N_IF: return exec_if(r, node);
    case TW_N_FOR: return exec_for(r, node);
    case TW_N_SET: return exec_set(r, node);
    case TW_N_SET_BLOCK: TW_TRY(filtered(r, node, &v)); return assign(r, node->a, v);
    case TW_N_FILTER_BLOCK: TW_TRY(filtered(r, node, &v)); return print(r, v);
    case TW_N_MACRO: return define_macro(r, node);
    case TW_N_WITH: return exec_with(r, node);
    case TW_N_BREAK:
    case TW_N_CONTINUE:
        r->flow = node->kind == TW_N_BREAK ? TW_FLOW_BREAK : TW_FLOW_CONTINUE;
        return TRAWL_OK;
    case TW_N_CONST:
    case TW_N_NAME:
    case TW_N_LIST:
    case TW_N_TUPLE:
    case TW_N_DICT:
    case TW_N_ATTR:
    case TW_N_ITEM:
    case TW_N_SLICE:
    case TW_N_CALL:
    case TW_N_KEYWORD:
    case TW_N_FILTER:
    case TW_N_TEST:
    case TW_N_NOT:
    case TW_N_NEG:
    case TW_N_POS:
    case TW_N_BINARY:
    case TW_N_AND:
    case TW_N_OR:
    case TW_N_COMPARE:
    case TW_N_OPERAND:
    case TW_N_CONCAT:
    case TW_N_CONDITIONAL:
    case TW_N_CAPTURED:
    case TW_N_PARAMETER:
    case TW_N_KINDS: break;
    }
    TW_BUG_ON(true); /* the parser puts no expression where a statement belongs */
}

trawl_status tw_exec(struct tw_render *r, const struct tw_node *node)
{
    r->line = node->line;
    TW_TRY(tw_render_charge(r, 1));
    TW_TRY(tw_render_enter(r));
    TW_TRY(exec_any(r, node));
    tw_render_leave(r);
    return TRAWL_OK;
}
