/* SPDX-License-Identifier: MIT */
/* A chat: what the parts of `trawl chat` have in common. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "cli/chat/chat_answer.h"
#include "cli/chat/chat_history.h"
#include "cli/chat/chat_input.h"
#include "cli/chat/chat_settings.h"

enum { CLI_CHAT_COMMANDS = 13 };

struct cli_chat {
    struct cli_row_text text;
    struct cli_chat_history history;
    struct cli_chat_settings settings;
    struct cli_chat_answer answer;
    struct cli_chat_input input;
    const char *words[CLI_CHAT_COMMANDS]; /* that the input completes */
    bool json;                            /* answers are rows */
    bool color, interactive;              /* standard output shows colours; somebody types */
    bool leaving;                         /* /quit */
    uint64_t retries;                     /* of the last turn */
    const char **stop; /* [n_stop] of the settings, and of a chat without a template; owned array */
    size_t n_failed;   /* turns and commands that could not be done */
};

/* Answer the conversation as it is, which ends with a message of the user. What went wrong with this answer only is
 * said, and counted, and the turn forgotten; a failure is that of the output, or of memory, or a signal to leave
 * (CANCELLED). */
trawl_status cli_chat_respond(struct cli_chat *c, struct trawl_error *err);

/* ---- chat_show.c ---- */

/* A line or more of talk on stderr, behind what stdout has to show. */
void cli_chat_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Text of an answer as it comes: of a terminal's control characters only line ends and tabs reach it. `user` is the
 * chat. */
cli_chat_piece_fn cli_chat_show_piece;
/* What comes behind an answer: the end of its line, or its row; how it ended. */
trawl_status cli_chat_show_end(struct cli_chat *c, struct trawl_error *err);
/* A table of the last answer's tokens. */
trawl_status cli_chat_show_tokens(struct cli_chat *c, struct trawl_error *err);
/* Figures of the conversation and the last answer. */
trawl_status cli_chat_show_stats(struct cli_chat *c, struct trawl_error *err);

/* ---- chat_commands.c ---- */

/* The commands, "/help" and so on, for Tab; words [CLI_CHAT_COMMANDS]. */
void cli_chat_command_words(const char **words);
/* Do what a line "/name ..." says. Failures as of cli_chat_respond. */
trawl_status cli_chat_command(struct cli_chat *c, const char *line, size_t n, struct trawl_error *err);

#endif /* CLI_CHAT_H */
