/* SPDX-License-Identifier: MIT */
#include "model/model_site.h"
#include "support/test.h"

enum { SITES = 256, LAYERS = 5 };

static const struct tw_model_config config = {
    .n_layers = LAYERS, .hidden = 64, .intermediate = 40, .n_heads = 4, .n_kv_heads = 2, .head_dim = 24};

/* "#" stands for the layer. */
static const struct {
    const char *name;
    enum tw_site_kind kind;
    size_t width;
} spellings[] = {
    {"hook_embed", TW_SITE_EMBED, 64},
    {"embed_tokens", TW_SITE_EMBED, 64},
    {"model.embed_tokens", TW_SITE_EMBED, 64},
    {"blocks.#.hook_resid_pre", TW_SITE_RESID_PRE, 64},
    {"blocks.#.hook_in", TW_SITE_RESID_PRE, 64},
    {"blocks.#.hook_resid_mid", TW_SITE_RESID_MID, 64},
    {"blocks.#.hook_resid_post", TW_SITE_RESID_POST, 64},
    {"blocks.#.hook_out", TW_SITE_RESID_POST, 64},
    {"model.layers.#", TW_SITE_RESID_POST, 64},
    {"layers.#", TW_SITE_RESID_POST, 64},
    {"layer_#", TW_SITE_RESID_POST, 64},
    {"blocks.#.hook_attn_out", TW_SITE_ATTN_OUT, 64},
    {"model.layers.#.self_attn", TW_SITE_ATTN_OUT, 64},
    {"layers.#.self_attn", TW_SITE_ATTN_OUT, 64},
    {"blocks.#.hook_mlp_out", TW_SITE_MLP_OUT, 64},
    {"model.layers.#.mlp", TW_SITE_MLP_OUT, 64},
    {"layers.#.mlp", TW_SITE_MLP_OUT, 64},
    {"blocks.#.attn.hook_q", TW_SITE_Q, 96},
    {"model.layers.#.self_attn.q_proj", TW_SITE_Q, 96},
    {"layers.#.self_attn.q_proj", TW_SITE_Q, 96},
    {"blocks.#.attn.hook_k", TW_SITE_K, 48},
    {"model.layers.#.self_attn.k_proj", TW_SITE_K, 48},
    {"layers.#.self_attn.k_proj", TW_SITE_K, 48},
    {"blocks.#.attn.hook_v", TW_SITE_V, 48},
    {"model.layers.#.self_attn.v_proj", TW_SITE_V, 48},
    {"layers.#.self_attn.v_proj", TW_SITE_V, 48},
    {"blocks.#.attn.hook_z", TW_SITE_Z, 96},
    {"blocks.#.mlp.hook_pre", TW_SITE_MLP_PRE, 40},
    {"model.layers.#.mlp.gate_proj", TW_SITE_MLP_PRE, 40},
    {"layers.#.mlp.gate_proj", TW_SITE_MLP_PRE, 40},
    {"blocks.#.mlp.hook_pre_linear", TW_SITE_MLP_PRE_LINEAR, 40},
    {"model.layers.#.mlp.up_proj", TW_SITE_MLP_PRE_LINEAR, 40},
    {"layers.#.mlp.up_proj", TW_SITE_MLP_PRE_LINEAR, 40},
    {"blocks.#.mlp.hook_post", TW_SITE_MLP_POST, 40},
    {"ln_final.hook_normalized", TW_SITE_FINAL_NORM, 64},
    {"model.norm", TW_SITE_FINAL_NORM, 64},
    {"norm", TW_SITE_FINAL_NORM, 64},
};

enum { SPELLINGS = sizeof spellings / sizeof spellings[0] };

/* `name` with its '#' replaced; false: it has none. */
static bool with_layers(const char *name, const char *layers, char *out, size_t size)
{
    const char *mark = strchr(name, '#');
    int head         = mark == NULL ? (int)strlen(name) : (int)(mark - name);
    (void)snprintf(out, size, "%.*s%s%s", head, name, mark == NULL ? "" : layers,
                   mark == NULL ? "" : mark + 1);
    return mark != NULL;
}

static void test_every_spelling(void **state)
{
    bool seen[TW_SITE_KINDS] = {false};
    (void)state;
    for (size_t i = 0; i < SPELLINGS; i++) {
        struct tw_site sites[SITES];
        struct trawl_error err;
        size_t n = 0;
        char name[128];
        bool layered = with_layers(spellings[i].name, "3", name, sizeof name);
        assert_ok(tw_site_parse(name, &config, sites, SITES, &n, &err));
        assert_int_equal(n, 1);
        assert_int_equal(sites[0].kind, spellings[i].kind);
        assert_int_equal(sites[0].layer, layered ? 3 : 0);
        assert_int_equal(tw_site_width(sites[0], &config), spellings[i].width);
        seen[sites[0].kind] = true;
    }
    for (size_t i = 0; i < TW_SITE_KINDS; i++) {
        assert_true(seen[i]);
    }
}

static void test_names_survive_a_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPELLINGS; i++) {
        struct tw_site one[1], again[1];
        struct trawl_error err;
        size_t n = 0, m = 0;
        char name[128], canonical[TW_SITE_NAME_BYTES];
        (void)with_layers(spellings[i].name, "4", name, sizeof name);
        assert_ok(tw_site_parse(name, &config, one, 1, &n, &err));
        tw_site_name(one[0], canonical);
        assert_true(strncmp(canonical, "hook_", 5) == 0 || strncmp(canonical, "blocks.4.", 9) == 0 ||
                    strcmp(canonical, "ln_final.hook_normalized") == 0);
        assert_ok(tw_site_parse(canonical, &config, again, 1, &m, &err));
        assert_true(again[0].kind == one[0].kind && again[0].layer == one[0].layer);
    }
    /* 4096 layers is the most a config may have: the longest name fits. */
    char name[TW_SITE_NAME_BYTES];
    tw_site_name((struct tw_site){TW_SITE_MLP_PRE_LINEAR, 4095}, name);
    assert_string_equal(name, "blocks.4095.mlp.hook_pre_linear");
}

static void test_layer_lists_are_sorted_and_taken_once(void **state)
{
    struct tw_site sites[SITES];
    struct trawl_error err;
    size_t n = 0;
    (void)state;
    assert_ok(tw_site_parse("blocks.[4,0,2,0].hook_resid_post", &config, sites, SITES, &n, &err));
    assert_true(n == 3 && sites[0].layer == 0 && sites[1].layer == 2 && sites[2].layer == 4);
    assert_ok(tw_site_parse("layer_2", &config, sites, SITES, &n, &err)); /* the same site by another name */
    assert_int_equal(n, 3);
    assert_ok(tw_site_parse("layers.*", &config, sites, SITES, &n, &err)); /* the two that were missing */
    assert_int_equal(n, LAYERS);
    assert_ok(tw_site_parse("blocks.*.attn.hook_q", &config, sites, SITES, &n, &err));
    assert_int_equal(n, 2 * LAYERS);
    assert_ok(tw_site_parse("layer_[1]", &config, sites, SITES, &n, &err));
    assert_int_equal(n, 2 * LAYERS);
}

static void test_what_is_no_site_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "*",
                                        "blocks",
                                        "blocks.",
                                        "blocks.1",
                                        "blocks.1.",
                                        "blocks.x.hook_resid_post",
                                        "blocks.-1.hook_resid_post",
                                        "blocks.+1.hook_resid_post",
                                        "blocks. 1.hook_resid_post",
                                        "blocks.1.hook_resid_pos",
                                        "blocks.1.hook_resid_post ",
                                        "blocks.1.hook_resid_postt",
                                        "blocks.[].hook_resid_post",
                                        "blocks.[1.hook_resid_post",
                                        "blocks.[1,].hook_resid_post",
                                        "blocks.[1 ,2].hook_resid_post",
                                        "blocks.[*].hook_resid_post",
                                        "blocks.**.hook_resid_post",
                                        "layer_",
                                        "layer_1x",
                                        "layer_0x1",
                                        "Hook_embed",
                                        "hook_embed.0",
                                        "logits",
                                        "model.layers.1.self_attn.o_proj",
                                        "ln_final",
                                        "blocks.#.hook_out"};
    struct tw_site sites[SITES];
    struct trawl_error err;
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char words[128];
        (void)snprintf(words, sizeof words,
                       "\"%s\" is no site; sites are hook_embed, blocks.{i}.hook_resid_pre|mid|post",
                       wrong[i]);
        assert_refused(tw_site_parse(wrong[i], &config, sites, SITES, &n, &err), TRAWL_ERR_INVALID, words);
        assert_int_equal(n, 0);
    }
}

static void test_layers_out_of_range_are_named(void **state)
{
    struct tw_site sites[SITES];
    struct trawl_error err;
    size_t n = 0;
    (void)state;
    assert_refused(tw_site_parse("layer_5", &config, sites, SITES, &n, &err), TRAWL_ERR_INVALID,
                   "site \"layer_5\": layer 5 of a model with 5 layers (0 to 4)");
    assert_refused(tw_site_parse("blocks.[1,77,2].hook_out", &config, sites, SITES, &n, &err),
                   TRAWL_ERR_INVALID, "layer 77 of a model with 5 layers");
    assert_refused(tw_site_parse("layer_99999999999999999999999", &config, sites, SITES, &n, &err),
                   TRAWL_ERR_INVALID, "of a model with 5 layers");
    assert_int_equal(n, 0);
}

static void test_the_capacity_is_a_limit(void **state)
{
    struct tw_site sites[3];
    struct trawl_error err;
    size_t n = 0;
    (void)state;
    assert_refused(tw_site_parse("layers.*", &config, sites, 3, &n, &err), TRAWL_ERR_LIMIT,
                   "more than 3 sites");
    assert_int_equal(n, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_spelling),
        cmocka_unit_test(test_names_survive_a_round_trip),
        cmocka_unit_test(test_layer_lists_are_sorted_and_taken_once),
        cmocka_unit_test(test_what_is_no_site_is_refused),
        cmocka_unit_test(test_layers_out_of_range_are_named),
        cmocka_unit_test(test_the_capacity_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
