/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "apps/harvest/harvest_index.h"
#include "cli/cmd.h"
#include "store/store_merge.h"

int cmd_acts_merge(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_merge_summary summary;
    const char *const *inputs = NULL;
    size_t n                  = cli_get_strings(args, "inputs", &inputs);
    const char *output        = cli_get_string(args, "output_dir");
    trawl_status status       = tw_store_merge(inputs, n, output, &summary, err);
    if (status == TRAWL_OK) { /* those of a harvest say which text each request is of */
        status = tw_harvest_index_merge(inputs, n, output, err);
    }
    if (status == TRAWL_OK) {
        (void)fprintf(stderr,
                      "trawl acts merge: %zu shards, %" PRIu64 " requests, %" PRIu64
                      " rows of each site, %" PRIu64 " groups in %s\n",
                      n, summary.requests, summary.rows, summary.groups, output);
    }
    return cli_exit_code(status);
}
