/* SPDX-License-Identifier: MIT */
/* Activations over a corpus of texts. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/harvest/harvest_run.h"
#include "base/alloc.h"
#include "cli/cmd.h"
#include "cli/harvest/harvest_plan.h"
#include "cli/interrupt.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"
#include "cli/upload.h"

struct harvest {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    const struct cli_args *args;
    struct cli_upload upload;
    struct tw_tokenizer *tokenizer;
    struct tw_harvest_input input;
    struct tw_harvest_config config;
    struct tw_harvest_plan plan;
    struct harvest_sites sites;
    bool planned; /* else the input can be read only once */
};

/* ---- options ---- */

static trawl_status check_options(const struct cli_args *args, struct trawl_error *err)
{
    if (cli_get_flag(args, "add_bos") && cli_get_flag(args, "no_bos")) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--add_bos and --no_bos exclude each other");
    }
    if (cli_get_int(args, "shard_id") >= cli_get_int(args, "num_shards")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--shard_id %" PRId64 " of --num_shards %" PRId64 ": counted from 0",
                       cli_get_int(args, "shard_id"), cli_get_int(args, "num_shards"));
    }
    if (cli_get_flag(args, "shuffle_rows") && cli_given(args, "save_every_n_batches")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--save_every_n_batches: with --shuffle_rows what is mixed is committed together; "
                       "--shuffle_buffer says how much that is");
    }
    if (strcmp(cli_get_string(args, "activations_format"), "pkl") == 0 &&
        (cli_get_flag(args, "shuffle_rows") || cli_get_flag(args, "logprobs"))) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "--%s: pickles have an entry for each context, and no columns; take --activations_format "
            "safetensors",
            cli_get_flag(args, "shuffle_rows") ? "shuffle_rows" : "logprobs");
    }
    if (cli_get_flag(args, "pack") && strcmp(cli_get_string(args, "overflow"), "split") != 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--pack splits documents where a context ends: it does not go with --overflow %s",
                       cli_get_string(args, "overflow"));
    }
    if (cli_get_flag(args, "split_lines") && strcmp(cli_get_string(args, "input_format"), "jsonl") == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--split_lines is about text files, --input_format jsonl says that there are none");
    }
    if (cli_get_int(args, "drop_first_tokens") >= cli_get_int(args, "context_size")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--drop_first_tokens %" PRId64 " of --context_size %" PRId64 ": no row would be left",
                       cli_get_int(args, "drop_first_tokens"), cli_get_int(args, "context_size"));
    }
    return TRAWL_OK;
}

static trawl_status check_input(struct harvest *h, const struct cli_args *args, struct trawl_error *err)
{
    size_t n_stdin = 0;
    for (size_t i = 0; i < h->input.n_paths; i++) {
        n_stdin += strcmp(h->input.paths[i], "-") == 0;
    }
    h->planned = n_stdin == 0;
    if (n_stdin > 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--input names standard input %zu times, it can be read once",
                       n_stdin);
    }
    if (!h->planned && cli_get_flag(args, "resume")) {
        return tw_fail(
            err, TRAWL_ERR_INVALID,
            "--resume: what an interrupted run had read from standard input cannot be read again; write "
            "it to a file for a run that can be resumed");
    }
    if (!h->planned && cli_get_flag(args, "dry_run")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--dry_run reads all input, and standard input can be read once");
    }
    return TRAWL_OK;
}

static enum tw_harvest_format format_of(const char *name)
{
    return strcmp(name, "text") == 0    ? TW_HARVEST_TEXT
           : strcmp(name, "jsonl") == 0 ? TW_HARVEST_JSONL
                                        : TW_HARVEST_AUTO;
}

static enum tw_harvest_overflow overflow_of(const char *name)
{
    return strcmp(name, "truncate") == 0 ? TW_HARVEST_TRUNCATE
           : strcmp(name, "skip") == 0   ? TW_HARVEST_SKIP
                                         : TW_HARVEST_SPLIT;
}

static void print_skipped(void *user, const char *why)
{
    struct harvest *h = user;
    cli_progress_say(&h->ui.progress, "trawl harvest: skipped: %s", why);
}

static trawl_status choose_end(struct harvest *h, struct trawl_error *err)
{
    h->config.cut.end = tw_tokenizer_named(h->tokenizer, TW_TOKEN_EOS, NULL);
    return !h->config.cut.pack || h->config.cut.end >= 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                         "--pack: tokenizer_config.json of the model names no end token to put between "
                         "documents");
}

static trawl_status configure(struct harvest *h, const struct cli_args *args, const char *folder,
                              struct trawl_error *err)
{
    TW_TRY(check_options(args, err));
    TW_TRY(harvest_sites_choose(&h->sites, args, folder, err));
    TW_TRY(tw_tokenizer_open(folder, &h->tokenizer, err));
    h->input = (struct tw_harvest_input){
        .format      = format_of(cli_get_string(args, "input_format")),
        .split_lines = cli_get_flag(args, "split_lines"),
        .text_field  = cli_get_string(args, "text_field"),
        .bos         = cli_get_flag(args, "no_bos")    ? TW_HARVEST_BOS_NONE
                       : cli_get_flag(args, "add_bos") ? TW_HARVEST_BOS_ADD
                                                       : TW_HARVEST_BOS_AUTO,
        .tokenizer   = h->tokenizer,
        .vocab_size  = h->sites.model.vocab,
        .skipped     = print_skipped,
        .user        = h,
    };
    h->input.n_paths = cli_get_strings(args, "input", &h->input.paths);
    TW_TRY(check_input(h, args, err));
    h->config = (struct tw_harvest_config){
        .input        = &h->input,
        .cut          = {.context_size      = (size_t)cli_get_int(args, "context_size"),
                         .overflow          = overflow_of(cli_get_string(args, "overflow")),
                         .pack              = cli_get_flag(args, "pack"),
                         .drop_first_tokens = (size_t)cli_get_int(args, "drop_first_tokens"),
                         .max_tokens        = (uint64_t)cli_get_int_or(args, "max_tokens", 0),
                         .max_documents     = (uint64_t)cli_get_int_or(args, "max_documents", 0)},
        .drop_special = cli_get_flag(args, "drop_special"),
        .shard_id     = (unsigned)cli_get_int(args, "shard_id"),
        .num_shards   = (unsigned)cli_get_int(args, "num_shards"),
    };
    return choose_end(h, err);
}

/* ---- the run ---- */

static void print_failed(void *user, const char *why)
{
    struct harvest *h = user;
    cli_progress_say(&h->ui.progress, "trawl harvest: %s", why);
}

static void on_start(void *user, uint64_t committed)
{
    struct harvest *h = user;
    cli_upload_start(&h->upload, h->args, cli_get_string(h->args, "activations_dir"));
    cli_progress_start(&h->ui.progress, "harvest", "contexts", h->plan.contexts, h->ui.progress.quiet);
    cli_progress_resume(&h->ui.progress, committed);
    if (committed > 0) {
        (void)fprintf(stderr,
                      "trawl harvest: %" PRIu64 " of %" PRIu64 " contexts are in the journal already\n",
                      committed, h->plan.contexts);
    }
}

/* Sequences are never longer than a context: caches need not be made for the model's own limit. */
static trawl_status open_engine(const struct cli_args *args, size_t context_size, trawl_engine **engine,
                                size_t *batch, struct trawl_error *err)
{
    struct trawl_engine_config c;
    char *folder = NULL;
    TW_TRY(cli_engine_config(args, &c, &folder, err));
    c.max_model_len     = c.max_model_len == 0 ? context_size : c.max_model_len;
    *batch              = c.batch_size * (size_t)c.mesh_data;
    trawl_status status = trawl_engine_open(&c, engine, err);
    tw_free(folder);
    return status;
}

static size_t commit_every(const struct cli_args *args)
{
    int64_t fit = cli_get_int(args, "shuffle_buffer") / cli_get_int(args, "context_size");
    return cli_get_flag(args, "shuffle_rows")
               ? (size_t)(fit > 0 ? fit : 1)
               : (size_t)(cli_get_int(args, "batch_size") * cli_get_int(args, "save_every_n_batches"));
}

static trawl_status run_engine(struct harvest *h, const struct cli_args *args, trawl_engine *engine,
                               size_t batch, struct tw_harvest_summary *summary, struct trawl_error *err)
{
    const char *format            = cli_get_string(args, "activations_format");
    const struct tw_harvest_run r = {
        .config       = &h->config,
        .plan         = h->planned ? &h->plan : NULL,
        .capture      = {.sites        = h->sites.patterns,
                         .n_sites      = h->sites.n_patterns,
                         .dir          = cli_get_string(args, "activations_dir"),
                         .format       = strcmp(format, "pkl") == 0 ? TRAWL_FORMAT_PKL : TRAWL_FORMAT_SAFETENSORS,
                         .dtype        = h->sites.dtype,
                         .logprobs     = cli_get_flag(args, "logprobs"),
                         .shuffle_rows = cli_get_flag(args, "shuffle_rows"),
                         .shuffle_seed = (uint64_t)cli_get_int(args, "random_seed")},
        .resume       = cli_get_flag(args, "resume"),
        .commit_every = commit_every(args),
        .ahead        = 2 * batch,
        .failed       = print_failed,
        .on_start     = on_start,
        .on_tick      = cli_job_tick,
        .user         = h,
    };
    return tw_harvest_run(engine, &r, summary, err);
}

static bool on_read(void *user, const struct tw_harvest_counts *counts)
{
    struct harvest *h = user;
    cli_progress_update(&h->ui.progress, counts->tokens, 0);
    return !cli_interrupted();
}

static trawl_status plan(struct harvest *h, const struct cli_args *args, struct trawl_error *err)
{
    if (!h->planned) {
        (void)fprintf(stderr,
                      "trawl harvest: standard input is read as it comes: there is no plan, and the run "
                      "cannot be resumed\n");
        return TRAWL_OK;
    }
    TW_TRY(tw_harvest_plan(&h->config, on_read, h, &h->plan, err));
    cli_progress_finish(&h->ui.progress);
    return harvest_plan_check(&h->plan, &h->sites, commit_every(args), args, err);
}

static uint64_t skipped_documents(const struct harvest *h, const struct tw_harvest_summary *summary)
{
    return h->planned ? h->plan.skipped : summary->skipped;
}

static bool summary_incomplete(const struct harvest *h, const struct tw_harvest_summary *summary)
{
    return skipped_documents(h, summary) + summary->failed > 0;
}

/* *uploaded: as cli_upload_end. */
static trawl_status run(struct harvest *h, const struct cli_args *args, struct tw_harvest_summary *summary,
                        int *uploaded, struct trawl_error *err)
{
    trawl_engine *engine = NULL;
    char *folder         = NULL;
    size_t batch         = 0;
    TW_TRY(cli_model_folder(cli_get_string(args, "model_path"), &folder, err));
    trawl_status status = configure(h, args, folder, err);
    tw_free(folder);
    TW_TRY(status);
    TW_TRY(plan(h, args, err));
    if (cli_get_flag(args, "dry_run")) {
        return harvest_plan_estimate(&h->plan, &h->sites, args, err);
    }
    TW_TRY(cli_upload_check(args, err));
    TW_TRY(open_engine(args, h->config.cut.context_size, &engine, &batch, err));
    status = run_engine(h, args, engine, batch, summary, err);
    cli_progress_finish(&h->ui.progress);
    *uploaded = cli_upload_end(&h->upload, status, &h->ui.progress, err);
    if (status == TRAWL_OK && *uploaded != 0 && summary_incomplete(h, summary)) { /* two things to say */
        (void)fprintf(stderr, "trawl harvest: %s\n", err->message);
    }
    trawl_engine_close(&engine);
    TW_TRY(status);
    return harvest_summary_print(summary, h->planned, cli_get_string(args, "activations_dir"), err);
}

int cmd_harvest(const struct cli_args *args, struct trawl_error *err)
{
    struct harvest h                  = {.args = args, .upload = {.command = "harvest"}};
    struct tw_harvest_summary summary = {0};
    int uploaded                      = 0;
    cli_progress_start(&h.ui.progress, "reading", "tokens", (uint64_t)cli_get_int_or(args, "max_tokens", 0),
                       cli_get_flag(args, "quiet"));
    trawl_status status = run(&h, args, &summary, &uploaded, err);
    cli_progress_finish(&h.ui.progress);
    tw_tokenizer_close(h.tokenizer);
    harvest_sites_release(&h.sites);
    if (status == TRAWL_ERR_CANCELLED) {
        (void)tw_fail(err, status, "stopped; %s",
                      h.plan.contexts > 0 ? "the same command with --resume goes on where the journal ends"
                      : h.planned         ? "nothing had been computed"
                                  : "what was committed stays, but standard input cannot be read again");
    }
    if (status == TRAWL_OK && summary_incomplete(&h, &summary)) {
        (void)tw_fail(err, TRAWL_ERR_FORMAT,
                      "%" PRIu64 " documents were skipped and %" PRIu64 " contexts could not be run",
                      skipped_documents(&h, &summary), summary.failed);
        return CLI_EXIT_INCOMPLETE;
    }
    return uploaded != 0 ? uploaded : cli_exit_code(status);
}
