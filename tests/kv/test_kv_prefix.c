/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/philox.h"
#include "kv/kv_prefix.h"
#include "support/test.h"

enum { PAGE = TW_KV_BLOCK, POOL = 48, DEEPEST = 9, USERS = 7, DRAWS = 400, STEPS = 80, SEED = 20261121 };

/* ---- the walker: what must hold between any two calls ---- */

static void check_links(const struct tw_kv_prefix *c, uint32_t page)
{
    const struct tw_kv_node *n = &c->nodes[page];
    size_t in_bucket           = 0;
    for (uint32_t at = c->buckets[n->bucket]; at != TW_KV_NO_PAGE; at = c->nodes[at].next) {
        in_bucket += at == page;
    }
    assert_int_equal(in_bucket, 1);
    if (n->parent != TW_KV_NO_PAGE) {
        size_t among = 0;
        assert_true(c->pages->state[n->parent].kept);
        for (uint32_t at = c->nodes[n->parent].first_child; at != TW_KV_NO_PAGE;
             at          = c->nodes[at].older_sibling) {
            among += at == page;
        }
        assert_int_equal(among, 1);
    }
    uint32_t newer = TW_KV_NO_PAGE;
    for (uint32_t at = n->first_child; at != TW_KV_NO_PAGE; at = c->nodes[at].older_sibling) {
        assert_true(c->pages->state[at].kept);
        assert_int_equal(c->nodes[at].parent, page);
        assert_int_equal(c->nodes[at].newer_sibling, newer);
        newer = at;
    }
}

static void walk(const struct tw_kv_prefix *c)
{
    const struct tw_kv_pages *p = c->pages;
    size_t n_kept = 0, n_idle = 0, n_held = 0;
    for (uint32_t page = 0; page < p->n_pages; page++) {
        n_held += p->state[page].references > 0;
        n_idle += p->state[page].references == 0 && p->state[page].kept;
        if (p->state[page].kept) {
            n_kept++;
            check_links(c, page);
        }
    }
    assert_int_equal(n_kept, c->n_nodes);
    assert_int_equal(n_idle, p->n_idle);
    assert_int_equal(n_held, tw_kv_pages_held(p));
    assert_int_equal(p->n_free + n_idle + n_held, p->n_pages);
    size_t listed  = 0;
    uint32_t older = TW_KV_NO_PAGE;
    for (uint32_t at = p->oldest; at != TW_KV_NO_PAGE; at = p->state[at].newer, listed++) {
        assert_true(p->state[at].references == 0 && p->state[at].kept);
        assert_int_equal(p->state[at].older, older);
        older = at;
    }
    assert_int_equal(older, p->newest);
    assert_int_equal(listed, n_idle);
}

/* ---- the model: a flat list of prefixes, searched from end to end ---- */

/* A prefix that is known, one entry for each of its pages. */
struct known {
    bool used;
    uint64_t space;
    size_t depth; /* its last page's place */
    int32_t tokens[DEEPEST * PAGE];
    uint32_t page;
    uint64_t dropped; /* when its holders became none; counts only while there are none */
};

struct user {
    bool active;
    uint64_t space;
    size_t n, known; /* whole pages; how many of them it was told are known */
    int32_t tokens[DEEPEST * PAGE];
    uint32_t pages[DEEPEST];
};

struct model {
    struct known known[POOL];
    struct user users[USERS];
    size_t holders[POOL];
    size_t n_pages;
    uint64_t clock;
};

static struct known *model_find(struct model *m, uint64_t space, const int32_t *tokens, size_t depth)
{
    for (size_t i = 0; i < POOL; i++) {
        struct known *k = &m->known[i];
        if (k->used && k->space == space && k->depth == depth &&
            memcmp(k->tokens, tokens, (depth + 1) * PAGE * sizeof *tokens) == 0) {
            return k;
        }
    }
    return NULL;
}

static struct known *model_page(struct model *m, uint32_t page)
{
    for (size_t i = 0; i < POOL; i++) {
        if (m->known[i].used && m->known[i].page == page) {
            return &m->known[i];
        }
    }
    return NULL;
}

static void model_forget(struct model *m, const struct known *which)
{
    struct known gone = *which;
    for (size_t i = 0; i < POOL; i++) {
        struct known *k = &m->known[i];
        if (k->used && k->space == gone.space && k->depth >= gone.depth &&
            memcmp(k->tokens, gone.tokens, (gone.depth + 1) * PAGE * sizeof *k->tokens) == 0) {
            k->used = false;
        }
    }
}

static void model_insert(struct model *m, uint64_t space, const int32_t *tokens, size_t depth, uint32_t page)
{
    size_t i = 0;
    while (m->known[i].used) {
        i++;
        assert_true(i < POOL);
    }
    m->known[i] = (struct known){.used = true, .space = space, .depth = depth, .page = page};
    memcpy(m->known[i].tokens, tokens, (depth + 1) * PAGE * sizeof *tokens);
}

static void model_drop(struct model *m, uint32_t page)
{
    struct known *k = model_page(m, page);
    if (--m->holders[page] == 0 && k != NULL) {
        k->dropped = ++m->clock;
    }
}

static size_t model_idle(struct model *m, struct known **oldest)
{
    size_t n = 0;
    *oldest  = NULL;
    for (size_t i = 0; i < POOL; i++) {
        struct known *k = &m->known[i];
        if (k->used && m->holders[k->page] == 0) {
            n++;
            *oldest = *oldest == NULL || k->dropped < (*oldest)->dropped ? k : *oldest;
        }
    }
    return n;
}

static size_t model_free(struct model *m)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_pages; i++) {
        n += m->holders[i] == 0 && model_page(m, i) == NULL;
    }
    return n;
}

static bool model_make_room(struct model *m, size_t n, size_t most_idle)
{
    for (;;) {
        struct known *oldest;
        size_t n_idle = model_idle(m, &oldest), n_free = model_free(m);
        if (n_idle == 0 || (n_free >= n && n_idle <= most_idle)) {
            return n_free >= n;
        }
        model_forget(m, oldest);
    }
}

/* ---- both side by side ---- */

static uint32_t pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi)
{
    return lo + tw_philox_below(s, hi - lo + 1);
}

/* Few different pages, so that prefixes are shared; some differ in their last token alone. */
static void draw_tokens(struct tw_philox_stream *s, struct user *u)
{
    u->n     = pick(s, 1, DEEPEST);
    u->space = pick(s, 0, 7) == 0 ? 1 : 0;
    for (size_t i = 0; i < u->n; i++) {
        for (size_t j = 0; j < PAGE; j++) {
            u->tokens[i * PAGE + j] = (int32_t)j;
        }
        u->tokens[i * PAGE + PAGE - 1] = (int32_t)pick(s, 0, 1);
    }
}

/* A request: find what is known, make room for the rest, fill it; some of it becomes known at once. */
static void begin(struct tw_kv_prefix *c, struct model *m, struct tw_philox_stream *s, struct user *u)
{
    struct trawl_error err;
    draw_tokens(s, u);
    size_t most = pick(s, 0, (uint32_t)u->n), first = pick(s, 0, 1) ? 0 : most / 2, run = 0;
    size_t held = 0;
    while (held < most && model_find(m, u->space, u->tokens, held) != NULL &&
           m->holders[model_find(m, u->space, u->tokens, held)->page] > 0) {
        held++;
    }
    assert_int_equal(tw_kv_prefix_held(c, u->space, u->tokens, most), held);
    run = tw_kv_prefix_find(c, u->space, u->tokens, u->pages, 0, first);
    if (run == first) { /* in two calls as in one */
        run = tw_kv_prefix_find(c, u->space, u->tokens, u->pages, first, most);
    }
    size_t expected = 0;
    while (expected < most && model_find(m, u->space, u->tokens, expected) != NULL) {
        assert_int_equal(u->pages[expected], model_find(m, u->space, u->tokens, expected)->page);
        m->holders[u->pages[expected]]++;
        expected++;
    }
    assert_int_equal(run, expected);
    bool room = tw_kv_prefix_make_room(c, u->n - run);
    assert_int_equal(room, model_make_room(m, u->n - run, c->most_idle));
    if (!room) {
        for (size_t i = run; i-- > 0;) {
            model_drop(m, u->pages[i]);
        }
        tw_kv_pages_drop(c->pages, u->pages, run);
        return;
    }
    assert_ok(tw_kv_pages_take(c->pages, u->n - run, u->pages + run, &err));
    for (size_t i = run; i < u->n; i++) {
        assert_null(model_page(m, u->pages[i]));
        assert_int_equal(m->holders[u->pages[i]]++, 0);
    }
    u->known  = run;
    u->active = true;
}

static void insert(struct tw_kv_prefix *c, struct model *m, struct tw_philox_stream *s, struct user *u)
{
    uint32_t before[DEEPEST];
    size_t n = pick(s, (uint32_t)u->known, (uint32_t)u->n), end = u->known;
    memcpy(before, u->pages, sizeof before);
    size_t got = tw_kv_prefix_insert(c, u->space, u->tokens, u->pages, u->known, n);
    for (; end < n && (end == 0 || model_page(m, u->pages[end - 1]) != NULL); end++) {
        struct known *k = model_find(m, u->space, u->tokens, end);
        if (k == NULL) {
            model_insert(m, u->space, u->tokens, end, before[end]);
            assert_int_equal(u->pages[end], before[end]);
        } else if (k->page != before[end]) {
            assert_int_equal(u->pages[end], k->page);
            m->holders[k->page]++;
            model_drop(m, before[end]);
        }
    }
    assert_int_equal(got, end);
    u->known = end;
}

static void finish(struct tw_kv_prefix *c, struct model *m, struct user *u)
{
    for (size_t i = u->n; i-- > 0;) {
        model_drop(m, u->pages[i]);
    }
    tw_kv_pages_drop(c->pages, u->pages, u->n);
    u->active = false;
}

/* A user gives up a page in the middle, or wants to write to one. */
static void disturb(struct tw_kv_prefix *c, struct model *m, struct tw_philox_stream *s, struct user *u)
{
    size_t at       = pick(s, 0, (uint32_t)u->n - 1);
    struct known *k = model_page(m, u->pages[at]);
    if (pick(s, 0, 1)) {
        tw_kv_prefix_forget(c, u->pages[at]);
        if (k != NULL) {
            model_forget(m, k);
        }
        return;
    }
    model_drop(m, u->pages[at]); /* it holds what comes after a page that may be evicted now */
    tw_kv_pages_drop(c->pages, &u->pages[at], 1);
    memmove(u->pages + at, u->pages + at + 1, (u->n - at - 1) * sizeof *u->pages);
    u->n--;
    u->known  = u->n; /* no longer a prefix: it inserts nothing more */
    u->active = u->n > 0;
}

static void run_draw(struct tw_philox_stream *s)
{
    static struct model m; /* large */
    struct tw_kv_pages pages;
    struct tw_kv_prefix c;
    struct trawl_error err;
    size_t n_pages = pick(s, DEEPEST, POOL), most_idle = pick(s, 0, 2) ? n_pages : pick(s, 0, 10);
    memset(&m, 0, sizeof m);
    m.n_pages = n_pages;
    assert_ok(tw_kv_pages_init(&pages, n_pages, &err));
    assert_ok(tw_kv_prefix_init(&c, &pages, most_idle, &err));
    for (int i = 0; i < STEPS; i++) {
        struct user *u = &m.users[pick(s, 0, USERS - 1)];
        uint32_t what  = pick(s, 0, 9);
        if (!u->active) {
            begin(&c, &m, s, u);
        } else if (what < 5 && u->known < u->n) {
            insert(&c, &m, s, u);
        } else if (what == 9) {
            disturb(&c, &m, s, u);
        } else {
            finish(&c, &m, u);
        }
        walk(&c);
    }
    for (size_t i = 0; i < USERS; i++) {
        if (m.users[i].active) {
            finish(&c, &m, &m.users[i]);
        }
    }
    walk(&c);
    tw_kv_prefix_clear(&c);
    assert_int_equal(c.n_nodes, 0);
    assert_int_equal(pages.n_free, n_pages);
    tw_kv_prefix_release(&c);
    tw_kv_pages_release(&pages);
}

static void test_random_use_equals_a_flat_list(void **state)
{
    struct tw_philox_stream s;
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        tw_philox_stream_init(&s, SEED, (uint64_t)i);
        run_draw(&s);
    }
    print_message("seed %d, %d draws of %d steps\n", SEED, DRAWS, STEPS);
}

/* ---- by hand ---- */

static void fill(int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)(i * 7 % 1000);
    }
}

static void test_the_oldest_leaf_goes_first(void **state)
{
    enum { N = 4 };
    struct tw_kv_pages pages;
    struct tw_kv_prefix c;
    struct trawl_error err;
    int32_t a[N * PAGE], b[N * PAGE];
    uint32_t pa[N], pb[N], got[N];
    (void)state;
    fill(a, N * PAGE);
    fill(b, N * PAGE);
    b[2 * PAGE + 5] = -1; /* the third page differs */
    assert_ok(tw_kv_pages_init(&pages, 8, &err));
    assert_ok(tw_kv_prefix_init(&c, &pages, SIZE_MAX, &err));
    assert_ok(tw_kv_pages_take(&pages, N, pa, &err));
    assert_int_equal(tw_kv_prefix_insert(&c, 0, a, pa, 0, N), N);
    assert_int_equal(tw_kv_prefix_find(&c, 0, b, pb, 0, N), 2);
    assert_int_equal(tw_kv_prefix_find(&c, 1, b, got, 0, N), 0); /* another space */
    assert_memory_equal(pa, pb, 2 * sizeof *pa);
    assert_ok(tw_kv_pages_take(&pages, 2, pb + 2, &err));
    assert_int_equal(tw_kv_prefix_insert(&c, 0, b, pb, 2, N), N);
    tw_kv_pages_drop(&pages, pa, N);
    tw_kv_pages_drop(&pages, pb, N);
    assert_int_equal(pages.n_idle, 6);
    assert_true(tw_kv_prefix_make_room(&c, 3)); /* a's last page */
    assert_int_equal(tw_kv_prefix_find(&c, 0, a, got, 0, N), 3);
    tw_kv_pages_drop(&pages, got, 3); /* used again: now b's are older */
    assert_true(tw_kv_prefix_make_room(&c, 5));
    assert_int_equal(tw_kv_prefix_find(&c, 0, b, got, 0, N), 2);
    tw_kv_pages_drop(&pages, got, 2);
    assert_int_equal(tw_kv_prefix_find(&c, 0, a, got, 0, N), 3);
    assert_int_equal(c.evicted, 3);
    assert_false(tw_kv_prefix_make_room(&c, 6)); /* three are held */
    walk(&c);
    tw_kv_pages_drop(&pages, got, 3);
    tw_kv_prefix_release(&c);
    tw_kv_pages_release(&pages);
}

static void test_an_equal_page_takes_the_place(void **state)
{
    struct tw_kv_pages pages;
    struct tw_kv_prefix c;
    struct trawl_error err;
    int32_t a[2 * PAGE];
    uint32_t first[2], second[2];
    (void)state;
    fill(a, 2 * PAGE);
    assert_ok(tw_kv_pages_init(&pages, 4, &err));
    assert_ok(tw_kv_prefix_init(&c, &pages, SIZE_MAX, &err));
    assert_ok(tw_kv_pages_take(&pages, 2, first, &err));
    assert_ok(tw_kv_pages_take(&pages, 2, second, &err));
    assert_int_equal(tw_kv_prefix_insert(&c, 0, a, first, 0, 2), 2);
    assert_int_equal(tw_kv_prefix_insert(&c, 0, a, second, 0, 2), 2);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(pages.n_free, 2);
    assert_false(tw_kv_pages_writable(&pages, first[1]));
    tw_kv_pages_drop(&pages, first, 2);
    assert_false(tw_kv_pages_writable(&pages, second[1])); /* one holder, but known */
    tw_kv_prefix_forget(&c, second[1]);
    assert_true(tw_kv_pages_writable(&pages, second[1]));
    walk(&c);
    tw_kv_pages_drop(&pages, second, 2);
    assert_int_equal(pages.n_free, 3);
    tw_kv_prefix_release(&c);
    tw_kv_pages_release(&pages);
}

/* A hit of 128 pages costs microseconds; computing them costs seconds. Nothing is allocated. */
static void test_a_long_run_is_cheap(void **state)
{
    enum { LONG = 128, TIMES = 50 };
    static int32_t tokens[LONG * PAGE];
    static uint32_t p[LONG];
    struct tw_kv_pages pages;
    struct tw_kv_prefix c;
    struct trawl_error err;
    (void)state;
    fill(tokens, LONG * PAGE);
    assert_ok(tw_kv_pages_init(&pages, 4096, &err));
    assert_ok(tw_kv_prefix_init(&c, &pages, SIZE_MAX, &err));
    assert_ok(tw_kv_pages_take(&pages, LONG, p, &err));
    size_t allocations = tw_alloc_count();
    assert_int_equal(tw_kv_prefix_insert(&c, 0, tokens, p, 0, LONG), LONG);
    tw_kv_pages_drop(&pages, p, LONG);
    uint64_t begin = tw_clock_ns();
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(tw_kv_prefix_find(&c, 0, tokens, p, 0, LONG), LONG);
        tw_kv_pages_drop(&pages, p, LONG);
    }
    double us = (double)(tw_clock_ns() - begin) / 1e3 / TIMES;
    print_message("a run of %d tokens is found and dropped in %.1f us\n", LONG * PAGE, us);
    assert_true(us < 5000); /* a machine under a sanitizer, with others on it */
    assert_int_equal(tw_alloc_count(), allocations);
    assert_int_equal(c.found, (uint64_t)TIMES * LONG);
    tw_kv_prefix_release(&c);
    tw_kv_pages_release(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_leaf_goes_first),
        cmocka_unit_test(test_an_equal_page_takes_the_place),
        cmocka_unit_test(test_a_long_run_is_cheap),
        cmocka_unit_test(test_random_use_equals_a_flat_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
