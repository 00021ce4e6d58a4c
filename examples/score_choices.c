/* SPDX-License-Identifier: MIT */
/* Which continuation does the model find most likely? score_choices MODEL TEXT CHOICE... The text is computed once,
 * the choices together after it. */
#include "example.h"

/* The ids of all choices one after another, and how many each has. */
static int32_t *encode_choices(const struct model *m, char **choices, size_t n, size_t *lengths)
{
    int32_t *all = NULL;
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t *ids = encode(m, choices[i], 0, &lengths[i]);
        all          = realloc(all, (total + lengths[i] + 1) * sizeof *all);
        memcpy(all + total, ids, lengths[i] * sizeof *all);
        total += lengths[i];
        trawl_free(ids);
    }
    return all;
}

int main(int argc, char **argv)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request request;
    struct trawl_result result;
    trawl_job *job;
    size_t n, n_choices = (size_t)argc - 3, best = 0;
    bool more;
    if (argc < 4) {
        usage("score_choices MODEL TEXT CHOICE...");
    }
    struct model m  = open_model(argv[1]);
    size_t *lengths = calloc(n_choices, sizeof *lengths);
    int32_t *text   = encode(&m, argv[2], TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &n);
    int32_t *choice = encode_choices(&m, argv + 3, n_choices, lengths);
    trawl_request_init(&request);
    request.prompt             = text;
    request.n_prompt           = n;
    request.completions        = choice;
    request.completion_lengths = lengths;
    request.n_completions      = n_choices;
    trawl_job_config_init(&config);
    CHECK(trawl_job_open(m.engine, &config, &job, &err));
    CHECK(trawl_job_submit(job, &request, &err));
    trawl_job_end_input(job);
    CHECK(trawl_job_next(job, &result, &more, &err));
    if (result.finish_reason == TRAWL_FINISH_ERROR) {
        fprintf(stderr, "%s\n", result.error);
        exit(1);
    }
    for (size_t i = 0; i < result.n_outputs; i++) {
        const struct trawl_output *o = &result.outputs[i];
        printf("%10.4f  %zu tokens  %s\n", o->cumulative_logprob, o->n_tokens, argv[3 + i]);
        best = o->cumulative_logprob > result.outputs[best].cumulative_logprob ? i : best;
    }
    printf("%s%s\n", argv[2], argv[3 + best]);
    free(lengths);
    free(choice);
    trawl_free(text);
    trawl_job_close(&job);
    close_model(&m);
    return 0;
}
