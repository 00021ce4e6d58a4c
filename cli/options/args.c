/* SPDX-License-Identifier: MIT */
#include "cli/options/args.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/options/args_value.h"

struct cli_args {
    const struct cli_command *command;
    size_t n_options;
    struct cli_value *values; /* in the order of cli_iter_next */
    size_t n_operands;
    const char **operands; /* borrowed strings */
    struct trawl_world *world;
};

/* What is left of the command line. */
struct cursor {
    const char *const *argv;
    size_t argc, at;
    bool only_operands; /* "--" was seen */
};

/* ---- words ---- */

/* The option that a word names, the bytes of its name, and what follows '='. False: the word is no option. */
struct option_word {
    const char *name;
    size_t n;
    const char *value;               /* behind '=', or NULL */
    const struct cli_option *option; /* NULL: no such option */
    bool negated;
};

static bool read_option_word(const struct cli_command *command, const char *word, struct option_word *out)
{
    if (word[0] != '-' || word[1] == '\0') {
        return false;
    }
    bool is_long = word[1] == '-';
    out->name    = word + 1 + is_long;
    if (*out->name == '\0' || (!is_long && !isalpha((unsigned char)*out->name))) {
        return false; /* "--" and negative numbers */
    }
    out->n      = strcspn(out->name, "=");
    out->value  = out->name[out->n] == '=' ? out->name + out->n + 1 : NULL;
    out->option = cli_option_find(command, out->name, out->n, &out->negated);
    /* -x is for one letter, --x for more (but --n is a long name of one letter, as Hugging Face has). */
    if (!is_long && out->n != 1) {
        out->option = NULL;
    }
    return true;
}

static trawl_status fail_unknown(const struct cli_command *command, const char *word,
                                 const struct option_word *w, struct trawl_error *err)
{
    const struct cli_option *near = cli_option_nearest(command, w->name, w->n);
    int shown                     = (int)(w->name - word + (ptrdiff_t)w->n);
    if (near) {
        return tw_fail(err, TRAWL_ERR_INVALID, "unknown option %.*s, did you mean --%s?", shown, word,
                       near->name);
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "unknown option %.*s; trawl %s --help lists those there are",
                   shown, word, command->name);
}

static size_t option_index(const struct cli_command *command, const struct cli_option *option)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *o;
    size_t i = 0;
    while ((o = cli_iter_next(&it)) != NULL && o != option) {
        i++;
    }
    return i;
}

/* Does a list or a value end before this word? */
static bool ends_values(const struct cli_command *command, const struct cli_option *option, const char *word)
{
    struct option_word w;
    if (strcmp(word, "--") == 0) {
        return true;
    }
    if (!read_option_word(command, word, &w)) {
        return false;
    }
    /* Free text may begin with a dash as long as it is no option; for the others it is a mistyped one. */
    bool free_text = option->type == CLI_STRING || option->type == CLI_STRINGS;
    return w.option != NULL || (!free_text && word[1] == '-');
}

/* How many of the next words belong to `option`. */
static size_t count_values(const struct cli_args *args, const struct cli_option *option,
                           const struct cursor *c)
{
    size_t left = c->argc - c->at, n = 0;
    size_t most = option->type == CLI_MESH ? 2 : option->type >= CLI_INTS ? left : 1;
    while (n < left && n < most && !ends_values(args->command, option, c->argv[c->at + n])) {
        const char *word = c->argv[c->at + n];
        if ((option->type == CLI_MESH || option->type == CLI_INTS) && cli_word_blank(word)) {
            break;
        }
        n++;
        /* "2x2" and "auto" are whole; "2" wants another word. */
        if (option->type == CLI_MESH && n == 1 && word[strspn(word, "0123456789")] != '\0') {
            break;
        }
    }
    return n;
}

static trawl_status take_flag(struct cli_value *value, const struct option_word *w, const char *word,
                              struct cursor *c, struct trawl_error *err)
{
    bool set = true;
    if (w->value && w->negated) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: --no_%s takes no value", word, w->option->name);
    }
    if (w->value) {
        TW_TRY(cli_value_set(value, w->option, 1, &w->value, err));
        set = value->flag;
    } else if (c->at < c->argc &&
               (strcasecmp(c->argv[c->at], "true") == 0 || strcasecmp(c->argv[c->at], "false") == 0)) {
        set = strcasecmp(c->argv[c->at++], "true") == 0;
    }
    value->has  = true;
    value->flag = set != w->negated;
    return TRAWL_OK;
}

static trawl_status take_option(struct cli_args *args, struct cursor *c, const struct option_word *w,
                                struct trawl_error *err)
{
    const char *word                = c->argv[c->at++];
    const struct cli_option *option = w->option;
    struct cli_value *value         = &args->values[option_index(args->command, option)];
    if (option->type == CLI_FLAG) {
        TW_TRY(take_flag(value, w, word, c, err));
    } else if (w->value) {
        TW_TRY(cli_value_set(value, option, 1, &w->value, err));
    } else {
        size_t n = count_values(args, option, c);
        if (option->bare && (n == 0 || !cli_value_fits(option, c->argv[c->at]))) {
            TW_TRY(cli_value_set(value, option, 1, &option->bare, err));
        } else if (n == 0 && c->at < c->argc) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "--%s needs a value, found \"%s\" (a value that begins with dashes: "
                           "--%s=VALUE)",
                           option->name, c->argv[c->at], option->name);
        } else if (n == 0) {
            return tw_fail(err, TRAWL_ERR_INVALID, "--%s needs a value (%s)", option->name,
                           cli_option_value(option));
        } else {
            TW_TRY(cli_value_set(value, option, n, c->argv + c->at, err));
            c->at += n;
        }
    }
    value->given = true;
    return TRAWL_OK;
}

static trawl_status take_operand(struct cli_args *args, struct cursor *c, struct trawl_error *err)
{
    const struct cli_operand *operand = &args->command->operand;
    const char *word                  = c->argv[c->at++];
    if (cli_word_blank(word) && !c->only_operands) {
        return TRAWL_OK;
    }
    if (args->n_operands == operand->max) {
        return tw_fail(err, TRAWL_ERR_INVALID, "unexpected word \"%s\"%s", word,
                       operand->max ? "" : "; options begin with --, a text of several words needs quotes");
    }
    args->operands[args->n_operands++] = word;
    return TRAWL_OK;
}

/* ---- the whole line ---- */

static trawl_status set_defaults(struct cli_args *args, struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(args->command);
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_iter_next(&it)) != NULL; i++) {
        if (option->fallback) {
            TW_TRY(cli_value_set(&args->values[i], option, 1, &option->fallback, err));
        }
    }
    return TRAWL_OK;
}

static trawl_status check_complete(const struct cli_args *args, struct trawl_error *err)
{
    const struct cli_operand *operand = &args->command->operand;
    struct cli_iter it                = cli_iter_begin(args->command);
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_iter_next(&it)) != NULL; i++) {
        if (option->required && !args->values[i].given) {
            return tw_fail(err, TRAWL_ERR_INVALID, "--%s %s is missing: %s", option->name,
                           cli_option_value(option), option->help);
        }
    }
    if (args->n_operands < operand->min) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s is missing: %s%s%s%s", operand->value, operand->help,
                       operand->choices ? " (" : "", operand->choices ? operand->choices : "",
                       operand->choices ? ")" : "");
    }
    return TRAWL_OK;
}

static trawl_status parse_words(struct cli_args *args, struct cursor *c, struct trawl_error *err)
{
    while (c->at < c->argc) {
        struct option_word w = {0};
        const char *word     = c->argv[c->at];
        if (!c->only_operands && strcmp(word, "--") == 0) {
            c->only_operands = true;
            c->at++;
        } else if (c->only_operands || !read_option_word(args->command, word, &w)) {
            TW_TRY(take_operand(args, c, err));
        } else if (!w.option) {
            return fail_unknown(args->command, word, &w, err);
        } else {
            TW_TRY(take_option(args, c, &w, err));
        }
    }
    return check_complete(args, err);
}

/* --help wins over everything that may be wrong with the rest of the line. */
static bool asks_help(size_t argc, const char *const *argv)
{
    for (size_t i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

trawl_status cli_args_parse(const struct cli_command *command, size_t argc, const char *const *argv,
                            struct cli_args **out, struct trawl_error *err)
{
    struct cli_args *args = NULL;
    struct cursor cursor  = {.argv = argv, .argc = argc};
    *out                  = NULL;
    TW_TRY(tw_alloc(1, sizeof *args, &args, err));
    args->command       = command;
    args->n_options     = cli_option_count(command);
    trawl_status status = tw_alloc(args->n_options, sizeof *args->values, &args->values, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(command->operand.max + 1, sizeof *args->operands, &args->operands, err);
    }
    if (status == TRAWL_OK) {
        status = set_defaults(args, err);
    }
    if (status == TRAWL_OK && asks_help(argc, argv)) {
        static const char *const help[] = {"--help"};
        cursor                          = (struct cursor){.argv = help, .argc = 1};
        struct option_word w;
        (void)read_option_word(command, help[0], &w);
        status = take_option(args, &cursor, &w, err);
    } else if (status == TRAWL_OK) {
        status = parse_words(args, &cursor, err);
    }
    if (status != TRAWL_OK) {
        cli_args_free(args);
        return status;
    }
    *out = args;
    return TRAWL_OK;
}

void cli_args_free(struct cli_args *args)
{
    if (!args) {
        return;
    }
    for (size_t i = 0; args->values && i < args->n_options; i++) {
        cli_value_release(&args->values[i]);
    }
    tw_free(args->values);
    tw_free(args->operands);
    tw_free(args);
}

/* ---- getters ---- */

const struct cli_command *cli_args_command(const struct cli_args *args)
{
    return args->command;
}

void cli_args_set_world(struct cli_args *args, struct trawl_world *world)
{
    args->world = world;
}

struct trawl_world *cli_args_world(const struct cli_args *args)
{
    return args->world;
}

static const struct cli_value *value_of(const struct cli_args *args, const char *name, unsigned types)
{
    struct cli_iter it = cli_iter_begin(args->command);
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_iter_next(&it)) != NULL; i++) {
        if (strcmp(option->name, name) == 0) {
            TW_BUG_ON(!(types >> option->type & 1u));
            return &args->values[i];
        }
    }
    tw_bug(__FILE__, __LINE__, name);
}

static const struct cli_value *value_set(const struct cli_args *args, const char *name, unsigned types)
{
    const struct cli_value *value = value_of(args, name, types);
    TW_BUG_ON(!value->has);
    return value;
}

bool cli_given(const struct cli_args *args, const char *name)
{
    return value_of(args, name, ~0u)->given;
}

bool cli_has(const struct cli_args *args, const char *name)
{
    return value_of(args, name, ~0u)->has;
}

bool cli_get_flag(const struct cli_args *args, const char *name)
{
    return value_of(args, name, 1u << CLI_FLAG)->flag;
}

const char *cli_get_string(const struct cli_args *args, const char *name)
{
    return value_of(args, name, 1u << CLI_STRING | 1u << CLI_PATH)->text;
}

int64_t cli_get_int(const struct cli_args *args, const char *name)
{
    return value_set(args, name, 1u << CLI_INT)->integer;
}

int64_t cli_get_int_or(const struct cli_args *args, const char *name, int64_t unset)
{
    const struct cli_value *value = value_of(args, name, 1u << CLI_INT);
    return value->has ? value->integer : unset;
}

double cli_get_float(const struct cli_args *args, const char *name)
{
    return value_set(args, name, 1u << CLI_FLOAT)->number;
}

double cli_get_float_or(const struct cli_args *args, const char *name, double unset)
{
    const struct cli_value *value = value_of(args, name, 1u << CLI_FLOAT);
    return value->has ? value->number : unset;
}

uint64_t cli_get_size(const struct cli_args *args, const char *name)
{
    return value_set(args, name, 1u << CLI_SIZE)->bytes;
}

size_t cli_get_ints(const struct cli_args *args, const char *name, const int64_t **out)
{
    const struct cli_value *value = value_of(args, name, 1u << CLI_INTS);
    if (value->n) {
        *out = value->ints;
    }
    return value->n;
}

size_t cli_get_strings(const struct cli_args *args, const char *name, const char *const **out)
{
    const struct cli_value *value =
        value_of(args, name, 1u << CLI_NAMES | 1u << CLI_STRINGS | 1u << CLI_PATHS);
    if (value->n) {
        *out = value->texts;
    }
    return value->n;
}

struct cli_mesh cli_get_mesh(const struct cli_args *args, const char *name)
{
    return value_set(args, name, 1u << CLI_MESH)->mesh;
}

size_t cli_operands(const struct cli_args *args)
{
    return args->n_operands;
}

const char *cli_operand(const struct cli_args *args, size_t i)
{
    TW_BUG_ON(i >= args->n_operands);
    return args->operands[i];
}
