/* SPDX-License-Identifier: MIT */
/* Rotary position embeddings as config.json describes them: rope_scaling of older files, rope_parameters
 * (with rope_theta inside) of newer ones. */
#ifndef TW_MODEL_ROPE_H
#define TW_MODEL_ROPE_H

#include <jansson.h>

#include "model/model_config.h"

/* Fill the rope members of a config whose head_dim and max_positions are known. Scalings that stretch the
 * context raise max_positions. A kind that is not implemented is TRAWL_ERR_UNSUPPORTED. */
trawl_status tw_model_config_read_rope(struct tw_model_config *c, const json_t *config, const char *what,
                                       struct trawl_error *err);

#endif /* TW_MODEL_ROPE_H */
