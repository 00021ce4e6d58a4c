/* SPDX-License-Identifier: MIT */
/* Checked size arithmetic: every product or sum that comes from a file, a configuration or a user
 * goes through these. All return false on overflow and leave *out untouched. */
#ifndef TW_BASE_SIZE_H
#define TW_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tw_size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

static inline bool tw_size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/* Round up to a multiple of `unit` (a positive number; overflow is the caller's to exclude). */
static inline size_t tw_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static inline size_t tw_ceil_div(size_t n, size_t unit)
{
    return n / unit + (n % unit != 0);
}

static inline size_t tw_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t tw_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif /* TW_BASE_SIZE_H */
