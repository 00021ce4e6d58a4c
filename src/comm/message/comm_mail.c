/* SPDX-License-Identifier: MIT */
#include "comm/message/comm_mail.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* The first message of a letter; the rest, if any, goes straight to where the letter will be. */
enum { FIRST_BYTES = 1 << 16 };

trawl_status tw_mail_init(struct tw_mail *m, struct tw_wire *wire, int peer, int tag, struct trawl_error *err)
{
    *m = (struct tw_mail){.wire = wire, .peer = peer, .tag = tag};
    return tw_alloc(FIRST_BYTES, 1, &m->begun, err);
}

void tw_mail_release(struct tw_mail *m)
{
    if (m->receiving) {
        tw_wire_cancel(m->wire, &m->request);
    }
    while (m->first != NULL) {
        struct tw_mail_out *next = m->first->next;
        if (m->first->sending) { /* another process may be reading it */
            tw_wire_leave(m->wire, m->first->letter);
        } else {
            tw_free(m->first->letter);
        }
        tw_free(m->first);
        m->first = next;
    }
    tw_free(m->begun);
    tw_free(m->letter);
    *m = (struct tw_mail){0};
}

trawl_status tw_mail_send(struct tw_mail *m, struct tw_letter *letter, size_t bytes, struct trawl_error *err)
{
    struct tw_mail_out *out = NULL;
    trawl_status status     = tw_alloc(1, sizeof *out, &out, err);
    if (status != TRAWL_OK) {
        tw_free(letter);
        return status;
    }
    letter->bytes = bytes;
    out->letter   = letter;
    if (m->last == NULL) {
        m->first = out;
    } else {
        m->last->next = out;
    }
    m->last = out;
    m->waiting += bytes;
    return TRAWL_OK;
}

/* How much the next message of a letter holds when `done` bytes of it have gone. */
static size_t next_bytes(size_t bytes, size_t done)
{
    return tw_min_size(bytes - done, done == 0 ? FIRST_BYTES : TW_WIRE_PIECE_BYTES);
}

trawl_status tw_mail_push(struct tw_mail *m, bool *moved, struct trawl_error *err)
{
    struct tw_mail_out *o = m->first;
    while (o != NULL) {
        if (o->sending) {
            struct tw_wire_event event;
            bool done = false;
            TW_TRY(tw_wire_test(m->wire, &o->request, &done, &event, err));
            if (!done) {
                return TRAWL_OK;
            }
            o->sending = false;
        } else {
            size_t n = next_bytes(o->letter->bytes, o->sent);
            TW_TRY(tw_wire_send(m->wire, &m->wire->world, (const uint8_t *)o->letter + o->sent, n, m->peer,
                                m->tag, &o->request, err));
            o->sending = true;
            o->sent += n;
        }
        *moved = true;
        if (!o->sending && o->sent == o->letter->bytes) {
            m->waiting -= o->sent;
            m->first = o->next;
            m->last  = m->first == NULL ? NULL : m->last;
            tw_free(o->letter);
            tw_free(o);
            o = m->first;
        }
    }
    return TRAWL_OK;
}

static trawl_status receive_next(struct tw_mail *m, struct trawl_error *err)
{
    void *to = m->begun;
    size_t n = FIRST_BYTES;
    if (m->letter != NULL) {
        to = (uint8_t *)m->letter + m->received;
        n  = next_bytes(m->letter->bytes, m->received);
    }
    TW_TRY(tw_wire_receive(m->wire, &m->wire->world, to, n, m->peer, m->tag, &m->request, err));
    m->receiving = true;
    return TRAWL_OK;
}

/* A piece of another size than its letter says: nothing that follows can be understood. */
static trawl_status cut_short(struct tw_mail *m, size_t n, uint64_t bytes, struct trawl_error *err)
{
    tw_wire_break(m->wire, m->peer, "rank %d sent %zu bytes as a part of a letter of %llu", m->peer, n,
                  (unsigned long long)bytes);
    return tw_wire_check(m->wire, err);
}

/* `n` bytes have come. *whole: the letter is complete. */
static trawl_status take_piece(struct tw_mail *m, size_t n, bool *whole, struct trawl_error *err)
{
    struct tw_letter head = {0};
    if (m->letter != NULL) {
        head = *m->letter;
    } else {
        memcpy(&head, m->begun, tw_min_size(n, sizeof head));
        m->received = 0;
    }
    if (head.bytes < sizeof head || n != next_bytes(head.bytes, m->received)) {
        return cut_short(m, n, head.bytes, err);
    }
    if (m->letter == NULL) {
        TW_TRY(tw_alloc(head.bytes, 1, &m->letter, err));
        memcpy(m->letter, m->begun, n);
    }
    m->received += n;
    *whole = m->received == m->letter->bytes;
    return TRAWL_OK;
}

trawl_status tw_mail_poll(struct tw_mail *m, struct tw_letter **letter, bool *moved, struct trawl_error *err)
{
    *letter = NULL;
    TW_TRY(tw_mail_push(m, moved, err));
    if (!m->receiving) {
        TW_TRY(receive_next(m, err));
    }
    struct tw_wire_event event;
    bool done = false, whole = false;
    TW_TRY(tw_wire_test(m->wire, &m->request, &done, &event, err));
    if (!done) {
        return TRAWL_OK;
    }
    *moved       = true;
    m->receiving = false;
    TW_TRY(take_piece(m, event.bytes, &whole, err));
    if (whole) {
        *letter   = m->letter;
        m->letter = NULL;
    }
    return TRAWL_OK;
}
