/* SPDX-License-Identifier: MIT */
/* Bodies of requests: what they become, and what is said of those that are wrong. */
#include "apps/serve/serve_body.h"
#include "support/test.h"

static struct tw_serve_body parse(enum tw_serve_kind kind, const char *text)
{
    struct tw_serve_body b;
    struct trawl_error err;
    assert_ok(tw_serve_body_parse(&b, kind, text, strlen(text), &err));
    return b;
}

static void refuse(enum tw_serve_kind kind, const char *text, trawl_status status, const char *words)
{
    struct tw_serve_body b;
    struct trawl_error err;
    assert_refused(tw_serve_body_parse(&b, kind, text, strlen(text), &err), status, words);
    tw_serve_body_release(&b);
}

static void test_what_is_not_said_is_as_in_openai(void **state)
{
    (void)state;
    struct tw_serve_body b = parse(TW_SERVE_COMPLETION, "{\"prompt\": \"a\"}");
    assert_int_equal(b.request.max_tokens, 16);
    assert_true(b.has_max_tokens && b.add_special_tokens && b.skip_special_tokens);
    assert_true(b.request.temperature == 1 && b.request.top_p == 1 && !b.request.has_seed);
    assert_false(b.stream || b.echo || b.logprobs || b.include_usage);
    assert_int_equal(b.n, 1);
    assert_int_equal(json_array_size(b.prompts), 1);
    tw_serve_body_release(&b);
    b = parse(TW_SERVE_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}");
    assert_false(b.has_max_tokens || b.add_special_tokens);
    assert_true(b.add_generation_prompt);
    tw_serve_body_release(&b);
}

static void test_null_is_as_good_as_absent(void **state)
{
    (void)state;
    static const char *const keys[] = {"model",
                                       "n",
                                       "max_tokens",
                                       "temperature",
                                       "top_p",
                                       "top_k",
                                       "seed",
                                       "stop",
                                       "stream",
                                       "logprobs",
                                       "logit_bias",
                                       "stream_options",
                                       "response_format",
                                       "tools",
                                       "suffix",
                                       "best_of",
                                       "user",
                                       "guided_regex",
                                       "stop_token_ids",
                                       "echo",
                                       "timeout",
                                       "min_tokens",
                                       "ignore_eos",
                                       "modalities",
                                       "top_logprobs",
                                       "guided_choice",
                                       "min_p",
                                       "guided_json",
                                       "functions",
                                       "bad_words",
                                       "max_completion_tokens",
                                       "presence_penalty",
                                       "frequency_penalty",
                                       "repetition_penalty",
                                       "structured_outputs",
                                       "skip_special_tokens",
                                       "add_special_tokens",
                                       "suppress_tokens"};
    struct tw_serve_body plain      = parse(TW_SERVE_COMPLETION, "{\"prompt\": [1, 2]}");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "{\"prompt\": [1, 2], \"%s\": null}", keys[i]);
        struct tw_serve_body b = parse(TW_SERVE_COMPLETION, text);
        assert_int_equal(b.n, plain.n);
        assert_int_equal(b.request.max_tokens, plain.request.max_tokens);
        assert_int_equal(b.request.constraint_kind, TRAWL_CONSTRAINT_NONE);
        assert_true(b.request.temperature == plain.request.temperature && b.logprobs == plain.logprobs);
        assert_true(b.request.has_seed == plain.request.has_seed && b.n_stop == 0);
        tw_serve_body_release(&b);
    }
    tw_serve_body_release(&plain);
}

static void test_members_reach_the_request(void **state)
{
    (void)state;
    struct tw_serve_body b = parse(
        TW_SERVE_COMPLETION,
        "{\"prompt\": [\"a\", [1, 2]], \"n\": 3, \"max_tokens\": 7, \"max_completion_tokens\": 8, "
        "\"temperature\": 0.5, "
        "\"top_k\": -1, \"top_p\": 0.9, \"min_p\": 0.1, \"seed\": 12, \"stop\": [\"x\", \"y\"], "
        "\"stop_token_ids\": [4], "
        "\"logit_bias\": {\"5\": -1.5}, \"logprobs\": 4, \"stream\": true, \"stream_options\": "
        "{\"include_usage\": true}, "
        "\"presence_penalty\": 1, \"frequency_penalty\": -1, \"repetition_penalty\": 1.1, \"min_tokens\": 2, "
        "\"ignore_eos\": true, \"guided_regex\": \"a+\", \"timeout\": 3, \"model\": \"m\", \"nobody\": "
        "{\"knows\": 1}}");
    const struct trawl_request *q = &b.request;
    assert_int_equal(json_array_size(b.prompts), 2);
    assert_int_equal(b.n, 3);
    assert_int_equal(q->max_tokens, 8);
    assert_true(q->temperature == 0.5 && q->top_p == 0.9 && q->min_p == 0.1 && q->timeout == 3);
    assert_int_equal(q->top_k, 0);
    assert_true(q->has_seed && q->seed == 12 && q->ignore_eos && b.logprobs && b.stream && b.include_usage);
    assert_int_equal(b.n_stop, 2);
    assert_string_equal(b.stop[1], "y");
    assert_true(q->n_stop_token_ids == 1 && q->stop_token_ids[0] == 4);
    assert_true(q->n_logit_bias == 1 && q->logit_bias_tokens[0] == 5 && q->logit_bias[0] == -1.5F);
    assert_int_equal(q->top_logprobs, 4);
    assert_true(q->presence_penalty == 1 && q->frequency_penalty == -1 && q->repetition_penalty == 1.1);
    assert_int_equal(q->min_tokens, 2);
    assert_int_equal(q->constraint_kind, TRAWL_CONSTRAINT_REGEX);
    assert_string_equal(q->constraint_text, "a+");
    assert_string_equal(b.model, "m");
    tw_serve_body_release(&b);
    b = parse(TW_SERVE_COMPLETION, "{\"prompt\": \"a\", \"seed\": -1, \"best_of\": 4, \"n\": 2}");
    assert_false(b.request.has_seed);
    assert_int_equal(b.request.num_return_sequences, 2);
    tw_serve_body_release(&b);
}

static void test_contents_in_parts_become_a_text(void **state)
{
    (void)state;
    struct tw_serve_body b =
        parse(TW_SERVE_CHAT,
              "{\"messages\": [{\"role\": \"system\", \"content\": null}, {\"role\": \"user\", \"content\": "
              "[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\\u0000\"}]}]}");
    const json_t *content = json_object_get(json_array_get(b.messages, 1), "content");
    assert_int_equal(json_string_length(content), 4);
    assert_memory_equal(json_string_value(content), "a\nb", 4);
    tw_serve_body_release(&b);
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
    refuse(TW_SERVE_CHAT, "3", TRAWL_ERR_FORMAT, "the body is an integer");
    refuse(TW_SERVE_CHAT, "{\"messages\": {}}", TRAWL_ERR_FORMAT, "\"messages\" is an object");
    refuse(TW_SERVE_CHAT, "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [1]}]}",
           TRAWL_ERR_UNSUPPORTED, "messages[0]: \"tool_calls\"");
    refuse(TW_SERVE_COMPLETION, "{\"prompt\": \"a\", \"suffix\": \"b\"}", TRAWL_ERR_UNSUPPORTED,
           "\"suffix\" is not supported");
    refuse(TW_SERVE_COMPLETION,
           "{\"prompt\": \"a\", \"response_format\": {\"type\": \"json_schema\", \"json_schema\": {}}}",
           TRAWL_ERR_FORMAT, "has no \"schema\"");
    refuse(TW_SERVE_COMPLETION,
           "{\"prompt\": \"a\", \"structured_outputs\": {\"json\": {}, \"regex\": \"a\"}}", TRAWL_ERR_INVALID,
           "more than one constraint");
    refuse(TW_SERVE_COMPLETION, "{\"prompt\": [[1], 2]}", TRAWL_ERR_FORMAT, "\"prompt\"[1] is an integer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_said_is_as_in_openai),
        cmocka_unit_test(test_null_is_as_good_as_absent),
        cmocka_unit_test(test_members_reach_the_request),
        cmocka_unit_test(test_contents_in_parts_become_a_text),
        cmocka_unit_test(test_what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
