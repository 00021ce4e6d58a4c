/* SPDX-License-Identifier: MIT */
#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

trawl_status cli_lines_open(struct cli_lines *lines, const char *path, struct trawl_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    memset(lines, 0, sizeof *lines);
    tw_str_init(&lines->buffer, 0);
    lines->name = is_stdin ? "standard input" : path;
    lines->fd   = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0) {
        return tw_fail_os(err, errno, "%s", path);
    }
    return TRAWL_OK;
}

void cli_lines_close(struct cli_lines *lines)
{
    if (lines->fd > STDIN_FILENO) {
        (void)close(lines->fd);
    }
    lines->fd = -1;
    tw_str_release(&lines->buffer);
}

/* More bytes behind those that are left. */
static trawl_status fill(struct cli_lines *lines, struct trawl_error *err)
{
    struct tw_str *b = &lines->buffer;
    if (lines->at > 0) {
        memmove(b->data, b->data + lines->at, b->size - lines->at);
        b->size -= lines->at;
        lines->at = 0;
    }
    TW_TRY(tw_str_reserve(b, READ_BYTES, err));
    ssize_t got;
    do {
        got = read(lines->fd, b->data + b->size, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return tw_fail_os(err, errno, "%s", lines->name);
    }
    b->size += (size_t)got;
    b->data[b->size] = '\0';
    lines->ended     = got == 0;
    return TRAWL_OK;
}

trawl_status cli_lines_next(struct cli_lines *lines, const char **line, size_t *n, struct trawl_error *err)
{
    struct tw_str *b = &lines->buffer;
    size_t scanned   = 0; /* bytes behind `at` that hold no newline */
    const char *end  = NULL;
    *line            = NULL;
    for (;;) {
        size_t left = b->size - lines->at;
        end         = left > scanned ? memchr(b->data + lines->at + scanned, '\n', left - scanned) : NULL;
        if (end || lines->ended) {
            break;
        }
        scanned = left;
        TW_TRY(fill(lines, err));
    }
    if (!end && lines->at == b->size) {
        return TRAWL_OK;
    }
    *line = b->data + lines->at;
    *n    = end ? (size_t)(end - *line) : b->size - lines->at;
    lines->at += *n + (end != NULL);
    lines->number++;
    if (*n > 0 && (*line)[*n - 1] == '\r') {
        (*n)--;
    }
    return TRAWL_OK;
}
