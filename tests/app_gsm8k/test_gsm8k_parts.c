/* SPDX-License-Identifier: MIT */
/* Questions of a file, prompts of text, the interval of a share, the difference of two runs, names of files. */
#include "apps/gsm8k/gsm8k_answer.h"
#include "apps/gsm8k/gsm8k_compare.h"
#include "apps/gsm8k/gsm8k_dataset.h"
#include "apps/gsm8k/gsm8k_prompt.h"
#include "apps/gsm8k/gsm8k_run.h"
#include "apps/gsm8k/gsm8k_score.h"
#include "base/alloc.h"
#include "base/file.h"
#include "support/test.h"

#include <math.h>

static char warnings[4096];

static void remember(void *user, int level, const char *message)
{
    (void)user;
    (void)level;
    (void)strncat(warnings, message, sizeof warnings - strlen(warnings) - 2);
    (void)strcat(warnings, "\n");
}

static trawl_status load(const char *folder, const char *text, size_t n, size_t most,
                         struct tw_gsm8k_dataset *d, struct trawl_error *err)
{
    struct tw_log log = {remember, NULL, TW_LOG_WARNING};
    char path[200];
    (void)snprintf(path, sizeof path, "%s/rows.jsonl", folder);
    assert_int_equal(tw_file_replace(path, text, n, NULL), TRAWL_OK);
    warnings[0] = '\0';
    return tw_gsm8k_dataset_load(d, path, most, &log, err);
}

static void rows_that_are_wrong(void **state)
{
    static const char text[] = "{\"question\": \"a?\", \"answer\": \"so\\n#### 1\"}\r\n"
                               "\n"
                               "{\"question\": \"b?\"}\n"
                               "[1]\n"
                               "{\"question\": \"c?\", \"answer\": \"none\"}\n"
                               "{\"question\": 5, \"answer\": \"#### 2\"}\n"
                               "{\"question\": \"nul \\u0000\", \"answer\": \"#### 2\"}\n"
                               "{\"question\n"
                               "{\"question\": \"d?\", \"answer\": \"#### 1,000\", \"more\": 1}";
    const char *folder       = ((struct scratch *)*state)->dir;
    struct tw_gsm8k_dataset d;
    struct trawl_error err = {0};
    assert_ok(load(folder, text, sizeof text - 1, 100, &d, &err));
    assert_int_equal(d.n, 2);
    assert_int_equal(d.n_skipped, 6);
    assert_string_equal(d.list[0].text, "a?");
    assert_string_equal(d.list[0].target, "1");
    assert_int_equal(d.list[0].id, 0);
    assert_string_equal(d.list[1].target, "1000");
    assert_int_equal(d.list[1].id, 7);
    static const char *const said[] = {
        "line 3: the row has no \"answer\"; skipped",
        "line 4: the row is an array, expected an object; skipped",
        "line 5: \"answer\" has no number; skipped",
        "line 6: row: \"question\" is an integer, expected a string; skipped",
        "line 7: \"question\" holds U+0000, expected text; skipped",
        "line 8: row",
    };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        if (strstr(warnings, said[i]) == NULL) {
            fail_msg("\"%s\" is not said: %s", said[i], warnings);
        }
    }
    tw_gsm8k_dataset_release(&d);
    assert_ok(load(folder, text, sizeof text - 1, 1, &d, &err));
    assert_int_equal(d.n, 1);
    assert_int_equal(d.n_skipped, 0);
    tw_gsm8k_dataset_release(&d);
    assert_refused(load(folder, "", 0, 9, &d, &err), TRAWL_ERR_FORMAT, "no questions");
    assert_refused(load(folder, "\n{}\n", 4, 9, &d, &err), TRAWL_ERR_FORMAT,
                   "line 2: the row has no \"question\"");
    tw_gsm8k_dataset_release(&d);
}

static void prompts_of_text(void **state)
{
    static const struct tw_gsm8k_example two[] = {
        {"One?", "6 * 7 = <<6*7=42>>42\n#### 42"},
        {"Two?", "no note: a << b\n#### 2"},
    };
    struct tw_gsm8k_prompt p = {.examples = two, .n_examples = 2};
    struct tw_str out;
    struct trawl_error err = {0};
    (void)state;
    tw_str_init(&out, 0);
    assert_ok(tw_gsm8k_prompt_write(&p, NULL, "Three?", &out, &err));
    assert_string_equal(tw_str_text(&out), "Question: One?\nAnswer: 6 * 7 = 42\n#### 42\n\n"
                                           "Question: Two?\nAnswer: no note: a << b\n#### 2\n\n"
                                           "Question: Three?\nAnswer:");
    assert_string_equal(tw_gsm8k_prompt_stop(&p), "Question:");
    tw_str_reset(&out);
    p = (struct tw_gsm8k_prompt){.instruction = "Think."};
    assert_ok(tw_gsm8k_prompt_write(&p, NULL, "Three?", &out, &err));
    assert_string_equal(tw_str_text(&out), "Think.\n\nQuestion: Three?\nAnswer:");
    tw_str_release(&out);
    p.chat = true;
    assert_null(tw_gsm8k_prompt_stop(&p));
}

/* The number behind the mark is that of the last equation. */
static void own_examples_are_right(void **state)
{
    size_t n                            = 0;
    const struct tw_gsm8k_example *list = tw_gsm8k_examples(&n);
    (void)state;
    assert_int_equal(n, 8);
    for (size_t i = 0; i < n; i++) {
        const char *last = NULL;
        char number[TW_GSM8K_NUMBER_BYTES], text[64];
        for (const char *at = list[i].answer; (at = strstr(at, " = ")) != NULL; at += 3) {
            last = at + 3;
        }
        assert_non_null(last);
        assert_true(tw_gsm8k_answer(list[i].answer, strlen(list[i].answer), number));
        (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(last, "\n"), last);
        char again[TW_GSM8K_NUMBER_BYTES];
        assert_true(tw_gsm8k_number(text, strlen(text), again));
        assert_string_equal(number, again);
    }
}

static void intervals(void **state)
{
    /* the closed form, computed in Python */
    static const struct {
        size_t right, n;
        double low, high;
    } cases[] = {
        {0, 10, 0, 0.2775328},
        {10, 10, 0.7224672, 1},
        {5, 10, 0.2365931, 0.7634069},
        {1, 1, 0.2065493, 1},
        {915, 1000, 0.8960871, 0.9307367},
        {0, 0, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_gsm8k_interval got = tw_gsm8k_wilson(cases[i].right, cases[i].n);
        if (fabs(got.low - cases[i].low) > 1e-6 || fabs(got.high - cases[i].high) > 1e-6) {
            fail_msg("%zu of %zu: %.7f to %.7f, expected %.7f to %.7f", cases[i].right, cases[i].n, got.low,
                     got.high, cases[i].low, cases[i].high);
        }
    }
}

static void add(struct tw_gsm8k_trail *t, const int32_t *tokens, const float *logprobs, size_t n)
{
    struct trawl_result r  = {.tokens = tokens, .logprobs = logprobs, .n_tokens = n};
    struct trawl_error err = {0};
    assert_ok(tw_gsm8k_trail_add(t, &r, &err));
}

static void differences(void **state)
{
    static const int32_t tokens[] = {3, 4, 5}, others[] = {3, 6, 5};
    static const float logprobs[] = {-1, -2, -0.0f}, near[] = {-1, -2, 0.0f};
    struct tw_gsm8k_difference d;
    struct tw_gsm8k_trail a = {0}, b = {0};
    (void)state;
    assert_true(tw_gsm8k_equal(&a, &b, &d));
    add(&a, tokens, logprobs, 2);
    assert_false(tw_gsm8k_equal(&a, &b, &d));
    assert_true(d.answer == 0 && d.position == 0 && d.has[0] && !d.has[1] && d.token[0] == 3);
    add(&b, tokens, logprobs, 2);
    assert_true(tw_gsm8k_equal(&a, &b, &d));
    add(&a, tokens, logprobs, 0);
    add(&b, tokens, logprobs, 0);
    add(&a, tokens, logprobs, 3);
    add(&b, others, logprobs, 3);
    assert_false(tw_gsm8k_equal(&a, &b, &d));
    assert_true(d.answer == 2 && d.position == 1 && d.token[0] == 4 && d.token[1] == 6);
    b.n--;
    b.n_tokens -= 3;
    add(&b, tokens, near, 3); /* zeros of different signs are different bits */
    assert_false(tw_gsm8k_equal(&a, &b, &d));
    assert_true(d.answer == 2 && d.position == 2 && d.token[0] == d.token[1]);
    b.n--;
    b.n_tokens -= 3;
    add(&b, tokens, logprobs, 2);
    assert_false(tw_gsm8k_equal(&a, &b, &d));
    assert_true(d.answer == 2 && d.position == 2 && d.has[0] && !d.has[1]);
    tw_gsm8k_trail_release(&a);
    tw_gsm8k_trail_release(&b);
}

static void differences_in_words(void **state)
{
    struct tw_gsm8k_difference d = {
        .position = 3, .has = {true, false}, .token = {40, -1}, .logprob = {-0.1f, 0}};
    struct tw_tokenizer *tokenizer = NULL;
    struct trawl_error err         = {0};
    struct tw_str out;
    char expected[200];
    size_t n;
    (void)state;
    tw_str_init(&out, 0);
    assert_ok(tw_tokenizer_open(TRAWL_SOURCE_DIR "/tests/text/data/digits", &tokenizer, &err));
    assert_ok(tw_gsm8k_difference_write(&d, tokenizer, "here", "there", &out, &err));
    const char *piece = tw_tokenizer_piece(tokenizer, 40, &n);
    (void)snprintf(expected, sizeof expected,
                   "token 3 of the answer is 40 (\"%.*s\", log-probability -0.1) here, none there", (int)n,
                   piece);
    assert_string_equal(tw_str_text(&out), expected);
    tw_str_reset(&out);
    d = (struct tw_gsm8k_difference){.has = {true, true}, .token = {1 << 30, 1 << 30}, .logprob = {-0.0f, 0}};
    assert_ok(tw_gsm8k_difference_write(&d, tokenizer, "here", "there", &out, &err));
    assert_non_null(strstr(tw_str_text(&out), "is 1073741824 (\"\", log-probability -0"));
    tw_tokenizer_close(tokenizer);
    tw_str_release(&out);
}

static void names_of_files(void **state)
{
    char *path;
    (void)state;
    assert_int_equal(tw_gsm8k_path("out/rows.jsonl", "_journal.jsonl", &path, NULL), TRAWL_OK);
    assert_string_equal(path, "out/rows_journal.jsonl");
    tw_free(path);
    assert_int_equal(tw_gsm8k_path("rows", ".stats.json", &path, NULL), TRAWL_OK);
    assert_string_equal(path, "rows.stats.json");
    tw_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(rows_that_are_wrong),
        cmocka_unit_test(prompts_of_text),
        cmocka_unit_test(own_examples_are_right),
        cmocka_unit_test(intervals),
        cmocka_unit_test(differences),
        cmocka_unit_test(differences_in_words),
        cmocka_unit_test(names_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
