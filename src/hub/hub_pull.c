/* SPDX-License-Identifier: MIT */
#include "hub/hub_pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"

enum { LISTING_LIMIT = 256 << 20, LINK_BYTES = 4096, REDIRECTS = 8 };

struct pull {
    const struct tw_hub_pull_config *c;
    struct tw_hub_pull_summary *summary;
    struct tw_hub_listing listing;
    struct tw_hub_source source; /* the caller's, whose bytes are counted from `before` on */
    uint64_t before;             /* bytes of the files that are done */
    struct tw_str repository;    /* folder in the cache */
    struct tw_str locks;         /* folder of its locks */
    struct tw_str page, url, path, incomplete, lock;
};

static bool add_bytes(void *user, uint64_t bytes)
{
    struct pull *p = user;
    return p->c->source.on_bytes(p->c->source.user, p->before + bytes);
}

/* ---- what there is ---- */

/* "https://hub/" is "https://hub". */
static trawl_status put_endpoint(struct tw_str *out, const char *endpoint, struct trawl_error *err)
{
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/') {
        n--;
    }
    return tw_str_append(out, endpoint, n, err);
}

static trawl_status put_api_url(struct pull *p, struct trawl_error *err)
{
    const struct tw_hub_pull_config *c = p->c;
    TW_TRY(put_endpoint(&p->url, c->endpoint, err));
    TW_TRY(tw_str_printf(&p->url, err, "/api/%s/%s/revision/",
                         c->type == TW_HUB_MODEL ? "models" : "datasets", c->id));
    TW_TRY(tw_http_encode(&p->url, c->revision, strlen(c->revision), false, err));
    return tw_str_puts(&p->url, "?blobs=true", err);
}

/* The hub says in a header what a status leaves open: a private repository looks like one that is not there. */
static trawl_status refused(const struct pull *p, const struct tw_http_response *r, struct trawl_error *err)
{
    const struct tw_hub_pull_config *c = p->c;
    char code[64]                      = "";
    bool token                         = c->source.token != NULL;
    (void)tw_http_header_copy(r, "x-error-code", code, sizeof code);
    if (strcmp(code, "RevisionNotFound") == 0) {
        return tw_fail(err, TRAWL_ERR_IO, "%s: %s has no revision \"%s\"", tw_str_text(&r->shown), c->id,
                       c->revision);
    }
    if (strcmp(code, "RepoNotFound") == 0 || ((r->status == 401 || r->status == 404) && code[0] == '\0')) {
        return tw_fail(err, TRAWL_ERR_IO, "%s: %d: there is no %s %s at revision \"%s\"%s",
                       tw_str_text(&r->shown), r->status, c->type == TW_HUB_MODEL ? "model" : "data set",
                       c->id, c->revision,
                       token ? ", or the token of HF_TOKEN may not see it"
                             : ", or it is private: then set HF_TOKEN to a token that may read it");
    }
    return tw_hub_refused(&p->source, r, err);
}

static trawl_status read_listing(struct pull *p, struct trawl_error *err)
{
    struct tw_http_response response;
    TW_TRY(put_api_url(p, err));
    struct tw_http_request request = {.method     = TW_HTTP_GET,
                                      .url        = tw_str_text(&p->url),
                                      .bearer     = p->c->source.token,
                                      .body_limit = LISTING_LIMIT,
                                      .redirects  = REDIRECTS};
    tw_http_response_init(&response);
    trawl_status status = tw_http_send(p->c->source.client, &request, &response, err);
    if (status == TRAWL_OK && response.status != 200) {
        status = refused(p, &response, err);
    }
    if (status == TRAWL_OK) {
        status = tw_hub_listing_parse(&p->listing, tw_str_text(&response.body), response.body.size,
                                      tw_str_text(&response.shown), err);
    }
    tw_http_response_release(&response);
    return status;
}

static bool wanted(const struct tw_hub_pull_config *c, const char *path)
{
    return tw_hub_wanted(path, c->include, c->exclude) &&
           (c->type != TW_HUB_MODEL || c->include.n > 0 || tw_hub_model_file(path));
}

/* Keep the files that are wanted. */
static trawl_status choose(struct pull *p, struct trawl_error *err)
{
    struct tw_hub_listing *l = &p->listing;
    size_t n                 = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!wanted(p->c, l->files[i].path)) {
            tw_free(l->files[i].path);
            continue;
        }
        l->files[n] = l->files[i];
        p->summary->bytes +=
            l->files[n++].size; /* sizes are 63 bits and there is a limit of files: wrong at worst */
    }
    size_t all        = l->n;
    l->n              = n;
    p->summary->files = n;
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_IO, "%s has %zu files, none of them is wanted: --include '*' takes all",
                       p->c->id, all);
    }
    return TRAWL_OK;
}

/* ---- a file ---- */

static trawl_status put_file_url(struct pull *p, const struct tw_hub_file *f, struct trawl_error *err)
{
    tw_str_reset(&p->url);
    TW_TRY(put_endpoint(&p->url, p->c->endpoint, err));
    TW_TRY(tw_str_printf(&p->url, err, "/%s%s/resolve/%s/", p->c->type == TW_HUB_MODEL ? "" : "datasets/",
                         p->c->id, p->listing.commit));
    return tw_http_encode(&p->url, f->path, strlen(f->path), true, err);
}

static trawl_status put_places(struct pull *p, const struct tw_hub_file *f, struct trawl_error *err)
{
    const char *local = p->c->local_dir;
    tw_str_reset(&p->path);
    tw_str_reset(&p->incomplete);
    tw_str_reset(&p->lock);
    TW_TRY(tw_str_printf(&p->lock, err, "%s/%s.lock", tw_str_text(&p->locks), f->hash));
    if (local == NULL) {
        TW_TRY(tw_str_printf(&p->path, err, "%s/blobs/%s", tw_str_text(&p->repository), f->hash));
        return tw_str_printf(&p->incomplete, err, "%s.incomplete", tw_str_text(&p->path));
    }
    TW_TRY(tw_str_printf(&p->path, err, "%s/%s", local, f->path));
    return tw_str_printf(&p->incomplete, err, "%s/.cache/huggingface/download/%s.incomplete", local, f->hash);
}

static bool is_link_to(const char *path, const char *target)
{
    char found[LINK_BYTES];
    ssize_t n = readlink(path, found, sizeof found);
    return n >= 0 && (size_t)n == strlen(target) && memcmp(found, target, (size_t)n) == 0;
}

static trawl_status make_link(const char *path, const char *target, struct trawl_error *err)
{
    struct tw_str beside;
    if (is_link_to(path, target)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_make_parent_dirs(path, err));
    tw_str_init(&beside, 0);
    trawl_status status = tw_str_printf(&beside, err, "%s.%ld.tmp", path, (long)getpid());
    if (status == TRAWL_OK &&
        (symlink(target, tw_str_text(&beside)) != 0 || rename(tw_str_text(&beside), path) != 0)) {
        status = tw_fail_os(err, errno, "%s", path);
        (void)unlink(tw_str_text(&beside));
    }
    tw_str_release(&beside);
    return status;
}

/* snapshots/<commit>/a/b -> ../../../blobs/<hash> */
static trawl_status link_file(struct pull *p, const struct tw_hub_file *f, struct trawl_error *err)
{
    tw_str_reset(&p->path);
    tw_str_reset(&p->incomplete);
    TW_TRY(tw_str_printf(&p->path, err, "%s/snapshots/%s/%s", tw_str_text(&p->repository), p->listing.commit,
                         f->path));
    for (const char *c = f->path; c != NULL; c = strchr(c + 1, '/')) {
        TW_TRY(tw_str_puts(&p->incomplete, "../", err));
    }
    TW_TRY(tw_str_printf(&p->incomplete, err, "../blobs/%s", f->hash));
    return make_link(tw_str_text(&p->path), tw_str_text(&p->incomplete), err);
}

static trawl_status pull_file(struct pull *p, const struct tw_hub_file *f, struct trawl_error *err)
{
    bool fetched = false;
    TW_TRY(put_file_url(p, f, err));
    TW_TRY(put_places(p, f, err));
    const struct tw_hub_place place = {.path       = tw_str_text(&p->path),
                                       .incomplete = tw_str_text(&p->incomplete),
                                       .lock       = tw_str_text(&p->lock),
                                       .trusted    = p->c->local_dir == NULL};
    TW_TRY(tw_hub_file_fetch(&p->source, tw_str_text(&p->url), f, &place, &fetched, err));
    if (p->c->local_dir == NULL) {
        TW_TRY(link_file(p, f, err));
    }
    p->before += f->size;
    p->summary->fetched += fetched;
    p->summary->fetched_bytes += fetched ? f->size : 0;
    return add_bytes(p, 0) ? TRAWL_OK
                           : tw_fail(err, TRAWL_ERR_CANCELLED, "cancelled; what was fetched is kept");
}

/* ---- all ---- */

static trawl_status put_folders(struct pull *p, struct trawl_error *err)
{
    const struct tw_hub_pull_config *c = p->c;
    if (c->local_dir != NULL) {
        return tw_str_printf(&p->locks, err, "%s/.cache/huggingface/download", c->local_dir);
    }
    struct tw_str root;
    TW_TRY(tw_hub_repository_dir(c->cache, c->type, c->id, &p->repository, err));
    tw_str_init(&root, 0);
    trawl_status status = tw_str_printf(&root, err, "%s/.locks", c->cache);
    if (status == TRAWL_OK) {
        status = tw_hub_repository_dir(tw_str_text(&root), c->type, c->id, &p->locks, err);
    }
    tw_str_release(&root);
    return status;
}

/* The revision's name leads to the commit. A commit needs no name. */
static trawl_status put_reference(struct pull *p, struct trawl_error *err)
{
    int lock = -1;
    if (strcmp(p->c->revision, p->listing.commit) == 0) {
        return TRAWL_OK;
    }
    tw_str_reset(&p->path);
    tw_str_reset(&p->lock);
    TW_TRY(tw_str_printf(&p->path, err, "%s/refs/%s", tw_str_text(&p->repository), p->c->revision));
    TW_TRY(tw_str_printf(&p->lock, err, "%s/refs.lock", tw_str_text(&p->locks)));
    TW_TRY(tw_hub_lock(&p->source, tw_str_text(&p->lock), &lock, err));
    trawl_status status = tw_make_parent_dirs(tw_str_text(&p->path), err);
    if (status == TRAWL_OK) {
        status = tw_file_replace(tw_str_text(&p->path), p->listing.commit, strlen(p->listing.commit), err);
    }
    (void)close(lock);
    return status;
}

static trawl_status pull(struct pull *p, struct tw_str *folder, struct trawl_error *err)
{
    const struct tw_hub_pull_config *c = p->c;
    TW_TRY(put_folders(p, err));
    TW_TRY(put_endpoint(&p->page, c->endpoint, err));
    TW_TRY(tw_str_printf(&p->page, err, "/%s%s", c->type == TW_HUB_MODEL ? "" : "datasets/", c->id));
    p->source.page = tw_str_text(&p->page);
    TW_TRY(read_listing(p, err));
    memcpy(p->summary->commit, p->listing.commit, sizeof p->listing.commit);
    TW_TRY(choose(p, err));
    c->on_start(c->source.user, p->listing.n, p->summary->bytes);
    for (size_t i = 0; i < p->listing.n; i++) {
        TW_TRY(pull_file(p, &p->listing.files[i], err));
    }
    if (c->local_dir != NULL) {
        return tw_str_puts(folder, c->local_dir, err);
    }
    TW_TRY(put_reference(p, err));
    return tw_str_printf(folder, err, "%s/snapshots/%s", tw_str_text(&p->repository), p->listing.commit);
}

trawl_status tw_hub_pull(const struct tw_hub_pull_config *config, struct tw_hub_pull_summary *summary,
                         struct tw_str *folder, struct trawl_error *err)
{
    struct pull p = {.c = config, .summary = summary, .source = config->source};
    *summary      = (struct tw_hub_pull_summary){.files = 0};
    if (!tw_hub_is_repository(config->id)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" is no repository, expected org/name", config->id);
    }
    if (!tw_hub_is_revision(config->revision)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" is no revision, expected a branch, tag or commit",
                       config->revision);
    }
    p.source.on_bytes              = add_bytes;
    p.source.user                  = &p;
    struct tw_str *const strings[] = {&p.repository, &p.locks,      &p.page, &p.url,
                                      &p.path,       &p.incomplete, &p.lock};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        tw_str_init(strings[i], 0);
    }
    trawl_status status = pull(&p, folder, err);
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        tw_str_release(strings[i]);
    }
    tw_hub_listing_release(&p.listing);
    return status;
}
