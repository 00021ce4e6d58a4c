/* SPDX-License-Identifier: MIT */
/* Files into a fake Google Cloud Storage and a fake S3, which check signatures by themselves and fail on request
 * (fake_cloud.py). */
#include "cloud/cloud_fake.h"

#include "base/file.h"
#include "base/hash.h"
#include "cloud/cloud.h"
#include "cloud/cloud_crypto.h"

/* Parts, and a file of several. */
enum {
    KIB       = 1024,
    GCS_PART  = 256 * KIB,
    GCS_LARGE = 900 * KIB + 77,
    S3_PART   = 5120 * KIB,
    S3_LARGE  = 5120 * KIB + 77
};

static struct fake_server server;
static char folder[TEST_FOLDER_BYTES];

static void rules(const char *text)
{
    cloud_rules(&server, text);
}

/* How often a request of this kind came since rules() was called. */
static size_t count(const char *prefix)
{
    json_t *state = cloud_ask(&server, "/_state", NULL), *line;
    size_t i, n = 0;
    json_array_foreach(json_object_get(state, "log"), i, line)
    {
        n += strncmp(json_string_value(line), prefix, strlen(prefix)) == 0;
    }
    json_decref(state);
    return n;
}

/* An object as the fake has it: the bytes of the local file, stored so often, and no upload left open. */
static void assert_stored(const char *name, const char *path, json_int_t times)
{
    struct trawl_error err;
    struct tw_part_hash hash;
    json_t *state     = cloud_ask(&server, "/_state", NULL);
    json_t *object    = json_object_get(json_object_get(state, "objects"), name);
    json_int_t stored = json_integer_value(json_object_get(json_object_get(state, "puts"), name));
    assert_non_null(object);
    assert_ok(tw_cloud_hash_part(path, 0, (uint64_t)json_integer_value(json_object_get(object, "bytes")),
                                 &hash, &err));
    assert_string_equal(hash.sha256, json_string_value(json_object_get(object, "sha256")));
    assert_int_equal(stored, times);
    assert_int_equal(json_integer_value(json_object_get(state, "uploads")), 0);
    json_decref(state);
}

/* ---- this side ---- */

static void make_file(const char *path, size_t bytes, unsigned seed)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t i = 0; i < bytes; i++) {
        (void)fputc((int)((i * 2654435761u + seed) >> 13 & 255), f);
    }
    (void)fclose(f);
}

static const char *in_folder(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void clean_environment(void)
{
    cloud_clean_environment(&server, folder);
}

static void google_file(const char *name)
{
    clean_environment();
    (void)setenv("GOOGLE_APPLICATION_CREDENTIALS", in_folder(name), 1);
}

static void amazon_keys(void)
{
    clean_environment();
    (void)setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "secret/key+1", 1);
    (void)setenv("AWS_REGION", "eu-central-1", 1);
}

static trawl_status put_at(const char *url, const char *path, const char *name, const char *owner,
                           struct tw_cloud_receipt *receipt, struct trawl_error *err)
{
    struct tw_cloud *cloud;
    const struct tw_cloud_config config = {
        .url = url, .http = cloud_http, .part_bytes = url[0] == 'g' ? GCS_PART : S3_PART};
    struct tw_mapped_file bytes;
    TW_TRY(tw_mapped_file_open(&bytes, path, err));
    const struct tw_cloud_file file = {path, name, owner, bytes.size, tw_hash64(bytes.data, bytes.size)};
    tw_mapped_file_close(&bytes);
    TW_TRY(tw_cloud_open(&config, &cloud, err));
    trawl_status status = tw_cloud_put(cloud, &file, receipt, err);
    tw_cloud_close(cloud);
    return status;
}

static trawl_status check_at(const char *url, struct trawl_error *err)
{
    struct tw_cloud *cloud;
    const struct tw_cloud_config config = {.url = url, .http = cloud_http};
    TW_TRY(tw_cloud_open(&config, &cloud, err));
    trawl_status status = tw_cloud_check(cloud, err);
    tw_cloud_close(cloud);
    return status;
}

/* ---- both ---- */

static void whole_and_in_parts(const char *place, const char *shown)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    char name[128];
    bool gcs             = place[0] == 'g';
    const size_t sizes[] = {0, 1, gcs ? GCS_PART : S3_PART, gcs ? GCS_LARGE : S3_LARGE};
    rules("");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char key[64];
        make_file(in_folder("data"), sizes[i], (unsigned)i);
        (void)snprintf(key, sizeof key, "blocks.1/a b+c=%zu~\xc3\xa4.bin", sizes[i]);
        (void)snprintf(name, sizeof name, "%s%s", shown, key);
        assert_ok(put_at(place, in_folder("data"), key, "run1", &r, &err));
        assert_false(r.was_there);
        assert_int_equal(r.bytes, sizes[i]);
        assert_true(strlen(r.version) > 3);
        assert_stored(name, in_folder("data"), 1);
        assert_ok(put_at(place, in_folder("data"), key, "run1", &r, &err));
        assert_true(r.was_there); /* the same again costs nothing */
        assert_stored(name, in_folder("data"), 1);
    }
}

static void others_are_safe(const char *place, const char *shown)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    char name[128];
    rules("");
    (void)snprintf(name, sizeof name, "%s%s", shown, "manifest");
    make_file(in_folder("data"), 1000, 1);
    assert_ok(put_at(place, in_folder("data"), "manifest", "run1", &r, &err));
    make_file(in_folder("data"), 1000, 2);
    assert_refused(put_at(place, in_folder("data"), "manifest", "run2", &r, &err), TRAWL_ERR_EXISTS,
                   "manifest is there already and not of this run");
    make_file(in_folder("data"), 1000, 1);
    assert_stored(name, in_folder("data"), 1);
    make_file(in_folder("data"), 1000, 2);
    assert_ok(put_at(place, in_folder("data"), "manifest", "run1", &r, &err)); /* ours may grow */
    assert_stored(name, in_folder("data"), 2);
}

static void test_gcs_sizes(void **state)
{
    (void)state;
    google_file("service_account.json");
    whole_and_in_parts("gs://bucket/acts", "gs/bucket/acts/");
    others_are_safe("gs://bucket//others/", "gs/bucket/others/");
}

static void test_s3_sizes(void **state)
{
    (void)state;
    amazon_keys();
    whole_and_in_parts("s3://bucket/acts/", "s3/bucket/acts/");
    others_are_safe("s3://bucket", "s3/bucket/");
}

/* ---- Google ---- */

static void test_gcs_mishaps(void **state)
{
    static const char *const cases[] = {
        "{\"on\": \"POST /upload\", \"times\": 2, \"do\": 503}",
        "{\"on\": \"PUT /upload\", \"times\": 3, \"do\": 429}",
        "{\"on\": \"PUT /upload\", \"times\": 2, \"do\": \"half\"}",
        "{\"on\": \"PUT /upload\", \"times\": 1, \"do\": \"half\", \"skip\": 2}",
        "{\"on\": \"PUT /upload\", \"times\": 1, \"do\": \"lost\"}",
        "{\"on\": \"PUT /upload\", \"times\": 1, \"do\": \"lost\", \"skip\": 2}", /* the last byte */
        "{\"on\": \"PUT /upload\", \"times\": 2, \"do\": \"drop\", \"skip\": 1}",
        "{\"on\": \"PUT /upload\", \"times\": 1, \"do\": 410, \"skip\": 1}",
        "{\"on\": \"POST /token\", \"times\": 2, \"do\": 500}",
        "{\"on\": \"POST /upload\", \"times\": 1, \"do\": 401}",
    };
    struct trawl_error err;
    struct tw_cloud_receipt r;
    char name[64], key[32];
    (void)state;
    google_file("authorized_user.json");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_file(in_folder("data"), GCS_LARGE, (unsigned)i + 50);
        (void)snprintf(key, sizeof key, "mishap-%zu", i);
        (void)snprintf(name, sizeof name, "gs/bucket/%s", key);
        rules(cases[i]);
        if (put_at("gs://bucket", in_folder("data"), key, "run", &r, &err) != TRAWL_OK) {
            fail_msg("%s: %s", cases[i], err.message);
        }
        assert_stored(name, in_folder("data"), 1);
    }
}

static void test_gcs_wrong_sums(void **state)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    (void)state;
    google_file("service_account.json");
    make_file(in_folder("data"), 3000, 5);
    rules("{\"on\": \"PUT /upload\", \"times\": 1, \"do\": \"badsum\"}");
    assert_ok(put_at("gs://bucket", in_folder("data"), "sum", "run", &r, &err));
    assert_stored("gs/bucket/sum", in_folder("data"), 2); /* the wrong one was replaced */
    rules("{\"on\": \"PUT /upload\", \"times\": 99, \"do\": \"badsum\"}");
    make_file(in_folder("data"), 3000, 6);
    assert_refused(put_at("gs://bucket", in_folder("data"), "sum", "run", &r, &err), TRAWL_ERR_IO,
                   "another checksum");
}

static void test_gcs_refusals(void **state)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    (void)state;
    google_file("service_account.json");
    rules("");
    assert_ok(check_at("gs://bucket/x", &err));
    assert_refused(check_at("gs://missing/x", &err), TRAWL_ERR_IO, "The specified bucket does not exist");
    assert_refused(check_at("gs://readonly", &err), TRAWL_ERR_IO, "may not create objects");
    make_file(in_folder("data"), 10, 1);
    assert_refused(put_at("gs://missing", in_folder("data"), "x", "run", &r, &err), TRAWL_ERR_IO,
                   "404 Not Found: The specified bucket");
    assert_refused(put_at("gs://bucket", in_folder("nothing"), "x", "run", &r, &err), TRAWL_ERR_IO,
                   "nothing");
    rules("{\"on\": \"PUT /upload\", \"times\": 99, \"do\": 503}");
    assert_refused(put_at("gs://bucket", in_folder("data"), "never", "run", &r, &err), TRAWL_ERR_IO, "503");
    assert_null(strstr(err.message, "session-"));
    assert_int_equal(count("PUT /upload"), 6);
}

static void test_google_credentials(void **state)
{
    struct trawl_error err;
    struct tw_cloud *cloud;
    char host[64];
    (void)state;
    rules("");
    clean_environment(); /* nothing but the metadata server */
    (void)snprintf(host, sizeof host, "127.0.0.1:%d", server.port);
    (void)setenv("GCE_METADATA_HOST", host, 1);
    assert_ok(check_at("gs://bucket", &err));
    assert_int_equal(count("GET /computeMetadata/"), 1);
    (void)setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
    assert_refused(check_at("gs://bucket", &err), TRAWL_ERR_IO, "gcloud auth application-default login");
    (void)setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "made-up", 1);
    assert_refused(check_at("gs://bucket", &err), TRAWL_ERR_IO, "401 Unauthorized: Invalid Credentials");
    assert_null(strstr(err.message, "made-up"));

    google_file("bad.json");
    const struct tw_cloud_config config = {.url = "gs://bucket", .http = cloud_http};
    assert_refused(tw_cloud_open(&config, &cloud, &err), TRAWL_ERR_IO, "bad.json");
    FILE *f = fopen(in_folder("bad.json"), "w");
    (void)fputs("{\"type\": \"external_account\"}", f);
    (void)fclose(f);
    assert_refused(tw_cloud_open(&config, &cloud, &err), TRAWL_ERR_UNSUPPORTED, "external_account");
    f = fopen(in_folder("bad.json"), "w");
    (void)fputs("{\"type\": \"service_account\", \"client_email\": \"a\", \"private_key\": \"secret words\"}",
                f);
    (void)fclose(f);
    assert_refused(check_at("gs://bucket", &err), TRAWL_ERR_FORMAT, "no RSA private key");
    assert_null(strstr(err.message, "secret words"));
    /* A refusal by the token server names the file and its reason. */
    f = fopen(in_folder("bad.json"), "w");
    (void)fprintf(f,
                  "{\"type\": \"authorized_user\", \"client_id\": \"me\", \"client_secret\": \"no\", "
                  "\"refresh_token\": \"1//x\", \"token_uri\": \"%s/token\"}",
                  server.base);
    (void)fclose(f);
    assert_refused(check_at("gs://bucket", &err), TRAWL_ERR_IO, "bad.json");
    assert_non_null(strstr(err.message, "invalid_grant: Bad Request"));
}

/* ---- Amazon ---- */

static void test_s3_mishaps(void **state)
{
    static const struct {
        const char *rule;
        json_int_t times;
    } cases[] = {
        {"{\"on\": \"POST /bucket\", \"times\": 2, \"do\": 503}", 1},
        {"{\"on\": \"PUT /bucket\", \"times\": 3, \"do\": 500}", 1},
        {"{\"on\": \"PUT /bucket\", \"times\": 1, \"do\": \"lost\", \"skip\": 1}", 1},
        {"{\"on\": \"PUT /bucket\", \"times\": 1, \"do\": \"badsum\", \"skip\": 1}", 1},
        {"{\"on\": \"POST /bucket\", \"times\": 1, \"do\": \"lost\", \"skip\": 1}", 1}, /* completing */
        {"{\"on\": \"HEAD /bucket\", \"times\": 1, \"do\": \"drop\"}", 1},
    };
    struct trawl_error err;
    struct tw_cloud_receipt r;
    char name[64], key[32];
    (void)state;
    amazon_keys();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_file(in_folder("data"), S3_LARGE, (unsigned)i + 90);
        (void)snprintf(key, sizeof key, "mishap-%zu", i);
        (void)snprintf(name, sizeof name, "s3/bucket/%s", key);
        rules(cases[i].rule);
        if (put_at("s3://bucket", in_folder("data"), key, "run", &r, &err) != TRAWL_OK) {
            fail_msg("%s: %s", cases[i].rule, err.message);
        }
        assert_stored(name, in_folder("data"), cases[i].times);
    }
    make_file(in_folder("data"), 700, 8);
    rules("{\"on\": \"PUT /bucket\", \"times\": 1, \"do\": \"badsum\"}");
    assert_ok(put_at("s3://bucket", in_folder("data"), "sum", "run", &r, &err));
    assert_stored("s3/bucket/sum", in_folder("data"), 2);
    /* A part that is refused for good: the upload is aborted, nothing stays. */
    make_file(in_folder("data"), S3_LARGE, 200);
    rules("{\"on\": \"PUT /bucket\", \"times\": 99, \"do\": 400, \"skip\": 1}");
    assert_refused(put_at("s3://bucket", in_folder("data"), "never", "run", &r, &err), TRAWL_ERR_IO,
                   "400 Bad");
    json_t *now_there = cloud_ask(&server, "/_state", NULL);
    assert_int_equal(json_integer_value(json_object_get(now_there, "uploads")), 0);
    json_decref(now_there);
    assert_int_equal(count("DELETE /bucket/never?uploadId="), 1);
}

static void test_s3_refusals(void **state)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    (void)state;
    amazon_keys();
    rules("");
    make_file(in_folder("data"), 10, 1);
    assert_ok(check_at("s3://bucket/x", &err));
    assert_ok(check_at("s3://elsewhere", &err)); /* and its region is learnt */
    assert_refused(check_at("s3://missing/x", &err), TRAWL_ERR_IO, "there is no such bucket");
    /* Who may not look still does not replace what is there. */
    assert_ok(put_at("s3://blind", in_folder("data"), "x", "run", &r, &err));
    make_file(in_folder("data"), 11, 1);
    assert_refused(put_at("s3://blind", in_folder("data"), "x", "run", &r, &err), TRAWL_ERR_EXISTS,
                   "there already");
    make_file(in_folder("data"), S3_LARGE, 1);
    assert_ok(put_at("s3://blind", in_folder("data"), "large", "run", &r, &err));
    assert_true(strlen(r.version) > 34); /* of the parts */
    assert_refused(put_at("s3://blind", in_folder("data"), "large", "run", &r, &err), TRAWL_ERR_EXISTS,
                   "there already");
    make_file(in_folder("data"), 11, 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    assert_refused(put_at("s3://bucket", in_folder("data"), "y", "run", &r, &err), TRAWL_ERR_IO,
                   "403 Forbidden: SignatureDoesNotMatch: SignatureDoesNotMatch & more");
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static trawl_status amazon_put(struct tw_cloud_receipt *r, struct trawl_error *err)
{
    static int n;
    char key[16];
    (void)snprintf(key, sizeof key, "cred-%d", n++);
    return put_at("s3://bucket", in_folder("data"), key, "run", r, err);
}

static void test_amazon_credentials(void **state)
{
    struct trawl_error err;
    struct tw_cloud_receipt r;
    char path[300];
    (void)state;
    rules("");
    make_file(in_folder("data"), 10, 3);
    clean_environment();
    write_text(in_folder("keys"), "[default]\naws_access_key_id = nobody\naws_secret_access_key=none\n"
                                  "[lab]\n# comment\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key = "
                                  "secret/key+1 # comment\n");
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", in_folder("keys"), 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_IO, "403");
    (void)setenv("AWS_PROFILE", "lab", 1);
    assert_ok(amazon_put(&r, &err));
    (void)setenv("AWS_PROFILE", "nowhere", 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_INVALID, "AWS_PROFILE is \"nowhere\"");
    (void)setenv("AWS_PROFILE", "work", 1);
    write_text(in_folder("config"), "[profile work]\nsso_session = us\nregion = eu-west-3\n");
    (void)setenv("AWS_CONFIG_FILE", in_folder("config"), 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_UNSUPPORTED, "export-credentials");

    clean_environment();
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.base, 1);
    assert_ok(amazon_put(&r, &err));
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_INVALID, "aws configure");
    (void)snprintf(path, sizeof path, "%s/container", server.base);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", path, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let me in", 1);
    assert_ok(amazon_put(&r, &err));
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost.example.com/", 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_INVALID, "neither https");
    (void)setenv("AWS_ACCESS_KEY_ID", "alone", 1);
    assert_refused(amazon_put(&r, &err), TRAWL_ERR_INVALID, "only one is set");
}

int main(void)
{
    if (!test_folder_make(folder) ||
        !fake_server_start(&server, TRAWL_SOURCE_DIR "/tests/cloud/fake_cloud.py", folder)) {
        (void)printf("skipped: no Python to run the server of the test with\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gcs_sizes),          cmocka_unit_test(test_gcs_mishaps),
        cmocka_unit_test(test_gcs_wrong_sums),     cmocka_unit_test(test_gcs_refusals),
        cmocka_unit_test(test_google_credentials), cmocka_unit_test(test_s3_sizes),
        cmocka_unit_test(test_s3_mishaps),         cmocka_unit_test(test_s3_refusals),
        cmocka_unit_test(test_amazon_credentials),
    };
    clean_environment();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fake_server_stop(&server);
    (void)nftw(folder, cloud_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
