/* SPDX-License-Identifier: MIT */
/* What processors and filters leave of a row, token by token, against tests/golden/sample_filters.py, and that draws
 * follow it; the mask, the most probable tokens, and rows of which nothing is left. */
#include <float.h>
#include <stdio.h>

#include "base/philox.h"
#include "sample/sample_filter.h"
#include "sample/sample_select.h"
#include "support/sample_choose.h"
#include "support/sample_fit.h"

enum { MAX_VOCAB = 64, MAX_HISTORY = 32, DRAWS = 600 };

struct fixture {
    size_t number;
    size_t n_vocab, n_history, n_prompt, n_end, n_bias, n_suppress, n_left;
    float logits[MAX_VOCAB], bias[MAX_VOCAB];
    int32_t history[MAX_HISTORY], end[MAX_VOCAB], bias_tokens[MAX_VOCAB], suppress[MAX_VOCAB];
    uint32_t allowed[MAX_VOCAB / 32];
    bool masked;
    double left[MAX_VOCAB]; /* probabilities */
    struct tw_sample_params params;
};

static size_t read_ids(char *text, int32_t *out, size_t capacity)
{
    size_t n = 0;
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(n < capacity);
        out[n++] = (int32_t)strtol(word, NULL, 10);
    }
    return n;
}

static void read_set(struct tw_sample_params *p, const char *name, double value)
{
    const struct {
        const char *name;
        double *real;
        int64_t *integer;
        size_t *size;
    } fields[] = {
        {"temperature", &p->temperature, NULL, NULL},
        {"top_n_sigma", &p->top_n_sigma, NULL, NULL},
        {"top_k", NULL, &p->top_k, NULL},
        {"top_p", &p->top_p, NULL, NULL},
        {"min_p", &p->min_p, NULL, NULL},
        {"typical_p", &p->typical_p, NULL, NULL},
        {"xtc_probability", &p->xtc_probability, NULL, NULL},
        {"xtc_threshold", &p->xtc_threshold, NULL, NULL},
        {"repetition_penalty", &p->repetition_penalty, NULL, NULL},
        {"presence_penalty", &p->presence_penalty, NULL, NULL},
        {"frequency_penalty", &p->frequency_penalty, NULL, NULL},
        {"no_repeat_ngram_size", NULL, &p->no_repeat_ngram_size, NULL},
        {"min_tokens", NULL, NULL, &p->min_tokens},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strcmp(fields[i].name, name) != 0) {
            continue;
        }
        if (fields[i].real != NULL) {
            *fields[i].real = value;
        } else if (fields[i].integer != NULL) {
            *fields[i].integer = (int64_t)value;
        } else {
            *fields[i].size = (size_t)value;
        }
        return;
    }
    fail_msg("no parameter %s", name);
}

static void read_logits(struct fixture *f, char *text)
{
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(f->n_vocab < MAX_VOCAB);
        f->logits[f->n_vocab++] = strtof(word, NULL);
    }
}

static void read_left(struct fixture *f, char *text)
{
    char *end = text;
    while (*end != '\0' && *end != '\n') {
        long token     = strtol(end, &end, 10);
        f->left[token] = strtod(end, &end);
        f->n_left++;
    }
}

static void read_line(struct fixture *f, char *line)
{
    char name[64] = "";
    int32_t ids[MAX_VOCAB];
    double value = 0;
    int id = 0, skip = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "set %63s %lf", name, &value) == 2) {
        read_set(&f->params, name, value);
    } else if (sscanf(line, "bias %d %lf", &id, &value) == 2) {
        f->bias_tokens[f->n_bias] = id;
        f->bias[f->n_bias++]      = (float)value;
    } else if (sscanf(line, "suppress %d", &id) == 1) {
        f->suppress[f->n_suppress++] = id;
    } else if (sscanf(line, "prompt %zu", &f->n_prompt) == 1) {
        return;
    } else if (sscanf(line, "%63s %n", name, &skip) == 1 && strcmp(name, "history") == 0) {
        f->n_history = read_ids(line + skip, f->history, MAX_HISTORY);
    } else if (strcmp(name, "end") == 0) {
        f->n_end = read_ids(line + skip, f->end, MAX_VOCAB);
    } else if (strcmp(name, "allowed") == 0) {
        f->masked = true;
        for (size_t i = 0, n = read_ids(line + skip, ids, MAX_VOCAB); i < n; i++) {
            f->allowed[ids[i] / 32] |= 1U << (ids[i] % 32);
        }
    } else if (strcmp(name, "logits") == 0) {
        read_logits(f, line + skip);
    } else if (strcmp(name, "left") == 0) {
        read_left(f, line + skip);
    } else {
        fail_msg("unexpected line: %s", line);
    }
}

static struct tw_sample_input input_of(struct fixture *f)
{
    f->params.bias_tokens       = f->bias_tokens;
    f->params.bias              = f->bias;
    f->params.n_bias            = f->n_bias;
    f->params.suppress_tokens   = f->suppress;
    f->params.n_suppress_tokens = f->n_suppress;
    f->params.seed              = f->number;
    return (struct tw_sample_input){.logits     = f->logits,
                                    .params     = &f->params,
                                    .history    = f->history,
                                    .n_history  = f->n_history,
                                    .n_prompt   = f->n_prompt,
                                    .end_tokens = {{.ids = f->end, .n = f->n_end}},
                                    .allowed    = f->masked ? f->allowed : NULL};
}

/* Exactly the tokens that should be left, with their probabilities. XTC is a matter of the draw. */
static void check_set(struct fixture *f, struct tw_sampler *s, const struct tw_sample_input *in)
{
    struct tw_scaled_row r = {
        .x = s->row, .scale = (float)(1 / f->params.temperature), .sums[0] = (double)NAN};
    double total = 0;
    size_t index;
    memcpy(s->row, f->logits, f->n_vocab * sizeof *s->row);
    if (tw_sample_calls_for_processing(in)) {
        tw_sample_process(s, in, s->row);
    }
    kernels.argmax(s->row, f->n_vocab, &r.max, &index);
    size_t n = tw_filter_keep(s, &f->params, &r), skip = 0;
    for (size_t i = 0; i < n; i++) {
        total += (double)s->weights[i];
    }
    while (f->params.xtc_probability > 0 && skip < n && f->left[s->candidates[0][skip].token] <= 0) {
        total -= (double)s->weights[skip++];
    }
    assert_int_equal(n - skip, f->n_left);
    for (size_t i = skip; i < n; i++) {
        double want = f->left[s->candidates[0][i].token];
        assert_true(want > 0 && fabs((double)s->weights[i] / total - want) < 2e-6);
    }
}

static void check_fixture(struct fixture *f)
{
    struct tw_sampler s;
    struct trawl_error err;
    char what[32];
    assert_ok(tw_sampler_init(&s, &kernels, f->n_vocab, &err));
    struct tw_sample_input in = input_of(f);
    assert_ok(tw_sample_params_check(&f->params, &err));
    assert_ok(tw_sample_params_check_ids(&f->params, f->n_vocab, &err));
    (void)snprintf(what, sizeof what, "fixture %zu", f->number);
    if (f->params.temperature > 0) {
        check_set(f, &s, &in);
    }
    sample_assert_fits(&s, &in, f->left, f->params.temperature > 0 ? DRAWS : 1, what);
    for (size_t i = 0; i < f->n_vocab; i++) {
        assert_int_equal(s.counts[i], 0);
    }
    tw_sampler_release(&s);
}

static void test_what_is_left_of_rows(void **state)
{
    static struct fixture f;
    char line[8192];
    size_t n = 0;
    (void)state;
    FILE *file = fopen(TRAWL_SOURCE_DIR "/tests/sample/data/filters.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strcmp(line, "case\n") == 0) {
            memset(&f, 0, sizeof f);
            tw_sample_params_init(&f.params);
            f.number = n;
            continue;
        }
        read_line(&f, line);
        if (f.n_left > 0) {
            check_fixture(&f);
            n++;
        }
    }
    (void)fclose(file);
    print_message("%zu rows\n", n);
    assert_true(n > 100);
}

/* A mask over more than a word, and of a word in part: what is chosen is allowed, and the best of it when greedy. */
static void test_masks_have_the_last_word(void **state)
{
    enum { VOCAB = 301 };
    struct tw_philox_stream r;
    struct tw_sampler s;
    struct trawl_error err;
    float row[VOCAB];
    uint32_t allowed[VOCAB / 32 + 1];
    (void)state;
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    tw_philox_stream_init(&r, 20261121, 7);
    for (int i = 0; i < 400; i++) {
        struct tw_sample_params p;
        tw_sample_params_init(&p);
        p.temperature = i % 3 == 0 ? 0 : 1.5;
        p.top_k       = i % 4 == 0 ? 5 : 0;
        p.top_p       = i % 5 == 0 ? 0.5 : 1;
        int best      = -1;
        memset(allowed, 0, sizeof allowed);
        for (int j = 0; j < VOCAB; j++) {
            row[j] = (float)(8 * tw_philox_double(&r));
            if (tw_philox_below(&r, 1 + (uint32_t)i) == 0) {
                allowed[j / 32] |= 1U << (j % 32);
                best = best < 0 || row[j] > row[best] ? j : best;
            }
        }
        allowed[VOCAB / 32] |= 1U << 31; /* beyond the vocabulary: means nothing */
        const struct tw_sample_input in = {
            .logits = row, .params = &p, .position = (size_t)i, .allowed = allowed};
        struct tw_sampled got = tw_sample_choose(&s, &in);
        if (best < 0) {
            assert_int_equal(got.token, TW_SAMPLE_NONE);
            assert_refused(tw_sample_explain(&s, &in, &err), TRAWL_ERR_INVALID,
                           "the mask of allowed tokens leaves none of 301");
        } else {
            assert_true((allowed[got.token / 32] >> (got.token % 32) & 1U) != 0);
            assert_true(p.temperature > 0 || got.token == best);
            assert_true(got.logprob == tw_sample_logprob(&kernels, row, VOCAB, got.token));
        }
    }
    tw_sampler_release(&s);
}

static void test_nothing_left_says_why(void **state)
{
    struct tw_sampler s;
    struct trawl_error err;
    const float row[4]        = {1, 2, 3, 4};
    const int32_t every[4]    = {0, 1, 2, 3};
    const uint32_t allowed[1] = {0x2};
    struct tw_sample_params p;
    (void)state;
    assert_ok(tw_sampler_init(&s, &kernels, 4, &err));
    tw_sample_params_init(&p);
    p.no_repeat_ngram_size    = 1;
    struct tw_sample_input in = {
        .logits = row, .params = &p, .history = every, .n_history = 4, .n_prompt = 4, .position = 4};
    assert_int_equal(tw_sample_choose(&s, &in).token, TW_SAMPLE_NONE);
    assert_refused(tw_sample_explain(&s, &in, &err), TRAWL_ERR_INVALID,
                   "no token of 4 is left to choose at position 4: forbidden by no_repeat_ngram_size");
    p.no_repeat_ngram_size = 0;
    p.min_tokens           = 1;
    p.temperature          = 1;
    in.end_tokens[1]       = (struct tw_sample_ids){every + 1, 1};
    assert_true(tw_sample_choose(&s, &in).token != 1);
    in.allowed = allowed;
    assert_int_equal(tw_sample_choose(&s, &in).token, TW_SAMPLE_NONE);
    assert_refused(tw_sample_explain(&s, &in, &err), TRAWL_ERR_INVALID, "min_tokens");
    tw_sampler_release(&s);
}

static int by_logit(const void *a, const void *b, void *logits)
{
    const float *x = logits;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    return x[i] > x[j] ? -1 : x[i] < x[j] ? 1 : i - j;
}

/* The k most probable under the raw softmax, whatever the processors do; ties by lower id, NaN is none of them. */
static void test_top_logprobs(void **state)
{
    enum { VOCAB = 700 };
    static float row[VOCAB];
    static struct tw_top_logprob top[VOCAB];
    const size_t wanted[] = {1, 2, 5, 6, 7, 20, 699, VOCAB};
    struct tw_philox_stream r;
    struct tw_sampler s;
    struct trawl_error err;
    int32_t order[VOCAB];
    (void)state;
    assert_ok(tw_sampler_init(&s, &kernels, VOCAB, &err));
    tw_philox_stream_init(&r, 20261121, 8);
    for (int i = 0; i < 60; i++) {
        struct tw_sample_params p;
        tw_sample_params_init(&p);
        p.temperature        = i % 2;
        p.repetition_penalty = 1.5;
        p.top_logprobs       = wanted[i % 8];
        for (int32_t j = 0; j < VOCAB; j++) {
            double x = 20 * tw_philox_double(&r) - 10;
            row[j]   = (float)(i % 3 == 0 ? round(x) : x);
            order[j] = j;
        }
        qsort_r(order, VOCAB, sizeof *order, by_logit, row);
        const struct tw_sample_input in = {
            .logits = row, .params = &p, .history = order, .n_history = 9, .position = 9, .top = top};
        (void)tw_sample_choose(&s, &in);
        for (size_t j = 0; j < p.top_logprobs; j++) {
            assert_int_equal(top[j].token, order[j]);
            assert_true(top[j].logprob == tw_sample_logprob(&kernels, row, VOCAB, order[j]));
        }
    }
    for (size_t j = 3; j < VOCAB; j++) {
        row[j] = NAN;
    }
    struct tw_sample_params p;
    tw_sample_params_init(&p);
    p.top_logprobs                  = 5;
    const struct tw_sample_input in = {.logits = row, .params = &p, .top = top};
    (void)tw_sample_choose(&s, &in);
    assert_int_equal(top[2].token + top[1].token + top[0].token, 3);
    assert_int_equal(top[3].token, TW_SAMPLE_NONE);
    tw_sampler_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_of_rows),
        cmocka_unit_test(test_masks_have_the_last_word),
        cmocka_unit_test(test_nothing_left_says_why),
        cmocka_unit_test(test_top_logprobs),
    };
    return cmocka_run_group_tests(tests, sample_setup, NULL);
}
