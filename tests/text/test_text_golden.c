/* SPDX-License-Identifier: MIT */
/* Real tokenizers against vectors from the tokenizers and transformers packages. Needs the folders named by
 * TRAWL_GOLDENS and TRAWL_MODELS; without them every case is skipped. */
#include "text_vectors.h"

#include "base/alloc.h"
#include "base/file.h"

struct model {
    const char *vectors; /* under $TRAWL_GOLDENS/tokenizers */
    const char *folder;  /* under $TRAWL_MODELS */
};

static const struct model models[] = {{"qwen2.5", "qwen2.5-coder-0.5b"}, {"smollm2", "smollm2-135m"}};

static int open_model(void **state, size_t i)
{
    const char *folder = getenv("TRAWL_MODELS");
    *state             = NULL;
    if (folder != NULL && getenv("TRAWL_GOLDENS") != NULL) {
        char path[1024];
        struct subject *s = calloc(1, sizeof *s);
        snprintf(path, sizeof path, "%s/%s", folder, models[i].folder);
        subject_open(s, path);
        *state = s;
    }
    return 0;
}

static int open_qwen(void **state)
{
    return open_model(state, 0);
}

static int open_smollm(void **state)
{
    return open_model(state, 1);
}

static int close_model(void **state)
{
    if (*state != NULL) {
        subject_close(*state);
        free(*state);
    }
    return 0;
}

static void run_file(void **state, const char *file, void (*check)(const json_t *, void *))
{
    struct subject *s = *state;
    if (s == NULL) {
        skip();
    }
    char path[1024];
    const char *name = s->tokenizer->nfc != NULL ? models[0].vectors : models[1].vectors;
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s.jsonl", getenv("TRAWL_GOLDENS"), name, file);
    assert_true(each_line(path, check, s) > 5);
}

static void test_encode_special(void **state)
{
    run_file(state, "encode_special", check_encode);
}

static void test_encode_plain(void **state)
{
    if (*state != NULL) {
        ((struct subject *)*state)->options.no_special = true;
    }
    run_file(state, "encode_plain", check_encode);
}

static void test_encode_raw(void **state)
{
    if (*state != NULL) {
        ((struct subject *)*state)->options = (struct tw_encode_options){.no_added = true};
    }
    run_file(state, "encode_raw", check_encode);
}

static void test_pretokens(void **state)
{
    run_file(state, "pretokens", check_pretokens);
}

static void test_decode(void **state)
{
    run_file(state, "decode", check_decode);
}

static void test_stream(void **state)
{
    run_file(state, "stream", check_stream);
}

static void test_chat(void **state)
{
    run_file(state, "chat", check_chat);
}

/* ---- templates without a tokenizer ---- */

static void check_template(const json_t *row, void *user)
{
    const struct tw_template *t = user;
    struct trawl_error err      = {0};
    json_t *context             = json_object();
    struct tw_str text;
    const char *keys[] = {"bos_token", "eos_token", "messages", "tools", "add_generation_prompt"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_object_set(context, keys[i], json_object_get(row, keys[i]));
    }
    json_object_update(context, json_object_get(row, "kwargs"));
    tw_str_init(&text, 0);
    trawl_status status = tw_template_render(t, context, NULL, &text, &err);
    const char *error   = json_string_value(json_object_get(row, "error"));
    if (error != NULL) {
        assert_int_equal(status, TRAWL_ERR_FORMAT);
        const char *message = strstr(error, ": ") + 2;
        if (strncmp(error, "TemplateError", 13) == 0 && strstr(err.message, message) == NULL) {
            fail_msg("message is \"%s\", expected \"%s\"", err.message, message);
        }
    } else {
        expect_ok(status, &err);
        expect_text(row, "rendered", tw_str_text(&text), text.size);
    }
    tw_str_release(&text);
    json_decref(context);
}

static void test_templates(void **state)
{
    const char *names[] = {"phi-3", "command-r", "chatml-qwen2"};
    (void)state;
    if (getenv("TRAWL_GOLDENS") == NULL) {
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024];
        struct trawl_error err = {0};
        char *source           = NULL;
        size_t n               = 0;
        struct tw_template *t  = NULL;
        snprintf(path, sizeof path, "%s/tokenizers/templates/%s.jinja", getenv("TRAWL_GOLDENS"), names[i]);
        expect_ok(tw_file_read(path, 1 << 20, &source, &n, &err), &err);
        expect_ok(tw_template_compile(source, n, names[i], TW_TEMPLATE_CHAT, &t, &err), &err);
        snprintf(path, sizeof path, "%s/tokenizers/templates/chat_%s.jsonl", getenv("TRAWL_GOLDENS"),
                 names[i]);
        assert_true(each_line(path, check_template, t) > 5);
        tw_template_free(t);
        tw_free(source);
    }
}

#define CASES(open)                                                            \
    cmocka_unit_test_setup_teardown(test_encode_special, open, close_model),   \
        cmocka_unit_test_setup_teardown(test_encode_plain, open, close_model), \
        cmocka_unit_test_setup_teardown(test_encode_raw, open, close_model),   \
        cmocka_unit_test_setup_teardown(test_pretokens, open, close_model),    \
        cmocka_unit_test_setup_teardown(test_decode, open, close_model),       \
        cmocka_unit_test_setup_teardown(test_stream, open, close_model),       \
        cmocka_unit_test_setup_teardown(test_chat, open, close_model)

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(open_qwen), CASES(open_smollm),
                                       cmocka_unit_test(test_templates)};
    return cmocka_run_group_tests_name("text.golden", tests, NULL, NULL);
}
