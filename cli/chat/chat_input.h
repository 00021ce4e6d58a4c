/* SPDX-License-Identifier: MIT */
/* Turns, from a terminal with a line editor or from lines of standard input. A line is a turn, unless it ends with a
 * backslash (the next line belongs to it) or begins with """ (all up to a line that ends with """ does). */
#ifndef CLI_CHAT_INPUT_H
#define CLI_CHAT_INPUT_H

#include "cli/chat/editor_screen.h"
#include "cli/lines.h"

enum cli_chat_heard {
    CLI_CHAT_TURN,
    CLI_CHAT_END,     /* there is no more input */
    CLI_CHAT_DROPPED, /* Ctrl-C: what was typed is not meant */
    CLI_CHAT_LEAVE    /* Ctrl-C where nothing was typed, or a signal */
};

struct cli_chat_input {
    bool editing, prompting; /* with the line editor; with prompts without one */
    struct cli_editor_screen screen;
    struct cli_lines lines;
    struct tw_str turn;
    bool quoted; /* it was between """: no command, whatever it looks like */
};

/* `words` is what Tab completes; closed in any case. */
trawl_status cli_chat_input_open(struct cli_chat_input *in, const char *const *words, size_t n_words,
                                 struct trawl_error *err);
void cli_chat_input_close(struct cli_chat_input *in);
/* The next turn, in in->turn. */
trawl_status cli_chat_input_next(struct cli_chat_input *in, enum cli_chat_heard *heard,
                                 struct trawl_error *err);

#endif /* CLI_CHAT_INPUT_H */
