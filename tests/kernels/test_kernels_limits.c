/* SPDX-License-Identifier: MIT */
/* A rate that a program measures on an unknown machine can only be held against plain bounds, and against
 * simpler loops of the test's own: the limits must not be below what those reach. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kernels/kernels_check.h"
#include "kernels/kernels_limits.h"

enum { BYTES = 64 << 20 };

static struct tw_limits measure(const char *isa, int n_threads)
{
    struct trawl_error err;
    struct tw_limits mean, best = {0};
    struct tw_limits_probe *probe = NULL;
    assert_ok(tw_limits_probe_new(&probe, isa, n_threads, BYTES, &err));
    for (int i = 0; i < 2; i++) {
        const struct tw_limits before = best;
        tw_limits_measure(probe, 0.1, &mean, &best);
        assert_true(best.read_bytes >= before.read_bytes && best.fma_flops >= before.fma_flops &&
                    best.dot_flops >= before.dot_flops);
        assert_true(mean.read_bytes > 0 && mean.read_bytes <= best.read_bytes * 1.001);
        assert_true(mean.fma_flops > 0 && mean.fma_flops <= best.fma_flops * 1.001);
        assert_true(mean.dot_flops <= best.dot_flops * 1.001 && (mean.dot_flops > 0) == (best.dot_flops > 0));
    }
    tw_limits_probe_free(probe);
    return best;
}

/* Sum a buffer byte by byte in the most obvious loop. */
static double obvious_read(void)
{
    uint8_t *p = malloc(BYTES);
    assert_non_null(p);
    memset(p, 1, BYTES);
    volatile uint64_t total = 0;
    uint64_t begin = tw_clock_ns(), s = 0;
    for (size_t i = 0; i < BYTES; i++) {
        s += p[i];
    }
    total       = s;
    double rate = BYTES / ((double)(tw_clock_ns() - begin) * 1e-9);
    assert_int_equal(total, BYTES);
    free(p);
    return rate;
}

static void levels(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    int n = check_levels(k);
    for (int i = 0; i < n; i++) {
        struct tw_limits l = measure(k[i].isa, 1);
        print_message("%s: read %.1f GB/s, fma %.1f GFLOP/s, dot %.1f GFLOP/s\n", k[i].isa,
                      l.read_bytes / 1e9, l.fma_flops / 1e9, l.dot_flops / 1e9);
        assert_true(l.read_bytes > obvious_read() / 4);
        assert_true(l.fma_flops > 1e6 && l.fma_flops < 1e12); /* of one core */
        assert_true((l.dot_flops > 0) == (strcmp(k[i].isa, "avx512bf16") == 0));
    }
}

/* Automatic choice of kernels may leave vdpbf16ps alone; the limits name what the machine has. */
static void automatic(void **state)
{
    (void)state;
    struct tw_kernels k[4];
    int n              = check_levels(k);
    struct tw_limits l = measure(NULL, 2);
    assert_true((l.dot_flops > 0) == (strcmp(k[n - 1].isa, "avx512bf16") == 0));
}

static void refusals(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_limits_probe *probe = NULL;
    assert_refused(tw_limits_probe_new(&probe, "sse9", 1, BYTES, &err), TRAWL_ERR_UNSUPPORTED, "sse9");
    assert_refused(tw_limits_probe_new(&probe, NULL, 0, BYTES, &err), TRAWL_ERR_INVALID, "at least 1");
    assert_null(probe);
    tw_limits_probe_free(probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(levels), cmocka_unit_test(automatic),
                                       cmocka_unit_test(refusals)};
    return cmocka_run_group_tests_name("kernels_limits", tests, NULL, NULL);
}
