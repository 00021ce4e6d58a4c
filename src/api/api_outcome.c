/* SPDX-License-Identifier: MIT */
#include "api/api_outcome.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

static const char *const finish_names[] = {
    [TRAWL_FINISH_STOP] = "stop",           [TRAWL_FINISH_LENGTH] = "length",
    [TRAWL_FINISH_ERROR] = "error",         [TRAWL_FINISH_TIMEOUT] = "timeout",
    [TRAWL_FINISH_CANCELLED] = "cancelled",
};

const char *trawl_finish_reason_name(enum trawl_finish_reason reason)
{
    size_t i = (size_t)reason;
    return i < sizeof finish_names / sizeof finish_names[0] ? finish_names[i] : NULL;
}

/* Measures of a token. */
static size_t measures_each(const struct tw_job_outcome *o)
{
    return o->attn_entropy ? 5 : 3;
}

/* Memory for outputs whose n_tokens are set in o->outputs. */
static trawl_status lay_out(struct tw_job_outcome *o, struct trawl_error *err)
{
    size_t n = 0, n_top = 0;
    for (size_t i = 0; i < o->n_outputs; i++) {
        n += o->outputs[i].n_tokens;
        n_top += o->outputs[i].n_tokens * o->outputs[i].n_top_logprobs;
    }
    TW_TRY(tw_alloc(n, sizeof *o->tokens, &o->tokens, err));
    TW_TRY(tw_alloc(measures_each(o) * n, sizeof *o->measures, &o->measures, err));
    TW_TRY(tw_alloc(n_top, sizeof *o->top, &o->top, err));
    n = n_top = 0;
    for (size_t i = 0; i < o->n_outputs; i++) {
        struct trawl_output *out = &o->outputs[i];
        out->tokens              = o->tokens + n;
        out->logprobs            = o->measures + measures_each(o) * n;
        out->entropies           = out->logprobs + out->n_tokens;
        out->varentropies        = out->entropies + out->n_tokens;
        out->top_logprobs        = o->top + n_top;
        if (o->attn_entropy) {
            out->attn_entropies    = out->varentropies + out->n_tokens;
            out->attn_varentropies = out->attn_entropies + out->n_tokens;
        }
        n += out->n_tokens;
        n_top += out->n_tokens * out->n_top_logprobs;
    }
    return TRAWL_OK;
}

/* Where an output's numbers are, to be filled. */
static int32_t *tokens_of(const struct tw_job_outcome *o, size_t i)
{
    return o->tokens + (o->outputs[i].tokens - o->tokens);
}

static float *measures_of(const struct tw_job_outcome *o, size_t i)
{
    return o->measures + (o->outputs[i].logprobs - o->measures);
}

static struct trawl_top_logprob *top_of(const struct tw_job_outcome *o, size_t i)
{
    return o->top + (o->outputs[i].top_logprobs - o->top);
}

static void sum(struct tw_job_outcome *o)
{
    for (size_t i = 0; i < o->n_outputs; i++) {
        struct trawl_output *out = &o->outputs[i];
        for (size_t k = 0; k < out->n_tokens; k++) {
            out->cumulative_logprob += (double)out->logprobs[k];
        }
    }
}

void tw_job_outcome_release(struct tw_job_outcome *o)
{
    tw_free(o->outputs);
    tw_free(o->tokens);
    tw_free(o->measures);
    tw_free(o->top);
    tw_free(o->error);
    *o = (struct tw_job_outcome){0};
}

/* ---- from the engine ---- */

static enum trawl_finish_reason reason_of(enum tw_finish finish)
{
    switch (finish) {
    case TW_FINISH_STOP: return TRAWL_FINISH_STOP;
    case TW_FINISH_LENGTH: return TRAWL_FINISH_LENGTH;
    case TW_FINISH_TIMEOUT: return TRAWL_FINISH_TIMEOUT;
    case TW_FINISH_CANCELLED: return TRAWL_FINISH_CANCELLED;
    case TW_FINISH_ERROR:
    case TW_FINISH_DROPPED: break;
    }
    return TRAWL_FINISH_ERROR;
}

trawl_status tw_job_outcome_take(struct tw_job_outcome *o, const struct tw_result *r, struct trawl_error *err)
{
    o->finish    = reason_of(r->finish);
    o->n_nodes   = r->n_nodes;
    o->truncated = r->truncated;
    TW_TRY(tw_alloc(r->n_outputs, sizeof *o->outputs, &o->outputs, err));
    o->n_outputs = r->n_outputs;
    for (size_t i = 0; i < r->n_outputs; i++) {
        o->outputs[i] = (struct trawl_output){.finish_reason  = reason_of(r->outputs[i].finish),
                                              .n_tokens       = r->outputs[i].n_tokens,
                                              .n_top_logprobs = r->outputs[i].n_top,
                                              .n_inserted     = r->outputs[i].policy.inserted,
                                              .score          = r->outputs[i].score};
        memcpy(o->outputs[i].entropy_states, r->outputs[i].policy.states,
               sizeof o->outputs[i].entropy_states);
    }
    o->attn_entropy = r->n_outputs > 0 && r->outputs[0].attn_entropies != NULL;
    TW_TRY(lay_out(o, err));
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct tw_output *from = &r->outputs[i];
        size_t n                     = from->n_tokens;
        float *to                    = measures_of(o, i);
        if (n > 0) {
            memcpy(tokens_of(o, i), from->tokens, n * sizeof(int32_t));
            memcpy(to, from->logprobs, n * sizeof(float));
            memcpy(to + n, from->entropies, n * sizeof(float));
            memcpy(to + 2 * n, from->varentropies, n * sizeof(float));
        }
        if (n > 0 && o->attn_entropy && from->attn_entropies != NULL && from->attn_varentropies != NULL) {
            memcpy(to + 3 * n, from->attn_entropies, n * sizeof(float));
            memcpy(to + 4 * n, from->attn_varentropies, n * sizeof(float));
        }
        for (size_t k = 0; k < n * from->n_top; k++) {
            top_of(o, i)[k] =
                (struct trawl_top_logprob){.token = from->top[k].token, .logprob = from->top[k].logprob};
        }
    }
    sum(o);
    return r->error == NULL ? TRAWL_OK : tw_strdup(r->error->message, &o->error, err);
}

trawl_status tw_job_outcome_join(struct tw_job_outcome *o, const struct tw_job_outcome *const *from, size_t n,
                                 struct trawl_error *err)
{
    TW_TRY(tw_alloc(n, sizeof *o->outputs, &o->outputs, err));
    o->n_outputs = n;
    for (size_t i = 0; i < n; i++) {
        o->outputs[i]       = from[i]->outputs[0];
        o->outputs[i].score = o->outputs[i].cumulative_logprob;
        o->attn_entropy     = o->attn_entropy || from[i]->attn_entropy;
    }
    TW_TRY(lay_out(o, err));
    for (size_t i = 0; i < n; i++) {
        const struct trawl_output *one = &from[i]->outputs[0];
        size_t n_top                   = one->n_tokens * one->n_top_logprobs;
        if (one->n_tokens > 0) {
            memcpy(tokens_of(o, i), one->tokens, one->n_tokens * sizeof *one->tokens);
            memcpy(measures_of(o, i), one->logprobs, measures_each(o) * one->n_tokens * sizeof(float));
        }
        if (n_top > 0) {
            memcpy(top_of(o, i), one->top_logprobs, n_top * sizeof *one->top_logprobs);
        }
    }
    return TRAWL_OK;
}

/* ---- writing ---- */

/* JSON has no numbers that are not finite: they are the strings "nan", "inf", "-inf". */
static void write_float(struct tw_json_writer *w, float x)
{
    if (isfinite(x)) {
        tw_json_float(w, x);
    } else {
        tw_json_string(w, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    }
}

static void write_floats(struct tw_json_writer *w, const char *key, const float *x, size_t n)
{
    tw_json_key(w, key);
    tw_json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        write_float(w, x[i]);
    }
    tw_json_end_array(w);
}

/* Of every token its list: ids and log-probabilities in turns. */
static void write_top(struct tw_json_writer *w, const struct trawl_output *o)
{
    const struct trawl_top_logprob *top = o->top_logprobs;
    tw_json_key(w, "n_top");
    tw_json_int(w, (int64_t)o->n_top_logprobs);
    tw_json_key(w, "top");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n_tokens * o->n_top_logprobs; i++) {
        tw_json_int(w, top[i].token);
        write_float(w, top[i].logprob);
    }
    tw_json_end_array(w);
}

/* Nothing where there was no policy: with one, every token is chosen in some state. */
static void write_policy(struct tw_json_writer *w, const struct trawl_output *o)
{
    uint64_t n = 0;
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        n += o->entropy_states[i];
    }
    if (n == 0) {
        return;
    }
    tw_json_key(w, "entropy_states");
    tw_json_begin_array(w);
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        tw_json_int(w, o->entropy_states[i]);
    }
    tw_json_int(w, o->n_inserted);
    tw_json_end_array(w);
}

static void write_answer(struct tw_json_writer *w, enum trawl_finish_reason finish,
                         const struct trawl_output *o)
{
    tw_json_key(w, "finish_reason");
    tw_json_string(w, finish_names[finish]);
    tw_json_key(w, "tokens");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n_tokens; i++) {
        tw_json_int(w, o->tokens[i]);
    }
    tw_json_end_array(w);
    write_floats(w, "logprobs", o->logprobs, o->n_tokens);
    write_floats(w, "entropy", o->entropies, o->n_tokens);
    write_floats(w, "varentropy", o->varentropies, o->n_tokens);
    if (o->attn_entropies != NULL) {
        write_floats(w, "attn_entropy", o->attn_entropies, o->n_tokens);
        write_floats(w, "attn_varentropy", o->attn_varentropies, o->n_tokens);
    }
    if (o->n_top_logprobs > 0) {
        write_top(w, o);
    }
    write_policy(w, o);
}

static void write_outputs(struct tw_json_writer *w, const struct tw_job_outcome *o)
{
    tw_json_key(w, "finish_reason");
    tw_json_string(w, finish_names[o->finish]);
    if (o->n_nodes > 0) {
        tw_json_key(w, "nodes");
        tw_json_int(w, (int64_t)o->n_nodes);
        tw_json_key(w, "truncated");
        tw_json_bool(w, o->truncated);
    }
    tw_json_key(w, "outputs");
    tw_json_begin_array(w);
    for (size_t i = 0; i < o->n_outputs; i++) {
        tw_json_begin_object(w);
        write_answer(w, o->outputs[i].finish_reason, &o->outputs[i]);
        tw_json_key(w, "score");
        if (isfinite(o->outputs[i].score)) {
            tw_json_double(w, o->outputs[i].score);
        } else {
            write_float(w, (float)o->outputs[i].score);
        }
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
}

void tw_job_outcome_write(struct tw_json_writer *w, uint64_t number, const struct tw_job_outcome *o, bool all)
{
    const struct trawl_output none = {0};
    char hash[17];
    tw_hash_hex(o->prompt_hash, hash);
    tw_json_begin_object(w);
    tw_json_key(w, "id");
    tw_json_int(w, (int64_t)number);
    tw_json_key(w, "prompt_hash");
    tw_json_string(w, hash);
    if (all) {
        write_outputs(w, o);
    } else {
        write_answer(w, o->finish, o->n_outputs == 0 ? &none : &o->outputs[0]);
    }
    if (o->error != NULL) {
        tw_json_key(w, "error");
        tw_json_string(w, o->error);
    }
    tw_json_end_object(w);
}

/* ---- reading back ---- */

static trawl_status read_float(const json_t *v, const char *key, double *to, struct trawl_error *err)
{
    if (json_is_number(v)) {
        *to = json_number_value(v);
        return TRAWL_OK;
    }
    const char *text = json_is_string(v) ? json_string_value(v) : "";
    char *end        = NULL;
    *to              = (double)strtof(text, &end);
    if (end == text || *end != '\0') {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: \"%s\" holds %s, expected numbers", key,
                       tw_json_type_name(v));
    }
    return TRAWL_OK;
}

static trawl_status read_floats(const json_t *j, const char *key, float *to, size_t n,
                                struct trawl_error *err)
{
    json_t *a = NULL;
    TW_TRY(tw_json_get_array(j, key, "journal record", &a, err));
    if (json_array_size(a) != n) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: \"%s\" has %zu numbers, expected %zu", key,
                       json_array_size(a), n);
    }
    for (size_t i = 0; i < n; i++) {
        double x = 0;
        TW_TRY(read_float(json_array_get(a, i), key, &x, err));
        to[i] = (float)x;
    }
    return TRAWL_OK;
}

static trawl_status read_finish(const json_t *j, enum trawl_finish_reason *out, struct trawl_error *err)
{
    const char *finish = "";
    size_t known = sizeof finish_names / sizeof finish_names[0], f = 0;
    TW_TRY(tw_json_get_string(j, "finish_reason", "journal record", &finish, err));
    while (f < known && strcmp(finish, finish_names[f]) != 0) {
        f++;
    }
    if (f == known) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: finish_reason is \"%s\"", finish);
    }
    *out = (enum trawl_finish_reason)f;
    return TRAWL_OK;
}

/* Output i of the record; in `list`, or the record itself. */
static const json_t *output_at(const json_t *record, const json_t *list, size_t i)
{
    return list == NULL ? record : json_array_get(list, i);
}

static trawl_status read_top(const json_t *j, struct tw_job_outcome *o, size_t i, struct trawl_error *err)
{
    json_t *list = NULL;
    size_t n     = o->outputs[i].n_tokens * o->outputs[i].n_top_logprobs;
    TW_TRY(tw_json_get_array(j, "top", "journal record", &list, err));
    if (json_array_size(list) != 2 * n) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: \"top\" has %zu numbers, expected %zu",
                       json_array_size(list), 2 * n);
    }
    for (size_t k = 0; k < n; k++) {
        double logprob = 0;
        TW_TRY(read_float(json_array_get(list, 2 * k + 1), "top", &logprob, err));
        top_of(o, i)[k] = (struct trawl_top_logprob){
            .token = (int32_t)json_integer_value(json_array_get(list, 2 * k)), .logprob = (float)logprob};
    }
    return TRAWL_OK;
}

static trawl_status read_policy(const json_t *j, struct trawl_output *o, struct trawl_error *err)
{
    json_t *list = NULL;
    TW_TRY(tw_json_get_array(j, "entropy_states", "journal record", &list, err));
    if (list == NULL) {
        return TRAWL_OK;
    }
    if (json_array_size(list) != TRAWL_ENTROPY_STATES + 1) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "journal record: \"entropy_states\" has %zu numbers, expected %d",
                       json_array_size(list), TRAWL_ENTROPY_STATES + 1);
    }
    for (size_t i = 0; i < TRAWL_ENTROPY_STATES; i++) {
        o->entropy_states[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    }
    o->n_inserted = (uint32_t)json_integer_value(json_array_get(list, TRAWL_ENTROPY_STATES));
    return TRAWL_OK;
}

static trawl_status read_output(const json_t *j, struct tw_job_outcome *o, size_t i, struct trawl_error *err)
{
    json_t *tokens = NULL, *score = json_object_get(j, "score");
    size_t n  = o->outputs[i].n_tokens;
    float *to = measures_of(o, i);
    TW_TRY(read_finish(j, &o->outputs[i].finish_reason, err));
    TW_TRY(tw_json_get_array(j, "tokens", "journal record", &tokens, err));
    for (size_t k = 0; k < n; k++) {
        const json_t *id = json_array_get(tokens, k);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
            return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: \"tokens\" holds %s, expected token ids",
                           tw_json_type_name(id));
        }
        tokens_of(o, i)[k] = (int32_t)json_integer_value(id);
    }
    if (score != NULL) {
        TW_TRY(read_float(score, "score", &o->outputs[i].score, err));
    }
    TW_TRY(read_top(j, o, i, err));
    TW_TRY(read_policy(j, &o->outputs[i], err));
    TW_TRY(read_floats(j, "logprobs", to, n, err));
    TW_TRY(read_floats(j, "entropy", to + n, n, err));
    TW_TRY(read_floats(j, "varentropy", to + 2 * n, n, err));
    if (!o->attn_entropy) {
        return TRAWL_OK;
    }
    TW_TRY(read_floats(j, "attn_entropy", to + 3 * n, n, err));
    return read_floats(j, "attn_varentropy", to + 4 * n, n, err);
}

static trawl_status read_n_top(const json_t *j, struct trawl_output *o, struct trawl_error *err)
{
    int64_t n = 0;
    TW_TRY(tw_json_get_int(j, "n_top", "journal record", &n, err));
    if (n < 0 || n > TW_SAMPLE_MAX_TOP_LOGPROBS) {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record: \"n_top\" is %lld, expected 0 to %d",
                       (long long)n, TW_SAMPLE_MAX_TOP_LOGPROBS);
    }
    o->n_top_logprobs = (size_t)n;
    return TRAWL_OK;
}

static trawl_status read_outputs(const json_t *record, struct tw_job_outcome *o, struct trawl_error *err)
{
    json_t *list = NULL;
    TW_TRY(tw_json_get_array(record, "outputs", "journal record", &list, err));
    size_t n = list != NULL ? json_array_size(list) : o->finish == TRAWL_FINISH_ERROR ? 0 : 1;
    TW_TRY(tw_alloc(n, sizeof *o->outputs, &o->outputs, err));
    o->n_outputs = n;
    for (size_t i = 0; i < n; i++) {
        json_t *tokens = NULL;
        TW_TRY(tw_json_get_array(output_at(record, list, i), "tokens", "journal record", &tokens, err));
        o->outputs[i].n_tokens = json_array_size(tokens);
        TW_TRY(read_n_top(output_at(record, list, i), &o->outputs[i], err));
    }
    o->attn_entropy = n > 0 && json_object_get(output_at(record, list, 0), "attn_entropy") != NULL;
    TW_TRY(lay_out(o, err));
    for (size_t i = 0; i < n; i++) {
        TW_TRY(read_output(output_at(record, list, i), o, i, err));
    }
    sum(o);
    return TRAWL_OK;
}

trawl_status tw_job_outcome_read(const json_t *j, uint64_t least, struct tw_job_outcome *o,
                                 struct trawl_error *err)
{
    const char *error = NULL, *hash = "0";
    int64_t found = -1, nodes = 0;
    char *end = NULL;
    TW_TRY(tw_json_get_int(j, "id", "journal record", &found, err));
    TW_TRY(tw_json_get_string(j, "error", "journal record", &error, err));
    TW_TRY(tw_json_get_string(j, "prompt_hash", "journal record", &hash, err));
    if (found < 0 || (uint64_t)found < least) {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "journal record of request %lld stands where one from %llu on is expected",
                       (long long)found, (unsigned long long)least);
    }
    TW_TRY(read_finish(j, &o->finish, err));
    o->prompt_hash = strtoull(hash, &end, 16);
    if (strlen(hash) != 16 || *end != '\0') {
        return tw_fail(err, TRAWL_ERR_FORMAT, "journal record of request %llu is damaged",
                       (unsigned long long)found);
    }
    o->number = (uint64_t)found;
    TW_TRY(tw_json_get_int(j, "nodes", "journal record", &nodes, err));
    TW_TRY(tw_json_get_bool(j, "truncated", "journal record", &o->truncated, err));
    o->n_nodes = nodes < 0 ? 0 : (uint64_t)nodes;
    TW_TRY(read_outputs(j, o, err));
    return error == NULL ? TRAWL_OK : tw_strdup(error, &o->error, err);
}
