/* SPDX-License-Identifier: MIT */
/* Kill -9 at any instant, start again, and the folder is that of an undisturbed run, byte for byte.
 *
 * The first tests replace the system calls that change files: a child is killed at its k-th such call, for
 * every k, a write in the middle of its bytes. The last one kills by the clock. */
#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/philox.h"
#include "store/store_job.h"

enum { CLOCK_KILLS = 60, CLOCK_SEED = 20240611 };

/* ---- system calls that end the process ---- */

static atomic_long calls_left = -1; /* negative: never */

static bool last_call(void)
{
    return atomic_load(&calls_left) >= 0 && atomic_fetch_sub(&calls_left, 1) == 0;
}

static void kill_at_last_call(void)
{
    if (last_call()) {
        (void)raise(SIGKILL);
    }
}

ssize_t write(int fd, const void *data, size_t n)
{
    if (last_call()) {
        (void)syscall(SYS_write, fd, data, n / 2);
        (void)raise(SIGKILL);
    }
    return syscall(SYS_write, fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (last_call()) {
        (void)syscall(SYS_pwrite64, fd, data, n / 2, at);
        (void)raise(SIGKILL);
    }
    return syscall(SYS_pwrite64, fd, data, n, at);
}

/* What the page cache holds survives a kill, so syncing is only a place to die. */
int fsync(int fd)
{
    (void)fd;
    kill_at_last_call();
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int rename(const char *from, const char *to)
{
    kill_at_last_call();
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    kill_at_last_call();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int ftruncate(int fd, off_t size)
{
    kill_at_last_call();
    return (int)syscall(SYS_ftruncate, fd, size);
}

int mkdir(const char *path, mode_t mode)
{
    kill_at_last_call();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* ---- children ---- */

static _Noreturn void run_child(const struct job *job)
{
    struct trawl_error err = {0};
    if (job_run(job, UINT64_MAX, &err) != TRAWL_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        _exit(1);
    }
    _exit(0);
}

/* True when the job ended, false when it was killed at its call number `calls` (negative: never). */
static bool run_until(const struct job *job, long calls)
{
    int status = 0;
    pid_t pid  = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        atomic_store(&calls_left, calls);
        run_child(job);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return false;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

static void empty_folder(const char *dir)
{
    (void)nftw(dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(mkdir(dir, 0777), 0);
}

static char *undisturbed(const struct job *job)
{
    empty_folder(job->root);
    assert_true(run_until(job, -1));
    return describe_folder(job->root);
}

static void expect_same(const struct job *job, const char *want, long calls, uint64_t kills)
{
    char *got = describe_folder(job->root);
    if (strcmp(got, want) != 0) {
        fail_msg("killed at call %ld, %llu kills: got\n%swant\n%s", calls, (unsigned long long)kills, got,
                 want);
    }
    free(got);
}

/* Killed at call k, started again, for all k; and killed at call k again and again while that gets on. */
static void every_call(const struct job *job)
{
    char *want = undisturbed(job);
    long k     = 0;
    for (bool ended = false; !ended; k++) {
        empty_folder(job->root);
        ended = run_until(job, k);
        if (!ended) {
            assert_true(run_until(job, -1));
        }
        expect_same(job, want, k, 1);
    }
    print_message("%ld places to die\n", k - 1);
    assert_true(k > 100);
    for (long step = k / 3; step < k; step += 13) {
        uint64_t kills = 0;
        empty_folder(job->root);
        while (kills < 20 && !run_until(job, step)) {
            kills++;
        }
        assert_true(run_until(job, -1));
        expect_same(job, want, step, kills);
    }
    free(want);
}

static void test_every_call_safetensors(void **state)
{
    struct job job = job_default(((struct scratch *)*state)->dir);
    every_call(&job);
}

static void test_every_call_pickle(void **state)
{
    struct job job = job_default(((struct scratch *)*state)->dir);
    job.format     = TW_STORE_PKL;
    job.dtype      = TW_DTYPE_F32;
    every_call(&job);
}

/* ---- by the clock ---- */

static bool run_for(const struct job *job, uint32_t microseconds)
{
    int status = 0;
    pid_t pid  = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_child(job);
    }
    (void)usleep(microseconds);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

static void test_clock(void **state)
{
    struct tw_philox_stream random;
    struct job job = job_default(((struct scratch *)*state)->dir);
    job.n_requests = 60;
    job.pipe_bytes = 4096; /* the caller waits for the writer most of the time */
    tw_philox_stream_init(&random, CLOCK_SEED, 0);
    uint64_t start = tw_clock_ns();
    char *want     = undisturbed(&job);
    uint32_t span  = (uint32_t)((tw_clock_ns() - start) / 1000);
    print_message("seed %d, an undisturbed run takes %u us\n", CLOCK_SEED, span);
    uint64_t kills = 0;
    while (kills < CLOCK_KILLS) {
        empty_folder(job.root);
        while (!run_for(&job, tw_philox_below(&random, span / 3 + 1))) {
            kills++;
        }
        expect_same(&job, want, -1, kills);
    }
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_every_call_safetensors),
        scratch_test(test_every_call_pickle),
        scratch_test(test_clock),
    };
    return cmocka_run_group_tests_name("store kill", tests, NULL, NULL);
}
