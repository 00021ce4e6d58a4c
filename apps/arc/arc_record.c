/* SPDX-License-Identifier: MIT */
/* Records: what <output>_task_results.json is a list of. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_results.h"
#include "base/alloc.h"

void tw_arc_record_release(struct tw_arc_record *r)
{
    tw_free(r->task_id);
    tw_free(r->prompt);
    tw_free(r->response);
    tw_free(r->finish_reason);
    tw_free(r->parse_error);
    tw_arc_grid_release(&r->grid);
    *r = (struct tw_arc_record){.task_id = NULL};
}

/* ---- writing ---- */

static void string_or_null(struct tw_json_writer *w, const char *key, const char *s)
{
    tw_json_key(w, key);
    if (s == NULL) {
        tw_json_null(w);
    } else {
        tw_json_string(w, s);
    }
}

/* Texts of records that other programs wrote may be absent. */
static void text_or_empty(struct tw_json_writer *w, const char *key, const char *s, size_t n)
{
    tw_json_key(w, key);
    tw_json_string_n(w, s == NULL ? "" : s, n);
}

static void write_augment(struct tw_json_writer *w, const struct tw_arc_augment *a)
{
    tw_json_key(w, "data_augmentation_kwargs");
    tw_json_begin_object(w);
    tw_json_key(w, "hflip");
    tw_json_bool(w, a->hflip);
    tw_json_key(w, "n_rot90");
    tw_json_int(w, a->n_rot90);
    tw_json_key(w, "color_map");
    tw_json_begin_object(w);
    for (int i = 0; i < TW_ARC_COLORS; i++) {
        char key[2] = {(char)('0' + i), '\0'};
        tw_json_key(w, key);
        tw_json_int(w, a->color_map[i]);
    }
    tw_json_end_object(w);
    tw_json_end_object(w);
    /* Beside the others, not among them: programs pass those on as keyword arguments. */
    tw_json_key(w, "train_order");
    tw_json_begin_array(w);
    for (int i = 0; i < a->n_train; i++) {
        tw_json_int(w, a->train_order[i]);
    }
    tw_json_end_array(w);
}

trawl_status tw_arc_record_write(const struct tw_arc_record *r, struct tw_str *out, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "task_id");
    tw_json_string(&w, r->task_id);
    write_augment(&w, &r->augment);
    text_or_empty(&w, "prompt", r->prompt, r->prompt_size);
    tw_json_key(&w, "idx");
    tw_json_int(&w, r->idx);
    tw_json_key(&w, "grid");
    tw_arc_grid_write_json(&w, &r->grid);
    text_or_empty(&w, "response", r->response, r->response_size);
    tw_json_key(&w, "cumulative_logprob");
    tw_json_double(&w, r->cumulative_logprob);
    tw_json_key(&w, "n_tokens");
    tw_json_int(&w, r->n_tokens);
    string_or_null(&w, "finish_reason", r->finish_reason);
    string_or_null(&w, "parse_error", r->parse_error);
    tw_json_end_object(&w);
    return tw_json_writer_finish(&w, err);
}

trawl_status tw_arc_results_add(struct tw_arc_writer *w, const struct tw_arc_record *r,
                                struct trawl_error *err)
{
    struct tw_str *entry = NULL;
    TW_TRY(tw_arc_writer_begin(w, &entry, err));
    return tw_arc_record_write(r, entry, err);
}

/* ---- reading ---- */

/* Optional string member, copied; NULL stays NULL. */
static trawl_status copy_string(const json_t *object, const char *key, const char *what, char **out,
                                size_t *size, struct trawl_error *err)
{
    const char *s = NULL;
    TW_TRY(tw_json_get_string(object, key, what, &s, err));
    if (s == NULL) {
        return TRAWL_OK;
    }
    size_t n = json_string_length(json_object_get(object, key));
    if (size != NULL) {
        *size = n;
    }
    return tw_strndup(s, n, out, err);
}

/* An integer of a file in [0, limit), or `limit`. */
static int small_int(const json_t *value, int limit)
{
    json_int_t v = json_is_integer(value) ? json_integer_value(value) : limit;
    return v >= 0 && v < limit ? (int)v : limit;
}

static trawl_status read_augment(struct tw_arc_augment *a, const json_t *object, const char *what,
                                 struct trawl_error *err)
{
    json_t *kwargs = NULL, *map = NULL, *order = NULL;
    TW_TRY(tw_json_get_object(object, "data_augmentation_kwargs", what, &kwargs, err));
    TW_TRY(tw_json_get_array(object, "train_order", what, &order, err));
    if (json_array_size(order) > TW_ARC_TRAIN_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"train_order\" has %zu entries, the limit is %d", what,
                       json_array_size(order), TW_ARC_TRAIN_MAX);
    }
    tw_arc_augment_identity(a, (int)json_array_size(order));
    for (int i = 0; i < a->n_train; i++) {
        /* 255 stands for a bad entry: only a permutation of all 256 may hold it, and then once */
        a->train_order[i] = (uint8_t)small_int(json_array_get(order, (size_t)i), TW_ARC_TRAIN_MAX - 1);
    }
    if (kwargs != NULL) {
        int64_t turns = 0;
        TW_TRY(tw_json_get_bool(kwargs, "hflip", what, &a->hflip, err));
        TW_TRY(tw_json_get_int(kwargs, "n_rot90", what, &turns, err));
        TW_TRY(tw_json_get_object(kwargs, "color_map", what, &map, err));
        a->n_rot90 = turns >= 0 && turns < 4 ? (int)turns : 4;
    }
    for (int i = 0; map != NULL && i < TW_ARC_COLORS; i++) {
        char key[2]     = {(char)('0' + i), '\0'};
        a->color_map[i] = (uint8_t)small_int(json_object_get(map, key), TW_ARC_COLORS);
    }
    struct trawl_error e;
    if (tw_arc_augment_check(a, &e) != TRAWL_OK) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s", what, e.message);
    }
    return TRAWL_OK;
}

static trawl_status read_members(struct tw_arc_record *r, const json_t *object, const char *what,
                                 struct trawl_error *err)
{
    int64_t idx = -1;
    size_t n    = 0;
    TW_TRY(copy_string(object, "task_id", what, &r->task_id, &n, err));
    if (r->task_id == NULL || strlen(r->task_id) != n) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"task_id\" is %s, expected a name", what,
                       r->task_id == NULL ? "missing" : "a string with U+0000");
    }
    TW_TRY(tw_json_get_int(object, "idx", what, &idx, err));
    if (idx < 0 || idx >= TW_ARC_TEST_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"idx\" is %lld or missing, expected 0..%d", what,
                       (long long)idx, TW_ARC_TEST_MAX - 1);
    }
    r->idx = (int)idx;
    TW_TRY(read_augment(&r->augment, object, what, err));
    TW_TRY(copy_string(object, "prompt", what, &r->prompt, &r->prompt_size, err));
    TW_TRY(copy_string(object, "response", what, &r->response, &r->response_size, err));
    TW_TRY(copy_string(object, "finish_reason", what, &r->finish_reason, NULL, err));
    TW_TRY(copy_string(object, "parse_error", what, &r->parse_error, NULL, err));
    r->cumulative_logprob = (double)NAN;
    TW_TRY(tw_json_get_double(object, "cumulative_logprob", what, &r->cumulative_logprob, err));
    TW_TRY(tw_json_get_int(object, "n_tokens", what, &r->n_tokens, err));
    trawl_status status = tw_arc_grid_from_json(json_object_get(object, "grid"), what, 0, &r->grid, err);
    return status == TRAWL_ERR_FORMAT ? TRAWL_OK : status;
}

trawl_status tw_arc_record_read(struct tw_arc_record *r, const json_t *object, const char *what,
                                struct trawl_error *err)
{
    *r = (struct tw_arc_record){.task_id = NULL};
    if (!json_is_object(object)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected a record", what, tw_json_type_name(object));
    }
    trawl_status status = read_members(r, object, what, err);
    if (status != TRAWL_OK) {
        tw_arc_record_release(r);
    }
    return status;
}

trawl_status tw_arc_results_next(struct tw_arc_stream *s, struct tw_arc_record *r, bool *more,
                                 struct trawl_error *err)
{
    json_t *key, *value;
    *more = false;
    if (s->kind == TW_ARC_STREAM_OBJECT) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: an object, expected a list of records", s->name);
    }
    TW_TRY(tw_arc_stream_next(s, &key, &value, err));
    if (value == NULL) {
        return TRAWL_OK;
    }
    char what[512];
    (void)snprintf(what, sizeof what, "%s: record %zu", s->name, s->n);
    trawl_status status = tw_arc_record_read(r, value, what, err);
    json_decref(value);
    *more = status == TRAWL_OK;
    return status;
}
