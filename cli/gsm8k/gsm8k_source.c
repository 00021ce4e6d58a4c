/* SPDX-License-Identifier: MIT */
#include "cli/gsm8k/gsm8k_source.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/hub_place.h"
#include "http/http.h"
#include "hub/hub_cache.h"

#define TEST_URL \
    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl"

enum { TEST_LINES = 1319, LIMIT = 16 << 20 };

/* Files of a snapshot of openai/gsm8k that can be read. */
static const char *const hub_files[] = {"main/test.jsonl", "test.jsonl"};

static trawl_status put_own(struct tw_str *path, struct trawl_error *err)
{
    TW_TRY(cli_trawl_cache(path, err));
    return tw_str_puts(path, "/gsm8k/test.jsonl", err);
}

static trawl_status find_in_hub(struct tw_str *path, bool *found, struct trawl_error *err)
{
    struct tw_str cache;
    *found = false;
    tw_str_init(&cache, 0);
    trawl_status status = cli_hub_cache(&cache, err);
    if (status == TRAWL_OK) {
        status = tw_hub_find_snapshot(tw_str_text(&cache), TW_HUB_DATASET, "openai/gsm8k", "main", path,
                                      found, err);
    }
    tw_str_release(&cache);
    if (status != TRAWL_OK || !*found) {
        return status;
    }
    size_t snapshot = path->size;
    for (size_t i = 0; i < sizeof hub_files / sizeof hub_files[0]; i++) {
        path->size = snapshot;
        TW_TRY(tw_str_printf(path, err, "/%s", hub_files[i]));
        if (tw_path_exists(tw_str_text(path))) {
            return TRAWL_OK;
        }
    }
    *found = false;
    return TRAWL_OK;
}

/* ---- from the network ---- */

static void print_log(void *user, int level, const char *message)
{
    (void)user;
    (void)level;
    (void)fprintf(stderr, "trawl gsm8k: %s\n", message);
}

static size_t count_lines(const struct tw_str *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->size; i++) {
        n += text->data[i] == '\n' || i + 1 == text->size;
    }
    return n;
}

/* What came is the whole test split, or nothing is kept. */
static trawl_status keep(const struct tw_http_response *response, const char *path, struct trawl_error *err)
{
    if (response->status != 200) {
        return tw_http_refused(response, err);
    }
    size_t lines = count_lines(&response->body);
    if (lines != TEST_LINES) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu lines, the test split of GSM8K has %d",
                       tw_str_text(&response->shown), lines, TEST_LINES);
    }
    TW_TRY(tw_make_parent_dirs(path, err));
    return tw_file_replace(path, tw_str_text(&response->body), response->body.size, err);
}

static trawl_status download(const char *path, struct trawl_error *err)
{
    const char *mirror             = cli_environment("TRAWL_GSM8K_URL");
    struct tw_http_config config   = {.retry = {.attempts = 3}, .log = {print_log, NULL, TW_LOG_INFO}};
    struct tw_http_client *client  = NULL;
    struct tw_http_request request = {.method     = TW_HTTP_GET,
                                      .url        = mirror != NULL ? mirror : TEST_URL,
                                      .body_limit = LIMIT,
                                      .redirects  = 5};
    struct tw_http_response response;
    TW_TRY(tw_http_client_new(&config, &client, err));
    (void)fprintf(stderr, "trawl gsm8k: fetching the test split, once, to %s\n", path);
    tw_http_response_init(&response);
    trawl_status status = tw_http_send(client, &request, &response, err);
    if (status == TRAWL_OK) {
        status = keep(&response, path, err);
    }
    tw_http_response_release(&response);
    tw_http_client_free(client);
    return status;
}

static trawl_status find(struct tw_str *path, struct trawl_error *err)
{
    bool found = false;
    TW_TRY(find_in_hub(path, &found, err));
    if (found) {
        return TRAWL_OK;
    }
    tw_str_reset(path);
    TW_TRY(put_own(path, err));
    if (tw_path_exists(tw_str_text(path))) {
        return TRAWL_OK;
    }
    struct trawl_error why;
    trawl_status status = download(tw_str_text(path), &why);
    if (status == TRAWL_OK) {
        return TRAWL_OK;
    }
    return tw_fail(
        err, status,
        "no --dataset_path, %s is not there, and could not be fetched: %s; put grade_school_math/data/"
        "test.jsonl of github.com/openai/grade-school-math there, or name it",
        tw_str_text(path), why.message);
}

trawl_status cli_gsm8k_find(const char *given, char **out, struct trawl_error *err)
{
    struct tw_str path;
    *out = NULL;
    if (given != NULL) {
        return tw_strdup(given, out, err);
    }
    tw_str_init(&path, 0);
    trawl_status status = find(&path, err);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&path), out, err);
    }
    tw_str_release(&path);
    return status;
}
