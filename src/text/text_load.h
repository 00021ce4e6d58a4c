/* SPDX-License-Identifier: MIT */
/* The inside of a tokenizer, and how it is built from the files of a folder. */
#ifndef TW_TEXT_LOAD_H
#define TW_TEXT_LOAD_H

#include <jansson.h>

#include "text/text_added.h"
#include "text/text_bpe.h"
#include "text/text_metaspace.h"
#include "text/text_nfc.h"
#include "text/text_split.h"
#include "text/text_template.h"
#include "text/text_tokenizer.h"

/* Ids that the post-processor puts around a text. */
struct tw_affix {
    int32_t ids[16];
    size_t n;
};

struct tw_named {
    char *text; /* owned; NULL: not named */
    int32_t id;
};

enum { TW_CHAT_MAX_TEMPLATES = 8 };

/* One chat template of a folder; `status` and `error` say why it cannot be used, if so. */
struct tw_chat_template {
    char *name;                   /* owned; "default" when the file names none */
    struct tw_template *compiled; /* owned; NULL when status is not TRAWL_OK */
    trawl_status status;
    struct trawl_error error;
};

struct tw_tokenizer {
    char *folder;                         /* owned; for messages */
    struct tw_bpe_model model;            /* pieces of added tokens are in model.vocab too */
    struct tw_added_set added;            /* looked for in the text as it is */
    struct tw_added_set added_normalized; /* looked for after normalising */
    struct tw_nfc *nfc;                   /* NULL: the text is taken as it is */
    struct tw_metaspace metaspace;
    struct tw_splitter splitter;
    struct tw_affix prefix;
    struct tw_affix suffix;
    struct tw_named named[TW_NAMED_TOKENS];

    struct tw_chat_template chat[TW_CHAT_MAX_TEMPLATES];
    size_t n_chat;
};

/* The files, parsed; NULL where the folder lacks them. */
struct tw_tokenizer_files {
    const json_t *tokenizer; /* tokenizer.json */
    const json_t *config;    /* tokenizer_config.json */
    const json_t *special;   /* special_tokens_map.json */
    const char *chat;        /* chat_template.jinja */
    size_t n_chat;
};

/* Fill a zeroed tokenizer. On failure the caller releases it all the same (tw_tokenizer_close). */
trawl_status tw_tokenizer_build(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                                struct trawl_error *err);

/* Steps of it. `what` is the file's path, for messages. */
trawl_status tw_load_model(struct tw_bpe_model *m, const json_t *model, bool metaspace, const char *what,
                           struct trawl_error *err);
/* Does tokenizer.json mark spaces as SentencePiece does, instead of spelling bytes? */
bool tw_load_is_metaspace(const json_t *doc);
trawl_status tw_load_normalizer(struct tw_tokenizer *t, const json_t *normalizer, const char *what,
                                struct trawl_error *err);
trawl_status tw_load_splitter(struct tw_tokenizer *t, const json_t *pre_tokenizer, const char *what,
                              struct trawl_error *err);
trawl_status tw_load_decoder(struct tw_tokenizer *t, const json_t *decoder, const char *what,
                             struct trawl_error *err);
/* `doc` is all of tokenizer.json. */
trawl_status tw_load_added(struct tw_tokenizer *t, const json_t *doc, const json_t *config, const char *what,
                           struct trawl_error *err);
trawl_status tw_load_post_processor(struct tw_tokenizer *t, const json_t *post, const char *what,
                                    struct trawl_error *err);
trawl_status tw_load_chat(struct tw_tokenizer *t, const struct tw_tokenizer_files *files,
                          struct trawl_error *err);

/* The "type" member of a part of tokenizer.json, "" if it has none. */
const char *tw_load_type(const json_t *object);
/* Is this a possible token id? */
trawl_status tw_load_check_id(json_int_t id, const char *token, const char *what, struct trawl_error *err);

#endif /* TW_TEXT_LOAD_H */
