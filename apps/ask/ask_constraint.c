/* SPDX-License-Identifier: MIT */
#include "apps/ask/ask_constraint.h"

#include <string.h>

#include "base/alloc.h"

static void set(struct trawl_request *request, enum trawl_constraint_kind kind, const char *text)
{
    request->constraint_kind = kind;
    request->constraint_text = text;
}

/* A JSON value as text. */
static trawl_status write_json(const json_t *value, char **out, struct trawl_error *err)
{
    struct tw_str text;
    struct tw_json_writer w;
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 0);
    tw_json_value(&w, value);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_strndup(tw_str_text(&text), text.size, out, err);
    }
    tw_str_release(&text);
    return status;
}

/* A text, or, but for the expression, JSON. */
static trawl_status read_member(const json_t *value, const char *key, enum trawl_constraint_kind kind,
                                char **text, struct trawl_error *err)
{
    if (json_is_string(value) && kind != TRAWL_CONSTRAINT_CHOICE) {
        const char *s = json_string_value(value);
        if (strlen(s) != json_string_length(value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" contains U+0000", key);
        }
        return tw_strdup(s, text, err);
    }
    if (kind == TRAWL_CONSTRAINT_REGEX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" is %s, expected a string", key,
                       tw_json_type_name(value));
    }
    return write_json(value, text, err);
}

trawl_status tw_ask_constraint_set(struct trawl_request *request, char **text, const json_t *value,
                                   const char *key, enum trawl_constraint_kind kind, struct trawl_error *err)
{
    TW_TRY(read_member(value, key, kind, text, err));
    set(request, kind, *text);
    return TRAWL_OK;
}

trawl_status tw_ask_constraint_read(struct trawl_request *request, char **text, const json_t *object,
                                    const char *what, struct trawl_error *err)
{
    static const struct {
        const char *key;
        enum trawl_constraint_kind kind;
    } members[] = {{"guided_regex", TRAWL_CONSTRAINT_REGEX},
                   {"guided_json", TRAWL_CONSTRAINT_JSON_SCHEMA},
                   {"guided_choice", TRAWL_CONSTRAINT_CHOICE}};
    *text       = NULL;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *value = json_object_get(object, members[i].key);
        if (value == NULL) {
            continue;
        }
        if (json_is_null(value)) { /* turns off what the option of this name asks, no other */
            if (*text == NULL && request->constraint_kind == members[i].kind) {
                set(request, TRAWL_CONSTRAINT_NONE, NULL);
            }
            continue;
        }
        if (*text != NULL) {
            return tw_fail(
                err, TRAWL_ERR_FORMAT,
                "the %s has more than one of \"guided_regex\", \"guided_json\" and \"guided_choice\"", what);
        }
        TW_TRY(tw_ask_constraint_set(request, text, value, members[i].key, members[i].kind, err));
    }
    return TRAWL_OK;
}
