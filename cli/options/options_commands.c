/* SPDX-License-Identifier: MIT */
/* The commands that are not part of a family. */
#include <math.h>

#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const struct cli_family cli_families[] = {
    {"arc", "ARC-AGI tasks: run, vote, score, report, join shards"},
    {"acts", "stored activations: join the shards of a run"},
    {NULL, NULL},
};

/* ---- generate ---- */

static const struct cli_option generate_options[] = {
    {.name     = "prompt",
     .aliases  = "p",
     .type     = CLI_STRING,
     .value    = "TEXT",
     .fallback = "Sam scored 80, 90 and 85 points in three tests. What is the mean of the three scores?",
     .help     = "what to answer; goes through the model's chat template when it has one"},
    {.name = "raw_prompt",
     .type = CLI_FLAG,
     .help = "take --prompt without the chat template, with the tokenizer's special tokens (Llama's BOS)"},
    {.name  = "prompts_file",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "none",
     .help  = "JSON lines to answer in batches instead of --prompt; - reads standard input",
     .text =
         "A row has \"prompt\" (raw text; \"add_special_tokens\": false leaves out what the tokenizer puts "
         "around a text, as Llama's BOS), \"messages\" (for the chat template) or \"tokens\" (ids), and "
         "may have \"id\", \"ignore_eos\", \"attention_mask\" (docs/masks.md), \"completions\", \"dfs\" "
         "(docs/search.md) and any sampling, constraint, search or attention option of this page by "
         "name."},
    {.name  = "output_filepath",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "standard output",
     .help  = "results of --prompts_file, JSON lines in the order of the input"},
    {.name      = "max_tokens",
     .aliases   = "max_new_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .fallback  = "500",
     .help      = "longest answer in tokens"},
    {.name = "no_realtime", .type = CLI_FLAG, .help = "print the answer at the end, not token by token"},
};
static const struct cli_group generate_group = {"Options", generate_options, COUNT(generate_options)};

const struct cli_command cli_generate = {
    .name    = "generate",
    .summary = "answer a prompt, or a file of prompts in batches",
    .text    = "The answer to --prompt goes to stdout as it comes, memory and timing follow on stderr. The "
               "results of "
               "--prompts_file come in the order of the input and hold nothing that depends on the machine, the "
               "batch or the mesh.",
    .groups  = {&generate_group, &cli_sampling_group, &cli_answer_group, &cli_constraint_group,
                &cli_search_group, &cli_attention_group, &cli_time_group, &cli_model_group},
    .examples =
        {{"generate --model_path Qwen2.5-0.5B-Instruct --prompt \"Why is the sky blue?\" --max_tokens 200",
          "One answer, greedy."},
         {"generate --model_path Qwen2.5-0.5B-Instruct --prompts_file in.jsonl --output_filepath out.jsonl "
          "--temperature 0.7 --top_p 0.9 --batch_size 32",
          "A file of prompts, sampled."}},
};

/* ---- trace ---- */

static const struct cli_option trace_options[] = {
    {.name     = "tokens",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "JSON list of lists of token ids"},
    {.name     = "sites",
     .type     = CLI_NAMES,
     .fallback = "logits",
     .value    = "SITE",
     .help     = "what to write: TransformerLens hook names, * for the block, and logits",
     .text     = "For example blocks.*.hook_resid_post,ln_final.hook_normalized,logits."},
    {.name     = "out",
     .type     = CLI_PATH,
     .required = true,
     .value    = "FILE",
     .help     = "the safetensors file",
     .text = "For sequence i: seq.{i}.tokens int32 [S], seq.{i}.<site> float32 [S, width], seq.{i}.logits "
             "float32 [S, "
             "vocabulary], seq.{i}.logprobs float32 [S-1]."},
};
static const struct cli_group trace_group = {"Options", trace_options, COUNT(trace_options)};

const struct cli_command cli_trace = {
    .name    = "trace",
    .summary = "activations and logits of given token ids, for every position",
    .text = "Token ids in, tensors out: for comparing with other implementations. The model folder needs no "
            "tokenizer.",
    .groups = {&trace_group, &cli_model_group},
    .examples =
        {{"trace --model_path Qwen2.5-0.5B --tokens ids.json --sites blocks.*.hook_resid_post,logits --out "
          "trace.safetensors --dtype float32",
          "The residual stream after every block, and the logits."}},
};

/* ---- perplexity ---- */

static const struct cli_option perplexity_options[] = {
    {.name     = "input",
     .type     = CLI_PATHS,
     .required = true,
     .value    = "FILE",
     .help     = "texts in UTF-8; each is scored on its own"},
    {.name      = "context_size",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 2,
     .max       = 16777216,
     .fallback  = "1024",
     .help      = "tokens of a window"},
    {.name      = "stride",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .unset     = "as --context_size",
     .help      = "tokens from the start of a window to that of the next",
     .text = "Below the context size windows overlap: each scores the tokens that the one before it did not "
             "reach, with "
             "at least context size minus stride tokens before them, which costs more and predicts better."},
    {.name      = "max_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 2,
     .max       = 9007199254740992.0,
     .unset     = "all",
     .help      = "score only the first tokens of each text"},
    {.name = "json", .type = CLI_FLAG, .help = "print JSON, with every window, instead of lines"},
};
static const struct cli_group perplexity_group = {"Options", perplexity_options, COUNT(perplexity_options)};

const struct cli_command cli_perplexity = {
    .name    = "perplexity",
    .summary = "mean negative log-likelihood and perplexity of texts",
    .text = "Every token of a text is scored once, by the log-probability that the model gives it after the "
            "tokens before it in its window: Hugging Face's sliding windows, with each token counted once. "
            "Texts are encoded with the special tokens that the folder puts around a text (Llama's BOS; "
            "Qwen2.5 has "
            "none). The first token of a text is not scored, nor, when windows do not overlap, the first of "
            "each. "
            "Perplexity is exp of the mean over all tokens of all texts.",
    .groups = {&perplexity_group, &cli_model_group},
    .examples =
        {{"perplexity --model_path Qwen2.5-0.5B --input wiki.txt --context_size 2048 --stride 512 --dtype "
          "float32",
          "One text, windows that overlap."}},
};

/* ---- bench ---- */

static const struct cli_option bench_options[] = {
    {.name      = "prompt",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .fallback  = "512",
     .help      = "tokens of the prompts whose prefill is measured",
     .text      = "The first is also the length of the documents that are harvested."},
    {.name      = "gen",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .fallback  = "64",
     .help      = "tokens decoded for each sequence"},
    {.name      = "batch",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "1,8,16,32",
     .value     = "N",
     .help      = "numbers of sequences decoded together, per data replica",
     .text      = "Takes the place of --batch_size, which is refused here."},
    {.name      = "decode_prompt",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .fallback  = "128",
     .help      = "tokens of context before the decoding of a batch begins"},
    {.name      = "context",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .unset     = "none",
     .value     = "N",
     .help      = "also decode one sequence behind contexts of these lengths, for example 128,1024,4096"},
    {.name      = "runs",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 3,
     .max       = 1000,
     .fallback  = "3",
     .help      = "repetitions; medians are reported"},
    {.name      = "seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of the random token ids"},
    {.name = "json", .type = CLI_FLAG, .help = "print JSON instead of a table"},
};
static const struct cli_group bench_group = {"Options", bench_options, COUNT(bench_options)};

const struct cli_command cli_bench = {
    .name    = "bench",
    .summary = "speed of prefill, decode and harvest beside the machine's limits",
    .text   = "Measures what memory and arithmetic units can do at most, then how close the model comes. The "
              "machine's "
              "limits and all figures are measured in turns, so that a change of its speed hits them alike. "
              "Prompts are random token ids: the model folder needs no tokenizer.",
    .groups = {&bench_group, &cli_model_group},
    .examples = {{"bench --model_path Qwen2.5-0.5B --threads 2 --batch 1,8,16,32 --json",
                  "All figures as JSON."},
                 {"bench --model_path Qwen2.5-0.5B --prompt 64,512,2048 --context 128,1024,4096",
                  "More points of the curves."}},
};

/* ---- tokenize ---- */

static const struct cli_option tokenize_options[] = {
    {.name     = "model_path",
     .type     = CLI_PATH,
     .required = true,
     .value    = "DIR",
     .help     = "folder with tokenizer.json (and tokenizer_config.json, for chats)"},
    {.name     = "file",
     .type     = CLI_PATH,
     .fallback = "-",
     .value    = "FILE",
     .help     = "JSON lines; - reads standard input",
     .text     = "A row {\"text\"} becomes {\"ids\"}, {\"ids\"} becomes {\"text\"}, {\"messages\", "
                 "\"add_generation_prompt\"} becomes "
                 "{\"text\", \"ids\"} through the chat template. A bad row is named with its line, becomes "
                 "{\"error\"} and the "
                 "exit code is 3."},
    {.name  = "text",
     .type  = CLI_STRING,
     .value = "TEXT",
     .unset = "none",
     .help  = "show the ids and pieces of this text instead of reading a file"},
    {.name = "no_special",
     .type = CLI_FLAG,
     .help = "special tokens in the text are ordinary text (split_special_tokens)"},
    {.name = "no_added", .type = CLI_FLAG, .help = "no added token is looked for in the text"},
};
static const struct cli_group tokenize_group = {"Options", tokenize_options, COUNT(tokenize_options)};

const struct cli_command cli_tokenize = {
    .name     = "tokenize",
    .summary  = "text to token ids and back",
    .text     = "Reads rows and writes one row for each, in order.",
    .groups   = {&tokenize_group},
    .examples = {{"tokenize --model_path Qwen2.5-0.5B --file in.jsonl > out.jsonl", "A file of rows."},
                 {"tokenize --model_path Qwen2.5-0.5B --text \"Hello world\"", "A table of ids and pieces."}},
};

/* ---- info ---- */

static const struct cli_option info_options[] = {
    {.name  = "model_path",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "none",
     .help  = "also say what this model is"},
    {.name = "json", .type = CLI_FLAG, .help = "print JSON instead of a table"},
};
static const struct cli_group info_group = {"Options", info_options, COUNT(info_options)};

const struct cli_command cli_info = {
    .name    = "info",
    .summary = "what this build, this machine and a model are",
    .text =
        "Version, compiler and libraries; instruction sets, cores and memory that this process may use; with "
        "--model_path the shape of a model and its number of parameters.",
    .groups   = {&info_group},
    .examples = {{"info", "Build and machine."},
                 {"info --model_path Qwen2.5-0.5B --json", "With a model, as JSON."}},
};

/* ---- help, man, completions ---- */

const struct cli_command cli_help = {
    .name     = "help",
    .summary  = "help on a command",
    .operand  = {"COMMAND", "@commands", 0, 2, "the command; none: a list of all commands"},
    .examples = {{"help arc run", "The same as trawl arc run --help."}},
};

static const struct cli_option man_options[] = {
    {.name  = "output_dir",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "standard output",
     .help  = "write the pages of all commands into this folder"},
};
static const struct cli_group man_group = {"Options", man_options, COUNT(man_options)};

const struct cli_command cli_man = {
    .name    = "man",
    .summary = "print a manual page",
    .text =
        "The page is made from the table that the parser uses, so it always fits the program. Show it with "
        "trawl man generate | man -l -",
    .operand  = {"COMMAND", "@commands", 0, 2, "the command; none: the page of trawl itself"},
    .groups   = {&man_group},
    .examples = {{"man arc run | man -l -", "Read a page."}},
};

const struct cli_command cli_completions = {
    .name    = "completions",
    .summary = "print a completion script for a shell",
    .text = "Load it with: source <(trawl completions bash); trawl completions fish | source; for zsh write "
            "it to a "
            "file _trawl in a folder of $fpath.",
    .operand  = {"SHELL", "bash|zsh|fish", 1, 1, "the shell"},
    .examples = {{"completions bash > ~/.local/share/bash-completion/completions/trawl",
                  "For every new shell."}},
};
