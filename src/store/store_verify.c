/* SPDX-License-Identifier: MIT */
#include "store/store_verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_chunk.h"
#include "store/store_layout.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"

struct walk {
    struct tw_verify v;
    char **names;   /* of v.files, sorted; borrowed */
    bool has_stats; /* of the last group */
    uint64_t stats_bytes, stats_xxh3;
};

/* ---- files that the manifest names ---- */

trawl_status tw_verify_problem(struct tw_verify *v, struct trawl_error *err, const char *format, ...)
{
    char line[TRAWL_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    v->check->problems++;
    return tw_str_printf(v->report, err, "%s\n", line);
}

static trawl_status check_content(struct tw_verify *v, const char *file, const char *path, uint64_t bytes,
                                  uint64_t xxh3, struct trawl_error *err)
{
    uint64_t found_bytes   = 0;
    uint64_t found_xxh3    = 0;
    struct trawl_error why = {0};
    if (tw_chunk_checksum(path, &found_bytes, &found_xxh3, &why) != TRAWL_OK) {
        return why.os_error == ENOENT ? tw_verify_problem(v, err, "%s: missing", file)
                                      : tw_verify_problem(v, err, "%s: %s", file, why.message);
    }
    v->check->bytes += found_bytes;
    if (found_bytes != bytes) {
        return tw_verify_problem(v, err, "%s: damaged: %llu bytes, committed were %llu", file,
                                 (unsigned long long)found_bytes, (unsigned long long)bytes);
    }
    if (found_xxh3 != xxh3) {
        return tw_verify_problem(v, err, "%s: damaged: the checksum is not the one of the commit", file);
    }
    return TRAWL_OK;
}

static trawl_status check_file(struct tw_verify *v, const char *file, uint64_t bytes, uint64_t xxh3,
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
    struct walk *w      = user;
    struct tw_verify *v = &w->v;
    if (r->site == NULL) { /* only the last ones are still on disk */
        w->has_stats   = true;
        w->stats_bytes = r->bytes;
        w->stats_xxh3  = r->xxh3;
        return TRAWL_OK;
    }
    TW_TRY(tw_grow(&v->files, &v->capacity, v->n_files + 1, sizeof *v->files, err));
    struct tw_verify_file *f = &v->files[v->n_files++];
    *f                       = (struct tw_verify_file){.group    = group,
                                                       .chunk    = r->chunk,
                                                       .first    = r->first,
                                                       .end      = r->end,
                                                       .requests = r->requests,
                                                       .rows     = r->rows};
    TW_TRY(tw_strdup(r->file, &f->name, err));
    TW_TRY(tw_strdup(r->site, &f->site, err));
    return check_file(v, r->file, r->bytes, r->xxh3, err);
}

static trawl_status verify_line(void *user, uint64_t group, const char *text, size_t n,
                                struct trawl_error *err)
{
    return tw_manifest_parse(text, n, TW_MANIFEST_NAME, group, verify_record, user, err);
}

/* ---- does the manifest follow from itself? ---- */

/* The chunk of a site before file `i`, NULL for its first. */
static const struct tw_verify_file *before(const struct tw_verify *v, size_t i)
{
    for (size_t j = i; j-- > 0;) {
        if (strcmp(v->files[j].site, v->files[i].site) == 0) {
            return &v->files[j];
        }
    }
    return NULL;
}

static trawl_status check_order(struct tw_verify *v, const struct tw_journal_scan *scan,
                                struct trawl_error *err)
{
    for (size_t i = 0; i < v->n_files; i++) {
        const struct tw_verify_file *f = &v->files[i], *last = before(v, i);
        const struct tw_journal_group *group = &scan->groups[f->group - 1];
        if (f->first < group->first || f->end > group->end || f->first >= f->end ||
            f->requests > f->end - f->first) {
            TW_TRY(tw_verify_problem(
                v, err,
                "manifest.jsonl: %s has %llu requests from %llu to %llu, its group those from %llu to %llu",
                f->name, (unsigned long long)f->requests, (unsigned long long)f->first,
                (unsigned long long)f->end - 1, (unsigned long long)group->first,
                (unsigned long long)group->end - 1));
        }
        uint64_t least = last == NULL ? 1 : last->chunk + 1; /* pickles bear the number of their group */
        bool pkl       = strchr(f->name, '/') == NULL;
        if (pkl ? f->chunk != f->group : f->chunk != least) {
            TW_TRY(tw_verify_problem(v, err, "manifest.jsonl: %s is chunk %llu of its site, expected %llu",
                                     f->name, (unsigned long long)f->chunk,
                                     (unsigned long long)(pkl ? f->group : least)));
        }
    }
    return TRAWL_OK;
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

static trawl_status check_extra(struct walk *w, const char *file, struct trawl_error *err)
{
    if (looks_ours(file) && (w->v.n_files == 0 || bsearch(&file, w->names, w->v.n_files, sizeof *w->names,
                                                          compare_names) == NULL)) {
        w->v.check->extra++;
        return tw_verify_problem(&w->v, err, "%s: not in the manifest", file);
    }
    return TRAWL_OK;
}

static trawl_status look_for_extra(struct walk *w, const char *dir, const char *prefix,
                                   struct trawl_error *err)
{
    struct tw_str names;
    tw_str_init(&names, 0);
    trawl_status status = list_folder(dir, prefix, &names, err);
    for (size_t at = 0; status == TRAWL_OK && at < names.size; at += strlen(names.data + at) + 1) {
        const char *file = names.data + at;
        char *path       = NULL;
        status           = tw_path_join(w->v.dir, file, &path, err);
        if (status == TRAWL_OK && prefix[0] == '\0' && tw_path_is_dir(path)) {
            struct tw_str below;
            tw_str_init(&below, 0);
            status = tw_str_printf(&below, err, "%s/", file);
            status = status == TRAWL_OK ? look_for_extra(w, path, below.data, err) : status;
            tw_str_release(&below);
        } else if (status == TRAWL_OK) {
            status = check_extra(w, file, err);
        }
        tw_free(path);
    }
    tw_str_release(&names);
    return status;
}

static trawl_status check_extras(struct walk *w, struct trawl_error *err)
{
    TW_TRY(tw_alloc(w->v.n_files, sizeof *w->names, &w->names, err));
    for (size_t i = 0; i < w->v.n_files; i++) {
        w->names[i] = w->v.files[i].name;
    }
    if (w->v.n_files > 0) {
        qsort(w->names, w->v.n_files, sizeof *w->names, compare_names);
    }
    return look_for_extra(w, w->v.dir, "", err);
}

/* What is in files that are damaged says nothing. */
static trawl_status verify(struct walk *w, const struct tw_journal_scan *scan, struct trawl_error *err)
{
    if (w->has_stats) {
        TW_TRY(check_file(&w->v, TW_STATS_NAME, w->stats_bytes, w->stats_xxh3, err));
    }
    TW_TRY(check_order(&w->v, scan, err));
    bool whole = w->v.check->problems == 0;
    TW_TRY(check_extras(w, err));
    w->v.check->content = whole;
    return whole ? tw_verify_content(&w->v, err) : TRAWL_OK;
}

trawl_status tw_store_verify(const char *dir, struct tw_store_check *check, struct tw_str *report,
                             struct trawl_error *err)
{
    struct walk w               = {.v = {.dir = dir, .check = check, .report = report}};
    struct tw_journal_scan scan = {0};
    char *path                  = NULL;
    *check                      = (struct tw_store_check){0};
    TW_TRY(tw_path_join(dir, TW_MANIFEST_NAME, &path, err));
    trawl_status status = tw_journal_read(&scan, path, TW_MANIFEST_KIND, verify_line, &w, err);
    memcpy(w.v.run_hash, scan.run_hash, sizeof w.v.run_hash);
    if (status == TRAWL_OK) {
        status = verify(&w, &scan, err);
    }
    for (size_t i = 0; i < w.v.n_files; i++) {
        tw_free(w.v.files[i].name);
        tw_free(w.v.files[i].site);
    }
    tw_free(w.v.files);
    tw_free(w.names);
    tw_journal_scan_release(&scan);
    tw_free(path);
    return status;
}
