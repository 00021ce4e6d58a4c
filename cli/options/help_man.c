/* SPDX-License-Identifier: MIT */
/* Manual pages in man macros. */
#include <ctype.h>
#include <string.h>

#include "cli/options/help.h"

/* ---- roff ---- */

/* Text as it is: '\' and '-' are escaped, a line cannot begin with a control character. */
static trawl_status put_text(struct tw_str *out, const char *text, size_t n, struct trawl_error *err)
{
    bool line_start = out->size == 0 || out->data[out->size - 1] == '\n';
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (line_start && (c == '.' || c == '\'')) {
            TW_TRY(tw_str_puts(out, "\\&", err));
        }
        if (c == '\\') {
            TW_TRY(tw_str_puts(out, "\\e", err));
        } else if (c == '-') {
            TW_TRY(tw_str_puts(out, "\\-", err));
        } else if (c == '~' || c == '^') {
            TW_TRY(tw_str_puts(out, c == '~' ? "\\(ti" : "\\(ha", err));
        } else {
            TW_TRY(tw_str_putc(out, c, err));
        }
        line_start = c == '\n';
    }
    return TRAWL_OK;
}

static trawl_status put(struct tw_str *out, const char *text, struct trawl_error *err)
{
    return put_text(out, text, strlen(text), err);
}

/* Sentences on lines of their own, at most 78 columns each where words allow; "\n\n" starts a paragraph. */
static trawl_status put_paragraphs(struct tw_str *out, const char *text, struct trawl_error *err)
{
    size_t column = 0;
    while (*text) {
        if (strncmp(text, "\n\n", 2) == 0) {
            TW_TRY(tw_str_puts(out, "\n.PP", err));
            text += 2;
            column = 78;
        }
        text += strspn(text, " \n");
        size_t n = strcspn(text, " \n");
        if (column > 0) {
            bool ends = column > 78 - n;
            TW_TRY(tw_str_putc(out, ends ? '\n' : ' ', err));
            column = ends ? 0 : column + 1;
        }
        TW_TRY(put_text(out, text, n, err));
        column += n;
        if (n > 0 && text[n - 1] == '.' && text[n] == ' ') {
            column = 78;
        }
        text += n;
    }
    return tw_str_putc(out, '\n', err);
}

/* In capitals, blanks as `blank`. */
static trawl_status put_upper(struct tw_str *out, const char *name, char blank, struct trawl_error *err)
{
    for (const char *p = name; *p; p++) {
        TW_TRY(tw_str_putc(out, (char)(*p == ' ' ? blank : toupper((unsigned char)*p)), err));
    }
    return TRAWL_OK;
}

static trawl_status put_page_name(struct tw_str *out, const char *command, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "trawl", err));
    for (const char *p = command; p && *p; p++) {
        TW_TRY(tw_str_puts(out, p == command ? "\\-" : "", err));
        TW_TRY(*p == ' ' ? tw_str_puts(out, "\\-", err) : tw_str_putc(out, *p, err));
    }
    return TRAWL_OK;
}

static trawl_status put_head(struct tw_str *out, const char *command, const char *summary,
                             struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, ".TH TRAWL", err));
    if (command) {
        TW_TRY(tw_str_putc(out, '-', err));
        TW_TRY(put_upper(out, command, '-', err));
    }
    TW_TRY(tw_str_printf(out, err, " 1 \"\" \"trawl %s\" \"User commands\"\n.nh\n.ad l\n.SH NAME\n",
                         cli_version()));
    TW_TRY(put_page_name(out, command, err));
    TW_TRY(tw_str_puts(out, " \\- ", err));
    TW_TRY(put(out, summary, err));
    return tw_str_puts(out, "\n.SH SYNOPSIS\n", err);
}

/* ---- options ---- */

static trawl_status put_flag_name(struct tw_str *out, const char *dashes, const char *name, size_t n,
                                  struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, "\\fB", err));
    TW_TRY(put(out, dashes, err));
    TW_TRY(put_text(out, name, n, err));
    return tw_str_puts(out, "\\fR", err);
}

static trawl_status put_option(struct tw_str *out, const struct cli_option *option, struct trawl_error *err)
{
    const char *value = cli_option_value(option);
    bool list = option->type == CLI_INTS || option->type == CLI_NAMES || option->type == CLI_STRINGS ||
                option->type == CLI_PATHS;
    TW_TRY(tw_str_puts(out, ".TP\n", err));
    TW_TRY(put_flag_name(out, "--", option->name, strlen(option->name), err));
    for (const char *p = option->aliases; p && *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        TW_TRY(tw_str_puts(out, ", ", err));
        TW_TRY(put_flag_name(out, n == 1 ? "-" : "--", p, n, err));
    }
    if (*value) {
        TW_TRY(tw_str_puts(out, option->bare ? " [\\fI" : " \\fI", err));
        TW_TRY(put(out, value, err));
        TW_TRY(tw_str_printf(out, err, "\\fR%s%s", option->bare ? "]" : "", list ? " ..." : ""));
    }
    TW_TRY(tw_str_putc(out, '\n', err));
    TW_TRY(put(out, option->help, err));
    size_t before = out->size;
    TW_TRY(tw_str_puts(out, " (", err));
    size_t opened = out->size;
    struct tw_str words;
    tw_str_init(&words, 0);
    trawl_status status = cli_help_default(option, &words, err);
    if (status == TRAWL_OK) {
        status = put(out, tw_str_text(&words), err);
    }
    tw_str_release(&words);
    TW_TRY(status);
    if (out->size == opened) {
        out->size         = before;
        out->data[before] = '\0';
        TW_TRY(tw_str_puts(out, ".\n", err));
    } else {
        TW_TRY(tw_str_puts(out, ").\n", err));
    }
    return option->text ? put_paragraphs(out, option->text, err) : TRAWL_OK;
}

static trawl_status put_synopsis(struct tw_str *out, const struct cli_command *command,
                                 struct trawl_error *err)
{
    struct cli_iter it = cli_iter_begin(command);
    const struct cli_option *option;
    TW_TRY(tw_str_printf(out, err, ".B trawl %s\n", command->name));
    while ((option = cli_iter_next(&it)) != NULL) {
        if (option->required) {
            TW_TRY(put_flag_name(out, "--", option->name, strlen(option->name), err));
            TW_TRY(tw_str_puts(out, " \\fI", err));
            TW_TRY(put(out, cli_option_value(option), err));
            TW_TRY(tw_str_puts(out, "\\fR\n", err));
        }
    }
    if (command->operand.max > 0) {
        TW_TRY(tw_str_printf(out, err, command->operand.min ? "\\fI%s\\fR\n" : "[\\fI%s\\fR]\n",
                             command->operand.value));
    }
    return tw_str_puts(out, "[options]\n", err);
}

static trawl_status put_exit_codes(struct tw_str *out, struct trawl_error *err)
{
    return tw_str_puts(
        out,
        ".SH EXIT STATUS\n"
        ".TP\n.B 0\nDone.\n"
        ".TP\n.B 1\nFailed; the reason is the last line on standard error.\n"
        ".TP\n.B 2\nThe command line is wrong.\n"
        ".TP\n.B 3\nDone, but some requests or rows failed; each was named on standard error.\n"
        ".TP\n.B 130\nInterrupted (Ctrl\\-C, SIGTERM).\n"
        "What was committed stays valid.\nA second signal stops at once.\n",
        err);
}

static trawl_status put_operand(struct tw_str *out, const struct cli_operand *operand,
                                struct trawl_error *err)
{
    bool listed = operand->choices && operand->choices[0] != '@';
    if (operand->max == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_str_printf(out, err, ".TP\n.I %s\n", operand->value));
    TW_TRY(put(out, operand->help, err));
    TW_TRY(tw_str_puts(out, listed ? ": " : "", err));
    TW_TRY(put(out, listed ? operand->choices : "", err));
    return tw_str_puts(out, ".\n", err);
}

static trawl_status put_examples(struct tw_str *out, const struct cli_command *command,
                                 struct trawl_error *err)
{
    for (size_t i = 0; command->examples[i].command; i++) {
        TW_TRY(tw_str_puts(out, i == 0 ? ".SH EXAMPLES\n" : ".PP\n", err));
        TW_TRY(put(out, command->examples[i].text, err));
        TW_TRY(tw_str_puts(out, "\n.PP\n.RS\n.nf\ntrawl ", err));
        TW_TRY(put(out, command->examples[i].command, err));
        TW_TRY(tw_str_puts(out, "\n.fi\n.RE\n", err));
    }
    return TRAWL_OK;
}

static trawl_status put_command_page(const struct cli_command *command, struct tw_str *out,
                                     struct trawl_error *err)
{
    const struct cli_group *group;
    TW_TRY(put_head(out, command->name, command->summary, err));
    TW_TRY(put_synopsis(out, command, err));
    if (command->text || command->operand.max > 0) {
        TW_TRY(tw_str_puts(out, ".SH DESCRIPTION\n", err));
    }
    if (command->text) {
        TW_TRY(put_paragraphs(out, command->text, err));
    }
    TW_TRY(put_operand(out, &command->operand, err));
    for (size_t g = 0; (group = cli_command_group(command, g)) != NULL; g++) {
        TW_TRY(tw_str_puts(out, ".SH ", err));
        TW_TRY(put_upper(out, group->title, ' ', err));
        TW_TRY(tw_str_putc(out, '\n', err));
        for (size_t i = 0; i < group->n_options; i++) {
            TW_TRY(put_option(out, &group->options[i], err));
        }
    }
    TW_TRY(put_exit_codes(out, err));
    TW_TRY(put_examples(out, command, err));
    return tw_str_puts(out, ".SH SEE ALSO\n.BR trawl (1)\n", err);
}

/* ---- pages of trawl itself and of families ---- */

static const char how_options_work[] = "Names may be written with dashes or underscores: --model-path is "
                                       "--model_path. A value follows as --x 1 or "
                                       "--x=1. A list takes the words up to the next option: "
                                       "--layers_to_extract 10 11 12, or 10,11,12. A flag takes "
                                       "no value, or =true and =false; --no_x turns it off. Of an option "
                                       "given twice the last one counts, of lists "
                                       "too. -- ends the options.\n\n"
                                       "Results go to standard output or the named file, everything else to "
                                       "standard error: on a terminal a progress "
                                       "line, elsewhere a line every few seconds, nothing for short work.";

static trawl_status put_variable(struct tw_str *out, const char *name, const char *text,
                                 struct trawl_error *err)
{
    TW_TRY(tw_str_printf(out, err, ".TP\n.B %s\n", name));
    return put_paragraphs(out, text, err);
}

static trawl_status put_environment(struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, ".SH ENVIRONMENT\n", err));
    TW_TRY(put_variable(
        out, "TRAWL_ISA",
        "Highest instruction set to use: scalar, avx2, avx512, avx512bf16 or auto (default). The "
        "results are the same with all of them.",
        err));
    TW_TRY(put_variable(out, "HF_HOME",
                        "Where the Hugging Face hub cache is (default: ~/.cache/huggingface).", err));
    TW_TRY(put_variable(out, "NO_COLOR", "Not empty: no colours on a terminal.", err));
    return put_variable(out, "COLUMNS", "Width of help texts and of the progress line.", err);
}

static trawl_status put_command_item(struct tw_str *out, const struct cli_command *command,
                                     struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, ".TP\n.BR ", err));
    TW_TRY(put_page_name(out, command->name, err));
    TW_TRY(tw_str_puts(out, " (1)\n", err));
    TW_TRY(put(out, command->summary, err));
    return tw_str_puts(out, ".\n", err);
}

static trawl_status put_family_page(const struct cli_program *program, const struct cli_family *family,
                                    struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(put_head(out, family->name, family->summary, err));
    TW_TRY(tw_str_printf(out, err, ".B trawl %s\n.I COMMAND\n[options]\n.SH COMMANDS\n", family->name));
    for (const struct cli_entry *e = NULL; (e = cli_family_next(program, family, e)) != NULL;) {
        TW_TRY(put_command_item(out, e->command, err));
    }
    return tw_str_puts(out, ".SH SEE ALSO\n.BR trawl (1)\n", err);
}

static trawl_status put_main_page(const struct cli_program *program, struct tw_str *out,
                                  struct trawl_error *err)
{
    TW_TRY(put_head(out, NULL, "run language models over data sets and bring up their activations", err));
    TW_TRY(tw_str_puts(out, ".B trawl\n.I COMMAND\n[options]\n.br\n.B trawl \\-\\-version\n.SH DESCRIPTION\n",
                       err));
    TW_TRY(put_paragraphs(out,
                          "trawl runs Qwen2.5 and Llama models over data sets on a mesh of CPU devices (data "
                          "times model axis) and brings "
                          "up predictions, log-probabilities and layer activations. The results are the same "
                          "bits for any batch size, "
                          "number of threads, mesh and instruction set.",
                          err));
    TW_TRY(tw_str_puts(out, ".SH COMMANDS\n", err));
    for (size_t i = 0; i < program->n_entries; i++) {
        TW_TRY(put_command_item(out, program->entries[i].command, err));
    }
    TW_TRY(tw_str_puts(out, ".SH OPTIONS\n", err));
    TW_TRY(put_paragraphs(out, how_options_work, err));
    for (size_t i = 0; i < cli_common_group.n_options; i++) {
        TW_TRY(put_option(out, &cli_common_group.options[i], err));
    }
    TW_TRY(tw_str_puts(out, ".TP\n\\fB\\-\\-version\\fR, \\fB\\-V\\fR\nprint the version and stop.\n", err));
    TW_TRY(put_environment(out, err));
    return put_exit_codes(out, err);
}

trawl_status cli_man_page(const struct cli_program *program, const struct cli_family *family,
                          const struct cli_command *command, struct tw_str *out, struct trawl_error *err)
{
    if (command) {
        return put_command_page(command, out, err);
    }
    return family ? put_family_page(program, family, out, err) : put_main_page(program, out, err);
}

trawl_status cli_man_name(const char *command, struct tw_str *out, struct trawl_error *err)
{
    TW_TRY(tw_str_puts(out, command ? "trawl-" : "trawl", err));
    for (const char *p = command; p && *p; p++) {
        TW_TRY(tw_str_putc(out, *p == ' ' ? '-' : *p, err));
    }
    return tw_str_puts(out, ".1", err);
}
