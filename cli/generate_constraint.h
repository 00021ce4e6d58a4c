/* SPDX-License-Identifier: MIT */
/* "guided_regex", "guided_json" and "guided_choice": options of generate, and members of a row of
 * --prompts_file. */
#ifndef CLI_GENERATE_CONSTRAINT_H
#define CLI_GENERATE_CONSTRAINT_H

#include "cli/args.h"
#include "trawl/trawl.h"
#include "json/json.h"

/* What the options ask of every answer; *text, which the request points to, is the caller's to free.
 * --guided_json is a schema or the name of a file that holds one. */
trawl_status cli_constraint_defaults(struct trawl_request *request, char **text, const struct cli_args *args,
                                     struct trawl_error *err);
/* What a row asks for instead, if anything; as above. null: nothing. */
trawl_status cli_row_constraint_read(struct trawl_request *request, char **text, const json_t *row,
                                     struct trawl_error *err);

#endif /* CLI_GENERATE_CONSTRAINT_H */
