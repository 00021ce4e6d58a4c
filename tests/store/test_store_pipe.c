/* SPDX-License-Identifier: MIT */
#include "support/test.h"

#include <pthread.h>

#include "base/philox.h"
#include "store/store_pipe.h"

enum { BYTES = 300000, SEED = 7 };

struct sender {
    struct tw_pipe *pipe;
    bool whole;
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 131 >> 3);
}

/* All bytes, in pieces of random sizes up to four times the pipe. */
static void *send_all(void *arg)
{
    struct sender *s = arg;
    struct tw_philox_stream random;
    uint8_t piece[256];
    tw_philox_stream_init(&random, SEED, 1);
    s->whole = true;
    for (size_t i = 0; i < BYTES && s->whole;) {
        size_t n = 1 + tw_philox_below(&random, sizeof piece);
        n        = n < BYTES - i ? n : BYTES - i;
        for (size_t k = 0; k < n; k++) {
            piece[k] = byte_at(i + k);
        }
        s->whole = tw_pipe_write(s->pipe, piece, n);
        i += n;
    }
    return NULL;
}

static void test_bytes_arrive(void **state)
{
    static const size_t capacities[] = {1, 2, 63, 64, 1000};
    (void)state;
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        struct tw_pipe pipe;
        struct trawl_error err = {0};
        struct sender s        = {.pipe = &pipe};
        struct tw_philox_stream random;
        pthread_t thread;
        uint8_t piece[300];
        size_t limit = capacities[c] == 1 ? 3000 : BYTES; /* a byte a turn is slow */
        assert_ok(tw_pipe_init(&pipe, capacities[c], &err));
        assert_int_equal(pthread_create(&thread, NULL, send_all, &s), 0);
        tw_philox_stream_init(&random, SEED, 2);
        for (size_t i = 0; i < limit;) {
            size_t n = 1 + tw_philox_below(&random, sizeof piece);
            n        = n < limit - i ? n : limit - i;
            assert_true(tw_pipe_read(&pipe, piece, n));
            for (size_t k = 0; k < n; k++) {
                assert_int_equal(piece[k], byte_at(i + k));
            }
            i += n;
        }
        tw_pipe_close(&pipe);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(s.whole, limit == BYTES);
        tw_pipe_release(&pipe);
    }
}

static void *close_pipe(void *arg)
{
    (void)usleep(1000);
    tw_pipe_close(arg);
    return NULL;
}

/* Both sides wake up and stop when the pipe is closed while they wait. */
static void test_close_wakes(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct tw_pipe pipe;
        struct trawl_error err = {0};
        pthread_t thread;
        uint8_t bytes[20] = {0};
        assert_ok(tw_pipe_init(&pipe, 10, &err));
        assert_int_equal(pthread_create(&thread, NULL, close_pipe, &pipe), 0);
        assert_false(side == 0 ? tw_pipe_write(&pipe, bytes, 20) : tw_pipe_read(&pipe, bytes, 1));
        assert_int_equal(pthread_join(thread, NULL), 0);
        tw_pipe_release(&pipe);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_arrive),
        cmocka_unit_test(test_close_wakes),
    };
    return cmocka_run_group_tests_name("store pipe", tests, NULL, NULL);
}
