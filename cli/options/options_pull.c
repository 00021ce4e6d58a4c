/* SPDX-License-Identifier: MIT */
/* trawl pull */
#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option pull_options[] = {
    {.name     = "revision",
     .type     = CLI_STRING,
     .value    = "NAME",
     .fallback = "main",
     .help     = "branch, tag or commit",
     .text =
         "--model_path takes what main is in the cache; of another revision, the folder that is printed."},
    {.name     = "repo_type",
     .type     = CLI_STRING,
     .choices  = "model|dataset",
     .fallback = "model",
     .help     = "what the repository holds"},
    {.name  = "include",
     .type  = CLI_STRINGS,
     .value = "GLOB",
     .unset = "of a model what running it takes, of a data set all",
     .help  = "only files that match one of these; '*' stands for slashes too",
     .text =
         "What running a model takes: config.json, generation_config.json, the tokenizer's files, the chat "
         "template, *.safetensors and their index, all of the repository's root."},
    {.name  = "exclude",
     .type  = CLI_STRINGS,
     .value = "GLOB",
     .unset = "none",
     .help  = "no files that match one of these"},
    {.name  = "local_dir",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "the hub cache",
     .help  = "put the files into this folder, under their own names",
     .text  = "Files that are there already are compared by their hash and replaced when they differ."},
};
static const struct cli_group pull_group = {"Options", pull_options, COUNT(pull_options)};

const struct cli_command cli_pull = {
    .name    = "pull",
    .summary = "fetch a model or data set from a Hugging Face hub",
    .text =
        "The files go into the cache of the Python package huggingface_hub, in its layout, so that either "
        "finds "
        "what the other fetched, and --model_path org/name of every command finds the model. The folder that "
        "has "
        "them is printed.\n\n"
        "Every file is checked by size and hash (SHA-256, of small files git's). A pull that was interrupted "
        "goes "
        "on where it was when it is done again. Lost connections and a busy hub are tried again with growing "
        "pauses.\n\n"
        "Environment: HF_ENDPOINT names another hub, HF_TOKEN a token for private and gated repositories (it "
        "is "
        "sent to the hub only, not to where it redirects), HF_HUB_CACHE or HF_HOME the cache, "
        "HF_HUB_OFFLINE=1 "
        "forbids the network.",
    .operand  = {.value = "REPO",
                 .min   = 1,
                 .max   = 1,
                 .help  = "the repository, as in Qwen/Qwen2.5-0.5B-Instruct"},
    .groups   = {&pull_group},
    .examples = {{"pull Qwen/Qwen2.5-0.5B-Instruct", "A model, for --model_path Qwen/Qwen2.5-0.5B-Instruct."},
                 {"pull openai/gsm8k --repo_type dataset --include 'main/*' --local_dir gsm8k",
                  "Some files of a data set, into a folder."}},
};
