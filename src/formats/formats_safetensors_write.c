/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/utf8.h"
#include "formats/formats_safetensors.h"
#include "json/json.h"

enum { LENGTH_BYTES = 8, DATA_ALIGNMENT = 64, HEADER_LIMIT = 100 * 1000 * 1000 };

static const char METADATA[] = "__metadata__";

enum stage { STAGE_METADATA, STAGE_TENSORS, STAGE_DATA };

struct declared {
    char *name;
    size_t end; /* in the data */
};

struct tw_safetensors_writer {
    struct tw_sink sink;
    struct tw_str header;
    struct tw_json_writer json;
    enum stage stage;
    struct declared *tensors; /* [n_tensors] */
    size_t n_tensors;
    size_t capacity;
    size_t last_width; /* bytes of the last declared dtype */
    size_t total;      /* data bytes declared */
    size_t written;    /* data bytes taken */
};

trawl_status tw_safetensors_writer_new(struct tw_safetensors_writer **out, struct tw_sink sink,
                                       struct trawl_error *err)
{
    struct tw_safetensors_writer *w;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *w, &w, err));
    w->sink       = sink;
    w->last_width = SIZE_MAX;
    tw_str_init(&w->header, HEADER_LIMIT);
    tw_json_writer_init(&w->json, &w->header, 0);
    tw_json_begin_object(&w->json);
    *out = w;
    return TRAWL_OK;
}

void tw_safetensors_writer_free(struct tw_safetensors_writer *w)
{
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < w->n_tensors; i++) {
        tw_free(w->tensors[i].name);
    }
    tw_free(w->tensors);
    tw_str_release(&w->header);
    tw_free(w);
}

static trawl_status check_text(const char *what, const char *text, struct trawl_error *err)
{
    if (!tw_utf8_valid(text, strlen(text))) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: a %s that is not UTF-8", what);
    }
    return TRAWL_OK;
}

trawl_status tw_safetensors_writer_metadata(struct tw_safetensors_writer *w, const char *key,
                                            const char *value, struct trawl_error *err)
{
    TW_TRY(check_text("metadata key", key, err));
    TW_TRY(check_text("metadata value", value, err));
    if (w->stage != STAGE_METADATA) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: metadata \"%s\" after the first tensor", key);
    }
    if (w->json.depth == 1) {
        tw_json_key(&w->json, METADATA);
        tw_json_begin_object(&w->json);
    }
    tw_json_key(&w->json, key);
    tw_json_string(&w->json, value);
    return TRAWL_OK;
}

static trawl_status check_declaration(const struct tw_safetensors_writer *w, const char *name,
                                      enum tw_dtype dtype, int rank, const size_t *shape, size_t *end,
                                      struct trawl_error *err)
{
    TW_TRY(check_text("tensor name", name, err));
    size_t bytes = tw_dtype_bytes(dtype);
    if (w->stage == STAGE_DATA || strcmp(name, METADATA) == 0 || rank < 0 || rank > TW_SAFETENSORS_RANK) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: tensor \"%s\" of rank %d cannot be declared%s",
                       name, rank, w->stage == STAGE_DATA ? " after the header was written" : "");
    }
    if (bytes > w->last_width) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "safetensors: tensor \"%s\" of dtype %s is declared after a narrower dtype", name,
                       tw_dtype_name(dtype));
    }
    bool fits = true;
    for (int i = 0; i < rank; i++) {
        fits = fits && tw_size_mul(bytes, shape[i], &bytes);
    }
    if (!fits || !tw_size_add(w->total, bytes, end) || *end > INT64_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "safetensors: tensor \"%s\" is too large", name);
    }
    return TRAWL_OK;
}

trawl_status tw_safetensors_writer_declare(struct tw_safetensors_writer *w, const char *name,
                                           enum tw_dtype dtype, int rank, const size_t *shape,
                                           struct trawl_error *err)
{
    size_t end = 0;
    TW_TRY(check_declaration(w, name, dtype, rank, shape, &end, err));
    TW_TRY(tw_grow(&w->tensors, &w->capacity, w->n_tensors + 1, sizeof *w->tensors, err));
    TW_TRY(tw_strdup(name, &w->tensors[w->n_tensors].name, err));
    w->tensors[w->n_tensors++].end = end;
    if (w->stage == STAGE_METADATA && w->json.depth == 2) {
        tw_json_end_object(&w->json);
    }
    w->stage = STAGE_TENSORS;
    tw_json_key(&w->json, name);
    tw_json_begin_object(&w->json);
    tw_json_key(&w->json, "dtype");
    tw_json_string(&w->json, tw_dtype_name(dtype));
    tw_json_key(&w->json, "shape");
    tw_json_begin_array(&w->json);
    for (int i = 0; i < rank; i++) {
        tw_json_int(&w->json, (int64_t)shape[i]);
    }
    tw_json_end_array(&w->json);
    tw_json_key(&w->json, "data_offsets");
    tw_json_begin_array(&w->json);
    tw_json_int(&w->json, (int64_t)w->total);
    tw_json_int(&w->json, (int64_t)end);
    tw_json_end_array(&w->json);
    tw_json_end_object(&w->json);
    w->total      = end;
    w->last_width = tw_dtype_bytes(dtype);
    return TRAWL_OK;
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static trawl_status check_names(const struct tw_safetensors_writer *w, struct trawl_error *err)
{
    const char **names = NULL;
    TW_TRY(tw_alloc(w->n_tensors, sizeof *names, &names, err));
    for (size_t i = 0; i < w->n_tensors; i++) {
        names[i] = w->tensors[i].name;
    }
    qsort(names, w->n_tensors, sizeof *names, by_text);
    trawl_status status = TRAWL_OK;
    for (size_t i = 1; status == TRAWL_OK && i < w->n_tensors; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            status =
                tw_fail(err, TRAWL_ERR_INVALID, "safetensors: tensor \"%s\" is declared twice", names[i]);
        }
    }
    tw_free(names);
    return status;
}

trawl_status tw_safetensors_writer_begin(struct tw_safetensors_writer *w, struct trawl_error *err)
{
    if (w->stage == STAGE_DATA) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: the header was written already");
    }
    TW_TRY(check_names(w, err));
    if (w->stage == STAGE_METADATA && w->json.depth == 2) {
        tw_json_end_object(&w->json);
    }
    w->stage = STAGE_DATA;
    tw_json_end_object(&w->json);
    TW_TRY(tw_json_writer_finish(&w->json, err));
    while ((LENGTH_BYTES + w->header.size) % DATA_ALIGNMENT != 0) {
        TW_TRY(tw_str_putc(&w->header, ' ', err));
    }
    uint8_t length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) {
        length[i] = (uint8_t)((uint64_t)w->header.size >> (8 * i));
    }
    TW_TRY(tw_sink_write(&w->sink, length, sizeof length, err));
    return tw_sink_write(&w->sink, w->header.data, w->header.size, err);
}

trawl_status tw_safetensors_writer_write(struct tw_safetensors_writer *w, const void *data, size_t n,
                                         struct trawl_error *err)
{
    if (w->stage != STAGE_DATA || n > w->total - w->written) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: %zu bytes after %zu, only %zu are declared", n,
                       w->written, w->total);
    }
    TW_TRY(tw_sink_write(&w->sink, data, n, err));
    w->written += n;
    return TRAWL_OK;
}

trawl_status tw_safetensors_writer_finish(struct tw_safetensors_writer *w, struct trawl_error *err)
{
    if (w->stage != STAGE_DATA) {
        return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: finished before the header was written");
    }
    for (size_t i = 0; i < w->n_tensors; i++) {
        if (w->tensors[i].end > w->written) {
            return tw_fail(err, TRAWL_ERR_INVALID, "safetensors: tensor \"%s\" lacks %zu bytes",
                           w->tensors[i].name, w->tensors[i].end - w->written);
        }
    }
    return TRAWL_OK;
}
