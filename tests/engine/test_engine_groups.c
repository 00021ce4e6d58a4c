/* SPDX-License-Identifier: MIT */
/* Branches that share pages, and requests of all kinds in one batch. */
#include "engine/engine_int.h"
#include "engine_search.h"

enum { PAGES = 12, DRAWS = 16, REQUESTS = 14 };

/* ---- sequences ---- */

struct pool {
    struct tw_kv_pages pages;
    struct tw_kv_prefix prefix;
    struct tw_page_copies copies;
    struct tw_group group;
};

static void open_pool(struct pool *p)
{
    struct trawl_error err;
    memset(p, 0, sizeof *p);
    assert_ok(tw_kv_pages_init(&p->pages, PAGES, &err));
    assert_ok(tw_kv_prefix_init(&p->prefix, &p->pages, PAGES, &err));
}

static void close_pool(struct pool *p)
{
    assert_int_equal(p->pages.n_free, PAGES);
    tw_kv_prefix_release(&p->prefix);
    tw_kv_pages_release(&p->pages);
    tw_free(p->copies.list);
}

/* Give a sequence n tokens and act as if their keys and values were computed. */
static void compute(struct pool *p, struct tw_sequence *s, size_t n)
{
    struct trawl_error err;
    assert_ok(tw_sequence_reserve(s, n, &p->prefix, &p->copies, &err));
    for (size_t i = 0; i < n; i++) {
        s->tokens[s->n_tokens + i] = (int32_t)i;
    }
    s->n_tokens += n;
    s->n_computed = s->n_wanted = s->n_tokens;
}

static size_t held(const struct pool *p)
{
    return tw_kv_pages_held(&p->pages);
}

static void test_forks_share_pages_until_they_write(void **state)
{
    struct pool p;
    struct tw_sequence a, b, c;
    struct trawl_error err;
    (void)state;
    open_pool(&p);
    assert_ok(tw_sequence_init(&a, &p.group, 300, 300, &err));
    assert_ok(tw_sequence_init(&b, &p.group, 300, 300, &err));
    assert_ok(tw_sequence_init(&c, &p.group, 300, 300, &err));
    compute(&p, &a, 150); /* two pages and a piece of a third */
    assert_int_equal(held(&p), 3);
    tw_sequence_fork(&b, &a, &p.pages);
    tw_sequence_fork(&c, &b, &p.pages);
    assert_int_equal(held(&p), 3);
    assert_int_equal(p.copies.n, 0);
    assert_memory_equal(b.tokens, a.tokens, 150 * sizeof *a.tokens);

    uint32_t third = a.pages[2];
    compute(&p, &b, 1); /* the first that writes takes a copy, the second too, the last keeps the page */
    compute(&p, &a, 1);
    compute(&p, &c, 1);
    assert_int_equal(held(&p), 5);
    assert_int_equal(p.copies.n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(p.copies.list[i].from, third);
        assert_int_equal(p.copies.list[i].to, i == 0 ? b.pages[2] : a.pages[2]);
    }
    assert_int_equal(c.pages[2], third);
    assert_true(a.pages[0] == c.pages[0] && a.pages[1] == b.pages[1]);

    tw_sequence_truncate(&c, 70, &p.pages); /* back into a page that the others hold */
    assert_int_equal(c.n_pages, 2);
    assert_int_equal(held(&p), 4);
    compute(&p, &c, 60);
    assert_int_equal(p.copies.n, 3);
    assert_int_equal(p.copies.list[2].from, a.pages[1]);
    assert_int_equal(c.n_pages, 3);
    assert_int_equal(held(&p), 6);

    tw_sequence_clear(&b, &p.pages);
    tw_sequence_fork(&b, &c, &p.pages);
    assert_int_equal(b.n_tokens, 130);
    tw_sequence_release(&a, &p.pages);
    tw_sequence_release(&c, &p.pages);
    assert_int_equal(held(&p), 3);
    tw_sequence_release(&b, &p.pages);
    close_pool(&p);
}

static void test_at_the_end_of_a_page_nothing_is_copied(void **state)
{
    struct pool p;
    struct tw_sequence a, b;
    struct trawl_error err;
    (void)state;
    open_pool(&p);
    assert_ok(tw_sequence_init(&a, &p.group, 300, 300, &err));
    assert_ok(tw_sequence_init(&b, &p.group, 300, 300, &err));
    compute(&p, &a, 128);
    tw_sequence_fork(&b, &a, &p.pages);
    compute(&p, &a, 1);
    compute(&p, &b, 1);
    assert_int_equal(p.copies.n, 0);
    assert_int_equal(held(&p), 4);
    tw_sequence_release(&a, &p.pages);
    tw_sequence_release(&b, &p.pages);
    close_pool(&p);
}

static void test_no_pages_left_changes_nothing(void **state)
{
    struct pool p;
    struct tw_sequence a, b;
    struct trawl_error err;
    (void)state;
    open_pool(&p);
    assert_ok(tw_sequence_init(&a, &p.group, 1000, 1000, &err));
    assert_ok(tw_sequence_init(&b, &p.group, 1000, 1000, &err));
    compute(&p, &a, 11 * 64 - 1);
    tw_sequence_fork(&b, &a, &p.pages);
    assert_int_equal(tw_sequence_reserve(&b, 65, &p.prefix, &p.copies, &err), TRAWL_ERR_LIMIT);
    assert_int_equal(held(&p), 11); /* one is free: enough for the copy, not for the next page */
    assert_int_equal(p.copies.n, 0);
    assert_memory_equal(a.pages, b.pages, 11 * sizeof *a.pages);
    compute(&p, &b, 1);
    assert_int_equal(held(&p), 12);
    tw_sequence_release(&a, &p.pages);
    tw_sequence_release(&b, &p.pages);
    close_pool(&p);
}

/* ---- all kinds together ---- */

struct inputs {
    int32_t prompts[REQUESTS][SEARCH_PROMPT];
    int32_t tokens[12];
    uint32_t ends[3];
};

static void add_requests(struct harness *h, struct inputs *in, struct tw_philox_stream *s)
{
    static const enum tw_request_kind kinds[] = {TW_REQUEST_BEAM,  TW_REQUEST_SCORE,  TW_REQUEST_BEAM,
                                                 TW_REQUEST_NBEST, TW_REQUEST_SAMPLE, TW_REQUEST_BEAM};
    static const uint32_t ends[3]             = {1, 4, 12};
    memcpy(in->ends, ends, sizeof ends);
    for (size_t i = 0; i < 12; i++) {
        in->tokens[i] = (int32_t)search_pick(s, 0, SEARCH_VOCAB - 1);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t n = search_pick(s, 1, SEARCH_PROMPT);
        for (size_t k = 0; k < n; k++) {
            in->prompts[i][k] = (int32_t)search_pick(s, 0, SEARCH_VOCAB - 1);
        }
        struct tw_request *q =
            harness_add(h, in->prompts[i], n, search_pick(s, 1, kinds[i % 6] <= TW_REQUEST_BEAM ? 130 : 12));
        q->kind       = kinds[i % 6];
        q->ignore_eos = true;
        q->beam       = (struct tw_beam_params){3, 2, 1, TW_EARLY_STOPPING_FALSE};
        q->score      = (struct tw_score_params){in->tokens, in->ends, 3};
        q->nbest      = (struct tw_nbest_params){.min_prob = 0.01, .max_nodes = 60, .max_outputs = 9};
        q->sampling.temperature = q->kind == TW_REQUEST_SAMPLE ? 0.9 : 0;
        q->sampling.seed        = i;
    }
}

/* Each alone and one after another, then all together on another mesh, with other chunks and little memory. */
static void test_neighbours_change_nothing(void **state)
{
    struct tw_philox_stream s;
    struct trawl_error err;
    uint64_t preemptions = 0;
    tw_philox_stream_init(&s, 20261121, 4);
    for (int i = 0; i < DRAWS; i++) {
        const char *dir   = scratch_path(*state, "model");
        struct harness *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
        struct inputs in;
        struct tw_engine_config c;
        struct tw_engine *alone = NULL;
        assert_true(a != NULL && b != NULL);
        search_write_model(dir, &s, i);
        harness_init(a);
        harness_init(b);
        add_requests(a, &in, &s);
        memcpy(b->requests, a->requests, sizeof a->requests);
        b->n_requests = a->n_requests;
        b->backwards  = search_pick(&s, 0, 1);
        tw_engine_config_init(&c);
        c.model_path   = dir;
        c.threads      = 1;
        c.batch_size   = 3; /* the widest one fits: they wait for each other */
        c.prefix_cache = false;
        assert_ok(tw_engine_open(&alone, &c, &err));
        assert_ok(harness_run(a, alone, NULL, 0, &err));
        struct tw_engine *together = search_open(dir, &s, 3, 12);
        assert_ok(harness_run(b, together, NULL, 0, &err));
        harness_assert_equal(a, b, together, NULL, 0);
        for (size_t k = 0; k < REQUESTS; k++) {
            assert_int_not_equal(a->answers[k].finish, TW_FINISH_ERROR);
        }
        preemptions += search_preemptions(together);
        tw_engine_close(alone);
        tw_engine_close(together);
        harness_free(a);
        harness_free(b);
        free(a);
        free(b);
    }
    print_message("%llu preemptions\n", (unsigned long long)preemptions);
    assert_true(preemptions > DRAWS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forks_share_pages_until_they_write),
        cmocka_unit_test(test_at_the_end_of_a_page_nothing_is_copied),
        cmocka_unit_test(test_no_pages_left_changes_nothing),
        scratch_test(test_neighbours_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
