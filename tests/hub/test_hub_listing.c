/* SPDX-License-Identifier: MIT */
/* What a hub says, which of its files are wanted, hashes, and names in the cache. */
#include "base/alloc.h"
#include "base/file.h"
#include "hub/hub_cache.h"
#include "hub/hub_hash.h"
#include "hub/hub_listing.h"
#include "support/test.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define LFS "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static trawl_status parse(struct tw_hub_listing *l, const char *text, struct trawl_error *err)
{
    return tw_hub_listing_parse(l, text, strlen(text), "hub/api", err);
}

static void listings(void **state)
{
    struct tw_hub_listing l;
    struct trawl_error err = {0};
    (void)state;
    assert_ok(parse(&l,
                    "{\"sha\": \"" SHA "\", \"private\": false, \"siblings\": ["
                    "{\"rfilename\": \"a/b c.json\", \"size\": 12, \"blobId\": \"" SHA "\"},"
                    "{\"rfilename\": \"w.safetensors\", \"size\": 134, \"blobId\": \"" SHA "\","
                    " \"lfs\": {\"sha256\": \"" LFS "\", \"size\": 9007199254740993, \"pointerSize\": 134}},"
                    "{\"rfilename\": \"...\", \"size\": 0, \"blobId\": \"" SHA "\", \"lfs\": null}]}",
                    &err));
    assert_string_equal(l.commit, SHA);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.files[0].path, "a/b c.json");
    assert_int_equal(l.files[0].size, 12);
    assert_string_equal(l.files[0].hash, SHA);
    assert_string_equal(l.files[1].hash, LFS);
    assert_true(l.files[1].size == 9007199254740993u);
    tw_hub_listing_release(&l);
    assert_ok(parse(&l, "{\"sha\": \"" SHA "\"}", &err));
    assert_int_equal(l.n, 0);
    tw_hub_listing_release(&l);
}

static void wrong_listings(void **state)
{
#define FILES(inside) "{\"sha\": \"" SHA "\", \"siblings\": [{" inside "}]}"
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"[]", "hub/api: an array, expected an object"},
        {"{}", "\"sha\" is missing, expected 40 hexadecimal digits"},
        {"{\"sha\": \"" LFS "\"}", "\"sha\" is something else"},
        {"{\"sha\": \"../../etc\"}", "\"sha\" is something else"},
        {"{\"sha\": \"" SHA "\", \"siblings\": [1]}", "a sibling is an integer"},
        {FILES(""), "a file is named \"\""},
        {FILES("\"rfilename\": \"\""), "a file is named \"\""},
        {FILES("\"rfilename\": \"/x\""), "expected a path below"},
        {FILES("\"rfilename\": \"x/\""), "expected a path below"},
        {FILES("\"rfilename\": \"x//y\""), "expected a path below"},
        {FILES("\"rfilename\": \"x/../y\""), "expected a path below"},
        {FILES("\"rfilename\": \"./y\""), "expected a path below"},
        {FILES("\"rfilename\": \"..\""), "expected a path below"},
        {FILES("\"rfilename\": \"a\\u0000b\""), "expected a path below"},
        {FILES("\"rfilename\": 5"), "\"rfilename\" is an integer"},
        {FILES("\"rfilename\": \"a\", \"blobId\": \"" SHA "\""), "hub/api: a: the hub does not say its size"},
        {FILES("\"rfilename\": \"a\", \"size\": -1, \"blobId\": \"" SHA "\""), "does not say its size"},
        {FILES("\"rfilename\": \"a\", \"size\": 1"), "\"blobId\" is missing"},
        {FILES("\"rfilename\": \"a\", \"size\": 1, \"blobId\": \"ABCDEF\""), "\"blobId\" is something else"},
        {FILES("\"rfilename\": \"a\", \"size\": 1, \"lfs\": {\"size\": 1, \"sha256\": \"" SHA "\"}"),
         "\"sha256\" is something else, expected 64"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_hub_listing l;
        struct trawl_error err = {0};
        assert_refused(parse(&l, cases[i].text, &err), TRAWL_ERR_FORMAT, cases[i].words);
        tw_hub_listing_release(&l);
    }
}

static void choices(void **state)
{
    static const struct {
        const char *path, *pattern;
        bool matches;
    } cases[] = {
        {"a.json", "*.json", true},       {"x/a.json", "*.json", true}, {"a.jsonl", "*.json", false},
        {"x/a.json", "x/", true},         {"xx/a.json", "x/", false},   {"x", "x/", false},
        {".hidden", "*", true},           {"x/y/z", "x/*/z", true},     {"a1", "a[0-9]", true},
        {"model.safetensors", "", false}, {"A.json", "a.json", false},
    };
    static const char *const models[]  = {"config.json",
                                          "tokenizer.json",
                                          "model-00001-of-00002.safetensors",
                                          "model.safetensors.index.json",
                                          "chat_template.jinja",
                                          "generation_config.json"};
    static const char *const nothing[] = {
        "README.md",     "pytorch_model.bin", "onnx/model.safetensors", "consolidated.safetensors",
        "x/config.json", "config.json.bak"};
    const struct tw_hub_patterns none = {NULL, 0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_hub_patterns one = {&cases[i].pattern, 1};
        assert_true(tw_hub_wanted(cases[i].path, one, none) == cases[i].matches);
        assert_true(tw_hub_wanted(cases[i].path, none, one) != cases[i].matches);
        assert_false(tw_hub_wanted(cases[i].path, one, one));
    }
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        assert_true(tw_hub_model_file(models[i]));
        assert_false(tw_hub_model_file(nothing[i]));
    }
}

/* git hash-object and sha256sum of "hello\n". */
static void hashes(void **state)
{
    static const char *const expected[] = {
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"};
    struct trawl_error err = {0};
    char got[TW_HUB_HASH_BYTES];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tw_hub_hash *h = NULL;
        assert_ok(tw_hub_hash_new(expected[i], 6, &h, &err));
        assert_ok(tw_hub_hash_add(h, "rubbish", 7, &err));
        assert_ok(tw_hub_hash_reset(h, &err));
        assert_ok(tw_hub_hash_add(h, "hel", 3, &err));
        assert_ok(tw_hub_hash_add(h, "lo\n", 3, &err));
        assert_int_equal(tw_hub_hash_bytes(h), 6);
        assert_ok(tw_hub_hash_end(h, got, &err));
        assert_string_equal(got, expected[i]);
        tw_hub_hash_free(h);
    }
    tw_hub_hash_free(NULL);
}

static void names(void **state)
{
    static const char *const good[]          = {"org/name", "gpt2", "Qwen/Qwen2.5-0.5B", "a_b/c.d-e"};
    static const char *const bad[]           = {"",     "/",    "a/",    "/a",     "a/b/c", "../x",
                                                "a/..", "a/.b", "a b/c", "a--b/c", "."};
    static const char *const revisions[]     = {"main", "v1.0", "refs/pr/1", SHA};
    static const char *const not_revisions[] = {"", "/", "a//b", "../x", "a/../b", "a b", "a/", ".x"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(tw_hub_is_repository(good[i]));
        assert_true(tw_hub_is_revision(revisions[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tw_hub_is_repository(bad[i]));
    }
    for (size_t i = 0; i < sizeof not_revisions / sizeof not_revisions[0]; i++) {
        assert_false(tw_hub_is_revision(not_revisions[i]));
    }
}

static void write_file(struct scratch *s, const char *name, const char *text)
{
    const char *path = scratch_path(s, name);
    assert_int_equal(tw_make_parent_dirs(path, NULL), TRAWL_OK);
    assert_int_equal(tw_file_replace(path, text, strlen(text), NULL), TRAWL_OK);
}

static void snapshots(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    struct tw_str out;
    bool found = true;
    tw_str_init(&out, 0);
    assert_ok(tw_hub_find_snapshot(s->dir, TW_HUB_MODEL, "org/name", "main", &out, &found, &err));
    assert_false(found);
    write_file(s, "models--org--name/snapshots/abc/config.json", "{}");
    write_file(s, "models--org--name/refs/main", "abc\n");
    write_file(s, "models--org--name/refs/refs/pr/1", "def");
    write_file(s, "models--org--name/refs/bad", "../../x");
    write_file(s, "datasets--single/snapshots/abc/x", "");
    assert_ok(tw_hub_find_snapshot(s->dir, TW_HUB_MODEL, "org/name", "main", &out, &found, &err));
    assert_true(found);
    assert_string_equal(tw_str_text(&out), scratch_path(s, "models--org--name/snapshots/abc"));
    assert_ok(tw_hub_find_snapshot(s->dir, TW_HUB_MODEL, "org/name", "v2", &out, &found, &err));
    assert_false(found);
    assert_refused(tw_hub_find_snapshot(s->dir, TW_HUB_MODEL, "org/name", "refs/pr/1", &out, &found, &err),
                   TRAWL_ERR_IO, "names this snapshot, but it is not there");
    assert_refused(tw_hub_find_snapshot(s->dir, TW_HUB_MODEL, "org/name", "bad", &out, &found, &err),
                   TRAWL_ERR_FORMAT, "holds no commit");
    tw_str_reset(&out);
    assert_ok(tw_hub_find_snapshot(s->dir, TW_HUB_DATASET, "single", "abc", &out, &found, &err));
    assert_true(found);
    assert_string_equal(tw_str_text(&out), scratch_path(s, "datasets--single/snapshots/abc"));
    tw_str_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings), cmocka_unit_test(wrong_listings), cmocka_unit_test(choices),
        cmocka_unit_test(hashes),   cmocka_unit_test(names),          scratch_test(snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
