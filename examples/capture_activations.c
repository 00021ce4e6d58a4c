/* SPDX-License-Identifier: MIT */
/* The length of an activation vector at every token: capture_activations MODEL TEXT SITE, for example with
 * blocks.10.hook_resid_post. Rows come here while the engine works; to have them in files, set capture.dir. */
#include <math.h>

#include "example.h"

/* Runs on the engine's threads. Rows of a request come in order. */
static trawl_status on_rows(void *user, uint64_t request, size_t site, size_t position, const float *rows,
                            size_t n, size_t width, struct trawl_error *err)
{
    double *norms = user;
    (void)request;
    (void)site;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < width; j++) {
            sum += (double)rows[i * width + j] * (double)rows[i * width + j];
        }
        norms[position + i] = sqrt(sum);
    }
    return TRAWL_OK;
}

static void run(trawl_engine *engine, const char *site, const int32_t *ids, size_t n, double *norms)
{
    struct trawl_error err;
    struct trawl_job_config config;
    struct trawl_request request;
    struct trawl_result result;
    trawl_job *job;
    bool more;
    trawl_job_config_init(&config);
    config.capture.sites   = &site;
    config.capture.n_sites = 1;
    config.on_rows         = on_rows;
    config.user            = norms;
    CHECK(trawl_job_open(engine, &config, &job, &err));
    trawl_request_init(&request);
    request.prompt     = ids;
    request.n_prompt   = n;
    request.max_tokens = 0; /* compute the prompt, generate nothing */
    CHECK(trawl_job_submit(job, &request, &err));
    trawl_job_end_input(job);
    CHECK(trawl_job_next(job, &result, &more, &err));
    trawl_job_close(&job);
}

int main(int argc, char **argv)
{
    size_t n, bytes;
    if (argc != 4) {
        usage("capture_activations MODEL TEXT SITE");
    }
    struct model m = open_model(argv[1]);
    int32_t *ids   = encode(&m, argv[2], 0, &n);
    double *norms  = calloc(n + 1, sizeof *norms);
    run(m.engine, argv[3], ids, n, norms);
    for (size_t i = 0; i < n; i++) {
        const char *token = trawl_tokenizer_token(m.tokenizer, ids[i], &bytes);
        printf("%10.3f  '%.*s'\n", norms[i], (int)bytes, token);
    }
    free(norms);
    trawl_free(ids);
    close_model(&m);
    return 0;
}
