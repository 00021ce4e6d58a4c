/* SPDX-License-Identifier: MIT */
/* The "normalizer", "pre_tokenizer" and "decoder" of tokenizer.json. */
#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"
#include "json/json.h"

/* The steps of GPT-2, which the ByteLevel pre-tokenizer has built in. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* Is this a replacement of one string by another? */
static bool replaces(const json_t *step, const char *from, const char *to)
{
    const char *pattern = json_string_value(json_object_get(json_object_get(step, "pattern"), "String"));
    const char *content = json_string_value(json_object_get(step, "content"));
    return strcmp(tw_load_type(step), "Replace") == 0 && pattern != NULL && content != NULL &&
           strcmp(pattern, from) == 0 && strcmp(content, to) == 0;
}

static bool is_string(const json_t *object, const char *key, const char *text)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL && strcmp(s, text) == 0;
}

/* ---- normalizer ---- */

bool tw_load_is_metaspace(const json_t *doc)
{
    const json_t *normalizer = json_object_get(doc, "normalizer"),
                 *pre        = json_object_get(doc, "pre_tokenizer");
    const json_t *list       = json_object_get(normalizer, "normalizers");
    bool marks               = replaces(normalizer, " ", TW_METASPACE);
    for (size_t i = 0; i < json_array_size(list); i++) {
        marks = marks || replaces(json_array_get(list, i), " ", TW_METASPACE);
    }
    return strcmp(tw_load_type(pre), "Metaspace") == 0 || (marks && (pre == NULL || json_is_null(pre)));
}

/* One step, not a Sequence. */
static trawl_status load_normalizer_step(struct tw_tokenizer *t, const json_t *step, const char *what,
                                         struct trawl_error *err)
{
    const char *type       = tw_load_type(step);
    struct tw_metaspace *m = &t->metaspace;
    if (strcmp(type, "NFC") == 0 && !m->used) {
        return t->nfc == NULL ? tw_nfc_new(&t->nfc, err) : TRAWL_OK;
    }
    if (m->used && !m->normalizes && replaces(step, " ", TW_METASPACE)) {
        m->normalizes = true;
        return TRAWL_OK;
    }
    if (m->used && !m->normalizes && strcmp(type, "Prepend") == 0 &&
        is_string(step, "prepend", TW_METASPACE)) {
        m->prefix = TW_METASPACE_EVERY;
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: normalizer \"%s\" is not supported (%s)", what, type,
                   m->used ? "Prepend of " TW_METASPACE ", Replace of spaces by " TW_METASPACE ", Sequence"
                           : "NFC, Sequence");
}

trawl_status tw_load_normalizer(struct tw_tokenizer *t, const json_t *normalizer, const char *what,
                                struct trawl_error *err)
{
    if (normalizer == NULL || json_is_null(normalizer)) {
        return TRAWL_OK;
    }
    if (strcmp(tw_load_type(normalizer), "Sequence") != 0) {
        return load_normalizer_step(t, normalizer, what, err);
    }
    const json_t *list = json_object_get(normalizer, "normalizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        TW_TRY(load_normalizer_step(t, json_array_get(list, i), what, err));
    }
    return TRAWL_OK;
}

/* ---- pre-tokenizer ---- */

static trawl_status load_behavior(struct tw_split_step *step, const json_t *split, const char *what,
                                  struct trawl_error *err)
{
    static const struct {
        const char *name;
        enum tw_split_behavior behavior;
    } known[]        = {{"Removed", TW_SPLIT_REMOVED},
                        {"Isolated", TW_SPLIT_ISOLATED},
                        {"MergedWithPrevious", TW_SPLIT_MERGED_WITH_PREVIOUS},
                        {"MergedWithNext", TW_SPLIT_MERGED_WITH_NEXT},
                        {"Contiguous", TW_SPLIT_CONTIGUOUS}};
    const char *name = "";
    TW_TRY(tw_json_get_string(split, "behavior", what, &name, err));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0) {
            step->behavior = known[i].behavior;
            return TRAWL_OK;
        }
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: behavior \"%s\" of pre_tokenizer Split is not supported",
                   what, name);
}

static trawl_status load_split(struct tw_split_step *step, const json_t *split, const char *what,
                               struct trawl_error *err)
{
    const json_t *pattern = json_object_get(split, "pattern");
    const json_t *regex   = json_object_get(pattern, "Regex");
    const json_t *literal = json_object_get(pattern, "String");
    TW_TRY(load_behavior(step, split, what, err));
    TW_TRY(tw_json_get_bool(split, "invert", what, &step->invert, err));
    if (json_is_string(regex)) {
        return tw_regex_compile(json_string_value(regex), json_string_length(regex), what, &step->regex, err);
    }
    if (json_is_string(literal)) {
        step->n_literal = json_string_length(literal);
        return tw_strndup(json_string_value(literal), step->n_literal, &step->literal, err);
    }
    return tw_fail(err, TRAWL_ERR_FORMAT, "%s: pattern of pre_tokenizer Split is neither Regex nor String",
                   what);
}

static trawl_status load_byte_level(struct tw_split_step *step, const json_t *byte_level, const char *what,
                                    struct trawl_error *err)
{
    bool use_regex         = true;
    step->behavior         = TW_SPLIT_ISOLATED;
    step->add_prefix_space = true;
    TW_TRY(tw_json_get_bool(byte_level, "use_regex", what, &use_regex, err));
    TW_TRY(tw_json_get_bool(byte_level, "add_prefix_space", what, &step->add_prefix_space, err));
    return use_regex ? tw_regex_compile(gpt2_pattern, sizeof gpt2_pattern - 1, what, &step->regex, err)
                     : TRAWL_OK;
}

static trawl_status load_step(struct tw_splitter *splitter, const json_t *part, bool *is_byte_level,
                              const char *what, struct trawl_error *err)
{
    const char *type = tw_load_type(part);
    if (splitter->n_steps == TW_SPLIT_MAX_STEPS) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: pre_tokenizer has more than %d steps", what,
                       TW_SPLIT_MAX_STEPS);
    }
    struct tw_split_step *step = &splitter->steps[splitter->n_steps++];
    *is_byte_level             = strcmp(type, "ByteLevel") == 0;
    if (*is_byte_level) {
        return load_byte_level(step, part, what, err);
    }
    if (strcmp(type, "Split") == 0) {
        return load_split(step, part, what, err);
    }
    if (strcmp(type, "Digits") == 0) {
        bool individual = false;
        TW_TRY(tw_json_get_bool(part, "individual_digits", what, &individual, err));
        step->digits   = true;
        step->behavior = individual ? TW_SPLIT_ISOLATED : TW_SPLIT_CONTIGUOUS;
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                   "%s: pre_tokenizer \"%s\" is not supported (ByteLevel, Digits, Split, Sequence)", what,
                   type);
}

/* The pre-tokenizer Metaspace, as tokenizers reads it: add_prefix_space is the older spelling of prepend_scheme. */
static trawl_status load_metaspace(struct tw_tokenizer *t, const json_t *pre, const char *what,
                                   struct trawl_error *err)
{
    struct tw_metaspace *m = &t->metaspace;
    bool prefix = true, split = true;
    const char *scheme = NULL, *replacement = TW_METASPACE;
    TW_TRY(tw_json_get_bool(pre, "add_prefix_space", what, &prefix, err));
    TW_TRY(tw_json_get_bool(pre, "split", what, &split, err));
    TW_TRY(tw_json_get_string(pre, "prepend_scheme", what, &scheme, err));
    TW_TRY(tw_json_get_string(pre, "replacement", what, &replacement, err));
    scheme = scheme == NULL ? (prefix ? "always" : "never") : scheme;
    if (m->normalizes || m->prefix != TW_METASPACE_NONE) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: pre_tokenizer Metaspace after a normalizer is not supported", what);
    }
    if (strcmp(replacement, TW_METASPACE) != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: replacement \"%s\" of pre_tokenizer Metaspace is not "
                       "supported (" TW_METASPACE ")",
                       what, replacement);
    }
    if (strcmp(scheme, "always") == 0) {
        m->prefix = TW_METASPACE_WORD;
    } else if (strcmp(scheme, "first") == 0) {
        m->prefix = TW_METASPACE_FIRST;
    } else if (strcmp(scheme, "never") != 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: prepend_scheme \"%s\" of pre_tokenizer Metaspace is not "
                       "supported (always, first, never)",
                       what, scheme);
    }
    if (split) {
        struct tw_split_step *step = &t->splitter.steps[t->splitter.n_steps++];
        step->behavior             = TW_SPLIT_MERGED_WITH_NEXT;
        step->n_literal            = 1;
        return tw_strdup(" ", &step->literal, err);
    }
    return TRAWL_OK;
}

trawl_status tw_load_splitter(struct tw_tokenizer *t, const json_t *pre_tokenizer, const char *what,
                              struct trawl_error *err)
{
    struct tw_splitter *splitter = &t->splitter;
    bool byte_level              = false;
    if (t->metaspace.used) {
        return t->metaspace.normalizes ? TRAWL_OK : load_metaspace(t, pre_tokenizer, what, err);
    }
    if (strcmp(tw_load_type(pre_tokenizer), "Sequence") != 0) {
        TW_TRY(load_step(splitter, pre_tokenizer, &byte_level, what, err));
    } else {
        json_t *list = NULL;
        TW_TRY(tw_json_get_array(pre_tokenizer, "pretokenizers", what, &list, err));
        for (size_t i = 0; i < json_array_size(list); i++) {
            if (byte_level) {
                /* It would see the byte alphabet, not the text. */
                return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: pre_tokenizer step after ByteLevel", what);
            }
            TW_TRY(load_step(splitter, json_array_get(list, i), &byte_level, what, err));
        }
    }
    if (!byte_level) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: pre_tokenizer without ByteLevel is not supported",
                       what);
    }
    return TRAWL_OK;
}

/* ---- decoder ---- */

static trawl_status load_strip(struct tw_tokenizer *t, const json_t *strip, const char *what,
                               struct trawl_error *err)
{
    int64_t start = 0, stop = 0;
    TW_TRY(tw_json_get_int(strip, "start", what, &start, err));
    TW_TRY(tw_json_get_int(strip, "stop", what, &stop, err));
    if (start < 0 || start > 1 || stop != 0 || !is_string(strip, "content", " ")) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: decoder Strip of more than one space at the beginning", what);
    }
    t->metaspace.strips = start == 1;
    return TRAWL_OK;
}

/* Spaces for marks, bytes for byte tokens, all joined, and then perhaps one space less at the beginning. */
static trawl_status load_metaspace_decoder(struct tw_tokenizer *t, const json_t *decoder, const char *what,
                                           struct trawl_error *err)
{
    const json_t *list = json_object_get(decoder, "decoders");
    size_t n           = strcmp(tw_load_type(decoder), "Sequence") == 0 ? json_array_size(list) : 0;
    if ((n != 3 && n != 4) || !replaces(json_array_get(list, 0), TW_METASPACE, " ") ||
        strcmp(tw_load_type(json_array_get(list, 1)), "ByteFallback") != 0 ||
        strcmp(tw_load_type(json_array_get(list, 2)), "Fuse") != 0 ||
        (n == 4 && strcmp(tw_load_type(json_array_get(list, 3)), "Strip") != 0)) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "%s: decoder \"%s\" is not supported (a Sequence of Replace of " TW_METASPACE
                       " by a space, ByteFallback, Fuse, Strip)",
                       what, tw_load_type(decoder));
    }
    return n == 4 ? load_strip(t, json_array_get(list, 3), what, err) : TRAWL_OK;
}

trawl_status tw_load_decoder(struct tw_tokenizer *t, const json_t *decoder, const char *what,
                             struct trawl_error *err)
{
    if (t->metaspace.used) {
        return load_metaspace_decoder(t, decoder, what, err);
    }
    const json_t *list = json_object_get(decoder, "decoders");
    if (strcmp(tw_load_type(decoder), "Sequence") == 0 && json_array_size(list) == 1) {
        decoder = json_array_get(list, 0);
    }
    if (strcmp(tw_load_type(decoder), "ByteLevel") == 0) {
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: decoder \"%s\" is not supported (ByteLevel)", what,
                   tw_load_type(decoder));
}
