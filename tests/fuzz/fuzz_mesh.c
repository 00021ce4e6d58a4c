/* SPDX-License-Identifier: MIT */
/* Mesh shapes from the command line, and models and loads whose numbers come from a config.json. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/mesh.h"
#include "mesh/mesh_memory.h"
#include "mesh/mesh_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void shape(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL) {
        return;
    }
    memcpy(text, data, size);
    text[size]          = '\0';
    struct tw_mesh mesh = {0, 0};
    if (tw_mesh_parse(text, &mesh, NULL) == TRAWL_OK &&
        (mesh.data < 1 || mesh.model < 1 || tw_mesh_size(mesh) > TW_MESH_RANKS_MAX)) {
        abort();
    }
    free(text);
}

/* Numbers of up to 64 bits, most of them small: a width byte, then that many bytes. */
static size_t take(const uint8_t **data, size_t *size)
{
    size_t value = 0;
    if (*size > 0) {
        size_t width = **data % 9;
        for (size_t i = 1; i <= width && i < *size; i++) {
            value = value << 8 | (*data)[i];
        }
        size_t used = width + 1 < *size ? width + 1 : *size;
        *data += used;
        *size -= used;
    }
    return value;
}

static void plan(const uint8_t *data, size_t size)
{
    struct tw_mesh_model model = {.hidden       = take(&data, &size),
                                  .n_q_heads    = take(&data, &size),
                                  .n_kv_heads   = take(&data, &size),
                                  .head_dim     = take(&data, &size),
                                  .intermediate = take(&data, &size),
                                  .vocab        = take(&data, &size),
                                  .n_layers     = take(&data, &size),
                                  .tree_leaves  = (int)take(&data, &size)};
    size_t flags               = take(&data, &size);
    model.tied                 = flags & 1;
    model.qkv_bias             = flags >> 1 & 1;
    model.qk_norm              = flags >> 2 & 1;
    model.embedding            = (enum tw_mesh_embedding)((flags >> 3) % 3);
    struct tw_mesh mesh        = {(int)take(&data, &size), (int)take(&data, &size)};
    struct tw_mesh_load load   = {.weight_bytes     = take(&data, &size),
                                  .weight_share     = 1 - (double)((flags >> 9) % 1024) / 1024,
                                  .embed_bytes      = take(&data, &size),
                                  .kv_bytes         = take(&data, &size),
                                  .batch            = take(&data, &size),
                                  .max_len          = take(&data, &size),
                                  .chunk            = take(&data, &size),
                                  .page_tokens      = take(&data, &size),
                                  .extra_logit_rows = take(&data, &size),
                                  .threads          = take(&data, &size),
                                  .thread_bytes     = take(&data, &size),
                                  .kv               = flags >> 8 & 1 ? TW_MESH_KV_SEQUENCE : TW_MESH_KV_HEADS};
    struct tw_mesh_memory memory;
    if (tw_mesh_check(&model, mesh, NULL) != TRAWL_OK) {
        return;
    }
    struct tw_mesh_budget budget = {.device = take(&data, &size)};
    budget.process               = take(&data, &size);
    if (tw_mesh_memory_plan(&model, mesh, &load, &memory, NULL) == TRAWL_OK &&
        (memory.total < memory.weights || memory.total < memory.kv || memory.total < memory.activations)) {
        abort();
    }
    size_t largest = 0;
    if (tw_mesh_largest_batch(&model, mesh, &load, budget, 1000, &largest, NULL) == TRAWL_OK && largest > 0) {
        load.batch = largest;
        if (tw_mesh_memory_plan(&model, mesh, &load, &memory, NULL) != TRAWL_OK ||
            tw_mesh_memory_fits(mesh, &memory, budget, NULL) != TRAWL_OK) {
            abort();
        }
    }
    (void)tw_mesh_suggest(&model, tw_mesh_size(mesh), &load, budget, &mesh, &memory, NULL);
    model.n_layers = model.n_layers % 4 + 1;
    if (tw_mesh_check(&model, mesh, NULL) == TRAWL_OK &&
        tw_mesh_verify(&model, mesh.model, NULL, NULL) != TRAWL_OK) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % 2 == 0) {
        shape(data + 1, size - 1);
    } else if (size > 0) {
        plan(data + 1, size - 1);
    }
    return 0;
}
