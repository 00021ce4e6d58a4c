/* SPDX-License-Identifier: MIT */
/* help, man, completions: what the table says about itself. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/cmd.h"
#include "cli/options/help.h"
#include "cli/terminal.h"

/* The command or family that the operands name; both NULL without operands. */
static trawl_status find_topic(const struct cli_args *args, const struct cli_command **command,
                               const struct cli_family **family, struct trawl_error *err)
{
    const char *words[2];
    size_t n = cli_operands(args), n_words;
    for (size_t i = 0; i < n; i++) {
        words[i] = cli_operand(args, i);
    }
    *command = NULL;
    *family  = NULL;
    if (n == 0) {
        return TRAWL_OK;
    }
    const struct cli_entry *entry = cli_find_command(cli_program(), n, words, &n_words);
    if (entry && n_words == n) {
        *command = entry->command;
        return TRAWL_OK;
    }
    *family = n == 1 ? cli_find_family(cli_program(), words[0]) : NULL;
    if (*family) {
        return TRAWL_OK;
    }
    const char *near = cli_command_nearest(cli_program(), n, words);
    return tw_fail(err, TRAWL_ERR_INVALID, "unknown command \"%s%s%s\"%s%s%s", words[0], n > 1 ? " " : "",
                   n > 1 ? words[1] : "", near ? ", did you mean \"" : "", near ? near : "",
                   near ? "\"?" : "");
}

static int print(trawl_status status, struct tw_str *text, struct trawl_error *err)
{
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(text), text->size, err);
    }
    tw_str_release(text);
    return cli_exit_code(status);
}

int cmd_help(const struct cli_args *args, struct trawl_error *err)
{
    const struct cli_command *command;
    const struct cli_family *family;
    struct tw_str text;
    size_t width = cli_terminal_width(stdout, 100);
    tw_str_init(&text, 0);
    trawl_status status = find_topic(args, &command, &family, err);
    if (status == TRAWL_OK) {
        status = command ? cli_help_command(command, width, &text, err)
                         : cli_help_overview(cli_program(), family, width, &text, err);
    }
    return print(status, &text, err);
}

static trawl_status write_page(const char *dir, const struct cli_family *family,
                               const struct cli_command *command, struct trawl_error *err)
{
    struct tw_str text, name;
    char *path = NULL;
    tw_str_init(&text, 0);
    tw_str_init(&name, 0);
    trawl_status status = cli_man_page(cli_program(), family, command, &text, err);
    if (status == TRAWL_OK) {
        status = cli_man_name(command ? command->name : family ? family->name : NULL, &name, err);
    }
    if (status == TRAWL_OK) {
        status = tw_path_join(dir, tw_str_text(&name), &path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, text.data, text.size, err);
    }
    tw_free(path);
    tw_str_release(&name);
    tw_str_release(&text);
    return status;
}

static trawl_status write_all_pages(const char *dir, struct trawl_error *err)
{
    const struct cli_program *program = cli_program();
    TW_TRY(tw_make_dirs(dir, err));
    TW_TRY(write_page(dir, NULL, NULL, err));
    for (const struct cli_family *f = cli_families; f->name; f++) {
        if (cli_family_next(program, f, NULL)) {
            TW_TRY(write_page(dir, f, NULL, err));
        }
    }
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(write_page(dir, NULL, program->entries[i].command, err));
    }
    return TRAWL_OK;
}

int cmd_man(const struct cli_args *args, struct trawl_error *err)
{
    const struct cli_command *command;
    const struct cli_family *family;
    struct tw_str text;
    if (cli_given(args, "output_dir")) {
        if (cli_operands(args) > 0) {
            return cli_exit_code(tw_fail(err, TRAWL_ERR_INVALID,
                                         "--output_dir writes all pages: leave \"%s\" out",
                                         cli_operand(args, 0)));
        }
        return cli_exit_code(write_all_pages(cli_get_string(args, "output_dir"), err));
    }
    tw_str_init(&text, 0);
    trawl_status status = find_topic(args, &command, &family, err);
    if (status == TRAWL_OK) {
        status = cli_man_page(cli_program(), family, command, &text, err);
    }
    return print(status, &text, err);
}

int cmd_completions(const struct cli_args *args, struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = cli_completions_write(cli_program(), cli_operand(args, 0), &text, err);
    return print(status, &text, err);
}
