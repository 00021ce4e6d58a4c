/* SPDX-License-Identifier: MIT */
/* The commands of this program: table entry and handler side by side. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/options/args.h"

/* What the process returns; documented in every man page. */
enum cli_exit {
    CLI_EXIT_DONE        = 0,
    CLI_EXIT_FAILED      = 1,
    CLI_EXIT_USAGE       = 2,
    CLI_EXIT_INCOMPLETE  = 3,   /* done, but some requests failed; each was named on stderr */
    CLI_EXIT_INTERRUPTED = 130, /* stopped by the user; what was committed stays valid */
};

/* Runs a command and returns its exit code. With `err` filled (message not empty) main prints
 * "trawl arc run: <message>" to stderr. Results go to stdout, talk to stderr. */
typedef int cli_run_fn(const struct cli_args *args, struct trawl_error *err);

/* The exit code that a failed call stands for: 130 for TRAWL_ERR_CANCELLED, 2 for TRAWL_ERR_INVALID, else 1. */
int cli_exit_code(trawl_status status);

struct cli_entry {
    const struct cli_command *command;
    cli_run_fn *run;
};

struct cli_program {
    const struct cli_entry *entries;
    size_t n_entries;
};

/* All commands that have a handler, in the order in which help lists them. */
const struct cli_program *cli_program(void);

/* The command that the first words name ("arc run" before "arc"), and how many words its name took; NULL when
 * there is none. */
const struct cli_entry *cli_find_command(const struct cli_program *program, size_t argc,
                                         const char *const *argv, size_t *n_words);
/* The family named `word` ("arc") that has at least one command in the program; NULL when there is none. */
const struct cli_family *cli_find_family(const struct cli_program *program, const char *word);
/* The first command in the list of `family`, after `previous` (NULL: from the start); NULL at the end. */
const struct cli_entry *cli_family_next(const struct cli_program *program, const struct cli_family *family,
                                        const struct cli_entry *previous);
/* Name of the command or family nearest to mistyped words; NULL when nothing is near. */
const char *cli_command_nearest(const struct cli_program *program, size_t argc, const char *const *argv);

/* "trawl <version>" without more. */
const char *cli_version(void);

#endif /* CLI_COMMANDS_H */
