/* SPDX-License-Identifier: MIT */
/* Files of lines, from a path or standard input. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct cli_lines {
    const char *name; /* begins messages: the path, or "standard input"; borrowed */
    int fd;
    uint64_t number; /* of the line last given out, from 1 */
    struct tw_str buffer;
    size_t at; /* first byte of the buffer not given out */
    bool ended;
};

/* `path` "-" is standard input; it is borrowed. Closed with cli_lines_close, also after a failure to open. */
trawl_status cli_lines_open(struct cli_lines *lines, const char *path, struct trawl_error *err);
void cli_lines_close(struct cli_lines *lines);
/* The next line without its end ("\n" or "\r\n"), valid until the next call; may hold NUL, and is
 * not terminated by one. The last line needs no end. *line is NULL at the end of the file. */
trawl_status cli_lines_next(struct cli_lines *lines, const char **line, size_t *n, struct trawl_error *err);

#endif /* CLI_LINES_H */
