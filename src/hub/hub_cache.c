/* SPDX-License-Identifier: MIT */
#include "hub/hub_cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

enum { REFERENCE_LIMIT = 4096 };

bool tw_hub_is_repository(const char *s)
{
    size_t first = strspn(s, LETTERS), second = 0;
    if (s[first] == '/') {
        second = strspn(s + first + 1, LETTERS);
        if (second == 0 || s[first + 1] == '.') {
            return false;
        }
        second++;
    }
    return first > 0 && s[first + second] == '\0' && s[0] != '.' && strstr(s, "--") == NULL;
}

bool tw_hub_is_revision(const char *s)
{
    const char *part = s;
    if (*s == '\0' || strlen(s) > 255) {
        return false;
    }
    for (;;) {
        size_t n = strspn(part, LETTERS "+");
        if (n == 0 || part[0] == '.') {
            return false;
        }
        if (part[n] == '\0') {
            return true;
        }
        if (part[n] != '/') {
            return false;
        }
        part += n + 1;
    }
}

trawl_status tw_hub_repository_dir(const char *cache, enum tw_hub_type type, const char *id,
                                   struct tw_str *out, struct trawl_error *err)
{
    size_t first = strcspn(id, "/");
    TW_TRY(tw_str_printf(out, err, "%s/%s--%.*s", cache, type == TW_HUB_MODEL ? "models" : "datasets",
                         (int)first, id));
    return id[first] == '\0' ? TRAWL_OK : tw_str_printf(out, err, "--%s", id + first + 1);
}

/* The commit in refs/<revision>, or the revision itself if that is a commit; freed with tw_free. */
static trawl_status read_commit(struct tw_str *path, const char *revision, char **commit,
                                struct trawl_error *err)
{
    size_t repository = path->size, n;
    trawl_status status;
    TW_TRY(tw_str_printf(path, err, "/refs/%s", revision));
    if (tw_path_exists(tw_str_text(path))) {
        status = tw_file_read(tw_str_text(path), REFERENCE_LIMIT, commit, &n, err);
    } else {
        status = tw_strdup(revision, commit, err);
    }
    if (status == TRAWL_OK) {
        (*commit)[strcspn(*commit, " \r\n")] = '\0';
        if (!tw_hub_is_revision(*commit)) {
            status = tw_fail(err, TRAWL_ERR_FORMAT, "%s holds no commit", tw_str_text(path));
        }
    }
    path->size             = repository;
    path->data[repository] = '\0';
    return status;
}

static trawl_status find(struct tw_str *path, const char *revision, bool *found, struct trawl_error *err)
{
    char *commit = NULL;
    if (!tw_path_is_dir(tw_str_text(path))) {
        return TRAWL_OK;
    }
    trawl_status status = read_commit(path, revision, &commit, err);
    bool named          = status == TRAWL_OK && strcmp(commit, revision) != 0;
    if (status == TRAWL_OK) {
        status = tw_str_printf(path, err, "/snapshots/%s", commit);
    }
    tw_free(commit);
    TW_TRY(status);
    *found = tw_path_is_dir(tw_str_text(path));
    if (!*found && named) {
        return tw_fail(err, TRAWL_ERR_IO,
                       "%s: refs/%s of the hub cache names this snapshot, but it is not there",
                       tw_str_text(path), revision);
    }
    return TRAWL_OK;
}

trawl_status tw_hub_find_snapshot(const char *cache, enum tw_hub_type type, const char *id,
                                  const char *revision, struct tw_str *out, bool *found,
                                  struct trawl_error *err)
{
    struct tw_str path;
    *found = false;
    tw_str_init(&path, 0);
    trawl_status status = tw_hub_repository_dir(cache, type, id, &path, err);
    if (status == TRAWL_OK) {
        status = find(&path, revision, found, err);
    }
    if (status == TRAWL_OK && *found) {
        status = tw_str_append(out, path.data, path.size, err);
    }
    tw_str_release(&path);
    return status;
}
