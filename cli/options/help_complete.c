/* SPDX-License-Identifier: MIT */
/* Completion scripts for bash, zsh and fish. */
#include <string.h>

#include "cli/options/help.h"

/* Text inside single quotes of a shell. */
static trawl_status put_quoted(struct tw_str *out, const char *text, struct trawl_error *err)
{
    for (const char *p = text; *p; p++) {
        TW_TRY(*p == '\'' ? tw_str_puts(out, "'\\''", err) : tw_str_putc(out, *p, err));
    }
    return TRAWL_OK;
}

/* "a|b" as "a b". */
static trawl_status put_choices(struct tw_str *out, const char *choices, struct trawl_error *err)
{
    for (const char *p = choices; *p; p++) {
        TW_TRY(tw_str_putc(out, *p == '|' ? ' ' : *p, err));
    }
    return TRAWL_OK;
}

static bool is_path(const struct cli_option *option)
{
    return option->type == CLI_PATH || option->type == CLI_PATHS;
}

static bool wants_dir(const struct cli_option *option)
{
    return is_path(option) && strcmp(cli_option_value(option), "DIR") == 0;
}

/* First words of all commands, each once. */
static trawl_status put_first_words(const struct cli_program *program, struct tw_str *out,
                                    struct trawl_error *err)
{
    const char *last = "";
    size_t last_n    = 0;
    for (size_t i = 0; i < program->n_entries; i++) {
        const char *name = program->entries[i].command->name;
        size_t n         = strcspn(name, " ");
        if (n != last_n || memcmp(name, last, n) != 0) {
            TW_TRY(tw_str_printf(out, err, "%.*s ", (int)n, name));
        }
        last   = name;
        last_n = n;
    }
    return TRAWL_OK;
}

static trawl_status put_option_names(const struct cli_command *command, struct tw_str *out,
                                     struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    while ((option = cli_iter_next(&it)) != NULL) {
        TW_TRY(tw_str_printf(out, err, "--%s ", option->name));
        if (option->fallback && cli_option_negatable(option)) {
            TW_TRY(tw_str_printf(out, err, "--no_%s ", option->name));
        }
    }
    return TRAWL_OK;
}

/* ---- bash ---- */

static trawl_status put_bash_command(const struct cli_command *command, struct tw_str *out,
                                     struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    TW_TRY(tw_str_printf(out, err, "    '%s')\n        case \"$prev\" in\n", command->name));
    while ((option = cli_iter_next(&it)) != NULL) {
        if (option->choices) {
            TW_TRY(tw_str_printf(out, err, "        --%s) COMPREPLY=($(compgen -W '", option->name));
            TW_TRY(put_choices(out, option->choices, err));
            TW_TRY(tw_str_puts(out, "' -- \"$cur\")); return ;;\n", err));
        } else if (is_path(option)) {
            TW_TRY(tw_str_printf(
                out, err,
                "        --%s) compopt -o filenames; COMPREPLY=($(compgen -%c -- \"$cur\")); return ;;\n",
                option->name, wants_dir(option) ? 'd' : 'f'));
        }
    }
    TW_TRY(tw_str_puts(out, "        esac\n        words='", err));
    TW_TRY(put_option_names(command, out, err));
    if (command->operand.choices && command->operand.choices[0] != '@') {
        TW_TRY(put_choices(out, command->operand.choices, err));
    }
    return tw_str_puts(out, "' ;;\n", err);
}

static trawl_status put_bash(const struct cli_program *program, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out,
                       "# bash completion for trawl; made by trawl completions bash\n"
                       "_trawl()\n{\n"
                       "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" "
                       "command words family\n"
                       "    # dashes inside a name are underscores\n"
                       "    [[ $cur == --* ]] && { cur=\"${cur:2}\"; cur=\"--${cur//-/_}\"; }\n"
                       "    [[ $prev == --* ]] && { prev=\"${prev:2}\"; prev=\"--${prev//-/_}\"; }\n"
                       "    command=\"${COMP_WORDS[1]}\"\n    case \"$command\" in\n",
                       err));
    for (const struct cli_family *f = cli_families; f->name; f++) {
        if (cli_family_next(program, f, NULL)) {
            TW_TRY(tw_str_printf(out, err, "    %s) family=1; command=\"$command ${COMP_WORDS[2]}\" ;;\n",
                                 f->name));
        }
    }
    TW_TRY(tw_str_puts(out, "    esac\n    if ((COMP_CWORD == 1)); then\n        words='", err));
    TW_TRY(put_first_words(program, out, err));
    TW_TRY(tw_str_puts(out,
                       "--help --version'\n    elif ((COMP_CWORD == 2)) && [[ $family ]]; then\n"
                       "        case \"${COMP_WORDS[1]}\" in\n",
                       err));
    for (const struct cli_family *f = cli_families; f->name; f++) {
        TW_TRY(tw_str_printf(out, err, "        %s) words='", f->name));
        for (const struct cli_entry *e = NULL; (e = cli_family_next(program, f, e)) != NULL;) {
            TW_TRY(tw_str_printf(out, err, "%s ", e->command->name + strlen(f->name) + 1));
        }
        TW_TRY(tw_str_puts(out, "--help' ;;\n", err));
    }
    TW_TRY(tw_str_puts(out, "        esac\n    else\n    case \"$command\" in\n", err));
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(put_bash_command(program->entries[i].command, out, err));
    }
    return tw_str_puts(out,
                       "    esac\n    fi\n"
                       "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                       "}\ncomplete -o default -F _trawl trawl\n",
                       err);
}

/* ---- zsh ---- */

/* In _arguments specifications ':' and brackets are syntax. */
static trawl_status put_zsh_text(struct tw_str *out, const char *text, struct trawl_error *err)
{
    for (const char *p = text; *p; p++) {
        if (strchr(":[]\\", *p)) {
            TW_TRY(tw_str_putc(out, '\\', err));
        }
        TW_TRY(*p == '\'' ? tw_str_puts(out, "'\\''", err) : tw_str_putc(out, *p, err));
    }
    return TRAWL_OK;
}

static trawl_status put_zsh_option(const struct cli_option *option, struct tw_str *out,
                                   struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, " \\\n            '--%s[", option->name));
    TW_TRY(put_zsh_text(out, option->help, err));
    TW_TRY(tw_str_puts(out, "]", err));
    if (option->type != CLI_FLAG) {
        TW_TRY(tw_str_puts(out, option->bare ? "::" : ":", err));
        TW_TRY(put_zsh_text(out, option->choices ? option->name : cli_option_value(option), err));
        TW_TRY(tw_str_puts(out, ":", err));
        if (option->choices) {
            TW_TRY(tw_str_puts(out, "(", err));
            TW_TRY(put_choices(out, option->choices, err));
            TW_TRY(tw_str_puts(out, ")", err));
        } else if (is_path(option)) {
            TW_TRY(tw_str_puts(out, wants_dir(option) ? "_files -/" : "_files", err));
        }
    }
    TW_TRY(tw_str_puts(out, "'", err));
    if (option->fallback && cli_option_negatable(option)) {
        TW_TRY(tw_str_printf(out, err, " \\\n            '--no_%s[do not: ", option->name));
        TW_TRY(put_zsh_text(out, option->help, err));
        TW_TRY(tw_str_puts(out, "]'", err));
    }
    return TRAWL_OK;
}

static trawl_status put_zsh_list(const struct cli_program *program, const struct cli_family *family,
                                 struct tw_str *out, struct trawl_error *err)
{
    for (size_t i = 0; i < program->n_entries; i++) {
        const struct cli_command *command = program->entries[i].command;
        const char *name                  = command->name;
        size_t skip                       = family ? strlen(family->name) + 1 : 0;
        if (family ? strncmp(name, family->name, skip - 1) != 0 || name[skip - 1] != ' '
                   : strchr(name, ' ') != NULL) {
            continue;
        }
        TW_TRY(tw_str_printf(out, err, " '%s:", name + skip));
        TW_TRY(put_quoted(out, command->summary, err));
        TW_TRY(tw_str_puts(out, "'", err));
    }
    for (const struct cli_family *f = cli_families; !family && f->name; f++) {
        if (cli_family_next(program, f, NULL)) {
            TW_TRY(tw_str_printf(out, err, " '%s:", f->name));
            TW_TRY(put_quoted(out, f->summary, err));
            TW_TRY(tw_str_puts(out, "'", err));
        }
    }
    return TRAWL_OK;
}

static trawl_status put_zsh_command(const struct cli_command *command, struct tw_str *out,
                                    struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    TW_TRY(tw_str_printf(out, err, "    '%s')\n        _arguments", command->name));
    while ((option = cli_iter_next(&it)) != NULL) {
        TW_TRY(put_zsh_option(option, out, err));
    }
    if (command->operand.choices && command->operand.choices[0] != '@') {
        TW_TRY(tw_str_puts(out, " \\\n            '1: :(", err));
        TW_TRY(put_choices(out, command->operand.choices, err));
        TW_TRY(tw_str_puts(out, ")'", err));
    }
    return tw_str_puts(out, " ;;\n", err);
}

static trawl_status put_zsh(const struct cli_program *program, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out,
                       "#compdef trawl\n# made by trawl completions zsh\n_trawl()\n{\n"
                       "    local -a names\n    local command=$words[2] level=1\n"
                       "    if ((CURRENT == 2)); then\n        names=(",
                       err));
    TW_TRY(put_zsh_list(program, NULL, out, err));
    TW_TRY(tw_str_puts(
        out, ")\n        _describe command names\n        return\n    fi\n    case $command in\n", err));
    for (const struct cli_family *f = cli_families; f->name; f++) {
        TW_TRY(tw_str_printf(out, err, "    %s)\n        if ((CURRENT == 3)); then\n            names=(",
                             f->name));
        TW_TRY(put_zsh_list(program, f, out, err));
        TW_TRY(tw_str_puts(out,
                           ")\n            _describe command names\n            return\n        fi\n"
                           "        command=\"$command $words[3]\"\n        level=2 ;;\n",
                           err));
    }
    TW_TRY(tw_str_puts(
        out, "    esac\n    shift $level words\n    ((CURRENT -= level))\n    case $command in\n", err));
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(put_zsh_command(program->entries[i].command, out, err));
    }
    return tw_str_puts(out,
                       "    esac\n}\nif [[ $funcstack[1] == _trawl ]]; then\n    _trawl \"$@\"\nelse\n"
                       "    compdef _trawl trawl\nfi\n",
                       err);
}

/* ---- fish ---- */

static trawl_status put_fish_condition(const char *name, struct tw_str *out, struct trawl_error *err)
{
    const char *second = strchr(name, ' ');
    int n              = second ? (int)(second - name) : (int)strlen(name);
    TW_TRY(tw_str_printf(out, err, "complete -c trawl -n '__fish_seen_subcommand_from %.*s", n, name));
    if (second) {
        TW_TRY(tw_str_printf(out, err, "; and __fish_seen_subcommand_from %s", second + 1));
    }
    return tw_str_puts(out, "'", err);
}

static trawl_status put_fish_command(const struct cli_command *command, struct tw_str *out,
                                     struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    while ((option = cli_iter_next(&it)) != NULL) {
        TW_TRY(put_fish_condition(command->name, out, err));
        TW_TRY(tw_str_printf(out, err, " -l %s", option->name));
        if (option->choices) {
            TW_TRY(tw_str_puts(out, " -x -a '", err));
            TW_TRY(put_choices(out, option->choices, err));
            TW_TRY(tw_str_puts(out, "'", err));
        } else if (option->type != CLI_FLAG) {
            TW_TRY(tw_str_puts(out,
                               wants_dir(option) ? " -x -a '(__fish_complete_directories)'"
                               : is_path(option) ? " -r -F"
                                                 : " -x",
                               err));
        }
        TW_TRY(tw_str_puts(out, " -d '", err));
        TW_TRY(put_quoted(out, option->help, err));
        TW_TRY(tw_str_puts(out, "'\n", err));
    }
    if (command->operand.choices && command->operand.choices[0] != '@') {
        TW_TRY(put_fish_condition(command->name, out, err));
        TW_TRY(tw_str_puts(out, " -a '", err));
        TW_TRY(put_choices(out, command->operand.choices, err));
        TW_TRY(tw_str_puts(out, "'\n", err));
    }
    return TRAWL_OK;
}

static trawl_status put_fish_name(const struct cli_program *program, const struct cli_command *command,
                                  struct tw_str *out, struct trawl_error *err)
{
    const char *second = strchr(command->name, ' ');
    TW_TRY(tw_str_puts(out, "complete -c trawl -n '", err));
    if (second) {
        int n = (int)(second - command->name);
        TW_TRY(tw_str_printf(out, err,
                             "__fish_seen_subcommand_from %.*s; and not __fish_seen_subcommand_from", n,
                             command->name));
        for (size_t i = 0; i < program->n_entries; i++) {
            const char *other = program->entries[i].command->name;
            if (strncmp(other, command->name, (size_t)n + 1) == 0) {
                TW_TRY(tw_str_puts(out, strchr(other, ' '), err));
            }
        }
    } else {
        TW_TRY(tw_str_puts(out, "__fish_use_subcommand", err));
    }
    TW_TRY(tw_str_printf(out, err, "' -f -a '%s' -d '", second ? second + 1 : command->name));
    TW_TRY(put_quoted(out, command->summary, err));
    return tw_str_puts(out, "'\n", err);
}

static trawl_status put_fish(const struct cli_program *program, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(
        out, "# fish completion for trawl; made by trawl completions fish\ncomplete -c trawl -f\n", err));
    for (const struct cli_family *f = cli_families; f->name; f++) {
        TW_TRY(
            tw_str_printf(out, err, "complete -c trawl -n __fish_use_subcommand -f -a '%s' -d '", f->name));
        TW_TRY(put_quoted(out, f->summary, err));
        TW_TRY(tw_str_puts(out, "'\n", err));
    }
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(put_fish_name(program, program->entries[i].command, out, err));
        TW_TRY(put_fish_command(program->entries[i].command, out, err));
    }
    return TRAWL_OK;
}

trawl_status cli_completions_write(const struct cli_program *program, const char *shell, struct tw_str *out,
                                   struct trawl_error *err)
{
    if (strcmp(shell, "bash") == 0) {
        return put_bash(program, out, err);
    }
    if (strcmp(shell, "zsh") == 0) {
        return put_zsh(program, out, err);
    }
    if (strcmp(shell, "fish") == 0) {
        return put_fish(program, out, err);
    }
    return tw_fail(err, TRAWL_ERR_INVALID, "no completions for \"%s\", expected bash, zsh or fish", shell);
}
