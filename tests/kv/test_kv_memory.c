/* SPDX-License-Identifier: MIT */
#include "kv/kv_memory.h"
#include "support/test.h"

/* Every block is filled with a number of its own; if any two overlapped, one would be overwritten. */
static void check_blocks(enum tw_dtype dtype, size_t layers, size_t pages, size_t heads, size_t head_dim)
{
    struct tw_kv_memory m;
    struct trawl_error err;
    assert_ok(tw_kv_memory_init(&m, dtype, layers, pages, heads, head_dim, &err));
    assert_int_equal(m.block_bytes, 64 * head_dim * tw_dtype_bytes(dtype));
    assert_int_equal(m.bytes, pages * tw_kv_page_bytes(dtype, layers, heads, head_dim));
    assert_int_equal(m.bytes, 2 * layers * pages * heads * m.block_bytes);
    for (int reading = 0; reading < 2; reading++) {
        unsigned char number = 0;
        for (size_t i = 0; i < layers * pages * heads * 2; i++) {
            size_t block = i / 2, head = block % heads, page = block / heads % pages,
                   layer = block / heads / pages;
            uint8_t *at  = i % 2 ? tw_kv_values(&m, layer, page, head) : tw_kv_keys(&m, layer, page, head);
            assert_int_equal((uintptr_t)at % 64, 0);
            assert_true(at >= m.base && at + m.block_bytes <= m.base + m.bytes);
            number = (unsigned char)(number * 5 + 17);
            if (!reading) {
                memset(at, number, m.block_bytes);
            }
            for (size_t j = 0; j < m.block_bytes; j++) {
                assert_int_equal(at[j], number);
            }
        }
    }
    tw_kv_memory_release(&m);
    assert_null(m.base);
}

static void test_blocks_do_not_overlap(void **state)
{
    (void)state;
    check_blocks(TW_DTYPE_BF16, 2, 3, 2, 8);
    check_blocks(TW_DTYPE_F32, 3, 5, 1, 24);
    check_blocks(TW_DTYPE_BF16, 1, 1, 3, 2);
}

static void test_a_device_without_heads_has_no_memory(void **state)
{
    struct tw_kv_memory m;
    struct trawl_error err;
    (void)state;
    assert_ok(tw_kv_memory_init(&m, TW_DTYPE_BF16, 2, 100, 0, 64, &err));
    assert_int_equal(m.bytes, 0);
    tw_kv_memory_release(&m);
}

static void test_more_than_the_address_space_is_refused(void **state)
{
    struct tw_kv_memory m;
    struct trawl_error err;
    (void)state;
    assert_refused(tw_kv_memory_init(&m, TW_DTYPE_F32, 80, SIZE_MAX / 2, 8, 128, &err), TRAWL_ERR_LIMIT,
                   "do not fit in the address space");
    tw_kv_memory_release(&m);
    assert_refused(tw_kv_memory_init(&m, TW_DTYPE_F32, 80, (size_t)1 << 34, 8, 128, &err), TRAWL_ERR_NOMEM,
                   "KV cache of 17179869184 pages");
    tw_kv_memory_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_a_device_without_heads_has_no_memory),
        cmocka_unit_test(test_more_than_the_address_space_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
