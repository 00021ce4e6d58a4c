/* SPDX-License-Identifier: MIT */
#include "cli/chat/editor_screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

enum { WAIT_MS = 250 }; /* a signal between a look and a wait is heard after that */
enum { TAB_WIDTH = 4 };

bool cli_editor_usable(void)
{
    const char *term = getenv("TERM");
    return cli_is_terminal(stdin) && cli_is_terminal(stdout) && term != NULL && *term != '\0' &&
           strcmp(term, "dumb") != 0;
}

void cli_editor_screen_open(struct cli_editor_screen *s, const char *const *words, size_t n_words)
{
    *s = (struct cli_editor_screen){0};
    cli_editor_init(&s->editor, words, n_words);
}

void cli_editor_screen_close(struct cli_editor_screen *s)
{
    cli_editor_release(&s->editor);
}

/* ---- drawing ---- */

struct place {
    size_t row, column;
};

/* Where a character of `width` columns goes, and where the next one would. */
static struct place step(struct place *at, size_t width, size_t columns)
{
    if (at->column + width > columns) {
        *at = (struct place){at->row + 1, 0};
    }
    struct place here = *at;
    at->column += width;
    return here;
}

/* The character at s[0..n): its bytes and columns; a line end has none. */
static size_t character(const char *s, size_t n, size_t *columns)
{
    size_t bytes = tw_utf8_decode(s, n, NULL);
    bytes        = bytes == 0 ? 1 : bytes;
    *columns     = *s == '\t' ? TAB_WIDTH : *s == '\n' ? 0 : cli_text_width(s, bytes);
    return bytes;
}

/* Walk over the text; with `out`, put what lies in rows [first, first + height) there. */
static trawl_status walk(const char *s, size_t n, size_t columns, struct place *at, size_t first,
                         size_t height, struct tw_str *out, struct trawl_error *err)
{
    static const char blanks[TAB_WIDTH + 1] = "    ";
    size_t width;
    for (size_t i = 0, bytes; i < n; i += bytes) {
        size_t row = at->row;
        bytes      = character(s + i, n - i, &width);
        if (s[i] == '\n') {
            *at = (struct place){row + 1, 0};
        } else {
            (void)step(at, width, columns);
        }
        bool seen = out != NULL && at->row >= first && at->row < first + height;
        if (seen && at->row > row && at->row > first) {
            TW_TRY(tw_str_puts(out, "\r\n", err));
        }
        if (seen && s[i] != '\n') {
            TW_TRY(s[i] == '\t' ? tw_str_puts(out, blanks, err) : tw_str_append(out, s + i, bytes, err));
        }
    }
    return TRAWL_OK;
}

trawl_status cli_editor_draw(const struct cli_editor *e, const char *prompt, size_t width, size_t height,
                             size_t *row, struct tw_str *out, struct trawl_error *err)
{
    const char *text    = tw_str_text(&e->text);
    struct place cursor = {0, 0}, at = {0, 0};
    TW_TRY(walk(prompt, strlen(prompt), width, &cursor, 0, 0, NULL, err));
    TW_TRY(walk(text, e->cursor, width, &cursor, 0, 0, NULL, err));
    if (cursor.column == width) {
        cursor = (struct place){cursor.row + 1, 0};
    }
    size_t first = cursor.row >= height ? cursor.row - height + 1 : 0;
    if (*row > 0) {
        TW_TRY(tw_str_printf(out, err, "\x1b[%zuA", *row));
    }
    TW_TRY(tw_str_puts(out, "\r\x1b[J", err));
    TW_TRY(walk(prompt, strlen(prompt), width, &at, first, height, out, err));
    TW_TRY(walk(text, e->text.size, width, &at, first, height, out, err));
    size_t last = at.row < first + height - 1 ? at.row : first + height - 1;
    if (cursor.row > last) { /* behind a full row */
        TW_TRY(tw_str_puts(out, "\r\n", err));
        last = cursor.row;
    }
    if (last > cursor.row) {
        TW_TRY(tw_str_printf(out, err, "\x1b[%zuA", last - cursor.row));
    }
    TW_TRY(tw_str_putc(out, '\r', err));
    if (cursor.column > 0) {
        TW_TRY(tw_str_printf(out, err, "\x1b[%zuC", cursor.column));
    }
    *row = cursor.row - first;
    return TRAWL_OK;
}

static size_t terminal_height(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24;
}

static trawl_status redraw(struct cli_editor_screen *s, const char *prompt, struct trawl_error *err)
{
    struct tw_str frame;
    tw_str_init(&frame, 0);
    trawl_status status = cli_editor_draw(&s->editor, prompt, cli_terminal_width(stdout, 80),
                                          terminal_height(), &s->row, &frame, err);
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(&frame), frame.size, err);
    }
    tw_str_release(&frame);
    return status == TRAWL_OK ? cli_flush(err) : status;
}

/* ---- the terminal's mode ---- */

/* Bracketed paste is asked for while a line is read only: what runs afterwards may not know it. */
static trawl_status begin(struct cli_editor_screen *s, struct trawl_error *err)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &s->cooked) != 0) {
        return tw_fail_os(err, errno, "the terminal");
    }
    raw = s->cooked;
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR);
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN]  = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) {
        return tw_fail_os(err, errno, "the terminal");
    }
    s->raw = true;
    s->row = 0;
    return cli_write("\x1b[?2004h", 8, err);
}

static void end(struct cli_editor_screen *s)
{
    struct trawl_error unseen;
    if (s->raw) {
        (void)cli_write("\x1b[?2004l", 8, &unseen);
        (void)cli_flush(&unseen);
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->cooked);
        s->raw = false;
    }
}

/* ---- reading ---- */

/* One byte; *ended: there will be none, or a signal came. */
static trawl_status next_byte(struct cli_editor_screen *s, char *byte, enum cli_edit *out,
                              struct trawl_error *err)
{
    while (s->at == s->n_typed) {
        struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
        if (cli_interrupted()) {
            *out = CLI_EDIT_CANCEL;
            return TRAWL_OK;
        }
        int ready = poll(&wait, 1, WAIT_MS);
        if (ready <= 0) {
            continue;
        }
        ssize_t n = read(STDIN_FILENO, s->typed, sizeof s->typed);
        if (n < 0 && errno != EINTR && errno != EIO) {
            return tw_fail_os(err, errno, "the terminal");
        }
        if (n == 0 || (n < 0 && errno == EIO)) { /* it hung up */
            *out = CLI_EDIT_END;
            return TRAWL_OK;
        }
        s->at      = 0;
        s->n_typed = n > 0 ? (size_t)n : 0;
    }
    *byte = s->typed[s->at++];
    return TRAWL_OK;
}

/* Ctrl-Z: to the shell, and back. */
static trawl_status stop(struct cli_editor_screen *s, struct trawl_error *err)
{
    end(s);
    (void)raise(SIGTSTP);
    return begin(s, err);
}

static trawl_status read_line(struct cli_editor_screen *s, const char *prompt, enum cli_edit *out,
                              struct trawl_error *err)
{
    struct cli_editor *e = &s->editor;
    *out                 = CLI_EDIT_MORE;
    while (*out == CLI_EDIT_MORE) {
        char byte = '\0';
        if (s->at == s->n_typed) { /* what is typed fast or pasted is drawn once */
            TW_TRY(redraw(s, prompt, err));
        }
        TW_TRY(next_byte(s, &byte, out, err));
        if (*out == CLI_EDIT_MORE) {
            TW_TRY(cli_editor_feed(e, byte, out, err));
        }
        if (*out == CLI_EDIT_STOP) {
            TW_TRY(stop(s, err));
            *out = CLI_EDIT_MORE;
        } else if (*out == CLI_EDIT_REDRAW) {
            TW_TRY(cli_write("\x1b[H\x1b[2J", 7, err));
            s->row = 0;
            *out   = CLI_EDIT_MORE;
        }
    }
    e->cursor = e->text.size; /* what comes next comes below all of it */
    TW_TRY(redraw(s, prompt, err));
    return cli_write("\n", 1, err);
}

trawl_status cli_editor_read(struct cli_editor_screen *s, const char *prompt, enum cli_edit *out,
                             struct trawl_error *err)
{
    cli_editor_begin(&s->editor);
    TW_TRY(begin(s, err));
    trawl_status status = read_line(s, prompt, out, err);
    end(s);
    return status;
}
