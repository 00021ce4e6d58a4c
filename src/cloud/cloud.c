/* SPDX-License-Identifier: MIT */
#include "cloud/cloud.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/size.h"
#include "cloud/cloud_int.h"

enum { DEFAULT_PART = 16 << 20, PART_UNIT = 256 << 10, OBJECT_MAX = 1024 };

static trawl_status open_cloud(struct tw_cloud *c, const struct tw_cloud_config *config,
                               struct trawl_error *err)
{
    TW_TRY(tw_cloud_place_parse(config->url, &c->place, err));
    TW_TRY(tw_http_client_new(&config->http, &c->http, err));
    c->part_bytes = tw_round_up(config->part_bytes == 0 ? DEFAULT_PART : config->part_bytes, PART_UNIT);
    return c->place.kind == TW_CLOUD_GCS ? tw_gcs_open(c, err) : tw_s3_open(c, err);
}

trawl_status tw_cloud_open(const struct tw_cloud_config *config, struct tw_cloud **out,
                           struct trawl_error *err)
{
    struct tw_cloud *c;
    *out = NULL;
    TW_TRY(tw_alloc(1, sizeof *c, &c, err));
    tw_http_response_init(&c->response);
    trawl_status status = open_cloud(c, config, err);
    if (status != TRAWL_OK) {
        tw_cloud_close(c);
        return status;
    }
    *out = c;
    return TRAWL_OK;
}

void tw_cloud_close(struct tw_cloud *cloud)
{
    if (cloud == NULL) {
        return;
    }
    tw_google_free(cloud->google);
    tw_aws_free(cloud->aws);
    tw_http_response_release(&cloud->response);
    tw_http_client_free(cloud->http);
    tw_cloud_place_release(&cloud->place);
    tw_free(cloud->endpoint);
    tw_free(cloud);
}

trawl_status tw_cloud_check(struct tw_cloud *cloud, struct trawl_error *err)
{
    return cloud->place.kind == TW_CLOUD_GCS ? tw_gcs_check(cloud, err) : tw_s3_check(cloud, err);
}

enum tw_cloud_found tw_cloud_compare(const struct tw_cloud_job *job, uint64_t bytes, const char *run,
                                     const char *xxh3)
{
    if (bytes == job->bytes && strcmp(xxh3, job->xxh3_hex) == 0) {
        return TW_CLOUD_SAME;
    }
    return strcmp(run, job->file->owner) == 0 ? TW_CLOUD_OURS : TW_CLOUD_FOREIGN;
}

trawl_status tw_cloud_foreign(const struct tw_cloud *cloud, const struct tw_cloud_job *job,
                              struct trawl_error *err)
{
    return tw_fail(
        err, TRAWL_ERR_EXISTS,
        "%s://%s/%.300s is there already and not of this run; give each run and each shard a path of its "
        "own, or delete it",
        cloud->place.kind == TW_CLOUD_GCS ? "gs" : "s3", cloud->place.bucket, job->object);
}

static trawl_status describe(struct tw_cloud_job *job, struct trawl_error *err)
{
    struct tw_mapped_file file;
    TW_TRY(tw_mapped_file_open(&file, job->file->path, err));
    job->bytes = file.size;
    job->xxh3  = tw_hash64(file.data, file.size);
    tw_hash_hex(job->xxh3, job->xxh3_hex);
    tw_mapped_file_close(&file);
    if (job->bytes != job->file->bytes || job->xxh3 != job->file->xxh3) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s is not what was committed: %llu bytes, expected %llu%s",
                       job->file->path, (unsigned long long)job->bytes, (unsigned long long)job->file->bytes,
                       job->bytes == job->file->bytes ? " with another checksum" : "");
    }
    return TRAWL_OK;
}

static trawl_status put(struct tw_cloud *c, struct tw_cloud_job *job, struct tw_cloud_receipt *receipt,
                        struct trawl_error *err)
{
    bool gcs = c->place.kind == TW_CLOUD_GCS;
    if (strlen(job->object) > OBJECT_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%.200s...: names of objects have at most %d bytes", job->object,
                       OBJECT_MAX);
    }
    TW_TRY(describe(job, err));
    (void)snprintf(receipt->object, sizeof receipt->object, "%s://%.60s/%s", gcs ? "gs" : "s3",
                   c->place.bucket, job->object);
    receipt->bytes = job->bytes;
    receipt->xxh3  = job->xxh3;
    return gcs ? tw_gcs_put(c, job, receipt, err) : tw_s3_put(c, job, receipt, err);
}

trawl_status tw_cloud_put(struct tw_cloud *cloud, const struct tw_cloud_file *file,
                          struct tw_cloud_receipt *receipt, struct trawl_error *err)
{
    struct tw_str object;
    *receipt = (struct tw_cloud_receipt){.was_there = false};
    tw_str_init(&object, 0);
    trawl_status status = tw_str_printf(&object, err, "%s%s", cloud->place.prefix, file->name);
    if (status == TRAWL_OK) {
        struct tw_cloud_job job = {.file = file, .object = tw_str_text(&object)};
        status                  = put(cloud, &job, receipt, err);
    }
    tw_str_release(&object);
    return status;
}
