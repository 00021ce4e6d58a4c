/* SPDX-License-Identifier: MIT */
#include "cli/chat/chat_history.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

enum { FILE_LIMIT = 256 << 20 };

/* A dialogue as people write it down: what a model that was not trained on any template has read most of. */
static const char plain_template[] =
    "{%- for m in messages -%}\n"
    "{%- if m.role == 'system' -%}{{ m.content | trim + '\\n\\n' }}\n"
    "{%- else -%}\n"
    "{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content | trim + '\\n' }}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
    "Assistant:";

trawl_status cli_chat_history_open(struct cli_chat_history *h, bool has_chat_template,
                                   struct trawl_error *err)
{
    *h = (struct cli_chat_history){.messages = json_array()};
    if (h->messages == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the messages of a chat");
    }
    return has_chat_template ? TRAWL_OK
                             : tw_template_compile(plain_template, sizeof plain_template - 1, "plain chat",
                                                   TW_TEMPLATE_CHAT, &h->plain, err);
}

void cli_chat_history_release(struct cli_chat_history *h)
{
    json_decref(h->messages);
    tw_template_free(h->plain);
    *h = (struct cli_chat_history){0};
}

const char *cli_chat_history_stop(const struct cli_chat_history *h)
{
    return h->plain == NULL ? NULL : "\nUser:";
}

/* ---- messages ---- */

static bool has_role(const json_t *message, const char *role)
{
    const char *of = json_string_value(json_object_get(message, "role"));
    return of != NULL && strcmp(of, role) == 0;
}

static const json_t *system_of(const struct cli_chat_history *h)
{
    const json_t *first = json_array_get(h->messages, 0);
    return has_role(first, "system") ? first : NULL;
}

const char *cli_chat_history_get_system(const struct cli_chat_history *h, size_t *n)
{
    const json_t *content = json_object_get(system_of(h), "content");
    *n                    = json_string_length(content);
    return json_string_value(content);
}

static trawl_status make(const char *role, const char *text, size_t n, json_t **out, struct trawl_error *err)
{
    *out = json_pack("{s:s,s:s%}", "role", role, "content", text, n);
    return *out != NULL ? TRAWL_OK : tw_fail(err, TRAWL_ERR_FORMAT, "the text is not UTF-8");
}

trawl_status cli_chat_history_system(struct cli_chat_history *h, const char *text, size_t n,
                                     struct trawl_error *err)
{
    json_t *message = NULL;
    if (text != NULL) {
        TW_TRY(make("system", text, n, &message, err));
    }
    if (system_of(h) != NULL) {
        (void)json_array_remove(h->messages, 0);
    }
    if (message != NULL && json_array_insert_new(h->messages, 0, message) != 0) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a message");
    }
    return TRAWL_OK;
}

trawl_status cli_chat_history_add(struct cli_chat_history *h, const char *role, const char *text, size_t n,
                                  struct trawl_error *err)
{
    json_t *message = NULL;
    TW_TRY(make(role, text, n, &message, err));
    return json_array_append_new(h->messages, message) == 0
               ? TRAWL_OK
               : tw_fail(err, TRAWL_ERR_NOMEM, "no memory for a message");
}

/* Messages up to the last one of the user; 0: there is none. */
static size_t up_to_user(const struct cli_chat_history *h)
{
    size_t n = json_array_size(h->messages);
    while (n > 0 && !has_role(json_array_get(h->messages, n - 1), "user")) {
        n--;
    }
    return n;
}

static void keep(struct cli_chat_history *h, size_t n)
{
    for (size_t i = json_array_size(h->messages); i > n; i--) {
        (void)json_array_remove(h->messages, i - 1);
    }
}

bool cli_chat_history_drop_answer(struct cli_chat_history *h)
{
    size_t n = up_to_user(h);
    if (n > 0) {
        keep(h, n);
    }
    return n > 0;
}

bool cli_chat_history_drop_turn(struct cli_chat_history *h)
{
    size_t n = up_to_user(h);
    if (n > 0) {
        keep(h, n - 1);
    }
    return n > 0;
}

void cli_chat_history_reset(struct cli_chat_history *h)
{
    keep(h, system_of(h) != NULL);
}

size_t cli_chat_history_turns(const struct cli_chat_history *h)
{
    size_t turns = 0;
    for (size_t i = 0; i < json_array_size(h->messages); i++) {
        turns += has_role(json_array_get(h->messages, i), "user");
    }
    return turns;
}

/* ---- ids ---- */

static trawl_status encode_plain(const struct cli_chat_history *h, struct cli_row_text *t,
                                 struct trawl_error *err)
{
    json_t *context = json_pack("{s:O}", "messages", h->messages);
    if (context == NULL) {
        return tw_fail(err, TRAWL_ERR_NOMEM, "no memory for the variables of a chat template");
    }
    tw_str_reset(&t->text);
    trawl_status status = tw_template_render(h->plain, context, NULL, &t->text, err);
    json_decref(context);
    return status == TRAWL_OK ? cli_encode_text(t, tw_str_text(&t->text), t->text.size, true, err) : status;
}

trawl_status cli_chat_history_encode(const struct cli_chat_history *h, struct cli_row_text *t,
                                     struct trawl_error *err)
{
    return h->plain != NULL ? encode_plain(h, t, err) : cli_encode_messages(t, h->messages, err);
}

/* ---- files ---- */

trawl_status cli_chat_history_save(const struct cli_chat_history *h, const char *path,
                                   struct trawl_error *err)
{
    struct tw_str text;
    struct tw_json_writer w;
    tw_str_init(&text, 0);
    tw_json_writer_init(&w, &text, 0);
    tw_json_begin_object(&w);
    tw_json_key(&w, "messages");
    tw_json_value(&w, h->messages);
    tw_json_end_object(&w);
    trawl_status status = tw_json_writer_finish(&w, err);
    if (status == TRAWL_OK) {
        status = tw_str_putc(&text, '\n', err);
    }
    if (status == TRAWL_OK) {
        status = tw_file_replace(path, text.data, text.size, err);
    }
    tw_str_release(&text);
    return status;
}

/* What a template takes for granted. */
static trawl_status check_messages(const json_t *messages, const char *name, struct trawl_error *err)
{
    size_t n = json_array_size(messages);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(messages, i), *role = json_object_get(m, "role");
        if (!json_is_object(m) || !json_is_string(role)) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: message %zu has %s, expected an object with a \"role\"", name, i,
                           json_is_object(m) ? "no \"role\" that is a string" : tw_json_type_name(m));
        }
        if (i > 0 && has_role(m, "system")) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: message %zu is the system's, expected it to be the first only", name, i);
        }
    }
    return TRAWL_OK;
}

trawl_status cli_chat_history_parse(struct cli_chat_history *h, const char *text, size_t n, const char *name,
                                    struct trawl_error *err)
{
    json_t *row = NULL;
    TW_TRY(tw_json_parse(text, n, name, &row, err));
    json_t *messages    = json_is_array(row) ? row : json_object_get(row, "messages");
    trawl_status status = TRAWL_OK;
    if (!json_is_array(messages)) {
        status = tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"messages\" is %s, expected an array", name,
                         tw_json_type_name(messages));
    } else {
        status = check_messages(messages, name, err);
    }
    if (status == TRAWL_OK) {
        json_decref(h->messages);
        h->messages = json_incref(messages);
    }
    json_decref(row);
    return status;
}

trawl_status cli_chat_history_load(struct cli_chat_history *h, const char *path, struct trawl_error *err)
{
    char *text = NULL;
    size_t n   = 0;
    TW_TRY(tw_file_read(path, FILE_LIMIT, &text, &n, err));
    trawl_status status = cli_chat_history_parse(h, text, n, path, err);
    tw_free(text);
    return status;
}
