/* SPDX-License-Identifier: MIT */
#include "text/text_chat.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"

/* ---- loading ---- */

static trawl_status add_template(struct tw_tokenizer *t, const char *name, const char *source, size_t n,
                                 const char *file, struct trawl_error *err)
{
    char what[512];
    if (t->n_chat == TW_CHAT_MAX_TEMPLATES) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s/%s: more than %d chat templates", t->folder, file,
                       TW_CHAT_MAX_TEMPLATES);
    }
    struct tw_chat_template *chat = &t->chat[t->n_chat];
    TW_TRY(tw_strdup(name, &chat->name, err));
    t->n_chat++;
    (void)snprintf(what, sizeof what, "%s/%s: chat template \"%s\"", t->folder, file, name);
    chat->status = tw_template_compile(source, n, what, TW_TEMPLATE_CHAT, &chat->compiled, &chat->error);
    return TRAWL_OK;
}

trawl_status tw_load_chat(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                          struct trawl_error *err)
{
    static const char file[] = "tokenizer_config.json";
    const json_t *v          = json_object_get(files->config, "chat_template");
    if (files->chat != NULL) {
        return add_template(t, "default", files->chat, files->n_chat, "chat_template.jinja", err);
    }
    if (json_is_string(v)) {
        return add_template(t, "default", json_string_value(v), json_string_length(v), file, err);
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *name     = json_string_value(json_object_get(json_array_get(v, i), "name"));
        const json_t *source = json_object_get(json_array_get(v, i), "template");
        if (name == NULL || !json_is_string(source)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s/%s: chat_template %zu has no name or no template",
                           t->folder, file, i);
        }
        TW_TRY(add_template(t, name, json_string_value(source), json_string_length(source), file, err));
    }
    return TRAWL_OK;
}

/* ---- rendering ---- */

bool tw_tokenizer_has_chat_template(const struct tw_tokenizer *tokenizer)
{
    return tokenizer->n_chat > 0;
}

static const struct tw_chat_template *find_template(const struct tw_tokenizer *t, const char *name)
{
    for (size_t i = 0; i < t->n_chat; i++) {
        if (strcmp(t->chat[i].name, name) == 0) {
            return &t->chat[i];
        }
    }
    return NULL;
}

/* "tool_use" for tools where there is one, else "default". */
static trawl_status choose_template(const struct tw_tokenizer *t, bool tools,
                                    const struct tw_chat_template **out, struct trawl_error *err)
{
    *out = tools ? find_template(t, "tool_use") : NULL;
    if (*out == NULL) {
        *out = find_template(t, "default");
    }
    if (*out == NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: the tokenizer has no %schat template", t->folder,
                       t->n_chat > 0 ? "default " : "");
    }
    if ((*out)->status != TRAWL_OK) {
        return tw_fail(err, (*out)->status, "%s", (*out)->error.message);
    }
    return TRAWL_OK;
}

/* What a template sees of a message, as in transformers: members that are null are left out, and reasoning goes by
 * each of the names that templates read. A new reference; NULL: no memory. */
static json_t *make_message(const json_t *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    json_t *out = json_object(), *reasoning = NULL, *member;
    const char *key;
    int failed = out == NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && reasoning == NULL; i++) {
        reasoning = json_object_get(message, names[i]);
        reasoning = json_is_null(reasoning) ? NULL : reasoning;
    }
    if (reasoning != NULL) {
        failed |= json_object_set_new(out, "thinking", json_deep_copy(reasoning));
    }
    json_object_foreach((json_t *)message, key, member)
    {
        failed |= json_is_null(member) ? 0 : json_object_set_new(out, key, json_deep_copy(member));
    }
    if (reasoning != NULL) {
        failed |= json_object_set_new(out, "reasoning_content", json_deep_copy(reasoning));
    }
    if (failed) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *make_messages(const json_t *messages)
{
    json_t *out = json_array(), *message;
    size_t i;
    int failed = out == NULL;
    json_array_foreach(messages, i, message)
    {
        failed |= json_array_append_new(out, make_message(message));
    }
    if (failed) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/* The variables of the template; everything in it is borrowed or shared by reference count. */
static json_t *make_context(const struct tw_tokenizer *t, const struct tw_chat_request *request)
{
    static const char *const names[TW_NAMED_TOKENS] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    json_t *context                                 = json_object();
    const char *key;
    json_t *member;
    int failed = context == NULL;
    for (int i = 0; i < TW_NAMED_TOKENS; i++) {
        if (t->named[i].text != NULL) {
            failed |= json_object_set_new(context, names[i], json_string(t->named[i].text));
        }
    }
    failed |= json_object_set_new(context, "documents", json_null());
    json_object_foreach((json_t *)request->extra, key, member)
    {
        failed |= json_object_set_new(context, key, json_deep_copy(member));
    }
    failed |= json_object_set_new(context, "messages", make_messages(request->messages));
    failed |= json_object_set_new(context, "tools",
                                  request->tools == NULL ? json_null() : json_deep_copy(request->tools));
    failed |=
        json_object_set_new(context, "add_generation_prompt", json_boolean(request->add_generation_prompt));
    if (failed) {
        json_decref(context);
        return NULL;
    }
    return context;
}

static trawl_status check_request(const struct tw_chat_request *request, struct trawl_error *err)
{
    static const char *const taken[] = {"messages", "tools", "add_generation_prompt"};
    if (!json_is_array(request->messages)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"messages\" of a chat must be an array of objects");
    }
    if (json_array_size(request->messages) == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "\"messages\" of a chat is empty, expected at least one message");
    }
    for (size_t i = 0; i < json_array_size(request->messages); i++) {
        if (!json_is_object(json_array_get(request->messages, i))) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "message %zu of a chat is not an object", i);
        }
    }
    if (request->tools != NULL && !json_is_null(request->tools) && !json_is_array(request->tools)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "\"tools\" of a chat must be an array");
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (json_object_get(request->extra, taken[i]) != NULL) {
            return tw_fail(err, TRAWL_ERR_INVALID, "\"%s\" cannot be set among the extra variables of a chat",
                           taken[i]);
        }
    }
    return TRAWL_OK;
}

trawl_status tw_chat_render(const struct tw_tokenizer *tokenizer, const struct tw_chat_request *request,
                            struct tw_str *out, struct trawl_error *err)
{
    const struct tw_chat_template *chat = NULL;
    TW_TRY(check_request(request, err));
    TW_TRY(choose_template(tokenizer, request->tools != NULL && !json_is_null(request->tools), &chat, err));
    json_t *context = make_context(tokenizer, request);
    if (context == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "out of memory: variables of a chat template");
    }
    trawl_status status = tw_template_render(chat->compiled, context, request->options, out, err);
    json_decref(context);
    return status;
}
