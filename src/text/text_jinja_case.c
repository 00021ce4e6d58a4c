/* SPDX-License-Identifier: MIT */
#include "text/text_jinja_case.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/text_jinja_eval.h"

/* Characters whose upper or title case is more than one character (SpecialCasing.txt). */
static bool expands(uint32_t c)
{
    static const struct {
        uint32_t from;
        uint32_t to;
    } ranges[] = {{0x149, 0x149},   {0x1F0, 0x1F0},   {0x390, 0x390},   {0x3B0, 0x3B0},   {0x587, 0x587},
                  {0x1E96, 0x1E9A}, {0x1F50, 0x1F50}, {0x1F52, 0x1F52}, {0x1F54, 0x1F54}, {0x1F56, 0x1F56},
                  {0x1F80, 0x1FAF}, {0x1FB2, 0x1FB4}, {0x1FB6, 0x1FB7}, {0x1FBC, 0x1FBC}, {0x1FC2, 0x1FC4},
                  {0x1FC6, 0x1FC7}, {0x1FCC, 0x1FCC}, {0x1FD2, 0x1FD3}, {0x1FD6, 0x1FD7}, {0x1FE2, 0x1FE4},
                  {0x1FE6, 0x1FE7}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FF7}, {0x1FFC, 0x1FFC}, {0xFB00, 0xFB06},
                  {0xFB13, 0xFB17}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (c >= ranges[i].from && c <= ranges[i].to) {
            return true;
        }
    }
    return false;
}

static bool is_cased(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
           utf8proc_toupper((utf8proc_int32_t)c) != (utf8proc_int32_t)c ||
           utf8proc_tolower((utf8proc_int32_t)c) != (utf8proc_int32_t)c;
}

/* Write `c` in the wanted case; 0: it would be several characters, or depend on its neighbours. */
static size_t put(uint32_t c, enum tw_case to, char out[4])
{
    utf8proc_int32_t from = (utf8proc_int32_t)c;
    bool odd              = to == TW_CASE_LOWER ? c == 0x130 || c == 0x3A3 : expands(c);
    if (odd) {
        return 0;
    }
    if (c == 0xDF && to != TW_CASE_LOWER) {
        out[0] = 'S';
        out[1] = to == TW_CASE_UPPER ? 'S' : 's';
        return 2;
    }
    if (to == TW_CASE_LOWER) {
        return tw_utf8_encode((uint32_t)utf8proc_tolower(from), out);
    }
    return tw_utf8_encode((uint32_t)(to == TW_CASE_UPPER ? utf8proc_toupper(from) : utf8proc_totitle(from)),
                          out);
}

trawl_status tw_text_change_case(struct tw_render *r, struct tw_text text, enum tw_case to,
                                 struct tw_value *out)
{
    char *bytes = NULL;
    size_t n    = 0;
    bool start  = true; /* of the text, or of a run of letters */
    TW_TRY(tw_render_charge(r, text.n / 16));
    TW_TRY(tw_arena_alloc(&r->arena, 3 * text.n + 4, 1, &bytes, r->err));
    for (size_t i = 0; i < text.n;) {
        uint32_t c  = 0xFFFD;
        size_t step = tw_utf8_decode(text.s + i, text.n - i, &c);
        size_t used = 0;
        bool title  = to == TW_CASE_CAPITALIZE || to == TW_CASE_TITLE;
        if (title) {
            used = put(c, start ? TW_CASE_TITLE : TW_CASE_LOWER, bytes + n);
        } else {
            used = put(c, to, bytes + n);
        }
        if (used == 0) {
            return tw_render_fail(r, TRAWL_ERR_UNSUPPORTED, "changing the case of U+%04X is not supported",
                                  (unsigned)c);
        }
        n += used;
        start = to == TW_CASE_TITLE ? !is_cased(c) : false;
        i += step == 0 ? 1 : step;
    }
    *out = tw_value_text(bytes, n);
    return TRAWL_OK;
}

bool tw_text_has_case(struct tw_text text, bool upper)
{
    bool any = false;
    for (size_t i = 0; i < text.n;) {
        uint32_t c            = 0xFFFD;
        size_t step           = tw_utf8_decode(text.s + i, text.n - i, &c);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (k == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU) || k == UTF8PROC_CATEGORY_LT) {
            return false;
        }
        any = any || k == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
        i += step == 0 ? 1 : step;
    }
    return any;
}
