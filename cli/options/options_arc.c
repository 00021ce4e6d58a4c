/* SPDX-License-Identifier: MIT */
/* The commands of `trawl arc`. */
#include <math.h>

#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- arc run ---- */

static const struct cli_option run_data_options[] = {
    {.name     = "dataset_path",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "tasks: one JSON object {id: {train, test}}, a folder with one file per task, or JSON lines",
     .text     = "A malformed task is named, skipped and counted (exit code 3)."},
    {.name     = "output_filepath",
     .type     = CLI_PATH,
     .fallback = "submission.json",
     .value    = "FILE",
     .help     = "predictions; the records of all prompts go to <FILE without .json>_task_results.json"},
    {.name  = "n_tasks",
     .type  = CLI_INT,
     .unset = "all",
     .help  = "only the first N tasks of the data set; 0 or less: all"},
    {.name      = "predictions_per_task",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 100000,
     .fallback  = "8",
     .help      = "augmented prompts for each test input",
     .text =
         "The first eight are the flips and rotations; further ones repeat them with new colours and a new "
         "order of the examples."},
    {.name     = "grid_encoder",
     .type     = CLI_STRING,
     .fallback = "GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))",
     .value    = "EXPR",
     .help     = "how a grid is written as text",
     .text =
         "MinimalGridEncoder(), GridWithSeparationEncoder('|') and RepeatNumberEncoder(3) write cells; "
         "GridCodeBlockEncoder(e), GridShapeEncoder(e), RowNumberEncoder(e) and ReplaceNumberEncoder(e) wrap "
         "another encoder."},
    {.name     = "prompt_version",
     .type     = CLI_STRING,
     .fallback = "output-from-examples-v0",
     .value    = "NAME",
     .help     = "which prompt to write; unknown names are refused with those that exist"},
    {.name  = "prompt_dir",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "the built-in prompts",
     .help  = "folder of prompt templates: <version>/{system,user,assistant}.jinja"},
    {.name      = "random_seed",
     .aliases   = "seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of augmentation and sampling",
     .text = "Equal seeds give equal prompts, whatever the order of the tasks and the number of shards."},
    {.name = "resume",
     .type = CLI_FLAG,
     .help = "continue the run in --activations_dir and --output_filepath where it stopped",
     .text =
         "Starts a new run where none is. Without it the files of an earlier run are refused; so are, "
         "with it, those of a run with other settings. Mesh, threads and memory may be others than before; "
         "--batch_size times --save_every_n_batches (commit_every) may not."},
};
static const struct cli_group run_data_group = {"Data options", run_data_options, COUNT(run_data_options)};

static const struct cli_option run_answer_options[] = {
    {.name      = "max_output_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .fallback  = "1100",
     .help      = "longest answer in tokens (a 30x30 grid takes 1022)"},
    {.name = "constrain_grids",
     .type = CLI_FLAG,
     .help = "draw only tokens that lead to a grid",
     .text = "Answers are then grids of up to 30x30, written as the encoder writes them, with rows of equal "
             "width, row "
             "numbers in order and the shape of the grid, and complete within --max_output_tokens: a grid "
             "that does "
             "not fit is not begun."},
};
static const struct cli_group run_answer_group = {"Answer options", run_answer_options,
                                                  COUNT(run_answer_options)};

static const struct cli_option run_activation_options[] = {
    {.name     = "extract_activations",
     .type     = CLI_FLAG,
     .fallback = "true",
     .help     = "store activations of --layers_to_extract"},
    {.name      = "layers_to_extract",
     .aliases   = "layers",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 0,
     .max       = 65535,
     .value     = "L",
     .unset     = "first, middle and last: 0 11 23 of 24",
     .help      = "blocks whose output (residual stream) is stored"},
    {.name     = "positions_to_extract",
     .type     = CLI_STRING,
     .choices  = "all|last|answer",
     .fallback = "all",
     .help     = "tokens whose activations are stored; last: the prompt's last one and the answer's",
     .text     = "Of what is not stored the part that prompts have in common is computed once."},
    {.name     = "activations_dir",
     .type     = CLI_PATH,
     .fallback = "./activations",
     .value    = "DIR",
     .help     = "folder of the activation store"},
    {.name     = "activations_format",
     .type     = CLI_STRING,
     .choices  = "pkl|safetensors",
     .fallback = "pkl",
     .help = "pkl: layer_<L>_batch_<N>.pkl, float32; safetensors: chunks with token, request and position"},
    {.name      = "save_every_n_batches",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1000000,
     .fallback  = "10",
     .help      = "batches of --batch_size prompts that are committed together"},
    {.name = "upload_results",
     .type = CLI_FLAG,
     .help = "with --upload_to_cloud: predictions and records as well, as results/<name of the file>"},
};
static const struct cli_group run_activation_group = {"Activation options", run_activation_options,
                                                      COUNT(run_activation_options)};

const struct cli_command cli_arc_run = {
    .name    = "arc run",
    .summary = "predict the test grids of ARC tasks and store activations",
    .text    = "Writes an augmented prompt for every prediction of every test input, generates the answers, "
               "parses them "
               "back into grids, undoes the augmentation and writes predictions and one record per prompt. With "
               "--extract_activations the residual stream after the chosen blocks is stored for every token.\n\n"
               "The files do not depend on batch size, threads, mesh, or on how often the run was interrupted.",
    .groups  = {&run_data_group, &cli_shard_group, &run_answer_group, &cli_sampling_group, &cli_search_group,
                &run_activation_group, &cli_upload_group, &cli_time_group, &cli_model_group},
    .examples =
        {{"arc run --model_path Qwen2.5-0.5B --dataset_path tasks.json --output_filepath "
          "out/predictions.json "
          "--layers_to_extract 10 11 12 --activations_dir out/activations --mesh_shape 2 2",
          "All tasks of a file on a mesh of four devices, with activations of three blocks."},
         {"arc run --model_path Qwen2.5-0.5B --dataset_path tasks.json --no_extract_activations --n_tasks 10",
          "Only predictions, for the first ten tasks."}},
};

/* ---- arc transform ---- */

static const struct cli_option transform_options[] = {
    {.name     = "dataset",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "JSON lines, or a JSON array, of rows with a member \"examples\"",
     .text = "Examples are [input, output] pairs or {\"input\", \"output\"} objects. The last usable example "
             "of a row becomes its test, the others its train pairs. A row with fewer than two is left out. "
             "Rows of a data set on the Hugging Face hub: "
             "datasets.load_dataset(name, split=split).to_json(file) in Python."},
    {.name     = "output_dir",
     .type     = CLI_PATH,
     .fallback = "./arc_data",
     .value    = "DIR",
     .help     = "where the files go"},
    {.name     = "split",
     .type     = CLI_STRING,
     .fallback = "train",
     .value    = "NAME",
     .help     = "the split in the file names"},
    {.name      = "max_samples",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 9007199254740992.0,
     .unset     = "all",
     .help      = "read only the first N rows"},
};
static const struct cli_group transform_group = {"Options", transform_options, COUNT(transform_options)};

const struct cli_command cli_arc_transform = {
    .name    = "arc transform",
    .summary = "turn rows of examples into ARC tasks",
    .text =
        "Writes arc_format_<split>.json (the tasks), test_outputs_<split>.json and "
        "arc_format_<split>_solutions.json (the expected test outputs, twice: for checking and for arc "
        "score), "
        "and transformation_errors.json when something was left out (exit code 3 when it was a whole row).",
    .groups = {&transform_group},
    .examples =
        {{"arc transform --dataset data_100k.jsonl --output_dir ./arc_data --split train --max_samples 10000",
          "The first 10000 rows of a file."}},
};

/* ---- arc vote ---- */

static const struct cli_option vote_options[] = {
    {.name     = "input_filepath",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "predictions of arc run, or its ..._task_results.json",
     .text     = "From ..._task_results.json ties are broken by the mean log-probability per token, from "
                 "predictions by "
                 "the order of the attempts."},
    {.name  = "output_filepath",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "<input without .json>_voting.json",
     .help  = "the submission"},
    {.name      = "n",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1000,
     .fallback  = "2",
     .help      = "attempts to keep for each test input"},
};
static const struct cli_group vote_group = {"Options", vote_options, COUNT(vote_options)};

const struct cli_command cli_arc_vote = {
    .name    = "arc vote",
    .summary = "choose the attempts to submit from many predictions",
    .text =
        "Equal grids of a test input are counted, empty ones ignored; the most frequent become attempt_1, "
        "attempt_2, ...; missing ones are empty grids.",
    .groups   = {&vote_group},
    .examples = {{"arc vote --input_filepath predictions.json --output_filepath submission.json",
                  "Two attempts for each test input."}},
};

/* ---- arc score ---- */

static const struct cli_option score_options[] = {
    {.name     = "submission",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "{id: [{attempt_1: grid, ...} per test input]}"},
    {.name     = "solutions",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "Kaggle solutions, test_outputs_<split>.json, or tasks that hold their test outputs"},
    {.name = "json", .type = CLI_FLAG, .help = "print JSON instead of a table"},
};
static const struct cli_group score_group = {"Options", score_options, COUNT(score_options)};

const struct cli_command cli_arc_score = {
    .name    = "arc score",
    .summary = "compare a submission with the solutions",
    .text = "Prints one line per task and the means over all tasks, and the score of the Kaggle competition.",
    .groups   = {&score_group},
    .examples = {{"arc score --submission submission.json --solutions solutions.json", "A table."}},
};

/* ---- arc report ---- */

static const struct cli_option report_options[] = {
    {.name     = "results",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "..._task_results.json of arc run"},
    {.name     = "dataset",
     .aliases  = "dataset_path",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "the tasks of that run"},
    {.name  = "solutions",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "the test outputs in the data set",
     .help  = "expected test outputs, to mark what is right"},
    {.name = "out", .type = CLI_PATH, .required = true, .value = "FILE", .help = "the HTML page"},
};
static const struct cli_group report_group = {"Options", report_options, COUNT(report_options)};

const struct cli_command cli_arc_report = {
    .name     = "arc report",
    .summary  = "one HTML page with tasks and predictions as coloured grids",
    .text     = "The page stands alone: no scripts, no other files.",
    .groups   = {&report_group},
    .examples = {{"arc report --results predictions_task_results.json --dataset tasks.json --out report.html",
                  "A page without solutions."}},
};

/* ---- arc merge ---- */

static const struct cli_option merge_options[] = {
    {.name     = "inputs",
     .type     = CLI_PATHS,
     .required = true,
     .value    = "FILE",
     .help     = "..._task_results.json of all shards of a run, in any order",
     .text = "Beside each lie the other files of its run: the predictions, and the journal, which says which "
             "shard it "
             "is."},
    {.name     = "output_filepath",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "the predictions of the whole run; ..._task_results.json is written beside it"},
};
static const struct cli_group merge_group = {"Options", merge_options, COUNT(merge_options)};

const struct cli_command cli_arc_merge = {
    .name    = "arc merge",
    .summary = "join the results of a run's shards",
    .text = "Both files have the bytes that one run of all tasks would have written. A shard that is missing "
            "or of another "
            "run is refused by name. Activations are joined by acts merge.",
    .groups   = {&merge_group},
    .examples = {{"arc merge --inputs s0_task_results.json s1_task_results.json --output_filepath all.json",
                  "Two shards."}},
};
