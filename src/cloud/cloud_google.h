/* SPDX-License-Identifier: MIT */
/* Access tokens for Google Cloud, from where Google's own tools look ("application default credentials"):
 *
 *   1. GOOGLE_OAUTH_ACCESS_TOKEN or CLOUDSDK_AUTH_ACCESS_TOKEN: a token as it is;
 *   2. the file GOOGLE_APPLICATION_CREDENTIALS, else $CLOUDSDK_CONFIG or ~/.config/gcloud,
 *      application_default_credentials.json: a service account's key, or what
 *      `gcloud auth application-default login` left;
 *   3. the metadata server of a machine at Google (GCE_METADATA_HOST, else metadata.google.internal). */
#ifndef TW_CLOUD_GOOGLE_H
#define TW_CLOUD_GOOGLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http.h"

struct tw_google;

/* Find them; only files are read. TRAWL_ERR_FORMAT, TRAWL_ERR_UNSUPPORTED: a file that is no such thing, or of a
 * type that is not known here (both named). */
trawl_status tw_google_find(struct tw_google **out, struct trawl_error *err);
void tw_google_free(struct tw_google *google); /* NULL is allowed */
/* Credentials from the text of a file; `what` names it in messages. */
trawl_status tw_google_read(const char *text, size_t n, const char *what, struct tw_google **out,
                            struct trawl_error *err);

/* A token with five minutes of life at least, asked for when there is none; valid until the next call. */
trawl_status tw_google_token(struct tw_google *google, struct tw_http_client *http, const char **token,
                             struct trawl_error *err);
/* The server did not take it: the next call asks anew. */
void tw_google_forget(struct tw_google *google);

#endif /* TW_CLOUD_GOOGLE_H */
