/* SPDX-License-Identifier: MIT */
#include "cli/chat/chat_input.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/terminal.h"

enum { WAIT_MS = 250 };
static const char quote[]     = "\"\"\"";
static const char ask_first[] = "> ", ask_more[] = ". ";

trawl_status cli_chat_input_open(struct cli_chat_input *in, const char *const *words, size_t n_words,
                                 struct trawl_error *err)
{
    *in = (struct cli_chat_input){.editing = cli_editor_usable(), .prompting = cli_is_terminal(stdin)};
    tw_str_init(&in->turn, 0);
    cli_editor_screen_open(&in->screen, words, n_words);
    return cli_lines_open(&in->lines, "-", err);
}

void cli_chat_input_close(struct cli_chat_input *in)
{
    cli_editor_screen_close(&in->screen);
    cli_lines_close(&in->lines);
    tw_str_release(&in->turn);
}

/* ---- a line ---- */

/* Until there is something to read, so that a signal is heard meanwhile. */
static bool wait_for_line(const struct cli_lines *lines)
{
    struct pollfd wait = {.fd = lines->fd, .events = POLLIN};
    size_t left        = lines->buffer.size - lines->at;
    bool there = lines->ended || (left > 0 && memchr(lines->buffer.data + lines->at, '\n', left) != NULL);
    while (!there && !cli_interrupted()) {
        there = poll(&wait, 1, WAIT_MS) > 0;
    }
    return there && !cli_interrupted();
}

static trawl_status next_plain(struct cli_chat_input *in, const char *prompt, const char **line, size_t *n,
                               enum cli_chat_heard *heard, struct trawl_error *err)
{
    if (in->prompting) {
        (void)fputs(prompt, stderr);
    }
    if (!wait_for_line(&in->lines)) {
        *heard = CLI_CHAT_LEAVE;
        return TRAWL_OK;
    }
    TW_TRY(cli_lines_next(&in->lines, line, n, err));
    *heard = *line == NULL ? CLI_CHAT_END : CLI_CHAT_TURN;
    return TRAWL_OK;
}

static trawl_status next_edited(struct cli_chat_input *in, const char *prompt, const char **line, size_t *n,
                                enum cli_chat_heard *heard, struct trawl_error *err)
{
    enum cli_edit how;
    TW_TRY(cli_editor_read(&in->screen, prompt, &how, err));
    *line  = tw_str_text(&in->screen.editor.text);
    *n     = in->screen.editor.text.size;
    *heard = how == CLI_EDIT_LINE                                                  ? CLI_CHAT_TURN
             : how == CLI_EDIT_END                                                 ? CLI_CHAT_END
             : cli_interrupted() || (*n == 0 && in->turn.size == 0 && !in->quoted) ? CLI_CHAT_LEAVE
                                                                                   : CLI_CHAT_DROPPED;
    return TRAWL_OK;
}

static trawl_status next_line(struct cli_chat_input *in, const char *prompt, const char **line, size_t *n,
                              enum cli_chat_heard *heard, struct trawl_error *err)
{
    return in->editing ? next_edited(in, prompt, line, n, heard, err)
                       : next_plain(in, prompt, line, n, heard, err);
}

/* ---- a turn ---- */

static bool ends_with(const char *line, size_t n, const char *what, size_t n_what)
{
    return n >= n_what && memcmp(line + n - n_what, what, n_what) == 0;
}

static void drop_line_end(struct cli_chat_input *in)
{
    if (in->turn.size > 0) {
        in->turn.data[--in->turn.size] = '\0';
    }
}

/* A line of the turn. *more: another one belongs to it. */
static trawl_status add_line(struct cli_chat_input *in, const char *line, size_t n, bool *more,
                             struct trawl_error *err)
{
    *more = in->quoted ? !ends_with(line, n, quote, 3) : ends_with(line, n, "\\", 1);
    n -= *more == in->quoted ? 0 : in->quoted ? 3 : 1; /* what ends the quote, or the backslash */
    TW_TRY(tw_str_append(&in->turn, line, n, err));
    if (in->quoted && !*more && n == 0) {
        drop_line_end(in); /* of the line before that of the quote */
    }
    return *more ? tw_str_putc(&in->turn, '\n', err) : TRAWL_OK;
}

trawl_status cli_chat_input_next(struct cli_chat_input *in, enum cli_chat_heard *heard,
                                 struct trawl_error *err)
{
    const char *line = NULL;
    size_t n         = 0;
    bool more        = true;
    tw_str_reset(&in->turn);
    in->quoted = false;
    TW_TRY(next_line(in, ask_first, &line, &n, heard, err));
    if (*heard != CLI_CHAT_TURN) {
        return TRAWL_OK;
    }
    if (n >= 3 && memcmp(line, quote, 3) == 0) {
        in->quoted = true;
        line += 3;
        n -= 3;
        if (n == 0) { /* the text begins in the next line */
            TW_TRY(next_line(in, ask_more, &line, &n, heard, err));
        }
    }
    while (*heard == CLI_CHAT_TURN) {
        TW_TRY(add_line(in, line, n, &more, err));
        if (!more) {
            break;
        }
        TW_TRY(next_line(in, ask_more, &line, &n, heard, err));
    }
    if (*heard == CLI_CHAT_END) { /* in the middle of a turn: it is one, and the end is seen again */
        *heard = CLI_CHAT_TURN;
        drop_line_end(in);
    }
    if (*heard == CLI_CHAT_TURN && in->editing) {
        return cli_editor_remember(&in->screen.editor, tw_str_text(&in->turn), in->turn.size, err);
    }
    return TRAWL_OK;
}
