/* SPDX-License-Identifier: MIT */
#include "hub/hub_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "hub/hub_hash.h"

enum { PIECE = 1 << 20, LOCK_POLL_MS = 100, REDIRECTS = 8 };

/* ---- locks ---- */

trawl_status tw_hub_lock(const struct tw_hub_source *source, const char *path, int *fd,
                         struct trawl_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    TW_TRY(tw_make_parent_dirs(path, err));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) {
        return tw_fail_os(err, errno, "%s", path);
    }
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        if (why != EWOULDBLOCK && why != EINTR) {
            (void)close(*fd);
            return tw_fail_os(err, why, "%s", path);
        }
        if (!source->on_bytes(source->user, 0)) {
            (void)close(*fd);
            return tw_fail(err, TRAWL_ERR_CANCELLED, "cancelled while another process had %s", path);
        }
        (void)nanosleep(&pause, NULL);
    }
    return TRAWL_OK;
}

/* ---- refusals ---- */

trawl_status tw_hub_refused(const struct tw_hub_source *source, const struct tw_http_response *r,
                            struct trawl_error *err)
{
    char code[64] = "";
    (void)tw_http_header_copy(r, "x-error-code", code, sizeof code);
    if (strcmp(code, "GatedRepo") != 0) {
        return tw_http_refused(r, err);
    }
    return tw_fail(err, TRAWL_ERR_IO, "%s: access is granted by the owner: ask for it at %s%s",
                   tw_str_text(&r->shown), source->page,
                   source->token != NULL ? "" : ", and set HF_TOKEN to a token of that account");
}

/* ---- the download ---- */

struct download {
    const struct tw_hub_source *source;
    const struct tw_hub_file *file;
    const char *path; /* of the incomplete file */
    int fd;
    struct tw_hub_hash *hash; /* of what the file holds, as far as it was written or read by us */
    struct tw_http_sink sink;
};

static trawl_status say(const struct download *d, struct trawl_error *err)
{
    if (!d->source->on_bytes(d->source->user, tw_hub_hash_bytes(d->hash))) {
        return tw_fail(err, TRAWL_ERR_CANCELLED, "cancelled; what there is of %s is kept", d->file->path);
    }
    return TRAWL_OK;
}

/* Add the first n bytes of the open file to a hash. */
static trawl_status hash_file(const struct download *d, int fd, const char *path, uint64_t n,
                              struct trawl_error *err)
{
    char *piece = NULL;
    TW_TRY(tw_alloc(PIECE, 1, &piece, err));
    trawl_status status = tw_hub_hash_reset(d->hash, err);
    for (uint64_t at = 0; status == TRAWL_OK && at < n;) {
        size_t want = n - at < PIECE ? (size_t)(n - at) : PIECE;
        ssize_t got = pread(fd, piece, want, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            status = got < 0 ? tw_fail_os(err, errno, "%s", path)
                             : tw_fail(err, TRAWL_ERR_IO, "%s became shorter while it was read", path);
        } else {
            status = tw_hub_hash_add(d->hash, piece, (size_t)got, err);
            at += (uint64_t)got;
        }
        if (status == TRAWL_OK) {
            status = say(d, err);
        }
    }
    tw_free(piece);
    return status;
}

static trawl_status begin(void *user, uint64_t offset, const struct tw_http_response *response,
                          struct trawl_error *err)
{
    struct download *d = user;
    (void)response;
    if (ftruncate(d->fd, (off_t)offset) != 0 || lseek(d->fd, (off_t)offset, SEEK_SET) < 0) {
        return tw_fail_os(err, errno, "%s", d->path);
    }
    return tw_hub_hash_bytes(d->hash) == offset ? TRAWL_OK : hash_file(d, d->fd, d->path, offset, err);
}

static trawl_status write_piece(void *user, const void *data, size_t n, struct trawl_error *err)
{
    struct download *d = user;
    if (n > d->file->size - tw_hub_hash_bytes(d->hash)) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: the server sends more than the %" PRIu64 " bytes of the file", d->file->path,
                       d->file->size);
    }
    TW_TRY(tw_write_all(d->fd, d->path, data, n, err));
    TW_TRY(tw_hub_hash_add(d->hash, data, n, err));
    return say(d, err);
}

static trawl_status receive(struct download *d, const char *url, struct trawl_error *err)
{
    struct tw_http_request request = {.method    = TW_HTTP_GET,
                                      .url       = url,
                                      .bearer    = d->source->token,
                                      .sink      = &d->sink,
                                      .redirects = REDIRECTS};
    struct tw_http_response response;
    tw_http_response_init(&response);
    trawl_status status = tw_http_send(d->source->client, &request, &response, err);
    if (status == TRAWL_OK && response.status != 200 && response.status != 206) {
        status = tw_hub_refused(d->source, &response, err);
    }
    uint64_t have = tw_hub_hash_bytes(d->hash);
    if (status == TRAWL_OK && have != d->file->size) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s sent %" PRIu64 " bytes, the hub says %" PRIu64,
                         d->file->path, tw_str_text(&response.shown), have, d->file->size);
    }
    tw_http_response_release(&response);
    return status;
}

/* *right: the content is what the hub said. */
static trawl_status check(const struct download *d, bool *right, char got[TW_HUB_HASH_BYTES],
                          struct trawl_error *err)
{
    TW_TRY(tw_hub_hash_end(d->hash, got, err));
    *right = strcmp(got, d->file->hash) == 0;
    return TRAWL_OK;
}

static trawl_status empty(struct download *d, struct trawl_error *err)
{
    d->sink.have = 0;
    if (ftruncate(d->fd, 0) != 0) {
        return tw_fail_os(err, errno, "%s", d->path);
    }
    return tw_hub_hash_reset(d->hash, err);
}

/* From `have` bytes on, which may be all of them. */
static trawl_status complete(struct download *d, const char *url, bool *right, char got[TW_HUB_HASH_BYTES],
                             struct trawl_error *err)
{
    if (d->sink.have == d->file->size) {
        TW_TRY(hash_file(d, d->fd, d->path, d->file->size, err));
    } else {
        TW_TRY(receive(d, url, err));
    }
    return check(d, right, got, err);
}

static trawl_status download_into(struct download *d, const char *url, struct trawl_error *err)
{
    char got[TW_HUB_HASH_BYTES];
    bool right = false;
    struct stat st;
    if (fstat(d->fd, &st) != 0) {
        return tw_fail_os(err, errno, "%s", d->path);
    }
    d->sink.have = (uint64_t)st.st_size;
    if (d->sink.have > d->file->size) {
        TW_TRY(empty(d, err));
    }
    bool resumed = d->sink.have > 0;
    TW_TRY(complete(d, url, &right, got, err));
    if (!right && resumed) { /* what an earlier process left may have been wrong */
        TW_TRY(empty(d, err));
        TW_TRY(complete(d, url, &right, got, err));
    }
    if (!right) {
        TW_TRY(empty(d, err));
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: its hash is %s, the hub says %s: thrown away",
                       d->file->path, got, d->file->hash);
    }
    return fsync(d->fd) == 0 ? TRAWL_OK : tw_fail_os(err, errno, "%s", d->path);
}

static trawl_status download(const struct tw_hub_source *source, const char *url,
                             const struct tw_hub_file *file, const char *path, struct trawl_error *err)
{
    struct download d = {.source = source, .file = file, .path = path};
    d.sink            = (struct tw_http_sink){.begin = begin, .write = write_piece, .user = &d};
    TW_TRY(tw_hub_hash_new(file->hash, file->size, &d.hash, err));
    d.fd                = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    trawl_status status = d.fd < 0 ? tw_fail_os(err, errno, "%s", path) : download_into(&d, url, err);
    if (d.fd >= 0 && close(d.fd) != 0 && status == TRAWL_OK) {
        status = tw_fail_os(err, errno, "%s", path);
    }
    tw_hub_hash_free(d.hash);
    return status;
}

/* ---- a file ---- */

/* Is a file at `path` the one that is wanted? */
static trawl_status look(const struct tw_hub_source *source, const struct tw_hub_file *file,
                         const struct tw_hub_place *place, bool *there, struct trawl_error *err)
{
    struct stat st;
    *there = stat(place->path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == file->size;
    if (!*there || place->trusted) {
        return TRAWL_OK;
    }
    struct download d = {.source = source, .file = file, .path = place->path};
    char got[TW_HUB_HASH_BYTES];
    TW_TRY(tw_hub_hash_new(file->hash, file->size, &d.hash, err));
    d.fd                = open(place->path, O_RDONLY | O_CLOEXEC);
    trawl_status status = d.fd < 0 ? tw_fail_os(err, errno, "%s", place->path)
                                   : hash_file(&d, d.fd, place->path, file->size, err);
    if (status == TRAWL_OK) {
        status = check(&d, there, got, err);
    }
    if (d.fd >= 0) {
        (void)close(d.fd);
    }
    tw_hub_hash_free(d.hash);
    return status;
}

static trawl_status put(const struct tw_hub_place *place, struct trawl_error *err)
{
    char *folder = NULL;
    if (rename(place->incomplete, place->path) != 0) {
        return tw_fail_os(err, errno, "%s", place->path);
    }
    TW_TRY(tw_path_dir(place->path, &folder, err));
    trawl_status status = tw_sync_dir(folder, err);
    tw_free(folder);
    return status;
}

trawl_status tw_hub_file_fetch(const struct tw_hub_source *source, const char *url,
                               const struct tw_hub_file *file, const struct tw_hub_place *place,
                               bool *fetched, struct trawl_error *err)
{
    int lock   = -1;
    bool there = false;
    TW_TRY(tw_hub_lock(source, place->lock, &lock, err));
    trawl_status status = look(source, file, place, &there, err);
    if (status == TRAWL_OK && !there) {
        status = tw_make_parent_dirs(place->incomplete, err);
        if (status == TRAWL_OK) {
            status = tw_make_parent_dirs(place->path, err);
        }
        if (status == TRAWL_OK) {
            status = download(source, url, file, place->incomplete, err);
        }
        if (status == TRAWL_OK) {
            status = put(place, err);
        }
    }
    (void)close(lock);
    *fetched = !there;
    return status;
}
