/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/text_regex.h"

#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "text/text_unicode_new.h"

/* PCRE2's own \s has U+180E in it, which is not White_Space. */
#define SPACE_MEMBERS "\\x{9}-\\x{d} \\x{85}\\p{Z}"

enum {
    PATTERN_LIMIT  = 64 * 1024,
    JIT_STACK_MIN  = 32 * 1024,
    JIT_STACK_MAX  = 4 * 1024 * 1024,
    HEAP_LIMIT_KIB = 64 * 1024,
    DEPTH_LIMIT    = 1000000
};

struct tw_regex {
    pcre2_code *code;
    bool jit;
};

struct tw_regex_scratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- from Ruby's syntax to PCRE2's ---- */

struct translation {
    const char *pattern;
    size_t n;
    size_t at;
    const char *what;
    struct tw_str *out;
    bool in_class;
};

static trawl_status refuse(const struct translation *t, const char *construct, size_t n,
                           struct trawl_error *err)
{
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                   "%s: regular expression uses %.*s at offset %zu, which is not supported", t->what,
                   (int)(n > 20 ? 20 : n), construct, t->at);
}

/* The property itself, and after it the characters PCRE2's tables may be too old for: members of a class. */
static trawl_status property_members(struct translation *t, const char *name, size_t n,
                                     struct trawl_error *err)
{
    size_t n_ranges                       = 0;
    const struct tw_unicode_range *ranges = tw_unicode_new_ranges(&n_ranges);
    /* Names of more than two letters are scripts, which PCRE2 otherwise reads as script extensions. */
    TW_TRY(tw_str_printf(t->out, err, "\\p{%s%.*s}", n > 2 ? "sc:" : "", (int)n, name));
    for (size_t i = 0; i < n_ranges; i++) {
        if (tw_unicode_range_in(&ranges[i], name, n)) {
            TW_TRY(tw_str_printf(t->out, err, "\\x{%x}-\\x{%x}", (unsigned)ranges[i].from,
                                 (unsigned)ranges[i].to));
        }
    }
    return TRAWL_OK;
}

/* \p{Lu}, \p{^Lu}, \P{L}. Unassigned characters differ between versions, so \p{C} is refused. */
static trawl_status property(struct translation *t, struct trawl_error *err)
{
    const char *p    = t->pattern + t->at;
    const char *stop = t->n - t->at < 4 || p[2] != '{' ? NULL : memchr(p, '}', t->n - t->at);
    if (stop == NULL) {
        return refuse(t, p, t->n - t->at < 3 ? t->n - t->at : 3, err);
    }
    bool caret       = p[3] == '^';
    bool negated     = caret != (p[1] == 'P');
    const char *name = p + 3 + caret;
    size_t n_name    = (size_t)(stop - name);
    bool known       = n_name > 0 && name[0] != 'C' && !(negated && t->in_class);
    for (size_t i = 0; i < n_name; i++) {
        char c = name[i];
        known  = known && ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_');
    }
    if (!known) {
        return refuse(t, p, (size_t)(stop - p) + 1, err);
    }
    TW_TRY(tw_str_puts(t->out, t->in_class ? "" : negated ? "[^" : "[", err));
    TW_TRY(property_members(t, name, n_name, err));
    t->at += (size_t)(stop - p) + 1;
    return t->in_class ? TRAWL_OK : tw_str_putc(t->out, ']', err);
}

static trawl_status escape(struct translation *t, struct trawl_error *err)
{
    const char *p = t->pattern + t->at;
    if (t->at + 1 >= t->n) {
        return refuse(t, p, 1, err);
    }
    char c = p[1];
    if (c == 'p' || c == 'P') {
        return property(t, err);
    }
    if (c == 's') {
        t->at += 2;
        return tw_str_puts(t->out, t->in_class ? SPACE_MEMBERS : "[" SPACE_MEMBERS "]", err);
    }
    if (c == 'S') {
        t->at += 2;
        return tw_str_puts(t->out, t->in_class ? "\\S\\x{180e}" : "[^" SPACE_MEMBERS "]", err);
    }
    bool punctuation =
        c > ' ' && c < 0x7F && !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
    bool same = c == 'n' || c == 'r' || c == 't' || c == 'f' || c == ' ' || punctuation;
    if (c == 'x' && t->n - t->at >= 4 && p[2] == '{') {
        const char *stop = memchr(p, '}', t->n - t->at);
        if (stop == NULL) {
            return refuse(t, p, 3, err);
        }
        size_t n = (size_t)(stop - p) + 1;
        t->at += n;
        return tw_str_append(t->out, p, n, err);
    }
    if (c == 'u' && t->n - t->at >= 6) {
        TW_TRY(tw_str_printf(t->out, err, "\\x{%.4s}", p + 2));
        t->at += 6;
        return TRAWL_OK;
    }
    if (!same) {
        return refuse(t, p, 2, err);
    }
    t->at += 2;
    return tw_str_append(t->out, p, 2, err);
}

/* After "(?": groups that mean the same in both. */
static bool known_group(const char *p, size_t n)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t length = strlen(known[i]);
        if (n >= length && memcmp(p, known[i], length) == 0) {
            return true;
        }
    }
    return false;
}

static trawl_status one(struct translation *t, struct trawl_error *err)
{
    const char *p = t->pattern + t->at;
    size_t left   = t->n - t->at;
    if (*p == '\\') {
        return escape(t, err);
    }
    if (t->in_class) {
        if (*p == '[' || (left >= 2 && p[0] == '&' && p[1] == '&')) {
            return refuse(t, p, *p == '[' ? 1 : 2, err);
        }
        t->in_class = *p != ']';
    } else if (*p == '[') {
        t->in_class = true;
        /* A "]" or "^]" at the start of a class is read differently by different engines. */
        if ((left >= 2 && p[1] == ']') || (left >= 3 && p[1] == '^' && p[2] == ']')) {
            return refuse(t, p, 2, err);
        }
    } else if (*p == '(' && left >= 2 && (p[1] == '*' || (p[1] == '?' && !known_group(p, left)))) {
        return refuse(t, p, left < 4 ? left : 4, err);
    } else if (*p == '}' && left >= 2 && (p[1] == '+' || p[1] == '?')) {
        /* {2}+ repeats again in Ruby and is possessive in PCRE2; {2}? differs likewise. */
        return refuse(t, p, 2, err);
    }
    TW_TRY(tw_str_putc(t->out, *p, err));
    t->at++;
    return TRAWL_OK;
}

static trawl_status translate(const char *pattern, size_t n, const char *what, struct tw_str *out,
                              struct trawl_error *err)
{
    struct translation t = {.pattern = pattern, .n = n, .what = what, .out = out};
    if (n > PATTERN_LIMIT) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: regular expression of %zu bytes, limit %d", what, n,
                       PATTERN_LIMIT);
    }
    while (t.at < t.n) {
        TW_TRY(one(&t, err));
    }
    return TRAWL_OK;
}

/* ---- compiling and matching ---- */

static trawl_status compile_translated(struct tw_regex *regex, const struct tw_str *text, const char *what,
                                       struct trawl_error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "%s: out of memory for a regular expression", what);
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code          = 0;
    PCRE2_SIZE offset = 0;
    regex->code       = pcre2_compile((PCRE2_SPTR)tw_str_text(text), text->size,
                                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (regex->code == NULL) {
        PCRE2_UCHAR reason[128] = {0};
        (void)pcre2_get_error_message(code, reason, sizeof reason);
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: regular expression cannot be compiled: %s", what,
                       (const char *)reason);
    }
    regex->jit = pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE) == 0;
    return TRAWL_OK;
}

trawl_status tw_regex_compile(const char *pattern, size_t n, const char *what, struct tw_regex **out,
                              struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    *out                = NULL;
    trawl_status status = translate(pattern, n, what, &text, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(1, sizeof **out, out, err);
    }
    if (status == TRAWL_OK) {
        status = compile_translated(*out, &text, what, err);
    }
    if (status != TRAWL_OK) {
        tw_regex_free(*out);
        *out = NULL;
    }
    tw_str_release(&text);
    return status;
}

void tw_regex_free(struct tw_regex *regex)
{
    if (regex != NULL) {
        pcre2_code_free(regex->code);
        tw_free(regex);
    }
}

trawl_status tw_regex_scratch_new(struct tw_regex_scratch **out, struct trawl_error *err)
{
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    struct tw_regex_scratch *s = *out;
    s->match                   = pcre2_match_data_create(1, NULL);
    s->context                 = pcre2_match_context_create(NULL);
    if (s->match == NULL || s->context == NULL) {
        tw_regex_scratch_free(s);
        *out = NULL;
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory: matching data of a regular expression");
    }
    pcre2_set_heap_limit(s->context, HEAP_LIMIT_KIB);
    pcre2_set_depth_limit(s->context, DEPTH_LIMIT);
    /* Without a stack of its own the JIT uses 32 KiB of the thread's, and the interpreter takes over where
     * that is not enough. */
    s->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (s->stack != NULL) {
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
    return TRAWL_OK;
}

void tw_regex_scratch_free(struct tw_regex_scratch *s)
{
    if (s != NULL) {
        pcre2_match_data_free(s->match);
        pcre2_match_context_free(s->context);
        pcre2_jit_stack_free(s->stack);
        tw_free(s);
    }
}

trawl_status tw_regex_next(const struct tw_regex *regex, struct tw_regex_scratch *s, const char *text,
                           size_t n, size_t from, bool *found, size_t *begin, size_t *end,
                           struct trawl_error *err)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc             = PCRE2_ERROR_JIT_STACKLIMIT;
    if (regex->jit) {
        rc = pcre2_jit_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK, s->match, s->context);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(regex->code, subject, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match,
                         s->context);
    }
    *found = rc >= 0;
    if (rc >= 0) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);
        *begin               = at[0];
        *end                 = at[1];
        return TRAWL_OK;
    }
    if (rc == PCRE2_ERROR_NOMATCH) {
        return TRAWL_OK;
    }
    PCRE2_UCHAR reason[128] = {0};
    (void)pcre2_get_error_message(rc, reason, sizeof reason);
    return tw_fail(err, TRAWL_ERR_LIMIT, "pre-tokenizer's regular expression failed at byte %zu of %zu: %s",
                   from, n, (const char *)reason);
}
