/* SPDX-License-Identifier: MIT */
/* Option groups that several commands share. */
#include <math.h>

#include "cli/options/options.h"

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
         "$HF_HOME/hub (~/.cache/huggingface/hub), where trawl pull puts it."},
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
         "it. Requests whose activations or prompt logits are kept compute their prompt from the first token "
         "on "
         "of which they are. "
         "trawl bench measures without it unless it is given."},
    {.name     = "prompt_lookup_num_tokens",
     .type     = CLI_INT,
     .min      = 0,
     .max      = 64,
     .fallback = "16",
     .help     = "most tokens of an answer that are guessed ahead in a step; 0: none",
     .text     = "Where the last tokens stood in the prompt or the answer before, what followed there is "
                 "computed in the same "
                 "step, as far as the batch leaves rows: a step has room for 14 rows with AVX-512, 6 with AVX2, "
                 "and for as many more where guesses are mostly right. "
                 "Each guess is "
                 "checked against the token that is chosen there anyway, so the results do not depend on it; "
                 "answers that copy "
                 "or repeat come up to three times as fast. None with an entropy policy and with "
                 "attention_heavy_hitters. trawl bench measures without it unless it is given."},
    {.name     = "compress_weights",
     .type     = CLI_INT,
     .choices  = "0|1",
     .fallback = "1",
     .help     = "1: bfloat16 weights take three quarters of their bytes in memory",
     .text =
         "Without loss, so the results do not depend on it. Few sequences at once are decoded faster, by a "
         "quarter and more; loading takes longer. Weights that float32 needs as float32 stay plain, and all "
         "do on processors without AVX2. Packed weights (trawl shard) are mapped as the file has them; where "
         "they are compressed and must be plain they are expanded into memory."},
    {.name = "verify_weights",
     .type = CLI_FLAG,
     .help = "check every checksum of packed weights (trawl shard) before using them"},
};
const struct cli_group cli_model_group = {"Model options", model_options, COUNT(model_options)};
/* The same without the first and the last five. */
const struct cli_group cli_mesh_group = {"Model options", model_options + 1, COUNT(model_options) - 6};

static const struct cli_option time_options[] = {
    {.name      = "timeout",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.001,
     .max       = 1e9,
     .value     = "SECONDS",
     .unset     = "none",
     .help      = "time for each request, from the start of the run on; then it ends with what it has",
     .text =
         "Counted from when the requests are handed over, all at once when the model is loaded, waiting "
         "included: so it is the time for all of them. Answers end with the tokens that they have and the "
         "finish reason timeout, those that had not begun are empty. The only option that makes results "
         "depend on time."},
};
const struct cli_group cli_time_group = {"Time", time_options, COUNT(time_options)};

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
    {.name      = "typical_p",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1,
     .fallback  = "1",
     .help      = "draw from the tokens of most typical surprisal that reach this probability; 1: all"},
    {.name      = "top_n_sigma",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1000,
     .fallback  = "0",
     .help      = "draw from logits within this many standard deviations of the highest; 0: all"},
    {.name      = "xtc_probability",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1,
     .fallback  = "0",
     .help      = "how often to leave out all but the last of the tokens above --xtc_threshold"},
    {.name      = "xtc_threshold",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 0.5,
     .fallback  = "0.1",
     .help      = "probability from which XTC takes a token for an obvious choice"},
    {.name      = "repetition_penalty",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.01,
     .max       = 100,
     .fallback  = "1",
     .help      = "divide positive (multiply negative) logits of tokens seen before; 1: off"},
    {.name      = "presence_penalty",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = -2,
     .max       = 2,
     .fallback  = "0",
     .help      = "subtract this from the logits of tokens that the answer has; 0: off"},
    {.name      = "frequency_penalty",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = -2,
     .max       = 2,
     .fallback  = "0",
     .help      = "the same, as often as the answer has them; 0: off"},
    {.name      = "no_repeat_ngram_size",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 16777216,
     .fallback  = "0",
     .help      = "no such number of tokens in a row comes twice in prompt and answer; 0: off"},
    {.name      = "min_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 16777216,
     .fallback  = "0",
     .help      = "no end token before the answer has this many tokens"},
    {.name      = "best_of",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 4096,
     .fallback  = "1",
     .help      = "draw so many answers and keep those of the highest log-probability",
     .text      = "Needs a --temperature. Costs what so many answers cost; they share the prompt."},
};
const struct cli_group cli_sampling_group = {"Sampling options", sampling_options, COUNT(sampling_options)};
/* The same without best_of, the last. */
const struct cli_group cli_draw_group = {"Sampling options", sampling_options, COUNT(sampling_options) - 1};

static const struct cli_option answer_options[] = {
    {.name  = "entropy_policy",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "none",
     .help  = "draw by the entropy of the distribution, with the thresholds of a JSON file",
     .text  = "An experiment without any claim of better answers; trawl bench policy measures it."},
    {.name      = "n",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 4096,
     .fallback  = "1",
     .help      = "answers for each prompt",
     .text      = "So many are drawn; with --best_of or --num_beams the best ones are taken, in order."},
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
    {.name  = "logit_bias",
     .type  = CLI_STRINGS,
     .value = "ID=VALUE",
     .unset = "none",
     .help  = "added to the logits of token ids, -100 to 100",
     .text  = "In a row an object, {\"ID\": VALUE}."},
    {.name      = "suppress_tokens",
     .type      = CLI_INTS,
     .has_range = true,
     .min       = 0,
     .max       = 2147483647,
     .value     = "ID",
     .unset     = "none",
     .help      = "token ids that are never chosen"},
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
     .max       = 1024,
     .fallback  = "0",
     .bare      = "1",
     .help      = "1: log-probability, entropy and varentropy of every token, in the rows of --prompts_file",
     .text      = "Above 1 also \"top_logprobs\", that many of the most probable tokens at every place."},
};
const struct cli_group cli_answer_group = {"Answer options", answer_options, COUNT(answer_options)};
/* The same without the first three and the last. */
const struct cli_group cli_token_group = {"Answer options", answer_options + 3, COUNT(answer_options) - 4};

static const struct cli_option search_options[] = {
    {.name      = "num_beams",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "1",
     .help      = "beams of a beam search, at most --batch_size; 1: none",
     .text      = "The temperature has to be 0, and no activations are stored: docs/search.md."},
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
     .text = "true: with --num_beams finished answers; false: when the best beam does not look better than "
             "the worst of these; never: when it cannot become better."},
};
const struct cli_group cli_search_group = {"Search options", search_options, COUNT(search_options)};

static const struct cli_option constraint_options[] = {
    {.name  = "guided_regex",
     .type  = CLI_STRING,
     .value = "REGEX",
     .unset = "none",
     .help  = "the whole answer matches this regular expression",
     .text  = "Only tokens with which it still can are drawn, and an answer is complete when --max_tokens "
              "leaves room "
              "for any that is. What is supported is in docs/constraints.md."},
    {.name  = "guided_json",
     .type  = CLI_STRING,
     .value = "SCHEMA",
     .unset = "none",
     .help  = "the answer is JSON that satisfies this JSON schema, or that in the file of this name",
     .text  = "'{\"type\": \"object\"}' stands for any object."},
    {.name  = "guided_choice",
     .type  = CLI_STRINGS,
     .value = "TEXT",
     .unset = "none",
     .help  = "the answer is one of these texts"},
};
const struct cli_group cli_constraint_group = {"Constraint options", constraint_options,
                                               COUNT(constraint_options)};

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
    {.name      = "attention_heavy_hitters",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 4294967295.0,
     .fallback  = "0",
     .help      = "with --attention_window: so many more tokens are kept, those that get most attention",
     .text = "By pages of 64 tokens, rounded up: of the pages between sinks and window, those stay that most "
             "attention went to so far. Prompts longer than all three are read 64 tokens a step."},
    {.name = "attn_entropy",
     .type = CLI_FLAG,
     .help = "measure the entropy of attention beside every token of the answer",
     .text = "\"attn_entropy\" is its mean over layers and heads in nats, \"attn_varentropy\" its variance "
             "over the "
             "heads of a layer, mean over layers."},
};
const struct cli_group cli_attention_group = {"Attention options", attention_options,
                                              COUNT(attention_options)};

/* ---- parts of a data set ---- */

static const struct cli_option shard_options[] = {
    {.name      = "shard_id",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 65535,
     .fallback  = "0",
     .help      = "which part of the data set this process works on"},
    {.name      = "num_shards",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "1",
     .help      = "how many parts there are"},
};
const struct cli_group cli_shard_group = {"Shard options", shard_options, COUNT(shard_options)};
