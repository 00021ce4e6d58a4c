/* SPDX-License-Identifier: MIT */
#include "cli/model_folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "model/model_config.h"

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static trawl_status put_hub(struct tw_str *out, struct trawl_error *err)
{
    const char *value;
    if ((value = variable("HF_HUB_CACHE")) != NULL) {
        return tw_str_puts(out, value, err);
    }
    if ((value = variable("HF_HOME")) != NULL) {
        return tw_str_printf(out, err, "%s/hub", value);
    }
    if ((value = variable("XDG_CACHE_HOME")) != NULL) {
        return tw_str_printf(out, err, "%s/huggingface/hub", value);
    }
    value = variable("HOME");
    return tw_str_printf(out, err, "%s/.cache/huggingface/hub", value ? value : "");
}

/* Exactly one slash, between names that cannot lead out of the cache. */
static bool is_repository(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t org                  = strspn(s, letters);
    size_t name                 = s[org] == '/' ? strspn(s + org + 1, letters) : 0;
    return org > 0 && name > 0 && s[org + 1 + name] == '\0' && s[0] != '.' && s[org + 1] != '.';
}

static trawl_status find_snapshot(const char *id, struct tw_str *path, struct trawl_error *err)
{
    char *revision = NULL;
    size_t size;
    size_t org = strcspn(id, "/");
    TW_TRY(put_hub(path, err));
    TW_TRY(tw_str_printf(path, err, "/models--%.*s--%s", (int)org, id, id + org + 1));
    size_t repository = path->size;
    if (!tw_path_is_dir(tw_str_text(path))) {
        return tw_fail(
            err, TRAWL_ERR_IO,
            "--model_path \"%s\" is no folder, and %s is not there either (\"hf download %s\" of the "
            "Python package huggingface_hub puts it there)",
            id, tw_str_text(path), id);
    }
    TW_TRY(tw_str_puts(path, "/refs/main", err));
    TW_TRY(tw_file_read(tw_str_text(path), 4096, &revision, &size, err));
    revision[strcspn(revision, " \r\n")] = '\0';
    path->size                           = repository;
    path->data[repository]               = '\0';
    trawl_status status                  = tw_str_printf(path, err, "/snapshots/%s", revision);
    tw_free(revision);
    TW_TRY(status);
    if (!tw_path_is_dir(tw_str_text(path))) {
        return tw_fail(err, TRAWL_ERR_IO,
                       "%s: refs/main of the hub cache names this snapshot, but it is not there",
                       tw_str_text(path));
    }
    return TRAWL_OK;
}

trawl_status cli_model_folder(const char *model_path, char **out, struct trawl_error *err)
{
    struct tw_str path;
    if (tw_path_is_dir(model_path)) {
        return tw_strdup(model_path, out, err);
    }
    if (tw_path_exists(model_path)) {
        return tw_fail(err, TRAWL_ERR_IO,
                       "--model_path \"%s\" is a file, expected the folder of a model with config.json, "
                       "tokenizer.json and *.safetensors",
                       model_path);
    }
    if (!is_repository(model_path)) {
        return tw_fail(err, TRAWL_ERR_IO, "--model_path \"%s\" is no folder", model_path);
    }
    tw_str_init(&path, 0);
    trawl_status status = find_snapshot(model_path, &path, err);
    if (status == TRAWL_OK) {
        status = tw_strdup(tw_str_text(&path), out, err);
    }
    tw_str_release(&path);
    return status;
}

trawl_status cli_model_folder_checked(const char *model_path, char **out, struct trawl_error *err)
{
    struct tw_model_config config;
    TW_TRY(cli_model_folder(model_path, out, err));
    trawl_status status = tw_model_config_read(&config, *out, err);
    if (status != TRAWL_OK) {
        tw_free(*out);
        *out = NULL;
    }
    return status;
}
