/* SPDX-License-Identifier: MIT */
/* Keys for S3, from where AWS' own tools look:
 *
 *   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN;
 *   2. the profile AWS_PROFILE (default) of ~/.aws/credentials (AWS_SHARED_CREDENTIALS_FILE), then of
 *      ~/.aws/config (AWS_CONFIG_FILE);
 *   3. the container's address (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI);
 *   4. the metadata service of an EC2 machine (version 2), unless AWS_EC2_METADATA_DISABLED is true.
 *
 * Keys of GCS (HMAC), MinIO, R2 and the like go into the same places. */
#ifndef TW_CLOUD_AWS_H
#define TW_CLOUD_AWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http.h"

struct tw_aws;

/* Only variables and files are read. The region: AWS_REGION, AWS_DEFAULT_REGION, the profile's, else us-east-1. */
trawl_status tw_aws_find(struct tw_aws **out, struct trawl_error *err);
void tw_aws_free(struct tw_aws *aws); /* NULL is allowed */

const char *tw_aws_region(const struct tw_aws *aws);
/* A bucket turned out to be elsewhere. */
trawl_status tw_aws_set_region(struct tw_aws *aws, const char *region, struct trawl_error *err);

struct tw_aws_keys {
    const char *id;
    const char *secret;
    const char *token; /* NULL: none */
};
/* Keys with five minutes of life at least; texts are valid until the next call. */
trawl_status tw_aws_keys(struct tw_aws *aws, struct tw_http_client *http, struct tw_aws_keys *keys,
                         struct trawl_error *err);
/* Keys from the answer of a container or of a machine; `what` names it. */
trawl_status tw_aws_read_answer(struct tw_aws *aws, const char *text, size_t n, const char *what,
                                struct trawl_error *err);

#endif /* TW_CLOUD_AWS_H */
