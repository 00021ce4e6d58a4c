/* SPDX-License-Identifier: MIT */
/* What the two clouds share. */
#ifndef TW_CLOUD_CLOUD_INT_H
#define TW_CLOUD_CLOUD_INT_H

#include "base/str.h"
#include "cloud/cloud.h"
#include "cloud/cloud_aws.h"
#include "cloud/cloud_google.h"
#include "cloud/cloud_place.h"

enum { TW_CLOUD_ROUNDS = 3 }; /* whole uploads, before a checksum that never fits is believed */

struct tw_cloud {
    struct tw_cloud_place place;
    struct tw_http_client *http;
    char *endpoint; /* "https://host[:port]" */
    size_t part_bytes;
    struct tw_google *google; /* NULL: nobody asks who we are */
    struct tw_aws *aws;
    bool path_style;
    struct tw_http_response response; /* the latest answer */
};

/* A file on its way, with what is known of it. */
struct tw_cloud_job {
    const struct tw_cloud_file *file;
    const char *object; /* prefix and name */
    uint64_t bytes;
    uint64_t xxh3;
    char xxh3_hex[17];
};

/* What an object that is there already means for the job. */
enum tw_cloud_found { TW_CLOUD_SAME, TW_CLOUD_OURS, TW_CLOUD_FOREIGN };
enum tw_cloud_found tw_cloud_compare(const struct tw_cloud_job *job, uint64_t bytes, const char *run,
                                     const char *xxh3);
/* TRAWL_ERR_EXISTS with what can be done. */
trawl_status tw_cloud_foreign(const struct tw_cloud *cloud, const struct tw_cloud_job *job,
                              struct trawl_error *err);

trawl_status tw_gcs_open(struct tw_cloud *cloud, struct trawl_error *err);
trawl_status tw_gcs_check(struct tw_cloud *cloud, struct trawl_error *err);
trawl_status tw_gcs_put(struct tw_cloud *cloud, const struct tw_cloud_job *job,
                        struct tw_cloud_receipt *receipt, struct trawl_error *err);

trawl_status tw_s3_open(struct tw_cloud *cloud, struct trawl_error *err);
trawl_status tw_s3_check(struct tw_cloud *cloud, struct trawl_error *err);
trawl_status tw_s3_put(struct tw_cloud *cloud, const struct tw_cloud_job *job,
                       struct tw_cloud_receipt *receipt, struct trawl_error *err);

#endif /* TW_CLOUD_CLOUD_INT_H */
