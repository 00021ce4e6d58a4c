/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

/* An owner that was killed may still be ending: the ranks of an mpirun that was killed live on for up to a
 * second, until they find it gone. */
static trawl_status lock(struct tw_append_file *file, struct trawl_error *err)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t deadline           = tw_clock_ns() + TW_APPEND_FILE_WAIT_MS * UINT64_C(1000000);
    while (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) {
            continue;
        }
        if (errno != EWOULDBLOCK) {
            return tw_fail_os(err, errno, "%s: lock", file->path);
        }
        if (tw_clock_ns() >= deadline) {
            return tw_fail(err, TRAWL_ERR_EXISTS, "%s is in use by another process", file->path);
        }
        (void)nanosleep(&pause, NULL);
    }
    return TRAWL_OK;
}

/* Lock first, then look: the size before the lock is the previous owner's business. */
static trawl_status lock_and_measure(struct tw_append_file *file, struct trawl_error *err)
{
    TW_TRY(lock(file, err));
    struct stat st;
    if (fstat(file->fd, &st) != 0) {
        return tw_fail_os(err, errno, "%s", file->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return tw_fail(err, TRAWL_ERR_IO, "%s: not a regular file", file->path);
    }
    file->size = (uint64_t)st.st_size;
    char *dir  = NULL; /* the file may be new: make its name durable */
    TW_TRY(tw_path_dir(file->path, &dir, err));
    trawl_status status = tw_sync_dir(dir, err);
    tw_free(dir);
    return status;
}

trawl_status tw_append_file_open(struct tw_append_file *file, const char *path, struct trawl_error *err)
{
    *file = (struct tw_append_file){.fd = -1};
    TW_TRY(tw_strdup(path, &file->path, err));
    trawl_status status;
    file->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        status = tw_fail_os(err, errno, "%s", path);
    } else {
        status = lock_and_measure(file, err);
    }
    if (status != TRAWL_OK) {
        tw_append_file_close(file);
    }
    return status;
}

trawl_status tw_append_file_append(struct tw_append_file *file, const void *data, size_t n,
                                   struct trawl_error *err)
{
    trawl_status status = tw_write_all(file->fd, file->path, data, n, err);
    if (status == TRAWL_OK && fdatasync(file->fd) != 0) {
        status = tw_fail_os(err, errno, "%s", file->path);
    }
    if (status != TRAWL_OK) {
        /* Half an append must not stay before a later whole one. Should this fail as well, the reader
         * of the journal meets a torn tail, which it must know how to drop anyway. */
        int ignored = ftruncate(file->fd, (off_t)file->size);
        (void)ignored;
        return status;
    }
    file->size += n;
    return TRAWL_OK;
}

trawl_status tw_append_file_truncate(struct tw_append_file *file, uint64_t size, struct trawl_error *err)
{
    if (size > file->size) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: cannot cut to %llu bytes, it has %llu", file->path,
                       (unsigned long long)size, (unsigned long long)file->size);
    }
    if (ftruncate(file->fd, (off_t)size) != 0 || fsync(file->fd) != 0) {
        return tw_fail_os(err, errno, "%s: truncation", file->path);
    }
    file->size = size;
    return TRAWL_OK;
}

void tw_append_file_close(struct tw_append_file *file)
{
    if (file->fd >= 0) {
        (void)close(file->fd); /* releases the lock */
    }
    tw_free(file->path);
    *file = (struct tw_append_file){.fd = -1};
}
