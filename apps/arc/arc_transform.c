/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_transform.h"

#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_dataset.h"
#include "apps/arc/arc_stream.h"
#include "apps/arc/arc_writer.h"
#include "base/alloc.h"
#include "base/file.h"

enum output { TASKS, OUTPUTS, SOLUTIONS, N_OUTPUTS };

struct transform {
    const struct tw_arc_transform_config *config;
    struct tw_arc_transform_summary *summary;
    const struct tw_log *log;
    struct tw_arc_writer files[N_OUTPUTS];
    struct tw_arc_writer errors; /* opened with the first error */
    json_t *ids;                 /* id -> row */
};

/* The usable pairs of one row. */
struct pairs {
    struct tw_arc_pair *items;
    size_t n;
    size_t capacity;
};

static void pairs_release(struct pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        tw_arc_pair_release(&p->items[i]);
    }
    tw_free(p->items);
}

/* ---- errors ---- */

static trawl_status output_path(const struct transform *t, const char *before, const char *after, char **path,
                                struct trawl_error *err)
{
    struct tw_str name;
    tw_str_init(&name, 0);
    trawl_status status = tw_str_printf(&name, err, "%s%s%s", before, t->config->split, after);
    if (status == TRAWL_OK) {
        status = tw_path_join(t->config->output_dir, name.data, path, err);
    }
    tw_str_release(&name);
    return status;
}

static trawl_status note(struct transform *t, uint64_t row, const char *message, struct trawl_error *err)
{
    struct tw_str *entry = NULL;
    struct tw_json_writer w;
    tw_log(t->log, TW_LOG_WARNING, "%s: row %llu: %s", t->config->dataset, (unsigned long long)row, message);
    if (!t->errors.open) {
        char *path = NULL;
        TW_TRY(tw_path_join(t->config->output_dir, "transformation_errors.json", &path, err));
        trawl_status status = tw_arc_writer_open_list(&t->errors, path, err);
        tw_free(path);
        TW_TRY(status);
    }
    TW_TRY(tw_arc_writer_begin(&t->errors, &entry, err));
    tw_json_writer_init(&w, entry, 0);
    tw_json_begin_array(&w);
    tw_json_int(&w, (int64_t)row);
    tw_json_string(&w, message);
    tw_json_end_array(&w);
    return tw_json_writer_finish(&w, err);
}

static trawl_status fail_row(struct transform *t, uint64_t row, const char *message, struct trawl_error *err)
{
    t->summary->n_failed_rows++;
    return note(t, row, message, err);
}

/* ---- one row ---- */

static trawl_status collect_pairs(struct transform *t, uint64_t row, const json_t *examples,
                                  struct pairs *pairs, struct trawl_error *err)
{
    size_t i;
    json_t *example;
    size_t dropped = 0;
    json_array_foreach(examples, i, example)
    {
        struct trawl_error e;
        TW_TRY(tw_grow(&pairs->items, &pairs->capacity, pairs->n + 1, sizeof *pairs->items, err));
        trawl_status status = tw_arc_pair_from_json(example, true, &pairs->items[pairs->n], &e);
        if (status == TRAWL_ERR_FORMAT) {
            tw_fail_prefix(&e, status, "example %zu is left out", i + 1);
            TW_TRY(note(t, row, e.message, err));
            dropped++;
        } else if (status != TRAWL_OK) {
            if (err != NULL) {
                *err = e;
            }
            return status;
        } else {
            pairs->n++;
        }
    }
    if (pairs->n >= 2) {
        t->summary->n_dropped_pairs += dropped;
    }
    return TRAWL_OK;
}

static void write_grid_member(struct tw_json_writer *w, const char *key, const struct tw_arc_grid *grid)
{
    tw_json_key(w, key);
    tw_arc_grid_write_json(w, grid);
}

static void write_entry(struct tw_json_writer *w, enum output which, const struct pairs *pairs)
{
    const struct tw_arc_pair *test = &pairs->items[pairs->n - 1];
    if (which == SOLUTIONS) {
        tw_json_begin_array(w);
        tw_arc_grid_write_json(w, &test->output);
        tw_json_end_array(w);
        return;
    }
    tw_json_begin_object(w);
    if (which == TASKS) {
        tw_json_key(w, "train");
        tw_json_begin_array(w);
        for (size_t i = 0; i + 1 < pairs->n; i++) {
            tw_json_begin_object(w);
            write_grid_member(w, "input", &pairs->items[i].input);
            write_grid_member(w, "output", &pairs->items[i].output);
            tw_json_end_object(w);
        }
        tw_json_end_array(w);
    }
    tw_json_key(w, "test");
    tw_json_begin_array(w);
    tw_json_begin_object(w);
    write_grid_member(w, which == TASKS ? "input" : "output", which == TASKS ? &test->input : &test->output);
    tw_json_end_object(w);
    tw_json_end_array(w);
    tw_json_end_object(w);
}

static trawl_status write_task(struct transform *t, const char *id, const struct pairs *pairs,
                               struct trawl_error *err)
{
    for (int which = 0; which < N_OUTPUTS; which++) {
        struct tw_str *entry = NULL;
        struct tw_json_writer w;
        TW_TRY(tw_arc_writer_begin(&t->files[which], &entry, err));
        tw_json_writer_init(&w, entry, 0);
        tw_json_key(&w, id);
        write_entry(&w, which, pairs);
        TW_TRY(tw_json_writer_finish(&w, err));
    }
    t->summary->n_tasks++;
    return TRAWL_OK;
}

static trawl_status add_task(struct transform *t, uint64_t row, const json_t *examples,
                             const struct pairs *pairs, struct trawl_error *err)
{
    char message[160], id[9];
    if (pairs->n < 2 || pairs->n > TW_ARC_TRAIN_MAX + 1) {
        (void)snprintf(message, sizeof message, "%zu usable examples, expected 2 to %d", pairs->n,
                       TW_ARC_TRAIN_MAX + 1);
        return fail_row(t, row, message, err);
    }
    TW_TRY(tw_arc_transform_id(examples, row, id, err));
    const json_t *other = json_object_get(t->ids, id);
    if (other != NULL) {
        (void)snprintf(message, sizeof message, "its task id %s is already that of row %lld", id,
                       (long long)json_integer_value(other));
        return fail_row(t, row, message, err);
    }
    if (json_object_set_new_nocheck(t->ids, id, json_integer((json_int_t)row)) != 0) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory for the task ids");
    }
    return write_task(t, id, pairs, err);
}

static trawl_status transform_row(struct transform *t, uint64_t row, const json_t *value,
                                  struct trawl_error *err)
{
    const json_t *examples = json_object_get(value, "examples");
    struct pairs pairs     = {.items = NULL};
    char message[160];
    if (!json_is_array(examples)) {
        (void)snprintf(message, sizeof message, "\"examples\" is %s, expected a list of pairs",
                       tw_json_type_name(examples));
        return fail_row(t, row, message, err);
    }
    trawl_status status = collect_pairs(t, row, examples, &pairs, err);
    if (status == TRAWL_OK) {
        status = add_task(t, row, examples, &pairs, err);
    }
    pairs_release(&pairs);
    return status;
}

/* ---- all rows ---- */

static trawl_status transform_rows(struct transform *t, struct tw_arc_stream *s, struct trawl_error *err)
{
    int64_t limit = t->config->max_samples;
    for (uint64_t row = 0; limit <= 0 || row < (uint64_t)limit; row++) {
        json_t *key, *value;
        struct trawl_error e;
        trawl_status status = tw_arc_stream_next(s, &key, &value, &e);
        if (status == TRAWL_ERR_FORMAT && tw_arc_stream_recoverable(s)) {
            t->summary->n_rows++;
            TW_TRY(fail_row(t, row, e.message, err));
            continue;
        }
        if (status != TRAWL_OK) {
            if (err != NULL) {
                *err = e;
            }
            return status;
        }
        if (value == NULL) {
            break;
        }
        t->summary->n_rows++;
        status = transform_row(t, row, value, err);
        json_decref(value);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

static trawl_status open_outputs(struct transform *t, struct trawl_error *err)
{
    static const char *const names[N_OUTPUTS][2] = {
        {"arc_format_", ".json"}, {"test_outputs_", ".json"}, {"arc_format_", "_solutions.json"}};
    TW_TRY(tw_make_dirs(t->config->output_dir, err));
    for (int i = 0; i < N_OUTPUTS; i++) {
        char *path = NULL;
        TW_TRY(output_path(t, names[i][0], names[i][1], &path, err));
        trawl_status status = tw_arc_writer_open_object(&t->files[i], path, err);
        tw_free(path);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

static trawl_status commit_outputs(struct transform *t, struct trawl_error *err)
{
    for (int i = 0; i < N_OUTPUTS; i++) {
        TW_TRY(tw_arc_writer_commit(&t->files[i], err));
    }
    if (t->errors.open) {
        return tw_arc_writer_commit(&t->errors, err);
    }
    char *path = NULL;
    TW_TRY(tw_path_join(t->config->output_dir, "transformation_errors.json", &path, err));
    trawl_status status = tw_remove_file(path, err);
    tw_free(path);
    return status;
}

trawl_status tw_arc_transform(const struct tw_arc_transform_config *config,
                              struct tw_arc_transform_summary *summary, const struct tw_log *log,
                              struct trawl_error *err)
{
    struct tw_arc_stream s;
    struct transform t = {.config = config, .summary = summary, .log = log};
    *summary           = (struct tw_arc_transform_summary){.n_rows = 0};
    if (!tw_path_exists(config->dataset)) {
        return tw_fail(
            err, TRAWL_ERR_IO,
            "%s: no such file; rows of a data set on the Hugging Face hub have to be written to one "
            "first: datasets.load_dataset(name, split=split).to_json(file)",
            config->dataset);
    }
    TW_TRY(tw_arc_stream_open(&s, config->dataset, err));
    trawl_status status = TRAWL_OK;
    if (s.kind == TW_ARC_STREAM_OBJECT) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: an object, expected JSONL or an array of rows",
                         config->dataset);
    }
    if (status == TRAWL_OK) {
        t.ids  = json_object();
        status = t.ids == NULL ? tw_fail(err, TRAWL_ERR_NOMEM, "out of memory") : open_outputs(&t, err);
    }
    if (status == TRAWL_OK) {
        status = transform_rows(&t, &s, err);
    }
    if (status == TRAWL_OK) {
        status = commit_outputs(&t, err);
    }
    for (int i = 0; i < N_OUTPUTS; i++) {
        tw_arc_writer_close(&t.files[i]);
    }
    tw_arc_writer_close(&t.errors);
    json_decref(t.ids);
    tw_arc_stream_close(&s);
    return status;
}
