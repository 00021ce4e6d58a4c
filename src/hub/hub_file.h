/* SPDX-License-Identifier: MIT */
/* One file of a repository: fetched, checked, put where it belongs, by one process at a time. */
#ifndef TW_HUB_FILE_H
#define TW_HUB_FILE_H

#include "base/error.h"
#include "http/http.h"
#include "hub/hub_listing.h"

/* How files come. */
struct tw_hub_source {
    struct tw_http_client *client;
    const char *token; /* NULL: none */
    const char *page;  /* of the repository, for people */
    /* Bytes of the file under way that are there; false ends the work with TRAWL_ERR_CANCELLED. */
    bool (*on_bytes)(void *user, uint64_t bytes);
    void *user;
};

/* Where one goes. Folders are made as needed. */
struct tw_hub_place {
    const char *path;
    const char *incomplete; /* until it is whole; found there, the rest is fetched */
    const char *lock; /* held meanwhile; other processes (and the Python package, in its cache) wait for it */
    bool trusted; /* a file of the right size at `path` is whole, as blobs are; else its hash is computed */
};

/* *fetched: it was not there. A content whose size or hash is not what the hub said is thrown away and refused; if it
 * had begun with what an earlier process left, it is fetched anew first. */
trawl_status tw_hub_file_fetch(const struct tw_hub_source *source, const char *url,
                               const struct tw_hub_file *file, const struct tw_hub_place *place,
                               bool *fetched, struct trawl_error *err);

/* Why the hub refused, with what to do about it where it says that (a gated repository). */
trawl_status tw_hub_refused(const struct tw_hub_source *source, const struct tw_http_response *response,
                            struct trawl_error *err);

/* Wait for an exclusive lock on `path`, made if need be; closing *fd gives it back. */
trawl_status tw_hub_lock(const struct tw_hub_source *source, const char *path, int *fd,
                         struct trawl_error *err);

#endif /* TW_HUB_FILE_H */
