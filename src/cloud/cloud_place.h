/* SPDX-License-Identifier: MIT */
/* Where objects go: gs://bucket/prefix or s3://bucket/prefix. */
#ifndef TW_CLOUD_PLACE_H
#define TW_CLOUD_PLACE_H

#include "base/error.h"

enum tw_cloud_kind { TW_CLOUD_GCS, TW_CLOUD_S3 };

struct tw_cloud_place {
    enum tw_cloud_kind kind;
    char *bucket;
    char *prefix; /* "" or "a/b/": stands before the names of objects as it is */
};

/* TRAWL_ERR_INVALID says what a place looks like. Released also after a failure. */
trawl_status tw_cloud_place_parse(const char *url, struct tw_cloud_place *out, struct trawl_error *err);
void tw_cloud_place_release(struct tw_cloud_place *place);

#endif /* TW_CLOUD_PLACE_H */
