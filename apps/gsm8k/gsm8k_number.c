/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_number.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 512, DIGITS_EXACT = 18 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- decimals ---- */

size_t tw_gsm8k_decimal(const char *text, size_t n)
{
    size_t i = n > 0 && text[0] == '-' ? 1 : 0, digits = i;
    while (i < n &&
           (is_digit(text[i]) || (i > digits && text[i] == ',' && i + 1 < n && is_digit(text[i + 1])))) {
        i++;
    }
    bool whole = i > digits;
    if (i + 1 < n && text[i] == '.' && is_digit(text[i + 1])) {
        i++;
        while (i < n && is_digit(text[i])) {
            i++;
        }
    } else if (!whole) {
        return 0;
    }
    return i;
}

void tw_gsm8k_decimal_text(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES])
{
    size_t used = 0, i = 0;
    bool fraction = false;
    if (text[0] == '-') {
        out[used++] = '-';
        i++;
    }
    while (i + 1 < n && text[i] == '0' && (is_digit(text[i + 1]) || text[i + 1] == ',')) {
        i += text[i + 1] == ',' ? 2 : 1;
    }
    if (i < n && text[i] == '.') {
        out[used++] = '0';
    }
    for (; i < n && used + 1 < TW_GSM8K_NUMBER_BYTES; i++) {
        fraction = fraction || text[i] == '.';
        if (text[i] != ',') {
            out[used++] = text[i];
        }
    }
    while (fraction && out[used - 1] == '0') {
        used--;
    }
    used -= fraction && out[used - 1] == '.' ? 1 : 0;
    out[used] = '\0';
    if (strcmp(out, "-0") == 0) {
        memcpy(out, "0", 2);
    }
}

/* ---- fractions ---- */

struct ratio {
    int64_t p, q; /* p / q, q > 0, in lowest terms */
};

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a            = b;
        b            = rest;
    }
    return a < 0 ? -a : a;
}

static bool make_ratio(int64_t p, int64_t q, struct ratio *out)
{
    if (q == 0 || p == INT64_MIN || q == INT64_MIN) {
        return false;
    }
    int64_t d = gcd(p, q) * (q < 0 ? -1 : 1);
    *out      = (struct ratio){p / d, q / d};
    return true;
}

/* A canonical decimal of at most DIGITS_EXACT digits, which 64 bits hold. */
static bool decimal_ratio(const char *text, struct ratio *out)
{
    int64_t p = 0, q = 1;
    size_t digits = 0;
    bool fraction = false;
    for (const char *c = text + (text[0] == '-'); *c != '\0'; c++) {
        if (*c == '.') {
            fraction = true;
            continue;
        }
        if (++digits > DIGITS_EXACT) {
            return false;
        }
        p = p * 10 + (*c - '0');
        q *= fraction ? 10 : 1;
    }
    return make_ratio(text[0] == '-' ? -p : p, q, out);
}

static bool divide(struct ratio a, struct ratio b, struct ratio *out)
{
    int64_t p, q;
    return !__builtin_mul_overflow(a.p, b.q, &p) && !__builtin_mul_overflow(a.q, b.p, &q) &&
           make_ratio(p, q, out);
}

static bool add(struct ratio a, struct ratio b, struct ratio *out)
{
    int64_t x, y, p, q;
    return !__builtin_mul_overflow(a.p, b.q, &x) && !__builtin_mul_overflow(b.p, a.q, &y) &&
           !__builtin_add_overflow(x, y, &p) && !__builtin_mul_overflow(a.q, b.q, &q) &&
           make_ratio(p, q, out);
}

/* As a decimal where it ends within the digits that are kept exactly. */
static void write_ratio(struct ratio r, char out[TW_GSM8K_NUMBER_BYTES])
{
    int64_t p = r.p < 0 ? -r.p : r.p, rest = p % r.q;
    const char *sign = r.p < 0 ? "-" : "";
    size_t n = (size_t)snprintf(out, TW_GSM8K_NUMBER_BYTES, "%s%" PRId64, sign, p / r.q), whole = n;
    while (rest > 0 && n - whole <= DIGITS_EXACT && rest <= INT64_MAX / 10) {
        if (n == whole) {
            out[n++] = '.';
        }
        out[n++] = (char)('0' + rest * 10 / r.q);
        rest     = rest * 10 % r.q;
    }
    out[n] = '\0';
    if (rest > 0) {
        (void)snprintf(out, TW_GSM8K_NUMBER_BYTES, "%" PRId64 "/%" PRId64, r.p, r.q);
    }
}

/* ---- a line ---- */

struct line {
    char text[LINE_BYTES];
    size_t n;
};

/* A line longer than any answer is cut. */
static void put(struct line *l, char c)
{
    if (l->n < LINE_BYTES) {
        l->text[l->n++] = c;
    }
}

/* One argument of \frac: "{12}" or "1". Returns the bytes it takes. */
static size_t put_argument(struct line *l, const char *text, size_t n)
{
    if (n == 0 || text[0] != '{') {
        put(l, n > 0 ? text[0] : ' ');
        return n > 0;
    }
    size_t i = 1;
    for (; i < n && text[i] != '}'; i++) {
        put(l, text[i]);
    }
    return i < n ? i + 1 : n;
}

static bool is_word(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(text, word, n) == 0;
}

/* What stands behind a backslash. Returns the bytes it takes. */
static size_t put_command(struct line *l, const char *text, size_t n)
{
    size_t word = 0;
    while (word < n && is_letter(text[word])) {
        word++;
    }
    if (word == 0) { /* \$ \% are the sign alone; \! and \, set thousands apart; other signs are blanks */
        if (n > 0 && strchr("$%!,", text[0]) == NULL) {
            put(l, ' ');
        }
        return n > 0;
    }
    bool frac = is_word(text, word, "frac") || is_word(text, word, "dfrac") || is_word(text, word, "tfrac");
    bool sum  = is_word(text, word, "times") || is_word(text, word, "cdot") || is_word(text, word, "div");
    if (!frac) {
        put(l, sum ? '*' : ' ');
    } else {
        if (l->n > 0 && is_digit(l->text[l->n - 1])) {
            put(l, ' '); /* 1\frac{1}{2} */
        }
        size_t first = word + put_argument(l, text + word, n - word);
        put(l, '/');
        word = first + put_argument(l, text + first, n - first);
    }
    return word;
}

/* LaTeX as plain text: "\text{a} \frac{1}{2}" is " a  1/2". */
static void make_plain(struct line *l, const char *text, size_t n)
{
    l->n = 0;
    for (size_t i = 0; i < n;) {
        if (n - i >= 3 && memcmp(text + i, "{,}", 3) == 0) {
            put(l, ',');
            i += 3;
        } else if (text[i] == '\\') {
            i += 1 + put_command(l, text + i + 1, n - i - 1);
        } else {
            if (text[i] != '$') {
                put(l, text[i] == '{' || text[i] == '}' || text[i] == '~' ? ' ' : text[i]);
            }
            i++;
        }
    }
}

static size_t skip_blanks(const struct line *l, size_t i)
{
    while (i < l->n && l->text[i] == ' ') {
        i++;
    }
    return i;
}

/* The decimal at *i, without a sign. */
static bool take_decimal(const struct line *l, size_t *i, char out[TW_GSM8K_NUMBER_BYTES])
{
    size_t n = *i < l->n && l->text[*i] != '-' ? tw_gsm8k_decimal(l->text + *i, l->n - *i) : 0;
    if (n > 0) {
        tw_gsm8k_decimal_text(l->text + *i, n, out);
        *i += n;
    }
    return n > 0;
}

/* The denominator behind the number at *i, if a slash and a number are there. */
static bool take_denominator(const struct line *l, size_t *i, char out[TW_GSM8K_NUMBER_BYTES])
{
    size_t slash = skip_blanks(l, *i), at = slash;
    if (slash == l->n || l->text[slash] != '/') {
        return false;
    }
    at = skip_blanks(l, slash + 1);
    if (!take_decimal(l, &at, out)) {
        return false;
    }
    *i = at;
    return true;
}

static bool fraction_of(const char *p, const char *q, struct ratio *out)
{
    struct ratio a, b;
    return decimal_ratio(p, &a) && decimal_ratio(q, &b) && divide(a, b, out);
}

/* "3", "3/4" or "1 3/4" from *i on, as text without a sign; *i ends behind it. */
static bool take_value(const struct line *l, size_t *i, char out[TW_GSM8K_NUMBER_BYTES])
{
    char first[TW_GSM8K_NUMBER_BYTES], second[TW_GSM8K_NUMBER_BYTES], third[TW_GSM8K_NUMBER_BYTES];
    struct ratio whole, part;
    if (!take_decimal(l, i, first)) {
        return false;
    }
    if (take_denominator(l, i, second)) {
        if (!fraction_of(first, second, &part)) {
            return false;
        }
        write_ratio(part, out);
        return true;
    }
    size_t at = skip_blanks(l, *i);
    if (at > *i && take_decimal(l, &at, second) && take_denominator(l, &at, third)) {
        *i = at;
        if (!fraction_of(second, third, &part) || !decimal_ratio(first, &whole) || !add(whole, part, &part)) {
            return false;
        }
        write_ratio(part, out);
        return true;
    }
    memcpy(out, first, sizeof first);
    return true;
}

static bool starts_number(const struct line *l, size_t i)
{
    return is_digit(l->text[i]) || (l->text[i] == '.' && i + 1 < l->n && is_digit(l->text[i + 1]));
}

/* Behind the last "=" that has a number behind it. */
static size_t find_begin(const struct line *l)
{
    size_t begin = 0, equals = 0;
    for (size_t i = 0; i < l->n; i++) {
        equals = l->text[i] == '=' ? i + 1 : equals;
        begin  = starts_number(l, i) ? equals : begin;
    }
    return begin;
}

/* Does what stands behind a number make it a part of an expression? */
static bool goes_on(const struct line *l, size_t i)
{
    i = skip_blanks(l, i);
    if (i == l->n || strchr("*^+-/", l->text[i]) == NULL) {
        return false;
    }
    i = skip_blanks(l, i + 1);
    return i < l->n && starts_number(l, i);
}

bool tw_gsm8k_number(const char *text, size_t n, char out[TW_GSM8K_NUMBER_BYTES])
{
    struct line l;
    char value[TW_GSM8K_NUMBER_BYTES];
    make_plain(&l, text, n);
    size_t begin = find_begin(&l), i = begin;
    while (i < l.n && !starts_number(&l, i)) {
        i++;
    }
    /* a hyphen behind a word is no sign */
    bool sign = i > begin && l.text[i - 1] == '-' && (i - 1 == begin || l.text[i - 2] == ' ');
    if (!take_value(&l, &i, value) || goes_on(&l, i)) {
        return false;
    }
    sign         = sign && strcmp(value, "0") != 0;
    size_t bytes = strlen(value);
    bytes -= sign && bytes + 1 == TW_GSM8K_NUMBER_BYTES; /* one digit gives way to the sign */
    out[0] = '-';
    memcpy(out + sign, value, bytes);
    out[sign + bytes] = '\0';
    return true;
}
