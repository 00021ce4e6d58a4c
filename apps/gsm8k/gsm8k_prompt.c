/* SPDX-License-Identifier: MIT */
#include "apps/gsm8k/gsm8k_prompt.h"

#include <string.h>

#include "text/text_chat.h"
#include "json/json.h"

/* "6 * 7 = <<6*7=42>>42" -> "6 * 7 = 42" */
static trawl_status put_worked(struct tw_str *out, const char *answer, struct trawl_error *err)
{
    const char *open, *close;
    while ((open = strstr(answer, "<<")) != NULL && (close = strstr(open, ">>")) != NULL) {
        TW_TRY(tw_str_append(out, answer, (size_t)(open - answer), err));
        answer = close + 2;
    }
    return tw_str_puts(out, answer, err);
}

/* ---- text ---- */

static trawl_status write_text(const struct tw_gsm8k_prompt *p, const char *question, struct tw_str *out,
                               struct trawl_error *err)
{
    if (p->instruction != NULL) {
        TW_TRY(tw_str_printf(out, err, "%s\n\n", p->instruction));
    }
    for (size_t i = 0; i < p->n_examples; i++) {
        TW_TRY(tw_str_printf(out, err, "Question: %s\nAnswer: ", p->examples[i].question));
        TW_TRY(put_worked(out, p->examples[i].answer, err));
        TW_TRY(tw_str_puts(out, "\n\n", err));
    }
    return tw_str_printf(out, err, "Question: %s\nAnswer:", question);
}

/* ---- conversation ---- */

static trawl_status add_message(json_t *messages, const char *role, const char *content,
                                struct trawl_error *err)
{
    json_t *message = json_pack("{s:s, s:s}", "role", role, "content", content);
    if (message == NULL || json_array_append_new(messages, message) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "a message of the %s is not UTF-8, or memory is short", role);
    }
    return TRAWL_OK;
}

static trawl_status add_example(json_t *messages, const struct tw_gsm8k_example *e, struct trawl_error *err)
{
    struct tw_str worked;
    TW_TRY(add_message(messages, "user", e->question, err));
    tw_str_init(&worked, 0);
    trawl_status status = put_worked(&worked, e->answer, err);
    if (status == TRAWL_OK) {
        status = add_message(messages, "assistant", tw_str_text(&worked), err);
    }
    tw_str_release(&worked);
    return status;
}

static trawl_status add_messages(const struct tw_gsm8k_prompt *p, const char *question, json_t *messages,
                                 struct trawl_error *err)
{
    if (p->instruction != NULL) {
        TW_TRY(add_message(messages, "system", p->instruction, err));
    }
    for (size_t i = 0; i < p->n_examples; i++) {
        TW_TRY(add_example(messages, &p->examples[i], err));
    }
    return add_message(messages, "user", question, err);
}

static trawl_status write_chat(const struct tw_gsm8k_prompt *p, const struct tw_tokenizer *tokenizer,
                               const char *question, struct tw_str *out, struct trawl_error *err)
{
    json_t *messages = json_array();
    if (messages == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a conversation");
    }
    struct tw_chat_request request = {.messages = messages, .add_generation_prompt = true};
    trawl_status status            = add_messages(p, question, messages, err);
    if (status == TRAWL_OK) {
        status = tw_chat_render(tokenizer, &request, out, err);
    }
    json_decref(messages);
    return status;
}

trawl_status tw_gsm8k_prompt_write(const struct tw_gsm8k_prompt *p, const struct tw_tokenizer *tokenizer,
                                   const char *question, struct tw_str *out, struct trawl_error *err)
{
    return p->chat ? write_chat(p, tokenizer, question, out, err) : write_text(p, question, out, err);
}

const char *tw_gsm8k_prompt_stop(const struct tw_gsm8k_prompt *p)
{
    return p->chat ? NULL : "Question:";
}
