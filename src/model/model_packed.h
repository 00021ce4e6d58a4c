/* SPDX-License-Identifier: MIT */
/* Packed weights on disk. One file, `weights.trawl`, holds every weight in the layout that the kernels read,
 * so starting is mapping: no packing, no copy, and all processes of a host share the pages. Panels do not
 * depend on the mesh (a rank touches its own ranges), so one file serves every mesh.
 *
 *     header (128 bytes) | table (192 bytes a weight) | weights in the order of the list | embedding rows
 *
 * Matrices and the embedding begin at multiples of 4096 bytes, vectors at multiples of 64. Numbers are little endian, panels are bf16 or f32 [N/16][K/2][16][2], vectors f32 in packed column
 * order, embedding rows row-major. The header names the layout version and byte order, and holds an XXH3 of
 * itself with the table; each table entry holds one of its weight. */
#ifndef TW_MODEL_PACKED_H
#define TW_MODEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "model/model_list.h"

#define TW_PACKED_FILE "weights.trawl"

enum {
    TW_PACKED_VERSION      = 1, /* raised whenever an old file would be read wrongly */
    TW_PACKED_PAGE         = 4096,
    TW_PACKED_LINE         = 64,
    TW_PACKED_WEIGHTS_MAX  = 1 << 17,
    TW_PACKED_HEADER_BYTES = 128,
    TW_PACKED_ENTRY_BYTES  = 192
};

enum tw_packed_flags {
    TW_PACKED_EXACT      = 1, /* header: panels hold the checkpoint's values, nothing was rounded */
    TW_PACKED_NOT_FINITE = 1  /* entry: has an infinity or a NaN */
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
    uint8_t reserved[48];
};

/* Is `folder` packed? False when there is no packed file. A packed file older than the checkpoint beside it
 * is TRAWL_ERR_FORMAT: it may hold other weights. */
trawl_status tw_packed_present(const char *folder, bool *out, struct trawl_error *err);

/* Map the packed file of model->folder and point the weights of `list` into it. Reads header and table only
 * and checks them; the weights' bytes are checked by tw_packed_verify. The model's config, compute type and
 * layers are set. errors: FORMAT: another layout version, byte order or model, truncated, damaged;
 * UNSUPPORTED: packed for another dtype. */
trawl_status tw_packed_open(struct tw_model *model, const struct tw_weight_list *list,
                            const struct tw_log *log, struct trawl_error *err);

/* Check everything of header and table that can be checked without the model; `what` names the bytes. For
 * tw_packed_open and fuzzing. On success *header is a copy, entries lie behind it in `data`. */
trawl_status tw_packed_check(const uint8_t *data, size_t size, const char *what,
                             struct tw_packed_header *header, struct trawl_error *err);
struct tw_packed_entry tw_packed_entry_at(const uint8_t *data, size_t i);
/* The head_hash that `data` should have: header and table of head_bytes bytes. */
uint64_t tw_packed_head_hash(const uint8_t *data, size_t head_bytes);
uint64_t tw_packed_config_hash(const struct tw_model_config *c);

/* Recompute the checksum of every weight of `folder`'s packed file: TRAWL_ERR_FORMAT names the first that
 * differs. Reads the whole file with `n_threads` threads. *bytes (may be NULL): how much that was. */
trawl_status tw_packed_verify(const char *folder, int n_threads, uint64_t *bytes, struct trawl_error *err);

/* ---- writing ---- */

struct tw_packed_job {
    const char *folder;     /* checkpoint: config.json and safetensors */
    const char *output_dir; /* made when it is not there; may be `folder` */
    enum tw_dtype compute;  /* BF16, or F32: no rounding */
    int n_threads;
    const struct tw_log *log;
    /* Called now and then with bytes written and in all; false: stop, TRAWL_ERR_CANCELLED. May be NULL. */
    bool (*on_tick)(void *user, uint64_t done, uint64_t total);
    void *user;
};

struct tw_packed_result {
    uint64_t file_bytes, fingerprint;
    enum tw_dtype weight;
    bool exact; /* either dtype can be run from the file */
};

/* Pack a checkpoint piece by piece: memory in use is bounded (about 72 MiB and the vectors) whatever the size
 * of the model, and pages of the checkpoint are given back behind it. The file appears whole or not at all;
 * config.json, generation_config.json and the tokenizer's files are copied before, so that `output_dir` is a
 * model folder of its own. */
trawl_status tw_packed_write(const struct tw_packed_job *job, struct tw_packed_result *out,
                             struct trawl_error *err);

#endif /* TW_MODEL_PACKED_H */
