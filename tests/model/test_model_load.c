/* SPDX-License-Identifier: MIT */
/* Loading: every weight of a checkpoint arrives in its place, unchanged or rounded once, and what is wrong with a
 * checkpoint is named. */
#include "checkpoint_copy.h"
#include "model/model_weights.h"
#include "support/tiny_model.h"

static const struct tw_log silence = {0};

/* ---- weights in their places ---- */

static float value_at(const struct tw_safetensors_tensor *t, size_t i)
{
    uint16_t half;
    float f;
    if (t->dtype == TW_DTYPE_F32) {
        memcpy(&f, t->data + 4 * i, 4);
        return f;
    }
    memcpy(&half, t->data + 2 * i, 2);
    return t->dtype == TW_DTYPE_BF16 ? tw_bf16_to_f32(half) : tw_f16_to_f32(half);
}

/* Element [row, k] of a packed matrix, by the layout that kernels/kernels.h describes. */
static float packed_at(const struct tw_model *m, const struct tw_linear *l, size_t row, size_t k)
{
    size_t in = row % l->group, panel = row / l->group * l->group_panels + in / 16;
    size_t at = (panel * ((l->k + 1) / 2) + k / 2) * 32 + in % 16 * 2 + k % 2;
    return m->weight == TW_DTYPE_F32 ? ((const float *)l->panels)[at]
                                     : tw_bf16_to_f32(((const uint16_t *)l->panels)[at]);
}

static void assert_nothing_but(const struct tw_model *m, const struct tw_linear *l, size_t n_nonzero)
{
    size_t n = tw_linear_panels(l) * ((l->k + 1) / 2) * 32, found = 0;
    for (size_t i = 0; i < n; i++) {
        found += m->weight == TW_DTYPE_F32 ? ((const uint32_t *)l->panels)[i] != 0
                                           : ((const uint16_t *)l->panels)[i] != 0;
    }
    assert_int_equal(found, n_nonzero);
}

static void check_linear(const struct tw_model *m, const struct tw_safetensors *st, const struct tw_linear *l,
                         const char *name)
{
    struct trawl_error err;
    const struct tw_safetensors_tensor *t = NULL, *bias = NULL;
    char full[128];
    size_t n_nonzero = 0;
    (void)snprintf(full, sizeof full, "%s.weight", name);
    assert_ok(tw_safetensors_get(st, full, &t, &err));
    assert_true(l->n == t->shape[0] && l->k == t->shape[1]);
    for (size_t i = 0; i < l->n * l->k; i++) {
        float want = value_at(t, i), got = packed_at(m, l, i / l->k, i % l->k);
        if (m->weight == TW_DTYPE_BF16) {
            want = tw_bf16_to_f32(tw_bf16_from_f32(want));
        }
        if (tw_f32_bits(want) != tw_f32_bits(got)) {
            fail_msg("%s[%zu,%zu] is %.9g, expected %.9g", full, i / l->k, i % l->k, (double)got,
                     (double)want);
        }
        n_nonzero += tw_f32_bits(want) != 0;
    }
    assert_nothing_but(m, l, n_nonzero); /* the rest are zeros: missing columns, the odd input */
    (void)snprintf(full, sizeof full, "%s.bias", name);
    bias = tw_safetensors_find(st, full);
    assert_true((bias == NULL) == (l->bias == NULL));
    for (size_t i = 0; bias != NULL && i < l->n; i++) {
        assert_true(l->bias[i / l->group * l->group_panels * 16 + i % l->group] == value_at(bias, i));
    }
}

static void check_vector(const struct tw_safetensors *st, const float *v, const char *name, size_t n)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(st, name);
    assert_true((t == NULL) == (v == NULL));
    for (size_t i = 0; t != NULL && i < n; i++) {
        assert_true(v[i] == value_at(t, i));
    }
}

static void check_layer(const struct tw_model *m, const struct tw_safetensors *st, size_t layer)
{
    const struct tw_layer *l = &m->layers[layer];
    const struct {
        const struct tw_linear *linear;
        const char *name;
    } linears[] = {{&l->q, "self_attn.q_proj"}, {&l->k, "self_attn.k_proj"}, {&l->v, "self_attn.v_proj"},
                   {&l->o, "self_attn.o_proj"}, {&l->gate, "mlp.gate_proj"}, {&l->up, "mlp.up_proj"},
                   {&l->down, "mlp.down_proj"}};
    char name[128];
    for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++) {
        (void)snprintf(name, sizeof name, "model.layers.%zu.%s", layer, linears[i].name);
        check_linear(m, st, linears[i].linear, name);
    }
#define CHECK(vector, suffix, n)                                                        \
    do {                                                                                \
        (void)snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, suffix); \
        check_vector(st, vector, name, n);                                              \
    } while (0)
    CHECK(l->input_norm, "input_layernorm", m->config.hidden);
    CHECK(l->post_norm, "post_attention_layernorm", m->config.hidden);
    CHECK(l->q_norm, "self_attn.q_norm", m->config.head_dim);
    CHECK(l->k_norm, "self_attn.k_norm", m->config.head_dim);
#undef CHECK
}

static void check_embedding(const struct tw_model *m, const struct tw_safetensors *st)
{
    struct trawl_error err;
    struct tw_kernels k;
    const struct tw_safetensors_tensor *t = NULL;
    float x[128];
    size_t hidden = m->config.hidden;
    assert_ok(tw_kernels_init(&k, NULL, &err));
    assert_ok(tw_safetensors_get(st, "model.embed_tokens.weight", &t, &err));
    for (size_t token = 0; token < m->config.vocab; token++) {
        tw_model_embed(m, &k, (int32_t)token, x);
        for (size_t i = 0; i < hidden; i++) {
            float want = value_at(t, token * hidden + i);
            assert_true(x[i] ==
                        (m->compute == TW_DTYPE_BF16 ? tw_bf16_to_f32(tw_bf16_from_f32(want)) : want));
        }
    }
}

/* Heads of 8, 16, 24 and 40 columns: less than a panel, one, one and a half, two and a half. */
static const struct tiny_model models[] = {
    {"qwen2", 48, 72, 2, 6, 2, 8, 131, true, false, TW_DTYPE_BF16, 1},
    {"llama", 64, 33, 1, 4, 4, 16, 259, false, false, TW_DTYPE_F16, 2},
    {"qwen3", 40, 17, 2, 4, 2, 24, 77, true, false, TW_DTYPE_F32, 3},
    {"qwen2", 56, 104, 1, 3, 1, 40, 50, false, false, TW_DTYPE_F32, 4},
};

static void test_every_weight_is_in_its_place(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char dir[32];
        (void)snprintf(dir, sizeof dir, "m%zu", i);
        const char *path = scratch_path(*state, dir);
        tiny_model_write(path, &models[i]);
        for (int f32 = 0; f32 < 2; f32++) {
            struct trawl_error err;
            struct tw_model *m        = NULL;
            struct tw_safetensors *st = NULL;
            assert_ok(
                tw_model_load(&m, path, f32 ? TW_DTYPE_F32 : TW_DTYPE_BF16, false, 1 + f32, &silence, &err));
            assert_ok(tw_safetensors_open(&st, path, &err));
            assert_int_equal(m->weight,
                             f32 && models[i].dtype != TW_DTYPE_BF16 ? TW_DTYPE_F32 : TW_DTYPE_BF16);
            for (size_t layer = 0; layer < m->config.n_layers; layer++) {
                check_layer(m, st, layer);
            }
            check_linear(m, st, &m->head, models[i].tied ? "model.embed_tokens" : "lm_head");
            check_vector(st, m->final_norm, "model.norm.weight", m->config.hidden);
            check_embedding(m, st);
            tw_safetensors_close(st);
            tw_model_free(m);
        }
    }
}

/* One product of every kind through the panels, against f64. */
static void test_a_matmul_reads_the_panels(void **state)
{
    const char *path = scratch_path(*state, "m");
    tw_float_mode_compute();
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct trawl_error err;
        struct tw_model *m = NULL;
        struct tw_kernels k;
        const struct tw_safetensors_tensor *t = NULL;
        float x[128], rows[256], y[512];
        tiny_model_write(path, &models[i]);
        assert_ok(tw_model_load(&m, path, TW_DTYPE_F32, false, 1, &silence, &err));
        assert_ok(tw_kernels_init(&k, NULL, &err));
        struct tw_safetensors *st = NULL;
        assert_ok(tw_safetensors_open(&st, path, &err));
        assert_ok(tw_safetensors_get(st, "model.layers.0.mlp.gate_proj.weight", &t, &err));
        const struct tw_linear *l = &m->layers[0].gate;
        for (size_t j = 0; j < l->k; j++) {
            x[j] = (float)((double)(j * 7 % 13) / 13 - 0.4);
        }
        k.pack_f32(rows, x, l->k, 1, l->k);
        uint32_t leaf_end   = (uint32_t)l->k;
        struct tw_matmul mm = {.rows         = rows,
                               .m            = 1,
                               .k            = l->k,
                               .w            = l->panels,
                               .panel_stride = tw_panel_elements(l->k),
                               .n            = l->n,
                               .n_leaves     = 1,
                               .leaf_end     = &leaf_end,
                               .y            = y,
                               .ldy          = l->n};
        (m->weight == TW_DTYPE_F32 ? k.matmul_f32_f32 : k.matmul_f32_bf16)(&mm, 0, 1);
        for (size_t n = 0; n < l->n; n++) {
            double sum = 0, size = 0;
            for (size_t j = 0; j < l->k; j++) {
                double term = (double)x[j] * (double)value_at(t, n * l->k + j);
                sum += term;
                size += fabs(term);
            }
            assert_true(fabs((double)y[n] - sum) <= 1e-6 * size);
        }
        tw_safetensors_close(st);
        tw_model_free(m);
    }
}

/* ---- compressed panels ---- */

static void assert_same_panels(const struct tw_linear *want, const struct tw_linear *got)
{
    const size_t words = tw_panel_elements(want->k), group = TW_PLAIN_BYTES / sizeof(uint16_t);
    uint16_t *panel = malloc(words * sizeof *panel);
    assert_non_null(got->codes.upper);
    for (size_t p = 0; p < tw_linear_panels(want); p++) {
        const struct tw_codes *c = &got->codes;
        tw_expand_groups(panel, (const uint8_t *)got->panels + p * tw_compressed_bytes(want->k), 0,
                         want->k / TW_GROUP_INPUTS, c->upper + p * TW_UPPER_BYTES);
        for (uint32_t i = c->first[p]; i < c->first[p + 1]; i++) {
            memcpy(panel + c->group[i] * group, c->plain + (size_t)i * TW_PLAIN_BYTES, TW_PLAIN_BYTES);
        }
        assert_memory_equal((const uint16_t *)want->panels + p * words, panel, words * sizeof *panel);
    }
    free(panel);
}

/* Every panel, whichever threads packed it and whatever computes with it; a layer whose inputs are no whole
 * groups stays plain. */
static void test_compressed_panels_hold_the_same_weights(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct tiny_model shape = tiny_model_default();
        struct tw_model *plain = NULL, *compressed = NULL;
        const enum tw_dtype compute = i % 3 == 2 ? TW_DTYPE_F32 : TW_DTYPE_BF16;
        struct trawl_error err;
        char path[1024];
        shape.hidden       = 32;
        shape.intermediate = i % 2 == 0 ? 88 : 84;
        shape.tied         = i < 2;
        (void)snprintf(path, sizeof path, "%s", scratch_path(*state, i % 2 == 0 ? "even" : "odd"));
        tiny_model_write(path, &shape);
        assert_ok(tw_model_load(&plain, path, compute, false, 2, &silence, &err));
        assert_ok(tw_model_load(&compressed, path, compute, true, 1 + i, &silence, &err));
        assert_null(plain->compression);
        assert_non_null(compressed->compression);
        assert_int_equal(plain->fingerprint, compressed->fingerprint);
        assert_true(tw_model_weights_bytes(compressed) < tw_model_weights_bytes(plain));
        assert_same_panels(&plain->head, &compressed->head);
        for (size_t l = 0; l < plain->config.n_layers; l++) {
            const struct tw_layer *a = &plain->layers[l], *b = &compressed->layers[l];
            assert_same_panels(&a->q, &b->q);
            assert_same_panels(&a->k, &b->k);
            assert_same_panels(&a->v, &b->v);
            assert_same_panels(&a->gate, &b->gate);
            assert_same_panels(&a->up, &b->up);
            if (i % 2 == 0) {
                assert_same_panels(&a->down, &b->down);
            } else {
                assert_null(b->down.codes.upper);
                assert_memory_equal(a->down.panels, b->down.panels,
                                    tw_linear_panels(&a->down) * tw_panel_elements(a->down.k) * 2);
            }
        }
        tw_model_free(plain);
        tw_model_free(compressed);
    }
}

/* ---- the fingerprint ---- */

static uint64_t fingerprint(const char *path, enum tw_dtype compute, int n_threads)
{
    struct trawl_error err;
    struct tw_model *m = NULL;
    assert_ok(tw_model_load(&m, path, compute, false, n_threads, &silence, &err));
    uint64_t f = m->fingerprint;
    tw_model_free(m);
    return f;
}

static void test_the_fingerprint_is_that_of_the_weights(void **state)
{
    static const char *const tensors[] = {"model.embed_tokens.weight",
                                          "lm_head.weight",
                                          "model.norm.weight",
                                          "model.layers.1.self_attn.q_proj.bias",
                                          "model.layers.1.self_attn.k_proj.weight",
                                          "model.layers.0.mlp.down_proj.weight"};
    struct tiny_model m                = tiny_model_default();
    char from[1024], to[1024];
    m.tied = false;
    (void)snprintf(from, sizeof from, "%s", scratch_path(*state, "from"));
    (void)snprintf(to, sizeof to, "%s", scratch_path(*state, "to"));
    tiny_model_write(from, &m);
    uint64_t own = fingerprint(from, TW_DTYPE_BF16, 1);
    assert_int_equal(own, fingerprint(from, TW_DTYPE_BF16, 3));
    assert_int_equal(own, fingerprint(from, TW_DTYPE_F32, 2));
    checkpoint_copy(from, to, 1, NULL);
    assert_int_equal(own, fingerprint(to, TW_DTYPE_BF16, 2));
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        for (size_t byte = 0; byte < 40; byte += 39) {
            struct checkpoint_edit edit = {.tensor = tensors[i], .byte = byte, .xor_with = 1};
            checkpoint_copy(from, to, 1, &edit);
            assert_int_not_equal(own, fingerprint(to, TW_DTYPE_BF16, 2));
        }
    }
    (void)snprintf(to, sizeof to, "%s", scratch_path(*state, "sharded"));
    checkpoint_copy(from, to, 3, NULL);
    assert_int_equal(own, fingerprint(to, TW_DTYPE_BF16, 2));
}

/* ---- what can be wrong ---- */

static void test_bad_checkpoints_are_refused_by_name(void **state)
{
    static const struct {
        struct checkpoint_edit edit;
        trawl_status status;
        const char *words;
    } cases[] = {
        {{.tensor = "model.norm.weight", .drop = true},
         TRAWL_ERR_FORMAT,
         "from2: tensor \"model.norm.weight\" is missing"},
        {{.tensor = "model.embed_tokens.weight", .drop = true},
         TRAWL_ERR_FORMAT,
         "tensor \"model.embed_tokens.weight\" is missing"},
        {{.tensor = "model.layers.1.self_attn.q_proj.bias", .drop = true},
         TRAWL_ERR_FORMAT,
         "\"model.layers.1.self_attn.q_proj.bias\" is missing"},
        {{.tensor = "model.norm.weight", .shape = "[2,24]"},
         TRAWL_ERR_FORMAT,
         "model.safetensors: tensor \"model.norm.weight\" has shape [2,24], expected [48]"},
        {{.tensor = "model.layers.0.mlp.up_proj.weight", .shape = "[48,72]"},
         TRAWL_ERR_FORMAT,
         "tensor \"model.layers.0.mlp.up_proj.weight\" has shape [48,72], expected [72,48]"},
        {{.tensor = "model.layers.0.mlp.up_proj.weight", .shape = "[3456]"},
         TRAWL_ERR_FORMAT,
         "has shape [3456], expected [72,48]"},
        {{.tensor = "model.layers.0.mlp.up_proj.weight", .shape = "[72,96]", .dtype = "F8_E4M3"},
         TRAWL_ERR_FORMAT,
         "has shape [72,96], expected [72,48]"},
        {{.tensor = "model.norm.weight", .dtype = "F8_E5M2"}, /* bytes of such types are not checked */
         TRAWL_ERR_UNSUPPORTED,
         "tensor \"model.norm.weight\" has type F8_E5M2; weights are BF16, F16 or F32"},
        {{.tensor = "model.norm.weight", .dtype = "I16"}, TRAWL_ERR_UNSUPPORTED, "has type I16; weights are"},
    };
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_model *model = NULL;
    char from[1024], to[1024];
    (void)snprintf(from, sizeof from, "%s", scratch_path(*state, "from"));
    (void)snprintf(to, sizeof to, "%s", scratch_path(*state, "from2"));
    tiny_model_write(from, &m);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        checkpoint_copy(from, to, 1, &cases[i].edit);
        assert_refused(tw_model_load(&model, to, TW_DTYPE_BF16, false, 1, &silence, &err), cases[i].status,
                       cases[i].words);
        assert_null(model);
    }
    assert_int_equal(remove(scratch_path(*state, "from2/model.safetensors")), 0);
    assert_int_not_equal(tw_model_load(&model, to, TW_DTYPE_BF16, false, 1, &silence, &err), TRAWL_OK);
}

struct lines {
    char text[4][256];
    size_t n;
};

static void keep_line(void *user, int level, const char *message)
{
    struct lines *l = user;
    assert_int_equal(level, TW_LOG_WARNING);
    assert_true(l->n < 4);
    (void)snprintf(l->text[l->n++], sizeof l->text[0], "%s", message);
}

static void test_weights_that_are_not_finite_are_warned_of_once_a_tensor(void **state)
{
    static const char *const tensors[] = {"model.norm.weight", "model.layers.1.mlp.gate_proj.weight",
                                          "model.embed_tokens.weight", "lm_head.weight"};
    char from[1024], to[1024];
    (void)snprintf(from, sizeof from, "%s", scratch_path(*state, "from"));
    (void)snprintf(to, sizeof to, "%s", scratch_path(*state, "to"));
    for (size_t i = 0; i < 12; i++) {
        static const enum tw_dtype dtypes[] = {TW_DTYPE_BF16, TW_DTYPE_F16, TW_DTYPE_F32};
        struct lines lines                  = {.n = 0};
        struct tw_log log                   = {keep_line, &lines, TW_LOG_WARNING};
        struct trawl_error err;
        struct tw_safetensors *st = NULL;
        struct tw_model *model    = NULL;
        struct tiny_model m       = tiny_model_default();
        m.dtype                   = dtypes[i / 4];
        m.tied                    = false;
        tiny_model_write(from, &m);
        assert_ok(tw_safetensors_open(&st, from, &err));
        const struct tw_safetensors_tensor *t = NULL;
        assert_ok(tw_safetensors_get(st, tensors[i % 4], &t, &err));
        size_t last =
            t->bytes - 1; /* the highest byte of the last value, and what makes its exponent all ones */
        uint8_t was = t->data[last], want = m.dtype == TW_DTYPE_F16 ? 0x7C : 0x7F;
        struct checkpoint_edit edit = {.tensor = tensors[i % 4], .byte = last, .xor_with = was ^ want};
        uint8_t below               = t->data[last - 1];
        tw_safetensors_close(st);
        checkpoint_copy(from, to, 1, &edit);
        if (m.dtype != TW_DTYPE_F16) { /* one more exponent bit lies in the byte below */
            char again[1024];
            (void)snprintf(again, sizeof again, "%s", scratch_path(*state, "again"));
            struct checkpoint_edit more = {
                .tensor = tensors[i % 4], .byte = last - 1, .xor_with = below & 0x80 ? 0 : 0x80};
            checkpoint_copy(to, again, 1, &more);
            assert_ok(tw_model_load(&model, again, TW_DTYPE_F32, false, 2, &log, &err));
        } else {
            assert_ok(tw_model_load(&model, to, TW_DTYPE_F32, false, 2, &log, &err));
        }
        tw_model_free(model);
        char words[128];
        (void)snprintf(words, sizeof words, "model.safetensors: tensor \"%s\" has values that are not finite",
                       tensors[i % 4]);
        assert_int_equal(lines.n, 1);
        assert_non_null(strstr(lines.text[0], words));
    }
}

/* Write `to`'s config.json with `was` replaced by `is`. */
static void edit_config(const char *folder, const char *was, const char *is)
{
    char path[1100], text[2048];
    char *old = NULL;
    size_t n  = 0;
    struct trawl_error err;
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    assert_ok(tw_file_read(path, sizeof text, &old, &n, &err));
    char *at = strstr(old, was);
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - old), old, is, at + strlen(was));
    assert_ok(tw_file_replace(path, text, strlen(text), &err));
    tw_free(old);
}

static void test_a_head_beside_a_tied_embedding_must_be_the_same(void **state)
{
    struct tiny_model m = tiny_model_default();
    struct trawl_error err;
    struct tw_model *model = NULL;
    char from[1024], to[1024];
    (void)snprintf(from, sizeof from, "%s", scratch_path(*state, "untied"));
    (void)snprintf(to, sizeof to, "%s", scratch_path(*state, "headless"));
    m.tied = false;
    tiny_model_write(from, &m);
    edit_config(from, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    assert_refused(
        tw_model_load(&model, from, TW_DTYPE_BF16, false, 1, &silence, &err), TRAWL_ERR_FORMAT,
        "model.safetensors: tensor \"lm_head.weight\" differs from \"model.embed_tokens.weight\", but "
        "tie_word_embeddings is true; set it to false in config.json");
    struct checkpoint_edit edit = {.tensor = "lm_head.weight", .drop = true};
    checkpoint_copy(from, to, 1, &edit);
    assert_ok(tw_model_load(&model, to, TW_DTYPE_BF16, false, 1, &silence, &err));
    tw_model_free(model);
}

static void test_tensors_that_the_model_does_not_use_are_warned_of(void **state)
{
    struct tiny_model m = tiny_model_default();
    struct lines lines  = {.n = 0};
    struct tw_log log   = {keep_line, &lines, TW_LOG_WARNING};
    struct trawl_error err;
    struct tw_model *model = NULL;
    char folder[1024];
    (void)snprintf(folder, sizeof folder, "%s", scratch_path(*state, "biased"));
    tiny_model_write(folder, &m);
    assert_ok(tw_model_load(&model, folder, TW_DTYPE_BF16, false, 1, &log, &err));
    assert_int_equal(lines.n, 0);
    tw_model_free(model);
    edit_config(folder, "\"qwen2\"", "\"llama\"");
    edit_config(folder, "Qwen2ForCausalLM", "LlamaForCausalLM");
    assert_ok(tw_model_load(&model, folder, TW_DTYPE_BF16, false, 1, &log, &err));
    assert_int_equal(lines.n, 1);
    assert_non_null(strstr(lines.text[0], "does not use 6 of the tensors, the first is "
                                          "\"model.layers.0.self_attn.k_proj.bias\""));
    tw_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_every_weight_is_in_its_place),
        scratch_test(test_a_matmul_reads_the_panels),
        scratch_test(test_compressed_panels_hold_the_same_weights),
        scratch_test(test_the_fingerprint_is_that_of_the_weights),
        scratch_test(test_bad_checkpoints_are_refused_by_name),
        scratch_test(test_weights_that_are_not_finite_are_warned_of_once_a_tensor),
        scratch_test(test_a_head_beside_a_tied_embedding_must_be_the_same),
        scratch_test(test_tensors_that_the_model_does_not_use_are_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
