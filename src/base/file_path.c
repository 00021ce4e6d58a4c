/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"

bool tw_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool tw_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

trawl_status tw_path_join(const char *dir, const char *name, char **out, struct trawl_error *err)
{
    size_t a   = strlen(dir);
    size_t b   = strlen(name);
    bool slash = a > 0 && dir[a - 1] != '/';
    TW_TRY(tw_alloc(a + b + 2, 1, out, err));
    memcpy(*out, dir, a);
    if (slash) {
        (*out)[a++] = '/';
    }
    memcpy(*out + a, name, b + 1);
    return TRAWL_OK;
}

trawl_status tw_path_dir(const char *path, char **out, struct trawl_error *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    if (n == 0) {
        return tw_strdup(".", out, err);
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    return tw_strndup(path, n, out, err);
}

static trawl_status make_one(const char *path, struct trawl_error *err)
{
    if (mkdir(path, 0777) == 0) {
        return TRAWL_OK;
    }
    int reason = errno; /* not always EEXIST for a folder that is there: EROFS, EACCES above it */
    if (tw_path_is_dir(path)) {
        return TRAWL_OK;
    }
    if (reason == EEXIST || reason == ENOTDIR) {
        return tw_fail(err, TRAWL_ERR_IO, "%s: cannot make a folder, something else has this name", path);
    }
    return tw_fail_os(err, reason, "%s: cannot make the folder", path);
}

trawl_status tw_make_dirs(const char *path, struct trawl_error *err)
{
    char *copy = NULL;
    TW_TRY(tw_strdup(path, &copy, err));
    trawl_status status = TRAWL_OK;
    for (char *p = copy; status == TRAWL_OK && *p != '\0'; p++) {
        if (*p == '/' && p != copy) {
            *p     = '\0';
            status = make_one(copy, err);
            *p     = '/';
        }
    }
    if (status == TRAWL_OK && copy[0] != '\0') {
        status = make_one(copy, err);
    }
    tw_free(copy);
    return status;
}

trawl_status tw_make_parent_dirs(const char *path, struct trawl_error *err)
{
    char *dir = NULL;
    TW_TRY(tw_path_dir(path, &dir, err));
    trawl_status status = tw_make_dirs(dir, err);
    tw_free(dir);
    return status;
}

trawl_status tw_sync_dir(const char *dir, struct trawl_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return tw_fail_os(err, errno, "%s", dir);
    }
    int failed = fsync(fd) != 0 ? errno : 0;
    (void)close(fd);
    /* Some network file systems cannot sync a folder and say so; their renames are durable. */
    if (failed != 0 && failed != EINVAL && failed != EROFS) {
        return tw_fail_os(err, failed, "%s: sync", dir);
    }
    return TRAWL_OK;
}

trawl_status tw_remove_file(const char *path, struct trawl_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return tw_fail_os(err, errno, "%s: cannot remove", path);
    }
    return TRAWL_OK;
}
