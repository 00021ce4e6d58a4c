/* SPDX-License-Identifier: MIT */
/* How far a long command is, on stderr. On a terminal: one line that is redrawn in place, cut to the width.
 * Elsewhere (a log file, CI): a line every few seconds. Nothing at all for work shorter than two seconds, and
 * with --quiet. One thread drives a progress object: the one that runs the command. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cli_progress {
    FILE *stream;
    const char *what; /* "arc run" */
    const char *unit; /* "prompts" */
    uint64_t total;   /* 0: not known */
    bool quiet, terminal, shown;
    uint64_t start_ns, drawn_ns;
    uint64_t done, tokens;
    uint64_t base_done; /* units that an earlier run had finished: they count as done, not for the ETA */
};

/* `what` and `unit` are borrowed. */
void cli_progress_start(struct cli_progress *p, const char *what, const char *unit, uint64_t total,
                        bool quiet);
/* Units that were there before the start (a resumed run). */
void cli_progress_resume(struct cli_progress *p, uint64_t done);
/* `done` units and `tokens` tokens (0: not counted) since the start; cheap, draws at most ten times a second. */
void cli_progress_update(struct cli_progress *p, uint64_t done, uint64_t tokens);
/* A full line of talk on stderr that does not tear the progress line; shown with quiet too. */
void cli_progress_say(struct cli_progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the line. Safe to call twice. */
void cli_progress_finish(struct cli_progress *p);

/* The line itself, without "\r" or newline, at most `width` columns (0: no limit), e.g.
 *     arc run: 12/400 prompts, 1843 tok/s, 3:20 left
 * Returns its length in bytes; `seconds` since the start. */
size_t cli_progress_format(char *out, size_t size, const struct cli_progress *p, double seconds,
                           size_t width);

#endif /* CLI_PROGRESS_H */
