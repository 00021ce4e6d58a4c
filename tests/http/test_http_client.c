/* SPDX-License-Identifier: MIT */
/* The client against a server that misbehaves on request. */
#include "support/test.h"

#include <pthread.h>

#include "http/http.h"
#include "support/fake_server.h"

static struct fake_server server;

/* A clock that only counts: waits take no time. */
struct clock {
    uint64_t now, slept;
};

static uint64_t clock_now(void *user)
{
    return ((struct clock *)user)->now;
}

static void clock_sleep(void *user, uint64_t ms)
{
    struct clock *c = user;
    c->now += ms;
    c->slept += ms;
}

struct kit {
    struct clock clock;
    struct tw_http_client *client;
    struct tw_http_response response;
    char url[512];
    atomic_bool cancelled;
};

static struct kit *kit_make(int attempts)
{
    struct trawl_error err;
    struct kit *k = calloc(1, sizeof *k);
    assert_non_null(k);
    const struct tw_http_config config = {.retry     = {.attempts = attempts},
                                          .clock     = {clock_now, clock_sleep, &k->clock},
                                          .stall_s   = 100,
                                          .cancelled = &k->cancelled};
    k->clock.now                       = 1700000000000u;
    assert_ok(tw_http_client_new(&config, &k->client, &err));
    tw_http_response_init(&k->response);
    return k;
}

static void kit_free(struct kit *k)
{
    tw_http_response_release(&k->response);
    tw_http_client_free(k->client);
    free(k);
}

static const char *url_of(struct kit *k, const char *path)
{
    (void)snprintf(k->url, sizeof k->url, "%s%s", server.base, path);
    return k->url;
}

static trawl_status get(struct kit *k, const char *path, struct trawl_error *err)
{
    struct tw_http_request r = {.method = TW_HTTP_GET, .url = url_of(k, path)};
    return tw_http_send(k->client, &r, &k->response, err);
}

#define assert_says(k, words)   assert_non_null(strstr(tw_str_text(&(k)->response.body), (words)))
#define assert_silent(k, words) assert_null(strstr(tw_str_text(&(k)->response.body), (words)))

static void test_sends_what_it_is_given(void **state)
{
    struct trawl_error err;
    struct kit *k                      = kit_make(1);
    const struct tw_http_header head[] = {{"X-One", "1"}, {"X-Nothing", ""}};
    struct tw_http_request r           = {.method    = TW_HTTP_POST,
                                          .url       = url_of(k, "/echo?a=b"),
                                          .headers   = head,
                                          .n_headers = 2,
                                          .bearer    = "secret",
                                          .body      = "hello",
                                          .body_size = 5};
    size_t n;
    (void)state;
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(k->response.status, 200);
    assert_says(k, "\"method\": \"POST\"");
    assert_says(k, "\"path\": \"/echo?a=b\"");
    assert_says(k, "\"body\": \"hello\"");
    assert_says(k, "\"x-one\": \"1\"");
    assert_says(k, "\"x-nothing\": \"\"");
    assert_says(k, "\"authorization\": \"Bearer secret\"");
    assert_says(k, "\"user-agent\": \"trawl/");
    assert_silent(k, "expect");
    assert_silent(k, "content-type");
    const char *two = tw_http_header(&k->response, "x-two", &n);
    assert_int_equal(n, 6);
    assert_memory_equal(two, "second", 6);
    assert_non_null(tw_http_header(&k->response, "x-empty", &n));
    assert_int_equal(n, 0);
    assert_null(tw_http_header(&k->response, "x-tw", &n));
    /* Bodies without a byte have a length all the same. */
    r = (struct tw_http_request){.method = TW_HTTP_PUT, .url = url_of(k, "/echo")};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_says(k, "\"content-length\": \"0\"");
    r = (struct tw_http_request){.method = TW_HTTP_DELETE, .url = url_of(k, "/echo")};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_says(k, "DELETE");
    r = (struct tw_http_request){.method = TW_HTTP_HEAD, .url = url_of(k, "/data/1000000")};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(k->response.status, 200);
    assert_int_equal(k->response.body.size, 0);
    kit_free(k);
}

static void test_part_of_a_file(void **state)
{
    struct scratch *s = *state;
    struct trawl_error err;
    struct kit *k = kit_make(2);
    FILE *f       = fopen(scratch_path(s, "f"), "wb");
    (void)fputs("0123456789", f);
    (void)fclose(f);
    struct tw_http_request r = {.method      = TW_HTTP_PUT,
                                .url         = url_of(k, "/fail/file/1/503"),
                                .file        = scratch_path(s, "f"),
                                .file_offset = 3,
                                .body_size   = 4};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err)); /* the second time, from its begin again */
    assert_says(k, "fine 3456");
    assert_int_equal(k->response.attempts, 2);
    r.body_size = 9;
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO,
                   "ended at byte 10, expected 12");
    r.file = scratch_path(s, "none");
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "No such file");
    kit_free(k);
}

static void test_retries(void **state)
{
    struct trawl_error err;
    struct kit *k = kit_make(4);
    (void)state;
    assert_ok(get(k, "/fail/a/3/503", &err));
    assert_int_equal(k->response.status, 200);
    assert_int_equal(k->response.attempts, 4);
    /* 500, 1000, 2000: each drawn from its upper half */
    assert_in_range(k->clock.slept, 1750, 3500);
    k->clock.slept = 0;
    assert_ok(get(k, "/fail/b/9/429?after=7", &err));
    assert_int_equal(k->response.status, 429);
    assert_int_equal(k->clock.slept, 21000); /* between four attempts */
    assert_refused(tw_http_refused(&k->response, &err), TRAWL_ERR_IO, "429 Too Many Requests: no such luck");
    assert_null(strstr(err.message, "after"));
    k->clock.slept = 0;
    assert_ok(get(k, "/fail/c/9/404", &err)); /* an answer, not a mishap */
    assert_int_equal(k->response.attempts, 1);
    assert_ok(get(k, "/drop/d/2", &err)); /* libcurl itself repeats what a kept connection has lost */
    assert_in_range(k->response.attempts, 2, 3);
    assert_refused(get(k, "/drop/e/9", &err), TRAWL_ERR_IO, "127.0.0.1:");
    assert_int_equal(k->response.status, 0);
    struct tw_http_request r = {.method = TW_HTTP_POST, .url = url_of(k, "/fail/f/1/500"), .once = true};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(k->response.status, 500);
    assert_int_equal(k->response.attempts, 1);
    kit_free(k);
}

static void test_retry_after_is_a_date(void **state)
{
    struct trawl_error err;
    struct kit *k = kit_make(2);
    (void)state;
    /* the clock says Tue, 14 Nov 2023 22:13:20 GMT */
    assert_ok(get(k, "/fail/g/1/503?after=Tue,%2014%20Nov%202023%2022:14:00%20GMT", &err));
    assert_int_equal(k->clock.slept, 40000);
    k->clock.slept = 0;
    assert_ok(get(k, "/fail/h/1/503?after=99999999", &err)); /* nobody waits for three years */
    assert_int_equal(k->clock.slept, 120000);
    k->clock.slept = 0;
    assert_ok(get(k, "/fail/i/1/503?after=soon", &err));
    assert_in_range(k->clock.slept, 250, 500);
    kit_free(k);
}

static void test_nobody_there(void **state)
{
    struct trawl_error err;
    struct kit *k            = kit_make(3);
    struct tw_http_request r = {.method = TW_HTTP_GET, .url = "http://127.0.0.1:1/x/y?token=secret"};
    (void)state;
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "127.0.0.1:1/x/y: ");
    assert_null(strstr(err.message, "secret"));
    assert_int_equal(k->response.attempts, 3);
    r.url = "ftp://127.0.0.1/";
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "rotocol");
    assert_int_equal(k->response.attempts, 1);
    r.url = "no url";
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "(not a URL)");
    const struct tw_http_header bad = {"X-Bad", "a\r\nX-Evil: 1"};
    r = (struct tw_http_request){.url = url_of(k, "/echo"), .headers = &bad, .n_headers = 1};
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_INVALID, "line end");
    kit_free(k);
}

static void test_bounds(void **state)
{
    struct trawl_error err;
    struct kit *k            = kit_make(1);
    struct tw_http_request r = {.url = url_of(k, "/data/5000"), .body_limit = 4999};
    (void)state;
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_LIMIT, "more than 4999 bytes");
    r.body_limit = 5000;
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(k->response.body.size, 5000);
    assert_ok(get(k, "/heads/50", &err));
    assert_refused(get(k, "/heads/90000", &err), TRAWL_ERR_LIMIT, "more headers");
    r = (struct tw_http_request){.url = url_of(k, "/stall"), .stall_s = 1};
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "/stall: ");
    kit_free(k);
}

static void test_redirects(void **state)
{
    struct trawl_error err;
    struct kit *k = kit_make(1);
    char path[256];
    const struct tw_http_header head[] = {{"X-One", "1"}, {"Cookie", "c"}};
    (void)state;
    assert_ok(get(k, "/to?/echo", &err));
    assert_int_equal(k->response.status, 302);
    struct tw_http_request r = {
        .bearer = "secret", .redirects = 3, .headers = head, .n_headers = 2, .url = url_of(k, "/to?/echo")};
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_says(k, "Bearer secret"); /* at home */
    assert_non_null(strstr(tw_str_text(&k->response.url), "/echo"));
    (void)snprintf(path, sizeof path, "/to?%s/echo", server.other);
    r.url = url_of(k, path);
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_says(k, "\"x-one\": \"1\"");
    assert_silent(k, "secret"); /* elsewhere */
    assert_silent(k, "cookie");
    (void)snprintf(path, sizeof path, "/to?%s/to%%3F%s/echo", server.other, server.base);
    r.url = url_of(k, path);
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_silent(k, "secret"); /* back home on a stranger's word */
    r.url = url_of(k, "/loop");
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_IO, "redirects without end");
    r.url = url_of(k, "/to?file:///etc/passwd");
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_FORMAT, "neither http nor");
    r.method = TW_HTTP_POST;
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_INVALID, "not followed");
    kit_free(k);
}

/* ---- sinks ---- */

struct taken {
    struct tw_str bytes;
    int begins;
    uint64_t last_offset;
    bool refuse;
};

static trawl_status take_begin(void *user, uint64_t offset, const struct tw_http_response *response,
                               struct trawl_error *err)
{
    struct taken *t = user;
    (void)response;
    (void)err;
    t->begins++;
    t->last_offset = offset;
    assert_true(offset <= t->bytes.size);
    t->bytes.size = (size_t)offset;
    return TRAWL_OK;
}

static trawl_status take_write(void *user, const void *data, size_t n, struct trawl_error *err)
{
    struct taken *t = user;
    return t->refuse ? tw_fail(err, TRAWL_ERR_LIMIT, "no room") : tw_str_append(&t->bytes, data, n, err);
}

static void assert_data(const struct taken *t, size_t n)
{
    assert_int_equal(t->bytes.size, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal((unsigned char)t->bytes.data[i], (i * 7 + i / 251) % 256);
    }
}

static void test_downloads_go_on(void **state)
{
    struct trawl_error err;
    struct kit *k            = kit_make(6);
    struct taken t           = {.begins = 0};
    struct tw_http_sink sink = {take_begin, take_write, &t, 0, NULL};
    struct tw_http_request r = {.url = url_of(k, "/data/100000?cut=30000&key=z"), .sink = &sink};
    (void)state;
    tw_str_init(&t.bytes, 0);
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_data(&t, 100000);
    assert_int_equal(t.begins, 4);
    assert_int_equal(t.last_offset, 90000);
    assert_int_equal(sink.have, 100000);
    assert_int_equal(k->response.status, 206);
    /* A server that does not know ranges. */
    sink.have = 500;
    sink.etag = "\"one\"";
    r.url     = url_of(k, "/data/1000?noranges=1");
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_data(&t, 1000);
    assert_int_equal(t.last_offset, 0);
    /* Nothing is missing: the caller sees what the server says. */
    assert_ok(tw_http_send(k->client,
                           &(struct tw_http_request){.url = url_of(k, "/data/1000"), .sink = &sink},
                           &k->response, &err));
    assert_int_equal(k->response.status, 416);
    /* An empty body begins too; a 404 goes to no sink. */
    t.begins  = 0;
    sink.have = 0;
    r.url     = url_of(k, "/data/0");
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(t.begins, 1);
    r.url = url_of(k, "/nowhere");
    assert_ok(tw_http_send(k->client, &r, &k->response, &err));
    assert_int_equal(t.begins, 1);
    assert_says(k, "nothing here");
    t.refuse = true;
    r.url    = url_of(k, "/data/10");
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_LIMIT, "no room");
    assert_int_equal(k->response.attempts, 1);
    tw_str_release(&t.bytes);
    kit_free(k);
}

/* ---- cancelling ---- */

static void *cancel_soon(void *arg)
{
    struct kit *k = arg;
    (void)usleep(300000);
    atomic_store(&k->cancelled, true);
    return NULL;
}

static void test_cancelled(void **state)
{
    struct trawl_error err;
    pthread_t thread;
    struct kit *k            = kit_make(5);
    struct tw_http_request r = {.url = url_of(k, "/stall"), .stall_s = 600};
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, k), 0);
    assert_refused(tw_http_send(k->client, &r, &k->response, &err), TRAWL_ERR_CANCELLED,
                   "stopped on request");
    (void)pthread_join(thread, NULL);
    assert_int_equal(k->response.attempts, 1);
    assert_refused(get(k, "/fail/x/9/503", &err), TRAWL_ERR_CANCELLED, "stopped");
    kit_free(k);
}

/* ---- URLs ---- */

static void test_urls(void **state)
{
    struct trawl_error err;
    struct tw_str s;
    (void)state;
    tw_str_init(&s, 0);
    assert_ok(tw_http_encode(&s, "a/b c+\xc3\xa4~", 9, false, &err));
    assert_string_equal(tw_str_text(&s), "a%2Fb%20c%2B%C3%A4~");
    tw_str_reset(&s);
    assert_ok(tw_http_encode(&s, "a/b%", 4, true, &err));
    assert_string_equal(tw_str_text(&s), "a/b%25");
    tw_str_reset(&s);
    assert_ok(tw_http_show(&s, "https://user:pass@host:8443/p/q?upload_id=secret#f", &err));
    assert_string_equal(tw_str_text(&s), "host:8443/p/q");
    tw_str_reset(&s);
    assert_ok(tw_http_origin(&s, "https://host:443/p", &err));
    assert_string_equal(tw_str_text(&s), "https://host");
    assert_refused(tw_http_origin(&s, "gs://bucket", &err), TRAWL_ERR_INVALID, "no URL");
    tw_str_release(&s);
}

int main(void)
{
    if (!fake_server_start(&server, TRAWL_SOURCE_DIR "/tests/http/fake_http.py", NULL)) {
        (void)printf("skipped: no Python to run the server of the test with\n");
        return 77;
    }
    (void)setenv("no_proxy", "*", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_what_it_is_given),
        scratch_test(test_part_of_a_file),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_retry_after_is_a_date),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_downloads_go_on),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_urls),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fake_server_stop(&server);
    return failed;
}
