/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include "base/hash.h"

/* XXH3 64 of the first n bytes of (131 i + 7) mod 251, computed with Python's xxhash package. */
static const struct {
    size_t n;
    uint64_t want;
} vectors[] = {
    {0, 0x2d06800538d394c2},    {1, 0x4c5cca45d0f4811f},    {3, 0xd079cb72d5dc8fe3},
    {4, 0x142fa07b01613ee8},    {8, 0x9f1975fc585fd927},    {9, 0x6bf0116fadb4b711},
    {16, 0x945d7a2e39182d35},   {17, 0xd1539aca118a0247},   {128, 0x2edf21e7a54f582c},
    {129, 0x8bf7e91c7eb2f2d6},  {240, 0xc9860844b0ad495},   {241, 0x246c5fe4ed1436a3},
    {256, 0x94408c78397f3c77},  {1023, 0x6ce6170ec6623387}, {1024, 0xb662daec235d4ca},
    {1025, 0x13d178f3e2b48e9e}, {5000, 0x7a2c28e3218c663},
};

static void known_vectors_whole_and_in_pieces(void **state)
{
    (void)state;
    struct trawl_error err;
    uint8_t data[5000];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)((i * 131 + 7) % 251);
    }
    for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
        size_t n = vectors[v].n;
        assert_true(tw_hash64(data, n) == vectors[v].want);
        for (size_t step = 1; step < 2000; step = step * 3 + 1) {
            struct tw_hash *h;
            assert_ok(tw_hash_new(&h, &err));
            for (size_t at = 0; at < n; at += step) {
                tw_hash_update(h, data + at, n - at < step ? n - at : step);
            }
            tw_hash_update(h, NULL, 0);
            assert_true(tw_hash_value(h) == vectors[v].want);
            assert_true(tw_hash_value(h) == vectors[v].want); /* asking changes nothing */
            tw_hash_free(h);
        }
    }
    assert_true(tw_hash64(NULL, 0) == vectors[0].want);
    tw_hash_free(NULL);
}

static void hex_has_sixteen_digits(void **state)
{
    (void)state;
    char text[17];
    tw_hash_hex(tw_hash64("abc", 3), text);
    assert_string_equal(text, "78af5f94892f3950");
    tw_hash_hex(0xAB, text);
    assert_string_equal(text, "00000000000000ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_whole_and_in_pieces),
        cmocka_unit_test(hex_has_sixteen_digits),
    };
    return cmocka_run_group_tests_name("base.hash", tests, NULL, NULL);
}
