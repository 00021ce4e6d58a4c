/* SPDX-License-Identifier: MIT */
/* Answers cut anywhere into tokens, against the whole text: what is shown only grows, and ends where the first stop text
 * begins that is complete at a token's end. */
#include <string.h>

#include "base/philox.h"
#include "base/utf8.h"
#include "support/test.h"
#include "text/text_answer.h"

enum { LETTERS = 40, ROUNDS = 2000 };

struct subject {
    struct tw_tokenizer *tokenizer;
    int32_t letters[4]; /* of "abc" and a blank */
};

static void open_subject(struct subject *s)
{
    struct trawl_error err;
    assert_ok(tw_tokenizer_open(TRAWL_SOURCE_DIR "/tests/text/data/split", &s->tokenizer, &err));
    for (int i = 0; i < 4; i++) {
        s->letters[i] = tw_tokenizer_find(s->tokenizer, &"abc "[i], 1);
        assert_true(s->letters[i] >= 0);
    }
}

/* By definition: the shortest beginning of whole letters that has a stop text in it, up to where the first one begins. */
static size_t expected(const char *text, size_t n, const char *const *stop, size_t n_stop, size_t *read)
{
    for (*read = 1; *read <= n; (*read)++) {
        for (size_t at = 0; at < *read; at++) {
            for (size_t i = 0; i < n_stop; i++) {
                size_t length = strlen(stop[i]);
                if (at + length <= *read && memcmp(text + at, stop[i], length) == 0) {
                    return at;
                }
            }
        }
    }
    *read = n;
    return n;
}

static void test_stops(void **state)
{
    static const char *const stops[][3] = {
        {"abc", "b a", "cc"}, {"aab", "ab", "c a c"}, {"abab", "ba", "x"}, {" ", "a", "b"}};
    struct subject s;
    struct trawl_error err;
    struct tw_philox_stream random;
    uint64_t seed = 8;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    open_subject(&s);
    tw_philox_stream_init(&random, seed, 0);
    for (int round = 0; round < ROUNDS; round++) {
        char text[LETTERS];
        struct tw_answer_text a;
        size_t n_stop = (size_t)round % 4, read = 0, shown = 0;
        const char *const *stop = stops[(round / 4) % 4];
        tw_answer_text_init(&a, s.tokenizer, stop, n_stop);
        for (size_t i = 0; i < LETTERS; i++) {
            size_t k = (size_t)(tw_philox_double(&random) * 4);
            text[i]  = "abc "[k];
        }
        size_t want = expected(text, LETTERS, stop, n_stop, &read);
        for (size_t i = 0; i < LETTERS && !a.stopped; i++) {
            assert_ok(tw_answer_text_push(&a, s.letters[strchr("abc ", text[i]) - "abc "], &err));
            assert_true(a.shown >= shown && a.shown <= want);
            assert_true(a.stopped == (i + 1 == read && want < read));
            shown = a.shown;
        }
        assert_ok(tw_answer_text_end(&a, &err));
        assert_int_equal(a.shown, want);
        assert_memory_equal(tw_str_text(&a.text), text, want);
        tw_answer_text_release(&a);
    }
    tw_tokenizer_close(s.tokenizer);
}

/* A character of several tokens is not shown in parts; half of one at the end is U+FFFD. */
static void test_characters(void **state)
{
    static const char cat[] = "\u732b";
    struct subject s;
    struct trawl_error err;
    struct tw_answer_text a;
    struct tw_encoder *encoder = NULL;
    struct tw_ids ids          = {0};
    (void)state;
    open_subject(&s);
    assert_ok(tw_encoder_new(s.tokenizer, &encoder, &err));
    assert_ok(tw_encode(encoder, cat, sizeof cat - 1, NULL, &ids, &err));
    assert_true(ids.size > 1);
    for (size_t n = 0; n <= ids.size; n++) {
        tw_answer_text_init(&a, s.tokenizer, NULL, 0);
        for (size_t i = 0; i < n; i++) {
            assert_ok(tw_answer_text_push(&a, ids.data[i], &err));
            assert_int_equal(a.shown, i + 1 == ids.size ? sizeof cat - 1 : 0);
        }
        assert_ok(tw_answer_text_end(&a, &err));
        assert_true(a.shown == a.text.size && tw_utf8_valid(tw_str_text(&a.text), a.shown));
        assert_string_equal(tw_str_text(&a.text), n == 0 ? "" : n == ids.size ? cat : "\ufffd");
        tw_answer_text_release(&a);
    }
    tw_ids_release(&ids);
    tw_encoder_free(encoder);
    tw_tokenizer_close(s.tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stops), cmocka_unit_test(test_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
