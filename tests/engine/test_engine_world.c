/* SPDX-License-Identifier: MIT */
/* Engines of several processes, played by threads that have messages only (support/wire_hub.h): rank 0 with its
 * dispatcher, heads with their outposts, followers. The same bits as alone; and whoever falls silent, whenever
 * it does, all others end with a sentence. */
#include "engine_harness.h"
#include "support/tiny_model.h"
#include "support/wire_hub.h"

#include "base/clock.h"
#include "engine/engine_world.h"

enum { LONG = 200, REQUESTS = 8, ROWS_SITES = 8 };

static int32_t prompt[LONG]; /* filled by main */

struct setting {
    const char *dir;
    struct tw_mesh mesh;
    int ranks, devices; /* processes, and devices of each */
    int deadline_ms;
};

struct process {
    const struct setting *setting;
    struct hub *hub;
    int rank;
    struct harness *harness; /* rank 0 */
    trawl_status status;
    struct trawl_error err;
    pthread_t thread;
};

static struct tw_engine_config config_of(const struct setting *s, struct tw_world *world)
{
    struct tw_engine_config c;
    tw_engine_config_init(&c);
    c.model_path       = s->dir;
    c.mesh             = s->mesh;
    c.threads          = 1;
    c.batch_size       = 2;
    c.prefill_chunk    = 33;
    c.max_model_len    = 400;
    c.world            = world;
    c.devices_per_rank = s->devices;
    return c;
}

static void add_requests(struct harness *h)
{
    harness_init(h);
    for (size_t i = 0; i < REQUESTS; i++) {
        struct tw_request *q = harness_add(h, prompt + i, 3 + 11 * i, i % 3 == 0 ? 0 : 4 + 3 * i);
        q->capture           = i % 2 == 0;
        q->logits            = i % 4 == 0;
        q->attn_entropy      = i % 3 != 1;
        if (i == REQUESTS - 1) { /* its pages go by the attention that they got, two of three in the prompt */
            q->n_prompt   = LONG - REQUESTS;
            q->max_tokens = 8;
            q->mask       = (struct tw_mask){.kind = TW_MASK_HEAVY, .prune = true, .window = 1, .heavy = 1};
        }
    }
}

/* ---- processes ---- */

static trawl_status run_first(struct process *p, struct tw_world *world)
{
    struct tw_engine_config c = config_of(p->setting, world);
    struct tw_engine *e       = NULL;
    struct tw_site sites[ROWS_SITES];
    size_t n_sites = 0;
    TW_TRY(tw_engine_open(&e, &c, &p->err));
    trawl_status status =
        tw_site_parse("layer_1", &tw_engine_model(e)->config, sites, ROWS_SITES, &n_sites, &p->err);
    if (status == TRAWL_OK) {
        status = harness_run(p->harness, e, sites, n_sites, &p->err);
    }
    tw_engine_close(e);
    return status;
}

static trawl_status run_other(struct process *p, struct tw_world *world)
{
    for (;;) {
        struct tw_world_call call;
        struct tw_engine *e = NULL;
        TW_TRY(tw_world_listen(world, &call, &p->err));
        if (call.command != TW_WORLD_OPEN) {
            return TRAWL_OK;
        }
        struct tw_engine_config c = config_of(p->setting, world);
        TW_TRY(tw_engine_open(&e, &c, &p->err));
        trawl_status status = tw_engine_serve(e, &p->err);
        tw_engine_close(e);
        TW_TRY(status);
    }
}

static void *process_main(void *arg)
{
    struct process *p      = arg;
    struct tw_world *world = NULL;
    struct tw_wire *wire   = NULL;
    p->status              = hub_open(p->hub, p->rank, &wire, &p->err);
    if (p->status == TRAWL_OK) {
        wire->deadline_ms = p->setting->deadline_ms;
        p->status         = tw_world_new(&world, wire, &p->err);
    }
    if (p->status == TRAWL_OK) {
        p->status = p->rank == 0 ? run_first(p, world) : run_other(p, world);
        tw_world_close(world);
    }
    return NULL;
}

static void run_processes(const struct setting *s, struct hub *hub, struct harness *h,
                          struct process *processes)
{
    for (int i = 0; i < s->ranks; i++) {
        processes[i] = (struct process){.setting = s, .hub = hub, .rank = i, .harness = h};
        assert_int_equal(pthread_create(&processes[i].thread, NULL, process_main, &processes[i]), 0);
    }
    for (int i = 0; i < s->ranks; i++) {
        (void)pthread_join(processes[i].thread, NULL);
    }
}

/* ---- the same bits ---- */

static const char *write_model(void **state)
{
    struct tiny_model m = tiny_model_default();
    tiny_model_write(scratch_path(*state, "model"), &m);
    return scratch_path(*state, "model");
}

static struct tw_engine *run_alone(const char *dir, struct harness *want, struct tw_site *sites,
                                   size_t *n_sites)
{
    struct setting alone = {.dir = dir, .mesh = {1, 1}};
    struct trawl_error err;
    struct tw_engine_config c = config_of(&alone, NULL);
    struct tw_engine *e       = NULL;
    assert_ok(tw_engine_open(&e, &c, &err));
    assert_ok(tw_site_parse("layer_1", &tw_engine_model(e)->config, sites, ROWS_SITES, n_sites, &err));
    add_requests(want);
    assert_ok(harness_run(want, e, sites, *n_sites, &err));
    return e;
}

static const struct setting meshes[] = {
    {.mesh = {1, 2}, .ranks = 2, .devices = 1}, {.mesh = {2, 1}, .ranks = 2, .devices = 1},
    {.mesh = {3, 1}, .ranks = 3, .devices = 1}, {.mesh = {2, 2}, .ranks = 4, .devices = 1},
    {.mesh = {1, 4}, .ranks = 2, .devices = 2}, {.mesh = {4, 1}, .ranks = 2, .devices = 2},
    {.mesh = {2, 2}, .ranks = 2, .devices = 2}, {.mesh = {2, 4}, .ranks = 4, .devices = 2},
};

static void test_processes_give_the_bits_of_one(void **state)
{
    const char *dir = write_model(state);
    struct tw_site sites[ROWS_SITES];
    struct harness want;
    size_t n_sites      = 0;
    struct tw_engine *e = run_alone(dir, &want, sites, &n_sites);
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct setting s = meshes[i];
        struct harness h;
        struct hub hub;
        struct process processes[4];
        s.dir         = dir;
        s.deadline_ms = 60000;
        hub_init(&hub, s.ranks, i);
        hub.looks_most = i % 2 == 0 ? 0 : 3;
        hub.eager_most = i % 3 == 0 ? 0 : 4096;
        add_requests(&h);
        run_processes(&s, &hub, &h, processes);
        for (int r = 0; r < s.ranks; r++) {
            if (processes[r].status != TRAWL_OK) {
                fail_msg("mesh %dx%d, rank %d: %s", s.mesh.data, s.mesh.model, r, processes[r].err.message);
            }
        }
        harness_assert_equal(&want, &h, e, sites, n_sites);
        assert_int_equal(hub.aborts, 0);
        harness_free(&h);
        hub_release(&hub);
    }
    tw_engine_close(e);
    harness_free(&want);
}

/* ---- requests that end early ---- */

enum { ANSWER = 300, TRIES = 10 };

static bool cancel_odd(void *user, uint64_t id, size_t n)
{
    atomic_bool *cancelled = user;
    if (id % 2 == 1 && n == 3) {
        atomic_store(&cancelled[id], true);
    }
    return true;
}

/* Odd requests are cancelled at their third token, 4 before it begins, 6 is too late. */
static void add_ending_requests(struct harness *h, atomic_bool *cancelled)
{
    harness_init(h);
    for (size_t i = 0; i < REQUESTS; i++) {
        struct tw_request *q = harness_add(h, prompt + i, 3 + 11 * i, i % 2 == 1 ? ANSWER : 5);
        q->ignore_eos        = true;
        q->capture           = true;
        q->capture_from      = i;
        if (cancelled != NULL) {
            atomic_store(&cancelled[i], i == 4);
            q->cancelled = &cancelled[i];
            q->timeout   = i == 6 ? 1 : 1000;
            q->since_ns  = tw_clock_ns() - 2000000000u;
        }
    }
    h->on_token      = cancelled == NULL ? NULL : cancel_odd;
    h->on_token_user = cancelled;
}

/* How many of the odd requests were cancelled before they had ended by themselves. */
static size_t run_ending(const struct setting *s, const struct harness *want, uint64_t seed)
{
    static struct harness h; /* large */
    atomic_bool cancelled[REQUESTS];
    struct hub hub;
    struct process processes[4];
    size_t n_cancelled = 0;
    hub_init(&hub, s->ranks, seed);
    add_ending_requests(&h, cancelled);
    run_processes(s, &hub, &h, processes);
    for (int r = 0; r < s->ranks; r++) {
        if (processes[r].status != TRAWL_OK) {
            fail_msg("mesh %dx%d, rank %d: %s", s->mesh.data, s->mesh.model, r, processes[r].err.message);
        }
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct harness_answer *w = &want->answers[i], *g = &h.answers[i];
        assert_int_equal(g->finished, 1);
        assert_true(g->n_tokens <= w->n_tokens && g->n_rows[0] <= w->n_rows[0]);
        assert_memory_equal(g->tokens, w->tokens, g->n_tokens * sizeof *g->tokens);
        assert_memory_equal(g->logprobs, w->logprobs, g->n_tokens * sizeof *g->logprobs);
        assert_int_equal(g->n_rows[0],
                         g->n_tokens == 0 ? g->n_rows[0] : h.requests[i].n_prompt - i + g->n_tokens - 1);
        if (g->n_rows[0] > 0) {
            assert_memory_equal(g->rows[0], w->rows[0], g->n_rows[0] * 48 * sizeof(float));
        }
        n_cancelled += i % 2 == 1 && g->finish == TW_FINISH_CANCELLED;
        if (i == 6) {
            assert_true(g->finish == TW_FINISH_TIMEOUT && g->n_tokens == 0 && g->n_rows[0] == 0);
        } else if (i != 4 && g->finish != TW_FINISH_CANCELLED) {
            assert_int_equal(g->finish, w->finish);
            assert_int_equal(g->n_tokens, w->n_tokens);
        }
    }
    harness_free(&h);
    hub_release(&hub);
    return n_cancelled;
}

static void test_requests_elsewhere_end_early_too(void **state)
{
    static struct harness want; /* large */
    struct setting alone = {.dir = write_model(state), .mesh = {1, 1}};
    struct trawl_error err;
    struct tw_site site;
    size_t n                  = 0;
    struct tw_engine_config c = config_of(&alone, NULL);
    struct tw_engine *e       = NULL;
    assert_ok(tw_engine_open(&e, &c, &err));
    assert_ok(tw_site_parse("layer_1", &tw_engine_model(e)->config, &site, 1, &n, &err));
    assert_int_equal(tw_site_width(site, &tw_engine_model(e)->config), 48);
    add_ending_requests(&want, NULL);
    assert_ok(harness_run(&want, e, &site, 1, &err));
    tw_engine_close(e);
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct setting s = meshes[i];
        s.dir            = alone.dir;
        s.deadline_ms    = 60000;
        /* The word that a request is cancelled may come when it has just ended: not every time, though. */
        for (uint64_t k = 0; run_ending(&s, &want, k) < REQUESTS / 2; k++) {
            assert_true(k < TRIES);
        }
    }
    harness_free(&want);
}

/* ---- failures ---- */

/* The work's own failure: it is rank 0's result, and no reason for the others to end. */
static void test_a_failing_callback_reaches_all_and_breaks_nothing(void **state)
{
    const char *dir = write_model(state);
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct setting s = meshes[i];
        struct harness h;
        struct hub hub;
        struct process processes[4];
        s.dir         = dir;
        s.deadline_ms = 60000;
        hub_init(&hub, s.ranks, i);
        add_requests(&h);
        h.fail_finished_at = 1 + i;
        run_processes(&s, &hub, &h, processes);
        assert_int_equal(processes[0].status, TRAWL_ERR_IO);
        assert_string_equal(processes[0].err.message, "result refused on purpose");
        for (int r = 1; r < s.ranks; r++) {
            if (processes[r].status != TRAWL_OK) {
                fail_msg("mesh %dx%d, rank %d: %s", s.mesh.data, s.mesh.model, r, processes[r].err.message);
            }
        }
        assert_int_equal(hub.aborts, 0);
        harness_free(&h);
        hub_release(&hub);
    }
}

/* How many messages a rank sends in a run that goes well. */
static size_t messages_of(const struct setting *s, int rank)
{
    struct harness h;
    struct hub hub;
    struct process processes[4];
    hub_init(&hub, s->ranks, 1);
    add_requests(&h);
    run_processes(s, &hub, &h, processes);
    size_t n = hub.ranks[rank].sent;
    assert_int_equal(processes[0].status, TRAWL_OK);
    harness_free(&h);
    hub_release(&hub);
    return n;
}

/* A rank falls silent after n messages, in any phase from the greeting to the farewell: nobody waits for ever, and
 * somebody says why. Who is named is comm.lost's affair: here a rank may be just slower than this deadline. */
static void test_a_silent_rank_ends_the_run_in_any_phase(void **state)
{
    static const struct {
        int mesh, rank;
    } cases[]               = {{0, 1}, {1, 1}, {3, 3}, {3, 0}, {4, 1}, {7, 2}};
    const char *points_text = getenv("TRAWL_SILENCES");
    size_t n_points         = points_text == NULL ? 2 : strtoul(points_text, NULL, 10);
    const char *dir         = write_model(state);
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 20261121, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct setting s = meshes[cases[i].mesh];
        s.dir            = dir;
        s.deadline_ms    = 60000;
        size_t messages  = messages_of(&s, cases[i].rank);
        s.deadline_ms    = 500;
        for (size_t k = 0; k < n_points; k++) {
            struct harness h;
            struct hub hub;
            struct process processes[4];
            bool said = false;
            hub_init(&hub, s.ranks, i);
            hub.mute       = cases[i].rank;
            hub.mute_after = tw_philox_below(&random, (uint32_t)messages);
            add_requests(&h);
            uint64_t start = tw_clock_ns();
            run_processes(&s, &hub, &h, processes);
            uint64_t seconds = (tw_clock_ns() - start) / 1000000000u;
            for (int r = 0; r < s.ranks; r++) {
                said = said || processes[r].err.message[0] != '\0';
            }
            /* How many messages a run takes depends on who was faster: all may have been said before; and in the
             * farewell there is nobody left to be told. */
            bool lost = hub.ranks[cases[i].rank].sent > hub.mute_after;
            bool done = processes[0].status == TRAWL_OK && h.n_finished == REQUESTS;
            if (seconds > 30 || (!said && !done) || (lost && hub.aborts == 0)) {
                fail_msg("mesh %dx%d, rank %d silent after %zu of %zu messages: %llu s, %d ended by force; "
                         "\"%s\", \"%s\"",
                         s.mesh.data, s.mesh.model, cases[i].rank, hub.mute_after, messages,
                         (unsigned long long)seconds, hub.aborts, processes[0].err.message,
                         processes[1].err.message);
            }
            harness_free(&h);
            hub_release(&hub);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_processes_give_the_bits_of_one, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_requests_elsewhere_end_early_too, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_a_failing_callback_reaches_all_and_breaks_nothing, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_a_silent_rank_ends_the_run_in_any_phase, scratch_make,
                                        scratch_remove),
    };
    struct tw_philox_stream random;
    tw_philox_stream_init(&random, 7, 0);
    for (size_t i = 0; i < LONG; i++) {
        prompt[i] = (int32_t)tw_philox_below(&random, 131);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
