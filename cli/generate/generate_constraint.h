/* SPDX-License-Identifier: MIT */
/* --guided_regex, --guided_json and --guided_choice. What a row of --prompts_file asks for instead is read by
 * apps/ask/ask_constraint.h. */
#ifndef CLI_GENERATE_CONSTRAINT_H
#define CLI_GENERATE_CONSTRAINT_H

#include "cli/options/args.h"
#include "trawl/trawl.h"
#include "json/json.h"

/* What the options ask of every answer; *text, which the request points to, is the caller's to free.
 * --guided_json is a schema or the name of a file that holds one. */
trawl_status cli_constraint_defaults(struct trawl_request *request, char **text, const struct cli_args *args,
                                     struct trawl_error *err);

#endif /* CLI_GENERATE_CONSTRAINT_H */
