/* SPDX-License-Identifier: MIT */
/* Requests that end before they have ended by themselves: they were cancelled, or their time is over. Looked for
 * between steps, so what a request has then is whole: every token of it with its measures, every row delivered. */
#include <math.h>

#include "base/clock.h"
#include "engine/engine_int.h"

trawl_status tw_replica_check_timeout(const struct tw_request *q, struct trawl_error *err)
{
    if (!(q->timeout >= 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "timeout is %g, expected seconds, or 0 for none", q->timeout);
    }
    return TRAWL_OK;
}

/* *now: the time, when it has been looked at; 0 before. */
static bool is_due(const struct tw_request *q, uint64_t *now, enum tw_finish *how)
{
    if (tw_request_cancelled(q)) {
        *how = TW_FINISH_CANCELLED;
        return true;
    }
    if (!(q->timeout > 0)) {
        return false;
    }
    *now = *now == 0 ? tw_clock_ns() : *now;
    *how = TW_FINISH_TIMEOUT;
    return (double)(*now - q->since_ns) * 1e-9 >= q->timeout;
}

/* A request that has not begun: a sampled one has an answer, though an empty one. */
static trawl_status report_nothing(struct tw_replica *r, const struct tw_request *q, enum tw_finish how)
{
    const struct tw_output empty = {.finish = how};
    return tw_group_report(r, q, how, &empty, q->kind == TW_REQUEST_SAMPLE ? 1 : 0, NULL);
}

bool tw_replica_end_held(struct tw_replica *r)
{
    uint64_t now = 0;
    enum tw_finish how;
    if (!r->has_held || !is_due(&r->held, &now, &how)) {
        return false;
    }
    r->has_held = false;
    r->status   = report_nothing(r, &r->held, how);
    return true;
}

void tw_replica_end_due(struct tw_replica *r)
{
    uint64_t now = 0;
    for (size_t i = 0; i < r->n_groups && r->status == TRAWL_OK;) {
        struct tw_group *g = r->groups[i];
        enum tw_finish how;
        if (!is_due(&g->request, &now, &how)) {
            i++;
            continue;
        }
        r->status = g->anew ? report_nothing(r, &g->request, how) : g->kind->report(r, g, how);
        tw_replica_dismiss(r, i);
    }
    if (r->status == TRAWL_OK) {
        (void)tw_replica_end_held(r);
    }
}
