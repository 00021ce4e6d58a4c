/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"

/* ---- reading ---- */

static trawl_status open_regular(const char *path, int *fd, struct stat *st, struct trawl_error *err)
{
    /* O_NONBLOCK: a FIFO in the way must be refused, not waited for. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return tw_fail_os(err, errno, "%s", path);
    }
    trawl_status status = TRAWL_OK;
    if (fstat(*fd, st) != 0) {
        status = tw_fail_os(err, errno, "%s", path);
    } else if (S_ISDIR(st->st_mode)) {
        status = tw_fail_os(err, EISDIR, "%s", path);
    } else if (!S_ISREG(st->st_mode)) {
        status = tw_fail(err, TRAWL_ERR_IO, "%s: not a regular file", path);
    }
    if (status != TRAWL_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return status;
}

trawl_status tw_mapped_file_open(struct tw_mapped_file *file, const char *path, struct trawl_error *err)
{
    int fd;
    struct stat st;
    *file = (struct tw_mapped_file){.data = (const uint8_t *)""};
    TW_TRY(open_regular(path, &fd, &st, err));
    trawl_status status = TRAWL_OK;
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            status = tw_fail_os(err, errno, "%s: mapping of %lld bytes", path, (long long)st.st_size);
        } else {
            *file = (struct tw_mapped_file){.data = p, .size = (size_t)st.st_size};
        }
    }
    (void)close(fd); /* the mapping stays */
    return status;
}

void tw_mapped_file_close(struct tw_mapped_file *file)
{
    if (file->size > 0) {
        (void)munmap((void *)file->data, file->size);
    }
    *file = (struct tw_mapped_file){.data = (const uint8_t *)""};
}

void tw_mapped_file_forget(const struct tw_mapped_file *file)
{
    if (file->size > 0) {
        (void)madvise((void *)file->data, file->size, MADV_DONTNEED);
    }
}

/* Reads to the end whatever fstat says: files in /proc have size 0, others may grow. */
static trawl_status read_to_end(int fd, const char *path, size_t limit, char **text, size_t *capacity,
                                size_t *size, struct trawl_error *err)
{
    for (;;) {
        if (*size + 1 >= *capacity) {
            TW_TRY(tw_grow(text, capacity, *capacity + 4096, 1, err));
        }
        ssize_t n = read(fd, *text + *size, *capacity - *size - 1);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return tw_fail_os(err, errno, "%s", path);
        }
        if (n == 0) {
            (*text)[*size] = '\0';
            return TRAWL_OK;
        }
        *size += (size_t)n;
        if (*size > limit) {
            return tw_fail(err, TRAWL_ERR_LIMIT, "%s: more than %zu bytes, the limit for such a file", path,
                           limit);
        }
    }
}

trawl_status tw_file_read(const char *path, size_t limit, char **out, size_t *size, struct trawl_error *err)
{
    int fd;
    struct stat st;
    *out  = NULL;
    *size = 0;
    TW_TRY(open_regular(path, &fd, &st, err));
    char *text          = NULL;
    size_t capacity     = 0;
    size_t used         = 0;
    trawl_status status = TRAWL_OK;
    if ((uint64_t)st.st_size > limit) {
        status = tw_fail(err, TRAWL_ERR_LIMIT, "%s: %lld bytes, the limit for such a file is %zu", path,
                         (long long)st.st_size, limit);
    } else {
        status = tw_grow(&text, &capacity, (size_t)st.st_size + 2, 1, err);
    }
    if (status == TRAWL_OK) {
        status = read_to_end(fd, path, limit, &text, &capacity, &used, err);
    }
    (void)close(fd);
    if (status != TRAWL_OK) {
        tw_free(text);
        return status;
    }
    *out  = text;
    *size = used;
    return TRAWL_OK;
}

trawl_status tw_write_all(int fd, const char *path, const void *data, size_t n, struct trawl_error *err)
{
    const char *p = data;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return tw_fail_os(err, done < 0 ? errno : EIO, "%s", path);
        }
        p += done;
        n -= (size_t)done;
    }
    return TRAWL_OK;
}

/* ---- atomic replacement ---- */

enum { BUFFER_BYTES = 1 << 16 };

static void release_atomic(struct tw_atomic_file *file)
{
    if (file->fd >= 0) {
        (void)close(file->fd);
    }
    tw_free(file->path);
    tw_free(file->tmp);
    tw_free(file->buffer);
    *file = (struct tw_atomic_file){.fd = -1};
}

trawl_status tw_atomic_file_open(struct tw_atomic_file *file, const char *path, struct trawl_error *err)
{
    *file               = (struct tw_atomic_file){.fd = -1};
    size_t n            = strlen(path);
    trawl_status status = tw_strdup(path, &file->path, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(n + sizeof ".tmp", 1, &file->tmp, err);
    }
    if (status == TRAWL_OK) {
        (void)snprintf(file->tmp, n + sizeof ".tmp", "%s.tmp", path);
        status = tw_alloc(BUFFER_BYTES, 1, &file->buffer, err);
    }
    if (status == TRAWL_OK) {
        file->fd = open(file->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (file->fd < 0) {
            status = tw_fail_os(err, errno, "%s", file->tmp);
        }
    }
    if (status != TRAWL_OK) {
        release_atomic(file);
    }
    return status;
}

static trawl_status flush(struct tw_atomic_file *file, struct trawl_error *err)
{
    size_t n       = file->buffered;
    file->buffered = 0;
    return tw_write_all(file->fd, file->tmp, file->buffer, n, err);
}

trawl_status tw_atomic_file_write(struct tw_atomic_file *file, const void *data, size_t n,
                                  struct trawl_error *err)
{
    if (n > BUFFER_BYTES - file->buffered) {
        TW_TRY(flush(file, err));
    }
    if (n >= BUFFER_BYTES) {
        TW_TRY(tw_write_all(file->fd, file->tmp, data, n, err));
    } else if (n > 0) {
        memcpy(file->buffer + file->buffered, data, n);
        file->buffered += n;
    }
    file->written += n;
    return TRAWL_OK;
}

static trawl_status sync_dir_of(const char *path, struct trawl_error *err)
{
    char *dir = NULL;
    TW_TRY(tw_path_dir(path, &dir, err));
    trawl_status status = tw_sync_dir(dir, err);
    tw_free(dir);
    return status;
}

trawl_status tw_atomic_file_commit(struct tw_atomic_file *file, struct trawl_error *err)
{
    trawl_status status = flush(file, err);
    if (status == TRAWL_OK && fsync(file->fd) != 0) {
        status = tw_fail_os(err, errno, "%s", file->tmp);
    }
    if (status == TRAWL_OK) {
        int closed = close(file->fd); /* network file systems report a full disk here */
        file->fd   = -1;
        if (closed != 0) {
            status = tw_fail_os(err, errno, "%s", file->tmp);
        }
    }
    if (status == TRAWL_OK && rename(file->tmp, file->path) != 0) {
        status = tw_fail_os(err, errno, "%s: rename to %s", file->tmp, file->path);
    }
    if (status != TRAWL_OK) {
        tw_atomic_file_abandon(file);
        return status;
    }
    status = sync_dir_of(file->path, err);
    release_atomic(file);
    return status;
}

void tw_atomic_file_abandon(struct tw_atomic_file *file)
{
    if (file->tmp != NULL) {
        (void)unlink(file->tmp);
    }
    release_atomic(file);
}

trawl_status tw_file_replace(const char *path, const void *data, size_t n, struct trawl_error *err)
{
    struct tw_atomic_file file;
    TW_TRY(tw_atomic_file_open(&file, path, err));
    trawl_status status = tw_atomic_file_write(&file, data, n, err);
    if (status != TRAWL_OK) {
        tw_atomic_file_abandon(&file);
        return status;
    }
    return tw_atomic_file_commit(&file, err);
}
