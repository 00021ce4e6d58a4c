/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "text/text_chat.h"

enum { END_TOKENS_MAX = 16, SETTINGS_MAX = 64 };

struct run {
    const struct tw_arc_run_config *c;
    struct tw_arc_run_summary *summary;
    struct tw_arc_chat chat;
    struct tw_arc_job job;
    int64_t *ids; /* [n] requests of this shard, as numbered in the whole run */
    size_t n;
    struct tw_ids *prompts; /* [n] */
    size_t longest;
    uint64_t prompts_hash;
    int32_t stop[END_TOKENS_MAX];
    size_t n_stop;
    struct tw_str text, response;
    struct tw_str pattern; /* of the answers; empty: any text */
    struct tw_arc_writer records, submission;
    struct tw_arc_attempts attempts; /* of the task under way */
    bool has_attempts;
    size_t task;
};

/* ---- prompts ---- */

static trawl_status render_chat(void *user, const json_t *messages, struct tw_str *out,
                                struct trawl_error *err)
{
    struct tw_chat_request request = {.messages = messages};
    return tw_chat_render(user, &request, out, err);
}

static trawl_status select_requests(struct run *r, struct trawl_error *err)
{
    const struct tw_arc_run_config *c = r->c;
    int64_t total                     = tw_arc_job_count(&r->job);
    TW_TRY(tw_alloc((size_t)total, sizeof *r->ids, &r->ids, err));
    for (int64_t id = 0; id < total; id++) {
        if (tw_arc_job_place(&r->job, id).task % (size_t)c->num_shards == (size_t)c->shard_id) {
            r->ids[r->n++] = id;
        }
    }
    return TRAWL_OK;
}

/* Every shard's settings bear the prompts of the whole run, so that parts of different runs are not merged.
 * */
static trawl_status encode_prompts(struct run *r, struct tw_encoder *encoder, struct tw_hash *hash,
                                   struct trawl_error *err)
{
    size_t done = 0;
    for (int64_t id = 0; id < tw_arc_job_count(&r->job); id++) {
        tw_str_reset(&r->text);
        TW_TRY(tw_arc_job_prompt(&r->job, id, &r->text, err));
        uint64_t size = r->text.size;
        tw_hash_update(hash, &size, sizeof size);
        tw_hash_update(hash, tw_str_text(&r->text), r->text.size);
        if (done < r->n && r->ids[done] == id) {
            TW_TRY(tw_encode(encoder, tw_str_text(&r->text), r->text.size, NULL, &r->prompts[done], err));
            r->longest = r->prompts[done].size > r->longest ? r->prompts[done].size : r->longest;
            done++;
        }
    }
    r->prompts_hash = tw_hash_value(hash);
    return TRAWL_OK;
}

static trawl_status make_prompts(struct run *r, struct trawl_error *err)
{
    struct tw_encoder *encoder = NULL;
    struct tw_hash *hash       = NULL;
    TW_TRY(tw_alloc(r->n, sizeof *r->prompts, &r->prompts, err));
    trawl_status status = tw_encoder_new(r->c->tokenizer, &encoder, err);
    if (status == TRAWL_OK) {
        status = tw_hash_new(&hash, err);
    }
    if (status == TRAWL_OK) {
        status = encode_prompts(r, encoder, hash, err);
    }
    tw_hash_free(hash);
    tw_encoder_free(encoder);
    return status;
}

static trawl_status prepare(struct run *r, struct trawl_error *err)
{
    const struct tw_arc_run_config *c = r->c;
    r->chat                           = (struct tw_arc_chat){.render = render_chat, .user = c->tokenizer};
    (void)tw_tokenizer_named(c->tokenizer, TW_TOKEN_EOS, &r->chat.eos_token);
    /* Base models end at one token, their instruct versions at another; a grid ends at either. */
    r->n_stop = tw_tokenizer_end_tokens(c->tokenizer, r->stop, END_TOKENS_MAX);
    TW_TRY(tw_arc_job_init(&r->job, c->dataset, c->prompt, &r->chat, c->seed, c->predictions, err));
    TW_TRY(select_requests(r, err));
    return make_prompts(r, err);
}

/* The expression that answers have to match, if they are constrained. */
static trawl_status make_pattern(struct run *r, struct trawl_error *err)
{
    const struct tw_arc_prompt *p = r->c->prompt;
    int side                      = TW_ARC_TASK_SIDE;
    if (!r->c->constrain_grids) {
        return TRAWL_OK;
    }
    if (tw_arc_prompt_answer(p) != TW_ARC_ANSWER_GRID) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "grids cannot be asked of a prompt version whose answer is none");
    }
    TW_TRY(tw_arc_encoder_pattern(tw_arc_prompt_encoder(p), strlen(tw_arc_prompt_opening(p)), &side,
                                  &r->pattern, err));
    if (side < TW_ARC_TASK_SIDE) {
        tw_log(&r->c->log, TW_LOG_WARNING,
               "with this grid encoder answers are constrained to grids of at most %dx%d", side, side);
    }
    return TRAWL_OK;
}

static trawl_status report_sharding(const struct run *r, trawl_engine *engine, struct trawl_error *err)
{
    char *text  = NULL;
    size_t rows = r->n < r->c->batch ? r->n : r->c->batch;
    TW_TRY(trawl_engine_sharding(engine, rows, r->longest, &text, err));
    r->c->report(r->c->user, text);
    trawl_free(text);
    return TRAWL_OK;
}

/* ---- the job ---- */

struct settings {
    struct trawl_setting list[SETTINGS_MAX];
    size_t n;
    char hash[17], numbers[5][TW_DOUBLE_BYTES];
};

static void add_setting(struct settings *s, const char *key, const char *value)
{
    TW_BUG_ON(s->n == SETTINGS_MAX);
    s->list[s->n++] = (struct trawl_setting){key, value};
}

static void collect_settings(const struct run *r, struct settings *s)
{
    const struct tw_arc_run_config *c = r->c;
    tw_hash_hex(r->prompts_hash, s->hash);
    (void)snprintf(s->numbers[0], sizeof s->numbers[0], "%" PRId64, c->predictions);
    (void)snprintf(s->numbers[1], sizeof s->numbers[1], "%zu", c->max_output_tokens);
    tw_double_text(c->request->temperature, s->numbers[2]);
    (void)snprintf(s->numbers[3], sizeof s->numbers[3], "%d of %d", c->shard_id, c->num_shards);
    add_setting(s, "predictions_per_task", s->numbers[0]);
    add_setting(s, "max_output_tokens", s->numbers[1]);
    add_setting(s, "temperature", s->numbers[2]);
    add_setting(s, "shard", s->numbers[3]);
    (void)snprintf(s->numbers[4], sizeof s->numbers[4], "%" PRIu64, c->seed);
    add_setting(s, "augmentation_seed", s->numbers[4]);
    if (c->constrain_grids) {
        add_setting(s, "constrain_grids", "true");
    }
    for (size_t i = 0; i < c->n_settings; i++) {
        add_setting(s, c->settings[i].key, c->settings[i].value);
    }
    if (c->capture.n_sites == 0) {
        add_setting(s, "extract_activations", "false"); /* nothing could fill the store later */
    } else if (c->positions != TW_ARC_POSITIONS_ALL) {
        add_setting(s, "positions_to_extract", c->positions == TW_ARC_POSITIONS_LAST ? "last" : "answer");
    }
    add_setting(s, "prompts", s->hash);
}

static trawl_status open_job(const struct run *r, trawl_engine *engine, trawl_job **job,
                             struct trawl_error *err)
{
    const struct tw_arc_run_config *c = r->c;
    struct settings s                 = {.n = 0};
    struct trawl_job_config config;
    char *journal = NULL;
    collect_settings(r, &s);
    TW_TRY(tw_arc_results_path(c->output_path, "_journal.jsonl", &journal, err));
    trawl_job_config_init(&config);
    config.journal_path = journal;
    config.resume       = c->resume;
    config.settings     = s.list;
    config.n_settings   = s.n;
    config.commit_every = c->commit_every;
    config.random_seed  = c->seed;
    config.capture      = c->capture;
    config.user         = c->user;
    config.on_tick      = c->on_tick;
    config.timeout      = c->timeout;
    trawl_status status = trawl_job_open(engine, &config, job, err);
    tw_free(journal);
    return status;
}

static size_t capture_from(const struct run *r, size_t n_prompt)
{
    switch (r->c->positions) {
    case TW_ARC_POSITIONS_LAST: return n_prompt > 0 ? n_prompt - 1 : 0;
    case TW_ARC_POSITIONS_ANSWER: return n_prompt;
    case TW_ARC_POSITIONS_ALL: break;
    }
    return 0;
}

/* A draw belongs to its place in the whole run, whatever shard computes it. */
static uint64_t request_seed(uint64_t seed, int64_t id)
{
    uint64_t words[2] = {seed, (uint64_t)id};
    return tw_hash64(words, sizeof words);
}

static trawl_status submit_all(const struct run *r, trawl_job *job, struct trawl_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        struct tw_arc_place place = tw_arc_job_place(&r->job, r->ids[i]);
        struct trawl_request q    = *r->c->request;
        q.prompt                  = r->prompts[i].data;
        q.n_prompt                = r->prompts[i].size;
        q.capture_from            = capture_from(r, q.n_prompt);
        q.max_tokens              = r->c->max_output_tokens;
        q.seed                    = request_seed(r->c->seed, r->ids[i]);
        q.has_seed                = true;
        q.stop_token_ids          = r->stop;
        q.n_stop_token_ids        = r->n_stop;
        if (r->pattern.size > 0) {
            q.constraint_kind = TRAWL_CONSTRAINT_REGEX;
            q.constraint_text = tw_str_text(&r->pattern);
        }
        q.task_id    = r->c->dataset->tasks[place.task].id;
        q.number     = (uint64_t)r->ids[i]; /* so that parts can be merged to the files of one run */
        q.has_number = true;
        q.sample_idx = place.k * r->c->dataset->tasks[place.task].n_test + place.idx;
        TW_TRY(trawl_job_submit(job, &q, err));
    }
    trawl_job_end_input(job);
    return TRAWL_OK;
}

/* ---- results ---- */

static trawl_status finish_task(struct run *r, struct trawl_error *err)
{
    if (!r->has_attempts) {
        return TRAWL_OK;
    }
    r->has_attempts     = false;
    trawl_status status = tw_arc_submission_add(&r->submission, &r->attempts, err);
    tw_arc_attempts_release(&r->attempts);
    return status;
}

/* Put the grid of a record into its task's attempts; the record keeps none. */
static trawl_status add_attempt(struct run *r, struct tw_arc_place place, struct tw_arc_record *record,
                                struct trawl_error *err)
{
    const struct tw_arc_task *task = &r->c->dataset->tasks[place.task];
    if (r->has_attempts && r->task != place.task) {
        TW_TRY(finish_task(r, err));
    }
    if (!r->has_attempts) {
        TW_TRY(tw_arc_attempts_new(&r->attempts, task->id, task->n_test, (int)r->c->predictions, err));
        r->has_attempts = true;
        r->task         = place.task;
    }
    r->attempts.tests[place.idx].grids[place.k] = record->grid;
    record->grid                                = (struct tw_arc_grid){0};
    return TRAWL_OK;
}

static trawl_status add_result(struct run *r, const struct trawl_result *result, struct trawl_error *err)
{
    int64_t id                = r->ids[result->request];
    struct tw_arc_place place = tw_arc_job_place(&r->job, id);
    const char *task          = r->c->dataset->tasks[place.task].id;
    tw_str_reset(&r->text);
    tw_str_reset(&r->response);
    TW_TRY(tw_arc_job_prompt(&r->job, id, &r->text, err));
    TW_TRY(tw_decode(r->c->tokenizer, result->tokens, result->n_tokens, true, &r->response, err));
    struct tw_arc_response response = {
        .text               = tw_str_text(&r->response),
        .size               = r->response.size,
        .cumulative_logprob = result->cumulative_logprob,
        .n_tokens           = (int64_t)result->n_tokens,
        .finish_reason      = trawl_finish_reason_name(result->finish_reason),
        .error              = result->error,
    };
    struct tw_arc_record record;
    TW_TRY(tw_arc_job_record(&r->job, id, &r->text, &response, &record, err));
    if (result->error != NULL) {
        r->summary->failed++;
        tw_log(&r->c->log, TW_LOG_WARNING, "task %s, prediction %" PRId64 ", test %d: %s", task, place.k,
               place.idx, result->error);
    } else {
        r->summary->answered +=
            record.parse_error == NULL || tw_arc_prompt_answer(r->c->prompt) != TW_ARC_ANSWER_GRID;
    }
    trawl_status status = tw_arc_results_add(&r->records, &record, err);
    if (status == TRAWL_OK) {
        status = add_attempt(r, place, &record, err);
    }
    tw_arc_record_release(&record);
    return status;
}

static trawl_status take_results(struct run *r, trawl_job *job, struct trawl_error *err)
{
    for (;;) {
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            return finish_task(r, err);
        }
        r->summary->from_journal += result.from_journal;
        TW_TRY(add_result(r, &result, err));
    }
}

static trawl_status write_stats(const struct run *r, struct trawl_error *err)
{
    const struct tw_arc_run_summary *s = r->summary;
    char *path                         = NULL;
    char text[512];
    TW_TRY(tw_arc_results_path(r->c->output_path, ".stats.json", &path, err));
    int n               = snprintf(text, sizeof text,
                                   "{\"prompts\": %zu, \"answered\": %zu, \"failed\": %zu, \"from_journal\": %zu, "
                                                 "\"prompt_tokens\": %" PRIu64 ", \"cached_tokens\": %" PRIu64
                                   ", \"generated_tokens\": %" PRIu64 ", \"seconds\": %.3f}\n",
                                   s->prompts, s->answered, s->failed, s->from_journal, s->job.prompt_tokens,
                                   s->job.cached_tokens, s->job.generated_tokens, s->seconds);
    trawl_status status = tw_file_replace(path, text, (size_t)n, err);
    tw_free(path);
    return status;
}

static trawl_status run_job(struct run *r, trawl_job *job, struct trawl_error *err)
{
    struct trawl_job_stats stats;
    char *records    = NULL;
    uint64_t started = tw_clock_ns();
    trawl_job_stats(job, &stats);
    r->c->on_start(r->c->user, r->n, stats.committed);
    TW_TRY(tw_arc_results_path(r->c->output_path, "_task_results.json", &records, err));
    trawl_status status = tw_arc_writer_open_list(&r->records, records, err);
    tw_free(records);
    TW_TRY(status);
    TW_TRY(tw_arc_writer_open_object(&r->submission, r->c->output_path, err));
    TW_TRY(submit_all(r, job, err));
    TW_TRY(take_results(r, job, err));
    TW_TRY(tw_arc_writer_commit(&r->records, err));
    TW_TRY(tw_arc_writer_commit(&r->submission, err));
    trawl_job_stats(job, &r->summary->job);
    r->summary->seconds = (double)(tw_clock_ns() - started) * 1e-9;
    return write_stats(r, err);
}

static trawl_status run(struct run *r, trawl_engine *engine, struct trawl_error *err)
{
    trawl_job *job = NULL;
    TW_TRY(make_pattern(r, err));
    TW_TRY(prepare(r, err));
    r->summary->prompts = r->n;
    TW_TRY(report_sharding(r, engine, err));
    TW_TRY(tw_make_parent_dirs(r->c->output_path, err));
    TW_TRY(open_job(r, engine, &job, err));
    trawl_status status = run_job(r, job, err);
    trawl_job_close(&job);
    return status;
}

trawl_status tw_arc_run(trawl_engine *engine, const struct tw_arc_run_config *config,
                        struct tw_arc_run_summary *summary, struct trawl_error *err)
{
    struct run r = {.c = config, .summary = summary};
    *summary     = (struct tw_arc_run_summary){0};
    tw_str_init(&r.text, 0);
    tw_str_init(&r.response, 0);
    tw_str_init(&r.pattern, 0);
    trawl_status status = run(&r, engine, err);
    tw_arc_writer_close(&r.records);
    tw_arc_writer_close(&r.submission);
    if (r.has_attempts) {
        tw_arc_attempts_release(&r.attempts);
    }
    for (size_t i = 0; r.prompts != NULL && i < r.n; i++) {
        tw_ids_release(&r.prompts[i]);
    }
    tw_free(r.prompts);
    tw_free(r.ids);
    tw_arc_job_release(&r.job);
    tw_str_release(&r.text);
    tw_str_release(&r.response);
    tw_str_release(&r.pattern);
    return status;
}
