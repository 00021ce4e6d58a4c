/* SPDX-License-Identifier: MIT */
/* The added tokens of tokenizer.json and tokenizer_config.json. */
#include <stdlib.h>
#include <string.h>

#include "text/text_load.h"
#include "json/json.h"

/* A new piece: where U+2581 marks spaces, decoding turns it into a space in added tokens as well, and those that
 * are looked for with a space in front have it when decoded. */
static trawl_status add_literal(struct tw_tokenizer *t, const struct tw_added_token *a, bool normalized,
                                uint32_t flags, struct trawl_error *err)
{
    static const struct tw_metaspace bare = {.prefix = TW_METASPACE_NONE};
    const struct tw_metaspace *m          = normalized && t->metaspace.normalizes ? &t->metaspace : &bare;
    struct tw_vocab *v                    = &t->model.vocab;
    if (!t->metaspace.used || a->n == 0) {
        return tw_vocab_add(v, a->id, a->text, a->n, flags, err);
    }
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = tw_metaspace_append(m, a->text, a->n, true, &text, err);
    if (status == TRAWL_OK) {
        status = tw_vocab_add(v, a->id, text.data, text.size, flags, err);
    }
    tw_str_release(&text);
    return status;
}

/* Put an added token into the table of pieces. An entry of the model's vocabulary keeps its bytes: those
 * are what its merges spell. */
static trawl_status add_piece(struct tw_tokenizer *t, const json_t *vocab, const struct tw_added_token *a,
                              bool normalized, const char *what, struct trawl_error *err)
{
    struct tw_vocab *v  = &t->model.vocab;
    const json_t *entry = json_object_get(vocab, a->text);
    uint32_t flags      = TW_PIECE_ADDED | (a->special ? TW_PIECE_SPECIAL : 0u);
    if (entry != NULL && json_integer_value(entry) != a->id) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: added token \"%.40s\" has id %d, the vocabulary gives it %" JSON_INTEGER_FORMAT,
                       what, a->text, (int)a->id, json_integer_value(entry));
    }
    size_t n          = 0;
    const char *taken = tw_vocab_piece(v, a->id, &n);
    if (taken == NULL) {
        return add_literal(t, a, normalized, flags | TW_PIECE_LITERAL, err);
    }
    if (entry == NULL || (v->pieces[a->id].flags & TW_PIECE_ADDED) != 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: added token \"%.40s\" has id %d, which is \"%.*s\" already", what, a->text,
                       (int)a->id, (int)(n > 40 ? 40 : n), taken);
    }
    v->pieces[a->id].flags |= flags;
    return TRAWL_OK;
}

/* Put it into the set it is looked for in. */
static trawl_status add_pattern(struct tw_tokenizer *t, struct tw_added_token *a, bool normalized,
                                const char *what, struct trawl_error *err)
{
    if (!normalized || (t->nfc == NULL && !t->metaspace.normalizes)) {
        return tw_added_add(normalized ? &t->added_normalized : &t->added, a, err);
    }
    if (t->metaspace.normalizes && (a->lstrip || a->rstrip || a->single_word)) {
        return tw_fail(
            err, TRAWL_ERR_UNSUPPORTED,
            "%s: added token \"%.40s\" is normalized and has lstrip, rstrip or single_word, which is not "
            "supported where " TW_METASPACE " marks spaces",
            what, a->text);
    }
    struct tw_nfc_scratch scratch = {0};
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status = t->metaspace.normalizes && a->n > 0
                              ? tw_metaspace_append(&t->metaspace, a->text, a->n, true, &text, err)
                              : tw_nfc_append(&scratch, a->text, a->n, &text, err);
    if (status == TRAWL_OK) {
        a->text = text.data;
        a->n    = text.size;
        status  = tw_added_add(&t->added_normalized, a, err);
    }
    tw_nfc_scratch_release(&scratch);
    tw_str_release(&text);
    return status;
}

/* One added token as both files write it, its id apart: tokenizer_config.json has it as a key. */
static trawl_status add_token(struct tw_tokenizer *t, const json_t *vocab, const json_t *token, json_int_t id,
                              const char *what, struct trawl_error *err)
{
    const char *content     = NULL;
    bool normalized         = false;
    struct tw_added_token a = {0};
    TW_TRY(tw_json_get_string(token, "content", what, &content, err));
    TW_TRY(tw_json_get_bool(token, "special", what, &a.special, err));
    TW_TRY(tw_json_get_bool(token, "normalized", what, &normalized, err));
    TW_TRY(tw_json_get_bool(token, "single_word", what, &a.single_word, err));
    TW_TRY(tw_json_get_bool(token, "lstrip", what, &a.lstrip, err));
    TW_TRY(tw_json_get_bool(token, "rstrip", what, &a.rstrip, err));
    if (content == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: an added token has no \"content\"", what);
    }
    TW_TRY(tw_load_check_id(id, content, what, err));
    struct tw_str text;
    tw_str_init(&text, 0);
    TW_TRY(tw_str_append(&text, content, json_string_length(json_object_get(token, "content")), err));
    a.text              = text.data;
    a.n                 = text.size;
    a.id                = (int32_t)id;
    trawl_status status = add_piece(t, vocab, &a, normalized, what, err);
    if (status == TRAWL_OK) {
        status = add_pattern(t, &a, normalized, what, err);
    }
    tw_str_release(&text);
    return status;
}

/* A token of tokenizer_config.json's added_tokens_decoder: tokenizer.json has it too, or it is added as
 * transformers does. */
static trawl_status add_from_config(struct tw_tokenizer *t, const json_t *vocab, const char *key,
                                    const json_t *token, struct trawl_error *err)
{
    char what[256];
    char *end           = NULL;
    long long id        = strtoll(key, &end, 10);
    const char *content = json_string_value(json_object_get(token, "content"));
    (void)snprintf(what, sizeof what, "%s/tokenizer_config.json", t->folder);
    if (*key == '\0' || *end != '\0' || content == NULL || id < 0 || id > TW_VOCAB_MAX_ID) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: added_tokens_decoder: \"%.40s\" is no token", what, key);
    }
    size_t n          = 0;
    const char *piece = tw_vocab_piece(&t->model.vocab, (int32_t)id, &n);
    if (piece != NULL && (t->model.vocab.pieces[id].flags & TW_PIECE_ADDED) != 0) {
        if (tw_tokenizer_find(t, content, strlen(content)) == (int32_t)id) {
            return TRAWL_OK;
        }
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: id %lld is \"%.40s\", in tokenizer.json it is \"%.*s\"",
                       what, id, content, (int)(n > 40 ? 40 : n), piece);
    }
    return add_token(t, vocab, token, id, what, err);
}

trawl_status tw_load_added(struct tw_tokenizer *t, const json_t *doc, const json_t *config, const char *what,
                           struct trawl_error *err)
{
    const json_t *vocab = json_object_get(json_object_get(doc, "model"), "vocab");
    json_t *list        = NULL;
    TW_TRY(tw_json_get_array(doc, "added_tokens", what, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        int64_t id          = -1;
        TW_TRY(tw_json_get_int(token, "id", what, &id, err));
        TW_TRY(add_token(t, vocab, token, id, what, err));
    }
    tw_added_build(&t->added);
    tw_added_build(&t->added_normalized);
    const char *key;
    json_t *token;
    json_t *decoder = json_object_get(config, "added_tokens_decoder");
    json_object_foreach(decoder, key, token)
    {
        TW_TRY(add_from_config(t, vocab, key, token, err));
    }
    tw_added_build(&t->added);
    tw_added_build(&t->added_normalized);
    return TRAWL_OK;
}
