/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/arc/arc_stream.h"
#include "base/alloc.h"
#include "base/file.h"

/* A file of one task, parsed whole. */
#define TASK_FILE_MAX ((size_t)64 << 20)

struct loader {
    struct tw_arc_dataset *ds;
    const char *name; /* of the file being read */
    const struct tw_log *log;
    int64_t left; /* entries still to look at, < 0: all */
    bool solutions;
};

/* ---- pairs and tasks ---- */

void tw_arc_pair_release(struct tw_arc_pair *pair)
{
    tw_arc_grid_release(&pair->input);
    tw_arc_grid_release(&pair->output);
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

trawl_status tw_arc_pair_from_json(const json_t *value, bool need_output, struct tw_arc_pair *pair,
                                   struct trawl_error *err)
{
    *pair               = (struct tw_arc_pair){.input = {0, 0, NULL}, .output = {0, 0, NULL}};
    const json_t *input = NULL, *output = NULL;
    if (json_is_object(value)) {
        input  = json_object_get(value, "input");
        output = json_object_get(value, "output");
    } else if (json_is_array(value) && json_array_size(value) == 2) {
        input  = json_array_get(value, 0);
        output = json_array_get(value, 1);
    } else {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s, expected {\"input\", \"output\"}",
                       json_is_array(value) ? "an array of other than two grids" : tw_json_type_name(value));
    }
    TW_TRY(tw_arc_grid_from_json(input, "input", TW_ARC_TASK_SIDE, &pair->input, err));
    trawl_status status = TRAWL_OK;
    if (need_output || !is_absent(output)) {
        status = tw_arc_grid_from_json(output, "output", TW_ARC_TASK_SIDE, &pair->output, err);
    }
    if (status != TRAWL_OK) {
        tw_arc_pair_release(pair);
    }
    return status;
}

static void task_release(struct tw_arc_task *task)
{
    for (int i = 0; i < task->n_train; i++) {
        tw_arc_pair_release(&task->train[i]);
    }
    for (int i = 0; i < task->n_test; i++) {
        tw_arc_pair_release(&task->test[i]);
    }
    tw_free(task->train);
    tw_free(task->test);
    tw_free(task->id);
    *task = (struct tw_arc_task){.id = NULL};
}

/* Member `key` of a task: an array of 1..max pairs. On failure *pairs and *n hold what was made so far. */
static trawl_status read_pairs(const json_t *object, const char *key, int max, bool need_output,
                               struct tw_arc_pair **pairs, int *n, struct trawl_error *err)
{
    const json_t *list = json_object_get(object, key);
    if (!json_is_array(list)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" is %s, expected a list of pairs", key,
                       tw_json_type_name(list));
    }
    size_t size = json_array_size(list);
    if (size < 1 || size > (size_t)max) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" has %zu pairs, expected 1 to %d", key, size, max);
    }
    TW_TRY(tw_alloc(size, sizeof **pairs, pairs, err));
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        trawl_status status = tw_arc_pair_from_json(value, need_output, &(*pairs)[i], err);
        if (status != TRAWL_OK) {
            return tw_fail_prefix(err, status, "%s pair %zu", key, i + 1);
        }
        *n = (int)i + 1;
    }
    return TRAWL_OK;
}

static trawl_status read_task(const json_t *value, struct tw_arc_task *task, struct trawl_error *err)
{
    if (!json_is_object(value)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s, expected {\"train\", \"test\"}", tw_json_type_name(value));
    }
    TW_TRY(read_pairs(value, "train", TW_ARC_TRAIN_MAX, true, &task->train, &task->n_train, err));
    return read_pairs(value, "test", TW_ARC_TEST_MAX, false, &task->test, &task->n_test, err);
}

/* One test of a solutions file: a grid, or an object with the grid as "output". */
static trawl_status read_solution(const json_t *value, struct tw_arc_pair *pair, struct trawl_error *err)
{
    const json_t *output = json_is_object(value) ? json_object_get(value, "output") : value;
    const json_t *input  = json_object_get(value, "input"); /* NULL for what is no object */
    TW_TRY(tw_arc_grid_from_json(output, "output", TW_ARC_TASK_SIDE, &pair->output, err));
    return input == NULL ? TRAWL_OK
                         : tw_arc_grid_from_json(input, "input", TW_ARC_TASK_SIDE, &pair->input, err);
}

static trawl_status read_solutions(const json_t *value, struct tw_arc_task *task, struct trawl_error *err)
{
    const json_t *list = json_is_object(value) ? json_object_get(value, "test") : value;
    size_t size        = json_array_size(list); /* 0 for what is no array */
    if (size < 1 || size > TW_ARC_TEST_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s with %zu answers, expected a list of 1 to %d",
                       tw_json_type_name(list), size, TW_ARC_TEST_MAX);
    }
    TW_TRY(tw_alloc(size, sizeof *task->test, &task->test, err));
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
    {
        task->n_test        = (int)i + 1;
        trawl_status status = read_solution(v, &task->test[i], err);
        if (status != TRAWL_OK) {
            return tw_fail_prefix(err, status, "test %zu", i + 1);
        }
    }
    return TRAWL_OK;
}

/* ---- entries of files ---- */

static void skip(struct loader *l, const struct trawl_error *e)
{
    l->ds->n_skipped++;
    tw_log(l->log, TW_LOG_WARNING, "%s; the task is left out", e->message);
}

static trawl_status add_task(struct loader *l, const char *id, const json_t *value, struct trawl_error *err)
{
    struct trawl_error e      = {.status = TRAWL_OK};
    struct tw_arc_dataset *ds = l->ds;
    TW_TRY(tw_grow(&ds->tasks, &ds->capacity, ds->n + 1, sizeof *ds->tasks, err));
    struct tw_arc_task *task = &ds->tasks[ds->n];
    *task                    = (struct tw_arc_task){.id = NULL};
    trawl_status status      = l->solutions ? read_solutions(value, task, &e) : read_task(value, task, &e);
    if (status == TRAWL_OK) {
        status = tw_strdup(id, &task->id, &e);
    }
    if (status == TRAWL_OK) {
        ds->n++;
        return TRAWL_OK;
    }
    task_release(task);
    tw_fail_prefix(&e, status, "%s: task \"%s\"", l->name, id);
    if (status == TRAWL_ERR_FORMAT) {
        skip(l, &e);
        return TRAWL_OK;
    }
    if (err != NULL) {
        *err = e;
    }
    return status;
}

/* An entry that carries its own id. */
static trawl_status add_row(struct loader *l, const struct tw_arc_stream *s, const json_t *value,
                            struct trawl_error *err)
{
    struct trawl_error e;
    const json_t *id = json_object_get(value, "task_id");
    if (id == NULL) {
        id = json_object_get(value, "id");
    }
    const char *text = json_string_value(id);
    if (text == NULL || text[0] == '\0' || strlen(text) != json_string_length(id)) {
        tw_fail(&e, TRAWL_ERR_FORMAT, "%s: entry %zu: \"task_id\" is %s, expected a name", l->name, s->n,
                text == NULL ? tw_json_type_name(id) : "empty or holds U+0000");
        skip(l, &e);
        return TRAWL_OK;
    }
    return add_task(l, text, value, err);
}

static trawl_status read_entries(struct loader *l, struct tw_arc_stream *s, struct trawl_error *err)
{
    struct trawl_error e;
    while (l->left != 0) {
        json_t *key, *value;
        trawl_status status = tw_arc_stream_next(s, &key, &value, &e);
        if (status == TRAWL_ERR_FORMAT && tw_arc_stream_recoverable(s)) {
            skip(l, &e);
            l->left--;
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
        l->left--;
        status = key != NULL ? add_task(l, json_string_value(key), value, err) : add_row(l, s, value, err);
        json_decref(key);
        json_decref(value);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

/* "dir/007bbfb7.json" -> "007bbfb7". */
static trawl_status file_stem(const char *path, char **out, struct trawl_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *base  = slash == NULL ? path : slash + 1;
    const char *dot   = strrchr(base, '.');
    return tw_strndup(base, dot == NULL || dot == base ? strlen(base) : (size_t)(dot - base), out, err);
}

/* Whether the text is one task: an object whose first member is no object (in a file of tasks every member
 * is one) and that has a "train" or "test" list. If so *task is the parsed value. */
static trawl_status parse_one_task(const struct tw_arc_stream *s, json_t **task, struct trawl_error *err)
{
    struct tw_arc_stream look = *s;
    json_t *key, *value;
    *task = NULL;
    if (s->kind != TW_ARC_STREAM_OBJECT || s->size > TASK_FILE_MAX ||
        tw_arc_stream_next(&look, &key, &value, NULL) != TRAWL_OK || value == NULL) {
        return TRAWL_OK;
    }
    bool one = !json_is_object(value);
    json_decref(key);
    json_decref(value);
    if (!one) {
        return TRAWL_OK;
    }
    size_t mark = s->size >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    TW_TRY(tw_json_parse(s->text + mark, s->size - mark, s->name, task, err));
    if (!json_is_array(json_object_get(*task, "train")) && !json_is_array(json_object_get(*task, "test"))) {
        json_decref(*task);
        *task = NULL;
    }
    return TRAWL_OK;
}

static trawl_status read_stream(struct loader *l, struct tw_arc_stream *s, struct trawl_error *err)
{
    json_t *one = NULL;
    TW_TRY(parse_one_task(s, &one, err));
    if (one == NULL) {
        return read_entries(l, s, err);
    }
    char *id            = NULL;
    trawl_status status = file_stem(l->name, &id, err);
    if (status == TRAWL_OK) {
        status = add_task(l, id, one, err);
    }
    tw_free(id);
    json_decref(one);
    return status;
}

static trawl_status read_file(struct loader *l, const char *path, struct trawl_error *err)
{
    struct tw_arc_stream s;
    TW_TRY(tw_arc_stream_open(&s, path, err));
    l->name             = path;
    trawl_status status = read_stream(l, &s, err);
    tw_arc_stream_close(&s);
    return status;
}

/* ---- folders ---- */

struct names {
    char **items;
    size_t n;
    size_t capacity;
};

static void names_release(struct names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        tw_free(names->items[i]);
    }
    tw_free(names->items);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static trawl_status list_folder(const char *path, struct names *names, struct trawl_error *err)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return tw_fail_os(err, errno, "%s: cannot be listed", path);
    }
    trawl_status status = TRAWL_OK;
    for (;;) {
        errno                  = 0;
        const struct dirent *d = readdir(dir);
        if (d == NULL) {
            status = errno == 0 ? TRAWL_OK : tw_fail_os(err, errno, "%s: cannot be listed", path);
            break;
        }
        size_t n = strlen(d->d_name);
        if (n <= 5 || d->d_name[0] == '.' || strcmp(d->d_name + n - 5, ".json") != 0) {
            continue;
        }
        status = tw_grow(&names->items, &names->capacity, names->n + 1, sizeof *names->items, err);
        if (status == TRAWL_OK) {
            status = tw_path_join(path, d->d_name, &names->items[names->n], err);
        }
        if (status != TRAWL_OK) {
            break;
        }
        names->n++;
    }
    (void)closedir(dir);
    return status;
}

/* In a folder a file that cannot be read is a malformed task among others. */
static trawl_status read_folder(struct loader *l, const char *path, struct trawl_error *err)
{
    struct names names = {.items = NULL};
    struct trawl_error e;
    trawl_status status = list_folder(path, &names, err);
    if (status == TRAWL_OK && names.n > 0) {
        qsort(names.items, names.n, sizeof *names.items, by_text);
    }
    for (size_t i = 0; status == TRAWL_OK && i < names.n && l->left != 0; i++) {
        int64_t left = l->left;
        status       = read_file(l, names.items[i], &e);
        l->left      = left - 1;
        if (status == TRAWL_ERR_FORMAT) {
            skip(l, &e);
            status = TRAWL_OK;
        } else if (status != TRAWL_OK && err != NULL) {
            *err = e;
        }
    }
    names_release(&names);
    return status;
}

/* ---- the whole ---- */

static int by_id_then_place(const void *a, const void *b, void *arg)
{
    const struct tw_arc_task *tasks = arg;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    int order = strcmp(tasks[i].id, tasks[j].id);
    return order != 0 ? order : (i > j) - (i < j);
}

static void sort_index(struct tw_arc_dataset *ds)
{
    for (size_t i = 0; i < ds->n; i++) {
        ds->by_id[i] = (uint32_t)i;
    }
    qsort_r(ds->by_id, ds->n, sizeof *ds->by_id, by_id_then_place, ds->tasks);
}

/* Of tasks with the same id the first one stays. */
static trawl_status index_tasks(struct loader *l, struct trawl_error *err)
{
    struct tw_arc_dataset *ds = l->ds;
    struct trawl_error e;
    if (ds->n > UINT32_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: %zu tasks, the limit is %u", l->name, ds->n, UINT32_MAX);
    }
    TW_TRY(tw_alloc(ds->n, sizeof *ds->by_id, &ds->by_id, err));
    sort_index(ds);
    size_t first = 0;
    for (size_t i = 1; i < ds->n; i++) {
        struct tw_arc_task *task = &ds->tasks[ds->by_id[i]];
        if (strcmp(ds->tasks[ds->by_id[first]].id, task->id) != 0) {
            first = i;
            continue;
        }
        tw_fail(&e, TRAWL_ERR_FORMAT, "%s: task \"%s\" is there twice", l->name, task->id);
        skip(l, &e);
        task->n_test = -task->n_test; /* marks it for removal; the id is still compared with */
    }
    size_t kept = 0;
    for (size_t i = 0; i < ds->n; i++) {
        if (ds->tasks[i].n_test < 0) {
            ds->tasks[i].n_test = -ds->tasks[i].n_test;
            task_release(&ds->tasks[i]);
        } else {
            ds->tasks[kept++] = ds->tasks[i];
        }
    }
    ds->n = kept;
    sort_index(ds);
    return TRAWL_OK;
}

static trawl_status finish(struct loader *l, const char *path, trawl_status status, struct trawl_error *err)
{
    l->name = path;
    if (status == TRAWL_OK) {
        status = index_tasks(l, err);
    }
    if (status == TRAWL_OK && l->ds->n == 0) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: no %s found (%zu malformed)", path,
                         l->solutions ? "answers" : "tasks", l->ds->n_skipped);
    }
    if (status != TRAWL_OK) {
        tw_arc_dataset_release(l->ds);
    }
    return status;
}

static struct loader start(struct tw_arc_dataset *ds, const char *name, int64_t n_tasks,
                           const struct tw_log *log)
{
    *ds = (struct tw_arc_dataset){.tasks = NULL};
    return (struct loader){.ds = ds, .name = name, .log = log, .left = n_tasks > 0 ? n_tasks : -1};
}

trawl_status tw_arc_dataset_load(struct tw_arc_dataset *ds, const char *path, int64_t n_tasks,
                                 const struct tw_log *log, struct trawl_error *err)
{
    struct loader l = start(ds, path, n_tasks, log);
    return finish(&l, path, tw_path_is_dir(path) ? read_folder(&l, path, err) : read_file(&l, path, err),
                  err);
}

trawl_status tw_arc_dataset_load_text(struct tw_arc_dataset *ds, const char *name, const char *text,
                                      size_t size, int64_t n_tasks, const struct tw_log *log,
                                      struct trawl_error *err)
{
    struct loader l = start(ds, name, n_tasks, log);
    struct tw_arc_stream s;
    trawl_status status = tw_arc_stream_over(&s, name, text, size, err);
    return finish(&l, name, status == TRAWL_OK ? read_stream(&l, &s, err) : status, err);
}

trawl_status tw_arc_solutions_load(struct tw_arc_dataset *ds, const char *path, const struct tw_log *log,
                                   struct trawl_error *err)
{
    struct loader l = start(ds, path, 0, log);
    l.solutions     = true;
    return finish(&l, path, tw_path_is_dir(path) ? read_folder(&l, path, err) : read_file(&l, path, err),
                  err);
}

void tw_arc_dataset_release(struct tw_arc_dataset *ds)
{
    for (size_t i = 0; i < ds->n; i++) {
        task_release(&ds->tasks[i]);
    }
    tw_free(ds->tasks);
    tw_free(ds->by_id);
    *ds = (struct tw_arc_dataset){.tasks = NULL};
}

const struct tw_arc_task *tw_arc_dataset_find(const struct tw_arc_dataset *ds, const char *id)
{
    size_t lo = 0, hi = ds->n;
    while (lo < hi) {
        size_t mid                     = lo + (hi - lo) / 2;
        const struct tw_arc_task *task = &ds->tasks[ds->by_id[mid]];
        int order                      = strcmp(id, task->id);
        if (order == 0) {
            return task;
        }
        if (order < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}
