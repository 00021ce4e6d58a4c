/* SPDX-License-Identifier: MIT */
/* The command line of one command, parsed against its table entry.
 *
 * Grammar: `--x 1`, `--x=1`; '-' and '_' are the same inside a name. A list takes the words up to the next
 * option ("--" ends it too); with '=' it takes that one word, cut at commas where its type says so. A mesh takes
 * "2 2", "2x2", "2,2" or "auto". A flag takes nothing, "=true|false", or the word true or false after it. An
 * option given twice: the last one counts, of lists too (so a script can put overrides behind its defaults).
 * A word that is all blanks between options is skipped: a shell makes one of `\ ` before a comment.
 *
 * Nothing here prints. Usage errors are TRAWL_ERR_INVALID. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "cli/options/options.h"

struct cli_args;
struct trawl_world;

/* argv: the words behind the command's name. The strings are borrowed: argv must outlive *out, which is
 * freed with cli_args_free. With --help present anywhere before "--", nothing is checked beyond it. */
trawl_status cli_args_parse(const struct cli_command *command, size_t argc, const char *const *argv,
                            struct cli_args **out, struct trawl_error *err);
void cli_args_free(struct cli_args *args);

const struct cli_command *cli_args_command(const struct cli_args *args);

/* The processes that this one was started with, for the engines of the command; NULL: it is alone. */
void cli_args_set_world(struct cli_args *args, struct trawl_world *world);
struct trawl_world *cli_args_world(const struct cli_args *args);

/* Getters: `name` as in the table. An unknown name, or a getter of another type, is a bug of the caller and
 * aborts (TW_BUG_ON). */
bool cli_given(const struct cli_args *args, const char *name); /* was it on the command line? */
bool cli_has(const struct cli_args *args, const char *name);   /* given, or has a default */

bool cli_get_flag(const struct cli_args *args, const char *name);          /* false when unset */
const char *cli_get_string(const struct cli_args *args, const char *name); /* STRING, PATH; NULL when unset */
/* These abort when there is no value: ask cli_has first for options without a default, or use the _or form. */
int64_t cli_get_int(const struct cli_args *args, const char *name);
int64_t cli_get_int_or(const struct cli_args *args, const char *name, int64_t unset);
double cli_get_float(const struct cli_args *args, const char *name);
double cli_get_float_or(const struct cli_args *args, const char *name, double unset);
uint64_t cli_get_size(const struct cli_args *args, const char *name); /* bytes */
/* Lists: how many; *out is owned by args, untouched when there are none. */
size_t cli_get_ints(const struct cli_args *args, const char *name, const int64_t **out);
size_t cli_get_strings(const struct cli_args *args, const char *name, const char *const **out);

struct cli_mesh {
    bool automatic;  /* "auto": data and model are 0 */
    int data, model; /* >= 1 */
};
struct cli_mesh cli_get_mesh(const struct cli_args *args, const char *name);

size_t cli_operands(const struct cli_args *args);
const char *cli_operand(const struct cli_args *args, size_t i);

#endif /* CLI_ARGS_H */
