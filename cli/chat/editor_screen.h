/* SPDX-License-Identifier: MIT */
/* The line editor at a terminal: standard input and output. The terminal is in raw mode while a line is read and as it
 * was at all other times, so that Ctrl-C is a signal again and what ends the process leaves it usable. */
#ifndef CLI_EDITOR_SCREEN_H
#define CLI_EDITOR_SCREEN_H

#include <termios.h>

#include "cli/chat/editor.h"

struct cli_editor_screen {
    struct cli_editor editor; /* its text is the line that was read */
    struct termios cooked;
    bool raw;
    size_t row;      /* of the cursor, counted from the first row drawn */
    char typed[256]; /* bytes read that were not looked at */
    size_t n_typed, at;
};

/* Are both a terminal that knows how to move its cursor? */
bool cli_editor_usable(void);

/* `words` as in cli_editor_init. */
void cli_editor_screen_open(struct cli_editor_screen *s, const char *const *words, size_t n_words);
void cli_editor_screen_close(struct cli_editor_screen *s);

/* Read a line behind `prompt`. *out: LINE; END: there is no more input; CANCEL: Ctrl-C, or a signal that
 * cli_interrupted() knows of. The text is in s->editor.text in all cases. */
trawl_status cli_editor_read(struct cli_editor_screen *s, const char *prompt, enum cli_edit *out,
                             struct trawl_error *err);

/* What an editor draws: `prompt` and the text, cut to `height` rows around the cursor of rows `width` columns wide, and
 * the way from cursor row *row of the last drawing, which becomes that of this one. */
trawl_status cli_editor_draw(const struct cli_editor *e, const char *prompt, size_t width, size_t height,
                             size_t *row, struct tw_str *out, struct trawl_error *err);

#endif /* CLI_EDITOR_SCREEN_H */
