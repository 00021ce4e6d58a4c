/* SPDX-License-Identifier: MIT */
/* Documents cut into contexts: the sequences that the model sees, numbered from 0 on. What a context is depends on the
 * input and on these settings alone, so that every shard and every resumed run finds the same ones. */
#ifndef TW_HARVEST_CONTEXT_H
#define TW_HARVEST_CONTEXT_H

#include "apps/harvest/harvest_document.h"

/* Of a document that is longer than a context. */
enum tw_harvest_overflow {
    TW_HARVEST_SPLIT,    /* as many contexts as it takes */
    TW_HARVEST_TRUNCATE, /* its beginning only */
    TW_HARVEST_SKIP      /* nothing */
};

struct tw_harvest_cut {
    size_t context_size; /* tokens of a context, those that it begins with among them */
    enum tw_harvest_overflow overflow;
    bool
        pack; /* contexts are filled with one document after another, the end token between them; needs SPLIT */
    int32_t end; /* that token */
    size_t
        drop_first_tokens; /* contexts that are not longer than this would have no rows: there are none of these */
    uint64_t max_tokens;    /* of all contexts together; 0: no limit */
    uint64_t max_documents; /* 0: no limit */
};

/* A stretch of a document in a context. */
struct tw_harvest_piece {
    uint64_t document, line;
    const char *file;
    size_t id; /* offset of its text in the context's ids_text */
    size_t first_token, n, position;
};

struct tw_harvest_context {
    uint64_t number;
    const int32_t *ids; /* [n] */
    size_t n;
    const struct tw_harvest_piece
        *pieces; /* [n_pieces] by position; none where there are but tokens that belong to no document */
    size_t n_pieces;
    const char *id_texts; /* JSON of ids, each ended by NUL */
};

struct tw_harvest_counts {
    uint64_t documents;                  /* that were read, empty ones among them */
    uint64_t empty, left_out, truncated; /* left_out: by TW_HARVEST_SKIP */
    uint64_t contexts, tokens;
    bool stopped;                /* max_tokens or max_documents was reached */
    bool cut;                    /* by max_tokens, inside the last document ... */
    uint64_t cut_at, cut_tokens; /* ... after so many of so many tokens */
};

struct tw_harvest_cutter {
    const struct tw_harvest_cut *cut;
    struct tw_harvest_reader *reader;
    struct tw_harvest_document document;
    size_t at; /* tokens of it that were taken */
    bool has_document, input_ended;
    bool owes_end; /* packed: an end token is due before the next document */
    struct tw_ids ids;
    struct tw_harvest_piece *pieces;
    size_t n_pieces, capacity;
    struct tw_str id_texts;
    struct tw_harvest_counts counts;
};

/* `cut` and `reader` outlive the cutter. INVALID: settings that go not together. */
trawl_status tw_harvest_cutter_init(struct tw_harvest_cutter *c, const struct tw_harvest_cut *cut,
                                    struct tw_harvest_reader *reader, struct trawl_error *err);
void tw_harvest_cutter_release(struct tw_harvest_cutter *c);

/* The next context, valid until the next call; *more is false behind the last, and c->counts complete. */
trawl_status tw_harvest_cutter_next(struct tw_harvest_cutter *c, struct tw_harvest_context *context,
                                    bool *more, struct trawl_error *err);

#endif /* TW_HARVEST_CONTEXT_H */
