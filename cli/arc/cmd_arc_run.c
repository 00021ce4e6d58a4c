/* SPDX-License-Identifier: MIT */
/* Predict the test grids of ARC tasks. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/arc/arc_run.h"
#include "base/alloc.h"
#include "cli/cmd.h"
#include "cli/generate/generate_rows.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"
#include "cli/run_settings.h"
#include "cli/terminal.h"
#include "cli/upload.h"

enum { LAYER_NAME = 32 };

struct arc_run {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    const struct cli_args *args;
    struct cli_upload upload;
    struct tw_arc_dataset dataset;
    struct tw_arc_prompt *prompt;
    struct tw_tokenizer *tokenizer;
    trawl_engine *engine;
    const char **sites;
    char (*site_names)[LAYER_NAME];
    size_t n_sites;
};

static void print_warning(void *user, int level, const char *message)
{
    struct arc_run *a = user;
    (void)level;
    cli_progress_say(&a->ui.progress, "trawl arc run: %s", message);
}

static void print_report(void *user, const char *text)
{
    (void)user;
    (void)cli_write(text, strlen(text), NULL);
    (void)cli_flush(NULL);
}

static void on_start(void *user, size_t n_prompts, size_t n_done)
{
    struct arc_run *a = user;
    bool quiet        = a->ui.progress.quiet;
    cli_upload_start(&a->upload, a->args, cli_get_string(a->args, "activations_dir"));
    cli_progress_start(&a->ui.progress, "arc run", "prompts", n_prompts, quiet);
    if (n_done > 0) {
        cli_progress_resume(&a->ui.progress, n_done);
        (void)fprintf(stderr, "trawl arc run: %zu of %zu prompts are in the journal already\n", n_done,
                      n_prompts);
    }
}

/* What would be refused of every prompt is refused at once. */
static trawl_status check_answers(const struct cli_args *args, struct trawl_error *err)
{
    int64_t best_of = cli_get_int(args, "best_of"), num_beams = cli_get_int(args, "num_beams");
    double temperature = cli_get_float(args, "temperature");
    if (best_of > 1 && num_beams > 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--best_of and --num_beams exclude each other");
    }
    if (best_of > 1 && !(temperature > 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--best_of %" PRId64 " with temperature 0: all answers would be the same; add a "
                       "--temperature, or ask for a beam search with --num_beams %" PRId64,
                       best_of, best_of);
    }
    if (num_beams > 1 && (temperature > 0 || cli_get_flag(args, "constrain_grids") ||
                          cli_get_flag(args, "extract_activations"))) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--num_beams %" PRId64 " goes with temperature 0 and without --constrain_grids, and "
                       "activations of beams are not stored: add --no_extract_activations",
                       num_beams);
    }
    return TRAWL_OK;
}

/* What the options ask for and this program cannot do (yet): better refused than ignored. */
static trawl_status check_options(const struct cli_args *args, struct trawl_error *err)
{
    TW_TRY(check_answers(args, err));
    if (cli_get_flag(args, "upload_to_cloud") && !cli_get_flag(args, "extract_activations")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--upload_to_cloud: there is nothing to upload without activations");
    }
    if (cli_get_flag(args, "upload_results") && !cli_get_flag(args, "upload_to_cloud")) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--upload_results goes with --upload_to_cloud");
    }
    if (cli_get_int(args, "shard_id") >= cli_get_int(args, "num_shards")) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--shard_id %" PRId64 " of --num_shards %" PRId64 ": counted from 0",
                       cli_get_int(args, "shard_id"), cli_get_int(args, "num_shards"));
    }
    return TRAWL_OK;
}

static trawl_status choose_layers(struct arc_run *a, const struct cli_args *args, size_t n_layers,
                                  struct trawl_error *err)
{
    const int64_t *given = NULL;
    int64_t usual[3]     = {0, (int64_t)(n_layers - 1) / 2, (int64_t)n_layers - 1};
    size_t n             = cli_get_ints(args, "layers_to_extract", &given);
    if (!cli_get_flag(args, "extract_activations")) {
        return TRAWL_OK;
    }
    if (n == 0) {
        given = usual;
        n     = 3;
    }
    TW_TRY(tw_alloc(n, sizeof *a->sites, &a->sites, err));
    TW_TRY(tw_alloc(n, sizeof *a->site_names, &a->site_names, err));
    for (size_t i = 0; i < n; i++) {
        if (given[i] >= (int64_t)n_layers) {
            return tw_fail(err, TRAWL_ERR_INVALID,
                           "--layers_to_extract %" PRId64 ": the model has %zu layers, 0 to %zu", given[i],
                           n_layers, n_layers - 1);
        }
        (void)snprintf(a->site_names[i], LAYER_NAME, "layer_%" PRId64, given[i]);
        a->sites[i] = a->site_names[i];
    }
    a->n_sites = n;
    return TRAWL_OK;
}

static enum tw_arc_positions positions_of(const char *name)
{
    return strcmp(name, "last") == 0     ? TW_ARC_POSITIONS_LAST
           : strcmp(name, "answer") == 0 ? TW_ARC_POSITIONS_ANSWER
                                         : TW_ARC_POSITIONS_ALL;
}

/* Everything that can be wrong with the input is looked at before the weights are read. */
static trawl_status load_input(struct arc_run *a, const struct cli_args *args, struct trawl_error *err)
{
    struct tw_log log = {print_warning, a, TW_LOG_WARNING};
    struct tw_arc_encoder encoder;
    char *folder = NULL;
    TW_TRY(check_options(args, err));
    TW_TRY(tw_arc_encoder_parse(&encoder, cli_get_string(args, "grid_encoder"), err));
    TW_TRY(tw_arc_prompt_open(&a->prompt, cli_get_string(args, "prompt_version"),
                              cli_get_string(args, "prompt_dir"), &encoder, err));
    if (cli_get_string(args, "prompt_dir") == NULL) {
        (void)fprintf(
            stderr,
            "trawl arc run: prompts in the built-in wording of \"%s\"; a model that was fine-tuned on other "
            "words needs them through --prompt_dir\n",
            cli_get_string(args, "prompt_version"));
    }
    TW_TRY(tw_arc_dataset_load(&a->dataset, cli_get_string(args, "dataset_path"),
                               cli_get_int_or(args, "n_tasks", 0), &log, err));
    TW_TRY(cli_model_folder_checked(cli_get_string(args, "model_path"), &folder, err));
    trawl_status status = tw_tokenizer_open(folder, &a->tokenizer, err);
    tw_free(folder);
    return status != TRAWL_OK ? status : cli_upload_check(args, err);
}

/* ---- the run ---- */

static trawl_status run(struct arc_run *a, const struct cli_args *args, struct tw_arc_run_summary *summary,
                        struct trawl_error *err)
{
    TW_TRY(load_input(a, args, err));
    TW_TRY(cli_engine_open(args, &a->engine, err));
    struct trawl_model_info info;
    trawl_engine_info(a->engine, &info);
    TW_TRY(choose_layers(a, args, info.n_layers, err));

    bool pkl              = strcmp(cli_get_string(args, "activations_format"), "pkl") == 0;
    size_t batch          = (size_t)cli_get_int(args, "batch_size");
    struct cli_settings s = {.n = 0};
    struct trawl_request request;
    cli_settings_add(&s, "grid_encoder", cli_get_string(args, "grid_encoder"));
    cli_settings_add(&s, "prompt_version", cli_get_string(args, "prompt_version"));
    cli_settings_add(&s, "prompt_wording",
                     cli_get_string(args, "prompt_dir") == NULL ? "built-in" : "prompt_dir");
    cli_settings_add_changed(&s, args, &cli_sampling_group);
    cli_settings_add_changed(&s, args, &cli_search_group);
    trawl_request_init(&request);
    cli_sampling_numbers(&request, args, false);
    cli_row_search_defaults(&request, args);
    request.num_beams = request.num_beams > 1 ? request.num_beams : 0;

    struct tw_arc_run_config c = {
        .dataset           = &a->dataset,
        .prompt            = a->prompt,
        .tokenizer         = a->tokenizer,
        .output_path       = cli_get_string(args, "output_filepath"),
        .settings          = s.list,
        .n_settings        = s.n,
        .seed              = (uint64_t)cli_get_int(args, "random_seed"),
        .predictions       = cli_get_int(args, "predictions_per_task"),
        .max_output_tokens = (size_t)cli_get_int(args, "max_output_tokens"),
        .request           = &request,
        .constrain_grids   = cli_get_flag(args, "constrain_grids"),
        .timeout           = cli_given(args, "timeout") ? cli_get_float(args, "timeout") : 0,
        .resume            = cli_get_flag(args, "resume"),
        .shard_id          = (int)cli_get_int(args, "shard_id"),
        .num_shards        = (int)cli_get_int(args, "num_shards"),
        .commit_every      = batch * (size_t)cli_get_int(args, "save_every_n_batches"),
        .capture           = {.sites   = a->sites,
                              .n_sites = a->n_sites,
                              .dir     = a->n_sites > 0 ? cli_get_string(args, "activations_dir") : NULL,
                              .format  = pkl ? TRAWL_FORMAT_PKL : TRAWL_FORMAT_SAFETENSORS,
                              .dtype   = TRAWL_DTYPE_BFLOAT16},
        .positions         = positions_of(cli_get_string(args, "positions_to_extract")),
        .batch             = batch * (size_t)info.mesh_data,
        .log               = {print_warning, a, TW_LOG_WARNING},
        .report            = print_report,
        .on_tick           = cli_job_tick,
        .on_start          = on_start,
        .user              = a,
    };
    return tw_arc_run(a->engine, &c, summary, err);
}

static void print_summary(const struct cli_args *args, const struct tw_arc_run_summary *s)
{
    (void)fprintf(stderr, "trawl arc run: %zu prompts, %zu with a readable grid, %zu could not be run",
                  s->prompts, s->answered, s->failed);
    if (s->seconds > 0 && s->job.prompt_tokens > 0) {
        (void)fprintf(stderr, "; %" PRIu64 " prompt and %" PRIu64 " new tokens in %.1f s (%.0f tokens/s)",
                      s->job.prompt_tokens, s->job.generated_tokens, s->seconds,
                      (double)(s->job.prompt_tokens + s->job.generated_tokens) / s->seconds);
    }
    (void)fprintf(stderr, "\ntrawl arc run: predictions are in %s\n",
                  cli_get_string(args, "output_filepath"));
    cli_print_kv_cache(&s->job);
    cli_print_guesses(&s->job);
    cli_print_timed_out(&s->job);
}

static trawl_status add_results(struct arc_run *a, struct trawl_error *err)
{
    const char *output = cli_get_string(a->args, "output_filepath");
    char *records      = NULL;
    if (!cli_get_flag(a->args, "upload_results")) {
        return TRAWL_OK;
    }
    TW_TRY(cli_upload_add(&a->upload, output, err));
    TW_TRY(tw_arc_results_path(output, "_task_results.json", &records, err));
    trawl_status status = cli_upload_add(&a->upload, records, err);
    tw_free(records);
    return status;
}

int cmd_arc_run(const struct cli_args *args, struct trawl_error *err)
{
    struct arc_run a                  = {.args = args, .upload = {.command = "arc run"}};
    struct tw_arc_run_summary summary = {0};
    cli_progress_start(&a.ui.progress, "arc run", "prompts", 0, cli_get_flag(args, "quiet"));
    trawl_status status = run(&a, args, &summary, err);
    size_t skipped      = a.dataset.n_skipped;
    cli_progress_finish(&a.ui.progress);
    if (status == TRAWL_OK) {
        print_summary(args, &summary);
        status = add_results(&a, err);
    }
    int uploaded = cli_upload_end(&a.upload, status, &a.ui.progress, err);
    trawl_engine_close(&a.engine);
    tw_tokenizer_close(a.tokenizer);
    tw_arc_prompt_free(a.prompt);
    tw_arc_dataset_release(&a.dataset);
    tw_free((void *)a.sites);
    tw_free(a.site_names);
    if (status == TRAWL_ERR_CANCELLED) {
        (void)tw_fail(err, status, "stopped; the same command with --resume goes on where the journal ends");
    }
    if (status == TRAWL_OK && summary.failed + skipped > 0) {
        if (uploaded != 0) { /* two things to say */
            (void)fprintf(stderr, "trawl arc run: %s\n", err->message);
        }
        (void)tw_fail(err, TRAWL_ERR_FORMAT, "%zu prompts could not be run and %zu tasks were skipped",
                      summary.failed, skipped);
        return CLI_EXIT_INCOMPLETE;
    }
    return uploaded != 0 ? uploaded : cli_exit_code(status);
}
