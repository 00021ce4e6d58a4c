/* SPDX-License-Identifier: MIT */
/* A full disk: a clear error, nothing committed is lost, and the run goes on when there is space. Needs a
 * small file system of its own, which only root can mount. */
#include "support/test.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "store/store_job.h"

static void mount_or_skip(const char *dir, const char *options)
{
    if (mount("trawl-test", dir, "tmpfs", 0, options) != 0) {
        print_message("skipped: a tmpfs cannot be mounted here: %s\n", strerror(errno));
        skip();
    }
}

/* Take what is left but `leave` bytes. */
static void fill_disk(const char *path, size_t leave)
{
    static const char block[4096];
    FILE *f = fopen(path, "wb");
    struct statvfs v;
    assert_non_null(f);
    for (;;) {
        assert_int_equal(statvfs(path, &v), 0);
        if (v.f_bavail * v.f_bsize <= leave || fwrite(block, 1, sizeof block, f) != sizeof block ||
            fflush(f) != 0) {
            break;
        }
    }
    (void)fclose(f);
}

static void full_disk(struct scratch *s, enum tw_store_format format)
{
    struct trawl_error err = {0};
    char small[1024]       = "";
    char large[1024]       = "";
    struct job job         = job_default(large);
    (void)snprintf(small, sizeof small, "%s/small", s->dir);
    (void)snprintf(large, sizeof large, "%s/large", s->dir);
    assert_ok(tw_make_dirs(small, &err));
    assert_ok(tw_make_dirs(large, &err));
    mount_or_skip(small, "size=1m");
    job.format     = format;
    job.dtype      = TW_DTYPE_F32;
    job.n_requests = 30;
    assert_ok(job_run(&job, UINT64_MAX, &err));
    char *want = describe_folder(large);
    job.root   = small;
    assert_ok(job_run(&job, 2, &err));
    /* With less and less room: the failure comes at all kinds of places. */
    size_t failures = 0;
    for (size_t leave = 0; leave <= 65536; leave += 4096) {
        char filler[1100];
        (void)snprintf(filler, sizeof filler, "%s/filler", small);
        fill_disk(filler, leave);
        trawl_status status = job_run(&job, 3, &err);
        if (status != TRAWL_OK) {
            assert_int_equal(status, TRAWL_ERR_IO);
            assert_int_equal(err.os_error, ENOSPC);
            assert_non_null(strstr(err.message, "No space left on device"));
            failures++;
        }
        assert_int_equal(unlink(filler), 0);
        if (status == TRAWL_OK) {
            break;
        }
    }
    assert_true(failures > 0);
    print_message("%zu failures\n", failures);
    assert_ok(job_run(&job, UINT64_MAX, &err));
    char *got = describe_folder(small);
    assert_string_equal(got, want);
    (void)umount(small);
    free(got);
    free(want);
}

static void test_safetensors(void **state)
{
    full_disk(*state, TW_STORE_SAFETENSORS);
}

static void test_pickle(void **state)
{
    full_disk(*state, TW_STORE_PKL);
}

static int remove_mounted(void **state)
{
    struct scratch *s = *state;
    (void)umount(scratch_path(s, "small"));
    return scratch_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_safetensors, scratch_make, remove_mounted),
        cmocka_unit_test_setup_teardown(test_pickle, scratch_make, remove_mounted),
    };
    return cmocka_run_group_tests_name("store full", tests, NULL, NULL);
}
