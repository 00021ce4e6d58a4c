/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_ini.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

struct span {
    const char *at;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(const char *at, size_t n)
{
    while (n > 0 && is_blank(at[0])) {
        at++;
        n--;
    }
    while (n > 0 && is_blank(at[n - 1])) {
        n--;
    }
    return (struct span){at, n};
}

static bool is_word(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

/* "[name]" and "[profile name]", which ~/.aws/config writes. */
static bool is_section(struct span line, const char *section)
{
    const char *close = memchr(line.at, ']', line.n);
    if (close == NULL) {
        return false;
    }
    struct span name = trim(line.at + 1, (size_t)(close - line.at) - 1);
    if (is_word(name, section)) {
        return true;
    }
    return name.n > 8 && memcmp(name.at, "profile", 7) == 0 && is_blank(name.at[7]) &&
           is_word(trim(name.at + 8, name.n - 8), section);
}

static struct span value_of(struct span line, const char *equals)
{
    struct span value = trim(equals + 1, (size_t)(line.at + line.n - equals) - 1);
    for (size_t i = 1; i < value.n; i++) {
        if ((value.at[i] == '#' || value.at[i] == ';') && is_blank(value.at[i - 1])) {
            return trim(value.at, i);
        }
    }
    return value;
}

trawl_status tw_ini_get(const char *text, size_t n, const char *section, const char *key, char **out,
                        struct trawl_error *err)
{
    struct span found = {NULL, 0};
    bool inside       = false;
    *out              = NULL;
    for (size_t at = 0; at < n;) {
        const char *newline = memchr(text + at, '\n', n - at);
        size_t stop         = newline == NULL ? n : (size_t)(newline - text);
        bool nested         = is_blank(text[at]) && text[at] != '\r';
        struct span line    = trim(text + at, stop - at);
        at                  = stop + 1;
        if (line.n == 0 || nested || line.at[0] == '#' || line.at[0] == ';') {
            continue;
        }
        if (line.at[0] == '[') {
            inside = is_section(line, section);
            continue;
        }
        const char *equals = memchr(line.at, '=', line.n);
        if (inside && equals != NULL && is_word(trim(line.at, (size_t)(equals - line.at)), key)) {
            struct span value = value_of(line, equals);
            found             = value.n > 0 ? value : found;
        }
    }
    return found.at == NULL ? TRAWL_OK : tw_strndup(found.at, found.n, out, err);
}
