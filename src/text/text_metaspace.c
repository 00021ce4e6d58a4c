/* SPDX-License-Identifier: MIT */
#include "text/text_metaspace.h"

#include <string.h>

enum { MARK_BYTES = sizeof TW_METASPACE - 1 };

static bool begins_with_space(const char *text, size_t n)
{
    return text[0] == ' ' || (n >= MARK_BYTES && memcmp(text, TW_METASPACE, MARK_BYTES) == 0);
}

static trawl_status append_spaced(const char *text, size_t n, struct tw_str *out, struct trawl_error *err)
{
    while (n > 0) {
        const char *mark = memmem(text, n, TW_METASPACE, MARK_BYTES);
        size_t before    = mark == NULL ? n : (size_t)(mark - text);
        TW_TRY(tw_str_append(out, text, before, err));
        if (mark == NULL) {
            break;
        }
        TW_TRY(tw_str_putc(out, ' ', err));
        text += before + MARK_BYTES;
        n -= before + MARK_BYTES;
    }
    return TRAWL_OK;
}

trawl_status tw_metaspace_append(const struct tw_metaspace *m, const char *text, size_t n, bool first,
                                 struct tw_str *out, struct trawl_error *err)
{
    bool prefix = m->prefix == TW_METASPACE_EVERY ||
                  (!begins_with_space(text, n) &&
                   (m->prefix == TW_METASPACE_WORD || (m->prefix == TW_METASPACE_FIRST && first)));
    if (prefix) {
        TW_TRY(tw_str_putc(out, ' ', err));
    }
    return append_spaced(text, n, out, err);
}

trawl_status tw_metaspace_spell(const char *token, size_t n, struct tw_str *out, bool *spelt,
                                struct trawl_error *err)
{
    *spelt = memchr(token, ' ', n) == NULL;
    return *spelt ? append_spaced(token, n, out, err) : TRAWL_OK;
}
