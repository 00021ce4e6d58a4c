/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/text_load.h"

void tw_detokenizer_init(struct tw_detokenizer *d, const struct tw_tokenizer *tokenizer, bool skip_special)
{
    *d = (struct tw_detokenizer){.tokenizer = tokenizer, .skip_special = skip_special};
}

/* Two bytes of what would be a surrogate can no longer become a character, but Python's incremental decoder
 * waits for the third: so does this, so that chunks are those of servers written in Python. */
static bool starts_surrogate(const char *bytes, size_t n)
{
    return n == 2 && (unsigned char)bytes[0] == 0xED && (unsigned char)bytes[1] >= 0xA0 &&
           (unsigned char)bytes[1] <= 0xBF;
}

/* Append bytes[0..n) up to the last character that could still be completed; *rest says where that one
 * begins (n: nowhere). What is no UTF-8 becomes U+FFFD, one for each maximal subpart. */
static trawl_status append_text(struct tw_str *out, const char *bytes, size_t n, size_t *rest,
                                struct trawl_error *err)
{
    size_t i = 0;
    while (i < n) {
        size_t good = i;
        while (good < n) {
            size_t step =
                (unsigned char)bytes[good] < 0x80 ? 1 : tw_utf8_decode(bytes + good, n - good, NULL);
            if (step == 0) {
                break;
            }
            good += step;
        }
        TW_TRY(tw_str_append(out, bytes + i, good - i, err));
        i = good;
        if (i == n) {
            break;
        }
        size_t part = tw_utf8_incomplete(bytes + i, n - i);
        if ((part > 0 && part == n - i) || starts_surrogate(bytes + i, n - i)) {
            break;
        }
        TW_TRY(tw_str_puts(out, "\xEF\xBF\xBD", err));
        i += part == 0 ? 1 : part;
    }
    *rest = i;
    return TRAWL_OK;
}

trawl_status tw_detokenizer_push(struct tw_detokenizer *d, int32_t id, struct tw_str *out,
                                 struct trawl_error *err)
{
    size_t n          = 0;
    const char *piece = tw_tokenizer_piece(d->tokenizer, id, &n);
    if (n == 0 || (d->skip_special && tw_tokenizer_is_special(d->tokenizer, id))) {
        return TRAWL_OK;
    }
    if (!d->begun && d->tokenizer->metaspace.strips && piece[0] == ' ') {
        piece++;
        n--;
    }
    d->begun = true;
    /* Only the bytes that may belong to the character held back are joined with it. */
    char joined[8];
    size_t used = 0;
    size_t rest = 0;
    if (d->n_held > 0) {
        used = tw_min_size(n, sizeof joined - d->n_held);
        memcpy(joined, d->held, d->n_held);
        memcpy(joined + d->n_held, piece, used);
        size_t n_joined = d->n_held + used;
        TW_TRY(append_text(out, joined, n_joined, &rest, err));
        d->n_held = n_joined - rest;
        memcpy(d->held, joined + rest, d->n_held);
        if (used < n && d->n_held > 0) {
            /* The incomplete end lies in the piece: at least 8 bytes were joined, at most 3 are left. */
            used -= d->n_held;
            d->n_held = 0;
        }
    }
    if (used < n) {
        TW_TRY(append_text(out, piece + used, n - used, &rest, err));
        d->n_held = n - used - rest;
        memcpy(d->held, piece + used + rest, d->n_held);
    }
    return TRAWL_OK;
}

trawl_status tw_detokenizer_flush(struct tw_detokenizer *d, struct tw_str *out, struct trawl_error *err)
{
    while (d->n_held > 0) {
        size_t part = tw_utf8_incomplete(d->held, d->n_held);
        size_t used = part == 0 ? 1 : part;
        TW_TRY(tw_str_puts(out, "\xEF\xBF\xBD", err));
        memmove(d->held, d->held + used, d->n_held - used);
        d->n_held -= used;
    }
    d->begun = false;
    return TRAWL_OK;
}

trawl_status tw_decode(const struct tw_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                       struct tw_str *out, struct trawl_error *err)
{
    struct tw_detokenizer d;
    size_t before       = out->size;
    trawl_status status = TRAWL_OK;
    tw_detokenizer_init(&d, tokenizer, skip_special);
    for (size_t i = 0; i < n && status == TRAWL_OK; i++) {
        status = tw_detokenizer_push(&d, ids[i], out, err);
    }
    if (status == TRAWL_OK) {
        status = tw_detokenizer_flush(&d, out, err);
    }
    if (status != TRAWL_OK && out->data != NULL) {
        out->size         = before;
        out->data[before] = '\0';
    }
    return status;
}
