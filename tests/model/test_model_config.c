/* SPDX-License-Identifier: MIT */
/* config.json: what is read, what is assumed, what is refused and in which words. */
#include <math.h>

#include "base/file.h"
#include "kernels/kernels.h"
#include "model/model_config.h"
#include "support/test.h"

/* The smallest config: what has no default, and model_type. */
#define BASE                                                                                           \
    "\"model_type\": \"qwen2\", \"vocab_size\": 100, \"hidden_size\": 64, \"intermediate_size\": 32, " \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4"

static trawl_status parse(struct tw_model_config *c, const char *text, struct trawl_error *err)
{
    return tw_model_config_parse(c, text, strlen(text), "config.json", err);
}

static void test_defaults_are_the_library_s(void **state)
{
    struct tw_model_config c;
    struct trawl_error err;
    (void)state;
    assert_ok(parse(&c, "{" BASE "}", &err));
    assert_int_equal(c.family, TW_FAMILY_QWEN2);
    assert_string_equal(c.architecture, "Qwen2ForCausalLM");
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.head_dim, 16);
    assert_int_equal(c.max_positions, 32768);
    assert_true(c.rms_eps == 1e-6 && c.rope_theta == 10000.0);
    assert_int_equal(c.rope_scaling, TW_ROPE_PLAIN);
    assert_true(!c.tied && c.qkv_bias && !c.o_bias && !c.qk_norm);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.n_eos, 0);
}

static void test_families_differ_in_biases_and_norms(void **state)
{
    struct tw_model_config c;
    struct trawl_error err;
    (void)state;
    const char *rest =
        ", \"vocab_size\": 100, \"hidden_size\": 64, \"intermediate_size\": 32, \"num_hidden_layers\": 2, "
        "\"num_attention_heads\": 4, \"attention_bias\": true}";
    char text[512];
    (void)snprintf(text, sizeof text, "{\"model_type\": \"llama\"%s", rest);
    assert_ok(parse(&c, text, &err));
    assert_true(c.qkv_bias && c.o_bias && !c.qk_norm);
    assert_int_equal(c.max_positions, 2048);
    (void)snprintf(text, sizeof text, "{\"model_type\": \"qwen3\"%s", rest);
    assert_ok(parse(&c, text, &err));
    assert_true(c.qkv_bias && c.o_bias && c.qk_norm);
    assert_int_equal(c.head_dim, 128);
    (void)snprintf(text, sizeof text, "{\"architectures\": [\"LlamaForCausalLM\"]%s", rest);
    assert_ok(parse(&c, text, &err));
    assert_string_equal(tw_family_name(c.family), "llama");
    (void)snprintf(text, sizeof text, "{\"model_type\": \"qwen2\"%s", rest);
    assert_ok(parse(&c, text, &err));
    assert_true(c.qkv_bias && !c.o_bias);
}

static void test_null_counts_as_missing(void **state)
{
    struct tw_model_config c;
    struct trawl_error err;
    (void)state;
    assert_ok(
        parse(&c,
              "{" BASE
              ", \"head_dim\": null, \"rope_scaling\": null, \"eos_token_id\": null, \"bos_token_id\": null, "
              "\"quantization_config\": null, \"sliding_window\": null, \"layer_types\": null}",
              &err));
    assert_int_equal(c.head_dim, 16);
    assert_refused(parse(&c, "{\"model_type\": \"qwen2\", \"vocab_size\": null}", &err), TRAWL_ERR_FORMAT,
                   "config.json: \"vocab_size\" is missing");
}

static void test_the_newer_dialect_says_the_same(void **state)
{
    struct tw_model_config old, new;
    struct trawl_error err;
    (void)state;
    assert_ok(parse(&old,
                    "{" BASE
                    ", \"torch_dtype\": \"bfloat16\", \"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": "
                    "\"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                    "\"original_max_position_embeddings\": 64}}",
                    &err));
    assert_ok(parse(&new,
                    "{" BASE
                    ", \"dtype\": \"bfloat16\", \"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": "
                    "\"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                    "\"original_max_position_embeddings\": 64}, \"layer_types\": [\"full_attention\", "
                    "\"full_attention\"]}",
                    &err));
    assert_true(old.rope_scaling == new.rope_scaling &&old.rope_theta == new.rope_theta);
    assert_true(old.rope_factor == new.rope_factor &&old.rope_low_freq == new.rope_low_freq);
    assert_true(old.rope_high_freq == new.rope_high_freq);
    assert_true(old.rope_original_positions == new.rope_original_positions);
    assert_int_equal(new.rope_scaling, TW_ROPE_LLAMA3);
    assert_true(new.rope_theta == 5e5 && new.rope_factor == 8 && new.rope_original_positions == 64);
    assert_ok(parse(&new, "{" BASE ", \"rope_scaling\": {\"type\": \"default\", \"rope_theta\": 7}}", &err));
    assert_true(new.rope_scaling == TW_ROPE_PLAIN &&new.rope_theta == 7);
}

static void test_end_tokens(void **state)
{
    struct scratch *s = *state;
    struct tw_model_config c;
    struct trawl_error err;
    assert_ok(parse(&c, "{" BASE ", \"eos_token_id\": 7, \"bos_token_id\": 3}", &err));
    assert_true(c.n_eos == 1 && c.eos[0] == 7 && c.bos == 3);
    assert_ok(parse(&c, "{" BASE ", \"eos_token_id\": [7, 9, 7]}", &err));
    assert_true(c.n_eos == 2 && c.eos[0] == 7 && c.eos[1] == 9);
    assert_refused(parse(&c, "{" BASE ", \"eos_token_id\": \"</s>\"}", &err), TRAWL_ERR_FORMAT,
                   "config.json: \"eos_token_id\" holds a string, expected token ids");
    assert_refused(parse(&c, "{" BASE ", \"eos_token_id\": [1, -2]}", &err), TRAWL_ERR_FORMAT,
                   "expected token ids");
    assert_refused(
        parse(&c, "{" BASE ", \"eos_token_id\": [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", &err),
        TRAWL_ERR_LIMIT, "more than 16 end tokens");

    static const char config[]     = "{" BASE ", \"eos_token_id\": 7}",
                      generation[] = "{\"eos_token_id\": [8, 7]}";
    assert_ok(tw_file_replace(scratch_path(s, "config.json"), config, sizeof config - 1, &err));
    assert_ok(
        tw_file_replace(scratch_path(s, "generation_config.json"), generation, sizeof generation - 1, &err));
    assert_ok(tw_model_config_read(&c, s->dir, &err));
    assert_true(c.n_eos == 2 && c.eos[0] == 7 && c.eos[1] == 8);
    assert_ok(
        tw_file_replace(scratch_path(s, "generation_config.json"), "{\"eos_token_id\": 1.5}", 21, &err));
    assert_refused(tw_model_config_read(&c, s->dir, &err), TRAWL_ERR_FORMAT,
                   "generation_config.json: \"eos_token_id\" holds a number");
}

static void test_a_folder_without_a_model_is_named(void **state)
{
    struct scratch *s = *state;
    struct tw_model_config c;
    struct trawl_error err;
    assert_refused(tw_model_config_read(&c, scratch_path(s, "nowhere"), &err), TRAWL_ERR_IO,
                   "nowhere: no such folder; expected a Hugging Face model folder");
    assert_refused(tw_model_config_read(&c, s->dir, &err), TRAWL_ERR_IO, "no config.json; expected");
}

static const struct {
    const char *more; /* behind BASE, or a whole object when it begins with '{' */
    trawl_status status;
    const char *words;
} refusals[] = {
    {"[1]", TRAWL_ERR_FORMAT, "config.json: holds an array, expected an object"},
    {"{", TRAWL_ERR_FORMAT, "config.json: not JSON at line 1"},
    {"{}", TRAWL_ERR_UNSUPPORTED,
     "model type \"\" (architecture \"\") is not supported; trawl runs Qwen2ForCausalLM"},
    {"{\"model_type\": \"mixtral\"}", TRAWL_ERR_UNSUPPORTED, "model type \"mixtral\""},
    {"{\"model_type\": 3}", TRAWL_ERR_FORMAT, "\"model_type\" is an integer, expected a string"},
    {"{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForSequenceClassification\"]}",
     TRAWL_ERR_UNSUPPORTED, "architecture \"Qwen2ForSequenceClassification\""},
    {"{\"model_type\": \"qwen2\", \"architectures\": \"Qwen2ForCausalLM\"}", TRAWL_ERR_FORMAT,
     "\"architectures\" is a string, expected an array"},
    {"{\"model_type\": \"llama\"}", TRAWL_ERR_FORMAT, "config.json: \"vocab_size\" is missing"},
    {"{\"model_type\": \"llama\", \"vocab_size\": \"100\"}", TRAWL_ERR_FORMAT,
     "config.json: \"vocab_size\" is a string, expected an integer"},
    {"{\"model_type\": \"llama\", \"vocab_size\": 0}", TRAWL_ERR_FORMAT,
     "\"vocab_size\" is 0, expected 1 to 16777216"},
    {"{\"model_type\": \"llama\", \"vocab_size\": -5}", TRAWL_ERR_FORMAT,
     "\"vocab_size\" is -5, expected 1 to"},
    {"{\"model_type\": \"llama\", \"vocab_size\": 9223372036854775807}", TRAWL_ERR_FORMAT,
     "expected 1 to 16777216"},
    {"{\"model_type\": \"llama\", \"vocab_size\": 9, \"hidden_size\": 1e3}", TRAWL_ERR_FORMAT,
     "\"hidden_size\" is a number, expected an integer"},
    {", \"num_key_value_heads\": 3", TRAWL_ERR_FORMAT,
     "num_attention_heads 4 is not a multiple of num_key_value_heads 3"},
    {", \"head_dim\": 15", TRAWL_ERR_UNSUPPORTED, "head_dim is 15, expected an even number"},
    {", \"head_dim\": 258", TRAWL_ERR_FORMAT, "\"head_dim\" is 258, expected 1 to 256"},
    {", \"max_position_embeddings\": 0", TRAWL_ERR_FORMAT, "\"max_position_embeddings\" is 0"},
    {", \"rms_norm_eps\": 0", TRAWL_ERR_FORMAT, "\"rms_norm_eps\" is 0, expected a positive number"},
    {", \"rope_theta\": -1", TRAWL_ERR_FORMAT, "\"rope_theta\" is -1, expected a positive number"},
    {", \"rope_theta\": \"1e6\"", TRAWL_ERR_FORMAT, "\"rope_theta\" is a string, expected a number"},
    {", \"rope_scaling\": {\"type\": \"longrope\", \"factor\": 2}", TRAWL_ERR_UNSUPPORTED,
     "rope scaling \"longrope\" is not supported; trawl knows \"default\", \"linear\", \"dynamic\", "
     "\"llama3\" "
     "and \"yarn\""},
    {", \"rope_scaling\": {\"type\": \"linear\"}", TRAWL_ERR_FORMAT, "\"factor\" is 0, expected a positive"},
    {", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 1e9}", TRAWL_ERR_FORMAT,
     "rope factor 1e+09 makes a context of 3.2768e+13 tokens, limit 16777216"},
    {", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4, \"rope_theta\": 1}", TRAWL_ERR_FORMAT,
     "\"rope_theta\" is 1, yarn expects more than 1"},
    {", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 7}}", TRAWL_ERR_UNSUPPORTED,
     "rope_parameters has an object \"full_attention\""},
    {", \"rope_parameters\": {\"partial_rotary_factor\": 0.5}", TRAWL_ERR_UNSUPPORTED,
     "partial_rotary_factor is 0.5, only 1 is supported"},
    {", \"rope_scaling\": 2", TRAWL_ERR_FORMAT, "\"rope_scaling\" is an integer, expected an object"},
    {", \"rope_scaling\": {\"rope_type\": \"llama3\"}", TRAWL_ERR_FORMAT,
     "\"factor\" is 0, expected a positive number"},
    {", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
     "\"high_freq_factor\": 4}",
     TRAWL_ERR_FORMAT, "high_freq_factor 4 is not above low_freq_factor 4"},
    {", \"hidden_act\": \"gelu\"", TRAWL_ERR_UNSUPPORTED,
     "hidden_act \"gelu\" is not supported, only \"silu\""},
    {", \"layer_types\": [\"full_attention\", \"sliding_attention\"]", TRAWL_ERR_UNSUPPORTED,
     "use_sliding_window false with layers of sliding attention is not supported"},
    {", \"layer_types\": [\"full_attention\", \"chunked_attention\"]", TRAWL_ERR_UNSUPPORTED,
     "layer_types[1] is \"chunked_attention\", expected \"full_attention\" or \"sliding_attention\""},
    {", \"layer_types\": [1, 2]", TRAWL_ERR_UNSUPPORTED, "layer_types[0] is \"an integer\""},
    {", \"layer_types\": [\"full_attention\"]", TRAWL_ERR_FORMAT,
     "layer_types has 1 names, num_hidden_layers is 2"},
    {", \"partial_rotary_factor\": 0.5", TRAWL_ERR_UNSUPPORTED,
     "partial_rotary_factor is 0.5, only 1 is supported"},
    {", \"quantization_config\": {\"quant_method\": \"gptq\"}", TRAWL_ERR_UNSUPPORTED,
     "the checkpoint is quantised"},
    {", \"pretraining_tp\": 2", TRAWL_ERR_UNSUPPORTED, "pretraining_tp is 2, only 1 is supported"},
    {", \"mlp_bias\": true", TRAWL_ERR_UNSUPPORTED, "mlp_bias is true"},
    {", \"tie_word_embeddings\": \"yes\"", TRAWL_ERR_FORMAT,
     "\"tie_word_embeddings\" is a string, expected a boolean"},
    {", \"vocab_size\": 3", TRAWL_ERR_FORMAT, "not JSON"}, /* a key given twice */
};

static void test_refusals_say_what_was_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct tw_model_config c;
        struct trawl_error err;
        char text[1024];
        bool whole = refusals[i].more[0] != ',';
        (void)snprintf(text, sizeof text, whole ? "%s%s" : "{%s%s}", whole ? "" : BASE, refusals[i].more);
        assert_refused(parse(&c, text, &err), refusals[i].status, refusals[i].words);
    }
    struct tw_model_config c;
    struct trawl_error err;
    assert_refused(
        parse(&c,
              "{\"model_type\": \"llama\", \"vocab_size\": 9, \"hidden_size\": 8, \"intermediate_size\": 8, "
              "\"num_hidden_layers\": 1, \"num_attention_heads\": 9}",
              &err),
        TRAWL_ERR_FORMAT, "hidden_size 8 is less than num_attention_heads 9");
}

/* Older and newer spellings in one file: transformers takes the older dictionary, and the original context from
 * beside it. */
static void test_of_two_ropes_the_older_one_counts(void **state)
{
    struct tw_model_config c;
    struct trawl_error err;
    (void)state;
    const char *llama3 =
        "{" BASE ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
        "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}, "
        "\"original_max_position_embeddings\": 32, "
        "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 77}}";
    assert_ok(parse(&c, llama3, &err));
    assert_int_equal(c.rope_scaling, TW_ROPE_LLAMA3);
    assert_true(c.rope_original_positions == 32 && c.rope_theta == 10000);
    assert_ok(parse(&c, "{" BASE ", \"rope_scaling\": {}, \"rope_parameters\": {\"rope_theta\": 77}}", &err));
    assert_true(c.rope_theta == 77);
}

static void test_scaling_stretches_the_context(void **state)
{
    static const struct {
        const char *more;
        size_t positions;
        enum tw_rope_scaling scaling;
        double magnitude;
    } cases[] = {
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}", 131072, TW_ROPE_LINEAR, 1},
        {"\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}", 32768, TW_ROPE_PLAIN, 1},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", 131072, TW_ROPE_YARN, 1.1386294361119891},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 4096}",
         32768, TW_ROPE_YARN, 1.1386294361119891},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": null, \"original_max_position_embeddings\": "
         "8192}",
         32768, TW_ROPE_YARN, 1.1386294361119891},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 1}", 32768, TW_ROPE_YARN, 1},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 1.5}", 131072,
         TW_ROPE_YARN, 1.5},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"mscale\": 0.7, \"mscale_all_dim\": 1.2}",
         131072, TW_ROPE_YARN, 1.0970406052783924 / 1.1663553233343869},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tw_model_config c;
        struct trawl_error err;
        char text[512];
        (void)snprintf(text, sizeof text, "{%s, %s}", BASE, cases[i].more);
        assert_ok(parse(&c, text, &err));
        assert_int_equal(c.max_positions, cases[i].positions);
        assert_int_equal(c.rope_scaling, cases[i].scaling);
        assert_true(fabs(c.rope_magnitude - cases[i].magnitude) < 1e-15);
    }
}

/* Layers that slide see everything in a context no longer than their window: that is what is offered. */
static void test_a_sliding_window_limits_the_context(void **state)
{
    static const struct {
        const char *family, *more;
        size_t positions, window;
    } cases[] = {
        {"mistral", "", 4096, 4096},
        {"mistral", ", \"sliding_window\": null", 131072, 0},
        {"mistral", ", \"sliding_window\": 512", 512, 512},
        {"mistral", ", \"sliding_window\": 4096, \"max_position_embeddings\": 2048", 2048, 4096},
        {"qwen2", ", \"sliding_window\": 512", 32768, 0},
        {"qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 512, \"max_window_layers\": 1", 512,
         512},
        {"qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 512, \"max_window_layers\": 2", 32768,
         0},
        {"qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 512", 32768, 0},
        {"qwen2", ", \"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 0", 32768,
         0},
        {"qwen3",
         ", \"use_sliding_window\": true, \"sliding_window\": 512, \"max_window_layers\": 9, "
         "\"layer_types\": "
         "[\"full_attention\", \"sliding_attention\"]",
         512, 512},
        {"qwen3",
         ", \"use_sliding_window\": true, \"sliding_window\": 512, \"max_window_layers\": 0, "
         "\"layer_types\": "
         "[\"full_attention\", \"full_attention\"]",
         32768, 0},
        {"llama", ", \"sliding_window\": 512", 2048, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tw_model_config c;
        struct trawl_error err;
        char text[512];
        (void)snprintf(
            text, sizeof text,
            "{\"model_type\": \"%s\", \"vocab_size\": 100, \"hidden_size\": 64, \"intermediate_size\": "
            "32, \"num_hidden_layers\": 2, \"num_attention_heads\": 8%s}",
            cases[i].family, cases[i].more);
        assert_ok(parse(&c, text, &err));
        assert_int_equal(c.max_positions, cases[i].positions);
        assert_int_equal(c.window, cases[i].window);
    }
}

static void test_mistral_is_llama_with_other_defaults(void **state)
{
    static const char base[] =
        "\"model_type\": \"mistral\", \"vocab_size\": 100, \"hidden_size\": 64, "
        "\"intermediate_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 16";
    struct tw_model_config c;
    struct trawl_error err;
    char text[512];
    (void)state;
    (void)snprintf(text, sizeof text, "{%s, \"attention_bias\": true}", base);
    assert_ok(parse(&c, text, &err));
    assert_string_equal(c.architecture, "MistralForCausalLM");
    assert_true(!c.qkv_bias && !c.o_bias && !c.qk_norm); /* it has no such key: transformers ignores it */
    assert_int_equal(c.n_kv_heads, 8);
    (void)snprintf(text, sizeof text, "{%s, \"num_key_value_heads\": null, \"head_dim\": 24}", base);
    assert_ok(parse(&c, text, &err));
    assert_int_equal(c.n_kv_heads, 16);
    assert_int_equal(c.head_dim, 24);
}

/* ---- rotary frequencies ---- */

/* Hugging Face's formulas in long double: theta^(-2i/d), and with llama3 by wavelengths. */
static long double frequency(const struct tw_model_config *c, size_t i)
{
    long double f = powl((long double)c->rope_theta, -2.0L * (long double)i / (long double)c->head_dim);
    if (c->rope_scaling == TW_ROPE_PLAIN || c->rope_scaling == TW_ROPE_LINEAR) {
        return c->rope_scaling == TW_ROPE_PLAIN ? f : f / (long double)c->rope_factor;
    }
    long double wavelength = 2 * 3.141592653589793238462643383279502884L / f,
                original   = (long double)c->rope_original_positions;
    if (wavelength > original / (long double)c->rope_low_freq) {
        return f / (long double)c->rope_factor;
    }
    if (wavelength < original / (long double)c->rope_high_freq) {
        return f;
    }
    long double smooth = (original / wavelength - (long double)c->rope_low_freq) /
                         ((long double)c->rope_high_freq - (long double)c->rope_low_freq);
    return (1 - smooth) * f / (long double)c->rope_factor + smooth * f;
}

/* YaRN's formula, by the number of turns a pair makes over the original context. */
static long double yarn_frequency(const struct tw_model_config *c, size_t i)
{
    const long double two_pi = 6.283185307179586476925286766559005768L;
    long double d = (long double)c->head_dim, theta = (long double)c->rope_theta;
    long double f = powl(theta, -2.0L * (long double)i / d), edge[2];
    for (int k = 0; k < 2; k++) {
        long double turns = (long double)(k == 0 ? c->rope_beta_fast : c->rope_beta_slow);
        edge[k] = d * logl((long double)c->rope_original_positions / (turns * two_pi)) / (2 * logl(theta));
        edge[k] = !c->rope_truncate ? edge[k] : k == 0 ? floorl(edge[k]) : ceill(edge[k]);
    }
    edge[0]            = edge[0] < 0 ? 0 : edge[0];
    edge[1]            = edge[1] > d - 1 ? d - 1 : edge[1];
    long double width  = edge[1] - edge[0] == 0 ? 0.001L : edge[1] - edge[0];
    long double slowly = ((long double)i - edge[0]) / width;
    slowly             = slowly < 0 ? 0 : slowly > 1 ? 1 : slowly;
    return f * (1 - slowly) + f / (long double)c->rope_factor * slowly;
}

static void check_frequencies(const struct tw_model_config *c, int *bands)
{
    double f[TW_MAX_HEAD_DIM / 2];
    tw_model_config_rope(c, f);
    for (size_t i = 0; i < c->head_dim / 2; i++) {
        long double want = c->rope_scaling == TW_ROPE_YARN ? yarn_frequency(c, i) : frequency(c, i);
        long double plain =
            powl((long double)c->rope_theta, -2.0L * (long double)i / (long double)c->head_dim);
        if (fabsl((long double)f[i] - want) > 4e-16L * want) {
            fail_msg("frequency %zu is %.17g, expected %.21Lg", i, f[i], want);
        }
        long double ratio = want / plain;
        bands[ratio > 0.9999L ? 0 : ratio < 1.0001L / (long double)c->rope_factor ? 2 : 1]++;
    }
}

static void test_rope_frequencies(void **state)
{
    struct tw_model_config c = {.head_dim = 128, .rope_theta = 1e6};
    int bands[3]             = {0};
    (void)state;
    check_frequencies(&c, bands);
    c = (struct tw_model_config){.head_dim = 2, .rope_theta = 10000};
    check_frequencies(&c, bands);
    memset(bands, 0, sizeof bands);
    c = (struct tw_model_config){.head_dim                = 64,
                                 .rope_theta              = 5e5,
                                 .rope_scaling            = TW_ROPE_LLAMA3,
                                 .rope_factor             = 32,
                                 .rope_low_freq           = 1,
                                 .rope_high_freq          = 4,
                                 .rope_original_positions = 8192};
    check_frequencies(&c, bands);
    assert_true(bands[0] > 0 && bands[1] > 0 &&
                bands[2] > 0); /* kept, blended and stretched ones were seen */
    memset(bands, 0, sizeof bands);
    c = (struct tw_model_config){
        .head_dim = 128, .rope_theta = 1e4, .rope_scaling = TW_ROPE_LINEAR, .rope_factor = 4};
    check_frequencies(&c, bands);
    assert_true(bands[0] == 0 && bands[1] == 0 && bands[2] == 64);
    memset(bands, 0, sizeof bands);
    c = (struct tw_model_config){.head_dim                = 128,
                                 .rope_theta              = 1e6,
                                 .rope_scaling            = TW_ROPE_YARN,
                                 .rope_factor             = 4,
                                 .rope_beta_fast          = 32,
                                 .rope_beta_slow          = 1,
                                 .rope_truncate           = true,
                                 .rope_original_positions = 32768};
    check_frequencies(&c, bands);
    assert_true(bands[0] > 0 && bands[1] > 0 && bands[2] > 0);
    c.rope_truncate = false;
    check_frequencies(&c, bands);
    c.rope_beta_fast = c.rope_beta_slow = 3; /* no ramp at all */
    check_frequencies(&c, bands);
}

/* ---- sizes of released models ---- */

static void check_parameters(const char *text, uint64_t parameters)
{
    struct tw_model_config c;
    struct trawl_error err;
    assert_ok(parse(&c, text, &err));
    assert_int_equal(tw_model_config_parameters(&c), parameters);
}

static void test_parameter_counts_of_released_models(void **state)
{
    (void)state;
    check_parameters("{\"model_type\": \"qwen2\", \"vocab_size\": 151936, \"hidden_size\": 896, "
                     "\"intermediate_size\": 4864, "
                     "\"num_hidden_layers\": 24, \"num_attention_heads\": 14, \"num_key_value_heads\": 2, "
                     "\"tie_word_embeddings\": true}",
                     494032768);
    check_parameters("{\"model_type\": \"qwen2\", \"vocab_size\": 152064, \"hidden_size\": 3584, "
                     "\"intermediate_size\": 18944, "
                     "\"num_hidden_layers\": 28, \"num_attention_heads\": 28, \"num_key_value_heads\": 4, "
                     "\"tie_word_embeddings\": false}",
                     7615616512);
    check_parameters("{\"model_type\": \"llama\", \"vocab_size\": 128256, \"hidden_size\": 2048, "
                     "\"intermediate_size\": 8192, "
                     "\"num_hidden_layers\": 16, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, "
                     "\"head_dim\": 64, "
                     "\"tie_word_embeddings\": true}",
                     1235814400);
    check_parameters("{\"model_type\": \"llama\", \"vocab_size\": 49152, \"hidden_size\": 576, "
                     "\"intermediate_size\": 1536, "
                     "\"num_hidden_layers\": 30, \"num_attention_heads\": 9, \"num_key_value_heads\": 3, "
                     "\"tie_word_embeddings\": true}",
                     134515008);
    check_parameters("{\"model_type\": \"qwen3\", \"vocab_size\": 151936, \"hidden_size\": 1024, "
                     "\"intermediate_size\": 3072, "
                     "\"num_hidden_layers\": 28, \"num_attention_heads\": 16, \"num_key_value_heads\": 8, "
                     "\"head_dim\": 128, "
                     "\"tie_word_embeddings\": true}",
                     596049920);
}

static void test_the_mesh_gets_the_same_numbers(void **state)
{
    struct tw_model_config c;
    struct trawl_error err;
    (void)state;
    assert_ok(parse(
        &c, "{" BASE ", \"num_key_value_heads\": 2, \"head_dim\": 24, \"tie_word_embeddings\": true}", &err));
    struct tw_mesh_model m = tw_model_config_mesh(&c, 16);
    assert_true(m.hidden == 64 && m.n_q_heads == 4 && m.n_kv_heads == 2 && m.head_dim == 24 &&
                m.intermediate == 32);
    assert_true(m.vocab == 100 && m.n_layers == 2 && m.tied && m.qkv_bias && !m.qk_norm &&
                m.tree_leaves == 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_library_s),
        cmocka_unit_test(test_families_differ_in_biases_and_norms),
        cmocka_unit_test(test_null_counts_as_missing),
        cmocka_unit_test(test_the_newer_dialect_says_the_same),
        scratch_test(test_end_tokens),
        scratch_test(test_a_folder_without_a_model_is_named),
        cmocka_unit_test(test_refusals_say_what_was_found),
        cmocka_unit_test(test_of_two_ropes_the_older_one_counts),
        cmocka_unit_test(test_scaling_stretches_the_context),
        cmocka_unit_test(test_a_sliding_window_limits_the_context),
        cmocka_unit_test(test_mistral_is_llama_with_other_defaults),
        cmocka_unit_test(test_rope_frequencies),
        cmocka_unit_test(test_parameter_counts_of_released_models),
        cmocka_unit_test(test_the_mesh_gets_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
