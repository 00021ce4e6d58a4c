/* SPDX-License-Identifier: MIT */
/* What the kernel tests share: the levels of this machine, random values with all the special ones, and
 * buffers that end at a page which must not be touched. */
#ifndef TRAWL_TESTS_KERNELS_CHECK_H
#define TRAWL_TESTS_KERNELS_CHECK_H

#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "base/philox.h"
#include "base/thread.h"
#include "kernels/kernels.h"
#include "support/test.h"

/* ---- levels ---- */

static const char *const check_names[] = {"scalar", "avx2", "avx512", "avx512bf16"};

/* Tables of this machine, scalar first; returns how many. */
static inline int check_levels(struct tw_kernels k[4])
{
    int n = 0;
    for (size_t i = 0; i < 4; i++) {
        struct trawl_error err;
        n += tw_kernels_init(&k[n], check_names[i], &err) == TRAWL_OK;
    }
    return n;
}

/* ---- random values: xorshift64*, seeded by the clock or by TRAWL_TEST_SEED ---- */

struct check_random {
    uint64_t s;
};

static inline struct check_random check_seed(const char *test)
{
    const char *given = getenv("TRAWL_TEST_SEED");
    uint64_t seed     = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    print_message("%s: TRAWL_TEST_SEED=%llu\n", test, (unsigned long long)seed);
    return (struct check_random){seed * 2 + 1};
}

static inline uint64_t check_next(struct check_random *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return r->s * 0x2545F4914F6CDD1Du >> 11;
}

/* [low, high] */
static inline size_t check_size(struct check_random *r, size_t low, size_t high)
{
    return low + check_next(r) % (high - low + 1);
}

enum check_values {
    CHECK_PLAIN,   /* around 1 */
    CHECK_TINY,    /* products and sums near the smallest normal number, some denormal inputs */
    CHECK_SPECIAL, /* plain with zeros of both signs, denormals, infinities, NaN and huge numbers strewn in */
    CHECK_VALUES
};

static inline float check_float(struct check_random *r, enum check_values mode)
{
    const float special[] = {0.0f, -0.0f, 0x1p-130f, -0x1.fffp-127f, INFINITY, -INFINITY, NAN, 3e38f, -3e38f};
    float x               = (float)((double)check_next(r) * 0x1p-52 - 1.0);
    if (mode == CHECK_TINY) {
        return x * (check_next(r) % 2 != 0 ? 0x1p-62f : 0x1p-64f);
    }
    if (mode == CHECK_SPECIAL && check_next(r) % 200 == 0) {
        return special[check_next(r) % (sizeof special / sizeof special[0])];
    }
    return x;
}

/* ---- buffers that end at a guard page ---- */

struct check_buffer {
    void *map;
    size_t mapped;
    void *p; /* the last `bytes` before the guard page, filled with 0xFF */
};

static inline struct check_buffer check_alloc(size_t bytes)
{
    const size_t page = 4096, room = (bytes + page - 1) / page * page;
    struct check_buffer b = {.mapped = room + page};
    b.map                 = mmap(NULL, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)b.map + room, page, PROT_NONE), 0);
    memset(b.map, 0xFF, room);
    b.p = (char *)b.map + room - bytes;
    return b;
}

static inline void check_free(struct check_buffer *b)
{
    (void)munmap(b->map, b->mapped);
}

/* n random floats at the end of a buffer */
static inline struct check_buffer check_floats(struct check_random *r, size_t n, enum check_values mode)
{
    struct check_buffer b = check_alloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        ((float *)b.p)[i] = check_float(r, mode);
    }
    return b;
}

/* ---- comparison: the same bits, or both NaN ---- */

static inline bool check_same(float a, float b)
{
    return tw_f32_bits(a) == tw_f32_bits(b) || (isnan(a) && isnan(b));
}

/* Index of the first difference, or n. */
static inline size_t check_differ(const float *a, const float *b, size_t n)
{
    size_t i = 0;
    while (i < n && check_same(a[i], b[i])) {
        i++;
    }
    return i;
}

#define assert_floats_same(a, b, n, ...)                                                  \
    do {                                                                                  \
        const float *check_a_ = (a), *check_b_ = (b);                                     \
        size_t check_i_ = check_differ(check_a_, check_b_, (n));                          \
        if (check_i_ < (n)) {                                                             \
            print_error(__VA_ARGS__);                                                     \
            fail_msg(": element %zu is %a, not %a", check_i_, (double)check_b_[check_i_], \
                     (double)check_a_[check_i_]);                                         \
        }                                                                                 \
    } while (0)

/* Group setup: kernels run in this mode. */
static inline int check_mode(void **state)
{
    (void)state;
    tw_float_mode_compute();
    return 0;
}

#endif /* TRAWL_TESTS_KERNELS_CHECK_H */
