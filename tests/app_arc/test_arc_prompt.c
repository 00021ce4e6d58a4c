/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_prompt.h"

#include <openssl/evp.h>

#include "apps/arc/arc_job.h"
#include "arc_test.h"
#include "text/text_chat.h"

/* ---- chat templates, written out ---- */

static void put_turn(struct tw_str *out, const json_t *message, const char *begin, const char *middle,
                     const char *end)
{
    struct trawl_error err;
    const json_t *content = json_object_get(message, "content");
    assert_ok(tw_str_printf(out, &err, "%s%s%s", begin, json_string_value(json_object_get(message, "role")),
                            middle));
    assert_ok(tw_str_append(out, json_string_value(content), json_string_length(content), &err));
    assert_ok(tw_str_puts(out, end, &err));
}

/* `user`: {begin, middle, end, after all}. */
static trawl_status render_turns(void *user, const json_t *messages, struct tw_str *out,
                                 struct trawl_error *err)
{
    const char *const *parts = user;
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message)
    {
        put_turn(out, message, parts[0], parts[1], parts[2]);
    }
    return tw_str_puts(out, parts[3], err);
}

static const char *const CHATML[]    = {"<|im_start|>", "\n", "<|im_end|>\n", ""};
static const struct tw_arc_chat QWEN = {
    .render = render_turns, .user = (void *)CHATML, .eos_token = "<|endoftext|>"};

/* ---- the task of the recorded run ---- */

#define SMALL                                                                                            \
    "{\"test_task_001\": {\"train\": [{\"input\": [[0, 0], [0, 0]], \"output\": [[1, 1], [1, 1]]}, "     \
    "{\"input\": [[0, 0, 0], "                                                                           \
    "[0, 0, 0]], \"output\": [[1, 1, 1], [1, 1, 1]]}], \"test\": [{\"input\": [[0, 0, 0, 0], [0, 0, 0, " \
    "0]]}]}, "                                                                                           \
    "\"test_task_002\": {\"train\": [{\"input\": [[1, 2], [3, 4]], \"output\": [[4, 3], [2, 1]]}], "     \
    "\"test\": [{\"input\": "                                                                            \
    "[[5, 6], [7, 8]]}, {\"input\": [[1]]}]}}"

struct fixture {
    struct tw_arc_dataset ds;
    struct tw_arc_encoder encoder;
    struct tw_arc_prompt *prompt;
    struct tw_str text;
};

static void fixture_open(struct fixture *f, const char *version, const char *dir, const char *encoder)
{
    struct trawl_error err;
    assert_ok(tw_arc_dataset_load_text(&f->ds, "small.json", SMALL, strlen(SMALL), 0, NULL, &err));
    assert_ok(tw_arc_encoder_parse(&f->encoder, encoder, &err));
    assert_ok(tw_arc_prompt_open(&f->prompt, version, dir, &f->encoder, &err));
    tw_str_init(&f->text, 0);
}

static void fixture_close(struct fixture *f)
{
    tw_str_release(&f->text);
    tw_arc_prompt_free(f->prompt);
    tw_arc_dataset_release(&f->ds);
}

static void write_version(const struct scratch *d, const char *name, const char *system, const char *user,
                          const char *assistant)
{
    char path[256], file[128];
    struct trawl_error err;
    assert_ok(tw_make_dirs(path_in(d, name, path), &err));
    (void)snprintf(file, sizeof file, "%s/system.jinja", name);
    put_file(d, file, system);
    (void)snprintf(file, sizeof file, "%s/user.jinja", name);
    put_file(d, file, user);
    (void)snprintf(file, sizeof file, "%s/assistant.jinja", name);
    put_file(d, file, assistant);
}

/* ---- prompts ---- */

static void a_prompt_to_the_byte(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct fixture f;
    struct tw_arc_augment a;
    write_version(
        d, "mine", "Sys {{ x }}\n",
        "{% for s in train_samples %}\n{{ loop.index }}: {{ s.input }} => {{ s.output }}\n{% endfor %}\n? "
        "{{ test_input }}\n",
        "A:\n{{ output }}\n");
    fixture_open(&f, "mine", d->dir, TW_ARC_ENCODER_DEFAULT);
    tw_arc_augment_identity(&a, 2);
    a.color_map[1]   = 6;
    a.color_map[6]   = 1;
    a.train_order[0] = 1;
    a.train_order[1] = 0;
    a.n_rot90        = 1;
    assert_ok(tw_str_puts(&f.text, "kept|", &err));
    assert_ok(tw_arc_prompt_render(f.prompt, &QWEN, &f.ds.tasks[0], 0, &a, &f.text, &err));
    assert_string_equal(
        f.text.data,
        "kept|<|im_start|>system\nSys {{ x }}\n<|im_end|>\n<|im_start|>user\n\n"
        "1: ```grid shape: 3x2\n1 00\n2 00\n3 00\n``` => ```grid shape: 3x2\n1 66\n2 66\n3 66\n```\n\n"
        "2: ```grid shape: 2x2\n1 00\n2 00\n``` => ```grid shape: 2x2\n1 66\n2 66\n```\n\n"
        "? ```grid shape: 4x2\n1 00\n2 00\n3 00\n4 00\n```<|im_end|>\n<|im_start|>assistant\nA:\n```grid");
    assert_int_equal(strlen(f.text.data), f.text.size);
    fixture_close(&f);
}

static void cuts(void **state)
{
    (void)state;
    static const char *const llama[] = {"<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", ""};
    static const char *const phi[]   = {"<|", "|>\n", "<|end|>\n", ""};
    static const char *const plain[] = {"[", "] ", "</s>", ""};
    static const char *const extra[] = {"<|im_start|>", "\n", "<|im_end|>\n", "<|im_start|>tool\n<|im_end|>"};
    static const char *const *ways[] = {llama, phi, plain};
    struct trawl_error err;
    struct fixture f;
    struct tw_arc_augment a;
    fixture_open(&f, "output-from-examples-v1", NULL, TW_ARC_ENCODER_DEFAULT);
    tw_arc_augment_identity(&a, 2);
    for (size_t i = 0; i < 3; i++) {
        struct tw_arc_chat chat = {.render = render_turns, .user = (void *)ways[i], .eos_token = "</s>"};
        tw_str_reset(&f.text);
        assert_ok(tw_arc_prompt_render(f.prompt, &chat, &f.ds.tasks[0], 0, &a, &f.text, &err));
        assert_string_equal(f.text.data + f.text.size - 7, "```grid");
    }
    struct tw_arc_chat none = {.render = render_turns, .user = (void *)plain, .eos_token = NULL};
    assert_refused(
        tw_arc_prompt_render(f.prompt, &none, &f.ds.tasks[0], 0, &a, &f.text, &err), TRAWL_ERR_UNSUPPORTED,
        "the chat template ends no turn with <|eot_id|>, <|im_end|>, <|end|> or the tokenizer's end token "
        "(it names none)");
    struct tw_arc_chat after = {.render = render_turns, .user = (void *)extra, .eos_token = NULL};
    assert_refused(tw_arc_prompt_render(f.prompt, &after, &f.ds.tasks[0], 0, &a, &f.text, &err),
                   TRAWL_ERR_UNSUPPORTED, "last end marker does not follow the assistant's text");
    fixture_close(&f);
}

static void every_version_opens_or_says_why(void **state)
{
    (void)state;
    struct trawl_error err;
    struct tw_arc_encoder encoder;
    struct tw_arc_prompt *p = NULL;
    int n = 0, refused = 0;
    assert_ok(tw_arc_encoder_parse(&encoder, TW_ARC_ENCODER_DEFAULT, &err));
    for (const struct tw_arc_prompt_version *v = tw_arc_prompt_versions(); v->name != NULL; v++, n++) {
        if (v->needs != NULL) {
            assert_refused(tw_arc_prompt_open(&p, v->name, NULL, &encoder, &err), TRAWL_ERR_UNSUPPORTED,
                           v->needs);
            assert_contains(err.message, v->name);
            assert_null(p);
            refused++;
            continue;
        }
        struct fixture f;
        struct tw_arc_augment a;
        fixture_open(&f, v->name, NULL, TW_ARC_ENCODER_DEFAULT);
        tw_arc_augment_identity(&a, 2);
        assert_ok(tw_arc_prompt_render(f.prompt, &QWEN, &f.ds.tasks[0], 0, &a, &f.text, &err));
        assert_string_equal(tw_arc_prompt_opening(f.prompt),
                            v->answer == TW_ARC_ANSWER_GRID ? "```grid" : "```python\n");
        assert_string_equal(f.text.data + f.text.size - strlen(tw_arc_prompt_opening(f.prompt)),
                            tw_arc_prompt_opening(f.prompt));
        assert_contains(f.text.data, "```grid shape: 2x2");
        fixture_close(&f);
    }
    assert_int_equal(n, 11);
    assert_int_equal(refused, 3);
    assert_refused(
        tw_arc_prompt_open(&p, "output-from-examples-v9", NULL, &encoder, &err), TRAWL_ERR_INVALID,
        "unknown prompt version \"output-from-examples-v9\", expected one of output-from-examples-v0, output-"
        "from-examples-v1, input-from-inputs-v0");
    assert_refused(tw_arc_prompt_open(&p, "x", "/nonexistent", &encoder, &err), TRAWL_ERR_INVALID,
                   "/nonexistent/x: no such folder");
    assert_refused(tw_arc_prompt_open(&p, "../x", "/tmp", &encoder, &err), TRAWL_ERR_INVALID,
                   "is no name of a folder");
}

static void broken_folders_are_named(void **state)
{
    struct scratch *d = *state;
    struct trawl_error err;
    struct tw_arc_encoder encoder;
    struct tw_arc_prompt *p = NULL;
    assert_ok(tw_arc_encoder_parse(&encoder, TW_ARC_ENCODER_DEFAULT, &err));
    write_version(d, "bad", "s", "{% for %}", "a");
    assert_true(tw_arc_prompt_open(&p, "bad", d->dir, &encoder, &err) != TRAWL_OK);
    assert_contains(err.message, "prompt bad: user.jinja");
    char path[256];
    assert_ok(tw_remove_file(path_in(d, "bad/user.jinja", path), &err));
    assert_int_equal(tw_arc_prompt_open(&p, "bad", d->dir, &encoder, &err), TRAWL_ERR_IO);
    assert_contains(err.message, "bad/user.jinja");
}

/* ---- answers ---- */

static void answers_come_back_in_the_tasks_own_view(void **state)
{
    (void)state;
    struct trawl_error err;
    struct fixture f;
    struct tw_arc_augment a;
    struct tw_arc_grid grid;
    fixture_open(&f, "output-from-examples-v0", NULL, TW_ARC_ENCODER_DEFAULT);
    tw_arc_augment_identity(&a, 2);
    a.n_rot90        = 1;
    a.color_map[3]   = 7;
    a.color_map[7]   = 3;
    const char *text = " shape: 3x2\n1 76\n2 25\n3 14\n```";
    assert_ok(tw_arc_prompt_read_answer(f.prompt, &a, text, strlen(text), &grid, &err));
    assert_grid(&grid, "123/456"); /* the answer is its view turned once, 3 and 7 exchanged */
    tw_arc_grid_release(&grid);
    assert_refused(tw_arc_prompt_read_answer(f.prompt, &a, "", 0, &grid, &err), TRAWL_ERR_FORMAT,
                   "no line begins");
    fixture_close(&f);

    /* an encoder without a fence needs no opening */
    fixture_open(&f, "output-from-examples-v0", NULL, "MinimalGridEncoder()");
    tw_arc_augment_identity(&a, 2);
    assert_string_equal(tw_arc_prompt_opening(f.prompt), "");
    assert_ok(tw_arc_prompt_read_answer(f.prompt, &a, "12\n34", 5, &grid, &err));
    assert_grid(&grid, "12/34");
    tw_arc_grid_release(&grid);
    fixture_close(&f);

    fixture_open(&f, "code-from-examples-v1", NULL, TW_ARC_ENCODER_DEFAULT);
    assert_refused(tw_arc_prompt_read_answer(f.prompt, &a, "def", 3, &grid, &err), TRAWL_ERR_FORMAT,
                   "prompt version code-from-examples-v1 is answered with code");
    fixture_close(&f);
}

/* ---- jobs ---- */

static void request_ids_say_everything(void **state)
{
    (void)state;
    struct trawl_error err;
    struct fixture f;
    struct tw_arc_job job, longer;
    struct tw_arc_record r;
    fixture_open(&f, "output-from-examples-v0", NULL, TW_ARC_ENCODER_DEFAULT);
    assert_ok(tw_arc_job_init(&job, &f.ds, f.prompt, &QWEN, 3, 2, &err));
    assert_ok(tw_arc_job_init(&longer, &f.ds, f.prompt, &QWEN, 3, 9, &err));
    assert_int_equal(tw_arc_job_count(&job), 2 * 1 + 2 * 2);
    static const struct tw_arc_place places[] = {{0, 0, 0}, {0, 1, 0}, {1, 0, 0},
                                                 {1, 0, 1}, {1, 1, 0}, {1, 1, 1}};
    for (int64_t id = 0; id < 6; id++) {
        struct tw_arc_place p = tw_arc_job_place(&job, id);
        assert_int_equal(p.task, places[id].task);
        assert_int_equal(p.k, places[id].k);
        assert_int_equal(p.idx, places[id].idx);
    }
    /* more predictions leave the first ones as they are */
    struct tw_str other;
    tw_str_init(&other, 0);
    assert_ok(tw_arc_job_prompt(&job, 5, &f.text, &err));
    assert_ok(tw_arc_job_prompt(&longer, 9 + 2 + 1, &other, &err));
    assert_string_equal(f.text.data, other.data);

    struct tw_arc_response response = {.text               = " shape: 1x1\n1 0\n```",
                                       .size               = 19,
                                       .cumulative_logprob = -0.5,
                                       .n_tokens           = 9,
                                       .finish_reason      = "stop"};
    assert_ok(tw_arc_job_record(&job, 5, &f.text, &response, &r, &err));
    assert_string_equal(r.task_id, "test_task_002");
    assert_int_equal(r.idx, 1);
    assert_int_equal(r.augment.n_rot90, 1);
    assert_int_equal(r.grid.rows, 1);
    assert_null(r.parse_error);
    tw_arc_record_release(&r);
    response.text = "?";
    response.size = 1;
    assert_ok(tw_arc_job_record(&job, 0, &f.text, &response, &r, &err));
    assert_true(tw_arc_grid_is_none(&r.grid));
    assert_contains(r.parse_error, "no line begins");
    tw_arc_record_release(&r);
    response = (struct tw_arc_response){.text = "", .finish_reason = "error", .error = "too long"};
    assert_ok(tw_arc_job_record(&job, 0, &f.text, &response, &r, &err));
    assert_string_equal(r.parse_error, "too long");
    tw_arc_record_release(&r);

    tw_arc_job_release(&longer);
    assert_refused(tw_arc_job_init(&longer, &f.ds, f.prompt, &QWEN, 3, 0, &err), TRAWL_ERR_INVALID,
                   "predictions_per_task is 0");
    tw_str_release(&other);
    tw_arc_job_release(&job);
    fixture_close(&f);
}

/* ---- against a recorded run of fine-tuned models, with their templates ---- */

static void sha256_hex(const struct tw_str *text, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    assert_int_equal(EVP_Digest(text->data, text->size, digest, &n, EVP_sha256(), NULL), 1);
    for (unsigned i = 0; i < 32; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

#define RECORDED_SHA256 "238b3af2759f2078e468ae6e318338637cb48062a12d2bea51b7f07ae92565c3"

/* Colors 1 and 6 exchanged, the second pair first. */
static void recorded_view(struct tw_arc_augment *a)
{
    tw_arc_augment_identity(a, 2);
    a->color_map[1]   = 6;
    a->color_map[6]   = 1;
    a->train_order[0] = 1;
    a->train_order[1] = 0;
}

static void recorded_prompt(void **state)
{
    (void)state;
    const char *dir = getenv("TRAWL_PROMPT_DIR");
    if (dir == NULL) {
        print_message("TRAWL_PROMPT_DIR is not set\n");
        skip();
    }
    static const struct {
        const char *version;
        size_t bytes; /* of the unaugmented prompt */
    } sizes[] = {{"output-from-examples-v0", 1795}, {"output-from-examples-v1", 815},
                 {"input-from-inputs-v0", 487},     {"output-from-outputs-v0", 487},
                 {"code-from-examples-v0", 859},    {"code-from-examples-v1", 1388},
                 {"code-from-examples-v2", 1419},   {"code-from-examples-v3", 1482}};
    struct trawl_error err;
    struct fixture f;
    struct tw_arc_augment a;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture_open(&f, sizes[i].version, dir, TW_ARC_ENCODER_DEFAULT);
        tw_arc_augment_identity(&a, 2);
        assert_ok(tw_arc_prompt_render(f.prompt, &QWEN, &f.ds.tasks[0], 0, &a, &f.text, &err));
        assert_int_equal(f.text.size, sizes[i].bytes);
        fixture_close(&f);
    }
    char hex[65];
    fixture_open(&f, "output-from-examples-v0", dir, TW_ARC_ENCODER_DEFAULT);
    recorded_view(&a);
    assert_ok(tw_arc_prompt_render(f.prompt, &QWEN, &f.ds.tasks[0], 0, &a, &f.text, &err));
    assert_int_equal(f.text.size, 1795);
    sha256_hex(&f.text, hex);
    assert_string_equal(hex, RECORDED_SHA256);
    fixture_close(&f);
}

static trawl_status render_with_tokenizer(void *user, const json_t *messages, struct tw_str *out,
                                          struct trawl_error *err)
{
    const struct tw_chat_request request = {.messages = messages};
    return tw_chat_render(user, &request, out, err);
}

/* The model's own chat template gives the recorded prompt too, and its tokenizer the recorded lengths. */
static void recorded_prompt_through_a_tokenizer(void **state)
{
    (void)state;
    const char *dir    = getenv("TRAWL_PROMPT_DIR");
    const char *models = getenv("TRAWL_MODELS");
    if (dir == NULL || models == NULL) {
        print_message("TRAWL_PROMPT_DIR or TRAWL_MODELS is not set\n");
        skip();
    }
    static const size_t lengths[2] = {453, 465}; /* by n_rot90 */
    struct trawl_error err;
    struct tw_tokenizer *tokenizer = NULL;
    struct tw_encoder *encoder     = NULL;
    struct tw_ids ids              = {.data = NULL};
    struct fixture f;
    struct tw_arc_augment a;
    char path[512], hex[65];
    (void)snprintf(path, sizeof path, "%s/qwen2.5-coder-0.5b", models);
    assert_ok(tw_tokenizer_open(path, &tokenizer, &err));
    assert_ok(tw_encoder_new(tokenizer, &encoder, &err));
    struct tw_arc_chat chat = {.render = render_with_tokenizer, .user = tokenizer};
    (void)tw_tokenizer_named(tokenizer, TW_TOKEN_EOS, &chat.eos_token);
    fixture_open(&f, "output-from-examples-v0", dir, TW_ARC_ENCODER_DEFAULT);
    recorded_view(&a);
    for (int n = 0; n < 2; n++) {
        a.n_rot90 = n;
        ids.size  = 0;
        tw_str_reset(&f.text);
        assert_ok(tw_arc_prompt_render(f.prompt, &chat, &f.ds.tasks[0], 0, &a, &f.text, &err));
        assert_ok(tw_encode(encoder, f.text.data, f.text.size, NULL, &ids, &err));
        assert_int_equal(ids.size, lengths[n]);
        sha256_hex(&f.text, hex);
        assert_true((strcmp(hex, RECORDED_SHA256) == 0) == (n == 0));
    }
    fixture_close(&f);
    tw_ids_release(&ids);
    tw_encoder_free(encoder);
    tw_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(a_prompt_to_the_byte),
        cmocka_unit_test(cuts),
        cmocka_unit_test(every_version_opens_or_says_why),
        scratch_test(broken_folders_are_named),
        cmocka_unit_test(answers_come_back_in_the_tasks_own_view),
        cmocka_unit_test(request_ids_say_everything),
        cmocka_unit_test(recorded_prompt),
        cmocka_unit_test(recorded_prompt_through_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
