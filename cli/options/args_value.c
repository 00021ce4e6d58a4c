/* SPDX-License-Identifier: MIT */
#include "cli/options/args_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

void cli_value_release(struct cli_value *value)
{
    tw_free(value->ints);
    tw_free(value->texts);
    tw_free(value->copies);
    memset(value, 0, sizeof *value);
}

bool cli_word_blank(const char *word)
{
    return word[strspn(word, " \t\r\n")] == '\0';
}

bool cli_parse_bool(const char *word, bool *out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[]  = {"false", "no", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(word, yes[i]) == 0 || strcasecmp(word, no[i]) == 0) {
            *out = strcasecmp(word, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static trawl_status fail_value(struct trawl_error *err, const struct cli_option *option, const char *found,
                               const char *expected)
{
    return tw_fail(err, TRAWL_ERR_INVALID, "--%s: \"%s\" is not %s", option->name, found, expected);
}

/* ---- numbers ---- */

static bool read_int(const char *word, size_t n, int64_t *out)
{
    char digits[32];
    if (n == 0 || n >= sizeof digits) {
        return false;
    }
    memcpy(digits, word, n);
    digits[n]     = '\0';
    const char *p = digits + (digits[0] == '-' || digits[0] == '+');
    char *end     = NULL;
    if (!isdigit((unsigned char)*p)) {
        return false;
    }
    errno = 0;
    *out  = strtoll(digits, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool read_float(const char *word, double *out)
{
    /* No hexadecimal, no "nan" and "inf", no leading blanks. */
    if (*word == '\0' || word[strspn(word, "+-.0123456789eE")] != '\0') {
        return false;
    }
    char *end = NULL;
    *out      = strtod(word, &end);
    return *end == '\0' && isfinite(*out);
}

static trawl_status check_range(const struct cli_option *option, double v, const char *word, size_t n,
                                struct trawl_error *err)
{
    if (!option->has_range || (v >= option->min && v <= option->max)) {
        return TRAWL_OK;
    }
    if (isinf(option->max)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--%s is %.*s, expected at least %.16g", option->name, (int)n,
                       word, option->min);
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "--%s is %.*s, expected %.16g to %.16g", option->name, (int)n,
                   word, option->min, option->max);
}

static trawl_status check_choice(const struct cli_option *option, const char *word, struct trawl_error *err)
{
    const char *rest = option->choices, *piece;
    size_t n;
    if (!rest) {
        return TRAWL_OK;
    }
    while ((piece = cli_choice_next(&rest, &n)) != NULL) {
        if (strlen(word) == n && memcmp(word, piece, n) == 0) {
            return TRAWL_OK;
        }
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "--%s is \"%s\", expected %s", option->name, word,
                   option->choices);
}

static trawl_status set_int(int64_t *out, const struct cli_option *option, const char *word, size_t n,
                            struct trawl_error *err)
{
    if (!read_int(word, n, out)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--%s: \"%.*s\" is not an integer", option->name, (int)n,
                       word);
    }
    return check_range(option, (double)*out, word, n, err);
}

/* "64", "64k", "64KiB", "1.5G": powers of 1024. */
static bool read_size(const char *word, uint64_t *out)
{
    static const char units[] = "kmgt";
    size_t digits             = strspn(word, "0123456789.");
    char number[32];
    double v;
    if (digits == 0 || digits >= sizeof number) {
        return false;
    }
    memcpy(number, word, digits);
    number[digits] = '\0';
    if (!read_float(number, &v)) {
        return false;
    }
    const char *unit = word + digits;
    const char *at   = *unit ? strchr(units, tolower((unsigned char)*unit)) : NULL;
    if (at) {
        v = ldexp(v, 10 * (int)(at - units + 1));
        unit++;
        if (strcasecmp(unit, "ib") == 0) {
            unit += 2;
        }
    }
    if (strcasecmp(unit, "b") == 0) {
        unit++;
    }
    if (*unit || v >= 0x1p63) {
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

/* ---- lists ---- */

static trawl_status add_int(struct cli_value *value, const struct cli_option *option, const char *word,
                            size_t n, struct trawl_error *err)
{
    TW_TRY(tw_grow(&value->ints, &value->ints_capacity, value->n + 1, sizeof *value->ints, err));
    TW_TRY(set_int(&value->ints[value->n], option, word, n, err));
    value->n++;
    return TRAWL_OK;
}

static trawl_status add_text(struct cli_value *value, const char *text, struct trawl_error *err)
{
    TW_TRY(tw_grow(&value->texts, &value->texts_capacity, value->n + 1, sizeof *value->texts, err));
    value->texts[value->n++] = text;
    return TRAWL_OK;
}

static trawl_status set_ints(struct cli_value *value, const struct cli_option *option, size_t n_words,
                             const char *const *words, struct trawl_error *err)
{
    for (size_t i = 0; i < n_words; i++) {
        const char *p = words[i];
        while (*(p += strspn(p, ", \t"))) {
            size_t n = strcspn(p, ", \t");
            TW_TRY(add_int(value, option, p, n, err));
            p += n;
        }
    }
    if (value->n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--%s needs at least one integer", option->name);
    }
    return TRAWL_OK;
}

static trawl_status set_names(struct cli_value *value, const struct cli_option *option, size_t n_words,
                              const char *const *words, struct trawl_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n_words; i++) {
        total += strlen(words[i]) + 1;
    }
    TW_TRY(tw_alloc(total, 1, &value->copies, err));
    char *copy = value->copies;
    for (size_t i = 0; i < n_words; i++) {
        size_t len = strlen(words[i]) + 1;
        memcpy(copy, words[i], len);
        for (char *p = copy; *(p += strspn(p, ", \t"));) {
            size_t n  = strcspn(p, ", \t");
            bool last = p[n] == '\0';
            p[n]      = '\0';
            TW_TRY(add_text(value, p, err));
            p += n + !last;
        }
        copy += len;
    }
    if (value->n == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--%s needs at least one name", option->name);
    }
    return TRAWL_OK;
}

static trawl_status set_texts(struct cli_value *value, size_t n_words, const char *const *words,
                              struct trawl_error *err)
{
    for (size_t i = 0; i < n_words; i++) {
        TW_TRY(add_text(value, words[i], err));
    }
    return TRAWL_OK;
}

/* ---- mesh ---- */

static trawl_status set_mesh(struct cli_mesh *mesh, const struct cli_option *option, size_t n_words,
                             const char *const *words, struct trawl_error *err)
{
    static const char expected[] = "a mesh: two positive integers as \"2 2\" or \"2x2\", or auto";
    static const char cuts[]     = "xX*, \t";
    int64_t axis[2]              = {0, 0};
    size_t n_axes                = 0;
    if (n_words == 1 && strcasecmp(words[0], "auto") == 0) {
        *mesh = (struct cli_mesh){.automatic = true};
        return TRAWL_OK;
    }
    for (size_t i = 0; i < n_words; i++) {
        const char *p = words[i];
        while (*(p += strspn(p, cuts))) {
            size_t n = strcspn(p, cuts);
            if (n_axes == 2 || !read_int(p, n, &axis[n_axes]) || axis[n_axes] < 1 || axis[n_axes] > 65536) {
                return fail_value(err, option, words[i], expected);
            }
            n_axes++;
            p += n;
        }
    }
    if (n_axes != 2) {
        return fail_value(err, option, n_words ? words[0] : "", expected);
    }
    *mesh = (struct cli_mesh){.data = (int)axis[0], .model = (int)axis[1]};
    return TRAWL_OK;
}

/* ---- any ---- */

static trawl_status set_single(struct cli_value *value, const struct cli_option *option, const char *word,
                               struct trawl_error *err)
{
    TW_TRY(check_choice(option, word, err));
    switch (option->type) {
    case CLI_FLAG:
        return cli_parse_bool(word, &value->flag) ? TRAWL_OK : fail_value(err, option, word, "true or false");
    case CLI_INT: return set_int(&value->integer, option, word, strlen(word), err);
    case CLI_FLOAT:
        if (!read_float(word, &value->number)) {
            return fail_value(err, option, word, "a number");
        }
        return check_range(option, value->number, word, strlen(word), err);
    case CLI_SIZE:
        return read_size(word, &value->bytes)
                   ? TRAWL_OK
                   : fail_value(err, option, word, "a size such as 1048576, 512M or 2GiB");
    case CLI_PATH:
        if (*word == '\0') {
            return tw_fail(err, TRAWL_ERR_INVALID, "--%s is empty, expected a path", option->name);
        }
        break;
    case CLI_STRING:
    case CLI_INTS:
    case CLI_NAMES:
    case CLI_STRINGS:
    case CLI_PATHS:
    case CLI_MESH: break;
    }
    value->text = word;
    return TRAWL_OK;
}

trawl_status cli_value_set(struct cli_value *value, const struct cli_option *option, size_t n_words,
                           const char *const *words, struct trawl_error *err)
{
    cli_value_release(value);
    value->has = true;
    switch (option->type) {
    case CLI_INTS: return set_ints(value, option, n_words, words, err);
    case CLI_NAMES: return set_names(value, option, n_words, words, err);
    case CLI_STRINGS:
    case CLI_PATHS: return set_texts(value, n_words, words, err);
    case CLI_MESH: return set_mesh(&value->mesh, option, n_words, words, err);
    case CLI_FLAG:
    case CLI_STRING:
    case CLI_PATH:
    case CLI_INT:
    case CLI_FLOAT:
    case CLI_SIZE: break;
    }
    if (n_words == 0) {
        value->flag = true;
        return TRAWL_OK;
    }
    return set_single(value, option, words[0], err);
}

bool cli_value_fits(const struct cli_option *option, const char *word)
{
    struct cli_value value = {0};
    bool fits              = cli_value_set(&value, option, 1, &word, NULL) == TRAWL_OK;
    cli_value_release(&value);
    return fits;
}
