/* SPDX-License-Identifier: MIT */
#include "cloud/cloud_ledger.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "json/json.h"

struct tw_ledger {
    struct tw_append_file file;
    json_t *known; /* object: "<bytes> <xxh3>" of its latest content */
    pthread_mutex_t lock;
};

enum { CONTENT_BYTES = 48 };

static void content_text(uint64_t bytes, const char *xxh3, char out[CONTENT_BYTES])
{
    (void)snprintf(out, CONTENT_BYTES, "%llu %.16s", (unsigned long long)bytes, xxh3);
}

static trawl_status remember(void *user, const char *object, uint64_t bytes, const char *xxh3,
                             struct trawl_error *err)
{
    struct tw_ledger *ledger = user;
    char content[CONTENT_BYTES];
    content_text(bytes, xxh3, content);
    return json_object_set_new(ledger->known, object, json_string(content)) == 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_NOMEM, "the list of uploaded files");
}

static trawl_status read_line(const json_t *line, const char *what, tw_ledger_fn *fn, void *user,
                              struct trawl_error *err)
{
    const char *object = NULL, *xxh3 = NULL;
    int64_t bytes = -1;
    if (!json_is_object(line)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected an object", what, tw_json_type_name(line));
    }
    TW_TRY(tw_json_get_string(line, "object", what, &object, err));
    TW_TRY(tw_json_get_string(line, "xxh3", what, &xxh3, err));
    TW_TRY(tw_json_get_int(line, "bytes", what, &bytes, err));
    if (object == NULL || bytes < 0 || xxh3 == NULL || strlen(xxh3) != 16) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: no line of an upload: \"object\", \"bytes\" or \"xxh3\" is missing", what);
    }
    return fn(user, object, (uint64_t)bytes, xxh3, err);
}

trawl_status tw_ledger_read(const char *text, size_t n, const char *what, tw_ledger_fn *fn, void *user,
                            size_t *valid, struct trawl_error *err)
{
    size_t number = 1;
    char where[300];
    *valid = 0;
    for (size_t at = 0; at < n; number++) {
        const char *newline = memchr(text + at, '\n', n - at);
        json_t *line        = NULL;
        if (newline == NULL) {
            break; /* torn */
        }
        (void)snprintf(where, sizeof where, "%.250s: line %zu", what, number);
        TW_TRY(tw_json_parse(text + at, (size_t)(newline - text) - at, where, &line, err));
        trawl_status status = read_line(line, where, fn, user, err);
        json_decref(line);
        TW_TRY(status);
        at     = (size_t)(newline - text) + 1;
        *valid = at;
    }
    return TRAWL_OK;
}

static trawl_status load(struct tw_ledger *ledger, struct trawl_error *err)
{
    char *text = NULL;
    size_t n = 0, valid = 0;
    TW_TRY(tw_file_read(ledger->file.path, SIZE_MAX - 1, &text, &n, err));
    trawl_status status = tw_ledger_read(text, n, ledger->file.path, remember, ledger, &valid, err);
    tw_free(text);
    TW_TRY(status);
    return valid < ledger->file.size ? tw_append_file_truncate(&ledger->file, valid, err) : TRAWL_OK;
}

trawl_status tw_ledger_open(const char *dir, struct tw_ledger **out, struct trawl_error *err)
{
    struct tw_ledger *ledger;
    char *path = NULL;
    *out       = NULL;
    TW_TRY(tw_alloc(1, sizeof *ledger, &ledger, err));
    (void)pthread_mutex_init(&ledger->lock, NULL);
    ledger->file.fd     = -1;
    ledger->known       = json_object();
    trawl_status status = ledger->known != NULL ? tw_path_join(dir, TW_LEDGER_NAME, &path, err)
                                                : tw_fail(err, TRAWL_ERR_NOMEM, "the list of uploaded files");
    if (status == TRAWL_OK) {
        status = tw_append_file_open(&ledger->file, path, err);
    }
    if (status == TRAWL_OK) {
        status = load(ledger, err);
    }
    tw_free(path);
    if (status != TRAWL_OK) {
        tw_ledger_close(ledger);
        return status;
    }
    *out = ledger;
    return TRAWL_OK;
}

void tw_ledger_close(struct tw_ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    tw_append_file_close(&ledger->file);
    json_decref(ledger->known);
    (void)pthread_mutex_destroy(&ledger->lock);
    tw_free(ledger);
}

bool tw_ledger_has(struct tw_ledger *ledger, const char *object, uint64_t bytes, uint64_t xxh3)
{
    char hex[17], content[CONTENT_BYTES];
    tw_hash_hex(xxh3, hex);
    content_text(bytes, hex, content);
    (void)pthread_mutex_lock(&ledger->lock);
    const char *known = json_string_value(json_object_get(ledger->known, object));
    bool has          = known != NULL && strcmp(known, content) == 0;
    (void)pthread_mutex_unlock(&ledger->lock);
    return has;
}

static trawl_status put_line(struct tw_str *line, const char *file, const struct tw_cloud_receipt *r,
                             const char *xxh3, struct trawl_error *err)
{
    struct tw_json_writer w;
    tw_json_writer_init(&w, line, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "file");
    tw_json_string(&w, file);
    tw_json_key(&w, "bytes");
    tw_json_int(&w, (int64_t)r->bytes);
    tw_json_key(&w, "xxh3");
    tw_json_string(&w, xxh3);
    tw_json_key(&w, "object");
    tw_json_string(&w, r->object);
    tw_json_key(&w, "version");
    tw_json_string(&w, r->version);
    tw_json_end_object(&w);
    TW_TRY(tw_json_writer_finish(&w, err));
    return tw_str_putc(line, '\n', err);
}

trawl_status tw_ledger_add(struct tw_ledger *ledger, const char *file, const struct tw_cloud_receipt *receipt,
                           struct trawl_error *err)
{
    char hex[17];
    struct tw_str line;
    tw_hash_hex(receipt->xxh3, hex);
    tw_str_init(&line, 0);
    trawl_status status = put_line(&line, file, receipt, hex, err);
    (void)pthread_mutex_lock(&ledger->lock);
    if (status == TRAWL_OK) {
        status = tw_append_file_append(&ledger->file, tw_str_text(&line), line.size, err);
    }
    if (status == TRAWL_OK) {
        status = remember(ledger, receipt->object, receipt->bytes, hex, err);
    }
    (void)pthread_mutex_unlock(&ledger->lock);
    tw_str_release(&line);
    return status;
}
