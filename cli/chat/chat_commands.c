/* SPDX-License-Identifier: MIT */
/* Lines of a chat that begin with a slash. */
#include <string.h>

#include "base/alloc.h"
#include "cli/chat/chat.h"
#include "cli/options/options.h"

/* What is behind the name, blanks at both ends left out; "" when there is nothing. */
typedef trawl_status command_fn(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err);

struct command {
    const char *name, *rest, *help;
    command_fn *run;
};

static const struct command *commands(void);

/* A mistake in a command: said, and the chat goes on. */
static trawl_status refuse(struct cli_chat *c, const struct trawl_error *why)
{
    cli_chat_say("%s\n", why->message);
    c->n_failed++;
    return TRAWL_OK;
}

/* The outcome of something that may go wrong without harm to the chat. */
static trawl_status settle(struct cli_chat *c, trawl_status status, const struct trawl_error *why,
                           struct trawl_error *err)
{
    if (status == TRAWL_ERR_NOMEM) {
        *err = *why;
        return status;
    }
    return status == TRAWL_OK ? TRAWL_OK : refuse(c, why);
}

static trawl_status need(struct cli_chat *c, const char *what)
{
    cli_chat_say("%s\n", what);
    c->n_failed++;
    return TRAWL_OK;
}

/* ---- the conversation ---- */

static trawl_status run_reset(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    (void)err;
    cli_chat_history_reset(&c->history);
    c->retries = 0;
    cli_chat_say("The conversation begins anew.\n");
    return TRAWL_OK;
}

static trawl_status run_undo(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    (void)err;
    if (!cli_chat_history_drop_turn(&c->history)) {
        return need(c, "There is no turn to take back.");
    }
    c->retries   = 0;
    size_t turns = cli_chat_history_turns(&c->history);
    cli_chat_say("The last turn is taken back; %zu %s left.\n", turns, turns == 1 ? "is" : "are");
    return TRAWL_OK;
}

static trawl_status run_retry(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    bool answered = c->answer.n_tokens > 0;
    if (!cli_chat_history_drop_answer(&c->history)) {
        return need(c, "There is no turn to answer again.");
    }
    if (answered && c->settings.request.temperature == 0) {
        cli_chat_say("(the temperature is 0: the answer is the same; /set temperature 0.7 makes others)\n");
    }
    c->retries += answered;
    return cli_chat_respond(c, err);
}

static trawl_status run_system(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    struct trawl_error why;
    if (n == 0) {
        const char *text = cli_chat_history_get_system(&c->history, &n);
        if (text == NULL) {
            cli_chat_say("There is no system message.\n");
        } else {
            cli_chat_say("%.*s\n", (int)n, text);
        }
        return TRAWL_OK;
    }
    bool none           = n == 4 && memcmp(rest, "none", 4) == 0;
    trawl_status status = cli_chat_history_system(&c->history, none ? NULL : rest, n, &why);
    if (status == TRAWL_OK) {
        cli_chat_say("The conversation %s the system message from its beginning on.\n",
                     none ? "is without" : "has");
    }
    return settle(c, status, &why, err);
}

/* ---- files ---- */

static trawl_status run_save(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    struct trawl_error why;
    char *path = NULL;
    if (n == 0) {
        return need(c, "/save needs the name of a file.");
    }
    TW_TRY(tw_strndup(rest, n, &path, err));
    trawl_status status = cli_chat_history_save(&c->history, path, &why);
    if (status == TRAWL_OK) {
        cli_chat_say("Saved %zu messages to %s.\n", json_array_size(c->history.messages), path);
    }
    tw_free(path);
    return settle(c, status, &why, err);
}

static trawl_status run_load(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    struct trawl_error why;
    char *path = NULL;
    if (n == 0) {
        return need(c, "/load needs the name of a file.");
    }
    TW_TRY(tw_strndup(rest, n, &path, err));
    trawl_status status = cli_chat_history_load(&c->history, path, &why);
    if (status == TRAWL_OK) {
        c->retries         = 0;
        c->answer.n_tokens = 0;
        cli_chat_say("Loaded %zu messages from %s.\n", json_array_size(c->history.messages), path);
    }
    tw_free(path);
    return settle(c, status, &why, err);
}

/* ---- settings ---- */

static trawl_status list_settings(struct cli_chat *c, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = cli_chat_settings_list(&c->settings, &text, err);
    if (status == TRAWL_OK) {
        cli_chat_say("%s", tw_str_text(&text));
    }
    tw_str_release(&text);
    return status;
}

static trawl_status set(struct cli_chat *c, const char *name, size_t n_name, const char *value, size_t n,
                        struct trawl_error *err)
{
    struct trawl_error why;
    bool seeded         = n_name == 4 && memcmp(name, "seed", 4) == 0;
    trawl_status status = cli_chat_set(&c->settings, name, n_name, value, n, &why);
    if (status == TRAWL_OK) {
        c->retries = seeded ? 0 : c->retries;
        cli_chat_say("%.*s is %.*s.\n", (int)n_name, name, (int)n, value);
    }
    return settle(c, status, &why, err);
}

static trawl_status run_set(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    size_t name = 0, value;
    if (n == 0) {
        return list_settings(c, err);
    }
    while (name < n && rest[name] != ' ' && rest[name] != '=') {
        name++;
    }
    for (value = name; value < n && (rest[value] == ' ' || rest[value] == '='); value++) {
    }
    if (value == n) {
        return need(
            c, "/set needs a name and a value: /set temperature 0.7; \"default\" takes back what was set.");
    }
    return set(c, rest, name, rest + value, n - value, err);
}

static bool is_word(const char *rest, size_t n, const char *word)
{
    return n == strlen(word) && memcmp(rest, word, n) == 0;
}

static trawl_status run_logprobs(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    if (n == 0 || is_word(rest, n, "on")) {
        return set(c, "logprobs", 8, "5", 1, err);
    }
    return is_word(rest, n, "off") ? set(c, "logprobs", 8, "0", 1, err) : set(c, "logprobs", 8, rest, n, err);
}

static trawl_status run_entropy(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    bool on = n == 0 || is_word(rest, n, "on");
    if (!on && !is_word(rest, n, "off")) {
        return need(c, "/entropy takes on or off.");
    }
    if (on && !c->color) {
        return need(c, "Standard output is no terminal with colours.");
    }
    TW_TRY(set(c, "show_entropy", 12, on ? "true" : "false", on ? 4 : 5, err));
    if (on) {
        cli_chat_say("Entropy in nats: below 0.5 plain, \x1b[32mbelow 1.5\x1b[0m, \x1b[33mbelow 3\x1b[0m, "
                     "\x1b[31mabove\x1b[0m; \x1b[4munderlined\x1b[0m: varentropy above 3.\n");
    }
    return TRAWL_OK;
}

/* ---- talk ---- */

static trawl_status run_stats(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    return cli_chat_show_stats(c, err);
}

static trawl_status run_tokens(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    return cli_chat_show_tokens(c, err);
}

static trawl_status run_quit(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    (void)rest;
    (void)n;
    (void)err;
    c->leaving = true;
    return TRAWL_OK;
}

static trawl_status run_help(struct cli_chat *c, const char *rest, size_t n, struct trawl_error *err)
{
    const struct command *all = commands();
    (void)c;
    (void)rest;
    (void)n;
    (void)err;
    for (size_t i = 0; i < CLI_CHAT_COMMANDS; i++) {
        size_t width = strlen(all[i].name) + strlen(all[i].rest) + 1;
        cli_chat_say("  %s %s%*s%s\n", all[i].name, all[i].rest, width < 22 ? (int)(22 - width) : 1, "",
                     all[i].help);
    }
    cli_chat_say("A line that ends with \\ goes on in the next one; \"\"\" begins and ends a text of several "
                 "lines;\n// begins one that has a slash. Ctrl-C stops an answer, Ctrl-D leaves.\n");
    return TRAWL_OK;
}

/* ---- finding them ---- */

static const struct command *commands(void)
{
    static const struct command all[CLI_CHAT_COMMANDS] = {
        {"/help", "", "this text", run_help},
        {"/reset", "", "forget the conversation, but not the system message", run_reset},
        {"/undo", "", "take back the last turn", run_undo},
        {"/retry", "", "answer the last turn again, with the next seed", run_retry},
        {"/system", "[TEXT]", "set the system message (none: take it away), or show it", run_system},
        {"/save", "FILE", "write the messages as a row of trawl generate --prompts_file", run_save},
        {"/load", "FILE", "go on with the messages of such a file", run_load},
        {"/set", "[NAME VALUE]", "change a setting (default: take that back), or show all", run_set},
        {"/stats", "", "figures of the conversation and the last answer", run_stats},
        {"/tokens", "", "the tokens of the last answer", run_tokens},
        {"/logprobs", "[on|off|N]", "show them after each answer, with N alternatives (5)", run_logprobs},
        {"/entropy", "[on|off]", "colour tokens by their entropy", run_entropy},
        {"/quit", "", "leave", run_quit},
    };
    return all;
}

void cli_chat_command_words(const char **words)
{
    for (size_t i = 0; i < CLI_CHAT_COMMANDS; i++) {
        words[i] = commands()[i].name;
    }
}

static trawl_status fail_unknown(struct cli_chat *c, const char *line, size_t n)
{
    size_t best               = SIZE_MAX;
    const struct command *all = commands(), *near = NULL;
    for (size_t i = 0; i < CLI_CHAT_COMMANDS; i++) {
        size_t distance = cli_edit_distance(line, n, all[i].name, strlen(all[i].name));
        if (distance < best && cli_near(distance, strlen(all[i].name))) {
            best = distance;
            near = &all[i];
        }
    }
    cli_chat_say("There is no command %.*s%s%s; // begins a message that has a slash.\n", (int)n, line,
                 near == NULL ? "" : ", did you mean ", near == NULL ? "" : near->name);
    c->n_failed++;
    return TRAWL_OK;
}

trawl_status cli_chat_command(struct cli_chat *c, const char *line, size_t n, struct trawl_error *err)
{
    size_t name = 0;
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t')) {
        n--;
    }
    while (name < n && line[name] != ' ' && line[name] != '\t') {
        name++;
    }
    size_t rest = name;
    while (rest < n && (line[rest] == ' ' || line[rest] == '\t')) {
        rest++;
    }
    const struct command *all = commands();
    if (memchr(line, '\0', n) != NULL) {
        return need(c, "A command has no NUL in it.");
    }
    for (size_t i = 0; i < CLI_CHAT_COMMANDS; i++) {
        if (strlen(all[i].name) == name && memcmp(all[i].name, line, name) == 0) {
            if (rest < n && all[i].rest[0] == '\0') {
                cli_chat_say("%s takes nothing behind it.\n", all[i].name);
                c->n_failed++;
                return TRAWL_OK;
            }
            return all[i].run(c, line + rest, n - rest, err);
        }
    }
    return fail_unknown(c, line, name);
}
