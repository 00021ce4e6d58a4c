/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "base/philox.h"

/* Known answers published with Random123 (kat_vectors, philox4x32 10). */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof kat[0]; i++) {
        uint32_t got[4];
        tw_philox(kat[i].key, kat[i].counter, got);
        assert_memory_equal(got, kat[i].want, sizeof got);
    }
}

static void stream_is_the_blocks_in_order(void **state)
{
    (void)state;
    struct tw_philox_stream s;
    const uint64_t seed = 0x123456789ABCDEF0u, stream = 0xFEDCBA9876543210u;
    tw_philox_stream_init(&s, seed, stream);
    for (uint32_t block = 0; block < 5; block++) {
        uint32_t want[4];
        tw_philox((uint32_t[]){0x9ABCDEF0u, 0x12345678u}, (uint32_t[]){block, 0, 0x76543210u, 0xFEDCBA98u},
                  want);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(tw_philox_next(&s), want[i]);
        }
    }
    tw_philox_stream_init(&s, seed, stream);
    s.counter[0] = 0xFFFFFFFFu; /* the low word carries */
    for (int i = 0; i < 4; i++) {
        (void)tw_philox_next(&s);
    }
    assert_int_equal(s.counter[0], 0);
    assert_int_equal(s.counter[1], 1);
}

static void draws_are_in_range_and_even(void **state)
{
    (void)state;
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, 1, 2);
    enum { DRAWS = 60000 };
    int count[6] = {0};
    double sum   = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint32_t x = tw_philox_below(&s, 6);
        assert_true(x < 6);
        count[x]++;
        double u = tw_philox_double(&s);
        assert_true(u >= 0 && u < 1);
        sum += u;
        assert_int_equal(tw_philox_below(&s, 1), 0);
        assert_true(tw_philox_below(&s, 0x80000001u) <= 0x80000000u); /* half of the raw words are rejected */
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++) {
        double d = count[i] - DRAWS / 6.0;
        chi2 += d * d / (DRAWS / 6.0);
    }
    assert_true(chi2 < 20.5); /* 5 degrees of freedom: p = 0.001; the seed is fixed */
    assert_true(sum / DRAWS > 0.495 && sum / DRAWS < 0.505);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(stream_is_the_blocks_in_order),
        cmocka_unit_test(draws_are_in_range_and_even),
    };
    return cmocka_run_group_tests_name("base.philox", tests, NULL, NULL);
}
