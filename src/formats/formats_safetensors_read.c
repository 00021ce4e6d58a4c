/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "formats/formats_safetensors.h"
#include "formats/formats_safetensors_header.h"
#include "json/json.h"

enum { INDEX_LIMIT = 100 * 1000 * 1000 };

static const char SINGLE[] = "model.safetensors";
static const char INDEX[]  = "model.safetensors.index.json";

struct part {
    char *path;
    struct tw_mapped_file map;
    struct tw_safetensors_header header;
};

struct tw_safetensors {
    char *path;
    struct part *parts; /* [n_parts]; grows, so nothing may point to an element */
    size_t n_parts;
    size_t parts_capacity;
    struct tw_safetensors_tensor *tensors; /* [n_tensors] by name */
    size_t n_tensors;
    size_t tensors_capacity;
};

static int by_name(const void *a, const void *b)
{
    const struct tw_safetensors_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void sort_tensors(struct tw_safetensors *st)
{
    if (st->n_tensors > 0) { /* qsort must not see the NULL of an empty array */
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
    }
}

/* Takes `path` over, also on failure. */
static trawl_status add_part(struct tw_safetensors *st, char *path, struct trawl_error *err)
{
    trawl_status status = tw_grow(&st->parts, &st->parts_capacity, st->n_parts + 1, sizeof *st->parts, err);
    if (status != TRAWL_OK) {
        tw_free(path);
        return status;
    }
    struct part *part = &st->parts[st->n_parts++];
    *part             = (struct part){.path = path};
    TW_TRY(tw_mapped_file_open(&part->map, path, err));
    return tw_safetensors_header_read(&part->header, part->map.data, part->map.size, path, err);
}

static trawl_status add_tensor(struct tw_safetensors *st, const struct tw_safetensors_tensor *t,
                               struct trawl_error *err)
{
    TW_TRY(tw_grow(&st->tensors, &st->tensors_capacity, st->n_tensors + 1, sizeof *st->tensors, err));
    st->tensors[st->n_tensors++] = *t;
    return TRAWL_OK;
}

static trawl_status open_single(struct tw_safetensors *st, const char *path, struct trawl_error *err)
{
    char *copy = NULL;
    TW_TRY(tw_strdup(path, &copy, err));
    TW_TRY(add_part(st, copy, err));
    const struct tw_safetensors_header *header = &st->parts[0].header;
    for (size_t i = 0; i < header->n_tensors; i++) {
        TW_TRY(add_tensor(st, &header->tensors[i], err));
    }
    return TRAWL_OK;
}

/* ---- sharded ---- */

/* The shard that the index gives for a tensor: a plain name of a file beside the index. */
static trawl_status shard_name(const char *tensor, const json_t *value, const char *index, const char **out,
                               struct trawl_error *err)
{
    const char *name = json_string_value(value);
    if (name == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"weight_map\": \"%s\" is %s, expected a file name", index,
                       tensor, tw_json_type_name(value));
    }
    if (name[0] == '\0' || strlen(name) != json_string_length(value) || strchr(name, '/') != NULL ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: \"weight_map\": \"%s\" is in \"%s\", expected the name of a file in the same folder", index,
            tensor, name);
    }
    *out = name;
    return TRAWL_OK;
}

/* Adds those tensors of the shard that the index places in it. */
static trawl_status add_shard(struct tw_safetensors *st, const char *dir, const char *shard,
                              const json_t *map, struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(dir, shard, &path, err));
    TW_TRY(add_part(st, path, err));
    const struct tw_safetensors_header *header = &st->parts[st->n_parts - 1].header;
    for (size_t i = 0; i < header->n_tensors; i++) {
        const json_t *place = json_object_get(map, header->tensors[i].name);
        if (place != NULL && strcmp(json_string_value(place), shard) == 0) {
            TW_TRY(add_tensor(st, &header->tensors[i], err));
        }
    }
    return TRAWL_OK;
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static trawl_status add_shards(struct tw_safetensors *st, const char *dir, const json_t *map,
                               const char *index, const char **names, struct trawl_error *err)
{
    const char *tensor;
    json_t *value;
    size_t n = 0;
    json_object_foreach((json_t *)map, tensor, value)
    {
        TW_TRY(shard_name(tensor, value, index, &names[n], err));
        n++;
    }
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0) {
            TW_TRY(add_shard(st, dir, names[i], map, err));
        }
    }
    if (st->n_tensors == n) {
        return TRAWL_OK;
    }
    sort_tensors(st);
    json_object_foreach((json_t *)map, tensor, value)
    {
        if (tw_safetensors_find(st, tensor) == NULL) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" should be in %s, which lacks it", index,
                           tensor, json_string_value(value));
        }
    }
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the shards do not match the index", index);
}

static trawl_status open_index(struct tw_safetensors *st, const char *dir, const char *index,
                               struct trawl_error *err)
{
    json_t *document = NULL;
    json_t *map      = NULL;
    TW_TRY(tw_json_parse_file(index, INDEX_LIMIT, &document, err));
    const char **names  = NULL;
    trawl_status status = TRAWL_OK;
    if (!json_is_object(document)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: the document is %s, expected an object", index,
                         tw_json_type_name(document));
    } else {
        status = tw_json_get_object(document, "weight_map", index, &map, err);
    }
    if (status == TRAWL_OK && map == NULL) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"weight_map\" is missing", index);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(json_object_size(map), sizeof *names, &names, err);
    }
    if (status == TRAWL_OK) {
        status = add_shards(st, dir, map, index, names, err);
    }
    tw_free(names);
    json_decref(document);
    return status;
}

/* ---- opening ---- */

static trawl_status open_folder(struct tw_safetensors *st, const char *dir, struct trawl_error *err)
{
    char *single        = NULL;
    char *index         = NULL;
    trawl_status status = tw_path_join(dir, SINGLE, &single, err);
    if (status == TRAWL_OK) {
        status = tw_path_join(dir, INDEX, &index, err);
    }
    if (status == TRAWL_OK) {
        if (tw_path_exists(single)) {
            status = open_single(st, single, err);
        } else if (tw_path_exists(index)) {
            status = open_index(st, dir, index, err);
        } else {
            status = tw_fail(err, TRAWL_ERR_IO, "%s: has neither %s nor %s", dir, SINGLE, INDEX);
        }
    }
    tw_free(single);
    tw_free(index);
    return status;
}

trawl_status tw_safetensors_open(struct tw_safetensors **out, const char *path, struct trawl_error *err)
{
    struct tw_safetensors *st;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *st, &st, err));
    trawl_status status = tw_strdup(path, &st->path, err);
    if (status == TRAWL_OK) {
        status = tw_path_is_dir(path) ? open_folder(st, path, err) : open_single(st, path, err);
    }
    if (status != TRAWL_OK) {
        tw_safetensors_close(st);
        return status;
    }
    sort_tensors(st);
    *out = st;
    return TRAWL_OK;
}

void tw_safetensors_close(struct tw_safetensors *st)
{
    if (st == NULL) {
        return;
    }
    for (size_t i = 0; i < st->n_parts; i++) {
        tw_safetensors_header_release(&st->parts[i].header);
        tw_mapped_file_close(&st->parts[i].map);
        tw_free(st->parts[i].path);
    }
    tw_free(st->parts);
    tw_free(st->tensors);
    tw_free(st->path);
    tw_free(st);
}

void tw_safetensors_forget(const struct tw_safetensors *st)
{
    for (size_t i = 0; i < st->n_parts; i++) {
        tw_mapped_file_forget(&st->parts[i].map);
    }
}

/* ---- access ---- */

size_t tw_safetensors_count(const struct tw_safetensors *st)
{
    return st->n_tensors;
}

const struct tw_safetensors_tensor *tw_safetensors_at(const struct tw_safetensors *st, size_t i)
{
    return &st->tensors[i];
}

const struct tw_safetensors_tensor *tw_safetensors_find(const struct tw_safetensors *st, const char *name)
{
    if (st->n_tensors == 0) {
        return NULL;
    }
    const struct tw_safetensors_tensor key = {.name = name};
    return bsearch(&key, st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
}

trawl_status tw_safetensors_get(const struct tw_safetensors *st, const char *name,
                                const struct tw_safetensors_tensor **out, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(st, name);
    *out                                  = NULL;
    if (t == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: tensor \"%s\" is missing", st->path, name);
    }
    if (!t->has_dtype) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: tensor \"%s\" has dtype %s, which is not supported",
                       t->file, name, t->dtype_name);
    }
    *out = t;
    return TRAWL_OK;
}

const char *tw_safetensors_metadata(const struct tw_safetensors *st, const char *key)
{
    if (st->n_parts == 0) {
        return NULL;
    }
    return json_string_value(
        json_object_get(json_object_get(st->parts[0].header.document, "__metadata__"), key));
}

const char *tw_safetensors_path(const struct tw_safetensors *st)
{
    return st->path;
}
