/* SPDX-License-Identifier: MIT */
#include "model/model_packed_folder.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"

enum { SMALL_FILE_MAX = 1 << 28 };

static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static trawl_status copy_file(const char *from_dir, const char *to_dir, const char *name,
                              struct trawl_error *err)
{
    char *from = NULL, *to = NULL, *data = NULL;
    size_t n            = 0;
    trawl_status status = tw_path_join(from_dir, name, &from, err);
    if (status == TRAWL_OK) {
        status = tw_path_join(to_dir, name, &to, err);
    }
    if (status == TRAWL_OK && tw_path_exists(from)) {
        status = tw_file_read(from, SMALL_FILE_MAX, &data, &n, err);
        if (status == TRAWL_OK) {
            status = tw_file_replace(to, data, n, err);
        }
    }
    tw_free(data);
    tw_free(from);
    tw_free(to);
    return status;
}

/* A checkpoint that is not ours in the output folder would be hidden by the packed file. */
static trawl_status refuse_checkpoint(const char *dir, struct trawl_error *err)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = NULL;
        TW_TRY(tw_path_join(dir, names[i], &path, err));
        bool there = tw_path_exists(path);
        tw_free(path);
        if (there) {
            return tw_fail(err, TRAWL_ERR_EXISTS,
                           "%s: holds %s, the checkpoint of another folder; give an empty output folder", dir,
                           names[i]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_packed_folder_prepare(const char *from, const char *to, struct trawl_error *err)
{
    static const char *const names[] = {
        "config.json",           "generation_config.json",  "tokenizer.json", "vocab.json",
        "tokenizer_config.json", "special_tokens_map.json", "merges.txt",     "added_tokens.json",
        "chat_template.jinja",   "chat_template.json"};
    if (same_folder(from, to)) {
        return TRAWL_OK;
    }
    TW_TRY(refuse_checkpoint(to, err));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        TW_TRY(copy_file(from, to, names[i], err));
    }
    return TRAWL_OK;
}

trawl_status tw_packed_folder_space(const char *dir, uint64_t need, struct trawl_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    struct statvfs v;
    if (statvfs(dir, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < need) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: %.2f GiB are free, the packed weights need %.2f GiB", dir,
                       (double)v.f_bavail * (double)v.f_frsize / gib, (double)need / gib);
    }
    return TRAWL_OK;
}
