/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_uploader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "cloud/cloud_ledger.h"
#include "cloud/cloud_place.h"

enum { DEFAULT_THREADS = 4, MAX_THREADS = 64, LOOK_MS = 1000, TICK_MS = 200, NAMED = 10, GIVE_UP = 3 };

enum { TRIES = 2 }; /* of a file; those after the first at the end */

struct job {
    struct tw_upload_item item;
    int failed; /* tries */
    char why[TRAWL_ERROR_MESSAGE_BYTES];
};

struct jobs {
    struct job *list;
    size_t n, capacity, next; /* next: those before it were taken out */
};

struct tw_uploader {
    struct tw_uploader_config config;
    char *dir, *url;
    struct tw_ledger *ledger;
    struct tw_cloud_place place;
    atomic_bool cancelled;
    pthread_t threads[MAX_THREADS];
    int n_threads;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool finishing;    /* no file will come that is not there now */
    bool gave_up;      /* finishing, and failure follows failure */
    bool source_ended; /* `next` failed, for the reason below: nothing more from it */
    char source_why[TRAWL_ERROR_MESSAGE_BYTES];
    char owner[17];    /* "" until a file came */
    int running;       /* threads that have not ended */
    int in_a_row;      /* failures since the last success */
    struct jobs again; /* to be tried once more at the end */
    struct jobs lost;  /* not tried any more */
    struct tw_upload_progress progress;
};

/* ---- one file ---- */

static trawl_status object_name(const struct tw_uploader *u, const char *name, struct tw_str *out,
                                struct trawl_error *err)
{
    return tw_str_printf(out, err, "%s://%s/%s%s", u->place.kind == TW_CLOUD_GCS ? "gs" : "s3",
                         u->place.bucket, u->place.prefix, name);
}

static bool is_done(struct tw_uploader *u, const struct tw_upload_item *item)
{
    struct tw_str object;
    tw_str_init(&object, 0);
    bool done = object_name(u, item->name, &object, NULL) == TRAWL_OK &&
                tw_ledger_has(u->ledger, tw_str_text(&object), item->bytes, item->xxh3);
    tw_str_release(&object);
    return done;
}

/* `cloud` is opened with the first file, so that a run that stores nothing asks for no credentials. */
static trawl_status upload(struct tw_uploader *u, struct tw_cloud **cloud, const char *path,
                           const struct tw_upload_item *item, struct trawl_error *err)
{
    struct tw_cloud_receipt receipt;
    if (*cloud == NULL) {
        const struct tw_cloud_config config = {
            .url = u->url, .http = u->config.http, .part_bytes = u->config.part_bytes};
        TW_TRY(tw_cloud_open(&config, cloud, err));
    }
    const struct tw_cloud_file file = {
        .path = path, .name = item->name, .owner = u->owner, .bytes = item->bytes, .xxh3 = item->xxh3};
    TW_TRY(tw_cloud_put(*cloud, &file, &receipt, err));
    return tw_ledger_add(u->ledger, item->name, &receipt, err);
}

/* ---- the threads ---- */

/* Under the lock. */
static void wait_ms(struct tw_uploader *u, long ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    (void)pthread_cond_timedwait(&u->changed, &u->lock, &t);
}

/* Under the lock. Without memory for it nothing is uploaded any more; the count of files tells that some are missing. */
static void keep(struct tw_uploader *u, struct jobs *jobs, const struct job *job)
{
    if (tw_grow(&jobs->list, &jobs->capacity, jobs->n + 1, sizeof *jobs->list, NULL) != TRAWL_OK) {
        u->gave_up = true;
        return;
    }
    jobs->list[jobs->n++] = *job;
}

/* Under the lock: the next file of the source that the ledger does not have. */
static bool take_new(struct tw_uploader *u, struct tw_upload_item *item)
{
    struct trawl_error error = {0};
    char owner[17]           = "";
    bool has                 = !u->source_ended;
    while (has) {
        if (u->config.next(u->config.user, item, owner, &has, &error) != TRAWL_OK) {
            u->source_ended = true;
            memcpy(u->source_why, error.message, sizeof u->source_why);
            return false;
        }
        if (!has) {
            return false;
        }
        if (u->owner[0] == '\0') { /* once: the threads read it without the lock */
            memcpy(u->owner, owner, sizeof owner);
        }
        u->progress.files++;
        u->progress.bytes += item->bytes;
        if (!is_done(u, item)) {
            return true;
        }
        u->progress.done_files++;
        u->progress.earlier++;
        u->progress.done_bytes += item->bytes;
    }
    return false;
}

/* Under the lock: a file to upload; false: there is no more work. */
static bool take(struct tw_uploader *u, struct job *job)
{
    *job = (struct job){.failed = 0};
    while (!atomic_load(&u->cancelled) && !u->gave_up) {
        if (take_new(u, &job->item)) {
            return true;
        }
        if (u->finishing && u->again.next < u->again.n) {
            *job = u->again.list[u->again.next++];
            return true;
        }
        if (u->finishing) {
            return false;
        }
        wait_ms(u, LOOK_MS);
    }
    return false;
}

/* Under the lock. */
static void settle(struct tw_uploader *u, struct job *job, trawl_status status)
{
    if (status == TRAWL_OK) {
        u->in_a_row = 0;
        u->progress.done_files++;
        u->progress.done_bytes += job->item.bytes;
        return;
    }
    job->failed++;
    keep(u, job->failed < TRIES ? &u->again : &u->lost, job);
    u->in_a_row++;
    u->gave_up = u->gave_up || (u->finishing && u->in_a_row >= GIVE_UP * DEFAULT_THREADS);
    if (!u->finishing && !atomic_load(&u->cancelled)) {
        wait_ms(u, u->in_a_row > 12 ? 60000 : 5000L * u->in_a_row); /* an outage: nobody is in a hurry */
    }
}

static void *worker(void *arg)
{
    struct tw_uploader *u  = arg;
    struct tw_cloud *cloud = NULL;
    struct job job;
    (void)pthread_mutex_lock(&u->lock);
    while (take(u, &job)) {
        struct trawl_error error = {0};
        char *path               = NULL;
        (void)pthread_mutex_unlock(&u->lock);
        trawl_status status = tw_path_join(u->dir, job.item.name, &path, &error);
        status              = status != TRAWL_OK ? status : upload(u, &cloud, path, &job.item, &error);
        tw_free(path);
        memcpy(job.why, error.message, sizeof job.why);
        (void)pthread_mutex_lock(&u->lock);
        settle(u, &job, status);
    }
    u->running--;
    (void)pthread_cond_broadcast(&u->changed);
    (void)pthread_mutex_unlock(&u->lock);
    tw_cloud_close(cloud);
    return NULL;
}

/* ---- from outside ---- */

static trawl_status start(struct tw_uploader *u, const struct tw_uploader_config *config,
                          struct trawl_error *err)
{
    int threads              = config->threads == 0 ? DEFAULT_THREADS : config->threads;
    u->config                = *config;
    u->config.http.cancelled = &u->cancelled;
    TW_TRY(tw_strdup(config->dir, &u->dir, err));
    TW_TRY(tw_strdup(config->url, &u->url, err));
    TW_TRY(tw_cloud_place_parse(config->url, &u->place, err));
    TW_TRY(tw_ledger_open(config->dir, &u->ledger, err));
    (void)pthread_mutex_lock(&u->lock);
    int code = 0;
    while (code == 0 && u->n_threads < (threads > MAX_THREADS ? MAX_THREADS : threads)) {
        code = pthread_create(&u->threads[u->n_threads], NULL, worker, u);
        u->n_threads += code == 0 ? 1 : 0;
    }
    u->running = u->n_threads;
    (void)pthread_mutex_unlock(&u->lock);
    return code == 0 ? TRAWL_OK : tw_fail_os(err, code, "threads that upload");
}

trawl_status tw_uploader_start(const struct tw_uploader_config *config, struct tw_uploader **out,
                               struct trawl_error *err)
{
    struct tw_uploader *u;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *u, &u, err));
    (void)pthread_mutex_init(&u->lock, NULL);
    (void)pthread_cond_init(&u->changed, NULL);
    trawl_status status = start(u, config, err);
    if (status != TRAWL_OK) {
        tw_uploader_stop(u);
        return status;
    }
    *out = u;
    return TRAWL_OK;
}

static void join_all(struct tw_uploader *u)
{
    for (int i = 0; i < u->n_threads; i++) {
        (void)pthread_join(u->threads[i], NULL);
    }
    u->n_threads = 0;
}

static void cancel(struct tw_uploader *u)
{
    atomic_store(&u->cancelled, true);
    (void)pthread_mutex_lock(&u->lock);
    (void)pthread_cond_broadcast(&u->changed);
    (void)pthread_mutex_unlock(&u->lock);
}

void tw_uploader_stop(struct tw_uploader *uploader)
{
    if (uploader == NULL) {
        return;
    }
    cancel(uploader);
    join_all(uploader);
    tw_ledger_close(uploader->ledger);
    tw_cloud_place_release(&uploader->place);
    (void)pthread_mutex_destroy(&uploader->lock);
    (void)pthread_cond_destroy(&uploader->changed);
    tw_free(uploader->again.list);
    tw_free(uploader->lost.list);
    tw_free(uploader->dir);
    tw_free(uploader->url);
    tw_free(uploader);
}

/* Until the threads have done what there is; false: `tick` said so. */
static bool wait_threads(struct tw_uploader *u, tw_upload_tick *tick, void *user)
{
    bool go_on = true;
    (void)pthread_mutex_lock(&u->lock);
    u->finishing = true;
    u->in_a_row  = 0;
    (void)pthread_cond_broadcast(&u->changed);
    while (u->running > 0 && go_on) {
        struct tw_upload_progress now = u->progress;
        wait_ms(u, TICK_MS);
        (void)pthread_mutex_unlock(&u->lock);
        go_on = tick(user, &now);
        (void)pthread_mutex_lock(&u->lock);
    }
    (void)pthread_mutex_unlock(&u->lock);
    if (!go_on) {
        cancel(u);
    }
    join_all(u);
    return go_on;
}

static trawl_status describe_final(const struct tw_upload_final *final, struct tw_upload_item *item,
                                   struct trawl_error *err)
{
    struct tw_mapped_file file;
    *item = (struct tw_upload_item){0};
    if (strlen(final->name) >= sizeof item->name) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%.100s...: the name is too long", final->name);
    }
    memcpy(item->name, final->name, strlen(final->name) + 1);
    TW_TRY(tw_mapped_file_open(&file, final->path, err));
    item->bytes = file.size;
    item->xxh3  = tw_hash64(file.data, file.size);
    tw_mapped_file_close(&file);
    return TRAWL_OK;
}

/* The threads have ended: no lock is needed. */
static void upload_final(struct tw_uploader *u, struct tw_cloud **cloud, const struct tw_upload_final *final)
{
    struct trawl_error error = {0};
    struct job job           = {.failed = TRIES - 1};
    trawl_status status      = describe_final(final, &job.item, &error);
    u->progress.files++;
    u->progress.bytes += job.item.bytes;
    if (status == TRAWL_OK && is_done(u, &job.item)) {
        u->progress.earlier++;
    } else if (status == TRAWL_OK) {
        status = upload(u, cloud, final->path, &job.item, &error);
    }
    memcpy(job.why, error.message, sizeof job.why);
    settle(u, &job, status);
}

/* `left`: how many more lines are wanted. */
static trawl_status name_jobs(const struct jobs *jobs, size_t *left, struct tw_str *out,
                              struct trawl_error *err)
{
    for (size_t i = jobs->next; i<jobs->n && * left> 0; i++, --*left) {
        TW_TRY(tw_str_printf(out, err, "%s: %s\n", jobs->list[i].item.name, jobs->list[i].why));
    }
    return TRAWL_OK;
}

static trawl_status summarise(const struct tw_uploader *u, struct tw_upload_summary *s,
                              struct trawl_error *err)
{
    size_t left = NAMED;
    s->progress = u->progress;
    s->failed   = u->progress.files - u->progress.done_files + (u->source_ended ? 1 : 0);
    if (u->source_ended) {
        TW_TRY(tw_str_printf(&s->why, err, "%s\n", u->source_why));
    }
    TW_TRY(name_jobs(&u->lost, &left, &s->why, err));
    return name_jobs(&u->again, &left, &s->why, err);
}

trawl_status tw_uploader_finish(struct tw_uploader *uploader, const struct tw_upload_final *finals, size_t n,
                                tw_upload_tick *tick, void *user, struct tw_upload_summary *summary,
                                struct trawl_error *err)
{
    struct tw_cloud *cloud = NULL;
    *summary               = (struct tw_upload_summary){.failed = 0};
    tw_str_init(&summary->why, 0);
    bool go_on = wait_threads(uploader, tick, user);
    for (size_t i = 0; go_on && !uploader->gave_up && i < n; i++) {
        bool whole = uploader->progress.done_files == uploader->progress.files && !uploader->source_ended;
        if (!tw_path_exists(finals[i].path) || (i + 1 == n && !whole)) {
            continue;
        }
        upload_final(uploader, &cloud, &finals[i]);
        go_on = tick(user, &uploader->progress);
    }
    tw_cloud_close(cloud);
    TW_TRY(summarise(uploader, summary, err));
    return go_on ? TRAWL_OK : tw_fail(err, TRAWL_ERR_CANCELLED, "stopped on request");
}
