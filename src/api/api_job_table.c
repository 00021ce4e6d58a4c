/* SPDX-License-Identifier: MIT */
#include "api/api_job_table.h"

#include "api/api_job.h"
#include "base/alloc.h"

enum { FIRST_BUCKETS = 64 };

/* Places are handed out one after another, so the lowest bits spread them evenly. */
static struct tw_job_request **bucket_of(const struct tw_job_table *t, uint64_t place)
{
    return &t->buckets[place & (t->n_buckets - 1)];
}

static void put(struct tw_job_table *t, struct tw_job_request *q)
{
    struct tw_job_request **bucket = bucket_of(t, q->engine.id);
    q->next_in_bucket              = *bucket;
    *bucket                        = q;
}

static trawl_status grow(struct tw_job_table *t, struct trawl_error *err)
{
    struct tw_job_table larger = {.n_buckets = t->n_buckets == 0 ? FIRST_BUCKETS : 2 * t->n_buckets,
                                  .n         = t->n};
    TW_TRY(tw_alloc(larger.n_buckets, sizeof *larger.buckets, &larger.buckets, err));
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (struct tw_job_request *q = t->buckets[i], *next; q != NULL; q = next) {
            next = q->next_in_bucket;
            put(&larger, q);
        }
    }
    tw_free((void *)t->buckets);
    *t = larger;
    return TRAWL_OK;
}

trawl_status tw_job_table_add(struct tw_job_table *t, struct tw_job_request *q, struct trawl_error *err)
{
    if (t->n == t->n_buckets) {
        TW_TRY(grow(t, err));
    }
    put(t, q);
    t->n++;
    return TRAWL_OK;
}

struct tw_job_request *tw_job_table_find(const struct tw_job_table *t, uint64_t place)
{
    struct tw_job_request *q = t->n == 0 ? NULL : *bucket_of(t, place);
    while (q != NULL && q->engine.id != place) {
        q = q->next_in_bucket;
    }
    return q;
}

void tw_job_table_remove(struct tw_job_table *t, struct tw_job_request *q)
{
    struct tw_job_request **at = bucket_of(t, q->engine.id);
    while (*at != q) {
        at = &(*at)->next_in_bucket;
    }
    *at = q->next_in_bucket;
    t->n--;
}

void tw_job_table_release(struct tw_job_table *t, size_t n_sites)
{
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (struct tw_job_request *q = t->buckets[i], *next; q != NULL; q = next) {
            next = q->next_in_bucket;
            tw_job_request_free(q, n_sites);
        }
    }
    tw_free((void *)t->buckets);
    *t = (struct tw_job_table){0};
}
