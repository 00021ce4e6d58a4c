/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_text.h"

#include <event2/buffer.h>

#include "apps/serve/serve_http.h"
#include "base/alloc.h"
#include "text/text_chat.h"

static const char WHAT[] = "body";

trawl_status tw_serve_encode_messages(struct tw_server *s, const json_t *messages, bool add_generation_prompt,
                                      bool add_special_tokens, const json_t *extra, struct tw_ids *ids,
                                      struct trawl_error *err)
{
    struct tw_chat_request request = {
        .messages = messages, .add_generation_prompt = add_generation_prompt, .extra = extra};
    struct tw_encode_options option = {.add_special_tokens = add_special_tokens};
    struct tw_str text;
    if (extra != NULL && !json_is_object(extra)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"chat_template_kwargs\" is %s, expected an object",
                       tw_json_type_name(extra));
    }
    tw_str_init(&text, 0);
    trawl_status status = tw_chat_render(s->tokenizer, &request, &text, err);
    if (status == TRAWL_OK) {
        status = tw_encode(s->encoder, tw_str_text(&text), text.size, &option, ids, err);
    }
    tw_str_release(&text);
    return status;
}

trawl_status tw_serve_read_json(struct evhttp_request *http, json_t **out, struct trawl_error *err)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(http);
    size_t n            = evbuffer_get_length(in);
    const char *text    = n == 0 ? "" : (const char *)evbuffer_pullup(in, -1);
    *out                = NULL;
    if (text == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a body of %zu bytes", n);
    }
    TW_TRY(tw_json_parse(text, n, WHAT, out, err));
    if (!json_is_object(*out)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the body is %s, expected an object", tw_json_type_name(*out));
    }
    return TRAWL_OK;
}

static trawl_status encode(struct tw_server *s, const json_t *j, struct tw_ids *ids, struct trawl_error *err)
{
    json_t *messages   = json_object_get(j, "messages");
    const char *prompt = NULL;
    bool special = messages == NULL, opening = true;
    TW_TRY(tw_json_get_bool(j, "add_special_tokens", WHAT, &special, err));
    TW_TRY(tw_json_get_bool(j, "add_generation_prompt", WHAT, &opening, err));
    TW_TRY(tw_json_get_string(j, "prompt", WHAT, &prompt, err));
    if ((messages != NULL) == (prompt != NULL)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "the body has %s of \"prompt\" and \"messages\", expected one",
                       prompt == NULL ? "none" : "both");
    }
    if (messages != NULL) {
        TW_TRY(tw_serve_messages(messages, err));
        return tw_serve_encode_messages(s, messages, opening, special,
                                        json_object_get(j, "chat_template_kwargs"), ids, err);
    }
    struct tw_encode_options option = {.add_special_tokens = special};
    return tw_encode(s->encoder, prompt, json_string_length(json_object_get(j, "prompt")), &option, ids, err);
}

static trawl_status tokenize(struct tw_server *s, const json_t *j, struct tw_str *out, struct tw_ids *ids,
                             struct trawl_error *err)
{
    struct tw_json_writer w;
    bool pieces = false;
    TW_TRY(tw_json_get_bool(j, "return_token_strs", WHAT, &pieces, err));
    TW_TRY(encode(s, j, ids, err));
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "count");
    tw_json_int(&w, (int64_t)ids->size);
    tw_json_key(&w, "max_model_len");
    tw_json_int(&w, (int64_t)s->info.context);
    tw_json_key(&w, "tokens");
    tw_json_begin_array(&w);
    for (size_t i = 0; i < ids->size; i++) {
        tw_json_int(&w, ids->data[i]);
    }
    tw_json_end_array(&w);
    tw_json_key(&w, "token_strs");
    if (pieces) {
        tw_json_begin_array(&w);
        for (size_t i = 0; i < ids->size; i++) {
            size_t n         = 0;
            const char *text = tw_tokenizer_piece(s->tokenizer, ids->data[i], &n);
            tw_json_string_n(&w, text == NULL ? "" : text, n);
        }
        tw_json_end_array(&w);
    } else {
        tw_json_null(&w);
    }
    tw_json_end_object(&w);
    return tw_json_writer_finish(&w, err);
}

static trawl_status detokenize(struct tw_server *s, const json_t *j, struct tw_str *out, struct tw_ids *ids,
                               struct trawl_error *err)
{
    struct tw_json_writer w;
    const json_t *tokens = json_object_get(j, "tokens");
    if (!json_is_array(tokens)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"tokens\" is %s, expected an array of token ids",
                       tw_json_type_name(tokens));
    }
    TW_TRY(tw_ask_ids(tokens, "tokens", &ids->data, &ids->size, err));
    ids->capacity = ids->size;
    tw_str_reset(&s->text);
    TW_TRY(tw_decode(s->tokenizer, ids->data, ids->size, false, &s->text, err));
    tw_json_writer_init(&w, out, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "prompt");
    tw_json_string_n(&w, tw_str_text(&s->text), s->text.size);
    tw_json_end_object(&w);
    return tw_json_writer_finish(&w, err);
}

static void answer(struct tw_server *s, struct evhttp_request *http,
                   trawl_status (*make)(struct tw_server *s, const json_t *j, struct tw_str *out,
                                        struct tw_ids *ids, struct trawl_error *err))
{
    json_t *j              = NULL;
    struct tw_ids ids      = {0};
    struct trawl_error err = {0};
    struct tw_str out;
    tw_str_init(&out, 0);
    trawl_status status = tw_serve_read_json(http, &j, &err);
    if (status == TRAWL_OK) {
        status = make(s, j, &out, &ids, &err);
    }
    if (status == TRAWL_OK) {
        tw_serve_reply(s, http, HTTP_OK, "application/json", &out);
    } else {
        tw_serve_reply_failure(s, http, &err);
    }
    json_decref(j);
    tw_ids_release(&ids);
    tw_str_release(&out);
}

void tw_serve_tokenize(struct tw_server *s, struct evhttp_request *http)
{
    answer(s, http, tokenize);
}

void tw_serve_detokenize(struct tw_server *s, struct evhttp_request *http)
{
    answer(s, http, detokenize);
}
