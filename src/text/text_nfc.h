/* SPDX-License-Identifier: MIT */
/* Unicode normalization form C, with a quick check that leaves text alone that is in it already. */
#ifndef TW_TEXT_NFC_H
#define TW_TEXT_NFC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* One bit per code point below NFC_LIMIT that must not be skipped over: it changes under NFC, or may do
 * so beside others. Text without any is in NFC. Nothing above the limit has a decomposition. */
enum { TW_NFC_LIMIT = 0x30000 };

struct tw_nfc {
    uint64_t unsafe[TW_NFC_LIMIT / 64];
};

/* 24 KiB from utf8proc's tables in half a millisecond. */
trawl_status tw_nfc_new(struct tw_nfc **out, struct trawl_error *err);

struct tw_nfc_scratch {
    int32_t *codepoints;
    size_t capacity;
};

void tw_nfc_scratch_release(struct tw_nfc_scratch *s);

/* True when text (UTF-8) is certainly in NFC. */
bool tw_nfc_check(const struct tw_nfc *nfc, const char *text, size_t n);
/* Append the NFC of text (UTF-8) to out. */
trawl_status tw_nfc_append(struct tw_nfc_scratch *s, const char *text, size_t n, struct tw_str *out,
                           struct trawl_error *err);

#endif /* TW_TEXT_NFC_H */
