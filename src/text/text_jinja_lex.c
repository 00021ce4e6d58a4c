/* SPDX-License-Identifier: MIT */
/* Template source to tokens, with Jinja's white space control. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/text_jinja_ast.h"
#include "text/text_unicode.h"

struct lexer {
    struct tw_parser *p;
    const char *s;
    size_t n;
    size_t at;
    uint32_t line;
    bool chat;       /* trim_blocks and lstrip_blocks */
    bool line_start; /* what was just read ended a line */
};

static bool starts(const struct lexer *x, size_t at, const char *with)
{
    size_t n = strlen(with);
    return x->n - at >= n && memcmp(x->s + at, with, n) == 0;
}

static trawl_status push(struct lexer *x, struct tw_token token)
{
    struct tw_parser *p = x->p;
    TW_TRY(tw_arena_grow(&p->t->arena, &p->tokens, p->n_tokens, &p->tokens_capacity, p->n_tokens + 1,
                         sizeof *p->tokens, p->err));
    token.line             = x->line;
    p->tokens[p->n_tokens] = token;
    p->n_tokens++;
    return TRAWL_OK;
}

/* Step to `to`, counting lines. */
static void advance(struct lexer *x, size_t to)
{
    for (; x->at < to; x->at++) {
        x->line += x->s[x->at] == '\n';
    }
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    while (at < x->n) {
        uint32_t c  = 0;
        size_t step = tw_utf8_decode(x->s + at, x->n - at, &c);
        if (step == 0 || !tw_unicode_is_python_space(c)) {
            break;
        }
        at += step;
    }
    return at;
}

/* Where white space before `end` begins, not before `begin`. */
static size_t space_before(const struct lexer *x, size_t begin, size_t end)
{
    while (end > begin) {
        uint32_t c   = 0;
        size_t start = tw_utf8_prev(x->s, end);
        if (tw_utf8_decode(x->s + start, end - start, &c) == 0 || !tw_unicode_is_python_space(c)) {
            break;
        }
        end = start;
    }
    return end;
}

/* ---- inside tags ---- */

/* Behind "{%", "{{" or "{#" stands - or + or neither. */
static char sign_at(const struct lexer *x, size_t at)
{
    return at < x->n && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at] : '\0';
}

/* Is the end tag `close` ("%}", "}}", "#}") at `at`, perhaps with a sign? Returns what follows it, white
 * space taken as the sign says; 0 if it is not there. */
static size_t tag_end(const struct lexer *x, size_t at, const char *close)
{
    char sign = sign_at(x, at);
    if (sign == '+' && close[0] == '}') {
        return 0;
    }
    size_t after = at + (sign != '\0');
    if (!starts(x, after, close)) {
        return 0;
    }
    after += 2;
    if (sign == '-') {
        return skip_space(x, after);
    }
    if (sign != '+' && close[0] != '}' && x->chat && after < x->n && x->s[after] == '\n') {
        after++;
    }
    return after;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* A numeric escape: `digits` digits at most (all of them for \x, \u, \U) of `base`. */
static size_t number_escape(const char *s, size_t n, size_t digits, int base, uint32_t *value)
{
    size_t i = 0;
    *value   = 0;
    while (i < digits && i < n && digit_of(s[i]) < base) {
        *value = *value * (uint32_t)base + (uint32_t)digit_of(s[i]);
        i++;
    }
    return i;
}

/* One escape at s (behind the backslash); bytes used, 0: an error. */
static size_t unescape(const char *s, size_t n, char out[4], size_t *n_out)
{
    static const char from[] = "ntr\\'\"abfv";
    static const char to[]   = "\n\t\r\\'\"\a\b\f\v";
    const char *known        = s[0] == '\0' ? NULL : strchr(from, s[0]);
    uint32_t value           = 0;
    if (known != NULL) {
        out[0] = to[known - from];
        *n_out = 1;
        return 1;
    }
    if (s[0] == '\n') {
        *n_out = 0;
        return 1;
    }
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
    if (digits > 0) {
        size_t used = number_escape(s + 1, n - 1, digits, 16, &value);
        *n_out      = tw_utf8_encode(value, out);
        return used == digits && *n_out > 0 ? 1 + used : 0;
    }
    if (s[0] >= '0' && s[0] <= '7') {
        size_t used = number_escape(s, n, 3, 8, &value);
        *n_out      = tw_utf8_encode(value, out);
        return used;
    }
    if (s[0] == 'N') {
        return 0; /* names of characters are not known here */
    }
    out[0] = '\\'; /* not an escape: both characters stay */
    out[1] = s[0];
    *n_out = 2;
    return 1;
}

static trawl_status lex_string(struct lexer *x)
{
    char quote = x->s[x->at];
    size_t end = x->at + 1;
    while (end < x->n && x->s[end] != quote) {
        end += x->s[end] == '\\' ? 2 : 1;
    }
    if (end >= x->n) {
        return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "a string is not closed");
    }
    char *text = NULL;
    size_t n   = 0;
    TW_TRY(tw_arena_alloc(&x->p->t->arena, end - x->at, 1, &text, x->p->err));
    for (size_t i = x->at + 1; i < end;) {
        if (x->s[i] != '\\') {
            text[n++] = x->s[i++];
            continue;
        }
        char bytes[4];
        size_t n_bytes = 0;
        if ((unsigned char)x->s[i + 1] >= 0x80) {
            text[n++] = x->s[i++]; /* a backslash before a letter that it does not escape stays */
            continue;
        }
        size_t used = unescape(x->s + i + 1, end - i - 1, bytes, &n_bytes);
        if (used == 0) {
            return tw_jinja_fail(x->p, TRAWL_ERR_UNSUPPORTED, x->line,
                                 "escape \\%c in a string is not supported", x->s[i + 1]);
        }
        memcpy(text + n, bytes, n_bytes);
        n += n_bytes;
        i += 1 + used;
    }
    TW_TRY(push(x, (struct tw_token){.kind = TW_T_STRING, .text = {text, n}}));
    advance(x, end + 1);
    return TRAWL_OK;
}

static bool is_digit(const struct lexer *x, size_t at)
{
    return at < x->n && x->s[at] >= '0' && x->s[at] <= '9';
}

/* End of a run of digits, single underscores between them allowed. */
static size_t digits_end(const struct lexer *x, size_t at)
{
    while (is_digit(x, at) || (at < x->n && x->s[at] == '_' && is_digit(x, at + 1))) {
        at++;
    }
    return at;
}

static trawl_status lex_number(struct lexer *x)
{
    char digits[64];
    size_t n   = 0;
    size_t end = digits_end(x, x->at);
    bool f     = false;
    if (x->s[x->at] == '0' && end == x->at + 1 && end < x->n && strchr("xXoObB", x->s[end]) != NULL &&
        x->s[end] != '\0') {
        return tw_jinja_fail(x->p, TRAWL_ERR_UNSUPPORTED, x->line,
                             "numbers that are not decimal are not supported");
    }
    /* a.0.1 reads as attributes 0 and 1. */
    bool after_dot = x->at > 0 && x->s[x->at - 1] == '.';
    if (!after_dot && end < x->n && x->s[end] == '.' && is_digit(x, end + 1)) {
        f   = true;
        end = digits_end(x, end + 1);
    }
    if (!after_dot && end < x->n && (x->s[end] == 'e' || x->s[end] == 'E')) {
        size_t exponent = end + 1 + (end + 1 < x->n && (x->s[end + 1] == '+' || x->s[end + 1] == '-'));
        if (is_digit(x, exponent)) {
            f   = true;
            end = digits_end(x, exponent);
        }
    }
    for (size_t i = x->at; i < end; i++) {
        if (x->s[i] != '_') {
            if (n + 1 >= sizeof digits) {
                return tw_jinja_fail(x->p, TRAWL_ERR_LIMIT, x->line, "a number has more than %zu digits", n);
            }
            digits[n++] = x->s[i];
        }
    }
    digits[n]             = '\0';
    struct tw_token token = {.kind = f ? TW_T_FLOAT : TW_T_INT, .text = {x->s + x->at, end - x->at}};
    errno                 = 0;
    if (f) {
        token.f = strtod(digits, NULL);
    } else {
        token.i = strtoll(digits, NULL, 10);
        if (errno == ERANGE) {
            return tw_jinja_fail(x->p, TRAWL_ERR_LIMIT, x->line, "integer %s does not fit in 64 bits",
                                 digits);
        }
    }
    TW_TRY(push(x, token));
    advance(x, end);
    return TRAWL_OK;
}

static bool is_name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80 ||
           (!first && c >= '0' && c <= '9');
}

static trawl_status lex_token(struct lexer *x)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    char c                               = x->s[x->at];
    if (c == '\'' || c == '"') {
        return lex_string(x);
    }
    if (c >= '0' && c <= '9') {
        return lex_number(x);
    }
    if (is_name_byte(c, true)) {
        size_t end = x->at;
        while (end < x->n && is_name_byte(x->s[end], false)) {
            end++;
        }
        TW_TRY(push(x, (struct tw_token){.kind = TW_T_NAME, .text = {x->s + x->at, end - x->at}}));
        x->at = end;
        return TRAWL_OK;
    }
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (starts(x, x->at, operators[i])) {
            size_t n = strlen(operators[i]);
            TW_TRY(push(x, (struct tw_token){.kind = TW_T_OPERATOR, .text = {operators[i], n}}));
            x->at += n;
            return TRAWL_OK;
        }
    }
    return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "character 0x%02x cannot stand in a tag",
                         (unsigned)(unsigned char)c);
}

/* The inside of "{{ ... }}" or "{% ... %}", up to and with its end. */
static trawl_status lex_tag(struct lexer *x, const char *close, enum tw_token_kind end_kind)
{
    int open = 0; /* brackets: "}}" inside of them is not the end */
    for (;;) {
        advance(x, skip_space(x, x->at));
        if (x->at >= x->n) {
            return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "\"%s\" is missing at the end", close);
        }
        size_t after = open == 0 ? tag_end(x, x->at, close) : 0;
        if (after > 0) {
            TW_TRY(push(x, (struct tw_token){.kind = end_kind}));
            advance(x, after);
            x->line_start = x->s[after - 1] == '\n';
            return TRAWL_OK;
        }
        char c = x->s[x->at];
        open += c == '(' || c == '[' || c == '{';
        open -= c == ')' || c == ']' || c == '}';
        if (open < 0) {
            return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "\"%c\" closes nothing", c);
        }
        TW_TRY(lex_token(x));
    }
}

/* ---- text between tags ---- */

/* Text [begin, end) before a tag, white space at its end taken away as sign and settings say. */
static trawl_status push_data(struct lexer *x, size_t begin, size_t end, char sign, bool may_lstrip)
{
    if (sign == '-') {
        end = space_before(x, begin, end);
    } else if (sign == '\0' && x->chat && may_lstrip) {
        const char *newline = end > begin ? memrchr(x->s + begin, '\n', end - begin) : NULL;
        size_t start        = newline == NULL ? begin : (size_t)(newline - x->s) + 1;
        if ((newline != NULL || x->line_start) && space_before(x, start, end) == start) {
            end = start;
        }
    }
    if (begin == end) {
        return TRAWL_OK;
    }
    return push(x, (struct tw_token){.kind = TW_T_DATA, .text = {x->s + begin, end - begin}});
}

/* "{% raw %}" at x->at (behind "{%" and its sign at `inside`)? Its text goes out as it is. */
static trawl_status lex_raw(struct lexer *x, size_t inside, bool *is_raw)
{
    size_t at = skip_space(x, inside);
    *is_raw   = false;
    if (!starts(x, at, "raw") || (at + 3 < x->n && is_name_byte(x->s[at + 3], false))) {
        return TRAWL_OK;
    }
    at          = skip_space(x, at + 3);
    bool strip  = sign_at(x, at) == '-';
    size_t body = at + strip;
    if (!starts(x, body, "%}")) {
        return TRAWL_OK;
    }
    *is_raw = true;
    body += 2;
    body = strip ? skip_space(x, body) : body;
    for (size_t tag = body; tag < x->n; tag++) {
        if (!starts(x, tag, "{%")) {
            continue;
        }
        char sign   = sign_at(x, tag + 2);
        size_t name = skip_space(x, tag + 2 + (sign != '\0'));
        if (!starts(x, name, "endraw")) {
            continue;
        }
        size_t after = tag_end(x, skip_space(x, name + 6), "%}");
        if (after == 0) {
            continue;
        }
        advance(x, body);
        x->line_start = false;
        TW_TRY(push_data(x, body, tag, sign, true));
        advance(x, after);
        x->line_start = x->s[after - 1] == '\n';
        return TRAWL_OK;
    }
    return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "\"raw\" has no \"endraw\"");
}

static trawl_status lex_comment(struct lexer *x)
{
    for (size_t at = x->at; at < x->n; at++) {
        size_t after = tag_end(x, at, "#}");
        if (after > 0) {
            advance(x, after);
            x->line_start = x->s[after - 1] == '\n';
            return TRAWL_OK;
        }
    }
    return tw_jinja_fail(x->p, TRAWL_ERR_FORMAT, x->line, "a comment is not closed");
}

/* The tag at x->at + data, and the text before it. */
static trawl_status lex_data_and_tag(struct lexer *x, size_t tag)
{
    char kind     = x->s[tag + 1];
    char sign     = sign_at(x, tag + 2);
    size_t inside = tag + 2 + (sign != '\0');
    TW_TRY(push_data(x, x->at, tag, sign, kind != '{'));
    advance(x, tag);
    if (kind == '#') {
        advance(x, inside);
        return lex_comment(x);
    }
    if (kind == '%') {
        bool is_raw = false;
        TW_TRY(lex_raw(x, inside, &is_raw));
        if (is_raw) {
            return TRAWL_OK;
        }
    }
    TW_TRY(push(x, (struct tw_token){.kind = kind == '%' ? TW_T_BLOCK_BEGIN : TW_T_OUTPUT_BEGIN}));
    advance(x, inside);
    return kind == '%' ? lex_tag(x, "%}", TW_T_BLOCK_END) : lex_tag(x, "}}", TW_T_OUTPUT_END);
}

trawl_status tw_jinja_lex(struct tw_parser *p)
{
    struct lexer x = {.p          = p,
                      .s          = p->source.s,
                      .n          = p->source.n,
                      .line       = 1,
                      .chat       = p->t->dialect == TW_TEMPLATE_CHAT,
                      .line_start = true};
    while (x.at < x.n) {
        size_t tag = x.at;
        while (tag + 1 < x.n &&
               !(x.s[tag] == '{' && (x.s[tag + 1] == '{' || x.s[tag + 1] == '%' || x.s[tag + 1] == '#'))) {
            tag++;
        }
        if (tag + 1 >= x.n) {
            TW_TRY(push(&x, (struct tw_token){.kind = TW_T_DATA, .text = {x.s + x.at, x.n - x.at}}));
            break;
        }
        TW_TRY(lex_data_and_tag(&x, tag));
    }
    return push(&x, (struct tw_token){.kind = TW_T_END});
}
