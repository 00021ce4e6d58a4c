/* SPDX-License-Identifier: MIT */
#include "hub/hub_listing.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "json/json.h"

enum { PATH_BYTES = 1024, SHA1_DIGITS = 40, SHA256_DIGITS = 64 };

/* ---- reading ---- */

static bool is_hash(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

/* Every part of the path is a name: not empty, no "." and "..". */
static bool is_path(const char *path)
{
    if (strlen(path) >= PATH_BYTES) {
        return false;
    }
    for (;;) {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && memcmp(path, "..", 2) == 0)) {
            return false;
        }
        if (path[n] == '\0') {
            return true;
        }
        path += n + 1;
    }
}

static trawl_status get_hash(const json_t *entry, const char *key, const char *what, size_t digits,
                             char out[TW_HUB_HASH_BYTES], struct trawl_error *err)
{
    const char *text = NULL;
    TW_TRY(tw_json_get_string(entry, key, what, &text, err));
    if (text == NULL || !is_hash(text, digits)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is %s%s, expected %zu hexadecimal digits", what,
                       key, text == NULL ? "missing" : "", text == NULL ? "" : "something else", digits);
    }
    memcpy(out, text, digits + 1);
    return TRAWL_OK;
}

static trawl_status read_file(struct tw_hub_file *f, const json_t *entry, const char *what,
                              struct trawl_error *err)
{
    const char *path = NULL;
    json_t *lfs      = NULL;
    int64_t size     = -1;
    char name[PATH_BYTES + 256];
    if (!json_is_object(entry)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: a sibling is %s, expected an object", what,
                       tw_json_type_name(entry));
    }
    TW_TRY(tw_json_get_string(entry, "rfilename", what, &path, err));
    if (path == NULL || strlen(path) != json_string_length(json_object_get(entry, "rfilename")) ||
        !is_path(path)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: a file is named \"%s\", expected a path below the repository", what,
                       path == NULL ? "" : path);
    }
    (void)snprintf(name, sizeof name, "%.200s: %s", what, path);
    TW_TRY(tw_json_get_object(entry, "lfs", name, &lfs, err));
    TW_TRY(tw_json_get_int(lfs != NULL ? lfs : entry, "size", name, &size, err));
    if (size < 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the hub does not say its size", name);
    }
    TW_TRY(lfs != NULL ? get_hash(lfs, "sha256", name, SHA256_DIGITS, f->hash, err)
                       : get_hash(entry, "blobId", name, SHA1_DIGITS, f->hash, err));
    f->size = (uint64_t)size;
    return tw_strdup(path, &f->path, err);
}

static trawl_status read_listing(struct tw_hub_listing *l, const json_t *j, const char *what,
                                 struct trawl_error *err)
{
    json_t *siblings = NULL, *entry;
    size_t i;
    if (!json_is_object(j)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected an object", what, tw_json_type_name(j));
    }
    TW_TRY(get_hash(j, "sha", what, SHA1_DIGITS, l->commit, err));
    TW_TRY(tw_json_get_array(j, "siblings", what, &siblings, err));
    json_array_foreach(siblings, i, entry)
    {
        TW_TRY(tw_grow(&l->files, &l->capacity, l->n + 1, sizeof *l->files, err));
        l->files[l->n] = (struct tw_hub_file){0};
        TW_TRY(read_file(&l->files[l->n++], entry, what, err));
    }
    return TRAWL_OK;
}

trawl_status tw_hub_listing_parse(struct tw_hub_listing *l, const char *text, size_t n, const char *what,
                                  struct trawl_error *err)
{
    json_t *j = NULL;
    *l        = (struct tw_hub_listing){0};
    TW_TRY(tw_json_parse(text, n, what, &j, err));
    trawl_status status = read_listing(l, j, what, err);
    json_decref(j);
    return status;
}

void tw_hub_listing_release(struct tw_hub_listing *l)
{
    for (size_t i = 0; i < l->n; i++) {
        tw_free(l->files[i].path);
    }
    tw_free(l->files);
    *l = (struct tw_hub_listing){0};
}

/* ---- choosing ---- */

static bool matches(const char *path, struct tw_hub_patterns patterns)
{
    for (size_t i = 0; i < patterns.n; i++) {
        const char *pattern = patterns.list[i];
        size_t n            = strlen(pattern);
        bool folder         = n > 0 && pattern[n - 1] == '/';
        if (folder ? strncmp(path, pattern, n) == 0 : fnmatch(pattern, path, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool tw_hub_wanted(const char *path, struct tw_hub_patterns include, struct tw_hub_patterns exclude)
{
    return (include.n == 0 || matches(path, include)) && !matches(path, exclude);
}

bool tw_hub_model_file(const char *path)
{
    static const char *const names[] = {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
        "*.safetensors",
        "*.safetensors.index.json",
    };
    static const char *const others[] = {"consolidated*"}; /* the same weights in another layout */
    struct tw_hub_patterns include = {names, sizeof names / sizeof names[0]}, exclude = {others, 1};
    return strchr(path, '/') == NULL && tw_hub_wanted(path, include, exclude);
}
