/* SPDX-License-Identifier: MIT */
#include "constrain/constrain_regex.h"

#include <string.h>

#include "base/utf8.h"

enum { CODE_LAST = 0x10FFFF };

struct parser {
    struct tw_tree *tree;
    const char *s;
    size_t at, n;
    int depth;
    struct tw_regex_options options;
    struct trawl_error *err;
};

static trawl_status fail_at(struct parser *p, trawl_status status, size_t at, const char *what)
{
    return tw_fail(p->err, status, "regex, offset %zu: %s", at, what);
}

static bool more(const struct parser *p)
{
    return p->at < p->n;
}

static bool looking_at(const struct parser *p, char c)
{
    return p->at < p->n && p->s[p->at] == c;
}

static bool take(struct parser *p, char c)
{
    bool is = looking_at(p, c);
    p->at += is;
    return is;
}

/* ---- characters ---- */

static trawl_status take_code(struct parser *p, uint32_t *code)
{
    size_t k = tw_utf8_decode(p->s + p->at, p->n - p->at, code);
    if (k == 0) {
        return fail_at(p, TRAWL_ERR_FORMAT, p->at, "the bytes are not UTF-8");
    }
    p->at += k;
    return TRAWL_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` digits, or as many as stand before "}" when count is 0. */
static trawl_status take_hex(struct parser *p, int count, uint32_t *code)
{
    size_t start = p->at;
    int seen     = 0;
    *code        = 0;
    while (more(p) && hex_digit(p->s[p->at]) >= 0 && *code <= CODE_LAST && (count == 0 || seen < count)) {
        *code = *code * 16 + (uint32_t)hex_digit(p->s[p->at++]);
        seen++;
    }
    bool closed = count != 0 ? seen == count : seen > 0 && take(p, '}');
    if (!closed || *code > CODE_LAST || (*code >= 0xD800 && *code <= 0xDFFF)) {
        return fail_at(p, TRAWL_ERR_FORMAT, start,
                       count == 2   ? "expected two hexadecimal digits"
                       : count == 4 ? "expected four hexadecimal digits of a character"
                                    : "expected hexadecimal digits of a character and \"}\"");
    }
    return TRAWL_OK;
}

/* The ranges of \d, \w and \s; `c` in lower case. */
static trawl_status add_perl_class(struct parser *p, uint32_t set, char c, bool negate)
{
    static const struct tw_code_range digits[] = {{'0', '9'}};
    static const struct tw_code_range words[]  = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct tw_code_range spaces[] = {{'\t', '\r'}, {' ', ' '}};
    const struct tw_code_range *r              = c == 'd' ? digits : c == 'w' ? words : spaces;
    size_t n                                   = c == 'd' ? 1 : c == 'w' ? 4 : 2;
    uint32_t from                              = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negate) {
            TW_TRY(tw_tree_set_add(p->tree, set, r[i].lo, r[i].hi, p->err));
        } else if (r[i].lo > from) {
            TW_TRY(tw_tree_set_add(p->tree, set, from, r[i].lo - 1, p->err));
        }
        from = r[i].hi + 1;
    }
    return negate ? tw_tree_set_add(p->tree, set, from, CODE_LAST, p->err) : TRAWL_OK;
}

/* After a backslash: either *class is one of d w s D W S, or it is 0 and *code a character. */
static trawl_status take_escape(struct parser *p, char *class, uint32_t *code)
{
    static const char named[][2] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'f', '\f'},
                                    {'v', '\v'}, {'a', '\a'}, {'0', '\0'}};
    size_t start                 = p->at - 1;
    *class                       = 0;
    if (!more(p)) {
        return fail_at(p, TRAWL_ERR_FORMAT, start, "a backslash ends the expression");
    }
    char c = p->s[p->at];
    if (strchr("dwsDWS", c) != NULL && c != '\0') {
        *class = c;
        p->at++;
        return TRAWL_OK;
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (c == named[i][0]) {
            *code = (unsigned char)named[i][1];
            p->at++;
            return TRAWL_OK;
        }
    }
    if (c == 'x' || c == 'u') {
        p->at++;
        return take_hex(p, take(p, '{') ? 0 : c == 'x' ? 2 : 4, code);
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9')) {
        return fail_at(p, TRAWL_ERR_UNSUPPORTED, start,
                       c >= '1' && c <= '9' ? "backreferences are not supported"
                                            : "this escape is not supported");
    }
    return take_code(p, code);
}

/* One end of a range, or a class; after the opening bracket. */
static trawl_status take_member(struct parser *p, char *class, uint32_t *code)
{
    *class = 0;
    if (looking_at(p, '[') && p->at + 1 < p->n && strchr(":.=", p->s[p->at + 1]) != NULL &&
        p->s[p->at + 1] != '\0') {
        return fail_at(p, TRAWL_ERR_UNSUPPORTED, p->at, "named classes are not supported");
    }
    return take(p, '\\') ? take_escape(p, class, code) : take_code(p, code);
}

static trawl_status parse_set(struct parser *p, uint32_t set)
{
    size_t open = p->at - 1;
    bool negate = take(p, '^'), first = true;
    while (first || !looking_at(p, ']')) {
        size_t start = p->at;
        char class   = 0;
        uint32_t lo = 0, hi = 0;
        if (!more(p)) {
            return fail_at(p, TRAWL_ERR_FORMAT, open, "\"[\" is not closed");
        }
        TW_TRY(take_member(p, &class, &lo));
        first = false;
        if (class != 0) {
            TW_TRY(add_perl_class(p, set, (char)(class | 0x20), class < 'a'));
            continue;
        }
        hi = lo;
        if (looking_at(p, '-') && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            TW_TRY(take_member(p, &class, &hi));
            if (class != 0 || hi < lo) {
                return fail_at(p, TRAWL_ERR_FORMAT, start, "this range has no members");
            }
        }
        TW_TRY(tw_tree_set_add(p->tree, set, lo, hi, p->err));
    }
    p->at++;
    TW_TRY(tw_tree_set_close(p->tree, set, negate, p->err));
    return p->tree->nodes[set].n > 0 ? TRAWL_OK
                                     : fail_at(p, TRAWL_ERR_FORMAT, open, "no character is in this set");
}

/* ---- structure ---- */

static trawl_status parse_alternatives(struct parser *p, bool outermost, uint32_t *out);

static trawl_status parse_group(struct parser *p, uint32_t *out)
{
    size_t open = p->at - 1;
    if (take(p, '?') && !take(p, ':')) {
        return fail_at(p, TRAWL_ERR_UNSUPPORTED, open,
                       "of the groups that begin with \"(?\" only \"(?:\" is supported");
    }
    if (++p->depth > TW_REGEX_DEPTH_MAX) {
        return tw_fail(p->err, TRAWL_ERR_LIMIT, "regex, offset %zu: more than %d groups within each other",
                       open, TW_REGEX_DEPTH_MAX);
    }
    TW_TRY(parse_alternatives(p, false, out));
    p->depth--;
    return take(p, ')') ? TRAWL_OK : fail_at(p, TRAWL_ERR_FORMAT, open, "\"(\" is not closed");
}

static trawl_status parse_atom(struct parser *p, uint32_t *out)
{
    size_t start  = p->at;
    char class    = 0;
    uint32_t code = 0;
    char c        = p->s[p->at];
    if (c == '(') {
        p->at++;
        return parse_group(p, out);
    }
    if (c == '*' || c == '+' || c == '?') {
        return fail_at(p, TRAWL_ERR_FORMAT, start, "there is nothing to repeat");
    }
    if (c == '^' || c == '$') {
        return fail_at(p, TRAWL_ERR_UNSUPPORTED, start,
                       "\"^\" is supported only at the beginning and \"$\" only at the end");
    }
    TW_TRY(tw_tree_add(p->tree, TW_TREE_SET, out, p->err));
    p->tree->nodes[*out].json = p->options.json;
    p->at++;
    if (c == '[') {
        return parse_set(p, *out);
    }
    if (c == '.') {
        TW_TRY(tw_tree_set_add(p->tree, *out, '\n', '\n', p->err));
        return tw_tree_set_close(p->tree, *out, true, p->err);
    }
    if (c == '\\') {
        TW_TRY(take_escape(p, &class, &code));
    } else {
        p->at--;
        TW_TRY(take_code(p, &code));
    }
    TW_TRY(class != 0 ? add_perl_class(p, *out, (char)(class | 0x20), class < 'a')
                      : tw_tree_set_add(p->tree, *out, code, code, p->err));
    return tw_tree_set_close(p->tree, *out, false, p->err);
}

static bool take_count(struct parser *p, uint32_t *count)
{
    size_t start = p->at;
    *count       = 0;
    while (more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '9') {
        *count = *count > TW_REGEX_COUNT_MAX ? *count : *count * 10 + (uint32_t)(p->s[p->at] - '0');
        p->at++;
    }
    return p->at > start;
}

/* {m}, {m,}, {m,n}; braces that are none of these are text and leave everything as it was. */
static bool take_counts(struct parser *p, uint32_t *min, uint32_t *max)
{
    size_t start = p->at;
    p->at++;
    if (take_count(p, min)) {
        *max = *min;
        if (take(p, ',') && !take_count(p, max)) {
            *max = TW_TREE_NO_MAX;
        }
        if (take(p, '}')) {
            return true;
        }
    }
    p->at = start;
    return false;
}

static bool take_quantifier(struct parser *p, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = TW_TREE_NO_MAX;
    if (looking_at(p, '{')) {
        return take_counts(p, min, max);
    }
    if (take(p, '*')) {
        return true;
    }
    if (take(p, '+')) {
        *min = 1;
        return true;
    }
    *max = 1;
    return take(p, '?');
}

static trawl_status parse_repeat(struct parser *p, uint32_t *out)
{
    TW_TRY(parse_atom(p, out));
    size_t start = p->at;
    uint32_t min = 0, max = 0;
    if (!more(p) || !take_quantifier(p, &min, &max)) {
        return TRAWL_OK;
    }
    if (min > TW_REGEX_COUNT_MAX || (max != TW_TREE_NO_MAX && (max > TW_REGEX_COUNT_MAX || max < min))) {
        return tw_fail(p->err, TRAWL_ERR_FORMAT,
                       "regex, offset %zu: expected counts that ascend and are at most %d", start,
                       TW_REGEX_COUNT_MAX);
    }
    (void)take(p, '?');
    start = p->at;
    uint32_t ignored[2];
    if (more(p) && take_quantifier(p, &ignored[0], &ignored[1])) {
        return fail_at(p, TRAWL_ERR_FORMAT, start, "a quantifier follows a quantifier; use a group");
    }
    return tw_tree_repeat(p->tree, *out, min, max, 0, out, p->err);
}

/* Any text at all, before or after what is searched for. */
static trawl_status append_anything(struct parser *p, uint32_t parent)
{
    uint32_t set = 0, any = 0;
    TW_TRY(tw_tree_add(p->tree, TW_TREE_SET, &set, p->err));
    p->tree->nodes[set].json = p->options.json;
    TW_TRY(tw_tree_set_close(p->tree, set, true, p->err));
    TW_TRY(tw_tree_repeat(p->tree, set, 0, TW_TREE_NO_MAX, 0, &any, p->err));
    tw_tree_append(p->tree, parent, any);
    return TRAWL_OK;
}

static trawl_status parse_concatenation(struct parser *p, bool outermost, uint32_t *out)
{
    TW_TRY(tw_tree_add(p->tree, TW_TREE_CAT, out, p->err));
    bool search = outermost && p->options.search;
    if (outermost && take(p, '^')) {
        /* held at the beginning, as everything is that is not searched for */
    } else if (search) {
        TW_TRY(append_anything(p, *out));
    }
    while (more(p) && !looking_at(p, '|') && !looking_at(p, ')')) {
        bool last = p->at + 1 == p->n || p->s[p->at + 1] == '|';
        if (outermost && last && take(p, '$')) {
            return TRAWL_OK;
        }
        uint32_t part = 0;
        TW_TRY(parse_repeat(p, &part));
        tw_tree_append(p->tree, *out, part);
    }
    return search ? append_anything(p, *out) : TRAWL_OK;
}

static trawl_status parse_alternatives(struct parser *p, bool outermost, uint32_t *out)
{
    TW_TRY(tw_tree_add(p->tree, TW_TREE_ALT, out, p->err));
    do {
        uint32_t part = 0;
        TW_TRY(parse_concatenation(p, outermost, &part));
        tw_tree_append(p->tree, *out, part);
    } while (take(p, '|'));
    return TRAWL_OK;
}

trawl_status tw_regex_parse(struct tw_tree *t, const char *pattern, size_t n,
                            const struct tw_regex_options *options, uint32_t *out, struct trawl_error *err)
{
    struct parser p = {.tree = t, .s = pattern, .n = n, .options = *options, .err = err};
    TW_TRY(parse_alternatives(&p, true, out));
    return more(&p) ? fail_at(&p, TRAWL_ERR_FORMAT, p.at, "\")\" closes nothing") : TRAWL_OK;
}
