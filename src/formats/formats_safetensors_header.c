/* SPDX-License-Identifier: MIT */
#include "formats/formats_safetensors_header.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "json/json.h"

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 100 * 1000 * 1000 };

static const char METADATA[] = "__metadata__";

/* ---- one entry ---- */

static trawl_status read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return TRAWL_ERR_FORMAT;
    }
    *out = (size_t)json_integer_value(value);
    return TRAWL_OK;
}

static trawl_status read_dtype(struct tw_safetensors_tensor *t, const json_t *entry, struct trawl_error *err)
{
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\": \"dtype\" is %s, expected a string",
                       t->file, t->name, tw_json_type_name(dtype));
    }
    t->dtype_name = json_string_value(dtype);
    t->has_dtype  = tw_dtype_from_name(t->dtype_name, json_string_length(dtype), &t->dtype);
    return TRAWL_OK;
}

static trawl_status read_shape(struct tw_safetensors_tensor *t, const json_t *entry, struct trawl_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\": \"shape\" is %s, expected an array",
                       t->file, t->name, tw_json_type_name(shape));
    }
    size_t rank = json_array_size(shape);
    if (rank > TW_SAFETENSORS_RANK) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: tensor \"%s\" has %zu dimensions, at most %d are supported", t->file, t->name,
                       rank, TW_SAFETENSORS_RANK);
    }
    t->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        if (read_size(json_array_get(shape, i), &t->shape[i]) != TRAWL_OK) {
            return tw_fail(
                err, TRAWL_ERR_FORMAT,
                "%s: tensor \"%s\": dimension %zu of \"shape\" is %s, expected an integer of 0 or more",
                t->file, t->name, i, tw_json_type_name(json_array_get(shape, i)));
        }
    }
    return TRAWL_OK;
}

static trawl_status read_place(struct tw_safetensors_tensor *t, const json_t *entry, const uint8_t *data,
                               size_t size, struct trawl_error *err)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin = 0, end = 0;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        read_size(json_array_get(offsets, 0), &begin) != TRAWL_OK ||
        read_size(json_array_get(offsets, 1), &end) != TRAWL_OK || begin > end) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: tensor \"%s\": \"data_offsets\" must be [begin, end], two integers, 0 <= begin <= end",
            t->file, t->name);
    }
    if (end > size) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: tensor \"%s\" ends at byte %zu of the data, the file has %zu: it is truncated",
                       t->file, t->name, end, size);
    }
    t->data  = data + begin;
    t->bytes = end - begin;
    return TRAWL_OK;
}

static trawl_status check_bytes(const struct tw_safetensors_tensor *t, struct trawl_error *err)
{
    size_t want = t->has_dtype ? tw_dtype_bytes(t->dtype) : 0;
    if (want == 0) {
        return TRAWL_OK;
    }
    bool fits = true;
    for (int i = 0; i < t->rank; i++) {
        fits = tw_size_mul(want, t->shape[i], &want) && fits;
    }
    /* An empty dimension makes the product 0 whatever the others are, after an overflow too. */
    for (int i = 0; i < t->rank; i++) {
        if (t->shape[i] == 0) {
            want = 0;
            fits = true;
        }
    }
    if (!fits) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\": its shape is too large for any memory",
                       t->file, t->name);
    }
    if (want != t->bytes) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: tensor \"%s\" has %zu bytes, its shape and dtype %s make %zu", t->file, t->name,
                       t->bytes, t->dtype_name, want);
    }
    return TRAWL_OK;
}

static trawl_status read_tensor(struct tw_safetensors_tensor *t, const json_t *entry, const uint8_t *data,
                                size_t size, struct trawl_error *err)
{
    if (!json_is_object(entry)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" is %s, expected an object", t->file, t->name,
                       tw_json_type_name(entry));
    }
    TW_TRY(read_dtype(t, entry, err));
    TW_TRY(read_shape(t, entry, err));
    TW_TRY(read_place(t, entry, data, size, err));
    return check_bytes(t, err);
}

/* ---- the whole header ---- */

static int by_place(const void *a, const void *b)
{
    const struct tw_safetensors_tensor *x = a, *y = b;
    if (x->data != y->data) {
        return x->data < y->data ? -1 : 1;
    }
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The format's rule: the tensors tile the data, nothing hides between or behind them. */
static trawl_status check_tiling(const struct tw_safetensors_header *header, const uint8_t *data, size_t size,
                                 const char *file, struct trawl_error *err)
{
    size_t end       = 0;
    const char *last = NULL;
    for (size_t i = 0; i < header->n_tensors; i++) {
        const struct tw_safetensors_tensor *t = &header->tensors[i];
        size_t begin                          = (size_t)(t->data - data);
        if (begin < end) {
            return tw_fail(
                err, TRAWL_ERR_FORMAT,
                "%s: tensors \"%s\" and \"%s\" overlap: the second begins at byte %zu, the first ends at %zu",
                file, last, t->name, begin, end);
        }
        if (begin > end) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: bytes %zu to %zu of the data, before tensor \"%s\", belong to no tensor",
                           file, end, begin, t->name);
        }
        end  = begin + t->bytes;
        last = t->name;
    }
    if (end != size) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the last %zu of %zu data bytes belong to no tensor", file,
                       size - end, size);
    }
    return TRAWL_OK;
}

static trawl_status check_metadata(const json_t *metadata, const char *file, struct trawl_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is %s, expected an object", file, METADATA,
                       tw_json_type_name(metadata));
    }
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\": \"%s\" is %s, expected a string", file,
                           METADATA, key, tw_json_type_name(value));
        }
    }
    return TRAWL_OK;
}

static trawl_status read_entries(struct tw_safetensors_header *header, const uint8_t *data, size_t size,
                                 const char *file, struct trawl_error *err)
{
    const char *name;
    json_t *entry;
    TW_TRY(tw_alloc(json_object_size(header->document), sizeof *header->tensors, &header->tensors, err));
    json_object_foreach(header->document, name, entry)
    {
        if (strcmp(name, METADATA) == 0) {
            TW_TRY(check_metadata(entry, file, err));
            continue;
        }
        struct tw_safetensors_tensor *t = &header->tensors[header->n_tensors++];
        t->name                         = name;
        t->file                         = file;
        TW_TRY(read_tensor(t, entry, data, size, err));
    }
    qsort(header->tensors, header->n_tensors, sizeof *header->tensors, by_place);
    return check_tiling(header, data, size, file, err);
}

static trawl_status read_document(struct tw_safetensors_header *header, const uint8_t *content, size_t size,
                                  const char *file, size_t *length, struct trawl_error *err)
{
    if (size < LENGTH_BYTES) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %zu bytes are too few for a safetensors file", file, size);
    }
    static const char pointer[] = "version https://git-lfs";
    if (size > sizeof pointer && memcmp(content, pointer, sizeof pointer - 1) == 0) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: a Git LFS pointer, not the file itself; \"git lfs pull\" in its folder fetches it", file);
    }
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) {
        n = n << 8 | content[i];
    }
    if (n > HEADER_LIMIT) {
        return tw_fail(err, TRAWL_ERR_LIMIT,
                       "%s: a header of %llu bytes, the limit is %d: not a safetensors file, or damaged",
                       file, (unsigned long long)n, HEADER_LIMIT);
    }
    if (n > size - LENGTH_BYTES) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a header of %llu bytes in a file of %zu: it is truncated",
                       file, (unsigned long long)n, size);
    }
    const char *text = (const char *)content + LENGTH_BYTES;
    if (n == 0 || text[0] != '{') {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the header does not begin with \"{\"", file);
    }
    *length = (size_t)n;
    return tw_json_parse(text, *length, file, &header->document, err);
}

trawl_status tw_safetensors_header_read(struct tw_safetensors_header *header, const uint8_t *content,
                                        size_t size, const char *file, struct trawl_error *err)
{
    size_t length       = 0;
    *header             = (struct tw_safetensors_header){0};
    trawl_status status = read_document(header, content, size, file, &length, err);
    if (status == TRAWL_OK) {
        size_t begin = LENGTH_BYTES + length;
        status       = read_entries(header, content + begin, size - begin, file, err);
    }
    if (status != TRAWL_OK) {
        tw_safetensors_header_release(header);
    }
    return status;
}

void tw_safetensors_header_release(struct tw_safetensors_header *header)
{
    json_decref(header->document);
    tw_free(header->tensors);
    *header = (struct tw_safetensors_header){0};
}
