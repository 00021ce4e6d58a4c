/* SPDX-License-Identifier: MIT */
/* Tests: "x is defined". */
#include <string.h>

#include "base/utf8.h"
#include "text/text_jinja_case.h"
#include "text/text_jinja_eval.h"

static trawl_status answer(struct tw_value *out, bool yes)
{
    *out = tw_value_bool(yes);
    return TRAWL_OK;
}

/* Tests that only look at the kind of the value. */
static trawl_status test_kind(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    static const struct {
        const char *name;
        unsigned kinds; /* bits */
    } known[] = {
        {"undefined", 1u << TW_V_UNDEFINED},
        {"none", 1u << TW_V_NONE},
        {"string", 1u << TW_V_STRING},
        {"boolean", 1u << TW_V_BOOL},
        {"integer", 1u << TW_V_INT},
        {"float", 1u << TW_V_FLOAT},
        {"number", 1u << TW_V_INT | 1u << TW_V_FLOAT | 1u << TW_V_BOOL},
        {"mapping", 1u << TW_V_MAP},
        {"sequence",
         1u << TW_V_STRING | 1u << TW_V_LIST | 1u << TW_V_TUPLE | 1u << TW_V_MAP | 1u << TW_V_UNDEFINED},
        {"iterable", 1u << TW_V_STRING | 1u << TW_V_LIST | 1u << TW_V_TUPLE | 1u << TW_V_MAP |
                         1u << TW_V_LOOP | 1u << TW_V_UNDEFINED},
        {"callable", 1u << TW_V_MACRO | 1u << TW_V_FUNCTION | 1u << TW_V_LOOP | 1u << TW_V_UNDEFINED},
    };
    (void)r;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, c->builtin->name) == 0) {
            return answer(out, (known[i].kinds >> c->self.kind & 1u) != 0);
        }
    }
    return answer(out, c->self.kind != TW_V_UNDEFINED); /* defined */
}

static trawl_status test_truth(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    (void)r;
    return answer(out, c->self.kind == TW_V_BOOL && c->self.as.b == (c->builtin->name[0] == 't'));
}

/* odd, even, divisibleby */
static trawl_status test_divides(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_value divisor   = c->builtin->name[0] == 'd' ? c->arg[0] : tw_value_int(2);
    struct tw_value remainder = tw_value_int(0);
    bool equal                = false;
    TW_TRY(tw_eval_binary(r, TW_OP_MOD, c->self, divisor, &remainder));
    TW_TRY(tw_value_equal(r, remainder, tw_value_int(c->builtin->name[0] == 'o'), &equal));
    return answer(out, equal);
}

static trawl_status test_equal(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    bool equal = false;
    bool yes   = c->builtin->name[0] != 'n' && c->builtin->name[0] != '!';
    TW_TRY(tw_value_equal(r, c->self, c->arg[0], &equal));
    return answer(out, equal == yes);
}

/* lt, le, gt, ge under all their names; the operators can only be named in a string, select('>', 1) */
static trawl_status test_order(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    const char *name = c->builtin->name;
    bool less        = name[0] == 'l' || name[0] == '<';
    bool equals      = name[1] == '=' || strcmp(name, "le") == 0 || strcmp(name, "ge") == 0;
    int order        = 0;
    TW_TRY(tw_value_compare(r, c->self, c->arg[0], name, &order));
    return answer(out, order != 2 && ((less ? order < 0 : order > 0) || (equals && order == 0)));
}

static trawl_status test_in(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    bool yes = false;
    TW_TRY(tw_value_contains(r, c->arg[0], c->self, &yes));
    return answer(out, yes);
}

/* The same object: for what has no identity here, equal and of one kind. */
static trawl_status test_same(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    bool equal = false;
    TW_TRY(tw_value_equal(r, c->self, c->arg[0], &equal));
    if (tw_value_is_sequence(c->self) && c->arg[0].kind == c->self.kind) {
        equal = c->self.as.list == c->arg[0].as.list;
    } else if (c->self.kind == TW_V_MAP && c->arg[0].kind == TW_V_MAP) {
        equal = c->self.as.map == c->arg[0].as.map;
    }
    return answer(out, equal && c->self.kind == c->arg[0].kind);
}

/* lower, upper: has letters, and none of the other case */
static trawl_status test_case(struct tw_render *r, const struct tw_builtin_call *c, struct tw_value *out)
{
    struct tw_text text = {NULL, 0};
    TW_TRY(tw_value_to_text(r, c->self, &text));
    return answer(out, tw_text_has_case(text, c->builtin->name[0] == 'u'));
}

const struct tw_builtin *tw_jinja_find_test(struct tw_text name)
{
    static const struct tw_builtin tests[] = {
        {.name = "defined", .fn = test_kind},
        {.name = "undefined", .fn = test_kind},
        {.name = "none", .fn = test_kind},
        {.name = "string", .fn = test_kind},
        {.name = "boolean", .fn = test_kind},
        {.name = "integer", .fn = test_kind},
        {.name = "float", .fn = test_kind},
        {.name = "number", .fn = test_kind},
        {.name = "mapping", .fn = test_kind},
        {.name = "sequence", .fn = test_kind},
        {.name = "iterable", .fn = test_kind},
        {.name = "callable", .fn = test_kind},
        {.name = "true", .fn = test_truth},
        {.name = "false", .fn = test_truth},
        {.name = "odd", .fn = test_divides},
        {.name = "even", .fn = test_divides},
        {.name = "divisibleby", .fn = test_divides, .params = {"num"}, .required = 1},
        {.name = "eq", .fn = test_equal, .params = {"other"}, .required = 1},
        {.name = "equalto", .fn = test_equal, .params = {"other"}, .required = 1},
        {.name = "ne", .fn = test_equal, .params = {"other"}, .required = 1},
        {.name = "lt", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "lessthan", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "le", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "gt", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "greaterthan", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "ge", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "==", .fn = test_equal, .params = {"other"}, .required = 1},
        {.name = "!=", .fn = test_equal, .params = {"other"}, .required = 1},
        {.name = "<", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "<=", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = ">", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = ">=", .fn = test_order, .params = {"other"}, .required = 1},
        {.name = "in", .fn = test_in, .params = {"seq"}, .required = 1},
        {.name = "sameas", .fn = test_same, .params = {"other"}, .required = 1},
        {.name = "lower", .fn = test_case},
        {.name = "upper", .fn = test_case},
        {.name = "escaped"},
        {.name = "filter"},
        {.name = "test"},
        {.name = NULL}};
    return tw_builtin_find(tests, name);
}
