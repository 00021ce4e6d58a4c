/* SPDX-License-Identifier: MIT */
/* Reading packed weights: check, map, verify. */
#include "model/model_packed.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/thread.h"
#include "model/model_packed_codes.h"

_Static_assert(sizeof(struct tw_packed_header) == TW_PACKED_HEADER_BYTES, "header list");
_Static_assert(sizeof(struct tw_packed_entry) == TW_PACKED_ENTRY_BYTES, "entry list");

/* ---- is there one ---- */

static bool modified_after(const char *folder, const char *name, const struct stat *than)
{
    char *path = NULL;
    struct stat st;
    bool after = false;
    if (tw_path_join(folder, name, &path, NULL) == TRAWL_OK && stat(path, &st) == 0) {
        after = st.st_mtim.tv_sec > than->st_mtim.tv_sec ||
                (st.st_mtim.tv_sec == than->st_mtim.tv_sec && st.st_mtim.tv_nsec > than->st_mtim.tv_nsec);
    }
    tw_free(path);
    return after;
}

trawl_status tw_packed_present(const char *folder, bool *out, struct trawl_error *err)
{
    static const char *const sources[] = {"model.safetensors", "model.safetensors.index.json"};
    char *path                         = NULL;
    struct stat st;
    TW_TRY(tw_path_join(folder, TW_PACKED_FILE, &path, err));
    trawl_status status = TRAWL_OK;
    *out                = stat(path, &st) == 0;
    for (size_t i = 0; *out && status == TRAWL_OK && i < sizeof sources / sizeof sources[0]; i++) {
        if (modified_after(folder, sources[i], &st)) {
            status =
                tw_fail(err, TRAWL_ERR_FORMAT,
                        "%s: older than %s beside it, so it may hold other weights; run trawl shard again or "
                        "remove it",
                        path, sources[i]);
        }
    }
    tw_free(path);
    return status;
}

/* ---- header and table ---- */

struct tw_packed_entry tw_packed_entry_at(const uint8_t *data, size_t i)
{
    struct tw_packed_entry e;
    memcpy(&e, data + TW_PACKED_HEADER_BYTES + i * TW_PACKED_ENTRY_BYTES, sizeof e);
    return e;
}

uint64_t tw_packed_head_hash(const uint8_t *data, size_t head_bytes)
{
    struct tw_packed_header h;
    memcpy(&h, data, sizeof h);
    h.head_hash        = 0;
    uint64_t hashes[2] = {tw_hash64(&h, sizeof h), tw_hash64(data + sizeof h, head_bytes - sizeof h)};
    return tw_hash64(hashes, sizeof hashes);
}

uint64_t tw_packed_config_hash(const struct tw_model_config *c)
{
    uint64_t numbers[] = {
        c->vocab, c->hidden,   c->intermediate, c->n_layers, c->n_heads, c->n_kv_heads,      c->head_dim,
        c->tied,  c->qkv_bias, c->o_bias,       c->mlp_bias, c->qk_norm, (uint64_t)c->family};
    return tw_hash64(numbers, sizeof numbers);
}

/* What a file is that begins like this; messages in the order in which a reader wants to know. */
static trawl_status check_header(const struct tw_packed_header *h, size_t size, const char *what,
                                 struct trawl_error *err)
{
    if (memcmp(h->magic, "TRAWLPAK", sizeof h->magic) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: is no file of packed weights", what);
    }
    if (h->byte_order != 0x01020304u) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: was packed on a machine of another byte order; run trawl shard here", what);
    }
    if (h->version < TW_PACKED_PLAIN || h->version > TW_PACKED_VERSION) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: has layout version %u, this build reads %d to %d; run trawl shard again", what,
                       h->version, TW_PACKED_PLAIN, TW_PACKED_VERSION);
    }
    if (h->file_bytes != size) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: has %zu bytes, its header says %llu: truncated or damaged",
                       what, size, (unsigned long long)h->file_bytes);
    }
    size_t table = (size_t)TW_PACKED_HEADER_BYTES + (size_t)TW_PACKED_ENTRY_BYTES * h->n_entries;
    if (h->n_entries > TW_PACKED_WEIGHTS_MAX || h->head_bytes != tw_round_up(table, TW_PACKED_PAGE) ||
        h->head_bytes > size) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: header and table of %u weights take %llu bytes of %zu: damaged", what,
                       h->n_entries, (unsigned long long)h->head_bytes, size);
    }
    return TRAWL_OK;
}

/* A file whose header was checked. */
struct checked {
    const uint8_t *bytes;
    uint64_t size;
    uint32_t version;
};

static trawl_status check_entry(const struct checked *data, const struct tw_packed_entry *e, size_t index,
                                uint64_t *free_from, const char *what, struct trawl_error *err)
{
    const uint64_t size = data->size;
    if (memchr(e->name, '\0', sizeof e->name) == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the name of weight %zu has no end", what, index);
    }
    uint64_t at = tw_round_up(*free_from, tw_packed_alignment(e));
    if (e->offset != at || at > size || e->bytes > size - at) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: weight \"%s\" has %llu bytes at %llu, expected them at %llu and the end before %llu", what,
            e->name, (unsigned long long)e->bytes, (unsigned long long)e->offset, (unsigned long long)at,
            (unsigned long long)size);
    }
    *free_from = e->offset + e->bytes;
    if (!tw_packed_is_compressed(e)) {
        return TRAWL_OK;
    }
    if (data->version == TW_PACKED_PLAIN) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: weight \"%s\" is compressed, which layout version %d does not know: damaged",
                       what, e->name, TW_PACKED_PLAIN);
    }
    return tw_packed_check_codes(data->bytes, e, what, err);
}

trawl_status tw_packed_check(const uint8_t *data, size_t size, const char *what, struct tw_packed_header *h,
                             struct trawl_error *err)
{
    if (size < sizeof *h) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: has %zu bytes, a header alone has %zu: truncated", what,
                       size, sizeof *h);
    }
    memcpy(h, data, sizeof *h);
    TW_TRY(check_header(h, size, what, err));
    if (tw_packed_head_hash(data, (size_t)h->head_bytes) != h->head_hash) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: the checksum of header and table is wrong: damaged", what);
    }
    const struct checked checked = {.bytes = data, .size = size, .version = h->version};
    uint64_t free_from           = h->head_bytes;
    for (size_t i = 0; i < h->n_entries; i++) {
        struct tw_packed_entry e = tw_packed_entry_at(data, i);
        TW_TRY(check_entry(&checked, &e, i, &free_from, what, err));
    }
    if (free_from != size) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: its weights end at byte %llu of %zu: damaged", what,
                       (unsigned long long)free_from, size);
    }
    return TRAWL_OK;
}

/* ---- a model from it ---- */

struct opening {
    struct tw_model *model;
    const struct tw_weight_list *list;
    const struct tw_log *log;
    char *path;
    struct tw_packed_header header;
    size_t matrix_bytes, codes_bytes; /* of panels, and of what compressed ones need beside them */
};

static trawl_status check_dtype(const struct opening *o, struct trawl_error *err)
{
    const struct tw_model *m = o->model;
    bool exact               = o->header.flags & TW_PACKED_EXACT;
    bool narrow              = o->header.weight_dtype == TW_DTYPE_BF16;
    if (!narrow && o->header.weight_dtype != TW_DTYPE_F32) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: has panels of type %u, expected BF16 or F32", o->path,
                       o->header.weight_dtype);
    }
    if (m->compute == TW_DTYPE_F32 && narrow && !exact) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "%s: its weights were rounded to bfloat16; dtype float32 needs trawl shard --dtype float32",
            o->path);
    }
    if (m->compute == TW_DTYPE_BF16 && !narrow) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: holds float32 weights; dtype bfloat16 needs trawl shard --dtype bfloat16",
                       o->path);
    }
    return TRAWL_OK;
}

/* Entry i must be this weight, stored like this; a matrix may be compressed instead. */
static trawl_status expect_entry(const struct opening *o, size_t i, const char *name, enum tw_dtype dtype,
                                 uint64_t elements, struct tw_packed_entry *e, struct trawl_error *err)
{
    *e             = tw_packed_entry_at(o->model->packed.data, i);
    uint64_t bytes = elements * tw_dtype_bytes(dtype);
    bool fits      = e->bytes == bytes;
    if (tw_packed_is_compressed(e)) { /* then its bytes follow from its panels, and were checked */
        const struct tw_weight *w = i < o->list->n ? &o->list->weights[i] : NULL;
        fits                      = w != NULL && tw_weight_is_matrix(w) && e->columns == w->columns &&
               e->panels == tw_linear_panels(w->linear);
    }
    if (strcmp(e->name, name) != 0 || e->dtype != (uint32_t)dtype || !fits) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: weight %zu is \"%s\" of %llu bytes, config.json asks for \"%s\" of %llu; run trawl shard "
            "again",
            o->path, i, e->name, (unsigned long long)e->bytes, name, (unsigned long long)bytes);
    }
    if (e->flags & TW_PACKED_NOT_FINITE) {
        tw_log(o->log, TW_LOG_WARNING, "%s: tensor \"%s\" has values that are not finite", o->path, name);
    }
    return TRAWL_OK;
}

static void point_matrix(struct opening *o, struct tw_linear *linear, const struct tw_packed_entry *e)
{
    size_t panels  = (size_t)e->bytes;
    linear->panels = o->model->packed.data + e->offset;
    if (tw_packed_is_compressed(e)) {
        panels        = (size_t)e->panels * tw_compressed_bytes(e->columns);
        linear->codes = tw_packed_codes(o->model->packed.data, e);
    }
    o->matrix_bytes += panels;
    o->codes_bytes += (size_t)e->bytes - panels;
}

static trawl_status point_into(struct opening *o, struct trawl_error *err)
{
    struct tw_model *m = o->model;
    struct tw_packed_entry e;
    for (size_t i = 0; i < o->list->n; i++) {
        const struct tw_weight *w = &o->list->weights[i];
        bool matrix               = tw_weight_is_matrix(w);
        TW_TRY(expect_entry(o, i, w->name, matrix ? m->weight : TW_DTYPE_F32, w->elements, &e, err));
        if (matrix) {
            point_matrix(o, w->linear, &e);
        } else {
            *w->vector = (const float *)(const void *)(m->packed.data + e.offset);
        }
    }
    uint32_t stored = tw_packed_entry_at(m->packed.data, o->list->n).dtype;
    m->embed_dtype =
        stored == TW_DTYPE_F32 ? TW_DTYPE_F32 : (stored == TW_DTYPE_F16 ? TW_DTYPE_F16 : TW_DTYPE_BF16);
    TW_TRY(expect_entry(o, o->list->n, TW_EMBED_ROWS, m->embed_dtype,
                        (uint64_t)m->config.vocab * m->config.hidden, &e, err));
    m->embed = m->packed.data + e.offset;
    return TRAWL_OK;
}

/* Huge pages: decode reads every weight for every token, and with small pages it spends a third of its time on
 * looking up addresses. Where the file system has large folios, what is read from now on comes in as huge pages.
 * Reading begins at once unless the file is so large that a host is likely to hold only some ranks' ranges. */
static void advise(const struct tw_model *m)
{
    void *at      = (void *)(uintptr_t)m->packed.data;
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
#ifdef MADV_HUGEPAGE
    (void)madvise(at, m->packed.size, MADV_HUGEPAGE);
#endif
    if (m->packed.size <= memory / 2) {
        (void)madvise(at, m->packed.size, MADV_WILLNEED);
    }
}

/* Where nothing computes with compressed panels. The file's pages are given back: they are needed no more. */
static trawl_status expand(struct opening *o, int n_threads, struct trawl_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    TW_TRY(tw_packed_expand(o->model, o->list, n_threads, err));
    tw_mapped_file_forget(&o->model->packed);
    tw_log(
        o->log, TW_LOG_WARNING,
        "%s: its weights are compressed, and here they are computed with plain: %.2f GiB were expanded into "
        "memory of this process; what trawl shard --compress_weights 0 writes is mapped and shared",
        o->path, (double)o->model->panels_bytes / gib);
    return TRAWL_OK;
}

static trawl_status open_mapped(struct opening *o, bool compress, int n_threads, struct trawl_error *err)
{
    struct tw_model *m = o->model;
    TW_TRY(tw_path_join(m->folder, TW_PACKED_FILE, &o->path, err));
    TW_TRY(tw_mapped_file_open(&m->packed, o->path, err));
    TW_TRY(tw_packed_check(m->packed.data, m->packed.size, o->path, &o->header, err));
    if (o->header.config_hash != tw_packed_config_hash(&m->config) || o->header.n_entries != o->list->n + 1) {
        return tw_fail(
            err, TRAWL_ERR_FORMAT,
            "%s: was packed from a model of another shape than config.json describes; run trawl shard again",
            o->path);
    }
    TW_TRY(check_dtype(o, err));
    m->weight      = o->header.weight_dtype == TW_DTYPE_F32 ? TW_DTYPE_F32 : TW_DTYPE_BF16;
    m->fingerprint = o->header.fingerprint;
    TW_TRY(point_into(o, err));
    advise(m);
    if (o->codes_bytes > 0 && !compress) {
        return expand(o, n_threads, err);
    }
    m->panels_bytes = o->matrix_bytes;
    m->codes_bytes  = o->codes_bytes;
    return TRAWL_OK;
}

trawl_status tw_packed_open(struct tw_model *model, const struct tw_weight_list *list, bool compress,
                            int n_threads, const struct tw_log *log, struct trawl_error *err)
{
    struct opening o    = {.model = model, .list = list, .log = log};
    trawl_status status = open_mapped(&o, compress, n_threads, err);
    tw_free(o.path);
    return status;
}

/* ---- what is in it ---- */

static void sum_up(const struct tw_mapped_file *file, const struct tw_packed_header *h,
                   struct tw_packed_info *out)
{
    *out = (struct tw_packed_info){.file_bytes = h->file_bytes};
    for (size_t i = 0; i + 1 < h->n_entries; i++) { /* the last is the embedding's rows */
        const struct tw_packed_entry e = tw_packed_entry_at(file->data, i);
        if (e.columns > 0) {
            const bool compressed = tw_packed_is_compressed(&e);
            out->compressed       = out->compressed || compressed;
            out->matrix_bytes += e.bytes;
            out->matrix_elements += compressed ? e.panels * tw_panel_elements(e.columns)
                                               : e.bytes / (e.dtype == TW_DTYPE_F32 ? 4 : 2);
        }
    }
}

trawl_status tw_packed_inspect(const char *folder, struct tw_packed_info *out, struct trawl_error *err)
{
    char *path                 = NULL;
    struct tw_mapped_file file = {.data = NULL};
    struct tw_packed_header header;
    TW_TRY(tw_path_join(folder, TW_PACKED_FILE, &path, err));
    trawl_status status = tw_mapped_file_open(&file, path, err);
    if (status == TRAWL_OK) {
        status = tw_packed_check(file.data, file.size, path, &header, err);
        if (status == TRAWL_OK) {
            sum_up(&file, &header, out);
        }
        tw_mapped_file_close(&file);
    }
    tw_free(path);
    return status;
}

/* ---- verification ---- */

struct verification {
    const uint8_t *data;
    size_t n;
    _Atomic size_t next;
    _Atomic size_t worst; /* lowest index of a wrong weight; n: none */
};

static void verify_main(void *arg, int thread, int n_threads)
{
    struct verification *v = arg;
    (void)thread;
    (void)n_threads;
    for (;;) {
        size_t i = atomic_fetch_add(&v->next, 1);
        if (i >= v->n) {
            return;
        }
        struct tw_packed_entry e = tw_packed_entry_at(v->data, i);
        if (tw_hash64(v->data + e.offset, (size_t)e.bytes) != e.hash) {
            size_t worst = atomic_load(&v->worst);
            while (i < worst && !atomic_compare_exchange_weak(&v->worst, &worst, i)) {
            }
        }
    }
}

static trawl_status verify(const struct tw_mapped_file *file, const char *path, int n_threads,
                           struct trawl_error *err)
{
    struct tw_packed_header header;
    TW_TRY(tw_packed_check(file->data, file->size, path, &header, err));
    struct verification v = {.data = file->data, .n = header.n_entries, .worst = header.n_entries};
    struct tw_team *team  = NULL;
    TW_TRY(tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err));
    tw_team_run(team, verify_main, &v);
    tw_team_free(team);
    size_t worst = atomic_load(&v.worst);
    if (worst < v.n) {
        struct tw_packed_entry e = tw_packed_entry_at(file->data, worst);
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: weight \"%s\" at byte %llu: the checksum is wrong: damaged", path, e.name,
                       (unsigned long long)e.offset);
    }
    return TRAWL_OK;
}

trawl_status tw_packed_verify(const char *folder, int n_threads, uint64_t *bytes, struct trawl_error *err)
{
    char *path                 = NULL;
    struct tw_mapped_file file = {.data = NULL};
    TW_TRY(tw_path_join(folder, TW_PACKED_FILE, &path, err));
    trawl_status status = tw_mapped_file_open(&file, path, err);
    if (status == TRAWL_OK) {
        if (bytes != NULL) {
            *bytes = file.size;
        }
        status = verify(&file, path, n_threads, err);
        tw_mapped_file_close(&file);
    }
    tw_free(path);
    return status;
}
