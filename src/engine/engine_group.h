/* SPDX-License-Identifier: MIT */
/* A request under way: a group of branches, which are sequences that begin with its prompt and share KV pages.
 * What is made of the branches' logits is the group's kind; the scheduler knows branches and rows only. */
#ifndef TW_ENGINE_GROUP_H
#define TW_ENGINE_GROUP_H

#include "engine/engine.h"
#include "engine/engine_sequence.h"

struct tw_replica;
struct tw_group;

/* A row of logits, as it is handed to a kind. */
struct tw_group_row {
    struct tw_sequence *branch;
    size_t position; /* of the token in its sequence that the logits follow */
    size_t index;    /* of the row in r->logits, r->sampled, r->next_logprob */
    const float *logits;
    struct tw_sampler *sampler; /* of the calling thread */
};

struct tw_group_kind {
    /* Why the request can never run here, if so. Its prompt and max_tokens have been checked. NULL: none. */
    trawl_status (*check)(const struct tw_replica *r, const struct tw_request *q, struct trawl_error *err);
    /* Branches that may be active at a time: slots of the batch, at most batch_size. */
    size_t (*width)(const struct tw_replica *r, const struct tw_request *q);
    /* Further branches, behind those: they take no slots and are computed where rows and pages are left over. */
    size_t n_spare;
    /* KV pages that all branches but the spare ones can need at a time; SIZE_MAX when that is no number. */
    size_t (*pages)(const struct tw_replica *r, const struct tw_request *q);
    /* g->branches [width] are zero; make the first one active (tw_group_start) and all that is needed later.
     * When it fails `end` is called all the same, if there is a g->state by then. */
    trawl_status (*begin)(struct tw_replica *r, struct tw_group *g, struct trawl_error *err);
    /* Its one branch is to compute a token: guess up to `most` (>= 1) that follow (tw_sequence_draft), or
     * none. The scheduler takes them back where pages lack. Results are those without guesses. NULL: none, ever. */
    void (*draft)(struct tw_replica *r, struct tw_group *g, size_t most);
    /* After the step, before anything of it is handed out: which guesses were right (tw_sequence_settle)? */
    void (*settle)(struct tw_replica *r, struct tw_group *g);
    /* What is wanted of a row of logits; on any thread of the team, rows of a group at once. */
    void (*row)(struct tw_replica *r, const struct tw_group_row *row);
    /* After a step that had rows of the group: read what `row` left of its branches' logit rows, decide what
     * is computed next. *done: it has reported its result (tw_group_report). */
    trawl_status (*advance)(struct tw_replica *r, struct tw_group *g, bool *done);
    /* The request ends between two steps (`how`: TIMEOUT or CANCELLED): report what it has. */
    trawl_status (*report)(struct tw_replica *r, struct tw_group *g, enum tw_finish how);
    /* Spare branches give up their pages and what they do, between two steps, for good. False: they had no pages.
     * NULL: there are none. */
    bool (*shed)(struct tw_replica *r, struct tw_group *g);
    /* Free g->state, where there is one; the branches are freed by the group. */
    void (*end)(struct tw_group *g);
};

struct tw_group {
    struct tw_request request;
    const struct tw_group_kind *kind;
    struct tw_sequence *branches; /* [width] the first ones [slots], then spare ones */
    size_t width, slots;
    struct tw_limits *limits; /* what an answer may go on with; NULL: anything */
    size_t n_delivered;       /* positions whose rows and logits had been handed out when it was preempted */
    size_t n_counted;         /* positions of its prompt that are in the run's count */
    bool anew;                /* preempted, and to begin from its prompt again */
    void *state;              /* the kind's own */
};

/* One token after what has been computed of an answer, besides guesses: such a branch is in every step, if it is no
 * spare one. */
static inline bool tw_sequence_decoding(const struct tw_sequence *s)
{
    return !s->spare && tw_sequence_pending(s) == 1 + s->n_drafts &&
           s->n_computed >= s->group->request.n_prompt;
}

const struct tw_group_kind *tw_group_kind_of(const struct tw_request *q);

trawl_status tw_group_new(struct tw_group **out, struct tw_replica *r, const struct tw_request *q,
                          struct trawl_error *err);
void tw_group_free(struct tw_group *g, struct tw_kv_pages *pages);

/* Give up all pages of a group; it runs no more until it is resumed. It then goes on with the tokens it has, whose
 * keys and values are computed again. Branches that could not share pages while they are computed again would need
 * more of them than the group was admitted with: such a group begins anew, which leads to the same result. */
void tw_group_suspend(struct tw_replica *r, struct tw_group *g);
trawl_status tw_group_resume(struct tw_replica *r, struct tw_group *g, struct trawl_error *err);

/* Give up the pages of a group's spare branches; false when there is nothing to give up. */
bool tw_group_shed(struct tw_replica *r, struct tw_group *g);

/* Make the first branch hold the request's prompt, to be computed; logits are wanted from position first_logits on.
 * Branches may be given n_new tokens beyond the prompt, n_measured of them with measures; all but the first are to
 * fork from another one. */
trawl_status tw_group_start(struct tw_group *g, size_t n_new, size_t n_measured, size_t first_logits,
                            struct trawl_error *err);

/* Hand the result to the work. A request that failed or was cancelled has no outputs. */
trawl_status tw_group_report(struct tw_replica *r, const struct tw_request *q, enum tw_finish how,
                             const struct tw_output *outputs, size_t n_outputs,
                             const struct trawl_error *why);

/* What a token after a branch's last one is chosen from: everything but r's own outputs is filled in. */
struct tw_sample_input tw_group_sample_input(const struct tw_replica *r, const struct tw_sequence *s,
                                             const float *logits);

/* Searching and scoring take the model's distribution as it is and hand out no rows: what else is asked for is
 * refused. `what`: the parameter that asks for the search. */
trawl_status tw_group_check_search(const struct tw_replica *r, const struct tw_request *q, const char *what,
                                   struct trawl_error *err);
/* Nor are there processors. */
trawl_status tw_group_check_plain(const struct tw_replica *r, const struct tw_request *q, const char *what,
                                  struct trawl_error *err);

/* Does this token end an answer of the request: one of the model's end tokens, or of its own? */
bool tw_group_ends(const struct tw_replica *r, const struct tw_request *q, int32_t token);

extern const struct tw_group_kind tw_group_sample, tw_group_beam, tw_group_score, tw_group_nbest;

#endif /* TW_ENGINE_GROUP_H */
