/* SPDX-License-Identifier: MIT */
/* What the results of a run depend on, as a list of names and values: a journal is continued only with equal ones. */
#ifndef CLI_RUN_SETTINGS_H
#define CLI_RUN_SETTINGS_H

#include "base/str.h"
#include "cli/options/args.h"
#include "trawl/trawl.h"

enum { CLI_SETTINGS_MAX = 32 };

struct cli_settings {
    struct trawl_setting list[CLI_SETTINGS_MAX];
    char texts[CLI_SETTINGS_MAX][TW_DOUBLE_BYTES]; /* of values that are numbers */
    size_t n;
};

/* Both strings are borrowed. */
void cli_settings_add(struct cli_settings *s, const char *name, const char *value);
/* The options of a group that are not what they are without being given, but for the temperature, which is a setting of
 * every run. */
void cli_settings_add_changed(struct cli_settings *s, const struct cli_args *args,
                              const struct cli_group *group);

#endif /* CLI_RUN_SETTINGS_H */
