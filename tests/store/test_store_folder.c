/* SPDX-License-Identifier: MIT */
/* What a store does about the folder it finds, and what verify and inspect say about one. */
#include "support/test.h"

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_job.h"
#include "store/store_survey.h"

static const char first_chunk[] =
    "activations/blocks.1.hook_resid_post/shard-00000-chunk-00000001.safetensors";

/* Open the store of the job for `keep` groups and close it again. */
static trawl_status reopen(const struct job *job, uint64_t keep, struct trawl_error *err)
{
    struct tw_store *store = NULL;
    char dir[1024];
    (void)snprintf(dir, sizeof dir, "%s/activations", job->root);
    struct tw_store_config c = job_config(job, dir);
    c.keep_groups            = keep;
    trawl_status status      = tw_store_open(&c, &store, err);
    tw_store_close(store);
    return status;
}

static void test_other_runs_are_refused(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(job_run(&job, 2, &err));
    job.resume = false;
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_EXISTS, "2 committed groups");
    job.dtype = TW_DTYPE_F32;
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_EXISTS,
                   "store.dtype was \"bfloat16\", now it is \"float32\"");
    job.resume = true;
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_EXISTS,
                   "store.dtype was \"bfloat16\", now it is \"float32\"");
    job        = job_default(s->dir);
    job.format = TW_STORE_PKL;
    job.dtype  = TW_DTYPE_F32;
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_EXISTS, "store.format");
    job             = job_default(s->dir);
    job.chunk_bytes = 77;
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_EXISTS, "store.chunk_bytes");
}

static void test_lock(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    struct tw_store *store = NULL;
    char dir[1024];
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    struct tw_store_config c = job_config(&job, dir);
    assert_ok(tw_store_open(&c, &store, &err));
    assert_refused(reopen(&job, 0, &err), TRAWL_ERR_EXISTS, "in use by another process");
    tw_store_close(store);
    assert_ok(reopen(&job, 0, &err));
}

static void test_foreign_metadata_is_not_overwritten(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(tw_make_dirs(scratch_path(s, "activations"), &err));
    write_file(scratch_path(s, "activations/metadata.json"), "{}", 2);
    assert_refused(reopen(&job, 0, &err), TRAWL_ERR_EXISTS, "without a manifest.jsonl");
}

static void test_behind_and_ahead(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(job_run(&job, 3, &err));
    assert_refused(reopen(&job, 4, &err), TRAWL_ERR_FORMAT, "activations of group 4 are lost");
    assert_refused(reopen(&job, 1, &err), TRAWL_ERR_FORMAT, "one group ahead, not more");
    char *three = describe_folder(s->dir);
    assert_ok(reopen(&job, 2, &err));
    assert_refused(reopen(&job, 3, &err), TRAWL_ERR_FORMAT, "activations of group 3 are lost");
    /* The journal has group 3, so go back with it too; doing it again gives the same folder. */
    struct tw_journal *j       = NULL;
    struct tw_journal_config c = {.path       = scratch_path(s, "results.jsonl"),
                                  .kind       = "results",
                                  .settings   = job_settings,
                                  .n_settings = JOB_SETTINGS,
                                  .resume     = true};
    assert_ok(tw_journal_open(&c, &j, &err));
    assert_ok(tw_journal_truncate(j, 2, &err));
    tw_journal_close(j);
    assert_ok(job_run(&job, 3, &err));
    char *again = describe_folder(s->dir);
    assert_string_equal(again, three);
    free(again);
    free(three);
}

static void test_missing_and_shortened_files(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(job_run(&job, 2, &err));
    assert_int_equal(truncate(scratch_path(s, first_chunk), 100), 0);
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_FORMAT,
                   "chunk-00000001.safetensors has 100 bytes, group 1");
    assert_int_equal(unlink(scratch_path(s, first_chunk)), 0);
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_FORMAT, "chunk-00000001.safetensors is missing, group 1");
}

static void test_statistics_must_be_there(void **state)
{
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(job_run(&job, 2, &err));
    assert_int_equal(unlink(scratch_path(s, "activations/statistics.safetensors")), 0);
    assert_refused(reopen(&job, 2, &err), TRAWL_ERR_FORMAT, "statistics.safetensors is missing or damaged");
}

static void test_only_our_leftovers_go(void **state)
{
    static const char *const go[] = {
        "activations/blocks.1.hook_resid_post/shard-00000-chunk-00000900.safetensors",
        "activations/blocks.1.hook_resid_post/shard-00000-chunk-00000001.safetensors.tmp",
        "activations/blocks.1.attn.hook_z/shard-00000-chunk-123456789.safetensors",
        "activations/metadata.json.tmp", "activations/statistics.safetensors.tmp"};
    static const char *const stay[] = {
        "activations/notes.txt", "activations/blocks.1.hook_resid_post/notes.tmp",
        "activations/blocks.1.hook_resid_post/shard-00001-chunk-00000900.safetensors",
        "activations/blocks.1.hook_resid_post/shard-00000-chunk-00000900.safetensors.bak",
        "activations/layer_1_batch_000900.pkl"};
    struct scratch *s      = *state;
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    assert_ok(job_run(&job, 2, &err));
    for (size_t i = 0; i < 5; i++) {
        write_file(scratch_path(s, go[i]), "x", 1);
        write_file(scratch_path(s, stay[i]), "x", 1);
    }
    assert_ok(reopen(&job, 2, &err));
    for (size_t i = 0; i < 5; i++) {
        assert_false(tw_path_exists(scratch_path(s, go[i])));
        assert_true(tw_path_exists(scratch_path(s, stay[i])));
    }
    assert_true(tw_path_exists(scratch_path(s, first_chunk)));
}

/* ---- verify ---- */

static uint64_t verify(struct scratch *s, struct tw_str *report)
{
    struct tw_store_check check;
    struct trawl_error err = {0};
    char dir[1024];
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    tw_str_reset(report);
    assert_ok(tw_store_verify(dir, &check, report, &err));
    assert_true(check.files > 0);
    return check.problems;
}

static void flip_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_true(fputc(c ^ 4, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

static void verify_format(struct scratch *s, enum tw_store_format format, const char *chunk,
                          const char *extra)
{
    struct job job         = job_default(s->dir);
    struct trawl_error err = {0};
    struct tw_str report;
    tw_str_init(&report, 0);
    job.format = format;
    job.dtype  = TW_DTYPE_F32;
    assert_ok(job_run(&job, UINT64_MAX, &err));
    uint64_t problems = verify(s, &report);
    assert_string_equal(tw_str_text(&report), "");
    assert_int_equal(problems, 0);
    struct stat st;
    assert_int_equal(stat(scratch_path(s, chunk), &st), 0);
    for (long at = 0; at < st.st_size; at += 97) { /* any byte of a chunk */
        flip_byte(scratch_path(s, chunk), at);
        assert_int_equal(verify(s, &report), 1);
        assert_non_null(strstr(report.data, "damaged: the checksum"));
        flip_byte(scratch_path(s, chunk), at);
    }
    flip_byte(scratch_path(s, "activations/statistics.safetensors"), 5000);
    write_file(scratch_path(s, extra), "x", 1);
    assert_int_equal(unlink(scratch_path(s, chunk)), 0);
    assert_int_equal(verify(s, &report), 3);
    assert_non_null(strstr(report.data, "statistics.safetensors: damaged"));
    assert_non_null(strstr(report.data, ": missing"));
    assert_non_null(strstr(report.data, ": not in the manifest"));
    tw_str_release(&report);
}

static void test_verify_safetensors(void **state)
{
    verify_format(*state, TW_STORE_SAFETENSORS, first_chunk,
                  "activations/blocks.1.attn.hook_z/more.safetensors");
}

static void test_verify_pickle(void **state)
{
    verify_format(*state, TW_STORE_PKL, "activations/layer_1_batch_000001.pkl",
                  "activations/layer_1_batch_9.pkl");
}

static void test_verify_and_survey_need_a_store(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    struct tw_store_check check;
    struct tw_str out;
    tw_str_init(&out, 0);
    assert_refused(tw_store_verify(s->dir, &check, &out, &err), TRAWL_ERR_IO, "manifest.jsonl");
    struct tw_survey survey;
    assert_refused(tw_survey_make(&survey, s->dir, 0, &err), TRAWL_ERR_IO, "manifest.jsonl");
    tw_survey_release(&survey);
    tw_str_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_other_runs_are_refused),
        scratch_test(test_lock),
        scratch_test(test_foreign_metadata_is_not_overwritten),
        scratch_test(test_behind_and_ahead),
        scratch_test(test_missing_and_shortened_files),
        scratch_test(test_statistics_must_be_there),
        scratch_test(test_only_our_leftovers_go),
        scratch_test(test_verify_safetensors),
        scratch_test(test_verify_pickle),
        scratch_test(test_verify_and_survey_need_a_store),
    };
    return cmocka_run_group_tests_name("store folder", tests, NULL, NULL);
}
