/* SPDX-License-Identifier: MIT */
/* Uploads the files of a folder while they come into being: a few threads ask for the next committed file, put it
 * into the bucket, verify it, and note it in the ledger (cloud_ledger.h). Nobody waits for them until the end;
 * there is no queue, because what is committed is on disk. Local files are read only.
 *
 * A file that cannot be uploaded is tried again at the end. What then still fails is named, and a later run (or
 * `trawl acts upload`) continues: what the ledger has is not sent again. */
#ifndef TW_CLOUD_UPLOADER_H
#define TW_CLOUD_UPLOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "cloud/cloud.h"

enum { TW_UPLOAD_NAME = 1024 };

struct tw_upload_item {
    char name[TW_UPLOAD_NAME]; /* below the folder, and behind the bucket's prefix */
    uint64_t bytes;
    uint64_t xxh3;
};

/* The next committed file; *has is false when there is none now. `owner` gets the fingerprint of the run. Called
 * by one thread at a time. */
typedef trawl_status tw_upload_next(void *user, struct tw_upload_item *item, char owner[17], bool *has,
                                    struct trawl_error *err);

struct tw_uploader_config {
    const char *dir;
    const char *url;
    struct tw_http_config http; /* its `cancelled` is ours */
    size_t part_bytes;          /* 0: the default of tw_cloud */
    int threads;                /* 0: 4 */
    tw_upload_next *next;
    void *user;
};

struct tw_uploader;

/* Opens the ledger and starts the threads. */
trawl_status tw_uploader_start(const struct tw_uploader_config *config, struct tw_uploader **out,
                               struct trawl_error *err);

/* A file that is uploaded at the end, when its content is what it will be. */
struct tw_upload_final {
    const char *path;
    const char *name; /* behind the bucket's prefix */
};

struct tw_upload_progress {
    uint64_t files, bytes; /* known so far */
    uint64_t done_files, done_bytes;
    uint64_t earlier; /* of the done ones: were uploaded before */
};
/* False stops. */
typedef bool tw_upload_tick(void *user, const struct tw_upload_progress *progress);

struct tw_upload_summary {
    struct tw_upload_progress progress;
    uint64_t failed;   /* files that are not there */
    struct tw_str why; /* a line for each of the first ten: "<file>: <reason>"; released by the caller */
};

/* Everything is committed: wait for the rest, then upload `finals` in order (a missing one is left out), the last of
 * them only when nothing failed before. `tick` about five times a second.
 * TRAWL_ERR_CANCELLED when it said so. Files that failed are no failure of the call. */
trawl_status tw_uploader_finish(struct tw_uploader *uploader, const struct tw_upload_final *finals, size_t n,
                                tw_upload_tick *tick, void *user, struct tw_upload_summary *summary,
                                struct trawl_error *err);
/* Stops what is under way; the ledger has what is done. NULL is allowed. */
void tw_uploader_stop(struct tw_uploader *uploader);

#endif /* TW_CLOUD_UPLOADER_H */
