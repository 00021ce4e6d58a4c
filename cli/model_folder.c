/* SPDX-License-Identifier: MIT */
#include "cli/model_folder.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/hub_place.h"
#include "hub/hub_cache.h"
#include "model/model_config.h"

static trawl_status find_snapshot(const char *id, struct tw_str *path, struct trawl_error *err)
{
    struct tw_str cache;
    bool found = false;
    tw_str_init(&cache, 0);
    trawl_status status = cli_hub_cache(&cache, err);
    if (status == TRAWL_OK) {
        status = tw_hub_find_snapshot(tw_str_text(&cache), TW_HUB_MODEL, id, "main", path, &found, err);
    }
    if (status == TRAWL_OK && !found) {
        status = tw_fail(
            err, TRAWL_ERR_IO,
            "--model_path \"%s\" is no folder, and it is not in the hub cache %s either: \"trawl pull "
            "%s\" fetches it",
            id, tw_str_text(&cache), id);
    }
    tw_str_release(&cache);
    return status;
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
    if (strchr(model_path, '/') == NULL || !tw_hub_is_repository(model_path)) {
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
