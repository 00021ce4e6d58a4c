/* SPDX-License-Identifier: MIT */
/* Python's arithmetic on template values. Integers have 64 bits; what does not fit is an error. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "text/text_jinja_eval.h"

static const char *operator_text(enum tw_operator op)
{
    static const char *const texts[] = {
        [TW_OP_ADD] = "+",       [TW_OP_SUB] = "-", [TW_OP_MUL] = "*", [TW_OP_DIV] = "/",
        [TW_OP_FLOORDIV] = "//", [TW_OP_MOD] = "%", [TW_OP_POW] = "**"};
    return texts[op];
}

static trawl_status overflow(struct tw_render *r)
{
    return tw_render_fail(r, TRAWL_ERR_LIMIT, "an integer does not fit in 64 bits");
}

static trawl_status integer_power(struct tw_render *r, int64_t base, int64_t exponent, int64_t *out)
{
    *out = 1;
    if (exponent > 63 && base >= -1 && base <= 1) {
        exponent = 2 + exponent % 2; /* the sign is all that it decides */
    }
    for (int64_t i = 0; i < exponent; i++) {
        if (__builtin_mul_overflow(*out, base, out)) {
            return overflow(r);
        }
    }
    return TRAWL_OK;
}

/* b != 0; rounded towards minus infinity. */
static trawl_status floor_division(struct tw_render *r, int64_t a, int64_t b, int64_t *quotient,
                                   int64_t *remainder)
{
    if (b == -1) {
        *remainder = 0;
        return __builtin_sub_overflow((int64_t)0, a, quotient) ? overflow(r) : TRAWL_OK;
    }
    *quotient  = a / b;
    *remainder = a % b;
    if (*remainder != 0 && (*remainder < 0) != (b < 0)) {
        (*quotient)--;
        *remainder += b;
    }
    return TRAWL_OK;
}

static trawl_status integers(struct tw_render *r, enum tw_operator op, int64_t a, int64_t b, int64_t *out)
{
    int64_t other = 0;
    switch (op) {
    case TW_OP_ADD: return __builtin_add_overflow(a, b, out) ? overflow(r) : TRAWL_OK;
    case TW_OP_SUB: return __builtin_sub_overflow(a, b, out) ? overflow(r) : TRAWL_OK;
    case TW_OP_MUL: return __builtin_mul_overflow(a, b, out) ? overflow(r) : TRAWL_OK;
    case TW_OP_FLOORDIV: return floor_division(r, a, b, out, &other);
    case TW_OP_MOD: return floor_division(r, a, b, &other, out);
    case TW_OP_POW: return integer_power(r, a, b, out);
    case TW_OP_DIV:
    case TW_OP_EQ:
    case TW_OP_NE:
    case TW_OP_LT:
    case TW_OP_LE:
    case TW_OP_GT:
    case TW_OP_GE:
    case TW_OP_IN:
    case TW_OP_NOT_IN: break;
    }
    TW_BUG_ON(true);
}

static double float_modulo(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0.0) {
        return (m < 0.0) != (b < 0.0) ? m + b : m;
    }
    return copysign(0.0, b);
}

static double floats(enum tw_operator op, double a, double b)
{
    switch (op) {
    case TW_OP_ADD: return a + b;
    case TW_OP_SUB: return a - b;
    case TW_OP_MUL: return a * b;
    case TW_OP_DIV: return a / b;
    case TW_OP_FLOORDIV: return floor(a / b);
    case TW_OP_MOD: return float_modulo(a, b);
    case TW_OP_POW: return pow(a, b);
    case TW_OP_EQ:
    case TW_OP_NE:
    case TW_OP_LT:
    case TW_OP_LE:
    case TW_OP_GT:
    case TW_OP_GE:
    case TW_OP_IN:
    case TW_OP_NOT_IN: break;
    }
    return NAN;
}

static trawl_status numbers(struct tw_render *r, enum tw_operator op, struct tw_value a, struct tw_value b,
                            struct tw_value *out)
{
    bool divides = op == TW_OP_DIV || op == TW_OP_FLOORDIV || op == TW_OP_MOD;
    if (divides && tw_value_number(b) == 0.0) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "division by zero");
    }
    bool integer = tw_value_is_integer(a) && tw_value_is_integer(b) && op != TW_OP_DIV &&
                   !(op == TW_OP_POW && tw_value_integer(b) < 0);
    if (integer) {
        *out = tw_value_int(0);
        return integers(r, op, tw_value_integer(a), tw_value_integer(b), &out->as.i);
    }
    *out = tw_value_float(floats(op, tw_value_number(a), tw_value_number(b)));
    return TRAWL_OK;
}

/* text * count or list * count */
static trawl_status repeat(struct tw_render *r, struct tw_value v, int64_t count, struct tw_value *out)
{
    size_t times = count > 0 ? (size_t)count : 0;
    size_t total = 0;
    bool text    = v.kind == TW_V_STRING;
    if (!tw_size_mul(text ? v.as.text.n : v.as.list->n, times, &total)) {
        return tw_render_fail(r, TRAWL_ERR_LIMIT, "a '%s' repeated %lld times is too long",
                              tw_value_type_name(v), (long long)count);
    }
    if (total == 0) {
        *out = tw_value_text("", 0);
        return text ? TRAWL_OK : tw_value_new_list(r, v.kind, out);
    }
    TW_TRY(tw_render_charge(r, total / 64));
    if (text) {
        char *bytes = NULL;
        TW_TRY(tw_arena_alloc(&r->arena, total, 1, &bytes, r->err));
        for (size_t i = 0; i < times; i++) {
            memcpy(bytes + i * v.as.text.n, v.as.text.s, v.as.text.n);
        }
        *out = tw_value_text(bytes, total);
        return TRAWL_OK;
    }
    TW_TRY(tw_value_new_list(r, v.kind, out));
    struct tw_list *list = out->as.list;
    TW_TRY(tw_arena_grow(&r->arena, &list->items, 0, &list->capacity, total, sizeof *list->items, r->err));
    for (list->n = 0; list->n < total; list->n++) {
        list->items[list->n] = v.as.list->items[list->n % v.as.list->n];
    }
    return TRAWL_OK;
}

static trawl_status join(struct tw_render *r, struct tw_value a, struct tw_value b, struct tw_value *out)
{
    if (a.kind == TW_V_STRING) {
        char *bytes = NULL;
        TW_TRY(tw_arena_alloc(&r->arena, a.as.text.n + b.as.text.n, 1, &bytes, r->err));
        memcpy(bytes, a.as.text.s, a.as.text.n);
        memcpy(bytes + a.as.text.n, b.as.text.s, b.as.text.n);
        *out = tw_value_text(bytes, a.as.text.n + b.as.text.n);
        return tw_render_charge(r, out->as.text.n / 64);
    }
    TW_TRY(tw_value_new_list(r, a.kind, out));
    const struct tw_list *parts[2] = {a.as.list, b.as.list};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < parts[k]->n; i++) {
            TW_TRY(tw_list_push(r, out->as.list, parts[k]->items[i]));
        }
    }
    return tw_render_charge(r, out->as.list->n / 8);
}

trawl_status tw_eval_binary(struct tw_render *r, enum tw_operator op, struct tw_value a, struct tw_value b,
                            struct tw_value *out)
{
    bool a_repeats = a.kind == TW_V_STRING || tw_value_is_sequence(a);
    bool b_repeats = b.kind == TW_V_STRING || tw_value_is_sequence(b);
    if (tw_value_is_number(a) && tw_value_is_number(b)) {
        return numbers(r, op, a, b, out);
    }
    if (op == TW_OP_ADD && a_repeats && a.kind == b.kind) {
        return join(r, a, b, out);
    }
    if (op == TW_OP_MUL && a_repeats && tw_value_is_integer(b)) {
        return repeat(r, a, tw_value_integer(b), out);
    }
    if (op == TW_OP_MUL && b_repeats && tw_value_is_integer(a)) {
        return repeat(r, b, tw_value_integer(a), out);
    }
    if (op == TW_OP_MOD && a.kind == TW_V_STRING) {
        return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "formatting with %% is not supported");
    }
    struct tw_value undefined = a.kind == TW_V_UNDEFINED ? a : b;
    if (undefined.kind == TW_V_UNDEFINED) {
        return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%.*s' is undefined",
                              (int)tw_min_size(undefined.as.text.n, 80), undefined.as.text.s);
    }
    return tw_render_fail(r, TRAWL_ERR_FORMAT, "'%s' is not supported between '%s' and '%s'",
                          operator_text(op), tw_value_type_name(a), tw_value_type_name(b));
}
