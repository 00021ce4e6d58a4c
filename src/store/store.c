/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include <fenv.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "store/store_layout.h"
#include "store/store_pipe.h"
#include "store/store_resume.h"
#include "store/store_writer.h"

enum { DEFAULT_PIPE_BYTES = 32 << 20, MIN_PIPE_BYTES = 4096 };

enum message_kind { MESSAGE_BEGIN, MESSAGE_ROWS, MESSAGE_END, MESSAGE_COMMIT, MESSAGE_FINISH };

/* Goes through the pipe; BEGIN is followed by task_id, the numbers of the requests and the columns, ROWS by its
 * rows. */
struct message {
    enum message_kind kind;
    size_t site;        /* ROWS */
    size_t n;           /* BEGIN, ROWS: rows */
    size_t task_bytes;  /* BEGIN: of task_id, terminator included */
    size_t n_requests;  /* BEGIN: 0: one, without the list */
    uint64_t id;        /* BEGIN: the request; COMMIT: the first one */
    uint64_t end;       /* COMMIT */
    int64_t sample_idx; /* BEGIN */
};

struct tw_store {
    struct tw_layout layout;
    struct tw_journal *manifest;

    /* The writer thread's. */
    struct tw_writer writer;
    char *task_id;
    size_t task_capacity;

    /* Between the two threads. */
    struct tw_pipe pipe;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t done;       /* commits and finishes */
    trawl_status status; /* the writer's first failure */
    struct trawl_error error;

    /* The caller's. */
    bool in_request;
    size_t n_rows; /* of the request */
    size_t *given; /* [n_sites]: rows of it so far */
    bool in_group;
    uint64_t group_first; /* request ids of the group so far: group_first..next_id-1 */
    uint64_t next_id;     /* the least id that may come */
    uint64_t asked;       /* commits and finishes */
};

/* ---- the writer thread ---- */

static bool read_columns(struct tw_store *s, size_t n, bool mixed)
{
    const struct tw_columns *c = &s->writer.columns;
    for (enum tw_column i = mixed ? TW_COLUMN_REQUEST : TW_COLUMN_TOKEN; i < TW_COLUMNS; i++) {
        if (tw_column_present(i, s->layout.columns) &&
            !tw_pipe_read(&s->pipe, tw_columns_at(c, i, c->n_rows),
                          n * tw_dtype_bytes(tw_column_info(i)->dtype))) {
            return false;
        }
    }
    return true;
}

/* *open becomes false when the pipe was closed. */
static trawl_status handle_numbers(struct tw_store *s, const struct message *m, bool *open,
                                   struct trawl_error *err)
{
    uint64_t id = m->id;
    for (size_t i = 0; i < m->n_requests && *open; i++) {
        *open = tw_pipe_read(&s->pipe, &id, sizeof id);
        if (*open) {
            TW_TRY(tw_writer_number(&s->writer, id, err));
        }
    }
    return m->n_requests == 0 ? tw_writer_number(&s->writer, id, err) : TRAWL_OK;
}

static trawl_status handle_begin(struct tw_store *s, const struct message *m, bool *open,
                                 struct trawl_error *err)
{
    TW_TRY(tw_grow(&s->task_id, &s->task_capacity, m->task_bytes, 1, err));
    *open = tw_pipe_read(&s->pipe, s->task_id, m->task_bytes);
    if (*open) {
        TW_TRY(handle_numbers(s, m, open, err));
    }
    if (*open) {
        TW_TRY(tw_writer_begin(&s->writer, m->id, s->task_id, m->sample_idx, m->n, err));
        *open = s->layout.format == TW_STORE_PKL || read_columns(s, m->n, m->n_requests > 0);
    }
    return TRAWL_OK;
}

static trawl_status handle_rows(struct tw_store *s, const struct message *m, bool *open,
                                struct trawl_error *err)
{
    size_t row_bytes = s->layout.sites[m->site].width * sizeof(float);
    for (size_t done = 0; done < m->n && *open;) {
        size_t n = tw_min_size(m->n - done, TW_WRITER_ROWS);
        *open    = tw_pipe_read(&s->pipe, s->writer.rows, n * row_bytes);
        if (*open) {
            TW_TRY(tw_writer_rows(&s->writer, m->site, n, err));
        }
        done += n;
    }
    return TRAWL_OK;
}

static trawl_status handle(struct tw_store *s, const struct message *m, bool *open, struct trawl_error *err)
{
    switch (m->kind) {
    case MESSAGE_BEGIN: return handle_begin(s, m, open, err);
    case MESSAGE_ROWS: return handle_rows(s, m, open, err);
    case MESSAGE_END: return tw_writer_end(&s->writer, err);
    case MESSAGE_COMMIT: return tw_writer_commit(&s->writer, m->id, m->end, err);
    case MESSAGE_FINISH: return tw_writer_finish(&s->writer, err);
    }
    return TRAWL_OK;
}

static void *writer_main(void *arg)
{
    struct tw_store *s = arg;
    struct message m;
    struct trawl_error error = {0};
    trawl_status status      = TRAWL_OK;
    bool open                = true;
    (void)fesetenv(FE_DFL_ENV); /* statistics do not depend on the mode of the thread that opened us */
    while (open && status == TRAWL_OK && tw_pipe_read(&s->pipe, &m, sizeof m)) {
        status = handle(s, &m, &open, &error);
        if (m.kind == MESSAGE_COMMIT || m.kind == MESSAGE_FINISH || status != TRAWL_OK) {
            (void)pthread_mutex_lock(&s->lock);
            s->done += status == TRAWL_OK ? 1 : 0;
            s->status = status;
            s->error  = error;
            (void)pthread_cond_signal(&s->changed);
            (void)pthread_mutex_unlock(&s->lock);
        }
    }
    tw_pipe_close(&s->pipe);
    return NULL;
}

/* ---- opening and closing ---- */

static trawl_status open_manifest(struct tw_store *s, const struct tw_store_config *config,
                                  struct trawl_error *err)
{
    struct tw_str text;
    struct tw_setting *settings = NULL;
    size_t n                    = 0;
    char *path                  = NULL;
    TW_TRY(tw_path_join(s->layout.dir, TW_MANIFEST_NAME, &path, err));
    tw_str_init(&text, 0);
    trawl_status status = tw_layout_settings(&s->layout, config, &text, &settings, &n, err);
    if (status == TRAWL_OK) {
        const struct tw_journal_config journal = {.path       = path,
                                                  .kind       = TW_MANIFEST_KIND,
                                                  .settings   = settings,
                                                  .n_settings = n,
                                                  .resume     = config->resume};
        status                                 = tw_journal_open(&journal, &s->manifest, err);
    }
    tw_free(settings);
    tw_str_release(&text);
    tw_free(path);
    return status;
}

static trawl_status make_folders(const struct tw_layout *layout, struct trawl_error *err)
{
    for (size_t i = 0; i < layout->n_sites; i++) {
        char *path = NULL;
        TW_TRY(tw_path_join(layout->dir, tw_layout_chunk_dir(layout, i), &path, err));
        trawl_status status = tw_make_dirs(path, err);
        tw_free(path);
        TW_TRY(status);
    }
    return TRAWL_OK;
}

static trawl_status open_folder(struct tw_store *s, const struct tw_store_config *config,
                                struct trawl_error *err)
{
    struct tw_stats stats;
    uint64_t next_chunk = 1;
    TW_TRY(tw_make_dirs(s->layout.dir, err));
    TW_TRY(tw_resume_check_folder(&s->layout, err));
    TW_TRY(open_manifest(s, config, err));
    TW_TRY(tw_stats_init(&stats, &s->layout, err));
    trawl_status status = tw_resume(&s->layout, s->manifest, config->keep_groups, &stats, &next_chunk, err);
    if (status == TRAWL_OK) {
        status = make_folders(&s->layout, err);
    }
    if (status == TRAWL_OK) {
        status = tw_writer_init(&s->writer, &s->layout, s->manifest, &stats, next_chunk, err);
    }
    tw_stats_release(&stats);
    s->next_id = tw_journal_end(s->manifest);
    return status;
}

static trawl_status start(struct tw_store *s, const struct tw_store_config *config, struct trawl_error *err)
{
    size_t bytes = config->pipe_bytes == 0 ? DEFAULT_PIPE_BYTES : config->pipe_bytes;
    TW_TRY(tw_pipe_init(&s->pipe, tw_max_size(bytes, MIN_PIPE_BYTES), err));
    int failed = pthread_create(&s->thread, NULL, writer_main, s);
    if (failed != 0) {
        return tw_fail_os(err, failed, "%s: thread of the activation store", s->layout.dir);
    }
    s->running = true;
    return TRAWL_OK;
}

trawl_status tw_store_open(const struct tw_store_config *config, struct tw_store **out,
                           struct trawl_error *err)
{
    struct tw_store *s;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *s, &s, err));
    (void)pthread_mutex_init(&s->lock, NULL); /* with default attributes these cannot fail on Linux */
    (void)pthread_cond_init(&s->changed, NULL);
    trawl_status status = tw_layout_init(&s->layout, config, err);
    if (status == TRAWL_OK) {
        status = tw_alloc(config->n_sites, sizeof *s->given, &s->given, err);
    }
    if (status == TRAWL_OK) {
        status = open_folder(s, config, err);
    }
    if (status == TRAWL_OK) {
        status = start(s, config, err);
    }
    if (status != TRAWL_OK) {
        tw_store_close(s);
        return status;
    }
    *out = s;
    return TRAWL_OK;
}

void tw_store_close(struct tw_store *store)
{
    if (store == NULL) {
        return;
    }
    if (store->running) {
        tw_pipe_close(&store->pipe);
        (void)pthread_join(store->thread, NULL);
    }
    tw_pipe_release(&store->pipe);
    tw_writer_release(&store->writer);
    tw_journal_close(store->manifest);
    tw_layout_release(&store->layout);
    (void)pthread_mutex_destroy(&store->lock);
    (void)pthread_cond_destroy(&store->changed);
    tw_free(store->task_id);
    tw_free(store->given);
    tw_free(store);
}

uint64_t tw_store_groups(const struct tw_store *store)
{
    return tw_journal_groups(store->manifest);
}

uint64_t tw_store_end(const struct tw_store *store)
{
    return tw_journal_end(store->manifest);
}

/* ---- the caller's side ---- */

/* Why the pipe is closed. */
static trawl_status failure(struct tw_store *s, struct trawl_error *err)
{
    (void)pthread_mutex_lock(&s->lock);
    trawl_status status      = s->status;
    struct trawl_error error = s->error;
    (void)pthread_mutex_unlock(&s->lock);
    TW_BUG_ON(status == TRAWL_OK); /* the thread ends early for no other reason */
    if (err != NULL) {
        *err = error;
    }
    return status;
}

static trawl_status put(struct tw_store *s, const void *data, size_t n, struct trawl_error *err)
{
    return tw_pipe_write(&s->pipe, data, n) ? TRAWL_OK : failure(s, err);
}

/* Send a message and wait until it has been carried out. */
static trawl_status ask(struct tw_store *s, const struct message *m, struct trawl_error *err)
{
    TW_TRY(put(s, m, sizeof *m, err));
    s->asked++;
    (void)pthread_mutex_lock(&s->lock);
    while (s->done < s->asked && s->status == TRAWL_OK) {
        (void)pthread_cond_wait(&s->changed, &s->lock);
    }
    bool failed = s->status != TRAWL_OK;
    (void)pthread_mutex_unlock(&s->lock);
    return failed ? failure(s, err) : TRAWL_OK;
}

/* Of rows that are mixed. */
static trawl_status check_requests(const struct tw_store *s, const struct tw_store_request *r,
                                   struct trawl_error *err)
{
    bool good = r->n_requests > 0 && r->requests[0] == r->id && r->request != NULL;
    for (size_t i = 1; good && i < r->n_requests; i++) {
        good = r->requests[i] > r->requests[i - 1] && r->requests[i] < INT64_MAX;
    }
    if (!good) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "%s: the requests of mixed rows do not ascend from request %llu, or rows come without theirs",
            s->layout.dir, (unsigned long long)r->id);
    }
    return s->layout.format == TW_STORE_SAFETENSORS
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_INVALID,
                         "%s: a pickle has an entry for each request: rows cannot be mixed", s->layout.dir);
}

static trawl_status check_request(const struct tw_store *s, const struct tw_store_request *r,
                                  struct trawl_error *err)
{
    unsigned long long id = r->id;
    if (s->in_request || r->id < s->next_id || r->id >= INT64_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: request %llu begins %s", s->layout.dir, id,
                       s->in_request ? "before the one before it has ended" : "out of order");
    }
    if (r->n_rows == 0 || r->n_rows > SIZE_MAX / 16) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: request %llu has %zu rows", s->layout.dir, id, r->n_rows);
    }
    if (r->task_id != NULL && !tw_utf8_valid(r->task_id, strlen(r->task_id))) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: the task_id of request %llu is not UTF-8", s->layout.dir,
                       id);
    }
    for (enum tw_column c = TW_COLUMN_TOKEN; s->layout.format == TW_STORE_SAFETENSORS && c < TW_COLUMNS;
         c++) {
        bool optional = c == TW_COLUMN_POSITION || c == TW_COLUMN_IS_GENERATED;
        if (!optional && tw_column_present(c, s->layout.columns) && tw_column_of_request(r, c) == NULL) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s: request %llu comes without its %s column",
                           s->layout.dir, id, tw_column_info(c)->name);
        }
    }
    return TRAWL_OK;
}

/* The values of a column that may be left out: 0, 1, 2, ... or zeros. */
static trawl_status put_default(struct tw_store *s, enum tw_column column, size_t n, struct trawl_error *err)
{
    int32_t block[256]       = {0};
    const uint8_t zeros[256] = {0};
    for (size_t done = 0; done < n;) {
        size_t step = tw_min_size(n - done, 256);
        for (size_t i = 0; i < step; i++) {
            block[i] = (int32_t)(done + i);
        }
        if (column == TW_COLUMN_POSITION) {
            TW_TRY(put(s, block, step * sizeof block[0], err));
        } else {
            TW_TRY(put(s, zeros, step, err));
        }
        done += step;
    }
    return TRAWL_OK;
}

static trawl_status put_columns(struct tw_store *s, const struct tw_store_request *r, struct trawl_error *err)
{
    for (enum tw_column c = r->requests == NULL ? TW_COLUMN_TOKEN : TW_COLUMN_REQUEST; c < TW_COLUMNS; c++) {
        const void *data = tw_column_of_request(r, c);
        if (!tw_column_present(c, s->layout.columns)) {
            continue;
        }
        if (data == NULL) {
            TW_TRY(put_default(s, c, r->n_rows, err));
        } else {
            TW_TRY(put(s, data, r->n_rows * tw_dtype_bytes(tw_column_info(c)->dtype), err));
        }
    }
    return TRAWL_OK;
}

trawl_status tw_store_begin_request(struct tw_store *store, const struct tw_store_request *request,
                                    struct trawl_error *err)
{
    TW_TRY(check_request(store, request, err));
    if (request->requests != NULL) {
        TW_TRY(check_requests(store, request, err));
    }
    const char *task_id = request->task_id == NULL ? "" : request->task_id;
    size_t n_requests   = request->requests == NULL ? 0 : request->n_requests;
    struct message m    = {.kind       = MESSAGE_BEGIN,
                           .n          = request->n_rows,
                           .task_bytes = strlen(task_id) + 1,
                           .n_requests = n_requests,
                           .id         = request->id,
                           .sample_idx = request->sample_idx};
    TW_TRY(put(store, &m, sizeof m, err));
    TW_TRY(put(store, task_id, m.task_bytes, err));
    if (n_requests > 0) {
        TW_TRY(put(store, request->requests, n_requests * sizeof *request->requests, err));
    }
    if (store->layout.format == TW_STORE_SAFETENSORS) {
        TW_TRY(put_columns(store, request, err));
    }
    memset(store->given, 0, store->layout.n_sites * sizeof *store->given);
    store->in_request  = true;
    store->n_rows      = request->n_rows;
    store->group_first = store->in_group ? store->group_first : request->id;
    store->in_group    = true;
    store->next_id     = (n_requests > 0 ? request->requests[n_requests - 1] : request->id) + 1;
    return TRAWL_OK;
}

trawl_status tw_store_rows(struct tw_store *store, size_t site, const float *rows, size_t n,
                           struct trawl_error *err)
{
    if (!store->in_request || site >= store->layout.n_sites) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: rows of site %zu of %zu %s", store->layout.dir, site,
                       store->layout.n_sites, store->in_request ? "" : "outside a request");
    }
    if (n > store->n_rows - store->given[site]) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: %zu rows of %s after %zu, request %llu has %zu",
                       store->layout.dir, n, store->layout.sites[site].name, store->given[site],
                       (unsigned long long)(store->next_id - 1), store->n_rows);
    }
    struct message m = {.kind = MESSAGE_ROWS, .site = site, .n = n};
    TW_TRY(put(store, &m, sizeof m, err));
    store->given[site] += n;
    return put(store, rows, n * store->layout.sites[site].width * sizeof *rows, err);
}

trawl_status tw_store_end_request(struct tw_store *store, struct trawl_error *err)
{
    struct message m = {.kind = MESSAGE_END};
    if (!store->in_request) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: the end of a request that has not begun",
                       store->layout.dir);
    }
    for (size_t i = 0; i < store->layout.n_sites; i++) {
        if (store->given[i] != store->n_rows) {
            return tw_fail(err, TRAWL_ERR_INVALID, "%s: request %llu ends after %zu rows of %s, expected %zu",
                           store->layout.dir, (unsigned long long)(store->next_id - 1), store->given[i],
                           store->layout.sites[i].name, store->n_rows);
        }
    }
    store->in_request = false;
    return put(store, &m, sizeof m, err);
}

trawl_status tw_store_commit(struct tw_store *store, uint64_t first, uint64_t end, struct trawl_error *err)
{
    struct message m = {.kind = MESSAGE_COMMIT, .id = first, .end = end};
    if (store->in_request) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: a commit inside request %llu", store->layout.dir,
                       (unsigned long long)(store->next_id - 1));
    }
    bool holds = !store->in_group || (first <= store->group_first && store->next_id <= end);
    if (!holds || first < tw_journal_end(store->manifest) || end < first || end > INT64_MAX) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "%s: a group of requests %llu to %llu cannot be committed after %llu with rows of "
                       "requests %llu to %llu",
                       store->layout.dir, (unsigned long long)first, (unsigned long long)end,
                       (unsigned long long)tw_journal_end(store->manifest),
                       (unsigned long long)(store->in_group ? store->group_first : first),
                       (unsigned long long)(store->in_group ? store->next_id : end));
    }
    TW_TRY(ask(store, &m, err));
    store->in_group = false;
    store->next_id  = tw_max_size(store->next_id, end);
    return TRAWL_OK;
}

trawl_status tw_store_finish(struct tw_store *store, struct trawl_error *err)
{
    struct message m = {.kind = MESSAGE_FINISH};
    if (store->in_request || store->in_group) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: finished with uncommitted requests", store->layout.dir);
    }
    return ask(store, &m, err);
}
