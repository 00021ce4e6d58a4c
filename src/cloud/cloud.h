/* SPDX-License-Identifier: MIT */
/* Files into a bucket of Google Cloud Storage or of S3 (and of what speaks S3: MinIO, R2, Ceph), verified.
 *
 * An object that is there already is never replaced by another run's: each object bears the fingerprint of its
 * run and the XXH3 of its file as metadata ("trawl-run", "trawl-xxh3"). The same bytes are taken as uploaded; other
 * bytes of the same run are replaced; anything else is refused by name.
 *
 * Endpoints: CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE or STORAGE_EMULATOR_HOST (then without credentials) for
 * Google; AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for S3 (then with the bucket in the path). */
#ifndef TW_CLOUD_CLOUD_H
#define TW_CLOUD_CLOUD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http.h"

struct tw_cloud_config {
    const char *url; /* gs://bucket/path, s3://bucket/path */
    struct tw_http_config http;
    size_t part_bytes; /* sent at a time; rounded up to 256 KiB, for S3 at least 5 MiB; 0: 16 MiB */
};

struct tw_cloud;

/* Find credentials and endpoint; what is asked of the network is asked later. One thread uses it. */
trawl_status tw_cloud_open(const struct tw_cloud_config *config, struct tw_cloud **out,
                           struct trawl_error *err);
void tw_cloud_close(struct tw_cloud *cloud); /* NULL is allowed */

/* Is there such a bucket, and may we write into it? As far as it can be told without writing. */
trawl_status tw_cloud_check(struct tw_cloud *cloud, struct trawl_error *err);

struct tw_cloud_file {
    const char *path; /* here; not changed while it is uploaded */
    const char *
        name; /* there, behind the prefix: "blocks.3.hook_resid_post/shard-00000-chunk-00000001.safetensors" */
    const char *owner; /* fingerprint of the run */
    uint64_t bytes;    /* what it has to be; anything else is damage, TRAWL_ERR_FORMAT */
    uint64_t xxh3;
};

struct tw_cloud_receipt {
    char object[1100]; /* gs://bucket/path/name */
    char version[96];  /* generation (Google) or ETag (S3) */
    uint64_t bytes;
    uint64_t xxh3;
    bool was_there; /* nothing had to be sent */
};

/* Returns when the server has the whole file under its final name and its checksum is ours.
 * TRAWL_ERR_EXISTS: the object is there, of another run or of nobody known. */
trawl_status tw_cloud_put(struct tw_cloud *cloud, const struct tw_cloud_file *file,
                          struct tw_cloud_receipt *receipt, struct trawl_error *err);

#endif /* TW_CLOUD_CLOUD_H */
