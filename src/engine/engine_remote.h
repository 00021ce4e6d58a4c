/* SPDX-License-Identifier: MIT */
/* Replicas in other processes. On rank 0 a dispatcher takes requests from the work, hands them to the heads
 * of the others, and brings back what they yield: to the work they are like replicas here, so nothing that is
 * written depends on where a request ran. On a head a tw_work of our own stands for all that.
 *
 * A head holds about one request more than it can run at a time, and sends no more than a bounded number of
 * bytes ahead: slow disks slow the run, they do not fill memory. */
#ifndef TW_ENGINE_REMOTE_H
#define TW_ENGINE_REMOTE_H

#include "engine/engine_letters.h"

struct tw_engine;
struct tw_dispatcher;
struct tw_outpost;

/* What a run of this work is told to the heads with. */
uint32_t tw_remote_flags(const struct tw_work *work);

/* ---- rank 0 ---- */

trawl_status tw_dispatcher_new(struct tw_dispatcher **out, struct tw_engine *engine,
                               const struct tw_work *work, struct trawl_error *err);
void tw_dispatcher_free(struct tw_dispatcher *d);
/* A thread's main: until the work has ended and all heads have said so. Sets engine->failed when it fails. */
void *tw_dispatcher_main(void *arg); /* a struct tw_dispatcher */
trawl_status tw_dispatcher_status(const struct tw_dispatcher *d, struct trawl_error *err);

/* ---- a head ---- */

trawl_status tw_outpost_new(struct tw_outpost **out, struct tw_engine *engine, uint32_t flags,
                            struct trawl_error *err);
void tw_outpost_free(struct tw_outpost *o);
const struct tw_work *tw_outpost_work(struct tw_outpost *o);
/* A thread's main: until tw_outpost_finish and everything has been sent. */
void *tw_outpost_main(void *arg); /* a struct tw_outpost */
/* The replicas here have ended, and how. */
void tw_outpost_finish(struct tw_outpost *o, trawl_status status, const struct trawl_error *error);
/* After tw_outpost_main: as finished, or how the conversation broke. */
trawl_status tw_outpost_status(const struct tw_outpost *o, struct trawl_error *err);

#endif /* TW_ENGINE_REMOTE_H */
