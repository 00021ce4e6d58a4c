/* SPDX-License-Identifier: MIT */
/* JSON in and out. Reading: jansson behind limits and getters whose errors name the file and the key.
 * Writing: a small streaming writer into a tw_str. Strings may contain U+0000; numbers keep 64 bits. */
#ifndef TW_JSON_JSON_H
#define TW_JSON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* ---- reading ---- */

/* Parse one JSON value of any kind from `n` bytes; `what` (a file name, "line 12 of x.jsonl") begins
 * every message. Nothing but white space may follow the value; duplicate keys are refused; nesting is
 * bounded (jansson: 2048). An integer that 64 bits cannot hold becomes a real number, as in many a
 * tokenizer_config.json: "model_max_length": 1000000000000000019884624838656.
 * The value is freed with json_decref. */
trawl_status tw_json_parse(const char *text, size_t n, const char *what, json_t **out,
                           struct trawl_error *err);
/* The same from a file of at most `limit` bytes (0: 1 GiB). */
trawl_status tw_json_parse_file(const char *path, size_t limit, json_t **out, struct trawl_error *err);

/* Typed access to member `key` of object `object`. `what` names the object in messages. A missing key
 * (or null) leaves *out as it was and is success; a value of another type is TRAWL_ERR_FORMAT:
 *   config.json: "hidden_size" is a string, expected an integer */
trawl_status tw_json_get_int(const json_t *object, const char *key, const char *what, int64_t *out,
                             struct trawl_error *err);
trawl_status tw_json_get_double(const json_t *object, const char *key, const char *what, double *out,
                                struct trawl_error *err); /* an integer is taken too */
/* The same, above 0 and finite. *out as it was given is checked too: 0 for a member that must be there. */
trawl_status tw_json_get_positive(const json_t *object, const char *key, const char *what, double *out,
                                  struct trawl_error *err);
trawl_status tw_json_get_bool(const json_t *object, const char *key, const char *what, bool *out,
                              struct trawl_error *err);
/* Borrowed from the document; may contain NUL: json_string_length of the member tells. */
trawl_status tw_json_get_string(const json_t *object, const char *key, const char *what, const char **out,
                                struct trawl_error *err);
trawl_status tw_json_get_array(const json_t *object, const char *key, const char *what, json_t **out,
                               struct trawl_error *err);
trawl_status tw_json_get_object(const json_t *object, const char *key, const char *what, json_t **out,
                                struct trawl_error *err);
/* "a string", "an integer", ... of a value; "nothing" for NULL. */
const char *tw_json_type_name(const json_t *value);

/* ---- writing ---- */

/* Writes into `out`, at most 63 levels deep (then TRAWL_ERR_LIMIT); commas, colons and indentation are its
 * business. The first failure (memory, limit) is kept and returned by tw_json_writer_finish, so single calls
 * need no check. */
struct tw_json_writer {
    struct tw_str *out;
    int indent; /* spaces per level; 0: one line, ", " and ": " as Python's json.dumps */
    int depth;
    bool first[64]; /* no element written yet at that depth */
    bool after_key;
    trawl_status status;
    struct trawl_error error;
};

void tw_json_writer_init(struct tw_json_writer *w, struct tw_str *out, int indent);
void tw_json_begin_object(struct tw_json_writer *w);
void tw_json_end_object(struct tw_json_writer *w);
void tw_json_begin_array(struct tw_json_writer *w);
void tw_json_end_array(struct tw_json_writer *w);
void tw_json_key(struct tw_json_writer *w, const char *key);
void tw_json_string(struct tw_json_writer *w, const char *s);
/* Bytes that are not UTF-8 become U+FFFD. U+0085, U+2028 and U+2029 are written as \u escapes: a value on one
 * line is one line to every reader. */
void tw_json_string_n(struct tw_json_writer *w, const char *s, size_t n);
void tw_json_int(struct tw_json_writer *w, int64_t v);
void tw_json_bool(struct tw_json_writer *w, bool v);
void tw_json_null(struct tw_json_writer *w);
/* Shortest decimal that reads back to the same double / float; NaN and infinities become null. */
void tw_json_double(struct tw_json_writer *w, double v);
void tw_json_float(struct tw_json_writer *w, float v);
/* Text that is JSON already. */
void tw_json_raw(struct tw_json_writer *w, const char *text, size_t n);
/* A parsed value written out again, key order kept. */
void tw_json_value(struct tw_json_writer *w, const json_t *value);
trawl_status tw_json_writer_finish(struct tw_json_writer *w, struct trawl_error *err);

#endif /* TW_JSON_JSON_H */
