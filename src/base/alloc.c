/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/size.h"

/* A statistic, not state: the one variable of the library that outlives an engine. */
static atomic_size_t allocations;

enum { ALIGNMENT = 64 };

static void set_pointer(void *out_pointer, void *value)
{
    memcpy(out_pointer, &value, sizeof value);
}

trawl_status tw_alloc(size_t n, size_t size, void *out_pointer, struct trawl_error *err)
{
    size_t bytes = 0;
    set_pointer(out_pointer, NULL);
    if (!tw_size_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "%zu elements of %zu bytes do not fit in memory", n, size);
    }
    bytes   = tw_round_up(bytes == 0 ? 1 : bytes, ALIGNMENT);
    void *p = aligned_alloc(ALIGNMENT, bytes);
    if (p == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory: %zu bytes", bytes);
    }
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    memset(p, 0, bytes);
    set_pointer(out_pointer, p);
    return TRAWL_OK;
}

trawl_status tw_grow(void *array_pointer, size_t *capacity, size_t need, size_t size, struct trawl_error *err)
{
    if (need <= *capacity) {
        return TRAWL_OK;
    }
    size_t want = *capacity < 8 ? 8 : *capacity;
    while (want < need) {
        if (want > SIZE_MAX / 2) {
            want = need;
            break;
        }
        want *= 2;
    }
    size_t bytes = 0;
    if (!tw_size_mul(want, size, &bytes) || bytes > SIZE_MAX / 2) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "%zu elements of %zu bytes do not fit in memory", need, size);
    }
    void *old = NULL;
    memcpy(&old, array_pointer, sizeof old);
    bytes   = tw_round_up(bytes, ALIGNMENT);
    void *p = aligned_alloc(ALIGNMENT, bytes);
    if (p == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory: %zu bytes", bytes);
    }
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (old != NULL) {
        memcpy(p, old, *capacity * size);
        free(old);
    }
    set_pointer(array_pointer, p);
    *capacity = want;
    return TRAWL_OK;
}

void tw_free(void *p)
{
    free(p);
}

trawl_status tw_strndup(const char *s, size_t n, char **out, struct trawl_error *err)
{
    TW_TRY(tw_alloc(n + 1, 1, out, err));
    memcpy(*out, s, n);
    (*out)[n] = '\0';
    return TRAWL_OK;
}

trawl_status tw_strdup(const char *s, char **out, struct trawl_error *err)
{
    return tw_strndup(s, strlen(s), out, err);
}

trawl_status tw_big_alloc(size_t bytes, void *out_pointer, struct trawl_error *err)
{
    set_pointer(out_pointer, NULL);
    if (bytes == 0) {
        bytes = 1;
    }
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        return tw_fail_os(err, errno, "memory mapping of %zu bytes", bytes);
    }
#ifdef MADV_HUGEPAGE
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint; small pages are only slower */
#endif
    set_pointer(out_pointer, p);
    return TRAWL_OK;
}

void tw_big_free(void *p, size_t bytes)
{
    if (p != NULL) {
        (void)munmap(p, bytes == 0 ? 1 : bytes);
    }
}

size_t tw_alloc_count(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}
