/* SPDX-License-Identifier: MIT */
/* A tokenizer from its files, but for the model (text_load_model.c) and the steps before it
 * (text_load_steps.c). */
#include "text/text_load.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "json/json.h"

enum { TOKENIZER_FILE_LIMIT = 256 << 20, CONFIG_FILE_LIMIT = 16 << 20 };

const char *tw_load_type(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type == NULL ? "" : type;
}

/* ---- named tokens ---- */

/* A token is named by its text or by an object with "content". */
static const char *token_text(const json_t *v)
{
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static trawl_status load_named(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                               struct trawl_error *err)
{
    static const char *const keys[TW_NAMED_TOKENS] = {"bos_token", "eos_token", "pad_token", "unk_token"};
    for (int i = 0; i < TW_NAMED_TOKENS; i++) {
        const char *text = token_text(json_object_get(files->config, keys[i]));
        if (text == NULL) {
            text = token_text(json_object_get(files->special, keys[i]));
        }
        t->named[i].id = -1;
        if (text == NULL) {
            continue;
        }
        TW_TRY(tw_strdup(text, &t->named[i].text, err));
        t->named[i].id = tw_tokenizer_find(t, text, strlen(text));
        bool needed    = i == TW_TOKEN_BOS || i == TW_TOKEN_EOS; /* nothing here ever pads */
        if (t->named[i].id < 0 && needed) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s/tokenizer_config.json: %s \"%s\" is not a token of tokenizer.json", t->folder,
                           keys[i], text);
        }
    }
    return TRAWL_OK;
}

/* ---- post-processor ---- */

/* Append the ids of special token `name` of a TemplateProcessing. */
static trawl_status template_ids(const json_t *post, const char *name, struct tw_affix *affix,
                                 const char *what, struct trawl_error *err)
{
    const json_t *ids =
        json_object_get(json_object_get(json_object_get(post, "special_tokens"), name), "ids");
    size_t n = json_array_size(ids);
    if (n == 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: post_processor uses \"%s\", which its special_tokens lack",
                       what, name);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t v     = json_integer_value(id);
        if (!json_is_integer(id) || v < 0 || v > TW_VOCAB_MAX_ID) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: post_processor: an id of \"%s\" is no token id", what,
                           name);
        }
        if (affix->n == sizeof affix->ids / sizeof *affix->ids) {
            return tw_fail(err, TRAWL_ERR_LIMIT, "%s: post_processor adds more than %zu ids", what, affix->n);
        }
        affix->ids[affix->n++] = (int32_t)v;
    }
    return TRAWL_OK;
}

static trawl_status load_template_processing(struct tw_tokenizer *t, const json_t *post, const char *what,
                                             struct trawl_error *err)
{
    const json_t *single = json_object_get(post, "single");
    bool seen            = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *part = json_array_get(single, i);
        if (json_object_get(part, "Sequence") != NULL && !seen) {
            seen = true;
            continue;
        }
        const char *name = json_string_value(json_object_get(json_object_get(part, "SpecialToken"), "id"));
        if (name == NULL) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: post_processor: part %zu of \"single\" is no special token", what, i);
        }
        TW_TRY(template_ids(post, name, seen ? &t->suffix : &t->prefix, what, err));
    }
    if (!seen) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: post_processor: \"single\" has no sequence", what);
    }
    return TRAWL_OK;
}

trawl_status tw_load_post_processor(struct tw_tokenizer *t, const json_t *post, const char *what,
                                    struct trawl_error *err)
{
    if (post == NULL || json_is_null(post)) {
        return TRAWL_OK;
    }
    const char *type = tw_load_type(post);
    if (strcmp(type, "ByteLevel") == 0) {
        return TRAWL_OK; /* trims offsets, which nobody here asks for */
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        if (t->prefix.n + t->suffix.n > 0) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: more than one TemplateProcessing", what);
        }
        return load_template_processing(t, post, what, err);
    }
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(post, "processors");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *part = json_array_get(list, i);
            if (strcmp(tw_load_type(part), "Sequence") == 0) {
                return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: post_processor: Sequence within Sequence",
                               what);
            }
            TW_TRY(tw_load_post_processor(t, part, what, err));
        }
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                   "%s: post_processor \"%s\" is not supported (ByteLevel, TemplateProcessing, Sequence)",
                   what, type);
}

/* ---- all of it ---- */

static trawl_status build_from(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                               const char *what, struct trawl_error *err)
{
    const json_t *doc = files->tokenizer;
    if (!json_is_object(doc)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: %s, expected an object", what, tw_json_type_name(doc));
    }
    t->metaspace.used = tw_load_is_metaspace(doc);
    TW_TRY(tw_load_model(&t->model, json_object_get(doc, "model"), t->metaspace.used, what, err));
    TW_TRY(tw_load_normalizer(t, json_object_get(doc, "normalizer"), what, err));
    TW_TRY(tw_load_splitter(t, json_object_get(doc, "pre_tokenizer"), what, err));
    TW_TRY(tw_load_decoder(t, json_object_get(doc, "decoder"), what, err));
    TW_TRY(tw_load_added(t, doc, files->config, what, err));
    TW_TRY(tw_load_post_processor(t, json_object_get(doc, "post_processor"), what, err));
    TW_TRY(load_named(t, files, err));
    return tw_load_chat(t, files, err);
}

trawl_status tw_tokenizer_build(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                                struct trawl_error *err)
{
    char *what = NULL;
    TW_TRY(tw_path_join(t->folder, "tokenizer.json", &what, err));
    trawl_status status = build_from(t, files, what, err);
    tw_free(what);
    return status;
}

/* A JSON file that may be absent. */
static trawl_status read_optional_json(const char *folder, const char *name, json_t **out,
                                       struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(folder, name, &path, err));
    trawl_status status = TRAWL_OK;
    if (tw_path_exists(path)) {
        status = tw_json_parse_file(path, CONFIG_FILE_LIMIT, out, err);
    }
    tw_free(path);
    return status;
}

static trawl_status read_files(struct tw_tokenizer *t, json_t **docs, char **chat, size_t *n_chat,
                               struct trawl_error *err)
{
    char *path = NULL;
    TW_TRY(tw_path_join(t->folder, "tokenizer.json", &path, err));
    trawl_status status = tw_json_parse_file(path, TOKENIZER_FILE_LIMIT, &docs[0], err);
    tw_free(path);
    TW_TRY(status);
    TW_TRY(read_optional_json(t->folder, "tokenizer_config.json", &docs[1], err));
    TW_TRY(read_optional_json(t->folder, "special_tokens_map.json", &docs[2], err));
    TW_TRY(tw_path_join(t->folder, "chat_template.jinja", &path, err));
    if (tw_path_exists(path)) {
        status = tw_file_read(path, CONFIG_FILE_LIMIT, chat, n_chat, err);
    }
    tw_free(path);
    return status;
}

trawl_status tw_tokenizer_open(const char *folder, struct tw_tokenizer **out, struct trawl_error *err)
{
    json_t *docs[3] = {NULL, NULL, NULL};
    char *chat      = NULL;
    size_t n_chat   = 0;
    TW_TRY(tw_alloc(1, sizeof **out, out, err));
    trawl_status status = tw_strdup(folder, &(*out)->folder, err);
    if (status == TRAWL_OK) {
        status = read_files(*out, docs, &chat, &n_chat, err);
    }
    if (status == TRAWL_OK) {
        struct tw_tokenizer_files files = {docs[0], docs[1], docs[2], chat, n_chat};
        status                          = tw_tokenizer_build(*out, &files, err);
    }
    for (int i = 0; i < 3; i++) {
        json_decref(docs[i]);
    }
    tw_free(chat);
    if (status != TRAWL_OK) {
        tw_tokenizer_close(*out);
        *out = NULL;
    }
    return status;
}

void tw_tokenizer_close(struct tw_tokenizer *t)
{
    if (t == NULL) {
        return;
    }
    tw_vocab_release(&t->model.vocab);
    tw_merges_release(&t->model.merges);
    tw_added_release(&t->added);
    tw_added_release(&t->added_normalized);
    tw_free(t->nfc);
    tw_splitter_release(&t->splitter);
    for (int i = 0; i < TW_NAMED_TOKENS; i++) {
        tw_free(t->named[i].text);
    }
    for (size_t i = 0; i < t->n_chat; i++) {
        tw_free(t->chat[i].name);
        tw_template_free(t->chat[i].compiled);
    }
    tw_free(t->folder);
    tw_free(t);
}
