/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_dataset.h"

#include <string.h>

#include "apps/gsm8k/gsm8k_answer.h"
#include "base/alloc.h"
#include "base/file.h"
#include "json/json.h"

enum { FILE_LIMIT = 1 << 30 };

static trawl_status get_text(const json_t *row, const char *key, char **out, struct trawl_error *err)
{
    const char *text = NULL;
    TW_TRY(tw_json_get_string(row, key, "row", &text, err));
    if (text == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the row has no \"%s\"", key);
    }
    if (strlen(text) != json_string_length(json_object_get(row, key))) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"%s\" holds U+0000, expected text", key);
    }
    return tw_strdup(text, out, err);
}

static trawl_status read_row(struct tw_gsm8k_question *q, const char *line, size_t n, struct trawl_error *err)
{
    json_t *row = NULL;
    TW_TRY(tw_json_parse(line, n, "row", &row, err));
    trawl_status status = TRAWL_OK;
    if (!json_is_object(row)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "the row is %s, expected an object", tw_json_type_name(row));
    }
    if (status == TRAWL_OK) {
        status = get_text(row, "question", &q->text, err);
    }
    if (status == TRAWL_OK) {
        status = get_text(row, "answer", &q->answer, err);
    }
    json_decref(row);
    TW_TRY(status);
    if (!tw_gsm8k_answer(q->answer, strlen(q->answer), q->target)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"answer\" has no number");
    }
    return TRAWL_OK;
}

static void release_question(struct tw_gsm8k_question *q)
{
    tw_free(q->text);
    tw_free(q->answer);
}

static trawl_status add_row(struct tw_gsm8k_dataset *d, size_t id, const char *line, size_t n,
                            struct trawl_error *err)
{
    TW_TRY(tw_grow(&d->list, &d->capacity, d->n + 1, sizeof *d->list, err));
    struct tw_gsm8k_question q = {.id = id};
    trawl_status status        = read_row(&q, line, n, err);
    if (status == TRAWL_OK) {
        d->list[d->n++] = q;
    } else {
        release_question(&q);
    }
    return status;
}

static bool is_blank(const char *line, size_t n)
{
    while (n > 0 && strchr(" \t\r", line[n - 1]) != NULL && line[n - 1] != '\0') {
        n--;
    }
    return n == 0;
}

static trawl_status read_lines(struct tw_gsm8k_dataset *d, const char *path, const char *text, size_t size,
                               size_t most, const struct tw_log *log, struct trawl_error *err)
{
    size_t number = 0, id = 0;
    for (size_t at = 0; at < size && d->n < most;) {
        const char *line = text + at, *end = memchr(line, '\n', size - at);
        size_t n = end != NULL ? (size_t)(end - line) : size - at;
        at += n + 1;
        number++;
        if (is_blank(line, n)) {
            continue;
        }
        struct trawl_error why = {0};
        trawl_status status    = add_row(d, id++, line, n, &why);
        if (status == TRAWL_ERR_NOMEM) {
            return tw_fail(err, status, "%s", why.message);
        }
        if (status != TRAWL_OK) {
            (void)tw_fail_prefix(&why, status, "%s line %zu", path, number);
            tw_log(log, TW_LOG_WARNING, "%s; skipped", why.message);
            d->skipped = d->n_skipped++ == 0 ? why : d->skipped;
        }
    }
    return TRAWL_OK;
}

trawl_status tw_gsm8k_dataset_parse(struct tw_gsm8k_dataset *d, const char *name, const char *text, size_t n,
                                    size_t most, const struct tw_log *log, struct trawl_error *err)
{
    *d = (struct tw_gsm8k_dataset){0};
    TW_TRY(read_lines(d, name, text, n, most, log, err));
    if (d->n == 0 && d->n_skipped > 0) {
        return tw_fail(err, d->skipped.status, "%s", d->skipped.message);
    }
    if (d->n == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: no questions, expected lines of {\"question\": ..., \"answer\": ...}", name);
    }
    return TRAWL_OK;
}

trawl_status tw_gsm8k_dataset_load(struct tw_gsm8k_dataset *d, const char *path, size_t most,
                                   const struct tw_log *log, struct trawl_error *err)
{
    char *text  = NULL;
    size_t size = 0;
    *d          = (struct tw_gsm8k_dataset){0};
    TW_TRY(tw_file_read(path, FILE_LIMIT, &text, &size, err));
    trawl_status status = tw_gsm8k_dataset_parse(d, path, text, size, most, log, err);
    tw_free(text);
    return status;
}

void tw_gsm8k_dataset_release(struct tw_gsm8k_dataset *d)
{
    for (size_t i = 0; i < d->n; i++) {
        release_question(&d->list[i]);
    }
    tw_free(d->list);
    *d = (struct tw_gsm8k_dataset){0};
}
