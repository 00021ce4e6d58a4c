/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store.h"
#include "store/store_chunk.h"
#include "store/store_layout.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"

struct verify {
    const char *dir;
    struct tw_store_check *check;
    struct tw_str *report;
    char **files; /* named by the manifest */
    size_t n_files;
    size_t capacity;
    bool has_stats; /* of the last group */
    uint64_t stats_bytes;
    uint64_t stats_xxh3;
};

/* ---- files that the manifest names ---- */

static trawl_status problem(struct verify *v, const char *file, const char *what, struct trawl_error *err)
{
    v->check->problems++;
    return tw_str_printf(v->report, err, "%s: %s\n", file, what);
}

static trawl_status check_content(struct verify *v, const char *file, const char *path, uint64_t bytes,
                                  uint64_t xxh3, struct trawl_error *err)
{
    uint64_t found_bytes   = 0;
    uint64_t found_xxh3    = 0;
    struct trawl_error why = {0};
    if (tw_chunk_checksum(path, &found_bytes, &found_xxh3, &why) != TRAWL_OK) {
        return why.os_error == ENOENT ? problem(v, file, "missing", err) : problem(v, file, why.message, err);
    }
    v->check->bytes += found_bytes;
    if (found_bytes != bytes) {
        v->check->problems++;
        return tw_str_printf(v->report, err, "%s: damaged: %llu bytes, committed were %llu\n", file,
                             (unsigned long long)found_bytes, (unsigned long long)bytes);
    }
    if (found_xxh3 != xxh3) {
        return problem(v, file, "damaged: the checksum is not the one of the commit", err);
    }
    return TRAWL_OK;
}

static trawl_status check_file(struct verify *v, const char *file, uint64_t bytes, uint64_t xxh3,
                               struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(v->dir, file, &path, err));
    v->check->files++;
    trawl_status status = check_content(v, file, path, bytes, xxh3, err);
    tw_free(path);
    return status;
}

static trawl_status verify_record(void *user, uint64_t group, const struct tw_manifest_record *r,
                                  struct trawl_error *err)
{
    struct verify *v = user;
    (void)group;
    if (r->site == NULL) { /* only the last ones are still on disk */
        v->has_stats   = true;
        v->stats_bytes = r->bytes;
        v->stats_xxh3  = r->xxh3;
        return TRAWL_OK;
    }
    TW_TRY(tw_grow(&v->files, &v->capacity, v->n_files + 1, sizeof *v->files, err));
    TW_TRY(tw_strdup(r->file, &v->files[v->n_files], err));
    v->n_files++;
    return check_file(v, r->file, r->bytes, r->xxh3, err);
}

static trawl_status verify_line(void *user, uint64_t group, const char *text, size_t n,
                                struct trawl_error *err)
{
    return tw_manifest_parse(text, n, TW_MANIFEST_NAME, group, verify_record, user, err);
}

/* ---- files that it does not ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_in(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Other people's notes in the folder are none of our business; what looks like ours is. */
static bool looks_ours(const char *file)
{
    return (ends_in(file, ".safetensors") || ends_in(file, ".pkl") || ends_in(file, ".tmp")) &&
           strcmp(file, TW_STATS_NAME) != 0 && strcmp(file, TW_STATS_BEFORE) != 0;
}

static trawl_status list_folder(const char *dir, const char *prefix, struct tw_str *names,
                                struct trawl_error *err)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return tw_fail_os(err, errno, "%s", dir);
    }
    trawl_status status = TRAWL_OK;
    while (status == TRAWL_OK) {
        errno                      = 0;
        const struct dirent *entry = readdir(d);
        if (entry == NULL) {
            status = errno == 0 ? TRAWL_OK : tw_fail_os(err, errno, "%s", dir);
            break;
        }
        if (entry->d_name[0] != '.') {
            status = tw_str_printf(names, err, "%s%s%c", prefix, entry->d_name, 0);
        }
    }
    (void)closedir(d);
    return status;
}

static trawl_status check_extra(struct verify *v, const char *file, struct trawl_error *err)
{
    if (looks_ours(file) &&
        (v->n_files == 0 || bsearch(&file, v->files, v->n_files, sizeof *v->files, compare_names) == NULL)) {
        return problem(v, file, "not in the manifest", err);
    }
    return TRAWL_OK;
}

static trawl_status look_for_extra(struct verify *v, const char *dir, const char *prefix,
                                   struct trawl_error *err)
{
    struct tw_str names;
    tw_str_init(&names, 0);
    trawl_status status = list_folder(dir, prefix, &names, err);
    for (size_t at = 0; status == TRAWL_OK && at < names.size; at += strlen(names.data + at) + 1) {
        const char *file = names.data + at;
        char *path       = NULL;
        status           = tw_path_join(v->dir, file, &path, err);
        if (status == TRAWL_OK && prefix[0] == '\0' && tw_path_is_dir(path)) {
            struct tw_str below;
            tw_str_init(&below, 0);
            status = tw_str_printf(&below, err, "%s/", file);
            status = status == TRAWL_OK ? look_for_extra(v, path, below.data, err) : status;
            tw_str_release(&below);
        } else if (status == TRAWL_OK) {
            status = check_extra(v, file, err);
        }
        tw_free(path);
    }
    tw_str_release(&names);
    return status;
}

trawl_status tw_store_verify(const char *dir, struct tw_store_check *check, struct tw_str *report,
                             struct trawl_error *err)
{
    struct verify v = {.dir = dir, .check = check, .report = report};
    struct tw_journal_scan scan;
    char *path = NULL;
    *check     = (struct tw_store_check){0};
    TW_TRY(tw_path_join(dir, TW_MANIFEST_NAME, &path, err));
    trawl_status status = tw_journal_read(&scan, path, TW_MANIFEST_KIND, verify_line, &v, err);
    if (status == TRAWL_OK && v.has_stats) {
        status = check_file(&v, TW_STATS_NAME, v.stats_bytes, v.stats_xxh3, err);
    }
    if (status == TRAWL_OK && v.n_files > 0) {
        qsort(v.files, v.n_files, sizeof *v.files, compare_names);
    }
    if (status == TRAWL_OK) {
        status = look_for_extra(&v, dir, "", err);
    }
    for (size_t i = 0; i < v.n_files; i++) {
        tw_free(v.files[i]);
    }
    tw_free(v.files);
    tw_journal_scan_release(&scan);
    tw_free(path);
    return status;
}
