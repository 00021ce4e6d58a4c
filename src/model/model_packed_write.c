/* SPDX-License-Identifier: MIT */
/* Writing packed weights: one pass over the checkpoint, a bounded piece at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/thread.h"
#include "model/model_compress.h"
#include "model/model_pack.h"
#include "model/model_packed_codes.h"
#include "model/model_packed_folder.h"

/* A stage is written at once, at a multiple of its size: then the page cache takes it in as huge pages, which
 * the next start maps. */
enum { CHUNK_BYTES = 64 << 20, STAGE_BYTES = 8 << 20 };

struct writer {
    const struct tw_packed_job *job;
    struct tw_model model; /* config and layers only: what a list needs */
    struct tw_weight_list list;
    struct tw_safetensors *files;
    struct tw_binding binding;
    struct tw_packed_header header;
    struct tw_packed_entry *entries; /* [list.n + 1], the last is the embedding */
    enum tw_dtype embed_dtype;       /* as stored */
    struct tw_atomic_file file;
    struct tw_team *team;
    uint8_t *head;   /* [head_bytes] */
    uint8_t *buffer; /* one chunk */
    uint8_t *stage;  /* [STAGE_BYTES] the next bytes of the file, `staged` of them are there */
    size_t staged;
    float *vectors; /* [list.floats] */
    size_t buffer_bytes;
    uint64_t most_bytes; /* that the file can have: when nothing is compressed */
    /* What the team packs now: pieces [first, first + n) into buffer. */
    size_t first, n;
    _Atomic size_t next;
    /* What is compressed. */
    bool coding;                     /* the matrix at hand */
    struct tw_weight_list one;       /* that matrix alone, and ... */
    struct tw_compressor compressor; /* ... its codes */
    struct tw_plain_groups *found;   /* [n_threads]; NULL: nothing is compressed */
    uint16_t **staging;              /* [n_threads] a piece that is to be compressed */
    size_t n_compressed;             /* matrices so far */
};

/* ---- header and table ---- */

/* A weight behind all that were added; its bytes as if it were plain. */
static void add_entry(struct writer *w, size_t i, const char *name, size_t rows, size_t columns,
                      uint64_t elements, enum tw_dtype dtype)
{
    struct tw_packed_entry *e = &w->entries[i];
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    e->rows       = rows;
    e->columns    = columns;
    e->bytes      = elements * tw_dtype_bytes(dtype);
    e->dtype      = (uint32_t)dtype;
    w->most_bytes = tw_round_up(w->most_bytes, tw_packed_alignment(e)) + e->bytes;
}

/* Everything in the order of the list, the embedding last. Where a weight begins is known when it is written, because
 * those before it may be compressed. */
static trawl_status list_entries(struct writer *w, struct trawl_error *err)
{
    const struct tw_model_config *c = &w->model.config;
    const struct tw_weight_list *l  = &w->list;
    TW_TRY(tw_alloc(l->n + 1, sizeof *w->entries, &w->entries, err));
    const size_t table = TW_PACKED_HEADER_BYTES + (l->n + 1) * (size_t)TW_PACKED_ENTRY_BYTES;
    w->header          = (struct tw_packed_header){.byte_order   = 0x01020304u,
                                                   .head_bytes   = tw_round_up(table, TW_PACKED_PAGE),
                                                   .config_hash  = tw_packed_config_hash(c),
                                                   .n_entries    = (uint32_t)(l->n + 1),
                                                   .weight_dtype = (uint32_t)w->binding.weight};
    memcpy(w->header.magic, "TRAWLPAK", sizeof w->header.magic);
    w->most_bytes  = w->header.head_bytes;
    w->embed_dtype = w->job->compute == TW_DTYPE_BF16 ? TW_DTYPE_BF16 : w->binding.embed->dtype;
    for (size_t i = 0; i < l->n; i++) {
        const struct tw_weight *weight = &l->weights[i];
        add_entry(w, i, weight->name, weight->rows, weight->columns, weight->elements,
                  tw_weight_is_matrix(weight) ? w->binding.weight : TW_DTYPE_F32);
    }
    add_entry(w, l->n, TW_EMBED_ROWS, c->vocab, c->hidden, (uint64_t)c->vocab * c->hidden, w->embed_dtype);
    return TRAWL_OK;
}

/* Are panels and rows what the checkpoint holds? */
static bool is_exact(const struct writer *w)
{
    bool exact = w->embed_dtype == w->binding.embed->dtype;
    for (size_t i = 0; i < w->list.n; i++) {
        if (tw_weight_is_matrix(&w->list.weights[i])) {
            exact =
                exact && (w->binding.weight == TW_DTYPE_F32 || w->binding.tensors[i]->dtype == TW_DTYPE_BF16);
        }
    }
    return exact;
}

static void fill_head(struct writer *w)
{
    for (size_t i = 0; i < w->list.n; i++) {
        w->entries[i].flags |= atomic_load(&w->binding.bad[i]) != 0 ? TW_PACKED_NOT_FINITE : 0;
    }
    w->header.version     = w->n_compressed > 0 ? TW_PACKED_VERSION : TW_PACKED_PLAIN;
    w->header.file_bytes  = w->file.written;
    w->header.flags       = is_exact(w) ? TW_PACKED_EXACT : 0;
    w->header.fingerprint = tw_binding_fingerprint(&w->binding, w->vectors);
    memcpy(w->head, &w->header, sizeof w->header);
    memcpy(w->head + sizeof w->header, w->entries, (w->list.n + 1) * sizeof *w->entries);
    w->header.head_hash = tw_packed_head_hash(w->head, (size_t)w->header.head_bytes);
    memcpy(w->head, &w->header, sizeof w->header);
}

/* ---- the weights ---- */

/* Bytes from a panel to the next in the buffer. */
static size_t panel_bytes(const struct writer *w, size_t index)
{
    const size_t k = w->list.weights[index].columns;
    return w->coding ? tw_compressed_bytes(k) : tw_panel_elements(k) * tw_dtype_bytes(w->binding.weight);
}

static void pack_main(void *arg, int thread, int n_threads)
{
    struct writer *w = arg;
    (void)n_threads;
    size_t origin, begin, end;
    tw_binding_panels_of(&w->binding, w->first, &origin, &end);
    size_t index = tw_binding_weight_of(&w->binding, w->first);
    size_t bytes = index < w->list.n ? panel_bytes(w, index) : 0;
    for (;;) {
        size_t i = atomic_fetch_add(&w->next, 1);
        if (i >= w->n) {
            return;
        }
        tw_binding_panels_of(&w->binding, w->first + i, &begin, &end);
        uint8_t *to = w->buffer + (begin - origin) * bytes;
        if (w->coding) {
            tw_binding_pack(&w->binding, w->first + i, w->staging[thread]);
            tw_compressor_add(&w->compressor, 0, begin, end, w->staging[thread], to, &w->found[thread]);
        } else {
            tw_binding_pack(&w->binding, w->first + i, to);
        }
    }
}

static void run_pieces(struct writer *w, size_t first, size_t n)
{
    w->first = first;
    w->n     = n;
    atomic_store(&w->next, 0);
    tw_team_run(w->team, pack_main, w);
}

static trawl_status flush_stage(struct writer *w, struct trawl_error *err)
{
    size_t n  = w->staged;
    w->staged = 0;
    TW_TRY(tw_atomic_file_write(&w->file, w->stage, n, err));
    if (w->job->on_tick != NULL && !w->job->on_tick(w->job->user, w->file.written, w->most_bytes)) {
        return tw_fail(err, TRAWL_ERR_CANCELLED, "interrupted; nothing was written to %s",
                       w->job->output_dir);
    }
    return TRAWL_OK;
}

/* The next `n` bytes of the file; data NULL: zeros. */
static trawl_status put(struct writer *w, const uint8_t *data, size_t n, struct trawl_error *err)
{
    while (n > 0) {
        size_t some = tw_min_size(n, STAGE_BYTES - w->staged);
        if (data == NULL) {
            memset(w->stage + w->staged, 0, some);
        } else {
            memcpy(w->stage + w->staged, data, some);
            data += some;
        }
        n -= some;
        w->staged += some;
        if (w->staged == STAGE_BYTES) {
            TW_TRY(flush_stage(w, err));
        }
    }
    return TRAWL_OK;
}

static uint64_t position(const struct writer *w)
{
    return w->file.written + w->staged;
}

static trawl_status pad_to(struct writer *w, uint64_t offset, struct trawl_error *err)
{
    return put(w, NULL, (size_t)(offset - position(w)), err);
}

/* Give back the whole pages of a part of the checkpoint that has been read. */
static void release_source(const uint8_t *data, size_t bytes)
{
    uintptr_t page  = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end   = ((uintptr_t)data + bytes) / page * page;
    if (begin < end) {
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}

/* Pieces of matrix `index` that the buffer takes, compressed or not. */
static size_t pieces_at_once(const struct writer *w, size_t index)
{
    const size_t panel =
        tw_panel_elements(w->list.weights[index].columns) * tw_dtype_bytes(w->binding.weight);
    return panel == 0 ? 1 : tw_max_size(w->buffer_bytes / (panel * TW_PACK_PANELS), 1);
}

static void forget_found(struct writer *w)
{
    for (int i = 0; w->found != NULL && i < w->job->n_threads; i++) {
        w->found[i].n = 0;
    }
}

/* Compress matrix `index` to see whether that makes it smaller; if so its entry says what it takes. A matrix that
 * the buffer takes as a whole is in it then. */
static trawl_status try_to_compress(struct writer *w, size_t index, struct trawl_error *err)
{
    struct tw_packed_entry *e      = &w->entries[index];
    const struct tw_weight *weight = &w->list.weights[index];
    const size_t panels = tw_linear_panels(weight->linear), pieces = pieces_at_once(w, index);
    const size_t end             = w->binding.first_piece[index + 1];
    struct tw_packed_parts parts = {0};
    size_t n_plain               = 0;
    w->one                       = (struct tw_weight_list){.weights = &w->list.weights[index], .n = 1};
    w->coding                    = true;
    forget_found(w);
    TW_TRY(tw_compressor_make(&w->compressor, &w->one, err));
    for (size_t p = w->binding.first_piece[index]; w->coding && p < end; p += pieces) {
        run_pieces(w, p, tw_min_size(pieces, end - p));
        TW_TRY(tw_compressor_count(w->found, (size_t)w->job->n_threads, &n_plain, err));
        w->coding = tw_packed_parts_of(panels, weight->columns, n_plain, &parts) && parts.bytes < e->bytes;
    }
    if (w->coding) {
        e->flags |= TW_PACKED_COMPRESSED;
        e->panels       = panels;
        e->plain_groups = n_plain;
        e->bytes        = parts.bytes;
        w->n_compressed++;
    }
    return TRAWL_OK;
}

static trawl_status write_panels(struct writer *w, size_t index, struct tw_hash *hash,
                                 struct trawl_error *err)
{
    const size_t pieces = pieces_at_once(w, index), panel = panel_bytes(w, index);
    const size_t begin = w->binding.first_piece[index], end = w->binding.first_piece[index + 1];
    const bool packed = w->coding && end - begin <= pieces;
    if (w->coding && !packed) {
        forget_found(w);
    }
    for (size_t p = begin; p < end; p += pieces) {
        size_t n = tw_min_size(pieces, end - p), first, last, unused;
        if (!packed) {
            run_pieces(w, p, n);
        }
        tw_binding_panels_of(&w->binding, p, &first, &unused);
        tw_binding_panels_of(&w->binding, p + n - 1, &unused, &last);
        tw_hash_update(hash, w->buffer, (last - first) * panel);
        TW_TRY(put(w, w->buffer, (last - first) * panel, err));
    }
    return TRAWL_OK;
}

/* A part of a compressed matrix at byte `at` of it, zeros before. */
static trawl_status write_part(struct writer *w, const struct tw_packed_entry *e, size_t at, const void *data,
                               size_t bytes, struct tw_hash *hash, struct trawl_error *err)
{
    static const uint8_t zeros[TW_PACKED_LINE];
    const size_t gap = (size_t)(e->offset + at - position(w));
    TW_BUG_ON(gap >= sizeof zeros);
    tw_hash_update(hash, zeros, gap);
    TW_TRY(put(w, zeros, gap, err));
    tw_hash_update(hash, data, bytes);
    return put(w, data, bytes, err);
}

static trawl_status write_codes(struct writer *w, const struct tw_packed_entry *e, struct tw_hash *hash,
                                struct trawl_error *err)
{
    const size_t n_threads = (size_t)w->job->n_threads;
    struct tw_packed_parts parts;
    size_t n_plain = 0;
    TW_TRY(tw_compressor_count(w->found, n_threads, &n_plain, err)); /* memory may have run out just now */
    TW_TRY(tw_compressor_finish(&w->compressor, w->found, n_threads, err));
    const struct tw_compression *c = &w->compressor.made;
    TW_BUG_ON(c->n_plain != e->plain_groups ||
              !tw_packed_parts_of(c->panels, e->columns, c->n_plain, &parts));
    const size_t first = (c->panels + 1) * sizeof *c->first;
    TW_TRY(write_part(w, e, parts.plain, c->plain, c->n_plain * TW_PLAIN_BYTES, hash, err));
    TW_TRY(write_part(w, e, parts.upper, c->upper, c->panels * TW_UPPER_BYTES, hash, err));
    TW_TRY(write_part(w, e, parts.first, c->first, first, hash, err));
    return write_part(w, e, parts.group, c->group, c->n_plain * sizeof *c->group, hash, err);
}

static trawl_status write_matrix(struct writer *w, size_t index, struct tw_hash *hash,
                                 struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = w->binding.tensors[index];
    trawl_status status                   = TRAWL_OK;
    if (w->found != NULL && tw_compressible(w->list.weights[index].columns)) {
        status = try_to_compress(w, index, err);
    }
    if (status == TRAWL_OK) {
        status = write_panels(w, index, hash, err);
    }
    if (status == TRAWL_OK && w->coding) {
        status = write_codes(w, &w->entries[index], hash, err);
    }
    w->coding = false;
    tw_compressor_release(&w->compressor);
    release_source(t->data, t->bytes);
    return status;
}

/* Rows of the embedding as they are, or rounded to bf16 where the model would round them anyway. */
static const uint8_t *rows_as_stored(struct writer *w, size_t row, size_t n)
{
    const struct tw_safetensors_tensor *t = w->binding.embed;
    size_t width                          = t->shape[1];
    const uint8_t *from                   = t->data + row * width * tw_dtype_bytes(t->dtype);
    if (t->dtype == w->embed_dtype) {
        return from;
    }
    for (size_t i = 0; i < n * width; i++) {
        uint16_t half = 0;
        float f       = 0;
        if (t->dtype == TW_DTYPE_F32) {
            memcpy(&f, from + 4 * i, 4);
        } else {
            memcpy(&half, from + 2 * i, 2);
            f = tw_f16_to_f32(half);
        }
        half = tw_bf16_from_f32(f);
        memcpy(w->buffer + 2 * i, &half, 2);
    }
    return w->buffer;
}

static trawl_status write_embedding(struct writer *w, struct tw_hash *hash, struct trawl_error *err)
{
    const struct tw_safetensors_tensor *t = w->binding.embed;
    size_t step                           = (size_t)TW_PACK_PANELS * TW_PANEL; /* rows of a piece */
    size_t row                            = t->shape[1] * tw_dtype_bytes(w->embed_dtype);
    size_t rows                           = tw_max_size(w->buffer_bytes / (row * step), 1) * step;
    size_t first                          = w->binding.first_piece[w->list.n];
    for (size_t at = 0; at < t->shape[0]; at += rows) {
        size_t n = tw_min_size(rows, t->shape[0] - at);
        if (!w->binding.tied) {
            run_pieces(w, first + at / step, tw_ceil_div(n, step));
        }
        const uint8_t *from = rows_as_stored(w, at, n);
        tw_hash_update(hash, from, n * row);
        TW_TRY(put(w, from, n * row, err));
        size_t source = t->shape[1] * tw_dtype_bytes(t->dtype);
        release_source(t->data + at * source, n * source);
    }
    return TRAWL_OK;
}

static trawl_status write_weight(struct writer *w, size_t i, struct trawl_error *err)
{
    struct tw_packed_entry *e = &w->entries[i];
    struct tw_hash *hash      = NULL;
    e->offset                 = tw_round_up(position(w), tw_packed_alignment(e));
    TW_TRY(pad_to(w, e->offset, err));
    TW_TRY(tw_hash_new(&hash, err));
    trawl_status status = TRAWL_OK;
    if (i == w->list.n) {
        status = write_embedding(w, hash, err);
    } else if (tw_weight_is_matrix(&w->list.weights[i])) {
        status = write_matrix(w, i, hash, err);
    } else {
        tw_hash_update(hash, w->vectors + w->list.weights[i].first, (size_t)e->bytes);
        status = put(w, (const uint8_t *)(w->vectors + w->list.weights[i].first), (size_t)e->bytes, err);
    }
    e->hash = tw_hash_value(hash);
    tw_hash_free(hash);
    return status;
}

static trawl_status write_file(struct writer *w, struct trawl_error *err)
{
    TW_TRY(pad_to(w, w->header.head_bytes, err)); /* zeros until everything else is there */
    for (size_t i = 0; i <= w->list.n; i++) {
        TW_TRY(write_weight(w, i, err));
    }
    TW_TRY(flush_stage(w, err));
    fill_head(w);
    size_t done = 0;
    while (done < w->header.head_bytes) {
        ssize_t n = pwrite(w->file.fd, w->head + done, (size_t)w->header.head_bytes - done, (off_t)done);
        if (n < 0 && errno != EINTR) {
            return tw_fail_os(err, errno, "%s", w->file.tmp);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return TRAWL_OK;
}

/* ---- the whole ---- */

static trawl_status make_staging(struct writer *w, struct trawl_error *err)
{
    const size_t n = (size_t)w->job->n_threads;
    size_t longest = 0;
    for (size_t i = 0; i < w->list.n; i++) {
        longest = tw_max_size(longest, w->list.weights[i].columns);
    }
    TW_TRY(tw_alloc(n, sizeof *w->staging, &w->staging, err));
    TW_TRY(tw_alloc(n, sizeof *w->found, &w->found, err));
    for (size_t i = 0; i < n; i++) {
        TW_TRY(tw_alloc(TW_PACK_PANELS * tw_panel_elements(longest), sizeof(uint16_t), &w->staging[i], err));
    }
    return TRAWL_OK;
}

static trawl_status prepare(struct writer *w, struct trawl_error *err)
{
    struct tw_model *m = &w->model;
    TW_TRY(tw_model_config_read(&m->config, w->job->folder, err));
    TW_TRY(tw_alloc(m->config.n_layers, sizeof *m->layers, &m->layers, err));
    TW_TRY(tw_weight_list_make(&w->list, m, err));
    trawl_status status = tw_safetensors_open(&w->files, w->job->folder, err);
    if (status != TRAWL_OK) {
        bool packed = false;
        (void)tw_packed_present(w->job->folder, &packed, NULL);
        return packed
                   ? tw_fail_prefix(err, status, "this folder holds packed weights, the checkpoint is wanted")
                   : status;
    }
    TW_TRY(tw_binding_make(&w->binding, &w->list, &m->config, w->files, w->job->compute, err));
    TW_TRY(list_entries(w, err));
    w->buffer_bytes = w->job->buffer_bytes > 0 ? w->job->buffer_bytes : CHUNK_BYTES;
    for (size_t i = 0; i < w->list.n; i++) { /* at least one piece of the widest matrix */
        size_t piece = (size_t)TW_PACK_PANELS * tw_panel_elements(w->list.weights[i].columns) * sizeof(float);
        w->buffer_bytes = tw_max_size(w->buffer_bytes, piece);
    }
    TW_TRY(tw_big_alloc(w->buffer_bytes, &w->buffer, err));
    TW_TRY(tw_big_alloc(STAGE_BYTES, &w->stage, err));
    TW_TRY(tw_alloc((size_t)w->header.head_bytes, 1, &w->head, err));
    TW_TRY(tw_alloc(w->list.floats, sizeof *w->vectors, &w->vectors, err));
    tw_binding_copy_vectors(&w->binding, w->vectors);
    if (w->job->compress && w->binding.weight == TW_DTYPE_BF16) {
        TW_TRY(make_staging(w, err));
    }
    return tw_team_new(&w->team, w->job->n_threads, tw_wait_policy_for(w->job->n_threads), NULL, err);
}

static trawl_status write_locked(struct writer *w, struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_packed_folder_prepare(w->job->folder, w->job->output_dir, err));
    TW_TRY(tw_packed_folder_space(w->job->output_dir, w->most_bytes, err));
    TW_TRY(tw_path_join(w->job->output_dir, TW_PACKED_FILE, &path, err));
    trawl_status status = tw_atomic_file_open(&w->file, path, err);
    tw_free(path);
    TW_TRY(status);
    status = write_file(w, err);
    if (status != TRAWL_OK) {
        tw_atomic_file_abandon(&w->file);
        return status;
    }
    tw_binding_warn(&w->binding, w->files, w->job->log);
    return tw_atomic_file_commit(&w->file, err);
}

/* Two writers in one folder would mix their files: the second is refused. */
static trawl_status write_in_folder(struct writer *w, struct trawl_error *err)
{
    const char *dir = w->job->output_dir;
    TW_TRY(tw_make_dirs(dir, err));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return tw_fail_os(err, errno, "%s", dir);
    }
    trawl_status status = TRAWL_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        status = tw_fail(err, TRAWL_ERR_EXISTS, "%s: is in use by another process", dir);
    } else {
        status = write_locked(w, err);
    }
    (void)close(fd);
    return status;
}

static void release(struct writer *w)
{
    for (int i = 0; i < w->job->n_threads; i++) {
        if (w->staging != NULL) {
            tw_free(w->staging[i]);
        }
        if (w->found != NULL) {
            tw_free(w->found[i].groups);
        }
    }
    tw_free(w->staging);
    tw_free(w->found);
    tw_team_free(w->team);
    tw_binding_release(&w->binding);
    tw_safetensors_close(w->files);
    tw_weight_list_release(&w->list);
    tw_big_free(w->buffer, w->buffer_bytes);
    tw_big_free(w->stage, STAGE_BYTES);
    tw_free(w->head);
    tw_free(w->vectors);
    tw_free(w->entries);
    tw_free(w->model.layers);
}

trawl_status tw_packed_write(const struct tw_packed_job *job, struct tw_packed_result *out,
                             struct trawl_error *err)
{
    struct writer *w = NULL;
    TW_TRY(tw_alloc(1, sizeof *w, &w, err));
    w->job              = job;
    trawl_status status = prepare(w, err);
    if (status == TRAWL_OK) {
        status = write_in_folder(w, err);
    }
    if (status == TRAWL_OK) {
        *out = (struct tw_packed_result){
            .file_bytes   = w->header.file_bytes,
            .fingerprint  = w->header.fingerprint,
            .weight       = w->binding.weight,
            .exact        = w->header.flags & TW_PACKED_EXACT,
            .n_compressed = w->n_compressed,
        };
    }
    release(w);
    tw_free(w);
    return status;
}
