/* SPDX-License-Identifier: MIT */
/* Help, pages and completions are made from the table: whatever is in the table is in all of them. All commands
 * of the table are tried, also those without a handler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options/help.h"
#include "cli/terminal.h"

static int no_handler(const struct cli_args *args, struct trawl_error *err)
{
    (void)args;
    (void)err;
    return CLI_EXIT_DONE;
}

static const struct cli_entry all_entries[] = {
    {&cli_arc_run, no_handler},   {&cli_arc_transform, no_handler}, {&cli_arc_vote, no_handler},
    {&cli_arc_score, no_handler}, {&cli_arc_report, no_handler},    {&cli_generate, no_handler},
    {&cli_trace, no_handler},     {&cli_bench, no_handler},         {&cli_plan, no_handler},
    {&cli_shard, no_handler},     {&cli_tokenize, no_handler},      {&cli_info, no_handler},
    {&cli_help, no_handler},      {&cli_man, no_handler},           {&cli_completions, no_handler},
};
enum { N_ALL = sizeof all_entries / sizeof all_entries[0] };
static const struct cli_program all = {all_entries, N_ALL};

static void assert_has(const struct tw_str *text, const char *piece, const char *where)
{
    if (!strstr(tw_str_text(text), piece)) {
        fail_msg("%s lacks \"%s\"", where, piece);
    }
}

/* ---- the table itself ---- */

static void check_option(const struct cli_command *command, const struct cli_option *option)
{
    bool negated;
    size_t n = strlen(option->name);
    assert_int_equal(strspn(option->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), n);
    /* Unique: the first with this name, or with this alias, is this one. */
    assert_ptr_equal(cli_option_find(command, option->name, n, &negated), option);
    assert_false(negated);
    for (const char *p = option->aliases; p && *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        assert_ptr_equal(cli_option_find(command, p, strcspn(p, " "), &negated), option);
    }
    assert_non_null(option->help);
    if (option->help[strlen(option->help) - 1] == '.' && strstr(option->help, "...") == NULL) {
        fail_msg("%s --%s: the help line ends with a full stop", command->name, option->name);
    }
    if (option->text && option->text[strlen(option->text) - 1] != '.') {
        fail_msg("%s --%s: the text does not end with a full stop", command->name, option->name);
    }
    /* Help says what happens without the option. */
    if (option->type != CLI_FLAG && !option->required && !option->fallback && !option->unset) {
        fail_msg("%s --%s: neither required, nor a default, nor a word for none", command->name,
                 option->name);
    }
    assert_false(option->required && option->fallback);
}

static void table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ALL; i++) {
        const struct cli_command *command = all_entries[i].command;
        struct cli_iter it                = cli_iter_begin(command);
        const struct cli_option *option;
        while ((option = cli_iter_next(&it)) != NULL) {
            check_option(command, option);
        }
    }
}

/* Defaults pass their own checks: a line with only what is required is parsed. */
static void defaults_are_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ALL; i++) {
        const struct cli_command *command = all_entries[i].command;
        const char *words[32];
        char names[16][40];
        size_t n = 0, n_names = 0;
        struct cli_iter it = cli_iter_begin(command);
        const struct cli_option *option;
        while ((option = cli_iter_next(&it)) != NULL) {
            if (option->required) {
                (void)snprintf(names[n_names], sizeof names[0], "--%s", option->name);
                words[n++] = names[n_names++];
                words[n++] = "x";
            }
        }
        for (size_t k = 0; k < command->operand.min; k++) {
            words[n++] = "x";
        }
        struct cli_args *args;
        struct trawl_error err;
        if (cli_args_parse(command, n, words, &args, &err) != TRAWL_OK) {
            fail_msg("%s: %s", command->name, err.message);
        }
        cli_args_free(args);
    }
}

/* Examples of the help texts are command lines like any other. */
static void examples_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ALL; i++) {
        for (size_t e = 0; all_entries[i].command->examples[e].command; e++) {
            char line[512];
            const char *words[64];
            size_t n = 0, n_name;
            (void)snprintf(line, sizeof line, "%s", all_entries[i].command->examples[e].command);
            for (char *p = line; *(p += strspn(p, " ")) && *p != '>' && *p != '|';) {
                bool quoted = *p == '"';
                words[n++]  = p + quoted;
                p += quoted ? strcspn(p + 1, "\"") + 1 : strcspn(p, " ");
                if (*p) {
                    *p++ = '\0';
                }
            }
            const struct cli_entry *entry = cli_find_command(&all, n, words, &n_name);
            assert_ptr_equal(entry, &all_entries[i]);
            struct cli_args *args;
            struct trawl_error err;
            if (cli_args_parse(entry->command, n - n_name, words + n_name, &args, &err) != TRAWL_OK) {
                fail_msg("example of %s: %s", entry->command->name, err.message);
            }
            cli_args_free(args);
        }
    }
}

/* ---- texts ---- */

static void help_has_all(void **state)
{
    (void)state;
    static const size_t widths[] = {0, 60, 80, 100, 200};
    for (size_t i = 0; i < N_ALL * 5; i++) {
        const struct cli_command *command = all_entries[i % N_ALL].command;
        size_t width                      = widths[i / N_ALL];
        struct tw_str text;
        tw_str_init(&text, 0);
        assert_int_equal(cli_help_command(command, width, &text, NULL), TRAWL_OK);
        struct cli_iter it = cli_iter_begin(command);
        const struct cli_option *option;
        while ((option = cli_iter_next(&it)) != NULL) {
            char name[64];
            (void)snprintf(name, sizeof name, "--%s", option->name);
            assert_has(&text, name, command->name);
        }
        /* Lines of prose fit; only names, values and examples may be longer. */
        for (const char *p = tw_str_text(&text); width >= 60 && *p; p += strcspn(p, "\n") + 1) {
            bool prose = strncmp(p, "                              ", 30) == 0;
            if (prose && strcspn(p, "\n") > width && strcspn(p + 30, " \n") + 30 < width) {
                fail_msg("%s: %zu columns at width %zu", command->name, strcspn(p, "\n"), width);
            }
        }
        tw_str_release(&text);
    }
}

static void overview_has_all(void **state)
{
    (void)state;
    struct tw_str text;
    tw_str_init(&text, 0);
    assert_int_equal(cli_help_overview(&all, NULL, 80, &text, NULL), TRAWL_OK);
    for (size_t i = 0; i < N_ALL; i++) {
        assert_has(&text, all_entries[i].command->name, "overview");
    }
    tw_str_reset(&text);
    assert_int_equal(cli_help_overview(&all, &cli_families[0], 80, &text, NULL), TRAWL_OK);
    assert_has(&text, "arc vote", "overview of arc");
    assert_null(strstr(tw_str_text(&text), "tokenize"));
    tw_str_release(&text);
}

static void pages_have_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ALL; i++) {
        const struct cli_command *command = all_entries[i].command;
        struct tw_str text;
        tw_str_init(&text, 0);
        assert_int_equal(cli_man_page(&all, NULL, command, &text, NULL), TRAWL_OK);
        struct cli_iter it = cli_iter_begin(command);
        const struct cli_option *option;
        while ((option = cli_iter_next(&it)) != NULL) {
            char name[64];
            (void)snprintf(name, sizeof name, "\\fB\\-\\-%s\\fR", option->name);
            assert_has(&text, name, command->name);
        }
        tw_str_release(&text);
    }
}

static void completions_have_all(void **state)
{
    (void)state;
    static const struct {
        const char *shell, *format;
    } shells[] = {{"bash", "--%s "}, {"zsh", "'--%s["}, {"fish", " -l %s "}};
    for (size_t s = 0; s < 3; s++) {
        struct tw_str text;
        tw_str_init(&text, 0);
        assert_int_equal(cli_completions_write(&all, shells[s].shell, &text, NULL), TRAWL_OK);
        for (size_t i = 0; i < N_ALL; i++) {
            struct cli_iter it = cli_iter_begin(all_entries[i].command);
            const struct cli_option *option;
            while ((option = cli_iter_next(&it)) != NULL) {
                char piece[80];
                const char *percent = strchr(shells[s].format, '%');
                (void)snprintf(piece, sizeof piece, "%.*s%s%s", (int)(percent - shells[s].format),
                               shells[s].format, option->name, percent + 2);
                assert_has(&text, piece, shells[s].shell);
            }
        }
        tw_str_release(&text);
    }
    struct trawl_error err;
    assert_int_equal(cli_completions_write(&all, "csh", NULL, &err), TRAWL_ERR_INVALID);
    assert_string_equal(err.message, "no completions for \"csh\", expected bash, zsh or fish");
}

/* ---- commands ---- */

static void commands_are_found(void **state)
{
    (void)state;
    size_t n;
    const char *const run[] = {"arc", "run", "--x"}, *const vot[] = {"arc", "vot"},
                      *const tok[] = {"tokenise"}, *const none[] = {"zzzzzz"},
                      *const info[] = {"info", "arc"};
    assert_ptr_equal(cli_find_command(&all, 3, run, &n)->command, &cli_arc_run);
    assert_int_equal(n, 2);
    assert_ptr_equal(cli_find_command(&all, 2, info, &n)->command, &cli_info);
    assert_int_equal(n, 1);
    assert_null(cli_find_command(&all, 1, run, &n));
    assert_string_equal(cli_command_nearest(&all, 2, vot), "arc vote");
    assert_string_equal(cli_command_nearest(&all, 1, tok), "tokenize");
    assert_null(cli_command_nearest(&all, 1, none));
    assert_non_null(cli_find_family(&all, "arc"));
    assert_null(cli_find_family(&all, "tokenize"));
}

static void exit_codes(void **state)
{
    (void)state;
    assert_int_equal(cli_exit_code(TRAWL_OK), 0);
    assert_int_equal(cli_exit_code(TRAWL_ERR_FORMAT), 1);
    assert_int_equal(cli_exit_code(TRAWL_ERR_INVALID), 2);
    assert_int_equal(cli_exit_code(TRAWL_ERR_CANCELLED), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),       cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(examples_parse),       cmocka_unit_test(help_has_all),
        cmocka_unit_test(overview_has_all),     cmocka_unit_test(pages_have_all),
        cmocka_unit_test(completions_have_all), cmocka_unit_test(commands_are_found),
        cmocka_unit_test(exit_codes),
    };
    return cmocka_run_group_tests_name("cli texts", tests, NULL, NULL);
}
