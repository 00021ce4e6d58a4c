/* SPDX-License-Identifier: MIT */
/* Packed weights on disk. One file, `weights.trawl`, holds every weight in the layout that the kernels read,
 * so starting is mapping: no packing, no copy, and all processes of a host share the pages. Panels do not
 * depend on the mesh (a rank touches its own ranges), so one file serves every mesh.
 *
 *     header (128 bytes) | table (192 bytes a weight) | weights in the order of the list | embedding rows
 *
 * Matrices and the embedding begin at multiples of 4096 bytes, vectors at multiples of 64. Numbers are little
 * endian, panels are bf16 or f32 [N/16][K/2][16][2] or compressed bf16 (kernels/kernels_compress.h) followed by
 * their codes, vectors f32 in packed column order, embedding rows row-major. The header names the layout version
 * and byte order, and holds an XXH3 of itself with the table; each table entry holds one of its weight.
 *
 * A compressed matrix, each part at a multiple of 64 bytes from its beginning:
 *
 *     panels | plain groups | upper [panels][16] | first u32 [panels + 1] | group u32 [plain groups]
 *
 * `first` begins with 0 in every matrix. A file without such a matrix has layout version 1, which knew none. */
#ifndef TW_MODEL_PACKED_H
#define TW_MODEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "model/model_list.h"

#define TW_PACKED_FILE "weights.trawl"

enum {
    TW_PACKED_PLAIN        = 1, /* layout version of files without compressed panels, and ... */
    TW_PACKED_VERSION      = 2, /* ... with them; raised whenever an old file would be read wrongly */
    TW_PACKED_PAGE         = 4096,
    TW_PACKED_LINE         = 64,
    TW_PACKED_WEIGHTS_MAX  = 1 << 17,
    TW_PACKED_HEADER_BYTES = 128,
    TW_PACKED_ENTRY_BYTES  = 192
};

enum tw_packed_flags {
    TW_PACKED_EXACT      = 1, /* header: panels hold the checkpoint's values, nothing was rounded */
    TW_PACKED_NOT_FINITE = 1, /* entry: has an infinity or a NaN */
    TW_PACKED_COMPRESSED = 2  /* entry: compressed panels and their codes */
};

/* As on disk. */
struct tw_packed_header {
    char magic[8];       /* "TRAWLPAK" */
    uint32_t byte_order; /* 0x01020304 */
    uint32_t version;
    uint64_t head_hash; /* XXH3 of header and table, this field zero */
    uint64_t head_bytes;
    uint64_t file_bytes;
    uint64_t config_hash; /* of the numbers that shapes follow from */
    uint64_t fingerprint; /* of the checkpoint's weights: struct tw_model */
    uint32_t n_entries;
    uint32_t weight_dtype; /* enum tw_dtype of panels */
    uint32_t flags;
    uint8_t reserved[60];
};

struct tw_packed_entry {
    char name[96];
    uint64_t offset, bytes;
    uint64_t hash;          /* XXH3 of those bytes */
    uint64_t rows, columns; /* of the checkpoint's tensor; columns 0: a vector */
    uint32_t dtype;         /* enum tw_dtype of what is stored */
    uint32_t flags;
    uint64_t panels, plain_groups; /* of compressed panels: how many, and how many groups of them are plain */
    uint8_t reserved[32];
};

/* A weight begins at a multiple of this. */
static inline uint64_t tw_packed_alignment(const struct tw_packed_entry *e)
{
    return e->columns > 0 ? TW_PACKED_PAGE : TW_PACKED_LINE;
}

/* Is `folder` packed? False when there is no packed file. A packed file older than the checkpoint beside it
 * is TRAWL_ERR_FORMAT: it may hold other weights. */
trawl_status tw_packed_present(const char *folder, bool *out, struct trawl_error *err);

/* Map the packed file of model->folder and point the weights of `list` into it. Reads and checks header, table and
 * which groups of compressed panels are plain; the weights' bytes are checked by tw_packed_verify. The model's
 * config, compute type and layers are set. Without `compress` the model must be plain: compressed panels are
 * expanded by `n_threads` threads into memory of the process, and a warning says how much that is. errors:
 * FORMAT: another layout version, byte order or model, truncated, damaged; UNSUPPORTED: packed for another
 * dtype; NOMEM. */
trawl_status tw_packed_open(struct tw_model *model, const struct tw_weight_list *list, bool compress,
                            int n_threads, const struct tw_log *log, struct trawl_error *err);

/* Check everything that tw_packed_open reads and that can be checked without the model; `what` names the bytes,
 * which begin where a u32 may lie. For tw_packed_open and fuzzing. On success *header is a
 * copy, entries lie behind it in `data`, and the codes of compressed ones stay inside. */
trawl_status tw_packed_check(const uint8_t *data, size_t size, const char *what,
                             struct tw_packed_header *header, struct trawl_error *err);
struct tw_packed_entry tw_packed_entry_at(const uint8_t *data, size_t i);
/* The head_hash that `data` should have: header and table of head_bytes bytes. */
uint64_t tw_packed_head_hash(const uint8_t *data, size_t head_bytes);
uint64_t tw_packed_config_hash(const struct tw_model_config *c);

/* What `folder`'s packed file holds; checked like tw_packed_open, but for the model. */
struct tw_packed_info {
    uint64_t file_bytes;
    uint64_t matrix_bytes;    /* of all matrices, compressed ones with their codes */
    uint64_t matrix_elements; /* of the same, counted in panels */
    bool compressed;          /* some are */
};
trawl_status tw_packed_inspect(const char *folder, struct tw_packed_info *out, struct trawl_error *err);

/* Recompute the checksum of every weight of `folder`'s packed file: TRAWL_ERR_FORMAT names the first that
 * differs. Reads the whole file with `n_threads` threads. *bytes (may be NULL): how much that was. */
trawl_status tw_packed_verify(const char *folder, int n_threads, uint64_t *bytes, struct trawl_error *err);

/* ---- writing ---- */

struct tw_packed_job {
    const char *folder;     /* checkpoint: config.json and safetensors */
    const char *output_dir; /* made when it is not there; may be `folder` */
    enum tw_dtype compute;  /* BF16, or F32: no rounding */
    bool compress;          /* bf16 panels, where that makes a matrix smaller */
    size_t buffer_bytes;    /* of panels that are packed at once; 0: 64 MiB */
    int n_threads;
    const struct tw_log *log;
    /* Called now and then with bytes written and the most that it can be in all; false: stop,
     * TRAWL_ERR_CANCELLED. May be NULL. */
    bool (*on_tick)(void *user, uint64_t done, uint64_t total);
    void *user;
};

struct tw_packed_result {
    uint64_t file_bytes, fingerprint;
    enum tw_dtype weight;
    bool exact;          /* either dtype can be run from the file */
    size_t n_compressed; /* matrices */
};

/* Pack a checkpoint piece by piece: memory in use is bounded (buffer_bytes, 8 MiB and the vectors) whatever the size
 * of the model, and pages of the checkpoint are given back behind it. Compressing takes a piece for each thread and
 * the plain groups of one matrix besides, a few hundredths of it when it was trained, and never all of it. The file
 * appears whole or not at all; config.json, generation_config.json and the tokenizer's files are copied before, so
 * that `output_dir` is a model folder of its own. */
trawl_status tw_packed_write(const struct tw_packed_job *job, struct tw_packed_result *out,
                             struct trawl_error *err);

#endif /* TW_MODEL_PACKED_H */
