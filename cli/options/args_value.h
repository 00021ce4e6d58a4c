/* SPDX-License-Identifier: MIT */
/* One value of one option: text in, checked value out. */
#ifndef CLI_ARGS_VALUE_H
#define CLI_ARGS_VALUE_H

#include "cli/options/args.h"

struct cli_value {
    bool given, has;
    bool flag;
    int64_t integer;
    double number;
    uint64_t bytes;
    const char *text; /* borrowed from argv or the table */
    struct cli_mesh mesh;
    size_t n; /* of a list */
    size_t ints_capacity, texts_capacity;
    int64_t *ints;      /* owned */
    const char **texts; /* owned array; the strings are borrowed or in `copies` */
    char *copies;
};

void cli_value_release(struct cli_value *value);

/* Words of `option` into `value`, in place of what it had. `words`: at least one, except for a flag (none: it
 * is set). Messages begin with "--name". */
trawl_status cli_value_set(struct cli_value *value, const struct cli_option *option, size_t n_words,
                           const char *const *words, struct trawl_error *err);
/* Is this word one that the option could take? No error text: for options whose value may be left out. */
bool cli_value_fits(const struct cli_option *option, const char *word);
/* "true", "no", ... in any case; false when it is none of them. */
bool cli_parse_bool(const char *word, bool *out);
bool cli_word_blank(const char *word);

#endif /* CLI_ARGS_VALUE_H */
