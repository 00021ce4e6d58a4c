/* SPDX-License-Identifier: MIT */
/* Uploading: of commands that store activations, and of stores that are there. */
#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option run_options[] = {
    {.name = "upload_to_cloud",
     .type = CLI_FLAG,
     .help = "copy the activations into --cloud_bucket while the run goes on",
     .text =
         "Files are uploaded as they are committed, beside the run, and stay here too. Each is verified by "
         "the checksum of the server and noted in uploads.jsonl. At the end the rest is waited for; what "
         "cannot be uploaded is named (exit code 3) and `trawl acts upload` goes on with it."},
    {.name  = "cloud_bucket",
     .type  = CLI_STRING,
     .value = "URL",
     .unset = "none",
     .help  = "where --upload_to_cloud goes: gs://bucket/path or s3://bucket/path",
     .text =
         "Credentials are found where the tools of Google and AWS look for theirs. Give each run, and each "
         "shard of one, a path of its own: what another run has uploaded is never replaced."},
};
const struct cli_group cli_upload_group = {"Upload options", run_options, COUNT(run_options)};

static const struct cli_option store_options[] = {
    {.name     = "cloud_bucket",
     .type     = CLI_STRING,
     .required = true,
     .value    = "URL",
     .help     = "where the files go: gs://bucket/path or s3://bucket/path"},
    {.name = "dry_run", .type = CLI_FLAG, .help = "list what would be uploaded, and upload nothing"},
};
static const struct cli_group store_group = {"Options", store_options, COUNT(store_options)};

const struct cli_command cli_acts_upload = {
    .name    = "acts upload",
    .summary = "copy a store of activations into a bucket",
    .text =
        "Uploads the files that the manifest names, then statistics, metadata and the manifest itself. What "
        "uploads.jsonl in the folder has is not sent again, so an interrupted upload goes on where it was; "
        "files "
        "are compared with their checksums before and after. Also for the folder of an interrupted run: its "
        "manifest is replaced when the run is complete.",
    .operand  = {"DIR", NULL, 1, 1, "the folder of activations"},
    .groups   = {&store_group},
    .examples = {{"acts upload activations --cloud_bucket gs://your-bucket/run1",
                  "Everything, or the rest of it."},
                 {"acts upload activations --cloud_bucket s3://your-bucket/run1 --dry_run",
                  "What that would be."}},
};
