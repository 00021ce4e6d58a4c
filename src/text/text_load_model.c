/* SPDX-License-Identifier: MIT */
/* The "model" of tokenizer.json. */
#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"
#include "text/text_metaspace.h"
#include "json/json.h"

/* ---- vocabulary ---- */

trawl_status tw_load_check_id(json_int_t id, const char *token, const char *what, struct trawl_error *err)
{
    if (id < 0 || id > TW_VOCAB_MAX_ID) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: token \"%.40s\" has id %" JSON_INTEGER_FORMAT ", expected 0..%d", what, token, id,
                       TW_VOCAB_MAX_ID);
    }
    return TRAWL_OK;
}

static bool id_taken(const struct tw_vocab *v, json_int_t id)
{
    return (size_t)id < v->n_ids && (v->pieces[id].flags & TW_PIECE_PRESENT) != 0;
}

/* How a file writes tokens. */
struct spelling {
    bool metaspace;
    struct tw_byte_alphabet alphabet; /* without metaspace */
    struct tw_str bytes;              /* what the last token spells */
};

/* Append what `token` spells; *spelt is false when no text does. */
static trawl_status spell(struct spelling *s, const char *token, size_t n, bool *spelt,
                          struct trawl_error *err)
{
    return s->metaspace ? tw_metaspace_spell(token, n, &s->bytes, spelt, err)
                        : tw_byte_alphabet_decode(&s->alphabet, token, n, &s->bytes, spelt, err);
}

/* The byte of "<0xE2>", -1 for another token. */
static int fallback_byte(const char *token, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    if (n != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') {
        return -1;
    }
    const char *high = memchr(digits, token[3], 16), *low = memchr(digits, token[4], 16);
    return high == NULL || low == NULL ? -1 : (int)(16 * (high - digits) + (low - digits));
}

static trawl_status add_token(struct tw_bpe_model *m, struct spelling *s, const char *token, int32_t id,
                              struct trawl_error *err)
{
    size_t n   = strlen(token);
    bool spelt = false;
    int byte   = s->metaspace ? fallback_byte(token, n) : -1;
    if (byte >= 0) {
        char c               = (char)byte;
        m->fallback_id[byte] = id;
        return tw_vocab_add(&m->vocab, id, &c, 1, TW_PIECE_LITERAL, err);
    }
    tw_str_reset(&s->bytes);
    TW_TRY(spell(s, token, n, &spelt, err));
    return spelt ? tw_vocab_add(&m->vocab, id, tw_str_text(&s->bytes), s->bytes.size, 0, err)
                 : tw_vocab_add(&m->vocab, id, token, n, TW_PIECE_LITERAL, err);
}

static trawl_status load_vocab(struct tw_bpe_model *m, const json_t *vocab, struct spelling *s,
                               const char *what, struct trawl_error *err)
{
    struct tw_vocab *v = &m->vocab;
    const char *token;
    json_t *id;
    json_object_foreach((json_t *)vocab, token, id)
    {
        if (!json_is_integer(id)) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "%s: id of token \"%.40s\" is %s, expected an integer",
                           what, token, tw_json_type_name(id));
        }
        json_int_t value = json_integer_value(id);
        TW_TRY(tw_load_check_id(value, token, what, err));
        if (id_taken(v, value)) {
            return tw_fail(err, TRAWL_ERR_FORMAT,
                           "%s: id %" JSON_INTEGER_FORMAT " is given to two tokens, one is \"%.40s\"", what,
                           value, token);
        }
        TW_TRY(add_token(m, s, token, (int32_t)value, err));
    }
    for (int b = 0; s->metaspace && b < 256; b++) {
        if (m->fallback_id[b] < 0) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: model.byte_fallback without the token <0x%02X>",
                           what, b);
        }
    }
    return tw_vocab_index(v, err);
}

/* ---- merges ---- */

/* A merge is "left right" or ["left", "right"]. */
static bool merge_parts(const json_t *merge, const char **left, size_t *n_left, const char **right,
                        size_t *n_right)
{
    if (json_is_string(merge)) {
        const char *text  = json_string_value(merge);
        const char *space = strchr(text, ' ');
        if (space == NULL || strchr(space + 1, ' ') != NULL) {
            return false;
        }
        *left    = text;
        *n_left  = (size_t)(space - text);
        *right   = space + 1;
        *n_right = strlen(space + 1);
        return *n_left > 0 && *n_right > 0;
    }
    if (json_array_size(merge) != 2) {
        return false;
    }
    *left    = json_string_value(json_array_get(merge, 0));
    *right   = json_string_value(json_array_get(merge, 1));
    *n_left  = *left == NULL ? 0 : strlen(*left);
    *n_right = *right == NULL ? 0 : strlen(*right);
    return *n_left > 0 && *n_right > 0;
}

static trawl_status load_merge(struct tw_bpe_model *m, const json_t *merge, size_t rank, struct spelling *s,
                               const char *what, struct trawl_error *err)
{
    const char *part[2];
    size_t n[2];
    bool spelt[2];
    if (!merge_parts(merge, &part[0], &n[0], &part[1], &n[1])) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: merge %zu is not a pair of tokens", what, rank);
    }
    const struct tw_str *bytes = &s->bytes;
    tw_str_reset(&s->bytes);
    TW_TRY(spell(s, part[0], n[0], &spelt[0], err));
    size_t cut = bytes->size;
    TW_TRY(spell(s, part[1], n[1], &spelt[1], err));
    const char *joined = tw_str_text(bytes);
    int32_t left       = spelt[0] ? tw_vocab_find(&m->vocab, joined, cut) : -1;
    int32_t right      = spelt[1] ? tw_vocab_find(&m->vocab, joined + cut, bytes->size - cut) : -1;
    int32_t result     = tw_vocab_find(&m->vocab, joined, bytes->size);
    if (left < 0 || right < 0 || result < 0) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "%s: merge %zu, \"%.40s\" + \"%.40s\", needs a token that the vocabulary lacks", what,
                       rank, left < 0 || n[0] < 40 ? part[0] : "...", part[1]);
    }
    tw_merges_add(&m->merges, left, right, (uint32_t)rank, result);
    return TRAWL_OK;
}

static trawl_status load_merges(struct tw_bpe_model *m, const json_t *merges, struct spelling *s,
                                const char *what, struct trawl_error *err)
{
    size_t n = json_array_size(merges);
    if (n >= INT32_MAX / 8) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: %zu merges, limit %d", what, n, INT32_MAX / 8);
    }
    TW_TRY(tw_merges_init(&m->merges, n, err));
    for (size_t i = 0; i < n; i++) {
        TW_TRY(load_merge(m, json_array_get(merges, i), i, s, what, err));
    }
    return TRAWL_OK;
}

/* ---- the model ---- */

/* What the model may not ask for. */
static trawl_status check_model(const json_t *model, bool metaspace, const char *what,
                                struct trawl_error *err)
{
    const char *type = tw_load_type(model);
    /* Old files leave the type of a BPE model out. */
    if (strcmp(type, "BPE") != 0 && !(type[0] == '\0' && json_object_get(model, "merges") != NULL)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: model type \"%s\" is not supported (byte-level BPE)",
                       what, type);
    }
    const char *prefix = "";
    const char *suffix = "";
    bool fallback      = false;
    double dropout     = 0.0;
    TW_TRY(tw_json_get_string(model, "continuing_subword_prefix", what, &prefix, err));
    TW_TRY(tw_json_get_string(model, "end_of_word_suffix", what, &suffix, err));
    TW_TRY(tw_json_get_bool(model, "byte_fallback", what, &fallback, err));
    TW_TRY(tw_json_get_double(model, "dropout", what, &dropout, err));
    if (prefix[0] != '\0' || suffix[0] != '\0') {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: model.%s is not supported", what,
                       prefix[0] != '\0' ? "continuing_subword_prefix" : "end_of_word_suffix");
    }
    if (fallback != metaspace) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: model.byte_fallback is %s, which is not supported %s",
                       what, fallback ? "true" : "false",
                       metaspace ? "where " TW_METASPACE " marks spaces" : "in byte-level BPE");
    }
    if (dropout != 0.0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: model.dropout %g is not supported: ids would be random", what, dropout);
    }
    return TRAWL_OK;
}

static trawl_status load_unk(struct tw_bpe_model *m, const json_t *model, const char *what,
                             struct trawl_error *err)
{
    const char *unk = NULL;
    m->unk_id       = -1;
    TW_TRY(tw_json_get_string(model, "unk_token", what, &unk, err));
    if (unk == NULL) {
        return TRAWL_OK;
    }
    const json_t *id = json_object_get(json_object_get(model, "vocab"), unk);
    if (!json_is_integer(id)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: model.unk_token \"%.40s\" is not in the vocabulary", what,
                       unk);
    }
    m->unk_id = (int32_t)json_integer_value(id); /* in range: the vocabulary was checked */
    return TRAWL_OK;
}

trawl_status tw_load_model(struct tw_bpe_model *m, const json_t *model, bool metaspace, const char *what,
                           struct trawl_error *err)
{
    json_t *vocab  = NULL;
    json_t *merges = NULL;
    if (!json_is_object(model)) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: \"model\" is %s, expected an object", what,
                       tw_json_type_name(model));
    }
    TW_TRY(check_model(model, metaspace, what, err));
    TW_TRY(tw_json_get_object(model, "vocab", what, &vocab, err));
    TW_TRY(tw_json_get_array(model, "merges", what, &merges, err));
    TW_TRY(tw_json_get_bool(model, "ignore_merges", what, &m->ignore_merges, err));
    TW_TRY(tw_json_get_bool(model, "fuse_unk", what, &m->fuse_unk, err));
    if (vocab == NULL || merges == NULL) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "%s: model has no \"%s\"", what,
                       vocab == NULL ? "vocab" : "merges");
    }
    struct spelling s = {.metaspace = metaspace};
    tw_byte_alphabet_init(&s.alphabet);
    tw_str_init(&s.bytes, 0);
    tw_vocab_init(&m->vocab);
    m->by_character = metaspace;
    memset(m->fallback_id, 0xFF, sizeof m->fallback_id);
    trawl_status status = load_vocab(m, vocab, &s, what, err);
    if (status == TRAWL_OK) {
        status = load_merges(m, merges, &s, what, err);
    }
    tw_str_release(&s.bytes);
    return status == TRAWL_OK ? load_unk(m, model, what, err) : status;
}
