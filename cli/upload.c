/* SPDX-License-Identifier: MIT */
#include "cli/upload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/harvest/harvest_index.h"
#include "base/alloc.h"
#include "base/file.h"
#include "cli/interrupt.h"
#include "store/store_layout.h"

trawl_status cli_upload_check_bucket(const char *bucket, struct trawl_error *err)
{
    struct tw_cloud *cloud              = NULL;
    const struct tw_cloud_config config = {.url = bucket, .http = {.retry = {.attempts = 3}}};
    trawl_status status                 = tw_cloud_open(&config, &cloud, err);
    status                              = status != TRAWL_OK ? status : tw_cloud_check(cloud, err);
    tw_cloud_close(cloud);
    return status == TRAWL_OK ? TRAWL_OK : tw_fail_prefix(err, status, "--cloud_bucket %.200s", bucket);
}

trawl_status cli_upload_check(const struct cli_args *args, struct trawl_error *err)
{
    const char *bucket = cli_get_string(args, "cloud_bucket");
    if (!cli_get_flag(args, "upload_to_cloud")) {
        return bucket == NULL
                   ? TRAWL_OK
                   : tw_fail(err, TRAWL_ERR_INVALID,
                             "--cloud_bucket %.200s: nothing is uploaded without --upload_to_cloud", bucket);
    }
    return bucket != NULL
               ? cli_upload_check_bucket(bucket, err)
               : tw_fail(err, TRAWL_ERR_INVALID,
                         "--upload_to_cloud needs a --cloud_bucket, gs://bucket/path or s3://bucket/path");
}

/* A tw_upload_next over the manifest. */
static trawl_status next_file(void *user, struct tw_upload_item *item, char owner[17], bool *has,
                              struct trawl_error *err)
{
    struct tw_follow_file file;
    TW_TRY(tw_follow_next(user, &file, has, err));
    if (!*has) {
        return TRAWL_OK;
    }
    if (strlen(file.name) >= sizeof item->name) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%.100s...: the name is too long", file.name);
    }
    memcpy(item->name, file.name, strlen(file.name) + 1);
    memcpy(owner, file.run_hash, 17);
    item->bytes = file.bytes;
    item->xxh3  = file.xxh3;
    return TRAWL_OK;
}

static void release(struct cli_upload *u)
{
    tw_uploader_stop(u->uploader);
    tw_follow_close(u->follow);
    for (size_t i = 0; i < u->n_files; i++) {
        tw_free(u->files[i].path);
        tw_free(u->files[i].name);
    }
    u->uploader = NULL;
    u->follow   = NULL;
    u->n_files  = 0;
}

trawl_status cli_upload_open(struct cli_upload *upload, const char *bucket, const char *dir,
                             struct trawl_error *err)
{
    upload->dir    = dir;
    upload->bucket = bucket;
    TW_TRY(tw_follow_open(dir, &upload->follow, err));
    const struct tw_uploader_config config = {
        .dir = dir, .url = bucket, .next = next_file, .user = upload->follow};
    trawl_status status = tw_uploader_start(&config, &upload->uploader, err);
    if (status != TRAWL_OK) {
        release(upload);
    }
    return status;
}

void cli_upload_start(struct cli_upload *upload, const struct cli_args *args, const char *dir)
{
    if (cli_get_flag(args, "upload_to_cloud")) {
        (void)cli_upload_open(upload, cli_get_string(args, "cloud_bucket"), dir, &upload->refused);
    }
}

trawl_status cli_upload_add(struct cli_upload *upload, const char *path, struct trawl_error *err)
{
    const char *slash = strrchr(path, '/');
    if (upload->uploader == NULL) {
        return TRAWL_OK;
    }
    TW_BUG_ON(upload->n_files == CLI_UPLOAD_FILES);
    TW_TRY(
        tw_path_join("results", slash == NULL ? path : slash + 1, &upload->files[upload->n_files].name, err));
    return tw_strdup(path, &upload->files[upload->n_files++].path, err);
}

/* ---- the end ---- */

static bool on_tick(void *user, const struct tw_upload_progress *now)
{
    struct cli_progress *p = user;
    p->total               = now->files;
    cli_progress_update(p, now->done_files, 0);
    return !cli_interrupted();
}

/* The store's own files that change until the end. The manifest comes last, so that a bucket with a manifest has what
 * it names. */
static const char *const own_names[] = {TW_HARVEST_INDEX_NAME, TW_STATS_NAME, TW_METADATA_NAME,
                                        TW_MANIFEST_NAME};
enum { OWN_FILES = sizeof own_names / sizeof own_names[0] };

static trawl_status finish(struct cli_upload *u, struct cli_progress *progress,
                           struct tw_upload_summary *summary, struct trawl_error *err)
{
    struct tw_upload_final finals[CLI_UPLOAD_FILES + OWN_FILES];
    char *own[OWN_FILES] = {NULL};
    size_t n             = 0;
    trawl_status status  = TRAWL_OK;
    *summary             = (struct tw_upload_summary){.failed = 0};
    for (size_t i = 0; i < u->n_files; i++) {
        finals[n++] = (struct tw_upload_final){u->files[i].path, u->files[i].name};
    }
    for (size_t i = 0; status == TRAWL_OK && i < OWN_FILES; i++) {
        status      = tw_path_join(u->dir, own_names[i], &own[i], err);
        finals[n++] = (struct tw_upload_final){own[i], own_names[i]};
    }
    if (status == TRAWL_OK) {
        cli_progress_start(progress, u->command, "files uploaded", 0, progress->quiet);
        status = tw_uploader_finish(u->uploader, finals, n, on_tick, progress, summary, err);
        cli_progress_finish(progress);
    }
    for (size_t i = 0; i < OWN_FILES; i++) {
        tw_free(own[i]);
    }
    return status;
}

static void print_summary(const struct cli_upload *u, const struct tw_upload_summary *s)
{
    (void)fprintf(stderr, "trawl %s: %" PRIu64 " of %" PRIu64 " files (%.1f MB) are in %s", u->command,
                  s->progress.done_files, s->progress.files, (double)s->progress.done_bytes * 1e-6,
                  u->bucket);
    if (s->progress.earlier > 0) {
        (void)fprintf(stderr, ", %" PRIu64 " of them from before", s->progress.earlier);
    }
    (void)fprintf(stderr, "\n%s", tw_str_text(&s->why));
}

/* What is left to do, as an error. */
static void say_rest(const struct cli_upload *u, trawl_status status, const char *why,
                     struct trawl_error *err)
{
    (void)tw_fail(
        err, status,
        "%s%snot all of %.100s is in %.100s: `trawl acts upload %.100s --cloud_bucket %.100s` goes on with "
        "the rest",
        why, why[0] == '\0' ? "" : "; ", u->dir, u->bucket, u->dir, u->bucket);
}

static int wait_for_rest(struct cli_upload *u, struct cli_progress *progress, struct trawl_error *err)
{
    struct tw_upload_summary summary;
    struct trawl_error error = {0};
    int code                 = 0;
    trawl_status status      = finish(u, progress, &summary, &error);
    print_summary(u, &summary);
    if (status != TRAWL_OK || summary.failed > 0) {
        say_rest(u, status == TRAWL_OK ? TRAWL_ERR_IO : status, error.message, err);
        code = status == TRAWL_ERR_CANCELLED ? CLI_EXIT_INTERRUPTED : CLI_EXIT_INCOMPLETE;
    }
    tw_str_release(&summary.why);
    return code;
}

int cli_upload_end(struct cli_upload *upload, trawl_status status, struct cli_progress *progress,
                   struct trawl_error *err)
{
    int code = 0;
    if (upload->bucket == NULL) {
        return 0;
    }
    if (status != TRAWL_OK) {
        (void)fprintf(stderr,
                      "trawl %s: what is not in %s yet is uploaded when the run is resumed, or by: trawl "
                      "acts upload %s "
                      "--cloud_bucket %s\n",
                      upload->command, upload->bucket, upload->dir, upload->bucket);
    } else if (upload->uploader == NULL) {
        say_rest(upload, upload->refused.status, upload->refused.message, err);
        code = CLI_EXIT_INCOMPLETE;
    } else {
        code = wait_for_rest(upload, progress, err);
    }
    release(upload);
    return code;
}
