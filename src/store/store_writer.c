/* SPDX-License-Identifier: MIT */
#include "store/store_writer.h"

#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/store_manifest.h"
#include "store/store_metadata.h"

trawl_status tw_writer_init(struct tw_writer *w, const struct tw_layout *layout, struct tw_journal *manifest,
                            struct tw_stats *stats, uint64_t next_chunk, struct trawl_error *err)
{
    *w =
        (struct tw_writer){.layout = layout, .manifest = manifest, .stats = *stats, .next_chunk = next_chunk};
    *stats = (struct tw_stats){0};
    tw_str_init(&w->chunk_numbers, 0);
    trawl_status status = tw_alloc(layout->n_sites, sizeof *w->chunks, &w->chunks, err);
    for (size_t i = 0; status == TRAWL_OK && i < layout->n_sites; i++) {
        tw_chunk_init(&w->chunks[i], layout, i);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(TW_WRITER_ROWS * layout->max_width, sizeof *w->rows, &w->rows, err);
    }
    if (status == TRAWL_OK) {
        status = tw_alloc(TW_WRITER_ROWS * layout->max_width, tw_dtype_bytes(layout->dtype), &w->stored, err);
    }
    if (status == TRAWL_OK) {
        status = tw_metadata_write(layout, manifest, &w->stats, false, err);
    }
    w->metadata_groups = tw_journal_groups(manifest);
    if (status != TRAWL_OK) {
        tw_writer_release(w);
    }
    return status;
}

void tw_writer_release(struct tw_writer *w)
{
    for (size_t i = 0; w->chunks != NULL && i < w->layout->n_sites; i++) {
        tw_chunk_abandon(&w->chunks[i]);
    }
    tw_free(w->chunks);
    tw_columns_release(&w->columns);
    tw_str_release(&w->chunk_numbers);
    tw_stats_release(&w->stats);
    tw_free(w->rows);
    tw_free(w->stored);
    *w = (struct tw_writer){0};
}

/* ---- requests ---- */

static trawl_status open_chunks(struct tw_writer *w, uint64_t first, struct trawl_error *err)
{
    /* The pickles of a group bear its number, whether or not the groups before it had rows. */
    uint64_t number =
        w->layout->format == TW_STORE_PKL ? tw_journal_groups(w->manifest) + 1 : w->next_chunk++;
    for (size_t i = 0; i < w->layout->n_sites; i++) {
        TW_TRY(tw_chunk_open(&w->chunks[i], number, err));
    }
    w->chunk_open     = true;
    w->chunk_first    = first;
    w->chunk_requests = 0;
    w->stretch_first  = first;
    w->columns.n_rows = 0;
    tw_str_reset(&w->chunk_numbers);
    return TRAWL_OK;
}

/* The last stretch of request numbers, as text behind the others. */
static trawl_status put_stretch(struct tw_writer *w, struct trawl_error *err)
{
    unsigned long long first = w->stretch_first, last = w->chunk_end - 1;
    return first == last ? tw_str_printf(&w->chunk_numbers, err, "%llu", first)
                         : tw_str_printf(&w->chunk_numbers, err, "%llu-%llu", first, last);
}

trawl_status tw_writer_number(struct tw_writer *w, uint64_t id, struct trawl_error *err)
{
    if (!w->chunk_open) {
        TW_TRY(open_chunks(w, id, err));
    }
    if (w->chunk_requests > 0 && id != w->chunk_end) {
        TW_TRY(put_stretch(w, err));
        TW_TRY(tw_str_putc(&w->chunk_numbers, ',', err));
        w->stretch_first = id;
    }
    w->chunk_end = id + 1;
    w->chunk_requests++;
    return TRAWL_OK;
}

trawl_status tw_writer_begin(struct tw_writer *w, uint64_t id, const char *task_id, int64_t sample_idx,
                             size_t n_rows, struct trawl_error *err)
{
    w->request_rows = n_rows;
    if (w->layout->format == TW_STORE_SAFETENSORS) {
        TW_TRY(tw_columns_reserve(&w->columns, w->layout->columns, n_rows, err));
        int64_t *request = tw_columns_at(&w->columns, TW_COLUMN_REQUEST, w->columns.n_rows);
        for (size_t i = 0; i < n_rows; i++) {
            request[i] = (int64_t)id;
        }
    }
    for (size_t i = 0; i < w->layout->n_sites; i++) {
        TW_TRY(tw_chunk_begin_request(&w->chunks[i], task_id, sample_idx, n_rows, err));
    }
    return TRAWL_OK;
}

/* Rows in the dtype of the store go to `stored`; `rows` becomes what a reader of them will see. */
static void round_rows(enum tw_dtype dtype, float *rows, void *stored, size_t n)
{
    uint16_t *half = stored;
    if (dtype == TW_DTYPE_BF16) {
        for (size_t i = 0; i < n; i++) {
            half[i] = tw_bf16_from_f32(rows[i]);
            rows[i] = tw_bf16_to_f32(half[i]);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            half[i] = tw_f16_from_f32(rows[i]);
            rows[i] = tw_f16_to_f32(half[i]);
        }
    }
}

trawl_status tw_writer_rows(struct tw_writer *w, size_t site, size_t n, struct trawl_error *err)
{
    const void *bytes = w->rows;
    if (w->layout->dtype != TW_DTYPE_F32) {
        round_rows(w->layout->dtype, w->rows, w->stored, n * w->layout->sites[site].width);
        bytes = w->stored;
    }
    tw_stats_add(&w->stats.sites[site], w->rows, n);
    return tw_chunk_rows(&w->chunks[site], bytes, n, err);
}

static trawl_status close_chunks(struct tw_writer *w, struct trawl_error *err)
{
    bool gaps = w->chunk_requests < w->chunk_end - w->chunk_first;
    if (gaps) {
        TW_TRY(put_stretch(w, err));
    }
    for (size_t i = 0; i < w->layout->n_sites; i++) {
        struct tw_chunk *chunk           = &w->chunks[i];
        struct tw_manifest_record record = {.site     = w->layout->sites[i].name,
                                            .chunk    = chunk->number,
                                            .first    = w->chunk_first,
                                            .end      = w->chunk_end,
                                            .requests = w->chunk_requests,
                                            .numbers  = gaps ? tw_str_text(&w->chunk_numbers) : NULL,
                                            .rows     = w->columns.n_rows};
        TW_TRY(tw_chunk_close(chunk, &w->columns, tw_journal_run_hash(w->manifest), &record.bytes,
                              &record.xxh3, err));
        record.file = chunk->name;
        TW_TRY(tw_manifest_add(w->manifest, &record, err));
    }
    w->chunk_open = false;
    return TRAWL_OK;
}

trawl_status tw_writer_end(struct tw_writer *w, struct trawl_error *err)
{
    for (size_t i = 0; i < w->layout->n_sites; i++) {
        TW_TRY(tw_chunk_end_request(&w->chunks[i], w->request_rows, err));
    }
    w->columns.n_rows += w->request_rows;
    size_t row_bytes = w->layout->max_width * tw_dtype_bytes(w->layout->dtype);
    if (w->layout->format == TW_STORE_SAFETENSORS &&
        w->columns.n_rows >= w->layout->chunk_bytes / row_bytes) {
        return close_chunks(w, err);
    }
    return TRAWL_OK;
}

/* ---- groups ---- */

static trawl_status keep_previous(const struct tw_writer *w, const char *path, struct trawl_error *err)
{
    char *before = NULL;
    if (tw_journal_groups(w->manifest) == 0) {
        return TRAWL_OK;
    }
    TW_TRY(tw_path_join(w->layout->dir, TW_STATS_BEFORE, &before, err));
    trawl_status status = TRAWL_OK;
    if (rename(path, before) != 0) {
        status = tw_fail_os(err, errno, "%s: rename to %s", path, before);
    }
    tw_free(before);
    return status;
}

static trawl_status write_statistics(struct tw_writer *w, struct trawl_error *err)
{
    struct tw_str bytes;
    char *path = NULL;
    TW_TRY(tw_path_join(w->layout->dir, TW_STATS_NAME, &path, err));
    tw_str_init(&bytes, 0);
    trawl_status status = tw_stats_encode(&w->stats, w->layout, &bytes, err);
    if (status == TRAWL_OK) {
        status = keep_previous(w, path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, bytes.data, bytes.size, err);
    }
    if (status == TRAWL_OK) {
        const struct tw_manifest_record record = {
            .file = TW_STATS_NAME, .bytes = bytes.size, .xxh3 = tw_hash64(bytes.data, bytes.size)};
        status = tw_manifest_add(w->manifest, &record, err);
    }
    tw_str_release(&bytes);
    tw_free(path);
    return status;
}

/* Often at first, then each time the run has grown by a part: the document lists every chunk, so writing it
 * at every commit would cost the square of their number. */
static bool metadata_is_due(const struct tw_writer *w)
{
    return tw_journal_groups(w->manifest) - w->metadata_groups > w->metadata_groups / 32;
}

trawl_status tw_writer_commit(struct tw_writer *w, uint64_t first, uint64_t end, struct trawl_error *err)
{
    if (w->chunk_open) {
        TW_TRY(close_chunks(w, err));
    }
    TW_TRY(write_statistics(w, err));
    TW_TRY(tw_journal_commit(w->manifest, first, end, err));
    if (metadata_is_due(w)) {
        TW_TRY(tw_metadata_write(w->layout, w->manifest, &w->stats, false, err));
        w->metadata_groups = tw_journal_groups(w->manifest);
    }
    return TRAWL_OK;
}

trawl_status tw_writer_finish(struct tw_writer *w, struct trawl_error *err)
{
    return tw_metadata_write(w->layout, w->manifest, &w->stats, true, err);
}
