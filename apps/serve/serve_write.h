/* SPDX-License-Identifier: MIT */
/* Replies as JSON: whole ones, and the events of a stream. */
#ifndef TW_SERVE_WRITE_H
#define TW_SERVE_WRITE_H

#include "apps/serve/serve_int.h"

/* What is told of one answer at a time. */
struct tw_serve_piece {
    size_t index; /* of the choice */
    const char *text;
    size_t n_text;
    const struct tw_serve_output *output; /* its tokens */
    const size_t *offsets;                /* [output->n] characters before each, in the choice's text */
    const char *finish;                   /* NULL: there is more to come */
    bool first;                           /* of a stream's choice */
};

/* A whole reply: begun, its choices, ended. */
void tw_serve_write_begin(struct tw_json_writer *w, const struct tw_serve_call *call);
void tw_serve_write_choice(struct tw_json_writer *w, const struct tw_serve_call *call,
                           const struct tw_serve_piece *piece);
void tw_serve_write_end(struct tw_json_writer *w, const struct tw_serve_call *call);

/* Append an event of a stream to `out`: a piece, what was used, an error, the end. */
trawl_status tw_serve_write_event(struct tw_str *out, const struct tw_serve_call *call,
                                  const struct tw_serve_piece *piece, struct trawl_error *err);
trawl_status tw_serve_write_usage_event(struct tw_str *out, const struct tw_serve_call *call,
                                        struct trawl_error *err);
trawl_status tw_serve_write_error_event(struct tw_str *out, int code, const char *message,
                                        struct trawl_error *err);
trawl_status tw_serve_write_done_event(struct tw_str *out, struct trawl_error *err);

#endif /* TW_SERVE_WRITE_H */
