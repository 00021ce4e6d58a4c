/* SPDX-License-Identifier: MIT */
#include "api/api_constraint.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "text/text_tokenizer.h"

struct tw_job_constraint {
    atomic_size_t users;
    enum tw_constraint_kind kind;
    size_t n;
    char text[];
};

static trawl_status check(const struct trawl_request *r, struct trawl_error *err)
{
    if (r->constraint_kind < TRAWL_CONSTRAINT_NONE || r->constraint_kind > TRAWL_CONSTRAINT_CHOICE) {
        return tw_fail(err, TRAWL_ERR_INVALID, "constraint_kind is %d, expected 0 to %d",
                       (int)r->constraint_kind, (int)TRAWL_CONSTRAINT_CHOICE);
    }
    if (r->constraint_kind != TRAWL_CONSTRAINT_NONE && r->constraint_text == NULL) {
        return tw_fail(err, TRAWL_ERR_INVALID, "a constraint has no constraint_text");
    }
    return TRAWL_OK;
}

trawl_status tw_job_constraint_copy(struct tw_job_constraint **out, struct tw_job_constraint *latest,
                                    const struct trawl_request *r, struct trawl_error *err)
{
    struct tw_job_constraint *c = NULL;
    *out                        = NULL;
    TW_TRY(check(r, err));
    if (r->constraint_kind == TRAWL_CONSTRAINT_NONE) {
        return TRAWL_OK;
    }
    enum tw_constraint_kind kind = (enum tw_constraint_kind)r->constraint_kind;
    size_t n                     = strlen(r->constraint_text);
    if (latest != NULL && latest->kind == kind && latest->n == n &&
        memcmp(latest->text, r->constraint_text, n) == 0) {
        *out = tw_job_constraint_keep(latest);
        return TRAWL_OK;
    }
    TW_TRY(tw_alloc(1, sizeof *c + n + 1, &c, err));
    atomic_init(&c->users, 1);
    c->kind = kind;
    c->n    = n;
    memcpy(c->text, r->constraint_text, n);
    *out = c;
    return TRAWL_OK;
}

struct tw_job_constraint *tw_job_constraint_keep(struct tw_job_constraint *c)
{
    if (c != NULL) {
        atomic_fetch_add(&c->users, 1);
    }
    return c;
}

void tw_job_constraint_drop(struct tw_job_constraint *c)
{
    if (c != NULL && atomic_fetch_sub(&c->users, 1) == 1) {
        tw_free(c);
    }
}

struct tw_request_constraint tw_job_constraint_of(const struct tw_job_constraint *c)
{
    return c == NULL ? (struct tw_request_constraint){.kind = TW_CONSTRAINT_NONE}
                     : (struct tw_request_constraint){.kind = c->kind, .text = c->text, .n = c->n};
}

uint64_t tw_job_constraint_hash(const struct tw_job_constraint *c, uint64_t prompt_hash)
{
    if (c == NULL) {
        return prompt_hash;
    }
    uint64_t parts[] = {prompt_hash, (uint64_t)c->kind, tw_hash64(c->text, c->n)};
    return tw_hash64(parts, sizeof parts);
}

trawl_status tw_api_vocabulary(const char *model_path, size_t n_vocab, struct tw_vocabulary *out,
                               struct trawl_error *err)
{
    struct tw_tokenizer *tokenizer = NULL;
    TW_TRY(tw_tokenizer_open(model_path, &tokenizer, err));
    trawl_status status = tw_vocabulary_of(out, tokenizer, n_vocab, err);
    tw_tokenizer_close(tokenizer);
    return status;
}
