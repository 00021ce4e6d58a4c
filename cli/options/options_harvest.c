/* SPDX-License-Identifier: MIT */
/* trawl harvest. */
#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option text_options[] = {
    {.name     = "input",
     .type     = CLI_PATHS,
     .required = true,
     .value    = "FILE",
     .help     = "texts in UTF-8, or JSON lines; - reads standard input",
     .text =
         "Files are read in the order in which they are given. One whose name ends in .jsonl, .ndjson or "
         ".json, and standard input, is JSON lines: rows with \"text\", or with \"tokens\" or \"input_ids\" "
         "(ids), or with \"messages\" (for the chat template), and perhaps \"id\". Any other is one text. A "
         "row "
         "that cannot be used is named with its line and skipped (exit code 3). What comes from standard "
         "input can be read once: such a run has no plan and cannot be resumed."},
    {.name     = "input_format",
     .type     = CLI_STRING,
     .choices  = "auto|text|jsonl",
     .fallback = "auto",
     .help     = "what the files are, whatever their names"},
    {.name  = "text_field",
     .type  = CLI_STRING,
     .value = "NAME",
     .unset = "text, tokens, input_ids or messages",
     .help  = "the member of a row that is its text"},
    {.name = "split_lines",
     .type = CLI_FLAG,
     .help = "each line of a text file is a document; blank ones are none"},
    {.name      = "max_documents",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 9007199254740992.0,
     .unset     = "all",
     .help      = "read only the first documents"},
    {.name      = "max_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 9007199254740992.0,
     .unset     = "all",
     .help      = "tokens of all contexts together, after which the run ends",
     .text =
         "Exact: the last document is cut, and the output says where. With --num_shards it is the whole run "
         "that has so many."},
};
static const struct cli_group text_group = {"Text options", text_options, COUNT(text_options)};

static const struct cli_option context_options[] = {
    {.name      = "context_size",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .fallback  = "1024",
     .help      = "tokens of a context, BOS included"},
    {.name     = "overflow",
     .type     = CLI_STRING,
     .choices  = "split|truncate|skip",
     .fallback = "split",
     .help     = "what becomes of a document that is longer than a context",
     .text = "split: as many contexts as it takes, none of which sees another; truncate: its beginning only; "
             "skip: it is left out."},
    {.name = "pack",
     .type = CLI_FLAG,
     .help = "fill every context with document after document, the end token between them",
     .text =
         "As tools that train sparse autoencoders do; tokens see the documents before their own. Without it "
         "every document begins a context of its own, which costs nothing here: there is no padding."},
    {.name = "add_bos",
     .type = CLI_FLAG,
     .help = "begin every context with the BOS token, also where the tokenizer itself would not",
     .text = "Without this and --no_bos a context begins with what the tokenizer puts before a text: Llama's "
             "BOS, "
             "nothing for Qwen2.5. A document that has it already does not get it twice."},
    {.name = "no_bos", .type = CLI_FLAG, .help = "add no special token to any text"},
    {.name      = "drop_first_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 16777215,
     .fallback  = "0",
     .help      = "store no rows of the first tokens of every context; 1: none of BOS",
     .text =
         "Their norm is often a hundred times that of others. Contexts that are not longer are left out."},
    {.name = "drop_special",
     .type = CLI_FLAG,
     .help = "store no rows of special tokens, wherever they stand"},
};
static const struct cli_group context_group = {"Context options", context_options, COUNT(context_options)};

static const struct cli_option activation_options[] = {
    {.name  = "sites",
     .type  = CLI_NAMES,
     .value = "SITE",
     .unset = "the residual stream after the first, middle and last block",
     .help =
         "what to store: TransformerLens hook names, Hugging Face module names, layer_10; * for the block",
     .text = "For example blocks.10.hook_resid_post or blocks.*.hook_mlp_out. The forward pass ends behind "
             "the deepest "
             "of them."},
    {.name      = "layers_to_extract",
     .aliases   = "layers",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 0,
     .max       = 65535,
     .value     = "L",
     .unset     = "none",
     .help      = "blocks whose output (residual stream) is stored, beside --sites"},
    {.name     = "activations_dir",
     .type     = CLI_PATH,
     .fallback = "./activations",
     .value    = "DIR",
     .help     = "folder of the activation store"},
    {.name     = "activations_format",
     .type     = CLI_STRING,
     .choices  = "safetensors|pkl",
     .fallback = "safetensors",
     .help = "safetensors: chunks with token, request and position; pkl: layer_<L>_batch_<N>.pkl, float32"},
    {.name    = "activations_dtype",
     .type    = CLI_STRING,
     .choices = "bfloat16|float32|float16",
     .unset   = "bfloat16, of pickles float32",
     .help    = "type of the numbers on disk"},
    {.name = "logprobs",
     .type = CLI_FLAG,
     .help = "store log p of the next token and the entropy of the prediction with every row",
     .text = "In nats. All layers and the head are then computed for every token."},
    {.name = "shuffle_rows",
     .type = CLI_FLAG,
     .help = "store rows in a random order, the same for all sites",
     .text =
         "Rows are mixed within a commit group, which has the contexts that --shuffle_buffer has room for. "
         "Every "
         "row still says its request, position and token. An interrupted run goes on with the same order."},
    {.name      = "shuffle_buffer",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 4294967295.0,
     .fallback  = "65536",
     .value     = "ROWS",
     .help      = "rows that are mixed with each other; they wait in memory as float32"},
    {.name      = "random_seed",
     .aliases   = "seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of --shuffle_rows"},
    {.name      = "save_every_n_batches",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1000000,
     .fallback  = "10",
     .help      = "batches of --batch_size contexts that are committed together"},
    {.name = "resume",
     .type = CLI_FLAG,
     .help = "continue the run in --activations_dir where it stopped",
     .text =
         "Starts a new run where none is. Without it a folder with a run is refused; so is, with it, that of "
         "a "
         "run with other input or settings. Mesh, threads and memory may be others than before; --batch_size "
         "times --save_every_n_batches (commit_every) may not."},
    {.name     = "check_free_space",
     .type     = CLI_FLAG,
     .fallback = "true",
     .help     = "refuse a run whose files do not fit on the device"},
    {.name = "dry_run",
     .type = CLI_FLAG,
     .help = "print the plan and stop: tokens, bytes, space that is left, time",
     .text =
         "The time is what the matrix products take on this machine, which are measured for some seconds."},
};
static const struct cli_group activation_group = {"Activation options", activation_options,
                                                  COUNT(activation_options)};

const struct cli_command cli_harvest = {
    .name    = "harvest",
    .summary = "store the activations of texts, without generating",
    .text =
        "Texts become contexts of at most --context_size tokens, every context is one forward pass up to the "
        "deepest site, and its rows are stored, each token once. documents.jsonl in the folder says which "
        "text "
        "each row is of.\n\n"
        "The files do not depend on batch, threads, mesh or number of processes, nor on how often the run "
        "was "
        "interrupted.",
    .groups = {&text_group, &context_group, &cli_shard_group, &activation_group, &cli_upload_group,
               &cli_model_group},
    .examples =
        {{"harvest --model_path Qwen2.5-0.5B --input corpus.jsonl --context_size 1024 --max_tokens 10000000 "
          "--layers_to_extract 10 11 12 --activations_dir acts",
          "Ten million tokens of a file of rows, three layers."},
         {"harvest --model_path Qwen2.5-0.5B --input corpus.jsonl --sites blocks.*.hook_mlp_out --dry_run",
          "How much would be written."}},
};
