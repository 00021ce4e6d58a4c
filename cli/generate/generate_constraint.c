/* SPDX-License-Identifier: MIT */
#include "cli/generate/generate_constraint.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { SCHEMA_BYTES_MAX = 16 << 20 };

static void set(struct trawl_request *request, enum trawl_constraint_kind kind, const char *text)
{
    request->constraint_kind = kind;
    request->constraint_text = text;
}

static trawl_status write_choices(const char *const *choices, size_t n, char **out, struct trawl_error *err)
{
    struct tw_str text;
    struct tw_json_writer w;
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 0);
    tw_json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        tw_json_string(&w, choices[i]);
    }
    tw_json_end_array(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&text), out, err);
    }
    tw_str_release(&text);
    return status;
}

trawl_status cli_constraint_defaults(struct trawl_request *request, char **text, const struct cli_args *args,
                                     struct trawl_error *err)
{
    const char *regex = cli_get_string(args, "guided_regex"), *schema = cli_get_string(args, "guided_json");
    const char *const *choices = NULL;
    size_t n_choices = cli_get_strings(args, "guided_choice", &choices), n = 0;
    *text = NULL;
    if ((regex != NULL) + (schema != NULL) + (n_choices > 0) > 1) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--guided_regex, --guided_json and --guided_choice: only one can be given");
    }
    if (regex != NULL) {
        TW_TRY(tw_strdup(regex, text, err));
        set(request, TRAWL_CONSTRAINT_REGEX, *text);
    } else if (schema != NULL) {
        bool is_text = schema[strspn(schema, " \t\r\n")] == '{';
        TW_TRY(is_text ? tw_strdup(schema, text, err)
                       : tw_file_read(schema, SCHEMA_BYTES_MAX, text, &n, err));
        set(request, TRAWL_CONSTRAINT_JSON_SCHEMA, *text);
    } else if (n_choices > 0) {
        TW_TRY(write_choices(choices, n_choices, text, err));
        set(request, TRAWL_CONSTRAINT_CHOICE, *text);
    }
    return TRAWL_OK;
}
