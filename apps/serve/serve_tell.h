/* SPDX-License-Identifier: MIT */
/* What tokens mean as text, for whole answers and for what is new of one. */
#ifndef TW_SERVE_TELL_H
#define TW_SERVE_TELL_H

#include "apps/serve/serve_write.h"

/* Output `i` of an answer that is done. The piece points into the answer and the server's scratch: good until the next
 * one is told. */
trawl_status tw_serve_tell_whole(struct tw_serve_answer *answer, size_t i, struct tw_serve_piece *piece,
                                 struct trawl_error *err);
/* What is new of the first output; `done`: all of it is there. */
trawl_status tw_serve_tell_more(struct tw_serve_answer *answer, bool done, struct tw_serve_piece *piece,
                                struct trawl_error *err);

#endif /* TW_SERVE_TELL_H */
