/* SPDX-License-Identifier: MIT */
/* trawl chat: its options, and those of them that /set changes in a chat. */
#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option chat_options[] = {
    {.name  = "system",
     .type  = CLI_STRING,
     .value = "TEXT",
     .unset = "what the chat template has",
     .help  = "the system message, which goes before the conversation"},
    {.name  = "load",
     .type  = CLI_PATH,
     .value = "FILE",
     .unset = "none",
     .help  = "go on with the messages of this file",
     .text =
         "A row with \"messages\", as --prompts_file of trawl generate has it and /save writes it, or the "
         "list of messages alone."},
    {.name = "json",
     .type = CLI_FLAG,
     .help = "print a JSON row for each answer, as trawl generate writes it"},
    {.name      = "max_tokens",
     .aliases   = "max_new_tokens",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 16777216,
     .unset     = "what the context has room for",
     .help      = "longest answer in tokens"},
    {.name      = "seed",
     .aliases   = "random_seed",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 9007199254740992.0,
     .fallback  = "0",
     .help      = "seed of every answer",
     .text      = "The same conversation gives the same answers. /retry counts on from it."},
    {.name      = "logprobs",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 1024,
     .fallback  = "0",
     .bare      = "1",
     .help      = "show the tokens of every answer, with their log-probability, entropy and varentropy",
     .text      = "Above 1 also that many of the most probable tokens at every place."},
    {.name = "show_entropy",
     .type = CLI_FLAG,
     .help = "colour tokens by the entropy of what could have stood in their place",
     .text = "In nats: none below 0.5, green below 1.5, yellow below 3, red above; underlined where the "
             "varentropy is above 3. Needs a terminal with colours."},
};
static const struct cli_group chat_group = {"Options", chat_options, COUNT(chat_options)};
/* Without the first three. */
static const struct cli_group chat_set_group = {"Options", chat_options + 3, COUNT(chat_options) - 3};

const struct cli_command cli_chat = {
    .name    = "chat",
    .summary = "talk with a model in the terminal",
    .text =
        "A line is a turn; a line that ends with a backslash goes on in the next one, and a text between "
        "lines "
        "of \"\"\" may be of any length. The conversation stays in the KV cache: a turn computes only what "
        "is "
        "new. Ctrl-C stops an answer, /help lists the commands, Ctrl-D leaves.\n\n"
        "Without a terminal every line of standard input is a turn, and the answers go to standard output. "
        "An "
        "answer is, bit for bit, that of trawl generate to a row with the same messages, seed and settings.",
    .groups = {&chat_group, &cli_draw_group, &cli_token_group, &cli_model_group},
    .examples =
        {{"chat --model_path Qwen2.5-0.5B-Instruct --temperature 0.7 --top_p 0.8", "A chat in the terminal."},
         {"chat --model_path Qwen2.5-0.5B-Instruct --system \"Answer in one word.\" --json < questions.txt",
          "A conversation from a file, its answers as JSON."}},
};

const struct cli_command cli_chat_settable = {
    .name    = "chat",
    .summary = "what /set changes",
    .groups  = {&chat_set_group, &cli_draw_group, &cli_token_group},
};
