/* SPDX-License-Identifier: MIT */
/* The "normalizer" and "pre_tokenizer" of tokenizer.json. */
#include <string.h>

#include "base/alloc.h"
#include "text/text_load.h"
#include "json/json.h"

/* The steps of GPT-2, which the ByteLevel pre-tokenizer has built in. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

trawl_status tw_load_normalizer(struct tw_tokenizer *t, const json_t *normalizer, const char *what,
                                struct trawl_error *err)
{
    if (normalizer == NULL || json_is_null(normalizer)) {
        return TRAWL_OK;
    }
    const char *type = tw_load_type(normalizer);
    if (strcmp(type, "NFC") == 0) {
        return t->nfc == NULL ? tw_nfc_new(&t->nfc, err) : TRAWL_OK;
    }
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(normalizer, "normalizers");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *part = json_array_get(list, i);
            if (strcmp(tw_load_type(part), "NFC") != 0) {
                return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: normalizer \"%s\" is not supported (NFC)",
                               what, tw_load_type(part));
            }
            TW_TRY(tw_load_normalizer(t, part, what, err));
        }
        return TRAWL_OK;
    }
    return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "%s: normalizer \"%s\" is not supported (NFC, Sequence)", what,
                   type);
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

trawl_status tw_load_splitter(struct tw_splitter *splitter, const json_t *pre_tokenizer, const char *what,
                              struct trawl_error *err)
{
    bool byte_level = false;
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
