/* SPDX-License-Identifier: MIT */
/* Fetch from a hub. The work is done on a thread, so that Ctrl-C is heard while a server says nothing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/hub_place.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "hub/hub_pull.h"

enum { POLL_MS = 50 };

struct pull {
    struct tw_hub_pull_config config;
    struct tw_hub_pull_summary summary;
    struct tw_str cache, folder;
    struct cli_progress progress;
    atomic_bool cancelled, ended;
    _Atomic uint64_t bytes, all_bytes;
    trawl_status status; /* of the thread, when it has ended */
    struct trawl_error err;
};

static void print_log(void *user, int level, const char *message)
{
    (void)user;
    (void)level;
    (void)fprintf(stderr, "trawl pull: %s\n", message);
}

/* ---- on the thread ---- */

static void on_start(void *user, size_t files, uint64_t bytes)
{
    struct pull *p = user;
    (void)files;
    atomic_store(&p->all_bytes, bytes);
}

static bool on_bytes(void *user, uint64_t bytes)
{
    struct pull *p = user;
    atomic_store(&p->bytes, bytes);
    return !atomic_load(&p->cancelled);
}

static void *run_thread(void *user)
{
    struct pull *p = user;
    p->status      = tw_hub_pull(&p->config, &p->summary, &p->folder, &p->err);
    atomic_store(&p->ended, true);
    return NULL;
}

/* ---- on the command's ---- */

static const uint64_t megabyte = 1000000;

static void watch(struct pull *p, bool quiet)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    bool started                = false;
    while (!atomic_load(&p->ended)) {
        (void)nanosleep(&pause, NULL);
        if (cli_interrupted()) {
            atomic_store(&p->cancelled, true);
        }
        uint64_t all = atomic_load(&p->all_bytes);
        if (all > 0 && !started) {
            cli_progress_start(&p->progress, "pull", "MB", all / megabyte, quiet);
            started = true;
        }
        if (started) {
            cli_progress_update(&p->progress, atomic_load(&p->bytes) / megabyte, 0);
        }
    }
    if (started) {
        cli_progress_finish(&p->progress);
    }
}

static trawl_status run(struct pull *p, bool quiet, struct trawl_error *err)
{
    pthread_t thread;
    int code = pthread_create(&thread, NULL, run_thread, p);
    if (code != 0) {
        return tw_fail_os(err, code, "a thread");
    }
    watch(p, quiet);
    code = pthread_join(thread, NULL);
    TW_BUG_ON(code != 0);
    if (p->status != TRAWL_OK && err != NULL) {
        *err = p->err;
    }
    return p->status;
}

static trawl_status configure(struct pull *p, const struct cli_args *args, struct trawl_error *err)
{
    struct tw_hub_pull_config *c = &p->config;
    const char *endpoint = cli_environment("HF_ENDPOINT"), *offline = cli_environment("HF_HUB_OFFLINE");
    if (offline != NULL && strcmp(offline, "0") != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "HF_HUB_OFFLINE is set: nothing may be fetched");
    }
    TW_TRY(cli_hub_cache(&p->cache, err));
    c->endpoint  = endpoint != NULL ? endpoint : "https://huggingface.co";
    c->type      = strcmp(cli_get_string(args, "repo_type"), "model") == 0 ? TW_HUB_MODEL : TW_HUB_DATASET;
    c->id        = cli_operand(args, 0);
    c->revision  = cli_get_string(args, "revision");
    c->cache     = tw_str_text(&p->cache);
    c->local_dir = cli_get_string(args, "local_dir");
    c->include.n = cli_get_strings(args, "include", &c->include.list);
    c->exclude.n = cli_get_strings(args, "exclude", &c->exclude.list);
    c->source = (struct tw_hub_source){.token = cli_environment("HF_TOKEN"), .on_bytes = on_bytes, .user = p};
    c->on_start                  = on_start;
    struct tw_http_config client = {.cancelled = &p->cancelled, .log = {print_log, NULL, TW_LOG_INFO}};
    return tw_http_client_new(&client, &c->source.client, err);
}

static trawl_status print_folder(struct pull *p, struct trawl_error *err)
{
    const struct tw_hub_pull_summary *s = &p->summary;
    (void)fprintf(stderr, "trawl pull: %s at %.12s: %zu files, %.1f MB; %zu of them fetched now, %.1f MB\n",
                  p->config.id, s->commit, s->files, (double)s->bytes / 1e6, s->fetched,
                  (double)s->fetched_bytes / 1e6);
    TW_TRY(tw_str_putc(&p->folder, '\n', err));
    return cli_write(p->folder.data, p->folder.size, err);
}

int cmd_pull(const struct cli_args *args, struct trawl_error *err)
{
    struct pull p = {.status = TRAWL_OK};
    tw_str_init(&p.cache, 0);
    tw_str_init(&p.folder, 0);
    trawl_status status = configure(&p, args, err);
    if (status == TRAWL_OK) {
        status = run(&p, cli_get_flag(args, "quiet"), err);
    }
    if (status == TRAWL_OK) {
        status = print_folder(&p, err);
    }
    tw_http_client_free(p.config.source.client);
    tw_str_release(&p.cache);
    tw_str_release(&p.folder);
    if (status == TRAWL_ERR_CANCELLED) {
        (void)tw_fail(err, status, "stopped; the same command goes on where it was");
    }
    return cli_exit_code(status);
}
