/* SPDX-License-Identifier: MIT */
/* A line being typed: bytes of a terminal in, edited text and what to do next out. It draws nothing and reads nothing
 * (editor_screen.h does). Keys are those of readline: arrows, Home, End, Ctrl-A E B F P N, Alt-B F D, Backspace, Delete,
 * Ctrl-W U K Y T, Alt-Enter for a line end within the text, Tab for words that fit. What is pasted (bracketed paste) is
 * text, line ends and all. */
#ifndef CLI_EDITOR_H
#define CLI_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum cli_edit {
    CLI_EDIT_MORE,   /* the line is not done */
    CLI_EDIT_LINE,   /* Enter */
    CLI_EDIT_END,    /* Ctrl-D where nothing was typed */
    CLI_EDIT_CANCEL, /* Ctrl-C */
    CLI_EDIT_STOP,   /* Ctrl-Z */
    CLI_EDIT_REDRAW  /* Ctrl-L */
};

enum { CLI_EDITOR_KEY = 32, CLI_EDITOR_HISTORY = 1000 };

struct cli_editor {
    struct tw_str text; /* UTF-8 */
    size_t cursor;      /* a byte of it, where a character begins */
    struct tw_str killed;
    struct tw_str draft; /* what was typed before the history was looked at */
    char **history;      /* [n_history] oldest first, owned */
    size_t n_history, history_capacity;
    size_t at; /* the entry shown; n_history: what is being typed */
    const char *const *words;
    size_t n_words; /* what Tab completes the beginning of a line to; borrowed */
    char key[CLI_EDITOR_KEY];
    size_t n_key; /* bytes of a key that is not complete */
    bool pasting;
};

void cli_editor_init(struct cli_editor *e, const char *const *words, size_t n_words);
void cli_editor_release(struct cli_editor *e);

/* A new line, empty. */
void cli_editor_begin(struct cli_editor *e);
/* One byte that was typed. A failure (memory) leaves the text as it was. */
trawl_status cli_editor_feed(struct cli_editor *e, char byte, enum cli_edit *out, struct trawl_error *err);
/* Remember a line, unless it is empty or the last one again; the oldest is forgotten when there are too many. */
trawl_status cli_editor_remember(struct cli_editor *e, const char *line, size_t n, struct trawl_error *err);

#endif /* CLI_EDITOR_H */
