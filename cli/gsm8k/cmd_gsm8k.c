/* SPDX-License-Identifier: MIT */
/* Accuracy on GSM8K, on one device, on a mesh, or on both and compared. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/gsm8k/gsm8k_run.h"
#include "apps/gsm8k/gsm8k_score.h"
#include "base/alloc.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "cli/generate/generate_sampling.h"
#include "cli/gsm8k/gsm8k_source.h"
#include "cli/model_engine.h"
#include "cli/model_folder.h"
#include "cli/run_settings.h"
#include "cli/terminal.h"
#include "text/text_chat.h"
#include "json/json.h"

enum { COMMIT_EVERY = 8 };

struct gsm8k {
    struct cli_job_ui ui; /* first: the job's user pointer serves on_tick too */
    const struct cli_args *args;
    struct tw_gsm8k_dataset dataset, shots;
    struct tw_gsm8k_example *examples; /* [shots.n] of the file of examples */
    struct tw_gsm8k_prompt prompt;
    struct tw_tokenizer *tokenizer;
    struct tw_gsm8k_trail trails[2]; /* with --compare: one device, the mesh */
    const char *label;               /* of the run under way */
    size_t to_show;
};

static void print_warning(void *user, int level, const char *message)
{
    struct gsm8k *g = user;
    (void)level;
    cli_progress_say(&g->ui.progress, "trawl gsm8k: %s", message);
}

/* ---- input ---- */

static trawl_status check_options(const struct cli_args *args, struct trawl_error *err)
{
    struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
    /* auto is one device unless there are more processes */
    bool one    = mesh.automatic ? cli_args_world(args) == NULL : mesh.data == 1 && mesh.model == 1;
    bool single = cli_get_flag(args, "single_device"), compare = cli_get_flag(args, "compare");
    if (single && compare) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--single_device and --compare exclude each other");
    }
    if (single && !one && !mesh.automatic) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--single_device is the mesh 1 1, --mesh_shape asks for another");
    }
    if (compare && one) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "--compare needs a mesh to compare one device with: add --mesh_shape 1 2, say");
    }
    if (cli_given(args, "fewshot_path") && cli_get_int(args, "num_fewshot") == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--fewshot_path without --num_fewshot: how many examples?");
    }
    if (cli_get_flag(args, "resume") && !cli_given(args, "output_filepath")) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--resume needs the --output_filepath of the run");
    }
    return TRAWL_OK;
}

static trawl_status read_examples(struct gsm8k *g, const char *path, size_t wanted, struct trawl_error *err)
{
    struct tw_log log = {print_warning, g, TW_LOG_WARNING};
    TW_TRY(tw_gsm8k_dataset_load(&g->shots, path, wanted, &log, err));
    TW_TRY(tw_alloc(g->shots.n, sizeof *g->examples, &g->examples, err));
    for (size_t i = 0; i < g->shots.n; i++) {
        g->examples[i] = (struct tw_gsm8k_example){g->shots.list[i].text, g->shots.list[i].answer};
    }
    g->prompt.examples   = g->examples;
    g->prompt.n_examples = g->shots.n;
    return TRAWL_OK;
}

static trawl_status choose_examples(struct gsm8k *g, struct trawl_error *err)
{
    size_t wanted    = (size_t)cli_get_int(g->args, "num_fewshot");
    const char *path = cli_get_string(g->args, "fewshot_path");
    if (wanted == 0) {
        return TRAWL_OK;
    }
    if (path != NULL) {
        TW_TRY(read_examples(g, path, wanted, err));
    } else {
        g->prompt.examples = tw_gsm8k_examples(&g->prompt.n_examples);
    }
    if (g->prompt.n_examples < wanted) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--num_fewshot %zu: %s has %zu examples", wanted,
                       path != NULL ? path : "trawl", g->prompt.n_examples);
    }
    g->prompt.n_examples = wanted;
    return TRAWL_OK;
}

static trawl_status choose_prompt(struct gsm8k *g, struct trawl_error *err)
{
    const char *given = cli_get_string(g->args, "system_prompt");
    bool has_template = tw_tokenizer_has_chat_template(g->tokenizer);
    TW_TRY(choose_examples(g, err));
    g->prompt.chat = cli_given(g->args, "apply_chat_template") ? cli_get_flag(g->args, "apply_chat_template")
                                                               : has_template && g->prompt.n_examples == 0;
    if (g->prompt.chat && !has_template) {
        return tw_fail(err, TRAWL_ERR_INVALID, "--apply_chat_template: the model has none");
    }
    g->prompt.instruction = given != NULL ? given : g->prompt.n_examples == 0 ? TW_GSM8K_INSTRUCTION : NULL;
    if (given != NULL && given[0] == '\0') {
        g->prompt.instruction = NULL;
    }
    return TRAWL_OK;
}

/* Everything that can be wrong with the input is looked at before the weights are read. */
static trawl_status load_input(struct gsm8k *g, struct trawl_error *err)
{
    struct tw_log log = {print_warning, g, TW_LOG_WARNING};
    char *path = NULL, *folder = NULL;
    size_t most = (size_t)cli_get_int_or(g->args, "num_samples", INT64_MAX);
    TW_TRY(check_options(g->args, err));
    TW_TRY(cli_gsm8k_find(cli_get_string(g->args, "dataset_path"), &path, err));
    trawl_status status = tw_gsm8k_dataset_load(&g->dataset, path, most, &log, err);
    tw_free(path);
    TW_TRY(status);
    TW_TRY(cli_model_folder_checked(cli_get_string(g->args, "model_path"), &folder, err));
    status = tw_tokenizer_open(folder, &g->tokenizer, err);
    tw_free(folder);
    TW_TRY(status);
    return choose_prompt(g, err);
}

/* ---- a run ---- */

static void on_start(void *user, size_t n_questions, size_t n_done)
{
    struct gsm8k *g = user;
    bool quiet      = g->ui.progress.quiet;
    cli_progress_start(&g->ui.progress, g->label, "questions", n_questions, quiet);
    if (n_done > 0) {
        cli_progress_resume(&g->ui.progress, n_done);
        (void)fprintf(stderr, "trawl gsm8k: %zu of %zu questions are in the journal already\n", n_done,
                      n_questions);
    }
}

static void on_answer(void *user, const struct tw_gsm8k_answered *a)
{
    struct gsm8k *g = user;
    if (g->to_show == 0) {
        return;
    }
    g->to_show--;
    cli_progress_finish(&g->ui.progress); /* the line would be torn; it is drawn again below */
    (void)printf("Question: %s\nPredicted: %s\nTarget: %s\n\n", a->question->text,
                 a->error != NULL       ? "(could not be run)"
                 : a->predicted != NULL ? a->predicted
                                        : "(no readable answer)",
                 a->question->target);
    (void)fflush(stdout);
}

static void collect_settings(const struct gsm8k *g, struct cli_settings *s)
{
    cli_settings_add(s, "task", "gsm8k");
    cli_settings_add_changed(s, g->args, &cli_draw_group);
}

/* On the mesh of the options, or on one device whatever they say, which is then a matter of this process alone. */
static trawl_status open_engine(const struct gsm8k *g, bool single, trawl_engine **engine,
                                struct trawl_error *err)
{
    struct trawl_engine_config c;
    char *folder = NULL;
    TW_TRY(cli_engine_config(g->args, &c, &folder, err));
    if (single) {
        c.mesh_data        = 1;
        c.mesh_model       = 1;
        c.devices_per_rank = 1;
        c.world            = NULL;
    }
    trawl_status status = trawl_engine_open(&c, engine, err);
    tw_free(folder);
    return status;
}

static trawl_status run_engine(struct gsm8k *g, trawl_engine *engine, bool reference, const char *journal,
                               struct tw_gsm8k_summary *summary, struct trawl_error *err)
{
    struct cli_settings settings = {.n = 0};
    struct trawl_request request;
    bool compare = cli_get_flag(g->args, "compare"), json = cli_get_flag(g->args, "json");
    collect_settings(g, &settings);
    trawl_request_init(&request);
    cli_sampling_numbers(&request, g->args, false);
    g->to_show                   = reference || json ? 0 : (size_t)cli_get_int(g->args, "show");
    struct tw_gsm8k_run_config c = {
        .dataset      = &g->dataset,
        .prompt       = &g->prompt,
        .tokenizer    = g->tokenizer,
        .output_path  = reference ? NULL : cli_get_string(g->args, "output_filepath"),
        .journal_path = journal,
        .settings     = settings.list,
        .n_settings   = settings.n,
        .request      = &request,
        .max_tokens   = (size_t)cli_get_int(g->args, "max_tokens"),
        .seed         = (uint64_t)cli_get_int(g->args, "seed"),
        .resume       = cli_get_flag(g->args, "resume"),
        .commit_every = COMMIT_EVERY,
        .trail        = compare ? &g->trails[!reference] : NULL,
        .log          = {print_warning, g, TW_LOG_WARNING},
        .on_start     = on_start,
        .on_answer    = on_answer,
        .on_tick      = cli_job_tick,
        .user         = g,
    };
    return tw_gsm8k_run(engine, &c, summary, err);
}

/* `reference`: the run on one device that the mesh is compared with. */
static trawl_status run_one(struct gsm8k *g, bool reference, struct tw_gsm8k_summary *summary,
                            struct trawl_error *err)
{
    const char *output   = cli_get_string(g->args, "output_filepath");
    bool compare         = cli_get_flag(g->args, "compare");
    char *journal        = NULL;
    trawl_engine *engine = NULL;
    g->label             = !compare ? "gsm8k" : reference ? "gsm8k, one device" : "gsm8k, mesh";
    if (output != NULL) {
        TW_TRY(tw_gsm8k_path(output, reference ? "_single_device_journal.jsonl" : "_journal.jsonl", &journal,
                             err));
    }
    trawl_status status = open_engine(g, reference || cli_get_flag(g->args, "single_device"), &engine, err);
    if (status == TRAWL_OK) {
        status = run_engine(g, engine, reference, journal, summary, err);
    }
    cli_progress_finish(&g->ui.progress);
    trawl_engine_close(&engine);
    tw_free(journal);
    return status;
}

/* ---- figures ---- */

static trawl_status print_lines(const struct tw_gsm8k_summary *s, struct trawl_error *err)
{
    struct tw_gsm8k_interval i = tw_gsm8k_wilson(s->correct, s->questions);
    struct tw_str out;
    tw_str_init(&out, 0);
    trawl_status status = tw_str_printf(&out, err,
                                        "Accuracy: %.2f %% (%zu of %zu), 95 %% interval %.2f to %.2f %%\n"
                                        "Without a readable answer: %zu; cut at the longest length: %zu\n",
                                        100 * (double)s->correct / (double)s->questions, s->correct,
                                        s->questions, 100 * i.low, 100 * i.high, s->unreadable, s->cut);
    if (status == TRAWL_OK) {
        status = cli_write(out.data, out.size, err);
    }
    tw_str_release(&out);
    return status;
}

static void put_count(struct tw_json_writer *w, const char *key, size_t n)
{
    tw_json_key(w, key);
    tw_json_int(w, (int64_t)n);
}

static trawl_status print_json(const struct gsm8k *g, const struct tw_gsm8k_summary *s,
                               struct trawl_error *err)
{
    struct tw_gsm8k_interval i = tw_gsm8k_wilson(s->correct, s->questions);
    struct tw_json_writer w;
    struct tw_str out;
    tw_str_init(&out, 0);
    tw_json_writer_init(&w, &out, 0);
    tw_json_begin_object(&w);
    put_count(&w, "questions", s->questions);
    put_count(&w, "correct", s->correct);
    tw_json_key(&w, "accuracy");
    tw_json_double(&w, (double)s->correct / (double)s->questions);
    tw_json_key(&w, "interval");
    tw_json_begin_array(&w);
    tw_json_double(&w, i.low);
    tw_json_double(&w, i.high);
    tw_json_end_array(&w);
    put_count(&w, "unreadable", s->unreadable);
    put_count(&w, "cut", s->cut);
    put_count(&w, "failed", s->failed);
    put_count(&w, "skipped", g->dataset.n_skipped);
    tw_json_end_object(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_str_putc(&out, '\n', err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(out.data, out.size, err);
    }
    tw_str_release(&out);
    return status;
}

static void print_speed(const struct gsm8k *g, const struct tw_gsm8k_summary *s)
{
    if (s->job.generated_tokens == 0 || !(s->seconds > 0)) {
        return;
    }
    (void)fprintf(stderr,
                  "trawl %s: %" PRIu64 " prompt and %" PRIu64 " new tokens in %.1f s (%.1f new tokens/s)\n",
                  g->label, s->job.prompt_tokens, s->job.generated_tokens, s->seconds,
                  (double)s->job.generated_tokens / s->seconds);
    cli_print_kv_cache(&s->job);
    cli_print_guesses(&s->job);
}

/* ---- comparing ---- */

static trawl_status name_difference(const struct gsm8k *g, const struct tw_gsm8k_difference *d,
                                    struct trawl_error *err)
{
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status =
        tw_gsm8k_difference_write(d, g->tokenizer, "on one device", "on the mesh", &text, err);
    if (status == TRAWL_OK) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "question %zu: %s", g->dataset.list[d->answer].id,
                         tw_str_text(&text));
    }
    tw_str_release(&text);
    return status;
}

static trawl_status compare_runs(const struct gsm8k *g, struct trawl_error *err)
{
    struct tw_gsm8k_difference d;
    if (!tw_gsm8k_equal(&g->trails[0], &g->trails[1], &d)) {
        return name_difference(g, &d, err);
    }
    (void)fprintf(cli_get_flag(g->args, "json") ? stderr : stdout,
                  "One device and the mesh are equal: %zu answers, %zu tokens, and every bit of their "
                  "log-probabilities\n",
                  g->trails[0].n, g->trails[0].n_tokens);
    return TRAWL_OK;
}

/* ---- the command ---- */

static trawl_status run(struct gsm8k *g, struct tw_gsm8k_summary *summary, struct trawl_error *err)
{
    TW_TRY(load_input(g, err));
    if (cli_get_flag(g->args, "compare")) {
        TW_TRY(run_one(g, true, summary, err));
        print_speed(g, summary);
    }
    TW_TRY(run_one(g, false, summary, err));
    print_speed(g, summary);
    TW_TRY(cli_get_flag(g->args, "json") ? print_json(g, summary, err) : print_lines(summary, err));
    return cli_get_flag(g->args, "compare") ? compare_runs(g, err) : TRAWL_OK;
}

int cmd_gsm8k(const struct cli_args *args, struct trawl_error *err)
{
    struct gsm8k g                  = {.args = args, .label = "gsm8k"};
    struct tw_gsm8k_summary summary = {0};
    cli_progress_start(&g.ui.progress, "gsm8k", "questions", 0, cli_get_flag(args, "quiet"));
    trawl_status status = run(&g, &summary, err);
    size_t skipped      = g.dataset.n_skipped;
    tw_tokenizer_close(g.tokenizer);
    tw_gsm8k_dataset_release(&g.dataset);
    tw_gsm8k_dataset_release(&g.shots);
    tw_gsm8k_trail_release(&g.trails[0]);
    tw_gsm8k_trail_release(&g.trails[1]);
    tw_free(g.examples);
    if (status == TRAWL_ERR_CANCELLED && cli_given(args, "output_filepath")) {
        (void)tw_fail(err, status, "stopped; the same command with --resume goes on where the journal ends");
    }
    if (status == TRAWL_OK && summary.failed + skipped > 0) {
        (void)tw_fail(err, TRAWL_ERR_FORMAT, "%zu questions could not be run and %zu rows were skipped",
                      summary.failed, skipped);
        return CLI_EXIT_INCOMPLETE;
    }
    return cli_exit_code(status);
}
