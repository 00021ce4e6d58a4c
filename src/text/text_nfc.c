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

trawl_status tw_nfc_append(struct tw_nfc_scratch *s, const char *text, size_t n, struct tw_str *out,
                           struct trawl_error *err)
{
    if (n == 0) {
        return TRAWL_OK;
    }
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
