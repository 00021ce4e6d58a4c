/* SPDX-License-Identifier: MIT */
#include "comm/comm_wires.h"

#include "comm/message/comm_message.h"

static void *wire_main(void *arg)
{
    struct wire_rank *me = arg;
    if (me->status == TRAWL_OK) {
        me->fn(me);
    }
    return NULL;
}

void run_wires(struct hub *hub, int deadline_ms, wire_fn *fn, void *arg, struct wire_rank *ranks)
{
    for (int i = 0; i < hub->size; i++) {
        struct wire_rank *r = &ranks[i];
        *r                  = (struct wire_rank){.rank = i, .fn = fn, .arg = arg};
        r->status           = hub_open(hub, i, &r->wire, &r->err);
        if (r->status == TRAWL_OK) {
            r->wire->deadline_ms = deadline_ms;
            r->status            = tw_comm_message_new(r->wire, 0, 1, hub->size, &r->comm, &r->err);
        }
    }
    for (int i = 0; i < hub->size; i++) {
        if (pthread_create(&ranks[i].thread, NULL, wire_main, &ranks[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < hub->size; i++) {
        (void)pthread_join(ranks[i].thread, NULL);
    }
    for (int i = 0; i < hub->size; i++) {
        tw_comm_free(ranks[i].comm);
        tw_wire_close(ranks[i].wire, 0);
    }
}
