/* SPDX-License-Identifier: MIT */
/* Random models of a few kilobytes in Hugging Face layout, made on the spot. */
#ifndef TRAWL_TESTS_SUPPORT_TINY_MODEL_H
#define TRAWL_TESTS_SUPPORT_TINY_MODEL_H

#include <math.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/philox.h"
#include "formats/formats_safetensors.h"
#include "support/test.h"

struct tiny_model {
    const char *type; /* "qwen2", "llama", "qwen3" */
    size_t hidden, intermediate, n_layers, n_heads, n_kv_heads, head_dim, vocab;
    bool tied, rope_llama3;
    enum tw_dtype dtype; /* of the weights */
    uint64_t seed;
};

static inline struct tiny_model tiny_model_default(void)
{
    return (struct tiny_model){.type         = "qwen2",
                               .hidden       = 48,
                               .intermediate = 72,
                               .n_layers     = 2,
                               .n_heads      = 6,
                               .n_kv_heads   = 2,
                               .head_dim     = 8,
                               .vocab        = 131,
                               .tied         = true,
                               .dtype        = TW_DTYPE_BF16,
                               .seed         = 1};
}

struct tiny_writer {
    struct tw_safetensors_writer *w;
    struct tw_philox_stream random;
    enum tw_dtype dtype;
    bool declaring;
};

/* Sum of four uniforms: near enough to normal, and the same everywhere. */
static inline double tiny_normal(struct tw_philox_stream *s)
{
    double x = 0;
    for (int i = 0; i < 4; i++) {
        x += tw_philox_double(s) - 0.5;
    }
    return x * 1.7;
}

static inline void tiny_tensor(struct tiny_writer *t, const char *name, size_t rows, size_t columns,
                               double mean, double scale)
{
    struct trawl_error err;
    size_t shape[2] = {rows, columns};
    size_t n        = rows * (columns == 0 ? 1 : columns);
    if (t->declaring) {
        assert_ok(tw_safetensors_writer_declare(t->w, name, t->dtype, columns == 0 ? 1 : 2, shape, &err));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float x    = (float)(mean + scale * tiny_normal(&t->random));
        uint16_t b = t->dtype == TW_DTYPE_F16 ? tw_f16_from_f32(x) : tw_bf16_from_f32(x);
        bool is    = t->dtype == TW_DTYPE_F32;
        assert_ok(tw_safetensors_writer_write(t->w, is ? (void *)&x : (void *)&b, is ? 4 : 2, &err));
    }
}

static inline void tiny_layer(struct tiny_writer *t, const struct tiny_model *m, size_t layer)
{
    char name[128];
    size_t q = m->n_heads * m->head_dim, kv = m->n_kv_heads * m->head_dim;
    double e = 0.6 / sqrt((double)m->hidden), z = 0.6 / sqrt((double)q),
           f = 0.6 / sqrt((double)m->intermediate);
#define TINY(suffix, rows, columns, mean, scale)                                 \
    do {                                                                         \
        (void)snprintf(name, sizeof name, "model.layers.%zu.%s", layer, suffix); \
        tiny_tensor(t, name, rows, columns, mean, scale);                        \
    } while (0)
    TINY("input_layernorm.weight", m->hidden, 0, 1, 0.15);
    TINY("self_attn.q_proj.weight", q, m->hidden, 0, 2 * e);
    TINY("self_attn.k_proj.weight", kv, m->hidden, 0, 2 * e);
    TINY("self_attn.v_proj.weight", kv, m->hidden, 0, 2 * e);
    if (strcmp(m->type, "qwen2") == 0) {
        TINY("self_attn.q_proj.bias", q, 0, 0, 0.4);
        TINY("self_attn.k_proj.bias", kv, 0, 0, 0.4);
        TINY("self_attn.v_proj.bias", kv, 0, 0, 0.4);
    }
    if (strcmp(m->type, "qwen3") == 0) {
        TINY("self_attn.q_norm.weight", m->head_dim, 0, 1, 0.15);
        TINY("self_attn.k_norm.weight", m->head_dim, 0, 1, 0.15);
    }
    TINY("self_attn.o_proj.weight", m->hidden, q, 0, z);
    TINY("post_attention_layernorm.weight", m->hidden, 0, 1, 0.15);
    TINY("mlp.gate_proj.weight", m->intermediate, m->hidden, 0, 2 * e);
    TINY("mlp.up_proj.weight", m->intermediate, m->hidden, 0, 2 * e);
    TINY("mlp.down_proj.weight", m->hidden, m->intermediate, 0, f);
#undef TINY
}

static inline void tiny_tensors(struct tiny_writer *t, const struct tiny_model *m)
{
    tiny_tensor(t, "model.embed_tokens.weight", m->vocab, m->hidden, 0, 0.5);
    for (size_t i = 0; i < m->n_layers; i++) {
        tiny_layer(t, m, i);
    }
    tiny_tensor(t, "model.norm.weight", m->hidden, 0, 1, 0.15);
    if (!m->tied) {
        tiny_tensor(t, "lm_head.weight", m->vocab, m->hidden, 0, 0.3);
    }
}

static inline void tiny_config(const char *dir, const struct tiny_model *m)
{
    struct trawl_error err;
    struct tw_str s;
    char *path       = NULL;
    const char *name = strcmp(m->type, "qwen2") == 0   ? "Qwen2ForCausalLM"
                       : strcmp(m->type, "qwen3") == 0 ? "Qwen3ForCausalLM"
                                                       : "LlamaForCausalLM";
    tw_str_init(&s, 0);
    assert_ok(tw_str_printf(
        &s, &err,
        "{\"architectures\": [\"%s\"], \"model_type\": \"%s\", \"vocab_size\": %zu, "
        "\"hidden_size\": %zu, \"intermediate_size\": %zu, \"num_hidden_layers\": %zu, "
        "\"num_attention_heads\": %zu, \"num_key_value_heads\": %zu, \"head_dim\": %zu, "
        "\"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0, "
        "\"tie_word_embeddings\": %s, \"hidden_act\": \"silu\", \"torch_dtype\": \"bfloat16\"%s}",
        name, m->type, m->vocab, m->hidden, m->intermediate, m->n_layers, m->n_heads, m->n_kv_heads,
        m->head_dim, m->tied ? "true" : "false",
        m->rope_llama3 ? ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
                         "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                         "\"original_max_position_embeddings\": 64}"
                       : ""));
    assert_ok(tw_path_join(dir, "config.json", &path, &err));
    assert_ok(tw_file_replace(path, s.data, s.size, &err));
    tw_free(path);
    tw_str_release(&s);
}

/* Write the folder `dir`, made if absent. */
static inline void tiny_model_write(const char *dir, const struct tiny_model *m)
{
    struct trawl_error err;
    struct tw_atomic_file file;
    struct tiny_writer t = {.dtype = m->dtype, .declaring = true};
    char *path           = NULL;
    assert_ok(tw_make_dirs(dir, &err));
    tiny_config(dir, m);
    assert_ok(tw_path_join(dir, "model.safetensors", &path, &err));
    assert_ok(tw_atomic_file_open(&file, path, &err));
    assert_ok(tw_safetensors_writer_new(&t.w, tw_sink_file(&file), &err));
    tiny_tensors(&t, m);
    assert_ok(tw_safetensors_writer_begin(t.w, &err));
    t.declaring = false;
    tw_philox_stream_init(&t.random, m->seed, 0);
    tiny_tensors(&t, m);
    assert_ok(tw_safetensors_writer_finish(t.w, &err));
    tw_safetensors_writer_free(t.w);
    assert_ok(tw_atomic_file_commit(&file, &err));
    tw_free(path);
}

/* Write model i of a test's list into its scratch folder; the path is valid until the next call of scratch_path. */
static inline const char *tiny_model_number(void **state, size_t i, const struct tiny_model *m)
{
    char dir[32];
    (void)snprintf(dir, sizeof dir, "m%zu", i);
    const char *path = scratch_path(*state, dir);
    tiny_model_write(path, m);
    return path;
}

#endif /* TRAWL_TESTS_SUPPORT_TINY_MODEL_H */
