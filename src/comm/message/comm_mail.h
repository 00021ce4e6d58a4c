/* SPDX-License-Identifier: MIT */
/* Letters of any size between two processes, in order, without anybody waiting: a queue of what is to go out,
 * and whole letters as they come in. One thread at a time uses a mail. */
#ifndef TW_COMM_MAIL_H
#define TW_COMM_MAIL_H

#include "comm/message/comm_wire.h"

/* What every letter begins with; `bytes` is set by tw_mail_send. */
struct tw_letter {
    uint64_t bytes; /* of the whole letter, this included */
};

struct tw_mail_out {
    struct tw_letter *letter;
    size_t sent; /* bytes given to the wire */
    bool sending;
    struct tw_wire_request request;
    struct tw_mail_out *next;
};

struct tw_mail {
    struct tw_wire *wire;
    int peer, tag;
    struct tw_mail_out *first, *last; /* to go out; the first is on its way */
    size_t waiting;                   /* bytes of those */
    uint8_t *begun;                   /* [TW_MAIL_FIRST_BYTES] the beginning of the next letter */
    struct tw_letter *letter;         /* being received, once it is known to be longer than that */
    size_t received;
    bool receiving;
    struct tw_wire_request request;
};

/* Letters of `peer` under `tag` (the same on both sides; one mail a tag and peer). */
trawl_status tw_mail_init(struct tw_mail *m, struct tw_wire *wire, int peer, int tag,
                          struct trawl_error *err);
void tw_mail_release(struct tw_mail *m); /* zeroed ones too */

/* Queue a letter of `bytes` bytes, memory of tw_alloc which is the mail's from now on, also on failure. */
trawl_status tw_mail_send(struct tw_mail *m, struct tw_letter *letter, size_t bytes, struct trawl_error *err);
/* Move everything along. *letter: one that has come, to be freed with tw_free, or NULL. Sets *moved when
 * anything was done, leaves it otherwise. */
trawl_status tw_mail_poll(struct tw_mail *m, struct tw_letter **letter, bool *moved, struct trawl_error *err);
/* The same for what goes out only. */
trawl_status tw_mail_push(struct tw_mail *m, bool *moved, struct trawl_error *err);

#endif /* TW_COMM_MAIL_H */
