/* SPDX-License-Identifier: MIT */
/* Command lines against the table: the documented ones word for word, every rule of the grammar, and the
 * sentences that mistakes get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options/args.h"

static trawl_status parse(const struct cli_command *command, struct cli_args **args, struct trawl_error *err,
                          const char *const *words)
{
    size_t n = 0;
    while (words[n]) {
        n++;
    }
    memset(err, 0, sizeof *err);
    return cli_args_parse(command, n, words, args, err);
}

#define WORDS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

static struct cli_args *parse_ok(const struct cli_command *command, const char *const *words)
{
    struct cli_args *args;
    struct trawl_error err;
    if (parse(command, &args, &err, words) != TRAWL_OK) {
        fail_msg("%s: %s", command->name, err.message);
    }
    return args;
}

static void assert_refused(const struct cli_command *command, const char *const *words, const char *message)
{
    struct cli_args *args;
    struct trawl_error err;
    assert_int_equal(parse(command, &args, &err, words), TRAWL_ERR_INVALID);
    assert_null(args);
    assert_string_equal(err.message, message);
}

static void assert_ints(const struct cli_args *args, const char *name, size_t n, const int64_t *expected)
{
    const int64_t *got = NULL;
    assert_int_equal(cli_get_ints(args, name, &got), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got[i], expected[i]);
    }
}

#define INTS(...)                                                         \
    sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]) \
    {                                                                     \
        __VA_ARGS__                                                       \
    }

/* ---- documented command lines ---- */

static void documented_run(void **state)
{
    (void)state;
    struct cli_args *args = parse_ok(
        &cli_arc_run, WORDS("--model_path", "KathirKs/qwen-2.5-0.5b", "--dataset_path",
                            "test_data_small.json", "--output_filepath", "test_outputs/predictions.json",
                            "--activations_dir", "test_activations/run_20250101_000000", "--batch_size", "2",
                            "--n_tasks", "2", "--max_output_tokens", "500", "--predictions_per_task", "2",
                            "--grid_encoder", "GridShapeEncoder(RowNumberEncoder(MinimalGridEncoder()))",
                            "--prompt_version", "output-from-examples-v0", "--extract_activations",
                            "--layers_to_extract", "10", "11", "12", "--mesh_shape", "2", "2"));
    assert_string_equal(cli_get_string(args, "model_path"), "KathirKs/qwen-2.5-0.5b");
    assert_string_equal(cli_get_string(args, "activations_dir"), "test_activations/run_20250101_000000");
    assert_int_equal(cli_get_int(args, "batch_size"), 2);
    assert_int_equal(cli_get_int(args, "n_tasks"), 2);
    assert_int_equal(cli_get_int(args, "max_output_tokens"), 500);
    assert_true(cli_get_flag(args, "extract_activations"));
    assert_ints(args, "layers_to_extract", INTS(10, 11, 12));
    assert_int_equal(cli_get_mesh(args, "mesh_shape").data, 2);
    assert_int_equal(cli_get_mesh(args, "mesh_shape").model, 2);
    assert_string_equal(cli_get_string(args, "dtype"), "bfloat16");
    assert_int_equal(cli_get_int(args, "save_every_n_batches"), 10);
    assert_false(cli_given(args, "dtype"));
    assert_true(cli_given(args, "mesh_shape"));
    cli_args_free(args);
}

/* A backslash before a blank and a comment is a word of one blank for the program. */
static void documented_pod_run(void **state)
{
    (void)state;
    struct cli_args *args =
        parse_ok(&cli_arc_run,
                 WORDS("--model_path", "your-model-path", "--dataset_path", "arc_data/arc_format_train.json",
                       "--output_filepath", "results/submission.json", "--activations_dir",
                       "results/activations", "--batch_size", "8", "--extract_activations",
                       "--layers_to_extract", "0", "11", "23", "--mesh_shape", "8", "8", " "));
    assert_ints(args, "layers_to_extract", INTS(0, 11, 23));
    assert_int_equal(cli_get_mesh(args, "mesh_shape").model, 8);
    cli_args_free(args);
    args = parse_ok(&cli_arc_run,
                    WORDS("--model_path", "m", "--dataset_path", "d", "--mesh_shape", "1", "8", " ",
                          "--upload_to_cloud", "--cloud_bucket", "gs://your-bucket/activations", "--shard_id",
                          "0", "--num_shards", "8", "--resume"));
    assert_true(cli_get_flag(args, "upload_to_cloud"));
    assert_string_equal(cli_get_string(args, "cloud_bucket"), "gs://your-bucket/activations");
    assert_int_equal(cli_get_int(args, "num_shards"), 8);
    assert_true(cli_get_flag(args, "resume"));
    cli_args_free(args);
}

static void documented_others(void **state)
{
    (void)state;
    struct cli_args *args =
        parse_ok(&cli_arc_transform,
                 WORDS("--dataset", "barc0/200k_HEAVY_gpt4o-description-gpt4omini-code_generated_problems",
                       "--output_dir", "./arc_data", "--split", "train", "--max_samples", "10000"));
    assert_int_equal(cli_get_int(args, "max_samples"), 10000);
    cli_args_free(args);

    args = parse_ok(&cli_generate, WORDS("--model_path", "/path/to/weights", "--prompt",
                                         "Explain quantum computing in simple terms", "--max_tokens", "200"));
    assert_string_equal(cli_get_string(args, "prompt"), "Explain quantum computing in simple terms");
    assert_int_equal(cli_get_int(args, "max_tokens"), 200);
    cli_args_free(args);

    args = parse_ok(&cli_generate, WORDS("--model_path", "m", "--dtype", "float32", "--no_realtime"));
    assert_true(cli_get_flag(args, "no_realtime"));
    assert_int_equal(cli_get_int(args, "max_tokens"), 500);
    assert_true(cli_has(args, "prompt"));
    cli_args_free(args);

    args = parse_ok(&cli_bench, WORDS("--model_path", "m", "--threads", "2", "--prompt", "512", "--gen", "64",
                                      "--batch", "1,8,16,32", "--dtype", "bfloat16", "--json"));
    assert_ints(args, "batch", INTS(1, 8, 16, 32));
    assert_true(cli_get_flag(args, "json"));
    cli_args_free(args);

    args = parse_ok(&cli_trace, WORDS("--model_path", "m", "--tokens", "t.json", "--sites",
                                      "blocks.*.hook_resid_post,logits", "--out", "o.safetensors"));
    const char *const *sites = NULL;
    assert_int_equal(cli_get_strings(args, "sites", &sites), 2);
    assert_string_equal(sites[0], "blocks.*.hook_resid_post");
    assert_string_equal(sites[1], "logits");
    cli_args_free(args);

    args = parse_ok(&cli_plan, WORDS("--model_path", "m", "--mesh_shape", "1", "4", "--batch_size", "2",
                                     "--max_model_len", "4096", "--device_memory_gb", "7.5", "--json"));
    assert_true(cli_get_float(args, "device_memory_gb") == 7.5);
    cli_args_free(args);
}

/* ---- grammar ---- */

static void names_and_values(void **state)
{
    (void)state;
    struct cli_args *args =
        parse_ok(&cli_generate, WORDS("--model-path=m", "--max-tokens=7", "-t", "3", "--prompt",
                                      "- a list item", "--top_p=.5", "--n", "2"));
    assert_string_equal(cli_get_string(args, "model_path"), "m");
    assert_int_equal(cli_get_int(args, "max_tokens"), 7);
    assert_int_equal(cli_get_int(args, "threads"), 3);
    assert_int_equal(cli_get_int(args, "n"), 2);
    assert_string_equal(cli_get_string(args, "prompt"), "- a list item");
    assert_true(cli_get_float(args, "top_p") == 0.5);
    assert_int_equal(cli_get_int_or(args, "max_model_len", -1), -1);
    assert_false(cli_has(args, "max_model_len"));
    cli_args_free(args);

    args = parse_ok(&cli_generate, WORDS("--model_path", "m", "--prompt=--seed", "--random_seed", "5",
                                         "--stop", "a,b", "-", "--"));
    assert_string_equal(cli_get_string(args, "prompt"), "--seed");
    assert_int_equal(cli_get_int(args, "seed"), 5);
    const char *const *stop = NULL;
    assert_int_equal(cli_get_strings(args, "stop", &stop), 2);
    assert_string_equal(stop[0], "a,b");
    assert_string_equal(stop[1], "-");
    cli_args_free(args);
}

static void last_one_counts(void **state)
{
    (void)state;
    struct cli_args *args = parse_ok(
        &cli_arc_run, WORDS("--model_path", "a", "--dataset_path", "d", "--layers", "1", "2", "--batch_size",
                            "3", "--layers_to_extract=7,8,9", "--model_path", "b", "--batch_size", "4"));
    assert_string_equal(cli_get_string(args, "model_path"), "b");
    assert_int_equal(cli_get_int(args, "batch_size"), 4);
    assert_ints(args, "layers_to_extract", INTS(7, 8, 9));
    cli_args_free(args);
}

static void flags(void **state)
{
    (void)state;
    static const struct {
        const char *word, *next;
        bool value;
    } cases[] = {{"--extract_activations", NULL, true},        {"--extract_activations=true", NULL, true},
                 {"--extract_activations=False", NULL, false}, {"--extract_activations", "False", false},
                 {"--extract_activations", "True", true},      {"--no_extract_activations", NULL, false},
                 {"--no-extract-activations", NULL, false},    {"--extract-activations=0", NULL, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cli_args *args = parse_ok(
            &cli_arc_run, WORDS("--model_path", "m", "--dataset_path", "d", cases[i].word, cases[i].next));
        assert_int_equal(cli_get_flag(args, "extract_activations"), cases[i].value);
        assert_true(cli_given(args, "extract_activations"));
        cli_args_free(args);
    }
    struct cli_args *args = parse_ok(&cli_tokenize, WORDS("--model_path", "m", "--no_special", "--no_quiet"));
    assert_true(cli_get_flag(args, "no_special"));
    assert_false(cli_get_flag(args, "no_added"));
    assert_false(cli_get_flag(args, "quiet"));
    cli_args_free(args);
    assert_refused(&cli_tokenize, WORDS("--model_path", "m", "--no_quiet=true"),
                   "--no_quiet=true: --no_quiet takes no value");
    assert_refused(&cli_tokenize, WORDS("--model_path", "m", "--quiet=maybe"),
                   "--quiet: \"maybe\" is not true or false");
}

static void bare_values(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        int64_t value;
    } cases[] = {{{"--logprobs"}, 1},   {{"--logprobs", "1"}, 1},           {{"--logprobs", "0"}, 0},
                 {{"--logprobs=0"}, 0}, {{"--logprobs", "--seed", "1"}, 1}, {{"--seed", "1"}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const *w  = cases[i].words;
        struct cli_args *args = parse_ok(&cli_generate, WORDS("--model_path", "m", w[0], w[1], w[2], w[3]));
        assert_int_equal(cli_get_int(args, "logprobs"), cases[i].value);
        cli_args_free(args);
    }
}

static void meshes(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        int data, model;
    } good[] = {{{"2", "4"}, 2, 4},
                {{"2x4"}, 2, 4},
                {{"2,4"}, 2, 4},
                {{"2 4"}, 2, 4},
                {{"16X4"}, 16, 4},
                {{"auto"}, 0, 0},
                {{"1", "1", "--json"}, 1, 1}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *const *w = good[i].words;
        struct cli_args *args =
            parse_ok(&cli_plan, WORDS("--model_path", "m", "--mesh_shape", w[0], w[1], w[2]));
        struct cli_mesh mesh = cli_get_mesh(args, "mesh_shape");
        assert_int_equal(mesh.data, good[i].data);
        assert_int_equal(mesh.model, good[i].model);
        assert_int_equal(mesh.automatic, good[i].data == 0);
        cli_args_free(args);
    }
    static const char *const bad[] = {"2", "0x2", "2x", "-1x2", "2x2x2", "two", "2x99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char expected[160];
        (void)snprintf(
            expected, sizeof expected,
            "--mesh_shape: \"%s\" is not a mesh: two positive integers as \"2 2\" or \"2x2\", or auto",
            bad[i]);
        assert_refused(&cli_plan, WORDS("--model_path", "m", "--mesh_shape", bad[i]), expected);
    }
}

static void help_wins(void **state)
{
    (void)state;
    struct cli_args *args = parse_ok(&cli_generate, WORDS("--nonsense", "-h", "--top_p", "9"));
    assert_true(cli_get_flag(args, "help"));
    cli_args_free(args);
}

/* ---- mistakes ---- */

static void mistakes(void **state)
{
    (void)state;
    const struct cli_command *g = &cli_generate;
    assert_refused(
        g, WORDS("--prompt", "x"),
        "--model_path DIR is missing: model folder in Hugging Face layout, or the id of a repository in "
        "the hub cache");
    assert_refused(g, WORDS("--model_pth", "m"), "unknown option --model_pth, did you mean --model_path?");
    assert_refused(g, WORDS("--model", "m"), "unknown option --model, did you mean --model_path?");
    assert_refused(g, WORDS("--max_token=3"), "unknown option --max_token, did you mean --max_tokens?");
    assert_refused(g, WORDS("--xyzzy"),
                   "unknown option --xyzzy; trawl generate --help lists those there are");
    assert_refused(g, WORDS("-seed", "1"), "unknown option -seed, did you mean --seed?");
    assert_refused(g, WORDS("--model_path"), "--model_path needs a value (DIR)");
    assert_refused(
        g, WORDS("--model_path", "--seed", "1"),
        "--model_path needs a value, found \"--seed\" (a value that begins with dashes: --model_path=VALUE)");
    assert_refused(g, WORDS("--model_path", ""), "--model_path is empty, expected a path");
    assert_refused(g, WORDS("--max_tokens", "many"), "--max_tokens: \"many\" is not an integer");
    assert_refused(g, WORDS("--max_tokens", "1e3"), "--max_tokens: \"1e3\" is not an integer");
    assert_refused(g, WORDS("--max_tokens", "99999999999999999999"),
                   "--max_tokens: \"99999999999999999999\" is not an integer");
    assert_refused(g, WORDS("--max_tokens", "0"), "--max_tokens is 0, expected 1 to 16777216");
    assert_refused(g, WORDS("--top_p", "1.5"), "--top_p is 1.5, expected 0 to 1");
    assert_refused(g, WORDS("--top_p", "nan"), "--top_p: \"nan\" is not a number");
    assert_refused(g, WORDS("--temperature", "1e999"), "--temperature: \"1e999\" is not a number");
    assert_refused(g, WORDS("--dtype", "float16"), "--dtype is \"float16\", expected bfloat16|float32");
    assert_refused(g, WORDS("--tree_leaves", "9"), "--tree_leaves is \"9\", expected 8|16|32");
    assert_refused(g, WORDS("--model_path", "m", "--prompt", "Why", "is"),
                   "unexpected word \"is\"; options begin with --, a text of several words needs quotes");
    assert_refused(g, WORDS("--stop_token_ids", "1", "x"), "--stop_token_ids: \"x\" is not an integer");
    assert_refused(g, WORDS("--stop_token_ids", ","), "--stop_token_ids needs at least one integer");
    assert_refused(&cli_completions, WORDS("bash", "zsh"), "unexpected word \"zsh\"");
    const char *const none[] = {NULL};
    assert_refused(&cli_completions, none, "SHELL is missing: the shell (bash|zsh|fish)");
}

/* Anything may be typed: no crash, and either a value or a sentence. */
static void random_words(void **state)
{
    (void)state;
    static const char *const pool[] = {"--model_path",
                                       "m",
                                       "--prompt",
                                       "--",
                                       "-",
                                       "",
                                       " ",
                                       "--=",
                                       "--stop",
                                       "--json",
                                       "1",
                                       "2x",
                                       "x",
                                       "-h=1",
                                       "--n=",
                                       "--mesh_shape",
                                       "--no_",
                                       "--no",
                                       "-",
                                       "-1",
                                       "=",
                                       "---",
                                       "--tokens",
                                       "true",
                                       "--logprobs",
                                       "--seed",
                                       ",",
                                       "1,",
                                       "-q",
                                       "--stop_token_ids"};
    uint32_t seed                   = 1;
    for (int round = 0; round < 20000; round++) {
        const char *words[12];
        size_t n = 0;
        for (; n < 11; n++) {
            seed     = seed * 1664525u + 1013904223u;
            words[n] = pool[(seed >> 16) % (sizeof pool / sizeof pool[0])];
        }
        struct cli_args *args  = NULL;
        struct trawl_error err = {0};
        size_t used            = (size_t)round % 12;
        if (cli_args_parse(&cli_generate, used, words, &args, &err) == TRAWL_OK) {
            assert_non_null(args);
        } else {
            assert_null(args);
            assert_true(err.message[0] != '\0');
        }
        cli_args_free(args);
    }
}

/* ---- distances ---- */

static size_t slow_distance(const char *a, size_t na, const char *b, size_t nb)
{
    if (na == 0 || nb == 0) {
        return na + nb;
    }
    size_t best  = slow_distance(a + 1, na - 1, b + 1, nb - 1) + (*a != *b);
    size_t other = slow_distance(a + 1, na - 1, b, nb) + 1;
    best         = other < best ? other : best;
    other        = slow_distance(a, na, b + 1, nb - 1) + 1;
    best         = other < best ? other : best;
    if (na > 1 && nb > 1 && a[0] == b[1] && a[1] == b[0]) {
        other = slow_distance(a + 2, na - 2, b + 2, nb - 2) + 1;
        best  = other < best ? other : best;
    }
    return best;
}

static void distances(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 500; round++) {
        char a[6], b[6];
        size_t na = (size_t)round % 6, nb = (size_t)(round / 6) % 6;
        for (size_t i = 0; i < 6; i++) {
            seed = seed * 1664525u + 1013904223u;
            a[i] = (char)('a' + (seed >> 20) % 3);
            b[i] = (char)('a' + (seed >> 24) % 3);
        }
        assert_int_equal(cli_edit_distance(a, na, b, nb), slow_distance(a, na, b, nb));
    }
    assert_int_equal(cli_edit_distance("mesh-shape", 10, "mesh_shape", 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_run),    cmocka_unit_test(documented_pod_run),
        cmocka_unit_test(documented_others), cmocka_unit_test(names_and_values),
        cmocka_unit_test(last_one_counts),   cmocka_unit_test(flags),
        cmocka_unit_test(bare_values),       cmocka_unit_test(meshes),
        cmocka_unit_test(help_wins),         cmocka_unit_test(mistakes),
        cmocka_unit_test(random_words),      cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests_name("cli args", tests, NULL, NULL);
}
