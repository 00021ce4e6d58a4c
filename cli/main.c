/* SPDX-License-Identifier: MIT */
/* trawl <command> [<subcommand>] [options] */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_engine.h"
#include "cli/options/help.h"
#include "cli/terminal.h"

static int finish(const char *command, int code, struct trawl_error *err)
{
    /* A result that did not reach its reader is not done. */
    struct trawl_error flush_err = {0};
    if (cli_flush(&flush_err) != TRAWL_OK && err->os_error == 0) {
        *err = flush_err;
        code = CLI_EXIT_FAILED;
    }
    if (err->os_error == EPIPE && ferror(stdout)) {
        /* The reader of a pipe has seen enough: end as programs do that know nothing of it. */
        (void)signal(SIGPIPE, SIG_DFL);
        (void)raise(SIGPIPE);
    }
    if (code != CLI_EXIT_DONE && err->message[0]) {
        (void)fprintf(stderr, "trawl%s%s: %s\n", *command ? " " : "", command, err->message);
    }
    return code;
}

static int print(const char *command, trawl_status status, struct tw_str *text, struct trawl_error *err)
{
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(text), text->size, err);
    }
    tw_str_release(text);
    return finish(command, cli_exit_code(status), err);
}

/* The command on rank 0, its helpers on the others. What there is to say is said before the world is left,
 * which may be the end of the process. */
static int run_in_world(const struct cli_entry *entry, struct cli_args *args, struct trawl_error *err)
{
    trawl_world *world = NULL;
    if (trawl_world_open(&world, err) != TRAWL_OK) {
        return finish(entry->command->name, CLI_EXIT_FAILED, err);
    }
    cli_args_set_world(args, world);
    cli_run_fn *run = trawl_world_rank(world) == 0 ? entry->run : cli_serve;
    int code        = finish(entry->command->name, run(args, err), err);
    trawl_world_close(&world);
    return code;
}

static int run_command(const struct cli_entry *entry, size_t argc, const char *const *argv)
{
    struct trawl_error err = {0};
    struct cli_args *args  = NULL;
    const char *name       = entry->command->name;
    if (cli_args_parse(entry->command, argc, argv, &args, &err) != TRAWL_OK) {
        return finish(name, cli_exit_code(err.status), &err);
    }
    if (cli_get_flag(args, "help")) {
        struct tw_str text;
        tw_str_init(&text, 0);
        cli_args_free(args);
        trawl_status status = cli_help_command(entry->command, cli_terminal_width(stdout, 100), &text, &err);
        return print(name, status, &text, &err);
    }
    int code = cli_needs_world(entry->command) ? run_in_world(entry, args, &err)
                                               : finish(name, entry->run(args, &err), &err);
    cli_args_free(args);
    return code;
}

static int show_overview(const struct cli_family *family)
{
    struct trawl_error err = {0};
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status =
        cli_help_overview(cli_program(), family, cli_terminal_width(stdout, 100), &text, &err);
    return print("", status, &text, &err);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Words that name no command, and are not a question for help either. */
static int fail_words(size_t argc, const char *const *argv, const struct cli_family *family)
{
    struct trawl_error err = {0};
    const char *near       = cli_command_nearest(cli_program(), argc, argv);
    if (family && argc == 1) {
        (void)tw_fail(&err, TRAWL_ERR_INVALID, "which one? trawl %s --help lists the commands", family->name);
    } else if (argv[0][0] == '-') {
        (void)tw_fail(&err, TRAWL_ERR_INVALID,
                      "the command comes first, found \"%s\"; trawl --help lists the commands", argv[0]);
    } else if (near) {
        (void)tw_fail(&err, TRAWL_ERR_INVALID, "unknown command \"%s\", did you mean trawl %s?",
                      argv[family ? 1 : 0], near);
    } else {
        (void)tw_fail(&err, TRAWL_ERR_INVALID, "unknown command \"%s\"; trawl %s%s--help lists the commands",
                      argv[family ? 1 : 0], family ? family->name : "", family ? " " : "");
    }
    return finish(family ? family->name : "", CLI_EXIT_USAGE, &err);
}

/* The first words are no command: help, version, a family, or a mistake. */
static int run_words(size_t argc, const char *const *argv)
{
    if (is_help(argv[0])) {
        return show_overview(NULL);
    }
    if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0) {
        struct trawl_error err = {0};
        (void)printf("trawl %s\n", cli_version());
        return finish("", CLI_EXIT_DONE, &err);
    }
    const struct cli_family *family = cli_find_family(cli_program(), argv[0]);
    if (family && argc > 1 && is_help(argv[1])) {
        return show_overview(family);
    }
    return fail_words(argc, argv, family);
}

int main(int argc, char **argv)
{
    cli_interrupt_install();
    if (argc < 2) {
        struct trawl_error err = {0};
        (void)tw_fail(&err, TRAWL_ERR_INVALID, "which command? trawl --help lists them");
        return finish("", CLI_EXIT_USAGE, &err);
    }
    size_t n                      = (size_t)argc - 1, n_words;
    const char *const *words      = (const char *const *)(argv + 1);
    const struct cli_entry *entry = cli_find_command(cli_program(), n, words, &n_words);
    return entry ? run_command(entry, n - n_words, words + n_words) : run_words(n, words);
}
