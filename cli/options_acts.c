/* SPDX-License-Identifier: MIT */
/* The commands about stored activations. */
#include "cli/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option merge_options[] = {
    {.name     = "inputs",
     .type     = CLI_PATHS,
     .required = true,
     .value    = "DIR",
     .help     = "the folders of all shards of a run, in any order"},
    {.name     = "output_dir",
     .type     = CLI_PATH,
     .required = true,
     .value    = "DIR",
     .help     = "the folder of the whole run; there must be no store in it yet"},
};
static const struct cli_group merge_group = {"Options", merge_options, COUNT(merge_options)};

const struct cli_command cli_acts_merge = {
    .name    = "acts merge",
    .summary = "join the activations of a run's shards",
    .text   = "The result has the bytes that one run of everything would have written: requests in the order "
              "of the whole "
              "run, in its commit groups, with its statistics. A shard that is missing, unfinished or of "
              "another run is "
              "refused by name. Should merging fail for another reason, remove the output folder before trying "
              "again.",
    .groups = {&merge_group},
    .examples = {{"acts merge --inputs acts0 acts1 acts2 --output_dir activations", "Three shards."}},
};
