/* SPDX-License-Identifier: MIT */
/* --upload_to_cloud: the activations of a run into a bucket while it runs, and what `trawl acts upload` sends later.
 *
 *     TW_TRY(cli_upload_check(args, err));                    before the model is opened
 *     cli_upload_start(&upload, args, dir);                   when the store is there (a job's on_start)
 *     ...
 *     code = cli_upload_end(&upload, status, &progress, err); however the run went
 *
 * Without --upload_to_cloud all three do nothing. */
#ifndef CLI_UPLOAD_H
#define CLI_UPLOAD_H

#include "cli/commands.h"
#include "cli/progress.h"
#include "cloud/cloud_uploader.h"
#include "store/store_follow.h"

enum { CLI_UPLOAD_FILES = 4 };

struct cli_upload {
    const char *command; /* "arc run", for messages */
    const char *dir;     /* borrowed, like the next one */
    const char *bucket;
    struct tw_follow *follow;
    struct tw_uploader *uploader; /* NULL: nothing is uploaded */
    struct trawl_error refused;   /* why it could not begin */
    struct {
        char *path, *name;
    } files[CLI_UPLOAD_FILES]; /* further ones, at the end */
    size_t n_files;
};

/* --upload_to_cloud with a --cloud_bucket that exists and that we may write into; asks the cloud. */
trawl_status cli_upload_check(const struct cli_args *args, struct trawl_error *err);
trawl_status cli_upload_check_bucket(const char *bucket, struct trawl_error *err);
/* `upload` is zeroed but for `command`. `dir`: of the store, which need not have a manifest yet. What goes wrong
 * here does not hold up the run: cli_upload_end says it. */
void cli_upload_start(struct cli_upload *upload, const struct cli_args *args, const char *dir);
trawl_status cli_upload_open(struct cli_upload *upload, const char *bucket, const char *dir,
                             struct trawl_error *err);
/* A further file of the run, complete when the run is: becomes results/<its name> behind the bucket's path. */
trawl_status cli_upload_add(struct cli_upload *upload, const char *path, struct trawl_error *err);
/* After a run that went well (TRAWL_OK) waits until everything is uploaded and returns 0, or CLI_EXIT_INCOMPLETE with
 * what is missing. After any other, stops uploading, says how it is continued, and returns 0. */
int cli_upload_end(struct cli_upload *upload, trawl_status status, struct cli_progress *progress,
                   struct trawl_error *err);

#endif /* CLI_UPLOAD_H */
