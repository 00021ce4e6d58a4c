/* SPDX-License-Identifier: MIT */
/* Continue texts: generate MODEL TEXT... They are computed together, in one batch, and printed in order. */
#include "example.h"

static void submit(const struct model *m, trawl_job *job, const char *text)
{
    struct trawl_error err;
    struct trawl_request request;
    size_t n;
    int32_t *ids = encode(m, text, TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &n);
    trawl_request_init(&request); /* greedy; temperature, top_p, ... are fields of it */
    request.prompt     = ids;
    request.n_prompt   = n;
    request.max_tokens = 16;
    CHECK(trawl_job_submit(job, &request, &err)); /* copies the prompt */
    trawl_free(ids);
}

int main(int argc, char **argv)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_result result;
    trawl_job *job;
    bool more = true;
    if (argc < 3) {
        usage("generate MODEL TEXT...");
    }
    struct model m = open_model(argv[1]);
    trawl_job_config_init(&config);
    CHECK(trawl_job_open(m.engine, &config, &job, &err));
    for (int i = 2; i < argc; i++) {
        submit(&m, job, argv[i]);
    }
    trawl_job_end_input(job);
    for (;;) {
        CHECK(trawl_job_next(job, &result, &more, &err));
        if (!more) {
            break;
        }
        printf("%s|", argv[2 + result.request]);
        if (result.finish_reason == TRAWL_FINISH_ERROR) { /* of this request only; others go on */
            printf("\n    %s\n", result.error);
            continue;
        }
        print_text(&m, result.tokens, result.n_tokens);
        printf("\n    %zu tokens, log-probability %.4f\n", result.n_tokens, result.cumulative_logprob);
    }
    trawl_job_close(&job);
    close_model(&m);
    return 0;
}
