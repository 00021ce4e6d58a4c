/* SPDX-License-Identifier: MIT */
#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/utf8.h"

bool cli_is_terminal(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

size_t cli_terminal_width(FILE *stream, size_t unknown)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (columns) {
        long n = strtol(columns, NULL, 10);
        if (n >= 20 && n <= 1000) {
            return (size_t)n;
        }
    }
    if (cli_is_terminal(stream) && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return unknown;
}

bool cli_use_color(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term     = getenv("TERM");
    return cli_is_terminal(stream) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

size_t cli_text_width(const char *s, size_t n)
{
    size_t width = 0;
    while (n > 0) {
        uint32_t codepoint;
        size_t bytes = tw_utf8_decode(s, n, &codepoint);
        if (bytes == 0) {
            bytes = 1;
            width++;
        } else {
            int columns = utf8proc_charwidth((utf8proc_int32_t)codepoint);
            width += columns > 0 ? (size_t)columns : 0;
        }
        s += bytes;
        n -= bytes;
    }
    return width;
}

trawl_status cli_write(const void *data, size_t n, struct trawl_error *err)
{
    errno = 0;
    if (fwrite(data, 1, n, stdout) != n) {
        return tw_fail_os(err, errno, "standard output");
    }
    return TRAWL_OK;
}

trawl_status cli_flush(struct trawl_error *err)
{
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return tw_fail_os(err, errno, "standard output");
    }
    return TRAWL_OK;
}
