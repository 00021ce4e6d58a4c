/* SPDX-License-Identifier: MIT */
#include "engine_draws.h"

#include "engine_harness.h"
#include "kv/kv_memory.h"
#include "support/tiny_model.h"

enum { PROMPTS = 8, LONGEST = 150, NEW_TOKENS = 10, SITES = 48 };

struct draw {
    struct tiny_model model;
    struct tw_mesh mesh;
    int threads, tree_leaves;
    size_t batch, chunk, n_pages; /* n_pages of the KV cache; 0: automatic */
    size_t lookup;                /* tokens guessed ahead */
    const char *isa;
    bool bf16, backwards, sites, prefix_cache, compress;
};

static uint32_t pick(struct tw_philox_stream *s, uint32_t lo, uint32_t hi)
{
    return lo + tw_philox_below(s, hi - lo + 1);
}

static struct draw draw_one(struct tw_philox_stream *s)
{
    static const char *const types[] = {"qwen2", "llama", "qwen3"};
    static const char *const isas[]  = {"scalar", "avx2", "avx512", NULL};
    static const size_t dims[]       = {4, 8, 16, 24, 32};
    static const int leaves[]        = {8, 8, 16, 32};
    struct draw d                    = {0};
    size_t kv = pick(s, 1, 3), group = pick(s, 1, 5);
    d.model = (struct tiny_model){
        .type         = types[pick(s, 0, 2)],
        .hidden       = 8 * pick(s, 2, 12),
        .intermediate = pick(s, 1, 200),
        .n_layers     = pick(s, 1, 3),
        .n_heads      = kv * group,
        .n_kv_heads   = kv,
        .head_dim     = dims[pick(s, 0, 4)],
        .vocab        = pick(s, 20, 400),
        .tied         = pick(s, 0, 1),
        .rope_llama3  = pick(s, 0, 3) == 0,
        .dtype        = pick(s, 0, 3) == 0 ? TW_DTYPE_F32 : TW_DTYPE_BF16,
        .seed         = tw_philox_next(s),
    };
    int most      = 1;
    d.tree_leaves = leaves[pick(s, 0, 3)];
    while (most * 2 <= d.tree_leaves && (size_t)most * 2 <= d.model.n_heads) {
        most *= 2;
    }
    d.mesh.model = 1;
    while (d.mesh.model < most && pick(s, 0, 2) > 0) {
        d.mesh.model *= 2;
    }
    d.mesh.data = (int)pick(s, 1, d.mesh.model > 4 ? 1 : 3);
    d.threads   = (int)pick(s, 1, 3);
    d.batch     = pick(s, 1, PROMPTS);
    d.chunk     = pick(s, 0, 1) ? pick(s, 1, 20) : pick(s, 21, 400);
    d.isa       = isas[pick(s, 0, 3)];
    d.bf16      = pick(s, 0, 1);
    d.backwards = pick(s, 0, 1);
    d.sites     = pick(s, 0, 1);

    d.prefix_cache = pick(s, 0, 2) > 0;
    d.compress     = pick(s, 0, 2) > 0;
    d.lookup       = pick(s, 0, 2) * 8;
    d.n_pages      = pick(s, 0, 1) ? pick(s, 3, 12) : 0; /* 3 hold the longest prompt and its answer */
    return d;
}

static void print(const struct draw *d, int index)
{
    print_message(
        "draw %d: %s hidden %zu intermediate %zu layers %zu heads %zu/%zu x %zu vocab %zu, mesh %dx%d, "
        "threads %d, leaves %d, batch %zu, chunk %zu, pages %zu, lookup %zu, isa %s, %s%s%s%s%s\n",
        index, d->model.type, d->model.hidden, d->model.intermediate, d->model.n_layers, d->model.n_heads,
        d->model.n_kv_heads, d->model.head_dim, d->model.vocab, d->mesh.data, d->mesh.model, d->threads,
        d->tree_leaves, d->batch, d->chunk, d->n_pages, d->lookup, d->isa == NULL ? "auto" : d->isa,
        d->bf16 ? "bf16" : "f32", d->backwards ? ", backwards" : "", d->sites ? ", sites" : "",
        d->prefix_cache ? ", prefix cache" : "", d->compress ? ", compressed" : "");
}

static size_t all_sites(const struct tw_model_config *c, struct tw_site *sites)
{
    static const char *const names[] = {"hook_embed",
                                        "blocks.*.hook_resid_pre",
                                        "blocks.*.hook_resid_mid",
                                        "blocks.*.hook_resid_post",
                                        "blocks.*.hook_attn_out",
                                        "blocks.*.hook_mlp_out",
                                        "blocks.*.attn.hook_q",
                                        "blocks.*.attn.hook_k",
                                        "blocks.*.attn.hook_v",
                                        "blocks.*.attn.hook_z",
                                        "blocks.*.mlp.hook_pre",
                                        "blocks.*.mlp.hook_pre_linear",
                                        "blocks.*.mlp.hook_post",
                                        "ln_final.hook_normalized"};
    struct trawl_error err;
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_ok(tw_site_parse(names[i], c, sites, SITES, &n, &err));
    }
    return n;
}

static struct tw_engine *open_engine(const char *dir, const struct draw *d, bool plain)
{
    struct trawl_error err;
    struct tw_engine_config c;
    struct tw_engine *engine = NULL;
    tw_engine_config_init(&c);
    c.model_path  = dir;
    c.compute     = d->bf16 ? TW_DTYPE_BF16 : TW_DTYPE_F32;
    c.kv_dtype    = c.compute;
    c.tree_leaves = d->tree_leaves;
    c.threads     = 1;
    c.batch_size  = 1;

    c.prefix_cache     = false;
    c.compress_weights = !plain && d->compress;

    c.prompt_lookup_num_tokens = plain ? 0 : d->lookup;
    if (!plain) {
        c.prefix_cache   = d->prefix_cache;
        c.kv_cache_bytes = d->n_pages * tw_kv_page_bytes(c.kv_dtype, d->model.n_layers, d->model.n_kv_heads,
                                                         d->model.head_dim);
        c.mesh           = d->mesh;
        c.threads        = d->threads;
        c.batch_size     = d->batch;
        c.prefill_chunk  = d->chunk;
        c.isa            = d->isa;
    }
    assert_ok(tw_engine_open(&engine, &c, &err));
    return engine;
}

/* Some see a window only, pruned or not, or with one page that attention chose, some are two documents. */
static void set_mask(struct tw_request *q, size_t i, uint32_t *documents)
{
    if (i % 5 == 1) {
        q->mask = (struct tw_mask){
            .kind = TW_MASK_WINDOW, .window = 1 + 9 * i, .sinks = i % 4, .prune = i % 2 == 0};
    }
    if (i % 5 == 4) {
        q->mask = (struct tw_mask){
            .kind = TW_MASK_HEAVY, .window = 1 + i, .sinks = i % 3, .heavy = 1, .prune = true};
    }
    if (i % 5 == 3 && q->n_prompt > 1) {
        documents[0] = (uint32_t)(q->n_prompt / 3 + 1);
        documents[1] = (uint32_t)q->n_prompt - documents[0];
        q->mask      = (struct tw_mask){
                 .kind = TW_MASK_BLOCK_DIAGONAL, .lengths = documents, .n_lengths = documents[1] > 0 ? 2 : 1};
    }
}

static void add_prompts(struct harness *h, int32_t (*prompts)[LONGEST], const size_t *lengths,
                        uint32_t (*documents)[2], bool logits)
{
    for (size_t i = 0; i < PROMPTS; i++) {
        struct tw_request *q = harness_add(h, prompts[i], lengths[i], i % 4 == 3 ? 0 : NEW_TOKENS);
        q->capture           = i % 3 != 2;
        q->logits            = logits && i % 2 == 0;
        q->attn_entropy      = i % 3 == 0;
        set_mask(q, i, documents[i]);
        if (i % 2 == 1) {
            q->sampling.temperature        = 0.8;
            q->sampling.top_k              = 20;
            q->sampling.top_p              = 0.9;
            q->sampling.repetition_penalty = 1.1;
            q->sampling.seed               = 77 + i;
        }
    }
}

static bool has_isa(const char *isa)
{
    struct tw_kernels k;
    return tw_kernels_init(&k, isa, NULL) == TRAWL_OK;
}

static void check_draw(const char *dir, const struct draw *d, struct tw_philox_stream *s)
{
    int32_t prompts[PROMPTS][LONGEST];
    uint32_t documents[PROMPTS][2];
    size_t lengths[PROMPTS], n_sites = 0;
    struct tw_site sites[SITES];
    struct trawl_error err;
    struct harness a, b;
    tiny_model_write(dir, &d->model);
    for (size_t i = 0; i < PROMPTS; i++) {
        lengths[i]    = pick(s, 1, i < 5 ? 20 : LONGEST);
        size_t shared = i < 5 ? 0 : pick(s, 0, (uint32_t)lengths[i]); /* long ones begin alike */
        for (size_t j = 0; j < lengths[i]; j++) {
            prompts[i][j] = j < shared ? (int32_t)(j % d->model.vocab)
                                       : (int32_t)tw_philox_below(s, (uint32_t)d->model.vocab);
        }
    }
    harness_init(&a);
    harness_init(&b);
    b.backwards = d->backwards;
    add_prompts(&a, prompts, lengths, documents, true);
    add_prompts(&b, prompts, lengths, documents, true);
    struct tw_engine *plain = open_engine(dir, d, true), *drawn = open_engine(dir, d, false);
    n_sites = d->sites ? all_sites(&tw_engine_model(plain)->config, sites) : 0;
    assert_ok(harness_run(&a, plain, sites, n_sites, &err));
    assert_ok(harness_run(&b, drawn, sites, n_sites, &err));
    harness_assert_equal(&a, &b, plain, sites, n_sites);
    tw_engine_close(plain);
    tw_engine_close(drawn);
    harness_free(&a);
    harness_free(&b);
}

void engine_draws(const char *dir, uint64_t seed, int n)
{
    struct tw_philox_stream s;
    tw_philox_stream_init(&s, seed, 0);
    print_message("seed %llu, %d draws\n", (unsigned long long)seed, n);
    for (int i = 0; i < n; i++) {
        struct draw d = draw_one(&s);
        if (!has_isa(d.isa)) {
            d.isa = "scalar";
        }
        print(&d, i);
        check_draw(dir, &d, &s);
    }
}
