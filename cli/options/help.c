/* SPDX-License-Identifier: MIT */
/* Help on the terminal. */
#include "cli/options/help.h"

#include <string.h>

#include "cli/terminal.h"

enum { NAME_COLUMN = 30, MIN_WIDTH = 60 };

/* Words of `text` from column `column` on, wrapped at `width`, further lines indented by `indent`; ends with a
 * newline. */
static trawl_status wrap(struct tw_str *out, const char *text, size_t column, size_t indent, size_t width,
                         struct trawl_error *err)
{
    bool first = true;
    while (*(text += strspn(text, " \n"))) {
        size_t n    = strcspn(text, " \n");
        size_t need = cli_text_width(text, n);
        if (!first && column + 1 + need > width) {
            TW_TRY(tw_str_printf(out, err, "\n%*s", (int)indent, ""));
            column = indent;
            first  = true;
        }
        TW_TRY(tw_str_printf(out, err, "%s%.*s", first ? "" : " ", (int)n, text));
        column += need + !first;
        first = false;
        text += n;
    }
    return tw_str_putc(out, '\n', err);
}

trawl_status cli_help_default(const struct cli_option *option, struct tw_str *out, struct trawl_error *err)
{
    bool verbatim = !option->fallback || option->type != CLI_STRING || option->choices;
    if (option->required) {
        return tw_str_puts(out, "required", err);
    }
    if (option->type == CLI_FLAG) {
        return option->fallback ? tw_str_printf(out, err, "default: on; --no_%s turns it off", option->name)
                                : TRAWL_OK;
    }
    if (!option->fallback) {
        return option->unset ? tw_str_printf(out, err, "default: %s", option->unset) : TRAWL_OK;
    }
    return tw_str_printf(out, err, verbatim ? "default: %s" : "default: \"%s\"", option->fallback);
}

static trawl_status put_option(const struct cli_option *option, size_t width, struct tw_str *out,
                               struct trawl_error *err)
{
    size_t begin      = out->size;
    const char *value = cli_option_value(option);
    struct tw_str text;
    TW_TRY(tw_str_puts(out, "  ", err));
    for (const char *p = option->aliases; p && *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        if (strcspn(p, " ") == 1) {
            TW_TRY(tw_str_printf(out, err, "-%c, ", *p));
        }
    }
    TW_TRY(tw_str_printf(out, err, "--%s%s", option->name, *value ? " " : ""));
    TW_TRY(tw_str_printf(out, err, option->bare ? "[%s]" : "%s", value));
    if (option->type == CLI_INTS || option->type == CLI_NAMES || option->type == CLI_STRINGS ||
        option->type == CLI_PATHS) {
        TW_TRY(tw_str_puts(out, " ...", err));
    }
    size_t used = cli_text_width(out->data + begin, out->size - begin);
    if (used + 2 > NAME_COLUMN) {
        TW_TRY(tw_str_printf(out, err, "\n%*s", NAME_COLUMN, ""));
    } else {
        TW_TRY(tw_str_printf(out, err, "%*s", (int)(NAME_COLUMN - used), ""));
    }
    tw_str_init(&text, 0);
    trawl_status status = tw_str_printf(&text, err, "%s (", option->help);
    size_t before       = text.size;
    if (status == TRAWL_OK) {
        status = cli_help_default(option, &text, err);
    }
    if (status == TRAWL_OK && text.size > before) {
        status = tw_str_putc(&text, ')', err);
    } else if (status == TRAWL_OK) {
        text.data[before - 2] = '\0';
    }
    if (status == TRAWL_OK) {
        status = wrap(out, tw_str_text(&text), NAME_COLUMN, NAME_COLUMN, width, err);
    }
    tw_str_release(&text);
    return status;
}

static trawl_status put_usage(const struct cli_command *command, size_t width, struct tw_str *out,
                              struct trawl_error *err)
{
    const struct cli_operand *operand = &command->operand;
    struct cli_iter it                = cli_iter_begin(command);
    const struct cli_option *option;
    struct tw_str line;
    tw_str_init(&line, 0);
    trawl_status status = tw_str_printf(&line, err, "trawl %s", command->name);
    while (status == TRAWL_OK && (option = cli_iter_next(&it)) != NULL) {
        if (option->required) {
            status = tw_str_printf(&line, err, " --%s %s", option->name, cli_option_value(option));
        }
    }
    if (status == TRAWL_OK && operand->max > 0) {
        status = tw_str_printf(&line, err, operand->min ? " %s" : " [%s]", operand->value);
    }
    if (status == TRAWL_OK) {
        status = tw_str_puts(&line, " [options]", err);
    }
    if (status == TRAWL_OK) {
        status = tw_str_puts(out, "Usage: ", err);
    }
    if (status == TRAWL_OK) {
        status = wrap(out, tw_str_text(&line), 7, 7, width, err);
    }
    tw_str_release(&line);
    return status;
}

trawl_status cli_help_command(const struct cli_command *command, size_t width, struct tw_str *out,
                              struct trawl_error *err)
{
    const struct cli_group *group;
    width = width < MIN_WIDTH ? MIN_WIDTH : width;
    TW_TRY(tw_str_printf(out, err, "trawl %s: %s\n\n", command->name, command->summary));
    TW_TRY(put_usage(command, width, out, err));
    if (command->operand.max > 0) {
        const struct cli_operand *operand = &command->operand;
        bool listed                       = operand->choices && operand->choices[0] != '@';
        TW_TRY(tw_str_printf(out, err, "\n  %s: %s%s%s\n", operand->value, operand->help, listed ? ", " : "",
                             listed ? operand->choices : ""));
    }
    for (size_t g = 0; (group = cli_command_group(command, g)) != NULL; g++) {
        TW_TRY(tw_str_printf(out, err, "\n%s\n", group->title));
        for (size_t i = 0; i < group->n_options; i++) {
            TW_TRY(put_option(&group->options[i], width, out, err));
        }
    }
    for (size_t i = 0; command->examples[i].command; i++) {
        TW_TRY(tw_str_printf(out, err, "%s  # ", i == 0 ? "\nExamples\n" : ""));
        TW_TRY(wrap(out, command->examples[i].text, 4, 4, width, err));
        TW_TRY(tw_str_printf(out, err, "  trawl %s\n", command->examples[i].command));
    }
    return tw_str_printf(out, err, "\nMore: trawl man %s | man -l -\n", command->name);
}

static trawl_status put_command(const struct cli_command *command, size_t width, struct tw_str *out,
                                struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, "  %-16s ", command->name));
    return wrap(out, command->summary, 19, 19, width, err);
}

trawl_status cli_help_overview(const struct cli_program *program, const struct cli_family *family,
                               size_t width, struct tw_str *out, struct trawl_error *err)
{
    width = width < MIN_WIDTH ? MIN_WIDTH : width;
    if (family) {
        TW_TRY(tw_str_printf(out, err, "trawl %s: %s\n\nUsage: trawl %s COMMAND [options]\n\nCommands\n",
                             family->name, family->summary, family->name));
        for (const struct cli_entry *e = NULL; (e = cli_family_next(program, family, e)) != NULL;) {
            TW_TRY(put_command(e->command, width, out, err));
        }
        return tw_str_printf(out, err, "\ntrawl %s COMMAND --help explains a command.\n", family->name);
    }
    TW_TRY(tw_str_printf(out, err, "trawl %s: ", cli_version()));
    TW_TRY(wrap(
        out,
        "run language models over data sets on a mesh of devices and bring up predictions, log-probabilities "
        "and activations",
        12, 0, width, err));
    TW_TRY(tw_str_puts(out, "\nUsage: trawl COMMAND [options]\n       trawl --version\n\nCommands\n", err));
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(put_command(program->entries[i].command, width, out, err));
    }
    TW_TRY(tw_str_puts(out, "\n", err));
    return wrap(
        out,
        "trawl COMMAND --help explains a command, trawl man COMMAND | man -l - in full. Exit codes: 0 done, "
        "1 failed, 2 usage, 3 done but some requests failed, 130 interrupted.",
        0, 0, width, err);
}
