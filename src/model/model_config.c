/* SPDX-License-Identifier: MIT */
#include "model/model_config.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "kernels/kernels.h"
#include "model/model_rope.h"
#include "json/json.h"

enum { SIZE_LIMIT = TW_MODEL_SIZE_LIMIT, LAYER_LIMIT = 1 << 12, HEAD_LIMIT = 1 << 14 };

static const struct {
    const char *model_type;
    const char *architecture;
    enum tw_family family;
} families[] = {
    {"qwen2", "Qwen2ForCausalLM", TW_FAMILY_QWEN2},
    {"llama", "LlamaForCausalLM", TW_FAMILY_LLAMA},
    {"qwen3", "Qwen3ForCausalLM", TW_FAMILY_QWEN3},
    {"mistral", "MistralForCausalLM", TW_FAMILY_MISTRAL},
};

const char *tw_family_name(enum tw_family family)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (families[i].family == family) {
            return families[i].model_type;
        }
    }
    return "unknown";
}

/* A positive integer of at most `limit`; missing leaves *out, which is a default, or 0: required. */
static trawl_status get_size(const json_t *j, const char *key, const char *what, size_t limit, size_t *out,
                             struct trawl_error *err)
{
    int64_t v = (int64_t)*out;
    TW_TRY(tw_json_get_int(j, key, what, &v, err));
    const json_t *given = json_object_get(j, key);
    if (v == 0 && (given == NULL || json_is_null(given))) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is missing", what, key);
    }
    if (v < 1 || (uint64_t)v > limit) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"%s\" is %lld, expected 1 to %zu", what, key,
                       (long long)v, limit);
    }
    *out = (size_t)v;
    return TRAWL_OK;
}

static trawl_status read_family(struct tw_model_config *c, const json_t *j, const char *what,
                                struct trawl_error *err)
{
    const char *type = NULL;
    json_t *archs    = NULL;
    TW_TRY(tw_json_get_string(j, "model_type", what, &type, err));
    TW_TRY(tw_json_get_array(j, "architectures", what, &archs, err));
    const json_t *first = json_array_get(archs, 0);
    const char *arch    = json_string_value(first);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        bool by_type = type != NULL && strcmp(type, families[i].model_type) == 0;
        bool by_arch = arch != NULL && strcmp(arch, families[i].architecture) == 0;
        if ((by_type && (arch == NULL || by_arch)) || (type == NULL && by_arch)) {
            c->family = families[i].family;
            (void)snprintf(c->architecture, sizeof c->architecture, "%s", families[i].architecture);
            return TRAWL_OK;
        }
    }
    return tw_fail(
        err, TRAWL_ERR_UNSUPPORTED,
        "%s: model type \"%s\" (architecture \"%s\") is not supported; trawl runs Qwen2ForCausalLM, "
        "LlamaForCausalLM, Qwen3ForCausalLM and MistralForCausalLM",
        what, type == NULL ? "" : type, arch == NULL ? "" : arch);
}

static trawl_status add_eos(struct tw_model_config *c, const json_t *v, const char *what,
                            struct trawl_error *err)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"eos_token_id\" holds %s, expected token ids", what,
                       tw_json_type_name(v));
    }
    int32_t id = (int32_t)json_integer_value(v);
    for (size_t i = 0; i < c->n_eos; i++) {
        if (c->eos[i] == id) {
            return TRAWL_OK;
        }
    }
    if (c->n_eos == TW_MODEL_EOS_MAX) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: more than %d end tokens", what, TW_MODEL_EOS_MAX);
    }
    c->eos[c->n_eos++] = id;
    return TRAWL_OK;
}

static trawl_status read_eos(struct tw_model_config *c, const json_t *j, const char *what,
                             struct trawl_error *err)
{
    const json_t *v = json_object_get(j, "eos_token_id");
    if (v == NULL || json_is_null(v)) {
        return TRAWL_OK;
    }
    if (!json_is_array(v)) {
        return add_eos(c, v, what, err);
    }
    size_t i;
    json_t *e;
    json_array_foreach(v, i, e)
    {
        TW_TRY(add_eos(c, e, what, err));
    }
    return TRAWL_OK;
}

static trawl_status read_heads(struct tw_model_config *c, const json_t *j, const char *what,
                               struct trawl_error *err)
{
    TW_TRY(get_size(j, "num_attention_heads", what, HEAD_LIMIT, &c->n_heads, err));
    bool given    = json_object_get(j, "num_key_value_heads") != NULL;
    c->n_kv_heads = c->family == TW_FAMILY_MISTRAL && !given ? 8 : c->n_heads;
    TW_TRY(get_size(j, "num_key_value_heads", what, HEAD_LIMIT, &c->n_kv_heads, err));
    if (c->n_heads % c->n_kv_heads != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: num_attention_heads %zu is not a multiple of num_key_value_heads %zu", what,
                       c->n_heads, c->n_kv_heads);
    }
    c->head_dim = c->family == TW_FAMILY_QWEN3 ? 128 : c->hidden / c->n_heads;
    if (c->head_dim == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: hidden_size %zu is less than num_attention_heads %zu",
                       what, c->hidden, c->n_heads);
    }
    TW_TRY(get_size(j, "head_dim", what, TW_MAX_HEAD_DIM, &c->head_dim, err));
    if (c->head_dim % 2 != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: head_dim is %zu, expected an even number", what,
                       c->head_dim);
    }
    return TRAWL_OK;
}

/* Does any layer slide? layer_types of newer files has one name a layer, older files slide from layer
 * max_window_layers on (Qwen) or everywhere (Mistral). */
static trawl_status read_sliding(const struct tw_model_config *c, const json_t *j, const char *what,
                                 bool *sliding, struct trawl_error *err)
{
    json_t *types = NULL, *type;
    size_t i;
    int64_t first = 28;
    TW_TRY(tw_json_get_array(j, "layer_types", what, &types, err));
    TW_TRY(tw_json_get_int(j, "max_window_layers", what, &first, err));
    *sliding = c->family == TW_FAMILY_MISTRAL || (types == NULL && first < (int64_t)c->n_layers);
    if (types != NULL && json_array_size(types) != c->n_layers) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: layer_types has %zu names, num_hidden_layers is %zu", what,
                       json_array_size(types), c->n_layers);
    }
    json_array_foreach(types, i, type)
    {
        const char *name = json_string_value(type);
        bool slides      = name != NULL && strcmp(name, "sliding_attention") == 0;
        if (name == NULL || (!slides && strcmp(name, "full_attention") != 0)) {
            return tw_fail(
                err, TRAWL_ERR_UNSUPPORTED,
                "%s: layer_types[%zu] is \"%s\", expected \"full_attention\" or \"sliding_attention\"", what,
                i, name == NULL ? tw_json_type_name(type) : name);
        }
        *sliding = *sliding || slides;
    }
    return TRAWL_OK;
}

/* Layers that slide see the last `window` tokens only. Within a context of that length they see everything, and
 * longer ones are refused: so the results are the model's. */
static trawl_status read_window(struct tw_model_config *c, const json_t *j, const char *what,
                                struct trawl_error *err)
{
    bool used = c->family == TW_FAMILY_MISTRAL, sliding = false;
    TW_TRY(tw_json_get_bool(j, "use_sliding_window", what, &used, err));
    TW_TRY(read_sliding(c, j, what, &sliding, err));
    const json_t *given = json_object_get(j, "sliding_window");
    if (!sliding || (!used && json_object_get(j, "layer_types") == NULL) || json_is_null(given)) {
        return TRAWL_OK;
    }
    if (c->family == TW_FAMILY_LLAMA || !used) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: %s with layers of sliding attention is not supported",
                       what, c->family == TW_FAMILY_LLAMA ? "a Llama model" : "use_sliding_window false");
    }
    c->window = 4096;
    TW_TRY(get_size(j, "sliding_window", what, SIZE_LIMIT, &c->window, err));
    c->max_positions = c->window < c->max_positions ? c->window : c->max_positions;
    return TRAWL_OK;
}

/* Things a config may ask for that would silently give other numbers if they were ignored. */
static trawl_status refuse_variants(const json_t *j, const char *what, struct trawl_error *err)
{
    const char *act = "silu";
    TW_TRY(tw_json_get_string(j, "hidden_act", what, &act, err));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: hidden_act \"%s\" is not supported, only \"silu\"",
                       what, act);
    }
    json_t *quantization = NULL;
    TW_TRY(tw_json_get_object(j, "quantization_config", what, &quantization, err));
    if (quantization != NULL) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "%s: the checkpoint is quantised (quantization_config); trawl reads bf16, f16 and f32 weights",
            what);
    }
    int64_t tp = 1;
    TW_TRY(tw_json_get_int(j, "pretraining_tp", what, &tp, err));
    if (tp > 1) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: pretraining_tp is %lld, only 1 is supported", what,
                       (long long)tp);
    }
    double rotary = 1;
    TW_TRY(tw_json_get_double(j, "partial_rotary_factor", what, &rotary, err));
    if (rotary < 1 || rotary > 1) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g, only 1 is supported",
                       what, rotary);
    }
    return TRAWL_OK;
}

static trawl_status read_object(struct tw_model_config *c, const json_t *j, const char *what,
                                struct trawl_error *err)
{
    *c = (struct tw_model_config){.bos = -1};
    if (!json_is_object(j)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: holds %s, expected an object", what, tw_json_type_name(j));
    }
    TW_TRY(read_family(c, j, what, err));
    TW_TRY(refuse_variants(j, what, err));
    TW_TRY(get_size(j, "vocab_size", what, SIZE_LIMIT, &c->vocab, err));
    TW_TRY(get_size(j, "hidden_size", what, SIZE_LIMIT, &c->hidden, err));
    TW_TRY(get_size(j, "intermediate_size", what, SIZE_LIMIT, &c->intermediate, err));
    TW_TRY(get_size(j, "num_hidden_layers", what, LAYER_LIMIT, &c->n_layers, err));
    TW_TRY(read_heads(c, j, what, err));
    c->max_positions = c->family == TW_FAMILY_LLAMA ? 2048 : c->family == TW_FAMILY_MISTRAL ? 131072 : 32768;
    TW_TRY(get_size(j, "max_position_embeddings", what, SIZE_LIMIT, &c->max_positions, err));
    c->rms_eps = 1e-6;
    TW_TRY(tw_json_get_positive(j, "rms_norm_eps", what, &c->rms_eps, err));
    TW_TRY(tw_model_config_read_rope(c, j, what, err));
    TW_TRY(read_window(c, j, what, err));
    TW_TRY(tw_json_get_bool(j, "tie_word_embeddings", what, &c->tied, err));
    bool attention_bias = false;
    TW_TRY(tw_json_get_bool(j, "attention_bias", what, &attention_bias, err));
    TW_TRY(tw_json_get_bool(j, "mlp_bias", what, &c->mlp_bias, err));
    attention_bias = attention_bias && c->family != TW_FAMILY_MISTRAL; /* which does not know it */
    c->qkv_bias    = c->family == TW_FAMILY_QWEN2 || attention_bias;
    c->o_bias      = c->family != TW_FAMILY_QWEN2 && attention_bias;
    c->qk_norm     = c->family == TW_FAMILY_QWEN3;
    if (c->mlp_bias) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: mlp_bias is true; no released model of these families has one", what);
    }
    const json_t *bos = json_object_get(j, "bos_token_id");
    if (json_is_integer(bos) && json_integer_value(bos) >= 0 && json_integer_value(bos) <= INT32_MAX) {
        c->bos = (int32_t)json_integer_value(bos);
    }
    return read_eos(c, j, what, err);
}

trawl_status tw_model_config_parse(struct tw_model_config *c, const char *text, size_t n, const char *what,
                                   struct trawl_error *err)
{
    json_t *j = NULL;
    TW_TRY(tw_json_parse(text, n, what, &j, err));
    trawl_status status = read_object(c, j, what, err);
    json_decref(j);
    return status;
}

static trawl_status read_generation(struct tw_model_config *c, const char *path, struct trawl_error *err)
{
    json_t *j = NULL;
    if (!tw_path_exists(path)) {
        return TRAWL_OK;
    }
    TW_TRY(tw_json_parse_file(path, 1 << 20, &j, err));
    trawl_status status = read_eos(c, j, path, err);
    json_decref(j);
    return status;
}

trawl_status tw_model_config_read(struct tw_model_config *c, const char *folder, struct trawl_error *err)
{
    char *path = NULL, *generation = NULL;
    char *text = NULL;
    size_t n   = 0;

    trawl_status status = tw_path_join(folder, "config.json", &path, err);
    if (status == TRAWL_OK && !tw_path_exists(path)) {
        status = tw_fail(err, TRAWL_ERR_IO,
                         tw_path_is_dir(folder) ? "%s: no config.json; expected a Hugging Face model folder"
                                                : "%s: no such folder; expected a Hugging Face model folder",
                         folder);
    }
    if (status == TRAWL_OK) {
        status = tw_file_read(path, 1 << 24, &text, &n, err);
    }
    if (status == TRAWL_OK) {
        status = tw_model_config_parse(c, text, n, path, err);
    }
    if (status == TRAWL_OK) {
        status = tw_path_join(folder, "generation_config.json", &generation, err);
    }
    if (status == TRAWL_OK) {
        status = read_generation(c, generation, err);
    }
    tw_free(text);
    tw_free(generation);
    tw_free(path);
    return status;
}

struct tw_mesh_model tw_model_config_mesh(const struct tw_model_config *c, int tree_leaves)
{
    return (struct tw_mesh_model){
        .hidden       = c->hidden,
        .n_q_heads    = c->n_heads,
        .n_kv_heads   = c->n_kv_heads,
        .head_dim     = c->head_dim,
        .intermediate = c->intermediate,
        .vocab        = c->vocab,
        .n_layers     = c->n_layers,
        .tied         = c->tied,
        .qkv_bias     = c->qkv_bias,
        .qk_norm      = c->qk_norm,
        .tree_leaves  = tree_leaves,
    };
}

uint64_t tw_model_config_parameters(const struct tw_model_config *c)
{
    uint64_t q = (uint64_t)c->n_heads * c->head_dim, kv = (uint64_t)c->n_kv_heads * c->head_dim;
    uint64_t layer = (2 * q + 2 * kv) * c->hidden + 3 * (uint64_t)c->hidden * c->intermediate + 2 * c->hidden;
    layer += c->qkv_bias ? q + 2 * kv : 0;
    layer += c->o_bias ? c->hidden : 0;
    layer += c->qk_norm ? 2 * c->head_dim : 0;
    return layer * c->n_layers + c->hidden + (uint64_t)c->vocab * c->hidden * (c->tied ? 1 : 2);
}
