/* SPDX-License-Identifier: MIT */
/* trawl serve. */
#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct cli_option serve_options[] = {
    {.name     = "host",
     .type     = CLI_STRING,
     .fallback = "127.0.0.1",
     .value    = "HOST",
     .help     = "name or address to listen at; 0.0.0.0: all of this machine",
     .text     = "What is said is not encrypted: for other machines put a proxy that speaks HTTPS in front."},
    {.name      = "port",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 0,
     .max       = 65535,
     .fallback  = "8000",
     .help      = "port to listen at; 0: one that is free"},
    {.name  = "api_key",
     .type  = CLI_STRING,
     .value = "KEY",
     .unset = "$TRAWL_API_KEY, else none",
     .help  = "what clients have to show: Authorization: Bearer KEY",
     .text =
         "/, /health and /metrics are open. Other users of the machine see command lines, not environments."},
    {.name  = "served_model_name",
     .type  = CLI_STRING,
     .value = "NAME",
     .unset = "the folder's name, or the id of the repository",
     .help  = "how clients call the model"},
    {.name  = "cors_origin",
     .type  = CLI_STRING,
     .value = "ORIGIN",
     .unset = "none",
     .help  = "origin whose pages may ask from a browser, such as https://example.org; *: any",
     .text  = "The server's own page always may. Other pages are refused, key or not."},
    {.name      = "max_concurrent_requests",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 65536,
     .fallback  = "256",
     .help      = "answers waiting and under way; what comes beyond is told to try again (429)",
     .text = "--batch_size of them are computed together, the others wait in the order of their arrival."},
    {.name     = "max_body_size",
     .type     = CLI_SIZE,
     .fallback = "8M",
     .help     = "longest body of a request; longer ones are refused (413)"},
    {.name      = "client_timeout",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.1,
     .max       = 86400,
     .fallback  = "60",
     .value     = "SECONDS",
     .help      = "a client that sends nothing, or does not take what it is sent, for so long is dropped",
     .text      = "Waiting for an answer is not counted."},
    {.name      = "grace_period",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 86400,
     .fallback  = "10",
     .value     = "SECONDS",
     .help = "time for running answers to end after SIGINT or SIGTERM; then they end with what they have",
     .text = "A second signal ends the process at once."},
};
static const struct cli_group serve_group = {"Server options", serve_options, COUNT(serve_options)};

const struct cli_command cli_serve_command = {
    .name    = "serve",
    .summary = "an OpenAI-compatible server",
    .text   = "Chats, completions (streamed or not), models, tokenize, detokenize, health and metrics, and a "
              "page to chat "
              "with at /. Requests are computed together, --batch_size at a time; what one is answered does "
              "not depend on the "
              "others, bit for bit. docs/serve.md has all fields.",
    .groups = {&serve_group, &cli_time_group, &cli_model_group},
    .examples = {{"serve --model_path Qwen2.5-0.5B-Instruct --batch_size 16", "At http://127.0.0.1:8000."},
                 {"serve --model_path Qwen2.5-0.5B-Instruct --host 0.0.0.0 --port 8080 --api_key SECRET "
                  "--timeout 120",
                  "For other machines, with a key and at most two minutes for an answer."}},
};
