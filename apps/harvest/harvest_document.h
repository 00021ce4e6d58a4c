/* SPDX-License-Identifier: MIT */
/* Entries of files become documents: token ids, and where they are from. */
#ifndef TW_HARVEST_DOCUMENT_H
#define TW_HARVEST_DOCUMENT_H

#include "apps/harvest/harvest_source.h"
#include "text/text_tokenizer.h"
#include "json/json.h"

enum tw_harvest_bos {
    TW_HARVEST_BOS_AUTO, /* as the tokenizer does with a text: Llama's BOS, nothing for Qwen2.5 */
    TW_HARVEST_BOS_ADD,  /* the folder's BOS token where the tokenizer itself adds none */
    TW_HARVEST_BOS_NONE
};

struct tw_harvest_input {
    const char *const *paths; /* [n_paths] */
    size_t n_paths;
    enum tw_harvest_format format;
    bool split_lines;
    const char *text_field; /* member of a row that holds its text; NULL: "text", or else ids or messages */
    enum tw_harvest_bos bos;
    const struct tw_tokenizer *tokenizer;
    size_t vocab_size; /* of the model: ids of rows are below */
    /* A row or text that cannot be used; it is skipped. NULL: nobody is told. */
    void (*skipped)(void *user, const char *why);
    void *user;
};

struct tw_harvest_document {
    uint64_t number; /* place among the documents that could be read, from 0 */
    const char *file;
    uint64_t line;  /* 0: the whole file */
    const char *id; /* JSON of the row's "id", a string or an integer; "" without one */
    int32_t *ids;   /* [n] without the tokens that contexts begin with; may be 0 of them */
    size_t n;
};

struct tw_harvest_reader {
    const struct tw_harvest_input *input;
    struct tw_harvest_source source;
    struct tw_encoder *encoder;
    struct tw_ids prefix; /* what every context begins with */
    struct tw_ids ids;
    struct tw_str text, id;
    uint64_t n_documents, n_skipped;
};

/* `input` and what it points to outlive the reader. UNSUPPORTED: BOS_ADD and the folder names no BOS token. */
trawl_status tw_harvest_reader_open(struct tw_harvest_reader *r, const struct tw_harvest_input *input,
                                    struct trawl_error *err);
void tw_harvest_reader_close(struct tw_harvest_reader *r); /* harmless on zeros */

/* The next document, valid until the next call; *more is false behind the last. What is wrong with a row, or with
 * the UTF-8 of a text, is told to `skipped` and counted; failures are those of files and memory. */
trawl_status tw_harvest_reader_next(struct tw_harvest_reader *r, struct tw_harvest_document *document,
                                    bool *more, struct trawl_error *err);

#endif /* TW_HARVEST_DOCUMENT_H */
