/* SPDX-License-Identifier: MIT */
#include "base/philox.h"
#include "kernels/kernels.h"
#include "kv/kv_pages.h"
#include "support/test.h"

static void test_pages_for_tokens(void **state)
{
    (void)state;
    assert_int_equal(tw_kv_pages_for(0), 0);
    assert_int_equal(tw_kv_pages_for(1), 1);
    assert_int_equal(tw_kv_pages_for(64), 1);
    assert_int_equal(tw_kv_pages_for(65), 2);
    assert_int_equal(tw_kv_pages_for(SIZE_MAX), SIZE_MAX / 64 + 1);
}

static void test_all_or_none(void **state)
{
    struct tw_kv_pages p;
    struct trawl_error err;
    uint32_t a[5], b[5];
    (void)state;
    assert_ok(tw_kv_pages_init(&p, 5, &err));
    assert_ok(tw_kv_pages_take(&p, 3, a, &err));
    assert_int_equal(a[0], 0); /* low numbers first */
    memset(b, 0xEE, sizeof b);
    assert_refused(tw_kv_pages_take(&p, 3, b, &err), TRAWL_ERR_LIMIT,
                   "KV cache: 3 pages of 64 tokens wanted, 2 of 5 free");
    assert_int_equal(b[0], 0xEEEEEEEE);
    assert_int_equal(p.n_free, 2);
    assert_ok(tw_kv_pages_take(&p, 2, b, &err));
    assert_refused(tw_kv_pages_take(&p, 1, b, &err), TRAWL_ERR_LIMIT,
                   "1 pages of 64 tokens wanted, 0 of 5 free");
    assert_ok(tw_kv_pages_take(&p, 0, b, &err));
    tw_kv_pages_drop(&p, a, 3);
    tw_kv_pages_drop(&p, b, 2);
    assert_int_equal(p.n_free, 5);
    tw_kv_pages_release(&p);
}

static void test_a_page_is_free_when_nobody_holds_it(void **state)
{
    struct tw_kv_pages p;
    struct trawl_error err;
    uint32_t page, other;
    (void)state;
    assert_ok(tw_kv_pages_init(&p, 2, &err));
    assert_ok(tw_kv_pages_take(&p, 1, &page, &err));
    tw_kv_pages_retain(&p, page);
    tw_kv_pages_retain(&p, page);
    tw_kv_pages_drop(&p, &page, 1);
    tw_kv_pages_drop(&p, &page, 1);
    assert_ok(tw_kv_pages_take(&p, 1, &other, &err));
    assert_int_not_equal(other, page);
    assert_int_equal(p.n_free, 0);
    tw_kv_pages_drop(&p, &page, 1);
    assert_int_equal(p.n_free, 1);
    tw_kv_pages_drop(&p, &other, 1);
    tw_kv_pages_release(&p);
}

/* Against a table of counts, over random takes, retains and drops. */
static void test_random_use_equals_a_plain_count(void **state)
{
    enum { PAGES = 37, STEPS = 20000, SEED = 20261121 };
    struct tw_kv_pages p;
    struct tw_philox_stream s;
    struct trawl_error err;
    uint32_t held[PAGES * 64]; /* one entry for each reference */
    size_t n_held = 0, count[PAGES] = {0};
    (void)state;
    print_message("seed %d\n", SEED);
    tw_philox_stream_init(&s, SEED, 0);
    assert_ok(tw_kv_pages_init(&p, PAGES, &err));
    for (int i = 0; i < STEPS; i++) {
        uint32_t what = tw_philox_below(&s, 3);
        if (what == 0) {
            uint32_t n = tw_philox_below(&s, 8);
            if (n <= p.n_free) {
                assert_ok(tw_kv_pages_take(&p, n, held + n_held, &err));
                for (uint32_t j = 0; j < n; j++) {
                    assert_true(held[n_held + j] < PAGES);
                    assert_int_equal(count[held[n_held + j]], 0);
                    count[held[n_held + j]] = 1;
                }
                n_held += n;
            } else {
                assert_int_equal(tw_kv_pages_take(&p, n, held + n_held, &err), TRAWL_ERR_LIMIT);
            }
        } else if (n_held > 0 && what == 1 && n_held < PAGES * 32) {
            held[n_held] = held[tw_philox_below(&s, (uint32_t)n_held)];
            tw_kv_pages_retain(&p, held[n_held]);
            count[held[n_held++]]++;
        } else if (n_held > 0) {
            size_t at = tw_philox_below(&s, (uint32_t)n_held);
            count[held[at]]--;
            tw_kv_pages_drop(&p, &held[at], 1);
            held[at] = held[--n_held];
        }
        size_t n_free = 0;
        for (size_t j = 0; j < PAGES; j++) {
            n_free += count[j] == 0;
        }
        assert_int_equal(p.n_free, n_free);
    }
    tw_kv_pages_drop(&p, held, n_held);
    assert_int_equal(p.n_free, PAGES);
    tw_kv_pages_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_for_tokens),
        cmocka_unit_test(test_all_or_none),
        cmocka_unit_test(test_a_page_is_free_when_nobody_holds_it),
        cmocka_unit_test(test_random_use_equals_a_plain_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
