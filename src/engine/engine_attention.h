/* SPDX-License-Identifier: MIT */
/* What the scheduler makes of where rows look (model/model_step.h, struct tw_step_attention): the entropy of
 * attention beside a token, and the attention that a request's pages got so far. */
#ifndef TW_ENGINE_ATTENTION_H
#define TW_ENGINE_ATTENTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tw_replica;
struct tw_sequence;

/* Memory of r->step.attention, kept from step to step. */
struct tw_attention {
    float *entropies;
    size_t entropies_capacity;
    _Atomic uint64_t *masses;
    size_t masses_capacity;
};

void tw_attention_release(struct tw_attention *a);

/* r->step.attention and the segments' first_mass, from what r->step's segments ask for; masses are zero. Every process of
 * a replica calls this before it computes the step, and numbers the masses in the same way. */
trawl_status tw_attention_prepare(struct tw_replica *r);

/* Floats of the statistics that process i has and the head does not; 0 for the head itself. */
size_t tw_attention_block_floats(const struct tw_replica *r, int i);
/* Those of process i to a block (`out`), or from a block, where masses are added. Returns the block's next float. */
float *tw_attention_move_block(struct tw_replica *r, int i, float *block, bool out);

/* Of a row of logits in r->step: the mean over layers and heads of the entropy of attention, and the variance of the
 * entropy over the heads of a layer, mean over layers; nats, nats^2. */
void tw_attention_measure(const struct tw_replica *r, size_t logit_row, float *entropy, float *varentropy);

/* After r->step: what the branch's rows looked at is added to what its pages have. */
void tw_attention_take(const struct tw_replica *r, struct tw_sequence *s);

#endif /* TW_ENGINE_ATTENTION_H */
