/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "cli/terminal.h"
#include "cli/upload.h"
#include "cloud/cloud_ledger.h"
#include "cloud/cloud_place.h"
#include "store/store_layout.h"

/* What of the manifest's files the ledger does not have, a line each on stdout. `ledger` may be NULL. */
static trawl_status list_missing(struct tw_follow *follow, struct tw_ledger *ledger,
                                 const struct tw_cloud_place *place, struct tw_str *line,
                                 struct trawl_error *err)
{
    struct tw_follow_file file;
    uint64_t files = 0, bytes = 0, earlier = 0;
    for (bool has = true; has;) {
        TW_TRY(tw_follow_next(follow, &file, &has, err));
        if (!has) {
            break;
        }
        tw_str_reset(line);
        TW_TRY(tw_str_printf(line, err, "%s://%s/%s%s", place->kind == TW_CLOUD_GCS ? "gs" : "s3",
                             place->bucket, place->prefix, file.name));
        if (ledger != NULL && tw_ledger_has(ledger, tw_str_text(line), file.bytes, file.xxh3)) {
            earlier++;
            continue;
        }
        files++;
        bytes += file.bytes;
        TW_TRY(tw_str_printf(line, err, "\t%" PRIu64 "\n", file.bytes));
        TW_TRY(cli_write(tw_str_text(line), line->size, err));
    }
    (void)fprintf(stderr, "trawl acts upload: %" PRIu64 " files, %.1f MB to upload; %" PRIu64 " are there\n",
                  files, (double)bytes * 1e-6, earlier);
    return cli_flush(err);
}

static trawl_status dry_run(const char *dir, const char *bucket, struct trawl_error *err)
{
    struct tw_cloud_place place = {.prefix = NULL};
    struct tw_ledger *ledger    = NULL;
    struct tw_follow *follow    = NULL;
    char *path                  = NULL;
    struct tw_str line;
    tw_str_init(&line, 0);
    trawl_status status = tw_cloud_place_parse(bucket, &place, err);
    status              = status != TRAWL_OK ? status : tw_path_join(dir, TW_LEDGER_NAME, &path, err);
    status              = status != TRAWL_OK ? status : tw_follow_open(dir, &follow, err);
    if (status == TRAWL_OK && tw_path_exists(path)) {
        status = tw_ledger_open(dir, &ledger, err);
    }
    if (status == TRAWL_OK) {
        status = list_missing(follow, ledger, &place, &line, err);
    }
    tw_ledger_close(ledger);
    tw_follow_close(follow);
    tw_cloud_place_release(&place);
    tw_free(path);
    tw_str_release(&line);
    return status;
}

static trawl_status check_folder(const char *dir, struct trawl_error *err)
{
    char *manifest = NULL;
    TW_TRY(tw_path_join(dir, TW_MANIFEST_NAME, &manifest, err));
    bool is_store = tw_path_exists(manifest);
    tw_free(manifest);
    return is_store ? TRAWL_OK
                    : tw_fail(err, TRAWL_ERR_INVALID, "%s is no store of activations: there is no %s in it",
                              dir, TW_MANIFEST_NAME);
}

int cmd_acts_upload(const struct cli_args *args, struct trawl_error *err)
{
    struct cli_upload upload     = {.command = "acts upload"};
    struct cli_progress progress = {.quiet = cli_get_flag(args, "quiet")};
    const char *dir              = cli_operand(args, 0);
    const char *bucket           = cli_get_string(args, "cloud_bucket");
    trawl_status status          = check_folder(dir, err);
    if (status == TRAWL_OK && cli_get_flag(args, "dry_run")) {
        status = dry_run(dir, bucket, err);
    } else if (status == TRAWL_OK) {
        status = cli_upload_check_bucket(bucket, err);
        status = status != TRAWL_OK ? status : cli_upload_open(&upload, bucket, dir, err);
        if (status == TRAWL_OK) {
            return cli_upload_end(&upload, status, &progress, err);
        }
    }
    return cli_exit_code(status);
}
