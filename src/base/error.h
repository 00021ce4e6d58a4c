/* SPDX-License-Identifier: MIT */
/* How a failure is made and passed on: one function, one macro. */
#ifndef TW_BASE_ERROR_H
#define TW_BASE_ERROR_H

#include <stdarg.h>

#include "trawl/status.h"

/* Fill `err` (may be NULL) and return `status`, so that a failure is one statement:
 *     return tw_fail(err, TRAWL_ERR_FORMAT, "%s: header is %zu bytes, limit %zu", path, n, limit);
 * The message names the thing at fault and what was expected; no "error:", no newline, no full stop.
 * Text that does not fit is cut at a character boundary and ends in "...". */
trawl_status tw_fail(struct trawl_error *err, trawl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with errno: appends ": " and the system's text for `os_error`. TRAWL_ERR_IO, or
 * TRAWL_ERR_NOMEM for ENOMEM. */
trawl_status tw_fail_os(struct trawl_error *err, int os_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "prefix: " before the message of an error that already happened; returns its status. */
trawl_status tw_fail_prefix(struct trawl_error *err, trawl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The analyzer does not see into error.c: these never return TRAWL_OK. */
#ifdef __clang_analyzer__
#    define tw_fail(err, status, ...)        ((void)tw_fail(err, status, __VA_ARGS__), (status))
#    define tw_fail_os(err, os_error, ...)   ((void)tw_fail_os(err, os_error, __VA_ARGS__), TRAWL_ERR_IO)
#    define tw_fail_prefix(err, status, ...) ((void)tw_fail_prefix(err, status, __VA_ARGS__), (status))
#endif

/* The one control-flow macro: pass a failure on. */
#define TW_TRY(call)                          \
    do {                                      \
        trawl_status tw_try_status_ = (call); \
        if (tw_try_status_ != TRAWL_OK) {     \
            return tw_try_status_;            \
        }                                     \
    } while (0)

/* A broken invariant of our own: print it and abort, in release builds too. Never for bad input. */
#define TW_BUG_ON(condition)                        \
    do {                                            \
        if (condition) {                            \
            tw_bug(__FILE__, __LINE__, #condition); \
        }                                           \
    } while (0)

void tw_bug(const char *file, int line, const char *condition) __attribute__((noreturn));

#endif /* TW_BASE_ERROR_H */
