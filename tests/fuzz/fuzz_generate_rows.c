/* SPDX-License-Identifier: MIT */
/* A line of --prompts_file, with a tokenizer and without: it is refused by a sentence, or becomes a request that can be
 * copied, and whatever is said of its answer is JSON. */
#include <stdlib.h>

#include "api/api_mask.h"
#include "api/api_sampling.h"
#include "api/api_search.h"
#include "cli/generate/generate_rows.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER = 3, OUTPUTS = 2 };

/* The copies that a job makes follow every pointer of the request. */
static void copy(const struct trawl_request *r)
{
    struct trawl_error err;
    struct tw_job_mask mask;
    struct tw_job_search search     = {0};
    struct tw_job_sampling sampling = {0};
    struct tw_sample_params params;
    struct tw_request q = {.prompt = r->prompt, .n_prompt = r->n_prompt, .max_tokens = r->max_tokens};
    if (tw_job_mask_copy(&mask, r, &err) == TRAWL_OK) {
        tw_job_mask_release(&mask);
    }
    if (tw_job_search_copy(&search, r, &q, &err) == TRAWL_OK) {
        (void)tw_job_search_hash(&q, 1);
    }
    if (tw_job_sampling_copy(&sampling, r, 1, &params, &err) == TRAWL_OK) {
        (void)tw_sample_params_check(&params, &err);
    }
    tw_job_search_release(&search);
    tw_job_sampling_release(&sampling);
}

/* Of some answer. */
static void write(const struct cli_row *row, struct cli_row_text *text)
{
    static const int32_t tokens[ANSWER]                      = {1, 2, 3};
    static const float measures[ANSWER]                      = {-1, 0, -2.5f};
    static const struct trawl_top_logprob top[1024 * ANSWER] = {{.token = 1, .logprob = -1}};
    struct trawl_output outputs[OUTPUTS];
    struct trawl_result r = {.n_prompt = row->request.n_prompt, .outputs = outputs, .n_outputs = OUTPUTS};
    struct trawl_error err;
    struct tw_json_writer w;
    struct tw_str line;
    json_t *j = NULL;
    for (size_t i = 0; i < OUTPUTS; i++) {
        outputs[i] = (struct trawl_output){.tokens         = tokens,
                                           .logprobs       = measures,
                                           .entropies      = measures,
                                           .varentropies   = measures,
                                           .n_tokens       = ANSWER - i,
                                           .top_logprobs   = top,
                                           .n_top_logprobs = row->request.top_logprobs};
    }
    r.tokens   = tokens;
    r.logprobs = r.entropies = r.varentropies = measures;
    r.n_tokens                                = ANSWER;
    tw_str_init(&line, 0);
    tw_json_writer_init(&w, &line, 0);
    tw_json_begin_object(&w);
    trawl_status status = cli_row_searches(row) ? cli_row_write_search(&w, row, &r, text, &err)
                                                : cli_row_write_answer(&w, row, &r, text, &err);
    tw_json_end_object(&w);
    if (status == TRAWL_OK &&
        (tw_json_writer_finish(&w, &err) != TRAWL_OK ||
         tw_json_parse(tw_str_text(&line), line.size, "answer", &j, &err) != TRAWL_OK)) {
        abort();
    }
    json_decref(j);
    tw_str_release(&line);
}

static void try_row(const uint8_t *data, size_t size, const struct cli_row_defaults *d,
                    struct cli_row_text *text)
{
    struct cli_row row;
    struct trawl_error err;
    if (cli_row_parse(&row, (const char *)data, size, d, text, &err) != TRAWL_OK) {
        return;
    }
    if (row.error.status != TRAWL_OK) {
        if (row.error.message[0] == '\0') {
            abort();
        }
    } else {
        copy(&row.request);
        write(&row, text);
    }
    cli_row_release(&row);
}

/* Opened once: a tokenizer for each input would be most of the work. */
static struct cli_row_text *text_of(bool tokenizer)
{
    static struct cli_row_text texts[2];
    static bool opened[2];
    struct trawl_error err;
    if (!opened[tokenizer] &&
        cli_row_text_open(&texts[tokenizer],
                          tokenizer ? TRAWL_SOURCE_DIR "/tests/text/data/split" : "/nowhere",
                          &err) != TRAWL_OK) {
        abort();
    }
    opened[tokenizer] = true;
    return &texts[tokenizer];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const stops[] = {"stop"};
    struct cli_row_defaults plain    = {.n = 1},
                            stopped  = {.n = 2, .logprobs = true, .stop = stops, .n_stop = 1};
    trawl_request_init(&plain.request);
    plain.request.num_beams = 1; /* what the option says without being given */
    stopped.request         = plain.request;
    try_row(data, size, &plain, text_of(true));
    try_row(data, size, &stopped, text_of(true));
    plain.request.num_beams = 2;
    try_row(data, size, &plain, text_of(false));
    return 0;
}
