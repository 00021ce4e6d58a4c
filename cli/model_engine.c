/* SPDX-License-Identifier: MIT */
#include "cli/model_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "cli/interrupt.h"
#include "cli/model_folder.h"
#include "model/model_packed.h"

static void print_log(void *user, int level, const char *message)
{
    (void)user;
    (void)fprintf(stderr, "trawl: %s%s\n", level == TRAWL_LOG_WARNING ? "warning: " : "", message);
}

static enum trawl_dtype dtype_of(const struct cli_args *args, const char *name)
{
    return strcmp(cli_get_string(args, name), "float32") == 0 ? TRAWL_DTYPE_FLOAT32 : TRAWL_DTYPE_BFLOAT16;
}

/* --verify_weights: a folder without packed weights has nothing to verify, packing reads all of it anyway. */
static trawl_status verify_packed(const char *folder, struct trawl_error *err)
{
    bool packed = false;
    TW_TRY(tw_packed_present(folder, &packed, err));
    return packed ? tw_packed_verify(folder, tw_cores_available(), NULL, err) : TRAWL_OK;
}

trawl_status cli_engine_config(const struct cli_args *args, struct trawl_engine_config *c, char **folder,
                               struct trawl_error *err)
{
    struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
    TW_TRY(cli_model_folder(cli_get_string(args, "model_path"), folder, err));
    if (cli_get_flag(args, "verify_weights")) {
        trawl_status status = verify_packed(*folder, err);
        if (status != TRAWL_OK) {
            tw_free(*folder);
            *folder = NULL;
            return status;
        }
    }
    trawl_engine_config_init(c);
    c->model_path       = *folder;
    c->world            = cli_args_world(args);
    c->devices_per_rank = (int)cli_get_int(args, "devices_per_rank");
    /* One process has one pool of cores and memory, which one device uses best. */
    c->mesh_data        = !mesh.automatic    ? mesh.data
                          : c->world == NULL ? 1
                                             : trawl_world_size(c->world) * c->devices_per_rank;
    c->mesh_model       = mesh.automatic ? 1 : mesh.model;
    c->dtype            = dtype_of(args, "dtype");
    c->kv_dtype_set     = cli_given(args, "kv_dtype");
    c->kv_dtype         = c->kv_dtype_set ? dtype_of(args, "kv_dtype") : c->dtype;
    c->threads          = (int)cli_get_int_or(args, "threads", 0);
    c->batch_size       = (size_t)cli_get_int(args, "batch_size");
    c->prefill_chunk    = (size_t)cli_get_int(args, "prefill_chunk");
    c->tree_leaves      = (int)cli_get_int(args, "tree_leaves");
    c->max_model_len    = (size_t)cli_get_int_or(args, "max_model_len", 0);
    c->kv_cache_bytes   = cli_given(args, "kv_cache_bytes") ? cli_get_size(args, "kv_cache_bytes") : 0;
    c->prefix_cache     = (int)cli_get_int(args, "prefix_cache");
    c->compress_weights = (int)cli_get_int(args, "compress_weights");

    c->prompt_lookup_num_tokens = (size_t)cli_get_int(args, "prompt_lookup_num_tokens");
    c->isa                      = getenv("TRAWL_ISA");
    c->log                      = print_log;
    c->log_level                = TRAWL_LOG_INFO;
    return TRAWL_OK;
}

trawl_status cli_engine_open(const struct cli_args *args, trawl_engine **out, struct trawl_error *err)
{
    struct trawl_engine_config c;
    char *folder = NULL;
    *out         = NULL;
    TW_TRY(cli_engine_config(args, &c, &folder, err));
    trawl_status status = trawl_engine_open(&c, out, err);
    tw_free(folder);
    return status;
}

bool cli_needs_world(const struct cli_command *command)
{
    for (size_t i = 0; command->groups[i] != NULL; i++) {
        if (command->groups[i] == &cli_model_group) {
            return trawl_world_launched();
        }
    }
    return false;
}

/* Rank 0 talks for all; a rank speaks up itself only when it found something that rank 0 may not live to
 * tell. */
int cli_serve(const struct cli_args *args, struct trawl_error *err)
{
    struct trawl_engine_config c;
    char *folder        = NULL;
    trawl_world *world  = cli_args_world(args);
    trawl_status status = cli_engine_config(args, &c, &folder, err);
    if (status == TRAWL_OK) {
        c.log  = NULL;
        status = trawl_world_serve(world, &c, err);
    } else {
        trawl_world_fail(world, err);
    }
    tw_free(folder);
    if (status != TRAWL_ERR_COMM || trawl_world_learnt(world)) {
        err->message[0] = '\0';
    }
    return cli_exit_code(status);
}

bool cli_job_tick(void *user, trawl_job *job)
{
    struct cli_job_ui *ui = user;
    struct trawl_job_stats stats;
    trawl_job_stats(job, &stats);
    cli_progress_update(&ui->progress,
                        stats.finished - ui->progress.base_done, /* those of the journal are told */
                        stats.prompt_tokens + stats.generated_tokens);
    return !cli_interrupted();
}

void cli_job_end(struct cli_job_ui *ui, trawl_job **job, trawl_engine **engine)
{
    cli_progress_finish(&ui->progress);
    trawl_job_close(job);
    trawl_engine_close(engine);
}

void cli_print_kv_cache(const struct trawl_job_stats *s)
{
    if (s->cached_tokens + s->preemptions + s->kv_pages_evicted == 0) {
        return;
    }
    (void)fprintf(stderr,
                  "KV cache: %" PRIu64 " of %" PRIu64 " prompt tokens found, at most %" PRIu64 " of %" PRIu64
                  " pages in use, %.0f %% filled; %" PRIu64 " evicted, %" PRIu64 " preemption%s, %" PRIu64
                  " steps\n",
                  s->cached_tokens, s->prompt_tokens, s->kv_pages_peak, s->kv_pages, 100 * s->kv_pages_filled,
                  s->kv_pages_evicted, s->preemptions, s->preemptions == 1 ? "" : "s", s->steps);
}

void cli_print_guesses(const struct trawl_job_stats *s)
{
    if (s->draft_tokens > 0) {
        (void)fprintf(
            stderr, "Guessed ahead: %" PRIu64 " tokens, of which %" PRIu64 " (%.0f %%) were right\n",
            s->draft_tokens, s->accepted_tokens, 100 * (double)s->accepted_tokens / (double)s->draft_tokens);
    }
}

void cli_print_timed_out(const struct trawl_job_stats *s)
{
    if (s->timed_out > 0) {
        (void)fprintf(stderr, "%" PRIu64 " request%s ended by timeout, with what %s had then\n", s->timed_out,
                      s->timed_out == 1 ? "" : "s", s->timed_out == 1 ? "it" : "they");
    }
}

size_t cli_peak_resident_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (size_t)u.ru_maxrss * 1024 : 0;
}
