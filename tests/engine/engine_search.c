/* SPDX-License-Identifier: MIT */
#include "engine_search.h"

#include "kv/kv_memory.h"

uint32_t search_pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi)
{
    return lo + tw_philox_below(s, hi - lo + 1);
}

/* Make tokens 2k and 2k + 1 the same to the model: everything ties. The weights are tied, so that their rows of
 * embeddings are those of the head too. */
static void make_twins(const char *dir, const struct tiny_model *m)
{
    struct trawl_error err;
    char path[1024], *bytes = NULL;
    size_t n = 0, head, begin;
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_ok(tw_file_read(path, 1 << 24, &bytes, &n, &err));
    memcpy(&head, bytes, sizeof head);
    const char *embed = memmem(bytes, n, "model.embed_tokens.weight", 25);
    assert_non_null(embed);
    begin      = strtoull(strchr(strstr(embed, "data_offsets"), '[') + 1, NULL, 10);
    size_t row = m->hidden * tw_dtype_bytes(m->dtype);
    for (size_t i = 0; i + 1 < m->vocab; i += 2) {
        char *at = bytes + 8 + head + begin + i * row;
        memcpy(at + row, at, row);
    }
    assert_ok(tw_file_replace(path, bytes, n, &err));
    tw_free(bytes);
}

void search_write_model(const char *dir, struct tw_philox_stream *s, int draw)
{
    struct tiny_model m = tiny_model_default();
    m.vocab             = SEARCH_VOCAB;
    m.seed              = tw_philox_next(s);
    m.type              = search_pick(s, 0, 1) ? "llama" : "qwen2";
    bool twins          = search_pick(s, 0, 2) == 0;
    print_message("draw %d: %s, %zu layers, seed %llu%s\n", draw, m.type, m.n_layers,
                  (unsigned long long)m.seed, twins ? ", tokens in equal pairs" : "");
    tiny_model_write(dir, &m);
    if (twins) {
        make_twins(dir, &m);
    }
}

static struct tw_engine_config config_of(const char *dir)
{
    struct tw_engine_config c;
    tw_engine_config_init(&c);
    c.model_path    = dir;
    c.threads       = 1;
    c.batch_size    = 1;
    c.max_model_len = 256;
    return c;
}

void search_plain_open(struct search_plain *p, const char *dir)
{
    struct trawl_error err;
    struct tw_engine_config c = config_of(dir);
    c.prefix_cache            = false;
    p->logits                 = NULL;
    assert_ok(tw_engine_open(&p->engine, &c, &err));
}

void search_plain_close(struct search_plain *p)
{
    tw_engine_close(p->engine);
}

void search_plain_row(struct search_plain *p, const int32_t *tokens, size_t n, float *logprobs)
{
    struct trawl_error err;
    struct harness *h = calloc(1, sizeof *h);
    assert_non_null(h);
    harness_init(h);
    harness_add(h, tokens, n, 0)->logits = true;
    assert_ok(harness_run(h, p->engine, NULL, 0, &err));
    for (int32_t i = 0; i < SEARCH_VOCAB; i++) {
        logprobs[i] = tw_sample_logprob(tw_engine_kernels(p->engine),
                                        h->answers[0].logits + (n - 1) * SEARCH_VOCAB, SEARCH_VOCAB, i);
    }
    harness_free(h);
    free(h);
}

uint64_t search_preemptions(const struct tw_engine *e)
{
    struct tw_engine_stats stats;
    tw_engine_stats(e, &stats);
    return stats.preemptions;
}

struct tw_engine *search_open(const char *dir, struct tw_philox_stream *s, size_t width, size_t pages)
{
    static const struct tw_mesh meshes[] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}};
    struct trawl_error err;
    struct tw_engine *e       = NULL;
    struct tw_engine_config c = config_of(dir);
    struct tiny_model m       = tiny_model_default();
    c.mesh                    = meshes[search_pick(s, 0, 3)];
    c.threads                 = (int)search_pick(s, 1, 2);
    c.batch_size              = width + search_pick(s, 0, 20);
    c.prefill_chunk           = search_pick(s, 0, 1) ? search_pick(s, 1, 9) : 200;
    c.prefix_cache            = search_pick(s, 0, 1);
    if (search_pick(s, 0, 1)) {
        c.kv_cache_bytes = (pages + search_pick(s, 0, 3)) *
                           tw_kv_page_bytes(c.kv_dtype, m.n_layers, m.n_kv_heads, m.head_dim);
    }
    print_message("  mesh %dx%d, threads %d, batch %zu, chunk %zu, %zu bytes of KV, prefix cache %d\n",
                  c.mesh.data, c.mesh.model, c.threads, c.batch_size, c.prefill_chunk, c.kv_cache_bytes,
                  c.prefix_cache);
    assert_ok(tw_engine_open(&e, &c, &err));
    return e;
}

void search_case_open(struct search_case *c, const char *dir, struct tw_philox_stream *s, int draw)
{
    *c = (struct search_case){.dir = dir, .random = s, .h = calloc(1, sizeof *c->h)};
    assert_non_null(c->h);
    search_write_model(dir, s, draw);
    search_plain_open(&c->plain, dir);
    harness_init(c->h);
}

size_t search_case_prompt(struct search_case *c, size_t i)
{
    size_t n = search_pick(c->random, 1, SEARCH_PROMPT);
    for (size_t k = 0; k < n; k++) {
        c->prompts[i][k] = (int32_t)search_pick(c->random, 0, SEARCH_VOCAB - 1);
    }
    return n;
}

void search_case_run(struct search_case *c, size_t width, size_t pages)
{
    struct trawl_error err;
    c->engine = search_open(c->dir, c->random, width, pages);
    assert_ok(harness_run(c->h, c->engine, NULL, 0, &err));
}

void search_case_close(struct search_case *c)
{
    tw_engine_close(c->engine);
    harness_free(c->h);
    free(c->h);
    search_plain_close(&c->plain);
}

void search_case_each(void **state, uint64_t stream, int n,
                      void (*check)(const char *dir, struct tw_philox_stream *s, int draw))
{
    enum { SEED = 20261121 };
    struct tw_philox_stream s;
    print_message("seed %d, stream %llu\n", SEED, (unsigned long long)stream);
    tw_philox_stream_init(&s, SEED, stream);
    for (int i = 0; i < n; i++) {
        check(scratch_path(*state, "model"), &s, i);
    }
}

void search_assert_says(const struct harness_answer *a, const char *words)
{
    if (a->finish != TW_FINISH_ERROR || a->n_outputs != 0 || strstr(a->error, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", a->error, words);
    }
}
