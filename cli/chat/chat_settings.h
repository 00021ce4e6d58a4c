/* SPDX-License-Identifier: MIT */
/* What answers are made with: the options of the command line, and over them what /set said, in the words and within
 * the ranges of the same table. */
#ifndef CLI_CHAT_SETTINGS_H
#define CLI_CHAT_SETTINGS_H

#include "cli/generate/generate_sampling.h"
#include "cli/options/args.h"

struct cli_chat_settings {
    const struct cli_args *line; /* borrowed: the command line */
    struct cli_args *set;        /* what /set said, of cli_chat_settable; its strings are those of words */
    char **words;                /* [n_words] "--temperature=0.7", owned */
    size_t n_words, words_capacity;
    /* What follows from them. */
    struct trawl_request request; /* its prompt aside; max_tokens 0: as many as there is room for */
    struct cli_sampling sampling;
    int32_t *stop_ids; /* owned */
    const char *const *stop;
    size_t n_stop, n_logprobs; /* n_logprobs: 0 none, 1 without alternatives */
    bool show_entropy;
};

/* Released in any case. `line` is borrowed. */
trawl_status cli_chat_settings_open(struct cli_chat_settings *s, const struct cli_args *line,
                                    struct trawl_error *err);
void cli_chat_settings_release(struct cli_chat_settings *s);

/* Give option `name` a value, of n bytes as it would be typed behind "--name="; "default" takes back what was set.
 * A failure changes nothing. */
trawl_status cli_chat_set(struct cli_chat_settings *s, const char *name, size_t n_name, const char *value,
                          size_t n, struct trawl_error *err);

/* All settings, "name value" a line. */
trawl_status cli_chat_settings_list(const struct cli_chat_settings *s, struct tw_str *out,
                                    struct trawl_error *err);

#endif /* CLI_CHAT_SETTINGS_H */
