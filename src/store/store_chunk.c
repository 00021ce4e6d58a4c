/* SPDX-License-Identifier: MIT */
#include "store/store_chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/store_header.h"

enum { READ_BYTES = 1 << 20 };

void tw_chunk_init(struct tw_chunk *chunk, const struct tw_layout *layout, size_t site)
{
    *chunk = (struct tw_chunk){.layout = layout, .site = site, .file = {.fd = -1}};
}

static void forget_names(struct tw_chunk *chunk)
{
    tw_free(chunk->name);
    tw_free(chunk->path);
    chunk->name = NULL;
    chunk->path = NULL;
}

static trawl_status pickle_status(const struct tw_chunk *chunk, struct trawl_error *err)
{
    if (chunk->pickle.status != TRAWL_OK && err != NULL) {
        *err = chunk->pickle.error;
    }
    return chunk->pickle.status;
}

void tw_chunk_abandon(struct tw_chunk *chunk)
{
    if (chunk->open) {
        tw_atomic_file_abandon(&chunk->file);
    }
    chunk->open = false;
    forget_names(chunk);
}

static trawl_status begin_pickle(struct tw_chunk *chunk, struct trawl_error *err)
{
    tw_pickle_init(&chunk->pickle, tw_sink_file(&chunk->file));
    tw_pickle_begin_list(&chunk->pickle);
    return pickle_status(chunk, err);
}

trawl_status tw_chunk_open(struct tw_chunk *chunk, uint64_t number, struct trawl_error *err)
{
    forget_names(chunk);
    chunk->number = number;
    TW_TRY(tw_layout_chunk_name(chunk->layout, chunk->site, number, &chunk->name, err));
    TW_TRY(tw_path_join(chunk->layout->dir, chunk->name, &chunk->path, err));
    TW_TRY(tw_atomic_file_open(&chunk->file, chunk->path, err));
    chunk->open = true;
    if (chunk->layout->format == TW_STORE_PKL) {
        return begin_pickle(chunk, err);
    }
    /* The header is written last: until then a hole. */
    if (lseek(chunk->file.fd, TW_CHUNK_HEADER_BYTES, SEEK_SET) != TW_CHUNK_HEADER_BYTES) {
        return tw_fail_os(err, errno, "%s", chunk->file.tmp);
    }
    return TRAWL_OK;
}

/* ---- rows ---- */

trawl_status tw_chunk_begin_request(struct tw_chunk *chunk, const char *task_id, int64_t sample_idx,
                                    size_t n_rows, struct trawl_error *err)
{
    struct tw_pickle *p   = &chunk->pickle;
    const size_t shape[2] = {n_rows, chunk->layout->sites[chunk->site].width};
    if (chunk->layout->format != TW_STORE_PKL) {
        return TRAWL_OK;
    }
    tw_pickle_begin_dict(p);
    tw_pickle_string(p, "task_id");
    tw_pickle_string(p, task_id);
    tw_pickle_string(p, "sample_idx");
    tw_pickle_int(p, sample_idx);
    tw_pickle_string(p, "activation");
    tw_pickle_begin_array(p, TW_DTYPE_F32, 2, shape);
    return pickle_status(chunk, err);
}

trawl_status tw_chunk_rows(struct tw_chunk *chunk, const void *stored, size_t n, struct trawl_error *err)
{
    const struct tw_layout *layout = chunk->layout;
    size_t bytes                   = n * layout->sites[chunk->site].width * tw_dtype_bytes(layout->dtype);
    if (layout->format == TW_STORE_PKL) {
        tw_pickle_array_data(&chunk->pickle, stored, bytes);
        return pickle_status(chunk, err);
    }
    return tw_atomic_file_write(&chunk->file, stored, bytes, err);
}

trawl_status tw_chunk_end_request(struct tw_chunk *chunk, size_t n_rows, struct trawl_error *err)
{
    struct tw_pickle *p = &chunk->pickle;
    if (chunk->layout->format != TW_STORE_PKL) {
        return TRAWL_OK;
    }
    tw_pickle_string(p, "shape");
    tw_pickle_begin_tuple(p);
    tw_pickle_int(p, (int64_t)n_rows);
    tw_pickle_int(p, (int64_t)chunk->layout->sites[chunk->site].width);
    tw_pickle_end_tuple(p);
    tw_pickle_end_dict(p);
    return pickle_status(chunk, err);
}

/* ---- closing ---- */

static size_t filler_bytes(size_t activation_bytes)
{
    return (8 - activation_bytes % 8) % 8;
}

/* Tensors in file order. A row of an odd width could leave the columns unaligned for their dtypes, and the
 * format allows no gaps: a tensor called "padding" fills it. */
static size_t list_tensors(const struct tw_chunk *chunk, size_t n_rows, struct tw_header_tensor *out)
{
    const struct tw_layout *layout = chunk->layout;
    size_t width                   = layout->sites[chunk->site].width;
    size_t filler                  = filler_bytes(n_rows * width * tw_dtype_bytes(layout->dtype));
    size_t n                       = 0;
    out[n++] = (struct tw_header_tensor){"activation", layout->dtype, {n_rows, width}, 2};
    if (filler > 0) {
        out[n++] = (struct tw_header_tensor){"padding", TW_DTYPE_U8, {filler}, 1};
    }
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        if (tw_column_present(c, layout->columns)) {
            const struct tw_column_info *info = tw_column_info(c);
            out[n++] = (struct tw_header_tensor){info->name, info->dtype, {n_rows}, 1};
        }
    }
    return n;
}

static trawl_status write_header(struct tw_chunk *chunk, size_t n_rows, const char *run_hash,
                                 struct trawl_error *err)
{
    const struct tw_layout *layout = chunk->layout;
    struct tw_header_tensor tensors[TW_COLUMNS + 2];
    struct tw_str header;
    char number[24];
    char shard[32];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)chunk->number);
    (void)snprintf(shard, sizeof shard, "%u of %u", layout->shard, layout->n_shards);
    const struct tw_setting metadata[] = {{"format", "pt"},
                                          {"site", layout->sites[chunk->site].name},
                                          {"chunk", number},
                                          {"shard", shard},
                                          {"run_hash", run_hash}};
    tw_str_init(&header, 0);
    trawl_status status = tw_header_build(&header, tensors, list_tensors(chunk, n_rows, tensors), metadata,
                                          sizeof metadata / sizeof metadata[0], TW_CHUNK_HEADER_BYTES, err);
    if (status == TRAWL_OK) {
        /* The file's buffer holds bytes that belong behind the header, wherever the two are flushed from. */
        ssize_t done = pwrite(chunk->file.fd, header.data, header.size, 0);
        if (done != (ssize_t)header.size) {
            status = tw_fail_os(err, done < 0 ? errno : ENOSPC, "%s", chunk->file.tmp);
        }
    }
    tw_str_release(&header);
    return status;
}

static trawl_status end_safetensors(struct tw_chunk *chunk, const struct tw_columns *columns,
                                    const char *run_hash, struct trawl_error *err)
{
    static const uint8_t zeros[8]  = {0};
    const struct tw_layout *layout = chunk->layout;
    size_t n                       = columns->n_rows;
    size_t bytes                   = n * layout->sites[chunk->site].width * tw_dtype_bytes(layout->dtype);
    TW_TRY(tw_atomic_file_write(&chunk->file, zeros, filler_bytes(bytes), err));
    for (enum tw_column c = 0; c < TW_COLUMNS; c++) {
        if (tw_column_present(c, layout->columns)) {
            TW_TRY(tw_atomic_file_write(&chunk->file, columns->data[c],
                                        n * tw_dtype_bytes(tw_column_info(c)->dtype), err));
        }
    }
    return write_header(chunk, n, run_hash, err);
}

trawl_status tw_chunk_close(struct tw_chunk *chunk, const struct tw_columns *columns, const char *run_hash,
                            uint64_t *bytes, uint64_t *xxh3, struct trawl_error *err)
{
    if (chunk->layout->format == TW_STORE_PKL) {
        tw_pickle_end_list(&chunk->pickle);
        TW_TRY(tw_pickle_finish(&chunk->pickle, err));
    } else {
        TW_TRY(end_safetensors(chunk, columns, run_hash, err));
    }
    chunk->open = false; /* a commit that fails abandons */
    TW_TRY(tw_atomic_file_commit(&chunk->file, err));
    return tw_chunk_checksum(chunk->path, bytes, xxh3, err);
}

static trawl_status hash_file(int fd, const char *path, struct tw_hash *hash, uint64_t *bytes,
                              struct trawl_error *err)
{
    uint8_t *buffer     = NULL;
    trawl_status status = TRAWL_OK;
    TW_TRY(tw_alloc(READ_BYTES, 1, &buffer, err));
    for (;;) {
        ssize_t n = read(fd, buffer, READ_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            status = tw_fail_os(err, errno, "%s", path);
        }
        if (n <= 0) {
            break;
        }
        tw_hash_update(hash, buffer, (size_t)n);
        *bytes += (uint64_t)n;
    }
    tw_free(buffer);
    return status;
}

trawl_status tw_chunk_checksum(const char *path, uint64_t *bytes, uint64_t *xxh3, struct trawl_error *err)
{
    struct tw_hash *hash = NULL;
    *bytes               = 0;
    *xxh3                = 0;
    int fd               = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is not waited for */
    if (fd < 0) {
        return tw_fail_os(err, errno, "%s", path);
    }
    trawl_status status = tw_hash_new(&hash, err);
    if (status == TRAWL_OK) {
        status = hash_file(fd, path, hash, bytes, err);
    }
    if (status == TRAWL_OK) {
        *xxh3 = tw_hash_value(hash);
    }
    tw_hash_free(hash);
    (void)close(fd);
    return status;
}
