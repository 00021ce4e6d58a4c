/* SPDX-License-Identifier: MIT */
#include "text/text_nfc.h"

#include <utf8proc.h>

#include "base/alloc.h"
#include "base/utf8.h"

static void mark(struct tw_nfc *nfc, int32_t c)
{
    if (c >= 0 && c < TW_NFC_LIMIT) {
        nfc->unsafe[c / 64] |= (uint64_t)1 << (c % 64);
    }
}

static bool marked(const struct tw_nfc *nfc, uint32_t c)
{
    return c < TW_NFC_LIMIT && (nfc->unsafe[c / 64] >> (c % 64) & 1) != 0;
}

/* A character with a canonical decomposition changes if it does not compose back to itself; whatever
 * follows the first character of a decomposition may compose with what comes before it. */
static void mark_decomposition(struct tw_nfc *nfc, int32_t c)
{
    utf8proc_int32_t parts[8];
    int boundary       = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 8, UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
    if (n <= 0 || n > 8) {
        mark(nfc, c);
        return;
    }
    for (utf8proc_ssize_t i = 1; i < n; i++) {
        mark(nfc, parts[i]);
    }
    n = utf8proc_normalize_utf32(parts, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n != 1 || parts[0] != c) {
        mark(nfc, c);
    }
}

trawl_status tw_nfc_new(struct tw_nfc **out, struct trawl_error *err)
{
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    struct tw_nfc *nfc = *out;
    for (int32_t c = 0x80; c < TW_NFC_LIMIT; c++) {
        const utf8proc_property_t *p = utf8proc_get_property(c);
        if (p->combining_class != 0) {
            mark(nfc, c);
        }
        if (p->decomp_seqindex != UINT16_MAX && p->decomp_type == 0) {
            mark_decomposition(nfc, c);
        }
    }
    /* Hangul composes by rule, not by table: vowel and trailing jamo. */
    for (int32_t c = 0x1161; c <= 0x1175; c++) {
        mark(nfc, c);
    }
    for (int32_t c = 0x11A8; c <= 0x11C2; c++) {
        mark(nfc, c);
    }
    return TRAWL_OK;
}

void tw_nfc_scratch_release(struct tw_nfc_scratch *s)
{
    tw_free(s->codepoints);
    *s = (struct tw_nfc_scratch){0};
}

bool tw_nfc_check(const struct tw_nfc *nfc, const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t c  = 0;
        size_t step = tw_utf8_decode(text + i, n - i, &c);
        if (step == 0 || marked(nfc, c)) {
            return false;
        }
        i += step;
    }
    return true;
}

/* Combining characters, and first parts of compositions, that came after Unicode 9. The normalizer of the
 * tokenizers package does not know them: to it they are characters that stand alone, and nothing is reordered
 * around them or composed with them. */
static const struct {
    int32_t from, to; /* included */
} strangers[] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x105C0, 0x105FF}, {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC},
    {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x11380, 0x113FF}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x1193D, 0x1193E},
    {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16100, 0x1613F},
    {0x16D40, 0x16D7F}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF},
};

static bool is_stranger(int32_t c)
{
    size_t low = 0, high = sizeof strangers / sizeof *strangers;
    if (c < strangers[0].from) {
        return false;
    }
    while (high - low > 1) { /* strangers[low].from <= c < strangers[high].from */
        size_t middle = low + (high - low) / 2;
        if (strangers[middle].from <= c) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return c <= strangers[low].to;
}

/* Length of the beginning of text[0..n) that holds no stranger, or of a run of them. */
static size_t part_length(const char *text, size_t n, bool *strange)
{
    size_t i = 0;
    *strange = false;
    while (i < n) {
        uint32_t c  = (unsigned char)text[i];
        size_t step = c < 0x80 ? 1 : tw_utf8_decode(text + i, n - i, &c);
        if (is_stranger((int32_t)c) != *strange) {
            if (i > 0) {
                break;
            }
            *strange = true;
        }
        i += step == 0 ? 1 : step;
    }
    return i;
}

static trawl_status append_part(struct tw_nfc_scratch *s, const char *text, size_t n, struct tw_str *out,
                                struct trawl_error *err)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    /* First guess one code point a byte: only a few long decompositions need more. */
    TW_TRY(tw_grow(&s->codepoints, &s->capacity, n + 16, sizeof *s->codepoints, err));
    utf8proc_ssize_t count =
        utf8proc_decompose(bytes, (utf8proc_ssize_t)n, s->codepoints, (utf8proc_ssize_t)s->capacity,
                           UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (count > (utf8proc_ssize_t)s->capacity) {
        TW_TRY(tw_grow(&s->codepoints, &s->capacity, (size_t)count, sizeof *s->codepoints, err));
        count = utf8proc_decompose(bytes, (utf8proc_ssize_t)n, s->codepoints, (utf8proc_ssize_t)s->capacity,
                                   UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    if (count >= 0) {
        count = utf8proc_normalize_utf32(s->codepoints, count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    if (count < 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "text cannot be normalised: %s", utf8proc_errmsg(count));
    }
    TW_TRY(tw_str_reserve(out, 4 * (size_t)count, err));
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        out->size += tw_utf8_encode((uint32_t)s->codepoints[i], out->data + out->size);
    }
    out->data[out->size] = '\0';
    return TRAWL_OK;
}

trawl_status tw_nfc_append(struct tw_nfc_scratch *s, const char *text, size_t n, struct tw_str *out,
                           struct trawl_error *err)
{
    while (n > 0) {
        bool strange  = false;
        size_t length = part_length(text, n, &strange);
        TW_TRY(strange ? tw_str_append(out, text, length, err) : append_part(s, text, length, out, err));
        text += length;
        n -= length;
    }
    return TRAWL_OK;
}
