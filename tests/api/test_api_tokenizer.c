/* SPDX-License-Identifier: MIT */
/* The public tokenizer against the encodings that an implementation of its own wrote down (tests/text/data). */
#include <pthread.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/test.h"
#include "trawl/trawl.h"
#include "json/json.h"

static trawl_tokenizer *open_data(const char *name)
{
    struct trawl_error err;
    trawl_tokenizer *t = NULL;
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s/tests/text/data/%s", TRAWL_SOURCE_DIR, name);
    assert_ok(trawl_tokenizer_open(folder, &t, &err));
    return t;
}

/* ---- encodings ---- */

static bool encodes_to(trawl_tokenizer *t, const json_t *text, unsigned flags, const json_t *want)
{
    struct trawl_error err;
    int32_t *ids = NULL;
    size_t n     = 99;
    bool same = trawl_tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &ids, &n,
                                       &err) == TRAWL_OK &&
                n == json_array_size(want);
    for (size_t i = 0; same && i < n; i++) {
        same = ids[i] == json_integer_value(json_array_get(want, i));
    }
    trawl_free(ids);
    return same;
}

/* All lines of a folder's encode.jsonl; the number of lines that came out otherwise. */
static size_t count_wrong(trawl_tokenizer *t, const char *name)
{
    struct trawl_error err;
    char path[512], *data = NULL;
    size_t n = 0, wrong = 0, lines = 0;
    (void)snprintf(path, sizeof path, "%s/tests/text/data/%s/encode.jsonl", TRAWL_SOURCE_DIR, name);
    if (tw_file_read(path, 1 << 26, &data, &n, &err) != TRAWL_OK) {
        return SIZE_MAX;
    }
    for (char *line = data, *end; (end = memchr(line, '\n', n - (size_t)(line - data))) != NULL;
         line       = end + 1) {
        json_t *row = NULL;
        if (tw_json_parse(line, (size_t)(end - line), "line", &row, &err) != TRAWL_OK) {
            return SIZE_MAX;
        }
        const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
        const json_t *split = json_object_get(row, "no_special"), *none = json_object_get(row, "no_added");
        bool right = encodes_to(t, text, 0, ids) &&
                     encodes_to(t, text, TRAWL_ENCODE_SPLIT_SPECIAL_TOKENS, split == NULL ? ids : split) &&
                     encodes_to(t, text, TRAWL_ENCODE_NO_ADDED_TOKENS, none == NULL ? ids : none);
        wrong += right ? 0 : 1;
        lines++;
        json_decref(row);
    }
    tw_free(data);
    return lines > 50 ? wrong : SIZE_MAX;
}

static void test_encodings(void **state)
{
    static const char *const names[] = {"split", "digits"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        trawl_tokenizer *t = open_data(names[i]);
        assert_int_equal(count_wrong(t, names[i]), 0);
        trawl_tokenizer_close(&t);
        assert_null(t);
    }
}

struct reader {
    trawl_tokenizer *tokenizer;
    size_t wrong;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    r->wrong         = count_wrong(r->tokenizer, "split");
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state)
{
    struct reader readers[4];
    pthread_t threads[4];
    trawl_tokenizer *t = open_data("split");
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (struct reader){t, 1};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(readers[i].wrong, 0);
    }
    trawl_tokenizer_close(&t);
}

/* ---- text ---- */

static void test_text_and_tokens(void **state)
{
    static const char nul[] = "a\0net";
    struct trawl_error err;
    trawl_tokenizer *t = open_data("split");
    int32_t *ids = NULL, end = 544;
    char *text = NULL;
    size_t n = 0, n_text = 0, joined = 0;
    (void)state;
    assert_ok(trawl_tokenizer_encode(t, nul, sizeof nul - 1, 0, &ids, &n, &err));
    assert_ok(trawl_tokenizer_decode(t, ids, n, false, &text, &n_text, &err));
    assert_int_equal(n_text, sizeof nul - 1);
    assert_memory_equal(text, nul, sizeof nul);
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *token = trawl_tokenizer_token(t, ids[i], &bytes);
        assert_memory_equal(nul + joined, token, bytes);
        joined += bytes;
    }
    assert_int_equal(joined, n_text);
    trawl_free(ids);
    trawl_free(text);

    assert_ok(trawl_tokenizer_encode(t, "x", 1, TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &ids, &n, &err));
    assert_true(n > 1); /* its template puts <|begin|> before */
    trawl_free(ids);
    assert_ok(trawl_tokenizer_encode(t, "", 0, 0, &ids, &n, &err));
    assert_true(n == 0 && ids != NULL);
    trawl_free(ids);
    assert_ok(trawl_tokenizer_decode(t, &end, 1, false, &text, NULL, &err));
    assert_string_equal(text, "<|end|>");
    trawl_free(text);
    assert_ok(trawl_tokenizer_decode(t, &end, 1, true, &text, &n_text, &err));
    assert_true(n_text == 0 && text[0] == '\0');
    trawl_free(text);
    assert_null(trawl_tokenizer_token(t, -1, &n));
    assert_null(trawl_tokenizer_token(t, (int32_t)trawl_tokenizer_vocab_size(t), &n));
    assert_int_equal(n, 0);
    trawl_tokenizer_close(&t);
    trawl_tokenizer_close(&t);
}

static void test_chat(void **state)
{
    struct trawl_error err;
    trawl_tokenizer *t = open_data("split");
    char *text         = NULL;
    size_t n           = 0;
    (void)state;
    assert_true(trawl_tokenizer_has_chat_template(t));
    assert_ok(trawl_tokenizer_apply_chat_template(t, "[{\"role\": \"user\", \"content\": \"eels\"}]", true,
                                                  &text, &n, &err));
    assert_string_equal(text, "<|begin|>user:eels<|end|>\n<|begin|>assistant:");
    assert_int_equal(n, strlen(text));
    trawl_free(text);
    assert_refused(trawl_tokenizer_apply_chat_template(t, "[{", true, &text, &n, &err), TRAWL_ERR_FORMAT,
                   "messages");
    assert_null(text);
    assert_refused(trawl_tokenizer_apply_chat_template(t, "{}", true, &text, &n, &err), TRAWL_ERR_FORMAT,
                   "must be an array");
    trawl_tokenizer_close(&t);
}

static void test_misuse_is_refused_by_name(void **state)
{
    struct trawl_error err;
    trawl_tokenizer *t = NULL;
    int32_t *ids       = NULL;
    size_t n           = 1;
    (void)state;
    assert_refused(trawl_tokenizer_open("/nowhere", &t, &err), TRAWL_ERR_IO, "/nowhere");
    assert_refused(trawl_tokenizer_open(NULL, &t, &err), TRAWL_ERR_INVALID, "no model_path given");
    assert_null(t);
    t = open_data("split");
    assert_refused(trawl_tokenizer_encode(t, "a\xff", 2, 0, &ids, &n, &err), TRAWL_ERR_FORMAT, "1");
    assert_true(ids == NULL && n == 0);
    assert_refused(trawl_tokenizer_encode(t, "a", 1, 8, &ids, &n, &err), TRAWL_ERR_INVALID,
                   "encode flags are 0x8, expected a sum of 0x7");
    trawl_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_threads_share_a_tokenizer),
        cmocka_unit_test(test_text_and_tokens),
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_misuse_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
