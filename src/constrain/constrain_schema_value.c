/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "constrain/constrain_regex.h"
#include "constrain/constrain_schema_int.h"

static trawl_status text(struct tw_schema *s, const char *bytes, uint32_t *out)
{
    return tw_tree_text(s->tree, bytes, strlen(bytes), out, s->err);
}

/* The parts, which no other node has, one after another. */
static trawl_status join(struct tw_schema *s, const uint32_t *parts, size_t n, uint32_t *out)
{
    TW_TRY(tw_tree_add(s->tree, TW_TREE_CAT, out, s->err));
    for (size_t i = 0; i < n; i++) {
        tw_tree_append(s->tree, *out, parts[i]);
    }
    return TRAWL_OK;
}

static trawl_status space(struct tw_schema *s, uint32_t *out)
{
    uint32_t one = 0;
    TW_TRY(text(s, " ", &one));
    return tw_tree_repeat(s->tree, one, 0, 1, 0, out, s->err);
}

trawl_status tw_schema_brackets(struct tw_schema *s, char open, uint32_t content, char close, uint32_t *out)
{
    uint32_t parts[5] = {0, 0, content, 0, 0};
    TW_TRY(tw_tree_text(s->tree, &open, 1, &parts[0], s->err));
    TW_TRY(space(s, &parts[1]));
    TW_TRY(space(s, &parts[3]));
    TW_TRY(tw_tree_text(s->tree, &close, 1, &parts[4], s->err));
    return join(s, parts, 5, out);
}

trawl_status tw_schema_comma(struct tw_schema *s, uint32_t *out)
{
    uint32_t parts[2];
    TW_TRY(text(s, ",", &parts[0]));
    TW_TRY(space(s, &parts[1]));
    return join(s, parts, 2, out);
}

trawl_status tw_schema_member(struct tw_schema *s, uint32_t name, uint32_t value, uint32_t *out)
{
    uint32_t parts[4] = {name, 0, 0, value};
    TW_TRY(text(s, ":", &parts[1]));
    TW_TRY(space(s, &parts[2]));
    return join(s, parts, 4, out);
}

trawl_status tw_schema_literal(struct tw_schema *s, const json_t *value, uint32_t *out)
{
    struct tw_str written;
    struct tw_json_writer w;
    tw_str_init(&written, 0);
    tw_json_writer_init(&w, &written, 0);
    tw_json_value(&w, value);
    trawl_status status = tw_json_writer_finish(&w, s->err);
    if (status == TRAWL_OK) {
        status = tw_tree_text(s->tree, tw_str_text(&written), written.size, out, s->err);
    }
    tw_str_release(&written);
    return status;
}

static trawl_status pattern_of(struct tw_schema *s, const json_t *pattern, uint32_t *out)
{
    struct tw_regex_options options = {.search = true, .json = true};
    struct trawl_error why;
    trawl_status status =
        tw_regex_parse(s->tree, json_string_value(pattern), json_string_length(pattern), &options, out, &why);
    return status == TRAWL_OK ? status : tw_schema_fail(s, status, "keyword \"pattern\": %s", why.message);
}

static trawl_status characters(struct tw_schema *s, uint32_t min, uint32_t max, uint32_t *out)
{
    uint32_t any = 0;
    TW_TRY(tw_tree_add(s->tree, TW_TREE_SET, &any, s->err));
    s->tree->nodes[any].json = true;
    TW_TRY(tw_tree_set_close(s->tree, any, true, s->err));
    return tw_tree_repeat(s->tree, any, min, max, 0, out, s->err);
}

trawl_status tw_schema_string(struct tw_schema *s, const json_t *pattern, uint32_t min, uint32_t max,
                              uint32_t *out)
{
    uint32_t parts[3];
    TW_TRY(text(s, "\"", &parts[0]));
    TW_TRY(pattern != NULL ? pattern_of(s, pattern, &parts[1]) : characters(s, min, max, &parts[1]));
    TW_TRY(text(s, "\"", &parts[2]));
    return join(s, parts, 3, out);
}

trawl_status tw_schema_scalar(struct tw_schema *s, unsigned type, uint32_t *out)
{
    static const char integer[] = "-?(0|[1-9][0-9]{0,17})";
    static const char number[]  = "-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?";
    const char *pattern         = type == TW_TYPE_INTEGER   ? integer
                                  : type == TW_TYPE_NUMBER  ? number
                                  : type == TW_TYPE_BOOLEAN ? "true|false"
                                                            : "null";
    if (type == TW_TYPE_STRING) {
        return tw_schema_string(s, NULL, 0, TW_TREE_NO_MAX, out);
    }
    return tw_regex_parse(s->tree, pattern, strlen(pattern), &(struct tw_regex_options){.search = false}, out,
                          s->err);
}

static trawl_status free_array(struct tw_schema *s, int depth, uint32_t *out)
{
    uint32_t item = 0, comma = 0, items = 0;
    TW_TRY(tw_schema_free(s, TW_TYPE_ANY, depth - 1, &item));
    TW_TRY(tw_schema_comma(s, &comma));
    TW_TRY(tw_tree_repeat(s->tree, item, 0, TW_TREE_NO_MAX, comma, &items, s->err));
    return tw_schema_brackets(s, '[', items, ']', out);
}

static trawl_status free_object(struct tw_schema *s, int depth, uint32_t *out)
{
    uint32_t name = 0, value = 0, member = 0, comma = 0, members = 0;
    TW_TRY(tw_schema_scalar(s, TW_TYPE_STRING, &name));
    TW_TRY(tw_schema_free(s, TW_TYPE_ANY, depth - 1, &value));
    TW_TRY(tw_schema_member(s, name, value, &member));
    TW_TRY(tw_schema_comma(s, &comma));
    TW_TRY(tw_tree_repeat(s->tree, member, 0, TW_TREE_NO_MAX, comma, &members, s->err));
    return tw_schema_brackets(s, '{', members, '}', out);
}

trawl_status tw_schema_free(struct tw_schema *s, unsigned types, int depth, uint32_t *out)
{
    static const unsigned scalars[] = {TW_TYPE_STRING, TW_TYPE_NUMBER, TW_TYPE_INTEGER, TW_TYPE_BOOLEAN,
                                       TW_TYPE_NULL};
    uint32_t part                   = 0;
    TW_TRY(tw_tree_add(s->tree, TW_TREE_ALT, out, s->err));
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if ((types & scalars[i]) == scalars[i]) {
            TW_TRY(tw_schema_scalar(s, scalars[i], &part));
            tw_tree_append(s->tree, *out, part);
            types &= ~scalars[i]; /* an integer is a number too */
        }
    }
    if ((types & TW_TYPE_ARRAY) != 0 && depth > 0) {
        TW_TRY(free_array(s, depth, &part));
        tw_tree_append(s->tree, *out, part);
    }
    if ((types & TW_TYPE_OBJECT) != 0 && depth > 0) {
        TW_TRY(free_object(s, depth, &part));
        tw_tree_append(s->tree, *out, part);
    }
    return TRAWL_OK;
}
