/* SPDX-License-Identifier: MIT */
/* config.json of a model folder. What is accepted must be fit for the arithmetic that follows. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "model/model_config.h"
#include "model/model_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tw_model_config *c)
{
    double frequency[TW_MAX_HEAD_DIM / 2];
    struct tw_site sites[4];
    size_t n = 0;
    if (c->head_dim < 2 || c->head_dim % 2 != 0 || c->head_dim > TW_MAX_HEAD_DIM || c->n_kv_heads == 0 ||
        c->n_heads % c->n_kv_heads != 0 || c->n_layers == 0 || c->vocab == 0 || c->hidden == 0 ||
        c->intermediate == 0 || c->max_positions == 0 || !(c->rms_eps > 0) || c->n_eos > TW_MODEL_EOS_MAX) {
        abort();
    }
    tw_model_config_rope(c, frequency);
    for (size_t i = 0; i < c->head_dim / 2; i++) {
        if (isnan(frequency[i]) || frequency[i] < 0) {
            abort();
        }
    }
    if (tw_model_config_parameters(c) < c->vocab * c->hidden) {
        abort();
    }
    if (tw_site_parse("layer_0", c, sites, 4, &n, NULL) != TRAWL_OK ||
        tw_site_width(sites[0], c) != c->hidden) {
        abort();
    }
    (void)tw_model_config_mesh(c, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tw_model_config c;
    struct trawl_error err;
    if (tw_model_config_parse(&c, (const char *)data, size, "config.json", &err) == TRAWL_OK) {
        check(&c);
    } else if (err.message[0] == '\0') {
        abort();
    }
    return 0;
}
