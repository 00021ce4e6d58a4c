/* SPDX-License-Identifier: MIT */
/* Texts made from the table: help, man pages, completions. All of them append to `out`. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "base/str.h"
#include "cli/commands.h"

/* `trawl --help`; with a family only its commands. `width`: columns to fill (at least 60 are assumed). */
trawl_status cli_help_overview(const struct cli_program *program, const struct cli_family *family,
                               size_t width, struct tw_str *out, struct trawl_error *err);
/* `trawl <command> --help` */
trawl_status cli_help_command(const struct cli_command *command, size_t width, struct tw_str *out,
                              struct trawl_error *err);

/* The page of a command, of a family, or (both NULL) of trawl itself, in man macros for section 1. */
trawl_status cli_man_page(const struct cli_program *program, const struct cli_family *family,
                          const struct cli_command *command, struct tw_str *out, struct trawl_error *err);
/* "trawl-arc-run.1" into `out` ("trawl.1" for NULL). */
trawl_status cli_man_name(const char *command, struct tw_str *out, struct trawl_error *err);

/* A completion script; `shell` is bash, zsh or fish, others are refused by name. */
trawl_status cli_completions_write(const struct cli_program *program, const char *shell, struct tw_str *out,
                                   struct trawl_error *err);

/* The default of an option in words for help and pages, "" when there is nothing to say. Into `out`. */
trawl_status cli_help_default(const struct cli_option *option, struct tw_str *out, struct trawl_error *err);

#endif /* CLI_HELP_H */
