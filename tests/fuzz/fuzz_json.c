/* SPDX-License-Identifier: MIT */
/* Any bytes through the parser; what it accepts is written and parsed again: equal values, and the second
 * writing equals the first. */
#include <stddef.h>
#include <stdint.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int depth_of(const json_t *v)
{
    int deepest = 0;
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_array(v)) {
        json_array_foreach(v, i, item)
        {
            int d   = depth_of(item) + 1;
            deepest = d > deepest ? d : deepest;
        }
    } else if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, item)
        {
            int d   = depth_of(item) + 1;
            deepest = d > deepest ? d : deepest;
        }
    }
    return deepest;
}

static void write_value(const json_t *value, int indent, struct tw_str *out)
{
    struct tw_json_writer w;
    struct trawl_error err;
    tw_str_init(out, 0);
    tw_json_writer_init(&w, out, indent);
    tw_json_value(&w, value);
    if (tw_json_writer_finish(&w, &err) != TRAWL_OK) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *again = NULL;
    struct trawl_error err;
    if (tw_json_parse((const char *)data, size, "fuzz", &value, &err) != TRAWL_OK) {
        if (value != NULL || err.message[0] == '\0') {
            __builtin_trap();
        }
        return 0;
    }
    if (depth_of(value) <= 63) { /* the writer's own bound */
        struct tw_str first, second;
        write_value(value, 0, &first);
        if (tw_json_parse(first.data, first.size, "again", &again, &err) != TRAWL_OK ||
            !json_equal(value, again)) {
            __builtin_trap();
        }
        json_decref(again);
        write_value(value, 2, &second);
        if (tw_json_parse(second.data, second.size, "indented", &again, &err) != TRAWL_OK ||
            !json_equal(value, again)) {
            __builtin_trap();
        }
        json_decref(again);
        tw_str_release(&first);
        tw_str_release(&second);
    } else {
        struct tw_str out;
        struct tw_json_writer w;
        tw_str_init(&out, 0);
        tw_json_writer_init(&w, &out, 1);
        tw_json_value(&w, value);
        if (tw_json_writer_finish(&w, &err) != TRAWL_ERR_LIMIT) {
            __builtin_trap();
        }
        tw_str_release(&out);
    }
    json_decref(value);
    return 0;
}
