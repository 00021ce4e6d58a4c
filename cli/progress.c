/* SPDX-License-Identifier: MIT */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "cli/terminal.h"

static const uint64_t second_ns   = 1000000000u;
static const uint64_t hidden_ns   = 2 * 1000000000ull; /* shorter work shows nothing */
static const uint64_t redraw_ns   = 100 * 1000000ull;  /* on a terminal */
static const uint64_t log_line_ns = 5 * 1000000000ull; /* elsewhere */

void cli_progress_start(struct cli_progress *p, const char *what, const char *unit, uint64_t total,
                        bool quiet)
{
    memset(p, 0, sizeof *p);
    p->stream   = stderr;
    p->what     = what;
    p->unit     = unit;
    p->total    = total;
    p->quiet    = quiet;
    p->terminal = cli_is_terminal(stderr);
    p->start_ns = tw_clock_ns();
}

void cli_progress_resume(struct cli_progress *p, uint64_t done)
{
    p->base_done = done;
}

/* "45s", "3:20", "2:03:20" */
static void format_time(char *out, size_t size, double seconds)
{
    uint64_t s = seconds < 1 ? 1 : (uint64_t)(seconds + 0.5);
    if (s < 60) {
        (void)snprintf(out, size, "%" PRIu64 "s", s);
    } else if (s < 3600) {
        (void)snprintf(out, size, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    } else {
        (void)snprintf(out, size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
    }
}

size_t cli_progress_format(char *out, size_t size, const struct cli_progress *p, double seconds, size_t width)
{
    char line[512], part[96], time[32];
    uint64_t done = p->base_done + p->done;
    if (p->total) {
        (void)snprintf(line, sizeof line, "%s: %" PRIu64 "/%" PRIu64 " %s", p->what, done, p->total, p->unit);
    } else {
        (void)snprintf(line, sizeof line, "%s: %" PRIu64 " %s", p->what, done, p->unit);
    }
    size_t n = strlen(line);
    if (p->tokens && seconds > 0) {
        double rate = (double)p->tokens / seconds;
        (void)snprintf(part, sizeof part, ", %.*f tok/s", rate < 10 ? 1 : 0, rate);
        n += (size_t)snprintf(line + n, sizeof line - n, "%s", part);
    }
    if (p->total > done && p->done) {
        format_time(time, sizeof time, seconds * (double)(p->total - done) / (double)p->done);
        n += (size_t)snprintf(line + n, sizeof line - n, ", %s left", time);
    }
    n = n < sizeof line ? n : sizeof line - 1;
    n = width && n > width ? width : n;
    n = n < size ? n : size - 1;
    memcpy(out, line, n);
    out[n] = '\0';
    return n;
}

static void draw(struct cli_progress *p, uint64_t now)
{
    char line[512];
    /* One column stays free: a terminal wraps when the last one is written. */
    size_t width = p->terminal ? cli_terminal_width(p->stream, 80) - 1 : 0;
    (void)cli_progress_format(line, sizeof line, p, (double)(now - p->start_ns) / (double)second_ns, width);
    if (p->terminal) {
        (void)fprintf(p->stream, "\r\033[K%s", line);
    } else {
        (void)fprintf(p->stream, "%s\n", line);
    }
    (void)fflush(p->stream);
    p->drawn_ns = now;
    p->shown    = true;
}

void cli_progress_update(struct cli_progress *p, uint64_t done, uint64_t tokens)
{
    p->done   = done;
    p->tokens = tokens;
    if (p->quiet) {
        return;
    }
    uint64_t now   = tw_clock_ns();
    uint64_t since = now - (p->shown ? p->drawn_ns : p->start_ns);
    if (since >= (!p->shown ? hidden_ns : p->terminal ? redraw_ns : log_line_ns)) {
        draw(p, now);
    }
}

void cli_progress_say(struct cli_progress *p, const char *format, ...)
{
    va_list ap;
    if (p->shown && p->terminal) {
        (void)fputs("\r\033[K", p->stream);
    }
    va_start(ap, format);
    (void)vfprintf(p->stream, format, ap);
    va_end(ap);
    (void)fputc('\n', p->stream);
    if (p->shown && p->terminal) {
        draw(p, tw_clock_ns());
    }
}

void cli_progress_finish(struct cli_progress *p)
{
    if (p->shown) {
        draw(p, tw_clock_ns());
        if (p->terminal) {
            (void)fputc('\n', p->stream);
        }
        p->shown = false;
    }
}
