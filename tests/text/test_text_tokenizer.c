/* SPDX-License-Identifier: MIT */
/* Tokenizers made by tests/golden/make_tokenizer.py against its slow implementation, and what is refused. */
#include "text_vectors.h"

#include <time.h>

#define FIXTURES TRAWL_SOURCE_DIR "/tests/text/data/"

static void check_all_ways(const json_t *row, void *user)
{
    static const char *const keys[] = {"ids", "no_special", "no_added"};
    struct subject *s               = user;
    size_t n                        = 0;
    const char *text                = text_of(row, "text", &n);
    for (int i = 0; i < 3; i++) {
        struct trawl_error err           = {0};
        struct tw_ids ids                = {0};
        const struct tw_encode_options o = {.no_special = i == 1, .no_added = i == 2};
        const json_t *expected           = json_object_get(row, keys[i]);
        expect_ok(tw_encode(s->encoder, text, n, &o, &ids, &err), &err);
        expect_ids(expected != NULL ? expected : json_object_get(row, "ids"), &ids, row);
        tw_ids_release(&ids);
    }
    check_pretokens(row, user);
}

static void test_split(void **state)
{
    struct subject s;
    (void)state;
    subject_open(&s, FIXTURES "split");
    assert_true(each_line(FIXTURES "split/encode.jsonl", check_all_ways, &s) > 50);
    subject_close(&s);
}

static void test_digits(void **state)
{
    struct subject s;
    (void)state;
    subject_open(&s, FIXTURES "digits");
    assert_true(each_line(FIXTURES "digits/encode.jsonl", check_all_ways, &s) > 50);
    subject_close(&s);
}

/* Ids of text[0..n), to compare with. */
static struct tw_ids encode(struct subject *s, const char *text, size_t n)
{
    struct trawl_error err = {0};
    struct tw_ids ids      = {0};
    expect_ok(tw_encode(s->encoder, text, n, &s->options, &ids, &err), &err);
    return ids;
}

/* Decoding gives the text back, however it is cut into tokens, and the stream joins to the same. */
static void test_round_trip(void **state)
{
    static const char text[] = "It's \xE7\xBD\x91 deep\0down <|end|> \xF0\x9F\x90\x9F! word\r\n  12";
    struct subject s;
    (void)state;
    subject_open(&s, FIXTURES "split");
    struct tw_ids ids      = encode(&s, text, sizeof text - 1);
    struct trawl_error err = {0};
    struct tw_detokenizer d;
    struct tw_str whole, joined, skipped;
    tw_str_init(&whole, 0);
    tw_str_init(&joined, 0);
    tw_str_init(&skipped, 0);
    expect_ok(tw_decode(s.tokenizer, ids.data, ids.size, false, &whole, &err), &err);
    assert_int_equal(whole.size, sizeof text - 1);
    assert_memory_equal(whole.data, text, whole.size);
    tw_detokenizer_init(&d, s.tokenizer, false);
    for (size_t i = 0; i < ids.size; i++) {
        size_t before = joined.size;
        expect_ok(tw_detokenizer_push(&d, ids.data[i], &joined, &err), &err);
        assert_true(joined.size == before || ((unsigned char)joined.data[before] & 0xC0) != 0x80);
    }
    expect_ok(tw_detokenizer_flush(&d, &joined, &err), &err);
    assert_int_equal(joined.size, whole.size);
    assert_memory_equal(joined.data, text, whole.size);
    expect_ok(tw_decode(s.tokenizer, ids.data, ids.size, true, &skipped, &err), &err);
    assert_int_equal(skipped.size, whole.size - strlen("<|end|>"));
    tw_str_release(&whole);
    tw_str_release(&joined);
    tw_str_release(&skipped);
    tw_ids_release(&ids);
    subject_close(&s);
}

static void test_lookups(void **state)
{
    struct subject s;
    const char *text = NULL;
    size_t n         = 0;
    int32_t ends[9];
    (void)state;
    subject_open(&s, FIXTURES "split");
    const struct tw_tokenizer *t = s.tokenizer;
    int32_t begin                = tw_tokenizer_named(t, TW_TOKEN_BOS, &text);
    assert_string_equal(text, "<|begin|>");
    assert_int_equal(begin, tw_tokenizer_find(t, "<|begin|>", 9));
    assert_true(tw_tokenizer_is_special(t, begin) && tw_tokenizer_is_added(t, begin));
    assert_int_equal(tw_tokenizer_named(t, TW_TOKEN_UNK, &text), -1);
    assert_null(text);
    int32_t tool = tw_tokenizer_find(t, "<tool>", 6);
    assert_true(tw_tokenizer_is_added(t, tool) && !tw_tokenizer_is_special(t, tool));
    /* From tokenizer_config.json alone; the highest id. */
    int32_t late = tw_tokenizer_find(t, "<late>", 6);
    assert_int_equal(late + 1, tw_tokenizer_vocab_size(t));
    assert_true(tw_tokenizer_is_special(t, late));
    int32_t the = tw_tokenizer_find(t, " the", 4);
    assert_true(the >= 0 && !tw_tokenizer_is_added(t, the));
    assert_memory_equal(tw_tokenizer_piece(t, the, &n), " the", 4);
    assert_int_equal(n, 4);
    assert_null(tw_tokenizer_piece(t, -1, &n));
    assert_null(tw_tokenizer_piece(t, late + 1, &n));
    assert_int_equal(tw_tokenizer_find(t, "no such token", 13), -1);
    assert_int_equal(tw_tokenizer_end_tokens(t, ends, 9), 1);
    assert_int_equal(ends[0], tw_tokenizer_find(t, "<|end|>", 7));
    assert_int_equal(tw_tokenizer_end_tokens(t, ends, 0), 0);
    subject_close(&s);
}

static void test_bos(void **state)
{
    struct subject s;
    (void)state;
    subject_open(&s, FIXTURES "split");
    struct tw_ids plain          = encode(&s, "net", 3);
    s.options.add_special_tokens = true;
    struct tw_ids with           = encode(&s, "net", 3);
    assert_int_equal(with.size, plain.size + 1);
    assert_int_equal(with.data[0], tw_tokenizer_named(s.tokenizer, TW_TOKEN_BOS, NULL));
    assert_memory_equal(with.data + 1, plain.data, plain.size * sizeof *plain.data);
    tw_ids_release(&plain);
    tw_ids_release(&with);
    subject_close(&s);
}

static void test_chat(void **state)
{
    struct subject s;
    struct trawl_error err = {0};
    struct tw_str text;
    json_t *messages               = json_pack("[{s:s,s:s}]", "role", "user", "content", " hi ");
    json_t *tools                  = json_pack("[{s:s}]", "name", "f");
    struct tw_chat_request request = {.messages = messages, .add_generation_prompt = true};
    (void)state;
    tw_str_init(&text, 0);
    subject_open(&s, FIXTURES "split");
    expect_ok(tw_chat_render(s.tokenizer, &request, &text, &err), &err);
    assert_string_equal(tw_str_text(&text), "<|begin|>user: hi <|end|>\n<|begin|>assistant:");
    tw_str_reset(&text);
    request.tools                 = tools;
    request.add_generation_prompt = false;
    expect_ok(tw_chat_render(s.tokenizer, &request, &text, &err), &err);
    assert_string_equal(tw_str_text(&text), "[{\"name\": \"f\"}]<|begin|>user: hi <|end|>\n");
    subject_close(&s);
    /* The file goes before the member of tokenizer_config.json. */
    subject_open(&s, FIXTURES "digits");
    tw_str_reset(&text);
    request = (struct tw_chat_request){.messages = messages};
    expect_ok(tw_chat_render(s.tokenizer, &request, &text, &err), &err);
    assert_string_equal(tw_str_text(&text), "[user] hi\n");
    request.messages = json_array_get(messages, 0);
    assert_int_equal(tw_chat_render(s.tokenizer, &request, &text, &err), TRAWL_ERR_FORMAT);
    json_t *extra = json_pack("{s:i}", "tools", 1);
    request       = (struct tw_chat_request){.messages = messages, .extra = extra};
    assert_int_equal(tw_chat_render(s.tokenizer, &request, &text, &err), TRAWL_ERR_INVALID);
    subject_close(&s);
    tw_str_release(&text);
    json_decref(messages);
    json_decref(tools);
    json_decref(extra);
}

static void test_bad_text(void **state)
{
    struct subject s;
    struct trawl_error err = {0};
    struct tw_ids ids      = {0};
    (void)state;
    subject_open(&s, FIXTURES "split");
    expect_ok(tw_encode(s.encoder, "a", 1, NULL, &ids, &err), &err);
    size_t before = ids.size;
    assert_int_equal(tw_encode(s.encoder, "good, then \xED\xA0\x80", 14, NULL, &ids, &err), TRAWL_ERR_FORMAT);
    assert_non_null(strstr(err.message, "byte 11 of 14"));
    assert_int_equal(ids.size, before);
    tw_ids_release(&ids);
    subject_close(&s);
}

/* One letter a megabyte long has no cut in it: time must grow near linearly with its length. */
static void test_long_word(void **state)
{
    struct subject s;
    double seconds[2];
    size_t sizes[2] = {100000, 800000};
    (void)state;
    subject_open(&s, FIXTURES "split");
    for (int i = 0; i < 2; i++) {
        char *text = malloc(sizes[i]);
        memset(text, 'e', sizes[i]);
        clock_t begin     = clock();
        struct tw_ids ids = encode(&s, text, sizes[i]);
        seconds[i]        = (double)(clock() - begin) / CLOCKS_PER_SEC;
        size_t total      = 0;
        for (size_t k = 0; k < ids.size; k++) {
            size_t n = 0;
            tw_tokenizer_piece(s.tokenizer, ids.data[k], &n);
            total += n;
        }
        assert_int_equal(total, sizes[i]);
        tw_ids_release(&ids);
        free(text);
    }
    /* 8 times the length: quadratic would be 64 times the time. */
    assert_true(seconds[1] < 30.0 * seconds[0] + 0.1);
    subject_close(&s);
}

/* ---- what is refused: the fixture with one member changed ---- */

static trawl_status build_changed(const char *change, struct trawl_error *err)
{
    struct tw_tokenizer *t = NULL;
    json_error_t e;
    json_t *doc   = json_load_file(FIXTURES "split/tokenizer.json", 0, &e);
    json_t *patch = json_loads(change, 0, &e);
    assert_non_null(doc);
    assert_non_null(patch);
    json_object_update_recursive(doc, patch);
    expect_ok(tw_alloc(1, sizeof *t, &t, err), err);
    expect_ok(tw_strdup("folder", &t->folder, err), err);
    trawl_status status = tw_tokenizer_build(t, &(struct tw_tokenizer_files){.tokenizer = doc}, err);
    tw_tokenizer_close(t);
    json_decref(doc);
    json_decref(patch);
    return status;
}

static void test_refusals(void **state)
{
    static const struct {
        const char *change;
        trawl_status status;
        const char *says;
    } cases[] = {
        {"{}", TRAWL_OK, ""},
        {"{\"model\":{\"type\":\"Unigram\"}}", TRAWL_ERR_UNSUPPORTED, "Unigram"},
        {"{\"model\":{\"byte_fallback\":true}}", TRAWL_ERR_UNSUPPORTED, "byte_fallback"},
        {"{\"model\":{\"dropout\":0.1}}", TRAWL_ERR_UNSUPPORTED, "dropout"},
        {"{\"model\":{\"continuing_subword_prefix\":\"##\"}}", TRAWL_ERR_UNSUPPORTED,
         "continuing_subword_prefix"},
        {"{\"model\":{\"end_of_word_suffix\":\"</w>\"}}", TRAWL_ERR_UNSUPPORTED, "end_of_word_suffix"},
        {"{\"model\":{\"vocab\":[]}}", TRAWL_ERR_FORMAT, "\"vocab\" is an array"},
        {"{\"model\":{\"vocab\":{\"zzz\":-1}}}", TRAWL_ERR_FORMAT, "id -1"},
        {"{\"model\":{\"vocab\":{\"zzz\":2000000000}}}", TRAWL_ERR_FORMAT, "id 2000000000"},
        {"{\"model\":{\"vocab\":{\"zzz\":1}}}", TRAWL_ERR_FORMAT, "two tokens"},
        {"{\"model\":{\"vocab\":{\"zzz\":\"1\"}}}", TRAWL_ERR_FORMAT, "is a string"},
        {"{\"model\":{\"merges\":[\"a b c\"]}}", TRAWL_ERR_FORMAT, "merge 0"},
        {"{\"model\":{\"merges\":[[\"a\",\"b\"],[\"q\",\"zzzz\"]]}}", TRAWL_ERR_FORMAT, "merge"},
        {"{\"model\":{\"unk_token\":\"[UNK]\"}}", TRAWL_ERR_FORMAT, "[UNK]"},
        {"{\"normalizer\":{\"type\":\"NFKC\"}}", TRAWL_ERR_UNSUPPORTED, "NFKC"},
        {"{\"decoder\":{\"type\":\"Metaspace\"}}", TRAWL_ERR_UNSUPPORTED, "Metaspace"},
        {"{\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", TRAWL_ERR_UNSUPPORTED, "Whitespace"},
        {"{\"pre_tokenizer\":{\"pretokenizers\":[]}}", TRAWL_ERR_UNSUPPORTED, "without ByteLevel"},
        {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}}",
         TRAWL_ERR_UNSUPPORTED, "after ByteLevel"},
        {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{"
         "\"Regex\":\"\\\\w+\"}}]}}",
         TRAWL_ERR_UNSUPPORTED, "\\w"},
        {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{"
         "\"Regex\":\"(a\"}}]}}",
         TRAWL_ERR_UNSUPPORTED, "cannot be compiled"},
        {"{\"pre_tokenizer\":{\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Random\",\"pattern\":{"
         "\"String\":\"a\"}}]}}",
         TRAWL_ERR_UNSUPPORTED, "Random"},
        {"{\"post_processor\":{\"type\":\"BertProcessing\"}}", TRAWL_ERR_UNSUPPORTED, "BertProcessing"},
        {"{\"added_tokens\":[{\"id\":5,\"content\":\"<x>\"}]}", TRAWL_ERR_FORMAT, "already"},
        {"{\"added_tokens\":[{\"id\":9999}]}", TRAWL_ERR_FORMAT, "content"},
        {"{\"added_tokens\":{}}", TRAWL_ERR_FORMAT, "added_tokens"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trawl_error err = {0};
        trawl_status status    = build_changed(cases[i].change, &err);
        if (status != cases[i].status || strstr(err.message, cases[i].says) == NULL) {
            fail_msg("%s: %s \"%s\"", cases[i].change, trawl_status_name(status), err.message);
        }
        if (status != TRAWL_OK) {
            assert_non_null(strstr(err.message, "folder/tokenizer.json"));
        }
    }
    struct tw_tokenizer *t = NULL;
    struct trawl_error err = {0};
    assert_int_equal(tw_tokenizer_open("/no/such/folder", &t, &err), TRAWL_ERR_IO);
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),    cmocka_unit_test(test_digits),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lookups),  cmocka_unit_test(test_bos),       cmocka_unit_test(test_chat),
        cmocka_unit_test(test_bad_text), cmocka_unit_test(test_long_word), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("text.tokenizer", tests, NULL, NULL);
}
