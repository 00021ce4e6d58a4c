/* SPDX-License-Identifier: MIT */
/* error, size, alloc, str, utf8. */
#include "support/test.h"

#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "base/size.h"
#include "base/str.h"
#include "base/utf8.h"

static void error_says_what_happened(void **state)
{
    (void)state;
    struct trawl_error err;
    assert_int_equal(tw_fail(&err, TRAWL_ERR_FORMAT, "%s: %d", "x.json", 7), TRAWL_ERR_FORMAT);
    assert_int_equal(err.status, TRAWL_ERR_FORMAT);
    assert_int_equal(err.rank, -1);
    assert_int_equal(err.os_error, 0);
    assert_string_equal(err.message, "x.json: 7");
    assert_int_equal(tw_fail_prefix(&err, err.status, "line %d", 3), TRAWL_ERR_FORMAT);
    assert_string_equal(err.message, "line 3: x.json: 7");
    assert_int_equal(tw_fail_os(&err, ENOSPC, "out.bin"), TRAWL_ERR_IO);
    assert_int_equal(err.os_error, ENOSPC);
    assert_string_equal(err.message, "out.bin: No space left on device");
    assert_int_equal(tw_fail_os(&err, ENOMEM, "x"), TRAWL_ERR_NOMEM);
    assert_int_equal(tw_fail(NULL, TRAWL_ERR_LIMIT, "x"), TRAWL_ERR_LIMIT);
    assert_int_equal(tw_fail_os(NULL, EIO, "x"), TRAWL_ERR_IO);
    assert_int_equal(tw_fail_prefix(NULL, TRAWL_ERR_COMM, "x"), TRAWL_ERR_COMM);
    assert_string_equal(trawl_status_name(TRAWL_ERR_COMM), "communication");
    assert_string_equal(trawl_status_name((trawl_status)77), "unknown");
}

static void long_message_is_cut_at_a_character(void **state)
{
    (void)state;
    struct trawl_error err;
    for (size_t lead = 0; lead < 4; lead++) {
        char text[2048] = "";
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3) {
            memcpy(text + i, "\xE2\x82\xAC", 4); /* the euro sign */
        }
        for (int way = 0; way < 3; way++) {
            if (way == 0) {
                (void)tw_fail(&err, TRAWL_ERR_IO, "%s", text);
            } else if (way == 1) {
                (void)tw_fail_os(&err, EIO, "%s", text);
            } else {
                (void)tw_fail(&err, TRAWL_ERR_IO, "%.*s", 500, text);
                (void)tw_fail_prefix(&err, TRAWL_ERR_IO, "%.*s", (int)(lead + 300), text);
            }
            size_t n = strlen(err.message);
            assert_true(n < sizeof err.message && n > sizeof err.message - 8);
            assert_string_equal(err.message + n - 3, "...");
            assert_true(tw_utf8_valid(err.message, n));
        }
    }
}

static void sizes_refuse_overflow(void **state)
{
    (void)state;
    size_t r = 5;
    assert_false(tw_size_mul(SIZE_MAX, 2, &r));
    assert_false(tw_size_add(SIZE_MAX, 1, &r));
    assert_int_equal(r, 5);
    assert_true(tw_size_mul(SIZE_MAX, 1, &r));
    assert_true(r == SIZE_MAX);
    assert_true(tw_size_add(SIZE_MAX - 1, 1, &r));
    assert_true(r == SIZE_MAX);
    assert_int_equal(tw_round_up(0, 64), 0);
    assert_int_equal(tw_round_up(65, 64), 128);
    assert_int_equal(tw_ceil_div(65, 64), 2);
    assert_int_equal(tw_min_size(3, 4), 3);
    assert_int_equal(tw_max_size(3, 4), 4);
}

static void memory_is_aligned_zeroed_and_counted(void **state)
{
    (void)state;
    struct trawl_error err;
    size_t before    = tw_alloc_count();
    unsigned char *p = NULL;
    for (size_t n = 0; n < 300; n += 37) {
        assert_ok(tw_alloc(n, 3, &p, &err));
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < 3 * n; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 1, 3 * n);
        tw_free(p);
    }
    assert_int_equal(tw_alloc_count() - before, 9);
    assert_refused(tw_alloc(SIZE_MAX / 2, 3, &p, &err), TRAWL_ERR_NOMEM, "do not fit");
    assert_null(p);
    assert_refused(tw_alloc(SIZE_MAX - 10, 1, &p, &err), TRAWL_ERR_NOMEM, "do not fit");
    assert_refused(tw_big_alloc(SIZE_MAX / 2, &p, &err), TRAWL_ERR_NOMEM, "bytes");
    assert_null(p);
    assert_ok(tw_big_alloc(1 << 22, &p, &err));
    assert_int_equal(p[(1 << 22) - 1], 0);
    tw_big_free(p, 1 << 22);
    tw_big_free(NULL, 7);
    tw_free(NULL);
}

static void grow_keeps_content(void **state)
{
    (void)state;
    struct trawl_error err;
    uint32_t *a     = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_ok(tw_grow(&a, &capacity, i + 1, sizeof *a, &err));
        assert_true(capacity > i);
        a[i] = i * i;
    }
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(a[i], i * i);
    }
    uint32_t *same = a;
    size_t cap     = capacity;
    assert_refused(tw_grow(&a, &capacity, SIZE_MAX / 2, sizeof *a, &err), TRAWL_ERR_NOMEM, "do not fit");
    assert_ptr_equal(a, same);
    assert_int_equal(capacity, cap);
    tw_free(a);
}

static void strings_grow_to_their_limit(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_str s;
    tw_str_init(&s, 10);
    assert_string_equal(tw_str_text(&s), "");
    assert_ok(tw_str_puts(&s, "abc", &err));
    assert_ok(tw_str_putc(&s, '\0', &err));
    assert_ok(tw_str_printf(&s, &err, "%d-%s", 12, "x"));
    assert_int_equal(s.size, 8);
    assert_memory_equal(s.data, "abc\00012-x", 9);
    assert_refused(tw_str_puts(&s, "xyz", &err), TRAWL_ERR_LIMIT, "10 bytes");
    assert_refused(tw_str_printf(&s, &err, "%s", "xyz"), TRAWL_ERR_LIMIT, "10 bytes");
    assert_refused(tw_str_reserve(&s, SIZE_MAX, &err), TRAWL_ERR_LIMIT, "");
    assert_memory_equal(s.data, "abc\00012-x", 9);
    assert_ok(tw_str_puts(&s, "yz", &err));
    assert_int_equal(s.size, 10);
    tw_str_reset(&s);
    assert_string_equal(tw_str_text(&s), "");
    assert_int_equal(s.size, 0);
    tw_str_release(&s);
    assert_int_equal(s.limit, 10);
    char *copy = NULL;
    assert_ok(tw_strndup("hello", 3, &copy, &err));
    assert_string_equal(copy, "hel");
    tw_free(copy);
}

/* An encoder written from the bit table of RFC 3629, to compare with. */
static size_t plain_encode(uint32_t c, unsigned char *o)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) {
        o[i] = (unsigned char)(0x80 + c % 64);
    }
    o[0] = (unsigned char)(n == 1 ? c : (0xF00u >> n & 0xFFu) + c);
    return n;
}

static void utf8_every_codepoint(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110010; c++) {
        unsigned char want[4];
        char got[4];
        size_t n = tw_utf8_encode(c, got);
        if ((c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) {
            assert_int_equal(n, 0);
            if (c <= 0x1FFFFF) {
                n = plain_encode(c, want);
                assert_int_equal(tw_utf8_decode((char *)want, n, NULL), 0);
            }
            continue;
        }
        assert_int_equal(n, plain_encode(c, want));
        assert_memory_equal(got, want, n);
        uint32_t back = 0;
        assert_int_equal(tw_utf8_decode(got, n, &back), n);
        assert_int_equal(back, c);
        for (size_t k = 1; k < n; k++) {
            assert_int_equal(tw_utf8_decode(got, k, NULL), 0);
            assert_int_equal(tw_utf8_incomplete(got, k), k);
        }
    }
}

static void utf8_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n, subpart;
    } cases[] = {
        {"\x80", 1, 0},
        {"\xC0\x80", 2, 0},
        {"\xC1\xBF", 2, 0},
        {"\xE0\x9F\x80", 3, 1},
        {"\xE0\xA0\x41", 3, 2},
        {"\xED\xA0\x80", 3, 1},
        {"\xF0\x8F\xBF\xBF", 4, 1},
        {"\xF4\x90\x80\x80", 4, 1},
        {"\xF5\x80\x80\x80", 4, 0},
        {"\xF0\x90\x80\x41", 4, 3},
        {"\xFF", 1, 0},
        {"\xC3\x28", 2, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tw_utf8_decode(cases[i].bytes, cases[i].n, NULL), 0);
        assert_false(tw_utf8_valid(cases[i].bytes, cases[i].n));
        assert_int_equal(tw_utf8_incomplete(cases[i].bytes, cases[i].n), cases[i].subpart);
    }
    assert_true(tw_utf8_valid("", 0));
    assert_true(tw_utf8_valid("a\0b", 3));
}

static void numbers_are_short_and_whole(void **state)
{
    const struct {
        double v;
        const char *text;
    } some[] = {
        {0.7, "0.7"}, {1, "1"}, {-2.5e-300, "-2.5e-300"}, {1.0 / 3, "0.3333333333333333"}, {1e22, "1e+22"}};
    struct tw_philox_stream rng;
    char text[TW_DOUBLE_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        tw_double_text(some[i].v, text);
        assert_string_equal(text, some[i].text);
    }
    tw_philox_stream_init(&rng, 3, 0);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = (uint64_t)tw_philox_next(&rng) << 32 | tw_philox_next(&rng);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v)) {
            tw_double_text(v, text);
            double back = strtod(text, NULL);
            assert_memory_equal(&back, &v, sizeof v);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_says_what_happened),
        cmocka_unit_test(long_message_is_cut_at_a_character),
        cmocka_unit_test(sizes_refuse_overflow),
        cmocka_unit_test(memory_is_aligned_zeroed_and_counted),
        cmocka_unit_test(grow_keeps_content),
        cmocka_unit_test(strings_grow_to_their_limit),
        cmocka_unit_test(numbers_are_short_and_whole),
        cmocka_unit_test(utf8_every_codepoint),
        cmocka_unit_test(utf8_malformed),
    };
    return cmocka_run_group_tests_name("base.text", tests, NULL, NULL);
}
