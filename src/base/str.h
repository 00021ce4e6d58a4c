/* SPDX-License-Identifier: MIT */
/* A growable byte string, the one text builder of the code base. Bytes may contain NUL; `data` is
 * always NUL terminated once anything was appended. A string never grows over its limit. */
#ifndef TW_BASE_STR_H
#define TW_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct tw_str {
    char *data;  /* owned; NULL while empty */
    size_t size; /* bytes, the terminator not counted */
    size_t capacity;
    size_t limit; /* 0: no limit but memory */
};

void tw_str_init(struct tw_str *s, size_t limit);
void tw_str_release(struct tw_str *s);
void tw_str_reset(struct tw_str *s); /* empty again, memory kept */
trawl_status tw_str_reserve(struct tw_str *s, size_t bytes, struct trawl_error *err);
trawl_status tw_str_append(struct tw_str *s, const void *bytes, size_t n, struct trawl_error *err);
trawl_status tw_str_puts(struct tw_str *s, const char *text, struct trawl_error *err);
trawl_status tw_str_putc(struct tw_str *s, char c, struct trawl_error *err);
trawl_status tw_str_printf(struct tw_str *s, struct trawl_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "3 of 8" and nothing else: two decimal numbers. False for any other text, which leaves both as they were. */
bool tw_parse_part(const char *text, unsigned *part, unsigned *parts);
/* A short decimal number that reads back as v, which is finite: 0.7, not 0.69999999999999996. */
enum { TW_DOUBLE_BYTES = 40 };
void tw_double_text(double v, char text[TW_DOUBLE_BYTES]);
void tw_float_text(float v, char text[TW_DOUBLE_BYTES]);
/* The content, "" when empty; valid until the next change. */
const char *tw_str_text(const struct tw_str *s);

#endif /* TW_BASE_STR_H */
