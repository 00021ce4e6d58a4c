/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang_analyzer__
#    undef tw_fail
#    undef tw_fail_os
#    undef tw_fail_prefix
#endif

const char *trawl_status_name(trawl_status status)
{
    switch (status) {
    case TRAWL_OK: return "ok";
    case TRAWL_ERR_INVALID: return "invalid";
    case TRAWL_ERR_NOMEM: return "out of memory";
    case TRAWL_ERR_IO: return "io";
    case TRAWL_ERR_FORMAT: return "format";
    case TRAWL_ERR_UNSUPPORTED: return "unsupported";
    case TRAWL_ERR_LIMIT: return "limit";
    case TRAWL_ERR_COMM: return "communication";
    case TRAWL_ERR_EXISTS: return "exists";
    case TRAWL_ERR_CANCELLED: return "cancelled";
    }
    return "unknown";
}

/* A message that was cut ends in "..." and never in half a UTF-8 character. */
static void mark_cut(char *text, size_t capacity)
{
    size_t end = capacity - 4;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    memcpy(text + end, "...", 4);
}

__attribute__((format(printf, 2, 0))) static void set_message(struct trawl_error *err, const char *format,
                                                              va_list args)
{
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    if (n < 0) {
        err->message[0] = '\0';
    } else if ((size_t)n >= sizeof err->message) {
        mark_cut(err->message, sizeof err->message);
    }
}

/* ": tail" after the message. */
static void append_message(struct trawl_error *err, const char *tail)
{
    size_t used = strlen(err->message);
    int n       = snprintf(err->message + used, sizeof err->message - used, ": %s", tail);
    if (n > 0 && used + (size_t)n >= sizeof err->message) {
        mark_cut(err->message, sizeof err->message);
    }
}

trawl_status tw_fail(struct trawl_error *err, trawl_status status, const char *format, ...)
{
    if (err != NULL) {
        err->status   = status;
        err->os_error = 0;
        err->rank     = -1;
        va_list args;
        va_start(args, format);
        set_message(err, format, args);
        va_end(args);
    }
    return status;
}

trawl_status tw_fail_os(struct trawl_error *err, int os_error, const char *format, ...)
{
    trawl_status status = os_error == ENOMEM ? TRAWL_ERR_NOMEM : TRAWL_ERR_IO;
    if (err != NULL) {
        err->status   = status;
        err->os_error = os_error;
        err->rank     = -1;
        va_list args;
        va_start(args, format);
        set_message(err, format, args);
        va_end(args);
        char text[128];
        append_message(err, strerror_r(os_error, text, sizeof text)); /* the GNU one: returns the text */
    }
    return status;
}

trawl_status tw_fail_prefix(struct trawl_error *err, trawl_status status, const char *format, ...)
{
    if (err != NULL) {
        char old[sizeof err->message];
        memcpy(old, err->message, sizeof old);
        va_list args;
        va_start(args, format);
        set_message(err, format, args);
        va_end(args);
        append_message(err, old);
    }
    return status;
}

void tw_bug(const char *file, int line, const char *condition)
{
    (void)fprintf(stderr, "trawl: internal error at %s:%d: %s\n", file, line, condition);
    abort();
}
