/* SPDX-License-Identifier: MIT */
#include "cli/chat/chat_settings.h"

#include <string.h>

#include "base/alloc.h"

/* Where the value of an option stands. */
static const struct cli_args *source(const struct cli_chat_settings *s, const char *name)
{
    return cli_given(s->set, name) ? s->set : s->line;
}

/* ---- what follows from the words ---- */

static trawl_status take_stops(struct cli_chat_settings *s, struct trawl_error *err)
{
    const int64_t *ids = NULL;
    size_t n           = cli_get_ints(source(s, "stop_token_ids"), "stop_token_ids", &ids);
    s->n_stop          = cli_get_strings(source(s, "stop"), "stop", &s->stop);
    for (size_t i = 0; i < s->n_stop; i++) {
        if (s->stop[i][0] == '\0') {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "--stop: text %zu is empty, expected one that an answer can have", i + 1);
        }
    }
    TW_TRY(tw_alloc(n, sizeof *s->stop_ids, &s->stop_ids, err));
    for (size_t i = 0; i < n; i++) {
        s->stop_ids[i] = (int32_t)ids[i];
    }
    s->request.stop_token_ids   = s->stop_ids;
    s->request.n_stop_token_ids = n;
    return TRAWL_OK;
}

static void forget(struct cli_chat_settings *s)
{
    cli_sampling_release(&s->sampling);
    tw_free(s->stop_ids);
    s->stop_ids = NULL;
}

static trawl_status apply(struct cli_chat_settings *s, struct trawl_error *err)
{
    struct trawl_request *q = &s->request;
    forget(s);
    trawl_request_init(q);
    cli_sampling_numbers(q, s->line, false);
    cli_sampling_numbers(q, s->set, true);
    TW_TRY(cli_sampling_bias(&s->sampling, q, source(s, "logit_bias"), err));
    TW_TRY(cli_sampling_suppressed(&s->sampling, q, source(s, "suppress_tokens"), err));
    TW_TRY(take_stops(s, err));
    q->max_tokens   = (size_t)cli_get_int_or(source(s, "max_tokens"), "max_tokens", 0);
    q->seed         = (uint64_t)cli_get_int(source(s, "seed"), "seed");
    q->has_seed     = true;
    s->n_logprobs   = (size_t)cli_get_int(source(s, "logprobs"), "logprobs");
    s->show_entropy = cli_get_flag(source(s, "show_entropy"), "show_entropy");
    if (q->max_tokens > 0 && q->min_tokens > q->max_tokens) {
        return tw_fail(err, TRAWL_ERR_INVALID, "min_tokens is %zu, more than max_tokens, which is %zu",
                       q->min_tokens, q->max_tokens);
    }
    return TRAWL_OK;
}

/* ---- words ---- */

static trawl_status parse(struct cli_chat_settings *s, struct cli_args **out, struct trawl_error *err)
{
    return cli_args_parse(&cli_chat_settable, s->n_words, (const char *const *)s->words, out, err);
}

trawl_status cli_chat_settings_open(struct cli_chat_settings *s, const struct cli_args *line,
                                    struct trawl_error *err)
{
    *s = (struct cli_chat_settings){.line = line};
    TW_TRY(parse(s, &s->set, err));
    return apply(s, err);
}

static void drop_words(struct cli_chat_settings *s, size_t from)
{
    while (s->n_words > from) {
        tw_free(s->words[--s->n_words]);
    }
}

void cli_chat_settings_release(struct cli_chat_settings *s)
{
    forget(s);
    cli_args_free(s->set);
    drop_words(s, 0);
    tw_free(s->words);
    *s = (struct cli_chat_settings){0};
}

static trawl_status add_word(struct cli_chat_settings *s, const char *name, const char *value, size_t n,
                             struct trawl_error *err)
{
    struct tw_str word;
    tw_str_init(&word, 0);
    TW_TRY(tw_grow(&s->words, &s->words_capacity, s->n_words + 1, sizeof *s->words, err));
    trawl_status status = tw_str_printf(&word, err, "--%s=%.*s", name, (int)n, value);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&word), &s->words[s->n_words], err);
    }
    s->n_words += status == TRAWL_OK;
    tw_str_release(&word);
    return status;
}

/* Does a word set this option? Those of an option before the last one count for nothing, but are kept so that a
 * failure has nothing to take back. */
static bool sets(const char *word, const struct cli_option *option)
{
    size_t n = strlen(option->name);
    return strncmp(word + 2, option->name, n) == 0 && word[2 + n] == '=';
}

/* Words of other options to the front, in their order; how many there are. */
static size_t put_last(struct cli_chat_settings *s, const struct cli_option *option)
{
    size_t others = 0;
    for (size_t i = 0; i < s->n_words; i++) {
        char *word = s->words[i];
        if (!sets(word, option)) {
            memmove(&s->words[others + 1], &s->words[others], (i - others) * sizeof *s->words);
            s->words[others++] = word;
        }
    }
    return others;
}

/* Settings as the words now have them; those of before when they cannot be had. */
static trawl_status renew(struct cli_chat_settings *s, struct trawl_error *err)
{
    struct cli_args *set = NULL, *before = s->set;
    struct trawl_error unwound;
    TW_TRY(parse(s, &set, err));
    s->set              = set;
    trawl_status status = apply(s, err);
    if (status != TRAWL_OK) {
        s->set = before;
        before = set;
        if (apply(s, &unwound) != TRAWL_OK) {
            *err   = unwound; /* no memory */
            status = unwound.status;
        }
    }
    cli_args_free(before);
    return status;
}

static const struct cli_option *find(const char *name, size_t n, struct trawl_error *err)
{
    bool negated;
    const struct cli_option *option = cli_option_find(&cli_chat_settable, name, n, &negated);
    for (size_t g = 0; option != NULL && !negated && cli_chat_settable.groups[g] != NULL; g++) {
        const struct cli_group *group = cli_chat_settable.groups[g];
        if (option >= group->options && option < group->options + group->n_options) {
            return option;
        }
    }
    option = cli_option_nearest(&cli_chat_settable, name, n);
    (void)tw_fail(err, TRAWL_ERR_INVALID, "/set: there is no \"%.*s\"%s%s%s", (int)n, name,
                  option == NULL ? "; /set alone lists what there is" : ", did you mean ",
                  option == NULL ? "" : option->name, option == NULL ? "" : "?");
    return NULL;
}

/* As if nothing had been said of it. */
static trawl_status set_default(struct cli_chat_settings *s, const struct cli_option *option,
                                struct trawl_error *err)
{
    size_t all          = s->n_words;
    s->n_words          = put_last(s, option);
    trawl_status status = renew(s, err);
    if (status != TRAWL_OK) {
        s->n_words = all;
        return status;
    }
    for (size_t i = s->n_words; i < all; i++) {
        tw_free(s->words[i]);
    }
    return TRAWL_OK;
}

trawl_status cli_chat_set(struct cli_chat_settings *s, const char *name, size_t n_name, const char *value,
                          size_t n, struct trawl_error *err)
{
    const struct cli_option *option = find(name, n_name, err);
    if (option == NULL) {
        return err->status;
    }
    if (n == 7 && memcmp(value, "default", 7) == 0) {
        return set_default(s, option, err);
    }
    size_t before = s->n_words;
    TW_TRY(add_word(s, option->name, value, n, err));
    trawl_status status = renew(s, err);
    if (status != TRAWL_OK) {
        drop_words(s, before);
    }
    return status;
}

/* ---- the list ---- */

static trawl_status put_list(const struct cli_args *args, const struct cli_option *o, struct tw_str *out,
                             struct trawl_error *err)
{
    const int64_t *ints      = NULL;
    const char *const *texts = NULL;
    bool strings             = o->type == CLI_STRINGS;
    size_t n = strings ? cli_get_strings(args, o->name, &texts) : cli_get_ints(args, o->name, &ints);
    for (size_t i = 0; i < n; i++) {
        if (strings) {
            TW_TRY(tw_str_printf(out, err, "%s\"%s\"", i > 0 ? " " : "", texts[i]));
        } else {
            TW_TRY(tw_str_printf(out, err, "%s%lld", i > 0 ? "," : "", (long long)ints[i]));
        }
    }
    return TRAWL_OK;
}

static trawl_status put_value(const struct cli_args *args, const struct cli_option *o, struct tw_str *out,
                              struct trawl_error *err)
{
    char number[TW_DOUBLE_BYTES];
    if (o->type == CLI_FLAG) {
        return tw_str_puts(out, cli_get_flag(args, o->name) ? "true" : "false", err);
    }
    if (!cli_has(args, o->name)) {
        return tw_str_printf(out, err, "(%s)", o->unset);
    }
    if (o->type == CLI_INT) {
        return tw_str_printf(out, err, "%lld", (long long)cli_get_int(args, o->name));
    }
    if (o->type == CLI_FLOAT) {
        tw_double_text(cli_get_float(args, o->name), number);
        return tw_str_puts(out, number, err);
    }
    return put_list(args, o, out, err);
}

trawl_status cli_chat_settings_list(const struct cli_chat_settings *s, struct tw_str *out,
                                    struct trawl_error *err)
{
    for (size_t g = 0; cli_chat_settable.groups[g] != NULL; g++) {
        const struct cli_group *group = cli_chat_settable.groups[g];
        for (size_t i = 0; i < group->n_options; i++) {
            const struct cli_option *o = &group->options[i];
            TW_TRY(tw_str_printf(out, err, "  %-22s ", o->name));
            TW_TRY(put_value(source(s, o->name), o, out, err));
            TW_TRY(tw_str_putc(out, '\n', err));
        }
    }
    return TRAWL_OK;
}
