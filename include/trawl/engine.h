/* SPDX-License-Identifier: MIT */
/* A model opened on a mesh of devices. */
#ifndef TRAWL_ENGINE_H
#define TRAWL_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "trawl/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trawl_engine trawl_engine;

/* Precision of the arithmetic. With BFLOAT16 every input of a matrix product is rounded to bfloat16 (nearest
 * even), sums are float32. With FLOAT32 nothing is rounded and weights keep their checkpoint's values. */
enum trawl_dtype {
    TRAWL_DTYPE_BFLOAT16 = 0,
    TRAWL_DTYPE_FLOAT32  = 1,
    TRAWL_DTYPE_FLOAT16  = 2 /* of stored activations only */
};

enum trawl_log_level { TRAWL_LOG_WARNING = 0, TRAWL_LOG_INFO = 1, TRAWL_LOG_DEBUG = 2 };

/* May be called from any thread of the engine; `message` is borrowed, one line without its end. */
typedef void trawl_log_fn(void *user, int level, const char *message);

/* Set by trawl_engine_config_init; change what differs. Nothing here but dtype, kv_dtype and tree_leaves can
 * change a single bit of any result. */
struct trawl_engine_config {
    uint32_t size;             /* sizeof, set by _init: fields may be appended in later versions */
    const char *model_path;    /* Hugging Face folder: config.json, *.safetensors, tokenizer.json */
    int mesh_data, mesh_model; /* replicas x devices of a replica; 1 1 */
    enum trawl_dtype dtype;
    enum trawl_dtype kv_dtype; /* of cached keys and values; as dtype unless kv_dtype_set */
    int kv_dtype_set;
    int threads;           /* per device; 0: cores divided by devices, at least 1 */
    size_t batch_size;     /* sequences in flight per replica; 8 */
    size_t prefill_chunk;  /* prompt tokens per step and replica; 512 */
    int tree_leaves;       /* 8, 16 or 32: leaves of a sum over model ranks; most model ranks; 8 */
    size_t max_model_len;  /* tokens of the longest sequence; 0: the model's context */
    size_t kv_cache_bytes; /* per replica; 0: automatic */
    const char *isa;       /* NULL or "auto", "scalar", "avx2", "avx512", "avx512bf16" */
    trawl_log_fn *log;     /* NULL: silence */
    void *log_user;
    int log_level;
    struct trawl_world
        *world;           /* trawl/world.h: the processes that share the mesh; NULL: this one has all of it */
    int devices_per_rank; /* devices of each process of a world; 1 */
    int prefix_cache;     /* 1: keys and values of a prefix that was computed before are used again; 0: not */
    int compress_weights; /* 1: bfloat16 weights are held without loss in three quarters of their bytes,
                             where kernels take them so (AVX2 and up), whatever the dtype; 0: not. Packed weights (trawl shard) stay as
                             their file has them unless they must be plain. The results are the same. 1 */
    /* Tokens of an answer that are guessed from what stood in its sequence before, and computed in one step, where
     * rows are left over: at most so many a step and sequence, 0 to 64. The results are the same; 0: none. 16 */
    size_t prompt_lookup_num_tokens;
};

TRAWL_API void trawl_engine_config_init(struct trawl_engine_config *config);

/* Read and pack the weights, set up the devices. Strings of `config` are borrowed during the call.
 * errors: IO, FORMAT, UNSUPPORTED name file, tensor or key; INVALID: a setting, or a mesh that the model
 *         cannot be put on (the message names those it can); NOMEM.
 * threads: any; engines are independent of each other. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_engine_open(const struct trawl_engine_config *config,
                                                          trawl_engine **out, struct trawl_error *err);
/* No job and no session of the engine may be open. Sets *engine to NULL; NULL inside is allowed. */
TRAWL_API void trawl_engine_close(trawl_engine **engine);

struct trawl_model_info {
    char architecture[64];
    uint64_t parameters;
    size_t vocab_size, hidden_size, intermediate_size, n_layers, n_heads, n_kv_heads, head_dim;
    size_t context; /* max_model_len in force */
    int mesh_data, mesh_model, threads, tree_leaves;
    enum trawl_dtype dtype, kv_dtype;
    char isa[32];         /* kernels in use */
    int bf16_dot;         /* matrix products run on the bf16 dot instruction */
    char fingerprint[17]; /* of every weight of the checkpoint */
    size_t weight_bytes, kv_bytes,
        buffer_bytes; /* address space; KV pages become resident as they are used */
};

TRAWL_API void trawl_engine_info(const trawl_engine *engine, struct trawl_model_info *info);

/* The mesh and sharding report:
 *   Mesh axes: data=2, model=2
 *   Verifying parameter sharding:
 *     embed_tokens: shape=(151936, 896), sharding=PartitionSpec(None, 'model')
 *     ...
 *   Sharding verification:
 *     Input shape: (rows, columns) ...
 * Checks first that every parameter is covered exactly once. Returned text is freed with trawl_free. */
TRAWL_API TRAWL_MUST_CHECK trawl_status trawl_engine_sharding(const trawl_engine *engine, size_t rows,
                                                              size_t columns, char **text,
                                                              struct trawl_error *err);

TRAWL_API void trawl_free(void *p);

#ifdef __cplusplus
}
#endif

#endif /* TRAWL_ENGINE_H */
