/* SPDX-License-Identifier: MIT */
/* The threads that upload: a folder that grows, refusals that pass and such that do not, stopping, beginning again. */
#include "cloud/cloud_fake.h"

#include "base/hash.h"
#include "cloud/cloud_uploader.h"

enum { FILES = 24, BYTES = 3000 };

static struct fake_server server;
static char folder[TEST_FOLDER_BYTES];

/* Files that appear one after the other; file `bad` (none: -1) is the last one before the source breaks. */
struct source {
    int given, limit, bad;
};

static void fill(int i, uint8_t bytes[BYTES])
{
    for (int k = 0; k < BYTES; k++) {
        bytes[k] = (uint8_t)(k * (i + 3) >> 3);
    }
}

static trawl_status next(void *user, struct tw_upload_item *item, char owner[17], bool *has,
                         struct trawl_error *err)
{
    struct source *s = user;
    uint8_t bytes[BYTES];
    *has = s->given < s->limit;
    if (!*has) {
        s->limit += s->limit < FILES ? 1 : 0; /* the next look finds one more */
        return s->given == s->bad ? tw_fail(err, TRAWL_ERR_FORMAT, "manifest.jsonl is damaged") : TRAWL_OK;
    }
    fill(s->given, bytes);
    (void)snprintf(item->name, sizeof item->name, "file-%02d", s->given++);
    item->bytes = BYTES;
    item->xxh3  = tw_hash64(bytes, BYTES);
    (void)snprintf(owner, 17, "%016d", 7);
    return TRAWL_OK;
}

static void make_files(const char *dir)
{
    uint8_t bytes[BYTES];
    char path[256];
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof path, "%s/file-%02d", dir, i);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fill(i, bytes);
        assert_int_equal(fwrite(bytes, 1, BYTES, f), BYTES);
        (void)fclose(f);
    }
}

static bool go_on(void *user, const struct tw_upload_progress *progress)
{
    uint64_t *most = user;
    assert_true(progress->done_files <= progress->files && progress->done_files >= *most);
    *most = progress->done_files;
    return true;
}

static bool stop_now(void *user, const struct tw_upload_progress *progress)
{
    (void)user;
    (void)progress;
    return false;
}

static struct tw_uploader *start(struct source *source, const char *dir, const char *url)
{
    struct trawl_error err;
    struct tw_uploader *u;
    const struct tw_uploader_config config = {
        .dir = dir, .url = url, .http = cloud_http, .next = next, .user = source};
    assert_ok(tw_uploader_start(&config, &u, &err));
    return u;
}

/* All files of the folder and one at the end; what fails is looked at by the caller, who releases `why`. */
static void finish(struct tw_uploader *u, const char *dir, struct tw_upload_summary *s)
{
    struct trawl_error err;
    char path[256], gone[256];
    uint64_t most = 0;
    (void)snprintf(path, sizeof path, "%s/file-00", dir);
    (void)snprintf(gone, sizeof gone, "%s/not-there", dir);
    const struct tw_upload_final finals[] = {{gone, "not-there"}, {path, "last"}};
    assert_ok(tw_uploader_finish(u, finals, 2, go_on, &most, s, &err));
    tw_uploader_stop(u);
}

/* Objects below a prefix, and how often the fake stored any of them. */
static size_t objects(const char *prefix, json_int_t *stored)
{
    json_t *state = cloud_ask(&server, "/_state", NULL), *times;
    const char *name;
    size_t n = 0;
    *stored  = 0;
    json_object_foreach(json_object_get(state, "puts"), name, times)
    {
        if (strncmp(name, prefix, strlen(prefix)) == 0) {
            n++;
            *stored += json_integer_value(times);
        }
    }
    json_decref(state);
    return n;
}

static void test_all_arrive_once(void **state)
{
    struct scratch *s = *state;
    struct tw_upload_summary summary;
    json_int_t stored;
    make_files(s->dir);
    cloud_rules(&server, "{\"on\": \"POST /upload\", \"times\": 5, \"do\": 503}, "
                         "{\"on\": \"PUT /upload\", \"times\": 5, \"do\": \"lost\", \"skip\": 2}");
    struct source source = {.limit = 1, .bad = -1};
    finish(start(&source, s->dir, "gs://bucket/all"), s->dir, &summary);
    assert_int_equal(summary.failed, 0);
    assert_int_equal(summary.progress.files, summary.progress.done_files);
    assert_int_equal(source.given, summary.progress.files - 1);
    /* What had not appeared when the end came is found by the next one; the rest is not sent again. */
    tw_str_release(&summary.why);
    source = (struct source){.limit = FILES, .bad = -1};
    finish(start(&source, s->dir, "gs://bucket/all"), s->dir, &summary);
    assert_int_equal(summary.failed, 0);
    assert_int_equal(summary.progress.done_files, FILES + 1);
    assert_true(summary.progress.earlier > 0);
    assert_int_equal(objects("gs/bucket/all/", &stored), FILES + 1);
    assert_int_equal(stored, FILES + 1);
    tw_str_release(&summary.why);
}

static void test_refusals_that_pass(void **state)
{
    struct scratch *s = *state;
    struct tw_upload_summary summary;
    json_int_t stored;
    make_files(s->dir);
    cloud_rules(&server, "{\"on\": \"POST /upload\", \"times\": 4, \"do\": 403}");
    struct source source = {.limit = FILES, .bad = -1};
    finish(start(&source, s->dir, "gs://bucket/passing"), s->dir, &summary);
    assert_int_equal(summary.failed, 0); /* each was tried again */
    assert_int_equal(objects("gs/bucket/passing/", &stored), FILES + 1);
    assert_string_equal(tw_str_text(&summary.why), "");
    tw_str_release(&summary.why);
}

static void test_refusals_that_stay(void **state)
{
    struct scratch *s = *state;
    struct tw_upload_summary summary;
    json_int_t stored;
    make_files(s->dir);
    cloud_rules(&server, "{\"on\": \"POST /upload\", \"times\": 100000, \"do\": 403}");
    struct source source = {.limit = FILES, .bad = -1};
    finish(start(&source, s->dir, "gs://bucket/staying"), s->dir, &summary);
    assert_true(summary.failed > 0);
    assert_non_null(strstr(tw_str_text(&summary.why), "403 Forbidden"));
    assert_int_equal(objects("gs/bucket/staying/", &stored), 0);
    tw_str_release(&summary.why);
    /* One file that cannot go: all others do, but for the last one, which says that everything is there. */
    char path[256];
    (void)snprintf(path, sizeof path, "%s/file-05", s->dir);
    FILE *f = fopen(path, "ab");
    (void)fputs("damage", f);
    (void)fclose(f);
    cloud_rules(&server, "");
    source = (struct source){.limit = FILES, .bad = -1};
    finish(start(&source, s->dir, "gs://bucket/staying"), s->dir, &summary);
    assert_int_equal(summary.failed, 1);
    assert_non_null(
        strstr(tw_str_text(&summary.why), "file-05 is not what was committed: 3006 bytes, expected 3000"));
    assert_int_equal(objects("gs/bucket/staying/", &stored), FILES - 1);
    tw_str_release(&summary.why);
}

static void test_source_breaks(void **state)
{
    struct scratch *s = *state;
    struct tw_upload_summary summary;
    make_files(s->dir);
    cloud_rules(&server, "");
    struct source source = {.limit = 3, .bad = 3};
    finish(start(&source, s->dir, "gs://bucket/broken"), s->dir, &summary);
    assert_int_equal(summary.failed, 1);
    assert_string_equal(tw_str_text(&summary.why), "manifest.jsonl is damaged\n");
    assert_int_equal(summary.progress.done_files, 3);
    tw_str_release(&summary.why);
}

static void test_stopped(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct tw_upload_summary summary;
    make_files(s->dir);
    cloud_rules(&server, "{\"on\": \"PUT /upload\", \"times\": 100000, \"do\": \"late\"}");
    struct source source  = {.limit = FILES, .bad = -1};
    struct tw_uploader *u = start(&source, s->dir, "gs://bucket/stopped");
    assert_refused(tw_uploader_finish(u, NULL, 0, stop_now, NULL, &summary, &err), TRAWL_ERR_CANCELLED,
                   "stopped");
    tw_uploader_stop(u);
    tw_str_release(&summary.why);
    source = (struct source){.limit = FILES, .bad = -1};
    tw_uploader_stop(start(&source, s->dir, "gs://bucket/stopped")); /* at once, as after a run that failed */
    struct tw_uploader_config config = {.dir = s->dir, .url = "gs://x", .next = next, .user = &source};
    assert_refused(tw_uploader_start(&config, &u, &err), TRAWL_ERR_INVALID, "no name of a bucket");
}

int main(void)
{
    char credentials[sizeof folder + 32];
    if (!test_folder_make(folder) ||
        !fake_server_start(&server, TRAWL_SOURCE_DIR "/tests/cloud/fake_cloud.py", folder)) {
        (void)printf("skipped: no Python to run the server of the test with\n");
        return 77;
    }
    cloud_clean_environment(&server, folder);
    (void)snprintf(credentials, sizeof credentials, "%s/service_account.json", folder);
    (void)setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials, 1);
    const struct CMUnitTest tests[] = {
        scratch_test(test_all_arrive_once),
        scratch_test(test_refusals_that_pass),
        scratch_test(test_refusals_that_stay),
        scratch_test(test_source_breaks),
        scratch_test(test_stopped),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fake_server_stop(&server);
    (void)nftw(folder, cloud_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
