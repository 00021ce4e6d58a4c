/* SPDX-License-Identifier: MIT */
/* Tokenizers made by tests/golden/make_tokenizer.py against its slow implementation, and what is refused. */
#include "text_vectors.h"

#include <time.h>

#define FIXTURES TRAWL_SOURCE_DIR "/tests/text/data/"

static void check_ids_all_ways(const json_t *row, void *user)
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
}

static void check_all_ways(const json_t *row, void *user)
{
    check_ids_all_ways(row, user);
    check_pretokens(row, user);
}

/* The ids, and what they decode to, at once and as a stream. */
static void check_marked(const json_t *row, void *user)
{
    struct subject *s      = user;
    struct trawl_error err = {0};
    struct tw_ids ids      = ids_of(row, "ids");
    struct tw_detokenizer d;
    struct tw_str text;
    check_ids_all_ways(row, user);
    tw_str_init(&text, 0);
    expect_ok(tw_decode(s->tokenizer, ids.data, ids.size, false, &text, &err), &err);
    expect_text(row, "decoded", tw_str_text(&text), text.size);
    tw_detokenizer_init(&d, s->tokenizer, false);
    for (int again = 0; again < 2; again++) { /* flushed, it is as new */
        tw_str_reset(&text);
        for (size_t i = 0; i < ids.size; i++) {
            expect_ok(tw_detokenizer_push(&d, ids.data[i], &text, &err), &err);
        }
        expect_ok(tw_detokenizer_flush(&d, &text, &err), &err);
        expect_text(row, "decoded", tw_str_text(&text), text.size);
    }
    tw_str_release(&text);
    tw_ids_release(&ids);
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

static void test_marked_spaces(void **state)
{
    static const char *const folders[] = {"prepend", "metaspace", "words"};
    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct subject s;
        struct trawl_error err = {0};
        char path[1024];
        size_t n = 0;
        (void)snprintf(path, sizeof path, FIXTURES "%s", folders[i]);
        subject_open(&s, path);
        (void)snprintf(path, sizeof path, FIXTURES "%s/encode.jsonl", folders[i]);
        assert_true(each_line(path, check_marked, &s) > 50);
        /* Half a character made of byte tokens; a token is what its bytes are, a byte token is found by its id. */
        int32_t the = tw_tokenizer_find(s.tokenizer, " the", 4), byte = 3 + 0xE2;
        struct tw_str text;
        assert_true(the > 0);
        assert_memory_equal(tw_tokenizer_piece(s.tokenizer, byte, &n), "\xE2", 1);
        assert_int_equal(n, 1);
        tw_str_init(&text, 0);
        expect_ok(tw_decode(s.tokenizer, (int32_t[]){the, byte, byte + 1, the}, 4, false, &text, &err), &err);
        assert_string_equal(text.data, "the\xEF\xBF\xBD\xEF\xBF\xBD the");
        tw_str_release(&text);
        subject_close(&s);
    }
}

/* White space that an rstrip took is gone: no token that is made of it is found there. */
static void test_white_space_is_taken_once(void **state)
{
    static const char text[] = "a<pad>\n\nb\n\nc";
    static const struct {
        size_t begin, end;
        int32_t id;
    } parts[]                 = {{0, 1, -1}, {1, 8, 1}, {8, 9, -1}, {9, 11, 2}, {11, 12, -1}};
    struct tw_added_set set   = {0};
    struct trawl_error err    = {0};
    struct tw_added_scan scan = {.text = text, .n = sizeof text - 1};
    struct tw_added_part part;
    char pad[] = "<pad>", gap[] = "\n\n";
    (void)state;
    expect_ok(
        tw_added_add(&set, &(struct tw_added_token){.text = pad, .n = 5, .id = 1, .rstrip = true}, &err),
        &err);
    expect_ok(
        tw_added_add(&set, &(struct tw_added_token){.text = gap, .n = 2, .id = 2, .lstrip = true}, &err),
        &err);
    tw_added_build(&set);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_true(tw_added_next(&set, &scan, &part));
        assert_int_equal(part.begin, parts[i].begin);
        assert_int_equal(part.end, parts[i].end);
        assert_int_equal(part.id, parts[i].id);
    }
    assert_false(tw_added_next(&set, &scan, &part));
    tw_added_release(&set);
}

/* What the tokenizers package (0.23) makes of characters that came after Unicode 9. */
static void test_normalizing_knows_no_newer_characters(void **state)
{
    static const struct {
        const char *text, *normalized;
    } cases[] = {
        {"\u03A9\u0323\u0301", "\u038F\u0323"},         /* the accent is reached past a mark below */
        {"\u03A9\u089A\u0301", "\u03A9\u089A\u0301"},   /* not past one of Unicode 14 */
        {"a\u0301\u0323", "\u1EA1\u0301"},              /* marks are put in order */
        {"a\u1ABF\u0301\u0323", "a\u1ABF\u0323\u0301"}, /* among themselves, not around it */
        {"a\u0301\u1DF6\u0323e\u0301", "\u00E1\u1DF6\u0323\u00E9"},
        {"\U00011935\U00011930", "\U00011935\U00011930"}, /* no composition of Unicode 13 */
        {"e\u0301\u089A", "\u00E9\u089A"},
    };
    struct tw_nfc *nfc            = NULL;
    struct tw_nfc_scratch scratch = {0};
    struct trawl_error err        = {0};
    struct tw_str out;
    (void)state;
    tw_str_init(&out, 0);
    expect_ok(tw_nfc_new(&nfc, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tw_str_reset(&out);
        expect_ok(tw_nfc_append(&scratch, cases[i].text, strlen(cases[i].text), &out, &err), &err);
        assert_string_equal(out.data, cases[i].normalized);
        assert_true(strcmp(cases[i].text, out.data) == 0 ||
                    !tw_nfc_check(nfc, cases[i].text, strlen(cases[i].text)));
    }
    tw_str_release(&out);
    tw_nfc_scratch_release(&scratch);
    tw_free(nfc);
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

/* Null members are left out and reasoning has all its names, as transformers 5 does before it renders. */
static void test_what_a_template_sees_of_messages(void **state)
{
    static const char chat[] = "{{ messages }}";
    static const struct {
        const char *messages, *rendered;
    } cases[] = {
        {"[{\"role\":\"user\",\"content\":null,\"tool_calls\":null}]", "[{'role': 'user'}]"},
        {"[{\"role\":\"a\",\"reasoning\":\"r\"}]",
         "[{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}]"},
        {"[{\"thinking\":\"t\",\"reasoning_content\":\"c\",\"role\":\"a\"}]",
         "[{'thinking': 't', 'reasoning_content': 'c', 'role': 'a'}]"},
        {"[{\"role\":\"a\",\"thinking\":null,\"x\":[null]}]", "[{'role': 'a', 'x': [None]}]"},
    };
    struct tw_tokenizer *t = NULL;
    struct trawl_error err = {0};
    json_error_t e;
    json_t *doc = json_load_file(FIXTURES "digits/tokenizer.json", 0, &e);
    struct tw_str text;
    (void)state;
    tw_str_init(&text, 0);
    expect_ok(tw_alloc(1, sizeof *t, &t, &err), &err);
    expect_ok(tw_strdup("folder", &t->folder, &err), &err);
    expect_ok(
        tw_tokenizer_build(
            t, &(struct tw_tokenizer_files){.tokenizer = doc, .chat = chat, .n_chat = sizeof chat - 1}, &err),
        &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *messages = json_loads(cases[i].messages, 0, &e);
        tw_str_reset(&text);
        expect_ok(tw_chat_render(t, &(struct tw_chat_request){.messages = messages}, &text, &err), &err);
        assert_string_equal(tw_str_text(&text), cases[i].rendered);
        json_decref(messages);
    }
    json_t *none = json_array();
    assert_int_equal(tw_chat_render(t, &(struct tw_chat_request){.messages = none}, &text, &err),
                     TRAWL_ERR_FORMAT);
    assert_non_null(strstr(err.message, "expected at least one message"));
    json_decref(none);
    tw_str_release(&text);
    tw_tokenizer_close(t);
    json_decref(doc);
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

static trawl_status build_changed(const char *folder, const char *change, struct trawl_error *err)
{
    struct tw_tokenizer *t = NULL;
    json_error_t e;
    char path[1024];
    (void)snprintf(path, sizeof path, FIXTURES "%s/tokenizer.json", folder);
    json_t *doc   = json_load_file(path, 0, &e);
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
        trawl_status status    = build_changed("split", cases[i].change, &err);
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

static void test_refusals_where_spaces_are_marked(void **state)
{
    static const struct {
        const char *folder, *change, *says;
    } cases[] = {
        {"prepend", "{\"model\":{\"byte_fallback\":false}}", "byte_fallback is false"},
        {"prepend", "{\"model\":{\"vocab\":{\"<0x42>\":68}}}", "two tokens"},
        {"prepend",
         "{\"normalizer\":{\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
         "\"content\":\"\xE2\x96\x81\"},{\"type\":\"NFC\"}]}}",
         "normalizer \"NFC\""},
        {"prepend", "{\"decoder\":{\"type\":\"ByteLevel\"}}", "decoder \"ByteLevel\""},
        {"prepend", "{\"decoder\":{\"decoders\":[]}}", "decoder \"Sequence\""},
        {"prepend",
         "{\"added_tokens\":[{\"id\":900,\"content\":\"zz\",\"normalized\":true,\"lstrip\":true}]}",
         "\"zz\" is normalized and has lstrip"},
        {"metaspace", "{\"pre_tokenizer\":{\"prepend_scheme\":\"last\"}}", "prepend_scheme \"last\""},
        {"metaspace", "{\"pre_tokenizer\":{\"replacement\":\"_\"}}", "replacement \"_\""},
        {"metaspace", "{\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}}",
         "Metaspace after a normalizer"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trawl_error err = {0};
        trawl_status status    = build_changed(cases[i].folder, cases[i].change, &err);
        if (status == TRAWL_OK || strstr(err.message, cases[i].says) == NULL) {
            fail_msg("%s: %s \"%s\"", cases[i].change, trawl_status_name(status), err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_marked_spaces),
        cmocka_unit_test(test_what_a_template_sees_of_messages),
        cmocka_unit_test(test_white_space_is_taken_once),
        cmocka_unit_test(test_normalizing_knows_no_newer_characters),
        cmocka_unit_test(test_refusals_where_spaces_are_marked),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lookups),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_chat),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("text.tokenizer", tests, NULL, NULL);
}
