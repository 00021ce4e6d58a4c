/* SPDX-License-Identifier: MIT */
#include "store/store_resume.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_chunk.h"
#include "store/store_manifest.h"

trawl_status tw_resume_check_folder(const struct tw_layout *layout, struct trawl_error *err)
{
    char *manifest = NULL;
    char *metadata = NULL;
    TW_TRY(tw_path_join(layout->dir, TW_MANIFEST_NAME, &manifest, err));
    trawl_status status = tw_path_join(layout->dir, TW_METADATA_NAME, &metadata, err);
    if (status == TRAWL_OK && !tw_path_exists(manifest) && tw_path_exists(metadata)) {
        status = tw_fail(err, TRAWL_ERR_EXISTS,
                         "%s is there already without a %s: these activations were not written by a store "
                         "that can be resumed",
                         metadata, TW_MANIFEST_NAME);
    }
    tw_free(manifest);
    tw_free(metadata);
    return status;
}

/* ---- which groups ---- */

static trawl_status cut(const struct tw_layout *layout, struct tw_journal *manifest, uint64_t keep,
                        struct trawl_error *err)
{
    unsigned long long groups = tw_journal_groups(manifest);
    if (keep == TW_STORE_KEEP_ALL || keep == groups) {
        return TRAWL_OK;
    }
    if (keep > groups) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s/%s has %llu groups, the results journal %llu: the activations of group %llu are "
                       "lost",
                       layout->dir, TW_MANIFEST_NAME, groups, (unsigned long long)keep, groups + 1);
    }
    if (keep + 1 < groups) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s/%s has %llu groups, the results journal %llu: it can be one group ahead, not more; "
            "is the journal of another run, or was it removed?",
            layout->dir, TW_MANIFEST_NAME, groups, (unsigned long long)keep);
    }
    return tw_journal_truncate(manifest, keep, err);
}

/* ---- what must be there ---- */

struct survey {
    const struct tw_layout *layout;
    uint64_t last_chunk;
    uint64_t stats_bytes; /* of the last group */
    uint64_t stats_xxh3;
};

static trawl_status survey_record(void *user, uint64_t group, const struct tw_manifest_record *r,
                                  struct trawl_error *err)
{
    struct survey *s = user;
    char *path       = NULL;
    struct stat st;
    if (r->site == NULL) {
        s->stats_bytes = r->bytes;
        s->stats_xxh3  = r->xxh3;
        return TRAWL_OK;
    }
    s->last_chunk = r->chunk;
    TW_TRY(tw_path_join(s->layout->dir, r->file, &path, err));
    trawl_status status = TRAWL_OK;
    if (stat(path, &st) != 0) {
        status = errno == ENOENT
                     ? tw_fail(err, TRAWL_ERR_FORMAT, "%s is missing, group %llu was committed with it", path,
                               (unsigned long long)group)
                     : tw_fail_os(err, errno, "%s", path);
    } else if ((uint64_t)st.st_size != r->bytes) {
        status =
            tw_fail(err, TRAWL_ERR_FORMAT, "%s has %llu bytes, group %llu was committed with %llu", path,
                    (unsigned long long)st.st_size, (unsigned long long)group, (unsigned long long)r->bytes);
    }
    tw_free(path);
    return status;
}

/* ---- what must not ---- */

static trawl_status remove_below(const char *dir, const char *entry, struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(dir, entry, &path, err));
    trawl_status status = tw_remove_file(path, err);
    tw_free(path);
    return status;
}

static trawl_status clean_entry(const struct tw_layout *layout, size_t site, const char *dir,
                                const char *entry, uint64_t last, struct trawl_error *err)
{
    uint64_t number = 0;
    bool temporary  = false;
    if (tw_layout_is_chunk(layout, site, entry, &number, &temporary) && (temporary || number > last)) {
        return remove_below(dir, entry, err);
    }
    return TRAWL_OK;
}

static trawl_status clean_site(const struct tw_layout *layout, size_t site, uint64_t last,
                               struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(layout->dir, tw_layout_chunk_dir(layout, site), &path, err));
    trawl_status status = TRAWL_OK;
    DIR *dir            = opendir(path);
    if (dir == NULL && errno != ENOENT) {
        status = tw_fail_os(err, errno, "%s", path);
    }
    while (dir != NULL && status == TRAWL_OK) {
        errno                      = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            status = errno == 0 ? TRAWL_OK : tw_fail_os(err, errno, "%s", path);
            break;
        }
        status = clean_entry(layout, site, path, entry->d_name, last, err);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    tw_free(path);
    return status;
}

static trawl_status clean(const struct tw_layout *layout, uint64_t last, struct trawl_error *err)
{
    static const char *const temporaries[] = {TW_METADATA_NAME ".tmp", TW_STATS_NAME ".tmp"};
    for (size_t i = 0; i < sizeof temporaries / sizeof temporaries[0]; i++) {
        TW_TRY(remove_below(layout->dir, temporaries[i], err));
    }
    for (size_t i = 0; i < layout->n_sites; i++) {
        TW_TRY(clean_site(layout, i, last, err));
    }
    return TRAWL_OK;
}

/* ---- statistics ---- */

/* Load them from `path` if it holds the bytes that the manifest names. */
static trawl_status try_statistics(const struct survey *s, const char *path, struct tw_stats *stats,
                                   bool *found, struct trawl_error *err)
{
    uint64_t bytes = 0;
    uint64_t xxh3  = 0;
    *found         = false;
    if (!tw_path_exists(path)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_chunk_checksum(path, &bytes, &xxh3, err));
    *found = bytes == s->stats_bytes && xxh3 == s->stats_xxh3;
    return *found ? tw_stats_load(stats, s->layout, path, err) : TRAWL_OK;
}

static trawl_status load_statistics(const struct survey *s, const char *path, const char *before,
                                    struct tw_stats *stats, struct trawl_error *err)
{
    bool found = false;
    TW_TRY(try_statistics(s, path, stats, &found, err));
    if (found) {
        return TRAWL_OK;
    }
    TW_TRY(try_statistics(s, before, stats, &found, err));
    if (!found) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s is missing or damaged: its checksum is not the one in %s, so the statistics cannot "
            "be continued",
            path, TW_MANIFEST_NAME);
    }
    if (rename(before, path) != 0) {
        return tw_fail_os(err, errno, "%s: rename to %s", before, path);
    }
    return tw_sync_dir(s->layout->dir, err);
}

static trawl_status restore_statistics(const struct survey *s, uint64_t groups, struct tw_stats *stats,
                                       struct trawl_error *err)
{
    char *path   = NULL;
    char *before = NULL;
    TW_TRY(tw_path_join(s->layout->dir, TW_STATS_NAME, &path, err));
    trawl_status status = tw_path_join(s->layout->dir, TW_STATS_BEFORE, &before, err);
    if (status == TRAWL_OK && groups > 0) {
        status = load_statistics(s, path, before, stats, err);
    } else if (status == TRAWL_OK) {
        status = tw_remove_file(path, err);
        status = status == TRAWL_OK ? tw_remove_file(before, err) : status;
    }
    tw_free(path);
    tw_free(before);
    return status;
}

trawl_status tw_resume(const struct tw_layout *layout, struct tw_journal *manifest, uint64_t keep,
                       struct tw_stats *stats, uint64_t *next_chunk, struct trawl_error *err)
{
    struct survey survey = {.layout = layout};
    TW_TRY(cut(layout, manifest, keep, err));
    TW_TRY(tw_manifest_each(manifest, survey_record, &survey, err));
    uint64_t groups = tw_journal_groups(manifest);
    TW_TRY(clean(layout, layout->format == TW_STORE_PKL ? groups : survey.last_chunk, err));
    *next_chunk = survey.last_chunk + 1;
    return restore_statistics(&survey, groups, stats, err);
}
