/* SPDX-License-Identifier: MIT */
#include "cli/options/options.h"

#include <string.h>

/* ---- walking ---- */

const struct cli_group *cli_command_group(const struct cli_command *command, size_t i)
{
    size_t n = 0;
    while (command->groups[n]) {
        n++;
    }
    if (i < n) {
        return command->groups[i];
    }
    return i == n ? &cli_common_group : NULL;
}

struct cli_iter cli_iter_begin(const struct cli_command *command)
{
    return (struct cli_iter){.command = command};
}

const struct cli_option *cli_iter_next(struct cli_iter *it)
{
    const struct cli_group *group;
    while ((group = cli_command_group(it->command, it->group)) != NULL) {
        if (it->index < group->n_options) {
            return &group->options[it->index++];
        }
        it->group++;
        it->index = 0;
    }
    return NULL;
}

size_t cli_option_count(const struct cli_command *command)
{
    struct cli_iter it = cli_iter_begin(command);
    size_t n           = 0;
    while (cli_iter_next(&it)) {
        n++;
    }
    return n;
}

/* ---- names ---- */

static char fold(char c)
{
    return c == '-' ? '_' : c;
}

static bool same_name(const char *a, size_t na, const char *b, size_t nb)
{
    if (na != nb) {
        return false;
    }
    for (size_t i = 0; i < na; i++) {
        if (fold(a[i]) != fold(b[i])) {
            return false;
        }
    }
    return true;
}

static bool has_alias(const struct cli_option *option, const char *name, size_t n)
{
    const char *p = option->aliases;
    while (p && *p) {
        size_t len = strcspn(p, " ");
        if (same_name(p, len, name, n)) {
            return true;
        }
        p += len;
        p += strspn(p, " ");
    }
    return false;
}

static const struct cli_option *find_plain(const struct cli_command *command, const char *name, size_t n)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    while ((option = cli_iter_next(&it)) != NULL) {
        if (same_name(option->name, strlen(option->name), name, n) || has_alias(option, name, n)) {
            return option;
        }
    }
    return NULL;
}

bool cli_option_negatable(const struct cli_option *option)
{
    /* --no_no_special and --no_help would only puzzle. */
    return option->type == CLI_FLAG && strncmp(option->name, "no_", 3) != 0 &&
           strcmp(option->name, "help") != 0;
}

const struct cli_option *cli_option_find(const struct cli_command *command, const char *name, size_t n,
                                         bool *negated)
{
    *negated                        = false;
    const struct cli_option *option = find_plain(command, name, n);
    if (option || n <= 3 || !same_name(name, 3, "no_", 3)) {
        return option;
    }
    option = find_plain(command, name + 3, n - 3);
    if (option && cli_option_negatable(option)) {
        *negated = true;
        return option;
    }
    return NULL;
}

/* ---- words for help ---- */

const char *cli_option_value(const struct cli_option *option)
{
    if (option->value) {
        return option->value;
    }
    if (option->choices) {
        return option->choices;
    }
    switch (option->type) {
    case CLI_FLAG: return "";
    case CLI_PATH:
    case CLI_PATHS: return "FILE";
    case CLI_INT:
    case CLI_INTS: return "N";
    case CLI_FLOAT: return "X";
    case CLI_SIZE: return "BYTES";
    case CLI_NAMES: return "NAME";
    case CLI_MESH: return "D M";
    case CLI_STRING:
    case CLI_STRINGS: break;
    }
    return "TEXT";
}

const char *cli_choice_next(const char **rest, size_t *n)
{
    const char *piece = *rest;
    if (!piece) {
        return NULL;
    }
    *n    = strcspn(piece, "|");
    *rest = piece[*n] == '|' ? piece + *n + 1 : NULL;
    return piece;
}

/* ---- what was meant ---- */

enum { MAX_WORD = 63 };

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t cli_edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    if (na > MAX_WORD || nb > MAX_WORD) {
        return SIZE_MAX;
    }
    size_t rows[3][MAX_WORD + 1]; /* of a[..i-2], a[..i-1], a[..i] against every prefix of b */
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++) {
        above[j]  = j;
        before[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t differs = fold(a[i - 1]) != fold(b[j - 1]);
            row[j]         = min_of(above[j - 1] + differs, min_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1])) {
                row[j] = min_of(row[j], before[j - 2] + 1);
            }
        }
        size_t *oldest = before;
        before         = above;
        above          = row;
        row            = oldest;
    }
    return above[nb];
}

bool cli_near(size_t distance, size_t n)
{
    return distance <= 1 + n / 4;
}

const struct cli_option *cli_option_nearest(const struct cli_command *command, const char *name, size_t n)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option, *best = NULL;
    size_t best_distance = SIZE_MAX;
    while ((option = cli_iter_next(&it)) != NULL) {
        size_t len      = strlen(option->name);
        size_t distance = cli_edit_distance(name, n, option->name, len);
        /* An unfinished name (--model) is nearer than any mistyped one. */
        if (n >= 3 && n < len && same_name(name, n, option->name, n)) {
            distance = 0;
        } else if (!cli_near(distance, n < len ? n : len)) {
            continue;
        }
        if (distance < best_distance) {
            best          = option;
            best_distance = distance;
        }
    }
    return best;
}
