/* SPDX-License-Identifier: MIT */
#include "apps/harvest/harvest_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "apps/harvest/harvest_index.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"

enum { SETTINGS_MAX = 16, NUMBER_BYTES = 24 };

struct run {
    const struct tw_harvest_run *r;
    struct tw_harvest_summary *summary;
    struct tw_harvest_input input; /* the run's; what is wrong with it was told when it was planned */
    struct tw_harvest_reader reader;
    struct tw_harvest_cutter cutter;
    struct tw_harvest_index index;
    struct tw_hash *hash;
    struct tw_ids special; /* tokens without rows */
    uint64_t submitted, taken;
    bool input_ended;
};

/* ---- the input ---- */

static bool is_mine(const struct tw_harvest_config *c, uint64_t number)
{
    return number % c->num_shards == c->shard_id;
}

static void hash_context(struct tw_hash *hash, const struct tw_harvest_context *c)
{
    uint64_t n = c->n;
    tw_hash_update(hash, &n, sizeof n);
    tw_hash_update(hash, c->ids, c->n * sizeof *c->ids);
}

static uint64_t count_rows(const struct tw_harvest_config *c, const struct tw_harvest_context *context)
{
    uint64_t n = 0;
    for (size_t i = c->cut.drop_first_tokens; i < context->n; i++) {
        n += !c->drop_special || !tw_tokenizer_is_special(c->input->tokenizer, context->ids[i]);
    }
    return n;
}

static void plan_context(const struct tw_harvest_config *c, const struct tw_harvest_context *context,
                         struct tw_harvest_plan *plan)
{
    if (is_mine(c, context->number)) {
        plan->contexts++;
        plan->tokens += context->n;
        plan->rows += count_rows(c, context);
        plan->longest = context->n > plan->longest ? context->n : plan->longest;
    }
}

struct planning {
    const struct tw_harvest_config *config;
    bool (*on_read)(void *user, const struct tw_harvest_counts *counts);
    void *user;
    struct tw_harvest_reader reader;
    struct tw_harvest_cutter cutter;
    struct tw_hash *hash;
};

static trawl_status read_all(struct planning *p, struct tw_harvest_plan *plan, struct trawl_error *err)
{
    TW_TRY(tw_hash_new(&p->hash, err));
    TW_TRY(tw_harvest_reader_open(&p->reader, p->config->input, err));
    TW_TRY(tw_harvest_cutter_init(&p->cutter, &p->config->cut, &p->reader, err));
    for (;;) {
        struct tw_harvest_context context;
        bool more = false;
        TW_TRY(tw_harvest_cutter_next(&p->cutter, &context, &more, err));
        if (!more) {
            break;
        }
        hash_context(p->hash, &context);
        plan_context(p->config, &context, plan);
        if (p->on_read != NULL && !p->on_read(p->user, &p->cutter.counts)) {
            return tw_fail(err, TRAWL_ERR_CANCELLED, "stopped on request");
        }
    }
    plan->counts  = p->cutter.counts;
    plan->skipped = p->reader.n_skipped;
    plan->hash    = tw_hash_value(p->hash);
    return TRAWL_OK;
}

trawl_status tw_harvest_plan(const struct tw_harvest_config *config,
                             bool (*on_read)(void *user, const struct tw_harvest_counts *counts), void *user,
                             struct tw_harvest_plan *plan, struct trawl_error *err)
{
    struct planning p   = {.config = config, .on_read = on_read, .user = user};
    *plan               = (struct tw_harvest_plan){0};
    trawl_status status = read_all(&p, plan, err);
    tw_harvest_cutter_release(&p.cutter);
    tw_harvest_reader_close(&p.reader);
    tw_hash_free(p.hash);
    if (status != TRAWL_OK) {
        *plan = (struct tw_harvest_plan){0};
    }
    return status;
}

/* ---- the job ---- */

struct settings {
    struct trawl_setting list[SETTINGS_MAX];
    size_t n;
    char texts[SETTINGS_MAX][NUMBER_BYTES];
};

static void add_word(struct settings *s, const char *key, const char *value)
{
    TW_BUG_ON(s->n == SETTINGS_MAX);
    s->list[s->n++] = (struct trawl_setting){key, value};
}

static void add_number(struct settings *s, const char *key, uint64_t value)
{
    TW_BUG_ON(s->n == SETTINGS_MAX);
    (void)snprintf(s->texts[s->n], NUMBER_BYTES, "%" PRIu64, value);
    add_word(s, key, s->texts[s->n]);
}

/* "contexts" stands for the input and all that is done to it; the others are there so that what differs between two
 * runs can be named. */
static void collect_settings(const struct run *u, struct settings *s)
{
    static const char *const overflows[] = {"split", "truncate", "skip"}, *const bos[] = {"auto", "add",
                                                                                          "none"};
    const struct tw_harvest_config *c = u->r->config;
    add_number(s, "context_size", c->cut.context_size);
    add_word(s, "overflow", overflows[c->cut.overflow]);
    add_word(s, "pack", c->cut.pack ? "true" : "false");
    add_word(s, "bos", bos[c->input->bos]);
    add_number(s, "max_tokens", c->cut.max_tokens);
    add_number(s, "max_documents", c->cut.max_documents);
    add_number(s, "drop_first_tokens", c->cut.drop_first_tokens);
    add_word(s, "drop_special", c->drop_special ? "true" : "false");
    TW_BUG_ON(s->n + 2 > SETTINGS_MAX);
    (void)snprintf(s->texts[s->n], NUMBER_BYTES, "%u of %u", c->shard_id, c->num_shards);
    add_word(s, "shard", s->texts[s->n]);
    if (u->r->plan == NULL) {
        add_word(s, "contexts", "standard input");
    } else {
        tw_hash_hex(u->r->plan->hash, s->texts[s->n]);
        add_word(s, "contexts", s->texts[s->n]);
    }
}

static trawl_status list_special(struct run *u, struct trawl_error *err)
{
    const struct tw_harvest_input *in = &u->input;
    size_t n = u->r->config->drop_special ? tw_tokenizer_vocab_size(in->tokenizer) : 0;
    for (size_t id = 0; id < n && id < in->vocab_size; id++) {
        if (tw_tokenizer_is_special(in->tokenizer, (int32_t)id)) {
            TW_TRY(
                tw_grow(&u->special.data, &u->special.capacity, u->special.size + 1, sizeof(int32_t), err));
            u->special.data[u->special.size++] = (int32_t)id;
        }
    }
    return TRAWL_OK;
}

static trawl_status refuse_index(const struct tw_harvest_run *r, const char *index, const char *journal,
                                 struct trawl_error *err)
{
    return !r->resume && tw_path_exists(index) && !tw_path_exists(journal)
               ? tw_fail(err, TRAWL_ERR_EXISTS,
                         "%s is there already: choose another --activations_dir, or continue its run with "
                         "--resume",
                         index)
               : TRAWL_OK;
}

static trawl_status open_job(struct run *u, trawl_engine *engine, trawl_job **job, struct trawl_error *err)
{
    const struct tw_harvest_run *r = u->r;
    struct settings s              = {.n = 0};
    struct trawl_job_config c;
    char *journal = NULL, *index = NULL;
    TW_TRY(tw_make_dirs(r->capture.dir, err));
    TW_TRY(tw_path_join(r->capture.dir, TW_HARVEST_JOURNAL_NAME, &journal, err));
    trawl_status status = tw_path_join(r->capture.dir, TW_HARVEST_INDEX_NAME, &index, err);
    if (status == TRAWL_OK) {
        status = refuse_index(r, index, journal, err);
    }
    if (status == TRAWL_OK) {
        collect_settings(u, &s);
        trawl_job_config_init(&c);
        c.journal_path = journal;
        c.resume       = r->resume;
        c.settings     = s.list;
        c.n_settings   = s.n;
        c.commit_every = r->commit_every;
        c.capture      = r->capture;

        c.capture.skip_tokens   = u->special.data;
        c.capture.n_skip_tokens = u->special.size;
        c.user                  = r->user;
        c.on_tick               = r->on_tick;
        status                  = trawl_job_open(engine, &c, job, err);
    }
    if (status == TRAWL_OK) {
        status = tw_harvest_index_open(&u->index, index, err);
    }
    tw_free(journal);
    tw_free(index);
    return status;
}

static trawl_status submit(struct run *u, trawl_job *job, const struct tw_harvest_context *context,
                           struct trawl_error *err)
{
    struct trawl_request q;
    char task[NUMBER_BYTES] = "";
    trawl_request_init(&q);
    if (context->n_pieces > 0) { /* names the array in a pickle */
        (void)snprintf(task, sizeof task, "%" PRIu64, context->pieces[0].document);
        q.sample_idx = (int64_t)context->pieces[0].first_token;
    }
    q.prompt       = context->ids;
    q.n_prompt     = context->n;
    q.max_tokens   = 0;
    q.capture_from = u->r->config->cut.drop_first_tokens;
    q.number       = context->number; /* of the whole run, so that shards can be merged */
    q.has_number   = true;
    q.task_id      = task;
    TW_TRY(trawl_job_submit(job, &q, err));
    u->submitted++;
    u->summary->contexts++;
    u->summary->tokens += context->n;
    return tw_harvest_index_add(&u->index, context, err);
}

/* Requests until so many are ahead of the one that is waited for. Lines of documents.jsonl are durable when the last
 * request of their commit group has been submitted; the group is committed when its result is asked for. */
static trawl_status submit_ahead(struct run *u, trawl_job *job, struct trawl_error *err)
{
    bool due = false;
    while (!u->input_ended && u->submitted < u->taken + u->r->ahead) {
        struct tw_harvest_context context;
        bool more = false;
        TW_TRY(tw_harvest_cutter_next(&u->cutter, &context, &more, err));
        u->input_ended = !more;
        if (more) {
            hash_context(u->hash, &context);
            TW_TRY(is_mine(u->r->config, context.number) ? submit(u, job, &context, err) : TRAWL_OK);
        }
        due = due || u->submitted % u->r->commit_every == 0;
    }
    return due ? tw_harvest_index_flush(&u->index, err) : TRAWL_OK;
}

static trawl_status check_input(const struct run *u, struct trawl_error *err)
{
    return u->r->plan == NULL || tw_hash_value(u->hash) == u->r->plan->hash
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_FORMAT,
                         "the input changed while it was read: the contexts are not those of the plan");
}

static void take(struct run *u, const struct trawl_result *result)
{
    uint64_t number = u->taken++ * u->r->config->num_shards + u->r->config->shard_id;
    char why[sizeof(struct trawl_error) + 64];
    u->summary->from_journal += result->from_journal;
    if (result->finish_reason == TRAWL_FINISH_ERROR) {
        u->summary->failed++;
        (void)snprintf(why, sizeof why, "request %" PRIu64 " (see %s): %s", number, TW_HARVEST_INDEX_NAME,
                       result->error);
        u->r->failed(u->r->user, why);
    }
}

static trawl_status run_job(struct run *u, trawl_job *job, struct trawl_error *err)
{
    struct trawl_job_stats stats;
    uint64_t started = tw_clock_ns();
    trawl_job_stats(job, &stats);
    u->r->on_start(u->r->user, stats.committed);
    for (bool told = false;;) {
        TW_TRY(submit_ahead(u, job, err));
        if (u->input_ended && !told) {
            TW_TRY(check_input(u, err));
            TW_TRY(tw_harvest_index_finish(&u->index, err));
            trawl_job_end_input(job);
            told = true;
        }
        struct trawl_result result;
        bool more = false;
        TW_TRY(trawl_job_next(job, &result, &more, err));
        if (!more) {
            break;
        }
        take(u, &result);
    }
    trawl_job_stats(job, &u->summary->job);
    u->summary->counts  = u->cutter.counts;
    u->summary->skipped = u->reader.n_skipped;
    u->summary->seconds = (double)(tw_clock_ns() - started) * 1e-9;
    return TRAWL_OK;
}

static trawl_status run(struct run *u, trawl_engine *engine, trawl_job **job, struct trawl_error *err)
{
    TW_TRY(tw_hash_new(&u->hash, err));
    TW_TRY(tw_harvest_reader_open(&u->reader, &u->input, err));
    TW_TRY(tw_harvest_cutter_init(&u->cutter, &u->r->config->cut, &u->reader, err));
    TW_TRY(list_special(u, err));
    TW_TRY(open_job(u, engine, job, err));
    return run_job(u, *job, err);
}

trawl_status tw_harvest_run(trawl_engine *engine, const struct tw_harvest_run *r,
                            struct tw_harvest_summary *summary, struct trawl_error *err)
{
    struct run u        = {.r = r, .summary = summary, .index = {.file = {.fd = -1}}};
    trawl_job *job      = NULL;
    *summary            = (struct tw_harvest_summary){0};
    u.input             = *r->config->input;
    u.input.skipped     = r->plan == NULL ? u.input.skipped : NULL;
    trawl_status status = run(&u, engine, &job, err);
    trawl_job_close(&job);
    tw_harvest_index_close(&u.index);
    tw_harvest_cutter_release(&u.cutter);
    tw_harvest_reader_close(&u.reader);
    tw_hash_free(u.hash);
    tw_ids_release(&u.special);
    return status;
}
