/* SPDX-License-Identifier: MIT */
/* No request is kept waiting by those behind it: one among an endless stream of others ends within the steps that those
 * in front of it and itself take. The stream ends when it has ended. */
#include "base/size.h"
#include "engine/engine_int.h"
#include "support/tiny_model.h"

enum { LONG = 200, LONG_ANSWER = 60, SHORT = 10, SHORT_ANSWER = 3, PLACE = 9, CHUNK = 32, BATCH = 4 };

static int32_t prompt[LONG + 16]; /* filled by main */

struct stream {
    const struct tw_engine *engine;
    bool long_one; /* the one is long and the stream of short ones, or the other way round */
    uint64_t n_pulled;
    uint64_t from, to; /* steps when the one was pulled, and when it ended; 0: not yet */
};

static uint64_t steps_of(const struct stream *s)
{
    struct tw_engine_stats stats;
    tw_engine_stats(s->engine, &stats);
    return stats.steps;
}

static enum tw_pull pull(void *user, bool wait, struct tw_request *q)
{
    struct stream *s = user;
    uint64_t id      = s->n_pulled++;
    bool is_long     = s->long_one == (id == PLACE);
    (void)wait;
    if (s->to > 0) {
        return TW_PULL_END;
    }
    assert_true(id < 1000); /* it will never end */
    *q = (struct tw_request){.id         = id,
                             .prompt     = prompt + id % 16,
                             .n_prompt   = is_long ? LONG : SHORT,
                             .max_tokens = is_long ? LONG_ANSWER : SHORT_ANSWER,
                             .ignore_eos = true};
    tw_sample_params_init(&q->sampling);
    s->from = id == PLACE ? steps_of(s) : s->from;
    return TW_PULL_REQUEST;
}

static trawl_status finished(void *user, const struct tw_result *r, struct trawl_error *err)
{
    struct stream *s = user;
    (void)err;
    assert_int_equal(r->finish, TW_FINISH_LENGTH);
    s->to = r->id == PLACE ? steps_of(s) : s->to;
    return TRAWL_OK;
}

static void stop(void *user)
{
    (void)user;
}

/* Steps from when the one was pulled to when it had ended. */
static uint64_t run(const char *dir, bool long_one, size_t n_pages, bool prefix_cache)
{
    struct tiny_model m = tiny_model_default();
    struct stream s     = {.long_one = long_one};
    struct tw_work work = {.user = &s, .pull = pull, .finished = finished, .stop = stop};
    struct tw_engine_config c;
    struct trawl_error err;
    struct tw_engine *e = NULL;
    tw_engine_config_init(&c);
    c.model_path     = dir;
    c.threads        = 1;
    c.batch_size     = BATCH;
    c.prefill_chunk  = CHUNK;
    c.prefix_cache   = prefix_cache;
    c.kv_cache_bytes = n_pages * tw_kv_page_bytes(TW_DTYPE_BF16, m.n_layers, m.n_kv_heads, m.head_dim);
    assert_ok(tw_engine_open(&e, &c, &err));
    s.engine = e;
    assert_ok(tw_engine_run(e, &work, NULL, 0, &err));
    assert_true(s.to > 0);
    tw_engine_close(e);
    return s.to - s.from;
}

static void test_nobody_is_starved(void **state)
{
    const char *dir     = scratch_path(*state, "model");
    struct tiny_model m = tiny_model_default();
    /* What either needs alone: its prompt in chunks, then a step for each further token. */
    const uint64_t of_long = tw_ceil_div(LONG, CHUNK) + LONG_ANSWER, of_short = SHORT_ANSWER;
    tiny_model_write(dir, &m);
    for (size_t n_pages = 5; n_pages <= 40; n_pages += 7) { /* from room for one of them */
        for (int cache = 0; cache < 2; cache++) {
            /* It waits until those in front have ended, and shares its chunks with none of those behind. */
            uint64_t steps = run(dir, true, n_pages, cache == 1);
            if (steps > BATCH * of_short + of_long) {
                fail_msg("%zu pages: the long one took %llu steps", n_pages, (unsigned long long)steps);
            }
            /* Those in front may have to run one after another, and begin again with what they had. */
            steps = run(dir, false, n_pages, cache == 1);
            if (steps > BATCH * of_long + of_short) {
                fail_msg("%zu pages: the short one took %llu steps", n_pages, (unsigned long long)steps);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {scratch_test(test_nobody_is_starved)};
    for (size_t i = 0; i < sizeof prompt / sizeof prompt[0]; i++) {
        prompt[i] = (int32_t)(i * 7919 % 131);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
