/* SPDX-License-Identifier: MIT */
/* trawl gsm8k */
#include <math.h>

#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option data_options[] = {
    {.name  = "dataset_path",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "the test split in the cache",
     .help  = "JSON lines with \"question\" and \"answer\", whose last line is \"#### NUMBER\"",
     .text  = "Without it test.jsonl of openai/gsm8k in the Hugging Face hub cache is taken, else "
              "gsm8k/test.jsonl of "
              "$TRAWL_CACHE (~/.cache/trawl), where it is fetched to, once, from GitHub or $TRAWL_GSM8K_URL. "
              "A row that "
              "is no question is named, skipped and counted (exit code 3)."},
    {.name      = "num_samples",
     .aliases   = "n",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1e9,
     .unset     = "all",
     .help      = "only the first N questions"},
    {.name  = "output_filepath",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "none is written",
     .help  = "JSON lines, one a question; the journal is <FILE without .jsonl>_journal.jsonl"},
    {.name = "resume",
     .type = CLI_FLAG,
     .help = "continue the run of --output_filepath where it stopped",
     .text = "Starts a new run where none is. Without it the journal of an earlier run is refused; so is, "
             "with it, "
             "that of a run with other settings. Mesh, threads, memory and --batch_size may be others than "
             "before."},
    {.name      = "show",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 1e9,
     .fallback  = "3",
     .help      = "print question, prediction and target of the first N questions"},
    {.name = "json", .type = CLI_FLAG, .help = "print the figures as JSON, and no questions"},
};
static const struct cli_group data_group = {"Data options", data_options, COUNT(data_options)};

static const struct cli_option prompt_options[] = {
    {.name  = "system_prompt",
     .type  = CLI_STRING,
     .value = "TEXT",
     .unset =
         "\"Please reason step by step, and put your final answer within \\boxed{}.\" without examples, none "
         "with them",
     .help = "the instruction: the system message, or the first paragraph of a prompt of text; \"\": none"},
    {.name      = "num_fewshot",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 1000,
     .fallback  = "0",
     .help      = "worked examples before every question; 8 are common for base models"},
    {.name  = "fewshot_path",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "eight examples of trawl's own",
     .help  = "take them from the beginning of this file, such as the data set's train split"},
    {.name  = "apply_chat_template",
     .type  = CLI_FLAG,
     .unset = "as far as the model has one, without examples",
     .help  = "put the question as a conversation, examples as its earlier turns",
     .text  = "Else as text, \"Question: ...\" and \"Answer:\" on lines of their own; the answer then ends "
              "before a "
              "further \"Question:\"."},
    {.name      = "max_tokens",
     .aliases   = "max_output_tokens max_new_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .fallback  = "1024",
     .help      = "longest answer in tokens"},
    {.name      = "seed",
     .aliases   = "random_seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of a run with a temperature"},
};
static const struct cli_group prompt_group = {"Prompt options", prompt_options, COUNT(prompt_options)};

static const struct cli_option device_options[] = {
    {.name = "single_device", .type = CLI_FLAG, .help = "run on one device: --mesh_shape 1 1"},
    {.name = "compare",
     .type = CLI_FLAG,
     .help = "run on one device and on the mesh, and compare the answers token by token",
     .text = "Their log-probabilities are compared bit by bit. The first difference is named, and the exit "
             "code is "
             "1. With --output_filepath the run on one device has a journal of its own, "
             "<FILE without .jsonl>_single_device_journal.jsonl."},
};
static const struct cli_group device_group = {"Device options", device_options, COUNT(device_options)};

const struct cli_command cli_gsm8k = {
    .name    = "gsm8k",
    .summary = "accuracy on the grade-school mathematics of GSM8K",
    .text = "Puts every question, takes the number that the answer ends with (what the last \\boxed{} holds, "
            "or else the "
            "line behind the last \"####\", or else the last number) and compares it by value with the "
            "reference's: 5, "
            "5.0 and 5.00 are equal, so are 1/2 and 0.5, and 1,000 and 1000. Prints a few of them, then the "
            "share of "
            "right ones with its 95 % interval (Wilson) and how many answers had no readable number, which "
            "count as "
            "wrong.\n\n"
            "Tokens are chosen greedily unless a temperature is given. The files do not depend on batch "
            "size, threads, "
            "mesh, or on how often the run was interrupted.",
    .groups = {&data_group, &prompt_group, &device_group, &cli_draw_group, &cli_model_group},
    .examples =
        {{"gsm8k --model_path Qwen2.5-7B-Instruct --num_samples 100 --mesh_shape 1 8",
          "The first hundred questions on eight devices."},
         {"gsm8k --model_path Qwen2.5-0.5B-Instruct --num_samples 20 --mesh_shape 2 2 --compare",
          "Is a mesh equal to one device?"},
         {"gsm8k --model_path Qwen2.5-0.5B --num_fewshot 8 --fewshot_path train.jsonl --output_filepath "
          "out/rows.jsonl --resume",
          "A base model, all questions, in a run that can be interrupted."}},
};
