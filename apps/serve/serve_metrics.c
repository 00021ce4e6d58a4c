/* SPDX-License-Identifier: MIT */
#include "apps/serve/serve_metrics.h"

#include <stdio.h>

static const double bounds[TW_SERVE_TIMES] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

void tw_serve_observe(struct tw_serve_histogram *h, double seconds)
{
    size_t i = 0;
    while (i < TW_SERVE_TIMES && seconds > bounds[i]) {
        i++;
    }
    h->counts[i]++;
    h->sum += seconds;
}

/* A page of Prometheus's text format that is being written. */
struct page {
    struct tw_str *out;
    struct trawl_error *err;
    trawl_status status;
};

static void head(struct page *p, const char *name, const char *type, const char *help)
{
    if (p->status == TRAWL_OK) {
        p->status =
            tw_str_printf(p->out, p->err, "# HELP trawl_%s %s\n# TYPE trawl_%s %s\n", name, help, name, type);
    }
}

static void put(struct page *p, const char *name, const char *labels, double value)
{
    char text[TW_DOUBLE_BYTES];
    tw_double_text(value, text);
    if (p->status == TRAWL_OK) {
        p->status = tw_str_printf(p->out, p->err, "trawl_%s%s %s\n", name, labels, text);
    }
}

static void one(struct page *p, const char *name, const char *type, const char *help, double value)
{
    head(p, name, type, help);
    put(p, name, "", value);
}

static void histogram(struct page *p, const char *name, const char *help, const struct tw_serve_histogram *h)
{
    uint64_t n = 0;
    char series[96], labels[64], bound[TW_DOUBLE_BYTES];
    head(p, name, "histogram", help);
    (void)snprintf(series, sizeof series, "%s_bucket", name);
    for (size_t i = 0; i <= TW_SERVE_TIMES; i++) {
        n += h->counts[i];
        if (i < TW_SERVE_TIMES) {
            tw_double_text(bounds[i], bound);
        }
        (void)snprintf(labels, sizeof labels, "{le=\"%s\"}", i < TW_SERVE_TIMES ? bound : "+Inf");
        put(p, series, labels, (double)n);
    }
    (void)snprintf(series, sizeof series, "%s_sum", name);
    put(p, series, "", h->sum);
    (void)snprintf(series, sizeof series, "%s_count", name);
    put(p, series, "", (double)n);
}

static void write_server(struct page *p, const struct tw_serve_metrics *m)
{
    char labels[64];
    head(p, "http_replies_total", "counter", "Replies by HTTP status; 499: the client went away");
    for (int code = 0; code < TW_SERVE_CODES; code++) {
        if (m->replies[code] > 0) {
            (void)snprintf(labels, sizeof labels, "{code=\"%d\"}", code);
            put(p, "http_replies_total", labels, (double)m->replies[code]);
        }
    }
    head(p, "answers_total", "counter", "Answers by finish_reason");
    for (int i = 0; i < 5; i++) {
        (void)snprintf(labels, sizeof labels, "{finish_reason=\"%s\"}",
                       trawl_finish_reason_name((enum trawl_finish_reason)i));
        put(p, "answers_total", labels, (double)m->answers[i]);
    }
    histogram(p, "time_to_first_token_seconds", "From the request to the first token", &m->first_token);
    histogram(p, "request_seconds", "From the request to the end of its last answer", &m->whole);
}

static void write_job(struct page *p, const struct trawl_job_stats *s)
{
    one(p, "requests_waiting", "gauge", "Answers that wait for a slot of the batch", (double)s->queued);
    one(p, "requests_running", "gauge", "Answers in the batch", (double)s->running);
    one(p, "prompt_tokens_total", "counter", "Prompt tokens computed or found in the prefix cache",
        (double)s->prompt_tokens);
    one(p, "cached_tokens_total", "counter", "Prompt tokens found in the prefix cache",
        (double)s->cached_tokens);
    one(p, "generated_tokens_total", "counter", "Tokens of answers", (double)s->generated_tokens);
    one(p, "steps_total", "counter", "Passes through the model", (double)s->steps);
    one(p, "draft_tokens_total", "counter", "Tokens guessed ahead", (double)s->draft_tokens);
    one(p, "accepted_tokens_total", "counter", "Tokens guessed ahead that were right",
        (double)s->accepted_tokens);
    one(p, "preemptions_total", "counter", "Times an answer gave up its memory for an older one",
        (double)s->preemptions);
    one(p, "kv_pages", "gauge", "Pages of the KV cache, of 64 tokens", (double)s->kv_pages);
    one(p, "kv_pages_held", "gauge", "Pages that answers hold now", (double)s->kv_pages_held);
    one(p, "kv_pages_idle", "gauge", "Pages kept for their content", (double)s->kv_pages_idle);
}

trawl_status tw_serve_metrics_write(const struct tw_serve_metrics *m, const struct trawl_job_stats *stats,
                                    struct tw_str *out, struct trawl_error *err)
{
    struct page p = {out, err, TRAWL_OK};
    write_server(&p, m);
    write_job(&p, stats);
    return p.status;
}
