/* SPDX-License-Identifier: MIT */
/* What is at the other end of a stream. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

bool cli_is_terminal(FILE *stream);
/* Columns of the terminal at `stream` (COLUMNS overrides); `unknown` when it is none. */
size_t cli_terminal_width(FILE *stream, size_t unknown);
/* Colours and bold: only on a terminal, never with NO_COLOR set (not empty) or TERM=dumb. */
bool cli_use_color(FILE *stream);
/* Terminal columns of `n` bytes of UTF-8; a byte that is none counts as one. */
size_t cli_text_width(const char *s, size_t n);

/* Write to stdout; a failure names standard output. A reader that went away (EPIPE) is err->os_error EPIPE:
 * main then ends the process as SIGPIPE would. */
trawl_status cli_write(const void *data, size_t n, struct trawl_error *err);
/* Push what stdio still holds. */
trawl_status cli_flush(struct trawl_error *err);

#endif /* CLI_TERMINAL_H */
