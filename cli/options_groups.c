/* SPDX-License-Identifier: MIT */
/* Option groups that several commands share. */
#include <math.h>

#include "cli/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option common_options[] = {
    {.name = "help", .aliases = "h", .type = CLI_FLAG, .help = "print this text and stop"},
    {.name    = "quiet",
     .aliases = "q",
     .type    = CLI_FLAG,
     .help    = "no progress line",
     .text    = "Warnings and errors are still printed."},
};
const struct cli_group cli_common_group = {"Common options", common_options, COUNT(common_options)};

static const struct cli_option model_options[] = {
    {.name     = "model_path",
     .type     = CLI_PATH,
     .required = true,
     .value    = "DIR",
     .help     = "model folder in Hugging Face layout, or the id of a repository in the hub cache",
     .text =
         "The folder holds config.json, the weights as safetensors (one file, or shards with an index) and, "
         "for commands that see text, tokenizer.json. An id such as Qwen/Qwen2.5-0.5B is looked up in "
         "$HF_HOME/hub (~/.cache/huggingface/hub); nothing is downloaded."},
    {.name     = "dtype",
     .type     = CLI_STRING,
     .choices  = "bfloat16|float32",
     .fallback = "bfloat16",
     .help     = "precision of the matmul inputs; sums are float32 in both",
     .text =
         "bfloat16 rounds the inputs of every matmul to bfloat16 (nearest even). float32 rounds nothing."},
    {.name    = "kv_dtype",
     .type    = CLI_STRING,
     .choices = "bfloat16|float32",
     .unset   = "as --dtype",
     .help    = "type in which keys and values are kept"},
    {.name     = "mesh_shape",
     .type     = CLI_MESH,
     .fallback = "1 1",
     .help     = "devices along the data and the model axis, or auto",
     .text =
         "Requests are split over the data axis, weights over the model axis. The results do not depend on "
         "the "
         "mesh, bit for bit. A model degree is a power of two that is at most the number of query heads and "
         "of tree leaves; others are refused with the degrees that can be had. auto picks the mesh by the "
         "memory it needs."},
    {.name      = "threads",
     .aliases   = "t",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1024,
     .unset     = "cores / devices",
     .help      = "threads of each device",
     .text = "By default the cores this process may use (affinity and cgroup) are shared out evenly, one at "
             "least."},
    {.name      = "batch_size",
     .aliases   = "b",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "8",
     .help      = "sequences in flight per data replica",
     .text =
         "More sequences use the weights better and need more memory for keys and values. The results do not "
         "depend on it."},
    {.name      = "prefill_chunk",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1048576,
     .fallback  = "512",
     .help      = "tokens of one step",
     .text =
         "Longer prompts are read in pieces of at most this many tokens. The results do not depend on it."},
    {.name     = "tree_leaves",
     .type     = CLI_INT,
     .choices  = "8|16|32",
     .fallback = "8",
     .help     = "leaves of the summation tree of row-parallel weights",
     .text = "Part of the identity of a run: it fixes the order of the sums that a model axis may cut, so it "
             "bounds "
             "the model degree, and another value gives other last bits."},
    {.name      = "max_model_len",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .unset     = "the model's own limit",
     .help      = "longest sequence, prompt and answer together, in tokens",
     .text      = "A prompt that does not fit is refused by name, never cut."},
    {.name      = "devices_per_rank",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1024,
     .fallback  = "1",
     .help      = "devices in each process, when mpirun or srun started several",
     .text = "The mesh has as many devices as all processes together, process r holding devices r * k to r * "
             "k + k - 1 "
             "in the order of --mesh_shape, the model axis running fastest. A process alone holds the whole "
             "mesh."},
    {.name  = "kv_cache_bytes",
     .type  = CLI_SIZE,
     .unset = "what --batch_size sequences can need, within half of the free memory",
     .help  = "memory for keys and values of each data replica",
     .text  = "Sequences take it in pages of 64 tokens as they grow. When none are left the youngest ones "
              "give theirs "
              "up and are computed again later; a request that needs more than all of it is refused. The "
              "results do not depend on it."},
    {.name     = "prefix_cache",
     .type     = CLI_INT,
     .choices  = "0|1",
     .fallback = "1",
     .help     = "1: a beginning that prompts have in common is computed once",
     .text =
         "Keys and values stay in the KV cache until their memory is wanted. The results do not depend on "
         "it. Requests whose activations or prompt logits are kept compute all of their prompt."},
    {.name = "verify_weights",
     .type = CLI_FLAG,
     .help = "check every checksum of packed weights (trawl shard) before using them"},
};
const struct cli_group cli_model_group = {"Model options", model_options, COUNT(model_options)};
/* The same without the first and the last four. */
const struct cli_group cli_mesh_group = {"Model options", model_options + 1, COUNT(model_options) - 5};

static const struct cli_option sampling_options[] = {
    {.name      = "temperature",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 100,
     .fallback  = "0",
     .help      = "0: the most likely token; above: the logits are divided by it and a token is drawn"},
    {.name      = "top_k",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 16777216,
     .fallback  = "0",
     .help      = "draw from the k most likely tokens; 0: all"},
    {.name      = "top_p",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1,
     .fallback  = "1",
     .help      = "draw from the fewest tokens that reach this probability together; 1: all"},
    {.name      = "min_p",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1,
     .fallback  = "0",
     .help      = "leave out tokens below this share of the most likely one's probability; 0: none"},
    {.name      = "repetition_penalty",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.01,
     .max       = 100,
     .fallback  = "1",
     .help      = "divide positive (multiply negative) logits of tokens seen before; 1: off"},
    {.name      = "seed",
     .aliases   = "random_seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of the run",
     .text =
         "Each request draws from a stream of its own, keyed by this seed and its place in the input, so the "
         "order of work does not matter."},
    {.name      = "n",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 4096,
     .fallback  = "1",
     .help      = "answers drawn for each prompt"},
    {.name  = "stop",
     .type  = CLI_STRINGS,
     .value = "TEXT",
     .unset = "none",
     .help  = "end an answer before any of these texts"},
    {.name      = "stop_token_ids",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 0,
     .max       = 2147483647,
     .value     = "ID",
     .unset     = "the model's end tokens",
     .help      = "further token ids that end an answer"},
    {.name      = "logprobs",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 1,
     .fallback  = "0",
     .bare      = "1",
     .help      = "1: log-probability, entropy and varentropy of every token of the answer"},
};
const struct cli_group cli_sampling_group = {"Sampling options", sampling_options, COUNT(sampling_options)};

static const struct cli_option search_options[] = {
    {.name      = "num_beams",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "1",
     .help      = "beams of a beam search, at most --batch_size; 1: none",
     .text = "--n is then the number of beams to return, the best first. Rows may also have completions (texts "
             "to score) or dfs (all answers above a probability)."},
    {.name      = "length_penalty",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = -100,
     .max       = 100,
     .fallback  = "1",
     .help      = "a beam's score is its log-probability divided by its length to this power"},
    {.name     = "early_stopping",
     .type     = CLI_STRING,
     .choices  = "false|true|never",
     .fallback = "false",
     .help     = "when a beam search ends",
     .text     = "true: with --num_beams finished answers; false: when the best beam does not look better than "
                 "the worst of these; never: when it cannot become better."},
};
const struct cli_group cli_search_group = {"Search options", search_options, COUNT(search_options)};

static const struct cli_option attention_options[] = {
    {.name      = "attention_window",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 4294967295.0,
     .fallback  = "0",
     .help      = "a token sees the last so many tokens only, itself included; 0: all",
     .text = "What no token will see any more is forgotten and its memory used again, so an answer of any "
             "length runs in bounded memory. Results say that it was on. Rows may have an attention_mask "
             "of other kinds."},
    {.name      = "attention_sinks",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 4294967295.0,
     .fallback  = "0",
     .help      = "with --attention_window: the first so many tokens are seen as well"},
};
const struct cli_group cli_attention_group = {"Attention options", attention_options,
                                              COUNT(attention_options)};
