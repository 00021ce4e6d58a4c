/* SPDX-License-Identifier: MIT */
/* Expressions. */
#include "text/text_jinja_eval.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* Deep enough for any template a person writes; about 2 MB of stack under a sanitizer. */
enum { MAX_DEPTH = 600 };

trawl_status tw_render_fail(struct tw_render *r, trawl_status status, const char *format, ...)
{
    char message[TRAWL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return tw_fail(r->err, status, "%s line %u: %s", r->t->name, (unsigned)r->line, message);
}

trawl_status tw_render_charge(struct tw_render *r, size_t steps)
{
    if (steps > r->steps_left) {
        r->steps_left = 0;
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "the template takes too many steps");
    }
    r->steps_left -= steps;
    return TRAWL_OK;
}

trawl_status tw_render_enter(struct tw_render *r)
{
    if (++r->depth > MAX_DEPTH) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "more than %d levels of nesting", MAX_DEPTH);
    }
    return TRAWL_OK;
}

/* ---- names ---- */

trawl_status tw_frame_push(struct tw_render *r, struct tw_frame *parent)
{
    struct tw_frame *frame = NULL;
    TW_TRY(tw_arena_alloc(&r->arena, 1, sizeof *frame, &frame, r->err));
    frame->parent = parent;
    r->frame      = frame;
    return TRAWL_OK;
}

trawl_status tw_frame_set(struct tw_render *r, struct tw_text name, struct tw_value value)
{
    return tw_map_set(r, &r->frame->names, tw_value_text(name.s, name.n), value);
}

static trawl_status new_function(struct tw_render *r, const struct tw_builtin *builtin, struct tw_value self,
                                 struct tw_value *out)
{
    *out = tw_value_of(TW_V_FUNCTION);
    TW_TRY(tw_arena_alloc(&r->arena, 1, sizeof *out->as.function, &out->as.function, r->err));
    *out->as.function = (struct tw_function){builtin, self};
    return TRAWL_OK;
}

static bool is_chat_function(struct tw_text name)
{
    return tw_text_is(name, "raise_exception") || tw_text_is(name, "strftime_now");
}

static trawl_status eval_name(struct tw_render *r, struct tw_text name, struct tw_value *out)
{
    for (const struct tw_frame *f = r->frame; f != NULL; f = f->parent) {
        TW_TRY(tw_render_charge(r, f->names.n / 8));
        const struct tw_value *found = tw_map_find(&f->names, name);
        if (found != NULL) {
            *out = *found;
            return TRAWL_OK;
        }
    }
    const struct tw_builtin *builtin = tw_jinja_find_function(name);
    bool hidden                      = is_chat_function(name) &&
                  (r->t->dialect != TW_TEMPLATE_CHAT || (tw_text_is(name, "strftime_now") && r->now == NULL));
    if (builtin == NULL || hidden) {
        *out = tw_value_undefined(name);
        return TRAWL_OK;
    }
    return new_function(r, builtin, tw_value_of(TW_V_MISSING), out);
}

/* ---- attributes and items ---- */

static trawl_status undefined_error(struct tw_render *r, struct tw_value v)
{
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%.*s' is undefined", (int)tw_min_size(v.as.text.n, 80),
                          v.as.text.s);
}

/* Attributes of the loop variable; depth counts recursive loops, which there are none of. */
static trawl_status loop_attribute(struct tw_render *r, const struct tw_loop *loop, struct tw_text name,
                                   struct tw_value *out)
{
    static const char *const names[] = {"index",  "index0", "revindex", "revindex0", "first",   "last",
                                        "length", "depth",  "depth0",   "previtem",  "nextitem"};
    size_t n                         = loop->items->n;
    size_t i                         = loop->index;
    const struct tw_value values[]   = {tw_value_int((int64_t)i + 1),
                                        tw_value_int((int64_t)i),
                                        tw_value_int((int64_t)(n - i)),
                                        tw_value_int((int64_t)(n - i) - 1),
                                        tw_value_bool(i == 0),
                                        tw_value_bool(i + 1 == n),
                                        tw_value_int((int64_t)n),
                                        tw_value_int(1),
                                        tw_value_int(0),
                                      i > 0 ? loop->items->items[i - 1] : tw_value_undefined(name),
                                      i + 1 < n ? loop->items->items[i + 1] : tw_value_undefined(name)};
      for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        if (tw_text_is(name, names[k])) {
            *out = values[k];
            return TRAWL_OK;
        }
    }
    return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "loop.%.*s is not supported",
                          (int)tw_min_size(name.n, 60), name.s);
}

trawl_status tw_eval_attribute(struct tw_render *r, struct tw_value v, struct tw_text name,
                               struct tw_value *out)
{
    if (v.kind == TW_V_UNDEFINED) {
        return undefined_error(r, v);
    }
    const struct tw_builtin *method = tw_jinja_find_method(v.kind, name);
    if (method != NULL) {
        return new_function(r, method, v, out);
    }
    if (v.kind == TW_V_LOOP) {
        return loop_attribute(r, v.as.loop, name, out);
    }
    *out = tw_value_undefined(name);
    if (v.kind == TW_V_MAP || v.kind == TW_V_NAMESPACE) {
        struct tw_value *found = NULL;
        TW_TRY(tw_map_get(r, v.as.map, tw_value_text(name.s, name.n), &found));
        if (found != NULL) {
            *out = *found;
        }
    }
    return TRAWL_OK;
}

/* Byte offset of character `i` (<= length) of a text. */
static size_t character_offset(struct tw_text text, size_t i)
{
    size_t at = 0;
    for (; i > 0 && at < text.n; i--) {
        at++;
        while (at < text.n && ((unsigned char)text.s[at] & 0xC0) == 0x80) {
            at++;
        }
    }
    return at;
}

static struct tw_value character_at(struct tw_text text, size_t i)
{
    size_t at = character_offset(text, i);
    return tw_value_text(text.s + at, tw_max_size(tw_utf8_decode(text.s + at, text.n - at, NULL), 1));
}

trawl_status tw_eval_item(struct tw_render *r, struct tw_value v, struct tw_value index, struct tw_value *out)
{
    if (v.kind == TW_V_UNDEFINED) {
        return undefined_error(r, v);
    }
    if (v.kind == TW_V_MAP) {
        struct tw_value *found = NULL;
        TW_TRY(tw_map_get(r, v.as.map, index, &found));
        if (found != NULL) {
            *out = *found;
            return TRAWL_OK;
        }
    } else if ((tw_value_is_sequence(v) || v.kind == TW_V_STRING) && tw_value_is_integer(index)) {
        size_t n  = 0;
        int64_t i = tw_value_integer(index);
        TW_TRY(tw_value_length(r, v, &n));
        i = i < 0 && i >= -(int64_t)n ? i + (int64_t)n : i;
        if (i < 0 || (uint64_t)i >= n) {
            *out = tw_value_undefined((struct tw_text){"index out of range", 18});
            return TRAWL_OK;
        }
        *out = v.kind == TW_V_STRING ? character_at(v.as.text, (size_t)i) : v.as.list->items[i];
        return TRAWL_OK;
    }
    if (index.kind == TW_V_STRING) {
        return tw_eval_attribute(r, v, index.as.text, out);
    }
    *out = tw_value_undefined((struct tw_text){"item", 4});
    return TRAWL_OK;
}

/* Python's slice.indices: the parts made numbers within the length. */
static trawl_status slice_bounds(struct tw_render *r, const struct tw_value part[3], int64_t n,
                                 int64_t *begin, int64_t *end, int64_t *step)
{
    for (int i = 0; i < 3; i++) {
        if (part[i].kind != TW_V_NONE && !tw_value_is_integer(part[i])) {
            return tw_render_fail(r, TRAWL_ERR_FORMAT, "a slice needs integers, not '%s'",
                                  tw_value_type_name(part[i]));
        }
    }
    *step = part[2].kind == TW_V_NONE ? 1 : tw_value_integer(part[2]);
    if (*step == 0) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "the step of a slice is 0");
    }
    int64_t low        = *step < 0 ? -1 : 0;
    int64_t high       = *step < 0 ? n - 1 : n;
    int64_t *bounds[2] = {begin, end};
    *begin             = *step < 0 ? high : low;
    *end               = *step < 0 ? low : high;
    for (int i = 0; i < 2; i++) {
        if (part[i].kind == TW_V_NONE) {
            continue;
        }
        int64_t v = tw_value_integer(part[i]);
        if (v < 0) {
            v = v < -n ? low : v + n;
        }
        *bounds[i] = v < low ? low : v > high ? high : v;
    }
    return TRAWL_OK;
}

trawl_status tw_eval_slice(struct tw_render *r, struct tw_value v, const struct tw_value part[3],
                           struct tw_value *out)
{
    int64_t begin = 0;
    int64_t end   = 0;
    int64_t step  = 1;
    size_t n      = 0;
    if (v.kind == TW_V_UNDEFINED) {
        return undefined_error(r, v);
    }
    if (v.kind != TW_V_STRING && !tw_value_is_sequence(v)) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' cannot be sliced", tw_value_type_name(v));
    }
    TW_TRY(tw_value_length(r, v, &n));
    TW_TRY(slice_bounds(r, part, (int64_t)n, &begin, &end, &step));
    if (v.kind == TW_V_STRING && step == 1) {
        size_t from = character_offset(v.as.text, (size_t)begin);
        size_t to   = end > begin ? character_offset(v.as.text, (size_t)end) : from;
        *out        = tw_value_text(v.as.text.s + from, to - from);
        return TRAWL_OK;
    }
    const struct tw_list *items = NULL;
    struct tw_value list;
    TW_TRY(tw_value_iterate(r, v, &items));
    TW_TRY(tw_value_new_list(r, v.kind == TW_V_TUPLE ? TW_V_TUPLE : TW_V_LIST, &list));
    for (int64_t i = begin; step > 0 ? i < end : i > end;) {
        TW_TRY(tw_list_push(r, list.as.list, items->items[i]));
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    *out = list;
    if (v.kind != TW_V_STRING) {
        return TRAWL_OK;
    }
    char *text  = NULL;
    size_t size = 0;
    TW_TRY(tw_arena_alloc(&r->arena, v.as.text.n, 1, &text, r->err));
    for (size_t i = 0; i < list.as.list->n; i++) {
        struct tw_text c = list.as.list->items[i].as.text;
        memcpy(text + size, c.s, c.n);
        size += c.n;
    }
    *out = tw_value_text(text, size);
    return TRAWL_OK;
}

/* ---- calls ---- */

trawl_status tw_eval_call(struct tw_render *r, struct tw_value callee, const struct tw_arguments *arguments,
                          struct tw_value *out)
{
    if (callee.kind == TW_V_FUNCTION) {
        return tw_builtin_invoke(r, callee.as.function->builtin, callee.as.function->self, arguments, out);
    }
    if (callee.kind == TW_V_MACRO) {
        return tw_exec_macro(r, callee.as.macro, arguments, out);
    }
    if (callee.kind == TW_V_UNDEFINED) {
        return undefined_error(r, callee);
    }
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' cannot be called", tw_value_type_name(callee));
}

/* The arguments of a call, filter or test. */
static trawl_status eval_arguments(struct tw_render *r, const struct tw_node *node, struct tw_arguments *out)
{
    *out = (struct tw_arguments){.n = node->n_items};
    if (node->n_items == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_arena_alloc(&r->arena, node->n_items, sizeof *out->values, &out->values, r->err));
    TW_TRY(tw_arena_alloc(&r->arena, node->n_items, sizeof *out->names, &out->names, r->err));
    for (size_t i = 0; i < node->n_items; i++) {
        const struct tw_node *item = node->items[i];
        if (item->kind == TW_N_KEYWORD) {
            out->names[i] = item->name;
            item          = item->a;
        } else {
            out->n_positional = i + 1;
        }
        TW_TRY(tw_eval(r, item, &out->values[i]));
    }
    return TRAWL_OK;
}

static trawl_status eval_call(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value a;
    struct tw_arguments arguments;
    TW_TRY(tw_eval(r, node->a, &a));
    TW_TRY(eval_arguments(r, node, &arguments));
    r->line = node->line;
    if (node->kind == TW_N_CALL) {
        return tw_eval_call(r, a, &arguments, out);
    }
    return tw_builtin_invoke(r, node->builtin, a, &arguments, out);
}

/* ---- operators ---- */

static trawl_status compare_one(struct tw_render *r, enum tw_operator op, struct tw_value a,
                                struct tw_value b, bool *out)
{
    static const char *const names[] = {
        [TW_OP_LT] = "<", [TW_OP_LE] = "<=", [TW_OP_GT] = ">", [TW_OP_GE] = ">=", [TW_OP_NOT_IN] = NULL};
    int order = 0;
    if (op == TW_OP_EQ || op == TW_OP_NE) {
        TW_TRY(tw_value_equal(r, a, b, out));
        *out = *out == (op == TW_OP_EQ);
        return TRAWL_OK;
    }
    if (op == TW_OP_IN || op == TW_OP_NOT_IN) {
        TW_TRY(tw_value_contains(r, b, a, out));
        *out = *out == (op == TW_OP_IN);
        return TRAWL_OK;
    }
    TW_TRY(tw_value_compare(r, a, b, names[op], &order));
    bool less = op == TW_OP_LT || op == TW_OP_LE;
    *out =
        order != 2 && ((less ? order < 0 : order > 0) || ((op == TW_OP_LE || op == TW_OP_GE) && order == 0));
    return TRAWL_OK;
}

static trawl_status eval_compare(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value left;
    bool holds = true;
    TW_TRY(tw_eval(r, node->a, &left));
    for (size_t i = 0; i < node->n_items && holds; i++) {
        struct tw_value right;
        TW_TRY(tw_eval(r, node->items[i]->a, &right));
        TW_TRY(compare_one(r, node->items[i]->op, left, right, &holds));
        left = right;
    }
    *out = tw_value_bool(holds);
    return TRAWL_OK;
}

static trawl_status eval_concat(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_str text;
    struct tw_value item;
    trawl_status status = TRAWL_OK;
    tw_str_init(&text, r->max_output);
    for (size_t i = 0; i < node->n_items && status == TRAWL_OK; i++) {
        status = tw_eval(r, node->items[i], &item);
        if (status == TRAWL_OK) {
            status = tw_value_print(r, item, &text);
        }
    }
    return tw_value_finish_text(r, &text, status, out);
}

static trawl_status eval_sign(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value v;
    TW_TRY(tw_eval(r, node->a, &v));
    if (v.kind == TW_V_UNDEFINED) {
        return undefined_error(r, v);
    }
    if (!tw_value_is_number(v)) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "a sign before a '%s'", tw_value_type_name(v));
    }
    if (v.kind == TW_V_FLOAT) {
        *out = tw_value_float(node->kind == TW_N_NEG ? -v.as.f : v.as.f);
        return TRAWL_OK;
    }
    if (node->kind == TW_N_POS) {
        *out = tw_value_int(tw_value_integer(v));
        return TRAWL_OK;
    }
    return tw_eval_binary(r, TW_OP_SUB, tw_value_int(0), v, out);
}

/* ---- literals ---- */

static trawl_status eval_list(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    TW_TRY(tw_value_new_list(r, node->kind == TW_N_TUPLE ? TW_V_TUPLE : TW_V_LIST, out));
    for (size_t i = 0; i < node->n_items; i++) {
        struct tw_value item;
        TW_TRY(tw_eval(r, node->items[i], &item));
        TW_TRY(tw_list_push(r, out->as.list, item));
    }
    return TRAWL_OK;
}

static trawl_status eval_dict(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    TW_TRY(tw_value_new_map(r, TW_V_MAP, out));
    for (size_t i = 0; i + 1 < node->n_items; i += 2) {
        struct tw_value key;
        struct tw_value value;
        TW_TRY(tw_eval(r, node->items[i], &key));
        TW_TRY(tw_eval(r, node->items[i + 1], &value));
        TW_TRY(tw_map_set(r, out->as.map, key, value));
    }
    return TRAWL_OK;
}

static trawl_status eval_slice(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    const struct tw_node *nodes[3] = {node->b, node->c, node->d};
    struct tw_value parts[3];
    struct tw_value v;
    TW_TRY(tw_eval(r, node->a, &v));
    for (int i = 0; i < 3; i++) {
        parts[i] = tw_value_of(TW_V_NONE);
        if (nodes[i] != NULL) {
            TW_TRY(tw_eval(r, nodes[i], &parts[i]));
        }
    }
    return tw_eval_slice(r, v, parts, out);
}

/* ---- all expressions ---- */

/* Those that choose what to evaluate. */
static trawl_status eval_choice(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    if (node->kind == TW_N_CONDITIONAL) {
        struct tw_value condition;
        TW_TRY(tw_eval(r, node->b, &condition));
        if (tw_value_truth(condition)) {
            return tw_eval(r, node->a, out);
        }
        *out = tw_value_undefined((struct tw_text){"if without else", 15});
        return node->c != NULL ? tw_eval(r, node->c, out) : TRAWL_OK;
    }
    TW_TRY(tw_eval(r, node->a, out));
    if (node->kind == TW_N_NOT) {
        *out = tw_value_bool(!tw_value_truth(*out));
        return TRAWL_OK;
    }
    return tw_value_truth(*out) == (node->kind == TW_N_AND) ? tw_eval(r, node->b, out) : TRAWL_OK;
}

static trawl_status eval_two(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value a;
    struct tw_value b;
    TW_TRY(tw_eval(r, node->a, &a));
    TW_TRY(tw_eval(r, node->b, &b));
    r->line = node->line;
    return node->kind == TW_N_ITEM ? tw_eval_item(r, a, b, out) : tw_eval_binary(r, node->op, a, b, out);
}

static trawl_status eval_any(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    struct tw_value v;
    switch (node->kind) {
    case TW_N_CONST: *out = node->value; return TRAWL_OK;
    case TW_N_NAME: return eval_name(r, node->name, out);
    case TW_N_CAPTURED: *out = r->captured; return TRAWL_OK;
    case TW_N_LIST:
    case TW_N_TUPLE: return eval_list(r, node, out);
    case TW_N_DICT: return eval_dict(r, node, out);
    case TW_N_ATTR:
        TW_TRY(tw_eval(r, node->a, &v));
        r->line = node->line;
        return tw_eval_attribute(r, v, node->name, out);
    case TW_N_ITEM:
    case TW_N_BINARY: return eval_two(r, node, out);
    case TW_N_SLICE: return eval_slice(r, node, out);
    case TW_N_CALL:
    case TW_N_FILTER:
    case TW_N_TEST: return eval_call(r, node, out);
    case TW_N_NEG:
    case TW_N_POS: return eval_sign(r, node, out);
    case TW_N_AND:
    case TW_N_OR:
    case TW_N_NOT:
    case TW_N_CONDITIONAL: return eval_choice(r, node, out);
    case TW_N_COMPARE: return eval_compare(r, node, out);
    case TW_N_CONCAT: return eval_concat(r, node, out);
    case TW_N_KEYWORD:
    case TW_N_OPERAND:
    case TW_N_BLOCK:
    case TW_N_DATA:
    case TW_N_OUTPUT:
    case TW_N_IF:
    case TW_N_FOR:
    case TW_N_SET:
    case TW_N_SET_BLOCK:
    case TW_N_FILTER_BLOCK:
    case TW_N_MACRO:
    case TW_N_PARAMETER:
    case TW_N_WITH:
    case TW_N_BREAK:
    case TW_N_CONTINUE:
    case TW_N_KINDS: break;
    }
    TW_BUG_ON(true); /* the parser puts no statement where an expression belongs */
}

trawl_status tw_eval(struct tw_render *r, const struct tw_node *node, struct tw_value *out)
{
    r->line = node->line;
    TW_TRY(tw_render_charge(r, 1));
    TW_TRY(tw_render_enter(r));
    TW_TRY(eval_any(r, node, out));
    tw_render_leave(r);
    return TRAWL_OK;
}
