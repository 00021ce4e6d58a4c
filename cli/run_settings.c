/* SPDX-License-Identifier: MIT */
#include "cli/run_settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_settings_add(struct cli_settings *s, const char *name, const char *value)
{
    TW_BUG_ON(s->n == CLI_SETTINGS_MAX);
    s->list[s->n++] = (struct trawl_setting){name, value};
}

/* The value of an option as a setting, in `text` where it is a number; NULL: it is what it is without being given. */
static const char *changed(const struct cli_args *args, const struct cli_option *o,
                           char text[TW_DOUBLE_BYTES])
{
    if (o->type == CLI_FLOAT) {
        double x = cli_get_float(args, o->name), usual = strtod(o->fallback, NULL);
        tw_double_text(x, text);
        return x < usual || x > usual ? text : NULL;
    }
    if (o->type == CLI_INT) {
        int64_t n = cli_get_int(args, o->name);
        (void)snprintf(text, TW_DOUBLE_BYTES, "%" PRId64, n);
        return n != strtoll(o->fallback, NULL, 10) ? text : NULL;
    }
    const char *word = cli_get_string(args, o->name);
    return strcmp(word, o->fallback) != 0 ? word : NULL;
}

void cli_settings_add_changed(struct cli_settings *s, const struct cli_args *args,
                              const struct cli_group *group)
{
    for (const struct cli_option *o = group->options; o < group->options + group->n_options; o++) {
        TW_BUG_ON(s->n == CLI_SETTINGS_MAX);
        const char *value = changed(args, o, s->texts[s->n]);
        if (value != NULL && strcmp(o->name, "temperature") != 0) {
            cli_settings_add(s, o->name, value);
        }
    }
}
