/* SPDX-License-Identifier: MIT */
/* The arithmetic and the readers below the uploads, against published values. */
#include "support/test.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "cloud/cloud_crypto.h"
#include "cloud/cloud_ini.h"
#include "cloud/cloud_ledger.h"
#include "cloud/cloud_place.h"
#include "cloud/cloud_sigv4.h"
#include "cloud/cloud_xml.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_hashes(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_part_hash part;
    struct tw_crc32c c;
    uint8_t digest[TW_SHA256_BYTES], zeros[32] = {0};
    char hex[TW_SHA256_HEX];
    uint32_t crc;
    uint64_t size;
    tw_crc32c_init(&c);
    tw_crc32c_update(&c, "123456789", 9);
    assert_int_equal(c.value, 0xe3069283u);
    tw_crc32c_init(&c);
    tw_crc32c_update(&c, zeros, 13); /* in two pieces as in one; RFC 3720, B.4 */
    tw_crc32c_update(&c, zeros, 19);
    assert_int_equal(c.value, 0x8a9136aau);
    assert_ok(tw_cloud_sha256("", 0, digest, &err));
    tw_cloud_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, EMPTY);
    /* RFC 4231, case 2 */
    assert_ok(tw_cloud_hmac("Jefe", 4, "what do ya want for nothing?", 28, digest, &err));
    tw_cloud_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    FILE *f = fopen(scratch_path(s, "f"), "wb");
    (void)fputs("xxabcyy123456789", f);
    (void)fclose(f);
    assert_ok(tw_cloud_hash_part(scratch_path(s, "f"), 2, 3, &part, &err));
    assert_string_equal(part.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    if (part.has_md5) {
        tw_cloud_hex(part.md5, sizeof part.md5, hex);
        assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
    }
    assert_refused(tw_cloud_hash_part(scratch_path(s, "f"), 10, 7, &part, &err), TRAWL_ERR_IO, "at least 17");
    assert_ok(tw_cloud_crc32c_file(scratch_path(s, "f"), &crc, &size, &err));
    assert_int_equal(size, 16);
}

static void test_base64(void **state)
{
    static const char *const cases[][3] = {{"", "", ""},
                                           {"f", "Zg==", "Zg"},
                                           {"fo", "Zm8=", "Zm8"},
                                           {"foo", "Zm9v", "Zm9v"},
                                           {"\xfb\xff\xfe", "+//+", "-__-"}};
    struct trawl_error err;
    struct tw_str out;
    (void)state;
    tw_str_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int url = 0; url < 2; url++) {
            tw_str_reset(&out);
            assert_ok(tw_cloud_base64(&out, cases[i][0], strlen(cases[i][0]), url, &err));
            assert_string_equal(tw_str_text(&out), cases[i][1 + url]);
        }
    }
    tw_str_reset(&out);
    assert_refused(tw_cloud_rs256(&out, "-----BEGIN NONSENSE-----", "x", 1, &err), TRAWL_ERR_FORMAT,
                   "no RSA");
    tw_str_release(&out);
}

/* ---- signatures: the examples in the documentation of S3, and one of AWS' test suite ---- */

static void assert_signature(const struct tw_sigv4 *r, const char *signature)
{
    struct trawl_error err;
    struct tw_str out;
    tw_str_init(&out, 0);
    assert_ok(tw_sigv4_sign(r, &out, &err));
    const char *found = strstr(tw_str_text(&out), "Signature=");
    assert_non_null(found);
    assert_string_equal(found + 10, signature);
    assert_non_null(strstr(tw_str_text(&out), r->key_id));
    assert_null(strstr(tw_str_text(&out), r->secret));
    tw_str_release(&out);
}

static void test_sigv4(void **state)
{
    const struct tw_http_header host  = {"host", "examplebucket.s3.amazonaws.com"},
                                date  = {"x-amz-date", "20130524T000000Z"},
                                empty = {"x-amz-content-sha256", EMPTY}, range = {"range", "bytes=0-9"};
    const struct tw_http_header get[] = {range, date, host, empty};
    const struct tw_http_header put[] = {
        {"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
        {"date", "Fri, 24 May 2013   00:00:00 GMT "},
        {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
        host,
        date};
    const struct tw_sigv4_query lifecycle = {"lifecycle", ""};
    const struct tw_sigv4_query list[]    = {{"prefix", "J"}, {"max-keys", "2"}};
    struct tw_sigv4 r                     = {.method    = "GET",
                                             .path      = "/test.txt",
                                             .headers   = get,
                                             .n_headers = 4,
                                             .payload   = EMPTY,
                                             .key_id    = "AKIAIOSFODNN7EXAMPLE",
                                             .secret    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                             .region    = "us-east-1",
                                             .service   = "s3",
                                             .time      = "20130524T000000Z"};
    char text[17];
    (void)state;
    tw_sigv4_time(1369353600000u, text);
    assert_string_equal(text, "20130524T000000Z");
    assert_signature(&r, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    r.method    = "PUT";
    r.path      = "/test%24file.text";
    r.headers   = put;
    r.n_headers = 5;
    r.payload   = put[0].value;
    assert_signature(&r, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    r.method    = "GET";
    r.path      = "/";
    r.headers   = get + 1;
    r.n_headers = 3;
    r.payload   = EMPTY;
    r.query     = &lifecycle;
    r.n_query   = 1;
    assert_signature(&r, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    r.query   = list;
    r.n_query = 2;
    assert_signature(&r, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");

    const struct tw_http_header suite[] = {{"host", "example.amazonaws.com"},
                                           {"x-amz-date", "20150830T123600Z"}};
    const struct tw_sigv4_query order[] = {{"Param2", "value2"}, {"Param1", "value1"}};
    r                                   = (struct tw_sigv4){.method    = "GET",
                                                            .path      = "/",
                                                            .query     = order,
                                                            .n_query   = 2,
                                                            .headers   = suite,
                                                            .n_headers = 2,
                                                            .payload   = EMPTY,
                                                            .key_id    = "AKIDEXAMPLE",
                                                            .secret    = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                                            .region    = "us-east-1",
                                                            .service   = "service",
                                                            .time      = "20150830T123600Z"};
    assert_signature(&r, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

/* ---- readers ---- */

static void test_places(void **state)
{
    static const struct {
        const char *url, *bucket, *prefix;
    } good[]                       = {{"gs://abc", "abc", ""},
                                      {"s3://a.b-c_1/", "a.b-c_1", ""},
                                      {"gs://abc/x", "abc", "x/"},
                                      {"gs://abc//x/y z//", "abc", "x/y z/"}};
    static const char *const bad[] = {
        "",           "abc",           "gs:/abc/x",     "http://abc/x", "gs://",
        "gs://ab",    "gs://ABC",      "gs://-abc",     "gs://a..b",    "gs://abc/x/../y",
        "gs://abc/.", "gs://abc/x//y", "gs://abc/\xff", "gs://a b/x",   "gs://a@b/c"};
    struct trawl_error err;
    struct tw_cloud_place p;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(tw_cloud_place_parse(good[i].url, &p, &err));
        assert_int_equal(p.kind, good[i].url[0] == 'g' ? TW_CLOUD_GCS : TW_CLOUD_S3);
        assert_string_equal(p.bucket, good[i].bucket);
        assert_string_equal(p.prefix, good[i].prefix);
        tw_cloud_place_release(&p);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (tw_cloud_place_parse(bad[i], &p, &err) != TRAWL_ERR_INVALID) {
            fail_msg("%s was taken", bad[i]);
        }
        tw_cloud_place_release(&p);
    }
}

static void assert_ini(const char *section, const char *key, const char *expected)
{
    static const char text[] = "outside = 1\r\n"
                               "[default]\r\n"
                               "aws_access_key_id=A # why\n"
                               "; off = 1\n"
                               "secret = a#b;c = d\n"
                               "s3 =\n"
                               "  secret = nested\n"
                               "[profile work]\n"
                               "region=eu\n"
                               "[default]\n"
                               "secret =\n"
                               "late = yes";
    struct trawl_error err;
    char *value;
    assert_ok(tw_ini_get(text, sizeof text - 1, section, key, &value, &err));
    if (expected == NULL) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_string_equal(value, expected);
    }
    tw_free(value);
}

static void test_ini(void **state)
{
    (void)state;
    assert_ini("default", "aws_access_key_id", "A");
    assert_ini("default", "secret", "a#b;c = d");
    assert_ini("default", "late", "yes");
    assert_ini("default", "off", NULL);
    assert_ini("default", "s3", NULL);
    assert_ini("default", "outside", NULL);
    assert_ini("default", "region", NULL);
    assert_ini("work", "region", "eu");
    assert_ini("wor", "region", NULL);
}

static void test_xml(void **state)
{
    static const char text[] =
        "<?xml version=\"1.0\"?><R><A>x &amp; y&lt;&quot;</A><B><C>1</C></B><E></E><F>open</R>";
    char out[32];
    (void)state;
    assert_true(tw_xml_text(text, sizeof text - 1, "A", out, sizeof out));
    assert_string_equal(out, "x & y<\"");
    assert_true(tw_xml_text(text, sizeof text - 1, "A", out, 4));
    assert_string_equal(out, "x &");
    assert_true(tw_xml_text(text, sizeof text - 1, "C", out, sizeof out));
    assert_true(tw_xml_text(text, sizeof text - 1, "E", out, sizeof out));
    assert_string_equal(out, "");
    assert_false(tw_xml_text(text, sizeof text - 1, "B", out, sizeof out));
    assert_false(tw_xml_text(text, sizeof text - 1, "D", out, sizeof out));
    assert_false(tw_xml_text(text, sizeof text - 1, "F", out, sizeof out));
}

/* ---- the ledger ---- */

static void test_ledger(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_ledger *ledger, *second;
    struct tw_cloud_receipt r = {.object = "gs://b/a \"1\"", .version = "17", .bytes = 10, .xxh3 = 0xabcdef};
    assert_ok(tw_ledger_open(s->dir, &ledger, &err));
    assert_false(tw_ledger_has(ledger, r.object, 10, 0xabcdef));
    assert_ok(tw_ledger_add(ledger, "a \"1\"", &r, &err));
    assert_true(tw_ledger_has(ledger, r.object, 10, 0xabcdef));
    assert_false(tw_ledger_has(ledger, r.object, 11, 0xabcdef));
    assert_false(tw_ledger_has(ledger, r.object, 10, 0xabcdee));
    assert_refused(tw_ledger_open(s->dir, &second, &err), TRAWL_ERR_EXISTS, "in use by another process");
    r.xxh3 = 5; /* the file has changed: only its latest content counts */
    assert_ok(tw_ledger_add(ledger, "a \"1\"", &r, &err));
    assert_false(tw_ledger_has(ledger, r.object, 10, 0xabcdef));
    tw_ledger_close(ledger);

    FILE *f = fopen(scratch_path(s, TW_LEDGER_NAME), "ab");
    (void)fputs("{\"file\": \"torn", f);
    (void)fclose(f);
    assert_ok(tw_ledger_open(s->dir, &ledger, &err));
    assert_true(tw_ledger_has(ledger, r.object, 10, 5));
    r.xxh3 = 6;
    assert_ok(tw_ledger_add(ledger, "b", &r, &err)); /* on a line of its own */
    tw_ledger_close(ledger);
    assert_ok(tw_ledger_open(s->dir, &ledger, &err));
    assert_true(tw_ledger_has(ledger, r.object, 10, 6));
    tw_ledger_close(ledger);
    f = fopen(scratch_path(s, TW_LEDGER_NAME), "ab");
    (void)fputs("{\"object\": \"x\"}\n", f);
    (void)fclose(f);
    assert_refused(tw_ledger_open(s->dir, &ledger, &err), TRAWL_ERR_FORMAT, "line 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_hashes),     cmocka_unit_test(test_base64), cmocka_unit_test(test_sigv4),
        cmocka_unit_test(test_places), cmocka_unit_test(test_ini),    cmocka_unit_test(test_xml),
        scratch_test(test_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
