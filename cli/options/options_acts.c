/* SPDX-License-Identifier: MIT */
/* The commands about stored activations. */
#include "cli/options/options.h"

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

/* ---- inspect ---- */

static const struct cli_option inspect_options[] = {
    {.name = "json", .type = CLI_FLAG, .help = "print JSON instead of tables"},
    {.name  = "html",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "none",
     .help  = "also write a page with charts to this file"},
    {.name      = "sample_rows",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "100000",
     .help      = "rows that are read for the norms by position; 0: all",
     .text = "Every k-th request is read, so that about so many rows of each site are. All other figures "
             "come from "
             "the statistics of the whole store."},
};
static const struct cli_group inspect_group = {"Options", inspect_options, COUNT(inspect_options)};

const struct cli_command cli_acts_inspect = {
    .name    = "acts inspect",
    .summary = "what is in a folder of activations",
    .text    = "Which run it is and how far it has come; per site its rows, bytes, mean and root mean square "
               "norm, how much of "
               "the mean square the mean row alone makes, and rows with a NaN or an infinity; the mean norm by "
               "position; the "
               "dimensions with the largest values.",
    .operand = {"DIR", NULL, 1, 1, "the folder of activations"},
    .groups  = {&inspect_group},
    .examples = {{"acts inspect activations", "Tables."},
                 {"acts inspect activations --html activations.html", "Also a page with charts."}},
};

/* ---- verify ---- */

static const struct cli_option verify_options[] = {
    {.name  = "model_path",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "nothing is computed",
     .help  = "compute a sample of the requests again with this model and compare bit by bit"},
    {.name      = "samples",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1e9,
     .fallback  = "8",
     .help      = "requests of the sample"},
    {.name      = "random_seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "which requests those are"},
    {.name     = "mesh_shape",
     .type     = CLI_MESH,
     .fallback = "1 1",
     .help     = "devices along the data and the model axis; the bits do not depend on it"},
    {.name      = "threads",
     .aliases   = "t",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1024,
     .unset     = "cores / devices",
     .help      = "threads of each device"},
    {.name      = "batch_size",
     .aliases   = "b",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "8",
     .help      = "requests that are computed and held in memory at a time"},
};
static const struct cli_group verify_group = {"Options", verify_options, COUNT(verify_options)};

const struct cli_command cli_acts_verify = {
    .name    = "acts verify",
    .summary = "are the activations what the run committed?",
    .text    = "Every file that the manifest names is read: size and checksum. Where all are whole, headers, "
               "columns, request "
               "numbers and metadata.json are compared with the manifest, and the statistics are computed again "
               "from the rows. "
               "Each damaged, missing or foreign file and each contradiction is a line on standard output, and "
               "the exit code "
               "is then 1. Nothing is changed.\n\n"
               "With --model_path some requests, chosen by --random_seed, are computed again in the dtypes of "
               "the run and "
               "every element is compared, rounded as it was stored. That needs the tokens of a request from "
               "its first one on, "
               "so pickles and rows without their beginning cannot be checked so; rows of a request that had an "
               "attention mask "
               "of its own differ.",
    .operand = {"DIR", NULL, 1, 1, "the folder of activations"},
    .groups  = {&verify_group},
    .examples = {{"acts verify activations", "Files, statistics, manifest."},
                 {"acts verify activations --model_path Qwen2.5-0.5B --samples 20",
                  "And 20 requests computed again."}},
};

/* ---- export ---- */

static const struct cli_option export_options[] = {
    {.name     = "output_dir",
     .type     = CLI_PATH,
     .required = true,
     .value    = "DIR",
     .help     = "the folder to make; it must not be there yet"},
    {.name     = "format",
     .type     = CLI_STRING,
     .required = true,
     .choices  = "npy|npz|safetensors|pkl|hf_datasets",
     .help     = "what is written",
     .text     = "npy: an array a file. npz, safetensors: all arrays of a unit in a file. pkl: the pickles, "
                 "manifest and "
                 "metadata.json of a run with --activations_format pkl. hf_datasets: a folder a site for "
                 "datasets.load_from_disk, as SAELens reads cached activations."},
    {.name  = "sites",
     .type  = CLI_NAMES,
     .value = "SITE",
     .unset = "all of the store",
     .help  = "names (blocks.10.hook_resid_post) or labels (layer_10) of sites"},
    {.name    = "dtype",
     .type    = CLI_STRING,
     .choices = "float32|bfloat16|float16",
     .unset   = "as stored, or float32 where the format has no bfloat16",
     .help    = "dtype of the activations"},
    {.name    = "split_by",
     .type    = CLI_STRING,
     .choices = "site|document|chunk",
     .unset   = "site; chunk for pkl",
     .help    = "units of the output: a site, a request with all sites, a chunk of the store with all sites"},
    {.name     = "only",
     .type     = CLI_STRING,
     .choices  = "all|prompt|generated",
     .fallback = "all",
     .help     = "rows of these tokens"},
    {.name      = "max_rows",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 9007199254740992.0,
     .unset     = "all",
     .help      = "most rows of each site, from the beginning"},
    {.name      = "context_size",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .unset     = "rows of a request where all have equally many, else 1",
     .help      = "hf_datasets: tokens of a row",
     .text = "Requests are cut into rows of so many tokens that follow each other; what is left at the end "
             "of one "
             "is left out, and said to be."},
};
static const struct cli_group export_group = {"Options", export_options, COUNT(export_options)};

const struct cli_command cli_acts_export = {
    .name    = "acts export",
    .summary = "write activations in the form that other programs read",
    .text    = "Rows keep their order, and their bits where the dtype is not changed. Beside the activations "
               "stand the columns "
               "of the store: request, token, position, is_generated. The output appears whole or not at all.",
    .operand = {"DIR", NULL, 1, 1, "the folder of activations"},
    .groups  = {&export_group},
    .examples = {{"acts export activations --format npy --output_dir arrays --sites layer_10",
                  "One array to map with NumPy."},
                 {"acts export activations --format hf_datasets --output_dir cached", "For SAELens."},
                 {"acts export activations --format pkl --output_dir pickles", "Pickles from safetensors."}},
};
