/* SPDX-License-Identifier: MIT */
/* What is sampled from real rows of logits, against the probabilities that Hugging Face's processors leave of them:
 * $TRAWL_GOLDENS/tiny/<model>/golden.{json,safetensors}. */
#include <dirent.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "formats/formats_safetensors.h"
#include "support/sample_fit.h"
#include "json/json.h"

enum { DRAWS = 1500, ENTRIES = 4 /* checked of every model: the whole list in turns */ };

struct golden {
    json_t *json;
    struct tw_safetensors *tensors;
    const struct tw_safetensors_tensor *logits, *probabilities; /* [rows, vocab], [entries, vocab] */
};

static void read_settings(const json_t *settings, struct tw_sample_params *p)
{
    struct trawl_error err;
    tw_sample_params_init(p);
    p->temperature = 1;
    assert_ok(tw_json_get_double(settings, "temperature", "settings", &p->temperature, &err));
    assert_ok(tw_json_get_int(settings, "top_k", "settings", &p->top_k, &err));
    assert_ok(tw_json_get_double(settings, "top_p", "settings", &p->top_p, &err));
    assert_ok(tw_json_get_double(settings, "min_p", "settings", &p->min_p, &err));
    assert_ok(tw_json_get_double(settings, "typical_p", "settings", &p->typical_p, &err));
    assert_ok(tw_json_get_double(settings, "repetition_penalty", "settings", &p->repetition_penalty, &err));
}

static const struct tw_safetensors_tensor *find(const struct golden *g, const char *name)
{
    const struct tw_safetensors_tensor *t = tw_safetensors_find(g->tensors, name);
    if (t == NULL) {
        fail_msg("no tensor %s", name);
    }
    return t;
}

/* The penalty sees the ids of sequence 1 for row 0, of sequence 2 for the others. */
static void check_entry(const struct golden *g, struct tw_sampler *s, size_t entry, const char *model)
{
    struct trawl_error err;
    struct tw_sample_params p;
    double probability[SAMPLE_FIT_VOCAB];
    float row[SAMPLE_FIT_VOCAB], left[SAMPLE_FIT_VOCAB];
    char what[320];
    int64_t index   = 0;
    const json_t *e = json_array_get(json_object_get(g->json, "processors"), entry);
    read_settings(json_object_get(e, "settings"), &p);
    assert_ok(tw_json_get_int(e, "row", "entry", &index, &err));
    const struct tw_safetensors_tensor *history = find(g, index == 0 ? "s1.input_ids" : "s2.input_ids");
    size_t vocab                                = g->logits->shape[1];
    memcpy(row, g->logits->data + (size_t)index * vocab * sizeof *row, vocab * sizeof *row);
    memcpy(left, g->probabilities->data + entry * vocab * sizeof *left, vocab * sizeof *left);
    for (size_t i = 0; i < vocab; i++) {
        probability[i] = (double)left[i];
    }
    p.seed = entry;
    (void)snprintf(what, sizeof what, "%s, entry %zu", model, entry);
    const struct tw_sample_input in = {.logits    = row,
                                       .params    = &p,
                                       .history   = (const int32_t *)(const void *)history->data,
                                       .n_history = history->shape[0],
                                       .n_prompt  = history->shape[0]};
    sample_assert_fits(s, &in, probability, DRAWS, what);
}

static void check_model(const char *folder, const char *model, size_t first)
{
    struct golden g = {0};
    struct tw_kernels kernels;
    struct tw_sampler s;
    struct trawl_error err;
    char path[1024];
    assert_ok(tw_kernels_init(&kernels, NULL, &err));
    (void)snprintf(path, sizeof path, "%s/%s/golden.json", folder, model);
    assert_ok(tw_json_parse_file(path, 0, &g.json, &err));
    (void)snprintf(path, sizeof path, "%s/%s/golden.safetensors", folder, model);
    assert_ok(tw_safetensors_open(&g.tensors, path, &err));
    g.logits        = find(&g, "processors.logits");
    g.probabilities = find(&g, "processors.probs");
    assert_true(g.logits->shape[1] <= SAMPLE_FIT_VOCAB);
    assert_ok(tw_sampler_init(&s, &kernels, g.logits->shape[1], &err));
    for (size_t i = first; i < g.probabilities->shape[0]; i += ENTRIES) {
        check_entry(&g, &s, i, model);
    }
    tw_sampler_release(&s);
    tw_safetensors_close(g.tensors);
    json_decref(g.json);
}

static void test_draws_follow_the_processors_of_hugging_face(void **state)
{
    const char *goldens = getenv("TRAWL_GOLDENS");
    char folder[512], path[1024];
    size_t n = 0;
    (void)state;
    if (goldens == NULL) {
        print_message("TRAWL_GOLDENS is not set\n");
        skip();
    }
    tw_float_mode_compute();
    (void)snprintf(folder, sizeof folder, "%s/tiny", goldens);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        (void)snprintf(path, sizeof path, "%s/%s/golden.json", folder, e->d_name);
        if (tw_path_exists(path)) {
            check_model(folder, e->d_name, n++ % ENTRIES);
        }
    }
    (void)closedir(dir);
    print_message("%zu models\n", n);
    assert_true(n >= ENTRIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_follow_the_processors_of_hugging_face),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
