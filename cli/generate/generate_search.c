/* SPDX-License-Identifier: MIT */
#include "cli/generate/generate_search.h"

#include <string.h>

#include "base/alloc.h"
#include "cli/generate/generate_rows.h"

/* ---- what is asked for ---- */

static bool parse_early_stopping(const char *name, enum trawl_early_stopping *out)
{
    static const char *const names[] = {[TRAWL_EARLY_STOPPING_FALSE] = "false",
                                        [TRAWL_EARLY_STOPPING_TRUE]  = "true",
                                        [TRAWL_EARLY_STOPPING_NEVER] = "never"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum trawl_early_stopping)i;
            return true;
        }
    }
    return false;
}

void cli_row_search_defaults(struct trawl_request *request, const struct cli_args *args)
{
    request->num_beams      = (size_t)cli_get_int(args, "num_beams");
    request->length_penalty = cli_get_float(args, "length_penalty");
    (void)parse_early_stopping(cli_get_string(args, "early_stopping"), &request->early_stopping);
}

static trawl_status read_size(const json_t *j, const char *key, const char *what, int64_t least, size_t *out,
                              struct trawl_error *err)
{
    int64_t n = (int64_t)*out;
    TW_TRY(tw_json_get_int(j, key, what, &n, err));
    if (n < least || n > 1 << 24) {
        return tw_fail(err, TRAWL_ERR_INVALID, "%s: \"%s\" is %lld, expected %lld to %d", what, key,
                       (long long)n, (long long)least, 1 << 24);
    }
    *out = (size_t)n;
    return TRAWL_OK;
}

static trawl_status read_beams(struct trawl_request *q, const json_t *j, struct trawl_error *err)
{
    const json_t *early = json_object_get(j, "early_stopping");
    TW_TRY(read_size(j, "num_beams", "row", 1, &q->num_beams, err));
    TW_TRY(tw_json_get_double(j, "length_penalty", "row", &q->length_penalty, err));
    if (json_is_boolean(early)) {
        q->early_stopping = json_is_true(early) ? TRAWL_EARLY_STOPPING_TRUE : TRAWL_EARLY_STOPPING_FALSE;
    } else if (early != NULL && !json_is_null(early) &&
               (!json_is_string(early) || strcmp(json_string_value(early), "never") != 0)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"early_stopping\" is %s, expected true, false or \"never\"",
                       json_is_string(early) ? json_string_value(early) : tw_json_type_name(early));
    } else if (json_is_string(early)) {
        q->early_stopping = TRAWL_EARLY_STOPPING_NEVER;
    }
    return TRAWL_OK;
}

static trawl_status read_dfs(struct trawl_request *q, const json_t *j, struct trawl_error *err)
{
    json_t *dfs = NULL, *v;
    const char *key;
    TW_TRY(tw_json_get_object(j, "dfs", "row", &dfs, err));
    if (dfs == NULL) {
        return TRAWL_OK;
    }
    json_object_foreach(dfs, key, v)
    {
        if (strcmp(key, "min_prob") != 0 && strcmp(key, "max_nodes") != 0 &&
            strcmp(key, "max_outputs") != 0) {
            return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                           "dfs: there is no \"%s\", expected min_prob, max_nodes, max_outputs", key);
        }
    }
    TW_TRY(tw_json_get_double(dfs, "min_prob", "dfs", &q->nbest_min_prob, err));
    if (!(q->nbest_min_prob > 0 && q->nbest_min_prob <= 1)) {
        return tw_fail(err, TRAWL_ERR_INVALID, "dfs: \"min_prob\" is %g, expected more than 0 and at most 1",
                       q->nbest_min_prob);
    }
    TW_TRY(read_size(dfs, "max_nodes", "dfs", 1, &q->nbest_max_nodes, err));
    return read_size(dfs, "max_outputs", "dfs", 1, &q->nbest_max_outputs, err);
}

/* Ids of a completion in text into t->ids: what follows the prompt's ids in those of both texts together, where
 * these begin with the prompt's; else its own. */
static trawl_status encode_completion(const struct cli_row *row, struct cli_row_text *t, const char *text,
                                      size_t n_text, const json_t *completion, size_t *first,
                                      struct trawl_error *err)
{
    size_t n_prompt = row->request.n_prompt, n = json_string_length(completion);
    struct tw_str both;
    *first = n_prompt;
    if (t->tokenizer == NULL) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED, "text needs a tokenizer: %s", t->why_none.message);
    }
    t->ids.size = 0;
    if (text != NULL) {
        tw_str_init(&both, 0);
        trawl_status status = tw_str_append(&both, text, n_text, err);
        if (status == TRAWL_OK) {
            status = tw_str_append(&both, json_string_value(completion), n, err);
        }
        if (status == TRAWL_OK) {
            status = tw_encode(t->encoder, tw_str_text(&both), both.size, &t->options, &t->ids, err);
        }
        tw_str_release(&both);
        TW_TRY(status);
        if (t->ids.size > n_prompt && memcmp(t->ids.data, row->prompt, n_prompt * sizeof *row->prompt) == 0) {
            return TRAWL_OK;
        }
        t->ids.size = 0;
    }
    *first = 0;
    return tw_encode(t->encoder, json_string_value(completion), n, NULL, &t->ids, err);
}

static trawl_status take_completion(struct cli_row *row, size_t *n_tokens, size_t *capacity,
                                    const int32_t *ids, size_t n, struct trawl_error *err)
{
    struct cli_row_search *s = &row->search;
    TW_TRY(tw_grow(&s->tokens, capacity, *n_tokens + n, sizeof *s->tokens, err));
    memcpy(s->tokens + *n_tokens, ids, n * sizeof *ids);
    *n_tokens += n;
    s->lengths[row->request.n_completions++] = n;
    return TRAWL_OK;
}

static trawl_status read_completion(struct cli_row *row, const json_t *v, size_t i, struct cli_row_text *t,
                                    const char *text, size_t n_text, struct trawl_error *err)
{
    size_t first = 0;
    t->ids.size  = 0;
    if (json_is_string(v)) {
        TW_TRY(encode_completion(row, t, text, n_text, v, &first, err));
    } else if (json_is_array(v)) {
        for (size_t k = 0; k < json_array_size(v); k++) {
            const json_t *id = json_array_get(v, k);
            if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX) {
                return tw_fail(err, TRAWL_ERR_FORMAT, "\"completions\"[%zu][%zu] is %s, expected a token id",
                               i, k, tw_json_type_name(id));
            }
            TW_TRY(tw_grow(&t->ids.data, &t->ids.capacity, k + 1, sizeof *t->ids.data, err));
            t->ids.data[k] = (int32_t)json_integer_value(id);
            t->ids.size    = k + 1;
        }
    } else {
        return tw_fail(err, TRAWL_ERR_FORMAT,
                       "\"completions\"[%zu] is %s, expected a text or an array of token ids", i,
                       tw_json_type_name(v));
    }
    if (t->ids.size == first) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"completions\"[%zu] is empty", i);
    }
    memmove(t->ids.data, t->ids.data + first, (t->ids.size - first) * sizeof *t->ids.data);
    t->ids.size -= first;
    return TRAWL_OK;
}

static trawl_status read_completions(struct cli_row *row, const json_t *j, struct cli_row_text *t,
                                     const char *text, size_t n_text, struct trawl_error *err)
{
    json_t *list    = NULL;
    size_t n_tokens = 0, capacity = 0;
    TW_TRY(tw_json_get_array(j, "completions", "row", &list, err));
    if (list == NULL) {
        return TRAWL_OK;
    }
    if (json_array_size(list) == 0) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"completions\" is empty");
    }
    TW_TRY(tw_alloc(json_array_size(list), sizeof *row->search.lengths, &row->search.lengths, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        TW_TRY(read_completion(row, json_array_get(list, i), i, t, text, n_text, err));
        TW_TRY(take_completion(row, &n_tokens, &capacity, t->ids.data, t->ids.size, err));
    }
    row->request.completions        = row->search.tokens;
    row->request.completion_lengths = row->search.lengths;
    return TRAWL_OK;
}

trawl_status cli_row_search_read(struct cli_row *row, const json_t *j, struct cli_row_text *t,
                                 const char *text, size_t n_text, struct trawl_error *err)
{
    TW_TRY(read_beams(&row->request, j, err));
    TW_TRY(read_dfs(&row->request, j, err));
    return read_completions(row, j, t, text, n_text, err);
}

bool cli_row_searches(const struct cli_row *row)
{
    const struct trawl_request *q = &row->request;
    return q->num_beams > 0 || q->n_completions > 0 || q->nbest_min_prob > 0 || q->best_of > 1;
}

trawl_status cli_row_search_settle(struct cli_row *row, struct trawl_error *err)
{
    struct trawl_request *q = &row->request;
    if (q->num_beams == 1) {
        q->num_beams = 0; /* one beam is the most likely token each time */
    }
    int asked = (q->num_beams > 0) + (q->n_completions > 0) + (q->nbest_min_prob > 0);
    if (asked > 1) {
        return tw_fail(err, TRAWL_ERR_INVALID,
                       "\"num_beams\", \"completions\" and \"dfs\" exclude each other, here are %d", asked);
    }
    if (asked == 0 && q->best_of <= 1) {
        return TRAWL_OK;
    }
    if (row->n_stop > 0) {
        return tw_fail(err, TRAWL_ERR_UNSUPPORTED,
                       "\"stop\" texts end single answers as they come; with \"%s\" they end at end tokens, "
                       "\"stop_token_ids\"",
                       asked == 0             ? "best_of"
                       : q->num_beams > 0     ? "num_beams"
                       : q->n_completions > 0 ? "completions"
                                              : "dfs");
    }
    if (q->num_beams > 0 || asked == 0) {
        q->num_return_sequences = row->n_samples;
        row->n_samples          = 1;
    }
    if (row->n_samples != 1) {
        return tw_fail(err, TRAWL_ERR_INVALID, "\"n\" is %zu, expected 1: \"%s\" draws nothing",
                       row->n_samples, q->n_completions > 0 ? "completions" : "dfs");
    }
    return TRAWL_OK;
}

void cli_row_search_release(struct cli_row_search *s)
{
    tw_free(s->tokens);
    tw_free(s->lengths);
    *s = (struct cli_row_search){0};
}

/* ---- what came out ---- */

static trawl_status write_output(struct tw_json_writer *w, const struct cli_row *row,
                                 const struct trawl_output *o, struct cli_row_text *t,
                                 struct trawl_error *err)
{
    bool scored = row->request.n_completions > 0;
    tw_json_begin_object(w);
    TW_TRY(cli_write_text(w, o->tokens, o->n_tokens, t, err));
    cli_write_tokens(w, o->tokens, o->n_tokens);
    if (row->request.num_beams > 0) {
        tw_json_key(w, "score");
        tw_json_double(w, o->score);
    }
    tw_json_key(w, "logprob");
    if (scored && o->finish_reason != TRAWL_FINISH_LENGTH) { /* the time was over before its turn */
        tw_json_null(w);
    } else {
        tw_json_double(w, o->cumulative_logprob);
    }
    if (!scored || o->finish_reason != TRAWL_FINISH_LENGTH) {
        tw_json_key(w, "finish_reason");
        tw_json_string(w, trawl_finish_reason_name(o->finish_reason));
    }
    if (row->logprobs) {
        cli_write_measures(w, o->logprobs, o->entropies, o->varentropies, o->n_tokens);
    }
    tw_json_end_object(w);
    return w->status;
}

/* A result as if output i were its only one. */
static struct trawl_result result_of(const struct trawl_result *r, size_t i)
{
    const struct trawl_output *o = &r->outputs[i];
    struct trawl_result one      = *r;
    one.outputs                  = o;
    one.n_outputs                = 1;
    one.finish_reason            = o->finish_reason;
    one.tokens                   = o->tokens;
    one.n_tokens                 = o->n_tokens;
    one.logprobs                 = o->logprobs;
    one.entropies                = o->entropies;
    one.varentropies             = o->varentropies;
    one.attn_entropies           = o->attn_entropies;
    one.attn_varentropies        = o->attn_varentropies;
    one.cumulative_logprob       = o->cumulative_logprob;
    return one;
}

/* The best of the answers that were drawn, as many as were asked for. */
static trawl_status write_best(struct tw_json_writer *w, const struct cli_row *row,
                               const struct trawl_result *r, struct cli_row_text *t, struct trawl_error *err)
{
    if (row->request.num_return_sequences == 1 || r->finish_reason == TRAWL_FINISH_ERROR) {
        return cli_row_write_answer(w, row, r, t, err);
    }
    tw_json_key(w, "samples");
    tw_json_begin_array(w);
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct trawl_result one = result_of(r, i);
        tw_json_begin_object(w);
        TW_TRY(cli_row_write_answer(w, row, &one, t, err));
        tw_json_end_object(w);
    }
    tw_json_end_array(w);
    return w->status;
}

trawl_status cli_row_write_search(struct tw_json_writer *w, const struct cli_row *row,
                                  const struct trawl_result *r, struct cli_row_text *t,
                                  struct trawl_error *err)
{
    const struct trawl_request *q = &row->request;
    if (q->best_of > 1) {
        return write_best(w, row, r, t, err);
    }
    if (q->num_beams > 0 || r->finish_reason == TRAWL_FINISH_ERROR) {
        TW_TRY(cli_row_write_answer(w, row, r, t, err));
        if (r->finish_reason == TRAWL_FINISH_ERROR) {
            return w->status;
        }
    } else {
        tw_json_key(w, "prompt_tokens");
        tw_json_int(w, (int64_t)r->n_prompt);
        if (r->finish_reason == TRAWL_FINISH_TIMEOUT) {
            tw_json_key(w, "finish_reason");
            tw_json_string(w, trawl_finish_reason_name(r->finish_reason));
        }
    }
    if (q->nbest_min_prob > 0) {
        tw_json_key(w, "nodes");
        tw_json_int(w, (int64_t)r->n_nodes);
        tw_json_key(w, "truncated");
        tw_json_bool(w, r->truncated);
    }
    tw_json_key(w, q->num_beams > 0 ? "beams" : q->n_completions > 0 ? "scores" : "nbest");
    tw_json_begin_array(w);
    for (size_t i = 0; i < r->n_outputs; i++) {
        TW_TRY(write_output(w, row, &r->outputs[i], t, err));
    }
    tw_json_end_array(w);
    return w->status;
}
