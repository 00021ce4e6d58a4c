/* SPDX-License-Identifier: MIT */
/* The table of commands and options. It is the only place where an option exists: the parser (args.h), the
 * help texts, man pages and completions (help.h) all read it, and a test compares them.
 *
 * To add an option: one entry in options_groups.c (shared by commands) or the options_*.c of its command;
 * nothing else. To add a command: a `struct cli_command` there, a handler cmd_<name>.c and one line in
 * commands.c. A command without that line is not listed, not parsed and has no page. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum cli_type {
    CLI_FLAG,    /* --x, --no_x, --x=true|false                                            */
    CLI_STRING,  /* one word, taken as it is                                               */
    CLI_PATH,    /* the same; completed as a file name                                     */
    CLI_INT,     /* decimal, within [min, max]                                             */
    CLI_FLOAT,   /* decimal, within [min, max], finite                                     */
    CLI_SIZE,    /* bytes: 1048576, 512M, 1.5GiB (k, M, G, T are powers of 1024)           */
    CLI_INTS,    /* one or more integers: "10 11 12", "10,11,12"                           */
    CLI_NAMES,   /* one or more names, cut at commas too: "embed,blocks.3.hook_resid_post" */
    CLI_STRINGS, /* one or more words, taken as they are                                   */
    CLI_PATHS,   /* the same; completed as file names                                      */
    CLI_MESH     /* "2 2", "2x2", "2,2" or "auto"                                          */
};

struct cli_option {
    const char *name;    /* with underscores and without dashes: "model_path"                     */
    const char *aliases; /* further names, separated by blanks; one letter is a short option      */
    enum cli_type type;
    bool required;
    bool has_range;       /* INT, INTS, FLOAT: min and max hold                                   */
    double min, max;      /* inclusive; HUGE_VAL for an open end                                  */
    const char *choices;  /* STRING: "bfloat16|float32"; NULL: anything                           */
    const char *value;    /* what stands for the value in help: "DIR"; NULL: from the type        */
    const char *fallback; /* the default, as it would be typed; NULL: the option has no value     */
    const char *unset;    /* how help calls the default of an option without `fallback`           */
    const char *bare;     /* the value of "--x" with nothing behind it; NULL: a value is needed   */
    const char *help;     /* one line, no capital, no full stop                                   */
    const char *text;     /* more sentences for the man page, may be NULL                         */
};

struct cli_group {
    const char *title; /* "Model options" */
    const struct cli_option *options;
    size_t n_options;
};

/* A word without dashes that a command takes: `trawl completions bash`. */
struct cli_operand {
    const char *value;   /* "SHELL" */
    const char *choices; /* or NULL; "@commands": the words of a command's name */
    size_t min, max;     /* how many; max 0: the command takes none */
    const char *help;
};

struct cli_example {
    const char *command; /* what is typed after "trawl " */
    const char *text;    /* what it does, a sentence */
};

enum { CLI_MAX_GROUPS = 10 };

struct cli_command {
    const char *name;    /* "tokenize", "arc run" */
    const char *summary; /* one line, no capital, no full stop */
    const char *text;    /* paragraphs, separated by empty lines, for the man page */
    struct cli_operand operand;
    const struct cli_group *groups[CLI_MAX_GROUPS + 1]; /* ends with NULL; names are unique in a command */
    const struct cli_example examples[4];               /* ends with a NULL command */
};

/* A word that only leads to commands: `trawl arc` before run, vote, score. */
struct cli_family {
    const char *name;
    const char *summary;
};

extern const struct cli_command cli_arc_run, cli_arc_transform, cli_arc_vote, cli_arc_score, cli_arc_report,
    cli_arc_merge;
extern const struct cli_command cli_acts_merge, cli_acts_inspect, cli_acts_verify, cli_acts_export,
    cli_acts_upload;
extern const struct cli_command cli_harvest;
extern const struct cli_command cli_serve_command; /* cli_serve is what other ranks do */
extern const struct cli_command cli_gsm8k, cli_pull;
extern const struct cli_command cli_generate, cli_trace, cli_perplexity, cli_bench, cli_bench_policy,
    cli_plan, cli_shard;
extern const struct cli_command cli_chat, cli_chat_settable; /* the second is parsed by /set only */
extern const struct cli_command cli_tokenize, cli_info, cli_help, cli_man, cli_completions;

extern const struct cli_family cli_families[]; /* ends with a NULL name */

/* Options that every command has: --help, --quiet. Listed last; not repeated in `groups`. */
extern const struct cli_group cli_common_group;

/* Groups shared by commands. */
extern const struct cli_group cli_model_group;      /* what opens a model on a mesh */
extern const struct cli_group cli_mesh_group;       /* the same without what needs a model folder */
extern const struct cli_group cli_sampling_group;   /* how tokens are chosen */
extern const struct cli_group cli_draw_group;       /* the same of a single answer */
extern const struct cli_group cli_answer_group;     /* how answers end, what is said of them */
extern const struct cli_group cli_token_group;      /* of these, what is about tokens and stop texts */
extern const struct cli_group cli_search_group;     /* how answers are searched for */
extern const struct cli_group cli_attention_group;  /* what tokens see */
extern const struct cli_group cli_shard_group;      /* which part of a data set this run is */
extern const struct cli_group cli_upload_group;     /* where activations are copied to */
extern const struct cli_group cli_time_group;       /* how long a request may take */
extern const struct cli_group cli_constraint_group; /* what answers have to satisfy */

/* Walk all options of a command, groups in order, the common group last:
 *     struct cli_iter it = cli_iter_begin(command);
 *     while ((option = cli_iter_next(&it)) != NULL) */
struct cli_iter {
    const struct cli_command *command;
    size_t group, index;
};

struct cli_iter cli_iter_begin(const struct cli_command *command);
const struct cli_option *cli_iter_next(struct cli_iter *it);
size_t cli_option_count(const struct cli_command *command);
/* Group i of a command, the common group after its own; NULL behind the last. */
const struct cli_group *cli_command_group(const struct cli_command *command, size_t i);

/* Find by a name as typed, without the leading dashes, `n` bytes; '-' and '_' are the same. `*negated` is
 * set for "no_x" of a flag x (an option whose own name is "no_x" comes first). NULL: there is none. */
const struct cli_option *cli_option_find(const struct cli_command *command, const char *name, size_t n,
                                         bool *negated);

/* Has this flag a --no_x form? (Flags that are on by default, or can be turned on by something else.) */
bool cli_option_negatable(const struct cli_option *option);

/* What stands for the value in help and pages: option->value, else the choices, else a word for the type. */
const char *cli_option_value(const struct cli_option *option);

/* Cut "a|b|c" at '|': the next piece from *rest, its length in *n; NULL at the end. */
const char *cli_choice_next(const char **rest, size_t *n);

/* The option or command nearest to a mistyped name: NULL when nothing is near enough to be meant. */
const struct cli_option *cli_option_nearest(const struct cli_command *command, const char *name, size_t n);
/* Insertions, deletions, replacements and swaps of neighbours between two words ('-' equals '_'); words
 * over 63 bytes are far from everything. */
size_t cli_edit_distance(const char *a, size_t na, const char *b, size_t nb);
/* Is a word at this distance from a name of length `n` likely that name mistyped? */
bool cli_near(size_t distance, size_t n);

#endif /* CLI_OPTIONS_H */
